"""The base of all callbacks, and how they read a metric from the history."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinygrad_cnn.train.history import History
    from tinygrad_cnn.train.loop import Trainer

__all__ = ["Callback", "best_epoch"]


class Callback:
    """What can be done while a model trains: a subclass overrides what it needs.

    >>> import tinygrad_cnn as tg
    >>> class StopWhenGood(Callback):
    ...     def on_epoch_end(self, trainer):
    ...         trainer.stop = trainer.history.last["train_loss"] < 0.1
    >>> x = tg.linspace(-1, 1, 64).reshape(64, 1)
    >>> line = tg.data.TensorDataset(x, 2 * x)
    >>> history = tg.train.fit(
    ...     tg.nn.Linear(1, 1), line, epochs=100, lr=0.1, loss=tg.nn.functional.mse_loss, callbacks=[StopWhenGood()]
    ... )
    >>> len(history.epochs) < 100
    True
    """

    def on_train_begin(self, trainer: Trainer) -> None:
        """Before the first batch."""

    def on_batch_end(self, trainer: Trainer) -> None:
        """After a batch's step; its loss is the last of `trainer.history.steps["loss"]`."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After an epoch and its evaluation; `trainer.history.last` is its row."""

    def on_train_end(self, trainer: Trainer) -> None:
        """After the last batch, also when `trainer.stop` or Ctrl-C ended the training early, but not after an error."""

    def close(self) -> None:
        """At the very end, whatever happened: give back what was opened."""


def best_epoch(history: History, monitor: str, who: str, least: float = 0.0) -> int:
    """The number, from 0, of the first epoch with the best value of the column `monitor`.

    The highest accuracy is the best, of all other columns the lowest value. least: by how much a value must be better
    to count as so.
    Errors: ValueError, in the name of `who`, for a column that is not there, or has no numbers.

    >>> from tinygrad_cnn.train.history import History
    >>> history = History([{"test_loss": 0.9}, {"test_loss": 0.5}, {"test_loss": 0.6}])
    >>> best_epoch(history, "test_loss", "me")
    1
    """
    if monitor not in history.last:
        raise ValueError(f"{who}: monitor is {monitor!r}, expected one of {', '.join(history.last)}")
    sign = 1 if monitor.endswith("accuracy") else -1
    best, at = -math.inf, 0
    for number, row in enumerate(history.epochs):
        value = row[monitor]
        if value is None or math.isnan(value):
            raise ValueError(f"{who}: {monitor} is {value}; give the trainer a test_set of classes, or monitor another")
        if sign * value > best + (least if number else 0):
            best, at = sign * value, number
    return at

"""A callback that ends the training when it no longer gets better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_cnn.train.callbacks.callback import Callback, best_epoch

if TYPE_CHECKING:
    from tinygrad_cnn.train.loop import Trainer

__all__ = ["EarlyStopping"]


class EarlyStopping(Callback):
    """Stop once the column `monitor` of the history has not got better by `least` for `patience` epochs.

    An accuracy gets better upwards, all else downwards. `Checkpoint` keeps the best weights. A schedule that is made
    for the whole length, such as one cycle, is cut off in its middle.
    Errors: ValueError for a patience below 1, or, at the end of an epoch, for a column that is not there.
    """

    def __init__(self, patience: int = 3, monitor: str = "test_loss", least: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience is {patience}, expected at least 1")
        self.patience = patience
        self.monitor = monitor
        self.least = least

    def on_epoch_end(self, trainer: Trainer) -> None:
        best = best_epoch(trainer.history, self.monitor, "EarlyStopping", self.least)
        if len(trainer.history.epochs) - 1 - best >= self.patience:
            trainer.stop = True

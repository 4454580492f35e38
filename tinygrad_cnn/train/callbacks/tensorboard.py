"""A callback that writes what TensorBoard shows, through tensorboardX (the extra `tensorboard`)."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_cnn.train.callbacks.callback import Callback

if TYPE_CHECKING:
    from tinygrad_cnn.train.loop import Trainer

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Write loss and accuracy of every batch and epoch, and the learning rate, for `tensorboard --logdir FOLDER`.

    histograms: also the distribution of each parameter, after each epoch. A training that is resumed goes on in the
    same folder; what was written beyond its checkpoint is dropped.
    Errors: ImportError, which says what to install, without tensorboardX.
    """

    def __init__(self, folder: str | os.PathLike[str], *, histograms: bool = False) -> None:
        self.check()
        self.folder = Path(folder)
        self.histograms = histograms
        self._writer: Any = None

    @staticmethod
    def check() -> None:
        """ImportError, which says what to install, without tensorboardX."""
        if find_spec("tensorboardX") is None:
            raise ImportError(
                "TensorBoard: tensorboardX is not installed; pip install 'tinygrad-cnn[tensorboard]' brings it"
            )

    def on_train_begin(self, trainer: Trainer) -> None:
        from tensorboardX import SummaryWriter

        done = trainer.step
        again = {"purge_step": done + 1, "filename_suffix": f".{done}"} if done else {}  # a name of its own: they
        self._writer = SummaryWriter(str(self.folder), **again)  # hold the second, and would be the same within one

    def on_batch_end(self, trainer: Trainer) -> None:
        for name, values in trainer.history.steps.items():
            if values[-1] == values[-1]:  # NaN is an accuracy of which there is none
                self._writer.add_scalar(f"batch/{name}", values[-1], trainer.step)

    def on_epoch_end(self, trainer: Trainer) -> None:
        for name, value in trainer.history.last.items():
            part, _, quantity = name.partition("_")
            if quantity and value is not None and value == value:
                self._writer.add_scalar(f"{quantity}/{part}", value, trainer.step)
        self._writer.add_scalar("learning rate", trainer.history.last["lr"], trainer.step)
        if self.histograms:
            for name, parameter in trainer.model.named_parameters():
                self._writer.add_histogram(name, parameter._array.copy(), trainer.step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

"""Callbacks that write files: checkpoints, the best weights, the metrics. Each file is there whole, or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_cnn.serialization import save, write_atomically
from tinygrad_cnn.train.callbacks.callback import Callback, best_epoch
from tinygrad_cnn.train.checkpoint import write_checkpoint

if TYPE_CHECKING:
    from tinygrad_cnn.train.loop import Trainer

__all__ = ["BEST", "CHECKPOINT", "MODEL", "Checkpoint", "MetricsFile"]

MODEL, BEST, CHECKPOINT = "model.safetensors", "best.safetensors", "checkpoint.safetensors"


class Checkpoint(Callback):
    """After each epoch, and when the training stops in the middle of one, save into `folder`:

    model.safetensors, the weights; checkpoint.safetensors, all that a training needs to go on exactly from there
    (`trainer.load_state_dict(read_checkpoint(path))`); best.safetensors, the weights after the epoch with the best
    value of the history's column `monitor`. monitor=None leaves out the last one. The folder is made if need be.
    Note that the best of many epochs on the test set does a little better there than on other data.
    """

    def __init__(self, folder: str | os.PathLike[str], monitor: str | None = "test_accuracy") -> None:
        self.folder = Path(folder)
        self.monitor = monitor

    def on_train_begin(self, trainer: Trainer) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def on_epoch_end(self, trainer: Trainer) -> None:
        rows = trainer.history.epochs
        best = self.monitor and best_epoch(trainer.history, self.monitor, "Checkpoint") == len(rows) - 1
        self._save(trainer)
        if best:
            save(trainer.model.state_dict(), self.folder / BEST)

    def on_train_end(self, trainer: Trainer) -> None:
        if not trainer.done:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        save(trainer.model.state_dict(), self.folder / MODEL)
        write_checkpoint(self.folder / CHECKPOINT, trainer.state_dict())


class MetricsFile(Callback):
    """After each epoch, and when the training stops in the middle of one, write the history to a file.

    path: a .csv file gets a row for each epoch, a .json file also the loss and accuracy of each batch.
    Errors: ValueError for another ending.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.suffix not in (".csv", ".json"):
            raise ValueError(f"MetricsFile: {self.path} ends in {self.path.suffix!r}, expected .csv or .json")

    def on_epoch_end(self, trainer: Trainer) -> None:
        history = trainer.history
        csv = self.path.suffix == ".csv"
        text = history.to_csv() if csv else json.dumps(history.to_dict(), indent=1) + "\n"
        write_atomically(self.path, text.encode())

    def on_train_end(self, trainer: Trainer) -> None:
        if not trainer.done:
            self.on_epoch_end(trainer)

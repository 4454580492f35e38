"""Training: the loop with callbacks and exact resume, models to read, run folders with pictures and a report."""

from __future__ import annotations

from tinygrad_cnn.train.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    LivePlot,
    MetricsFile,
    ProgressBar,
    TensorBoard,
)
from tinygrad_cnn.train.checkpoint import read_checkpoint, write_checkpoint
from tinygrad_cnn.train.evaluate import Score, evaluate, predict
from tinygrad_cnn.train.history import History
from tinygrad_cnn.train.loop import Trainer, fit
from tinygrad_cnn.train.models import build
from tinygrad_cnn.train.run import Run

__all__ = [
    "Callback", "Checkpoint", "EarlyStopping", "History", "LivePlot", "MetricsFile", "ProgressBar", "Run", "Score",
    "TensorBoard", "Trainer", "build", "evaluate", "fit", "predict", "read_checkpoint", "write_checkpoint",
]  # fmt: skip

"""Training: the loop with callbacks and exact resume, models to read, run folders with pictures and a report."""

from __future__ import annotations

from tinygrad_cnn.train.evaluate import Score, evaluate, predict
from tinygrad_cnn.train.history import History
from tinygrad_cnn.train.loop import Callback, Trainer, fit
from tinygrad_cnn.train.models import build
from tinygrad_cnn.train.progress import ProgressBar
from tinygrad_cnn.train.run import Checkpoint, Run

__all__ = [
    "Callback",
    "Checkpoint",
    "History",
    "ProgressBar",
    "Run",
    "Score",
    "Trainer",
    "build",
    "evaluate",
    "fit",
    "predict",
]

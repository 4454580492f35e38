"""What a model says about a dataset: probabilities, loss and accuracy, without recording and in eval mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinygrad_cnn import nn
from tinygrad_cnn.autograd import no_grad
from tinygrad_cnn.data import DataLoader
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.nn.utils import in_eval_mode
from tinygrad_cnn.tensor import Tensor

__all__ = ["Score", "evaluate", "predict"]


class Score(NamedTuple):
    """The mean loss of the samples, and the share of them whose class is right."""

    loss: float
    accuracy: float


def evaluate(
    model: nn.Module, dataset: Any, *, loss: Callable[..., Any] = F.cross_entropy, batch_size: int = 256
) -> Score:
    """The mean loss and the accuracy of `model` on a dataset of (input, class) samples.

    Errors: ValueError for an empty dataset.
    """
    total = right = count = 0.0
    with in_eval_mode(model), no_grad():
        for x, y in DataLoader(dataset, batch_size):
            out = model(x)
            total += loss(out, y).item() * len(y._array)
            right += hits(out, y)
            count += len(y._array)
    if not count:
        raise ValueError("evaluate: the dataset has 0 samples, expected at least one")
    return Score(total / count, right / count)


def hits(out: Tensor, y: Tensor) -> float:
    """How many rows of (N, classes) scores are highest at their class; nan where the targets are no classes."""
    if y.dtype.kind not in "iu" or out.ndim != 2:
        return float("nan")
    return float((out._array.argmax(axis=1) == y._array).sum())


def predict(model: nn.Module, x: Tensor, *, batch_size: int = 256) -> NDArray[np.floating[Any]]:
    """The probabilities (N, classes) that `model` gives to inputs (N, ...)."""
    with in_eval_mode(model), no_grad():
        parts = [
            F.softmax(model(Tensor(x._array[i : i + batch_size])), dim=1)._array
            for i in range(0, len(x._array), batch_size)
        ]
    return np.concatenate(parts)

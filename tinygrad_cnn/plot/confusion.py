"""The confusion matrix: which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_cnn.plot.canvas import class_numbers, one_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["confusion"]


def confusion(labels: Any, predictions: Any, classes: Sequence[str], *, axes: Axes | None = None) -> Axes:
    """Row r, column c: how many samples of class r were predicted as class c; colours are shares of the row.

    labels, predictions: (N,) class numbers. classes: the names of the classes.
    Errors: ValueError for numbers that are not those of classes, or not as many of both.

    >>> axes = confusion([0, 0, 1], [0, 1, 1], classes=("cat", "dog"))
    >>> [text.get_text() for text in axes.texts]
    ['1', '1', '0', '1']
    """
    size = len(classes)
    right, guessed = class_numbers("confusion", size, labels=labels, predictions=predictions)
    counts = np.bincount(right * size + guessed, minlength=size * size).reshape(size, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes = one_axes(axes, 1.0 + 0.42 * size, 1.2 + 0.42 * size)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(size):
        for column in range(size):
            ink = "white" if shares[row, column] > 0.5 else "black" if counts[row, column] else "#bbbbbb"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=ink)
    longest = max(map(len, classes), default=1)
    axes.set_xticks(range(size), classes, rotation=45 if longest > 3 else 0, ha="right" if longest > 3 else "center")
    axes.set_yticks(range(size), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true class")
    axes.set_title(f"{int((right == guessed).sum()):,} of {len(right):,} right", fontsize=10)
    return axes

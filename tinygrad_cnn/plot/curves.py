"""Learning curves: loss and accuracy over the iterations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tinygrad_cnn.plot.canvas import BLUE, VERMILION, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curves"]


class History(Protocol):
    """What training writes down: rows for epochs, and the loss and accuracy of each batch."""

    @property
    def epochs(self) -> Sequence[dict[str, Any]]: ...

    @property
    def steps(self) -> dict[str, list[float]]: ...


def curves(history: History, *, axes: Any = None, figure: Figure | None = None) -> list[Axes]:
    """Two axes: loss and accuracy of each training batch (faint) and its mean, and of the test set after each epoch.

    >>> from tinygrad_cnn.train import History
    >>> row = {"step": 2, "train_loss": 1.5, "train_accuracy": 0.4, "test_loss": 1.2, "test_accuracy": 0.5}
    >>> left, right = curves(History([row], {"loss": [2.0, 1.0], "accuracy": [0.3, 0.5]}))
    >>> right.get_ylabel()
    'accuracy'
    """
    both = panels("curves", axes, figure, 1, 2, (9.0, 3.4))[:2]
    for panel, quantity in zip(both, ("loss", "accuracy"), strict=True):
        _curve(panel, history, quantity)
    return both


def _curve(axes: Axes, history: History, quantity: str) -> None:
    from matplotlib.patheffects import withStroke

    values = np.asarray(history.steps.get(quantity, []), dtype=float)
    if values.size:
        steps = np.arange(1, values.size + 1)
        axes.plot(steps, values, color=BLUE, alpha=0.25, linewidth=0.8)
        width = max(1, values.size // 50)
        if width > 1:
            mean = np.convolve(values, np.ones(width) / width, mode="valid")
            axes.plot(steps[width - 1 :], mean, color=BLUE, linewidth=1.6, label=f"training, mean of {width} batches")
        else:
            axes.plot(steps, values, color=BLUE, linewidth=1.4, label="training batch")
    rows = [row for row in history.epochs if row.get(f"test_{quantity}") is not None]
    if rows:
        axes.plot(
            [row["step"] for row in rows], [row[f"test_{quantity}"] for row in rows],
            color=VERMILION, marker="o", markersize=4, linewidth=1.4, label="test set",
        )  # fmt: skip
        axes.annotate(
            f"{rows[-1][f'test_{quantity}']:.3f}", (rows[-1]["step"], rows[-1][f"test_{quantity}"]),
            textcoords="offset points", xytext=(-4, 8 if quantity == "loss" else -14), ha="right", color=VERMILION,
            path_effects=[withStroke(linewidth=3, foreground="white")],  # readable where it crosses a line
        )  # fmt: skip
    axes.set_xlabel("iteration (batches seen)")
    axes.set_ylabel(quantity)
    axes.set_ylim(bottom=0, top=1.02 if quantity == "accuracy" else 1.1 * axes.dataLim.ymax if values.size else None)
    axes.grid(alpha=0.25)
    if values.size or rows:
        axes.legend(frameon=False, fontsize=9)

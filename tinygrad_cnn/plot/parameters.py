"""Pictures of a model's parameters: their values, and the gradients that reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_cnn.nn.module import Module
from tinygrad_cnn.plot.canvas import BLUE, VERMILION, as_array, one_axes, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["gradient_flow", "weight_histograms"]


def gradient_flow(model: Module, *, axes: Axes | None = None) -> Axes:
    """How large the gradients are that reach each parameter: call it after backward, before zero_grad.

    One row for each parameter, the input's side on top; the dots are the mean and the greatest magnitude, on a
    logarithmic scale. Gradients that vanish towards the input go left from below to the top, and explode to the right.
    Errors: ValueError when no parameter has a gradient.

    >>> import tinygrad_cnn as tg
    >>> model = tg.nn.Sequential(tg.nn.Linear(3, 4), tg.nn.Tanh(), tg.nn.Linear(4, 1))
    >>> model(tg.ones(2, 3)).sum().backward()
    >>> [label.get_text() for label in gradient_flow(model).get_yticklabels()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    named = list(model.named_parameters())
    sizes = [None if p.grad is None else np.abs(as_array(p.grad)) for _, p in named]
    if all(size is None for size in sizes):
        raise ValueError("gradient_flow: no parameter has a gradient, expected a call of backward() before")
    axes = one_axes(axes, 6.0, 1.0 + 0.24 * len(named))
    axes.set_xscale("log")
    lines = {"mean": (BLUE, "o"), "greatest": (VERMILION, "d")}
    for label, (colour, marker) in lines.items():
        values = [np.nan if s is None or not s.size else s.mean() if label == "mean" else s.max() for s in sizes]
        shown = np.where(np.array(values, float) > 0, np.array(values, float), np.nan)
        axes.plot(shown, np.arange(len(named)), color=colour, marker=marker, markersize=4, linewidth=0.8, label=label)
    axes.set_yticks(range(len(named)), [name for name, _ in named], fontsize=8)
    axes.set_ylim(len(named) - 0.5, -0.5)
    for row, size in enumerate(sizes):
        if size is None or not size.any():
            word = "no gradient" if size is None else "all zero"
            axes.annotate(
                word, (0.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=VERMILION
            )
    axes.set_xlabel("magnitude of the gradient's elements")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return axes


def weight_histograms(
    model: Module, *, columns: int = 4, most: int = 16, axes: Any = None, figure: Figure | None = None
) -> list[Axes]:
    """The distribution of each parameter's values, the first `most` of them; the title gives mean and deviation.

    >>> import tinygrad_cnn as tg
    >>> [axes.get_title() for axes in weight_histograms(tg.nn.LayerNorm(5))]
    ['weight\\n1 ± 0', 'bias\\n0 ± 0']
    """
    from matplotlib.ticker import MaxNLocator

    named = list(model.named_parameters())[:most]
    if not named:
        raise ValueError("weight_histograms: the model has no parameters, expected at least one")
    columns = min(columns, len(named))
    rows = 1 if axes is not None else -(-len(named) // columns)
    wide = len(named) if axes is not None else columns
    flat = panels("weight_histograms", axes, figure, rows, wide, (2.2 * columns, 1.7 * rows))
    for panel, (name, parameter) in zip(flat, named, strict=False):
        values = as_array(parameter).ravel().astype(np.float64)
        finite = values[np.isfinite(values)]
        panel.hist(finite, bins=min(40, max(5, finite.size // 8)), color=BLUE)
        lost = values.size - finite.size
        panel.set_title(
            f"{name}\n{finite.mean():.2g} ± {finite.std():.2g}" + (f", {lost} not finite" if lost else ""), fontsize=8
        )
        panel.tick_params(labelsize=7)
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.set_yticks([])
    for panel in flat[len(named) :] if axes is None else ():
        panel.set_axis_off()
    return flat[: len(named)]

"""Where pictures are drawn: matplotlib is imported here, on first use, and nowhere shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BLUE", "VERMILION", "as_array", "class_numbers", "new_figure", "one_axes", "panels", "tile", "tiles"]

BLUE, VERMILION = "#0072B2", "#D55E00"  # Okabe and Ito's; told apart by colour-blind people, and in grey


def as_array(values: Any) -> NDArray[Any]:
    """The numbers of a Tensor, an array or a sequence."""
    return np.asarray(getattr(values, "_array", values))


def class_numbers(picture: str, classes: int | None, **given: Any) -> list[NDArray[Any]]:
    """The given class numbers as arrays; ValueError unless they are integers (N,), from 0 and below `classes`."""
    found = []
    for name, values in given.items():
        numbers = as_array(values)
        if numbers.size == 0:
            numbers = numbers.astype(np.int64)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iub":
            raise ValueError(f"{picture}: {name} are {numbers.dtype} of shape {numbers.shape}, expected integers (N,)")
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < (np.inf if classes is None else classes):
            many = "from 0" if classes is None else f"from 0 to {classes - 1}"
            raise ValueError(f"{picture}: {name} reach from {numbers.min()} to {numbers.max()}, expected {many}")
        found.append(numbers.astype(np.int64))
    if len({len(numbers) for numbers in found}) > 1:
        counts = ", ".join(f"{len(n)} {name}" for name, n in zip(given, found, strict=True))
        raise ValueError(f"{picture}: there are {counts}, expected as many of each")
    return found


def one_axes(axes: Axes | None, width: float, height: float) -> Axes:
    """The given axes, or new ones on a figure of this size in inches."""
    if axes is not None:
        return axes
    return new_figure(width, height).subplots()


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches that pyplot knows, so that `plt.show()` and notebooks show it."""
    from matplotlib import pyplot

    return pyplot.figure(figsize=(width, height), layout="constrained")


def panels(
    name: str, axes: Any, figure: Figure | None, rows: int, columns: int, size: tuple[float, float]
) -> list[Axes]:
    """The axes for a picture of rows x columns panels, row by row.

    axes: those to use, at least as many; otherwise a grid is made in `figure` (a Figure or SubFigure), or in a new
    figure of this size in inches. Errors: ValueError, with the picture's name, for too few axes.
    """
    count = rows * columns
    if axes is None:
        if figure is None:
            figure = new_figure(*size)
        return list(figure.subplots(rows, columns, squeeze=False).ravel())
    given = list(np.ravel(np.asarray(axes, dtype=object)))
    if len(given) < count:
        raise ValueError(f"{name}: {len(given)} axes are given, expected {count}")
    return given


def tiles(
    name: str, axes: Any, figure: Figure | None, count: int, columns: int, *, size: float = 1.3, caption: float = 0.3
) -> list[Axes]:
    """`count` small axes without ticks in rows of `columns`, each `size` inches wide, with room for a caption."""
    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))
    if axes is not None:  # only as many as are filled; new ones come as a full grid
        rows, columns = 1, count
    flat = panels(name, axes, figure, rows, columns, (columns * size, rows * (size + caption)))
    for panel in flat:
        panel.set_axis_off()
        panel.set_anchor("S")  # what is left of the height goes to the caption
    return flat[:count]


def tile(
    axes: Axes, image: NDArray[Any], title: str = "", *, signed: bool = False, colour: str = "black", cmap: str = "gray"
) -> None:
    """Draw one picture, (H, W) or (C, H, W) with 1 or 3 channels; `signed` ones in two colours around zero."""
    if image.ndim == 3:
        image = image[0] if image.shape[0] == 1 else np.moveaxis(image, 0, -1)  # (C, H, W) -> (H, W, C)
    if signed:
        reach = float(np.abs(image).max()) or 1.0
        axes.imshow(image, cmap="RdBu_r", vmin=-reach, vmax=reach)
    elif image.ndim == 3:
        low, high = float(image.min()), float(image.max())
        axes.imshow((image - low) / ((high - low) or 1.0))
    else:
        axes.imshow(image, cmap=cmap)
    if title:
        axes.set_title(title, fontsize=9, color=colour)

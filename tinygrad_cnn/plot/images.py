"""Pictures of pictures: samples with predictions, filters, feature maps, and the convolution refresher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_cnn.autograd import no_grad
from tinygrad_cnn.plot.canvas import BLUE, VERMILION, as_array, class_numbers, tile, tiles
from tinygrad_cnn.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["KERNELS", "feature_maps", "filters", "refresher", "samples"]

KERNELS = {
    "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    "horizontal edges": ((-1, -1, -1), (0, 0, 0), (1, 1, 1)),
    "vertical edges": ((-1, 0, 1), (-1, 0, 1), (-1, 0, 1)),
}


def samples(
    images: Any,
    labels: Any,
    predictions: Any,
    *,
    classes: Sequence[str] | None = None,
    confidence: Any = None,
    columns: int = 5,
    axes: Any = None,
    figure: Figure | None = None,
) -> list[Axes]:
    """Images (N, C, H, W) with what was predicted for each; wrong ones say what would have been right.

    labels, predictions: (N,) class numbers. classes: their names. confidence: (N,) probabilities of the predictions.
    Errors: ValueError for images that are not of 1 or 3 channels, and for other numbers of labels or predictions.
    """
    pictures = as_array(images)
    if pictures.ndim not in (3, 4) or len(pictures) == 0 or (pictures.ndim == 4 and pictures.shape[1] not in (1, 3)):
        raise ValueError(f"samples: images have the shape {pictures.shape}, expected (N, C, H, W) with 1 or 3 channels")
    many = None if classes is None else len(classes)
    right, guessed = class_numbers("samples", many, labels=labels, predictions=predictions)
    if len(right) != len(pictures):
        raise ValueError(f"samples: there are {len(pictures)} images and {len(right)} labels, expected as many of each")
    names = [str(i) for i in range(int(max(right.max(), guessed.max())) + 1)] if classes is None else list(classes)
    panels = tiles("samples", axes, figure, len(pictures), columns, caption=0.5)
    for i, panel in enumerate(panels):
        good = right[i] == guessed[i]
        title = names[guessed[i]]
        if confidence is not None:
            title += f"  {100 * float(as_array(confidence)[i]):.0f} %"
        title += "" if good else f"\n(is {names[right[i]]})"
        tile(panel, pictures[i], title, colour=BLUE if good else VERMILION)
    return panels


def filters(
    weight: Any, *, columns: int = 8, most: int = 64, axes: Any = None, figure: Figure | None = None
) -> list[Axes]:
    """The filters of a convolution, weight (O, C, KH, KW): red is positive, blue negative, white zero.

    Each input channel of each filter is a tile; the first `most` are shown.
    """
    kernels = as_array(weight)
    if kernels.ndim != 4:
        raise ValueError(f"filters: the weight has the shape {kernels.shape}, expected (O, C, KH, KW)")
    channels = kernels.shape[1]
    flat = kernels.reshape(-1, *kernels.shape[2:])[:most]  # (O, C, KH, KW) -> (O * C, KH, KW)
    panels = tiles("filters", axes, figure, len(flat), columns, size=1.1)
    for i, panel in enumerate(panels):
        title = f"filter {i + 1}" if channels == 1 else f"{i // channels + 1}, channel {i % channels + 1}"
        tile(panel, flat[i], title, signed=True)
    return panels


def feature_maps(
    image: Any, maps: Any, *, columns: int = 7, most: int = 32, axes: Any = None, figure: Figure | None = None
) -> list[Axes]:
    """An image (C, H, W), and what each filter makes of it, maps (F, H, W): one tile for each, the image first."""
    pictures = as_array(maps)[:most]
    panels = tiles("feature_maps", axes, figure, len(pictures) + 1, columns, size=1.2)
    tile(panels[0], as_array(image), "input")
    for i, panel in enumerate(panels[1:]):
        tile(panel, pictures[i], f"filter {i + 1}", signed=True)
    return panels


def refresher(image: Any, *, axes: Any = None, figure: Figure | None = None) -> list[Axes]:
    """What a convolution is: one image (H, W) or (1, H, W) under three classical 3x3 filters, by the op conv2d.

    >>> import numpy as np
    >>> [axes.get_title() for axes in refresher(np.eye(8))]
    ['input', 'sharpen', 'horizontal edges', 'vertical edges']
    """
    from tinygrad_cnn.nn.functional import conv2d

    picture = as_array(image).astype(np.float32)
    if picture.ndim not in (2, 3) or picture.shape[:-2] not in ((), (1,)):
        raise ValueError(f"refresher: the image has the shape {picture.shape}, expected (H, W) or (1, H, W)")
    picture = picture.reshape(1, 1, *picture.shape[-2:])  # (H, W) or (1, H, W) -> (1, 1, H, W)
    weight = np.array(list(KERNELS.values()), np.float32)[:, None]  # (3, 3, 3) -> (3, 1, 3, 3)
    with no_grad():
        results = as_array(conv2d(Tensor(picture), Tensor(weight)))[0]
    panels = tiles("refresher", axes, figure, 1 + len(KERNELS), 1 + len(KERNELS), size=1.6)
    tile(panels[0], picture[0], "input")
    for panel, result, name in zip(panels[1:], results, KERNELS, strict=True):
        tile(panel, result, name)
    return panels

"""Which module is quickest for a convolution of given shapes, and for its two gradients: worked out once, then known.

Each function gives the name of a module of `fast`, "pointwise", or None where the reference is to do it: small arrays,
three spatial dimensions, shapes that do not match. `setting` is that of `set_kernels`, `workers` the number of threads.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from tinygrad_cnn.kernels.sizes import Ints, conv_output_size

__all__ = ["Forward", "for_conv", "for_input", "for_weight"]

SMALL_CONV = 20_000  # multiply-adds: a small image and a few filters; see SMALL_ARRAY in dispatch.py
USEFUL_TILES = 0.35  # the part of Winograd's tiles that must be outputs
IMAGES_CACHE = 500_000  # floats of eight images, of a group's channels, that may be convolved at once


class Forward(NamedTuple):
    """The choice for a convolution: `spare` is for where Winograd's algorithm, if it was chosen, gives up."""

    name: str | None
    spare: str | None
    shape: Ints  # of the result

    @property
    def is_winograd(self) -> bool:
        """Whether it is one of the two modules for F(4x4, 3x3)."""
        return self.name != self.spare


@lru_cache(maxsize=1024)
def for_conv(
    x: Ints, w: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int, setting: str, workers: int
) -> Forward:
    """For the convolution of `x` with `w`, and for both gradients at once where it is Winograd's."""
    out = conv_output_size(x[2:], w[2:], stride, padding, dilation)
    y = (x[0], w[0], *out)
    if _is_pointwise(w, padding, setting):
        return Forward("pointwise", "pointwise", y)
    if not _is_direct(x, w, y, groups, setting):
        return Forward(None, None, y)
    spare = _lanes(x, groups, w[0] // groups, out[-1], (x[-1] + 2 * padding[-1]) / stride[-1], workers)
    return Forward(_winograd(x[0], w, out, stride, dilation, groups, setting, workers) or spare, spare, y)


@lru_cache(maxsize=1024)
def for_input(
    g: Ints, w: Ints, shape: Ints, padding: Ints, dilation: Ints, groups: int, setting: str, workers: int
) -> str | None:
    """For the gradient of an input of this shape."""
    if _is_pointwise(w, padding, setting):
        return "pointwise"
    if not _is_direct(shape, w, g, groups, setting):
        return None
    return _lanes(g, groups, w[1], shape[-1], shape[-1] + dilation[-1] * (w[-1] - 1), workers)


@lru_cache(maxsize=1024)
def for_weight(
    x: Ints, g: Ints, w: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int, setting: str, workers: int
) -> str | None:
    """For the gradient of a weight of shape `w`."""
    if _is_pointwise(w, padding, setting):
        return "pointwise"
    out = conv_output_size(x[2:], w[2:], stride, padding, dilation)
    if any(a > b for a, b in zip(g[2:], out, strict=True)) or not _is_direct(x, w, g, groups, setting):
        return None
    if g[2:] != out:  # "images" takes the pixels of g for all of those that the window passes
        return "direct"
    return _lanes(x, groups, w[0] // groups, g[-1], (x[-1] + 2 * padding[-1]) / stride[-1], workers)


def _is_pointwise(w: Ints, padding: Ints, setting: str) -> bool:
    """Kernels of one pixel, no padding, and enough channels for a product: no columns are needed."""
    return setting != "reference" and math.prod(w[2:]) == 1 and not any(padding) and min(w[:2]) >= 8


def _is_direct(x: Ints, w: Ints, y: Ints, groups: int, setting: str) -> bool:
    """Whether a fast kernel can do it, and sooner. It must not be reached by shapes that do not match."""
    if len(x) > 4 or min(y) < 1 or w[0] % groups or x[1] != w[1] * groups or y[:2] != (x[0], w[0]):
        return False
    work = x[0] * math.prod(y[2:]) * math.prod(w)
    return work > 0 and (setting == "fast" or (setting == "auto" and work >= SMALL_CONV))


def _lanes(x: Ints, groups: int, rows: int, useful: int, row: float, workers: int) -> str:
    """The module that has eight images in its lanes, or the direct kernel on planes.

    `x` is the shape that is read, `rows` are the output channels of a group. The one wastes lanes, the other what it
    computes beside the `useful` columns of a `row`. Large images would not fit a core's own cache.
    """
    n, channels, *size = x
    if rows in (2, 3) or channels // groups * 8 * math.prod(size) > IMAGES_CACHE:
        return "direct"
    return "images" if _lanes_used(n, workers) > 0.95 * useful / row else "direct"


def _lanes_used(n: int, workers: int) -> float:
    """The part of the lanes that is used if each thread takes eight of `n` images at once."""
    return n / (8 * workers * math.ceil(math.ceil(n / 8) / workers)) if n >= 8 else 0.0


def _winograd(
    n: int, w: Ints, out: Ints, stride: Ints, dilation: Ints, groups: int, setting: str, workers: int
) -> str | None:
    """The module for F(4x4, 3x3) if it beats the others: enough channels, and few spare tiles.

    One has tiles of an image in its lanes, so their number is rounded up to eights; the other has eight images.
    """
    if w[2:] != (3, 3) or stride != (1, 1) or dilation != (1, 1) or groups != 1:
        return None
    if min(w[:2]) < 16 or w[0] % 4 or w[1] % 4:
        return None
    high, wide = (-(-s // 4) for s in out)
    in_tiles = math.prod(out) / (16 * high * wide)
    by_tiles, by_images = high * wide / (8 * math.ceil(high * wide / 8)), _lanes_used(n, workers)
    name, used = ("winograd_images", by_images) if by_images > 0.9 * by_tiles else ("winograd", by_tiles)
    return name if in_tiles * used >= USEFUL_TILES or setting == "fast" else None

"""Saliency: which pixels a score depends on, asked in three ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_cnn.autograd import enable_grad, grad, no_grad
from tinygrad_cnn.creation import tensor
from tinygrad_cnn.nn.module import Module
from tinygrad_cnn.nn.utils import in_eval_mode
from tinygrad_cnn.plot.canvas import as_array, tile, tiles
from tinygrad_cnn.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["METHODS", "attribution", "saliency"]

Array = NDArray[Any]
METHODS = ("gradient", "integrated gradients", "occlusion")


def attribution(
    model: Callable[[Tensor], Any],
    image: Any,
    target: int | None = None,
    *,
    method: str = "gradient",
    baseline: Any = None,
    steps: int = 32,
    patch: int | None = None,
    stride: int | None = None,
) -> Array:
    """How much each pixel of `image` (C, H, W) matters for the model's score of class `target`: (H, W).

    method: "gradient", the magnitude of the score's slope (its maximum over the channels; Simonyan, Vedaldi,
    Zisserman, 2013, arXiv:1312.6034). "integrated gradients", each pixel's part of the difference between the scores
    of the image and of the baseline, by the midpoint rule in `steps` steps (Sundararajan, Taly, Yan, 2017,
    arXiv:1703.01365). "occlusion", by how much the score falls when a square of `patch` pixels around there is
    replaced by the baseline, a mean over the squares that hold the pixel (Zeiler, Fergus, 2013, arXiv:1311.2901).
    target: by default the class with the highest score. baseline: a number, or an image; by default the darkest pixel
    of the image. patch: default a quarter of the shorter side. stride: how far it is moved, default a quarter of it.
    A Module is asked in eval mode, and nobody's `.grad` changes.
    Errors: ValueError for another method, an image that is not (C, H, W), a model that gives no (N, classes) scores.

    >>> import tinygrad_cnn as tg
    >>> model = lambda x: tg.stack([x[:, 0, 0, 0], x.sum((1, 2, 3))], 1)
    >>> attribution(model, np.ones((1, 2, 2)), 0)
    array([[1., 0.],
           [0., 0.]])
    """
    picture = _floats(image)
    if method not in METHODS:
        raise ValueError(f"saliency: method is {method!r}, expected one of {', '.join(METHODS)}")
    base = np.broadcast_to(
        as_array(picture.min() if baseline is None else baseline).astype(picture.dtype), picture.shape
    )
    if target is None:
        target = _best(model, picture)
    with _eval(model):
        if method == "gradient":
            heat: Array = np.abs(_slope(model, picture[None], target)[0]).max(axis=0)  # (C, H, W) -> (H, W)
        elif method == "occlusion":
            patch = max(1, min(picture.shape[1:]) // 4) if patch is None else patch
            heat = _occlusion(model, picture, base, target, patch, max(1, patch // 4) if stride is None else stride)
        else:
            shares = ((np.arange(steps) + 0.5) / steps).astype(picture.dtype)
            path = base + shares[:, None, None, None] * (picture - base)  # (steps, C, H, W)
            heat = ((picture - base) * _slope(model, path, target).mean(axis=0)).sum(axis=0)
    return heat


def _floats(image: Any) -> Array:
    """The image as float32, or float64 if it is so."""
    picture = as_array(image)
    if picture.ndim != 3:
        raise ValueError(f"saliency: the image has shape {picture.shape}, expected (C, H, W)")
    return picture.astype(np.float64 if picture.dtype == np.float64 else np.float32, copy=False)


def _eval(model: Any) -> AbstractContextManager[None]:
    return in_eval_mode(model) if isinstance(model, Module) else nullcontext()


def _best(model: Callable[[Tensor], Any], picture: Array) -> int:
    """The class with the highest score."""
    with _eval(model):
        return int(_scores(model, picture[None])[0].argmax())


def _scores(model: Callable[[Tensor], Any], images: Array) -> Array:
    """The scores (N, classes) of images (N, C, H, W)."""
    with no_grad():
        return _checked(model(Tensor(images)), len(images))._array


def _checked(scores: Any, count: int) -> Tensor:
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores._array) != count:
        found = scores.shape if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"saliency: the model gives {found} for {count} images, expected scores ({count}, classes)")
    return scores


def _slope(model: Callable[[Tensor], Any], images: Array, target: int) -> Array:
    """The gradient of each image's score with respect to that image: (N, C, H, W)."""
    x = tensor(images, requires_grad=True)
    with enable_grad():
        (slope,) = grad(_checked(model(x), len(images))[:, target].sum(), x)
    return as_array(slope)


def _occlusion(
    model: Callable[[Tensor], Any], picture: Array, base: Array, target: int, patch: int, stride: int
) -> Array:
    height, width = picture.shape[1:]
    if not 1 <= patch <= min(height, width):
        raise ValueError(f"saliency: patch is {patch}, expected 1 to {min(height, width)} for {height}x{width} pixels")
    if not 1 <= stride <= patch:
        raise ValueError(
            f"saliency: stride is {stride}, expected 1 to {patch}, the patch, so that no pixel is left out"
        )
    whole = _scores(model, picture[None])[0, target]
    fall, seen = np.zeros((height, width), picture.dtype), np.zeros((height, width), picture.dtype)
    tops, lefts = (sorted({*range(0, side - patch, stride), side - patch}) for side in (height, width))
    for top in tops:
        squares = [(slice(top, top + patch), slice(left, left + patch)) for left in lefts]
        covered = np.repeat(picture[None], len(squares), axis=0)  # one row of squares is one batch
        for image, (rows, columns) in zip(covered, squares, strict=True):
            image[:, rows, columns] = base[:, rows, columns]
        for (rows, columns), score in zip(squares, _scores(model, covered)[:, target], strict=True):
            fall[rows, columns] += whole - score
            seen[rows, columns] += 1
    return fall / seen


def saliency(
    model: Callable[[Tensor], Any],
    image: Any,
    target: int | None = None,
    *,
    methods: Sequence[str] = METHODS,
    classes: Sequence[str] | None = None,
    axes: Any = None,
    figure: Figure | None = None,
    **options: Any,
) -> list[Axes]:
    """An image (C, H, W), and a map of the pixels on which the score of class `target` depends, for each method.

    Bright pixels of the gradient matter most; in the other maps, red pixels speak for the class and blue ones against
    it. classes: their names. options: baseline, steps, patch and stride, as for `attribution`, which computes the maps.
    """
    picture = _floats(image)
    if target is None:
        target = _best(model, picture)
    maps = [attribution(model, picture, target, method=method, **options) for method in methods]
    flat = tiles("saliency", axes, figure, 1 + len(maps), 1 + len(maps), size=1.6)
    tile(flat[0], picture, f"why {target if classes is None else classes[target]}?")
    for panel, values, method in zip(flat[1:], maps, methods, strict=True):
        tile(panel, values, method, signed=method != "gradient", cmap="inferno")
    return flat

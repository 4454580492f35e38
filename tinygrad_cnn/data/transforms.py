"""Transforms of images: functions of (array, generator), which give a new array of the same shape and dtype.

Arrays are (N, C, H, W), or (C, H, W) for one image; every image of a batch gets random numbers of its own,
from `generator` (default: the one that `manual_seed` sets). The other arguments are set by
`functools.partial`, and several transforms become one by `Compose`:

>>> from functools import partial
>>> import numpy as np
>>> augment = Compose([partial(random_shift, pixels=1), partial(add_noise, std=0.1)])
>>> augment(np.zeros((8, 1, 28, 28), np.float32), Generator().manual_seed(0)).shape
(8, 1, 28, 28)

Where an image moves, what comes in from outside is `fill`, or by default the nearest pixel of the edge:
that fits images before and after normalization.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinygrad_cnn.random import Generator, default_generator

__all__ = [
    "Compose",
    "Transform",
    "add_noise",
    "normalize",
    "random_affine",
    "random_erasing",
    "random_horizontal_flip",
    "random_rotation",
    "random_shift",
]

Transform: TypeAlias = Callable[[NDArray[Any], Generator | None], NDArray[Any]]
"""A function of (images, generator)."""


class Compose:
    """Several transforms as one: each gets what the one before it gave."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)

    def __call__(self, x: NDArray[Any], generator: Generator | None = None) -> NDArray[Any]:
        for transform in self.transforms:
            x = transform(x, generator)
        return x


def normalize(
    x: NDArray[Any],
    generator: Generator | None = None,
    *,
    mean: float | Sequence[float],
    std: float | Sequence[float],
) -> NDArray[Any]:
    """(x - mean) / std, with numbers or one number for each channel; nothing is drawn.

    Errors: TypeError for an x of integers, ValueError for a std of 0.

    >>> import numpy as np
    >>> normalize(np.full((1, 2, 2), 3.0), mean=1.0, std=2.0).tolist()
    [[[1.0, 1.0], [1.0, 1.0]]]
    """
    _require_float("normalize", x)
    shift, scale = (np.reshape(np.asarray(v, x.dtype), (-1, 1, 1)) for v in (mean, std))  # (C,) -> (C, 1, 1)
    if not scale.all():
        raise ValueError(f"normalize: std is {std}, expected no 0")
    result: NDArray[Any] = (_batch("normalize", x) - shift) / scale
    return result.reshape(x.shape)


def random_horizontal_flip(x: NDArray[Any], generator: Generator | None = None, *, p: float = 0.5) -> NDArray[Any]:
    """Mirror each image left to right with probability `p`.

    >>> import numpy as np
    >>> random_horizontal_flip(np.array([[[1, 2, 3]]]), p=1.0).tolist()
    [[[3, 2, 1]]]
    """
    _require_probability("random_horizontal_flip", p)
    batch, rng = _batch("random_horizontal_flip", x), _numpy(generator)
    chosen = rng.random((len(batch), 1, 1, 1)) < p
    return np.where(chosen, batch[..., ::-1], batch).reshape(x.shape)


def random_shift(
    x: NDArray[Any], generator: Generator | None = None, *, pixels: int = 2, fill: float | None = None
) -> NDArray[Any]:
    """Move each image by whole pixels, from -`pixels` to `pixels` down and to the right.

    Errors: ValueError for negative `pixels`.

    >>> import numpy as np
    >>> random_shift(np.ones((2, 1, 3, 3)), pixels=1).tolist() == np.ones((2, 1, 3, 3)).tolist()
    True
    """
    if pixels < 0:
        raise ValueError(f"random_shift: pixels is {pixels}, expected 0 or more")
    batch, rng = _batch("random_shift", x), _numpy(generator)
    N, C, H, W = batch.shape
    down, right = rng.integers(-pixels, pixels, size=(2, N, 1), endpoint=True)
    rows, columns = np.arange(H) - down, np.arange(W) - right  # (N, H), (N, W): where each pixel comes from
    near_rows, near_columns = np.clip(rows, 0, H - 1), np.clip(columns, 0, W - 1)
    n, c = np.ogrid[:N, :C]
    moved: NDArray[Any] = batch[
        n[..., None, None], c[..., None, None], near_rows[:, None, :, None], near_columns[:, None, None, :]
    ]
    if fill is not None:
        outside = (rows != near_rows)[:, None, :, None] | (columns != near_columns)[:, None, None, :]
        np.copyto(moved, np.asarray(fill, x.dtype), where=outside)
    return moved.reshape(x.shape)


def random_rotation(
    x: NDArray[Any], generator: Generator | None = None, *, degrees: float = 10.0, fill: float | None = None
) -> NDArray[Any]:
    """Turn each image about its centre by an angle from -`degrees` to `degrees`, with bilinear interpolation.

    Errors: TypeError for an x of integers.
    """
    return random_affine(x, generator, degrees=degrees, fill=fill)


def random_affine(
    x: NDArray[Any],
    generator: Generator | None = None,
    *,
    degrees: float = 0.0,
    translate: tuple[float, float] = (0.0, 0.0),
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
    fill: float | None = None,
) -> NDArray[Any]:
    """Shear, turn and scale each image about its centre, then move it, with bilinear interpolation.

    The angle is drawn from -`degrees` to `degrees` (positive: counter-clockwise), the shear along x from
    -`shear` to `shear` degrees, the factor from `scale[0]` to `scale[1]`, and the move right and down from
    -`translate` to `translate`, as parts of the width and the height.
    Errors: TypeError for an x of integers, ValueError for a scale that is not positive.
    """
    _require_float("random_affine", x)
    if not 0 < scale[0] <= scale[1]:
        raise ValueError(f"random_affine: scale is {scale}, expected two positive numbers, the smaller one first")
    batch, rng = _batch("random_affine", x), _numpy(generator)
    N, _, H, W = batch.shape
    angle, slant = np.deg2rad([[degrees], [shear]]) * rng.uniform(-1, 1, (2, N))
    factor = rng.uniform(*scale, size=(N,))
    move = rng.uniform(-1, 1, (N, 2)) * (translate[1] * H, translate[0] * W)
    return _warp(batch, _matrices(angle, slant, factor), move, fill).reshape(x.shape)


def _matrices(angle: NDArray[Any], slant: NDArray[Any], factor: NDArray[Any]) -> NDArray[Any]:
    """What moves a point (y, x) seen from the centre, y running down: scale @ turn @ shear, (N, 2, 2)."""
    cos, sin, one, zero = np.cos(angle), np.sin(angle), np.ones_like(angle), np.zeros_like(angle)
    turn = np.array([[cos, -sin], [sin, cos]]) * factor
    shear = np.array([[one, zero], [np.tan(slant), one]])
    matrices: NDArray[Any] = np.einsum("ijn,jkn->nik", turn, shear)
    return matrices


def _warp(batch: NDArray[Any], matrices: NDArray[Any], move: NDArray[Any], fill: float | None) -> NDArray[Any]:
    """Each image with its points moved by matrix (N, 2, 2), about the centre, and then by `move` (N, 2)."""
    from scipy.ndimage import affine_transform

    centre = (np.array(batch.shape[-2:]) - 1) / 2
    back = np.linalg.inv(matrices)  # scipy asks where each new pixel comes from
    offsets = centre - np.einsum("nij,nj->ni", back, centre + move)
    mode, value = ("nearest", 0.0) if fill is None else ("grid-constant", fill)
    out = np.empty_like(batch)
    for image, matrix, offset, result in zip(batch, back, offsets, out, strict=True):
        for channel, target in zip(image, result, strict=True):
            affine_transform(channel, matrix, offset, output=target, order=1, mode=mode, cval=value)
    return out


def add_noise(x: NDArray[Any], generator: Generator | None = None, *, std: float = 0.1) -> NDArray[Any]:
    """Add normal noise of standard deviation `std` to every pixel; nothing is clipped.

    Errors: TypeError for an x of integers, ValueError for a negative std.
    """
    _require_float("add_noise", x)
    if std < 0:
        raise ValueError(f"add_noise: std is {std}, expected 0 or more")
    _batch("add_noise", x)
    noisy: NDArray[Any] = x + _numpy(generator).normal(0.0, std, x.shape).astype(x.dtype)
    return noisy


def random_erasing(
    x: NDArray[Any],
    generator: Generator | None = None,
    *,
    p: float = 0.5,
    scale: tuple[float, float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 3.3),
    value: float = 0.0,
) -> NDArray[Any]:
    """Set a rectangle of each image to `value`, with probability `p`.

    Its area is drawn from `scale`, as a part of the image; height / width from `ratio`, evenly in the logarithm;
    a side longer than the image is cut to it. Source: Zhong et al., Random Erasing (2017), arXiv:1708.04896.
    """
    _require_probability("random_erasing", p)
    if not (0 <= scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1]):
        raise ValueError(f"random_erasing: scale is {scale} and ratio {ratio}, expected ranges in (0, 1] and (0, inf)")
    batch, rng = _batch("random_erasing", x), _numpy(generator)
    N, _, H, W = batch.shape
    chosen = rng.random((N, 1, 1, 1)) < p
    area = rng.uniform(*scale, size=(N,)) * H * W
    narrow, wide = np.log(ratio)
    aspect = np.exp(rng.uniform(narrow, wide, size=(N,)))
    rows = _random_spans(rng, H, np.sqrt(area * aspect))[:, None, :, None]
    columns = _random_spans(rng, W, np.sqrt(area / aspect))[:, None, None, :]
    return np.where(chosen & rows & columns, np.asarray(value, x.dtype), batch).reshape(x.shape)


def _random_spans(rng: np.random.Generator, size: int, lengths: NDArray[Any]) -> NDArray[np.bool_]:
    """For each length, where a span of it lies that is put at random within `size` places: (N, size)."""
    spans = np.clip(np.rint(lengths).astype(int), 1, size)[:, None]
    start = rng.integers(0, size - spans, endpoint=True)
    places = np.arange(size)
    inside: NDArray[np.bool_] = (places >= start) & (places < start + spans)
    return inside


def _batch(name: str, x: NDArray[Any]) -> NDArray[Any]:
    """The images as a batch (N, C, H, W)."""
    if x.ndim not in (3, 4):
        raise ValueError(f"{name}: x has shape {x.shape}, expected (N, C, H, W) or (C, H, W)")
    return x if x.ndim == 4 else x[None]


def _numpy(generator: Generator | None) -> np.random.Generator:
    return (generator or default_generator).numpy


def _require_float(name: str, x: NDArray[Any]) -> None:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: x is {x.dtype}, expected floating point numbers")


def _require_probability(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p is {p}, expected a probability from 0 to 1")

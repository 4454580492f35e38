"""What convolutions and pools share: a padded copy of the input, and one strided view of it per kernel tap.

A tap is a position inside the kernel. The elements that all windows have at one tap form a regular grid,
so a kernel of k taps is a loop over k views; nothing ever loops over output positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_cnn.kernels.sizes import Ints

Array = np.ndarray[Any, np.dtype[Any]]


def pad(x: Array, before: Ints, after: Ints, value: float = 0.0) -> Array:
    """`x` (N, C, *S) with `value` around its spatial dimensions; `x` itself where there is nothing to add.

    >>> pad(np.ones((1, 1, 2)), (1,), (2,))
    array([[[0., 1., 1., 0., 0.]]])
    """
    if not any(before) and not any(after):
        return x
    size = x.shape[2:]
    shape = tuple(b + s + a for b, s, a in zip(before, size, after, strict=True))
    padded = np.full(x.shape[:2] + shape, value, x.dtype)
    padded[inside(before, size)] = x
    return padded


def inside(before: Ints, size: Ints) -> tuple[Any, ...]:
    """The index of the unpadded part of a padded array."""
    return (..., *(slice(b, b + s) for b, s in zip(before, size, strict=True)))


def taps(kernel_size: Ints) -> Iterator[Ints]:
    """Every position inside the kernel, the last dimension running fastest.

    >>> list(taps((2, 2)))
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    return iter(np.ndindex(*kernel_size))


def tap_view(padded: Array, tap: Ints, stride: Ints, dilation: Ints, out: Ints) -> Array:
    """The view (..., *out) of `padded` that holds, for every window, its element at `tap`."""
    places = (slice(t * d, t * d + n * s, s) for t, s, d, n in zip(tap, stride, dilation, out, strict=True))
    grid: Any = (..., *places)
    view: Array = padded[grid]
    return view


def right_overhang(size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints) -> Ints:
    """How far the last window reaches beyond the input, at least 0 (ceil_mode can exceed the padding)."""
    return tuple(
        max(0, (n - 1) * st + (k - 1) * d + 1 - p - s)
        for s, k, st, p, d, n in zip(size, kernel_size, stride, padding, dilation, out, strict=True)
    )

"""Max and average pools with their adjoints, one sweep over the output per kernel tap.

A max pool first chooses (integers: which tap of its window won), then moves numbers (gather, scatter).
"""

from __future__ import annotations

import functools
import math

import numpy as np

from tinygrad_cnn.kernels.reference.windows import Array, inside, pad, right_overhang, tap_view, taps
from tinygrad_cnn.kernels.sizes import Ints, pool_output_size


def max_pool(
    x: Array, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool = False
) -> tuple[Array, Array]:
    """Largest element of each window of `x` (N, C, *S), and which tap it was: two arrays (N, C, *OS).

    As in PyTorch the first maximum wins, NaN wins over every number (of several NaN the last),
    and padding is never chosen. Offsets are uint8 for windows of at most 255 taps, else int32.

    >>> y, offsets = max_pool(np.array([[[1.0, 3.0, 2.0, 2.0]]]), (2,), (2,), (0,), (1,))
    >>> y, offsets
    (array([[[3., 2.]]]), array([[[1, 0]]], dtype=uint8))
    """
    size = x.shape[2:]
    out = pool_output_size(size, kernel_size, stride, padding, dilation, ceil_mode)
    after = right_overhang(size, kernel_size, stride, padding, dilation, out)
    least = -math.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    padded = pad(x, padding, after, least)
    y = np.full(x.shape[:2] + out, least, x.dtype)
    offsets = np.empty(y.shape, np.uint8 if math.prod(kernel_size) <= 255 else np.int32)
    # A window of nothing but the least number chooses the first of its taps that lies inside the input.
    offsets[...] = _first_taps(kernel_size, stride, padding, dilation, out)
    for number, tap in enumerate(taps(kernel_size)):
        value = tap_view(padded, tap, stride, dilation, out)
        better = (value > y) | (value != value)
        np.copyto(y, value, where=better)
        offsets[better] = number
    return y, offsets


def max_pool_gather(x: Array, offsets: Array, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Array:
    """The elements of `x` (N, C, *S) at the taps `offsets` (N, C, *OS): (N, C, *OS), linear in x.

    >>> chosen = np.array([[[1, 0]]], np.uint8)
    >>> max_pool_gather(np.array([[[1.0, 3.0, 2.0, 2.0]]]), chosen, (2,), (2,), (0,), (1,))
    array([[[3., 2.]]])
    """
    size, out = x.shape[2:], offsets.shape[2:]
    after = right_overhang(size, kernel_size, stride, padding, dilation, out)
    padded = pad(x, padding, after)
    y = np.zeros(offsets.shape, x.dtype)
    for number, tap in enumerate(taps(kernel_size)):
        np.copyto(y, tap_view(padded, tap, stride, dilation, out), where=offsets == number)
    return y


def max_pool_scatter(
    g: Array, offsets: Array, shape: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints
) -> Array:
    """Adjoint of `max_pool_gather`: adds each `g` (N, C, *OS) to the element chosen, gives `shape` (N, C, *S).

    >>> chosen = np.array([[[1, 0]]], np.uint8)
    >>> max_pool_scatter(np.array([[[5.0, 7.0]]]), chosen, (1, 1, 4), (2,), (2,), (0,), (1,))
    array([[[0., 5., 7., 0.]]])
    """
    size, out = shape[2:], g.shape[2:]
    after = right_overhang(size, kernel_size, stride, padding, dilation, out)
    padded = tuple(p + s + a for p, s, a in zip(padding, size, after, strict=True))
    dx = np.zeros(shape[:2] + padded, g.dtype)
    for number, tap in enumerate(taps(kernel_size)):
        view = tap_view(dx, tap, stride, dilation, out)
        np.add(view, g, out=view, where=offsets == number)
    return np.ascontiguousarray(dx[inside(padding, size)])


def max_pool_flat_indices(
    offsets: Array, shape: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints
) -> Array:
    """PyTorch's `return_indices`: where in its flattened plane of `shape` (N, C, *S) each choice lies, int64.

    >>> max_pool_flat_indices(np.array([[[1, 0]]], np.uint8), (1, 1, 4), (2,), (2,), (0,), (1,))
    array([[[1, 2]]])
    """
    size, out = shape[2:], offsets.shape[2:]
    flat = np.zeros(offsets.shape, np.int64)
    within = np.unravel_index(offsets.astype(np.int64), kernel_size)
    for axis, tap in enumerate(within):
        start = _along(np.arange(out[axis]) * stride[axis] - padding[axis], axis, len(out))
        flat = flat * size[axis] + start + tap * dilation[axis]
    return flat


def avg_pool(
    x: Array,
    kernel_size: Ints,
    stride: Ints,
    padding: Ints,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Mean of each window of `x` (N, C, *S): (N, C, *OS), the sum taken one dimension after the other.

    >>> avg_pool(np.array([[[1.0, 3.0, 2.0, 4.0]]]), (2,), (2,), (0,))
    array([[[2., 3.]]])
    """
    size, ones = x.shape[2:], (1,) * len(kernel_size)
    out = pool_output_size(size, kernel_size, stride, padding, ones, ceil_mode)
    after = right_overhang(size, kernel_size, stride, padding, ones, out)
    wide = np.promote_types(x.dtype, np.float32)  # the sum of a large window, and the length of it, are no float16
    y = pad(x.astype(wide, copy=False), padding, after)
    for axis in range(len(size)):
        lines = [_line(y, axis, tap, stride[axis], out[axis]) for tap in range(kernel_size[axis])]
        y = functools.reduce(np.add, lines)
    y = y / window_divisor(wide, size, out, kernel_size, stride, padding, count_include_pad, divisor_override)
    return np.ascontiguousarray(y, x.dtype)


def avg_pool_input(
    g: Array,
    shape: Ints,
    kernel_size: Ints,
    stride: Ints,
    padding: Ints,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Adjoint of `avg_pool`: spreads `g` (N, C, *OS) evenly over its windows, gives `shape` (N, C, *S).

    >>> avg_pool_input(np.array([[[2.0, 4.0]]]), (1, 1, 4), (2,), (2,), (0,))
    array([[[1., 1., 2., 2.]]])
    """
    size, out, ones = shape[2:], g.shape[2:], (1,) * len(kernel_size)
    after = right_overhang(size, kernel_size, stride, padding, ones, out)
    wide = np.promote_types(g.dtype, np.float32)
    dx = g / window_divisor(wide, size, out, kernel_size, stride, padding, count_include_pad, divisor_override)
    dx = dx.astype(g.dtype, copy=False)
    for axis in range(len(size)):
        whole = list(dx.shape)
        whole[2 + axis] = padding[axis] + size[axis] + after[axis]
        spread = np.zeros(whole, g.dtype)
        for tap in range(kernel_size[axis]):
            _line(spread, axis, tap, stride[axis], out[axis])[...] += dx
        dx = spread
    return np.ascontiguousarray(dx[inside(padding, size)])


def _line(x: Array, axis: int, tap: int, stride: int, out: int) -> Array:
    """The elements of `x` at one tap of the windows along one spatial dimension."""
    return x[(slice(None),) * (2 + axis) + (slice(tap, tap + out * stride, stride),)]


def window_divisor(
    dtype: np.dtype[np.floating],
    size: Ints,
    out: Ints,
    kernel_size: Ints,
    stride: Ints,
    padding: Ints,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """What each window's sum is divided by, (*OS): padding counts on request, ceil_mode's overhang never."""
    if divisor_override is not None:
        return np.asarray(divisor_override, dtype)
    counts = np.ones((), np.int64)
    for axis, k in enumerate(kernel_size):
        start = np.arange(out[axis]) * stride[axis] - padding[axis]
        stop = np.minimum(start + k, size[axis] + padding[axis])
        if not count_include_pad:
            start, stop = np.maximum(start, 0), np.minimum(stop, size[axis])
        counts = counts * _along(stop - start, axis, len(kernel_size))
    return counts.astype(dtype)


def _first_taps(kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints) -> Array:
    """The number of each window's first tap that is not left padding, (*OS)."""
    number = np.zeros((), np.int64)
    for axis, k in enumerate(kernel_size):
        outside = padding[axis] - np.arange(out[axis]) * stride[axis]
        first = np.maximum(0, -(-outside // dilation[axis]))
        number = number * k + _along(first, axis, len(kernel_size))
    return number


def _along(line: Array, axis: int, ndim: int) -> Array:
    """A vector as an array of `ndim` dimensions that runs along `axis`."""
    return line.reshape((1,) * axis + (-1,) + (1,) * (ndim - axis - 1))

"""Convolution (cross-correlation, as every CNN framework calls it) and its two adjoints, by columns and matmul.

For a block of images the inputs that a window sees are laid out as a column; then the convolution is
one matrix product per group, the weight's gradient the product with the columns transposed, and the
input's gradient the product with the weight transposed, its columns added back to where they came from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_cnn.kernels.reference.windows import Array, inside, pad, tap_view, taps
from tinygrad_cnn.kernels.sizes import Ints, conv_output_size

# Elements of one block of columns: about what a core's own cache holds, so the product finds it there.
BLOCK = 1 << 18


def conv(x: Array, w: Array, b: Array | None, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """Correlate `x` (N, C, *S) with `w` (O, C/groups, *K), add `b` (O,): (N, O, *OS).

    >>> x = np.arange(4.0).reshape(1, 1, 4)
    >>> conv(x, np.array([[[1.0, 2.0]]]), None, (1,), (0,), (1,), 1)
    array([[[2., 5., 8.]]])
    """
    n, o, kernel = len(x), len(w), w.shape[2:]
    out = conv_output_size(x.shape[2:], kernel, stride, padding, dilation)
    rows = np.ascontiguousarray(w).reshape(groups, o // groups, math.prod(w.shape[1:]))
    y = np.empty((n, o, *out), np.result_type(x, w))
    for block in _blocks(n, x.shape[1] * math.prod(kernel) * math.prod(out)):
        columns = _columns(x[block], kernel, out, stride, padding, dilation, groups)
        product = np.matmul(rows, columns).reshape(o, -1, *out)
        y[block] = product.swapaxes(0, 1)  # (O, N, *OS) -> (N, O, *OS)
    if b is not None:
        y += b.reshape(o, *[1] * len(out))
    return y


def conv_input(g: Array, w: Array, shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """Adjoint of `conv` in x: `g` (N, O, *OS) and `w` give (N, C, *S) = `shape`. Also conv_transpose's forward.

    >>> g = np.array([[[1.0, 0.0, 1.0]]])
    >>> conv_input(g, np.array([[[1.0, 2.0]]]), (1, 1, 4), (1,), (0,), (1,), 1)
    array([[[1., 2., 1., 2.]]])
    """
    n, o, out = len(g), len(w), g.shape[2:]
    kernel, per_group = w.shape[2:], w.shape[1]
    rows = np.ascontiguousarray(w).reshape(groups, o // groups, math.prod(w.shape[1:]))
    columns_of = np.ascontiguousarray(rows.transpose(0, 2, 1))  # (G, O/G, C/G * K) -> (G, C/G * K, O/G)
    padded = tuple(s + 2 * p for s, p in zip(shape[2:], padding, strict=True))
    dx = np.zeros((n, shape[1], *padded), np.result_type(g, w))
    for block in _blocks(n, shape[1] * math.prod(kernel) * math.prod(out)):
        columns = np.matmul(columns_of, _lines(g[block], groups))
        columns = columns.reshape(groups * per_group, *kernel, -1, *out)
        for tap in taps(kernel):
            into = tap_view(dx[block], tap, stride, dilation, out)
            into += columns[:, *tap].swapaxes(0, 1)  # (C, N, *OS) -> (N, C, *OS)
    return np.ascontiguousarray(dx[inside(padding, shape[2:])])


def conv_weight(x: Array, g: Array, shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """Adjoint of `conv` in w: `x` (N, C, *S) and `g` (N, O, *OS) give (O, C/groups, *K) = `shape`.

    >>> x = np.arange(4.0).reshape(1, 1, 4)
    >>> conv_weight(x, np.ones((1, 1, 3)), (1, 1, 2), (1,), (0,), (1,), 1)
    array([[[3., 6.]]])
    """
    n, o, kernel, out = len(x), shape[0], shape[2:], g.shape[2:]
    dw = np.zeros((groups, o // groups, math.prod(shape[1:])), np.result_type(x, g))
    for block in _blocks(n, x.shape[1] * math.prod(kernel) * math.prod(out)):
        columns = _columns(x[block], kernel, out, stride, padding, dilation, groups)
        dw += np.matmul(_lines(g[block], groups), columns.swapaxes(1, 2))
    return dw.reshape(shape)


def conv_backward(
    g: Array,
    x: Array,
    w: Array,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
    needs: tuple[bool, bool, bool],
) -> tuple[Array | None, Array | None, Array | None]:
    """The gradients of x, w and the bias at once; None for one that `needs` does not ask for.

    >>> x, w = np.ones((1, 1, 3)), np.ones((1, 1, 2))
    >>> conv_backward(np.ones((1, 1, 2)), x, w, (1,), (0,), (1,), 1, (False, True, True))
    (None, array([[[2., 2.]]]), array([2.]))
    """
    dx = conv_input(g, w, x.shape, stride, padding, dilation, groups) if needs[0] else None
    dw = conv_weight(x, g, w.shape, stride, padding, dilation, groups) if needs[1] else None
    db = g.sum(axis=(0, *range(2, g.ndim))) if needs[2] else None
    return dx, dw, db


def _blocks(images: int, elements: int) -> Iterator[slice]:
    """Cut the batch so that the columns of a block, `elements` per image, stay within BLOCK."""
    step = max(1, BLOCK // max(1, elements))
    return (slice(start, start + step) for start in range(0, images, step))


def _columns(x: Array, kernel: Ints, out: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """(N, C, *S) -> (G, C/G * K, N * OS): row (c, tap) holds what each window has at that tap of channel c."""
    n, c = x.shape[:2]
    padded = pad(x, padding, padding)
    columns = np.empty((c, *kernel, n, *out), x.dtype)
    for tap in taps(kernel):
        here: Any = (slice(None), *tap)
        columns[here] = tap_view(padded, tap, stride, dilation, out).swapaxes(0, 1)  # (N, C, *OS) -> (C, N, *OS)
    return columns.reshape(groups, c // groups * math.prod(kernel), n * math.prod(out))


def _lines(g: Array, groups: int) -> Array:
    """(N, O, *OS) -> (G, O/G, N * OS): one row per channel."""
    n, o = g.shape[:2]
    return np.ascontiguousarray(g.swapaxes(0, 1)).reshape(groups, o // groups, n * math.prod(g.shape[2:]))

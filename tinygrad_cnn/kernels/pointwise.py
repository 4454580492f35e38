"""Convolution with kernels of one pixel (1 x 1): a matrix product per image and group, by BLAS, any float dtype.

An image's pixels are one row per channel, which is just what a product needs: nothing is copied into columns. A
stride only leaves pixels out. No padding; dilation means nothing here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.sizes import Ints

Array = np.ndarray[Any, np.dtype[Any]]

# Elements of the products of a block of images that are then added up.
BLOCK = 1 << 19


def conv(x: Array, w: Array, b: Array | None, stride: Ints, groups: int) -> Array:
    """`reference.conv` for such kernels.

    >>> conv(np.ones((1, 2, 3)), np.ones((1, 2, 1)), None, (2,), 1)
    array([[[2., 2.]]])
    """
    thinned = _thinned(x, stride)
    y = np.empty((len(x), len(w), *thinned.shape[2:]), np.result_type(x, w))
    bias = None if b is None else b.reshape(groups, -1, 1)
    _multiply(_matrices(w, groups), _pixels(thinned, groups), _pixels(y, groups), bias)
    return y


def conv_input(g: Array, w: Array, shape: Ints, stride: Ints, groups: int) -> Array:
    """`reference.conv_input` for such kernels.

    >>> conv_input(np.ones((1, 1, 2)), np.ones((1, 2, 1)), (1, 2, 3), (2,), 1)
    array([[[1., 0., 1.],
            [1., 0., 1.]]])
    """
    found = np.empty((len(g), shape[1], *g.shape[2:]), np.result_type(g, w))
    _multiply(_matrices(w, groups).swapaxes(1, 2), _pixels(g, groups), _pixels(found, groups), None)
    if found.shape == shape:
        return found
    dx = np.zeros(shape, found.dtype)
    _thinned(dx, stride)[tuple(slice(s) for s in found.shape)] = found
    return dx


def conv_weight(x: Array, g: Array, shape: Ints, stride: Ints, groups: int) -> tuple[Array, Array]:
    """`reference.conv_weight` for such kernels; the bias's gradient comes with it.

    >>> conv_weight(np.ones((1, 2, 3)), np.ones((1, 1, 2)), (1, 2, 1), (2,), 1)
    (array([[[2.],
            [2.]]]), array([2.]))
    """
    covered: Any = (..., *(slice(s) for s in g.shape[2:]))
    pixels, errors = _pixels(_thinned(x, stride)[covered], groups), _pixels(g, groups)
    cuts = threads.parts(len(x), g.size * shape[1])
    sums = np.zeros((len(cuts), groups, shape[0] // groups, shape[1]), np.result_type(x, g))
    bias = np.zeros((len(cuts), groups, shape[0] // groups), g.dtype)
    with threads.one_blas_thread():
        threads.run(_add_products, [(errors, pixels, sums[i], bias[i], *cut) for i, cut in enumerate(cuts)])
    return sums.sum(axis=0).reshape(shape), bias.sum(axis=0).ravel()


def _thinned(x: Array, stride: Ints) -> Array:
    """The pixels that a stride leaves, as a view."""
    steps: Any = (..., *(slice(None, None, s) for s in stride))
    thinned: Array = x[steps]
    return thinned


def _pixels(x: Array, groups: int) -> Array:
    """(N, C, *S) -> (N, G, C/G, S); a view of what is C-contiguous."""
    return x.reshape(len(x), groups, x.shape[1] // groups, math.prod(x.shape[2:]))


def _matrices(w: Array, groups: int) -> Array:
    """(O, C/G, 1, ...) -> (G, O/G, C/G)."""
    return w.reshape(groups, len(w) // groups, w.shape[1])


def _multiply(matrices: Array, x: Array, y: Array, bias: Array | None) -> None:
    """`matrices` times the pixels of each image, into `y`, plus the bias."""
    cuts = threads.parts(len(x), x.size * matrices.shape[1])
    with threads.one_blas_thread():
        threads.run(_multiply_images, [(matrices, x, y, bias, *cut) for cut in cuts])


def _multiply_images(matrices: Array, x: Array, y: Array, bias: Array | None, n0: int, n1: int) -> None:
    for n in range(n0, n1):  # one by one, so that the bias finds an image in the cache
        np.matmul(matrices, x[n], out=y[n])
        if bias is not None:
            y[n] += bias


def _add_products(errors: Array, pixels: Array, sums: Array, bias: Array, n0: int, n1: int) -> None:
    step = max(1, BLOCK // max(1, sums.size))
    ones = np.ones(errors.shape[3], errors.dtype)  # a product with ones is a quick sum
    for n in range(n0, n1, step):
        here = slice(n, min(n + step, n1))
        sums += np.matmul(errors[here], pixels[here].swapaxes(2, 3)).sum(axis=0)
        bias += np.matmul(errors[here], ones).sum(axis=0)

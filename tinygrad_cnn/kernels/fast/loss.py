"""Softmax and cross-entropy, a row at a time: no array of exponentials, no second pass over the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, float32, int64, void

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.fast.simd import filled, get, given, helper, kernel, pointer, put

Array = np.ndarray[Any, np.dtype[Any]]

_f1, _f2, _i1 = given(float32, 1), given(float32, 2), given(int64, 1)
_out1, _out2 = filled(float32, 1), filled(float32, 2)
EXP_COST = 20  # an exponential, in units of threads.WORTH_SHARING


@helper
def _largest(z, row, classes):  # type: ignore[no-untyped-def]
    """The largest of a row; NaN is left to the sum of exponentials."""
    largest = get(z, row)
    for c in range(1, classes):
        value = get(z, row + c)
        largest = value if value > largest else largest
    return largest


@kernel(void(_f2, _i1, _out1, int64, int64))
def _losses(z, target, out, n0, n1):  # type: ignore[no-untyped-def]
    zp, classes = pointer(z), z.shape[1]
    for n in range(n0, n1):
        row = n * classes
        largest = _largest(zp, row, classes)
        total = float32(0)
        for c in range(classes):
            total += np.exp(get(zp, row + c) - largest)
        out[n] = np.log(total) - (get(zp, row + target[n]) - largest)


@kernel(void(_f2, _i1, _f1, _out2, int64, int64))
def _gradient(z, target, g, dz, n0, n1):  # type: ignore[no-untyped-def]
    zp, dzp, classes = pointer(z), pointer(dz), z.shape[1]
    for n in range(n0, n1):
        row = n * classes
        largest = _largest(zp, row, classes)
        total = float32(0)
        for c in range(classes):
            exponential = np.exp(get(zp, row + c) - largest)
            put(dzp, row + c, exponential)
            total += exponential
        for c in range(classes):
            p = get(dzp, row + c) / total - (float32(1) if c == target[n] else float32(0))
            put(dzp, row + c, p * g[n])


@kernel(boolean(_i1, int64))
def are_columns(target, classes):  # type: ignore[no-untyped-def]
    """Whether every target is a column of a row with so many."""
    inside = True
    for n in range(len(target)):
        inside &= 0 <= target[n] < classes
    return inside


def softmax_cross_entropy(z: Array, target: Array) -> Array:
    """`reference.softmax_cross_entropy` for contiguous float32 rows and int64 targets that are columns."""
    out = np.empty(len(z), np.float32)
    threads.share(_losses, len(z), z.size * EXP_COST, z, target, out)
    return out


def softmax_cross_entropy_grad(z: Array, target: Array, g: Array) -> Array:
    """`reference.softmax_cross_entropy_grad`, likewise."""
    dz = np.empty(z.shape, np.float32)
    threads.share(_gradient, len(z), z.size * EXP_COST, z, target, g, dz)
    return dz

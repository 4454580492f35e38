"""The transforms of Winograd's F(4x4, 3x3), for winograd.py and winograd_images.py; docs/winograd.md derives them.

The 1-d transforms work on vectors: six (or four) of them are six (or four) elements of eight tiles at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cnn.kernels.fast.simd import (
    add,
    dot_tile,
    fma,
    helper,
    load,
    mul,
    multiply_tile,
    splat,
    store,
    sub,
)
from tinygrad_cnn.kernels.linear import matmul

Array = np.ndarray[Any, np.dtype[Any]]

COMPONENTS = 36

# Powers of the points p = 3/4 and q = 3/2.
P1, P2, P3 = (np.float32(0.75**n) for n in (1, 2, 3))
Q1, Q2, Q3 = (np.float32(1.5**n) for n in (1, 2, 3))
PPQQ, PPQ, PQQ, P2_Q2 = P2 * Q2, P2 * Q1, P1 * Q2, P2 + Q2

_products_24, _products_16, _products_8 = multiply_tile(4, 3), multiply_tile(4, 2), multiply_tile(4, 1)
dot_4x2 = dot_tile(4, 2)


# The 1-d transforms, on vectors ---------------------------------------------------------------------------------


@helper
def times_bt(d0, d1, d2, d3, d4, d5):  # type: ignore[no-untyped-def]
    """B^T d: each row is a product of (x - point) over the other points; pairs +-p share their even and odd parts."""
    p_even, p_odd = fma(splat(-Q2), d2, d4), fma(splat(-Q2), d1, d3)
    q_even, q_odd = fma(splat(-P2), d2, d4), fma(splat(-P2), d1, d3)
    return (
        fma(splat(PPQQ), d0, fma(splat(-P2_Q2), d2, d4)),
        fma(splat(P1), p_odd, p_even),
        fma(splat(-P1), p_odd, p_even),
        fma(splat(Q1), q_odd, q_even),
        fma(splat(-Q1), q_odd, q_even),
        fma(splat(PPQQ), d1, fma(splat(-P2_Q2), d3, d5)),
    )


@helper
def times_b(v0, v1, v2, v3, v4, v5):  # type: ignore[no-untyped-def]
    """B v, the transpose of `times_bt`."""
    p_sum, p_difference = add(v1, v2), sub(v1, v2)
    q_sum, q_difference = add(v3, v4), sub(v3, v4)
    return (
        mul(splat(PPQQ), v0),
        fma(splat(PPQQ), v5, fma(splat(-PQQ), p_difference, mul(splat(-PPQ), q_difference))),
        fma(splat(-P2_Q2), v0, fma(splat(-Q2), p_sum, mul(splat(-P2), q_sum))),
        fma(splat(-P2_Q2), v5, fma(splat(P1), p_difference, mul(splat(Q1), q_difference))),
        add(v0, add(p_sum, q_sum)),
        v5,
    )


@helper
def times_at(m0, m1, m2, m3, m4, m5):  # type: ignore[no-untyped-def]
    """A^T m: the values at the points times the points' powers 0..3; infinity counts for the highest power."""
    p_sum, p_difference = add(m1, m2), sub(m1, m2)
    q_sum, q_difference = add(m3, m4), sub(m3, m4)
    return (
        add(add(m0, p_sum), q_sum),
        fma(splat(Q1), q_difference, mul(splat(P1), p_difference)),
        fma(splat(Q2), q_sum, mul(splat(P2), p_sum)),
        fma(splat(Q3), q_difference, fma(splat(P3), p_difference, m5)),
    )


@helper
def times_a(y0, y1, y2, y3):  # type: ignore[no-untyped-def]
    """A y, the transpose of `times_at`: the polynomial with coefficients y at the six points."""
    p_even, p_odd = fma(splat(P2), y2, y0), fma(splat(P3), y3, mul(splat(P1), y1))
    q_even, q_odd = fma(splat(Q2), y2, y0), fma(splat(Q3), y3, mul(splat(Q1), y1))
    return y0, add(p_even, p_odd), sub(p_even, p_odd), add(q_even, q_odd), sub(q_even, q_odd), y3


# Six or four vectors, `step` floats apart ---------------------------------------------------------------------------


@helper
def store_6(p, i, step, v):  # type: ignore[no-untyped-def]
    store(p, i, v[0])
    store(p, i + step, v[1])
    store(p, i + 2 * step, v[2])
    store(p, i + 3 * step, v[3])
    store(p, i + 4 * step, v[4])
    store(p, i + 5 * step, v[5])


@helper
def store_4(p, i, step, v):  # type: ignore[no-untyped-def]
    store(p, i, v[0])
    store(p, i + step, v[1])
    store(p, i + 2 * step, v[2])
    store(p, i + 3 * step, v[3])


@helper
def load_6(p, i, step):  # type: ignore[no-untyped-def]
    return (
        load(p, i),
        load(p, i + step),
        load(p, i + 2 * step),
        load(p, i + 3 * step),
        load(p, i + 4 * step),
        load(p, i + 5 * step),
    )


# The products ---------------------------------------------------------------------------------------------------


@helper
def products(x, xi, line, count, offsets, depth, w, wi, rows, start, y, yi):  # type: ignore[no-untyped-def]
    """(rows x depth) times (depth x count) by register tiles, for a `count` that is a multiple of 8."""
    t = 0
    while t < count:
        for o in range(0, rows, 4):
            at = yi + o * line + t
            if count - t >= 24:
                _products_24(x, xi + t, offsets, 0, depth, w, wi + o * depth, start, 0, y, at, line)
            elif count - t >= 16:
                _products_16(x, xi + t, offsets, 0, depth, w, wi + o * depth, start, 0, y, at, line)
            else:
                _products_8(x, xi + t, offsets, 0, depth, w, wi + o * depth, start, 0, y, at, line)
        t += 24 if count - t >= 24 else 16 if count - t >= 16 else 8


# Weights --------------------------------------------------------------------------------------------------------


def weight_points() -> Array:
    """G (6 x 3): the weights' polynomial at each point over the product of its distances to the other points."""
    points = (0.0, 0.75, -0.75, 1.5, -1.5)
    g = np.zeros((6, 3))
    for j, point in enumerate(points):
        scale = np.prod([point - other for other in points if other != point])
        g[j] = np.array([1.0, point, point * point]) / scale
    g[5, 2] = 1.0
    return g


# (G w G^T) for a flattened 3 x 3 weight: 36 x 9.
TO_COMPONENTS = np.kron(weight_points(), weight_points()).astype(np.float32)


def components(w: Array) -> Array:
    """G w G^T of the weights (O, C, 3, 3), flattened and packed for the register tile: [36][O/4][C][4]."""
    by_tap = w.reshape(len(w) // 4, 4, w.shape[1], 9).transpose(3, 0, 2, 1).reshape(9, -1)
    return matmul(TO_COMPONENTS, by_tap).reshape(-1)


def mirrored_components(w: Array) -> Array:
    """The same with the channels as rows, for the gradient of the input: [36][C/4][O][4]."""
    by_tap = w.reshape(len(w), w.shape[1] // 4, 4, 9).transpose(3, 1, 0, 2).reshape(9, -1)
    return matmul(TO_COMPONENTS, by_tap).reshape(-1)


def from_components(du: Array, shape: tuple[int, ...]) -> Array:
    """G^T dU G, the gradient of weights (O, C, 3, 3) = `shape`, from sums in the order [36][O/4][C][4]."""
    taps = matmul(TO_COMPONENTS.T, du.reshape(COMPONENTS, -1)).reshape(9, shape[0] // 4, shape[1], 4)
    dw = np.empty(shape, np.float32)
    dw.reshape(shape[0] // 4, 4, shape[1], 9)[:] = taps.transpose(1, 3, 2, 0)
    return dw

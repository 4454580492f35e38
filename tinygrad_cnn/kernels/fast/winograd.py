"""Winograd's convolution F(4x4, 3x3): 36 multiplications for 16 outputs instead of 144, forward and backward.

A 1-d convolution of 6 inputs d with 3 weights w gives 4 outputs. As polynomials of degrees 3 and 2 can be multiplied
by evaluating both at 6 points, multiplying the values and interpolating, there are matrices with

    y = A^T [(G w) * (B^T d)]                   1-d: 6 multiplications instead of 12
    Y = A^T [(G W G^T) * (B^T D B)] A           2-d: rows, then columns: 36 instead of 144

(Winograd 1980; Lavin and Gray, 2016). The points here are 0, +-3/4, +-3/2 and infinity: all entries of A and B are
exact in float32, and the error is a third of that of the usual points 0, +-1, +-2 (at most 2e-6 of the largest output).
With channels, the elementwise product becomes 36 matrix products, one for each component (point pair) k:

    forward                    M[k] = U[k] V[k]           U = G W G^T (O x C), V = B^T D B (C x tiles)
    gradient of the weights    dU[k] = dM[k] V[k]^T       dM = A dY A^T,       dW = G^T dU G
    gradient of the input      dV[k] = U[k]^T dM[k]       dD = B dV B^T, and overlapping tiles add up

The backward pass is the transpose of each forward step, and dM serves both gradients.

**Tiles lie in the lanes.** An image is cut into TH x TW tiles of 4 x 4 outputs, numbered row by row; a vector holds the
same element of eight neighbouring tiles. To get there each row is dealt out four ways: plane (r, j) holds pixel
column 4t + j of image row 4q + r, for tile row q and tile t, at q*TW + t. So tile (q, t) has its six rows in planes
r = 0..3 at its own number, and rows 4 and 5 in planes 0 and 1 one tile row (TW) further; any width vectorises.
An image's tiles are padded to a multiple of 8; what the spare lanes hold is multiplied by zero, or not read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import float32, int64, void

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.fast.rows import aligned, copy_row, sum_run, zeros
from tinygrad_cnn.kernels.fast.simd import (
    LANES,
    add,
    dot_tile,
    filled,
    fma,
    given,
    helper,
    kernel,
    load,
    mul,
    multiply_tile,
    pointer,
    shifted,
    shuffle,
    splat,
    store,
    sub,
    total,
)
from tinygrad_cnn.kernels.sizes import Ints

Array = np.ndarray[Any, np.dtype[Any]]

COMPONENTS = 36
# What one block of images may take of a core's own cache, in floats, in the forward pass.
CACHE = 100_000
BACKWARD_BLOCK = 4

# Powers of the points p = 3/4 and q = 3/2.
P1, P2, P3 = (np.float32(0.75**n) for n in (1, 2, 3))
Q1, Q2, Q3 = (np.float32(1.5**n) for n in (1, 2, 3))
PPQQ, PPQ, PQQ, P2_Q2 = P2 * Q2, P2 * Q1, P1 * Q2, P2 + Q2

_products_24, _products_16, _products_8 = multiply_tile(4, 3), multiply_tile(4, 2), multiply_tile(4, 1)
_dot_4x2 = dot_tile(2)


# The 1-d transforms, on vectors ---------------------------------------------------------------------------------


@helper
def _bt(d0, d1, d2, d3, d4, d5):  # type: ignore[no-untyped-def]
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
def _b(v0, v1, v2, v3, v4, v5):  # type: ignore[no-untyped-def]
    """B v, the transpose of `_bt`."""
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
def _at(m0, m1, m2, m3, m4, m5):  # type: ignore[no-untyped-def]
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
def _a(y0, y1, y2, y3):  # type: ignore[no-untyped-def]
    """A y, the transpose of `_at`: the polynomial with coefficients y at the six points."""
    p_even, p_odd = fma(splat(P2), y2, y0), fma(splat(P3), y3, mul(splat(P1), y1))
    q_even, q_odd = fma(splat(Q2), y2, y0), fma(splat(Q3), y3, mul(splat(Q1), y1))
    return y0, add(p_even, p_odd), sub(p_even, p_odd), add(q_even, q_odd), sub(q_even, q_odd), y3


# Rows of pixels to planes of tiles, and back --------------------------------------------------------------------

_deal_01 = shuffle(0, 4, 8, 12, 1, 5, 9, 13)
_deal_23 = shuffle(2, 6, 10, 14, 3, 7, 11, 15)
_low_halves = shuffle(0, 1, 2, 3, 8, 9, 10, 11)
_high_halves = shuffle(4, 5, 6, 7, 12, 13, 14, 15)
_low_pairs = shuffle(0, 8, 1, 9, 4, 12, 5, 13)
_high_pairs = shuffle(2, 10, 3, 11, 6, 14, 7, 15)
_low_quads = shuffle(0, 1, 8, 9, 4, 5, 12, 13)
_high_quads = shuffle(2, 3, 10, 11, 6, 7, 14, 15)


@helper
def _deal(row, i):  # type: ignore[no-untyped-def]
    """32 pixels of a row to four vectors of eight: pixels 0, 4, 8 ...; 1, 5, 9 ...; and so on."""
    a, b, c, d = load(row, i), load(row, i + 8), load(row, i + 16), load(row, i + 24)
    low, high = _deal_01(a, b), _deal_01(c, d)
    v0, v1 = _low_halves(low, high), _high_halves(low, high)
    low, high = _deal_23(a, b), _deal_23(c, d)
    return v0, v1, _low_halves(low, high), _high_halves(low, high)


@helper
def _collect(v0, v1, v2, v3):  # type: ignore[no-untyped-def]
    """The way back of `_deal`: four vectors that are 32 neighbouring pixels."""
    ab, cd = _low_pairs(v0, v1), _low_pairs(v2, v3)
    tiles_04, tiles_15 = _low_quads(ab, cd), _high_quads(ab, cd)
    ab, cd = _high_pairs(v0, v1), _high_pairs(v2, v3)
    tiles_26, tiles_37 = _low_quads(ab, cd), _high_quads(ab, cd)
    return (
        _low_halves(tiles_04, tiles_15),
        _low_halves(tiles_26, tiles_37),
        _high_halves(tiles_04, tiles_15),
        _high_halves(tiles_26, tiles_37),
    )


@helper
def _deal_plane(x, source, height, width, top, left, rows, ways, tiles_wide, planes, pitch, row):  # type: ignore[no-untyped-def]
    """Image rows -top .. rows - top of one plane to `ways` (4 or 6) column planes each; outside the image is zero.

    Rows go in ascending order: the spare lanes of a row's last store lie where the row after it begins.
    `row` is scratch that is zero but for what was copied to it here, so these spare lanes get zeros.
    """
    zero = splat(float32(0))
    for h in range(rows):
        target = (h & 3) * ways * pitch + (h >> 2) * tiles_wide
        if h < top or h >= top + height:
            for j in range(ways):
                for t in range(0, tiles_wide, LANES):
                    store(planes, target + j * pitch + t, zero)
            continue
        copy_row(x, source + (h - top) * width, row, left, width)
        for t in range(0, tiles_wide, LANES):
            v0, v1, v2, v3 = _deal(row, 4 * t)
            store(planes, target + t, v0)
            store(planes, target + pitch + t, v1)
            store(planes, target + 2 * pitch + t, v2)
            store(planes, target + 3 * pitch + t, v3)
            if ways == 6:  # pixel columns 4t + 4 and 4t + 5: the first two of the tile to the right
                v0, v1, v2, v3 = _deal(row, 4 * t + 4)
                store(planes, target + 4 * pitch + t, v0)
                store(planes, target + 5 * pitch + t, v1)


# The 2-d transforms of all tiles of one plane. `step` is the distance between two of the 36 components. ---------


@helper
def _store_6(p, i, step, v):  # type: ignore[no-untyped-def]
    store(p, i, v[0])
    store(p, i + step, v[1])
    store(p, i + 2 * step, v[2])
    store(p, i + 3 * step, v[3])
    store(p, i + 4 * step, v[4])
    store(p, i + 5 * step, v[5])


@helper
def _store_4(p, i, step, v):  # type: ignore[no-untyped-def]
    store(p, i, v[0])
    store(p, i + step, v[1])
    store(p, i + 2 * step, v[2])
    store(p, i + 3 * step, v[3])


@helper
def _load_6(p, i, step):  # type: ignore[no-untyped-def]
    return (
        load(p, i),
        load(p, i + step),
        load(p, i + 2 * step),
        load(p, i + 3 * step),
        load(p, i + 4 * step),
        load(p, i + 5 * step),
    )


@helper
def _input_tiles(planes, pitch, tiles, tiles_wide, tile, v, vi, step):  # type: ignore[no-untyped-def]
    """V = B^T D B for the tiles of one channel; `tile` is scratch for one group of eight 6 x 6 tiles."""
    for t in range(0, tiles, LANES):
        for i in range(6):
            at = (i & 3) * 6 * pitch + t + (tiles_wide if i > 3 else 0)
            _store_6(tile, i * 48, 8, _bt(*_load_6(planes, at, pitch)))
        for j in range(6):
            _store_6(v, vi + t + j * step, 6 * step, _bt(*_load_6(tile, j * 8, 48)))


@helper
def _output_tiles(m, mi, step, tiles, tile, planes, pitch):  # type: ignore[no-untyped-def]
    """Y = A^T M A for the tiles of one channel, to 4 x 4 planes."""
    for t in range(0, tiles, LANES):
        for j in range(6):
            _store_4(tile, j * 8, 48, _at(*_load_6(m, mi + t + j * step, 6 * step)))
        for i in range(4):
            _store_4(planes, i * 4 * pitch + t, pitch, _at(*_load_6(tile, i * 48, 8)))


@helper
def _output_gradient_tiles(planes, pitch, tiles, tile, m, mi, step):  # type: ignore[no-untyped-def]
    """dM = A dY A^T for the tiles of one channel; spare lanes are zero, since the planes are."""
    for t in range(0, tiles, LANES):
        for i in range(4):
            at = i * 4 * pitch + t
            y0, y1 = load(planes, at), load(planes, at + pitch)
            y2, y3 = load(planes, at + 2 * pitch), load(planes, at + 3 * pitch)
            _store_6(tile, i * 48, 8, _a(y0, y1, y2, y3))
        for j in range(6):
            y0, y1, y2, y3 = load(tile, j * 8), load(tile, j * 8 + 48), load(tile, j * 8 + 96), load(tile, j * 8 + 144)
            _store_6(m, mi + t + j * step, 6 * step, _a(y0, y1, y2, y3))


@helper
def _input_gradient_tiles(v, vi, step, tiles, tiles_wide, tile, planes, pitch):  # type: ignore[no-untyped-def]
    """dD = B dV B^T for the tiles of one channel, added into planes that begin as zero: rows 4, 5 overlap."""
    for t in range(0, 24 * pitch, LANES):
        store(planes, t, splat(float32(0)))
    for t in range(0, tiles, LANES):
        for j in range(6):
            _store_6(tile, j * 8, 48, _b(*_load_6(v, vi + t + j * step, 6 * step)))
        for i in range(6):
            at = (i & 3) * 6 * pitch + t + (tiles_wide if i > 3 else 0)
            new, old = _b(*_load_6(tile, i * 48, 8)), _load_6(planes, at, pitch)
            store(planes, at, add(old[0], new[0]))
            store(planes, at + pitch, add(old[1], new[1]))
            store(planes, at + 2 * pitch, add(old[2], new[2]))
            store(planes, at + 3 * pitch, add(old[3], new[3]))
            store(planes, at + 4 * pitch, add(old[4], new[4]))
            store(planes, at + 5 * pitch, add(old[5], new[5]))


@helper
def _write_rows(planes, pitch, tiles_wide, bias, row, out, target, height, width):  # type: ignore[no-untyped-def]
    """The pixels of 4 x 4 planes plus `bias` to one plane of the output; gives 0 times all of them, summed.

    That is 0, or NaN if any of them is not finite: then the caller computes again without Winograd, which spreads
    a NaN over its tile and makes NaN of infinities.
    """
    vb, check = splat(bias), splat(float32(0))
    for h in range(height):
        at = (h & 3) * 4 * pitch + (h >> 2) * tiles_wide
        for t in range(0, tiles_wide, LANES):
            v = _load_6(planes, at + t, pitch)
            y0, y1, y2, y3 = _collect(v[0], v[1], v[2], v[3])
            _store_4(row, 4 * t, 8, (add(y0, vb), add(y1, vb), add(y2, vb), add(y3, vb)))
        copy_row(row, 0, out, target + h * width, width)
        for j in range(0, width, LANES):
            check = fma(load(row, j), splat(float32(0)), check)
    return total(check)

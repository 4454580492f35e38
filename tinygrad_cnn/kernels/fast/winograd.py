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

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import float32, int64, void

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.fast.rows import (
    added,
    aligned,
    copy_row,
    empty,
    high_halves,
    high_pairs,
    high_quads,
    low_halves,
    low_pairs,
    low_quads,
    sum_run,
    zeros,
)
from tinygrad_cnn.kernels.fast.simd import (
    LANES,
    add,
    filled,
    fma,
    given,
    helper,
    kernel,
    load,
    pointer,
    shifted,
    shuffle,
    splat,
    store,
    total,
)
from tinygrad_cnn.kernels.fast.transforms import (
    COMPONENTS,
    components,
    dot_4x2,
    from_components,
    load_6,
    mirrored_components,
    products,
    store_4,
    store_6,
    times_a,
    times_at,
    times_b,
    times_bt,
)
from tinygrad_cnn.kernels.sizes import Ints

Array = np.ndarray[Any, np.dtype[Any]]

# Images are taken several at once. Forward, V or M of a block should stay in a core's own cache (floats), but a
# product needs columns to be worth its loads. Backward, dU's dot products need more of them.
CACHE, COLUMNS = 100_000, 24
BACKWARD_CACHE, BACKWARD_COLUMNS = 1_500_000, 160


# Rows of pixels to planes of tiles, and back --------------------------------------------------------------------

_deal_01 = shuffle(0, 4, 8, 12, 1, 5, 9, 13)
_deal_23 = shuffle(2, 6, 10, 14, 3, 7, 11, 15)


@helper
def _deal(row, i):  # type: ignore[no-untyped-def]
    """32 pixels of a row to four vectors of eight: pixels 0, 4, 8 ...; 1, 5, 9 ...; and so on."""
    a, b, c, d = load(row, i), load(row, i + 8), load(row, i + 16), load(row, i + 24)
    low, high = _deal_01(a, b), _deal_01(c, d)
    v0, v1 = low_halves(low, high), high_halves(low, high)
    low, high = _deal_23(a, b), _deal_23(c, d)
    return v0, v1, low_halves(low, high), high_halves(low, high)


@helper
def _collect(v0, v1, v2, v3):  # type: ignore[no-untyped-def]
    """The way back of `_deal`: four vectors that are 32 neighbouring pixels."""
    ab, cd = low_pairs(v0, v1), low_pairs(v2, v3)
    tiles_04, tiles_15 = low_quads(ab, cd), high_quads(ab, cd)
    ab, cd = high_pairs(v0, v1), high_pairs(v2, v3)
    tiles_26, tiles_37 = low_quads(ab, cd), high_quads(ab, cd)
    return (
        low_halves(tiles_04, tiles_15),
        low_halves(tiles_26, tiles_37),
        high_halves(tiles_04, tiles_15),
        high_halves(tiles_26, tiles_37),
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
def _input_tiles(planes, pitch, tiles, tiles_wide, tile, v, vi, step):  # type: ignore[no-untyped-def]
    """V = B^T D B for the tiles of one channel; `tile` is scratch for one group of eight 6 x 6 tiles."""
    for t in range(0, tiles, LANES):
        for i in range(6):
            at = (i & 3) * 6 * pitch + t + (tiles_wide if i > 3 else 0)
            store_6(tile, i * 48, 8, times_bt(*load_6(planes, at, pitch)))
        for j in range(6):
            store_6(v, vi + t + j * step, 6 * step, times_bt(*load_6(tile, j * 8, 48)))


@helper
def _output_tiles(m, mi, step, tiles, tile, planes, pitch):  # type: ignore[no-untyped-def]
    """Y = A^T M A for the tiles of one channel, to 4 x 4 planes."""
    for t in range(0, tiles, LANES):
        for j in range(6):
            store_4(tile, j * 8, 48, times_at(*load_6(m, mi + t + j * step, 6 * step)))
        for i in range(4):
            store_4(planes, i * 4 * pitch + t, pitch, times_at(*load_6(tile, i * 48, 8)))


@helper
def _output_gradient_tiles(planes, pitch, tiles, tile, m, mi, step):  # type: ignore[no-untyped-def]
    """dM = A dY A^T for the tiles of one channel; spare lanes are zero, since the planes are."""
    for t in range(0, tiles, LANES):
        for i in range(4):
            at = i * 4 * pitch + t
            y0, y1 = load(planes, at), load(planes, at + pitch)
            y2, y3 = load(planes, at + 2 * pitch), load(planes, at + 3 * pitch)
            store_6(tile, i * 48, 8, times_a(y0, y1, y2, y3))
        for j in range(6):
            y0, y1, y2, y3 = load(tile, j * 8), load(tile, j * 8 + 48), load(tile, j * 8 + 96), load(tile, j * 8 + 144)
            store_6(m, mi + t + j * step, 6 * step, times_a(y0, y1, y2, y3))


@helper
def _input_gradient_tiles(v, vi, step, tiles, tiles_wide, tile, planes, pitch):  # type: ignore[no-untyped-def]
    """dD = B dV B^T for the tiles of one channel, added into planes that begin as zero: rows 4, 5 overlap."""
    for t in range(0, 24 * pitch, LANES):
        store(planes, t, splat(float32(0)))
    for t in range(0, tiles, LANES):
        for j in range(6):
            store_6(tile, j * 8, 48, times_b(*load_6(v, vi + t + j * step, 6 * step)))
        for i in range(6):
            at = (i & 3) * 6 * pitch + t + (tiles_wide if i > 3 else 0)
            new, old = times_b(*load_6(tile, i * 48, 8)), load_6(planes, at, pitch)
            store(planes, at, add(old[0], new[0]))
            store(planes, at + pitch, add(old[1], new[1]))
            store(planes, at + 2 * pitch, add(old[2], new[2]))
            store(planes, at + 3 * pitch, add(old[3], new[3]))
            store(planes, at + 4 * pitch, add(old[4], new[4]))
            store(planes, at + 5 * pitch, add(old[5], new[5]))


@helper
def _write_rows(planes, pitch, tiles_wide, bias, row, out, target, height, width):  # type: ignore[no-untyped-def]
    """The pixels of 4 x 4 planes plus `bias` to one plane of the output; gives `_check` of them."""
    vb, check = splat(bias), splat(float32(0))
    for h in range(height):
        at = (h & 3) * 4 * pitch + (h >> 2) * tiles_wide
        for t in range(0, tiles_wide, LANES):
            y0, y1 = load(planes, at + t), load(planes, at + t + pitch)
            y2, y3 = load(planes, at + t + 2 * pitch), load(planes, at + t + 3 * pitch)
            y0, y1, y2, y3 = _collect(add(y0, vb), add(y1, vb), add(y2, vb), add(y3, vb))
            store_4(row, 4 * t, 8, (y0, y1, y2, y3))
        copy_row(row, 0, out, target + h * width, width)
        check = _check(row, width, check)
    return total(check)


@helper
def _write_overlapping_rows(planes, pitch, tiles_wide, top, row, out, target, height, width):  # type: ignore[no-untyped-def]
    """The pixels of 6 x 6 planes, without the border of `top`, to one plane of dx; gives `_check` of them.

    Columns 4 and 5 of a tile are columns 0 and 1 of the tile to its right; here they are added.
    """
    zero, check = splat(float32(0)), splat(float32(0))
    for h in range(height):
        at = ((h + top[0]) & 3) * 6 * pitch + ((h + top[0]) >> 2) * tiles_wide
        for t in range(0, tiles_wide, LANES):
            v0, v1, v2, v3, _, _ = load_6(planes, at + t, pitch)
            store_4(row, 4 * t, 8, _collect(v0, v1, v2, v3))
        store(row, 4 * tiles_wide, zero)
        for t in range(0, tiles_wide, LANES):
            _, _, _, _, v4, v5 = load_6(planes, at + t, pitch)
            y0, y1, y2, y3 = _collect(v4, v5, zero, zero)
            i = 4 * t + 4
            store(row, i, add(load(row, i), y0))
            store(row, i + 8, add(load(row, i + 8), y1))
            store(row, i + 16, add(load(row, i + 16), y2))
            store(row, i + 24, add(load(row, i + 24), y3))
        copy_row(row, top[1], out, target + h * width, width)
        check = _check(row, top[1] + width, check)
    return total(check)


@helper
def _check(row, width, check):  # type: ignore[no-untyped-def]
    """Add 0 times a row to `check`: it stays 0, or becomes NaN if any pixel is not finite.

    In that case the caller computes again without Winograd, which spreads a NaN over its tile and makes NaN of
    infinities.
    """
    for j in range(0, width, LANES):
        check = fma(load(row, j), splat(float32(0)), check)
    return check


# The kernels ----------------------------------------------------------------------------------------------------

_f1, _f3, _f4, _i1 = given(float32, 1), given(float32, 3), given(float32, 4), given(int64, 1)
_out1, _out4 = filled(float32, 1), filled(float32, 4)


@kernel(void(_f4, _f1, _f1, _i1, int64, int64, _i1, _i1, _f1, _out4, _out1, _out1, _out1, int64, int64))
def _forward(x, u, bias, padding, pitch, block, layout, offsets, start, out, scratch, v_m, check, n0, n1):  # type: ignore[no-untyped-def]
    """Images n0 <= n < n1, `block` at once; `layout` says where in `scratch` each piece begins."""
    _, channels, height, width = x.shape
    _, out_channels, out_height, out_width = out.shape
    tiles_wide, tiles_high = (out_width + 3) // 4, (out_height + 3) // 4
    tiles = (tiles_wide * tiles_high + 7) // 8 * 8
    line = block * tiles
    v_step, m_step = channels * line + 16, out_channels * line + 16
    xp, up, sp, op, out_p = pointer(x), pointer(u), pointer(start), pointer(offsets), pointer(out)
    memory = pointer(scratch)
    planes, out_planes, tile = memory, shifted(memory, layout[1]), shifted(memory, layout[2])
    row, out_row = shifted(memory, layout[3]), shifted(memory, layout[4])
    v, m = pointer(v_m), shifted(pointer(v_m), COMPONENTS * v_step)
    for n in range(n0, n1, block):
        images = min(block, n1 - n)
        for c in range(channels):
            for b in range(images):
                _deal_plane(
                    xp, ((n + b) * channels + c) * height * width, height, width, padding[0], padding[1],
                    4 * tiles_high + 2, 6, tiles_wide, planes, pitch, row,
                )  # fmt: skip
                _input_tiles(planes, pitch, tiles, tiles_wide, tile, v, c * line + b * tiles, v_step)
        for k in range(COMPONENTS):
            weights = k * out_channels * channels
            products(v, k * v_step, line, images * tiles, op, channels, up, weights, out_channels, sp, m, k * m_step)
        for b in range(images):
            for o in range(out_channels):
                _output_tiles(m, o * line + b * tiles, m_step, tiles, tile, out_planes, pitch)
                target = ((n + b) * out_channels + o) * out_height * out_width
                check[0] += _write_rows(
                    out_planes, pitch, tiles_wide, bias[o], out_row, out_p, target, out_height, out_width
                )


@kernel(
    void(_f4, _f4, _f1, _i1, int64, int64, _i1, _i1, _i1, _f1, _out4, _out1, _out1, _out1, _out1, _out1, int64, int64)
)
def _backward(  # type: ignore[no-untyped-def]
    x, g, u, padding, pitch, block, layout, x_offsets, g_offsets, start, dx, du, db, scratch, v_m, check, n0, n1
):
    """Both gradients, for images n0 <= n < n1; without dx where it has no image, without dw where du is empty."""
    _, channels, height, width = x.shape
    _, out_channels, out_height, out_width = g.shape
    tiles_wide, tiles_high = (out_width + 3) // 4, (out_height + 3) // 4
    tiles = (tiles_wide * tiles_high + 7) // 8 * 8
    line = block * tiles
    v_step, m_step = channels * line + 16, out_channels * line + 16
    xp, gp, up, sp, dxp, dup = pointer(x), pointer(g), pointer(u), pointer(start), pointer(dx), pointer(du)
    x_op, g_op = pointer(x_offsets), pointer(g_offsets)
    memory = pointer(scratch)
    planes, g_planes, tile = memory, shifted(memory, layout[1]), shifted(memory, layout[2])
    x_row, out_row = shifted(memory, layout[3]), shifted(memory, layout[4])
    g_row = shifted(memory, layout[5])
    v, m = pointer(v_m), shifted(pointer(v_m), COMPONENTS * v_step)
    top = padding[0], padding[1]
    for n in range(n0, n1, block):
        images = min(block, n1 - n)
        for o in range(out_channels):
            for b in range(images):
                source = ((n + b) * out_channels + o) * out_height * out_width
                _deal_plane(
                    gp, source, out_height, out_width, 0, 0,
                    4 * tiles_high, 4, tiles_wide, g_planes, pitch, g_row,
                )  # fmt: skip
                _output_gradient_tiles(g_planes, pitch, tiles, tile, m, o * line + b * tiles, m_step)
                db[o] += sum_run(gp, source, out_height * out_width)
        if du.shape[0] > 0:
            for c in range(channels):
                for b in range(images):
                    _deal_plane(
                        xp, ((n + b) * channels + c) * height * width, height, width, top[0], top[1],
                        4 * tiles_high + 2, 6, tiles_wide, planes, pitch, x_row,
                    )  # fmt: skip
                    _input_tiles(planes, pitch, tiles, tiles_wide, tile, v, c * line + b * tiles, v_step)
            for k in range(COMPONENTS):
                for o in range(0, out_channels, 4):
                    for c in range(0, channels, 2):
                        dot_4x2(
                            m, k * m_step + o * line, line, v, k * v_step, x_op, c, images * tiles,
                            dup, (k * out_channels + o) * channels + 4 * c,
                        )  # fmt: skip
        if dx.shape[0] > 0:
            for k in range(COMPONENTS):
                weights = k * out_channels * channels
                products(
                    m, k * m_step, line, images * tiles, g_op, out_channels, up, weights, channels, sp, v, k * v_step
                )
            for b in range(images):
                for c in range(channels):
                    _input_gradient_tiles(v, c * line + b * tiles, v_step, tiles, tiles_wide, tile, planes, pitch)
                    target = ((n + b) * channels + c) * height * width
                    check[0] += _write_overlapping_rows(
                        planes, pitch, tiles_wide, top, out_row, dxp, target, height, width
                    )


# What the dispatcher calls --------------------------------------------------------------------------------------


def tiles_of(out: Ints) -> int:
    """How many tiles an image of `out` pixels takes, spare ones included.

    >>> tiles_of((24, 24))
    40
    """
    return aligned(-(-out[0] // 4) * -(-out[1] // 4), 8)


@lru_cache(maxsize=256)
def _plan(channels: int, out_channels: int, out: Ints, block: int) -> tuple[int, Array, int, Array, Array]:
    """The planes' pitch, where pieces of scratch begin, the size of V and M, the offsets of their lines."""
    wide = -(-out[1] // 4)
    tiles = tiles_of(out)
    # A plane has one more row of tiles, for rows 4 and 5 of the last; vectors read and write up to 15 floats beyond.
    pitch = tiles + aligned(wide, 8) + 16
    row = 4 * aligned(wide, 8) + 64
    line = block * tiles
    layout = np.cumsum([0, 24 * pitch, 16 * pitch, 288, row, row, row])
    x_offsets, g_offsets = np.arange(channels) * line, np.arange(out_channels) * line
    return pitch, layout, COMPONENTS * ((channels + out_channels) * line + 32), x_offsets, g_offsets


def conv(x: Array, w: Array, b: Array | None, padding: Ints) -> Array | None:
    """`reference.conv` for 3 x 3 weights, stride 1, channels in fours; None if some result is not finite."""
    n, channels = x.shape[:2]
    out_channels = len(w)
    out = (x.shape[2] + 2 * padding[0] - 2, x.shape[3] + 2 * padding[1] - 2)
    cuts = threads.parts(n, n * w.size * out[0] * out[1])
    tiles = tiles_of(out)
    fitting = CACHE // (COMPONENTS * max(channels, out_channels) * tiles)
    block = max(1, min(n // len(cuts), max(fitting, -(-COLUMNS // tiles)), BACKWARD_COLUMNS // tiles))
    pitch, layout, size, offsets, _ = _plan(channels, out_channels, out, block)
    u = components(w)
    bias = np.zeros(out_channels, np.float32) if b is None else np.ascontiguousarray(b)
    y = np.empty((n, out_channels, *out), np.float32)
    scratch, check = zeros(len(cuts), int(layout[-1]), 1)
    (v_m,) = empty(len(cuts), size)
    pad, start = np.array(padding), np.zeros(4, np.float32)
    jobs = [
        (x, u, bias, pad, pitch, block, layout, offsets, start, y, scratch[i], v_m[i], check[i], *cut)
        for i, cut in enumerate(cuts)
    ]
    threads.run(_forward, jobs)
    return y if not check.any() else None


def conv_backward(
    g: Array, x: Array, w: Array, padding: Ints, need_x: bool, need_w: bool
) -> tuple[Array | None, Array | None, Array] | None:
    """The gradients of x, w and the bias, likewise; None if some result is not finite."""
    n, channels = x.shape[:2]
    out_channels, out = len(w), g.shape[2:]
    cuts = threads.parts(n, n * w.size * out[0] * out[1])
    tiles = tiles_of(out)
    fitting = BACKWARD_CACHE // (COMPONENTS * (channels + out_channels) * tiles)
    block = max(1, min(n // len(cuts), fitting, BACKWARD_COLUMNS // tiles))
    pitch, layout, size, x_offsets, g_offsets = _plan(channels, out_channels, out, block)
    u = mirrored_components(w)
    dx = np.empty(x.shape if need_x else (0, *x.shape[1:]), np.float32)
    counts = (COMPONENTS * w.size // 9 if need_w else 0, out_channels, int(layout[-1]), 1)
    du, db, scratch, check = zeros(len(cuts), *counts)
    (v_m,) = empty(len(cuts), size)
    pad, start = np.array(padding), np.zeros(4, np.float32)
    inputs = (x, g, u, pad, pitch, block, layout, x_offsets, g_offsets, start)
    jobs = [(*inputs, dx, du[i], db[i], scratch[i], v_m[i], check[i], *cut) for i, cut in enumerate(cuts)]
    threads.run(_backward, jobs)
    dw = from_components(added(du), w.shape) if need_w else None
    if check.any() or (dw is not None and not math.isfinite(np.vdot(dw, dw))):
        return None
    return dx if need_x else None, dw, added(db)

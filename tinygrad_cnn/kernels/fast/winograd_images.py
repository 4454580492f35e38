"""Winograd's F(4x4, 3x3) with eight images in the lanes: for small images, in batches of eight or more.

The same steps as in winograd.py, whose vectors hold eight neighbouring tiles of one image: an image of 8 x 8 has four.
Here lane b belongs to image b (images.py tells how they get there), so an image's only tile is as good as many,
tiles need no dealing out, and element (i, j) of tile (q, t) is simply pixel (4q + i, 4t + j) of a padded grid.

Large images are cut into strips of some rows of tiles, so that what the products work on stays in a core's own cache;
of small ones several eights are taken at once.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import float32, int64, void

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.fast.images import LANE_MASKS, gather, images_of, scatter, silence
from tinygrad_cnn.kernels.fast.rows import added, empty, sum_run, zeros
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

# Take so many images at once that a product has this many columns; backward, the dot products ask for more.
COLUMNS, BACKWARD_COLUMNS = 64, 160
# Floats of V and M that a strip may have.
CACHE = 300_000


# The transforms of some rows of tiles (q0 <= q < q1) of one channel of eight images ------------------------------
# `step` is the distance between two of the 36 components; V and M hold these rows of tiles alone.


@helper
def _input_tiles(pixels, wide, q0, q1, tile, v, vi, step):  # type: ignore[no-untyped-def]
    """V = B^T D B; `pixels` is a grid with 4*wide + 2 vectors in a row, `tile` scratch for 36 vectors."""
    pitch = (4 * wide + 2) * LANES
    for q in range(q0, q1):
        for t in range(wide):
            for i in range(6):
                store_6(tile, i * 48, 8, times_bt(*load_6(pixels, (4 * q + i) * pitch + 4 * t * LANES, LANES)))
            target = vi + ((q - q0) * wide + t) * LANES
            for j in range(6):
                store_6(v, target + j * step, 6 * step, times_bt(*load_6(tile, j * 8, 48)))


@helper
def _output_tiles(m, mi, step, wide, rows, tile, bias, pixels):  # type: ignore[no-untyped-def]
    """Y = A^T M A + bias, to a grid of 4*rows by 4*wide vectors; NaN if any is not finite, else 0 (see winograd.py)."""
    vb, check = splat(bias), splat(float32(0))
    for q in range(rows):
        for t in range(wide):
            source = mi + (q * wide + t) * LANES
            for j in range(6):
                store_4(tile, j * 8, 48, times_at(*load_6(m, source + j * step, 6 * step)))
            for i in range(4):
                y0, y1, y2, y3 = times_at(*load_6(tile, i * 48, 8))
                y0, y1, y2, y3 = add(y0, vb), add(y1, vb), add(y2, vb), add(y3, vb)
                check = _checked(y3, _checked(y2, _checked(y1, _checked(y0, check))))
                store_4(pixels, ((4 * q + i) * wide + t) * 4 * LANES, LANES, (y0, y1, y2, y3))
    return total(check)


@helper
def _output_gradient_tiles(pixels, wide, q0, q1, tile, m, mi, step):  # type: ignore[no-untyped-def]
    """dM = A dY A^T, from a grid with 4*wide vectors in a row that is zero beside the image."""
    for q in range(q0, q1):
        for t in range(wide):
            for i in range(4):
                at = ((4 * q + i) * wide + t) * 4 * LANES
                y0, y1 = load(pixels, at), load(pixels, at + LANES)
                y2, y3 = load(pixels, at + 2 * LANES), load(pixels, at + 3 * LANES)
                store_6(tile, i * 48, 8, times_a(y0, y1, y2, y3))
            target = mi + ((q - q0) * wide + t) * LANES
            for j in range(6):
                y0, y1 = load(tile, j * 8), load(tile, j * 8 + 48)
                y2, y3 = load(tile, j * 8 + 96), load(tile, j * 8 + 144)
                store_6(m, target + j * step, 6 * step, times_a(y0, y1, y2, y3))


@helper
def _input_gradient_tiles(v, vi, step, wide, rows, tile, pixels, carry, ci):  # type: ignore[no-untyped-def]
    """dD = B dV B^T, added up where tiles overlap; NaN if any is not finite, else 0.

    The grid has 4*rows + 2 rows. Its last two overlap the strip below, which finds them in `carry`.
    """
    pitch, check = (4 * wide + 2) * LANES, splat(float32(0))
    for t in range(0, 2 * pitch, LANES):
        store(pixels, t, load(carry, ci + t))
    for t in range(2 * pitch, (4 * rows + 2) * pitch, LANES):
        store(pixels, t, splat(float32(0)))
    for q in range(rows):
        for t in range(wide):
            source = vi + (q * wide + t) * LANES
            for j in range(6):
                store_6(tile, j * 8, 48, times_b(*load_6(v, source + j * step, 6 * step)))
            for i in range(6):
                at = (4 * q + i) * pitch + 4 * t * LANES
                new, old = times_b(*load_6(tile, i * 48, 8)), load_6(pixels, at, LANES)
                check = _checked(new[3], _checked(new[2], _checked(new[1], _checked(new[0], check))))
                check = _checked(new[5], _checked(new[4], check))
                store(pixels, at, add(old[0], new[0]))
                store(pixels, at + LANES, add(old[1], new[1]))
                store(pixels, at + 2 * LANES, add(old[2], new[2]))
                store(pixels, at + 3 * LANES, add(old[3], new[3]))
                store(pixels, at + 4 * LANES, add(old[4], new[4]))
                store(pixels, at + 5 * LANES, add(old[5], new[5]))
    for t in range(0, 2 * pitch, LANES):
        store(carry, ci + t, load(pixels, 4 * rows * pitch + t))
    return total(check)


@helper
def _checked(v, check):  # type: ignore[no-untyped-def]
    """0 times a number is 0, unless that is NaN or infinite."""
    return fma(v, splat(float32(0)), check)


# The kernels: images n0 <= n < n1, `eights` times eight of them at once -----------------------------------------

_f1, _f4, _i1 = given(float32, 1), given(float32, 4), given(int64, 1)
_out1, _out4 = filled(float32, 1), filled(float32, 4)


@helper
def _gathered_tiles(  # type: ignore[no-untyped-def]
    x, n, n1, eights, channels, height, width, top, places, wide, q0, q1, pixels, tile, v, line, step
):
    """V of images n .. n + 8*eights (those before n1): [component][channel][eight][tile]."""
    size = height * width
    start, stop = max(0, 4 * q0 - top) * width, min(height, 4 * q1 + 2 - top) * width
    for c in range(channels):
        for e in range(min(eights, (n1 - n + 7) // 8)):
            first, images = ((n + 8 * e) * channels + c) * size + start, min(LANES, n1 - n - 8 * e)
            gather(x, first, channels * size, images, stop - start, shifted(places, start), pixels)
            _input_tiles(pixels, wide, q0, q1, tile, v, c * line + e * (q1 - q0) * wide * LANES, step)


@kernel(
    void(
        _f4, _f1, _f1, _i1, _i1, int64, int64, int64, _i1, _f1, _out4, _out1, _out1, _out1, _out1, _out1, int64, int64,
    )
)  # fmt: skip
def _forward(  # type: ignore[no-untyped-def]
    x, u, bias, places, out_places, top, eights, strip, offsets, start, out, pixels, out_pixels, tile, v_m, check,
    n0, n1,
):  # fmt: skip
    """`places`, `out_places`: where pixels are in the grids of input and output."""
    xp, up, ip, places_p, op, sp = (
        pointer(x), pointer(u), pointer(places), pointer(out_places), pointer(offsets), pointer(start),
    )  # fmt: skip
    out_p, pixels_p, out_pixels_p, tile_p = pointer(out), pointer(pixels), pointer(out_pixels), pointer(tile)
    _, channels, height, width = x.shape
    _, out_channels, out_height, out_width = out.shape
    wide, high, out_size = (out_width + 3) // 4, (out_height + 3) // 4, out_height * out_width
    line = eights * strip * wide * LANES
    v_step, m_step = channels * line + 16, out_channels * line + 16
    v, m = pointer(v_m), shifted(pointer(v_m), COMPONENTS * v_step)
    for n in range(n0, n1, LANES * eights):
        blocks = min(eights, (n1 - n + 7) // 8)
        for q0 in range(0, high, strip):
            q1 = min(high, q0 + strip)
            tiles = (q1 - q0) * wide * LANES
            first, last = 4 * q0 * out_width, min(4 * q1, out_height) * out_width
            grid = shifted(out_pixels_p, -16 * q0 * wide * LANES)
            _gathered_tiles(
                xp, n, n1, eights, channels, height, width, top, ip, wide, q0, q1, pixels_p, tile_p, v, line, v_step
            )
            for k in range(COMPONENTS):
                ui = k * out_channels * channels
                products(v, k * v_step, line, blocks * tiles, op, channels, up, ui, out_channels, sp, m, k * m_step)
            for o in range(out_channels):
                for e in range(blocks):
                    mi, images = o * line + e * tiles, min(LANES, n1 - n - 8 * e)
                    check[0] += _output_tiles(m, mi, m_step, wide, q1 - q0, tile_p, bias[o], out_pixels_p)
                    target = ((n + 8 * e) * out_channels + o) * out_size + first
                    there = shifted(places_p, first)
                    scatter(grid, there, last - first, out_p, target, out_channels * out_size, images)


@kernel(
    void(
        _f4, _f4, _f1, _i1, _i1, int64, int64, int64, _i1, _i1, _f1, _f1, _out4, _out1, _out1, _out1, _out1, _out1,
        _out1, _out1, _out1, _out1, int64, int64,
    )
)  # fmt: skip
def _backward(  # type: ignore[no-untyped-def]
    x, g, u, places, g_places, top, eights, strip, x_offsets, g_offsets, start, masks, dx, du, db, pixels, g_pixels,
    dx_pixels, carry, tile, v_m, check, n0, n1,
):  # fmt: skip
    """Both gradients; without dx where it has no image, without dw where du is empty."""
    xp, gp, up, ip, places_p, sp = (
        pointer(x), pointer(g), pointer(u), pointer(places), pointer(g_places), pointer(start),
    )  # fmt: skip
    x_op, g_op, masks_p, dxp, dup = pointer(x_offsets), pointer(g_offsets), pointer(masks), pointer(dx), pointer(du)
    pixels_p, g_pixels_p, dx_pixels_p, carry_p, tile_p = (
        pointer(pixels), pointer(g_pixels), pointer(dx_pixels), pointer(carry), pointer(tile),
    )  # fmt: skip
    _, channels, height, width = x.shape
    _, out_channels, g_height, g_width = g.shape
    wide, high, size, g_size = (g_width + 3) // 4, (g_height + 3) // 4, height * width, g_height * g_width
    line, pitch = eights * strip * wide * LANES, (4 * wide + 2) * LANES
    v_step, m_step = channels * line + 16, out_channels * line + 16
    v, m = pointer(v_m), shifted(pointer(v_m), COMPONENTS * v_step)
    for n in range(n0, n1, LANES * eights):
        blocks = min(eights, (n1 - n + 7) // 8)
        for t in range(0, carry.shape[0], LANES):
            store(carry_p, t, splat(float32(0)))
        for q0 in range(0, high, strip):
            q1 = min(high, q0 + strip)
            tiles = (q1 - q0) * wide * LANES
            first, last = 4 * q0 * g_width, min(4 * q1, g_height) * g_width
            for o in range(out_channels):
                for e in range(blocks):
                    source = ((n + 8 * e) * out_channels + o) * g_size + first
                    images, there = min(LANES, n1 - n - 8 * e), shifted(places_p, first)
                    gather(gp, source, out_channels * g_size, images, last - first, there, g_pixels_p)
                    if images < LANES:
                        silence(shifted(g_pixels_p, 16 * q0 * wide * LANES), 16 * (q1 - q0) * wide, images, masks_p)
                    _output_gradient_tiles(g_pixels_p, wide, q0, q1, tile_p, m, o * line + e * tiles, m_step)
                    for b in range(images):
                        db[o] += sum_run(gp, source + b * out_channels * g_size, last - first)
            if du.shape[0] > 0:
                _gathered_tiles(
                    xp, n, n1, eights, channels, height, width, top, ip, wide, q0, q1, pixels_p, tile_p, v, line,
                    v_step,
                )  # fmt: skip
                for k in range(COMPONENTS):
                    for o in range(0, out_channels, 4):
                        for c in range(0, channels, 2):
                            dot_4x2(
                                m, k * m_step + o * line, line, v, k * v_step, x_op, c, blocks * tiles,
                                dup, (k * out_channels + o) * channels + 4 * c,
                            )  # fmt: skip
            if dx.shape[0] > 0:
                for k in range(COMPONENTS):
                    ui = k * out_channels * channels
                    products(
                        m, k * m_step, line, blocks * tiles, g_op, out_channels, up, ui, channels, sp, v, k * v_step
                    )
                # The rows of dx that this strip completes.
                first = min(height, max(0, 4 * q0 - top)) * width
                last = min(height, max(0, 4 * q1 - top)) * width if q1 < high else size
                grid, there = shifted(dx_pixels_p, -4 * q0 * pitch), shifted(ip, first)
                for c in range(channels):
                    for e in range(blocks):
                        vi, ci = c * line + e * tiles, (c * eights + e) * 2 * pitch
                        check[0] += _input_gradient_tiles(
                            v, vi, v_step, wide, q1 - q0, tile_p, dx_pixels_p, carry_p, ci
                        )
                        target, images = ((n + 8 * e) * channels + c) * size + first, min(LANES, n1 - n - 8 * e)
                        scatter(grid, there, last - first, dxp, target, channels * size, images)


# What the dispatcher calls --------------------------------------------------------------------------------------


def tiles_of(out: Ints) -> int:
    """How many tiles an image of `out` pixels takes.

    >>> tiles_of((9, 8))
    6
    """
    return -(-out[0] // 4) * -(-out[1] // 4)


@lru_cache(maxsize=256)
def _grids(size: Ints, out: Ints, padding: Ints) -> tuple[Array, Array, int, int, int]:
    """Where the pixels of input and output are in their grids; the floats of the first, and of a row of each."""
    high, wide = (-(-s // 4) for s in out)
    grid, out_grid = (np.arange(h * w).reshape(h, w) for h, w in ((4 * high + 2, 4 * wide + 2), (4 * high, 4 * wide)))
    places = grid[padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]
    out_places = out_grid[: out[0], : out[1]]
    rows = (grid.shape[1] * LANES, out_grid.shape[1] * LANES)
    return places.ravel() * LANES, out_places.ravel() * LANES, grid.size * LANES, *rows


def _block(n: int, cuts: Any, channels: int, out: Ints, columns: int) -> tuple[int, int]:
    """How many eights of images at once, and how many rows of tiles; several eights only of whole images."""
    high, wide = (-(-s // 4) for s in out)
    strip = max(1, columns // (2 * wide * LANES), CACHE // (COMPONENTS * channels * wide * LANES))
    if strip < high:
        return 1, -(-high // -(-high // strip))  # strips of about the same height
    return max(1, min(-(-n // LANES) // len(cuts), columns // (high * wide * LANES))), high


def conv(x: Array, w: Array, b: Array | None, padding: Ints) -> Array | None:
    """`reference.conv` for 3 x 3 weights, stride 1, channels in fours; None if some result is not finite."""
    n, channels, out_channels = len(x), x.shape[1], len(w)
    out = (x.shape[2] + 2 * padding[0] - 2, x.shape[3] + 2 * padding[1] - 2)
    cuts = threads.parts(-(-n // LANES), n * w.size * math.prod(out))
    places, out_places, grid, _, out_row = _grids(x.shape[2:], out, padding)
    eights, strip = _block(n, cuts, channels + out_channels, out, COLUMNS)
    line = eights * strip * -(-out[1] // 4) * LANES
    bias = np.zeros(out_channels, np.float32) if b is None else np.ascontiguousarray(b)
    y = np.empty((n, out_channels, *out), np.float32)
    pixels, check = zeros(len(cuts), grid, 1)
    sizes = (4 * strip * out_row, 8 * COMPONENTS, COMPONENTS * ((channels + out_channels) * line + 32))
    out_pixels, tile, v_m = empty(len(cuts), *sizes)
    offsets, start = np.arange(channels) * line, np.zeros(4, np.float32)
    inputs = (x, components(w), bias, places, out_places, padding[0], eights, strip, offsets, start)
    jobs = [
        (*inputs, y, pixels[i], out_pixels[i], tile[i], v_m[i], check[i], *images_of(cut, n))
        for i, cut in enumerate(cuts)
    ]
    threads.run(_forward, jobs)
    return y if not check.any() else None


def conv_backward(
    g: Array, x: Array, w: Array, padding: Ints, need_x: bool, need_w: bool
) -> tuple[Array | None, Array | None, Array] | None:
    """The gradients of x, w and the bias, likewise; None if some result is not finite."""
    n, channels, out_channels, out = len(x), x.shape[1], len(w), g.shape[2:]
    cuts = threads.parts(-(-n // LANES), n * w.size * math.prod(out))
    places, g_places, grid, row, g_row = _grids(x.shape[2:], out, padding)
    eights, strip = _block(n, cuts, channels + out_channels, out, BACKWARD_COLUMNS)
    line = eights * strip * -(-out[1] // 4) * LANES
    dx = np.empty(x.shape if need_x else (0, *x.shape[1:]), np.float32)
    g_grid = 4 * -(-out[0] // 4) * g_row
    du_size = COMPONENTS * w.size // 9 if need_w else 0
    du, db, check, *scratch = zeros(len(cuts), du_size, out_channels, 1, grid, g_grid)
    v_m = COMPONENTS * ((channels + out_channels) * line + 32)
    sizes = ((4 * strip + 2) * row, 2 * row * channels * eights, 8 * COMPONENTS, v_m)
    scratch += empty(len(cuts), *sizes)
    offsets, start = (np.arange(channels) * line, np.arange(out_channels) * line), np.zeros(4, np.float32)
    inputs = (
        x, g, mirrored_components(w), places, g_places, padding[0], eights, strip, *offsets, start, LANE_MASKS, dx,
    )  # fmt: skip
    jobs = [
        (
            *inputs, du[i], db[i], *(piece[i] for piece in scratch), check[i], *images_of(cut, n),
        )
        for i, cut in enumerate(cuts)
    ]  # fmt: skip
    threads.run(_backward, jobs)
    dw = from_components(added(du), w.shape) if need_w else None
    if check.any() or (dw is not None and not math.isfinite(np.vdot(dw, dw))):
        return None
    return dx if need_x else None, dw, added(db)

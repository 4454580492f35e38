"""Max pooling by 2 x 2 windows side by side, the commonest: straight from x, without planes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float32, int64, uint8, void

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.fast.rows import better, even_lanes, merged_high, merged_low, odd_lanes
from tinygrad_cnn.kernels.fast.simd import (
    LANES,
    equal,
    filled,
    get,
    given,
    kernel,
    load,
    load_bytes,
    pointer,
    put,
    select,
    splat,
    splat_int,
    store,
    store_bytes,
)
from tinygrad_cnn.kernels.sizes import Ints

Array = np.ndarray[Any, np.dtype[Any]]

_f3, _out3 = given(float32, 3), filled(float32, 3)
_bytes3, _chosen3 = filled(uint8, 3), given(uint8, 3)


@kernel(void(_f3, _out3, _bytes3, int64, int64))
def _max_2x2(x, out, chosen, n0, n1):  # type: ignore[no-untyped-def]
    """The commonest pool, straight from x: eight windows are 16 pixels of two rows, parted by shuffles.

    The last vector of a row overlaps the one before it. A row of fewer than eight windows takes one vector too, whose
    spare results are overwritten by the rows after it; only near the end of x or of our part it goes one by one.
    """
    xp, out_p, chosen_p = pointer(x), pointer(out), pointer(chosen)
    _, height, width = x.shape
    _, rows, columns = out.shape
    last, end = max(0, columns - LANES), n1 * rows * columns
    for n in range(n0, n1):
        for i in range(rows):
            source, target = (n * height + 2 * i) * width, (n * rows + i) * columns
            narrow = columns < LANES and (target + LANES > end or source + width + 2 * LANES > x.size)
            j = 0
            while j < columns and not narrow:
                j = min(j, last)
                place = source + 2 * j
                a, b = load(xp, place), load(xp, place + LANES)
                c, d = load(xp, place + width), load(xp, place + width + LANES)
                best, tap = even_lanes(a, b), splat_int(0)
                best, tap = better(odd_lanes(a, b), 1, best, tap)
                best, tap = better(even_lanes(c, d), 2, best, tap)
                best, tap = better(odd_lanes(c, d), 3, best, tap)
                store(out_p, target + j, best)
                store_bytes(chosen_p, target + j, tap)
                j += LANES
            for j in range(columns if narrow else 0):
                place = source + 2 * j
                most, which = get(xp, place), 0
                for k in range(1, 4):
                    value = get(xp, place + k // 2 * width + k % 2)
                    if value > most or value != value:
                        most, which = value, k
                put(out_p, target + j, most)
                put(chosen_p, target + j, uint8(which))


@kernel(void(_f3, _chosen3, _out3, int64, int64))
def _max_2x2_scatter(g, chosen, dx, n0, n1):  # type: ignore[no-untyped-def]
    """Write all four pixels of every window, three of them zero; then what no window covers. Rows as in `_max_2x2`."""
    gp, chosen_p, dx_p = pointer(g), pointer(chosen), pointer(dx)
    _, height, width = dx.shape
    _, rows, columns = g.shape
    last, end = max(0, columns - LANES), n1 * height * width
    zero = splat(float32(0))
    for n in range(n0, n1):
        for i in range(rows):
            source, target = (n * rows + i) * columns, (n * height + 2 * i) * width
            narrow = columns < LANES and (target + width + 2 * LANES > end or source + LANES > g.size)
            j = 0
            while j < columns and not narrow:
                j = min(j, last)
                v, tap = load(gp, source + j), load_bytes(chosen_p, source + j)
                for k in range(2):
                    a = select(equal(tap, splat_int(2 * k)), v, zero)
                    b = select(equal(tap, splat_int(2 * k + 1)), v, zero)
                    place = target + k * width + 2 * j
                    store(dx_p, place, merged_low(a, b))
                    store(dx_p, place + LANES, merged_high(a, b))
                j += LANES
            for j in range(columns if narrow else 0):
                value, which = get(gp, source + j), get(chosen_p, source + j)
                for k in range(4):
                    put(dx_p, target + k // 2 * width + k % 2 + 2 * j, value if which == k else float32(0))
            if width % 2:
                put(dx_p, target + width - 1, float32(0))
                put(dx_p, target + 2 * width - 1, float32(0))
        for q in range(2 * rows * width, height * width):
            put(dx_p, n * height * width + q, float32(0))


def max_pool(x: Array, out: Ints) -> tuple[Array, Array]:
    """`reference.max_pool` for float32 and such windows; `out` is rows and columns of the result."""
    images = math.prod(x.shape[:2])
    y = np.empty((images, *out), np.float32)
    chosen = np.empty(y.shape, np.uint8)
    threads.share(_max_2x2, images, x.size * 4, x.reshape(images, *x.shape[2:]), y, chosen)
    shape = x.shape[:2] + out
    return y.reshape(shape), chosen.reshape(shape)


def max_pool_scatter(g: Array, offsets: Array, shape: Ints) -> Array:
    """`reference.max_pool_scatter` for such windows."""
    images = math.prod(shape[:2])
    dx = np.empty((images, *shape[2:]), np.float32)
    flat = (images, *g.shape[2:])
    threads.share(_max_2x2_scatter, images, dx.size * 4, g.reshape(flat), offsets.reshape(flat), dx)
    return dx.reshape(shape)

"""Products with few columns, as a classifier's last layer has them: dot products along the rows of both factors.

BLAS copies both factors into panels first, and is made for wider ones: with ten columns and a thousand terms or more it
takes 1.2 to 2.6 times as long on one thread, with three 1.2 to 5 times.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import float32, int64, void

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.fast.rows import aligned, empty
from tinygrad_cnn.kernels.fast.simd import LANES, dot_tile, filled, get, given, kernel, pointer, put

Array = np.ndarray[Any, np.dtype[Any]]

ROWS, COLUMNS = 4, 3
_dots = dot_tile(ROWS, COLUMNS)
_f1, _f2, _i1, _out1, _out2 = (
    given(float32, 1),
    given(float32, 2),
    given(int64, 1),
    filled(float32, 1),
    filled(float32, 2),
)


@kernel(void(_f2, _f2, _f1, _i1, _out2, _out1, int64, int64))
def _products(x, w, bias, starts, y, sums, n0, n1):  # type: ignore[no-untyped-def]
    """Rows n0 <= n < n1 of y: the last tile overlaps the one before it. Column c of w begins at `starts[c]`."""
    xp, wp, starts_p, sums_p, yp = pointer(x), pointer(w), pointer(starts), pointer(sums), pointer(y)
    depth, columns = x.shape[1], len(w)
    whole = depth // LANES * LANES
    for first in range(n0, n1, ROWS):
        n = min(first, n1 - ROWS)
        for o in range(0, columns, COLUMNS):
            for k in range(ROWS * COLUMNS):
                put(sums_p, k, float32(0))
            _dots(xp, n * depth, depth, wp, 0, starts_p, o, whole, sums_p, 0)
            for c in range(min(COLUMNS, columns - o)):
                for r in range(ROWS):
                    total = get(sums_p, c * ROWS + r)
                    for k in range(whole, depth):
                        total += get(xp, (n + r) * depth + k) * get(wp, (o + c) * depth + k)
                    put(yp, (n + r) * columns + o + c, total + bias[o + c])


def linear(x: Array, w: Array, b: Array | None) -> Array:
    """`x` (N, I) times `w` (O, I) transposed, plus `b` (O,), for contiguous float32 and at least ROWS rows."""
    n, columns = len(x), len(w)
    bias, starts = _tables(columns, w.shape[1])
    y = np.empty((n, columns), np.float32)
    cuts = threads.parts(n // ROWS, n * w.size)
    ends = [ROWS * stop for _, stop in cuts[:-1]] + [n]
    (sums,) = empty(len(cuts), ROWS * COLUMNS)
    inputs = (x, w, bias if b is None else b, starts, y)
    threads.run(_products, [(*inputs, sums[i], ROWS * start, ends[i]) for i, (start, _) in enumerate(cuts)])
    return y


@lru_cache(maxsize=256)
def _tables(columns: int, depth: int) -> tuple[Array, Array]:
    """No bias, and where the columns of each tile begin; the last is repeated to fill a tile."""
    numbers = np.arange(aligned(columns, COLUMNS)).clip(max=columns - 1)
    return np.zeros(columns, np.float32), numbers * depth

"""ReLU and its gradient, one sweep each.

The result goes to an array of its own: with `out` the same as `x`, LLVM makes a masked store of the selection,
which some processors run ten times slower.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, int64, void

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.fast.simd import (
    LANES,
    at_most,
    filled,
    get,
    given,
    kernel,
    load,
    pointer,
    put,
    select,
    splat,
    store,
)

Array = np.ndarray[Any, np.dtype[Any]]

_f1, _out1 = given(float32, 1), filled(float32, 1)


@kernel(void(_f1, _f1, _out1, int64, int64))
def _keep_positive(x, g, out, n0, n1):  # type: ignore[no-untyped-def]
    """`g` where not x <= 0 (so a NaN in x lets g through), else 0, for n0 <= n < n1."""
    xp, gp, out_p = pointer(x), pointer(g), pointer(out)
    zero = splat(float32(0))
    n = n0
    while n + LANES <= n1:
        store(out_p, n, select(at_most(load(xp, n), zero), zero, load(gp, n)))
        n += LANES
    while n < n1:
        put(out_p, n, float32(0) if get(xp, n) <= 0 else get(gp, n))
        n += 1


def relu(x: Array) -> Array:
    """`reference.relu` for a C-contiguous float32 array."""
    return relu_grad(x, x)


def relu_grad(g: Array, out: Array) -> Array:
    """`reference.relu_grad` for two C-contiguous float32 arrays of one shape."""
    dx = np.empty(g.shape, np.float32)
    threads.share(_keep_positive, g.size, 4 * g.size, out.reshape(-1), g.reshape(-1), dx.reshape(-1))
    return dx

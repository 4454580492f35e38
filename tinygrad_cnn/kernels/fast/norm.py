"""Batch normalisation, a channel at a time: its pixels stay in the core's own cache for all sweeps over them.

The mean comes first and the variance from the centred pixels, so nothing cancels. A line (one image, one channel)
is summed in float32 in 16 parts, the lines in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float32, float64, int64, void

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.fast.rows import sum_run
from tinygrad_cnn.kernels.fast.simd import (
    LANES,
    add,
    filled,
    fma,
    get,
    given,
    helper,
    kernel,
    load,
    mul,
    pointer,
    put,
    splat,
    store,
    sub,
    total,
)

Array = np.ndarray[Any, np.dtype[Any]]

_f1, _f3 = given(float32, 1), given(float32, 3)
_out1, _out3 = filled(float32, 1), filled(float32, 3)


@helper
def _centred_dot(x, mean, g, g_mean, i, count):  # type: ignore[no-untyped-def]
    """The sum of (x - mean) * (g - g_mean) over `count` neighbours."""
    vm, vg = splat(mean), splat(g_mean)
    a = splat(float32(0))
    b = a
    q = 0
    while q + 2 * LANES <= count:
        a = fma(sub(load(x, i + q), vm), sub(load(g, i + q), vg), a)
        b = fma(sub(load(x, i + q + LANES), vm), sub(load(g, i + q + LANES), vg), b)
        q += 2 * LANES
    rest = float32(0)
    while q < count:
        rest += (get(x, i + q) - mean) * (get(g, i + q) - g_mean)
        q += 1
    return total(add(a, b)) + rest


@kernel(void(_f3, _f1, _f1, float64, _out3, _out1, _out1, int64, int64))
def _normalise(x, weight, bias, eps, y, mean, var, c0, c1):  # type: ignore[no-untyped-def]
    """Channels c0 <= c < c1 of x (N, C, S)."""
    images, channels, size = x.shape
    xp, yp = pointer(x), pointer(y)
    for c in range(c0, c1):
        total = 0.0
        for n in range(images):
            total += sum_run(xp, (n * channels + c) * size, size)
        m = float32(total / (images * size))
        total = 0.0
        for n in range(images):
            total += _centred_dot(xp, m, xp, m, (n * channels + c) * size, size)
        mean[c], var[c] = m, float32(total / (images * size))
        scale, shift = float32(weight[c] / math.sqrt(var[c] + eps)), bias[c]
        for n in range(images):
            first = (n * channels + c) * size
            q = 0
            while q + LANES <= size:
                centred = sub(load(xp, first + q), splat(m))
                store(yp, first + q, fma(centred, splat(scale), splat(shift)))
                q += LANES
            while q < size:
                put(yp, first + q, (get(xp, first + q) - m) * scale + shift)
                q += 1


@kernel(void(_f3, _f3, _f1, _f1, _f1, float64, _out3, _out1, _out1, int64, int64))
def _gradients(g, x, weight, mean, var, eps, dx, dweight, dbias, c0, c1):  # type: ignore[no-untyped-def]
    """dx = weight * rstd * (g - mean of g - xhat * mean of g * xhat), for channels c0 <= c < c1."""
    images, channels, size = x.shape
    gp, xp, dxp = pointer(g), pointer(x), pointer(dx)
    count = images * size
    for c in range(c0, c1):
        m, rstd = mean[c], 1.0 / math.sqrt(var[c] + eps)
        g_total, dot = 0.0, 0.0
        for n in range(images):
            g_total += sum_run(gp, (n * channels + c) * size, size)
        g_mean = float32(g_total / count)
        g_centre = g_mean if math.isfinite(g_mean) else float32(0)  # inf - inf would make NaN of an infinite gradient
        for n in range(images):  # g without its mean: then it does no harm that m is rounded
            dot += _centred_dot(xp, m, gp, g_centre, (n * channels + c) * size, size)
        dweight[c], dbias[c] = float32(dot * rstd), float32(g_total)
        scale = float32(weight[c] * rstd)
        slope = float32(-dot * rstd * rstd / count)
        for n in range(images):
            first = (n * channels + c) * size
            q = 0
            while q + LANES <= size:
                centred = sub(load(xp, first + q), splat(m))
                inner = fma(centred, splat(slope), sub(load(gp, first + q), splat(g_mean)))
                store(dxp, first + q, mul(inner, splat(scale)))
                q += LANES
            while q < size:
                inner = (get(xp, first + q) - m) * slope + (get(gp, first + q) - g_mean)
                put(dxp, first + q, inner * scale)
                q += 1


def batch_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    """`reference.batch_norm` for contiguous float32."""
    lines = x.reshape(*x.shape[:2], -1)
    y, mean, var = np.empty(lines.shape, np.float32), *np.empty((2, x.shape[1]), np.float32)
    threads.share(_normalise, x.shape[1], 4 * x.size, lines, weight, bias, eps, y, mean, var)
    return y.reshape(x.shape), mean, var


def batch_norm_backward(
    g: Array, x: Array, weight: Array, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """`reference.batch_norm_backward` for contiguous float32."""
    lines = x.reshape(*x.shape[:2], -1)
    dx, dweight, dbias = np.empty(lines.shape, np.float32), *np.empty((2, x.shape[1]), np.float32)
    jobs = (g.reshape(lines.shape), lines, weight, mean, var, eps, dx, dweight, dbias)
    threads.share(_gradients, x.shape[1], 4 * x.size, *jobs)
    return dx.reshape(x.shape), dweight, dbias

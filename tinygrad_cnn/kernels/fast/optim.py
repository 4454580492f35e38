"""The optimizers' updates, one sweep over parameter, gradient and state.

Plain loops: the arrays are distinct, so LLVM vectorises them. What a setting decides is decided outside the loop.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import boolean, float32, int64, void

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.fast.simd import filled, get, given, kernel, pointer, put

Array = np.ndarray[Any, np.dtype[Any]]

_f1, _out1 = given(float32, 1), filled(float32, 1)


@kernel(void(_out1, _f1, float32, float32, float32, int64, int64))
def _descend(p, g, lr, weight_decay, sign, n0, n1):  # type: ignore[no-untyped-def]
    pp, gp = pointer(p), pointer(g)
    for n in range(n0, n1):
        d = get(gp, n) * sign
        if weight_decay != 0:
            d += get(pp, n) * weight_decay
        put(pp, n, get(pp, n) - d * lr)


@kernel(void(_out1, _f1, _out1, float32, float32, float32, float32, float32, boolean, boolean, int64, int64))
def _descend_with_momentum(  # type: ignore[no-untyped-def]
    p, g, buf, lr, momentum, undamped, weight_decay, sign, nesterov, first, n0, n1
):
    pp, gp, bp = pointer(p), pointer(g), pointer(buf)
    for n in range(n0, n1):
        d = get(gp, n) * sign
        if weight_decay != 0:
            d += get(pp, n) * weight_decay
        velocity = d if first else get(bp, n) * momentum + d * undamped
        put(bp, n, velocity)
        step = d + velocity * momentum if nesterov else velocity
        put(pp, n, get(pp, n) - step * lr)


@kernel(
    void(
        _out1, _f1, _out1, _out1, _out1, float32, float32, float32, float32, float32, float32, float32, float32,
        boolean, int64, int64,
    )
)  # fmt: skip
def _adam(  # type: ignore[no-untyped-def]
    p, g, m, v, v_max, lr, shrink, one_beta1, beta2, bias2, eps, weight_decay, sign, amsgrad, n0, n1
):
    pp, gp, mp, vp, maxp = pointer(p), pointer(g), pointer(m), pointer(v), pointer(v_max)
    one_beta2 = float32(1) - beta2
    for n in range(n0, n1):
        d, value = get(gp, n) * sign, get(pp, n) * shrink
        if weight_decay != 0:
            d += value * weight_decay
        first = get(mp, n)
        first += (d - first) * one_beta1
        second = get(vp, n) * beta2 + d * d * one_beta2
        put(mp, n, first)
        put(vp, n, second)
        if amsgrad:
            largest = get(maxp, n)
            second = second if second > largest or second != second else largest
            put(maxp, n, second)
        put(pp, n, value - first / (math.sqrt(second) / bias2 + eps) * lr)


def sgd_step(
    p: Array,
    g: Array,
    buf: Array | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
) -> Array | None:
    """`reference.sgd_step` for contiguous float32."""
    sign = -1.0 if maximize else 1.0
    if not momentum:
        threads.share(_descend, p.size, 4 * p.size, p.reshape(-1), g.reshape(-1), lr, weight_decay, sign)
        return None
    first = buf is None
    if buf is None:
        buf = np.empty_like(p)
    settings = (lr, momentum, 1 - dampening, weight_decay, sign, nesterov, first)
    arrays = (p.reshape(-1), g.reshape(-1), buf.reshape(-1))
    threads.share(_descend_with_momentum, p.size, 4 * p.size, *arrays, *settings)
    return buf


def adam_step(
    p: Array,
    g: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    max_exp_avg_sq: Array | None,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> None:
    """`reference.adam_step` for contiguous float32."""
    settings = (
        lr / (1 - beta1**step),
        1 - lr * weight_decay if decoupled else 1.0,
        1 - beta1,
        beta2,
        math.sqrt(1 - beta2**step),
        eps,
        0.0 if decoupled else weight_decay,
        -1.0 if maximize else 1.0,
        max_exp_avg_sq is not None,
    )
    largest = np.empty(0, np.float32) if max_exp_avg_sq is None else max_exp_avg_sq
    arrays = [a.reshape(-1) for a in (p, g, exp_avg, exp_avg_sq, largest)]
    threads.share(_adam, p.size, 8 * p.size, *arrays, *settings)

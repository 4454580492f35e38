"""The optimizers' updates, in place, with PyTorch's formulas."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_cnn.kernels.reference.windows import Array


def sgd_step(
    p: Array,
    g: Array,
    buf: Array | None,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> Array | None:
    """One step of stochastic gradient descent: changes `p` and `buf`, gives the buffer to pass next time.

    The buffer is None without momentum, and None goes in at the first step (the gradient is then
    taken whole, without dampening). `g` is left as it is.

    >>> p = np.array([1.0])
    >>> sgd_step(p, np.array([0.5]), None, lr=0.1, momentum=0.9), p
    (array([0.5]), array([0.95]))
    """
    if maximize:
        g = -g
    if weight_decay:
        g = g + p * p.dtype.type(weight_decay)
    if momentum:
        if buf is None:
            buf = np.array(g, p.dtype)
        else:
            buf *= p.dtype.type(momentum)
            buf += g * p.dtype.type(1 - dampening)
        g = g + buf * p.dtype.type(momentum) if nesterov else buf
    p -= g * p.dtype.type(lr)
    return buf if momentum else None


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
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    """One step of Adam (Kingma and Ba, 2015), or of AdamW where `decoupled`: changes `p` and the averages.

    `step` counts from 1; `max_exp_avg_sq` asks for AMSGrad, and is changed too.

    >>> p, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adam_step(p, np.array([0.5]), m, v, None, 1, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8)
    >>> p.round(4), m, v
    (array([0.9]), array([0.05]), array([0.00025]))
    """
    kind = p.dtype.type
    if maximize:
        g = -g
    if decoupled:
        p *= kind(1 - lr * weight_decay)
    elif weight_decay:
        g = g + p * kind(weight_decay)
    exp_avg += (g - exp_avg) * kind(1 - beta1)
    exp_avg_sq *= kind(beta2)
    exp_avg_sq += g * g * kind(1 - beta2)
    second = exp_avg_sq
    if max_exp_avg_sq is not None:
        np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
        second = max_exp_avg_sq
    denominator = np.sqrt(second) / kind(math.sqrt(1 - beta2**step)) + kind(eps)
    p -= exp_avg / denominator * kind(lr / (1 - beta1**step))

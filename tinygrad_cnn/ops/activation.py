"""Activation functions, softmax, and dropout.

`inplace` is accepted where PyTorch has it and does nothing: the result is always a new tensor.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from tinygrad_cnn import kernels, random
from tinygrad_cnn.autograd import Array, Variable, composite, op, wrap
from tinygrad_cnn.ops.comparison import ge, gt, le, logical_and, logical_or, lt
from tinygrad_cnn.ops.elementwise import abs, div, erf, exp, floating, mul, neg, sigmoid, where
from tinygrad_cnn.ops.reduce import axes_of, sum
from tinygrad_cnn.ops.shape import chunk, reshape
from tinygrad_cnn.ops.trigonometry import tanh

__all__ = [
    "celu", "dropout", "dropout2d", "elu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "leaky_relu", "log_softmax", "logsigmoid", "mish", "prelu", "relu", "relu6", "selu", "silu", "softmax",
    "softmin", "softplus", "softshrink", "softsign", "tanhshrink", "threshold",
]  # fmt: skip


# ---- piecewise linear --------------------------------------------------------------------------------------


@op
def relu(input: Array, inplace: bool = False) -> Any:
    """max(input, 0); its gradient at 0 is 0.

    >>> import tinygrad_cnn as tg
    >>> tg.relu(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return kernels.relu(input)


@relu.vjp("input")
def relu_grad(g: Array, out: Array) -> Array:
    return where(le(out, 0), 0.0, g)


@relu.shortcut
def relu_fused_grad(g: Any, out: Any) -> tuple[Any, ...]:
    return (kernels.relu_grad(g, out),)


@op
def hardtanh(input: Array, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """The input, no smaller than `min_val` and no larger than `max_val`; the gradient at both is 0.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.hardtanh(tg.tensor([-2.0, 0.5, 2.0]))
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min_val > max_val:
        raise ValueError(f"min_val is {min_val}, max_val {max_val}: expected min_val <= max_val")
    if input.dtype.kind != "f":
        min_val, max_val = int(min_val), int(max_val)
    return np.clip(input, min_val, max_val)


@hardtanh.vjp("input")
def hardtanh_grad(g: Array, input: Array, min_val: float, max_val: float) -> Array:
    return where(logical_or(le(input, min_val), ge(input, max_val)), 0.0, g)


@composite
def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(input, 0), 6).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.relu6(tg.tensor([-1.0, 3.0, 8.0]))
    tensor([0., 3., 6.])
    """
    return hardtanh(input, 0, 6)


@op
def leaky_relu(input: Array, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """The input above 0, `negative_slope` · input elsewhere.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.leaky_relu(tg.tensor([-1.0, 2.0]), 0.5)
    tensor([-0.5000,  2.0000])
    """
    return np.where(input > 0, input, input * negative_slope)


@leaky_relu.vjp("input")
def leaky_relu_grad(g: Array, input: Array, negative_slope: float) -> Array:
    return where(gt(input, 0), g, g * negative_slope)


@composite
def prelu(input: Any, weight: Any) -> Any:
    """The input above 0, weight · input elsewhere: `weight` (1,), or (C,) with one slope for each of input (N, C, *).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.prelu(tg.tensor([-1.0, 2.0]), tg.tensor([0.25]))
    tensor([-0.2500,  2.0000])
    """
    slopes = math.prod(weight.shape)
    channels = input.shape[1] if len(input.shape) > 1 else 1
    if slopes not in (1, channels) or len(weight.shape) > 1:
        raise ValueError(f"prelu: weight is {weight.shape}, input {input.shape} expects (1,) or ({channels},)")
    weight = reshape(weight, () if slopes == 1 else (slopes,) + (1,) * (len(input.shape) - 2))
    return where(gt(input, 0), input, mul(weight, input))


@op
def threshold(input: Array, threshold: float, value: float, inplace: bool = False) -> Any:
    """The input where it is above `threshold`, `value` elsewhere.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.threshold(tg.tensor([0.5, 2.0]), 1.0, 9.0)
    tensor([9., 2.])
    """
    return np.where(input <= threshold, np.asarray(value).astype(input.dtype), input)


@threshold.vjp("input")
def threshold_grad(g: Array, input: Array, threshold: float) -> Array:
    return where(le(input, threshold), 0.0, g)


@op
def hardshrink(input: Array, lambd: float = 0.5) -> Any:
    """0 where |input| ≤ lambd, the input elsewhere.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.hardshrink(tg.tensor([-0.4, 2.0]))
    tensor([0., 2.])
    """
    return np.where(np.absolute(input) <= lambd, input.dtype.type(0), input)


@hardshrink.vjp("input")
def hardshrink_grad(g: Array, input: Array, lambd: float) -> Array:
    return where(le(abs(input), lambd), 0.0, g)


@op
def softshrink(input: Array, lambd: float = 0.5) -> Any:
    """0 where |input| ≤ lambd, the input moved towards 0 by `lambd` elsewhere.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.softshrink(tg.tensor([-0.4, 2.0]))
    tensor([0.0000, 1.5000])
    """
    if lambd < 0:
        raise ValueError(f"lambd is {lambd}, expected a number >= 0")
    step = np.copysign(input.dtype.type(lambd), input)
    return np.where(np.absolute(input) <= lambd, input.dtype.type(0), input - step)


@softshrink.vjp("input")
def softshrink_grad(g: Array, input: Array, lambd: float) -> Array:
    return where(le(abs(input), lambd), 0.0, g)


@op
def hardsigmoid(input: Array, inplace: bool = False) -> Any:
    """input / 6 + 1/2, no smaller than 0 and no larger than 1.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.hardsigmoid(tg.tensor([-4.0, 0.0, 4.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return np.clip(input + 3, 0, 6) / 6


@hardsigmoid.vjp("input")
def hardsigmoid_grad(g: Array, input: Array) -> Array:
    return where(logical_and(gt(input, -3), lt(input, 3)), g / 6, 0.0)


@op
def hardswish(input: Array, inplace: bool = False) -> Any:
    """input · hardsigmoid(input) (Howard et al., "Searching for MobileNetV3", 2019).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.hardswish(tg.tensor([-4.0, 0.0, 4.0]))
    tensor([-0.,  0.,  4.])
    """
    return input * np.clip(input + 3, 0, 6) / 6


@hardswish.vjp("input")
def hardswish_grad(g: Array, input: Array) -> Array:
    return where(le(input, -3), 0.0, where(lt(input, 3), g * (input / 3 + 0.5), g))


# ---- with exponentials -------------------------------------------------------------------------------------


@op
def scaled_elu(input: Array, alpha: float, scale: float, input_scale: float) -> Any:
    """scale · input above 0, scale · alpha · (e^(input_scale · input) - 1) elsewhere: elu, celu and selu are these.

    >>> scaled_elu(np.array([-1.0, 2.0]), alpha=1.0, scale=2.0, input_scale=1.0)
    array([-1.26424112,  4.        ])
    """
    return np.where(input > 0, input * scale, np.expm1(input * input_scale) * (alpha * scale))


@scaled_elu.vjp("input")
def scaled_elu_grad(g: Array, input: Array, alpha: float, scale: float, input_scale: float) -> Array:
    # The exponential of a clamped input: that of a large one would be inf, and 0 · inf in the next derivative NaN.
    slope = exp(where(lt(input, 0), input, 0.0) * input_scale) * (alpha * scale * input_scale)
    return where(le(input, 0), g * slope, g * scale)


@composite
def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """The input above 0, alpha · (e^input - 1) elsewhere (Clevert et al., 2015).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.elu(tg.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """
    return scaled_elu(input, alpha=alpha, scale=1.0, input_scale=1.0)


@composite
def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """The input above 0, alpha · (e^(input / alpha) - 1) elsewhere (Barron, 2017).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.celu(tg.tensor([-1.0, 2.0]), 2.0)
    tensor([-0.7869,  2.0000])
    """
    if alpha == 0:
        raise ValueError("celu: alpha is 0, expected another number")
    return scaled_elu(input, alpha=alpha, scale=1.0, input_scale=1.0 / alpha)


@composite
def selu(input: Any, inplace: bool = False) -> Any:
    """1.0507 · elu(input, 1.6733), which keeps mean 0 and variance 1 (Klambauer et al., 2017).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.selu(tg.tensor([-1.0, 2.0]))
    tensor([-1.1113,  2.1014])
    """
    return scaled_elu(input, alpha=1.6732632423543772, scale=1.0507009873554805, input_scale=1.0)


@op
def silu(input: Array, inplace: bool = False) -> Any:
    """input · sigmoid(input), also called swish.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.silu(tg.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """
    x = floating(input)
    return x / (np.exp(-x) + 1)


@silu.vjp("input")
def silu_grad(g: Array, input: Array) -> Array:
    s = sigmoid(input)
    return g * (s * (input * (1 - s) + 1))


@op
def gelu(input: Array, approximate: str = "none") -> Any:
    """input · Φ(input), Φ the normal distribution function; with `approximate` "tanh" a formula close to it.

    That is input / 2 · (1 + tanh(√(2/π) · (input + 0.044715 · input³))).
    Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.gelu(tg.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate is {approximate!r}, expected 'none' or 'tanh'")
    x = floating(input)
    return x * (0.5 * (np.asarray(_twice_phi(x, approximate))))


def _twice_phi(x: Array, approximate: str) -> Array:
    """1 + erf(x / √2), or the approximation of it."""
    if approximate == "tanh":
        return tanh((x + 0.044715 * (x * x * x)) * math.sqrt(2 / math.pi)) + 1
    return erf(x * math.sqrt(0.5)) + 1


@gelu.vjp("input")
def gelu_grad(g: Array, input: Array, approximate: str) -> Array:
    twice_phi = _twice_phi(input, approximate)
    if approximate == "tanh":
        # The derivative of 1 + tanh(u) is (1 + tanh(u)) (1 - tanh(u)) du.
        slope = twice_phi * (2 - twice_phi) * ((input * input * 0.134145 + 1) * math.sqrt(2 / math.pi))
    else:
        slope = exp(input * input * -0.5) * math.sqrt(2 / math.pi)
    return g * ((twice_phi + input * slope) * 0.5)


@op
def softplus(input: Array, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + e^(beta · input)) / beta; the input itself where beta · input > threshold.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.softplus(tg.tensor([0.0, 30.0]))
    tensor([ 0.6931, 30.0000])
    """
    x = floating(input)
    z = x * beta
    return np.where(z > threshold, x, (np.maximum(z, 0) + np.log1p(np.exp(-np.absolute(z)))) / beta)


@softplus.vjp("input")
def softplus_grad(g: Array, input: Array, beta: float, threshold: float) -> Array:
    z = input * beta
    return where(gt(z, threshold), g, g * sigmoid(z))


@op
def mish(input: Array, inplace: bool = False) -> Any:
    """input · tanh(softplus(input)) (Misra, 2019).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.mish(tg.tensor([-1.0, 2.0]))
    tensor([-0.3034,  1.9440])
    """
    x = floating(input)
    return x * np.tanh(np.logaddexp(x, 0))


@mish.vjp("input")
def mish_grad(g: Array, input: Array) -> Array:
    t = tanh(softplus(input))
    return g * (t + input * (sigmoid(input) * (1 - t * t)))


@op
def logsigmoid(input: Array) -> Any:
    """log(sigmoid(input)), exact also where the sigmoid is close to 0 or 1.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.logsigmoid(tg.tensor([0.0, -100.0]))
    tensor([  -0.6931, -100.0000])
    """
    x = floating(input)
    return np.minimum(x, 0) - np.log1p(np.exp(-np.absolute(x)))


@logsigmoid.vjp("input")
def logsigmoid_grad(g: Array, input: Array) -> Array:
    return g * sigmoid(-input)


@composite
def softsign(input: Any) -> Any:
    """input / (1 + |input|).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.softsign(tg.tensor([-1.0, 3.0]))
    tensor([-0.5000,  0.7500])
    """
    return div(input, abs(input) + 1)


@op
def tanhshrink(input: Array) -> Any:
    """input - tanh(input), computed in double precision: near 0 all but input³/3 cancels.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.tanhshrink(tg.tensor([0.0, 2.0]))
    tensor([0.0000, 1.0360])
    """
    x = floating(input)
    wide = x.astype(np.float64)
    return (wide - np.tanh(wide)).astype(x.dtype)


@tanhshrink.vjp("input")
def tanhshrink_grad(g: Array, input: Array) -> Array:
    t = tanh(input)
    return g * (t * t)


@composite
def glu(input: Any, dim: int = -1) -> Any:
    """a · sigmoid(b), where a and b are the two halves of the input along `dim` (Dauphin et al., 2017).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.glu(tg.tensor([1.0, 2.0, 0.0, 0.0]))
    tensor([0.5000, 1.0000])
    """
    (axis,) = axes_of(dim, len(input.shape))
    if input.shape[axis] % 2:
        raise ValueError(f"glu: dim {dim} of input {input.shape} has length {input.shape[axis]}, expected an even one")
    value, gate = chunk(input, 2, dim)
    return mul(value, sigmoid(gate))


# ---- softmax -----------------------------------------------------------------------------------------------


@op
def softmax(input: Array, dim: int | None = None, dtype: Any = None) -> Any:
    """e^input divided by its sum along `dim`: positive numbers that sum to 1. `dtype`: compute in that dtype.

    >>> import tinygrad_cnn as tg
    >>> tg.softmax(tg.tensor([0.0, 0.0, 0.0, 0.0]), dim=0)
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    shifted, axes = _below_maximum(input, dim, dtype)
    e = np.exp(shifted)
    return e / e.sum(axis=axes, keepdims=True)


@softmax.vjp("input")
def softmax_grad(g: Array, out: Array, dim: int | None) -> Array:
    dim = softmax_dim(dim, g.ndim)
    return out * (g - sum(g * out, dim=dim, keepdim=True))


@op
def log_softmax(input: Array, dim: int | None = None, dtype: Any = None) -> Any:
    """log(softmax(input)) along `dim`, exact also where the softmax is close to 0.

    >>> import tinygrad_cnn as tg
    >>> tg.log_softmax(tg.tensor([0.0, 100.0]), dim=0)
    tensor([-100.,    0.])
    """
    shifted, axes = _below_maximum(input, dim, dtype)
    return shifted - np.log(np.exp(shifted).sum(axis=axes, keepdims=True))


@log_softmax.vjp("input")
def log_softmax_grad(g: Array, out: Array, dim: int | None) -> Array:
    return g - exp(out) * sum(g, dim=softmax_dim(dim, g.ndim), keepdim=True)


def _below_maximum(x: Any, dim: int | None, dtype: Any) -> tuple[Any, tuple[int, ...]]:
    """The array minus its maximum along `dim`, so that no exponential overflows; and `dim` as axes."""
    if dim is None:
        warnings.warn("softmax: no dim is given, one is guessed from the number of dimensions", stacklevel=4)
    axes = axes_of(softmax_dim(dim, x.ndim), x.ndim)
    x = floating(x) if dtype is None else x.astype(dtype)
    return x - x.max(axis=axes, keepdims=True, initial=-np.inf), axes


def softmax_dim(dim: int | None, ndim: int) -> int:
    """The dimension along which softmax normalizes, by PyTorch's rule if none is given."""
    return (0 if ndim in (0, 1, 3) else 1) if dim is None else dim


@composite
def softmin(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """softmax(-input) along `dim`.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.softmin(tg.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return softmax(neg(input), dim, dtype)


# ---- dropout -----------------------------------------------------------------------------------------------


@composite
def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """In training, 0 with probability `p` and input / (1 - p) otherwise, each element for itself; else the input.

    The chances come from the default generator, which `manual_seed` restarts (Srivastava et al., 2014).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.dropout(tg.tensor([1.0, 2.0]), p=0.5, training=False)
    tensor([1., 2.])
    """
    return _drop("dropout", input, input.shape, p, training)


@composite
def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """As `dropout`, but for whole channels of an input (N, C, H, W) or (N, C, L).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.dropout2d(tg.ones(1, 2, 3, 3), p=1.0).sum()
    tensor(0.)
    """
    ndim = len(input.shape)
    if ndim not in (3, 4):
        raise ValueError(f"dropout2d: input has shape {input.shape}, expected (N, C, H, W) or (N, C, L)")
    return _drop("dropout2d", input, input.shape[:2] + (1,) * (ndim - 2), p, training)


def _drop(name: str, input: Any, shape: tuple[int, ...], p: float, training: bool) -> Any:
    """The input times a random mask of `shape`."""
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p is {p}, expected a probability, 0 to 1")
    if not training or p == 0:
        return input
    kept = random.default_generator.numpy.random(shape, dtype=np.float32) >= p
    mask = kept * input.dtype.type(0 if p == 1 else 1 / (1 - p))
    # As a Tensor the graph keeps this very array; an array that comes from outside it would copy.
    return mul(input, wrap(mask) if isinstance(input, Variable) else mask)

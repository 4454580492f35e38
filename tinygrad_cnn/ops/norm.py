"""Normalisations: bring groups of elements to mean 0 and variance 1, then scale and shift them by learnt numbers.

Which elements form a group is what tells them apart: the channel of a whole batch (`batch_norm`), the trailing
dimensions of a sample (`layer_norm`), some channels of a sample (`group_norm`), one channel of a sample
(`instance_norm`). The variance that divides is always the biased one. `standardize` is their common op;
`batch_norm` in training has one of its own, with fused kernels, since convolutional networks spend time there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_cnn import kernels, locks
from tinygrad_cnn.autograd import Array, Variable, composite, op
from tinygrad_cnn.ops.conv import Ints
from tinygrad_cnn.ops.elementwise import rsqrt
from tinygrad_cnn.ops.pool import avg_pool2d
from tinygrad_cnn.ops.reduce import mean, sum
from tinygrad_cnn.ops.shape import pad

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]


# ---- the common op -----------------------------------------------------------------------------------------


@op
def standardize(input: Array, dim: Ints, eps: float) -> Any:
    """(x - mean) / sqrt(var + eps), with mean and biased variance over the dimensions `dim`.

    >>> import tinygrad_cnn as tg
    >>> from tinygrad_cnn.ops.norm import standardize
    >>> standardize(tg.tensor([1.0, 3.0]), (0,), 0.0)
    tensor([-1.,  1.])
    """
    centred = input - input.mean(axis=dim, keepdims=True)
    var = (centred * centred).mean(axis=dim, keepdims=True)
    return centred / np.sqrt(var + eps)


@standardize.vjp("input")
def standardize_grad(g: Array, input: Array, out: Array, dim: Ints, eps: float) -> Array:
    centred = input - mean(input, dim, True)
    rstd = rsqrt(mean(centred * centred, dim, True) + eps)
    return rstd * (g - mean(g, dim, True) - out * mean(g * out, dim, True))


def _along_channels(x: Any, ndim: int) -> Any:
    """(C,) -> (C, 1, ..., 1), which broadcasts against (N, C, *S) of `ndim` dimensions."""
    return x.reshape((-1, *[1] * (ndim - 2)))


def _scaled(x: Any, weight: Any, bias: Any) -> Any:
    """x · weight + bias, as far as there are any."""
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias


def _scaled_channels(x: Any, weight: Any, bias: Any) -> Any:
    if weight is not None:
        weight = _along_channels(weight, x.ndim)
    return _scaled(x, weight, None if bias is None else _along_channels(bias, x.ndim))


def _check(name: str, x: Any, least: int, channels: dict[str, Any]) -> None:
    """Raise unless `x` has `least` dimensions and floats, and each of the named arrays one number a channel."""
    if x.ndim < least:
        raise ValueError(f"{name}: x has {x.ndim} dimensions {x.shape}, expected at least {least}")
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: x is {x.dtype}, expected a floating point dtype")
    for what, value in channels.items():
        if value is not None and value.shape != (x.shape[1],):
            raise ValueError(f"{name}: {what} is {value.shape}, x {x.shape} expects ({x.shape[1]},)")


# ---- batch norm --------------------------------------------------------------------------------------------


class Running:
    """Running averages of mean and variance: two Tensors (C,) that `update` writes to, and the weight of the new."""

    def __init__(self, mean: Any, var: Any, momentum: float) -> None:
        self.mean = mean
        self.var = var
        self.momentum = momentum

    def update(self, mean: Any, var: Any, count: int) -> None:
        """Mix in a batch's mean and biased variance over `count` elements; the running variance is the unbiased one."""
        unbiased = var * (count / max(count - 1, 1))
        for average, new in ((self.mean, mean), (self.var, unbiased)):
            if average is not None:
                array = locks.writeable(average) if isinstance(average, Variable) else average
                array *= 1 - self.momentum
                array += self.momentum * new

    def __repr__(self) -> str:
        return f"Running(momentum={self.momentum})"


def _array(x: Any) -> Any:
    return x._array if isinstance(x, Variable) else x


@op(keeps="statistics")
def batch_norm_train(input: Array, weight: Array | None, bias: Array | None, running: Any, eps: float) -> Any:
    """Each channel of `input` (N, C, *S) standardized over the batch, times `weight`, plus `bias`; see `batch_norm`.

    Keeps mean and variance for the fused gradient, which is for arrays only: no rule that is recorded names them.
    """
    count = input.size // max(input.shape[1], 1)
    if count == 1:
        raise ValueError(f"x is {input.shape}, expected more than 1 value per channel when training")
    y, mean, var = kernels.batch_norm(input, weight, bias, eps)
    if running is not None and count:
        running.update(mean, var, count)
    return y, np.stack([mean, var])


batch_norm_train.name = "batch_norm"  # what pictures and messages call it


def _batch_axes(ndim: int) -> Ints:
    return (0, *range(2, ndim))


@batch_norm_train.vjp("input")
def batch_norm_grad_input(g: Array, input: Array, weight: Array | None, eps: float) -> Array:
    dim = _batch_axes(g.ndim)
    if weight is not None:
        g = g * _along_channels(weight, g.ndim)
    return standardize_grad(g, input, standardize(input, dim, eps), dim, eps)


@batch_norm_train.vjp("weight")
def batch_norm_grad_weight(g: Array, input: Array, eps: float) -> Array:
    dim = _batch_axes(g.ndim)
    return sum(g * standardize(input, dim, eps), dim)


@batch_norm_train.vjp("bias")
def batch_norm_grad_bias(g: Array) -> Array:
    return sum(g, _batch_axes(g.ndim))


@batch_norm_train.shortcut
def batch_norm_grads(g: Any, input: Any, weight: Any, statistics: Any, eps: float) -> Any:
    """The three gradients at once, from the mean and the variance of the forward pass."""
    mean, var = statistics
    return kernels.batch_norm_backward(g, input, weight, mean, var, eps)


@composite
def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel of `input` (N, C) or (N, C, *S) brought to mean 0 and variance 1, times `weight`, plus `bias` (C,).

    (input - mean) / √(var + eps) · weight + bias.
    training: use the mean and the biased variance of the batch, and mix them (the variance unbiased) into
    `running_mean` and `running_var` in place, with the weight `momentum`. Otherwise use these two as they are.
    ValueError if a channel has just one value to train with. Ioffe and Szegedy, "Batch Normalization" (2015).

    >>> import tinygrad_cnn as tg
    >>> tg.batch_norm(tg.tensor([[1.0], [3.0]]), None, None, training=True, eps=0.0)
    tensor([[-1.],
            [ 1.]])
    """
    if input.shape == (0,):  # PyTorch gives nothing for nothing, even without a dimension of channels
        return input * 1
    vectors = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    _check("batch_norm", input, 2, vectors)
    if training:
        running = None if running_mean is None and running_var is None else Running(running_mean, running_var, momentum)
        return batch_norm_train(input, weight, bias, running, eps)
    if running_mean is None or running_var is None:
        raise ValueError("batch_norm: running_mean or running_var is None, evaluation expects both")
    # Copies of the running numbers, (C,): a later training step may change these before backward.
    rstd = 1 / np.sqrt(_array(running_var) + eps)
    scale = rstd if weight is None else weight * rstd
    shift = scale * -_array(running_mean)
    return _scaled_channels(input, scale, shift if bias is None else shift + bias)


# ---- norms of single samples -------------------------------------------------------------------------------


def _trailing(name: str, x: Any, normalized_shape: Any, vectors: dict[str, Any]) -> Ints:
    """The trailing dimensions that `normalized_shape` names, counted from the back."""
    _check(name, x, 0, {})
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or tuple(x.shape[-len(shape) :]) != shape:
        raise ValueError(f"{name}: normalized_shape is {shape}, x {x.shape} does not end in it")
    for what, value in vectors.items():
        if value is not None and value.shape != shape:
            raise ValueError(f"{name}: {what} is {value.shape}, expected normalized_shape {shape}")
    return tuple(range(-len(shape), 0))


@composite
def layer_norm(
    input: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Any:
    """The trailing dimensions `normalized_shape` of each sample brought to mean 0 and variance 1, then scaled.

    (input - mean) / √(var + eps) · weight + bias, with the biased variance.
    weight and bias have the shape `normalized_shape`. Ba, Kiros and Hinton, "Layer Normalization" (2016).

    >>> import tinygrad_cnn as tg
    >>> tg.layer_norm(tg.tensor([[1.0, 3.0], [5.0, 5.0]]), (2,), eps=0.01).shape
    (2, 2)
    """
    dim = _trailing("layer_norm", input, normalized_shape, {"weight": weight, "bias": bias})
    return _scaled(standardize(input, dim, eps), weight, bias)


@composite
def rms_norm(
    input: Array, normalized_shape: int | Sequence[int], weight: Array | None = None, eps: float | None = None
) -> Any:
    """The trailing dimensions `normalized_shape` of each sample divided by their root mean square, times `weight`.

    eps: what is added to the mean square; by default the machine epsilon of the dtype.
    Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019).

    >>> import tinygrad_cnn as tg
    >>> tg.rms_norm(tg.tensor([[3.0, 3.0]]), (2,))
    tensor([[1., 1.]])
    """
    dim = _trailing("rms_norm", input, normalized_shape, {"weight": weight})
    eps = float(np.finfo(input.dtype).eps) if eps is None else eps
    return _scaled(input * rsqrt(mean(input * input, dim, True) + eps), weight, None)


@composite
def group_norm(
    input: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Any:
    """The channels of `input` (N, C, *S) cut into groups; each group of each sample brought to mean 0, variance 1.

    (input - mean) / √(var + eps) · weight + bias, with the biased variance.
    weight and bias: (C,). ValueError if num_groups does not divide C. Wu and He, "Group Normalization" (2018).

    >>> import tinygrad_cnn as tg
    >>> tg.group_norm(tg.tensor([[1.0, 3.0, 5.0, 9.0]]), 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]])
    """
    _check("group_norm", input, 2, {"weight": weight, "bias": bias})
    n, channels, *size = input.shape
    if num_groups < 1 or channels % num_groups:
        raise ValueError(f"group_norm: num_groups is {num_groups}, expected a divisor of the {channels} channels")
    length = channels // num_groups * math.prod(size)
    if n * length == 1:
        raise ValueError(f"group_norm: x is {input.shape}, expected more than 1 value per group")
    x = standardize(input.reshape((n, num_groups, length)), (2,), eps)  # (N, C, *S) -> (N, G, C/G * S)
    return _scaled_channels(x.reshape(input.shape), weight, bias)


@composite
def instance_norm(
    input: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel of each sample of `input` (N, C, *S) brought to mean 0 and variance 1, then scaled by (C,) weights.

    use_input_stats: use each sample's own mean and variance, and mix their averages over the batch into
    `running_mean` and `running_var`, if given. Otherwise use these two. Ulyanov et al. (2016).

    >>> import tinygrad_cnn as tg
    >>> tg.instance_norm(tg.tensor([[[1.0, 3.0], [4.0, 8.0]]]), eps=0.0)
    tensor([[[-1.,  1.],
             [-1.,  1.]]])
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    vectors = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    _check("instance_norm", input, 3, vectors)
    dim = tuple(range(2, input.ndim))
    count = math.prod(input.shape[2:])
    if count == 1:
        raise ValueError(f"instance_norm: x is {input.shape}, expected more than 1 value per channel and sample")
    if running_mean is not None or running_var is not None:
        x = _array(input)
        running = Running(running_mean, running_var, momentum)
        running.update(x.mean(axis=dim).mean(axis=0), x.var(axis=dim).mean(axis=0), count)
    return _scaled_channels(standardize(input, dim, eps), weight, bias)


@composite
def local_response_norm(input: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """Divide each element of `input` (N, C, *S) by (k + alpha · mean of squares)^beta.

    The mean is over `size` neighbouring channels, zeros beyond the first and the last.
    Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep CNNs" (2012).

    >>> import tinygrad_cnn as tg
    >>> tg.local_response_norm(tg.ones(1, 3, 2), 2, alpha=2.0, beta=1.0)
    tensor([[[0.5000, 0.5000],
             [0.3333, 0.3333],
             [0.3333, 0.3333]]])
    """
    _check("local_response_norm", input, 3, {})
    if size < 1:
        raise ValueError(f"local_response_norm: size is {size}, expected at least 1")
    n, channels, *spatial = input.shape
    squares = (input * input).reshape((n, 1, channels, math.prod(spatial)))
    squares = pad(squares, (0, 0, size // 2, (size - 1) // 2))
    means = avg_pool2d(squares, (size, 1), stride=1).reshape(input.shape)
    return input / (means * alpha + k) ** beta

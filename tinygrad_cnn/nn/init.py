"""Initial values for weights: each function writes into a tensor, in place and unrecorded, and returns it.

`generator` is a `tg.Generator`; None draws from the default one, which `tg.manual_seed` restarts.
A weight has shape (out, in, *kernel): fan_in is in · prod(kernel), fan_out is out · prod(kernel).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cnn import locks
from tinygrad_cnn.random import Generator, default_generator
from tinygrad_cnn.tensor import Tensor

__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_",
    "orthogonal_", "sparse_", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip

_LINEAR = (
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights grow to keep the variance through a nonlinearity.

    param: the negative slope of "leaky_relu" (0.01).

    >>> from tinygrad_cnn.nn import init
    >>> round(init.calculate_gain("relu"), 4)
    1.4142
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75, **dict.fromkeys(_LINEAR, 1.0)}
    if nonlinearity not in gains:
        raise ValueError(
            f"calculate_gain: nonlinearity is {nonlinearity!r}, expected one of {sorted(gains)} or 'leaky_relu'"
        )
    return gains[nonlinearity]


# ---- plain values ------------------------------------------------------------------------------------------


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value."""
    return _fill(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return _fill(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return _fill(tensor, 0)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity: ones on the diagonal, zeros elsewhere."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: the tensor has {tensor.ndim} dimensions, expected 2")
    return _fill(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a convolution's weight (O, C/groups, *K) so that it passes its channels on as they are.

    Within each group, output i copies input i: a one in the middle of the kernel.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"dirac_: the tensor has {tensor.ndim} dimensions, expected 3, 4 or 5")
    out_channels, in_channels, *kernel = tensor.shape
    if out_channels % groups:
        raise ValueError(
            f"dirac_: the tensor has {out_channels} output channels, expected a multiple of groups = {groups}"
        )
    values = np.zeros(tensor.shape)
    middle = tuple(k // 2 for k in kernel)
    per_group = out_channels // groups
    for group in range(groups):
        for i in range(min(per_group, in_channels)):
            values[(group * per_group + i, i, *middle)] = 1
    return _fill(tensor, values)


# ---- drawn values ------------------------------------------------------------------------------------------


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw each element evenly from [a, b).

    >>> import tinygrad_cnn as tg
    >>> x = tg.nn.init.uniform_(tg.empty(100), -2, 2, generator=tg.Generator().manual_seed(0))
    >>> bool(x.array.min() >= -2) and bool(x.array.max() <= 2)
    True
    """
    return _fill(tensor, _random(generator).uniform(a, b, tensor.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw each element from the normal distribution."""
    return _fill(tensor, _random(generator).normal(mean, std, tensor.shape))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Draw each element from the normal distribution, as far as it lies within [a, b]."""
    from scipy.special import ndtr, ndtri

    low, high = ndtr((a - mean) / std), ndtr((b - mean) / std)
    values = ndtri(_random(generator).uniform(low, high, tensor.shape)) * std + mean
    return _fill(tensor, values.clip(a, b))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw evenly within ± gain · sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    bound = gain * math.sqrt(6 / (sum(_fans("xavier_uniform_", tensor)) or 1))
    return _fill(tensor, _random(generator).uniform(-bound, bound, tensor.shape))


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw normally with deviation gain · sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    std = gain * math.sqrt(2 / (sum(_fans("xavier_normal_", tensor)) or 1))
    return _fill(tensor, _random(generator).normal(0, std, tensor.shape))


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Draw evenly within ± gain · sqrt(3 / fan) (He et al., 2015).

    a: the negative slope of the leaky ReLU that follows. mode: which fan, "fan_in" or "fan_out".
    """
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return _fill(tensor, _random(generator).uniform(-bound, bound, tensor.shape))


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Draw normally with deviation gain / sqrt(fan) (He et al., 2015); the arguments are `kaiming_uniform_`'s."""
    std = _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity)
    return _fill(tensor, _random(generator).normal(0, std, tensor.shape))


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill with a random orthogonal matrix times `gain`; all dimensions but the first count as one (Saxe, 2013)."""
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: the tensor has {tensor.ndim} dimensions, expected 2 or more")
    rows = tensor.shape[0]
    columns = math.prod(tensor.shape[1:])
    flat = _random(generator).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(flat)
    q *= np.sign(np.diag(r))  # makes the distribution uniform over the orthogonal matrices (Mezzadri, 2007)
    return _fill(tensor, gain * (q.T if rows < columns else q).reshape(tensor.shape))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Fill a matrix normally, then set the fraction `sparsity` of each column to zero (Martens, 2010)."""
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: the tensor has {tensor.ndim} dimensions, expected 2")
    rows, columns = tensor.shape
    random = _random(generator)
    values = random.normal(0, std, tensor.shape)
    for column in range(columns):
        values[random.permutation(rows)[: math.ceil(sparsity * rows)], column] = 0
    return _fill(tensor, values)


# ---- what they share ---------------------------------------------------------------------------------------


def _fill(tensor: Tensor, values: Any) -> Tensor:
    locks.writeable(tensor)[...] = values
    return tensor


def _random(generator: Generator | None) -> np.random.Generator:
    return (generator or default_generator).numpy


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """fan_in and fan_out, under the name that layers written for PyTorch call."""
    return _fans("fan_in", tensor)


def _fans(name: str, tensor: Tensor) -> tuple[int, int]:
    """fan_in and fan_out: how many numbers come into one output, and how many outputs one input goes to."""
    if tensor.ndim < 2:
        raise ValueError(f"{name}: the tensor has {tensor.ndim} dimensions, expected 2 or more to count its fans")
    out_features, in_features, *kernel = tensor.shape
    return in_features * math.prod(kernel), out_features * math.prod(kernel)


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode is {mode!r}, expected 'fan_in' or 'fan_out'")
    fan = _fans(name, tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0

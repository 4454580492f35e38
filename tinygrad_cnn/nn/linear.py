"""Linear layers, the embedding, and the layers that only change a shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

from tinygrad_cnn import locks
from tinygrad_cnn.creation import empty
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.nn import init
from tinygrad_cnn.nn.module import Module
from tinygrad_cnn.nn.parameter import Parameter, UninitializedParameter
from tinygrad_cnn.ops.shape import flatten, unflatten
from tinygrad_cnn.tensor import Tensor

__all__ = ["Embedding", "Flatten", "Identity", "LazyLinear", "Linear", "Unflatten"]


def draw_weight_and_bias(weight: Tensor, bias: Tensor | None) -> None:
    """Draw both evenly within ± 1/sqrt(fan_in), as PyTorch's linear and convolution layers start."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    fan_in = math.prod(weight.shape[1:])
    if bias is not None:
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        init.uniform_(bias, -bound, bound)


def materialize(layer: Any, weight_shape: tuple[int, ...], bias_shape: tuple[int, ...]) -> None:
    """Give a layer's lazy weight and bias their shapes, and draw them; what a state_dict brought in stays."""
    loaded = []
    for parameter, shape in ((layer.weight, weight_shape), (layer.bias, bias_shape)):
        if isinstance(parameter, UninitializedParameter):
            parameter.materialize(shape)
        elif parameter is not None:
            loaded.append((parameter, parameter._array.copy()))
    layer.reset_parameters()
    for parameter, values in loaded:
        locks.writeable(parameter)[...] = values


class Identity(Module):
    """Returns its input; it takes any arguments, so that it can stand in the place of any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """input (*, in_features) -> input @ weightᵀ + bias (*, out_features); weight is (out_features, in_features).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.Linear(20, 30)(tg.ones(128, 20)).shape
    (128, 30)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.bias = Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, evenly within ± 1/sqrt(in_features)."""
        draw_weight_and_bias(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class LazyLinear(Linear):
    """A Linear whose `in_features` is found at the first call; from then on it is a Linear.

    >>> import tinygrad_cnn as tg
    >>> layer = tg.nn.LazyLinear(30)
    >>> layer(tg.ones(128, 20)).shape, layer
    ((128, 30), Linear(in_features=20, out_features=30, bias=True))
    """

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        Module.__init__(self)
        self.in_features = 0
        self.out_features = out_features
        self.weight = UninitializedParameter(empty(0, device=device, dtype=dtype))
        self.bias = UninitializedParameter(empty(0, device=device, dtype=dtype)) if bias else None

    def forward(self, input: Tensor) -> Tensor:
        self.in_features = input.shape[-1]
        materialize(self, (self.out_features, self.in_features), (self.out_features,))
        self.__class__ = Linear  # type: ignore[assignment]
        return self.forward(input)


class Embedding(Module):
    """Integers (*) -> the rows of `weight` (num_embeddings, embedding_dim) at these positions, (*, embedding_dim).

    padding_idx: the row that starts as zeros and gets no gradient. max_norm, norm_type, scale_grad_by_freq, sparse: as
    `F.embedding` has them; a call shortens rows that are longer than max_norm, in the weight itself.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.Embedding(10, 3)(tg.tensor([[1, 2, 4, 5], [4, 3, 2, 9]])).shape
    (2, 4, 3)
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(
                f"Embedding: padding_idx is {padding_idx}, expected {-num_embeddings} to {num_embeddings - 1}"
            )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """An embedding with these rows (num_embeddings, embedding_dim), which do not learn if `freeze`."""
        rows, features = embeddings.shape
        layer = cls(rows, features, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        layer.weight = Parameter(embeddings.detach(), requires_grad=not freeze)
        return layer

    def reset_parameters(self) -> None:
        """Draw the rows anew from the standard normal distribution."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            locks.writeable(self.weight)[self.padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )

    def extra_repr(self) -> str:
        usual = {"padding_idx": None, "max_norm": None, "norm_type": 2, "scale_grad_by_freq": False, "sparse": False}
        more = [f", {name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value]
        return f"{self.num_embeddings}, {self.embedding_dim}{''.join(more)}"


class Flatten(Module):
    """Makes one dimension of the dimensions `start_dim` to `end_dim`: by default (N, C, H, W) -> (N, C·H·W)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Makes dimensions `unflattened_size` of the one dimension `dim`: Unflatten(1, (C, H, W)) undoes Flatten()."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"

"""Parameter: a tensor that a Module counts among its own, and that an optimizer changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cnn.autograd import wrap
from tinygrad_cnn.dtypes import dtype_of
from tinygrad_cnn.tensor import Tensor

__all__ = ["Parameter", "UninitializedParameter"]


class Parameter(Tensor):
    """A tensor that requires grad; set as an attribute of a Module it becomes one of `module.parameters()`.

    `data` is a Tensor, whose memory is shared, or an ndarray or nested lists, which are copied. None gives an empty
    parameter.

    >>> from tinygrad_cnn import nn
    >>> nn.Parameter([[1.0, 2.0]]).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        super().__init__(() if data is None else wrap(data.copy()) if isinstance(data, np.ndarray) else data)
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class UninitializedParameter(Parameter):
    """A parameter without a shape yet; a lazy layer calls `materialize` when it sees its first input.

    >>> from tinygrad_cnn import nn
    >>> weight = nn.UninitializedParameter()
    >>> weight.materialize((2, 3))
    >>> type(weight).__name__, weight.shape
    ('Parameter', (2, 3))
    """

    __slots__ = ()

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        super().__init__(np.empty(0, dtype_of(None)) if data is None else data, requires_grad)

    @property
    def shape(self) -> tuple[int, ...]:
        """Raises: there is none yet."""
        raise ValueError("UninitializedParameter: it has no shape yet, call the model once on a batch of inputs")

    def materialize(self, shape: tuple[int, ...], dtype: Any = None) -> None:
        """Become a plain Parameter of `shape`, with zeros until values are set."""
        self.__class__ = Parameter  # type: ignore[assignment]
        self._array = np.zeros(shape, dtype or self._array.dtype)

    def __repr__(self) -> str:
        return "<UninitializedParameter>"


def zero_grad(tensor: Tensor, set_to_none: bool) -> None:
    """Set a tensor's gradient to None, or else to zeros if it has one."""
    if set_to_none:
        tensor.grad = None
    elif tensor.grad is not None:
        tensor.grad = wrap(np.zeros_like(tensor.grad._array))

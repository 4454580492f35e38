"""Tensors from numbers, from arrays, from nothing, and from chance; dtypes; and the device that there is."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_cnn import random
from tinygrad_cnn.dtypes import dtype_of
from tinygrad_cnn.random import Generator
from tinygrad_cnn.tensor import Tensor, check_device

__all__ = [
    "arange", "as_tensor", "bernoulli", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "is_tensor",
    "linspace", "logspace", "normal", "ones", "ones_like", "rand", "rand_like", "randint", "randn", "randn_like",
    "randperm", "tensor", "zeros", "zeros_like",
]  # fmt: skip


# ---- from what there is ------------------------------------------------------------------------------------


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`: a number, nested lists of numbers, an ndarray or a Tensor.

    Python floats become float32, Python integers int64; an array keeps its dtype.

    >>> import tinygrad_cnn as tg
    >>> tg.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    check_device("tensor", device)
    return _finish(np.array(_array(data, dtype), copy=True), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, without a copy where it is a Tensor or an ndarray of the right dtype already."""
    check_device("as_tensor", device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    return Tensor(_array(data, dtype))


def from_numpy(ndarray: np.ndarray[Any, Any]) -> Tensor:
    """A tensor that shares its memory with `ndarray`: a write to one shows in the other."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected an ndarray, this is {type(ndarray).__name__}")
    return Tensor(_checked(ndarray))


def _array(data: Any, dtype: Any) -> np.ndarray[Any, Any]:
    if isinstance(data, Tensor):
        array = data.array
    elif isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
    else:
        try:
            array = np.asarray(_plain(data))
        except ValueError as error:
            raise ValueError(f"tensor: the nested lists have unequal lengths ({error})") from None
        if array.dtype == np.float64 or array.size == 0:
            array = array.astype(np.float32)
    return _checked(array if dtype is None else array.astype(dtype_of(dtype), copy=False))


def _plain(data: Any) -> Any:
    """Nested sequences with the Tensors in them as arrays."""
    if isinstance(data, Tensor):
        return data.array
    return [_plain(x) for x in data] if isinstance(data, (list, tuple, range)) else data


def _checked(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "fiub":
        raise TypeError(f"tensor: the data are of type {array.dtype}, expected real numbers or booleans")
    return array


def _finish(array: np.ndarray[Any, Any], requires_grad: bool) -> Tensor:
    out = Tensor(array)
    if requires_grad:
        out.requires_grad_()
    return out


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


# ---- filled ------------------------------------------------------------------------------------------------


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    """`zeros(2, 3)` and `zeros((2, 3))` are the same."""
    lengths = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    try:
        shape = tuple(operator.index(n) for n in lengths)
    except TypeError:
        raise TypeError(f"the size is {lengths}, expected integers") from None
    if any(n < 0 for n in shape):
        raise ValueError(f"the size is {shape}, expected lengths of 0 or more")
    return shape


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros: `zeros(2, 3)` or `zeros((2, 3))`."""
    check_device("zeros", device)
    return _finish(np.zeros(_shape(size), dtype_of(dtype)), requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    check_device("ones", device)
    return _finish(np.ones(_shape(size), dtype_of(dtype)), requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor whose elements are whatever was in the memory."""
    check_device("empty", device)
    return _finish(np.empty(_shape(size), dtype_of(dtype)), requires_grad)


def full(
    size: Sequence[int], fill_value: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of `size` with `fill_value` everywhere; its dtype is that of the value."""
    check_device("full", device)
    value = _array(fill_value, dtype)
    return _finish(np.full(_shape((tuple(size),)), value), requires_grad)


def zeros_like(input: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape and dtype of the input."""
    return zeros(input.shape, dtype=input.dtype if dtype is None else dtype, requires_grad=requires_grad)


def ones_like(input: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones in the shape and dtype of the input."""
    return ones(input.shape, dtype=input.dtype if dtype is None else dtype, requires_grad=requires_grad)


def empty_like(input: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Unset elements in the shape and dtype of the input."""
    return empty(input.shape, dtype=input.dtype if dtype is None else dtype, requires_grad=requires_grad)


def full_like(input: Any, fill_value: float, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`fill_value` everywhere, in the shape and dtype of the input."""
    return full(input.shape, fill_value, dtype=input.dtype if dtype is None else dtype, requires_grad=requires_grad)


def arange(
    start: float, end: float | None = None, step: float = 1, *, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """start, start + step, … up to but without `end`; `arange(n)` starts at 0. Integers stay integers.

    >>> import tinygrad_cnn as tg
    >>> tg.arange(5)
    tensor([0, 1, 2, 3, 4])
    """
    if end is None:
        start, end = 0, start
    if dtype is None:
        dtype = np.int64 if all(isinstance(x, (int, np.integer)) for x in (start, end, step)) else np.float32
    return _finish(np.arange(start, end, step).astype(dtype_of(dtype)), requires_grad)


def linspace(start: float, end: float, steps: int, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`steps` numbers at equal distances, from `start` to `end`, both included."""
    return _finish(np.linspace(start, end, steps).astype(dtype_of(dtype)), requires_grad)


def logspace(
    start: float, end: float, steps: int, base: float = 10.0, *, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` numbers at equal ratios, from base**start to base**end."""
    return _finish(np.logspace(start, end, steps, base=base).astype(dtype_of(dtype)), requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """An n × m matrix with ones on the diagonal."""
    return _finish(np.eye(n, m, dtype=dtype_of(dtype)), requires_grad)


# ---- drawn by chance ---------------------------------------------------------------------------------------


def _stream(generator: Generator | None) -> np.random.Generator:
    return (generator or random.default_generator).numpy


def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uniform numbers from 0 (included) to 1 (excluded)."""
    check_device("rand", device)
    return _finish(_stream(generator).random(_shape(size)).astype(dtype_of(dtype)), requires_grad)


def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Normal numbers with mean 0 and standard deviation 1."""
    check_device("randn", device)
    return _finish(_stream(generator).standard_normal(_shape(size)).astype(dtype_of(dtype)), requires_grad)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = np.int64,
    requires_grad: bool = False,
) -> Tensor:
    """Integers from `low` (included) to `high` (excluded): `randint(10, (3,))` or `randint(5, 10, (3,))`."""
    if size is None:
        low, high, size = 0, low, high
    if high <= low:
        raise ValueError(f"randint: low is {low} and high {high}, expected low < high")
    return _finish(_stream(generator).integers(low, high, _shape((size,))).astype(dtype_of(dtype)), requires_grad)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = np.int64) -> Tensor:
    """The integers 0 … n-1 in random order."""
    return Tensor(_stream(generator).permutation(n).astype(dtype_of(dtype)))


def rand_like(input: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform numbers in the shape and dtype of the input."""
    return rand(input.shape, dtype=input.dtype if dtype is None else dtype, requires_grad=requires_grad)


def randn_like(input: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Normal numbers in the shape and dtype of the input."""
    return randn(input.shape, dtype=input.dtype if dtype is None else dtype, requires_grad=requires_grad)


def normal(mean: Any, std: Any, size: Any = None, *, generator: Generator | None = None) -> Tensor:
    """Normal numbers with the given mean and standard deviation (numbers or tensors)."""
    mean, std = (x.array if isinstance(x, Tensor) else x for x in (mean, std))
    shape = np.broadcast_shapes(np.shape(mean), np.shape(std)) if size is None else _shape((size,))
    return Tensor((_stream(generator).standard_normal(shape) * std + mean).astype(np.float32))


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that the input's element gives, else 0."""
    return Tensor((_stream(generator).random(input.shape) < input.array).astype(input.dtype))

"""Tensors from numbers, from arrays, from nothing, and from chance; dtypes; and the device that there is."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_cnn import random
from tinygrad_cnn.autograd import wrap
from tinygrad_cnn.dtypes import dtype_of, result_type
from tinygrad_cnn.random import Generator
from tinygrad_cnn.tensor import Tensor, check_device

__all__ = [
    "BoolTensor", "ByteTensor", "DoubleTensor", "FloatTensor", "IntTensor", "LongTensor", "arange", "as_tensor",
    "bernoulli", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "is_floating_point", "is_tensor",
    "linspace", "logspace", "multinomial", "normal", "numel", "ones", "ones_like", "rand", "rand_like", "randint",
    "randn", "randn_like", "randperm", "tensor", "zeros", "zeros_like",
]  # fmt: skip


# ---- from what there is ------------------------------------------------------------------------------------


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`: a number, nested lists of numbers, an ndarray or a Tensor.

    Python floats get the default dtype, float32, Python integers int64; an array keeps its dtype.

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
    array = _array(data, dtype)
    return (Tensor if isinstance(data, np.ndarray) and np.may_share_memory(array, data) else wrap)(array)


def from_numpy(ndarray: np.ndarray[Any, Any]) -> Tensor:
    """A tensor that shares its memory with `ndarray`: a write to one shows in the other."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected an ndarray, this is {type(ndarray).__name__}")
    return Tensor(_checked(np.asarray(ndarray)))  # of a subclass, such as a matrix, just the numbers


def _typed(name: str, dtype: np.dtype[Any]) -> Callable[..., Tensor]:
    """PyTorch's old constructor of one dtype: of data, or of lengths. It stands for its dtype in `x.type(...)` too."""

    def make(*data: Any) -> Tensor:
        if all(isinstance(x, int) for x in data):
            return empty(*data, dtype=dtype) if data else empty(0, dtype=dtype)
        return tensor(*data, dtype=dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"A tensor of {dtype}: `{name}([1, 2])` of these numbers, `{name}(2, 3)` of this shape and unset."
    make.dtype = dtype  # type: ignore[attr-defined]  # NumPy takes what has a dtype for that dtype
    return make


BoolTensor = _typed("BoolTensor", dtype_of(bool))
ByteTensor = _typed("ByteTensor", dtype_of(np.uint8))
DoubleTensor = _typed("DoubleTensor", dtype_of(np.float64))
FloatTensor = _typed("FloatTensor", dtype_of(np.float32))
IntTensor = _typed("IntTensor", dtype_of(np.int32))
LongTensor = _typed("LongTensor", dtype_of(np.int64))


def _array(data: Any, dtype: Any) -> np.ndarray[Any, Any]:
    if isinstance(data, Tensor):
        array = data._array
    elif isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
    else:
        try:
            array = np.asarray(_plain(data))
        except ValueError as error:
            raise ValueError(f"tensor: the nested lists have unequal lengths ({error})") from None
        if dtype is None and (array.size == 0 or (array.dtype == np.float64 and not _holds_float64(data))):
            array = array.astype(dtype_of(None))
    return _checked(array if dtype is None else array.astype(dtype_of(dtype), copy=False))


def _plain(data: Any) -> Any:
    """Nested sequences with the Tensors in them as arrays."""
    if isinstance(data, Tensor):
        return data._array
    return [_plain(x) for x in data] if isinstance(data, (list, tuple, range)) else data


def _holds_float64(data: Any) -> bool:
    """Whether NumPy's or our float64 is among nested sequences, where Python's own floats get the default dtype."""
    if isinstance(data, (list, tuple)):
        return any(_holds_float64(x) for x in data)
    return getattr(data, "dtype", None) == np.float64


def _checked(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8 or not array.dtype.isnative:
        raise TypeError(
            f"tensor: the data are of type {array.dtype.name} ({array.dtype.str}), expected real numbers or booleans, "
            "of at most 8 bytes and in this machine's byte order"
        )
    return array


def _finish(array: np.ndarray[Any, Any], requires_grad: bool) -> Tensor:
    out = wrap(np.asarray(array))  # NumPy makes scalars of arrays without dimensions
    if requires_grad:
        out.requires_grad_()
    return out


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the elements are floats."""
    return input.is_floating_point()


def numel(input: Tensor) -> int:
    """The number of elements.

    >>> import tinygrad_cnn as tg
    >>> tg.numel(tg.zeros(2, 3))
    6
    """
    return input.numel()


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


def zeros_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape and dtype of the input."""
    kind = input.dtype if dtype is None else dtype
    return zeros(input.shape, dtype=kind, device=device, requires_grad=requires_grad)


def ones_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones in the shape and dtype of the input."""
    kind = input.dtype if dtype is None else dtype
    return ones(input.shape, dtype=kind, device=device, requires_grad=requires_grad)


def empty_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Unset elements in the shape and dtype of the input."""
    kind = input.dtype if dtype is None else dtype
    return empty(input.shape, dtype=kind, device=device, requires_grad=requires_grad)


def full_like(
    input: Any, fill_value: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`fill_value` everywhere, in the shape and dtype of the input."""
    kind = input.dtype if dtype is None else dtype
    return full(input.shape, fill_value, dtype=kind, device=device, requires_grad=requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, … up to but without `end`; `arange(n)` starts at 0. Integers stay integers.

    >>> import tinygrad_cnn as tg
    >>> tg.arange(5)
    tensor([0, 1, 2, 3, 4])
    """
    check_device("arange", device)
    start, end, step = _number(start), _number(end), _number(step)
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise ValueError(f"arange: the steps of {step} do not lead from {start} to {end}")
    if dtype is None:
        dtype = np.int64 if all(isinstance(x, int) for x in (start, end, step)) else dtype_of(None)
    if dtype_of(dtype) == np.int64:  # PyTorch counts the steps of narrower integers between the ends as they are given
        start, end, step = _ends(dtype, start, end, step)
    count = math.ceil((end - start) / step)
    start, step = _ends(dtype, start, step)
    return _finish((start + np.arange(count) * step).astype(dtype_of(dtype)), requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` numbers at equal distances, from `start` to `end`, both included."""
    check_device("linspace", device)
    if steps < 0:
        raise ValueError(f"linspace: steps is {steps}, expected 0 or more")
    start, end = _ends(dtype, start, end)
    numbers = np.linspace(start, end, steps)
    return _finish(numbers.astype(dtype_of(dtype)), requires_grad)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers at equal ratios, from base**start to base**end."""
    check_device("logspace", device)
    start, end = _ends(dtype, start, end)
    numbers = np.logspace(start, end, steps, base=base)
    return _finish(numbers.astype(dtype_of(dtype)), requires_grad)


def _number(x: Any) -> Any:
    """A Python number out of a Tensor or a NumPy scalar."""
    return x.item() if isinstance(x, (Tensor, np.generic)) else x


def _ends(dtype: Any, *ends: Any) -> list[Any]:
    """The numbers between which a sequence runs; for a sequence of integers they are made whole first."""
    return [int(_number(x)) if dtype_of(dtype).kind in "iub" else _number(x) for x in ends]


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """An n × m matrix with ones on the diagonal."""
    check_device("eye", device)
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
    low: Any = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = np.int64,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers from `low` (included) to `high` (excluded): `randint(10, (3,))` or `randint(5, 10, (3,))`."""
    check_device("randint", device)
    if size is None:
        low, high, size = 0, low, high
    if high <= low:
        raise ValueError(f"randint: low is {low} and high {high}, expected low < high")
    return _finish(_stream(generator).integers(low, high, _shape((size,))).astype(dtype_of(dtype)), requires_grad)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = np.int64, device: Any = None) -> Tensor:
    """The integers 0 … n-1 in random order."""
    check_device("randperm", device)
    if n < 0:
        raise ValueError(f"randperm: n is {n}, expected 0 or more")
    return wrap(_stream(generator).permutation(n).astype(dtype_of(dtype)))


def rand_like(
    input: Any,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in the shape and dtype of the input."""
    kind = input.dtype if dtype is None else dtype
    return rand(input.shape, generator=generator, dtype=kind, device=device, requires_grad=requires_grad)


def randn_like(
    input: Any,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers in the shape and dtype of the input."""
    kind = input.dtype if dtype is None else dtype
    return randn(input.shape, generator=generator, dtype=kind, device=device, requires_grad=requires_grad)


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers with the given mean and standard deviation: numbers with a size, or tensors."""
    check_device("normal", device)
    mean, std = (x._array if isinstance(x, Tensor) else x for x in (mean, std))
    shape = np.broadcast_shapes(np.shape(mean), np.shape(std)) if size is None else _shape((size,))
    if dtype is None:
        dtype = result_type(*(x for x in (mean, std) if isinstance(x, np.ndarray)), 1.0)
    return _finish((_stream(generator).standard_normal(shape) * std + mean).astype(dtype_of(dtype)), requires_grad)


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that the input's element gives (or `p`, if it is given), else 0."""
    chance = input._array if p is None else p
    return wrap(np.asarray(_stream(generator).random(input.shape) < chance).astype(input.dtype))


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Positions drawn with the input's elements as weights, int64: (C,) gives (num_samples,), (N, C) one row each.

    The weights are floats, finite, not negative, and need not sum to 1. Without `replacement` no position comes twice.
    ValueError where a row cannot give that many: too few positions, or too few whose weight is not 0.
    Source of the draw without replacement: Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006.

    >>> import tinygrad_cnn as tg
    >>> tg.multinomial(tg.tensor([0.0, 0.0, 2.0]), 4, replacement=True)
    tensor([2, 2, 2, 2])
    """
    weights = input._array.astype(np.float64)
    if input.ndim not in (1, 2) or not input.is_floating_point():
        raise ValueError(f"multinomial: input is {input.dtype} {input.shape}, expected floats (C,) or (N, C)")
    if num_samples < 1:
        raise ValueError(f"multinomial: num_samples is {num_samples}, expected at least 1")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("multinomial: a weight is negative, inf or nan, expected numbers of 0 or more")
    possible = int((weights > 0).sum(-1).min(initial=weights.shape[-1]))
    if possible < (1 if replacement else num_samples):
        raise ValueError(f"multinomial: num_samples is {num_samples}, a row has {possible} weights above 0")
    stream = _stream(generator)
    if replacement:
        rows = weights.reshape(-1, weights.shape[-1])
        points = stream.random((len(rows), num_samples))
        drawn = np.array([_on_line(row, at) for row, at in zip(rows, points, strict=True)], np.int64)
        return wrap(drawn.reshape(*weights.shape[:-1], num_samples))
    arrivals = stream.standard_exponential(weights.shape) / np.where(weights > 0, weights, np.nan)
    return Tensor(np.argsort(arrivals, -1)[..., :num_samples])  # nan comes last


def _on_line(weights: np.ndarray[Any, Any], points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The positions at these points, from 0 to 1, of a line on which each has a share as large as its weight."""
    ends = np.cumsum(weights)
    last = np.flatnonzero(weights)[-1]  # rounding may meet the very end
    found: np.ndarray[Any, Any] = np.minimum(np.searchsorted(ends, points * ends[-1], side="right"), last)
    return found

"""Comparisons and logic, element by element: booleans, without gradients. Two arrays broadcast against each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cnn.autograd import Array, array_of, op

__all__ = [
    "allclose", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "eq", "equal", "ge", "gt", "isclose",
    "isfinite", "isinf", "isnan", "le", "logical_and", "logical_not", "logical_or", "logical_xor", "lt", "ne",
]  # fmt: skip


@op(broadcasts=True, differentiable=False)
def eq(input: Array, other: Array) -> Any:
    """Where input = other, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.eq(tg.tensor([1, 2, 3]), 2)
    tensor([False,  True, False])
    """
    return np.equal(input, other)


@op(broadcasts=True, differentiable=False)
def ne(input: Array, other: Array) -> Any:
    """Where input ≠ other, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.ne(tg.tensor([1, 2, 3]), 2)
    tensor([ True, False,  True])
    """
    return np.not_equal(input, other)


@op(broadcasts=True, differentiable=False)
def lt(input: Array, other: Array) -> Any:
    """Where input < other, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.lt(tg.tensor([1, 2, 3]), 2)
    tensor([ True, False, False])
    """
    return np.less(input, other)


@op(broadcasts=True, differentiable=False)
def le(input: Array, other: Array) -> Any:
    """Where input ≤ other, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.le(tg.tensor([1, 2, 3]), 2)
    tensor([ True,  True, False])
    """
    return np.less_equal(input, other)


@op(broadcasts=True, differentiable=False)
def gt(input: Array, other: Array) -> Any:
    """Where input > other, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.gt(tg.tensor([1, 2, 3]), 2)
    tensor([False, False,  True])
    """
    return np.greater(input, other)


@op(broadcasts=True, differentiable=False)
def ge(input: Array, other: Array) -> Any:
    """Where input ≥ other, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.ge(tg.tensor([1, 2, 3]), 2)
    tensor([False,  True,  True])
    """
    return np.greater_equal(input, other)


@op(broadcasts=True, differentiable=False)
def isclose(input: Array, other: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Where |input - other| ≤ atol + rtol · |other|, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.isclose(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    if rtol < 0 or atol < 0:
        raise ValueError(f"rtol is {rtol}, atol {atol}, expected numbers of 0 or more")
    return np.isclose(input, other, rtol, atol, equal_nan)


def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether `isclose` holds everywhere.

    >>> import tinygrad_cnn as tg
    >>> tg.allclose(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 2.1]))
    False
    """
    return bool(array_of(isclose(input, other, rtol, atol, equal_nan)).all())


def equal(input: Any, other: Any) -> bool:
    """Whether shapes and all elements are the same.

    >>> import tinygrad_cnn as tg
    >>> tg.equal(tg.tensor([1, 2]), tg.tensor([1, 2]))
    True
    """
    return np.array_equal(array_of(input), array_of(other))


@op(differentiable=False)
def isnan(input: Array) -> Any:
    """Where the input is NaN, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.isnan(tg.tensor([1.0, float("nan")]))
    tensor([False,  True])
    """
    return np.isnan(input)


@op(differentiable=False)
def isinf(input: Array) -> Any:
    """Where the input is inf or -inf, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.isinf(tg.tensor([1.0, float("-inf")]))
    tensor([False,  True])
    """
    return np.isinf(input)


@op(differentiable=False)
def isfinite(input: Array) -> Any:
    """Where the input is neither NaN nor infinite, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.isfinite(tg.tensor([1.0, float("inf")]))
    tensor([ True, False])
    """
    return np.isfinite(input)


@op(broadcasts=True, promotes=False, differentiable=False)
def logical_and(input: Array, other: Array) -> Any:
    """Where both are true (not 0), as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.logical_and(tg.tensor([True, True]), tg.tensor([True, False]))
    tensor([ True, False])
    """
    return np.logical_and(input, other)


@op(broadcasts=True, promotes=False, differentiable=False)
def logical_or(input: Array, other: Array) -> Any:
    """Where at least one is true (not 0), as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.logical_or(tg.tensor([True, False]), tg.tensor([False, False]))
    tensor([ True, False])
    """
    return np.logical_or(input, other)


@op(broadcasts=True, promotes=False, differentiable=False)
def logical_xor(input: Array, other: Array) -> Any:
    """Where exactly one is true (not 0), as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.logical_xor(tg.tensor([True, True]), tg.tensor([True, False]))
    tensor([False,  True])
    """
    return np.logical_xor(input, other)


@op(differentiable=False)
def logical_not(input: Array) -> Any:
    """Where the input is false (0), as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.logical_not(tg.tensor([True, False]))
    tensor([False,  True])
    """
    return np.logical_not(input)


@op(broadcasts=True, differentiable=False)
def bitwise_and(input: Array, other: Array) -> Any:
    """The bits that both integers have; of booleans, where both are true. `x & y` in operators.

    >>> import tinygrad_cnn as tg
    >>> tg.tensor([5, 6]) & 3
    tensor([1, 2])
    """
    return np.bitwise_and(input, other)


@op(broadcasts=True, differentiable=False)
def bitwise_or(input: Array, other: Array) -> Any:
    """The bits that at least one of the integers has; of booleans, where one is true. `x | y` in operators.

    >>> import tinygrad_cnn as tg
    >>> tg.tensor([True, False]) | tg.tensor([False, False])
    tensor([ True, False])
    """
    return np.bitwise_or(input, other)


@op(broadcasts=True, differentiable=False)
def bitwise_xor(input: Array, other: Array) -> Any:
    """The bits in which the integers differ; of booleans, where exactly one is true. `x ^ y` in operators.

    >>> import tinygrad_cnn as tg
    >>> tg.tensor([5, 6]) ^ 3
    tensor([6, 5])
    """
    return np.bitwise_xor(input, other)


@op(differentiable=False)
def bitwise_not(input: Array) -> Any:
    """Every bit of an integer turned over: -1 - input; of booleans, where the input is false. `~x` in operators.

    >>> import tinygrad_cnn as tg
    >>> ~tg.tensor([True, False])
    tensor([False,  True])
    """
    return np.invert(input)

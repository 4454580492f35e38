"""Dtypes: their names, and the rules by which PyTorch brings arrays of several dtypes together."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "bool", "can_cast", "double", "dtype_of", "float", "float16", "float32", "float64", "get_default_dtype", "half",
    "int", "int8", "int16", "int32", "int64", "long", "plain_array", "promote", "result_type", "set_default_dtype",
    "short", "uint8",
]  # fmt: skip

_PYTHON_NUMBERS = frozenset((float, int, bool))

float16 = half = np.dtype(np.float16)
float32 = float = np.dtype(np.float32)
float64 = double = np.dtype(np.float64)
int8 = np.dtype(np.int8)
int16 = short = np.dtype(np.int16)
int32 = int = np.dtype(np.int32)
int64 = long = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
bool = np.dtype(np.bool_)


_default = float32


def get_default_dtype() -> np.dtype[Any]:
    """The dtype of what is made of Python's floats, and of floats made of integers: float32, if nothing was set."""
    return _default


def set_default_dtype(d: Any) -> None:
    """Let `d`, a float dtype, be the default one from now on, in all threads.

    >>> import tinygrad_cnn as tg
    >>> tg.set_default_dtype(tg.float64)
    >>> tg.ones(2).dtype, tg.get_default_dtype()
    (dtype('float64'), dtype('float64'))
    >>> tg.set_default_dtype(tg.float32)
    """
    global _default
    if dtype_of(d).kind != "f":
        raise TypeError(f"set_default_dtype: the dtype is {dtype_of(d)}, expected floats")
    _default = dtype_of(d)


def dtype_of(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype that `dtype` names; None is the default one. Python's `float` is float64, as in PyTorch."""
    if dtype is None:
        return _default
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype is {dtype!r}, which names none: expected tg.float32, tg.int64 ...") from None
    if found.kind not in "fiub":
        raise TypeError(f"dtype is {found}, expected real numbers or booleans")
    return found


def plain_array(values: Any) -> np.ndarray[Any, Any]:
    """A list of numbers (floats of the default dtype), or an ndarray of a subclass (a matrix), as a plain ndarray."""
    array = np.asarray(values)
    return array.astype(_default) if isinstance(values, list) and array.dtype == float64 else array


def promote(values: list[Any]) -> list[Any]:
    """Bring array arguments to one dtype as PyTorch does, where NumPy would choose another.

    A number never widens an array of its kind, and an array without dimensions never widens one that has some;
    integers meet floats in the float's dtype; a float number gives integers the default dtype.
    """
    if len(values) == 2:  # the common cases, fast
        a, b = values
        if type(a) is np.ndarray:
            kind = type(b)
            if kind is np.ndarray:
                if a.dtype == b.dtype:
                    return values
            elif kind in _PYTHON_NUMBERS and a.dtype.kind == "f":
                return values
    if any(isinstance(x, np.ndarray) for x in values):
        values = [x.item() if isinstance(x, np.generic) else x for x in values]
    else:  # in a rule, NumPy's operators have made scalars of arrays without dimensions
        values = [np.asarray(x) if isinstance(x, np.generic) else x for x in values]
    for x in values:
        if isinstance(x, complex) or (isinstance(x, np.ndarray) and x.dtype.kind == "c"):
            raise TypeError("an argument holds complex numbers, expected real ones or booleans")
    dtypes = {x.dtype for x in values if isinstance(x, np.ndarray)}
    plain = all(isinstance(x, np.ndarray) for x in values) or all(d.kind == "f" for d in dtypes)
    if not dtypes or (len(dtypes) == 1 and plain):
        return values
    dtype = result_type(*values)
    return [x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype != dtype else x for x in values]


def result_type(*values: Any) -> np.dtype[Any]:
    """The dtype in which PyTorch computes an element-wise op of these arrays and numbers."""
    result: np.dtype[Any] = bool
    top = -1
    for weight, dtypes in enumerate(_by_weight(values)):
        category = max(map(_category, dtypes), default=-1)
        if category <= top:  # a lighter operand counts only if it is of a higher category
            continue
        top = category
        if weight == 2 and category > 0:
            result = _default if category == 2 else int64
        else:
            result = functools.reduce(np.promote_types, [d for d in dtypes if _category(d) == category])
    return result


def can_cast(from_: Any, to: Any) -> builtins.bool:
    """Whether numbers of one dtype may be written into a tensor of another: floats not into integers, none into bool.

    >>> can_cast(float32, int64), can_cast(int64, uint8)
    (False, True)
    """
    result: builtins.bool = _category(dtype_of(from_)) <= _category(dtype_of(to))
    return result


def _category(dtype: np.dtype[Any]) -> Any:
    return {"b": 0, "u": 1, "i": 1, "f": 2}[dtype.kind]


def _by_weight(values: Sequence[Any]) -> tuple[list[np.dtype[Any]], ...]:
    """The dtypes of the arrays with dimensions, of those without, and of the numbers: the first weigh most."""
    found: tuple[list[np.dtype[Any]], ...] = ([], [], [])
    for x in values:
        if isinstance(x, np.ndarray):
            found[0 if x.ndim else 1].append(x.dtype)
        elif x is not None:
            found[2].append(np.asarray(x).dtype)
    return found

"""NumPy's own functions on Tensors: `np.exp(t)`, `np.sum(t, axis=0)` call the ops, and so they record.

A function that has no op here raises and names itself; none detaches in silence.
Source: NEP 13 (`__array_ufunc__`) and NEP 18 (`__array_function__`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_cnn import creation, ops
from tinygrad_cnn.autograd import Variable, wrap

# ---- ufuncs ------------------------------------------------------------------------------------------------

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {
    np.absolute: ops.abs,
    np.add: ops.add,
    np.arccos: ops.acos,
    np.arcsin: ops.asin,
    np.arctan: ops.atan,
    np.arctan2: ops.atan2,
    np.bitwise_and: ops.bitwise_and,
    np.bitwise_or: ops.bitwise_or,
    np.bitwise_xor: ops.bitwise_xor,
    np.ceil: ops.ceil,
    np.cos: ops.cos,
    np.cosh: ops.cosh,
    np.divide: ops.div,
    np.equal: ops.eq,
    np.exp: ops.exp,
    np.exp2: ops.exp2,
    np.expm1: ops.expm1,
    np.floor: ops.floor,
    np.floor_divide: ops.floor_divide,
    np.greater: ops.gt,
    np.greater_equal: ops.ge,
    np.invert: ops.bitwise_not,
    np.isfinite: ops.isfinite,
    np.isinf: ops.isinf,
    np.isnan: ops.isnan,
    np.less: ops.lt,
    np.less_equal: ops.le,
    np.log: ops.log,
    np.log10: ops.log10,
    np.log1p: ops.log1p,
    np.log2: ops.log2,
    np.logaddexp: ops.logaddexp,
    np.logical_and: ops.logical_and,
    np.logical_not: ops.logical_not,
    np.logical_or: ops.logical_or,
    np.logical_xor: ops.logical_xor,
    np.matmul: ops.matmul,
    np.maximum: ops.maximum,
    np.minimum: ops.minimum,
    np.multiply: ops.mul,
    np.negative: ops.neg,
    np.not_equal: ops.ne,
    np.power: ops.pow,
    np.reciprocal: ops.reciprocal,
    np.remainder: ops.remainder,
    np.rint: ops.round,
    np.sign: ops.sign,
    np.sin: ops.sin,
    np.sinh: ops.sinh,
    np.sqrt: ops.sqrt,
    np.square: ops.square,
    np.subtract: ops.sub,
    np.tan: ops.tan,
    np.tanh: ops.tanh,
    np.trunc: ops.trunc,
}


REDUCTIONS: dict[np.ufunc, Any] = {np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min}


def apply_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `Tensor.__array_ufunc__` does: the op of the same meaning."""
    if ufunc not in UFUNCS:
        raise TypeError(f"np.{ufunc.__name__} has no gradient here; use t.detach().numpy() if none is wanted")
    if method == "reduce" and ufunc in REDUCTIONS:
        kwargs = {"axis": 0} | {name: value for name, value in kwargs.items() if name in ("axis", "keepdims")}
        return apply_function(REDUCTIONS[ufunc], inputs, kwargs)
    if method != "__call__" or any(value is not None for value in kwargs.values()):
        what = f"np.{ufunc.__name__}" + (f".{method}" if method != "__call__" else f" with {', '.join(kwargs)}")
        raise TypeError(f"{what} is not supported on Tensors; only the plain call is")
    return UFUNCS[ufunc](*inputs)


# ---- functions -----------------------------------------------------------------------------------------------


def _reduction(op: Callable[..., Any]) -> Callable[..., Any]:
    def call(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        return op(a, axis, keepdims) if axis is not None or keepdims else op(a)

    return call


def _extreme(op: Callable[..., Any]) -> Callable[..., Any]:
    def call(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        return op(a, () if axis is None else axis, keepdims)

    return call


def _spread(op: Callable[..., Any]) -> Callable[..., Any]:
    def call(a: Any, axis: Any = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
        return op(a, axis, correction=ddof, keepdim=keepdims)

    return call


def _along(op: Callable[..., Any], default: int = 0) -> Callable[..., Any]:
    def call(arrays: Sequence[Any], axis: int = default) -> Any:
        return op([x if isinstance(x, Variable) else wrap(np.asarray(x)) for x in arrays], axis)

    return call


def _cumulative(op: Callable[..., Any]) -> Callable[..., Any]:
    def call(a: Any, axis: int | None = None) -> Any:
        return op(ops.flatten(a), 0) if axis is None else op(a, axis)

    return call


def _expand_dims(a: Any, axis: int) -> Any:
    return ops.unsqueeze(a, axis)


def _squeeze(a: Any, axis: Any = None) -> Any:
    return ops.squeeze(a) if axis is None else ops.squeeze(a, axis)


def _transpose(a: Any, axes: Sequence[int] | None = None) -> Any:
    return ops.permute(a, tuple(reversed(range(a.ndim))) if axes is None else tuple(axes))


def _reshape(a: Any, shape: Any) -> Any:
    return ops.reshape(a, (shape,) if isinstance(shape, int) else tuple(shape))


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    return ops.clamp(a, min if a_min is None else a_min, max if a_max is None else a_max)


def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    return ops.roll(a, shift, axis)


def _flip(m: Any, axis: Any = None) -> Any:
    dims = range(m.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return ops.flip(m, tuple(dims))


def _dot(a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return ops.mul(a, b)
    return ops.matmul(a, b) if np.ndim(b) == 1 else ops.tensordot(a, b, ([-1], [-2]))


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    return ops.tensordot(a, b, axes)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    from tinygrad_cnn import linalg

    return linalg.norm(x, ord, axis, keepdims)


def _zeros_like(a: Any, dtype: Any = None) -> Any:
    return creation.zeros_like(a, dtype=dtype)


def _ones_like(a: Any, dtype: Any = None) -> Any:
    return creation.ones_like(a, dtype=dtype)


def _full_like(a: Any, fill_value: Any, dtype: Any = None) -> Any:
    return creation.full_like(a, fill_value, dtype=dtype)


def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    n = ary.shape[axis]
    if isinstance(indices_or_sections, int):
        if n % indices_or_sections:
            raise ValueError(f"np.split: {n} elements do not divide into {indices_or_sections} equal parts")
        return list(ops.split(ary, n // indices_or_sections, axis))
    cuts = [0, *(min(i, n) for i in indices_or_sections), n]
    return list(ops.split(ary, [b - a for a, b in itertools.pairwise(cuts)], axis))


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """For NumPy functions that only look at arrays: they return none, and no numbers that a gradient could want."""

    def call(*args: Any, **kwargs: Any) -> Any:
        args = tuple(x._array if isinstance(x, Variable) else x for x in args)
        return function(*args, **kwargs)

    return call


FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.sum: _reduction(ops.sum),
    np.mean: _reduction(ops.mean),
    np.max: _extreme(ops.amax),
    np.min: _extreme(ops.amin),
    np.amax: _extreme(ops.amax),
    np.amin: _extreme(ops.amin),
    np.argmax: _reduction(ops.argmax),
    np.argmin: _reduction(ops.argmin),
    np.all: _reduction(ops.all),
    np.any: _reduction(ops.any),
    np.prod: _reduction(ops.prod),
    np.std: _spread(ops.std),
    np.var: _spread(ops.var),
    np.cumsum: _cumulative(ops.cumsum),
    np.cumprod: _cumulative(ops.cumprod),
    np.concatenate: _along(ops.cat),
    np.stack: _along(ops.stack),
    np.vstack: lambda arrays: ops.vstack(list(arrays)),
    np.hstack: lambda arrays: ops.hstack(list(arrays)),
    np.split: _split,
    np.reshape: _reshape,
    np.ravel: lambda a: ops.flatten(a),
    np.transpose: _transpose,
    np.swapaxes: lambda a, axis1, axis2: ops.transpose(a, axis1, axis2),
    np.moveaxis: lambda a, source, destination: ops.movedim(a, source, destination),
    np.expand_dims: _expand_dims,
    np.squeeze: _squeeze,
    np.broadcast_to: lambda array, shape: ops.broadcast_to(array, tuple(shape)),
    np.tile: lambda A, reps: ops.tile(A, (reps,) if isinstance(reps, int) else tuple(reps)),
    np.roll: _roll,
    np.flip: _flip,
    np.tril: lambda m, k=0: ops.tril(m, k),
    np.triu: lambda m, k=0: ops.triu(m, k),
    np.trace: lambda a: ops.trace(a),
    np.diagonal: lambda a, offset=0, axis1=0, axis2=1: ops.diagonal(a, offset, axis1, axis2),
    np.take_along_axis: lambda arr, indices, axis=-1: ops.take_along_dim(arr, indices, axis),
    np.where: ops.where,
    np.clip: _clip,
    np.round: lambda a, decimals=0: ops.round(a, decimals=decimals),
    np.around: lambda a, decimals=0: ops.round(a, decimals=decimals),
    np.sinc: ops.sinc,
    np.dot: _dot,
    np.outer: ops.outer,
    np.tensordot: _tensordot,
    np.einsum: lambda subscripts, *operands: ops.einsum(subscripts, *operands),
    np.linalg.norm: _norm,
    np.sort: lambda a, axis=-1: ops.sort(a, axis)[0],
    np.argsort: lambda a, axis=-1: ops.argsort(a, axis),
    np.zeros_like: _zeros_like,
    np.ones_like: _ones_like,
    np.full_like: _full_like,
    np.shape: _plain(np.shape),
    np.ndim: _plain(np.ndim),
    np.size: _plain(np.size),
    np.allclose: _plain(np.allclose),
    np.isclose: _plain(np.isclose),
    np.array_equal: _plain(np.array_equal),
    np.shares_memory: _plain(np.shares_memory),
    np.may_share_memory: _plain(np.may_share_memory),
}


def apply_function(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `Tensor.__array_function__` does: the op of the same meaning, with NumPy's arguments."""
    if function not in FUNCTIONS:
        name = f"{function.__module__.removeprefix('numpy')}.{function.__name__}".lstrip(".")
        raise TypeError(f"np.{name} has no gradient here; use t.detach().numpy() if none is wanted")
    try:
        return FUNCTIONS[function](*args, **kwargs)
    except TypeError as error:
        if "unexpected keyword" in str(error) or "positional argument" in str(error):
            raise TypeError(f"np.{function.__name__} on Tensors: {error}") from None
        raise

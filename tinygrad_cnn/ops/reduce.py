"""Reductions: sums, means, products, extremes and their positions, variances, norms; and running sums and products.

`dim` is one dimension, several, or None for all of them; `keepdim` keeps the reduced ones with length 1.
"""

from __future__ import annotations

import builtins
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from tinygrad_cnn.autograd import Array, Variable, array_of, broadcast_to, composite, numpy_words, op
from tinygrad_cnn.ops.comparison import ne
from tinygrad_cnn.ops.elementwise import clamp_min, exp, floating, maximum, minimum, where
from tinygrad_cnn.ops.index import axis_of, gather
from tinygrad_cnn.ops.shape import cat, diagonal, flip, narrow

if TYPE_CHECKING:
    from tinygrad_cnn.tensor import Tensor

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "logsumexp",
    "max",
    "mean",
    "min",
    "norm",
    "normalize",
    "prod",
    "std",
    "std_mean",
    "sum",
    "trace",
    "var",
    "var_mean",
]

Dim = int | Sequence[int] | None


class Extreme(NamedTuple):
    """The extreme elements along a dimension, and their positions there."""

    values: Tensor
    indices: Tensor


def axes_of(dim: Dim, ndim: int) -> tuple[int, ...]:
    """The dimensions that `dim` names, counted from the front; None and () name them all."""
    if dim is None:
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, int) else dim
    axes = tuple([axis_of(d, ndim) for d in dims]) or tuple(range(ndim))
    if len(set(axes)) < len(axes):
        raise ValueError(f"dim is {dim}, expected no dimension twice")
    return axes if ndim else ()


def kept(g: Array, shape: tuple[int, ...], dim: Dim, keepdim: bool) -> Array:
    """Put the dimensions that were reduced from `shape` back into `g`, with length 1."""
    if keepdim:
        return g
    axes = axes_of(dim, len(shape))
    return g.reshape(tuple([1 if i in axes else n for i, n in enumerate(shape)]))


def spread(g: Array, shape: tuple[int, ...], dim: Dim, keepdim: bool) -> Array:
    """Put the reduced dimensions back into `g` and repeat it along them: the adjoint of a sum."""
    if g.ndim:  # one number spreads as it is
        g = kept(g, shape, dim, keepdim)
    return broadcast_to(g, shape=shape)


def _count(shape: tuple[int, ...], dim: Dim) -> int:
    if dim is None:
        return math.prod(shape)
    return math.prod(shape[d] for d in axes_of(dim, len(shape)))


def _wide(input: np.ndarray[Any, Any], dtype: Any) -> Any:
    """The dtype of sums and products: int64 for integers and booleans."""
    return dtype if dtype is not None else input.dtype if input.dtype.kind == "f" else np.int64


def _need_float(input: np.ndarray[Any, Any]) -> None:
    if input.dtype.kind != "f":
        raise TypeError(f"input is {input.dtype}, expected floats; .float() makes it such")


# ---- sums and means ----------------------------------------------------------------------------------------


@op
def sum(input: Array, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The sum over the dimensions `dim` (all of them by default). Integers and booleans are summed as int64.

    >>> import tinygrad_cnn as tg
    >>> tg.sum(tg.ones(2, 3), dim=1)
    tensor([3., 3.])
    """
    return input.sum(axis=axes_of(dim, input.ndim), keepdims=keepdim, dtype=_wide(input, dtype))


@sum.vjp("input")
def sum_grad(g: Array, input_shape: tuple[int, ...], dim: Dim, keepdim: bool) -> Array:
    return spread(g, input_shape, dim, keepdim)


@op
def mean(input: Array, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The mean over the dimensions `dim` (all of them by default); of no elements it is NaN.

    >>> import tinygrad_cnn as tg
    >>> tg.mean(tg.tensor([[1.0, 2.0], [3.0, 6.0]]), dim=0)
    tensor([2., 4.])
    """
    input = input if dtype is None else input.astype(dtype)
    _need_float(input)
    axes, count = axes_of(dim, input.ndim), _count(input.shape, dim)
    if count and input.dtype == np.float16:  # NumPy's mean adds up in float32: the sum may be no float16
        return input.mean(axis=axes, keepdims=keepdim)
    total = input.sum(axis=axes, keepdims=keepdim)
    return total / count if count else np.full_like(total, np.nan)


@mean.vjp("input")
def mean_grad(g: Array, input_shape: tuple[int, ...], dim: Dim, keepdim: bool) -> Array:
    return spread(divided(g, builtins.max(_count(input_shape, dim), 1)), input_shape, dim, keepdim)


def divided(g: Any, count: int) -> Any:
    """g / count, also for a count that is no float16."""
    return g / 256 / (count / 256) if count > 65504 and g.dtype == np.float16 else g / count


@op
def var(
    input: Array,
    dim: Dim | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """The variance: squared distances from the mean, their sum over n - correction elements (1; 0 if not unbiased).

    >>> import tinygrad_cnn as tg
    >>> tg.var(tg.tensor([1.0, 3.0])), tg.var(tg.tensor([1.0, 3.0]), correction=0)
    (tensor(2.), tensor(1.))
    """
    _need_float(input)
    dim, free = _freedom(input.shape, dim, unbiased, correction)
    if free <= 0:
        warnings.warn(f"var, std: there are {free} degrees of freedom, expected more than 0", stacklevel=4)
    axes = axes_of(dim, input.ndim)
    x = input.astype(np.promote_types(input.dtype, np.float32), copy=False)  # the sum may be no float16
    centred = x - x.mean(axis=axes, keepdims=True) if x.size else x
    total = np.square(centred).sum(axis=axes, keepdims=keepdim)
    return (total / np.asarray(builtins.max(free, 0), x.dtype)).astype(input.dtype, copy=False)


@var.vjp("input")
def var_grad(g: Array, input: Array, dim: Any, unbiased: bool, keepdim: bool, correction: float | None) -> Array:
    dim, free = _freedom(input.shape, dim, unbiased, correction)
    centred = input - mean(input, dim, keepdim=True)
    factor = 2 / free if free > 0 else math.inf
    return spread(g * factor, input.shape, dim, keepdim) * centred


def _freedom(shape: tuple[int, ...], dim: Any, unbiased: bool, correction: float | None) -> tuple[Dim, float]:
    """What is reduced, and over how many degrees of freedom. PyTorch also takes var(x, unbiased)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return dim, _count(shape, dim) - (float(unbiased) if correction is None else correction)


@op
def std(
    input: Array,
    dim: Dim | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """The standard deviation, the square root of `var`; its gradient is 0 where it is 0.

    >>> import tinygrad_cnn as tg
    >>> tg.std(tg.tensor([1.0, 3.0]), correction=0)
    tensor(1.)
    """
    return np.sqrt(var.kernel(input, dim, unbiased, keepdim, correction=correction))


@std.vjp("input")
def std_grad(
    g: Array, out: Array, input: Array, dim: Any, unbiased: bool, keepdim: bool, correction: float | None
) -> Array:
    return var_grad(_over(g, 2 * out), input, dim, unbiased, keepdim, correction)


def _over(g: Array, divisor: Array) -> Array:
    """g / divisor, and 0 where the divisor is 0: there also for the next gradient."""
    zero = array_of(divisor) == 0
    return where(zero, 0.0, g / where(zero, 1.0, divisor))


@numpy_words
def var_mean(
    input: Array,
    dim: Dim | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The variance and the mean.

    >>> import tinygrad_cnn as tg
    >>> tg.var_mean(tg.tensor([1.0, 3.0]))
    (tensor(2.), tensor(2.))
    """
    variance = var(input, dim, unbiased, keepdim, correction=correction)
    return variance, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@numpy_words
def std_mean(
    input: Array,
    dim: Dim | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean.

    >>> import tinygrad_cnn as tg
    >>> tg.std_mean(tg.tensor([1.0, 3.0]), correction=0)
    (tensor(1.), tensor(2.))
    """
    deviation = std(input, dim, unbiased, keepdim, correction=correction)
    return deviation, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@op
def logsumexp(input: Array, dim: int | Sequence[int], keepdim: bool = False) -> Any:
    """log(sum(exp(input))) over the dimensions `dim`, without overflow.

    >>> import tinygrad_cnn as tg
    >>> tg.logsumexp(tg.tensor([0.0, 0.0]), 0)
    tensor(0.6931)
    """
    x = floating(input)
    axes = axes_of(dim, x.ndim)
    top = x.max(axis=axes, keepdims=True, initial=-math.inf)
    top = np.where(np.isinf(top), 0, top).astype(x.dtype, copy=False)
    total = np.log(np.exp(x - top).sum(axis=axes, keepdims=True)) + top
    return total if keepdim else total.squeeze(axes)


@logsumexp.vjp("input")
def logsumexp_grad(g: Array, out: Array, input: Array, dim: Any, keepdim: bool) -> Array:
    shape = input.shape
    return spread(g, shape, dim, keepdim) * exp(input - kept(out, shape, dim, keepdim))


def trace(input: Array) -> Tensor:
    """The sum of the diagonal of a matrix.

    >>> import tinygrad_cnn as tg
    >>> tg.trace(tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    if input.ndim != 2:
        raise ValueError(f"trace: input is {input.shape}, expected a matrix")
    return sum(diagonal(input))


# ---- products and running results --------------------------------------------------------------------------


@op
def prod(input: Array, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The product over `dim` (all dimensions by default). Integers and booleans are multiplied as int64.

    >>> import tinygrad_cnn as tg
    >>> tg.prod(tg.tensor([2.0, 3.0, 4.0]))
    tensor(24.)
    """
    return input.prod(axis=axes_of(dim, input.ndim), keepdims=keepdim, dtype=_wide(input, dtype))


@prod.vjp("input")
def prod_grad(g: Array, out: Array, input: Array, dim: int | None, keepdim: bool) -> Array:
    shape = input.shape
    if array_of(input).all():
        return spread(g * out, shape, dim, keepdim) / input
    if dim is None or not shape:
        return _prod_of_others(g.reshape((1,)), input.reshape((-1,)), 0).reshape(shape)
    return _prod_of_others(kept(g, shape, dim, keepdim), input, axis_of(dim, len(shape)))


def _prod_of_others(g: Array, input: Array, dim: int) -> Array:
    """g times the product of all elements along `dim` but the one at each place; zeros do no harm."""
    n = input.shape[dim]
    ones = np.ones(g.shape, array_of(g).dtype)
    before = cumprod(cat([ones, narrow(input, dim, 0, n - 1)], dim), dim)
    after = cumprod(cat([g, flip(narrow(input, dim, 1, n - 1), (dim,))], dim), dim)
    return before * flip(after, (dim,))


@op
def cumsum(input: Array, dim: int, *, dtype: Any = None) -> Any:
    """Running sums along `dim`: each element plus all before it.

    >>> import tinygrad_cnn as tg
    >>> tg.cumsum(tg.tensor([1.0, 2.0, 3.0]), 0)
    tensor([1., 3., 6.])
    """
    axis = axis_of(dim, input.ndim)
    wide = _wide(input, dtype)
    return input.cumsum(axis=axis, dtype=wide) if input.ndim else input.astype(wide)


@cumsum.vjp("input")
def cumsum_grad(g: Array, dim: int) -> Array:
    if not g.ndim:
        return g
    return flip(cumsum(flip(g, (dim,)), dim), (dim,))


@op
def cumprod(input: Array, dim: int, *, dtype: Any = None) -> Any:
    """Running products along `dim`: each element times all before it.

    >>> import tinygrad_cnn as tg
    >>> tg.cumprod(tg.tensor([1.0, 2.0, 3.0]), 0)
    tensor([1., 2., 6.])
    """
    axis = axis_of(dim, input.ndim)
    wide = _wide(input, dtype)
    return input.cumprod(axis=axis, dtype=wide) if input.ndim else input.astype(wide)


@cumprod.vjp("input")
def cumprod_grad(g: Array, out: Array, input: Array, dim: int) -> Array:
    if not input.ndim:
        return g
    if array_of(input).all():
        return cumsum_grad(g * out, dim) / input
    # With y the running products: y_k = y_(k-1) x_k, so the gradient of x_k is y_(k-1) r_k, where
    # r_k = g_k + x_(k+1) r_(k+1) collects what comes after. No division, so zeros do no harm at any order.
    dim = axis_of(dim, input.ndim)
    n = input.shape[dim]
    one = np.ones(_with_length(input.shape, dim, 1), g.dtype)
    before = cat([one, narrow(out, dim, 0, n - 1)], dim)
    factors = flip(cat([narrow(input, dim, 1, n - 1), one], dim), (dim,))
    after = flip(recurrence(factors, flip(g, (dim,)), dim=dim), (dim,))
    return before * after


def _with_length(shape: tuple[int, ...], dim: int, length: int) -> tuple[int, ...]:
    return (*shape[:dim], length, *shape[dim + 1 :])


@op
def recurrence(factor: Array, input: Array, dim: int) -> Any:
    """out_k = factor_k · out_(k-1) + input_k along `dim`, from out_(-1) = 0. It is its own adjoint, run backwards."""
    out = np.empty(input.shape, input.dtype)
    steps, factors, inputs = (np.moveaxis(x, dim, 0) for x in (out, factor, input))
    state: Any = 0
    for k in range(len(steps)):
        state = factors[k] * state + inputs[k]
        steps[k] = state
    return out


@recurrence.vjp("input")
def recurrence_grad_input(g: Array, factor: Array, dim: int) -> Array:
    # The adjoint r_k = g_k + factor_(k+1) r_(k+1) is the same recurrence from the far end.
    n = g.shape[dim]
    zero = np.zeros(_with_length(g.shape, dim, 1), g.dtype)
    shifted = cat([narrow(factor, dim, 1, n - 1), zero], dim)
    return flip(recurrence(flip(shifted, (dim,)), flip(g, (dim,)), dim=dim), (dim,))


@recurrence.vjp("factor")
def recurrence_grad_factor(g: Array, factor: Array, out: Array, dim: int) -> Array:
    n = g.shape[dim]
    zero = np.zeros(_with_length(g.shape, dim, 1), g.dtype)
    before = cat([zero, narrow(out, dim, 0, n - 1)], dim)
    return recurrence_grad_input(g, factor, dim) * before


# ---- extremes ----------------------------------------------------------------------------------------------


@op
def amax(input: Array, dim: Dim = (), keepdim: bool = False) -> Any:
    """The largest element over the dimensions `dim` (all by default); equal ones share the gradient evenly.

    >>> import tinygrad_cnn as tg
    >>> tg.amax(tg.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
    tensor([5., 7.])
    """
    _need_elements(input, dim)
    return input.max(axis=axes_of(dim, input.ndim), keepdims=keepdim)


@op
def amin(input: Array, dim: Dim = (), keepdim: bool = False) -> Any:
    """The smallest element over the dimensions `dim` (all by default); equal ones share the gradient evenly.

    >>> import tinygrad_cnn as tg
    >>> tg.amin(tg.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
    tensor([1., 2.])
    """
    _need_elements(input, dim)
    return input.min(axis=axes_of(dim, input.ndim), keepdims=keepdim)


@amax.vjp("input")
@amin.vjp("input")
def amax_grad(g: Array, out: Array, input: Array, dim: Dim, keepdim: bool) -> Array:
    x = array_of(input)
    return spread(g, x.shape, dim, keepdim) * _shares(x, kept(array_of(out), x.shape, dim, keepdim), dim)


def _shares(x: np.ndarray[Any, Any], chosen: np.ndarray[Any, Any], dim: Dim) -> Any:
    """What part of the gradient each element gets, where those equal to `chosen` share it evenly."""
    equal = (x == chosen) | (np.isnan(x) & np.isnan(chosen))
    return equal.astype(x.dtype) / equal.sum(axis=axes_of(dim, x.ndim), keepdims=True).astype(x.dtype)


def _need_elements(input: np.ndarray[Any, Any], dim: Dim) -> None:
    if not _count(input.shape, dim):
        raise ValueError(f"input is {input.shape}, dim {dim}: there is no element to choose")


@overload
def max(input: Array, dim: int, keepdim: bool = False) -> Extreme: ...
@overload
def max(input: Array, dim: Tensor | None = None, keepdim: bool = False) -> Tensor: ...
@numpy_words
def max(input: Array, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; with `dim`, (values, indices) along it; with another tensor, `maximum` of the two.

    Over all elements, equal ones share the gradient evenly; along a dimension the first of them has it all.

    >>> import tinygrad_cnn as tg
    >>> tg.max(tg.tensor([1.0, 3.0, 2.0]), dim=0).indices
    tensor(1)
    """
    if isinstance(dim, Variable | np.ndarray):
        return maximum(input, dim)
    return amax(input) if dim is None else _extreme(input, argmax(input, dim, True), dim, keepdim)


@overload
def min(input: Array, dim: int, keepdim: bool = False) -> Extreme: ...
@overload
def min(input: Array, dim: Tensor | None = None, keepdim: bool = False) -> Tensor: ...
@numpy_words
def min(input: Array, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; with `dim`, (values, indices) along it; with another tensor, `minimum` of the two.

    Over all elements, equal ones share the gradient evenly; along a dimension the first of them has it all.

    >>> import tinygrad_cnn as tg
    >>> tg.min(tg.tensor([[1.0, 3.0], [0.0, 5.0]]), dim=1).values
    tensor([1., 0.])
    """
    if isinstance(dim, Variable | np.ndarray):
        return minimum(input, dim)
    return amin(input) if dim is None else _extreme(input, argmin(input, dim, True), dim, keepdim)


def _extreme(input: Any, indices: Any, dim: int, keepdim: bool) -> Extreme:
    values = gather(input, dim, indices)
    if keepdim or not input.ndim:
        return Extreme(values, indices)
    shape = tuple(n for d, n in enumerate(input.shape) if d != axis_of(dim, input.ndim))
    return Extreme(values.reshape(shape), indices.reshape(shape))


@op(differentiable=False)
def argmax(input: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """The position of the first largest element along `dim`, or in the flat input; a NaN counts as the largest.

    >>> import tinygrad_cnn as tg
    >>> tg.argmax(tg.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
    tensor([1, 0])
    """
    return _position(np.argmax, input, dim, keepdim)


@op(differentiable=False)
def argmin(input: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """The position of the first smallest element along `dim`, or in the flat input; a NaN counts as the smallest.

    >>> import tinygrad_cnn as tg
    >>> tg.argmin(tg.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
    tensor([0, 1])
    """
    return _position(np.argmin, input, dim, keepdim)


def _position(find: Any, input: np.ndarray[Any, Any], dim: int | None, keepdim: bool) -> Any:
    _need_elements(input, dim)
    axis = None if dim is None or not input.ndim else axis_of(dim, input.ndim)
    return np.asarray(find(input, axis=axis, keepdims=keepdim), np.int64)


# ---- truth -------------------------------------------------------------------------------------------------


@op(differentiable=False)
def all(input: Array, dim: Dim = None, keepdim: bool = False) -> Any:
    """Whether all elements over the dimensions `dim` are true, that is, not 0.

    >>> import tinygrad_cnn as tg
    >>> tg.all(tg.tensor([[1, 0], [1, 1]]), dim=1)
    tensor([False,  True])
    """
    return _like_uint8(input.all(axis=axes_of(dim, input.ndim), keepdims=keepdim), input)


@op(differentiable=False)
def any(input: Array, dim: Dim = None, keepdim: bool = False) -> Any:
    """Whether an element over the dimensions `dim` is true, that is, not 0.

    >>> import tinygrad_cnn as tg
    >>> tg.any(tg.tensor([[0, 0], [1, 0]]), dim=1)
    tensor([False,  True])
    """
    return _like_uint8(input.any(axis=axes_of(dim, input.ndim), keepdims=keepdim), input)


@numpy_words
def count_nonzero(input: Array, dim: Dim = None) -> Tensor:
    """How many elements over the dimensions `dim` are not 0, as int64.

    >>> import tinygrad_cnn as tg
    >>> tg.count_nonzero(tg.tensor([[1, 0], [1, 1]]), dim=1)
    tensor([1, 2])
    """
    return sum(ne(input, 0), dim)


def _like_uint8(truth: Any, input: np.ndarray[Any, Any]) -> Any:
    return np.asarray(truth, np.uint8 if input.dtype == np.uint8 else bool)  # PyTorch keeps uint8 here


# ---- norms -------------------------------------------------------------------------------------------------


@op
def vector_norm(input: Array, ord: float = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """(sum |x|^ord)^(1/ord) over the dimensions `dim`; inf and -inf: the extremes of |x|; 0: how many are not 0.

    At 0 the gradient is 0; equal extremes share it evenly.

    >>> import tinygrad_cnn as tg
    >>> tg.linalg.vector_norm(tg.tensor([3.0, -4.0])), tg.linalg.vector_norm(tg.tensor([3.0, -4.0]), 1)
    (tensor(5.), tensor(7.))
    """
    input = input if dtype is None else input.astype(dtype)
    _need_float(input)
    axes = axes_of(dim, input.ndim)
    size = np.abs(input)
    if ord in (math.inf, -math.inf):
        if ord < 0 or not _count(input.shape, dim):
            _need_elements(input, dim)
        return (size.max if ord > 0 else size.min)(axis=axes, keepdims=keepdim)
    if ord == 0:
        return (size != 0).sum(axis=axes, keepdims=keepdim).astype(input.dtype)
    if ord == 1:
        return size.sum(axis=axes, keepdims=keepdim)
    if ord == 2:
        return np.sqrt(np.square(size).sum(axis=axes, keepdims=keepdim))
    return np.power(np.power(size, ord).sum(axis=axes, keepdims=keepdim), 1 / ord)


@vector_norm.vjp("input")
def vector_norm_grad(g: Array, out: Array, input: Array, ord: float, dim: Dim, keepdim: bool) -> Array:
    shape = input.shape
    g, out = kept(g, shape, dim, keepdim), kept(out, shape, dim, keepdim)
    x = array_of(input)
    sign = np.sign(x)
    if ord == 0:
        return input * 0.0
    if ord in (math.inf, -math.inf):
        return g * (sign * _shares(np.abs(x), array_of(out), dim))
    if ord == 1:
        return g * sign
    if ord == 2:
        return input * _over(g, out)
    # |x|^(ord-1) sign(x) g / out^(ord-1), in which a 0 stands for what has no limit.
    zero = x == 0
    size = where(zero, 1.0, input * sign)
    none = array_of(out) == 0
    length = where(none, 1.0, out)
    return where(zero | none, 0.0, size ** (ord - 1) * sign * (g / length ** (ord - 1)))


def norm(input: Array, p: Any = "fro", dim: Dim = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """The p-norm of the elements over the dimensions `dim`, all by default: see `linalg.vector_norm`.

    p: a number, inf, -inf, "fro", which is 2, or "nuc", the sum of a matrix's singular values.

    >>> import tinygrad_cnn as tg
    >>> tg.norm(tg.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    if p == "nuc":
        from tinygrad_cnn.linalg import matrix_norm  # it is built on this file

        return matrix_norm(input, p, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    if isinstance(p, str) and p != "fro":
        raise ValueError(f"norm: p is {p!r}, expected a number, 'fro' or 'nuc'")
    return vector_norm(input, 2.0 if p in ("fro", None) else float(p), dim, keepdim, dtype=dtype)


@composite
def normalize(input: Array, p: float = 2.0, dim: Dim = 1, eps: float = 1e-12) -> Any:
    """The input divided by its p-norm along `dim`, or by `eps` where the norm is smaller.

    >>> import tinygrad_cnn as tg
    >>> tg.normalize(tg.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    return input / clamp_min(norm(input, p, dim, keepdim=True), eps)

"""Ops that read and write elements by position: indexing, gather and scatter, rows of a table, sorting.

Reading and writing are each other's gradient rules: `getitem` with `scatter_into`, `gather` with `scatter_add`,
`index_select` with `index_add`. So gradients of every order come out right, also where a position occurs twice.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from tinygrad_cnn.autograd import (
    Array,
    Variable,
    array_of,
    broadcast_to,
    cast,
    composite,
    holder,
    no_grad,
    numpy_words,
    op,
    wrap,
)
from tinygrad_cnn.locks import lend
from tinygrad_cnn.ops.elementwise import div, floor_divide, times, where

if TYPE_CHECKING:
    from tinygrad_cnn.tensor import Tensor

__all__ = [
    "argsort",
    "bincount",
    "embedding",
    "gather",
    "getitem",
    "index_add",
    "index_put",
    "index_select",
    "masked_select",
    "nonzero",
    "one_hot",
    "scatter",
    "scatter_add",
    "scatter_reduce",
    "sort",
    "take_along_dim",
    "topk",
    "unique",
]


class Sorted(NamedTuple):
    """The elements in order, and the positions along the dimension that they came from."""

    values: Tensor
    indices: Tensor


def axis_of(dim: int, ndim: int) -> int:
    """The dimension `dim` counted from the front; an array without dimensions passes for one with one."""
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexError(f"dim is {dim}, expected {-n} to {n - 1}")
    return dim % n


# ---- indexing: x[index] ------------------------------------------------------------------------------------


@op
def getitem_op(input: Array, index: Any) -> Any:
    """The elements of the input at a basic index (a view) or at an advanced one without integers (a copy)."""
    return input[index]


getitem_op.name = "getitem"


@getitem_op.vjp("input")
def getitem_grad(g: Array, index: Any, input_shape: tuple[int, ...]) -> Array:
    return scatter_into(g, index=index, shape=input_shape)


@op
def scatter_into(input: Array, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with the input added at `index`, once for each time a position occurs: getitem's adjoint."""
    out = np.zeros(shape, input.dtype)
    if _is_basic(index):
        out[index] = input
    else:
        positions = np.arange(out.size).reshape(shape)[index]
        _add_at(out, positions, input)
    return out


@scatter_into.vjp("input")
def scatter_into_grad(g: Array, index: Any) -> Array:
    return getitem_op(g, index=index)


def getitem(input: Array, index: Any) -> Tensor:
    """`input[index]`, with everything that PyTorch allows as an index, and its rules.

    Integers, slices, None, `...`, and integer or boolean arrays, lists and Tensors in any mix. A result of integers
    and slices alone shares the input's memory. Integers are applied before arrays (NumPy has it otherwise).

    >>> import tinygrad_cnn as tg
    >>> x = tg.arange(6).reshape(2, 3)
    >>> tg.getitem(x, (slice(None), [2, 0]))
    tensor([[2, 0],
            [5, 3]])
    """
    if _is_basic(index):
        return getitem_op(input, index=index)
    basic, advanced = split_index(index, input.shape)
    if basic is not None:
        input = getitem_op(input, index=basic)
    return getitem_op(input, index=advanced) if advanced is not None else input


def index_put(input: Array, indices: Any, values: Array, accumulate: bool = False) -> Tensor:
    """A copy of the input in which `input[indices] = values` was done, or `+=` with `accumulate`.

    `values` broadcasts to the shape of `input[indices]`. With accumulate a position that occurs twice is added to
    twice; without, one of its values stays.

    >>> import tinygrad_cnn as tg
    >>> tg.index_put(tg.zeros(3), 1, 5.0)
    tensor([0., 5., 0.])
    """
    basic, advanced = split_index(indices, input.shape)
    inner = input if basic is None else getitem_op(input, index=basic)
    if advanced is None:
        return _put(input, basic if basic is not None else (), values, accumulate)
    changed = _put(inner, advanced, values, accumulate)
    return changed if basic is None else put(input, changed, index=basic)


def _put(input: Any, index: Any, values: Any, accumulate: bool) -> Tensor:
    target = np.broadcast_to(np.False_, input.shape)[index].shape
    shape = np.shape(values)
    while len(shape) > len(target) and shape[0] == 1:
        shape = shape[1:]
    if shape != np.shape(values):
        values = values.reshape(shape)
    try:
        values = broadcast_to(values, shape=target)
    except ValueError:
        raise ValueError(f"index_put: values are {shape}, the index selects {target}") from None
    if accumulate:
        added: Tensor = input + scatter_into(values, index=index, shape=input.shape)
        return added
    return put(input, values, index=index)


@op
def put(input: Array, values: Array, index: Any) -> Any:
    """A copy of the input whose elements at `index` are `values`, which have the shape of `input[index]`."""
    out = input.copy()
    out[index] = values
    return out


put.name = "index_put"


@put.vjp("input")
def put_grad_input(g: Array, index: Any) -> Array:
    return put(g, 0.0, index=index)


@put.vjp("values")
def put_grad_values(g: Array, index: Any) -> Array:
    return getitem_op(g, index=index)


def split_index(index: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """An index as two that NumPy can apply one after the other: a basic one, then an advanced one.

    Either is None where it would change nothing. Masks become positions, and arrays are copied, so that a later
    change of theirs cannot reach a gradient.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    items = [_plain(item) for item in items]
    consumed = sum(_consumes(item) for item in items)
    if consumed > len(shape):
        raise IndexError(f"getitem: the index has {consumed} dimensions, the input is {shape}")
    dots = sum(item is Ellipsis for item in items)
    if dots > 1:
        raise IndexError(f"getitem: the index has {dots} times '...', expected one")
    if not dots:
        items.append(Ellipsis)
    basic: list[Any] = []
    advanced: list[Any] = []
    d = 0  # the dimension of the input that the next item takes
    for item in items:
        if isinstance(item, np.ndarray) and item.dtype == bool:
            _check_mask(item, shape[d : d + item.ndim])
            basic += [slice(None)] * item.ndim if item.ndim else [None]
            advanced += item.nonzero() if item.ndim else [np.flatnonzero(item)]
        elif isinstance(item, np.ndarray):
            basic.append(slice(None))
            advanced.append(item)
        elif item is Ellipsis:
            basic += [slice(None)] * (len(shape) - consumed)
            advanced += [slice(None)] * (len(shape) - consumed)
            d += len(shape) - consumed
        else:
            basic.append(item)
            advanced += [] if isinstance(item, int) else [slice(None)]
        d += _consumes(item)
    plain = all(item == slice(None) for item in basic)
    return (
        None if plain else tuple(basic),
        tuple(map(lend, advanced)) if any(isinstance(item, np.ndarray) for item in advanced) else None,
    )


def _is_basic(index: Any) -> bool:
    items = index if type(index) is tuple else (index,)
    return all(type(item) in (int, slice) or item is None or item is Ellipsis for item in items)


def _plain(item: Any) -> Any:
    """One item of an index as an int, a slice, None, Ellipsis, or an array of positions or booleans."""
    if item is None or item is Ellipsis or type(item) is int:
        return item
    if isinstance(item, slice):
        return slice(*(None if v is None else int(v) for v in (item.start, item.stop, item.step)))
    array = np.array(array_of(item))  # a copy
    if array.size == 0 and array.dtype.kind == "f" and not isinstance(item, Variable | np.ndarray):
        array = array.astype(np.int64)  # an empty list
    if array.dtype.kind == "i":
        return array if array.ndim else int(array)
    if array.dtype != bool:
        hint = "; .bool() makes it a mask, .long() positions" if array.dtype == np.uint8 else ""
        raise IndexError(f"getitem: an index is {array.dtype}, expected integers or booleans{hint}")
    return array


def _consumes(item: Any) -> int:
    """How many dimensions of the input one item of an index takes."""
    if isinstance(item, np.ndarray):
        return item.ndim if item.dtype == bool else 1
    return 0 if item is None or item is Ellipsis else 1


def _check_mask(mask: np.ndarray[Any, Any], shape: tuple[int, ...]) -> None:
    if mask.shape != shape:
        raise IndexError(f"getitem: the mask is {mask.shape}, the dimensions that it selects from are {shape}")


def _add_at(out: np.ndarray[Any, Any], positions: np.ndarray[Any, Any], values: Any) -> None:
    """Add the values to the contiguous `out` at flat positions; one that occurs twice is added to twice."""
    # np.add.at is fast only for flat arrays of one dtype.
    flat = np.broadcast_to(values, positions.shape).ravel().astype(out.dtype, copy=False)
    np.add.at(out.reshape(-1), positions.ravel(), flat)


# ---- gather and scatter ------------------------------------------------------------------------------------


@op
def gather(input: Array, dim: int, index: Array, *, sparse_grad: bool = False) -> Any:
    """The elements of the input at positions `index` along `dim`: out[i][j] = input[index[i][j]][j] for dim 0.

    `index` (integers) has as many dimensions as the input, and reaches no further in those other than `dim`.
    sparse_grad: accepted; gradients are dense.

    >>> import tinygrad_cnn as tg
    >>> tg.gather(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, tg.tensor([[1], [0]]))
    tensor([[2.],
            [3.]])
    """
    return input.reshape(-1)[_positions(input.shape, dim, index)]


@gather.vjp("input")
def gather_grad(g: Array, dim: int, index: Array, input_shape: tuple[int, ...]) -> Array:
    return scatter_add(np.zeros(input_shape, g.dtype), dim, index, g)


@op
def scatter_add(input: Array, dim: int, index: Array, src: Array) -> Any:
    """The input plus `src` at positions `index` along `dim`: out[index[i][j]][j] += src[i][j] for dim 0.

    Only the part of `src` that `index` covers is used.

    >>> import tinygrad_cnn as tg
    >>> tg.scatter_add(tg.zeros(3), 0, tg.tensor([1, 1, 2]), tg.tensor([1.0, 2.0, 3.0]))
    tensor([0., 3., 3.])
    """
    _check_same_dtype(input, src)
    out = input.copy()
    positions = _positions(out.shape, dim, index)
    _add_at(out, positions, src[_corner(index.shape, src.shape)])
    return out


@scatter_add.vjp("input")
def scatter_add_grad_input(g: Array) -> Array:
    return g


@scatter_add.vjp("src")
def scatter_add_grad_src(g: Array, dim: int, index: Array, src_shape: tuple[int, ...]) -> Array:
    return _in_corner(gather(g, dim, index), src_shape)


@op
def scatter_op(input: Array, dim: int, index: Array, src: Array) -> Any:
    """The input with `src` (an array, or one number) written at positions `index` along `dim`."""
    _check_same_dtype(input, src)
    out = input.copy()
    positions = _positions(out.shape, dim, index)
    out.reshape(-1)[positions] = src[_corner(index.shape, src.shape)] if np.ndim(src) else src
    return out


scatter_op.name = "scatter"


@scatter_op.vjp("input")
def scatter_grad_input(g: Array, dim: int, index: Array) -> Array:
    return scatter_op(g, dim, index, 0.0)


@scatter_op.vjp("src")
def scatter_grad_src(g: Array, dim: int, index: Array, src_shape: tuple[int, ...]) -> Array:
    return _in_corner(gather(g, dim, index), src_shape)


def scatter(
    input: Array, dim: int, index: Array, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """The input with `src` (an array, or one number) written at positions `index` along `dim`.

    Where a position occurs twice, one of its values stays; the gradient is right only if there are none such.
    reduce: "add" adds the values to what is there, and "multiply" multiplies it by them, once for each time that a
    position occurs. value: another name for a `src` that is one number.

    >>> import tinygrad_cnn as tg
    >>> tg.scatter(tg.zeros(3), 0, tg.tensor([2, 0]), tg.tensor([5.0, 6.0]))
    tensor([6., 0., 5.])
    """
    if (src is None) == (value is None):
        raise TypeError(f"scatter: src is {src}, value {value}, expected one of them")
    if reduce not in (None, "add", "multiply"):
        raise ValueError(f"scatter: reduce is {reduce!r}, expected 'add' or 'multiply'")
    src = value if src is None else src
    if reduce is None:
        return scatter_op(input, dim, index, src)
    if not np.ndim(src):
        number = src if isinstance(src, Variable) else np.asarray(src)
        src = broadcast_to(cast(number, dtype=input.dtype), shape=index.shape)
    return scatter_add(input, dim, index, src) if reduce == "add" else _scatter_product(input, dim, index, src)


@composite
def _scatter_product(input: Any, dim: int, index: Any, src: Any) -> Any:
    scatter_op(array_of(input), dim, index, array_of(src))  # which complains of what does not fit
    places = _positions(input.shape, dim, array_of(index)).reshape(-1)
    order = np.argsort(places, kind="stable")
    factors = getitem_op(src[_corner(index.shape, src.shape)].reshape((-1,)), index=(order,))
    places = places[order]
    while (odd := np.flatnonzero(_turns(places) % 2)).size:  # each joins the one before it, of the same place
        pairs = getitem_op(factors, index=(odd - 1,)) * getitem_op(factors, index=(odd,))
        left = np.delete(np.arange(places.size), odd)
        factors, places = getitem_op(put(factors, pairs, index=(odd - 1,)), index=(left,)), places[left]
    flat = input.reshape((-1,))
    return put(flat, getitem_op(flat, index=(places,)) * factors, index=(places,)).reshape(input.shape)


@composite
def scatter_reduce(
    input: Array,
    dim: int,
    index: Array,
    src: Array,
    reduce: Literal["sum", "prod", "mean", "amax", "amin"],
    *,
    include_self: bool = True,
) -> Any:
    """What `src` brings to each position that `index` names along `dim`, reduced together with what is there.

    reduce: "sum", "prod", "mean" (of integers rounded down), "amax" or "amin", whose ties share the gradient evenly.
    include_self=False: an element that `index` names is replaced, and counts for nothing. The other elements stay as
    they are. `index` (integers) and `src` are as for `scatter_add`.
    ValueError for another `reduce`, TypeError for a `src` that is no tensor.

    >>> import tinygrad_cnn as tg
    >>> index, src = tg.tensor([1, 1, 2]), tg.tensor([1.0, 2.0, 3.0])
    >>> tg.scatter_reduce(tg.ones(4), 0, index, src, "sum"), tg.scatter_reduce(tg.ones(4), 0, index, src, "amax")
    (tensor([1., 4., 4., 1.]), tensor([1., 2., 3., 1.]))
    >>> tg.scatter_reduce(tg.ones(4), 0, index, src, "mean", include_self=False)
    tensor([1.0000, 1.5000, 3.0000, 1.0000])
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise ValueError(f"scatter_reduce: reduce is {reduce!r}, expected 'sum', 'prod', 'mean', 'amax' or 'amin'")
    if not isinstance(src, Variable | np.ndarray):
        raise TypeError(f"scatter_reduce: src is {src!r}, expected a tensor")
    if reduce in ("amax", "amin"):
        return scatter_extreme(input, dim, index, src, reduce == "amax", include_self)
    start = input if include_self else scatter_op(input, dim, index, int(reduce == "prod"))
    if reduce == "prod":
        return _scatter_product(start, dim, index, src)
    total = scatter_add(start, dim, index, src)
    if reduce == "sum":
        return total
    counts = np.full(input.shape, int(include_self))
    _add_at(counts, _positions(input.shape, dim, array_of(index)), 1)
    counts = np.maximum(counts, 1).astype(input.dtype)
    return div(total, counts) if input.dtype.kind == "f" else floor_divide(total, counts)


@op
def scatter_extreme(input: Array, dim: int, index: Array, src: Array, largest: bool, include_self: bool) -> Any:
    """The largest (or smallest) of each element and of what `src` brings to its position; see `scatter_reduce`."""
    _check_same_dtype(input, src)
    out = input.copy()
    places, values, flat = _positions(out.shape, dim, index), src[_corner(index.shape, src.shape)], out.reshape(-1)
    if not include_self:
        flat[places] = values  # one of them, to begin with
    (np.maximum if largest else np.minimum).at(flat, places.ravel(), values.ravel())
    return out


scatter_extreme.name = "scatter_reduce"


@scatter_extreme.vjp("input")
def scatter_extreme_grad_input(
    g: Array, out: Array, input: Array, dim: int, index: Array, src: Array, include_self: bool
) -> Array:
    return g * _shares(out, input, dim, index, src, include_self)[0]


@scatter_extreme.vjp("src")
def scatter_extreme_grad_src(
    g: Array, out: Array, input: Array, dim: int, index: Array, src: Array, include_self: bool
) -> Array:
    shares = _shares(out, input, dim, index, src, include_self)[1]
    return _in_corner(gather(g, dim, index) * shares, src.shape)


def _shares(*arrays: Any) -> tuple[Any, Any]:
    """What part of the gradient each element of `input` and of `src` gets, where those equal to the result share it."""
    given: list[Any] = [array_of(x) for x in arrays]
    out, x, dim, index, src, include_self = given
    places, values = _positions(x.shape, dim, index), src[_corner(index.shape, src.shape)]
    mine, theirs = _same(x, out), _same(values, out.reshape(-1)[places])
    if not include_self:
        mine.reshape(-1)[places] = False
    count = mine.astype(x.dtype)
    _add_at(count, places, theirs)
    return mine / count, theirs / count.reshape(-1)[places]


def _same(x: Any, chosen: Any) -> np.ndarray[Any, Any]:
    return np.array((x == chosen) | (np.isnan(x) & np.isnan(chosen)), order="C")


def _turns(ordered: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How often each of the numbers, which are in order, has come before."""
    return np.arange(ordered.size) - np.searchsorted(ordered, ordered)


def _positions(shape: tuple[int, ...], dim: int, index: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The flat positions, in an array of `shape`, of the elements that gather takes."""
    if index.dtype.kind not in "iu":
        raise TypeError(f"index is {index.dtype}, expected integers")
    if not index.size:
        return index
    if max(index.ndim, 1) != max(len(shape), 1):
        raise ValueError(f"index has {index.ndim} dimensions {index.shape}, the input {len(shape)} {shape}")
    dim = axis_of(dim, len(shape))
    shape = shape or (1,)
    _check_range(index, shape[dim])
    if not index.ndim:
        return index
    positions = np.zeros((1,) * index.ndim, np.int64)
    for d, n in enumerate(index.shape):
        if d == dim:
            step = index
        elif n > shape[d]:
            raise ValueError(f"index is {index.shape}, the input {shape}: dimension {d} expects at most {shape[d]}")
        else:
            step = np.arange(n).reshape((-1,) + (1,) * (index.ndim - d - 1))
        positions = positions + step * math.prod(shape[d + 1 :])
    return positions


def _check_same_dtype(input: np.ndarray[Any, Any], src: Any) -> None:
    if isinstance(src, np.ndarray) and src.ndim and src.dtype != input.dtype:
        raise TypeError(f"src is {src.dtype}, expected {input.dtype} as the input")


def _check_range(index: np.ndarray[Any, Any], n: int) -> None:
    if index.size and (index.min() < 0 or index.max() >= n):
        wrong = index[(index < 0) | (index >= n)].flat[0]
        raise IndexError(f"an index is {wrong}, expected 0 to {n - 1}")


def _corner(small: tuple[int, ...], large: tuple[int, ...]) -> tuple[slice, ...]:
    """The index of the part of an array of shape `large` that has shape `small` and begins where it begins."""
    if len(small) != len(large) or any(s > n for s, n in zip(small, large, strict=True)):
        raise ValueError(f"src is {large}, index is {small}: expected src to be at least as large")
    return tuple(slice(n) for n in small)


def _in_corner(g: Array, shape: tuple[int, ...]) -> Array:
    return g if g.shape == shape else scatter_into(g, index=_corner(g.shape, shape), shape=shape)


@numpy_words
def take_along_dim(input: Array, indices: Array, dim: int | None = None) -> Tensor:
    """The elements at positions `indices` along `dim`; the other dimensions broadcast. None: of the flat input.

    Negative positions count from the end.

    >>> import tinygrad_cnn as tg
    >>> x = tg.tensor([[3.0, 1.0, 2.0]])
    >>> tg.take_along_dim(x, tg.argsort(x, dim=1), dim=1)
    tensor([[1., 2., 3.]])
    """
    if dim is None:
        return gather(input.reshape((-1,)), 0, indices.reshape((-1,)))
    if input.ndim != indices.ndim:
        raise ValueError(
            f"take_along_dim: indices are {indices.shape}, the input {input.shape}: expected as many dimensions"
        )
    d = axis_of(dim, input.ndim)
    positions = array_of(indices)
    positions = np.where(positions < 0, positions + input.shape[d], positions)
    common = list(np.broadcast_shapes(_without(input.shape, d), _without(indices.shape, d)))
    shape = (*common[:d], input.shape[d], *common[d + 1 :])
    target = (*common[:d], indices.shape[d], *common[d + 1 :])
    return gather(broadcast_to(input, shape=shape), d, np.broadcast_to(positions, target))


def _without(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return (*shape[:dim], 1, *shape[dim + 1 :])


def masked_select(input: Array, mask: Array) -> Tensor:
    """The elements where `mask` is true, as a one-dimensional tensor; the two broadcast.

    >>> import tinygrad_cnn as tg
    >>> x = tg.tensor([1.0, -2.0, 3.0])
    >>> tg.masked_select(x, x > 0)
    tensor([1., 3.])
    """
    if mask.dtype != bool:
        raise TypeError(f"masked_select: mask is {mask.dtype}, expected bool")
    shape = np.broadcast_shapes(input.shape, mask.shape)
    return getitem(broadcast_to(input, shape=shape), np.broadcast_to(array_of(mask), shape))


# ---- slices along one dimension, rows of a table -----------------------------------------------------------


@op
def index_select(input: Array, dim: int, index: Array) -> Any:
    """The slices at positions `index` (n,) along `dim`, which gets length n.

    >>> import tinygrad_cnn as tg
    >>> tg.index_select(tg.tensor([[1.0, 2.0, 3.0]]), 1, tg.tensor([2, 0]))
    tensor([[3., 1.]])
    """
    dim = axis_of(dim, input.ndim)
    _check_rows(index)
    _check_range(index, input.shape[dim] if input.ndim else 1)
    return np.take(input, index.reshape(-1) if input.ndim else index.reshape(()), axis=dim if input.ndim else None)


@index_select.vjp("input")
def index_select_grad(g: Array, dim: int, index: Array, input_shape: tuple[int, ...]) -> Array:
    return index_add(np.zeros(input_shape, g.dtype), dim, index, g)


@op
def index_add(input: Array, dim: int, index: Array, source: Array, *, alpha: float = 1) -> Any:
    """The input plus alpha · source, whose slices along `dim` are added at the positions `index` (n,).

    >>> import tinygrad_cnn as tg
    >>> tg.index_add(tg.zeros(3), 0, tg.tensor([1, 1]), tg.tensor([1.0, 2.0]))
    tensor([0., 3., 0.])
    """
    dim = axis_of(dim, input.ndim)
    _check_rows(index)
    shape = input.shape or (1,)
    rows = source.reshape(source.shape or (1,))
    _check_range(index, shape[dim])
    if rows.shape != (*shape[:dim], index.size, *shape[dim + 1 :]):
        wanted = (*shape[:dim], index.size, *shape[dim + 1 :])
        raise ValueError(f"source is {source.shape}, expected {wanted}: {index.size} slices of the input {shape}")
    out = input.copy()
    before, after = math.prod(shape[:dim]), math.prod(shape[dim + 1 :])
    rows = rows.reshape(before, index.size, after)
    _add_slices(out.reshape(before, shape[dim], after), index.reshape(-1), rows if alpha == 1 else times(rows, alpha))
    return out


@index_add.vjp("input")
def index_add_grad_input(g: Array) -> Array:
    return g


@index_add.vjp("source")
def index_add_grad_source(g: Array, dim: int, index: Array, alpha: float, source_shape: tuple[int, ...]) -> Array:
    rows = index_select(g, dim, index).reshape(source_shape)
    return rows if alpha == 1 else rows * alpha


def _add_slices(out: np.ndarray[Any, Any], index: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]) -> None:
    """Add the rows (before, n, after) to the contiguous `out` (before, length, after) at positions `index` (n,)."""
    order = np.argsort(index, kind="stable")
    turn = _turns(index[order])
    rounds = int(turn.max(initial=-1)) + 1
    if rounds <= 8:  # in each round no position comes twice, and NumPy's quick indexing does
        for r in range(rounds):
            chosen = order[turn == r]
            out[:, index[chosen]] += rows[:, chosen]
    else:
        before, length, after = out.shape
        starts = np.arange(before)[:, None, None] * (length * after)
        _add_at(out, starts + index[:, None] * after + np.arange(after), rows)


def _check_rows(index: np.ndarray[Any, Any]) -> None:
    if index.dtype.kind not in "iu" or index.ndim > 1:
        raise ValueError(f"index is {index.dtype} {index.shape}, expected integers in one dimension")


@op
def embedding_op(input: Array, weight: Array, padding_idx: int | None = None, scale_grad_by_freq: bool = False) -> Any:
    """The rows of `weight` (rows, features) at the positions `input` (*), as (*, features)."""
    if input.dtype.kind not in "iu":
        raise TypeError(f"input is {input.dtype}, expected integers")
    if weight.ndim != 2:
        raise ValueError(f"weight is {weight.shape}, expected (rows, features)")
    if padding_idx is not None and not -len(weight) <= padding_idx < len(weight):
        raise ValueError(f"padding_idx is {padding_idx}, weight has {len(weight)} rows")
    _check_range(input, len(weight))
    return weight[np.asarray(input)]  # a copy: with a bare NumPy integer it would be a view of the weight


embedding_op.name = "embedding"


@embedding_op.vjp("weight")
def embedding_grad(
    g: Array, input: Array, weight_shape: tuple[int, ...], padding_idx: int | None, scale_grad_by_freq: bool
) -> Array:
    index = array_of(input).reshape(-1)
    rows = g.reshape((index.size, weight_shape[1]))
    if padding_idx is not None:
        rows = where((index != padding_idx % weight_shape[0])[:, None], rows, 0.0)
    if scale_grad_by_freq:
        rows = rows / np.bincount(index)[index, None].astype(g.dtype)
    return index_add(np.zeros(weight_shape, g.dtype), 0, index, rows)


def embedding(
    input: Array,
    weight: Array,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` (rows, features) at the positions `input` (*), as (*, features).

    The row `padding_idx` gets no gradient. max_norm: first shorten, in the weight itself, those of the rows that are
    longer than this in the norm `norm_type`; RuntimeError if a graph needs the weight as it is. scale_grad_by_freq:
    divide each row's gradient by how often it was looked up here. sparse: accepted; gradients are dense.

    >>> import tinygrad_cnn as tg
    >>> tg.embedding(tg.tensor([1, 1, 0]), tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[3., 4.],
            [3., 4.],
            [1., 2.]])
    """
    if max_norm is not None:
        _shorten(np.unique(array_of(input)), weight, max_norm, norm_type)
    return embedding_op(input, weight, padding_idx, scale_grad_by_freq)


def _shorten(index: np.ndarray[Any, Any], weight: Any, max_norm: float, norm_type: float) -> None:
    """Scale those of the rows at `index` whose norm is greater than `max_norm` to that norm, in place."""
    rows: Any = embedding_op(index, array_of(weight))  # which complains of what is no index
    norms = np.linalg.norm(rows, norm_type, axis=1, keepdims=True)
    long = norms[:, 0] > max_norm
    if not long.any():
        return
    if (user := holder(array_of(weight))) is not None:
        raise RuntimeError(
            f"embedding: max_norm={max_norm} shortens rows of the weight in place, but a live graph still needs them "
            f"({user}); use weight.clone() there"
        )
    with no_grad():
        weight[index[long]] = rows[long] * (max_norm / (norms[long] + 1e-7))  # as PyTorch, a little too short


@op(differentiable=False)
def one_hot(tensor: Array, num_classes: int = -1) -> Any:
    """Integers (*) as int64 vectors (*, num_classes) with a 1 at the integer's place; -1: as many as are needed.

    >>> import tinygrad_cnn as tg
    >>> tg.one_hot(tg.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor.dtype.kind not in "iu":
        raise TypeError(f"the input is {tensor.dtype}, expected integers")
    if num_classes == -1:
        if not tensor.size:
            raise ValueError("the input is empty, expected num_classes to be given")
        num_classes = int(tensor.max()) + 1
    _check_range(tensor, num_classes)
    return (tensor[..., None] == np.arange(num_classes)).astype(np.int64)


# ---- positions and order -----------------------------------------------------------------------------------


@op(differentiable=False)
def argwhere(input: Array) -> Any:
    """The positions of the elements that are not zero, one a row: (count, ndim)."""
    return np.argwhere(input).astype(np.int64)


argwhere.name = "nonzero"


@overload
def nonzero(input: Array, *, as_tuple: Literal[False] = False) -> Tensor: ...
@overload
def nonzero(input: Array, *, as_tuple: Literal[True]) -> tuple[Tensor, ...]: ...
@overload
def nonzero(input: Array, *, as_tuple: bool) -> Any: ...
def nonzero(input: Array, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not zero: (count, ndim), or a tuple with one (count,) a dimension.

    >>> import tinygrad_cnn as tg
    >>> tg.nonzero(tg.tensor([0.0, 5.0, 6.0]))
    tensor([[1],
            [2]])
    """
    rows = argwhere(input if input.ndim or not as_tuple else input.reshape((1,)))
    return tuple(rows[:, d] for d in range(rows.shape[1])) if as_tuple else rows


@overload
def unique(
    input: Array,
    sorted: bool = True,
    return_inverse: Literal[False] = False,
    return_counts: Literal[False] = False,
    dim: int | None = None,
) -> Tensor: ...
@overload
def unique(
    input: Array, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any: ...
def unique(
    input: Array, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements, each once and in order; with `dim`, the slices along it.

    return_inverse: also where in the result each element stands; return_counts: also how often it came. The order is
    always that of the values, whatever `sorted` says; nothing is recorded.

    >>> import tinygrad_cnn as tg
    >>> tg.unique(tg.tensor([5, 3, 5]), return_counts=True)
    (tensor([3, 5]), tensor([1, 2]))
    """
    x = array_of(input)
    found, inverse, counts = np.unique(x, return_inverse=True, return_counts=True, axis=dim)
    places = wrap(inverse.reshape(x.shape if dim is None else -1))
    chosen = [wrap(found), *[places] * return_inverse, *[wrap(counts)] * return_counts]
    return chosen[0] if len(chosen) == 1 else tuple(chosen)


def bincount(input: Array, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often each of the numbers 0, 1, ... stands in `input` (N,), integers; or the sum of its `weights` (N,).

    Nothing is recorded: for sums that have gradients there is `index_add`.

    >>> import tinygrad_cnn as tg
    >>> tg.bincount(tg.tensor([2, 0, 2]))
    tensor([1, 0, 2])
    """
    x = array_of(input)
    if x.ndim != 1 or x.dtype.kind not in "iu" or (x < 0).any():
        raise ValueError(f"bincount: input is {x.dtype} {x.shape}, expected integers (N,), none below 0")
    given = None if weights is None else array_of(weights)
    if given is not None and given.shape != x.shape:
        raise ValueError(f"bincount: weights have shape {given.shape}, the input {x.shape}")
    out = np.bincount(x.astype(np.int64), given, minlength)
    return wrap(out.astype(given.dtype if given is not None and given.dtype.kind == "f" else out.dtype))


@op(differentiable=False)
def argsort(input: Array, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The positions along `dim` that put the elements in order; NaN counts as the largest. Always stable.

    >>> import tinygrad_cnn as tg
    >>> tg.argsort(tg.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    dim = axis_of(dim, input.ndim)
    if not input.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(input, axis=dim, kind="stable").astype(np.int64, copy=False)
    # Turned round twice, so that equal elements keep their order.
    order = np.argsort(np.flip(input, dim), axis=dim, kind="stable")
    return input.shape[dim] - 1 - np.flip(order, dim).astype(np.int64, copy=False)


@numpy_words
def sort(input: Array, dim: int = -1, descending: bool = False, stable: bool = False) -> Sorted:
    """The elements in order along `dim`, as (values, indices). Equal elements keep their order.

    >>> import tinygrad_cnn as tg
    >>> tg.sort(tg.tensor([3.0, 1.0, 2.0])).values
    tensor([1., 2., 3.])
    """
    indices = argsort(input, dim, descending, stable)
    return Sorted(gather(input, dim, indices), indices)


@numpy_words
def topk(input: Array, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The k largest (or smallest) elements along `dim`, the most extreme first, as (values, indices).

    >>> import tinygrad_cnn as tg
    >>> tg.topk(tg.tensor([3.0, 1.0, 2.0]), 2).indices
    tensor([0, 2])
    """
    d = axis_of(dim, input.ndim)
    n = input.shape[d] if input.ndim else 1
    if not 0 <= k <= n:
        raise ValueError(f"topk: k is {k}, dimension {dim} has {n} elements")
    indices = argsort(input, d, largest)
    if input.ndim:
        indices = getitem_op(indices, index=(slice(None),) * d + (slice(k),))
    return Sorted(gather(input, d, indices), indices)

"""Ops that move elements and change none: reshape, permute, expand, join, split, flip, roll, pad, windows, resize.

Where NumPy can give a view, the result is one: it shares the input's memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_cnn.autograd import Array, array_of, broadcast_to, cast, composite, numpy_words, op, sum_to, wrap
from tinygrad_cnn.dtypes import result_type
from tinygrad_cnn.locks import owner_of
from tinygrad_cnn.ops.elementwise import clamp, clone, round
from tinygrad_cnn.ops.index import axis_of, getitem_op, index_select

if TYPE_CHECKING:
    from tinygrad_cnn.tensor import Tensor

__all__ = [
    "broadcast_tensors",
    "cat",
    "chunk",
    "diag",
    "diagonal",
    "expand",
    "flatten",
    "flip",
    "fold",
    "hstack",
    "interpolate",
    "meshgrid",
    "movedim",
    "narrow",
    "pad",
    "permute",
    "pixel_shuffle",
    "pixel_unshuffle",
    "ravel",
    "repeat",
    "repeat_interleave",
    "reshape",
    "roll",
    "select",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "t",
    "tile",
    "transpose",
    "tril",
    "triu",
    "unbind",
    "unflatten",
    "unfold",
    "unsqueeze",
    "vstack",
]


def numbers(values: Sequence[Any]) -> tuple[int, ...]:
    """The ints of a call that takes them either one by one or as one tuple: f(x, 2, 3) and f(x, (2, 3))."""
    return tuple(values[0]) if len(values) == 1 and not isinstance(values[0], int) else tuple(values)


# ---- the same elements in another shape --------------------------------------------------------------------


@op
def reshape(input: Array, shape: tuple[int, ...]) -> Any:
    """The same elements, in the same order, in another shape; one length may be -1. A view where it can be one.

    >>> import tinygrad_cnn as tg
    >>> tg.reshape(tg.ones(2, 3), (3, -1)).shape
    (3, 2)
    """
    try:
        return input.reshape(shape)
    except ValueError:
        raise ValueError(f"input is {input.shape}, {input.size} elements; shape is {shape}") from None


@op
def flatten(input: Array, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The dimensions from `start_dim` to `end_dim` (with it) as one.

    >>> import tinygrad_cnn as tg
    >>> tg.flatten(tg.ones(2, 3, 4), 1).shape
    (2, 12)
    """
    start, end = axis_of(start_dim, input.ndim), axis_of(end_dim, input.ndim)
    if start > end:
        raise ValueError(f"start_dim is {start_dim}, end_dim {end_dim}, expected them in order")
    shape = input.shape
    return input.reshape(*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])


def ravel(input: Array) -> Tensor:
    """All elements along one dimension; a view where it can be one.

    >>> import tinygrad_cnn as tg
    >>> tg.ravel(tg.tensor([[1, 2], [3, 4]]))
    tensor([1, 2, 3, 4])
    """
    return reshape(input, (-1,))


@op
def unflatten(input: Array, dim: int, sizes: Sequence[int]) -> Any:
    """Dimension `dim` as several of lengths `sizes`, one of which may be -1.

    >>> import tinygrad_cnn as tg
    >>> tg.unflatten(tg.ones(2, 12), 1, (3, -1)).shape
    (2, 3, 4)
    """
    dim = axis_of(dim, input.ndim)
    n = input.shape[dim]
    known = math.prod(size for size in sizes if size != -1)
    lengths = tuple(n // known if size == -1 and known else size for size in sizes)
    if math.prod(lengths) != n:
        raise ValueError(f"dimension {dim} has {n} elements, sizes are {tuple(sizes)}")
    return input.reshape(*input.shape[:dim], *lengths, *input.shape[dim + 1 :])


@op
def squeeze(input: Array, dim: int | tuple[int, ...] | None = None) -> Any:
    """Without the dimensions of length 1: all such, or those among `dim`.

    >>> import tinygrad_cnn as tg
    >>> tg.squeeze(tg.ones(1, 2, 1)).shape, tg.squeeze(tg.ones(1, 2, 1), 0).shape
    ((2,), (2, 1))
    """
    dims = range(input.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    chosen = {axis_of(d, input.ndim) for d in dims}
    return input.reshape([n for d, n in enumerate(input.shape) if n != 1 or d not in chosen])


@op
def unsqueeze(input: Array, dim: int) -> Any:
    """With a new dimension of length 1 at place `dim`.

    >>> import tinygrad_cnn as tg
    >>> tg.unsqueeze(tg.ones(2, 3), 1).shape
    (2, 1, 3)
    """
    return np.expand_dims(input, axis_of(dim, input.ndim + 1))


@reshape.vjp("input")
@flatten.vjp("input")
@unflatten.vjp("input")
@squeeze.vjp("input")
@unsqueeze.vjp("input")
def reshape_grad(g: Array, input_shape: tuple[int, ...]) -> Array:
    return g.reshape(input_shape)


# ---- dimensions in another order ---------------------------------------------------------------------------


@op
def permute(input: Array, dims: Sequence[int]) -> Any:
    """The dimensions in another order: dimension i of the result is dimension dims[i] of the input; a view.

    >>> import tinygrad_cnn as tg
    >>> tg.permute(tg.ones(2, 3, 4), (2, 0, 1)).shape
    (4, 2, 3)
    """
    order = [axis_of(d, input.ndim) for d in dims]
    if sorted(order) != list(range(input.ndim)):
        raise ValueError(f"dims is {tuple(dims)}, the input {input.shape} has {input.ndim} dimensions")
    return input.transpose(order)


@permute.vjp("input")
def permute_grad(g: Array, dims: Sequence[int]) -> Array:
    order = [d % g.ndim for d in dims]
    return permute(g, tuple(order.index(d) for d in range(g.ndim)))


@op
def transpose(input: Array, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged; a view.

    >>> import tinygrad_cnn as tg
    >>> tg.transpose(tg.ones(2, 3, 4), 0, -1).shape
    (4, 3, 2)
    """
    dim0, dim1 = axis_of(dim0, input.ndim), axis_of(dim1, input.ndim)
    return input.swapaxes(dim0, dim1) if input.ndim else input


@transpose.vjp("input")
def transpose_grad(g: Array, dim0: int, dim1: int) -> Array:
    return transpose(g, dim0, dim1)


def swapaxes(input: Array, axis0: int, axis1: int) -> Tensor:
    """As `transpose`, under NumPy's name.

    >>> import tinygrad_cnn as tg
    >>> tg.swapaxes(tg.ones(2, 3, 4), 0, -1).shape
    (4, 3, 2)
    """
    return transpose(input, axis0, axis1)


def t(input: Array) -> Tensor:
    """A matrix transposed; with fewer dimensions the input itself.

    >>> import tinygrad_cnn as tg
    >>> tg.t(tg.ones(2, 3)).shape
    (3, 2)
    """
    if input.ndim > 2:
        raise ValueError(f"t: input is {input.shape}, expected at most 2 dimensions")
    return transpose(input, 0, 1) if input.ndim == 2 else input


def movedim(input: Array, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """The dimensions `source` moved to the places `destination`; the others keep their order.

    >>> import tinygrad_cnn as tg
    >>> tg.movedim(tg.ones(2, 3, 4), 0, -1).shape
    (3, 4, 2)
    """
    starts = (source,) if isinstance(source, int) else tuple(source)
    ends = (destination,) if isinstance(destination, int) else tuple(destination)
    moved = {axis_of(e, input.ndim): axis_of(s, input.ndim) for s, e in zip(starts, ends, strict=True)}
    if len(moved) < len(ends) or len(set(moved.values())) < len(starts):
        raise ValueError(f"movedim: source is {source}, destination {destination}, expected no dimension twice")
    rest = iter(d for d in range(input.ndim) if d not in moved.values())
    return permute(input, tuple(moved[d] if d in moved else next(rest) for d in range(input.ndim)))


# ---- repeating ---------------------------------------------------------------------------------------------


def expand(input: Array, *sizes: Any) -> Tensor:
    """Dimensions of length 1 repeated to `sizes`, without using memory; -1 keeps a length, new ones go in front.

    >>> import tinygrad_cnn as tg
    >>> tg.expand(tg.ones(3, 1), -1, 4).shape
    (3, 4)
    """
    wanted = numbers(sizes)
    new = len(wanted) - input.ndim
    if new < 0 or -1 in wanted[:new]:
        raise ValueError(f"expand: input is {input.shape}, sizes are {wanted}")
    shape = tuple(input.shape[i - new] if n == -1 else n for i, n in enumerate(wanted))
    return broadcast_to(input, shape=shape)


def broadcast_tensors(*tensors: Array) -> tuple[Tensor, ...]:
    """All of them repeated to their common shape.

    >>> import tinygrad_cnn as tg
    >>> [x.shape for x in tg.broadcast_tensors(tg.ones(3, 1), tg.ones(2))]
    [(3, 2), (3, 2)]
    """
    shape = np.broadcast_shapes(*(x.shape for x in tensors))
    return tuple(broadcast_to(x, shape=shape) for x in tensors)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid whose axes are these one-dimensional tensors: one tensor an axis.

    indexing: "ij", the first tensor runs along dimension 0, or "xy", along dimension 1.

    >>> import tinygrad_cnn as tg
    >>> tg.meshgrid(tg.tensor([1, 2]), tg.tensor([5, 6, 7]))[1]
    tensor([[5, 6, 7],
            [5, 6, 7]])
    """
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: indexing is {indexing!r}, expected 'ij' or 'xy'")
    axes = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else list(tensors)
    n = len(axes)
    places = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else list(range(n))
    columns = [x.reshape((1,) * d + (-1,) + (1,) * (n - d - 1)) for x, d in zip(axes, places, strict=True)]
    return broadcast_tensors(*columns)


@op
def repeat_op(input: Array, repeats: tuple[int, ...]) -> Any:
    """The input repeated along each dimension."""
    if len(repeats) < input.ndim:
        raise ValueError(f"repeats are {repeats}, the input {input.shape} has {input.ndim} dimensions")
    return np.tile(input, repeats)


repeat_op.name = "repeat"


@repeat_op.vjp("input")
def repeat_grad(g: Array, input_shape: tuple[int, ...], repeats: tuple[int, ...]) -> Array:
    lengths = (1,) * (len(repeats) - len(input_shape)) + input_shape
    folded = g.reshape(tuple(n for pair in zip(repeats, lengths, strict=True) for n in pair))  # (r0, n0, r1, n1, ...)
    return sum_to(folded, shape=tuple(n for length in lengths for n in (1, length))).reshape(input_shape)


def repeat(input: Array, *repeats: Any) -> Tensor:
    """The whole input repeated repeats[i] times along dimension i; new dimensions go in front.

    >>> import tinygrad_cnn as tg
    >>> tg.repeat(tg.tensor([1, 2]), 2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    return repeat_op(input, repeats=numbers(repeats))


def tile(input: Array, dims: Sequence[int]) -> Tensor:
    """As `repeat`, and `dims` may have fewer entries than the input has dimensions: they mean the last ones.

    >>> import tinygrad_cnn as tg
    >>> tg.tile(tg.ones(2, 3), (2,)).shape
    (2, 6)
    """
    return repeat_op(input, repeats=(1,) * (input.ndim - len(dims)) + tuple(dims))


@numpy_words
def repeat_interleave(
    input: Array, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each slice along `dim` repeated, all repetitions of one after the other; without `dim`, each element.

    repeats: how often, one number for all or one for each slice (integers, none negative); given alone, as the input,
    the numbers of the slices come back. output_size: the length of the result, checked where it is given.

    >>> import tinygrad_cnn as tg
    >>> tg.repeat_interleave(tg.tensor([5.0, 6.0]), 2)
    tensor([5., 5., 6., 6.])
    >>> tg.repeat_interleave(tg.tensor([[1, 2], [3, 4]]), tg.tensor([1, 2]), dim=0)
    tensor([[1, 2],
            [3, 4],
            [3, 4]])
    """
    alone = repeats is None
    counts = array_of(input if alone else repeats)
    if counts.dtype.kind not in "iu" or counts.ndim > 1 or (counts < 0).any():
        raise ValueError(f"repeat_interleave: repeats are {counts}, expected integers of 0 or more, one or a list")
    if dim is None and not alone:
        input, dim = ravel(input), 0
    n = len(counts) if dim is None else input.shape[axis_of(dim, input.ndim)]
    if counts.ndim and len(counts) not in (1, n):
        raise ValueError(f"repeat_interleave: there are {len(counts)} repeats, dimension {dim} has {n} elements")
    positions = np.repeat(np.arange(n), counts)
    if output_size is not None and output_size != len(positions):
        raise ValueError(f"repeat_interleave: output_size is {output_size}, the repeats make {len(positions)}")
    return wrap(positions) if dim is None else index_select(input, dim, positions)


# ---- joining -----------------------------------------------------------------------------------------------


@op(promotes=True)
def cat_op(*tensors: Array, dim: int = 0) -> Any:
    """The tensors one after the other along a dimension."""
    first = tensors[0].shape
    if not first:
        raise ValueError("tensor 0 has no dimensions, expected at least 1; stack joins such")
    dim = axis_of(dim, len(first))
    for i, x in enumerate(tensors):
        if x.ndim != len(first) or any(x.shape[d] != n for d, n in enumerate(first) if d != dim):
            raise ValueError(f"tensor {i} is {x.shape}, tensor 0 {first}: expected them alike but in dimension {dim}")
    return np.concatenate(tensors, axis=dim)


cat_op.name = "cat"


@cat_op.vjp("tensors")
def cat_grad(g: Array, tensors_shape: tuple[tuple[int, ...], ...], index: int, dim: int) -> Array:
    dim %= g.ndim
    start = sum(shape[dim] for shape in tensors_shape[:index])
    return narrow(g, dim, start, tensors_shape[index][dim])


@numpy_words
def cat(tensors: Sequence[Array], dim: int = 0) -> Tensor:
    """The tensors one after the other along dimension `dim`; the other dimensions are equal.

    >>> import tinygrad_cnn as tg
    >>> tg.cat([tg.ones(2, 3), tg.ones(2, 1)], dim=1).shape
    (2, 4)
    """
    if not tensors:
        raise ValueError("cat: there are no tensors, expected at least one")
    filled = [x for x in tensors if x.shape != (0,)]  # PyTorch lets an empty vector join anything
    if len(filled) < len(tensors):  # where it counts for the dtype alone
        dtype = result_type(*map(array_of, tensors))
        filled = [x if x.dtype == dtype else cast(x, dtype) for x in filled]
    return cat_op(*(filled or tensors), dim=dim)


@op(promotes=True)
def stack_op(*tensors: Array, dim: int = 0) -> Any:
    """The tensors along a new dimension."""
    for i, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise ValueError(f"tensor {i} is {x.shape}, tensor 0 {tensors[0].shape}: expected one shape")
    return np.stack(tensors, axis=axis_of(dim, tensors[0].ndim + 1))


stack_op.name = "stack"


@stack_op.vjp("tensors")
def stack_grad(g: Array, index: int, dim: int) -> Array:
    return select(g, dim, index)


@numpy_words
def stack(tensors: Sequence[Array], dim: int = 0) -> Tensor:
    """The tensors, of one shape, along a new dimension at place `dim`.

    >>> import tinygrad_cnn as tg
    >>> tg.stack([tg.ones(3), tg.zeros(3)], dim=1).shape
    (3, 2)
    """
    if not tensors:
        raise ValueError("stack: there are no tensors, expected at least one")
    return stack_op(*tensors, dim=dim)


def hstack(tensors: Sequence[Array]) -> Tensor:
    """The tensors side by side: along dimension 1, vectors along 0.

    >>> import tinygrad_cnn as tg
    >>> tg.hstack([tg.ones(2, 1), tg.ones(2, 3)]).shape
    (2, 4)
    """
    rows = [x if x.ndim else x.reshape((1,)) for x in tensors]
    return cat(rows, dim=0 if rows and rows[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Array]) -> Tensor:
    """The tensors one under the other: along dimension 0, where a vector is one row.

    >>> import tinygrad_cnn as tg
    >>> tg.vstack([tg.ones(3), tg.ones(2, 3)]).shape
    (3, 3)
    """
    return cat([x if x.ndim > 1 else x.reshape((1, -1)) for x in tensors])


# ---- parts -------------------------------------------------------------------------------------------------


def _at(dim: int, item: Any) -> tuple[Any, ...]:
    return (*(slice(None),) * dim, item)


@numpy_words
def narrow(input: Array, dim: int, start: int, length: int) -> Tensor:
    """The slice of `length` elements along `dim` that begins at `start`; a view.

    >>> import tinygrad_cnn as tg
    >>> tg.narrow(tg.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    d = axis_of(dim, input.ndim)
    n = input.shape[d]
    if not -n <= start <= n or length < 0 or (start % n if start < 0 else start) + length > n:
        raise IndexError(f"narrow: start is {start}, length {length}, dimension {dim} has {n} elements")
    start = start % n if start < 0 else start
    return getitem_op(input, index=_at(d, slice(start, start + length)))


@numpy_words
def select(input: Array, dim: int, index: int) -> Tensor:
    """The slice at position `index` along `dim`, without that dimension; a view.

    >>> import tinygrad_cnn as tg
    >>> tg.select(tg.tensor([[1, 2], [3, 4]]), 1, 0)
    tensor([1, 3])
    """
    if not input.ndim:
        raise IndexError("select: the input has no dimensions, expected at least 1")
    d = axis_of(dim, input.ndim)
    if not -input.shape[d] <= index < input.shape[d]:
        raise IndexError(f"select: index is {index}, dimension {dim} has {input.shape[d]} elements")
    return getitem_op(input, index=_at(d, int(index)))


def split(
    tensor: Array,
    split_size_or_sections: int | Sequence[int] | None = None,
    dim: int = 0,
    *,
    split_size: int | Sequence[int] | None = None,
) -> tuple[Tensor, ...]:
    """Slices along `dim`: each of that many elements (the last may be smaller), or of the lengths listed.

    split_size: the same, by the name that it has in PyTorch's method.

    >>> import tinygrad_cnn as tg
    >>> [x.tolist() for x in tg.split(tg.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    size = split_size_or_sections if split_size is None else split_size
    if size is None or (split_size is not None and split_size_or_sections is not None):
        raise TypeError(f"split: the lengths are {split_size_or_sections} and {split_size}, expected one of the two")
    n = tensor.shape[axis_of(dim, tensor.ndim)] if tensor.ndim else 1
    if isinstance(size, int):
        if size < 0 or (size == 0 and n):
            raise ValueError(f"split: split_size is {size}, dimension {dim} has {n} elements")
        sections = [min(size, n - start) for start in range(0, n, size)] if n else [0]
    else:
        sections = list(size)
        if sum(sections) != n or min(sections, default=0) < 0:
            raise ValueError(
                f"split: sections are {sections}, in sum {sum(sections)}; dimension {dim} has {n} elements"
            )
    return tuple(narrow(tensor, dim, sum(sections[:i]), length) for i, length in enumerate(sections))


@numpy_words
def chunk(input: Array, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` slices along `dim`, equally long but for the last.

    >>> import tinygrad_cnn as tg
    >>> [x.tolist() for x in tg.chunk(tg.arange(5), 3)]
    [[0, 1], [2, 3], [4]]
    """
    if chunks < 1:
        raise ValueError(f"chunk: chunks is {chunks}, expected at least 1")
    n = input.shape[axis_of(dim, input.ndim)]
    return split(input, -(-n // chunks), dim) if n else (input,) * chunks


@numpy_words
def unbind(input: Array, dim: int = 0) -> tuple[Tensor, ...]:
    """All slices along `dim`, without that dimension.

    >>> import tinygrad_cnn as tg
    >>> tg.unbind(tg.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    d = axis_of(dim, input.ndim)
    return tuple(select(input, d, i) for i in range(input.shape[d]))


@op
def diagonal(input: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of the matrices that `dim1` and `dim2` span, as the last dimension; offset > 0 is above.

    >>> import tinygrad_cnn as tg
    >>> tg.diagonal(tg.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    view = np.diagonal(input, offset, *_plane(input.shape, dim1, dim2))
    view.flags.writeable = input.flags.writeable and owner_of(input).flags.writeable  # NumPy hands it out read-only
    return view


@diagonal.vjp("input")
def diagonal_grad(g: Array, offset: int, dim1: int, dim2: int, input_shape: tuple[int, ...]) -> Array:
    return diagonal_into(g, shape=input_shape, offset=offset, dim1=dim1, dim2=dim2)


@op
def diagonal_into(input: Array, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Any:
    """Zeros of `shape` with the input on a diagonal: the adjoint of `diagonal`."""
    out = np.zeros(shape, input.dtype)
    view = np.diagonal(out, offset, *_plane(shape, dim1, dim2))
    view.flags.writeable = True
    view[...] = input
    return out


@diagonal_into.vjp("input")
def diagonal_into_grad(g: Array, offset: int, dim1: int, dim2: int) -> Array:
    return diagonal(g, offset, dim1, dim2)


def _plane(shape: tuple[int, ...], dim1: int, dim2: int) -> tuple[int, int]:
    d1, d2 = axis_of(dim1, len(shape)), axis_of(dim2, len(shape))
    if d1 == d2:
        raise ValueError(f"dim1 and dim2 are {dim1} and {dim2}, expected two dimensions of {shape}")
    return d1, d2


def diag(input: Array, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix; or, of a vector, the matrix with it on the diagonal and zeros elsewhere.

    diagonal: which one, > 0 is above.

    >>> import tinygrad_cnn as tg
    >>> tg.diag(tg.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    >>> tg.diag(tg.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    if input.ndim == 2:
        return clone(input.diagonal(diagonal))
    if input.ndim != 1:
        raise ValueError(f"diag: input is {input.shape}, expected a vector or a matrix")
    n = input.shape[0] + abs(diagonal)
    return diagonal_into(input, shape=(n, n), offset=diagonal, dim1=0, dim2=1)


@op
def tril(input: Array, diagonal: int = 0) -> Any:
    """The matrices (*, H, W) with zeros above the given diagonal.

    >>> import tinygrad_cnn as tg
    >>> tg.tril(tg.ones(2, 2))
    tensor([[1., 0.],
            [1., 1.]])
    """
    _check_matrix(input)
    return np.tril(input, diagonal)


@tril.vjp("input")
def tril_grad(g: Array, diagonal: int) -> Array:
    return tril(g, diagonal)


@op
def triu(input: Array, diagonal: int = 0) -> Any:
    """The matrices (*, H, W) with zeros below the given diagonal.

    >>> import tinygrad_cnn as tg
    >>> tg.triu(tg.ones(2, 2))
    tensor([[1., 1.],
            [0., 1.]])
    """
    _check_matrix(input)
    return np.triu(input, diagonal)


@triu.vjp("input")
def triu_grad(g: Array, diagonal: int) -> Array:
    return triu(g, diagonal)


def _check_matrix(input: np.ndarray[Any, Any]) -> None:
    if input.ndim < 2:
        raise ValueError(f"input is {input.shape}, expected at least 2 dimensions")


# ---- turning round -----------------------------------------------------------------------------------------


@op
def flip(input: Array, dims: int | Sequence[int]) -> Any:
    """The order of the elements turned round along `dims`; a copy.

    >>> import tinygrad_cnn as tg
    >>> tg.flip(tg.tensor([1, 2, 3]), (0,))
    tensor([3, 2, 1])
    """
    axes = tuple([axis_of(d, input.ndim) for d in ((dims,) if isinstance(dims, int) else dims)])
    if len(set(axes)) < len(axes):
        raise ValueError(f"dims is {dims}, expected no dimension twice")
    return np.flip(input, axes).copy() if input.ndim else input.copy()


@flip.vjp("input")
def flip_grad(g: Array, dims: Sequence[int]) -> Array:
    return flip(g, dims)


@op
def roll(input: Array, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Any:
    """The elements moved on by `shifts` along `dims`, those at the end coming in at the front; None: as if flat.

    >>> import tinygrad_cnn as tg
    >>> tg.roll(tg.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    steps = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None or dims == ():
        if len(steps) != 1:
            raise ValueError(f"shifts are {steps}, expected one where dims is None")
        return np.roll(input, steps[0])
    axes = tuple(axis_of(d, input.ndim) for d in ((dims,) if isinstance(dims, int) else dims))
    if len(axes) != len(steps):
        raise ValueError(f"shifts are {steps}, dims {axes}: expected as many of each")
    if not input.ndim:
        raise IndexError(f"dims is {dims}, the input has no dimensions")
    return np.roll(input, steps, axes)


@roll.vjp("input")
def roll_grad(g: Array, shifts: int | Sequence[int], dims: Any) -> Array:
    return roll(g, -shifts if isinstance(shifts, int) else tuple(-s for s in shifts), dims)


# ---- padding -----------------------------------------------------------------------------------------------


@op
def pad_op(input: Array, pad: tuple[int, ...], value: float = 0.0) -> Any:
    """The input with `value` around it; negative numbers cut off. Its adjoint is itself, with the signs turned."""
    crop = [slice(None)] * input.ndim
    inside = [slice(None)] * input.ndim
    shape = list(input.shape)
    for d, before, after in _pairs(pad, input.ndim):
        n = shape[d]
        shape[d] = n + before + after
        if shape[d] < 0:
            raise ValueError(f"input is {input.shape}, dimension {d} becomes {n} + {before} + {after} = {shape[d]}")
        crop[d] = slice(max(-before, 0), n - max(-after, 0))
        inside[d] = slice(max(before, 0), shape[d] - max(after, 0))
    if min(pad, default=0) >= 0:
        out = np.full(shape, value, input.dtype) if value else np.zeros(shape, input.dtype)
        out[tuple(inside)] = input
        return out
    if max(pad) <= 0:
        return input[tuple(crop)]
    out = np.full(shape, value, input.dtype)
    part = input[tuple(crop)]
    if part.size:
        out[tuple(inside)] = part
    return out


pad_op.name = "pad"


@pad_op.vjp("input")
def pad_grad(g: Array, pad: tuple[int, ...]) -> Array:
    return pad_op(g, pad=tuple(-p for p in pad))


def pad(input: Array, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Elements added around the input, or cut off where a number is negative.

    pad: pairs (before, after), the last dimension's first. mode: "constant" (with `value`, 0 by default),
    "reflect" (mirrored, the border not repeated), "replicate" (the border repeated), "circular" (from the far end).

    >>> import tinygrad_cnn as tg
    >>> tg.pad(tg.tensor([1, 2, 3]), (2, 1), mode="reflect")
    tensor([3, 2, 1, 2, 3, 2])
    """
    amounts = tuple(int(p) for p in pad)
    if len(amounts) % 2 or len(amounts) > 2 * input.ndim:
        raise ValueError(f"pad: pad is {amounts}, expected pairs for at most {input.ndim} dimensions")
    if mode == "constant":
        out = pad_op(input, pad=amounts, value=value or 0.0)
        only_cut = min(amounts, default=0) < 0 and max(amounts) <= 0
        return clone(out) if only_cut else out  # what is left of an input is a view of it
    if value:
        raise ValueError(f"pad: value is {value}, mode {mode!r} has none")
    return _pad_by_position(input, amounts, mode)


@composite
def _pad_by_position(input: Array, pad: tuple[int, ...], mode: str) -> Any:
    if mode not in ("reflect", "replicate", "circular"):
        raise ValueError(f"pad: mode is {mode!r}, expected 'constant', 'reflect', 'replicate' or 'circular'")
    if not any(pad):
        return clone(input)
    for d, before, after in _pairs(pad, input.ndim):
        if before or after:
            input = index_select(input, d, _padded_positions(input.shape, d, before, after, mode))
    return input


def _padded_positions(shape: tuple[int, ...], dim: int, before: int, after: int, mode: str) -> Any:
    """Which elements of the input stand along a padded dimension."""
    n = shape[dim]
    most = {"reflect": n - 1, "replicate": max(before, after) if n else 0, "circular": n}[mode]
    if max(before, after) > most:
        raise ValueError(f"pad: mode {mode!r} pads dimension {dim} of {shape} by at most {most}, not {(before, after)}")
    more = (max(before, 0), max(after, 0))
    part = slice(max(-before, 0), min(after, 0) or None)
    if mode == "circular":  # what is cut off does not come in again at the far end
        return np.pad(np.arange(n)[part], more, "wrap")
    return np.pad(np.arange(n), more, "reflect" if mode == "reflect" else "edge")[part]


def _pairs(pad: tuple[int, ...], ndim: int) -> list[tuple[int, int, int]]:
    """(dimension, before, after), of which `pad` lists the last dimension's first."""
    return [(ndim - 1 - i, pad[2 * i], pad[2 * i + 1]) for i in range(len(pad) // 2)]


# ---- windows -----------------------------------------------------------------------------------------------


def _pair(name: str, value: int | Sequence[int], least: int) -> tuple[int, int]:
    a, b = (value, value) if isinstance(value, int) else value
    if min(a, b) < least:
        raise ValueError(f"{name} is {value}, expected at least {least}")
    return a, b


class _Windows:
    """The places where a kernel stands on an image (H, W): how many, and what each of its taps sees."""

    def __init__(self, size: Sequence[int], kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> None:
        self.size = tuple(size)
        self.kernel = _pair("kernel_size", kernel_size, 1)
        self.dilation = _pair("dilation", dilation, 1)
        self.padding = _pair("padding", padding, 0)
        self.stride = _pair("stride", stride, 1)
        self.out = tuple(map(self._count, ("H", "W"), range(2)))

    def _count(self, name: str, i: int) -> int:
        n, k, d, p, s = self.size[i], self.kernel[i], self.dilation[i], self.padding[i], self.stride[i]
        count = (n + 2 * p - d * (k - 1) - 1) // s + 1
        if count < 1:
            raise ValueError(f"the kernel does not fit: {name}: ({n} + 2*{p} - {d}*({k} - 1) - 1)//{s} + 1 = {count}")
        return count

    @property
    def padded(self) -> tuple[int, int]:
        return self.size[0] + 2 * self.padding[0], self.size[1] + 2 * self.padding[1]

    @property
    def inside(self) -> tuple[Any, ...]:
        return (..., *(slice(p, p + n) for p, n in zip(self.padding, self.size, strict=True)))

    def taps(self) -> list[tuple[int, int, Any]]:
        """(i, j, index): where in the padded image the tap (i, j) stands in all windows."""
        (kh, kw), (dh, dw), (sh, sw), (oh, ow) = self.kernel, self.dilation, self.stride, self.out
        return [
            (i, j, (..., slice(i * dh, i * dh + oh * sh, sh), slice(j * dw, j * dw + ow * sw, sw)))
            for i in range(kh)
            for j in range(kw)
        ]


@op
def unfold(input: Array, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Each window of the image as a column: (N, C, H, W) -> (N, C·KH·KW, windows); also without N.

    >>> import tinygrad_cnn as tg
    >>> tg.unfold(tg.ones(1, 2, 4, 4), kernel_size=3).shape
    (1, 18, 4)
    """
    if input.ndim not in (3, 4):
        raise ValueError(f"input is {input.shape}, expected (N, C, H, W) or (C, H, W)")
    windows = _Windows(input.shape[-2:], kernel_size, dilation, padding, stride)
    padded = np.zeros((*input.shape[:-2], *windows.padded), input.dtype)
    padded[windows.inside] = input
    out = np.empty((*input.shape[:-2], *windows.kernel, *windows.out), input.dtype)  # (N, C, KH, KW, OH, OW)
    for i, j, view in windows.taps():
        out[..., i, j, :, :] = padded[view]
    *batch, c = input.shape[:-2]
    return out.reshape(*batch, c * math.prod(windows.kernel), math.prod(windows.out))


@unfold.vjp("input")
def unfold_grad(
    g: Array, kernel_size: Any, dilation: Any, padding: Any, stride: Any, input_shape: tuple[int, ...]
) -> Array:
    return fold(g, input_shape[-2:], kernel_size, dilation, padding, stride)


@op
def fold(input: Array, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Columns put back into an image, summed where windows overlap: (N, C·KH·KW, windows) -> (N, C, H, W).

    The adjoint of `unfold`, not its inverse.

    >>> import tinygrad_cnn as tg
    >>> tg.fold(tg.ones(1, 4, 4), output_size=(3, 3), kernel_size=2)
    tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]])
    """
    windows = _Windows(_pair("output_size", output_size, 1), kernel_size, dilation, padding, stride)
    taps, count = math.prod(windows.kernel), math.prod(windows.out)
    if input.ndim not in (2, 3) or input.shape[-2] % taps or input.shape[-1] != count:
        raise ValueError(f"input is {input.shape}, expected (N, C*{taps}, {count}) or (C*{taps}, {count})")
    *batch, rows, _ = input.shape
    columns = input.reshape(*batch, rows // taps, *windows.kernel, *windows.out)  # (N, C, KH, KW, OH, OW)
    padded = np.zeros((*batch, rows // taps, *windows.padded), input.dtype)
    for i, j, view in windows.taps():
        padded[view] += columns[..., i, j, :, :]
    return padded[windows.inside]


@fold.vjp("input")
def fold_grad(g: Array, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Array:
    return unfold(g, kernel_size, dilation, padding, stride)


def unfold_along(input: Array, dimension: int, size: int, step: int) -> Any:
    """The runs of `size` elements along a dimension, one every `step`; the elements of a run are a new last dimension.

    `Tensor.unfold` is this function.

    >>> import tinygrad_cnn as tg
    >>> tg.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    if not input.ndim:
        return narrow(input.reshape((1,)), 0, 0, size)
    d = axis_of(dimension, input.ndim)
    n = input.shape[d]
    if not 0 <= size <= n or step < 1:
        raise ValueError(f"unfold: size is {size}, step {step}: expected at most the {n} elements of {input.shape}")
    starts = np.arange(0, n - size + 1, step)
    runs = index_select(input, d, (starts[:, None] + np.arange(size)).reshape(-1))
    return movedim(runs.reshape((*input.shape[:d], len(starts), size, *input.shape[d + 1 :])), d + 1, -1)


# ---- resizing images ---------------------------------------------------------------------------------------


@composite
def pixel_shuffle(input: Array, upscale_factor: int) -> Any:
    """(*, C·r², H, W) -> (*, C, H·r, W·r): channels become r × r blocks of pixels (Shi et al., 2016).

    >>> import tinygrad_cnn as tg
    >>> tg.pixel_shuffle(tg.ones(1, 8, 2, 3), 2).shape
    (1, 2, 4, 6)
    """
    r = upscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-3] % (r * r):
        raise ValueError(f"pixel_shuffle: input is {input.shape}, expected (*, C*{r * r}, H, W)")
    if r == 1:
        return clone(input)
    *batch, c, h, w = input.shape
    x = input.reshape((*batch, c // (r * r), r, r, h, w))
    n = len(batch)
    x = permute(x, (*range(n + 1), n + 3, n + 1, n + 4, n + 2))  # (*, C, r, r, H, W) -> (*, C, H, r, W, r)
    return x.reshape((*batch, c // (r * r), h * r, w * r))


@composite
def pixel_unshuffle(input: Array, downscale_factor: int) -> Any:
    """(*, C, H·r, W·r) -> (*, C·r², H, W): the inverse of `pixel_shuffle`.

    >>> import tinygrad_cnn as tg
    >>> tg.pixel_unshuffle(tg.ones(1, 2, 4, 6), 2).shape
    (1, 8, 2, 3)
    """
    r = downscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-2] % r or input.shape[-1] % r:
        raise ValueError(f"pixel_unshuffle: input is {input.shape}, expected (*, C, H*{r}, W*{r})")
    if r == 1:
        return clone(input)
    *batch, c, h, w = input.shape
    x = input.reshape((*batch, c, h // r, r, w // r, r))
    n = len(batch)
    x = permute(x, (*range(n + 1), n + 2, n + 4, n + 1, n + 3))  # (*, C, H, r, W, r) -> (*, C, r, r, H, W)
    return x.reshape((*batch, c * r * r, h // r, w // r))


_Taps = list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]]
"""A resized dimension as a sum: for each term the positions in the input, and their weights (None for 1)."""
_ToTaps = Callable[[int, int, float, bool], _Taps]
"""The taps for an old length, a new one, the step between the new pixels in old ones, and align_corners."""


def _nearest(n: int, out: int, scale: float, align_corners: bool) -> _Taps:
    positions = np.floor(np.arange(out, dtype=np.float32) * np.float32(scale))
    return [(np.minimum(positions.astype(np.int64), n - 1), None)]


def _nearest_exact(n: int, out: int, scale: float, align_corners: bool) -> _Taps:
    positions = np.floor((np.arange(out, dtype=np.float32) + np.float32(0.5)) * np.float32(scale))
    return [(np.minimum(positions.astype(np.int64), n - 1), None)]


def _linear(n: int, out: int, scale: float, align_corners: bool) -> _Taps:
    x = np.maximum(_coordinates(out, scale, align_corners), 0.0)
    low = np.minimum(x.astype(np.int64), n - 1)
    weight = np.clip(x - low, 0.0, 1.0)
    return [(low, 1.0 - weight), (np.minimum(low + 1, n - 1), weight)]


def _cubic(n: int, out: int, scale: float, align_corners: bool) -> _Taps:
    x = _coordinates(out, scale, align_corners)
    low = np.floor(x).astype(np.int64)
    places = [low + offset for offset in (-1, 0, 1, 2)]
    return [(np.clip(place, 0, n - 1), _keys(np.abs(x - place), -0.75)) for place in places]


def _keys(s: np.ndarray[Any, Any], a: float) -> np.ndarray[Any, Any]:
    """The weight at a distance s >= 0 (Keys, "Cubic convolution interpolation", 1981)."""
    near = ((a + 2) * s - (a + 3)) * s * s + 1
    far = ((a * s - 5 * a) * s + 8 * a) * s - 4 * a
    return np.where(s <= 1, near, np.where(s < 2, far, 0.0))


def _antialiased(reach: int, kernel: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> _ToTaps:
    """Means weighted by a kernel that ends at `reach`, as wide as a new pixel where that is larger than an old one."""

    def taps(n: int, out: int, scale: float, align_corners: bool) -> _Taps:
        stretch = max(scale, 1.0)
        centers = (np.arange(out) + 0.5) * scale
        first = np.maximum((centers - reach * stretch + 0.5).astype(np.int64), 0)
        end = np.minimum((centers + reach * stretch + 0.5).astype(np.int64), n)
        places = first + np.arange((end - first).max())[:, None]  # (taps, out)
        weights = np.where(places < end, kernel(np.abs(places + 0.5 - centers) / stretch), 0.0)
        return list(zip(np.minimum(places, n - 1), weights / weights.sum(0), strict=True))

    return taps


def _coordinates(out: int, scale: float, align_corners: bool) -> np.ndarray[Any, Any]:
    """Where the new pixels lie in the old image: corner on corner, or (as usual) as areas whose centres count."""
    return np.arange(out) * scale if align_corners else (np.arange(out) + 0.5) * scale - 0.5


_MODES: dict[str, tuple[tuple[int, ...], _ToTaps]] = {
    "nearest": ((3, 4, 5), _nearest),
    "nearest-exact": ((3, 4, 5), _nearest_exact),
    "linear": ((3,), _linear),
    "bilinear": ((4,), _linear),
    "trilinear": ((5,), _linear),
    "bicubic": ((4,), _cubic),
}
_ANTIALIASED: dict[str, tuple[tuple[int, ...], _ToTaps]] = {
    "bilinear": ((4,), _antialiased(1, lambda s: np.maximum(1.0 - s, 0.0))),
    "bicubic": ((4,), _antialiased(2, lambda s: _keys(s, -0.5))),
    "lanczos": ((4,), _antialiased(3, lambda s: np.where(s < 3, np.sinc(s) * np.sinc(s / 3), 0.0))),
}


@composite
def interpolate(
    input: Array,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Images (N, C, *S) resized to `size`, or by `scale_factor`; one number stands for all dimensions of S.

    mode: "nearest", "nearest-exact", "area" (means), "linear" for (N, C, L), "bilinear" and "bicubic" for
    (N, C, H, W), "trilinear" for (N, C, D, H, W). align_corners: the centres of the corner pixels stay in place.
    The step between pixels is 1 / scale_factor; with recompute_scale_factor, or where `size` is given, the
    quotient of the two sizes. antialias: where an image shrinks, each new pixel is a mean over all that it covers
    ("bilinear" and "bicubic", and "lanczos", which has no other form).

    >>> import tinygrad_cnn as tg
    >>> tg.interpolate(tg.tensor([[[1.0, 2.0]]]), scale_factor=2, mode="linear")
    tensor([[[1.0000, 1.2500, 1.7500, 2.0000]]])
    """
    if mode == "area" and not antialias:
        return _area(input, size, scale_factor)
    modes = _ANTIALIASED if antialias else _MODES
    if mode not in modes:
        raise ValueError(
            f"interpolate: mode is {mode!r}, expected one of {', '.join(map(repr, modes))} where antialias={antialias}"
        )
    ndims, taps = modes[mode]
    if input.ndim not in ndims:
        raise ValueError(f"interpolate: input is {input.shape}, mode {mode!r} expects {ndims} dimensions")
    if (align_corners is not None and mode.startswith("nearest")) or (align_corners and mode == "lanczos"):
        raise ValueError(f"interpolate: align_corners is {align_corners}, mode {mode!r} has none")
    if input.dtype == np.uint8 and not mode.startswith("nearest"):  # pixels: between them as floats, then rounded
        pixels = cast(input, np.float32)
        resized = interpolate(pixels, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
        return cast(clamp(round(resized), 0, 255), np.uint8)
    lengths = input.shape[2:]
    new, scales = _new_size(lengths, size, scale_factor, bool(recompute_scale_factor))
    if not all(lengths) or min(new) < 1:
        raise ValueError(f"interpolate: input is {input.shape}, the new size {new}: expected lengths of at least 1")
    # As PyTorch has it: by scale_factor=1.1, 5 pixels are resampled to 5 others in some modes, in the others they stay.
    stays = antialias or mode.endswith("linear") or (mode == "nearest" and input.ndim == 4)
    for d, (n, out, scale) in enumerate(zip(lengths, new, scales, strict=True), start=2):
        if align_corners:
            scale = (n - 1) / (out - 1) if out > 1 else 0.0
        if n != out or not (scale == 1 or stays):
            input = _resize(input, d, taps(n, out, scale, bool(align_corners)))
    return input if new != lengths else clone(input)  # never the input's own memory


def _area(input: Any, size: Any, scale_factor: Any) -> Any:
    from tinygrad_cnn.ops import pool  # pool is built on this file

    if input.ndim not in (3, 4, 5):
        raise ValueError(f"interpolate: input is {input.shape}, mode 'area' expects (3, 4, 5) dimensions")
    new, _ = _new_size(input.shape[2:], size, scale_factor, False)
    means = {3: pool.adaptive_avg_pool1d, 4: pool.adaptive_avg_pool2d, 5: pool.adaptive_avg_pool3d}
    return means[input.ndim](input, new)


def _new_size(
    lengths: tuple[int, ...], size: Any, factor: Any, recompute: bool
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The new lengths, and the step between the new pixels, in old ones."""
    if (size is None) == (factor is None):
        raise ValueError(f"interpolate: size is {size}, scale_factor {factor}, expected one of them")
    given = size if factor is None else factor
    values = tuple(given) if isinstance(given, (tuple, list)) else (given,) * len(lengths)
    if len(values) != len(lengths):
        raise ValueError(f"interpolate: {values} for {len(lengths)} dimensions {lengths}")
    if factor is None:
        return tuple(values), tuple(n / max(out, 1) for n, out in zip(lengths, values, strict=True))
    new = tuple(math.floor(n * f) for n, f in zip(lengths, values, strict=True))
    if recompute:
        return new, tuple(n / max(out, 1) for n, out in zip(lengths, new, strict=True))
    return new, tuple(1 / f for f in values)


def _resize(input: Any, dim: int, taps: _Taps) -> Any:
    total = None
    for positions, weights in taps:
        term = index_select(input, dim, positions)
        if weights is not None:
            term = term * weights.astype(input.dtype).reshape((-1,) + (1,) * (input.ndim - dim - 1))
        total = term if total is None else total + term
    return total

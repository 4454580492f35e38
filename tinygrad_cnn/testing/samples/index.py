"""Rows of the ops that read and write by position."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tinygrad_cnn import ops
from tinygrad_cnn.ops import index as positions
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.sample import Sample
from tinygrad_cnn.testing.samples.reduce import one_dim, reductions
from tinygrad_cnn.testing.spec import ErrorCase, OpSpec, register_op


@st.composite
def _read(draw: DrawFn) -> Sample:
    shape = draw(ts.shapes(1, 3))
    return Sample((draw(ts.arrays(shape)),), {"index": _items(draw(ts.indices(shape)))})


def _items(index: Any) -> Any:
    """An index as the ops behind `x[index]` take it: without masks, and without integers beside positions."""
    items = index if isinstance(index, tuple) else (index,)
    found = [np.flatnonzero(x) if isinstance(x, np.ndarray) and x.dtype == bool else x for x in items]
    if any(isinstance(x, np.ndarray) for x in found):
        found = [slice(x, x + 1 or None) if isinstance(x, int) else x for x in found if x is not None]
    return tuple(found)


@st.composite
def _write(draw: DrawFn, once: bool) -> Sample:
    shape = draw(ts.shapes(1, 3))
    index = _items(draw(ts.indices(shape)))
    if once:  # a position that occurs twice has no gradient
        index = tuple(np.unique(x % shape[i]) if isinstance(x, np.ndarray) else x for i, x in enumerate(index))
        index = index if sum(isinstance(x, np.ndarray) for x in index) < 2 else (Ellipsis,)
    part = np.empty(shape)[index]
    if once:
        return Sample((draw(ts.arrays(shape)), draw(ts.arrays(part.shape))), {"index": index})
    return Sample((draw(ts.arrays(part.shape)),), {"index": index, "shape": shape})


@st.composite
def _gathered(draw: DrawFn, writes: bool, unique: bool = False) -> Sample:
    shape = draw(ts.shapes(1, 3))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    rng = np.random.default_rng(draw(ts.seeds()))
    part = tuple(draw(st.integers(1, n)) for n in shape)
    index = rng.integers(0, shape[dim], part)
    if unique:
        index = np.argsort(rng.random((*part[: dim % len(shape)], shape[dim], *part[dim % len(shape) + 1 :])), axis=dim)
        index = index[tuple(slice(n) for n in part)]
    x = draw(ts.arrays(shape))
    if not writes:
        return Sample((x, dim, index))
    more = tuple(n + draw(st.integers(0, 1)) for n in index.shape)  # only a part of it is used
    return Sample((x, dim, index, draw(ts.arrays(more))))


@st.composite
def _rows(draw: DrawFn, writes: bool) -> Sample:
    shape = draw(ts.shapes(1, 3))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    index = np.random.default_rng(draw(ts.seeds())).integers(0, shape[dim], draw(st.integers(1, 4)))
    x = draw(ts.arrays(shape))
    if not writes:
        return Sample((x, dim, index))
    at = dim % len(shape)
    source = draw(ts.arrays((*shape[:at], len(index), *shape[at + 1 :])))
    return Sample((x, dim, index, source), {"alpha": draw(st.sampled_from([1, -2.0]))})


@st.composite
def _words(draw: DrawFn) -> Sample:
    rows = draw(st.integers(1, 4))
    weight = draw(ts.arrays((rows, draw(st.integers(1, 3)))))
    how = {"padding_idx": draw(st.sampled_from([None, 0, -1])), "scale_grad_by_freq": draw(st.booleans())}
    return Sample((draw(ts.class_labels(draw(ts.shapes(0, 2)), rows)), weight), how)


_beyond = ErrorCase(Sample((np.ones((2, 3)), 1, np.array([[3]]))), IndexError, "an index is 3, expected 0 to 2")
_linear = ("input", "src", "source", "values", "weight")
register_op(
    OpSpec(positions.getitem_op, inputs=_read(), reference=lambda x, index: x[index], linear_in=_linear, views=True)
)
register_op(OpSpec(positions.scatter_into, inputs=_write(False), linear_in=_linear))
register_op(OpSpec(positions.put, inputs=_write(True), linear_in=_linear))
register_op(
    OpSpec(
        ops.gather,
        inputs=_gathered(False),
        reference=lambda x, dim, index: np.take_along_axis(x[tuple(
            slice(None) if d == dim % x.ndim else slice(n) for d, n in enumerate(index.shape)
        )], index, dim),
        linear_in=_linear,
        errors=[_beyond],
    )
)  # fmt: skip
register_op(OpSpec(ops.scatter_add, inputs=_gathered(True), linear_in=_linear))
register_op(OpSpec(positions.scatter_op, inputs=_gathered(True, unique=True), linear_in=_linear))


def _product_reference(x: Any, dim: int, index: Any, src: Any, reduce: str) -> Any:
    out = x.copy()
    for at in np.ndindex(index.shape):
        place = list(at)
        place[dim] = index[at]
        out[tuple(place)] *= src[at]
    return out


register_op(
    OpSpec(
        ops.scatter,
        name="scatter that multiplies",
        inputs=_gathered(True).map(lambda sample: Sample(sample.args, {"reduce": "multiply"})),
        reference=_product_reference,
        linear_in=("input",),
    )
)


@st.composite
def _reduced(draw: DrawFn, values: ts.Values, *kinds: str) -> Sample:
    x, dim, index, src = draw(_gathered(True)).args
    both = draw(ts.arrays((x.size + src.size,), values=values))  # so that no two of all of them are near to each other
    parts = (both[: x.size].reshape(x.shape), dim, index, both[x.size :].reshape(src.shape))
    return Sample(parts, {"reduce": draw(st.sampled_from(kinds)), "include_self": draw(st.booleans())})


def _extreme(sample: Sample) -> Sample:
    reduce, include_self = sample.kwargs.values()
    return Sample((*sample.args, reduce == "amax", include_self))


def _reduce_reference(x: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool) -> Any:
    named: dict[tuple[int, ...], list[Any]] = {}
    for at in np.ndindex(index.shape):
        to = list(at)
        to[dim] = index[at]
        named.setdefault(tuple(to), [x[tuple(to)]] if include_self else []).append(src[at])
    out = x.copy()
    for place, values in named.items():
        out[place] = getattr(np, reduce)(values)
    return out


register_op(
    OpSpec(
        positions.scatter_extreme,
        inputs=_reduced("separated", "amax", "amin").map(_extreme),
        reference=lambda x, dim, index, src, largest, own: _reduce_reference(
            x, dim, index, src, "amax" if largest else "amin", own
        ),
        kinks=_reduced("ties", "amax", "amin").map(_extreme),
    )
)
register_op(
    OpSpec(
        ops.scatter_reduce,
        name="scatter_reduce by arithmetic",
        inputs=_reduced("normal", "sum", "prod", "mean"),
        reference=_reduce_reference,
        linear_in=("input",),
        kinks=_reduced("ties", "prod"),  # no kinks, but zeros
    )
)
register_op(
    OpSpec(
        ops.index_select,
        inputs=_rows(False),
        reference=lambda x, dim, index: np.take(x, index, dim),
        linear_in=_linear,
        errors=[ErrorCase(Sample((np.ones(2), 0, np.array([2]))), IndexError, "an index is 2, expected 0 to 1")],
    )
)
register_op(OpSpec(ops.index_add, inputs=_rows(True), linear_in=_linear))


def _embedding_reference(index: Any, weight: Any, **_: Any) -> Any:
    return weight[index]


def padded(index: Any, weight: Any, padding_idx: int | None, scale_grad_by_freq: bool) -> Any:
    """The rows of a table whose gradients are made by cutting parts of it off from them."""
    if padding_idx is not None:
        here = np.arange(len(weight))[:, None] == padding_idx % len(weight)
        weight = ops.where(here, weight.detach(), weight)
    if scale_grad_by_freq:
        part = weight / ops.clamp_min(ops.bincount(index.reshape((-1,)), minlength=len(weight)), 1)[:, None]
        weight = part + (weight - part).detach()
    return ops.getitem(weight, index)


register_op(
    OpSpec(
        positions.embedding_op,
        inputs=_words(),
        reference=_embedding_reference,
        identities=[padded],
        # No gradient for the row of padding_idx, smaller ones for frequent rows: they are none of the values.
        without=("slopes", "jacobian", "second", "scales", "adjoint"),
        edges=[Sample((np.zeros((0,), np.int64), np.ones((2, 3))))],
        errors=[ErrorCase(Sample((np.array([2]), np.ones((2, 3)))), IndexError, "an index is 2, expected 0 to 1")],
    )
)
register_op(
    OpSpec(
        ops.embedding,
        name="embedding without padding",
        inputs=_words().map(lambda sample: Sample(sample.args)),
        linear_in=_linear,
    )
)
register_op(OpSpec(ops.one_hot, inputs=ts.calls(ts.class_labels((2, 3), 4), num_classes=st.sampled_from([-1, 4, 6]))))
register_op(OpSpec(positions.argwhere, inputs=ts.arrays(values="sparse"), reference=np.argwhere))
register_op(
    OpSpec(
        ops.argsort,
        inputs=reductions("ties", several=False, keep=False).map(one_dim),
        reference=lambda x, dim: np.argsort(x, dim, kind="stable") if x.ndim else np.zeros((), np.int64),
    )
)

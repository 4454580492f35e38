"""Rows of the ops that move elements about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tinygrad_cnn import autograd, ops
from tinygrad_cnn.ops import shape as moves
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.sample import Sample
from tinygrad_cnn.testing.spec import ErrorCase, OpSpec, register_op

Params = Callable[[DrawFn, ts.Shape], dict[str, Any]]


@st.composite
def moved(draw: DrawFn, params: Params, least: int = 0, most: int = 4, side: int = 1) -> Sample:
    """An array of `least` to `most` dimensions, and parameters that `params` draws for its shape."""
    shape = draw(ts.shapes(least, most, side))
    return Sample((draw(ts.arrays(shape)),), params(draw, shape))


def move(op: Any, params: Params, least: int = 0, most: int = 4, side: int = 1, **facts: Any) -> None:
    """Register an op that is linear and moves the elements of one array."""
    register_op(OpSpec(op, inputs=moved(params, least, most, side), linear_in=("input",), **facts))


def _dim(draw: DrawFn, shape: ts.Shape) -> int:
    return draw(st.integers(-len(shape), len(shape) - 1))


def _split(draw: DrawFn, shape: ts.Shape) -> dict[str, Any]:
    dim = _dim(draw, shape)
    return {"dim": dim, "sizes": draw(st.sampled_from([(shape[dim], 1), (1, -1), (1, shape[dim])]))}


def _range(draw: DrawFn, shape: ts.Shape) -> dict[str, Any]:
    start = draw(st.integers(0, max(len(shape) - 1, 0)))
    return {"start_dim": start, "end_dim": draw(st.integers(start, max(len(shape) - 1, start)))}


def _order(draw: DrawFn, shape: ts.Shape) -> dict[str, Any]:
    return {"dims": tuple(draw(st.permutations(range(len(shape)))))}


def _some(draw: DrawFn, shape: ts.Shape) -> tuple[int, ...]:
    return tuple(i for i in range(len(shape)) if draw(st.booleans()))


def _diagonal(draw: DrawFn, shape: ts.Shape) -> dict[str, Any]:
    dims = draw(st.permutations(range(len(shape))))
    return {"offset": draw(st.integers(-1, 2)), "dim1": dims[0], "dim2": dims[1]}


def _rolled(draw: DrawFn, shape: ts.Shape) -> dict[str, Any]:
    dims = _some(draw, shape)
    return (
        {"shifts": tuple(draw(st.integers(-3, 3)) for _ in dims), "dims": dims} if dims else {"shifts": 2, "dims": None}
    )


def _padded(draw: DrawFn, shape: ts.Shape) -> dict[str, Any]:
    dims = draw(st.integers(0, len(shape)))
    return {"pad": tuple(draw(st.integers(0, 2)) for _ in range(2 * dims)), "value": draw(st.sampled_from([0.0, -1.5]))}


_edges: dict[str, Any] = {
    "edges": [Sample((np.ones(()),), {"shape": (1, 1)}), Sample((np.ones((0, 2)),), {"shape": (2, 0)})]
}
_wrong = ErrorCase(Sample((np.ones((2, 3)),), {"shape": (4, 2)}), ValueError, "reshape: ")
move(
    ops.reshape,
    lambda draw, s: {"shape": draw(st.sampled_from([(-1,), (*s, 1), s[::-1]]))},
    views=True,
    errors=[_wrong],
    **_edges,
)
move(ops.flatten, _range, views=True)
move(ops.unflatten, _split, 1, views=True)
move(ops.squeeze, lambda draw, s: {"dim": draw(st.sampled_from([None, *range(len(s))]))}, views=True)
move(ops.unsqueeze, lambda draw, s: {"dim": draw(st.integers(-len(s) - 1, len(s)))}, views=True)
move(ops.permute, _order, 0, views=True, reference=lambda x, dims: np.transpose(x, dims))
move(
    ops.transpose,
    lambda draw, s: {"dim0": _dim(draw, s), "dim1": _dim(draw, s)},
    1,
    views=True,
    reference=lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1),
)
move(
    moves.repeat_op,
    lambda draw, s: {"repeats": tuple(draw(st.integers(1, 3)) for _ in s)},
    reference=lambda x, repeats: np.tile(x, repeats),
    views=True,
)
move(ops.diagonal, _diagonal, 2, views=True, reference=lambda x, offset, dim1, dim2: np.diagonal(x, offset, dim1, dim2))
move(
    ops.tril,
    lambda draw, s: {"diagonal": draw(st.integers(-2, 2))},
    2,
    reference=lambda x, diagonal: np.tril(x, diagonal),
)
move(
    ops.triu,
    lambda draw, s: {"diagonal": draw(st.integers(-2, 2))},
    2,
    reference=lambda x, diagonal: np.triu(x, diagonal),
)
move(ops.flip, lambda draw, s: {"dims": _some(draw, s)}, views=True, reference=lambda x, dims: np.flip(x, dims))
move(ops.roll, _rolled, reference=lambda x, shifts, dims: np.roll(x, shifts, dims), views=True)
move(moves.pad_op, _padded, 0, 3, views=True)
move(
    autograd.broadcast_to,
    lambda draw, s: {"shape": (*draw(ts.shapes(0, 2)), *(draw(st.integers(1, 3)) if n == 1 else n for n in s))},
    views=True,
    reference=lambda x, shape: np.broadcast_to(x, shape),
)
move(
    autograd.sum_to,
    lambda draw, s: {"shape": tuple(draw(st.sampled_from([1, n])) for n in s)[draw(st.integers(0, len(s))) :]},
    views=True,
)


@st.composite
def _on_diagonal(draw: DrawFn) -> Sample:
    shape = draw(ts.shapes(2, 3))
    params = _diagonal(draw, shape)
    line = np.diagonal(np.empty(shape), params["offset"], params["dim1"], params["dim2"])
    return Sample((draw(ts.arrays(line.shape)),), {"shape": shape, **params})


register_op(OpSpec(moves.diagonal_into, inputs=_on_diagonal(), linear_in=("input",)))


@st.composite
def _several(draw: DrawFn, same: bool) -> Sample:
    shape = draw(ts.shapes(1, 3))
    dim, count = draw(st.integers(0, len(shape) - 1)), draw(st.integers(1, 3))
    found = []
    for _ in range(count):
        side = shape[dim] if same else draw(st.integers(1, 3))
        found.append(draw(ts.arrays((*shape[:dim], side, *shape[dim + 1 :]))))
    return Sample(tuple(found), {"dim": dim - len(shape) * draw(st.booleans()) if not same else dim})


_unequal = ErrorCase(Sample((np.ones((2, 3)), np.ones((3, 3))), {"dim": 1}), ValueError, "cat: ")
register_op(
    OpSpec(
        moves.cat_op,
        inputs=_several(False),
        reference=lambda *xs, dim: np.concatenate(xs, dim),
        linear_in=("tensors",),
        errors=[_unequal],
    )
)
register_op(
    OpSpec(moves.stack_op, inputs=_several(True), reference=lambda *xs, dim: np.stack(xs, dim), linear_in=("tensors",))
)


@st.composite
def _windows(draw: DrawFn) -> Sample:
    pool = draw(ts.pool_args(2, "normal"))
    return Sample(pool.args, {name: pool.kwargs[name] for name in ("kernel_size", "dilation", "padding", "stride")})


@st.composite
def _columns(draw: DrawFn) -> Sample:
    image = draw(_windows())
    columns = image.call(ops.unfold).shape
    return Sample((draw(ts.arrays(columns)),), {"output_size": image.args[0].shape[-2:], **image.kwargs})


register_op(OpSpec(ops.unfold, inputs=_windows(), linear_in=("input",)))
register_op(OpSpec(ops.fold, inputs=_columns(), linear_in=("input",)))

_image = ts.arrays(st.tuples(*[st.integers(1, 2)] * 2, *[st.integers(2, 4)] * 2))
_resized = st.tuples(st.integers(1, 6), st.integers(1, 6))
register_op(
    OpSpec(
        ops.interpolate,
        inputs=ts.calls(_image, size=_resized, mode=st.sampled_from(["nearest", "bilinear", "bicubic"])),
        linear_in=("input",),
        batched=("input",),
        views=True,
    )
)
register_op(
    OpSpec(
        ops.interpolate,
        name="interpolate without aliases",
        inputs=ts.calls(
            _image, size=_resized, mode=st.sampled_from(["bilinear", "bicubic", "lanczos"]), antialias=st.just(True)
        ),
        linear_in=("input",),
        batched=("input",),
        views=True,
    )
)
_padding = st.tuples(*[st.integers(-1, 1)] * 4)
register_op(
    OpSpec(
        ops.pad,
        name="pad modes",
        inputs=ts.calls(_image, pad=_padding, mode=st.sampled_from(["constant", "reflect", "replicate", "circular"])),
        linear_in=("input",),
    )
)
_tall = ts.arrays(st.tuples(st.integers(1, 2), st.sampled_from([4, 8]), st.integers(1, 3), st.integers(1, 3)))
_wide = ts.arrays(st.tuples(st.integers(1, 2), st.integers(1, 2), st.sampled_from([2, 4]), st.sampled_from([2, 4])))
register_op(OpSpec(ops.pixel_shuffle, inputs=ts.calls(_tall, 2), linear_in=("input",), batched=("input",), views=True))
register_op(
    OpSpec(ops.pixel_unshuffle, inputs=ts.calls(_wide, 2), linear_in=("input",), batched=("input",), views=True)
)

"""Rows of the element-wise ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from scipy import special

from tinygrad_cnn import autograd, ops
from tinygrad_cnn.ops import comparison, elementwise, trigonometry
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.sample import Sample
from tinygrad_cnn.testing.spec import ErrorCase, OpSpec, register_op

SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (0, 3), (1, 1, 1))
PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (((), ()), ((0,), ()), ((3, 1), (0,)), ((1,), (1, 1)))


def pointwise(
    op: Any,
    reference: Callable[..., Any] | None = None,
    values: ts.Values = "normal",
    low: float | None = None,
    high: float | None = None,
    corners: tuple[float, ...] = (),
    **facts: Any,
) -> None:
    """Register an op of one array, whose kinks and jumps lie at `corners`."""
    inputs = ts.arrays(values=values, low=low, high=high)
    middle = 1.0 if low is None and high is None else (low or 0.0) + 0.5
    facts.setdefault("edges", [Sample((np.full(shape, middle),)) for shape in SHAPES])
    facts.setdefault("batched", ("input",))
    kinks = on(*corners) if corners else None
    register_op(OpSpec(op, inputs=inputs, reference=reference, kinks=kinks, **facts))


@st.composite
def on(draw: DrawFn, *corners: float) -> Any:
    """An array with many elements exactly on corners, and some off them."""
    shape = draw(ts.shapes(0, 2))
    chosen = np.asarray([*corners, corners[0] + 0.3])
    return chosen[np.random.default_rng(draw(ts.seeds())).integers(0, len(chosen), shape)]


def pairwise(
    op: Any,
    reference: Callable[..., Any] | None = None,
    kinks: Any = None,
    first: tuple[float | None, float | None] = (None, None),
    second: tuple[float | None, float | None] = (None, None),
    count: int = 2,
    **facts: Any,
) -> None:
    """Register an op of two (or `count`) arrays that broadcast."""

    @st.composite
    def pairs(draw: DrawFn) -> Sample:
        bounds = [first, *[second] * (count - 1)]
        found = draw(ts.broadcastable_shapes(count))
        return Sample(tuple(draw(ts.arrays(s, low=b[0], high=b[1])) for s, b in zip(found, bounds, strict=True)))

    edges = [Sample((np.ones(a), *[np.full(b, 0.5)] * (count - 1))) for a, b in PAIRS]
    register_op(OpSpec(op, inputs=pairs(), reference=reference, kinks=kinks, edges=edges, **facts))


def ties(count: int = 2) -> Any:
    """Arrays that broadcast, and have equal elements in many places."""
    return ts.broadcastable(count, values="ties")


clash = Sample((np.ones((2, 3)), np.ones((2, 4))))
both = ("input", "other")
pairwise(ops.add, np.add, linear_in=both, errors=[ErrorCase(clash, ValueError, r"add: .*\(2,3\) \(2,4\)")])
pairwise(ops.sub, np.subtract, linear_in=both)
pairwise(ops.mul, np.multiply, linear_in=both, errors=[ErrorCase(clash, ValueError, "mul: ")])
pairwise(ops.div, np.true_divide, second=(0.5, 3), linear_in=("input",))
pairwise(ops.remainder, np.remainder, second=(0.5, 3), scales=())
pairwise(ops.pow, np.power, first=(0.3, 3), scales=(1e-8,), single=4)
pairwise(ops.logaddexp, np.logaddexp)
pairwise(ops.atan2, np.arctan2, first=(0.2, 2), second=(-2, 2))
pairwise(ops.maximum, np.maximum, ties())
pairwise(ops.minimum, np.minimum, ties())
pairwise(ops.lerp, lambda x, y, w: x + w * (y - x), count=3, linear_in=("input", "end", "weight"))

pointwise(ops.neg, np.negative, linear_in=("input",))
pointwise(ops.clone, np.copy, linear_in=("input",))
pointwise(ops.abs, np.abs, corners=(0.0,))
pointwise(ops.sign, np.sign, corners=(0.0,))
pointwise(ops.square, np.square)
pointwise(ops.sqrt, np.sqrt, low=0.2, high=4)
pointwise(ops.rsqrt, lambda x: x**-0.5, low=0.2, high=4)
pointwise(ops.reciprocal, lambda x: 1 / x, low=0.2, high=4)
pointwise(ops.exp, np.exp, scales=(1e-8,))
pointwise(ops.exp2, np.exp2, scales=(1e-8,))
pointwise(ops.expm1, np.expm1, scales=(1e-8,))
pointwise(ops.log, np.log, low=0.2, high=4)
pointwise(ops.log2, np.log2, low=0.2, high=4)
pointwise(ops.log10, np.log10, low=0.2, high=4)
pointwise(ops.log1p, np.log1p, low=-0.8, high=4)
pointwise(ops.sigmoid, special.expit)
pointwise(ops.tanh, np.tanh)
pointwise(ops.erf, special.erf)
pointwise(ops.sin, np.sin, scales=(1e-8,))
pointwise(ops.cos, np.cos, scales=(1e-8,))
pointwise(ops.tan, np.tan, low=-1.2, high=1.2, scales=(1e-8,))
pointwise(ops.asin, np.arcsin, low=-0.9, high=0.9, scales=(1e-8,))
pointwise(ops.acos, np.arccos, low=-0.9, high=0.9, scales=(1e-8,))
pointwise(ops.atan, np.arctan)
pointwise(ops.sinh, np.sinh, scales=(1e-8,), single=4)
pointwise(ops.cosh, np.cosh, scales=(1e-8,), single=4)
pointwise(ops.sinc, np.sinc, scales=(1e-8,), single=4)
pointwise(ops.floor, np.floor, scales=(1e-8,), corners=(0.0, 1.0))
pointwise(ops.ceil, np.ceil, scales=(1e-8,), corners=(0.0, 1.0))
pointwise(ops.trunc, np.trunc, scales=(1e-8,), corners=(1.0, -1.0))
pointwise(ops.round, np.round, scales=(1e-8,), corners=(0.5, 1.5))
pointwise(ops.nan_to_num, np.nan_to_num)


@st.composite
def _casts(draw: DrawFn) -> Sample:
    return Sample((draw(ts.arrays()),), {"dtype": np.float64})


register_op(OpSpec(autograd.cast, inputs=_casts(), without=("float32",), linear_in=("input",), batched=("input",)))
register_op(
    OpSpec(
        trigonometry.sinc_family,
        inputs=ts.calls(ts.arrays(), order=st.integers(0, 2)),
        batched=("input",),
        scales=(1e-8,),
        single=4,
    )
)


# ---- comparisons and logic: no gradients, but everything else ----------------------------------------------

for _compare, _reference in (
    (ops.eq, np.equal), (ops.ne, np.not_equal), (ops.lt, np.less), (ops.le, np.less_equal),
    (ops.gt, np.greater), (ops.ge, np.greater_equal), (ops.isclose, np.isclose),
    (ops.logical_and, np.logical_and), (ops.logical_or, np.logical_or), (ops.logical_xor, np.logical_xor),
):  # fmt: skip
    register_op(OpSpec(_compare, inputs=ties(), reference=_reference))

for _test, _says in (
    (ops.isnan, np.isnan), (ops.isinf, np.isinf), (ops.isfinite, np.isfinite), (ops.logical_not, np.logical_not)
):  # fmt: skip
    register_op(OpSpec(_test, inputs=ts.arrays(values="sparse"), reference=_says))

for _bits, _bitwise in (
    (comparison.bitwise_and, np.bitwise_and),
    (comparison.bitwise_or, np.bitwise_or),
    (comparison.bitwise_xor, np.bitwise_xor),
):
    _integers = ts.broadcastable_shapes(2).map(lambda two: Sample(tuple(np.full(s, 5 + len(s)) for s in two)))
    register_op(OpSpec(_bits, inputs=_integers, reference=_bitwise))
register_op(OpSpec(comparison.bitwise_not, inputs=ts.shapes().map(lambda s: np.full(s, 6)), reference=np.bitwise_not))


# ---- choosing ----------------------------------------------------------------------------------------------


@st.composite
def _choices(draw: DrawFn, count: int, values: ts.Values = "normal") -> tuple[Any, ...]:
    condition, *others = draw(ts.broadcastable_shapes(count))
    mask = np.random.default_rng(draw(ts.seeds())).random(condition) < 0.5
    return (mask, *(draw(ts.arrays(shape, values=values)) for shape in others))


@st.composite
def _masked(draw: DrawFn) -> Sample:
    mask, x = draw(_choices(2))
    return Sample((x, mask, draw(ts.arrays(()))))


@st.composite
def _bounded(draw: DrawFn, values: ts.Values) -> Sample:
    x, low, high = draw(ts.broadcastable_shapes(3))
    kind = draw(st.sampled_from(["both", "min", "max", "numbers"]))
    bounds: dict[str, Any] = {"min": draw(ts.arrays(low, values=values))}
    bounds["max"] = np.asarray(bounds["min"].max(initial=0.0) + 0.5 + np.abs(draw(ts.arrays(high, values=values))))
    if kind == "numbers":
        bounds = {"min": -1.0, "max": 1.0}
    elif kind != "both":
        bounds = {kind: bounds[kind]}
    return Sample((draw(ts.arrays(x, values=values)),), bounds)


def _clip(x: Any, min: Any = None, max: Any = None) -> Any:
    out = x if min is None else np.maximum(x, min)
    return out if max is None else np.minimum(out, max)


register_op(
    OpSpec(
        elementwise.where_op,
        inputs=_choices(3),
        reference=np.where,
        linear_in=both,
        edges=[Sample((np.True_, np.ones(0), 0.5)), Sample((np.zeros((1,), bool), np.ones(()), np.ones((0, 1))))],
        errors=[ErrorCase(Sample((np.ones(2), np.ones(2), np.ones(2))), TypeError, "where: condition holds float64")],
    )
)
register_op(
    OpSpec(
        ops.masked_fill,
        inputs=_masked(),
        reference=lambda x, mask, value: np.where(mask, value, x),
        linear_in=("input", "value"),
        without=("broadcast", "shared"),  # the value has no dimensions
    )
)
register_op(OpSpec(ops.clamp, inputs=_bounded("normal"), reference=_clip, kinks=_bounded("ties")))

"""Rows of the activations."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from scipy import special

from tinygrad_cnn.ops import activation as act
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.sample import Sample
from tinygrad_cnn.testing.samples.elementwise import SHAPES, on, pointwise
from tinygrad_cnn.testing.spec import ErrorCase, OpSpec, register_op

pointwise(act.relu, lambda x: np.maximum(x, 0), corners=(0.0,), fast=True)
pointwise(act.hardtanh, lambda x: np.clip(x, -1, 1), corners=(-1.0, 1.0))
pointwise(act.relu6, lambda x: np.clip(x, 0, 6), corners=(0.0, 6.0))
pointwise(act.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), corners=(0.0,))
pointwise(act.hardshrink, lambda x: np.where(np.abs(x) > 0.5, x, 0), corners=(0.5, -0.5))
pointwise(act.softshrink, lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0), corners=(0.5, -0.5))
pointwise(act.hardsigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1), corners=(3.0, -3.0))
pointwise(act.hardswish, lambda x: x * np.clip(x / 6 + 0.5, 0, 1), corners=(3.0, -3.0))
pointwise(act.silu, lambda x: x * special.expit(x))
pointwise(act.gelu, lambda x: x * special.ndtr(x))
pointwise(act.softplus, lambda x: np.logaddexp(x, 0))
pointwise(act.mish, lambda x: x * np.tanh(np.logaddexp(x, 0)))
pointwise(act.logsigmoid, special.log_expit)
pointwise(act.softsign, lambda x: x / (1 + np.abs(x)))
pointwise(act.tanhshrink, lambda x: x - np.tanh(x), scales=(1e8,))
pointwise(act.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))))
pointwise(act.selu, lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)))

register_op(
    OpSpec(
        act.scaled_elu,
        inputs=ts.calls(
            ts.arrays(), alpha=st.sampled_from([0.5, 1.5]), scale=1.25, input_scale=st.sampled_from([1.0, 0.5])
        ),
        reference=lambda x, alpha, scale, input_scale: scale * np.where(x > 0, x, alpha * np.expm1(input_scale * x)),
        kinks=ts.calls(on(0.0), alpha=1.5, scale=1.25, input_scale=1.0),
        batched=("input",),
    )
)
register_op(
    OpSpec(
        act.threshold,
        inputs=ts.calls(ts.arrays(), 0.3, st.sampled_from([0.3, -2.0])),
        reference=lambda x, threshold, value: np.where(x > threshold, x, value),
        kinks=ts.calls(on(0.3), 0.3, st.sampled_from([0.3, -2.0])),
        batched=("input",),
    )
)


@st.composite
def _along(draw: DrawFn, values: ts.Values = "normal") -> Sample:
    shape = draw(ts.shapes(1, 3))
    return Sample(
        (draw(ts.arrays(shape, values=values)),), {"dim": draw(ts.axes(len(shape), several=False, none=False))}
    )


@st.composite
def _gated(draw: DrawFn) -> Sample:
    shape = draw(ts.shapes(1, 3))
    axis = draw(st.integers(0, len(shape) - 1))
    doubled = tuple(2 * n if i == axis else n for i, n in enumerate(shape))
    return Sample((draw(ts.arrays(doubled)),), {"dim": axis})


@st.composite
def _channels(draw: DrawFn) -> Sample:
    shape = draw(ts.shapes(2, 4))
    return Sample((draw(ts.arrays(shape)), draw(ts.arrays((shape[1],)))))


def _nonempty(function: Any) -> Any:
    return lambda x, dim: function(x, dim) if x.size else x


def _glu(x: Any, dim: int) -> Any:
    a, b = np.split(x, 2, axis=dim)
    return a * special.expit(b)


def _prelu(x: Any, w: Any) -> Any:
    return np.where(x > 0, x, x * w.reshape(-1, *[1] * (x.ndim - 2)))


_edges = [Sample((np.ones(shape),), {"dim": 0}) for shape in SHAPES if shape]
_odd = ErrorCase(Sample((np.ones((2, 3)),), {"dim": 1}), ValueError, "glu: ")
register_op(OpSpec(act.softmax, inputs=_along(), reference=_nonempty(special.softmax), edges=_edges, scales=(1e-8,)))
register_op(
    OpSpec(act.log_softmax, inputs=_along(), reference=_nonempty(special.log_softmax), edges=_edges, scales=(1e-8,))
)
register_op(OpSpec(act.softmin, inputs=_along(), reference=lambda x, dim: special.softmax(-x, dim), scales=(1e-8,)))
register_op(OpSpec(act.glu, inputs=_gated(), reference=_glu, errors=[_odd]))
register_op(OpSpec(act.prelu, inputs=_channels(), reference=_prelu, batched=("input",)))
register_op(OpSpec(act.dropout, inputs=ts.calls(ts.arrays(), p=st.sampled_from([0.3, 0.7])), linear_in=("input",)))
register_op(
    OpSpec(
        act.dropout2d, inputs=ts.calls(ts.arrays(ts.shapes(4, 4)), p=st.sampled_from([0.3, 0.7])), linear_in=("input",)
    )
)

"""Rows of the normalisations."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tinygrad_cnn import ops
from tinygrad_cnn.ops.norm import batch_norm_train, standardize
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.sample import Array, Sample
from tinygrad_cnn.testing.spec import ErrorCase, OpSpec, register_op

EPS = 1e-3  # large enough that a group without variance is no trouble


def standardized(x: Array, dim: Any, eps: float) -> Array:
    """The reference of them all."""
    return np.asarray((x - x.mean(axis=dim, keepdims=True)) / np.sqrt(x.var(axis=dim, keepdims=True) + eps))


@st.composite
def _groups(draw: DrawFn) -> Sample:
    shape = draw(ts.shapes(1, 3, 2))
    dim = tuple(i for i in range(len(shape)) if draw(st.booleans())) or (0,)
    return Sample((draw(ts.arrays(shape)), dim, EPS))


@st.composite
def _channels(draw: DrawFn, affine: bool = True) -> Sample:
    shape = (draw(st.integers(2, 4)), draw(st.integers(1, 3)), *draw(ts.shapes(0, 2, 1, 3)))
    vectors = [draw(ts.arrays((shape[1],))) if draw(st.booleans()) else None for _ in range(2)]
    return Sample((draw(ts.arrays(shape)), *vectors, None, EPS))


def _batch_norm(x: Array, weight: Any, bias: Any, running: Any, eps: float) -> Array:
    y = standardized(x, (0, *range(2, x.ndim)), eps)
    shape = (-1, *[1] * (x.ndim - 2))
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def by_layers(x: Any, weight: Any, bias: Any, running: Any, eps: float) -> Any:
    """Batch norm as the general op, scaled and shifted by broadcasting."""
    y = standardize(x, (0, *range(2, x.ndim)), eps)
    shape = (-1, *[1] * (x.ndim - 2))
    y = y if weight is None else ops.mul(y, ops.reshape(weight, shape))
    return y if bias is None else ops.add(y, ops.reshape(bias, shape))


@st.composite
def _evaluated(draw: DrawFn) -> Sample:
    x, weight, bias, _, eps = draw(_channels()).args
    c = (x.shape[1],)
    mean, var = draw(ts.arrays(c)), draw(ts.arrays(c, low=0.5, high=2))
    return Sample((x, mean, var, weight, bias), {"training": False, "eps": eps})


@st.composite
def _trailing(draw: DrawFn, bias: bool = True) -> Sample:
    lead, tail = draw(ts.shapes(0, 2)), draw(ts.shapes(1, 2, 2))
    vectors = [draw(ts.arrays(tail)) if draw(st.booleans()) else None for _ in range(1 + bias)]
    return Sample((draw(ts.arrays((*lead, *tail))), tail, *vectors, EPS))


@st.composite
def _grouped(draw: DrawFn) -> Sample:
    groups, each = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    shape = (draw(st.integers(1, 3)), groups * each, *draw(ts.shapes(1, 2, 2, 3)))
    vectors = [draw(ts.arrays((shape[1],))) if draw(st.booleans()) else None for _ in range(2)]
    return Sample((draw(ts.arrays(shape)), groups, *vectors, EPS))


@st.composite
def _instances(draw: DrawFn) -> Sample:
    x, _, weight, bias, eps = draw(_grouped()).args
    return Sample((x,), {"weight": weight, "bias": bias, "eps": eps})


def _layer_norm(x: Array, shape: ts.Shape, weight: Any, bias: Any, eps: float) -> Array:
    y = standardized(x, tuple(range(-len(shape), 0)), eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _group_norm(x: Array, groups: int, weight: Any, bias: Any, eps: float) -> Array:
    y = standardized(x.reshape(len(x), groups, -1), 2, eps).reshape(x.shape)
    shape = (-1, *[1] * (x.ndim - 2))
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def _rms_norm(x: Array, shape: ts.Shape, weight: Any, eps: float) -> Array:
    axes = tuple(range(-len(shape), 0))
    y = x / np.sqrt((x * x).mean(axis=axes, keepdims=True) + eps)
    return np.asarray(y if weight is None else y * weight)


_scales: dict[str, Any] = {"scales": (1e8,), "single": 2}
_lone = ErrorCase(Sample((np.ones((1, 3)), None, None, None, EPS)), ValueError, "batch_norm: .*more than 1 value")
register_op(OpSpec(standardize, inputs=_groups(), reference=standardized, **_scales))
register_op(
    OpSpec(
        batch_norm_train,
        inputs=_channels(),
        reference=_batch_norm,
        linear_in=("weight", "bias"),
        identities=[by_layers],
        errors=[_lone],
        fast=True,
        **_scales,
    )
)
register_op(
    OpSpec(
        ops.batch_norm,
        name="batch_norm in evaluation",
        inputs=_evaluated(),
        constant=("running_mean", "running_var"),
        linear_in=("input", "weight", "bias"),
        batched=("input",),
    )
)
register_op(OpSpec(ops.layer_norm, inputs=_trailing(), reference=_layer_norm, linear_in=("weight", "bias"), **_scales))
register_op(OpSpec(ops.rms_norm, inputs=_trailing(False), reference=_rms_norm, linear_in=("weight",), **_scales))
register_op(
    OpSpec(
        ops.group_norm,
        inputs=_grouped(),
        reference=_group_norm,
        linear_in=("weight", "bias"),
        batched=("input",),
        errors=[ErrorCase(Sample((np.ones((2, 3, 2)), 2)), ValueError, "group_norm: num_groups is 2")],
        **_scales,
    )
)
register_op(OpSpec(ops.instance_norm, inputs=_instances(), linear_in=("weight", "bias"), batched=("input",), **_scales))
register_op(
    OpSpec(
        ops.local_response_norm,
        inputs=ts.calls(ts.arrays(ts.shapes(3, 4)), st.integers(1, 4), alpha=0.5),
        batched=("input",),
        scales=(),
    )
)

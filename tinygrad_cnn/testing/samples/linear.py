"""Rows of the products."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tinygrad_cnn import ops
from tinygrad_cnn.ops.linear import einsum_op
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.sample import Array, Sample
from tinygrad_cnn.testing.spec import ErrorCase, OpSpec, register_op

EQUATIONS = (
    "ij,jk->ik", "bij,bjk->bik", "ij->ji", "ii->i", "ii->", "ij->", "ij->j", "i,j->ij", "i,i->", "ij,ij->ij",
    "bij,kj->bik", "ij,j,i->", "iji->j", "ij,kj,k->i",
)  # fmt: skip


@st.composite
def _einsums(draw: DrawFn) -> Sample:
    equation = draw(st.sampled_from(EQUATIONS))
    sides = {letter: draw(st.integers(1, 3)) for letter in sorted(set(equation) - set(",->"))}
    terms = equation.split("->")[0].split(",")
    operands = [draw(ts.arrays(tuple(sides[letter] for letter in term))) for term in terms]
    return Sample(tuple(operands), {"equation": equation})


@st.composite
def _affine(draw: DrawFn) -> Sample:
    batch, inputs, outputs = draw(ts.shapes(0, 2)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    bias = draw(ts.arrays((outputs,))) if draw(st.booleans()) else None
    return Sample((draw(ts.arrays((*batch, inputs))), draw(ts.arrays((outputs, inputs))), bias))


@st.composite
def _attention(draw: DrawFn) -> Sample:
    lead, length, keys, size = draw(ts.shapes(0, 2)), *(draw(st.integers(1, 3)) for _ in range(3))
    shapes = ((*lead, length, size), (*lead, keys, size), (*lead, keys, draw(st.integers(1, 3))))
    return Sample(tuple(draw(ts.arrays(shape)) for shape in shapes), {"is_causal": draw(st.booleans())})


def _linear(x: Array, weight: Array, bias: Array | None) -> Array:
    out: Array = x @ weight.T
    return out if bias is None else out + bias


def _has_batch(sample: Sample) -> tuple[str, ...]:
    return ("input",) if sample.args[0].ndim > 1 else ()


def by_sums(x: Array, weight: Array, bias: Array | None) -> Any:
    """A linear layer written as a broadcast product and a sum."""
    out = ops.sum(ops.mul(ops.unsqueeze(x, -2), weight), dim=-1)
    return out if bias is None else ops.add(out, bias)


_clash = ErrorCase(Sample((np.ones((2, 3)), np.ones((4, 5)))), ValueError, "matmul: .*(2, 3).*(4, 5)")
register_op(
    OpSpec(
        ops.matmul,
        inputs=ts.matmul_args(),
        reference=np.matmul,
        linear_in=("input", "other"),
        edges=[
            Sample((np.ones((0, 3)), np.ones((3, 2)))),
            Sample((np.ones((2, 0)), np.ones((0, 3)))),
            Sample((np.ones(1), np.ones(1))),
        ],
        errors=[_clash],
    )
)
register_op(
    OpSpec(
        einsum_op,
        inputs=_einsums(),
        reference=lambda *xs, equation: np.einsum(equation, *xs),
        linear_in=("operands",),
        views=True,
    )
)
register_op(
    OpSpec(
        ops.linear,
        inputs=_affine(),
        reference=_linear,
        linear_in=("input", "weight", "bias"),
        batched=_has_batch,
        identities=[by_sums],
        edges=[
            Sample((np.ones((0, 3)), np.ones((2, 3)), None)),
            Sample((np.ones((2, 0)), np.ones((1, 0)), np.ones(1))),
        ],
        errors=[ErrorCase(Sample((np.ones((2, 3)), np.ones((4, 5)))), ValueError, "linear: ")],
    )
)
register_op(
    OpSpec(ops.scaled_dot_product_attention, inputs=_attention(), linear_in=("value",), scales=(1e-8,), single=2)
)

"""Rows of the losses."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from scipy import special

from tinygrad_cnn import ops
from tinygrad_cnn.ops import loss
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.sample import Array, Sample
from tinygrad_cnn.testing.spec import ErrorCase, OpSpec, register_op

_reductions = st.sampled_from(["none", "mean", "sum"])


@st.composite
def labelled(draw: DrawFn, reductions: Any = None) -> Sample:
    """Logits (N, C) and labels (N,), and a reduction if they are given."""
    n, classes = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    params = {} if reductions is None else {"reduction": draw(reductions)}
    return Sample((draw(ts.arrays((n, classes))), draw(ts.class_labels(n, classes))), params)


@st.composite
def _weighted(draw: DrawFn) -> Sample:
    n, classes, more = draw(st.integers(1, 3)), draw(st.integers(2, 4)), draw(ts.shapes(0, 1, 1, 2))
    params: dict[str, Any] = {"reduction": draw(_reductions), "label_smoothing": draw(st.sampled_from([0.0, 0.2]))}
    target: Any = draw(ts.class_labels((n, *more), classes))
    if draw(st.booleans()):
        params["weight"] = draw(ts.arrays((classes,), low=0.5, high=2))
    if draw(st.integers(0, 3)) == 3:
        target = special.softmax(draw(ts.arrays((n, classes, *more))), axis=1)
    elif draw(st.booleans()) and n > 1:
        target.reshape(-1)[0] = -100
    return Sample((draw(ts.arrays((n, classes, *more))), target), params)


@st.composite
def pairs(draw: DrawFn, /, values: ts.Values = "separated", **more: Any) -> Sample:
    """Two arrays of one shape, and a reduction."""
    shape = draw(ts.shapes(1, 3))
    drawn = {name: draw(x) for name, x in more.items()}
    other = ts.arrays(shape, values=values) if values == "ties" else ts.arrays(shape, low=-2, high=1.3)
    return Sample((draw(ts.arrays(shape, values=values)), draw(other)), {"reduction": draw(_reductions), **drawn})


@st.composite
def _probabilities(draw: DrawFn, reductions: Any = _reductions) -> Sample:
    shape = draw(ts.shapes(1, 2))
    p, t = (draw(ts.arrays(shape, low=0.1, high=0.9)) for _ in range(2))
    return Sample((p, t), {"reduction": draw(reductions)})


@st.composite
def _vectors(draw: DrawFn, count: int) -> Sample:
    shape = (draw(st.integers(1, 3)), draw(st.integers(2, 4)))
    return Sample(tuple(draw(ts.arrays(shape, low=i - 2, high=i + 1.3)) for i in range(count)))  # never equal


def reduced(losses: Array, reduction: str) -> Any:
    """What the reduction makes of the losses of the elements."""
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


@st.composite
def _weighed(draw: DrawFn, /, values: ts.Values = "separated", **more: Any) -> Sample:
    """As `pairs`; every second time with a weight for each element."""
    sample = draw(pairs(values, **more))
    if draw(st.booleans()):
        return sample
    return Sample(sample.args, {**sample.kwargs, "weight": draw(ts.arrays(sample.args[0].shape, low=0.5, high=2))})


def _terms(function: Any) -> Any:
    def reference(x: Array, t: Array, reduction: str, weight: Any = None, **more: Any) -> Any:
        losses = function(x - t, **more)
        if weight is None or reduction == "none":
            return reduced(losses if weight is None else losses * weight, reduction)
        shares = 1.0 if reduction == "sum" else losses.size if "delta" in more else weight.sum()
        return (losses * weight).sum() / shares

    return reference


def _huber(d: Array, delta: float) -> Array:
    return np.where(np.abs(d) < delta, 0.5 * d * d, delta * (np.abs(d) - 0.5 * delta))


def unfused(z: Any, target: Any, reduction: str) -> Any:
    """The loss as the negative entry of log_softmax at the label."""
    losses = ops.neg(ops.squeeze(ops.gather(ops.log_softmax(z, dim=1), 1, ops.unsqueeze(target, 1)), 1))
    return loss.reduced("unfused", losses, reduction)


def shifted(z: Any, target: Any, reduction: str) -> Any:
    """The same logits plus a constant: so the gradients sum to 0 over the classes."""
    return loss.softmax_cross_entropy(ops.add(z, 3.0), target, reduction)


_labels = ErrorCase(Sample((np.ones((2, 3)), np.array([0, 3]))), IndexError, "3")
register_op(
    OpSpec(
        loss.softmax_cross_entropy,
        inputs=labelled(_reductions),
        reference=lambda z, t, reduction: reduced(-special.log_softmax(z, 1)[np.arange(len(t)), t], reduction),
        batched=lambda sample: ("input", "target") if sample.kwargs["reduction"] == "none" else (),
        identities=[unfused, shifted],
        scales=(1e-8,),
        errors=[_labels],
        fast=True,
    )
)
register_op(OpSpec(ops.cross_entropy, inputs=_weighted(), scales=(1e-8,), constant=("weight",), errors=[_labels]))
register_op(
    OpSpec(
        ops.nll_loss,
        inputs=labelled(),
        reference=lambda x, t: -x[np.arange(len(t)), t].mean(),
        linear_in=("input",),
    )
)
register_op(OpSpec(ops.mse_loss, inputs=_weighed(), reference=_terms(np.square)))
register_op(OpSpec(ops.l1_loss, inputs=_weighed(), reference=_terms(np.abs), kinks=_weighed("ties")))
register_op(
    OpSpec(
        ops.smooth_l1_loss,
        inputs=pairs(beta=st.sampled_from([0.5, 2.0])),
        reference=_terms(lambda d, beta: _huber(d, beta) / beta),
        scales=(1e8,),
    )
)
register_op(
    OpSpec(
        ops.huber_loss,
        inputs=_weighed(delta=st.sampled_from([0.5, 2.0])),
        reference=_terms(_huber),
        scales=(1e8,),
    )
)
register_op(
    OpSpec(
        loss.binary_cross_entropy_terms,
        inputs=ts.broadcastable(2, low=0.1, high=0.9),
        reference=lambda p, t: -(t * np.log(p) + (1 - t) * np.log1p(-p)),
        linear_in=("target",),
        scales=(),
        errors=[ErrorCase(Sample((np.array([1.5]), np.array([1.0]))), ValueError, "1.5, expected probabilities")],
        single=2,
    )
)
register_op(OpSpec(ops.binary_cross_entropy, inputs=_probabilities(), scales=(), single=2))
register_op(OpSpec(ops.binary_cross_entropy_with_logits, inputs=pairs(), scales=()))
_divergences = _probabilities(st.sampled_from(["none", "batchmean", "sum"]))  # the mean is no divergence, and warns
register_op(OpSpec(ops.kl_div, inputs=_divergences, scales=(), linear_in=("input",)))
register_op(OpSpec(ops.cosine_similarity, inputs=_vectors(2), scales=(1e8,)))
register_op(OpSpec(ops.pairwise_distance, inputs=_vectors(2), scales=(1e8,), single=4))
register_op(OpSpec(ops.triplet_margin_loss, inputs=_vectors(3), scales=(), single=4))

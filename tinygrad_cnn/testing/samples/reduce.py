"""Rows of the reductions and of what runs along a dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from scipy import special

from tinygrad_cnn import ops
from tinygrad_cnn.ops import reduce
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.sample import Sample
from tinygrad_cnn.testing.spec import ErrorCase, OpSpec, register_op


@st.composite
def reductions(
    draw: DrawFn, /, values: ts.Values = "normal", several: bool = True, least: int = 1, keep: bool = True, **more: Any
) -> Sample:
    """An array, the dimensions to reduce, and keepdim."""
    shape = draw(ts.shapes(0 if least == 1 else 1, 3, least))
    params: dict[str, Any] = {"dim": draw(ts.axes(len(shape), several))}
    if keep:
        params["keepdim"] = draw(st.booleans())
    drawn = {name: draw(x) if isinstance(x, st.SearchStrategy) else x for name, x in more.items()}
    return Sample((draw(ts.arrays(shape, values=values)),), params | drawn)


@st.composite
def along(draw: DrawFn, count: int = 1, values: ts.Values = "normal") -> Sample:
    """Arrays of one shape, and one dimension."""
    shape = draw(ts.shapes(1, 3))
    dim = draw(ts.axes(len(shape), several=False, none=False))
    return Sample(tuple(draw(ts.arrays(shape, values=values)) for _ in range(count)), {"dim": dim})


def numpy_like(function: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's reduction under PyTorch's names of the parameters."""

    def reference(x: Any, dim: Any = None, keepdim: bool = False, **more: Any) -> Any:
        return function(x, axis=None if dim == () else dim, keepdims=keepdim, **more)

    return reference


_edges = [Sample((np.ones(shape),), {"dim": None}) for shape in ((), (0,), (2, 0), (1, 1))]
_full = [Sample((np.ones(shape),), {"dim": None}) for shape in ((), (1,), (1, 1))]
_range = ErrorCase(Sample((np.ones((2, 3)),), {"dim": 2}), IndexError, "dim is 2, expected -2 to 1")
_linear = ("input",)
register_op(
    OpSpec(ops.sum, inputs=reductions(), reference=numpy_like(np.sum), linear_in=_linear, edges=_edges, errors=[_range])
)
register_op(
    OpSpec(
        ops.mean, inputs=reductions(), reference=numpy_like(np.mean), linear_in=_linear, edges=_full, errors=[_range]
    )
)
register_op(
    OpSpec(
        ops.prod,
        inputs=reductions(several=False),
        reference=numpy_like(np.prod),
        kinks=reductions("ties", several=False),  # no kinks, but zeros: a quotient would fail
        edges=_edges,
    )
)
_spread = st.sampled_from([0, 1])
register_op(
    OpSpec(
        ops.var,
        inputs=reductions(least=2, correction=_spread),
        reference=numpy_like(lambda x, correction, **k: np.var(x, ddof=correction, **k)),
    )
)
register_op(
    OpSpec(
        ops.std,
        inputs=reductions("separated", least=2, correction=_spread),
        reference=numpy_like(lambda x, correction, **k: np.std(x, ddof=correction, **k)),
    )
)


def _logsumexp(x: Any, dim: Any, keepdim: bool) -> Any:
    return special.logsumexp(x, axis=dim, keepdims=keepdim)


@st.composite
def _summed(draw: DrawFn) -> Sample:
    shape = draw(ts.shapes(1, 3))
    dim = draw(ts.axes(len(shape), none=False))
    return Sample((draw(ts.arrays(shape)),), {"dim": dim, "keepdim": draw(st.booleans())})


register_op(OpSpec(ops.logsumexp, inputs=_summed(), reference=_logsumexp))
register_op(
    OpSpec(
        ops.amax, inputs=reductions("separated"), reference=numpy_like(np.max), kinks=reductions("ties"), edges=_full
    )
)
register_op(
    OpSpec(
        ops.amin, inputs=reductions("separated"), reference=numpy_like(np.min), kinks=reductions("ties"), edges=_full
    )
)


def _norm(x: Any, ord: float, dim: Any, keepdim: bool) -> Any:
    size = np.abs(x)
    if ord == np.inf or ord == -np.inf:
        return (np.max if ord > 0 else np.min)(size, axis=dim, keepdims=keepdim)
    if ord == 0:
        return (size != 0).sum(axis=dim, keepdims=keepdim).astype(x.dtype)
    return (size**ord).sum(axis=dim, keepdims=keepdim) ** (1 / ord)


_orders = st.sampled_from([2, 1, 3.0, 0.5, np.inf, -np.inf, 0])
_smooth_or_not = st.sampled_from([2, 1, np.inf, -np.inf])
register_op(
    OpSpec(
        reduce.vector_norm,
        inputs=reductions("separated", ord=_orders),
        reference=_norm,
        kinks=reductions("ties", ord=_smooth_or_not),
        single=2,
    )
)
register_op(OpSpec(ops.cumsum, inputs=along(), reference=lambda x, dim: np.cumsum(x, dim), linear_in=_linear))
register_op(
    OpSpec(
        ops.cumprod,
        inputs=along(),
        reference=lambda x, dim: np.cumprod(x, dim),
        kinks=along(values="ties"),
        scales=(1e-2,),
    )
)


def one_dim(sample: Sample) -> Sample:
    """The sample with a dimension counted from the front, never None: what some ops want."""
    return Sample(sample.args, {"dim": (sample.kwargs["dim"] or 0) % max(sample.args[0].ndim, 1)})


register_op(OpSpec(reduce.recurrence, inputs=along(2).map(one_dim), linear_in=_linear))
_lines = reductions("separated", several=False, least=2, keep=False).map(one_dim)
register_op(OpSpec(ops.normalize, inputs=_lines, scales=(1e8,)))

for _position, _reference in ((ops.argmax, np.argmax), (ops.argmin, np.argmin)):
    register_op(OpSpec(_position, inputs=reductions("ties", several=False), reference=numpy_like(_reference)))
for _truth, _says in ((ops.all, np.all), (ops.any, np.any)):
    register_op(OpSpec(_truth, inputs=reductions("ties"), reference=numpy_like(_says)))

"""Rows of the convolutions and the pools, each with a slow twin in plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tinygrad_cnn import kernels, ops
from tinygrad_cnn.ops import conv, pool
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.sample import Array, Sample
from tinygrad_cnn.testing.spec import ErrorCase, OpSpec, register_op

EVERY: Any = slice(None)

# ---- slow twins --------------------------------------------------------------------------------------------


def taps(
    size: ts.Shape, kernel: ts.Shape, stride: ts.Shape, padding: ts.Shape, dilation: ts.Shape, out: ts.Shape
) -> Iterator[tuple[Any, Any, Any]]:
    """Each output position, kernel tap and the input position where they meet, as far as it lies in the input."""
    for o in np.ndindex(*out):
        for k in np.ndindex(*kernel):
            at = tuple(i * s - p + j * d for i, s, p, j, d in zip(o, stride, padding, k, dilation, strict=True))
            if all(0 <= i < n for i, n in zip(at, size, strict=True)):
                yield o, k, at


def convolve(x: Array, w: Array, b: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Array:
    """A convolution in loops over output positions and taps."""
    n = w.ndim - 2
    if x.ndim == n + 1:
        one: Array = convolve(x[None], w, b, stride, padding, dilation, groups)[0]
        return one
    kernel, size = w.shape[2:], x.shape[2:]
    total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, kernel, strict=True)]
    before = tuple(t // 2 for t in total) if isinstance(padding, str) else tuple(padding)
    after = [t - t // 2 for t in total] if isinstance(padding, str) else padding
    out = tuple(
        (s + p + q - d * (k - 1) - 1) // t + 1
        for s, p, q, d, k, t in zip(size, before, after, dilation, kernel, stride, strict=True)
    )
    y = np.zeros((len(x), len(w), *out))
    per, each = len(w) // groups, w.shape[1]
    for o, k, at in taps(size, kernel, stride, before, dilation, out):
        for g in range(groups):
            inputs: Any = slice(g * each, (g + 1) * each)
            outputs: Any = slice(g * per, (g + 1) * per)
            y[(EVERY, outputs, *o)] += x[(EVERY, inputs, *at)] @ w[(outputs, EVERY, *k)].T
    return y if b is None else y + b.reshape(-1, *[1] * n)


def transposed(
    x: Array, w: Array, b: Any, stride: Any, padding: Any, output_padding: Any, groups: int, dilation: Any
) -> Array:
    """A transposed convolution in the same loops, run from the output's side."""
    n = w.ndim - 2
    kernel = w.shape[2:]
    size = tuple(
        (s - 1) * t - 2 * p + d * (k - 1) + m + 1
        for s, t, p, d, k, m in zip(x.shape[2:], stride, padding, dilation, kernel, output_padding, strict=True)
    )
    y = np.zeros((len(x), w.shape[1] * groups, *size))
    per, each = len(w) // groups, w.shape[1]
    for o, k, at in taps(size, kernel, stride, padding, dilation, x.shape[2:]):
        for g in range(groups):
            inputs: Any = slice(g * per, (g + 1) * per)
            outputs: Any = slice(g * each, (g + 1) * each)
            y[(EVERY, outputs, *at)] += x[(EVERY, inputs, *o)] @ w[(inputs, EVERY, *k)]
    return y if b is None else y + b.reshape(-1, *[1] * n)


def pooled(reduce: Callable[..., Any]) -> Callable[..., Array]:
    """A pool in loops: `reduce` makes one number of the elements of a window and the window's length."""

    def reference(
        x: Array,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any = None,
        ceil_mode: bool = False,
        **more: Any,
    ) -> Array:
        dilation = dilation or (1,) * len(kernel_size)
        out = kernels.pool_output_size(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
        found: dict[Any, list[Array]] = {}
        for o, _, at in taps(x.shape[2:], kernel_size, stride, padding, dilation, out):
            found.setdefault(o, []).append(x[(EVERY, EVERY, *at)])
        y = np.zeros((*x.shape[:2], *out))
        for o, elements in found.items():
            y[(EVERY, EVERY, *o)] = reduce(np.stack(elements), o, x.shape[2:], kernel_size, stride, padding, **more)
        return y

    return reference


def largest(elements: Array, *_: Any) -> Array:
    """The reduction of a max pool."""
    return np.asarray(elements.max(axis=0))


def average(
    elements: Array,
    o: Any,
    size: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    count_include_pad: bool,
    divisor_override: Any,
) -> Array:
    """The reduction of an average pool: what lies beyond the padding never counts."""
    reach = [
        min(i * s - p + k, n + p) - (i * s - p) for i, s, p, k, n in zip(o, stride, padding, kernel, size, strict=True)
    ]
    return np.asarray(
        elements.sum(axis=0) / (divisor_override or (math.prod(reach) if count_include_pad else len(elements)))
    )


# ---- convolutions ------------------------------------------------------------------------------------------


def _has_batch(sample: Sample) -> tuple[str, ...]:
    return ("input", "grad") if sample.args[0].ndim == sample.args[1].ndim else ()


def by_columns(x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """A convolution as a matrix product with the columns of `unfold` (what `same` or groups need is left to others)."""
    if isinstance(padding, str) or groups > 1 or x.ndim == 3:
        return ops.conv2d(x, w, b, stride, padding, dilation, groups)
    columns = ops.unfold(x, w.shape[2:], dilation, padding, stride)  # (N, C*KH*KW, OH*OW)
    out = kernels.conv_output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = ops.matmul(ops.reshape(w, (len(w.shape) and w.shape[0], -1)), columns)
    y = ops.reshape(y, (x.shape[0], w.shape[0], *out))
    return y if b is None else ops.add(y, ops.reshape(b, (-1, 1, 1)))


_WRONG = {
    1: [ErrorCase(Sample((np.ones((1, 3, 8)), np.ones((2, 1, 3)))), ValueError, "conv1d: x has 3 channels")],
    2: [
        ErrorCase(Sample((np.ones((8, 3, 28, 28)), np.ones((6, 1, 3, 3)))), ValueError, "conv2d: x has 3 channels"),
        ErrorCase(Sample((np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3)))), ValueError, "conv2d: kernel .* does not fit"),
    ],
    3: [],
}  # fmt: skip
_arguments = ("input", "weight", "bias")
for _dims, _forward, _backward in (
    (1, ops.conv1d, ops.conv_transpose1d), (2, ops.conv2d, ops.conv_transpose2d), (3, ops.conv3d, ops.conv_transpose3d)
):  # fmt: skip
    _empty = Sample((np.ones((0, 2, *[3] * _dims)), np.ones((1, 2, *[2] * _dims))), {
        "bias": None, "stride": (1,) * _dims, "padding": (0,) * _dims, "dilation": (1,) * _dims, "groups": 1
    })  # fmt: skip
    register_op(
        OpSpec(
            _forward,
            inputs=ts.conv_args(_dims, 3 if _dims < 3 else 2),
            reference=lambda x, w, bias=None, **params: convolve(x, w, bias, **params),
            linear_in=_arguments,
            batched=_has_batch,
            identities=[by_columns] if _dims == 2 else [],
            edges=[_empty],
            errors=_WRONG[_dims],
            fast=_dims == 2,
        )
    )
    register_op(
        OpSpec(
            _backward,
            inputs=ts.conv_transpose_args(_dims),
            reference=transposed,
            linear_in=_arguments,
            batched=_has_batch,
            fast=_dims == 2,
        )
    )


@st.composite
def _adjoints(draw: DrawFn, weight: bool) -> Sample:
    """What conv_input and conv_weight take: arrays in the place of a gradient, and the shape to go to."""
    sample = draw(ts.conv_args(draw(st.integers(1, 2))))
    x, w, _ = sample.args
    result = sample.call((ops.conv1d, ops.conv2d)[w.ndim - 3])
    g = draw(ts.arrays(result.shape))
    return Sample((x, g, w.shape) if weight else (g, w, x.shape), sample.kwargs)


register_op(OpSpec(conv.conv_input, inputs=_adjoints(False), linear_in=("grad", "weight"), fast=True))
register_op(OpSpec(conv.conv_weight, inputs=_adjoints(True), linear_in=("input", "grad"), fast=True))


# ---- pools -------------------------------------------------------------------------------------------------


@st.composite
def _averages(draw: DrawFn, dims: int) -> Sample:
    sample = draw(ts.pool_args(dims, "normal", dilated=False, batched=True))
    more = {"count_include_pad": draw(st.booleans()), "divisor_override": draw(st.sampled_from([None, 3]))}
    return Sample(sample.args, {**sample.kwargs, **more})


@st.composite
def _average_adjoints(draw: DrawFn) -> Sample:
    dims = draw(st.integers(1, 2))
    sample = draw(_averages(dims))
    g = draw(ts.arrays(sample.call(pool._AVG_POOLS[dims - 1]).shape))
    return Sample((g,), {"shape": sample.args[0].shape, **sample.kwargs})


@st.composite
def _chosen(draw: DrawFn, scatter: bool) -> Sample:
    dims = draw(st.integers(1, 2))
    sample = draw(ts.pool_args(dims, batched=True))
    params: Any = dict(sample.kwargs)
    ceil: Any = params.pop("ceil_mode")
    x = sample.args[0]
    y, offsets = kernels.max_pool(x, **params, ceil_mode=ceil)
    if scatter:
        return Sample((draw(ts.arrays(y.shape)), offsets), {"shape": x.shape, **params})
    return Sample((x, offsets), params)


_flat = ErrorCase(Sample((np.ones((1, 1, 2, 2)),), {
    "kernel_size": (2, 2), "stride": (2, 2), "padding": (2, 2), "dilation": (1, 1), "ceil_mode": False
}), ValueError, "max_pool2d: padding is .*at most half")  # fmt: skip
for _dims in (1, 2, 3):
    register_op(
        OpSpec(
            pool._MAX_POOLS[_dims - 1],
            inputs=ts.pool_args(_dims, batched=True),
            reference=pooled(largest),
            kinks=ts.pool_args(_dims, "ties", batched=True),
            batched=("input",),
            errors=[_flat] if _dims == 2 else [],
            fast=_dims == 2,
        )
    )
    register_op(
        OpSpec(
            pool._AVG_POOLS[_dims - 1],
            inputs=_averages(_dims),
            reference=pooled(average),
            linear_in=("input",),
            batched=("input",),
            fast=_dims == 2,
        )
    )
register_op(OpSpec(pool.avg_pool_input, inputs=_average_adjoints(), linear_in=("grad",), batched=()))
register_op(
    OpSpec(pool.max_pool_gather, inputs=_chosen(False), linear_in=("input",), batched=("input", "offsets"), fast=True)
)
register_op(OpSpec(pool.max_pool_scatter, inputs=_chosen(True), linear_in=("grad",), fast=True))
register_op(OpSpec(pool.max_pool_indices, inputs=ts.pool_args(2, "ties", batched=True)))

_sides = ts.arrays(st.tuples(*[st.integers(1, 2)] * 2, *[st.integers(1, 5)] * 2), values="separated")
_sizes = st.tuples(st.integers(1, 4), st.integers(1, 4))
register_op(
    OpSpec(
        ops.adaptive_avg_pool2d, inputs=ts.calls(_sides, _sizes), linear_in=("input",), batched=("input",), views=True
    )
)
register_op(OpSpec(ops.adaptive_max_pool2d, inputs=ts.calls(_sides, _sizes), batched=("input",)))
register_op(OpSpec(pool.adaptive_max_pool_indices, inputs=ts.calls(_sides, _sizes)))

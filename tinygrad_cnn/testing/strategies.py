"""Hypothesis strategies for tensors, layouts, shapes and whole calls, made for gradients.

Hypothesis draws the structure (shapes, memory layouts, parameters, a seed) and NumPy fills in the values from the
seed. So examples are fast, every one is valid, and all of them shrink: to small shapes, to C order, and to the seed
0, for which the values are round numbers. `hypothesis.extra.numpy.arrays` would put most max-pool inputs on a tie,
and never make an array that is not contiguous.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tinygrad_cnn.autograd import wrap
from tinygrad_cnn.tensor import Tensor
from tinygrad_cnn.testing.programs import cnns, programs
from tinygrad_cnn.testing.sample import Array, Sample

__all__ = [
    "arrays", "axes", "broadcastable", "broadcastable_shapes", "calls", "class_labels", "cnns", "conv2d_args",
    "conv_args", "conv_transpose_args", "cotangents", "fill", "indices", "lay_out", "layouts", "matmul_args",
    "pool2d_args", "pool_args", "programs", "seeds", "shapes", "tensors",
]  # fmt: skip

Shape: TypeAlias = tuple[int, ...]
Values = Literal["normal", "separated", "ties", "extreme", "sparse"]
Layout = Literal["C", "F", "transposed", "strided", "reversed", "offset", "read-only", "stride 0"]
LAYOUTS: tuple[Layout, ...] = ("C", "F", "transposed", "strided", "reversed", "offset", "read-only", "stride 0")

# ---- values ------------------------------------------------------------------------------------------------


def fill(
    shape: Shape, values: Values = "normal", seed: int = 0, low: float | None = None, high: float | None = None
) -> Array:
    """A float64 array of `shape` with values made from `seed`; for the seed 0 they are round numbers in order.

    values: "normal"; "separated": a shuffled grid without ties, near-ties or zeros; "ties": a few whole numbers, 0
    among them; "extreme": of all sizes from 1e-8 to 1e8; "sparse": mostly zeros. low, high: strict bounds of all.

    >>> fill((4,), "separated")
    array([-0.375, -0.125,  0.125,  0.375])
    """
    size = math.prod(shape)
    rng = np.random.default_rng(seed)
    bounded = low is not None or high is not None
    if values == "ties":
        flat = rng.integers(-1, 3, size).astype(np.float64) if seed else np.arange(size) % 2.0
        if bounded:
            flat = _between((flat + 1.5) / 4.5, low, high)
    elif values == "extreme":
        flat = rng.choice([-1.0, 1.0], size) * 10.0 ** rng.uniform(-8, 8, size)
        flat = flat if seed else (-1.0) ** np.arange(size) * 10.0 ** (np.arange(size) * 3 % 17 - 8)
    elif seed == 0 or values == "separated" or bounded:
        grid = np.arange(size) + 0.5
        grid = rng.permutation(grid) if seed else grid
        flat = (
            _between(grid / max(size, 1), low, high) if bounded else (grid - size / 2 + 0.5 * (size % 2)) * _gap(size)
        )
    else:
        flat = rng.standard_normal(size)
    if values == "sparse":
        flat = np.where(rng.random(size) < 0.7, 0.0, flat)
    return flat.reshape(shape)


def _gap(size: int) -> float:
    """A power of two that keeps a grid of `size` numbers between about -8 and 8."""
    return 0.25 if size <= 64 else 2.0 ** math.floor(math.log2(16 / size))


def _between(part: Array, low: float | None, high: float | None) -> Array:
    """Numbers from 0 to 1 as numbers between the bounds; an open side reaches 3 further."""
    start = low if low is not None else (high or 0.0) - 3
    return start + part * ((high if high is not None else start + 3) - start)


def lay_out(array: Array, layout: Layout) -> Array:
    """The same numbers in another place: memory order, gaps (which hold NaN), direction, a read-only flag.

    "stride 0" repeats the first slice along the first dimension, so there the numbers change.
    """
    if layout == "F":
        return np.array(array, order="F")
    if layout == "transposed" and array.ndim > 1:
        return array.swapaxes(-1, -2).copy().swapaxes(-1, -2)
    if layout == "strided" and array.ndim:
        room = np.full((*array.shape[:-1], 2 * array.shape[-1]), _hole(array.dtype), array.dtype)
        room[..., ::2] = array
        return room[..., ::2]
    if layout == "reversed" and array.ndim:
        return np.flip(np.flip(array).copy())
    if layout == "offset":
        room = np.full(array.size + 2, _hole(array.dtype), array.dtype)
        view = room[1:-1].reshape(array.shape)
        view[...] = array
        return view
    if layout == "stride 0" and array.ndim and len(array):
        return np.broadcast_to(array[:1].copy(), array.shape)
    copy = np.array(array, order="C")
    copy.flags.writeable = layout not in ("read-only", "stride 0")
    return copy


def _hole(dtype: Any) -> Any:
    return np.nan if np.dtype(dtype).kind == "f" else 0


def seeds() -> SearchStrategy[int]:
    """Seeds of values; they shrink to 0, the seed of the round numbers."""
    return st.integers(0, 2**31 - 1)


def layouts(stride0: bool = True) -> SearchStrategy[Layout]:
    """Memory layouts, for `lay_out`; they shrink to "C"."""
    return st.sampled_from(LAYOUTS if stride0 else LAYOUTS[:-1])


def shapes(min_dims: int = 0, max_dims: int = 4, min_side: int = 1, max_side: int = 4) -> SearchStrategy[Shape]:
    """Shapes with few and short dimensions."""
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


@st.composite
def arrays(
    draw: DrawFn,
    shape: Shape | SearchStrategy[Shape] | None = None,
    dtype: Any = np.float64,
    values: Values | SearchStrategy[Values] = "normal",
    layout: Layout | SearchStrategy[Layout] = "C",
    low: float | None = None,
    high: float | None = None,
) -> Array:
    """Float ndarrays: see `fill` for `values`, `lay_out` for `layout`."""
    shape = shapes() if shape is None else shape
    chosen = draw(shape) if isinstance(shape, SearchStrategy) else tuple(shape)
    kind = draw(values) if isinstance(values, SearchStrategy) else values
    where = draw(layout) if isinstance(layout, SearchStrategy) else layout
    array = fill(chosen, kind, draw(seeds()), low, high).astype(np.dtype(dtype))
    return array if where == "C" else lay_out(array, where)


def tensors(
    shape: Shape | SearchStrategy[Shape] | None = None,
    dtype: Any = np.float64,
    values: Values | SearchStrategy[Values] = "normal",
    layout: Layout | SearchStrategy[Layout] = "C",
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
) -> SearchStrategy[Tensor]:
    """Tensors of `shape` (drawn if None): see `fill` for `values`, `lay_out` for `layout`."""
    drawn = arrays(shape, dtype, values, layout, low, high)
    return drawn.map(lambda array: wrap(array).requires_grad_(requires_grad))


# ---- shapes that fit each other ----------------------------------------------------------------------------


@st.composite
def broadcastable_shapes(
    draw: DrawFn, n: int, min_side: int = 1, max_dims: int = 3, max_side: int = 4
) -> tuple[Shape, ...]:
    """`n` shapes that broadcast together: with missing dimensions, and with length 1 in place of others."""
    # Left to chance few would be matrices all over, and only those have a memory order.
    full = draw(st.booleans()) and max_dims > 1 and max_side > 1
    common = draw(shapes(2, max_dims, 2, max_side) if full else shapes(0, max_dims, min_side, max_side))
    found = []
    for _ in range(n):
        missing = draw(st.integers(0, len(common))) if draw(st.booleans()) else 0
        ones = draw(st.integers(0, 2 ** len(common) - 1)) if draw(st.booleans()) else 0
        found.append(tuple(1 if ones >> i & 1 else side for i, side in enumerate(common))[missing:])
    return tuple(found)


@st.composite
def broadcastable(
    draw: DrawFn,
    n: int,
    dtype: Any = np.float64,
    values: Values | SearchStrategy[Values] = "normal",
    layout: Layout | SearchStrategy[Layout] = "C",
    low: float | None = None,
    high: float | None = None,
    min_side: int = 1,
) -> tuple[Tensor, ...]:
    """`n` Tensors whose shapes broadcast together."""
    found = draw(broadcastable_shapes(n, min_side))
    return tuple(draw(tensors(shape, dtype, values, layout, low, high)) for shape in found)


@st.composite
def matmul_args(draw: DrawFn, values: Values = "normal") -> Sample:
    """Two arrays that a matrix product takes: one to four dimensions each, batches that broadcast."""
    rows, inner, columns = (draw(st.integers(1, 4)) for _ in range(3))
    left, right = draw(broadcastable_shapes(2, max_dims=2, max_side=3))
    first: Shape = (inner,) if draw(st.booleans()) and not left else (*left, rows, inner)
    second: Shape = (inner,) if draw(st.booleans()) and not right else (*right, inner, columns)
    return Sample((draw(arrays(first, values=values)), draw(arrays(second, values=values))))


@st.composite
def conv_args(draw: DrawFn, dims: int = 2, max_side: int = 3, strings: bool = True) -> Sample:
    """`x, weight, bias` and the parameters of a convolution over `dims` dimensions.

    Strides that do not divide, padding up to beyond the kernel, dilation, groups, kernels as large as the input,
    1 × 1 kernels, no bias, "same" and "valid", one sample without a batch.
    """
    groups, n = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    inputs, outputs = draw(st.integers(1, 2)), draw(st.integers(1, 2)) * groups
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(dims))
    padding: Any = tuple(draw(st.integers(0, 2)) for _ in range(dims))
    size = []
    for k, s, d, p in zip(kernel, stride, dilation, padding, strict=True):
        out, rest = draw(st.integers(1, max_side)), draw(st.integers(0, s - 1))
        size.append(max((out - 1) * s + d * (k - 1) + 1 + rest - 2 * p, 1, d * (k - 1) + 1 - 2 * p))
    if strings and draw(st.integers(0, 4)) == 4:
        padding = draw(st.sampled_from(["same", "valid"]))
        stride = (1,) * dims if padding == "same" else stride
        size = [max(n, d * (k - 1) + 1) for n, d, k in zip(size, dilation, kernel, strict=True)]
    batch = () if draw(st.integers(0, 5)) == 5 else (n,)
    x = draw(arrays((*batch, inputs * groups, *size)))
    weight = draw(arrays((outputs, inputs, *kernel)))
    bias = draw(arrays((outputs,))) if draw(st.booleans()) else None
    params = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return Sample((x, weight, bias), params)


def conv2d_args() -> SearchStrategy[Sample]:
    """As `conv_args`, over two dimensions."""
    return conv_args(2)


@st.composite
def conv_transpose_args(draw: DrawFn, dims: int = 2) -> Sample:
    """`x, weight, bias` and the parameters of a transposed convolution over `dims` dimensions."""
    groups, n = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    inputs, outputs = draw(st.integers(1, 2)) * groups, draw(st.integers(1, 2))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(dims))
    more = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    padding = tuple(draw(st.integers(0, (d * (k - 1)) // 2)) for d, k in zip(dilation, kernel, strict=True))
    x = draw(arrays((n, inputs, *(draw(st.integers(1, 3)) for _ in range(dims)))))
    weight = draw(arrays((inputs, outputs, *kernel)))
    bias = draw(arrays((outputs * groups,))) if draw(st.booleans()) else None
    params = {"stride": stride, "padding": padding, "output_padding": more, "groups": groups, "dilation": dilation}
    return Sample((x, weight, bias), params)


@st.composite
def pool_args(
    draw: DrawFn, dims: int = 2, values: Values = "separated", dilated: bool = True, batched: bool = False
) -> Sample:
    """An input and the parameters of a pool over `dims` dimensions: overlaps, gaps, padding, ceil_mode.

    batched: always with a batch, and every parameter given, as the ops behind the public functions take them.
    """
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    dilation = tuple(draw(st.integers(1, 2)) if dilated else 1 for _ in range(dims))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = []
    for k, s, d, p in zip(kernel, stride, dilation, padding, strict=True):
        out, rest = draw(st.integers(1, 3)), draw(st.integers(0, s - 1))
        size.append(max((out - 1) * s + d * (k - 1) + 1 + rest - 2 * p, d))  # no window in the padding alone
    batch = (draw(st.integers(1, 3)),) if batched or draw(st.integers(0, 5)) else ()
    x = draw(arrays((*batch, draw(st.integers(1, 2)), *size), values=values))
    params: dict[str, Any] = {"kernel_size": kernel, "stride": stride, "padding": padding}
    if dilated:
        params["dilation"] = dilation
    return Sample((x,), params | {"ceil_mode": draw(st.booleans())})


def pool2d_args(values: Values = "separated") -> SearchStrategy[Sample]:
    """As `pool_args`, over two dimensions."""
    return pool_args(2, values)


# ---- what is not a float -----------------------------------------------------------------------------------


@st.composite
def class_labels(draw: DrawFn, shape: int | Shape, classes: int) -> Array:
    """Labels from 0 to classes - 1, int64, in an array of `shape`; they shrink to 0, 1, 2 ... in order."""
    seed = draw(seeds())
    if not seed:
        return np.asarray(np.arange(np.prod(shape, dtype=np.int64)).reshape(shape) % classes)  # of 0-d: no number
    return np.random.default_rng(seed).integers(0, classes, shape)


@st.composite
def axes(draw: DrawFn, ndim: int, several: bool = True, none: bool = True) -> int | Shape | None:
    """What a reduction takes as `dim`: None, one dimension counted from either end, or a tuple of several."""
    if not ndim:
        return None if none else 0
    kind = draw(st.integers(0, 2))
    if kind == 0 or (kind == 1 and not several) or (kind == 2 and not none):
        return draw(st.integers(-ndim, ndim - 1))
    if kind == 2:
        return None
    chosen = draw(st.integers(1, 2**ndim - 1))
    return tuple(i - ndim * draw(st.booleans()) for i in range(ndim) if chosen >> i & 1)


@st.composite
def indices(draw: DrawFn, shape: Shape) -> Any:
    """An index into an array of `shape`: integers, slices, None, `...`, positions (some twice), masks."""
    items: list[Any] = []
    rng = np.random.default_rng(draw(seeds()))
    advanced: Shape = (draw(st.integers(1, 3)),)
    for side in shape:
        kind = draw(st.sampled_from(["slice", "integer", "end", "positions", "mask", "new"]))
        if kind == "end":
            items.append(Ellipsis)
            break
        if kind == "new":
            items.append(None)
        if kind == "integer" and side:
            items.append(draw(st.integers(-side, side - 1)))
        elif kind == "positions" and side:
            items.append(rng.integers(-side, side, advanced))
        elif kind == "mask" and not any(isinstance(x, np.ndarray) for x in items):
            items.append(rng.random(side) < 0.6)
            break
        else:
            start, stop = draw(st.integers(0, side)), draw(st.integers(0, side))
            items.append(slice(min(start, stop), max(start, stop), draw(st.sampled_from([None, 2]))))
    return items[0] if len(items) == 1 else tuple(items)


@st.composite
def cotangents(draw: DrawFn, y: Any) -> Array:
    """Incoming gradients for a result `y`: ordinary, one-hot, zero, huge, tiny, in every layout, of stride 0."""
    shape, dtype = tuple(y.shape), y.dtype
    kind = draw(st.sampled_from(["normal", "one-hot", "constant", "zero", "huge", "tiny"]))
    g = fill(shape, "normal", draw(seeds()))
    if kind in ("zero", "one-hot"):
        g = np.zeros(shape)
        if kind == "one-hot" and g.size:
            g.reshape(-1)[draw(st.integers(0, g.size - 1))] = 1.0
    if kind == "constant":
        return np.broadcast_to(np.asarray(1.5, dtype), shape)
    g = g * {"huge": 1e8, "tiny": 1e-8}.get(kind, 1.0)
    return lay_out(g.astype(dtype), draw(layouts(stride0=False)))


@st.composite
def calls(draw: DrawFn, *args: Any, **kwargs: Any) -> Sample:
    """Whole calls: strategies among the arguments are drawn from, everything else is passed as it is.

    >>> from hypothesis import find
    >>> find(calls(tensors((1, 2)), dim=st.integers(0, 1)), lambda sample: True)
    (array([[-0.125, 0.125]]), dim=0)
    """

    def value(x: Any) -> Any:
        return draw(x) if isinstance(x, SearchStrategy) else x

    return Sample(tuple(value(x) for x in args), {name: value(x) for name, x in kwargs.items()})

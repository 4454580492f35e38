"""Pools over one, two or three dimensions: the maximum or the mean of each window, fixed or adaptive.

A max pool first chooses (which tap of its window is the largest, small integers) and then moves. Moving is linear:
`max_pool_gather` takes the chosen elements, `max_pool_scatter` puts numbers back where they came from, and the two
are each other's gradient rules. The mean is linear too: `avg_pool*` and `avg_pool_input` are each other's rules.

The input is a batch (N, C, *S) or one sample (C, *S). Ties go to the first maximum, NaN wins over every number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_cnn import kernels
from tinygrad_cnn.autograd import Array, Op, array_of, composite, op
from tinygrad_cnn.ops.conv import AXES, IntOrInts, Ints, check_fit, ints, remembered
from tinygrad_cnn.ops.index import gather
from tinygrad_cnn.ops.linear import tensordot
from tinygrad_cnn.ops.reduce import mean
from tinygrad_cnn.ops.shape import narrow, stack

if TYPE_CHECKING:
    from tinygrad_cnn.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d",
]  # fmt: skip

Windows = tuple[Ints, Ints, Ints, Ints]


# ---- arguments ---------------------------------------------------------------------------------------------


@remembered
def _windows(n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1) -> Windows:
    """Kernel size, stride (by default the kernel size), padding and dilation as tuples of `n` ints."""
    kernel = ints("kernel_size", kernel_size, n, 1)
    default = stride is None or (isinstance(stride, tuple | list) and not stride)
    stride = ints("stride", kernel if default else stride, n, 1)
    return kernel, stride, ints("padding", padding, n, 0), ints("dilation", dilation, n, 1)


@remembered
def _fitting_windows(n: int, x: Ints, ceil_mode: bool, *given: Any) -> Windows:
    """The same, after checks that the windows fit a batch of shape `x`."""
    _check_dimensions(x, n)
    if not x[1]:
        raise ValueError(f"x has no channels {x}, expected at least 1")
    windows = kernel, _, padding, dilation = _windows(n, *given)
    if max(padding) and any(2 * p > d * (k - 1) + 1 for p, k, d in zip(padding, kernel, dilation, strict=True)):
        raise ValueError(f"padding is {padding}, kernel {kernel} expects at most half of its size")
    check_fit(x, *windows, kernels.pool_output_size(x[2:], *windows, ceil_mode), ceil_mode)
    return windows


def _checked_windows(x: Any, n: int, kinds: str, ceil_mode: bool, *given: Any) -> Windows:
    """The same, with a check that the dtype is of one of the kinds."""
    windows = _fitting_windows(n, x.shape, ceil_mode, *given)
    _check_kind(x, kinds)
    return windows


def _check_kind(x: Any, kinds: str) -> None:
    if x.dtype.kind not in kinds:
        raise TypeError(f"x is {x.dtype}, expected {'numbers' if 'i' in kinds else 'a floating point dtype'}")


def _check_dimensions(x: Ints, n: int) -> None:
    if len(x) != n + 2:
        axes = ", ".join(AXES[n])
        raise ValueError(f"x has {len(x)} dimensions {x}, expected (N, C, {axes}) or (C, {axes})")


def _on_batch(pool: Op[Any], n: int, input: Any, *params: Any) -> Tensor:
    """Run an op on a batch; one sample (C, *S) becomes a batch of one, and its result a sample again."""
    if input.ndim != n + 1:
        return pool(input, *params)
    out = pool(input.reshape((1, *input.shape)), *params)
    return out.reshape(out.shape[1:])


# ---- max pools ---------------------------------------------------------------------------------------------


def _max_pool_op(n: int) -> Op[Any]:
    """The op of one of the three public functions; they differ in their names, for pictures and messages."""

    def max_pool(input: Array, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Any:
        """The largest element of each window of a batch (N, C, *S); keeps which tap of its window it was."""
        windows = _checked_windows(input, n, "fiu", ceil_mode, kernel_size, stride, padding, dilation)
        return kernels.max_pool(input, *windows, ceil_mode)

    max_pool.__name__ = max_pool.__qualname__ = f"max_pool{n}d"
    made: Op[Any] = op(keeps="offsets")(max_pool)
    made.vjp("input")(max_pool_grad)
    made.shortcut(max_pool_grads)
    return made


def max_pool_grad(
    g: Array, offsets: Array, input_shape: Ints, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> Array:
    return max_pool_scatter(g, offsets, input_shape, kernel_size, stride, padding, dilation)


def max_pool_grads(
    g: Any, offsets: Any, input_shape: Ints, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[Any]:
    """The same without an op call."""
    windows = _windows(len(input_shape) - 2, kernel_size, stride, padding, dilation)
    return (kernels.max_pool_scatter(g, offsets, input_shape, *windows),)


@op
def max_pool_gather(input: Array, offsets: Array, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """The element of each window of `input` (N, C, *S) at the tap `offsets` (N, C, *OS), as a max pool chose it."""
    return kernels.max_pool_gather(input, offsets, *_windows(input.ndim - 2, kernel_size, stride, padding, dilation))


@op
def max_pool_scatter(
    grad: Array, offsets: Array, shape: Ints, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """Add each number of `grad` (N, C, *OS) to the element, among zeros of `shape`, that its window chose."""
    windows = _windows(grad.ndim - 2, kernel_size, stride, padding, dilation)
    return kernels.max_pool_scatter(grad, offsets, shape, *windows)


@max_pool_gather.vjp("input")
def max_pool_gather_grad(
    g: Array, offsets: Array, input_shape: Ints, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> Array:
    return max_pool_scatter(g, offsets, input_shape, kernel_size, stride, padding, dilation)


@max_pool_scatter.vjp("grad")
def max_pool_scatter_grad(
    g: Array, offsets: Array, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> Array:
    return max_pool_gather(g, offsets, kernel_size, stride, padding, dilation)


@op(differentiable=False)
def max_pool_indices(input: Array, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Any:
    """Where in its flattened plane the largest element of each window lies, int64 (N, C, *OS)."""
    windows = _checked_windows(input, input.ndim - 2, "fiu", ceil_mode, kernel_size, stride, padding, dilation)
    _, offsets = kernels.max_pool(input, *windows, ceil_mode)
    return kernels.max_pool_flat_indices(offsets, input.shape, *windows)


_MAX_POOLS = tuple(_max_pool_op(n) for n in (1, 2, 3))


def _max_pool(n: int, input: Any, return_indices: bool, *params: Any) -> Any:
    values = _on_batch(_MAX_POOLS[n - 1], n, input, *params)
    return (values, _on_batch(max_pool_indices, n, input, *params)) if return_indices else values


def max_pool1d(
    input: Array,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """The largest element of each window along `input` (N, C, L) or (C, L). Everything as for `max_pool2d`.

    >>> import tinygrad_cnn as tg
    >>> tg.max_pool1d(tg.tensor([[1.0, 3.0, 2.0, 2.0]]), 2)
    tensor([[3., 2.]])
    """
    found: Tensor = _max_pool(1, input, return_indices, kernel_size, stride, padding, dilation, ceil_mode)
    return found  # with return_indices a pair, which a type checker unpacks alike


def max_pool2d(
    input: Array,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """The largest element of each window over `input` (N, C, H, W) or (C, H, W): (N, C, OH, OW).

    stride: by default the kernel size. padding: at most half of the kernel; never chosen. ceil_mode: count a last
    window that reaches beyond the input. return_indices: also give where in its plane H·W each maximum lies, int64.
    Of equal elements the first is chosen, and it alone gets the gradient; NaN wins over every number.

    >>> import tinygrad_cnn as tg
    >>> tg.max_pool2d(tg.tensor([[[1.0, 3.0], [2.0, 2.0]]]), 2)
    tensor([[[3.]]])
    """
    found: Tensor = _max_pool(2, input, return_indices, kernel_size, stride, padding, dilation, ceil_mode)
    return found  # with return_indices a pair, which a type checker unpacks alike


def max_pool3d(
    input: Array,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """The largest element of each window in `input` (N, C, D, H, W) or (C, D, H, W). As `max_pool2d`.

    >>> import tinygrad_cnn as tg
    >>> tg.max_pool3d(tg.ones(1, 2, 4, 4, 4), (1, 2, 4)).shape
    (1, 2, 4, 2, 1)
    """
    found: Tensor = _max_pool(3, input, return_indices, kernel_size, stride, padding, dilation, ceil_mode)
    return found  # with return_indices a pair, which a type checker unpacks alike


# ---- average pools -----------------------------------------------------------------------------------------


def _avg_pool_op(n: int) -> Op[Any]:
    def avg_pool(
        input: Array,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        ceil_mode: bool,
        count_include_pad: bool,
        divisor_override: int | None,
    ) -> Any:
        """The mean of each window of a batch (N, C, *S): (N, C, *OS)."""
        kernel, stride, padding, _ = _checked_windows(input, n, "f", ceil_mode, kernel_size, stride, padding)
        if divisor_override == 0:
            raise ValueError("divisor_override is 0, expected another number")
        return kernels.avg_pool(input, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)

    avg_pool.__name__ = avg_pool.__qualname__ = f"avg_pool{n}d"
    made: Op[Any] = op(avg_pool)
    made.vjp("input")(avg_pool_grad)
    return made


def avg_pool_grad(
    g: Array,
    input_shape: Ints,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    return avg_pool_input(g, input_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@op
def avg_pool_input(
    grad: Array,
    shape: Ints,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """Spread each number of `grad` (N, C, *OS) evenly over its window, and add up to `shape`: the pool's adjoint."""
    kernel, stride, padding, _ = _windows(grad.ndim - 2, kernel_size, stride, padding)
    return kernels.avg_pool_input(grad, shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)


@avg_pool_input.vjp("grad")
def avg_pool_input_grad(
    g: Array,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    pool = _AVG_POOLS[g.ndim - 3]
    return pool(g, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


_AVG_POOLS = tuple(_avg_pool_op(n) for n in (1, 2, 3))


def avg_pool1d(
    input: Array,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window along `input` (N, C, L) or (C, L). Everything as for `avg_pool2d`.

    >>> import tinygrad_cnn as tg
    >>> tg.avg_pool1d(tg.tensor([[1.0, 3.0, 2.0, 4.0]]), 2)
    tensor([[2., 3.]])
    """
    return _on_batch(_AVG_POOLS[0], 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Array,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window over `input` (N, C, H, W) or (C, H, W): (N, C, OH, OW).

    stride: by default the kernel size. padding: zeros, at most half of the kernel; count_include_pad=False leaves
    them out of the mean. ceil_mode: count a last window that reaches beyond the input; what lies beyond the padding
    is never in the mean. divisor_override: divide each sum by this number instead.

    >>> import tinygrad_cnn as tg
    >>> tg.avg_pool2d(tg.tensor([[[1.0, 3.0], [2.0, 2.0]]]), 2)
    tensor([[[2.]]])
    """
    params = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    return _on_batch(_AVG_POOLS[1], 2, input, *params)


def avg_pool3d(
    input: Array,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window in `input` (N, C, D, H, W) or (C, D, H, W). Everything as for `avg_pool2d`.

    >>> import tinygrad_cnn as tg
    >>> tg.avg_pool3d(tg.ones(1, 2, 4, 4, 4), (1, 2, 4)).shape
    (1, 2, 4, 2, 1)
    """
    params = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    return _on_batch(_AVG_POOLS[2], 3, input, *params)


# ---- adaptive pools ----------------------------------------------------------------------------------------


OutputSize = int | None | Sequence[int | None]


def _output_size(name: str, input: Any, output_size: Any, n: int) -> Ints:
    """The output size as a tuple; None stands for the input's own. Window i is [floor(i·S/O), ceil((i + 1)·S/O))."""
    try:
        _check_dimensions((1, *input.shape) if input.ndim == n + 1 else input.shape, n)
        _check_kind(input, "f")
        if 0 in input.shape[-n:]:
            raise ValueError(f"x is {input.shape}, expected spatial dimensions of at least 1")
        wanted = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * n
        if len(wanted) != n:
            raise ValueError(f"output_size is {output_size}, expected an int or {n} ints")
        sizes = [s if o is None else o for o, s in zip(wanted, input.shape[-n:], strict=True)]
        return ints("output_size", sizes, n, 0)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}: {error}") from None


def _edges(size: int, out: int) -> list[tuple[int, int]]:
    """Where each of `out` windows over `size` elements starts and stops."""
    return [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _adaptive_avg_pool(n: int, input: Any, output_size: Any) -> Any:
    out = _output_size(f"adaptive_avg_pool{n}d", input, output_size, n)
    size = input.shape[-n:]
    if all(o and s % o == 0 for s, o in zip(size, out, strict=True)):  # equal windows that do not overlap
        kernel = tuple(s // o for s, o in zip(size, out, strict=True))
        return _on_batch(_AVG_POOLS[n - 1], n, input, kernel, kernel, 0, False, True, None)
    if (
        0 not in out and not np.isfinite(array_of(input)).all()
    ):  # the product below would spread a NaN over windows without it
        for s, o in zip(size, out, strict=True):
            input = stack([mean(narrow(input, -n, a, b - a), -n) for a, b in _edges(s, o)], -1)
        return input
    for s, o in zip(size, out, strict=True):
        means = np.zeros((s, o), input.dtype)
        for i, (start, stop) in enumerate(_edges(s, o)):
            means[start:stop, i] = 1 / (stop - start)
        # Takes the first spatial dimension away and puts its means last: after n turns all are in order again.
        input = tensordot(input, means, ([-n], [0]))
    return input


@composite
def adaptive_avg_pool1d(input: Array, output_size: OutputSize) -> Any:
    """The means of `output_size` windows along `input` (N, C, L) or (C, L): (N, C, OL).

    >>> import tinygrad_cnn as tg
    >>> tg.adaptive_avg_pool1d(tg.tensor([[1.0, 3.0, 8.0]]), 2)
    tensor([[2.0000, 5.5000]])
    """
    return _adaptive_avg_pool(1, input, output_size)


@composite
def adaptive_avg_pool2d(input: Array, output_size: OutputSize) -> Any:
    """The means of OH x OW = `output_size` windows over `input` (N, C, H, W) or (C, H, W): (N, C, OH, OW).

    Window i covers the rows floor(i·H/OH) to ceil((i + 1)·H/OH), so windows can overlap. None keeps the input's size.

    >>> import tinygrad_cnn as tg
    >>> tg.adaptive_avg_pool2d(tg.ones(2, 8, 7, 5), (None, 1)).shape
    (2, 8, 7, 1)
    """
    return _adaptive_avg_pool(2, input, output_size)


@composite
def adaptive_avg_pool3d(input: Array, output_size: OutputSize) -> Any:
    """The means of OD x OH x OW = `output_size` windows in `input` (N, C, D, H, W) or (C, D, H, W).

    >>> import tinygrad_cnn as tg
    >>> tg.adaptive_avg_pool3d(tg.ones(2, 8, 4, 7, 5), 2).shape
    (2, 8, 2, 2, 2)
    """
    return _adaptive_avg_pool(3, input, output_size)


@op(differentiable=False)
def adaptive_max_pool_indices(input: Array, output_size: Ints) -> Any:
    """Where in its flattened plane the largest element of each adaptive window lies, int64 (N, C, *OS)."""
    size = input.shape[2:]
    places = np.arange(math.prod(size)).reshape(size)
    indices = np.empty((*input.shape[:2], *output_size), np.int64)
    windows = [_edges(s, o) for s, o in zip(size, output_size, strict=True)]
    for at, edges in zip(np.ndindex(*output_size), itertools.product(*windows), strict=True):
        box = tuple([slice(start, stop) for start, stop in edges])
        inside = places[box].reshape(-1)
        window = input[:, :, *box].reshape(*input.shape[:2], inside.size)
        chosen = window.argmax(axis=2)
        nan = np.isnan(window)
        if nan.any():  # of several NaN the last is chosen, as in max_pool
            last = window.shape[2] - 1 - nan[..., ::-1].argmax(axis=2)
            chosen = np.where(nan.any(axis=2), last, chosen)
        indices[:, :, *at] = inside[chosen]
    return indices


def _adaptive_max_pool(n: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    out = _output_size(f"adaptive_max_pool{n}d", input, output_size, n)
    indices = _on_batch(adaptive_max_pool_indices, n, input, out)
    lead = input.shape[:-n]
    # (N, C, *S) -> (N, C, S), take, (N, C, OS) -> (N, C, *OS)
    flat = input.reshape((*lead, math.prod(input.shape[-n:])))
    values = gather(flat, len(lead), indices.reshape((*lead, math.prod(out)))).reshape((*lead, *out))
    return (values, indices) if return_indices else values


@composite
def adaptive_max_pool1d(input: Array, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The largest elements of `output_size` windows along `input` (N, C, L) or (C, L): (N, C, OL).

    >>> import tinygrad_cnn as tg
    >>> tg.adaptive_max_pool1d(tg.tensor([[1.0, 3.0, 8.0]]), 2)
    tensor([[3., 8.]])
    """
    return _adaptive_max_pool(1, input, output_size, return_indices)


@composite
def adaptive_max_pool2d(input: Array, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The largest elements of OH x OW = `output_size` windows over `input` (N, C, H, W) or (C, H, W).

    The windows are those of `adaptive_avg_pool2d`. return_indices: also give where in its plane each maximum lies.

    >>> import tinygrad_cnn as tg
    >>> tg.adaptive_max_pool2d(tg.ones(2, 8, 7, 5), 3).shape
    (2, 8, 3, 3)
    """
    return _adaptive_max_pool(2, input, output_size, return_indices)


@composite
def adaptive_max_pool3d(input: Array, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The largest elements of OD x OH x OW = `output_size` windows in `input` (N, C, D, H, W) or (C, D, H, W).

    >>> import tinygrad_cnn as tg
    >>> tg.adaptive_max_pool3d(tg.ones(2, 8, 4, 7, 5), 2).shape
    (2, 8, 2, 2, 2)
    """
    return _adaptive_max_pool(3, input, output_size, return_indices)

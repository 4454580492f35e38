"""Convolution and transposed convolution over one, two or three dimensions, and the two adjoints that close the family.

A convolution (cross-correlation, as every CNN framework calls it) is linear in its input and in its weight. So all
gradients, of any order, are made of three maps: the convolution, its adjoint in the input (`conv_input`, which is
also what a transposed convolution computes) and its adjoint in the weight (`conv_weight`). Each is an op, and each
is the gradient rule of the others. The adjoints serve any number of dimensions.

The input is a batch (N, C, *S) or one sample (C, *S), the weight is (O, C/groups, *K). Dumoulin and Visin, "A guide
to convolution arithmetic for deep learning" (2016), has pictures of every parameter.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from tinygrad_cnn import kernels
from tinygrad_cnn.autograd import Array, op
from tinygrad_cnn.ops.reduce import sum

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

T = TypeVar("T")
Ints = tuple[int, ...]
IntOrInts = int | Sequence[int]

AXES = {1: "L", 2: "HW", 3: "DHW"}  # what the spatial dimensions are called in messages


# ---- arguments ---------------------------------------------------------------------------------------------


def ints(name: str, value: Any, n: int, least: int) -> Ints:
    """A spatial parameter as a tuple of `n` ints: one number stands for all dimensions."""
    if type(value) is int and value >= least:
        return (value,) * n
    if type(value) is tuple and len(value) == n and {*map(type, value)} == {int} and min(value) >= least:
        return value  # as layers give it
    try:
        numbers = tuple(operator.index(v) for v in (value if isinstance(value, (tuple, list)) else (value,)))
    except TypeError:
        raise TypeError(f"{name} is {value!r}, expected an int or {n} ints") from None
    if len(numbers) == 1:
        numbers *= n
    if len(numbers) != n:
        raise ValueError(f"{name} is {value!r}, expected an int or {n} ints")
    if min(numbers) < least:
        raise ValueError(f"{name} is {value!r}, expected at least {least}")
    return numbers


_PLAIN, _INT = frozenset((int, bool, str, tuple, type(None))), frozenset((int,))
_is_tuple = tuple.__instancecheck__  # as `isinstance`, for `filter`


def remembered(function: Callable[..., T]) -> Callable[..., T]:
    """`function`, whose results are kept, where the arguments are numbers, words and tuples of ints.

    To look up, 1.0 and True are as good as 1, and must not pass for it: `typed` tells the arguments apart, and
    tuples with other things than ints in them are not looked up.
    """
    known = lru_cache(maxsize=1024, typed=True)(function)

    @wraps(function)
    def look_up(*arguments: Any) -> T:
        inside = chain.from_iterable(filter(_is_tuple, arguments))
        if _PLAIN.issuperset(map(type, arguments)) and _INT.issuperset(map(type, inside)):
            return known(*arguments)
        return function(*arguments)

    return look_up


@remembered
def _geometry(kernel: Ints, stride: Any, padding: Any, dilation: Any) -> tuple[Ints, Ints, Ints, Ints]:
    """Stride, padding, extra zeros behind the input, dilation. Only "same" with an even reach has such extra zeros."""
    n = len(kernel)
    stride, dilation = ints("stride", stride, n, 1), ints("dilation", dilation, n, 1)
    none = (0,) * n
    if not isinstance(padding, str):
        return stride, ints("padding", padding, n, 0), none, dilation
    if padding == "valid":
        return stride, none, none, dilation
    if padding != "same":
        raise ValueError(f"padding is {padding!r}, expected numbers, 'same' or 'valid'")
    if max(stride) > 1:
        raise ValueError(f"padding is 'same' and stride is {stride}, 'same' expects stride 1")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return stride, tuple(t // 2 for t in total), tuple(t % 2 for t in total), dilation


def _batched(x: Any, n: int) -> Any:
    """(C, *S) -> (1, C, *S); a batch stays as it is."""
    return x if x.ndim == n + 2 else x[None]


def _extended(x: Any, extra: Ints) -> Any:
    """The batch `x` with `extra` zeros behind each spatial dimension."""
    return np.pad(x, [(0, 0), (0, 0), *((0, e) for e in extra)]) if any(extra) else x


def conv_geometry(input: Any, kernel: Ints, stride: Any, padding: Any, dilation: Any) -> tuple[Any, Ints, Ints, Ints]:
    """The input as a batch with whatever "same" puts behind it, and stride, padding and dilation as tuples."""
    stride, padding, extra, dilation = _geometry(kernel, stride, padding, dilation)
    return _extended(_batched(input, len(kernel)), extra), stride, padding, dilation


def _cropped(x: Any, shape: Ints) -> Any:
    """The leading part of `x`, of shape `shape`."""
    return x if x.shape == shape else x[tuple(slice(s) for s in shape)]


def _check_shapes(n: int, x: Ints, weight: Ints, groups: int, transposed: bool) -> None:
    """Raise unless the shapes of input and weight fit each other."""
    axes = ", ".join(AXES[n])
    if len(weight) != n + 2:
        raise ValueError(f"weight has {len(weight)} dimensions {weight}, expected {n + 2}")
    if len(x) not in (n + 1, n + 2):
        raise ValueError(f"x has {len(x)} dimensions {x}, expected (N, C, {axes}) or (C, {axes})")
    if operator.index(groups) < 1 or weight[0] % groups:
        raise ValueError(f"groups is {groups}, expected a divisor of weight's first dimension {weight}")
    channels, inputs = x[-n - 1], weight[0] if transposed else weight[1] * groups
    if channels != inputs:
        within = f" with groups={groups}" if groups > 1 else ""
        raise ValueError(f"x has {channels} channels {x}, weight expects {inputs} {weight}{within}")


def _check_bias_and_dtypes(x: Any, weight: Any, bias: Any, outputs: int) -> None:
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"bias is {bias.shape}, weight {weight.shape} expects ({outputs},)")
    if x.dtype != weight.dtype or (bias is not None and bias.dtype != x.dtype):
        dtypes = f"x is {x.dtype}, weight is {weight.dtype}" + ("" if bias is None else f", bias is {bias.dtype}")
        raise TypeError(f"{dtypes}, expected one dtype")


def check_fit(
    x: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints, ceil_mode: bool = False
) -> None:
    """Raise, with the arithmetic, if the kernel is too large for the spatial dimensions of an input of shape `x`."""
    for i, name in enumerate(AXES[len(kernel)] if min(out) < 1 else ""):
        if out[i] < 1:
            dilated = f" with dilation {dilation}" if max(dilation) > 1 else ""
            room = f"({x[i - len(kernel)]} + 2*{padding[i]} - {dilation[i] * (kernel[i] - 1) + 1})"
            steps = f"ceil({room}/{stride[i]})" if ceil_mode else f"{room}//{stride[i]}"
            raise ValueError(
                f"kernel {kernel}{dilated} does not fit x {x}: "
                f"output {name} would be {steps} + 1 = {out[i]}, expected at least 1"
            )


# ---- kernels for any number of dimensions ------------------------------------------------------------------


@remembered
def _fitting_geometry(
    n: int, x: Ints, weight: Ints, stride: Any, padding: Any, dilation: Any, groups: int
) -> tuple[Ints, Ints, Ints, Ints]:
    """`_geometry` of a convolution over `n` dimensions, if the shapes of input and weight fit it."""
    _check_shapes(n, x, weight, groups, transposed=False)
    stride, padding, extra, dilation = _geometry(weight[2:], stride, padding, dilation)
    size = tuple(map(operator.add, x[-n:], extra))
    out = kernels.conv_output_size(size, weight[2:], stride, padding, dilation)
    check_fit(x, weight[2:], stride, padding, dilation, out)
    return stride, padding, extra, dilation


def _convolve(n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    given = n, input.shape, weight.shape, stride, padding, dilation, groups
    stride, padding, extra, dilation = _fitting_geometry(*given)
    _check_bias_and_dtypes(input, weight, bias, len(weight))
    y = kernels.conv(_extended(_batched(input, n), extra), weight, bias, stride, padding, dilation, groups)
    return y if input.ndim == n + 2 else y[0]


def _transpose(
    n: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    _check_shapes(n, input.shape, weight.shape, groups, transposed=True)
    _check_bias_and_dtypes(input, weight, bias, weight.shape[1] * groups)
    kernel = weight.shape[2:]
    stride, padding = ints("stride", stride, n, 1), ints("padding", padding, n, 0)
    dilation, more = ints("dilation", dilation, n, 1), ints("output_padding", output_padding, n, 0)
    out = []
    for i, name in enumerate(AXES[n]):
        if more[i] >= max(stride[i], dilation[i]):
            raise ValueError(f"output_padding is {more}, expected less than stride {stride} or dilation {dilation}")
        size, reach = input.shape[i - n], dilation[i] * (kernel[i] - 1)
        out.append((size - 1) * stride[i] - 2 * padding[i] + reach + more[i] + 1)
        if out[i] < 1:
            raise ValueError(
                f"kernel {kernel} is too small for x {input.shape}: output {name} would be ({size} - 1)*{stride[i]}"
                f" - 2*{padding[i]} + {reach} + {more[i]} + 1 = {out[i]}, expected at least 1"
            )
    x = _batched(input, n)
    y = kernels.conv_input(x, weight, (len(x), weight.shape[1] * groups, *out), stride, padding, dilation, groups)
    if bias is not None:
        y += bias.reshape(-1, *[1] * n)
    return y if input.ndim == n + 2 else y[0]


# ---- the ops -----------------------------------------------------------------------------------------------


@op
def conv1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrInts = 1,
    padding: str | IntOrInts = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Any:
    """Slide the filters `weight` (O, C/groups, K) along `input` (N, C, L) or (C, L), and add `bias` (O,).

    The result is (N, O, OL), OL = (L + 2·padding - dilation·(K - 1) - 1)//stride + 1; padding="same" keeps L.

    >>> import tinygrad_cnn as tg
    >>> tg.conv1d(tg.tensor([[1.0, 2.0, 4.0]]), tg.tensor([[[-1.0, 1.0]]]))
    tensor([[1., 2.]])
    """
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


@op
def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrInts = 1,
    padding: str | IntOrInts = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Any:
    """Slide the filters `weight` (O, C/groups, KH, KW) over `input` (N, C, H, W) or (C, H, W), and add `bias` (O,).

        out[n, o, i, j] = bias[o] + Σ weight[o, c, r, s] · input[n, c, y, x], over c, r, s
        y = i·stride + r·dilation - padding,  x = j·stride + s·dilation - padding

    The result is (N, O, OH, OW), OH = (H + 2·padding - dilation·(KH - 1) - 1)//stride + 1, OW likewise.
    padding: zeros around the input, a number, a pair, "valid" (none) or "same" (OH = H, OW = W; stride 1 only).
    groups: cut the channels into that many groups, each with filters of its own. ValueError if shapes do not fit.

    >>> import tinygrad_cnn as tg
    >>> image = tg.tensor([[[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]]])
    >>> tg.conv2d(image, tg.tensor([[[[-1.0, 1.0]]]]))
    tensor([[[1., 2.],
             [1., 2.]]])
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


@op
def conv3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrInts = 1,
    padding: str | IntOrInts = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Any:
    """Move the filters `weight` (O, C/groups, KD, KH, KW) through `input` (N, C, D, H, W), and add `bias` (O,).

    Everything as for `conv2d`, with one dimension more.

    >>> import tinygrad_cnn as tg
    >>> tg.conv3d(tg.ones(1, 2, 4, 4, 4), tg.ones(3, 2, 3, 3, 3), stride=(1, 1, 2), padding=(1, 0, 0)).shape
    (1, 3, 4, 2, 1)
    """
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups)


@op
def conv_transpose1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
) -> Any:
    """The adjoint of `conv1d` applied to `input` (N, C, L): `weight` is (C, O/groups, K), the result (N, O, OL).

    OL = (L - 1)·stride - 2·padding + dilation·(K - 1) + output_padding + 1.

    >>> import tinygrad_cnn as tg
    >>> tg.conv_transpose1d(tg.tensor([[1.0, 2.0]]), tg.tensor([[[1.0, 10.0]]]), stride=2)
    tensor([[ 1., 10.,  2., 20.]])
    """
    return _transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@op
def conv_transpose2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
) -> Any:
    """The adjoint of `conv2d` applied to `input` (N, C, H, W): `weight` is (C, O/groups, KH, KW).

        out[n, o, y, x] = bias[o] + Σ weight[c, o, r, s] · input[n, c, i, j], over all c, i, j, r, s with
        y = i·stride + r·dilation - padding,  x = j·stride + s·dilation - padding

    The result is (N, O, OH, OW), OH = (H - 1)·stride - 2·padding + dilation·(KH - 1) + output_padding + 1.
    output_padding must be less than stride or dilation: it chooses among the sizes that conv2d would make H.

    >>> import tinygrad_cnn as tg
    >>> tg.conv_transpose2d(tg.ones(1, 8, 7, 7), tg.ones(8, 3, 3, 3), stride=2, padding=1, output_padding=1).shape
    (1, 3, 14, 14)
    """
    return _transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@op
def conv_transpose3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
) -> Any:
    """The adjoint of `conv3d` applied to `input` (N, C, D, H, W): `weight` is (C, O/groups, KD, KH, KW).

    Everything as for `conv_transpose2d`, with one dimension more.

    >>> import tinygrad_cnn as tg
    >>> tg.conv_transpose3d(tg.ones(1, 2, 3, 3, 3), tg.ones(2, 4, 2, 2, 2), stride=2).shape
    (1, 4, 6, 6, 6)
    """
    return _transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


@op
def conv_input(
    grad: Array,
    weight: Array,
    shape: Ints,
    stride: IntOrInts = 1,
    padding: str | IntOrInts = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Any:
    """The adjoint of a convolution in its input: from `grad`, shaped like its result, to `shape`, its input's.

    >>> import tinygrad_cnn as tg
    >>> from tinygrad_cnn.ops.conv import conv_input
    >>> conv_input(tg.tensor([[1.0, 2.0]]), tg.tensor([[[-1.0, 1.0]]]), (1, 3))
    tensor([[-1., -1.,  2.]])
    """
    n = weight.ndim - 2
    stride, padding, extra, dilation = _geometry(weight.shape[2:], stride, padding, dilation)
    g = _batched(grad, n)
    size = tuple(s + e for s, e in zip(shape[-n:], extra, strict=True))
    x = kernels.conv_input(g, weight, (len(g), shape[-n - 1], *size), stride, padding, dilation, groups)
    return _cropped(x, (*x.shape[:2], *shape[-n:])).reshape(shape)


@op
def conv_weight(
    input: Array,
    grad: Array,
    shape: Ints,
    stride: IntOrInts = 1,
    padding: str | IntOrInts = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Any:
    """The adjoint of a convolution in its weight: from its `input` and `grad`, shaped like its result, to `shape`.

    >>> import tinygrad_cnn as tg
    >>> from tinygrad_cnn.ops.conv import conv_weight
    >>> conv_weight(tg.tensor([[1.0, 2.0, 4.0]]), tg.tensor([[1.0, 1.0]]), (1, 1, 2))
    tensor([[[3., 6.]]])
    """
    n = len(shape) - 2
    stride, padding, extra, dilation = _geometry(shape[2:], stride, padding, dilation)
    x = _extended(_batched(input, n), extra)
    return kernels.conv_weight(x, _batched(grad, n), shape, stride, padding, dilation, groups)


# ---- gradient rules ----------------------------------------------------------------------------------------


def convolve_as(x: Array, weight: Array, shape: Ints, stride: Any, padding: Any, dilation: Any, groups: int) -> Array:
    """The convolution without bias, cut to `shape`: the adjoint of its adjoints.

    More than `shape` comes out only if an output_padding of at least the stride made `x` larger than it had to be.
    """
    forward = (conv1d, conv2d, conv3d)[weight.ndim - 3]
    y = forward(x, weight, None, stride, padding, dilation, groups)
    return _cropped(y, shape)


def conv_grad_input(
    g: Array, weight: Array, input_shape: Ints, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    return conv_input(g, weight, input_shape, stride, padding, dilation, groups)


def conv_grad_weight(
    g: Array, input: Array, weight_shape: Ints, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    return conv_weight(input, g, weight_shape, stride, padding, dilation, groups)


def conv_grad_bias(g: Array, weight_shape: Ints) -> Array:
    n = len(weight_shape) - 2
    return sum(g, dim=tuple(i for i in range(g.ndim) if i != g.ndim - n - 1))


def conv_grads(
    g: Any,
    input: Any,
    weight: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    needs: tuple[bool, bool, bool],
) -> tuple[Any, Any, Any]:
    """The three gradients at once, by the fused kernel."""
    n = weight.ndim - 2
    stride, padding, extra, dilation = _geometry(weight.shape[2:], stride, padding, dilation)
    x, g = _batched(input, n), _batched(g, n)
    dx, dw, db = kernels.conv_backward(g, _extended(x, extra), weight, stride, padding, dilation, groups, needs)
    if dx is not None and dx.shape != input.shape:
        dx = _cropped(dx, x.shape).reshape(input.shape)
    return dx, dw, db


def conv_transpose_grad_input(
    g: Array, weight: Array, input_shape: Ints, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    return convolve_as(g, weight, input_shape, stride, padding, dilation, groups)


def conv_transpose_grad_weight(
    g: Array, input: Array, weight_shape: Ints, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    return conv_weight(g, input, weight_shape, stride, padding, dilation, groups)


for _convolution in (conv1d, conv2d, conv3d):
    _convolution.vjp("input")(conv_grad_input)
    _convolution.vjp("weight")(conv_grad_weight)
    _convolution.vjp("bias")(conv_grad_bias)
    _convolution.shortcut(conv_grads)

for _transposed in (conv_transpose1d, conv_transpose2d, conv_transpose3d):
    _transposed.vjp("input")(conv_transpose_grad_input)
    _transposed.vjp("weight")(conv_transpose_grad_weight)
    _transposed.vjp("bias")(conv_grad_bias)


@conv_input.vjp("grad")
def conv_input_grad_grad(
    g: Array, weight: Array, grad_shape: Ints, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    return convolve_as(g, weight, grad_shape, stride, padding, dilation, groups)


@conv_input.vjp("weight")
def conv_input_grad_weight(
    g: Array, grad: Array, weight_shape: Ints, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    return conv_weight(g, grad, weight_shape, stride, padding, dilation, groups)


@conv_weight.vjp("input")
def conv_weight_grad_input(
    g: Array, grad: Array, input_shape: Ints, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    return conv_input(grad, g, input_shape, stride, padding, dilation, groups)


@conv_weight.vjp("grad")
def conv_weight_grad_grad(
    g: Array, input: Array, grad_shape: Ints, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    return convolve_as(input, g, grad_shape, stride, padding, dilation, groups)

"""Element-wise ops: arithmetic, powers, exponentials and logarithms, rounding, `where`, `clamp` and their kin.

Two arrays broadcast against each other; the drive sums the gradients back. Integers get the default dtype where the
result is not an integer by nature. Where there is no number, the result is inf or NaN, without a warning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tinygrad_cnn.autograd import Array, op
from tinygrad_cnn.dtypes import get_default_dtype, promote
from tinygrad_cnn.ops.comparison import eq, ge, gt, isfinite, le, logical_and, logical_or, lt

if TYPE_CHECKING:
    from tinygrad_cnn.tensor import Tensor

__all__ = [
    "abs", "add", "addcdiv", "addcmul", "ceil", "clamp", "clamp_max", "clamp_min", "clip", "clone", "div", "erf",
    "exp", "exp2", "expm1", "floor", "floor_divide", "lerp", "log", "log10", "log1p", "log2", "logaddexp",
    "masked_fill", "maximum", "minimum", "mul", "nan_to_num", "neg", "pow", "reciprocal", "remainder", "round",
    "rsqrt", "rsub", "sigmoid", "sign", "sqrt", "square", "sub", "true_divide", "trunc", "where",
]  # fmt: skip


def floating(x: Any) -> Any:
    """The array itself if it holds floats, else its values in the default dtype."""
    x = np.asarray(x)
    if x.dtype.kind == "f":
        return x
    if x.dtype.kind not in "biu":
        raise TypeError(f"the input holds {x.dtype}, expected numbers")
    return x.astype(get_default_dtype())


def floats(x: Any) -> Any:
    """As `floating`, for one of two operands: a number stays one, so that it cannot widen the other operand."""
    return floating(x) if isinstance(x, np.ndarray) else x


def flat_grad(g: Array) -> Array:
    """The gradient of a function that is made of steps: zeros, in the shape of `g`."""
    return where(False, g, 0.0)


def times(x: Any, number: float) -> Any:
    """x · number in the dtype of `x`; an unsigned one wraps a negative number round, as it does its own results."""
    return x * np.asarray(number).astype(x.dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "u" else x * number


# ---- arithmetic --------------------------------------------------------------------------------------------


@op(broadcasts=True)
def add(input: Array, other: Array, *, alpha: float = 1) -> Any:
    """input + alpha · other.

    >>> import tinygrad_cnn as tg
    >>> tg.add(tg.tensor([1.0, 2.0]), 10)
    tensor([11., 12.])
    """
    return np.add(input, other) if alpha == 1 else np.add(input, times(other, alpha))


@add.vjp("input")
def add_grad_input(g: Array) -> Array:
    return g


@add.vjp("other")
def add_grad_other(g: Array, alpha: float) -> Array:
    return g if alpha == 1 else g * alpha


@op(broadcasts=True)
def sub(input: Array, other: Array, *, alpha: float = 1) -> Any:
    """input - alpha · other.

    >>> import tinygrad_cnn as tg
    >>> tg.sub(tg.tensor([1.0, 2.0]), tg.tensor([3.0, 5.0]))
    tensor([-2., -3.])
    """
    return np.subtract(input, other) if alpha == 1 else np.subtract(input, times(other, alpha))


@sub.vjp("input")
def sub_grad_input(g: Array) -> Array:
    return g


@sub.vjp("other")
def sub_grad_other(g: Array, alpha: float) -> Array:
    return -g if alpha == 1 else g * -alpha


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """other - alpha · input.

    >>> import tinygrad_cnn as tg
    >>> tg.rsub(tg.tensor([1.0, 2.0]), 10)
    tensor([9., 8.])
    """
    return sub(other, input, alpha=alpha)


@op(broadcasts=True)
def mul(input: Array, other: Array) -> Any:
    """input · other, element by element.

    >>> import tinygrad_cnn as tg
    >>> tg.mul(tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0]))
    tensor([3., 8.])
    """
    return np.multiply(input, other)


@mul.vjp("input")
def mul_grad_input(g: Array, other: Array) -> Array:
    return g * other


@mul.vjp("other")
def mul_grad_other(g: Array, input: Array) -> Array:
    return g * input


@op(broadcasts=True)
def div(input: Array, other: Array, *, rounding_mode: str | None = None) -> Any:
    """input / other; with `rounding_mode` "trunc" rounded towards 0, with "floor" downwards (integers stay integers).

    ValueError for an integer division by 0.

    >>> import tinygrad_cnn as tg
    >>> tg.div(tg.tensor([7, -7]), 2)
    tensor([ 3.5000, -3.5000])
    >>> tg.div(tg.tensor([7, -7]), 2, rounding_mode="floor")
    tensor([ 3, -4])
    """
    if rounding_mode is None:
        return np.true_divide(floats(input), floats(other))
    if rounding_mode not in ("trunc", "floor"):
        raise ValueError(f"rounding_mode is {rounding_mode!r}, expected None, 'trunc' or 'floor'")
    integers = np.result_type(input, other).kind in "biu"
    if integers:
        check_divisor(other)
    if rounding_mode == "floor":
        return np.floor_divide(input, other)
    return (input - np.fmod(input, other)) // other if integers else np.trunc(np.true_divide(input, other))


@div.vjp("input")
def div_grad_input(g: Array, other: Array, rounding_mode: str | None) -> Array:
    return g / other if rounding_mode is None else flat_grad(g)


@div.vjp("other")
def div_grad_other(g: Array, input: Array, other: Array, rounding_mode: str | None) -> Array:
    return -g * ((input / other) / other) if rounding_mode is None else flat_grad(g)


true_divide = div


def check_divisor(other: Any) -> None:
    """Raise ValueError if an integer divisor holds a 0: integers have no inf to answer with."""
    if not np.all(other):
        raise ValueError("other holds a 0, a division of integers expects none")


def floor_divide(input: Any, other: Any) -> Tensor:
    """input / other, rounded downwards: `div` with rounding_mode="floor".

    >>> import tinygrad_cnn as tg
    >>> tg.floor_divide(tg.tensor([7.0, -7.0]), 2)
    tensor([ 3., -4.])
    """
    return div(input, other, rounding_mode="floor")


@op(broadcasts=True)
def remainder(input: Array, other: Array) -> Any:
    """input - other · floor(input / other), which has the sign of `other`, as Python's %.

    >>> import tinygrad_cnn as tg
    >>> tg.remainder(tg.tensor([-7.0, 7.0]), 4)
    tensor([1., 3.])
    """
    if np.result_type(input, other).kind in "biu":
        check_divisor(other)
    return np.remainder(input, other)


@remainder.vjp("input")
def remainder_grad_input(g: Array) -> Array:
    return g


@remainder.vjp("other")
def remainder_grad_other(g: Array, input: Array, other: Array) -> Array:
    return -g * div(input, other, rounding_mode="floor")


@op
def neg(input: Array) -> Any:
    """-input.

    >>> import tinygrad_cnn as tg
    >>> tg.neg(tg.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """
    return np.negative(input)


@neg.vjp("input")
def neg_grad(g: Array) -> Array:
    return -g


@op
def abs(input: Array) -> Any:
    """The absolute value; its gradient at 0 is 0.

    >>> import tinygrad_cnn as tg
    >>> tg.abs(tg.tensor([-1.0, 2.0]))
    tensor([1., 2.])
    """
    return np.absolute(input)


@abs.vjp("input")
def abs_grad(g: Array, input: Array) -> Array:
    return g * sign(input)


@op
def sign(input: Array) -> Any:
    """-1, 0 or 1 (0 for NaN); its gradient is 0.

    >>> import tinygrad_cnn as tg
    >>> tg.sign(tg.tensor([-3.0, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """
    return np.subtract(input > 0, input < 0, dtype=input.dtype) if input.dtype.kind != "b" else input.copy()


@sign.vjp("input")
def sign_grad(g: Array) -> Array:
    return flat_grad(g)


@op
def clone(input: Array) -> Any:
    """A copy; gradients flow through it.

    >>> import tinygrad_cnn as tg
    >>> tg.clone(tg.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    return np.array(input, copy=True)


@clone.vjp("input")
def clone_grad(g: Array) -> Array:
    return g


@op(broadcasts=True)
def lerp(input: Array, end: Array, weight: Array) -> Any:
    """input + weight · (end - input): `weight` 0 gives `input`, 1 gives `end`, exactly.

    >>> import tinygrad_cnn as tg
    >>> tg.lerp(tg.tensor([0.0, 10.0]), tg.tensor([1.0, 20.0]), 0.5)
    tensor([ 0.5000, 15.0000])
    """
    way = end - input
    from_input, from_end = input + weight * way, end - way * (1 - weight)
    if isinstance(weight, np.ndarray):
        return np.where(np.absolute(weight) < 0.5, from_input, from_end)
    return from_input if -0.5 < weight < 0.5 else from_end


@lerp.vjp("input")
def lerp_grad_input(g: Array, weight: Array) -> Array:
    return g * (1 - weight)


@lerp.vjp("end")
def lerp_grad_end(g: Array, weight: Array) -> Array:
    return g * weight


@lerp.vjp("weight")
def lerp_grad_weight(g: Array, input: Array, end: Array) -> Array:
    return g * (end - input)


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
    """input + value · tensor1 · tensor2.

    >>> import tinygrad_cnn as tg
    >>> tg.addcmul(tg.tensor([1.0]), tg.tensor([2.0]), tg.tensor([3.0]), value=0.5)
    tensor([4.])
    """
    return add(input, mul(tensor1, tensor2), alpha=value)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
    """input + value · tensor1 / tensor2.

    >>> import tinygrad_cnn as tg
    >>> tg.addcdiv(tg.tensor([1.0]), tg.tensor([2.0]), tg.tensor([4.0]), value=-1)
    tensor([0.5000])
    """
    return add(input, div(tensor1, tensor2), alpha=value)


# ---- powers ------------------------------------------------------------------------------------------------


@op(broadcasts=True)
def pow(input: Array, exponent: Array) -> Any:
    """input to the power of `exponent`; each may be an array or a number.

    Integers to a negative power are 0, or ±1 for ±1, if the power is an array; one number raises ValueError.

    >>> import tinygrad_cnn as tg
    >>> tg.pow(tg.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """
    if not isinstance(exponent, np.ndarray) and exponent in _SHORT_POWERS:
        return _SHORT_POWERS[exponent](input)
    if isinstance(exponent, np.ndarray) and exponent.dtype.kind == "i" and (exponent < 0).any():
        inverse = np.where(np.absolute(input) == 1, np.power(input, exponent & 1), 0)  # 1/x as a whole number
        return np.where(exponent < 0, inverse, np.power(input, np.maximum(exponent, 0)))
    return np.power(input, exponent)


_SHORT_POWERS: dict[float, Callable[[Any], Any]] = {  # a power function costs twenty times a product
    -0.5: lambda x: np.reciprocal(np.sqrt(x)),
    0.5: np.sqrt,
    1: np.positive,
    2: np.square,
    3: lambda x: x * x * x,
}


@pow.vjp("input")
def pow_grad_input(g: Array, input: Array, exponent: Array) -> Array:
    if isinstance(exponent, (int, float)):
        return g * (exponent * pow(input, exponent - 1)) if exponent else flat_grad(g)
    # x**0 is flat also at x = 0, where 0 · x**-1 would be NaN.
    flat = logical_and(eq(input, 0), eq(exponent, 0))
    return g * (exponent * pow(where(flat, 1.0, input), exponent - 1))


@pow.vjp("exponent")
def pow_grad_exponent(g: Array, out: Array, input: Array, exponent: Array) -> Array:
    if isinstance(input, (int, float)):
        input = np.asarray(input, g.dtype)  # so that its logarithm is as precise as g
    # 0**e is flat for e >= 0: the base 1, with logarithm 0, stands for it, at every order.
    flat = logical_and(eq(input, 0), ge(exponent, 0))
    return g * (out * log(where(flat, 1.0, input)))


@op
def square(input: Array) -> Any:
    """input².

    >>> import tinygrad_cnn as tg
    >>> tg.square(tg.tensor([1.0, -3.0]))
    tensor([1., 9.])
    """
    return np.multiply(input, input, dtype=np.int64 if input.dtype.kind == "b" else input.dtype)


@square.vjp("input")
def square_grad(g: Array, input: Array) -> Array:
    return g * (2 * input)


@op
def sqrt(input: Array) -> Any:
    """The square root; NaN below 0, and the gradient at 0 is inf.

    >>> import tinygrad_cnn as tg
    >>> tg.sqrt(tg.tensor([4.0, 9.0]))
    tensor([2., 3.])
    """
    return np.sqrt(floating(input))


@sqrt.vjp("input")
def sqrt_grad(g: Array, out: Array) -> Array:
    return g / (2 * out)


@op
def rsqrt(input: Array) -> Any:
    """1 / √input.

    >>> import tinygrad_cnn as tg
    >>> tg.rsqrt(tg.tensor([4.0, 16.0]))
    tensor([0.5000, 0.2500])
    """
    return np.reciprocal(np.sqrt(floating(input)))


@rsqrt.vjp("input")
def rsqrt_grad(g: Array, out: Array) -> Array:
    return g * (-0.5 * (out * out * out))


@op
def reciprocal(input: Array) -> Any:
    """1 / input.

    >>> import tinygrad_cnn as tg
    >>> tg.reciprocal(tg.tensor([2.0, 4.0]))
    tensor([0.5000, 0.2500])
    """
    return np.reciprocal(floating(input))


@reciprocal.vjp("input")
def reciprocal_grad(g: Array, out: Array) -> Array:
    return -g * (out * out)


# ---- exponentials and logarithms ---------------------------------------------------------------------------


@op
def exp(input: Array) -> Any:
    """e to the power of each element.

    >>> import tinygrad_cnn as tg
    >>> tg.exp(tg.tensor([0.0, 1.0]))
    tensor([1.0000, 2.7183])
    """
    return np.exp(floating(input))


@exp.vjp("input")
def exp_grad(g: Array, out: Array) -> Array:
    return g * out


@op
def exp2(input: Array) -> Any:
    """2 to the power of each element.

    >>> import tinygrad_cnn as tg
    >>> tg.exp2(tg.tensor([0.0, 3.0]))
    tensor([1., 8.])
    """
    return np.exp2(floating(input))


@exp2.vjp("input")
def exp2_grad(g: Array, out: Array) -> Array:
    return g * (out * math.log(2))


@op
def expm1(input: Array) -> Any:
    """e^input - 1, exact also near 0.

    >>> import tinygrad_cnn as tg
    >>> tg.expm1(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 1.7183])
    """
    return np.expm1(floating(input))


@expm1.vjp("input")
def expm1_grad(g: Array, out: Array) -> Array:
    return g * (out + 1)


@op
def log(input: Array) -> Any:
    """The natural logarithm; -inf at 0, NaN below.

    >>> import tinygrad_cnn as tg
    >>> tg.log(tg.tensor([1.0, 10.0]))
    tensor([0.0000, 2.3026])
    """
    return np.log(floating(input))


@log.vjp("input")
def log_grad(g: Array, input: Array) -> Array:
    return g / input


@op
def log2(input: Array) -> Any:
    """The logarithm to base 2.

    >>> import tinygrad_cnn as tg
    >>> tg.log2(tg.tensor([1.0, 8.0]))
    tensor([0., 3.])
    """
    return np.log2(floating(input))


@log2.vjp("input")
def log2_grad(g: Array, input: Array) -> Array:
    return g / (input * math.log(2))


@op
def log10(input: Array) -> Any:
    """The logarithm to base 10.

    >>> import tinygrad_cnn as tg
    >>> tg.log10(tg.tensor([1.0, 10.0]))
    tensor([0., 1.])
    """
    return np.log10(floating(input))


@log10.vjp("input")
def log10_grad(g: Array, input: Array) -> Array:
    return g / (input * math.log(10))


@op
def log1p(input: Array) -> Any:
    """log(1 + input), exact also near 0.

    >>> import tinygrad_cnn as tg
    >>> tg.log1p(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 0.6931])
    """
    return np.log1p(floating(input))


@log1p.vjp("input")
def log1p_grad(g: Array, input: Array) -> Array:
    return g / (input + 1)


@op(broadcasts=True)
def logaddexp(input: Array, other: Array) -> Any:
    """log(e^input + e^other), without overflow.

    >>> import tinygrad_cnn as tg
    >>> tg.logaddexp(tg.tensor([0.0, 100.0]), tg.tensor([0.0, 100.0]))
    tensor([  0.6931, 100.6931])
    """
    return np.logaddexp(floats(input), floats(other))


@logaddexp.vjp("input")
def logaddexp_grad_input(g: Array, input: Array, other: Array) -> Array:
    return g * sigmoid(input - other)


@logaddexp.vjp("other")
def logaddexp_grad_other(g: Array, input: Array, other: Array) -> Array:
    return g * sigmoid(other - input)


@op
def sigmoid(input: Array) -> Any:
    """1 / (1 + e^-input).

    >>> import tinygrad_cnn as tg
    >>> tg.sigmoid(tg.tensor([0.0, 2.0]))
    tensor([0.5000, 0.8808])
    """
    return np.reciprocal(np.exp(-floating(input)) + 1)


@sigmoid.vjp("input")
def sigmoid_grad(g: Array, out: Array) -> Array:
    return g * (out * (1 - out))


@op
def erf(input: Array) -> Any:
    """The error function: 2/√π times the integral of e^(-t²) from 0 to the input.

    >>> import tinygrad_cnn as tg
    >>> tg.erf(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8427])
    """
    from scipy import special  # on first use: it is slow to import

    x = floating(input)
    return np.asarray(special.erf(x)).astype(x.dtype, copy=False)  # SciPy makes float64 of float16


@erf.vjp("input")
def erf_grad(g: Array, input: Array) -> Array:
    return g * (exp(-(input * input)) * (2 / math.sqrt(math.pi)))


# ---- rounding ----------------------------------------------------------------------------------------------


def whole(function: Callable[[Any], Any], x: Any) -> Any:
    """What a rounding function makes of floats; integers are whole already."""
    return function(x) if x.dtype.kind == "f" else x.copy()


@op
def floor(input: Array) -> Any:
    """The next whole number downwards; the gradient is 0.

    >>> import tinygrad_cnn as tg
    >>> tg.floor(tg.tensor([1.5, -1.5]))
    tensor([ 1., -2.])
    """
    return whole(np.floor, input)


@floor.vjp("input")
def floor_grad(g: Array) -> Array:
    return flat_grad(g)


@op
def ceil(input: Array) -> Any:
    """The next whole number upwards; the gradient is 0.

    >>> import tinygrad_cnn as tg
    >>> tg.ceil(tg.tensor([1.5, -1.5]))
    tensor([ 2., -1.])
    """
    return whole(np.ceil, input)


@ceil.vjp("input")
def ceil_grad(g: Array) -> Array:
    return flat_grad(g)


@op
def trunc(input: Array) -> Any:
    """The next whole number towards 0; the gradient is 0.

    >>> import tinygrad_cnn as tg
    >>> tg.trunc(tg.tensor([1.5, -1.5]))
    tensor([ 1., -1.])
    """
    return whole(np.trunc, input)


@trunc.vjp("input")
def trunc_grad(g: Array) -> Array:
    return flat_grad(g)


@op
def round(input: Array, *, decimals: int = 0) -> Any:
    """The nearest number with `decimals` decimals, the even one of two that are as near; the gradient is 0.

    >>> import tinygrad_cnn as tg
    >>> tg.round(tg.tensor([0.5, 1.5, 2.6]))
    tensor([0., 2., 3.])
    """
    return whole(lambda x: np.round(x, decimals), input)


@round.vjp("input")
def round_grad(g: Array) -> Array:
    return flat_grad(g)


# ---- choosing ----------------------------------------------------------------------------------------------


@op(broadcasts=True, promotes=False)
def where_op(condition: Array, input: Array, other: Array) -> Any:
    """The elements of `input` where `condition` is true, those of `other` elsewhere; the three broadcast."""
    check_mask("condition", condition)
    input, other = promote([input, other])
    out: Any = np.where(condition, input, other)
    numbers = not isinstance(input, np.ndarray) and not isinstance(other, np.ndarray)
    return out.astype(get_default_dtype()) if numbers and out.dtype == np.float64 else out


where_op.name = "where"


@where_op.vjp("input")
def where_grad_input(g: Array, condition: Array) -> Array:
    return where(condition, g, 0.0)


@where_op.vjp("other")
def where_grad_other(g: Array, condition: Array) -> Array:
    return where(condition, 0.0, g)


@overload
def where(condition: Any) -> tuple[Tensor, ...]: ...
@overload
def where(condition: Any, input: Any, other: Any) -> Tensor: ...
def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """The elements of `input` where `condition` is true, those of `other` elsewhere; the three broadcast.

    With the condition alone, where it is true: as `nonzero(condition, as_tuple=True)`.

    >>> import tinygrad_cnn as tg
    >>> x = tg.tensor([-1.0, 2.0])
    >>> tg.where(x > 0, x, 0.0)
    tensor([0., 2.])
    >>> tg.where(x > 0)
    (tensor([1]),)
    """
    if input is None or other is None:
        if input is not other:
            raise TypeError("where: got one of input and other, expected both or none")
        from tinygrad_cnn.ops.index import nonzero  # which is built on this file

        return nonzero(condition, as_tuple=True)
    return where_op(condition, input, other)


def check_mask(name: str, mask: Any) -> None:
    """Raise TypeError unless `mask` holds booleans."""
    dtype = np.asarray(mask).dtype
    if dtype.kind != "b":
        raise TypeError(f"{name} holds {dtype}, expected booleans")


@op(broadcasts=True, promotes=False)
def masked_fill(input: Array, mask: Array, value: Array) -> Any:
    """`value`, one number, where `mask` is true, the input elsewhere, in the input's dtype.

    >>> import tinygrad_cnn as tg
    >>> tg.masked_fill(tg.tensor([1.0, 2.0]), tg.tensor([True, False]), 9)
    tensor([9., 2.])
    """
    check_mask("mask", mask)
    if np.ndim(value):
        raise ValueError(f"value has shape {np.shape(value)}, expected one number")
    if input.dtype.kind in "iu" and not np.isfinite(value):
        raise ValueError(f"value is {value}, the input holds {input.dtype}, expected a number that goes into it")
    return np.where(mask, np.asarray(value).astype(input.dtype), input)


@masked_fill.vjp("input")
def masked_fill_grad_input(g: Array, mask: Array) -> Array:
    return where(mask, 0.0, g)


@masked_fill.vjp("value")
def masked_fill_grad_value(g: Array, mask: Array) -> Array:
    return where(mask, g, 0.0)


@op
def nan_to_num(input: Array, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """The input with other numbers for NaN, inf and -inf (by default 0, and the largest numbers that there are).

    >>> import tinygrad_cnn as tg
    >>> tg.nan_to_num(tg.tensor([1.0, float("nan"), float("inf")]), posinf=9.0)
    tensor([1., 0., 9.])
    """
    return np.nan_to_num(input, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf)


@nan_to_num.vjp("input")
def nan_to_num_grad(g: Array, input: Array) -> Array:
    return where(isfinite(input), g, 0.0)


@op(broadcasts=True)
def maximum(input: Array, other: Array) -> Any:
    """The larger of the two, NaN if one is NaN; where they are equal each gets half of the gradient.

    >>> import tinygrad_cnn as tg
    >>> tg.maximum(tg.tensor([1.0, 5.0]), tg.tensor([3.0, 2.0]))
    tensor([3., 5.])
    """
    return np.maximum(input, other)


@maximum.vjp("input")
def maximum_grad_input(g: Array, input: Array, other: Array) -> Array:
    return where(lt(input, other), 0.0, halved_at_ties(g, input, other))


@maximum.vjp("other")
def maximum_grad_other(g: Array, input: Array, other: Array) -> Array:
    return where(gt(input, other), 0.0, halved_at_ties(g, input, other))


@op(broadcasts=True)
def minimum(input: Array, other: Array) -> Any:
    """The smaller of the two, NaN if one is NaN; where they are equal each gets half of the gradient.

    >>> import tinygrad_cnn as tg
    >>> tg.minimum(tg.tensor([1.0, 5.0]), tg.tensor([3.0, 2.0]))
    tensor([1., 2.])
    """
    return np.minimum(input, other)


@minimum.vjp("input")
def minimum_grad_input(g: Array, input: Array, other: Array) -> Array:
    return where(gt(input, other), 0.0, halved_at_ties(g, input, other))


@minimum.vjp("other")
def minimum_grad_other(g: Array, input: Array, other: Array) -> Array:
    return where(lt(input, other), 0.0, halved_at_ties(g, input, other))


def halved_at_ties(g: Array, input: Array, other: Array) -> Array:
    """Half of `g` where the two are equal, all of it elsewhere."""
    return where(eq(input, other), g * 0.5, g)


@op(broadcasts=True)
def clamp(input: Array, min: Array | None = None, max: Array | None = None) -> Any:
    """The input, no smaller than `min` and no larger than `max`: numbers, arrays or None; NaN stays NaN.

    The gradient passes where the input lies within the bounds or on them.

    >>> import tinygrad_cnn as tg
    >>> tg.clamp(tg.tensor([-1.0, 0.5, 3.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise ValueError("min and max are both None, expected at least one bound")
    out = input if min is None else np.maximum(input, min)
    return out if max is None else np.minimum(out, max)


@clamp.vjp("input")
def clamp_grad_input(g: Array, input: Array, min: Array | None, max: Array | None) -> Array:
    if min is None:
        return where(le(input, max), g, 0.0)
    if max is None:
        return where(ge(input, min), g, 0.0)
    return where(logical_and(ge(input, min), le(input, max)), g, 0.0)


@clamp.vjp("min")
def clamp_grad_min(g: Array, input: Array, min: Array, max: Array | None) -> Array:
    below = lt(input, min)
    return where(below if max is None else logical_and(below, lt(min, max)), g, 0.0)


@clamp.vjp("max")
def clamp_grad_max(g: Array, input: Array, min: Array | None, max: Array) -> Array:
    above = gt(input, max)
    return where(above if min is None else logical_or(above, lt(max, min)), g, 0.0)


clip = clamp


def clamp_min(input: Any, min: Any) -> Tensor:
    """The input, no smaller than `min`.

    >>> import tinygrad_cnn as tg
    >>> tg.clamp_min(tg.tensor([-1.0, 3.0]), 0)
    tensor([0., 3.])
    """
    return clamp(input, min, None)


def clamp_max(input: Any, max: Any) -> Tensor:
    """The input, no larger than `max`.

    >>> import tinygrad_cnn as tg
    >>> tg.clamp_max(tg.tensor([-1.0, 3.0]), 0)
    tensor([-1.,  0.])
    """
    return clamp(input, None, max)

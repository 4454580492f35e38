"""Element-wise ops: arithmetic, powers, logarithms, trigonometry, rounding, comparisons, `clamp` and `where`.

Two arrays broadcast against each other; the drive sums the gradients back. Integers become float32 where the result
is not an integer by nature. Where there is no number, the result is inf or NaN, without a warning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cnn.autograd import Array, Variable, op
from tinygrad_cnn.dtypes import promote

__all__ = [
    "abs", "acos", "add", "addcdiv", "addcmul", "allclose", "asin", "atan", "atan2", "bitwise_and",
    "bitwise_not", "bitwise_or", "bitwise_xor", "ceil", "clamp", "clamp_max", "clamp_min", "clone", "cos",
    "cosh", "div", "eq", "equal", "erf", "exp", "exp2", "expm1", "floor", "floor_divide", "ge", "gt",
    "isclose", "isfinite", "isinf", "isnan", "le", "lerp", "log", "log1p", "log2", "log10", "logaddexp",
    "logical_and", "logical_not", "logical_or", "logical_xor", "lt", "masked_fill", "maximum", "minimum",
    "mul", "nan_to_num", "ne", "neg", "pow", "reciprocal", "remainder", "round", "rsqrt", "rsub", "sigmoid",
    "sign", "sin", "sinc", "sinh", "sqrt", "square", "sub", "tan", "tanh", "true_divide", "trunc", "where",
]  # fmt: skip


def floating(x: Any) -> Any:
    """The array itself if it holds floats, else its values as the default float, float32."""
    x = np.asarray(x)
    return x if x.dtype.kind == "f" else x.astype(np.float32)


def floats(x: Any) -> Any:
    """As `floating`, for one of two operands: a number stays one, so that it cannot widen the other operand."""
    return floating(x) if isinstance(x, np.ndarray) else x


def array_of(x: Any) -> np.ndarray[Any, Any]:
    """The ndarray of a Tensor, of an ndarray or of a number."""
    return x.array if isinstance(x, Variable) else np.asarray(x)


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


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Any:
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


def floor_divide(input: Any, other: Any) -> Any:
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


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """input + value · tensor1 · tensor2.

    >>> import tinygrad_cnn as tg
    >>> tg.addcmul(tg.tensor([1.0]), tg.tensor([2.0]), tg.tensor([3.0]), value=0.5)
    tensor([4.])
    """
    return add(input, mul(tensor1, tensor2), alpha=value)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
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


# ---- trigonometry and its hyperbolic kin -------------------------------------------------------------------


@op
def sin(input: Array) -> Any:
    """The sine of an angle in radians.

    >>> import tinygrad_cnn as tg
    >>> tg.sin(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8415])
    """
    return np.sin(floating(input))


@sin.vjp("input")
def sin_grad(g: Array, input: Array) -> Array:
    return g * cos(input)


@op
def cos(input: Array) -> Any:
    """The cosine of an angle in radians.

    >>> import tinygrad_cnn as tg
    >>> tg.cos(tg.tensor([0.0, 1.0]))
    tensor([1.0000, 0.5403])
    """
    return np.cos(floating(input))


@cos.vjp("input")
def cos_grad(g: Array, input: Array) -> Array:
    return -g * sin(input)


@op
def tan(input: Array) -> Any:
    """The tangent of an angle in radians.

    >>> import tinygrad_cnn as tg
    >>> tg.tan(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 1.5574])
    """
    return np.tan(floating(input))


@tan.vjp("input")
def tan_grad(g: Array, out: Array) -> Array:
    return g * (out * out + 1)


@op
def asin(input: Array) -> Any:
    """The angle in radians, from -π/2 to π/2, whose sine is the input; NaN outside of -1 … 1.

    >>> import tinygrad_cnn as tg
    >>> tg.asin(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 1.5708])
    """
    return np.arcsin(floating(input))


@asin.vjp("input")
def asin_grad(g: Array, input: Array) -> Array:
    return g * rsqrt(1 - input * input)


@op
def acos(input: Array) -> Any:
    """The angle in radians, from 0 to π, whose cosine is the input; NaN outside of -1 … 1.

    >>> import tinygrad_cnn as tg
    >>> tg.acos(tg.tensor([1.0, 0.0]))
    tensor([0.0000, 1.5708])
    """
    return np.arccos(floating(input))


@acos.vjp("input")
def acos_grad(g: Array, input: Array) -> Array:
    return -g * rsqrt(1 - input * input)


@op
def atan(input: Array) -> Any:
    """The angle in radians, from -π/2 to π/2, whose tangent is the input.

    >>> import tinygrad_cnn as tg
    >>> tg.atan(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7854])
    """
    return np.arctan(floating(input))


@atan.vjp("input")
def atan_grad(g: Array, input: Array) -> Array:
    return g / (input * input + 1)


@op(broadcasts=True)
def atan2(input: Array, other: Array) -> Any:
    """The angle in radians, from -π to π, of the point with x = `other` and y = `input`.

    The gradient at the origin is 0.

    >>> import tinygrad_cnn as tg
    >>> tg.atan2(tg.tensor([1.0, 1.0]), tg.tensor([1.0, -1.0]))
    tensor([0.7854, 2.3562])
    """
    return np.arctan2(floats(input), floats(other))


@atan2.vjp("input")
def atan2_grad_input(g: Array, input: Array, other: Array) -> Array:
    return g * (other * inverse_square_radius(input, other))


@atan2.vjp("other")
def atan2_grad_other(g: Array, input: Array, other: Array) -> Array:
    return g * (-input * inverse_square_radius(input, other))


def inverse_square_radius(y: Array, x: Array) -> Array:
    """1 / (x² + y²), and 0 at the origin."""
    square_radius = y * y + x * x
    origin = eq(square_radius, 0)
    return where(origin, 0.0, reciprocal(where(origin, 1.0, square_radius)))


@op
def sinh(input: Array) -> Any:
    """The hyperbolic sine.

    >>> import tinygrad_cnn as tg
    >>> tg.sinh(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 1.1752])
    """
    return np.sinh(floating(input))


@sinh.vjp("input")
def sinh_grad(g: Array, input: Array) -> Array:
    return g * cosh(input)


@op
def cosh(input: Array) -> Any:
    """The hyperbolic cosine.

    >>> import tinygrad_cnn as tg
    >>> tg.cosh(tg.tensor([0.0, 1.0]))
    tensor([1.0000, 1.5431])
    """
    return np.cosh(floating(input))


@cosh.vjp("input")
def cosh_grad(g: Array, input: Array) -> Array:
    return g * sinh(input)


@op
def tanh(input: Array) -> Any:
    """The hyperbolic tangent.

    >>> import tinygrad_cnn as tg
    >>> tg.tanh(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7616])
    """
    return np.tanh(floating(input))


@tanh.vjp("input")
def tanh_grad(g: Array, out: Array) -> Array:
    return g * (1 - out * out)


@op
def sinc(input: Array) -> Any:
    """sin(πx) / (πx), and 1 at 0.

    >>> import tinygrad_cnn as tg
    >>> tg.sinc(tg.tensor([0.0, 0.5]))
    tensor([1.0000, 0.6366])
    """
    return np.sinc(floating(input))


@sinc.vjp("input")
def sinc_grad(g: Array, input: Array) -> Array:
    z = input * math.pi
    return g * (z * sinc_family(z, order=1) * -math.pi)


@op
def sinc_family(input: Array, order: int) -> Any:
    """j(z) / z^order, where j is the spherical Bessel function of an order: order 0 is sin(z)/z.

    Smooth and even; the derivative is -z times the next of the family (NIST DLMF 10.51.3), so that the derivatives
    of `sinc` are exact at and around 0, at every order.

    >>> sinc_family(np.zeros(1), order=1)
    array([0.33333333])
    """
    return np.where(np.absolute(input) < order + 2, _sinc_series(input, order), _sinc_recurrence(input, order))


def _sinc_series(z: Any, order: int) -> Any:
    """The power series in z² (DLMF 10.53.1); exact to float64 for |z| < order + 2."""
    term = total = np.ones_like(z) / math.prod(range(1, 2 * order + 2, 2))
    for k in range(1, 20 + order):
        term = term * (z * z) * (-0.5 / (k * (2 * order + 2 * k + 1)))
        total = total + term
    return total


def _sinc_recurrence(z: Any, order: int) -> Any:
    """From cos z and sin z / z upwards (DLMF 10.51.1); stable where |z| is not below the order."""
    before, now = np.cos(z), np.sin(z) / z
    for n in range(order):
        before, now = now, ((2 * n + 1) * now - before) / (z * z)
    return now


@sinc_family.vjp("input")
def sinc_family_grad(g: Array, input: Array, order: int) -> Array:
    return -g * (input * sinc_family(input, order=order + 1))


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


# ---- comparisons and logic: booleans, without gradients ----------------------------------------------------


@op(broadcasts=True, differentiable=False)
def eq(input: Array, other: Array) -> Any:
    """Where input = other, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.eq(tg.tensor([1, 2, 3]), 2)
    tensor([False,  True, False])
    """
    return np.equal(input, other)


@op(broadcasts=True, differentiable=False)
def ne(input: Array, other: Array) -> Any:
    """Where input ≠ other, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.ne(tg.tensor([1, 2, 3]), 2)
    tensor([ True, False,  True])
    """
    return np.not_equal(input, other)


@op(broadcasts=True, differentiable=False)
def lt(input: Array, other: Array) -> Any:
    """Where input < other, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.lt(tg.tensor([1, 2, 3]), 2)
    tensor([ True, False, False])
    """
    return np.less(input, other)


@op(broadcasts=True, differentiable=False)
def le(input: Array, other: Array) -> Any:
    """Where input ≤ other, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.le(tg.tensor([1, 2, 3]), 2)
    tensor([ True,  True, False])
    """
    return np.less_equal(input, other)


@op(broadcasts=True, differentiable=False)
def gt(input: Array, other: Array) -> Any:
    """Where input > other, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.gt(tg.tensor([1, 2, 3]), 2)
    tensor([False, False,  True])
    """
    return np.greater(input, other)


@op(broadcasts=True, differentiable=False)
def ge(input: Array, other: Array) -> Any:
    """Where input ≥ other, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.ge(tg.tensor([1, 2, 3]), 2)
    tensor([False,  True,  True])
    """
    return np.greater_equal(input, other)


@op(broadcasts=True, differentiable=False)
def isclose(input: Array, other: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Where |input - other| ≤ atol + rtol · |other|, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.isclose(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    if rtol < 0 or atol < 0:
        raise ValueError(f"rtol is {rtol}, atol {atol}, expected numbers of 0 or more")
    return np.isclose(input, other, rtol, atol, equal_nan)


def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether `isclose` holds everywhere.

    >>> import tinygrad_cnn as tg
    >>> tg.allclose(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 2.1]))
    False
    """
    return bool(array_of(isclose(input, other, rtol, atol, equal_nan)).all())


def equal(input: Any, other: Any) -> bool:
    """Whether shapes and all elements are the same.

    >>> import tinygrad_cnn as tg
    >>> tg.equal(tg.tensor([1, 2]), tg.tensor([1, 2]))
    True
    """
    return np.array_equal(array_of(input), array_of(other))


@op(differentiable=False)
def isnan(input: Array) -> Any:
    """Where the input is NaN, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.isnan(tg.tensor([1.0, float("nan")]))
    tensor([False,  True])
    """
    return np.isnan(input)


@op(differentiable=False)
def isinf(input: Array) -> Any:
    """Where the input is inf or -inf, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.isinf(tg.tensor([1.0, float("-inf")]))
    tensor([False,  True])
    """
    return np.isinf(input)


@op(differentiable=False)
def isfinite(input: Array) -> Any:
    """Where the input is neither NaN nor infinite, as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.isfinite(tg.tensor([1.0, float("inf")]))
    tensor([ True, False])
    """
    return np.isfinite(input)


@op(broadcasts=True, promotes=False, differentiable=False)
def logical_and(input: Array, other: Array) -> Any:
    """Where both are true (not 0), as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.logical_and(tg.tensor([True, True]), tg.tensor([True, False]))
    tensor([ True, False])
    """
    return np.logical_and(input, other)


@op(broadcasts=True, promotes=False, differentiable=False)
def logical_or(input: Array, other: Array) -> Any:
    """Where at least one is true (not 0), as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.logical_or(tg.tensor([True, False]), tg.tensor([False, False]))
    tensor([ True, False])
    """
    return np.logical_or(input, other)


@op(broadcasts=True, promotes=False, differentiable=False)
def logical_xor(input: Array, other: Array) -> Any:
    """Where exactly one is true (not 0), as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.logical_xor(tg.tensor([True, True]), tg.tensor([True, False]))
    tensor([False,  True])
    """
    return np.logical_xor(input, other)


@op(differentiable=False)
def logical_not(input: Array) -> Any:
    """Where the input is false (0), as booleans.

    >>> import tinygrad_cnn as tg
    >>> tg.logical_not(tg.tensor([True, False]))
    tensor([False,  True])
    """
    return np.logical_not(input)


@op(broadcasts=True, differentiable=False)
def bitwise_and(input: Array, other: Array) -> Any:
    """The bits that both integers have; of booleans, where both are true. `x & y` in operators.

    >>> import tinygrad_cnn as tg
    >>> tg.tensor([5, 6]) & 3
    tensor([1, 2])
    """
    return np.bitwise_and(input, other)


@op(broadcasts=True, differentiable=False)
def bitwise_or(input: Array, other: Array) -> Any:
    """The bits that at least one of the integers has; of booleans, where one is true. `x | y` in operators.

    >>> import tinygrad_cnn as tg
    >>> tg.tensor([True, False]) | tg.tensor([False, False])
    tensor([ True, False])
    """
    return np.bitwise_or(input, other)


@op(broadcasts=True, differentiable=False)
def bitwise_xor(input: Array, other: Array) -> Any:
    """The bits in which the integers differ; of booleans, where exactly one is true. `x ^ y` in operators.

    >>> import tinygrad_cnn as tg
    >>> tg.tensor([5, 6]) ^ 3
    tensor([6, 5])
    """
    return np.bitwise_xor(input, other)


@op(differentiable=False)
def bitwise_not(input: Array) -> Any:
    """Every bit of an integer turned over: -1 - input; of booleans, where the input is false. `~x` in operators.

    >>> import tinygrad_cnn as tg
    >>> ~tg.tensor([True, False])
    tensor([False,  True])
    """
    return np.invert(input)


# ---- choosing ----------------------------------------------------------------------------------------------


@op(broadcasts=True, promotes=False)
def where(condition: Array, input: Array, other: Array) -> Any:
    """The elements of `input` where `condition` is true, those of `other` elsewhere; the three broadcast.

    >>> import tinygrad_cnn as tg
    >>> x = tg.tensor([-1.0, 2.0])
    >>> tg.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    check_mask("condition", condition)
    input, other = promote([input, other])
    out: Any = np.where(condition, input, other)
    numbers = not isinstance(input, np.ndarray) and not isinstance(other, np.ndarray)
    return out.astype(np.float32) if numbers and out.dtype == np.float64 else out


@where.vjp("input")
def where_grad_input(g: Array, condition: Array) -> Array:
    return where(condition, g, 0.0)


@where.vjp("other")
def where_grad_other(g: Array, condition: Array) -> Array:
    return where(condition, 0.0, g)


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


def clamp_min(input: Any, min: Any) -> Any:
    """The input, no smaller than `min`.

    >>> import tinygrad_cnn as tg
    >>> tg.clamp_min(tg.tensor([-1.0, 3.0]), 0)
    tensor([0., 3.])
    """
    return clamp(input, min, None)


def clamp_max(input: Any, max: Any) -> Any:
    """The input, no larger than `max`.

    >>> import tinygrad_cnn as tg
    >>> tg.clamp_max(tg.tensor([-1.0, 3.0]), 0)
    tensor([-1.,  0.])
    """
    return clamp(input, None, max)

"""Trigonometry and its hyperbolic kin, element by element; angles are in radians.

Integers get the default dtype. Where there is no number, the result is inf or NaN, without a warning.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cnn.autograd import Array, op
from tinygrad_cnn.ops.comparison import eq
from tinygrad_cnn.ops.elementwise import floating, floats, reciprocal, rsqrt, where

__all__ = [
    "acos", "asin", "atan", "atan2", "cos", "cosh", "sin", "sinc", "sinh", "tan", "tanh",
]  # fmt: skip


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

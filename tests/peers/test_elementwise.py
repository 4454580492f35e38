"""Element-wise ops against PyTorch: values, dtypes, gradients of both orders, kinks, infinities, error messages."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.autograd import grad
from tinygrad_cnn.ops import trigonometry

from .compare import assert_alike, compare, raises_alike

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan])


def between(low: float, high: float, *shape: int) -> np.ndarray[Any, Any]:
    return rng.uniform(low, high, shape)


# name, lowest and highest input, whether the function is made of steps
UNARY = {
    "abs": (-3, 3), "acos": (-0.9, 0.9), "asin": (-0.9, 0.9), "atan": (-3, 3), "ceil": (-3, 3), "clone": (-3, 3),
    "cos": (-4, 4), "cosh": (-3, 3), "erf": (-3, 3), "exp": (-3, 3), "exp2": (-3, 3), "expm1": (-3, 3),
    "floor": (-3, 3), "log": (0.1, 5), "log10": (0.1, 5), "log1p": (-0.8, 5), "log2": (0.1, 5), "neg": (-3, 3),
    "reciprocal": (0.2, 3), "round": (-3, 3), "rsqrt": (0.2, 3), "sigmoid": (-6, 6), "sign": (-3, 3), "sin": (-4, 4),
    "sinh": (-3, 3), "sqrt": (0.1, 5), "square": (-3, 3), "tan": (-1.2, 1.2), "tanh": (-3, 3), "trunc": (-3, 3),
    "nan_to_num": (-3, 3),
}  # fmt: skip
PREDICATES = ["isfinite", "isinf", "isnan", "logical_not"]
BINARY = {
    "add": (-3, 3), "atan2": (-3, 3), "div": (0.3, 3), "logaddexp": (-5, 5), "maximum": (-3, 3), "minimum": (-3, 3),
    "mul": (-3, 3), "pow": (0.2, 3), "remainder": (0.5, 5), "rsub": (-3, 3), "sub": (-3, 3), "true_divide": (0.3, 3),
}  # fmt: skip
COMPARISONS = ["eq", "ge", "gt", "le", "lt", "ne", "isclose", "logical_and", "logical_or", "logical_xor"]


def ours(name: str) -> Any:
    return getattr(ops, name)


@pytest.mark.parametrize("shape", [(2, 3), (), (0, 3)])
@pytest.mark.parametrize("name", [*UNARY, "sinc"])
def test_unary(name: str, shape: tuple[int, ...]) -> None:
    low, high = UNARY.get(name, (0.6, 2.9))
    compare(ours(name), getattr(torch, name), np.asarray(between(low, high, *shape)), bound=1e-11)


@pytest.mark.parametrize("name", [*UNARY, "sinc", *PREDICATES])
def test_unary_at_special_values(name: str) -> None:
    orders = 0 if name in ("erf", "sinc") else 1  # NaN where PyTorch has 0, at infinity
    compare(ours(name), getattr(torch, name), SPECIAL, orders=orders)


KEEP_INTEGERS = ["abs", "ceil", "clone", "floor", "neg", "nan_to_num", "round", "sign", "square", "trunc"]
INTEGER_CASES = [
    *((name, dtype) for name in [*UNARY, "sinc", *PREDICATES] for dtype in ("bool", "uint8", "int64")
      if dtype != "bool" or name not in KEEP_INTEGERS)
]  # fmt: skip


@pytest.mark.parametrize(("name", "dtype"), INTEGER_CASES)
def test_unary_of_integers(name: str, dtype: str) -> None:
    compare(ours(name), getattr(torch, name), np.array([0, 1, 3]).astype(dtype), bound=1e-6)


@pytest.mark.parametrize("name", ["neg", "sign", "clone", "abs", "square"])
def test_unary_of_negative_integers(name: str) -> None:
    compare(ours(name), getattr(torch, name), np.array([-2, 0, 3]))


@pytest.mark.parametrize("decimals", [-1, 0, 2])
def test_round_to_decimals(decimals: int) -> None:
    x = np.array([0.5, 1.5, 2.5, -0.5, 15.0, 25.0, 1.23456, -7.891])
    compare(tg.round, torch.round, x, decimals=decimals)


@pytest.mark.parametrize("arguments", [(1.0,), (0.0, 2.0, -3.0), (7.0, None, -3.0)])
def test_nan_to_num_arguments(arguments: Any) -> None:
    compare(ops.nan_to_num, torch.nan_to_num, SPECIAL, *arguments, orders=1)


def test_sinc_at_and_near_zero_to_the_third_order() -> None:
    """PyTorch's own derivatives lose all digits near 0, so the power series is the judge."""
    x = np.array([0.0, 1e-12, 1e-8, -1e-5, 1e-3, -0.01, 0.1])
    z = np.pi * x
    series = [
        -z / 3 + z**3 / 30 - z**5 / 840 + z**7 / 45360,
        -1 / 3 + z**2 / 10 - z**4 / 168 + z**6 / 6480,
        z / 5 - z**3 / 42 + z**5 / 1080 - z**7 / 55440,
    ]
    leaf = tg.Tensor(x).requires_grad_()
    out = tg.sinc(leaf)
    for order, expected in enumerate(series, 1):
        (out,) = grad(tg.sum(out), leaf, create_graph=True)
        np.testing.assert_allclose(out.array, expected * np.pi**order, rtol=1e-9, atol=0)


@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
def test_sinc_family_is_the_spherical_bessel_function(order: int) -> None:
    from scipy import special

    z = np.concatenate([np.linspace(0.5, 12, 97), [order + 2 - 1e-9, order + 2 + 1e-9]])
    expected = special.spherical_jn(order, z) / z**order
    np.testing.assert_allclose(trigonometry.sinc_family(z, order), expected, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(trigonometry.sinc_family(-z, order), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2,)), ((0, 3), (3,))])
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    low, high = BINARY[name]
    x, y = (np.asarray(between(low, high, *shape)) for shape in shapes)
    compare(ours(name), getattr(torch, name), x, y)


@pytest.mark.parametrize("number", [2, 2.5])
@pytest.mark.parametrize("name", [n for n in BINARY if n not in ("atan2", "logaddexp", "maximum", "minimum")])
def test_binary_with_a_number(name: str, number: float) -> None:
    low, high = BINARY[name]
    compare(ours(name), getattr(torch, name), between(low, high, 2, 3), number)
    if name not in ("rsub", "div", "true_divide"):  # PyTorch has no number on the left here
        theirs = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}.get(name, getattr(torch, name))
        orders = 0 if name == "remainder" else 2  # PyTorch has no gradient for this one
        compare(ours(name), theirs, number, between(low, high, 2, 3), orders=orders)


@pytest.mark.parametrize("other", [np.array([2, 1, 3]), np.array([2.0, 1.0, 3.0], np.float32), 2, 1.5])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
@pytest.mark.parametrize("name", [*(n for n in BINARY if n != "logaddexp"), "floor_divide"])
def test_binary_dtypes(name: str, dtype: str, other: Any) -> None:
    if name in ("atan2", "maximum", "minimum") and not isinstance(other, np.ndarray):
        other = np.asarray(other)
    x = np.array([5, 6, 7]).astype(dtype)
    if name == "rsub" and not isinstance(other, np.ndarray):
        other = 9  # uint8 cannot hold 1.5 - 5
    compare(ours(name), getattr(torch, name), x, other, bound=1e-6, orders=0 if name == "floor_divide" else 1)


@pytest.mark.parametrize("name", ["add", "sub", "rsub"])
@pytest.mark.parametrize("alpha", [2, -0.5])
def test_alpha(name: str, alpha: float) -> None:
    compare(ours(name), getattr(torch, name), between(-3, 3, 2, 3), between(-3, 3, 3), alpha=alpha)
    compare(ours(name), getattr(torch, name), between(-3, 3, 2, 3), 4.0, alpha=alpha)


@pytest.mark.parametrize("mode", [None, "trunc", "floor"])
def test_rounding_mode(mode: str | None) -> None:
    x, y = np.array([7.0, -7.0, 6.0, 0.5]), np.array([2.0, 2.0, -4.0, 3.0])
    compare(tg.div, torch.div, x, y, rounding_mode=mode)
    compare(tg.div, torch.div, x.astype(np.int64), y.astype(np.int64), rounding_mode=mode)
    compare(tg.div, torch.div, x.astype(np.int64), -3, rounding_mode=mode)
    compare(tg.div, torch.div, SPECIAL, 0.0, rounding_mode=mode, orders=0)
    compare(tg.div, torch.div, np.array([1.0, np.inf]), np.array([0.0, 2.0]), rounding_mode=mode, orders=0)


def test_division_of_signed_numbers() -> None:
    x, y = np.array([7.0, -7.0, 7.0, -7.0, 6.0]), np.array([4.0, 4.0, -4.0, -4.0, 3.0])
    compare(tg.remainder, torch.remainder, x, y)
    compare(tg.remainder, torch.remainder, x.astype(np.int64), y.astype(np.int64))
    compare(tg.floor_divide, torch.floor_divide, x, y, orders=0)
    compare(tg.remainder, torch.remainder, np.array([1.0, np.inf, -1.0]), np.array([0.0, 2.0, np.inf]), orders=0)


@pytest.mark.parametrize("exponent", [-2, -1, -0.5, 0, 0.5, 1, 2, 3, 4, 2.5, 0.0, 2.0])
def test_pow_with_a_number_as_exponent(exponent: float) -> None:
    compare(tg.pow, torch.pow, between(0.2, 3, 2, 3), exponent)
    if exponent == int(exponent):
        compare(tg.pow, torch.pow, between(-3, -0.2, 2, 3), exponent)
    if exponent in (0, 1, 2, 3, 4):
        compare(tg.pow, torch.pow, np.array([0.0, -1.0, 2.0]), exponent)
        compare(tg.pow, torch.pow, np.array([0, -1, 2]), int(exponent))
    compare(tg.pow, torch.pow, SPECIAL, exponent, orders=0)


@pytest.mark.parametrize("base", [0, 0.0, 1.0, 2, 0.3])
def test_pow_with_a_number_as_base(base: float) -> None:
    compare(tg.pow, torch.pow, base, np.array([0.0, 0.5, 1.0, 2.0]), orders=1 if base == 0 else 2)


def test_pow_at_zero() -> None:
    """A base or an exponent of 0 gives PyTorch's first derivatives."""
    x, e = (a.ravel() for a in np.meshgrid([0.0, 0.5, 2.0], [0.0, 1.0, 2.0, 3.0]))
    compare(tg.pow, torch.pow, x, e, orders=1)


def test_pow_second_derivatives_at_zero() -> None:
    """PyTorch gives NaN at base 0 and 0 for the mixed derivative at exponent 0; these are the limits."""
    x = tg.tensor([0.0, 0.0, 0.0, 2.0, 0.5], dtype=tg.float64).requires_grad_()
    e = tg.tensor([2.0, 3.0, 0.0, 0.0, 1.0], dtype=tg.float64).requires_grad_()
    gx, ge = grad(tg.sum(tg.pow(x, e)), [x, e], create_graph=True)
    np.testing.assert_allclose(gx.array, [0, 0, 0, 0, 1])
    np.testing.assert_allclose(ge.array, [0, 0, 0, math.log(2), 0.5 * math.log(0.5)])
    xx, mixed = grad(tg.sum(gx), [x, e], retain_graph=True)
    np.testing.assert_allclose(xx.array, [2, 0, 0, 0, 0])
    np.testing.assert_allclose(mixed.array[[0, 1, 3, 4]], [0, 0, 0.5, 1 + math.log(0.5)])
    (ee,) = grad(tg.sum(ge), [e])
    np.testing.assert_allclose(ee.array, [0, 0, 0, math.log(2) ** 2, 0.5 * math.log(0.5) ** 2])


def test_kinks_and_ties() -> None:
    x, y = np.array([1.0, 2.0, 3.0, np.nan, 1.0]), np.array([1.0, 3.0, 2.0, 1.0, np.nan])
    compare(tg.maximum, torch.maximum, x, y, orders=1)
    compare(tg.minimum, torch.minimum, x, y, orders=1)
    compare(tg.maximum, torch.maximum, x[:3], y[:3])
    zeros = np.zeros(3)
    compare(tg.atan2, torch.atan2, zeros, zeros, orders=1)
    compare(tg.logaddexp, torch.logaddexp, np.array([-np.inf, 800.0, 0.0]), np.array([0.0, 801.0, -np.inf]), orders=1)


BOUNDS = [(1.0, 2.0), (1.0, None), (None, 2.0), (2.0, 1.0), (1, 2)]


@pytest.mark.parametrize("bounds", BOUNDS)
def test_clamp_to_numbers(bounds: Any) -> None:
    x = np.array([0.0, 1.0, 1.5, 2.0, 3.0, np.nan])
    compare(tg.clip, torch.clip, x, *bounds)
    compare(tg.clamp, torch.clamp, x, *bounds)
    compare(tg.clamp, torch.clamp, np.array([0, 1, 2, 3]), *bounds)


@pytest.mark.parametrize("bounds", BOUNDS[:4])
def test_clamp_to_tensors(bounds: Any) -> None:
    x = np.array([[0.0, 1.0, 1.5], [2.0, 3.0, 1.2]])
    low, high = (None if b is None else np.array([b, b + 0.1, b]) for b in bounds)
    compare(tg.clamp, torch.clamp, x, low, high)


def test_clamp_min_and_clamp_max() -> None:
    x = np.array([0.0, 1.0, 2.0])
    compare(tg.clamp_min, torch.clamp_min, x, 1.0)
    compare(tg.clamp_max, torch.clamp_max, x, 1.0)
    compare(tg.clamp_min, torch.clamp_min, x, np.array([1.0, 0.5, 3.0]))
    compare(tg.clamp_max, torch.clamp_max, x, np.array([1.0, 0.5, 3.0]))
    raises_alike(tg.clamp, torch.clamp, x, match=r"clamp: min and max are both None, expected at least one bound")


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 0.9, 1.0, 1.5, -0.7])
def test_lerp(weight: float) -> None:
    compare(tg.lerp, torch.lerp, between(-3, 3, 2, 3), between(-3, 3, 2, 3), weight)
    compare(tg.lerp, torch.lerp, between(-3, 3, 2, 3), between(-3, 3, 3), np.full((2, 1), weight))


def test_lerp_ends_exactly() -> None:
    x, end = between(-3, 3, 100), between(-300, 300, 100)
    assert np.array_equal(ops.lerp(x, end, 1.0), end)
    assert np.array_equal(ops.lerp(x, end, 0.0), x)


def test_where() -> None:
    mask = np.array([[True], [False]])
    compare(tg.where, torch.where, mask, between(-3, 3, 2, 3), between(-3, 3, 3))
    compare(tg.where, torch.where, mask, between(-3, 3, 2, 3), 1.5)
    compare(tg.where, torch.where, mask, 2, between(-3, 3, 3))
    for x, y in [(1.0, 2.0), (1, 2), (1, 2.5), (True, False)]:
        compare(tg.where, torch.where, mask, x, y)
    compare(tg.where, torch.where, mask, np.array([1, 2]), np.array([0.5, 1.5], np.float32))
    raises_alike(
        tg.where,
        torch.where,
        np.array([1, 0]),
        np.ones(2),
        np.ones(2),
        match="condition holds int64, expected booleans",
    )


@pytest.mark.parametrize("value", [2, 1.5, -math.inf])
def test_masked_fill(value: float) -> None:
    mask = np.array([True, False, True])
    compare(tg.masked_fill, torch.masked_fill, between(-3, 3, 2, 3), mask, value)
    compare(tg.masked_fill, torch.masked_fill, between(-3, 3, 3), mask, np.asarray(2.0))
    compare(tg.masked_fill, torch.masked_fill, between(-3, 3, 3), mask[:, None], 1.0)
    if math.isfinite(value):
        compare(tg.masked_fill, torch.masked_fill, np.array([1, 2, 3]), mask, value)
    x = between(-3, 3, 3)
    raises_alike(tg.masked_fill, torch.masked_fill, x, np.ones(3), 1.0, match="mask holds float64, expected booleans")
    raises_alike(tg.masked_fill, torch.masked_fill, x, mask, np.ones(3), match=r"value has shape \(3,\), expected one")


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(name: str) -> None:
    x, y = np.array([[1.0, 2.0, np.nan, 0.0]]), np.array([[1.0], [np.inf], [0.0]])
    compare(ours(name), getattr(torch, name), x, y)
    compare(ours(name), getattr(torch, name), x.astype(np.float32) > 0, y > 0)
    compare(ours(name), getattr(torch, name), np.array([1, 2, 0]), np.array([1, 3, 0]))
    if not name.startswith(("logical", "isclose")):
        for number in (1, 1.5, True):
            compare(ours(name), getattr(torch, name), np.array([1, 2, 0]), number)
            compare(ours(name), getattr(torch, name), x, number)


@pytest.mark.parametrize("options", [{}, {"rtol": 0.1}, {"atol": 0.5, "rtol": 0.0}, {"equal_nan": True}])
def test_closeness(options: Any) -> None:
    x, y = np.array([1.0, 2.0, np.nan, np.inf, 1e-9]), np.array([1.05, 2.4, np.nan, np.inf, 0.0])
    compare(tg.isclose, torch.isclose, x, y, **options)
    for a, b in [(x, y), (x[:2], y[:2]), (x[:1], y[:1]), (x, x), (x[3:], y[3:])]:
        compare(tg.allclose, torch.allclose, a, b, **options)


def test_equal() -> None:
    x = np.array([1.0, 2.0])
    for a, b in [(x, x), (x, x + 1), (x, x[None]), (x, x[:1]), (x * np.nan, x * np.nan)]:
        compare(tg.equal, torch.equal, a, b)


def test_layouts_of_memory() -> None:
    """Strided, reversed, broadcast and read-only arrays give what a plain copy gives."""
    base = between(0.2, 3, 4, 6)
    frozen = base.copy()
    frozen.flags.writeable = False
    for x in (base[::2, ::-1], base.T, np.broadcast_to(base[:1], (5, 6)), frozen):
        for name in (*UNARY, "sinc", *PREDICATES):
            assert_alike(tg.Tensor(ours(name)(x)), torch.from_numpy(ours(name)(x.copy())))


def test_a_mixture_of_floats_keeps_float32_where_pytorch_does() -> None:
    x = np.ones(3, np.float32)
    for name in ("add", "mul", "sub", "div", "pow"):
        compare(ours(name), getattr(torch, name), x, np.asarray(2.0), orders=0)
        compare(ours(name), getattr(torch, name), np.asarray(2, np.int64), x)
        compare(ours(name), getattr(torch, name), x, np.ones(3), orders=0)


ERRORS: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("add", (np.ones(2), np.ones(3)), {}, r"^add: .*shapes \(2,\) \(3,\)"),
    ("sub", (np.ones(2, bool), np.ones(2, bool)), {}, "^sub: .*boolean subtract"),
    ("neg", (np.ones(2, bool),), {}, "^neg: .*boolean negative"),
    ("pow", (np.array([2, 3]), -1), {}, "^pow: Integers to negative integer powers"),
    (
        "div",
        (np.ones(2), 2.0),
        {"rounding_mode": "up"},
        "^div: rounding_mode is 'up', expected None, 'trunc' or 'floor'",
    ),
    ("floor_divide", (np.array([1]), np.array([0])), {}, "^div: other holds a 0, a division of integers expects none"),
    ("remainder", (np.array([1]), 0), {}, "^remainder: other holds a 0, a division of integers expects none"),
]


@pytest.mark.parametrize(("name", "inputs", "options", "message"), ERRORS)
def test_errors(name: str, inputs: Any, options: Any, message: str) -> None:
    raises_alike(ours(name), getattr(torch, name), *inputs, match=message, **options)

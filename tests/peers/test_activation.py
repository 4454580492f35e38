"""Activations, softmax and dropout against PyTorch: values, gradients of both orders, kinks, infinities, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.ops import activation

from .compare import compare, raises_alike

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e4, -1e4])

# name, arguments, the inputs at which the function has a kink
CASES: list[tuple[str, tuple[Any, ...], tuple[float, ...]]] = [
    ("relu", (), (0,)), ("relu6", (), (0, 6)),
    ("hardtanh", (), (-1, 1)), ("hardtanh", (-0.5, 2), (-0.5, 2)),
    ("leaky_relu", (), (0,)), ("leaky_relu", (0.3,), (0,)), ("leaky_relu", (-0.3,), (0,)),
    ("threshold", (0.5, 9.0), (0.5,)), ("threshold", (-1, 2), (-1,)),
    ("hardshrink", (), (-0.5, 0.5)), ("hardshrink", (1.5,), (-1.5, 1.5)),
    ("softshrink", (), (-0.5, 0.5)), ("softshrink", (1.5,), (-1.5, 1.5)), ("softshrink", (0.0,), ()),
    ("hardsigmoid", (), (-3, 3)), ("hardswish", (), (-3, 3)),
    ("elu", (), (0,)), ("elu", (0.5,), (0,)), ("celu", (), (0,)), ("celu", (2.0,), (0,)), ("selu", (), (0,)),
    ("silu", (), ()), ("gelu", (), ()), ("mish", (), ()), ("logsigmoid", (), ()),
    ("softplus", (), ()), ("softplus", (2.0, 3.0), ()), ("softplus", (0.5,), ()),
    ("softsign", (), (0,)), ("tanhshrink", (), (0,)),
]  # fmt: skip


def ours(name: str) -> Any:
    return getattr(activation, name)


def theirs(name: str) -> Any:
    return getattr(torch.nn.functional, name)


def compare_activation(name: str, x: np.ndarray[Any, Any], arguments: Any) -> None:
    """The function, and its product with the input, since straight lines have no second derivative of their own."""
    orders = 1 if name == "hardsigmoid" else 2  # PyTorch has no more, and knows 1/6 in float32 only
    bound = 1e-7 if name == "hardsigmoid" else 1e-12
    our, their = ours(name), theirs(name)
    compare(our, their, x, *arguments, bound=bound, orders=1)
    compare(lambda t: our(t, *arguments) * t, lambda t: their(t, *arguments) * t, x, bound=bound, orders=orders)


@pytest.mark.parametrize("shape", [(4, 5), (), (0, 3)])
@pytest.mark.parametrize(("name", "arguments", "kinks"), CASES)
def test_activation(name: str, arguments: Any, kinks: Any, shape: tuple[int, ...]) -> None:
    compare_activation(name, np.asarray(rng.uniform(-4, 8, shape)), arguments)


@pytest.mark.parametrize(("name", "arguments", "kinks"), CASES)
def test_activation_at_kinks_and_infinities(name: str, arguments: Any, kinks: Any) -> None:
    compare_activation(name, np.array([0.0, *kinks]), arguments)
    special = SPECIAL[~np.isinf(SPECIAL)] if name == "gelu" else SPECIAL
    compare(ours(name), theirs(name), special, *arguments, orders=1, bound=1e-7)


def test_gelu_at_infinities() -> None:
    """In float64, since in float32 PyTorch's own gelu(inf) is inf or NaN, as the processor has AVX2 or AVX-512."""
    x = np.array([np.inf, -np.inf])
    expected = torch.nn.functional.gelu(torch.tensor(x)).numpy()
    for dtype in (tg.float32, tg.float64):
        np.testing.assert_array_equal(tg.gelu(tg.tensor(x, dtype=dtype)).numpy(), expected)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_approximation(approximate: str) -> None:
    compare(tg.gelu, torch.nn.functional.gelu, rng.uniform(-8, 8, (4, 5)), approximate=approximate)
    compare(tg.gelu, torch.nn.functional.gelu, np.array([0.0, 100.0, -30.0]), approximate=approximate)


def test_inplace_leaves_the_input_alone() -> None:
    x = tg.tensor([-1.0, 2.0])
    for name in ("relu", "relu6", "hardtanh", "leaky_relu", "elu", "celu", "selu", "silu", "mish", "hardswish"):
        ours(name)(x, inplace=True)
        assert x.tolist() == [-1.0, 2.0]


@pytest.mark.parametrize(
    ("shape", "slopes"), [((2, 3), 1), ((2, 3), 3), ((2, 3, 4, 5), 3), ((2, 3, 4), 1), ((4,), 1), ((), 1)]
)
def test_prelu(shape: tuple[int, ...], slopes: int) -> None:
    x = np.asarray(rng.uniform(-3, 3, shape))
    compare(tg.prelu, torch.nn.functional.prelu, x, rng.uniform(-1, 1, slopes))
    compare(tg.prelu, torch.nn.functional.prelu, np.zeros_like(x), rng.uniform(-1, 1, slopes), orders=1)


@pytest.mark.parametrize("dim", [0, 1, -1, -2])
def test_glu(dim: int) -> None:
    compare(activation.glu, torch.nn.functional.glu, rng.uniform(-3, 3, (4, 6, 2)), dim)


SOFTMAX = ["softmax", "log_softmax", "softmin"]


@pytest.mark.parametrize(
    ("shape", "dim"), [((3, 4), 0), ((3, 4), -1), ((2, 3, 4), 1), ((5,), 0), ((), 0), ((0, 3), 1), ((3, 0), 1)]
)
@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax(name: str, shape: tuple[int, ...], dim: int) -> None:
    compare(ours(name), theirs(name), np.asarray(rng.uniform(-4, 8, shape)), dim)
    compare(ours(name), theirs(name), dim=dim, input=np.asarray(rng.uniform(-4, 8, shape)))


@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax_of_extremes(name: str) -> None:
    inf, nan = np.inf, np.nan
    x = np.array([[1e4, 0, -1e4], [-inf, 0, 1], [-inf, -inf, -inf], [inf, 0, 1], [nan, 0, 1], [-1e30, 1e30, 1e30]])
    compare(ours(name), theirs(name), x, 1, orders=1)


@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax_in_another_dtype(name: str) -> None:
    x = rng.uniform(-3, 3, (2, 3))
    for dtype in (np.float32, np.float64):
        single = x.astype(dtype)
        for wanted in ("float32", "float64"):
            compare(
                lambda t, wanted=wanted: ours(name)(t, 1, dtype=getattr(tg, wanted)),
                lambda t, wanted=wanted: theirs(name)(t, 1, dtype=getattr(torch, wanted)),
                single,
                bound=1e-6,
                float32=False,
            )


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (2, 2, 3, 2)])
@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax_without_a_dim_warns(name: str, shape: tuple[int, ...]) -> None:
    with pytest.warns(UserWarning, match=r"softmax: no dim is given|Implicit dimension choice"):
        compare(ours(name), theirs(name), rng.uniform(-3, 3, shape))


@pytest.mark.parametrize("p", [0.0, 0.2, 0.7, 1.0])
def test_dropout(p: float) -> None:
    """PyTorch's stream of random numbers is another one; what it promises is held instead."""
    x = tg.tensor(rng.uniform(1, 2, (200, 300))).requires_grad_()
    out = tg.dropout(x, p)
    assert out.dtype == x.dtype
    kept = out.array != 0
    assert abs(kept.mean() - (1 - p)) < 0.01
    np.testing.assert_allclose(out.array[kept] * (1 - p), x.array[kept], rtol=1e-12)
    (g,) = tg.autograd.grad(tg.sum(out), x)
    np.testing.assert_allclose(g.array, kept / (1 - p) if p < 1 else 0 * kept, rtol=1e-12)
    tg.manual_seed(5)
    first = tg.dropout(x, p)
    assert not 0 < p < 1 or not np.array_equal(first.array, out.array)
    tg.manual_seed(5)
    assert np.array_equal(tg.dropout(x, p).array, first.array)
    assert np.array_equal(tg.dropout(x, p, training=False).array, x.array)


@pytest.mark.parametrize("shape", [(50, 40, 3, 4), (50, 40, 5)])
def test_dropout2d_drops_whole_channels(shape: tuple[int, ...]) -> None:
    out = activation.dropout2d(tg.ones(*shape), 0.25).array.reshape(2000, -1)
    assert ((out == out[:, :1]) & ((out == 0) | (np.abs(out - 4 / 3) < 1e-6))).all()
    assert abs((out[:, 0] != 0).mean() - 0.75) < 0.04
    assert np.array_equal(activation.dropout2d(tg.ones(*shape), 0.25, False).array, np.ones(shape))


ERRORS: list[tuple[str, tuple[Any, ...], str]] = [
    ("glu", (np.ones((2, 3)), 1), r"^glu: dim 1 of input \(2, 3\) has length 3, expected an even one"),
    ("prelu", (np.ones((2, 3)), np.ones(2)), r"^prelu: weight is \(2,\), input \(2, 3\) expects \(1,\) or \(3,\)"),
    ("gelu", (np.ones(2), "fast"), "^gelu: approximate is 'fast', expected 'none' or 'tanh'"),
    ("softshrink", (np.ones(2), -1.0), "^softshrink: lambd is -1.0, expected a number >= 0"),
    ("hardtanh", (np.ones(2), 2.0, 1.0), "^hardtanh: min_val is 2.0, max_val 1.0: expected min_val <= max_val"),
    ("celu", (np.ones(2), 0.0), "^celu: alpha is 0, expected another number"),
    ("softmax", (np.ones(2), 1), "^softmax: dim is 1, expected -1 to 0"),
    ("dropout", (np.ones(2), 1.5), "^dropout: p is 1.5, expected a probability, 0 to 1"),
    ("dropout", (np.ones(2), -0.1), "^dropout: p is -0.1, expected a probability, 0 to 1"),
]


@pytest.mark.parametrize(("name", "inputs", "message"), ERRORS)
def test_errors(name: str, inputs: Any, message: str) -> None:
    raises_alike(ours(name), theirs(name), *inputs, match=message)


def test_dropout2d_names_the_shapes_that_it_takes() -> None:
    with pytest.raises(ValueError, match=r"^dropout2d: input has shape \(3,\), expected \(N, C, H, W\) or \(N, C, L\)"):
        activation.dropout2d(tg.ones(3))

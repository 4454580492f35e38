"""check_model: every op of a model, with the inputs that it gets there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.autograd import Array, op
from tinygrad_cnn.testing import check_model


@op
def careless_scale(x: Array) -> Any:
    """2x, with a gradient that is 1 % too large in one place."""
    return np.multiply(x, 2)


@careless_scale.vjp("x")
def careless_scale_grad(g: Array) -> Array:
    factors = np.full(g.shape, 2.0, g.dtype)
    factors.flat[-1] = 2.02
    return g * factors


class Careless(nn.Module):
    """Multiplies by two, carelessly."""

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return careless_scale(x)


def small_cnn(*more: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), *more, nn.MaxPool2d(2), nn.Dropout(0.3),
        nn.Flatten(), nn.Linear(64, 3),
    )  # fmt: skip


def test_a_right_model_passes_and_is_left_as_it_was() -> None:
    model = small_cnn()
    before = {name: value.array.copy() for name, value in model.state_dict().items()}
    tg.manual_seed(1)
    found = check_model(model, tg.randn(2, 1, 8, 8), order=2)
    assert [call.op for call in found.calls] == [
        "conv2d", "batch_norm", "relu", "max_pool2d", "mul", "flatten", "linear"
    ]  # fmt: skip
    assert {call.verdict for call in found.calls} <= {"ok", "kink"}
    assert [call.where for call in found.calls] == ["0", "1", "2", "3", "4", "5", "6"]
    assert found.exit_code == 0
    found.assert_ok()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.array, before[name], err_msg=name)
    tg.manual_seed(1)
    assert all(p.grad is None for p in model.parameters())


def test_a_wrong_op_is_named_with_its_place() -> None:
    found = check_model(small_cnn(Careless()), tg.randn(2, 1, 8, 8))
    assert found.exit_code == 1
    assert [(call.op, call.where) for call in found.wrong] == [("careless_scale", "3")]
    text = str(found)
    assert "careless_scale" in text
    assert "d output [1, 3, 7, 7] / d x[1, 3, 7, 7]: analytic 2.02, numeric 2 in" in text
    assert text.endswith("8 calls: 7 ok, 1 wrong") or "1 wrong" in text.splitlines()[-1]
    with pytest.raises(AssertionError, match="careless_scale at 3: gradcheck: wrong"):
        found.assert_ok()


def test_a_gradient_that_is_wrong_in_float32_alone_is_found() -> None:
    @op
    def single_trouble(x: Array) -> Any:
        """3x."""
        return np.multiply(x, 3)

    single_trouble.vjp("x")(lambda g: g * (3 if g.dtype == np.float64 else 3.01))
    found = check_model(lambda x: single_trouble(x).sum(), tg.randn(4))
    assert [call.verdict for call in found.calls] == ["wrong", "ok"]
    assert "the float32 gradient is not the float64 one" in str(found)


def test_labels_and_ops_without_gradients_are_no_trouble() -> None:
    target = tg.tensor([0, 2])

    def loss(x: tg.Tensor) -> tg.Tensor:
        assert (x.argmax(1) >= 0).all()
        return nn.functional.cross_entropy(x, target)

    found = check_model(loss, tg.randn(2, 3))
    assert found.exit_code == 0
    assert "no gradient" in str(found)

"""check_model: every op of a model, with the inputs that it gets there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import cli, kernels, nn
from tinygrad_cnn.autograd import Array, op
from tinygrad_cnn.testing import check_model
from tinygrad_cnn.train import Run
from tinygrad_cnn.train.config import RunConfig


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


def test_the_table_names_files_elsewhere_without_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = check_model(lambda x: x.sum(), tg.randn(4))
    assert found.calls[0].where.startswith(__file__)
    assert re.match(r"test_model_check.py:\d+$", found.rows[0][1])


def test_labels_and_ops_without_gradients_are_no_trouble() -> None:
    target = tg.tensor([0, 2])

    def loss(x: tg.Tensor) -> tg.Tensor:
        assert (x.argmax(1) >= 0).all()
        return nn.functional.cross_entropy(x, target)

    found = check_model(loss, tg.randn(2, 3))
    assert found.exit_code == 0
    assert "no gradient" in str(found)


def test_a_float32_gradient_that_cancels_is_no_fault_and_a_fault_in_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.BatchNorm1d(3)
    for seed in range(20):
        x = tg.tensor(30 * np.random.default_rng(seed).standard_normal((2, 3)), dtype=tg.float32)
        check_model(model, x).assert_ok()
    kernel = kernels.batch_norm_backward

    def faulty(g: Array, *args: Any) -> Any:
        first, *rest = kernel(g, *args)
        return first + (g * 1e-4 if g.dtype == np.float32 else 0), *rest

    monkeypatch.setattr(kernels, "batch_norm_backward", faulty)
    assert [call.op for call in check_model(model, x).wrong] == ["batch_norm"]


# ---- the command -------------------------------------------------------------------------------------------

MODELS = """
import numpy as np
import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.autograd import Array, op

good = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3))
flat = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))


@op
def careless(x: Array):
    return np.multiply(x, 2)


careless.vjp("x")(lambda g: g * 2.02)


class Bad(nn.Module):
    def __init__(self, in_shape):
        super().__init__()
        self.first = nn.Conv2d(in_shape[0], 2, 3)

    def forward(self, x):
        return careless(self.first(x))


class Mute(nn.Module):
    def forward(self, x):
        return tg.exp("x")
"""

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`tinygrad-cnn check` in a folder with a module of models: its exit code and what it printed."""
    (tmp_path / "models_to_check.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["check", *arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_the_command_prints_the_verdict_on_each_op(command: Command) -> None:
    code, out, err = command("models_to_check:good", "--input-shape", "8,1,8,8", "--order", "2")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if line.strip()]
    assert rows[0] == ["op", "where", "result", "verdict"]
    assert [row[:3] for row in rows[2:-1]] == [
        ["conv2d", "0", "8x2x6x6"], ["relu", "1", "8x2x6x6"], ["max_pool2d", "2", "8x2x3x3"],
        ["flatten", "3", "8x18"], ["linear", "4", "8x3"],
    ]  # fmt: skip
    assert {row[3] for row in rows[2:-1]} <= {"ok", "kink"}
    assert out.splitlines()[-1].startswith("5 calls: ")


def test_the_command_takes_other_shapes_and_the_packages_own_models(command: Command) -> None:
    assert command("models_to_check:flat", "--input-shape", "3,5")[0] == 0
    code, out, _ = command("mlp", "--input-shape", "2,1,4,4")
    assert code == 0
    assert "4 calls: " in out


def test_the_command_needs_no_shape(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("mlp", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["ok"] is True
    assert [call["shape"] for call in found["calls"]] == [[2, 784], [2, 256], [2, 256], [2, 10]]
    assert {call["verdict"] for call in found["calls"]} == {"ok"}
    assert (
        command("mlp", "--input-shape", "1,4,4", "--json")[1] == command("mlp", "--input-shape", "2,1,4,4", "--json")[1]
    )
    config = RunConfig(
        model="models_to_check:good", data="digits", optimizer="sgd", lr=0.1, batch_size=9, epochs=1, iterations=None,
        one_cycle=True, seed=0, in_shape=(1, 8, 8), classes=("a", "b", "c"), mean=0, std=1, ink=1, version="0",
    )  # fmt: skip
    run = Run.create(tmp_path / "run", config)
    tg.save(run.build_model().state_dict(), run.folder / "model.safetensors")
    code, out, _ = command("run")
    assert code == 0
    assert "2x2x6x6" in out


def test_the_command_exits_with_1_on_a_wrong_gradient(command: Command) -> None:
    code, out, err = command("models_to_check:Bad", "--input-shape", "2,3,4,4", "--seed", "3")
    assert (code, err) == (1, "")
    line = MODELS.splitlines().index("        return careless(self.first(x))") + 1
    assert f"careless at models_to_check.py:{line}: gradcheck: wrong" in out
    assert "analytic 2.02, numeric 2 in" in out
    assert out.splitlines()[-1] == "2 calls: 1 ok, 1 wrong"
    code, out, _ = command("models_to_check:Bad", "--input-shape", "2,3,4,4", "--seed", "3", "--json")
    assert code == 1
    found = json.loads(out)
    assert found["ok"] is False
    assert [("report" in call) for call in found["calls"]] == [False, True]
    assert "analytic 2.02, numeric 2 in" in found["calls"][1]["report"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("models_to_check:good", "--input-shape", "8,3,8,8"), "conv2d: x has 3 channels (8, 3, 8, 8), weight expects"),
        (("models_to_check:good", "--input-shape", "8,1,x"), "--input-shape is '8,1,x', expected numbers like 1,28,28"),
        (("models_to_check:good", "--input-shape", "8,0,8,8"), "--input-shape is '8,0,8,8', expected numbers above 0"),
        (("models_to_check:good", "--input-shape", ""), "--input-shape is '', expected numbers like 1,28,28"),
        (("models_to_check:good",), "the input was of shape 1,28,28, --input-shape takes another"),
        (("models_to_check:better", "--input-shape", "8,1,8,8"), "models_to_check has no better"),
        (("no_such_module:good", "--input-shape", "8,1,8,8"), "cannot import no_such_module"),
        (("models_to_check:tg", "--input-shape", "8,1,8,8"), "tg is module, expected a Module"),
        (("models_to_check:Mute", "--input-shape", "8,1,8,8"), "exp"),
        (("lenet", "--input-shape", "28,28"), "--input-shape 28,28 has 2 numbers, expected C,H,W or N,C,H,W"),
        (("lenot", "--input-shape", "8,1,28,28"), "did you mean lenet?"),
        (("models_to_check:good", "--input-shape", "8,1,8,8", "--order", "3"), "--order"),
    ],
)
def test_mistakes_are_told_in_one_line(command: Command, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1

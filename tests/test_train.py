"""The training loop, models by name, exact resume, checkpoints and run folders."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn, optim, serialization
from tinygrad_cnn.data import DataLoader, Images, TensorDataset, mnist
from tinygrad_cnn.errors import UserError
from tinygrad_cnn.random import Generator
from tinygrad_cnn.train import Callback, History, Run, Trainer, build, evaluate, fit, predict
from tinygrad_cnn.train.checkpoint import read_checkpoint, write_checkpoint
from tinygrad_cnn.train.config import RunConfig, load_data
from tinygrad_cnn.train.recipes import OPTIMIZERS, make_optimizer, one_cycle


@pytest.fixture(scope="module")
def few() -> tuple[Images, Images]:
    train_set, test_set = mnist()
    return train_set.take(slice(96)), test_set.take(slice(40))


# ---- models ----


@pytest.mark.parametrize(
    ("name", "in_shape", "parameters"),
    [
        ("seed", (1, 28, 28), 6 * 9 + 1014 * 10),
        ("lenet", (1, 28, 28), 156 + 2416 + 48120 + 10164 + 850),
        ("mnist", (1, 28, 28), 320 + 18496 + 1179776 + 1290),
        ("vgg", (3, 32, 32), 896 + 9248 + 18496 + 36928 + 40970),
        ("mlp", (1, 28, 28), 785 * 256 + 257 * 10),
    ],
)
def test_models_have_the_sizes_that_they_are_known_for(name: str, in_shape: Any, parameters: int) -> None:
    assert sum(p.array.size for p in build(name, in_shape).parameters()) == parameters


@pytest.mark.parametrize("name", ["seed", "lenet", "mnist", "vgg", "mlp"])
@pytest.mark.parametrize("in_shape", [(1, 28, 28), (1, 8, 8), (3, 17, 23)])
def test_models_adapt_to_the_images(name: str, in_shape: Any) -> None:
    out = build(name, in_shape, 7)(tg.zeros(2, *in_shape))
    assert out.shape == (2, 7)


def test_images_can_be_too_small_for_a_model() -> None:
    with pytest.raises(UserError, match="model mnist needs images of at least 6x6, these are 5x9"):
        build("mnist", (1, 5, 9))
    for name, side in (("lenet", 4), ("seed", 4), ("mnist", 6), ("vgg", 4), ("mlp", 1)):
        assert build(name, (1, side, side))(tg.zeros(1, 1, side, side)).shape == (1, 10)


def test_models_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_models.py").write_text(
        "from tinygrad_cnn import nn\n"
        "def sized(in_shape, num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))\n"
        "def fixed(): return nn.Flatten()\n"
        "def broken(): raise KeyError('oops')\n"
        "ready = nn.Identity()\n"
        "number = 3\n"
        "def numbers(): return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert isinstance(build("own_models:sized", (1, 4, 4), 3), nn.Sequential)
    assert isinstance(build("own_models:fixed"), nn.Flatten)
    assert isinstance(build("own_models:ready"), nn.Identity)
    for spec, message in {
        "own_models:missing": "own_models has no missing$",
        "own_models:size": "own_models has no size; did you mean sized",
        "own_models:number": "number is int, expected a Module or a function that makes one",
        "own_models:numbers": "it made a int, expected a Module",
        "own_models:broken": "making it failed with KeyError: 'oops'",
        "no_such_module_here:f": "cannot import no_such_module_here",
        ":f": "neither a name nor package.module:callable",
        "lenett": "unknown model 'lenett'; did you mean lenet",
    }.items():
        with pytest.raises(UserError, match=message):
            build(spec)
    assert sys.path == before


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("nets", "nets:Net"),
        ("nets.py", "nets:Net"),
        ("./nets.py", "nets:Net"),
        ("nets.py:Block", "nets:Block"),
        ("nets.Net", "nets:Net"),
        ("Net", "nets:Net"),
        ("make", "nets:make"),
        ("zoo.birds", "zoo.birds:owl"),
        ("zoo/birds.py", "zoo.birds:owl"),
        ("zoo.birds.owl", "zoo.birds:owl"),
        ("broken.py", "broken:NAME"),
        ("somewhere.models.resnet18", "somewhere.models:resnet18"),
        ("lenet5", "lenet"),
        ("LeNet", "lenet"),
    ],
)
def test_a_model_in_a_file_is_found_under_what_it_is_called(
    spec: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = "raise RuntimeError('a hint ran the file')\n"
    nets = "def make(): ...\nclass Block(nn.Module): ...\nclass Net(nn.Module): ...\nclass Settings: ...\n"
    (tmp_path / "nets.py").write_text(ran + nets)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo/birds.py").write_text(ran + "def owl(): ...\n")
    (tmp_path / "broken.py").write_text("class f(:")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"did you mean {re.escape(meant)}\?"):
        build(spec)


@pytest.mark.parametrize(
    "spec", ["Nets", "nowhere.py", "nowhere.py:Net", "/tmp/nets.py", "../nets.py", ".", "\0", "a b"]
)
def test_nothing_is_guessed_where_nothing_is(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"package\.module:callable$"):
        build(spec)


# ---- the loop ----


def make_trainer(sets: tuple[Images, Images], callbacks: Any = (), optimizer: str = "adam", **options: Any) -> Trainer:
    """A trainer that always starts alike; the model draws random numbers while it trains."""
    tg.manual_seed(5)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(256, 10)
    )
    loader = DataLoader(sets[0], 10, shuffle=True, generator=Generator().manual_seed(9))
    options = {"epochs": 2, "schedule": one_cycle} | options
    return Trainer(
        model,
        loader,
        sets[1],
        optimizer=make_optimizer(optimizer, model.parameters(), 0.01),
        callbacks=callbacks,
        **options,
    )


def test_training_learns_and_writes_down_what_it_did(few: tuple[Images, Images]) -> None:
    trainer = make_trainer(few, epochs=6)
    history = trainer.run()
    assert [row["epoch"] for row in history.epochs] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in history.epochs] == [10, 20, 30, 40, 50, 60]
    assert len(history.steps["loss"]) == len(history.steps["accuracy"]) == 60
    assert history.last["train_loss"] < 0.5 * history.epochs[0]["train_loss"]
    assert history.last["test_accuracy"] == evaluate(trainer.model, few[1]).accuracy
    sizes = [10] * 9 + [6]
    assert history.epochs[0]["train_loss"] == pytest.approx(np.average(history.steps["loss"][:10], weights=sizes))
    assert trainer.done
    assert trainer.model.training
    assert History.from_dict(json.loads(json.dumps(history.to_dict()))) == history


def test_callbacks_are_called_in_order_and_can_stop(few: tuple[Images, Images]) -> None:
    seen: list[str] = []

    class Watch(Callback):
        def on_train_begin(self, trainer: Trainer) -> None:
            seen.append("begin")

        def on_batch_end(self, trainer: Trainer) -> None:
            seen.append(f"batch {trainer.step}")
            trainer.stop = trainer.step == 12

        def on_epoch_end(self, trainer: Trainer) -> None:
            seen.append(f"epoch {trainer.history.last['epoch']}")

        def on_train_end(self, trainer: Trainer) -> None:
            seen.append("end")

    trainer = make_trainer(few, [Watch()])
    trainer.run()
    expected = ["begin", *(f"batch {i}" for i in range(1, 11)), "epoch 1", "batch 11", "batch 12", "end"]
    assert seen == expected
    assert not trainer.done
    assert not trainer.interrupted


def test_iterations_end_the_training_in_the_middle_of_an_epoch(few: tuple[Images, Images]) -> None:
    history = make_trainer(few, iterations=13).run()
    assert [row["step"] for row in history.epochs] == [10, 13]


def test_the_learning_rate_follows_the_schedule(few: tuple[Images, Images]) -> None:
    rates: list[float] = []

    class Note(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            rates.append(trainer.optimizer.param_groups[0]["lr"])

    make_trainer(few, [Note()]).run()
    assert rates == pytest.approx([0.01 * one_cycle(step / 20) for step in range(1, 21)])


def test_a_loss_that_is_not_finite_stops_before_the_step(few: tuple[Images, Images]) -> None:
    trainer = make_trainer(few)
    trainer.loss = lambda out, y: (out * float("nan")).sum()
    before = {name: t.array.copy() for name, t in trainer.model.named_parameters()}
    with pytest.raises(FloatingPointError, match="the loss became nan in batch 1; a smaller learning rate may help"):
        trainer.run()
    assert all((before[name] == t.array).all() for name, t in trainer.model.named_parameters())


def test_fit_trains_any_dataset_and_any_loss() -> None:
    x = tg.linspace(-1, 1, 64).reshape(64, 1)
    model = nn.Linear(1, 1)
    history = fit(model, TensorDataset(x, 3 * x + 1), epochs=30, batch_size=16, lr=0.1, loss=nn.functional.mse_loss)
    assert history.last["train_loss"] < 1e-3
    assert np.isnan(history.last["train_accuracy"])
    assert history.last["test_accuracy"] is None


def test_bad_arguments_are_named(few: tuple[Images, Images]) -> None:
    with pytest.raises(ValueError, match="Trainer: epochs is 0, expected at least 1"):
        make_trainer(few, epochs=0)
    model = nn.Linear(1, 1)
    empty = DataLoader(TensorDataset(np.zeros((0, 1)), np.zeros(0)))
    with pytest.raises(ValueError, match="Trainer: the training set gives 0 batches"):
        Trainer(model, empty, optimizer=optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match="evaluate: the dataset has 0 samples"):
        evaluate(model, few[1].take(slice(0)))


def test_evaluation_is_in_eval_mode_and_leaves_no_trace(few: tuple[Images, Images]) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10))
    model[1].eval()
    x, y = few[1].tensors()
    rows = predict(model, x, batch_size=7)
    assert rows.shape == (40, 10)
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-6)
    assert evaluate(model, few[1], batch_size=7).accuracy == (rows.argmax(axis=1) == y.array).mean()
    assert [module.training for module in model] == [True, False, True]
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_by_name(name: str) -> None:
    model = nn.Linear(2, 1)
    optimizer = make_optimizer(name, model.parameters(), 0.25)
    assert isinstance(optimizer, optim.Optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.25
    with pytest.raises(UserError, match="unknown optimizer 'adamm'; did you mean adam"):
        make_optimizer("adamm", model.parameters(), 0.25)


# ---- exact resume ----


def weights(trainer: Trainer) -> bytes:
    return b"".join(tensor.array.tobytes() for tensor in trainer.model.state_dict().values())


class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_batch_end(self, trainer: Trainer) -> None:
        trainer.stop = trainer.step == self.step


@pytest.mark.parametrize("optimizer", ["adam", "momentum", "rmsprop"])
@pytest.mark.parametrize("step", [3, 10, 14])
def test_a_resumed_training_is_the_same_to_the_last_bit(
    few: tuple[Images, Images], tmp_path: Path, step: int, optimizer: str
) -> None:
    whole = make_trainer(few, optimizer=optimizer)
    whole.run()
    first = make_trainer(few, [StopAt(step)], optimizer=optimizer)
    first.run()
    assert first.step == step
    write_checkpoint(tmp_path / "state", first.state_dict())
    second = make_trainer(few, optimizer=optimizer)
    tg.manual_seed(12345)
    second.load_state_dict(read_checkpoint(tmp_path / "state"))
    assert weights(second) == weights(first)
    second.run()
    assert weights(second) == weights(whole)
    assert second.history.steps == whole.history.steps
    without_time = [[{**row, "seconds": 0} for row in t.history.epochs] for t in (second, whole)]
    assert without_time[0] == without_time[1]
    write_checkpoint(tmp_path / "a", {**second.state_dict(), "history": None})
    write_checkpoint(tmp_path / "b", {**whole.state_dict(), "history": None})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_same_trainer_can_go_on_too(few: tuple[Images, Images]) -> None:
    whole = make_trainer(few)
    whole.run()
    trainer = make_trainer(few, [StopAt(7)])
    trainer.run()
    trainer.run()
    assert weights(trainer) == weights(whole)


@pytest.mark.parametrize("step", [4, 10, 20])
def test_ctrl_c_ends_after_the_batch_and_nothing_is_lost(few: tuple[Images, Images], step: int) -> None:
    class PressCtrlC(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            if trainer.step == step and not trainer.interrupted:
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    whole = make_trainer(few)
    whole.run()
    trainer = make_trainer(few, [PressCtrlC()])
    trainer.run()
    assert trainer.interrupted
    assert trainer.step == step
    assert signal.getsignal(signal.SIGINT) is before
    trainer.callbacks = []
    trainer.run()
    assert weights(trainer) == weights(whole)


def test_a_second_ctrl_c_stops_at_once(few: tuple[Images, Images]) -> None:
    class Impatient(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    trainer = make_trainer(few, [Impatient()])
    with pytest.raises(KeyboardInterrupt):
        trainer.run()


# ---- checkpoints ----


def test_a_checkpoint_keeps_nested_state(tmp_path: Path) -> None:
    state = {
        "a": [1, 2.5, None, True, "x"],
        3: {"t": tg.tensor([1.0, 2.0], dtype=tg.float64), "pair": (0.9, [np.arange(3)])},
        "scalar": np.float32(1.5),
        "huge": 2**127,
        "empty": tg.zeros(0, 3),
    }
    write_checkpoint(tmp_path / "c", state)
    back = read_checkpoint(tmp_path / "c")
    assert back["a"] == state["a"]
    assert isinstance(back[3]["t"], tg.Tensor)
    assert back[3]["t"].dtype == np.float64
    assert back[3]["pair"][0] == 0.9
    assert isinstance(back[3]["pair"], tuple)
    assert back[3]["pair"][1][0].tolist() == [0, 1, 2]
    assert back["scalar"] == 1.5
    assert back["huge"] == 2**127
    assert back["empty"].shape == (0, 3)


def test_damaged_checkpoints_are_told(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with pytest.raises(FileNotFoundError):
        read_checkpoint(path)
    write_checkpoint(path, {"w": tg.zeros(100)})
    whole = path.read_bytes()
    for content in (whole[:-8], whole[:20], b"", b"\xff" * 100, whole + b"more"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is damaged or no checkpoint"):
            read_checkpoint(path)
    tg.save({"w": tg.zeros(2)}, path)
    with pytest.raises(ValueError, match="it holds no nested state"):
        read_checkpoint(path)


def test_a_failing_write_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c"
    write_checkpoint(path, {"w": tg.zeros(4)})
    whole = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(serialization.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(path, {"w": tg.ones(4)})
    monkeypatch.undo()
    assert path.read_bytes() == whole
    assert os.listdir(tmp_path) == ["c"]


# ---- run folders ----


CONFIG = RunConfig(
    model="mlp", data="bundled", optimizer="adam", lr=0.01, batch_size=32, epochs=1, iterations=None, one_cycle=True,
    seed=3, in_shape=(1, 28, 28), classes=tuple("0123456789"), mean=0.1307, std=0.3081, ink=0.7, version="0",
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, few: tuple[Images, Images]) -> Run:
    """A run that has been trained."""
    run = Run.create(tmp_path / "runs" / "first", CONFIG)
    trainer = run.trainer(run.build_model(), *few)
    trainer.callbacks += run.callbacks()
    trainer.run()
    return run


def test_a_run_folder_brings_the_model_back(run: Run, few: tuple[Images, Images]) -> None:
    assert set(os.listdir(run.folder)) == {
        "best.safetensors", "checkpoint.safetensors", "config.json", "metrics.csv", "metrics.json", "model.safetensors",
    }  # fmt: skip
    opened = Run.open(run.folder)
    assert opened.config == CONFIG
    model = opened.load_model()
    assert not model.training
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert evaluate(model, few[1]).accuracy == metrics["epochs"][-1]["test_accuracy"]
    header, row = (run.folder / "metrics.csv").read_text().splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["step"] == "3"


def test_a_run_is_not_written_over(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already; choose another --out, or continue it with --resume"):
        Run.create(run.folder, CONFIG)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="exists already"):
        Run.create(file, CONFIG)
    assert Run.next_free("a.b:C", tmp_path) == tmp_path / "a-b-C-1"
    (tmp_path / "a-b-C-1").mkdir()
    assert Run.next_free("a.b:C", tmp_path) == tmp_path / "a-b-C-2"


def test_a_run_that_cannot_be_written_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(serialization.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        Run.create(tmp_path / "new", CONFIG)
    assert os.listdir(tmp_path) == []


def test_bad_weights_are_told(run: Run) -> None:
    path = run.folder / "model.safetensors"
    good = serialization.load(path)
    whole = path.read_bytes()

    def message() -> str:
        with pytest.raises(UserError) as caught:
            run.load_model()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    path.write_bytes(whole[:-100])
    assert "damaged or cut short" in message()
    good["fc1.bias"].array[7] = np.nan
    tg.save(good, path)
    assert "fc1.bias holds NaN or infinity" in message()
    tg.save(build("lenet").state_dict(), path)
    assert "not the weights of model mlp" in message()
    assert message().endswith(" …)")  # of the ten differences the first few
    tg.save({"model": good}, path)
    assert "not the weights of model mlp" in message()
    tg.save(build("mlp", (1, 8, 8)).state_dict(), path)
    assert "fc1.weight" in message()
    path.unlink()
    assert "no checkpoint there (model.safetensors is missing)" in message()


def test_bad_checkpoints_are_told_on_resume(run: Run, few: tuple[Images, Images]) -> None:
    path = run.folder / "checkpoint.safetensors"
    state = read_checkpoint(path)

    def message() -> str:
        with pytest.raises(UserError) as caught:
            run.resume(run.trainer(run.build_model(), *few))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    path.write_bytes(path.read_bytes()[:-10])
    assert "is damaged or no checkpoint" in message()
    write_checkpoint(path, {"model": state["model"]})
    assert "does not fit this run" in message()
    state["loader"]["samples"] = 5
    write_checkpoint(path, state)
    assert "position was saved over 5 samples" in message()
    state["model"]["fc1.bias"].array[0] = np.inf
    write_checkpoint(path, state)
    assert "fc1.bias holds NaN or infinity" in message()
    path.unlink()
    assert "checkpoint.safetensors is missing" in message()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": "many"}, "epochs is 'many', which cannot be"),
        ({"in_shape": [1, 28]}, r"in_shape is \[1, 28\]"),
        ({"in_shape": [1, 28, 0]}, "in_shape"),
        ({"classes": []}, "classes"),
        ({"mean": None}, "mean is None"),
        ({"mean": float("nan")}, "mean is nan, which cannot be"),
        ({"std": 0}, "std is 0, which cannot be"),
        ({"lr": -1.0}, "lr is -1.0, which cannot be"),
        ({"batch_size": 0}, "batch_size is 0, which cannot be"),
    ],
)
def test_bad_configs_are_told(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(CONFIG.to_json()) | change))
    with pytest.raises(UserError, match=message):
        RunConfig.read(path)


def test_configs_that_are_none_are_told(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with pytest.raises(UserError, match="so it is no run folder"):
        RunConfig.read(path)
    path.write_text("{")
    with pytest.raises(UserError, match="no valid JSON"):
        RunConfig.read(path)
    path.write_text("[]")
    with pytest.raises(UserError, match="holds list, expected an object"):
        RunConfig.read(path)
    path.write_text("{}")
    with pytest.raises(UserError, match="'model' is missing"):
        RunConfig.read(path)
    with pytest.raises(UserError, match="no such folder, expected a run"):
        Run.open(tmp_path / "nowhere")


def test_a_model_that_does_not_fit_its_data_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "misfits.py").write_text(
        "from tinygrad_cnn import nn\n"
        "def wide(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 12))\n"
        "def narrow(): return nn.Sequential(nn.Flatten(), nn.Linear(100, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"model misfits:wide gives \(2, 12\) for 2 images, expected \(2, 10\)"):
        Run(tmp_path, replace(CONFIG, model="misfits:wide")).build_model()
    with pytest.raises(UserError, match=r"model misfits:narrow fails on images \(1, 28, 28\): linear: "):
        Run(tmp_path, replace(CONFIG, model="misfits:narrow")).build_model()


def test_data_by_name(tmp_path: Path) -> None:
    assert len(load_data("bundled")[0]) == 5000
    assert load_data("digits")[1].images.shape[1:] == (1, 8, 8)
    with pytest.raises(UserError, match="data 'mnst' is neither bundled, digits, openml nor a folder of IDX files"):
        load_data("mnst")
    with pytest.raises(UserError, match="has no file train-images-idx3-ubyte"):
        load_data(str(tmp_path))

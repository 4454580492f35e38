"""The callbacks of the training loop: what they save, when they stop, what they write and show."""

from __future__ import annotations

import csv
import json
import os
import signal
import struct
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

import tinygrad_cnn as tg
from tinygrad_cnn import nn, optim
from tinygrad_cnn.data import DataLoader, Images, TensorDataset, digits
from tinygrad_cnn.random import Generator
from tinygrad_cnn.train import (
    Callback,
    Checkpoint,
    EarlyStopping,
    History,
    LivePlot,
    MetricsFile,
    ProgressBar,
    TensorBoard,
    Trainer,
    evaluate,
    read_checkpoint,
)


@pytest.fixture(scope="module")
def few() -> tuple[Images, Images]:
    train_set, test_set = digits()
    return train_set.take(slice(60)), test_set.take(slice(40))


def make_trainer(few: tuple[Images, Images], *callbacks: Callback, epochs: int = 3, **options: Any) -> Trainer:
    """A trainer that always starts alike, with 3 batches in an epoch."""
    tg.manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    return Trainer(
        model,
        DataLoader(few[0], 20, shuffle=True, generator=Generator().manual_seed(9)),
        few[1],
        optimizer=optim.Adam(model.parameters(), lr=0.01),
        epochs=epochs,
        callbacks=callbacks,
        **options,
    )


class Scripted(Callback):
    """Replaces a column of the history by given values, before the callbacks after it look at it."""

    def __init__(self, name: str, values: list[float]) -> None:
        self.name = name
        self.values = values

    def on_epoch_end(self, trainer: Trainer) -> None:
        trainer.history.last[self.name] = self.values[len(trainer.history.epochs) - 1]


# ---- one of one's own ----


class WeightNorm(Callback):
    """The whole of a user's callback: the norm of the weights after each epoch."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.norms.append(nn.utils.parameters_to_vector(trainer.model.parameters()).norm().item())


def test_a_users_own_is_one_small_class(few: tuple[Images, Images]) -> None:
    watch = WeightNorm()
    trainer = make_trainer(few, watch)
    trainer.run()
    assert len(watch.norms) == 3
    expected = np.sqrt(sum((p.array.astype(float) ** 2).sum() for p in trainer.model.parameters()))
    assert watch.norms[-1] == pytest.approx(expected, rel=1e-5)
    assert watch.norms[0] < watch.norms[-1]


def test_close_comes_last_even_after_an_error(few: tuple[Images, Images]) -> None:
    seen: list[str] = []

    class Watch(Callback):
        def on_train_end(self, trainer: Trainer) -> None:
            seen.append("end")

        def close(self) -> None:
            seen.append("close")

    make_trainer(few, Watch()).run()
    assert seen == ["end", "close"]
    broken = make_trainer(few, Watch(), loss=lambda out, y: (out * float("nan")).sum())
    with pytest.raises(FloatingPointError):
        broken.run()
    assert seen == ["end", "close", "close"]


# ---- checkpoints ----


def test_the_last_and_the_best_weights_are_kept(few: tuple[Images, Images], tmp_path: Path) -> None:
    weights: list[np.ndarray] = []

    class Note(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            weights.append(trainer.model[1].weight.numpy(force=True).copy())  # type: ignore[index]

    folder = tmp_path / "new" / "folder"
    trainer = make_trainer(few, Note(), Scripted("test_accuracy", [0.5, 0.8, 0.7]), Checkpoint(folder))
    trainer.run()
    assert sorted(os.listdir(folder)) == ["best.safetensors", "checkpoint.safetensors", "model.safetensors"]
    np.testing.assert_array_equal(tg.load(folder / "best.safetensors")["1.weight"].numpy(), weights[1])
    np.testing.assert_array_equal(tg.load(folder / "model.safetensors")["1.weight"].numpy(), weights[2])


def test_the_best_may_be_the_lowest_loss_or_left_out(few: tuple[Images, Images], tmp_path: Path) -> None:
    trainer = make_trainer(few, Scripted("train_loss", [0.2, 0.3, 0.2]), Checkpoint(tmp_path, "train_loss"))
    whole = make_trainer(few, epochs=1)
    trainer.run()
    whole.run()
    best = tg.load(tmp_path / "best.safetensors")["1.weight"].numpy()
    np.testing.assert_array_equal(best, whole.model[1].weight.numpy(force=True))  # type: ignore[index]
    make_trainer(few, Checkpoint(tmp_path / "b", None)).run()
    assert sorted(os.listdir(tmp_path / "b")) == ["checkpoint.safetensors", "model.safetensors"]


@pytest.mark.parametrize("press", [2, 3, 5])
def test_a_stopped_training_goes_on_from_its_checkpoint(few: tuple[Images, Images], tmp_path: Path, press: int) -> None:
    class PressCtrlC(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            if trainer.step == press:
                os.kill(os.getpid(), signal.SIGINT)

    whole = make_trainer(few, Checkpoint(tmp_path / "whole"), MetricsFile(tmp_path / "whole.json"))
    whole.run()
    first = make_trainer(few, PressCtrlC(), Checkpoint(tmp_path / "part"), MetricsFile(tmp_path / "part.json"))
    first.run()
    assert first.interrupted
    assert len(json.loads((tmp_path / "part.json").read_text())["steps"]["loss"]) == press
    second = make_trainer(few, Checkpoint(tmp_path / "part"), MetricsFile(tmp_path / "part.json"))
    second.load_state_dict(read_checkpoint(tmp_path / "part" / "checkpoint.safetensors"))
    assert second.step == press
    second.run()
    for name in ("model.safetensors", "best.safetensors"):  # the best of all epochs, not of those since the stop
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    losses = [json.loads((tmp_path / f"{n}.json").read_text())["steps"]["loss"] for n in ("part", "whole")]
    assert losses[0] == losses[1]


# ---- stopping early ----


@pytest.mark.parametrize(
    ("values", "patience", "least", "epochs"),
    [
        ([5, 4, 3, 2, 1, 0], 1, 0.0, 6),
        ([5, 4, 4, 4, 4, 4], 2, 0.0, 4),
        ([5, 6, 4, 5, 6, 7], 2, 0.0, 5),
        ([5, 4.9, 4.8, 4.7, 1, 0], 3, 0.5, 4),
        ([5, 6, 6, 6, 6, 6], 3, 0.0, 4),
    ],
)
def test_it_stops_when_nothing_gets_better(
    few: tuple[Images, Images], values: list[float], patience: int, least: float, epochs: int
) -> None:
    stop = EarlyStopping(patience, "test_loss", least)
    trainer = make_trainer(few, Scripted("test_loss", values), stop, epochs=6)
    assert len(trainer.run().epochs) == epochs
    assert trainer.stop == (epochs < 6)
    upwards = EarlyStopping(patience, "test_accuracy", least)
    falling = [-value for value in values]
    assert len(make_trainer(few, Scripted("test_accuracy", falling), upwards, epochs=6).run().epochs) == epochs


def test_a_resumed_training_is_as_patient_as_a_whole_one(few: tuple[Images, Images]) -> None:
    values = [5.0, 4.0, 4.5, 4.6, 4.7, 1.0]

    class StopOnce(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            trainer.stop = trainer.epoch == 3

    first = make_trainer(few, Scripted("test_loss", values), StopOnce(), epochs=6)
    first.run()
    second = make_trainer(few, Scripted("test_loss", values), EarlyStopping(3), epochs=6)
    second.load_state_dict(first.state_dict())
    assert len(second.run().epochs) == 5


def test_wrong_callbacks_are_told(few: tuple[Images, Images], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="EarlyStopping: patience is 0, expected at least 1"):
        EarlyStopping(0)
    with pytest.raises(ValueError, match=r"MetricsFile: \S+m.txt ends in '.txt', expected .csv or .json"):
        MetricsFile(tmp_path / "m.txt")
    with pytest.raises(ValueError, match="EarlyStopping: monitor is 'test_los', expected one of epoch, step, train_l"):
        make_trainer(few, EarlyStopping(monitor="test_los")).run()
    trainer = make_trainer(few, Checkpoint(tmp_path))
    trainer.test_set = None
    with pytest.raises(ValueError, match="Checkpoint: test_accuracy is None; give the trainer a test_set of classes"):
        trainer.run()


# ---- what is written down ----


def test_metrics_as_csv_and_json(few: tuple[Images, Images], tmp_path: Path) -> None:
    trainer = make_trainer(few, MetricsFile(tmp_path / "m.csv"), MetricsFile(str(tmp_path / "m.json")))
    history = trainer.run()
    with open(tmp_path / "m.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [3, 6, 9]
    assert float(rows[-1]["test_accuracy"]) == evaluate(trainer.model, few[1]).accuracy
    assert History.from_dict(json.loads((tmp_path / "m.json").read_text())) == history


def events(folder: Path) -> list[Any]:
    """What stands in the files for TensorBoard: records of a length, its check, the bytes, their check."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(event_pb2.Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Value by step by tag."""
    found: dict[str, dict[int, float]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_tensorboard_gets_batches_and_epochs(few: tuple[Images, Images], tmp_path: Path) -> None:
    history = make_trainer(few, TensorBoard(tmp_path / "tb", histograms=True)).run()
    found = scalars(tmp_path / "tb")
    assert set(found) == {
        "batch/loss", "batch/accuracy", "loss/train", "loss/test", "accuracy/train", "accuracy/test", "learning_rate",
    }  # fmt: skip
    assert list(found["batch/loss"]) == list(range(1, 10))
    np.testing.assert_allclose(list(found["batch/loss"].values()), history.steps["loss"], rtol=1e-6)
    assert list(found["loss/test"]) == [3, 6, 9]
    np.testing.assert_allclose(
        list(found["accuracy/test"].values()), [row["test_accuracy"] for row in history.epochs], rtol=1e-6
    )
    drawn = {v.tag for event in events(tmp_path / "tb") for v in event.summary.value if v.HasField("histo")}
    assert drawn == {"1.weight", "1.bias"}


def test_tensorboard_goes_on_after_a_resume(few: tuple[Images, Images], tmp_path: Path) -> None:
    class Stop(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            trainer.stop = trainer.step == 4

    first = make_trainer(few, Stop(), TensorBoard(tmp_path))
    first.run()
    second = make_trainer(few, TensorBoard(tmp_path))
    second.load_state_dict(first.state_dict())
    second.run()
    assert sorted(scalars(tmp_path)["batch/loss"]) == list(range(1, 10))
    started = [event.step for event in events(tmp_path) if event.HasField("session_log")]
    assert started == [5]  # TensorBoard drops what an earlier run wrote from there on


def test_tensorboard_writes_no_accuracy_where_there_is_none(tmp_path: Path) -> None:
    x = tg.linspace(-1, 1, 20).reshape(20, 1)
    tg.train.fit(
        nn.Linear(1, 1), TensorDataset(x, 2 * x), loss=nn.functional.mse_loss, callbacks=[TensorBoard(tmp_path)]
    )
    assert set(scalars(tmp_path)) == {"batch/loss", "loss/train", "learning_rate"}


def test_without_tensorboardx_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_cnn.train.callbacks.tensorboard.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"tensorboardX is not installed; pip install 'tinygrad-cnn\[tensorboard\]'"):
        TensorBoard(tmp_path)


# ---- what is shown ----


def test_a_live_plot_is_drawn_anew_in_its_place(few: tuple[Images, Images], monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bytes] = []

    class Place:
        def update(self, image: bytes) -> None:
            shown.append(image)

    def display(image: bytes, display_id: bool) -> Place:
        assert display_id
        shown.append(image)
        return Place()

    notebook = types.ModuleType("IPython")
    notebook.version_info = (9, 0)  # type: ignore[attr-defined]  # matplotlib looks at it
    notebook.get_ipython = lambda: object()  # type: ignore[attr-defined]
    notebook.display = types.ModuleType("IPython.display")  # type: ignore[attr-defined]
    notebook.display.Image, notebook.display.display = bytes, display
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", notebook.display)
    make_trainer(few, LivePlot(seconds=1000)).run()
    assert len(shown) == 1 + 3 + 1  # at the start, after each epoch, at the end
    assert all(image.startswith(b"\x89PNG") for image in shown)
    assert len(set(shown[:4])) == 4
    shown.clear()
    make_trainer(few, LivePlot(seconds=0)).run()
    assert len(shown) == 1 + 9 + 3 + 1
    shown.clear()
    notebook.get_ipython = lambda: None  # type: ignore[attr-defined]
    make_trainer(few, LivePlot(seconds=0)).run()
    monkeypatch.setitem(sys.modules, "IPython", None)
    make_trainer(few, LivePlot(seconds=0)).run()
    assert shown == []


def test_the_progress_bar_counts_and_ends_its_line(
    few: tuple[Images, Images], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    make_trainer(few, ProgressBar()).run()
    out, err = capsys.readouterr()
    assert [line[:8] for line in out.splitlines()] == ["epoch  1", "epoch  2", "epoch  3"]
    assert "9/9" in err
    assert err.endswith("\n")
    broken = make_trainer(few, ProgressBar(), loss=lambda out, y: (out * float("nan")).sum())
    with pytest.raises(FloatingPointError):
        broken.run()
    assert capsys.readouterr().err.endswith("\n")


def test_outside_of_a_terminal_there_are_the_epochs_alone(
    few: tuple[Images, Images], capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    make_trainer(few, ProgressBar(), ProgressBar(said.append)).run()
    out, err = capsys.readouterr()
    assert [line[:8] for line in out.splitlines()] == ["epoch  1", "epoch  2", "epoch  3"]
    assert said == out.splitlines()
    assert err == ""

"""Each example runs to its end as a plain script, does what it says, and leaves pictures that show something."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib import pyplot
from PIL import Image

EXAMPLES = Path(__file__).parent.parent / "examples"
NOT_NOTEBOOKS = {"make_mnist_subset"}  # a tool with arguments, tested with the data

Run = Callable[[str], dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs an example in a folder of its own; returns its variables. The pictures must be the `count` expected ones."""
    monkeypatch.chdir(tmp_path)

    def run(name: str) -> dict[str, Any]:
        names = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        pyplot.close("all")
        folder = tmp_path / names["PICTURES"]
        for picture in folder.glob("*.png"):
            with Image.open(picture) as image:
                assert len(set(image.convert("L").get_flattened_data())) > 10, f"{picture.name} shows nothing"
        for picture in folder.glob("*.svg"):
            assert picture.read_text().startswith("<?xml")
        names["files"] = sorted(path.name for path in folder.iterdir())
        return names

    return run


def test_every_example_has_a_test() -> None:
    tested = {name.removeprefix("test_example_") for name in globals() if name.startswith("test_example_")}
    assert tested == {path.stem for path in EXAMPLES.glob("*.py")} - NOT_NOTEBOOKS


def test_example_seed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    names = run("seed")
    assert names["files"] == [
        "1-refresher.png", "2-curves.png", "3-predictions.png", "4-filters.png", "5-feature-maps.png",
        "6-saliency.png", "7-graph.svg",
    ]  # fmt: skip
    assert names["by_hand"].shape == (1, 10)
    assert (names["slope"] - names["by_hand"]).abs().max().item() < 1e-6
    assert len(names["history"].steps["loss"]) == 25
    assert names["test_accuracy"] > 0.5
    assert "the seed's CNN: 5 ops, 10,194 parameters" in capsys.readouterr().out


def test_example_autograd_from_inside(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    names = run("autograd_from_inside")
    assert names["files"] == ["1-graph.svg", "2-gradient.svg", "3-newton.png", "4-penalty.png"]
    assert names["newton_heights"][-1] < 1e-20
    assert names["slow_heights"][-1] > 0.1
    assert names["numeric"] == pytest.approx([names["first"].item(), names["second"].item()], abs=1e-4)
    assert names["moons"][0.1] > names["moons"][0.0] + 0.03
    assert "slope 11.5839, curvature 11.0907 (6 x - sin x = 11.0907)" in capsys.readouterr().out


def test_example_first_model(run: Run) -> None:
    names = run("first_model")
    assert names["files"] == ["graph.svg"]
    assert names["history"].last["test_accuracy"] > 0.94


def test_example_resnet(run: Run) -> None:
    names = run("resnet")
    assert names["files"] == [
        "1-graph.svg", "2-graph-of-modules.svg", "3-gradient-flow.png", "4-curves.png", "5-confusion.png",
        "6-weights.png",
    ]  # fmt: skip
    accuracies = {skip: history.last["test_accuracy"] for skip, history in names["histories"].items()}
    assert accuracies[True] > 0.9
    assert accuracies[False] < 0.5


def test_example_autoencoder(run: Run) -> None:
    names = run("autoencoder")
    assert names["files"] == ["1-graph.svg", "2-loss.png", "3-in-and-out.png", "4-map.png", "5-filters.png"]
    losses = {name: history.last["test_loss"] for name, history in names["histories"].items()}
    assert losses["16 numbers"] < 0.15 < losses["2 numbers"] < 0.22


def test_example_adversarial(run: Run) -> None:
    names = run("adversarial")
    assert names["files"] == ["1-fooled.png", "2-all-threes.png", "3-saliency.png", "4-accuracy.png"]
    at = names["at"]
    assert names["plain"][0] > 0.93
    assert names["plain"][at] < 0.8
    assert names["noisy"][at] > 0.93
    assert names["firm"][at] > names["plain"][at] + 0.1
    assert (names["seen"].argmax(axis=1) == 3).sum() >= 8


def test_example_from_pytorch(run: Run) -> None:
    names = run("from_pytorch")  # with PyTorch, where it is installed, it checks the scores itself
    assert names["files"] == [
        "1-few.png", "2-transfer.png", "3-feature-maps.png", "4-graph.svg", "net.safetensors",
    ]  # fmt: skip
    last = {name: curve[-1] for name, curve in names["curves"].items()}
    assert last["transferred, all layers tuned"] > last["from scratch"] + 0.03

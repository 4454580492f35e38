"""Each example runs, in its fast form, and leaves the files that it says."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("seed").main(str(tmp_path / "seed"), smoke=True)
    names = {"1-refresher", "2-curves", "3-predictions", "4-filters", "5-feature-maps"}
    assert set(os.listdir(tmp_path / "seed")) == {f"{name}.png" for name in names} | {"6-graph.svg"}
    out = capsys.readouterr().out
    assert "the seed's CNN: 6 ops, 10,194 parameters" in out
    assert "test accuracy: 0." in out


def test_the_seed_learns_in_its_25_iterations(tmp_path: Path) -> None:
    assert load("seed").main(str(tmp_path / "seed")) > 0.5


def test_a_first_model(tmp_path: Path) -> None:
    load("first_model").main(str(tmp_path / "net.svg"), smoke=True)
    svg = (tmp_path / "net.svg").read_text()
    assert "Conv2d 8" in svg
    assert "(1, 16, 14, 14)" in svg


def test_newton(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heights = load("newton").main(str(tmp_path), smoke=True)
    assert heights[-1] < 1e-20
    assert "cos" in (tmp_path / "gradient.svg").read_text()
    assert "slope 11.5839, curvature 11.0907 (6 x - sin x = 11.0907)" in capsys.readouterr().out

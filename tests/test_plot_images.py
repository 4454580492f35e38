"""The pictures pixel by pixel, against those in tests/baseline (each looked at by eye), by pytest-mpl.

Text is taken away first: its rendering differs between versions of matplotlib and FreeType, and what it says is held
in test_plot.py. What is left (images, lines, bars, their places) comes out alike in all of matplotlib 3.11, so the
tolerance is small; the last test here shows that a picture from which anything is missing is outside of it. (Up to
3.10 images reach up to a pixel further.) New baselines, after a wanted change:

    python -m pytest tests/test_plot_images.py --mpl-generate-path=tests/baseline
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text

import tinygrad_cnn as tg
from tinygrad_cnn import nn, plot
from tinygrad_cnn.data import mnist
from tinygrad_cnn.train import History

TOLERANCE = 1.0  # the root mean square of the differences of pixels that run from 0 to 255
DPI = 60
DRAWINGS: dict[str, Callable[[], Any]] = {}


def drawing(draw: Callable[[], Any]) -> Callable[[], Figure]:
    """A test that compares the figure of the axes that `draw` returns, without its text."""

    @pytest.mark.mpl_image_compare(tolerance=TOLERANCE, savefig_kwargs={"dpi": DPI}, style="default")
    @functools.wraps(draw)
    def test() -> Figure:
        return without_text(draw())

    DRAWINGS[draw.__name__] = draw
    return test


def without_text(axes: Any) -> Figure:
    figure = np.ravel(np.asarray(axes, object))[0].figure
    for panel in figure.axes:
        if panel.get_legend():
            panel.get_legend().remove()
    for text in figure.findobj(Text):
        text.set_visible(False)
    return figure


def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    test_set = mnist()[1]
    return test_set.images[:count] / np.float32(255), test_set.labels[:count]


def template(x: tg.Tensor) -> tg.Tensor:
    """A model whose score of class 1 is the product of the picture with a slanted plane, of class 0 its negative."""
    plane = tg.tensor(np.add.outer(np.linspace(-1, 1, 28), np.linspace(-1, 0.5, 28)), dtype=tg.float32)
    score = (x * plane).sum((1, 2, 3)) + (x[:, 0, 4:12, 16:24] ** 2).sum((1, 2))
    return tg.stack([-score, score], 1)


def small_model() -> nn.Module:
    tg.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))


@drawing
def test_curves() -> Any:
    steps = np.arange(200)
    rows = [{"step": 50 * i, "test_loss": 2 / (i + 1), "test_accuracy": 1 - 0.8 / i} for i in range(1, 5)]
    losses = 2.2 * np.exp(-steps / 60) + 0.2 * np.sin(steps)
    return plot.curves(History(rows, {"loss": list(losses), "accuracy": list(1 - losses / 3)}))


@drawing
def test_samples() -> Any:
    images, labels = digits(7)
    return plot.samples(images, labels, (labels + (np.arange(7) == 2)) % 10, confidence=np.linspace(0.4, 1, 7))


@drawing
def test_samples_in_colour() -> Any:
    images = np.random.default_rng(0).random((2, 3, 6, 6))
    return plot.samples(images, [0, 1], [0, 1])


@drawing
def test_filters() -> Any:
    return plot.filters(np.random.default_rng(1).normal(size=(6, 2, 3, 3)), columns=6)


@drawing
def test_feature_maps() -> Any:
    images, _ = digits(1)
    return plot.feature_maps(images[0], np.stack([images[0, 0] * k for k in (-1, 1, 2)]))


@drawing
def test_refresher() -> Any:
    return plot.refresher(digits(4)[0][3])


@drawing
def test_confusion() -> Any:
    labels = np.repeat(np.arange(4), (10, 20, 5, 8))
    return plot.confusion(labels, np.where(np.arange(43) % 5, labels, 2), ("ant", "bee", "cat", "dog"))


@drawing
def test_saliency() -> Any:
    return plot.saliency(template, digits(1)[0][0])


@drawing
def test_gradient_flow() -> Any:
    model = small_model()
    model[0].bias.requires_grad_(False)
    model(tg.tensor(np.random.default_rng(2).random((8, 1, 8, 8)), dtype=tg.float32)).square().sum().backward()
    return plot.gradient_flow(model)


@drawing
def test_weight_histograms() -> Any:
    return plot.weight_histograms(small_model())


def test_the_comparison_is_switched_on(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getoption("mpl"), "without --mpl (in pyproject.toml) the tests above compare nothing"
    baseline = {path.stem for path in (Path(__file__).parent / "baseline").glob("*.png")}
    assert baseline == set(DRAWINGS)


def parts(axes: Axes) -> list[Any]:
    """What is drawn on the axes: images, lines, and all but the shortest bars."""
    bars = [bar for bar in axes.patches if bar.get_height() > 0.1 * axes.get_ylim()[1]]
    return [*axes.images, *axes.lines, *axes.collections, *bars]


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_picture_with_anything_missing_is_told(name: str, tmp_path: Path) -> None:
    baseline = Path(__file__).parent / "baseline" / f"{name}.png"
    figure = without_text(DRAWINGS[name]())
    for part in [part for axes in figure.axes for part in parts(axes)]:
        part.set_visible(False)
        figure.savefig(tmp_path / "changed.png", dpi=DPI)
        (tmp_path / "expected.png").write_bytes(baseline.read_bytes())
        assert compare_images(str(tmp_path / "expected.png"), str(tmp_path / "changed.png"), TOLERANCE), f"{part}"
        part.set_visible(True)
    pyplot.close(figure)

"""The pictures: what stands on the axes, that nothing is shown, and that given axes and figures are used."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import tinygrad_cnn as tg
from tinygrad_cnn import plot
from tinygrad_cnn.plot.images import KERNELS
from tinygrad_cnn.train import History


@pytest.fixture(autouse=True)
def _nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pyplot, "show", lambda *a, **k: pytest.fail("a picture was shown"))
    yield
    for number in pyplot.get_fignums():
        pyplot.figure(number).canvas.draw()  # whatever was made can be drawn
    pyplot.close("all")


def history(steps: int, epochs: int) -> History:
    rows = [
        {"step": steps * (i + 1) // epochs, "test_loss": 1 / (i + 1), "test_accuracy": 1 - 0.5 / (i + 1)}
        for i in range(epochs)
    ]
    return History(rows, {"loss": list(np.linspace(2, 0.1, steps)), "accuracy": list(np.linspace(0, 1, steps))})


@pytest.mark.parametrize(("steps", "epochs"), [(25, 0), (25, 1), (400, 4), (0, 0)])
def test_curves(steps: int, epochs: int) -> None:
    loss, accuracy = plot.curves(history(steps, epochs))
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    lines = {line.get_label(): line.get_ydata() for line in accuracy.lines}
    assert ("test set" in lines) == bool(epochs)
    if epochs:
        assert list(lines["test set"]) == [1 - 0.5 / (i + 1) for i in range(epochs)]
        assert accuracy.texts[0].get_text() == f"{1 - 0.5 / epochs:.3f}"
    if steps == 400:
        np.testing.assert_allclose(lines["training, mean of 8 batches"][0], np.linspace(0, 1, 400)[:8].mean())


def test_curves_of_regression_have_no_accuracy() -> None:
    empty = History(
        [{"step": 2, "test_loss": 1.0, "test_accuracy": None}], {"loss": [2.0, 1.0], "accuracy": [np.nan] * 2}
    )
    _, accuracy = plot.curves(empty)
    assert "test set" not in [line.get_label() for line in accuracy.lines]


def test_samples_tell_right_from_wrong_by_words_and_colour() -> None:
    axes = plot.samples(
        tg.zeros(3, 1, 4, 4),
        tg.tensor([0, 1, 1]),
        np.array([0, 0, 1]),
        classes=("cat", "dog"),
        confidence=[1, 0.5, 0.75],
    )
    assert [a.get_title() for a in axes] == ["cat  100 %", "cat  50 %\n(is dog)", "dog  75 %"]
    colours = [a.title.get_color() for a in axes]
    assert colours[0] == colours[2] != colours[1]


def test_samples_without_names_and_in_colour() -> None:
    axes = plot.samples(np.random.default_rng(0).normal(size=(7, 3, 5, 5)), np.arange(7), np.arange(7), columns=3)
    assert [a.get_title() for a in axes] == list("0123456")
    assert axes[0].images[0].get_array().shape == (5, 5, 3)
    grid = axes[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == (3, 3)


def test_filters_are_centred_on_zero() -> None:
    weight = np.zeros((6, 1, 3, 3))
    weight[2, 0, 0, 0] = -3
    axes = plot.filters(tg.from_numpy(weight))
    assert [a.get_title() for a in axes] == [f"filter {i}" for i in range(1, 7)]
    assert axes[2].images[0].get_clim() == (-3, 3)
    several = plot.filters(np.ones((40, 2, 3, 3)))
    assert len(several) == 64
    assert several[3].get_title() == "2, channel 2"


def test_feature_maps_begin_with_the_input() -> None:
    maps = np.random.default_rng(0).normal(size=(6, 26, 26))
    axes = plot.feature_maps(np.ones((1, 28, 28)), maps)
    assert [a.get_title() for a in axes] == ["input", *(f"filter {i}" for i in range(1, 7))]
    np.testing.assert_array_equal(axes[4].images[0].get_array(), maps[3])


def test_confusion_counts_and_shares() -> None:
    labels, guessed = [0, 0, 0, 1, 2], [0, 0, 1, 1, 0]
    axes = plot.confusion(labels, tg.tensor(guessed), ("cat", "dog", "horse"))
    counts = np.reshape([int(text.get_text()) for text in axes.texts], (3, 3))
    np.testing.assert_array_equal(counts, [[2, 1, 0], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(axes.images[0].get_array(), [[2 / 3, 1 / 3, 0], [0, 1, 0], [1, 0, 0]])
    assert axes.get_title() == "3 of 5 right"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cat", "dog", "horse"]


def test_the_refresher_is_what_plain_loops_give() -> None:
    image = np.random.default_rng(0).random((9, 8))
    axes = plot.refresher(image[None])
    for panel, (name, kernel) in zip(axes[1:], KERNELS.items(), strict=True):
        expected = [
            [sum(kernel[r][c] * image[i + r, j + c] for r in range(3) for c in range(3)) for j in range(6)]
            for i in range(7)
        ]
        assert panel.get_title() == name
        np.testing.assert_allclose(panel.images[0].get_array(), expected, atol=1e-5)
    assert tg.is_grad_enabled()


def test_given_figures_and_axes_are_used() -> None:
    for draw in (
        lambda figure: plot.curves(history(25, 1), figure=figure),
        lambda figure: plot.samples(np.zeros((2, 1, 4, 4)), [0, 1], [0, 1], figure=figure),
        lambda figure: plot.filters(np.ones((2, 1, 3, 3)), figure=figure),
        lambda figure: plot.feature_maps(np.ones((1, 4, 4)), np.ones((2, 3, 3)), figure=figure),
        lambda figure: plot.refresher(np.eye(5), figure=figure),
        lambda figure: [plot.confusion([0], [0], ("a",), axes=figure.subplots())],
    ):
        figure = Figure()
        assert all(axes.figure is figure for axes in draw(figure))
    assert pyplot.get_fignums() == []

"""The pictures: what stands on the axes, that nothing is shown, and that given axes and figures are used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import tinygrad_cnn as tg
from tinygrad_cnn import nn, plot
from tinygrad_cnn.plot.images import KERNELS
from tinygrad_cnn.plot.saliency import METHODS
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


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot.samples(np.zeros((0, 1, 8, 8)), [], []), r"samples: images have the shape \(0, 1, 8, 8\)"),
        (
            lambda: plot.samples(np.zeros((2, 2, 8, 8)), [0, 1], [0, 1]),
            r"samples: images have the shape \(2, 2, 8, 8\)",
        ),
        (lambda: plot.samples(np.zeros((2, 1, 8, 8)), [0], [0, 1]), "samples: there are 1 labels, 2 predictions"),
        (lambda: plot.samples(np.zeros((2, 1, 8, 8)), [0], [0]), "samples: there are 2 images and 1 labels"),
        (lambda: plot.samples(np.zeros((1, 1, 8, 8)), [2], [0], classes="ab"), "samples: labels reach from 2 to 2"),
        (lambda: plot.filters(np.zeros((3, 4))), r"filters: the weight has the shape \(3, 4\)"),
        (lambda: plot.refresher(np.zeros((3, 8, 8))), r"refresher: the image has the shape \(3, 8, 8\)"),
        (lambda: plot.confusion([0, 5], [1, 1], "ab"), "confusion: labels reach from 0 to 5, expected from 0 to 1"),
        (lambda: plot.confusion([0, 1], [-1, 1], "ab"), "confusion: predictions reach from -1 to 1"),
        (lambda: plot.confusion([0.5], [1], "ab"), r"confusion: labels are float64 of shape \(1,\)"),
    ],
)
def test_inputs_that_do_not_fit_are_told(draw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


def test_the_confusion_of_nothing_is_empty() -> None:
    assert plot.confusion([], [], ("cat", "dog")).get_title() == "0 of 0 right"


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


def test_given_axes_are_used_and_too_few_are_told() -> None:
    figure, axes = pyplot.subplots(2, 2)
    assert plot.refresher(np.eye(5), axes=axes) == list(axes.ravel())
    assert plot.curves(history(25, 1), axes=axes[0]) == list(axes[0])
    assert plot.filters(np.ones((3, 1, 3, 3)), axes=axes) == list(axes.ravel())[:3]
    assert plot.weight_histograms(stepped(), axes=axes) == list(axes.ravel())
    assert plot.saliency(lambda x: x.flatten(1), np.ones((1, 5, 5)), axes=axes) == list(axes.ravel())
    part = figure.subfigures(1, 2)[0]
    assert plot.refresher(np.eye(5), figure=part)[0].get_figure(root=False) is part
    alone = part.subplots()
    assert plot.gradient_flow(stepped(), axes=alone) is alone
    assert len(pyplot.get_fignums()) == 1
    with pytest.raises(ValueError, match="filters: 4 axes are given, expected 5"):
        plot.filters(np.ones((5, 1, 3, 3)), axes=axes)
    with pytest.raises(ValueError, match="curves: 1 axes are given, expected 2"):
        plot.curves(history(25, 1), axes=axes[0, 0])


# ---- parameters ----


def stepped() -> nn.Sequential:
    """A model with two layers after one backward."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    model(tg.ones(5, 3)).square().sum().backward()
    return model


def test_gradient_flow_shows_mean_and_greatest_and_names_what_has_none() -> None:
    model = stepped()
    model[0].bias.grad = None
    model[2].bias.grad.zero_()
    axes = plot.gradient_flow(model)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    shown = {line.get_label(): line.get_xdata() for line in axes.lines}
    slopes = np.abs(model[2].weight.grad.numpy())
    assert shown["mean"][2] == pytest.approx(slopes.mean())
    assert shown["greatest"][2] == pytest.approx(slopes.max())
    assert np.isnan([shown["mean"][i] for i in (1, 3)]).all()
    assert [(text.get_text(), text.xy[1]) for text in axes.texts] == [("no gradient", 1), ("all zero", 3)]
    assert axes.get_xscale() == "log"
    low, high = axes.get_ylim()
    assert low > high  # the first layer is on top
    model.zero_grad()
    with pytest.raises(ValueError, match="gradient_flow: no parameter has a gradient"):
        plot.gradient_flow(model)


def test_weight_histograms_count_every_value() -> None:
    model = stepped()
    model[2].bias.array[0] = np.nan
    axes = plot.weight_histograms(model, columns=3)
    assert sum(bar.get_height() for bar in axes[0].patches) == 12
    weight = model[0].weight.detach().numpy()
    assert axes[0].get_title() == f"0.weight\n{weight.mean():.2g} ± {weight.std():.2g}"
    assert axes[3].get_title().endswith(", 1 not finite")
    assert len(plot.weight_histograms(model, most=2)) == 2
    with pytest.raises(ValueError, match="weight_histograms: the model has no parameters"):
        plot.weight_histograms(nn.ReLU())


# ---- saliency ----


def curved(x: tg.Tensor) -> tg.Tensor:
    """Scores of three classes that are no straight functions of the pixels."""
    flat = x.flatten(1)
    return tg.stack([flat.sum(1), (flat**3).sum(1), (flat[:, :-1] * flat[:, 1:]).sin().sum(1)], 1)


PICTURE = np.random.default_rng(5).random((2, 6, 5))


def test_the_gradients_map_is_the_slope() -> None:
    values = plot.attribution(curved, PICTURE, 1)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, (3 * PICTURE**2).max(axis=0))


def test_integrated_gradients_add_up_to_the_difference_of_the_scores() -> None:
    base = np.full_like(PICTURE, 0.25)
    for target in range(3):
        values = plot.attribution(curved, PICTURE, target, method="integrated gradients", baseline=0.25, steps=200)
        scores = curved(tg.tensor(np.stack([PICTURE, base]))).numpy()[:, target]
        assert values.sum() == pytest.approx(scores[0] - scores[1], rel=1e-4)
    squares = plot.attribution(curved, PICTURE, 1, method="integrated gradients", baseline=0.0, steps=200)
    np.testing.assert_allclose(squares, (PICTURE**3).sum(axis=0), rtol=1e-4)  # each pixel by itself


@pytest.mark.parametrize(
    ("patch", "stride", "tops", "lefts"),
    [
        (1, None, range(6), range(5)),
        (3, None, range(4), range(3)),
        (3, 2, (0, 2, 3), (0, 2)),
        (4, 4, (0, 2), (0, 1)),
        (5, 1, (0, 1), (0,)),
    ],
)
def test_occlusion_is_what_plain_loops_give(patch: int, stride: Any, tops: Any, lefts: Any) -> None:
    values = plot.attribution(curved, PICTURE, 2, method="occlusion", baseline=0.5, patch=patch, stride=stride)

    def score(picture: np.ndarray) -> float:
        return curved(tg.tensor(picture[None])).numpy()[0, 2]

    falls: dict[tuple[int, int], list[float]] = {}
    for top in tops:
        for left in lefts:
            covered = PICTURE.copy()
            covered[:, top : top + patch, left : left + patch] = 0.5
            for row in range(top, top + patch):
                for column in range(left, left + patch):
                    falls.setdefault((row, column), []).append(score(PICTURE) - score(covered))
    expected = [[np.mean(falls[row, column]) for column in range(5)] for row in range(6)]
    np.testing.assert_allclose(values, expected, atol=1e-12)


def test_saliency_asks_in_eval_mode_about_the_best_class_and_leaves_no_trace() -> None:
    picture = np.concatenate([PICTURE, PICTURE[:1]]).astype(np.float32)  # (3, 6, 5)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(90, 3))
    with tg.no_grad():
        best = int(model.eval()(tg.tensor(picture[None])).argmax())
    model.train()
    with tg.no_grad():
        axes = plot.saliency(model, picture, classes=("ant", "bee", "cat"))
    assert [a.get_title() for a in axes] == [f"why {('ant', 'bee', 'cat')[best]}?", *METHODS]
    weight = np.abs(model[2].weight.detach().numpy()[best]).reshape(3, 6, 5).max(axis=0)
    np.testing.assert_allclose(axes[1].images[0].get_array(), weight, rtol=1e-6)
    assert model.training
    assert model[1].training
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((curved, PICTURE[0]), {}, r"the image has shape \(6, 5\), expected \(C, H, W\)"),
        ((curved, PICTURE), {"method": "guess"}, "method is 'guess', expected one of gradient, integrated gradients"),
        ((curved, PICTURE), {"method": "occlusion", "patch": 6}, "patch is 6, expected 1 to 5 for 6x5 pixels"),
        (
            (curved, PICTURE),
            {"method": "occlusion", "patch": 2, "stride": 3},
            "stride is 3, expected 1 to 2, the patch",
        ),
        ((lambda x: x, PICTURE), {}, r"the model gives \(1, 2, 6, 5\) for 1 images, expected scores \(1, classes\)"),
        ((lambda x: 3, PICTURE), {}, "the model gives int for 1 images"),
    ],
)
def test_wrong_questions_are_told(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"saliency: {message}"):
        plot.attribution(*arguments, **options)

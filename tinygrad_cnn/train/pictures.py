"""The pictures of a run: each is drawn, and written into the run's folder as soon as it is done."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_cnn import graph, nn, plot
from tinygrad_cnn.autograd import no_grad
from tinygrad_cnn.data import Images
from tinygrad_cnn.tensor import Tensor
from tinygrad_cnn.train.evaluate import predict
from tinygrad_cnn.train.history import History
from tinygrad_cnn.train.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "draw_pictures"]


@dataclass(frozen=True)
class Picture:
    """A picture of a run: its file, what it shows, and its bytes.

    dark: a twin for dark pages. width: in CSS pixels, at which its text is as large as that around it (0: its own).
    """

    file: str
    title: str
    text: str
    content: bytes
    dark: bytes | None = None
    width: float = 0


def draw_pictures(run: Run, model: nn.Module, history: History, test_set: Images) -> list[Picture]:
    """Draw all pictures of a run, write them into its folder, and return them in the order of the report."""
    x, y = test_set.tensors()
    probabilities = predict(model, x)
    guessed = probabilities.argmax(axis=1)
    drawings: list[tuple[str, str, str, float, float, Callable[[Figure], Any]]] = [
        (
            "curves.png", "Learning curves",
            "Loss and accuracy of each training batch, and of the test set after each epoch.",
            9.0, 3.4, lambda figure: plot.curves(history, figure=figure),
        ),
        (
            "samples.png", "Sample predictions",
            "Five images of the test set, with the predicted class and its probability.",
            7.5, 2.2, lambda figure: _samples(figure, test_set, _some(test_set), guessed, probabilities.max(axis=1)),
        ),
        (
            "confusion.png", "Confusion matrix",
            "How many test images of each class (rows) were taken for which (columns).",
            1.0 + 0.42 * len(test_set.classes), 1.2 + 0.42 * len(test_set.classes),
            lambda figure: plot.confusion(y, guessed, test_set.classes, axes=figure.subplots()),
        ),
    ]  # fmt: skip
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(guessed != test_set.labels)
    (run.folder / "mistakes.png").unlink(missing_ok=True)  # a resumed run may make none any more
    if len(wrong):
        surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:10]
        drawings.append(
            (
                "mistakes.png", "Surest mistakes",
                "The wrong predictions of which the model was surest, and what would have been right.",
                7.5, 2.2 * -(-len(surest) // 5), lambda figure: _samples(figure, test_set, surest, guessed, confidence),
            )
        )  # fmt: skip
    if (conv := _first_convolution(model)) is not None:
        drawings += _convolution_drawings(model, conv, test_set)
    drawings.append(
        (
            "saliency.png", "What the model looks at",
            "Which pixels of one image its class depends on, asked in three ways.",
            7.2, 2.2, lambda figure: _saliency(figure, model, test_set),
        )
    )  # fmt: skip
    _, channels, height, width = test_set.images.shape
    if channels == 1 and min(height, width) >= 3:  # its filters are 3x3
        drawings.append(
            (
                "refresher.png", "What a convolution is",
                "One digit under three classical 3x3 filters, computed with the op conv2d.",
                7.2, 2.3, lambda figure: plot.refresher(_digit(test_set), figure=figure),
            )
        )  # fmt: skip
    pictures = [_picture(*drawing) for drawing in drawings]
    pictures.append(_graph_picture(model, x, test_set))
    for picture in pictures:
        run.write(picture.file, picture.content)
    return pictures


def _picture(file: str, title: str, text: str, width: float, height: float, draw: Callable[[Figure], Any]) -> Picture:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150, bbox_inches="tight", metadata={"Software": None})
    return Picture(file, title, text, content.getvalue(), width=96 * width)


def _samples(figure: Figure, test_set: Images, rows: Any, guessed: Any, confidence: Any) -> None:
    plot.samples(
        _raw(test_set, rows), test_set.labels[rows], guessed[rows],
        classes=test_set.classes, confidence=confidence[rows], figure=figure,
    )  # fmt: skip


def _some(test_set: Images) -> Any:
    """The first five images; where these are of one class, five of different ones."""
    first = np.arange(min(5, len(test_set)))
    return first if len(set(test_set.labels[first])) > 1 or len(test_set) <= 5 else _one_of_each(test_set)[:5]


def _saliency(figure: Figure, model: nn.Module, test_set: Images) -> None:
    image = test_set.take([0]).tensors()[0]._array[0]
    plot.saliency(model, image, classes=test_set.classes, figure=figure)


def _one_of_each(test_set: Images) -> Any:
    """The first image of each class."""
    return np.sort(np.unique(test_set.labels, return_index=True)[1])


def _raw(test_set: Images, rows: Any) -> Any:
    """The images with these numbers as they are seen, not normalised: (B, C, H, W), 0 to 1."""
    return test_set.images[rows] / test_set.white


def _digit(test_set: Images) -> Any:
    """The image under which filters and refresher are shown: the first of the test set."""
    return _raw(test_set, [0])[0]


def _first_convolution(model: nn.Module) -> nn.Conv2d | None:
    return next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)


def _convolution_drawings(model: nn.Module, conv: nn.Conv2d, test_set: Images) -> list[Any]:
    maps = _output_of(conv, model, test_set.take([0]).tensors()[0])
    tiles = min(conv.weight.shape[0] * conv.weight.shape[1], 64)
    shown = min(len(maps), 32) + 1
    return [
        (
            "filters.png", "Learned filters",
            "The weights of the first convolution: red is positive, blue negative, white zero.",
            1.1 * min(8, tiles), 1.45 * -(-tiles // 8), lambda figure: plot.filters(conv.weight, figure=figure),
        ),
        (
            "feature_maps.png", "Feature maps",
            "What each filter of the first convolution makes of one digit.",
            1.2 * min(7, shown), 1.5 * -(-shown // 7),
            lambda figure: plot.feature_maps(_digit(test_set), maps, figure=figure),
        ),
    ]  # fmt: skip


def _output_of(module: nn.Module, model: nn.Module, x: Tensor) -> Any:
    """What `module` gives for the first sample while `model` runs on x: (F, H, W)."""
    caught: list[Any] = []
    handle = module.register_forward_hook(lambda _module, _inputs, out: caught.append(out._array[0]))
    try:
        with no_grad():
            model(x)
    finally:
        handle.remove()
    return caught[0]


def _graph_picture(model: nn.Module, x: Tensor, test_set: Images) -> Picture:
    captured = graph.capture(model, Tensor(x._array[:1]))
    return Picture(
        "graph.svg", "The graph",
        "Every op of the forward pass, for one image; edges carry shapes.",
        captured.to_svg().encode(), captured.to_svg(theme="dark").encode(),
    )  # fmt: skip

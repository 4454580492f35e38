"""A convolutional network from ops, from the first filter to the graph: python examples/seed.py [FOLDER]

It retells a notebook on CNNs that builds each layer by hand: what a convolution does to a digit, the layers, training
in 25 iterations of 10 images, predictions, the learned filters, and what they see. Here the layers are ops,
their gradients come from autograd, and the graph is drawn too.
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import plot
from tinygrad_cnn.data import mnist
from tinygrad_cnn.nn import Parameter
from tinygrad_cnn.random import Generator


class Seed:
    """The network: 6 filters 3x3, max-pool 2, 1014 -> 10. Parameters and ops, no Module, so that nothing is hidden."""

    def __init__(self, generator: Generator) -> None:
        self.filters = Parameter(tg.randn(6, 1, 3, 3, generator=generator) / 9)
        self.weight = Parameter(tg.randn(10, 1014, generator=generator) / 1014)

    def maps(self, images: tg.Tensor) -> tg.Tensor:
        return F.conv2d(images, self.filters)  # (N, 1, 28, 28) -> (N, 6, 26, 26)

    def scores(self, images: tg.Tensor) -> tg.Tensor:
        pooled = F.max_pool2d(self.maps(images), 2)  # -> (N, 6, 13, 13)
        return F.linear(pooled.flatten(1), self.weight)  # -> (N, 1014) -> (N, 10)

    def step(self, images: tg.Tensor, labels: tg.Tensor, lr: float) -> tuple[float, float]:
        """Learn from one batch; return its loss and accuracy."""
        scores = self.scores(images)
        loss = F.cross_entropy(scores, labels)
        loss.backward()
        with tg.no_grad():
            for parameter in (self.filters, self.weight):
                parameter -= lr * parameter.grad
                parameter.grad = None
        return loss.item(), accuracy(scores, labels)


def accuracy(scores: tg.Tensor, labels: tg.Tensor) -> float:
    return (scores.argmax(dim=1) == labels).float().mean().item()


def train(model: Seed, images: tg.Tensor, labels: tg.Tensor, iterations: int, generator: Generator) -> tg.train.History:
    """Iterations of 10 random images each, learning rate 0.1."""
    history = tg.train.History()
    for _ in range(iterations):
        rows = tg.randint(0, len(labels), (10,), generator=generator)
        loss, right = model.step(images[rows], labels[rows], lr=0.1)
        history.steps["loss"].append(loss)
        history.steps["accuracy"].append(right)
    return history


def main(folder: str = "seed", smoke: bool = False) -> float:
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)

    def picture(name: str, width: float, height: float) -> Figure:
        figures[name] = Figure(figsize=(width, height), layout="constrained")
        return figures[name]

    figures: dict[str, Figure] = {}
    generator = Generator().manual_seed(42)
    train_set, test_set = mnist()
    images, labels = train_set.tensors()
    test_images, test_labels = test_set.tensors()

    print("1. What a convolution does: one digit, three filters")
    plot.refresher(test_images[0], figure=picture("1-refresher", 7.2, 2.3))

    print("2. Training: 25 iterations of 10 images")
    model = Seed(generator)
    history = train(model, images, labels, 5 if smoke else 25, generator)
    plot.curves(history, figure=picture("2-curves", 9, 3.4))

    print("3. Predictions")
    with tg.no_grad():
        scores = model.scores(test_images)
        share = accuracy(scores, test_labels)
        probabilities = F.softmax(scores, dim=1).amax(dim=1)
        maps = model.maps(test_images[:1])[0]
    plot.samples(
        test_images[:5], test_labels[:5], scores[:5].argmax(dim=1),
        confidence=probabilities[:5], figure=picture("3-predictions", 7.5, 2.2),
    )  # fmt: skip

    print("4. The learned filters, and what each makes of a digit")
    plot.filters(model.filters, figure=picture("4-filters", 6.6, 1.5))
    plot.feature_maps(test_images[0], maps, figure=picture("5-feature-maps", 8.4, 1.6))
    for name, figure in figures.items():
        figure.savefig(place / f"{name}.png", dpi=150, bbox_inches="tight")

    print("5. The graph: every op from the images to the loss")
    graph = tg.graph.capture(
        lambda images, labels: F.cross_entropy(model.scores(images), labels),
        test_images[:10], test_labels[:10],
        names={"filters": model.filters, "weight": model.weight}, title="the seed's CNN",
    )  # fmt: skip
    graph.save(place / "6-graph.svg")
    print(graph)

    print(f"test accuracy: {share:.3f}, the pictures are in {place}")
    return share


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "--smoke"]
    main(*arguments[:1], smoke="--smoke" in sys.argv)

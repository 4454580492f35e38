"""Define, train and draw a model of your own: python examples/first_model.py [OUT.svg]"""

from __future__ import annotations

import sys

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.data import mnist


def main(out: str = "first_model.svg", smoke: bool = False) -> float:
    train_set, test_set = mnist()
    if smoke:
        train_set, test_set = train_set.take(slice(256)), test_set.take(slice(128))

    tg.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 7 * 7, 10),
    )  # fmt: skip
    history = tg.train.fit(model, train_set, test_set, epochs=1 if smoke else 4, lr=3e-3)
    tg.graph.capture(model, test_set.tensors()[0][:1]).save(out)

    accuracy = history.last["test_accuracy"]
    print(f"test accuracy: {accuracy:.3f}, the graph is in {out}")
    return accuracy


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "--smoke"]
    main(*arguments[:1], smoke="--smoke" in sys.argv)

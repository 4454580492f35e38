"""How long a model trains until its test accuracy is reached: the same program on this package and on PyTorch.

    python -m tinygrad_cnn.bench.accuracy FOLDER --framework torch

The model is the workload `mnist` (1.2 million weights) on a folder of IDX files, with the recipe that `tinygrad-cnn
train --model mnist` has: Adam, batches of 64, one cycle of the learning rate up to 0.002 over all epochs. Both sides
start from other weights but see the same batches. The time is that of the training steps, without the tests.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_cnn.bench.workloads import Framework, mnist

__all__ = ["epochs_of"]

BATCH, RATE = 64, 2e-3


def epochs_of(fw: Framework, data: Any, epochs: int, seed: int = 0) -> Iterator[dict[str, float]]:
    """Train, and tell of each epoch its number, the test accuracy, and the seconds of training so far.

    data: (images, classes, test images, test classes), arrays of float32 (N, 1, 28, 28) and int64 (N,).
    """
    from tinygrad_cnn.train.recipes import one_cycle

    images, classes, *test = data
    fw.tg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = mnist(fw)
    optimizer = fw.optim.Adam(model.parameters(), lr=RATE)
    total = epochs * -(-len(images) // BATCH)
    scheduler = fw.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(min(step / total, 1.0)))
    seconds = 0.0
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        order = rng.permutation(len(images))
        for i in range(0, len(order), BATCH):
            rows = order[i : i + BATCH]
            x, y = fw.tg.from_numpy(images[rows]), fw.tg.from_numpy(classes[rows])
            loss = fw.F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        seconds += time.perf_counter() - started
        yield {"epoch": epoch, "test_accuracy": _accuracy(fw, model, *test), "seconds": round(seconds, 1)}


def _accuracy(fw: Framework, model: Any, images: Any, classes: Any) -> float:
    hits = 0
    with fw.tg.no_grad():
        for i in range(0, len(images), 500):
            hits += int((model(fw.tg.from_numpy(images[i : i + 500])).argmax(1).numpy() == classes[i : i + 500]).sum())
    return hits / len(images)


def main() -> None:
    """Print one JSON object an epoch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="of the IDX files of MNIST")
    parser.add_argument("--framework", choices=("tinygrad_cnn", "torch"), default="tinygrad_cnn")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from tinygrad_cnn import data

    arrays = [x._array for images in data.mnist(options.folder) for x in images.tensors()]
    fw = Framework.load(options.framework, options.threads)
    for row in epochs_of(fw, arrays, options.epochs, options.seed):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()

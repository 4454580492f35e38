"""The workloads, each written once against the names that this package and PyTorch share."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["WORKLOADS", "Framework", "Workload", "lenet", "training"]


@dataclass(frozen=True)
class Framework:
    """The four namespaces that a workload needs: of this package or of PyTorch, for they have the same names."""

    tg: Any
    nn: Any
    F: Any
    optim: Any

    @classmethod
    def load(cls, name: str, threads: int | None = None) -> Framework:
        """Import a framework, "tinygrad_cnn" or "torch", and set the number of its threads."""
        tg = importlib.import_module(name)
        if threads is not None:
            (tg if name == "torch" else tg.kernels).set_num_threads(threads)
        return cls(tg, tg.nn, tg.nn.functional, tg.optim)


@dataclass(frozen=True)
class Workload:
    """`build(framework, batch)` gives a function without arguments: one step, which returns the loss.

    A step's time is told per `ops`, in `unit`; `about` says in words what it does.
    """

    build: Callable[[Framework, int], Callable[[], Any]]
    batch: int
    about: str
    unit: str = "ms"
    ops: int = 1

    @property
    def scale(self) -> float:
        """What turns the seconds of a step into its unit."""
        return (1e6 if self.unit == "µs/op" else 1e3) / self.ops


def training(model: Callable[[Framework], Any], *shape: int) -> Callable[[Framework, int], Callable[[], Any]]:
    """A training step (forward, backward, SGD) of a classifier with ten classes on random inputs of this shape."""

    def build(fw: Framework, batch: int) -> Callable[[], Any]:
        rng = np.random.default_rng(0)
        x = fw.tg.tensor(rng.standard_normal((batch, *shape), np.float32))
        y = fw.tg.tensor(rng.integers(0, 10, batch))
        fw.tg.manual_seed(0)
        net = model(fw)
        optimizer = fw.optim.SGD(net.parameters(), lr=0.01)

        def step() -> Any:
            optimizer.zero_grad()
            loss = fw.F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    return build


def seed(fw: Framework) -> Any:
    nn = fw.nn
    return nn.Sequential(nn.Conv2d(1, 6, 3, bias=False), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1014, 10, bias=False))


def lenet(fw: Framework) -> Any:
    nn = fw.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def mnist(fw: Framework) -> Any:
    nn = fw.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def vgg(fw: Framework) -> Any:
    nn = fw.nn
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4096, 10),
    )  # fmt: skip


def mlp(fw: Framework) -> Any:
    nn = fw.nn
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def resblock(fw: Framework) -> Any:
    nn = fw.nn

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
            self.conv2, self.bn2 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)

        def forward(self, x: Any) -> Any:
            y = fw.F.relu(self.bn1(self.conv1(x)))
            return fw.F.relu(self.bn2(self.conv2(y)) + x)

    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        Block(), Block(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(1024, 10),
    )  # fmt: skip


CHAIN = 2000


def chain(fw: Framework, batch: int) -> Callable[[], Any]:
    """Element-wise ops on `batch` numbers, one after the other, forward and backward: what an op costs by itself."""
    x = fw.tg.tensor(np.linspace(0.5, 1.5, batch, dtype=np.float32)).requires_grad_()
    w = fw.tg.tensor(np.full(batch, 1.01, np.float32))

    def step() -> Any:
        x.grad = None
        y = x
        for _ in range(CHAIN // 4):
            y = (y * 1.001 + 0.001).sin() * w
        loss = y.sum()
        loss.backward()
        return loss

    return step


WORKLOADS: dict[str, Workload] = {
    "seed_b10": Workload(training(seed, 1, 28, 28), 10, "conv 1→6, max-pool, linear; 10 images"),
    "seed_b128": Workload(training(seed, 1, 28, 28), 128, "the same; 128 images"),
    "lenet_b64": Workload(training(lenet, 1, 28, 28), 64, "LeNet-5 with ReLU and max-pool; 64 images"),
    "mnist_b64": Workload(training(mnist, 1, 28, 28), 64, "conv 1→32→64, max-pool, linear 9216→128→10; 64 images"),
    "vgg_b32": Workload(training(vgg, 3, 32, 32), 32, "conv 3→32→32, pool, 32→64→64, pool, linear; 32 images"),
    "mlp_b128": Workload(training(mlp, 784), 128, "linear 784→256→10; 128 vectors"),
    "resblock_b32": Workload(training(resblock, 3, 32, 32), 32, "two residual blocks of 16 channels; 32 images"),
    "chain": Workload(chain, 3, f"{CHAIN:,} element-wise ops on 3 numbers", unit="µs/op", ops=CHAIN),
}

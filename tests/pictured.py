"""The models by whose pictures the graph room is judged."""

from __future__ import annotations

import itertools

import numpy as np

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import graph, nn
from tinygrad_cnn.graph.graph import Graph
from tinygrad_cnn.train import build


class Block(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.norm = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return F.relu(self.conv2(F.relu(self.norm(self.conv1(x)))) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, blocks: int = 12) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        widths = [4] * (1 + blocks // 2) + [8] * (blocks - blocks // 2)
        self.blocks = nn.Sequential(*[Block(i, o) for i, o in itertools.pairwise(widths)])
        self.head = nn.Linear(8, 10)

    def forward(self, image: tg.Tensor) -> tg.Tensor:
        return self.head(self.blocks(self.stem(image)).mean((2, 3)))


class Step(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1)
        self.act = nn.GELU()

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.act(self.conv(x))


class Recurrent(nn.Module):
    """A network that goes over a sequence, a step at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.ih, self.hh, self.out = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        h, states = tg.zeros(len(x), 8), []
        for t in range(x.shape[1]):
            h = tg.tanh(self.ih(x[:, t]) + self.hh(h))
            states.append(h)
        return self.out(tg.stack(states, 1))


class Cell(nn.Module):
    """One step of a network with gates."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(12, 32)

    def forward(self, x: tg.Tensor, h: tg.Tensor, c: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        i, f, g, o = self.gates(tg.cat([x, h], 1)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class Gated(nn.Module):
    """A network with gates that goes over a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = Cell(), nn.Linear(8, 2)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        h = c = tg.zeros(len(x), 8)
        for t in range(x.shape[1]):
            h, c = self.cell(x[:, t], h, c)
        return self.out(h)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.middle = Step(1, 4), Step(4, 8), Step(8, 16)
        self.up2, self.join2 = nn.ConvTranspose2d(16, 8, 2, stride=2), Step(16, 8)
        self.up1, self.join1 = nn.ConvTranspose2d(8, 4, 2, stride=2), Step(8, 4)

    def forward(self, image: tg.Tensor) -> tg.Tensor:
        a = self.down1(image)
        b = self.down2(F.max_pool2d(a, 2))
        c = self.up2(self.middle(F.max_pool2d(b, 2)))
        d = self.up1(self.join2(tg.cat([c, b], 1)))
        return self.join1(tg.cat([d, a], 1))


class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 8))

    def forward(self, left: tg.Tensor, right: tg.Tensor) -> tg.Tensor:
        return self.encoder(left) - self.encoder(right)


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 10),
    )  # fmt: skip


def with_loss(model: nn.Module, images: tg.Tensor) -> Graph:
    """A classifier up to its loss, each image of another class."""
    target = tg.tensor(np.arange(images.shape[0]))
    return graph.capture(lambda image, target: F.cross_entropy(model(image), target), images, target, model=model)


def second_derivative() -> Graph:
    """The gradient of the gradient of exp(x sin x)."""
    x = tg.tensor([1.5, 0.3], requires_grad=True)
    y = (x.sin() * x).exp().sum()
    for _ in range(2):
        (y,) = tg.autograd.grad(y.sum(), x, create_graph=True)
    return graph.of(y, names={"x": x}, title="second derivative")


def pictured() -> dict[str, Graph]:
    """Each of them by its name, captured on small inputs."""
    tg.manual_seed(0)
    small = tg.randn(2, 1, 16, 16)
    wide = nn.Sequential()
    wide.add_module("a_module_with_a_very_long_name", nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU())))
    digits = tg.randn(4, 1, 28, 28)
    return {
        "seed": graph.capture(build("seed"), digits),
        "lenet": graph.capture(build("lenet"), digits),
        "lenet with loss": with_loss(build("lenet"), digits),
        "residual": graph.capture(ResNet(12), small),
        "unet": graph.capture(UNet(), small),
        "siamese": graph.capture(Siamese(), small[..., :8, :8], small[..., 8:, 8:]),
        "second derivative": second_derivative(),
        "recurrent": graph.capture(Recurrent(), tg.randn(2, 30, 4)),
        "gated": graph.capture(Gated(), tg.randn(2, 30, 4)),
        "long names": graph.capture(wide, tg.randn(1, 2)),
    }

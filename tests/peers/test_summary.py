"""Parameters and mult-adds against torchinfo's table, and MACs, forward and backward, against PyTorch's own counter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import graph
from tinygrad_cnn.graph.flops import backward_flops

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers


def lenet(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def residual(nn: Any) -> Any:
    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(channels)
            self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.act = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.act(self.conv2(self.act(self.norm(self.conv1(x)))) + x)

    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), *(Block(8) for _ in range(12)), nn.Flatten(), nn.Linear(6272, 10)
    )


def separable(nn: Any) -> Any:
    """Depthwise, dilated, strided, and 1x1 convolutions."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), nn.Conv2d(8, 8, 3, groups=8, dilation=2), nn.Conv2d(8, 16, 1, bias=False),
        nn.GroupNorm(4, 16), nn.GELU(), nn.AvgPool2d(3, 2),
    )  # fmt: skip


def decoder(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 4, 4, stride=2, padding=1), nn.LeakyReLU(0.2), nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1),
        nn.Sigmoid(),
    )  # fmt: skip


def shared(nn: Any) -> Any:
    """One encoder, called twice."""

    class Siamese(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2704, 8))

        def forward(self, x: Any) -> Any:
            return self.encoder(x) - self.encoder(x * 2)

    return Siamese()


def perceptron(nn: Any) -> Any:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10),
    )  # fmt: skip


def signal(nn: Any) -> Any:
    """Convolutions over one dimension."""
    return nn.Sequential(
        nn.Flatten(2), nn.Conv1d(1, 8, 9, stride=4), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(8, 16, 3, padding=1, groups=4), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip


def frozen(nn: Any) -> Any:
    """A trunk that does not learn, below a head that does."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(1352, 5))
    for parameter in [*model[0].parameters(), *model[1].parameters()]:
        parameter.requires_grad = False
    return model


def attention(nn: Any) -> Any:
    """A block of a transformer, over the rows of the image."""

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(28), nn.LayerNorm(28)
            self.q, self.k, self.v, self.out = (nn.Linear(28, 28) for _ in range(4))
            self.mlp = nn.Sequential(nn.Linear(28, 112), nn.GELU(), nn.Linear(112, 28))

        def forward(self, x: Any) -> Any:
            y = self.norm1(x)
            weights = (self.q(y) @ self.k(y).transpose(-1, -2) / 28**0.5).softmax(-1)
            x = x + self.out(weights @ self.v(y))
            return x + self.mlp(self.norm2(x))

    return Block()


MODELS = [lenet, residual, separable, decoder, shared, perceptron, signal, frozen, attention]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_totals_are_torchinfos(model: Callable[[Any], Any], batch: int) -> None:
    import torchinfo

    theirs = torchinfo.summary(model(torch.nn), (batch, 1, 28, 28), verbose=0)
    text = graph.capture(model(tg.nn).eval(), tg.zeros(batch, 1, 28, 28)).summary()  # they evaluate, too
    assert f"Total params: {theirs.total_params:,}\n" in text
    assert f"Trainable params: {theirs.trainable_params:,}\n" in text
    assert f"Total mult-adds: {theirs.total_mult_adds:,}\n" in text
    assert f"Input size (MB): {theirs.total_input / 1e6:.2f}\n" in text
    assert f"Params size (MB): {theirs.total_param_bytes / 1e6:.2f}\n" in text


@pytest.mark.parametrize(
    "model", [lenet, separable, decoder, perceptron, signal, frozen], ids=lambda model: model.__name__
)
def test_each_layer_has_torchinfos_numbers(model: Callable[[Any], Any]) -> None:
    import torchinfo

    theirs = torchinfo.summary(model(torch.nn), (2, 1, 28, 28), verbose=0).summary_list[1:]
    text = graph.capture(model(tg.nn), tg.zeros(2, 1, 28, 28)).summary()
    ours = [line.split() for line in text.splitlines() if "├─" in line]
    assert len(ours) == len(theirs)
    for line, layer in zip(ours, theirs, strict=True):
        assert line[:2] == [f"├─{layer.class_name}", f"({layer.var_name}):"]
        numbers = [f"{n:,}" if n else "--" for n in (layer.num_params, layer.macs)]
        assert " ".join([str(layer.output_size), *numbers]) in " ".join(line)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_forward_macs_are_those_of_pytorchs_counter(model: Callable[[Any], Any]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(torch.nn)(torch.zeros(2, 1, 28, 28))
    g = graph.capture(model(tg.nn), tg.zeros(2, 1, 28, 28))
    assert 2 * g.totals().macs == counter.get_total_flops()


# Not `separable`: PyTorch's counter takes the backward of a convolution with groups for one without.
@pytest.mark.parametrize("model", [lenet, residual, decoder, shared], ids=lambda model: model.__name__)
def test_backward_macs_are_those_of_pytorchs_counter(model: Callable[[Any], Any]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    out = model(torch.nn)(torch.zeros(2, 1, 28, 28, requires_grad=True)).sum()
    with FlopCounterMode(display=False) as counter:
        out.backward()
    g = graph.capture(model(tg.nn), tg.zeros(2, 1, 28, 28, requires_grad=True))
    products = [node for node in g.ops if node.family == "convolution, linear"]
    sums = sum(  # of the biases' gradients, which the counter leaves out
        node.size - math.prod(shape) for node in products for name, shape, _ in node.operands if name == "bias"
    )
    assert sum(map(backward_flops, products)) - sums == counter.get_total_flops()

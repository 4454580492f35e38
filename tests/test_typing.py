"""A user's program as a type checker sees it: read by mypy in the checks, and run as a test."""

from __future__ import annotations

from typing import Any, assert_type

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn, optim
from tinygrad_cnn.autograd import Array, op
from tinygrad_cnn.nn import functional as F


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.fc = nn.Linear(6 * 13 * 13, 10)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        out: tg.Tensor = self.fc(x.flatten(1))
        return out


@op
def cube(x: Array) -> Any:
    """x³."""
    return x * x * x


@cube.vjp("x")
def cube_grad(g: Array, x: Array) -> Array:
    return g * 3 * x * x


def main() -> None:
    net = Net()
    optimizer = optim.Adam(net.parameters(), lr=1e-3)
    x = tg.randn(4, 1, 28, 28)
    loss = F.cross_entropy(net(x), tg.randint(10, (4,)))
    assert_type(loss, tg.Tensor)
    loss.backward()
    optimizer.step()
    assert_type(x.sum(1), tg.Tensor)
    assert_type(tg.exp(x), tg.Tensor)
    assert_type(x + 1, tg.Tensor)
    assert_type(2 - x, tg.Tensor)
    assert_type(x > 0, tg.Tensor)
    assert_type(x[0, :, 1:], tg.Tensor)
    assert_type(x @ tg.ones(28, 3), tg.Tensor)
    assert_type(F.softmax(x, dim=1), tg.Tensor)
    assert_type(cube(x), tg.Tensor)
    assert_type(F.max_pool2d(x, 2), tg.Tensor)
    assert_type(F.pad(x, (1, 1)), tg.Tensor)
    assert_type(tg.cat([x, x]), tg.Tensor)
    assert_type(tg.stack([x, x], dim=1), tg.Tensor)
    assert_type(tg.einsum("nchw->nc", x), tg.Tensor)
    assert_type(tg.where(x > 0, x, 0.0), tg.Tensor)
    assert_type(tg.where(x > 0), tuple[tg.Tensor, ...])
    assert_type(tg.nonzero(x), tg.Tensor)
    assert_type(tg.max(x), tg.Tensor)
    assert_type(tg.max(x, dim=1).values, tg.Tensor)
    assert_type(x.max(1).indices, tg.Tensor)
    assert_type(x.sort(1).indices, tg.Tensor)
    assert_type(x.chunk(2), tuple[tg.Tensor, ...])
    assert_type(x.expand(4, 1, 28, 28), tg.Tensor)
    assert_type(tg.linalg.norm(x), tg.Tensor)
    assert_type(tg.func.vjp(tg.exp, x)[0], tg.Tensor)
    assert_type(tg.func.jvp(tg.exp, (x,), (x,)), tuple[tg.Tensor, tg.Tensor])
    assert_type(tg.scatter_reduce(x, 0, x.long() * 0, x, "sum"), tg.Tensor)
    assert_type(x.size(), tuple[int, ...])
    assert_type(x.size(0), int)
    assert_type(tg.unique(x), tg.Tensor)
    assert_type(x.unique(), tg.Tensor)
    assert_type(x.sum().item(), int | float | bool)
    assert_type(net.conv.forward(x), tg.Tensor)
    assert_type(nn.ReLU().forward(x), tg.Tensor)
    assert_type(nn.BatchNorm2d(1).forward(x), tg.Tensor)
    assert_type(nn.AvgPool2d(2).forward(x), tg.Tensor)
    assert_type(nn.Dropout().forward(x), tg.Tensor)
    assert_type(nn.Flatten().forward(x), tg.Tensor)
    assert_type(nn.MSELoss().forward(x, x), tg.Tensor)
    assert_type(nn.PixelUnshuffle(2).forward(x), tg.Tensor)
    x.exp(3)  # type: ignore[call-arg]
    tg.sum(x, axis=1)  # type: ignore[call-arg]


def test_it_runs_up_to_the_call_that_a_type_checker_refuses() -> None:
    with pytest.raises(TypeError, match="exp: 2 arguments, expected at most 1"):
        main()

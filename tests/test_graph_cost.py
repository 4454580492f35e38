"""What nodes cost: parameters, bytes, peaks of memory, and what torchinfo prints. test_graph_flops.py counts FLOPs."""

from __future__ import annotations

import gc
import math
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from pictured import ResNet

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import autograd, graph, nn
from tinygrad_cnn.autograd import Array, op
from tinygrad_cnn.graph.graph import Graph, GraphNode
from tinygrad_cnn.train import build


def only_op(g: Graph, name: str) -> GraphNode:
    (node,) = [node for node in g.ops if node.name == name]
    return node


# ---- whole models, memory, receptive fields ----


def test_lenet_as_torchinfo_and_as_by_hand() -> None:
    g = graph.capture(build("lenet"), tg.zeros(2, 1, 28, 28))
    totals = g.totals()
    hand = 2 * (28 * 28 * 6 * 25 + 100 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10)
    assert (totals.parameters, totals.trainable, totals.macs) == (61_706, 61_706, hand)
    assert totals.parameter_bytes == 4 * 61_706
    text = g.summary()
    assert "Total mult-adds: 846,076" in text  # what torchinfo 1.8 prints
    assert "Total params: 61,706" in text
    rows = {line.split(":")[0].strip("│├─ "): line.split() for line in text.splitlines() if "├─" in line}
    assert rows["Conv2d (conv2)"][3:] == ["[2,", "16,", "10,", "10]", "2,416", "483,200", "963,200", "9,408"]


def test_the_summary_of_a_deeper_model() -> None:
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3, stride=2),
        nn.Flatten(), nn.Linear(4 * 13 * 13, 5),
    )  # fmt: skip
    text = graph.capture(nn.Sequential(layers, nn.Identity()), tg.randn(2, 3, 8, 8)).summary()
    assert "Total mult-adds: 121,050" in text  # what torchinfo 1.8 prints
    assert "│    ├─BatchNorm2d (1): 2-2" in text
    assert "not called" in text or "Identity (1): 1-2" in text
    frozen = nn.Linear(3, 2)
    frozen.weight.requires_grad_(False)
    assert "Non-trainable params: 6\n" in graph.capture(frozen, tg.zeros(1, 3)).summary()


def test_the_summary_of_a_function_and_of_an_unknown_op() -> None:
    @op
    def odd(x: Array) -> Any:
        return x + 1

    text = graph.capture(lambda x: odd(x @ x), tg.zeros(3, 3)).summary()
    assert "matmul: 1-1" in text
    assert "FLOPs not known of: odd" in text


def test_memory_is_counted_once() -> None:
    g = graph.capture(lambda x: F.relu(x * 2).exp().reshape((24,)), tg.zeros(4, 6))
    costs = {g[i].name: cost for i, cost in g.costs().items()}
    assert costs["mul"].activation_bytes == 96
    assert costs["reshape"].activation_bytes == 0  # a view
    assert costs["mul"].saved_bytes == 0
    assert costs["relu"].saved_bytes == 96
    assert costs["exp"].saved_bytes == 96
    both = graph.capture(lambda x: x.exp().exp() * x.exp(), tg.zeros(4, 6))
    # exp saves its result; mul saves the results of two of them again: no new memory
    assert both.totals().saved_bytes == 3 * 96


def test_the_peak_of_a_step() -> None:
    n = 100
    g = graph.capture(lambda x: x.exp().sum(), tg.zeros(n))
    # at the end of exp's backward: the input, the saved result, the gradient of it, and that of the input, the result
    assert g.totals().peak_bytes == 4 * (n + n + n + n + 1)
    long = graph.capture(lambda x: (x + 1 + 1 + 1 + 1 + 1 + 1 + 1).sum(), tg.zeros(n))
    assert long.totals().peak_bytes == 4 * (3 * n + 1)  # nothing saved: the input, and what goes in and out of one op


def measured(step: Callable[[], tg.Tensor], leaves: Sequence[tg.Tensor]) -> tuple[int, int]:
    """The bytes that a forward pass leaves behind, and the most that the whole step holds, both as Python counts."""
    for _ in range(2):  # once before it counts, so that caches and plans are there
        for leaf in leaves:
            leaf.grad = None
        gc.collect()
        tracemalloc.start()
        try:
            loss = step()
            held = tracemalloc.get_traced_memory()[0]
            loss.backward()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    return held, peak


MEASURED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.Tanh()), (512, 256)),
    "lenet": (lambda: build("lenet"), (256, 1, 28, 28)),
    "residual": (lambda: ResNet(12), (16, 1, 28, 28)),
}


@pytest.mark.parametrize("name", MEASURED)
def test_bytes_saved_and_the_peak_as_measured(name: str) -> None:
    model, shape = MEASURED[name][0](), MEASURED[name][1]
    x = tg.randn(*shape)
    g = graph.capture(lambda x: model(x).sum(), x, model=model)
    totals = g.totals()
    threads = tg.get_num_threads()
    tg.set_num_threads(1)  # each thread of a kernel has scratch memory of its own, which is not counted
    try:
        held, peak = measured(lambda: model(x).sum(), list(model.parameters()))
    finally:
        tg.set_num_threads(threads)
    fixed = totals.parameter_bytes + totals.input_bytes + sum(node.nbytes for node in g.of_kind("buffer"))
    assert held == pytest.approx(totals.saved_bytes, rel=0.02)
    assert peak == pytest.approx(totals.peak_bytes - fixed, rel=0.02)


def test_what_each_op_saves_as_measured() -> None:
    x = tg.rand(1000, 1000, requires_grad=True)
    functions: list[Callable[[tg.Tensor], tg.Tensor]] = [
        lambda x: x.exp(), lambda x: x.sin(), lambda x: x + 1, lambda x: F.relu(x), lambda x: x.reshape(-1),
        lambda x: x.softmax(1), lambda x: x * x.detach(), lambda x: x.sum(1), lambda x: F.max_pool1d(x, 2),
    ]  # fmt: skip
    for function in functions:
        g = graph.capture(lambda x, f=function: f(x * 2), x)
        held, _ = measured(lambda f=function: f(x * 2).sum(), [x])
        assert held == pytest.approx(g.totals().saved_bytes, abs=20_000), g.ops[-1].name
        assert g.costs()[g.ops[0].id].saved_bytes == 0  # x * 2 itself keeps nothing: it is all the function's


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(1, 1, 3)],
        [nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)],
        [nn.Conv2d(1, 1, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(1, 1, 5)],
        [nn.Conv2d(1, 1, 3, dilation=2), nn.AvgPool2d(3, stride=2), nn.Conv2d(1, 1, 3)],
    ],
)
def test_receptive_fields_by_counting(layers: list[nn.Module]) -> None:
    model = nn.Sequential(*(all_ones(layer) for layer in layers))
    x = tg.ones(1, 1, 61, 61, requires_grad=True)
    g = graph.capture(model, x)
    out = model(x)
    middle = out[0, 0, out.shape[2] // 2, out.shape[3] // 2]
    (slope,) = autograd.grad(middle, x)
    rows, columns = (np.flatnonzero(slope.array[0, 0].any(axis=axis)) for axis in (1, 0))
    extent = (int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1)
    if any(isinstance(layer, nn.MaxPool2d) for layer in layers):
        assert all(a <= b for a, b in zip(extent, g.receptive_fields()[g.ops[-1].id] or (), strict=True))
        assert g.receptive_fields()[g.ops[-1].id] == (21, 21)
    else:
        assert g.receptive_fields()[g.ops[-1].id] == extent


def all_ones(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        parameter.data.fill_(1.0)
    return layer


def test_what_sees_the_whole_input_has_no_field() -> None:
    g = graph.capture(build("lenet"), tg.zeros(1, 1, 28, 28))
    fields = g.receptive_fields()
    assert [fields[n.id] for n in g.ops if n.name == "linear"] == [None] * 3
    assert math.prod(fields[only_op(g, "flatten").id - 1] or ()) == 16 * 16

"""What nodes cost: parameters, bytes, peaks of memory, and what torchinfo prints. test_graph_flops.py counts FLOPs."""

from __future__ import annotations

import gc
import math
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictured import ResNet

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import graph, nn
from tinygrad_cnn.autograd import Array, op
from tinygrad_cnn.graph.fold import fold_until_few
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


class Both(nn.Module):
    """Two ways from one image, put together."""

    def __init__(self, left: nn.Module, right: nn.Module, join: Callable[[tg.Tensor, tg.Tensor], tg.Tensor]) -> None:
        super().__init__()
        self.left, self.right, self.join = left, right, join

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.join(self.left(x), self.right(x))


class Do(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[tg.Tensor], tg.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.function(x)


def conv(k: int = 3, **more: Any) -> nn.Module:
    return nn.Conv2d(2, 2, k, **more)


def up(**how: Any) -> nn.Module:
    return Do(lambda x: F.interpolate(x, **how))


def add(a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    return a + b


SIGHTED: dict[str, list[nn.Module]] = {
    "conv": [conv(), conv()],
    "strided": [conv(stride=2), nn.ReLU(), nn.MaxPool2d(2), conv(5)],
    "dilated": [conv(dilation=2), nn.AvgPool2d(3, stride=2), conv()],
    "oblong": [nn.Conv2d(2, 2, (1, 5), padding=(0, 2)), nn.MaxPool2d((3, 1), stride=1)],
    "padded": [conv(padding=1), conv(padding="same", dilation=2), nn.ReflectionPad2d(3), conv(5)],
    "other pads": [conv(), Do(lambda x: F.pad(x, (1, 2, 0, 1))), Do(lambda x: F.pad(x, (2, 2), "replicate")), conv()],
    "transposed": [conv(stride=2), nn.ConvTranspose2d(2, 2, 3, stride=2), conv()],
    "thin": [conv(), nn.ConvTranspose2d(2, 2, 2, stride=3)],  # between what it spreads there is nothing to see
    "nearest": [conv(stride=2), up(scale_factor=2), conv()],
    "nearest by 3/2": [conv(), up(size=(57, 57)), conv()],
    "bilinear": [conv(stride=2), up(scale_factor=2, mode="bilinear"), conv()],
    "corners": [conv(stride=2), up(scale_factor=2, mode="bilinear", align_corners=True)],
    "bicubic": [nn.MaxPool2d(2), up(scale_factor=2, mode="bicubic")],
    "shuffled": [nn.Conv2d(2, 8, 3, stride=2), nn.PixelShuffle(2), conv()],
    "unshuffled": [nn.PixelUnshuffle(2), nn.Conv2d(8, 2, 3)],
    "adaptive max": [conv(), nn.AdaptiveMaxPool2d(7), conv()],
    "adaptive average": [conv(), nn.AdaptiveAvgPool2d((7, 19)), conv()],
    "softmax along": [conv(), nn.Softmax(3), conv()],
    "linear along": [conv(), nn.Linear(38, 5), nn.ReLU()],
    "instance norm": [conv(), nn.InstanceNorm2d(2)],
    "group norm": [conv(), nn.GroupNorm(1, 2)],
    "batch norm": [conv(), nn.BatchNorm2d(2).eval(), conv()],
    "sum over": [conv(), Do(lambda x: x.sum(2)), nn.ReLU()],
    "crops": [conv(), Do(lambda x: x[:, :, 1:-1, ::2]), conv(), Do(lambda x: x.flip(2)), conv()],
    "residual": [Both(conv(padding=1), nn.Identity(), add), conv()],
    "offsets": [Both(Do(lambda x: x[:, :, 5:]), Do(lambda x: x[:, :, :-5]), add)],
    "paths of two lengths": [Both(nn.Sequential(conv(padding=1), conv(5, padding=2)), conv(1), add), nn.AvgPool2d(2)],
    "skip over a valley": [
        Both(nn.Sequential(conv(padding=1, stride=2), up(scale_factor=2)), conv(padding=1), add), conv(),
    ],
    "channels joined": [
        Both(conv(padding=1), conv(5, padding=2), lambda a, b: tg.cat([a, b], 1)), nn.Conv2d(4, 1, 3),
    ],
    "gated": [Both(nn.Sequential(conv(padding=1), nn.AdaptiveAvgPool2d(1)), nn.Identity(), lambda a, b: a * b)],
    "patches": [nn.Conv2d(2, 3, 8, stride=8), nn.Flatten(2), Do(lambda x: x.transpose(1, 2)), nn.Linear(3, 4)],
    "flat and back": [conv(3, stride=4), nn.Flatten(2), nn.ReLU(), nn.Unflatten(2, (10, 10))],
}  # fmt: skip


@pytest.mark.parametrize("name", SIGHTED)
def test_receptive_fields_by_brute_force(name: str) -> None:
    """Another row of pixels changes what looks at it, whatever the weights where it is NaN: each op, each result."""
    x = np.ones((1, 2, 40, 40), np.float32)
    other = 7.0 if name == "adaptive average" else np.nan  # this multiplies by a matrix of zeros beside its windows
    g = graph.capture(nn.Sequential(*SIGHTED[name]), x)
    images = x.repeat(40, 0)  # in each of which another row is spoilt
    values, touched = g.run(images).values, {}
    for dim in (2, 3):
        spoilt = images.copy()
        for place in range(40):
            np.moveaxis(spoilt[place], dim - 1, 0)[place] = other
        with np.errstate(all="ignore"):
            touched[dim] = g.run(spoilt).values
    fields, found, spans = g.receptive_fields(), (), ()
    for node in g.ops:
        if node.dtype != "float32" or len(touched[2][node.id]) != 40:
            continue  # of weights alone, or in the midst of an adaptive pooling
        spans = tuple(span(touched[dim][node.id] != values[node.id]) for dim in (2, 3))
        found = tuple(min(size, 40) for size in fields[node.id] or (40, 40))
        assert all(f >= s for f, s in zip(found, spans, strict=True)), f"{node.name} {node.path} {node.shape}"
        # An axis that was cut in two may say more for a while, until its halves are put together.
        assert found == spans or node.family == "shape only" or inside_adaptive(g, node), (node.name, node.path)
    assert found == spans != ()


def span(touched: Any) -> int:
    """From the first to the last of the rows that reach a result: of the result for which that is most."""
    rows = np.arange(len(touched)).reshape(-1, *[1] * (touched.ndim - 1))
    first, last = np.where(touched, rows, len(touched)).min(0), np.where(touched, rows, -1).max(0)
    return int((last - first + 1).max(initial=0, where=last >= first))


def inside_adaptive(g: Graph, node: GraphNode) -> bool:
    """Whether an op is within an adaptive pooling, and not its end: the pooling counts as one."""
    return node.composite.startswith("adaptive") and node.id != max(n.id for n in g.ops if n.run == node.run)


def test_receptive_fields_are_not_cut_and_those_of_folded_boxes_are_their_last_ops() -> None:
    g = graph.capture(
        nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(9)), nn.ReLU()), tg.zeros(1, 1, 8, 8)
    )
    assert list(g.receptive_fields().values())[-1] == (19, 19)
    folded = fold_until_few(g, 5)
    assert len(folded.ops) < len(g.ops)
    assert list(folded.receptive_fields().values())[-1] == (19, 19)


def test_receptive_fields_of_a_loaded_graph_are_the_same(tmp_path: Path) -> None:
    g = graph.capture(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 5)), tg.zeros(1, 1, 8, 8))
    g.save(tmp_path / "net.json")
    assert list(g.receptive_fields().values())[-1] == (3, 3)
    assert Graph.load(tmp_path / "net.json").receptive_fields() == g.receptive_fields()


def test_what_sees_the_whole_input_has_no_field() -> None:
    g = graph.capture(build("lenet"), tg.zeros(1, 1, 28, 28))
    fields = g.receptive_fields()
    assert [fields[n.id] for n in g.ops if n.name == "linear"] == [None] * 3
    assert math.prod(fields[only_op(g, "flatten").id - 1] or ()) == 16 * 16

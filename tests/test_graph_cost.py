"""What nodes cost: held against counting, against closed forms, and against what torchinfo prints."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import autograd, graph, nn, ops
from tinygrad_cnn.autograd import Array, op
from tinygrad_cnn.graph.build import _Builder
from tinygrad_cnn.graph.cost import flops
from tinygrad_cnn.graph.graph import Graph, GraphNode
from tinygrad_cnn.graph.record import Recorder
from tinygrad_cnn.graph.style import family_of
from tinygrad_cnn.modes import watched_by
from tinygrad_cnn.train import build


def only_op(g: Graph, name: str) -> GraphNode:
    (node,) = [node for node in g.ops if node.name == name]
    return node


class Counted:
    """A number that counts the multiplications and additions that are done with it."""

    multiplications = 0
    additions = 0

    def __mul__(self, other: Any) -> Counted:
        Counted.multiplications += 1
        return self

    def __add__(self, other: Any) -> Counted:
        Counted.additions += 1
        return self


def counting(function: Callable[[], Any]) -> tuple[int, int]:
    Counted.multiplications = Counted.additions = 0
    function()
    return Counted.multiplications, Counted.additions


# ---- forward: counted ----


@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 1), (1, 2, 2), ((1, 2), 1, 4)])
def test_macs_of_a_convolution_by_counting(stride: Any, dilation: int, groups: int) -> None:
    x, layer = tg.zeros(2, 4, 9, 8), nn.Conv2d(4, 8, (3, 2), stride=stride, dilation=dilation, groups=groups)
    node = only_op(graph.capture(layer, x), "conv2d")
    number = Counted()

    def loops() -> None:
        for _ in itertools.product(*(range(n) for n in node.shape)):
            total = number  # the bias
            for _ in itertools.product(range(4 // groups), range(3), range(2)):
                total = total + number * number

    multiplications, additions = counting(loops)
    g = graph.capture(layer, x)
    cost = g.costs()[node.id]
    assert cost.macs == multiplications
    assert cost.flops == multiplications + additions + node.size  # the bias is added, an addition more a result
    assert cost.parameters == sum(p.array.size for p in layer.parameters())


def test_macs_of_matrix_products_by_counting() -> None:
    number = Counted()
    x, w = np.full((3, 5), number), np.full((5, 7), number)
    multiplications, _ = counting(lambda: x @ w)
    for function in (
        lambda a, b: a @ b,
        lambda a, b: tg.einsum("ij,jk->ik", a, b),
        lambda a, b: tg.addmm(tg.zeros(7), a, b),
    ):
        g = graph.capture(function, tg.zeros(3, 5), tg.zeros(5, 7))
        assert g.totals().macs == multiplications
    g = graph.capture(nn.Linear(5, 7), tg.zeros(3, 5))
    assert (g.totals().macs, g.totals().flops) == (105, 2 * 105 + 21)
    g = graph.capture(lambda a, b: tg.einsum("bij,bjk->bik", a, b), tg.zeros(2, 3, 5), tg.zeros(2, 5, 7))
    assert g.totals().macs == 2 * 105


def test_a_transposed_convolution_costs_what_its_adjoint_costs() -> None:
    down = graph.capture(nn.Conv2d(3, 5, 3, stride=2), tg.zeros(2, 3, 11, 11)).totals().macs
    up = graph.capture(nn.ConvTranspose2d(5, 3, 3, stride=2), tg.zeros(2, 5, 5, 5)).totals().macs
    assert down == up == 2 * 5 * 25 * 3 * 9


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.sum(), 23),
        (lambda x: x.mean(1), 24),
        (lambda x: x.exp(), 24),
        (lambda x: x + x, 24),
        (lambda x: x.amax(1), 16),
        (lambda x: x.reshape((12, 2)), 0),
        (lambda x: x[1:], 0),
        (lambda x: F.relu(x), 24),
        (lambda x: x.softmax(1), 5 * 24 - 2 * 8),
        (lambda x: F.max_pool2d(x.reshape((1, 1, 4, 6)), 2), 6 * 3),
        (lambda x: F.avg_pool2d(x.reshape((1, 1, 4, 6)), 2), 6 * 4),
    ],
)
def test_flops_in_closed_form(function: Callable[[tg.Tensor], tg.Tensor], expected: int) -> None:
    assert graph.capture(function, tg.ones(8, 3)).totals().flops == expected


# ---- backward: what the rules call ----


def rule_flops(function: Callable[..., tg.Tensor], *arrays: np.ndarray) -> tuple[int, int]:
    """The backward FLOPs that the graph says, and those of the ops that the rules really call."""
    xs = [tg.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    g = graph.capture(function, *xs)
    out = function(*xs)
    recorder = Recorder()
    with watched_by(recorder), np.errstate(all="ignore"):
        seed = tg.ones(*out.shape)
        autograd.grad(out, [x for x in xs if x.requires_grad], seed, create_graph=True, allow_unused=True)
    builder = _Builder(None, {})
    builder.add_all(recorder.calls)
    return g.totals().backward_flops, sum(flops(node) or 0 for node in builder.nodes if node.kind == "op")


ELEMENTWISE = [
    x
    for name, x in sorted(vars(ops).items())
    if isinstance(x, autograd.Op)
    and x.differentiable
    and family_of(x) in ("element-wise", "activation")
    and name not in ("cast", "masked_fill", "threshold", "where", "sinc_family", "log_softmax", "softmax", "scaled_elu")
    and not x.variadic
]


@pytest.mark.parametrize("function", ELEMENTWISE, ids=lambda op: op.name)
def test_backward_flops_of_elementwise_ops_by_counting(function: Any) -> None:
    inputs = [np.full((2, 3), 0.5, np.float32) for _ in function.arguments]
    said, counted = rule_flops(function, *inputs)
    assert said == counted


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1), [(2, 3, 7, 7), (4, 3, 3, 3), (4,)]),
        (lambda x, w, b: F.conv_transpose2d(x, w, b), [(2, 3, 4, 4), (3, 4, 3, 3), (4,)]),
        (lambda x, w, b: F.linear(x, w, b), [(5, 3), (4, 3), (4,)]),
        (lambda x, w: x @ w, [(5, 3), (3, 4)]),
        (lambda x, b: x + b, [(5, 3), (3,)]),
        (lambda x, b: x * b, [(5, 3), (5, 1)]),
        (lambda x: x.sum(), [(5, 3)]),
        (lambda x: x.mean(), [(5, 3)]),
        (lambda x: x.softmax(1), [(5, 3)]),
        (lambda x: x.log_softmax(1), [(5, 3)]),
        (lambda x: F.avg_pool2d(x, 2), [(1, 2, 4, 4)]),
    ],
)
def test_backward_flops_by_counting(function: Any, shapes: list[tuple[int, ...]]) -> None:
    said, counted = rule_flops(function, *(np.ones(shape, np.float32) for shape in shapes))
    assert said == counted


def test_gradients_that_nobody_needs_cost_nothing() -> None:
    layer, x = nn.Conv2d(1, 4, 3, bias=False), tg.zeros(2, 1, 8, 8)
    without = graph.capture(layer, x).totals()
    assert without.backward_flops == 2 * without.macs
    assert graph.capture(layer, x.requires_grad_()).totals().backward_flops == 4 * without.macs


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

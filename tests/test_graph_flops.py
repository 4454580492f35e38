"""FLOPs by counting: forward with numbers that count what is done with them, backward by what the rules really call."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from pictured import ResNet, UNet

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import autograd, graph, nn
from tinygrad_cnn.graph.build import _Builder
from tinygrad_cnn.graph.flops import flops
from tinygrad_cnn.graph.graph import Graph, GraphNode
from tinygrad_cnn.graph.record import Recorder
from tinygrad_cnn.modes import watched_by
from tinygrad_cnn.ops.loss import binary_cross_entropy_terms
from tinygrad_cnn.ops.norm import standardize
from tinygrad_cnn.testing.sample import Sample
from tinygrad_cnn.testing.spec import registered
from tinygrad_cnn.train import build


def only_op(g: Graph, name: str) -> GraphNode:
    (node,) = [node for node in g.ops if node.name == name]
    return node


class Counted:
    """A number that counts the multiplications, the additions, and all else that is done with it."""

    multiplications = 0
    additions = 0
    others = 0

    def __mul__(self, other: Any) -> Counted:
        Counted.multiplications += 1
        return self

    def __add__(self, other: Any) -> Counted:
        Counted.additions += 1
        return self

    def other(self, *operands: Any) -> Counted:
        """A function, a comparison, a difference, a quotient: one operation each."""
        Counted.others += 1
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


def operations(loops: Callable[[Counted], Any]) -> int:
    """How many operations plain loops do."""
    Counted.multiplications = Counted.additions = Counted.others = 0
    loops(Counted())
    return Counted.multiplications + Counted.additions + Counted.others


def total(x: Counted, n: int) -> Counted:
    """The sum of n numbers."""
    for _ in range(n - 1):
        x = x + x
    return x


def extreme(x: Counted, n: int) -> Counted:
    """The largest of n numbers."""
    for _ in range(n - 1):
        x = x.other(x)
    return x


def mean(x: Counted, n: int) -> Counted:
    return total(x, n).other(n)


def each(x: Counted, n: int, *steps: str) -> None:
    """The same few steps for each of n numbers."""
    for _, step in itertools.product(range(n), steps):
        _ = x * x if step == "*" else x + x if step == "+" else x.other()


def softmax(x: Counted, n: int) -> None:
    extreme(x, n)
    each(x, n, "- maximum", "exp")
    total(x, n)
    each(x, n, "/ sum")


def log_softmax(x: Counted, n: int) -> None:
    extreme(x, n)
    each(x, n, "- maximum", "exp")
    total(x, n).other("log")
    each(x, n, "- log")


def logsumexp(x: Counted, n: int) -> None:
    extreme(x, n)
    each(x, n, "- maximum", "exp")
    _ = total(x, n).other("log") + x


def cross_entropy_of_a_row(x: Counted, n: int) -> None:
    extreme(x, n)
    each(x, n, "- maximum", "exp")
    total(x, n).other("log").other("- the target's")


def variance(x: Counted, n: int) -> None:
    mean(x, n)
    each(x, n, "- mean", "*")
    mean(x, n)


def standardized(x: Counted, n: int) -> None:
    variance(x, n)
    (x + x).other("sqrt")
    each(x, n, "/ deviation")


def batch_normalised(x: Counted, n: int) -> None:
    standardized(x, n)
    each(x, n, "*", "+")


ROWS, LONG = 8, 3  # each of the functions below takes an array (8, 3), and most of them work on rows of 3
FORWARD: list[tuple[str, Callable[..., tg.Tensor], Callable[[Counted], Any]]] = [
    ("sum", lambda x: x.sum(), lambda x: total(x, 24)),
    ("sum of rows", lambda x: x.sum(1), lambda x: [total(x, LONG) for _ in range(ROWS)]),
    ("mean", lambda x: x.mean(1), lambda x: [mean(x, LONG) for _ in range(ROWS)]),
    ("prod", lambda x: x.prod(1), lambda x: [total(x, LONG) for _ in range(ROWS)]),
    ("amax", lambda x: x.amax(1), lambda x: [extreme(x, LONG) for _ in range(ROWS)]),
    ("var", lambda x: x.var(1), lambda x: [variance(x, LONG) for _ in range(ROWS)]),
    ("std", lambda x: x.std(1), lambda x: [(variance(x, LONG), x.other("sqrt")) for _ in range(ROWS)]),
    ("logsumexp", lambda x: x.logsumexp(1), lambda x: [logsumexp(x, LONG) for _ in range(ROWS)]),
    ("softmax", lambda x: x.softmax(1), lambda x: [softmax(x, LONG) for _ in range(ROWS)]),
    ("log_softmax", lambda x: x.log_softmax(1), lambda x: [log_softmax(x, LONG) for _ in range(ROWS)]),
    ("norm", lambda x: x.norm(2, 1), lambda x: [(each(x, LONG, "*"), total(x, LONG).other("sqrt")) for _ in range(8)]),
    ("norm 1", lambda x: x.norm(1, 1), lambda x: [(each(x, LONG, "abs"), total(x, LONG)) for _ in range(ROWS)]),
    ("norm inf", lambda x: x.norm(math.inf, 1), lambda x: [(each(x, 3, "abs"), extreme(x, 3)) for _ in range(ROWS)]),
    ("norm 3", lambda x: x.norm(3, 1),
     lambda x: [(each(x, LONG, "abs", "pow"), total(x, LONG).other("root")) for _ in range(ROWS)]),
    ("cross_entropy", lambda x: F.cross_entropy(x, tg.zeros(8, dtype=tg.int64), reduction="none"),
     lambda x: [cross_entropy_of_a_row(x, LONG) for _ in range(ROWS)]),
    ("their mean", lambda x: F.cross_entropy(x, tg.zeros(8, dtype=tg.int64)),
     lambda x: (*(cross_entropy_of_a_row(x, LONG) for _ in range(ROWS)), mean(x, ROWS))),
    ("their sum", lambda x: F.cross_entropy(x, tg.zeros(8, dtype=tg.int64), reduction="sum"),
     lambda x: (*(cross_entropy_of_a_row(x, LONG) for _ in range(ROWS)), total(x, ROWS))),
    ("binary_cross_entropy", lambda x: binary_cross_entropy_terms(x, x.detach()),
     lambda x: each(x, 24, "target - 1", "-input", "log1p", "clamp", "*", "log", "clamp", "*", "difference")),
    ("standardize", lambda x: standardize(x, (1,), 0.1), lambda x: [standardized(x, LONG) for _ in range(ROWS)]),
    ("batch_norm", lambda x: F.batch_norm(x, None, None, tg.ones(3), tg.zeros(3), training=True),
     lambda x: [batch_normalised(x, ROWS) for _ in range(LONG)]),
    ("batch_norm, plain", lambda x: F.batch_norm(x, None, None, training=True),
     lambda x: [standardized(x, ROWS) for _ in range(LONG)]),
    ("max_pool", lambda x: F.max_pool2d(x.reshape((1, 1, 4, 6)), 2), lambda x: [extreme(x, 4) for _ in range(6)]),
    ("avg_pool", lambda x: F.avg_pool2d(x.reshape((1, 1, 4, 6)), (2, 3)), lambda x: [mean(x, 6) for _ in range(4)]),
    ("a sum by einsum", lambda x: tg.einsum("ij->i", x), lambda x: [total(x, LONG) for _ in range(ROWS)]),
    ("exp", lambda x: x.exp(), lambda x: each(x, 24, "exp")),
    ("lerp", lambda x: tg.lerp(x, x.detach(), tg.ones(8, 3)), lambda x: each(x, 24, "end - input", "*", "+")),
    ("views", lambda x: x.reshape((12, 2)).flatten()[3:].unsqueeze(0), lambda x: None),
    ("index_add", lambda x: tg.index_add(tg.zeros(9, 3), 0, tg.arange(8), x), lambda x: each(x, 24, "+")),
    ("scatter_add", lambda x: tg.scatter_add(tg.zeros(9, 3), 0, tg.zeros(8, 3, dtype=tg.int64), x),
     lambda x: each(x, 24, "+")),
]  # fmt: skip


@pytest.mark.parametrize(("function", "loops"), [case[1:] for case in FORWARD], ids=[case[0] for case in FORWARD])
def test_forward_flops_by_counting(function: Callable[..., tg.Tensor], loops: Callable[[Counted], Any]) -> None:
    g = graph.capture(function, tg.full((ROWS, LONG), 0.5, requires_grad=True))
    assert g.totals().flops == operations(loops)


# ---- backward: what the rules call ----


def said_and_counted(function: Callable[..., Any], tensors: Sequence[tg.Tensor]) -> tuple[int, int]:
    """The backward FLOPs that a graph says, and those of the ops that the rules really call."""
    recorder = Recorder()
    with np.errstate(all="ignore"), watched_by(recorder):
        out = function()
    builder = _Builder(None, {})
    builder.add_all(recorder.calls)
    builder.add_output("", out, recorder.source(out))
    said = builder.graph("").totals().backward_flops
    if not out.requires_grad:
        return said, 0
    recorder = Recorder()
    with np.errstate(all="ignore"), watched_by(recorder):
        autograd.grad(out, tensors, tg.ones(*out.shape, dtype=out.dtype), create_graph=True, allow_unused=True)
    builder = _Builder(None, {})
    builder.add_all(recorder.calls)
    return said, sum(flops(node) or 0 for node in builder.nodes if node.kind == "op")


DIFFERENTIABLE = {name: spec for name, spec in registered().items() if spec.differentiable}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_backward_flops_of_every_op_by_counting(name: str) -> None:
    spec = DIFFERENTIABLE[name]

    @settings(max_examples=8, database=None, deadline=None, derandomize=True)
    @given(spec.inputs)
    def check(drawn: Any) -> None:
        sample = drawn if isinstance(drawn, Sample) else Sample(drawn if isinstance(drawn, tuple) else (drawn,))
        if name in ("prod", "cumprod") and not sample.args[0].all():
            return  # their rules look for zeros
        tensors = {key: tg.tensor(x, requires_grad=True) for key, x in sample.floats.items()}
        args = [tensors.get(i, x) for i, x in enumerate(sample.args)]
        kwargs = {key: tensors.get(key, x) for key, x in sample.kwargs.items()}
        said, counted = said_and_counted(lambda: spec.op(*args, **kwargs), list(tensors.values()))
        assert said == counted

    check()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x**2, 3 * 6),  # 2 · x**1 · g: a plain number, and no array, is the exponent
        (lambda x: 2.0**x, 6 * 6),
        (lambda x: x * 3 + 1, 6),
        (lambda x: x / 2, 6),
        (lambda x: x + x, 6),  # the two gradients are added
        (lambda x: x * x, 3 * 6),
        (lambda x: (x.detach() * 2).exp() + x, 0),  # no gradient gets to exp
    ],
)
def test_backward_flops_of_plain_numbers_and_of_shared_tensors(function: Any, expected: int) -> None:
    x = tg.full((2, 3), 0.5, requires_grad=True)
    assert said_and_counted(lambda: function(x), [x]) == (expected, expected)


@pytest.mark.parametrize("name", ["seed", "lenet", "mnist", "vgg", "residual", "unet"])
def test_backward_flops_of_whole_models_by_counting(name: str) -> None:
    own = {"residual": lambda: ResNet(3), "unet": UNet}
    model = own[name]() if name in own else build(name, (3, 32, 32) if name == "vgg" else (1, 28, 28), 10)
    shape = {"vgg": (2, 3, 32, 32), "residual": (2, 1, 8, 8), "unet": (2, 1, 8, 8)}.get(name, (2, 1, 28, 28))
    x = tg.rand(*shape)
    tg.manual_seed(0)
    said, counted = said_and_counted(lambda: model(x).sum(), list(model.parameters()))
    assert said == counted > 0


def test_gradients_that_nobody_needs_cost_nothing() -> None:
    layer, x = nn.Conv2d(1, 4, 3, bias=False), tg.zeros(2, 1, 8, 8)
    without = graph.capture(layer, x).totals()
    assert without.backward_flops == 2 * without.macs
    assert graph.capture(layer, x.requires_grad_()).totals().backward_flops == 4 * without.macs

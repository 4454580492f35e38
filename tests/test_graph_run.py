"""What a capture sees, runs with their values and gradients, time, single steps of backward, lint, and differences."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import graph, nn
from tinygrad_cnn.graph.fold import fold_layers
from tinygrad_cnn.graph.graph import Graph, GraphNode
from tinygrad_cnn.graph.style import THEMES
from tinygrad_cnn.modes import state
from tinygrad_cnn.train import build


def lenet_loss() -> tuple[nn.Module, Graph, tg.Tensor, tg.Tensor]:
    model, x, target = build("lenet"), tg.randn(4, 1, 28, 28), tg.tensor([1, 2, 3, 4])
    g = graph.capture(lambda x, target: F.cross_entropy(model(x), target), x, target, model=model)
    return model, g, x, target


def first(g: Graph, name: str) -> GraphNode:
    return next(node for node in g.nodes if node.name == name)


# ---- capture ----


def test_what_needs_no_gradient_is_captured_too() -> None:
    def function(x: tg.Tensor) -> Any:
        y = F.relu(x * 2)
        with tg.no_grad():
            constant = y * 3
            best = y.argmax(1)
        return (y + constant).sum(), best

    g = graph.capture(function, tg.randn(2, 3))
    assert [node.name for node in g.ops] == ["mul", "relu", "mul", "argmax", "add", "sum"]
    assert [node.tracked for node in g.ops if node.name == "mul"] == [True, False]
    best = first(g, "argmax")
    assert (best.tracked, best.dtype) == (False, "int64")
    assert [g[edge.source].name for edge in g.into(best)] == ["relu"]
    dot = g.to_dot()
    assert dot.count('style="rounded,filled,dashed"') == 2
    assert "no gradient" in dot


def test_a_detached_tensor_keeps_its_place_and_ops_that_lead_nowhere_are_left_out() -> None:
    def function(x: tg.Tensor) -> tg.Tensor:
        x.exp()
        return x.sin().detach() + x

    g = graph.capture(function, tg.randn(3))
    assert [node.name for node in g.ops] == ["sin", "add"]
    (into, _) = g.into(first(g, "add"))
    assert g[into.source].name == "sin"
    assert {name: flag for name, _, flag in first(g, "add").operands} == {"input": False, "other": True}


def test_a_run_that_fails_is_drawn_up_to_the_op_that_failed() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(100, 10))
    with pytest.raises(ValueError, match="linear: input has 2704 features"):
        graph.capture(model, tg.zeros(2, 1, 28, 28))
    g = graph.capture(model, tg.zeros(2, 1, 28, 28), on_error="draw")
    last = g.ops[-1]
    assert (last.name, last.path) == ("linear", "2")
    assert "input has 2704 features (2, 2704), weight expects 100 (10, 100)" in last.error
    assert [shape for _, shape, _ in last.operands] == [(2, 2704), (10, 100), (10,)]
    assert g.of_kind("output") == []
    dot = g.to_dot()
    assert f'color="{THEMES["light"].alarm}"' in dot
    for words in ("FAILED: 2", "input (2, 2704)", "weight (10, 100)", "the run failed in linear"):
        assert words in dot
    assert "FAILED: linear: input has" in str(g)
    g.to_svg()
    assert g.totals().parameters == 40 + 1010
    with pytest.raises(ValueError, match="on_error is 'hide', expected one of raise, draw"):
        graph.capture(model, tg.zeros(1), on_error="hide")
    with pytest.raises(TypeError, match="the model is int, expected a Module or a function"):
        graph.capture(3, tg.zeros(1))
    with pytest.raises(TypeError, match="Linear is a class, expected a Module made of it"):
        graph.capture(nn.Linear, tg.zeros(2, 3))
    assert state.now.observer is None


def test_a_failure_outside_the_ops_is_drawn_too() -> None:
    def function(x: tg.Tensor) -> tg.Tensor:
        y = x * 2
        raise KeyError("no such layer")
        return y

    g = graph.capture(function, tg.zeros(3), on_error="draw")
    assert g.ops[-1].error == "KeyError: 'no such layer'"
    assert g[g.into(g.ops[-1])[0].source].name == "mul"
    with pytest.raises(ValueError, match="the function returned no Tensor"):
        graph.capture(lambda x: 3, tg.zeros(3))


def test_two_calls_of_a_composite_on_one_line_are_two_boxes() -> None:
    g = graph.capture(lambda x: F.nll_loss(x, x.detach().argmax(1)) + F.nll_loss(x, tg.tensor([0, 1])), tg.randn(2, 3))
    assert len({node.run for node in g.ops if node.composite == "nll_loss"}) == 2
    assert len([node for node in fold_layers(g).ops if node.name == "nll_loss"]) == 2


def test_a_layer_that_is_captured_directly_has_the_users_line() -> None:
    g = graph.capture(nn.Linear(3, 2), tg.zeros(1, 3))
    assert g.ops[0].where.startswith("test_graph_run.py:")


def test_inputs_of_a_model_stay_as_they_are() -> None:
    layer = nn.Linear(3, 2)
    assert not first(graph.capture(layer, tg.zeros(1, 3)), "input").tracked
    assert first(graph.capture(layer, tg.zeros(1, 3, requires_grad=True)), "input").tracked
    assert first(graph.capture(nn.ReLU(), tg.zeros(1, 3)), "input").tracked


# ---- runs ----


def test_a_run_can_be_looked_into() -> None:
    model, g, x, target = lenet_loss()
    run = g.run()
    assert np.array_equal(run["conv1"].out, model.conv1(x).array)
    assert np.array_equal(run["relu", 1].out, run["relu", -3].out)
    assert run[run["fc3"].node.id].out is run["fc3"].out
    assert np.array_equal(run["conv1.weight"].out, model.conv1.weight.array)
    assert run["loss"].out == pytest.approx(float(F.cross_entropy(model(x), target)))
    with pytest.raises(RuntimeError, match="backward has not run"):
        _ = run["conv1"].grad
    with pytest.raises(KeyError, match="no node is called 'conv9'"):
        run["conv9"]
    with pytest.raises(IndexError, match="there are 4 of 'relu'"):
        run["relu", 4]
    assert "backward has not run" in repr(run)


def test_backward_of_a_run_gives_every_gradient() -> None:
    model, g, x, target = lenet_loss()
    run = g.run().backward()
    assert all(p.grad is None for p in model.parameters())
    F.cross_entropy(model(x), target).backward()
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(run[name].grad, parameter.grad.array, rtol=1e-5, atol=1e-7)
    assert run["x"].grad is None
    assert run["conv2"].grad.shape == (4, 16, 10, 10)
    edge = next(e for e in g.edges if g[e.source].name == "conv1.weight")
    found = run.graph.gradients[edge.source, edge.target, edge.argument]
    assert found.shape == (6, 1, 5, 5)
    assert found.norm == pytest.approx(np.linalg.norm(run["conv1.weight"].grad), rel=1e-5)


def test_gradients_that_broadcast_are_told_in_the_arguments_shape() -> None:
    g = graph.capture(lambda x, b: ((x + b) ** 2).sum(), tg.ones(4, 3), tg.ones(3))
    gradients = g.run().backward().graph.gradients
    found = {edge.argument: gradients[edge.source, edge.target, edge.argument] for edge in g.into(first(g, "add"))}
    assert (found["other"].shape, found["other"].norm) == ((3,), pytest.approx(np.sqrt(3) * 16))


def test_runs_on_other_inputs_and_calls_of_one_module() -> None:
    layer = nn.Linear(2, 2)
    g = graph.capture(lambda a, b: layer(a) + layer(b), tg.zeros(1, 2), tg.ones(1, 2), model=nn.Sequential(layer))
    assert g.run(tg.ones(5, 2), tg.zeros(5, 2))["add"].out.shape == (5, 2)
    with pytest.raises(ValueError, match="1 inputs are given, the graph was captured with 2"):
        g.run(tg.ones(5, 2))
    with pytest.raises(RuntimeError, match="was not made by"):
        graph.of(tg.ones(2, requires_grad=True) * 2).run()
    with pytest.raises(RuntimeError, match="the output has shape"):
        g.run().backward()
    frozen = graph.capture(lambda x: x.detach() * 2, tg.ones(2))
    with pytest.raises(RuntimeError, match="the result requires no grad"):
        frozen.run().backward()


def test_time_is_measured_of_every_node() -> None:
    _, g, _, _ = lenet_loss()
    measured = g.profile(repeats=2).measures
    ops = {node.id for node in g.ops}
    assert set(measured["time forward"]) == ops
    assert set(measured["time backward"]) == ops
    assert all(seconds > 0 for seconds in measured["time forward"].values())
    assert measured["time"] == {i: measured["time forward"][i] + measured["time backward"][i] for i in measured["time"]}
    with pytest.raises(ValueError, match="repeats is 0, expected at least 1"):
        g.profile(repeats=0)


def test_backward_on_the_canvas() -> None:
    _, g, _, _ = lenet_loss()
    assert "backward has not run" in g.to_dot(backward=True)
    dot = g.run().backward().graph.to_dot(backward=True)
    assert "backward has not run" not in dot
    assert len(re.findall(r"grad \(4, 6, 28, 28\) norm 0\..*dir=back", dot)) == 2
    assert dot.count("dir=back") == 13
    assert "grad of weight: norm" in dot
    assert "keeps" in dot
    nodes = g.run().backward().graph.to_dot(backward=True, parameters="nodes", fold="none")
    assert nodes.count("dir=back") == 23


# ---- steps ----


def test_steps_of_backward() -> None:
    model, _, x, target = lenet_loss()
    loss = F.cross_entropy(model(x), target)
    steps = loss.backward_steps(model=model)
    first_step = next(steps)
    assert (first_step.op, first_step.incoming.shape) == ("softmax_cross_entropy", ())
    assert list(first_step.outgoing) == ["input"]
    at = steps.until("fc2")
    assert at.path == "fc2"
    assert at.outgoing["weight"].shape == (84, 120)
    assert "test_graph_run.py" in first_step.where
    assert "models.py" in at.where
    assert repr(at).startswith("<step 3: linear at ")
    with pytest.raises(LookupError, match="no step that is left belongs to 'fc3'"):
        steps.until("fc3")
    found = {name: p.grad.array.copy() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = None
    loss.backward()
    for name, p in model.named_parameters():
        np.testing.assert_allclose(found[name], p.grad.array, rtol=1e-6, atol=1e-8)


def test_the_picture_shows_where_backward_stands(tmp_path: Path) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    steps = tg.exp(x * x).sum().backward_steps()
    steps.until("exp")
    with pytest.raises(
        ValueError, match=r"a step of backward is a picture, and .*at\.json holds none; expected one of"
    ):
        steps.save(tmp_path / "at.json")
    steps.save(tmp_path / "at.dot")
    box = next(line for line in (tmp_path / "at.dot").read_text().splitlines() if "backward stands here" in line)
    assert "exp" in box
    assert len(list(steps)) == 1
    assert x.grad is not None


def test_the_picture_shows_the_gradients_sent_so_far_and_what_is_ready(tmp_path: Path) -> None:
    x = tg.tensor([3.0, 4.0], requires_grad=True)
    y = x * 1  # gets one gradient from each branch
    steps = (y.sin().sum() + (y * 2).sum()).backward_steps()

    def picture() -> tuple[list[str], list[tuple[str, str]], str]:
        """The ops that are ready, and those from and to which the picture has a gradient."""
        steps.save(tmp_path / "at.dot")
        dot = (tmp_path / "at.dot").read_text()
        names = {f"n{node.id}": node.name for node in steps.graph.nodes}
        back = [re.findall(r"n\d+", line)[:2] for line in dot.splitlines() if "dir=back" in line]
        ready = [re.findall(r"n\d+", line)[0] for line in dot.splitlines() if "ready: its gradient" in line]
        return [names[n] for n in ready], sorted((names[b], names[a]) for a, b in back), dot

    def step(op: str) -> None:
        assert next(steps).op == op

    ready, sent, dot = picture()
    assert (ready, sent) == (["add"], [("output", "add")])  # what backward starts with
    assert "backward stands here" not in dot
    step("add")
    ready, sent, dot = picture()
    assert (ready, sent) == (["sum", "sum"], [("add", "sum"), ("add", "sum"), ("output", "add")])
    assert dot.count("grad () norm 1") == 3
    step("sum")
    ready, sent, dot = picture()
    assert (ready, len(sent)) == (["sum", "mul"], 4)
    assert "grad (2,) norm 1.41" in dot
    step("mul")
    ready, sent, _ = picture()
    assert (ready, len(sent)) == (["sum"], 5)  # the first mul has a gradient, and waits for that of sin
    step("sum")
    step("sin")
    ready, sent, _ = picture()
    assert (ready, len(sent)) == (["mul"], 7)
    step("mul")
    ready, sent, dot = picture()
    assert (ready, len(sent)) == ([], 8)
    assert list(steps) == []
    whole = graph.capture(lambda x: (lambda y: y.sin().sum() + (y * 2).sum())(x * 1), x).run().backward().graph
    assert steps.graph.gradients is not None
    assert whole.gradients is not None
    assert sorted(map(str, steps.graph.gradients.values())) == sorted(map(str, whole.gradients.values()))


def test_steps_need_a_start() -> None:
    with pytest.raises(RuntimeError, match="the output requires no grad"):
        tg.ones(1).backward_steps()
    with pytest.raises(RuntimeError, match=r"the output has shape \(2,\)"):
        tg.ones(2, requires_grad=True).exp().backward_steps()
    with pytest.raises(ValueError, match=r"the gradient has shape \(3,\), the output \(2,\)"):
        tg.ones(2, requires_grad=True).exp().backward_steps(tg.ones(3))


# ---- lint, why_no_grad ----


def rules(function: Any, *inputs: Any, model: nn.Module | None = None) -> list[str]:
    return [finding.rule for finding in graph.capture(function, *inputs, model=model).lint()]


def test_lint_finds_common_faults() -> None:
    x, y = tg.randn(4, 3), tg.tensor([0, 1, 2, 0])
    assert rules(lambda x, y: F.cross_entropy(x, y), x, y) == []
    assert rules(lambda x, y: F.cross_entropy(F.softmax(x, 1), y), x, y) == ["softmax-before-cross-entropy"]
    assert rules(lambda x, y: F.cross_entropy(F.log_softmax(x, 1).reshape((4, 3)), y), x, y) == [
        "softmax-before-cross-entropy"
    ]
    assert rules(lambda x, y: F.nll_loss(F.softmax(x, 1), y), x, y) == ["softmax-before-nll-loss"]
    assert rules(lambda x, y: F.nll_loss(F.log_softmax(x, 1), y), x, y) == []
    assert rules(lambda x, y: F.cross_entropy(F.relu(x), y), x, y) == ["relu-on-logits"]
    ones = tg.ones(4, 1)
    assert rules(lambda x, y: F.binary_cross_entropy_with_logits(tg.sigmoid(x), y), ones, ones) == [
        "softmax-before-cross-entropy"
    ]
    assert rules(lambda x, y: ((x - y) ** 2).mean(), tg.randn(4, 1), tg.randn(4)) == ["loss-broadcasts"]
    assert rules(lambda x, y: ((x - y) ** 2).mean(), tg.randn(4, 1), tg.randn(4, 1)) == []
    with pytest.warns(UserWarning, match="they broadcast"):
        assert rules(F.mse_loss, tg.randn(4, 1), tg.randn(4)) == ["loss-broadcasts"]
    assert rules(lambda x: x * 2, 255 * tg.rand(2, 1, 4, 4)) == ["input-not-normalised"]


def test_lint_of_models() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    findings = graph.capture(model, tg.randn(2, 1, 8, 8)).lint()
    assert [f.rule for f in findings] == ["bias-before-batch-norm"]
    assert "(0, test_graph_run.py:" in str(findings[0])
    assert rules(model.eval(), tg.randn(2, 1, 8, 8)) == ["bias-before-batch-norm"]
    good = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2))
    assert rules(good, tg.randn(2, 1, 8, 8)) == []
    good(tg.randn(2, 1, 8, 8)).sum().backward()
    assert rules(good, tg.randn(2, 1, 8, 8)) == ["old-gradients"]
    two = nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2)])
    found = graph.capture(lambda x: two[0](x), tg.randn(1, 3), model=two).lint()
    assert [f.message.split()[0] for f in found] == ["1.weight", "1.bias"]


def test_lint_names_parameters_from_which_the_way_is_cut() -> None:
    found = [finding for finding in graph.capture(Cut(), tg.randn(2, 4)).lint() if finding.rule == "no-gradient"]
    assert [finding.message.split(":")[0] for finding in found] == [
        f"{name}.{part}" for name in ("detached", "still", "counted") for part in ("weight", "bias")
    ]
    assert "a detach() cut it (test_graph_run.py:" in str(found[0])
    layer = nn.Linear(4, 3)  # no way is wanted where nothing is learnt
    assert rules(lambda x: layer(x).argmax(1), tg.randn(2, 4), model=layer) == []


class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.detached, self.still, self.counted, self.unused, self.dead, self.flat, self.good, self.lost = (
            nn.Linear(4, 4) for _ in range(8)
        )
        self.frozen = nn.Parameter(np.ones(4, np.float32), requires_grad=False)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        h = self.detached(x).detach() + self.good.weight[0]
        with tg.no_grad():
            h = h + self.still(x)
        h = h + self.counted(x).argmax(1).reshape((-1, 1)) + self.frozen
        h = h + F.relu(self.dead(x) - 1000) + tg.tanh(self.flat(x) + 1000)
        return self.good(h).sum()


@pytest.mark.parametrize(
    ("name", "kind", "end"),
    [
        ("detached.weight", "detached", "add"),
        ("still.bias", "no_grad", "linear"),
        ("counted.weight", "integers", "argmax"),
        ("unused.weight", "unused", None),
        ("dead.weight", "dead relu", "relu"),
        ("flat.bias", "saturated", "tanh"),
        ("frozen", "frozen", "frozen"),
        ("good.weight", "none", None),
    ],
)
def test_why_a_parameter_has_no_gradient(name: str, kind: str, end: str | None) -> None:
    model = Cut()
    g = graph.capture(model, tg.randn(3, 4))
    reason = g.why_no_grad(name)
    assert reason.kind == kind
    assert (reason.node.name if reason.node else None) == end
    assert name in str(reason)
    assert g.why_no_grad(dict(model.named_parameters())[name]).kind == kind


def test_why_no_grad_of_strangers() -> None:
    g = graph.capture(nn.Linear(2, 2), tg.zeros(1, 2))
    with pytest.raises(KeyError, match="'wait' is no parameter of this graph, there are weight, bias"):
        g.why_no_grad("wait")
    with pytest.raises(KeyError, match="this tensor is no parameter"):
        g.why_no_grad(tg.zeros(2))


# ---- differences, files ----


def test_a_layer_put_in_is_all_that_was_added(tmp_path: Path) -> None:
    def net(*inside: nn.Module) -> Graph:
        model = nn.Sequential(nn.Linear(4, 8), *inside, nn.ReLU(), nn.Linear(8, 2))
        return graph.capture(model, tg.zeros(3, 4))

    found = graph.diff(net(), net(nn.BatchNorm1d(8)))
    assert [node.name for node in found.added] == ["1.weight", "1.bias", "batch_norm"]
    assert found.removed == ()
    assert str(found).splitlines()[4:9] == [
        "~ relu in 2: was 1; from linear -> batch_norm",
        "~ parameter 3.weight: was 2.weight",
        "~ parameter 3.bias: was 2.bias",
        "~ linear in 3: was 2",
        "  parameters: 58 -> 74",
    ]
    back = graph.diff(net(nn.BatchNorm1d(8)), net())
    assert (back.added, [node.name for node in back.removed]) == ((), ["1.weight", "1.bias", "batch_norm"])
    found.save(tmp_path / "diff.dot")
    assert "removed" not in (tmp_path / "diff.dot").read_text()


def test_a_layer_with_another_name_is_the_same_layer() -> None:
    def net(name: str) -> Graph:
        model = nn.Sequential()
        model.add_module(name, nn.Linear(4, 2))
        return graph.capture(model, tg.zeros(1, 4))

    found = graph.diff(net("fc"), net("head"))
    assert [change.facts for change in found.changed] == [("was fc.weight",), ("was fc.bias",), ("was fc",)]
    assert (found.added, found.removed, found.exit_code) == ((), (), 1)


def test_the_difference_of_two_graphs(tmp_path: Path) -> None:
    a = graph.capture(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), tg.zeros(1, 4))
    b = graph.capture(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2), nn.Softmax(1)), tg.zeros(1, 4))
    found = graph.diff(a, b)
    assert [node.name for node in found.added] == ["tanh", "softmax"]
    assert [node.name for node in found.removed] == ["relu"]
    assert found.exit_code == 1
    lines = str(found).splitlines()
    assert lines[0] == "Sequential -> Sequential: 2 added, 1 removed, 5 changed"
    assert "~ linear in 0: shape (1, 8) -> (1, 6); parameters 40 -> 30; FLOPs 72 -> 54" in lines
    assert "  parameters: 58 -> 44" in lines
    same = graph.diff(a, a)
    assert (bool(same), same.exit_code, str(same)) == (False, 0, "Sequential and Sequential are alike: 3 ops")
    with pytest.raises(ValueError, match=r"a difference is a picture, and .* holds none; expected one of \.svg"):
        found.save(tmp_path / "diff.html")
    found.save(tmp_path / "diff.dot")
    dot = (tmp_path / "diff.dot").read_text()
    for words in ("+ added", "- removed", "~ changed"):
        assert words in dot
    found.save(tmp_path / "diff.svg")
    with pytest.raises(ValueError, match="the overlay 'diff' is of"):
        a.save(tmp_path / "x.svg", overlay="diff")


def test_a_module_that_became_another_is_drawn_under_two_names() -> None:
    def network(activation: nn.Module) -> Graph:
        model = nn.Sequential()
        for name, layer in {"fc": nn.Linear(4, 4), "act": activation, "flat": nn.Flatten()}.items():
            model.add_module(name, layer)
        return graph.capture(model, tg.zeros(1, 4))

    union = graph.diff(network(nn.ReLU()), network(nn.Tanh())).union()
    assert {node.path for node in union.ops} == {"fc", "act", "act (before)", "flat"}
    assert union.modules["act (before)"].kind == "ReLU"
    blocks = {node.name: node.block for node in union.ops}
    assert blocks["relu"] == -1  # of another graph, and so never the same memory as here


def test_a_saved_graph_can_be_loaded(tmp_path: Path) -> None:
    _, g, _, _ = lenet_loss()
    g.save(tmp_path / "net.json")
    again = Graph.load(tmp_path / "net.json")
    assert again.to_json() == g.to_json()
    assert not graph.diff(g, again)
    assert again.totals() == g.totals()
    assert again.to_dot() == g.to_dot()
    for text in ("{", "[]", '{"nodes": [1]}', '{"nodes": [{"id": 0}], "edges": [], "modules": {}, "title": ""}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=r"bad\.json holds no graph"):
            Graph.load(tmp_path / "bad.json")


def test_an_html_file_is_the_explorer(tmp_path: Path) -> None:
    g = graph.capture(nn.Linear(2, 2), tg.zeros(1, 2))
    g.save(tmp_path / "net.html")
    assert "graph explorer" in (tmp_path / "net.html").read_text("utf-8")

"""Faults that graphs show: losses that broadcast, a softmax too many, parameters that nothing reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_cnn.graph.graph import Graph, GraphNode
from tinygrad_cnn.graph.run import Run

__all__ = ["Finding", "Reason", "lint", "why_no_grad"]


@dataclass(frozen=True)
class Finding:
    """What `Graph.lint` found: the rule's name, a sentence that says what to do, and the node (None: the model)."""

    rule: str
    message: str
    node: GraphNode | None = None

    def __str__(self) -> str:
        place = ""
        if self.node is not None:
            place = ", ".join(part for part in (self.node.path, self.node.where) if part)
        return f"{self.rule}: {self.message}{f' ({place})' if place else ''}"


def lint(graph: Graph) -> list[Finding]:
    """All findings, in the order of the nodes; an empty list where nothing is amiss."""
    found = [finding for rule in _RULES for finding in rule(graph)]
    return sorted(found, key=lambda finding: -1 if finding.node is None else finding.node.id)


_VIEWS = ("shape only",)
_DIFFERENCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


def _makers(graph: Graph, node: GraphNode) -> Iterator[GraphNode]:
    """The ops whose results go into the first argument of `node`, seen through ops that only change the shape."""
    sources = [graph[edge.source] for edge in graph.into(node)[:1]]
    for source in sources:
        if source.kind == "op" and source.family in _VIEWS:
            yield from _makers(graph, source)
        elif source.kind == "op":
            yield source


def _losses(graph: Graph, composite: str) -> Iterator[GraphNode]:
    """The first op of each call of a loss."""
    seen = set()
    for node in graph.ops:
        if node.composite == composite and node.run not in seen:
            seen.add(node.run)
            yield node


def _outer_makers(graph: Graph, node: GraphNode) -> Iterator[GraphNode]:
    return (maker for maker in _makers(graph, node) if (maker.composite, maker.run) != (node.composite, node.run))


def _softmax_before_loss(graph: Graph) -> Iterator[Finding]:
    for node in _losses(graph, "cross_entropy"):
        for maker in _outer_makers(graph, node):
            if maker.name in ("softmax", "log_softmax"):
                text = f"{maker.name} goes into cross_entropy, which takes logits and has its own: leave it out"
                yield Finding("softmax-before-cross-entropy", text, maker)
    for node in _losses(graph, "binary_cross_entropy_with_logits"):
        for maker in _outer_makers(graph, node):
            if maker.name == "sigmoid":
                text = "sigmoid goes into binary_cross_entropy_with_logits, which has its own: leave it out"
                yield Finding("softmax-before-cross-entropy", text, maker)


def _softmax_without_log(graph: Graph) -> Iterator[Finding]:
    for node in _losses(graph, "nll_loss"):
        for maker in _outer_makers(graph, node):
            if maker.name == "softmax":
                text = "softmax goes into nll_loss, which takes the logarithms of probabilities: log_softmax"
                yield Finding("softmax-before-nll-loss", text, maker)


def _relu_on_logits(graph: Graph) -> Iterator[Finding]:
    for node in _losses(graph, "cross_entropy"):
        for maker in _outer_makers(graph, node):
            if maker.name == "relu":
                text = (
                    "a ReLU on the logits: no class can score below 0, and classes at 0 get no gradient; leave it out"
                )
                yield Finding("relu-on-logits", text, maker)


def _broadcasting_loss(graph: Graph) -> Iterator[Finding]:
    for node in graph.ops:
        shapes = [shape for _, shape, _ in node.operands]
        if node.name != "sub" or len(shapes) != 2 or shapes[0] == shapes[1]:
            continue
        long, short = sorted(shapes, key=len, reverse=True)
        if node.composite in _DIFFERENCES or (
            len(long) == 2 and len(short) == 1 and long[1] == 1 and long[0] == short[0] > 1
        ):
            text = f"{shapes[0]} minus {shapes[1]} gives {node.shape}: they broadcast, give both one shape"
            yield Finding("loss-broadcasts", text, node)


def _unreached(graph: Graph) -> Iterator[Finding]:
    used = {node.name for node in graph.of_kind("parameter")}
    for name, parameter in [] if graph.model is None else graph.model.named_parameters():
        if name not in used and parameter.requires_grad:
            yield Finding("unused-parameter", f"{name} {parameter.shape} leads to no result, so it gets no gradient")


def _cut_off(graph: Graph) -> Iterator[Finding]:
    """Parameters that the result depends on, and from which no way is left for a gradient."""
    reached: set[int] = set()
    stack = [node.id for node in graph.of_kind("output") if node.tracked]
    if not stack:
        return
    while stack:
        node = graph[stack.pop()]
        reached.add(node.id)
        wanted = {argument for argument, _, flag in node.operands if flag}
        sources = [edge.source for edge in graph.into(node) if node.kind == "output" or edge.argument in wanted]
        stack += [i for i in sources if i not in reached]
    for node in graph.of_kind("parameter"):
        if node.trainable and node.id not in reached:
            reason = why_no_grad(graph, node.name)
            yield Finding("no-gradient", reason.message, reason.node)


def _bias_before_norm(graph: Graph) -> Iterator[Finding]:
    for node in graph.ops:
        users = [graph[edge.target] for edge in graph.out_of(node)]
        biased = any(name == "bias" for name, _, _ in node.operands) and node.name.startswith("conv")
        if biased and users and all("batch_norm" in (user.name, user.composite) for user in users):
            text = "the bias of a convolution before batch norm does nothing, the mean takes it away: bias=False"
            yield Finding("bias-before-batch-norm", text, node)


def _old_gradients(graph: Graph) -> Iterator[Finding]:
    parameters = [] if graph.model is None else list(graph.model.named_parameters())
    held = [name for name, parameter in parameters if parameter.grad is not None]
    if held:
        text = f"{len(held)} parameters hold gradients of an earlier backward, the next adds to them: zero_grad() first"
        yield Finding("old-gradients", text)


def _raw_input(graph: Graph) -> Iterator[Finding]:
    nodes = iter(graph.of_kind("input"))
    for value in () if graph.origin is None else graph.origin.inputs:
        array = np.asarray(getattr(value, "_array", value))
        node = next((n for n in nodes if n.shape == array.shape), None)
        if array.dtype.kind != "f" or array.ndim < 2 or not array.size or not np.isfinite(array).all():
            continue
        if float(array.max() - array.min()) > 30 or abs(float(array.mean())) > 10:
            text = f"the input goes from {array.min():.4g} to {array.max():.4g}: bring it to mean 0 and deviation 1"
            yield Finding("input-not-normalised", text, node)


_RULES: tuple[Callable[[Graph], Iterator[Finding]], ...] = (
    _softmax_before_loss, _softmax_without_log, _relu_on_logits, _broadcasting_loss, _unreached, _cut_off,
    _bias_before_norm, _old_gradients, _raw_input,
)  # fmt: skip


# ---- why a parameter has no gradient -----------------------------------------------------------------------


@dataclass(frozen=True)
class Reason:
    """Why a parameter gets no gradient: a kind, a sentence, the path of nodes from it, and the node where it ends.

    kind: "unused", "frozen", "detached", "integers", "no rule", "no_grad", "dead relu", "saturated", "zero", or "none"
    where the parameter does get a gradient.
    """

    kind: str
    message: str
    path: tuple[GraphNode, ...] = ()
    node: GraphNode | None = None

    def __str__(self) -> str:
        way = " -> ".join(n.path if n.kind == "op" and n.path else n.name for n in self.path)
        return f"{self.message}{f'; the way: {way}' if way else ''}"


def why_no_grad(graph: Graph, parameter: Any) -> Reason:
    """See `Graph.why_no_grad`."""
    name = parameter if isinstance(parameter, str) else _name_of(graph, parameter)
    known = {} if graph.model is None else dict(graph.model.named_parameters())
    starts = [n for n in graph.nodes if n.kind in ("parameter", "input") and n.name == name]
    if not starts:
        if name in known:
            return Reason("unused", f"{name} leads to no result: no op that matters uses it")
        near = ", ".join(n.name for n in graph.of_kind("parameter")[:6])
        raise KeyError(f"graph.why_no_grad: {name!r} is no parameter of this graph, there are {near}")
    start = starts[0]
    if not start.tracked:
        return Reason("frozen", f"{name} has requires_grad=False", (start,), start)
    way, ends = _ways(graph, start)
    if not any(graph[i].kind == "output" for i in way):
        return _broken(graph, name, start, way, ends)
    return _faded(graph, name, start)


def _name_of(graph: Graph, parameter: Any) -> str:
    pairs = [] if graph.model is None else graph.model.named_parameters()
    found = [name for name, p in pairs if p is parameter]
    if not found:
        raise KeyError("graph.why_no_grad: this tensor is no parameter of the graph's model; give its name")
    return found[0]


def _ways(graph: Graph, start: GraphNode) -> tuple[dict[int, int], list[tuple[int, GraphNode]]]:
    """Where gradients can flow from: each node with the one before it; and the places where the flow is cut."""
    before = {start.id: -1}
    ends: list[tuple[int, GraphNode]] = []
    stack = [start.id]
    while stack:
        number = stack.pop()
        for edge in graph.out_of(graph[number]):
            target = graph[edge.target]
            wanted = {argument: flag for argument, _, flag in target.operands}
            flows = target.tracked if target.kind == "output" else wanted.get(edge.argument, False)
            if flows and target.id not in before:
                before[target.id] = number
                stack.append(target.id)
            elif not flows:
                ends.append((number, target))
    return before, ends


def _trail(graph: Graph, before: dict[int, int], end: int) -> tuple[GraphNode, ...]:
    found = []
    while end >= 0:
        found.append(graph[end])
        end = before[end]
    return tuple(reversed(found))


def _broken(
    graph: Graph, name: str, start: GraphNode, way: dict[int, int], ends: list[tuple[int, GraphNode]]
) -> Reason:
    if not ends:
        return Reason("unused", f"{name} leads to no result", (start,), start)
    last, node = min(ends, key=lambda end: end[1].id)
    trail = (*_trail(graph, way, last), node)
    at = f"{node.name} at {node.where}"
    if node.kind == "output" or (node.kind == "op" and node.tracked):
        place = "the result" if node.kind == "output" else at
        return Reason("detached", f"{name}: its way ends before {place}: a detach() cut it", trail, node)
    if np.dtype(node.dtype).kind != "f":
        kind, why = "integers", f"gives {node.dtype}, which carry no gradient"
    elif node.name in ("argmax", "argmin", "sign", "round"):
        kind, why = "no rule", "has no gradient"
    else:
        kind, why = "no_grad", "ran without recording, or on a detached tensor: no_grad() or detach()"
    return Reason(kind, f"{name}: its way ends in {at}, which {why}", trail, node)


def _faded(graph: Graph, name: str, start: GraphNode) -> Reason:
    """Gradients can flow: run backward, and look where they become 0."""
    run: Run = graph.run()
    run.backward(run.seed())
    slope = run[start.id].grad
    if slope is not None and slope.any():
        size = float(np.linalg.norm(np.asarray(slope, np.float64)))
        return Reason("none", f"{name} does get a gradient, of norm {size:.3g}", (start,))
    before, _ = _ways(graph, start)
    for number in sorted(before, reverse=True):
        node = graph[number]
        if node.kind != "op" or not _alive(run, number):
            continue
        sources = [e.source for e in graph.into(node) if e.source in before]
        if sources and not any(_alive(run, i) for i in sources):
            kind, why = _cause(run, node)
            return Reason(kind, f"{name}: its gradient becomes 0 in {node.name} at {node.where}: {why}",
                          _trail(graph, before, number), node)  # fmt: skip
    return Reason("zero", f"{name}: its gradient is 0 from the start: the result does not depend on it here", (start,))


def _alive(run: Run, number: int) -> bool:
    slope = (run.gradients or {}).get(number)
    return slope is not None and bool(slope.any())


def _cause(run: Run, node: GraphNode) -> tuple[str, str]:
    if node.name == "relu":
        return "dead relu", "all its inputs that count are 0 or less, a dead ReLU"
    if node.name in ("sigmoid", "tanh", "softmax", "log_softmax", "softmax_cross_entropy", "hardtanh", "erf"):
        return "saturated", "it is saturated, flat to the last digit"
    return "zero", "its slope is 0 for all that came in"

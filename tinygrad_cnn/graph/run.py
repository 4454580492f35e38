"""A graph run once more with its values kept: look inside, run backward, measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_cnn import autograd, locks
from tinygrad_cnn.autograd import Variable, sum_to
from tinygrad_cnn.graph.build import Captured, run_once
from tinygrad_cnn.graph.graph import Gradient, Graph, GraphNode
from tinygrad_cnn.graph.labels import count
from tinygrad_cnn.graph.record import Call
from tinygrad_cnn.modes import Observer, watched_by
from tinygrad_cnn.tensor import Tensor

__all__ = ["Moment", "Run", "profile", "run"]


class Moment:
    """One node of a run: its `node`, its values `out`, and, once backward has run, their gradient `grad`."""

    def __init__(self, run: Run, node: GraphNode) -> None:
        self.node = node
        self._run = run

    @property
    def out(self) -> np.ndarray[Any, Any]:
        """The values that the node made, a read-only ndarray."""
        return self._run.values[self.node.id]

    @property
    def grad(self) -> np.ndarray[Any, Any] | None:
        """The gradient of `out`, None where none flows. RuntimeError before backward has run."""
        if self._run.gradients is None:
            raise RuntimeError("graph.run: backward has not run; call run.backward() first")
        return self._run.gradients.get(self.node.id)

    def __repr__(self) -> str:
        return f"<{self.node.name} {self.node.path} {self.node.shape}>"


class Run:
    """One run of a captured graph, with all its values.

    `run["conv1"]` is the last op of that module's first call, `run["conv1", 1]` of its second; `run["relu"]` is the
    first op of that name, `run["relu", 2]` the third; a parameter or input goes by its name, any node by its number.
    `graph` is the graph of this run: its pictures show the gradients once `backward()` was called.
    """

    def __init__(self, captured: Captured) -> None:
        self.graph = graph = captured.graph
        self.outputs = captured.outputs
        self.calls = captured.calls
        self.leaves = captured.leaves
        self.values: dict[int, np.ndarray[Any, Any]] = {
            **{number: locks.lend(call.array) for number, call in self.calls.items()},
            **{number: locks.lend(leaf._array) for number, leaf in self.leaves.items()},
        }
        self.gradients: dict[int, np.ndarray[Any, Any]] | None = None
        for node in graph.of_kind("output"):
            (edge,) = graph.into(node)
            if edge.source in self.values:
                self.values[node.id] = self.values[edge.source]

    def __getitem__(self, key: Any) -> Moment:
        name, index = key if isinstance(key, tuple) else (key, 0)
        found = self._find(name)
        if not found:
            raise KeyError(f"graph.run: no node is called {name!r}; print(run.graph) lists them")
        if not -len(found) <= index < len(found):
            raise IndexError(f"graph.run: there are {len(found)} of {name!r}, index {index} is none of them")
        return Moment(self, found[index])

    def _find(self, name: Any) -> list[GraphNode]:
        nodes = self.graph.nodes
        if isinstance(name, int):
            return [nodes[name]] if 0 <= name < len(nodes) else []
        inside = [n for n in self.graph.ops if n.path == name or n.path.startswith(f"{name}.")] if name else []
        calls: dict[int, GraphNode] = {}
        for node in inside:
            calls[node.call if node.path == name else 0] = node
        if calls:
            return list(calls.values())
        return [node for node in nodes if node.name == name]

    def backward(self, gradient: Any = None) -> Run:
        """Run backward from the result, and keep every gradient; nobody's `.grad` changes. Returns the run itself.

        gradient: of the result, needed unless that is one number. RuntimeError where the result needs no gradient.
        """
        output = self._output()
        watch = _Gradients(self.graph, self.calls)
        leaves = {number: leaf for number, leaf in self.leaves.items() if leaf.tracked}
        with watched_by(watch):
            found = autograd.grad(
                output, list(leaves.values()), None if gradient is None else [gradient],
                retain_graph=True, allow_unused=True,
            ) if leaves else ()  # fmt: skip
        arrays = watch.nodes
        for number, slope in zip(leaves, found, strict=True):
            if slope is not None:
                arrays[number] = slope._array
        for node in self.graph.of_kind("output"):
            (edge,) = self.graph.into(node)
            if edge.source in arrays:
                arrays[node.id] = arrays[edge.source]
        self.gradients = arrays
        self.graph.gradients = watch.edges(arrays)
        return self

    def seed(self) -> Any:
        """Ones in the shape of the result, with which backward can start; None where it is one number already."""
        out = self._output()
        return None if out._array.size == 1 else np.ones(out.shape, out.dtype)

    def _output(self) -> Any:
        found = self.outputs
        while isinstance(found, (tuple, list)) and found:
            found = found[0]
        if not isinstance(found, Variable):
            raise RuntimeError("graph.run: the function's first result is no Tensor, so backward has no start")
        if not found.tracked:
            raise RuntimeError("graph.run: the result requires no grad, so backward has nothing to do")
        return found

    def __repr__(self) -> str:
        state = "backward has not run" if self.gradients is None else "backward has run"
        return f"<Run of {self.graph.title}: {count(len(self.calls), 'op')}, {state}>"


class _Gradients(Observer):
    """Keeps the gradient of each node, and how much of it goes along each edge."""

    def __init__(self, graph: Graph, calls: Mapping[int, Call]) -> None:
        self.graph = graph
        self.numbers = {id(call.node): number for number, call in calls.items() if call.node is not None}
        self.nodes: dict[int, np.ndarray[Any, Any]] = {}
        self.norms: dict[tuple[int, str], float] = {}

    def stepped(self, node: Any, g: Any, wants: tuple[bool, ...], gradients: Sequence[Any]) -> None:
        number = self.numbers.get(id(node))
        if number is None:
            return
        self.nodes[number] = np.array(g)
        target = self.graph[number]
        for (argument, shape, _), gradient in zip(_all_operands(target, node), gradients, strict=False):
            if gradient is not None:
                gradient = np.asarray(gradient)
                if gradient.shape != shape:
                    gradient = sum_to(gradient, shape=shape)
                self.norms[number, argument] = norm(gradient)

    def edges(self, arrays: Mapping[int, Any]) -> dict[tuple[int, int, str], Gradient]:
        """The gradients along the edges: by source, target and argument."""
        found = {}
        for edge in self.graph.edges:
            if self.graph[edge.target].kind == "output" and edge.source in arrays:
                found[edge.source, edge.target, edge.argument] = Gradient(edge.shape, norm(arrays[edge.source]))
            elif (edge.target, edge.argument) in self.norms:
                value = self.norms[edge.target, edge.argument]
                found[edge.source, edge.target, edge.argument] = Gradient(edge.shape, value)
        return found


def norm(array: Any) -> float:
    """The Euclidean norm of all elements; NaN or inf only where they hold one, or where it is too large for a float."""
    values = np.abs(np.asarray(array, np.float64))
    largest = float(values.max(initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.square(values / largest).sum()))


def _all_operands(target: GraphNode, node: Any) -> list[tuple[str, tuple[int, ...], bool]]:
    """A node's array arguments in their order, also those that were None and so are not in the graph."""
    known = {name: (name, shape, wanted) for name, shape, wanted in target.operands}
    if node.op.variadic:
        return list(target.operands)
    return [known.get(name, (name, (), False)) for name in node.op.arguments]


def run(graph: Graph, inputs: tuple[Any, ...]) -> Run:
    """Run a captured graph again; see `Graph.run`."""
    origin = graph.origin
    if origin is None:
        raise RuntimeError("graph.run: this graph was not made by graph.capture, so there is no function to run")
    if inputs and len(inputs) != len(origin.inputs):
        raise ValueError(f"graph.run: {len(inputs)} inputs are given, the graph was captured with {len(origin.inputs)}")
    return Run(run_once(origin if not inputs else origin.with_inputs(inputs)))


# ---- time --------------------------------------------------------------------------------------------------


class _Stopwatch(Observer):
    """Times each call by calling it again, alone, several times."""

    def __init__(self, repeats: int) -> None:
        self.repeats = repeats
        self.forward: list[float] = []
        self.backward: dict[int, float] = {}

    def computed(self, op: Any, inputs: Sequence[Any], params: dict[str, Any], out: Any) -> None:
        arguments = dict(zip(op.arguments, inputs, strict=False))
        if op.variadic:
            self.forward.append(self._time(lambda: op(*inputs, **params)))
        else:
            self.forward.append(self._time(lambda: op(**arguments, **params)))

    def stepped(self, node: Any, g: Any, wants: tuple[bool, ...], gradients: Sequence[Any]) -> None:
        self.backward[id(node)] = self._time(lambda: node.op.gradients(node, g, wants, False))

    def _time(self, function: Callable[[], Any]) -> float:
        times = []
        with watched_by(None):
            for _ in range(self.repeats):
                start = time.perf_counter()
                function()
                times.append(time.perf_counter() - start)
        return sorted(times)[len(times) // 2]


def profile(graph: Graph, inputs: tuple[Any, ...], repeats: int) -> Graph:
    """The graph of a new run with the measured seconds of each node; see `Graph.profile`."""
    if repeats < 1:
        raise ValueError(f"graph.profile: repeats is {repeats}, expected at least 1")
    watch = _Stopwatch(repeats)
    with watched_by(watch):
        made = run(graph, inputs)
    forward = {number: watch.forward[call.position] for number, call in made.calls.items()}
    found = made.graph
    if isinstance(made.outputs, Tensor) and made.outputs.tracked:
        with watched_by(watch):
            made.backward(made.seed())
    numbers = {id(call.node): number for number, call in made.calls.items() if call.node is not None}
    backward = {numbers[key]: seconds for key, seconds in watch.backward.items() if key in numbers}
    found.measures = {
        **found.measures,
        "time forward": forward,
        "time backward": backward,
        "time": {i: forward.get(i, 0.0) + backward.get(i, 0.0) for i in forward},
    }
    return found

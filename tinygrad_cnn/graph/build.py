"""From recorded nodes to a Graph: `of` takes what a tensor remembers, `capture` runs a model to make it remember."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_cnn.autograd import Node, Variable, enable_grad
from tinygrad_cnn.graph.graph import Edge, Graph, GraphNode, Kind, ModuleInfo
from tinygrad_cnn.graph.style import family_of
from tinygrad_cnn.nn.module import Module
from tinygrad_cnn.nn.parameter import Parameter
from tinygrad_cnn.random import default_generator
from tinygrad_cnn.source import line_number
from tinygrad_cnn.tensor import Tensor

__all__ = ["capture", "of"]


def of(
    outputs: Any, *, model: Module | None = None, names: Mapping[str, Variable] | None = None, title: str | None = None
) -> Graph:
    """The graph of how `outputs` (a Tensor, or tuples, lists and dicts of them) came to be.

    model: gives the parameters their names and the modules their classes. names: tensors that should stand in the
    picture under these names, as inputs. Values that need no gradient leave no trace; `capture` shows them.
    Errors: ValueError when nothing was recorded, RuntimeError when a backward has used the graph up.

    >>> import tinygrad_cnn as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> [node.name for node in tg.graph.of((w * w).sum(), names={"w": w}).nodes]
    ['w', 'mul', 'sum', 'loss']
    """
    found = list(_tensors(outputs, ""))
    tracked = [(name, tensor) for name, tensor in found if tensor.tracked]
    if not tracked:
        raise ValueError(
            f"graph.of: {len(found)} tensors, and none of them requires grad, so nothing recorded how they were made; "
            "graph.capture(function, *inputs) records"
        )
    builder = _Builder(model, dict(names or {}))
    builder.add_all([tensor for _, tensor in tracked])
    for name, tensor in tracked:
        builder.add_output(name, tensor)
    if title is None:
        title = type(model).__name__ if model is not None else "output"
    return Graph(builder.nodes, builder.edges, builder.modules, title)


def capture(
    function: Callable[..., Any],
    *inputs: Any,
    model: Module | None = None,
    names: Mapping[str, Variable] | None = None,
    title: str | None = None,
    **kwargs: Any,
) -> Graph:
    """Run a Module or function on `inputs` (Tensors or arrays) once, and return the graph of its results.

    The run leaves no trace: buffers (running statistics) and the random stream are put back, nobody's `.grad` changes.
    model: gives the names of parameters where `function` is not itself a Module; names: names of more tensors.
    kwargs go to the function.

    >>> import tinygrad_cnn as tg
    >>> g = tg.graph.capture(tg.nn.Linear(3, 2), tg.zeros(5, 3))
    >>> [node.name for node in g.nodes]
    ['input', 'weight', 'bias', 'linear', 'output']
    """
    model = function if isinstance(function, Module) else model
    arguments = {name: _leaf(value) for name, value in zip(_names(function, len(inputs)), inputs, strict=True)}
    with _undisturbed(model), enable_grad():
        outputs = function(*arguments.values(), **kwargs)
    known = {name: value for name, value in (kwargs | arguments).items() if isinstance(value, Variable)}
    if title is None:
        title = type(model).__name__ if model is not None else getattr(function, "__name__", "function")
    return of(
        outputs, model=model, names={**(names or {}), **known}, title="function" if title == "<lambda>" else title
    )


class _Builder:
    """Nodes and edges under construction; what has been seen is found by identity, and numbered in order."""

    def __init__(self, model: Module | None, inputs: Mapping[str, Any]) -> None:
        self.nodes: list[GraphNode] = []
        self.edges: list[Edge] = []
        self.ids: dict[int, int] = {}
        self.calls: dict[str, tuple[Any, int]] = {}  # each module's first op, and its latest call
        self.place: Any = None  # where the latest op stands
        self.modules: dict[str, ModuleInfo] = {}
        self.names: dict[int, tuple[str, Kind]] = {}  # of tensors, by id
        self.owners: dict[int, Any] = {}  # the tensors with names, by the ids of their arrays
        if model is not None:
            self.modules = {
                path: ModuleInfo(type(module).__name__, module.extra_repr(), _is_layer(module))
                for path, module in model.named_modules()
            }
            self._know("buffer", model.named_buffers())
            self._know("parameter", model.named_parameters())
        for name, tensor in inputs.items():
            self._know("parameter" if isinstance(tensor, Parameter) else "input", [(name, tensor)])

    def _know(self, kind: Kind, tensors: Iterable[tuple[str, Any]]) -> None:
        for name, tensor in tensors:
            self.names[id(tensor)] = name, kind
            self.owners[id(tensor.array)] = tensor

    def add_all(self, outputs: Sequence[Any]) -> None:
        """Add every op that the outputs depend on, each after the leaves that it is the first to use."""
        for node in _recorded([tensor.edge for tensor in outputs]):
            self._add_op(node)

    def add_output(self, name: str, tensor: Any) -> None:
        source = self._source(tensor.edge, "", "")
        is_loss = tensor.shape == () and self.nodes[source].family == "reduction, loss"
        label = name or ("loss" if is_loss else "output")
        self._append("output", label, tensor, path="")
        self._connect(source, "")

    def _connect(self, source: int, argument: str) -> None:
        """An edge from a node to the newest one."""
        made = self.nodes[source]
        self.edges.append(Edge(source, len(self.nodes) - 1, argument, made.shape, made.dtype, made.nbytes))

    def _add_op(self, node: Node) -> None:
        assert node.edges is not None
        sources: list[tuple[int, str]] = []
        constants: dict[str, str] = {}
        for i, edge in enumerate(node.edges):
            argument, value = _argument(node, i)
            if edge is not None:
                sources.append((self._source(edge, argument, node.path), argument))
            elif id(value) in self.owners:
                sources.append((self._source(self.owners[id(value)], argument, node.path), argument))
            elif value is not None:
                constants[argument] = _in_words(value)
        params = {name: plain(value) for name, value in node.params.items()}
        defaults = {name: plain(value) for name, value in node.op.defaults.items()}
        self.ids[id(node)] = self._append(
            "op",
            node.op.name,
            node,
            family=family_of(node.op),
            path=node.path,
            call=self._call(node, sources),
            composite=node.label,
            params=params,
            changed=tuple(name for name, value in params.items() if defaults.get(name, params) != value),
            constants=constants,
            site=node.instruction,
            where=f"{os.path.basename(node.code.co_filename)}:{line_number(node.code, node.instruction)}",
        )
        for source, argument in sources:
            self._connect(source, argument)

    def _source(self, edge: Any, argument: str, path: str) -> int:
        """The number of what an edge comes from; a leaf that is met for the first time is added."""
        if id(edge) not in self.ids:
            name, kind = self.names.get(id(edge), ("", "input"))
            if isinstance(edge, Parameter) and not name:
                name, kind = f"{path}.{argument}".strip("."), "parameter"
            leaves = sum(node.kind == "input" for node in self.nodes)
            owner = name.rpartition(".")[0] if kind != "input" else ""
            self.ids[id(edge)] = self._append(
                kind, name or f"leaf {leaves + 1}", edge, path=owner, trainable=edge.tracked and kind == "parameter"
            )
        return self.ids[id(edge)]

    def _append(self, kind: Kind, name: str, what: Any, **more: Any) -> int:
        id = len(self.nodes)
        dtype = np.dtype(what.dtype)
        self.nodes.append(GraphNode(id, kind, name, tuple(what.shape), dtype.name, dtype.itemsize, **more))
        return id

    def _call(self, node: Node, sources: list[tuple[int, str]]) -> int:
        """Which call of its module an op belongs to: a new one begins when the module's first op comes again.

        A composite may hold that op several times over; it then goes on, and no new call begins.
        """
        mark = node.op.name, tuple(source for source, _ in sources if self.nodes[source].kind == "parameter")
        place = node.path, node.label, node.instruction
        goes_on = bool(node.label) and place == self.place
        self.place = place
        first, call = self.calls.setdefault(node.path, (mark, -1))
        if mark == first and node.path and not goes_on:
            call += 1
            self.calls[node.path] = first, call
        return max(call, 0)


def _is_layer(module: Module) -> bool:
    """Whether a module is one of the package's layers, rather than a container or a model."""
    return type(module).__module__.startswith("tinygrad_cnn.nn.") and not any(True for _ in module.children())


def _recorded(edges: list[Any]) -> list[Node]:
    """The recorded calls from which the edges came, oldest first."""
    nodes: dict[int, Node] = {}
    stack = list(edges)
    while stack:
        edge = stack.pop()
        if not isinstance(edge, Node) or id(edge) in nodes:
            continue
        if edge.edges is None:
            raise RuntimeError(
                f"graph.of: the graph of {edge.op.name} at {edge.where} is gone, a backward has used it up; "
                "take the graph before, or pass retain_graph=True to that backward"
            )
        nodes[id(edge)] = edge
        stack.extend(edge.edges)
    return sorted(nodes.values(), key=lambda node: node.seq)


def _argument(node: Node, i: int) -> tuple[str, Any]:
    """The name of a node's i-th array argument, and its value where the node has kept it."""
    names = node.op.arguments
    if not node.op.variadic:
        return names[i], node.saved.get(names[i])
    lead = len(names) - 1
    if i < lead:
        return names[i], node.saved.get(names[i])
    kept = node.saved.get(names[-1])
    return f"{names[-1]}[{i - lead}]", kept[i - lead] if kept is not None else None


def plain(value: Any) -> Any:
    """A static parameter as plain values that print and compare the same in every process."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list)):
        return tuple(plain(x) for x in value)
    return _in_words(value)


def _in_words(value: Any) -> str:
    """A value that is no number, string or tuple, in one or two words; objects in angle brackets."""
    if isinstance(value, slice):
        ends = ["" if x is None else str(x) for x in (value.start, value.stop, value.step)]
        return ":".join(ends[:2] if value.step is None else ends)
    if value is Ellipsis:
        return "..."
    if isinstance(value, (Variable, np.ndarray)):
        return f"{value.dtype.name} {value.shape}" if value.shape else f"{value.item()!r}"  # type: ignore[union-attr]
    if isinstance(value, (int, float, np.generic)):
        return f"{value:.6g}"
    if isinstance(value, (np.dtype, type)):
        return np.dtype(value).name if isinstance(value, np.dtype) else value.__name__
    return f"<{type(value).__name__}>"


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The tensors in nested tuples, lists and dicts, with the keys that lead to them."""
    if isinstance(value, Variable):
        yield name, value
        return
    items = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, (tuple, list)) else ()
    )
    for key, item in items:
        yield from _tensors(item, f"{name}.{key}" if name else f"output {key}" if isinstance(key, int) else str(key))


def _leaf(value: Any) -> Any:
    """An input as a leaf of its own, that requires grad if it can, so that everything after it is recorded."""
    if not isinstance(value, (Variable, np.ndarray)):
        return value
    leaf = Tensor(value.array if isinstance(value, Variable) else value)
    return leaf.requires_grad_(leaf.dtype.kind == "f")


def _names(function: Callable[..., Any], count: int) -> list[str]:
    """The names of a function's first positional arguments."""
    target = function.forward if isinstance(function, Module) else function
    names: list[str] = []
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{i}]" for i in range(count - len(names))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    names += [f"input {i}" for i in range(len(names), count)]
    return names[:count]


@contextmanager
def _undisturbed(model: Module | None) -> Iterator[None]:
    """Afterwards the model's buffers and the random stream are as they were."""
    stream = default_generator.get_state()
    buffers = [] if model is None else [(buffer, buffer.array.copy()) for _, buffer in model.named_buffers()]
    try:
        yield
    finally:
        default_generator.set_state(stream)
        for buffer, values in buffers:
            buffer.array = values

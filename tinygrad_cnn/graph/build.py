"""From recorded nodes to a Graph: `of` takes what a tensor remembers, `capture` runs a model to make it remember."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_cnn.autograd import Node, Variable, enable_grad
from tinygrad_cnn.graph.graph import Edge, Graph, GraphNode, Kind, ModuleInfo
from tinygrad_cnn.graph.labels import arguments_in
from tinygrad_cnn.graph.record import Call, Recorder, calls_of_nodes, leading_up_to
from tinygrad_cnn.graph.style import family_of
from tinygrad_cnn.locks import owner_of
from tinygrad_cnn.modes import watched_by
from tinygrad_cnn.nn.module import Module
from tinygrad_cnn.nn.parameter import Parameter
from tinygrad_cnn.random import default_generator
from tinygrad_cnn.source import line_number
from tinygrad_cnn.tensor import Tensor

__all__ = ["Captured", "Origin", "capture", "of", "run_once"]


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
    nodes = _recorded([tensor.edge for _, tensor in tracked])
    calls = calls_of_nodes(nodes)
    made = {id(node): call for node, call in zip(nodes, calls, strict=True)}
    builder = _Builder(model, dict(names or {}))
    builder.add_all(calls)
    for name, tensor in tracked:
        builder.add_output(name, tensor, made.get(id(tensor.edge), tensor))
    if title is None:
        title = type(model).__name__ if model is not None else "output"
    return builder.graph(title)


def capture(
    function: Callable[..., Any],
    *inputs: Any,
    model: Module | None = None,
    names: Mapping[str, Variable] | None = None,
    title: str | None = None,
    on_error: str = "raise",
    **kwargs: Any,
) -> Graph:
    """Run a Module or function on `inputs` (Tensors or arrays) once, and return the graph of its results.

    Everything that led to a result is in it, also what ran without gradients. The run leaves no trace: buffers
    (running statistics) and the random stream are put back, nobody's `.grad` changes.
    model: gives the names of parameters where `function` is not itself a Module; names: names of more tensors.
    on_error: "raise", or "draw": a run that fails gives the graph up to the op that failed, which is drawn in red.
    kwargs go to the function.

    >>> import tinygrad_cnn as tg
    >>> g = tg.graph.capture(tg.nn.Linear(3, 2), tg.zeros(5, 3))
    >>> [node.name for node in g.nodes]
    ['input', 'weight', 'bias', 'linear', 'output']
    """
    if on_error not in ("raise", "draw"):
        raise ValueError(f"graph.capture: on_error is {on_error!r}, expected one of raise, draw")
    if not callable(function):
        raise TypeError(f"graph.capture: the model is {type(function).__name__}, expected a Module or a function")
    if isinstance(function, type) and issubclass(function, Module):
        raise TypeError(f"graph.capture: {function.__name__} is a class, expected a Module made of it")
    origin = Origin(
        function, inputs, kwargs, model if not isinstance(function, Module) else function, dict(names or {}), title
    )
    return run_once(origin, on_error).graph


@dataclass(frozen=True)
class Origin:
    """What a captured graph came from, so that it can run again: the function, its arguments, names for the picture."""

    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    kwargs: dict[str, Any]
    model: Module | None
    names: dict[str, Variable]
    title: str | None

    def with_inputs(self, inputs: tuple[Any, ...]) -> Origin:
        """The same function on other inputs."""
        return replace(self, inputs=inputs)


@dataclass(frozen=True)
class Captured:
    """A graph with the values that it was made of: calls and leaves by the numbers of their nodes, and the result."""

    graph: Graph
    calls: dict[int, Call]
    leaves: dict[int, Any]
    outputs: Any


def run_once(origin: Origin, on_error: str = "raise") -> Captured:
    """Run what `origin` says, watched.

    The inputs of a model with trainable parameters are taken as they are; those of anything else require grad, so
    that there is a backward to speak of.
    """
    model = origin.model
    tracked = model is None or not any(p.requires_grad for p in model.parameters())
    _check_inputs(origin)
    names = _names(origin.function, len(origin.inputs))
    arguments = {name: _leaf(value, tracked) for name, value in zip(names, origin.inputs, strict=True)}
    recorder = Recorder()
    outputs, failure = None, None
    with _undisturbed(origin.model), enable_grad(), watched_by(recorder):
        try:
            outputs = origin.function(*arguments.values(), **origin.kwargs)
        except Exception as error:
            lacks = isinstance(error, AttributeError) or "expected a tensor" in str(error)
            odd = _odd_input(arguments) if lacks else ""
            if odd:
                raise TypeError(f"graph.capture: {odd}, expected a Tensor or an array") from error
            if on_error == "raise":
                raise
            failure = error
    known = {name: value for name, value in (origin.kwargs | arguments).items() if isinstance(value, Variable)}
    builder = _Builder(origin.model, {**origin.names, **known})
    found = [(name, tensor, recorder.source(tensor)) for name, tensor in _tensors(outputs, "")]
    if failure is None:
        if not found:
            raise ValueError("graph.capture: the function returned no Tensor, expected one, or several in a container")
        builder.add_all(leading_up_to(recorder.calls, [s for _, _, s in found if type(s) is Call]))
        for name, tensor, source in found:
            builder.add_output(name, tensor, source)
    else:
        ends = recorder.calls[-1:]
        builder.add_all(leading_up_to(recorder.calls, ends))
        builder.add_failure(failure, ends[0] if ends else next(iter(known.values()), None))
    title = origin.title or _title(origin)
    calls = {number: call for call, number in builder.numbers.items()}
    return Captured(builder.graph(title, origin), calls, builder.leaf_of, outputs)


def _title(origin: Origin) -> str:
    if origin.model is not None:
        return type(origin.model).__name__
    name = getattr(origin.function, "__name__", "function")
    return "function" if name == "<lambda>" else name


class _Builder:
    """Nodes and edges under construction; what has been seen is found by identity, and numbered in order."""

    def __init__(self, model: Module | None, inputs: Mapping[str, Any]) -> None:
        self.model = model
        self.nodes: list[GraphNode] = []
        self.edges: list[Edge] = []
        self.numbers: dict[Call, int] = {}
        self.leaves: dict[int, int] = {}  # by the leaf's id
        self.leaf_of: dict[int, Any] = {}
        self.unnamed = 0
        self.calls: dict[str, tuple[Any, int]] = {}  # each module's first op, and its latest call
        self.place: Any = None  # where the latest op stands
        self.runs: dict[int, int] = {}  # numbers of the composites' calls here, by those in the whole process
        self.modules: dict[str, ModuleInfo] = {}
        self.names: dict[int, tuple[str, Kind]] = {}  # of tensors, by id
        self.owners: dict[int, Any] = {}  # the tensors with names, by the ids of their arrays
        self.memory: dict[int, int] = {}  # numbers of the memory blocks that backward needs; 0 for the leaves' own
        if model is not None:
            self.modules = {
                path: ModuleInfo(type(module).__name__, _told(module), _is_layer(module))
                for path, module in model.named_modules()
            }
            self._know("buffer", model.named_buffers())
            self._know("parameter", model.named_parameters())
        for name, tensor in inputs.items():
            self._know("parameter" if isinstance(tensor, Parameter) else "input", [(name, tensor)])

    def _know(self, kind: Kind, tensors: Iterable[tuple[str, Any]]) -> None:
        for name, tensor in tensors:
            self.names[id(tensor)] = name, kind
            self.owners[id(tensor._array)] = tensor
            self.memory[id(owner_of(tensor._array))] = 0

    def graph(self, title: str, origin: Origin | None = None) -> Graph:
        return Graph(self.nodes, self.edges, self.modules, title, origin=origin, model=self.model)

    def add_all(self, calls: Iterable[Call]) -> None:
        """Add every call, each after the leaves that it is the first to use."""
        for call in calls:
            self._add_op(call)

    def add_output(self, name: str, tensor: Any, source: Any) -> None:
        number = self._source(source, "", "")
        is_loss = tensor.shape == () and self.nodes[number].family == "reduction, loss"
        label = name or ("loss" if is_loss else "output")
        self._append("output", label, tensor, path="", tracked=tensor.tracked)
        self._connect(number, "")

    def add_failure(self, error: Exception, last: Any) -> None:
        """The end of a run that failed outside the ops: in a module's or a function's own checks."""
        if type(last) is Call and last.error:
            return
        nothing = np.zeros(0, np.float32)
        source = None if last is None else self._source(last, "", "")
        text = f"{type(error).__name__}: {error}"
        self._append("op", "error", nothing, family="other op", error=text)
        if source is not None:
            self._connect(source, "")

    def _connect(self, source: int, argument: str) -> None:
        """An edge from a node to the newest one."""
        made = self.nodes[source]
        self.edges.append(Edge(source, len(self.nodes) - 1, argument, made.shape, made.dtype, made.nbytes))

    def _add_op(self, call: Call) -> None:
        sources: list[tuple[int, str]] = []
        constants: dict[str, str] = {}
        for argument, source in call.sources:
            if isinstance(source, np.ndarray):
                source = self.owners.get(id(source), source)
            elif isinstance(source, Variable) and not source.tracked:
                source = self.owners.get(id(source._array), source)
            leaf = isinstance(source, Variable) and (source.tracked or id(source) in self.names)
            if leaf or isinstance(source, Call):
                sources.append((self._source(source, argument, call.path), argument))
            elif source is not None:
                constants[argument] = _in_words(source)
        params = {name: plain(value) for name, value in call.params.items()}
        defaults = {name: plain(value) for name, value in call.op.defaults.items()}
        self.numbers[call] = self._append(
            "op",
            call.op.name,
            call,
            family=family_of(call.op),
            path=call.path,
            call=self._module_call(call, sources),
            composite=call.label[0] if call.label else "",
            run=self.runs.setdefault(call.label[1], len(self.runs) + 1) if call.label else 0,
            params=params,
            changed=tuple(name for name, value in params.items() if defaults.get(name, params) != value),
            constants=constants,
            where=f"{os.path.basename(call.code.co_filename)}:{line_number(call.code, call.instruction)}",
            tracked=call.node is not None,
            operands=tuple(_operand(call, i) for i in range(len(call.sources)) if call.sources[i][1] is not None),
            saved=self._saved(call.node),
            block=-1 if call.array is None else self._block(owner_of(call.array)),
            error=call.error,
            picks=_picks(call),
        )
        for source, argument in sources:
            self._connect(source, argument)

    def _saved(self, node: Node | None) -> tuple[tuple[str, int, int], ...]:
        """What a node keeps for backward: the name, the number of the block of memory, and the block's bytes."""
        found = []
        for name, value in {} if node is None else sorted(node.saved.items()):
            for x in value if isinstance(value, tuple) else (value,):
                if isinstance(x, np.ndarray):
                    owner = owner_of(x)
                    found.append((name, self._block(owner), owner.nbytes))
        return tuple(found)

    def _block(self, owner: Any) -> int:
        return self.memory.setdefault(id(owner), len(self.memory) + 1)

    def _source(self, source: Any, argument: str, path: str) -> int:
        """The number of what an argument comes from; a leaf that is met for the first time is added."""
        if type(source) is Call:
            return self.numbers[source]
        if id(source) not in self.leaves:
            name, kind = self.names.get(id(source), ("", "input"))
            if isinstance(source, Parameter) and not name:
                name, kind = f"{path}.{argument}".strip("."), "parameter"
            if kind == "input":
                self.unnamed += 1
            owner = name.rpartition(".")[0] if kind != "input" else ""
            self.leaves[id(source)] = number = self._append(
                kind, name or f"leaf {self.unnamed}", source, path=owner, tracked=source.tracked,
                trainable=source.tracked and kind == "parameter",
            )  # fmt: skip
            self.leaf_of[number] = source
        return self.leaves[id(source)]

    def _append(self, kind: Kind, name: str, what: Any, **more: Any) -> int:
        id = len(self.nodes)
        dtype = np.dtype(what.dtype)
        self.nodes.append(GraphNode(id, kind, name, tuple(what.shape), dtype.name, dtype.itemsize, **more))
        return id

    def _module_call(self, call: Call, sources: list[tuple[int, str]]) -> int:
        """Which call of its module an op belongs to: a new one begins when the module's first op comes again.

        A composite may hold that op several times over; it then goes on, and no new call begins.
        """
        mark = call.op.name, tuple(source for source, _ in sources if self.nodes[source].kind == "parameter")
        place = call.path, call.label
        goes_on = call.label is not None and place == self.place
        self.place = place
        first, number = self.calls.setdefault(call.path, (mark, -1))
        if mark == first and call.path and not goes_on:
            number += 1
            self.calls[call.path] = first, number
        return max(number, 0)


def _picks(call: Call) -> tuple[int, ...]:
    """The places that an `index_select` takes, where they are fixed and not too many."""
    if call.op.name != "index_select":
        return ()
    index = dict(call.sources)["index"]
    index = getattr(index, "_array", None) if isinstance(index, Variable) else index
    return tuple(index.tolist()) if isinstance(index, np.ndarray) and index.size <= _MOST_PICKS else ()


_MOST_PICKS = 4096


def _operand(call: Call, i: int) -> tuple[str, tuple[int, ...], bool]:
    """Of an array argument the name, the shape, and whether it gets a gradient."""
    name, source = call.sources[i]
    shape = source.shape if isinstance(source, Call) else np.shape(getattr(source, "_array", source))
    return name, tuple(shape), call.node is not None and call.node.plan.wants[i]


def _told(module: Module) -> str:
    """A module's arguments as its repr shows them, without those that are at their defaults."""
    known = inspect.signature(type(module).__init__).parameters

    def is_default(argument: str) -> bool:
        name, _, value = argument.partition("=")
        return name in known and repr(known[name].default) == value

    return ", ".join(argument for argument in arguments_in(module.extra_repr()) if not is_default(argument))


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


def _is_float(value: Any) -> bool:
    return isinstance(value, (Variable, np.ndarray)) and value.dtype.kind == "f"


def _leaf(value: Any, tracked: bool) -> Any:
    """An input as a leaf of its own, which requires grad if it did, or if it is to."""
    if not isinstance(value, (Variable, np.ndarray)):
        return value
    leaf = Tensor(value)
    required = tracked or (isinstance(value, Variable) and value.tracked)
    return leaf.requires_grad_(required and _is_float(value))


def _check_inputs(origin: Origin) -> None:
    """Raise TypeError unless the function can be called with these arguments."""
    function = origin.function
    try:
        signature = inspect.signature(function.forward if isinstance(function, Module) else function)
    except (TypeError, ValueError):  # a built-in function has none
        return
    try:
        signature.bind(*origin.inputs, **origin.kwargs)
    except TypeError as error:
        given = f"{len(origin.inputs)} input{'s' * (len(origin.inputs) != 1)}"
        raise TypeError(f"graph.capture: {_title(origin)} takes {signature}, {given} given: {error}") from None


def _odd_input(arguments: Mapping[str, Any]) -> str:
    """Of the inputs that are neither Tensors nor arrays the first, in words."""
    odd = [(name, x) for name, x in arguments.items() if not isinstance(x, (Variable, np.ndarray))]
    return f"the input {odd[0][0]} is {type(odd[0][1]).__name__}" if odd else ""


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
    buffers = [] if model is None else [(buffer, buffer._array.copy()) for _, buffer in model.named_buffers()]
    try:
        yield
    finally:
        default_generator.set_state(stream)
        for buffer, values in buffers:
            buffer._array = values

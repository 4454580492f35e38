"""Calls of ops, as an observer saw them while they ran, or as recorded nodes remember them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

import numpy as np

from tinygrad_cnn.autograd import Node, Variable
from tinygrad_cnn.modes import Observer, state
from tinygrad_cnn.source import user_line

__all__ = ["Call", "Recorder", "argument_name", "calls_of_nodes", "leading_up_to"]


@dataclass(slots=True, eq=False)
class Call:
    """One call of an op.

    sources: for each array argument its name and where it came from: an earlier Call, a leaf (a Variable), or
    a constant. node: what backward will run, None where nothing was recorded. inputs, out: the values,
    where an observer saw them. error: what the kernel complained of.
    position: how many calls were seen before.
    """

    op: Any
    params: Mapping[str, Any]
    sources: list[tuple[str, Any]]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    path: str
    label: tuple[str, int] | None
    code: CodeType
    instruction: int
    node: Node | None = None
    inputs: Sequence[Any] = ()
    out: Any = None
    error: str = ""
    position: int = 0
    array: Any = field(default=None, repr=False)  # kept, so that its id stays its own


class Recorder(Observer):
    """Keeps every call that it is told of, with its values."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.made: dict[int, Call] = {}  # the calls by the ids of what they made: nodes, Tensors, arrays

    def computed(self, op: Any, inputs: Sequence[Any], params: dict[str, Any], out: Any) -> None:
        call = self._call(op, inputs, params, out.shape, out.dtype)
        call.node, call.out, call.array = out.node, out, out._array
        call.position = len(self.calls)
        self.calls.append(call)
        for key in (out.node, out, out._array):
            if key is not None:
                self.made[id(key)] = call

    def failed(self, op: Any, inputs: Sequence[Any], params: dict[str, Any], error: str) -> None:
        call = self._call(op, inputs, params, (), np.dtype(np.float32))
        call.error = error
        self.calls.append(call)

    def _call(self, op: Any, inputs: Sequence[Any], params: dict[str, Any], shape: Any, dtype: Any) -> Call:
        sources = [(argument_name(op, i), self.source(x)) for i, x in enumerate(inputs)]
        code, instruction = user_line()
        return Call(
            op, params, sources, shape, dtype, state.now.path, state.now.label, code, instruction, inputs=tuple(inputs)
        )

    def source(self, x: Any) -> Any:
        """The call that made `x`, else `x` itself. A detached tensor came from where its array did."""
        keys = (x.node, x, x._array) if isinstance(x, Variable) else (x,)
        found = [self.made[id(key)] for key in keys if key is not None and id(key) in self.made]
        return found[0] if found else x


def calls_of_nodes(nodes: Sequence[Node]) -> list[Call]:
    """The calls that recorded nodes stand for; the nodes are given oldest first."""
    made: dict[int, Call] = {}
    for node in nodes:
        sources = [
            (argument_name(node.op, i), _kept(node, i) if edge is None else made.get(id(edge), edge))
            for i, edge in enumerate(node.edges or ())
        ]
        made[id(node)] = Call(
            node.op, node.params, sources, node.shape, node.dtype, node.path, node.label, node.code, node.instruction,
            node,
        )  # fmt: skip
    return list(made.values())


def leading_up_to(calls: Sequence[Call], ends: Iterable[Call]) -> list[Call]:
    """Those of the calls on which `ends` depend, and the ends, in order."""
    found: set[Call] = set()
    stack = list(ends)
    while stack:
        call = stack.pop()
        if call not in found:
            found.add(call)
            stack.extend(source for _, source in call.sources if type(source) is Call)
    return [call for call in calls if call in found]


def argument_name(op: Any, i: int) -> str:
    """The name of an op's i-th array argument."""
    names = op.arguments
    lead = len(names) - 1
    return f"{names[-1]}[{i - lead}]" if op.variadic and i >= lead else str(names[i])


def _kept(node: Node, i: int) -> Any:
    """The value of an array argument that gets no gradient, where the node has kept it."""
    names = node.op.arguments
    lead = len(names) - 1
    if not node.op.variadic or i < lead:
        return node.saved.get(names[i])
    kept = node.saved.get(names[-1])
    return None if kept is None else kept[i - lead]

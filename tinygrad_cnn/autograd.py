"""Autograd: the drive that runs the gradient rules of recorded ops backwards.

`grad` and `backward` walk the nodes from the newest to the oldest. A node is created after the nodes that it depends
on, so their sequence numbers are a topological order: the drive needs no recursion, and a chain of 100,000 ops works.

An *edge* says where a gradient goes: to a Node, the recorded call that made a tensor, or to a leaf, which is a tensor
itself. How ops record themselves is told in recording.py, whose names can be had from here too, and those of modes.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import repeat
from operator import is_
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy import ndarray

from tinygrad_cnn import locks
from tinygrad_cnn.absent import absent
from tinygrad_cnn.function import Function
from tinygrad_cnn.kernels.memory import pooled
from tinygrad_cnn.modes import (
    Activity,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
    state,
)
from tinygrad_cnn.recording import (
    Array,
    Node,
    Op,
    Rule,
    Variable,
    age,
    array_of,
    broadcast_to,
    cast,
    composite,
    holder,
    labelled_as_gradient,
    numpy_words,
    op,
    sum_to,
    user_of,
    wrap,
)

if TYPE_CHECKING:
    from tinygrad_cnn.tensor import Tensor

Edge: TypeAlias = Node | Variable
"""Where a gradient goes. Both compare by being the same, also a Tensor, whose `==` is an op: its hash is its own."""

__all__ = [
    "Array", "Edge", "Function", "Node", "Op", "Pending", "Rule", "Variable", "array_of", "backward", "broadcast_to",
    "cast", "composite", "enable_grad", "grad", "holder", "inference_mode", "is_grad_enabled",
    "is_inference_mode_enabled", "leading_to", "leaves", "no_grad", "numpy_words", "op", "reachable",
    "set_grad_enabled", "state", "step", "sum_to", "user_of", "wrap",
]  # fmt: skip


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """The gradients of `outputs` with respect to `inputs`, as a tuple; nothing is written to any `.grad`.

    outputs: a Tensor or a sequence of them. grad_outputs: the gradients that come in, one for each output; None for a
    single number means 1. create_graph: record the gradients too, so that they can be differentiated again.
    retain_graph: keep the graph for another call (default: as create_graph). allow_unused: give None for an input that
    no output depends on, and do not raise; materialize_grads: give zeros for it. only_inputs: always so, as in PyTorch.

    >>> import tinygrad_cnn as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> (first,) = tg.autograd.grad(x**3, x, create_graph=True)
    >>> tg.autograd.grad(first, x)
    (tensor(18.),)
    """
    targets = _sequence(inputs)
    for x in targets:
        if not x.tracked:
            raise ValueError(f"grad: an input of shape {x.shape} does not require grad")
    retain = create_graph if retain_graph is None else retain_graph
    found = _drive(outputs, grad_outputs, [x.edge for x in targets], retain, create_graph)
    result: list[Any] = []
    for i, x in enumerate(targets):
        g = found.get(x.edge)
        if g is None and materialize_grads:
            g = np.zeros(x.shape, x.dtype)
        if g is None and not allow_unused:
            raise RuntimeError(
                f"grad: no output depends on input {i}, of shape {x.shape}; allow_unused=True gives None for it"
            )
        result.append(wrap(g) if isinstance(g, np.ndarray) else g)
    return tuple(result)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of `tensors` to the `.grad` of the leaves that they depend on (or of `inputs` alone)."""
    retain = create_graph if retain_graph is None else retain_graph
    targets = None if inputs is None else _sequence(inputs)
    edges = None if targets is None else [x.edge for x in targets]
    found = _drive(tensors, grad_tensors, edges, retain, create_graph)
    if targets is None:
        targets = [leaf for leaf in found if leaf.tracked]  # one may have been frozen since
    for x in targets:
        if x.edge in found:
            _accumulate(x, found[x.edge])


def leaves(output: Variable) -> list[Variable]:
    """The leaves that require grad and on which `output` depends."""
    return reachable([_edge(output)])[1]


def _accumulate(leaf: Any, g: Any) -> None:
    before = leaf._grad
    if isinstance(g, Variable):
        with enable_grad():  # a copy, since another leaf may have the same gradient
            leaf.grad = cast(g, dtype=g.dtype) if before is None else before + g
    elif before is None:
        leaf.grad = wrap(g)
    elif before.shape != leaf.shape:
        raise RuntimeError(
            f"backward: a leaf of shape {leaf.shape} has a .grad of shape {before.shape}, from before its data were"
            " replaced; set it to None"
        )
    elif before.tracked or not before._array.flags.writeable or locks.is_held(before._array):
        leaf.grad = wrap(before._array + g)
    else:
        before._array += g


def _sequence(x: Any) -> list[Any]:
    return [x] if x is None or isinstance(x, (Variable, np.ndarray)) else list(x)


def _drive(
    outputs: Any, seeds: Any, targets: list[Any] | None, retain_graph: bool, create_graph: bool
) -> dict[Any, Any]:
    """Run the gradient rules from the newest node to the oldest; each gradient dies as soon as it is used.

    Returns the gradients by target: Tensors with create_graph, else ndarrays. The targets are nodes and leaves; None
    stands for every leaf.
    """
    outputs = _sequence(outputs)
    seeds = [None] * len(outputs) if seeds is None else _sequence(seeds)
    if len(seeds) != len(outputs):
        raise ValueError(f"backward: {len(seeds)} incoming gradients for {len(outputs)} outputs")
    starts = [(_edge(out), _seed(out, seed, create_graph)) for out, seed in zip(outputs, seeds, strict=True)]
    wanted: set[Edge] = set(targets or ())
    needed = None  # what leads to a target; None: all leaves are wanted, so all nodes run
    if targets is not None:
        needed = leading_to(reachable([edge for edge, _ in starts])[0], wanted)
    pending, now = Pending(), state.now
    found: dict[Any, Any] = {}
    for edge, g in starts:
        pending.add(edge, g)
    before, now.grad = now.grad, create_graph
    try:
        with np.errstate(all="ignore"), pooled():  # 1/0 is inf
            while pending.nodes:
                node, g = pending.take()
                if needed is not None and node not in needed:
                    continue
                if (edges := node.edges) is None:
                    raise _gone(node)
                if node.hooks:
                    g = _run_hooks(node, g, create_graph)
                    edges = _edges(node)  # a backward in a hook may have used it up
                wants = node.plan.wants  # which of its arguments get a gradient
                if needed is not None:
                    if node in wanted:  # the gradient of an op's result was asked for
                        found[node] = g if create_graph else g.copy()
                    wants = tuple([edge in needed for edge in edges])
                try:
                    if create_graph:
                        with labelled_as_gradient(node):
                            step(node, g, wants, pending, create_graph, now)
                    else:
                        step(node, g, wants, pending, create_graph, now)
                except Exception:
                    if node.edges is None:  # another thread's backward has used it up meanwhile
                        raise _gone(node) from None
                    raise
                if not retain_graph:
                    node.release()
            for leaf, g in pending.items():
                if needed is None or leaf in needed:
                    found[leaf] = _run_hooks(leaf, g, create_graph) if leaf.hooks else g
    finally:
        now.grad = before
    return found


class Pending(dict[Edge, Any]):
    """Of each node and leaf, the sum of the gradients that have come to it and wait there; and which node is next.

    `nodes` is a heap: nodes have come when the heap is empty, and the newest of them is the next.
    """

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes: list[tuple[int, Node]] = []

    def add(self, edge: Edge, g: Any) -> None:
        """A gradient that comes to a node or leaf."""
        if edge in self:
            g = self[edge] + g
            if not isinstance(g, (np.ndarray, Variable)):  # NumPy's sum of arrays without dimensions is a scalar
                g = np.asarray(g)
        elif type(edge) is Node:
            heappush(self.nodes, (-edge.seq, edge))
        self[edge] = g

    def take(self) -> tuple[Node, Any]:
        """The newest node, and its gradient, which is complete: all that could add to it were newer."""
        _, node = heappop(self.nodes)
        return node, self.pop(node)


def step(node: Node, g: Any, wants: tuple[bool, ...], pending: Pending, create_graph: bool, now: Activity) -> None:
    """Send the gradient `g` of one node's result on to the arguments that want one."""
    op = node.op
    gradients = op.gradients(node, g, wants, create_graph)
    if now.observer is not None:
        now.observer.stepped(node, g, wants, gradients)
    for edge, gx in zip(node.edges or (), gradients, strict=True):
        if edge is None or gx is None:
            continue
        if type(gx) is not ndarray and not create_graph:
            gx = np.asarray(gx)
        target: Any = edge if isinstance(edge, Node) else edge._array  # what has the shape and dtype of the argument
        if gx.shape != target.shape:
            if not op.broadcasts:
                raise RuntimeError(
                    f"{op.name}: a gradient rule returned shape {gx.shape}, its argument has {target.shape}"
                    f" — at {node.where}"
                )
            gx = sum_to(gx, shape=target.shape)
        if gx.dtype is not target.dtype and gx.dtype != target.dtype:
            gx = cast(gx, dtype=target.dtype)
        if target is not edge and not create_graph and _is_shared(gx, g, node.values, gradients):
            gx = gx.copy()  # a leaf's gradient becomes the user's own array
        pending.add(edge, gx)


def _is_shared(found: Any, g: Any, values: Sequence[Any], gradients: Sequence[Any]) -> bool:
    """Whether a gradient that a rule has found may share memory with what the rule was given or with another gradient.

    It does if it is a view, or if it is one of these arrays itself; one that cannot be written to is as bad. Of these
    arrays `g` alone can be a view of it: no rule of ours returns the array that a saved view is of, and what somebody
    else's rule returns is a copy or of the memory of `g` (`_own_gradient` in recording.py).
    """
    if found.base is not None or g.base is found or not found.flags.writeable:
        return True
    return sum(map(is_, (g, *values, *gradients), repeat(found))) > 1  # it is one of the gradients


def _edge(out: Any) -> Any:
    if not isinstance(out, Variable) or not out.tracked:
        raise RuntimeError("backward: the output does not require grad, so nothing recorded how it was made")
    return out.edge


def _seed(out: Any, seed: Any, create_graph: bool) -> Any:
    if seed is None:
        if out._array.size != 1:
            raise RuntimeError(
                f"backward: the output has shape {out.shape}; give a gradient, or reduce it to one number"
            )
        seed = np.ones(out.shape, out.dtype)
        return wrap(seed) if create_graph else seed
    array = seed._array if isinstance(seed, Variable) else np.asarray(seed)
    if array.shape != out.shape:
        raise ValueError(f"backward: the incoming gradient has shape {array.shape}, the output {out.shape}")
    if create_graph:
        seed = seed if isinstance(seed, Variable) else wrap(locks.share(array))
        return seed if seed.dtype == out.dtype else cast(seed, dtype=out.dtype)
    return array.astype(out.dtype) if out.node is None else array.astype(out.dtype, copy=False)


def reachable(edges: list[Any]) -> tuple[list[Node], list[Variable]]:
    """The nodes from which the outputs were made, newest first, and the leaves."""
    nodes: list[Node] = []
    leaves: list[Variable] = []
    seen = {None}
    stack = list(edges)
    while stack:
        edge = stack.pop()
        if edge in seen:
            continue
        seen.add(edge)
        if type(edge) is Node:
            nodes.append(edge)
            stack += _edges(edge)
        else:
            leaves.append(edge)
    nodes.sort(key=age, reverse=True)
    return nodes, leaves


def _edges(node: Node) -> tuple[Edge | None, ...]:
    """The edges of a node that no backward has used up, neither before nor, in another thread, meanwhile."""
    if (edges := node.edges) is None:
        raise _gone(node)
    return edges


def _gone(node: Node) -> RuntimeError:
    return RuntimeError(
        f"backward: the graph of {node.op.name} at {node.where} is gone, a backward has used it up; "
        "retain_graph=True in that call keeps it"
    )


def leading_to(order: list[Node], wanted: set[Edge]) -> set[Edge]:
    """The targets and all nodes that lead to one."""
    needed = set(wanted)
    for node in reversed(order):
        if not needed.isdisjoint(_edges(node)):
            needed.add(node)
    return needed


def _run_hooks(edge: Any, g: Any, create_graph: bool) -> Any:
    """The gradient as the hooks of a node or leaf leave it, in the order of their keys.

    A hook may keep the gradient that it is given and write to it, so it shares its memory with no other.
    """
    for _, hook in sorted((edge.hooks or {}).items()):
        given = g if create_graph else wrap(g.copy())
        result = hook(given)
        if result is None:
            result = given  # perhaps changed in place
        elif not isinstance(result, Variable):
            raise TypeError(f"register_hook: a hook returned a {type(result).__name__}, expected a Tensor or None")
        if result.shape != edge.shape or result.dtype != edge.dtype:
            raise ValueError(
                f"register_hook: a hook returned {result.dtype} of shape {result.shape}, "
                f"the gradient is {edge.dtype} of shape {edge.shape}"
            )
        g = result if create_graph else result._array.copy()
    return g


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise absent(__name__, name)

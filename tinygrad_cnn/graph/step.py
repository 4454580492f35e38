"""Backward in single steps: one node at a time, with what came in and what goes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_cnn import autograd
from tinygrad_cnn.autograd import Node, Pending, sum_to, wrap
from tinygrad_cnn.graph.build import of
from tinygrad_cnn.graph.graph import Gradient, Graph
from tinygrad_cnn.graph.record import argument_name
from tinygrad_cnn.graph.run import norm
from tinygrad_cnn.modes import Observer, no_grad, state, watched_by
from tinygrad_cnn.tensor import Tensor

__all__ = ["BackwardSteps", "Step", "backward_steps"]


@dataclass(frozen=True)
class Step:
    """One step of backward: the rules of one node have run.

    node: the recorded call. incoming: the gradient of its result, complete. outgoing: for each argument that gets
    one, its gradient, in the argument's shape. where: the user's line and module. number: of how many nodes were
    done before. The arrays are copies.
    """

    number: int
    node: Node
    incoming: np.ndarray[Any, Any]
    outgoing: dict[str, np.ndarray[Any, Any]]

    @property
    def op(self) -> str:
        """The name of the node's op."""
        return str(self.node.op.name)

    @property
    def path(self) -> str:
        """The dotted path of the module inside which the node was made."""
        return self.node.path

    @property
    def where(self) -> str:
        """The user's line that made the node, and the module."""
        return self.node.where

    def __repr__(self) -> str:
        out = ", ".join(f"{name} {g.shape} norm {norm(g):.3g}" for name, g in self.outgoing.items())
        come = f"{self.incoming.shape} norm {norm(self.incoming):.3g}"
        return f"<step {self.number}: {self.op} at {self.where}; in {come}; out {out}>"


class BackwardSteps(Iterator[Step]):
    """Iterate to run backward from `output`, a node at a time; at the end the leaves have their `.grad`, as usual.

    `graph` is the whole graph, with the gradients that have been sent along its edges so far. `save(path)` draws it
    with these, and marks the node whose step came last and those that are `ready`. The recorded graph is kept, so that
    the steps can be taken again.
    """

    def __init__(self, output: Tensor, gradient: Any = None, model: Any = None) -> None:
        if not output.tracked:
            raise RuntimeError("backward_steps: the output requires no grad, so nothing recorded how it was made")
        if gradient is None and output._array.size != 1:
            raise RuntimeError(f"backward_steps: the output has shape {output.shape}; give a gradient, or reduce it")
        self.graph: Graph = of(output, model=model)
        self.order, self.leaves = autograd.reachable([output.edge])
        seed = (
            np.ones(output.shape, output.dtype)
            if gradient is None
            else np.asarray(getattr(gradient, "_array", gradient))
        )
        if seed.shape != output.shape:
            raise ValueError(f"backward_steps: the gradient has shape {seed.shape}, the output {output.shape}")
        self.pending = Pending()
        self.pending.add(output.edge, seed.astype(output.dtype))
        self.done = 0
        self.last: Step | None = None
        ops = [node.id for node in self.graph.ops]
        self._numbers = {id(node): ops[len(ops) - 1 - i] for i, node in enumerate(self.order)}
        self._finished = False
        (end,) = (edge for node in self.graph.of_kind("output") for edge in self.graph.into(node))
        self.graph.gradients = {(end.source, end.target, end.argument): Gradient(seed.shape, norm(seed))}

    def __iter__(self) -> BackwardSteps:
        return self

    def __next__(self) -> Step:
        while self.done < len(self.order):
            node = self.order[self.done]
            self.done += 1
            g = self.pending.pop(node, None)
            if g is not None:
                self.last = self._take(node, g)
                return self.last
        if not self._finished:
            self._finished = True
            for leaf in self.leaves:
                if leaf in self.pending:
                    slope = wrap(np.array(self.pending[leaf]))
                    leaf.grad = slope if leaf.grad is None else leaf.grad + slope
        raise StopIteration

    def _take(self, node: Node, g: Any) -> Step:
        catch = _Catch()
        with no_grad(), np.errstate(all="ignore"), watched_by(catch):
            autograd.step(node, g, node.plan.wants, self.pending, False, state.now)
        outgoing = {}
        for i, (edge, slope) in enumerate(zip(node.edges or (), catch.gradients, strict=True)):
            if edge is not None and slope is not None:
                array = np.asarray(slope)
                outgoing[argument_name(node.op, i)] = np.array(
                    array if array.shape == edge.shape else sum_to(array, edge.shape)
                )
        self._note(self._numbers[id(node)], outgoing)
        return Step(self.done - 1, node, np.array(g), outgoing)

    def _note(self, number: int, outgoing: dict[str, np.ndarray[Any, Any]]) -> None:
        """Keep what a step sent along each edge, for the picture."""
        assert self.graph.gradients is not None
        for edge in self.graph.into(self.graph[number]):
            if edge.argument in outgoing:
                slope = outgoing[edge.argument]
                self.graph.gradients[edge.source, edge.target, edge.argument] = Gradient(slope.shape, norm(slope))

    @property
    def ready(self) -> tuple[int, ...]:
        """The numbers of the nodes whose step could come next: their gradient is there, and nobody will add to it."""
        left = self.order[self.done :]
        waiting = {edge for node in left for edge in node.edges or ()}
        return tuple(sorted(self._numbers[id(n)] for n in left if n in self.pending and n not in waiting))

    def until(self, name: str) -> Step:
        """Step on until a node of the module `name`, or of the op `name`, has run; LookupError if none is left."""
        for step in self:
            if step.path == name or step.path.startswith(f"{name}.") or step.op == name:
                return step
        raise LookupError(f"backward_steps: no step that is left belongs to {name!r}")

    def save(self, path: Any, **style: Any) -> None:
        """Draw the graph as it stands: the gradients sent so far, the node whose step came last, and those ready next.

        The options are those of `Graph.save`.
        """
        from tinygrad_cnn.graph.render import save_picture

        at = None if self.last is None else self._numbers[id(self.last.node)]
        options = {"backward": True, **style}
        save_picture(self.graph, path, "a step of backward", at=at, ready=self.ready, **options)


class _Catch(Observer):
    def stepped(self, node: Any, g: Any, wants: Any, gradients: Any) -> None:
        self.gradients = gradients


def backward_steps(output: Tensor, gradient: Any = None, *, model: Any = None) -> BackwardSteps:
    """Backward from `output` in single steps: iterate, or go on `until` a module; see `BackwardSteps`.

    gradient: of the output, 1 by default for a single number. model: gives the picture its names.

    >>> import tinygrad_cnn as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> for step in tg.graph.backward_steps(x * x + x):
    ...     print(step.op, step.incoming, step.outgoing)
    add 1.0 {'input': array(1., dtype=float32), 'other': array(1., dtype=float32)}
    mul 1.0 {'input': array(3., dtype=float32), 'other': array(3., dtype=float32)}
    >>> x.grad
    tensor(7.)
    """
    return BackwardSteps(output, gradient, model)

"""One training step of what a graph was captured from: forward, a loss behind it if one is wanted, and backward."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_cnn.autograd import Variable
from tinygrad_cnn.graph.build import Origin, capture
from tinygrad_cnn.graph.graph import Graph
from tinygrad_cnn.graph.run import Run
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.nn.module import Module

__all__ = ["Step", "take_step"]


@dataclass
class Step:
    """The graph up to the loss, the run of it where there is one, and a sentence for people on what is missing."""

    graph: Graph
    run: Run | None
    missing: str

    @property
    def loss(self) -> float | None:
        """The step's result, where that is one number."""
        found = None if self.run is None else self.run.outputs
        return float(found._array.item()) if isinstance(found, Variable) and found._array.size == 1 else None


def take_step(graph: Graph, inputs: Any, target: Any, loss: Callable[..., Any] | None) -> Step:
    """Run what `graph` was captured from, forward and, from a loss, backward; see `Graph.explore`."""
    measured = graph
    asked = inputs is not None or target is not None or loss is not None
    origin = graph.origin
    if origin is None:
        if asked:
            raise ValueError(
                "graph.explore: this graph was taken from tensors that had been computed already and cannot run again, "
                "expected one of graph.capture(model, *inputs) where inputs, target or loss are given"
            )
        return Step(graph, None, "No values: this graph was taken from tensors; graph.capture runs a model.")
    if any(node.error for node in graph.nodes):
        return Step(graph, None, "No values: the run failed, at the box with the warning sign.")
    if asked:
        graph = _capture(graph.title, origin, inputs, target, loss)
    run = graph.run()
    missing = _no_backward(run.outputs)
    if not missing:
        run.backward()
    same = {
        node.id for node, new in zip(measured.nodes, run.graph.nodes, strict=False)
        if (node.kind, node.name, node.path, node.shape) == (new.kind, new.name, new.path, new.shape)
    }  # fmt: skip
    run.graph.measures = {  # a loss comes last, and so leaves the numbers of the model's ops as they are
        name: {i: value for i, value in values.items() if i in same} for name, values in measured.measures.items()
    }
    return Step(run.graph, run, missing)


def _no_backward(output: Any) -> str:
    """Why there is no backward from a result, as a sentence; nothing if there is."""
    if not isinstance(output, Variable):
        return "Backward has not run: the result is no single tensor; explore takes loss=."
    if output._array.size != 1:
        return (
            f"Backward has not run: the result has shape {output.shape} and is no loss; explore takes target= or loss=."
        )
    return "" if output.tracked else "Backward has not run: nothing that the result depends on requires grad."


def _capture(title: str, origin: Origin, inputs: Any, target: Any, loss: Callable[..., Any] | None) -> Graph:
    """The graph of the same function on these inputs, with a loss behind it if one is given."""
    arguments = origin.inputs
    if inputs is not None:
        arguments = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    function = origin.function
    if target is not None or loss is not None:
        targets = () if target is None else (target,)
        function = _with_loss(function, len(arguments), loss or _loss_for(target), len(targets))
        arguments += targets
    return capture(function, *arguments, model=origin.model, names=origin.names, title=title, **origin.kwargs)


def _with_loss(function: Callable[..., Any], count: int, loss: Callable[..., Any], targets: int) -> Callable[..., Any]:
    """`loss(function(first `count` arguments), the rest)`, whose arguments are called as the function's, and target."""

    def step(*arguments: Any, **kwargs: Any) -> Any:
        return loss(function(*arguments[:count], **kwargs), *arguments[count:])

    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.signature(function.forward if isinstance(function, Module) else function)
    names = [name for name, p in signature.parameters.items() if p.kind in places][:count]
    names += [f"input_{i}" for i in range(len(names), count)]
    names += ["target" if "target" not in names else "loss_target"] * targets
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
    step.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return step


def _loss_for(target: Any) -> Callable[..., Any]:
    """cross_entropy for integer targets, mse_loss for others."""
    kind = np.asarray(target._array if isinstance(target, Variable) else target).dtype.kind
    return F.cross_entropy if kind in "iu" else F.mse_loss

"""Overlays: one number or verdict for each op, that a picture shows as colour, and always in words too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_cnn.graph.graph import Gradient, Graph, GraphNode
from tinygrad_cnn.graph.labels import amount
from tinygrad_cnn.graph.run import Run, norm
from tinygrad_cnn.tensor import Tensor

__all__ = ["OVERLAYS", "WORST_FIRST", "Overlay", "measured", "overlay_of"]

Value = float | str


@dataclass(frozen=True)
class Overlay:
    """One overlay: its title, the values by node, how values of folded ops come together, and numbers in words.

    gradients: what backward sent along the edges, where it had to run to measure.
    """

    title: str
    values: Mapping[int, Value]
    join: Callable[[list[Any]], Value]
    words: Callable[[Any], str]
    gradients: dict[tuple[int, int, str], Gradient] | None = None

    @property
    def adds_up(self) -> bool:
        """Whether the values of several ops have a total: sums of what was counted or measured, the worst verdict."""
        return self.join in (sum, max, _worst)


@dataclass(frozen=True)
class _Kind:
    title: str
    unit: str
    join: Callable[[list[Any]], Value]
    needs: str  # "costs", "run", "backward", "profile" or "gradcheck"


def _worst(values: list[str]) -> str:
    return min(values, key=WORST_FIRST.index)


# The verdicts, the worst first.
WORST_FIRST = [
    "NaN first", "inf first", "NaN gradient first", "inf gradient first", "NaN", "inf", "NaN gradient", "inf gradient",
    "removed", "added", "changed", "wrong", "nondeterministic", "ill-conditioned", "kink", "not checked", "ok",
    "finite", "same",
]  # fmt: skip

OVERLAYS: dict[str, _Kind] = {
    "flops": _Kind("FLOPs, forward", "", sum, "costs"),
    "backward": _Kind("FLOPs, backward", "", sum, "costs"),
    "memory": _Kind("bytes of results", "B", sum, "costs"),
    "saved": _Kind("bytes saved for backward", "B", sum, "costs"),
    "time": _Kind("time, forward and backward", "s", sum, "profile"),
    "mean": _Kind("mean of the results", "", lambda v: v[-1], "run"),
    "std": _Kind("standard deviation of the results", "", lambda v: v[-1], "run"),
    "gradient": _Kind("norm of the gradient", "", lambda v: v[-1], "backward"),
    "nan": _Kind("NaN and inf", "", _worst, "backward"),
    "dead": _Kind("share of ReLU units that are 0 for the whole batch", "%", max, "run"),
    "ties": _Kind("share of results at a tie or kink", "%", max, "run"),
    "diff": _Kind("what differs", "", _worst, "diff"),
    "gradcheck": _Kind("verdict of the gradient check", "", _worst, "gradcheck"),
}


def overlay_of(graph: Graph, name: str) -> Overlay:
    """An overlay by its name, measured if it must be; ValueError for an unknown name."""
    if name not in OVERLAYS:
        raise ValueError(f"graph: overlay is {name!r}, expected one of {', '.join(o for o in OVERLAYS if o != 'diff')}")
    kind = OVERLAYS[name]
    gradients = None
    if kind.needs == "costs":
        field = {"flops": "flops", "backward": "backward_flops", "memory": "activation_bytes", "saved": "saved_bytes"}
        values: Mapping[int, Value] = {i: getattr(cost, field[name]) for i, cost in graph.costs().items()}
    else:
        values, gradients = measured(graph, name)
    return Overlay(kind.title, values, kind.join, lambda value: _words(value, kind.unit), gradients)


def measured(graph: Graph, name: str) -> tuple[dict[int, Value], dict[tuple[int, int, str], Gradient] | None]:
    """The values of an overlay that must be measured: those of the graph's own run, or else of a new one.

    With them come the gradients along the edges of that new run, where it went backward too.
    """
    if name in graph.measures:
        return graph.measures[name], None
    if OVERLAYS[name].needs == "diff":
        raise ValueError("graph: the overlay 'diff' is of graph.diff(a, b), whose save draws it")
    if graph.origin is None:
        raise RuntimeError(f"graph: the overlay {name!r} needs a run, and this graph was not made by graph.capture")
    needs = OVERLAYS[name].needs
    if needs == "profile":
        timed = graph.profile()
        return timed.measures["time"], timed.gradients
    run = graph.run()
    if needs == "backward" and _can_go_back(run):
        run.backward(run.seed())
    return measure(run, name), run.graph.gradients


def measure(run: Run, name: str) -> dict[int, Value]:
    """The values of one overlay in a run."""
    ops = run.graph.ops
    if name == "nan":
        return _non_finite(run)
    if name == "gradient":
        return {n.id: norm(run.gradients[n.id]) for n in ops if run.gradients and n.id in run.gradients}
    if name == "gradcheck":
        return {n.id: _verdict(run, n) for n in ops if n.tracked}
    values: dict[int, Value] = {}
    for node in ops:
        value = _STATISTICS[name](run, node)
        if value is not None:
            values[node.id] = value
    return values


def _can_go_back(run: Run) -> bool:
    return isinstance(run.outputs, Tensor) and run.outputs.tracked


# ---- statistics --------------------------------------------------------------------------------------------


def _mean(run: Run, node: GraphNode) -> float | None:
    out = run.values[node.id]
    return float(out.mean(dtype=np.float64)) if out.size and out.dtype.kind == "f" else None


def _std(run: Run, node: GraphNode) -> float | None:
    out = run.values[node.id]
    return float(out.std(dtype=np.float64)) if out.size and out.dtype.kind == "f" else None


def _dead(run: Run, node: GraphNode) -> float | None:
    """The share of channels (or units) of a ReLU that are 0 for every sample and place."""
    out = run.values[node.id]
    if node.name != "relu" or out.ndim < 2 or not out.size:
        return None
    alive = (out != 0).any(axis=(0, *range(2, out.ndim)))
    return float(1 - alive.mean())


def _ties(run: Run, node: GraphNode) -> float | None:
    """The share of results where an op with a kink or a choice stands exactly on it."""
    call = run.calls[node.id]
    inputs = [np.asarray(getattr(x, "_array", 0 if x is None else x)) for x in call.inputs]
    if node.name in ("relu", "abs", "leaky_relu", "hardtanh", "clamp") and inputs[0].size:
        x = inputs[0]
        edges: list[Any] = inputs[1:] if node.name == "clamp" else [0]
        if node.name == "hardtanh":
            edges = [node.params["min_val"], node.params["max_val"]]
        return float(np.mean(np.any([x == edge for edge in edges], axis=0))) if len(edges) else None
    if node.name in ("maximum", "minimum"):
        return float(np.mean(inputs[0] == inputs[1]))
    if node.name in ("amax", "amin"):
        out = run.values[node.id]
        dim = node.params.get("dim")
        kept = out if node.params.get("keepdim") or dim in (None, ()) else np.expand_dims(out, dim)
        count = (inputs[0] == kept).sum(axis=None if dim in (None, ()) else dim)
        return float(np.mean(count > 1))
    if node.name.startswith("max_pool") and node.name[-1] == "d":
        return _pool_ties(inputs[0], run.values[node.id], node)
    return None


def _pool_ties(x: Any, out: Any, node: GraphNode) -> float:
    """The share of windows whose maximum is there more than once."""
    n = out.ndim - 2
    size, padding = _each(node.params["kernel_size"], n), _each(node.params["padding"], n)
    dilation = _each(node.params.get("dilation", 1), n)
    stride = _each(node.params.get("stride") or size, n)
    reach = [d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True)]
    ends = [
        max((o - 1) * s + r - p - length, 0)
        for o, s, r, p, length in zip(out.shape[2:], stride, reach, padding, x.shape[2:], strict=True)
    ]
    x = np.pad(x, [(0, 0), (0, 0), *zip(padding, ends, strict=True)], constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(range(2, n + 2)))
    steps = tuple(slice(0, (o - 1) * s + 1, s) for o, s in zip(out.shape[2:], stride, strict=True))
    inside = tuple(slice(None, None, d) for d in dilation)
    windows = windows[(slice(None), slice(None), *steps, *inside)]  # (N, C, *OS, *K)
    count = (windows == out.reshape(out.shape + (1,) * n)).sum(axis=tuple(range(-n, 0)))
    return float(np.mean(count > 1))


def _each(value: Any, n: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (int(value),) * n


_STATISTICS: dict[str, Callable[[Run, GraphNode], float | None]] = {
    "mean": _mean, "std": _std, "dead": _dead, "ties": _ties,
}  # fmt: skip


# ---- verdicts ----------------------------------------------------------------------------------------------


def _non_finite(run: Run) -> dict[int, Value]:
    """Of each op whether its values or gradients hold NaN or inf, and whether it was the first to make one."""
    found: dict[int, Value] = {}
    bad: dict[int, str | None] = {number: _kind(array) for number, array in run.values.items()}
    for node in run.graph.ops:
        kind = bad.get(node.id)
        came_in = any(bad.get(edge.source) for edge in run.graph.into(node))
        if kind:
            found[node.id] = kind if came_in else f"{kind} first"
        else:
            found[node.id] = "finite"
    slopes = {number: _kind(array) for number, array in (run.gradients or {}).items()}
    sent = {edge: _kind(np.asarray(gradient.norm)) for edge, gradient in (run.graph.gradients or {}).items()}
    for node in run.graph.ops:
        came, went = slopes.get(node.id), [sent.get((e.source, e.target, e.argument)) for e in run.graph.into(node)]
        if found[node.id] == "finite" and (kind := came or next(filter(None, went), None)):
            found[node.id] = f"{kind} gradient" if came else f"{kind} gradient first"
    return found


def _kind(array: Any) -> str | None:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    return "NaN" if np.isnan(array).any() else "inf"


def _verdict(run: Run, node: GraphNode) -> str:
    """The gradient check of one call, at the values that it had, in float64."""
    from tinygrad_cnn.testing import gradcheck

    call = run.calls[node.id]
    op = call.op
    if sum(getattr(x, "_array", np.zeros(0)).size for x in call.inputs) > _LARGEST:
        return "not checked"
    arrays = [_double(x) for x in call.inputs]
    wanted = [i for i, x in enumerate(arrays) if isinstance(x, Tensor) and x.dtype.kind == "f"]

    def function(*floats: Any) -> Any:
        values = list(arrays)
        for i, x in zip(wanted, floats, strict=True):
            values[i] = x
        if op.variadic:
            return op(*values, **call.params)
        return op(**dict(zip(op.arguments, values, strict=False)), **call.params)

    try:
        return gradcheck(function, *(arrays[i] for i in wanted), directions=2).verdict
    except (ValueError, TypeError):  # values that are not finite, a dtype that the op wants otherwise
        return "not checked"


_LARGEST = 1_000_000


def _double(x: Any) -> Any:
    array = getattr(x, "_array", x)
    if isinstance(array, np.ndarray) and array.dtype.kind == "f":
        return Tensor(array.astype(np.float64))
    return x


# ---- words -------------------------------------------------------------------------------------------------


def _words(value: Any, unit: str) -> str:
    """A value as people read it: `1.2 M`, `3.4 kB`, `56 us`, `12.5 %`, or the verdict itself."""
    if isinstance(value, str):
        return value
    if unit == "%":
        return f"{100 * value:.3g} %"
    if unit == "s":
        for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "us")):
            if value * factor >= 1 or name == "us":
                return f"{value * factor:.3g} {name}"
    if isinstance(value, int):
        return amount(value, unit)
    return f"{value:.3g}" if math.isfinite(value) else str(value)

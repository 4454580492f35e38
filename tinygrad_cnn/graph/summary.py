"""The table of a model's layers, in the form that people know from torchinfo."""

from __future__ import annotations

import math
from itertools import groupby

from tinygrad_cnn.graph.graph import Graph, GraphNode
from tinygrad_cnn.graph.labels import printable

__all__ = ["summary"]

_HEADS = ("Layer (type (name): depth-index)", "Output shape", "Params", "Mult-adds", "FLOPs", "Saved (bytes)")


def summary(graph: Graph) -> str:
    """A line for each module, or for each op where there are no modules, between rules; totals below."""
    rows = _module_rows(graph) if graph.modules else _op_rows(graph)
    widths = [max(len(row[i]) for row in [_HEADS, *(row for row, _ in rows)]) for i in range(len(_HEADS))]
    rule = "=" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [_line(row, widths) for row in [_HEADS, *(row for row, _ in rows)]]
    totals = graph.totals()
    mult_adds = sum(n for _, n in rows)
    facts = [
        f"Total params: {totals.parameters:,}",
        f"Trainable params: {totals.trainable:,}",
        f"Non-trainable params: {totals.parameters - totals.trainable:,}",
        f"Total mult-adds: {mult_adds:,}",
        f"FLOPs forward: {totals.flops:,}",
        f"FLOPs backward: {totals.backward_flops:,}",
    ]
    if unknown := sorted({n.name for n in graph.ops if not graph.costs()[n.id].counted}):
        facts.append(f"FLOPs not known of: {', '.join(unknown)}")
    sizes = [
        f"Input size (MB): {_mb(totals.input_bytes)}",
        f"Params size (MB): {_mb(totals.parameter_bytes)}",
        f"Activations (MB): {_mb(totals.activation_bytes)}",
        f"Saved for backward (MB): {_mb(totals.saved_bytes)}",
        f"Peak of a training step, estimated (MB): {_mb(totals.peak_bytes)}",
    ]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule, *facts, rule, *sizes, rule])


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    """The first two columns to the left, numbers to the right."""
    cells = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
    return "  ".join(cells).rstrip()


def _mb(size: int) -> str:
    return f"{size / 1e6:.2f}"


def _module_rows(graph: Graph) -> list[tuple[tuple[str, ...], int]]:
    """The rows of the modules, outermost first, each with its own mult-adds."""
    costs = graph.costs()
    own: dict[str, list[GraphNode]] = {}
    below: dict[str, list[GraphNode]] = {}
    for node in graph.ops:
        own.setdefault(node.path, []).append(node)
        path = node.path
        below.setdefault("", []).append(node)
        while path:
            below.setdefault(path, []).append(node)
            path = path.rpartition(".")[0]
    rows: list[tuple[tuple[str, ...], int]] = []
    numbers: dict[int, int] = {}
    children = {path.rpartition(".")[0] for path in graph.modules if path}
    for path, info in graph.modules.items():
        depth = path.count(".") + 1 if path else 0
        numbers[depth] = numbers.get(depth, 0) + 1
        ops, mine = below.get(path, []), own.get(path, [])
        is_leaf = path not in children and path != ""
        calls = len({node.call for node in mine}) if is_leaf else 1
        name = path.rpartition(".")[2]
        title = f"{info.kind} ({printable(name)}): {depth}-{numbers[depth]}" if path else info.kind
        if calls > 1:
            title += f" (called {calls} times)"
        params = graph.parameters_of(mine)
        mult_adds = _mult_adds(graph, mine)
        row = (
            "│    " * max(depth - 1, 0) + ("├─" if depth else "") + title,
            str(list(ops[-1].shape)) if ops else "not called",
            f"{sum(p.size for p in params):,}" if params else "--",
            f"{mult_adds:,}" if params else "--",
            f"{sum(costs[n.id].flops for n in mine):,}" if mine else "--",
            f"{sum(costs[n.id].saved_bytes for n in mine):,}" if mine else "--",
        )
        rows.append((row, mult_adds))
    return rows


def _mult_adds(graph: Graph, ops: list[GraphNode]) -> int:
    """As torchinfo counts: in a convolution each parameter once for each position, elsewhere once for each sample.

    ops: those of a module, of all its calls. Each call's last op makes the result, whose shape tells the samples.
    """
    total = 0
    for _, run in groupby(ops, key=lambda node: node.call):
        call = list(run)
        out = call[-1].shape
        positions = out[:1] + out[2:] if any(node.name.startswith("conv") for node in call) else out[:1]
        total += sum(p.size for p in graph.parameters_of(call)) * math.prod(positions)
    return total


def _op_rows(graph: Graph) -> list[tuple[tuple[str, ...], int]]:
    costs = graph.costs()
    rows = []
    for i, node in enumerate(graph.ops):
        cost = costs[node.id]
        numbers = (cost.parameters, cost.macs, cost.flops, cost.saved_bytes)
        rows.append(((f"{node.name}: 1-{i + 1}", str(list(node.shape)), *(f"{n:,}" for n in numbers)), cost.macs))
    return rows

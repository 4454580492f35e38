"""What each node of a graph costs: arithmetic, bytes, and what it sees of the input. All from shapes, without running.

`flops.py` has the rules by which arithmetic is counted. A block of memory is counted once, at the node that makes it,
or that saves it first; views cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from tinygrad_cnn.graph.flops import backward_flops, flops, macs
from tinygrad_cnn.graph.graph import Graph, GraphNode

__all__ = ["Cost", "Totals", "costs_of", "totals_of"]


@dataclass(frozen=True, slots=True)
class Cost:
    """The costs of one op. parameters: elements of those that go straight into it, and that no earlier op used.

    macs, flops: of the forward pass; backward_flops: of its gradient rules, with the additions to gradients that
    other ops have sent, and 0 where no gradient arrives. activation_bytes: of the memory that its
    result takes; saved_bytes: of the memory that backward needs, and that no earlier op saved. counted: whether the
    op is one whose arithmetic is known.
    """

    parameters: int = 0
    macs: int = 0
    flops: int = 0
    backward_flops: int = 0
    activation_bytes: int = 0
    saved_bytes: int = 0
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Totals:
    """The costs of a whole graph. peak_bytes: the most memory that one training step holds at a time, estimated.

    It counts inputs, parameters and their gradients, results that are still needed, what backward saved, and the
    gradients under way; not what kernels need for themselves, nor an optimizer's state.
    """

    parameters: int
    trainable: int
    macs: int
    flops: int
    backward_flops: int
    activation_bytes: int
    saved_bytes: int
    parameter_bytes: int
    input_bytes: int
    peak_bytes: int


def costs_of(graph: Graph) -> dict[int, Cost]:
    """The costs of each op, by the number of its node."""
    seen: set[int] = set()
    made: set[int] = {0}
    saved: set[int] = {0}
    result = {}
    back = _backward(graph)
    for node in graph.ops:
        parameters = [p for p in graph.parameters_of([node]) if p.id not in seen]
        seen |= {p.id for p in parameters}
        new = {block: size for _, block, size in node.saved if block not in saved}
        saved |= set(new)
        fresh = node.block not in made
        if node.block > 0:
            made.add(node.block)
        forward = flops(node)
        result[node.id] = Cost(
            parameters=sum(p.size for p in parameters),
            macs=macs(node),
            flops=forward or 0,
            backward_flops=back.get(node.id, 0),
            activation_bytes=node.nbytes if fresh else 0,
            saved_bytes=sum(new.values()),
            counted=forward is not None,
        )
    return result


def _backward(graph: Graph) -> dict[int, int]:
    """The backward FLOPs of each op that a gradient reaches: of its rules, and of adding to gradients that others sent.

    Backward goes from the last op to the first, so the op that is last to use a tensor sends its gradient first.
    """
    reached = {edge.source for node in graph.of_kind("output") for edge in graph.into(node) if node.tracked}
    has_some = set(reached)
    found = {}
    for node in reversed(graph.ops):
        if node.id not in reached:
            continue
        wanted = {name for name, _, wants in node.operands if wants}
        total = backward_flops(node)
        for edge in graph.into(node):
            if edge.argument in wanted:
                total += graph[edge.source].size if edge.source in has_some else 0
                has_some.add(edge.source)
                reached.add(edge.source)
        found[node.id] = total
    return found


def totals_of(graph: Graph) -> Totals:
    """The sums of the costs, and the peak of memory."""
    costs = graph.costs().values()
    parameters = graph.of_kind("parameter")
    sums = {f.name: sum(getattr(c, f.name) for c in costs) for f in fields(Cost) if f.name not in ("counted",)}
    sums["parameters"] = graph.parameter_count
    return Totals(
        trainable=sum(p.size for p in parameters if p.trainable),
        parameter_bytes=sum(p.nbytes for p in parameters),
        input_bytes=sum(x.nbytes for x in graph.of_kind("input")),
        peak_bytes=_peak(graph),
        **sums,
    )


# ---- memory ------------------------------------------------------------------------------------------------


def _peak(graph: Graph) -> int:
    """The most bytes that one training step holds at a time: forward in order, then backward in the other order."""
    ops = graph.ops
    last_use = {node.id: max((e.target for e in graph.out_of(node)), default=node.id) for node in ops}
    sizes: dict[int, int] = {}
    until: dict[int, int] = {}  # the node after whose forward a block is free
    for node in ops:
        sizes[_block(node)] = max(sizes.get(_block(node), 0), node.nbytes)
        until[_block(node)] = max(until.get(_block(node), 0), last_use[node.id])
    savers: dict[int, int] = {}  # the first node that saves a block: the last one to need it in backward
    for node in ops:
        for _, block, size in node.saved:
            if block:
                savers.setdefault(block, node.id)
                sizes.setdefault(block, size)
    fixed = sum(n.nbytes for n in graph.nodes if n.kind in ("input", "parameter", "buffer"))
    held = fixed
    peak = held
    alive: set[int] = set()
    ending: dict[int, list[int]] = {}
    for block, node_id in until.items():
        if block not in savers:
            ending.setdefault(node_id, []).append(block)
    for node in ops:
        new = {_block(node), *(block for _, block, _ in node.saved if block)} - alive - {0}
        alive |= new
        held += sum(sizes[block] for block in new)
        peak = max(peak, held)
        for block in ending.get(node.id, ()):
            if block in alive:
                alive.discard(block)
                held -= sizes[block]
    return max(peak, _backward_peak(graph, ops, held, savers, sizes, alive))


def _backward_peak(
    graph: Graph, ops: Sequence[GraphNode], held: int, savers: dict[int, int], sizes: dict[int, int], alive: set[int]
) -> int:
    peak = held
    gradients: set[int] = set()
    for node in reversed(ops):
        if not node.tracked:
            continue
        wanted = {e.source for e in graph.into(node) if graph[e.source].tracked} - gradients
        if node.id not in gradients:  # where backward starts
            gradients.add(node.id)
            held += node.nbytes
        gradients |= wanted
        held += sum(graph[i].nbytes for i in wanted)
        peak = max(peak, held)
        held -= node.nbytes
        for block in {block for _, block, _ in node.saved if savers.get(block) == node.id} & alive:
            alive.discard(block)
            held -= sizes[block]
    return peak


def _block(node: GraphNode) -> int:
    return node.block if node.block > 0 else -node.id - 1

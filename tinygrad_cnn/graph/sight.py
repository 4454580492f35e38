"""What an op sees: which pixels of the inputs go into one of its results, from shapes and parameters alone.

Along one dimension of an input, the result at place i sees the pixels from low(i) to high(i). Borders aside both repeat
themselves: low(i + period) = low(i) + step. So one period of whole numbers tells all: a convolution of stride 2 has
period 1 and step 2, upsampling by 2 period 2 and step 1. Where paths meet, what they see is put together place by
place, however each of them came there: up, down, or not at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import mul
from typing import Any

from tinygrad_cnn.graph.graph import Graph, GraphNode

__all__ = ["receptive_fields"]

_LONGEST = 10_000  # a period beyond which nobody gains from the number
_MOST = 200_000  # places that are looked up for one op: more would take longer than the number is worth


@dataclass(frozen=True)
class Sight:
    """What is seen along one dimension of an input: `low` and `high` of a period of places, `step` to the next.

    Where a place sees nothing (between the pixels that a transposed convolution spreads), low is inf and high -inf.
    """

    step: int = 1
    low: tuple[float, ...] = (0,)
    high: tuple[float, ...] = (0,)

    @property
    def size(self) -> int:
        """The most pixels that a place sees, from the first to the last."""
        return int(
            max((high - low + 1 for low, high in zip(self.low, self.high, strict=True) if low <= high), default=0)
        )

    def at(self, place: int) -> tuple[float, float]:
        """The first and the last pixel that a place sees."""
        turns, rest = divmod(place, len(self.low))
        return self.low[rest] + turns * self.step, self.high[rest] + turns * self.step

    def through(self, period: int, step: int, places: Callable[[int], Iterable[int]]) -> Sight | None:
        """What is seen by an op whose result i looks at `places(i)` of this; places(i + period) is places(i) + step."""
        turns = len(self.low) // math.gcd(step, len(self.low))
        if period * turns > _LONGEST:
            return None
        looked = [list(places(i)) for i in range(period)]
        if sum(map(len, looked)) * turns > _MOST:
            return None
        ends = [[self.at(p + step * turn) for p in looked[i]] for turn in range(turns) for i in range(period)]
        return Sight(
            self.step * step * turns // len(self.low),
            tuple(min((low for low, _ in found), default=math.inf) for found in ends),
            tuple(max((high for _, high in found), default=-math.inf) for found in ends),
        )

    def shifted(self, by: int) -> Sight | None:
        """What is seen by an op whose result i looks at place i + by."""
        return self.through(1, 1, lambda i: (i + by,))

    def joined(self, other: Sight) -> Sight | None:
        """What both see together; None where they move over the input at different speeds."""
        period = math.lcm(len(self.low), len(other.low))
        if self.step * len(other.low) != other.step * len(self.low) or period > _LONGEST:
            return None
        ends = [(*self.at(i), *other.at(i)) for i in range(period)]
        low = tuple(min(e[0], e[2]) for e in ends)
        return Sight(self.step * period // len(self.low), low, tuple(max(e[1], e[3]) for e in ends))


Place = tuple[int, Sight] | None  # an axis of an array, and what is seen along it; None: the whole dimension is seen
Seen = dict[tuple[int, int], Place]  # by input and its spatial dimension
Shape = tuple[int, ...]


def receptive_fields(graph: Graph) -> dict[int, tuple[int, ...] | None]:
    """See `Graph.receptive_fields`."""
    if graph.whole is not None:
        fields = receptive_fields(graph.whole)
        return {node.id: fields[graph.members[node.id][-1]] for node in graph.ops}
    seen: dict[int, Seen] = {}
    adaptive: dict[int, tuple[Seen, Shape]] = {}  # by the composite's call: what goes into it, and its shape
    sizes = {node.run: node.shape for node in graph.ops if node.composite.startswith(_ADAPTIVE)}
    for node in graph.nodes:
        seen[node.id] = {}
        edges = graph.into(node) if node.kind == "op" else []
        if node.kind == "input":
            seen[node.id] = {(node.id, axis): (axis, Sight()) for axis in range(2, len(node.shape))}
        elif edges and node.run in sizes:  # indices and matrices hide the windows: the call counts as one op
            source = graph[edges[0].source]
            before, shape = adaptive.setdefault(node.run, (seen[source.id], source.shape))
            n = int(node.composite[-2])
            seen[node.id] = {
                key: place and _adaptive(n, shape, sizes[node.run], *place) for key, place in before.items()
            }
            continue
        for edge in edges:
            for key, place in seen[edge.source].items():
                new = place and _through(node, edge.argument, graph[edge.source].shape, *place)
                seen[node.id][key] = _together(seen[node.id][key], new) if key in seen[node.id] else new
    return {node.id: _field(graph, seen[node.id]) for node in graph.ops}


def _field(graph: Graph, seen: Seen) -> tuple[int, ...] | None:
    """The most that is seen of an input: a dimension that is seen whole counts with its length, None if all are."""
    if not seen or not any(seen.values()):
        return None
    sizes: dict[int, list[int]] = {}
    for (number, axis), place in seen.items():
        sizes.setdefault(number, []).append(graph[number].shape[axis] if place is None else place[1].size)
    return max(map(tuple, sizes.values()), key=math.prod)


def _together(a: Place, b: Place) -> Place:
    if a is None or b is None or a[0] != b[0]:
        return None
    sight = a[1].joined(b[1])
    return _on(a[0], sight)


def _on(axis: int, sight: Sight | None) -> Place:
    return None if sight is None else (axis, sight)


# ---- one op ------------------------------------------------------------------------------------------------


def _through(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    """Where in the result of an op the axis of an argument (of `shape`) lies, and what is then seen along it."""
    rule = _RULES.get(re.sub(r"[123]d$", "", node.name))
    if rule is not None:
        return rule(node, argument, shape, axis, sight)
    if node.family in ("element-wise", "activation"):
        return _broadcast(node, argument, shape, axis, sight)
    return _reduction(node, argument, shape, axis, sight) if node.family == "reduction, loss" else None


def _broadcast(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    new = axis + len(node.shape) - len(shape)
    stretched = shape[axis] == 1 != node.shape[new]
    found = sight.through(1, 0, lambda i: (0,)) if stretched else sight
    return _on(new, found)


def _window(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    """Convolutions, their transposes, and pooling."""
    n = int(node.name[-2])
    first = len(shape) - n  # the first spatial axis
    if argument != "input" or (axis == first - 1 and "pool" not in node.name):
        return None
    if axis < first:
        return axis, sight
    weights = [operand for name, operand, _ in node.operands if name == "weight"]
    kernel = weights[0][2:] if weights else _each(node.params["kernel_size"], n)
    k = kernel[axis - first]
    d = _each(node.params.get("dilation", 1), n)[axis - first]
    s = _each(node.params.get("stride") or kernel, n)[axis - first]
    padding = node.params.get("padding", 0)
    if isinstance(padding, str):
        padding = d * (k - 1) // 2 if padding == "same" else 0
    p = _each(padding, n)[axis - first]
    if "transpose" in node.name:
        found = sight.through(s, 1, lambda i: [(i + p - t * d) // s for t in range(k) if (i + p - t * d) % s == 0])
    else:
        found = sight.through(1, s, lambda i: [i * s - p + t * d for t in range(k)])
    return _on(axis, found)


def _adaptive(n: int, shape: Shape, out: Shape, axis: int, sight: Sight) -> Place:
    """Adaptive pooling over the last `n` dimensions: windows that share out the input evenly, rounded outwards."""
    first = len(shape) - n
    if axis < first:
        return axis, sight
    length, count = shape[axis], out[axis - len(shape)]
    whole = math.gcd(length, count)
    found = sight.through(
        count // whole, length // whole, lambda i: range(i * length // count, -(-(i + 1) * length // count))
    )
    return _on(axis, found)


def _linear(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    return None if argument != "input" or axis == len(shape) - 1 else (axis, sight)


def _matmul(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    summed = len(shape) - (1 if argument == "input" else 2)
    plain = all(len(operand) > 1 for _, operand, _ in node.operands)
    return None if axis == summed or not plain else (axis + len(node.shape) - len(shape), sight)


def _reduction(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    gone = _dims(node, len(shape))
    if axis in gone:
        return None
    return axis - (0 if len(node.shape) == len(shape) else sum(dim < axis for dim in gone)), sight


def _along(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    """Ops whose results have the shape of their input, and see all of some dimensions."""
    return None if axis in _dims(node, len(shape)) else (axis, sight)


def _dims(node: GraphNode, ndim: int) -> Sequence[int]:
    """The dimensions over which an op goes: all of them where none is said."""
    dims = node.params.get("dim", node.params.get("dims"))
    if dims in (None, ()):
        return range(ndim)
    return [dim % ndim for dim in (dims if isinstance(dims, tuple) else (dims,))]


def _permute(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    order = list(range(len(shape)))
    if node.name == "transpose":
        a, b = node.params["dim0"], node.params["dim1"]
        order[a], order[b] = order[b], order[a]
    else:
        order = [dim % len(shape) for dim in node.params["dims"]]
    return order.index(axis), sight


def _reshape(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    """Into an axis that holds this one whole, among others, or into that piece of it whose results see the least."""
    if shape[axis] == 1:  # there is one place only: wherever the axis went, each result sees that
        found = sight.through(1, 0, lambda i: (0,))
        return _on(0, found)
    end = math.prod(shape[:axis])  # counted from the left: how many blocks the axis divides, and how many it makes
    begin, end = end, end * shape[axis]
    stops = list(accumulate(node.shape, mul))
    pieces: list[tuple[int, Sight]] = []
    for new, stop in enumerate(stops):
        start = stop // node.shape[new]
        if node.shape[new] > 1 and not begin % start and not stop % end:
            return _merged(sight, new, begin // start, shape[axis], stop // end)
        if node.shape[new] > 1 and not start % begin and not end % stop:
            found = _piece(sight, start // begin, node.shape[new], end // stop)
            pieces += [(new, found)] if found else []
    return min(pieces, key=lambda piece: piece[1].size, default=None)


def _merged(sight: Sight, new: int, outer: int, length: int, inner: int) -> Place:
    """An axis that became a part of a longer one: it is gone through `outer` times, each place `inner` times over."""
    if outer == 1:
        found = sight.through(inner, 1, lambda i: (i // inner,))
    else:
        found = sight.through(inner * length, 0, lambda i: (i // inner % length,))
    return _on(new, found)


def _piece(sight: Sight, outer: int, length: int, inner: int) -> Sight | None:
    """A piece of an axis that was cut: one of its places stands for `inner` neighbours in each of `outer` blocks."""
    block = length * inner
    return sight.through(
        1, inner, lambda i: [o * block + i * inner + place for o in range(outer) for place in range(inner)]
    )


def _pad(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    pads = node.params["pad"]
    place = 2 * (len(shape) - 1 - axis)
    found = sight.shifted(-pads[place]) if place < len(pads) else sight
    return _on(axis, found)


def _flip(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    if axis not in _dims(node, len(shape)):
        return axis, sight
    found = sight.through(1, -1, lambda i: (shape[axis] - 1 - i,))
    return _on(axis, found)


def _cat(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    return None if axis == node.params.get("dim", 0) % len(shape) else (axis, sight)


def _stack(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    return axis + (axis >= node.params.get("dim", 0) % len(node.shape)), sight


def _index_select(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    if axis != node.params["dim"] % len(shape):
        return axis, sight
    rule = _regular(node.picks, shape[axis]) if argument == "input" else None
    if rule is None:
        return None
    period, step = rule
    start = (len(node.picks) - period) // 2 // period  # a period in the middle, far from the borders
    picks = [node.picks[start * period + i] - start * step for i in range(period)]
    found = sight.through(period, step, lambda i: (picks[i % period] + i // period * step,))
    return _on(axis, found)


def _regular(picks: Sequence[int], n: int) -> tuple[int, int] | None:
    """Period and step of places picked from `n`, borders aside; None where they follow no rule."""
    m = len(picks)
    middle = range(m // 4, m - m // 4)  # places beyond the borders were moved inside
    steps = {picks[i + 1] - picks[i] for i in middle[:-1]}
    if len(steps) == 1:
        return 1, steps.pop()
    if not m or any(a > b for a, b in pairwise(picks)):
        return None
    whole = math.gcd(m, n)
    period, step = m // whole, n // whole
    regular = all(picks[i + period] - picks[i] == step for i in middle[: max(len(middle) - period, 0)])
    return (period, step) if regular else (m, n)


def _getitem(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    items = node.params["index"]
    items = list(items) if isinstance(items, tuple) else [items]
    takes = sum(item is not None and item != "..." for item in items)
    if "..." in items:
        place = items.index("...")
        items[place : place + 1] = [":"] * (len(shape) - takes)
    items += [":"] * (len(shape) - takes)
    new, old = 0, -1
    for item in items:
        if item is None:
            new += 1
            continue
        if not isinstance(item, int) and (not isinstance(item, str) or set(item) - set("0123456789-:")):
            return None  # arrays
        old += 1
        if old == axis:
            break
        new += not isinstance(item, int)
    if isinstance(item, int):  # one place for all results: that is no longer an axis
        return None
    start, _, step = slice(*(int(x) if x else None for x in item.split(":"))).indices(shape[axis])
    found = sight.through(1, step, lambda i: (start + i * step,))
    return _on(new, found)


def _kept(node: GraphNode, argument: str, shape: Shape, axis: int, sight: Sight) -> Place:
    return (axis, sight) if argument == "input" else None


def _each(value: Any, n: int) -> tuple[int, ...]:
    """A window's length along each of `n` dimensions."""
    return tuple(value) if isinstance(value, tuple) else (int(value),) * n


_ADAPTIVE = ("adaptive_avg_pool", "adaptive_max_pool")
_RULES: dict[str, Callable[[GraphNode, str, Shape, int, Sight], Place]] = {
    "conv": _window, "conv_transpose": _window, "max_pool": _window, "avg_pool": _window,
    "linear": _linear, "matmul": _matmul, "batch_norm": _kept,
    "softmax": _along, "log_softmax": _along, "cumsum": _along, "cumprod": _along, "standardize": _along,
    "roll": _along, "flip": _flip, "permute": _permute, "transpose": _permute, "broadcast_to": _broadcast,
    "reshape": _reshape, "flatten": _reshape, "unflatten": _reshape, "squeeze": _reshape, "unsqueeze": _reshape,
    "pad": _pad, "cat": _cat, "stack": _stack, "index_select": _index_select, "getitem": _getitem,
}  # fmt: skip

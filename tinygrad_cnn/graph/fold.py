"""Folding: several nodes drawn as one, by layers and functions of ops, repetition, depth, class or predicate."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np

from tinygrad_cnn.graph.graph import Edge, Gradient, Graph, GraphNode
from tinygrad_cnn.graph.style import family_of_function

__all__ = ["MANY", "TALL", "fold", "fold_as_said", "fold_depth", "fold_layers", "fold_modules", "fold_repeats"]

MANY = 300  # a graph of so many nodes starts folded
TALL = 60  # a picture of so many boxes fills several screens: what repeats itself is drawn once


def fold(graph: Graph, key: Callable[[GraphNode], Hashable | None], drop_loops: bool = False) -> Graph:
    """A new graph in which the ops with one key are one node; those whose key is None stay as they are.

    The new node stands where the first of them stood, and has the shape of the last one's result. drop_loops: leave
    out edges that go back, from one repetition to the next.
    """
    groups: dict[Hashable, list[GraphNode]] = {}
    for node in graph.ops:
        mark = key(node)
        if mark is not None:
            groups.setdefault(mark, []).append(node)
    first = {group[0].id: group for group in groups.values()}
    inside = {node.id for group in groups.values() for node in group[1:]}
    place: dict[int, int] = {}
    nodes: list[GraphNode] = []
    members: dict[int, tuple[int, ...]] = {}
    for node in graph.nodes:
        if node.id in inside:
            continue
        group = first.get(node.id, [node])
        new = len(nodes)
        place |= {member.id: new for member in group}
        members[new] = tuple(i for member in group for i in graph.members.get(member.id, (member.id,)))
        nodes.append(_renumbered(_joined(group), new))
    edges: dict[tuple[int, int, str], Edge] = {}
    gradients: dict[tuple[int, int, str], Gradient] = {}
    folded_loops: dict[tuple[int, int], None] = {}
    for edge in graph.edges:
        source, target = place[edge.source], place[edge.target]
        loops = source > target and nodes[source].kind == "op" and drop_loops
        if loops or (drop_loops and source == target and edge.source != edge.target):
            folded_loops[source, target] = None
        if source != target and not loops:
            # Into a folded node one edge is enough, unless each has a gradient of its own to show.
            joined = nodes[target].count > 1 and graph.gradients is None
            # `tensors[0]`, `tensors[1]`: of each repetition another one.
            argument = edge.argument.partition("[")[0] if drop_loops else edge.argument
            key_of_edge = (source, target, "" if joined else argument)
            if key_of_edge not in edges:
                edges[key_of_edge] = Edge(source, target, edge.argument, edge.shape, edge.dtype, edge.nbytes)
            moved = (source, target, edges[key_of_edge].argument)
            if graph.gradients and (found := graph.gradients.get((edge.source, edge.target, edge.argument))):
                gradients[moved] = gradients[moved] | found if moved in gradients else found
    folded = Graph(nodes, list(edges.values()), graph.modules, graph.title, origin=graph.origin, model=graph.model)
    folded.gradients = None if graph.gradients is None else gradients
    folded.whole = graph.whole or graph
    folded.members = members
    folded.loops = tuple(folded_loops)
    return folded


_all_but_id = attrgetter(*GraphNode.__slots__[1:])


def _renumbered(node: GraphNode, id: int) -> GraphNode:
    """The same node under another number; `replace` takes thrice as long, and graphs are large."""
    return node if node.id == id else GraphNode(id, *_all_but_id(node))


def _joined(group: Sequence[GraphNode]) -> GraphNode:
    if len(group) == 1:
        return group[0]
    name = group[0].composite or group[-1].name
    return replace(
        group[-1], name=name, family=family_of_function(name) or group[-1].family, params={}, changed=(), constants={},
        count=sum(node.count for node in group), where=group[0].where, operands=(), saved=(),
        error=next((node.error for node in group if node.error), ""), tracked=any(node.tracked for node in group),
    )  # fmt: skip


def fold_as_said(graph: Graph, how: Any) -> Graph:
    """The graph folded by an option of `Graph.save`: a word, a depth, classes of modules, or a predicate of modules."""
    if how == "none":
        return graph
    if how == "layers":
        return fold_layers(graph)
    if how == "repeat":
        return fold_repeats(fold_layers(graph))
    if how == "auto":
        return fold_until_few(graph)
    if isinstance(how, int) and not isinstance(how, bool) and how >= 1:
        return fold_depth(fold_layers(graph), how)
    classes = how if isinstance(how, tuple) and how else (how,)
    if all(isinstance(c, type) for c in classes):
        return fold_modules(graph, lambda module: isinstance(module, classes))
    if callable(how):
        return fold_modules(graph, how)
    raise ValueError(
        f"graph: fold is {how!r}, expected one of auto, layers, repeat, none, a depth from 1, a class or a predicate"
    )


def fold_layers(graph: Graph) -> Graph:
    """The graph with one node for each call of a layer of `nn`, and for each call of a composite."""
    keys: dict[int, Hashable] = {}
    for node in graph.ops:
        info = graph.modules.get(node.path)
        if info is not None and info.is_layer:
            keys[node.id] = (node.path, node.call)
        elif node.composite and not node.order:
            keys[node.id] = (node.composite, node.run)
    return fold(graph, lambda node: keys.get(node.id))


def fold_modules(graph: Graph, wanted: Callable[[Any], bool]) -> Graph:
    """The graph with one node for each call of a module of which `wanted` is true, and for each layer."""
    if graph.model is None:
        raise ValueError("graph: folding by class or predicate needs the model, this graph was made without one")
    paths = {path for path, module in graph.model.named_modules() if path and wanted(module)}
    return fold_layers(_fold_paths(graph, lambda path: next((p for p in _prefixes(path) if p in paths), None)))


def fold_depth(graph: Graph, depth: int) -> Graph:
    """The graph with one node for each call of a module that stands `depth` levels below the model."""
    return _fold_paths(graph, lambda path: _ancestor(path, depth))


def _ancestor(path: str, depth: int) -> str | None:
    """The first `depth` names of a dotted path; None where it has fewer."""
    parts = path.split(".")
    return ".".join(parts[:depth]) if len(parts) >= depth else None


def _prefixes(path: str) -> Iterable[str]:
    """`a`, `a.b`, `a.b.c`."""
    parts = path.split(".")
    return (".".join(parts[: i + 1]) for i in range(len(parts)))


def _fold_paths(graph: Graph, chosen: Callable[[str], str | None]) -> Graph:
    """Fold each call of the modules that `chosen` gives for paths; a new call begins with the module's first op."""
    keys: dict[int, tuple[str, int]] = {}
    firsts: dict[str, Any] = {}
    calls: dict[str, int] = {}
    before: str | None = None
    for node in graph.ops:
        path = chosen(node.path) if node.path else None
        if path is None:
            before = None
            continue
        parameters = tuple(p.id for p in graph.parameters_of([node]))
        mark = node.path, node.name, parameters
        if firsts.setdefault(path, mark) == mark and (parameters or before != path):
            calls[path] = calls.get(path, -1) + 1
        before = path
        keys[node.id] = path, calls[path]
    folded = fold(graph, lambda node: keys.get(node.id))
    made = {members[0]: i for i, members in folded.members.items()}
    nodes = list(folded.nodes)
    origin = graph.members or {node.id: (node.id,) for node in graph.nodes}
    layers = {path for path, info in graph.modules.items() if info.is_layer}
    for number, (path, call) in keys.items():
        new = made.get(origin[number][0])
        if new is not None:
            made_of_many = nodes[new].count > 1 and path not in layers
            family = "folded module" if made_of_many else nodes[new].family
            nodes[new] = replace(nodes[new], path=path, call=call, composite="", family=family)
    return _with_nodes(folded, nodes)


def _with_nodes(graph: Graph, nodes: Sequence[GraphNode]) -> Graph:
    new = Graph(nodes, graph.edges, graph.modules, graph.title, origin=graph.origin, model=graph.model)
    new.gradients, new.whole, new.members, new.repeats = graph.gradients, graph.whole, graph.members, graph.repeats
    new.times, new.loops = graph.times, graph.loops
    return new


# ---- repetition --------------------------------------------------------------------------------------------


def fold_repeats(graph: Graph) -> Graph:
    """The graph in which what repeats itself is drawn once, marked with how many times.

    That is modules that follow each other and are alike: of one class, side by side in one parent, with the same ops on
    the same shapes; and then rounds of a loop: the same ops again and again, each round on the results of the last.
    """
    return _fold_loops(_fold_modules_alike(graph))


def _fold_modules_alike(graph: Graph) -> Graph:
    stretches = _stretches(graph)
    keys: dict[int, Hashable] = {}
    repeats: dict[str, tuple[str, int]] = {}
    for run in _alike(graph, stretches):
        first, last = run[0][0], run[-1][0]
        repeats[first] = last, len(run)
        for _, ops in run:
            for i, node in enumerate(ops):
                keys[node.id] = ("repeat", first, i)
    if not keys:
        return graph
    folded = fold(graph, lambda node: keys.get(node.id), drop_loops=True)
    made = {members[0]: i for i, members in folded.members.items()}
    nodes = list(folded.nodes)
    origin = graph.members or {node.id: (node.id,) for node in graph.nodes}
    for node in graph.ops:
        if node.id in keys and (new := made.get(origin[node.id][0])) is not None:
            nodes[new] = replace(node, id=new, count=node.count)
    new_graph = _with_nodes(folded, nodes)
    new_graph.repeats, new_graph.loops = repeats, ()
    return new_graph


def _stretches(graph: Graph) -> dict[str, list[tuple[str, list[GraphNode]]]]:
    """By parent: its modules that were called once, in one go, with their ops, in order."""
    found: dict[str, list[tuple[str, list[GraphNode]]]] = {}
    for depth in range(1, 2 + max((node.path.count(".") for node in graph.ops), default=0)):
        for path, ops in groupby(graph.ops, key=lambda node: ".".join(node.path.split(".")[:depth])):
            if path.count(".") == depth - 1 and path:
                found.setdefault(path.rpartition(".")[0], []).append((path, list(ops)))
    return found


def _alike(
    graph: Graph, stretches: dict[str, list[tuple[str, list[GraphNode]]]]
) -> Iterable[list[tuple[str, list[GraphNode]]]]:
    taken: set[str] = set()
    positions = {node.id: i for i, node in enumerate(graph.ops)}
    for parent, children in sorted(stretches.items(), key=lambda item: item[0].count(".")):
        if any(path in taken for path in _prefixes(parent)):
            continue
        for _, same in groupby(_adjacent(graph, children, positions), key=lambda item: item[0]):
            run = [item[1] for item in same]
            if len(run) > 1 and len(run[0][1]) > 1 and len({path for path, _ in run}) == len(run):
                taken |= {path for path, _ in run}
                yield run


def _adjacent(
    graph: Graph, children: Sequence[tuple[str, list[GraphNode]]], positions: dict[int, int]
) -> Iterable[tuple[Any, Any]]:
    """Each child with a mark that it shares with those next to it that are like it."""
    number, before, end = 0, None, None
    for path, ops in children:
        info = graph.modules.get(path)
        like = (info.kind if info else None, tuple(_likeness(graph, path, node) for node in ops))
        if like != before or positions[ops[0].id] != end:
            number += 1
        before, end = like, positions[ops[-1].id] + 1
        yield number, (path, ops)


def _likeness(graph: Graph, path: str, node: GraphNode) -> Any:
    parameters = tuple(p.shape for p in graph.parameters_of([node]))
    return node.path.removeprefix(path), node.name, node.shape, node.dtype, str(sorted(node.params.items())), parameters


# ---- loops -------------------------------------------------------------------------------------------------

_ROUNDS = 3  # so many are a loop
_FEW = 12  # ops that are not worth it
_LONGEST_ROUND = 200  # ops


def _fold_loops(graph: Graph) -> Graph:
    """The graph in which the rounds of each loop are one, each op marked with the number of rounds."""
    keys: dict[int, Hashable] = {}
    rounds: dict[int, int] = {}
    for start, length, count in _loops(graph):
        for i, node in enumerate(graph.ops[start : start + length * count]):
            keys[node.id] = ("loop", start, i % length)
            rounds[node.id] = count
    if not keys:
        return graph
    folded = fold(graph, lambda node: keys.get(node.id), drop_loops=True)
    made = {members[0]: i for i, members in folded.members.items()}
    nodes = list(folded.nodes)
    firsts: dict[Hashable, GraphNode] = {}
    for node in graph.ops:
        if node.id in keys:  # the last round is shown: the first may begin with other things
            first = firsts.setdefault(keys[node.id], node)
            new = made[graph.members.get(first.id, (first.id,))[0]]
            nodes[new] = replace(node, id=new, count=nodes[new].count, params=_from_to(first.params, node.params))
            folded.times[new] = rounds[node.id]
    folded.repeats = graph.repeats
    return _with_nodes(folded, nodes)


def _from_to(first: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that run from round to round, as `0 … 29`: those of slices, each dimension by itself."""
    found = dict(last)
    if first != last:
        a, b = (x["index"] if isinstance(x["index"], tuple) else (x["index"],) for x in (first, last))
        found["index"] = tuple(y if x == y else f"{x} … {y}" for x, y in zip(a, b, strict=True))
    return found


def _loops(graph: Graph) -> Iterable[tuple[int, int, int]]:
    """Of each loop the place of its first op, the ops in a round, the rounds; of several that which holds most."""
    ops = graph.ops
    numbers: dict[Any, int] = {}
    marks = np.array([numbers.setdefault(_mark(graph, node), len(numbers)) for node in ops], np.int64)
    best = np.zeros((3, len(ops)), np.int64)  # by place: the ops that a loop holds from there on, a round's, the rounds
    for length in range(1, min(_LONGEST_ROUND, len(ops) // _ROUNDS) + 1):
        differ = np.flatnonzero(marks[:-length] != marks[length:])
        ends = np.append(differ, len(ops) - length)[np.searchsorted(differ, np.arange(len(ops) - length))]
        counts = (ends - np.arange(len(ops) - length)) // length + 1
        sizes = np.where(counts >= _ROUNDS, counts * length, 0)
        better = np.flatnonzero(sizes > best[0, : len(sizes)])
        best[:, better] = sizes[better], np.full(len(better), length), counts[better]
    places = {node.id: i for i, node in enumerate(ops)}
    start = 0
    while start < len(ops):
        held, length, count = (int(n) for n in best[:, start])
        count = _rounds(graph, ops, places, start, length, count) if held >= _FEW else 0
        if count >= _ROUNDS and count * length >= _FEW:
            yield start, length, count
            start += length * count
        else:
            start += 1


def _mark(graph: Graph, node: GraphNode) -> Any:
    """What is the same in an op of every round; the place that a slice takes is not."""
    params = node.params
    if node.name == "getitem":
        index = params["index"]
        params = {"dimensions": len(index) if isinstance(index, tuple) else 1}
    parameters = tuple(p.id for p in graph.parameters_of([node]))
    return node.path, node.name, node.composite, node.shape, node.dtype, str(sorted(params.items())), parameters


def _rounds(graph: Graph, ops: Sequence[GraphNode], places: dict[int, int], start: int, length: int, count: int) -> int:
    """How many rounds take from the one before what the second takes from the first."""

    def taken(place: int) -> list[tuple[str, int]]:
        """Where an op's arguments come from: so many ops before it in the loop, or a node outside."""
        found = []
        for edge in graph.into(ops[place]):
            source = places.get(edge.source, -1)
            found.append(("before", place - source) if source >= start else ("outside", edge.source))
        return found

    for place in range(start + 2 * length, start + count * length):
        if taken(place) != taken(place - length):
            return (place - start) // length
    return count


# ---- large graphs ------------------------------------------------------------------------------------------


def fold_until_few(graph: Graph, limit: int = MANY) -> Graph:
    """The graph folded by layers, and, while it is too large to be read, by repetition, depth, and stretches of ops."""
    folded = fold_layers(graph)
    if len(folded.ops) < TALL and len(graph.nodes) < limit:
        return folded
    folded = fold_repeats(folded)
    if len(graph.nodes) < limit or _shown(folded) < limit:
        return folded
    for depth in range(max((node.path.count(".") for node in folded.ops), default=0), 0, -1):
        found = [_ancestor(node.path, depth) if node.path else None for node in folded.ops]
        if len(set(found)) + found.count(None) < limit - len(graph.of_kind("input")):
            deep = fold_depth(folded, depth)
            return deep if _shown(deep) < limit else _fold_stretches(deep, limit // 2)
    return _fold_stretches(folded, limit // 2)


def _shown(graph: Graph) -> int:
    return sum(node.kind != "parameter" for node in graph.nodes)


def _fold_stretches(graph: Graph, count: int) -> Graph:
    """Ops that follow each other as one node each, `count` nodes in all."""
    length = -(-len(graph.ops) // count)
    places = {node.id: i // length for i, node in enumerate(graph.ops)}
    return fold(graph, lambda node: places[node.id])

"""Folding: several nodes drawn as one. The calls of layers and of composites (functions of ops) are folded at first."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace

from tinygrad_cnn.graph.graph import Edge, Graph, GraphNode
from tinygrad_cnn.graph.style import family_of_function

__all__ = ["fold", "fold_layers"]


def fold(graph: Graph, key: Callable[[GraphNode], Hashable | None]) -> Graph:
    """A new graph in which the ops with one key are one node; those whose key is None stay as they are.

    The new node stands where the first of them stood, and has the shape of the last one's result.
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
    for node in graph.nodes:
        if node.id in inside:
            continue
        group = first.get(node.id, [node])
        place |= {member.id: len(nodes) for member in group}
        nodes.append(replace(_joined(group), id=len(nodes)))
    edges: dict[tuple[int, int, str], Edge] = {}
    for edge in graph.edges:
        source, target = place[edge.source], place[edge.target]
        if source != target:
            edges.setdefault((source, target, edge.argument), replace(edge, source=source, target=target))
    return Graph(nodes, list(edges.values()), graph.modules, graph.title)


def _joined(group: list[GraphNode]) -> GraphNode:
    if len(group) == 1:
        return group[0]
    name = group[0].composite or group[-1].name
    return replace(
        group[-1], name=name, family=family_of_function(name) or group[-1].family, params={}, changed=(), constants={},
        count=len(group), where=group[0].where,
    )  # fmt: skip


def fold_layers(graph: Graph) -> Graph:
    """The graph with one node for each call of a layer of `nn`, and for each call of a composite."""
    keys: dict[int, Hashable] = {}
    for node in graph.ops:
        info = graph.modules.get(node.path)
        if info is not None and info.is_layer:
            keys[node.id] = (node.path, node.call)
        elif node.composite:
            keys[node.id] = (node.composite, node.run)
    return fold(graph, lambda node: keys.get(node.id))

"""What differs between two graphs: ops added, removed and changed, as text, as a picture, as an exit code."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from tinygrad_cnn.graph.graph import Edge, Graph, GraphNode, ModuleInfo
from tinygrad_cnn.graph.labels import count, printable

__all__ = ["Change", "GraphDiff", "diff"]


@dataclass(frozen=True)
class Change:
    """A node that both graphs have, and that is not the same in them; facts: what, before and after, in words."""

    before: GraphNode
    after: GraphNode
    facts: tuple[str, ...]


@dataclass(frozen=True)
class GraphDiff:
    """The difference from graph `a` to graph `b`. True as a bool where there is any; `print` it; `save` draws it."""

    a: Graph
    b: Graph
    added: tuple[GraphNode, ...]
    removed: tuple[GraphNode, ...]
    changed: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    @property
    def exit_code(self) -> int:
        """0 where the graphs are alike, 1 where they differ: what a command returns."""
        return int(bool(self))

    def __str__(self) -> str:
        if not self:
            return f"{_name(self.a)} and {_name(self.b)} are alike: {count(len(self.b.ops), 'op')}"
        lines = [
            f"{_name(self.a)} -> {_name(self.b)}: {len(self.added)} added, {len(self.removed)} removed, "
            f"{len(self.changed)} changed"
        ]
        lines += [f"- {_words(node)}" for node in self.removed]
        lines += [f"+ {_words(node)}" for node in self.added]
        lines += [f"~ {_title(change.after)}: {'; '.join(change.facts)}" for change in self.changed]
        before, after = self.a.totals(), self.b.totals()
        for word, x, y in (
            ("parameters", before.parameters, after.parameters),
            ("MACs", before.macs, after.macs),
            ("FLOPs forward", before.flops, after.flops),
        ):
            if x != y:
                lines.append(f"  {word}: {x:,} -> {y:,}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The difference as plain values, fit for JSON: whether the graphs are alike, and each node by its text."""
        return {
            "a": self.a.title,
            "b": self.b.title,
            "alike": not self,
            "removed": [_words(node) for node in self.removed],
            "added": [_words(node) for node in self.added],
            "changed": [{"node": _title(change.after), "facts": list(change.facts)} for change in self.changed],
        }

    def union(self) -> Graph:
        """Both graphs in one: that of `b`, and what was removed from `a`; the overlay "diff" tells them apart."""
        nodes = list(self.b.nodes)
        verdicts: dict[int, Any] = {node.id: "same" for node in self.b.ops}
        verdicts |= {node.id: "added" for node in self.added} | {change.after.id: "changed" for change in self.changed}
        match = {x.id: y.id for x, y in _pairs(self.a, self.b)}
        old = {path: f"{path} (before)" for path, info in self.a.modules.items() if path and self._is_other(path, info)}
        for node in self.a.nodes:
            if node.id not in match:
                match[node.id] = len(nodes)
                verdicts[len(nodes)] = "removed"
                # The numbers of memory blocks are those of another graph; a module of a new class goes by two names.
                nodes.append(replace(node, id=len(nodes), block=-1, path=old.get(node.path, node.path)))
        edges = {(e.source, e.target, e.argument): e for e in self.b.edges}
        gone = {match[node.id] for node in self.removed}
        for edge in self.a.edges:
            source, target = match[edge.source], match[edge.target]
            if {source, target} & gone:
                edges.setdefault((source, target, edge.argument), _moved(edge, source, target))
        title = f"{self.a.title} -> {self.b.title}"
        before = {name: self.a.modules[path] for path, name in old.items()}
        union = Graph(nodes, list(edges.values()), {**self.a.modules, **self.b.modules, **before}, title)
        union.measures["diff"] = {i: verdict for i, verdict in verdicts.items() if nodes[i].kind == "op"}
        return union

    def _is_other(self, path: str, info: ModuleInfo) -> bool:
        """Whether the module at a path of `a` is of another class in `b`."""
        return path in self.b.modules and self.b.modules[path].kind != info.kind

    def save(self, path: Any, **style: Any) -> None:
        """Draw both graphs as one, with what was added, removed and changed; the options are those of `Graph.save`."""
        from tinygrad_cnn.graph.render import save_picture

        save_picture(self.union(), path, "a difference", overlay="diff", **{"fold": "none", **style})


def diff(a: Graph, b: Graph) -> GraphDiff:
    """Compare two graphs: ops are paired by module path, name and order, parameters by name.

    Where a layer was put in or taken out of a Sequential, those behind it have other numbers; they are paired, as are
    renamed ones, with those of the same parent that do the same, in order.

    >>> import tinygrad_cnn as tg
    >>> first = tg.graph.capture(tg.nn.Linear(3, 2), tg.zeros(1, 3))
    >>> print(tg.graph.diff(first, tg.graph.capture(tg.nn.Linear(3, 4), tg.zeros(1, 3))))
    Linear -> Linear: 0 added, 0 removed, 4 changed
    ~ parameter weight: shape (2, 3) -> (4, 3)
    ~ parameter bias: shape (2,) -> (4,)
    ~ linear: shape (1, 2) -> (1, 4); parameters 8 -> 16; FLOPs 14 -> 28
    ~ output output: shape (1, 2) -> (1, 4)
      parameters: 8 -> 16
      MACs: 6 -> 12
      FLOPs forward: 14 -> 28
    """
    for name, value in (("a", a), ("b", b)):
        if not isinstance(value, Graph):
            raise TypeError(f"graph.diff: {name} is {type(value).__name__}, expected a Graph")
    pairs = _pairs(a, b)
    old, new = {x.id for x, _ in pairs}, {y.id for _, y in pairs}
    changes = [Change(x, y, facts) for x, y in pairs if (facts := tuple(_facts(a, b, x, y)))]
    return GraphDiff(
        a,
        b,
        tuple(node for node in b.nodes if node.id not in new),
        tuple(node for node in a.nodes if node.id not in old),
        tuple(changes),
    )


def _pairs(a: Graph, b: Graph) -> list[tuple[GraphNode, GraphNode]]:
    marks = _marks(a)
    pairs = [(marks[key], node) for key, node in _marks(b).items() if key in marks]
    old, new = {x.id for x, _ in pairs}, {y.id for _, y in pairs}
    left = [[x for x in graph.ops if x.path and x.id not in seen] for graph, seen in ((a, old), (b, new))]
    roles = [[(x.path.rpartition(".")[0], x.name, x.composite) for x in nodes] for nodes in left]
    for block in SequenceMatcher(a=roles[0], b=roles[1], autojunk=False).get_matching_blocks():
        for i in range(block.size):
            x, y = left[0][block.a + i], left[1][block.b + i]
            pairs.append((x, y))
            theirs = {edge.argument: b[edge.source] for edge in b.into(y)}
            for edge in a.into(x):
                p, q = a[edge.source], theirs.get(edge.argument)
                if q is not None and p.kind == q.kind == "parameter" and p.id not in old and q.id not in new:
                    pairs.append((p, q))
                    old.add(p.id)
                    new.add(q.id)
    return sorted(pairs, key=lambda pair: pair[1].id)


def _marks(graph: Graph) -> dict[Hashable, GraphNode]:
    """Each node by what it is paired by: kind, path, call, name, and which of those that share them it is."""
    counts: dict[Hashable, int] = {}
    found: dict[Hashable, GraphNode] = {}
    for node in graph.nodes:
        key = (node.kind, node.path, node.call, node.name)
        counts[key] = counts.get(key, -1) + 1
        found[key, counts[key]] = node
    return found


def _facts(a: Graph, b: Graph, x: GraphNode, y: GraphNode) -> list[str]:
    """What is not the same in two nodes that are a pair."""
    found = [
        f"{name} {p} -> {q}" for name, p, q in (("shape", x.shape, y.shape), ("dtype", x.dtype, y.dtype)) if p != q
    ]
    places = (x.path, y.path) if x.kind == "op" else (x.name, y.name)
    found += [] if places[0] == places[1] else [f"was {places[0]}"]
    for name in sorted(set(x.params) | set(y.params)):
        if x.params.get(name) != y.params.get(name):
            found.append(f"{name} {x.params.get(name)} -> {y.params.get(name)}")
    if x.trainable != y.trainable:
        found.append("frozen" if x.trainable else "trainable")
    if x.kind == "op":
        before, after = a.costs()[x.id], b.costs()[y.id]
        for word, p, q in (("parameters", before.parameters, after.parameters), ("FLOPs", before.flops, after.flops)):
            if p != q:
                found.append(f"{word} {p:,} -> {q:,}")
        names = [
            tuple(sorted(g[e.source].name for e in g.into(n) if x.path == y.path or g[e.source].kind != "parameter"))
            for g, n in ((a, x), (b, y))
        ]
        if names[0] != names[1]:
            found.append(f"from {', '.join(names[0])} -> {', '.join(names[1])}")
    return found


def _moved(edge: Edge, source: int, target: int) -> Edge:
    return replace(edge, source=source, target=target)


def _name(graph: Graph) -> str:
    return printable(graph.title)


def _title(node: GraphNode) -> str:
    kind = "" if node.kind == "op" else f"{node.kind} "
    place = f" in {node.path}" if node.path and node.kind == "op" else ""
    return printable(f"{kind}{node.name}{place}")


def _words(node: GraphNode) -> str:
    return f"{_title(node)} {node.shape}"

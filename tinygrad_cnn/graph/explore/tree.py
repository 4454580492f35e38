"""Modules, layers and composites as nested groups of ops, for folding.

The ops of a group follow each other without a gap. So however groups are folded, no cycle can come of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from tinygrad_cnn.graph.graph import Graph, GraphNode
from tinygrad_cnn.graph.labels import arguments_in, made_by
from tinygrad_cnn.graph.style import family_of_function

__all__ = ["Group", "groups_of"]

_MOST_CHILDREN = 80  # a longer row is cut into runs
_MOST_SHOWN = 90  # boxes at first


@dataclass
class Group:
    """Ops that are one box when folded; `children` are groups and ops, in the order in which they ran."""

    kind: Literal["root", "module", "layer", "composite", "run"]
    title: str = ""
    cls: str = ""
    words: str = ""
    folded: bool = True
    children: list[Group | GraphNode] = field(default_factory=list)

    @property
    def ops(self) -> Iterator[GraphNode]:
        """The ops in the group and in the groups inside it."""
        for child in self.children:
            if isinstance(child, Group):
                yield from child.ops
            else:
                yield child

    @property
    def family(self) -> str:
        """The family of the composite, or of the op that makes the result."""
        return (family_of_function(self.title) if self.kind == "composite" else None) or list(self.ops)[-1].family


def groups_of(graph: Graph) -> tuple[Group, dict[int, str]]:
    """The tree of groups, and titles of the ops that stand for a whole call of a module, by their numbers."""
    root = Group("root", folded=False)
    titles: dict[int, str] = {}
    calls = Counter[str]()
    _fill(root, graph, list(graph.ops), "", calls, titles)
    _number_calls(root, calls, titles)
    _cut(root)
    _unfold(root)
    return root, titles


def _fill(
    group: Group, graph: Graph, ops: list[GraphNode], module: str, calls: Counter[str], titles: dict[int, str]
) -> None:
    """Put the ops, which ran inside `module`, into `group`; those of submodules and composites in their own groups."""
    for (child, _), run in groupby(ops, key=lambda node: _call_below(graph, node, module)):
        members = list(run)
        if child:
            calls[child] += 1
            info = graph.modules.get(child)
            if len(members) == 1 and members[0].path == child:
                titles[members[0].id] = child
                group.children.append(members[0])
                continue
            inner = Group("layer" if info and info.is_layer else "module", child)
            if info is not None:
                inner.cls, inner.words = info.kind, arguments_in(info.extra)[0] if info.is_layer else ""
            _fill(inner, graph, members, child, calls, titles)
            group.children.append(inner)
            continue
        for (composite, _), own in groupby(members, key=lambda node: (node.composite, node.run)):
            inside = list(own)
            if composite and len(inside) > 1 and not (group.kind == "layer" and len(inside) == len(ops)):
                group.children.append(Group("composite", made_by(inside[0]), children=[*inside]))
            else:
                group.children += inside


def _call_below(graph: Graph, node: GraphNode, module: str) -> tuple[str, int]:
    """The module just below `module` in which a node ran; for a layer also which call of it."""
    if node.path == module:
        return "", 0
    start = len(module) + 1 if module else 0
    end = node.path.find(".", start)
    child = node.path if end < 0 else node.path[:end]
    info = graph.modules.get(child)
    return child, node.call if info is not None and info.is_layer else -1


def _number_calls(root: Group, calls: Counter[str], titles: dict[int, str]) -> None:
    """Say which call it is where a module was called more than once."""
    met = Counter[str]()

    def numbered(path: str) -> str:
        met[path] += 1
        return f"{path} (call {met[path]} of {calls[path]})" if calls[path] > 1 else path

    def visit(group: Group) -> None:
        for child in group.children:
            if isinstance(child, Group):
                if child.kind in ("module", "layer"):
                    child.title = numbered(child.title)
                visit(child)
            elif child.id in titles:
                titles[child.id] = numbered(titles[child.id])

    visit(root)


def _cut(group: Group) -> None:
    """Cut a long row of children into runs, so that no group opens into more boxes than a screen can show."""
    for child in group.children:
        if isinstance(child, Group):
            _cut(child)
    while len(group.children) > _MOST_CHILDREN:
        size = _MOST_CHILDREN // 2
        parts = [group.children[i : i + size] for i in range(0, len(group.children), size)]
        group.children = [Group("run", f"{_name(part[0])} … {_name(part[-1])}", children=part) for part in parts]


def _name(child: Group | GraphNode) -> str:
    if isinstance(child, GraphNode):
        return child.path or child.name
    return child.title.partition(" … ")[0] if child.kind == "run" else child.title


def _unfold(root: Group) -> None:
    """Unfold modules from the outside in, as long as the picture stays small enough to read at once."""
    shown = len(root.children)
    level = [root]
    while level:
        level = [child for group in level for child in group.children if isinstance(child, Group)]
        level = [group for group in level if group.kind == "module"]
        shown += sum(len(group.children) - 1 for group in level)
        if shown > _MOST_SHOWN:
            return
        for group in level:
            group.folded = False

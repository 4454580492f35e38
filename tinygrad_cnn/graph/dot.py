"""The picture of a graph in the DOT language.

One box an op, filled with the tint of its family; where a module's call is one op, the two are one box with the
module's path as title. Other modules are dashed clusters, composites dotted ones. Edges carry shapes, and are as
thick as the logarithm of their bytes.
"""

from __future__ import annotations

import html
import math
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import graphviz

from tinygrad_cnn.graph.fold import MANY, fold_as_said, fold_until_few
from tinygrad_cnn.graph.graph import Edge, Graph, GraphNode
from tinygrad_cnn.graph.labels import amount, count, describe, first_argument, printable, shape_text
from tinygrad_cnn.graph.overlay import overlay_of
from tinygrad_cnn.graph.paint import Paint
from tinygrad_cnn.graph.style import THEMES, Theme

__all__ = ["to_dot"]

FONT = "Helvetica"  # the layout knows its widths, and every machine has it or one like it
_SMALL = 10


def to_dot(
    graph: Graph,
    *,
    theme: str = "light",
    direction: str = "TB",
    parameters: str = "fold",
    fold: Any = "auto",
    legend: bool = True,
    overlay: str | None = None,
    backward: bool = False,
    at: int | None = None,
    most: int | None = None,
) -> str:
    """The DOT source of a graph's picture; see `Graph.save` for the options. most: of boxes, beyond which it folds."""
    for name, value, known in (
        ("theme", theme, tuple(THEMES)),
        ("direction", direction, ("TB", "LR")),
        ("parameters", parameters, ("fold", "nodes")),
    ):
        if value not in known:
            raise ValueError(f"graph: {name} is {value!r}, expected one of {', '.join(known)}")
    values = None if overlay is None else overlay_of(graph, overlay)
    paint = None if values is None else Paint(values, theme)
    shown = fold_as_said(graph, fold)
    if most is not None and len(shown.ops) > most:
        shown = fold_until_few(graph)
    return _Drawing(shown, graph, THEMES[theme], direction, parameters == "fold", paint, backward, at).source(legend)


class _Drawing:
    """One picture under construction."""

    def __init__(
        self, graph: Graph, whole: Graph, theme: Theme, direction: str, fold: bool, paint: Paint | None, backward: bool,
        at: int | None,
    ) -> None:  # fmt: skip
        self.graph = graph
        self.whole = whole
        self.paint = paint
        self.backward = backward
        self.at = at
        self.values = {node.id: self._value(node) for node in graph.ops} if paint else {}
        self.untracked = any(node.tracked for node in whole.ops)  # whether "no gradient" is news
        self.theme = theme
        self.direction = direction
        self.fold = fold
        alone = Counter((node.path, node.call) for node in graph.ops)
        self.parents = {parent for node in graph.ops for parent in _parents(node.path)}
        self.layers = {
            node.id
            for node in graph.ops
            if node.path and alone[node.path, node.call] == 1 and node.path not in self.parents
        }
        self.calls = Counter(path for path, _ in alone)

    def source(self, legend: bool) -> str:
        theme = self.theme
        dot = graphviz.Digraph(
            graph_attr={
                "rankdir": self.direction, "bgcolor": theme.page, "fontname": FONT, "fontcolor": theme.ink,
                "label": self._title(legend), "labelloc": "t", "labeljust": "l", "nodesep": "0.3",
                "ranksep": "0.35" if self.direction == "TB" else "0.6", "pad": "0.15",
            },
            node_attr={
                "fontname": FONT, "fontcolor": theme.ink, "color": theme.line, "margin": "0.1,0.05", "height": "0.3",
            },
            edge_attr={
                "fontname": FONT, "fontcolor": theme.faint, "color": theme.line, "fontsize": "9", "arrowsize": "0.6",
            },
        )  # fmt: skip
        shown = [node for node in self.graph.nodes if node.kind != "parameter" or not self.fold]
        self._fill(dot, shown, "")
        kept = {node.id for node in shown}
        for edge in self.graph.edges:
            if edge.source in kept and edge.target in kept:
                self._edge(dot, edge)
                if self.backward:
                    self._gradient(dot, edge)
        return str(dot.source)

    # -- modules as clusters --

    def _fill(self, dot: graphviz.Digraph, nodes: Iterable[GraphNode], module: str) -> None:
        """Draw the nodes inside `module`: those of its submodules in clusters of their own."""
        groups: dict[str, list[GraphNode]] = {}
        own: list[GraphNode] = []
        for node in nodes:
            child = self._child(node, module)
            if child is None:
                own.append(node)
            else:
                groups.setdefault(child, []).append(node)
        for label, run in groupby(own, key=lambda node: node.composite):
            self._composite(dot, label, list(run))
        for child, members in groups.items():
            with dot.subgraph(name=f"cluster_{members[0].id}_{len(child)}") as cluster:
                cluster.attr(
                    label=self._cluster_title(child, members), style="dashed,rounded", color=self.theme.line,
                    fontcolor=self.theme.faint, labeljust="l", labelloc="t", margin="8",
                    tooltip=_tip(child),
                )  # fmt: skip
                self._fill(cluster, members, child)

    def _child(self, node: GraphNode, module: str) -> str | None:
        """The module just below `module` in whose cluster a node stands, None where it stands in none."""
        path = node.path
        if node.id in self.layers or (node.kind == "parameter" and self._feeds_a_layer(node)):
            path = path.rpartition(".")[0]  # the box is the module: it stands in the cluster around it
        if path == module or (module and not path.startswith(f"{module}.")):
            return None
        start = len(module) + 1 if module else 0
        end = path.find(".", start)
        child = path if end < 0 else path[:end]
        return child if child in self.calls or child in self.parents else None

    def _feeds_a_layer(self, node: GraphNode) -> bool:
        return any(edge.target in self.layers for edge in self.graph.out_of(node))

    def _composite(self, dot: graphviz.Digraph, label: str, run: list[GraphNode]) -> None:
        """Draw a run of nodes that one composite made: more than one stand in a dotted cluster under its name."""
        if not label or len(run) < 2:
            for node in run:
                self._node(dot, node)
            return
        with dot.subgraph(name=f"cluster_{run[0].id}_composite") as cluster:
            cluster.attr(
                label=_table([(label, _SMALL, False)]), style="dotted,rounded", color=self.theme.line,
                fontcolor=self.theme.faint, labeljust="l", margin="6",
            )  # fmt: skip
            for node in run:
                self._node(cluster, node)

    def _cluster_title(self, path: str, members: list[GraphNode]) -> str:
        info = self.graph.modules.get(path)
        last, times = self.graph.repeats.get(path, ("", 1))
        title = f"{path} ... {last}  x{times}" if last else path
        total = sum(parameter.size for parameter in self.graph.parameters_of([n for n in members if n.kind == "op"]))
        notes = [info.kind] if info else []
        notes += [count(total)] if total else []
        # As much room again at the right: edges come in at the middle, and would cross the words.
        room = math.ceil(0.55 * max(12 * len(title), _SMALL * len(", ".join(notes))))
        spacer = f'<TD WIDTH="{room}"></TD>'
        rows = [_row([_cell(title, 12, True, "LEFT"), spacer])]
        rows += [_row([_cell(", ".join(notes), _SMALL, False, "LEFT"), spacer])] if notes else []
        return _html("".join(rows))

    # -- nodes --

    def _node(self, dot: graphviz.Digraph, node: GraphNode) -> None:
        tints = self.theme.tints
        name = f"n{node.id}"
        if node.kind == "op":
            self._op(dot, node)
        elif node.kind in ("parameter", "buffer"):
            frozen = node.kind == "parameter" and not node.trainable
            tint = tints["frozen"] if frozen else tints[node.kind]
            text = _table([(node.name, 11, False), (f"{shape_text(node)}{' frozen' if frozen else ''}", _SMALL, False)])
            style = "filled,dashed" if frozen else "filled"
            dot.node(name, text, shape="cylinder", style=style, fillcolor=tint, tooltip=_tip(node.name))
        else:
            text = _table([(node.name, 12, True), (shape_text(node), _SMALL, False)])
            output = node.kind == "output"
            dot.node(
                name, text, shape="ellipse", style="filled,bold" if output else "filled", fillcolor=tints[node.kind],
                peripheries="2" if output else "1", tooltip=_tip(node.name),
            )  # fmt: skip

    def _op(self, dot: graphviz.Digraph, node: GraphNode) -> None:
        name, tooltip = f"n{node.id}", self._tooltip(node)
        if node.error:
            self._failed(dot, node, tooltip)
            return
        words = describe(self.graph, node)
        value = self.values.get(node.id)
        is_here = self.at is not None and self.at in self._members(node)
        if node.family == "shape only" and node.id not in self.layers and value is None and not is_here:
            dot.node(name, _table([(f"{node.name} {words}".strip(), _SMALL, False)]), shape="plain", tooltip=tooltip)
            return
        lines = [(self._op_title(node), 12, True), (self._subtitle(node, words), _SMALL, False)]
        parameters = self.graph.parameters_of([node])
        if self.fold and parameters:
            frozen = "" if any(p.trainable for p in parameters) else ", frozen"
            lines.append((count(sum(p.size for p in parameters)) + frozen, _SMALL, False))
        lines += [(line, _SMALL, False) for line in self._backward_lines(node)]
        if self.paint and value is not None:
            lines.append((self.paint.words(value), _SMALL, True))
        if is_here:
            lines.insert(0, ("> backward stands here", _SMALL, True))
        style, fill, line = self._look(node, value)
        dot.node(
            name, _table(lines), shape="box", tooltip=tooltip, style=style, fillcolor=fill, color=line,
            penwidth="3" if is_here else "1",
        )  # fmt: skip

    def _look(self, node: GraphNode, value: Any) -> tuple[str, str, str]:
        """The style, fill and line of an op's box."""
        theme = self.theme
        if self.paint:
            return "rounded,filled", theme.page if value is None else self.paint.colour(value), theme.line
        if not node.tracked and self.untracked:
            return "rounded,filled,dashed", theme.tints["no gradient"], theme.line
        if node.family == "shape only":
            return "rounded,filled", theme.page, theme.line
        return "rounded,filled", theme.tints[node.family], theme.line

    def _failed(self, dot: graphviz.Digraph, node: GraphNode, tooltip: str) -> None:
        """The op at which the run ended: an octagon, with the shapes that came in and what it complained of."""
        lines = [(f"FAILED: {self._op_title(node)}", 12, True)]
        lines += [(f"{name} {shape}", _SMALL, False) for name, shape, _ in node.operands]
        lines += [(line, _SMALL, False) for line in textwrap.wrap(printable(node.error), 56)]
        dot.node(
            f"n{node.id}", _table(lines), shape="octagon", style="filled", tooltip=tooltip, penwidth="3",
            fillcolor=self.theme.tints["failed"], color=self.theme.alarm,
        )  # fmt: skip

    def _members(self, node: GraphNode) -> tuple[int, ...]:
        return self.graph.members.get(node.id, (node.id,))

    def _value(self, node: GraphNode) -> Any:
        """A node's value in the overlay: that of the op, or of all ops that were folded into it together."""
        assert self.paint
        overlay = self.paint.overlay
        found = [overlay.values[i] for i in self._members(node) if i in overlay.values]
        return overlay.join(found) if found else None

    def _backward_lines(self, node: GraphNode) -> list[str]:
        """What backward has to do with an op: the bytes that it keeps, and the gradients of folded parameters."""
        if not self.backward:
            return []
        costs = self.whole.costs()
        kept = sum(costs[i].saved_bytes for i in self._members(node) if i in costs)
        lines = [f"keeps {amount(kept, 'B')}"] if kept else []
        gradients = self.graph.gradients or {}
        norms: dict[str, list[float]] = {}
        for edge in self.graph.into(node) if self.fold else ():
            found = gradients.get((edge.source, edge.target, edge.argument))
            if found and self.graph[edge.source].kind == "parameter":
                norms.setdefault(edge.argument, []).append(found.norm)
        return lines + [f"grad of {argument}: norm {_few(found)}" for argument, found in norms.items()]

    def _op_title(self, node: GraphNode) -> str:
        if node.id not in self.layers:
            return node.name
        calls = self.calls[node.path]
        return f"{node.path} (call {node.call + 1} of {calls})" if calls > 1 else node.path

    def _subtitle(self, node: GraphNode, words: str) -> str:
        inside = f"{node.count} ops" if node.count > 1 else ""
        if node.id not in self.layers:
            return words or inside
        info = self.graph.modules.get(node.path)
        if info is None:
            return f"{node.name} {words or inside}".strip()
        return f"{info.kind} {words or first_argument(info.extra) or inside}".strip()

    def _tooltip(self, node: GraphNode) -> str:
        params = ", ".join(f"{name}={value}" for name, value in node.params.items())
        return _tip(*(part for part in (f"{node.name}({params})", node.path, node.where) if part))

    # -- edges, title --

    def _edge(self, dot: graphviz.Digraph, edge: Edge) -> None:
        source, target = self.graph[edge.source], self.graph[edge.target]
        is_view = target.kind == "op" and target.block > 0 and target.block == source.block and target.count == 1
        width = 0.6 + 0.3 * math.log10(max(edge.nbytes, 1))
        label = "" if source.kind in ("parameter", "buffer") else f" {shape_text(edge)} "
        dot.edge(
            f"n{edge.source}", f"n{edge.target}", label=label, penwidth=f"{width:.2f}",
            style="dotted" if is_view else "solid",
            tooltip=_tip(f"{edge.argument}: {shape_text(edge)}, {edge.nbytes:,} bytes".removeprefix(": ")),
        )  # fmt: skip

    def _gradient(self, dot: graphviz.Digraph, edge: Edge) -> None:
        """What backward sent along an edge: another edge beside it, dashed, with its arrow at the other end."""
        found = (self.graph.gradients or {}).get((edge.source, edge.target, edge.argument))
        if found is None:
            return
        dot.edge(
            f"n{edge.source}", f"n{edge.target}", dir="back", style="dashed", color=self.theme.gradient,
            fontcolor=self.theme.gradient, label=f" grad {found.shape} norm {found.norm:.3g} ",
            tooltip=_tip(f"gradient {found.shape}, norm {found.norm:.6g}"),
        )  # fmt: skip

    def _notes(self) -> list[str]:
        """What a reader must know of this picture: what was folded, whether backward has run."""
        graph, notes = self.graph, []
        ops = len(self.whole.ops)
        if len(self.whole.nodes) >= MANY and len(graph.ops) < ops:
            notes.append(f'folded: {ops:,} ops in {len(graph.ops):,} boxes (fold="none" draws each)')
        if self.backward:
            notes.append(
                "backward has not run" if graph.gradients is None else "dashed: gradients, with shape and norm"
            )
        if failed := [node for node in graph.ops if node.error]:
            notes.append(f"the run failed in {failed[0].name}, the octagon")
        return notes

    def _title(self, legend: bool) -> str:
        graph = self.graph
        totals = f"{len(self.whole.ops):,} ops, {graph.parameter_count:,} parameters"
        rows = [_row([_cell(graph.title, 15, True)]), _row([_cell(totals, 11, False)])]
        rows += [_row([_cell(note, 11, False)]) for note in self._notes()]
        if self.paint:
            rows.append(_row([_cell(f"{self.paint.overlay.title}:", 11, True)]))
            stops = self.paint.stops([v for v in self.values.values() if v is not None])
            rows.append(_legend(stops, 6) if stops else _row([_cell("no op here has a value", 11, False)]))
        elif legend:
            used = {n.family for n in graph.ops if n.tracked or not self.untracked} | set(
                () if self.fold else ("parameter",)
            )
            used |= (
                {"no gradient"} if any(not n.tracked and not n.error for n in graph.ops) and self.untracked else set()
            )
            tints = [(name, tint) for name, tint in self.theme.tints.items() if name in used]
            rows.append(_legend(tints, 3))
        return _html("".join(rows))


def _parents(path: str) -> Iterable[str]:
    while path := path.rpartition(".")[0]:
        yield path


def _tip(*lines: str) -> str:
    """A tooltip; what DOT would take for a command in it is only text."""
    return str(graphviz.escape("\n".join(printable(line) for line in lines)))


def _few(numbers: list[float]) -> str:
    """Up to three numbers; of more, the range."""
    if len(numbers) > 3:
        return f"{min(numbers):.3g} to {max(numbers):.3g}"
    return ", ".join(f"{n:.3g}" for n in numbers)


# -- HTML-like labels --


def _table(lines: list[tuple[str, int, bool]], align: str = "CENTER") -> str:
    """Lines of text, each with its size and weight, one below the other; empty ones are left out."""
    return _html("".join(_row([_cell(*line, align)]) for line in lines if line[0]))


def _html(rows: str) -> str:
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{rows}</TABLE>>'


def _row(cells: list[str]) -> str:
    return f"<TR>{''.join(cells)}</TR>"


def _cell(text: str, size: int, bold: bool, align: str = "CENTER") -> str:
    shown = html.escape(printable(text)).replace("\\", "\\\\")  # or DOT would put a name for \\N
    shown = f"<B>{shown}</B>" if bold else shown
    return f'<TD ALIGN="{align}"{_width(text, size)}><FONT POINT-SIZE="{size}">{shown}</FONT></TD>'


def _legend(tints: list[tuple[str, str]], columns: int) -> str:
    """Swatches with their meanings, in rows."""
    rows = []
    for start in range(0, len(tints), columns):
        cells = []
        for name, tint in tints[start : start + columns]:
            cells.append(f'<TD BGCOLOR="{tint}" BORDER="1" WIDTH="12" HEIGHT="10" FIXEDSIZE="TRUE"></TD>')
            cells.append(f'{_cell(name, _SMALL, False, "LEFT")}<TD WIDTH="8"></TD>')
        rows.append(_row(cells))
    table = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="2" CELLPADDING="1">{"".join(rows)}</TABLE>'
    return _row([f"<TD>{table}</TD>"])


def _width(text: str, size: int) -> str:
    """A width for text with letters whose widths the layout does not know, so that it stays inside its box."""
    if text.isascii():
        return ""
    ems = sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.62 for c in text)
    return f' WIDTH="{math.ceil(ems * size)}"'

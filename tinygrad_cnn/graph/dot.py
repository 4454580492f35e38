"""The picture of a graph in the DOT language.

One box an op, filled with the tint of its family; where a module's call is one op, the two are one box with the
module's path as title. Other modules are dashed clusters, composites dotted ones. Edges carry shapes, and are as
thick as the logarithm of their bytes.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from typing import Any

import graphviz

from tinygrad_cnn.graph.cells import SMALL, cell, gap, label, row, table, text_width, tip
from tinygrad_cnn.graph.fold import fold_as_said, fold_until_few
from tinygrad_cnn.graph.graph import Edge, Gradient, Graph, GraphNode
from tinygrad_cnn.graph.header import header, is_view
from tinygrad_cnn.graph.labels import amount, arguments_in, count, describe, made_by, printable, shape_text, totals
from tinygrad_cnn.graph.overlay import overlay_of
from tinygrad_cnn.graph.paint import Paint
from tinygrad_cnn.graph.style import THEMES, Theme
from tinygrad_cnn.graph.titles import Place

__all__ = ["OPTIONS", "Drawing", "check_names", "drawing_of"]

FONT = "Helvetica"  # the layout knows its widths, and every machine has it or one like it
OPTIONS = ("theme", "direction", "parameters", "fold", "legend", "overlay", "backward", "at", "ready")
_BOX = "rounded,filled"  # an op's box; what most nodes and edges share is said once, of all of them
_STRAIGHT = "1000"  # how much an edge from one rank to the next wants to be straight; those that skip ranks yield
_BRACKETS = re.compile(r"\([^)]*\)|\[[^\]]*\]")  # no line ends inside of them
_MOST_SKIPPED = 3_000  # ranks; bending edges around boxes takes a second or two for so many, and soon minutes
_IN_HASTE = {"splines": "line", "nslimit": "0.2", "mclimit": "0.2"}


def check_names(options: Iterable[str]) -> None:
    """TypeError where one of these is no option of a picture."""
    if unknown := [name for name in options if name not in OPTIONS]:
        raise TypeError(f"graph: there is no option {', '.join(unknown)}, expected one of {', '.join(OPTIONS)}")


def drawing_of(
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
    ready: Collection[int] = (),
    most: int | None = None,
    **unknown: Any,
) -> Drawing:
    """What is to be drawn of a graph; see `Graph.save` for the options. most: of boxes, beyond which it folds."""
    check_names(unknown)
    for name, number in (("at", at), *(("ready", number) for number in ready)):
        if number is not None and not 0 <= number < len(graph.nodes):
            raise ValueError(f"graph: {name} is {number}, expected the number of a node, 0 to {len(graph.nodes) - 1}")
    for name, value, known in (
        ("theme", theme, tuple(THEMES)),
        ("direction", direction, ("TB", "LR")),
        ("parameters", parameters, ("fold", "nodes")),
    ):
        if value not in known:
            raise ValueError(f"graph: {name} is {value!r}, expected one of {', '.join(known)}")
    values = None if overlay is None else overlay_of(graph, overlay)
    paint = None if values is None else Paint(values, theme)
    if backward and graph.gradients is None and values and values.gradients is not None:
        graph = graph.with_gradients(values.gradients)  # it has run for the overlay: both show the same backward
    shown = fold_as_said(graph, fold)
    if most is not None and len(shown.ops) > most:
        shown = fold_until_few(graph)
    is_folded = parameters == "fold"
    return Drawing(shown, graph, THEMES[theme], direction, is_folded, paint, backward, at, frozenset(ready), legend)


class Drawing:
    """One picture: what it shows of a graph, and how; `source()` writes it in the DOT language."""

    def __init__(
        self, graph: Graph, whole: Graph, theme: Theme, direction: str, fold: bool, paint: Paint | None, backward: bool,
        at: int | None, ready: frozenset[int], legend: bool,
    ) -> None:  # fmt: skip
        self.graph = graph
        self.whole = whole
        self.paint = paint
        self.backward = backward
        self.at = at
        self.ready = ready
        self.legend = legend
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
        self.nodes = [node for node in graph.nodes if node.kind != "parameter" or not fold]
        kept = {node.id for node in self.nodes}
        self.edges = [edge for edge in graph.edges if edge.source in kept and edge.target in kept]
        self.ranks: dict[int, int] = {}
        for edge in self.edges:  # they stand in the order of their targets
            rank = self.ranks.setdefault(edge.source, 0) + 1
            self.ranks[edge.target] = max(self.ranks.get(edge.target, 0), rank)
        self.places: Mapping[str, Place] = {}
        self.sides: Mapping[
            str, str
        ] = {}  # of edges that would turn back, by name: the side of their ends they keep to

    @property
    def words(self) -> str:
        """The picture in one line, for those who do not see it."""
        graph = self.graph
        return f"{printable(graph.title)}: {totals(graph, len(self.whole.ops))}"

    @property
    def has_clusters(self) -> bool:
        """Whether there may be frames with titles."""
        return bool(self.parents) or any(node.composite for node in self.graph.ops)

    @property
    def is_tangled(self) -> bool:
        """Whether edges skip so many ranks together that to bend them around boxes would take minutes."""
        return sum(self.ranks[edge.target] - self.ranks[edge.source] for edge in self.edges) > _MOST_SKIPPED

    def source(self, places: Mapping[str, Place] | None = None) -> str:
        """The DOT source. places: of the titles of clusters, which else stand at the left."""
        theme = self.theme
        self.places = places or {}
        dot = graphviz.Digraph(
            graph_attr={
                "rankdir": self.direction, "bgcolor": theme.page, "fontname": FONT, "fontcolor": theme.ink,
                "label": header(self), "labelloc": "t", "labeljust": "l", "nodesep": "0.3",
                "ranksep": "0.25", "pad": "0.15", **(_IN_HASTE if self.is_tangled else {}),
            },
            node_attr={
                "fontname": FONT, "fontcolor": theme.ink, "color": theme.line, "margin": "0.08,0.04", "height": "0.3",
                "shape": "box", "style": _BOX,
            },
            edge_attr={
                "fontname": FONT, "fontcolor": theme.faint, "color": theme.line, "fontsize": "9", "arrowsize": "0.6",
            },
        )  # fmt: skip
        self._fill(dot, self.nodes, "")
        for edge in self.edges:
            self._edge(dot, edge)
            if self.backward:
                self._gradient(dot, edge)
        for source, target in self.graph.loops:
            dot.edge(
                f"n{source}", f"n{target}", constraint="false", style="dashed", color=self.theme.faint,
                label=self._beside("next round"), tooltip="what a round hands to the next one",
            )  # fmt: skip
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
        for name, run in groupby(own, key=lambda node: "" if node.order else node.composite):
            self._composite(dot, name, list(run))
        for child, members in groups.items():
            name = f"cluster_{members[0].id}_{len(child)}"
            place = self.places.get(name, Place())
            with dot.subgraph(name=name) as cluster:
                cluster.attr(
                    label=self._cluster_title(child, members, place), style="dashed,rounded", color=self.theme.line,
                    fontcolor=self.theme.faint, margin="8", tooltip=tip(child),
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

    def _composite(self, dot: graphviz.Digraph, name: str, run: list[GraphNode]) -> None:
        """Draw a run of nodes that one composite made: more than one stand in a dotted cluster under its name."""
        if not name or len(run) < 2:
            for node in run:
                self._node(dot, node)
            return
        mark = f"cluster_{run[0].id}_composite"
        place = self.places.get(mark, Place())
        with dot.subgraph(name=mark) as cluster:
            cluster.attr(
                label=_titled([(name, SMALL, False)], place), style="dotted,rounded", color=self.theme.line,
                fontcolor=self.theme.faint, margin="6",
            )  # fmt: skip
            for node in run:
                self._node(cluster, node)

    def _cluster_title(self, path: str, members: list[GraphNode], place: Place) -> str:
        info = self.graph.modules.get(path)
        last, times = self.graph.repeats.get(path, ("", 1))
        title = f"{path} … {last}  \N{MULTIPLICATION SIGN}{times}" if last else path
        ops = [node for node in members if node.kind == "op"]
        total = sum(parameter.size for parameter in self.graph.parameters_of(ops))
        calls = max((self.calls[node.path] for node in ops if node.id in self.layers), default=1)
        shared = calls > 1 and not _is_shared_inside(ops, self.calls)
        kind = [info.kind if info else "", f"called {calls} times" if shared else ""]
        totals = [count(total) if total else "", self._total_work(ops)]
        lines = [", ".join(filter(None, words)) for words in (kind, totals)]
        return _titled([(title, 12, True), *((line, SMALL, False) for line in lines)], place)

    def _total_work(self, ops: Iterable[GraphNode]) -> str:
        """A module's total: of the overlay where there is one, else its multiply-accumulates."""
        if self.paint:
            overlay = self.paint.overlay
            found = [overlay.values[i] for node in ops for i in self._members(node) if i in overlay.values]
            return self.paint.words(overlay.join(found)) if found and overlay.adds_up else ""
        costs = self.whole.costs()
        macs = sum(costs[i].macs for node in ops for i in self._members(node) if i in costs)
        return f"{amount(macs)} MACs" if macs else ""

    # -- nodes --

    def _node(self, dot: graphviz.Digraph, node: GraphNode) -> None:
        tints = self.theme.tints
        name = f"n{node.id}"
        if node.kind == "op":
            self._op(dot, node)
        elif node.kind in ("parameter", "buffer"):
            frozen = node.kind == "parameter" and not node.trainable
            words = f"{shape_text(node)}{' frozen' if frozen else ''}"
            dot.node(
                name, label((node.name, 11, False), (words, SMALL, False)), shape="cylinder", tooltip=tip(node.name),
                style="filled,dashed" if frozen else "filled", fillcolor=tints["frozen" if frozen else node.kind],
            )  # fmt: skip
        else:
            output = node.kind == "output"
            dot.node(
                name, label((node.name, 12, True)), shape="ellipse", style="filled",
                fillcolor=tints[node.kind], color=self.theme.borders[node.kind], penwidth="2",
                peripheries="2" if output else "1", margin="0.05,0.02", tooltip=tip(node.name, shape_text(node)),
            )  # fmt: skip

    def _op(self, dot: graphviz.Digraph, node: GraphNode) -> None:
        name, tooltip = f"n{node.id}", self._tooltip(node)
        if node.error:
            self._failed(dot, node, tooltip)
            return
        words = describe(self.graph, node).replace("->", "→")
        value = self.values.get(node.id)
        is_here, is_ready = self._is_here(node), self._is_ready(node)
        times = f"  \N{MULTIPLICATION SIGN}{self.graph.times[node.id]}" if node.id in self.graph.times else ""
        if self._is_plain(node):
            text = self._label((f"{node.name} {words}".strip() + times, SMALL, False))
            plain = {"color": self.theme.page, "margin": "0.04,0.02", "height": "0.2", "width": "0.2"}
            dot.node(name, text, style="rounded", tooltip=tooltip, **plain)
            return
        lines = [(self._op_title(node) + times, 12, True), (self._subtitle(node, words), SMALL, False)]
        if node.order:
            lines.append((made_by(node), SMALL, False))
        if self.fold and (parameters := self.graph.parameters_of([node])):
            frozen = "" if any(p.trainable for p in parameters) else ", frozen"
            shared = ", shared" if node.id in self.layers and self.calls[node.path] > 1 else ""
            lines.append((count(sum(p.size for p in parameters)) + frozen + shared, SMALL, False))
        lines += [(line, SMALL, False) for line in self._backward_lines(node)]
        if self.paint and value is not None:
            lines.append((self.paint.words(value), SMALL, True))
        if is_here:
            lines.insert(0, ("» backward stands here", SMALL, True))
        elif is_ready:
            lines.insert(0, ("» ready: its gradient is complete", SMALL, True))
        style, fill, line = self._look(node, value)
        alarming = is_here or (self.paint is not None and self.paint.is_alarm(value))
        dot.node(
            name, self._label(*lines), tooltip=tooltip, style=style, fillcolor=fill,
            color=self.theme.alarm if alarming else self.theme.gradient if is_ready else line,
            penwidth="3" if alarming else "2" if is_ready else None,
        )  # fmt: skip

    def _label(self, *lines: tuple[str, int, bool]) -> str:
        """The label of a box; where edges go to the right it is narrow, since its width is what the picture lacks."""
        if self.direction == "TB":
            return label(*lines)
        return label(*((part, size, bold) for text, size, bold in lines for part in _halved(text, 14)))

    def _is_here(self, node: GraphNode) -> bool:
        return self.at is not None and self.at in self._members(node)

    def _is_ready(self, node: GraphNode) -> bool:
        return not self._is_here(node) and not self.ready.isdisjoint(self._members(node))

    def _is_plain(self, node: GraphNode) -> bool:
        """Whether an op is small text and no box: one that only changes the shape, with nothing else to say."""
        is_marked = node.id in self.layers or self._is_here(node) or self._is_ready(node)
        return node.family == "shape only" and not is_marked and self.values.get(node.id) is None

    def is_grey(self, node: GraphNode) -> bool:
        """Whether an op is a grey box, since no gradient flows to it, where others have one."""
        return self.untracked and not node.tracked and not node.error and not self._is_plain(node)

    def _look(self, node: GraphNode, value: Any) -> tuple[str | None, str, str | None]:
        """The style, fill and line of an op's box; None where they are the usual ones."""
        theme = self.theme
        line = theme.gradient if node.order else None
        style = f"{_BOX},dashed" if node.family == "folded module" else None
        if self.paint:
            return style, theme.page if value is None else self.paint.colour(value), line
        if self.is_grey(node):
            return f"{_BOX},dashed", theme.tints["no gradient"], line
        fill = theme.page if node.family == "shape only" else theme.tints[node.family]
        return style, fill, line

    def _failed(self, dot: graphviz.Digraph, node: GraphNode, tooltip: str) -> None:
        """The op at which the run ended: a sharp red box, with the shapes that came in and what it complained of."""
        lines = [(f"FAILED: {self._op_title(node)}", 12, True)]
        lines += [(f"{name} {shape}", SMALL, True) for name, shape, _ in node.operands]
        lines += [(line, SMALL, False) for line in textwrap.wrap(printable(node.error), 48)]
        dot.node(
            f"n{node.id}", label(*lines), style="filled", tooltip=tooltip, penwidth="3",
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
        sent: dict[str, Gradient] = {}
        for edge in self.graph.into(node) if self.fold else ():
            found = gradients.get((edge.source, edge.target, edge.argument))
            if found and self.graph[edge.source].kind == "parameter":
                sent[edge.argument] = sent[edge.argument] | found if edge.argument in sent else found
        return lines + [f"grad of {argument}: norm {found.words}" for argument, found in sent.items()]

    def _op_title(self, node: GraphNode) -> str:
        if node.id not in self.layers:
            return node.name
        calls = self.calls[node.path]
        return f"{node.path} (call {node.call + 1} of {calls})" if calls > 1 else node.path

    def _subtitle(self, node: GraphNode, words: str) -> str:
        inside = count(node.count, "op") if node.count > self.graph.times.get(node.id, 1) else ""
        if node.id not in self.layers:
            return words or inside
        info = self.graph.modules.get(node.path)
        if info is None:
            return f"{node.name} {words or inside}".strip()
        told = words or arguments_in(info.extra)[0]
        return f"{info.kind} {told}" if told else ", ".join(filter(None, [info.kind, inside]))

    def _tooltip(self, node: GraphNode) -> str:
        params = ", ".join(f"{name}={value}" for name, value in node.params.items())
        return tip(*(part for part in (f"{node.name}({params})", node.path, node.where) if part))

    # -- edges --

    def _beside(self, text: str) -> str:
        """The label of an edge, with room on the edge's side: at the left, or below where edges go to the right.

        Those would be long for long labels, so that they get two lines.
        """
        if self.direction == "TB":
            return table(row(gap(4), cell(text, 9, False, "LEFT")))
        return table(*(row(cell(line, 9, False)) for line in _halved(text, 10)), row('<TD HEIGHT="6"></TD>'))

    def _edge(self, dot: graphviz.Digraph, edge: Edge) -> None:
        source, target = self.graph[edge.source], self.graph[edge.target]
        is_gradient = source.order > 0
        width = 0.6 + 0.3 * math.log10(max(edge.nbytes, 1))
        words = None if source.kind in ("parameter", "buffer") else self._beside(shape_text(edge))
        ends = f"n{edge.source}", f"n{edge.target}"
        side = self.sides.get("->".join(ends))
        dot.edge(
            *ends, label=words, tailport=side, headport=side, penwidth=f"{width:.2f}",
            style="dashed" if is_gradient else "dotted" if is_view(source, target) else None,
            color=self.theme.gradient if is_gradient else None,
            weight=_STRAIGHT if self.ranks[edge.target] == self.ranks[edge.source] + 1 else None,
            tooltip=tip(f"{edge.argument}: {shape_text(edge)}, {edge.nbytes:,} bytes".removeprefix(": ")),
        )  # fmt: skip

    def _gradient(self, dot: graphviz.Digraph, edge: Edge) -> None:
        """What backward sent along an edge: another edge beside it, dashed, with its arrow at the other end."""
        found = (self.graph.gradients or {}).get((edge.source, edge.target, edge.argument))
        if found is None:
            return
        dot.edge(
            f"n{edge.source}", f"n{edge.target}", dir="back", style="dashed", color=self.theme.gradient,
            fontcolor=self.theme.gradient, label=self._beside(f"grad {found.shape} norm {found.words}"),
            tooltip=tip(f"gradient {found.shape}, norm {found.norm:.6g}"),
        )  # fmt: skip


def _halved(text: str, most: int) -> list[str]:
    """A text with more than so many characters in lines about half as long; words and brackets in it stay whole."""
    if len(text) <= most:
        return [text] if text else []
    joined = text if text.startswith("(") else _BRACKETS.sub(lambda found: found[0].replace(" ", "\xa0"), text)
    lines = textwrap.wrap(joined, len(text) // 2 + 2, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines]


def _parents(path: str) -> Iterable[str]:
    while path := path.rpartition(".")[0]:
        yield path


def _is_shared_inside(ops: list[GraphNode], calls: Mapping[str, int]) -> bool:
    """Whether only some of a module's layers were called more than once: a ReLU inside it, not the module itself."""
    return any(calls[node.path] == 1 for node in ops)


def _titled(lines: list[tuple[str, int, bool]], place: Place) -> str:
    """The label of a cluster: lines one below the other, as far from the left as `place` wants, and as wide."""
    rows = []
    for line in filter(lambda line: line[0], lines):
        before = [gap(place.offset)] if place.offset else []
        after = place.width - place.offset - text_width(*line)
        rows.append(row(*before, cell(*line, "LEFT"), *([gap(after)] if after > 0 else [])))
    return table(*rows)

"""The top of a picture: its title, its totals, what a reader must know of it, and the legend or the colour bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_cnn.graph.cells import cell, line_sample, row, samples, swatch, table
from tinygrad_cnn.graph.fold import MANY, TALL
from tinygrad_cnn.graph.graph import GraphNode
from tinygrad_cnn.graph.labels import totals

if TYPE_CHECKING:
    from tinygrad_cnn.graph.dot import Drawing

__all__ = ["header", "is_view"]


def is_view(source: GraphNode, target: GraphNode) -> bool:
    """Whether the result of `target` is in the memory of that of `source`."""
    return target.kind == "op" and target.block > 0 and target.block == source.block and target.count == 1


def header(drawing: Drawing) -> str:
    """The label of the whole picture."""
    graph = drawing.graph
    rows = [_line(graph.title, 15, True), _line(totals(graph, len(drawing.whole.ops)), 11)] + [
        _line(note, 11) for note in _notes(drawing)
    ]
    if drawing.paint:
        paint = drawing.paint
        rows.append(_line(f"{paint.overlay.title}:", 11, True))
        stops = paint.stops([value for value in drawing.values.values() if value is not None])
        bar = [(words, swatch(colour)) for words, colour in stops]
        rows.append(samples(bar, 6) if bar else _line("no op here has a value", 11))
    elif drawing.legend and (marks := _legend(drawing)):
        rows.append(samples(marks, 3 if drawing.direction == "TB" else 8))
    return table(*rows)


def _line(text: str, size: int, bold: bool = False) -> str:
    return row(cell(text, size, bold, "LEFT"))


def _notes(drawing: Drawing) -> list[str]:
    """What a reader must know of this picture: what was folded, whether backward has run."""
    graph, whole, notes = drawing.graph, drawing.whole, []
    boxes, ops = len(graph.ops), len(whole.ops)
    if boxes < ops and (len(whole.nodes) >= MANY or graph.repeats or graph.times or ops >= TALL):
        notes.append(f'folded: {ops:,} ops in {boxes:,} box{"" if boxes == 1 else "es"} (fold="none" draws each)')
    if drawing.is_tangled:
        notes.append("edges are straight, for there are too many long ones to bend")
    if drawing.backward:
        so_far = " sent so far" if drawing.at is not None or drawing.ready else ""
        notes.append(
            "backward has not run" if graph.gradients is None else f"dashed: gradients{so_far}, with shape and norm"
        )
        if graph.times and graph.gradients is not None:
            notes.append("in loops: norms from the least to the largest of all rounds")
    if failed := [node for node in graph.ops if node.error]:
        notes.append(f"the run failed in {failed[0].name}, the red box at the end")
    return notes


def _legend(drawing: Drawing) -> list[tuple[str, str]]:
    """Each meaning that is in the picture, with a sample of its colour or line."""
    graph, theme = drawing.graph, drawing.theme
    used = {node.family for node in graph.ops if not drawing.is_grey(node) and not node.error}
    if not drawing.fold:
        used |= {"parameter"} if any(p.trainable for p in graph.of_kind("parameter")) else set()
        used |= {"frozen"} if any(not p.trainable for p in graph.of_kind("parameter")) else set()
    if any(drawing.is_grey(node) for node in graph.ops):
        used.add("no gradient")
    marks = [(name, swatch(tint)) for name, tint in theme.tints.items() if name in used]
    ends = [(graph[edge.source], graph[edge.target]) for edge in drawing.edges]
    if any(is_view(source, target) for source, target in ends):
        marks.append(("view, no copy", line_sample(theme.line, "dotted")))
    if any(node.order for node in graph.ops):
        marks.append(("gradient", line_sample(theme.gradient, "dashed")))
    return marks

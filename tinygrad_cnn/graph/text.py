"""The graph as text: one line a node, for terminals, logs and screen readers."""

from __future__ import annotations

from tinygrad_cnn.graph.graph import Graph, GraphNode
from tinygrad_cnn.graph.labels import count, describe, printable, totals

__all__ = ["to_text"]


def to_text(graph: Graph) -> str:
    """A line of totals, then for each node its number, name, sources, shape, module, parameters and the user's line."""
    rows = [_row(graph, node) for node in graph.nodes]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width) for row in rows]
    head = f"{printable(graph.title)}: {totals(graph, len(graph.ops))}"
    return "\n".join([head, *(line.rstrip() for line in lines)])


def _row(graph: Graph, node: GraphNode) -> list[str]:
    sources = ", ".join(str(edge.source) for edge in graph.into(node))
    arrow = f"<- {sources}" if sources else ""
    parameters = sum(parameter.size for parameter in graph.parameters_of([node]))
    title, words = node.name, arrow
    if node.kind != "op":
        title, words = node.kind, f"{printable(node.name)} {arrow}".rstrip()
    notes = [describe(graph, node), count(parameters) if parameters and node.kind == "op" else ""]
    return [
        str(node.id),
        title,
        words,
        str(node.shape),
        node.dtype,
        printable(node.path) if node.kind == "op" else "",
        f"({node.composite})" if node.composite and node.composite != node.name else "",
        ", ".join(note for note in notes if note),
        node.where,
        f"FAILED: {printable(node.error)}" if node.error else "",
    ]

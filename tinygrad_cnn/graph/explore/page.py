"""The page: one training step's data as JSON inside HTML, with styles and scripts, in one file for offline use."""

from __future__ import annotations

import html
import json
import linecache
import os
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cnn.graph.explore.summaries import filters, maps, short, statistics
from tinygrad_cnn.graph.explore.training_step import Step, take_step
from tinygrad_cnn.graph.explore.tree import Group, groups_of
from tinygrad_cnn.graph.graph import Graph, GraphNode
from tinygrad_cnn.graph.labels import describe, made_by, printable, shape_text
from tinygrad_cnn.graph.overlay import OVERLAYS, WORST_FIRST, measure, overlay_of
from tinygrad_cnn.graph.paint import VERDICTS
from tinygrad_cnn.graph.style import THEMES, mix
from tinygrad_cnn.serialization import write_atomically

__all__ = ["explore"]

_PICTURED = {"convolution, linear", "activation", "pooling", "normalisation"}
_MOST_PICTURE_BYTES = 1_500_000  # of all thumbnails together
_MOST_HISTOGRAMS = 1000  # ops; beyond that the numbers alone are kept

# The colours of the page that the pictures do not have; the families' tints come from the pictures' themes.
_COLOURS = {
    "light": {
        "raised": "#f6f6f4", "hover": "#ececea", "rule": "#cfcfca", "soft": "#3f3f3f", "frame": "#f7f7f7",
        "focus": "#0072b2", "found": "#e69f00", "forward": "#0072b2",
        "forward-ink": "#005a8e", "gradient": "#b5568c", "gradient-ink": "#94306a", "alert": "#d55e00",
        "link": "#005a8e",
    },
    "dark": {
        "raised": "#20242b", "hover": "#2b3038", "rule": "#434a54", "soft": "#d0d0d0", "frame": "#20222a",
        "focus": "#56b4e9", "found": "#e69f00", "forward": "#56b4e9",
        "forward-ink": "#7cc6f0", "gradient": "#cc79a7", "gradient-ink": "#e3a3c6", "alert": "#e8792a",
        "link": "#7cc6f0",
    },
}  # fmt: skip


def explore(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    inputs: Any = None,
    target: Any = None,
    loss: Callable[..., Any] | None = None,
) -> None:
    """Write the explorer's page for `graph` to `path`; `Graph.explore` says more."""
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"graph.explore: {os.fspath(path)} ends in {Path(path).suffix!r}, expected .html")
    write_atomically(path, page(take_step(graph, inputs, target, loss)).encode())


def page(step: Step) -> str:
    """The page of one step as HTML text."""
    folder = files(__package__)
    data = json.dumps(_data(step), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    parts = {
        "title": html.escape(f"{printable(step.graph.title)}: graph explorer"),
        "css": _variables() + folder.joinpath("page.css").read_text("utf-8"),
        "data": data.replace("<", "\\u003c"),  # so that no word of the user's can end the block
        "layout": folder.joinpath("layout.js").read_text("utf-8"),
        "script": folder.joinpath("page.js").read_text("utf-8"),
    }
    template = folder.joinpath("page.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)


def _variables() -> str:
    """The colours as CSS variables: by the system's wish, unless the page's switch says otherwise."""
    looks = {}
    for name, theme in THEMES.items():
        values = {"page": theme.page, "ink": theme.ink, "faint": theme.faint, "line": theme.line, **_COLOURS[name]}
        values |= {f"tint-{i}": tint for i, tint in enumerate(theme.tints.values())}
        values |= {f"border-{kind}": colour for kind, colour in theme.borders.items()}
        looks[name] = f"color-scheme:{name};" + "".join(f"--{key}:{value};" for key, value in values.items())
    return (
        f":root{{{looks['light']}}}\n"
        f"@media(prefers-color-scheme:dark){{:root{{{looks['dark']}}}}}\n"
        f':root[data-theme="light"]{{{looks["light"]}}}\n:root[data-theme="dark"]{{{looks["dark"]}}}\n'
    )


def _data(step: Step) -> dict[str, Any]:
    graph = step.graph
    root, titles = groups_of(graph)
    groups, place = _groups(graph, root)
    images = _Images(_MOST_PICTURE_BYTES)
    histograms = len(graph.ops) <= _MOST_HISTOGRAMS
    kept = [node for node in graph.nodes if node.kind not in ("parameter", "buffer")]
    shown = {node.id for node in kept}
    nodes = [_node(step, node, titles.get(node.id), place.get(node.id), shown, images, histograms) for node in kept]
    return {
        "title": printable(graph.title),
        "parameters": graph.parameter_count,
        "loss": None if step.loss is None else repr(short(step.loss)),
        "why": " ".join(filter(None, [step.missing, images.note])),
        "has_values": step.run is not None,
        "families": [*next(iter(THEMES.values())).tints, "shape only"],
        "nodes": nodes,
        "groups": groups,
        "edges": [{"source": e.source, "target": e.target} for e in graph.edges if {e.source, e.target} <= shown],
        "overlays": _overlays(step),
        "verdicts": [[verdict, mix(VERDICTS[verdict][0], "#ffffff", 0.6)] for verdict in WORST_FIRST],
    }


def _groups(graph: Graph, root: Group) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """The groups, outer ones first, as plain values; and the group in which each op stands."""
    found: list[dict[str, Any]] = []
    place: dict[int, int] = {}

    def visit(group: Group, number: int | None) -> None:
        for child in group.children:
            if isinstance(child, GraphNode):
                if number is not None:
                    place[child.id] = number
                continue
            id = len(found)
            found.append({
                "id": id, "parent": number, "kind": child.kind, "title": printable(child.title), "cls": child.cls,
                "words": printable(child.words), "family": child.family, "folded": child.folded,
                **_parameters(graph, list(child.ops)),
            })  # fmt: skip
            visit(child, id)

    visit(root, None)
    return found, place


def _parameters(graph: Graph, ops: list[GraphNode]) -> dict[str, Any]:
    parameters = graph.parameters_of(ops)
    return {
        "parameters": sum(p.size for p in parameters),
        "frozen": bool(parameters) and not any(p.trainable for p in parameters),
    }


def _node(
    step: Step,
    node: GraphNode,
    title: str | None,
    group: int | None,
    shown: set[int],
    images: _Images,
    histograms: bool,
) -> dict[str, Any]:
    graph = step.graph
    call = step.run.calls.get(node.id) if step.run else None
    info = graph.modules.get(node.path) if title else None
    value, grad = _value(step, node), _gradient(step, node)
    pictured = node.family in _PICTURED
    return {
        "id": node.id,
        "kind": node.kind,
        "name": printable(node.name),
        "title": printable(title or node.name),
        "cls": info.kind if info else node.name if title else "",
        "words": _words(graph, node),
        "order": node.order,
        "family": node.family,
        "path": printable(node.path),
        "group": group,
        "shape_text": "" if node.error else shape_text(node),
        "nbytes": node.nbytes,
        "where": node.where,
        "line": "" if call is None else _line(call.code.co_filename, node.where),
        "error": printable(node.error),
        "params": [[name, printable(text)] for name, x in node.params.items() if not (text := str(x)).startswith("<")],
        "constants": {name: printable(text) for name, text in node.constants.items()},
        **_parameters(graph, [node]),
        "sources": [{"node": e.source, "argument": e.argument} for e in graph.into(node) if e.source in shown],
        "weights": [
            _weight(step, graph[edge.source], images)
            for edge in graph.into(node) if edge.source not in shown
        ],
        "out": None if value is None else statistics(value, histograms),
        "image": images.of(maps, value) if pictured or node.kind == "input" else None,
        "grad": None if grad is None else statistics(grad, histograms),
        "grad_image": images.of(maps, grad) if pictured else None,
        "sent": _sent(step, node),
    }  # fmt: skip


def _words(graph: Graph, node: GraphNode) -> str:
    if node.kind != "op":
        return ""
    words = printable(describe(graph, node)).replace("->", "→")
    return made_by(node) if node.order and not words else words


def _value(step: Step, node: GraphNode) -> np.ndarray[Any, Any] | None:
    """The array that a node stands for, where the step has it."""
    return step.run.values.get(node.id) if step.run else None


def _gradient(step: Step, node: GraphNode) -> np.ndarray[Any, Any] | None:
    """The gradient of the loss by a node's array, where backward made one."""
    return step.run.gradients.get(node.id) if step.run and step.run.gradients else None


def _weight(step: Step, leaf: GraphNode, images: _Images) -> dict[str, Any]:
    value, grad = _value(step, leaf), _gradient(step, leaf)
    return {
        "name": printable(leaf.name),
        "kind": leaf.kind,
        "shape_text": shape_text(leaf),
        "trainable": leaf.trainable,
        "out": None if value is None else statistics(value),
        "grad": None if grad is None else statistics(grad),
        "image": images.of(filters, value),
    }


def _sent(step: Step, node: GraphNode) -> list[dict[str, Any]]:
    """What backward sent from an op to each of its arguments."""
    if node.kind != "op":
        return []
    found = []
    for edge in step.graph.into(node):
        gradient = (step.graph.gradients or {}).get((edge.source, edge.target, edge.argument))
        if gradient is not None:
            found.append({"argument": edge.argument, "norm": short(gradient.norm), "to": edge.source})
    return found


def _line(file: str, where: str) -> str:
    """The text of the user's line."""
    return printable(linecache.getline(file, int(where.rpartition(":")[2])).strip())[:200]


class _Images:
    """Pictures of arrays, up to a number of bytes in all."""

    def __init__(self, most: int) -> None:
        self.left = most
        self.note = ""

    def of(self, drawn: Callable[[Any], dict[str, Any] | None], array: Any) -> dict[str, Any] | None:
        """The picture of `array` as `drawn` makes it, None once there is no room for more."""
        if array is None or self.left <= 0:
            return None
        image = drawn(array)
        if image is not None:
            self.left -= len(image["src"])
            if self.left <= 0:
                self.note = "The graph is large: later thumbnails are left out."
        return image


# -- overlays --

# How the page writes numbers. Costs are known of any graph, the others of a run.
_FORMATS = {
    "flops": "count", "backward": "count", "memory": "bytes", "saved": "bytes", "std": "number", "gradient": "number",
    "nan": "verdict", "dead": "share", "ties": "share", "time": "seconds", "gradcheck": "verdict",
}  # fmt: skip


def _overlays(step: Step) -> list[dict[str, Any]]:
    """What the boxes can be painted by: a value for each op, and how those of a folded group come together."""
    found = []
    for name, form in _FORMATS.items():
        kind = OVERLAYS[name]
        values = {id: value for id, value in _overlay_values(step, name).items() if not step.graph[id].error}
        if any(value != 0 for value in values.values()) or (values and form == "share"):
            fold = {sum: "sum", max: "max"}.get(kind.join, "worst" if form == "verdict" else "last")
            label = kind.title[0].upper() + kind.title[1:]
            found.append({"id": name, "label": label, "format": form, "fold": fold, "values": values})
    return found


def _overlay_values(step: Step, name: str) -> dict[int, float | str]:
    graph = step.graph
    if name in graph.measures:
        return graph.measures[name]
    if OVERLAYS[name].needs == "costs":
        return dict(overlay_of(graph, name).values)
    if step.run is None or name in ("time", "gradcheck"):  # these take long: only where they were asked for before
        return {}
    values = measure(step.run, name)
    return {
        id: x for id, value in values.items() if (x := short(value) if isinstance(value, float) else value) is not None
    }

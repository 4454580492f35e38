"""Graphs from JSON files."""

from __future__ import annotations

import json
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from tinygrad_cnn.graph.graph import Edge, Graph, GraphNode, ModuleInfo

__all__ = ["load"]


def load(path: str | PathLike[str]) -> Graph:
    """The graph that `Graph.save` wrote to a .json file. ValueError where it is none."""
    try:
        values = json.loads(Path(path).read_text("utf-8"))
        nodes = [GraphNode(**_node(entry)) for entry in values["nodes"]]
        edges = [Edge(**{name: _tuples(value) for name, value in entry.items()}) for entry in values["edges"]]
        modules = {name: ModuleInfo(**entry) for name, entry in values["modules"].items()}
        return Graph(nodes, edges, modules, values["title"])
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise ValueError(f"graph: {fspath(path)} holds no graph that Graph.save wrote ({error})") from error


def _node(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: _tuples(value) for name, value in entry.items()}


def _tuples(value: Any) -> Any:
    """Lists as tuples again, also inside mappings."""
    if isinstance(value, list):
        return tuple(_tuples(x) for x in value)
    if isinstance(value, dict):
        return {name: _tuples(x) for name, x in value.items()}
    return value

"""The words on a node: a layer's short description, an op's parameters, counts."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from tinygrad_cnn.graph.graph import Edge, Graph, GraphNode

__all__ = ["amount", "arguments_in", "count", "describe", "made_by", "printable", "shape_text", "totals"]

# Parameters that say nothing that the shapes on the edges do not say.
_SILENT = {"shape", "size", "sizes", "ndim", "dtype", "inplace", "training", "start_dim", "end_dim"}


def shape_text(what: GraphNode | Edge) -> str:
    """The shape as Python writes it; with the dtype where it is not float32."""
    text = str(what.shape)
    return text if what.dtype == "float32" else f"{text} {what.dtype}"


def printable(text: str) -> str:
    """The text without control characters: they would break lines, or a file's format."""
    if text.isprintable():
        return text
    return "".join(" " if unicodedata.category(c)[0] == "C" else c for c in text)


def count(n: int, word: str = "param") -> str:
    """`1,016 params`, `1 op`."""
    return f"{n:,} {word}" + ("" if n == 1 else "s")


def totals(graph: Graph, ops: int) -> str:
    """`6 ops, 10,194 parameters`."""
    return f"{count(ops, 'op')}, {count(graph.parameter_count, 'parameter')}"


def amount(n: float, unit: str = "") -> str:
    """A number with a prefix: `1.23 M`, `4.5 kB`."""
    for factor, prefix in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(n) >= factor:
            return f"{n / factor:.3g} {prefix}{unit}"
    return f"{n:.3g} {unit}".rstrip()


def arguments_in(extra: str) -> list[str]:
    """The arguments that a module's repr shows, one by one: `(8, 8)` and `eps=1e-05` of `(8, 8), eps=1e-05`."""
    return re.split(r", (?![^(]*\))", extra)


def describe(graph: Graph, node: GraphNode) -> str:
    """What an op does in few words: `1->6 k3 s1 p0`, or the parameters that are not at their defaults."""
    weights = {edge.argument: graph[edge.source].shape for edge in graph.into(node)}
    weight = weights.get("weight", weights.get("w", ()))
    params = node.params
    words = []
    if node.name.startswith("conv") and len(weight) > 2:
        groups = params.get("groups", 1)
        ends = (weight[1] * groups, weight[0])
        if "transpose" in node.name:
            ends = (weight[0], weight[1] * groups)
        words = [f"{ends[0]}->{ends[1]}", f"k{_each(weight[2:])}"]
        words += [f"{name[0]}{_each(params[name])}" for name in ("stride", "padding") if name in params]
        words += [f"d{_each(params['dilation'])}"] if _each(params.get("dilation", 1)) != "1" else []
        words += [f"groups {groups}"] if groups != 1 else []
    elif node.name == "embedding" and weight:
        words = [f"{weight[0]}->{weight[1]}"]
    elif node.name == "getitem" and "index" in params:
        index = params["index"]
        words = [f"[{', '.join(map(str, index)) if isinstance(index, tuple) else index}]"]
    elif node.name == "linear" and len(weight) == 2:
        words = [f"{weight[1]}->{weight[0]}"]
    elif "pool" in node.name and "kernel_size" in params:
        words = [f"k{_each(params['kernel_size'])}"]
        stride = params.get("stride")
        words += [f"s{_each(stride)}"] if stride not in (None, ()) else []
        words += [f"p{_each(params['padding'])}"] if _each(params.get("padding", 0)) != "0" else []
    elif node.family == "normalisation" and weight:
        words = [_each(weight)]
    else:
        words = [f"{name}={_short(params[name])}" for name in node.changed if _telling(node, name)]
        if not node.composite:  # a composite's own constants (a dropout mask) are no news
            words += [f"{name} {text}" for name, text in node.constants.items()]
    return " ".join(words)


def made_by(node: GraphNode) -> str:
    """What made an op: the name of a function of ops, or `gradient of mul`, `2nd gradient of mul`."""
    if not node.order:
        return node.composite
    ordinal = {1: "", 2: "2nd ", 3: "3rd "}.get(node.order, f"{node.order}th ")
    return f"{ordinal}gradient of {node.composite.rpartition(' ')[2]}"


def _telling(node: GraphNode, name: str) -> bool:
    value = node.params[name]
    return name not in _SILENT and not (isinstance(value, str) and value.startswith("<"))


def _each(value: Any) -> str:
    """One number where all are equal, else all of them: `3`, `3x5`."""
    values = value if isinstance(value, (tuple, list)) else (value,)
    texts = [str(x) for x in values]
    return texts[0] if len(set(texts)) == 1 else "x".join(texts)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:21] + "..."

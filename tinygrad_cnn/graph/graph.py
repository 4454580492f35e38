"""The Graph: plain nodes and edges, free of arrays, that every picture, table and export starts from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from tinygrad_cnn.recording import GRADIENT

if TYPE_CHECKING:
    from tinygrad_cnn.graph.build import Origin
    from tinygrad_cnn.graph.cost import Cost, Totals
    from tinygrad_cnn.graph.lint import Finding, Reason
    from tinygrad_cnn.graph.run import Run
    from tinygrad_cnn.nn.module import Module

__all__ = ["Edge", "Gradient", "Graph", "GraphNode", "ModuleInfo"]

Kind = Literal["input", "parameter", "buffer", "op", "output"]


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One thing in the picture: an input, a parameter, a buffer, a call of an op, or an output.

    id: its number, in order of creation, the same in every process. name: the op's name, or the leaf's dotted name.
    family: for an op, the file of ops that it comes from. path: the module inside which it ran; call: which call of
    that module it was, from 0. composite: the function of ops that made it. params: the op's static parameters as
    plain values; changed: the names of those that are not at their defaults. constants: arguments without gradient,
    in words. where: the user's file and line; run: the number of the composite's call, the same for all ops in it.
    count: how many ops were folded into this one. tracked: whether gradients flow to it. saved: what it keeps for
    backward: a name, the number of the block of memory (0: a leaf's own), the block's bytes. block: the number of the
    block that holds its result, -1 where that is not known. operands: of each array
    argument the name, the shape, and whether it gets a gradient. error: why it failed. picks: of an `index_select` at
    fixed places (as resizing makes it) those places.
    """

    id: int
    kind: Kind
    name: str
    shape: tuple[int, ...]
    dtype: str
    itemsize: int
    family: str = ""
    path: str = ""
    call: int = 0
    composite: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    where: str = ""
    run: int = 0
    count: int = 1
    trainable: bool = False
    tracked: bool = True
    operands: tuple[tuple[str, tuple[int, ...], bool], ...] = ()
    saved: tuple[tuple[str, int, int], ...] = ()
    block: int = -1
    error: str = ""
    picks: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of the elements."""
        return self.size * self.itemsize

    @property
    def order(self) -> int:
        """0 for an op of a forward pass, 1 for one that makes a gradient, 2 for a gradient of a gradient, and so on."""
        return self.composite.count(GRADIENT)


@dataclass(frozen=True, slots=True)
class Edge:
    """What node `source` made, an array of `shape` and `dtype`, goes to node `target` as its argument `argument`."""

    source: int
    target: int
    argument: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """The class of a module, its arguments that are not at their defaults, and whether it is a layer of `nn`."""

    kind: str
    extra: str
    is_layer: bool


@dataclass(frozen=True, slots=True)
class Gradient:
    """What backward sent along an edge: a gradient of `shape`, with its Euclidean norm.

    most: where the edge stands for those of several rounds or repetitions, the largest of their norms, `norm` being the
    smallest; else None.
    """

    shape: tuple[int, ...]
    norm: float
    most: float | None = None

    @property
    def words(self) -> str:
        """The norm as people read it, of several the range: `0.0223`, `0 to 0.638`."""
        return " to ".join(dict.fromkeys(f"{norm:.3g}" for norm in (self.norm, self.most) if norm is not None))

    def __or__(self, other: Gradient) -> Gradient:
        norms = [x for g in (self, other) for x in (g.norm, g.norm if g.most is None else g.most)]
        return Gradient(self.shape, min(norms), max(norms))


class Graph:
    """The graph of one computation: `nodes` in order of creation, `edges`, and the `modules` by dotted path.

    `print(graph)` shows it as text, `graph.save("net.svg")` draws it; a notebook shows the picture by itself.

    >>> import tinygrad_cnn as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> g = tg.graph.of(x * x + x)
    >>> [node.name for node in g.nodes]
    ['leaf 1', 'mul', 'add', 'output']
    """

    def __init__(
        self,
        nodes: Sequence[GraphNode],
        edges: Sequence[Edge],
        modules: Mapping[str, ModuleInfo],
        title: str,
        *,
        origin: Origin | None = None,
        model: Module | None = None,
    ) -> None:
        self.nodes = tuple(nodes)
        self.edges = tuple(edges)
        self.modules = dict(modules)
        self.title = title
        self.origin = origin
        self.model = model
        self.whole: Graph | None = None  # of a folded graph: what it was folded from
        self.members: dict[int, tuple[int, ...]] = {}  # of a folded graph: the nodes of `whole` in each node
        self.repeats: dict[str, tuple[str, int]] = {}  # modules that stand for several: the last one, how many
        self.times: dict[int, int] = {}  # ops that stand for those of several rounds of a loop: how many rounds
        self.loops: tuple[tuple[int, int], ...] = ()  # from which op to which one the next round begins
        self.gradients: dict[tuple[int, int, str], Gradient] | None = None  # None: backward has not run
        self.measures: dict[str, dict[int, Any]] = {}  # what was measured of nodes: by name, then by node
        self._costs: dict[int, Cost] | None = None
        self._into: dict[int, list[Edge]] = {node.id: [] for node in nodes}
        self._out: dict[int, list[Edge]] = {node.id: [] for node in nodes}
        for edge in edges:
            self._into[edge.target].append(edge)
            self._out[edge.source].append(edge)

    def __getitem__(self, id: int) -> GraphNode:
        return self.nodes[id]

    def __len__(self) -> int:
        return len(self.nodes)

    def into(self, node: GraphNode) -> list[Edge]:
        """The edges that end at `node`, in the order of its arguments."""
        return self._into[node.id]

    def out_of(self, node: GraphNode) -> list[Edge]:
        """The edges that start at `node`."""
        return self._out[node.id]

    def of_kind(self, kind: Kind) -> list[GraphNode]:
        """The nodes of one kind, in order."""
        return [node for node in self.nodes if node.kind == kind]

    @property
    def ops(self) -> list[GraphNode]:
        """The calls of ops, in the order in which they ran."""
        return self.of_kind("op")

    def with_gradients(self, gradients: dict[tuple[int, int, str], Gradient] | None) -> Graph:
        """The same graph with other gradients on its edges, by source, target and argument."""
        new = copy(self)
        new.gradients = gradients
        return new

    def parameters_of(self, nodes: Sequence[GraphNode]) -> list[GraphNode]:
        """The parameters that go straight into these nodes, each one once, in order."""
        found = {edge.source for node in nodes for edge in self.into(node)}
        return [self[i] for i in sorted(found) if self[i].kind == "parameter"]

    @property
    def parameter_count(self) -> int:
        """The number of elements in all parameters."""
        return sum(node.size for node in self.of_kind("parameter"))

    def costs(self) -> dict[int, Cost]:
        """What each op costs, by the number of its node: parameters, MACs, FLOPs, bytes. See `graph.Cost`.

        >>> import tinygrad_cnn as tg
        >>> g = tg.graph.capture(tg.nn.Linear(3, 2), tg.zeros(5, 3))
        >>> g.costs()[g.ops[0].id].macs
        30
        """
        if self._costs is None:
            from tinygrad_cnn.graph.cost import costs_of

            self._costs = costs_of(self)
        return self._costs

    def totals(self) -> Totals:
        """The costs of the whole graph, with the peak of a training step's memory. See `graph.Totals`.

        >>> import tinygrad_cnn as tg
        >>> totals = tg.graph.capture(tg.nn.Linear(3, 2), tg.zeros(5, 3)).totals()
        >>> totals.parameters, totals.macs, totals.flops
        (8, 30, 70)
        """
        from tinygrad_cnn.graph.cost import totals_of

        return totals_of(self)

    def receptive_fields(self) -> dict[int, tuple[int, ...] | None]:
        """How many elements of the input one result of each op depends on, by node; None for the whole input.

        Along each spatial dimension (from the third on) it is the distance from the first to the last of them, of the
        result that sees most. It is not cut at the input's border; but a dimension that is seen whole, as by a sum over
        it, counts with its length. Where a rule is not known, the whole is said. The statistics of batch norm do not
        count, as is usual.

        >>> import tinygrad_cnn as tg
        >>> model = tg.nn.Sequential(tg.nn.Conv2d(1, 1, 3), tg.nn.MaxPool2d(2))
        >>> list(tg.graph.capture(model, tg.zeros(1, 1, 8, 8)).receptive_fields().values())
        [(3, 3), (4, 4)]
        """
        from tinygrad_cnn.graph.sight import receptive_fields

        return receptive_fields(self)

    def run(self, *inputs: Any) -> Run:
        """Run the captured function again, on `inputs` or on those of the capture, and keep every value.

        >>> import tinygrad_cnn as tg
        >>> run = tg.graph.capture(tg.nn.Sequential(tg.nn.Linear(3, 2)), tg.zeros(5, 3)).run()
        >>> run["0"].out.shape
        (5, 2)
        """
        from tinygrad_cnn.graph.run import run

        return run(self, inputs)

    def profile(self, *inputs: Any, repeats: int = 5) -> Graph:
        """The graph of a new run with the measured time of each node, forward and backward, in seconds.

        Each op is called `repeats` times by itself, with the values that it had; its time is the median. The results
        stand in `measures["time forward"]`, `["time backward"]` and `["time"]`, by node.

        >>> import tinygrad_cnn as tg
        >>> g = tg.graph.capture(tg.nn.Linear(3, 2), tg.zeros(5, 3)).profile()
        >>> sorted(g.measures)
        ['time', 'time backward', 'time forward']
        """
        from tinygrad_cnn.graph.run import profile

        return profile(self, inputs, repeats)

    def lint(self) -> list[Finding]:
        """Look for common faults: a softmax before cross-entropy, a loss that broadcasts, an unused parameter, ...

        >>> import tinygrad_cnn as tg
        >>> net = lambda x, y: tg.nn.functional.cross_entropy(tg.softmax(x, 1), y)
        >>> g = tg.graph.capture(net, tg.zeros(2, 3), tg.tensor([0, 2]))
        >>> [finding.rule for finding in g.lint()]
        ['softmax-before-cross-entropy']
        """
        from tinygrad_cnn.graph.lint import lint

        return lint(self)

    def why_no_grad(self, parameter: Any) -> Reason:
        """Why a parameter (or its name) gets no gradient: the way from it, and the node where the gradient died.

        >>> import tinygrad_cnn as tg
        >>> layer = tg.nn.Linear(2, 2)
        >>> g = tg.graph.capture(lambda x: layer(x).argmax(1), tg.zeros(1, 2), model=layer)
        >>> g.why_no_grad("bias").kind
        'integers'
        """
        from tinygrad_cnn.graph.lint import why_no_grad

        return why_no_grad(self, parameter)

    def summary(self) -> str:
        """The table that torchinfo prints: a line for each layer, with totals below; `print` it.

        Mult-adds are counted as torchinfo counts them (each parameter once for each position or sample). Activations
        are the results of all ops, each block of memory once; torchinfo's forward/backward size is twice the results of
        the layers that have parameters, and has no counterpart here.

        >>> import tinygrad_cnn as tg
        >>> print(tg.graph.capture(tg.nn.Sequential(tg.nn.Linear(3, 2)), tg.zeros(5, 3)).summary().splitlines()[3])
        Sequential                        [5, 2]            --         --     --             --
        """
        from tinygrad_cnn.graph.summary import summary

        return summary(self)

    def explore(
        self,
        path: str | PathLike[str],
        *,
        inputs: Any = None,
        target: Any = None,
        loss: Callable[..., Any] | None = None,
    ) -> None:
        """Write one page of HTML, which works offline, to look into this graph and through one training step.

        What the graph was captured from runs once more, forward and backward; nobody's `.grad` changes. inputs: other
        arguments than those of the capture (a tuple for several). target, loss: `loss(output, target)` ends the step;
        with a target alone it is cross_entropy for integers and mse_loss for floats. Without a loss, and with a
        result that is no single number, the page has the values of the forward pass alone, and says so.
        The page holds images, a few lines of the model's source and statistics of the data, for whoever reads it.
        Errors: ValueError for a path that is no .html, OSError when the file cannot be written.
        """
        from tinygrad_cnn.graph.explore import explore

        explore(self, path, inputs=inputs, target=target, loss=loss)

    def to_dict(self) -> dict[str, Any]:
        """The whole graph as plain values, fit for JSON."""
        return {
            "title": self.title,
            "nodes": [{name: _listed(getattr(node, name)) for name in GraphNode.__slots__} for node in self.nodes],
            "edges": [{name: getattr(edge, name) for name in Edge.__slots__} for edge in self.edges],
            "modules": {
                path: {name: getattr(info, name) for name in ModuleInfo.__slots__}
                for path, info in self.modules.items()
            },
        }

    @staticmethod
    def load(path: str | PathLike[str]) -> Graph:
        """The graph in a .json file that `save` wrote; it draws, compares and counts, and cannot run."""
        from tinygrad_cnn.graph.load import load

        return load(path)

    def to_json(self) -> str:
        """The whole graph as JSON text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"

    def to_dot(self, **style: Any) -> str:
        """The picture in the DOT language; the options are those of `save`."""
        from tinygrad_cnn.graph.dot import drawing_of

        return drawing_of(self, **style).source()

    def to_svg(self, **style: Any) -> str:
        """The picture as SVG text; the options are those of `save`."""
        from tinygrad_cnn.graph.render import draw

        return draw(self, "svg", style).decode()

    def save(
        self, path: str | PathLike[str], *, engine: str | None = None, dpi: int | None = None, **style: Any
    ) -> None:
        """Write the graph to a file; its ending chooses the form: .svg, .png, .dot, .json, .pdf or .html (`explore`).

        theme: "light" or "dark". direction: "TB" (downwards) or "LR" (to the right). parameters: "fold" counts them
        in the box of their op, "nodes" draws each one. fold: "layers" draws a layer of `nn`, or a function of ops like
        cross_entropy, as one box, "none" draws each op, "repeat" draws modules that follow each other and are alike
        once, and the rounds of a loop; a number folds modules at that depth, a class (or several) its modules, and a
        function those modules for which it is true. "auto", the default, folds layers; from 60 boxes on what repeats
        itself; and of a graph of 300 nodes or more as much as it takes to be read. The picture says so.
        overlay: colours and numbers for flops, backward (FLOPs), memory, saved, time, mean, std, gradient, nan, dead,
        ties or gradcheck. backward: draw gradients too. at: the number of a node to mark as the one where backward
        stands; ready: the numbers of those that it can do next (`backward_steps` knows both).
        legend: whether to explain the colours.
        engine: "graphviz-pure" (which comes with the package) or "dot" (the system's, which .pdf needs). The first
        has Latin, Greek, Cyrillic and Hebrew letters for a .png; an .svg takes all letters from its viewer. dpi: of a
        .png, 144 by default. A .json and a .html (see `explore`) have the whole graph and no look of it: they take none
        of these.
        Errors: ValueError for another ending or value, and for an option that the form does not take, TypeError for
        another option, RuntimeError without the engine's program, OSError when the file cannot be written.

        >>> import tempfile
        >>> import tinygrad_cnn as tg
        >>> g = tg.graph.capture(tg.nn.Linear(3, 2), tg.zeros(5, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     g.save(f"{folder}/linear.svg", theme="dark", overlay="flops")
        """
        from tinygrad_cnn.graph.render import save

        save(self, path, engine, dpi, style)

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def __str__(self) -> str:
        from tinygrad_cnn.graph.text import to_text

        return to_text(self)

    def __repr__(self) -> str:
        from tinygrad_cnn.graph.labels import totals

        return f"<Graph {' '.join(self.title.split())}: {totals(self, len(self.ops))}>"


def _listed(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value

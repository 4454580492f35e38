"""Graphs: how a tensor came to be, as an object that prints, draws and exports itself.

graph.py is the object, and says what it can do. The other files, in the order in which a graph meets them:

    record, build    what an observer saw while a model ran; from that to nodes and edges (`capture`, `of`)
    run, step, trap  the graph run again with its values; backward in single steps; the first NaN or inf
    cost, flops      parameters, arithmetic, bytes, from shapes alone
    sight            receptive fields, from shapes alone
    lint, diff       common faults, and why a parameter has no gradient; what differs between two graphs
    fold             several nodes as one: by layers, repetition, depth, class, predicate
    overlay, paint   a number or verdict for each op; the colours for them. style: the colours of all else
    dot, header      the picture in the DOT language. cells: its words; labels: what they say
    render           from DOT to files. svg, titles: what the layout made of it, and titles that no edge crosses
    text, summary    the graph as lines of text, and as torchinfo's table. load: from JSON files
    explore/         the page of HTML to look into a graph and through a training step

>>> import tinygrad_cnn as tg
>>> model = tg.nn.Sequential(tg.nn.Linear(4, 3), tg.nn.ReLU())
>>> tg.graph.capture(model, tg.zeros(2, 4))
<Graph Sequential: 2 ops, 15 parameters>
"""

from __future__ import annotations

from tinygrad_cnn.graph.build import capture, of
from tinygrad_cnn.graph.cost import Cost, Totals
from tinygrad_cnn.graph.diff import Change, GraphDiff, diff
from tinygrad_cnn.graph.graph import Edge, Gradient, Graph, GraphNode, ModuleInfo
from tinygrad_cnn.graph.lint import Finding, Reason
from tinygrad_cnn.graph.run import Moment, Run
from tinygrad_cnn.graph.step import BackwardSteps, Step, backward_steps
from tinygrad_cnn.graph.trap import NonFiniteError, trap

__all__ = [
    "BackwardSteps", "Change", "Cost", "Edge", "Finding", "Gradient", "Graph", "GraphDiff", "GraphNode", "ModuleInfo",
    "Moment", "Reason", "Run", "Step", "Totals", "NonFiniteError", "backward_steps", "capture", "diff", "of", "trap",
]  # fmt: skip

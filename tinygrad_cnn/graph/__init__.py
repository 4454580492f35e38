"""Graphs: how a tensor came to be, as an object that prints, draws and exports itself.

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

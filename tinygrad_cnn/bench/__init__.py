"""The project's benchmark: eight training steps, each written once and run on this package and on PyTorch in turn.

Absolute times drift with the machine's mood, so what counts is the ratio of rounds that ran one after the other.
"""

from tinygrad_cnn.bench.compare import PEERS, Report, Row, run
from tinygrad_cnn.bench.workloads import WORKLOADS

__all__ = ["PEERS", "WORKLOADS", "Report", "Row", "run"]

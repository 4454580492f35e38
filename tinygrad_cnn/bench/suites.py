"""All workloads, by suite and by name."""

from __future__ import annotations

from tinygrad_cnn.bench.convolutions import CONVOLUTIONS
from tinygrad_cnn.bench.growth import GROWTH
from tinygrad_cnn.bench.workloads import WORKLOADS, Workload

__all__ = ["ALL", "SUITES"]

SUITES: dict[str, dict[str, Workload]] = {"steps": WORKLOADS, "convolutions": CONVOLUTIONS, "growth": GROWTH}
ALL: dict[str, Workload] = {name: workload for suite in SUITES.values() for name, workload in suite.items()}

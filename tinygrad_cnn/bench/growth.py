"""How a step's time grows with the batch and with the depth: in proportion, if nothing is wasted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinygrad_cnn.bench.workloads import Framework, Workload, lenet, training

__all__ = ["GROWTH", "plot"]

BATCHES = (1, 4, 16, 64, 256, 1024)
DEPTHS = (1, 2, 4, 8, 16, 32, 64)


def _deep(depth: int) -> Callable[[Framework], Any]:
    def model(fw: Framework) -> Any:
        nn = fw.nn
        layers = [layer for _ in range(depth) for layer in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 14 * 14, 10))

    return model


GROWTH: dict[str, Workload] = {
    **{f"batch_{n}": Workload(training(lenet, 1, 28, 28), n, f"LeNet, {n} images") for n in BATCHES},
    **{
        f"depth_{n}": Workload(training(_deep(n), 16, 14, 14), 16, f"{n} convolutions of 16 channels, 14x14, 16 images")
        for n in DEPTHS
    },
}


def plot(report: Any, path: str | Path) -> None:
    """Draw the times of a report on this suite over batch and depth, both axes logarithmic, to a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 7), layout="constrained")
    for place, kind, label in ((1, "batch", "images in the batch"), (2, "depth", "convolutions")):
        rows = [(int(row.workload.split("_")[1]), row) for row in report.rows if row.workload.startswith(kind)]
        axes = figure.add_subplot(2, 1, place)
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel="a training step, ms")
        axes.set_xticks([n for n, _ in rows], [f"{n:,}" for n, _ in rows])
        axes.minorticks_off()
        sizes = [n for n, _ in rows]
        ours = [row.ours.time for _, row in rows]
        axes.plot(sizes, ours, "o-", label="tinygrad_cnn")
        if report.against is not None:
            axes.plot(sizes, [row.peer.time for _, row in rows], "s-", label=report.against)
        if rows:
            axes.plot(sizes, [ours[-1] * n / sizes[-1] for n in sizes], ":", color="gray", label="in proportion")
        axes.legend()
    figure.savefig(path)

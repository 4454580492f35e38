"""Run workloads on this package and on a peer, in turn, and compare."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinygrad_cnn.bench.suites import ALL, SUITES
from tinygrad_cnn.errors import UserError
from tinygrad_cnn.serialization import write_atomically

__all__ = ["PEERS", "Report", "Row", "run"]

OURS = "tinygrad_cnn"

# What a peer's process is started with. glibc gives large arrays back to the system at each step and takes them anew;
# "torch-reuse" is PyTorch with that switched off: an opponent that reuses its memory, as this package does.
PEERS: dict[str, dict[str, str]] = {
    "torch": {},
    "torch-reuse": {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)},
}


@dataclass(frozen=True)
class Side:
    """What one side needs for a workload: each round's median time and CPU time of a step, in its unit; MB."""

    times: list[float]
    cpu: list[float]
    step_mb: float | None
    process_mb: float | None
    loss: float

    @property
    def time(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.times)


@dataclass(frozen=True)
class Row:
    """One workload on both sides. Ratios are the peer's cost over ours: above 1 we are ahead."""

    workload: str
    unit: str
    ours: Side
    peer: Side | None = None

    @property
    def ratios(self) -> list[float]:
        """The ratio of the times in each pair of rounds, which ran one after the other."""
        return [] if self.peer is None else [b / a for a, b in zip(self.ours.times, self.peer.times, strict=True)]

    @property
    def ratio(self) -> float | None:
        """The median of the ratios of the times."""
        return statistics.median(self.ratios) if self.peer else None

    @property
    def cpu_ratio(self) -> float | None:
        """The same for the CPU time, of all threads: it hardly changes when other programs want the machine too."""
        if self.peer is None:
            return None
        return statistics.median(b / a for a, b in zip(self.ours.cpu, self.peer.cpu, strict=True))

    @property
    def memory_ratio(self) -> float | None:
        """The ratio of the memory that a step takes."""
        if self.peer is None or not self.peer.step_mb or not self.ours.step_mb:
            return None
        return self.peer.step_mb / self.ours.step_mb

    def to_dict(self) -> dict[str, Any]:
        """Everything that was measured, for JSON."""
        names = ("ratio", "ratios", "cpu_ratio", "memory_ratio")
        return asdict(self) | {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Report:
    """The rows, and under which conditions they were measured."""

    against: str | None
    threads: int | None
    rounds: int
    seconds: float
    machine: dict[str, str]
    rows: list[Row]

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        names = ("against", "threads", "rounds", "seconds", "machine")
        conditions = {name: getattr(self, name) for name in names}
        return conditions | {"rows": [row.to_dict() for row in self.rows]}

    def save(self, path: str | Path) -> None:
        """Write `to_dict()` to a JSON file."""
        write_atomically(path, (json.dumps(self.to_dict(), indent=1) + "\n").encode())

    def table(self) -> Any:
        """A rich Table: times, ratios with their range, memory of a step."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE)
        table.add_column("workload", no_wrap=True)
        for column in _columns(self.against):
            table.add_column(column, justify="right")
        for row in self.rows:
            table.add_row(row.workload, *_cells(row))
        return table

    def markdown(self) -> str:
        """The table as Markdown, and a line that says how it was measured."""
        head = ["workload", *_columns(self.against)]
        lines = [head, ["---", *["---:"] * (len(head) - 1)], *([row.workload, *_cells(row)] for row in self.rows)]
        table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        threads = "default threads" if self.threads is None else f"{self.threads} thread{'s' * (self.threads != 1)}"
        rounds = f"{self.rounds} round{'s' * (self.rounds != 1)} of {self.seconds:g} s"
        return f"{table}\n{self.machine['processor']}, {threads}, {rounds}, load at the start {self.machine['load']}\n"


def _columns(against: str | None) -> list[str]:
    if against is None:
        return ["time", "MB"]
    return [against, "ours", "ratio (range)", "CPU", f"{against} MB", "ours", "ratio"]


def _cells(row: Row) -> list[str]:
    def time(side: Side) -> str:
        return f"{side.time:.3g} {row.unit}"

    def memory(side: Side) -> str:
        return "-" if side.step_mb is None else f"{side.step_mb:.1f}"

    if row.peer is None:
        return [time(row.ours), memory(row.ours)]
    ratio = f"{row.ratio:.2f} ({min(row.ratios):.2f}-{max(row.ratios):.2f})"
    less = "-" if row.memory_ratio is None else f"{row.memory_ratio:.2f}"
    return [time(row.peer), time(row.ours), ratio, f"{row.cpu_ratio:.2f}", memory(row.peer), memory(row.ours), less]


class _Process:
    """A worker, as a context manager; `ask` sends an order and waits for the answer."""

    def __init__(self, framework: str, threads: int | None, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "tinygrad_cnn.bench.worker", framework]
        if threads is not None:
            command.append(f"--threads={threads}")
        # The child finds the package where this process found it, also if that is not installed.
        path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | environment | {"PYTHONPATH": os.pathsep.join(path)}
        self.name = framework
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> _Process:
        return self

    def ask(self, *order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"bench: the process of {self.name} ended while asked for {order}; its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __exit__(self, *exc: object) -> None:
        if any(exc):
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self.process.wait()


def run(
    workloads: Iterable[str] | None = None,
    against: str | None = "torch",
    threads: int | None = None,
    rounds: int = 5,
    seconds: float = 1.0,
    say: Callable[[str], None] = lambda message: None,
) -> Report:
    """Measure workloads (default: the training steps) on this package and on a peer (None: on this package alone).

    Each side has a process of its own, and they take turns: ours, the peer, ours, the peer, … for `rounds` rounds of
    `seconds` each. threads: for both sides (default: what each takes by itself). say: told which
    workload comes now.
    UserError for an unknown workload, and if the peer is not installed.
    """
    names = list(SUITES["steps"]) if workloads is None else list(workloads)
    if unknown := [name for name in names if name not in ALL]:
        raise UserError(f"unknown workload {unknown[0]!r}, there are {', '.join(ALL)}")
    if against is not None and against not in PEERS:
        raise UserError(f"unknown peer {against!r}, there are {', '.join(PEERS)}")
    if against is not None and importlib.util.find_spec("torch") is None:
        raise UserError("PyTorch is not installed, so there is nothing to compare with: pip install torch")
    # Other programs disturb the sides unequally: threads that spin while they wait, as PyTorch's, suffer most.
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    rows = []
    for name in names:
        say(name)
        rows.append(_compare(name, against, threads, rounds, seconds))
    machine = {"processor": _processor(), "system": platform.platform(), "python": platform.python_version()}
    machine["load"] = load
    return Report(against, threads, rounds, seconds, machine, rows)


def _compare(name: str, against: str | None, threads: int | None, rounds: int, seconds: float) -> Row:
    with _Process(OURS, threads, {}) as ours:
        built = ours.ask("build", name)
        if against is None:
            return Row(name, ALL[name].unit, _side(name, built, [ours.ask("round", seconds) for _ in range(rounds)]))
        with _Process("torch", threads, PEERS[against]) as peer:
            built_peer = peer.ask("build", name)
            pairs = [(ours.ask("round", seconds), peer.ask("round", seconds)) for _ in range(rounds)]
    mine, theirs = ([pair[i] for pair in pairs] for i in (0, 1))
    return Row(name, ALL[name].unit, _side(name, built, mine), _side(name, built_peer, theirs))


def _side(name: str, built: dict[str, Any], rounds: list[dict[str, Any]]) -> Side:
    scale = ALL[name].scale
    return Side([r["median"] * scale for r in rounds], [r["cpu"] * scale for r in rounds], **built)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

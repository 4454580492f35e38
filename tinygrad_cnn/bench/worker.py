"""One side of a comparison, in a process of its own: builds a workload, and runs rounds of it when told to.

It reads orders, one JSON list a line, and answers each with one JSON object a line:
["build", name] and ["round", seconds].
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from tinygrad_cnn.bench.suites import ALL
from tinygrad_cnn.bench.workloads import Framework, Workload

WARM_UP = 3


def peak_memory() -> float | None:
    """The most memory that this process has had so far, in MB; None where the system does not say."""
    try:
        with open("/proc/self/status") as status:  # Linux: its ru_maxrss would count the parent's too
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def build(fw: Framework, workload: Workload) -> tuple[Callable[[], Any], dict[str, Any]]:
    """The step, warm; and what it needs: memory that the whole batch takes over a batch of one, and in all.

    The difference leaves out the framework itself, its compiled kernels, and the parameters.
    """
    _repeat(workload.build(fw, 1))
    alone = peak_memory()
    step = workload.build(fw, workload.batch)
    loss = _repeat(step)
    peak = peak_memory()
    step_memory = None if alone is None or peak is None else peak - alone
    return step, {"loss": loss, "step_mb": step_memory, "process_mb": peak}


def _repeat(step: Callable[[], Any]) -> float:
    losses = [step() for _ in range(WARM_UP)]
    return float(losses[0].item())


def time_steps(step: Callable[[], Any], seconds: float) -> dict[str, Any]:
    """The median time of a step over at least this long (and three steps), and the CPU time that one takes."""
    times: list[float] = []
    gc.collect()
    cpu, start = time.process_time(), time.perf_counter()
    last = start
    while last - start < seconds or len(times) < 3:
        step()
        now = time.perf_counter()
        times.append(now - last)
        last = now
    return {
        "median": statistics.median(times),
        "cpu": (time.process_time() - cpu) / len(times),
        "steps": len(times),
    }


def main() -> None:
    """Serve the orders on stdin until it ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("framework", choices=("tinygrad_cnn", "torch"))
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # whatever a library prints is no answer
        fw = Framework.load(options.framework, options.threads)
        step: Callable[[], Any] | None = None
        for line in sys.stdin:
            order, argument = json.loads(line)
            if order == "build":
                step, answer = build(fw, ALL[argument])
            else:
                assert step is not None
                answer = time_steps(step, argument)
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

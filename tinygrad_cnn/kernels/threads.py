"""Threads for the kernels: how many, and the workers that share a kernel's work with the calling thread.

A worker that has finished a job looks out for the next one for a moment before it sleeps (TINYGRAD_CNN_SPIN, in
microseconds: 1,000; 0 for never), since to be woken can take as long as a small kernel. BLAS is told to use one thread
while a kernel calls it (and told back afterwards): its own threads would go on spinning and take the cores from ours.
On Linux the workers keep off the processor of the thread that gives them work.

The module is safe to use from several Python threads (one has the workers, the others run alone), and after a
fork (the child starts its own workers).
"""

from __future__ import annotations

import _thread
import ctypes
import importlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["get_num_threads", "set_num_threads"]

# Below this many elementary operations (about 30 µs of work) waking a worker costs more than it saves.
WORTH_SHARING = 500_000
# Seconds for which a thread that waits for a signal spins before it sleeps, and for which the one that gives out a job
# holds the GIL afterwards.
SPIN = 1e-6 * float(os.environ.get("TINYGRAD_CNN_SPIN", "1000"))
GRACE = 5e-6


def set_num_threads(n: int) -> None:
    """How many threads a kernel may use, the calling one included, as in PyTorch.

    One thread also means: no worker is ever started. It does not change BLAS's setting for other users.

    >>> before = get_num_threads()
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(before)
    """
    global _threads
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"set_num_threads: n is {n!r}, an int was expected")
    if n < 1:
        raise ValueError(f"set_num_threads: n is {n}, at least 1 was expected")
    _threads = n


def get_num_threads() -> int:
    """How many threads a kernel may use. At first: OMP_NUM_THREADS, or the processors of this process."""
    return _threads


def _default() -> int:
    wish = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wish.isdigit() and int(wish) > 0:
        return int(wish)
    return _processors()


def _processors() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Spin:
    """How long a thread looks for its signal before it sleeps. Not at all until fast kernels are loaded."""

    __slots__ = ("enabled", "grace", "kernels", "processors", "rounds")

    def __init__(self) -> None:
        self.enabled = SPIN > 0
        self.kernels: Any = None
        self.rounds = self.grace = 0
        self.processors = _processors()

    def prepare(self) -> bool:
        """Whether to spin; loads the kernels for it when others are there."""
        if self.kernels is None and self.enabled and "tinygrad_cnn.kernels.fast.simd" in sys.modules:
            try:
                self._load()
            except Exception:  # sleeping is as good, only slower
                self.enabled = False
        # With more threads than processors a thread that spins keeps another from its work.
        return self.enabled and self.kernels is not None and _threads <= self.processors

    def _load(self) -> None:
        kernels = importlib.import_module("tinygrad_cnn.kernels.fast").load("spin")
        cells, trial, times = np.zeros(kernels.CELLS, np.int64), 1000, []
        for _ in range(5):  # the first call takes longer, and any may be interrupted
            start = time.perf_counter()
            kernels.wait_for_done(cells, 1, trial)
            times.append(time.perf_counter() - start)
        round_time = min(times) / trial
        self.rounds, self.grace, self.kernels = int(SPIN / round_time), int(GRACE / round_time), kernels


class _Worker:
    """A thread that runs one job at a time.

    Jobs are numbered. `cells` has the number of the last one given out, and of the last one done, for a thread that
    spins; one that sleeps is woken by `go` or `done`, locks used as one-shot signals. Who is asleep is known under
    `gate` alone.
    """

    __slots__ = ("asleep", "cells", "done", "error", "finished", "gate", "go", "job", "number", "thread", "waiting")

    def __init__(self) -> None:
        self.go, self.done, self.gate = _thread.allocate_lock(), _thread.allocate_lock(), _thread.allocate_lock()
        self.go.acquire()
        self.done.acquire()
        self.cells = np.zeros(32, np.int64)
        self.number = self.finished = 0
        self.asleep = self.waiting = False
        self.job: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
        self.error: BaseException | None = None
        self.thread: int | None = None
        _thread.start_new_thread(self._loop, ())

    def _loop(self) -> None:
        self.thread = _thread.get_native_id()
        np.seterr(all="ignore")  # as in the context in which the calling thread runs kernels; a thread has its own
        done = 0
        while True:
            if not (_spin.prepare() and _spin.kernels.tell_and_wait(self.cells, done, _spin.rounds, _spin.grace)):
                self._sleep(done)
            assert self.job is not None
            function, args = self.job
            try:
                function(*args)
            except BaseException as error:
                self.error = error
            self.job = function = args = None  # type: ignore[assignment]  # keep no array alive
            done += 1
            with self.gate:
                self.finished = done
                if self.waiting:
                    self.waiting = False
                    self.done.release()

    def _sleep(self, done: int) -> None:
        """Until there is a job after number `done`."""
        with self.gate:
            self.asleep = self.number == done
            sleeping = self.asleep
        if sleeping:
            self.go.acquire()

    def start(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.job = (function, args)
        with self.gate:
            self.number += 1
            self.cells[0] = self.number
            if self.asleep:
                self.asleep = False
                self.go.release()

    def join(self) -> None:
        if not (_spin.prepare() and _spin.kernels.wait_for_done(self.cells, self.number, _spin.rounds)):
            with self.gate:
                self.waiting = self.finished != self.number
                sleeping = self.waiting
            if sleeping:
                self.done.acquire()
        if self.error is not None:
            error, self.error = self.error, None
            raise error


class _Team:
    """The workers, and the lock that says who uses them."""

    __slots__ = ("busy", "placed", "workers")

    def __init__(self) -> None:
        self.busy = _thread.allocate_lock()
        self.workers: list[_Worker] = []
        self.placed: tuple[int, int] | None = None  # off which processor, and how many workers

    def spread(self, workers: list[_Worker]) -> None:
        """Keep these workers off the processor that the calling thread is on, if there are others for them.

        A system may wake a thread on the processor of the one that wakes it, though that one is busy, above all when
        other programs run too: then one job waits for the other, and may go on doing so for thousands of them.
        """
        here = _processor_now()
        if here is None or (here, len(workers)) == self.placed or any(worker.thread is None for worker in workers):
            return
        allowed = os.sched_getaffinity(0)
        others = allowed - {here}
        try:
            for worker in workers:
                os.sched_setaffinity(worker.thread or 0, others if len(others) >= len(workers) else allowed)
        except OSError:  # not permitted: then it is the system's choice
            pass
        self.placed = here, len(workers)


def _find_processor_now() -> Callable[[], int | None]:
    """The C library's function that tells the calling thread's processor; where there is none (not Linux), None."""
    try:
        return ctypes.CDLL(None).sched_getcpu
    except (AttributeError, OSError, TypeError):
        return lambda: None


def parts(count: int, work: float) -> list[tuple[int, int]]:
    """Cut range(count) into one (start, stop) per thread; into one part if `work` (operations) is small.

    >>> parts(10, work=0)
    [(0, 10)]
    """
    if work < WORTH_SHARING or _threads == 1 or count <= 1:
        return [(0, count)]
    n = min(_threads, count)
    return [(count * i // n, count * (i + 1) // n) for i in range(n)]


def run(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> None:
    """Call `function(*job)` for every job: the first here, each other one on a worker if they are free."""
    if len(jobs) == 1:
        function(*jobs[0])
        return
    team = _team
    if team.busy.acquire(blocking=False):
        try:
            _run_together(team, function, jobs)
        finally:
            team.busy.release()
    else:
        for job in jobs:
            function(*job)


def _run_together(team: _Team, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> None:
    while len(team.workers) < len(jobs) - 1:
        team.workers.append(_Worker())
        team.placed = None
    helpers = team.workers[: len(jobs) - 1]
    team.spread(helpers)
    for worker, job in zip(helpers, jobs[1:], strict=True):
        worker.start(function, job)
    try:
        try:
            function(*jobs[0])
        finally:
            for worker in helpers:
                worker.join()
    except BaseException:
        # A worker may still be running (Ctrl-C cut the wait short): its signal must not reach a later job.
        team.workers, team.placed = [], None
        raise


def share(function: Callable[..., Any], count: int, work: float, *args: Any) -> None:
    """Call `function(*args, start, stop)` so that every number below `count` is covered once."""
    cuts = parts(count, work)
    if len(cuts) == 1:
        function(*args, 0, count)
    else:
        run(function, [(*args, start, stop) for start, stop in cuts])


class _Blas:
    """BLAS's own number of threads, set to one while any of our calls is inside; threads may overlap."""

    __slots__ = ("before", "inside", "libraries", "lock")

    def __init__(self) -> None:
        self.lock = _thread.allocate_lock()
        self.libraries: list[tuple[Callable[[], int], Callable[[int], None]]] | None = None
        self.before: list[int] = []
        self.inside = 0

    def __enter__(self) -> None:
        with self.lock:
            if self.libraries is None:
                self.libraries = _blas_libraries()
            if self.inside == 0:
                self.before = [get() for get, _ in self.libraries]
                for _, put in self.libraries:
                    put(1)
            self.inside += 1

    def __exit__(self, *exc: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                for (_, put), n in zip(self.libraries or (), self.before, strict=True):
                    put(n)


def _blas_libraries() -> list[tuple[Callable[[], int], Callable[[int], None]]]:
    """NumPy's BLAS (or every one that is loaded, if it is not in a folder of NumPy's): read and set its threads."""
    from threadpoolctl import ThreadpoolController

    found = [c for c in ThreadpoolController().lib_controllers if c.user_api == "blas"]
    return [_fast_access(c) for c in ([c for c in found if "numpy" in c.filepath] or found)]


def _fast_access(controller: Any) -> tuple[Callable[[], int], Callable[[int], None]]:
    """OpenBLAS's functions themselves take 0.3 µs, threadpoolctl's way to them ten times that."""
    for prefix in ("scipy_", ""):
        for suffix in ("64_", "", "_64"):
            get, put = (f"{prefix}openblas_{verb}_num_threads{suffix}" for verb in ("get", "set"))
            if hasattr(controller.dynlib, get) and hasattr(controller.dynlib, put):
                return getattr(controller.dynlib, get), getattr(controller.dynlib, put)
    return controller.get_num_threads, controller.set_num_threads


def one_blas_thread() -> _Blas:
    """Inside `with`, every call of BLAS in this process uses one thread; after it, as many as before."""
    return _blas


_processor_now = _find_processor_now()
_spin = _Spin()
_threads = _default()
_team = _Team()
_blas = _Blas()


def _start_afresh() -> None:
    """After a fork only the forking thread exists in the child: the workers, and who held a lock, are gone."""
    global _team, _blas
    old = _blas
    _team, _blas = _Team(), _Blas()
    if old.inside:
        _blas.libraries, _blas.before, _blas.inside = old.libraries, old.before, 1
        _blas.__exit__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)

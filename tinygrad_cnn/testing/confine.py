"""Run a command that may do anything: for so long, with so many processes, and with an end for all of them.

It gets a session of its own, and when it is over (by itself, or because a limit was reached) the whole session is
ended. The output goes nowhere, so no process that is left can hold a pipe open. That is no sandbox: a process that
starts a session of its own gets away, and files can be written.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["PROCESSES", "limit_resources", "run_confined"]

PROCESSES = 32  # so many may run at once, the command itself included
MEMORY = 4 << 30  # bytes that may be mapped beyond what is
_PROC = Path("/proc")
_PAUSE = 0.05  # seconds between two looks at the processes


def run_confined(command: Sequence[str], seconds: float, environment: Mapping[str, str]) -> str:
    """Run it, end whatever it has started, and say how it ended: with which code, or which limit it reached."""
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(
        command, stdin=quiet, stdout=quiet, stderr=quiet, env=environment, start_new_session=os.name == "posix"
    )
    last = time.monotonic() + seconds
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return f"the process ended with code {child.wait(_PAUSE)}"
            if len(_session(child.pid)) > PROCESSES:
                return f"started more than {PROCESSES} processes"
            if time.monotonic() >= last:
                return f"took longer than {seconds:g} s"
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it has started, also where it is gone itself."""
    if os.name != "posix":
        child.kill()
        child.wait()
        return
    for _ in range(20):  # the first round ends the group; others may have made groups, or started more meanwhile
        with contextlib.suppress(ProcessLookupError, PermissionError):  # no such group; only ended ones (macOS)
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        left = _session(child.pid)
        if not left:
            return
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_PAUSE / 5)


def _session(leader: int) -> list[int]:
    """The processes of a session, where the platform lists them under /proc."""
    found = []
    for name in os.listdir(_PROC) if _PROC.is_dir() else ():
        with contextlib.suppress(ValueError, OSError):  # no process; already gone
            if os.getsid(int(name)) == leader:
                found.append(int(name))
    return found


def limit_resources() -> None:
    """Limit what this process and those that it starts may take: memory, processes, and no core files.

    The limits are counted from what is in use now, and so are set only where /proc tells that. The system's limit of
    processes is one of the user, and does not hold for root.
    """
    if os.name != "posix":
        return
    import resource

    limits = {resource.RLIMIT_CORE: 0}
    if (_PROC / "self" / "statm").exists():
        pages = int((_PROC / "self" / "statm").read_text().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + MEMORY
        threads = int((_PROC / "loadavg").read_text().split()[3].partition("/")[2])  # of all users: at least the own
        limits[resource.RLIMIT_NPROC] = threads + 8 * PROCESSES
    for kind, limit in limits.items():
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))

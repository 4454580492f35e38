"""Run a command that may do anything: for so long, with so many processes, and with an end for all of them.

It gets a session of its own and a mark in its environment. When it is over (by itself, or because a limit was reached)
all that is in the session or has the mark is ended. Its parent is a shell, so if it ends its parent only that is gone.
The output goes nowhere, so no process that is left can hold a pipe open. That is no sandbox: a process that leaves
the session and drops its environment too gets away, and files can be written.
"""

from __future__ import annotations

import contextlib
import os
import secrets
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
_GAP = 1.0  # seconds between two looks that count at most: what is longer, the machine itself stood still
_MARK = "TINYGRAD_CNN_CONFINED"
_SHELL = ("/bin/sh", "-c", '"$@"; exit $?', "sh")  # after `exit $?` it cannot step aside for the command


def run_confined(command: Sequence[str], seconds: float, environment: Mapping[str, str]) -> str:
    """Run it, end whatever it has started, and say how it ended: with which code, or which limit it reached."""
    quiet, posix, mark = subprocess.DEVNULL, os.name == "posix", secrets.token_hex(8)
    child = subprocess.Popen(
        [*(_SHELL if posix else ()), *command],
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        env={**environment, _MARK: mark},
        start_new_session=posix,
    )
    spent, before = 0.0, time.monotonic()
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return f"the process ended with code {_named(child.wait(_PAUSE))}"
            if len(_started(child.pid, mark)) > PROCESSES:
                return f"started more than {PROCESSES} processes"
            now = time.monotonic()
            spent, before = spent + min(now - before, _GAP), now
            if spent >= seconds:
                return f"took longer than {seconds:g} s"
    finally:
        _end(child, mark)


def _named(code: int) -> str:
    """A shell's code, with the signal that ended the command if it was one."""
    with contextlib.suppress(ValueError):
        return f"{code} ({signal.Signals(abs(code) % 128).name})" if code < 0 or code > 128 else str(code)
    return str(code)


def _end(child: subprocess.Popen[bytes], mark: str) -> None:
    """End the process and whatever it has started, also where it is gone itself."""
    if os.name != "posix":
        child.kill()
        child.wait()
        return
    for _ in range(20):  # the first round ends the group; others may have made groups, or started more meanwhile
        with contextlib.suppress(ProcessLookupError, PermissionError):  # no such group; only ended ones (macOS)
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        left = _started(child.pid, mark)
        if not left:
            return
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_PAUSE / 5)


def _started(leader: int, mark: str) -> list[int]:
    """The processes of a session, and those that have left it with their mark, where the platform has /proc."""
    entry, found = f"{_MARK}={mark}".encode(), []
    for name in os.listdir(_PROC) if _PROC.is_dir() else ():
        with contextlib.suppress(ValueError, OSError):  # no process; already gone; somebody else's
            if os.getsid(int(name)) == leader or entry in (_PROC / name / "environ").read_bytes().split(b"\0"):
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

"""Ctrl-C: in a training it waits for a good moment; in the command it never shows a traceback."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

__all__ = ["STOPPED", "Interrupt", "started"]

STOPPED = 130  # the exit code that shells give a program that Ctrl-C has ended


class Interrupt:
    """While the block runs, a first Ctrl-C sets `requested`; whoever looks at that can finish a batch and save.

    Only a program's main thread can do so; elsewhere, `requested` stays False and Ctrl-C does what it always does.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: Any = None
        self._set = False

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
            self._set = True
        return self

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *exc: object) -> None:
        if self._set:
            signal.signal(signal.SIGINT, signal.SIG_DFL if self._previous is None else self._previous)
            self._set = False


def _quiet_start() -> None:
    """In the process of the command `tinygrad-cnn`, let Ctrl-C end it with one line while Python still imports."""
    module = sys.orig_argv[-len(sys.argv) - 1 :][:2] if sys.argv[:1] == ["-m"] else []
    script = os.path.basename(sys.argv[0]) if sys.argv else ""
    if script not in ("tinygrad-cnn", "tinygrad-cnn.exe") and module != ["-m", "tinygrad_cnn"]:
        return
    if threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    os.write(2, b"stopped\n")
    os._exit(STOPPED)


def started() -> None:
    """From here on the command handles Ctrl-C itself."""
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_quiet_start()  # the package imports this module before all others

"""Ctrl-C that waits for a good moment: the first is noted, the second stops at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["Interrupt"]


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

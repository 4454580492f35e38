"""The fast kernels: float32, Numba with explicit SIMD (simd.py). Each module compiles when it is first imported.

Nothing here checks its arguments: the dispatcher (kernels/dispatch.py) sends only what a kernel can do.
Arrays must be C-contiguous; they may be read-only.
"""

from __future__ import annotations

import importlib
import logging
import signal
from types import ModuleType
from typing import Any

from numba.core import event

from tinygrad_cnn.interrupt import Interrupt

_log = logging.getLogger("tinygrad_cnn")


class _Notice(event.Listener):  # type: ignore[misc]
    """Says once per process that something is being compiled; loading from the cache is not worth a word."""

    said = False

    def on_start(self, event: Any) -> None:
        if not _Notice.said:
            _Notice.said = True
            _log.warning("compiling the fast kernels: some seconds, once on this machine")

    def on_end(self, event: Any) -> None:
        pass


def load(name: str) -> ModuleType:
    """Import one of these modules, which compiles it or takes it from Numba's cache.

    A Ctrl-C waits for its end: raised inside one of LLVM's calls back into Python, it would be lost.
    """
    with Interrupt() as interrupt, event.install_listener("numba:compile", _Notice()):
        module = importlib.import_module(f"{__name__}.{name}")
    if interrupt.requested:
        signal.raise_signal(signal.SIGINT)
    return module

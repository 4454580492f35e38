"""The fast kernels: float32, Numba with explicit SIMD (simd.py). Each module compiles when it is first imported.

Nothing here checks its arguments: the dispatcher (kernels/dispatch.py) sends only what a kernel can do.
Arrays must be C-contiguous; they may be read-only.
"""

from __future__ import annotations

import importlib
import logging
from types import ModuleType
from typing import Any

from numba.core import event

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
    """Import one of these modules, which compiles it or takes it from Numba's cache."""
    with event.install_listener("numba:compile", _Notice()):
        return importlib.import_module(f"{__name__}.{name}")

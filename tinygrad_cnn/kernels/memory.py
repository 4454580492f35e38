"""Keeping freed memory in the process, so that each training step finds its arrays' pages already there.

A step allocates and frees the same large arrays every time. glibc's malloc asks the system for a large array and
gives it back when it is freed, and then every first touch of a page is a fault: a third of a step's time can go
there. With `reuse_memory()` malloc keeps such memory for the next array. That is a setting of the whole
process, so nothing here is done by importing.
"""

from __future__ import annotations

import ctypes
import platform

__all__ = ["reuse_memory"]

# From glibc's malloc.h, and its defaults.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_DEFAULT_THRESHOLD = 128 * 1024
_KEEP_UP_TO = 1 << 30


def reuse_memory(enabled: bool = True) -> bool:
    """Let malloc keep freed arrays of up to 1 GiB for later ones; `False` goes back and returns what is free.

    The price: the process holds on to the most memory that it ever used at once. Gives whether the setting was
    changed: it is known for glibc (Linux) alone, elsewhere nothing happens.

    >>> changed = reuse_memory()
    >>> reuse_memory(False) == changed
    True
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    limit, trim = (_KEEP_UP_TO, 2**31 - 1) if enabled else (_DEFAULT_THRESHOLD, _DEFAULT_THRESHOLD)
    changed = bool(libc.mallopt(_M_MMAP_THRESHOLD, limit)) and bool(libc.mallopt(_M_TRIM_THRESHOLD, trim))
    if not enabled:
        libc.malloc_trim(0)
    return changed

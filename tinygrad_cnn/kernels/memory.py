"""In which NumPy context kernels run: nothing is warned of, and memory that arrays leave is kept for the next ones.

A training step allocates and frees the same large arrays every time. malloc asks the system for a large array and gives
it back when it is freed, and then every first touch of a page is a fault: half of a step's time can go there. So
arrays that kernels make come from a pool (fast/allocator.py). NumPy has the setting for it (NEP 49) in each context of
Python's `contextvars`, so the arrays of the rest of the process are not concerned.

The pool is there as soon as a fast kernel has run, in CPython on 64-bit processors; where it cannot be made, malloc
does as everywhere else, after one warning. `reuse_memory(False)` or the environment variable
TINYGRAD_CNN_REUSE_MEMORY=0 do without it.
"""

from __future__ import annotations

import contextvars
import ctypes
import importlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["kernel_context", "pooled", "reuse_memory"]

kernel_context = contextvars.copy_context()
"""Kernels run in copies of this context. 1/0 is inf and no warning, as in PyTorch, and that far cheaper than with
np.errstate."""
kernel_context.run(np.seterr, all="ignore")


class _Functions(ctypes.Structure):
    """PyDataMemAllocator of NumPy's C API: a pointer for the functions' own use, and their addresses."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("context", "malloc", "calloc", "realloc", "free")]


class _Handler(ctypes.Structure):
    """PyDataMem_Handler of NumPy's C API."""

    _fields_ = [("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("functions", _Functions)]
    CAPSULE = b"mem_handler"


class _Numpy:
    """A function of NumPy's C API that Python does not have, and the allocator that NumPy came with."""

    def __init__(self) -> None:
        address = ctypes.pythonapi.PyCapsule_GetPointer
        address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        numpy = importlib.import_module("numpy._core._multiarray_umath")
        table = ctypes.cast(address(numpy._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
        # Their places in the table never change: NumPy's C API only grows.
        self.set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[304])
        self.default = ctypes.PYFUNCTYPE(ctypes.py_object)(table[305])()  # PyDataMem_GetHandler


class _Pool:
    """The pool as NumPy's handler. Made once and never destroyed: an array may live until the process ends."""

    def __init__(self, allocator: Any) -> None:
        memory = allocator.new_pool()
        functions = (allocator.malloc, allocator.calloc, allocator.realloc, allocator.free)
        handler = _Handler(b"tinygrad_cnn", 1, _Functions(memory.ctypes.data, *(f.address for f in functions)))
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        self.memory, self.allocator = memory, allocator
        self.handler = new(ctypes.addressof(handler), _Handler.CAPSULE, None)
        for kept in (self, handler):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))

    def release(self) -> None:
        """Send what is free back to malloc."""
        self.allocator.release.ctypes(self.memory.ctypes.data)


_enabled = os.environ.get("TINYGRAD_CNN_REUSE_MEMORY", "1") != "0"
_numpy: _Numpy | None = None
_pool: _Pool | None = None
_handler: Any = None  # the pool's while it is in use
_possible = sys.implementation.name == "cpython" and ctypes.sizeof(ctypes.c_void_p) == 8


def use_pool(load: Callable[[], Any]) -> None:
    """Kernels allocate from a pool from now on, unless somebody said otherwise. `load` gives the module allocator."""
    global _numpy, _pool, _possible
    if _pool is not None or not _possible:
        return
    try:
        _numpy, _pool = _Numpy(), _Pool(load())
    except Exception as error:
        _possible = False
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(f"memory is not reused between steps ({reason}), which is slower", RuntimeWarning, stacklevel=6)
        return
    if _enabled:
        _choose(_pool.handler)


def _choose(handler: Any) -> None:
    global _handler
    assert _numpy is not None
    kernel_context.run(_numpy.set_handler, handler or _numpy.default)
    _handler = handler


def reuse_memory(enabled: bool = True) -> bool:
    """Whether arrays that kernels make take the memory that others left; `False` also gives back what is free.

    They do from the first fast kernel on. The price: the process holds up to twice the most memory that such arrays
    ever used at once. Gives the setting before.

    >>> before = reuse_memory(False)
    >>> reuse_memory(before)
    False
    """
    global _enabled
    before, _enabled = _enabled, enabled
    if _pool is not None and before != enabled:
        _choose(_pool.handler if enabled else None)
    if _pool is not None and not enabled:
        _pool.release()
    return before


class pooled:  # noqa: N801 - a context manager
    """Arrays that are made inside, in the caller's own context, are the pool's too."""

    __slots__ = ("before",)

    def __enter__(self) -> None:
        self.before = None if _handler is None or _numpy is None else _numpy.set_handler(_handler)

    def __exit__(self, *exc: object) -> None:
        if self.before is not None and _numpy is not None:
            _numpy.set_handler(self.before)

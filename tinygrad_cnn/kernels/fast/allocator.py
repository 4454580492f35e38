"""Where the arrays of kernels live: malloc for NumPy that keeps what is freed, for the next array of about that size.

NumPy takes the four functions that it allocates with from whoever brings them (NEP 49), for a context and not for the
whole process: kernels/memory.py does so for the context in which kernels run. These are they, compiled; an array keeps
the ones that it was made with, so it may outlive the context.

A block begins with a header of three integers, right before the data: its size, its class, and the address that malloc
gave. Small blocks are malloc's matter. Others start on a cache line, so that no vector of eight floats crosses one, and
their sizes are rounded up to a class, eight of which there are between a power of two and the next. Each class has a
list of its free blocks, linked through their first word; a request takes the first of up to twice its size. What is
held, in use or free, is never more than twice what was in use at most; a block that would make it more sends all free
ones back to malloc.

One thread at a time may change the lists: a spin lock, for a few instructions, keeps the others out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import cfunc, intp, types
from numba.extending import intrinsic

from tinygrad_cnn.kernels.fast.simd import helper
from tinygrad_cnn.kernels.fast.spin import pause

# Sizes in bytes. Below SMALL there is nothing to gain; below POOLED malloc reuses memory by itself.
WORD, HEADER, LINE, SMALL, POOLED = 8, 24, 64, 1024, 32 * 1024
CLASSES = 8 * 64
REACH = 9  # so many classes are looked through for a free block: up to twice the size
# The words of the pool's memory: the lock, bytes in use now and at most, bytes that are free, then the lists.
LOCK, USED, PEAK, FREE, LISTS = 0, 8, 9, 10, 16


def new_pool() -> np.ndarray[Any, Any]:
    """The memory of a pool that is empty; it must outlive every array."""
    return np.zeros(LISTS + CLASSES, np.int64)


# Memory by its address, and the C library -----------------------------------------------------------------------


@intrinsic
def _peek(context: Any, address: Any) -> Any:
    """The integer at an address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], ir.IntType(64).as_pointer()))

    return types.intp(types.intp), emit


@intrinsic
def _poke(context: Any, address: Any, value: Any) -> Any:
    """Write the integer at an address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], ir.IntType(64).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), emit


@intrinsic
def _exchange(context: Any, address: Any, value: Any) -> Any:
    """Write the integer at an address and give the one before, in one step for all threads."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("xchg", place, args[1], "seq_cst")

    return types.intp(types.intp, types.intp), emit


def _from_c(name: str, count: int) -> Any:
    """A function of the C library that takes `count` integers or addresses and gives one."""
    return types.ExternalFunction(name, types.intp(*[types.intp] * count))


_c_malloc, _c_calloc, _c_free = _from_c("malloc", 1), _from_c("calloc", 2), _from_c("free", 1)
_memcpy, _memset = _from_c("memcpy", 3), _from_c("memset", 3)


# The pool -------------------------------------------------------------------------------------------------------


@helper
def _lock(pool):  # type: ignore[no-untyped-def]
    while _exchange(pool + LOCK * WORD, 1) == 1:
        pause()


@helper
def _unlock(pool):  # type: ignore[no-untyped-def]
    _exchange(pool + LOCK * WORD, 0)


@helper
def _class_of(size):  # type: ignore[no-untyped-def]
    """The class of blocks that `size` bytes fit in, and its size: 8 to 15 times a power of two."""
    shift = 0
    while (size - 1) >> shift >= 16:
        shift += 1
    eighths = ((size - 1) >> shift) + 1
    return 8 * shift + eighths - 8, eighths << shift


@helper
def _new(size, kind, zeroed):  # type: ignore[no-untyped-def]
    """A block from malloc, or 0. Its data starts on a cache line unless it is small."""
    line = LINE if size >= SMALL else 16
    whole = size + HEADER + line
    raw = _c_calloc(1, whole) if zeroed else _c_malloc(whole)
    if raw == 0:
        return 0
    data = (raw + HEADER + line - 1) // line * line
    _poke(data - 3 * WORD, size)
    _poke(data - 2 * WORD, kind)
    _poke(data - WORD, raw)
    return data


@helper
def _release(pool):  # type: ignore[no-untyped-def]
    """Send all free blocks back to malloc."""
    for kind in range(CLASSES):
        head = pool + (LISTS + kind) * WORD
        data = _peek(head)
        while data != 0:
            after = _peek(data)
            _c_free(_peek(data - WORD))
            data = after
        _poke(head, 0)
    _poke(pool + FREE * WORD, 0)


@helper
def _take(pool, size, zeroed):  # type: ignore[no-untyped-def]
    """A block of at least `size` bytes, or 0 if there is no memory."""
    if size < POOLED:
        return _new(size, -1, zeroed)
    asked = size
    kind, size = _class_of(asked)
    _lock(pool)
    data = 0
    for larger in range(kind, min(kind + REACH, CLASSES)):
        head = pool + (LISTS + larger) * WORD
        data = _peek(head)
        if data != 0:
            size = _peek(data - 3 * WORD)
            _poke(head, _peek(data))
            _poke(pool + FREE * WORD, _peek(pool + FREE * WORD) - size)
            break
    used = _peek(pool + USED * WORD) + size
    _poke(pool + USED * WORD, used)
    _poke(pool + PEAK * WORD, max(used, _peek(pool + PEAK * WORD)))
    _unlock(pool)
    if data != 0:
        if zeroed:
            _memset(data, 0, asked)
        return data
    data = _new(size, kind, zeroed)
    if data == 0:
        _lock(pool)
        _release(pool)
        _unlock(pool)
        data = _new(size, kind, zeroed)
    if data == 0:
        _lock(pool)
        _poke(pool + USED * WORD, _peek(pool + USED * WORD) - size)
        _unlock(pool)
    return data


@helper
def _give_back(pool, data):  # type: ignore[no-untyped-def]
    size, kind = _peek(data - 3 * WORD), _peek(data - 2 * WORD)
    if kind < 0:
        _c_free(_peek(data - WORD))
        return
    _lock(pool)
    used, free = _peek(pool + USED * WORD) - size, _peek(pool + FREE * WORD) + size
    _poke(pool + USED * WORD, used)
    if used + free > 2 * _peek(pool + PEAK * WORD):
        _release(pool)
        free = size
    _poke(pool + FREE * WORD, free)
    head = pool + (LISTS + kind) * WORD
    _poke(data, _peek(head))
    _poke(head, data)
    _unlock(pool)


# What NumPy calls -----------------------------------------------------------------------------------------------


@cfunc(intp(intp, intp), cache=True)
def malloc(pool, size):  # type: ignore[no-untyped-def]
    return _take(pool, size, False)


@cfunc(intp(intp, intp, intp), cache=True)
def calloc(pool, count, size):  # type: ignore[no-untyped-def]
    return _take(pool, count * size, True)


@cfunc(intp(intp, intp, intp), cache=True)
def realloc(pool, data, size):  # type: ignore[no-untyped-def]
    found = _take(pool, size, False)
    if data != 0 and found != 0:
        _memcpy(found, data, min(size, _peek(data - 3 * WORD)))
        _give_back(pool, data)
    return found


@cfunc(types.void(intp, intp, intp), cache=True)
def free(pool, data, size):  # type: ignore[no-untyped-def]
    if data != 0:
        _give_back(pool, data)


@cfunc(types.void(intp), cache=True)
def release(pool):  # type: ignore[no-untyped-def]
    """Send what is free back to malloc, and forget how much was in use at most."""
    _lock(pool)
    _release(pool)
    _poke(pool + PEAK * WORD, _peek(pool + USED * WORD))
    _unlock(pool)

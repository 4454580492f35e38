"""Locks on arrays that a live graph still needs: NumPy refuses to write to them, so no gradient is silently wrong.

An array is locked by clearing its `writeable` flag, and the flag of the array that owns its memory; both come back
when the last node that needs them is gone. Two things are out of a flag's reach: a view that NumPy made of the memory
before it was locked, and memory that is not NumPy's. So memory that was handed out as an ndarray, or came in as one,
is remembered (`share`), and a graph that needs it keeps a copy of its own besides.

This runs once for each op that is recorded, so it is written for speed: `setflags(False)` costs a fifth of what
`flags.writeable = False` does, and half of what it does by keyword.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

# Reentrant, because a signal's handler may compute, or save a model, in the midst of the functions below.
_guard = threading.RLock()
_take, _give = _guard.acquire, _guard.release  # called by hand, which takes a third of the time of `with`
if hasattr(os, "register_at_fork"):  # the child must not find it taken by a thread that it does not have
    os.register_at_fork(before=_take, after_in_parent=_give, after_in_child=_give)

# By the id of the array that owns the memory: how many saved values need it; and, where that is not just the owner's
# flag, the arrays whose flags are to be restored.
_counts: dict[int, int] = {}
_restore: dict[int, list[Array]] = {}
_shared: dict[int, weakref.ref[Array]] = {}
_dropped: deque[Sequence[Any]] = deque()  # values of nodes that are gone, while the guard was taken


def owner_of(array: Array) -> Array:
    """The array that owns the memory of `array`, or the outermost one if the memory is not NumPy's."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def acquire(values: list[Any]) -> None:
    """Lock the arrays among the values that a node saves, and in the tuples among them, until `release`.

    A copy takes the place of a shared array, which is appended and locked too.
    """
    if _dropped:
        _sweep()
    shared: list[Array] = []
    count = len(values)
    _take()
    try:
        for i, array in enumerate(values):
            if type(array) is np.ndarray:
                owner = array if array.base is None else owner_of(array)
                key = id(owner)
                if key in _shared and i < count:
                    values.append(array)  # so its turn comes too
                    array = owner = values[i] = array.copy()
                    key = id(owner)
                if key in _counts:
                    _counts[key] += 1
                else:
                    _counts[key] = 1
                    if owner.flags.writeable and (owner.base is None or _can_be_given_back(owner)):
                        owner.setflags(False)  # type: ignore[call-arg]
                    else:
                        _restore[key] = []
                if array is not owner and array.flags.writeable:
                    array.setflags(False)  # type: ignore[call-arg]
                    _restore.setdefault(key, [owner]).append(array)
            elif type(array) is tuple and np.ndarray in map(type, array):
                among = list(array)
                _give()
                try:
                    acquire(among)
                finally:
                    _take()
                values[i] = tuple(among[: len(array)])
                shared += among[len(array) :]
    finally:
        _give()
    if shared:
        values += shared


def release(values: Sequence[Any]) -> None:
    """Give back the locks on these values of a node; memory can be written to when no other node needs it."""
    _take()
    try:
        for array in values:
            if type(array) is np.ndarray:
                owner = array if array.base is None else owner_of(array)
                key = id(owner)
                count = _counts[key]
                if count > 1:
                    _counts[key] = count - 1
                else:
                    del _counts[key]
                    for locked in _restore.pop(key, (owner,)) if _restore else (owner,):
                        locked.setflags(True)  # type: ignore[call-arg]
            elif type(array) is tuple and np.ndarray in map(type, array):
                _give()
                try:
                    release(array)
                finally:
                    _take()
    finally:
        _give()


def drop(values: Sequence[Any]) -> None:
    """As `release`, for a node that is deleted: that may happen at any moment, also in the midst of the other two."""
    if _guard._is_owned():  # type: ignore[attr-defined]  # the collector runs in the midst of them
        _dropped.append(values)
    else:
        release(values)


def _sweep() -> None:
    with suppress(IndexError):  # another thread may do the same
        while True:
            release(_dropped.popleft())


def arrays_in(values: Sequence[Any]) -> list[Array]:
    """The arrays among saved values: those of a variadic op stand in a tuple, as do the numbers of a shape."""
    found: list[Array] = []
    for value in values:
        found += [x for x in (value if type(value) is tuple else (value,)) if isinstance(x, np.ndarray)]
    return found


def _can_be_given_back(owner: Array) -> bool:
    """Whether NumPy would set the flag of foreign memory again: it does only where that has a writable buffer."""
    try:
        base: Any = owner.base
        return not memoryview(base).readonly
    except TypeError:  # PyTorch's memory, a DLPack capsule; in-place methods still ask `is_held`
        return False


def share(array: Array) -> Array:
    """The array itself, remembered as one that others may write to, by views of it that nobody here knows of."""
    owner = owner_of(array)
    key = id(owner)
    if key not in _shared:
        _shared[key] = weakref.ref(owner, lambda _: _shared.pop(key, None))
    return array


def is_held(array: Array) -> bool:
    """Whether a live graph needs the memory of `array`."""
    if _dropped:
        _sweep()
    return id(owner_of(array)) in _counts


def writeable(variable: Any) -> Array:
    """The array of `variable`, to be written to. A live graph that needs the old values keeps the old array.

    So an optimizer may step while the graph of some other forward pass is alive: the parameter then gets a copy.
    """
    array: Array = variable._array
    if array.flags.writeable and (array.base is None or not is_held(array)):
        return array
    if not is_held(array):
        raise ValueError(f"an array of shape {array.shape} is read-only, expected one that can be written to")
    variable._array = array.copy()
    copied: Array = variable._array
    return copied


def seal(array: Array) -> Array:
    """The array itself, locked as long as a live graph needs its memory: a view may be older than that graph."""
    if array.flags.writeable and array.base is not None:
        with _guard:
            owner = owner_of(array)
            if id(owner) in _counts:
                array.setflags(write=False)
                _restore.setdefault(id(owner), [owner]).append(array)
    return array

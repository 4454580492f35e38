"""Locks on arrays that a live graph still needs: NumPy refuses to write to them, so no gradient is silently wrong.

An array is locked by clearing its `writeable` flag, and the flag of the array that owns its memory; both come back
when the last node that needs them is gone.

This runs once for each op that is recorded, so it is written for speed: `setflags(False)` costs a fifth of what
`flags.writeable = False` does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import CodeType
from typing import Any

import numpy as np

# Reentrant, because making an object may start the garbage collector, and that may drop a `Held`.
_guard = threading.RLock()
_entries: dict[int, _Entry] = {}


class _Entry:
    """The locks on one piece of memory: who asked first, and whose flag is to be restored."""

    __slots__ = ("arrays", "code", "count", "instruction", "op", "owner", "path")

    op: Any
    code: CodeType
    instruction: int
    path: str
    count: int
    owner: np.ndarray[Any, Any]
    arrays: list[np.ndarray[Any, Any]]  # the owner first


class Held(list[_Entry]):
    """The locks of one node: whoever drops it gives them back."""

    __slots__ = ()

    def __del__(self) -> None:
        with _guard:
            for entry in self:
                entry.count -= 1
                if not entry.count:
                    for array in entry.arrays:
                        array.setflags(True)  # type: ignore[call-arg]  # by keyword it takes twice as long
                    del _entries[id(entry.owner)]


def owner_of(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array that owns the memory of `array`, or the outermost one if the memory is not NumPy's."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def acquire(arrays: Iterable[np.ndarray[Any, Any]], node: Any) -> Held:
    """Lock arrays that `node` needs, until the result is dropped."""
    held = Held()
    with _guard:
        for array in arrays:
            owner = array if array.base is None else owner_of(array)
            entry = _entries.get(id(owner))
            if entry is None:
                entry = _entries[id(owner)] = _Entry()
                entry.count = 0
                entry.owner = owner
                entry.op = node.op  # not the node itself: it must be free to die
                entry.code = node.code
                entry.instruction = node.instruction
                entry.path = node.path
                entry.arrays = []
            entry.count += 1
            held.append(entry)
            if owner.flags.writeable and (owner.base is None or _can_be_given_back(owner)):
                owner.setflags(False)  # type: ignore[call-arg]  # by keyword it takes twice as long
                entry.arrays.append(owner)
            if array is not owner and array.flags.writeable:
                array.setflags(False)  # type: ignore[call-arg]  # by keyword it takes twice as long
                entry.arrays.append(array)
    return held


def _can_be_given_back(owner: np.ndarray[Any, Any]) -> bool:
    """Whether NumPy would set the flag of foreign memory again: it does only where that has a writable buffer."""
    try:
        base: Any = owner.base
        return not memoryview(base).readonly
    except TypeError:  # PyTorch's memory, a DLPack capsule; in-place methods still ask `holder`
        return False


def writeable(variable: Any) -> np.ndarray[Any, Any]:
    """The array of `variable`, to be written to. A live graph that needs the old values keeps the old array.

    So an optimizer may step while the graph of some other forward pass is alive: the parameter then gets a copy.
    """
    array: np.ndarray[Any, Any] = variable.array
    if array.flags.writeable and (array.base is None or holder(array) is None):
        return array
    if holder(array) is None:
        raise ValueError(f"an array of shape {array.shape} is read-only, expected one that can be written to")
    variable.array = array.copy()
    copied: np.ndarray[Any, Any] = variable.array
    return copied


def seal(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array itself, locked as long as a live graph needs its memory: a view may be older than that graph."""
    if array.flags.writeable and array.base is not None:
        with _guard:
            entry = _entries.get(id(owner_of(array)))
            if entry is not None:
                array.setflags(write=False)
                entry.arrays.append(array)
    return array


def holder(array: np.ndarray[Any, Any]) -> str | None:
    """The first node that needs the memory of `array`, in words, or None."""
    from tinygrad_cnn import source

    entry = _entries.get(id(owner_of(array)))
    if entry is None:
        return None
    return f"{entry.op.name} at {source.describe(entry.code, entry.instruction, entry.path)}"

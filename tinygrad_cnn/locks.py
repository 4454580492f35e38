"""Locks on arrays that a live graph still needs: NumPy refuses to write to them, so no gradient is silently wrong.

An array is locked by clearing its `writeable` flag, and the flag of the array that owns its memory; both come back
when the last node that needs them is gone.

This runs once for each op that is recorded, so it is written for speed: `setflags(False)` costs a fifth of what
`flags.writeable = False` does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

# Reentrant, because making an object may start the garbage collector, and that may drop a `Held`.
_guard = threading.RLock()
_entries: dict[int, _Entry] = {}


class _Entry:
    """The locks on one piece of memory."""

    __slots__ = ("arrays", "count", "node", "owner")

    def __init__(self, owner: np.ndarray[Any, Any], node: Any) -> None:
        self.count = 0
        self.owner = owner
        self.node = (
            node.op.name,
            node.code,
            node.instruction,
            node.path,
        )  # not the node itself: it must be free to die
        self.arrays: list[np.ndarray[Any, Any]] = []  # whose flag is to be restored, the owner first


def owner_of(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array that owns the memory of `array`, or the outermost one if the memory is not NumPy's."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class Held:
    """The locks of one node: whoever drops it gives them back."""

    __slots__ = ("entries",)

    def __init__(self, entries: list[_Entry]) -> None:
        self.entries = entries

    def __del__(self) -> None:
        with _guard:
            for entry in self.entries:
                entry.count -= 1
                if not entry.count:
                    for array in entry.arrays:
                        array.setflags(True)
                    del _entries[id(entry.owner)]


def acquire(saved: Iterable[Any], node: Any) -> Held | None:
    """Lock the arrays among the saved values of `node`, until the result is dropped; None if there are none."""
    entries = []
    with _guard:
        for value in saved:
            if isinstance(value, np.ndarray):
                entries.append(_lock(value, node))
            elif type(value) is tuple:  # the operands of a variadic op; or a shape
                entries += [_lock(x, node) for x in value if isinstance(x, np.ndarray)]
    return Held(entries) if entries else None


def _lock(array: np.ndarray[Any, Any], node: Any) -> _Entry:
    owner = array if array.base is None else owner_of(array)
    entry = _entries.get(id(owner))
    if entry is None:
        entry = _entries[id(owner)] = _Entry(owner, node)
    entry.count += 1
    if owner.flags.writeable and (owner.base is None or _can_be_given_back(owner)):
        owner.setflags(False)
        entry.arrays.append(owner)
    if array is not owner and array.flags.writeable:
        array.setflags(False)
        entry.arrays.append(array)
    return entry


def _can_be_given_back(owner: np.ndarray[Any, Any]) -> bool:
    """Whether NumPy would set the flag of foreign memory again: it does only where that has a writable buffer."""
    try:
        return not memoryview(owner.base).readonly
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


def holder(array: np.ndarray[Any, Any]) -> str | None:
    """The first node that needs the memory of `array`, in words, or None."""
    from tinygrad_cnn import source

    entry = _entries.get(id(owner_of(array)))
    if entry is None:
        return None
    name, code, instruction, path = entry.node
    return f"{name} at {source.describe(code, instruction, path)}"

"""Locks on arrays that a live graph still needs: NumPy refuses to write to them, so no gradient is silently wrong.

An array is locked by clearing its `writeable` flag, and the flag of the array that owns its memory; both come back
when the last node that needs them is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

_guard = threading.Lock()
_entries: dict[int, _Entry] = {}


class _Entry:
    """The locks on one piece of memory."""

    __slots__ = ("arrays", "count", "node", "owner")

    def __init__(self, owner: np.ndarray[Any, Any], node: Any) -> None:
        self.count = 0
        self.owner = owner
        self.node = (node.op.name, node.code, node.instruction, node.path)  # not the node itself: it must be free to die
        self.arrays: list[np.ndarray[Any, Any]] = []  # whose flag is to be restored, the owner first


def owner_of(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array that owns the memory of `array`, or the outermost one if the memory is not NumPy's."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def acquire(saved: Iterable[Any], node: Any) -> list[Any]:
    """Lock the arrays among the saved values of `node`; the result is for `release`."""
    held = []
    with _guard:
        for value in saved:
            for x in value if type(value) is tuple else (value,):
                array = getattr(x, "array", x)
                if isinstance(array, np.ndarray):
                    held.append(_lock(array, node))
    return held


def _lock(array: np.ndarray[Any, Any], node: Any) -> _Entry:
    owner = array if array.base is None else owner_of(array)
    entry = _entries.get(id(owner))
    if entry is None:
        entry = _entries[id(owner)] = _Entry(owner, node)
    entry.count += 1
    if owner.flags.writeable and _can_be_given_back(owner):
        owner.flags.writeable = False
        entry.arrays.append(owner)
    if array is not owner and array.flags.writeable:
        array.flags.writeable = False
        entry.arrays.append(array)
    return entry


def _can_be_given_back(owner: np.ndarray[Any, Any]) -> bool:
    """Whether NumPy would set the flag again: of foreign memory it does only where that has a writable buffer."""
    if owner.base is None:
        return True
    try:
        return not memoryview(owner.base).readonly
    except TypeError:  # PyTorch's memory, a DLPack capsule; in-place methods still ask `holder`
        return False


def release(held: list[Any]) -> None:
    """Give back what `acquire` locked."""
    with _guard:
        for entry in held:
            entry.count -= 1
            if not entry.count:
                for array in entry.arrays:
                    array.flags.writeable = True
                del _entries[id(entry.owner)]


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

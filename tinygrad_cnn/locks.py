"""What live graphs need of the arrays: nobody writes to it unnoticed, so no gradient is silently wrong.

An ndarray leaves its tensor by `array` and `numpy()` alone, so it is enough to count, by the memory, how many saved
values need it:

- who writes to a tensor asks first: the in-place methods raise (`is_held`), an optimizer leaves the old array to the
  graph (`writeable`);
- an array that is handed out while a graph needs its memory is read-only until the graph is gone (`seal`);
- memory that was handed out before, or came in as an ndarray, is remembered (`share`): there may be views of it that
  no flag reaches. A graph that needs it keeps a copy of its own, and makes the array read-only besides.

A node tells what it saves (`hold`) and when that is over (`release`). Nothing is counted before somebody asks: in a
training loop the graph is gone by then. So `hold` and `release`, which run once for each op, are quick.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

Array: TypeAlias = np.ndarray[Any, Any]

# Reentrant, because a signal's handler may compute, or save a model, in the midst of the functions below.
_guard = threading.RLock()
# Called by hand, which takes a third of the time of `with`; inside the `try`, since Ctrl-C may come right after it.
_take, _give = _guard.acquire, _guard.release
if hasattr(os, "register_at_fork"):  # the child must not find it taken by a thread that it does not have
    os.register_at_fork(before=_take, after_in_parent=_give, after_in_child=_give)

# By the id of the array that owns the memory: how many saved values need it; the arrays that were made read-only, the
# owner first, to be made writable again; and those that others may write to.
_counts: dict[int, int] = {}
_sealed: dict[int, list[Array]] = {}
_shared: dict[int, weakref.ref[Array]] = {}
# By the id of a list of saved values: the lists that are not counted yet; and of the others, what is counted. While a
# list is being counted, it is in both.
_fresh: dict[int, list[Any]] = {}
_counted: dict[int, list[Array]] = {}
_dropped: deque[list[Any]] = deque()  # the lists of nodes that went while the guard was taken


class Arrays(tuple[Any, ...]):
    """Several arrays (and numbers) that a node saves under one name; a plain tuple of a node is a shape."""

    __slots__ = ()


def owner_of(array: Array) -> Array:
    """The array that owns the memory of `array`, or the outermost one if the memory is not NumPy's."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def hold(values: list[Any], more: Sequence[Any]) -> None:
    """Append `more` to the values that a node saves. The memory of the arrays among them is needed until `release`.

    A copy takes the place of a shared array, which is sealed, and comes after all others.
    """
    originals: list[Array] = []
    if _shared:
        more = [*(_own(x, originals) for x in more), *originals]
    values += more
    _fresh[id(values)] = values
    for array in originals:
        seal(array)


def _own(value: Any, originals: list[Array]) -> Any:
    """The value, or its copy where others may write to it: then it is put to the originals."""
    if type(value) is Arrays:
        return Arrays(_own(x, originals) for x in value)
    if type(value) is ndarray and id(owner_of(value)) in _shared:
        originals.append(value)
        return value.copy()
    return value


def release(values: list[Any]) -> None:
    """A node no longer needs these values, and the list gets empty. What no other node needs can be written to."""
    key = id(values)
    _fresh.pop(key, None)
    if key in _counted:
        _uncount(key)
    values.clear()


def drop(values: list[Any]) -> None:
    """As `release`, for a node that is deleted: that may happen at any moment, also in the midst of what is below."""
    if _guard._is_owned():  # type: ignore[attr-defined]  # the collector runs in the midst of that
        _dropped.append(values)
    else:
        release(values)


def _count() -> None:
    """Count what nodes have saved since the last time, and no longer what was put aside."""
    try:
        _take()
        while _dropped:
            release(_dropped[0])
            _dropped.popleft()
        for key in list(_fresh):
            if (values := _fresh.get(key)) is None:
                continue
            counted = _counted.setdefault(key, [])
            _subtract(counted)  # Ctrl-C cut the last time short
            for array in arrays_in(values):
                owner = id(owner_of(array))
                _counts[owner] = _counts.get(owner, 0) + 1
                counted.append(array)  # no call comes between, and so no Ctrl-C
            if _fresh.pop(key, None) is None:  # another thread has released it meanwhile
                _uncount(key)
    finally:
        _give()


def _uncount(key: int) -> None:
    try:
        _take()
        if (counted := _counted.get(key)) is not None:
            _subtract(counted)
            del _counted[key]
    finally:
        _give()


def _subtract(counted: list[Array]) -> None:
    """Count these arrays no longer, and unseal what nobody needs; after Ctrl-C the list holds what is still to do."""
    while counted:
        key = id(owner_of(counted[-1]))
        count = _counts[key]
        if count > 1:
            _counts[key] = count - 1
        else:
            for sealed in _sealed.pop(key, ()):
                sealed.setflags(write=True)
            del _counts[key]
        del counted[-1]


def arrays_in(values: Sequence[Any]) -> list[Array]:
    """The arrays among saved values, and in the `Arrays` among them."""
    found: list[Array] = []
    for value in values:
        found += [x for x in (value if type(value) is Arrays else (value,)) if isinstance(x, np.ndarray)]
    return found


def share(array: Array) -> Array:
    """The array itself, remembered as one that others may write to, by views of it that nobody here knows of."""
    owner = owner_of(array)
    key = id(owner)
    if key not in _shared:
        _shared[key] = weakref.ref(owner, lambda _: _shared.pop(key, None))
    return array


def seal(array: Array) -> Array:
    """The array itself, read-only as long as a live graph needs its memory."""
    if _fresh or _dropped:
        _count()
    with _guard:
        owner = owner_of(array)
        key = id(owner)
        # NumPy would not set the flag of foreign memory again; that came in as an ndarray, so graphs have copies of it.
        if key in _counts and owner.base is None and (key in _sealed or owner.flags.writeable):
            for x in (owner, array):
                if x.flags.writeable:
                    x.setflags(write=False)
                    _sealed.setdefault(key, []).append(x)
    return array


def is_foreign(function: Any) -> bool:
    """Whether it is somebody else's code, which may keep what it sees and write to it, and so is lent the arrays."""
    return not str(function.__module__).startswith("tinygrad_cnn.")  # None where `exec` made it


def is_of(value: Any, known: Sequence[Any]) -> bool:
    """Whether `value` is no array, or of the memory of one that is known."""
    if not isinstance(value, np.ndarray):
        return True
    owner = owner_of(value)
    return any(isinstance(x, np.ndarray) and owner_of(x) is owner for x in known)


def lend(value: Any) -> Any:
    """The value for somebody else's code: of an array a read-only view, of which every view is read-only too."""
    if type(value) is Arrays:
        return Arrays(map(lend, value))
    if not isinstance(value, np.ndarray):
        return value
    view = value.view()
    view.setflags(write=False)
    return view


def hand_out(array: Array) -> Array:
    """The array itself, for a user: read-only while a graph needs its memory, and from now on shared."""
    return seal(share(array))


def is_held(array: Array) -> bool:
    """Whether a live graph needs the memory of `array`."""
    if _fresh or _dropped:
        _count()
    return id(array if array.base is None else owner_of(array)) in _counts


def writeable(variable: Any) -> Array:
    """The array of `variable`, to be written to. A live graph that needs the old values keeps the old array.

    So an optimizer may step while the graph of some other forward pass is alive: the parameter then gets a copy.
    """
    array: Array = variable._array
    if is_held(array):
        array = variable._array = array.copy()
    elif not array.flags.writeable:
        raise ValueError(
            f"an array of shape {array.shape} is read-only, expected one that can be written to, as clone() makes it"
        )
    return array

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

import operator
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

Array: TypeAlias = np.ndarray[Any, Any]

# It knows its owner, because a signal's handler may compute, or save a model, in the midst of the functions below. What
# it releases is put aside, and what it asks is answered without the figures.
_guard = threading.RLock()
_is_busy: Callable[[], bool] = _guard._is_owned  # type: ignore[attr-defined]
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
_dropped: deque[list[Any]] = deque()  # the lists that were released in the midst of a change


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
    start = len(values)
    values += more
    _fresh[id(values)] = values
    if not _shared:  # looked at after `_fresh` was told: who shares an array from now on finds that it is needed
        return
    originals: list[Array] = []
    own = [_own(x, originals) for x in more]
    if originals:
        values[start:] = [*own, *originals]
        _fresh[id(values)] = values  # another thread may have counted it meanwhile
        for array in originals:
            seal(array)


def _own(value: Any, originals: list[Array]) -> Any:
    """The value, or its copy where others may write to it: then it is put to the originals."""
    if type(value) is Arrays:
        return Arrays(_own(x, originals) for x in value)
    if isinstance(value, ndarray) and id(owner_of(value)) in _shared:
        originals.append(value)
        return value.copy()
    return value


def release(values: list[Any]) -> None:
    """A node no longer needs these values, and the list gets empty. What no other node needs can be written to.

    A deleted node does so at any moment: the collector, or a signal's handler, runs in the midst of what is below.
    """
    key = id(values)
    _fresh.pop(key, None)
    if key in _counted:
        if _is_busy():
            _dropped.append(values)
        else:
            _guarded(_uncount, key)
    values.clear()


def _guarded(act: Callable[..., None], *args: Any) -> None:
    """Call one of the functions below, which alone change what is counted and sealed: one call at a time."""
    try:
        _take()
        act(*args)
    finally:
        try:  # noqa: SIM105 - Ctrl-C might come in the midst of `suppress`
            _give()
        except RuntimeError:
            pass  # it was not taken: Ctrl-C came while another thread had it


def _count() -> None:
    """Count what nodes have saved since the last time, and no longer what was put aside."""
    for key in list(_fresh):
        counted = _counted.setdefault(key, [])
        if (values := _fresh.get(key)) is None:  # another thread has released it, perhaps before it could see `counted`
            _uncount(key)
            continue
        arrays = arrays_in(values)
        if any(map(operator.is_not, counted, arrays)):  # of a list that had this id, and whose end Ctrl-C cut short
            _subtract(counted)
        for array in arrays[len(counted) :]:  # Ctrl-C may have cut the last time short
            owner = id(owner_of(array))
            _counts[owner] = _counts.get(owner, 0) + 1
            counted.append(array)  # no call comes between, and so no Ctrl-C
        _fresh.pop(key, None)
    while _dropped:
        _uncount(id(_dropped[0]))
        _dropped.popleft()


def _uncount(key: int) -> None:
    if (counted := _counted.get(key)) is not None:
        _subtract(counted)
        del _counted[key]


def _subtract(counted: list[Array]) -> None:
    """Count these arrays no longer, and unseal what nobody needs; after Ctrl-C the list holds what is still to do."""
    while counted:
        key = id(owner_of(counted[-1]))
        count = _counts[key]
        if count > 1:
            _counts[key] = count - 1
        else:
            for sealed in _sealed.get(key, ()):
                sealed.setflags(write=True)
            _sealed.pop(key, None)  # after that, since Ctrl-C may come between
            del _counts[key]
        del counted[-1]


def _seal(array: Array) -> None:
    owner = owner_of(array)
    key = id(owner)
    # NumPy would not set the flag of foreign memory again; that came in as an ndarray, so graphs have copies of it.
    if key in _counts and owner.base is None and (key in _sealed or owner.flags.writeable):
        for x in (owner, array):
            if x.flags.writeable:
                _sealed.setdefault(key, []).append(x)  # before, since Ctrl-C may come between
                x.setflags(write=False)


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
    if _is_busy():  # nobody would make it writable again
        return lend(array) if is_held(array) else array
    if is_held(array):
        _guarded(_seal, array)
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


def adopted(value: Any, known: Sequence[Any]) -> Any:
    """What somebody else's kernel has returned, which may keep it and write to it later: as arrays that are shared.

    That is so even of what is no ndarray: a memoryview or another library's array gives one of the same memory.
    """
    if type(value) is tuple:
        return tuple([adopted(x, known) for x in value])
    if value is None or isinstance(value, (int, float, list, np.generic)):
        return value
    return value if isinstance(value, np.ndarray) and is_of(value, known) else share(np.asarray(value))


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
    owner = array if array.base is None else owner_of(array)
    if _is_busy():  # the figures are being changed, but the lists hold all that they are made of
        lists = [*_fresh.values(), *_counted.values()]
        return any(owner_of(x) is owner for values in lists for x in arrays_in(values))
    if _fresh or _dropped:
        _guarded(_count)
    return id(owner) in _counts


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

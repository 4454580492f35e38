"""The recording modes: what one thread is doing. `no_grad` and its kin are context managers and decorators."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ContextDecorator, contextmanager
from typing import Any, TypeVar

__all__ = [
    "Observer", "enable_grad", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled", "no_grad",
    "set_grad_enabled", "state", "watched_by",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])


class Observer:
    """Who sets `state.now.observer` to one of these is told of each op that the thread runs; `graph` has several."""

    def computed(self, op: Any, inputs: Sequence[Any], params: dict[str, Any], out: Any) -> None:
        """An op was called with at least one Tensor among its array arguments, and gave the Tensor `out`."""

    def failed(self, op: Any, inputs: Sequence[Any], params: dict[str, Any], error: str) -> None:
        """A kernel raised, with this message."""

    def stepped(self, node: Any, g: Any, wants: tuple[bool, ...], gradients: Sequence[Any]) -> None:
        """Backward has run a node's rules: from the gradient `g` of its result they made those of its arguments."""


class _Both(Observer):
    """Two observers: the first is told first."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def computed(self, *what: Any) -> None:
        for observer in self.observers:
            observer.computed(*what)

    def failed(self, *what: Any) -> None:
        for observer in self.observers:
            observer.failed(*what)

    def stepped(self, *what: Any) -> None:
        for observer in self.observers:
            observer.stepped(*what)


class Activity:
    """What one thread is doing: does it record, inside which module, for which call of a composite, who watches."""

    __slots__ = ("grad", "inference", "label", "observer", "path", "paths")

    def __init__(self) -> None:
        self.grad = True
        self.inference = False
        self.path = ""
        self.paths: dict[int, str] | None = None  # of the modules below the outermost one that runs, by id
        self.label: tuple[str, int] | None = None  # a composite's name, and the number of the call
        self.observer: Observer | None = None


class _State(threading.local):
    """`state.now` is what this thread is doing; to look at thread-local storage costs more than the rest of a check."""

    def __init__(self) -> None:
        self.now = Activity()


state = _State()


@contextmanager
def watched_by(observer: Observer | None) -> Iterator[None]:
    """In the block, `observer` is told of each op, besides whoever watched before; with None nobody is."""
    now = state.now
    before = now.observer
    now.observer = _Both(before, observer) if before and observer else observer
    try:
        yield
    finally:
        now.observer = before


def is_grad_enabled() -> bool:
    """Whether ops that this thread calls now are recorded."""
    return state.now.grad and not state.now.inference


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return state.now.inference


class set_grad_enabled(ContextDecorator):  # noqa: N801 - PyTorch's name
    """Switch recording on or off, at once; as a context manager or decorator, until the block ends.

    >>> import tinygrad_cnn as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> with tg.set_grad_enabled(False):
    ...     (x * 2).requires_grad
    False
    """

    def __init__(self, mode: bool) -> None:
        self.mode = mode
        self.previous = state.now.grad
        state.now.grad = mode

    def _recreate_cm(self) -> set_grad_enabled:
        return set_grad_enabled(self.mode)

    def __call__(self, func: F) -> F:
        state.now.grad = self.previous  # as a decorator it acts in the calls, not where it is written
        return super().__call__(func)

    def __enter__(self) -> None:
        state.now.grad = self.mode

    def __exit__(self, *exc: object) -> None:
        state.now.grad = self.previous


class _Mode(ContextDecorator):
    """A context manager that sets fields of the thread's state; also a decorator, with or without brackets."""

    fields: dict[str, bool]

    def __new__(cls, func: Any = None) -> Any:
        return super().__new__(cls) if func is None else cls()(func)

    def __call__(self, func: F) -> F:
        if not inspect.isgeneratorfunction(func):
            return super().__call__(func)

        @functools.wraps(func)
        def steps(
            *args: Any, **kwargs: Any
        ) -> Generator[Any, Any, Any]:  # each step runs in the mode, its user does not
            generator = func(*args, **kwargs)
            sent = None
            while True:
                try:
                    with self._recreate_cm():
                        item = generator.send(sent)
                except StopIteration as end:
                    return end.value
                sent = yield item

        return steps  # type: ignore[return-value]

    def _recreate_cm(self) -> _Mode:
        new: _Mode = type(self)()
        new.fields = self.fields
        return new

    def __enter__(self) -> None:
        self.previous = {name: getattr(state.now, name) for name in self.fields}
        self._set(self.fields)

    def __exit__(self, *exc: object) -> None:
        self._set(self.previous)

    def _set(self, fields: dict[str, bool]) -> None:
        for name, value in fields.items():
            setattr(state.now, name, value)


class no_grad(_Mode):  # noqa: N801 - PyTorch's name
    """Ops in the block (or in the decorated function) are computed and not recorded.

    >>> import tinygrad_cnn as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    fields = {"grad": False}  # noqa: RUF012


class enable_grad(_Mode):  # noqa: N801 - PyTorch's name
    """Ops in the block are recorded, also inside a `no_grad` block."""

    fields = {"grad": True}  # noqa: RUF012


class inference_mode(_Mode):  # noqa: N801 - PyTorch's name
    """Like `no_grad`, and an `enable_grad` inside it has no effect; `inference_mode(False)` ends it for a block."""

    def __new__(cls, mode: Any = True) -> Any:
        return super().__new__(cls, None if isinstance(mode, bool) else mode)

    def __init__(self, mode: bool = True) -> None:
        self.fields = {"inference": mode}

"""The recording modes: what one thread is doing. `no_grad` and its kin are context managers and decorators."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from typing import Any, ClassVar, TypeVar

__all__ = [
    "enable_grad", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled", "no_grad", "set_grad_enabled",
    "state",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])


class _State(threading.local):
    """What one thread is doing: does it record, inside which module, for which composite."""

    grad = True
    inference = False
    path = ""
    label = ""


state = _State()


def is_grad_enabled() -> bool:
    """Whether ops that this thread calls now are recorded."""
    return state.grad and not state.inference


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return state.inference


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
        self.previous = state.grad
        state.grad = mode

    def _recreate_cm(self) -> set_grad_enabled:
        return set_grad_enabled(self.mode)

    def __call__(self, func: F) -> F:
        state.grad = self.previous  # as a decorator it acts in the calls, not where it is written
        return super().__call__(func)

    def __enter__(self) -> None:
        state.grad = self.mode

    def __exit__(self, *exc: object) -> None:
        state.grad = self.previous


class _Mode(ContextDecorator):
    """A context manager that sets fields of the thread's state; also a decorator, with or without brackets."""

    fields: ClassVar[dict[str, bool]]

    def __new__(cls, func: Any = None) -> Any:
        return super().__new__(cls) if func is None else cls()(func)

    def _recreate_cm(self) -> _Mode:
        new: _Mode = type(self)()
        return new

    def __enter__(self) -> None:
        self.previous = {name: getattr(state, name) for name in self.fields}
        vars(state).update(self.fields)

    def __exit__(self, *exc: object) -> None:
        vars(state).update(self.previous)


class no_grad(_Mode):  # noqa: N801 - PyTorch's name
    """Ops in the block (or in the decorated function) are computed and not recorded.

    >>> import tinygrad_cnn as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    fields: ClassVar[dict[str, bool]] = {"grad": False}


class enable_grad(_Mode):  # noqa: N801 - PyTorch's name
    """Ops in the block are recorded, also inside a `no_grad` block."""

    fields: ClassVar[dict[str, bool]] = {"grad": True}


class inference_mode(_Mode):  # noqa: N801 - PyTorch's name
    """Like `no_grad`, and an `enable_grad` inside it has no effect."""

    fields: ClassVar[dict[str, bool]] = {"inference": True}

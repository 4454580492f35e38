"""A sample: the arguments of one call, as plain arrays and numbers, that can be changed, printed and called with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from tinygrad_cnn.autograd import wrap
from tinygrad_cnn.tensor import Tensor

__tracebackhide__ = True  # pytest leaves these frames out of its reports; those of the function that is checked stay

Array: TypeAlias = np.ndarray[Any, Any]
Key: TypeAlias = int | str  # a position, or the name of a keyword argument


@dataclass(frozen=True, repr=False)
class Sample:
    """The arguments of one call. Tensors are taken as their arrays.

    >>> Sample((2.0,), {"dim": 1})
    (2.0, dim=1)
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "args", tuple(_plain(x) for x in self.args))
        object.__setattr__(self, "kwargs", {name: _plain(x) for name, x in self.kwargs.items()})

    def items(self) -> Iterator[tuple[Key, Any]]:
        """All arguments with their positions or names."""
        yield from enumerate(self.args)
        yield from self.kwargs.items()

    @property
    def floats(self) -> dict[Key, Array]:
        """The float arrays: those that gradients are asked of."""
        return {key: x for key, x in self.items() if isinstance(x, np.ndarray) and x.dtype.kind == "f"}

    @property
    def arrays(self) -> dict[Key, Array]:
        """All arrays."""
        return {key: x for key, x in self.items() if isinstance(x, np.ndarray)}

    def replace(self, new: Mapping[Any, Any]) -> Sample:
        """The same call with some arguments exchanged."""
        args = tuple(new.get(i, x) for i, x in enumerate(self.args))
        return Sample(args, {name: new.get(name, x) for name, x in self.kwargs.items()})

    def map(self, change: Callable[[Array], Any], floats_only: bool = True) -> Sample:
        """The same call with `change` applied to its float arrays (or to all its arrays)."""
        chosen = self.floats if floats_only else self.arrays
        return self.replace({key: np.asarray(change(x)) for key, x in chosen.items()})  # a 0-d result is no array

    def astype(self, dtype: Any) -> Sample:
        """The same call with its float arrays in another dtype."""
        return self.map(lambda x: x.astype(dtype))

    def call(self, function: Callable[..., Any], new: Mapping[Any, Any] | None = None) -> Any:
        """What the function returns for these arguments; `new` may exchange some, by Tensors too."""
        new = new or {}
        args = [new.get(i, x) for i, x in enumerate(self.args)]
        return function(*args, **{name: new.get(name, x) for name, x in self.kwargs.items()})

    def leaves(self) -> tuple[dict[Key, Tensor], dict[Key, Tensor]]:
        """Fresh Tensors of the arrays: the leaves, which require grad, and all."""
        leaves = {key: wrap(x).requires_grad_() for key, x in self.floats.items()}
        return leaves, {key: wrap(x) for key, x in self.arrays.items()} | leaves

    def __repr__(self) -> str:
        parts = [_show(x) for x in self.args] + [f"{name}={_show(x)}" for name, x in self.kwargs.items()]
        return f"({', '.join(parts)})"


def as_sample(drawn: Any) -> Sample:
    """What a strategy drew as a Sample: a tuple holds several arguments, anything else is one."""
    if isinstance(drawn, Sample):
        return drawn
    return Sample(drawn if isinstance(drawn, tuple) else (drawn,))


def _plain(x: Any) -> Any:
    return x._array if isinstance(x, Tensor) else x


def _show(x: Any) -> str:
    if not isinstance(x, np.ndarray):
        return repr(x)
    if x.size > 40:
        return f"<{x.dtype} {x.shape}>"
    text = " ".join(np.array2string(x, separator=", ", max_line_width=10**6).split())
    order = "" if x.flags.c_contiguous else f", strides={tuple(s // x.itemsize for s in x.strides)}"
    kind = "" if x.dtype == np.float64 else f", {x.dtype}"
    return f"array({text}{kind}{order})" if x.size else f"empty({x.shape}{kind})"

"""What the battery has to know of an op: where its arguments come from, and what is true of it."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from tinygrad_cnn.autograd import Op
from tinygrad_cnn.testing.sample import Key, Sample

__all__ = ["ErrorCase", "OpSpec", "register_op", "registered"]


@dataclass(frozen=True)
class ErrorCase:
    """Arguments that the op must refuse: with an error of this type, in whose message the regex `match` is found."""

    sample: Sample
    error: type[Exception]
    match: str


@dataclass(frozen=True)
class OpSpec:
    """An op (made with `@op`, or any function of Tensors) and what the battery may assume of it.

    inputs: a Hypothesis strategy of calls: a `Sample`, a tuple of arguments, or the only argument. They should lie
    off the kinks. kinks: a strategy of calls that lie on kinks and ties. reference: the same function on ndarrays,
    in NumPy. linear_in: arguments in which it is linear (the others fixed, up to a constant). batched: arguments
    whose first dimension is a batch, as the result's is; or a function that tells them from a sample. edges: calls
    with empty, 0-d and size-1 arrays. errors: calls that must be refused. identities: functions of the same
    arguments, made of other ops, with the same values and gradients. scales: factors for the inputs, at which the
    values must still show the slope (those of 1 - cos(x) at 1e-8 are all 0: such an op has other factors, or none).
    views: the result may share memory with an input. constant: float arguments that no gradient is asked of. single:
    how many times the usual float32 error is right. order: up to which derivative it is right. without: properties
    that make no sense for it. fast: it has fast kernels, and everything is tested a second time with those, in float32.
    """

    op: Callable[..., Any]
    _: KW_ONLY
    inputs: Any
    name: str = ""
    reference: Callable[..., Any] | None = None
    linear_in: tuple[str, ...] = ()
    batched: tuple[str, ...] | Callable[[Sample], tuple[str, ...]] = ()
    kinks: Any = None
    edges: Sequence[Sample] = ()
    errors: Sequence[ErrorCase] = ()
    identities: Sequence[Callable[..., Any]] = ()
    scales: tuple[float, ...] = (1e-8, 1e8)
    views: bool = False
    constant: tuple[str, ...] = ()
    single: float = 1.0
    order: int = 2
    without: tuple[str, ...] = ()
    fast: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or getattr(self.op, "name", "") or self.op.__name__)

    @property
    def differentiable(self) -> bool:
        """Whether its results carry gradients."""
        return not isinstance(self.op, Op) or self.op.differentiable

    @property
    def takes_arrays(self) -> bool:
        """Whether it works on ndarrays too, as every op and every function of the package does."""
        return isinstance(self.op, Op) or self.op.__module__.startswith("tinygrad_cnn.")

    @property
    def broadcasts(self) -> bool:
        """Whether its arguments broadcast, and the drive sums their gradients back."""
        return isinstance(self.op, Op) and self.op.broadcasts

    def argument(self, key: Key) -> str:
        """What the op calls the argument that a sample holds at a position or under a name."""
        return key if isinstance(key, str) else self.positional[min(key, len(self.positional) - 1)]

    @functools.cached_property
    def positional(self) -> list[str]:
        """The names of its positional arguments."""
        function = self.op.kernel if isinstance(self.op, Op) else self.op
        return [p.name for p in inspect.signature(function).parameters.values() if p.kind is not p.KEYWORD_ONLY]

    def keys(self, sample: Sample) -> list[Key]:
        """The places of the float arguments that gradients are asked of."""
        return [key for key in sample.floats if self.argument(key) not in self.constant]


_registry: dict[str, OpSpec] = {}
_files: dict[str, str] = {}  # where an op was registered, for the line that runs a failure again
_own_are_in = False


def register_op(spec: OpSpec) -> OpSpec:
    """Make an op known to `check_op`, `gradient_properties` and the matrix; a second spec replaces the first."""
    _registry[spec.name] = spec
    _files[spec.name] = sys._getframe(1).f_code.co_filename
    return spec


def file_of(name: str) -> str | None:
    """The file in which somebody else than the package registered an op."""
    file = _files.get(name, "")
    own = str(Path(__file__).parent / "samples")
    return None if not file or file.startswith(own) else os.path.relpath(file)


def registered() -> dict[str, OpSpec]:
    """All known ops by name: the package's own, and those that were registered by others."""
    global _own_are_in
    if not _own_are_in:
        _own_are_in = True
        others = dict(_registry)
        package = importlib.import_module("tinygrad_cnn.testing.samples")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
        _registry.update(others)
    return dict(_registry)


def spec_of(op: Any) -> OpSpec:
    """The spec of an op, of a name, or a spec itself."""
    if isinstance(op, OpSpec):
        return op
    found = registered()
    for spec in found.values():
        if spec.op is op or spec.name == op:
            return spec
    raise KeyError(f"{op!r} is not registered; register_op(OpSpec(...)) makes it known")

"""The exercises of the grading kit: what a student's functions are held to, as specs for the battery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_cnn.autograd import Array, Op, Rule, op
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.sample import Sample
from tinygrad_cnn.testing.samples.conv import convolve, largest, pooled
from tinygrad_cnn.testing.spec import OpSpec

__all__ = ["EXERCISES", "Exercise"]


@dataclass(frozen=True)
class Exercise:
    """Two functions that a student writes: `name(...)` and `name_grad(g, ...)`, with NumPy arrays in and out.

    arguments: what both take; gradients: for which of them the second returns a gradient, in this order. facts:
    what `OpSpec` has to know.
    """

    name: str
    arguments: tuple[str, ...]
    gradients: tuple[str, ...]
    facts: dict[str, Any]

    def spec(self, student: ModuleType) -> OpSpec:
        """The student's two functions as an op, ready for the battery."""
        forward, backward = (getattr(student, name, None) for name in (self.name, f"{self.name}_grad"))
        for name, function in ((self.name, forward), (f"{self.name}_grad", backward)):
            if not callable(function):
                raise TypeError(f"the file defines no function {name}")
        return OpSpec(self._op(forward, backward), name=self.name, order=1, without=("second",), **self.facts)  # type: ignore[arg-type]

    def _op(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> Op[Any]:
        made: Op[Any] = op(_SIGNATURES[self.arguments](forward, self.name))
        made.name = self.name
        for place, argument in enumerate(self.gradients):
            rule = _rule(backward, self.arguments, place, len(self.gradients))
            made.rules[argument] = Rule(rule, {*self.arguments}, self.name)
        return made


def _rule(backward: Callable[..., Any], arguments: tuple[str, ...], place: int, count: int) -> Callable[..., Any]:
    """The rule of one argument: the student's function returns all gradients, as a tuple if there are several."""
    body = f"lambda g, {', '.join(arguments)}: chosen(backward(g, {', '.join(arguments)}))"

    def chosen(result: Any) -> Any:
        if count == 1:
            result = (result,)
        if not isinstance(result, (tuple, list)) or len(result) != count:
            raise TypeError(f"{backward.__name__} returned {type(result).__name__}, expected {count} arrays")
        x = result[place]
        if not isinstance(x, np.ndarray):
            raise TypeError(f"{backward.__name__} returned {type(x).__name__}, expected a NumPy array")
        return x

    rule: Callable[..., Any] = eval(body, {"chosen": chosen, "backward": backward})
    return rule

"""Running the battery: one property of one op at a time, from a call, from pytest, or from the command line."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import hypothesis
import numpy as np

from tinygrad_cnn import autograd, kernels, recording, testing
from tinygrad_cnn.testing.gradcheck import GradcheckResult
from tinygrad_cnn.testing.properties import PROPERTIES, Case, Property, RefutedError
from tinygrad_cnn.testing.sample import Sample, as_sample
from tinygrad_cnn.testing.spec import OpSpec, file_of, registered, spec_of
from tinygrad_cnn.testing.strategies import seeds

__all__ = ["Check", "check_op", "checks", "gradient_properties"]

__tracebackhide__ = True  # pytest leaves these frames out of its reports; those of the function that is checked stay


@dataclass(frozen=True)
class Check:
    """One property to be asked of one op, with its usual kernels or with the fast ones."""

    spec: OpSpec
    prop: Property
    fast: bool = False

    def run(self, examples: int | None = None, example: str | None = None, seed: int | None = None) -> None:
        """Try to refute it; AssertionError with the smallest counterexample that was found.

        examples: how many to try (default: a tenth of the Hypothesis profile's, twice that where no slopes are taken,
        which is cheap). example: only the one that an earlier failure printed; ValueError if it fits no longer.
        seed: which examples; by default they are others each time, unless the profile says derandomize. Ops with fast
        kernels are tested with the reference kernels in float64, and with the fast ones in float32.
        """
        before = kernels.get_kernels()
        if self.spec.fast:
            kernels.set_kernels("fast" if self.fast else "reference")
        try:
            if self.prop.source in ("edges", "errors"):
                self.prop.run(Case(self.spec, Sample(()), 0))
            else:
                self._search(examples, example, seed)
        finally:
            kernels.set_kernels(before)

    def _search(self, examples: int | None, example: str | None, seed: int | None) -> None:
        profile = hypothesis.settings()
        usual = profile.max_examples // (5 if self.prop.number <= 12 else 10)
        count = max(usual, 3) if examples is None else examples
        last: list[Sample] = []
        seen: list[GradcheckResult | None] = []
        notes: list[str] = []

        @hypothesis.settings(
            max_examples=count,
            deadline=None,
            database=None,
            print_blob=True,
            report_multiple_bugs=False,
            phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(getattr(self.spec, self.prop.source), seeds())
        def attempt(drawn: Any, seed: int) -> None:
            last[:] = [as_sample(drawn)]
            case = Case(self.spec, last[0], seed, np.float32 if self.fast else np.float64)
            try:
                self.prop.run(case)
            except Exception as error:
                notes[:] = getattr(error, "__notes__", ())  # Hypothesis adds its own, on this function
                raise
            seen.append(case.hidden)

        if seed is not None or profile.derandomize:  # each check has examples of its own
            attempt = hypothesis.seed(zlib.crc32(str(self).encode()) + (seed or 0))(attempt)
        if example is not None:
            attempt = hypothesis.reproduce_failure(hypothesis.__version__, example.encode())(attempt)
        try:
            attempt()
        except hypothesis.errors.DidNotReproduce:
            if not last:
                raise ValueError(f"{self}: the example was drawn from other inputs than it has now") from None
        except RefutedError as error:
            raise AssertionError(self._report(error, last)) from None  # of the battery: its frames say nothing more
        except Exception as error:  # of the op: its frames say where
            report = self._report(error, last)
            error.__notes__ = notes
            raise AssertionError(report) from error.with_traceback(_outside(error.__traceback__))
        # At a point where the op is saturated nothing can be seen, and nothing is wrong; at most points it must be.
        hidden = [result for result in seen if result is not None]
        if example is None and len(hidden) > len(seen) / 2:
            what = f"in {len(hidden)} of {len(seen)} examples no slopes can be seen; {hidden[-1].report()}"
            raise AssertionError(self._report(AssertionError(what), last))

    def _report(self, error: Exception, last: list[Sample]) -> str:
        """What failed, for which smallest call, and the one line that runs it again."""
        blob = re.search(r"reproduce_failure\('[^']*', b'([^']*)'\)", "\n".join(getattr(error, "__notes__", [])))
        line = f"python -m tinygrad_cnn.testing {self.spec.name} {self.prop.name}" + (" --fast" if self.fast else "")
        file = file_of(self.spec.name)
        line += (f" --import {file}" if file else "") + (f" --example {blob[1]}" if blob else "")
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        told = re.sub(r" — at <frozen runpy>:\d+", "", str(error))  # `python -m`: there is no line of the user's
        return (
            f"{self} does not hold: {self.prop.sentence}\n  {kind}{told}\n"
            f"  smallest case: {self.spec.name}{last[0] if last else ''}\n  reproduce: {line}"
        )

    def __str__(self) -> str:
        return f"{self.spec.name}-{self.prop.name}" + ("-fast" if self.fast else "")


def _outside(place: TracebackType | None) -> TracebackType | None:
    """A traceback from where it leaves these tests, Hypothesis and the engine."""
    rooms = (os.path.dirname(str(x.__file__)) + os.sep for x in (testing, hypothesis))
    own = (*rooms, str(autograd.__file__), str(recording.__file__))
    while place is not None and place.tb_next is not None and place.tb_frame.f_code.co_filename.startswith(own):
        place = place.tb_next
    return place


def checks(op: Any) -> list[Check]:
    """Everything that the battery asks of an op, of its name, or of its spec."""
    spec = spec_of(op)
    asked = [prop for prop in PROPERTIES.values() if prop.applies(spec) and prop.name not in spec.without]
    once = [Check(spec, prop) for prop in asked]
    return once + [Check(spec, prop, True) for prop in asked if spec.fast and prop.source in ("inputs", "kinks")]


def check_op(op: Any, *properties: str, examples: int | None = None) -> None:
    """Run the battery (or the named properties of it) over one op, by its name; AssertionError at the first failure.

    >>> check_op("exp", "shape", "slopes", examples=5)
    """
    if unknown := set(properties) - set(PROPERTIES):
        raise ValueError(f"check_op: {sorted(unknown)} are no properties, those are {list(PROPERTIES)}")
    for check in checks(op):
        if not properties or check.prop.name in properties:
            check.run(examples)


def gradient_properties(*ops: Any) -> Callable[[Callable[[], Any]], Callable[..., Any]]:
    """Turn a function into the whole battery as pytest tests: for these ops (names, ops, specs), or all registered.

    The function's own body runs before each of them.
    """
    import pytest

    specs = [spec_of(op) for op in ops] or list(registered().values())
    every = [check for spec in specs for check in checks(spec)]

    def decorate(function: Callable[[], Any]) -> Callable[..., Any]:
        def ask(gradient_property: Check) -> None:
            function()
            gradient_property.run()

        def test(gradient_property: Check) -> None:
            return ask(gradient_property)

        own = function.__code__  # pytest and the ops name the place of the function, not this one
        test.__code__ = test.__code__.replace(co_filename=own.co_filename, co_firstlineno=own.co_firstlineno)
        test.__name__, test.__doc__, test.__module__ = function.__name__, function.__doc__, function.__module__
        return pytest.mark.parametrize("gradient_property", every, ids=str)(test)

    return decorate

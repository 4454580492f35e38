"""Property-based tests of gradients: `gradcheck`, Hypothesis strategies, and a battery of properties for every op.

    from tinygrad_cnn.testing import OpSpec, gradcheck, gradient_properties, register_op, strategies as ts

`gradcheck` checks one function at one point. `register_op` tells the battery of an op, the package's or your own, and
`check_op` and `gradient_properties` run it. Hypothesis is imported with the first of these, not before.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tinygrad_cnn.testing.gradcheck import GradcheckResult, Worst, gradcheck

if TYPE_CHECKING:
    from tinygrad_cnn.testing import strategies
    from tinygrad_cnn.testing.battery import check_op, gradient_properties
    from tinygrad_cnn.testing.model_check import check_model
    from tinygrad_cnn.testing.sample import Sample
    from tinygrad_cnn.testing.spec import ErrorCase, OpSpec, register_op, registered

__all__ = [
    "ErrorCase",
    "GradcheckResult",
    "OpSpec",
    "Sample",
    "Worst",
    "check_model",
    "check_op",
    "gradcheck",
    "gradient_properties",
    "register_op",
    "registered",
    "strategies",
]

_PLACES = {
    "ErrorCase": "spec",
    "OpSpec": "spec",
    "Sample": "sample",
    "check_model": "model_check",
    "check_op": "battery",
    "gradient_properties": "battery",
    "register_op": "spec",
    "registered": "spec",
}


def __getattr__(name: str) -> Any:
    """Import what needs Hypothesis when it is first asked for."""
    if name == "strategies":
        return importlib.import_module("tinygrad_cnn.testing.strategies")
    if name in _PLACES:
        return getattr(importlib.import_module(f"tinygrad_cnn.testing.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

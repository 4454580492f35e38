"""The battery finds faults that are planted in the gradient rules: a part of what `python tests/mutations.py` does."""

from __future__ import annotations

import mutations
import pytest

from tinygrad_cnn import kernels
from tinygrad_cnn.testing import check_op, registered

KEPT_BY_RULE = ("rule", "float kept")


def test_planted_faults_are_found() -> None:
    planted, missed = mutations.run(count=46, seed=0)
    # Every kind, but for a float that a rule keeps: a fault only where the next derivative depends on it.
    assert {(fault.what, fault.kind) for fault in mutations.faults() if (fault.what, fault.kind) != KEPT_BY_RULE} <= {
        (fault.what, fault.kind) for fault in planted
    }
    assert len(missed) <= 1, [str(fault) for fault in missed]


def test_a_planted_fault_is_taken_out_again() -> None:
    spec = registered()["conv2d"]
    rule, fused, kernel = spec.op.rules["weight"].function, spec.op.fused.function, kernels.conv_backward
    for what, place in (("rule", "weight"), ("shortcut", "weight"), ("kernel", "conv_backward")):
        fault = mutations.Fault(spec, place, "sign flipped", what)
        with fault.planted(), pytest.raises(AssertionError, match="conv2d"):
            check_op("conv2d")
    assert spec.op.rules["weight"].function is rule
    assert spec.op.fused.function is fused
    assert kernels.conv_backward is kernel
    check_op("conv2d", "slopes", "second", "adjoint")

"""Random programs and random CNNs: gradients are slopes, and the fast kernels agree with the reference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_cnn as tg
from tinygrad_cnn import kernels
from tinygrad_cnn.testing import gradcheck
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.programs import CNN, Program

SOME = settings(max_examples=max(settings().max_examples // 2, 10))


@pytest.fixture(autouse=True)
def _kernels() -> Iterator[None]:
    before = kernels.get_kernels()
    yield
    kernels.set_kernels(before)


@SOME
@given(ts.programs())
def test_gradients_of_programs_are_slopes(program: Program) -> None:
    found = gradcheck(lambda *xs: program(tg, *xs), *program.inputs(), order=2, directions=2)
    assert found.verdict in ("ok", "kink", "ill-conditioned"), found  # a long program can hide its slope in rounding


@given(ts.programs())
def test_programs_read_as_code(program: Program) -> None:
    text = repr(program).partition("  # seed")[0]
    assert text.count("; ") == len(program.shapes) + len(program.steps) - 1
    assert f"v{len(program.shapes)} = {program.steps[0]}" in text


@SOME
@given(ts.cnns())
def test_fast_kernels_agree_with_the_reference_in_networks(cnn: CNN) -> None:
    results = []
    for setting, dtype in (("reference", np.float64), ("reference", np.float32), ("fast", np.float32)):
        kernels.set_kernels(setting)
        tg.manual_seed(cnn.seed)
        model = cnn.build(tg.nn).to(dtype)
        x = tg.tensor(cnn.inputs().astype(np.float32).astype(dtype), requires_grad=True)
        out = model(x)
        out.sum().backward()
        results.append([out.array, x.grad.array, *(p.grad.array for p in model.parameters())])
    for truth, reference, fast in zip(*results, strict=True):
        # Where large numbers cancel (a sum after batch norm has no gradient), float32 itself is off by this much.
        own = float(np.abs(reference - truth).max(initial=0.0))
        scale = max(1.0, float(np.abs(truth).max(initial=0.0)))
        np.testing.assert_allclose(fast, truth, rtol=0, atol=2e-4 * scale + 16 * own)

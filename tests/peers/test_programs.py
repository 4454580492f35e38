"""Random programs and random CNNs: values and gradients are PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_cnn as tg
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.programs import CNN, Program

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

SOME = settings(max_examples=max(settings().max_examples // 2, 10))


@given(ts.programs())
def test_programs_have_pytorchs_values_and_gradients(program: Program) -> None:
    ours = [tg.tensor(x, requires_grad=True) for x in program.inputs()]
    theirs = [torch.tensor(x, requires_grad=True) for x in program.inputs()]
    our_value, their_value = program(tg, *ours), program(torch, *theirs)
    np.testing.assert_allclose(our_value.array, their_value.detach().numpy(), rtol=1e-10, atol=1e-10)
    found = tg.autograd.grad(our_value, ours, create_graph=True, allow_unused=True, materialize_grads=True)
    expected = torch.autograd.grad(their_value, theirs, create_graph=True, allow_unused=True, materialize_grads=True)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.array, b.detach().numpy(), rtol=1e-9, atol=1e-9)
    # The second derivative, of a sum of squares of the first.
    our_size = sum((g * g).sum() for g in found)
    their_size = sum((g * g).sum() for g in expected)
    if their_size.requires_grad:
        second = [tg.zeros_like(x) for x in ours]  # where the gradients are constants, nothing is recorded
        if our_size.requires_grad:
            second = list(tg.autograd.grad(our_size, ours, allow_unused=True, materialize_grads=True))
        wanted = torch.autograd.grad(their_size, theirs, allow_unused=True, materialize_grads=True)
        for a, b in zip(second, wanted, strict=True):
            scale = max(1.0, float(b.abs().max()))
            np.testing.assert_allclose(a.array, b.numpy(force=True), rtol=1e-8, atol=1e-8 * scale)


@SOME
@given(ts.cnns())
def test_cnns_have_pytorchs_outputs_and_gradients(cnn: CNN) -> None:
    torch.manual_seed(cnn.seed)
    ours, theirs = cnn.build(tg.nn).double(), cnn.build(torch.nn).double()
    ours.load_state_dict({name: tg.tensor(value.numpy()) for name, value in theirs.state_dict().items()})
    x, y = tg.tensor(cnn.inputs(), requires_grad=True), torch.tensor(cnn.inputs(), requires_grad=True)
    our_out, their_out = ours(x), theirs(y)
    np.testing.assert_allclose(our_out.array, their_out.detach().numpy(), rtol=1e-9, atol=1e-9)
    (our_out * our_out).sum().backward()
    (their_out * their_out).sum().backward()
    pairs = [(x.grad, y.grad), *((a.grad, b.grad) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))]
    for a, b in pairs:
        scale = max(1.0, float(b.abs().max()))
        np.testing.assert_allclose(a.array, b.numpy(), rtol=1e-8, atol=1e-9 * scale)
    for (name, a), b in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(a.array, b.numpy(), rtol=1e-9, atol=1e-9, err_msg=name)

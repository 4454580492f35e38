"""The reference kernels against PyTorch's, in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tinygrad_cnn.kernels import reference

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("as_in_an_op")]
torch = pytest.importorskip("torch")
F = torch.nn.functional

Array = np.ndarray[Any, Any]


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def leaf(x: Array) -> Any:
    return torch.tensor(x, requires_grad=True)


def close(ours: Array | None, theirs: Any) -> None:
    assert ours is not None
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-11, atol=1e-12)


CONV = list(itertools.product((1, 2, 3), (1, 2), (0, 2), (1, 2), (1, 2)))


@pytest.mark.parametrize(("nd", "stride", "padding", "dilation", "groups"), CONV)
def test_conv(nd: int, stride: int, padding: int, dilation: int, groups: int) -> None:
    size, kernel = (7, 8, 6)[:nd], (3, 2, 1)[:nd]
    x, w, b = random(2, 4, *size), random(6, 4 // groups, *kernel), random(6)
    tx, tw, tb = leaf(x), leaf(w), leaf(b)
    geometry = ((stride,) * nd, (padding,) * nd, (dilation,) * nd, groups)
    theirs = getattr(F, f"conv{nd}d")(tx, tw, tb, stride, padding, dilation, groups)
    close(reference.conv(x, w, b, *geometry), theirs)
    g = random(*theirs.shape, seed=1)
    theirs.backward(torch.tensor(g))
    dx, dw, db = reference.conv_backward(g, x, w, *geometry, needs=(True, True, True))
    close(dx, tx.grad)
    close(dw, tw.grad)
    close(db, tb.grad)


@pytest.mark.parametrize(("nd", "stride", "padding", "dilation", "groups"), CONV)
def test_conv_transpose_is_the_adjoint(nd: int, stride: int, padding: int, dilation: int, groups: int) -> None:
    kernel, output_padding = (3,) * nd, max(stride, dilation) - 1
    x, w = random(2, 4, *(4, 5, 3)[:nd]), random(4, 3, *kernel)
    theirs = getattr(F, f"conv_transpose{nd}d")(
        torch.tensor(x), torch.tensor(w), None, stride, padding, output_padding, groups, dilation
    )
    geometry = ((stride,) * nd, (padding,) * nd, (dilation,) * nd, groups)
    close(reference.conv_input(x, w, tuple(theirs.shape), *geometry), theirs)


POOL = [
    (nd, kernel, stride, padding, dilation, ceil)
    for nd, kernel, stride, padding, dilation, ceil in itertools.product(
        (1, 2, 3), (2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True)
    )
]


@pytest.mark.parametrize(("nd", "kernel", "stride", "padding", "dilation", "ceil_mode"), POOL)
def test_max_pool(nd: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> None:
    x = np.round(random(2, 2, *(8, 9, 7)[:nd]) * 2)
    x[np.random.default_rng(1).random(x.shape) < 0.1] = np.nan
    x[np.random.default_rng(2).random(x.shape) < 0.1] = -np.inf
    tx = leaf(x)
    theirs, indices = getattr(F, f"max_pool{nd}d")(
        tx, kernel, stride, padding, dilation, ceil_mode, return_indices=True
    )
    geometry = ((kernel,) * nd, (stride,) * nd, (padding,) * nd, (dilation,) * nd)
    y, offsets = reference.max_pool(x, *geometry, ceil_mode)
    close(y, theirs)
    np.testing.assert_array_equal(reference.max_pool_flat_indices(offsets, x.shape, *geometry), indices)
    g = random(*y.shape, seed=3)
    theirs.backward(torch.tensor(g))
    close(reference.max_pool_scatter(g, offsets, x.shape, *geometry), tx.grad)


@pytest.mark.parametrize(("nd", "kernel", "stride", "padding", "dilation", "ceil_mode"), [p for p in POOL if p[4] == 1])
@pytest.mark.parametrize("include", [True, False])
def test_avg_pool(
    nd: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool, include: bool
) -> None:
    x = random(2, 2, *(8, 9, 7)[:nd])
    tx = leaf(x)
    theirs = getattr(F, f"avg_pool{nd}d")(tx, kernel, stride, padding, ceil_mode, include)
    arguments = ((kernel,) * nd, (stride,) * nd, (padding,) * nd, ceil_mode, include)
    close(reference.avg_pool(x, *arguments), theirs)
    g = random(*theirs.shape, seed=3)
    theirs.backward(torch.tensor(g))
    close(reference.avg_pool_input(g, x.shape, *arguments), tx.grad)


def test_avg_pool_divisor_override() -> None:
    x = random(1, 2, 5, 6)
    theirs = F.avg_pool2d(torch.tensor(x), 3, 2, 1, True, False, 4)
    close(reference.avg_pool(x, (3, 3), (2, 2), (1, 1), True, False, 4), theirs)


def test_relu_at_nan_zero_and_infinity() -> None:
    x = np.array([-np.inf, -1.0, -0.0, 0.0, 1.0, np.inf, np.nan])
    tx = leaf(x)
    theirs = F.relu(tx)
    close(reference.relu(x), theirs)
    g = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    theirs.backward(torch.tensor(g))
    close(reference.relu_grad(g, reference.relu(x)), tx.grad)


def test_softmax_cross_entropy() -> None:
    z, target, g = random(7, 5) * 20, np.arange(7) % 5, random(7, seed=1)
    z[0, 1], z[1, 0] = -np.inf, np.inf
    tz = leaf(z)
    theirs = F.cross_entropy(tz, torch.tensor(target), reduction="none")
    close(reference.softmax_cross_entropy(z, target), theirs)
    theirs.backward(torch.tensor(g))
    close(reference.softmax_cross_entropy_grad(z, target, g), tz.grad)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 4)])
def test_batch_norm(shape: tuple[int, ...]) -> None:
    x, weight, bias, g = random(*shape) * 2 + 5, random(3), random(3, seed=1), random(*shape, seed=2)
    tx, tw, tb = leaf(x), leaf(weight), leaf(bias)
    theirs = F.batch_norm(tx, None, None, tw, tb, training=True, eps=1e-3)
    y, mean, var = reference.batch_norm(x, weight, bias, 1e-3)
    close(y, theirs)
    theirs.backward(torch.tensor(g))
    for ours, grad in zip(
        reference.batch_norm_backward(g, x, weight, mean, var, 1e-3), (tx.grad, tw.grad, tb.grad), strict=True
    ):
        close(ours, grad)


SGD = [
    {"momentum": momentum, "dampening": dampening, "weight_decay": decay, "nesterov": nesterov, "maximize": maximize}
    for momentum, dampening, decay, nesterov, maximize in itertools.product(
        (0.0, 0.9), (0.0, 0.3), (0.0, 0.1), (False, True), (False, True)
    )
    if not nesterov or (momentum and not dampening)
]


@pytest.mark.parametrize("options", SGD)
def test_sgd_step(options: dict[str, Any]) -> None:
    p = random(5)
    theirs = torch.tensor(p)
    peer = torch.optim.SGD([theirs], lr=0.1, **options)
    buf = None
    for step in range(4):
        g = random(5, seed=step)
        theirs.grad = torch.tensor(g)
        peer.step()
        buf = reference.sgd_step(p, g, buf, 0.1, **options)
        close(p, theirs)


@pytest.mark.parametrize(
    ("decay", "decoupled", "amsgrad", "maximize"), list(itertools.product((0.0, 0.1), *[(False, True)] * 3))
)
def test_adam_step(decay: float, decoupled: bool, amsgrad: bool, maximize: bool) -> None:
    p = random(5)
    theirs = torch.tensor(p)
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    peer = kind([theirs], lr=0.1, betas=(0.8, 0.95), weight_decay=decay, amsgrad=amsgrad, maximize=maximize)
    exp_avg, exp_avg_sq = np.zeros(5), np.zeros(5)
    largest = np.zeros(5) if amsgrad else None
    for step in range(1, 5):
        g = random(5, seed=step)
        theirs.grad = torch.tensor(g)
        peer.step()
        reference.adam_step(p, g, exp_avg, exp_avg_sq, largest, step, 0.1, 0.8, 0.95, 1e-8, decay, decoupled, maximize)
        close(p, theirs)

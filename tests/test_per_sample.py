"""func.per_sample_grad against a loop over the samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import func, nn
from tinygrad_cnn.nn import functional as F

N = 5


def by_a_loop(losses: Callable[[tg.Tensor], tg.Tensor], x: tg.Tensor, inputs: list[tg.Tensor]) -> list[np.ndarray]:
    rows = [tg.autograd.grad(losses(x[i : i + 1]).sum(), inputs) for i in range(len(x))]
    return [np.stack([row[k].numpy() for row in rows]) for k in range(len(inputs))]


def models() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    conv = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, stride=2, groups=2, dilation=1),
        nn.Tanh(), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    return {
        "linear": (nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3, bias=False)), (4,)),
        "linear over a sequence": (nn.Linear(4, 3), (7, 4)),
        "cnn": (conv, (2, 6, 6)),
        "same padding, dilation": (nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(1, 2)), (2, 7, 8)),
        "conv1d": (nn.Conv1d(2, 3, 3, stride=2), (2, 9)),
        "layer norm": (nn.LayerNorm(4), (3, 4)),
        "group norm": (nn.GroupNorm(2, 4), (4, 3, 3)),
        "prelu": (nn.PReLU(3), (3, 4)),
        "conv_transpose1d": (nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (4, 7)),
        "conv_transpose2d": (nn.ConvTranspose2d(2, 3, (3, 2), stride=2, dilation=(1, 2), bias=False), (2, 4, 5)),
        "conv_transpose3d": (nn.ConvTranspose3d(2, 3, 2, stride=2, padding=1), (2, 3, 4, 3)),
        "batch norm, eval": (nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3).eval()), (2, 5, 5)),
    }


@pytest.mark.parametrize("name", models())
def test_models(name: str) -> None:
    model, shape = models()[name]
    model.double()
    parameters = list(model.parameters())
    x = tg.randn(N, *shape, dtype=tg.float64)

    def losses(batch: tg.Tensor) -> tg.Tensor:
        return (model(batch) ** 2).flatten(1).sum(1)

    for ours, expected in zip(
        func.per_sample_grad(losses(x), parameters), by_a_loop(losses, x, parameters), strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_cross_entropy_in_float32() -> None:
    model = nn.Linear(4, 3)
    x, target = tg.randn(N, 4), tg.randint(3, (N,))
    (gw, gb) = func.per_sample_grad(F.cross_entropy(model(x), target, reduction="none"), list(model.parameters()))
    assert gw.shape == (N, 3, 4)
    assert gw.dtype == tg.float32
    F.cross_entropy(model(x), target, reduction="sum").backward()
    np.testing.assert_allclose(gw.sum(0).numpy(), model.weight.grad.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gb.sum(0).numpy(), model.bias.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_weights_that_pass_through_ops_of_their_own() -> None:
    w = tg.randn(4, 3, dtype=tg.float64, requires_grad=True)
    v = tg.randn(3, dtype=tg.float64, requires_grad=True)
    x = tg.randn(N, 4, dtype=tg.float64)

    def losses(batch: tg.Tensor) -> tg.Tensor:
        return ((batch @ (w / w.norm()).t().t()).exp() * v.view(1, 3)).sum(1)

    for ours, expected in zip(func.per_sample_grad(losses(x), [w, v]), by_a_loop(losses, x, [w, v]), strict=True):
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-10)


PRODUCTS: dict[str, tuple[tuple[int, ...], tuple[int, ...], Callable[[tg.Tensor, tg.Tensor], tg.Tensor]]] = {
    "addmm": ((4,), (4, 3), lambda x, w: tg.addmm(w[0], x, w, beta=0.5, alpha=2)),
    "a batch of matrices": ((2, 6, 4), (2, 4, 3), lambda x, w: x @ w),
    "a batch of one matrix": ((2, 6, 4), (1, 1, 4, 3), lambda x, w: x @ w),
    "from the left": ((4, 2), (3, 4), lambda x, w: w @ x),
    "a batch from the left": ((2, 4, 5), (2, 3, 4), lambda x, w: w @ x),
    "a vector from the left": ((2, 4, 3), (4,), lambda x, w: w @ x),
    "bmm": ((6, 4), (1, 4, 3), lambda x, w: tg.bmm(x, w.expand(N if len(x) == N else 1, 4, 3))),
    "einsum": ((4,), (4, 3), lambda x, w: tg.einsum("ni,ij->nj", x, w)),
    "bilinear": ((4,), (2, 4, 3), lambda x, w: tg.einsum("ni,oij,nj->no", x, w, x[:, :3])),
    "attention": ((2, 6), (2, 6, 4), lambda x, w: tg.einsum("...hd,hde->...he", x, w)),
    "a diagonal": ((4,), (4, 4), lambda x, w: tg.einsum("ni,ii->ni", x, w)),
    "summed alone": ((4,), (4, 3), lambda x, w: tg.einsum("ni,jk->ni", x, w)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name: str) -> None:
    shape, weight, product = PRODUCTS[name]
    x = tg.randn(N, *shape, dtype=tg.float64)
    w = tg.randn(*weight, dtype=tg.float64, requires_grad=True)

    def losses(batch: tg.Tensor) -> tg.Tensor:
        return (product(batch, w) ** 2).flatten(1).sum(1)

    (ours,) = func.per_sample_grad(losses(x), w)
    np.testing.assert_allclose(ours.numpy(), by_a_loop(losses, x, [w])[0], rtol=1e-10, atol=1e-12)


def test_a_parameter_with_a_row_for_each_sample() -> None:
    x = tg.randn(N, 3, dtype=tg.float64)
    own = tg.randn(N, 1, dtype=tg.float64, requires_grad=True)
    (g,) = func.per_sample_grad((own * x).sum(1), own)
    np.testing.assert_allclose(g.numpy()[..., 0], np.diag(x.numpy().sum(1)), rtol=1e-12)


def test_products_in_which_the_samples_have_no_place() -> None:
    x = tg.randn(4, N, dtype=tg.float64)
    w, own = (tg.randn(n, 4, dtype=tg.float64, requires_grad=True) for n in (3, N))
    with pytest.raises(ValueError, match="no op has the 5 samples in the first dimension of its result"):
        func.per_sample_grad((w @ x).sum(0), w)
    with pytest.raises(NotImplementedError, match=r"matmul of \(4, 5\) and a parameter of shape \(5, 4\), expected"):
        func.per_sample_grad((own @ x).sum(0), own)
    with pytest.raises(ValueError, match=r"a parameter of shape \(5, 4\) is not shared by the 5 samples"):
        func.per_sample_grad(tg.einsum("ni,ni->n", own, x.t()), own)


def test_embedding() -> None:
    table = nn.Embedding(6, 3, padding_idx=1).double()
    words = tg.tensor([[0, 1, 0], [2, 2, 5]])
    (g,) = func.per_sample_grad((table(words) ** 2).flatten(1).sum(1), list(table.parameters()))
    expected = [tg.autograd.grad((table(words[i]) ** 2).sum(), table.weight)[0].numpy() for i in range(2)]
    np.testing.assert_allclose(g.numpy(), np.stack(expected))


def test_embedding_that_scales_by_frequency() -> None:
    table = nn.Embedding(6, 3, scale_grad_by_freq=True).double()
    losses = (table(tg.tensor([[0, 1, 0], [2, 0, 5]])) ** 2).flatten(1).sum(1)
    (g,) = func.per_sample_grad(losses, table.weight)
    expected = [tg.autograd.grad(losses[i], table.weight, retain_graph=True)[0].numpy() for i in range(2)]
    np.testing.assert_allclose(g.numpy(), np.stack(expected))


def test_a_parameter_that_does_not_count_gets_zeros() -> None:
    w, unused = tg.ones(2, requires_grad=True), tg.ones(3, requires_grad=True)
    _, g = func.per_sample_grad((tg.ones(N, 2) * w).sum(1), [w, unused])
    assert g.tolist() == [[0.0] * 3] * N


def test_samples_that_mix_are_found_out() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="the loss of one sample depends on another sample"):
        func.per_sample_grad((model(tg.randn(N, 3)) ** 2).sum(1), list(model.parameters()))


def test_misuse() -> None:
    w = tg.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match=r"the losses have shape \(\), expected \(N,\)"):
        func.per_sample_grad((w * 2).sum(), w)
    with pytest.raises(ValueError, match="is no leaf that requires grad"):
        func.per_sample_grad((tg.ones(N, 2) * w).sum(1), w * 2)
    model = nn.BatchNorm1d(2)
    with pytest.raises(NotImplementedError, match="no rule for argument 'weight' of batch_norm"):
        func.per_sample_grad(model(tg.randn(N, 2)).sum(1), list(model.parameters()))


@pytest.mark.parametrize("distance", [1, 2, 7, 8])
def test_two_samples_that_are_mixed_are_noticed(distance: int) -> None:
    w = tg.randn(3, requires_grad=True)
    mix = tg.eye(12)
    mix[0, distance] = 1.0
    with pytest.raises(ValueError, match="the loss of one sample depends on another sample"):
        func.per_sample_grad(mix @ (tg.randn(12, 3) * w).sum(1), w)

"""The reductions against PyTorch."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from peers.compare import compare, raises_alike

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

rng = np.random.default_rng(7)
X = rng.normal(size=(2, 3, 4))
COLUMN = rng.normal(size=5)
NUMBER = np.array(1.5)
EMPTY = np.zeros((0, 3))
TIES = np.array([[1.0, 3.0, 3.0], [3.0, 0.0, 0.0], [0.0, 2.0, 3.0]])
NANS = np.array([[1.0, np.nan, 3.0], [np.nan, 0.0, np.nan]])
INTS = np.array([[3, -1, 0], [2, 3, 3]])
BYTES = np.array([[200, 100, 0], [1, 2, 3]], np.uint8)
TRUTHS = np.array([[True, False], [True, True]])

DIMS: list[dict[str, Any]] = [
    {},
    {"dim": 1},
    {"dim": -1, "keepdim": True},
    {"dim": (0, 2)},
    {"dim": (2, -3), "keepdim": True},
    {"dim": (0, 1, 2)},
]


@pytest.mark.parametrize("kwargs", DIMS, ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "logsumexp", "var", "std", "var_mean", "std_mean"])
def test_over_dimensions(name: str, kwargs: dict[str, Any]) -> None:
    if name == "logsumexp" and not kwargs:
        kwargs = {"dim": 0}
    compare(getattr(tg, name), getattr(torch, name), X, **kwargs)


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "prod", "max", "min", "norm"])
def test_of_a_number_and_of_a_vector(name: str) -> None:
    compare(getattr(tg, name), getattr(torch, name), NUMBER)
    compare(getattr(tg, name), getattr(torch, name), COLUMN)
    if name not in ("norm", "prod"):
        compare(getattr(tg, name), getattr(torch, name), NUMBER, dim=0)


@pytest.mark.parametrize("name", ["sum", "prod", "all", "any", "amax", "amin", "max", "min", "argmax", "argmin"])
@pytest.mark.parametrize("x", [INTS, BYTES, TRUTHS, INTS.astype(np.int32)], ids=lambda x: str(x.dtype))
def test_of_integers_and_booleans(name: str, x: Any) -> None:
    if x.dtype == bool and name in ("argmax", "argmin"):
        with pytest.raises(RuntimeError):
            getattr(torch, name)(torch.from_numpy(x))  # ours is wider here
    else:
        compare(getattr(tg, name), getattr(torch, name), x)
        compare(getattr(tg, name), getattr(torch, name), x, dim=1)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "cumsum", "cumprod"])
@pytest.mark.parametrize("x", [X, INTS], ids=["floats", "ints"])
def test_dtype(name: str, x: Any) -> None:
    for ours, theirs in ((np.dtype(np.float64), torch.float64), (np.dtype(np.float32), torch.float32)):
        kwargs = {"dim": 1} if name.startswith("cum") else {}
        _with_dtype(name, x, ours, theirs, **kwargs)


def _with_dtype(name: str, x: Any, our_dtype: Any, their_dtype: Any, **kwargs: Any) -> None:
    compare(
        lambda v: getattr(tg, name)(v, dtype=our_dtype, **kwargs),
        lambda v: getattr(torch, name)(v, dtype=their_dtype, **kwargs),
        x,
        bound=1e-6 if our_dtype == np.float32 else 1e-12,  # where the gradient is cast differs
        float32=False,
    )


@pytest.mark.parametrize("name", ["sum", "prod", "all", "any", "mean"])
def test_of_nothing(name: str) -> None:
    compare(getattr(tg, name), getattr(torch, name), EMPTY)
    compare(getattr(tg, name), getattr(torch, name), EMPTY, dim=0)
    compare(getattr(tg, name), getattr(torch, name), EMPTY, dim=1)


def test_logsumexp_of_nothing_and_of_extremes() -> None:
    compare(tg.logsumexp, torch.logsumexp, EMPTY, dim=0)
    compare(tg.logsumexp, torch.logsumexp, np.array([[1000.0, 1000.5], [-1000.0, -1001.0]]), dim=1)
    compare(tg.logsumexp, torch.logsumexp, np.array([[-np.inf, 0.0], [np.inf, 1.0]]), dim=1, orders=0)
    compare(tg.logsumexp, torch.logsumexp, np.array([[-np.inf, 0.0], [2.0, 1.0]]), dim=1, orders=1)
    compare(tg.logsumexp, torch.logsumexp, np.full((2, 2), -np.inf), dim=1, orders=0)
    compare(tg.logsumexp, torch.logsumexp, INTS, dim=1)


@pytest.mark.parametrize("kwargs", DIMS, ids=str)
@pytest.mark.parametrize("name", ["amax", "amin"])
def test_equal_extremes_share_the_gradient(name: str, kwargs: dict[str, Any]) -> None:
    compare(getattr(tg, name), getattr(torch, name), np.round(X), **kwargs)


@pytest.mark.parametrize("name", ["max", "min"])
def test_max_and_min(name: str) -> None:
    ours, theirs = getattr(tg, name), getattr(torch, name)
    for x in (X, TIES, INTS):
        compare(ours, theirs, x)
        compare(ours, theirs, x, dim=1)
        compare(ours, theirs, x, dim=-1, keepdim=True)
    compare(ours, theirs, X, 2, True)
    compare(ours, theirs, TIES, TIES.T.copy())
    compare(ours, theirs, NANS, orders=0)
    compare(ours, theirs, NANS, dim=1)
    assert ours(tg.tensor([1.0, 2.0]), dim=0).indices.dtype == np.int64


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions(name: str) -> None:
    for x in (X, TIES, NANS, NUMBER, COLUMN):
        compare(getattr(tg, name), getattr(torch, name), x)
        compare(getattr(tg, name), getattr(torch, name), x, dim=0, keepdim=True)
        compare(getattr(tg, name), getattr(torch, name), x, dim=-1)


@pytest.mark.parametrize("name", ["all", "any"])
def test_truth(name: str) -> None:
    for x in (X, TRUTHS, NANS, TIES, NUMBER):
        compare(getattr(tg, name), getattr(torch, name), x)
        compare(getattr(tg, name), getattr(torch, name), x, dim=0)
    compare(getattr(tg, name), getattr(torch, name), X, dim=(0, 2), keepdim=True)


ZEROS = [
    np.array([[2.0, 3.0, -1.5], [0.0, 2.0, 3.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]),
    np.array([[1.5, 0.5]]),
    np.array([[0.0]]),
    np.array([2.0, 0.0, 3.0]),
    np.array(0.0),
    rng.normal(size=(2, 3, 4)) * (rng.random((2, 3, 4)) > 0.3),
]


@pytest.mark.parametrize("x", ZEROS, ids=range(len(ZEROS)))
def test_products_of_zeros(x: Any) -> None:
    compare(tg.prod, torch.prod, x)
    compare(tg.prod, torch.prod, X)
    for dim in range(max(x.ndim, 1)):
        compare(tg.prod, torch.prod, x, dim=dim)
        compare(tg.prod, torch.prod, x, dim=dim, keepdim=True)
        compare(tg.cumprod, torch.cumprod, x, dim=dim)
        compare(tg.cumsum, torch.cumsum, x, dim=dim)


def test_products_of_zeros_at_the_third_order() -> None:
    """PyTorch's own third derivatives fail at zeros, so the exact ones stand in: x1 x2 x3 x4 has simple ones."""
    x = tg.tensor([0.0, 0.0, 3.0, 2.0], dtype=tg.float64, requires_grad=True)
    for f in (tg.prod, lambda v: tg.cumprod(v, 0)[-1]):
        (first,) = tg.autograd.grad(f(x), x, create_graph=True)
        (second,) = tg.autograd.grad(first[0], x, create_graph=True)
        (third,) = tg.autograd.grad(second[1], x, create_graph=True)
        assert first.tolist() == [0.0, 0.0, 0.0, 0.0]
        assert second.tolist() == [0.0, 6.0, 0.0, 0.0]
        assert third.tolist() == [0.0, 0.0, 2.0, 3.0]


def test_running_results_of_numbers_integers_and_nothing() -> None:
    for name in ("cumsum", "cumprod"):
        for x in (NUMBER, INTS, TRUTHS, BYTES, EMPTY):
            compare(getattr(tg, name), getattr(torch, name), x, dim=0)


@pytest.mark.parametrize("name", ["var", "std", "var_mean", "std_mean"])
def test_variance_arguments(name: str) -> None:
    ours, theirs = getattr(tg, name), getattr(torch, name)
    compare(ours, theirs, X, False)
    compare(ours, theirs, X, unbiased=False)
    compare(ours, theirs, X, 1, False, True)
    compare(ours, theirs, X, dim=1, correction=0)
    compare(ours, theirs, X, dim=(0, 2), correction=2, keepdim=True)
    compare(ours, theirs, X, dim=None, correction=1)


def test_variance_of_equal_elements() -> None:
    compare(tg.var, torch.var, np.full((2, 3), 1.5), dim=1)
    compare(tg.std, torch.std, np.full((2, 3), 1.5), dim=1, orders=1)


def test_variance_without_freedom() -> None:
    with pytest.warns(UserWarning, match="degrees of freedom"):
        assert math.isnan(tg.var(tg.tensor([1.0])).item())
    with pytest.warns(UserWarning, match="degrees of freedom"):
        assert tg.var(tg.tensor([1.0, 2.0]), correction=3).item() == math.inf
    with pytest.warns(UserWarning, match="degrees of freedom"):
        assert math.isnan(tg.std(tg.tensor([1.0])).item())


ORDERS = [0, 0.5, 1, 1.5, 2, 3, 4.5, math.inf, -math.inf, -1, -2]


@pytest.mark.parametrize("p", ORDERS)
def test_norms(p: float) -> None:
    for kwargs in ({}, {"dim": 1}, {"dim": (0, 2), "keepdim": True}):
        compare(tg.norm, torch.norm, X, p, bound=1e-11, **kwargs)
        compare(tg.linalg.vector_norm, torch.linalg.vector_norm, X, p, bound=1e-11, **kwargs)


@pytest.mark.parametrize("p", [1, 2, 3, math.inf, 0])
def test_norms_of_zeros_and_of_equal_elements(p: float) -> None:
    compare(tg.norm, torch.norm, np.array([[0.0, 0.0], [3.0, -3.0], [0.0, 2.0]]), p, dim=1, orders=1)
    compare(tg.norm, torch.norm, np.zeros((2, 2)), p, orders=1)


def test_norm_arguments() -> None:
    compare(tg.norm, torch.norm, X)
    compare(tg.norm, torch.norm, X, "fro")
    compare(tg.norm, torch.norm, X, dim=1, keepdim=True)
    compare(tg.norm, torch.norm, X[0], "nuc", bound=1e-9)
    compare(tg.norm, torch.norm, X, "nuc", (0, 2), True, bound=1e-9)
    compare(tg.linalg.vector_norm, torch.linalg.vector_norm, X)
    for ours, theirs in ((tg.norm, torch.norm), (tg.linalg.vector_norm, torch.linalg.vector_norm)):
        single = X.astype(np.float32)
        compare(
            lambda x, f=ours: f(x, 2, dtype=np.dtype(np.float64)),
            lambda x, f=theirs: f(x, 2, dtype=torch.float64),
            single,
            orders=1,
        )


@pytest.mark.parametrize("ord", [None, "fro", "nuc", math.inf, -math.inf, 1, -1, 2, -2])
@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (3, 3), (2, 3, 4)])
def test_matrix_norms(ord: Any, shape: tuple[int, ...]) -> None:
    x = rng.normal(size=shape)
    if len(shape) == 2:
        compare(tg.linalg.norm, torch.linalg.norm, x, ord, bound=1e-9)
    compare(tg.linalg.norm, torch.linalg.norm, x, ord, (-2, -1), True, bound=1e-9)
    compare(tg.linalg.norm, torch.linalg.norm, x, ord, (0, -1), bound=1e-9)
    if ord is not None:
        compare(tg.linalg.matrix_norm, torch.linalg.matrix_norm, x, ord, bound=1e-9)


def test_linalg_norm_of_vectors() -> None:
    compare(tg.linalg.norm, torch.linalg.norm, X)
    compare(tg.linalg.norm, torch.linalg.norm, X, dim=1)
    compare(tg.linalg.norm, torch.linalg.norm, X, 3, 1, True)
    compare(tg.linalg.norm, torch.linalg.norm, COLUMN, 1)


def test_normalize() -> None:
    F = torch.nn.functional
    compare(tg.nn.functional.normalize, F.normalize, X)
    compare(tg.nn.functional.normalize, F.normalize, X, p=1.0, dim=2)
    compare(tg.nn.functional.normalize, F.normalize, X, p=3, dim=(0, 1))
    compare(tg.nn.functional.normalize, F.normalize, np.zeros((2, 3)), orders=1)
    compare(tg.nn.functional.normalize, F.normalize, X, eps=10.0)


def test_trace() -> None:
    for x in (X[0], X[0].T.copy(), INTS):
        compare(tg.trace, torch.trace, x)


def test_errors() -> None:
    raises_alike(tg.sum, torch.sum, X, dim=3, match=r"sum: dim is 3, expected -3 to 2")
    raises_alike(tg.sum, torch.sum, X, dim=(0, -3), match=r"sum: dim is \(0, -3\), expected no dimension twice")
    raises_alike(tg.mean, torch.mean, INTS, match=r"mean: input is int64, expected floats")
    raises_alike(tg.var, torch.var, INTS, match=r"var: input is int64, expected floats")
    raises_alike(tg.amax, torch.amax, EMPTY, dim=0, match=r"amax: input is \(0, 3\), dim 0: there is no element")
    raises_alike(tg.argmax, torch.argmax, EMPTY, dim=0, match=r"argmax: input is \(0, 3\), dim 0: there is no")
    raises_alike(tg.max, torch.max, EMPTY, match=r"amax: input is \(0, 3\)")
    raises_alike(tg.norm, torch.norm, X, "nuclear", match=r"norm: p is 'nuclear', expected a number, 'fro' or 'nuc'")
    raises_alike(tg.trace, torch.trace, X, match=r"trace: input is \(2, 3, 4\), expected a matrix")
    linalg = torch.linalg
    raises_alike(tg.linalg.norm, linalg.norm, X, 2, match=r"linalg.norm: A is \(2, 3, 4\), dim None, ord 2: expected")
    raises_alike(tg.linalg.matrix_norm, linalg.matrix_norm, X, 3, match=r"linalg.matrix_norm: ord is 3, expected")
    raises_alike(tg.linalg.matrix_norm, linalg.matrix_norm, COLUMN, match=r"linalg.matrix_norm: A is \(5,\)")


ALONG = {
    "sum": (), "mean": (), "var": (), "std": (), "amax": (), "max": (), "min": (), "argmax": (), "prod": (),
    "logsumexp": (), "all": (), "count_nonzero": (), "softmax": (), "cumsum": (), "unbind": (), "chunk": (2,),
    "sort": (), "topk": (2,), "squeeze": (), "unsqueeze": (), "repeat_interleave": (2,), "var_mean": (), "std_mean": (),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONG)
def test_axis_is_another_word_for_dim(name: str) -> None:
    compare(getattr(tg, name), getattr(torch, name), X, *ALONG[name], axis=1)
    if name not in ("var_mean", "std_mean"):  # functions only
        method = operator.methodcaller(name, *ALONG[name], axis=-1)
        compare(method, method, X)


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "max", "argmin", "std_mean", "any"])
def test_keepdims_is_another_word_for_keepdim(name: str) -> None:
    compare(getattr(tg, name), getattr(torch, name), X, axis=1, keepdims=True)


def test_axis_of_other_functions() -> None:
    index = np.array([[[1], [0], [2]], [[0], [0], [3]]])
    compare(tg.cat, torch.cat, [X, X], axis=1)
    compare(tg.stack, torch.stack, [X, X], axis=1)
    compare(tg.narrow, torch.narrow, X, axis=1, start=1, length=2)
    compare(tg.select, torch.select, X, axis=1, index=2)
    compare(tg.gather, torch.gather, X, axis=2, index=index)
    compare(tg.take_along_dim, torch.take_along_dim, X, index, axis=2)


def test_dim_and_axis_together_are_refused() -> None:
    raises_alike(tg.sum, torch.sum, X, dim=1, axis=1, match=r"sum: argument 'dim' is given twice")
    raises_alike(tg.max, torch.max, X, dim=1, axis=1, match=r"max: argument 'dim' is given twice")
    raises_alike(tg.exp, torch.exp, X, axis=1, match=r"exp: unknown argument 'axis'")


@pytest.mark.parametrize("name", ["mean", "var", "std"])
@pytest.mark.parametrize("count", [3000, 70_000])
def test_sums_and_counts_that_are_no_float16(name: str, count: int) -> None:
    x = np.random.default_rng(count).normal(50, 10, count).astype(np.float16)
    ours, theirs = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = getattr(ours, name)(), getattr(theirs, name)()
    np.testing.assert_allclose(y.item(), z.item(), rtol=2e-3)
    for create_graph in (False, True):
        (g,) = tg.autograd.grad(y, [ours], create_graph=create_graph, retain_graph=True)
        np.testing.assert_allclose(g.detach().numpy(), torch.autograd.grad(z, theirs, retain_graph=True)[0], atol=1e-6)

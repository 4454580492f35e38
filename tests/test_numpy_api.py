"""NumPy's functions on Tensors: same numbers as NumPy, recorded, or a refusal that names the function."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import numpy_api

POSITIVE = np.array([[0.2, 0.7, 0.4], [0.9, 0.1, 0.5]])
BITWISE = (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert)
LOGICAL = (np.logical_and, np.logical_not, np.logical_or, np.logical_xor, *BITWISE)
UNARY = [u for u in numpy_api.UFUNCS if u.nin == 1]
BINARY = [u for u in numpy_api.UFUNCS if u.nin == 2 and u is not np.matmul]


@pytest.mark.parametrize("ufunc", UNARY, ids=lambda u: u.__name__)
def test_unary(ufunc: np.ufunc) -> None:
    x = POSITIVE > 0.5 if ufunc in LOGICAL else POSITIVE
    out = ufunc(tg.tensor(x))
    assert isinstance(out, tg.Tensor)
    np.testing.assert_allclose(out.numpy(), ufunc(x), rtol=1e-14)


@pytest.mark.parametrize("ufunc", BINARY, ids=lambda u: u.__name__)
def test_binary_with_an_array_on_either_side(ufunc: np.ufunc) -> None:
    x, other = POSITIVE, POSITIVE[::-1].copy()
    if ufunc in LOGICAL:
        x, other = x > 0.5, other > 0.3
    expected = ufunc(x, other)
    for out in (ufunc(tg.tensor(x), other), ufunc(tg.tensor(x), tg.tensor(other)), ufunc(x, tg.tensor(other))):
        assert isinstance(out, tg.Tensor)
        np.testing.assert_allclose(out.numpy(), expected, rtol=1e-14)


CALLS = [
    (np.sum, {}), (np.sum, {"axis": 0}), (np.sum, {"axis": (0, 1), "keepdims": True}), (np.mean, {"axis": 1}),
    (np.max, {}), (np.max, {"axis": 0}), (np.min, {"axis": 1, "keepdims": True}), (np.prod, {"axis": 1}),
    (np.std, {"axis": 0}), (np.var, {"ddof": 1}), (np.cumsum, {}), (np.cumsum, {"axis": 0}), (np.cumprod, {"axis": 1}),
    (np.reshape, {"shape": (3, 2)}), (np.ravel, {}), (np.transpose, {}), (np.transpose, {"axes": (1, 0)}),
    (np.swapaxes, {"axis1": 0, "axis2": 1}), (np.moveaxis, {"source": 0, "destination": 1}),
    (np.expand_dims, {"axis": 1}), (np.squeeze, {}), (np.broadcast_to, {"shape": (2, 2, 3)}),
    (np.tile, {"reps": (2, 1)}),
    (np.roll, {"shift": 1}), (np.roll, {"shift": 1, "axis": 1}), (np.flip, {}), (np.flip, {"axis": 0}), (np.tril, {}),
    (np.triu, {"k": 1}), (np.diagonal, {}), (np.clip, {"a_min": 0.3, "a_max": 0.6}), (np.round, {"decimals": 1}),
    (np.sinc, {}), (np.linalg.norm, {}), (np.linalg.norm, {"axis": 1}), (np.sort, {"axis": 0}),
    (np.zeros_like, {}), (np.ones_like, {}), (np.full_like, {"fill_value": 2.0}), (np.argmax, {"axis": 1}),
    (np.argsort, {"axis": 1}), (np.split, {"indices_or_sections": 3, "axis": 1}),
    (np.split, {"indices_or_sections": [1, 2], "axis": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("function", "kwargs"), CALLS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_functions(function: object, kwargs: dict[str, object]) -> None:
    expected = function(POSITIVE, **kwargs)  # type: ignore[operator]
    out = function(tg.tensor(POSITIVE), **kwargs)  # type: ignore[operator]
    for ours, theirs in zip(*(x if isinstance(x, list) else [x] for x in (out, expected)), strict=True):
        assert isinstance(ours, tg.Tensor)
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-14)


def test_functions_of_several_arrays() -> None:
    a, b = POSITIVE, POSITIVE[::-1].copy()
    x, y = tg.tensor(a), tg.tensor(b)
    pairs = [
        (np.concatenate([x, y]), np.concatenate([a, b])),
        (np.concatenate([x, b], axis=1), np.concatenate([a, b], axis=1)),
        (np.stack([x, y], axis=1), np.stack([a, b], axis=1)),
        (np.vstack([x, y]), np.vstack([a, b])),
        (np.hstack([x, y]), np.hstack([a, b])),
        (np.where(a > 0.5, x, y), np.where(a > 0.5, a, b)),
        (np.dot(x, y.T), np.dot(a, b.T)),
        (np.outer(x[0], y[1]), np.outer(a[0], b[1])),
        (np.tensordot(x, y, axes=2), np.tensordot(a, b, axes=2)),
        (np.einsum("ij,kj->ik", x, y), np.einsum("ij,kj->ik", a, b)),
        (np.matmul(x, y.T), a @ b.T),
        (np.trace(x @ y.T), np.trace(a @ b.T)),
        (np.take_along_axis(x, np.array([[0], [2]]), 1), np.take_along_axis(a, np.array([[0], [2]]), 1)),
    ]
    for ours, theirs in pairs:
        assert isinstance(ours, tg.Tensor)
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-14)


def test_they_record() -> None:
    x = tg.tensor(POSITIVE, requires_grad=True)
    np.sum(np.exp(x) * POSITIVE).backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), np.exp(POSITIVE) * POSITIVE)


def test_a_function_without_a_gradient_names_itself() -> None:
    x = tg.tensor(POSITIVE, requires_grad=True)
    with pytest.raises(TypeError, match=r"np\.fft\.fft has no gradient here; use t\.detach\(\)\.numpy\(\)"):
        np.fft.fft(x)
    with pytest.raises(TypeError, match=r"np\.gcd has no gradient here"):
        np.gcd(x, x)
    with pytest.raises(TypeError, match=r"np\.add with out is not supported"):
        np.add(x, x, out=POSITIVE.copy())
    with pytest.raises(TypeError, match=r"np\.add\.accumulate is not supported"):
        np.add.accumulate(x)
    with pytest.raises(RuntimeError, match="requires grad, and NumPy cannot record"):
        np.asarray(x)


def test_informational_functions() -> None:
    x = tg.tensor(POSITIVE)
    assert np.shape(x) == (2, 3)
    assert np.ndim(x) == 2
    assert np.size(x) == 6
    assert np.array_equal(x, POSITIVE)
    assert np.allclose(x, POSITIVE)
    assert np.asarray(x) is x.numpy()

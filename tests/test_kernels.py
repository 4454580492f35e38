"""The reference kernels against loops that anybody can check, and the adjoint identities."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_cnn.kernels import reference
from tinygrad_cnn.kernels.sizes import conv_output_size, pool_output_size

Array = np.ndarray[Any, Any]


pytestmark = pytest.mark.usefixtures("as_in_an_op")


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


@st.composite
def layouts(draw: st.DrawFn, x: Array) -> Array:
    """The same numbers in some other memory: reversed axes, a strided view, read-only, or as they are."""
    kind = draw(st.sampled_from(["c", "f", "strided", "readonly"]))
    if kind == "f":
        return np.asfortranarray(x)
    if kind == "strided":
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan)
        wide[..., ::2] = x
        return wide[..., ::2]
    x = x.copy()
    x.flags.writeable = kind == "c"
    return x


@st.composite
def conv_cases(draw: st.DrawFn) -> dict[str, Any]:
    nd = draw(st.integers(1, 3))
    dims = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(nd))  # noqa: E731
    kernel, stride, padding, dilation = dims(1, 3), dims(1, 3), dims(0, 2), dims(1, 2)
    size = tuple(
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 7)) for k, p, d in zip(kernel, padding, dilation, strict=True)
    )
    groups, n, seed = draw(st.integers(1, 3)), draw(st.integers(0, 3)), draw(st.integers(0, 99))
    c, o = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    w = random(o, c // groups, *kernel, seed=seed)
    return {
        "x": draw(layouts(random(n, c, *size, seed=seed + 1))),
        "w": draw(layouts(w)),
        "b": random(o, seed=seed + 2) if draw(st.booleans()) else None,
        "geometry": (stride, padding, dilation, groups),
    }


def conv_by_loops(x: Array, w: Array, b: Array | None, stride: Any, padding: Any, dilation: Any, groups: int) -> Array:
    out = conv_output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = np.zeros((len(x), len(w), *out))
    per_group = w.shape[1]
    for index in np.ndindex(*y.shape):
        n, o, *at = index
        total = 0.0 if b is None else b[o]
        for c, *tap in np.ndindex(*w.shape[1:]):
            where = [a * s - p + t * d for a, s, p, t, d in zip(at, stride, padding, tap, dilation, strict=True)]
            if all(0 <= i < size for i, size in zip(where, x.shape[2:], strict=True)):
                channel = o // (len(w) // groups) * per_group + c
                total += x[n, channel, *where] * w[o, c, *tap]
        y[index] = total
    return y


@settings(deadline=None, max_examples=60)
@given(conv_cases())
def test_conv_is_the_sum_over_its_window(case: dict[str, Any]) -> None:
    y = reference.conv(case["x"], case["w"], case["b"], *case["geometry"])
    assert y.dtype == np.float64
    assert y.flags.c_contiguous
    np.testing.assert_allclose(y, conv_by_loops(case["x"], case["w"], case["b"], *case["geometry"]), rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=100)
@given(conv_cases())
def test_conv_gradients_are_its_adjoints(case: dict[str, Any]) -> None:
    x, w, geometry = case["x"], case["w"], case["geometry"]
    y = reference.conv(x, w, None, *geometry)
    g = random(*y.shape, seed=5)
    dx, dw, db = reference.conv_backward(g, x, w, *geometry, needs=(True, True, True))
    assert dx is not None
    assert dw is not None
    assert db is not None
    assert dx.shape == x.shape
    assert dw.shape == w.shape
    np.testing.assert_allclose([np.vdot(dx, x), np.vdot(dw, w)], np.vdot(y, g), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(db, g.sum(axis=(0, *range(2, g.ndim))))
    assert reference.conv_backward(g, x, w, *geometry, needs=(False, False, False)) == (None, None, None)


def test_conv_keeps_float32_and_takes_a_broadcast_gradient() -> None:
    x, w = random(2, 4, 6, 6).astype(np.float32), random(4, 2, 3, 3).astype(np.float32)
    geometry = ((2, 1), (1, 0), (1, 2), 2)
    y = reference.conv(x, w, w[:, 0, 0, 0], *geometry)
    g = np.broadcast_to(np.float32(1), y.shape)
    for broadcast, copied in zip(
        reference.conv_backward(g, x, w, *geometry, needs=(True, True, True)),
        reference.conv_backward(g.copy(), x, w, *geometry, needs=(True, True, True)),
        strict=True,
    ):
        assert broadcast is not None
        assert broadcast.dtype == np.float32
        np.testing.assert_array_equal(broadcast, copied)


def test_conv_input_fills_what_no_window_reaches_with_zero() -> None:
    """conv_transpose's output_padding: the shape is larger than the windows cover."""
    dx = reference.conv_input(np.ones((1, 1, 2)), np.ones((1, 1, 1)), (1, 1, 4), (2,), (0,), (1,), 1)
    np.testing.assert_array_equal(dx, [[[1, 0, 1, 0]]])


@st.composite
def pool_cases(draw: st.DrawFn) -> dict[str, Any]:
    nd = draw(st.integers(1, 3))
    dims = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(nd))  # noqa: E731
    kernel, stride = dims(1, 4), dims(1, 4)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(draw(st.integers(k, 7)) for k in kernel)
    n, c, seed = draw(st.integers(0, 2)), draw(st.integers(1, 2)), draw(st.integers(0, 99))
    x = np.round(random(n, c, *size, seed=seed))  # rounded: many ties
    for value in (np.nan, np.inf, -np.inf):
        if draw(st.booleans()):
            x[np.random.default_rng(seed).random(x.shape) < 0.3] = value
    return {
        "x": draw(layouts(x)),
        "geometry": (kernel, stride, padding),
        "ceil_mode": draw(st.booleans()),
    }


def windows(x: Array, kernel: Any, stride: Any, padding: Any, dilation: Any, out: Any) -> Any:
    """Every output position with its window: (index, [(tap number, flat position, value)] inside the input)."""
    for index in np.ndindex(*x.shape[:2], *out):
        plane, at = x[index[:2]], index[2:]
        inside = []
        for number, tap in enumerate(itertools.product(*map(range, kernel))):
            where = tuple(a * s - p + t * d for a, s, p, t, d in zip(at, stride, padding, tap, dilation, strict=True))
            if all(0 <= i < size for i, size in zip(where, plane.shape, strict=True)):
                inside.append((number, int(np.ravel_multi_index(where, plane.shape)), plane[where]))
        yield index, inside


@settings(deadline=None, max_examples=100)
@given(pool_cases(), st.integers(1, 2))
def test_max_pool_takes_the_first_maximum_and_never_padding(case: dict[str, Any], dilation: int) -> None:
    x, (kernel, stride, padding) = case["x"], case["geometry"]
    dilations = tuple(dilation if 1 + dilation * (k - 1) <= s else 1 for k, s in zip(kernel, x.shape[2:], strict=True))
    geometry = (kernel, stride, padding, dilations)
    out = pool_output_size(x.shape[2:], *geometry, case["ceil_mode"])
    y, offsets = reference.max_pool(x, *geometry, case["ceil_mode"])
    flat = reference.max_pool_flat_indices(offsets, x.shape, *geometry)
    assert y.shape == offsets.shape == flat.shape == x.shape[:2] + out
    assert offsets.dtype == np.uint8
    for index, inside in windows(x, *geometry, out):
        best = inside[0]
        for entry in inside:
            if entry[2] > best[2] or math.isnan(entry[2]):
                best = entry
        np.testing.assert_equal((offsets[index], flat[index], y[index]), best)
    np.testing.assert_array_equal(reference.max_pool_gather(x, offsets, *geometry), y)
    finite, g = random(*x.shape, seed=3), random(*y.shape, seed=4)
    np.testing.assert_allclose(
        np.vdot(reference.max_pool_gather(finite, offsets, *geometry), g),
        np.vdot(finite, reference.max_pool_scatter(g, offsets, x.shape, *geometry)),
        atol=1e-9,
    )


def test_max_pool_offsets_of_a_large_window_are_int32() -> None:
    x = random(1, 1, 16, 16)
    y, offsets = reference.max_pool(x, (16, 16), (1, 1), (0, 0), (1, 1))
    assert offsets.dtype == np.int32
    assert offsets.item() == x.argmax()
    assert y.item() == x.max()


@settings(deadline=None, max_examples=100)
@given(pool_cases(), st.booleans(), st.sampled_from([None, 3]))
def test_avg_pool_is_the_mean_of_its_window(case: dict[str, Any], include: bool, override: int | None) -> None:
    (kernel, stride, padding), ceil_mode = case["geometry"], case["ceil_mode"]
    x = random(*case["x"].shape, seed=1)
    y = reference.avg_pool(x, *case["geometry"], ceil_mode, include, override)
    ones = (1,) * len(kernel)
    for index, inside in windows(x, *case["geometry"], ones, y.shape[2:]):
        counted = [
            min(a * s - p + k, size + p) - (a * s - p)
            for a, s, p, k, size in zip(index[2:], stride, padding, kernel, x.shape[2:], strict=True)
        ]
        divisor = override or (math.prod(counted) if include else len(inside))
        assert y[index] == pytest.approx(sum(value for _, _, value in inside) / divisor)
    g = random(*y.shape, seed=2)
    dx = reference.avg_pool_input(g, x.shape, *case["geometry"], ceil_mode, include, override)
    assert dx.shape == x.shape
    assert np.vdot(dx, x) == pytest.approx(np.vdot(y, g), abs=1e-9)


def test_relu_keeps_nan_and_its_gradient_is_zero_at_zero() -> None:
    x = np.array([-np.inf, -1, 0, 2, np.inf, np.nan], np.float32)
    out = reference.relu(x)
    np.testing.assert_array_equal(out, np.array([0, 0, 0, 2, np.inf, np.nan], np.float32))
    np.testing.assert_array_equal(reference.relu_grad(np.full(6, 3, np.float32), out), [0, 0, 0, 3, 3, 3])


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(1, 6), st.integers(0, 99))
def test_cross_entropy_is_log_softmax_at_the_target(n: int, c: int, seed: int) -> None:
    z, target = random(n, c, seed=seed) * 30, np.random.default_rng(seed).integers(0, c, n)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    losses = reference.softmax_cross_entropy(z, target)
    np.testing.assert_allclose(losses, -np.log(p[np.arange(n), target]), atol=1e-9)
    g = random(n, seed=seed)
    np.testing.assert_allclose(
        reference.softmax_cross_entropy_grad(z, target, g), (p - np.eye(c)[target]) * g[:, None], atol=1e-9
    )


def test_cross_entropy_is_stable_and_checks_its_targets() -> None:
    z = np.array([[1e4, -1e4], [np.inf, 0.0], [np.nan, 0.0]])
    losses = reference.softmax_cross_entropy(z, np.array([1, 0, 0]))
    assert losses[0] == 2e4
    assert np.isnan(losses[1:]).all()
    message = r"softmax_cross_entropy: target\[1\] is 2, 2 classes expect 0\.\.1"
    with pytest.raises(IndexError, match=message):
        reference.softmax_cross_entropy(z, np.array([0, 2, 0]))
    with pytest.raises(IndexError, match=r"target\[0\] is -1"):
        reference.softmax_cross_entropy_grad(z, np.array([-1, 2, 0]), np.ones(3))


@pytest.mark.parametrize("shape", [(5, 3), (4, 2, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_normalises_and_its_gradient_is_the_slope(shape: tuple[int, ...], affine: bool) -> None:
    x, g = random(*shape) * 3 + 7, random(*shape, seed=1)
    weight, bias = (random(shape[1], seed=2), random(shape[1], seed=3)) if affine else (None, None)
    y, mean, var = reference.batch_norm(x, weight, bias, 1e-3)
    axes = (0, *range(2, x.ndim))
    np.testing.assert_allclose(mean, x.mean(axes))
    np.testing.assert_allclose(var, x.var(axes))
    line = lambda v: v.reshape(-1, *[1] * (x.ndim - 2))  # noqa: E731
    xhat = (x - line(mean)) / np.sqrt(line(var) + 1e-3)
    np.testing.assert_allclose(y, xhat * line(weight) + line(bias) if affine else xhat)
    dx, dweight, dbias = reference.batch_norm_backward(g, x, weight, mean, var, 1e-3)
    np.testing.assert_allclose(dweight, (g * xhat).sum(axes))
    np.testing.assert_allclose(dbias, g.sum(axes))
    step = 1e-5 * random(*shape, seed=4)
    up, down = (reference.batch_norm(x + s, weight, bias, 1e-3)[0] for s in (step, -step))
    assert np.vdot(up - down, g) / 2 == pytest.approx(np.vdot(dx, step), rel=1e-5)


def test_sgd_without_momentum_needs_no_buffer_and_leaves_the_gradient() -> None:
    p, g = np.array([1.0, 2.0], np.float32), np.array([1.0, -1.0], np.float32)
    assert reference.sgd_step(p, g, None, lr=0.5) is None
    np.testing.assert_array_equal(p, [0.5, 2.5])
    np.testing.assert_array_equal(g, [1.0, -1.0])
    assert p.dtype == np.float32

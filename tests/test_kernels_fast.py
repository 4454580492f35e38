"""The fast kernels: the reference's answers, in any memory, and never a byte outside their arrays."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from processes import in_a_new_process

from tinygrad_cnn import kernels
from tinygrad_cnn.interrupt import Interrupt
from tinygrad_cnn.kernels import choice, dispatch, reference, threads
from tinygrad_cnn.kernels import fast as fast_kernels

Array = np.ndarray[Any, Any]
PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


pytestmark = pytest.mark.usefixtures("as_in_an_op")


def guarded(x: Array, at_end: bool) -> Array:
    """A copy whose memory ends (or begins) at a page that nobody may touch: one byte outside kills the process."""
    pages = -(-max(x.nbytes, 1) // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for forbidden in (address, address + (pages + 1) * PAGE):
        assert libc.mprotect(forbidden, PAGE, 0) == 0
    start = PAGE + (pages * PAGE - x.nbytes if at_end else 0)
    copy = np.frombuffer(memory, x.dtype, x.size, start).reshape(x.shape)
    copy[...] = x
    copy.flags.writeable = x.flags.writeable
    return copy


def run_guarded(function: Callable[..., Any], jobs: Any) -> None:
    """`threads.run`, with every array of every job between protected pages, at the one end and at the other."""
    for job in jobs:
        for at_end in (True, False):
            args = [guarded(a, at_end) if isinstance(a, np.ndarray) else a for a in job]
            function(*args)
        for original, copy in zip(job, args, strict=True):
            if isinstance(original, np.ndarray) and original.flags.writeable:
                original[...] = copy


@pytest.fixture(autouse=True)
def fast() -> Iterator[None]:
    kernels.set_kernels("fast")
    yield
    kernels.set_kernels("auto")


@pytest.fixture
def guards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "run", run_guarded)


@pytest.fixture(params=["planes", "planes for two threads", "images", "images for two threads"])
def lanes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What convolutions have in their lanes, and in how many parts they do the work."""
    use_lanes(float(request.param.startswith("images")), monkeypatch)
    before = kernels.get_num_threads()
    if "two" in request.param:
        monkeypatch.setattr(threads, "WORTH_SHARING", 0)
        kernels.set_num_threads(2)
    yield
    kernels.set_num_threads(before)
    forget_choices()


def use_lanes(used: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the choice think that kernels with images in their lanes use this part of them."""
    monkeypatch.setattr(choice, "_lanes_used", lambda n, workers: used)
    forget_choices()


def forget_choices() -> None:
    for known in (choice.for_conv, choice.for_input, choice.for_weight):
        known.cache_clear()


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def double(x: Array | None) -> Array | None:
    return None if x is None else x.astype(np.float64)


def close(ours: Array | None, exact: Array | None, error: float = 3e-6) -> None:
    """Equal within `error` of the largest value; NaN and inf in the same places."""
    assert ours is not None
    assert exact is not None
    assert ours.dtype == np.float32
    assert ours.shape == exact.shape
    finite = np.isfinite(exact)
    scale = max(1.0, float(np.abs(exact[finite]).max(initial=0)))
    np.testing.assert_allclose(ours, exact, rtol=0, atol=error * scale)


# Convolution ----------------------------------------------------------------------------------------------------


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    kernel, stride, padding, dilation = pair(1, 5), pair(1, 3), pair(0, 3), pair(1, 2)
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True)]
    size = tuple(draw(st.integers(low, 40)) for low in least)
    groups, seed = draw(st.integers(1, 3)), draw(st.integers(0, 99))
    n = draw(st.integers(1, 20 if max(size) < 20 else 5))
    c, o = groups * draw(st.integers(1, 5)), groups * draw(st.integers(1, 9))
    return {
        "x": random(n, c, *size, seed=seed),
        "w": random(o, c // groups, *kernel, seed=seed + 1),
        "b": random(o, seed=seed + 2) if draw(st.booleans()) else None,
        "geometry": (stride, padding, dilation, groups),
    }


def check_conv(x: Array, w: Array, b: Array | None, geometry: Any, error: float = 3e-6) -> None:
    exact = reference.conv(x.astype(np.float64), w.astype(np.float64), double(b), *geometry)
    close(kernels.conv(x, w, b, *geometry), exact, error)
    g = random(*exact.shape, seed=7)
    ours = kernels.conv_backward(g, x, w, *geometry, needs=(True, True, True))
    peers = reference.conv_backward(
        g.astype(np.float64), x.astype(np.float64), w.astype(np.float64), *geometry, needs=(True, True, True)
    )
    for our, peer in zip(ours, peers, strict=True):
        close(our, peer, error)
    g = g[(..., *[slice(max(1, n - 1)) for n in g.shape[2:]])].copy()  # as output_padding of a transposed one makes it
    whole = reference.conv_weight(x.astype(np.float64), g.astype(np.float64), w.shape, *geometry)
    close(kernels.conv_weight(x, g, w.shape, *geometry), whole, error)


@pytest.mark.usefixtures("guards", "lanes")
@settings(max_examples=40)
@given(convolutions())
def test_conv_between_protected_pages(case: dict[str, Any]) -> None:
    check_conv(**case)


@pytest.mark.usefixtures("guards")
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize(
    ("channels", "columns", "straight"),
    [(4, 24, 1), (4, 47, 1), (6, 16, 1), (6, 31, 1), (1, 48, 1), (1, 56, 1), (5, 24, 0), (7, 47, 0), (2, 24, 0)],
)
def test_rows_that_go_straight_to_the_output(
    channels: int, columns: int, straight: int, step: int, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several images, of whole tiles or with a last one that overlaps; never where a tile has spare channels."""
    use_lanes(0.0, monkeypatch)
    direct = fast_kernels.load("direct")
    x = random(5, groups * channels, 2 * step, columns)
    w = random(groups * channels, channels, 1, 3, seed=1)
    geometry = ((step, 1), (0, 1), (1, 1), groups)
    plans = (
        direct.forward_plan(x.shape[1:], w.shape, *geometry, 4),
        direct.input_plan((len(w), 2, columns), w.shape, x.shape[2:], *geometry, 4),
    )
    for plan in plans:
        assert plan.frame[6] > 1
        assert set(plan.sweeps[:, 3]) == {2}
        assert set(plan.sweeps[:, 9]) == {straight}
    assert set(plans[1].sweeps[:, 6]) == {step}
    check_conv(x, w, random(len(w), seed=2), geometry)
    forget_choices()


@pytest.mark.usefixtures("guards", "lanes")
@settings(max_examples=15)
@given(st.data())
def test_winograd_between_protected_pages(data: st.DataObject) -> None:
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    c, o, seed, padding = 4 * draw(4, 6), 4 * draw(4, 6), draw(0, 99), (draw(0, 5), draw(0, 5))
    size = [draw(max(1, 3 - 2 * p), 40) for p in padding]
    n = draw(1, 20 if max(size) < 16 else 6)
    x, w, b = random(n, c, *size, seed=seed), random(o, c, 3, 3, seed=seed + 1), random(o, seed=seed + 2)
    check_conv(x, w, b, ((1, 1), padding, (1, 1), 1))


@pytest.mark.usefixtures("guards")
@settings(max_examples=30)
@given(st.data())
def test_pointwise_is_the_reference(data: st.DataObject) -> None:
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    nd, groups, n = draw(1, 3), draw(1, 2), draw(0, 5)
    stride, size = tuple(draw(1, 3) for _ in range(nd)), [draw(1, 9) for _ in range(nd)]
    x, w = random(n, groups * draw(8, 12), *size), random(groups * draw(8, 12), 1)
    w = random(len(w), x.shape[1] // groups, *[1] * nd, seed=1)
    geometry = (stride, (0,) * nd, (draw(1, 2),) * nd, groups)
    check_conv(x, w, random(len(w), seed=2) if draw(0, 1) else None, geometry)
    g = random(*reference.conv(x, w, None, *geometry).shape)
    shape = tuple(s + draw(0, 2) if i > 1 else s for i, s in enumerate(x.shape))  # output_padding
    close(kernels.conv_input(g, w, shape, *geometry), reference.conv_input(double(g), double(w), shape, *geometry))


@pytest.mark.parametrize("lanes_used", [0.0, 1.0])
def test_each_shape_takes_the_kernel_made_for_it(lanes_used: float, monkeypatch: pytest.MonkeyPatch) -> None:
    use_lanes(lanes_used, monkeypatch)
    taken: list[str] = []
    usable = dispatch._usable

    def spy(name: str | None, *arrays: Array | None) -> Any:
        taken.extend([name] if name else [])
        return usable(name, *arrays)

    monkeypatch.setattr(dispatch, "_usable", spy)
    check_conv(random(9, 6, 9, 9), random(8, 6, 5, 5), None, ((2, 1), (2, 2), (1, 1), 1))
    assert set(taken[:-1]) == {"images" if lanes_used else "direct"}
    assert taken[-1] == "direct"  # a gradient of fewer pixels than the window passes
    taken.clear()
    check_conv(random(9, 16, 9, 9), random(16, 16, 3, 3), None, ((1, 1), (1, 1), (1, 1), 1))
    assert taken[-2:] == ["winograd_images" if lanes_used else "winograd", "direct"]
    taken.clear()
    check_conv(random(9, 16, 9, 9), random(16, 16, 1, 1), None, ((1, 1), (0, 0), (1, 1), 1))
    assert not taken


@pytest.mark.usefixtures("lanes")
@pytest.mark.parametrize("needs", [(True, False, True), (False, True, False), (False, False, True)])
@pytest.mark.parametrize("channels", [3, 16])
def test_conv_backward_gives_what_is_asked_for(needs: tuple[bool, bool, bool], channels: int) -> None:
    x, w, geometry = random(2, channels, 9, 9), random(16, channels, 3, 3), ((1, 1), (0, 0), (1, 1), 1)
    g = random(2, 16, 7, 7)
    ours = kernels.conv_backward(g, x, w, *geometry, needs=needs)
    for our, exact, needed in zip(
        ours, reference.conv_backward(g, x, w, *geometry, needs=(True, True, True)), needs, strict=True
    ):
        if needed:
            close(our, exact, 1e-5)
        else:
            assert our is None


@pytest.mark.usefixtures("lanes")
@pytest.mark.parametrize("layout", ["f", "reversed", "broadcast", "readonly"])
def test_conv_takes_any_layout(layout: str) -> None:
    x, w, geometry = random(4, 8, 20, 21), random(8, 4, 3, 3, seed=1), ((1, 2), (1, 0), (1, 1), 2)
    if layout == "f":
        x, w = np.asfortranarray(x), np.asfortranarray(w)
    elif layout == "reversed":
        x, w = x[:, ::-1, :, ::-1], w[..., ::-1]
    elif layout == "broadcast":
        x = np.broadcast_to(x[:1, :, :1], x.shape)
    else:
        x.flags.writeable = w.flags.writeable = False
    check_conv(x, w, w[:, 0, 0, 0], geometry)


def test_conv_in_one_dimension() -> None:
    check_conv(random(3, 4, 50), random(6, 2, 5, seed=1), random(6, seed=2), ((2,), (3,), (2,), 2))


def test_conv_input_with_output_padding() -> None:
    g, w, geometry = random(2, 3, 5, 6), random(3, 2, 3, 3), ((2, 3), (1, 0), (1, 1), 1)
    shape = (2, 2, 10, 20)
    exact = reference.conv_input(g.astype(np.float64), w.astype(np.float64), shape, *geometry)
    close(kernels.conv_input(g, w, shape, *geometry), exact)


@pytest.mark.usefixtures("lanes")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x", "w", "g"])
@pytest.mark.parametrize("channels", [2, 16])
def test_conv_puts_nan_and_infinity_where_the_reference_does(value: float, where: str, channels: int) -> None:
    arrays = {
        "x": random(2, channels, 12, 13),
        "w": random(16, channels, 3, 3, seed=1),
        "g": random(2, 16, 12, 13, seed=2),
    }
    arrays[where][1, 1, 2, 1] = value
    x, w, g = arrays.values()
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    close(kernels.conv(x, w, None, *geometry), reference.conv(x, w, None, *geometry), 1e-5)
    for ours, exact in zip(
        kernels.conv_backward(g, x, w, *geometry, needs=(True, True, True)),
        reference.conv_backward(g, x, w, *geometry, needs=(True, True, True)),
        strict=True,
    ):
        close(ours, exact, 1e-5)


# Pooling --------------------------------------------------------------------------------------------------------


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    kernel, stride, dilation = (2, 2), (2, 2), (1, 1)
    if draw(st.booleans()):
        kernel, stride, dilation = pair(1, 4), pair(1, 2), pair(1, 2)
    elif draw(st.booleans()):
        kernel = stride = pair(1, 6)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel) if draw(st.booleans()) else (0, 0)
    size = tuple(draw(st.integers(d * (k - 1) + 1, 40)) for k, d in zip(kernel, dilation, strict=True))
    seed = draw(st.integers(0, 99))
    x = np.round(random(draw(st.integers(1, 4)), draw(st.integers(1, 3)), *size, seed=seed) * 3)
    for value in (np.nan, np.inf, -np.inf):
        if draw(st.integers(0, 3)) == 0:
            x[np.random.default_rng(seed).random(x.shape) < 0.3] = value
    return {"x": x, "geometry": (kernel, stride, padding), "dilation": dilation, "ceil_mode": draw(st.booleans())}


@pytest.mark.usefixtures("guards")
@settings(max_examples=100)
@given(pools())
def test_max_pool_between_protected_pages(case: dict[str, Any]) -> None:
    x, geometry = case["x"], (*case["geometry"], case["dilation"])
    y, offsets = kernels.max_pool(x, *geometry, case["ceil_mode"])
    exact, chosen = reference.max_pool(x, *geometry, case["ceil_mode"])
    np.testing.assert_array_equal(y, exact)
    np.testing.assert_array_equal(offsets, chosen)
    g = random(*y.shape, seed=5)
    close(
        kernels.max_pool_scatter(g, offsets, x.shape, *geometry),
        reference.max_pool_scatter(g.astype(np.float64), offsets, x.shape, *geometry),
    )


@pytest.mark.usefixtures("guards")
@settings(max_examples=60)
@given(pools(), st.booleans(), st.sampled_from([None, 3]))
def test_avg_pool_between_protected_pages(case: dict[str, Any], include: bool, override: int | None) -> None:
    x, arguments = random(*case["x"].shape), (*case["geometry"], case["ceil_mode"], include, override)
    exact = reference.avg_pool(x.astype(np.float64), *arguments)
    close(kernels.avg_pool(x, *arguments), exact)
    g = random(*exact.shape, seed=5)
    close(
        kernels.avg_pool_input(g, x.shape, *arguments),
        reference.avg_pool_input(g.astype(np.float64), x.shape, *arguments),
    )


# Element by element, losses -------------------------------------------------------------------------------------

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0], np.float32)


@pytest.mark.usefixtures("guards")
@settings(max_examples=40)
@given(st.integers(1, 100), st.integers(0, 99))
def test_relu_between_protected_pages(n: int, seed: int) -> None:
    x = np.random.default_rng(seed).choice(SPECIAL, n)
    out = kernels.relu(x)
    np.testing.assert_array_equal(out, reference.relu(x))
    g = random(n, seed=seed)
    np.testing.assert_array_equal(kernels.relu_grad(g, out), reference.relu_grad(g, out))


def test_relu_takes_any_layout() -> None:
    x = random(5, 6, 7)[:, ::2].T
    np.testing.assert_array_equal(kernels.relu(x), reference.relu(x))
    g = np.broadcast_to(np.float32(2), x.shape)
    np.testing.assert_array_equal(kernels.relu_grad(g, x), reference.relu_grad(g, x))
    scalar = np.array(-1, np.float32)
    assert kernels.relu(scalar).shape == kernels.relu_grad(scalar, scalar).shape == ()


@pytest.mark.usefixtures("guards")
@settings(max_examples=60)
@given(st.integers(1, 20), st.integers(1, 30), st.integers(0, 99), st.sampled_from([0.0, *SPECIAL[:3]]))
def test_cross_entropy_between_protected_pages(n: int, classes: int, seed: int, special: float) -> None:
    rng = np.random.default_rng(seed)
    z, target, g = random(n, classes, seed=seed) * 20, rng.integers(0, classes, n), random(n, seed=seed)
    z.flat[rng.integers(0, z.size)] = special
    close(kernels.softmax_cross_entropy(z, target), reference.softmax_cross_entropy(z.astype(np.float64), target))
    close(
        kernels.softmax_cross_entropy_grad(z, target, np.broadcast_to(g[:1], n)),
        reference.softmax_cross_entropy_grad(z.astype(np.float64), target, np.broadcast_to(g[:1], n)),
    )


def test_cross_entropy_checks_its_targets() -> None:
    with pytest.raises(IndexError, match=r"softmax_cross_entropy: target\[1\] is 4, 4 classes expect 0\.\.3"):
        kernels.softmax_cross_entropy(random(2, 4), np.array([0, 4]))
    with pytest.raises(IndexError, match=r"target\[0\] is -1"):
        kernels.softmax_cross_entropy_grad(random(2, 4), np.array([-1, 4]), random(2))


# Batch norm, optimizers, matrix products ------------------------------------------------------------------------


@pytest.mark.usefixtures("guards")
@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(4, 40), st.integers(4, 40)),
    st.booleans(),
    st.sampled_from([0.0, *SPECIAL[:3]]),
)
@example(shape=(4, 1, 33, 39), affine=False, special=0.0)  # where the mean is rounded, and g's own mean is large
def test_batch_norm_between_protected_pages(shape: tuple[int, ...], affine: bool, special: float) -> None:
    x, g = random(*shape) * 3 + 50, random(*shape, seed=1)
    x.flat[-1] = special or 50
    weight, bias = (random(shape[1], seed=2), random(shape[1], seed=3)) if affine else (None, None)
    exact = reference.batch_norm(x.astype(np.float64), double(weight), double(bias), 1e-5)
    ours = kernels.batch_norm(x, weight, bias, 1e-5)
    for our, peer in zip(ours, exact, strict=True):
        close(our, peer, 2e-5)
    backward = reference.batch_norm_backward(
        g.astype(np.float64), x.astype(np.float64), double(weight), exact[1], exact[2], 1e-5
    )
    for our, peer in zip(kernels.batch_norm_backward(g, x, weight, *ours[1:], 1e-5), backward, strict=True):
        close(our, peer, 2e-5)


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
def test_batch_norm_puts_nan_and_infinity_where_the_reference_does(special: float) -> None:
    x, g = random(2, 3, 6, 7), random(2, 3, 6, 7, seed=1)
    g[1, 1, 2, 3] = special
    _, mean, var = reference.batch_norm(x, None, None, 1e-5)
    exact = reference.batch_norm_backward(g, x, None, mean, var, 1e-5)
    for our, peer in zip(kernels.batch_norm_backward(g, x, None, mean, var, 1e-5), exact, strict=True):
        close(our, peer, 1e-5)


@pytest.mark.usefixtures("guards")
@settings(max_examples=60)
@given(
    st.integers(1, 100),
    st.sampled_from([0.0, 0.9]),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.0, 0.1]),
    st.booleans(),
    st.booleans(),
)
def test_sgd_between_protected_pages(
    n: int, momentum: float, dampening: float, decay: float, nesterov: bool, maximize: bool
) -> None:
    p, buf, exact_buf = random(n), None, None
    exact = p.astype(np.float64)
    for step in range(3):
        g = random(n, seed=step)
        arguments = (0.1, momentum, dampening, decay, nesterov, maximize)
        buf = kernels.sgd_step(p, g, buf, *arguments)
        exact_buf = reference.sgd_step(exact, g.astype(np.float64), exact_buf, *arguments)
    close(p, exact)
    assert (buf is None) == (exact_buf is None) == (momentum == 0)


@pytest.mark.usefixtures("guards")
@settings(max_examples=60)
@given(st.integers(1, 100), st.sampled_from([0.0, 0.1]), st.booleans(), st.booleans(), st.booleans())
def test_adam_between_protected_pages(n: int, decay: float, decoupled: bool, maximize: bool, amsgrad: bool) -> None:
    ours = [random(n), np.zeros(n, np.float32), np.zeros(n, np.float32), np.zeros(n, np.float32)]
    exact = [a.astype(np.float64) for a in ours]
    for step in range(1, 4):
        g = random(n, seed=step)
        arguments = (step, 0.1, 0.8, 0.95, 1e-8, decay, decoupled, maximize)
        for (p, m, v, largest), grad in ((ours, g), (exact, g.astype(np.float64))):
            kernels.adam_step(p, grad, m, v, largest if amsgrad else None, *arguments)
    for our, peer in zip(ours, exact, strict=True):
        close(our, peer, 1e-5)


def test_updates_are_in_place_in_any_layout() -> None:
    p = random(30, 40)
    whole = p.copy()
    view, g = whole[:, ::2], random(30, 20)
    kernels.sgd_step(view, g, None, 0.5)
    np.testing.assert_allclose(whole[:, ::2], p[:, ::2] - 0.5 * g, rtol=1e-6)
    np.testing.assert_array_equal(whole[:, 1::2], p[:, 1::2])


@pytest.mark.parametrize("shapes", [((3, 4), (4, 5)), ((700, 300), (300, 40)), ((40, 300), (300, 700))])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matmul(shapes: Any, dtype: Any) -> None:
    a, b = (random(*shape, seed=i).astype(dtype) for i, shape in enumerate(shapes))
    tolerance = {"rtol": 0, "atol": 1e-3 if dtype == np.float32 else 1e-11}
    product = kernels.matmul(a, b)
    assert product.dtype == dtype
    np.testing.assert_allclose(product, a.astype(np.float64) @ b, **tolerance)
    np.testing.assert_allclose(kernels.matmul(b.T, a.T), product.T, **tolerance)
    np.testing.assert_allclose(kernels.linear(a, b.T, b[0]), product + b[0], **tolerance)
    with pytest.raises(ValueError, match="matmul"):
        kernels.matmul(a, a)


@pytest.mark.usefixtures("guards")
@settings(max_examples=100)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 60),
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from([0.0, *SPECIAL[:3]]),
)
def test_linear_between_protected_pages(
    n: int, columns: int, depth: int, bias: bool, parts: int, special: float
) -> None:
    x, w, b = random(n, depth), random(columns, depth, seed=1), random(columns, seed=2) if bias else None
    x.flat[-1] = special or x.flat[-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "WORTH_SHARING", 0)
        patch.setattr(threads, "_threads", parts)
        ours = kernels.linear(x, w, b)
    with np.errstate(invalid="ignore"):
        exact = x.astype(np.float64) @ w.T.astype(np.float64)
    close(ours, exact if b is None else exact + b)


def test_few_columns_take_the_kernel_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.set_kernels("auto")
    taken: list[str] = []
    monkeypatch.setattr(dispatch, "_usable", lambda name, *_: taken.append(name))
    for n, columns, depth in (
        (64, 10, 1024),
        (10, 64, 1024),
        (3, 10, 1024),
        (64, 64, 1024),
        (64, 10, 100),
        (64, 1, 1024),
    ):
        taken.clear()
        assert kernels.linear(random(n, depth), random(columns, depth), None).shape == (n, columns)
        assert taken == (["narrow"] if (n, columns, depth) in ((64, 10, 1024), (10, 64, 1024)) else [])


# The dispatcher -------------------------------------------------------------------------------------------------


CONV = """
    import sys, numpy as np
    from tinygrad_cnn import kernels
    assert "numba" not in sys.modules
    x, w = np.ones((10, 1, 28, 28), np.float32), np.ones((6, 1, 3, 3), np.float32)
    for _ in range(2):
        print(kernels.conv(x, w, None, (1, 1), (0, 0), (1, 1), 1).mean())
    print("numba" in sys.modules)
"""


def test_ctrl_c_waits_until_a_kernel_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def loading(name: str) -> types.ModuleType:
        signal.raise_signal(signal.SIGINT)  # inside LLVM's calls back into Python an exception would be lost
        done.append(name)
        return types.ModuleType(name)

    monkeypatch.setattr(fast_kernels.importlib, "import_module", loading)
    with pytest.raises(KeyboardInterrupt):
        fast_kernels.load("rows")
    assert done == ["tinygrad_cnn.kernels.fast.rows"]
    with Interrupt() as interrupt:  # as in a training, which goes on to the end of its batch
        fast_kernels.load("rows")
    assert interrupt.requested


def test_import_leaves_numba_alone_and_the_variable_chooses() -> None:
    assert in_a_new_process(CONV, TINYGRAD_CNN_KERNELS="fast").split()[:3] == ["9.0", "9.0", "True"]
    assert in_a_new_process(CONV, TINYGRAD_CNN_KERNELS="reference").split() == ["9.0", "9.0", "False"]


def test_without_numba_all_runs_on_the_reference_and_one_warning_says_so() -> None:
    output = in_a_new_process(
        "import sys; sys.modules['numba'] = None\n" + textwrap.dedent(CONV).replace('"numba" not in', '"numba" in')
    )
    assert output.count("9.0") == 2
    assert output.count("the fast kernels are not available (ModuleNotFoundError") == 1


def test_compiling_is_announced_once_and_loading_is_not(tmp_path: Any) -> None:
    code = """
        import numpy as np
        from tinygrad_cnn import kernels
        z, target = np.zeros((2, 3), np.float32), np.array([0, 2])
        kernels.softmax_cross_entropy(z, target)
        print(kernels.softmax_cross_entropy_grad(z, target, z[:, 0]).sum())
    """
    environment = {"TINYGRAD_CNN_KERNELS": "fast", "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (in_a_new_process(code, **environment) for _ in range(2))
    assert first.count("compiling the fast kernels") == 1
    assert second.split() == ["0.0"]


def test_asking_for_fast_kernels_without_numba_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tinygrad_cnn.kernels.fast", None)
    monkeypatch.setattr(dispatch, "_modules", {})
    x = random(2, 3, 8, 8)
    with pytest.raises(ModuleNotFoundError):
        kernels.max_pool(x, (2, 2), (2, 2), (0, 0), (1, 1))
    kernels.set_kernels("auto")
    monkeypatch.setattr(dispatch, "_broken", None)
    with pytest.warns(RuntimeWarning, match=r"the fast kernels are not available \(ModuleNotFoundError"):
        kernels.max_pool(random(8, 8, 16, 16), (2, 2), (2, 2), (0, 0), (1, 1))


def test_kernels_that_do_not_compile_are_replaced_and_one_warning_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygrad_cnn.kernels import fast

    def fail(name: str) -> Any:
        raise RuntimeError("LLVM ERROR: Cannot select intrinsic %llvm.fma.v8f32")

    monkeypatch.setattr(fast, "load", fail)
    monkeypatch.setattr(dispatch, "_modules", {})
    monkeypatch.setattr(dispatch, "_broken", None)
    kernels.set_kernels("auto")
    x, w, geometry = random(8, 16, 16, 16), random(16, 16, 3, 3), ((1, 1), (1, 1), (1, 1), 1)
    with pytest.warns(RuntimeWarning, match=r"not available \(RuntimeError: LLVM ERROR"):
        y = kernels.conv(x, w, None, *geometry)
    kernels.conv_backward(y, x, w, *geometry, needs=(True, True, True))  # a second warning would be an error
    kernels.relu(np.tile(y, (4, 1, 1, 1)))
    close(y, reference.conv(x, w, None, *geometry))  # in two parts, whose products BLAS may round otherwise


def test_where_winograd_gives_up_and_its_spare_does_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> Any:
        if name.startswith("winograd"):
            return types.SimpleNamespace(conv=lambda *arguments: None)
        raise RuntimeError("LLVM ERROR")

    monkeypatch.setattr(fast_kernels, "load", load)
    monkeypatch.setattr(dispatch, "_modules", {})
    monkeypatch.setattr(dispatch, "_broken", None)
    monkeypatch.setattr(dispatch.memory, "use_pool", lambda load: None)
    kernels.set_kernels("auto")
    x, w, geometry = random(8, 16, 16, 16), random(16, 16, 3, 3), ((1, 1), (1, 1), (1, 1), 1)
    with pytest.warns(RuntimeWarning, match="not available"):
        y = kernels.conv(x, w, None, *geometry)
    close(y, reference.conv(x, w, None, *geometry))


def test_float64_three_dimensions_and_small_arrays_take_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_modules", {})
    monkeypatch.setattr(dispatch, "_load", lambda name: pytest.fail(f"{name} was asked for"))
    x, w, ones = random(4, 8, 16, 16).astype(np.float64), random(8, 8, 3, 3), ((1, 1), (0, 0), (1, 1), 1)
    assert kernels.conv(x, w.astype(np.float64), None, *ones).dtype == np.float64
    assert kernels.max_pool(x, (2, 2), (2, 2), (0, 0), (1, 1))[0].dtype == np.float64
    cube, weight = random(2, 4, 8, 8, 8), random(4, 4, 3, 3, 3)
    kernels.conv(cube, weight, None, (1, 1, 1), (0, 0, 0), (1, 1, 1), 1)
    kernels.set_kernels("auto")
    kernels.conv(random(1, 1, 5, 5), random(1, 1, 3, 3), None, *ones)
    kernels.relu(random(100))


def test_set_kernels_names_what_it_knows() -> None:
    assert kernels.get_kernels() == "fast"
    with pytest.raises(ValueError, match="set_kernels: 'slow' is not known, one of auto, fast, reference was expected"):
        kernels.set_kernels("slow")  # type: ignore[arg-type]


def test_empty_batches() -> None:
    x, w, geometry = random(0, 3, 8, 8), random(4, 3, 3, 3), ((1, 1), (0, 0), (1, 1), 1)
    y = kernels.conv(x, w, None, *geometry)
    assert y.shape == (0, 4, 6, 6)
    dx, dw, db = kernels.conv_backward(y, x, w, *geometry, needs=(True, True, True))
    assert dx is not None
    assert dx.shape == x.shape
    np.testing.assert_array_equal(dw, np.zeros_like(w))
    np.testing.assert_array_equal(db, np.zeros(4))
    assert kernels.max_pool(x, (2, 2), (2, 2), (0, 0), (1, 1))[0].shape == (0, 3, 4, 4)
    assert kernels.avg_pool(x, (2, 2), (2, 2), (0, 0)).shape == (0, 3, 4, 4)
    assert kernels.relu(x).shape == x.shape
    assert kernels.softmax_cross_entropy(random(0, 3), np.zeros(0, np.int64)).shape == (0,)


# Threads --------------------------------------------------------------------------------------------------------


@pytest.fixture
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = kernels.get_num_threads()
    monkeypatch.setattr(threads, "WORTH_SHARING", 0)
    kernels.set_num_threads(3)
    yield
    kernels.set_num_threads(before)


def step(seed: int) -> list[Array]:
    """A bit of everything that is shared among threads."""
    x, w, geometry = random(7, 16, 13, 11, seed=seed), random(16, 16, 3, 3, seed=seed), ((1, 1), (1, 0), (1, 1), 1)
    y = kernels.conv(x, w, None, *geometry)
    pooled, offsets = kernels.max_pool(y, (2, 2), (2, 2), (0, 0), (1, 1))
    g = kernels.max_pool_scatter(pooled, offsets, y.shape, (2, 2), (2, 2), (0, 0), (1, 1))
    dx, dw, db = kernels.conv_backward(g, x, w[:, :, ::-1], *geometry, needs=(True, True, True))
    flat = pooled.reshape(7, -1)
    assert dx is not None
    assert dw is not None
    assert db is not None
    return [pooled, dx, dw, db, kernels.matmul(flat, flat.T), *kernels.batch_norm(y, None, None, 1e-5)]


@pytest.mark.usefixtures("three_threads")
def test_threads_share_the_work_and_change_nothing() -> None:
    several = step(0)
    assert len(threads._team.workers) == 2
    kernels.set_num_threads(1)
    for one, many in zip(step(0), several, strict=True):
        close(many, one)


@pytest.mark.parametrize("asleep", [True, False])
def test_signals_reach_who_spins_and_who_sleeps(asleep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of jobs of changing length, so that either side is at times the one that waits, and at times asleep."""
    monkeypatch.setattr(threads._spin, "processors", 0 if asleep else 64)
    monkeypatch.setattr(threads, "_team", threads._Team())
    kernels.relu(random(10))  # spinning begins with the first compiled kernel
    threads._spin.prepare()
    monkeypatch.setattr(threads._spin, "rounds", threads._spin.rounds // 5)  # 200 µs
    rng = np.random.default_rng(0)
    for number in range(2000):
        found = [0, 0, 0]

        def job(i: int, pause: float, found: list[int] = found, number: int = number) -> None:
            if pause > 0.9:
                time.sleep(5e-4)  # longer than anybody spins
            found[i] = number

        threads.run(job, [(i, pause) for i, pause in enumerate(rng.random(3))])
        assert found == [number] * 3
    assert threads._spin.prepare() == (not asleep)


def test_one_slow_trial_does_not_make_spinning_short(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.relu(random(10))
    trials = iter([0.2, 2e-5, 3e-5, 2e-5, 0.1])
    clock = (t for trial in trials for t in (0.0, trial))
    monkeypatch.setattr(threads, "time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    spin = threads._Spin()
    spin._load()
    assert spin.rounds == round(threads.SPIN / 2e-8)


def test_without_its_kernels_nobody_spins(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygrad_cnn.kernels import fast

    monkeypatch.setattr(fast, "load", lambda name: 1 / 0)
    monkeypatch.setattr(threads, "_spin", threads._Spin())
    monkeypatch.setattr(threads, "_team", threads._Team())
    done: list[int] = []
    threads.run(done.append, [(1,), (2,), (3,)])
    assert sorted(done) == [1, 2, 3]


@pytest.mark.usefixtures("three_threads")
def test_several_python_threads_at_once() -> None:
    expected = [step(seed) for seed in range(4)]
    wrong: list[int] = []

    def work(seed: int) -> None:
        for _ in range(10):
            if any((a != b).any() for a, b in zip(step(seed), expected[seed], strict=True)):
                wrong.append(seed)

    callers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.usefixtures("three_threads")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    expected = step(0)
    child = os.fork()
    if child == 0:
        same = all((a == b).all() for a, b in zip(step(0), expected, strict=True))
        os._exit(0 if same and len(threads._team.workers) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0


def step_with_threads(seed: int, count: int) -> list[Array]:
    """What a job of joblib's does: it may be in a process of its own, which knows nothing of this one's settings."""
    kernels.set_kernels("fast")
    kernels.set_num_threads(count)
    return step(seed)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_inside_joblib(backend: str) -> None:
    from joblib import Parallel, delayed

    before = kernels.get_num_threads()
    try:
        expected = [step_with_threads(seed, 2) for seed in range(4)]
        found = Parallel(n_jobs=2, backend=backend)(delayed(step_with_threads)(seed, 2) for seed in range(4))
    finally:
        kernels.set_num_threads(before)
    for ours, theirs in zip(found, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_inside_pytest_xdist(tmp_path: Any) -> None:
    """Worker processes run the kernels side by side, each with threads of its own."""
    (tmp_path / "test_side_by_side.py").write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {os.path.dirname(__file__)!r})
            import numpy as np, pytest
            from test_kernels_fast import step_with_threads

            @pytest.mark.parametrize("seed", range(4))
            def test_step(seed):
                one, two = step_with_threads(seed, 1), step_with_threads(seed, 2)
                for a, b in zip(one, two, strict=True):
                    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1, abs(b).max()))
            """
        )
    )
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "4 passed" in result.stdout, result.stdout + result.stderr


@pytest.mark.usefixtures("three_threads")
def test_an_error_in_any_part_reaches_the_caller_and_the_next_job_is_fine() -> None:
    def fail(part: int, failing: int) -> None:
        if part == failing:
            raise MemoryError(f"part {part}")

    for failing in range(3):
        with pytest.raises(MemoryError, match=f"part {failing}"):
            threads.run(fail, [(part, failing) for part in range(3)])
        done: list[int] = []
        threads.run(done.append, [(1,), (2,), (3,)])
        assert sorted(done) == [1, 2, 3]


def test_parts_cover_everything_once() -> None:
    kernels.set_num_threads(3)
    try:
        assert threads.parts(8, threads.WORTH_SHARING) == [(0, 2), (2, 5), (5, 8)]
        assert threads.parts(2, threads.WORTH_SHARING) == [(0, 1), (1, 2)]
        assert threads.parts(8, threads.WORTH_SHARING - 1) == [(0, 8)]
    finally:
        kernels.set_num_threads(threads._default())


def test_set_num_threads_checks_its_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="set_num_threads: n is 0, at least 1 was expected"):
        kernels.set_num_threads(0)
    with pytest.raises(TypeError, match=r"set_num_threads: n is 1\.5, an int was expected"):
        kernels.set_num_threads(1.5)  # type: ignore[arg-type]
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert threads._default() == 5


def test_blas_gets_its_threads_back() -> None:
    from threadpoolctl import threadpool_info

    def blas_threads() -> list[int]:
        """NumPy's; SciPy has a BLAS of its own, which is none of our business."""
        blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
        return [b["num_threads"] for b in [b for b in blas if "numpy" in b["filepath"]] or blas]

    before = blas_threads()
    with threads.one_blas_thread(), threads.one_blas_thread():
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before


def test_the_guard_kills_who_reads_outside() -> None:
    """Else the tests above prove nothing."""
    code = """
        import ctypes, sys
        sys.path.insert(0, {folder!r})
        import numpy as np, test_kernels_fast
        x = test_kernels_fast.guarded(np.zeros(5, np.float32), at_end={at_end})
        ctypes.string_at(x.ctypes.data + {offset}, 1)
        print("alive")
    """
    folder = os.path.dirname(__file__)
    for at_end, offset, alive in [(True, 19, True), (True, 20, False), (False, 0, True), (False, -1, False)]:
        filled = textwrap.dedent(code).format(folder=folder, at_end=at_end, offset=offset)
        result = subprocess.run([sys.executable, "-c", filled], capture_output=True, text=True, check=False)
        assert ("alive" in result.stdout) == alive


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("nd", [1, 2, 3])
def test_the_reference_in_parts_is_the_reference(nd: int) -> None:
    kernels.set_kernels("auto")
    x, w = (random(*s, *[5] * nd).astype(np.float64) for s in ((7, 4), (6, 4)))
    x, w, geometry = x, w[(..., *[slice(0, 3)] * nd)], ((1,) * nd, (1,) * nd, (1,) * nd, 1)
    y = kernels.conv(x, w, None, *geometry)
    np.testing.assert_allclose(y, reference.conv(x, w, None, *geometry))
    for ours, exact in zip(
        kernels.conv_backward(y, x, w, *geometry, needs=(True, True, True)),
        reference.conv_backward(y, x, w, *geometry, needs=(True, True, True)),
        strict=True,
    ):
        assert ours is not None
        assert exact is not None
        np.testing.assert_allclose(ours, exact)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone has it")
def test_workers_keep_off_the_processor_of_the_caller() -> None:
    mine = os.sched_getaffinity(0)
    if len(mine) < 2:
        pytest.skip("there is one processor")
    deadline = time.monotonic() + 10
    threads._team.placed = None
    while threads._team.placed is None and time.monotonic() < deadline:  # a new worker needs a moment to begin
        threads.run(str, [(0,), (1,)])
    assert threads._team.placed is not None
    off, workers = threads._team.placed
    assert workers == 1
    assert os.sched_getaffinity(threads._team.workers[0].thread or 0) == mine - {off}
    assert os.sched_getaffinity(0) == mine


def test_misaligned_swapped_and_mapped_arrays(tmp_path: Any) -> None:
    x = random(2, 3, 8, 8)
    misaligned = np.frombuffer(b"0" + x.tobytes(), np.float32, x.size, 1).reshape(x.shape)
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    mapped[...] = x
    w, geometry = random(4, 3, 3, 3), ((1, 1), (0, 0), (1, 1), 1)
    for same in (misaligned, mapped, x.astype(">f4")):
        close(kernels.conv(same, w, None, *geometry).astype(np.float32), reference.conv(x, w, None, *geometry))
        np.testing.assert_array_equal(kernels.relu(same), reference.relu(x))
        np.testing.assert_array_equal(
            kernels.max_pool(same, (2, 2), (2, 2), (0, 0), (1, 1))[0], x.reshape(2, 3, 4, 2, 4, 2).max((3, 5))
        )
    kernels.sgd_step(mapped, x, None, lr=1.0)
    np.testing.assert_array_equal(mapped, np.zeros_like(x))

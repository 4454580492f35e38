"""Pools against PyTorch: values, gradients of two orders, indices, ties, NaN, errors."""

from __future__ import annotations

import numpy as np
import pytest

from peers.compare import compare, raises_alike
from tinygrad_cnn.ops import pool
from tinygrad_cnn.tensor import Tensor

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")
F = torch.nn.functional


def draw(*shape):
    return np.random.default_rng(shape).standard_normal(shape)


SHAPES = {1: (2, 3, 11), 2: (2, 3, 9, 10), 3: (2, 2, 5, 6, 7)}
WINDOWS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 2, "stride": 3},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 3, "stride": 3, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 4, "stride": 4, "padding": 2, "ceil_mode": True},
    {"kernel_size": 1},
    {"kernel_size": 5, "stride": 1},
]
UNEVEN = {
    2: [
        {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 0)},
        {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 1), "ceil_mode": True},
        {"kernel_size": [4, 1], "stride": []},
    ],
    3: [{"kernel_size": (1, 2, 3), "stride": (2, 1, 2), "padding": (0, 1, 1), "ceil_mode": True}],
}
DILATED = [
    {"kernel_size": 3, "dilation": 2},
    {"kernel_size": 2, "stride": 1, "padding": 1, "dilation": 3},
    {"kernel_size": 2, "stride": 2, "padding": 1, "dilation": 2, "ceil_mode": True},
]
ROWS = [(n, w) for n in (1, 2, 3) for w in WINDOWS + UNEVEN.get(n, [])]


@pytest.mark.parametrize(("n", "window"), ROWS + [(n, w) for n in (1, 2, 3) for w in DILATED])
def test_max_pool(n, window):
    ours, theirs = getattr(pool, f"max_pool{n}d"), getattr(F, f"max_pool{n}d")
    compare(ours, theirs, draw(*SHAPES[n]), **window)
    compare(ours, theirs, draw(*SHAPES[n][1:]), return_indices=True, float32=False, **window)


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize(("n", "window"), ROWS)
def test_avg_pool(n, window, count_include_pad):
    ours, theirs = getattr(pool, f"avg_pool{n}d"), getattr(F, f"avg_pool{n}d")
    compare(ours, theirs, draw(*SHAPES[n]), count_include_pad=count_include_pad, **window)
    if n > 1:
        compare(ours, theirs, draw(*SHAPES[n][1:]), divisor_override=-3, float32=False, **window)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_pools_of_an_empty_batch(n):
    x = np.zeros((0, *SHAPES[n][1:]))
    for name in (f"max_pool{n}d", f"avg_pool{n}d"):
        compare(getattr(pool, name), getattr(F, name), x, 2, orders=1)
    for name in (f"adaptive_avg_pool{n}d", f"adaptive_max_pool{n}d"):
        compare(getattr(pool, name), getattr(F, name), x, 3, orders=1)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 13, "uneven"])
def test_adaptive(n, kind, size):
    name = f"adaptive_{kind}_pool{n}d"
    if size == "uneven":
        size = ((4,), (None, 4), (2, None, 3))[n - 1]
    ours, theirs = getattr(pool, name), getattr(F, name)
    compare(ours, theirs, draw(*SHAPES[n]), size)
    compare(ours, theirs, draw(*SHAPES[n][1:]), size, float32=False)
    if kind == "max":
        compare(ours, theirs, draw(*SHAPES[n]), size, return_indices=True, orders=1, float32=False)


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize(("n", "size"), [(1, 4), (2, (3, 4)), (3, (2, 4, 5))])
def test_adaptive_means_without_the_number_stay_as_they_are(n, size, number):
    x = draw(*SHAPES[n])
    x.flat[7] = x.flat[-1] = number
    name = f"adaptive_avg_pool{n}d"
    compare(getattr(pool, name), getattr(F, name), x, size, orders=1)


def test_adaptive_of_equal_windows_is_one_op():
    x = Tensor(draw(1, 2, 6, 6)).requires_grad_()
    out = pool.adaptive_avg_pool2d(x, (3, 1))
    assert (out.node.op.name, out.node.label[0], out.node.edges) == ("avg_pool2d", "adaptive_avg_pool2d", (x,))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [1, 2, 3])
def test_ties_infinities_and_nan_choose_as_pytorch(n, seed):
    random = np.random.default_rng(seed)
    values = [0.0, -0.0, 1.0, -np.inf, np.inf, np.nan][: 4 + seed % 3]
    x = random.choice(values, SHAPES[n])
    for kwargs in ({"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}):
        compare(
            getattr(pool, f"max_pool{n}d"),
            getattr(F, f"max_pool{n}d"),
            x,
            return_indices=True,
            orders=1,
            float32=False,
            **kwargs,
        )
    adaptive = f"adaptive_max_pool{n}d"
    compare(getattr(pool, adaptive), getattr(F, adaptive), x, 3, return_indices=True, orders=1, float32=False)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_names_in_graphs(kind, n):
    x = Tensor(draw(*SHAPES[n])).requires_grad_()
    op = getattr(pool, f"{kind}_pool{n}d")(x, 2).node.op
    assert op.name == f"{kind}_pool{n}d"
    assert op.__doc__


@pytest.mark.parametrize(
    ("name", "shape", "kwargs", "message"),
    [
        (
            "max_pool2d",
            (1, 1, 4, 4),
            {"kernel_size": 2, "padding": 2},
            r"max_pool2d: padding is \(2, 2\), kernel \(2, 2\) expects at most half",
        ),
        (
            "avg_pool2d",
            (1, 1, 4, 4),
            {"kernel_size": 3, "padding": 2},
            r"avg_pool2d: padding is \(2, 2\), kernel \(3, 3\) expects at most half",
        ),
        (
            "max_pool2d",
            (1, 1, 4, 6),
            {"kernel_size": 5},
            r"max_pool2d: kernel \(5, 5\) does not fit x \(1, 1, 4, 6\): output H would be "
            r"\(4 \+ 2\*0 - 5\)//5 \+ 1 = 0, expected at least 1 — at ",
        ),
        (
            "avg_pool1d",
            (1, 1, 4),
            {"kernel_size": 9, "stride": 2, "ceil_mode": True},
            r"output L would be ceil\(\(4 \+ 2\*0 - 9\)/2\) \+ 1 = -1",
        ),
        (
            "max_pool2d",
            (4, 4),
            {"kernel_size": 2},
            r"max_pool2d: x has 2 dimensions \(4, 4\), expected \(N, C, H, W\) or \(C, H, W\)",
        ),
        (
            "max_pool3d",
            (0, 2, 2, 2),
            {"kernel_size": 1},
            r"max_pool3d: x has no channels \(1, 0, 2, 2, 2\), expected at least 1",
        ),
        ("max_pool1d", (1, 1, 4), {"kernel_size": 2, "stride": 0}, "max_pool1d: stride is 0, expected at least 1"),
        ("avg_pool3d", (1, 1, 4, 4, 4), {"kernel_size": (2, 2)}, r"kernel_size is \(2, 2\), expected an int or 3 ints"),
        ("avg_pool2d", (1, 1, 4, 4), {"kernel_size": 2, "divisor_override": 0}, "divisor_override is 0"),
        ("adaptive_avg_pool2d", (4, 4), {"output_size": 2}, "adaptive_avg_pool2d: x has 2 dimensions"),
        (
            "adaptive_avg_pool2d",
            (1, 4, 4),
            {"output_size": (2, 2, 2)},
            r"adaptive_avg_pool2d: output_size is \(2, 2, 2\), expected an int or 2",
        ),
        (
            "adaptive_max_pool2d",
            (1, 4, 4),
            {"output_size": (2, -1)},
            "adaptive_max_pool2d: output_size is .*, expected at least 0",
        ),
        (
            "adaptive_avg_pool1d",
            (1, 4, 0),
            {"output_size": 2},
            "adaptive_avg_pool1d: x is .* expected spatial dimensions of at least 1",
        ),
    ],
)
def test_errors(name, shape, kwargs, message):
    raises_alike(getattr(pool, name), getattr(F, name), np.zeros(shape), match=message, **kwargs)


@pytest.mark.parametrize("number", [2, np.int8(2), np.array(2), [np.int64(2), 2], (2, np.array(2))])
@pytest.mark.parametrize("op", [pool.max_pool2d, pool.avg_pool2d])
def test_numbers_of_any_integer_type(op, number):
    gradients = []
    for given in (number, 2):
        input = Tensor(np.arange(81.0).reshape(1, 1, 9, 9)).requires_grad_()
        op(input, given, stride=given).sum().backward()
        gradients.append(input.grad.numpy())
    np.testing.assert_array_equal(*gradients)


def test_integers_are_refused():
    with pytest.raises(TypeError, match="avg_pool2d: x is int64, expected a floating point dtype"):
        pool.avg_pool2d(np.zeros((1, 1, 4, 4), np.int64), 2)

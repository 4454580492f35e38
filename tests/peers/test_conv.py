"""Convolutions and transposed convolutions against PyTorch: values, gradients of two orders, errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from peers.compare import compare, raises_alike
from tinygrad_cnn.ops import conv, pool
from tinygrad_cnn.ops.conv import conv_input, conv_weight
from tinygrad_cnn.tensor import Tensor

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")
F = torch.nn.functional


def draw(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


# (input, weight, arguments)
CASES_1D = [
    ((2, 3, 9), (4, 3, 3), {}),
    ((3, 9), (4, 3, 3), {"stride": 2, "padding": 1}),
    ((2, 4, 9), (6, 2, 2), {"groups": 2, "dilation": 3}),
    ((2, 4, 9), (4, 1, 4), {"groups": 4, "padding": "same"}),
    ((2, 3, 9), (4, 3, 1), {"stride": [3], "padding": "valid"}),
    ((0, 3, 9), (4, 3, 3), {}),
]
CASES_2D = [
    ((2, 3, 7, 8), (4, 3, 3, 3), {}),
    ((2, 3, 7, 8), (4, 3, 3, 3), {"stride": 2}),
    ((2, 3, 7, 8), (4, 3, 3, 3), {"stride": (2, 3), "padding": (2, 1)}),
    ((2, 3, 7, 8), (4, 3, 2, 3), {"padding": 1, "dilation": (3, 2)}),
    ((2, 3, 7, 8), (4, 3, 3, 3), {"padding": "same"}),
    ((2, 3, 7, 8), (4, 3, 2, 4), {"padding": "same"}),
    ((2, 3, 7, 8), (4, 3, 4, 3), {"padding": "same", "dilation": (1, 2)}),
    ((2, 3, 7, 8), (4, 3, 3, 3), {"padding": "valid", "stride": 2}),
    ((2, 4, 6, 6), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 4, 6, 6), (8, 1, 3, 3), {"groups": 4, "stride": 2, "padding": 1}),
    ((2, 4, 6, 6), (4, 2, 2, 2), {"groups": 2, "padding": "same"}),
    ((3, 7, 8), (4, 3, 3, 3), {"padding": 1}),
    ((3, 7, 8), (4, 3, 2, 2), {"padding": "same"}),
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((1, 1, 3, 3), (2, 1, 3, 3), {}),
    ((1, 2, 3, 3), (2, 2, 5, 5), {"padding": 3}),
    ((2, 3, 5, 5), (4, 3, 1, 1), {"padding": 2, "stride": 3}),
    ((2, 3, 10, 10), (4, 3, 3, 3), {"stride": 4, "dilation": 2}),
    ((0, 3, 7, 8), (4, 3, 3, 3), {"padding": 1}),
]
CASES_3D = [
    ((2, 2, 4, 5, 6), (3, 2, 2, 3, 3), {}),
    ((2, 2, 4, 5, 6), (3, 2, 2, 2, 3), {"stride": (1, 2, 2), "padding": (1, 0, 1), "dilation": (2, 1, 1)}),
    ((2, 4, 3, 3, 3), (4, 2, 2, 3, 2), {"groups": 2, "padding": "same"}),
    ((2, 4, 5, 6), (3, 2, 2, 3, 3), {"stride": 2}),
]
TRANSPOSED_1D = [
    ((2, 3, 5), (3, 4, 3), {}),
    ((3, 5), (3, 2, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 4, 5), (4, 3, 2), {"groups": 2, "dilation": 2}),
    ((2, 3, 4), (3, 2, 3), {"dilation": 3, "output_padding": 2}),
]
TRANSPOSED_2D = [
    ((2, 3, 4, 5), (3, 4, 3, 3), {}),
    ((2, 3, 4, 5), (3, 4, 3, 3), {"stride": 2}),
    ((2, 3, 4, 5), (3, 4, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 3, 4, 5), (3, 4, 2, 3), {"stride": (3, 2), "padding": (0, 1), "output_padding": (2, 0)}),
    ((2, 3, 4, 5), (3, 4, 3, 2), {"dilation": (2, 3)}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"stride": 1, "dilation": 3, "output_padding": 2, "padding": 1}),
    ((2, 4, 4, 4), (4, 3, 3, 3), {"groups": 2, "stride": 2}),
    ((2, 4, 4, 4), (4, 1, 2, 2), {"groups": 4, "stride": 2}),
    ((3, 4, 5), (3, 4, 3, 3), {"stride": 2, "padding": 2}),
    ((0, 3, 4, 5), (3, 4, 3, 3), {}),
]
TRANSPOSED_3D = [
    ((1, 2, 3, 3, 2), (2, 3, 2, 3, 2), {}),
    ((2, 2, 3, 3, 2), (2, 3, 2, 3, 2), {"stride": (2, 1, 2), "padding": (0, 1, 0), "output_padding": (1, 0, 1)}),
    ((2, 3, 3, 2), (2, 3, 2, 2, 2), {"stride": 2}),
]
CASES = {
    "conv1d": CASES_1D,
    "conv2d": CASES_2D,
    "conv3d": CASES_3D,
    "conv_transpose1d": TRANSPOSED_1D,
    "conv_transpose2d": TRANSPOSED_2D,
    "conv_transpose3d": TRANSPOSED_3D,
}
ROWS = [
    pytest.param(name, shape, weight, kwargs, id=f"{name}-{i}")
    for name, cases in CASES.items()
    for i, (shape, weight, kwargs) in enumerate(cases)
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize(("name", "shape", "weight", "kwargs"), ROWS)
def test_values_and_gradients(name, shape, weight, kwargs):
    bias = weight[1] * kwargs.get("groups", 1) if "transpose" in name else weight[0]
    ours, theirs = getattr(conv, name), getattr(F, name)
    compare(ours, theirs, draw(*shape), draw(*weight), draw(bias), **kwargs)
    compare(ours, theirs, draw(*shape), draw(*weight), orders=1, float32=False, **kwargs)


@pytest.mark.parametrize("needs", [n for n in itertools.product([True, False], repeat=3) if any(n)])
@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_any_subset_of_gradients(name, needs):
    arrays = draw(2, 3, 5, 5), draw(3, 3, 3, 3), draw(3)

    def gradients(function, leaf, backward):
        xs = [leaf(a.copy()).requires_grad_(n) for a, n in zip(arrays, needs, strict=True)]
        backward(function(*xs, padding=1))
        return [None if x.grad is None else np.asarray(x.grad.detach().numpy()) for x in xs]

    ours = gradients(getattr(conv, name), Tensor, lambda y: y.backward(Tensor(np.ones(y.shape))))
    theirs = gradients(getattr(F, name), torch.from_numpy, lambda y: y.backward(torch.ones_like(y)))
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "weight", "kwargs"),
    [(s, w, k) for s, w, k in CASES_2D if len(s) == 4 and s[0] and k.get("padding") != "same"],
)
def test_the_adjoint_ops_against_torch_nn_grad(shape, weight, kwargs):
    x, w = draw(*shape), draw(*weight)
    arguments = {k: v for k, v in kwargs.items() if v != "valid"}
    y = F.conv2d(torch.from_numpy(x), torch.from_numpy(w), **kwargs)
    compare(
        lambda g, w: conv_input(g, w, shape, **kwargs),
        lambda g, w: torch.nn.grad.conv2d_input(shape, w, g, **arguments),
        draw(*y.shape),
        w,
    )
    compare(
        lambda x, g: conv_weight(x, g, weight, **kwargs),
        lambda x, g: torch.nn.grad.conv2d_weight(x, weight, g, **arguments),
        x,
        draw(*y.shape),
    )


def test_arrays_that_are_laid_out_otherwise():
    x = np.broadcast_to(draw(1, 3, 1, 6), (2, 3, 6, 6))
    x.flags.writeable = False
    w = np.asfortranarray(draw(4, 3, 3, 3))[::-1]
    ours = conv.conv2d(x, w, padding=1)
    theirs = F.conv2d(torch.from_numpy(x.copy()), torch.from_numpy(w.copy()), padding=1)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("number", [2, np.int8(2), np.array(2), [np.int64(2), 2], (2, np.array(2))])
def test_numbers_of_any_integer_type(number):
    weight = Tensor(np.ones((1, 1, 3, 3)))
    for name in ("stride", "padding", "dilation"):
        gradients = []
        for given in (number, 2):
            input = Tensor(np.ones((1, 1, 9, 9))).requires_grad_()
            conv.conv2d(input, weight, **{name: given}).sum().backward()
            gradients.append(input.grad.numpy())
        np.testing.assert_array_equal(*gradients)


def test_integers_stay_integers():
    x, w = np.arange(2 * 25).reshape(1, 2, 5, 5), np.arange(18).reshape(1, 2, 3, 3)
    compare(conv.conv2d, F.conv2d, x, w, padding=1)


@pytest.mark.parametrize(
    ("name", "shapes", "kwargs", "message"),
    [
        (
            "conv2d",
            [(8, 3, 28, 28), (6, 1, 3, 3)],
            {},
            r"conv2d: x has 3 channels \(8, 3, 28, 28\), weight expects 1 \(6, 1, 3, 3\) — at .*compare.py:\d+",
        ),
        (
            "conv2d",
            [(8, 3, 9, 9), (6, 2, 3, 3)],
            {"groups": 2},
            r"x has 3 channels \(8, 3, 9, 9\), weight expects 4 \(6, 2, 3, 3\) with groups=2",
        ),
        (
            "conv2d",
            [(1, 1, 4, 4), (1, 1, 3, 5)],
            {"stride": 2},
            r"conv2d: kernel \(3, 5\) does not fit x \(1, 1, 4, 4\): output W would be \(4 \+ 2\*0 - 5\)//2 \+ 1 = 0, "
            "expected at least 1",
        ),
        (
            "conv1d",
            [(1, 1, 4), (1, 1, 3)],
            {"dilation": 2},
            r"conv1d: kernel \(3,\) with dilation \(2,\) does not fit x \(1, 1, 4\): output L would be "
            r"\(4 \+ 2\*0 - 5\)//1 \+ 1 = 0",
        ),
        ("conv2d", [(1, 1, 4, 4), (1, 1, 3)], {}, r"conv2d: weight has 3 dimensions \(1, 1, 3\), expected 4"),
        ("conv2d", [(4, 4), (1, 1, 3, 3)], {}, r"x has 2 dimensions \(4, 4\), expected \(N, C, H, W\) or \(C, H, W\)"),
        (
            "conv3d",
            [(1, 1, 4, 4, 4), (3, 1, 2, 2, 2)],
            {"groups": 2},
            "groups is 2, expected a divisor of weight's first",
        ),
        ("conv2d", [(1, 1, 4, 4), (2, 1, 3, 3), (3,)], {}, r"bias is \(3,\), weight \(2, 1, 3, 3\) expects \(2,\)"),
        ("conv2d", [(1, 1, 4, 4), (1, 1, 3, 3)], {"stride": 0}, "stride is 0, expected at least 1"),
        ("conv2d", [(1, 1, 4, 4), (1, 1, 3, 3)], {"padding": -1}, "padding is -1, expected at least 0"),
        (
            "conv2d",
            [(1, 1, 4, 4), (1, 1, 3, 3)],
            {"padding": (1, 1, 1)},
            r"padding is \(1, 1, 1\), expected an int or 2",
        ),
        ("conv2d", [(1, 1, 4, 4), (1, 1, 3, 3)], {"padding": 0.5}, "padding is 0.5, expected an int or 2 ints"),
        (
            "conv2d",
            [(1, 1, 4, 4), (1, 1, 3, 3)],
            {"padding": "full"},
            "padding is 'full', expected numbers, 'same' or 'valid'",
        ),
        ("conv2d", [(1, 1, 4, 4), (1, 1, 3, 3)], {"padding": "same", "stride": 2}, "'same' expects stride 1"),
        (
            "conv_transpose2d",
            [(1, 2, 4, 4), (3, 1, 3, 3)],
            {},
            r"conv_transpose2d: x has 2 channels .* weight expects 3",
        ),
        (
            "conv_transpose2d",
            [(1, 3, 4, 4), (3, 1, 3, 3)],
            {"output_padding": 1},
            "output_padding is .*, expected less than",
        ),
        (
            "conv_transpose1d",
            [(1, 3, 1), (3, 1, 2)],
            {"padding": 1},
            r"output L would be \(1 - 1\)\*1 - 2\*1 \+ 1 \+ 0 \+ 1 = 0, expected at least 1",
        ),
    ],
)
def test_errors(name, shapes, kwargs, message):
    raises_alike(getattr(conv, name), getattr(F, name), *map(np.zeros, shapes), match=message, **kwargs)


def test_mixed_dtypes_are_refused():
    x, w = np.zeros((1, 1, 4, 4), np.float32), np.zeros((1, 1, 3, 3))
    raises_alike(conv.conv2d, F.conv2d, x, w, match="conv2d: x is float32, weight is float64, expected one dtype")


@pytest.mark.parametrize("name", ["stride", "padding", "dilation"])
def test_what_was_right_before_lets_no_float_pass(name: str) -> None:
    """(1.0, 1.0) is equal to (1, 1), whose geometry is known by then."""
    x, w = np.ones((1, 1, 6, 6), np.float32), np.ones((1, 1, 3, 3), np.float32)
    for known in (1, (1, 1), [1, 1], np.int64(1), True):
        conv.conv2d(x, w, **{name: known})
        pool.max_pool2d(x, 3, **{name: known})
    for wrong in (1.0, (1.0, 1.0), (1, 1.0)):
        with pytest.raises(TypeError, match=f"{name} is "):
            conv.conv2d(x, w, **{name: wrong})
        with pytest.raises(TypeError, match=f"{name} is "):
            pool.max_pool2d(x, 3, **{name: wrong})


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize(("channels", "kernel"), [(5, 3), (8, 1)])
def test_transposed_convolutions_of_many_images_with_output_padding(size: int, channels: int, kernel: int) -> None:
    """With dilation it may be as large as the stride; then fewer outputs have a gradient than the window passes."""
    x, w = draw(8, 8, size, size), draw(8, channels, kernel, kernel)
    compare(conv.conv_transpose2d, F.conv_transpose2d, x, w, orders=1, dilation=2, output_padding=1)

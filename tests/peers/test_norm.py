"""Normalisations against PyTorch: values, gradients of two orders, running averages, errors."""

from __future__ import annotations

import numpy as np
import pytest

from peers.compare import compare, raises_alike
from tinygrad_cnn.ops.norm import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)
from tinygrad_cnn.tensor import Tensor

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")
F = torch.nn.functional

BOUND = 1e-11  # of second derivatives of quotients


def draw(*shape):
    return np.random.default_rng(shape).standard_normal(shape) * 2 + 0.5


def positive(*shape):
    return np.random.default_rng(shape).uniform(0.5, 2, shape)


# ---- batch norm --------------------------------------------------------------------------------------------

BATCHES = [(4, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2), (1, 3, 4, 4), (2, 1, 3, 3)]


def normed(norm):
    """batch norm without running averages, its arguments in an order that `compare` can fill."""
    return lambda x, weight=None, bias=None, **kwargs: norm(x, None, None, weight, bias, True, **kwargs)


@pytest.mark.parametrize("shape", BATCHES)
def test_batch_norm_in_training(shape):
    c = shape[1]
    ours, theirs = normed(batch_norm), normed(F.batch_norm)
    compare(ours, theirs, draw(*shape), draw(c), positive(c), bound=BOUND)
    compare(ours, theirs, draw(*shape), bound=BOUND, eps=0.1)
    compare(ours, theirs, draw(*shape), weight=draw(c), bound=BOUND)
    compare(ours, theirs, draw(*shape), bias=draw(c), bound=BOUND, orders=1)  # PyTorch fails at order 2


def test_batch_norm_to_the_third_order():
    def formula(x, weight, bias):  # PyTorch's own batch_norm is wrong at order 3
        mean, var = x.mean((0, 2)), x.var((0, 2), correction=0)
        return ((x - mean[:, None]) / (var[:, None] + 1e-5).sqrt()) * weight[:, None] + bias[:, None]

    x, w, b = draw(3, 2, 2), draw(2), draw(2)
    compare(normed(batch_norm), formula, x, w, b, orders=3, bound=1e-11, float32=False)


@pytest.mark.parametrize("shape", BATCHES)
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_in_evaluation(shape, affine):
    c = shape[1]
    mean, var = draw(c), positive(c)
    scale = (draw(c), positive(c)) if affine else ()

    def ours(x, *scale):
        return batch_norm(x, Tensor(mean.astype(x.dtype)), Tensor(var.astype(x.dtype)), *scale, training=False)

    def theirs(x, *scale):
        return F.batch_norm(x, torch.tensor(mean).to(x.dtype), torch.tensor(var).to(x.dtype), *scale, training=False)

    compare(ours, theirs, draw(*shape), *scale, bound=BOUND)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0])
def test_batch_norm_moves_the_running_averages(dtype, momentum):
    x = draw(4, 3, 5).astype(dtype)
    start = draw(3).astype(dtype), positive(3).astype(dtype)
    ours = [Tensor(a.copy()) for a in start]
    theirs = [torch.from_numpy(a.copy()) for a in start]
    for _ in range(2):
        batch_norm(Tensor(x), *ours, training=True, momentum=momentum)
        F.batch_norm(torch.from_numpy(x), *theirs, training=True, momentum=momentum)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a.array, b.numpy(), rtol=1e-5 if dtype == np.float32 else 1e-12)


def test_batch_norm_of_nothing_leaves_the_running_averages():
    mean, var = Tensor(np.ones(3)), Tensor(np.ones(3))
    assert batch_norm(Tensor(np.ones((0, 3, 2, 2))), mean, var, training=True).shape == (0, 3, 2, 2)
    assert (mean.array == 1).all()
    assert (var.array == 1).all()


def test_batch_norm_of_nothing_at_all():
    compare(batch_norm, F.batch_norm, np.ones(0), None, None, training=True)


def test_evaluation_does_not_see_a_later_training_step():
    x = Tensor(draw(4, 3)).requires_grad_()
    mean, var = Tensor(draw(3)), Tensor(positive(3))
    out = batch_norm(x, mean, var, Tensor(draw(3)).requires_grad_(), training=False)
    expected = draw(3) / np.sqrt(var.array + 1e-5)
    batch_norm(x, mean, var, training=True)
    out.backward(Tensor(np.ones((4, 3))))
    np.testing.assert_allclose(x.grad.array, np.broadcast_to(expected, (4, 3)), rtol=1e-12)


def test_batch_norm_far_from_zero_stays_exact():
    x = (draw(64, 2, 8, 8) + 1e4).astype(np.float32)
    out = batch_norm(Tensor(x), None, None, training=True).array
    y = x.astype(np.float64)
    expected = (y - y.mean((0, 2, 3), keepdims=True)) / np.sqrt(y.var((0, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(out, expected, atol=2e-3)


def test_batch_norm_is_one_node_in_training():
    x = Tensor(draw(4, 3)).requires_grad_()
    out = batch_norm(x, None, None, training=True)
    assert (out.node.op.name, out.node.label[0], out.node.edges) == ("batch_norm", "batch_norm", (x, None, None))


# ---- the other norms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "normalized"),
    [
        ((4, 5), (5,)),
        ((2, 3, 4), (4,)),
        ((2, 3, 4), (3, 4)),
        ((2, 3, 4), (2, 3, 4)),
        ((6,), (6,)),
        ((3, 1), (1,)),
        ((0, 4), (4,)),
    ],
)
def test_layer_and_rms_norm(shape, normalized):
    x, w, b = draw(*shape), draw(*normalized), positive(*normalized)
    compare(layer_norm, F.layer_norm, x, normalized, w, b, bound=BOUND)
    compare(layer_norm, F.layer_norm, x, normalized, eps=0.1, bound=BOUND)
    compare(layer_norm, F.layer_norm, x, normalized, None, b, bound=BOUND, orders=1)  # PyTorch fails at order 2
    compare(rms_norm, F.rms_norm, x, normalized, w, bound=BOUND)
    compare(rms_norm, F.rms_norm, x, normalized, eps=0.1, bound=BOUND)


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((2, 6), 3), ((2, 6, 4), 1), ((2, 6, 3, 4), 2), ((2, 6, 3, 4), 6), ((1, 4, 2, 2, 2), 2), ((0, 4, 3), 2)],
)
def test_group_norm(shape, groups):
    x, w, b = draw(*shape), draw(shape[1]), positive(shape[1])
    compare(group_norm, F.group_norm, x, groups, w, b, bound=BOUND)
    compare(group_norm, F.group_norm, x, groups, eps=0.1, bound=BOUND)
    compare(group_norm, F.group_norm, x, groups, weight=w, bound=BOUND)


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5), (1, 2, 3, 2, 2)])
def test_instance_norm(shape):
    c = shape[1]
    x, w, b = draw(*shape), draw(c), positive(c)
    compare(instance_norm, F.instance_norm, x, bound=BOUND)
    compare(instance_norm, F.instance_norm, x, weight=w, bias=b, eps=0.1, bound=BOUND)


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5)])
def test_instance_norm_with_running_averages(shape):
    x, mean, var = draw(*shape), draw(3), positive(3)
    ours, theirs = (Tensor(mean.copy()), Tensor(var.copy())), (torch.tensor(mean), torch.tensor(var))
    for own in (True, False):
        a = instance_norm(Tensor(x), *ours, use_input_stats=own, momentum=0.3)
        b = F.instance_norm(torch.from_numpy(x), *theirs, use_input_stats=own, momentum=0.3)
        np.testing.assert_allclose(a.array, b.numpy(), rtol=1e-11, atol=1e-11)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.array, b.numpy(), rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 5, 4), (2, 5, 3, 4), (2, 5, 2, 3, 2)])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_local_response_norm(shape, size):
    compare(local_response_norm, F.local_response_norm, draw(*shape), size, bound=BOUND)
    compare(local_response_norm, F.local_response_norm, draw(*shape), size, 0.5, 0.6, 2.0, bound=BOUND)


# ---- errors ------------------------------------------------------------------------------------------------


def test_errors_of_batch_norm():
    train = {"training": True}
    for shape in ((1, 3), (1, 3, 1, 1)):
        raises_alike(
            normed(batch_norm),
            normed(F.batch_norm),
            np.ones(shape),
            match=r"batch_norm: x is \(1, 3.*\), expected more than 1 value per channel when training — at ",
        )
    x = np.ones((4, 3, 5))
    raises_alike(batch_norm, F.batch_norm, x, None, None, match="running_mean or running_var is None")
    raises_alike(
        batch_norm,
        F.batch_norm,
        x,
        None,
        None,
        np.ones(4),
        **train,
        match=r"batch_norm: weight is \(4,\), x \(4, 3, 5\) expects \(3,\)",
    )
    mean = np.ones(4, np.float32)
    with pytest.raises(ValueError, match=r"batch_norm: running_mean is \(4,\), x \(4, 3, 5\) expects \(3,\)"):
        batch_norm(Tensor(x), Tensor(mean), Tensor(mean))
    with pytest.raises(TypeError, match="batch_norm: x is int64, expected a floating point dtype"):
        batch_norm(Tensor(np.ones((4, 3), np.int64)), None, None, training=True)
    with pytest.raises(TypeError, match="layer_norm: x is int64, expected a floating point dtype"):
        layer_norm(Tensor(np.ones((4, 3), np.int64)), 3)
    with pytest.raises(ValueError, match=r"batch_norm: x has 1 dimensions \(4,\), expected at least 2"):
        batch_norm(Tensor(np.ones(4)), None, None, training=True)


@pytest.mark.parametrize(
    ("ours", "theirs", "shape", "args", "message"),
    [
        (
            layer_norm,
            F.layer_norm,
            (2, 3),
            [(4,)],
            r"layer_norm: normalized_shape is \(4,\), x \(2, 3\) does not end in it",
        ),
        (
            layer_norm,
            F.layer_norm,
            (2, 3),
            [(3,), np.ones(2)],
            r"layer_norm: weight is \(2,\), expected normalized_shape",
        ),
        (rms_norm, F.rms_norm, (2, 3), [(2, 2)], r"rms_norm: normalized_shape is \(2, 2\)"),
        (group_norm, F.group_norm, (2, 3, 4), [2], "group_norm: num_groups is 2, expected a divisor of the 3 channels"),
        (group_norm, F.group_norm, (1, 3, 1), [3], "group_norm: x is .*, expected more than 1 value per group"),
        (
            instance_norm,
            F.instance_norm,
            (2, 3, 1),
            [],
            "instance_norm: x is .*, expected more than 1 value per channel and",
        ),
        (local_response_norm, F.local_response_norm, (2, 3), [2], "local_response_norm: x has 2 dimensions"),
        (
            local_response_norm,
            F.local_response_norm,
            (2, 3, 4),
            [0],
            "local_response_norm: size is 0, expected at least 1",
        ),
    ],
)
def test_errors_of_the_others(ours, theirs, shape, args, message):
    raises_alike(ours, theirs, np.ones(shape), *args, match=message)

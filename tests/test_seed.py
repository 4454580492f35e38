"""The seed's layers, written as plain loops, against the ops: values and gradients to 1e-9 in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import optim
from tinygrad_cnn.train import build

Array = np.ndarray
EXACT = {"rtol": 0, "atol": 1e-9}


# ---- the layers as loops, one image or sample at a time ----


def convolve(image: Array, filters: Array) -> Array:
    """image (C, H, W), filters (O, C, 3, 3) -> (O, H - 2, W - 2)"""
    count, channels, height, width = len(filters), len(image), *image.shape[1:]
    out = np.zeros((count, height - 2, width - 2))
    for f in range(count):
        for i in range(height - 2):
            for j in range(width - 2):
                for c in range(channels):
                    for r in range(3):
                        for s in range(3):
                            out[f, i, j] += filters[f, c, r, s] * image[c, i + r, j + s]
    return out


def convolve_backward(g: Array, image: Array, filters: Array) -> tuple[Array, Array]:
    """The gradients of the image and of the filters, for the gradient g (O, H - 2, W - 2) of the result."""
    to_image, to_filters = np.zeros_like(image), np.zeros_like(filters)
    for f in range(len(filters)):
        for i in range(g.shape[1]):
            for j in range(g.shape[2]):
                for c in range(len(image)):
                    for r in range(3):
                        for s in range(3):
                            to_image[c, i + r, j + s] += g[f, i, j] * filters[f, c, r, s]
                            to_filters[f, c, r, s] += g[f, i, j] * image[c, i + r, j + s]
    return to_image, to_filters


def pool(maps: Array) -> Array:
    """(O, H, W) -> (O, H // 2, W // 2), the largest of each 2x2 block"""
    out = np.zeros((maps.shape[0], maps.shape[1] // 2, maps.shape[2] // 2))
    for f, i, j in np.ndindex(*out.shape):
        out[f, i, j] = max(maps[f, 2 * i + r, 2 * j + s] for r in range(2) for s in range(2))
    return out


def pool_backward(g: Array, maps: Array) -> Array:
    """Each gradient goes to the first largest element of its block."""
    to_maps = np.zeros_like(maps)
    for f, i, j in np.ndindex(*g.shape):
        places = [(2 * i + r, 2 * j + s) for r in range(2) for s in range(2)]
        row, column = max(places, key=lambda place: maps[f, place[0], place[1]])
        to_maps[f, row, column] += g[f, i, j]
    return to_maps


def connect(x: Array, weight: Array) -> Array:
    """(D,), (K, D) -> (K,)"""
    return np.array([sum(weight[k, d] * x[d] for d in range(len(x))) for k in range(len(weight))])


def connect_backward(g: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    to_x, to_weight = np.zeros_like(x), np.zeros_like(weight)
    for k, d in np.ndindex(*weight.shape):
        to_x[d] += g[k] * weight[k, d]
        to_weight[k, d] += g[k] * x[d]
    return to_x, to_weight


def softmax(scores: Array) -> Array:
    powers = [math.exp(score) for score in scores]
    return np.array([power / sum(powers) for power in powers])


def network(images: Array, labels: Array, filters: Array, weight: Array) -> tuple[float, Array, Array, Array]:
    """The mean loss, the probabilities, and the gradients of filters and weight: the whole seed, forward and back."""
    loss, shares = 0.0, []
    to_filters, to_weight = np.zeros_like(filters), np.zeros_like(weight)
    for image, label in zip(images, labels, strict=True):
        maps = convolve(image, filters)
        small = pool(maps)
        p = softmax(connect(small.ravel(), weight))
        shares.append(p)
        loss -= math.log(p[label]) / len(images)
        g = p.copy()
        g[label] -= 1  # the gradient of the softmax layer: p - onehot
        to_x, one = connect_backward(g / len(images), small.ravel(), weight)
        to_weight += one
        to_filters += convolve_backward(pool_backward(to_x.reshape(small.shape), maps), image, filters)[1]
    return loss, np.array(shares), to_filters, to_weight


# ---- the ops against them ----


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def leaf(array: Array) -> tg.Tensor:
    return tg.from_numpy(array.copy()).requires_grad_()


@pytest.mark.parametrize("channels", [1, 3])
def test_convolution(rng: np.random.Generator, channels: int) -> None:
    images, filters = rng.normal(size=(2, channels, 9, 8)), rng.normal(size=(6, channels, 3, 3))
    g = rng.normal(size=(2, 6, 7, 6))
    x, w = leaf(images), leaf(filters)
    out = F.conv2d(x, w)
    out.backward(tg.from_numpy(g))
    np.testing.assert_allclose(out.array, [convolve(image, filters) for image in images], **EXACT)
    pairs = [convolve_backward(g[n], images[n], filters) for n in range(2)]
    np.testing.assert_allclose(x.grad.numpy(), [pair[0] for pair in pairs], **EXACT)
    np.testing.assert_allclose(w.grad.numpy(), sum(pair[1] for pair in pairs), **EXACT)


@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
def test_max_pooling(rng: np.random.Generator, size: tuple[int, int]) -> None:
    maps = rng.integers(0, 4, size=(2, 3, *size)).astype(float)  # with ties
    x = leaf(maps)
    out = F.max_pool2d(x, 2)
    g = rng.normal(size=out.shape)
    out.backward(tg.from_numpy(g))
    np.testing.assert_allclose(out.array, [pool(m) for m in maps], **EXACT)
    np.testing.assert_allclose(x.grad.numpy(), [pool_backward(g[n], maps[n]) for n in range(2)], **EXACT)


def test_fully_connected(rng: np.random.Generator) -> None:
    inputs, weight, g = rng.normal(size=(3, 20)), rng.normal(size=(10, 20)), rng.normal(size=(3, 10))
    x, w = leaf(inputs), leaf(weight)
    out = F.linear(x, w)
    out.backward(tg.from_numpy(g))
    np.testing.assert_allclose(out.array, [connect(row, weight) for row in inputs], **EXACT)
    pairs = [connect_backward(g[n], inputs[n], weight) for n in range(3)]
    np.testing.assert_allclose(x.grad.numpy(), [pair[0] for pair in pairs], **EXACT)
    np.testing.assert_allclose(w.grad.numpy(), sum(pair[1] for pair in pairs), **EXACT)


def test_the_softmax_layers_gradient_is_p_minus_onehot(rng: np.random.Generator) -> None:
    scores, labels = rng.normal(size=(5, 10)) * 3, rng.integers(0, 10, size=5)
    z = leaf(scores)
    F.cross_entropy(z, tg.from_numpy(labels), reduction="sum").backward()
    p = np.array([softmax(row) for row in scores])
    np.testing.assert_allclose(F.softmax(tg.from_numpy(scores), dim=1).numpy(), p, **EXACT)
    np.testing.assert_allclose(z.grad.numpy(), p - np.eye(10)[labels], **EXACT)


def test_the_whole_network_and_three_steps_of_training(rng: np.random.Generator) -> None:
    model = build("seed", (1, 12, 12)).double()
    filters, weight = model.conv.weight.array.copy(), model.fc.weight.array.copy()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        images, labels = rng.normal(size=(4, 1, 12, 12)), rng.integers(0, 10, size=4)
        scores = model(tg.from_numpy(images))
        loss = F.cross_entropy(scores, tg.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        expected, p, to_filters, to_weight = network(images, labels, filters, weight)
        np.testing.assert_allclose(loss.item(), expected, **EXACT)
        np.testing.assert_allclose(F.softmax(scores, dim=1).array, p, **EXACT)
        np.testing.assert_allclose(model.conv.weight.grad.numpy(), to_filters, **EXACT)
        np.testing.assert_allclose(model.fc.weight.grad.numpy(), to_weight, **EXACT)
        optimizer.step()
        filters, weight = filters - 0.1 * to_filters, weight - 0.1 * to_weight
    np.testing.assert_allclose(model.conv.weight.array, filters, **EXACT)
    np.testing.assert_allclose(model.fc.weight.array, weight, **EXACT)

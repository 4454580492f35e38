"""Batch normalisation with the batch's own statistics (Ioffe and Szegedy, 2015), and its gradients."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_cnn.kernels.reference.windows import Array


def batch_norm(x: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of `x` (N, C, *S); also mean and var (C,).

    The variance is the biased one (divided by the number of elements), of the normalisation itself.

    >>> y, mean, var = batch_norm(np.array([[1.0], [3.0]]), None, None, 0.0)
    >>> y.ravel(), mean, var
    (array([-1.,  1.]), array([2.]), array([1.]))
    """
    lines = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))  # (N, C, *S) -> (N, C, S); -1 fails on an empty batch
    mean = _channel_mean(lines)
    centred = lines - mean[:, None]
    var = _channel_mean(centred * centred)
    scale = 1 / np.sqrt(var + x.dtype.type(eps))
    if weight is not None:
        scale = scale * weight
    centred *= scale[:, None]
    if bias is not None:
        centred += bias[:, None]
    return centred.reshape(x.shape), mean, var


def batch_norm_backward(
    g: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """The gradients of x (N, C, *S), weight (C,) and bias (C,); mean and var are those that `batch_norm` gave.

    >>> x, g = np.array([[1.0], [3.0]]), np.array([[1.0], [0.0]])
    >>> dx, dweight, dbias = batch_norm_backward(g, x, None, np.array([2.0]), np.array([1.0]), 0.0)
    >>> dx.ravel(), dweight, dbias
    (array([0., 0.]), array([-1.]), array([1.]))
    """
    lines, g = (a.reshape(*x.shape[:2], math.prod(x.shape[2:])) for a in (x, g))
    rstd = 1 / np.sqrt(var + x.dtype.type(eps))
    xhat = (lines - mean[:, None]) * rstd[:, None]
    mean_g, mean_gx = _channel_mean(g), _channel_mean(g * xhat)
    count = np.float64(x.size // max(1, x.shape[1]))
    scale = rstd if weight is None else rstd * weight
    dx = (g - mean_g[:, None] - xhat * mean_gx[:, None]) * scale[:, None]
    return dx.reshape(x.shape), (mean_gx * count).astype(x.dtype), (mean_g * count).astype(x.dtype)


def _channel_mean(lines: Array) -> Array:
    """(N, C, S) -> (C,). NumPy sums a line pairwise; the lines' sums are added in float64."""
    count = max(1, lines.shape[0] * lines.shape[2])
    half = np.float32 if lines.dtype == np.float16 else None  # in which the sum of a large image is inf
    mean: Array = lines.sum(axis=2, dtype=half).sum(axis=0, dtype=np.float64) / count
    return mean.astype(lines.dtype)

"""Softmax followed by cross-entropy, as one kernel: stable, and its gradient is a single expression."""

from __future__ import annotations

import numpy as np

from tinygrad_cnn.kernels.reference.windows import Array


def softmax_cross_entropy(z: Array, target: Array) -> Array:
    """-log softmax(z)[target] of each row: `z` (N, C) logits, `target` (N,) integers give (N,).

    Raises IndexError for a target outside 0..C-1.

    >>> softmax_cross_entropy(np.zeros((1, 4)), np.array([2])).round(4)
    array([1.3863])
    """
    check_target(z, target)
    shifted = z - z.max(axis=1, keepdims=True)
    losses: Array = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(z)), target]
    return losses


def softmax_cross_entropy_grad(z: Array, target: Array, g: Array) -> Array:
    """(softmax(z) - onehot(target)) * g: `z` (N, C), `target` (N,), `g` (N,) give (N, C).

    >>> softmax_cross_entropy_grad(np.zeros((1, 2)), np.array([1]), np.array([2.0]))
    array([[ 1., -1.]])
    """
    check_target(z, target)
    p: Array = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(z)), target] -= 1
    return p * g[:, None]


def check_target(z: Array, target: Array) -> None:
    """Raise IndexError unless every target is a column of `z`."""
    classes = z.shape[1]
    if len(target) and (target.min() < 0 or target.max() >= classes):
        row = int(((target < 0) | (target >= classes)).argmax())
        raise IndexError(
            f"softmax_cross_entropy: target[{row}] is {target[row]}, {classes} classes expect 0..{classes - 1}"
        )

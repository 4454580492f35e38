"""ReLU and its gradient. They are kernels, not plain NumPy in the op, because the fast set has its own."""

from __future__ import annotations

import numpy as np

from tinygrad_cnn.kernels.reference.windows import Array


def relu(x: Array) -> Array:
    """max(x, 0), any shape; NaN stays NaN.

    >>> relu(np.array([-1.0, 0.0, 2.0, np.nan]))
    array([ 0.,  0.,  2., nan])
    """
    out: Array = np.maximum(x, x.dtype.type(0))
    return out


def relu_grad(g: Array, out: Array) -> Array:
    """`g` where ReLU let its input through, 0 where `out` is 0; NaN in `out` lets g through, as PyTorch does.

    >>> relu_grad(np.array([5.0, 5.0]), np.array([0.0, 2.0]))
    array([0., 5.])
    """
    return np.where(out <= 0, g.dtype.type(0), g)

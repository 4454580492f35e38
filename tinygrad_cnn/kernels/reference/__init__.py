"""The reference kernels: plain NumPy, any float dtype, any number of spatial dimensions.

They are what the fast kernels are held against, and what runs where Numba is missing.
"""

from tinygrad_cnn.kernels.reference.conv import conv, conv_backward, conv_input, conv_weight
from tinygrad_cnn.kernels.reference.elementwise import relu, relu_grad
from tinygrad_cnn.kernels.reference.loss import softmax_cross_entropy, softmax_cross_entropy_grad
from tinygrad_cnn.kernels.reference.norm import batch_norm, batch_norm_backward
from tinygrad_cnn.kernels.reference.optim import adam_step, sgd_step
from tinygrad_cnn.kernels.reference.pool import (
    avg_pool,
    avg_pool_input,
    max_pool,
    max_pool_flat_indices,
    max_pool_gather,
    max_pool_scatter,
)

__all__ = [
    "adam_step",
    "avg_pool",
    "avg_pool_input",
    "batch_norm",
    "batch_norm_backward",
    "conv",
    "conv_backward",
    "conv_input",
    "conv_weight",
    "max_pool",
    "max_pool_flat_indices",
    "max_pool_gather",
    "max_pool_scatter",
    "relu",
    "relu_grad",
    "sgd_step",
    "softmax_cross_entropy",
    "softmax_cross_entropy_grad",
]

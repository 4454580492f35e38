"""Kernels: ndarrays in, ndarrays out. This is the only module of the folder that ops and optimizers import.

Spatial parameters (stride, padding, dilation, kernel_size) are tuples with one int per spatial dimension;
one, two or three dimensions. Arguments are taken as right: the ops check them and word the errors.
"""

from tinygrad_cnn.kernels.dispatch import (
    adam_step,
    are_columns,
    avg_pool,
    avg_pool_input,
    batch_norm,
    batch_norm_backward,
    conv,
    conv_backward,
    conv_input,
    conv_weight,
    get_kernels,
    linear,
    max_pool,
    max_pool_scatter,
    relu,
    relu_grad,
    set_kernels,
    sgd_step,
    softmax_cross_entropy,
    softmax_cross_entropy_grad,
)
from tinygrad_cnn.kernels.linear import matmul
from tinygrad_cnn.kernels.memory import reuse_memory
from tinygrad_cnn.kernels.reference import max_pool_flat_indices, max_pool_gather
from tinygrad_cnn.kernels.sizes import conv_output_size, pool_output_size
from tinygrad_cnn.kernels.threads import get_num_threads, set_num_threads

__all__ = [
    "adam_step",
    "are_columns",
    "avg_pool",
    "avg_pool_input",
    "batch_norm",
    "batch_norm_backward",
    "conv",
    "conv_backward",
    "conv_input",
    "conv_output_size",
    "conv_weight",
    "get_kernels",
    "get_num_threads",
    "linear",
    "matmul",
    "max_pool",
    "max_pool_flat_indices",
    "max_pool_gather",
    "max_pool_scatter",
    "pool_output_size",
    "relu",
    "relu_grad",
    "reuse_memory",
    "set_kernels",
    "set_num_threads",
    "sgd_step",
    "softmax_cross_entropy",
    "softmax_cross_entropy_grad",
]

"""tinygrad_cnn: autograd, CNNs made of ops, drawn graphs and property-tested gradients, on NumPy.

`import tinygrad_cnn as tg` brings Tensor, the ops, `nn`, `optim`, `autograd` and `func`. The rooms that import heavier
packages (`data`, `graph`, `plot`, `testing`, `train`) are imported when they are first named.
"""

from __future__ import annotations

from tinygrad_cnn import interrupt  # noqa: F401  (first, so that Ctrl-C in the command is clean from here on)

# isort: split
import importlib
from math import e, inf, nan, pi
from typing import TYPE_CHECKING, Any

from numpy import finfo, iinfo

from tinygrad_cnn import autograd, backends, creation, func, kernels, linalg, nn, ops, optim, random, serialization
from tinygrad_cnn.absent import absent
from tinygrad_cnn.autograd import (
    Node,
    broadcast_to,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from tinygrad_cnn.backends import (
    accelerator,
    channels_last,
    contiguous_format,
    cuda,
    preserve_format,
    set_float32_matmul_precision,
    use_deterministic_algorithms,
)
from tinygrad_cnn.creation import *
from tinygrad_cnn.dtypes import (
    bool,
    double,
    float,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    int,
    int8,
    int16,
    int32,
    int64,
    long,
    result_type,
    set_default_dtype,
    short,
    uint8,
)
from tinygrad_cnn.kernels.threads import get_num_threads, set_num_threads
from tinygrad_cnn.ops.activation import *
from tinygrad_cnn.ops.comparison import *
from tinygrad_cnn.ops.conv import *
from tinygrad_cnn.ops.elementwise import *
from tinygrad_cnn.ops.index import *
from tinygrad_cnn.ops.linear import *
from tinygrad_cnn.ops.loss import *
from tinygrad_cnn.ops.norm import *
from tinygrad_cnn.ops.pool import *
from tinygrad_cnn.ops.reduce import *
from tinygrad_cnn.ops.shape import *
from tinygrad_cnn.ops.trigonometry import *
from tinygrad_cnn.random import *
from tinygrad_cnn.serialization import *
from tinygrad_cnn.tensor import Tensor, device

if TYPE_CHECKING:
    from tinygrad_cnn import data, graph, plot, testing, train, utils
    from tinygrad_cnn.graph import trap

__version__ = "0.1.0"

_LAZY = ("data", "graph", "plot", "testing", "train", "utils")

__all__ = [
    "Node", "Tensor", "accelerator", "autograd", "backends", "bool", "broadcast_to", "channels_last",
    "contiguous_format", "cuda", "data", "device", "double", "e", "enable_grad", "finfo", "float", "float16",
    "float32", "float64", "func", "get_default_dtype", "get_num_threads", "graph", "half", "iinfo", "inf",
    "inference_mode", "int", "int16", "int32", "int64", "int8", "is_grad_enabled", "is_inference_mode_enabled",
    "kernels", "linalg", "long", "nan", "nn", "no_grad", "ops", "optim", "pi", "plot", "preserve_format", "random",
    "result_type", "set_default_dtype", "set_float32_matmul_precision", "set_grad_enabled", "set_num_threads", "short",
    "testing", "train", "trap", "uint8", "use_deterministic_algorithms", "utils",
]  # fmt: skip
__all__ += creation.__all__
__all__ += [name for name in ops.__all__ if name not in ("broadcast_to", "cast", "sum_to")]
__all__ += random.__all__
__all__ += serialization.__all__
__all__.sort()


if not TYPE_CHECKING:  # a type checker sees the imports above

    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            return importlib.import_module(f"tinygrad_cnn.{name}")
        if name == "trap":
            return importlib.import_module("tinygrad_cnn.graph").trap
        raise absent(__name__, name)

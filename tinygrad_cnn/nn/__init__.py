"""Modules: layers with parameters, the containers that put them together, and what initialises and clips them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_cnn.absent import absent
from tinygrad_cnn.nn import (
    activation,
    container,
    conv,
    dropout,
    functional,
    init,
    linear,
    loss,
    module,
    norm,
    parameter,
    pool,
    upsample,
    utils,
)
from tinygrad_cnn.nn.activation import *
from tinygrad_cnn.nn.container import *
from tinygrad_cnn.nn.conv import *
from tinygrad_cnn.nn.dropout import *
from tinygrad_cnn.nn.linear import *
from tinygrad_cnn.nn.loss import *
from tinygrad_cnn.nn.module import *
from tinygrad_cnn.nn.norm import *
from tinygrad_cnn.nn.parameter import *
from tinygrad_cnn.nn.pool import *
from tinygrad_cnn.nn.upsample import *

__all__ = ["functional", "init", "utils"]
__all__ += activation.__all__
__all__ += container.__all__
__all__ += conv.__all__
__all__ += dropout.__all__
__all__ += linear.__all__
__all__ += loss.__all__
__all__ += module.__all__
__all__ += norm.__all__
__all__ += parameter.__all__
__all__ += pool.__all__
__all__ += upsample.__all__
__all__.sort()


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise absent(__name__, name)

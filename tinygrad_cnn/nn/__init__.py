"""Modules: layers with parameters, the containers that put them together, and what initialises and clips them."""

from __future__ import annotations

from tinygrad_cnn.nn import container, init, module, parameter, utils
from tinygrad_cnn.nn.container import *
from tinygrad_cnn.nn.module import *
from tinygrad_cnn.nn.parameter import *

__all__ = sorted(["init", "utils", *container.__all__, *module.__all__, *parameter.__all__])

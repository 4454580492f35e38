"""The module and the optimizer that an estimator's parameters ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cnn import nn, optim
from tinygrad_cnn.autograd import no_grad
from tinygrad_cnn.tensor import Tensor
from tinygrad_cnn.train.models import build
from tinygrad_cnn.train.recipes import OPTIMIZERS

__all__ = ["make_module", "optimizer_options"]


def make_module(name: str, model: Any, in_shape: tuple[int, ...], outputs: int, dtype: np.dtype[Any]) -> nn.Module:
    """A new module for inputs of `in_shape`, (C, H, W) or (features,), with `outputs` outputs.

    model: "auto", a name for `train.build`, or a callable (in_shape, outputs). The module is tried out once, so that a
    wrong one is told at once. Errors: ValueError or TypeError, which start with `name`.
    """
    module = _make(name, model, in_shape, outputs)
    if not isinstance(module, nn.Module):
        raise TypeError(f"{name}: model made a {type(module).__name__}, expected a Module")
    module.to(dtype)
    with no_grad():
        out = module.eval()(Tensor(np.zeros((2, *in_shape), dtype)))
    if not isinstance(out, Tensor) or out.shape != (2, outputs):
        found = out.shape if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(f"{name}: model gives {found} for 2 samples, expected {(2, outputs)}")
    return module


def _make(name: str, model: Any, in_shape: Any, outputs: int) -> Any:
    if not isinstance(model, str):
        return model(in_shape, outputs)
    rows = len(in_shape) == 1
    if model == "mlp" or (model == "auto" and rows):
        return build("mlp", (1, 1, *in_shape) if rows else in_shape, outputs)
    return _small_cnn(name, in_shape, outputs) if model == "auto" else build(model, in_shape, outputs)


def _small_cnn(name: str, in_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """What "auto" takes for images: two 3x3 convolutions with pooling, which leave something of 4x4 images too."""
    if len(in_shape) != 3 or min(in_shape[1:]) < 4:
        raise ValueError(
            f"{name}: X has inputs of shape {in_shape}, expected images (C, H, W), channels first, of at least 4x4; "
            "choose another model than 'auto' for these"
        )
    channels, height, width = in_shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (height // 4) * (width // 4), 128),
        nn.ReLU(),
        nn.Linear(128, outputs),
    )


def optimizer_options(
    name: str, optimizer: Any, lr: float | None, weight_decay: float | None
) -> tuple[Callable[..., optim.Optimizer], dict[str, Any]]:
    """What makes the optimizer, and its arguments besides the parameters; None leaves the usual value.

    Errors: ValueError, which starts with `name`, for an unknown optimizer.
    """
    given = {key: value for key, value in (("lr", lr), ("weight_decay", weight_decay)) if value is not None}
    if not isinstance(optimizer, str):
        return optimizer, given
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"{name}: optimizer is {optimizer!r}, expected a callable or one of {', '.join(OPTIMIZERS)}")
    kind, options, usual_lr = OPTIMIZERS[optimizer]
    return kind, {**options, "lr": usual_lr, **given}

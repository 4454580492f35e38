"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from tinygrad_cnn.optim.optimizer import Array, Optimizer

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Steps divided by the root of a running average of the squared gradient (Tieleman and Hinton, 2012).

    alpha: how slowly the average forgets. centered: subtract the square of the average gradient, which leaves the
    variance (Graves, 2013). eps is added to the root. foreach chooses an implementation in PyTorch, and nothing here.
    capturable=True and differentiable=True are refused.
    """

    like_parameter: ClassVar[tuple[str, ...]] = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        for name in ("lr", "alpha", "eps", "weight_decay", "momentum"):
            self._require(group, name)

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        self._count(state)
        g = self._decayed(p, g, group)
        alpha = group["alpha"]
        square_avg = self._buffer("square_avg", p, state)
        square_avg *= alpha
        square_avg += (1 - alpha) * g * g
        spread = square_avg
        if group["centered"]:
            grad_avg = self._buffer("grad_avg", p, state)
            grad_avg += (1 - alpha) * (g - grad_avg)
            spread = square_avg - grad_avg * grad_avg
        step = g / (np.sqrt(spread) + group["eps"])
        if group["momentum"]:
            momentum_buffer = self._buffer("momentum_buffer", p, state)
            momentum_buffer *= group["momentum"]
            momentum_buffer += step
            step = momentum_buffer
        p -= group["lr"] * step

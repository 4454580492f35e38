"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from tinygrad_cnn.optim.optimizer import Array, Optimizer

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """Steps as large as the recent steps were, divided by the recent gradients' size (Zeiler, 2012).

    rho: how slowly both averages forget. eps is added under both roots.
    foreach chooses an implementation in PyTorch, and nothing here; capturable and differentiable are refused.
    """

    like_parameter: ClassVar[tuple[str, ...]] = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            self._require(group, name)
        if not 0 <= group["rho"] <= 1:
            raise ValueError(f"Adadelta: rho is {group['rho']!r}, expected a number from 0 to 1")

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        self._count(state)
        g = self._decayed(p, g, group)
        rho = group["rho"]
        eps = group["eps"]
        square_avg = self._buffer("square_avg", p, state)
        acc_delta = self._buffer("acc_delta", p, state)
        square_avg *= rho
        square_avg += (1 - rho) * g * g
        delta = np.sqrt(acc_delta + eps) / np.sqrt(square_avg + eps) * g
        acc_delta *= rho
        acc_delta += (1 - rho) * delta * delta
        p -= group["lr"] * delta

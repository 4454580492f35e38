"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from tinygrad_cnn.optim.optimizer import Array, Optimizer

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients so far (Duchi et al., 2011).

    At step t the learning rate is lr / (1 + (t - 1) · lr_decay). initial_accumulator_value: where the sum starts.
    foreach and fused choose an implementation in PyTorch, and nothing here; differentiable=True is refused.
    """

    like_parameter: ClassVar[tuple[str, ...]] = ("sum",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        for name in ("lr", "lr_decay", "eps", "weight_decay", "initial_accumulator_value"):
            self._require(group, name)

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        lr = group["lr"] / (1 + (self._count(state) - 1) * group["lr_decay"])
        g = self._decayed(p, g, group)
        total = self._buffer("sum", p, state, group["initial_accumulator_value"])
        total += g * g
        p -= lr * g / (np.sqrt(total) + group["eps"])

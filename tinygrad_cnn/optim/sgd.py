"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from tinygrad_cnn import kernels, locks
from tinygrad_cnn.optim.optimizer import Array, Optimizer
from tinygrad_cnn.tensor import Tensor

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Sutskever et al., 2013) where asked for.

    p ← p - lr · v, with v = the gradient, or with momentum v ← momentum · v + (1 - dampening) · gradient.
    nesterov: step along gradient + momentum · v. weight_decay: adds weight_decay · p to the gradient.
    maximize: climb. foreach and fused choose an implementation in PyTorch, and nothing here.
    differentiable=True is refused.

    >>> import tinygrad_cnn as tg
    >>> w = tg.nn.Parameter([1.0])
    >>> optimizer = tg.optim.SGD([w], lr=0.5)
    >>> (w * 3.0).sum().backward()
    >>> optimizer.step()
    >>> w.item()
    -0.5
    """

    like_parameter: ClassVar[tuple[str, ...]] = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            self._require(group, name)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov with momentum {group['momentum']} and dampening {group['dampening']}, "
                "expected a momentum > 0 and no dampening"
            )

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        held = state.get("momentum_buffer")
        before = None if held is None else locks.writeable(held)
        after = kernels.sgd_step(
            p,
            g,
            before,
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
        )
        if after is not before:
            state["momentum_buffer"] = Tensor(after)

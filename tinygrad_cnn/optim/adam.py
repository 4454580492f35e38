"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from tinygrad_cnn import kernels
from tinygrad_cnn.optim.optimizer import Array, Optimizer

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Steps scaled by running averages of the gradient and of its square (Kingma and Ba, 2015).

    betas: how slowly the two averages forget. eps: added to the root in the denominator. weight_decay: adds
    weight_decay · p to the gradient; with decoupled_weight_decay p shrinks by lr · weight_decay · p instead (AdamW).
    amsgrad: take the greatest average square so far (Reddi et al., 2018). maximize: climb.
    foreach and fused choose an implementation in PyTorch, and nothing here; capturable and differentiable are refused.
    """

    like_parameter: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            self._require(group, name)
        for i, beta in enumerate(group["betas"]):
            self._require_number(f"betas[{i}]", beta, below=1.0)

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        kernels.adam_step(
            p,
            g,
            self._buffer("exp_avg", p, state),
            self._buffer("exp_avg_sq", p, state),
            self._buffer("max_exp_avg_sq", p, state) if group["amsgrad"] else None,
            self._count(state),
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
        )


class AdamW(Adam):
    """Adam whose weight decay acts on the parameters, not through the gradient (Loshchilov and Hutter, 2019).

    >>> import tinygrad_cnn as tg
    >>> w = tg.nn.Parameter([1.0])
    >>> optimizer = tg.optim.AdamW([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.899
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

import math

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class Lion(Optimizer):
    """Steps of the sign of a mixed momentum."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        if not 0.0 <= lr:
            raise ValueError(f"Invalid learning rate: {lr}")
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.data.mul_(1 - group["lr"] * group["weight_decay"])
                state = self.state[p]
                if len(state) == 0:
                    state["exp_avg"] = torch.zeros_like(p)
                exp_avg = state["exp_avg"]
                beta1, beta2 = group["betas"]
                update = exp_avg * beta1 + p.grad * (1 - beta1)
                p.add_(update.sign_(), alpha=-group["lr"])
                exp_avg.mul_(beta2).add_(p.grad, alpha=1 - beta2)
        return loss


class MyAdam(Optimizer):
    def __init__(self, params, lr=1e-3, eps=1e-8):
        super().__init__(params, {"lr": lr, "eps": eps})

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                grad = p.grad.data
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["m"], state["v"] = torch.zeros_like(p.data), torch.zeros_like(p.data)
                state["step"] += 1
                state["m"].lerp_(grad, 0.1)
                state["v"].mul_(0.999).addcmul_(grad, grad, value=0.001)
                denom = (state["v"].sqrt() / math.sqrt(1 - 0.999 ** state["step"])).add_(group["eps"])
                p.data.addcdiv_(state["m"], denom, value=-group["lr"] / (1 - 0.9 ** state["step"]))


class InverseRoot(LRScheduler):
    def __init__(self, optimizer, warmup, last_epoch=-1):
        self.warmup = warmup
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        step = max(self.last_epoch, 1)
        scale = min(step / self.warmup, math.sqrt(self.warmup / step))
        return [base_lr * scale for base_lr in self.base_lrs]


class EMA:
    """A running average of the weights."""

    def __init__(self, model, decay):
        self.decay = decay
        self.shadow = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, model):
        for name, p in model.named_parameters():
            self.shadow[name].mul_(self.decay).add_(p.data, alpha=1 - self.decay)


def build():
    rng = np.random.default_rng(14)
    model = nn.Sequential(nn.Linear(4, 12), nn.Softsign(), nn.Linear(12, 12), nn.CELU(), nn.Linear(12, 1)).double()
    for m in model:
        if isinstance(m, nn.Linear):
            m.weight.data.copy_(torch.from_numpy(rng.normal(0, 0.5, tuple(m.weight.shape))))
            m.bias.data.zero_()
    return model


rng = np.random.default_rng(15)
X = torch.tensor(rng.normal(size=(40, 4)))
Y = (X[:, [0]] * X[:, [1]]).tanh() + 0.5 * X[:, 2:3]
losses, results = [], {}
for make in (
    lambda params: Lion(params, lr=1e-2, weight_decay=0.1),
    lambda params: MyAdam(params, lr=1e-2),
    lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.1),
):
    model = build()
    optimizer = make(model.parameters())
    scheduler = InverseRoot(optimizer, warmup=4)
    ema = EMA(model, 0.9)
    for step in range(10):

        def closure():
            optimizer.zero_grad()
            loss = nn.HuberLoss(delta=0.7)(model(X), Y)
            loss.backward()
            return loss

        if isinstance(optimizer, MyAdam):
            loss = closure()
            optimizer.step()
        else:
            loss = optimizer.step(closure)
        scheduler.step()
        ema.update(model)
        losses.append(loss.item())
    name = type(optimizer).__name__
    results[f"{name} lr"] = scheduler.get_last_lr()
    results[f"{name} ema"] = [value.norm().item() for value in ema.shadow.values()]

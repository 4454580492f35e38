"""Training with masks: pruning, straight-through quantisation, layer-wise rates, losses that warn."""

import warnings

import torch
from torch import nn
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)


class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.limit = 4 * scale
        return torch.round(x / scale).clamp(-4, 4) * scale

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (x.abs() <= ctx.limit).to(g.dtype), None


class Masked(nn.Linear):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("mask", torch.ones_like(self.weight, dtype=torch.bool))

    def prune(self, fraction):
        k = int(fraction * self.weight.numel())
        threshold = self.weight.detach().abs().flatten().sort().values[k - 1]
        self.mask = self.weight.detach().abs() > threshold
        with torch.no_grad():
            self.weight.mul_(self.mask)

    def forward(self, input):
        return F.linear(input, Round.apply(self.weight * self.mask, 0.1), self.bias)

    def extra_repr(self):
        return super().extra_repr() + f", kept={int(self.mask.sum())}"


def fill(module):
    for i, p in enumerate(module.parameters()):
        nn.init.constant_(p, 0.0)
        p.data.add_(torch.sin(torch.arange(p.numel(), dtype=p.dtype) * 0.8 + i).view_as(p), alpha=0.5)
    return module


model = fill(
    nn.Sequential(
        Masked(4, 6), nn.Hardswish(), nn.Dropout(0.5), Masked(6, 6), nn.GroupNorm(2, 6), nn.ReLU6(), Masked(6, 2)
    )
)
layers = [m for m in model if isinstance(m, Masked)]
optimizer = torch.optim.SGD(
    [{"params": m.parameters(), "lr": 0.1 * 0.5**i} for i, m in enumerate(layers)], momentum=0.9, dampening=0.1
)
optimizer.add_param_group({"params": model[4].parameters(), "lr": 0.01, "momentum": 0.0})
x = torch.cos(torch.arange(40.0).view(10, 4) * 0.9)
y = torch.stack((x[:, 0] * x[:, 1], x.sum(1)), 1)
losses, results = [], {}
for step in range(8):
    model.train()
    model[2].eval()
    out = model(x)
    loss = F.huber_loss(out, y, delta=0.7) + 1e-3 * sum(
        p.abs().sum() for n, p in model.named_parameters() if n.endswith("weight")
    )
    optimizer.zero_grad()
    loss.backward()
    for m in layers:
        m.weight.grad[~m.mask] = 0
        m.weight.grad.masked_fill_(m.weight.grad.abs() < 1e-3, 0.0)
    optimizer.step()
    losses.append(loss.item())
    if step in (2, 5):
        for m in layers:
            m.prune(0.3 + 0.05 * step)
results["repr"] = repr(model)
results["grads"] = [m.weight.grad.numpy() for m in layers]
results["masks"] = [m.mask.tolist() for m in layers]
results["state"] = {k: str(v.dtype).split(".")[-1] for k, v in model.state_dict().items()}
results["lr"] = [g["lr"] for g in optimizer.param_groups]

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    shapes = F.mse_loss(out.detach()[:, :1], y[:, 0])
    p = out.detach().softmax(1)
    mean = F.kl_div(p.log(), p.flip(1))
    clamp = nn.Hardtanh(min_value=-0.5)(out)
results["warnings"] = [w.category.__name__ for w in caught]
losses += [shapes.item(), mean.item(), clamp.sum().item()]
model.apply(lambda m: m.reset_parameters() if isinstance(m, nn.GroupNorm) else None)
results["norm"] = model[4].weight.tolist()
results["modules"] = [type(m).__name__ for m in model.modules()]

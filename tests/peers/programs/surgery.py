"""State dicts taken apart, partly frozen training, train and eval in turn, hooks, functional_call, buffers."""

import math
import re

import torch
from torch import nn
from torch.func import functional_call, grad
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)


def fill(module):
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(torch.cos(torch.arange(p.numel(), dtype=p.dtype) * 1.3 + i).view_as(p) * 0.4)
    return module


class Block(nn.Module):
    def __init__(self, c_in, c_out, mode="zeros"):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1, padding_mode=mode, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.act = nn.LeakyReLU(0.1)

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem = Block(2, 4, "reflect")
        self.body = nn.Sequential(Block(4, 4, "circular"), nn.AvgPool2d(2), Block(4, 6, "replicate"))
        self.head = nn.Linear(6, classes)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("scratch", torch.ones(3), persistent=False)

    def forward(self, x):
        if self.training:
            self.count += 1
        x = self.body(self.stem(x))
        return self.head(x.mean(dim=(-2, -1)))


old = fill(Net(5))
state = {f"module.{k}": v.clone() for k, v in old.state_dict().items()}
state = {re.sub(r"^module\.", "", k): v for k, v in state.items()}
state.pop("head.weight"), state.pop("head.bias")
new = fill(Net(3))
loaded = new.load_state_dict(state, strict=False)
for name, p in new.named_parameters():
    p.requires_grad = not name.startswith("stem")
trainable = [p for p in new.parameters() if p.requires_grad]

activations, gradients, handles = {}, {}, []
for name, module in new.named_modules():
    if isinstance(module, nn.BatchNorm2d):
        module.register_forward_hook(
            lambda m, args, out, name=name: activations.update({name: out.detach().mean().item()})
        )
        handles.append(
            module.register_full_backward_hook(
                lambda m, gi, go, name=name: gradients.update({name: go[0].abs().sum().item()})
            )
        )
handle = new.head.register_forward_pre_hook(lambda m, args: (args[0] * 2,), prepend=True)

x = torch.sin(torch.arange(4 * 2 * 8 * 8).view(4, 2, 8, 8) * 0.31)
y = torch.tensor([0, 2, 1, 1])
optimizer = torch.optim.SGD(trainable, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
losses = []
for step in range(6):
    new.train()
    new.stem.eval()
    optimizer.zero_grad()
    loss = F.cross_entropy(new(x), y, weight=torch.tensor([1.0, 2.0, 0.5]))
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    if step == 2:
        handle.remove()
for handle in handles:
    handle.remove()
new.eval()

params = {k: v.detach() for k, v in new.named_parameters()}
buffers = dict(new.named_buffers())


def objective(params):
    return F.cross_entropy(functional_call(new, (params, buffers), (x,)), y)


g = grad(objective)(params)
for k in ("stem.conv.weight", "head.bias"):
    losses.append(float((g[k] ** 2).sum()))
perturbed = {k: v - 0.05 * g[k] for k, v in params.items()}
losses.append(objective(perturbed).item())

# the batch norm folded into the convolution before it
with torch.no_grad():
    block = new.body[0]
    scale = block.bn.weight / torch.sqrt(block.bn.running_var + block.bn.eps)
    fused = nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")
    fused.weight.copy_(block.conv.weight * scale.view(-1, 1, 1, 1))
    fused.bias.copy_(block.bn.bias - block.bn.running_mean * scale)
    inside = new.stem(x)
    folded = float((F.leaky_relu(fused(inside), 0.1) - block(inside)).abs().max()) < 1e-12

swapped = fill(Net(3))
swapped.load_state_dict({k: v + 1 if v.is_floating_point() else v for k, v in new.state_dict().items()}, assign=True)
results = {
    "missing": loaded.missing_keys,
    "unexpected": loaded.unexpected_keys,
    "activations": activations,
    "gradients": gradients,
    "count": int(new.count),
    "folded": folded,
    "keys": list(new.state_dict()),
    "optimizer": sorted(optimizer.state_dict()["state"]),
    "momentum": optimizer.state[new.head.weight]["momentum_buffer"].numpy(),
    "running": new.body[2].bn.running_var.numpy(),
    "out": new(x).detach().numpy(),
    "swapped": swapped.head.bias.detach().numpy(),
    "size": sum(math.prod(p.shape) for p in new.parameters()),
}

from collections import OrderedDict

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.func import functional_call, grad, grad_and_value

rng = np.random.default_rng(0)
model = nn.Sequential(
    OrderedDict([("l1", nn.Linear(1, 8)), ("relu1", nn.ReLU()), ("norm", nn.BatchNorm1d(8)), ("l2", nn.Linear(8, 1))])
).double()
with torch.no_grad():
    for p in model.parameters():
        p.copy_(torch.from_numpy(rng.normal(size=tuple(p.shape)) * 0.5))


def task(shift):
    x = torch.tensor(rng.uniform(-5, 5, (10, 1)))
    return x, torch.sin(x + shift)


losses = []
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(3):
    meta_loss = 0
    for shift in (0.0, 1.0):
        fast = OrderedDict(model.named_parameters())
        x, y = task(shift)
        for _ in range(2):
            loss = F.mse_loss(functional_call(model, fast, (x,)), y)
            grads = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
            fast = OrderedDict((name, w - 0.01 * g) for (name, w), g in zip(fast.items(), grads))
        x, y = task(shift)
        meta_loss = meta_loss + F.mse_loss(functional_call(model, fast, (x,)), y)
    optimizer.zero_grad()
    meta_loss.backward()
    optimizer.step()
    losses.append(meta_loss.item())

params = {name: p.detach() for name, p in model.named_parameters()}
buffers = {name: b.detach().clone() for name, b in model.named_buffers()}
model.eval()


def compute_loss(params, buffers, x, y):
    out = functional_call(model, (params, buffers), (x,))
    return F.mse_loss(out, y), out.detach()


x, y = task(0.5)
first, out = grad(compute_loss, has_aux=True)(params, buffers, x, y)
again, (value, _) = grad_and_value(compute_loss, has_aux=True)(params, buffers, x, y)
results = {
    "gradients": {name: g.numpy() for name, g in first.items()},
    "same": all(torch.equal(first[name], again[name]) for name in first),
    "out": out.numpy(),
    "value": value.item(),
    "weights": {name: v.numpy() for name, v in model.state_dict().items()},
}

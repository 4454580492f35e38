"""Gradient penalties, spectral norms by power iteration, Hessian products, learned step sizes, hooks on tensors."""

import torch
from torch import nn
from torch.func import functional_call, jacrev, vjp
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

torch.set_default_dtype(torch.float64)


def fill(module, scale=0.5):
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(torch.sin(torch.arange(p.numel(), dtype=p.dtype) * 1.1 + i).view_as(p) * scale)
    return module


class Spectral(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in))
        self.bias = nn.Parameter(torch.empty(n_out))
        self.register_buffer("u", F.normalize(torch.ones(n_out), dim=0))

    def forward(self, x):
        with torch.no_grad():
            v = F.normalize(torch.mv(self.weight.t(), self.u), dim=0, eps=1e-12)
            u = F.normalize(torch.mv(self.weight, v), dim=0, eps=1e-12)
            if self.training:
                self.u.copy_(u)
        sigma = torch.dot(u, torch.mv(self.weight, v))
        return F.linear(x, self.weight / sigma, self.bias)


losses, results = [], {}
critic = fill(nn.Sequential(Spectral(3, 8), nn.Softplus(beta=2), Spectral(8, 8), nn.Mish(), nn.Linear(8, 1)))
real = torch.cos(torch.arange(15.0).view(5, 3))
fake = torch.sin(torch.arange(15.0).view(5, 3) * 0.7)
optimizer = torch.optim.Adam(critic.parameters(), lr=0.02, betas=(0.0, 0.9), amsgrad=True, foreach=False)
for step in range(5):
    alpha = torch.linspace(0.1, 0.9, 5)[:, None]
    mixed = torch.lerp(fake, real, alpha).requires_grad_(True)
    (g,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True, retain_graph=True)
    penalty = ((g.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
    real_scores = critic(real.requires_grad_())
    (r1,) = torch.autograd.grad(
        outputs=real_scores, inputs=real, grad_outputs=torch.ones_like(real_scores), create_graph=True
    )
    loss = (
        F.relu(1 - real_scores).mean()
        + F.relu(1 + critic(fake)).mean()
        + 10 * penalty
        + 0.5 * r1.square().sum(1).mean()
    )
    optimizer.zero_grad()
    loss.backward()
    real.grad = None
    optimizer.step()
    losses += [loss.item(), penalty.item()]
results["u"] = critic[0].u.numpy()

# power iteration on the Hessian, with products of it alone
net = fill(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
target = torch.tensor([0, 1, 1, 0, 1])
params = list(net.parameters())
vector = [torch.ones_like(p) for p in params]
for _ in range(4):
    loss = F.cross_entropy(net(fake), target)
    grads = torch.autograd.grad(loss, params, create_graph=True)
    dot = sum((g * v).sum() for g, v in zip(grads, vector))
    product = torch.autograd.grad(dot, params)
    norm = torch.sqrt(sum((p**2).sum() for p in product))
    vector = [p / norm for p in product]
    losses.append(norm.item())
flat = parameters_to_vector(net.parameters())
vector_to_parameters(flat * 0.5, net.parameters())
losses.append(F.cross_entropy(net(fake), target).item())

# step sizes that learn through three steps of training
rates = nn.ParameterDict({n.replace(".", "_"): nn.Parameter(torch.tensor(0.1)) for n, _ in net.named_parameters()})
fast = {n: p.detach().clone().requires_grad_() for n, p in net.named_parameters()}
for _ in range(3):
    inner = F.mse_loss(
        functional_call(net, fast, (fake,)), F.one_hot(target, 2).to(fake.dtype), weight=torch.ones(5, 2) * 2
    )
    grads = torch.autograd.grad(inner, list(fast.values()), create_graph=True)
    fast = {n: p - rates[n.replace(".", "_")] * g for (n, p), g in zip(fast.items(), grads)}
outer = F.cross_entropy(functional_call(net, fast, (real,)), target.flip(0))
outer.backward()
losses += [inner.item(), outer.item()]
results["rates"] = {n: r.grad.item() for n, r in rates.items()}

# hooks on tensors: a reversed gradient, a retained one, one that is scaled and counted
calls = []
x = torch.linspace(-1, 1, 6).view(2, 3).requires_grad_()
h = torch.tanh(net[0](x))
h.retain_grad()
h.register_hook(lambda g: -g)
keep = x.register_hook(lambda g: calls.append(g.shape[0]) or g * 2)
F.huber_loss(net[2](h), torch.zeros(2, 2), delta=0.2, weight=torch.tensor([[1.0, 2.0], [0.5, 0.0]])).backward()
keep.remove()
results["hooked"] = [x.grad.numpy(), h.grad.numpy(), calls]

_, pull = vjp(lambda t: torch.stack([t.prod(), t.norm(), t.logsumexp(0)]), torch.tensor([0.5, -1.0, 2.0]))
results["vjp"] = pull(torch.tensor([1.0, 2.0, 3.0]))[0].numpy()
results["jacobian"] = jacrev(lambda t: torch.cumprod(t, 0) * t.flip(0))(torch.tensor([0.5, -1.0, 2.0])).numpy()

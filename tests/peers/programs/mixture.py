"""k-means and a mixture of Gaussians by EM, then by gradients; PCA by deflation; no module at all."""

import math

import torch

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
n, k, d = 40, 3, 2
i = torch.arange(n)
centres = torch.tensor([[0.0, 0.0], [4.0, 1.0], [1.0, 5.0]])
x = centres[i % k] + 0.6 * torch.stack((torch.sin(i * 1.7), torch.cos(i * 2.3)), dim=1)
losses, results = [], {}

mu = x[[0, 3, 7]].clone()
for _ in range(6):
    distance = (x.unsqueeze(1) - mu.unsqueeze(0)).pow(2).sum(-1)
    value, nearest = distance.min(dim=1)
    losses.append(value.mean().item())
    count = torch.zeros(k).scatter_add_(0, nearest, torch.ones(n))
    total = torch.zeros(k, d).index_add_(0, nearest, x)
    keep = count > 0
    mu = torch.where(keep[:, None], total / count.clamp(min=1)[:, None], mu)
    if (count == 0).any():
        mu[~keep] = x[value.argmax()]
results["kmeans"] = [mu.numpy(), nearest.tolist()]

pi, sigma = torch.full((k,), 1 / k), torch.ones(k, d)


def log_density(x, mu, sigma, pi):
    z = (x[:, None] - mu) / sigma
    return -0.5 * (z * z).sum(-1) - sigma.log().sum(-1) - d / 2 * math.log(2 * math.pi) + pi.log()


for _ in range(5):
    logp = log_density(x, mu, sigma, pi)
    evidence = torch.logsumexp(logp, dim=1, keepdim=True)
    r = (logp - evidence).exp_()
    losses.append(-evidence.mean().item())
    weight = r.sum(0)
    mu = torch.matmul(r.t(), x).div_(weight.view(-1, 1))
    var = torch.einsum("nk,nkd->kd", r, (x[:, None] - mu) ** 2) / weight[:, None]
    sigma, pi = var.add_(1e-3).sqrt_(), weight / n
results["em"] = [mu.numpy(), sigma.numpy(), pi.numpy()]

raw = [mu.clone().requires_grad_(), sigma.log().requires_grad_(), pi.log().requires_grad_()]
velocity = [torch.zeros_like(p) for p in raw]
for step in range(8):
    loss = -torch.logsumexp(log_density(x, raw[0], raw[1].exp(), raw[2].softmax(0)), 1).mean()
    loss += 0.01 * (raw[1] ** 2).sum()
    grads = torch.autograd.grad(loss, raw)
    with torch.no_grad():
        for p, v, g in zip(raw, velocity, grads):
            v.mul_(0.8).add_(g)
            p.sub_(0.05 * v)
            p.nan_to_num_()
    losses.append(loss.detach().item())
results["raw"] = [p.detach().numpy() for p in raw]

centred = x - x.mean(dim=0, keepdim=True)
cov = centred.T @ centred / (n - 1)
vectors = []
for _ in range(2):
    v = torch.ones(d) / math.sqrt(d)
    for _ in range(50):
        v = cov.mv(v)
        v /= v.norm()
    lam = v.dot(cov.mv(v))
    vectors.append(lam.item())
    cov = cov - lam * torch.outer(v, v)
results["pca"] = vectors
ranks = x[:, 0].argsort().argsort().double()
others = x[:, 1].argsort().argsort().double()
results["spearman"] = torch.nn.functional.cosine_similarity(ranks - ranks.mean(), others - others.mean(), dim=0).item()
edges = torch.linspace(-1, 6, 8)
results["histogram"] = ((x[:, :1] >= edges[:-1]) & (x[:, :1] < edges[1:])).sum(0).tolist()
picked = torch.multinomial(r, 1, generator=torch.Generator().manual_seed(1)).squeeze(1)
results["picked"] = [picked.shape[0], str(picked.dtype).split(".")[-1], bool((r.gather(1, picked[:, None]) > 0).all())]
a = torch.arange(6).reshape(2, 3)
a += 1
a[:, 1] *= 10
a[a > 30] //= 7
results["integers"] = [
    a.tolist(),
    a.cumsum_(1).tolist(),
    (a % 4).tolist(),
    a.logical_not().tolist(),
    (~(a > 5)).tolist(),
]

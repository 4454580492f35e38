import numpy as np
import torch

rng = np.random.default_rng(18)
losses, results = [], {}

# k-means: broadcasting, argmin, one-hot sums, boolean masks.
points = torch.from_numpy(np.concatenate([rng.normal(c, 0.4, (20, 2)) for c in ((0, 0), (3, 1), (1, 4))]))
centres = points[[0, 25, 45]].clone()
for _ in range(5):
    distances = ((points[:, None, :] - centres[None, :, :]) ** 2).sum(-1).sqrt()
    nearest = distances.argmin(dim=1)
    for k in range(3):
        mask = nearest == k
        if mask.any():
            centres[k] = points[mask].mean(dim=0)
    losses.append(distances.min(dim=1).values.mean().item())
sums = torch.zeros_like(centres).index_add_(0, nearest, points)
counts = torch.zeros(3, dtype=torch.float64).scatter_add_(0, nearest, torch.ones(60, dtype=torch.float64))
results["centres"] = centres.numpy()
results["counts"] = counts.tolist()
results["the same"] = torch.allclose(sums / counts.unsqueeze(1), centres)
onehot = torch.zeros(60, 3).scatter_(1, nearest.unsqueeze(1), 1)
results["onehot"] = onehot.sum(0).tolist()

# Principal components by power iteration, and whitening.
X = torch.from_numpy(rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)))
X = X - X.mean(dim=0, keepdim=True)
cov = X.t().mm(X) / (X.size(0) - 1)
components = []
for _ in range(2):
    v = torch.ones(4, dtype=torch.float64)
    for _ in range(100):
        v = torch.mv(cov, v)
        v /= v.norm()
    eigenvalue = torch.einsum("i,ij,j->", v, cov, v)
    cov = cov - eigenvalue * torch.outer(v, v)
    components.append((eigenvalue.item(), (v * v[0].sign()).tolist()))
results["components"] = components
std, mean = torch.std_mean(X, dim=0, unbiased=True)
results["standard"] = ((X - mean) / std).var(dim=0).tolist()

# Indexing, slicing and small change.
a = torch.arange(24).reshape(2, 3, 4)
results["shapes"] = [
    tuple(t.shape)
    for t in (a[..., None], a[:, -1], a[:, :, ::2], a.permute(2, 0, 1), a.unsqueeze(0).expand(3, -1, -1, -1),
              a.view(-1, 4), torch.stack([a, a], -1), a.flatten(1), a.movedim(0, -1), a.unfold(2, 2, 1))
]  # fmt: skip
results["values"] = [
    a[a % 5 == 0].tolist(), a[:, [0, 2], [1, 3]].tolist(), a[0].T.tolist(), a.sum((0, 2)).tolist(),
    a.float().mean().item(), a.max().item(), a.flip(0, 2)[0, 0].tolist(), torch.roll(a, 1, -1)[0, 0].tolist(),
    (a // 7 % 3).sum().item(), torch.where(a > 12, a, -a).sum().item(), a.cumsum(-1)[1, 2].tolist(),
    torch.cat([a[0], a[1]], dim=1).tolist(), [t.tolist() for t in a.split([1, 2], dim=1)], a.chunk(2)[1].sum().item(),
    torch.tril(a[0]).tolist(), a.diagonal(dim1=1, dim2=2).tolist(), torch.nonzero(a[0] > 9).tolist(),
    (a & 3).sum().item(), (a > 3).logical_and(a < 9).sum().item(),
    a.double().std(dim=2, correction=0).tolist(), torch.tensor([3, 1, 2]).argsort(descending=True).tolist(),
]  # fmt: skip
b = torch.zeros(3, 3)
b[1] = torch.tensor([1.0, 2.0, 3.0])
b[:, 2] += 1
b[b == 0] = -1
b[torch.tensor([0, 2]), torch.tensor([0, 1])] = 7.5
results["written"] = b.tolist()
results["dtypes"] = [
    str(t.dtype).split(".")[-1]
    for t in (torch.ones(2) + 1, torch.ones(2).long() / 2, torch.tensor([1]) * 2.5, torch.tensor([True]) + 1,
              torch.tensor(1.0) * torch.ones(2, dtype=torch.float64), torch.arange(3) > 1, torch.ones(2).int().sum())
]  # fmt: skip
x, y = torch.meshgrid(torch.linspace(-1, 1, 5), torch.linspace(0, 1, 3), indexing="ij")
results["grid"] = (x**2 + y).numpy()
results["text"] = [str(torch.tensor([1.5, -2.0])), str(torch.arange(3)), f"{torch.tensor(0.123456):.3f}"]
for name, value in zip("ab", torch.tensor([[1, 2], [3, 4]])):
    results[name] = int(value.sum())

# A matrix factorised by gradient descent, with an index for the known entries.
truth = torch.from_numpy(rng.normal(size=(12, 2)) @ rng.normal(size=(2, 9)))
known = torch.from_numpy(rng.uniform(size=(12, 9)) < 0.7)
rows, cols = known.nonzero(as_tuple=True)
U = torch.from_numpy(rng.normal(0, 0.3, (12, 2))).requires_grad_()
V = torch.from_numpy(rng.normal(0, 0.3, (9, 2))).requires_grad_()
optimizer = torch.optim.SGD([{"params": [U]}, {"params": V, "lr": 0.3}], lr=0.5)
for step in range(20):
    predicted = (U[rows] * V[cols]).sum(dim=1)
    loss = (predicted - truth[known]).pow(2).mean() + 1e-3 * (U.norm(p="fro") + torch.linalg.norm(V))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
results["rmse"] = ((U @ V.T - truth)[~known] ** 2).mean().sqrt().item()

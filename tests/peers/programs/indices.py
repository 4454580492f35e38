"""Tricks with where, gather, scatter, einsum, masks and in-place updates."""

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
losses = []
results = {}


def wave(*shape):
    n = 1
    for s in shape:
        n *= s
    return torch.sin(torch.arange(n, dtype=torch.float64) * 0.73).reshape(shape)


# attention by einsum, with a causal mask and rotary positions
q, k, v = (wave(2, 3, 5, 4).roll(i).requires_grad_() for i in range(3))
theta = torch.arange(5.0)[:, None] / 10 ** torch.linspace(0, 1, 2)
cos, sin = theta.cos().repeat_interleave(2, -1), theta.sin().repeat_interleave(2, -1)


def rotate(x):
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((-odd, even), dim=-1).flatten(-2)
    return x * cos + turned * sin


scores = torch.einsum("bhid,bhjd->bhij", rotate(q), rotate(k)) / 2
mask = torch.ones(5, 5, dtype=torch.bool).triu(1)
attention = scores.masked_fill(mask, float("-inf")).softmax(-1)
out = torch.einsum("bhij,bhjd->bihd", attention, v).reshape(2, 5, -1)
losses.append((out * wave(2, 5, 12)).sum())
results["rotated"] = [g.numpy() for g in torch.autograd.grad(losses[-1], (q, k, v))]

# one-hot, counts, sums by group, a histogram of pairs
labels = torch.tensor([2, 0, 1, 2, 2, 0])
one_hot = torch.zeros(6, 3).scatter_(1, labels.unsqueeze(1), value=1.0)
x = wave(6, 4).requires_grad_()
sums = torch.zeros(3, 4).index_add(0, labels, x)
means = sums / one_hot.sum(0).clamp(min=1)[:, None]
centred = x - means[labels]
losses.append((centred**2).sum() + means.gather(0, labels[:4].expand(1, 4)).sum())
(g,) = torch.autograd.grad(losses[-1], x, create_graph=True)
losses.append((g**3).sum())
results["groups"] = torch.autograd.grad(losses[-1], x)[0].numpy()
confusion = torch.zeros(3, 3, dtype=torch.long)
confusion.index_put_((labels, labels.flip(0)), torch.ones(6, dtype=torch.long), accumulate=True)
pairs = torch.bincount(labels * 3 + labels.flip(0), minlength=9).reshape(3, 3)
results["confusion"] = [pairs.tolist(), confusion.tolist()]
results["scatter reduce"] = torch.zeros(3).scatter_(0, labels, wave(6), reduce="add").numpy()

# safe where: no NaN in the gradient of the branch not taken
z = torch.tensor([-1.0, 0.0, 2.0, 4.0], requires_grad=True)
safe = torch.where(z > 0, z, torch.ones_like(z))
root = torch.where(z > 0, safe.sqrt(), torch.zeros_like(z))
losses.append(root.sum())
losses[-1].backward()
results["root"] = z.grad.numpy()

# in-place updates under no_grad, views, masks
w = wave(4, 4)
w.requires_grad_()
for _ in range(3):
    loss = ((w @ w.T - torch.eye(4)) ** 2).mean()
    (g,) = torch.autograd.grad(loss, w)
    with torch.no_grad():
        w -= 0.5 * g
        w.clamp_(-2, 2)
        w[0, 1:] *= 0.9
        w[w.abs() < 0.05] = 0.0
        w.diagonal().add_(0.01)
    losses.append(loss)
results["w"] = w.detach().numpy()

# a straight-through estimator, a sort, a cumulative sum, top-k masks, unfold and fold
y = wave(3, 7).requires_grad_()
hard = (y > 0).to(y.dtype)
through = hard + y - y.detach()
values, order = torch.sort(y, dim=1, descending=True)
ranks = torch.empty_like(order).scatter_(1, order, torch.arange(7).expand(3, 7))
cdf = values.softmax(1).cumsum(1)
nucleus = cdf - values.softmax(1) < 0.6
kept = torch.zeros_like(nucleus).scatter(1, order, nucleus)
losses.append((through * y.exp()).sum() + (y * kept).pow(2).sum() + (cdf * wave(7)).sum())
results["y"] = torch.autograd.grad(losses[-1], y)[0].numpy()
results["ranks"] = ranks.tolist()
results["kept"] = kept.tolist()
image = wave(1, 2, 6, 6).requires_grad_()
columns = F.unfold(image, 3, stride=3)
patches = columns.transpose(1, 2).reshape(1, 4, 2, 3, 3)
back = F.fold(columns.softmax(1), (6, 6), 3, stride=3)
windows = image.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(-1, -2))
losses.append((patches.std(dim=(-1, -2)) ** 2).sum() + (back * image).sum() + windows.sum())
results["image"] = torch.autograd.grad(losses[-1], image)[0].numpy()

# distances, pairs, a soft histogram, an outer sum, broadcasting and chunks
a, b = wave(5, 3).requires_grad_(), wave(4, 3).roll(1).requires_grad_()
d = torch.cdist(a, b)
near = d.topk(2, dim=1, largest=False)
losses.append((near.values * torch.tensor([1.0, 0.5])).sum() + torch.logsumexp(-d, dim=0).sum())
results["ab"] = [g.numpy() for g in torch.autograd.grad(losses[-1], (a, b))]
results["near"] = near.indices.tolist()
grid = torch.stack(torch.meshgrid(torch.arange(3), torch.arange(2), indexing="ij"), -1).reshape(-1, 2)
results["grid"] = grid.tolist()
left, right = torch.arange(7).split([4, 3])
results["parts"] = [left.tolist(), right.tolist()]
results["rest"] = torch.take_along_dim(wave(3, 4), wave(3, 4).argsort(dim=1), dim=1).numpy()
losses = [float(x) for x in losses]

"""A mixture of experts, multi-task losses with learned weights, masked means, contrastive pairs, sampled metrics."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset

torch.set_default_dtype(torch.float64)


def fill(module, scale=0.4):
    for i, (name, p) in enumerate(module.named_parameters()):
        p.data = (torch.cos(torch.arange(p.numel(), dtype=p.dtype) + i) * scale).view(p.shape)
    return module


class Experts(nn.Module):
    def __init__(self, n, d_in, d_out, k):
        super().__init__()
        self.experts = nn.ModuleList(
            [nn.Sequential(nn.Linear(d_in, 6), nn.SiLU(), nn.Linear(6, d_out)) for _ in range(n)]
        )
        self.gate = nn.Linear(d_in, n, bias=False)
        self.k = k

    def forward(self, x):
        logits = self.gate(x)
        top, index = logits.topk(self.k, dim=-1)
        weights = torch.zeros_like(logits).scatter(-1, index, F.softmax(top, dim=-1))
        out = torch.stack([expert(x) for expert in self.experts], dim=1)
        load = weights.mean(0)
        return torch.einsum("ne,ned->nd", weights, out), load.std(unbiased=False) / (load.mean() + 1e-8)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.moe = Experts(3, 4, 5, 2)
        self.heads = nn.ModuleDict({"class": nn.Linear(5, 3), "value": nn.Linear(5, 1), "scale": nn.Linear(5, 1)})
        self.log_vars = nn.Parameter(torch.zeros(3))
        self.dropout = nn.Dropout(0.0)

    def forward(self, x):
        h, balance = self.moe(x)
        h = self.dropout(F.normalize(h, dim=-1))
        return {k: head(h) for k, head in self.heads.items()}, h, balance


class Stream(IterableDataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        for i in range(0, len(self.dataset), 2):
            yield self.dataset[i]


x = torch.sin(torch.arange(96.0).view(24, 4) * 0.61)
labels = (x.sum(1) > 0).long() + (x[:, 0] > 0.5).long()
values = x.square().sum(1, keepdim=True)
dataset = TensorDataset(x, labels, values)
mixed = ConcatDataset([Subset(dataset, range(12)), Subset(dataset, [3, 1, 4, 1])])

model = fill(Model())
optimizer = torch.optim.Adadelta(
    [{"params": model.moe.parameters()}, {"params": model.heads.parameters(), "rho": 0.8}], lr=0.5, weight_decay=1e-3
)
optimizer.add_param_group({"params": [model.log_vars], "lr": 0.05, "maximize": False})
losses, counts = [], []
bce = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0), reduction="none")
for loader in (
    DataLoader(mixed, 5),
    DataLoader(Stream(dataset), batch_size=4),
    DataLoader(dataset, batch_size=None, sampler=range(3)),
):
    for inputs, label, value in loader:
        inputs, label, value = (
            t if t.dim() > 0 and inputs.dim() > 1 else t.unsqueeze(0) for t in (inputs, label, value)
        )
        out, h, balance = model(inputs)
        mask = (label != 2).to(inputs.dtype)
        nll = F.nll_loss(F.log_softmax(out["class"], 1), label, weight=torch.tensor([1.0, 0.5, 2.0]), reduction="sum")
        mse = F.mse_loss(out["value"], value.expand_as(out["value"]), weight=mask[:, None] + 0.1)
        error = (bce(out["scale"].squeeze(-1), (value.squeeze(-1) > 2).double()) * mask).sum() / mask.sum().clamp_min(1)
        tasks = torch.stack([nll, mse, error])
        similarity = h @ h.mT / 0.5
        same = label[:, None].eq(label[None, :]) & ~torch.eye(len(label), dtype=torch.bool)
        contrast = -(similarity.log_softmax(-1) * same).sum(-1) / same.sum(-1).clamp(min=1)
        triplet = F.triplet_margin_loss(h, h.roll(1, 0), h.roll(-1, 0), margin=0.3, swap=True)
        loss = (
            (torch.exp(-model.log_vars) * tasks + model.log_vars).sum()
            + 0.1 * contrast.mean()
            + 0.01 * balance
            + triplet
        )
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = None
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        counts.append(len(inputs))

model.eval()
with torch.inference_mode():
    out, h, _ = model(x)
    probabilities = out["class"].softmax(-1)
    accuracy = (probabilities.argmax(-1) == labels).double().mean().item()
    entropy = -(probabilities * probabilities.clamp_min(1e-12).log()).sum(-1) / math.log(3)
    order = torch.argsort(entropy, descending=True, stable=True)[:5]
    per_class = [probabilities[labels == c].mean(0).tolist() for c in labels.unique()]
results = {
    "counts": counts,
    "accuracy": accuracy,
    "order": order.tolist(),
    "per_class": per_class,
    "log_vars": model.log_vars.detach().numpy(),
    "grads": {k: p.grad.norm().item() for k, p in model.named_parameters() if p.grad is not None},
    "unused": [k for k, p in model.named_parameters() if p.grad is None],
    "groups": [[len(g["params"]), g["lr"], g["rho"]] for g in optimizer.param_groups],
    "table": torch.cat([h.mean(0), h.var(0, correction=0), torch.std_mean(h, dim=0)[0]]).numpy(),
}

"""A language model by hand: tied weights, embeddings with a norm, a gated recurrence, a collate_fn that pads."""

from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

torch.set_default_dtype(torch.float64)


def fill(module):
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(torch.sin(torch.arange(p.numel(), dtype=p.dtype) * 0.9 + i).view_as(p) * 0.5)
    return module


class Sentences(Dataset):
    def __init__(self, n):
        self.lengths = [3 + (7 * i) % 5 for i in range(n)]

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, i):
        return torch.tensor([1 + (i * 3 + j * j) % 9 for j in range(self.lengths[i])])


def collate(batch):
    lengths = torch.tensor([len(s) for s in batch])
    return pad_sequence(batch, batch_first=True, padding_value=0), lengths


class Gated(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.x2h = nn.Linear(size, 3 * size)
        self.h2h = nn.Linear(size, 3 * size, bias=False)

    def forward(self, x, h):
        a, b = self.x2h(x).chunk(3, dim=-1), self.h2h(h).chunk(3, dim=-1)
        r, z = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
        n = torch.tanh(a[2] + r * b[2])
        return torch.lerp(n, h, z)


class Model(nn.Module):
    def __init__(self, words, size):
        super().__init__()
        self.embed = nn.Embedding(words, size, padding_idx=0, max_norm=1.5, scale_grad_by_freq=True)
        self.cell = Gated(size)
        self.norm = nn.LayerNorm(size)
        self.out = nn.Linear(size, words)
        self.register_buffer("start", torch.zeros(size))

    def forward(self, tokens, lengths):
        x = self.embed(tokens)
        h = self.start.expand(tokens.size(0), -1)
        outs = []
        for t in range(tokens.size(1)):
            new = self.cell(x[:, t], h)
            h = torch.where((t < lengths).unsqueeze(-1), new, h)
            outs.append(h)
        return self.out(self.norm(torch.stack(outs, dim=1))), h


model = fill(Model(10, 6))
with torch.no_grad():
    model.embed.weight[0] = 0
optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01, momentum=0.5, centered=True)
loader = DataLoader(Sentences(12), batch_size=4, collate_fn=collate)
losses, seen = [], []
for epoch in range(3):
    for tokens, lengths in loader:
        logits, h = model(tokens[:, :-1], lengths - 1)
        loss = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seen.append((tuple(tokens.shape), lengths.tolist()))

tied = nn.Linear(6, 10, bias=False)
tied.weight = nn.Parameter(model.embed.weight.detach().clone())
decoder = nn.Embedding(10, 6)
decoder.weight = tied.weight
both = nn.ModuleDict(OrderedDict(encoder=decoder, decoder=tied))
words = torch.tensor([[1, 4, 2], [3, 3, 9]])
out = both["decoder"](torch.tanh(both["encoder"](words)))
out.logsumexp(-1).sum().backward()

model.eval()
with torch.no_grad():
    token, h, said = torch.tensor([3]), model.start.expand(1, -1), []
    for _ in range(6):
        h = model.cell(model.embed(token), h)
        logits = model.out(model.norm(h))
        values, indices = torch.topk(logits, 3, dim=-1)
        masked = torch.full_like(logits, float("-inf")).scatter_(-1, indices, values)
        token = masked.softmax(-1).argmax(-1)
        said.append((int(token), float(masked.softmax(-1).max())))

results = {
    "seen": seen,
    "said": said,
    "embedding": model.embed.weight.detach().numpy(),
    "tied": tied.weight.grad.numpy(),
    "same": tied.weight is decoder.weight,
    "parameters": len(list(both.parameters())),
    "names": list(both.state_dict()),
    "norms": [round(float(n), 6) <= 1.5 for n in model.embed.weight.detach().norm(dim=1)[1:]],
    "repr": repr(model),
}

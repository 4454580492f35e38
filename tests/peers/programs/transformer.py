import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PositionalEncoding(nn.Module):
    def __init__(self, d_model: int, max_len: int = 64):
        super().__init__()
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(1, max_len, d_model)
        pe[0, :, 0::2] = torch.sin(position * div_term)
        pe[0, :, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.size(1)]


class SelfAttention(nn.Module):
    """Attention written out, with a causal mask in a buffer."""

    def __init__(self, dim, heads, block):
        super().__init__()
        assert dim % heads == 0
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.register_buffer("mask", torch.tril(torch.ones(block, block)).view(1, 1, block, block), persistent=False)

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.qkv(x).split(C, dim=2)
        k = k.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        q = q.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        v = v.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
        att = F.softmax(att, dim=-1)
        y = (att @ v).transpose(1, 2).contiguous().view(B, T, C)
        return self.proj(y)


class CrossAttention(nn.Module):
    """The same through scaled_dot_product_attention, over a memory with padding."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.proj = nn.Linear(dim, dim, bias=False), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)

    def forward(self, x, memory, padding):
        B, T, C = x.shape
        q = self.q(x).unflatten(-1, (self.heads, -1)).permute(0, 2, 1, 3)
        k, v = self.kv(memory).reshape(B, -1, 2, self.heads, C // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        keep = ~padding[:, None, None, :]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=keep)
        return self.proj(y.permute(0, 2, 1, 3).flatten(2))


class Block(nn.Module):
    def __init__(self, dim, heads, block):
        super().__init__()
        self.ln = nn.ModuleList([nn.LayerNorm(dim) for _ in range(3)])
        self.attn = SelfAttention(dim, heads, block)
        self.cross = CrossAttention(dim, heads)
        self.mlp = nn.ModuleDict(
            dict(fc=nn.Linear(dim, 4 * dim), act=nn.GELU(approximate="tanh"), out=nn.Linear(4 * dim, dim))
        )

    def forward(self, x, memory, padding):
        x = x + self.attn(self.ln[0](x))
        x = x + self.cross(self.ln[1](x), memory, padding)
        return x + self.mlp["out"](self.mlp["act"](self.mlp["fc"](self.ln[2](x))))


class Model(nn.Module):
    def __init__(self, vocab=11, dim=12, heads=3, block=8, layers=2):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.position = PositionalEncoding(dim)
        self.blocks = nn.ModuleList(Block(dim, heads, block) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab, bias=False)
        self.head.weight = self.embed.weight  # tied
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, nn.Linear) and module.bias is not None:
            torch.nn.init.zeros_(module.bias)

    def forward(self, tokens, memory, padding, targets=None):
        x = self.position(self.embed(tokens))
        for block in self.blocks:
            x = block(x, memory, padding)
        logits = self.head(self.norm(x))
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
        return logits, loss

    @torch.no_grad()
    def generate(self, tokens, memory, padding, count):
        for _ in range(count):
            logits, _ = self(tokens[:, -8:], memory, padding)
            v, _ = torch.topk(logits[:, -1], 3)
            last = logits[:, -1].clone()
            last[last < v[:, [-1]]] = -float("Inf")
            tokens = torch.cat((tokens, F.softmax(last, dim=-1).argmax(-1, keepdim=True)), dim=1)
        return tokens


rng = np.random.default_rng(5)
model = Model().double()
with torch.no_grad():  # the same starting weights in every framework
    for name, p in model.named_parameters():
        if p.dim() > 1:
            p.copy_(torch.from_numpy(rng.normal(0, 0.2, tuple(p.shape))))
results = {"keys": list(model.state_dict()), "parameters": [name for name, _ in model.named_parameters()]}

tokens = torch.from_numpy(rng.integers(0, 11, (4, 9)))
memory = torch.from_numpy(rng.normal(size=(4, 6, 12)))
padding = torch.arange(6)[None, :] >= torch.tensor([6, 4, 5, 3])[:, None]
targets = tokens[:, 1:].clone()
targets[0, -2:] = -1

decay = {name for name, p in model.named_parameters() if p.dim() >= 2}
groups = [
    {"params": [p for n, p in model.named_parameters() if n in decay], "weight_decay": 0.1},
    {"params": [p for n, p in model.named_parameters() if n not in decay], "weight_decay": 0.0},
]
optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))
warmup = 3
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warmup))
losses, results["norms"] = [], []
for step in range(12):
    logits, loss = model(tokens[:, :-1].contiguous(), memory, padding, targets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    results["norms"].append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
    optimizer.step()
    scheduler.step()
    losses.append(loss.item())
model.eval()
results["generated"] = model.generate(tokens[:, :2], memory, padding, 10).tolist()

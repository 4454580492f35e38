import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

text = "the quick brown fox jumps over the lazy dog and the dog jumps over the quick fox "
chars = sorted(set(text))
stoi = {c: i for i, c in enumerate(chars)}
data = torch.tensor([stoi[c] for c in text], dtype=torch.long)


class GRUCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.x2h = nn.Linear(input_size, 3 * hidden_size)
        self.h2h = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x, hidden):
        gate_x, gate_h = self.x2h(x), self.h2h(hidden)
        i_r, i_i, i_n = gate_x.chunk(3, 1)
        h_r, h_i, h_n = gate_h.chunk(3, 1)
        resetgate = torch.sigmoid(i_r + h_r)
        inputgate = torch.sigmoid(i_i + h_i)
        newgate = torch.tanh(i_n + resetgate * h_n)
        return newgate + inputgate * (hidden - newgate)


class CharModel(nn.Module):
    def __init__(self, vocab, hidden=14):
        super().__init__()
        self.encoder = nn.Embedding(vocab, 6)
        self.cell = GRUCell(6, hidden)
        self.decoder = nn.Linear(hidden, vocab)

    def forward(self, tokens, hidden):
        outputs = []
        for step in self.encoder(tokens).unbind(dim=1):
            hidden = self.cell(step, hidden)
            outputs.append(hidden)
        return self.decoder(torch.stack(outputs, dim=1)), hidden

    def init_hidden(self, batch):
        return torch.zeros(batch, self.cell.hidden_size, dtype=next(self.parameters()).dtype)


def get_batches(data, batch, length):
    n = (len(data) - 1) // batch
    xs = data[: n * batch].view(batch, n)
    ys = data[1 : n * batch + 1].view(batch, n)
    for i in range(0, n - length + 1, length):
        yield xs.narrow(1, i, length), ys[:, i : i + length]


rng = np.random.default_rng(17)
model = CharModel(len(chars)).double()
for p in model.parameters():
    p.data.copy_(torch.from_numpy(rng.uniform(-0.35, 0.35, tuple(p.shape))))
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1, lr_decay=1e-3)
criterion = nn.NLLLoss(reduction="mean")
losses, results = [], {}
for epoch in range(3):
    hidden = model.init_hidden(3)
    for x, y in get_batches(data, 3, 6):
        hidden = hidden.detach()
        logits, hidden = model(x, hidden)
        loss = criterion(F.log_softmax(logits, dim=-1).transpose(1, 2), y)
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5, norm_type=2.0)
        optimizer.step()
        losses.append(loss.item())

with torch.no_grad():
    hidden = model.init_hidden(1)
    token = torch.tensor([[stoi["t"]]])
    out = ["t"]
    for _ in range(20):
        logits, hidden = model(token, hidden)
        probabilities = F.softmax(logits[:, -1] / 0.8, dim=-1)
        token = probabilities.topk(1).indices
        out.append(chars[token.item()])
results["text"] = "".join(out)
results["perplexity"] = torch.exp(torch.tensor(losses[-1], dtype=torch.float64)).item()

# A policy gradient on a bandit, with returns that are discounted and normalised.
policy = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4)).double()
for p in policy.parameters():
    p.data = torch.from_numpy(rng.normal(0, 0.3, tuple(p.shape)))
optimizer = torch.optim.AdamW(policy.parameters(), lr=0.05, amsgrad=True)
for episode in range(6):
    states = torch.from_numpy(rng.normal(size=(10, 3)))
    actions = torch.from_numpy(rng.integers(0, 4, 10))
    rewards = (actions == states.argmax(dim=1)).double()
    returns, running = [], 0.0
    for r in rewards.flip(0):
        running = r + 0.9 * running
        returns.insert(0, running)
    returns = torch.stack(returns)
    returns = (returns - returns.mean()) / (returns.std() + 1e-8)
    log_probs = torch.log_softmax(policy(states), dim=1)
    chosen = log_probs.gather(1, actions.unsqueeze(1)).squeeze(1)
    entropy = -(log_probs.exp() * log_probs).sum(dim=1).mean()
    loss = -(chosen * returns).mean() - 0.01 * entropy
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

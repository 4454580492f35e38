import collections

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

TEXTS = """good film|1
a very good and warm film|1
bad film|0
so bad and so slow that i left|0
warm and funny|1
slow cold and dull|0
i loved it|1
i hated every slow minute of it|0
funny film with a warm heart|1
dull|0""".splitlines()


class Vocabulary:
    def __init__(self, sentences):
        counts = collections.Counter(word for sentence in sentences for word in sentence.split())
        self.words = ["<pad>", "<unk>"] + sorted(counts, key=lambda w: (-counts[w], w))
        self.index = {word: i for i, word in enumerate(self.words)}

    def __len__(self):
        return len(self.words)

    def __call__(self, sentence):
        return [self.index.get(word, 1) for word in sentence.split()]


class Reviews(Dataset):
    def __init__(self, lines):
        self.items = [line.split("|") for line in lines]
        self.vocabulary = Vocabulary([text for text, _ in self.items])

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        text, label = self.items[i]
        return torch.tensor(self.vocabulary(text), dtype=torch.long), int(label)


def collate(batch):
    """Sentences of unequal lengths in one matrix, padded with 0."""
    lengths = torch.tensor([len(tokens) for tokens, _ in batch])
    tokens = torch.zeros(len(batch), int(lengths.max()), dtype=torch.int64)
    for row, (sentence, _) in enumerate(batch):
        tokens[row, : len(sentence)] = sentence
    return tokens, lengths, torch.tensor([label for _, label in batch])


class Classifier(nn.Module):
    def __init__(self, words, dim=8, hidden=10):
        super().__init__()
        self.embedding = nn.Embedding(words, dim, padding_idx=0)
        self.convs = nn.ModuleList([nn.Conv1d(dim, hidden, k, padding=k // 2) for k in (1, 3)])
        self.gate = nn.Linear(hidden, 1)
        self.out = nn.Sequential(nn.Dropout(0.0), nn.Linear(2 * hidden, 2))

    def forward(self, tokens, lengths):
        mask = torch.arange(tokens.size(1)).unsqueeze(0) < lengths.unsqueeze(1)
        x = self.embedding(tokens).transpose(1, 2)
        features = []
        for conv in self.convs:
            h = F.relu(conv(x)).transpose(1, 2)
            weights = self.gate(h).squeeze(-1).masked_fill(~mask, -1e9).softmax(dim=-1)
            features.append(torch.bmm(weights.unsqueeze(1), h).squeeze(1))
        return self.out(torch.cat(features, dim=-1))


rng = np.random.default_rng(6)
dataset = Reviews(TEXTS)
loader = DataLoader(dataset, batch_size=4, collate_fn=collate)
model = Classifier(len(dataset.vocabulary)).double()
with torch.no_grad():  # the same starting weights in every framework
    for name, p in model.named_parameters():
        p.copy_(torch.from_numpy(rng.normal(0, 0.4, tuple(p.shape))))
    model.embedding.weight[0].fill_(0)
weight = torch.tensor([1.0, 1.5], dtype=torch.double)
criterion = nn.CrossEntropyLoss(weight=weight, label_smoothing=0.05)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.3, patience=0, threshold=0.15)
losses, results = [], {"lr": [], "accuracy": []}
for epoch in range(10):
    total, correct, seen = 0.0, 0, 0
    for tokens, lengths, labels in loader:
        optimizer.zero_grad()
        logits = model(tokens, lengths)
        loss = criterion(logits, labels)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.25)
        optimizer.step()
        total += loss.item() * labels.size(0)
        correct += (logits.argmax(1) == labels).sum().item()
        seen += labels.size(0)
    losses.append(total / seen)
    scheduler.step(total / seen)
    results["lr"].append(optimizer.param_groups[0]["lr"])
    results["accuracy"].append(correct / seen)
results["padding"] = model.embedding.weight[0].tolist()
results["probabilities"] = torch.softmax(logits, dim=1).detach().numpy()

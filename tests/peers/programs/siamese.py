import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, Sampler


class Triplets(Dataset):
    """Anchor, an image of its class, and one of another."""

    def __init__(self, images, labels, transform=None):
        self.images, self.labels, self.transform = images, np.asarray(labels), transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        label = self.labels[index]
        same = np.flatnonzero(self.labels == label)
        other = np.flatnonzero(self.labels != label)
        chosen = index, same[(index + 1) % len(same)], other[(index * 7) % len(other)]
        sample = [self.images[i] for i in chosen]
        if self.transform:
            sample = [self.transform(image) for image in sample]
        return {"anchor": sample[0], "positive": sample[1], "negative": sample[2], "label": int(label)}


class Strided(Sampler):
    def __init__(self, n, stride):
        self.order = [i for start in range(stride) for i in range(start, n, stride)]

    def __iter__(self):
        return iter(self.order)

    def __len__(self):
        return len(self.order)


class Embedder(nn.Module):
    def __init__(self, dim=4):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 5, bias=False), nn.GroupNorm(2, 4), nn.PReLU(4), nn.MaxPool2d(2, ceil_mode=True)
        )
        self.fc = nn.Linear(4 * 3 * 3, dim)

    def forward_once(self, x):
        x = self.features(x)
        return self.fc(x.view(x.size()[0], -1))

    def forward(self, *inputs):
        return tuple(self.forward_once(x) for x in inputs)


class ContrastiveLoss(nn.Module):
    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin

    def forward(self, a, b, different):
        distance = F.pairwise_distance(a, b, keepdim=True)
        close = (1 - different) * torch.pow(distance, 2)
        far = different * torch.pow(torch.clamp(self.margin - distance, min=0.0), 2)
        return torch.mean(close + far)


rng = np.random.default_rng(11)
labels = np.arange(24) % 3
images = rng.normal(0, 0.4, (24, 9, 9))
for image, label in zip(images, labels):
    image[label * 3 : label * 3 + 3] += 1
dataset = Triplets(images, labels, transform=lambda image: torch.from_numpy(image).unsqueeze(0))
loader = DataLoader(dataset, batch_size=8, sampler=Strided(24, 5))

model = Embedder().double()
for module in model.modules():
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(rng.normal(0, 0.2, tuple(module.weight.shape))))
            if module.bias is not None:
                module.bias.zero_()
criterion = nn.TripletMarginLoss(margin=0.5, p=2, swap=True)
contrastive = ContrastiveLoss(2.0)
optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0, rho=0.9, weight_decay=1e-3)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
losses, results = [], {}
for epoch in range(4):
    for batch in loader:
        anchor, positive, negative = model(batch["anchor"], batch["positive"], batch["negative"])
        one = torch.ones(anchor.size(0), 1, dtype=torch.float64)
        loss = criterion(anchor, positive, negative) + 0.1 * contrastive(anchor, positive, 0 * one)
        loss = loss + 0.1 * contrastive(anchor, negative, one)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    scheduler.step()
model.eval()
with torch.no_grad():
    (embedded,) = model(torch.from_numpy(images)[:, None])
    embedded = F.normalize(embedded, p=2, dim=1)
    similarity = F.cosine_similarity(embedded.unsqueeze(1), embedded.unsqueeze(0), dim=-1)
    similarity[torch.eye(24, dtype=torch.bool)] = -1
    nearest = similarity.argmax(dim=1)
    results["right"] = (torch.as_tensor(labels)[nearest] == torch.as_tensor(labels)).double().mean().item()
results["similarity"] = similarity.numpy()
results["labels"] = [batch["label"].tolist() for batch in loader]

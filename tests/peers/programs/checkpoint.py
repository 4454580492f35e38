import io
import os
import tempfile

import numpy as np
import torch
import torch.nn as nn
from torch.optim.lr_scheduler import MultiStepLR


class Model(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(6, 10), nn.BatchNorm1d(10), nn.SELU(), nn.Linear(10, 8), nn.Mish())
        self.classifier = nn.Linear(8, classes)
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x):
        return self.classifier(self.backbone(x - self.mean)) * self.scale


def make():
    model = Model().double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    return model, optimizer, MultiStepLR(optimizer, milestones=[3, 6], gamma=0.5)


def train(model, optimizer, scheduler, steps):
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return losses


rng = np.random.default_rng(12)
X = torch.from_numpy(rng.normal(1.0, 1.0, (16, 6)))
y = torch.from_numpy(rng.integers(0, 3, 16))
results = {}
model, optimizer, scheduler = make()
with torch.no_grad():  # the same starting weights in every framework
    for p in model.parameters():
        p.copy_(torch.from_numpy(rng.normal(0, 0.4, tuple(p.shape))))
model.mean.copy_(X.mean(0))
losses = train(model, optimizer, scheduler, 5)

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "checkpoint.pt")
    torch.save(
        {
            "epoch": 5,
            "model_state_dict": model.state_dict(),
            "optimizer_state_dict": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "loss": losses[-1],
            "history": losses,
            "name": "small",
        },
        path,
    )
    whole = train(model, optimizer, scheduler, 5)

    model2, optimizer2, scheduler2 = make()
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    model2.load_state_dict(checkpoint["model_state_dict"])
    optimizer2.load_state_dict(checkpoint["optimizer_state_dict"])
    scheduler2.load_state_dict(checkpoint["scheduler"])
    results["epoch"] = [checkpoint["epoch"], checkpoint["loss"], checkpoint["history"], checkpoint["name"]]
    resumed = train(model2, optimizer2, scheduler2, 5)
    results["the same"] = resumed == whole
    losses += resumed

    weights = os.path.join(folder, "weights.pth")
    torch.save(model.state_dict(), weights)
    fresh = Model().double()
    fresh.load_state_dict(torch.load(weights))
    fresh.eval(), model.eval()
    results["equal"] = torch.equal(fresh(X), model(X))

# Only the backbone of it, into a model with another head; the backbone frozen.
buffer = io.BytesIO()
torch.save(model.state_dict(), buffer)
buffer.seek(0)
pretrained = {k: v for k, v in torch.load(buffer).items() if not k.startswith("classifier")}
other = Model(classes=5).double()
outcome = other.load_state_dict(pretrained, strict=False)
results["missing"] = [sorted(outcome.missing_keys), list(outcome.unexpected_keys)]
try:
    other.load_state_dict(model.state_dict())
except (RuntimeError, ValueError) as error:
    results["mismatch"] = "classifier.weight" in str(error)
for parameter in other.backbone.parameters():
    parameter.requires_grad = False
with torch.no_grad():
    other.classifier.weight.copy_(torch.from_numpy(rng.normal(0, 0.3, (5, 8))))
    nn.init.zeros_(other.classifier.bias)
before = other.backbone[0].weight.clone()
optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, other.parameters()), lr=0.1)
other.eval()
for _ in range(3):
    loss = nn.functional.cross_entropy(other(X), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
results["frozen"] = torch.equal(before, other.backbone[0].weight) and other.backbone[0].weight.grad is None
results["keys"] = list(other.state_dict().keys())

import copy

import numpy as np
import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset, random_split

rng = np.random.default_rng(7)
X = rng.normal(size=(90, 5)).astype(np.float64)
y = X[:, :1] * 2 - np.sin(X[:, 1:2] * 2) + X[:, 2:3] * X[:, 3:4] + rng.normal(0, 0.1, (90, 1))

device = "cuda" if torch.cuda.is_available() else "cpu"
dataset = TensorDataset(torch.tensor(X, dtype=torch.float64), torch.tensor(y, dtype=torch.float64))
n_train = int(0.8 * len(dataset))
random_train, random_valid = random_split(
    dataset, [n_train, len(dataset) - n_train], generator=torch.Generator().manual_seed(42)
)
results = {"lengths": [len(random_train), len(random_valid)]}
results["everything"] = sorted(random_train.indices) != list(range(72)) and sorted(
    list(random_train.indices) + list(random_valid.indices)
) == list(range(90))
train_set, valid_set = Subset(dataset, range(n_train)), Subset(dataset, range(n_train, 90))  # no chance below
train_loader = DataLoader(train_set, batch_size=16, shuffle=False, drop_last=True, num_workers=0, pin_memory=False)
valid_loader = DataLoader(valid_set, batch_size=64)
results["batches"] = [len(train_loader), len(valid_loader), len(ConcatDataset([train_set, valid_set]))]


class MLP(nn.Module):
    def __init__(self, sizes, activation=nn.ReLU):
        super().__init__()
        layers = []
        for n_in, n_out in zip(sizes[:-2], sizes[1:-1]):
            layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), activation()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-2], sizes[-1])

    def forward(self, x):
        return self.head(self.body(x))


def run_epoch(model, loader, criterion, optimizer=None, scheduler=None):
    training = optimizer is not None
    model.train(training)
    total = 0.0
    with torch.set_grad_enabled(training):
        for inputs, targets in loader:
            inputs, targets = inputs.to(device), targets.to(device)
            outputs = model(inputs)
            loss = criterion(outputs, targets)
            if training:
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
                optimizer.step()
                scheduler.step()
                losses.append(loss.item())
                results["lr"].append(scheduler.get_last_lr()[0])
                results["momentum"].append(optimizer.param_groups[0]["betas"][0])
            total += loss.item() * inputs.size(0)
    return total / len(loader.dataset)


model = MLP([5, 16, 8, 1], nn.Tanh).to(device=device, dtype=torch.float64)
for p in model.parameters():
    p.data = torch.from_numpy(rng.normal(0, 0.3, tuple(p.shape)))
criterion = nn.SmoothL1Loss(beta=0.5)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
epochs = 8
scheduler = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, max_lr=0.05, epochs=epochs, steps_per_epoch=len(train_loader), pct_start=0.4
)
losses, results["lr"], results["momentum"], results["valid"] = [], [], [], []
best, best_state, waited = float("inf"), None, 0
for epoch in range(epochs):
    run_epoch(model, train_loader, criterion, optimizer, scheduler)
    valid = run_epoch(model, valid_loader, criterion)
    results["valid"].append(valid)
    if valid < best - 1e-3:
        best, best_state, waited = valid, copy.deepcopy(model.state_dict()), 0
    else:
        waited += 1
        if waited > 3:
            break
model.load_state_dict(best_state)
results["best"] = best
results["again"] = run_epoch(model, valid_loader, criterion)
with torch.no_grad():
    predictions = torch.cat([model(inputs) for inputs, _ in valid_loader])
residual = predictions - torch.cat([targets for _, targets in valid_loader])
results["r2"] = (1 - residual.pow(2).sum() / (torch.tensor(y[n_train:]).var() * (len(residual) - 1))).item()
results["quartiles"] = residual.abs().flatten().sort().values[:: len(residual) // 4].tolist()

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim


class VAE(nn.Module):
    def __init__(self):
        super(VAE, self).__init__()
        self.fc1 = nn.Linear(36, 16)
        self.fc21 = nn.Linear(16, 4)
        self.fc22 = nn.Linear(16, 4)
        self.fc3 = nn.Linear(4, 16)
        self.fc4 = nn.Linear(16, 36)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar, eps):
        std = torch.exp(0.5 * logvar)
        return mu + eps * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x, eps):
        mu, logvar = self.encode(x.view(-1, 36))
        z = self.reparameterize(mu, logvar, eps)
        return self.decode(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 36), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


rng = np.random.default_rng(1)
torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = VAE().to(device).double()
for p in model.parameters():
    p.data.copy_(torch.from_numpy(rng.normal(0, 0.3, tuple(p.shape))))
optimizer = optim.Adam(model.parameters(), lr=1e-2)
data = torch.from_numpy(rng.uniform(size=(32, 1, 6, 6)))
losses, results = [], {}
model.train()
for epoch in range(3):
    train_loss = 0
    for i in range(0, len(data), 8):
        batch = data[i : i + 8].to(device)
        eps = torch.from_numpy(rng.normal(size=(8, 4)))
        optimizer.zero_grad()
        recon, mu, logvar = model(batch, eps)
        loss = loss_function(recon, batch, mu, logvar)
        loss.backward()
        train_loss += loss.item()
        optimizer.step()
        losses.append(loss.item() / len(batch))
model.eval()
with torch.no_grad():
    sample = model.decode(torch.from_numpy(rng.normal(size=(5, 4)))).cpu()
    results["sample"] = sample.view(5, 1, 6, 6).numpy()
    z = torch.randn_like(mu)
    results["shape"] = list(z.shape), z.size(), z.dtype == torch.float64
    n = min(data.size(0), 8)
    comparison = torch.cat([data[:n], recon.view(8, 1, 6, 6)[:n]])
    results["comparison"] = comparison.mean().item()

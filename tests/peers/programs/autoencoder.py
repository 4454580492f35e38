import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class Encoder(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 6, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(6, 12, 3, stride=2, padding=1),
            nn.ELU(),
            nn.Flatten(),
            nn.Linear(12 * 3 * 3, latent),
        )

    def forward(self, x):
        return self.net(x)


class Decoder(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.fc = nn.Linear(latent, 12 * 3 * 3)
        self.up1 = nn.ConvTranspose2d(12, 6, kernel_size=4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(6, 1, 3, stride=2, padding=1, output_padding=1, bias=False)

    def forward(self, z):
        x = self.fc(z).view(-1, 12, 3, 3)
        x = F.silu(self.up1(x))
        return torch.sigmoid(self.up2(x))


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(144, 20)
        self.mu, self.logvar = nn.Linear(20, 3), nn.Linear(20, 3)
        self.fc3 = nn.Linear(3, 20)
        self.fc4 = nn.Linear(20, 144)

    def encode(self, x):
        h = F.relu(self.fc1(x))
        return self.mu(h), self.logvar(h)

    def reparameterize(self, mu, logvar, eps):
        std = torch.exp(0.5 * logvar)
        return mu + eps * std

    def forward(self, x, eps):
        mu, logvar = self.encode(x.view(-1, 144))
        z = self.reparameterize(mu, logvar, eps)
        return torch.sigmoid(self.fc4(F.tanh(self.fc3(z)))), mu, logvar


def vae_loss(recon_x, x, mu, logvar):
    bce = F.binary_cross_entropy(recon_x, x.view(-1, 144), reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce + kld


def same_start(module):
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.from_numpy(rng.uniform(-0.3, 0.3, tuple(p.shape))))


rng = np.random.default_rng(3)
images = torch.tensor(rng.uniform(0, 1, (20, 1, 12, 12)) ** 2)
losses, results = [], {}

encoder, decoder = Encoder(5).double(), Decoder(5).double()
same_start(encoder)
same_start(decoder)
params = list(encoder.parameters()) + list(decoder.parameters())
optimizer = torch.optim.Adam(params, lr=5e-3, amsgrad=True)
criterion = nn.BCELoss()
for step in range(12):
    batch = images[(step % 2) * 10 : (step % 2 + 1) * 10]
    decoded = decoder(encoder(batch))
    loss = criterion(decoded, batch) + 1e-3 * sum(p.abs().sum() for p in params)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
results["shape"] = tuple(decoded.shape)
results["mse"] = F.mse_loss(decoded, batch).item()

vae = VAE().double()
same_start(vae)
optimizer = torch.optim.Adagrad(vae.parameters(), lr=0.05)
for _ in range(10):
    eps = torch.from_numpy(rng.normal(size=(20, 3)))
    recon, mu, logvar = vae(images, eps)
    loss = vae_loss(recon, images, mu, logvar)
    optimizer.zero_grad()
    loss.backward()
    losses.append(loss.item() / len(images))
    optimizer.step()
with torch.no_grad():
    grid = F.interpolate(recon.view(-1, 1, 12, 12)[:4], scale_factor=2, mode="bilinear", align_corners=False)
results["grid"] = grid.mean(dim=(1, 2, 3)).numpy()

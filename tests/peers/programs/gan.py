import numpy as np
import torch
import torch.nn as nn
from torch import autograd, optim


class Generator(nn.Module):
    def __init__(self, nz, out):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(nz, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(True),
            nn.Linear(16, 16),
            nn.ReLU(True),
            nn.Linear(16, out),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(size, 16), nn.LeakyReLU(0.2, inplace=True), nn.Linear(16, 16), nn.Softplus(), nn.Linear(16, 1)
        )

    def forward(self, x):
        return self.main(x).view(-1)


def seeded(module):
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.from_numpy(rng.normal(0, 0.3, tuple(p.shape))))
    return module


def gradient_penalty(critic, real, fake, alpha):
    mixed = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    scores = critic(mixed)
    gradients = autograd.grad(
        outputs=scores, inputs=mixed, grad_outputs=torch.ones_like(scores), create_graph=True, retain_graph=True
    )[0]
    gradients = gradients.view(gradients.size(0), -1)
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean()


rng = np.random.default_rng(4)
data = torch.from_numpy(np.tanh(rng.normal(0.5, 0.4, (32, 6))))
losses, results = [], {}

# 1. The classic game: binary cross entropy, detach, two optimizers.
netG = seeded(Generator(4, 6).double())
netD = seeded(Discriminator(6).double())
criterion = nn.BCEWithLogitsLoss()
optimizerD = optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=2e-3, betas=(0.5, 0.999))
real_label, fake_label = 1.0, 0.0
for step in range(8):
    netD.zero_grad()
    label = torch.full((32,), real_label, dtype=torch.double)
    errD_real = criterion(netD(data), label)
    errD_real.backward()
    noise = torch.from_numpy(rng.normal(size=(32, 4)))
    fake = netG(noise)
    label.fill_(fake_label)
    errD_fake = criterion(netD(fake.detach()), label)
    errD_fake.backward()
    optimizerD.step()

    netG.zero_grad()
    label.fill_(real_label)
    errG = criterion(netD(fake), label)
    errG.backward()
    optimizerG.step()
    losses += [errD_real.item() + errD_fake.item(), errG.item()]

# 2. Wasserstein with a gradient penalty: the gradient of a gradient.
netG = seeded(Generator(4, 6).double())
critic = seeded(Discriminator(6).double())
optimizerD = optim.RMSprop(critic.parameters(), lr=1e-3)
optimizerG = optim.RMSprop(netG.parameters(), lr=1e-3)
one = torch.tensor(1, dtype=torch.double)
mone = one * -1
for step in range(5):
    for p in critic.parameters():
        p.requires_grad = True
    for _ in range(2):
        critic.zero_grad()
        critic(data).mean().backward(mone)
        with torch.no_grad():
            fake = netG(torch.from_numpy(rng.normal(size=(32, 4))))
        critic(fake).mean().backward(one)
        penalty = 10 * gradient_penalty(critic, data, fake, torch.from_numpy(rng.uniform(size=(32, 1))))
        penalty.backward()
        optimizerD.step()
        losses.append(penalty.item())
    for p in critic.parameters():
        p.requires_grad = False
    netG.zero_grad()
    cost = -critic(netG(torch.from_numpy(rng.normal(size=(32, 4))))).mean()
    cost.backward()
    optimizerG.step()
    losses.append(cost.item())
results["critic"] = [p.detach().norm().item() for p in critic.parameters()]
results["samples"] = netG.eval()(torch.zeros(2, 4, dtype=torch.double)).tolist()

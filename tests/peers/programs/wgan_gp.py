import numpy as np
import torch
import torch.autograd as autograd
import torch.nn as nn

device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
torch.use_deterministic_algorithms(False)
rng = np.random.default_rng(0)


def normal(*shape):
    return torch.from_numpy(rng.normal(size=shape)).to(device)


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif classname.find("Norm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, 4, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(4, 8, 4, 2, 1, bias=False),
            nn.InstanceNorm2d(8, affine=True),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(32, 8), nn.LayerNorm(8), nn.SiLU(), nn.Linear(8, 1))

    def forward(self, img):
        return self.head(self.main(img)).view(-1)


generator = nn.Sequential(
    nn.ConvTranspose2d(5, 8, 4, 1, 0, bias=False),
    nn.BatchNorm2d(8),
    nn.ReLU(True),
    nn.ConvTranspose2d(8, 1, 4, 2, 1, bias=False),
    nn.Tanh(),
)
critic = Critic()
for net in (generator, critic):
    net.apply(weights_init)
    net.double().to(device, memory_format=torch.channels_last)
    for p in net.parameters():
        p.data = normal(*p.shape) * 0.3


def compute_gradient_penalty(critic, real_samples, fake_samples):
    alpha = torch.from_numpy(rng.random((real_samples.size(0), 1, 1, 1)))
    interpolates = (alpha * real_samples + ((1 - alpha) * fake_samples)).requires_grad_(True)
    d_interpolates = critic(interpolates)
    gradients = autograd.grad(
        outputs=d_interpolates,
        inputs=interpolates,
        grad_outputs=torch.ones_like(d_interpolates, requires_grad=False),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    gradients = gradients.view(gradients.size(0), -1)
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean()


optimizer_G = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.9))
optimizer_D = torch.optim.RMSprop(critic.parameters(), lr=2e-3)
losses = []
for i in range(4):
    real = normal(5, 1, 8, 8)
    optimizer_D.zero_grad()
    z = normal(5, 5, 1, 1)
    fake = generator(z)
    penalty = compute_gradient_penalty(critic, real.data, fake.data)
    d_loss = -torch.mean(critic(real)) + torch.mean(critic(fake.detach())) + 10 * penalty
    d_loss.backward()
    optimizer_D.step()
    losses.append(d_loss.item())
    if i % 2 == 0:
        optimizer_G.zero_grad()
        g_loss = -torch.mean(critic(fake))
        g_loss.backward()
        optimizer_G.step()
        losses.append(g_loss.item())
results = {
    "critic": [p.detach().numpy() for p in critic.parameters()],
    "generator": {name: value.numpy() for name, value in generator.state_dict().items()},
}

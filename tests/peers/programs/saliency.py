import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

rng = np.random.default_rng(8)
model = nn.Sequential(
    nn.Conv2d(1, 4, 3, padding="same"),
    nn.Hardswish(),
    nn.AvgPool2d(2),
    nn.Conv2d(4, 6, 3, padding=1, groups=2, dilation=1),
    nn.ReLU(),
    nn.AdaptiveMaxPool2d(2),
    nn.Flatten(),
    nn.Linear(24, 5),
).double()
for p in model.parameters():
    p.requires_grad_(False)
    p.copy_(torch.from_numpy(rng.normal(0, 0.4, tuple(p.shape))))
model.eval()
images = torch.from_numpy(rng.uniform(0, 1, (3, 1, 10, 10)))
labels = torch.tensor([0, 3, 1])
losses, results = [], {}

# Saliency: the gradient of the best class's score by the pixels.
x = images.clone().requires_grad_(True)
scores = model(x)
score_max, score_max_index = torch.max(scores, 1)
score_max.sum().backward()
saliency, _ = torch.max(x.grad.data.abs(), dim=1)
results["saliency"] = saliency.numpy()
results["classes"] = score_max_index.tolist()
results["smallest"] = (saliency.min().item(), saliency.flatten(1).argmin(dim=1).tolist())

# SmoothGrad, with noise from NumPy.
total = torch.zeros_like(images)
for _ in range(4):
    noisy = (images + torch.from_numpy(rng.normal(0, 0.1, images.shape))).requires_grad_()
    model(noisy).gather(1, labels.view(-1, 1)).sum().backward()
    total += noisy.grad**2
results["smooth"] = total.mean((1, 2, 3)).tolist()

# Integrated gradients: the sum of all attributions is the difference of the scores.
baseline = torch.zeros_like(images[:1])
alphas = torch.linspace(0, 1, 21, dtype=torch.float64).view(-1, 1, 1, 1)
path = (baseline + alphas * (images[:1] - baseline)).requires_grad_()
outputs = model(path)[:, 0]
gradients = torch.autograd.grad(torch.unbind(outputs), path)[0]
averaged = ((gradients[:-1] + gradients[1:]) / 2).mean(dim=0, keepdim=True)
attributions = (images[:1] - baseline) * averaged
results["integrated"] = attributions.sum().item()
results["difference"] = (outputs[-1] - outputs[0]).item()


# An adversarial image: the fast gradient sign method, then projected steps.
def fgsm_attack(image, epsilon, data_grad):
    perturbed = image + epsilon * data_grad.sign()
    return torch.clamp(perturbed, 0, 1)


x = images.clone()
x.requires_grad = True
loss = F.nll_loss(F.log_softmax(model(x), dim=1), labels)
model.zero_grad()
loss.backward()
losses.append(loss.item())
results["fgsm"] = model(fgsm_attack(x, 0.1, x.grad.data)).max(1, keepdim=True)[1].tolist()

delta = torch.zeros_like(images, requires_grad=True)
for step in range(6):
    loss = nn.CrossEntropyLoss()(model(images + delta), labels)
    loss.backward()
    losses.append(loss.item())
    delta.data = (delta + 0.03 * delta.grad.detach().sign()).clamp(-0.1, 0.1)
    delta.grad.zero_()

# An image made for a class: ascent on the pixels, smooth by total variation.
canvas = torch.full((1, 1, 10, 10), 0.5, dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.Adam([canvas], lr=0.1)
for step in range(8):
    optimizer.zero_grad()
    tv = (canvas[..., 1:, :] - canvas[..., :-1, :]).abs().mean() + (canvas[..., 1:] - canvas[..., :-1]).abs().mean()
    loss = -model(canvas)[0, 2] + 0.5 * tv
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        canvas.clamp_(0, 1)
    losses.append(loss.item())
results["canvas"] = canvas.detach().squeeze().numpy()

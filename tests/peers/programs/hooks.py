from functools import partial

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 3, 3, padding=1)
        self.conv2 = nn.Conv2d(3, 4, 3, stride=2)
        self.fc = nn.Linear(4 * 3 * 3, 3)

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        return self.fc(x.flatten(start_dim=1))


rng = np.random.default_rng(13)
model = Net().double()
with torch.no_grad():  # the same starting weights in every framework
    for p in model.parameters():
        p.copy_(torch.from_numpy(rng.normal(0, 0.4, tuple(p.shape))))
x = torch.from_numpy(rng.normal(size=(2, 1, 8, 8)))
y = torch.tensor([2, 0])
losses, results = [], {}

# Activations and their gradients, as for a picture of what the model looks at.
activations, gradients = {}, {}


def save_activation(name, module, inputs, output):
    activations[name] = output.detach()


def save_gradient(module, grad_input, grad_output):
    gradients["conv2"] = grad_output[0]


handles = [layer.register_forward_hook(partial(save_activation, name)) for name, layer in model.named_children()]
handles.append(model.conv2.register_full_backward_hook(save_gradient))
scores = model(x)
model.zero_grad()
scores[torch.arange(2), y].sum().backward()
weights = gradients["conv2"].mean(dim=(2, 3), keepdim=True)
cam = F.relu((weights * activations["conv2"]).sum(dim=1, keepdim=True))
cam = F.interpolate(cam, size=(8, 8), mode="bilinear", align_corners=True)
cam = (cam - cam.amin(dim=(2, 3), keepdim=True)) / (cam.amax(dim=(2, 3), keepdim=True) + 1e-8)
results["shapes"] = {name: tuple(a.shape) for name, a in activations.items()}
results["cam"] = cam.squeeze(1).numpy()
for handle in handles:
    handle.remove()
activations.clear()
model(x)
results["removed"] = len(activations)

# Hooks that change something: inputs, outputs, gradients.
pre = model.fc.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 0.5,))
post = model.register_forward_hook(lambda module, inputs, output: output.clamp(-2, 2))
scaled = model.fc.weight.register_hook(lambda grad: grad * 10)
seen = []
loss = F.cross_entropy(model(x), y)
hidden = model.conv1(x)
hidden.retain_grad()
hidden.register_hook(lambda grad: seen.append(grad.norm().item()))
loss = loss + hidden.square().mean()
model.zero_grad()
loss.backward()
losses.append(loss.item())
results["hidden"] = hidden.grad.sum().item()
results["seen"] = seen
results["fc"] = model.fc.weight.grad.numpy().copy()
pre.remove(), post.remove(), scaled.remove()

# Gradients that add up over several small batches equal those of one large batch.
model.zero_grad()
F.cross_entropy(model(x), y).backward()
whole = [p.grad.clone() for p in model.parameters()]
model.zero_grad()
for i in range(2):
    (F.cross_entropy(model(x[i : i + 1]), y[i : i + 1]) / 2).backward()
results["accumulated"] = all(torch.allclose(a, p.grad) for a, p in zip(whole, model.parameters()))
results["norm"] = torch.norm(torch.stack([torch.norm(p.grad.detach(), 2) for p in model.parameters()]), 2).item()
flat = torch.nn.utils.parameters_to_vector(model.parameters())
torch.nn.utils.vector_to_parameters(flat * 0.9, model.parameters())
losses.append(F.cross_entropy(model(x), y).item())

import math

import numpy as np
import torch

rng = np.random.default_rng(1)
start = rng.normal(0, 0.5, 4)
losses = []
results = {}

# 1. Tensors, and gradients by hand.
x = torch.linspace(-math.pi, math.pi, 200, dtype=torch.double)
y = torch.sin(x)
a, b, c, d = (torch.tensor(v, dtype=torch.double) for v in start)
learning_rate = 1e-6
for t in range(60):
    y_pred = a + b * x + c * x**2 + d * x**3
    loss = (y_pred - y).pow(2).sum().item()
    if t % 10 == 9:
        losses.append(loss)
    grad_y_pred = 2.0 * (y_pred - y)
    grad_a = grad_y_pred.sum()
    grad_b = (grad_y_pred * x).sum()
    grad_c = (grad_y_pred * x**2).sum()
    grad_d = (grad_y_pred * x**3).sum()
    a -= learning_rate * grad_a
    b -= learning_rate * grad_b
    c -= learning_rate * grad_c
    d -= learning_rate * grad_d
results["by hand"] = [a.item(), b.item(), c.item(), d.item()]

# 2. The same with autograd; the updates under no_grad.
a, b, c, d = (torch.tensor(v, dtype=torch.double, requires_grad=True) for v in start)
for t in range(60):
    y_pred = a + b * x + c * x**2 + d * x**3
    loss = (y_pred - y).pow(2).sum()
    if t % 10 == 9:
        losses.append(loss.item())
    loss.backward()
    with torch.no_grad():
        for w in (a, b, c, d):
            w -= learning_rate * w.grad
            w.grad = None
results["autograd"] = [a.item(), b.item(), c.item(), d.item()]

# 3. A model of layers on the powers of x, first with updates by hand, then with an optimizer.
p = torch.tensor([1, 2, 3])
xx = x.unsqueeze(-1).pow(p)
model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1)).double()
loss_fn = torch.nn.MSELoss(reduction="sum")
with torch.no_grad():
    model[0].weight.copy_(torch.as_tensor(start[1:]).reshape(1, 3))
    model[0].bias.fill_(start[0])
for t in range(40):
    loss = loss_fn(model(xx), y)
    if t % 10 == 9:
        losses.append(loss.item())
    model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for param in model.parameters():
            param -= learning_rate * param.grad
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
for t in range(40):
    loss = loss_fn(model(xx), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
losses.append(loss.item())
results["layers"] = [model[0].bias.item()] + model[0].weight[0].tolist()


# 4. A module of its own, with a random number of terms.
class DynamicNet(torch.nn.Module):
    def __init__(self, values):
        super().__init__()
        self.a, self.b, self.c, self.e = (torch.nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in values)

    def forward(self, x, terms):
        y = self.a + self.b * x + self.c * x**2
        for exponent in range(4, 4 + terms):
            y = y + self.e * x**exponent
        return y

    def string(self):
        return f"y = {self.a.item():.4f} + {self.b.item():.4f} x + {self.c.item():.4f} x^2 + {self.e.item():.4f} x^4 ?"


net = DynamicNet(start / 10)
criterion = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.SGD(net.parameters(), lr=1e-8, momentum=0.9)
for t in range(30):
    loss = criterion(net(x, t % 3), y)
    losses.append(loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
results["string"] = net.string()

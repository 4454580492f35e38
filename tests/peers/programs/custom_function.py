import math

import numpy as np
import torch
import torch.nn as nn
from torch.autograd import Function


class LegendrePolynomial3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


class LinearFunction(Function):
    @staticmethod
    def forward(ctx, input, weight, bias=None):
        ctx.save_for_backward(input, weight, bias)
        output = input.mm(weight.t())
        if bias is not None:
            output += bias.unsqueeze(0).expand_as(output)
        return output

    @staticmethod
    def backward(ctx, grad_output):
        input, weight, bias = ctx.saved_tensors
        grad_input = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_input = grad_output.mm(weight)
        if ctx.needs_input_grad[1]:
            grad_weight = grad_output.t().mm(input)
        if bias is not None and ctx.needs_input_grad[2]:
            grad_bias = grad_output.sum(0)
        return grad_input, grad_weight, grad_bias


class StraightThrough(Function):
    @staticmethod
    def forward(ctx, x):
        return torch.sign(x)

    @staticmethod
    def backward(ctx, g):
        return g.clamp(-1, 1)


class GradientReversal(Function):
    @staticmethod
    def forward(ctx, x, alpha):
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output.neg() * ctx.alpha, None


class ExpAndLog(Function):
    @staticmethod
    def forward(x):
        return x.exp(), x.abs().log()

    @staticmethod
    def setup_context(ctx, inputs, output):
        (x,) = inputs
        ctx.save_for_backward(x, output[0])

    @staticmethod
    def backward(ctx, g, h):
        x, exp = ctx.saved_tensors
        return g * exp + h / x


class Linear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.Tensor(outputs, inputs).double())
        self.bias = nn.Parameter(torch.Tensor(outputs).double())

    def forward(self, input):
        return LinearFunction.apply(input, self.weight, self.bias)


losses = []
x = torch.linspace(-math.pi, math.pi, 200, dtype=torch.double)
y = torch.sin(x)
a, b, c, d = (torch.full((), value, dtype=torch.double, requires_grad=True) for value in (0.0, -1.0, 0.0, 0.3))
P3 = LegendrePolynomial3.apply
for _ in range(20):
    loss = (a + b * P3(c + d * x) - y).pow(2).sum()
    loss.backward()
    losses.append(loss.item())
    with torch.no_grad():
        for p in (a, b, c, d):
            p -= 5e-5 * p.grad
            p.grad = None

rng = np.random.default_rng(0)
model = nn.Sequential(Linear(4, 5), nn.Tanh(), Linear(5, 3))
for p in model.parameters():
    p.data.copy_(torch.from_numpy(rng.normal(size=tuple(p.shape)) * 0.3))
x = torch.from_numpy(rng.normal(size=(6, 4))).requires_grad_()
for _ in range(3):
    out = model(x)
    exp, log = ExpAndLog.apply(x)
    loss = (out**2).mean() + StraightThrough.apply(out).sum() * 0.01 + GradientReversal.apply(x, 0.5).sum()
    loss = loss + exp.mean() + (log * x).sum()
    model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.05 * p.grad
    losses.append(loss.item())
exp, log = ExpAndLog.apply(x)
(g,) = torch.autograd.grad(exp.sum() + (log**2).sum(), x, create_graph=True, only_inputs=True)
(h,) = torch.autograd.grad((g**2).sum(), x)
results = {
    "polynomial": [p.item() for p in (a, b, c, d)],
    "input": x.grad.numpy(),
    "second": h.numpy(),
    "weights": [p.detach().numpy() for p in model.parameters()],
}

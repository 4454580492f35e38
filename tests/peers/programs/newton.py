import numpy as np
import torch
from torch.autograd import grad

losses, results = [], {}


def rosenbrock(v):
    return ((1 - v[:-1]) ** 2 + 100 * (v[1:] - v[:-1] ** 2) ** 2).sum()


def hessian_by_rows(f, x):
    (g,) = grad(f(x), x, create_graph=True)
    rows = [grad(g[i], x, retain_graph=True)[0] for i in range(len(x))]
    return torch.stack(rows), g.detach()


def hvp(f, x, v):
    (g,) = torch.autograd.grad(f(x), x, create_graph=True)
    return torch.autograd.grad(g, x, grad_outputs=v)[0]


def conjugate_gradient(matvec, b, steps):
    x = torch.zeros_like(b)
    r = b.clone()
    p = r.clone()
    rs = r.dot(r)
    for _ in range(steps):
        Ap = matvec(p)
        alpha = rs / torch.dot(p, Ap)
        x = x + alpha * p
        r = r - alpha * Ap
        rs, old = r @ r, rs
        if rs.sqrt() < 1e-10:
            break
        p = r + (rs / old) * p
    return x


# Newton's method with the Hessian row by row, and Gauss's elimination.
def solve(A, b):
    A = torch.cat([A, b[:, None]], dim=1)
    n = len(b)
    for i in range(n):
        pivot = int(A[i:, i].abs().argmax()) + i
        if pivot != i:
            A[[i, pivot]] = A[[pivot, i]]
        A[i] /= A[i, i].clone()
        for j in range(n):
            if j != i:
                A[j] -= A[j, i].clone() * A[i]
    return A[:, -1]


x = torch.tensor([-1.2, 1.0, 0.8], dtype=torch.float64, requires_grad=True)
for step in range(12):
    H, g = hessian_by_rows(rosenbrock, x)
    losses.append(rosenbrock(x).item())
    x = (x.detach() - solve(H, g)).requires_grad_(True)
results["minimum"] = x.tolist()
results["hessian"] = H.numpy()

# Newton without the matrix: conjugate gradients on products.
w = torch.tensor(np.random.default_rng(9).normal(size=6), requires_grad=True)
A = torch.tensor(np.random.default_rng(10).normal(size=(30, 6)))
labels = (A @ torch.arange(6, dtype=torch.double) > 0).double()


def logistic(v):
    return torch.nn.functional.binary_cross_entropy_with_logits(A @ v, labels) + 0.01 * v.pow(2).sum()


for step in range(6):
    loss = logistic(w)
    (g,) = grad(loss, w)
    direction = conjugate_gradient(lambda p: hvp(logistic, w, p), -g, 10)
    with torch.no_grad():
        w += direction
    losses.append(loss.item())
results["weights"] = w.detach().numpy()
results["gradient"] = bool(grad(logistic(w), w)[0].norm() < 1e-6)

# Derivatives of a derivative of a derivative.
t = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
y = torch.exp(torch.sin(t)) * t**3
orders = []
for _ in range(4):
    (y,) = torch.autograd.grad(y, t, create_graph=True)
    orders.append(y.item())
results["orders"] = orders


# The same through PyTorch's function transforms.
def energy(q):
    return 0.5 * (q**2).sum() + torch.cos(q[0] * q[1])


q = torch.tensor([0.3, -1.1], dtype=torch.float64)
results["func grad"] = torch.func.grad(energy)(q).tolist()
results["func hessian"] = torch.func.hessian(energy)(q).tolist()
results["func jacobian"] = torch.func.jacrev(lambda q: torch.stack([q[0] ** 2 * q[1], q.prod(), q.sum()]))(q).tolist()
value, pullback = torch.func.vjp(energy, q)
results["func vjp"] = [value.item(), pullback(torch.tensor(2.0, dtype=torch.float64))[0].tolist()]
direction = torch.tensor([1.0, 2.0], dtype=torch.float64)
value, along, beside = torch.func.jvp(lambda q: (energy(q), {"double": q * 2}), (q,), (direction,), has_aux=True)
results["func jvp with aux"] = [value.item(), along.item(), beside["double"].tolist(), beside["double"].requires_grad]
value, pullback, beside = torch.func.vjp(lambda q: (q * 3, q.sum()), q, has_aux=True)
results["func vjp with aux"] = [value.tolist(), pullback(direction)[0].tolist(), beside.item(), beside.requires_grad]

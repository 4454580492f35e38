# %% [markdown]
# # Autograd from the inside
#
# What happens between `y = f(x)` and `y.backward()`: ops record nodes, nodes form a graph, and backward walks it once,
# from the end to the beginning. We build a graph, draw it, step through it, write an op of our own, and then
# differentiate a gradient once more: for Newton's method, and for a penalty on a gradient.
#
# Run it as a script, `python examples/autograd_from_inside.py`, or open it as a notebook (jupytext).
# The pictures go to `pictures/autograd/`.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import nn, optim
from tinygrad_cnn.autograd import grad, op

PICTURES = Path("pictures/autograd")
PICTURES.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## 1. Building: each call of an op leaves a node
#
# A tensor that came out of an op has a `node`. It knows the op, the line of your program, and its edges: where its
# inputs came from.

# %%
w = tg.tensor([2.0, -1.0], requires_grad=True)
x = tg.tensor([3.0, 4.0])
y = (w * x).sum().tanh()


def show(node, depth=0):
    name = node.op.name if hasattr(node, "op") else f"leaf of shape {tuple(node.shape)}"
    print("  " * depth + name)
    for edge in getattr(node, "edges", ()):
        if edge is not None:  # x needs no gradient, so nothing leads to it
            show(edge, depth + 1)


show(y.node)
print("recorded at", y.node.where)

# %% [markdown]
# ## 2. Drawing
#
# Nobody needs to walk by hand: `graph.of` gives the whole graph as one object, which prints and draws itself.

# %%
graph = tg.graph.of(y, names={"w": w, "x": x}, title="tanh(w · x)")
graph.save(PICTURES / "1-graph.svg")
print(graph)
graph

# %% [markdown]
# ## 3. Stepping: backward, one node at a time
#
# Backward starts with the gradient 1 at the end. Each step takes one node, whose incoming gradient is complete by then,
# and asks the op's rule for the gradient of each argument.

# %%
steps = tg.graph.backward_steps(y)
for step in steps:
    (sent,) = step.outgoing.values()  # x needs no gradient, so there is one argument to send to
    print(f"{step.op:4} gets {np.round(step.incoming, 4)!s:15} sends {np.round(sent, 4)}")
print("w.grad =", w.grad.tolist())

# %% [markdown]
# The slope of tanh is 1 − tanh², and the sum hands it on to both products. The same by hand:

# %%
by_hand = (1 - y.item() ** 2) * x.numpy()
assert np.allclose(w.grad.numpy(), by_hand, atol=1e-6)
print("by hand:", by_hand.tolist())

# %% [markdown]
# ## 4. An op of your own
#
# A kernel that sees plain arrays, and one rule for each argument. The rule is made of ops, so it can be recorded too.


# %%
@op
def softcube(x):
    """x³ / (1 + x²), element by element."""
    return x**3 / (1 + x**2)


@softcube.vjp("x")
def softcube_grad(g, x):
    return g * (x**4 + 3 * x**2) / (1 + x**2) ** 2


point = tg.tensor(1.5, dtype=tg.float64, requires_grad=True)
(first,) = grad(softcube(point), point, create_graph=True)
(second,) = grad(first, point)
h = 1e-5
numeric = [(softcube(point + h) - softcube(point - h)).item() / (2 * h)]
numeric.append((softcube(point + h) - 2 * softcube(point) + softcube(point - h)).item() / h**2)
print(f"slope     {first.item():.6f}, by differences {numeric[0]:.6f}")
print(f"curvature {second.item():.6f}, by differences {numeric[1]:.6f}")

# %% [markdown]
# ## 5. The gradient is a graph, too
#
# With `create_graph=True`, backward records the ops that its rules call. This is the graph of d(x³ + sin x)/dx:

# %%
x = tg.tensor(2.0, requires_grad=True)
(slope,) = grad(x**3 + x.sin(), x, create_graph=True)
gradient_graph = tg.graph.of(slope, names={"x": x}, title="3 x² + cos x, as autograd made it")
gradient_graph.save(PICTURES / "2-gradient.svg")
(curvature,) = grad(slope, x)
print(f"at x = 2: slope {slope.item():.4f}, curvature {curvature.item():.4f} (6 x - sin x = {12 - np.sin(2):.4f})")
gradient_graph

# %% [markdown]
# ## 6. Second derivatives at work: Newton's method
#
# Rosenbrock's function is a curved valley with its lowest point at (1, 1). Gradient descent crawls along the valley;
# Newton's method, x ← x − H⁻¹ g, knows how it bends.


# %%
def rosenbrock(p):
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


def descend(steps, step):
    """The points that a method visits, and the height of each."""
    p = tg.tensor([-1.2, 1.0], dtype=tg.float64)
    points = [p]
    for _ in range(steps):
        p = p - step(p)
        points.append(p)
    return np.array([q.tolist() for q in points]), [rosenbrock(q).item() for q in points]


def newton_step(p):
    slope, curvature = tg.func.grad(rosenbrock)(p), tg.func.hessian(rosenbrock)(p)
    return tg.tensor(np.linalg.solve(curvature.numpy(), slope.numpy()))


newton_path, newton_heights = descend(7, newton_step)
slow_path, slow_heights = descend(1000, lambda p: 1e-3 * tg.func.grad(rosenbrock)(p))
print("Newton:           " + "  ".join(f"{height:.1e}" for height in newton_heights))
print(f"gradient descent: {slow_heights[-1]:.1e} after {len(slow_heights) - 1} steps")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
across, up = np.meshgrid(np.linspace(-1.6, 1.6, 120), np.linspace(-3.6, 1.9, 160))
left.contour(across, up, (1 - across) ** 2 + 100 * (up - across**2) ** 2, levels=np.logspace(0, 3.5, 8), colors="0.75")
left.plot(*slow_path.T, color="#D55E00", label="gradient descent, 1,000 steps")
left.plot(*newton_path.T, "o-", color="#0072B2", markersize=4, label="Newton, 7 steps")
left.plot(1, 1, "*", color="black", markersize=12)
left.set_title("the way down the valley", fontsize=10)
left.legend(fontsize=8, loc="lower left")
right.loglog(np.arange(1, 1002), slow_heights, color="#D55E00")
right.loglog(np.arange(1, 9), np.maximum(newton_heights, 1e-33), "o-", color="#0072B2", markersize=4)
right.set_xlabel("step")
right.set_title("height above the lowest point", fontsize=10)
right.grid(alpha=0.25)
figure.savefig(PICTURES / "3-newton.png", dpi=150)

# %% [markdown]
# ## 7. A penalty on the gradient
#
# A loss may contain a gradient: here, the slope of a network's score with respect to its *input*, squared. Training
# then needs the derivative of a derivative, which is just one more backward. Few and noisy points lie on two moons. A
# network without the penalty bends its boundary around every one of them; with it, the score must not rise steeply,
# and new points are told apart better.

# %%
points, classes = make_moons(80, noise=0.4, random_state=3)
points, classes = tg.tensor(points, dtype=tg.float32), tg.tensor(classes, dtype=tg.float32)
test_points, test_classes = make_moons(2000, noise=0.4, random_state=103)


def train(penalty):
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1), nn.Flatten(0))
    optimizer = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(600):
        x = points.detach().requires_grad_()
        score = net(x)
        loss = F.binary_cross_entropy_with_logits(score, classes)
        if penalty:
            (slope,) = grad(score.sum(), x, create_graph=True)  # (80, 2): a graph of its own
            loss = loss + penalty * slope.square().sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()  # through the gradient, if it is in the loss
        optimizer.step()
    with tg.no_grad():
        right = (net(tg.tensor(test_points, dtype=tg.float32)).numpy() > 0) == test_classes
    return net, right.mean()


figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
across, up = np.meshgrid(np.linspace(-2, 3, 150), np.linspace(-1.6, 2.1, 120))
grid = tg.tensor(np.stack([across.ravel(), up.ravel()], axis=1), dtype=tg.float32)
moons = {}
for panel, penalty in zip(panels, (0.0, 0.1), strict=True):
    net, moons[penalty] = train(penalty)
    with tg.no_grad():
        probability = tg.sigmoid(net(grid)).numpy().reshape(across.shape)
    panel.contourf(across, up, probability, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.8)
    panel.contour(across, up, probability, levels=[0.5], colors="black", linewidths=1)
    panel.scatter(*points.numpy().T, c=classes.numpy(), cmap="RdBu_r", edgecolor="white", linewidth=0.6, s=22)
    panel.set_title(f"penalty {penalty:g}: {100 * moons[penalty]:.1f} % of new points right", fontsize=10)
figure.savefig(PICTURES / "4-penalty.png", dpi=150)
print({penalty: f"{share:.3f}" for penalty, share in moons.items()})

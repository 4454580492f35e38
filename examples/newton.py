"""Second derivatives at work: Newton's method, and the graph of a gradient.

python examples/newton.py [FOLDER]

A gradient is made of ops like everything else, so it can be differentiated again, and drawn.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import tinygrad_cnn as tg


def rosenbrock(x: tg.Tensor) -> tg.Tensor:
    """A curved valley: gradient descent crawls along it, Newton's method takes its bends. The minimum is (1, 1)."""
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def newton(steps: int) -> list[float]:
    """The heights after each step of Newton's method: x <- x - H^-1 g."""
    x = tg.tensor([-1.2, 1.0], dtype=tg.float64)
    heights = []
    for _ in range(steps):
        slope = tg.func.grad(rosenbrock)(x)
        curvature = tg.func.hessian(rosenbrock)(x)
        x = x - tg.tensor(np.linalg.solve(curvature.numpy(), slope.numpy()))
        heights.append(rosenbrock(x).item())
    return heights


def gradient_descent(steps: int, lr: float = 1e-3) -> list[float]:
    """The heights after each step of gradient descent."""
    x = tg.tensor([-1.2, 1.0], dtype=tg.float64)
    heights = []
    for _ in range(steps):
        x = x - lr * tg.func.grad(rosenbrock)(x)
        heights.append(rosenbrock(x).item())
    return heights


def draw_second_derivative(path: Path) -> None:
    """The graph of d(x**3 + sin x)/dx, which is what the second derivative is taken from."""
    x = tg.tensor(2.0, requires_grad=True)
    (slope,) = tg.autograd.grad(x**3 + x.sin(), x, create_graph=True)
    tg.graph.of(slope, names={"x": x}, title="3 x^2 + cos x, as autograd made it").save(path)
    (curvature,) = tg.autograd.grad(slope, x)
    print(f"at x = 2: slope {slope.item():.4f}, curvature {curvature.item():.4f} (6 x - sin x = {12 - np.sin(2):.4f})")


def main(folder: str = "newton", smoke: bool = False) -> list[float]:
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    ours, theirs = newton(7), gradient_descent(10 if smoke else 1000)
    print("Newton:           " + "  ".join(f"{height:.1e}" for height in ours))
    print(f"gradient descent: {theirs[-1]:.1e} after {len(theirs)} steps")
    draw_second_derivative(place / "gradient.svg")
    return ours


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "--smoke"]
    main(*arguments[:1], smoke="--smoke" in sys.argv)

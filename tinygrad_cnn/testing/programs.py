"""Random programs: graphs of ops in which values are used again and again, and small random CNNs.

A program is a list of steps with PyTorch's names, so that one program runs on any library that has those names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

__all__ = ["CNN", "Program", "cnns", "programs"]

UNARY = ("tanh", "sigmoid", "sin", "cos", "abs", "relu", "square", "neg", "atan", "softmax", "cumsum", "flip", "clamp")
BINARY = ("add", "sub", "mul", "maximum", "minimum", "logaddexp", "where", "div")


@dataclass(frozen=True)
class Step:
    """One call: the function's name, the values that it takes by number, and its other arguments."""

    name: str
    operands: tuple[int, ...]
    params: dict[str, Any]

    def run(self, library: Any, values: Sequence[Any]) -> Any:
        """Call it with the values so far."""
        xs = [values[i] for i in self.operands]
        if self.name == "where":
            return library.where(xs[0] > xs[1], library.sin(xs[0]), xs[1])
        if self.name == "div":
            return library.div(xs[0], library.square(xs[1]) + 1)
        if self.name == "cat":
            return library.cat(xs, **self.params)
        return getattr(library, self.name)(*xs, **self.params)

    def __str__(self) -> str:
        parts = [f"v{i}" for i in self.operands] + [f"{name}={value}" for name, value in self.params.items()]
        return f"{self.name}({', '.join(parts)})"


@dataclass(frozen=True, repr=False)
class Program:
    """A random graph of ops on matrices. Its result is the sum of the values that no step uses, one number."""

    shapes: tuple[tuple[int, int], ...]
    steps: tuple[Step, ...]
    seed: int

    def inputs(self) -> list[Any]:
        """Float64 arrays to run it on, the same at each call."""
        rng = np.random.default_rng(self.seed)
        return [rng.standard_normal(shape) for shape in self.shapes]

    def __call__(self, library: Any, *inputs: Any) -> Any:
        """Run it with the functions of a library on that library's tensors."""
        values = list(inputs)
        for step in self.steps:
            values.append(step.run(library, values))
        used = {i for step in self.steps for i in step.operands}
        total = None
        for i, value in enumerate(values):
            if i not in used:
                total = library.sum(value) if total is None else total + library.sum(value)
        return total

    def __repr__(self) -> str:
        lines = [f"v{i} = randn{shape}" for i, shape in enumerate(self.shapes)]
        lines += [f"v{i} = {step}" for i, step in enumerate(self.steps, len(self.shapes))]
        return "; ".join(lines) + f"  # seed {self.seed}"


@st.composite
def programs(draw: DrawFn, max_steps: int = 8) -> Program:
    """Random programs of up to `max_steps` steps; diamonds (a value used twice) are common."""
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    shapes = [(rows, columns), *draw(st.lists(st.sampled_from([(rows, columns), (1, columns), (rows, 1)]), max_size=2))]
    known: list[tuple[int, int]] = list(shapes)
    steps = []
    for _ in range(draw(st.integers(1, max_steps))):
        step, shape = draw(_steps(known))
        steps.append(step)
        known.append(shape)
    return Program(tuple(shapes), tuple(steps), draw(st.integers(0, 2**31 - 1)))


@st.composite
def _steps(draw: DrawFn, known: list[tuple[int, int]]) -> tuple[Step, tuple[int, int]]:
    """A step that the values of these shapes allow, and the shape of its result."""
    first = draw(st.integers(0, len(known) - 1))
    a, b = known[first]
    dim = draw(st.integers(0, 1))
    kind = draw(st.sampled_from(["binary", "unary", "reduce", "move", "matmul", "cat"]))
    fits = [i for i, (c, d) in enumerate(known) if c in (a, 1) and d in (b, 1)]
    products = [i for i, (c, _) in enumerate(known) if c == b]
    joins = [i for i, shape in enumerate(known) if shape[1 - dim] == (a, b)[1 - dim]]
    if kind == "matmul" and products:
        second = draw(st.sampled_from(products))
        return Step("matmul", (first, second), {}), (a, known[second][1])
    if kind == "cat" and joins:
        second = draw(st.sampled_from(joins))
        sides = [a, b]
        sides[dim] += known[second][dim]
        return Step("cat", (first, second), {"dim": dim}), (sides[0], sides[1])
    if kind == "reduce":
        name = draw(st.sampled_from(["sum", "mean", "logsumexp", "amax"]))
        return Step(name, (first,), {"dim": dim, "keepdim": True}), ((1, b) if dim == 0 else (a, 1))
    if kind == "move":
        return Step("transpose", (first,), {"dim0": 0, "dim1": 1}), (b, a)
    if kind == "unary":
        name = draw(st.sampled_from(UNARY))
        own: dict[str, dict[str, Any]] = {"softmax": {"dim": dim}, "cumsum": {"dim": dim}, "flip": {"dims": (dim,)}}
        params = own.get(name, {})
        return Step(name, (first,), {"min": -0.7, "max": 0.9} if name == "clamp" else params), (a, b)
    second = draw(st.sampled_from(fits))
    return Step(draw(st.sampled_from(BINARY)), (first, second), {}), (a, b)


@dataclass(frozen=True, repr=False)
class CNN:
    """A small random network for images: layers as (class name, arguments), the input's shape, a seed."""

    shape: tuple[int, int, int, int]
    layers: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...]
    seed: int

    def inputs(self) -> Any:
        """A batch of images, float64."""
        return np.random.default_rng(self.seed).standard_normal(self.shape)

    def build(self, nn: Any) -> Any:
        """The network with the layers of `nn`, as a Sequential."""
        return nn.Sequential(*(getattr(nn, name)(*args, **params) for name, args, params in self.layers))

    def __repr__(self) -> str:
        shown = []
        for name, args, params in self.layers:
            parts = [str(x) for x in args] + [f"{k}={v}" for k, v in params.items()]
            shown.append(f"{name}({', '.join(parts)})")
        return f"Sequential({', '.join(shown)})  # input {self.shape}, seed {self.seed}"


@st.composite
def cnns(draw: DrawFn, max_blocks: int = 3, classes: int = 3) -> CNN:
    """Random small CNNs: convolutions (strides, padding, dilation, groups), norms, activations, pools, one Linear."""
    n, channels, size = draw(st.integers(2, 3)), draw(st.integers(1, 3)), draw(st.integers(4, 9))
    shape = (n, channels, size, size)
    layers: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    for _ in range(draw(st.integers(1, max_blocks))):
        groups = draw(st.sampled_from([1, channels]))
        outputs, kernel = groups * draw(st.integers(1, 2)), draw(st.integers(1, min(3, size)))
        stride, padding = draw(st.integers(1, 2)), draw(st.integers(0, 1))
        bias = draw(st.booleans())
        layers.append(
            (
                "Conv2d",
                (channels, outputs, kernel),
                {"stride": stride, "padding": padding, "groups": groups, "bias": bias},
            )
        )
        channels, size = outputs, (size + 2 * padding - kernel) // stride + 1
        if draw(st.booleans()) and size > 1:
            layers.append(("BatchNorm2d", (channels,), {}))
        layers.append((draw(st.sampled_from(["ReLU", "Tanh", "GELU", "SiLU", "LeakyReLU"])), (), {}))
        if draw(st.booleans()) and size >= 2:
            layers.append((draw(st.sampled_from(["MaxPool2d", "AvgPool2d"])), (2,), {}))
            size //= 2
    layers += [("Flatten", (), {}), ("Linear", (channels * size * size, classes), {})]
    return CNN(shape, tuple(layers), draw(st.integers(0, 2**31 - 1)))

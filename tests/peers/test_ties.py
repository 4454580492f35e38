"""The rows of docs/ties-and-kinks.md: gradients where there is no derivative are PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

INF, NAN = math.inf, math.nan


def _f(name: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """nn.functional's function of a name, of whichever library is given."""
    return lambda lib, *xs: getattr(lib.nn.functional, name)(*xs, *args, **kwargs)


def _method(name: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
    return lambda lib, x: getattr(x, name)(*args, **kwargs)


def _scattered(reduce: str) -> Callable[..., Any]:
    """What a second array brings to the first element of the first."""
    return lambda lib, x, src: lib.scatter_reduce(x, 0, lib.tensor([0, 0, 0]), src, reduce)


def _float64(lib: Any, *values: float) -> Any:
    return lib.tensor(list(values), dtype=lib.float64)


# (what, the inputs, the gradients that the page promises)
ROWS: list[tuple[Callable[..., Any], list[list[float]], list[list[float]]]] = [
    (_method("abs"), [[0.0, -0.0]], [[0, 0]]),
    *((_method(name), [[0.0, 2.5, 2.0]], [[0, 0, 0]]) for name in ("sign", "floor", "ceil", "round", "trunc")),
    (_f("relu"), [[0.0]], [[0]]),
    (_f("relu6"), [[0.0, 6.0]], [[0, 0]]),
    (_f("threshold", 1.0, 5.0), [[1.0, 2.0]], [[0, 1]]),
    (_f("leaky_relu", 0.1), [[0.0]], [[0.1]]),
    (lambda lib, x: lib.nn.functional.prelu(x, _float64(lib, 0.25)), [[0.0, 1.0]], [[0.25, 1]]),
    (_f("elu", 2.0), [[0.0]], [[2]]),
    (_f("celu", 2.0), [[0.0]], [[1]]),
    (_f("selu"), [[0.0]], [[1.0507009873554805 * 1.6732632423543772]]),
    (_f("hardtanh"), [[-1.0, 1.0]], [[0, 0]]),
    (_f("hardsigmoid"), [[-3.0, 3.0]], [[0, 0]]),
    (_f("hardswish"), [[-3.0, 3.0]], [[0, 1]]),
    (_f("softshrink"), [[-0.5, 0.5]], [[0, 0]]),
    (_f("hardshrink"), [[-0.5, 0.5]], [[0, 0]]),
    (_f("softplus", threshold=1.0), [[1.0]], [[1 / (1 + math.exp(-1))]]),
    (_method("clamp", -1, 1), [[-1.0, 1.0, NAN]], [[1, 1, 0]]),
    (_method("clamp_min", 1), [[1.0]], [[1]]),
    (_method("clamp_max", 1), [[1.0]], [[1]]),
    (lambda lib, x: lib.where(x > 0, x, x * 0), [[0.0]], [[0]]),
    (lambda lib, x, y: lib.maximum(x, y), [[1.0], [1.0]], [[0.5], [0.5]]),
    (lambda lib, x, y: lib.minimum(x, y), [[1.0], [1.0]], [[0.5], [0.5]]),
    *((_method(name), [[1.0, 1.0]], [[0.5, 0.5]]) for name in ("amax", "amin", "max", "min")),
    (_scattered("amax"), [[1.0, 3.0], [1.0, 1.0, 0.0]], [[1 / 3, 1], [1 / 3, 1 / 3, 0]]),
    (_scattered("amin"), [[1.0, 3.0], [1.0, 1.0, 2.0]], [[1 / 3, 1], [1 / 3, 1 / 3, 0]]),
    *((lambda lib, x, name=name: getattr(x, name)(0)[0], [[1.0, 1.0]], [[1, 0]]) for name in ("max", "min")),
    (lambda lib, x: x.topk(1)[0], [[1.0, 1.0, 0.0]], [[1, 0, 0]]),
    (lambda lib, x: x.sort(stable=True)[0] * _float64(lib, 1, 2, 3), [[1.0, 1.0, 0.0]], [[2, 3, 1]]),
    (lambda lib, x: lib.nn.functional.max_pool1d(x[None, None], 3), [[1.0, 1.0, 0.0]], [[1, 0, 0]]),
    (lambda lib, x: lib.nn.functional.adaptive_max_pool1d(x[None], 1), [[1.0, 1.0, 0.0]], [[1, 0, 0]]),
    (lambda lib, x: lib.nn.functional.adaptive_max_pool2d(x[None, None], 1), [[1.0, 1.0, 0.0]], [[1, 0, 0]]),
    (lambda lib, x: lib.nn.functional.adaptive_max_pool3d(x[None, None, None], 1), [[1.0, 1.0, 0.0]], [[1, 0, 0]]),
    (_method("norm"), [[0.0, 0.0]], [[0, 0]]),
    *((lambda lib, x, p=p: lib.linalg.vector_norm(x, p), [[0.0, 0.0]], [[0, 0]]) for p in (2, 3)),
    (lambda lib, x: lib.linalg.vector_norm(x, 1), [[0.0, 1.0]], [[0, 1]]),
    (lambda lib, x: lib.linalg.vector_norm(x, INF), [[1.0, 1.0, 0.0]], [[0.5, 0.5, 0]]),
    (_method("std"), [[1.0, 1.0]], [[0, 0]]),
    (_method("sqrt"), [[0.0]], [[INF]]),
    (lambda lib, x: x**0.5, [[0.0]], [[INF]]),
    (lambda lib, x: x**0, [[0.0]], [[0]]),
    (_method("prod"), [[0.0, 2.0, 3.0]], [[6, 0, 0]]),
    (_scattered("prod"), [[2.0, 5.0], [0.0, 3.0, 4.0]], [[0, 1], [24, 0, 0]]),
    (_method("cumprod", 0), [[2.0, 0.0, 3.0]], [[1, 8, 0]]),
    (lambda lib, x, y: lib.atan2(x, y), [[0.0], [0.0]], [[0], [0]]),
    (lambda lib, x: x % 1.0, [[1.0]], [[1]]),
    *(
        (lambda lib, x, name=name: getattr(lib.nn.functional, name)(x, x.detach(), reduction="sum"), [[1.0]], [[0]])
        for name in ("l1_loss", "smooth_l1_loss", "huber_loss")
    ),
    (lambda lib, x: lib.logsumexp(x, 0), [[-INF, -INF]], [[NAN, NAN]]),
    (lambda lib, x, y: lib.logaddexp(x, y), [[-INF], [-INF]], [[NAN], [NAN]]),
    *((_method(name), [[NAN, 1.0, NAN]], [[0.5, 0, 0.5]]) for name in ("max", "min")),
    *((lambda lib, x, name=name: getattr(x, name)(0)[0], [[1.0, NAN, NAN]], [[0, 1, 0]]) for name in ("max", "min")),
    (lambda lib, x: lib.nn.functional.max_pool1d(x[None, None], 3), [[1.0, NAN, NAN]], [[0, 0, 1]]),
]


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_row(row: int) -> None:
    function, inputs, promised = ROWS[row]
    found = []
    for lib in (tg, torch):
        xs = [lib.tensor(x, dtype=lib.float64, requires_grad=True) for x in inputs]
        function(lib, *xs).sum().backward()
        found.append([x.grad.tolist() for x in xs])
    for ours, theirs, expected in zip(*found, promised, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
        np.testing.assert_allclose(ours, expected, rtol=1e-12)

"""How far rounding alone moves a result: by so much two right ways to compute the same may differ.

Where large numbers cancel, the result is small and its rounding is not: the input gradient of a batch norm over two
samples is almost zero, whatever comes in. So a difference is not held against the size of the result alone, but also
against how far the result moves when all that goes in moves by a few units in its last place. That shows both the
rounding of what goes in and, since other numbers are rounded on the way, the rounding on the way.

Numbers so near to each other may all be rounded alike: x - tanh(x) is off by the same at all of them. What double
precision tells of numbers a little further away shows that: the error itself moves there, and one that comes from a
fault and not from rounding hardly does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_cnn.testing.sample import Array

__all__ = ["ROOM", "rounding", "shaken"]

__tracebackhide__ = True  # pytest leaves these frames out of its reports; those of the function that is checked stay

TRIALS = 8
ROOM = 16.0  # how many times that far two right results may be apart: eight trials do not show the worst


def shaken(x: Array, rng: Any, units: float = 4) -> Array:
    """Each number moved by up to some units in its last place; equal numbers move alike, so a tie stays a tie.

    >>> x = shaken(np.array([0.1, 0.1, 0.3]), np.random.default_rng(0))
    >>> bool(x[0] == x[1]), bool(0 < abs(x[2] - 0.3) < 1e-15)
    (True, True)
    """
    numbers, place = np.unique(x, return_inverse=True)
    factors = 1 + units * np.finfo(x.dtype).eps * rng.choice([-1.0, 1.0], numbers.size) * rng.uniform(
        0.25, 1, numbers.size
    )
    moved = np.asarray(numbers * factors, x.dtype)[place]  # a scalar, if x has no dimensions
    return np.asarray(moved).reshape(x.shape)


def rounding(
    function: Callable[..., Sequence[Array]],
    arrays: Sequence[Array],
    exact: Callable[..., Sequence[Array]] | None = None,
) -> list[float]:
    """For each result of `function(*arrays)`: how far it moves, at most, when the float arrays are shaken.

    exact: the same in double precision; then also, how far the error moves when they are shaken a thousand times more.
    """
    rng = np.random.default_rng(0)
    still = function(*arrays)
    found = [0.0] * len(still)
    for _ in range(TRIALS):
        moved = function(*(shaken(x, rng) if x.dtype.kind == "f" else x for x in arrays))
        for i, (a, b) in enumerate(zip(moved, still, strict=True)):
            with np.errstate(all="ignore"):
                off = np.abs(a.astype(np.float64) - b)
            found[i] = max(found[i], _largest(off))
    if exact is not None:
        errors = []
        for _ in range(TRIALS):
            near = [shaken(x, rng, 4096) if x.dtype.kind == "f" else x for x in arrays]
            truth = exact(*(x.astype(np.float64) if x.dtype.kind == "f" else x for x in near))
            with np.errstate(all="ignore"):
                errors.append([a - b for a, b in zip(function(*near), truth, strict=True)])
        for i in range(len(found)):
            with np.errstate(all="ignore"):
                found[i] = max(found[i], _largest(np.ptp([e[i] for e in errors], axis=0)))
    return found


def _largest(off: Array) -> float:
    return float(off[np.isfinite(off)].max(initial=0.0))

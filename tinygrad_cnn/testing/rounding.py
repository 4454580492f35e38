"""How far rounding alone moves a result: by so much two right ways to compute the same may differ.

Where large numbers cancel, the result is small and its rounding is not: the input gradient of a batch norm over two
samples is almost zero, whatever comes in. So a difference is not held against the size of the result alone, but also
against how far the result moves when all that goes in moves by a few units in its last place. That shows both the
rounding of what goes in and, since other numbers are rounded on the way, the rounding on the way.

Numbers so near to each other may all be rounded alike: x - tanh(x) is off by the same at all of them. Numbers further
apart are not, but between them the result itself changes. It changes smoothly, though: what no polynomial explains of
the results along a line through the inputs is rounding. The same is true of the error against double precision, which
is small to begin with: there the line may be longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinygrad_cnn.testing.sample import Array

__all__ = ["ROOM", "rounding", "shaken"]

__tracebackhide__ = True  # pytest leaves these frames out of its reports; those of the function that is checked stay

Function: TypeAlias = Callable[..., Sequence[Array]]

TRIALS = 8
LINES = 3
ROOM = 16.0  # how many times that far two right results may be apart: a few trials do not show the worst
# Places on a line, and an orthogonal basis of the polynomials of degree 7 at them, which leaves 8 numbers free.
PLACES = np.linspace(-1, 1, 16)
FREE = 8
SMOOTH = np.linalg.qr(np.polynomial.chebyshev.chebvander(PLACES, len(PLACES) - FREE - 1))[0]


def shaken(x: Array, rng: Any) -> Array:
    """Each number moved by up to four units in its last place; equal numbers move alike, so a tie stays a tie.

    >>> x = shaken(np.array([0.1, 0.1, 0.3]), np.random.default_rng(0))
    >>> bool(x[0] == x[1]), bool(0 < abs(x[2] - 0.3) < 1e-15)
    (True, True)
    """
    return _moved(x, 4 * float(np.finfo(x.dtype).eps) * _directions(x, rng))


def rounding(function: Function, arrays: Sequence[Array], exact: Function | None = None) -> list[float]:
    """For each result of `function(*arrays)`: how far rounding moves it, at most, seen where the float arrays move.

    exact: the same in double precision.
    """
    rng = np.random.default_rng(0)
    still = function(*arrays)
    found = [0.0] * len(still)
    for _ in range(TRIALS):
        moved = function(*(shaken(x, rng) if x.dtype.kind == "f" else x for x in arrays))
        for i, (a, b) in enumerate(zip(moved, still, strict=True)):
            with np.errstate(all="ignore"):
                found[i] = max(found[i], _largest(a.astype(np.float64) - b))
    lines = [_unsmooth(function, arrays, exact, rng) for _ in range(LINES)]
    return [max(near, min(far)) for near, far in zip(found, zip(*lines, strict=True), strict=True)]


def _unsmooth(function: Function, arrays: Sequence[Array], exact: Function | None, rng: Any) -> list[float]:
    """How far from smooth each result, or its error, is along a line through the arrays.

    A jump, where a tie lies on the line, looks like rounding too: the least of several lines leaves most of them out.
    """
    eps = max(float(np.finfo(x.dtype).eps) for x in arrays if x.dtype.kind == "f")
    reach = 0.25 if exact is not None else 4 * eps**0.2
    ways = [reach * _directions(x, rng) if x.dtype.kind == "f" else None for x in arrays]
    rows: list[list[Array]] = []
    for place in PLACES:
        near = [x if way is None else _moved(x, place * way) for x, way in zip(arrays, ways, strict=True)]
        rows.append([y.astype(np.float64) for y in function(*near)])
        if exact is not None:
            truth = exact(*(x.astype(np.float64) if x.dtype.kind == "f" else x for x in near))
            with np.errstate(all="ignore"):
                rows[-1] = [a - b for a, b in zip(rows[-1], truth, strict=True)]
    with np.errstate(all="ignore"):
        return [
            _largest(np.sqrt(np.square(_rest(np.stack(column))).sum(0) / FREE)) for column in zip(*rows, strict=True)
        ]


def _rest(values: Array) -> Array:
    """What no polynomial in the place explains."""
    flat = values.reshape(len(values), -1)
    return np.asarray(flat - SMOOTH @ (SMOOTH.T @ flat))


def _directions(x: Array, rng: Any) -> Array:
    """For each number one of 1/4 ... 1, or minus that; the same for equal numbers."""
    numbers, place = np.unique(x, return_inverse=True)
    ways = rng.choice([-1.0, 1.0], numbers.size) * rng.uniform(0.25, 1, numbers.size)
    return np.asarray(ways[place]).reshape(x.shape)


def _moved(x: Array, by: Array) -> Array:
    return np.asarray(x * (1 + by), x.dtype)


def _largest(off: Array) -> float:
    return float(np.abs(off[np.isfinite(off)]).max(initial=0.0))

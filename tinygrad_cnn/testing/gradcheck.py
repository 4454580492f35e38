"""gradcheck: hold a function's gradients against its own values nearby, and say what is so and how sure that is.

The values along a direction, at a ladder of steps, tell three cases apart. Where the function is smooth, the central
differences settle, and their extrapolation is good to about 1e-12 of the scale in float64. At a kink or a tie (ReLU
at 0, equal elements under a max pool) the differences to the right and to the left stay apart, and every number
between them is a valid slope. And where the function's own rounding hides the slope, nothing can be said.

Directions are random signs, so that no entry of an argument weighs less than another, and each output is weighed by
the size of its slope: there is no absolute tolerance anywhere, and 1e-7 · x is checked as sharply as x.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from tinygrad_cnn import autograd
from tinygrad_cnn.autograd import Op, enable_grad, wrap
from tinygrad_cnn.random import default_generator
from tinygrad_cnn.tensor import Tensor
from tinygrad_cnn.testing.rounding import ROOM, rounding

__all__ = ["GradcheckResult", "Worst", "gradcheck"]

__tracebackhide__ = True  # pytest leaves these frames out of its reports; those of the function that is checked stay

Verdict = Literal["ok", "wrong", "kink", "nondeterministic", "ill-conditioned"]
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Direction: TypeAlias = "list[Floats | None]"  # for each argument how far it moves, None if it does not

SIGMAS = 8.0  # how many times its estimated error a difference may be off
PROVES_NOTHING = 0.01  # an error of more than this part of the slope: no verdict (float32: 0.09)
TRIES = 64  # so many corners are turned, at least, in search of a smooth piece
SCAN = 512  # so many entries are tried one by one when the worst one is looked for; larger arguments are halved first
_NODES = np.arange(9) * 0.7 + np.sqrt(np.arange(1, 10)) % 0.6 + 0.2  # uneven: rounding errors can be regular too
_POLYNOMIALS = np.linalg.qr(np.vander(_NODES - _NODES.mean(), 6))[0]
_RESIDUAL = np.eye(9) - _POLYNOMIALS @ _POLYNOMIALS.T


@dataclass(frozen=True)
class Worst:
    """One number of a gradient and what it should be: d output[output] / d argument[index].

    argument: its position; name: what the function calls it. index: the entry, or None for a whole direction.
    output: which output and where in it, None for a weighted sum of all. numeric: the slope found from the values,
    known to lie in `interval` (wide at a kink); step: of the differences, in units of the argument. order: which
    derivative.
    """

    argument: int
    name: str
    index: tuple[int, ...] | None
    output: tuple[int, ...] | None
    analytic: float
    numeric: float
    interval: tuple[float, float]
    step: float
    order: int = 1

    def __str__(self) -> str:
        digits = next((n for n in (9, 12) if f"{self.analytic:.{n}g}" != f"{self.numeric:.{n}g}"), 17)
        analytic, numeric, low, high = (f"{x:.{digits}g}" for x in (self.analytic, self.numeric, *self.interval))
        of = "the outputs, weighed" if self.output is None else f"output {_place(self.output)}"
        at = f"{self.name}, along a direction" if self.index is None else f"{self.name}{list(self.index)}"
        return (
            f"d {of} / d {at}: analytic {analytic}, numeric {numeric}"
            f" in [{low}, {high}] (step {self.step:.1g}, order {self.order}, argument {self.argument})"
        )


@dataclass(frozen=True)
class GradcheckResult:
    """What `gradcheck` found: a verdict, the worst entry or direction that was seen, and a sentence."""

    verdict: Verdict
    worst: Worst | None
    message: str

    def assert_ok(self) -> None:
        """Raise AssertionError, with the whole report, unless the verdict is "ok" or "kink" (valid at a kink)."""
        if self.verdict not in ("ok", "kink"):
            raise AssertionError(self.report())

    def report(self) -> str:
        """The verdict, the sentence, and the worst entry in numbers."""
        text = f"gradcheck: {self.verdict}: {self.message}"
        return text if self.worst is None else f"{text}\n  {self.worst}"

    def __repr__(self) -> str:
        return f"<{self.report()}>"


def gradcheck(
    fn: Callable[..., Any],
    *inputs: Any,
    order: int = 1,
    directions: int = 8,
    seed: int = 0,
    full: bool = False,
    names: Sequence[str] | None = None,
) -> GradcheckResult:
    """Check the gradients of `fn(*inputs)` with respect to every float Tensor or array among the inputs.

    fn returns a Tensor or several. order: 2 also checks the gradient of the gradient, by `create_graph`. directions:
    how many random directions, for each input and for all together. full: every entry of the Jacobian instead (small
    sizes). names: what the report calls the inputs. Use float64: the tolerances follow from the dtype, and float32
    sees little. The package's random stream is replayed at each call of fn, so dropout is deterministic here;
    afterwards the stream is where it was.

    The verdict is "ok"; "kink": valid, and the inputs lie on a kink or a tie, where the slopes to the two sides
    differ; "wrong"; "nondeterministic": two calls gave different bytes; "ill-conditioned": rounding, or a value that
    is not finite, hides the slopes. TypeError: no float input, or fn returns no Tensor. ValueError: an input holds
    NaN or inf, or there is not one name for each input.

    >>> import tinygrad_cnn as tg
    >>> from tinygrad_cnn.testing import gradcheck
    >>> gradcheck(tg.exp, tg.tensor([0.5, -1.0], dtype=tg.float64)).verdict
    'ok'
    >>> gradcheck(tg.abs, tg.tensor([0.0, -1.0], dtype=tg.float64)).verdict
    'kink'
    """
    for what, number, least in (("order", order, 1), ("directions", directions, 1), ("seed", seed, 0)):
        if not isinstance(number, (int, np.integer)):
            raise TypeError(f"gradcheck: {what} is {number!r}, expected a whole number")
        if number < least:
            raise ValueError(f"gradcheck: {what} is {number}, expected at least {least}")
    if isinstance(names, str) or (names is not None and len(names) != len(inputs)):
        raise ValueError(f"gradcheck: names is {names!r}, expected a list of {len(inputs)}: one for each input")
    stream = default_generator.get_state()
    rng = np.random.default_rng(seed)
    try:
        with enable_grad(), np.errstate(all="ignore"):
            called = _names(fn, len(inputs)) if names is None else list(names)
            return _check_orders(fn, list(inputs), called, order, directions, rng, full, stream)
    finally:
        default_generator.set_state(stream)


def _check_orders(
    fn: Any, inputs: list[Any], names: list[str], order: int, directions: int, rng: Any, full: bool, stream: Any
) -> GradcheckResult:
    found: GradcheckResult | None = None
    for n in range(1, order + 1):
        point = _Point(fn, inputs, names, stream)
        result = point.trouble() or (_full(point) if full else _directions(point, directions, rng))
        if result.worst is not None:
            result = replace(result, worst=replace(result.worst, order=n))
        found = result if found is None or result.verdict not in ("ok", "kink") or found.verdict == "ok" else found
        if n == order or found.verdict not in ("ok", "kink"):
            break
        incoming = [rng.choice([-1.0, 1.0], y.shape) * rng.uniform(0.5, 1.5, y.shape) for y in point.outputs]
        incoming = [np.asarray(u, y.dtype) for u, y in zip(incoming, point.outputs, strict=True)]
        if difference := _recorded_differs(point, incoming, n):
            return difference
        fn, inputs = _gradient_of(fn, len(inputs), point.places), [*inputs, *incoming]
        names = names + [f"the incoming gradient of order {n}"] * len(incoming)
    assert found is not None
    return found


# ---- the function at a point -------------------------------------------------------------------------------


class _Point:
    """A function at given inputs: its values nearby, and what its gradients say there."""

    def __init__(self, fn: Any, inputs: Sequence[Any], names: list[str], stream: Any) -> None:
        self.fn = fn
        self.inputs = [x._array if isinstance(x, Tensor) else x for x in inputs]
        self.names = names
        self.stream = stream
        self.places = [i for i, x in enumerate(self.inputs) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
        if not self.places:
            kinds = [str(getattr(x, "dtype", type(x).__name__)) for x in inputs]
            raise TypeError(
                f"gradcheck: the inputs are {', '.join(kinds) or 'none'}, expected a float tensor among them"
            )
        self.arrays = [np.array(self.inputs[i]) for i in self.places]
        for i, x in zip(self.places, self.arrays, strict=True):
            if not np.isfinite(x).all():
                index = tuple(int(k) for k in np.argwhere(~np.isfinite(x))[0])
                raise ValueError(f"gradcheck: {names[i]} holds {x[index]} at {index}, expected finite numbers")
        self.leaves, self.outputs = self.run(self.arrays)
        self.base = _flat(self.outputs)
        everything: list[Any] = [*self.arrays, *self.outputs]
        dtypes = [x.dtype for x in everything]
        self.eps = max(float(np.finfo(d).eps) for d in dtypes)
        # From 1e-3 to 1e-6 in float64, from 0.05 to 0.002 in float32, in units of an argument's largest entry.
        self.steps = self.eps ** np.linspace(0.19166, 0.38332, 4)
        largest = [float(np.abs(x).max(initial=0.0)) for x in self.arrays]
        # A denormal argument is no unit: in steps of it nothing has digits, and one over it overflows.
        self.least = [_least(x.dtype) for x in self.arrays]
        self.scales = [max(size or max(largest) or 1.0, least) for size, least in zip(largest, self.least, strict=True)]
        self.live = np.isfinite(self.base)  # an output that is -inf by a mask has no slope
        self.relative = False
        self.noise = self.level = np.zeros(self.base.shape)

    def run(self, arrays: Iterable[Any]) -> tuple[list[Tensor], list[Tensor]]:
        """Call the function on copies of these arrays: the leaves, and the float results."""
        values = list(self.inputs)
        leaves = [wrap(x.copy()).requires_grad_() for x in arrays]
        for i, leaf in zip(self.places, leaves, strict=True):
            values[i] = leaf
        for i, x in enumerate(values):
            if isinstance(x, np.ndarray):
                values[i] = Tensor(x)
        default_generator.set_state(self.stream)
        return leaves, _tensors(self.fn(*values))

    def values(self, direction: Direction, step: float) -> Floats:
        """The results, as one flat vector, a step along a direction away."""
        moved = [
            x if v is None else np.asarray(x + step * v, x.dtype) for x, v in zip(self.arrays, direction, strict=True)
        ]
        return _flat(self.run(moved)[1])

    def pull(self, weights: Floats, recorded: bool = False) -> list[Floats]:
        """The gradients of the weighted sum of all results, by the function's own rules."""
        cuts = np.cumsum([y._array.size for y in self.outputs])[:-1]
        parts = zip(np.split(weights, cuts), self.outputs, strict=True)
        seeds = [part.reshape(y.shape).astype(y.dtype) for part, y in parts]
        default_generator.set_state(self.stream)
        return _pull(self.leaves, self.outputs, seeds, recorded)

    def trouble(self) -> GradcheckResult | None:
        """A verdict that needs no slopes: two calls differ, or the results are no numbers."""
        again = _flat(self.run(self.arrays)[1])
        if again.shape != self.base.shape or again.tobytes() != self.base.tobytes():
            return GradcheckResult("nondeterministic", None, "two calls with the same inputs gave different results")
        if np.isnan(self.base).any():
            where = _place(self.place(int(np.isnan(self.base).argmax())))
            return GradcheckResult("ill-conditioned", None, f"the function returned NaN at output {where}")
        if self.base.size and not self.live.any():
            return GradcheckResult("ill-conditioned", None, "no output is finite")
        if not self.base.size or not any(x.size for x in self.arrays):
            return GradcheckResult("ok", None, "there are no entries")
        return None

    def place(self, flat: int) -> tuple[int, ...]:
        """Which output, and where in it, a place of the flat vector is."""
        for k, y in enumerate(self.outputs):
            if flat < y._array.size:
                return (k, *(int(i) for i in np.unravel_index(flat, y.shape)))
            flat -= y._array.size
        raise IndexError(flat)

    def spaces(self) -> list[list[int]]:
        """Which arguments move: each one alone, and all together."""
        alone = [[i] for i, x in enumerate(self.arrays) if x.size]
        return alone if len(alone) == 1 else [*alone, [i for [i] in alone]]

    def signs(self, space: list[int], count: int, rng: Any) -> list[Direction]:
        """Directions of random signs, times the largest entry of the argument (`relative`: times each entry itself).

        Any two entries (of the first 2**count) have different signs in one of the directions at least: a tie shows.
        """
        directions: list[Direction] = [[None] * len(self.arrays) for _ in range(count)]
        for i in space:
            x = self.arrays[i]
            size = np.maximum(np.abs(x).astype(np.float64), self.least[i]) if self.relative else self.scales[i]
            codes = np.concatenate(
                [rng.permutation(2 ** min(count, 16)) for _ in range(1 + (x.size >> min(count, 16)))]
            )
            for k, direction in enumerate(directions):
                direction[i] = np.where(codes[: x.size] >> k % 16 & 1, 1.0, -1.0).reshape(x.shape) * size
        return directions

    def unit(self, argument: int, flat: int) -> Direction:
        """The direction in which one entry of one argument moves."""
        direction: Direction = [None] * len(self.arrays)
        one = np.zeros(self.arrays[argument].size)
        one[flat] = self.scales[argument]
        direction[argument] = one.reshape(self.arrays[argument].shape)
        return direction

    def look_around(self, relative: bool) -> None:
        """Find out how far rounding makes the results jump, and how large they are: their values, or their changes.

        Rounding is what no polynomial of degree 5 explains. It is measured on either side of the point, since that
        may be a kink; the quieter side counts.
        """
        self.relative = relative
        rng = np.random.default_rng(0)
        direction = [v if v is None else v * rng.uniform(0.5, 1.5) for v in self.signs(self.spaces()[-1], 1, rng)[0]]
        base = np.where(self.live, self.base, 0.0)
        noise, level = np.full(base.shape, np.inf), np.abs(base)
        for sign in (1, -1):
            values = np.stack([self.values(direction, sign * float(t) * self.steps[1]) for t in _NODES])
            values = np.where(self.live & np.isfinite(values), values, base)
            noise = np.minimum(noise, 2 * _norm(_RESIDUAL @ values))
            level = np.maximum(level, np.abs(values - base).max(axis=0) / (_NODES[-1] * self.steps[1]))
        self.noise = np.maximum(self.noise, np.maximum(4 * self.eps * np.abs(base), noise))
        self.level = level


def _pull(leaves: list[Tensor], outputs: list[Tensor], seeds: Sequence[Any], recorded: bool) -> list[Floats]:
    """The gradients of the leaves for these incoming gradients, in float64."""
    live = [(y, g) for y, g in zip(outputs, seeds, strict=True) if y.tracked and y._array.size]
    if not live:
        return [np.zeros(x.shape) for x in leaves]
    ys, gs = zip(*live, strict=True)
    found = autograd.grad(ys, leaves, gs, True, create_graph=recorded, materialize_grads=True)
    return [g._array.astype(np.float64) for g in found]


def _tensors(result: Any) -> list[Tensor]:
    results = result if isinstance(result, (tuple, list)) else [result]
    if not results or not all(isinstance(y, Tensor) for y in results):
        what = type(result).__name__ if results is not result else [type(y).__name__ for y in results]
        raise TypeError(f"gradcheck: the function returned {what}, expected a Tensor or several")
    floats = [y for y in results if y.dtype.kind == "f"]
    if not floats:
        raise TypeError(f"gradcheck: the function returned {results[0].dtype}, expected a float Tensor")
    return floats


def _flat(outputs: list[Tensor]) -> Floats:
    return np.concatenate([y._array.reshape(-1).astype(np.float64) for y in outputs])


def _least(dtype: Any) -> float:
    """The smallest size whose last digits are normal numbers."""
    return float(np.finfo(dtype).tiny) / float(np.finfo(dtype).eps)


def _norm(x: Floats) -> Any:
    """The Euclidean norm along the first axis, also where the squares are too large or too small for a float."""
    largest = np.abs(x).max(axis=0, initial=0.0)
    unit = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return unit * np.linalg.norm(x / unit, axis=0)


def _names(fn: Any, count: int) -> list[str]:
    names: list[str] = []
    try:
        parameters = inspect.signature(fn.kernel if isinstance(fn, Op) else fn).parameters.values()
        names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):
        pass
    return (names + [f"argument {i}" for i in range(len(names), count)])[:count]


def _place(output: tuple[int, ...]) -> str:
    return f"{list(output[1:])}" if output[0] == 0 else f"{output[0]}{list(output[1:])}"


def _gradient_of(fn: Any, count: int, places: list[int]) -> Callable[..., list[Tensor]]:
    """The function that maps the inputs and the incoming gradients to the gradients, recorded."""

    def gradient(*args: Any) -> list[Tensor]:
        outputs = _tensors(fn(*args[:count]))
        seeds = args[count:]
        live = [(y, u) for y, u in zip(outputs, seeds, strict=True) if y.tracked]
        xs = [args[i] for i in places]
        if not live:
            return [wrap(np.zeros(x.shape, x.dtype)) for x in xs]
        ys, us = zip(*live, strict=True)
        return list(autograd.grad(ys, xs, us, create_graph=True, materialize_grads=True))

    return gradient


def _recorded_differs(point: _Point, incoming: list[Any], order: int) -> GradcheckResult | None:
    """The gradients computed with arrays and those recorded for the next order must be the same numbers."""
    weights = _flat([Tensor(u) for u in incoming])
    pairs = list(zip(point.pull(weights), point.pull(weights, recorded=True), strict=True))
    bounds = [8 * point.eps**0.7 * float(np.abs(a).max(initial=0.0)) for a, _ in pairs]
    if any(_outside(a, b, bound).any() for (a, b), bound in zip(pairs, bounds, strict=True)):
        moves = rounding(_gradient_near(point), [*point.arrays, *incoming])
        bounds = [bound + ROOM * move for bound, move in zip(bounds, moves, strict=True)]
    for i, ((a, b), bound) in enumerate(zip(pairs, bounds, strict=True)):
        if _outside(a, b, bound).any():
            off = np.nan_to_num(np.abs(a - b), nan=np.inf)
            at = tuple(int(k) for k in np.unravel_index(int(off.argmax()), a.shape))
            x, where = float(a[at]), point.places[i]
            worst = Worst(where, point.names[where], at, None, float(b[at]), x, (x - bound, x + bound), 0.0, order)
            return GradcheckResult("wrong", worst, "the recorded gradient is not the one that is computed with arrays")
    return None


def _outside(a: Floats, b: Floats, bound: float) -> Any:
    return ~(np.abs(a - b) <= bound) & np.isfinite(a).all()


def _gradient_near(point: _Point) -> Callable[..., list[Floats]]:
    """The recorded gradients as a function of the inputs and the incoming gradients, arrays in and arrays out."""

    def gradient(*arrays: Any) -> list[Floats]:
        count = len(point.arrays)
        leaves, outputs = point.run(arrays[:count])
        return _pull(leaves, outputs, arrays[count:], recorded=True)

    return gradient


# ---- slopes along a direction ------------------------------------------------------------------------------


class _Slopes:
    """The slopes of all outputs along one direction: for each an interval, wide at a kink, and an error."""

    def __init__(self, point: _Point, direction: Direction) -> None:
        steps, self.direction = point.steps, direction
        up = np.stack([point.values(direction, h) for h in steps])
        down = np.stack([point.values(direction, -h) for h in steps])
        stays = np.isfinite(up).all(axis=0) & np.isfinite(down).all(axis=0)
        same = (up == point.base).all(axis=0) & (down == point.base).all(axis=0)
        self.lost = ~np.where(point.live, stays, same)  # outputs that leave their domain within a step, or enter it
        self.used = point.live & ~self.lost
        base, h = np.where(self.used, point.base, 0.0), steps[:, None]
        up, down = np.where(self.used, up, 0.0), np.where(self.used, down, 0.0)
        self.right, self.left = (up - base) / h, (base - down) / h
        gap = np.abs(self.right - self.left)
        central = (up - down) / (2 * h)
        self.noise = point.noise + 2 * point.eps * np.abs(central).min(axis=0)
        jitter = self.noise / h
        extrapolated = central[1:] + np.diff(central, axis=0) / ((steps[0] / steps[1]) ** 2 - 1)
        self.guesses = np.concatenate([extrapolated, central[-1:]])
        # A guess is held against the next, finer one, or (where that differs by its rounding) what it was made of.
        errors = np.abs(np.diff(self.guesses, axis=0))
        # Where only the second derivative jumps the error shrinks as the step, and the last two share most of theirs.
        errors[2] = np.maximum(errors[2], errors[1] * steps[1] / steps[0])
        rounding = errors <= 2 * jitter[[2, 3, 3]]
        errors = np.where(rounding, np.minimum(errors, np.abs(extrapolated - central[1:])), errors) + 2 * jitter[1:]
        loud = gap > 50 * jitter
        # How the gap between the two sides changes with the step: smooth shrinks as it, a kink stays, a jump grows.
        shrink = steps[1] / steps[0]
        apart = loud[1:] & (gap[1:] > shrink**0.5 * gap[:-1])  # a kink lies within the step, and spoils what uses it
        grows = gap[1:] > shrink**-0.5 * gap[:-1]
        self.kink = apart[2] & ~grows[2] & ~grows[1]
        steep = np.maximum(np.abs(self.right), np.abs(self.left))
        rises = (steep[1:] > shrink**-0.7 * steep[:-1]) & (steep[1:] > 50 * jitter[1:])
        self.jump = rises[1] & rises[2]
        spoilt = apart | np.concatenate([apart[:1], apart[:-1]])
        errors = np.where(spoilt, np.maximum(errors, gap[1:]), errors)
        self.errors = np.concatenate([errors, gap[-1:] + jitter[-1:]])
        self.settle(self.errors, point.steps)

    def settle(self, errors: Floats, steps: Floats) -> None:
        """Choose the guess with the smallest error; `errors` may be the largest ones of several directions."""
        best = errors.argmin(axis=0)
        every = np.arange(errors.shape[1])
        guess, self.error = self.guesses[best, every], errors[best, every]
        sides, before = np.stack([self.right[3], self.left[3]]), np.stack([self.right[2], self.left[2]])
        unsure = np.abs(sides - before)  # at a kink each side has an error of its own, and widens the interval
        self.low = np.where(self.kink, (sides - unsure).min(axis=0), guess)
        self.high = np.where(self.kink, (sides + unsure).max(axis=0), guess)
        self.error = np.where(self.kink, 2 * self.noise / steps[3], self.error)
        self.size = self.usual = np.maximum(np.abs(self.low), np.abs(self.high))
        self.step = np.where(self.kink, steps[3], steps[np.minimum(best + 1, 3)])


@dataclass(frozen=True)
class _Judged:
    """One weighted sum of slopes, held against the gradient's claim.

    size: how large the slopes are, claimed: how large the gradient says they are, level: how large the values are;
    limit: the part of the size that the bound may be.
    """

    analytic: float
    low: float
    high: float
    bound: float
    step: float
    size: float
    claimed: float
    level: float
    limit: float

    @property
    def excess(self) -> float:
        """By how many bounds the claim lies outside of the interval; at most 1 is allowed."""
        outside = max(self.low - self.analytic, self.analytic - self.high, 0.0)
        return math.inf if math.isnan(outside) else outside / (self.bound or math.ulp(0.0))

    @property
    def hidden(self) -> bool:
        """The bound is so wide that the comparison proves nothing."""
        if self.excess > 1:
            return self.bound > self.limit * self.size and self.bound > 1e-6 * self.level
        flat = self.claimed <= self.bound <= 1e-6 * self.level  # that there is no slope can be seen
        return self.bound > self.limit * max(self.size, self.claimed) and not flat

    @property
    def wrong(self) -> bool:
        """The claim is certainly not the slope."""
        return self.excess > 1 and not self.hidden


def _judge(point: _Point, slopes: _Slopes, weights: Floats, gradient: list[Floats]) -> _Judged:
    """Compare the weighted sum of the slopes with the same direction's share of `gradient`, the pull of the weights."""
    used = slopes.used & ~slopes.jump
    w = np.where(used, weights, 0.0)
    low, high = np.minimum(w * slopes.low, w * slopes.high), np.maximum(w * slopes.low, w * slopes.high)
    terms = [np.where(v == 0, 0.0, g * v) for g, v in zip(gradient, slopes.direction, strict=True) if v is not None]
    analytic = sum(float(t.sum()) for t in terms)
    claimed = float(_norm(np.concatenate([t.reshape(-1) for t in terms])))
    size = float(_norm(w * np.maximum(slopes.size, slopes.usual)))
    bound = SIGMAS * float(_norm(w * slopes.error))
    if math.isfinite(claimed):
        bound += point.eps**0.7 * (size + claimed)
    step = float(slopes.step[int(np.abs(w * slopes.size).argmax())])
    level = float(_norm(w * point.level))
    limit = max(PROVES_NOTHING, point.eps**0.15)
    return _Judged(analytic, float(low.sum()), float(high.sum()), bound, step, size, claimed, level, limit)


# ---- the check ---------------------------------------------------------------------------------------------


def _directions(point: _Point, count: int, rng: Any) -> GradcheckResult:
    """Random directions, with steps in units of an argument's largest entry, or else in units of each entry."""
    found = _along(point, count, rng, relative=False)
    # Next to a large entry's steps a small one can leave the domain, or reach beyond a kink that it does not lie on.
    if found.verdict in ("kink", "ill-conditioned") and all(x.all() for x in point.arrays):
        again = _along(point, count, rng, relative=True)
        return again if again.verdict in ("ok", "wrong") else found
    return found


def _along(point: _Point, count: int, rng: Any, relative: bool) -> GradcheckResult:
    """Random directions, for each argument alone and for all together."""
    point.look_around(relative)
    families = [[_Slopes(point, v) for v in point.signs(space, count, rng)] for space in point.spaces()]
    lost = np.any([s.lost for slopes in families for s in slopes], axis=0)
    if lost.any():
        where = _place(point.place(int(lost.argmax())))
        return GradcheckResult("ill-conditioned", None, f"output {where} is not finite a small step away")
    seen: list[tuple[_Judged, list[int]]] = []
    kinked = False
    for space, slopes in zip(point.spaces(), families, strict=True):
        scale = _settled(point, slopes)
        kinked = kinked or any(s.kink.any() or s.jump.any() for s in slopes)
        for s, weights in _trials(slopes, scale, count, rng):
            weights = np.where(s.used & ~s.jump, weights, 0.0)
            gradient = point.pull(weights)
            if not point.live.all() and not all(np.isfinite(g).all() for g in gradient):
                return GradcheckResult("ill-conditioned", None, "an output is not finite, and neither is the gradient")
            judged = _judge(point, s, weights, gradient)
            if judged.wrong:
                worst = _localise(point, s, weights, gradient, judged, rng)
                if worst is not None and worst.interval[0] <= worst.analytic <= worst.interval[1]:  # both are infinite
                    return GradcheckResult("ill-conditioned", worst, "the slope is too large for its dtype")
                if worst is not None:
                    return GradcheckResult("wrong", worst, "the gradient is not the slope of the values")
                kinked = True
            seen.append((judged, space))
    return _verdict(point, seen, kinked)


def _trials(slopes: list[_Slopes], scale: Floats, count: int, rng: Any) -> Iterator[tuple[_Slopes, Floats]]:
    """Which outputs are looked at along which direction, and with which weights.

    The smooth ones together; those at a kink together, and some one by one: a sum over many kinks is a wide interval.
    """
    corners = np.any([s.kink for s in slopes], axis=0)
    for s in slopes:
        yield s, np.where(corners, 0.0, rng.choice([-1.0, 1.0], scale.shape) / scale)
    for s in slopes if corners.any() else ():
        yield s, np.where(corners, rng.choice([-1.0, 1.0], scale.shape) / scale, 0.0)
    for i in rng.permutation(np.flatnonzero(corners))[:count]:
        for s in slopes:
            yield s, np.where(np.arange(scale.size) == i, 1 / scale, 0.0)


def _settled(point: _Point, slopes: list[_Slopes]) -> Floats:
    """Let several directions share their errors (one alone can be small by luck); the size of each output's slope."""
    errors = np.max([np.where(s.kink | s.jump, 0.0, s.errors) for s in slopes], axis=0)
    for s in slopes:
        s.settle(errors, point.steps)
    size: Floats = np.max([s.size for s in slopes], axis=0)
    for s in slopes:
        s.usual = size.copy()
    # An output that hardly moves is not blown up to the size of the others: that would blow up its rounding.
    size = np.maximum(size, np.max([s.error for s in slopes], axis=0) / point.eps**0.575)
    # Neither is one that does not move at all: a change below the last digit of larger numbers on the way is lost.
    still = size == 0
    size[still] = max(size.max(), point.eps**0.425 * max(point.scales)) if size.any() else 1.0
    least = [np.full(y._array.size, _least(y.dtype)) for y in point.outputs]
    return np.asarray(np.maximum(size, np.concatenate(least)))


def _verdict(point: _Point, seen: list[tuple[_Judged, list[int]]], kinked: bool) -> GradcheckResult:
    """No direction failed: ok, at a kink, or hidden by rounding."""
    judged, space = max(seen, key=lambda found: (found[0].hidden, found[0].excess))
    worst = _as_worst(point, judged, space[0], None, None)
    if judged.hidden:
        return GradcheckResult("ill-conditioned", worst, "rounding hides the slope along some direction")
    if kinked:
        return GradcheckResult(
            "kink", worst, "the inputs lie on a kink or a tie, and the gradient is a valid one there"
        )
    return GradcheckResult("ok", worst, f"{len(seen)} directions agree")


def _as_worst(point: _Point, judged: _Judged, argument: int, flat: int | None, output: int | None) -> Worst:
    """The numbers of a judgement, in units of the argument and the output."""
    place, scale = point.places[argument], point.scales[argument]
    array = point.arrays[argument]
    index = None if flat is None else tuple(int(k) for k in np.unravel_index(flat, array.shape))
    factor = 1 / (judged.size or 1.0) if flat is None else 1 / scale
    low, high = (judged.low - judged.bound) * factor, (judged.high + judged.bound) * factor
    numeric = (judged.low + judged.high) / 2 * factor
    where = None if output is None else point.place(output)
    return Worst(
        place, point.names[place], index, where, judged.analytic * factor, numeric, (low, high), judged.step * scale
    )


def _full(point: _Point) -> GradcheckResult:
    """Every entry of the Jacobian: each entry of each argument moves alone, each output is looked at alone."""
    point.look_around(False)
    outputs = np.eye(point.base.size)
    pulls = [point.pull(w) for w in outputs]
    seen: list[tuple[_Judged, list[int]]] = []
    kinked = False
    for a, array in enumerate(point.arrays):
        moves = [point.unit(a, j) for j in range(array.size)]
        for j, move in enumerate(moves):
            slopes = _Slopes(point, move)
            kinked = kinked or bool(slopes.kink.any() or slopes.jump.any())
            for i, (w, gradient) in enumerate(zip(outputs, pulls, strict=True)):
                judged = _judge(point, slopes, w, gradient)
                if judged.wrong:
                    worst = _as_worst(point, judged, a, j, i)
                    return GradcheckResult("wrong", worst, "the gradient is not the slope of the values")
                seen.append((judged, [a]))
    return _verdict(point, [(j, s) for j, s in seen if j.size > 0] or seen, kinked)


# ---- where is it wrong? ------------------------------------------------------------------------------------


def _localise(
    point: _Point, slopes: _Slopes, weights: Floats, gradient: list[Floats], judged: _Judged, rng: Any
) -> Worst | None:
    """The entry that is most wrong in a direction that failed; None if kinks that act together explain it."""
    direction, judged = _halved(point, slopes.direction, weights, gradient, judged)
    entries = [(a, int(j)) for a, v in enumerate(direction) if v is not None for j in np.flatnonzero(v)]
    moving = [a for a, v in enumerate(direction) if v is not None]
    singles: dict[tuple[int, int], _Slopes] = {}
    corners: list[tuple[int, int]] = []
    worst: tuple[float, _Judged, tuple[int, int]] | None = None
    for a, j in entries if len(entries) <= SCAN else []:
        single, found = _part(point, point.unit(a, j), weights, gradient)
        singles[a, j] = single
        if single.kink.any() or single.jump.any():
            corners.append((a, j))
        off = abs(found.analytic - min(max(found.analytic, found.low), found.high))
        if found.wrong and (worst is None or off > worst[0]):
            worst = off, found, (a, j)
    if worst is not None:
        _, found, (a, j) = worst
        output = _guilty_output(point, singles[a, j], weights, a, j)
        if output is None:
            return _as_worst(point, found, a, j, None)
        i, found = output
        if _torn(point, direction, singles, (a, j), i, rng):
            rest = np.where(np.arange(weights.size) == i, 0.0, weights)
            gradient = point.pull(rest)
            judged = _judge(point, slopes, rest, gradient)
            return _localise(point, slopes, rest, gradient, judged, rng) if judged.wrong else None
        return _as_worst(point, found, a, j, i)
    if corners and _explained(point, direction, np.where(slopes.used, weights, 0.0), judged, corners, rng):
        return None
    return _as_worst(point, judged, moving[0], None, None)


def _torn(
    point: _Point,
    direction: Direction,
    singles: dict[tuple[int, int], _Slopes],
    worst: tuple[int, int],
    output: int,
    rng: Any,
) -> bool:
    """Whether several pieces of an output meet here, and the claim is the slope of one of them.

    The middle one of three equal numbers stays where it is if any one of them moves, to either side: along each
    direction it is smooth, but its slopes do not add up.
    """
    whole = _Slopes(point, direction)
    shares = {(a, j): np.ravel(direction[a])[j] / point.scales[a] for a, j in singles}  # type: ignore[arg-type]
    parts = [(share, singles[place]) for place, share in shares.items()] + [(-1.0, whole)]
    apart = sum(share * (s.low[output] + s.high[output]) / 2 for share, s in parts)
    room = sum(abs(share) * ((s.high - s.low)[output] / 2 + SIGMAS * s.error[output]) for share, s in parts)
    largest = max(abs(share) * s.size[output] for share, s in parts)
    if not singles[worst].kink[output] and not abs(apart) > room + 1e-3 * largest:
        return False
    w = np.where(np.arange(point.base.size) == output, 1.0, 0.0)
    return _explained(point, direction, w, _judge(point, whole, w, point.pull(w)), list(singles), rng)


def _part(point: _Point, direction: Direction, weights: Floats, gradient: list[Floats]) -> tuple[_Slopes, _Judged]:
    """A part of a direction that failed, judged with the same weights (where this part makes no output jump)."""
    slopes = _Slopes(point, direction)
    smooth = np.where(slopes.used & ~slopes.jump, weights, 0.0)
    same = np.array_equal(smooth, weights)
    return slopes, _judge(point, slopes, smooth, gradient if same else point.pull(smooth))


def _halved(
    point: _Point, direction: Direction, weights: Floats, gradient: list[Floats], judged: _Judged
) -> tuple[Direction, _Judged]:
    """Cut a direction that failed in halves, keeping the worse one, until few enough entries move."""
    while True:
        places = [(a, np.flatnonzero(v)) for a, v in enumerate(direction) if v is not None]
        total = sum(len(js) for _, js in places)
        if total <= SCAN:
            return direction, judged
        taken = 0
        parts: list[Direction] = [[None] * len(direction), [None] * len(direction)]
        for a, js in places:
            cut = min(max(total // 2 - taken, 0), len(js))
            taken += len(js)
            for part, chosen in zip(parts, (js[:cut], js[cut:]), strict=True):
                if len(chosen):
                    v = np.zeros(point.arrays[a].size)
                    full = direction[a]
                    assert full is not None
                    v[chosen] = full.reshape(-1)[chosen]
                    part[a] = v.reshape(full.shape)
        halves = [(_part(point, part, weights, gradient)[1], part) for part in parts]
        judged, direction = max(halves, key=lambda half: half[0].excess)


def _guilty_output(
    point: _Point, slopes: _Slopes, weights: Floats, argument: int, flat: int
) -> tuple[int, _Judged] | None:
    """The output whose slope the gradient gets wrong, found by halving the weights; None if no single one is."""
    among = np.flatnonzero(weights)
    if not len(among):  # nothing comes in, and still NaN comes out
        return None
    while len(among) > 1:
        halves = []
        for part in (among[: len(among) // 2], among[len(among) // 2 :]):
            w = np.zeros(weights.size)
            w[part] = weights[part]
            halves.append((_judge(point, slopes, w, point.pull(w)).excess, part))
        excess, among = max(halves, key=lambda half: half[0])
        if excess <= 1:
            return None
    w = np.zeros(weights.size)
    w[among] = 1.0
    return int(among[0]), _judge(point, slopes, w, point.pull(w))


def _explained(
    point: _Point, direction: Direction, weights: Floats, judged: _Judged, corners: list[tuple[int, int]], rng: Any
) -> bool:
    """Whether the claim lies among the slopes of the smooth pieces that meet here (Clarke's generalised gradient).

    A sum of kinks that bend to different sides has slopes, at points nearby, beyond those to its own two sides.
    The pieces are reached by stepping off the kinks; which side of each one leads towards the claim is tried in turn.
    """
    away, small = point.steps[1], point.steps[3] / 10
    sign = 1.0 if judged.analytic > judged.high else -1.0
    bound = judged.bound + 1e-3 * judged.size
    used = weights != 0

    def short(sides: list[Floats]) -> float:
        """By how much the slope of a piece falls short of the claim."""
        off = [x + away * scale * s for x, scale, s in zip(point.arrays, point.scales, sides, strict=True)]
        near = [[x if v is None else x + h * v for x, v in zip(off, direction, strict=True)] for h in (small, -small)]
        up, down = (
            _flat(point.run([np.asarray(x, p.dtype) for x, p in zip(n, point.arrays, strict=True)])[1]) for n in near
        )
        return sign * (judged.analytic - float(weights @ np.where(used, (up - down) / (2 * small), 0.0)))

    for _ in range(1 + TRIES // len(corners)):
        sides = [rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1.5, x.shape) for x in point.arrays]  # no ties
        best = short(sides)
        for a, j in corners * 2:
            if best <= bound:
                return True
            flat = sides[a].reshape(-1)
            flat[j] = -flat[j]
            tried = short(sides)
            if tried < best:
                best = tried
            else:
                flat[j] = -flat[j]
        if best <= bound:
            return True
    return False

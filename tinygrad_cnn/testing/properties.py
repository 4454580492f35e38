"""The battery: twenty things that are true of every op with right gradients.

The cheap and exact ones come first. Most of them need no step size: they compare the op with itself, in another
memory layout, in parts, scaled, broadcast by hand. Only the last ones hold gradients against values nearby.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tinygrad_cnn import autograd, kernels, locks
from tinygrad_cnn.autograd import is_grad_enabled, no_grad, wrap
from tinygrad_cnn.random import default_generator
from tinygrad_cnn.tensor import Tensor
from tinygrad_cnn.testing.gradcheck import GradcheckResult, gradcheck
from tinygrad_cnn.testing.rounding import ROOM, rounding
from tinygrad_cnn.testing.sample import Array, Key, Sample
from tinygrad_cnn.testing.spec import OpSpec
from tinygrad_cnn.testing.strategies import LAYOUTS, lay_out

__all__ = ["PROPERTIES", "Case", "Property", "RefutedError", "must"]

__tracebackhide__ = True  # pytest leaves these frames out of its reports; those of the function that is checked stay

Gradients: TypeAlias = dict[Key, Array]
Noise: TypeAlias = Callable[[], float]  # how far rounding moves a result; measured where it matters
SMALL = 24  # the full Jacobian is taken where arguments and results have so many entries together


class RefutedError(AssertionError):
    """A property does not hold; the message says all that there is to say."""


def must(holds: Any, sentence: str, *facts: Any) -> None:
    """Raise `RefutedError` with the sentence, and the facts in its braces, unless it holds.

    No `assert`: with `python -O` the battery would find nothing. The sentence is made only when it is needed.
    """
    if not holds:
        raise RefutedError(sentence.format(*facts))


# ---- a case: one op, one call ------------------------------------------------------------------------------


class Case:
    """One call of one op, with what the properties do again and again: values, gradients, comparisons."""

    def __init__(self, spec: OpSpec, sample: Sample, seed: int, dtype: Any = np.float64) -> None:
        self.spec = spec
        self.sample = sample if dtype == np.float64 else sample.astype(dtype)
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.keys = spec.keys(sample)
        self.eps = float(np.finfo(dtype).eps)
        self.hidden: GradcheckResult | None = None  # where rounding hid slopes that should be seen

    def run(self, sample: Sample | None = None, op: Any = None) -> tuple[dict[Key, Tensor], list[Tensor]]:
        """Call the op with Tensors: the leaves, and the float results."""
        sample = self.sample if sample is None else sample
        leaves, tensors = sample.leaves()
        for key in set(leaves) - set(self.spec.keys(sample)):
            leaves.pop(key).requires_grad_(False)
        default_generator.manual_seed(self.seed)
        return leaves, _floats(sample.call(op or self.spec.op, tensors))

    def cotangents(self, outputs: Sequence[Any]) -> list[Array]:
        """Random incoming gradients for these results."""
        return [np.asarray(self.rng.standard_normal(y.shape), y.dtype) for y in outputs]

    def gradients(
        self, gs: Sequence[Array], sample: Sample | None = None, recorded: bool = False, op: Any = None
    ) -> tuple[list[Array], Gradients]:
        """Values and gradients, for these incoming gradients."""
        leaves, outputs = self.run(sample, op)
        return [y._array for y in outputs], _pull(leaves, outputs, gs, recorded)

    def close(self, what: str, found: Array, expected: Array, noise: Noise, loose: float = 1.0) -> None:
        """Two arrays must agree up to rounding: relative to their largest element, or to `noise`."""
        must(found.shape == expected.shape, "{}: shape {}, expected {}", what, found.shape, expected.shape)
        bound = loose * 8 * self.eps**0.75 * np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
        if _apart(found, expected, bound).any():
            bound += loose * ROOM * noise()
        wrong = _apart(found, expected, bound)
        if wrong.any():
            off = np.where(wrong, np.nan_to_num(np.abs(found - expected), nan=np.inf), -1.0)
            at = tuple(int(i) for i in np.unravel_index(int(off.argmax()), off.shape))
            must(False, "{}: {:.9g} at {}, expected {:.9g} (± {:.2g})", what, found[at], at, expected[at], bound)

    def all_close(self, what: str, found: Gradients, expected: Gradients, near: Rounding) -> None:
        """`close` for the gradients of all arguments."""
        for key in expected:
            name = f"{what}, gradient of {self.spec.argument(key)!r}"
            self.close(name, found[key], expected[key], near.gradient(key))


def _apart(found: Array, expected: Array, bound: float) -> Array:
    with np.errstate(invalid="ignore"):
        same = (np.abs(found - expected) <= bound) | (found == expected) | (np.isnan(found) & np.isnan(expected))
    return np.asarray(~same)


class Rounding:
    """How far rounding moves the values and the gradients of a call, for these incoming gradients.

    It is measured on the gradient rules and the reference kernels: a shortcut or a fast kernel cannot excuse itself.
    """

    def __init__(
        self, case: Case, gs: Sequence[Array], sample: Sample | None = None, op: Any = None, exact: Case | None = None
    ) -> None:
        self.case, self.gs, self.op, self.exact = case, gs, op, exact
        self.sample = case.sample if sample is None else sample

    @functools.cached_property
    def measured(self) -> tuple[list[float], dict[Key, float]]:
        """For each result, and for the gradient of each argument."""
        case, inputs = self.case, self.sample.floats
        keys = case.spec.keys(self.sample) if case.spec.differentiable else []

        def of(case: Case, start: Sample, *arrays: Array) -> list[Array]:
            sample = start.replace(dict(zip(inputs, arrays, strict=False)))
            values, gradients = case.gradients(arrays[len(inputs) :], sample, case.spec.order > 1, self.op)
            return [*values, *(gradients[key] for key in keys)]

        exact = None if self.exact is None else functools.partial(of, self.exact, self.exact.sample)

        before = kernels.get_kernels()
        kernels.set_kernels("reference")
        try:
            moves = rounding(functools.partial(of, case, self.sample), [*inputs.values(), *self.gs], exact)
        finally:
            kernels.set_kernels(before)
        return moves[: len(self.gs)], dict(zip(keys, moves[len(self.gs) :], strict=True))

    def value(self, k: int = 0) -> Noise:
        """Of a result."""
        return lambda: self.measured[0][k]

    def gradient(self, key: Key) -> Noise:
        """Of the gradient of an argument."""
        return lambda: self.measured[1][key]


def _floats(result: Any) -> list[Any]:
    results = result if isinstance(result, (tuple, list)) else [result]
    if strange := [type(y).__name__ for y in results if not isinstance(y, Tensor)]:
        raise TypeError(f"called with Tensors it returned {strange[0]}, expected a Tensor or several")
    return [y for y in results if y.dtype.kind == "f"]


def _pull(leaves: dict[Key, Tensor], outputs: list[Tensor], gs: Sequence[Array], recorded: bool = False) -> Gradients:
    live = [(y, g) for y, g in zip(outputs, gs, strict=True) if y.tracked]
    if not live or not leaves:
        return {key: np.zeros(x.shape, x.dtype) for key, x in leaves.items()}
    ys, seeds = zip(*live, strict=True)
    found = autograd.grad(ys, list(leaves.values()), seeds, True, create_graph=recorded, materialize_grads=True)
    return {key: g._array for key, g in zip(leaves, found, strict=True)}


# ---- the properties ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Property:
    """One thing that is true of right gradients: its number, its name, whom it is asked of, and the check."""

    number: int
    name: str
    sentence: str
    check: Callable[[Case], None]
    applies: Callable[[OpSpec], bool]
    source: str = "inputs"

    def run(self, case: Case) -> None:
        """The check, with the random stream put back afterwards."""
        stream, recording = default_generator.get_state(), is_grad_enabled()
        try:
            with np.errstate(all="ignore"):
                self.check(case)
        finally:
            default_generator.set_state(stream)
            must(is_grad_enabled() == recording, "recording was left switched")

    def __str__(self) -> str:
        return self.name


PROPERTIES: dict[str, Property] = {}
Check: TypeAlias = Callable[[Case], None]


def _property(
    number: int, name: str, applies: Callable[[OpSpec], bool] = lambda spec: spec.differentiable, source: str = "inputs"
) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        sentence = (check.__doc__ or "").strip().splitlines()[0]
        PROPERTIES[name] = Property(number, name, sentence, check, applies, source)
        return check

    return register


@_property(1, "forward", lambda spec: True)
def forward(case: Case) -> None:
    """Arrays, Tensors and the NumPy reference give the same values."""
    spec, sample = case.spec, case.sample
    with no_grad():
        default_generator.manual_seed(case.seed)
        results = sample.call(spec.op, sample.leaves()[1])
    several = isinstance(results, (tuple, list))
    _floats(results)
    if spec.takes_arrays:
        default_generator.manual_seed(case.seed)
        plain = sample.call(spec.op)
        for a, b in zip(plain if several else [plain], results if several else [results], strict=True):
            found = a._array if isinstance(a, Tensor) else a
            must(found.dtype == b.dtype, "arrays give {}, Tensors {}", found.dtype, b.dtype)
            must(found.tobytes() == b._array.tobytes(), "arrays and Tensors give different values")
    if spec.reference is not None and not several:
        found, expected = results._array, np.asarray(sample.call(spec.reference))
        if found.dtype.kind == "f":
            near = Rounding(case, case.cotangents([results]))
            case.close("the value", found, expected, near.value(), spec.single if found.dtype == np.float32 else 1.0)
        else:
            must(np.array_equal(found, expected), "the value is {!r}, the reference gives {!r}", found, expected)


@_property(2, "shape")
def shape(case: Case) -> None:
    """Each gradient has the shape and the dtype of its argument, and is finite where the values are."""
    must(case.keys, "there is no float array among its arguments, and so no gradient to check")
    leaves, outputs = case.run()
    must(outputs, "there is no float Tensor among its results, and so no gradient to check")
    finite = all(np.isfinite(y._array).all() for y in outputs)
    for key, g in _pull(leaves, outputs, case.cotangents(outputs)).items():
        x, name = leaves[key], case.spec.argument(key)
        must(g.shape == x.shape, "the gradient of {!r} has shape {}, the argument {}", name, g.shape, x.shape)
        must(g.dtype == x.dtype, "the gradient of {!r} is {}, the argument {}", name, g.dtype, x.dtype)
        must(not finite or np.isfinite(g).all(), "the gradient of {!r} is not finite: {}", name, g)


@_property(3, "linear")
def linear(case: Case) -> None:
    """The gradients are linear in the incoming gradient."""
    leaves, outputs = case.run()
    first, second = case.cotangents(outputs), case.cotangents(outputs)
    a, b = _pull(leaves, outputs, first), _pull(leaves, outputs, second)
    both = _pull(leaves, outputs, [2 * x - 3 * y for x, y in zip(first, second, strict=True)])
    parts = [Rounding(case, gs) for gs in (first, second)]
    for key in both:
        noises = [near.gradient(key) for near in parts]
        case.close(f"gradient of {case.spec.argument(key)!r}", both[key], 2 * a[key] - 3 * b[key], _sum(noises, 3))
    # Multiplied by a power of two not a bit of the gradient may change: nothing is added, nothing cut off.
    for factor in (2.0**27, 2.0**-27):
        scaled = _pull(leaves, outputs, [x * x.dtype.type(factor) for x in first])
        for key, g in scaled.items():
            what = f"gradient of {case.spec.argument(key)!r} for g * {factor:g}"
            case.close(what, g / g.dtype.type(factor), a[key], parts[0].gradient(key))


def _sum(noises: Sequence[Noise], times: float = 1.0) -> Noise:
    return lambda: times * sum(noise() for noise in noises)


@_property(4, "adjoint", lambda spec: bool(spec.linear_in))
def adjoint(case: Case) -> None:
    """<A v, w> = <v, A' w> for each argument that the op is linear in: exact, without a step."""
    keys = [key for key in case.keys if case.spec.argument(key) in case.spec.linear_in]
    for key in keys:
        x = case.sample.floats[key]
        v = np.asarray(case.rng.standard_normal(x.shape), x.dtype)
        moved = [y._array for y in case.run(case.sample.replace({key: v}))[1]]
        still = [y._array for y in case.run(case.sample.replace({key: np.zeros_like(x)}))[1]]
        gs = case.cotangents(moved)
        gradient = case.gradients(gs, case.sample.replace({key: v}))[1][key]
        terms = [(a.astype(float) - b) * w for a, b, w in zip(moved, still, gs, strict=True)]
        size = sum(float(np.abs(t).sum()) for t in terms) + float(np.abs(gradient.astype(float) * v).sum())
        size += sum(float(np.abs(b * w).sum()) for b, w in zip(still, gs, strict=True))
        forth, back = sum(float(t.sum()) for t in terms), float((gradient.astype(float) * v).sum())
        bound = 8 * case.eps**0.75 * size
        said = "{!r}: <A v, w> = {!r}, <v, A' w> = {!r} (± {:.2g})"
        must(abs(forth - back) <= bound, said, case.spec.argument(key), forth, back, bound)


@_property(5, "layout", lambda spec: True)
def layout(case: Case) -> None:
    """The same numbers in another memory layout have the same gradients; so has another incoming gradient's layout."""
    sample = case.sample
    moved = sample.map(lambda x: lay_out(x, case.rng.choice(LAYOUTS[:-1])), floats_only=False)
    leaves, outputs = case.run()
    gs = case.cotangents(outputs)
    expected = _pull(leaves, outputs, gs)
    leaves, again = case.run(moved)
    near = Rounding(case, gs)
    for k, (a, b) in enumerate(zip(again, outputs, strict=True)):
        case.close("the value", a._array, b._array, near.value(k))
    for name in ("F", "reversed", "strided"):
        case.all_close(f"g in {name} layout", _pull(leaves, again, [lay_out(g, name) for g in gs]), expected, near)
    constant = [np.broadcast_to(np.asarray(0.75, y.dtype), y.shape) for y in outputs]
    expected = _pull(leaves, again, [g.copy() for g in constant])
    case.all_close("g of stride 0", _pull(leaves, again, constant), expected, Rounding(case, constant))


@_property(6, "broadcast", lambda spec: spec.broadcasts and spec.differentiable)
def broadcast(case: Case) -> None:
    """Arguments that broadcast have the gradients of arguments that are tiled by hand, summed."""
    leaves, outputs = case.run()
    target = outputs[0].shape
    tiled = case.sample.map(lambda x: np.broadcast_to(x, target).copy())
    gs = case.cotangents(outputs)
    found, full = _pull(leaves, outputs, gs), case.gradients(gs, tiled)[1]
    summed = {key: _summed(g, leaves[key].shape) for key, g in full.items()}
    case.all_close("broadcast", found, summed, Rounding(case, gs))


def _summed(g: Array, shape: tuple[int, ...]) -> Array:
    lead = g.ndim - len(shape)
    axes = tuple(i for i in range(g.ndim) if i < lead or (shape[i - lead] == 1 and g.shape[i] != 1))
    return np.asarray(g.sum(axis=axes, keepdims=True)).reshape(shape)


@_property(7, "batch", lambda spec: bool(spec.batched) and spec.differentiable)
def batch(case: Case) -> None:
    """A batch gives what its samples give one by one."""
    spec, sample = case.spec, case.sample
    names = spec.batched(sample) if callable(spec.batched) else spec.batched
    keys = [key for key, x in sample.arrays.items() if spec.argument(key) in names and x.ndim]
    if not keys or not len(sample.arrays[keys[0]]):
        return
    leaves, outputs = case.run()
    gs = case.cotangents(outputs)
    whole = _pull(leaves, outputs, gs)
    parts = []
    for i in range(len(sample.arrays[keys[0]])):
        one = sample.replace({key: sample.arrays[key][i : i + 1] for key in keys})
        parts.append(case.gradients([g[i : i + 1] for g in gs], one))
    near = Rounding(case, gs)
    for k, y in enumerate(outputs):
        case.close("the value", y._array, np.concatenate([values[k] for values, _ in parts]), near.value(k))
    for key, g in whole.items():
        one_by_one = [gradients[key] for _, gradients in parts]
        expected = np.concatenate(one_by_one) if key in keys else np.sum(one_by_one, axis=0)
        case.close(f"gradient of {spec.argument(key)!r}", g, expected, near.gradient(key), 4)


@_property(8, "unchanged", lambda spec: True)
def unchanged(case: Case) -> None:
    """Inputs, incoming gradients and whatever is kept for backward stay as they are."""
    before = {key: x.tobytes() for key, x in case.sample.arrays.items()}
    leaves, outputs = case.run()
    gs = case.cotangents(outputs)
    held = {f"g[{k}]": g for k, g in enumerate(gs)}
    for k, y in enumerate(outputs):
        held[f"result {k}"] = y._array
        for name, kept in (y.node.saved if y.node is not None else {}).items():
            held |= {f"kept {name} of result {k}": kept} if isinstance(kept, np.ndarray) else {}
    bytes_held = {name: x.tobytes() for name, x in held.items()}
    _pull(leaves, outputs, gs)
    for key, x in case.sample.arrays.items():
        must(x.tobytes() == before[key], "the argument {!r} was changed", case.spec.argument(key))
    for name, x in held.items():
        must(x.tobytes() == bytes_held[name], "{} was changed by backward", name)


@_property(9, "aliasing", lambda spec: True)
def aliasing(case: Case) -> None:
    """Gradients share memory with nothing, and results only with inputs where that is declared."""
    leaves, outputs = case.run()
    gs = case.cotangents(outputs)
    found = _pull(leaves, outputs, gs)
    for k, y in enumerate(outputs):
        for key, x in case.sample.arrays.items():
            apart = case.spec.views or not np.shares_memory(y._array, x)
            must(apart, "result {} shares memory with {!r}: declare views=True", k, case.spec.argument(key))
    others = [("g", g) for g in gs] + [("a result", y._array) for y in outputs]
    others += [(f"the argument {case.spec.argument(key)!r}", x) for key, x in case.sample.arrays.items()]
    for key, g in found.items():
        own = f"the gradient of {case.spec.argument(key)!r}"
        for name, other in others:
            must(not np.shares_memory(g, other), "{} shares memory with {}", own, name)
        others.append((own, g))


@_property(10, "shared")
def shared(case: Case) -> None:
    """f(x, x) has the sum of the gradients of f(x, y) at y = x."""
    keys = case.keys
    for first, second in itertools.pairwise(keys):
        x, y = case.sample.floats[first], case.sample.floats[second]
        if x.shape != y.shape and not case.spec.broadcasts:
            continue
        sample = case.sample.replace({second: x.copy()})
        leaves, outputs = case.run(sample)
        gs = case.cotangents(outputs)
        apart = _pull(leaves, outputs, gs)
        _, tensors = sample.leaves()
        tensors[second] = tensors[first]
        default_generator.manual_seed(case.seed)
        again = _floats(sample.call(case.spec.op, tensors))
        together = _pull({first: tensors[first]}, again, gs)[first]
        near = Rounding(case, gs, sample)
        noise = _sum([near.gradient(first), near.gradient(second)])
        case.close("gradient of both", together, apart[first] + apart[second], noise)


@_property(11, "identities", lambda spec: bool(spec.identities))
def identities(case: Case) -> None:
    """Other ways to compute the same have the same values and gradients."""
    leaves, outputs = case.run()
    gs = case.cotangents(outputs)
    expected = _pull(leaves, outputs, gs)
    near = Rounding(case, gs)
    for other in case.spec.identities:
        values, found = case.gradients(gs, op=other)
        what = getattr(other, "__name__", "identity")
        own = Rounding(case, gs, op=other)
        for k, (a, b) in enumerate(zip(values, outputs, strict=True)):
            case.close(f"{what}: the value", a, b._array, _sum([near.value(k), own.value(k)]), 4)
        for key, g in expected.items():
            noise = _sum([near.gradient(key), own.gradient(key)])
            case.close(f"{what}: gradient of {case.spec.argument(key)!r}", found[key], g, noise, 4)


@_property(12, "repeat", lambda spec: True)
def repeat(case: Case) -> None:
    """Twice the same call gives the same bytes, forward and backward."""
    leaves, outputs = case.run()
    gs = case.cotangents(outputs)
    first = _pull(leaves, outputs, gs)
    values, second = case.gradients(gs)
    for a, b in zip(values, outputs, strict=True):
        must(a.tobytes() == b._array.tobytes(), "two calls gave different values")
    for key, g in first.items():
        same = g.tobytes() == second[key].tobytes()
        must(same, "two calls gave different gradients of {!r}", case.spec.argument(key))


@_property(13, "slopes")
def slopes(case: Case) -> None:
    """Along random directions the gradients are the slopes of the values."""
    _gradcheck(case, case.sample, directions=3)


@_property(13, "kinks", lambda spec: spec.kinks is not None, "kinks")
def kinks(case: Case) -> None:
    """On kinks and ties the gradient is one that lies between the slopes to the two sides."""
    _gradcheck(case, case.sample, strict=False, directions=6)


@_property(14, "jacobian")
def jacobian(case: Case) -> None:
    """On tiny shapes, every entry of the Jacobian is the slope of the values."""
    sizes = [case.sample.floats[key].size for key in case.keys]
    if sum(sizes) + sum(y._array.size for y in case.run()[1]) <= SMALL:
        _gradcheck(case, case.sample, full=True)


@_property(15, "second", lambda spec: spec.differentiable and spec.order > 1)
def second(case: Case) -> None:
    """The gradients of the gradients are the slopes of the gradients; recorded and computed gradients agree."""
    _gradcheck(case, case.sample, directions=2, order=2)


@_property(16, "scales", lambda spec: spec.differentiable and bool(spec.scales))
def scales(case: Case) -> None:
    """Tiny and huge inputs have right gradients too."""
    for factor in case.spec.scales:
        if case.eps < 1e-10 or 1e-4 <= factor <= 1e4:
            sample = case.sample.replace({key: np.asarray(case.sample.floats[key] * factor) for key in case.keys})
            _gradcheck(case, sample, strict=False, directions=2)


def _gradcheck(case: Case, sample: Sample, strict: bool = True, **options: Any) -> None:
    """Check the call with `gradcheck`. strict: float64 should see the slopes, rounding may hide them now and then."""

    keys = case.keys

    def function(*leaves: Any) -> Any:
        others = {key: wrap(x) for key, x in sample.arrays.items() if key not in keys}
        return _floats(sample.call(case.spec.op, others | dict(zip(keys, leaves, strict=True))))

    inputs = [sample.arrays[key] for key in keys]
    if not keys:
        return
    if not all(np.isfinite(x).all() for x in inputs):
        case.hidden = GradcheckResult("ill-conditioned", None, "an input is not finite") if strict else None
        return
    result = gradcheck(function, *inputs, seed=case.seed, names=[case.spec.argument(key) for key in keys], **options)
    if result.verdict != "ill-conditioned":
        must(result.verdict in ("ok", "kink"), "{}", result.report())
    elif strict and case.eps < 1e-10:
        case.hidden = result


@_property(17, "edges", lambda spec: bool(spec.edges), "edges")
def edges(case: Case) -> None:
    """Empty, 0-d and size-1 arrays work, and their gradients have the right shapes, dtypes and numbers."""
    for sample in case.spec.edges:
        for dtype in (np.float64,) if "float32" in case.spec.without else (np.float64, np.float32):
            edge = Case(case.spec, sample, case.seed, dtype)
            for name in ("forward", "shape", "linear", "layout", "unchanged"):
                if PROPERTIES[name].applies(case.spec):
                    PROPERTIES[name].run(edge)


@_property(18, "errors", lambda spec: bool(spec.errors), "errors")
def errors(case: Case) -> None:
    """Calls that cannot be right are refused, with the declared error and message."""
    for wrong in case.spec.errors:
        _, tensors = wrong.sample.leaves()
        for new in ({}, tensors):
            message = None
            try:
                wrong.sample.call(case.spec.op, new)
            except wrong.error as error:
                message = str(error)
            if message is None:
                must(False, "{}: no {} was raised", wrong.sample, wrong.error.__name__)
            else:
                told = re.search(wrong.match, message)
                must(told, "{}: the message is {}, expected {}", wrong.sample, message, wrong.match)


@_property(19, "float32")
def float32(case: Case) -> None:
    """float32 gives float32, and what float64 gives, up to its own rounding."""
    single = case.sample.astype(np.float32)
    double = single.astype(np.float64)
    outputs = case.run(double)[1]
    gs = [g.astype(np.float32) for g in case.cotangents(outputs)]
    values, gradients = case.gradients([g.astype(np.float64) for g in gs], double)
    found, found_gradients = case.gradients(gs, single)
    close = Case(case.spec, single, case.seed, np.float32)
    near = Rounding(close, gs, exact=Case(case.spec, double, case.seed))
    for k, (a, b) in enumerate(zip(found, values, strict=True)):
        must(a.dtype == np.float32, "the result is {}", a.dtype)
        close.close("the value", a, b, near.value(k), case.spec.single)
    for key, g in found_gradients.items():
        name = case.spec.argument(key)
        must(g.dtype == np.float32, "the gradient of {!r} is {}", name, g.dtype)
        close.close(f"gradient of {name!r}", g, gradients[key], near.gradient(key), case.spec.single)


@_property(20, "stateful")
def stateful(case: Case) -> None:
    """Backward adds to .grad, again if it is retained; afterwards the graph is gone, and data may change."""
    leaves, outputs = case.run()
    live = [y for y in outputs if y.tracked]
    if not live or not leaves:
        return
    gs = case.cotangents(live)
    expected = _pull(leaves, live, gs)
    used = {key for key, x in leaves.items() if id(x) in {id(leaf) for y in live for leaf in autograd.leaves(y)}}
    autograd.backward(live, gs, retain_graph=True)
    once = {key: leaves[key].grad._array.copy() for key in used}  # type: ignore[union-attr]
    near = Rounding(case, gs)
    case.all_close("backward", once, {key: expected[key] for key in used}, near)
    autograd.backward(live, gs)
    twice = {key: leaves[key].grad._array for key in used}  # type: ignore[union-attr]
    case.all_close("a second backward", twice, {key: 2 * once[key] for key in used}, near)
    try:
        autograd.backward(live, gs)
    except RuntimeError:
        pass
    else:
        must(False, "a backward through a graph that is gone raised nothing")
    for key, x in leaves.items():
        must(not locks.is_held(x._array), "the argument {!r} is still locked after backward", case.spec.argument(key))
    with no_grad():
        must(not any(y.tracked for y in case.run()[1]), "recorded under no_grad")

"""Plants faults in the gradient rules, one at a time, and reports how many the battery finds.

    python tests/mutations.py [--faults 100] [--seed 0] [--ops conv2d,matmul]

Each fault is one that people make: a wrong factor, a sign, a gradient that is never written, one wrong entry at an
edge, a reversed axis, a sum that is a mean (an un-broadcast forgotten), a batch size written into the code, a number
kept from the forward pass where a function of the input belongs, a memory order taken for granted; and in the kernels
behind the rules, a shortcut that disagrees with its rule.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import find, settings
from hypothesis.errors import NoSuchExample

from tinygrad_cnn import kernels, ops
from tinygrad_cnn.autograd import Op, Rule, Variable, grad
from tinygrad_cnn.tensor import Tensor
from tinygrad_cnn.testing.battery import checks
from tinygrad_cnn.testing.sample import as_sample
from tinygrad_cnn.testing.spec import OpSpec, registered

Change = Callable[[Any, dict[str, Any]], Any]  # of a rule's result, given what the rule was given


# ---- the faults --------------------------------------------------------------------------------------------


def scaled(result: Any, _: Any) -> Any:
    """1 % too large."""
    return result * 1.01


def negated(result: Any, _: Any) -> Any:
    """The wrong sign."""
    return -result


def zeroed(result: Any, _: Any) -> Any:
    """Never written."""
    return result * 0.0


def one_entry(result: Any, _: Any) -> Any:
    """The last entry 10 % off, as at the edge of an image."""
    factors = np.ones(result.shape, result.dtype)
    factors.reshape(-1)[-1:] = 1.1
    return result * factors


def reversed_axis(result: Any, _: Any) -> Any:
    """The longest axis the wrong way round."""
    return ops.flip(result, (int(np.argmax(result.shape)),)) if result.ndim else result * -1.0


def hard_coded_batch(result: Any, _: Any) -> Any:
    """Divided by the length of the first dimension, where the code says 2."""
    return result * (len(result) / 2 if result.ndim else 1.5) if result.size else result


def mean_for_sum(result: Any, given: dict[str, Any]) -> Any:
    """An un-broadcast that takes the mean where it should take the sum."""
    whole = result.size if isinstance(result, np.ndarray) else result.array.size
    part = int(np.prod(given["shape"]))
    return ops.sum_to(result, shape=given["shape"]) * (part / whole) if part != whole else result


def memory_order(g: Any) -> Any:
    """The incoming gradient read in the order in which it lies in memory."""
    if isinstance(g, np.ndarray) and g.ndim > 1:
        return g.ravel(order="K").reshape(g.shape)
    return g


def kept_float(value: Any) -> Any:
    """A number from the forward pass, a constant to the next derivative."""
    return Tensor(value.array) if isinstance(value, Variable) and value.dtype.kind == "f" else value


RESULTS: dict[str, Change] = {
    "scaled by 1.01": scaled,
    "sign flipped": negated,
    "zeroed": zeroed,
    "one entry off": one_entry,
    "axis reversed": reversed_axis,
    "hard-coded batch": hard_coded_batch,
    "mean for sum": mean_for_sum,
}


# The kernels of gradients: the op whose battery must notice, how many results, and which argument is the incoming one.
KERNELS = {
    "avg_pool_input": ("avg_pool2d", 1, 0),
    "batch_norm_backward": ("batch_norm", 3, 0),
    "conv_backward": ("conv2d", 3, 0),
    "conv_input": ("conv_transpose2d", 1, 0),
    "conv_weight": ("conv_transpose2d", 1, 1),
    "max_pool_scatter": ("max_pool2d", 1, 0),
    "relu_grad": ("relu", 1, 0),
    "softmax_cross_entropy_grad": ("softmax_cross_entropy", 1, 2),
}
FLAT = {"sign_grad", "floor_grad", "ceil_grad", "trunc_grad", "round_grad"}  # zeros, whatever is done to them


@dataclass(frozen=True)
class Fault:
    """One fault: in the rule of an argument (or in its part of the op's shortcut), or in one of a kernel's results."""

    spec: OpSpec
    place: str
    kind: str
    what: str = "rule"
    result: int = 0

    def __str__(self) -> str:
        result = f", result {self.result}" if self.result else ""
        return f"{self.spec.name}, {self.what} {self.place}{result}: {self.kind}"

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The op with the fault; afterwards as it was."""
        op = self.spec.op
        assert isinstance(op, Op)
        if self.what == "kernel":
            kernel = getattr(kernels, self.place)
            setattr(kernels, self.place, _altered_kernel(kernel, self.kind, self.result, KERNELS[self.place][2]))
            try:
                yield
            finally:
                setattr(kernels, self.place, kernel)
            return
        shortcut = self.what == "shortcut"
        rule = op.fused if shortcut else op.rules[self.place]
        register = op.shortcut if shortcut else op.vjp(self.place)
        assert rule is not None
        register(_altered(rule, self.kind, self.place, op.arguments.index(self.place) if shortcut else None))
        try:
            yield
        finally:
            register(rule.function)

    def found(self, seed: int) -> str | None:
        """What the battery says with the examples of this seed, or None if it finds nothing in any spec of the op."""
        with self.planted():
            for check in (c for spec in registered().values() if spec.op is self.spec.op for c in checks(spec)):
                try:
                    check.run(seed=seed)
                except Exception as error:
                    return str(error)
        return None


def _altered(rule: Rule, kind: str, argument: str, place: int | None) -> Callable[..., Any]:
    """The same rule with a fault; of a shortcut's gradients only the one at `place` is touched."""
    original = rule.function
    names = [*rule.names, f"{argument}_shape"] if f"{argument}_shape" not in rule.names else list(rule.names)
    names = names if kind == "mean for sum" else list(rule.names)

    def function(g: Any, *values: Any) -> Any:
        given = {"shape": dict(zip(names, values, strict=True)).get(f"{argument}_shape")}
        values = values[: len(rule.names)]
        if kind == "float kept":
            values = tuple(tuple(map(kept_float, v)) if type(v) is tuple else kept_float(v) for v in values)
        result = original(memory_order(g) if kind == "memory order" else g, *values)
        change = RESULTS.get(kind, lambda x, _: x)
        if place is None:
            return change(result, given)
        return tuple(change(x, given) if i == place and x is not None else x for i, x in enumerate(result))

    function.__name__ = f"{original.__name__}_with_a_fault"
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("g", *names)]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


def _altered_kernel(kernel: Callable[..., Any], kind: str, place: int, incoming: int) -> Callable[..., Any]:
    """The kernel with a fault in one of its results, or in how it reads the incoming gradient."""

    def faulty(*args: Any) -> Any:
        if kind == "memory order":
            return kernel(*args[:incoming], memory_order(args[incoming]), *args[incoming + 1 :])
        result = kernel(*args)
        if isinstance(result, tuple):
            return tuple(RESULTS[kind](x, {}) if i == place and x is not None else x for i, x in enumerate(result))
        return RESULTS[kind](result, {})

    return faulty


def _larger(least: int, drawn: Any) -> bool:
    return all(x.size > least for x in as_sample(drawn).floats.values())


def _keeps_matter(spec: OpSpec, argument: str) -> bool:
    """Whether the next derivative goes through what the rule names: else keeping a number there is no fault."""
    op = spec.op
    assert isinstance(op, Op)
    for least in range(3):
        try:
            large = functools.partial(_larger, least)
            sample = as_sample(find(spec.inputs, large, random=random.Random(0), settings=settings(deadline=None)))
        except NoSuchExample:  # one of its arguments is always a number, as the value of masked_fill
            break
        leaves, tensors = sample.leaves()
        out = sample.call(op, tensors)
        wanted = [x for key, x in leaves.items() if spec.argument(key) == argument]
        if not wanted or not out.tracked:
            continue
        (g,) = grad(out, wanted[:1], Tensor(np.linspace(1, 2, out.array.size).reshape(out.shape)), create_graph=True)
        if g.tracked and any(
            x.array.any() for x in grad(g, list(leaves.values()), Tensor(np.ones(g.shape)), materialize_grads=True)
        ):
            return True
    return False


def faults() -> list[Fault]:
    """Every fault of every rule of every registered op, shortcuts and kernels included."""
    found = []
    for spec in registered().values():
        op = spec.op
        if not isinstance(op, Op) or spec.name != op.name:
            continue
        for argument, rule in op.rules.items():
            if rule.function.__name__ in FLAT or argument in spec.constant:
                continue
            found += [Fault(spec, argument, kind) for kind in RESULTS if kind != "mean for sum" or spec.broadcasts]
            if op.fused is None:
                found.append(Fault(spec, argument, "memory order"))
            if spec.order > 1 and set(rule.names) & {"out", *op.arguments}:
                found.append(Fault(spec, argument, "float kept"))
            if op.fused is not None:
                kinds = [kind for kind in RESULTS if kind != "mean for sum"]
                found += [Fault(spec, argument, kind, "shortcut") for kind in [*kinds, "memory order"]]
    for name, (op_name, results, _) in KERNELS.items():
        spec = registered()[op_name]
        for kind in RESULTS:
            if kind != "mean for sum":
                found += [Fault(spec, name, kind, "kernel", i) for i in range(results)]
        found.append(Fault(spec, name, "memory order", "kernel"))
    return found


def is_a_fault(fault: Fault) -> bool:
    """Whether it changes anything at all: a kept number often does not, and a vector has only one memory order."""
    if fault.kind == "float kept":
        return _keeps_matter(fault.spec, fault.place)
    if fault.kind == "memory order":
        return fault.spec.name != "softmax_cross_entropy"
    return True


def run(count: int, seed: int, names: list[str] | None = None) -> tuple[list[Fault], list[Fault]]:
    """Plant `count` of the faults, of each kind in turn: all of them, and those not found.

    The seed chooses the faults, and the examples that the battery tries.
    """
    every = [fault for fault in faults() if names is None or fault.spec.name in names]
    rng = np.random.default_rng(seed)
    kinds = [
        [fault for fault in every if (fault.what, fault.kind) == kind] for kind in {(f.what, f.kind): 0 for f in every}
    ]
    shuffled = [[kind[i] for i in rng.permutation(len(kind))] for kind in kinds]
    planted: list[Fault] = []
    missed = []
    for fault in (fault for turn in itertools.zip_longest(*shuffled) for fault in turn if fault is not None):
        if len(planted) == count:
            break
        if not is_a_fault(fault):
            continue
        planted.append(fault)
        if fault.found(seed) is None:
            missed.append(fault)
            sys.stderr.write(f"not found: {fault}\n")
    return planted, missed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ops", help="only these, with commas between them")
    given = parser.parse_args()
    start = time.perf_counter()
    planted, missed = run(given.faults, given.seed, given.ops.split(",") if given.ops else None)
    found = len(planted) - len(missed)
    seconds = time.perf_counter() - start
    sys.stdout.write(f"{found} of {len(planted)} faults found ({100 * found / len(planted):.1f} %), {seconds:.0f} s\n")
    return 0 if found >= 0.98 * len(planted) else 1


if __name__ == "__main__":
    raise SystemExit(main())

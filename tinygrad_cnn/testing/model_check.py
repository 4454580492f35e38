"""Every op of a model, checked in place: gradcheck on the very inputs that the op gets when the model runs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_cnn import autograd, locks
from tinygrad_cnn.autograd import Op, Variable, enable_grad, wrap
from tinygrad_cnn.modes import Observer, state, watched_by
from tinygrad_cnn.random import default_generator
from tinygrad_cnn.source import describe, user_line
from tinygrad_cnn.tensor import Tensor
from tinygrad_cnn.testing.gradcheck import GradcheckResult, Worst, gradcheck
from tinygrad_cnn.testing.rounding import ROOM, rounding

__all__ = ["CheckedCall", "ModelCheck", "check_model"]

__tracebackhide__ = True  # pytest leaves these frames out of its reports; those of the function that is checked stay

HEADS = ("op", "where", "result", "verdict")
SINGLE_BOUND = 1e-3  # of its largest entry: how far a float32 gradient may be from the float64 one


@dataclass(frozen=True)
class CheckedCall:
    """One call of an op in the model: where it is, the shape of its result, and the verdict on its gradients."""

    op: str
    where: str
    shape: tuple[int, ...]
    result: GradcheckResult

    @property
    def verdict(self) -> str:
        """As `gradcheck` gives it; "no gradient" where the op has none."""
        return "no gradient" if self.result.message == _NONE.message else self.result.verdict

    @property
    def wrong(self) -> bool:
        """Whether its gradients are wrong."""
        return self.verdict in ("wrong", "nondeterministic")


@dataclass(frozen=True)
class ModelCheck:
    """The verdicts on all calls of a model, in order; `print` shows them, and `table()` is the same for rich."""

    calls: tuple[CheckedCall, ...]

    @property
    def wrong(self) -> tuple[CheckedCall, ...]:
        """The calls whose gradients are wrong."""
        return tuple(call for call in self.calls if call.wrong)

    @property
    def exit_code(self) -> int:
        """1 if something is wrong, else 0."""
        return 1 if self.wrong else 0

    def assert_ok(self) -> None:
        """Raise AssertionError, with the table, if the gradients of a call are wrong."""
        if self.wrong:
            raise AssertionError(str(self))

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """Of each call its op, its place, the shape of its result, and the verdict."""
        return [
            (call.op, _short(call.where), "x".join(map(str, call.shape)) or "()", call.verdict) for call in self.calls
        ]

    @property
    def remarks(self) -> list[str]:
        """What stands below the table: the report on each wrong call, and how many calls have which verdict."""
        reports = [f"{call.op} at {call.where}: {call.result.report()}" for call in self.wrong]
        counts = Counter(call.verdict for call in self.calls)
        return [*reports, f"{len(self.calls)} calls: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items())]

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON: of each call its op, place, shape and verdict, and the report where it is wrong."""
        calls = [
            {"op": call.op, "where": call.where, "shape": list(call.shape), "verdict": call.verdict}
            | ({"report": call.result.report()} if call.wrong else {})
            for call in self.calls
        ]
        return {"ok": not self.wrong, "calls": calls}

    def table(self) -> Any:
        """A rich Table of the calls, the wrong ones in red."""
        from rich import box
        from rich.table import Table

        table = Table(*HEADS, box=box.SIMPLE)
        for call, row in zip(self.calls, self.rows, strict=True):
            table.add_row(*row, style="red" if call.wrong else None)
        return table

    def __str__(self) -> str:
        rows = [HEADS, *self.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = ["  ".join([*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), row[3]]) for row in rows]
        return "\n".join([*lines, *(f"\n{remark}" for remark in self.remarks)])


def _short(where: str) -> str:
    """A place as a table shows it: of a file outside the working folder, only the name."""
    return os.path.basename(where) if os.path.isabs(where) else where


def check_model(model: Callable[..., Any], *inputs: Any, order: int = 1) -> ModelCheck:
    """Run `model(*inputs)` once, and check the gradients of every op that it calls, with the inputs that it gets there.

    The ops are checked in float64, where a check is sharp; a gradient in the model's own dtype must then agree with
    that. order: 2 checks second derivatives too. Buffers and the random stream are left as they were.

    >>> import tinygrad_cnn as tg
    >>> print(check_model(lambda x: (x * x).sum(), tg.tensor([1.0, 2.0])))  # doctest: +ELLIPSIS
    op   where...  result  verdict
    mul  ...  2       ok
    sum  ...  ()      ok
    <BLANKLINE>
    2 calls: 2 ok
    """
    calls = _Calls()
    leaves = [_leaf(x) for x in inputs]
    with _undisturbed(model), enable_grad(), np.errstate(all="ignore"):
        with watched_by(calls):
            model(*leaves)
        with watched_by(None):
            found = [
                CheckedCall(op.name, where, shape, _check(op, xs, params, order))
                for op, where, shape, xs, params in calls.seen
            ]
    return ModelCheck(tuple(found))


_NONE = GradcheckResult("ok", None, "the op has no gradients")


class _Calls(Observer):
    """Keeps each call with copies of its inputs."""

    def __init__(self) -> None:
        self.seen: list[tuple[Op[Any], str, tuple[int, ...], list[Any], dict[str, Any]]] = []

    def computed(self, op: Any, inputs: Sequence[Any], params: dict[str, Any], out: Any) -> None:
        arrays = [x._array if isinstance(x, Variable) else x for x in inputs]
        copies = [x.copy() if isinstance(x, np.ndarray) else x for x in arrays]
        code, instruction = user_line()
        self.seen.append((op, state.now.path or describe(code, instruction), out.shape, copies, params))


def _leaf(x: Any) -> Any:
    if not isinstance(x, (Variable, np.ndarray)):
        return x
    leaf = Tensor(x._array if isinstance(x, Variable) else x)
    return leaf.requires_grad_(leaf.dtype.kind == "f")


@contextmanager
def _undisturbed(model: Any) -> Iterator[None]:
    """Afterwards the model's buffers and the random stream are as they were."""
    stream = default_generator.get_state()
    buffers = [buffer for _, buffer in model.named_buffers()] if hasattr(model, "named_buffers") else []
    values = [buffer._array.copy() for buffer in buffers]
    try:
        yield
    finally:
        default_generator.set_state(stream)
        for buffer, value in zip(buffers, values, strict=True):
            locks.writeable(buffer)[...] = value


def _check(op: Op[Any], inputs: list[Any], params: dict[str, Any], order: int) -> GradcheckResult:
    """The verdict on one call: in float64, and then in its own dtype against that."""
    last = len(op.arguments) - 1
    names = [op.arguments[min(i, last)] for i in range(len(inputs))]
    chosen = [
        i for i, x in enumerate(inputs) if names[i] in op.rules and getattr(x, "dtype", np.dtype(int)).kind == "f"
    ]
    if not op.differentiable or not chosen:
        return _NONE
    if not all(np.isfinite(inputs[i]).all() for i in chosen):
        return GradcheckResult("ill-conditioned", None, "an input of the op is not finite")
    constants = {i: x.astype(np.float64) if _is_float(x) and i not in chosen else x for i, x in enumerate(inputs)}

    def call(values: dict[int, Any], *leaves: Any) -> Any:
        args = [*(values | dict(zip(chosen, leaves, strict=True))).values()]
        return op(*args, **params) if op.variadic else op(**dict(zip(op.arguments, args, strict=True)), **params)

    called = [names[i] for i in chosen]
    doubles = [inputs[i].astype(np.float64) for i in chosen]
    result = gradcheck(lambda *xs: call(constants, *xs), *doubles, order=order, directions=2, names=called)
    if result.verdict not in ("ok", "kink") or all(inputs[i].dtype == np.float64 for i in chosen):
        return result
    plain = dict(enumerate(inputs))
    singles = [inputs[i] for i in chosen]
    g = np.random.default_rng(0).standard_normal(call(constants, *doubles).shape)
    expected = _pulled(lambda *xs: call(constants, *xs), [*doubles, g])
    found = _pulled(lambda *xs: call(plain, *xs), [*singles, g])
    bounds = [SINGLE_BOUND * float(np.abs(b).max(initial=0.0)) for b in expected]
    if any((np.abs(a - b) > bound).any() for a, b, bound in zip(found, expected, bounds, strict=True)):
        # Where large terms cancel, a small gradient has their rounding.
        moves = rounding(lambda *xs: _pulled(lambda *ys: call(plain, *ys), xs, recorded=True), [*singles, g])
        bounds = [bound + ROOM * move for bound, move in zip(bounds, moves, strict=True)]
    for name, i, a, b, bound in zip(called, chosen, found, expected, bounds, strict=True):
        off = np.nan_to_num(np.abs(a - b), nan=np.inf)
        if off.max(initial=0.0) > bound + float(np.finfo(a.dtype).tiny):
            at = tuple(int(k) for k in np.unravel_index(int(off.argmax()), off.shape))
            x, y = float(a[at]), float(b[at])
            worst = Worst(i, name, at, None, x, y, (y - bound, y + bound), 0.0)
            return GradcheckResult("wrong", worst, f"the {a.dtype} gradient is not the float64 one")
    return result


def _is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _pulled(function: Callable[..., Any], arrays: Sequence[Any], recorded: bool = False) -> list[Any]:
    """The gradients of the function: `arrays` are its inputs and, as the last one, the incoming gradient."""
    *inputs, g = arrays
    leaves = [wrap(x.copy()).requires_grad_() for x in inputs]
    out = function(*leaves)
    if not out.tracked:
        return [np.zeros(x.shape) for x in inputs]
    found = autograd.grad(out, leaves, g.astype(out.dtype), create_graph=recorded, materialize_grads=True)
    return [t._array for t in found]

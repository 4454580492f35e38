"""A trap for NaN and inf: the first op, forward or backward, that makes one raises, and says from what."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ContextDecorator
from typing import Any

import numpy as np

from tinygrad_cnn.autograd import Node, Variable
from tinygrad_cnn.graph.record import argument_name
from tinygrad_cnn.modes import Observer, state, watched_by
from tinygrad_cnn.source import describe, user_line

__all__ = ["NonFiniteError", "non_finite", "trap"]

_KINDS = ("nan", "inf")
# Ops that choose between branches: the one not taken still gets a gradient, of 0.
_CHOICES = {"where", "masked_fill", "maximum", "minimum", "clamp", "amax", "amin"}
_LOGS = {"log", "log2", "log10", "log1p"}


class NonFiniteError(FloatingPointError):
    """What a `trap` raises. kind: "nan" or "inf". op: the op's name. path: the module inside which it ran.

    where: the user's line and the module. backward: whether a gradient is at fault. argument: in backward the argument
    whose gradient it is; in forward the input that held such a value already, or None where the op made the first.
    """

    def __init__(
        self, message: str, *, kind: str, op: str, path: str, where: str, backward: bool, argument: str | None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.op = op
        self.path = path
        self.where = where
        self.backward = backward
        self.argument = argument


class trap(ContextDecorator):  # noqa: N801 - it stands where no_grad stands
    """In the block, the first op that makes a NaN or an inf raises `NonFiniteError`, in forward and in backward.

    kinds: "nan", "inf", or both (the default). The message names the op, the user's line, the module, and what came
    in; well-known recipes for a NaN (the square root at 0, 0·inf, a branch not taken) get a hint.
    Each op's result is looked through, so a block under a trap is slower.

    >>> import tinygrad_cnn as tg
    >>> try:
    ...     with tg.trap("nan"):
    ...         tg.log(tg.tensor([1.0, -1.0]))
    ... except tg.graph.NonFiniteError as error:
    ...     print(str(error).partition(" — ")[0])
    log made NaN (1 of 2 values, the first at [1])
    """

    def __init__(self, *kinds: str) -> None:
        for kind in kinds:
            if kind not in _KINDS:
                raise ValueError(f"trap: {kind!r} is unknown, expected one of {', '.join(_KINDS)}")
        self.kinds = kinds or _KINDS
        self.blocks: list[Any] = []

    def __enter__(self) -> None:
        self.blocks.append(watched_by(_Watch(self.kinds)))
        self.blocks[-1].__enter__()

    def __exit__(self, *exc: Any) -> None:
        self.blocks.pop().__exit__(*exc)


def non_finite(array: Any, kinds: Sequence[str] = _KINDS) -> str | None:
    """The kind of the first of `kinds` that an array holds, None if it holds none."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    tests = {"nan": np.isnan, "inf": np.isinf}
    return next((kind for kind in kinds if tests[kind](array).any()), None)


class _Watch(Observer):
    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = kinds
        self.users: dict[int, str] = {}  # by the ids of edges: the op that sent a gradient there last

    def computed(self, op: Any, inputs: Sequence[Any], params: dict[str, Any], out: Any) -> None:
        kind = non_finite(out._array, self.kinds)
        if kind is None:
            return
        arrays = _arrays(inputs)
        names = [argument_name(op, i) for i in range(len(arrays))]
        bad = next((name for name, x in zip(names, arrays, strict=True) if non_finite(x, (kind,))), None)
        origin = _origin(inputs[names.index(bad)]) if bad else ""
        verb = f"passed on {_word(kind)}, which came in as {bad}{origin}" if bad else f"made {_word(kind)}"
        hint = None if bad else _forward_hint(op.name, kind, inputs, arrays)
        where = describe(*user_line(), state.now.path)
        facts = "; ".join(_facts(name, x) for name, x in zip(names, arrays, strict=True))
        raise NonFiniteError(
            f"{op.name} {verb} {_place(out._array, kind)} — at {where}; {facts}{_sentence(hint)}",
            kind=kind, op=op.name, path=state.now.path, where=where, backward=False, argument=bad,
        )  # fmt: skip

    def stepped(self, node: Node, g: Any, wants: tuple[bool, ...], gradients: Sequence[Any]) -> None:
        user = self.users.pop(id(node), "")
        for i, (edge, gradient) in enumerate(zip(node.edges or (), gradients, strict=True)):
            if edge is None or gradient is None:
                continue
            self.users[id(edge)] = node.op.name
            array = np.asarray(gradient._array if isinstance(gradient, Variable) else gradient)
            if kind := non_finite(array, self.kinds):
                self._raise(node, argument_name(node.op, i), i, kind, np.asarray(_array(g)), array, user)

    def _raise(self, node: Node, name: str, i: int, kind: str, g: Any, gradient: Any, user: str) -> None:
        op = node.op.name
        came_in = non_finite(g, (kind,))
        verb = "passed on" if came_in else "made"
        hint = None if came_in else _backward_hint(node, i, kind, g, gradient, user)
        where = node.where
        known = "; ".join(
            _facts(key, x) for key, x in sorted(node.saved.items()) if isinstance(x, np.ndarray) and x.dtype.kind == "f"
        )
        facts = _facts("incoming gradient", g) + (f"; {known}" if known else "")
        raise NonFiniteError(
            f"the gradient of {op} {verb} {_word(kind)} for {name} {_place(gradient, kind)} — at {where}; "
            f"{facts}{_sentence(hint)}",
            kind=kind, op=op, path=node.path, where=where, backward=True, argument=name,
        )  # fmt: skip


# ---- words -------------------------------------------------------------------------------------------------


def _word(kind: str) -> str:
    return "NaN" if kind == "nan" else kind


def _sentence(hint: str | None) -> str:
    return f". {hint}" if hint else ""


def _place(array: Any, kind: str) -> str:
    """`(1 of 6 values, the first at [0, 2])`."""
    found = np.isnan(array) if kind == "nan" else np.isinf(array)
    first = ", ".join(str(i) for i in np.unravel_index(int(found.argmax()), found.shape))
    return f"({found.sum()} of {array.size} value{'s' * (array.size != 1)}, the first at [{first}])"


def _facts(name: str, array: Any) -> str:
    """`input: (2, 3), from 0 to 4.5, 1 zero`."""
    words = [str(array.shape)]
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if finite.size:
        words.append(f"from {finite.min():.4g} to {finite.max():.4g}")
    zeros = int((array == 0).sum())
    for count, word in ((zeros, "zero"), (int(np.isinf(array).sum()), "inf"), (int(np.isnan(array).sum()), "NaN")):
        words += [f"{count:,} {word}{'s' * (word == 'zero' and count > 1)}"] if count else []
    return f"{name}: {', '.join(words)}"


def _origin(x: Any) -> str:
    node = getattr(x, "node", None)
    return f" from {node.op.name} at {node.where}" if node is not None else ""


def _array(x: Any) -> Any:
    return x._array if isinstance(x, Variable) else x


def _arrays(inputs: Sequence[Any]) -> list[Any]:
    return [np.asarray(0 if x is None else _array(x)) for x in inputs]


# ---- known recipes -----------------------------------------------------------------------------------------


def _forward_hint(op: str, kind: str, inputs: Sequence[Any], arrays: Sequence[Any]) -> str | None:
    """Why an op made a NaN or an inf of good values, and what to do, where that is known."""
    x = arrays[0]
    y = arrays[1] if len(arrays) > 1 else np.zeros(0)
    maker = getattr(inputs[0], "node", None)
    if op in _LOGS:
        if maker is not None and maker.op.name in ("softmax", "div"):
            return "The logarithm of a softmax: log_softmax is exact, and cross_entropy takes the logits themselves"
        if kind == "inf":
            return f"{op} of 0 is -inf: keep away from it, as with clamp(min=1e-12)"
        return f"{op} of a negative number is NaN"
    if op in ("sqrt", "rsqrt") and kind == "nan":
        return f"{op} of a negative number is NaN; rounding can make a sum of squares minus a square negative"
    if op in ("reciprocal", "rsqrt") and kind == "inf":
        return f"{op} of 0 is inf: add a small number first"
    if op in ("exp", "exp2", "expm1", "sinh", "cosh"):
        return f"{op} overflows {x.dtype.name} there; in a softmax by hand subtract the maximum first, or use softmax"
    if op == "div" and (y == 0).any():
        return "A division by 0 (0/0 is NaN): add a small number to the divisor, or choose with where before dividing"
    if op == "pow":
        return "0 to a negative power is inf, a negative number to a fraction is NaN"
    if kind == "nan" and any(np.isinf(a).any() for a in arrays):
        return {
            "mul": "0·inf is NaN",
            "matmul": "0·inf and inf - inf are NaN",
            "linear": "0·inf and inf - inf are NaN",
        }.get(op, "inf - inf is NaN")
    return "The result overflows its dtype" if kind == "inf" else None


def _backward_hint(node: Node, i: int, kind: str, g: Any, gradient: Any, user: str) -> str | None:
    op = node.op.name
    hint = _slope_hint(op, i)
    if kind == "nan" and g.shape == gradient.shape and (g[np.isnan(gradient)] == 0).any():
        if user in _CHOICES:
            hint = (
                f"The branch that {user} did not take sends back 0, and 0·inf is NaN: make the input safe before {op}, "
                f"as in {op}(where(ok, x, 1.0)), not only its result after"
            )
        else:
            hint = f"The incoming gradient is 0 there, and 0·inf is NaN. {hint or ''}".rstrip()
    return hint


def _slope_hint(op: str, i: int) -> str | None:
    if op in ("sqrt", "vector_norm", "std"):
        return f"The slope of {op} at 0 is infinite: add a small number inside, as in sqrt(x*x + 1e-12)"
    if op in _LOGS or op in ("reciprocal", "rsqrt", "div"):
        return f"The slope of {op} at 0 is infinite: keep away from 0, as with clamp(min=1e-12)"
    if op == "pow":
        exponent = "The slope for the exponent is out·log(input)" if i else "A power below 1 has an infinite slope at 0"
        return f"{exponent}: keep the input above 0"
    if op in ("asin", "acos"):
        return f"The slope of {op} at -1 and 1 is infinite: clamp to just inside"
    return None

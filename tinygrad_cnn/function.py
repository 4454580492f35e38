"""`autograd.Function`, PyTorch's way to write an op: a class with `forward` and `backward`, carried over as it stands.

A new op is shorter with `@op` (docs: own-op), and its rules serve every order and the battery. A call of `apply` makes
just such an op: its kernel returns what `forward` found, and its rule calls `backward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import Parameter, Signature
from typing import Any

import numpy as np

from tinygrad_cnn import locks
from tinygrad_cnn.modes import no_grad, watched_by
from tinygrad_cnn.recording import Array, Variable, array_of, op, wrap

__all__ = ["Context", "Function"]


class Context:
    """What `forward` leaves for `backward`: `ctx.save_for_backward(x, y)`, and attributes of any name for the rest."""

    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[Any, ...] = ()

    def __init__(self) -> None:
        self._constants: list[Variable] = []  # outputs that carry no gradient

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep Tensors (or None); `backward` finds them in `saved_tensors`, arguments and results with their graph."""
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """These outputs carry no gradient; integers never do."""
        self._constants += tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Accepted: the gradient of an output that was not used is always zeros here."""

    def mark_dirty(self, *tensors: Any) -> None:
        """Refused: a `forward` that writes to its arguments would change what other graphs need."""
        raise NotImplementedError(
            "mark_dirty: a Function that writes to its arguments cannot be recorded; return copies"
        )


class Function:
    """An op as a class: a subclass has the static methods `forward(ctx, *args)` and `backward(ctx, *gradients)`.

    `apply(*args)` calls it. `forward` is not recorded, and returns one Tensor or a tuple of them. `backward` takes one
    gradient for each, and returns one for each argument, None for what is no Tensor or needs none; written in ops, it
    can be differentiated again. `setup_context(ctx, inputs, output)` may stand beside a `forward` without `ctx`.

    >>> import tinygrad_cnn as tg
    >>> class Sign(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return tg.sign(x)
    ...     @staticmethod
    ...     def backward(ctx, g):  # straight through
    ...         return g.clamp(-1, 1)
    >>> x = tg.tensor([0.3, -2.0], requires_grad=True)
    >>> (Sign.apply(x) * tg.tensor([0.5, 7.0])).sum().backward()
    >>> x.grad
    tensor([0.5000, 1.0000])
    """

    setup_context: Any = None

    @staticmethod
    def forward(*args: Any) -> Any:
        """What the op computes."""
        raise NotImplementedError("Function: it has no static method named forward, expected one")

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """The gradients of the arguments."""
        raise NotImplementedError("Function: it has no static method named backward, expected one")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the op, and record it if an argument requires grad."""
        ctx = Context()
        ctx.needs_input_grad = tuple(isinstance(x, Variable) and x.tracked for x in args)
        with no_grad(), watched_by(None):  # in a picture it is one op, whatever it is made of
            result = cls.forward(*args) if cls.setup_context else cls.forward(ctx, *args)
            if cls.setup_context:
                cls.setup_context(ctx, args, result)
        outputs = result if isinstance(result, tuple) else (result,)
        if not all(isinstance(x, Variable) for x in outputs):
            kinds = ", ".join(type(x).__name__ for x in outputs)
            raise TypeError(f"{cls.__name__}: forward returned {kinds}, expected one Tensor or a tuple of Tensors")
        carrying = [x for x in outputs if x.dtype.kind == "f" and not any(x is y for y in ctx._constants)]
        if not carrying:
            return result
        recorded = iter(_recorded(cls, ctx, args, carrying))
        outputs = tuple(next(recorded) if any(x is y for y in carrying) else wrap(x._array) for x in outputs)
        return outputs if isinstance(result, tuple) else outputs[0]


def _recorded(cls: type[Function], ctx: Context, args: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    """The outputs as results of one op. It gives them as one array where there are several: they are its parts."""
    places = [i for i, x in enumerate(args) if isinstance(x, Variable)]
    inputs = [args[i] for i in places]
    saved = ctx.saved_tensors
    ctx.saved_tensors = ()
    # Where a saved tensor is found in backward: it is an argument, a result, or else becomes an argument of its own.
    others = [x for x in saved if x is not None and not any(x is y for y in (*inputs, *outputs))]
    given = [*inputs, *(wrap(x._array) for x in others)]
    known = [*inputs, *others]
    sources = [None if x is None else _place(x, known, outputs) for x in saved]
    kept = sorted({source[0] for source in sources if source is not None})
    count, extra = len(args), len(others)
    shapes = [x.shape for x in outputs]
    ends = np.cumsum([x._array.size for x in outputs]).tolist()
    result = outputs[0]._array if len(outputs) == 1 else np.concatenate([x._array.ravel() for x in outputs])

    def parts(whole: Any) -> list[Any]:
        if len(shapes) == 1:
            return [whole]
        return [whole[start:end].reshape(s) for start, end, s in zip([0, *ends], ends, shapes, strict=False)]

    def gradients(g: Any, given: Sequence[Any]) -> list[Any]:
        """What `backward` returns, for the Tensors among the arguments."""
        named = dict(zip(kept, given, strict=False))
        results = parts(named["out"]) if "out" in named else []
        found = {"out": results, "tensors": named.get("tensors", ())}
        values = [None if source is None else found[source[0]][source[1]] for source in sources]
        ctx.saved_tensors = tuple(wrap(x) if isinstance(x, np.ndarray) else x for x in values)
        # A copy: `backward` may write to what it is given, and another node may have the same gradient.
        returned = cls.backward(ctx, *(wrap(x.copy()) if isinstance(x, np.ndarray) else x for x in parts(g)))
        ctx.saved_tensors = ()
        returned = returned if isinstance(returned, tuple) else (returned,)
        if len(returned) != count:
            raise ValueError(
                f"{cls.__name__}: backward returned {len(returned)} gradients, expected {count}, one an argument"
            )
        return [returned[i] for i in places] + [None] * extra

    def kernel(*tensors: Array) -> Any:
        return result

    kernel.__name__ = cls.__name__
    made = op(kernel)

    def rule(g: Any, *values: Any) -> Any:
        return gradients(g, values)[values[-1]]

    def shortcut(g: Any, *values: Any) -> Any:
        found = gradients(g, values)  # copied, for `backward` may return one tensor twice, or one that ctx holds
        return [
            array_of(x).copy() if x is not None and need else None for x, need in zip(found, values[-1], strict=True)
        ]

    for function, last in ((rule, "index"), (shortcut, "needs")):  # keep no more than what was saved
        names = ("g", *kept, last)
        function.__signature__ = Signature([Parameter(x, Parameter.POSITIONAL_ONLY) for x in names])  # type: ignore[attr-defined]
    made.vjp("tensors")(rule)
    made.shortcut(shortcut)
    for found in (made.rules["tensors"], made.fused):  # they call somebody else's code
        assert found is not None
        found.foreign = True
    whole = made(*given)
    if whole.node is not None:  # a Tensor that is an attribute of ctx is locked as if it had been saved
        locks.hold(whole.node.values, [x._array for x in vars(ctx).values() if isinstance(x, Variable)])
    return parts(whole)


def _place(x: Any, tensors: Sequence[Any], outputs: Sequence[Any]) -> tuple[str, int]:
    """Under which name a rule is given the saved tensor x, and which of those it is."""
    found = [i for i, y in enumerate(tensors) if x is y]
    return ("tensors", found[0]) if found else ("out", next(i for i, y in enumerate(outputs) if x is y))

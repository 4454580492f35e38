"""The forward half of the engine: ops that record themselves. (The backward half is autograd.py.)

It reads from top to bottom, in the order in which things happen:

1. `Variable`, what the engine needs to know of a tensor, and `Node`, one recorded call,
2. `Op`, a kernel with one gradient rule per argument: calling it computes, and records; and the short ways by which
   methods of Tensor call it,
3. `op`, which makes an Op of a function, and what else marks one: `composite`, `numpy_words`,
4. three ops that the engine itself uses.

(`no_grad` and the other recording modes are in modes.py, the gradient rules and how they get what they name in
rules.py, the locks on arrays that a graph needs in locks.py.)
"""

from __future__ import annotations

import functools
import gc
import inspect
import itertools
import operator
import reprlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, MethodType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Concatenate,
    Generic,
    ParamSpec,
    TypeAlias,
    TypeVar,
    overload,
)

import numpy as np
from numpy import ndarray

from tinygrad_cnn import locks, source
from tinygrad_cnn.dtypes import plain_array, promote
from tinygrad_cnn.kernels.memory import kernel_context
from tinygrad_cnn.modes import Activity, state
from tinygrad_cnn.rules import Plan, Reading, Rule

if TYPE_CHECKING:
    from tinygrad_cnn.tensor import Tensor

__all__ = [
    "GRADIENT", "Array", "Node", "Op", "Rule", "Variable", "age", "array_of", "broadcast_to", "cast", "composite",
    "holder", "labelled_as_gradient", "numpy_words", "op", "sum_to", "user_of",
    "wrap",
]  # fmt: skip

Array: TypeAlias = Annotated[Any, "array"]
"""An array argument of an op: an ndarray inside a kernel; a Tensor, an ndarray or a number in a call."""

P = ParamSpec("P")
Q = ParamSpec("Q")
F = TypeVar("F", bound=Callable[..., Any])


# ---- 1. variables and nodes --------------------------------------------------------------------------------


class Variable:
    """What the engine needs to know of a tensor; `Tensor` adds the methods that people call.

    `_array` is the ndarray, `tracked` says whether gradients flow to it, `node` is the recorded call that made it
    (None for a leaf), and a leaf's `grad` is where `backward` adds its gradient.
    """

    __slots__ = ("__weakref__", "_array", "_grad", "hooks", "node", "tracked")
    kind: ClassVar[type[Variable]]  # the class of an op's result; tensor.py sets it to Tensor, the one knot

    _array: np.ndarray[Any, Any]
    tracked: bool
    node: Node | None
    _grad: Tensor | None
    hooks: dict[int, Callable[[Any], Any]] | None

    def __init__(self, *_: Any, **__: Any) -> None:  # PyTorch's old Variable(x); Tensor has its own
        raise TypeError("Variable: a tensor is one itself; use x, or x.requires_grad_() for one that is to learn")

    @property
    def grad(self) -> Tensor | None:
        """A leaf's gradient, to which `backward` adds: None, or of this tensor's shape and dtype."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Variable):
                raise TypeError(f"grad: the new gradient is a {type(value).__name__}, expected a Tensor or None")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ValueError(
                    f"grad: the new gradient is {value.dtype} {value.shape}, this tensor {self.dtype} {self.shape}"
                )
        self._grad = value

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the dimensions, outermost first."""
        shape: tuple[int, ...] = self._array.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements, a NumPy dtype."""
        dtype: np.dtype[Any] = self._array.dtype
        return dtype

    @property
    def edge(self) -> Node | Variable:
        """Where a gradient of this variable goes: to the node that made it, or to the leaf itself."""
        return self if self.node is None else self.node


_new: Callable[[type[Variable]], Variable] = object.__new__


def wrap(array: np.ndarray[Any, Any], node: Node | None = None) -> Tensor:
    """A Tensor around `array`, without checks and without a copy."""
    out = _new(Variable.kind)
    out._array = array
    out.node = node
    out.tracked = node is not None
    out._grad = None
    out.hooks = None
    return out  # type: ignore[return-value]


def array_of(x: Any) -> np.ndarray[Any, Any]:
    """The ndarray of a Tensor, of an ndarray or of a number."""
    return x._array if isinstance(x, Variable) else np.asarray(x)


next_number = itertools.count().__next__


class Node:
    """One recorded call of an op.

    `edges` holds, for each array argument, where its gradient goes: a Node, a leaf, or None.
    `values` holds what the gradient rules named: inputs, the result, shapes, kept integers. Nothing else is kept alive.
    """

    __slots__ = (
        "__weakref__", "code", "dtype", "edges", "hooks", "instruction", "label", "op", "params", "path",
        "plan", "seq", "shape", "values",
    )  # fmt: skip

    op: Any  # an Op; as a class attribute a type checker would take it for a method
    edges: tuple[Node | Variable | None, ...] | None
    plan: Plan
    values: list[Any]
    params: dict[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    seq: int
    path: str
    label: tuple[str, int] | None
    code: CodeType
    instruction: int
    hooks: dict[int, Callable[[Any], Any]] | None

    @property
    def where(self) -> str:
        """The user's line that made the node, and the module inside which it ran: `model.py:31, in block1.conv2`."""
        return source.describe(self.code, self.instruction, self.path)

    @property
    def saved(self) -> dict[str, Any]:
        """The values that are kept for backward, by name, read-only; none once the node is released."""
        return dict(zip(self.plan.positions, map(locks.lend, self.values), strict=False))

    @property
    def edge(self) -> Node:
        """A node is its own edge, so that nodes and variables can be asked alike."""
        return self

    def release(self) -> None:
        """Let go of the saved arrays and of the nodes before this one; the node cannot be run again."""
        self.edges = None
        if self.values:
            locks.release(self.values)

    def __del__(self) -> None:
        try:
            if self.values:
                locks.release(self.values)
        except KeyboardInterrupt:  # Python goes on after one in here, so nobody else would end what it cut short
            locks.release(self.values)
            raise

    def __repr__(self) -> str:
        return f"<{self.op.name} at {self.where}>"


age = operator.attrgetter("seq")


def holder(array: np.ndarray[Any, Any]) -> str | None:
    """The oldest live node that needs the memory of `array`, in words; None if no graph needs it."""
    if not locks.is_held(array):
        return None
    owner = locks.owner_of(array)
    return _oldest(lambda node: any(locks.owner_of(x) is owner for x in locks.arrays_in(node.values)))


def user_of(leaf: Variable) -> str | None:
    """The oldest live node that will send a gradient to `leaf`, in words; None if there is none."""
    return _oldest(lambda node: any(edge is leaf for edge in node.edges or ()))


def _oldest(matches: Callable[[Node], bool]) -> str | None:
    nodes = [x for x in gc.get_objects() if type(x) is Node and matches(x)]  # slow, and only on the way to an error
    if not nodes:
        return None
    first = min(nodes, key=age)
    return f"{first.op.name} at {first.where}"


# ---- 2. ops ------------------------------------------------------------------------------------------------


# PyTorch takes NumPy's words for these two parameters too.
NUMPY_WORDS = {"axis": "dim", "keepdims": "keepdim"}


class Op(Generic[P]):
    """A kernel on ndarrays, and one gradient rule for each array argument.

    Called with ndarrays it computes and returns an ndarray; called with Tensors it returns a Tensor, and records a
    Node if one of them requires grad. The parameters annotated `Array` are the array arguments (without annotations:
    the positional ones that have no default); `*name: Array` stands for any number of them. All others are static:
    numbers, tuples, strings.
    """

    def __init__(
        self, kernel: Callable[P, Any], broadcasts: bool, promotes: bool, differentiable: bool, keeps: str | None
    ) -> None:
        functools.update_wrapper(self, kernel)
        parameters = inspect.signature(kernel).parameters.values()
        arrays = [p for p in parameters if _is_array(p)]
        self.kernel: Callable[..., Any] = kernel
        self.name = kernel.__name__
        self.broadcasts = broadcasts
        self.promotes = promotes
        self.differentiable = differentiable
        self.keeps = keeps
        self.rules: dict[str, Rule] = {}
        self.fused: Rule | None = None
        self.arguments = tuple(p.name for p in arrays)
        self.places = {p.name: i for i, p in enumerate(arrays)}
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in arrays)
        self.names = tuple(p.name for p in parameters)
        self.defaults = {p.name: p.default for p in parameters if p not in arrays and p.default is not p.empty}
        self.optional = {p.name: p.default for p in arrays if p.default is not p.empty}
        self.statics = tuple(name for name in self.names if name not in self.arguments)
        # A call that gives just the arrays, in order, needs no binding: the common case, and the fast one.
        simple = self.names[: len(arrays)] == self.arguments and len(self.defaults) == len(self.statics)
        self.simple = len(arrays) if simple else -1
        self.ordered = self.names[: len(arrays)] == self.arguments
        self.foreign = locks.is_foreign(kernel)
        self._plans: dict[int, Plan] = {}

    # -- building --

    def vjp(self, argument: str) -> Callable[[F], F]:
        """Register the gradient rule of one argument: a function of the incoming gradient `g` and of whatever it names.

        It can name array arguments, `out` (the result), static parameters, what the kernel keeps, and `x_shape` for
        the shape of an argument `x`. Only what the rules name is kept for backward. A rule is plain code over ops
        and operators: fed arrays it computes, fed Tensors it is recorded, and so it can be differentiated again.
        """
        if argument not in self.arguments:
            raise TypeError(f"{self.name}: {argument!r} is not an array argument, those are {self.arguments}")

        def register(function: F) -> F:
            self.rules[argument] = Rule(function, self._known(), self.name)
            self._plans.clear()
            return function

        return register

    def shortcut(self, function: F) -> F:
        """Register a function that returns the gradients of all arguments at once, for arrays only.

        It may name what a rule may, and `needs` (one bool an argument); it returns one array or None an argument.
        It stands beside the rules and must agree with them: they still serve `create_graph=True`.
        """
        self.fused = Rule(function, self._known() | {"needs"}, self.name)
        self._plans.clear()
        return function

    def _known(self) -> set[str]:
        kept = {self.keeps} if self.keeps else set()
        index = {"index"} if self.variadic else set()
        return {"out", *self.names, *(f"{name}_shape" for name in self.arguments)} | kept | index

    def rule_of(self, i: int) -> Rule:
        """The gradient rule of the argument number `i`; where there is none, one that says so."""
        argument = self.arguments[min(i, len(self.arguments) - 1)]

        def missing(g: Any) -> Any:
            raise NotImplementedError(f"{self.name} has no gradient rule for argument {argument!r}")

        return self.rules.get(argument) or Rule(missing, set(), self.name)

    # -- calling --

    @overload
    def __get__(self, instance: None, owner: Any) -> Op[P]: ...
    @overload
    def __get__(self: Op[Concatenate[Any, Q]], instance: Any, owner: Any) -> Callable[Q, Tensor]: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """Split a call into array arguments and static parameters, with every default filled in."""
        if self.variadic:
            return args, self.defaults | kwargs
        count = len(self.arguments)
        if not kwargs and self.ordered and len(args) == len(self.names):  # everything is given, by position
            return args[:count], dict(zip(self.statics, args[count:], strict=True))
        if len(args) > len(self.names):
            raise TypeError(f"{self.name}: {len(args)} arguments, expected at most {len(self.names)}: {self.names}")
        given = dict(zip(self.names, args, strict=False))
        for word, value in kwargs.items():
            name = word if word in self.names else NUMPY_WORDS.get(word, word)
            if name not in self.names:
                raise TypeError(f"{self.name}: unknown argument {word!r}, expected {self.names}")
            if name in given:
                raise TypeError(f"{self.name}: argument {name!r} is given twice")
            given[name] = value
        values = {**self.defaults, **self.optional, **given}
        if missing := [name for name in self.names if name not in values]:
            raise TypeError(f"{self.name}: argument {missing[0]!r} is missing")
        return [values.pop(name) for name in self.arguments], values

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        inputs: Sequence[Any] = args
        params: dict[str, Any] = self.defaults
        if kwargs or len(args) != self.simple:
            if "out" in kwargs:
                return _into(self, args, dict(kwargs))
            inputs, params = self.bind(args, kwargs)
        values = [*inputs]
        edges: list[Any] = [None] * len(values)
        needs = 0  # a bit mask of the arguments that gradients flow to
        tensors = foreign = False
        for i, x in enumerate(inputs):
            if isinstance(x, Variable):
                tensors = True
                values[i] = x._array
                if x.tracked:
                    needs |= 1 << i
                    edges[i] = x.node or x
            elif x is not None and isinstance(x, (ndarray, list)):
                foreign = True
                if type(x) is not ndarray:
                    values[i] = plain_array(x)
        arrays = values
        try:
            if self.promotes:
                values = promote(values)
            out = self._compute_foreign(values, params) if self.foreign else self._compute(values, params)
        except (ValueError, TypeError, IndexError, OverflowError, AttributeError) as error:
            raise self._located(error, inputs, params).with_traceback(error.__traceback__) from None
        kept = None
        if self.keeps:
            out, kept = out
        if type(out) is not ndarray:
            out = np.asarray(out)
        if not tensors:
            return out  # type: ignore[no-any-return]
        node, now = None, state.now
        if needs and self.differentiable and now.grad and not now.inference and out.dtype.kind == "f":
            if foreign:  # the caller's own arrays: there may be views of them that no lock reaches
                for x in inputs:
                    if isinstance(x, np.ndarray):
                        locks.share(x)
            node = self.record(arrays, params, tuple(edges), needs | 1 << len(edges), out, kept, now)
        result = wrap(out, node)
        if now.observer is not None:
            now.observer.computed(self, inputs, params, result)
        return result

    def method(self) -> Callable[..., Any]:
        """The op as a method of Tensor: for one or two arguments a plain function, with a short way to the common call.

        That is a float Tensor alone, or with a Tensor of the same dtype or a number. It does just what `__call__`
        does, which takes all other calls and needs twice as long.
        """
        if self.simple not in (1, 2) or self.keeps or self.variadic:
            return self
        return functools.wraps(self.kernel)(_of_one(self) if self.simple == 1 else _of_two(self))

    def _compute(self, values: list[Any], params: dict[str, Any]) -> Any:
        """Run the kernel, without NumPy's warnings."""
        run = kernel_context.copy().run
        if not params:
            return run(self.kernel, *values)
        if self.ordered:
            return run(self.kernel, *values, **params)
        return run(self.kernel, **dict(zip(self.arguments, values, strict=True)), **params)

    def _compute_foreign(self, values: list[Any], params: dict[str, Any]) -> Any:
        """As `_compute`, for somebody else's kernel, which may keep what it returns and write to it later."""
        return locks.adopted(self._compute([locks.lend(x) for x in values], params), values)

    def record(
        self, arrays: Sequence[Any], params: dict[str, Any], edges: tuple[Any, ...], key: int, out: Any, kept: Any,
        now: Activity,
    ) -> Node:  # fmt: skip
        """The node of a call: where its gradients go, what its rules will want, and who called.

        `key` is the bit mask of the arguments that require grad, with one bit more above that of the last argument.
        """
        plan = self._plans.get(key)
        if plan is None:
            count = len(edges)
            plan = self._plans[key] = Plan(self, key - (1 << count), count)
        node = Node()
        node.values = values = []
        node.op = self
        node.edges = edges
        node.plan = plan
        node.params = params
        if params is not self.defaults and not _MUTABLE.isdisjoint(map(type, params.values())):
            node.params = {name: _frozen(value) for name, value in params.items()}
        node.shape = out.shape
        node.dtype = out.dtype
        node.seq = next_number()
        node.path = now.path
        node.label = now.label
        node.hooks = None
        node.code, node.instruction = source.user_line(3)  # of `record` and who called it
        for i in plan.shapes:
            value = arrays[i]
            values.append(value.shape if type(value) is ndarray else np.shape(value))
        if plan.others:
            arrays = [*arrays, *[self._other(name, arrays, out, kept) for name in plan.others]]
        if plan.saved is not None:
            locks.hold(values, plan.saved(arrays))
        return node

    def _other(self, name: str, arrays: Sequence[Any], out: Any, kept: Any) -> Any:
        """What is saved under a name, where that is neither one of the array arguments nor the shape of one."""
        if name == "out":
            return out
        if name == self.keeps:
            return locks.Arrays(kept) if type(kept) is tuple else kept
        if name in self.places:  # of a variadic op: all of them
            return locks.Arrays(arrays[self.places[name] :])
        return tuple(map(np.shape, arrays[self.places[name.removesuffix("_shape")] :]))

    def _located(self, error: Exception, inputs: Sequence[Any], params: dict[str, Any]) -> Exception:
        """The same error, saying the op, the user's line and the module path; whoever watches is told of it."""
        error = no_tensor(error, dict(zip(self.arguments, inputs, strict=False))) or error
        kind = next((t for t in (TypeError, IndexError, AttributeError) if isinstance(error, t)), ValueError)
        text = str(error)
        if not text.startswith(f"{self.name}: "):
            text = f"{self.name}: {text}"
        if " — at " not in text:
            text = f"{text} — at {source.describe(*source.user_line(), state.now.path)}"
        if state.now.observer is not None:
            state.now.observer.failed(self, inputs, params, text)
        return (type(error) if type(error).__init__ is kind.__init__ else kind)(text)

    # -- gradients --

    def gradients(self, node: Node, g: Any, wants: tuple[bool, ...], create_graph: bool) -> Sequence[Any]:
        """The gradients of the array arguments that want one, given the gradient `g` of the result."""
        plan = node.plan
        reading = plan.fused
        try:
            if reading is not None and not create_graph:
                result: Sequence[Any] = self._run(reading, node, g, False, wants)
                return result
            found: list[Any] = [None] * len(wants)
            for i, reading in plan.rules:
                if wants[i]:
                    if create_graph or not reading.plain:
                        found[i] = self._run(reading, node, g, create_graph, i)
                    else:
                        found[i] = reading.function(g, *reading.saved(node.values))
            return found
        except Exception as error:
            assert reading is not None  # one is running
            error.add_note(f"in {reading.function.__name__}, the gradient of {self.name} at {node.where}")
            raise

    def pull(self, node: Node, i: int, g: Any) -> Any:
        """The gradient of argument `i` as its rule gives it: not yet summed back to the argument's shape."""
        return next(self._run(reading, node, g, False, i) for j, reading in node.plan.rules if j == i)

    def _run(self, reading: Reading, node: Node, g: Any, create_graph: bool, extra: Any) -> Any:
        """Call a rule. `extra` is what no node knows: the `index` of the argument, or what a shortcut `needs`."""
        values = reading.arguments(node, extra)
        if create_graph:
            named, known = zip(reading.rule.names, values, strict=True), node.plan.positions
            values = [self._recorded(node, name, x) if name in known else x for name, x in named]
        if not reading.rule.foreign:
            return reading.function(g, *values)
        found = reading.function(_lent(g), *map(_lent, values))
        if type(found) in (list, tuple):
            return [_own_gradient(x, g) for x in found]
        return _own_gradient(found, g)

    def _recorded(self, node: Node, name: str, value: Any) -> Any:
        """A saved value as the Tensor that it was, so that what a rule computes with it is recorded."""
        if name == "out":
            return wrap(value, node)
        if name == self.keeps:
            if value.dtype.kind not in "biu":
                raise TypeError(
                    f"{self.name}: a rule names the kept {name!r}, which is {value.dtype}: "
                    "floats would be constants to the next derivative"
                )
            return wrap(value)
        if name not in self.places:
            return value
        assert node.edges is not None
        i = self.places[name]
        if self.variadic:
            return tuple(_as_it_was(x, edge) for x, edge in zip(value, node.edges[i:], strict=True))
        return _as_it_was(value, node.edges[i])

    def __repr__(self) -> str:
        return f"<op {self.name}>"


def no_tensor(error: Exception, given: dict[str, Any]) -> TypeError | None:
    """The error to raise for one about an attribute that an argument lacks since it is no tensor; None for others."""
    if isinstance(error, AttributeError):
        for name, x in given.items():
            if x is error.obj and not isinstance(x, (Variable, ndarray)):
                return TypeError(f"{name} is {reprlib.repr(x)}, expected a tensor")
    return None


def _into(op: Op[Any], args: Any, kwargs: dict[str, Any]) -> Tensor:
    """The call with its result written into a tensor that is given: PyTorch's `out=`, which is not recorded."""
    target = kwargs.pop("out")
    result = op(*args, **kwargs)
    if target.tracked or result.tracked:
        raise RuntimeError(f"{op.name}: out= takes no gradient; use the tensor that {op.name} returns, or no_grad()")
    if target.shape != result.shape:
        raise ValueError(f"{op.name}: out has shape {target.shape}, the result {result.shape}")
    return target.copy_(result)  # type: ignore[no-any-return]


def _of_one(op: Any) -> Callable[..., Any]:
    """The short way to an op with one array argument, for a float tensor alone; see `Op.method`."""
    kernel, defaults, copy, differentiable = op.kernel, op.defaults, kernel_context.copy, op.differentiable

    def method(x: Any, *rest: Any, **named: Any) -> Any:
        a, now = x._array, state.now
        if rest or named or a.dtype.kind != "f" or now.observer is not None:
            return op(x, *rest, **named)
        try:
            out = copy().run(kernel, a)
        except (ValueError, TypeError, IndexError, AttributeError):
            return op(x)  # which raises it again, and says where
        if type(out) is not ndarray:
            out = np.asarray(out)
        if x.tracked and differentiable and now.grad and not now.inference:
            return wrap(out, op.record((a,), defaults, (x.node or x,), 0b11, out, None, now))
        return wrap(out)

    return method


def _of_two(op: Any) -> Callable[..., Any]:
    """The short way to an op with two array arguments, for two tensors of one float dtype, or one and a number."""
    kernel, defaults, copy, differentiable, promotes = (
        op.kernel, op.defaults, kernel_context.copy, op.differentiable, op.promotes,
    )  # fmt: skip

    def method(x: Any, y: Any = None, *rest: Any, **named: Any) -> Any:
        a, now, edge, other, key = x._array, state.now, None, None, 0b100
        if x.tracked:
            edge, key = x.node or x, 0b101
        if isinstance(y, Variable):
            b = y._array
            if y.tracked:
                other = y.node or y
                key |= 0b010
            usual = b.dtype is a.dtype
        else:
            b, usual = y, promotes and (type(y) is float or type(y) is int)
        if not usual or rest or named or a.dtype.kind != "f" or now.observer is not None:
            return op(x, *(() if y is None else (y,)), *rest, **named)
        try:
            out = copy().run(kernel, a, b)
        except (ValueError, TypeError, IndexError, AttributeError):
            return op(x, y)  # which raises it again, and says where
        if type(out) is not ndarray:
            out = np.asarray(out)
        if key > 0b100 and differentiable and now.grad and not now.inference:
            return wrap(out, op.record((a, b), defaults, (edge, other), key, out, None, now))
        return wrap(out)

    return method


def _lent(x: Any) -> Any:
    """What somebody else's rule is given: the same values, which it cannot write to. A leaf must stay itself."""
    if not isinstance(x, Variable):
        return locks.lend(x)
    return x if x.tracked and x.node is None else wrap(locks.lend(x._array), x.node)


def _own_gradient(found: Any, g: Any) -> Any:
    """What somebody else's rule has returned, which may have kept it: as an array of its own, unless it is of `g`."""
    if found is None or (isinstance(g, Variable) and isinstance(found, Variable)):
        return found
    return found if isinstance(found, np.ndarray) and locks.is_of(found, (g,)) else np.array(array_of(found))


def _as_it_was(value: Any, edge: Node | Variable | None) -> Any:
    """A saved argument as the Tensor that it was: of a node, a leaf, or of nobody (edge None)."""
    if edge is None or not isinstance(value, np.ndarray):
        return wrap(value) if isinstance(value, np.ndarray) else value
    if isinstance(edge, Node):
        return wrap(value, edge)
    if edge._array is not value and edge._array.tobytes() != value.tobytes():
        raise RuntimeError("create_graph: the values of a leaf were changed after the forward pass that used them")
    return edge


_MUTABLE = frozenset((list, np.ndarray))


def _frozen(value: Any) -> Any:
    """A list among the parameters as a tuple, an array as a copy: a later change of it cannot reach a gradient."""
    if type(value) is np.ndarray:
        return locks.lend(value.copy())
    return tuple([_frozen(v) for v in value]) if type(value) is list else value


# ---- 3. making ops -----------------------------------------------------------------------------------------


def _is_array(parameter: inspect.Parameter) -> bool:
    if parameter.annotation is parameter.empty:
        return parameter.kind is not parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    text = str(parameter.annotation)
    return text.startswith("Array") or "typing.Any, 'array'" in text


@overload
def op(kernel: Callable[P, Any], /) -> Op[P]: ...
@overload
def op(
    *, broadcasts: bool = ..., promotes: bool | None = ..., differentiable: bool = ..., keeps: str | None = ...
) -> Callable[[Callable[P, Any]], Op[P]]: ...
def op(
    kernel: Callable[P, Any] | None = None,
    /,
    *,
    broadcasts: bool = False,
    promotes: bool | None = None,
    differentiable: bool = True,
    keeps: str | None = None,
) -> Any:
    """Make an Op of a kernel: `@op`, or `@op(...)` with what is special about it.

    `broadcasts`: the arguments broadcast, and the drive sums their gradients back to their shapes.
    `promotes`: the arguments are brought to one dtype by PyTorch's rules first (as is usual where they broadcast).
    `differentiable=False`: the result carries no gradient (comparisons, argmax).
    `keeps="indices"`: the kernel returns `(result, indices)`, and rules may name `indices`; integers or booleans only.
    """
    if kernel is None:
        return functools.partial(
            op, broadcasts=broadcasts, promotes=promotes, differentiable=differentiable, keeps=keeps
        )
    return Op(kernel, broadcasts, broadcasts if promotes is None else promotes, differentiable, keeps)


def numpy_words(function: F) -> F:
    """Let a plain function of ops be called in NumPy's words, as every op can be: `axis` for `dim`."""

    @functools.wraps(function)
    def translated(*args: Any, **kwargs: Any) -> Any:
        if not NUMPY_WORDS.keys().isdisjoint(kwargs):
            for word in NUMPY_WORDS.keys() & kwargs:
                if NUMPY_WORDS[word] in kwargs:
                    raise TypeError(f"{function.__name__}: argument {NUMPY_WORDS[word]!r} is given twice")
                kwargs[NUMPY_WORDS[word]] = kwargs.pop(word)
        return function(*args, **kwargs)

    return translated  # type: ignore[return-value]


_composite_calls = itertools.count()


def composite(function: Callable[P, Any]) -> Callable[P, Tensor]:
    """Mark a plain function of ops: in a picture, the nodes that it makes stand together under its name.

    To a type checker it gives a Tensor, as an op does.
    """
    name = function.__name__

    @functools.wraps(function)
    def labelled(*args: Any, **kwargs: Any) -> Any:
        now = state.now
        if now.label:
            return function(*args, **kwargs)
        now.label = name, next(_composite_calls)
        try:
            return function(*args, **kwargs)
        except AttributeError as error:
            given = inspect.signature(function).bind(*args, **kwargs).arguments
            if better := no_tensor(error, given):
                raise TypeError(f"{name}: {better}") from None
            raise
        finally:
            now.label = None

    return labelled


GRADIENT = "gradient of "


@contextmanager
def labelled_as_gradient(node: Node) -> Iterator[None]:
    """In the block, what is recorded stands in a picture as the gradient of `node`; of a higher order, as that."""
    now = state.now
    before = now.label
    order = 1 + (node.label[0].count(GRADIENT) if node.label else 0)
    now.label = GRADIENT * order + node.op.name, next(_composite_calls)
    try:
        yield
    finally:
        now.label = before


# ---- 4. the ops that the engine itself uses -----------------------------------------------------------------


@op
def sum_to(input: Array, shape: tuple[int, ...]) -> Any:
    """Sum the dimensions along which an array of `shape` was broadcast to the input's shape: the adjoint of that."""
    lead = input.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 and input.shape[lead + i] != 1)
    return input.sum(axis=axes, keepdims=True).reshape(shape)


@op
def broadcast_to(input: Array, shape: tuple[int, ...]) -> Any:
    """Repeat the input along new and length-1 dimensions until it has `shape`; the result is a read-only view.

    >>> import tinygrad_cnn as tg
    >>> tg.broadcast_to(tg.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """
    x = np.asarray(input)
    if x.ndim == 0:  # the gradient of a sum, of a mean: a fifth of the time of NumPy's function
        out: np.ndarray[Any, Any] = np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
        out.setflags(False)  # type: ignore[call-arg]  # by keyword it takes twice as long
        return out
    return np.broadcast_to(x, shape)


@op
def cast(input: Array, dtype: Any) -> Any:
    """The input's values in another dtype; the drive casts the gradient back."""
    return input.astype(dtype)


@sum_to.vjp("input")
def sum_to_grad(g: Array, input_shape: tuple[int, ...]) -> Array:
    return broadcast_to(g, shape=input_shape)


@broadcast_to.vjp("input")
def broadcast_to_grad(g: Array, input_shape: tuple[int, ...]) -> Array:
    return sum_to(g, shape=input_shape)


@cast.vjp("input")
def cast_grad(g: Array) -> Array:
    return g

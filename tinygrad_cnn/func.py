"""Functions of functions: products with Jacobians, whole Jacobians, Hessians, checkpointing. All built on `grad`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tinygrad_cnn import autograd, ops, random
from tinygrad_cnn.absent import absent
from tinygrad_cnn.autograd import Array, Variable, enable_grad, inference_mode, is_grad_enabled, wrap
from tinygrad_cnn.per_sample import per_sample_grad
from tinygrad_cnn.recording import next_number
from tinygrad_cnn.tensor import Tensor

if TYPE_CHECKING:
    from tinygrad_cnn.nn import Module

__all__ = [
    "checkpoint", "checkpoint_sequential", "functional_call", "grad", "grad_and_value", "hessian", "hvp", "jacrev",
    "jvp", "per_sample_grad", "vjp",
]  # fmt: skip

Tensors = tuple[Tensor, ...]


@contextmanager
def _recording() -> Iterator[None]:
    """Ops in the block are recorded, whatever the caller's mode."""
    with inference_mode(False), enable_grad():
        yield


def _inside(primal: Any) -> Any:
    """The argument as a variable of this call's own; still connected to an outer differentiation, if there is one.

    Of a dict, list or tuple, as parameters come in one, each entry.
    """
    if isinstance(primal, Mapping):
        return {name: _inside(x) for name, x in primal.items()}
    if isinstance(primal, (list, tuple)):
        return type(primal)(map(_inside, primal))
    if not isinstance(primal, Variable):
        raise TypeError(f"func: an argument is {type(primal).__name__}, expected a Tensor")
    if primal.tracked and is_grad_enabled():
        return ops.reshape(primal, primal.shape)
    return wrap(primal._array).requires_grad_()


def _tensors(nest: Any) -> list[Any]:
    """The Tensors in nested dicts, lists and tuples, in order."""
    if isinstance(nest, (Mapping, list, tuple)):
        return [x for part in (nest.values() if isinstance(nest, Mapping) else nest) for x in _tensors(part)]
    return [nest] if isinstance(nest, Variable) else []


def _like(nest: Any, tensors: Iterator[Any]) -> Any:
    """The same nest with the next of `tensors` in place of each of its own."""
    if isinstance(nest, Mapping):
        return {name: _like(x, tensors) for name, x in nest.items()}
    if isinstance(nest, (list, tuple)):
        return type(nest)([_like(x, tensors) for x in nest])
    return next(tensors)


def _picked(args: Sequence[Any], argnums: int | Sequence[int]) -> tuple[list[Any], list[int]]:
    """The arguments with those at `argnums` made variables, and their positions."""
    places = [argnums] if isinstance(argnums, int) else list(argnums)
    for i in places:
        if not -len(args) <= i < len(args):
            raise IndexError(f"func: argnums names argument {i}, there are {len(args)}")
    places = [i % len(args) for i in places]
    return [_inside(x) if i in places else x for i, x in enumerate(args)], places


def _tensor(out: Any) -> Tensor:
    if not isinstance(out, Tensor):
        raise TypeError(f"func: the function returned {type(out).__name__}, expected a Tensor")
    return out


def _with_aux(name: str, out: Any, has_aux: bool) -> tuple[Tensor, Any]:
    """What the function returned, as the Tensor to differentiate and what else there is."""
    if not has_aux:
        return _tensor(out), None
    if not isinstance(out, tuple) or len(out) != 2:
        raise TypeError(f"{name}: the function returned {type(out).__name__}, expected (output, aux), as has_aux says")
    return _tensor(out[0]), out[1]


def _outward(nest: Any, outer: bool) -> Any:
    """What leaves the call, cut off from its variables; unless an outer differentiation goes on through it."""
    if isinstance(nest, Tensor):
        return nest if outer else nest.detach()
    if isinstance(nest, Mapping):
        return {name: _outward(x, outer) for name, x in nest.items()}
    if isinstance(nest, (list, tuple)):
        parts = [_outward(x, outer) for x in nest]
        return type(nest)(*parts) if hasattr(nest, "_fields") else type(nest)(parts)
    return nest


def _gradients(out: Tensor, inputs: list[Any], seed: Any, keep: bool) -> list[Tensor]:
    """Gradients of one output; zeros where it does not depend on an input."""
    if not out.tracked:
        return [wrap(np.zeros(x.shape, x.dtype)) for x in inputs]
    return list(autograd.grad(out, inputs, seed, retain_graph=True, create_graph=keep, materialize_grads=True))


def grad_and_value(
    func: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of `func`, which must return one number, and that number.

    The gradient is taken with respect to argument `argnums`; for a tuple of positions it is a tuple. An argument may be
    a dict, list or tuple of Tensors, as the parameters of a module are; its gradient has the same form. has_aux: `func`
    returns the number and anything else, and so does the second result.
    """

    def gradient(*args: Any, **kwargs: Any) -> Any:
        outer = is_grad_enabled() and any(x.tracked for x in _tensors(args))
        with _recording():
            inner, places = _picked(args, argnums)
            out, aux = _with_aux("grad", func(*inner, **kwargs), has_aux)
            if out.numel() != 1:
                raise ValueError(f"grad: the function returned shape {out.shape}, expected one number")
            wanted = [inner[i] for i in places]
            found = tuple(_like(wanted, iter(_gradients(out, _tensors(wanted), None, outer))))
        value = _outward((out, aux) if has_aux else out, outer)
        return (found[0] if isinstance(argnums, int) else found), value

    return gradient


def grad(func: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `func`, which must return one number; see `grad_and_value`.

    has_aux: `func` returns the number and anything else, and the result is the gradient and that.

    >>> import tinygrad_cnn as tg
    >>> tg.func.grad(lambda x: x**3)(tg.tensor(2.0))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


@overload
def vjp(func: Callable[..., Any], *primals: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensors]]: ...
@overload
def vjp(func: Callable[..., Any], *primals: Tensor, has_aux: bool) -> tuple[Any, ...]: ...
def vjp(func: Callable[..., Any], *primals: Tensor, has_aux: bool = False) -> tuple[Any, ...]:
    """func(*primals), and the function that maps a gradient of it to the gradients of the primals.

    has_aux: `func` returns its output and anything else, which is the third result.

    >>> import tinygrad_cnn as tg
    >>> out, pull = tg.func.vjp(tg.exp, tg.tensor([0.0, 1.0]))
    >>> pull(tg.tensor([1.0, 0.0]))
    (tensor([1., 0.]),)
    """
    outer = is_grad_enabled() and any(x.tracked for x in primals)
    with _recording():
        inner = [_inside(x) for x in primals]
        out, aux = _with_aux("vjp", func(*inner), has_aux)

    def pull(cotangent: Tensor) -> Tensors:
        keep = is_grad_enabled() and (outer or cotangent.tracked)
        return tuple(_gradients(out, inner, cotangent, keep))

    value, aux = _outward((out, aux), outer)
    return (value, pull, aux) if has_aux else (value, pull)


@overload
def jvp(func: Callable[..., Any], primals: Tensors, tangents: Tensors) -> tuple[Tensor, Tensor]: ...
@overload
def jvp(func: Callable[..., Any], primals: Tensors, tangents: Tensors, *, has_aux: bool) -> tuple[Any, ...]: ...
def jvp(
    func: Callable[..., Any], primals: tuple[Tensor, ...], tangents: tuple[Tensor, ...], *, has_aux: bool = False
) -> tuple[Any, ...]:
    """func(*primals), and its directional derivative along the tangents.

    has_aux: `func` returns its output and anything else, which is the third result.
    A reverse pass is linear in the gradient that comes in; its own reverse pass is the derivative wanted.

    >>> import tinygrad_cnn as tg
    >>> tg.func.jvp(tg.exp, (tg.tensor([0.0, 1.0]),), (tg.tensor([1.0, 1.0]),))[1]
    tensor([1.0000, 2.7183])
    """
    if len(primals) != len(tangents):
        raise ValueError(f"jvp: {len(tangents)} tangents for {len(primals)} primals")
    for i, (x, v) in enumerate(zip(primals, tangents, strict=True)):
        if x.shape != v.shape:
            raise ValueError(f"jvp: tangent {i} has shape {v.shape}, its primal {x.shape}")
    outer = is_grad_enabled() and any(x.tracked for x in (*primals, *tangents))
    with _recording():
        inner = [_inside(x) for x in primals]
        out, aux = _with_aux("jvp", func(*inner), has_aux)
        dummy = wrap(np.zeros(out.shape, out.dtype)).requires_grad_()
        pulled = _gradients(out, inner, dummy, True)
        pairs = [(g, v) for g, v in zip(pulled, tangents, strict=True) if g.tracked]
        pushed = wrap(np.zeros(out.shape, out.dtype))
        if pairs:
            (pushed,) = autograd.grad(
                [g for g, _ in pairs], dummy, [v for _, v in pairs], create_graph=outer, materialize_grads=True
            )
    value, aux = _outward((out, aux), outer)
    return (value, pushed, aux) if has_aux else (value, pushed)


def jacrev(func: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """A function that returns the Jacobian of `func`, of shape (*output shape, *input shape), row by row in reverse.

    >>> import tinygrad_cnn as tg
    >>> tg.func.jacrev(lambda x: x * x)(tg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        outer = is_grad_enabled() and any(isinstance(x, Variable) and x.tracked for x in args)
        with _recording():
            inner, places = _picked(args, argnums)
            out = _tensor(func(*inner, **kwargs))
            inputs = [inner[i] for i in places]
            rows: list[list[Tensor]] = []
            for i in range(out.numel()):
                seed = np.zeros(out.numel(), out.dtype)
                seed[i] = 1
                rows.append(_gradients(out, inputs, wrap(seed.reshape(out.shape)), outer))
            found = tuple(_stacked([row[k] for row in rows], out, x) for k, x in enumerate(inputs))
        return found[0] if isinstance(argnums, int) else found

    return jacobian


def _stacked(rows: list[Tensor], out: Tensor, x: Tensor) -> Tensor:
    if not rows:
        return wrap(np.zeros((*out.shape, *x.shape), x.dtype))
    return ops.reshape(ops.stack(rows), (*out.shape, *x.shape))


def hessian(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that returns the Hessian of `func`, which returns one number: shape (*input shape, *input shape).

    >>> import tinygrad_cnn as tg
    >>> tg.func.hessian(lambda x: (x**3).sum())(tg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacrev(jacrev(func, argnums), argnums)


def hvp(func: Callable[..., Any], inputs: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """func(inputs), one number, and the product of its Hessian with `v`, without building the Hessian.

    >>> import tinygrad_cnn as tg
    >>> tg.func.hvp(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0]))[1]
    tensor([ 6., 12.])
    """
    if inputs.shape != v.shape:
        raise ValueError(f"hvp: v has shape {v.shape}, the input {inputs.shape}")
    outer = is_grad_enabled() and (inputs.tracked or v.tracked)
    with _recording():
        x = _inside(inputs)
        out = _tensor(func(x))
        (g,) = _gradients(out, [x], None, True)
        (product,) = _gradients(g, [x], v, outer)
    return (out if outer else out.detach()), product


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs), with these Tensors for its parameters and buffers of the same dotted names.

    Gradients go to the Tensors given; the module keeps its own. A parameter that has two names changes under both
    (unless tie_weights=False). strict: each parameter and buffer must be given.
    Errors: ValueError for a name that the module does not have, or with `strict` for one that is missing.

    >>> import tinygrad_cnn as tg
    >>> layer = tg.nn.Linear(2, 1)
    >>> weights = {"weight": tg.tensor([[2.0, 3.0]]), "bias": tg.tensor([1.0])}
    >>> tg.func.functional_call(layer, weights, tg.tensor([10.0, 100.0])).tolist()
    [321.0]
    """
    dicts = (
        [parameter_and_buffer_dicts] if isinstance(parameter_and_buffer_dicts, Mapping) else parameter_and_buffer_dicts
    )
    given = {name: x for group in dicts for name, x in group.items()}
    places = {}  # the registry and key where each name stands
    for path, part in module.named_modules(remove_duplicate=False):
        for registry in (vars(part)["_parameters"], vars(part)["_buffers"]):
            places.update({f"{path}.{key}" if path else key: (registry, key) for key in registry})
    own: dict[str, Any] = {name: registry[key] for name, (registry, key) in places.items() if registry[key] is not None}
    if unknown := sorted(given.keys() - places.keys()):
        raise ValueError(f"functional_call: {type(module).__name__} has no parameter or buffer {unknown[0]!r}")
    if strict and (missing := sorted(own.keys() - given.keys())):
        raise ValueError(f"functional_call: {missing[0]!r} of {type(module).__name__} is not given")
    if tie_weights:
        same = {id(own[name]): x for name, x in given.items() if name in own}
        given = {name: same[id(x)] for name, x in own.items() if id(x) in same} | given
    try:
        for name, x in given.items():
            registry, key = places[name]
            registry[key] = x
        return module(*(args if isinstance(args, tuple) else () if args is None else (args,)), **(kwargs or {}))
    finally:
        for name in given:
            registry, key = places[name]
            registry[key] = own.get(name)


# ---- checkpointing -----------------------------------------------------------------------------------------


def checkpoint(
    function: Callable[..., Tensor],
    *args: Any,
    use_reentrant: bool = False,
    preserve_rng_state: bool = True,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Tensor:
    """function(*args, **kwargs) without keeping what it computes on the way: backward computes it again.

    Saves the memory of the activations inside for the time of a second forward pass. Random numbers (dropout) are
    drawn alike both times. The Tensors among the arguments, and the parameters that the function uses, get their
    gradients; gradients of any order work. RuntimeError in backward if the second pass uses or gives other values,
    because something outside has changed. `use_reentrant`, a choice that PyTorch asks for, changes nothing, nor do
    `determinism_check`, `debug` and `early_stop`.
    Source: Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.

    >>> import tinygrad_cnn as tg
    >>> x = tg.tensor([0.0, 1.0], requires_grad=True)
    >>> tg.func.checkpoint(lambda t: (t.exp() * t).sum(), x).backward()
    >>> x.grad
    tensor([1.0000, 5.4366])
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    stream = random.default_generator.get_state()
    places = [i for i, x in enumerate(args) if isinstance(x, Tensor)]

    def run(tensors: Sequence[Any]) -> tuple[Tensor, list[Any]]:
        given = list(args)
        for i, x in zip(places, tensors, strict=True):
            given[i] = x
        start = next_number()
        out = _tensor(function(*given, **kwargs))
        return out, _constants(out, start)

    def again(tensors: Sequence[Any]) -> Tensor:
        """The same once more, with the random numbers of the first time."""
        now = random.default_generator.get_state()
        if preserve_rng_state:
            random.default_generator.set_state(stream)
        try:
            out, used_now = run(tensors)
        finally:
            random.default_generator.set_state(now)
        bound = np.sqrt(np.finfo(result.dtype).eps)
        same = np.allclose(out._array, result, bound, bound * _largest(result), equal_nan=True)
        if not same or used_now != constants:
            raise changed
        return out

    own = [_own_leaf(args[i]) for i in places]
    first, constants = run(own)
    if not first.tracked:
        return first
    used = [leaf for leaf in autograd.leaves(first) if not any(leaf is x for x in own)]
    result = first._array
    changed = RuntimeError("checkpoint: the function gives other values now; something that it uses has changed")
    del first

    @autograd.op
    def checkpointed(*tensors: Array) -> Any:
        return result

    @checkpointed.shortcut
    def checkpointed_grads(g: Array, tensors: Any, needs: tuple[bool, ...]) -> list[Any]:
        with _recording():
            inner = [wrap(x).requires_grad_(leaf.tracked) for x, leaf in zip(tensors, own, strict=False)]
            if any(
                x._array is not y and x._array.tobytes() != y.tobytes()
                for x, y in zip(used, tensors[len(own) :], strict=True)
            ):
                raise changed
            out = again(inner)
        targets = [x for x, need in zip([*inner, *used], needs, strict=True) if need]
        # The function may use results of ops from outside; their nodes must stay for the pass that is under way.
        found = iter(autograd.grad(out, targets, wrap(g), retain_graph=True, materialize_grads=True))
        return [next(found)._array if need else None for need in needs]

    @checkpointed.vjp("tensors")
    def checkpointed_grad(g: Array, tensors: Any, index: int) -> Any:
        inner = [_inside(x) if leaf.tracked else x for x, leaf in zip(tensors, own, strict=False)]
        out = again(inner)
        (found,) = autograd.grad(out, [*inner, *used][index], g, create_graph=True, materialize_grads=True)
        return found

    return checkpointed(*[args[i] for i in places], *used)


def checkpoint_sequential(
    functions: Any, segments: int, input: Tensor, use_reentrant: bool = False, preserve_rng_state: bool = True
) -> Tensor:
    """The modules of a Sequential, or a list of functions, in `segments` parts, all but the last checkpointed.

    >>> import tinygrad_cnn as tg
    >>> x = tg.tensor([0.0, 1.0], requires_grad=True)
    >>> tg.func.checkpoint_sequential([tg.exp, tg.square, tg.sum], 2, x).backward()
    >>> x.grad
    tensor([ 2.0000, 14.7781])
    """
    steps = list(functions)
    if not 1 <= segments <= len(steps):
        raise ValueError(f"checkpoint_sequential: {segments} segments of {len(steps)} functions")

    def part(start: int, stop: int, x: Any) -> Any:
        for function in steps[start:stop]:
            x = function(x)
        return x

    size = len(steps) // segments
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(part, start, start + size, input, preserve_rng_state=preserve_rng_state)
    last: Tensor = part(size * (segments - 1), len(steps), input)
    return last


def _constants(output: Tensor, start: int) -> list[Any]:
    """What the nodes of `output` since `start` hold besides variables: numbers, and checksums of arrays.

    Two passes can give equal values and yet differ in these, where they meet zeros.
    """
    found: list[Any] = []
    for node in autograd.reachable([output.edge])[0] if output.tracked else ():
        if node.seq < start:
            break
        for name, value in node.saved.items():
            if name in node.op.places and node.edges:
                values = value if isinstance(value, tuple) else (value,)
                edges = node.edges[node.op.places[name] :]
                found += [_mark(x) for x, edge in zip(values, edges, strict=False) if edge is None]
        found += map(_mark, node.params.values())
    return found


def _mark(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return zlib.crc32(value.tobytes())
    if isinstance(value, tuple):
        return tuple(map(_mark, value))
    return repr(value) if isinstance(value, (float, int)) else None


def _largest(array: np.ndarray[Any, Any]) -> Any:
    return np.abs(array[np.isfinite(array)]).max(initial=0)


def _own_leaf(x: Tensor) -> Tensor:
    leaf = wrap(x._array)
    return leaf.requires_grad_() if x.tracked else leaf


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise absent(__name__, name)

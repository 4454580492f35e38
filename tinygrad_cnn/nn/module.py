"""Module: parameters, buffers and other modules under dotted names, with a `forward`.

A model is a Module that holds Modules. While one runs, every op that it calls is recorded with the module's dotted
path from the outermost module that runs (`block1.conv2`), so that errors and pictures can say where it happened.
"""

from __future__ import annotations

import difflib
import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from tinygrad_cnn import locks
from tinygrad_cnn.autograd import is_grad_enabled, state
from tinygrad_cnn.nn.parameter import Parameter, UninitializedParameter, zero_grad
from tinygrad_cnn.tensor import Handle, Tensor, check_device

__all__ = ["IncompatibleKeys", "Module"]


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` returns: the keys that it did not find, and those that it had no place for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


_structure = 0  # counts registrations of submodules everywhere: paths worked out at another count are stale


class Module:
    """The base class of models and layers: subclass it, set parameters and modules in `__init__`, write `forward`.

    >>> from tinygrad_cnn import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = nn.Parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> [name for name, _ in Scale().named_parameters()]
    ['factor']
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _paths: tuple[int, dict[int, str]] | None

    def __init__(self) -> None:
        vars(self).update(
            training=True,
            _parameters={},
            _buffers={},
            _non_persistent_buffers_set=set(),
            _modules={},
            _forward_pre_hooks={},
            _forward_hooks={},
            _backward_hooks={},
            _paths=None,
        )

    # ---- running ----

    def _forward_missing(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: it has no method named forward, expected one")

    forward: Callable[..., Any] = _forward_missing

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        now = state.now
        before, paths = now.path, now.paths
        if paths is None:
            now.paths = self._paths_below()
            now.path = ""
        else:
            path = paths.get(id(self))
            now.path = self._foreign_path(before) if path is None else path
        try:
            if self._forward_pre_hooks or self._forward_hooks or self._backward_hooks:
                return self._forward_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        finally:
            now.path, now.paths = before, paths

    def _paths_below(self) -> dict[int, str]:
        """The dotted name of each module below this one, by id; worked out again only when the structure changed."""
        cached = self._paths
        if cached is None or cached[0] != _structure:
            cached = self._paths = _structure, {id(m): name for name, m in self.named_modules()}
        return cached[1]

    def _foreign_path(self, before: str) -> str:
        """The path of a module that is called by another without being registered below the outermost one."""
        name = type(self).__name__
        return f"{before}.{name}" if before else name

    def _forward_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        waiting, out = list(self._forward_hooks.values()), None
        try:
            for pre_hook, with_kwargs in list(self._forward_pre_hooks.values()):
                if with_kwargs:
                    args, kwargs = pre_hook(self, args, kwargs) or (args, kwargs)
                elif (new := pre_hook(self, args)) is not None:
                    args = new if isinstance(new, tuple) else (new,)
            watch = _BackwardWatch(self) if self._backward_hooks and is_grad_enabled() else None
            if watch:
                args = watch.enter(args)
            out = self.forward(*args, **kwargs)
            while waiting:
                hook, with_kwargs, _ = waiting.pop(0)
                new = hook(self, args, kwargs, out) if with_kwargs else hook(self, args, out)
                out = out if new is None else new
        except Exception:
            for hook, with_kwargs, always_call in waiting:
                if always_call:
                    try:
                        hook(self, args, kwargs, out) if with_kwargs else hook(self, args, out)
                    except Exception as second:  # it must not hide the first
                        warnings.warn(f"{self._get_name()}: after an error, a hook raised {second!r}", stacklevel=3)
            raise
        return watch.leave(out) if watch else out

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Handle:
        """Call `hook(module, args)` before `forward`; what it returns, if not None, takes the arguments' place.

        prepend: before the other hooks, not after them. with_kwargs: call `hook(module, args, kwargs)`, which returns
        both or None. The result's `remove()` ends it.
        """
        return Handle(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> Handle:
        """Call `hook(module, args, output)` after `forward`; what it returns, if not None, takes the output's place.

        prepend: before the other hooks, not after them. with_kwargs: call `hook(module, args, kwargs, output)`.
        always_call: also after an error, with None where there is no output yet. The result's `remove()` ends it.
        """
        return Handle(self._forward_hooks, (hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook: Callable[[Module, Any, Any], Any], prepend: bool = False) -> Handle:
        """Call `hook(module, grad_input, grad_output)` in backward, when these gradients are complete.

        Both are tuples, with None for what requires no grad; `grad_input` stands for the positional arguments.
        What the hook returns, if not None, takes the place of `grad_input`: of modules with one differentiable input.
        A module of which an input gets no gradient at all does not call its hooks. prepend: before the other hooks.
        """
        return Handle(self._backward_hooks, hook, prepend)

    # ---- attributes ----

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        if "_modules" in own:
            for registry in (own["_parameters"], own["_modules"], own["_buffers"]):
                if name in registry:
                    return registry[name]
        if hasattr(type(self), name):  # a property that failed: raise its own error
            return object.__getattribute__(self, name)
        kind = type(self).__name__
        if "_modules" not in own and not name.startswith("__"):
            raise AttributeError(f"{kind} has no attribute {name!r}; call super().__init__() first in its __init__")
        near = "" if name.startswith("_") else _suggest(name, dir(self))  # the private ones are looked up by protocols
        raise AttributeError(f"{kind} has no attribute {name!r}{near}")

    def __setattr__(self, name: str, value: Any) -> None:
        own = vars(self)
        if isinstance(value, Parameter):
            self._make_room(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._make_room(name, "_modules")
            self.register_module(name, value)
        elif name in own.get("_parameters", ()):
            self._only(name, value, "parameter", Parameter)
            self.register_parameter(name, value)
        elif name in own.get("_modules", ()):
            self._only(name, value, "module", Module)
            self.register_module(name, value)
        elif name in own.get("_buffers", ()):
            self._only(name, value, "buffer", Tensor)
            self._buffers[name] = value
        else:
            super().__setattr__(name, value)

    def _make_room(self, name: str, registry: str) -> None:
        """Take away what has this name in another place than `registry`."""
        own = vars(self)
        if registry not in own:
            raise AttributeError(f"{type(self).__name__}: set {name!r} after super().__init__(), not before")
        own.pop(name, None)
        for other in {"_parameters", "_buffers", "_modules"} - {registry}:
            own[other].pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def _only(self, name: str, value: Any, what: str, kind: type) -> None:
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"{type(self).__name__}: {name!r} is a {what}, expected a {kind.__name__} or None "
                f"to take its place, got {type(value).__name__}"
            )

    def __delattr__(self, name: str) -> None:
        global _structure
        for registry in (self._parameters, self._buffers, self._modules):
            if name in registry:
                del registry[name]
                self._non_persistent_buffers_set.discard(name)
                _structure += 1
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        registries = [vars(self).get(name, ()) for name in ("_parameters", "_buffers", "_modules")]
        names = {*super().__dir__(), *(name for registry in registries for name in registry)}
        return sorted(name for name in names if name.isidentifier())

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        vars(self)["_paths"] = None  # it knows modules by their ids: a copy has others

    def _check_name(self, name: str, registry: dict[str, Any], what: str) -> None:
        kind = type(self).__name__
        if not isinstance(name, str):
            raise TypeError(f"{kind}: the name of a {what} is {name!r}, expected a str")
        if not name or "." in name:
            raise ValueError(f"{kind}: the name of a {what} is {name!r}, expected some letters without a dot")
        if name not in registry and (name in vars(self) or hasattr(type(self), name)):
            raise ValueError(f"{kind}: a {what} would be named {name!r}, but there is another attribute of that name")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None keeps the place for one."""
        self._check_name(name, self._parameters, "parameter")
        self._only(name, param, "parameter", Parameter)
        if param is not None and param.node is not None:
            raise ValueError(f"{type(self).__name__}: the parameter {name!r} is the result of an op, expected a leaf")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the module but is no parameter (a running mean).

        persistent: it stands in the state_dict.
        """
        self._check_name(name, self._buffers, "buffer")
        self._only(name, tensor, "buffer", Tensor)
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a module under a name."""
        global _structure
        self._check_name(name, self._modules, "module")
        self._only(name, module, "module", Module)
        self._modules[name] = module
        _structure += 1

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a module under a name (as `register_module`)."""
        self.register_module(name, module)

    # ---- walking ----

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, each with its dotted name (its own is `prefix`), each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it, each once; or without `remove_duplicate` as often as it has a name."""
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules right below this one, each with its name, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules right below this one, each once."""
        return (module for _, module in self.named_children())

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        walk = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        seen = set()
        for path, module in walk:
            for name, member in vars(module)[registry].items():
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield _join(path, name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters of this module and of those below it, each with its dotted name."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and of those below it: what an optimizer wants."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers of this module and of those below it, each with its dotted name."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and of those below it."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module under a dotted name; "" is this one."""
        module: Module = self
        for i, name in enumerate(target.split(".") if target else ()):
            child = module._modules.get(name)
            if child is None:
                parent = ".".join(target.split(".")[:i]) or type(self).__name__
                raise AttributeError(f"{parent} has no module {name!r}{_suggest(name, module._modules)}")
            module = child
        return module

    def _get_member(self, target: str, registry: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        members: dict[str, Any] = vars(module)[registry]
        if members.get(name) is None:
            raise AttributeError(f"{path or type(self).__name__} has no {what} {name!r}{_suggest(name, members)}")
        return members[name]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter under a dotted name."""
        parameter: Parameter = self._get_member(target, "_parameters", "parameter")
        return parameter

    def get_buffer(self, target: str) -> Tensor:
        """The buffer under a dotted name."""
        buffer: Tensor = self._get_member(target, "_buffers", "buffer")
        return buffer

    # ---- saving and loading ----

    def _named_state(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """The parameters and persistent buffers, module by module; a shared one stands under all its names."""
        for path, module in self.named_modules(prefix=prefix, remove_duplicate=False):
            members: dict[str, Tensor | None] = {**module._parameters, **module._buffers}
            for name, member in members.items():
                if member is not None and name not in module._non_persistent_buffers_set:
                    yield _join(path, name), member

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> OrderedDict[str, Tensor]:
        """The parameters and persistent buffers by their dotted names; they share the module's memory.

        prefix: stands before each name. keep_vars: the tensors themselves, not cut off from the graph.

        >>> from tinygrad_cnn import nn
        >>> list(nn.Linear(2, 1).state_dict())
        ['weight', 'bias']
        """
        own = OrderedDict(self._named_state(prefix.removesuffix(".")))
        for name, tensor in own.items():
            if isinstance(tensor, UninitializedParameter):
                raise ValueError(f"state_dict: {name} has no shape yet, call the model once on a batch of inputs")
        return own if keep_vars else OrderedDict((name, tensor.detach()) for name, tensor in own.items())

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the values of `state_dict` (Tensors or ndarrays) into the parameters and buffers of the same names.

        Nothing is changed unless everything fits. strict: the names must be the same on both sides; otherwise those
        that are not are returned, as `missing_keys` and `unexpected_keys`. Shapes must be equal in any case.
        assign: the given tensors themselves take the places, with their dtypes; an optimizer still has the old ones.
        """
        own = dict(self._named_state())
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        values = {name: _as_array(state_dict[name]) for name in own if name in state_dict}
        faults = [f"{name} is missing" for name in missing] if strict else []
        faults += [f"{name} is not in the model{_suggest(name, missing)}" for name in unexpected] if strict else []
        for name, value in values.items():
            if not isinstance(own[name], UninitializedParameter) and value.shape != own[name].shape:
                faults.append(f"{name} has shape {value.shape}, expected {own[name].shape}")
            if assign and own[name].requires_grad and value.dtype.kind != "f":
                faults.append(f"{name} holds {value.dtype}, expected floats, since it is to learn")
        if faults:
            kind = type(self).__name__
            raise ValueError(f"load_state_dict: this is not the state of this {kind}: {'; '.join(faults)}")
        for name, value in values.items():
            tensor = own[name]
            if assign:
                self._assign(name, state_dict[name], tensor)
                continue
            if isinstance(tensor, UninitializedParameter):
                tensor.materialize(value.shape)
            locks.writeable(tensor)[...] = value
        return IncompatibleKeys(missing, unexpected)

    def _assign(self, name: str, value: Any, old: Tensor) -> None:
        """Put a Tensor (or an ndarray) in the place of the parameter or buffer under a dotted name."""
        new = value if isinstance(value, Tensor) else Tensor(value)
        if isinstance(old, Parameter):
            learns = old.requires_grad
            new = new.requires_grad_(learns) if isinstance(new, Parameter) else Parameter(new.detach(), learns)
        path, _, member = name.rpartition(".")
        setattr(self.get_submodule(path), member, new)

    # ---- changing everything at once ----

    def train(self, mode: bool = True) -> Self:
        """Set `training` here and below: dropout and batch norm act differently in training and after it."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode is {mode!r}, expected True or False")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """The same as `train(False)`."""
        return self.train(False)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` with each module below this one, then with this one (to set initial weights, say)."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Switch on or off that gradients flow to the parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the parameters: set them to None, or else to zeros."""
        for parameter in self.parameters():
            zero_grad(parameter, set_to_none)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert the floating point parameters and buffers: `to(tg.float64)`, `to(other_tensor)`.

        `to("cpu")` does nothing: there is no other device.
        """
        example = Tensor(np.empty(0, np.float32)).to(*args, **kwargs)
        if example.dtype.kind != "f":
            raise TypeError(f"Module.to: dtype is {example.dtype}, expected a floating point one")
        tensors = [t for t in (*self.parameters(), *self.buffers()) if t.dtype.kind == "f"]
        for tensor in tensors:
            tensor._array = tensor.detach().to(*args, **kwargs)._array
            if tensor.grad is not None:
                tensor.grad = tensor.grad.detach().to(*args, **kwargs)
        return self

    def float(self) -> Self:
        """Convert the floating point parameters and buffers to float32."""
        return self.to(np.dtype(np.float32))

    def double(self) -> Self:
        """Convert the floating point parameters and buffers to float64."""
        return self.to(np.dtype(np.float64))

    def half(self) -> Self:
        """Convert the floating point parameters and buffers to float16.

        >>> from tinygrad_cnn import nn
        >>> nn.Linear(2, 1).half().weight.dtype
        dtype('float16')
        """
        return self.to(np.dtype(np.float16))

    def bfloat16(self) -> NoReturn:
        """Raises: NumPy has no bfloat16."""
        raise TypeError("Module.bfloat16: there is no such dtype, as NumPy has none; expected .half() or .float()")

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Give the parameters and buffers memory of their own, as large as before, whose values are not set.

        device: there is the CPU alone. recurse: those of the modules below as well. ValueError for another device.

        >>> from tinygrad_cnn import nn
        >>> nn.Linear(2, 1).to_empty(device="cpu").weight.shape
        (1, 2)
        """
        check_device("to_empty", device)
        for tensor in (*self.parameters(recurse), *self.buffers(recurse)):
            tensor._array = np.empty_like(tensor._array)
        return self

    def cpu(self) -> Self:
        """Do nothing: everything is on the CPU."""
        return self

    def cuda(self, device: Any = None) -> NoReturn:
        """Raises: there is only the CPU."""
        raise RuntimeError("Module.cuda: there is no CUDA device, tinygrad_cnn computes on the CPU only")

    # ---- showing ----

    def extra_repr(self) -> str:
        """What the repr shows between the brackets; layers say their sizes here."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr().splitlines()
        children = [f"({name}): {_indent(repr(module))}" for name, module in self._modules.items()]
        if len(extra) == 1 and not children:
            return f"{self._get_name()}({extra[0]})"
        lines = "".join(f"\n  {line}" for line in extra + children)
        return f"{self._get_name()}({lines}\n)" if lines else f"{self._get_name()}()"


class _BackwardWatch:
    """One call of a module with backward hooks: gathers the gradients of outputs and inputs, then calls the hooks."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.grad_input: list[Any] = []
        self.grad_output: list[Any] = []
        self.inputs = 0  # how many of them require grad
        self.total = 0  # how many inputs and outputs do
        self.waiting = 0  # how many of these gradients have not come yet

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same arguments, as nodes of their own: their gradients are those that this call alone sends back."""
        self.grad_input = [None] * len(args)
        watched = tuple([self._watch(x, self.grad_input, i) for i, x in enumerate(args)])
        self.inputs = self.waiting
        return watched

    def leave(self, out: Any) -> Any:
        """The same output, watched too: a Tensor or a tuple of them."""
        several = isinstance(out, tuple)
        self.grad_output = [None] * (len(out) if several else 1)
        watched = [self._watch(x, self.grad_output, i) for i, x in enumerate(out if several else (out,))]
        self.total = self.waiting
        if not several:
            return watched[0]
        return type(out)(*watched) if hasattr(out, "_fields") else tuple(watched)

    def _watch(self, x: Any, grads: list[Any], i: int) -> Any:
        if not isinstance(x, Tensor) or not x.requires_grad:
            return x
        self.waiting += 1
        x = x.reshape(x.shape)
        x.register_hook(functools.partial(self._arrived, grads, i))
        return x

    def _arrived(self, grads: list[Any], i: int, g: Tensor) -> Tensor | None:
        grads[i] = g
        self.waiting -= 1
        if self.waiting:
            return None
        self.waiting = self.total  # a retained graph may be run again
        grad_input = tuple(self.grad_input)
        for hook in list(self.module._backward_hooks.values()):
            new = hook(self.module, grad_input, tuple(self.grad_output))
            if new is not None:
                grad_input = self._replaced(new)
        return grad_input[i] if grads is self.grad_input else None

    def _replaced(self, new: Any) -> tuple[Any, ...]:
        gradients: tuple[Any, ...] = new if isinstance(new, tuple) else (new,)
        if self.inputs != 1 or len(gradients) != len(self.grad_input):
            raise ValueError(
                f"register_full_backward_hook: the hook gave {len(gradients)} gradients in the place of grad_input, "
                f"expected {len(self.grad_input)}; {self.inputs} arguments require grad, only one may"
            )
        return gradients


def _as_array(value: Any) -> np.ndarray[Any, Any]:
    return value._array if isinstance(value, Tensor) else np.asarray(value)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


def _suggest(name: str, names: Any) -> str:
    near = difflib.get_close_matches(name, list(names), 1)
    return f", did you mean {near[0]!r}?" if near else ""

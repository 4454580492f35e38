"""Optimizer: groups of parameters with their options, what is remembered for each parameter, saving and loading."""

from __future__ import annotations

import copy
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, ClassVar

import numpy as np

from tinygrad_cnn import locks
from tinygrad_cnn.autograd import enable_grad
from tinygrad_cnn.nn.parameter import UninitializedParameter, zero_grad
from tinygrad_cnn.tensor import Handle, Tensor

__all__ = ["Optimizer"]

Array = np.ndarray[Any, Any]

_REFUSED = {
    "capturable": "there are no CUDA graphs, which it is for",
    "differentiable": "steps are not recorded; take p - lr * g with create_graph=True, and func.functional_call",
}


class Optimizer:
    """The base class of optimizers: a subclass writes `_update`, which changes one parameter.

    params: Tensors, or (name, Tensor) pairs, or dicts {"params": Tensors, option: value …}, one a group.
    defaults: the options of the groups that do not give their own.

    `param_groups` holds the groups, `state` what the optimizer remembers of each parameter: Tensors by name,
    of which those in `like_parameter` have the parameter's shape.
    """

    like_parameter: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._hooks: defaultdict[str, dict[int, Any]] = defaultdict(dict)
        if isinstance(params, Tensor):
            raise TypeError(f"{self._name}: params is one Tensor, expected an iterable of them")
        groups = list(params)
        if not groups:
            raise ValueError(f"{self._name}: the list of parameters is empty")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take in more parameters, {"params": Tensors, option: value …}, say a layer that is no longer frozen."""
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"{self._name}: a group of parameters is {param_group!r}, expected a dict with 'params'")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(f"{self._name}: the parameters are a set, whose order is not certain, expected a list")
        entries = [params] if isinstance(params, Tensor) else list(params)
        group = {**param_group, "params": entries}
        if entries and all(isinstance(entry, tuple) for entry in entries):
            group["param_names"] = [name for name, _ in entries]
            group["params"] = [p for _, p in entries]
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for i, p in enumerate(group["params"]):
            self._check_parameter(p, self._describe(group, i), known)
            known.add(id(p))
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        for name, reason in _REFUSED.items():
            if group.get(name):
                raise ValueError(f"{self._name}: {name} is {group[name]!r}, expected False: {reason}")
        self._check_options(group)
        self.param_groups.append({"params": group.pop("params"), **group})

    def _check_parameter(self, p: Any, which: str, known: set[int]) -> None:
        if not isinstance(p, Tensor):
            raise TypeError(f"{self._name}: {which} is a {type(p).__name__}, expected a Tensor")
        if isinstance(p, UninitializedParameter):
            raise ValueError(f"{self._name}: {which} has no shape yet, call the model once on a batch of inputs first")
        if p.node is not None:
            raise ValueError(f"{self._name}: {which} is the result of an op, expected a leaf: a Parameter, say")
        if id(p) in known:
            raise ValueError(f"{self._name}: {which} is given twice, expected each parameter once")

    def _describe(self, group: dict[str, Any], i: int) -> str:
        names = group.get("param_names")
        return f"parameter {names[i] if names else i}"

    def _check_options(self, group: dict[str, Any]) -> None:
        """Raise ValueError if an option of the group is out of its range."""

    def _require(self, group: dict[str, Any], name: str, low: float = 0.0, below: float = float("inf")) -> None:
        """Raise ValueError if an option is not a number in [low, below)."""
        self._require_number(name, group[name], low, below)

    def _require_number(self, name: str, value: Any, low: float = 0.0, below: float = float("inf")) -> None:
        try:
            inside = low <= value < below
        except TypeError:
            inside = False
        if not inside:
            limit = "" if below == float("inf") else f" and < {below:g}"
            raise ValueError(f"{self._name}: {name} is {value!r}, expected a number >= {low:g}{limit}")

    # ---- stepping ----

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient.

        closure: computes the loss again, with its gradients, before the step; its result is returned.
        """
        loss, update = None, self._update_lent if locks.is_foreign(self._update) else self._update
        if closure is not None:
            with enable_grad():
                loss = closure()
        with np.errstate(all="ignore"):  # what overflows is inf, and no warning, as in all that computes here
            for group in self.param_groups:
                for p in group["params"]:
                    g = p.grad
                    if g is not None:
                        update(locks.writeable(p), g._array, self.state[p], group)
        return loss

    def _step_with_hooks(self, *args: Any, **kwargs: Any) -> Any:
        """What stands in the place of `step` once a hook was registered: without one, a step costs nothing for them."""
        args = (self, *args)  # the hooks are given the optimizer among the arguments too, as in PyTorch
        for hook in list(self._hooks["step_pre"].values()):
            if (new := hook(self, args, kwargs)) is None:
                continue
            if not isinstance(new, tuple) or len(new) != 2:
                raise TypeError(f"{self._name}.step: a pre-hook returned {new!r}, expected None or (args, kwargs)")
            args, kwargs = new
        loss = type(self).step(*args, **kwargs)
        for hook in list(self._hooks["step_post"].values()):
            hook(self, args, kwargs)
        return loss

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return others, as (args, kwargs), or None.

        `args` starts with the optimizer itself. The result's `remove()` ends it. Copies have no hooks.

        >>> import tinygrad_cnn as tg
        >>> w = tg.nn.Parameter([1.0])
        >>> w.grad = tg.tensor([30.0])
        >>> optimizer = tg.optim.SGD([w], lr=0.5)
        >>> def clip(optimizer, args, kwargs):
        ...     tg.nn.utils.clip_grad_value_([w], 1.0)
        >>> handle = optimizer.register_step_pre_hook(clip)
        >>> optimizer.step()
        >>> w.item()
        0.5
        """
        vars(self)["step"] = self._step_with_hooks
        return Handle(self._hooks["step_pre"], hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(optimizer, args, kwargs)` after each step; what it returns is not used."""
        vars(self)["step"] = self._step_with_hooks
        return Handle(self._hooks["step_post"], hook)

    def __getstate__(self) -> dict[str, Any]:
        own = {name: value for name, value in vars(self).items() if name != "step"}
        return {**own, "_hooks": defaultdict(dict)}

    def _update_lent(self, p: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        """As `_update`, for somebody else's, which may keep the parameter's array, or a view of it."""
        known = sys.getrefcount(p)
        try:
            self._update(p, locks.seal(g), state, group)
        finally:
            if sys.getrefcount(p) > known:
                locks.share(p)

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change the parameter's array `p` in place, given its gradient; `state` is what is remembered of it."""
        raise NotImplementedError(f"{self._name}: it has no method _update, expected one, or a step of its own")

    def _decayed(self, p: Array, g: Array, group: dict[str, Any]) -> Array:
        """The gradient to descend along: negated to climb, with the pull of the weight decay."""
        if group["maximize"]:
            g = -g
        return g + group["weight_decay"] * p if group["weight_decay"] else g

    def _buffer(self, name: str, p: Array, state: dict[str, Any], value: float = 0.0) -> Array:
        """The array that is remembered of a parameter under a name; at first it is filled with `value`."""
        if name not in state:
            state[name] = Tensor(np.full_like(p, value))
        return locks.writeable(state[name])

    def _count(self, state: dict[str, Any]) -> int:
        """The number of this step of a parameter, from 1."""
        if "step" not in state:
            state["step"] = Tensor(np.zeros((), np.float32))
        step = locks.writeable(state["step"])
        step += 1
        return int(step)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients: set them to None, or else to zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                zero_grad(p, set_to_none)

    # ---- saving and loading ----

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number of the parameter: {name: Tensor}}, "param_groups": [options, and "params": numbers]}."""
        for hook in list(self._hooks["state_dict_pre"].values()):
            hook(self)
        numbers = {id(p): i for i, p in enumerate(self._parameters())}
        groups = []
        for group in self.param_groups:
            options = {name: value for name, value in group.items() if name != "params"}
            groups.append({**options, "params": [numbers[id(p)] for p in group["params"]]})
        state = {numbers[id(p)]: dict(held) for p, held in self.state.items() if held}
        return self._passed_on("state_dict_post", {"state": state, "param_groups": groups})

    def _passed_on(self, kind: str, found: dict[str, Any]) -> dict[str, Any]:
        """The state dict after the hooks of that kind, each of which may change it or return another."""
        for hook in list(self._hooks[kind].values()):
            new = hook(self, found)
            found = found if new is None else new
        return found

    def register_state_dict_pre_hook(self, hook: Callable[[Any], Any], prepend: bool = False) -> Handle:
        """Call `hook(optimizer)` before `state_dict` reads anything. prepend: before the other hooks."""
        return Handle(self._hooks["state_dict_pre"], hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[[Any, Any], Any], prepend: bool = False) -> Handle:
        """Call `hook(optimizer, state_dict)` on what `state_dict` found; it changes it, or returns another, or None."""
        return Handle(self._hooks["state_dict_post"], hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[[Any, Any], Any], prepend: bool = False) -> Handle:
        """Call `hook(optimizer, state_dict)` with a shallow copy of what is to be loaded; as for `state_dict`."""
        return Handle(self._hooks["load_state_dict_pre"], hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[[Any], Any], prepend: bool = False) -> Handle:
        """Call `hook(optimizer)` after `load_state_dict` is done. prepend: before the other hooks."""
        return Handle(self._hooks["load_state_dict_post"], hook, prepend)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, of an optimizer whose groups have as many parameters as here.

        Nothing is changed unless everything fits. Arrays are copied, in the dtypes of the parameters.
        """
        state_dict = self._passed_on("load_state_dict_pre", dict(state_dict))
        groups = state_dict["param_groups"]
        ours = [len(group["params"]) for group in self.param_groups]
        theirs = [len(group["params"]) for group in groups]
        if ours != theirs:
            raise ValueError(
                f"{self._name}.load_state_dict: the groups have {theirs} parameters, this optimizer's have {ours}"
            )
        by_number = dict(zip(chain(*(group["params"] for group in groups)), self._parameters(), strict=True))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, held in state_dict["state"].items():
            if (p := by_number.get(int(number))) is None:
                raise ValueError(
                    f"{self._name}.load_state_dict: there is a state for parameter {number}, but none such"
                )
            state[p] = {name: self._restored(name, value, p, number) for name, value in held.items()}
        self.state = state
        for group, saved in zip(self.param_groups, groups, strict=True):
            group.update({name: copy.deepcopy(value) for name, value in saved.items() if name != "params"})
        for hook in list(self._hooks["load_state_dict_post"].values()):
            hook(self)

    def _restored(self, name: str, value: Any, p: Tensor, number: Any) -> Any:
        if not isinstance(value, (Tensor, np.ndarray)):
            return copy.deepcopy(value)
        array = value._array if isinstance(value, Tensor) else value
        if name in self.like_parameter and array.shape != p.shape:
            which = f"{name} of parameter {number}"
            raise ValueError(f"{self._name}.load_state_dict: {which} has shape {array.shape}, expected {p.shape}")
        return Tensor(array.astype(np.float32 if name == "step" else p.dtype))

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([f"{self._name} (", *lines, ")"])

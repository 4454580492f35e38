"""Modules that hold others, in a row or by name: Sequential, ModuleList, ModuleDict; and the same for parameters."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from tinygrad_cnn.nn.module import Module
from tinygrad_cnn.nn.parameter import Parameter
from tinygrad_cnn.tensor import Tensor

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


class _Row(Module):
    """What Sequential and ModuleList share: modules named "0", "1", "2" …, used like a list."""

    def _place(self, index: int) -> int:
        """The index counted from the front, checked."""
        i = operator.index(index)
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self._get_name()}: index {i} is out of range, it holds {len(self)} modules")
        return i % len(self)

    def _name_at(self, index: int) -> str:
        return list(self._modules)[self._place(index)]

    def _replace_all(self, modules: Iterable[Module]) -> None:
        """Hold these modules, named by their places, and no others."""
        new = list(modules)
        for name in list(self._modules):
            delattr(self, name)
        self.extend(new)

    @overload
    def __getitem__(self, index: slice) -> Self: ...
    @overload
    def __getitem__(self, index: int) -> Any: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._part(list(self._modules.items())[index])
        return self._modules[self._name_at(index)]

    def _part(self, items: list[tuple[str, Module | None]]) -> Self:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        self.register_module(self._name_at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        if isinstance(index, slice):
            del modules[index]
        else:
            del modules[self._place(index)]
        self._replace_all(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.register_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before the place `index`; those behind it move up by one."""
        modules = list(self)
        modules.insert(index, module)
        self._only(str(index), module, "module", Module)
        self._replace_all(modules)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take the module at a place out, and return it."""
        module = self[index]
        del self[index]
        return module


class Sequential(_Row):
    """Modules that run one after the other, each on the output of the one before.

    Give the modules, or one OrderedDict of named ones.

    >>> from tinygrad_cnn import nn
    >>> nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.register_module(name, module)
        else:
            self.extend(args)

    def forward(self, input: Any) -> Any:
        """The output of the last module."""
        for module in self:
            input = module(input)
        return input

    def _part(self, items: list[tuple[str, Module | None]]) -> Self:
        return type(self)(OrderedDict(items))

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *other)


class ModuleList(_Row):
    """A list of modules that are registered, and that the holder calls as it likes.

    >>> from tinygrad_cnn import nn
    >>> layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))
    >>> layers
    ModuleList(
      (0-1): 2 x Linear(in_features=3, out_features=3, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(() if modules is None else modules)

    def _part(self, items: list[tuple[str, Module | None]]) -> Self:
        return type(self)(module for _, module in items if module is not None)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        runs: list[tuple[int, int, str]] = []  # first, last, what they show
        for i, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        lines = [f"({a}): {text}" if a == b else f"({a}-{b}): {b - a + 1} x {text}" for a, b, text in runs]
        return _bracket(self._get_name(), lines)


class ModuleDict(Module):
    """Modules by name, registered, used like a dict.

    >>> from tinygrad_cnn import nn
    >>> nn.ModuleDict({"small": nn.Linear(2, 2)})["small"]
    Linear(in_features=2, out_features=2, bias=True)
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(() if modules is None else modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.register_module(key, module)

    def __delitem__(self, key: str) -> None:
        self._modules[key]  # raises KeyError
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """The names with the modules."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules by name, or put them in the place of those that have these names."""
        for key, module in dict(modules).items():
            self[key] = module

    def pop(self, key: str) -> Any:
        """Take a module out, and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for key in list(self):
            del self[key]


class ParameterList(Module):
    """A list of parameters that are registered; Tensors become parameters.

    >>> import tinygrad_cnn as tg
    >>> len(list(tg.nn.ParameterList([tg.ones(2), tg.ones(3)]).parameters()))
    2
    """

    def __init__(self, values: Iterable[Tensor] | None = None) -> None:
        super().__init__()
        self.extend(() if values is None else values)

    def __getitem__(self, index: int) -> Any:
        return list(self)[index]

    def __setitem__(self, index: int, value: Tensor) -> None:
        self.register_parameter(str(range(len(self))[index]), _as_parameter(value))

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def __iadd__(self, values: Iterable[Tensor]) -> Self:
        return self.extend(values)

    def append(self, value: Tensor) -> Self:
        """Add a parameter at the end."""
        self.register_parameter(str(len(self)), _as_parameter(value))
        return self

    def extend(self, values: Iterable[Tensor]) -> Self:
        """Add parameters at the end."""
        for value in list(values):
            self.append(value)
        return self

    def __repr__(self) -> str:
        return _bracket(self._get_name(), _describe(self._parameters))


class ParameterDict(Module):
    """Parameters by name, registered, used like a dict; Tensors become parameters.

    Those of a plain dict are added in the order of their names, as in PyTorch.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.ParameterDict({"gain": tg.ones(2)})
    ParameterDict(
      (gain): Parameter containing: [float32 of size 2]
    )
    """

    def __init__(self, parameters: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.update(() if parameters is None else parameters)

    def __getitem__(self, key: str) -> Any:
        return self._parameters[key]

    def __setitem__(self, key: str, value: Tensor) -> None:
        self.register_parameter(key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._parameters[key]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: str) -> bool:
        return key in self._parameters

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._parameters.keys()

    def values(self) -> Iterable[Any]:
        """The parameters."""
        return self._parameters.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """The names with the parameters."""
        return self._parameters.items()

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of this name, or `default` where there is none."""
        return self._parameters.get(key, default)

    def update(self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> None:
        """Add parameters by name, or put them in the place of those that have these names."""
        ordered = not isinstance(parameters, Mapping) or isinstance(parameters, OrderedDict)
        for key, value in dict(parameters).items() if ordered else sorted(parameters.items()):  # type: ignore[union-attr]
            self[key] = value

    def pop(self, key: str) -> Any:
        """Take a parameter out, and return it."""
        value = self[key]
        del self[key]
        return value

    def __repr__(self) -> str:
        return _bracket(self._get_name(), _describe(self._parameters))


def _as_parameter(value: Any) -> Any:
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _describe(parameters: Mapping[str, Parameter | None]) -> list[str]:
    present = [(name, p) for name, p in parameters.items() if p is not None]
    return [f"({name}): Parameter containing: [{p.dtype} of size {'x'.join(map(str, p.shape))}]" for name, p in present]


def _bracket(name: str, lines: list[str]) -> str:
    """`Name(` with a line for each child between, as all modules with children are shown."""
    indented = "".join("\n  " + line.replace("\n", "\n  ") for line in lines)
    return f"{name}({indented}\n)" if lines else f"{name}()"

"""The pages of the reference: one a public module, with all names of its `__all__`, from signatures and docstrings.

What the pages of the ops describe is only linked. Functions and classes are described once, where they live.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from builder.markdown import cell, described, docstring, first_sentence, parameters
from tinygrad_cnn.autograd import Op

# Every module that people import from, in the order of the reference's table.
MODULES = [
    "tinygrad_cnn",
    "tinygrad_cnn.autograd",
    "tinygrad_cnn.func",
    "tinygrad_cnn.linalg",
    "tinygrad_cnn.random",
    "tinygrad_cnn.nn",
    "tinygrad_cnn.nn.functional",
    "tinygrad_cnn.nn.init",
    "tinygrad_cnn.nn.utils",
    "tinygrad_cnn.nn.utils.rnn",
    "tinygrad_cnn.optim",
    "tinygrad_cnn.optim.lr_scheduler",
    "tinygrad_cnn.optim.swa_utils",
    "tinygrad_cnn.data",
    "tinygrad_cnn.data.transforms",
    "tinygrad_cnn.train",
    "tinygrad_cnn.graph",
    "tinygrad_cnn.testing",
    "tinygrad_cnn.testing.strategies",
    "tinygrad_cnn.plot",
    "tinygrad_cnn.sklearn",
    "tinygrad_cnn.kernels",
    "tinygrad_cnn.backends",
    "tinygrad_cnn.utils.checkpoint",
    "tinygrad_cnn.utils.data",
    "tinygrad_cnn.bench",
]

_SHOWN = ("__getitem__", "__setitem__", "__len__", "__iter__", "__call__", "__enter__")


class Reference:
    """The whole reference under construction: what was described, and where."""

    def __init__(self, homes: dict[int, str]) -> None:
        self.homes = dict(homes)  # of a function or class that was described: its full name
        self.classes: dict[type, str] = {}  # of each public class: its full name, which comes before its description
        for name in MODULES:
            module = importlib.import_module(name)
            for public in module.__all__:
                if inspect.isclass(kind := getattr(module, public)) and (
                    name not in PASSES_ON or kind not in self.classes
                ):
                    self.classes[kind] = f"{name}.{public}"

    def page(self, name: str) -> str:
        """The page of one module."""
        module = importlib.import_module(name)
        names = sorted(public_names(module), key=str.lower)
        parts = [f"# {name}", docstring(module.__doc__), f"```{{py:module}} {name}\n```"]
        links, values = [], []
        for public in names:
            value = getattr(module, public)
            if isinstance(value, ModuleType):
                links.append(f"| {{py:mod}}`{value.__name__}` | {cell(first_sentence(value.__doc__))} |")
            elif id(value) in self.homes:
                links.append(f"| {{py:obj}}`{public} <{self.homes[id(value)]}>` | {cell(summary(value))} |")
            elif isinstance(value, np.dtype) or not callable(value) or not _is_ours(value):
                values.append(f"| `{public}` | {cell(in_words(value))} |")
            else:
                parts.append(self.entry(module.__name__, public, value))
        if values:
            parts += ["## Values", "| name | value |\n|---|---|\n" + "\n".join(values)]
        if links:
            title = "Described elsewhere" if len(links) < len(names) else "Names"
            parts += [f"## {title}", "| name | what it is |\n|---|---|\n" + "\n".join(links)]
        return "\n\n".join(parts) + "\n"

    def entry(self, module: str, name: str, value: Any) -> str:
        """One name of a module: a class with its members, or a function."""
        self.homes[id(value)] = f"{module}.{name}"
        text = docstring(value.__doc__, parameters(value))
        if inspect.isclass(value):
            text = "\n\n".join([text, *self.members(value)])
        kind = "class" if inspect.isclass(value) else "function"
        return f"## {name}\n\n" + described(kind, name, text, value, f":module: {module}")

    def members(self, kind: type) -> Iterator[str]:
        """What a class documents, with what it has from bases that are not public; public bases are linked."""
        own = [c for c in kind.__mro__ if c.__module__.startswith("tinygrad_cnn")]
        if bases := [base for base in own[1:] if base in self.classes]:
            yield "Based on " + ", ".join(f"{{py:class}}`{self.classes[base]}`" for base in bases) + ".\n"
            own = own[: own.index(bases[0])]
        members: dict[str, Any] = {}
        for c in reversed(own):
            members |= vars(c)
        for name, raw in sorted(members.items()):
            if name.startswith("_") and name not in _SHOWN:
                continue
            value = raw.__func__ if isinstance(raw, staticmethod | classmethod) else raw
            plain = inspect.unwrap(value) if callable(value) else value  # an op's kernel, behind the op as a method
            if home := self.homes.get(id(value)) or self.homes.get(id(plain)):
                yield f"Computes {{py:obj}}`{home}`.\n" if name == "function" else f"- `{name}`: {{py:obj}}`{home}`\n"
            elif isinstance(value, property | functools.cached_property):
                yield described("property", name, docstring(value.__doc__))
            elif callable(value) and value.__doc__ and not inspect.isclass(value):
                flag = {staticmethod: ":staticmethod:", classmethod: ":classmethod:"}.get(type(raw))
                yield described(
                    "method", name, docstring(value.__doc__, parameters(value)), value, *([flag] if flag else [])
                )


def public_names(module: ModuleType) -> list[str]:
    """The names of a module's `__all__`, each one once."""
    return list(dict.fromkeys(module.__all__))


def _is_ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).startswith("tinygrad_cnn") or isinstance(value, Op)


def in_words(value: Any) -> str:
    """A value that is no function or class of the package, as Markdown."""
    if isinstance(value, dict):
        return "A dict with " + ", ".join(f"`{key}`" for key in value)
    if inspect.isclass(value):
        return f"`{value.__module__}.{value.__name__}`"
    plain = isinstance(value, int | float | str | tuple | np.dtype)
    return f"`{value!r}`" if plain else first_sentence(type(value).__doc__)


def summary(value: Any) -> str:
    """The first sentence of what a value says of itself."""
    return first_sentence(value.kernel.__doc__ if isinstance(value, Op) else value.__doc__)


def write_pages(folder: Path, homes: dict[int, str]) -> None:
    """Write api/index.md and a page for each module. homes: the full names of what other pages describe, by id."""
    folder.mkdir(parents=True, exist_ok=True)
    reference = Reference(homes)
    # First the modules where things live, then those that pass names on.
    pages = {}
    for name in sorted(MODULES, key=lambda n: (n in PASSES_ON, MODULES.index(n))):
        pages[name] = reference.page(name)
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text)
    rows = [f"| [{n}]({n}.md) | {cell(first_sentence(importlib.import_module(n).__doc__))} |" for n in MODULES]
    toctree = "```{toctree}\n:hidden:\n\n" + "\n".join(MODULES) + "\n```"
    (folder / "index.md").write_text(
        "\n".join([INTRODUCTION, "| module | what is in it |\n|---|---|", *rows, "", toctree, ""])
    )


PASSES_ON = ("tinygrad_cnn", "tinygrad_cnn.utils.checkpoint", "tinygrad_cnn.utils.data", "tinygrad_cnn.kernels")

INTRODUCTION = """# Reference

Every public name, from the signatures and docstrings of the code. The functions that models are made of have
[pages of their own](../ops/index.md), with gradients and graphs.
"""

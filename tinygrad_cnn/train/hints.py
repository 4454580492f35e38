"""What somebody meant who misspelled a name: looked up, never run."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["did_you_mean", "meant_callable"]


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """A question for an error's message, or nothing where no name is near.

    >>> did_you_mean("Adm", ["sgd", "adam"])
    'did you mean adam? '
    """
    near = difflib.get_close_matches(word.lower(), list(names), 1)
    return f"did you mean {near[0]}? " if near else ""


def meant_callable(spec: str) -> str | None:
    """The `package.module:callable` that was meant by `nets`, `nets.py`, `nets.py:Net`, `nets.Net` or just `Net`.

    Files are those below the current folder. None: nothing there looks like it.
    """
    place, _, name = spec.partition(":")
    module = ".".join(Path(place.removesuffix(".py")).parts) if place.endswith(".py") else place
    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    file = Path(*parts).with_suffix(".py")
    if file.is_file():
        modules, others = _defined(file)
        likely = (modules or others or ["NAME"])[-1]  # the last one: a file begins with its parts
        return f"{module}:{name or likely}"
    if place.endswith(".py"):
        return None
    if len(parts) > 1:
        return f"{'.'.join(parts[:-1])}:{parts[-1]}"
    for path in sorted(Path().glob("*.py")):
        if path.stem.isidentifier() and any(place in names for names in _defined(path)):
            return f"{path.stem}:{place}"
    return None


def _defined(file: Path) -> tuple[list[str], list[str]]:
    """The modules (classes that say so) and the other functions and classes that a file defines, in their order."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, ValueError, SyntaxError):
        return [], []
    modules, others = [], []
    for node in body:
        if isinstance(node, ast.ClassDef) and any("Module" in ast.unparse(base) for base in node.bases):
            modules.append(node.name)
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            others.append(node.name)
    return modules, others

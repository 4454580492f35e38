"""Docstrings and signatures as Markdown for the generated pages.

The package's docstrings are plain prose with `code` in backticks, doctests, and now and then an indented block.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Collection, Iterator
from typing import Any

from tinygrad_cnn.autograd import Op

__all__ = ["cell", "described", "docstring", "first_sentence", "parameters", "signature"]

_CODE = re.compile(r"(`[^`]+`)", re.DOTALL)
_SPECIAL = re.compile(r"([\\*_\[\]<>|~#$])")
_FACT = re.compile(r"(?<=[.;:)])\n(?=[\w*][\w*, ()]{0,60}: )")  # "padding: zeros around the input", "Errors: ..."


def docstring(text: str | None, names: Collection[str] = ()) -> str:
    """A docstring as Markdown: prose stays prose (its `*` and `_` mean themselves), doctests become code.

    names: of the parameters; what is said of one (`name: ...`) begins with it in the type of code.
    """
    return "\n\n".join(_parts(inspect.cleandoc(text or ""), names))


def parameters(thing: Any) -> list[str]:
    """The names of what a function or a class takes."""
    try:
        return list(inspect.signature(thing.kernel if isinstance(thing, Op) else thing).parameters)
    except (TypeError, ValueError):  # a class made in C
        return []


def _parts(text: str, names: Collection[str]) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        part = paragraph.strip("\n")
        if part.lstrip().startswith(">>>"):
            yield f"```pycon\n{textwrap.dedent(part)}\n```"
        elif part.startswith("    "):
            text = textwrap.dedent(part)
            yield f"```{'python' if _is_python(text) else 'text'}\n{text}\n```"
        elif part:
            yield _prose(part, names)


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _prose(text: str, names: Collection[str] = ()) -> str:
    """Prose with its special characters escaped; each named fact that begins a line begins a paragraph."""
    text = _FACT.sub("\n\n", text)
    if names:  # at the beginning, or after a sentence or another name
        known = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
        text = re.sub(rf"(?:^|(?<=[.;,:]\s)|(?<=\n))({known})(?=:\s|, (?:{known})\b[^.]*?: )", r"`\1`", text)
    return "".join(part if part.startswith("`") else _SPECIAL.sub(r"\\\1", part) for part in _CODE.split(text))


def first_sentence(text: str | None) -> str:
    """What a docstring says first, as Markdown."""
    return _prose(inspect.cleandoc(text or "").partition("\n\n")[0].replace("\n", " "))


def cell(text: str) -> str:
    """Markdown that may stand in a table: a `|` in code would end the cell."""
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def signature(thing: Any) -> str:
    """The arguments as a call is written, with the annotations and defaults that they have in the source."""
    try:
        found = inspect.signature(thing.kernel if isinstance(thing, Op) else thing)
    except (TypeError, ValueError):  # a class made in C
        return "()"
    given = list(found.parameters.values())
    parts: list[str] = []
    kinds = [p.kind for p in given]
    for i, p in enumerate(given):
        if p.name in ("self", "cls") and i == 0:
            continue
        if p.kind is p.KEYWORD_ONLY and p.VAR_POSITIONAL not in kinds[:i] and p.KEYWORD_ONLY not in kinds[:i]:
            parts.append("*")
        star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        note = "" if p.annotation is p.empty else f": {_annotation(p.annotation)}"
        default = "" if p.default is p.empty else (" = " if note else "=") + _default(p.default)
        parts.append(f"{star}{p.name}{note}{default}")
        if p.kind is p.POSITIONAL_ONLY and p.POSITIONAL_ONLY not in kinds[i + 1 :]:
            parts.append("/")
    result = found.return_annotation
    silent = inspect.isclass(thing) or result in (found.empty, "Any", Any)  # what an op returns, its text says
    return f"({', '.join(parts)})" + ("" if silent else f" -> {_annotation(result)}")


def _annotation(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"ForwardRef\('([^']*)'\)", r"\1", text)
    text = re.sub(r"\b_(Int|Float|Bool)\b", lambda found: found[1].lower(), text)  # Tensor has methods of these names
    return re.sub(r"\b(?:np|numpy)\.(ndarray)\[Any, Any\]|\bhypothesis\.strategies\.(SearchStrategy)", r"\1\2", text)


def _default(value: Any) -> str:
    text = repr(value)
    return getattr(value, "__name__", "...") if text.startswith("<") else text


def described(kind: str, name: str, text: str, thing: Any = None, *options: str) -> str:
    """One entry of the reference: a directive of Sphinx's Python domain with signature and text."""
    head = f"{name}{signature(thing)}" if thing is not None else name
    fence = ":" * (4 + (6 if kind == "class" else 0))
    return "\n".join([f"{fence}{{py:{kind}}} {head}", *options, "", text, fence, ""])

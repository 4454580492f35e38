"""The formulas of the ops, from formulas.toml, as MathML: every browser draws it, and nothing is fetched."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

__all__ = ["Formulas", "formulas_of", "html"]

TABLE: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
LETTERS = TABLE.pop("letters")
NAME = re.compile(r"@([a-z]+(?:_[a-z]{2,})*\d?)")  # `@mask_i` is the element i of `mask`
FUNCTION = r"\\(?:log|(?:arc)?(?:sin|cos|tan)h?)(?![a-z])"
BEFORE, AFTER = re.compile(rf"(?<=[\w}})])\s*(?={FUNCTION})"), re.compile(rf"({FUNCTION})\s+")
BAR = re.compile(r'<mover><mrow>((?:(?!<mover>).)*?)</mrow><mo stretchy="true">&#x000AF;</mo></mover>')


@dataclass(frozen=True)
class Formulas:
    """What an op computes, the gradients of its arguments, and what the letters in them mean, as Markdown."""

    forward: str
    gradients: tuple[str, ...]
    legend: str


def formulas_of(family: str, name: str, parameters: Collection[str]) -> Formulas:
    """The formulas of one op with these parameters; LookupError if formulas.toml has none."""
    found = TABLE.get(family, {}).get(name)
    if not found:
        raise LookupError(f"{name} has no formula: docs/builder/formulas.toml expects one in [{family}]")
    letters = {key: text for key, text in LETTERS.items() if isinstance(text, str)} | LETTERS.get(family, {})
    used = [
        f"{html(key, 'inline')} {text}"
        for key, text in letters.items()
        if any(stands_in(key, tex) for tex in found) and (text[0] != "`" or text.strip("`") in parameters)
    ]
    legend = ", ".join(used).replace("</math> ", "</math> is ", 1)
    return Formulas(shown(found[0]), tuple(shown(tex) for tex in found[1:]), legend)


def stands_in(letter: str, tex: str) -> bool:
    """Whether a letter is one of a formula: as a word of its own, not in the name of an argument or in prose."""
    plain = re.sub(r"\\text\{[^}]*\}", " ", NAME.sub(" ", tex))
    return bool(re.search(rf"(?<![A-Za-z\\]){re.escape(letter)}(?![A-Za-z])", plain))


def shown(tex: str) -> str:
    """A formula and what it says beside it, in a line that breaks between the two where there is no room."""
    lines = "".join(f"<div>{html(part, 'block')}</div>" for part in re.split(r"[,;]\s+\\quad\s+", tex))
    return f'<div class="formula">{lines}</div>'


def spaced(tex: str) -> str:
    r"""TeX with the thin spaces around `\log` and its like that TeX itself puts there, and MathML does not."""
    return AFTER.sub(r"\1\\,", BEFORE.sub(r"\\, ", tex))


def html(tex: str, display: str) -> str:
    r"""TeX as MathML; `@name` is the argument of that name.

    The line of `\bar` is a border: an accent lies on the letter where the reader has no font for mathematics.
    """
    found = convert(NAME.sub(r"\\text{\1}", spaced(" ".join(tex.split()))), display=display)
    return BAR.sub(r'<mrow class="bar">\1</mrow>', found)

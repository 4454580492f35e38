"""What the site needs of Sphinx beyond its own: source code of the package on a page, and formulas as MathML."""

from __future__ import annotations

import importlib
import inspect
import textwrap
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from builder.blocks import ROOT
from builder.formulas import html


class Source(SphinxDirective):
    """```{source} tinygrad_cnn.autograd:Op.vjp``` shows that code as it is now, with its file and line above it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module, _, name = self.arguments[0].partition(":")
        thing: Any = importlib.import_module(module)
        for part in name.split("."):
            thing = getattr(thing, part)
        lines, first = inspect.getsourcelines(inspect.unwrap(thing))
        file = Path(inspect.getsourcefile(inspect.unwrap(thing)) or "").relative_to(ROOT)
        text = textwrap.dedent("".join(lines)).rstrip()
        caption = nodes.paragraph("", "", nodes.literal("", f"{file}:{first}"), classes=["source-place"])
        return [caption, nodes.literal_block(text, text, language="python")]


def inline_math(translator: Any, node: nodes.math) -> None:
    """A formula in a line."""
    translator.body.append(html(node.astext(), "inline"))
    raise nodes.SkipNode


def block_math(translator: Any, node: nodes.math_block) -> None:
    """A formula on a line of its own."""
    translator.body.append(f'<div class="math">{html(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("source", Source)
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

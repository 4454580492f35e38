"""The code of a page: which blocks it has, and running them in order, as a reader would.

Blocks of ```python share their names, blocks of ```sh run in bash, all in one folder. A block of ```output says what
the block before it printed, exactly (`...` stands for anything, as in doctest). Only a block with the comment
`<!-- not run: why -->` on the line above is left out. The tests run every page; the site's build runs those that make
files, and shows these.

`PYTHONPATH=. python docs/builder/blocks.py docs/page.md` runs a page and corrects the outputs that differ.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(
    r"^(?P<excuse><!-- not run: .+ -->\n)?```(?P<kind>python|sh|output)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One block of a page: python, sh or output; `line` is that of its first line of text, from 1."""

    kind: str
    text: str
    line: int
    runs: bool


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(m["kind"], m["text"], text[: m.start("text")].count("\n") + 1, not m["excuse"])
        for m in BLOCK.finditer(text)
    ]


def run_page(page: Path, folder: Path) -> None:
    """Run a page's blocks in `folder`; AssertionError if one prints something else than the page says."""
    for block, printed in outputs(page, folder):
        check(block, printed, page)


def outputs(page: Path, folder: Path) -> Iterator[tuple[Block, str]]:
    """Run a page's blocks in `folder`; each block of output, and what was really printed."""
    names: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    with contextlib.chdir(folder), importing_from(folder):
        for block in blocks(page):
            if block.kind == "output":
                yield block, printed
            elif block.runs:
                printed = run_python(block, page, names) if block.kind == "python" else run_shell(block, page)


@contextlib.contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Within it, modules in `folder` can be imported, as in a Python started there; then they are forgotten."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]


def run_python(block: Block, page: Path, names: dict[str, object]) -> str:
    """Run one block of Python among `names`; errors and graphs name the page and its line. Return what it printed."""
    code = compile("\n" * (block.line - 1) + block.text, page.name, "exec")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, names)
    return out.getvalue()


def run_shell(block: Block, page: Path) -> str:
    """Run one block in bash, with this Python's programs in front of all others. Return its standard output."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    packages = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        env={**os.environ, "PATH": path, "PYTHONPATH": packages},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{page.name}:{block.line} ends with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def agrees(block: Block, printed: str) -> bool:
    """Whether an output block shows what was printed."""
    return doctest.OutputChecker().check_output(block.text, printed, doctest.ELLIPSIS)


def correct(page: Path) -> None:
    """Run a page, and write what was really printed into the output blocks that show something else."""
    with tempfile.TemporaryDirectory() as folder:
        found = list(outputs(page, Path(folder)))
    text = page.read_text()
    for block, printed in found:
        if not agrees(block, printed):
            text = text.replace(f"```output\n{block.text}```", f"```output\n{printed}```", 1)
    page.write_text(text)


def check(block: Block, printed: str, page: Path) -> None:
    """Raise AssertionError unless the output block shows what was printed."""
    if not agrees(block, printed):
        options = doctest.ELLIPSIS | doctest.REPORT_NDIFF
        difference = doctest.OutputChecker().output_difference(doctest.Example("", block.text), printed, options)
        raise AssertionError(f"{page.name}:{block.line} shows another output than the real one\n{difference}")


@contextlib.contextmanager
def graphs_are_drawn(theme: str) -> Iterator[None]:
    """Within it, a graph that is saved without a word about its theme gets this one."""
    from tinygrad_cnn.graph.dot import drawing_of

    before = drawing_of.__kwdefaults__
    drawing_of.__kwdefaults__ = {**before, "theme": theme}
    try:
        yield
    finally:
        drawing_of.__kwdefaults__ = before


if __name__ == "__main__":
    for name in sys.argv[1:]:
        correct(Path(name).resolve())

"""Programs written for PyTorch, run here with nothing but their imports changed, leave the same numbers.

Each file of `programs/` begins with its imports; what follows is executed as it stands by both frameworks, in float64.
A program leaves `losses`, a list of numbers, and `results`, a dict of whatever else it found.
"""

from __future__ import annotations

import ast
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))


def ported(source: str) -> str:
    """The program with our imports in place of PyTorch's."""
    last = max(node.end_lineno for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom))
    lines = source.splitlines(keepends=True)
    imports, rest = "".join(lines[:last]), "".join(lines[last:])
    imports = re.sub(r"^import torch$", "import tinygrad_cnn as torch", imports, flags=re.MULTILINE)
    imports = re.sub(r"^(import|from) torch\b", r"\1 tinygrad_cnn", imports, flags=re.MULTILINE)
    assert "torch" not in re.sub(r"\bas torch$", "", imports, flags=re.MULTILINE)
    return imports + rest


def run(source: str, name: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(compile(source, name, "exec"), space)
    finally:
        space["torch"].set_default_dtype(space["torch"].float32)  # a program may have set another
    return space


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_leaves_the_same_numbers(path: Path) -> None:
    source = path.read_text()
    ours = run(ported(source), f"{path.stem}, ported")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = run(source, str(path))
    assert ours["torch"].__name__ == "tinygrad_cnn"
    assert theirs["losses"]
    np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=1e-7, atol=1e-9, err_msg="losses")
    assert_same(ours["results"], theirs["results"], "results")


def assert_same(ours: Any, theirs: Any, what: str) -> None:
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), what
        for key in theirs:
            assert_same(ours[key], theirs[key], f"{what}[{key!r}]")
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), what
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{what}[{i}]")
    elif isinstance(theirs, float | np.ndarray):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8, err_msg=what)
    else:
        assert ours == theirs, what

"""The examples as notebooks: jupytext reads the text, a kernel runs every cell, and pictures come out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = sorted(
    path for path in (Path(__file__).parents[2] / "examples").glob("*.py") if path.read_text().startswith("# %%")
)


def run(notebook: Any, folder: Path) -> None:
    """Run all cells in a kernel whose current folder this is, and which finds the package as we do."""
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # the notebook's own
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_kernel_runs_every_cell(path: Path, tmp_path: Path) -> None:
    notebook = jupytext.read(path)
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    run(notebook, tmp_path)
    shown = [
        kind
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        for kind in output.get("data", {})
    ]
    assert "image/svg+xml" in shown or path.stem == "adversarial", "no graph was shown"
    assert "image/png" in shown or path.stem == "first_model", "no picture was shown"
    wrong = [o.text for c in notebook.cells if c.cell_type == "code" for o in c.outputs if o.get("name") == "stderr"]
    assert not [text for text in wrong if "compiling the fast kernels" not in text], wrong


LIVE = """
from tinygrad_cnn import nn
from tinygrad_cnn.data import digits
from tinygrad_cnn.train import LivePlot, fit

train_set, test_set = digits()
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
fit(model, train_set, test_set, epochs=3, callbacks=[LivePlot(seconds=1000)])
None
"""


def test_a_live_plot_stands_once_below_its_cell(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LIVE)])
    run(notebook, tmp_path)
    pictures = [output for output in notebook.cells[0].outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 1  # five times in the same place

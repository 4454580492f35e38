"""The grading kit: full marks for the solution, none for the stubs, and it survives whatever a file does."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.testing.grade import EXERCISES, main, marked

KIT = Path(__file__).parent.parent / "examples" / "grading"


def marks_of(tmp_path: Path, code: str, seconds: float = 60.0) -> dict[str, str]:
    """The faults by property that `relu` gets with this code."""
    file = tmp_path / "student.py"
    file.write_text("import numpy as np\n" + textwrap.dedent(code))
    return {mark.prop: mark.fault for mark in marked(file, "relu", seconds)}


def test_the_solution_gets_full_marks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(KIT / "solution.py")]) == 0
    text = capsys.readouterr().out
    done, _, every = text.splitlines()[-1].partition(" of ")
    assert every == f"{done} marks"
    for name in EXERCISES:
        assert f"{name}: " in text


def test_the_stubs_get_no_marks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(KIT / "exercises.py"), "--only", "conv2d"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("conv2d: 0 of ")
    assert "NotImplementedError" in text


def test_a_fault_costs_marks_and_is_shown_small(tmp_path: Path) -> None:
    faults = marks_of(tmp_path, "def relu(x): return np.maximum(x, 0)\ndef relu_grad(g, x): return 1.01 * g * (x > 0)")
    assert not faults["forward"]
    assert not faults["linear"]
    assert "analytic 1.01, numeric 1 in" in faults["slopes"]
    assert "smallest case: relu(array(0.125))" in faults["slopes"]


GOOD = "def relu(x): return np.maximum(x, 0)"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def relu(x): raise KeyError('no')\ndef relu_grad(g, x): return g", "KeyError: 'no'"),
        ("def relu(x): return 'nonsense'\ndef relu_grad(g, x): return g", "relu returned str, expected a NumPy array"),
        (f"{GOOD}\ndef relu_grad(g, x): return None", "relu_grad returned NoneType, expected a NumPy array of floats"),
        (f"{GOOD}\ndef relu_grad(g, x): return g[..., :1]", "shape"),
        (f"{GOOD}\ndef relu_grad(g, x): g *= x > 0; return g", "changed"),
        (f"{GOOD}\ndef relu_grad(g, x): raise SystemExit(3)", "SystemExit: 3"),
        (GOOD, "the file defines no function relu_grad"),
        ("relu = relu_grad = 3", "the file defines no function relu"),
        ("this is no Python", "the file cannot be run: SyntaxError"),
        ("import os; os._exit(7)", "the process ended with code 7"),
        ("raise RuntimeError('at once')", "the file cannot be run: RuntimeError: at once"),
    ],
)
def test_whatever_a_file_does_costs_marks_and_nothing_else(tmp_path: Path, code: str, said: str) -> None:
    faults = marks_of(tmp_path, code)
    assert len(faults) > 8
    assert any(said in fault for fault in faults.values()), faults


def test_a_loop_without_end_is_ended_with_all_its_processes(tmp_path: Path) -> None:
    child = tmp_path / "child"
    code = f"""
        import subprocess, sys, pathlib
        {GOOD}
        def relu_grad(g, x):
            process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            pathlib.Path({str(child)!r}).write_text(str(process.pid))
            while True:
                pass
    """
    faults = marks_of(tmp_path, code, seconds=8.0)
    assert not faults["forward"], "what came before the loop keeps its mark"
    assert faults["slopes"] == "took longer than 8 s"
    if os.name == "posix" and Path("/proc").is_dir():
        state = Path(f"/proc/{child.read_text()}/stat")
        for _ in range(100):  # a process that is killed takes a moment to be gone
            if not state.exists() or " Z " in state.read_text():
                return
            time.sleep(0.1)
        pytest.fail("the child of the exercise still runs")


def test_a_missing_file_is_a_wrong_call() -> None:
    root = str(Path(tg.__file__).parent.parent)
    command = [sys.executable, "-m", "tinygrad_cnn.testing.grade", "no_such_file.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": root})
    assert done.returncode == 2
    assert "no_such_file.py is no file" in done.stderr
    assert "Traceback" not in done.stderr

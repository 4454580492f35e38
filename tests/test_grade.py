"""The grading kit: full marks for the solution, none for the stubs, and it survives whatever a file does."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.testing import confine
from tinygrad_cnn.testing.confine import PROCESSES
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
        (f"{GOOD}\ndef relu_grad(g, x): g *= x > 0; return g", "read-only"),
        (f"{GOOD}\ndef relu_grad(g, x): raise SystemExit(3)", "SystemExit: 3"),
        (GOOD, "the file defines no function relu_grad"),
        ("relu = relu_grad = 3", "the file defines no function relu"),
        ("this is no Python", "the file cannot be run: SyntaxError"),
        ("import os; os._exit(7)", "the process ended with code 7"),
        ("import os; os.abort()", "the process ended with code 134 (SIGABRT)"),
        # Its parent is not the process that marks.
        ("import os, time; os.kill(os.getppid(), 9); time.sleep(50)", "the process ended with code -9 (SIGKILL)"),
        (f"{GOOD}\ndef relu_grad(g, x): return g * np.nan", "is not finite: nan"),
        (f"{GOOD}\ndef relu_grad(g, x): raise ValueError('\\ud800')", "ValueError: \\ud800"),
        ("raise RuntimeError('at once')", "the file cannot be run: RuntimeError: at once"),
    ],
)
def test_whatever_a_file_does_costs_marks_and_nothing_else(tmp_path: Path, code: str, said: str) -> None:
    faults = marks_of(tmp_path, code)
    assert len(faults) > 8
    assert any(said in fault for fault in faults.values()), faults


def gone(pids: Path) -> bool:
    """Whether the processes whose numbers the file holds have ended; a process that is killed takes a moment."""
    states = [Path(f"/proc/{pid}/stat") for pid in pids.read_text().split()]
    assert states
    for _ in range(100):
        with contextlib.suppress(OSError):  # gone between the question and the answer
            if not any(state.exists() and " Z " not in state.read_text() for state in states):
                return True
        time.sleep(0.1)
    return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the platform does not list processes")


def test_a_machine_that_stands_still_does_not_use_up_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = itertools.chain(
        [0.0, 0.0], itertools.repeat(1000.0)
    )  # asleep, or paused from outside, after the second look
    real = time.monotonic
    monkeypatch.setattr(confine.time, "monotonic", lambda: real() + next(jumps))
    command = [sys.executable, "-c", "import time; time.sleep(1)"]
    assert confine.run_confined(command, 50.0, os.environ) == "the process ended with code 0"


@needs_proc
def test_a_loop_without_end_is_ended_with_all_its_processes(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
        import subprocess, sys, pathlib
        {GOOD}
        def relu_grad(g, x):
            process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            pathlib.Path({str(pids)!r}).write_text(str(process.pid))
            while True:
                pass
    """
    faults = marks_of(tmp_path, code, seconds=8.0)
    assert not faults["forward"], "what came before the loop keeps its mark"
    assert faults["slopes"] == "took longer than 8 s"
    assert gone(pids), "the child of the exercise still runs"


FORKS = """
    import os, time
    def sleeper():  # ends by itself, whatever becomes of the test
        pid = os.fork()
        if pid == 0:
            {first}
            time.sleep(60)
            os._exit(0)
        with open({file!r}, "a") as known:  # at once: the next may be one too many
            known.write(f"{{pid}} ")
    for _ in range({count}):
        sleeper()
    {then}
    def relu(x): return np.maximum(x, 0)
    def relu_grad(g, x): return g * (x > 0)
"""


@needs_proc
@pytest.mark.parametrize(
    "first", ["pass", "os.setpgid(0, 0)", "os.setsid()"], ids=["in the group", "in groups", "gone"]
)
def test_what_a_file_forks_does_not_outlive_it(tmp_path: Path, first: str) -> None:
    pids = tmp_path / "pids"
    faults = marks_of(tmp_path, FORKS.format(count=5, file=str(pids), first=first, then="pass"))
    assert not any(faults.values()), "five children are allowed, and all marks are there"
    assert len(pids.read_text().split()) == 5
    assert gone(pids), "a child of the exercise still runs"


def test_threads_that_go_on_do_not_hold_up_the_marks(tmp_path: Path) -> None:
    code = f"""
        import threading, time
        {GOOD}
        def relu_grad(g, x): return g * (x > 0)
        threading.Thread(target=time.sleep, args=(50,)).start()
    """
    started = time.monotonic()
    assert not any(marks_of(tmp_path, code).values())
    assert time.monotonic() - started < 40


@pytest.mark.parametrize("spoilt", ["write_text('garbage')", "write_bytes(b'\\xff')", "unlink()"])
def test_spoilt_notes_are_no_marks(tmp_path: Path, spoilt: str) -> None:
    code = f"import os, pathlib, sys; pathlib.Path(sys.orig_argv[-1]).{spoilt}; os._exit(0)"
    assert set(marks_of(tmp_path, code).values()) == {"the process ended with code 0"}


@needs_proc
def test_too_many_processes_are_ended(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    started = time.monotonic()
    code = FORKS.format(count=PROCESSES, file=str(pids), first="pass", then="time.sleep(50)")
    faults = marks_of(tmp_path, code, seconds=45.0)
    assert set(faults.values()) == {f"started more than {PROCESSES} processes"}
    assert time.monotonic() - started < 40
    assert gone(pids), "a child of the exercise still runs"


@needs_proc
def test_a_file_that_is_run_twice_by_a_fork_is_marked_once(tmp_path: Path) -> None:
    file = tmp_path / "student.py"
    file.write_text("import os\nos.fork()\nimport numpy as np\n" + f"{GOOD}\ndef relu_grad(g, x): return g * (x > 0)\n")
    found = marked(file, "relu", 60.0)
    assert not any(mark.fault for mark in found)
    assert len({mark.prop for mark in found}) == len(found)


@needs_proc
def test_memory_is_limited(tmp_path: Path) -> None:
    code = f"{GOOD}\nnp.empty(5 << 30, np.uint8)\ndef relu_grad(g, x): return g * (x > 0)"  # mapped, never touched
    assert all("the file cannot be run" in fault and "allocate" in fault for fault in marks_of(tmp_path, code).values())


def command_in(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What the command says of `student.py` when it is called in the student's folder."""
    root = str(Path(tg.__file__).parent.parent)
    command = [sys.executable, *options, "-m", "tinygrad_cnn.testing.grade", "student.py", "--only", "relu"]
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=120
    )


def test_modules_in_the_students_folder_are_not_taken_for_pythons(tmp_path: Path) -> None:
    (tmp_path / "student.py").write_text(f"import numpy as np\n{GOOD}\ndef relu_grad(g, x): return g * (x > 0)")
    for name in ("signal", "json", "runpy", "numpy", "tempfile"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('taken from the wrong place')")
    done = command_in(tmp_path, "-P")
    assert done.returncode == 0, done.stderr
    assert "relu: " in done.stdout


def test_a_module_that_was_taken_from_the_students_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "student.py").write_text("")
    (tmp_path / "tempfile.py").write_text(
        "from _pyio import *\nTemporaryDirectory = mkdtemp = mkstemp = NamedTemporaryFile = None"
    )
    done = command_in(tmp_path)
    assert done.returncode == 2, done.stderr
    assert "holds its own tempfile, and was looked in first: call python with -P" in done.stderr


def test_a_missing_file_is_a_wrong_call() -> None:
    root = str(Path(tg.__file__).parent.parent)
    command = [sys.executable, "-m", "tinygrad_cnn.testing.grade", "no_such_file.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": root})
    assert done.returncode == 2
    assert "no_such_file.py is no file" in done.stderr
    assert "Traceback" not in done.stderr

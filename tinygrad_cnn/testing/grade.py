"""Mark a student's file of forward and backward functions: `python -P -m tinygrad_cnn.testing.grade FILE`.

The file defines, with NumPy alone, pairs like `relu(x)` and `relu_grad(g, x)`; `examples/grading/exercises.py` has the
stubs. Each pair is made an op and held to the properties of the battery, one mark a property, and what fails is shown
with the smallest case that was found. An exercise runs in a process of its own with limits of time, memory and
processes, and whatever it has started is ended with it; so a file that raises, loops for ever, forks or ends the
process costs marks and nothing else. No module is imported from the student's folder (-P: also if you are in it), so
a `json.py` there does not take the place of Python's. That is no sandbox: mark only files that you would run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from hypothesis import strategies as st

import tinygrad_cnn
from tinygrad_cnn.autograd import Array, Op, op
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.battery import Check, checks
from tinygrad_cnn.testing.confine import limit_resources, run_confined
from tinygrad_cnn.testing.sample import Sample
from tinygrad_cnn.testing.samples.conv import convolve, largest, pooled
from tinygrad_cnn.testing.samples.loss import labelled
from tinygrad_cnn.testing.spec import OpSpec

__all__ = ["EXERCISES", "main"]

Functions = Mapping[str, Any]


# ---- the exercises -----------------------------------------------------------------------------------------


def _array(name: str, result: Any) -> Any:
    if not isinstance(result, (np.ndarray, np.floating)) or result.dtype.kind != "f":  # 0-d arithmetic makes numbers
        got = f"an array of {result.dtype}" if isinstance(result, np.ndarray) else type(result).__name__
        raise TypeError(f"{name} returned {got}, expected a NumPy array of floats")
    return np.asarray(result)


def _one_of(name: str, result: Any, place: int, count: int) -> Any:
    if not isinstance(result, (tuple, list)) or len(result) != count:
        raise TypeError(f"{name} returned {type(result).__name__}, expected a tuple of {count} arrays")
    return _array(name, result[place])


def _relu(student: Functions) -> OpSpec:
    @op
    def relu(x: Array) -> Any:
        return _array("relu", student["relu"](x))

    relu.vjp("x")(lambda g, x: _array("relu_grad", student["relu_grad"](g, x)))
    kinks = ts.arrays(values="ties")
    return _spec(relu, ts.arrays(), alone=True, reference=lambda x: np.maximum(x, 0), kinks=kinks, batched=("x",))


def _linear(student: Functions) -> OpSpec:
    @op
    def linear(x: Array, weight: Array, bias: Array) -> Any:
        return _array("linear", student["linear"](x, weight, bias))

    def rule(place: int) -> Callable[..., Any]:
        return lambda g, x, weight, bias: _one_of("linear_grad", student["linear_grad"](g, x, weight, bias), place, 3)

    _with_rules(linear, rule)
    return _spec(
        linear,
        _layers(),
        reference=lambda x, weight, bias: x @ weight.T + bias,
        linear_in=linear.arguments,
        batched=("x",),
    )


def _conv2d(student: Functions) -> OpSpec:
    @op
    def conv2d(x: Array, weight: Array, stride: int = 1, padding: int = 0) -> Any:
        return _array("conv2d", student["conv2d"](x, weight, stride, padding))

    def rule(place: int) -> Callable[..., Any]:
        return lambda g, x, weight, stride, padding: _one_of(
            "conv2d_grad", student["conv2d_grad"](g, x, weight, stride, padding), place, 2
        )

    def reference(x: Any, weight: Any, stride: int, padding: int) -> Any:
        return convolve(x, weight, None, (stride,) * 2, (padding,) * 2, (1, 1), 1)

    _with_rules(conv2d, rule)
    return _spec(conv2d, _images(), reference=reference, linear_in=conv2d.arguments, batched=("x",))


def _max_pool2d(student: Functions) -> OpSpec:
    @op
    def max_pool2d(x: Array, size: int) -> Any:
        return _array("max_pool2d", student["max_pool2d"](x, size))

    max_pool2d.vjp("x")(lambda g, x, size: _array("max_pool2d_grad", student["max_pool2d_grad"](g, x, size)))
    reference = pooled(largest)
    return _spec(
        max_pool2d,
        _tiles("separated"),
        alone=True,
        reference=lambda x, size: reference(x, (size, size), (size, size), (0, 0)),
        kinks=_tiles("ties"),
        batched=("x",),
    )


def _softmax_cross_entropy(student: Functions) -> OpSpec:
    @op
    def softmax_cross_entropy(logits: Array, target: Array) -> Any:
        return _array("softmax_cross_entropy", student["softmax_cross_entropy"](logits, target))

    def rule(g: Any, logits: Any, target: Any) -> Any:
        return _array("softmax_cross_entropy_grad", student["softmax_cross_entropy_grad"](g, logits, target))

    def reference(logits: Any, target: Any) -> Any:
        shifted = logits - logits.max(axis=1, keepdims=True)
        return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(target)), target]

    softmax_cross_entropy.vjp("logits")(rule)
    # exp of a large logit is inf: the usual way round it is part of the exercise.
    large = [
        Sample((np.array([[1000.0, 0.0, -1000.0], [900.0, 800.0, 900.0]]), np.array([label, 0]))) for label in range(3)
    ]
    return _spec(
        softmax_cross_entropy, labelled(), reference=reference, batched=("logits", "target"), edges=large, alone=True
    )


def _with_rules(made: Op[Any], rule: Callable[[int], Callable[..., Any]]) -> None:
    for place, argument in enumerate(made.arguments):
        made.vjp(argument)(rule(place))


def _spec(made: Op[Any], inputs: Any, alone: bool = False, **facts: Any) -> OpSpec:
    """A spec without second derivatives, since the functions work on arrays. alone: there is just one gradient."""
    without = ("float32", "stateful", "repeat", *(["shared"] if alone else []))
    return OpSpec(made, inputs=inputs, order=1, scales=(), without=without, **facts)


@st.composite
def _layers(draw: st.DrawFn) -> Sample:
    n, inputs, outputs = (draw(st.integers(1, 4)) for _ in range(3))
    return Sample(tuple(draw(ts.arrays(shape)) for shape in ((n, inputs), (outputs, inputs), (outputs,))))


@st.composite
def _images(draw: st.DrawFn) -> Sample:
    n, inputs, outputs, kernel, stride = (draw(st.integers(1, k)) for k in (3, 2, 2, 3, 2))
    padding = draw(st.integers(0, 1))
    size = [max(kernel - 2 * padding, 1) + draw(st.integers(0, 3)) for _ in range(2)]
    x, weight = draw(ts.arrays((n, inputs, *size))), draw(ts.arrays((outputs, inputs, kernel, kernel)))
    return Sample((x, weight), {"stride": stride, "padding": padding})


@st.composite
def _tiles(draw: st.DrawFn, values: ts.Values) -> Sample:
    size = draw(st.integers(1, 3))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 2)), *(size * draw(st.integers(1, 3)) for _ in range(2)))
    return Sample((draw(ts.arrays(shape, values=values)),), {"size": size})


EXERCISES: dict[str, Callable[[Functions], OpSpec]] = {
    "relu": _relu,
    "linear": _linear,
    "conv2d": _conv2d,
    "max_pool2d": _max_pool2d,
    "softmax_cross_entropy": _softmax_cross_entropy,
}


# ---- marking -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """What became of one property of one exercise; `fault` is empty where it holds."""

    prop: str
    fault: str


def marked(file: Path, name: str, seconds: float) -> list[Mark]:
    """Mark one exercise of a file, in a process of its own."""
    spec = EXERCISES[name]({})
    asked = [check.prop.name for check in checks(spec)]
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "marks"
        notes.touch()
        command = [sys.executable, "-P", "-m", __spec__.name, str(file), "--only", name, "--notes", str(notes)]
        path = os.pathsep.join(_path_without(file.resolve().parent))
        ending = run_confined(command, seconds, {**os.environ, "PYTHONPATH": path})
        marks = _read(notes)
    return [Mark(prop, marks.get(prop, ending)) for prop in asked]


def _read(notes: Path) -> dict[str, str]:
    """What is noted: the fault of each property. The student's file may have spoilt the notes."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in notes.read_text().splitlines():
            prop, fault = json.loads(line)
            found[str(prop)] = str(fault).encode(errors="backslashreplace").decode()  # a lone surrogate has no bytes
    return found


def _path_without(folder: Path) -> list[str]:
    """Where modules are looked for, without the student's folder; if the package lies in it, at the very end."""
    places = [str(place) for entry in sys.path if (place := Path(entry).resolve()) != folder]
    own = str(Path(tinygrad_cnn.__file__).resolve().parent.parent)
    return places if own in places else [*places, own]


def _shadowing(folder: Path) -> list[str]:
    """The modules of Python, or that the marking needs, which were taken from the student's folder."""
    needed = sys.stdlib_module_names | {"hypothesis", "numpy", "scipy"}
    files = {name: Path(getattr(sys.modules[name], "__file__", None) or "") for name in needed & set(sys.modules)}
    return sorted(name for name, file in files.items() if file.resolve().parents[file.stem == "__init__"] == folder)


def _mark_here(file: Path, name: str, notes: Path) -> NoReturn:
    """In the process of one exercise: write down each mark as soon as it is known. It ends the process."""
    limit_resources()
    own, sys.argv = os.getpid(), [str(file)]
    try:
        student = runpy.run_path(str(file))
        wanted = (name, f"{name}_grad")
        missing = [function for function in wanted if not callable(student.get(function))]
        error = f"the file defines no function {missing[0]}" if missing else ""
    except BaseException as raised:
        student, error = {}, f"the file cannot be run: {type(raised).__name__}: {raised}"
    for check in checks(EXERCISES[name](student)):
        mark = check.prop.name, error or _fault(check)
        if os.getpid() != own:  # the file forked, and both came back: one of them marks
            os._exit(0)
        with notes.open("a") as stream:
            stream.write(json.dumps(mark) + "\n")
    os._exit(0)  # whatever threads the file has started, and whatever it has asked to be done at the end


def _fault(check: Check) -> str:
    try:
        check.run(seed=0)  # the same file gets the same marks
    except AssertionError as error:
        text = str(error).partition("\n  ")[2].partition("\n  reproduce:")[0]  # the class has no registered op to run
        return text or str(error)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return ""


def report(marks: Mapping[str, list[Mark]]) -> str:
    """The marks of all exercises, and under each what does not hold."""
    lines = []
    for name, found in marks.items():
        good = sum(not mark.fault for mark in found)
        lines.append(f"{name}: {good} of {len(found)}")
        faults: dict[str, list[str]] = {}
        for mark in found:
            if mark.fault:
                faults.setdefault(mark.fault, []).append(mark.prop)
        for fault, props in faults.items():
            lines.append(f"  {', '.join(props)}:")
            lines += [f"    {line.strip()}" for line in fault.splitlines()]
    every = [mark for found in marks.values() for mark in found]
    lines += ["", f"{sum(not mark.fault for mark in every)} of {len(every)} marks"]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """0 for full marks, 1 for fewer, 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="python -P -m tinygrad_cnn.testing.grade", description="Mark a student's file."
    )
    parser.add_argument("file", type=Path, help="the student's file")
    parser.add_argument("--only", choices=EXERCISES, help="mark just this exercise")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="the time that each exercise may take (default: 60)"
    )
    parser.add_argument("--notes", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if not given.file.is_file():
        parser.error(f"{given.file} is no file")
    folder = given.file.resolve().parent
    if shadowing := _shadowing(folder):
        parser.error(f"{folder} holds its own {', '.join(shadowing)}, and was looked in first: call python with -P")
    if given.notes is not None:
        _mark_here(given.file, given.only, given.notes)
    names = [given.only] if given.only else list(EXERCISES)
    marks = {name: marked(given.file, name, given.seconds) for name in names}
    sys.stdout.write(report(marks))
    return 1 if any(mark.fault for found in marks.values() for mark in found) else 0


if __name__ == "__main__":
    raise SystemExit(main())

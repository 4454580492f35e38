"""The user's line: the innermost line of code, outside the engine, that led to an op.

Taking it costs a few frame look-ups, so it is always on; only a code object and an instruction offset are kept.
The line number and the text are worked out when somebody wants to read them.
"""

from __future__ import annotations

import os
import sys
from types import CodeType

_PACKAGE = os.path.dirname(__file__) + os.sep
# The rooms whose frames are passed over, and with testing's those of Hypothesis, which calls it back. Models and loops
# that stand in other rooms count as a user's code.
_FILES = (
    "recording.py", "autograd.py", "function.py", "modes.py", "tensor.py", "creation.py", "func.py", "linalg.py",
    "numpy_api.py", "per_sample.py",
)  # fmt: skip
_ENGINE = (*_FILES, *(room + os.sep for room in ("ops", "nn", "graph", "testing")))


class _PassedOver(dict[str, bool]):
    """Of each file, whether it is the engine's or of Hypothesis."""

    def __missing__(self, name: str) -> bool:
        if name.startswith(_PACKAGE):
            passed = name[len(_PACKAGE) :].startswith(_ENGINE)
        else:
            caller = getattr(sys.modules.get("hypothesis"), "__file__", None)
            passed = caller is not None and name.startswith(os.path.dirname(caller) + os.sep)
        self[name] = passed
        return passed


_passed_over = _PassedOver()


def user_line(known: int = 2) -> tuple[CodeType, int]:
    """The code object and the instruction offset of the innermost frame outside the engine.

    So many frames, this one included, are known to be the engine's.
    """
    frame = sys._getframe(known)
    while _passed_over[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def line_number(code: CodeType, instruction: int) -> int:
    """The line of the source file at which the instruction at an offset stands."""
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return line
    return code.co_firstlineno


def describe(code: CodeType, instruction: int, path: str = "") -> str:
    """`model.py:31`, and `, in block1.conv2` where a module path is known."""
    name = code.co_filename
    here = os.getcwd() + os.sep
    where = f"{name.removeprefix(here)}:{line_number(code, instruction)}"
    return f"{where}, in {path}" if path else where

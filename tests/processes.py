"""Code in a process of its own, for what can happen only once in a process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap


def in_a_new_process(code: str, **environment: str) -> str:
    """What it prints; a failure if it ends with an error."""
    result = subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr

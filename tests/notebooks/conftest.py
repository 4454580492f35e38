"""Running notebooks needs Jupyter's kernel and two packages; without them nothing is collected here."""

from __future__ import annotations

import importlib.util

_NEEDED = ("ipykernel", "jupytext", "nbclient")
collect_ignore = [] if all(map(importlib.util.find_spec, _NEEDED)) else ["test_notebooks.py"]

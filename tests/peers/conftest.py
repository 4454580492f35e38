"""The programs are run by test_programs.py, not collected."""

from __future__ import annotations

collect_ignore = ["programs"]

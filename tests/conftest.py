"""What all tests share: fixed seeds, Hypothesis profiles, headless pictures, and PyTorch only where it is installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator

import hypothesis
import pytest

import tinygrad_cnn as tg

os.environ.setdefault("MPLBACKEND", "agg")

hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("deep", deadline=None, print_blob=True, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

HAS_TORCH = importlib.util.find_spec("torch") is not None
collect_ignore = [] if HAS_TORCH else ["peers"]


def pytest_report_header() -> list[str]:
    browser = shutil.which("chromium") and shutil.which("chromedriver") and importlib.util.find_spec("selenium")
    return [
        "PyTorch: found, tests/peers run" if HAS_TORCH else "PyTorch: not installed, tests/peers are left out",
        "Chromium: found, tests/browser run" if browser else "Chromium: not found, tests/browser are left out",
    ]


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    """Each test begins with the same random stream and with recording on."""
    tg.manual_seed(0)
    yield
    assert tg.is_grad_enabled(), "a test left recording switched off"

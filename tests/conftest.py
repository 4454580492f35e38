"""What all tests share: fixed seeds, Hypothesis profiles, headless pictures, and PyTorch only where it is installed."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest

import tinygrad_cnn as tg

os.environ.setdefault("MPLBACKEND", "agg")

# default: for people, other examples each time; ci: the same examples each time, so that a change alone can break it;
# deep: many more, for the night.
_profile = functools.partial(hypothesis.settings.register_profile, deadline=None, print_blob=True)
_profile("default", derandomize=False)
_profile("ci", derandomize=True, database=None)
_profile("deep", derandomize=False, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))

HAS_TORCH = importlib.util.find_spec("torch") is not None
collect_ignore = [] if HAS_TORCH else ["peers"]


def pytest_report_header() -> list[str]:
    browser = shutil.which("chromium") and shutil.which("chromedriver") and importlib.util.find_spec("selenium")
    return [
        "PyTorch: found, tests/peers run" if HAS_TORCH else "PyTorch: not installed, tests/peers are left out",
        "Chromium: found, tests/browser run" if browser else "Chromium: not found, tests/browser are left out",
    ]


@pytest.fixture(scope="module")
def as_in_an_op() -> Iterator[None]:
    """Ops run kernels where NumPy warns of nothing."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(autouse=True)
def _modules_of_the_test_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test imports from a temporary folder is forgotten after it: another test's file may have that name too."""
    before, folder = set(sys.modules), str(tmp_path_factory.getbasetemp())
    yield
    for name in set(sys.modules) - before:
        if (getattr(sys.modules.get(name), "__file__", None) or "").startswith(folder):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    """Each test begins with the same random stream and with recording on."""
    tg.manual_seed(0)
    yield
    assert tg.is_grad_enabled(), "a test left recording switched off"

"""A headless Chromium for the tests here. Without one they are not collected, and naming them fails (exit 5)."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--window-size=1440,1000",
)  # fmt: skip

collect_ignore = (
    [] if CHROMIUM and DRIVER and importlib.util.find_spec("selenium") else ["test_explore.py", "test_site.py"]
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures of the pages are kept: the folder that EXPLORER_SCREENSHOTS names, else a temporary one."""
    folder = os.environ.get("EXPLORER_SCREENSHOTS")
    path = Path(folder) if folder else tmp_path_factory.mktemp("screenshots")
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def look(browser: Any, tmp_path: Path) -> Callable[..., Any]:
    """`look(graph, **options)` writes the explorer's page, opens it, and gives the browser."""

    def open_page(graph: Any, theme: str = "light", **options: Any) -> Any:
        path = tmp_path / "page.html"
        graph.explore(path, **options)
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        for log in ("browser", "performance"):
            browser.get_log(log)  # what earlier pages said
        browser.get(path.as_uri())
        return browser

    return open_page

"""The documentation site as a reader without a network sees it: opened from its files, searched, in light and dark."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
BUILT = ROOT / "build" / "docs" / "html"


@pytest.fixture(scope="module")
def site() -> Path:
    """The built site; it is built here unless it is newer than everything that it is made of."""
    made_of = [
        p for room in ("docs", "tinygrad_cnn") for p in (ROOT / room).rglob("*") if p.suffix in (".py", ".md", ".css")
    ]
    index = BUILT / "index.html"
    if not index.exists() or index.stat().st_mtime < max(p.stat().st_mtime for p in made_of):
        subprocess.run([sys.executable, str(ROOT / "docs" / "build.py")], check=True, cwd=ROOT)
    return BUILT


def open_page(browser: Any, page: Path, query: str = "", theme: str = "light") -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    for log in ("browser", "performance"):
        browser.get_log(log)  # what earlier pages said
    browser.get(page.as_uri() + query)


def remote(browser: Any) -> list[str]:
    """What the page asked of others than its own files."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert asked
    return [address for address in asked if not address.startswith(("file:", "data:"))]


def results(browser: Any, site: Path, words: str) -> list[Any]:
    """What the search finds: links, in their order."""
    open_page(browser, site / "search.html", f"?q={words}")
    end = time.monotonic() + 20
    while time.monotonic() < end:
        links = browser.find_elements("css selector", "#search-results li a")
        if links and "finished" in browser.find_element("id", "search-results").text:
            return links
        time.sleep(0.1)
    raise AssertionError(f"the search for {words!r} has not ended: {browser.find_element('id', 'search-results').text}")


def test_search_works_offline(browser: Any, site: Path) -> None:
    links = results(browser, site, "conv2d")
    assert any(link.text == "tinygrad_cnn.conv2d" for link in links[:3]), [link.text for link in links]
    assert remote(browser) == []
    next(link for link in links if link.text == "tinygrad_cnn.conv2d").click()
    assert browser.current_url.endswith("ops/conv.html#tinygrad_cnn.conv2d")
    assert "Slide the filters" in browser.find_element("id", "tinygrad_cnn.conv2d").find_element("xpath", "..").text


def test_search_finds_prose(browser: Any, site: Path) -> None:
    titles = [link.text for link in results(browser, site, "explorer")]
    assert "Draw graphs" in titles


@pytest.fixture
def screen(browser: Any) -> Iterator[Callable[[int], None]]:
    """Give the browser a screen of a width in CSS pixels, for one test."""
    size = {"height": 900, "deviceScaleFactor": 1}
    yield lambda width: browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {**size, "width": width, "mobile": width < 600}
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_each_page_shows_its_pictures_and_asks_nobody(
    browser: Any, site: Path, screen: Callable[[int], None], theme: str, width: int
) -> None:
    screen(width)
    for page in sorted(site.rglob("*.html")):
        if "made" in page.parts:
            continue
        open_page(browser, page, theme=theme)
        script = """
            const images = [...document.querySelectorAll("img")];
            images.forEach((i) => (i.loading = "eager"));
            const done = () => images.filter((i) => i.offsetParent !== null);
            Promise.all(done().map((i) => i.decode().then(() => "", () => i.src))).then((found) =>
              arguments[0]([done().length, found.filter(Boolean), document.documentElement.scrollWidth - innerWidth,
                done().filter((i) => i.src.endsWith(".svg") && i.width < 0.49 * i.naturalWidth).map((i) => i.src)]));
        """
        shown, broken, overhang, tiny = browser.execute_async_script(script)
        assert broken == [], page.name
        assert tiny == [], page.name  # half of its size is kept, and wide ones are scrolled
        assert overhang <= 0, f"{page.name} is {overhang} pixels too wide"
        if page.name in ("index.html", "how-it-works.html", "draw-graphs.html") and page.parent == site:
            assert shown >= 1
            ending = browser.execute_script("return [...document.images].filter(i => i.offsetParent)[0].src")
            assert ending.endswith("-dark.svg") == (theme == "dark"), ending
        assert remote(browser) == [], page.name
        errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert errors == [], page.name

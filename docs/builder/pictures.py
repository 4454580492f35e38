"""Pictures of the pages: drawn in a light and in a dark form, of which the reader's browser shows one."""

from __future__ import annotations

import html
import re
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tinygrad_cnn.graph import Graph

__all__ = ["Pictures", "figure", "width_of"]

SMALLEST = 0.5  # of its own size, at which the text of a graph can still be read


class Pictures:
    """The pictures of one generated page; they are drawn by `pool`, side by side with the writing."""

    def __init__(self, root: Path, page: str, pool: ThreadPoolExecutor) -> None:
        self.folder = root / page
        self.address = "../" * page.count("/") + f"made/{page}"
        self.pool = pool
        self.jobs: list[Future[None]] = []
        self.folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, graph: Graph) -> str:
        """Have a graph drawn in both forms; return what stands for it in the text until `shown_in`."""
        style: dict[str, Any] = {"direction": "LR", "legend": False, "fold": "none", "backward": True}
        for suffix, theme in (("", "light"), ("-dark", "dark")):
            path = self.folder / f"{name}{suffix}.svg"
            self.jobs.append(self.pool.submit(graph.save, path, theme=theme, **style))
        return f"<!-- picture {name} -->"

    def shown_in(self, text: str) -> str:
        """The text with its pictures, once all are drawn."""
        for job in self.jobs:
            job.result()

        def show(match: re.Match[str]) -> str:
            light, dark = (f"{self.address}/{match[1]}{suffix}.svg" for suffix in ("", "-dark"))
            return figure(light, dark, f"The graph of {match[1]}", width_of(self.folder / f"{match[1]}.svg"))

        return re.sub(r"<!-- picture (\w+) -->", show, text)


def figure(light: str, dark: str | None, words: str, width: float = 0) -> str:
    """The HTML of a picture that opens in full size when it is clicked.

    width: of the picture, in CSS pixels. A wide one is scrolled rather than made so small that nobody can read it.
    """
    forms = [("only-light", light), ("only-dark", dark)] if dark else [("on-white", light)]
    alt = html.escape(words, quote=True)
    least = f' style="min-width: {SMALLEST * width:.0f}px"' if width else ""
    return "".join(
        f'<a class="picture {kind}" href="{address}"><img src="{address}" alt="{alt}" loading="lazy"{least}></a>'
        for kind, address in forms
    )


def width_of(path: Path) -> float:
    """The width of an SVG in CSS pixels; 0 for other files."""
    found = re.search(r'<svg [^>]*?width="([\d.]+)pt"', path.read_text()) if path.suffix == ".svg" else None
    return float(found[1]) * 4 / 3 if found else 0

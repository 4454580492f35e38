"""Pictures of the pages: drawn in a light and in a dark form, of which the reader's browser shows one."""

from __future__ import annotations

import html
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tinygrad_cnn.graph import Graph

__all__ = ["Pictures", "figure"]


class Pictures:
    """The pictures of one generated page; they are drawn by `pool`, side by side with the writing."""

    def __init__(self, root: Path, page: str, pool: ThreadPoolExecutor, jobs: list[Future[Any]]) -> None:
        self.folder = root / page
        self.address = "../" * page.count("/") + f"made/{page}"
        self.pool = pool
        self.jobs = jobs
        self.folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, graph: Graph) -> str:
        """Have a graph drawn in both forms; return the HTML that shows it."""
        style: dict[str, Any] = {"direction": "LR", "legend": False, "fold": "none", "backward": True}
        for suffix, theme in (("", "light"), ("-dark", "dark")):
            path = self.folder / f"{name}{suffix}.svg"
            self.jobs.append(self.pool.submit(graph.save, path, theme=theme, **style))
        return figure(f"{self.address}/{name}.svg", f"{self.address}/{name}-dark.svg", f"The graph of {name}")


def figure(light: str, dark: str | None, words: str) -> str:
    """The HTML of a picture that opens in full size when it is clicked."""
    forms = [("only-light", light), ("only-dark", dark)] if dark else [("on-white", light)]
    alt = html.escape(words, quote=True)
    return "".join(
        f'<a class="picture {kind}" href="{address}"><img src="{address}" alt="{alt}" loading="lazy"></a>'
        for kind, address in forms
    )

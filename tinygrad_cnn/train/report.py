"""report.html: one file that shows a run, pictures included; it loads nothing from anywhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from string import Template

from tinygrad_cnn.train.config import RunConfig
from tinygrad_cnn.train.history import History
from tinygrad_cnn.train.pictures import Picture

__all__ = ["report"]

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { color-scheme: light dark; --page: #fff; --ink: #1a1a1a; --faint: #5f5f5f; --line: #d8d8d8; --graph: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --page: #16181d; --ink: #ececec; --faint: #a8a8a8; --line: #3a3d44; --graph: #16181d; }
}
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.3rem; }
p { color: var(--faint); margin: 0.2rem 0 0.6rem; }
.score { color: var(--ink); font-size: 1.3rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: 0.2rem 0.9rem 0.2rem 0; text-align: right; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; }
.wide { overflow-x: auto; }
img { background: #fff; border: 1px solid var(--line); border-radius: 6px; box-sizing: border-box; padding: 6px; }
img.graph { background: var(--graph); max-width: 100%; }
img.plot { max-width: 100%; min-width: calc(0.7 * var(--width)); width: var(--width); }
</style>
</head>
<body>
<h1>$title</h1>
<p class="score">$score</p>
<section><h2>Epochs</h2><div class="wide">$epochs</div></section>
$pictures
<section><h2>Set-up</h2><div class="wide">$setup</div></section>
</body>
</html>
""")


def report(config: RunConfig, history: History, pictures: Sequence[Picture], parameters: int) -> str:
    """The page as text. parameters: how many numbers the model learnt."""
    accuracy = history.last.get("test_accuracy")
    return _PAGE.substitute(
        title=html.escape(f"{config.model} on {config.data}"),
        score="" if accuracy is None else f"test accuracy: {accuracy:.4f}",
        epochs=_epochs(history),
        setup=_setup(config, history, parameters),
        pictures="\n".join(_section(picture) for picture in pictures),
    )


def _epochs(history: History) -> str:
    names = list(history.last)
    rows = [[_number(row[name]) for name in names] for row in history.epochs]
    return _table([name.replace("_", " ") for name in names], rows)


def _setup(config: RunConfig, history: History, parameters: int) -> str:
    length = f"{config.iterations} iterations" if config.iterations else f"{config.epochs} epochs"
    seconds = sum(row["seconds"] for row in history.epochs)
    rows = [
        ["model", config.model],
        ["parameters", f"{parameters:,}"],
        ["data", config.data],
        ["inputs", " x ".join(map(str, config.in_shape))],
        ["optimizer", f"{config.optimizer}, learning rate {config.lr:g}{', one cycle' if config.one_cycle else ''}"],
        ["training", f"{length}, batches of {config.batch_size}, {seconds:.1f} s"],
        ["seed", str(config.seed)],
        ["tinygrad_cnn", config.version],
    ]
    return _table(["what", "value"], rows)


def _number(value: object) -> str:
    return f"{value:#.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _table(head: list[str], rows: list[list[str]]) -> str:
    def line(tag: str, cells: list[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line('th', head)}{''.join(line('td', row) for row in rows)}</table>"


def _section(picture: Picture) -> str:
    kind = "svg+xml" if picture.file.endswith(".svg") else "png"
    style = "graph" if picture.dark else "plot"
    text = html.escape(picture.text)
    size = f' style="--width: {picture.width:.0f}px"' if picture.width else ""
    image = f'<img class="{style}" alt="{text}"{size} src="{_data(kind, picture.content)}">'
    if picture.dark:
        dark = f'<source media="(prefers-color-scheme: dark)" srcset="{_data(kind, picture.dark)}">'
        image = f"<picture>{dark}{image}</picture>"
    image = f'<div class="wide">{image}</div>'
    return f"<section><h2>{html.escape(picture.title)}</h2><p>{text}</p>{image}</section>"


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

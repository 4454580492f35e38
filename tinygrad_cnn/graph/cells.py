"""The words in a picture as DOT's HTML-like labels: tables of cells, wide enough for the text in any usual font."""

from __future__ import annotations

import html
import math
import unicodedata
from functools import lru_cache

import graphviz

from tinygrad_cnn.graph.labels import printable

__all__ = ["SMALL", "cell", "gap", "label", "line_sample", "row", "samples", "swatch", "table", "text_width", "tip"]

SMALL = 10

# The widths of the characters from " " to "~" in DejaVu Sans, in thousandths of the size, plain and bold. It is the
# widest of the fonts that a viewer may put in Helvetica's place: what has room in it has room in all of them.
_PLAIN = (
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863,
    748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635,
    615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636,
    337, 636, 838,
)  # fmt: skip
_BOLD = (
    348, 456, 521, 838, 696, 1002, 872, 306, 457, 457, 523, 838, 380, 415, 380, 365, 696, 696, 696, 696, 696, 696, 696,
    696, 696, 696, 400, 400, 838, 838, 838, 580, 1000, 774, 762, 734, 830, 683, 683, 821, 837, 372, 372, 775, 637, 995,
    837, 850, 733, 850, 770, 720, 682, 812, 774, 1103, 771, 724, 725, 457, 365, 457, 838, 500, 500, 675, 716, 593, 716,
    678, 435, 716, 712, 343, 343, 665, 343, 1042, 712, 687, 716, 716, 493, 595, 478, 712, 652, 924, 645, 652, 582, 712,
    365, 712, 838,
)  # fmt: skip


def text_width(text: str, size: int, bold: bool) -> int:
    """The most room that a text takes, in points."""
    widths = _BOLD if bold else _PLAIN
    total = 0
    for c in text:
        place = ord(c) - 32
        if not 0 <= place < 95:  # accents take no room of their own; full-width letters take the whole em
            place = ord(unicodedata.normalize("NFD", c)[0]) - 32
        total += widths[place] if 0 <= place < 95 else 1000
    return math.ceil(total * size / 1000)


@lru_cache(maxsize=4096)  # the same shapes and names stand in a large picture again and again
def cell(text: str, size: int, bold: bool, align: str = "CENTER") -> str:
    """One cell with one line of text, which is only text: nothing in it is a command to DOT."""
    shown = printable(text)
    escaped = html.escape(shown).replace("\\", "\\\\")  # or DOT would put a name for \\N
    escaped = f"<B>{escaped}</B>" if bold else escaped
    width = text_width(shown, size, bold)
    return f'<TD ALIGN="{align}" WIDTH="{width}"><FONT POINT-SIZE="{size}">{escaped}</FONT></TD>'


def gap(width: int) -> str:
    """An empty cell."""
    return f'<TD WIDTH="{width}"></TD>'


def row(*cells: str) -> str:
    """Cells beside each other."""
    return f"<TR>{''.join(cells)}</TR>"


def table(*rows: str) -> str:
    """Rows below each other, as a whole label."""
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{"".join(rows)}</TABLE>>'


def label(*lines: tuple[str, int, bool]) -> str:
    """A label of lines in the middle, each with its size and weight; empty ones are left out."""
    return table(*(row(cell(*line)) for line in lines if line[0]))


def swatch(colour: str) -> str:
    """A small field of a colour."""
    return f'<TD BGCOLOR="{colour}" BORDER="1" COLOR="#808080" WIDTH="18" HEIGHT="10" FIXEDSIZE="TRUE"></TD>'


def line_sample(colour: str, style: str) -> str:
    """A short line: a cell of which only the middle rule is drawn."""
    inner = f'<TD BORDER="1" SIDES="B" STYLE="{style}" COLOR="{colour}" WIDTH="16" HEIGHT="5" FIXEDSIZE="TRUE"></TD>'
    below = '<TD WIDTH="16" HEIGHT="5" FIXEDSIZE="TRUE"></TD>'
    return f'<TD><TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{row(inner)}{row(below)}</TABLE></TD>'


def samples(found: list[tuple[str, str]], columns: int) -> str:
    """A row that holds a small table: samples of colours and lines, each with its meaning beside it."""
    rows = []
    for start in range(0, len(found), columns):
        cells = [f"{mark}{cell(words, SMALL, False, 'LEFT')}{gap(8)}" for words, mark in found[start : start + columns]]
        rows.append(row(*cells))
    inner = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="2" CELLPADDING="1">{"".join(rows)}</TABLE>'
    return row(f'<TD ALIGN="LEFT">{inner}</TD>')


def tip(*lines: str) -> str:
    """A tooltip; what DOT would take for a command in it is only text, and so is what looks like HTML."""
    text: str = graphviz.escape("\n".join(printable(line) for line in lines))  # a str that says it is no HTML
    return text

"""What the eye would complain of: words out of their box, an edge through a title, boxes on boxes, in every picture."""

from __future__ import annotations

import html
import itertools
import re
import time
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from pictured import pictured
from PIL import ImageFont

import tinygrad_cnn as tg
from tinygrad_cnn.graph.cells import text_width
from tinygrad_cnn.graph.graph import Graph
from tinygrad_cnn.graph.render import render
from tinygrad_cnn.graph.svg import Box, Layout, Line, finish, hooks, read
from tinygrad_cnn.graph.titles import clear

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
NAMES = tuple(pictured())


@cache
def font(bold: bool) -> Any:
    """DejaVu Sans, the widest of the fonts that viewers put in Helvetica's place."""
    return ImageFont.truetype(str(FONTS / f"DejaVuSans{'-Bold' if bold else ''}.ttf"), 1000)


@cache
def captured() -> dict[str, Graph]:
    return pictured()


STYLES: list[dict[str, Any]] = [
    {}, {"direction": "LR"}, {"fold": "none", "parameters": "nodes"}, {"fold": 1}, {"overlay": "flops"},
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_pictures_have_no_faults(name: str, style: dict[str, Any]) -> None:
    svg = captured()[name].to_svg(**style)
    layout = read(svg)
    assert len(layout.nodes) > 2
    assert hooks(layout, style.get("direction", "TB")) == {}
    for cluster in layout.clusters.values():
        for line in cluster.title:
            assert cluster.frame.left <= line.left <= line.right <= cluster.frame.right
            assert not [edge.name for edge in layout.edges if any(map(line.holds, edge.points))]
    for a, b in itertools.combinations(layout.nodes, 2):
        assert not a.overlaps(b)
    assert words_out_of_their_boxes(svg) == []


def words_out_of_their_boxes(svg: str) -> list[str]:
    """The words on boxes that would run over the edge in the widest font."""
    space = "{http://www.w3.org/2000/svg}"
    found = []
    boxes = iter(read(svg).nodes)
    for group in ET.fromstring(svg).iter(f"{space}g"):
        if group.get("class") != "node":
            continue
        box = next(boxes)
        for text in group.iter(f"{space}text"):
            assert text.get("text-anchor") == "middle"
            half = font(text.get("font-weight") == "bold").getlength(text.text) * float(text.get("font-size", 0)) / 2000
            middle = float(text.get("x", 0))
            if not box.left <= middle - half <= middle + half <= box.right:
                found.append(text.text or "")
    return found


@pytest.mark.parametrize("bold", [False, True])
def test_the_table_of_widths_is_that_of_the_widest_font(bold: bool) -> None:
    for c in map(chr, range(32, 127)):
        assert abs(text_width(c * 10, 100, bold) - font(bold).getlength(c)) <= 2
    for text in ("Größe", "→", "\N{MULTIPLICATION SIGN}12", "名前", "Сверточный слой"):  # never too little for others
        assert text_width(text, 1000, bold) >= font(bold).getlength(text)


# ---- titles ----


def crossed(svg: str) -> int:
    layout = read(svg)
    return sum(
        any(map(line.holds, edge.points))
        for cluster in layout.clusters.values() for line in cluster.title for edge in layout.edges
    )  # fmt: skip


def test_titles_move_out_of_the_way() -> None:
    from tinygrad_cnn.graph.dot import drawing_of

    for name in ("residual", "unet"):
        drawing = drawing_of(captured()[name])
        places = clear(lambda p, drawing=drawing: read(render(drawing.source(p), "svg").decode()))
        assert crossed(render(drawing.source(), "svg").decode()) > 0
        assert crossed(render(drawing.source(places), "svg").decode()) == 0
        assert places


def test_an_edge_that_would_turn_back_keeps_to_one_side() -> None:
    from tinygrad_cnn.graph.dot import drawing_of

    drawing = drawing_of(captured()["residual"])
    (name,) = found = hooks(read(render(drawing.source(), "svg").decode()), "TB")
    assert found[name] == "e"
    there = [(0.0, 0.0), (9.0, 30.0), (8.0, 12.0), (2.0, 50.0)]
    assert hooks(Layout(edges=[Line("a->b", there, Box(0, 0, 9, 50))]), "TB") == {"a->b": "e"}
    assert hooks(Layout(edges=[Line("a->b", there[::-1], Box(0, 0, 9, 50))]), "TB") == {"a->b": "e"}  # up all the way
    assert hooks(Layout(edges=[Line("a->b", [(y, -x) for x, y in there], Box(0, -9, 50, 0))]), "LR") == {"a->b": "n"}
    assert hooks(Layout(edges=[Line("a->b", [(-x, y) for x, y in there], Box(-9, 0, 0, 50))]), "TB") == {"a->b": "w"}
    assert hooks(Layout(edges=[Line("a->b", [there[0], there[2], there[1]], Box(0, 0, 9, 30))]), "TB") == {}


def test_to_the_right_boxes_are_narrow() -> None:
    svg = captured()["siamese"].to_svg(direction="LR")
    words = [html.unescape(text) for text in re.findall(r"<text [^>]*>(.*?)</text>", svg)]
    assert {"encoder.0", "(call 1 of 2)", "k3 s1 p0", "(2, 1,", "8, 8)", "(2, 144)"} <= set(words)
    assert all(box.right - box.left < 110 for box in read(svg).nodes)


def test_many_long_edges_are_straight_and_the_picture_says_so() -> None:
    started = time.process_time()
    svg = captured()["gated"].to_svg(fold="none", parameters="nodes")
    assert time.process_time() - started < 20
    assert "edges are straight" in svg
    assert "edges are straight" not in captured()["residual"].to_svg(fold="none", parameters="nodes")


def test_a_title_that_nothing_can_free_ends_the_search() -> None:
    line = Box(8, 2, 60, 12)
    everywhere = Line("a->b", [(float(x), 8.0) for x in range(101)], Box(0, 0, 100, 20))
    seen = []

    def stubborn(places: Any) -> Layout:
        from tinygrad_cnn.graph.svg import Cluster

        seen.append(places)
        return Layout({"c": Cluster(Box(0, 0, 100, 50), [line])}, [everywhere])

    assert set(clear(stubborn)) == {"c"}
    assert 1 < len(seen) < 20


def test_the_finish_keeps_words_and_gives_a_text_alternative() -> None:
    g = captured()["lenet"]
    svg = g.to_svg()
    root = ET.fromstring(svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", "LeNet: 12 ops, 61,706 parameters")
    assert re.findall("Helvetica", svg)
    assert set(re.findall(r'font-family="([^"]*)"', svg)) == {"Helvetica,Arial,Liberation Sans,Nimbus Sans,sans-serif"}
    odd = 'no <svg> "at" all'
    assert finish(odd, "x") == odd
    hostile = tg.graph.capture(lambda x: x * 2, tg.ones(2), title='"><script>&')
    assert ET.fromstring(hostile.to_svg()).get("aria-label") == '"><script>&: 1 op, 0 parameters'
    assert html.escape('"><script>') in hostile.to_svg()

"""What a layout made of a picture, read from its SVG; and the finish that makes the SVG look alike in every viewer."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from tinygrad_cnn.graph.cells import text_width

__all__ = ["Box", "Cluster", "Layout", "Line", "finish", "hooks", "read"]

Point = tuple[float, float]

_HOOK = 10.0  # points; an edge that turns back by less has a slight wave

# Every viewer has one of these, or a sans-serif that takes no more room than the boxes leave.
_FONTS = "Helvetica,Arial,Liberation Sans,Nimbus Sans,sans-serif"
# A node, edge or cluster, up to the next one; the groups a_... around links are no parts of their own.
_PART = re.compile(
    r'<g id="(?!a_)[^"]*" class="(node|edge|cluster)">\s*<title>(.*?)</title>(.*?)(?=<g id="(?!a_)|</svg>)', re.S
)
_TEXT = re.compile(r'<text [^>]*?x="([-\d.]+)" y="([-\d.]+)"([^>]*)>(.*?)</text>', re.S)


@dataclass(frozen=True)
class Box:
    """A rectangle, in points; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def holds(self, point: Point) -> bool:
        """Whether a point lies inside."""
        return self.left <= point[0] <= self.right and self.top <= point[1] <= self.bottom

    def overlaps(self, other: Box) -> bool:
        """Whether two rectangles have a point in common."""
        across = self.left <= other.right and other.left <= self.right
        return across and self.top <= other.bottom and other.top <= self.bottom


@dataclass(frozen=True)
class Cluster:
    """A cluster: its frame, and the lines of its title."""

    frame: Box
    title: list[Box]


@dataclass(frozen=True)
class Line:
    """An edge: the name that Graphviz gives it, `tail->head`; points along it, and the box around those."""

    name: str
    points: list[Point]
    around: Box


@dataclass
class Layout:
    """Where things stand: clusters by name, edges, the boxes around nodes."""

    clusters: dict[str, Cluster] = field(default_factory=dict)
    edges: list[Line] = field(default_factory=list)
    nodes: list[Box] = field(default_factory=list)


def read(svg: str) -> Layout:
    """The places of clusters, nodes and edges in a picture that Graphviz drew."""
    layout = Layout()
    for part in _PART.finditer(svg):
        kind, name, body = part.groups()
        if kind == "edge":
            for path in re.findall(r'<path [^>]*?\bd="([^"]*)"', body):
                points = list(_along(_numbers(path)))
                layout.edges.append(Line(html.unescape(name), points, _around(points)))
        elif kind == "node":
            layout.nodes.append(_shape(body))
        else:
            layout.clusters[html.unescape(name)] = Cluster(_shape(body), [_line(m) for m in _TEXT.finditer(body)])
    return layout


def hooks(layout: Layout, direction: str) -> dict[str, str]:
    """The edges that turn back on their way, by name, each with the side (n, e, s, w) of its ends to which it swings.

    The layout bends them so where they have to get around a title; from that side of its ends they have no need to.
    """
    along, across, sides = (1, 0, "we") if direction == "TB" else (0, 1, "ns")
    found = {}
    for line in layout.edges:
        way = [point[along] for point in line.points]
        way = way if way[0] <= way[-1] else [-x for x in way]
        if max(high - x for high, x in zip(accumulate(way, max), way, strict=True)) > _HOOK:
            places = [point[across] for point in line.points]
            found[line.name] = sides[max(places) - places[0] > places[0] - min(places)]
    return found


def _numbers(text: str) -> list[Point]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", text)]


def _around(points: list[Point]) -> Box:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return Box(min(xs), min(ys), max(xs), max(ys))


def _shape(body: str) -> Box:
    """The box around the first shape of a part."""
    if ellipse := re.search(r'<ellipse [^>]*?cx="([-\d.]+)" cy="([-\d.]+)" rx="([-\d.]+)" ry="([-\d.]+)"', body):
        x, y, rx, ry = map(float, ellipse.groups())
        return Box(x - rx, y - ry, x + rx, y + ry)
    shape = re.search(r'<(?:path|polygon) [^>]*?\b(?:d|points)="([^"]*)"', body)
    return _around(_numbers(shape[1])) if shape else Box(0, 0, 0, 0)


def _line(text: re.Match[str]) -> Box:
    """The box around a line of text that starts at its x."""
    size = re.search(r'font-size="([\d.]+)"', text[0])
    height = float(size[1]) if size else 14.0
    x, y = float(text[1]), float(text[2])
    return Box(x, y - height, x + text_width(html.unescape(text[4]), round(height), "bold" in text[3]), y + 3)


def _along(corners: list[Point], steps: int = 12) -> Iterator[Point]:
    """Points along a path of cubic Bézier curves: a start, then three points for each curve."""
    for i in range(0, len(corners) - 3, 3):
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners[i : i + 4]
        for n in range(steps + 1):
            t = n / steps
            a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            yield a * ax + b * bx + c * cx + d * dx, a * ay + b * by + c * cy + d * dy


def finish(svg: str, words: str) -> str:
    """The SVG with the words on a box in its middle whatever the font, and with a text alternative for the whole."""

    def centred(part: re.Match[str]) -> str:
        if part[1] != "node":
            return part[0]
        box = _shape(part[3])
        middle = f'text-anchor="middle" x="{(box.left + box.right) / 2:.2f}"'
        return re.sub(r'text-anchor="start" x="[-\d.]+"', middle, part[0])

    svg = _PART.sub(centred, svg)
    svg = re.sub(r'font-family="Helvetica[^"]*"', f'font-family="{_FONTS}"', svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(words)}" ', 1)

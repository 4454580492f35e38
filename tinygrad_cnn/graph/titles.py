"""Titles of modules where no edge runs through them.

The layout does not know of it: a title stands at the left of its frame, and an edge that comes in there crosses it. So
the picture is laid out, and each title moves to a free place in its line; a frame that has none is made wider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from tinygrad_cnn.graph.svg import Box, Cluster, Layout

__all__ = ["Place", "clear"]

_ROUNDS = 8
_INDENT = 9.0  # from a frame to the title at its left
_APART = 5.0  # from a title to an edge


@dataclass(frozen=True)
class Place:
    """Where a title stands: so far from the left; and how wide its line is at least. In points."""

    offset: int = 0
    width: int = 0


def clear(lay_out: Callable[[Mapping[str, Place]], Layout]) -> dict[str, Place]:
    """The places of the titles; `lay_out` makes the layout that places lead to, and only their widths change it."""
    places: dict[str, Place] = {}
    best, fewest = places, -1
    for number in range(_ROUNDS):
        layout = lay_out(places)
        offsets = {name: _free_offset(cluster, layout) for name, cluster in layout.clusters.items() if cluster.title}
        short = [name for name, offset in offsets.items() if offset is None]
        moved = {name: replace(places.get(name, Place()), offset=offset or 0) for name, offset in offsets.items()}
        if fewest < 0 or len(short) < fewest:
            best, fewest = moved, len(short)
        if not short:
            break
        step = 1 if number < _ROUNDS // 2 else 2  # other gaps get a part of what a frame gets
        places = {**moved, **{name: _wider(layout.clusters[name], layout, step) for name in short}}
    return best


def _width(cluster: Cluster) -> float:
    return max(line.right - line.left for line in cluster.title)


def _free_offset(cluster: Cluster, layout: Layout) -> int | None:
    """How far from the left the first place is in which the title fits."""
    for start, end in _gaps(cluster, layout):
        if end - start >= _width(cluster):
            return round(start - cluster.frame.left - _INDENT)
    return None


def _wider(cluster: Cluster, layout: Layout, step: int) -> Place:
    """A line that is wider by `step` times what the widest gap lacks."""
    lack = _width(cluster) - max(end - start for start, end in _gaps(cluster, layout)) + _APART
    inner = cluster.frame.right - cluster.frame.left - 2 * _INDENT
    return Place(0, round(inner + step * lack))


def _gaps(cluster: Cluster, layout: Layout) -> Iterator[tuple[float, float]]:
    """The stretches of the title's line, from the left, that no edge crosses."""
    frame = cluster.frame
    band = Box(frame.left, cluster.title[0].top, frame.right, cluster.title[-1].bottom)
    start = frame.left + _INDENT
    for left, right in sorted(_crossings(band, layout)):
        if left - _APART > start:
            yield start, left - _APART
        start = max(start, right + _APART)
    yield start, max(start, frame.right - _INDENT)


def _crossings(band: Box, layout: Layout) -> Iterator[tuple[float, float]]:
    """From where to where edges run in a band, piece by piece."""
    for line in layout.edges:
        if not line.around.overlaps(band):
            continue
        for (x1, y1), (x2, y2) in pairwise(line.points):
            if max(y1, y2) < band.top or min(y1, y2) > band.bottom:
                continue
            # Where the piece enters the band and leaves it, as parts of its length.
            parts = (
                (0.0, 1.0) if y1 == y2 else [(min(max(y, band.top), band.bottom) - y1) / (y2 - y1) for y in (y1, y2)]
            )
            left, right = sorted(x1 + part * (x2 - x1) for part in parts)
            if right >= band.left and left <= band.right:
                yield left, right

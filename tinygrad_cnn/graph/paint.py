"""Colours for an overlay: a scale from pale to strong for numbers, a tint with a symbol for verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygrad_cnn.graph.overlay import Overlay
from tinygrad_cnn.graph.style import THEMES, mix

__all__ = ["VERDICTS", "Paint"]

# Verdicts: a colour, and a symbol that says it without colour.
VERDICTS = {
    "ok": ("#009E73", "="),
    "finite": ("#009E73", "="),
    "same": ("#999999", "="),
    "added": ("#009E73", "+"),
    "removed": ("#D55E00", "-"),
    "changed": ("#E69F00", "~"),
    "kink": ("#E69F00", "/\\"),
    "ill-conditioned": ("#E69F00", "?"),
    "not checked": ("#999999", "-"),
    "nondeterministic": ("#D55E00", "!"),
    "wrong": ("#D55E00", "X"),
    "NaN": ("#CC79A7", "~"),
    "inf": ("#CC79A7", "~"),
    "NaN first": ("#D55E00", "!"),
    "inf first": ("#D55E00", "!"),
    "NaN gradient": ("#F0E442", "~"),
    "inf gradient": ("#F0E442", "~"),
    "NaN gradient first": ("#E69F00", "!"),
    "inf gradient first": ("#E69F00", "!"),
}


class Paint:
    """How one overlay is painted in one theme."""

    def __init__(self, overlay: Overlay, theme: str) -> None:
        self.overlay = overlay
        self.theme = THEMES[theme]
        self.share = 0.45 if theme == "light" else 0.36
        finite = [v for v in overlay.values.values() if not isinstance(v, str) and math.isfinite(v)]
        positive = [v for v in finite if v > 0]
        self.logs = bool(positive) and min(finite) >= 0 and max(finite) > 100 * min(positive)
        self.low, self.high = 0.0, 1.0

    def words(self, value: Any) -> str:
        """The value in words, with the symbol of a verdict."""
        text = self.overlay.words(value)
        return f"{VERDICTS[value][1]} {text}" if isinstance(value, str) else text

    def is_alarm(self, value: Any) -> bool:
        """Whether a value is a verdict at which the eye should stop: where a NaN began, a gradient that is wrong."""
        return isinstance(value, str) and VERDICTS[value][1] in "!X"

    def colour(self, value: Any) -> str:
        """The colour of a value; `stops` must have been asked for the range first."""
        if isinstance(value, str):
            return mix(VERDICTS[value][0], self.theme.page, self.share)
        if not math.isfinite(value):
            return self.theme.tints["failed"]
        place = (self._scaled(value) - self.low) / ((self.high - self.low) or 1.0)
        return mix(self.theme.high, self.theme.low, min(max(place, 0.0), 1.0))

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 10**self.low if self.low else 1e-300)) if self.logs else float(value)

    def stops(self, values: Sequence[Any]) -> list[tuple[str, str]]:
        """The colour bar: words and colours, from the lowest to the highest of the values that are shown."""
        if any(isinstance(v, str) for v in values):
            found = [v for v in VERDICTS if v in values]
            return [(self.words(v), self.colour(v)) for v in found]
        finite = sorted(v for v in values if math.isfinite(v) and (v > 0 or not self.logs))
        if not finite:
            return []
        ends = [math.log10(v) if self.logs else float(v) for v in (finite[0], finite[-1])]
        self.low, self.high = ends
        if ends[0] == ends[1]:
            return [(self.overlay.words(finite[0]), self.colour(finite[0]))]
        places = [ends[0] + i / 4 * (ends[1] - ends[0]) for i in range(5)]
        marks = [finite[0], *(10**x if self.logs else x for x in places[1:-1]), finite[-1]]
        whole = all(isinstance(v, int) for v in finite)
        marks = [round(v) for v in marks] if whole else marks
        return [(self.overlay.words(v), self.colour(v)) for v in marks]

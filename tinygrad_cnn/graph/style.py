"""What the pictures' colours mean: Okabe and Ito's colours, which colour-blind people can tell apart, as tints.

Source: Okabe and Ito, Color Universal Design (2008), https://jfly.uni-koeln.de/color/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinygrad_cnn import ops

__all__ = ["THEMES", "Theme", "family_of", "family_of_function", "mix"]

# What an op does, by the file of ops in which it stands.
_FAMILIES = {
    "conv": "convolution, linear",
    "linear": "convolution, linear",
    "activation": "activation",
    "pool": "pooling",
    "norm": "normalisation",
    "reduce": "reduction, loss",
    "loss": "reduction, loss",
    "shape": "shape only",
    "index": "shape only",
    "comparison": "element-wise",
    "elementwise": "element-wise",
    "trigonometry": "element-wise",
}
_EXCEPTIONS = {
    "sigmoid": "activation",
    "tanh": "activation",
    "sum_to": "reduction, loss",
    "broadcast_to": "shape only",
    "cast": "element-wise",
    "dropout": "activation",
    "embedding": "convolution, linear",
}
# The colour of each family; shape-only ops have none, they are drawn as small plain text.
_COLOURS = {
    "convolution, linear": "#0072B2",
    "activation": "#D55E00",
    "pooling": "#009E73",
    "normalisation": "#E69F00",
    "reduction, loss": "#CC79A7",
    "element-wise": "#F0E442",
    "other op": "#999999",
    "input": "#009E73",
    "output": "#D55E00",
    "parameter": "#56B4E9",
    "frozen": "#999999",
    "buffer": "#E69F00",
    "no gradient": "#999999",
    "failed": "#D55E00",
    "folded module": "#999999",
}


_ENDS = ("input", "output")


@dataclass(frozen=True)
class Theme:
    """The colours of one look: the page, ink for text and borders, faint ink, and a tint for each meaning.

    gradient: of edges along which gradients flow. alarm: of what failed. low, high: the ends of an overlay's scale.
    borders: of inputs and outputs, whose tints are paler than the others: families of ops have the same hues.
    """

    page: str
    ink: str
    faint: str
    line: str
    gradient: str
    alarm: str
    low: str
    high: str
    tints: dict[str, str]
    borders: dict[str, str]


def mix(colour: str, page: str, share: float) -> str:
    """`share` parts of a colour with `1 - share` parts of the page: its tint."""
    parts = [(int(colour[i : i + 2], 16), int(page[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in parts)


def _theme(page: str, ink: str, faint: str, line: str, share: float) -> Theme:
    gradient, alarm = ("#9b4d7e", "#b22a00") if share < 0.3 else ("#e39ac3", "#ff8a5c")
    low, high = (mix(blue, page, s) for blue, s in (("#56B4E9", 0.08), ("#0072B2", 0.62 if share < 0.3 else 0.8)))
    return Theme(
        page,
        ink,
        faint,
        line,
        gradient,
        alarm,
        low,
        high,
        {name: mix(colour, page, share / 2 if name in _ENDS else share) for name, colour in _COLOURS.items()},
        {name: mix(_COLOURS[name], page, 0.85) for name in _ENDS},
    )


THEMES = {
    "light": _theme("#ffffff", "#1a1a1a", "#5f5f5f", "#666666", 0.24),
    "dark": _theme("#16181d", "#ececec", "#a8a8a8", "#9a9a9a", 0.36),
}


def family_of(op: Any) -> str:
    """The family of an op: what its tint stands for."""
    return _family(op.name, op.kernel.__module__)


def family_of_function(name: str) -> str | None:
    """The family of a function of ops (a composite) by its name, None if it is not one of the package's."""
    function = getattr(ops, name, None)
    return None if function is None else _family(name, function.__module__)


def _family(name: str, module: str) -> str:
    if not module.startswith("tinygrad_cnn."):
        return "other op"
    return _EXCEPTIONS.get(name) or _FAMILIES.get(module.rpartition(".")[2], "other op")

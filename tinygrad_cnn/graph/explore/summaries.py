"""An array in little: a few numbers, a histogram, and a picture of its maps."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

__all__ = ["filters", "maps", "statistics"]

Array = np.ndarray[Any, Any]

_BINS = 32
_FEW = 24  # so many values are shown one by one
_CHANNELS = 16
_SIDE = 48  # larger maps are averaged down to this

# Signed values as colours that colour-blind people can tell apart: vermilion below zero, white, blue above.
_BELOW, _ZERO, _ABOVE = (0xD5, 0x5E, 0x00), (0xFF, 0xFF, 0xFF), (0x00, 0x72, 0xB2)
_GAP = 255  # the palette's last entry: grey, between the maps


def statistics(array: Array, histogram: bool = True) -> dict[str, Any]:
    """Mean, standard deviation, least, greatest, norm, share of zeros, NaN and infinities, and a histogram.

    NaN and infinities are counted, and left out of all the other numbers. Few values are listed too: those of the
    first sample where there are samples.
    """
    values = np.asarray(array, np.float64).ravel()
    finite = values[np.isfinite(values)]
    found: dict[str, Any] = {
        "size": values.size, "nan": int(np.isnan(values).sum()), "inf": int(np.isinf(values).sum()),
        "zeros": short(np.mean(values == 0)) if values.size else 0,
    }  # fmt: skip
    if not finite.size:
        return found | dict.fromkeys(("min", "max", "mean", "std", "norm"))
    largest = float(np.abs(finite).max())
    unit = largest if largest > 1e150 else 1.0  # so that the squares stay finite
    scaled = finite / unit
    low, high = float(finite.min()), float(finite.max())
    found |= {
        "min": short(low), "max": short(high), "mean": short(float(scaled.mean()) * unit),
        "std": short(float(scaled.std()) * unit), "norm": short(float(np.linalg.norm(scaled)) * unit),
    }  # fmt: skip
    if histogram and low < high and finite.size > 2:
        found["histogram"] = np.histogram(scaled, _BINS, (low / unit, high / unit))[0].tolist()
    few = _few(np.asarray(array))
    if few is not None:
        found["values"] = [short(float(x)) for x in few]
    return found


def _few(array: Array) -> Array | None:
    if array.ndim >= 1 and array.size <= _FEW:
        return array.ravel()
    return array[0] if array.ndim == 2 and 0 < array.shape[1] <= _FEW and len(array) else None


def short(x: float) -> float | None:
    """A number with four significant digits, None where JSON has no word for it."""
    return float(f"{x:.4g}") if np.isfinite(x) else None


def maps(array: Array) -> dict[str, Any] | None:
    """The channels of the first sample of (N, C, H, W) as one PNG; None for other shapes and for single pixels."""
    if array.ndim != 4 or not array.size or array.shape[2] * array.shape[3] < 4 or array.dtype.kind not in "fiu":
        return None
    return _montage(array[0], "channels")


def filters(weight: Array) -> dict[str, Any] | None:
    """The filters (O, I, KH, KW) of a convolution as one PNG, each by its first input channel."""
    if weight.ndim != 4 or not weight.size or weight.shape[2] * weight.shape[3] < 4 or weight.dtype.kind != "f":
        return None
    return _montage(weight[:, 0], "filters" if weight.shape[1] == 1 else "filters, their first input channel")


def _montage(planes: Array, what: str) -> dict[str, Any]:
    """Planes (C, H, W) beside each other, at most 16 of them, on one scale."""
    from PIL import Image

    shown = np.stack([_smaller(np.nan_to_num(plane.astype(np.float64))) for plane in planes[:_CHANNELS]])
    count, height, width = shown.shape
    columns = min(count, 8 if count > 4 else 4)
    rows = -(-count // columns)
    most = float(np.abs(shown).max()) or 1.0
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), _GAP, np.uint8)
    for i, plane in enumerate(shown):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        canvas[top : top + height, left : left + width] = np.rint(127 + 127 * plane / most)
    image = Image.fromarray(canvas)
    image.putpalette(_palette())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    alt = f"{count} of {len(planes)} {what}, {planes.shape[1]} by {planes.shape[2]}; blue up to {most:.3g}, white 0"
    if shown.min() < 0:
        alt += f", orange down to {-most:.3g}"
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"src": source, "alt": alt, "w": image.width, "h": image.height}


def _smaller(plane: Array) -> Array:
    """The plane averaged over blocks, so that neither side is longer than a thumbnail's."""
    by = -(-max(plane.shape) // _SIDE)
    if by == 1:
        return plane
    height, width = (max(1, n // by) for n in plane.shape)
    blocks = plane[: height * by, : width * by]
    if min(plane.shape) < by:
        return np.asarray(blocks[::by, ::by])
    return np.asarray(blocks.reshape(height, by, width, by).mean((1, 3)))  # (H, W) -> (H/by, W/by)


def _palette() -> list[int]:
    """Entries 0 to 254 from -1 over 0 to 1, then the gap."""
    colours: list[int] = []
    for level in range(-127, 128):
        share = abs(level) / 127
        end = _BELOW if level < 0 else _ABOVE
        colours += [round(zero + share * (x - zero)) for zero, x in zip(_ZERO, end, strict=True)]
    return [*colours, 0x99, 0x99, 0x99]

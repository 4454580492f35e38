"""Picture files as a model wants them: grey or coloured, light on dark, centred, of the right size."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_cnn.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ink_share", "prepare", "read_image"]

Pixels = NDArray[np.float32]
_INK = 0.2  # a pixel brighter than this share of the brightest belongs to the thing shown


def ink_share(images: NDArray[np.uint8]) -> float:
    """The typical length of the longer side of what images (N, C, H, W) show, as a share of their side.

    For MNIST it is 20/28: its digits were fitted into a box of 20x20 and then centred by their mass.
    """
    shares = []
    for image in images[:500].max(axis=1):
        if (box := _box(image)) is not None:
            top, bottom, left, right = box
            shares.append(max((bottom - top) / image.shape[0], (right - left) / image.shape[1]))
    return float(np.median(shares)) if shares else 1.0


def read_image(path: str | os.PathLike[str], in_shape: tuple[int, int, int], ink: float = 1.0) -> Pixels:
    """The picture in a PNG, JPEG or other image file as (C, H, W) numbers from 0 to 1; see `prepare`.

    Errors: UserError for a file that is missing, is no picture, or is damaged.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            file.load()
            image = ImageOps.exif_transpose(file) or file
            if image.mode.startswith("I"):
                image = _in_eight_bits(image)
            if image.has_transparency_data:
                paper = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(paper, image.convert("RGBA"))
            image = image.convert("L" if in_shape[0] == 1 else "RGB")
    except FileNotFoundError as error:
        raise UserError(f"{os.fspath(path)}: no such file") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{os.fspath(path)}: not a picture that can be read ({reason})") from error
    return prepare(image, in_shape, ink)


def _in_eight_bits(image: Image) -> Image:
    """A grey picture of 16 bits in 8: Pillow's own conversion would cut off whatever is above 255."""
    from PIL import Image

    grey = np.asarray(image)
    if grey.size and not 0 <= grey.min() <= grey.max() < 2**16:
        raise ValueError(f"its grey values are {grey.min()} to {grey.max()}, expected 16 bits at most")
    return Image.fromarray((grey // 257).astype(np.uint8))


def prepare(image: Image, in_shape: tuple[int, int, int], ink: float = 1.0) -> Pixels:
    """A picture of any size as (C, H, W) numbers from 0 to 1.

    Grey pictures on a light ground are inverted. One that has the model's size stays as it is otherwise. Another is
    cut to what it shows, scaled (its aspect kept) so that the longer side is the share `ink` of the model's, and
    placed with its centre of mass in the middle, as MNIST was made; coloured ones are scaled to fit and centred.
    """
    channels, height, width = in_shape
    if channels == 1:
        grey = _light_on_dark(_as_numbers(image))
        return (grey if grey.shape == (height, width) else _centred(grey, height, width, ink))[None]
    pixels = _as_numbers(image)  # (H, W, C)
    if pixels.shape[:2] != (height, width):
        ground = np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]), axis=0)
        small = _resized(pixels, *_fit(pixels.shape[0], pixels.shape[1], height, width))
        canvas = np.broadcast_to(ground, (height, width, 3)).astype(np.float32)
        top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
        pixels = canvas
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))  # (H, W, C) -> (C, H, W)


def _as_numbers(image: Image) -> Pixels:
    """The pixels (H, W) or (H, W, C), from 0 to 1."""
    return np.asarray(image, np.float32) / np.float32(255)


def _light_on_dark(grey: Pixels) -> Pixels:
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return 1 - grey if np.median(border) > 0.5 else grey


def _box(grey: NDArray[Any]) -> tuple[int, int, int, int] | None:
    """The rows and columns (top, bottom, left, right) that hold ink, None for an even picture."""
    low, high = float(grey.min()), float(grey.max())
    inked = grey > low + _INK * (high - low)
    if not inked.any():
        return None
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _centred(grey: Pixels, height: int, width: int, ink: float) -> Pixels:
    box = _box(grey)
    if box is None:
        return np.full((height, width), grey.flat[0], np.float32)
    top, bottom, left, right = box
    ground = float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    small = grey[top:bottom, left:right] - ground  # the ground becomes black, whatever grey it was
    small = np.clip(small / (float(small.max()) or 1.0), 0, 1)
    rows, columns = _fit(bottom - top, right - left, round(height * ink), round(width * ink))
    small = _resized(small, rows, columns)
    mass = float(small.sum()) or 1.0
    middle_row = float((small.sum(axis=1) * (np.arange(rows) + 0.5)).sum()) / mass
    middle_column = float((small.sum(axis=0) * (np.arange(columns) + 0.5)).sum()) / mass
    top = min(max(round(height / 2 - middle_row), 0), height - rows)
    left = min(max(round(width / 2 - middle_column), 0), width - columns)
    canvas = np.zeros((height, width), np.float32)
    canvas[top : top + rows, left : left + columns] = small
    return canvas


def _fit(rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """The size with the aspect of rows x columns that just fits into height x width."""
    scale = min(height / rows, width / columns)
    return max(1, min(height, round(rows * scale))), max(1, min(width, round(columns * scale)))


def _resized(pixels: Pixels, rows: int, columns: int) -> Pixels:
    """The picture (H, W) or (H, W, C) at another size; each new pixel is a mean over what it covers."""
    from PIL import Image

    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    resized = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((columns, rows), Image.Resampling.BILINEAR))
        for plane in np.moveaxis(planes, -1, 0)  # (H, W, C) -> (C, H, W)
    ]
    return np.stack(resized, axis=-1).reshape(rows, columns, *pixels.shape[2:])

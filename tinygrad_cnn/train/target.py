"""What a command's target stands for: a run folder, a model's name, or `package.module:callable`."""

from __future__ import annotations

from pathlib import Path

from tinygrad_cnn import nn
from tinygrad_cnn.errors import UserError
from tinygrad_cnn.train.models import build
from tinygrad_cnn.train.run import Run

__all__ = ["load_target", "shape_hint"]


def load_target(target: str, input_shape: str | None, batch: int) -> tuple[nn.Module, tuple[int, ...], str]:
    """The model, the shape of a batch for it, and its name; without `input_shape`, the batch has that many images.

    input_shape: `1,28,28`, the shape of one image, or `8,1,28,28`, that of a batch.
    Errors: UserError for a shape that is none, and where no model is found.
    """
    if Path(target).is_dir():
        opened = Run.open(target)
        model, in_shape, name = opened.load_model(), opened.config.in_shape, opened.config.model
        return model, _shape(input_shape, batch) if input_shape is not None else (batch, *in_shape), name
    in_shape = (3, 32, 32) if target == "vgg" else (1, 28, 28)
    shape = _shape(input_shape, batch) if input_shape is not None else (batch, *in_shape)
    if len(shape) != 4 and ":" not in target:
        numbers = f"{len(shape)} number{'s' * (len(shape) != 1)}"
        raise UserError(f"--input-shape {input_shape} has {numbers}, expected C,H,W or N,C,H,W")
    channels, height, width = (*shape[1:], 1, 1, 1)[:3]
    return build(target, (channels, height, width), 10), shape, target


def shape_hint(input_shape: str | None, shape: tuple[int, ...]) -> str:
    """What to add to the error of a model that does not take the shape, if nobody has asked for it."""
    if input_shape is not None:
        return ""
    return f"; the input was of shape {','.join(map(str, shape[1:]))}, --input-shape takes another"


def _shape(text: str, batch: int) -> tuple[int, ...]:
    """`1,28,28` as the shape of a batch of such images, others as they are."""
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--input-shape is {text!r}, expected numbers like 1,28,28") from None
    if min(shape) < 1:
        raise UserError(f"--input-shape is {text!r}, expected numbers above 0")
    return (batch, *shape) if len(shape) == 3 else shape

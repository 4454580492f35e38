"""Sequences of different lengths, brought to one; PyTorch's packed sequences, for recurrent layers, are not here."""

from __future__ import annotations

from collections.abc import Iterable

from tinygrad_cnn import ops
from tinygrad_cnn.tensor import Tensor

__all__ = ["pad_sequence"]


def pad_sequence(
    sequences: Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Tensors of shapes (L, ...) with different L as one of shape (longest L, N, ...); gradients flow through it.

    batch_first: of shape (N, longest L, ...) instead. padding_side: "right" or "left", where `padding_value` goes.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.utils.rnn.pad_sequence([tg.ones(1), tg.ones(3)], batch_first=True)
    tensor([[1., 0., 0.],
            [1., 1., 1.]])
    """
    if padding_side not in ("left", "right"):
        raise ValueError(f"pad_sequence: padding_side is {padding_side!r}, expected 'left' or 'right'")
    parts = list(sequences)
    if not parts:
        raise ValueError("pad_sequence: there are no sequences, expected at least one")
    longest = max(len(x) for x in parts)
    padded = []
    for x in parts:
        missing = longest - len(x)
        ends = (missing, 0) if padding_side == "left" else (0, missing)
        padded.append(ops.pad(x, (0, 0) * (x.ndim - 1) + ends, value=padding_value))
    out: Tensor = ops.stack(padded, 0 if batch_first else 1)
    return out

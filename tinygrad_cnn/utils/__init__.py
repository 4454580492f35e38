"""Where PyTorch keeps `data` and `checkpoint`; here they are names for `tinygrad_cnn.data` and `func.checkpoint`."""

from __future__ import annotations

from tinygrad_cnn.utils import checkpoint, data

__all__ = ["checkpoint", "data"]

"""`torch.utils.checkpoint` under our name: all of it is in `tinygrad_cnn.func`."""

from __future__ import annotations

from tinygrad_cnn.func import checkpoint, checkpoint_sequential

__all__ = ["checkpoint", "checkpoint_sequential"]

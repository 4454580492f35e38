"""`torch.utils.data.dataloader` under our name."""

from __future__ import annotations

from tinygrad_cnn.data import collate, loader
from tinygrad_cnn.data.collate import *  # noqa: F403
from tinygrad_cnn.data.loader import *  # noqa: F403

__all__: list[str] = []
__all__ += collate.__all__
__all__ += loader.__all__

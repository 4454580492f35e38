"""`torch.utils.data.dataset` under our name."""

from __future__ import annotations

from tinygrad_cnn.data import dataset
from tinygrad_cnn.data.dataset import *  # noqa: F403

__all__: list[str] = []
__all__ += dataset.__all__

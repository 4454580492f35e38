"""`torch.utils.data.sampler` under our name."""

from __future__ import annotations

from tinygrad_cnn.data import sampler
from tinygrad_cnn.data.sampler import *  # noqa: F403

__all__: list[str] = []
__all__ += sampler.__all__

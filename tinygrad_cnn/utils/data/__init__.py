"""`torch.utils.data` under our name: all of it is in `tinygrad_cnn.data`."""

from __future__ import annotations

from tinygrad_cnn.utils.data import dataloader, dataset, sampler
from tinygrad_cnn.utils.data.dataloader import *
from tinygrad_cnn.utils.data.dataset import *
from tinygrad_cnn.utils.data.sampler import *

__all__: list[str] = []
__all__ += dataloader.__all__
__all__ += dataset.__all__
__all__ += sampler.__all__

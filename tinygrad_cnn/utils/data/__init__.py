"""`torch.utils.data` under our name: all of it is in `tinygrad_cnn.data`."""

from __future__ import annotations

from tinygrad_cnn.utils.data.dataloader import *
from tinygrad_cnn.utils.data.dataset import *
from tinygrad_cnn.utils.data.sampler import *

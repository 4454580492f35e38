"""`torch.utils.data.dataloader` under our name."""

from tinygrad_cnn.data.collate import *  # noqa: F403
from tinygrad_cnn.data.loader import *  # noqa: F403

"""`torch.utils.data.dataset` under our name."""

from tinygrad_cnn.data.dataset import *  # noqa: F403

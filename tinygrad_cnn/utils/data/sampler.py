"""`torch.utils.data.sampler` under our name."""

from tinygrad_cnn.data.sampler import *  # noqa: F403

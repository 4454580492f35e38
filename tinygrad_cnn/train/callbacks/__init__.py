"""What can be done while a model trains: save, stop early, write down, show. A callback of one's own is a small class.

They keep no state that a resumed training would need: what they decide by stands in the trainer's history.
"""

from __future__ import annotations

from tinygrad_cnn.train.callbacks.callback import Callback
from tinygrad_cnn.train.callbacks.live import LivePlot
from tinygrad_cnn.train.callbacks.progress import ProgressBar
from tinygrad_cnn.train.callbacks.saving import Checkpoint, MetricsFile
from tinygrad_cnn.train.callbacks.stopping import EarlyStopping
from tinygrad_cnn.train.callbacks.tensorboard import TensorBoard

__all__ = ["Callback", "Checkpoint", "EarlyStopping", "LivePlot", "MetricsFile", "ProgressBar", "TensorBoard"]

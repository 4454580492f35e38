"""A callback that shows the learning curves in a notebook while the model trains."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

from tinygrad_cnn import plot
from tinygrad_cnn.train.callbacks.callback import Callback

if TYPE_CHECKING:
    from tinygrad_cnn.train.loop import Trainer

__all__ = ["LivePlot"]


class LivePlot(Callback):
    """The curves of loss and accuracy below a notebook's cell, drawn anew every `seconds` and at the end of epochs.

    Outside of a notebook (or IPython) there is nowhere to show them, and nothing happens.
    """

    def __init__(self, seconds: float = 2.0) -> None:
        self.seconds = seconds
        self._place: Any = None
        self._next = 0.0

    def on_train_begin(self, trainer: Trainer) -> None:
        try:
            from IPython import get_ipython
            from IPython.display import Image, display
        except ImportError:
            return
        if get_ipython() is None:
            return
        self._image = Image
        self._place = display(Image(self._draw(trainer)), display_id=True)
        self._next = time.monotonic() + self.seconds

    def on_batch_end(self, trainer: Trainer) -> None:
        if time.monotonic() >= self._next:
            self._show(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._show(trainer)

    def on_train_end(self, trainer: Trainer) -> None:
        self._show(trainer)

    def _show(self, trainer: Trainer) -> None:
        if self._place is not None:
            self._place.update(self._image(self._draw(trainer)))
        self._next = time.monotonic() + self.seconds

    def _draw(self, trainer: Trainer) -> bytes:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.4), layout="constrained")
        plot.curves(trainer.history, figure=figure)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=90)
        return content.getvalue()

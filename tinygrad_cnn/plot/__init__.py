"""Pictures with matplotlib. Each function draws on the axes that it is given, or makes them (those with several panels
do so in a `figure` that is given), and returns them; none shows a window.

>>> import numpy as np
>>> axes = confusion([0, 1, 1], [0, 1, 0], classes=("cat", "dog"))
>>> axes.get_title()
'2 of 3 right'
"""

from __future__ import annotations

from tinygrad_cnn.plot.confusion import confusion
from tinygrad_cnn.plot.curves import curves
from tinygrad_cnn.plot.images import feature_maps, filters, refresher, samples
from tinygrad_cnn.plot.parameters import gradient_flow, weight_histograms
from tinygrad_cnn.plot.saliency import attribution, saliency

__all__ = [
    "attribution", "confusion", "curves", "feature_maps", "filters", "gradient_flow", "refresher", "saliency",
    "samples", "weight_histograms",
]  # fmt: skip

"""Pictures with matplotlib. Each function draws on the axes or figure that it is given, or makes them, and returns
the axes; none shows a window.

>>> import numpy as np
>>> axes = confusion([0, 1, 1], [0, 1, 0], classes=("cat", "dog"))
>>> axes.get_title()
'2 of 3 right'
"""

from __future__ import annotations

from tinygrad_cnn.plot.confusion import confusion
from tinygrad_cnn.plot.curves import curves
from tinygrad_cnn.plot.images import feature_maps, filters, refresher, samples

__all__ = ["confusion", "curves", "feature_maps", "filters", "refresher", "samples"]

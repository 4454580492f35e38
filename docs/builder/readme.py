"""The README's picture, the graph of the seed's CNN: `PYTHONPATH=. python docs/builder/readme.py` draws it anew."""

from __future__ import annotations

from pathlib import Path

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.train.models import build

ROOT = Path(__file__).parent.parent.parent
PICTURES = ROOT / "docs" / "pictures"


def draw(folder: Path) -> None:
    """Draw the seed's network from the images to the loss, for light and dark pages."""
    tg.manual_seed(42)
    model = build("seed")
    images, labels = (tensor[:10] for tensor in tg.data.mnist()[0].tensors())
    graph = tg.graph.capture(
        lambda images, labels: F.cross_entropy(model(images), labels), images, labels, title="the seed's CNN"
    )
    for name, theme in (("seed.svg", "light"), ("seed-dark.svg", "dark")):
        graph.save(folder / name, theme=theme, direction="LR", parameters="nodes", legend=False)


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    draw(PICTURES)

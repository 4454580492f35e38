"""The README's picture, the graph of the seed's CNN: `PYTHONPATH=. python docs/builder/readme.py` draws it anew."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.random import Generator

ROOT = Path(__file__).parent.parent.parent
PICTURES = ROOT / "docs" / "pictures"


def draw(folder: Path) -> None:
    """Draw the network of examples/seed.py from the images to the loss, for light and dark pages."""
    spec = importlib.util.spec_from_file_location("seed", ROOT / "examples" / "seed.py")
    assert spec
    assert spec.loader
    seed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seed)
    model = seed.Seed(Generator().manual_seed(42))
    images, labels = (tensor[:10] for tensor in tg.data.mnist()[0].tensors())
    graph = tg.graph.capture(
        lambda images, labels: F.cross_entropy(model.scores(images), labels),
        images,
        labels,
        names={"filters": model.filters, "weight": model.weight},
        title="the seed's CNN",
    )
    for name, theme in (("seed.svg", "light"), ("seed-dark.svg", "dark")):
        graph.save(folder / name, theme=theme, direction="LR", parameters="nodes", legend=False)


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    draw(PICTURES)

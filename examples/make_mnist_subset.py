"""Make the subset of MNIST that the package bundles: 500 training and 100 test images of each digit.

    python examples/make_mnist_subset.py FOLDER OUT

FOLDER holds MNIST's four IDX files, gzipped or not; OUT gets the subset under the same names, gzipped.
The images are drawn with a fixed seed and keep their order; the same FOLDER gives the same bytes again.
"""

from __future__ import annotations

import argparse
import gzip
import struct
from pathlib import Path

import numpy as np

from tinygrad_cnn.data import Images, mnist

SEED = 1998  # the year in which MNIST was published


def draw(images: Images, per_class: int, rng: np.random.Generator) -> Images:
    """The same number of images of each class, in their order."""
    rows = [np.flatnonzero(images.labels == label) for label in range(len(images.classes))]
    if min(map(len, rows)) < per_class:
        raise SystemExit(f"the rarest class has {min(map(len, rows))} images, expected at least {per_class}")
    return images.take(np.sort(np.concatenate([rng.permutation(r)[:per_class] for r in rows])))


def write_idx(path: Path, array: np.ndarray) -> None:
    """A gzipped IDX file of bytes, with no name and no date in its header."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as zipped:
        zipped.write(header + array.tobytes())


def main() -> None:
    """Read FOLDER, write OUT."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--per-class", type=int, nargs=2, default=(500, 100), metavar=("TRAIN", "TEST"))
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts = zip(("train", "t10k"), mnist(arguments.folder), arguments.per_class, strict=True)
    for part, images, count in parts:
        subset = draw(images, count, rng)
        write_idx(arguments.out / f"{part}-images-idx3-ubyte.gz", subset.images[:, 0])
        write_idx(arguments.out / f"{part}-labels-idx1-ubyte.gz", subset.labels.astype(np.uint8))


if __name__ == "__main__":
    main()

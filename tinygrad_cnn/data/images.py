"""Labelled images: MNIST (a subset comes with the package), Fashion-MNIST, OpenML's and scikit-learn's digits.

The bundled subset, in `mnist_subset/`, holds 5,000 of the 60,000 training images and 1,000 of the 10,000 test
images of MNIST, 500 and 100 of each digit, otherwise unchanged. MNIST is by Yann LeCun, Corinna Cortes and
Christopher J.C. Burges (http://yann.lecun.com/exdb/mnist/), made from NIST's Special Databases 1 and 3, and
is published under the Creative Commons Attribution-Share Alike 3.0 licence (CC BY-SA 3.0); so is the subset.
`examples/make_mnist_subset.py` made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_cnn.autograd import wrap
from tinygrad_cnn.data.dataset import Dataset
from tinygrad_cnn.data.idx import read_idx
from tinygrad_cnn.tensor import Tensor

__all__ = ["Images", "digits", "fashion_mnist", "mnist", "openml"]

SUBSET = Path(__file__).with_name("mnist_subset")
DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Images(Dataset[tuple[Tensor, int]]):
    """Images (N, C, H, W) uint8 with labels (N,) int64; a sample is (float32 Tensor (C, H, W), label).

    Pixels are kept as bytes, and turned into (pixel / white - mean) / std when a sample or batch is taken;
    `mean` and `std` are numbers, or one number for each channel.
    Errors: ValueError when shapes, types or labels do not fit together.

    >>> train, test = mnist()
    >>> train
    Images(5000 x (1, 28, 28), 10 classes)
    >>> image, label = test[0]
    >>> image.shape == (1, 28, 28), test.classes[label]
    (True, '5')
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = DIGITS
    white: float = 255.0
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(f"Images: images are {images.dtype} {images.shape}, expected uint8 (N, C, H, W)")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"Images: labels are {labels.dtype} {labels.shape}, expected int64 {images.shape[:1]} "
                f"for {len(images)} images"
            )
        if labels.size and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise ValueError(
                f"Images: labels run from {labels.min()} to {labels.max()}, expected 0 to {len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return wrap(self._normalized(self.images[index][None])[0]), int(self.labels[index])

    def get_batch(self, indices: Sequence[int] | NDArray[np.intp]) -> list[Tensor]:
        """The images (B, C, H, W) float32 and labels (B,) int64 with these numbers."""
        rows = np.asarray(indices, np.intp)
        return [wrap(self._normalized(self.images[rows])), wrap(self.labels[rows])]

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All images (N, C, H, W) float32 and all labels (N,) int64."""
        return wrap(self._normalized(self.images)), Tensor(self.labels)

    def take(self, indices: ArrayLike | slice) -> Images:
        """The images with these numbers (an array or a slice) as a set of their own.

        >>> mnist()[0].take(slice(10))
        Images(10 x (1, 28, 28), 10 classes)
        """
        rows = indices if isinstance(indices, slice) else np.asarray(indices)
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    def normalize(self, mean: float | Sequence[float], std: float | Sequence[float]) -> Images:
        """The same images, given out with another mean and std (of pixels from 0 to 1); (0, 1) leaves 0 to 1."""
        return replace(self, mean=mean, std=std)

    def _normalized(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(pixel / white - mean) / std, as (pixel - mean * white) / (std * white) in one new array."""
        mean, std = (
            np.reshape(np.asarray(v, np.float32) * np.float32(self.white), (-1, 1, 1)) for v in (self.mean, self.std)
        )
        out = images.astype(np.float32)
        out -= mean
        out /= std
        return out

    def __repr__(self) -> str:
        return f"Images({len(self)} x {self.images.shape[1:]}, {len(self.classes)} classes)"


def mnist(root: str | PathLike[str] | None = None) -> tuple[Images, Images]:
    """MNIST's training and test set: the bundled subset (5,000 and 1,000 images), or a folder of IDX files.

    The folder holds the four files under their usual names (`train-images-idx3-ubyte` ...), gzipped or not.
    Pixels are normalized with MNIST's mean 0.1307 and standard deviation 0.3081.
    Errors: ValueError for a folder without these files, or files that do not fit together.

    >>> train, test = mnist()
    >>> len(train), len(test)
    (5000, 1000)
    """
    return _read_folder(SUBSET if root is None else Path(root), DIGITS, 0.1307, 0.3081)


def fashion_mnist(root: str | PathLike[str]) -> tuple[Images, Images]:
    """Fashion-MNIST's training and test set, from a folder of its IDX files, as for `mnist`.

    Source: Xiao, Rasul, Vollgraf, Fashion-MNIST (2017), arXiv:1708.07747.
    Pixels are normalized with its mean 0.2860 and standard deviation 0.3530.
    """
    return _read_folder(Path(root), CLOTHES, 0.2860, 0.3530)


def _read_folder(folder: Path, classes: tuple[str, ...], mean: float, std: float) -> tuple[Images, Images]:
    def read(part: str) -> Images:
        image_file, label_file = (_find(folder, f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
        images, labels = read_idx(image_file), read_idx(label_file)
        if not images.size:
            raise ValueError(f"{image_file}: holds no image, its shape is {images.shape}; expected at least one")
        if images.ndim != 3 or images.dtype != np.uint8:
            raise ValueError(f"{image_file}: holds {images.dtype} {images.shape}, expected images: uint8 (N, H, W)")
        if labels.shape != (len(images),) or labels.dtype != np.uint8:
            raise ValueError(
                f"{label_file}: holds {labels.dtype} {labels.shape}, "
                f"expected labels of {len(images)} images: uint8 ({len(images)},)"
            )
        if labels.max() >= len(classes):
            raise ValueError(f"{label_file}: holds the label {labels.max()}, expected 0 to {len(classes) - 1}")
        return Images(images[:, None], labels.astype(np.int64), classes, mean=mean, std=std)

    train, test = read("train"), read("t10k")
    if test.images.shape[1:] != train.images.shape[1:]:
        sizes = ["x".join(map(str, part.images.shape[2:])) for part in (test, train)]
        raise ValueError(f"{folder}: the test images are {sizes[0]}, the training images {sizes[1]}; expected one size")
    return train, test


def _find(folder: Path, name: str) -> Path:
    """The file with this name, with `.idx` for `-idx` as some copies have it, gzipped or not."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder, expected one with MNIST's four IDX files")
    for candidate in (name, name.replace("-idx", ".idx")):
        for path in (folder / candidate, folder / f"{candidate}.gz"):
            if path.is_file():
                return path
    raise ValueError(f"{folder}: has no file {name} or {name}.gz, expected MNIST's four IDX files there")


def digits(*, test_size: float = 0.2, seed: int = 42) -> tuple[Images, Images]:
    """scikit-learn's 1,797 digits of 8 x 8 pixels, cut into a training and a test set with each digit's share.

    Source: Alpaydin, Kaynak, Optical Recognition of Handwritten Digits, UCI (1998); pixels run from 0 to 16.

    >>> digits()
    (Images(1437 x (1, 8, 8), 10 classes), Images(360 x (1, 8, 8), 10 classes))
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = Images(_as_pictures(pixels, "digits"), labels.astype(np.int64), white=16.0, mean=0.3053, std=0.3760)
    rows = train_test_split(np.arange(len(images)), test_size=test_size, random_state=seed, stratify=labels)
    return images.take(rows[0]), images.take(rows[1])


def openml(
    name: str = "mnist_784",
    version: int = 1,
    *,
    data_home: str | PathLike[str] | None = None,
    test_size: float = 0.2,
    seed: int = 42,
) -> tuple[Images, Images]:
    """A set of square grey images from openml.org, cut at random into a training and a test set.

    It is downloaded once, by scikit-learn's `fetch_openml` into its cache `data_home` (default:
    ~/scikit_learn_data); reading all of MNIST from there takes about 20 s and 1.7 GB of memory.
    Pixels are normalized as for `mnist`.
    Errors: OSError when it cannot be downloaded, ValueError when there is no such set, or it holds no square images.
    """
    from sklearn.datasets import fetch_openml
    from sklearn.model_selection import train_test_split

    try:
        pixels, target = fetch_openml(
            name, version=version, data_home=data_home, as_frame=False, return_X_y=True, parser="liac-arff"
        )
    except OSError as error:
        raise OSError(f"openml: could not download {name!r} from openml.org: {error}") from error
    classes, labels = np.unique(target.astype(str), return_inverse=True)
    images = Images(
        _as_pictures(pixels, f"openml: {name}"),
        labels.astype(np.int64),
        tuple(map(str, classes)),
        mean=0.1307,
        std=0.3081,
    )
    rows = train_test_split(np.arange(len(images)), test_size=test_size, random_state=seed)
    return images.take(rows[0]), images.take(rows[1])


def _as_pictures(pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Rows of H*H pixels as pictures: (N, H*H) -> (N, 1, H, H)."""
    side = isqrt(pixels.shape[1])
    if side * side != pixels.shape[1]:
        raise ValueError(f"{name}: {pixels.shape[1]} columns, expected the pixels of a square image")
    with np.errstate(invalid="ignore"):
        values = pixels.astype(np.uint8)
    if not np.array_equal(values, pixels):
        raise ValueError(f"{name}: values are no bytes, expected whole numbers from 0 to 255")
    return values.reshape(-1, 1, side, side)

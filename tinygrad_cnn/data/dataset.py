"""Datasets: anything with `len(dataset)` and `dataset[i]`, and ways to cut and join them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from tinygrad_cnn.data.collate import default_collate
from tinygrad_cnn.random import Generator, default_generator
from tinygrad_cnn.tensor import Tensor

__all__ = [
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "Subset",
    "TensorDataset",
    "fetch_batch",
    "random_split",
]

T = TypeVar("T", covariant=True)


class Dataset(Generic[T]):
    """Samples that are found by number: a subclass has `__getitem__(index)` and `__len__()`.

    A subclass that can gather many samples faster than one by one also has `get_batch(indices)`;
    a `DataLoader` without a `collate_fn` of its own then calls that.

    >>> class Squares(Dataset):
    ...     def __len__(self): return 4
    ...     def __getitem__(self, index): return index, index**2
    >>> Squares()[3]
    (3, 9)
    """

    def __getitem__(self, index: int) -> T:
        raise NotImplementedError(f"{type(self).__name__}: has no __getitem__, expected one that takes an index")

    def get_batch(self, indices: Sequence[int]) -> Any:
        """The samples with these numbers as one batch, as `default_collate` would join them."""
        return default_collate([self[i] for i in indices])

    def __add__(self, other: Dataset[Any]) -> ConcatDataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T]):
    """Samples that come one after the other, from `__iter__` alone: a stream, a file, a generator.

    >>> class Count(IterableDataset):
    ...     def __iter__(self): return iter(range(3))
    >>> list(Count())
    [0, 1, 2]
    """

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__}: has no __iter__, expected one that yields samples")


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample i is the i-th row of every tensor; the tensors (or arrays) have the same first size.

    Errors: ValueError when there is no tensor, when one has no first axis, or when the first sizes differ.

    >>> import numpy as np
    >>> x, y = np.zeros((5, 1, 2, 2)), np.arange(5)
    >>> dataset = TensorDataset(x, y)
    >>> len(dataset), dataset[3][1].item()
    (5, 3)
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor | NDArray[Any]) -> None:
        self.tensors = tuple(t if isinstance(t, Tensor) else Tensor(np.asarray(t)) for t in tensors)
        shapes = [tuple(t.shape) for t in self.tensors]
        if not shapes or () in shapes:
            raise ValueError(f"TensorDataset: shapes are {shapes}, expected tensors with at least one axis")
        if len({shape[0] for shape in shapes}) > 1:
            raise ValueError(f"TensorDataset: first sizes differ in the shapes {shapes}, expected one size")

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def get_batch(self, indices: Sequence[int]) -> list[Tensor]:
        """The rows with these numbers of every tensor, taken at once."""
        rows = np.asarray(indices)
        return [t[rows] for t in self.tensors]


class Subset(Dataset[T]):
    """The samples of `dataset` with the numbers `indices`, in that order.

    >>> Subset("abcdef", [4, 1])[0]
    'e'
    """

    def __init__(self, dataset: Dataset[T], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> T:
        return self.dataset[self.indices[index]]

    def get_batch(self, indices: Sequence[int]) -> Any:
        """The batch that the whole dataset gives for the numbers behind `indices`."""
        return fetch_batch(self.dataset, [self.indices[i] for i in indices])


class ConcatDataset(Dataset[T]):
    """Several datasets, one after the other.

    >>> joined = ConcatDataset(["abc", "de"])
    >>> len(joined), joined[3], joined[-1]
    (5, 'd', 'e')
    """

    def __init__(self, datasets: Iterable[Dataset[T]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: got 0 datasets, expected at least one")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise TypeError("ConcatDataset: got an IterableDataset, expected datasets with numbered samples")
        self.cumulative_sizes = list(accumulate(length(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"ConcatDataset: index is {index}, expected one within {len(self)} samples")
        part = bisect_right(self.cumulative_sizes, position)
        start = self.cumulative_sizes[part - 1] if part else 0
        return self.datasets[part][position - start]


def random_split(
    dataset: Dataset[T], lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset[T]]:
    """Cut `dataset` at random into parts of these lengths, or of these fractions when they sum to 1.

    Fractions are rounded down; the samples that are left over go to the first parts, one each.
    The numbers come from `generator` (default: the one that `manual_seed` sets).
    Errors: ValueError when a length is negative, or when the lengths do not sum to `len(dataset)`.

    >>> parts = random_split(range(10), [0.75, 0.25], Generator().manual_seed(0))
    >>> [len(part) for part in parts]
    [8, 2]
    """
    total = length(dataset)
    counts = _counts(lengths, total)
    order = (generator or default_generator).numpy.permutation(total).tolist()
    ends = list(accumulate(counts))
    return [Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends, strict=True)]


def _counts(lengths: Sequence[int | float], total: int) -> list[int]:
    """The lengths of the parts in samples; fractions become counts."""
    if any(not part >= 0 for part in lengths):
        raise ValueError(f"random_split: lengths are {list(lengths)}, expected none below 0")
    if math.isclose(sum(lengths), 1):
        counts = [math.floor(total * part) for part in lengths]
        for i in range(total - sum(counts)):
            counts[i % len(counts)] += 1
        return counts
    if sum(lengths) != total or any(part != int(part) for part in lengths):
        raise ValueError(
            f"random_split: lengths {list(lengths)} sum to {sum(lengths)}, "
            f"expected counts that sum to {total} or fractions that sum to 1"
        )
    return [int(part) for part in lengths]


def length(dataset: Any) -> int:
    """`len(dataset)`, with an error that names the class when it has none."""
    if not hasattr(dataset, "__len__"):
        raise TypeError(f"{type(dataset).__name__}: has no __len__, expected a dataset with a known length")
    return len(dataset)


def fetch_batch(dataset: Any, indices: Sequence[int]) -> Any:
    """The samples with these numbers as one batch: by `dataset.get_batch` where it holds, else one by one.

    A class that overrides `__getitem__` below the class that wrote `get_batch` changes what a sample is;
    its `__getitem__` is then the truth, and `get_batch` is left alone.
    """
    if isinstance(dataset, Dataset) and _is_current(type(dataset)):
        return dataset.get_batch(indices)
    return default_collate([dataset[i] for i in indices])


def _is_current(kind: type) -> bool:
    """Whether `get_batch` was written in the same class as `__getitem__`, or in one derived from it."""
    batch, item = (next(c for c in kind.__mro__ if name in vars(c)) for name in ("get_batch", "__getitem__"))
    return issubclass(batch, item)

"""Samplers: the order in which an epoch asks for samples, and ways to draw it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from tinygrad_cnn.creation import multinomial
from tinygrad_cnn.data.dataset import length
from tinygrad_cnn.random import Generator, default_generator
from tinygrad_cnn.tensor import Tensor

__all__ = [
    "BatchSampler", "RandomSampler", "Sampler", "SequentialSampler", "SubsetRandomSampler", "WeightedRandomSampler",
]  # fmt: skip

T = TypeVar("T", covariant=True)


class Sampler(Generic[T]):
    """The order of an epoch: a subclass has `__iter__`, which gives sample numbers, and `__len__`.

    One that draws random numbers also has `again()`, which gives the last order once more, and `state_dict()`
    and `load_state_dict(state)` for what that takes: then a `DataLoader` can go on in the middle of an epoch.
    """

    def __init__(self, data_source: Any = None) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__}: has no __iter__, expected one that gives sample numbers")

    def again(self) -> Iterator[T]:
        """The order of the last epoch once more."""
        return iter(self)

    def state_dict(self) -> dict[str, Any]:
        """What `again` needs and what the next orders depend on, fit for JSON."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""


class SequentialSampler(Sampler[int]):
    """The numbers 0, 1, ... of a dataset's samples, in order.

    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return length(self.data_source)


class _Drawn(Sampler[int]):
    """An order drawn anew for each epoch, from a seed that comes from `generator` (default: `manual_seed`'s)."""

    def __init__(self, num_samples: int, generator: Generator | None) -> None:
        self.num_samples = num_samples
        self.generator = generator
        self._seed = 0  # of the last epoch

    def _order(self, generator: Generator) -> np.ndarray:
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        self._seed = int((self.generator or default_generator).numpy.integers(2**63))
        return self.again()

    def again(self) -> Iterator[int]:
        """The order of the last epoch once more."""
        return iter(self._order(Generator().manual_seed(self._seed)).tolist())

    def __len__(self) -> int:
        return self.num_samples

    def state_dict(self) -> dict[str, Any]:
        """The seed of the last epoch and the state of the own generator, fit for JSON."""
        return {"seed": self._seed, "generator": self.generator.get_state() if self.generator else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._seed = state["seed"]
        if self.generator and state["generator"]:
            self.generator.set_state(state["generator"])


class RandomSampler(_Drawn):
    """The numbers of a dataset's samples, shuffled anew for each epoch; with `replacement`, drawn freely.

    Each epoch's seed comes from `generator` (default: the one that `manual_seed` sets).
    `num_samples` (default: the size of the dataset) is the length of an epoch.
    Errors: ValueError when there is nothing to draw from, or `num_samples` is not positive.

    >>> sorted(RandomSampler("abc"))
    [0, 1, 2]
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(length(data_source) if num_samples is None else num_samples, generator)
        self.data_source = data_source
        self.replacement = replacement
        if self.num_samples <= 0:
            raise ValueError(f"RandomSampler: num_samples is {self.num_samples}, expected a positive number")

    def _order(self, generator: Generator) -> np.ndarray:
        size = length(self.data_source)
        if self.replacement:
            return generator.numpy.integers(size, size=self.num_samples)
        rounds = -(-self.num_samples // size)  # each sample comes once before any comes twice
        return np.concatenate([generator.numpy.permutation(size) for _ in range(rounds)])[: self.num_samples]


class SubsetRandomSampler(_Drawn):
    """The sample numbers `indices`, each once, shuffled anew for each epoch.

    >>> sorted(SubsetRandomSampler([7, 3, 5]))
    [3, 5, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        super().__init__(len(indices), generator)
        self.indices = indices

    def _order(self, generator: Generator) -> np.ndarray:
        return np.array([int(i) for i in self.indices], np.int64)[generator.numpy.permutation(len(self.indices))]


class WeightedRandomSampler(_Drawn):
    """`num_samples` numbers of samples, number i with a chance as large as `weights[i]` (which need not sum to 1).

    Without `replacement` no number comes twice in an epoch.
    Errors: ValueError where the weights cannot give that many, or are no such numbers; see `multinomial`.

    >>> list(WeightedRandomSampler([0.0, 1.0, 0.0], 4))
    [1, 1, 1, 1]
    """

    def __init__(
        self,
        weights: Sequence[float] | Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(num_samples, generator)
        self.weights = Tensor(np.array(weights, np.float64))
        self.replacement = replacement
        self._order(Generator().manual_seed(0))  # what does not fit is told at once, not in the first epoch

    def _order(self, generator: Generator) -> np.ndarray:
        return multinomial(self.weights, self.num_samples, self.replacement, generator=generator)._array


class BatchSampler(Sampler[list[int]]):
    """The numbers that `sampler` gives in lists of `batch_size`; `drop_last` leaves out a last one that is not full.

    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(f"BatchSampler: batch_size is {batch_size!r}, expected an integer of at least 1")
        self.sampler = sampler
        self.batch_size = int(batch_size)
        self.drop_last = drop_last

    def _batches(self, order: Iterator[int]) -> Iterator[list[int]]:
        while chunk := list(islice(order, self.batch_size)):
            if self.drop_last and len(chunk) < self.batch_size:
                return
            yield chunk

    def __iter__(self) -> Iterator[list[int]]:
        return self._batches(iter(self.sampler))

    def again(self) -> Iterator[list[int]]:
        """The batches of the last epoch once more."""
        return self._batches(self.sampler.again() if isinstance(self.sampler, Sampler) else iter(self.sampler))

    def __len__(self) -> int:
        samples = length(self.sampler)
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """What the sampler's `state_dict` gives."""
        return self.sampler.state_dict() if isinstance(self.sampler, Sampler) else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        if isinstance(self.sampler, Sampler):
            self.sampler.load_state_dict(state)

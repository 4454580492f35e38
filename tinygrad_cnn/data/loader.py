"""DataLoader: a dataset in batches, in order or shuffled, with a position that can be saved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from tinygrad_cnn.data.collate import default_collate
from tinygrad_cnn.data.dataset import IterableDataset, fetch_batch, length
from tinygrad_cnn.data.transforms import Transform
from tinygrad_cnn.random import Generator, default_generator
from tinygrad_cnn.tensor import Tensor

__all__ = ["DataLoader", "RandomSampler", "Sampler", "SequentialSampler"]


class Sampler:
    """The order of an epoch: a subclass has `__iter__`, which gives sample numbers, and `__len__`.

    One that draws random numbers also has `again()`, which gives the last order once more, and `state_dict()`
    and `load_state_dict(state)` for what that takes: then a `DataLoader` can go on in the middle of an epoch.
    """

    def __iter__(self) -> Iterator[int]:
        raise NotImplementedError(f"{type(self).__name__}: has no __iter__, expected one that gives sample numbers")

    def again(self) -> Iterator[int]:
        """The order of the last epoch once more."""
        return iter(self)

    def state_dict(self) -> dict[str, Any]:
        """What `again` needs and what the next orders depend on, fit for JSON."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""


class SequentialSampler(Sampler):
    """The numbers 0, 1, ... of a dataset's samples, in order.

    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return length(self.data_source)


class RandomSampler(Sampler):
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
        self.data_source = data_source
        self.replacement = replacement
        self.num_samples = length(data_source) if num_samples is None else num_samples
        self.generator = generator
        self._seed = 0  # of the last epoch
        if self.num_samples <= 0:
            raise ValueError(f"RandomSampler: num_samples is {self.num_samples}, expected a positive number")

    def __iter__(self) -> Iterator[int]:
        self._seed = int((self.generator or default_generator).numpy.integers(2**63))
        return self.again()

    def again(self) -> Iterator[int]:
        """The order of the last epoch once more."""
        return iter(self._order(Generator().manual_seed(self._seed).numpy).tolist())

    def __len__(self) -> int:
        return self.num_samples

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        size = length(self.data_source)
        if self.replacement:
            return rng.integers(size, size=self.num_samples)
        rounds = -(-self.num_samples // size)  # each sample comes once before any comes twice
        return np.concatenate([rng.permutation(size) for _ in range(rounds)])[: self.num_samples]

    def state_dict(self) -> dict[str, Any]:
        """The seed of the last epoch and the state of the own generator, fit for JSON."""
        return {"seed": self._seed, "generator": self.generator.get_state() if self.generator else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._seed = state["seed"]
        if self.generator and state["generator"]:
            self.generator.set_state(state["generator"])


class DataLoader:
    """Batches of `batch_size` samples: what `for x, y in DataLoader(dataset, 64, shuffle=True)` runs over.

    Samples are joined by `collate_fn` (default: `default_collate`, or the dataset's own `get_batch`, which
    takes a whole batch at once). `drop_last` leaves out a last batch that is not full. `transform` is a
    function (array, generator) -> array, applied to the first entry of each batch (the images).
    `generator` feeds the shuffling and `transform` (default: the one that `manual_seed` sets).
    `num_workers`, `pin_memory` and `persistent_workers` change nothing: samples are loaded in this process.

    `state_dict()` is the position, as plain numbers fit for JSON. A loader made with the same arguments that
    gets it by `load_state_dict` goes on with exactly the batches that remained. Without a `generator`,
    the numbers for `transform` come from the default generator, whose state is not part of the position.
    Errors: ValueError for a batch size below 1, or a sampler together with `shuffle` or a stream.

    >>> loader = DataLoader(range(5), batch_size=2)
    >>> [batch.tolist() for batch in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool | None = None,
        *,
        sampler: Iterable[int] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        generator: Generator | None = None,
        persistent_workers: bool = False,
        transform: Transform | None = None,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)):
            raise TypeError(f"DataLoader: batch_size is {batch_size!r}, expected an integer")
        if batch_size < 1:
            raise ValueError(f"DataLoader: batch_size is {batch_size}, expected at least 1")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: got a sampler and shuffle=True, expected one of the two")
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.generator = generator
        self.persistent_workers = persistent_workers
        self.transform = transform
        self.sampler = self._choose_sampler(sampler, bool(shuffle))
        self._position = 0  # samples that this epoch has handed out
        self._resumed = 0  # samples that the next epoch leaves out, because a saved position had handed them out

    def _choose_sampler(self, sampler: Iterable[int] | None, shuffle: bool) -> Iterable[int] | None:
        if isinstance(self.dataset, IterableDataset):
            if sampler is not None or shuffle:
                raise ValueError("DataLoader: got an IterableDataset, expected no sampler and no shuffle with it")
            return None
        if sampler is not None:
            return sampler
        return RandomSampler(self.dataset, generator=self.generator) if shuffle else SequentialSampler(self.dataset)

    def __len__(self) -> int:
        samples = self._samples()
        if samples is None:
            raise TypeError("DataLoader: has no length, because its dataset or sampler has none")
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        self._position = self._resumed
        order = self._order(again=self._resumed > 0)
        self._resumed = 0
        remaining = islice(order, self._position, None)
        while chunk := list(islice(remaining, self.batch_size)):
            if self.drop_last and len(chunk) < self.batch_size:
                break
            batch = self._transformed(self._fetch(chunk))
            self._position += len(chunk)
            yield batch
        self._position = 0

    def _order(self, again: bool) -> Iterator[Any]:
        """The sample numbers of a new epoch, or of the last one again; a stream gives the samples themselves."""
        if self.sampler is None:
            return iter(self.dataset)
        return self.sampler.again() if again and isinstance(self.sampler, Sampler) else iter(self.sampler)

    def _fetch(self, chunk: list[Any]) -> Any:
        """The batch of these sample numbers; a stream's chunk holds the samples themselves."""
        if self.sampler is None:
            return (self.collate_fn or default_collate)(chunk)
        if self.collate_fn is None:
            return fetch_batch(self.dataset, chunk)
        return self.collate_fn([self.dataset[i] for i in chunk])

    def _transformed(self, batch: Any) -> Any:
        """The batch with `transform` applied to its images: its first entry, or itself when it is a Tensor."""
        if self.transform is None:
            return batch
        if isinstance(batch, Tensor):
            return Tensor(self.transform(batch.array, self.generator or default_generator))
        if isinstance(batch, (list, tuple)) and isinstance(batch[0], Tensor):
            return [self._transformed(batch[0]), *batch[1:]]
        raise TypeError(
            f"DataLoader: transform meets a batch of type {type(batch).__name__}, "
            "expected a Tensor, or a list or tuple that starts with one"
        )

    def state_dict(self) -> dict[str, Any]:
        """The position: samples handed out in this epoch, and what is needed to repeat its order."""
        return {
            "position": self._position,
            "samples": self._samples(),
            "sampler": self.sampler.state_dict() if isinstance(self.sampler, Sampler) else {},
            "generator": self.generator.get_state() if self.generator else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position: the next `iter` gives the batches that remained when it was saved.

        Errors: ValueError when the position was saved over another number of samples.
        """
        if state["samples"] != self._samples():
            raise ValueError(
                f"load_state_dict: position was saved over {state['samples']} samples, "
                f"expected {self._samples()} as in this loader"
            )
        self._position = self._resumed = state["position"]
        if self.generator and state["generator"]:
            self.generator.set_state(state["generator"])
        if isinstance(self.sampler, Sampler):
            self.sampler.load_state_dict(state["sampler"])

    def _samples(self) -> int | None:
        """The length of an epoch in samples, None for a stream of unknown length."""
        source: Any = self.dataset if self.sampler is None else self.sampler
        return len(source) if hasattr(source, "__len__") else None

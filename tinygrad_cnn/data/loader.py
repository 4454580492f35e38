"""DataLoader: a dataset in batches, in order or shuffled, with a position that can be saved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from types import NoneType
from typing import Any

import numpy as np

from tinygrad_cnn.data.collate import default_collate, default_convert
from tinygrad_cnn.data.dataset import IterableDataset, fetch_batch
from tinygrad_cnn.data.sampler import RandomSampler, Sampler, SequentialSampler
from tinygrad_cnn.data.transforms import Transform
from tinygrad_cnn.random import Generator, default_generator
from tinygrad_cnn.tensor import Tensor

__all__ = ["DataLoader", "get_worker_info"]


def get_worker_info() -> None:
    """None, as PyTorch says in the process that loads everything itself: there are no worker processes.

    >>> get_worker_info() is None
    True
    """


class DataLoader:
    """Batches of `batch_size` samples: what `for x, y in DataLoader(dataset, 64, shuffle=True)` runs over.

    `sampler` gives the order of an epoch as sample numbers (default: all in order, or with `shuffle` drawn anew);
    `batch_sampler` gives whole lists of them, and decides on the batches alone. With `batch_size=None` samples come
    one by one, not joined. Samples are joined by `collate_fn` (default: `default_collate`, or the dataset's own
    `get_batch`, which takes a whole batch at once). `drop_last` leaves out a last batch that is not full. `transform`
    is a function (array, generator) -> array, applied to the first entry of each batch (the images).
    `generator` feeds the shuffling and `transform` (default: the one that `manual_seed` sets).
    What speaks of workers and memory is kept and changes nothing: samples are loaded in this process, in order, and
    `worker_init_fn` is never called.

    `state_dict()` is the position, as plain numbers fit for JSON. A loader made with the same arguments that
    gets it by `load_state_dict` goes on with exactly the batches that remained. Without a `generator`,
    the numbers for `transform` come from the default generator, whose state is not part of the position.
    Errors: ValueError for a batch size below 1, a negative number of workers or seconds, what speaks of workers where
    there are none, or a sampler together with what it would replace, or a stream.

    >>> loader = DataLoader(range(5), batch_size=2)
    >>> [batch.tolist() for batch in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        transform: Transform | None = None,
    ) -> None:
        for name, value in (("num_workers", num_workers), ("timeout", timeout), ("prefetch_factor", prefetch_factor)):
            if value is not None and value < 0:
                raise ValueError(f"DataLoader: {name} is {value}, expected at least 0")
        for name, given in {
            "prefetch_factor": prefetch_factor,
            "persistent_workers": persistent_workers or None,
            "multiprocessing_context": multiprocessing_context,
        }.items():
            if given is not None and num_workers == 0:
                raise ValueError(f"DataLoader: got {name}={given!r} and num_workers=0, expected some workers with it")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("DataLoader: got a batch_sampler, expected no batch_size, shuffle, sampler, drop_last")
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("DataLoader: got batch_size=None and drop_last=True, but samples come one by one")
        elif isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer, NoneType)):
            raise TypeError(f"DataLoader: batch_size is {batch_size!r}, expected an integer")
        elif batch_size is not None and batch_size < 1:
            raise ValueError(f"DataLoader: batch_size is {batch_size}, expected at least 1")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: got a sampler and shuffle=True, expected one of the two")
        if isinstance(dataset, IterableDataset) and (sampler is not None or batch_sampler is not None or shuffle):
            raise ValueError("DataLoader: got an IterableDataset, expected no sampler and no shuffle with it")
        self.dataset = dataset
        self.batch_size = None if batch_size is None else int(batch_size)
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.persistent_workers = persistent_workers
        self.pin_memory_device = pin_memory_device
        self.in_order = in_order
        self.transform = transform
        self.batch_sampler = batch_sampler
        self.sampler = sampler
        if sampler is None and not isinstance(dataset, IterableDataset):
            self.sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        self._source: Any = next(x for x in (batch_sampler, self.sampler, dataset) if x is not None)
        # Of the items that the source gives (numbers, lists of them, a stream's samples):
        self._position = 0  # how many this epoch has handed out
        self._resumed = 0  # how many the next epoch leaves out, because a saved position had handed them out

    def __len__(self) -> int:
        items = self._items()
        if items is None:
            raise TypeError("DataLoader: has no length, because its dataset or sampler has none")
        size = self.batch_size or 1
        return items // size if self.drop_last else -(-items // size)

    def __iter__(self) -> Iterator[Any]:
        self._position = self._resumed
        again = self._resumed > 0 and isinstance(self._source, Sampler)
        self._resumed = 0
        remaining = islice(self._source.again() if again else self._source, self._position, None)
        while chunk := list(islice(remaining, self.batch_size or 1)):
            if self.drop_last and len(chunk) < (self.batch_size or 1):
                break
            batch = self._transformed(self._fetch(chunk if self.batch_size else chunk[0]))
            self._position += len(chunk)
            yield batch
        self._position = 0

    def _fetch(self, chosen: Any) -> Any:
        """The batch of these sample numbers; of a stream, of the samples themselves. Or one sample, not joined."""
        if self.batch_size is None and self.batch_sampler is None:
            sample = chosen if self.sampler is None else self.dataset[chosen]
            return self.collate_fn(sample) if self.collate_fn else default_convert(sample)
        if self.sampler is None:
            return (self.collate_fn or default_collate)(chosen)
        if self.collate_fn is None:
            return fetch_batch(self.dataset, chosen)
        return self.collate_fn([self.dataset[i] for i in chosen])

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
        """The position: samples (of a batch sampler, batches) handed out in this epoch, and what repeats its order."""
        return {
            "position": self._position,
            "samples": self._items(),
            "sampler": self._source.state_dict() if isinstance(self._source, Sampler) else {},
            "generator": self.generator.get_state() if self.generator else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position: the next `iter` gives the batches that remained when it was saved.

        Errors: ValueError when the position was saved over another number of samples.
        """
        if state["samples"] != self._items():
            raise ValueError(
                f"load_state_dict: position was saved over {state['samples']} samples, "
                f"expected {self._items()} as in this loader"
            )
        self._position = self._resumed = state["position"]
        if self.generator and state["generator"]:
            self.generator.set_state(state["generator"])
        if isinstance(self._source, Sampler):
            self._source.load_state_dict(state["sampler"])

    def _items(self) -> int | None:
        """The length of an epoch in what the source gives, None for a stream of unknown length."""
        return len(self._source) if hasattr(self._source, "__len__") else None

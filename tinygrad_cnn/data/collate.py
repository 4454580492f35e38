"""Collation: a list of samples becomes one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_cnn import ops
from tinygrad_cnn.autograd import wrap
from tinygrad_cnn.creation import as_tensor
from tinygrad_cnn.tensor import Tensor

__all__ = ["default_collate", "default_convert"]


def default_collate(batch: Sequence[Any]) -> Any:
    """Join N samples into a batch with PyTorch's rules: what has shape S becomes a Tensor (N, *S).

    Tensors, arrays and numbers become Tensors (floats as float64, ints as int64); dicts, named tuples,
    tuples and lists are joined entry by entry (a tuple gives a list); strings and bytes stay a sequence.
    Errors: ValueError for samples of unequal shape or size, TypeError for a sample of another kind.

    >>> import numpy as np
    >>> x, y = default_collate([(np.zeros(3), 7), (np.ones(3), 8)])
    >>> tuple(x.shape), y.tolist()
    ((2, 3), [7, 8])
    """
    if not batch:
        raise ValueError("default_collate: got 0 samples, expected at least one")
    first = batch[0]
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Tensor):
        _require_one("shape", {tuple(sample.shape) for sample in batch})
        return ops.stack(list(batch))
    if isinstance(first, (np.ndarray, np.generic, int, float, complex)):
        return wrap(_stack_arrays(batch))
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, (tuple, list)):
        _require_one("size", {len(sample) for sample in batch})
        entries = [default_collate(entry) for entry in zip(*batch, strict=True)]
        return type(first)(*entries) if hasattr(first, "_fields") else entries
    raise TypeError(
        f"default_collate: a sample holds {type(first).__name__}, "
        "expected tensors, arrays, numbers, strings, dicts, tuples or lists"
    )


def default_convert(data: Any) -> Any:
    """One sample with its arrays as Tensors, and all else as it is: what a `DataLoader` gives with `batch_size=None`.

    >>> import numpy as np
    >>> default_convert((np.zeros(2), 7))
    [tensor([0., 0.], dtype=float64), 7]
    """
    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind in "biuf":
        return as_tensor(data)
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, (tuple, list)):
        entries = [default_convert(entry) for entry in data]
        return type(data)(*entries) if hasattr(data, "_fields") else entries
    return data


def _stack_arrays(batch: Sequence[Any]) -> np.ndarray:
    """Arrays or numbers of one shape S as one array (N, *S)."""
    _require_one("shape", {np.shape(sample) for sample in batch})
    joined = np.stack([np.asarray(sample) for sample in batch])
    if joined.dtype.kind not in "biufc":
        raise TypeError(f"default_collate: a sample has dtype {joined.dtype}, expected numbers")
    return joined


def _require_one(what: str, found: set[Any]) -> None:
    if len(found) > 1:
        raise ValueError(f"default_collate: samples have {what}s {sorted(found)}, expected one {what} for all")

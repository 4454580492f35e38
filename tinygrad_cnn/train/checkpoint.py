"""Nested state (dicts, lists, numbers, Tensors) in one safetensors file: arrays as arrays, the rest as JSON.

The file is written at once, so the weights, the optimizer's state and the position in it always belong together.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tinygrad_cnn.serialization import packed, unpacked, write_atomically

__all__ = ["read_checkpoint", "write_checkpoint"]


def write_checkpoint(path: str | os.PathLike[str], state: Any) -> None:
    """Write nested state to `path`; whatever stood there stays whole until the new file is complete."""
    write_atomically(path, packed(state))


def read_checkpoint(path: str | os.PathLike[str]) -> Any:
    """The nested state that `write_checkpoint` wrote.

    Errors: OSError where there is no such file, ValueError for one that is cut short, damaged, or of another kind.
    """
    data = Path(path).read_bytes()
    try:
        return unpacked(data)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{os.fspath(path)} is damaged or no checkpoint: {error}") from error

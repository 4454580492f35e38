"""Saving and loading state dicts as safetensors: names, arrays and nothing that could run; never pickle."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cnn.autograd import Variable
from tinygrad_cnn.tensor import Tensor

__all__ = ["load", "save"]


def save(state_dict: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a state dict (names to Tensors or ndarrays) as a safetensors file.

    The file is written beside its place and then moved there, so that a full disk leaves an older file whole.
    Source: the safetensors format, version 0.4.
    """
    from safetensors.numpy import save as to_bytes

    arrays = {}
    for name, value in state_dict.items():
        array = value.array if isinstance(value, Variable) else value
        if not isinstance(array, np.ndarray):
            raise TypeError(f"save: {name!r} is {type(value).__name__}, expected a Tensor or an ndarray")
        arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
    write_atomically(path, to_bytes(arrays))


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a safetensors file as a dict of Tensors; ValueError if it is damaged or is none."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    data = Path(path).read_bytes()
    try:
        return {name: Tensor(array.copy()) for name, array in from_bytes(data).items()}
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"load: {os.fspath(path)} is no whole safetensors file ({error})") from None


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that it is there as a whole, or not at all and an older one stays."""
    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

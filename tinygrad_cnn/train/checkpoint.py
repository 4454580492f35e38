"""Nested state (dicts, lists, numbers, Tensors) in one safetensors file: arrays as arrays, the rest as JSON.

The file is written at once, so the weights, the optimizer's state and the position in it always belong together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_cnn.autograd import Variable
from tinygrad_cnn.serialization import write_atomically
from tinygrad_cnn.tensor import Tensor

__all__ = ["read_checkpoint", "write_checkpoint"]


def write_checkpoint(path: str | os.PathLike[str], state: Any) -> None:
    """Write nested state to `path`; whatever stood there stays whole until the new file is complete."""
    from safetensors.numpy import save

    arrays: dict[str, NDArray[Any]] = {}
    text = json.dumps(_pack(state, "state", arrays))
    write_atomically(path, save(arrays, metadata={"state": text}))


def read_checkpoint(path: str | os.PathLike[str]) -> Any:
    """The nested state that `write_checkpoint` wrote.

    Errors: OSError where there is no such file, ValueError for one that is cut short, damaged, or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    Path(path).open("rb").close()  # so that a missing file is told from a damaged one
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("state")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        if text is None:
            raise ValueError("it holds no training state")
        return _unpack(json.loads(text), arrays)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{os.fspath(path)} is damaged or no checkpoint: {error}") from error


def _pack(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """The value as JSON can hold it; arrays go into `arrays`, and their names stay in their places."""
    if isinstance(value, (Variable, np.ndarray)):
        array = value.array if isinstance(value, Variable) else value
        arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
        return {"tensor" if isinstance(value, Variable) else "array": name}
    if isinstance(value, Mapping):
        return {"items": [[key, _pack(item, f"{name}.{key}", arrays)] for key, item in value.items()]}
    if isinstance(value, (tuple, list)):
        items = [_pack(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    return value.item() if isinstance(value, np.generic) else value


def _unpack(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return Tensor(arrays[value["tensor"]])
    if "array" in value:
        return arrays[value["array"]]
    if "tuple" in value:
        return tuple(_unpack(item, arrays) for item in value["tuple"])
    return {key: _unpack(item, arrays) for key, item in value["items"]}

"""Saving and loading state as safetensors: arrays by name, numbers, text, and nothing that could run; no pickle."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_cnn.autograd import Variable
from tinygrad_cnn.tensor import Tensor

__all__ = ["load", "save"]

_ORDER = "tinygrad_cnn.order"  # the metadata that says in which order a dict had its names


def save(obj: Any, f: Any) -> None:
    """Write a state dict, or nested dicts and lists of Tensors, numbers and text, as a safetensors file.

    f: a path, or a file that is open for writing bytes. In a state dict's file every tensor has its name, for other
    programs to read; in others the structure stands beside the arrays, as JSON. A file at a path is written beside
    its place and then moved there, so that a full disk leaves an older file whole.
    Errors: TypeError for what a file cannot hold, such as a Module, of which the state_dict() can be saved.
    Source: the safetensors format, version 0.4.

    >>> import io, tinygrad_cnn as tg
    >>> file = io.BytesIO()
    >>> tg.save({"epoch": 3, "model": tg.nn.Linear(2, 1).state_dict()}, file)
    >>> _ = file.seek(0)
    >>> tg.load(file)["epoch"]
    3
    """
    if isinstance(obj, Mapping) and obj and all(_is_array(x) and isinstance(name, str) for name, x in obj.items()):
        data = _file({name: _plain(x) for name, x in obj.items()}, {_ORDER: json.dumps(list(obj))})
    else:
        data = packed(obj)
    if hasattr(f, "write"):
        f.write(data)
    else:
        write_atomically(f, data)


def load(f: Any, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read what `save` has written, from a path or from a file that is open for reading bytes.

    The names in a safetensors file of other programs become a dict of Tensors. `map_location` and `weights_only`
    are PyTorch's: there is one device, and a file never holds anything that could run.
    Errors: ValueError for a file that is cut short, damaged, or none.
    """
    data = f.read() if hasattr(f, "read") else Path(f).read_bytes()
    try:
        arrays, structure = _contents(data)
    except ValueError as error:
        raise ValueError(f"load: {getattr(f, 'name', f)} is no whole safetensors file ({error})") from None
    return _unpack(structure, arrays) if structure is not None else {name: Tensor(x) for name, x in arrays.items()}


def packed(obj: Any) -> bytes:
    """Nested state as the bytes of a safetensors file: arrays as arrays, the structure that holds them as JSON."""
    arrays: dict[str, NDArray[Any]] = {}
    structure = _pack(obj, "", arrays)
    return _file(arrays, {"structure": json.dumps(structure)})


def unpacked(data: bytes) -> Any:
    """The nested state in what `packed` has made; ValueError for other bytes."""
    arrays, structure = _contents(data)
    if structure is None:
        raise ValueError("it holds no nested state")
    return _unpack(structure, arrays)


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that it is there as a whole, or not at all and an older one stays. OSError names the file."""
    target = Path(path)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk names no file, and the temporary one's name would puzzle
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _file(arrays: Mapping[str, NDArray[Any]], metadata: dict[str, str] | None) -> bytes:
    from safetensors.numpy import save as to_bytes

    return to_bytes(dict(arrays), metadata)


def _contents(data: bytes) -> tuple[dict[str, NDArray[Any]], Any]:
    """The arrays of a safetensors file, in the order of saving, and the structure that stands beside them, or None."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        found = from_bytes(data)
    except (SafetensorError, KeyError) as error:
        raise ValueError(str(error)) from None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = header.pop("__metadata__", {})
    names = dict.fromkeys((*json.loads(metadata.get(_ORDER, "[]")), *header))  # safetensors gives them in any order
    arrays = {name: found[name].copy() for name in names if name in found}
    text = metadata.get("structure")
    return arrays, None if text is None else json.loads(text)


def _is_array(value: Any) -> bool:
    return isinstance(value, (Variable, np.ndarray))


def _plain(value: Any) -> NDArray[Any]:
    array = value._array if isinstance(value, Variable) else value
    return np.ascontiguousarray(array).reshape(array.shape)


def _pack(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """The value as JSON can hold it; arrays go into `arrays`, and their names stay in their places."""
    if _is_array(value):
        while name in arrays:
            name += "'"
        arrays[name] = _plain(value)
        return {"tensor" if isinstance(value, Variable) else "array": name}
    if isinstance(value, Mapping):
        return {"items": [[_pack_plain(key, name), _pack(x, f"{name}.{key}", arrays)] for key, x in value.items()]}
    if isinstance(value, (tuple, list)):
        items = [_pack(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    return _pack_plain(value, name)


def _pack_plain(value: Any, name: str) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if value is not None and not isinstance(value, (str, int, float)):
        place = f" at {name[1:]!r}" if name else ""
        hint = "; save its state_dict()" if hasattr(value, "state_dict") else ""
        raise TypeError(
            f"save: there is a {type(value).__name__}{place}, "
            f"expected Tensors, numbers, text, and dicts, lists and tuples of them{hint}"
        )
    return value


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

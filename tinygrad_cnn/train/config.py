"""What a run was made with: the content of its config.json."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tinygrad_cnn.data import Images, digits, mnist, openml
from tinygrad_cnn.errors import UserError

__all__ = ["RunConfig", "load_data"]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "int": int, "float": (int, float), "str": str, "int | None": (int, type(None)), "bool": bool,
}  # fmt: skip


@dataclass(frozen=True)
class RunConfig:
    """Model, data and recipe of a run, and how pictures become inputs: (pixel - mean) / std, pixels from 0 to 1.

    in_shape: (C, H, W) of one input. ink: how much of a picture's side the thing shown takes up in the data.
    """

    model: str
    data: str
    optimizer: str
    lr: float
    batch_size: int
    epochs: int
    iterations: int | None
    one_cycle: bool
    seed: int
    in_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: float
    std: float
    ink: float
    version: str

    def to_json(self) -> str:
        """The text of config.json."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, path: Path) -> RunConfig:
        """The config in a file; UserError if it is missing, no JSON, or lacks something."""
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise UserError(f"{path.parent}: no config.json there, so it is no run folder") from error
        except ValueError as error:
            raise UserError(f"{path}: no valid JSON ({error})") from error
        if not isinstance(values, dict):
            raise UserError(f"{path}: holds {type(values).__name__}, expected an object")
        return cls(**{field.name: _checked(path, field.name, str(field.type), values) for field in fields(cls)})


def _checked(path: Path, name: str, kind: str, values: dict[str, Any]) -> Any:
    if name not in values:
        raise UserError(f"{path}: {name!r} is missing")
    value = values[name]
    if name == "in_shape":
        good = isinstance(value, list) and len(value) == 3 and all(type(n) is int and n > 0 for n in value)
    elif name == "classes":
        good = isinstance(value, list) and bool(value) and all(type(text) is str for text in value)
    else:
        good = isinstance(value, _TYPES[kind])
        if good and type(value) in (int, float) and name != "seed":
            good = math.isfinite(value) and (value > 0 or name in ("mean", "ink"))
    if not good:
        raise UserError(f"{path}: {name} is {value!r}, which cannot be")
    return tuple(value) if isinstance(value, list) else value


def load_data(name: str) -> tuple[Images, Images]:
    """The training and test set that `--data` names: bundled, digits, openml, or a folder of IDX files.

    Errors: UserError with one line that says what is wrong.
    """
    known: dict[str, Callable[[], tuple[Images, Images]]] = {"bundled": mnist, "digits": digits, "openml": openml}
    try:
        if name in known:
            return known[name]()
        if not os.path.isdir(name):
            raise UserError(f"data {name!r} is neither {', '.join(known)} nor a folder of IDX files")
        return mnist(name)
    except UserError:
        raise
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error

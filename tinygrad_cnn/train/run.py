"""A run folder: config.json, the files of `Checkpoint`, metrics.json, metrics.csv, and the pictures.

Each file is written beside its place and then moved there, so none is ever half a file.
"""

from __future__ import annotations

import contextlib
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cnn import nn
from tinygrad_cnn.autograd import no_grad
from tinygrad_cnn.data import DataLoader, Images
from tinygrad_cnn.errors import UserError
from tinygrad_cnn.random import Generator, manual_seed
from tinygrad_cnn.serialization import load, write_atomically
from tinygrad_cnn.tensor import Tensor
from tinygrad_cnn.train.callbacks.callback import Callback
from tinygrad_cnn.train.callbacks.saving import BEST, CHECKPOINT, MODEL, Checkpoint, MetricsFile
from tinygrad_cnn.train.checkpoint import read_checkpoint
from tinygrad_cnn.train.config import RunConfig, load_data
from tinygrad_cnn.train.loop import Trainer
from tinygrad_cnn.train.models import build
from tinygrad_cnn.train.recipes import make_optimizer, one_cycle

__all__ = ["Run"]

CONFIG = "config.json"


class Run:
    """A folder with one training in it: `Run.open("runs/lenet-1").load_model()` is the model that it learnt."""

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self.folder = folder
        self.config = config
        self._made: list[Path] | None = None  # the folders that `create` made, innermost first; None if it did not

    @classmethod
    def create(cls, folder: Path, config: RunConfig) -> Run:
        """Make the folder (and those above it) and write config.json; UserError where one stands already."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} exists already; choose another --out, or continue it with --resume {folder}")
        run = cls(folder, config)
        run._made = [path for path in (folder, *folder.parents) if not path.exists()]
        with run.saved_or_gone():
            folder.mkdir(parents=True, exist_ok=True)
            run.write(CONFIG, config.to_json())
        return run

    @contextlib.contextmanager
    def saved_or_gone(self) -> Iterator[None]:
        """A failure in here, before a new run has saved a whole checkpoint, removes what it made, and nothing else."""
        try:
            yield
        except BaseException:  # Ctrl-C and a closed pipe too
            if self._made is not None and not (self.folder / CHECKPOINT).exists():
                with contextlib.suppress(OSError):
                    for name in (CONFIG, MODEL):
                        (self.folder / name).unlink(missing_ok=True)
                    shutil.rmtree(self.tensorboard, ignore_errors=True)
                    for path in self._made:
                        if path.exists():
                            path.rmdir()  # fails, and so ends, where somebody has put something
            raise

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """The run in an existing folder; UserError if there is none."""
        path = Path(folder)
        if not path.is_dir():
            raise UserError(f"{path}: no such folder, expected a run")
        return cls(path, RunConfig.read(path / CONFIG))

    @staticmethod
    def next_free(model: str, parent: Path = Path("runs")) -> Path:
        """`runs/lenet-1`, or the next number that is free."""
        name = "".join(c if c.isalnum() else "-" for c in model)
        number = 1
        while (parent / f"{name}-{number}").exists():
            number += 1
        return parent / f"{name}-{number}"

    # -- files --

    @property
    def tensorboard(self) -> Path:
        """Where the files for TensorBoard go."""
        return self.folder / "tensorboard"

    def write(self, name: str, content: str | bytes) -> None:
        """Put a file into the folder, whole or not at all."""
        write_atomically(self.folder / name, content.encode() if isinstance(content, str) else content)

    def callbacks(self) -> list[Callback]:
        """What keeps the folder up to date while its model trains: weights, checkpoint, metrics."""
        metrics = (MetricsFile(self.folder / name) for name in ("metrics.json", "metrics.csv"))
        return [Checkpoint(self.folder), *metrics]

    def build_model(self) -> nn.Module:
        """A new model of the kind that this run trains."""
        return build_checked(self.config)

    def load_model(self, best: bool = False) -> nn.Module:
        """The trained model, in eval mode; `best`: as it was after the epoch with the highest test accuracy.

        Errors: UserError for weights that are missing, cut short, another model's, or not finite.
        """
        model = self.build_model()
        path = self.folder / (BEST if best else MODEL)
        try:
            weights = load(path)
        except FileNotFoundError as error:
            raise UserError(f"{self.folder}: no checkpoint there ({path.name} is missing)") from error
        except ValueError as error:
            raise UserError(f"{path}: damaged or cut short ({error})") from error
        self._put(model, weights, path)
        return model.eval()

    def _put(self, model: nn.Module, weights: dict[str, Any], path: Path) -> None:
        if not isinstance(weights, dict) or not all(hasattr(tensor, "dtype") for tensor in weights.values()):
            raise UserError(f"{path}: not the weights of model {self.config.model} (it holds nested state)")
        for name, tensor in weights.items():
            if tensor.dtype.kind == "f" and not np.isfinite(tensor._array).all():
                raise UserError(f"{path}: {name} holds NaN or infinity")
        try:
            model.load_state_dict(weights)
        except (ValueError, RuntimeError, KeyError) as error:
            why = textwrap.shorten(str(error), 240, placeholder=" …")  # the first few of its differences say enough
            raise UserError(f"{path}: not the weights of model {self.config.model} ({why})") from error

    # -- training --

    def trainer(self, model: nn.Module, train_set: Images, test_set: Images) -> Trainer:
        """A trainer of a new model, at the beginning of this run: optimizer, and batches shuffled by the seed."""
        config = self.config
        order = Generator().manual_seed(config.seed + 1)
        return Trainer(
            model,
            DataLoader(train_set, config.batch_size, shuffle=True, generator=order),
            test_set,
            optimizer=make_optimizer(config.optimizer, model.parameters(), config.lr),
            epochs=config.epochs,
            iterations=config.iterations,
            schedule=one_cycle if config.one_cycle else None,
        )

    def resume(self, trainer: Trainer) -> None:
        """Bring a new trainer to where this run's checkpoint stands."""
        path = self.folder / CHECKPOINT
        try:
            state = read_checkpoint(path)
        except FileNotFoundError as error:
            raise UserError(f"{self.folder}: no checkpoint there ({CHECKPOINT} is missing)") from error
        except ValueError as error:
            raise UserError(str(error)) from error
        try:
            self._put(trainer.model, state["model"], path)
            trainer.load_state_dict(state)
        except UserError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: does not fit this run ({_line(error)})") from error

    def data(self) -> tuple[Images, Images]:
        """The training and test set that the run was made with; UserError if they are of another kind now."""
        train_set, test_set = load_data(self.config.data)
        self.check(train_set)
        return train_set, test_set

    def check(self, images: Images) -> None:
        """UserError unless the images have the shape and the number of classes that the model expects."""
        shape = tuple(images.images.shape[1:])
        if shape != self.config.in_shape or len(images.classes) != len(self.config.classes):
            raise UserError(
                f"the data has images {shape} of {len(images.classes)} classes, "
                f"the run {self.folder} expects {self.config.in_shape} of {len(self.config.classes)}"
            )


def build_checked(config: RunConfig) -> nn.Module:
    """A new model from the config's seed; UserError unless it turns images of its shape into scores of its classes."""
    manual_seed(config.seed)
    model = build(config.model, config.in_shape, len(config.classes))
    try:
        with no_grad():
            out = model.eval()(Tensor(np.zeros((2, *config.in_shape), np.float32)))
    except Exception as error:
        raise UserError(f"model {config.model} fails on images {config.in_shape}: {_line(error)}") from error
    if not isinstance(out, Tensor) or out.shape != (2, len(config.classes)):
        found = out.shape if isinstance(out, Tensor) else type(out).__name__
        raise UserError(f"model {config.model} gives {found} for 2 images, expected {(2, len(config.classes))}")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(f"model {config.model} has no parameters to learn")
    return model.train()


def _line(error: BaseException) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split())

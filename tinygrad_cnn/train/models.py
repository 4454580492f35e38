"""The models that the command line knows, written to be read, and `build`, which makes one by name."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

from tinygrad_cnn import nn
from tinygrad_cnn.errors import UserError
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.tensor import Tensor
from tinygrad_cnn.train.hints import did_you_mean, meant_callable

__all__ = ["LeNet", "MlpNet", "MnistNet", "SeedNet", "VggNet", "build"]

Shape = tuple[int, int, int]


class SeedNet(nn.Module):
    """Six 3x3 filters, max-pool 2, one fully connected layer: 1014 -> 10 for images of 28x28.

    There is neither a bias nor an activation; softmax and cross-entropy follow in the loss.
    """

    def __init__(self, in_shape: Shape = (1, 28, 28), num_classes: int = 10) -> None:
        super().__init__()
        channels, height, width = in_shape
        self.conv = nn.Conv2d(channels, 6, 3, bias=False)
        self.fc = nn.Linear(6 * ((height - 2) // 2) * ((width - 2) // 2), num_classes, bias=False)

    def forward(self, x: Tensor) -> Any:
        x = F.max_pool2d(self.conv(x), 2)
        return self.fc(x.flatten(1))


class LeNet(nn.Module):
    """LeNet-5 with ReLU and max-pooling. Source: LeCun et al., Gradient-based learning applied to document recognition.

    Images of less than 16x16 are too small for two 5x5 convolutions with pooling: there the second one is padded.
    """

    def __init__(self, in_shape: Shape = (1, 28, 28), num_classes: int = 10) -> None:
        super().__init__()
        channels, height, width = in_shape
        padding = 0 if min(height, width) >= 16 else 2
        rows, columns = ((n // 2 + 2 * padding - 4) // 2 for n in (height, width))
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5, padding=padding)
        self.fc1 = nn.Linear(16 * rows * columns, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Any:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class MnistNet(nn.Module):
    """Two 3x3 convolutions of 32 and 64 filters, max-pool 2, two linear layers: 99 % on MNIST in a few epochs."""

    def __init__(self, in_shape: Shape = (1, 28, 28), num_classes: int = 10) -> None:
        super().__init__()
        channels, height, width = in_shape
        self.conv1 = nn.Conv2d(channels, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dropout1 = nn.Dropout(0.25)
        self.fc1 = nn.Linear(64 * ((height - 4) // 2) * ((width - 4) // 2), 128)
        self.dropout2 = nn.Dropout(0.5)
        self.fc2 = nn.Linear(128, num_classes)

    def forward(self, x: Tensor) -> Any:
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = self.dropout1(F.max_pool2d(x, 2))
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(self.dropout2(x))


class VggNet(nn.Module):
    """Two blocks of two 3x3 convolutions with ReLU and max-pool 2, then one linear layer, for colour images."""

    def __init__(self, in_shape: Shape = (3, 32, 32), num_classes: int = 10) -> None:
        super().__init__()
        channels, height, width = in_shape
        self.block1 = self._block(channels, 32)
        self.block2 = self._block(32, 64)
        self.fc = nn.Linear(64 * (height // 4) * (width // 4), num_classes)

    @staticmethod
    def _block(channels: int, filters: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, filters, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.block2(self.block1(x)).flatten(1))


class MlpNet(nn.Module):
    """One hidden layer of 256 ReLUs: 784 -> 256 -> 10 for images of 28x28."""

    def __init__(self, in_shape: Shape = (1, 28, 28), num_classes: int = 10) -> None:
        super().__init__()
        self.fc1 = nn.Linear(prod(in_shape), 256)
        self.fc2 = nn.Linear(256, num_classes)

    def forward(self, x: Tensor) -> Any:
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


MODELS: dict[str, type[nn.Module]] = {"lenet": LeNet, "mlp": MlpNet, "mnist": MnistNet, "seed": SeedNet, "vgg": VggNet}
SMALLEST = {"lenet": 4, "mlp": 1, "mnist": 6, "seed": 4, "vgg": 4}  # sides of images


def build(spec: str, in_shape: Shape = (1, 28, 28), num_classes: int = 10) -> nn.Module:
    """A model by its name in MODELS, or by `package.module:callable`, for images of `in_shape` (C, H, W).

    The callable is called with those of `in_shape` and `num_classes` that it has parameters for, and returns a Module.
    Errors: UserError for an unknown name, a module or callable that is not there, or images that are too small.

    >>> build("seed")
    SeedNet(
      (conv): Conv2d(1, 6, kernel_size=(3, 3), stride=(1, 1), bias=False)
      (fc): Linear(in_features=1014, out_features=10, bias=False)
    )
    """
    if ":" in spec:
        return _call(spec, _find(spec), in_shape, num_classes)
    if spec not in MODELS:
        meant = meant_callable(spec)
        hint = f"did you mean {meant}? " if meant else did_you_mean(spec, MODELS)
        raise UserError(f"unknown model {spec!r}; {hint}there are {', '.join(MODELS)}, and package.module:callable")
    if min(in_shape[1:]) < SMALLEST[spec]:
        side = SMALLEST[spec]
        raise UserError(f"model {spec} needs images of at least {side}x{side}, these are {in_shape[1]}x{in_shape[2]}")
    return MODELS[spec](in_shape, num_classes)  # type: ignore[call-arg]


def _find(spec: str) -> Callable[..., Any]:
    """The callable that `package.module:name` stands for, looked up from the current folder too."""
    module_name, _, name = spec.partition(":")
    if not name or module_name.endswith(".py") or not all(part.isidentifier() for part in module_name.split(".")):
        meant = meant_callable(spec)
        hint = f"; did you mean {meant}?" if meant else ""
        raise UserError(f"model {spec!r} is neither a name nor package.module:callable{hint}")
    try:
        with _current_folder_importable():
            target: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"model {spec}: cannot import {module_name} ({error})") from error
    except (Exception, SystemExit) as error:  # whatever a user's file does when it is read
        raise UserError(f"model {spec}: importing {module_name} failed with {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(target, part):
            hint = did_you_mean(part, dir(target)).strip()
            raise UserError(f"model {spec}: {module_name} has no {name}{hint and f'; {hint}'}")
        target = getattr(target, part)
    if not callable(target):
        raise UserError(
            f"model {spec}: {name} is {type(target).__name__}, expected a Module or a function that makes one"
        )
    return target  # type: ignore[no-any-return]


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _call(spec: str, target: Callable[..., Any], in_shape: Shape, num_classes: int) -> nn.Module:
    if isinstance(target, nn.Module):
        return target
    wanted = {"in_shape": in_shape, "num_classes": num_classes}
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        parameters = {}  # type: ignore[assignment]
    given = {name: value for name, value in wanted.items() if name in parameters}
    try:
        model = target(**given)
    except Exception as error:
        raise UserError(f"model {spec}: making it failed with {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"model {spec}: it made a {type(model).__name__}, expected a Module")
    return model

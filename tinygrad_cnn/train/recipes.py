"""How each model is trained by default, the optimizers by name, and the schedule of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tinygrad_cnn import optim
from tinygrad_cnn.errors import UserError
from tinygrad_cnn.train.hints import did_you_mean

__all__ = ["OPTIMIZERS", "Recipe", "make_optimizer", "one_cycle", "recipe_for", "usual_lr"]

# Each optimizer with the arguments that it gets besides lr, and its usual lr.
OPTIMIZERS: dict[str, tuple[Callable[..., optim.Optimizer], dict[str, Any], float]] = {
    "sgd": (optim.SGD, {}, 0.1),
    "momentum": (optim.SGD, {"momentum": 0.9}, 0.05),
    "adam": (optim.Adam, {}, 2e-3),
    "adamw": (optim.AdamW, {}, 2e-3),
    "rmsprop": (optim.RMSprop, {}, 1e-3),
    "adagrad": (optim.Adagrad, {}, 1e-2),
    "adadelta": (optim.Adadelta, {}, 1.0),
}


@dataclass(frozen=True)
class Recipe:
    """How long to train, on what batches, with which optimizer and rate; iterations (batches) go before epochs."""

    epochs: int
    batch_size: int = 64
    optimizer: str = "adam"
    lr: float = 2e-3
    iterations: int | None = None
    one_cycle: bool = True


RECIPES = {
    "lenet": Recipe(epochs=8),
    "mlp": Recipe(epochs=8),
    "mnist": Recipe(epochs=5),
    "vgg": Recipe(epochs=8),
    "seed": Recipe(epochs=1, batch_size=10, optimizer="sgd", lr=0.1, iterations=25, one_cycle=False),
}


def recipe_for(model: str) -> Recipe:
    """The default recipe of a model, by its name; one of the user's own gets LeNet's."""
    return RECIPES.get(model, RECIPES["lenet"])


def one_cycle(done: float) -> float:
    """The factor of the learning rate when the share `done` of the training is done: up for a fifth, then down.

    Source: Smith and Topin, Super-convergence (2018), arXiv:1708.07120, with cosine arms.

    >>> [round(one_cycle(x), 2) for x in (0.0, 0.2, 0.6, 1.0)]
    [0.1, 1.0, 0.5, 0.0]
    """
    if done < 0.2:
        return 0.1 + 0.9 * (1 - math.cos(math.pi * done / 0.2)) / 2
    return (1 + math.cos(math.pi * (done - 0.2) / 0.8)) / 2


def usual_lr(optimizer: str) -> float:
    """The learning rate of an optimizer for which none is given; UserError for an unknown one."""
    return _known(optimizer)[2]


def make_optimizer(name: str, parameters: Iterable[Any], lr: float) -> optim.Optimizer:
    """The optimizer with this name and learning rate; UserError for an unknown one."""
    kind, arguments, _ = _known(name)
    return kind(parameters, lr=lr, **arguments)


def _known(name: str) -> tuple[Callable[..., optim.Optimizer], dict[str, Any], float]:
    if name not in OPTIMIZERS:
        hint = did_you_mean(name, OPTIMIZERS)
        raise UserError(f"unknown optimizer {name!r}; {hint}there are {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name]

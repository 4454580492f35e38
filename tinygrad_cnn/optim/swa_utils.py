"""Averages of a model's weights over the training: the plain mean (SWA), or an exponential moving average (EMA)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from tinygrad_cnn import locks
from tinygrad_cnn.autograd import no_grad
from tinygrad_cnn.nn.module import Module
from tinygrad_cnn.tensor import Tensor

__all__ = ["AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn"]


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """The `avg_fn` of an exponential moving average: decay · average + (1 - decay) · weight."""
    return lambda average, weight, _: decay * average + (1 - decay) * weight


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]:
    """The same as a `multi_avg_fn`, which changes the whole list of averages in place."""

    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], _: Any) -> None:
        for average, weight in zip(averages, weights, strict=True):
            array = locks.writeable(average)
            array[...] = decay * array + (1 - decay) * weight._array

    return update


class AveragedModel(Module):
    """A copy of a model whose weights are averages of the model's at each `update_parameters(model)`.

    avg_fn(average, weight, how many so far) or multi_avg_fn(averages, weights, how many) tells how; without them it is
    the mean. use_buffers: average the buffers too; otherwise they are the model's (Izmailov et al., 2018).

    >>> import tinygrad_cnn as tg
    >>> model = tg.nn.Linear(1, 1)
    >>> average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    >>> average.update_parameters(model)
    >>> bool((average(tg.ones(1)) == model(tg.ones(1))).all())
    True
    """

    def __init__(
        self, model: Module, device: Any = None, avg_fn: Any = None, multi_avg_fn: Any = None, use_buffers: bool = False
    ) -> None:
        super().__init__()
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", Tensor(np.array(0)))
        self.avg_fn = avg_fn or (lambda average, weight, count: average + (weight - average) / (count + 1))
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The output of the averaged model."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the model's present weights into the averages."""
        with no_grad():
            owners = (self.module, model)
            averages, weights = ([*m.parameters(), *(m.buffers() if self.use_buffers else ())] for m in owners)
            copied: Any = () if self.use_buffers else zip(self.module.buffers(), model.buffers(), strict=True)
            if self.n_averaged.item() == 0:
                copied = chain(zip(averages, weights, strict=True), copied)
            elif self.multi_avg_fn is not None:
                self.multi_avg_fn(averages, weights, self.n_averaged)
            else:
                for average, weight in zip(averages, weights, strict=True):
                    locks.writeable(average)[...] = self.avg_fn(average, weight, self.n_averaged).array
            for average, weight in copied:
                locks.writeable(average)[...] = weight._array
            self.n_averaged += 1

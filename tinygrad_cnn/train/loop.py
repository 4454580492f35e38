"""The training loop: batches through a model, gradients, steps; with callbacks, and a state that can be saved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_cnn import nn, optim
from tinygrad_cnn.data import DataLoader
from tinygrad_cnn.interrupt import Interrupt
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.random import default_generator
from tinygrad_cnn.tensor import Tensor
from tinygrad_cnn.train.callbacks.callback import Callback
from tinygrad_cnn.train.evaluate import evaluate, hits
from tinygrad_cnn.train.history import History

__all__ = ["Trainer", "fit"]


class Trainer:
    """One training: a model, its data, an optimizer, and how far it has come.

    `run()` trains until `epochs` are done, or `iterations` batches, or until a callback sets `stop`, or Ctrl-C, which
    sets `interrupted` and ends after the batch under way; another `run()` goes on from there. `state_dict()` holds
    everything that decides what comes next: a trainer made with the same arguments that loads it goes on exactly as
    this one would have, to the last bit.

    train_loader gives (input, class) batches. test_set: evaluated after each epoch; None leaves that out.
    schedule: called with the share of the training that is done (0 to 1), gives the factor of the learning rate.
    Errors: FloatingPointError when the loss is no longer finite; the step is then not made.
    """

    def __init__(
        self,
        model: nn.Module,
        train_loader: DataLoader,
        test_set: Any = None,
        *,
        optimizer: optim.Optimizer,
        epochs: int = 1,
        iterations: int | None = None,
        loss: Callable[..., Any] = F.cross_entropy,
        schedule: Callable[[float], float] | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        if epochs < 1:
            raise ValueError(f"Trainer: epochs is {epochs}, expected at least 1")
        if not len(train_loader):
            raise ValueError("Trainer: the training set gives 0 batches, expected at least one")
        self.model = model
        self.loader = train_loader
        self.test_set = test_set
        self.optimizer = optimizer
        self.epochs = epochs
        self.total_steps = epochs * len(train_loader) if iterations is None else iterations
        self.loss = loss
        self.scheduler = schedule and optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: schedule(min(step / self.total_steps, 1.0))
        )
        self.callbacks = list(callbacks)
        self.history = History()
        self.epoch = 0  # epochs that are done
        self.stop = False
        self.interrupted = False
        self._sums = {"loss": 0.0, "hits": 0.0, "samples": 0, "seconds": 0.0}  # of the epoch under way

    @property
    def step(self) -> int:
        """The number of batches that have been learnt from."""
        return len(self.history.steps["loss"])

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.step >= self.total_steps and not self._sums["samples"]

    def run(self) -> History:
        """Train to the end, or to the next stop, and return the history."""
        self.stop = self.interrupted = False
        if self.loader.state_dict()["position"]:  # an epoch is under way: go on where it stopped
            self.loader.load_state_dict(self.loader.state_dict())
        try:
            with Interrupt() as interrupt, np.errstate(over="ignore", invalid="ignore"):  # the loss is looked at
                self._call("on_train_begin")
                while not (self.done or self.stop or self.interrupted):
                    self._train_epoch(interrupt)
                self._call("on_train_end")
        finally:
            for callback in self.callbacks:
                callback.close()
        return self.history

    def _call(self, moment: str) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self)

    def _train_epoch(self, interrupt: Interrupt) -> None:
        self.model.train()
        started = time.perf_counter()
        for x, y in self.loader:
            if self.step >= self.total_steps:
                break
            self._train_batch(x, y)
            self._call("on_batch_end")
            if self.stop or interrupt.requested:
                self.interrupted = interrupt.requested
                self._sums["seconds"] += time.perf_counter() - started
                return
        self._sums["seconds"] += time.perf_counter() - started
        self._end_epoch()
        self.interrupted = interrupt.requested

    def _train_batch(self, x: Tensor, y: Tensor) -> None:
        out = self.model(x)
        loss = self.loss(out, y)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss became {value} in batch {self.step + 1}; a smaller learning rate may help"
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.scheduler:
            self.scheduler.step()
        samples = len(y._array)
        right = hits(out, y)
        self.history.steps["loss"].append(value)
        self.history.steps["accuracy"].append(right / samples)
        self._sums["loss"] += value * samples
        self._sums["hits"] += right
        self._sums["samples"] += samples

    def _end_epoch(self) -> None:
        sums = self._sums
        score = evaluate(self.model, self.test_set, loss=self.loss) if self.test_set is not None else None
        self.epoch += 1
        self.history.epochs.append(
            {
                "epoch": self.epoch,
                "step": self.step,
                "train_loss": sums["loss"] / sums["samples"],
                "train_accuracy": sums["hits"] / sums["samples"],
                "test_loss": score and score.loss,
                "test_accuracy": score and score.accuracy,
                "lr": self.optimizer.param_groups[0]["lr"],
                "seconds": round(sums["seconds"], 3),
            }
        )
        self._sums = dict.fromkeys(sums, 0)
        self._call("on_epoch_end")

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimizer, schedule, random streams, position in the data, and history."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "generator": default_generator.get_state(),
            "loader": self.loader.state_dict(),
            "epoch": self.epoch,
            "sums": dict(self._sums),
            "history": self.history.to_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.loader.load_state_dict(state["loader"])
        self.history = History.from_dict(state["history"])
        self.epoch = state["epoch"]
        self._sums = dict(state["sums"])
        if self.scheduler:
            self.scheduler.last_epoch = state["step"]
        default_generator.set_state(state["generator"])


def fit(
    model: nn.Module,
    train_set: Any,
    test_set: Any = None,
    *,
    epochs: int = 1,
    batch_size: int = 64,
    optimizer: optim.Optimizer | None = None,
    lr: float = 1e-3,
    loss: Callable[..., Any] = F.cross_entropy,
    schedule: Callable[[float], float] | None = None,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train `model` on a dataset of (input, class) samples, shuffled, and return the history.

    optimizer: default Adam with learning rate `lr`. The other arguments are those of `Trainer`.
    """
    return Trainer(
        model,
        DataLoader(train_set, batch_size, shuffle=True),
        test_set,
        optimizer=optimizer or optim.Adam(model.parameters(), lr=lr),
        epochs=epochs,
        loss=loss,
        schedule=schedule,
        callbacks=callbacks,
    ).run()

"""Schedulers: they set the learning rate of an optimizer's groups, epoch by epoch (or step by step).

    scheduler = StepLR(optimizer, step_size=10)
    for epoch in range(30):
        train_one_epoch()       # calls optimizer.step() often
        scheduler.step()

The schedules that multiply go on from the group's present rate, so that two of them can act on one optimizer.
"""

from __future__ import annotations

import bisect
import math
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tinygrad_cnn.optim.optimizer import Optimizer

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR",
    "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip


class LRScheduler:
    """The base class: a subclass writes `get_lr`, which returns the rate of each group at epoch `self.last_epoch`.

    last_epoch: -1 to begin; to go on after a checkpoint, the number of the last epoch that was seen (the groups then
    hold `initial_lr`). `base_lrs` holds the rates that the schedule started from.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self._attach(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{self._name}: last_epoch is {last_epoch}, but group {i} has no 'initial_lr' to go on from"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._begin()

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _attach(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{self._name}: optimizer is a {type(optimizer).__name__}, expected an Optimizer")
        self.optimizer = optimizer

    def _begin(self) -> None:
        self.step()

    def get_lr(self) -> list[float]:
        """The learning rate of each group at epoch `self.last_epoch`."""
        raise NotImplementedError(f"{self._name}: it has no method get_lr, expected one")

    def step(self) -> None:
        """Go to the next epoch, and set the learning rates; call it after the optimizer's steps."""
        self.last_epoch += 1
        self._set(self.get_lr())

    def _restart(self) -> None:
        """Set the learning rates of epoch 0 (what `SequentialLR` does when this scheduler's turn comes)."""
        self._set(self.base_lrs)
        self.last_epoch = 0
        self._set(self.get_lr())

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = list(rates)

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group, as it was last set."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """All that changes and all options, but not the optimizer."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned; the rates themselves are in the optimizer's state."""
        if missing := [name for name in self.state_dict() if name not in state_dict]:
            raise ValueError(
                f"{self._name}.load_state_dict: {missing[0]!r} is missing, this is the state of another scheduler"
            )
        vars(self).update({name: value for name, value in state_dict.items() if name != "optimizer"})

    def _per_group(self, name: str, value: Any) -> list[Any]:
        """One value for each group, of one for all or of a list."""
        groups = len(self.optimizer.param_groups)
        if not isinstance(value, (list, tuple)):
            return [value] * groups
        if len(value) != groups:
            raise ValueError(f"{self._name}: {name} has {len(value)} values, the optimizer has {groups} groups")
        return list(value)


_LRScheduler = LRScheduler  # PyTorch's old name, from which older schedulers are derived


class LambdaLR(LRScheduler):
    """The initial rate times `lr_lambda(epoch)`; a list has one function for each group."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        self.lr_lambdas = self._per_group("lr_lambda", lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at epoch `self.last_epoch`."""
        return [base * function(self.last_epoch) for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """As of any scheduler; of the functions only what callable objects hold, for code cannot be saved."""
        held = [None if isinstance(f, types.FunctionType) else dict(vars(f)) for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": held}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        functions = self.lr_lambdas
        super().load_state_dict(state_dict)
        self.lr_lambdas = functions
        for function, held in zip(functions, state_dict["lr_lambdas"], strict=True):
            if held is not None:
                vars(function).update(held)


class MultiplicativeLR(LambdaLR):
    """The present rate times `lr_lambda(epoch)` at each epoch; a list has one function for each group."""

    def get_lr(self) -> list[float]:
        """The learning rate of each group at epoch `self.last_epoch`."""
        present = [group["lr"] for group in self.optimizer.param_groups]
        if self.last_epoch == 0:
            return present
        return [rate * function(self.last_epoch) for rate, function in zip(present, self.lr_lambdas, strict=True)]


# ---- schedules that multiply -------------------------------------------------------------------------------


class _Multiplying(LRScheduler):
    """A schedule whose rate at an epoch is low + (initial rate - low) · factor(epoch)."""

    low = 0.0

    def _factor(self, epoch: int) -> float:
        raise NotImplementedError

    def _begin(self) -> None:
        if self.last_epoch == -1:
            self.step()
        else:  # the present rate holds what was multiplied so far
            self.last_epoch += 1
            self._set([group["lr"] for group in self.optimizer.param_groups])

    def get_lr(self) -> list[float]:
        """The learning rate of each group at epoch `self.last_epoch`."""
        present = [group["lr"] for group in self.optimizer.param_groups]
        now = self._factor(self.last_epoch)
        before = self._factor(self.last_epoch - 1) if self.last_epoch else 1.0
        if now == before:
            return present
        if before == 0:  # nothing is left that a ratio could bring back
            return [rate + (base - self.low) * now for rate, base in zip(present, self.base_lrs, strict=True)]
        return [self.low + (rate - self.low) * (now / before) for rate in present]


class StepLR(_Multiplying):
    """The rate times `gamma` after every `step_size` epochs.

    >>> import tinygrad_cnn as tg
    >>> optimizer = tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates += scheduler.get_last_lr()
    ...     scheduler.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        if step_size < 1:
            raise ValueError(f"StepLR: step_size is {step_size}, expected a number >= 1")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        return float(self.gamma ** (epoch // self.step_size))


class MultiStepLR(_Multiplying):
    """The rate times `gamma` at each of the epochs in `milestones`."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        return float(self.gamma ** bisect.bisect_right(self.milestones, epoch))


class ExponentialLR(_Multiplying):
    """The rate times `gamma` after every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        return float(self.gamma**epoch)


class ConstantLR(_Multiplying):
    """The rate times `factor` until epoch `total_iters`, the whole rate from then on."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        _between_0_and_1("ConstantLR", "factor", factor)
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        return self.factor if epoch < self.total_iters else 1.0


class LinearLR(_Multiplying):
    """The rate times a factor that goes evenly from `start_factor` to `end_factor` in `total_iters` epochs."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        _between_0_and_1("LinearLR", "start_factor", start_factor)
        _between_0_and_1("LinearLR", "end_factor", end_factor)
        if start_factor == 0:
            raise ValueError("LinearLR: start_factor is 0, expected a number > 0")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        done = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * done


class PolynomialLR(_Multiplying):
    """The rate times (1 - epoch / total_iters) ** power, which is 0 from epoch `total_iters` on."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        return float((1 - min(epoch, self.total_iters) / self.total_iters) ** self.power)


class CosineAnnealingLR(_Multiplying):
    """Half a wave of the cosine from the initial rate down to `eta_min` at epoch `T_max`, and up again after it.

    Loshchilov and Hutter, SGDR, 2017, without the restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = T_max
        self.eta_min = self.low = eta_min
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        return (1 + math.cos(math.pi * epoch / self.T_max)) / 2


# ---- cycles ------------------------------------------------------------------------------------------------


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half waves of the cosine from the initial rate to `eta_min`, the first of `T_0` epochs.

    Each is `T_mult` times as long as the one before (Loshchilov and Hutter, SGDR, 2017).
    `step(epoch)` with a fraction sets the rate within an epoch.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"CosineAnnealingWarmRestarts: {name} is {value!r}, expected an integer >= 1")
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = 0
        self.T_i = T_0
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at epoch `self.last_epoch`."""
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go to the next epoch, or to any (a fraction is a point within one), and set the learning rates."""
        epoch = self.last_epoch + 1 if epoch is None else epoch
        if epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: epoch is {epoch}, expected a number >= 0")
        self.last_epoch = math.floor(epoch)
        self.T_cur, self.T_i = epoch, self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
        self._set(self.get_lr())

    def _restart(self) -> None:
        self.step(0)


class CyclicLR(LRScheduler):
    """From `base_lr` evenly up to `max_lr` and down again, over and over (Smith, 2017); call `step` after every batch.

    step_size_up, step_size_down: the steps of a climb and of a descent (by default as many). mode: "triangular";
    "triangular2", which halves the height with each cycle; "exp_range", which multiplies it by `gamma` with each step.
    scale_fn: the height instead, of the cycle's number or (scale_mode "iterations") of the step's. cycle_momentum: the
    momentum (or the first of betas) goes from `max_momentum` down to `base_momentum` and back.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"CyclicLR: mode is {mode!r}, expected 'triangular', 'triangular2' or 'exp_range'")
        self.max_lrs = self._per_group("max_lr", max_lr)
        bases = self._per_group("base_lr", base_lr)
        self.total_size = step_size_up + (step_size_up if step_size_down is None else step_size_down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self.scale_fn = mode, gamma, scale_fn
        self.scale_mode = "iterations" if scale_fn is None and mode == "exp_range" else scale_mode
        self.cycle_momentum = cycle_momentum
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, bases, strict=True):
                group["lr"] = rate
        if cycle_momentum:
            _begin_momentum(self, base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = bases

    def _height(self, number: float) -> float:
        if self.scale_fn is not None:
            return float(self.scale_fn(number))
        factors: dict[str, float] = {
            "triangular": 1.0,
            "triangular2": 0.5 ** (number - 1),
            "exp_range": self.gamma**number,
        }
        return factors[self.mode]

    def get_lr(self) -> list[float]:
        """The learning rate of each group at step `self.last_epoch`; the momenta are set."""
        cycle, rest = divmod(self.last_epoch / self.total_size, 1)
        share = rest / self.step_ratio if rest <= self.step_ratio else (rest - 1) / (self.step_ratio - 1)
        share *= self._height(1 + math.floor(cycle) if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                low, high = group["base_momentum"], group["max_momentum"]
                _set_momentum(group, high - (high - low) * share)
        return [low + (high - low) * share for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """As of any scheduler, without `scale_fn`, for code cannot be saved."""
        return {name: value for name, value in super().state_dict().items() if name != "scale_fn"}


class OneCycleLR(LRScheduler):
    """One climb to `max_lr` and one descent far below the start, while the momentum does the reverse (Smith, 2018).

    Call `step` after every batch: it lasts `total_steps`, or `epochs` · `steps_per_epoch`. The rate starts at
    max_lr / div_factor and ends at that / final_div_factor. pct_start: the share of the climb.
    anneal_strategy: "cos" or "linear". cycle_momentum: also set momentum (or the first of betas), from `max_momentum`
    down to `base_momentum` and back. three_phase: descend as fast as it climbed, and then on to the end.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    "OneCycleLR: its length is not given, expected total_steps, or epochs and steps_per_epoch"
                )
            total_steps = epochs * steps_per_epoch
        if total_steps < 1:
            raise ValueError(f"OneCycleLR: total_steps is {total_steps}, expected a number >= 1")
        _between_0_and_1("OneCycleLR", "pct_start", pct_start)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy is {anneal_strategy!r}, expected 'cos' or 'linear'")
        self.total_steps = total_steps
        self.pct_start = pct_start
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self.three_phase = three_phase
        if last_epoch == -1:
            for group, peak in zip(optimizer.param_groups, self._per_group("max_lr", max_lr), strict=True):
                start = peak / div_factor
                group.update(initial_lr=start, max_lr=peak, min_lr=start / final_div_factor)
        if cycle_momentum:
            _begin_momentum(self, base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)

    def _phases(self) -> list[tuple[float, tuple[str, str], tuple[str, str]]]:
        """Of each phase the last step, the rates between which it goes, and the momenta."""
        top = self.pct_start * self.total_steps - 1
        last = self.total_steps - 1
        up = (top, ("initial_lr", "max_lr"), ("max_momentum", "base_momentum"))
        if not self.three_phase:
            return [up, (last, ("max_lr", "min_lr"), ("base_momentum", "max_momentum"))]
        down = (2 * top, ("max_lr", "initial_lr"), ("base_momentum", "max_momentum"))
        return [up, down, (last, ("initial_lr", "min_lr"), ("max_momentum", "max_momentum"))]

    def get_lr(self) -> list[float]:
        """The learning rate of each group at step `self.last_epoch`; the momenta are set."""
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR: this is step {self.last_epoch}, expected at most total_steps = {self.total_steps}"
            )
        phases = self._phases()
        i = next((i for i, phase in enumerate(phases) if self.last_epoch <= phase[0]), len(phases) - 1)
        end, rates, momenta = phases[i]
        start = phases[i - 1][0] if i else 0.0
        share = (self.last_epoch - start) / (end - start) if end != start else 1.0
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                _set_momentum(group, self._between(group, momenta, share))
        return [self._between(group, rates, share) for group in self.optimizer.param_groups]

    def _between(self, group: dict[str, Any], ends: tuple[str, str], share: float) -> float:
        start: float = group[ends[0]]
        end: float = group[ends[1]]
        if self.anneal_strategy == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


# ---- others ------------------------------------------------------------------------------------------------


class SequentialLR(LRScheduler):
    """Several schedulers one after the other: the next one's turn comes at each of the epochs in `milestones`.

    >>> import tinygrad_cnn as tg
    >>> from tinygrad_cnn.optim import lr_scheduler
    >>> optimizer = tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0)
    >>> warm_up = lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> decay = lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = lr_scheduler.SequentialLR(optimizer, [warm_up, decay], milestones=[2])
    >>> rates = []
    >>> for _ in range(5):
    ...     rates += scheduler.get_last_lr()
    ...     scheduler.step()
    >>> rates
    [0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        if len(schedulers) != len(milestones) + 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers and {len(milestones)} milestones, "
                "expected one scheduler more than milestones"
            )
        self._take(optimizer, schedulers)
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        # Each scheduler has taken its first step when it was made; that is undone, and the first one's turn begins.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in schedulers:
            scheduler.last_epoch -= 1
        schedulers[0].step()
        self._last_lr = schedulers[0].get_last_lr()

    def _take(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> None:
        self._attach(optimizer)
        for i, scheduler in enumerate(schedulers):
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(f"{self._name}: scheduler {i} is a ReduceLROnPlateau, whose step wants a metric")
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"{self._name}: scheduler {i} belongs to another optimizer, expected this one")
        self._schedulers = schedulers

    def step(self) -> None:
        """Go to the next epoch, and set the learning rates."""
        self.last_epoch += 1
        turn = bisect.bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn and self._milestones[turn - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """As of any scheduler; in the place of the schedulers stand their states."""
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        schedulers = self._schedulers
        super().load_state_dict(state_dict)
        self._schedulers = schedulers
        for scheduler, held in zip(schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(held)


class ChainedScheduler(SequentialLR):
    """Several schedulers on one optimizer, all of which take each step."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler: there are no schedulers, expected at least one")
        self._take(optimizer or schedulers[0].optimizer, schedulers)
        self._last_lr = schedulers[-1].get_last_lr()

    def step(self) -> None:
        """Go to the next epoch, and set the learning rates."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._schedulers[-1].get_last_lr()


class ReduceLROnPlateau(LRScheduler):
    """The rate times `factor` when a metric has not improved for more than `patience` epochs.

    mode: "min" or "max", what an improvement is; it counts if it exceeds `threshold`, of the best value
    (threshold_mode "rel") or as it is ("abs"). cooldown: epochs after a reduction in which nothing is counted.
    min_lr: the least rate. eps: a smaller change is not made. Call `step(metric)`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        self._attach(optimizer)
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceLROnPlateau: mode is {mode!r}, expected 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"ReduceLROnPlateau: threshold_mode is {threshold_mode!r}, expected 'rel' or 'abs'")
        if not factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor is {factor}, expected a number < 1")
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self._per_group("min_lr", min_lr)  # checks their number
        self.min_lr = min_lr
        self.eps = eps
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Go to the next epoch, of which `metrics` is the metric: a number, or a Tensor with one."""
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
            lows = self._per_group("min_lr", self.min_lr)
            rates = [group["lr"] for group in self.optimizer.param_groups]
            self._set([self._reduced(rate, low) for rate, low in zip(rates, lows, strict=True)])
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _reduced(self, rate: float, low: float) -> float:
        new = max(rate * self.factor, low)
        return new if rate - new > self.eps else rate

    def _is_better(self, current: float) -> bool:
        relative = self.threshold_mode == "rel"
        if self.mode == "min":
            return current < (self.best * (1 - self.threshold) if relative else self.best - self.threshold)
        return current > (self.best * (1 + self.threshold) if relative else self.best + self.threshold)


def _begin_momentum(scheduler: LRScheduler, base: float | list[float], peak: float | list[float]) -> None:
    groups, name = scheduler.optimizer.param_groups, type(scheduler).__name__
    if "momentum" not in groups[0] and "betas" not in groups[0]:
        kind = type(scheduler.optimizer).__name__
        raise ValueError(f"{name}: {kind} has neither momentum nor betas, expected cycle_momentum=False")
    bases, peaks = scheduler._per_group("base_momentum", base), scheduler._per_group("max_momentum", peak)
    for group, low, high in zip(groups, bases, peaks, strict=True):
        group.setdefault("base_momentum", low)
        group.setdefault("max_momentum", high)


def _set_momentum(group: dict[str, Any], momentum: float) -> None:
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


def _between_0_and_1(name: str, option: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: {option} is {value!r}, expected a number from 0 to 1")

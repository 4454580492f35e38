"""Every scheduler sets PyTorch's learning rates over 50 steps, alone, together with another, and after a reload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

from tinygrad_cnn import nn, optim  # noqa: E402

Build = Callable[[Any, Any], Any]  # (the lr_scheduler module, an optimizer) -> a scheduler

CASES: dict[str, Build] = {
    "step": lambda kit, o: kit.StepLR(o, 7),
    "step-gamma": lambda kit, o: kit.StepLR(o, step_size=3, gamma=0.8),
    "multi-step": lambda kit, o: kit.MultiStepLR(o, [5, 20, 20, 31], gamma=0.3),
    "multi-step-unsorted": lambda kit, o: kit.MultiStepLR(o, milestones=[31, 4]),
    "exponential": lambda kit, o: kit.ExponentialLR(o, 0.93),
    "cosine": lambda kit, o: kit.CosineAnnealingLR(o, 50),
    "cosine-past-its-end": lambda kit, o: kit.CosineAnnealingLR(o, T_max=7, eta_min=0.01),
    "cosine-to-zero-and-back": lambda kit, o: kit.CosineAnnealingLR(o, T_max=10),
    "warm-restarts": lambda kit, o: kit.CosineAnnealingWarmRestarts(o, 7),
    "warm-restarts-growing": lambda kit, o: kit.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.02),
    "constant": lambda kit, o: kit.ConstantLR(o),
    "constant-long": lambda kit, o: kit.ConstantLR(o, factor=0.25, total_iters=20),
    "linear": lambda kit, o: kit.LinearLR(o),
    "linear-down": lambda kit, o: kit.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=30),
    "polynomial": lambda kit, o: kit.PolynomialLR(o),
    "polynomial-square": lambda kit, o: kit.PolynomialLR(o, total_iters=40, power=2.0),
    "lambda": lambda kit, o: kit.LambdaLR(o, lambda epoch: 0.9**epoch),
    "lambda-each": lambda kit, o: kit.LambdaLR(o, [lambda epoch: 1 / (1 + epoch), lambda epoch: 0.5]),
    "one-cycle": lambda kit, o: kit.OneCycleLR(o, max_lr=1.0, total_steps=60),
    "one-cycle-to-its-end": lambda kit, o: kit.OneCycleLR(o, 1.0, epochs=5, steps_per_epoch=10),
    "one-cycle-linear": lambda kit, o: kit.OneCycleLR(o, 0.7, total_steps=50, anneal_strategy="linear", pct_start=0.2),
    "one-cycle-three-phases": lambda kit, o: kit.OneCycleLR(o, [0.7, 0.2], total_steps=55, three_phase=True),
    "one-cycle-options": lambda kit, o: kit.OneCycleLR(
        o, 0.7, 52, base_momentum=0.5, max_momentum=0.9, div_factor=5.0, final_div_factor=50.0
    ),
    "one-cycle-lr-only": lambda kit, o: kit.OneCycleLR(o, 0.7, 52, cycle_momentum=False),
    "multiplicative": lambda kit, o: kit.MultiplicativeLR(o, lambda epoch: 0.9 + 0.01 * (epoch % 7)),
    "cyclic": lambda kit, o: kit.CyclicLR(o, 0.01, [0.5, 0.3], step_size_up=4, step_size_down=7),
    "cyclic-halving": lambda kit, o: kit.CyclicLR(o, [0.01, 0.02], 0.5, 5, mode="triangular2", base_momentum=0.6),
    "cyclic-shrinking": lambda kit, o: kit.CyclicLR(o, 0.1, 0.5, 5, mode="exp_range", gamma=0.95, max_momentum=0.95),
    "cyclic-own-scale": lambda kit, o: kit.CyclicLR(
        o, 0.1, 0.5, 5, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations", cycle_momentum=False
    ),
    "chained": lambda kit, o: kit.ChainedScheduler(
        [kit.ConstantLR(o, factor=0.1, total_iters=20), kit.ExponentialLR(o, gamma=0.9)], optimizer=o
    ),
    "sequential": lambda kit, o: kit.SequentialLR(
        o, [kit.LinearLR(o, 0.1, total_iters=5), kit.CosineAnnealingLR(o, 30)], milestones=[5]
    ),
    "sequential-of-three": lambda kit, o: kit.SequentialLR(
        o,
        [kit.ConstantLR(o, factor=0.1, total_iters=4), kit.ExponentialLR(o, gamma=0.9), kit.StepLR(o, 4)],
        milestones=[4, 20],
    ),
    "sequential-restarts": lambda kit, o: kit.SequentialLR(
        o, [kit.LinearLR(o, total_iters=6), kit.CosineAnnealingWarmRestarts(o, 5, 2)], [6]
    ),
}


def optimizers(kind: str = "SGD") -> tuple[Any, Any]:
    """The same optimizer twice, with two groups."""
    options: dict[str, Any] = {"lr": 0.1, "momentum": 0.7} if kind == "SGD" else {"lr": 0.1}

    def build(kit: Any, parameter: Any) -> Any:
        return getattr(kit, kind)([{"params": [parameter()]}, {"params": [parameter()], "lr": 0.4}], **options)

    return build(optim, lambda: nn.Parameter([1.0])), build(torch.optim, lambda: torch.nn.Parameter(torch.ones(1)))


def rates(optimizer: Any) -> list[Any]:
    """All that a scheduler sets: the rates, and the momenta."""
    moment = "momentum" if "momentum" in optimizer.param_groups[0] else "betas"
    return [value for group in optimizer.param_groups for value in (group["lr"], np.atleast_1d(group[moment])[0])]


def walk(optimizer: Any, *schedulers: Any, steps: int = 50) -> list[list[Any]]:
    found = [rates(optimizer)]
    for _ in range(steps):
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        found.append(rates(optimizer))
    assert schedulers[-1].get_last_lr() == [group["lr"] for group in optimizer.param_groups]
    return found


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", CASES)
def test_fifty_steps(name: str, kind: str) -> None:
    ours, theirs = optimizers(kind)
    our_scheduler, their_scheduler = (
        CASES[name](optim.lr_scheduler, ours),
        CASES[name](torch.optim.lr_scheduler, theirs),
    )
    found, expected = walk(ours, our_scheduler), walk(theirs, their_scheduler)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-15)
    assert len({row[0] for row in found}) > 1


@pytest.mark.parametrize("first", ["step-gamma", "exponential", "cosine-past-its-end", "linear", "polynomial-square"])
@pytest.mark.parametrize("second", ["multi-step", "constant-long", "exponential"])
def test_two_schedulers_on_one_optimizer_multiply(first: str, second: str) -> None:
    ours, theirs = optimizers()
    kit, their_kit = optim.lr_scheduler, torch.optim.lr_scheduler
    found = walk(ours, CASES[first](kit, ours), CASES[second](kit, ours))
    expected = walk(theirs, CASES[first](their_kit, theirs), CASES[second](their_kit, theirs))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize(
    "options", [{}, {"patience": 2, "cooldown": 3}, {"patience": 0, "min_lr": [0.05, 0.2]}], ids=str
)
def test_reduce_on_plateau(mode: str, threshold_mode: str, options: dict[str, Any]) -> None:
    metrics = np.random.default_rng(0).normal(size=50).cumsum()
    options = {"mode": mode, "threshold_mode": threshold_mode, "factor": 0.5, "threshold": 0.1, **options}
    ours, theirs = optimizers()
    found, expected = [], []
    for optimizer, kit, rows in ((ours, optim, found), (theirs, torch.optim, expected)):
        scheduler = kit.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        for metric in metrics:
            scheduler.step(metric)
            rows.append(rates(optimizer))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert len({row[0] for row in found}) > 1


@pytest.mark.parametrize("epoch", [0.5, 3, 7.25, 9, 20.5])
def test_warm_restarts_within_an_epoch(epoch: float) -> None:
    ours, theirs = optimizers()
    found = optim.lr_scheduler.CosineAnnealingWarmRestarts(ours, 3, 2)
    expected = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(theirs, 3, 2)
    found.step(epoch)
    expected.step(epoch)
    np.testing.assert_allclose(rates(ours), rates(theirs), rtol=1e-12)


@pytest.mark.parametrize("name", ["step", "cosine", "lambda", "one-cycle", "exponential"])
def test_going_on_with_last_epoch(name: str) -> None:
    """A new scheduler over an optimizer that has been loaded, told the number of the last epoch."""
    build = {
        "step": lambda kit, o, last: kit.StepLR(o, 7, last_epoch=last),
        "cosine": lambda kit, o, last: kit.CosineAnnealingLR(o, 30, last_epoch=last),
        "lambda": lambda kit, o, last: kit.LambdaLR(o, lambda epoch: 0.9**epoch, last_epoch=last),
        "one-cycle": lambda kit, o, last: kit.OneCycleLR(o, 0.7, 60, last_epoch=last),
        "exponential": lambda kit, o, last: kit.ExponentialLR(o, 0.9, last_epoch=last),
    }[name]
    ours, theirs = optimizers()
    walk(ours, build(optim.lr_scheduler, ours, -1), steps=9)
    walk(theirs, build(torch.optim.lr_scheduler, theirs, -1), steps=9)
    found = walk(ours, build(optim.lr_scheduler, ours, 9), steps=10)
    expected = walk(theirs, build(torch.optim.lr_scheduler, theirs, 9), steps=10)
    np.testing.assert_allclose(found, expected, rtol=1e-10)

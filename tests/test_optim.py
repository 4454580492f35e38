"""Optimizers and schedulers: groups, closures, locks, saving and loading, and what they say to wrong options."""

from __future__ import annotations

import copy
import json
import pickle
import re
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn, optim
from tinygrad_cnn.optim import lr_scheduler

KINDS = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta"]


def raises(kind: type[Exception], text: str) -> Any:
    return pytest.raises(kind, match=re.escape(text))


def parameters(n: int = 2) -> list[nn.Parameter]:
    return [nn.Parameter(np.arange(1.0, 4.0) + i) for i in range(n)]


def fill_gradients(optimizer: optim.Optimizer, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = tg.tensor(rng.normal(size=p.shape), dtype=p.dtype)


# ---- options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [-1.0, float("nan"), "fast", None], ids=str)
def test_a_learning_rate_that_is_none(kind: str, value: Any) -> None:
    with raises(ValueError, f"{kind}: lr is {value!r}, expected a number >= 0"):
        getattr(optim, kind)(parameters(), lr=value)


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        ("SGD", {"momentum": -0.1}, "SGD: momentum is -0.1, expected a number >= 0"),
        ("SGD", {"weight_decay": -1}, "SGD: weight_decay is -1, expected a number >= 0"),
        ("SGD", {"nesterov": True}, "SGD: nesterov with momentum 0 and dampening 0, expected a momentum > 0"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "expected a momentum > 0 and no dampening"),
        ("Adam", {"betas": (1.0, 0.9)}, "Adam: betas[0] is 1.0, expected a number >= 0 and < 1"),
        ("AdamW", {"betas": (0.9, -0.1)}, "AdamW: betas[1] is -0.1, expected a number >= 0 and < 1"),
        ("Adam", {"eps": -1e-8}, "Adam: eps is -1e-08, expected a number >= 0"),
        ("RMSprop", {"alpha": -1.0}, "RMSprop: alpha is -1.0, expected a number >= 0"),
        ("Adagrad", {"lr_decay": -1.0}, "Adagrad: lr_decay is -1.0, expected a number >= 0"),
        ("Adagrad", {"initial_accumulator_value": -1}, "Adagrad: initial_accumulator_value is -1"),
        ("Adadelta", {"rho": 1.5}, "Adadelta: rho is 1.5, expected a number from 0 to 1"),
    ],
)
def test_options_out_of_range(kind: str, options: dict[str, Any], text: str) -> None:
    with raises(ValueError, text):
        getattr(optim, kind)(parameters(), **options)
    with raises(ValueError, text):
        getattr(optim, kind)([{"params": parameters(), **options}])


@pytest.mark.parametrize("kind", KINDS)
def test_options_that_are_refused(kind: str) -> None:
    with raises(ValueError, f"{kind}: differentiable is True, expected False: steps are not recorded"):
        getattr(optim, kind)(parameters(), differentiable=True)
    with raises(ValueError, f"{kind}: capturable is True, expected False: there are no CUDA graphs"):
        getattr(optim, kind)([{"params": parameters(), "capturable": True}])


def test_parameters_that_are_none() -> None:
    p = nn.Parameter([1.0])
    with raises(ValueError, "SGD: the list of parameters is empty"):
        optim.SGD([])
    with raises(TypeError, "SGD: params is one Tensor, expected an iterable of them"):
        optim.SGD(p)  # type: ignore[arg-type]
    with raises(TypeError, "SGD: parameter 1 is a int, expected a Tensor"):
        optim.SGD([p, 3])
    with raises(ValueError, "SGD: parameter 0 is the result of an op, expected a leaf"):
        optim.SGD([p * 2])
    with raises(ValueError, "SGD: parameter 1 is given twice, expected each parameter once"):
        optim.SGD([p, p])
    with raises(TypeError, "SGD: the parameters are a set, whose order is not certain, expected a list"):
        optim.SGD([{"params": {p}}])
    optimizer = optim.SGD([p])
    with raises(ValueError, "SGD: parameter 0 is given twice"):
        optimizer.add_param_group({"params": [p]})
    with raises(TypeError, "expected a dict with 'params'"):
        optimizer.add_param_group([p])  # type: ignore[arg-type]
    assert len(optimizer.param_groups) == 1


def test_groups_take_the_defaults_that_they_do_not_set() -> None:
    a, b = parameters()
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1, momentum=0.9)
    assert [(g["lr"], g["momentum"]) for g in optimizer.param_groups] == [(0.5, 0.9), (0.1, 0.9)]
    assert optimizer.defaults["lr"] == 0.1
    assert repr(optimizer) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: 0.5\n    maximize: False\n    momentum: 0.9\n    nesterov: False\n    weight_decay: 0\n"
        "Parameter Group 1\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: 0.1\n    maximize: False\n    momentum: 0.9\n    nesterov: False\n    weight_decay: 0\n)"
    )


# ---- stepping ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_writes_in_place_and_leaves_what_has_no_gradient(kind: str) -> None:
    a, b = parameters()
    memory, before = a.array, b.array.copy()
    optimizer = getattr(optim, kind)([a, b], lr=0.5)
    (a * a).sum().backward()
    assert optimizer.step() is None
    assert a.array is memory
    assert (memory != np.arange(1.0, 4.0)).all()
    np.testing.assert_array_equal(b.array, before)
    assert b not in optimizer.state
    assert a.node is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_shapes(kind: str, shape: tuple[int, ...]) -> None:
    p = nn.Parameter(tg.ones(shape))
    optimizer = getattr(optim, kind)([p], lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
    assert p.shape == shape
    assert p.dtype == np.float32
    assert (p.array < 1).all()


def test_a_closure_computes_the_loss_with_gradients() -> None:
    (p,) = parameters(1)
    optimizer = optim.SGD([p], lr=0.1)

    def closure() -> tg.Tensor:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tg.no_grad():
        assert optimizer.step(closure).item() == 14
    np.testing.assert_allclose(p.array, [0.8, 1.6, 2.4])


def test_zero_grad() -> None:
    a, b = parameters()
    optimizer = optim.SGD([a, b])
    a.grad = tg.ones_like(a)
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0, 0, 0]
    assert b.grad is None
    optimizer.zero_grad()
    assert a.grad is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_while_another_graph_lives_leaves_that_graph_its_own_values(kind: str) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    x = tg.ones(4, 3)
    optimizer = getattr(optim, kind)(model.named_parameters(), lr=0.1)
    expected = tg.autograd.grad(model(x).sum(), list(model.parameters()))
    validation = model(x).sum()  # made without no_grad, and kept over the step
    model(x).sum().backward()
    before = {name: value.array.copy() for name, value in model.state_dict().items()}
    optimizer.step()
    assert all((value.array != before[name]).all() for name, value in model.state_dict().items())
    for g, e in zip(tg.autograd.grad(validation, list(model.parameters())), expected, strict=True):
        np.testing.assert_array_equal(g.array, e.array)


def test_a_step_while_a_loss_lives_that_backward_has_used_is_allowed() -> None:
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(3):
        loss = (model(tg.ones(4, 3)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss)
    assert losses[0].item() > losses[1].item() > losses[2].item()


def test_a_parameter_that_views_what_a_graph_needs_gets_memory_of_its_own() -> None:
    memory = np.ones((2, 3))
    p = nn.Parameter(memory[0])
    optimizer = optim.SGD([p], lr=0.1)
    p.grad = tg.ones(3).double()
    w = tg.ones(3, requires_grad=True)
    loss = (tg.Tensor(memory) * w).sum()
    optimizer.step()
    np.testing.assert_allclose(p.array, 0.9)
    loss.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [2.0, 2.0, 2.0]


def test_a_read_only_parameter() -> None:
    values = np.ones(3)
    values.flags.writeable = False
    p = nn.Parameter(tg.from_numpy(values))
    p.grad = tg.ones_like(p)
    with raises(ValueError, "an array of shape (3,) is read-only, expected one that can be written to"):
        optim.SGD([p]).step()


def test_an_optimizer_of_ones_own() -> None:
    class SignDescent(optim.Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr})

        @tg.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.add_(p.grad.sign(), alpha=-group["lr"])

    (p,) = parameters(1)
    optimizer = SignDescent([p], lr=0.5)
    (p * p).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(p.array, [0.5, 1.5, 2.5])
    plain = optim.Optimizer([p], {})
    with raises(NotImplementedError, "Optimizer: it has no method _update, expected one, or a step of its own"):
        plain.step()


def test_hooks_of_a_step_of_ones_own_and_of_a_copy() -> None:
    class Own(optim.SGD):
        def step(self, by: float = 1.0) -> Any:  # type: ignore[override]  # arguments of its own: the case tested
            seen.append(by)
            return super().step()

    seen: list[Any] = []
    optimizer = Own(parameters(), lr=1.0)
    assert "step" not in vars(optimizer)  # without hooks there is nothing between
    with optimizer.register_step_pre_hook(lambda which, args, kwargs: ((which, 3.0), {})):
        with optimizer.register_step_post_hook(lambda which, args, kwargs: seen.append(args[1:])):
            optimizer.step(by=2.0)
            assert seen == [3.0, (3.0,)]
            copy.deepcopy(optimizer).step(4.0)
        optimizer.step(5.0)
    optimizer.step(6.0)
    assert seen[2:] == [4.0, 3.0, 6.0]
    optimizer.register_step_pre_hook(lambda *_: 1)
    with raises(TypeError, "Own.step: a pre-hook returned 1, expected None or (args, kwargs)"):
        optimizer.step()


def test_an_optimizer_with_hooks_is_pickled_without_them() -> None:
    optimizer = optim.SGD(parameters(), lr=1.0)
    for register in (optimizer.register_step_pre_hook, optimizer.register_state_dict_post_hook):
        register(lambda *_: None)
    again = pickle.loads(pickle.dumps(optimizer))
    assert "step" not in vars(again)
    again.register_step_post_hook(lambda which, *_: which.param_groups[0].update(lr=7.0))
    again.step()
    assert again.param_groups[0]["lr"] == 7.0


# ---- saving and loading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_optimizer_goes_on_bit_for_bit(kind: str) -> None:
    options = {"SGD": {"momentum": 0.9}, "RMSprop": {"centered": True, "momentum": 0.5}, "Adam": {"amsgrad": True}}
    build = getattr(optim, kind)
    mine, other = parameters(), parameters()
    optimizer = build(mine, lr=0.1, **options.get(kind, {}))
    for step in range(3):
        fill_gradients(optimizer, step)
        optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    for p, q in zip(mine, other, strict=True):
        q.array[...] = p.array
    loaded = build(other, lr=0.7)
    loaded.load_state_dict(saved)
    for step in range(3, 6):
        for one in (optimizer, loaded):
            fill_gradients(one, step)
            one.step()
    for p, q in zip(mine, other, strict=True):
        np.testing.assert_array_equal(p.array, q.array)
    assert loaded.param_groups[0]["lr"] == 0.1
    assert saved["param_groups"][0]["params"] == [0, 1]
    for name in optimizer.like_parameter:
        if name in saved["state"][0]:
            assert saved["state"][0][name].array is not loaded.state[other[0]][name].array


def test_a_pickled_or_copied_optimizer_steps_alike() -> None:
    optimizer = optim.Adam(parameters(), lr=0.1)
    fill_gradients(optimizer)
    optimizer.step()
    twins = [optimizer, pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)]
    for twin in twins:
        fill_gradients(twin, 1)
        twin.step()
    values = [[p.tolist() for p in twin.param_groups[0]["params"]] for twin in twins]
    assert values[0] == values[1] == values[2]


def test_an_optimizer_of_ones_own_changes_nothing_that_a_graph_needs() -> None:
    class Own(optim.Optimizer):
        def _update(self, p: Any, g: Any, state: Any, group: Any) -> None:
            state.update(parameter=p[:])
            g *= 3

    p, w = nn.Parameter(np.array([1.0, 2.0])), nn.Parameter(np.array([5.0, 5.0]))
    optimizer = Own([p], {})
    p.grad = tg.tensor([1.0, 1.0], dtype=tg.float64)
    y = (w * p.grad).sum()
    with raises(ValueError, "output array is read-only"):
        optimizer.step()
    y.backward()
    optimizer.step()
    y = (w * p).sum()
    optimizer.state[p]["parameter"][:] = 100.0
    y.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [2.0, 3.0]


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    optimizer = optim.SGD(parameters(), lr=0.1, momentum=0.9)
    fill_gradients(optimizer)
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    other = optim.SGD([nn.Parameter([1.0]), nn.Parameter([2.0])], lr=0.3, momentum=0.9)
    text = "SGD.load_state_dict: momentum_buffer of parameter 0 has shape (3,), expected (1,)"
    with raises(ValueError, text):
        other.load_state_dict(saved)
    assert not other.state
    assert other.param_groups[0]["lr"] == 0.3
    with raises(ValueError, "SGD.load_state_dict: the groups have [2] parameters, this optimizer's have [3]"):
        optim.SGD(parameters(3)).load_state_dict(saved)
    saved["state"][5] = saved["state"].pop(1)
    with raises(ValueError, "SGD.load_state_dict: there is a state for parameter 5, but none such"):
        optimizer.load_state_dict(saved)


# ---- schedulers --------------------------------------------------------------------------------------------

SCHEDULERS: dict[str, Any] = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [3, 5], 0.5),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.5),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 7),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 1.0, 20),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o, 0.1), lr_scheduler.ExponentialLR(o, 0.9)], [4]
    ),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
}


def advance(scheduler: Any, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        scheduler.step(*([1.0] if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else []))
        found += scheduler.get_last_lr()
    return found


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_loaded_scheduler_goes_on_where_it_was(kind: str) -> None:
    optimizer, other = (optim.SGD(parameters(), lr=0.8, momentum=0.5) for _ in range(2))
    scheduler = SCHEDULERS[kind](optimizer)
    advance(scheduler, 6)
    saved = json.loads(json.dumps([scheduler.state_dict(), optimizer.state_dict()]))
    twin = SCHEDULERS[kind](other)
    twin.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    assert twin.get_last_lr() == scheduler.get_last_lr()
    assert advance(twin, 8) == advance(scheduler, 8)
    assert twin.last_epoch == 14
    with raises(ValueError, f"{kind}.load_state_dict: 'last_epoch' is missing, this is the state of another scheduler"):
        twin.load_state_dict({name: value for name, value in saved[0].items() if name != "last_epoch"})


def test_the_state_of_callable_objects_is_saved_and_code_is_not() -> None:
    class Decay:
        def __init__(self, rate: float) -> None:
            self.rate = rate

        def __call__(self, epoch: int) -> float:
            return self.rate**epoch

    build = lr_scheduler.LambdaLR
    groups = [{"params": [p]} for p in parameters()]
    optimizer = optim.SGD(groups, lr=1.0)
    saved = build(optimizer, [Decay(0.5), lambda epoch: 1.0]).state_dict()
    assert saved["lr_lambdas"] == [{"rate": 0.5}, None]
    twin = build(optimizer, [Decay(0.1), lambda epoch: 1.0])
    twin.load_state_dict(saved)
    twin.step()
    assert twin.get_last_lr() == [0.5, 1.0]


def test_a_scheduler_of_ones_own() -> None:
    class Halving(lr_scheduler.LRScheduler):
        def get_lr(self) -> list[float]:
            return [base / 2**self.last_epoch for base in self.base_lrs]

    assert advance(Halving(optim.SGD(parameters(), lr=1.0)), 3) == [0.5, 0.25, 0.125]
    with raises(NotImplementedError, "LRScheduler: it has no method get_lr, expected one"):
        lr_scheduler.LRScheduler(optim.SGD(parameters()))


def test_wrong_options_of_schedulers() -> None:
    optimizer = optim.Adagrad([{"params": [p]} for p in parameters()], lr=0.1)
    with raises(TypeError, "StepLR: optimizer is a list, expected an Optimizer"):
        lr_scheduler.StepLR([], 3)  # type: ignore[arg-type]
    with raises(ValueError, "StepLR: step_size is 0, expected a number >= 1"):
        lr_scheduler.StepLR(optimizer, 0)
    with raises(KeyError, "ExponentialLR: last_epoch is 3, but group 0 has no 'initial_lr' to go on from"):
        lr_scheduler.ExponentialLR(optim.SGD(parameters()), 0.9, last_epoch=3)
    with raises(ValueError, "LambdaLR: lr_lambda has 1 values, the optimizer has 2 groups"):
        lr_scheduler.LambdaLR(optimizer, [lambda epoch: 1.0])
    with raises(ValueError, "ConstantLR: factor is 1.5, expected a number from 0 to 1"):
        lr_scheduler.ConstantLR(optimizer, 1.5)
    with raises(ValueError, "LinearLR: start_factor is 0, expected a number > 0"):
        lr_scheduler.LinearLR(optimizer, 0)
    with raises(ValueError, "LinearLR: end_factor is -1, expected a number from 0 to 1"):
        lr_scheduler.LinearLR(optimizer, end_factor=-1)
    with raises(ValueError, "CosineAnnealingWarmRestarts: T_0 is 0, expected an integer >= 1"):
        lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 0)
    restarts = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2)
    with raises(ValueError, "CosineAnnealingWarmRestarts: epoch is -1, expected a number >= 0"):
        restarts.step(-1)


def test_wrong_options_of_the_one_cycle() -> None:
    optimizer = optim.Adagrad(parameters(), lr=0.1)
    with raises(ValueError, "OneCycleLR: its length is not given, expected total_steps, or epochs and steps_per_epoch"):
        lr_scheduler.OneCycleLR(optimizer, 1.0)
    with raises(ValueError, "OneCycleLR: total_steps is 0, expected a number >= 1"):
        lr_scheduler.OneCycleLR(optimizer, 1.0, 0)
    with raises(ValueError, "OneCycleLR: pct_start is 30, expected a number from 0 to 1"):
        lr_scheduler.OneCycleLR(optimizer, 1.0, 10, pct_start=30)
    with raises(ValueError, "OneCycleLR: anneal_strategy is 'cosine', expected 'cos' or 'linear'"):
        lr_scheduler.OneCycleLR(optimizer, 1.0, 10, anneal_strategy="cosine")
    with raises(ValueError, "OneCycleLR: Adagrad has neither momentum nor betas, expected cycle_momentum=False"):
        lr_scheduler.OneCycleLR(optimizer, 1.0, 10)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, 3, cycle_momentum=False)
    advance(scheduler, 3)
    with raises(ValueError, "OneCycleLR: this is step 4, expected at most total_steps = 3"):
        scheduler.step()


def test_wrong_options_of_the_others() -> None:
    optimizer = optim.SGD(parameters(), lr=0.1)
    plateau = lr_scheduler.ReduceLROnPlateau
    with raises(ValueError, "ReduceLROnPlateau: mode is 'up', expected 'min' or 'max'"):
        plateau(optimizer, "up")
    with raises(ValueError, "ReduceLROnPlateau: threshold_mode is 'x', expected 'rel' or 'abs'"):
        plateau(optimizer, threshold_mode="x")
    with raises(ValueError, "ReduceLROnPlateau: factor is 1, expected a number < 1"):
        plateau(optimizer, factor=1)
    with raises(ValueError, "ReduceLROnPlateau: min_lr has 2 values, the optimizer has 1 groups"):
        plateau(optimizer, min_lr=[0.1, 0.2])
    steps = lr_scheduler.StepLR(optimizer, 3)
    with raises(ValueError, "SequentialLR: 1 schedulers and 1 milestones, expected one scheduler more than milestones"):
        lr_scheduler.SequentialLR(optimizer, [steps], [3])
    with raises(ValueError, "SequentialLR: scheduler 1 is a ReduceLROnPlateau, whose step wants a metric"):
        lr_scheduler.SequentialLR(optimizer, [steps, plateau(optimizer)], [3])
    with raises(ValueError, "SequentialLR: scheduler 0 belongs to another optimizer, expected this one"):
        lr_scheduler.SequentialLR(optim.SGD(parameters()), [steps], [])


def test_a_constant_factor_of_zero_ends() -> None:
    optimizer = optim.SGD(parameters(), lr=0.5)
    scheduler = lr_scheduler.ConstantLR(optimizer, factor=0.0, total_iters=2)
    assert [0.0, *advance(scheduler, 3)] == [0.0, 0.0, 0.5, 0.5]


def test_plateau_takes_a_tensor() -> None:
    optimizer = optim.SGD(parameters(), lr=0.5)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    for metric in (tg.tensor(1.0), tg.tensor(2.0)):
        scheduler.step(metric)
    assert scheduler.get_last_lr() == [0.05]


def test_no_warning_from_an_optimizer() -> None:
    p = tg.nn.Parameter(tg.ones(3))
    optimizer = tg.optim.SGD([p], lr=1e30)
    for _ in range(3):
        p.grad = tg.full((3,), 3e38)
        optimizer.step()
    assert not np.isfinite(p.detach().numpy()).any()

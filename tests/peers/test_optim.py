"""Ten training steps of an MLP and of a CNN agree with PyTorch's, for every optimizer and its options."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

import tinygrad_cnn as tg  # noqa: E402
from tinygrad_cnn import nn, optim  # noqa: E402

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.1, "nesterov": True, "maximize": True}),
    ("SGD", {"lr": 0.01, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "betas": (0.5, 0.6)}),
    ("Adam", {"lr": 0.05, "maximize": True, "weight_decay": 0.2, "amsgrad": True}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.3, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.5}),
    ("AdamW", {"lr": 0.05, "betas": (0.7, 0.8), "amsgrad": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.7, "eps": 1e-3}),
    ("RMSprop", {"lr": 0.02, "centered": True}),
    ("RMSprop", {"lr": 0.02, "momentum": 0.8, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.02, "momentum": 0.8, "centered": True, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1}),
    ("Adadelta", {"maximize": True}),
]


def mlp(kit: Any) -> Any:
    return kit.Sequential(kit.Linear(5, 7), kit.Tanh(), kit.Linear(7, 3, bias=False))


def cnn(kit: Any) -> Any:
    return kit.Sequential(
        kit.Conv2d(1, 3, 3, padding=1, bias=False),  # a bias before batch norm has only rounding for gradient
        kit.BatchNorm2d(3),
        kit.ReLU(),
        kit.MaxPool2d(2),
        kit.Flatten(),
        kit.Linear(27, 3),
    )


def batches(shape: tuple[int, ...], steps: int = 10) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [(rng.normal(size=(8, *shape)), rng.integers(0, 3, 8)) for _ in range(steps)]


def pair(build: Any) -> tuple[Any, Any]:
    """The same model twice, with the same weights in float64."""
    torch.manual_seed(0)
    theirs = build(torch.nn).double()
    ours = build(nn).double()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    return ours, theirs


def train(ours: Any, theirs: Any, our_optimizer: Any, their_optimizer: Any, shape: tuple[int, ...], steps: int) -> None:
    for x, target in batches(shape, steps):
        our_optimizer.zero_grad()
        nn.functional.cross_entropy(ours(tg.tensor(x)), tg.tensor(target)).backward()
        our_optimizer.step()
        their_optimizer.zero_grad()
        torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(target)).backward()
        their_optimizer.step()


def assert_same_weights(ours: Any, theirs: Any, bound: float = 1e-10) -> None:
    found = ours.state_dict()
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(found[name].array, value.numpy(), rtol=bound, atol=bound, err_msg=name)


@pytest.mark.parametrize(("build", "shape"), [(mlp, (5,)), (cnn, (1, 6, 6))], ids=["mlp", "cnn"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_ten_steps(name: str, options: dict[str, Any], build: Any, shape: tuple[int, ...]) -> None:
    ours, theirs = pair(build)
    before = {key: value.array.copy() for key, value in ours.state_dict().items()}
    our_optimizer = getattr(optim, name)(ours.parameters(), **options)
    their_optimizer = getattr(torch.optim, name)(theirs.parameters(), **options)
    train(ours, theirs, our_optimizer, their_optimizer, shape, 10)
    assert_same_weights(ours, theirs)
    assert any(np.abs(before[key] - value.array).max() > 1e-4 for key, value in ours.named_parameters())


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_the_state_has_their_structure_and_values(name: str, options: dict[str, Any]) -> None:
    ours, theirs = pair(mlp)
    our_optimizer = getattr(optim, name)(ours.parameters(), **options)
    their_optimizer = getattr(torch.optim, name)(theirs.parameters(), **options)
    train(ours, theirs, our_optimizer, their_optimizer, (5,), 3)
    found, expected = our_optimizer.state_dict(), their_optimizer.state_dict()
    assert found["state"].keys() == expected["state"].keys()
    for number, held in expected["state"].items():
        held = {key: value for key, value in held.items() if value is not None}
        assert found["state"][number].keys() == held.keys()
        for key, value in held.items():
            np.testing.assert_allclose(found["state"][number][key].array, value.numpy(), rtol=1e-10, atol=1e-14)
    assert found["param_groups"] == expected["param_groups"]
    assert repr(our_optimizer) == repr(their_optimizer)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_training_goes_on_from_their_state(name: str, options: dict[str, Any]) -> None:
    """Three steps by PyTorch; then its weights and state are loaded, and both go on."""
    ours, theirs = pair(mlp)
    their_optimizer = getattr(torch.optim, name)(theirs.parameters(), **options)
    for x, target in batches((5,), 3):
        their_optimizer.zero_grad()
        torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(target)).backward()
        their_optimizer.step()
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    saved = their_optimizer.state_dict()
    arrays = {i: {key: v.numpy() for key, v in held.items()} for i, held in saved["state"].items()}
    our_optimizer = getattr(optim, name)(ours.parameters(), **options)
    our_optimizer.load_state_dict({**saved, "state": arrays})
    train(ours, theirs, our_optimizer, their_optimizer, (5,), 4)
    assert_same_weights(ours, theirs)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta"])
def test_choices_of_an_implementation_stand_in_the_groups(name: str) -> None:
    options = {"foreach": False, "maximize": True}
    ours, theirs = pair(mlp)
    our_optimizer = getattr(optim, name)(ours.parameters(), **options)
    their_optimizer = getattr(torch.optim, name)(theirs.parameters(), **options)
    train(ours, theirs, our_optimizer, their_optimizer, (5,), 2)
    assert_same_weights(ours, theirs)
    assert our_optimizer.state_dict()["param_groups"] == their_optimizer.state_dict()["param_groups"]


def test_groups_with_their_own_options_and_a_group_added_later() -> None:
    ours, theirs = pair(mlp)

    def groups(model: Any) -> list[dict[str, Any]]:
        return [{"params": model[0].weight, "lr": 0.3}, {"params": [model[0].bias], "weight_decay": 0.2}]

    our_optimizer = optim.SGD(groups(ours), lr=0.1, momentum=0.9)
    their_optimizer = torch.optim.SGD(groups(theirs), lr=0.1, momentum=0.9)
    train(ours, theirs, our_optimizer, their_optimizer, (5,), 3)
    our_optimizer.add_param_group({"params": ours[2].parameters(), "momentum": 0.5})
    their_optimizer.add_param_group({"params": theirs[2].parameters(), "momentum": 0.5})
    train(ours, theirs, our_optimizer, their_optimizer, (5,), 3)
    assert_same_weights(ours, theirs)
    kept = ("lr", "momentum", "weight_decay", "params")
    for found, expected in zip(
        our_optimizer.state_dict()["param_groups"], their_optimizer.state_dict()["param_groups"], strict=True
    ):
        assert [found[key] for key in kept] == [expected[key] for key in kept]


def test_float32_stays_float32_and_agrees_to_its_precision() -> None:
    for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta"):
        ours, theirs = pair(mlp)
        ours.float()
        theirs.float()
        our_optimizer = getattr(optim, name)(ours.parameters(), lr=0.05)
        their_optimizer = getattr(torch.optim, name)(theirs.parameters(), lr=0.05)
        for x, target in batches((5,)):
            our_optimizer.zero_grad()
            nn.functional.cross_entropy(ours(tg.tensor(x.astype(np.float32))), tg.tensor(target)).backward()
            our_optimizer.step()
            their_optimizer.zero_grad()
            torch.nn.functional.cross_entropy(theirs(torch.tensor(x).float()), torch.tensor(target)).backward()
            their_optimizer.step()
        assert all(p.dtype == np.float32 for p in ours.parameters())
        assert all(value.dtype == np.float32 for held in our_optimizer.state.values() for value in held.values())
        assert_same_weights(ours, theirs, bound=1e-4)


def hooked(kit: Any, base: Any) -> list[Any]:
    """What hooks of every kind see, and what they change."""
    p = kit.nn.Parameter(base.ones(2))
    optimizer = kit.optim.SGD([p], lr=0.5)
    seen: list[Any] = []

    def twice(which: Any, args: Any, kwargs: Any) -> Any:
        seen.append(("pre", which is optimizer, args[0] is optimizer, len(args), sorted(kwargs)))
        loss = 10 * len(seen)
        return args[:1], {"closure": lambda: loss}

    def after(which: Any, args: Any, kwargs: Any) -> Any:
        seen.append(("post", which is optimizer, args[0] is optimizer, len(args), sorted(kwargs), p.tolist()))
        return "not used"

    def mark(name: str, value: Any = None) -> Any:
        def hook(*args: Any) -> Any:
            seen.append((name, args[0] is optimizer, [sorted(x) for x in args[1:]], p.tolist()))
            for state in args[1:]:
                state[name] = True
            return value

        return hook

    handles = [optimizer.register_step_pre_hook(twice), optimizer.register_step_post_hook(after)]
    handles.append(optimizer.register_step_pre_hook(lambda *_: None))
    for closure in ((), (lambda: 1,)):
        p.grad = base.ones(2)
        seen.append(optimizer.step(*closure))
    seen.append(optimizer.step(closure=lambda: 1))
    copy.deepcopy(optimizer).step()  # has no hooks
    for handle in handles:
        handle.remove()
    seen.append(optimizer.step())
    optimizer.register_state_dict_pre_hook(mark("save 1"))
    optimizer.register_state_dict_pre_hook(mark("save 0"), prepend=True)
    optimizer.register_state_dict_post_hook(mark("saved 1"))
    optimizer.register_state_dict_post_hook(mark("saved 0"), prepend=True)
    state = optimizer.state_dict()
    optimizer.register_state_dict_post_hook(mark("saved 2", {"another": 1}))
    seen += [sorted(state), optimizer.state_dict()]
    optimizer.register_load_state_dict_pre_hook(mark("load 1"))
    optimizer.register_load_state_dict_pre_hook(mark("load 0", {**state, "from": "hook"}), prepend=True)
    optimizer.register_load_state_dict_post_hook(mark("loaded"))
    optimizer.load_state_dict({"no": "state"})
    return [*seen, sorted(state)]


def test_hooks_of_steps_and_states() -> None:
    assert hooked(tg, tg) == hooked(torch, torch)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, float("inf"), 0.5])
@pytest.mark.parametrize("max_norm", [0.01, 100.0])
def test_clip_grad_norm(norm_type: float, max_norm: float) -> None:
    ours, theirs = pair(mlp)
    x, target = batches((5,))[0]
    nn.functional.cross_entropy(ours(tg.tensor(x)), tg.tensor(target)).backward()
    torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(target)).backward()
    found = nn.utils.clip_grad_norm_(ours.parameters(), max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), max_norm, norm_type)
    np.testing.assert_allclose(found.item(), expected.item(), rtol=1e-12)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.array, q.grad.numpy(), rtol=1e-10)


@pytest.mark.parametrize("poison", [float("inf"), float("nan")])
def test_clip_grad_norm_of_gradients_that_are_not_finite(poison: float) -> None:
    ours, theirs = nn.Parameter(np.ones(3)), torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    ours.grad, theirs.grad = tg.tensor([1.0, poison, 2.0]).double(), torch.tensor([1.0, poison, 2.0]).double()
    found = nn.utils.clip_grad_norm_([ours], 1.0)
    expected = torch.nn.utils.clip_grad_norm_([theirs], 1.0)
    np.testing.assert_equal(found.item(), expected.item())
    np.testing.assert_equal(ours.grad.array, theirs.grad.numpy())


def test_clip_grad_value_and_vectors() -> None:
    ours, theirs = pair(mlp)
    x, target = batches((5,))[0]
    nn.functional.cross_entropy(ours(tg.tensor(x)), tg.tensor(target)).backward()
    torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(target)).backward()
    nn.utils.clip_grad_value_(ours.parameters(), 0.01)
    torch.nn.utils.clip_grad_value_(theirs.parameters(), 0.01)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.array, q.grad.numpy(), rtol=1e-10)
    found = nn.utils.parameters_to_vector(ours.parameters())
    expected = torch.nn.utils.parameters_to_vector(theirs.parameters())
    np.testing.assert_array_equal(found.array, expected.detach().numpy())
    nn.utils.vector_to_parameters(found.detach() * 2, ours.parameters())
    torch.nn.utils.vector_to_parameters(expected.detach() * 2, theirs.parameters())
    assert_same_weights(ours, theirs)


@pytest.mark.parametrize("average", ["mean", "ema", "multi-ema"])
@pytest.mark.parametrize("use_buffers", [False, True])
def test_averaged_models(average: str, use_buffers: bool) -> None:
    ours, theirs = pair(cnn)
    found, expected = [], []
    for kit, model, kept in ((optim, ours, found), (torch.optim, theirs, expected)):
        swa = kit.swa_utils
        options = {
            "mean": {},
            "ema": {"avg_fn": swa.get_ema_avg_fn(0.9)},
            "multi-ema": {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.9)},
        }[average]
        kept += [swa.AveragedModel(model, use_buffers=use_buffers, **options), kit.SGD(model.parameters(), lr=0.1)]
    for x, target in batches((1, 6, 6), 4):
        train(ours, theirs, found[1], expected[1], (1, 6, 6), 1)
        nn.functional.cross_entropy(ours(tg.tensor(x)), tg.tensor(target))
        torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(target))
        found[0].update_parameters(ours)
        expected[0].update_parameters(theirs)
    assert list(found[0].state_dict()) == list(expected[0].state_dict())
    assert_same_weights(found[0], expected[0])
    np.testing.assert_allclose(found[0](tg.tensor(x)).numpy(force=True), expected[0](torch.tensor(x)).detach().numpy())


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
def test_pad_sequence(batch_first: bool, side: str) -> None:
    parts = [np.random.default_rng(n).normal(size=(n, 2)) for n in (3, 1, 4)]
    ours = [tg.tensor(x, requires_grad=True) for x in parts]
    theirs = [torch.tensor(x, requires_grad=True) for x in parts]
    found = nn.utils.rnn.pad_sequence(ours, batch_first, -1.0, padding_side=side)
    expected = torch.nn.utils.rnn.pad_sequence(theirs, batch_first, -1.0, padding_side=side)
    np.testing.assert_array_equal(found.numpy(force=True), expected.detach().numpy())
    (found**2).sum().backward()
    (expected**2).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy())

"""Modules, containers, hooks and initial values against PyTorch's: names, order, reprs, calls, numbers."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

import tinygrad_cnn as tg  # noqa: E402
from tinygrad_cnn import nn  # noqa: E402

KITS = [(nn, tg), (torch.nn, torch)]


def model_of(kit: Any, base: Any) -> Any:
    """A model with what there is: nesting, shared modules and parameters, buffers, lists, dicts, None."""

    class Block(kit.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.conv = kit.Conv2d(channels, channels, 3, padding=1)
            self.norm = kit.BatchNorm2d(channels)
            self.gain = kit.Parameter(base.ones(channels, 1, 1))
            self.register_buffer("count", base.zeros(2))
            self.register_buffer("scratch", base.zeros(3), persistent=False)
            self.register_parameter("nothing", None)
            self.register_buffer("none", None)

        def forward(self, x: Any) -> Any:
            return self.norm(self.conv(x)) * self.gain

        def extra_repr(self) -> str:
            return "with extra"

    class Model(kit.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = kit.ModuleList([Block(2), Block(2), kit.ReLU(), kit.ReLU()])
            self.shared = self.blocks[0]
            self.named = kit.ModuleDict({"a": kit.Linear(2, 2), "b": kit.Tanh()})
            self.head = kit.Sequential(OrderedDict([("flat", kit.Flatten()), ("fc", kit.Linear(32, 3, bias=False))]))
            self.tied = self.named["a"].weight
            self.extra = kit.ParameterList([kit.Parameter(base.ones(2)), kit.Parameter(base.ones(1, 2))])
            self.table = kit.ParameterDict({"x": kit.Parameter(base.ones(1))})
            self.empty = kit.Sequential()
            self.absent = None

        def forward(self, x: Any) -> Any:
            for block in self.blocks:
                x = block(x)
            return self.head(self.shared(x)) * self.extra[0].sum() + self.named["b"](self.table["x"])

    return Model()


def both() -> tuple[Any, Any]:
    torch.manual_seed(0)
    theirs = model_of(torch.nn, torch).double()
    ours = model_of(nn, tg).double()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    return ours, theirs


WALKS = {
    "parameters": lambda m: [n for n, _ in m.named_parameters()],
    "parameters-own": lambda m: [n for n, _ in m.named_parameters(recurse=False)],
    "parameters-prefix": lambda m: [n for n, _ in m.named_parameters(prefix="net")],
    "parameters-repeated": lambda m: [n for n, _ in m.named_parameters(remove_duplicate=False)],
    "buffers": lambda m: [n for n, _ in m.named_buffers()],
    "buffers-repeated": lambda m: [n for n, _ in m.named_buffers("x", True, False)],
    "modules": lambda m: [(n, type(x).__name__) for n, x in m.named_modules()],
    "modules-repeated": lambda m: [n for n, _ in m.named_modules(prefix="p", remove_duplicate=False)],
    "children": lambda m: [(n, type(x).__name__) for n, x in m.named_children()],
    "state": lambda m: list(m.state_dict()),
    "state-prefix": lambda m: list(m.state_dict(prefix="net.")),
    "counts": lambda m: [len(list(f())) for f in (m.parameters, m.buffers, m.modules, m.children)],
    "submodule": lambda m: [type(m.get_submodule(n)).__name__ for n in ("", "blocks", "blocks.1.conv", "named.a")],
    "member": lambda m: [tuple(m.get_parameter("blocks.1.gain").shape), tuple(m.get_buffer("blocks.0.count").shape)],
    "apply": lambda m: order_of_apply(m),
    "training": lambda m: [x.training for x in m.eval().modules()] + [x.training for x in m.train().modules()],
    "frozen": lambda m: [p.requires_grad for p in m.requires_grad_(False).parameters()],
    "repr": lambda m: [repr(x) for n, x in m.named_children() if n not in ("extra", "table")],
    "deleted": lambda m: [delattr(m.blocks[1], "conv"), [n for n, _ in m.named_parameters()]],
    "replaced": lambda m: [setattr(m.head, "fc", None), [n for n, _ in m.named_modules()]],
}


def order_of_apply(model: Any) -> list[str]:
    found: list[str] = []
    assert model.apply(lambda module: found.append(type(module).__name__)) is model
    return found


@pytest.mark.parametrize("walk", WALKS)
def test_walking_over_a_model(walk: str) -> None:
    ours, theirs = both()
    assert WALKS[walk](ours) == WALKS[walk](theirs)


def test_forward_and_gradients_of_a_shared_model() -> None:
    ours, theirs = both()
    x = np.random.default_rng(0).normal(size=(5, 2, 4, 4))
    found, expected = ours(tg.tensor(x)), theirs(torch.tensor(x))
    np.testing.assert_allclose(found.array, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    (found * found).sum().backward()
    (expected * expected).sum().backward()
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            np.testing.assert_allclose(p.grad.array, q.grad.numpy(), rtol=1e-8, atol=1e-10, err_msg=name)
    for (name, b), (_, c) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
        np.testing.assert_allclose(b.array, c.numpy(), rtol=1e-10, err_msg=name)


EDITS = {
    "append": lambda s, new: s.append(new()),
    "extend": lambda s, new: s.extend([new(), new()]),
    "insert": lambda s, new: s.insert(1, new()),
    "set": lambda s, new: s.__setitem__(-1, new()),
    "del": lambda s, new: s.__delitem__(0),
    "del-slice": lambda s, new: s.__delitem__(slice(0, 3, 2)),
    "pop": lambda s, new: s.pop(1),
    "insert-last": lambda s, new: s.insert(4, new()),
}


@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
@pytest.mark.parametrize("edit", EDITS)
def test_edited_rows(kind: str, edit: str) -> None:
    found = []
    for kit, _ in KITS:
        row = [kit.ReLU(), kit.Tanh(), kit.Flatten(), kit.ReLU()]
        row = kit.Sequential(*row) if kind == "Sequential" else kit.ModuleList(row)
        EDITS[edit](row, kit.Identity)
        row += kit.Sequential(kit.Tanh())
        found.append([repr(row), list(dict(row.named_modules())), len(row)])
    assert found[0] == found[1]


def test_slices_and_sums_of_rows() -> None:
    found = []
    for kit, _ in KITS:
        row = kit.Sequential(kit.ReLU(), kit.Tanh(), kit.Flatten())
        named = kit.Sequential(OrderedDict(a=kit.ReLU(), b=kit.Tanh(), c=kit.Flatten()))
        modules = kit.ModuleList([kit.ReLU(), kit.ReLU(), kit.Tanh()])
        parts = [row[1:], row[-1], row + named, named[:2], named[1:], modules[1:], modules[0]]
        found.append([repr(part) for part in parts])
    assert found[0] == found[1]


def test_forward_hooks_are_called_in_the_same_order_with_the_same_numbers() -> None:
    logs = []
    for kit, base in KITS:
        log: list[Any] = []

        def record(name: str, log: list[Any] = log) -> Any:
            return lambda module, *rest: log.append((name, type(module).__name__, str(flat(rest))))

        model = kit.Sequential(kit.Tanh(), kit.ReLU())
        model.register_forward_pre_hook(record("pre"))
        model.register_forward_hook(record("post"))
        model.register_forward_hook(record("post with kwargs"), with_kwargs=True)
        model[1].register_forward_pre_hook(lambda module, args: (args[0] * 2,))
        model[1].register_forward_pre_hook(lambda module, args: args[0] + 1)
        model[1].register_forward_hook(lambda module, args, out: out * 10)
        gone = model.register_forward_hook(record("gone"))
        gone.remove()
        gone.remove()
        out = model(base.ones(2) * 0.5)
        model[0].register_forward_pre_hook(lambda module, args, kwargs: ((args[0] * 3,), kwargs), with_kwargs=True)
        log += [flat(out), flat(model(base.ones(1)))]
        logs.append(log)
    assert logs[0] == logs[1]


def test_prepended_hooks_come_first_and_others_are_called_after_an_error_too() -> None:
    logs = []
    for kit, base in KITS:
        log: list[Any] = []

        class Odd(kit.Module):
            def forward(self, x: Any, fail: bool = False) -> Any:
                if fail:
                    raise KeyError("on purpose")
                return x * 2

        def record(name: str, log: list[Any] = log) -> Any:
            return lambda module, *rest: log.append((name, len(rest), rest[-1] is None))

        odd = Odd()
        for prepend in (False, True):
            odd.register_forward_pre_hook(record(f"pre {prepend}"), prepend=prepend)
            odd.register_forward_hook(record(f"post {prepend}"), prepend=prepend, always_call=prepend)
            odd.register_full_backward_hook(record(f"back {prepend}"), prepend=prepend)
        last = odd.register_forward_hook(record("last"), always_call=True, with_kwargs=True)
        x = base.ones(2, requires_grad=True)
        odd(x).sum().backward()
        with pytest.raises(KeyError):
            odd(x, fail=True)
        last.remove()
        odd.register_forward_hook(lambda module, args, out: 1 // 0, prepend=True)
        with pytest.raises(ZeroDivisionError):
            odd(x)
        logs.append(log)
    assert logs[0] == logs[1]
    assert [name for name, *_ in logs[0][:7]] == [
        "pre True", "pre False", "post True", "post False", "last", "back True", "back False",
    ]  # fmt: skip


def test_the_order_of_a_dict_of_parameters() -> None:
    for kind in (dict, OrderedDict):
        found = []
        for kit, base in KITS:
            table = kit.ParameterDict(kind(b=base.ones(1), a=base.ones(2)))
            table.update(kind(d=base.ones(1), b=base.ones(3), c=base.ones(1)))
            found.append([(name, p.numel()) for name, p in kit.ParameterDict(table).named_parameters()])
        assert found[0] == found[1]


def test_a_hook_that_fails_after_an_error_does_not_hide_it() -> None:
    calls = []
    for kit, _ in KITS:
        model, log = kit.Linear(2, 3), []

        def fail(*_: Any) -> None:
            raise KeyError("second")

        model.register_forward_hook(fail, always_call=True)
        model.register_forward_hook(lambda *_, log=log: log.append("last"), always_call=True)
        with pytest.raises((RuntimeError, TypeError, ValueError, AttributeError)), pytest.warns(match="hook.*raised"):
            model("no tensor")
        calls.append(log)
    assert calls[0] == calls[1] == ["last"]


def test_integers_are_assigned_only_where_nothing_learns() -> None:
    for kit, base in KITS:
        model = kit.Linear(2, 3)
        old, state = model.weight, {"weight": base.ones(3, 2), "bias": base.zeros(3, dtype=base.int64)}
        with pytest.raises((ValueError, RuntimeError)):
            model.load_state_dict(state, assign=True)
        assert kit is not nn or model.weight is old  # ours changes nothing then
        model.requires_grad_(False)
        model.load_state_dict(state, assign=True)
        assert model.bias.dtype == base.int64


def test_loaded_tensors_can_be_assigned() -> None:
    kinds = []
    for kit, base in KITS:
        model = kit.Sequential(kit.Linear(2, 3), kit.BatchNorm1d(3))
        model[0].bias.requires_grad_(False)
        other = kit.Sequential(kit.Linear(2, 3), kit.BatchNorm1d(3)).double()
        old, state = model[0].weight, other.state_dict()
        state["0.bias"] = kit.Parameter(state["0.bias"])
        missing = model.load_state_dict({k: v for k, v in state.items() if k != "1.weight"}, strict=False, assign=True)
        assert model[0].weight is not old
        assert model[0].bias is state["0.bias"]
        assert all((model.state_dict()[k] == v).all() for k, v in state.items() if k != "1.weight")
        state["0.weight"][0, 0] = 7.0
        with base.no_grad():
            assert float(model[0].weight[0, 0]) == 7.0  # the memory is shared
        members = [*model.named_parameters(), *model.named_buffers()]
        kinds.append([(k, type(v).__name__, str(v.dtype).split(".")[-1], v.requires_grad) for k, v in members])
        kinds[-1].append(missing.missing_keys)
    assert kinds[0] == kinds[1]
    shared = nn.Linear(1, 1)
    assert len(list(nn.Sequential(shared, shared).modules(remove_duplicate=False))) == 3


def flat(x: Any) -> Any:
    """Plain numbers, rounded, of whatever holds tensors."""
    if isinstance(x, (tuple, list)):
        return tuple(flat(item) for item in x)
    if isinstance(x, dict):
        return {key: flat(value) for key, value in x.items()}
    return None if x is None else np.round(np.asarray(x.detach().numpy(), np.float64), 5).tolist()


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("needs_grad", [True, False])
def test_full_backward_hooks_get_the_same_gradients(needs_grad: bool) -> None:
    logs = []
    for kit, base in KITS:
        log: list[Any] = []

        def record(module: Any, grad_input: Any, grad_output: Any, log: list[Any] = log) -> None:
            log.append((type(module).__name__, flat(grad_input), flat(grad_output)))

        model = kit.Sequential(kit.Linear(3, 2), kit.Tanh(), kit.Linear(2, 1))
        for i, p in enumerate(model.parameters()):
            p.data.copy_(base.ones(*p.shape) * 0.1 * (i + 1))
        for module in model.modules():
            module.register_full_backward_hook(record)
        x = base.ones(2, 3)
        x.requires_grad_(needs_grad)
        y = model(x).sum() + (x * x).sum()  # the second use of x is no business of the module's
        y.backward(retain_graph=True)
        y.backward()
        log.append(flat(x.grad) if needs_grad else None)
        logs.append(log)
    assert len(logs[0]) == 9
    assert logs[0] == logs[1]


def test_a_full_backward_hook_can_replace_the_gradient() -> None:
    found = []
    for kit, base in KITS:
        layer = kit.Tanh()
        layer.register_full_backward_hook(lambda module, grad_input, grad_output: (grad_input[0] * 10,))
        x = base.ones(2)
        x.requires_grad_()
        layer(x).sum().backward()
        found.append(flat(x.grad))
    assert found[0] == found[1]


# ---- initial values ----------------------------------------------------------------------------------------

SHAPES = [(40, 30), (20, 10, 3, 3), (12, 6, 5)]
GAINS = [
    ("linear", None), ("conv2d", None), ("conv_transpose3d", None), ("sigmoid", None), ("tanh", None), ("relu", None),
    ("leaky_relu", None), ("leaky_relu", 0.3), ("selu", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "param"), GAINS)
def test_gains(name: str, param: float | None) -> None:
    assert nn.init.calculate_gain(name, param) == pytest.approx(torch.nn.init.calculate_gain(name, param), rel=1e-15)


EXACT: list[tuple[str, tuple[int, ...], tuple[Any, ...]]] = [
    ("zeros_", (2, 3), ()),
    ("ones_", (2, 3), ()),
    ("constant_", (2, 3), (0.3,)),
    ("eye_", (3, 5), ()),
    ("dirac_", (4, 3, 5), ()),
    ("dirac_", (6, 3, 3, 4), (2,)),
    ("dirac_", (2, 4, 3, 3, 3), (1,)),
]


@pytest.mark.parametrize(("name", "shape", "args"), EXACT)
def test_exact_values(name: str, shape: tuple[int, ...], args: tuple[Any, ...]) -> None:
    found = getattr(nn.init, name)(tg.empty(*shape), *args)
    np.testing.assert_array_equal(found.array, getattr(torch.nn.init, name)(torch.empty(*shape), *args).numpy())


DRAWN: list[tuple[str, dict[str, Any]]] = [
    ("uniform_", {"a": -0.3, "b": 1.1}),
    ("normal_", {"mean": 0.5, "std": 0.2}),
    ("trunc_normal_", {"mean": 0.3, "std": 2.0, "a": -1.0, "b": 2.5}),
    ("xavier_uniform_", {"gain": 1.7}),
    ("xavier_normal_", {}),
    ("kaiming_uniform_", {"a": 5**0.5}),
    ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "linear"}),
    ("kaiming_normal_", {}),
]


@pytest.mark.parametrize(("name", "options"), DRAWN, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_drawn_values_are_spread_alike(name: str, options: dict[str, Any], shape: tuple[int, ...]) -> None:
    """The quantiles of the two samples agree within what samples of this size vary."""
    torch.manual_seed(0)
    ours, theirs = [], []
    for _ in range(20):
        ours.append(getattr(nn.init, name)(tg.empty(*shape), **options).array.ravel())
        theirs.append(getattr(torch.nn.init, name)(torch.empty(*shape), **options).numpy().ravel())
    found, expected = np.concatenate(ours), np.concatenate(theirs)
    assert found.dtype == np.float32
    levels = (
        np.array([0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1]) if "normal" not in name else np.linspace(0.05, 0.95, 9)
    )
    error = np.abs(np.quantile(found, levels) - np.quantile(expected, levels)) / expected.std()
    assert error.max() < 0.12, error


def test_orthogonal_rows_or_columns() -> None:
    for shape, gain in itertools.product([(4, 7), (7, 4), (5, 2, 3)], [1.0, 2.0]):
        for kit, base in KITS:
            q = kit.init.orthogonal_(base.zeros(*shape).double(), gain).numpy().reshape(shape[0], -1)
            square = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
            np.testing.assert_allclose(square, gain**2 * np.eye(len(square)), atol=1e-10)


def test_sparse_columns() -> None:
    for kit, base in KITS:
        values = kit.init.sparse_(base.empty(11, 6), sparsity=0.25, std=0.5).numpy()
        np.testing.assert_array_equal((values == 0).sum(axis=0), [3] * 6)
        assert 0.2 < values[values != 0].std() < 0.8


def test_half_and_to_empty_change_what_they_change_in_pytorch() -> None:
    """Floats alone are converted, parameters stay the same objects, and `recurse` says how far memory is new."""
    kept, kinds = [], []
    for kit, base in KITS:
        model = model_of(kit, base)
        parameters = dict(model.named_parameters())
        assert model.half() is model
        members = parameters | dict(model.named_buffers())  # PyTorch's buffers are others now
        kinds.append({name: str(x.dtype).removeprefix("torch.") for name, x in members.items()})
        first = {name: x.detach().numpy() for name, x in members.items()}
        for recurse in (False, True):
            assert model.to_empty(device="cpu", recurse=recurse) is model
            now = {name: x.detach().numpy() for name, x in [*model.named_parameters(), *model.named_buffers()]}
            kept.append({name: np.shares_memory(x, first[name]) for name, x in now.items()})
        assert all(x is parameters[name] for name, x in model.named_parameters())
    assert kinds[0] == kinds[1]
    assert kept[:2] == kept[2:]
    assert {*kept[0].values(), *kept[1].values()} == {True, False}

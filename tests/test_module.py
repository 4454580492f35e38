"""Modules: registration, dotted paths while running, saving and loading, hooks, copies, containers, messages."""

from __future__ import annotations

import copy
import pickle
import re
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.autograd import state


class Scale(nn.Module):
    """A layer with one parameter and one buffer."""

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = nn.Parameter([factor])
        self.register_buffer("calls", tg.zeros(1))

    def forward(self, x: Any) -> Any:
        return x * self.factor


class Net(nn.Module):
    """A model of three layers, one of them nested."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(Scale(2.0), Scale(3.0))
        self.out = Scale(5.0)

    def forward(self, x: Any) -> Any:
        return self.out(self.block(x))


def raises(kind: type[Exception], text: str) -> Any:
    return pytest.raises(kind, match=re.escape(text))


def paths_of(y: Any) -> list[str]:
    """The module path of each node behind `y`, the newest first."""
    found, node = [], y.node
    while isinstance(node, tg.autograd.Node):
        found.append(node.path)
        node = node.edges[0]
    return found


# ---- attributes --------------------------------------------------------------------------------------------


def test_a_plain_tensor_is_an_attribute_and_no_parameter() -> None:
    module = nn.Module()
    module.mean = tg.ones(2)
    assert list(module.named_parameters()) == list(module.named_buffers()) == []
    module.mean = nn.Parameter(tg.ones(2))
    assert [name for name, _ in module.named_parameters()] == ["mean"]
    assert "mean" not in vars(module)
    assert "mean" in dir(module)


def test_a_name_belongs_to_one_registry() -> None:
    module = Scale()
    module.factor = Scale()
    assert [name for name, _ in module.named_parameters()] == ["factor.factor"]
    module.factor = None
    assert module.factor is None
    module.calls = nn.Parameter(tg.ones(1))
    assert list(module.named_buffers()) == []


def test_what_may_take_the_place_of_what() -> None:
    net = Net()
    with raises(
        TypeError, "Scale: 'factor' is a parameter, expected a Parameter or None to take its place, got Tensor"
    ):
        net.out.factor = tg.ones(1)
    with raises(TypeError, "Net: 'out' is a module, expected a Module or None to take its place, got int"):
        net.out = 3
    with raises(TypeError, "Scale: 'calls' is a buffer, expected a Tensor or None to take its place, got list"):
        net.out.calls = [0.0]


def test_an_unknown_attribute_names_the_class_and_what_is_near() -> None:
    with raises(AttributeError, "Net has no attribute 'blocks', did you mean 'block'?"):
        _ = Net().blocks
    with pytest.raises(AttributeError, match=r"^Net has no attribute 'zzzzzz'$"):
        _ = Net().zzzzzz
    assert not hasattr(Net(), "__something__")
    assert getattr(Net(), "weight", None) is None


def test_the_error_inside_a_property_is_not_hidden() -> None:
    class Broken(nn.Module):
        @property
        def size(self) -> int:
            return self.missing_thing

    with raises(AttributeError, "Broken has no attribute 'missing_thing'"):
        _ = Broken().size


def test_a_subclass_that_forgets_the_base_class_is_told() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            self.layer = Scale()

    class Never(nn.Module):
        def __init__(self) -> None:
            pass

    with raises(AttributeError, "Early: set 'layer' after super().__init__(), not before"):
        Early()
    with raises(AttributeError, "call super().__init__() first in its __init__"):
        Never()(1)


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        (ValueError, "a.b", "the name of a parameter is 'a.b', expected some letters without a dot"),
        (ValueError, "", "the name of a parameter is '', expected some letters without a dot"),
        (TypeError, 3, "the name of a parameter is 3, expected a str"),
        (ValueError, "calls", "a parameter would be named 'calls', but there is another attribute of that name"),
        (ValueError, "forward", "a parameter would be named 'forward', but there is another attribute of that name"),
    ],
)
def test_names_that_cannot_be(kind: type[Exception], name: Any, text: str) -> None:
    module = Scale()
    module._buffers.clear()
    vars(module)["calls"] = 1
    with raises(kind, f"Scale: {text}"):
        module.register_parameter(name, nn.Parameter([1.0]))


def test_registering_what_is_none_of_its_kind() -> None:
    module = Scale()
    with raises(TypeError, "Scale: 'w' is a parameter, expected a Parameter or None"):
        module.register_parameter("w", tg.ones(1))
    with raises(TypeError, "Scale: 'b' is a buffer, expected a Tensor or None"):
        module.register_buffer("b", np.ones(1))
    with raises(TypeError, "Scale: 'm' is a module, expected a Module or None"):
        module.add_module("m", Scale)


def test_deleting() -> None:
    net = Net()
    del net.out
    del net.block[0].factor
    del net.block[0].calls
    assert [name for name, _ in net.named_parameters()] == ["block.1.factor"]
    with pytest.raises(AttributeError):
        del net.out


# ---- running -----------------------------------------------------------------------------------------------


def test_a_module_without_forward() -> None:
    with raises(NotImplementedError, "Module: it has no method named forward, expected one"):
        nn.Module()(1)


def test_nodes_know_the_path_of_their_module() -> None:
    net = Net()
    x = tg.ones(1)
    assert paths_of(net(x)) == ["out", "block.1", "block.0"]
    assert paths_of(net.block(x)) == ["1", "0"]
    assert paths_of(net.out(x)) == [""]
    assert state.now.path == ""


def test_the_path_follows_changes_of_the_structure() -> None:
    net = Net()
    x = tg.ones(1)
    net(x)
    net.block.insert(0, Scale())
    assert paths_of(net(x)) == ["out", "block.2", "block.1", "block.0"]
    net.head = net.out
    del net.out
    net.out = net.block[0]
    assert paths_of(net(x)) == ["block.0", "block.2", "block.1", "block.0"]
    copied = copy.deepcopy(net)
    assert paths_of(copied(x)) == paths_of(net(x))
    assert paths_of(pickle.loads(pickle.dumps(net))(x)) == paths_of(net(x))


def test_a_module_that_is_not_registered_has_its_callers_path_and_its_class_name() -> None:
    stray = Scale()

    class Caller(nn.Module):
        def forward(self, x: Any) -> Any:
            return stray(x)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Caller()

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    assert paths_of(Caller()(tg.ones(1))) == ["Scale"]
    assert paths_of(Outer()(tg.ones(1))) == ["inner.Scale"]


def test_the_path_is_right_again_after_an_error_and_stands_in_its_message() -> None:
    net = nn.Sequential(OrderedDict(features=nn.Sequential(nn.Conv2d(1, 2, 3)), head=nn.Flatten()))
    with pytest.raises(ValueError, match=r"conv2d: .* — at .*test_module\.py:\d+, in features\.0"):
        net(tg.ones(2, 3, 8, 8))
    assert state.now.path == ""
    assert net(tg.ones(2, 1, 3, 3)).shape == (2, 2)


def test_threads_have_paths_of_their_own() -> None:
    inside, go_on = threading.Event(), threading.Event()

    class Waits(nn.Module):
        def forward(self, x: Any) -> Any:
            inside.set()
            assert go_on.wait(10)
            return x * self.weight

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter([1.0])

    found: list[list[str]] = []
    model = nn.Sequential(Waits())
    thread = threading.Thread(target=lambda: found.append(paths_of(model(tg.ones(1)))))
    thread.start()
    assert inside.wait(10)
    assert paths_of(Net()(tg.ones(1))) == ["out", "block.1", "block.0"]
    go_on.set()
    thread.join()
    assert found == [["0"]]


def test_keyword_arguments_reach_forward() -> None:
    class Add(nn.Module):
        def forward(self, x: Any, *, y: Any) -> Any:
            return x + y

    add = Add()
    seen = []
    add.register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs), with_kwargs=True)
    add.register_forward_hook(lambda module, args, kwargs, out: out + kwargs["y"], with_kwargs=True)
    assert add(1, y=2) == 5
    assert seen == [{"y": 2}]


def test_backward_hooks_of_a_module_with_two_inputs_and_two_outputs() -> None:
    class Both(nn.Module):
        def forward(self, x: Any, n: int, y: Any) -> Any:
            return x * n, x * y

    both = Both()
    seen: list[Any] = []
    handle = both.register_full_backward_hook(lambda *args: seen.append(args))
    x, y = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    a, b = both(x, 3, y)
    (a + 10 * b).sum().backward()
    ((module, grad_input, grad_output),) = seen
    assert module is both
    assert [None if g is None else g.tolist() for g in grad_input] == [[13.0, 13.0], None, [10.0, 10.0]]
    assert [g.tolist() for g in grad_output] == [[1.0, 1.0], [10.0, 10.0]]
    handle.remove()
    a, b = both(x, 3, y)
    (a + b).sum().backward()
    assert len(seen) == 1


def test_a_backward_hook_may_replace_the_gradient_of_one_input_only() -> None:
    class Mul(nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return x * y

    mul = Mul()
    mul.register_full_backward_hook(lambda module, grad_input, grad_output: grad_input)
    x, y = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    with raises(ValueError, "register_full_backward_hook: the hook gave 2 gradients in the place of grad_input"):
        mul(x, y).sum().backward()
    mul(x, tg.ones(2)).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


# ---- saving and loading ------------------------------------------------------------------------------------


def test_state_dict_shares_memory_and_is_cut_off() -> None:
    net = Net()
    saved = net.state_dict()
    assert list(saved) == [
        "block.0.factor", "block.0.calls", "block.1.factor", "block.1.calls", "out.factor", "out.calls",
    ]  # fmt: skip
    assert not saved["out.factor"].requires_grad
    assert saved["out.factor"].array is net.out.factor.array
    assert net.state_dict(keep_vars=True)["out.factor"] is net.out.factor


def test_loading_copies_into_the_same_memory() -> None:
    net, other = Net(), Net()
    other.out.factor.array[...] = 7
    memory = net.out.factor.array
    result = net.load_state_dict(other.state_dict())
    assert result == ([], [])
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert net.out.factor.array is memory
    assert memory.tolist() == [7.0]
    other.out.factor.array[...] = 8
    assert memory.tolist() == [7.0]


def test_a_state_that_does_not_fit_changes_nothing_and_names_everything() -> None:
    net = Net()
    wrong = dict(Net().state_dict())
    wrong["block.0.factor"] = np.array([9.0])
    wrong["out.factors"] = wrong.pop("out.factor")
    wrong["block.1.factor"] = np.ones((2, 2))
    with pytest.raises(ValueError, match="load_state_dict") as error:
        net.load_state_dict(wrong)
    assert str(error.value) == (
        "load_state_dict: this is not the state of this Net: out.factor is missing; "
        "out.factors is not in the model, did you mean 'out.factor'?; "
        "block.1.factor has shape (2, 2), expected (1,)"
    )
    assert net.block[0].factor.tolist() == [2.0]
    with raises(ValueError, "this Net: block.1.factor has shape (2, 2), expected (1,)"):
        net.load_state_dict(wrong, strict=False)
    del wrong["block.1.factor"]
    result = net.load_state_dict(wrong, strict=False)
    assert result.missing_keys == ["block.1.factor", "out.factor"]
    assert result.unexpected_keys == ["out.factors"]
    assert net.block[0].factor.tolist() == [9.0]


def test_loading_while_a_graph_needs_the_weights_leaves_the_graph_its_own() -> None:
    net = Net()
    x = tg.ones(1, requires_grad=True)
    out = net(x)
    net.load_state_dict({name: value.array + 1 for name, value in net.state_dict().items()})
    assert net.out.factor.tolist() == [6.0]
    out.backward()
    assert x.grad is not None
    assert x.grad.tolist() == out.tolist()


def test_safetensors_and_back(tmp_path: Any) -> None:
    net, other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    tg.save(net.state_dict(), tmp_path / "net.safetensors")
    other.load_state_dict(tg.load(tmp_path / "net.safetensors"))
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].array, value.array)


def test_copies_are_apart() -> None:
    net = Net()
    net.out.factor.grad = tg.ones(1)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert type(twin.out.factor) is nn.Parameter
        assert twin.out.factor.requires_grad
        twin.out.factor.array[...] = 0
        twin.out.extra = nn.ReLU()
        assert net.out.factor.tolist() == [5.0]
        assert not hasattr(net.out, "extra")
    frozen = copy.deepcopy(net.requires_grad_(False))
    assert not any(p.requires_grad for p in frozen.parameters())


def test_a_shared_parameter_is_shared_in_a_copy() -> None:
    net = Net()
    net.out.factor = net.block[0].factor
    twin = copy.deepcopy(net)
    assert twin.out.factor is twin.block[0].factor
    assert len(list(twin.parameters())) == 2


# ---- changing everything at once ---------------------------------------------------------------------------


def test_train_wants_a_bool() -> None:
    with raises(ValueError, "train: mode is 1, expected True or False"):
        Net().train(1)  # type: ignore[arg-type]


def test_to_converts_floats_and_keeps_the_parameters_themselves() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight = net[0].weight
    weight.grad = tg.ones(2, 2)
    assert net.double() is net
    assert net[0].weight is weight
    assert weight.dtype == weight.grad.dtype == net[1].running_mean.dtype == np.float64
    assert net[1].num_batches_tracked.dtype == np.int64
    assert net.to(tg.ones(1)).float().to("cpu").cpu()[0].weight.dtype == np.float32
    assert net.to(device="cpu", dtype=tg.float64)[0].weight.dtype == np.float64
    assert net.half()[0].weight.dtype == net[1].running_var.dtype == np.float16
    assert net[1].num_batches_tracked.dtype == np.int64
    assert net(tg.ones(3, 2).half()).dtype == np.float16


def test_to_empty_gives_memory_of_its_own() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {name: x.detach() for name, x in net.state_dict(keep_vars=True).items()}
    parameters = list(net.parameters())

    def shared() -> set[bool]:
        return {np.shares_memory(x.array, before[name].array) for name, x in net.state_dict().items()}

    assert net.to_empty(device="cpu", recurse=False) is net
    assert shared() == {True}
    assert net.to_empty(device=tg.device("cpu")) is net
    assert shared() == {False}
    assert all(x is y and x.requires_grad for x, y in zip(net.parameters(), parameters, strict=True))
    assert {name: (x.shape, x.dtype) for name, x in net.state_dict().items()} == {
        name: (x.shape, x.dtype) for name, x in before.items()
    }
    net.load_state_dict(before)
    assert net[1].weight.tolist() == [1.0, 1.0]


def test_there_is_no_other_device() -> None:
    with raises(RuntimeError, "Module.cuda: there is no CUDA device, tinygrad_cnn computes on the CPU only"):
        Net().cuda()
    with raises(ValueError, "device is 'cuda', but only 'cpu' exists"):
        nn.ReLU().to("cuda")
    with raises(ValueError, "to_empty: device is 'meta', but only 'cpu' exists"):
        nn.ReLU().to_empty(device="meta")
    with raises(TypeError, "Module.to: dtype is int64, expected a floating point one"):
        Net().to(tg.int64)
    with raises(TypeError, "Module.bfloat16: there is no such dtype, as NumPy has none; expected .half() or .float()"):
        Net().bfloat16()


def test_zero_grad() -> None:
    net = Net()
    net(tg.ones(1)).backward()
    net.zero_grad(set_to_none=False)
    assert [p.grad.tolist() for p in net.parameters()] == [[0.0]] * 3
    net.zero_grad()
    assert [p.grad for p in net.parameters()] == [None] * 3


def test_finding_by_name() -> None:
    net = Net()
    assert net.get_submodule("block.1") is net.block[1]
    with raises(AttributeError, "Net has no module 'blok', did you mean 'block'?"):
        net.get_submodule("blok.1")
    with raises(AttributeError, "block has no module '7'"):
        net.get_submodule("block.7.x")
    with raises(AttributeError, "block.1 has no parameter 'facto', did you mean 'factor'?"):
        net.get_parameter("block.1.facto")
    with raises(AttributeError, "Net has no buffer 'x'"):
        net.get_buffer("x")


# ---- lazy parameters ---------------------------------------------------------------------------------------


def test_an_uninitialized_parameter_says_what_to_do() -> None:
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    text = "call the model once on a batch of inputs"
    with raises(ValueError, text):
        _ = model[1].weight.shape
    with raises(ValueError, f"SGD: parameter 0 has no shape yet, {text} first"):
        tg.optim.SGD(model.parameters())
    with raises(ValueError, f"state_dict: 1.weight has no shape yet, {text}"):
        model.state_dict()
    assert repr(model[1].weight) == "<UninitializedParameter>"
    twin = copy.deepcopy(model).double()
    assert twin(tg.ones(2, 4).double()).dtype == np.float64
    assert model(tg.ones(2, 2, 2)).shape == (2, 3)
    assert [p.shape for p in model.parameters()] == [(3, 4), (3,)]


def test_a_lazy_model_can_be_loaded_before_its_first_call() -> None:
    def build() -> nn.Sequential:
        return nn.Sequential(nn.LazyConv2d(2, 3), nn.Flatten(), nn.LazyLinear(3, bias=False))

    ready, fresh = build(), build()
    x = tg.randn(2, 1, 5, 5)
    expected = ready(x)
    fresh.load_state_dict(ready.state_dict())
    assert fresh(x).tolist() == expected.tolist()
    assert repr(fresh) == repr(ready)


def test_parameter() -> None:
    assert repr(nn.Parameter([1.0])) == "Parameter containing:\ntensor([1.], requires_grad=True)"
    assert nn.Parameter().shape == (0,)
    assert not nn.Parameter(tg.ones(1), requires_grad=False).requires_grad
    data = tg.ones(2)
    assert nn.Parameter(data).array is data.array
    assert type(nn.Parameter([1.0]) * 2) is tg.Tensor
    with pytest.raises(TypeError, match="only floats can require grad"):
        nn.Parameter(tg.tensor([1]))


# ---- containers --------------------------------------------------------------------------------------------


def test_rows_say_what_is_wrong() -> None:
    row = nn.ModuleList([nn.ReLU()])
    with raises(IndexError, "ModuleList: index 1 is out of range, it holds 1 modules"):
        _ = row[1]
    with raises(TypeError, "ModuleList: '1' is a module, expected a Module or None to take its place, got function"):
        row.append(lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'0' is a module"):
        row.insert(0, 3)  # type: ignore[arg-type]
    assert len(row) == 1
    with pytest.raises(NotImplementedError):
        row(1)
    row.insert(-1, nn.Tanh())
    assert [type(m).__name__ for m in row] == ["Tanh", "ReLU"]


def test_a_module_dict() -> None:
    table = nn.ModuleDict([("a", Scale()), ("b", nn.ReLU())])
    table["c"] = nn.Tanh()
    assert list(table) == list(table.keys()) == ["a", "b", "c"]
    assert "b" in table
    assert len(table) == 3
    assert isinstance(table.pop("b"), nn.ReLU)
    with pytest.raises(KeyError):
        del table["b"]
    assert [name for name, _ in table.items()] == ["a", "c"]
    assert isinstance(next(iter(table.values())), Scale)
    table.clear()
    assert len(table) == 0
    with raises(ValueError, "ModuleDict: a module would be named 'keys', but there is another attribute of that name"):
        table["keys"] = nn.ReLU()


def test_parameter_containers() -> None:
    row = nn.ParameterList([tg.ones(2), nn.Parameter([3.0])])
    row += [tg.zeros(1, 2)]
    row[0] = tg.ones(4)
    assert [p.shape for p in row] == [(4,), (1,), (1, 2)]
    assert all(isinstance(p, nn.Parameter) for p in row)
    assert row[-1] is list(row.parameters())[-1]
    assert repr(row).splitlines()[-2] == "  (2): Parameter containing: [float32 of size 1x2]"
    table = nn.ParameterDict({"a": tg.ones(2)})
    table["b"] = tg.ones(3)
    del table["a"]
    assert list(table) == list(table.keys()) == ["b"]
    assert table["b"] is next(iter(table.values()))
    assert "b" in table
    assert [(name, len(p)) for name, p in table.items()] == [("b", 3)]
    assert len(table) == 1
    table.update([("b", tg.ones(2)), ("c", tg.ones(1))])
    assert [(name, len(p)) for name, p in table.items()] == [("b", 2), ("c", 1)]
    assert table.pop("c").requires_grad
    assert table.get("c", 5) == 5
    assert table.get("b") is table["b"]
    with pytest.raises(KeyError):
        table.pop("c")


# ---- init and utils ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_",
     "orthogonal_"],
)  # fmt: skip
def test_a_generator_repeats_what_is_drawn_and_leaves_the_default_alone(name: str) -> None:
    draw = getattr(nn.init, name)
    before = tg.random.default_generator.get_state()
    weight = nn.Parameter(tg.empty(4, 3))
    assert draw(weight, generator=tg.Generator().manual_seed(1)) is weight
    first = weight.array.copy()
    draw(weight, generator=tg.Generator().manual_seed(1))
    np.testing.assert_array_equal(weight.array, first)
    assert tg.random.default_generator.get_state() == before
    draw(weight)
    assert (weight.array != first).any()
    assert weight.node is None
    assert weight.requires_grad


def test_initialisers_say_what_is_wrong() -> None:
    with raises(ValueError, "kaiming_uniform_: the tensor has 1 dimensions, expected 2 or more to count its fans"):
        nn.init.kaiming_uniform_(tg.empty(3))
    with raises(ValueError, "kaiming_normal_: mode is 'fan', expected 'fan_in' or 'fan_out'"):
        nn.init.kaiming_normal_(tg.empty(3, 3), mode="fan")
    with raises(ValueError, "calculate_gain: nonlinearity is 'rely', expected one of ["):
        nn.init.calculate_gain("rely")
    with raises(ValueError, "eye_: the tensor has 3 dimensions, expected 2"):
        nn.init.eye_(tg.empty(3, 3, 3))
    with raises(ValueError, "dirac_: the tensor has 2 dimensions, expected 3, 4 or 5"):
        nn.init.dirac_(tg.empty(3, 3))
    with raises(ValueError, "dirac_: the tensor has 3 output channels, expected a multiple of groups = 2"):
        nn.init.dirac_(tg.empty(3, 3, 3), groups=2)
    with raises(ValueError, "orthogonal_: the tensor has 1 dimensions, expected 2 or more"):
        nn.init.orthogonal_(tg.empty(3))
    with raises(ValueError, "sparse_: the tensor has 1 dimensions, expected 2"):
        nn.init.sparse_(tg.empty(3), 0.1)
    weight, x = nn.Parameter([2.0]), tg.ones(1, requires_grad=True)
    out = weight * x
    assert nn.init.zeros_(weight).tolist() == [0.0]
    out.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0]


def test_tensors_without_elements_can_be_initialised() -> None:
    for name in ("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"):
        assert getattr(nn.init, name)(tg.empty(0, 0)).shape == (0, 0)


def test_clipping_in_place() -> None:
    w = nn.Parameter([3.0, 4.0])
    (w * w / 2).sum().backward()
    memory = w.grad.array
    assert nn.utils.clip_grad_norm_(w, 10.0).item() == 5
    assert memory.tolist() == [3.0, 4.0]
    nn.utils.clip_grad_norm_(iter([w, nn.Parameter([1.0])]), 1.0)
    np.testing.assert_allclose(memory, [0.6, 0.8], rtol=1e-6)
    nn.utils.clip_grad_value_(w, 0.7)
    np.testing.assert_allclose(memory, [0.6, 0.7], rtol=1e-6)
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0


def test_clipping_a_gradient_that_a_graph_needs_leaves_the_graph_alone() -> None:
    w = nn.Parameter([3.0])
    (w**3).sum().backward(create_graph=True)
    first = w.grad
    nn.utils.clip_grad_norm_(w, 1.0)
    assert w.grad.item() == pytest.approx(1.0, rel=1e-5)
    assert first.item() == 27
    assert tg.autograd.grad(first, w)[0].item() == 18


def test_a_norm_that_is_not_finite_can_raise() -> None:
    w = nn.Parameter([1.0])
    w.grad = tg.tensor([float("nan")])
    with raises(RuntimeError, "clip_grad_norm_: the norm of the gradients is nan, expected a finite number"):
        nn.utils.clip_grad_norm_(w, 1.0, error_if_nonfinite=True)


def test_vectors_of_parameters() -> None:
    net = Net()
    vector = nn.utils.parameters_to_vector(net.parameters())
    (vector * tg.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert [p.grad.item() for p in net.parameters()] == [1, 2, 3]
    with raises(ValueError, "vector_to_parameters: vec has shape (4,), the parameters have 3 elements"):
        nn.utils.vector_to_parameters(tg.ones(4), net.parameters())
    with raises(TypeError, "vector_to_parameters: vec is a list, expected a Tensor"):
        nn.utils.vector_to_parameters([1.0], net.parameters())  # type: ignore[arg-type]
    nn.utils.vector_to_parameters(tg.tensor([7.0, 8.0, 9.0]), net.parameters())
    assert [p.item() for p in net.parameters()] == [7, 8, 9]


def test_the_public_list_is_sorted_and_true() -> None:
    assert list(nn.__all__) == sorted(nn.__all__)
    assert all(hasattr(nn, name) for name in nn.__all__)
    assert {"Module", "Sequential", "Conv2d", "functional", "init", "utils"} <= set(nn.__all__)

"""autograd.Function: PyTorch's classes with `forward` and `backward`."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import graph, locks
from tinygrad_cnn.autograd import Function


class Exp(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        result = x.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (result,) = ctx.saved_tensors
        return g * result


class Scaled(Function):
    """Two results and an integer; saves an argument and something of its own, beside a constant."""

    calls = 0

    @staticmethod
    def forward(ctx: Any, x: Any, power: Any, w: Any = None) -> Any:
        inside = x * 3
        ctx.power = power
        ctx.save_for_backward(x, inside, w)
        return x**power, (inside * w).sum(), x.argmax()

    @staticmethod
    def backward(ctx: Any, g: Any, h: Any, _: Any = None) -> Any:
        Scaled.calls += 1
        x, inside, w = ctx.saved_tensors
        gw = h * inside if ctx.needs_input_grad[2] else None
        return g * ctx.power * x ** (ctx.power - 1) + h * 3 * w, None, gw


def leaf(*values: float) -> tg.Tensor:
    return tg.tensor(np.array(values), requires_grad=True)


def test_a_saved_result_serves_every_order() -> None:
    x = leaf(0.5, -1.0)
    y = Exp.apply(x)
    for _ in range(3):
        (y,) = tg.autograd.grad(y.sum(), x, create_graph=True)
    np.testing.assert_allclose(y.detach().numpy(), np.exp([0.5, -1.0]), rtol=1e-15)


@pytest.mark.parametrize("create_graph", [False, True])
def test_several_arguments_and_results(create_graph: bool) -> None:
    x, w = leaf(2.0, 3.0), leaf(5.0, 7.0)
    power, total, place = Scaled.apply(x, 2, w)
    assert (power.tolist(), total.item(), place.item()) == ([4.0, 9.0], 93.0, 1)
    assert (power.requires_grad, total.requires_grad, place.requires_grad) == (True, True, False)
    gx, gw = tg.autograd.grad(power.sum() + 10 * total, (x, w), create_graph=create_graph)
    assert (gx.tolist(), gw.tolist()) == ([154.0, 216.0], [60.0, 90.0])
    if create_graph:
        (second,) = tg.autograd.grad(gx.sum(), x)
        assert second.tolist() == [2.0, 2.0]


def test_backward_runs_once_for_all_arguments_and_knows_what_is_needed() -> None:
    Scaled.calls = 0
    x, w = leaf(2.0), tg.tensor(np.array([5.0]))
    Scaled.apply(x, 2, w)[0].sum().backward()
    assert Scaled.calls == 1
    assert x.grad is not None
    assert x.grad.tolist() == [4.0]
    assert not Exp.apply(w).requires_grad
    with tg.no_grad():
        assert not Exp.apply(x).requires_grad


def test_setup_context_and_outputs_without_gradient() -> None:
    class Parts(Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return x * 2, x * 5

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.mark_non_differentiable(output[1])
            ctx.set_materialize_grads(False)
            ctx.factor = 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.factor

    x = leaf(1.0, 2.0)
    double, constant = Parts.apply(x)
    assert (double.requires_grad, constant.requires_grad) == (True, False)
    double.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0]


def test_what_was_saved_is_locked_and_nothing_else() -> None:
    y = leaf(1.0, 2.0) * 1
    with tg.no_grad():
        held = Exp.apply(y)  # not recorded: nothing is locked
        held += 1
    out = Exp.apply(y)
    with pytest.raises(RuntimeError, match="a live graph still needs this tensor's values"):
        out.detach().zero_()
    y.detach().zero_()  # Exp saves its result alone
    assert out.tolist() == np.exp([1.0, 2.0]).tolist()

    inside: list[Any] = []

    class Keeps(Exp):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            inside.append(x * 2)
            ctx.save_for_backward(inside[0])
            return x * 1

    kept = Keeps.apply(leaf(1.0))
    with pytest.raises(RuntimeError, match="a live graph still needs"):
        inside[0].zero_()
    saved = weakref.ref(inside.pop())
    kept.sum().backward()
    gc.collect()
    assert saved() is None


def test_a_tensor_that_is_an_attribute_of_ctx_is_locked_too() -> None:
    class Attribute(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.x = x
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * ctx.x * g

    x = leaf(1.0, 2.0)
    y = x * 1
    out = Attribute.apply(y)
    with tg.no_grad(), pytest.raises(RuntimeError, match="a live graph still needs"):
        y.mul_(3)
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 4.0]
    with tg.no_grad():
        y.mul_(3)


def test_an_array_of_the_users_stays_read_only_while_the_graph_lives() -> None:
    class Attribute(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            ctx.twice = x * 2  # is told to the locks after what was saved
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return ctx.twice * g

    data = np.array([1.0, 2.0])
    x = tg.from_numpy(data).requires_grad_()
    y = Attribute.apply(x)
    for _ in range(2):
        assert locks.is_held(x._array)
        assert not data.flags.writeable
    y.sum().backward()
    assert data.flags.writeable


def test_backward_may_return_one_tensor_twice_keep_it_and_write_to_its_gradient() -> None:
    class Careless(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x + y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            g *= 2
            ctx.kept = g
            return g, g

    x, y, z = leaf(1.0), leaf(1.0), leaf(1.0)
    seed = tg.tensor(np.ones(1))
    out = Careless.apply(x * 1, y) + z * 1
    for factor in (1.0, 2.0):
        out.backward(seed, retain_graph=True)
        assert [v.grad.tolist() for v in (x, y, z) if v.grad is not None] == [[2 * factor], [2 * factor], [factor]]
    assert seed.tolist() == [1.0]


def test_a_picture_shows_one_op() -> None:
    nodes = graph.capture(lambda x: Exp.apply(x).sum(), tg.ones(2, requires_grad=True)).nodes
    names = [node.name for node in nodes]
    assert names.count("Exp") == 1
    assert "exp" not in names
    assert "test_function.py:" in nodes[names.index("Exp")].where


def test_errors_say_what_does_not_fit() -> None:
    class Short(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, k: Any) -> Any:
            return x * k

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    with pytest.raises(ValueError, match="Short: backward returned 1 gradients, expected 2, one an argument"):
        Short.apply(leaf(1.0), 2.0).backward()

    class Plain(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return 3.0

    with pytest.raises(TypeError, match="Plain: forward returned float, expected one Tensor or a tuple of Tensors"):
        Plain.apply(leaf(1.0))

    class Dirty(Exp):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x)

    with pytest.raises(NotImplementedError, match="mark_dirty: a Function that writes to its arguments cannot be"):
        Dirty.apply(leaf(1.0))
    with pytest.raises(NotImplementedError, match="no static method named forward"):
        Function.apply(leaf(1.0))

    class Wide(Exp):
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g.sum()

    with pytest.raises(RuntimeError, match=r"Wide: a gradient rule returned shape \(\), its argument has \(2,\)"):
        Wide.apply(leaf(1.0, 2.0)).sum().backward()


def test_its_node_names_the_line_that_calls_apply() -> None:
    assert "test_function.py" in Exp.apply(leaf(1.0)).node.where

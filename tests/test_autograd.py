"""The engine: recording, the drive, modes, hooks, errors, and what it does when somebody misuses it."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import autograd, locks
from tinygrad_cnn.autograd import Array, grad, op


def leaf(*values: float) -> tg.Tensor:
    return tg.tensor(np.array(values), requires_grad=True)


# ---- values of gradients -----------------------------------------------------------------------------------


def test_gradient_of_a_product_and_a_sum() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x * y + x).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert x.grad.tolist() == [4.0, 5.0]
    assert y.grad.tolist() == [1.0, 2.0]


def test_the_same_tensor_twice_counts_twice() -> None:
    x = leaf(3.0)
    (x * x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [6.0]


def test_a_result_that_is_used_twice_by_one_op_gets_both_gradients() -> None:
    x = leaf(3.0)
    y = x * 1.0
    (y + y).sum().backward()  # both gradients are one and the same array
    assert x.grad is not None
    assert x.grad.tolist() == [2.0]


def test_backward_accumulates() -> None:
    x = leaf(3.0)
    for _ in range(2):
        (x * 2).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [4.0]


def test_grad_writes_no_grad() -> None:
    x = leaf(3.0)
    (g,) = autograd.grad((x * x).sum(), x)
    assert g.tolist() == [6.0]
    assert x.grad is None


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_every_order_of_a_power(order: int) -> None:
    x = leaf(1.5)
    y = x**5
    factor = 1.0
    for k in range(order):
        (y,) = autograd.grad(y.sum(), x, create_graph=True)
        factor *= 5 - k
    assert y.tolist() == pytest.approx([factor * 1.5 ** (5 - order)], rel=1e-14)


def test_gradient_of_an_interior_tensor() -> None:
    x = leaf(2.0)
    y = x * 3
    (g,) = autograd.grad((y * y).sum(), y)
    assert g.tolist() == [12.0]


def test_broadcast_gradients_are_summed_back() -> None:
    x = tg.ones(3, 1, requires_grad=True)
    y = tg.ones(4, requires_grad=True)
    (x * y).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert x.grad.tolist() == [[4.0]] * 3
    assert y.grad.tolist() == [3.0] * 4


def test_a_chain_of_100_000_ops_needs_no_recursion() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0]


def test_dropping_a_long_chain_needs_no_recursion() -> None:
    y = leaf(1.0)
    for _ in range(100_000):
        y = y + 1.0
    del y
    gc.collect()


def test_gradients_that_nobody_asks_for_are_not_computed() -> None:
    calls = []

    @op
    def both(x: Array, y: Array) -> Array:
        return x + y

    @both.vjp("x")
    def both_grad_x(g: Array) -> Array:
        calls.append("x")
        return g

    @both.vjp("y")
    def both_grad_y(g: Array) -> Array:
        calls.append("y")
        return g

    both(leaf(1.0), tg.ones(1)).sum().backward()
    assert calls == ["x"]
    x, y = leaf(1.0), leaf(1.0)
    autograd.grad(both(x, y).sum(), y)
    assert calls == ["x", "y"]


# ---- leaves get arrays of their own -------------------------------------------------------------------------


def test_grads_of_two_leaves_do_not_share_memory() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = tg.ones(2, dtype=tg.float64)
    (x + y).backward(seed)
    assert x.grad is not None
    assert y.grad is not None
    x.grad.zero_()
    assert y.grad.tolist() == [1.0, 1.0]
    assert seed.tolist() == [1.0, 1.0]


def test_recorded_grads_of_two_leaves_are_not_the_same() -> None:
    x, y, seed = leaf(1.0, 2.0), leaf(3.0, 4.0), tg.tensor(np.ones(2))
    (x + y).backward(seed, create_graph=True)
    assert x.grad is not None
    assert y.grad is not None
    with tg.no_grad():
        x.grad.mul_(10)
    assert (x.grad.tolist(), y.grad.tolist(), seed.tolist()) == ([10.0, 10.0], [1.0, 1.0], [1.0, 1.0])


def test_grads_do_not_share_memory_where_a_shortcut_returns_one_array_twice() -> None:
    @op
    def twofold(a: Array, b: Array) -> Any:
        return a + b

    @twofold.shortcut
    def twofold_grads(g: Any, needs: Any) -> Any:
        return [found := g * 2, found]

    x, y = leaf(1.0), leaf(1.0)
    twofold(x, y).sum().backward()
    (x * 5).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert (x.grad.tolist(), y.grad.tolist()) == ([7.0], [2.0])


def test_a_rule_that_writes_to_its_gradient_raises() -> None:
    @op
    def careless(x: Array) -> Any:
        return x * 1

    @careless.vjp("x")
    def careless_grad(g: Any) -> Any:
        g *= 2
        return g

    x = leaf(1.0)
    with pytest.raises(ValueError, match="read-only"):
        (careless(x * 1) + x * 1).backward(tg.tensor(np.ones(1)))


def test_grad_of_an_expanded_leaf_is_writeable() -> None:
    x = leaf(1.0, 2.0)
    x.sum().backward()
    assert x.grad is not None
    x.grad += 1
    assert x.grad.tolist() == [2.0, 2.0]


# ---- the life of a graph -------------------------------------------------------------------------------------


def test_second_backward_says_where_the_graph_was_built() -> None:
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"the graph of sum at .*test_autograd\.py:\d+ is gone.*retain_graph=True"):
        y.backward()


def test_retain_graph() -> None:
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [4.0]


def test_backward_frees_what_was_saved() -> None:
    x = leaf(1.0)
    middle = x * 2
    array = weakref.ref(middle.array)
    y = (middle * middle).sum()
    del middle
    assert array() is not None
    y.backward()
    assert array() is None


def test_only_what_a_rule_names_is_kept() -> None:
    x = leaf(1.0)
    middle = x * 2
    array = weakref.ref(middle.array)
    y = middle + 1.0  # the rule of add names nothing
    del middle
    assert array() is None
    y.sum().backward()


def test_no_reference_cycles() -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).exp().sum()
    node = weakref.ref(y.node)
    gc.disable()
    try:
        del y
        assert node() is None
    finally:
        gc.enable()


# ---- modes -----------------------------------------------------------------------------------------------------


def test_no_grad_and_enable_grad_nest() -> None:
    x = leaf(1.0)

    def recorded() -> bool:
        return (x * 2).requires_grad

    with tg.no_grad():
        assert not recorded()
        with tg.enable_grad():
            assert recorded()
        assert not tg.is_grad_enabled()
    assert recorded()


@pytest.mark.parametrize("decorate", [tg.no_grad, tg.no_grad()])
def test_no_grad_as_a_decorator(decorate: Any) -> None:
    @decorate  # type: ignore[untyped-decorator]  # a class or an instance of it, so Any
    def double(t: tg.Tensor) -> tg.Tensor:
        return t * 2

    assert not double(leaf(1.0)).requires_grad
    assert tg.is_grad_enabled()


def test_set_grad_enabled_acts_at_once() -> None:
    tg.set_grad_enabled(False)
    assert not tg.is_grad_enabled()
    tg.set_grad_enabled(True)
    with tg.set_grad_enabled(False):
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()


def test_inference_mode_beats_enable_grad() -> None:
    with tg.inference_mode(), tg.enable_grad():
        assert not (leaf(1.0) * 2).requires_grad


def test_inference_mode_can_be_ended() -> None:
    with tg.inference_mode(), tg.inference_mode(False):
        assert tg.is_grad_enabled()

    @tg.inference_mode()
    def decorated() -> bool:
        return tg.is_inference_mode_enabled()

    assert decorated()


def test_a_mode_around_a_generator_acts_in_its_steps_alone() -> None:
    @tg.no_grad()
    def steps():  # type: ignore[no-untyped-def]
        got = yield tg.is_grad_enabled()
        yield tg.is_grad_enabled(), got
        return "end"

    generator = steps()
    assert next(generator) is False
    assert tg.is_grad_enabled()
    assert generator.send(7) == (False, 7)
    with pytest.raises(StopIteration, match="end"):
        next(generator)


def test_modes_belong_to_their_thread() -> None:
    seen = []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(tg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_an_exception_restores_the_mode() -> None:
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert tg.is_grad_enabled()


# ---- hooks -----------------------------------------------------------------------------------------------------


def test_hooks_on_leaf_and_interior() -> None:
    x = leaf(1.0)
    y = x * 3
    seen: list[list[float]] = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    handle = x.register_hook(lambda g: g * 10)
    (y * y).sum().backward()
    assert seen == [[6.0]]
    assert x.grad is not None
    assert x.grad.tolist() == [180.0]
    handle.remove()
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0]  # type: ignore[attr-defined]


def test_hook_with_the_wrong_shape() -> None:
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(
        ValueError, match=r"a hook returned float64 of shape \(\), the gradient is float64 of shape \(2,\)"
    ):
        (x * 2).sum().backward()


def test_retain_grad() -> None:
    x = leaf(1.0)
    y = x * 3
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad is not None
    assert y.grad.tolist() == [6.0]


def test_retain_grad_twice_counts_once_and_sees_what_hooks_made() -> None:
    x = leaf(1.0)
    y = x * 3
    y.retain_grad()
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    z = y + 0
    z.retain_grad()
    seed = tg.tensor(np.array([5.0]))
    z.backward(seed)
    assert y.grad is not None
    assert z.grad is not None
    assert y.grad.tolist() == [10.0]
    z.grad.zero_()
    assert (y.grad.tolist(), seed.tolist()) == ([10.0], [5.0])


def test_a_hook_may_write_to_its_gradient_and_keep_it() -> None:
    a, b = leaf(1.0), leaf(1.0)
    c, d = a * 1, b * 1
    kept = []
    c.register_hook(lambda g: g.mul_(2))
    a.register_hook(lambda g: kept.append(g))
    seed = tg.tensor(np.array([1.0]))
    (c + d).backward(seed)
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad.tolist(), b.grad.tolist(), seed.tolist()) == ([2.0], [1.0], [1.0])
    a.grad.zero_()
    assert kept[0].tolist() == [2.0]


def test_removing_a_hook_twice_leaves_later_ones() -> None:
    x = leaf(1.0)
    first = x.register_hook(lambda g: g * 3)
    first.remove()
    x.register_hook(lambda g: g * 10)
    first.remove()
    x.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [10.0]


def test_a_hook_that_returns_no_tensor() -> None:
    x = leaf(1.0)
    x.register_hook(lambda g: 3.0)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="register_hook: a hook returned a float, expected a Tensor or None"):
        x.sum().backward()


@pytest.mark.parametrize("op", [lambda x: x + x, lambda x: x * 1e30, lambda x: -x - x, lambda x: x @ x, tg.exp, tg.log])
def test_overflow_warns_of_nothing(op: Any) -> None:
    x = tg.full((2, 2), 3e38, requires_grad=True)
    assert np.isinf(np.abs(op(x).array)).all() or op is tg.log
    op(x).sum().backward()
    op(-x)


# ---- writes to what a graph needs ------------------------------------------------------------------------------


def test_a_numpy_write_to_a_saved_array_raises() -> None:
    data = np.array([1.0, 2.0])
    x = tg.from_numpy(data).requires_grad_()
    y = (x * x).sum()
    with pytest.raises(ValueError, match="read-only"):
        data[0] = 5.0
    y.backward()
    data[0] = 5.0
    assert x.tolist() == [5.0, 2.0]


def test_a_write_through_the_base_of_a_view_raises() -> None:
    data = np.arange(4.0)
    x = tg.from_numpy(data[1:3]).requires_grad_()
    y = (x * x).sum()
    with pytest.raises(ValueError, match="read-only"):
        data[1] = 5.0
    del y
    data[1] = 5.0


def test_an_in_place_method_on_a_saved_tensor_names_the_functional_form() -> None:
    x = leaf(1.0, 2.0)
    w = tg.ones(2, dtype=tg.float64)
    y = (x * w).sum()
    with pytest.raises(RuntimeError, match=r"add_: a live graph still needs .*mul at .*test_autograd.*use x\.add"):
        w += 1
    with pytest.raises(RuntimeError, match=r"t\[i\] = v: a live graph still needs .*index_put"):
        w[0] = 3.0
    y.backward()
    w += 1
    assert w.tolist() == [2.0, 2.0]


def test_a_numpy_write_through_an_older_view_raises() -> None:
    x = leaf(1.0, 2.0)
    view = x.detach()[:1]
    y = (x * x).sum()
    array = view.numpy()
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 5.0
    y.backward()
    array[0] = 5.0
    assert x.tolist() == [5.0, 2.0]


@pytest.mark.parametrize("shared", ["array", "numpy", "asarray", "from_numpy", "as_tensor", "Tensor"])
def test_a_write_through_a_slice_from_before_the_op_reaches_no_gradient(shared: str) -> None:
    data = np.array([1.0, 2.0])
    x = getattr(tg, shared)(data) if shared in ("from_numpy", "as_tensor", "Tensor") else tg.tensor(data)
    ways = {"array": lambda: x.array, "numpy": x.numpy, "asarray": lambda: np.asarray(x)}
    hidden = ways.get(shared, lambda: data)()[:]
    x.requires_grad_()
    y = (x * x).sum()
    assert hidden.flags.writeable, "NumPy made this view before the graph, and no lock reaches it"
    hidden[0] = 100.0
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 4.0]


def test_an_embedding_is_no_view_of_its_weight() -> None:
    weight = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    for position in (np.int64(1), tg.tensor(1)):
        with tg.no_grad():
            tg.embedding(position, weight).fill_(9)
    assert weight.tolist() == [[1, 2], [3, 4]]


def test_a_write_to_an_operand_of_a_subclass_of_ndarray_reaches_no_gradient() -> None:
    class Named(np.ndarray[Any, Any]):
        pass

    factor = np.array([3.0, 4.0]).view(Named)
    x = leaf(1.0, 2.0)
    y = (x * factor).sum()
    factor[0] = 100.0
    assert grad(y, x)[0].tolist() == [3.0, 4.0]


@pytest.mark.parametrize("base", [False, True], ids=["array", "slice of an array"])
def test_a_write_through_an_older_slice_of_an_ndarray_operand_reaches_no_gradient(base: bool) -> None:
    whole = np.array([3.0, 4.0, 5.0])
    factor, hidden = (whole[:2] if base else np.array([3.0, 4.0])), whole[:1]
    if not base:
        hidden = factor[:]
    x = leaf(1.0, 2.0)
    y = (x * factor).sum()
    hidden[0] = 100.0
    with pytest.raises(ValueError, match="read-only"):
        factor[0] = 7.0
    assert grad(y, x)[0].tolist() == [3.0, 4.0]


def test_arrays_that_the_package_makes_itself_are_not_copied_for_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[np.ndarray[Any, Any]] = []
    monkeypatch.setattr(locks, "share", shared.append)
    x = tg.tensor(np.arange(64.0).reshape(1, 1, 8, 8), requires_grad=True)
    y = tg.max_pool2d(tg.dropout2d(tg.dropout(x, 0.5), 0.5), 2)
    (g,) = grad((y * y).sum(), x, create_graph=True)
    grad((g * g).sum(), x)
    w = tg.zeros(2, 3, requires_grad=True)
    tg.nn.functional.cross_entropy(w, tg.tensor([0, 2])).backward()
    assert shared == []


def test_a_write_through_an_older_slice_of_an_index_reaches_no_gradient() -> None:
    index = np.array([0, 1])
    hidden = index[:]
    x = leaf(1.0, 2.0, 3.0)
    y = (tg.index_select(x, 0, index) * tg.tensor(np.array([1.0, 10.0]))).sum()
    hidden[:] = 2
    assert grad(y, x)[0].tolist() == [1.0, 10.0, 0.0]


def test_an_array_among_the_parameters_may_change_later() -> None:
    x = tg.tensor(np.array([[1.0, 2.0], [3.0, 5.0]]), requires_grad=True)
    order: Any = np.array([1, 0])
    y = (tg.permute(x, order) * tg.tensor(np.array([[1.0, 2.0], [3.0, 4.0]]))).sum()
    order[:] = 0, 1
    assert grad(y, x)[0].tolist() == [[1.0, 3.0], [2.0, 4.0]]


@pytest.mark.parametrize("shape", [(1,), (2, 3), ()])
def test_data_of_another_shape_are_refused_while_a_graph_needs_the_leaf(shape: tuple[int, ...]) -> None:
    x = leaf(1.0, 2.0, 3.0)
    y = (x * tg.tensor(np.array([1.0, 2.0, 4.0]))).sum()
    with pytest.raises(
        RuntimeError, match=r"a gradient for this tensor of float64 \(3,\) \(mul at .*test_autograd.py:\d+"
    ):
        x.data = tg.zeros(shape, dtype=tg.float64)
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 2.0, 4.0]
    x.data = tg.zeros(shape, dtype=tg.float64)  # the graph is used up
    assert x.shape == shape
    with pytest.raises(RuntimeError, match=r"\.grad of shape \(3,\), from before its data were replaced"):
        (x * x).sum().backward()


def test_data_of_another_shape_are_refused_by_the_result_of_an_op() -> None:
    x = leaf(1.0, 2.0, 3.0)
    y = x * 2
    with pytest.raises(RuntimeError, match=r"it is the result of <mul at .*test_autograd.py:\d+"):
        y.data = tg.zeros(1, dtype=tg.float64)
    with tg.no_grad():
        z = x * 2
    z.data = tg.zeros(1)
    assert z.shape == (1,)


def test_data_of_another_dtype_are_refused_while_a_graph_needs_the_leaf() -> None:
    x = leaf(300.0)
    y = (x * x).sum()  # whose gradient float16 could not hold
    with pytest.raises(
        RuntimeError, match=r"this tensor of float64 \(1,\) \(mul at .*, the new data are float16 \(1,\); run backward"
    ):
        x.data = tg.zeros(1, dtype=tg.float16)
    y.backward()
    x.data = tg.zeros(1, dtype=tg.float16)
    assert x.dtype == tg.float16


def test_backward_adds_to_no_gradient_that_a_graph_needs() -> None:
    together = tg.zeros(4, dtype=tg.float64)
    p, w = leaf(1.0, 2.0), leaf(1.0, 1.0, 1.0, 1.0)
    p.grad = together[:2]
    y = (together * w).sum()
    (p * p).sum().backward()
    y.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [0.0] * 4
    assert p.grad.tolist() == [2.0, 4.0]


def test_a_leaf_that_was_frozen_meanwhile_gets_no_gradient() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (x * w).sum()
    x.requires_grad_(False)
    y.backward()
    assert x.grad is None
    assert w.grad is not None


def test_a_backward_inside_a_hook_that_uses_up_the_graph_is_noticed() -> None:
    x = leaf(1.0, 2.0)
    hidden = x + 1
    other, out = hidden.sum(), hidden + 1
    out.register_hook(lambda g: other.backward())
    with pytest.raises(RuntimeError, match=r"the graph of add at .* is gone"):
        out.sum().backward()


def test_a_shared_array_in_a_tuple_of_operands_is_copied_too() -> None:
    data = np.array([[1.0, 2.0], [3.0, 4.0]])
    hidden = data[:]
    x = tg.from_numpy(data).requires_grad_()
    y = tg.einsum("ij,jk->ik", x, x).sum()
    hidden[:] = 0.0
    (g,) = grad(y, x)
    assert g.tolist() == [[7.0, 11.0], [9.0, 13.0]]


def test_a_leaf_that_was_changed_behind_its_graph_cannot_be_differentiated_twice() -> None:
    data = np.array([1.0, 2.0])
    hidden = data[:]
    x = tg.from_numpy(data).requires_grad_()
    y = (x * x * x).sum()
    assert grad(y, x, create_graph=True, retain_graph=True)[0].tolist() == [3.0, 12.0]
    hidden[0] = 100.0
    with pytest.raises(RuntimeError, match="values of a leaf were changed"):
        grad(y, x, create_graph=True)


def test_shared_memory_is_forgotten_with_its_array() -> None:
    before = len(locks._shared)
    for _ in range(3):
        tg.zeros(2).numpy()
    assert len(locks._shared) == before


def test_lists_that_change_later_reach_no_gradient() -> None:
    x = tg.tensor(np.array([[1.0, 2.0], [3.0, 5.0]]), requires_grad=True)
    dims, factor = [0], [2.0, 2.0]
    y = x.amax(dims) * factor
    dims[0], factor[0] = 1, 7.0
    (y * tg.tensor([1.0, 10.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 0.0], [2.0, 20.0]]


def test_an_op_of_ones_own_cannot_write_to_what_a_graph_needs() -> None:
    @op
    def clipped(input: Array) -> Any:
        input[input < 0] = 0
        return input.copy()

    @clipped.vjp("input")
    def clipped_grad(g: Array, input: Array) -> Array:
        input *= g
        return input

    x = leaf(-1.0, 2.0)
    y = (x * x).sum()
    with pytest.raises(ValueError, match=r"clipped: .*read-only"):
        clipped(x.detach())
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-2.0, 4.0]
    with pytest.raises(ValueError, match="read-only"):
        clipped(x).sum().backward()


def test_what_a_node_shows_is_read_only() -> None:
    x = leaf(1.0, 2.0, 3.0)
    y = (x * x)[[0, 2]]
    node = y.node
    assert node is not None
    for array in (node.params["index"][0], node.edges[0].saved["other"]):  # type: ignore[index, union-attr]  # it was recorded
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert grad(y.sum(), x)[0].tolist() == [2.0, 0.0, 6.0]


@pytest.mark.parametrize("wrapped", [tg.Tensor, tg.from_numpy, lambda data: data], ids=["Tensor", "from_numpy", "data"])
def test_a_write_to_an_array_of_a_subclass_reaches_no_gradient(wrapped: Any, tmp_path: Path) -> None:
    data = np.memmap(tmp_path / "numbers", np.float64, "w+", shape=(2,))
    data[:] = 3.0
    x = leaf(1.0, 2.0)
    y = (x * wrapped(data)).sum()
    data[:] = 100.0
    assert grad(y, x)[0].tolist() == [3.0, 3.0]


def test_the_bytes_of_a_pickle_are_nobodys_memory() -> None:
    w = tg.tensor([3.0, 4.0], dtype=tg.float64)
    outside: list[Any] = []
    text = pickle.dumps(w, protocol=5, buffer_callback=outside.append)
    bytes_ = [bytearray(buffer.raw()) for buffer in outside]
    loaded = pickle.loads(text, buffers=bytes_)
    assert copy.copy(w)._array is w._array
    x = leaf(1.0, 2.0)
    y = (x * w + x * loaded).sum()
    for memory in (*bytes_, *outside):
        np.frombuffer(memory, np.float64)[:] = 100.0
    assert grad(y, x)[0].tolist() == [6.0, 8.0]


def test_a_write_to_an_incoming_gradient_reaches_no_higher_gradient() -> None:
    x, seed = leaf(1.0, 2.0), np.ones(2)
    hidden = seed[:]
    (first,) = grad(x**2, x, seed, create_graph=True)
    hidden[:] = 100.0
    with pytest.raises(ValueError, match="read-only"):
        seed[:] = 100.0
    assert grad(first.sum(), x)[0].tolist() == [2.0, 2.0]


def test_an_op_of_ones_own_may_keep_what_it_sees_and_makes() -> None:
    kept: list[Any] = []
    room = np.zeros(4)
    other = room[:2]

    @op
    def square(input: Array) -> Any:
        kept.extend([input, input[:1]])
        np.multiply(input, input, out=other)
        return room[:2]

    @square.vjp("input")
    def square_grad(g: Array, input: Array) -> Array:
        kept.extend([g, input])
        return 2 * g * input

    x, w = leaf(1.0, 2.0), leaf(1.0, 1.0)
    square(x).sum().backward()
    assert kept
    for array in kept:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 100.0
    y = (w * square(x.detach())).sum()
    other[:] = 100.0  # a view from before the op, which no flag reaches
    assert grad(y, w)[0].tolist() == [1.0, 4.0]


def test_a_parameter_may_be_named_as_the_shape_of_an_argument() -> None:
    @op
    def scaled(x: Array, *, x_shape: float) -> Any:
        return x * x_shape

    @scaled.vjp("x")
    def scaled_grad(g: Array, x_shape: float) -> Array:
        return g * x_shape

    x = leaf(1.0, 1.0)
    assert grad(scaled(x, x_shape=3.0).sum(), x)[0].tolist() == [3.0, 3.0]


@pytest.mark.parametrize("kind", ["several", "a subclass", "a memoryview"])
def test_whatever_a_kernel_of_ones_own_keeps_it_may_write_to(kind: str) -> None:
    class Own(np.ndarray[Any, Any]):
        pass

    whole = np.array([3, 4])
    behind = whole[:]

    @op(keeps="kept")
    def scaled(input: Array) -> Any:
        return input * whole, (whole,) if kind == "several" else whole.view(Own)

    @scaled.vjp("input")
    def scaled_grad(g: Array, kept: Any) -> Array:
        return g * np.asarray(kept[0] if kind == "several" else kept)

    room = np.zeros(2)

    @op
    def exp(input: Array) -> Any:
        np.exp(input, out=room)
        return memoryview(room)  # type: ignore[arg-type]  # an array is a buffer from Python 3.12 on, by the types

    @exp.vjp("input")
    def exp_grad(g: Array, out: Array) -> Array:
        return g * out

    x = leaf(0.0, 0.0)
    y = exp(x) if kind == "a memoryview" else scaled(x)
    behind[:] = room[:] = 100
    assert grad(y.sum(), x)[0].tolist() == ([1.0, 1.0] if kind == "a memoryview" else [3.0, 4.0])


@pytest.mark.parametrize("make", [memoryview, tg.from_numpy])
def test_a_rule_of_ones_own_may_return_what_is_no_ndarray_and_keep_it(make: Any) -> None:
    room = np.zeros(2)
    kept = make(room)

    @op
    def twice(input: Array) -> Any:
        return input * 2

    @twice.vjp("input")
    def twice_grad(g: Array) -> Any:
        np.multiply(g, 2, out=room)
        return kept

    x, y = leaf(1.0, 1.0), leaf(1.0, 1.0)
    (twice(x * 1) * 3 + twice(y * 1) * 5 + twice(x) + twice(y)).sum().backward()
    room[:] = 100
    assert x.grad is not None
    assert y.grad is not None
    assert x.grad.tolist() == [8.0, 8.0]
    assert y.grad.tolist() == [12.0, 12.0]


def test_rules_of_ones_own_share_no_memory_with_other_gradients() -> None:
    ones, tensor = np.ones(2), tg.ones(2, dtype=tg.float64)

    @op
    def constant(input: Array) -> Any:
        return input + 0.0

    @constant.vjp("input")
    def constant_grad(g: Array) -> Array:
        return ones

    @op
    def tripled(input: Array) -> Any:
        return input * 3

    @tripled.vjp("input")
    def tripled_grad(g: Array) -> Array:
        g *= 3
        return g

    class Constant(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x + 0.0

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return tensor

    class Tripled(Constant):
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g.mul_(3)

    for function in (constant, Constant.apply):
        x = leaf(1.0, 2.0)
        for _ in range(2):
            function(x).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [2.0, 2.0]
        assert ones.tolist() == tensor.tolist() == [1.0, 1.0]
    for function in (tripled, Tripled.apply):
        x = leaf(1.0, 2.0)
        y = x.exp() + function(x.exp())  # both get the gradient of the sum
        with pytest.raises(ValueError, match="read-only"):
            grad(y.sum() * 1.0, x, retain_graph=True, create_graph=True)
        if function is tripled:
            with pytest.raises(ValueError, match="read-only"):
                grad(y * 1.0, x, np.ones(2))
        else:  # a Function is given a copy
            np.testing.assert_allclose(grad(y * 1.0, x, np.ones(2))[0].tolist(), 4 * np.exp([1.0, 2.0]))


def test_copies_and_looks_leave_the_memory_to_the_tensor() -> None:
    x = tg.tensor([1.0, 2.0], dtype=tg.float64)
    before = len(locks._shared)
    np.array(x)
    np.asarray(x, np.float32)
    np.allclose(x, 0)
    w = tg.nn.Parameter(np.ones(2))
    pickle.dumps(w)
    assert len(locks._shared) == before
    np.asarray(x)
    assert len(locks._shared) == before + 1


def test_ctrl_c_right_after_the_guard_was_taken_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def take() -> None:
        locks._guard.acquire()
        raise KeyboardInterrupt

    x = leaf(1.0)
    y = x * x
    for act in (lambda: locks.is_held(x._array), y.node.release):  # type: ignore[union-attr]  # y was recorded
        with monkeypatch.context() as patch:
            patch.setattr(locks, "_take", take)
            with pytest.raises(KeyboardInterrupt):
                act()
        assert not locks._guard._is_owned()  # type: ignore[attr-defined]  # RLock has it, its stub has not
        assert locks.is_held(x._array)
    del act, y
    assert not locks.is_held(x.array)


def test_ctrl_c_at_any_moment_leaves_no_array_locked() -> None:
    """Python looks for signals where a function begins and where a call of C ends."""
    counts, moment, interrupted = counted(), 0, True
    while interrupted:
        x, shared, left = leaf(1.0, 2.0), np.array([3.0, 4.0]), [moment]
        handed = x.detach()

        def interrupt(frame: Any, event: str, argument: Any, left: list[int] = left) -> None:
            if frame.f_code.co_filename == locks.__file__ and event in ("c_return", "call"):
                left[0] -= 1
                if left[0] < 0:
                    sys.setprofile(None)
                    raise KeyboardInterrupt

        interrupted = False
        sys.setprofile(interrupt)
        try:
            y = tg.einsum("i,i,i->", x * shared, x * x, x) * 2
            assert locks.is_held(x._array)
            assert not handed.numpy().flags.writeable
            y = y * x.sum()
            y.backward()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.setprofile(None)
        y = None  # type: ignore[assignment]  # the graph is to end
        assert not locks._guard._is_owned(), moment  # type: ignore[attr-defined]  # as above
        assert not locks.is_held(x._array), moment
        assert counted() == counts, moment
        assert x._array.flags.writeable, moment
        assert shared.flags.writeable, moment
        moment += 1
    assert moment > 100


def test_ctrl_c_while_a_graph_is_deleted_leaves_no_array_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python prints and forgets what is raised in a __del__."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # pytest's keeps it, and so the node
    moment, came = 0, True
    while came:
        x, left = leaf(1.0, 2.0), [moment]
        y = [(x * x).exp()]
        assert not x.detach().numpy().flags.writeable

        def interrupt(frame: Any, event: str, argument: Any, left: list[int] = left) -> None:
            if frame.f_code.co_filename == locks.__file__ and event in ("c_return", "call"):
                left[0] -= 1
                if left[0] < 0:
                    sys.setprofile(None)
                    raise KeyboardInterrupt

        sys.setprofile(interrupt)
        try:
            y.clear()
        finally:
            sys.setprofile(None)
        came = left[0] < 0
        assert x._array.flags.writeable, moment
        assert not locks.is_held(x._array), moment
        moment += 1
    assert moment > 20


def test_ctrl_c_while_another_thread_has_the_guard_stays_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def take() -> None:
        raise KeyboardInterrupt

    x = leaf(1.0)
    y = x * x
    monkeypatch.setattr(locks, "_take", take)
    with pytest.raises(KeyboardInterrupt):
        locks.is_held(x._array)
    monkeypatch.undo()
    assert locks.is_held(x._array)
    del y
    assert not locks.is_held(x._array)


@pytest.mark.parametrize("aside", [True, False])
def test_a_signal_handler_at_any_moment_sees_what_graphs_need_and_changes_nothing(aside: bool) -> None:
    """It asks, it hands out and it lets go of a graph, wherever that may cut in."""
    counts, moment, came = counted(), 0, True
    while came:
        x, other, left = leaf(1.0, 2.0), leaf(3.0, 4.0), [moment]
        y, gone = (x * x).exp() * x, [other * other]
        if aside:
            counted()
            with locks._guard:  # as in the midst of a call of locks.py: it is put aside
                gone.clear()
        said: list[Any] = []

        def handle(frame: Any, event: str, argument: Any, state: Any = (x, gone, left, said)) -> None:
            x, gone, left, said = state
            if frame.f_code.co_filename == locks.__file__ and event in ("c_return", "call"):
                left[0] -= 1
                if left[0] < 0:
                    sys.setprofile(None)
                    gone.clear()
                    said.append((locks.is_held(x._array), x.detach().numpy().flags.writeable))

        sys.setprofile(handle)
        try:
            held = locks.is_held(x._array)
        finally:
            sys.setprofile(None)
        came = bool(said)
        assert held, moment
        assert locks.is_held(x._array), moment
        assert said in ([], [(True, False)]), moment
        gone.clear()
        assert not locks.is_held(other._array), moment
        assert grad(y.sum(), x, retain_graph=True)[0].shape == (2,)
        assert locks.is_held(x._array), moment
        del y
        assert not locks.is_held(x._array), moment
        assert counted() == counts, moment
        assert x.detach().numpy().flags.writeable, moment
        moment += 1
    assert moment > 15


def counted() -> int:
    """How many pieces of memory live graphs need."""
    locks._guarded(locks._count)
    return len(locks._counts)


def test_running_averages_that_a_graph_needs_are_left_to_it() -> None:
    norm, w = tg.nn.BatchNorm1d(2).double(), leaf(1.0, 1.0)
    y = (norm.running_mean * w).sum()
    norm(tg.tensor(np.array([[1.0, 2.0], [3.0, 4.0]])))
    assert norm.running_mean is not None
    np.testing.assert_allclose(norm.running_mean.tolist(), [0.2, 0.3])
    assert grad(y, w)[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("targets", [True, False])
def test_a_hook_that_uses_up_its_own_node_is_told_so(targets: bool) -> None:
    acts: list[Callable[[tg.Tensor], tg.Tensor]] = [lambda x: x.sin(), lambda x: x + 1.0]
    for act in acts:
        x = leaf(1.0, 2.0)
        y = act(x)
        first, second = (y * y).sum(), (y * 3).sum()

        def use_up(g: tg.Tensor, others: list[tg.Tensor] = [second]) -> None:  # noqa: B006 - emptied on purpose
            if others:
                others.pop().backward()

        y.register_hook(use_up)
        with pytest.raises(RuntimeError, match=r"the graph of (sin|add) at .* is gone"):
            grad(first, x) if targets else first.backward()


def test_a_part_of_the_graph_that_another_thread_uses_up_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    x = leaf(2.0)
    square = x * x
    first, second = square.sum(), (square + x * 3).sum()
    look = autograd.reachable

    def slowly(edges: list[Any]) -> Any:
        found = look(edges)
        first.backward()  # as another thread may, right then
        return found

    monkeypatch.setattr(autograd, "reachable", slowly)
    with pytest.raises(RuntimeError, match=r"the graph of mul at .* is gone"):
        grad(second, x)


def test_two_threads_that_use_up_one_graph_are_told_so() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    errors: list[str] = []

    def work(y: tg.Tensor, x: tg.Tensor) -> None:
        try:
            grad(y, x)
        except Exception as error:
            errors.append(str(error))

    try:
        for _ in range(50):
            x = leaf(1.0, 2.0)
            y = x
            for _ in range(20):
                y = (y * x).sin() + x
            end = y.sum()
            threads = [threading.Thread(target=work, args=(end, x)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not [text for text in errors if "a backward has used it up" not in text]


def test_locks_outlive_one_of_two_graphs() -> None:
    x = leaf(1.0)
    first, second = (x * x).sum(), (x * x).sum()
    first.backward()
    with pytest.raises(RuntimeError, match="live graph"):
        x.data.add_(1)
    second.backward()
    x.data.add_(1)
    assert x.tolist() == [2.0]


def test_a_signal_handler_may_compute_and_a_node_may_end_while_locks_are_taken() -> None:
    w = leaf(1.0, 2.0)
    y = (w * w).exp()
    with locks._guard:  # as in the midst of a call of locks.py, in this thread
        del y
        (w * 2).sum().backward()
        w.detach().numpy()
    assert not locks.is_held(w.array)
    assert w.array.flags.writeable


def test_locks_are_given_back_when_the_garbage_collector_drops_graphs_at_any_moment() -> None:
    """Graphs in cycles, in several threads: the collector may run while another graph takes its locks."""
    w = leaf(1.0, 2.0)

    def drop_graphs() -> None:
        for _ in range(200):
            cycle: list[Any] = [(w * w).exp()]
            cycle.append(cycle)

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        threads = [threading.Thread(target=drop_graphs) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert not any(thread.is_alive() for thread in threads)
    assert not locks.is_held(w.array)
    assert w.array.flags.writeable


def test_locks_are_counted_right_from_several_threads() -> None:
    x = leaf(*np.ones(50))
    before = counted()

    def work(_: int) -> float:
        for _ in range(200):
            y = (x * x).sin() * x
            assert locks.is_held(x._array)
            del y
        return float(grad((x * x).sum(), x)[0].array.sum())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [100.0] * 4
    assert counted() == before
    assert x.data.array.flags.writeable


def test_a_read_only_array_stays_read_only() -> None:
    data = np.array([1.0])
    data.flags.writeable = False
    x = tg.from_numpy(data).requires_grad_()
    (x * x).sum().backward()
    assert not data.flags.writeable


def test_replacing_data_after_the_forward_pass_changes_no_gradient() -> None:
    x = leaf(3.0)
    y = (x * x).sum()
    x.data = tg.tensor(np.array([100.0]))
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [6.0]


# ---- errors ----------------------------------------------------------------------------------------------------


def test_an_error_names_op_fact_line() -> None:
    line = sys._getframe().f_lineno + 2
    with pytest.raises(ValueError, match=rf"^add: .*\(2,\) \(3,\).* — at .*test_autograd\.py:{line}$"):
        leaf(1.0, 2.0) + leaf(1.0, 2.0, 3.0)


def test_nodes_know_the_users_line() -> None:
    y = leaf(1.0) * 2
    assert y.node is not None
    assert y.node.where.endswith(f"test_autograd.py:{sys._getframe().f_lineno - 2}")


def test_a_missing_rule_names_op_and_argument() -> None:
    @op
    def half(x: Array) -> Array:
        return x / 2

    with pytest.raises(NotImplementedError, match="half has no gradient rule for argument 'x'"):
        half(leaf(1.0)).sum().backward()


def test_a_rule_with_the_wrong_shape_raises() -> None:
    @op
    def total(x: Array) -> Array:
        return x.sum()

    @total.vjp("x")
    def total_grad(g: Array) -> Array:
        return g

    with pytest.raises(RuntimeError, match=r"total: a gradient rule returned shape \(\), its argument has \(2,\)"):
        total(leaf(1.0, 2.0)).backward()


def test_a_rule_may_name_only_what_the_op_knows() -> None:
    @op
    def half(x: Array) -> Array:
        return x / 2

    with pytest.raises(TypeError, match=r"the rule bad names \['y'\]"):

        @half.vjp("x")
        def bad(g: Array, y: Array) -> Array:
            return g

    with pytest.raises(TypeError, match="'z' is not an array argument"):
        half.vjp("z")


def test_a_kept_float_raises_at_the_second_order() -> None:
    @op(keeps="factor")
    def scale(x: Array) -> Array:
        return x * 2, np.full(x.shape, 2.0)

    @scale.vjp("x")
    def scale_grad(g: Array, factor: Array) -> Array:
        return g * factor

    x = leaf(1.0)
    with pytest.raises(TypeError, match="kept 'factor', which is float64"):
        autograd.grad(scale(x).sum(), x, create_graph=True)


def test_the_owner_of_the_incoming_gradient_becomes_no_grad() -> None:
    """Somebody else's rule may return it: then the gradient is a view of what the rule returns."""

    @op
    def same(x: Array) -> Any:
        return x + 0.0

    @same.vjp("x")
    def same_grad(g: Array) -> Any:
        return g.base

    seed, x = np.ones(4), tg.tensor(np.zeros(4), requires_grad=True)
    same(x).reshape((2, 2)).backward(tg.from_numpy(seed).reshape((2, 2)))
    assert x.grad is not None
    assert not np.shares_memory(x.grad.numpy(), seed)
    assert x.grad.numpy().tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: tg.conv2d(x, 2.0), "conv2d: weight is 2.0, expected a tensor — at "),
        (lambda x: tg.conv2d(x, None), "conv2d: weight is None, expected a tensor — at "),
        (lambda x: x @ 3, "matmul: other is 3, expected a tensor — at "),
        (lambda x: tg.softmax(1.5, 0), "softmax: input is 1.5, expected a tensor — at "),
        (lambda x: tg.relu("a" * 99), r"relu: input is 'a+\.\.\.a+', expected a tensor — at "),
        (lambda x: tg.scatter_add(x, 0, index=[[[[0]]]], src=1.5), "scatter_add: src is 1.5, expected a tensor — at "),
        (lambda x: tg.nn.functional.mse_loss(x, "b"), "mse_loss: target is 'b', expected a tensor"),
        (lambda x: tg.exp(None), "exp: the input holds object, expected numbers — at "),
    ],
)
def test_what_is_no_tensor_is_named(call: Callable[[tg.Tensor], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(tg.ones(1, 1, 2, 2, requires_grad=True))


def test_an_attribute_error_of_other_things_stays_one() -> None:
    @op
    def misspelt(x: Array) -> Any:
        return x.wide

    with pytest.raises(AttributeError, match=r"misspelt: 'numpy\.ndarray' object has no attribute 'wide' — at "):
        misspelt(tg.ones(2))


def test_an_error_in_a_rule_tells_where_the_node_was_built() -> None:
    @op
    def half(x: Array) -> Array:
        return x / 2

    @half.vjp("x")
    def half_grad(g: Array) -> Array:
        raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError) as caught:
        half(leaf(1.0)).sum().backward()
    assert "in half_grad, the gradient of half at" in caught.value.__notes__[0]


def test_misuse_of_backward() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"the output has shape \(2,\)"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"incoming gradient has shape \(3,\), the output \(2,\)"):
        (x * 2).backward(tg.ones(3))
    with pytest.raises(RuntimeError, match="does not require grad"):
        tg.ones(1).backward()
    with pytest.raises(RuntimeError, match="no output depends on input 0"):
        autograd.grad((x * 2).sum(), leaf(1.0))
    unused: tuple[Any, ...] = autograd.grad((x * 2).sum(), leaf(1.0), allow_unused=True)
    assert unused == (None,)
    (zero,) = autograd.grad((x * 2).sum(), leaf(1.0), materialize_grads=True)
    assert zero.tolist() == [0.0]
    with pytest.raises(TypeError, match="only floats can require grad, this tensor holds int64"):
        tg.arange(3).requires_grad_()


def test_calls_with_wrong_arguments() -> None:
    x = leaf(1.0)
    with pytest.raises(TypeError, match="sum: unknown argument 'axes'"):
        tg.sum(x, axes=0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="mul: argument 'other' is missing"):
        tg.mul(x)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'dim' is given twice"):
        tg.sum(x, 0, dim=0)  # type: ignore[misc]


# ---- custom ops ------------------------------------------------------------------------------------------------


def test_a_custom_op_without_annotations() -> None:
    @op
    def scaled_square(x, *, scale=1.0):  # type: ignore[no-untyped-def]
        return scale * x * x

    @scaled_square.vjp("x")
    def scaled_square_grad(g, x, scale):  # type: ignore[no-untyped-def]
        return g * (2.0 * scale) * x

    x = leaf(3.0)
    (g,) = autograd.grad(scaled_square(x, scale=5.0).sum(), x, create_graph=True)
    (h,) = autograd.grad(g.sum(), x)
    assert (g.tolist(), h.tolist()) == ([30.0], [10.0])


def test_a_shortcut_serves_the_first_order_and_rules_the_others() -> None:
    used = []

    @op
    def product(x: Array, y: Array) -> Array:
        return x * y

    @product.vjp("x")
    def product_grad_x(g: Array, y: Array) -> Array:
        used.append("rule")
        return g * y

    @product.vjp("y")
    def product_grad_y(g: Array, x: Array) -> Array:
        used.append("rule")
        return g * x

    @product.shortcut
    def product_grads(g: Array, x: Array, y: Array, needs: tuple[bool, ...]) -> list[Array]:
        used.append("shortcut")
        return [g * y if needs[0] else None, g * x if needs[1] else None]

    x, y = leaf(2.0), leaf(3.0)
    product(x, y).sum().backward()
    assert used == ["shortcut"]
    assert x.grad is not None
    assert x.grad.tolist() == [3.0]
    autograd.grad(product(x, y).sum(), (x, y), create_graph=True)
    assert used == ["shortcut", "rule", "rule"]


def test_threads_that_share_parameters_do_not_disturb_each_other() -> None:
    w = tg.randn(8, 8, dtype=tg.float64, requires_grad=True)
    x = tg.randn(4, 8, dtype=tg.float64)
    (expected,) = autograd.grad((x @ w).tanh().sum(), w)
    found: list[tg.Tensor] = []

    def work() -> None:
        for _ in range(50):
            found.append(autograd.grad((x @ w).tanh().sum(), w)[0])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 200
    for g in found:
        np.testing.assert_array_equal(g.numpy(), expected.numpy())
    assert w.data.array.flags.writeable, "a lock was left behind"


def test_an_exception_in_the_forward_pass_leaves_no_lock() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(ValueError, match="broadcast"):
        (x * x) + leaf(1.0, 2.0, 3.0)
    x.data.add_(1)
    assert x.tolist() == [2.0, 3.0]


def test_an_op_of_a_function_without_a_module() -> None:
    room: dict[str, Any] = {"np": np}
    exec("def twice(x): return 2 * x", room)
    twice = op(room["twice"])
    twice.vjp("x")(lambda g: 2 * g)
    x = tg.ones(2, requires_grad=True)
    assert tg.autograd.grad(twice(x).sum(), [x])[0].tolist() == [2.0, 2.0]

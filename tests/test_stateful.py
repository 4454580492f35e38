"""The life of a graph, in any order: build, backward, accumulate, reset, retain, free, mutate, detach, no_grad.

The plain model beside it knows nothing of graphs: each of its values carries its full derivative with respect to every
leaf, computed forwards, and the set of calls that it came from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

import tinygrad_cnn as tg

SIZE = 3
Vector = Any


@dataclass(eq=False)
class Storage:
    """The memory of a value, which detached tensors share."""

    values: Vector


@dataclass(eq=False)
class Value:
    """A tensor, and what the plain model says of it."""

    tensor: tg.Tensor
    storage: Storage
    slopes: dict[int, Any] = field(default_factory=dict)  # by leaf: the matrix d value / d leaf
    calls: frozenset[int] = frozenset()  # the recorded calls that it came from
    leaf: int | None = None


class Graphs(RuleBasedStateMachine):
    """Everything that can be done to graphs, against the plain model."""

    values = Bundle("values")
    views = Bundle("views")  # of arrays that left their tensors at some time, with the storage

    def __init__(self) -> None:
        super().__init__()
        self.everything: list[Value] = []
        self.grads: dict[int, Any] = {}  # by leaf
        self.leaves: dict[int, Value] = {}
        self.freed: set[int] = set()
        self.saved: dict[int, list[Storage]] = {}  # by call: the memory that backward needs
        self.count = 0
        self.hidden = False  # whether what a graph needs was written to, by a view that no flag reaches
        self.rng = np.random.default_rng(0)

    def make(
        self, tensor: tg.Tensor, numbers: Vector, operands: list[tuple[Value, Any]], saves: list[Storage]
    ) -> Value:
        """The result of a call: `operands` with d result / d operand."""
        value = Value(tensor, Storage(numbers))
        tracked = [(x, slope) for x, slope in operands if x.slopes] if tg.is_grad_enabled() else []
        assert tensor.requires_grad == bool(tracked)
        if tracked:
            self.count += 1
            value.calls = frozenset({self.count}).union(*(x.calls for x, _ in tracked))
            self.saved[self.count] = saves
            for x, slope in tracked:
                for leaf, matrix in x.slopes.items():
                    value.slopes[leaf] = value.slopes.get(leaf, 0) + slope @ matrix
        self.everything.append(value)
        return value

    # ---- building ----

    @initialize(target=values)
    def first(self) -> Value:
        return self.new_leaf(True)

    @rule(target=values, requires_grad=st.booleans())
    def leaf(self, requires_grad: bool) -> Value:
        return self.new_leaf(requires_grad)

    def new_leaf(self, requires_grad: bool) -> Value:
        numbers = self.rng.uniform(-1, 1, SIZE)
        value = Value(tg.tensor(numbers.copy(), requires_grad=requires_grad), Storage(numbers))
        if requires_grad:
            self.count += 1
            value.leaf = self.count
            value.slopes[self.count] = np.eye(SIZE)
            self.leaves[self.count] = value
        self.everything.append(value)
        return value

    @rule(target=values, x=values, y=values)
    def add(self, x: Value, y: Value) -> Value:
        one = np.eye(SIZE)
        return self.make(x.tensor + y.tensor, x.storage.values + y.storage.values, [(x, one), (y, one)], [])

    @rule(target=values, x=values, y=values)
    def mul(self, x: Value, y: Value) -> Value:
        a, b = x.storage.values, y.storage.values
        saves = ([y.storage] if x.slopes else []) + ([x.storage] if y.slopes else [])
        return self.make(x.tensor * y.tensor, a * b, [(x, np.diag(b)), (y, np.diag(a))], saves)

    @rule(target=values, x=values, seen=views)
    def mul_by_an_array(self, x: Value, seen: tuple[Storage, Vector]) -> Value:
        storage, view = seen
        saves = [storage] if x.slopes else []
        slopes = [(x, np.diag(storage.values))]
        return self.make(x.tensor * view, x.storage.values * storage.values, slopes, saves)

    @rule(target=values, x=values)
    def sin(self, x: Value) -> Value:
        a = x.storage.values
        return self.make(tg.sin(x.tensor), np.sin(a), [(x, np.diag(np.cos(a)))], [x.storage])

    @rule(target=values, x=values)
    def tanh(self, x: Value) -> Value:
        out = np.tanh(x.storage.values)
        value = self.make(tg.tanh(x.tensor), out, [(x, np.diag(1 - out * out))], [])
        if value.calls:
            self.saved[self.count] = [value.storage]  # its rule names the result
        return value

    @rule(target=values, x=values)
    def without_recording(self, x: Value) -> Value:
        with tg.no_grad():
            return self.make(x.tensor * 2, x.storage.values * 2, [(x, 2 * np.eye(SIZE))], [])

    @rule(target=values, x=values)
    def detach(self, x: Value) -> Value:
        value = Value(x.tensor.detach(), x.storage)
        self.everything.append(value)
        return value

    # ---- backward ----

    def reachable_is_gone(self, x: Value) -> bool:
        return bool(x.calls & self.freed)

    def expect(self, x: Value, run: Callable[[Vector], Any], retain: bool, into_grad: bool) -> None:
        """Run a backward, and do the same in the model; or expect the error that the model foresees."""
        g = self.rng.uniform(-1, 1, SIZE)
        if not x.slopes:
            with pytest.raises(RuntimeError, match="does not require grad"):
                run(g)
        elif self.reachable_is_gone(x):
            with pytest.raises(RuntimeError, match="is gone"):
                run(g)
        else:
            found = run(g)
            for leaf, matrix in x.slopes.items():
                if into_grad:
                    self.grads[leaf] = self.grads.get(leaf, 0) + g @ matrix
                else:
                    np.testing.assert_allclose(found[leaf].array, g @ matrix, rtol=1e-9, atol=1e-9)
            if not retain:
                self.freed |= x.calls

    @rule(x=values, retain=st.booleans(), create=st.booleans())
    def backward(self, x: Value, retain: bool, create: bool) -> None:
        def run(g: Vector) -> None:
            x.tensor.backward(tg.tensor(g), retain_graph=retain, create_graph=create and not self.hidden)

        self.expect(x, run, retain, into_grad=True)
        for leaf in self.leaves.values():
            if leaf.tensor.grad is not None:  # with create_graph it is part of a graph; cut it off
                leaf.tensor.grad = leaf.tensor.grad.detach()

    @rule(x=values, retain=st.booleans())
    def grad(self, x: Value, retain: bool) -> None:
        self.check_gradient(x, retain)

    def check_gradient(self, x: Value, retain: bool) -> None:
        def run(g: Vector) -> dict[int, tg.Tensor]:
            leaves = {name: leaf.tensor for name, leaf in self.leaves.items() if name in x.slopes or not x.slopes}
            found = tg.autograd.grad(x.tensor, list(leaves.values()), tg.tensor(g), retain_graph=retain)
            return dict(zip(leaves, found, strict=True))

        self.expect(x, run, retain, into_grad=False)

    @rule(x=values)
    def reset(self, x: Value) -> None:
        if x.leaf is not None:
            x.tensor.grad = None
            self.grads.pop(x.leaf, None)

    # ---- writing ----

    def is_live(self, storage: Storage) -> bool:
        return any(storage in saves for call, saves in self.saved.items() if call not in self.freed)

    @rule(target=views, x=values)
    def look(self, x: Value) -> tuple[Storage, Vector]:
        return x.storage, x.tensor.array[:]

    @rule(seen=views)
    def write_through_a_view(self, seen: tuple[Storage, Vector]) -> None:
        storage, view = seen
        if not view.flags.writeable:  # made while a graph needed the memory
            with pytest.raises(ValueError, match="read-only"):
                view[0] = 0.25
            return
        view[0] = 0.25
        storage.values = np.array([0.25, *storage.values[1:]])
        self.hidden |= self.is_live(storage)
        for x in self.everything:
            if any(storage in self.saved.get(call, ()) for call in x.calls) and not self.reachable_is_gone(x):
                self.check_gradient(x, retain=True)

    @rule(x=values, amount=st.floats(-1, 1))
    def write(self, x: Value, amount: float) -> None:
        if self.is_live(x.storage):
            with tg.no_grad(), pytest.raises(RuntimeError, match="a live graph still needs"):
                x.tensor.add_(amount)
            return
        with tg.no_grad():
            x.tensor.add_(amount)
        x.storage.values = x.storage.values + amount

    @rule(x=values)
    def write_through_numpy(self, x: Value) -> None:
        if self.is_live(x.storage):
            with pytest.raises(ValueError, match="read-only"):
                x.tensor.array[0] = 9.0
        else:
            x.tensor.array[0] = 0.5
            x.storage.values = np.array([0.5, *x.storage.values[1:]])

    # ---- forgetting ----

    @rule(x=consumes(values))
    def forget(self, x: Value) -> None:
        """A result that nobody holds any more: the calls that made only it let go of what they saved."""
        if x.leaf is not None:
            return
        self.everything.remove(x)
        x.tensor = None  # type: ignore[assignment]
        kept = frozenset[int]().union(*(value.calls for value in self.everything))
        self.freed |= set(self.saved) - kept

    @invariant()
    def values_and_gradients_are_those_of_the_model(self) -> None:
        for value in self.everything:
            np.testing.assert_allclose(value.tensor.tolist(), value.storage.values, rtol=1e-9, atol=1e-9)
        for name, leaf in self.leaves.items():
            if name in self.grads:
                assert leaf.tensor.grad is not None
                np.testing.assert_allclose(leaf.tensor.grad.tolist(), self.grads[name], rtol=1e-9, atol=1e-9)
            else:
                assert leaf.tensor.grad is None
        assert tg.is_grad_enabled()


TestGraphs = Graphs.TestCase
TestGraphs.settings = settings(
    max_examples=settings().max_examples, stateful_step_count=30, deadline=None, print_blob=True
)

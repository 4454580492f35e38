"""The trap for NaN and inf: the first op that makes one is named, with what came in and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import graph, nn
from tinygrad_cnn.graph import NonFiniteError
from tinygrad_cnn.modes import state


def leaf(*values: float) -> tg.Tensor:
    return tg.tensor(list(values), requires_grad=True)


def caught(function: Callable[[], Any], *kinds: str) -> NonFiniteError:
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError) as found, tg.trap(*kinds):
        function()
    return found.value


FORWARD: list[tuple[str, Callable[[], Any], str, str]] = [
    ("log", lambda: tg.log(leaf(1.0, 0.0)), "inf", r"log made inf \(1 of 2 values, the first at \[1\]\).*log of 0"),
    ("log", lambda: tg.log(leaf(-1.0)), "nan", "log of a negative number is NaN"),
    ("log", lambda: tg.log(tg.softmax(leaf(0.0, 200.0), 0)), "inf", "log_softmax is exact"),
    ("sqrt", lambda: tg.sqrt(leaf(-1.0)), "nan", "sqrt of a negative number is NaN"),
    ("rsqrt", lambda: tg.rsqrt(leaf(0.0)), "inf", "rsqrt of 0 is inf"),
    ("exp", lambda: tg.exp(leaf(200.0)), "inf", "exp overflows float32.*subtract the maximum first"),
    ("div", lambda: leaf(0.0) / 0, "nan", "A division by 0"),
    ("mul", lambda: leaf(float("inf")) * 0, "nan", r"0·inf is NaN"),
    ("sub", lambda: leaf(float("inf")) - float("inf"), "nan", "inf - inf is NaN"),
    ("pow", lambda: leaf(0.0) ** -1.0, "inf", "0 to a negative power is inf"),
    ("square", lambda: tg.square(leaf(1e30)), "inf", "overflows its dtype"),
]


@pytest.mark.parametrize(("op", "function", "kind", "message"), FORWARD, ids=[f"{c[0]}-{c[2]}" for c in FORWARD])
def test_forward_recipes(op: str, function: Callable[[], Any], kind: str, message: str) -> None:
    error = caught(function)
    assert (error.op, error.kind, error.backward, error.argument) == (op, kind, False, None)
    assert re.search(message, str(error)), str(error)
    assert "test_graph_trap.py:" in error.where


BACKWARD: list[tuple[str, Callable[[], Any], str, str]] = [
    ("sqrt", lambda: tg.sqrt(leaf(0.0, 4.0)).sum().backward(), "inf", "The slope of sqrt at 0 is infinite"),
    (
        "sqrt",
        lambda: tg.where(leaf(0.0, 4.0) > 0, tg.sqrt(leaf(0.0, 4.0)), 0.0).sum().backward(),
        "nan",
        r"The branch that where did not take sends back 0, and 0·inf is NaN: make the input safe before sqrt",
    ),
    ("sqrt", lambda: (tg.sqrt(leaf(0.0)) * 0).sum().backward(), "nan", "The incoming gradient is 0 there, and 0·inf"),
    ("pow", lambda: (leaf(0.0) ** 0.5).sum().backward(), "inf", "A power below 1 has an infinite slope at 0"),
    ("acos", lambda: tg.acos(leaf(1.0)).sum().backward(), "inf", "clamp to just inside"),
]


@pytest.mark.parametrize(("op", "function", "kind", "message"), BACKWARD)
def test_backward_recipes(op: str, function: Callable[[], Any], kind: str, message: str) -> None:
    error = caught(function)
    assert (error.op, error.kind, error.backward, error.argument) == (op, kind, True, "input")
    assert str(error).startswith(f"the gradient of {op} made ")
    assert re.search(message, str(error)), str(error)


def test_what_came_in_is_told_from_what_was_made() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model[0].weight.data[0, 1] = float("nan")
    error = caught(lambda: model(tg.ones(1, 2)))
    assert error.argument == "weight"
    assert error.path == "0"
    assert "linear passed on NaN, which came in as weight (1 of 2 values, the first at [0, 0])" in str(error)
    assert "weight: (2, 2), from" in str(error)
    x = leaf(1.0, 2.0)
    error = caught(lambda: (x * 2).backward(tg.tensor([1.0, float("inf")])))
    assert "the gradient of mul passed on inf for input" in str(error)


def test_only_the_kinds_that_are_asked_for() -> None:
    with np.errstate(all="ignore"), tg.trap("nan"):
        assert float(tg.log(leaf(0.0)).sum()) == -np.inf
    assert caught(lambda: tg.log(leaf(0.0)), "inf").kind == "inf"
    with pytest.raises(ValueError, match="trap: 'zero' is unknown, expected one of nan, inf"):
        tg.trap("zero")


def test_good_numbers_pass_and_the_trap_goes_away() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))

    @tg.trap()
    def step() -> None:
        F.cross_entropy(model(tg.ones(2, 1, 4, 4)), tg.tensor([0, 1])).backward()

    step()
    assert all(p.grad is not None for p in model.parameters())
    caught(lambda: tg.log(leaf(0.0)))
    assert state.now.observer is None
    with np.errstate(all="ignore"):
        tg.log(leaf(0.0))


def test_a_trap_works_while_a_graph_is_captured() -> None:
    error = caught(lambda: graph.capture(lambda x: tg.sqrt(x), tg.tensor([-1.0])))
    assert error.op == "sqrt"
    assert "test_graph_trap.py:" in error.where  # not a line of what passes the news on to two observers
    with np.errstate(all="ignore"), tg.trap():
        g = graph.capture(lambda x: tg.log(x * 0), tg.ones(2), on_error="draw")
    assert g.ops[0].where.startswith("test_graph_trap.py:")
    assert "log made inf" in g.ops[-1].error


def test_functions_of_linalg_are_not_the_users_line() -> None:
    x = tg.ones(3, requires_grad=True)
    assert {node.where.partition(":")[0] for node in graph.of(tg.linalg.norm(x)).ops} == {"test_graph_trap.py"}


def test_recorded_gradients_are_watched_too() -> None:
    x = leaf(0.0)
    error = caught(lambda: tg.autograd.grad(tg.sqrt(x).sum(), x, create_graph=True))
    assert error.kind == "inf"

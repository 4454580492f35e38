"""Names of PyTorch's that are not here: the error says what to use, and the docs list them rightly."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.absent import ABSENT

PAGE = Path(__file__).parent.parent / "docs/coming-from-pytorch.md"


def looked_up(name: str) -> Any:
    return reduce(getattr, name.split("."), tg)


@pytest.mark.parametrize("name", ABSENT)
def test_the_error_says_what_to_use(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"{name.rpartition('.')[2]}'; {re.escape(ABSENT[name])}$"):
        looked_up(name)
    for use in re.findall(
        r"\b(?:autograd|func|nn|optim|testing)\.[\w.]*\w|(?<=use )\w+$|(?<=it is called )\w+", ABSENT[name]
    ):
        looked_up(use)


@pytest.mark.parametrize("name", ABSENT)
def test_so_does_the_error_of_an_import(name: str) -> None:
    place, _, last = name.rpartition(".")
    with pytest.raises(ImportError, match=rf"^cannot import name '{last}' from '[\w.]+'; {re.escape(ABSENT[name])}$"):
        exec(f"from {'.'.join(('tinygrad_cnn', place)).rstrip('.')} import {last}")
    with pytest.raises(ImportError, match=r"^cannot import name 'nonsense' from 'tinygrad_cnn.autograd' \("):
        exec("from tinygrad_cnn.autograd import nonsense")


@pytest.mark.parametrize("module", [tg, tg.autograd, tg.func, tg.nn, tg.optim])
def test_other_names_are_told_as_python_does(module: Any) -> None:
    with pytest.raises(AttributeError, match=rf"^module '{module.__name__}' has no attribute 'nonsense'$"):
        module.nonsense  # noqa: B018
    assert not hasattr(module, "__wrapped__")


def test_what_the_docs_call_absent_is_absent() -> None:
    section = PAGE.read_text().partition("## What is not here")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(?:tg\.?)?([\w.]*)` \|([^|]*)\|", section, re.MULTILINE)
    places = {place: re.findall(r"`(\w+)`", names) for place, names in rows}
    assert {"", "nn", "optim", "data", "func", "Tensor"} <= set(places)
    for place, names in places.items():
        owner = looked_up(place) if place else tg
        assert names
        assert [name for name in names if hasattr(owner, name)] == [], place

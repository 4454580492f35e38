"""The default dtype, and Python's types as dtypes, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

MADE: dict[str, Callable[[Any], Any]] = {
    "tensor of floats": lambda t: t.tensor([1.5, 2.0]),
    "tensor of integers": lambda t: t.tensor([1, 2]),
    "nothing": lambda t: t.tensor([]),
    "old constructors": lambda t: (t.Tensor([1]), t.Tensor(2, 3), t.FloatTensor([1]), t.DoubleTensor(1)),
    "as_tensor": lambda t: (t.as_tensor([1.0]), t.as_tensor(np.ones(2, np.float32)), t.from_numpy(np.ones(2))),
    "filled": lambda t: (t.zeros(2), t.ones(2), t.empty(2), t.full((2,), 1.5), t.eye(2), t.full((2,), 1)),
    "sequences": lambda t: (t.arange(3), t.arange(0, 1, 0.5), t.linspace(0, 1, 3), t.logspace(0, 1, 3)),
    "drawn": lambda t: (t.rand(2), t.randn(2), t.normal(0.0, 1.0, (2,)), t.randint(3, (2,)), t.randperm(3)),
    "of integers": lambda t: (t.arange(1, 3).sqrt(), t.arange(1, 3) / 2, t.arange(1, 3).sin(), t.tensor(True).exp()),
    "integers and a number": lambda t: (t.arange(3) * 1.5, t.arange(3) + 1, t.tensor([True]) * 2.0, 2.0 ** t.arange(3)),
    "where": lambda t: (t.where(t.tensor([True]), 1.0, 2.0), t.where(t.tensor([True]), t.arange(1), 2.0)),
    "float32 and a number": lambda t: (t.ones(2, dtype=t.float32) * 1.5, t.ones(2, dtype=t.float16) / 3),
    "layers": lambda t: (t.nn.Linear(2, 3)(t.ones(1, 2)), t.nn.Parameter(t.ones(1)), t.nn.LazyLinear(2)(t.ones(1, 3))),
    "buffers": lambda t: tuple(b for b in t.nn.BatchNorm1d(2).buffers()),
    "Python's types": lambda t: (t.zeros(1, dtype=float), t.tensor([1.0], dtype=int), t.ones(1).to(float)),
    "words": lambda t: (t.ones(1).float(), t.ones(1).double(), t.arange(2).type_as(t.ones(1))),
    "result_type": lambda t: t.zeros(1, dtype=t.result_type(t.arange(2), 1.5)),
}


@pytest.fixture(params=["float16", "float32", "float64"])
def default(request: pytest.FixtureRequest) -> Iterator[str]:
    before = torch.get_default_dtype()
    for library in (tg, torch):
        library.set_default_dtype(getattr(library, request.param))
    yield request.param
    tg.set_default_dtype(tg.float32)
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", MADE)
def test_default_dtype(name: str, default: str) -> None:
    ours, theirs = MADE[name](tg), MADE[name](torch)
    if not isinstance(ours, tuple):
        ours, theirs = (ours,), (theirs,)
    assert str(tg.get_default_dtype()) == default
    assert [str(x.dtype) for x in ours] == [str(x.dtype).removeprefix("torch.") for x in theirs]


def test_the_default_dtype_is_not_printed(default: str) -> None:
    text = [repr(tg.tensor([1.5], dtype=getattr(tg, name))) for name in ("float16", "float32", "float64")]
    assert [
        name for name, words in zip(("float16", "float32", "float64"), text, strict=True) if "dtype" not in words
    ] == [default]


@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_other_dtypes_are_refused_as_default(dtype: str) -> None:
    with pytest.raises(TypeError):
        torch.set_default_dtype(getattr(torch, dtype))
    with pytest.raises(TypeError, match=f"set_default_dtype: the dtype is {dtype}, expected floats"):
        tg.set_default_dtype(getattr(tg, dtype) if dtype == "int64" else "bool")
    assert tg.get_default_dtype() == tg.float32

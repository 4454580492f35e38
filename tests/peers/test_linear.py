"""Products of matrices, einsum, the linear layer and attention, against PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from peers.compare import compare, raises_alike

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")
F = torch.nn.functional

rng = np.random.default_rng(17)


def normal(*shape: int) -> Any:
    return np.asarray(rng.normal(size=shape))


SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)),
    ((6, 5, 2, 3), (3, 4)),
    ((6, 5, 2, 3), (3,)),
    ((3,), (6, 5, 3, 4)),
    ((1, 3), (3, 1)),
    ((0, 3), (3, 4)),
    ((2, 0), (0, 4)),
    ((5, 2, 0), (0, 4)),
    ((0, 2, 3), (3, 4)),
    ((0,), (0,)),
    ((1,), (1,)),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_matmul(shapes: Any) -> None:
    a, b = normal(*shapes[0]), normal(*shapes[1])
    compare(tg.matmul, torch.matmul, a, b)
    compare(tg.matmul, torch.matmul, (a * 9).astype(np.int64), (b * 9).astype(np.int64))
    if a.ndim > 1:
        turned = np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2)
        compare(tg.matmul, torch.matmul, turned, b)


def test_sums_with_products_of_integers() -> None:
    a, b = np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)
    compare(tg.addmm, torch.addmm, np.arange(4), a, b, beta=2.5, alpha=1.5)


def test_named_products() -> None:
    a, b, batch_a, batch_b, v = normal(2, 3), normal(3, 4), normal(5, 2, 3), normal(5, 3, 4), normal(3)
    compare(tg.mm, torch.mm, a, b)
    compare(tg.mv, torch.mv, a, v)
    compare(tg.bmm, torch.bmm, batch_a, batch_b)
    compare(tg.dot, torch.dot, v, normal(3))
    compare(tg.outer, torch.outer, v, normal(4))
    compare(tg.outer, torch.outer, normal(0), normal(4))


@pytest.mark.parametrize("kwargs", [{}, {"beta": 0.5}, {"alpha": -2}, {"beta": 0, "alpha": 3}], ids=str)
def test_sums_with_products(kwargs: dict[str, Any]) -> None:
    # With beta=0 PyTorch gives the input zeros for a gradient, ours has no connection to it at all.
    orders = 0 if kwargs.get("beta") == 0 else 2
    for shape in ((2, 4), (4,), (1, 4), (2, 1), ()):
        compare(tg.addmm, torch.addmm, normal(*shape), normal(2, 3), normal(3, 4), orders=orders, **kwargs)
        compare(tg.baddbmm, torch.baddbmm, normal(*shape), normal(5, 2, 3), normal(5, 3, 4), orders=orders, **kwargs)


DIMS: list[tuple[Any, Any, Any]] = [
    ((2, 3, 4), (3, 4, 5), 2),
    ((2, 3), (3, 4), 1),
    ((2, 3), (4, 5), 0),
    ((2, 3, 4), (4, 5, 2), ([0, 2], [2, 0])),
    ((2, 3, 4), (2, 3, 4), 3),
    ((2, 3, 4), (5, 3), ([-2], [-1])),
    ((2, 0, 4), (4, 0), ([1, 2], [1, 0])),
    ((1, 3, 2), (4, 1, 5), ([0, 1], [0, 1])),
]


@pytest.mark.parametrize("case", DIMS, ids=str)
def test_tensordot(case: Any) -> None:
    compare(tg.tensordot, torch.tensordot, normal(*case[0]), normal(*case[1]), dims=case[2])


EQUATIONS: list[tuple[Any, ...]] = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ba,cb", (2, 3), (4, 2)),
    ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
    ("i,i->", (3,), (3,)),
    ("i,j->ij", (3,), (4,)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("ij->j", (2, 3)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("iij->j", (3, 3, 4)),
    ("iii->i", (3, 3, 3)),
    ("ii,ij->j", (3, 3), (3, 4)),
    ("ij,ij->i", (2, 3), (2, 3)),
    ("ij,k->ik", (2, 3), (4,)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("a,a,a->a", (3,), (3,), (3,)),
    ("...ij,...jk->...ik", (5, 2, 3), (5, 3, 4)),
    ("...ij,jk", (6, 5, 2, 3), (3, 4)),
    ("i...,j...->ij...", (2, 4), (3, 4)),
    ("...i->...", (2, 3)),
    ("...i,...i->i", (5, 3), (5, 3)),
    ("b...,b...->b...", (2, 1, 4), (2, 3, 1)),
    ("...,i->...i", (), (3,)),
    ("ij,jk->ik", (2, 1), (3, 4)),
    ("Ab,bC", (2, 3), (3, 4)),
    (" i j , j k -> i k ", (2, 3), (3, 4)),
    ("bhld,bhsd->bhls", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("ij,jk->ik", (0, 3), (3, 4)),
]


@pytest.mark.parametrize("case", EQUATIONS, ids=lambda case: case[0])
def test_einsum(case: Any) -> None:
    equation, *shapes = case
    operands = [normal(*shape) for shape in shapes]
    compare(lambda *xs: tg.einsum(equation, *xs), lambda *xs: torch.einsum(equation, *xs), *operands)
    compare(lambda xs: tg.einsum(equation, xs), lambda xs: torch.einsum(equation, xs), operands, orders=0)


@pytest.mark.parametrize("lead", [(), (5,), (2, 3), (0,)], ids=str)
def test_linear(lead: tuple[int, ...]) -> None:
    linear = tg.nn.functional.linear
    x, weight, bias = normal(*lead, 4), normal(3, 4), normal(3)
    compare(linear, F.linear, x, weight, bias)
    compare(linear, F.linear, x, weight, bias=None)
    compare(linear, F.linear, x, weight)
    if len(lead) != 1:  # there PyTorch fails
        compare(linear, F.linear, x, normal(4))
        compare(linear, F.linear, x, normal(4), normal())


def masks(length: int, source: int) -> list[Any]:
    seen = rng.random((length, source)) > 0.4
    seen[:, 0] = True
    blind = seen.copy()
    blind[1] = False
    return [None, seen, blind, normal(length, source), normal(2, 1, length, source)]


@pytest.mark.parametrize("i", range(5))
def test_attention(i: int) -> None:
    attend, theirs = tg.nn.functional.scaled_dot_product_attention, F.scaled_dot_product_attention
    q, k, v = normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 7)
    mask = masks(4, 6)[i]
    orders = 1 if i == 2 else 2
    compare(attend, theirs, q, k, v, mask, orders=orders, float32=i != 2)
    compare(attend, theirs, q, k, v, attn_mask=mask, scale=0.3, orders=orders, float32=i != 2)


def test_attention_arguments() -> None:
    attend, theirs = tg.nn.functional.scaled_dot_product_attention, F.scaled_dot_product_attention
    q, k, v = normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 7)
    compare(attend, theirs, q, k, v, is_causal=True)
    compare(attend, theirs, k, q, v[..., :4, :], is_causal=True)
    compare(attend, theirs, q[0], k[0], v[0])
    compare(attend, theirs, normal(2, 6, 4, 5), k, v, enable_gqa=True)


def test_attention_drops_weights() -> None:
    q = tg.zeros(1, 4, 8)
    k, v = tg.zeros(1, 1000, 8), tg.ones(1, 1000, 1)
    out = tg.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=0.5)
    assert out.shape == (1, 4, 1)
    assert all(0.85 < x < 1.15 for x in out.array.ravel())
    assert len(set(out.array.ravel())) > 1


def test_svdvals() -> None:
    for shape in ((3, 4), (4, 3), (2, 3, 3)):
        compare(tg.linalg.svdvals, torch.linalg.svdvals, normal(*shape), bound=1e-9)


def test_errors() -> None:
    linear, attend = tg.nn.functional.linear, tg.nn.functional.scaled_dot_product_attention
    a = normal(2, 3)
    raises_alike(
        tg.matmul,
        torch.matmul,
        a,
        normal(4, 5),
        match=r"matmul: input is \(2, 3\), other is \(4, 5\): 3 columns against 4 rows — at .*compare.py:\d+",
    )
    raises_alike(
        tg.matmul, torch.matmul, a, normal(), match=r"matmul: input is \(2, 3\), other is \(\): expected at least"
    )
    raises_alike(tg.matmul, torch.matmul, normal(2, 2, 3), normal(3, 3, 2), match=r"matmul: ")
    raises_alike(
        tg.matmul,
        torch.matmul,
        a,
        normal(3, 4).astype(np.float32),
        match=r"matmul: input is float64, other is float32: expected one dtype",
    )
    raises_alike(tg.mm, torch.mm, a, normal(3), match=r"mm: \(2, 3\) and \(3,\), expected 2 and 2 dimensions")
    raises_alike(tg.mv, torch.mv, a, normal(3, 4), match=r"mv: \(2, 3\) and \(3, 4\), expected 2 and 1 dimensions")
    raises_alike(tg.bmm, torch.bmm, normal(1, 2, 3), normal(4, 3, 2), match=r"bmm: .*, expected one batch size")
    raises_alike(tg.dot, torch.dot, normal(3), normal(4), match=r"matmul: input is \(3,\), other is \(4,\)")
    raises_alike(tg.outer, torch.outer, a, normal(3), match=r"outer: \(2, 3\) and \(3,\), expected two vectors")
    raises_alike(
        tg.addmm,
        torch.addmm,
        normal(3),
        a,
        normal(3, 4),
        match=r"addmm: input is \(3,\), the product \(2, 4\): expected",
    )
    raises_alike(
        tg.tensordot, torch.tensordot, a, normal(4, 5), 1, match=r"tensordot: .*: the lengths \[3\] meet \[4\]"
    )
    for equation, match in (
        ("ij,jk->ik", r"einsum: 'ij,jk->ik' has 2 terms, there are 1 operands"),
        ("ijk", r"einsum: term 0 of 'ijk' is 'ijk', operand 0 is \(2, 3\)"),
        ("i", r"einsum: term 0 of 'i' is 'i', operand 0 is \(2, 3\)"),
        ("ij->ik", r"einsum: the output of 'ij->ik' is 'ik', expected letters of the terms"),
        ("ij->ii", r"einsum: the output of 'ij->ii' is 'ii', expected letters of the terms, each once"),
        ("i1->i", r"einsum: term 0 of 'i1->i' is 'i1', expected letters"),
        ("ii", r"einsum: label 'i' has length 2 and 3"),
    ):
        raises_alike(lambda x, e=equation: tg.einsum(e, x), lambda x, e=equation: torch.einsum(e, x), a, match=match)
    raises_alike(
        linear, F.linear, a, normal(5, 4), match=r"linear: input has 3 features \(2, 3\), weight expects 4 \(5, 4\)"
    )
    raises_alike(linear, F.linear, a, normal(5, 3), normal(4), match=r"linear: bias is \(4,\), weight expects \(5,\)")
    q = normal(2, 3, 4)
    raises_alike(
        attend, F.scaled_dot_product_attention, q, q, q, np.ones((3, 3), bool), 0.0, True, match=r"is_causal is True"
    )
    assert math.isnan(tg.addmm(tg.full((1,), math.nan), tg.ones(1, 1), tg.ones(1, 1)).item())
    assert tg.addmm(tg.full((1,), math.nan), tg.ones(1, 1), tg.ones(1, 1), beta=0).item() == 1.0

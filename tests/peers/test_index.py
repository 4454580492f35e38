"""Reading and writing by position, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from peers.compare import compare, raises_alike

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")
F = torch.nn.functional

rng = np.random.default_rng(13)
X = rng.normal(size=(3, 4, 5))
MATRIX = rng.normal(size=(3, 4))
VECTOR = rng.normal(size=6)
NUMBER = np.array(2.5)
TIES = np.array([[2.0, 1.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 3.0, -1.0, 3.0]])
NANS = np.array([[2.0, np.nan, 1.0, np.nan], [np.inf, 0.0, -np.inf, np.nan]])


def array(*values: Any, dtype: Any = np.int64) -> Any:
    return np.array(values, dtype)


MASK = MATRIX > 0
LAST = VECTOR[:5] > 0

INDICES: list[Any] = [
    1,
    -1,
    slice(1, 3),
    slice(None, None, 2),
    slice(-2, None),
    slice(3, 1),
    None,
    Ellipsis,
    (),
    (0, 1, 2),
    (Ellipsis, 0),
    (1, Ellipsis, slice(2)),
    (slice(None), None, 2),
    (None, 0, None, slice(1, 2), Ellipsis, None),
    True,
    False,
    [0, 2],
    [],
    [0, 2, 0, 0],
    (slice(None), [3, 0, 3]),
    ([0, 2], [1, 1]),
    ([0, 2], slice(None), [1, 1]),
    (0, slice(None), [1, 1]),  # PyTorch takes the 0 first; NumPy has another order of dimensions here
    ([0, 1], 2, [1, 1]),
    (slice(None), 0, [1, 1]),
    (None, [0, 1]),
    ([0, 1], None, [1, 1]),
    ([0, 1], True),
    ([0, 1], slice(1, 3), slice(None, None, 2)),
    (slice(1, 3), [[0, 1], [1, 3]], [0, 4]),
    (Ellipsis, [0, 0], None),
    array(2, 0, -1),
    array([0, 1], [2, 2]),
    array(1)[0],
    np.array(1),
    np.int64(2),
    np.array([0, 2], np.int32),
    (array([0], [2]), array(1, 3, 1)),
    (slice(None), array(1, 1), array(0, 0)),
    MASK,
    np.zeros((3, 4), bool),
    (MASK, 2),
    (MASK, array(1)),
    (slice(None), slice(None), LAST),
    (Ellipsis, LAST),
    (1, slice(None), LAST),
    (X > 0),
    (VECTOR[:3] > 0, [1]),
    (None, MASK, None),
    array(0, 1, 1, 2, 2, 2),
]


def as_theirs(index: Any) -> Any:
    """The same index with torch's tensors in the place of arrays, and of NumPy's integers."""
    if isinstance(index, tuple):
        return tuple(map(as_theirs, index))
    if isinstance(index, np.generic):
        return index.item()
    return torch.from_numpy(index) if isinstance(index, np.ndarray) else index


def as_ours(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(as_ours, index))
    return tg.tensor(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", INDICES, ids=lambda i: str(i).replace("\n", ""))
def test_getitem(index: Any) -> None:
    theirs = as_theirs(index)
    for given in (as_ours(index), index):  # Tensors and ndarrays as indices
        compare(lambda x, i=given: tg.getitem(x, i), lambda x: x[theirs], X)
    compare(lambda x: tg.getitem(x, index), lambda x: x[theirs], (X * 10).astype(np.int64))


@pytest.mark.parametrize("index", INDICES, ids=lambda i: str(i).replace("\n", ""))
def test_setitem(index: Any) -> None:
    theirs = as_theirs(index)
    result = X[index] if not _differs(index) else torch.from_numpy(X)[theirs].numpy()

    def put(x: Any, v: Any) -> Any:
        x = x.clone()
        x[theirs] = v
        return x

    once = _without_repeats(index)
    compare(lambda x, v: tg.index_put(x, index, v), put, X, NUMBER, orders=2 if once else 0)
    if once:
        values = np.asarray(rng.normal(size=result.shape))
        compare(lambda x, v: tg.index_put(x, index, v), put, X, values)
        compare(lambda x, v: tg.index_put(x, index, v), put, X, values[None])


def _differs(index: Any) -> bool:
    return isinstance(index, tuple) and any(isinstance(i, (list, np.ndarray)) for i in index)


def _without_repeats(index: Any) -> bool:
    positions = tg.getitem(tg.tensor(np.arange(X.size).reshape(X.shape)), index).array
    return len(np.unique(positions)) == positions.size


def test_index_put_adds_up_repeats() -> None:
    for indices, shape in (
        ((array(0, 2, 0), array(1, 1, 1)), (3, 5)),
        ((array([0], [2]), array(1, 1)), (2, 2, 1)),
        ((array(0, 0),), (1, 4, 5)),
        ((MASK,), (1,)),
    ):
        values = rng.normal(size=shape)
        theirs = as_theirs(indices)
        for accumulate in (True, False):
            compare(
                lambda x, v, i=indices, a=accumulate: tg.index_put(x, as_ours(i), v, a),
                lambda x, v, i=theirs, a=accumulate: torch.index_put(x, i, v, a),
                X,
                values,
                orders=2 if accumulate else 0,
            )


def test_a_later_change_of_an_index_changes_no_gradient() -> None:
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    for index in (np.array([0, 0]), np.array([True, False, False])):
        y = tg.getitem(x, index)
        index[:] = ~index.astype(bool)
        y.sum().backward()
        assert x.grad.tolist()[1:] == [0.0, 0.0]
        x.grad = None


def test_basic_indices_give_views() -> None:
    x = tg.tensor(X)
    assert np.shares_memory(tg.getitem(x, (0, slice(1, 3))).array, x.array)
    assert not np.shares_memory(tg.getitem(x, [0, 1]).array, x.array)


ALONG: list[tuple[Any, int, Any]] = [
    (MATRIX, 0, array([0, 2, 1, 0], [1, 1, 1, 1])),
    (MATRIX, 1, array([0, 3], [2, 2], [1, 0])),
    (MATRIX, -1, array([1, 1, 1, 1, 0], [2, 2, 3, 0, 0])),
    (MATRIX, 1, np.zeros((0, 4), np.int64)),
    (VECTOR, 0, np.zeros((2, 0), np.int64)),
    (X, 1, rng.integers(0, 4, (3, 6, 5))),
    (X, 2, rng.integers(0, 5, (2, 3, 4))),
    (X.transpose(2, 0, 1), 0, rng.integers(0, 5, (7, 3, 4))),
    (VECTOR, 0, array(5, 0, 0)),
    (VECTOR, 0, np.array(4)),
    (NUMBER, 0, np.array(0)),
]


@pytest.mark.parametrize("case", ALONG, ids=range(len(ALONG)))
def test_gather_and_scatter(case: tuple[Any, int, Any]) -> None:
    x, dim, index = case
    compare(tg.gather, torch.gather, x, dim, index)
    compare(tg.gather, torch.gather, np.asarray(x > 0), dim, index, sparse_grad=False)
    src = np.asarray(rng.normal(size=index.shape))
    compare(tg.scatter_add, torch.scatter_add, x, dim, index, src)
    if index.ndim:
        larger = np.asarray(rng.normal(size=tuple(n + 2 for n in index.shape)))
        compare(tg.scatter_add, torch.scatter_add, x, dim, index, larger, orders=0)  # PyTorch has no gradient here


@pytest.mark.parametrize("case", [(MATRIX, 0, array([0, 2, 1, 0], [1, 1, 0, 2])), (VECTOR, 0, array(5, 0))])
def test_scatter(case: tuple[Any, int, Any]) -> None:
    x, dim, index = case
    compare(tg.scatter, torch.scatter, x, dim, index, np.asarray(rng.normal(size=index.shape)))
    compare(tg.scatter, torch.scatter, x, dim, index, 1.5)


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
@pytest.mark.parametrize("reduce", ["add", "multiply"])
@pytest.mark.parametrize("case", ALONG, ids=range(len(ALONG)))
def test_scatter_that_adds_or_multiplies(case: tuple[Any, int, Any], reduce: str) -> None:
    x, dim, index = case
    src, kind = np.asarray(rng.normal(size=index.shape)), "sum" if reduce == "add" else "prod"
    if src.size > 1:
        src.flat[0] = 0.0
    for source in (src, 1.5):  # PyTorch has the gradients of its newer function only
        compare(tg.scatter, torch.scatter, x, dim, index, source, reduce=reduce, orders=0)
    compare(
        lambda a, s: tg.scatter(a, dim, tg.tensor(index), s, reduce=reduce),
        lambda a, s: torch.scatter_reduce(a, dim, torch.tensor(index), s, kind),
        *(x, src),
        orders=1 if reduce == "multiply" else 2,  # its second gradient fails where src is 0
    )
    numbers = np.asarray(rng.integers(-3, 4, x.shape))
    for value in (2, 2.5, True):
        compare(tg.scatter, torch.scatter, numbers, dim, index, value, reduce=reduce)
    ours, theirs = tg.tensor(x), torch.tensor(x)
    ours.scatter_(dim, tg.tensor(index), value=0.5, reduce=reduce)
    theirs.scatter_(dim, torch.tensor(index), value=0.5, reduce=reduce)
    np.testing.assert_allclose(ours.array, theirs.numpy(), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
def test_scatter_of_a_value_by_name() -> None:
    index = array([0, 2, 1, 0])
    compare(tg.scatter, torch.scatter, MATRIX, 0, index, value=1.5)
    message = "scatter: reduce is 'prod', expected 'add' or 'multiply'"
    raises_alike(tg.scatter, torch.scatter, MATRIX, 0, index, 1.0, reduce="prod", match=message)
    raises_alike(tg.scatter, torch.scatter, MATRIX, 0, index, match="scatter: src is None, value None, expected one of")
    raises_alike(
        tg.scatter, torch.scatter, MATRIX, 0, array([9]), MATRIX[:1], reduce="multiply", match="scatter: an index is 9"
    )


KINDS = ["sum", "prod", "mean", "amax", "amin"]


@pytest.mark.filterwarnings("ignore:scatter_reduce.. is in beta")
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", KINDS)
@pytest.mark.parametrize("case", ALONG, ids=range(len(ALONG)))
def test_scatter_reduce(case: tuple[Any, int, Any], reduce: str, include_self: bool) -> None:
    x, dim, index = case
    src = np.asarray(rng.normal(size=index.shape))
    options = {"reduce": reduce, "include_self": include_self}
    compare(tg.scatter_reduce, torch.scatter_reduce, x, dim, index, src, **options)
    if src.size > 1:
        src.flat[: 2 * src.size // 3] = 0.0  # ties, and zeros, where PyTorch has no second gradient
    compare(tg.scatter_reduce, torch.scatter_reduce, np.asarray(abs(x)), dim, index, src, orders=1, **options)
    larger = np.asarray(rng.normal(size=tuple(n + 2 for n in index.shape)))  # PyTorch has no gradient here
    compare(tg.scatter_reduce, torch.scatter_reduce, x, dim, index, larger, orders=0, **options)
    numbers, more = (rng.integers(-3, 4, shape) for shape in (x.shape, index.shape))
    for dtype in (np.int64, np.int8) if reduce == "mean" else (np.int64, np.bool_):
        compare(
            tg.scatter_reduce, torch.scatter_reduce, numbers.astype(dtype), dim, index, more.astype(dtype), **options
        )
    ours, theirs = tg.tensor(x), torch.tensor(x)
    assert ours.scatter_reduce_(dim, tg.tensor(index), tg.tensor(src), **options) is ours
    theirs.scatter_reduce_(dim, torch.tensor(index), torch.tensor(src), **options)
    np.testing.assert_allclose(ours.array, theirs.numpy(), rtol=1e-12, atol=1e-15)


def test_scatter_reduce_where_pytorch_has_no_right_gradient() -> None:
    """An element that is left out and happens to equal the result, a larger source, NaN, and two zeros."""
    index = tg.tensor([0, 0, 2])

    def gradients(x: list[float], src: list[float], *how: Any, include_self: bool = True) -> list[Any]:
        leaves = tg.tensor(x, requires_grad=True), tg.tensor(src, requires_grad=True)
        out = tg.scatter_reduce(leaves[0], 0, index, leaves[1], *how, include_self=include_self)
        return [g.tolist() for g in tg.autograd.grad(out.sum(), leaves)]

    assert gradients([4.0, 2, 3], [4.0, 1, 7], "amax", include_self=False) == [[0, 1, 0], [1, 0, 1]]
    nan = float("nan")
    assert gradients([4.0, 2, 3], [nan, nan, 1], "amax") == [[0, 1, 1], [0.5, 0.5, 0]]
    for reduce in KINDS:
        _, g = gradients([4.0, 2, 3], [5.0, 6, 1, 9], reduce)
        assert (g[3], len(g)) == (0, 4)
    x, src = np.array([2.0, 3.0, 4.0]), np.array([0.0, 0.0, 0.0])
    for include_self in (True, False):  # against the same product written out
        compare(
            lambda x, s, own=include_self: tg.scatter_reduce(x, 0, index, s, "prod", include_self=own),
            lambda x, s, own=include_self: torch.stack(
                [s[0] * s[1] * (x[0] if own else 1), x[1], s[2] * (x[2] if own else 1)]
            ),
            *(x, src),
        )


def test_what_scatter_reduce_refuses() -> None:
    index, src = array([0, 2, 1, 0]), MATRIX[:1]
    both = tg.scatter_reduce, torch.scatter_reduce
    message = "scatter_reduce: reduce is 'multiply', expected 'sum', 'prod', 'mean', 'amax' or 'amin'"
    raises_alike(*both, MATRIX, 0, index, src, "multiply", match=message)
    for reduce in KINDS:
        raises_alike(*both, MATRIX, 0, index, 1.5, reduce, match="scatter_reduce: src is 1.5, expected a tensor")
        raises_alike(*both, MATRIX, 0, array([9]), src, reduce, match="an index is 9, expected 0 to 2")
        raises_alike(*both, MATRIX, 0, index, src[:, :2], reduce, match=r"src is \(1, 2\), index is \(1, 4\)")
        raises_alike(*both, MATRIX, 0, index, src.astype(np.float32), reduce, match="src is float32, expected float64")


def test_the_gradient_of_a_larger_source_is_zero_outside() -> None:
    for op in (tg.scatter, tg.scatter_add):
        src = tg.ones(3, 3, requires_grad=True)
        op(tg.zeros(2, 2), 0, tg.tensor([[0, 1]]), src).sum().backward()
        assert src.grad.tolist() == [[1.0, 1.0, 0.0], [0.0] * 3, [0.0] * 3]


def test_take_along_dim() -> None:
    order = np.argsort(MATRIX, axis=1)
    compare(tg.take_along_dim, torch.take_along_dim, MATRIX, order, 1)
    compare(tg.take_along_dim, torch.take_along_dim, MATRIX, order[:1], dim=1)
    compare(tg.take_along_dim, torch.take_along_dim, MATRIX[:1], order, dim=-1)
    compare(tg.take_along_dim, torch.take_along_dim, MATRIX, -1 - order, dim=-1)
    compare(tg.take_along_dim, torch.take_along_dim, MATRIX, array([3, 1], [11, 3]))


def test_masked_select() -> None:
    compare(tg.masked_select, torch.masked_select, MATRIX, MASK)
    compare(tg.masked_select, torch.masked_select, MATRIX, MASK[0])
    compare(tg.masked_select, torch.masked_select, MATRIX[0], MASK)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_slices(dim: int) -> None:
    for index in (array(2, 0, 0), array(), np.array(1), np.array([1, 0], np.int32)):
        compare(tg.index_select, torch.index_select, X, dim, index)
        n = index.size
        shape = tuple(n if d == dim % 3 else length for d, length in enumerate(X.shape))
        source = rng.normal(size=shape)
        compare(tg.index_add, torch.index_add, X, dim, index, source)
        compare(tg.index_add, torch.index_add, X, dim, index, source, alpha=-2.5)
    compare(tg.index_select, torch.index_select, NUMBER, 0, array(0))
    many = rng.integers(0, 3, 40)  # positions that come often are added up in another way
    compare(tg.index_add, torch.index_add, X, 0, many, rng.normal(size=(40, 4, 5)))


def test_embedding() -> None:
    weight = rng.normal(size=(5, 3))
    compare(tg.nn.functional.embedding, F.embedding, array(), weight, orders=1)  # PyTorch's second gradient fails
    for input in (array([0, 4, 4], [1, 0, 2]), np.array(3), np.array([1, 1], np.int32)):
        compare(tg.nn.functional.embedding, F.embedding, input, weight)
        compare(tg.nn.functional.embedding, F.embedding, input, weight, padding_idx=4)
        compare(tg.nn.functional.embedding, F.embedding, input, weight, -1)


def test_embedding_scales_gradients_by_frequency() -> None:
    weight, index = rng.normal(size=(5, 3)), array([0, 4, 4], [4, 0, 2])
    for padding in (None, 4):
        how: dict[str, Any] = {"scale_grad_by_freq": True, "padding_idx": padding}
        compare(tg.nn.functional.embedding, F.embedding, index, weight, orders=1, **how)
    # The gradient of the gradient is divided as well; PyTorch forgets it there.
    ours, g = tg.tensor(weight, requires_grad=True), tg.ones(2, 3, 3, dtype=tg.float64, requires_grad=True)
    out = tg.nn.functional.embedding(tg.tensor(index), ours, scale_grad_by_freq=True)
    (first,) = tg.autograd.grad(out, ours, g, create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), g)
    np.testing.assert_allclose(second.array[..., 0], 1 / np.bincount(index.ravel())[index], rtol=1e-15)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, float("inf"), 0.0])
@pytest.mark.parametrize("max_norm", [0.0, 1.0, 1.7, 100.0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_embedding_shortens_the_rows_that_it_looks_up(dtype: str, max_norm: float, norm_type: float) -> None:
    weight = rng.normal(size=(5, 3)).astype(dtype)
    for index in (array([0, 4, 4], [4, 0, 2]), np.array(3), np.zeros((0,), np.int64)):
        ours, theirs = tg.tensor(weight, requires_grad=True), torch.tensor(weight, requires_grad=True)
        how: dict[str, Any] = {"max_norm": max_norm, "norm_type": norm_type, "padding_idx": 2}
        out = tg.nn.functional.embedding(tg.tensor(index), ours, **how)
        expected = F.embedding(torch.tensor(index), theirs, **how)
        (out * out).sum().backward(), (expected * expected).sum().backward()
        for a, b in ((out, expected), (ours, theirs), (ours.grad, theirs.grad)):
            np.testing.assert_allclose(
                a.detach().numpy(), b.detach().numpy(), rtol=1e-12 if dtype == "float64" else 1e-5, atol=1e-30
            )


def test_embedding_shortens_nothing_that_a_graph_needs() -> None:
    weight = tg.tensor([[3.0, 4.0], [0.1, 0.1]], requires_grad=True)
    square = weight * weight
    with pytest.raises(RuntimeError, match=r"^embedding: max_norm=1.0 shortens rows of the weight in place.*\(mul at"):
        tg.nn.functional.embedding(tg.tensor([0]), weight, max_norm=1.0)
    tg.nn.functional.embedding(tg.tensor([1]), weight, max_norm=1.0)  # nothing to shorten
    square.sum().backward()
    tg.nn.functional.embedding(tg.tensor([0]), weight, max_norm=1.0)
    np.testing.assert_allclose(weight.detach().numpy(), [[0.6, 0.8], [0.1, 0.1]], rtol=1e-6)


def test_one_hot() -> None:
    for x in (array([0, 2], [1, 1]), array(3), np.array(2)):
        compare(tg.nn.functional.one_hot, F.one_hot, x)
        compare(tg.nn.functional.one_hot, F.one_hot, x, 6)
    compare(tg.nn.functional.one_hot, F.one_hot, array(), 3)


def test_nonzero() -> None:
    for x in (TIES, NANS, MASK, VECTOR, NUMBER, np.zeros((2, 0))):
        compare(tg.nonzero, torch.nonzero, x)
        compare(tg.nonzero, torch.nonzero, x, as_tuple=True)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_order(dim: int, descending: bool) -> None:
    for x in (MATRIX, TIES, NANS, TIES.astype(np.int64), MASK):
        orders = 0 if np.isnan(x).any() else 2
        compare(
            lambda v: tg.sort(v, dim, descending),
            lambda v: torch.sort(v, dim=dim, descending=descending, stable=True),
            x,
            orders=orders,
        )
        compare(tg.argsort, torch.argsort, x, dim=dim, descending=descending, stable=True)
    compare(tg.sort, torch.sort, X, dim, descending)
    compare(tg.sort, torch.sort, NUMBER)
    compare(tg.argsort, torch.argsort, NUMBER, 0, descending)


@pytest.mark.parametrize("largest", [False, True])
def test_topk(largest: bool) -> None:
    for k in (0, 1, 3):
        compare(tg.topk, torch.topk, X, k, 0, largest)
        compare(tg.topk, torch.topk, X, k, largest=largest)
    compare(tg.topk, torch.topk, NUMBER, 1)


def test_errors() -> None:
    def raises(f: Any, index: Any, match: str) -> None:
        raises_alike(lambda x: f(x, index), lambda x: x[as_theirs(index)], X, match=match)

    raises(tg.getitem, 3, r"getitem: index 3 is out of bounds for axis 0 with size 3")
    raises(tg.getitem, (0, 0, 0, 0), r"getitem: too many indices")
    raises(tg.getitem, ([0], 0, 0, 0), r"getitem: the index has 4 dimensions, the input is \(3, 4, 5\)")
    raises(tg.getitem, [0, 3], r"getitem: index 3 is out of bounds")
    raises(tg.getitem, MASK[:2], r"getitem: the mask is \(2, 4\), the dimensions that it selects from are \(3, 4\)")
    raises(tg.getitem, VECTOR, r"getitem: an index is float64, expected integers or booleans")
    with pytest.raises(IndexError, match=r"an index is uint8, expected .*; .bool\(\) makes it a mask"):
        tg.getitem(tg.tensor(X), np.zeros(3, np.uint8))
    with pytest.raises(IndexError, match=r"getitem: the index has 2 times '...', expected one"):
        tg.getitem(tg.tensor(X), ([0], Ellipsis, Ellipsis))
    raises_alike(
        lambda x, v: tg.index_put(x, (as_ours(array(0, 1)),), v),
        lambda x, v: torch.index_put(x, (torch.tensor([0, 1]),), v),
        X,
        rng.normal(size=(3, 4, 5)),
        match=r"index_put: values are \(3, 4, 5\), the index selects \(2, 4, 5\)",
    )
    raises_alike(tg.gather, torch.gather, MATRIX, 1, array([4]), match=r"gather: an index is 4, expected 0 to 3")
    raises_alike(tg.gather, torch.gather, MATRIX, 1, array([-1]), match=r"gather: an index is -1, expected 0 to 3")
    raises_alike(
        tg.gather, torch.gather, MATRIX, 1, array(1), match=r"gather: index has 1 dimensions \(1,\), the input 2"
    )
    raises_alike(
        tg.gather,
        torch.gather,
        MATRIX,
        1,
        np.zeros((4, 1), int),
        match=r"gather: index is \(4, 1\), the input \(3, 4\)",
    )
    raises_alike(tg.gather, torch.gather, MATRIX, 1, MATRIX, match=r"gather: index is float64, expected integers")
    raises_alike(
        tg.scatter_add,
        torch.scatter_add,
        MATRIX,
        0,
        array([0, 1]),
        MATRIX[:, :1],
        match=r"scatter_add: src is \(3, 1\), index is \(1, 2\)",
    )
    raises_alike(
        tg.index_select, torch.index_select, X, 0, array(3), match=r"index_select: an index is 3, expected 0 to 2"
    )
    raises_alike(tg.index_select, torch.index_select, X, 0, array([1]), match=r"index_select: index is int64 \(1, 1\)")
    raises_alike(
        tg.index_add, torch.index_add, X, 0, array(1), X, match=r"index_add: source is .* expected \(1, 4, 5\)"
    )
    weight = rng.normal(size=(5, 3))
    functional = tg.nn.functional
    raises_alike(
        functional.embedding, F.embedding, array(5), weight, match=r"embedding: an index is 5, expected 0 to 4"
    )
    raises_alike(
        functional.embedding, F.embedding, VECTOR, weight, match=r"embedding: input is float64, expected integers"
    )
    raises_alike(
        functional.embedding, F.embedding, array(1), weight, 5, match=r"embedding: padding_idx is 5, weight has 5"
    )
    raises_alike(
        functional.embedding, F.embedding, array(-1), weight, max_norm=1.0, match=r"embedding: an index is -1, expected"
    )
    raises_alike(functional.one_hot, F.one_hot, array(3), 3, match=r"one_hot: an index is 3, expected 0 to 2")
    raises_alike(functional.one_hot, F.one_hot, array(), match=r"one_hot: the input is empty, expected num_classes")
    raises_alike(tg.topk, torch.topk, VECTOR, 7, match=r"topk: k is 7, dimension -1 has 6 elements")
    raises_alike(tg.masked_select, torch.masked_select, X, X, match=r"masked_select: mask is float64, expected bool")


@pytest.mark.parametrize("dim", [None, 0, -1])
@pytest.mark.parametrize("dtype", ["int64", "float32", "bool"])
def test_unique(dtype: str, dim: int | None) -> None:
    x = np.array([[1, 0, 1], [1, 0, 1], [2, 2, 0]]).astype(dtype)
    options = {"return_inverse": True, "return_counts": True, "dim": dim}
    ours, theirs = tg.unique(tg.tensor(x), **options), torch.unique(torch.tensor(x), **options)
    for a, b in zip(ours, theirs, strict=True):
        assert (a.tolist(), str(a.dtype)) == (b.tolist(), str(b.numpy().dtype))
    assert tg.tensor(x).unique().tolist() == torch.tensor(x).unique().tolist()


@pytest.mark.parametrize("weights", [None, np.array([0.5, 1.0, 2.0], np.float32), np.array([0.5, 1.0, 2.0])])
@pytest.mark.parametrize("minlength", [0, 6])
def test_bincount(weights: Any, minlength: int) -> None:
    x = np.array([3, 0, 3])
    ours = tg.bincount(tg.tensor(x), None if weights is None else tg.tensor(weights), minlength)
    theirs = torch.bincount(torch.tensor(x), None if weights is None else torch.tensor(weights), minlength)
    assert (ours.tolist(), str(ours.dtype)) == (theirs.tolist(), str(theirs.numpy().dtype))
    with pytest.raises(ValueError, match=r"bincount: input is int64 \(1,\), expected integers \(N,\), none below 0"):
        tg.bincount(tg.tensor([-1]))
    with pytest.raises(ValueError, match=r"bincount: weights have shape \(2,\), the input \(1,\)"):
        tg.bincount(tg.tensor([1]), tg.ones(2))

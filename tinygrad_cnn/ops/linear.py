"""Products of matrices: matmul and its kin, einsum, the linear layer, attention."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_cnn import kernels
from tinygrad_cnn.autograd import Array, array_of, broadcast_to, composite, op, sum_to
from tinygrad_cnn.ops.activation import dropout, softmax
from tinygrad_cnn.ops.elementwise import masked_fill, where
from tinygrad_cnn.ops.reduce import sum
from tinygrad_cnn.ops.shape import permute, transpose

if TYPE_CHECKING:
    from tinygrad_cnn.tensor import Tensor

__all__ = [
    "addmm",
    "baddbmm",
    "bmm",
    "dot",
    "einsum",
    "linear",
    "matmul",
    "mm",
    "mv",
    "outer",
    "scaled_dot_product_attention",
    "tensordot",
]

Shape = tuple[int, ...]


# ---- matmul ------------------------------------------------------------------------------------------------


@op
def matmul(input: Array, other: Array) -> Any:
    """The product of matrices (*, M, K) and (*, K, N) as (*, M, N); the leading dimensions broadcast.

    A vector on the left is a row, on the right a column, and that dimension is missing in the result.

    >>> import tinygrad_cnn as tg
    >>> tg.matmul(tg.ones(2, 3), tg.ones(3, 4)).shape, tg.matmul(tg.ones(5, 2, 3), tg.ones(3)).shape
    ((2, 4), (5, 2))
    """
    if not input.ndim or not other.ndim:
        raise ValueError(f"input is {input.shape}, other is {other.shape}: expected at least 1 dimension in both")
    rows = other.shape[-2] if other.ndim > 1 else other.shape[0]
    if input.shape[-1] != rows:
        raise ValueError(
            f"input is {input.shape}, other is {other.shape}: {input.shape[-1]} columns against {rows} rows"
        )
    _check_dtypes(input=input, other=other)
    if input.ndim > 2 and other.ndim == 2:  # one large product, where NumPy would make many small ones
        return kernels.matmul(_rows(input), other).reshape(*input.shape[:-1], other.shape[1])
    return kernels.matmul(input, other)


@matmul.vjp("input")
def matmul_grad_input(g: Array, other: Array, input_shape: Shape) -> Array:
    g, other = _as_matrices(g, input_shape, other)
    return _to_shape(matmul(g, transpose(other, -2, -1)), input_shape)


@matmul.vjp("other")
def matmul_grad_other(g: Array, input: Array, other_shape: Shape) -> Array:
    if input.ndim == 1:
        g = g.reshape((*g.shape[:-1], 1, *g.shape[-1:]) if len(other_shape) > 1 else (1, 1))
        input = input.reshape((1, *input.shape))
    elif len(other_shape) == 1:
        g = g.reshape((*g.shape, 1))
    if len(other_shape) <= 2:  # the sum over the leading dimensions is part of one large product
        return matmul(transpose(_rows(input), 0, 1), _rows(g)).reshape(other_shape)
    return _to_shape(matmul(transpose(input, -2, -1), g), other_shape)


def _rows(x: Array) -> Array:
    """All rows of (*, K) as one matrix (rows, K)."""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def _as_matrices(g: Array, input_shape: Shape, other: Array) -> tuple[Array, Array]:
    """The incoming gradient and the right factor of a product, with the dimension put back that a vector lacks."""
    if other.ndim == 1:
        g, other = g.reshape((*g.shape, 1)), other.reshape((*other.shape, 1))
    if len(input_shape) == 1:
        g = g.reshape((*g.shape[:-1], 1, g.shape[-1]))
    return g, other


def _to_shape(g: Array, shape: Shape) -> Array:
    """Sum the leading dimensions that were broadcast, and drop the one that a vector lacks."""
    matrix = shape if len(shape) > 1 else (1, *shape)
    return sum_to(g, shape=matrix).reshape(shape)


def _check_dtypes(**arrays: np.ndarray[Any, Any]) -> None:
    dtypes = {x.dtype for x in arrays.values()}
    if len(dtypes) > 1:
        facts = ", ".join(f"{name} is {x.dtype}" for name, x in arrays.items())
        raise TypeError(f"{facts}: expected one dtype")


def _product(name: str, input: Array, other: Array, ndims: tuple[int, int]) -> Tensor:
    """matmul of arrays that must have these numbers of dimensions; leading dimensions must be equal."""
    if (input.ndim, other.ndim) != ndims:
        raise ValueError(f"{name}: {input.shape} and {other.shape}, expected {ndims[0]} and {ndims[1]} dimensions")
    if ndims == (3, 3) and input.shape[0] != other.shape[0]:
        raise ValueError(f"{name}: {input.shape} and {other.shape}, expected one batch size")
    return matmul(input, other)


def mm(input: Array, mat2: Array) -> Tensor:
    """The product of two matrices (M, K) and (K, N).

    >>> import tinygrad_cnn as tg
    >>> tg.mm(tg.ones(2, 3), tg.ones(3, 4)).shape
    (2, 4)
    """
    return _product("mm", input, mat2, (2, 2))


def mv(input: Array, vec: Array) -> Tensor:
    """The product of a matrix (M, K) and a vector (K,).

    >>> import tinygrad_cnn as tg
    >>> tg.mv(tg.ones(2, 3), tg.ones(3))
    tensor([3., 3.])
    """
    return _product("mv", input, vec, (2, 1))


def bmm(input: Array, mat2: Array) -> Tensor:
    """The products of two batches of matrices (B, M, K) and (B, K, N).

    >>> import tinygrad_cnn as tg
    >>> tg.bmm(tg.ones(5, 2, 3), tg.ones(5, 3, 4)).shape
    (5, 2, 4)
    """
    return _product("bmm", input, mat2, (3, 3))


def dot(input: Array, tensor: Array) -> Tensor:
    """The inner product of two vectors.

    >>> import tinygrad_cnn as tg
    >>> tg.dot(tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0]))
    tensor(11.)
    """
    return _product("dot", input, tensor, (1, 1))


def outer(input: Array, vec2: Array) -> Tensor:
    """Each element of one vector (M,) times each of another (N,): (M, N).

    >>> import tinygrad_cnn as tg
    >>> tg.outer(tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    if (input.ndim, vec2.ndim) != (1, 1):
        raise ValueError(f"outer: {input.shape} and {vec2.shape}, expected two vectors")
    products: Tensor = input.reshape((-1, 1)) * vec2.reshape((1, -1))
    return products


@composite
def addmm(input: Array, mat1: Array, mat2: Array, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · input + alpha · (mat1 @ mat2), for matrices (M, K) and (K, N); the input broadcasts to (M, N).

    >>> import tinygrad_cnn as tg
    >>> tg.addmm(tg.ones(2), tg.ones(2, 3), tg.ones(3, 2))
    tensor([[4., 4.],
            [4., 4.]])
    """
    return _add("addmm", input, _product("addmm", mat1, mat2, (2, 2)), beta, alpha)


@composite
def baddbmm(input: Array, batch1: Array, batch2: Array, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · input + alpha · (batch1 @ batch2), for batches (B, M, K) and (B, K, N); the input broadcasts.

    >>> import tinygrad_cnn as tg
    >>> tg.baddbmm(tg.ones(1), tg.ones(5, 2, 3), tg.ones(5, 3, 2)).shape
    (5, 2, 2)
    """
    return _add("baddbmm", input, _product("baddbmm", batch1, batch2, (3, 3)), beta, alpha)


def _add(name: str, input: Any, product: Any, beta: float, alpha: float) -> Any:
    ends = zip(reversed(input.shape), reversed(product.shape), strict=False)
    if input.ndim > product.ndim or any(n not in (1, m) for n, m in ends):
        raise ValueError(
            f"{name}: input is {input.shape}, the product {product.shape}: expected it to broadcast to that"
        )
    if product.dtype.kind != "f":
        beta, alpha = int(beta), int(alpha)
    product = product if alpha == 1 else product * alpha
    if beta == 0:  # then not even a NaN of the input counts
        return product
    return product + (input if beta == 1 else input * beta)


def tensordot(a: Array, b: Array, dims: Any = 2) -> Tensor:
    """The sum of products over several dimensions: the last `dims` of a with the first of b, or two lists of them.

    >>> import tinygrad_cnn as tg
    >>> tg.tensordot(tg.ones(2, 3, 4), tg.ones(4, 3, 5), dims=([1, 2], [1, 0])).shape
    (2, 5)
    """
    if isinstance(dims, int):
        lists: Any = (range(a.ndim - dims, a.ndim), range(dims))
    else:
        lists = array_of(dims).tolist() if hasattr(dims, "dtype") else dims
    over_a, over_b = ([d % x.ndim for d in chosen] for x, chosen in zip((a, b), lists, strict=True))
    for d, e in zip(over_a, over_b, strict=True):  # a length of 1 meets any other
        if a.shape[d] == 1 != b.shape[e]:
            b = sum(b, e, keepdim=True, dtype=b.dtype)
        elif b.shape[e] == 1 != a.shape[d]:
            a = sum(a, d, keepdim=True, dtype=a.dtype)
    lengths_a, lengths_b = [a.shape[d] for d in over_a], [b.shape[d] for d in over_b]
    if lengths_a != lengths_b:
        raise ValueError(f"tensordot: a is {a.shape}, b is {b.shape}: the lengths {lengths_a} meet {lengths_b}")
    rest_a = [d for d in range(a.ndim) if d not in over_a]
    rest_b = [d for d in range(b.ndim) if d not in over_b]
    shape = tuple(a.shape[d] for d in rest_a) + tuple(b.shape[d] for d in rest_b)
    k = math.prod(lengths_a)
    left = permute(a, (*rest_a, *over_a)).reshape((math.prod(a.shape[d] for d in rest_a), k))
    right = permute(b, (*over_b, *rest_b)).reshape((k, math.prod(b.shape[d] for d in rest_b)))
    return matmul(left, right).reshape(shape)


# ---- einsum ------------------------------------------------------------------------------------------------


@op(promotes=True)
def einsum_op(*operands: Array, equation: str) -> Any:
    """The sum of products that an equation without ellipsis and with an output describes."""
    return np.einsum(equation, *operands, optimize=len(operands) > 1)


einsum_op.name = "einsum"


@einsum_op.vjp("operands")
def einsum_grad(g: Array, operands: Any, operands_shape: tuple[Shape, ...], index: int, equation: str) -> Array:
    # The gradient of an operand is again an einsum, of g and the other operands, to the operand's own labels.
    terms, out = equation.split("->")
    labels = terms.split(",")
    lengths = _lengths(labels, operands_shape)
    factors = [g, *(x for i, x in enumerate(operands) if i != index)]
    inputs = [out, *(term for i, term in enumerate(labels) if i != index)]
    fresh = iter(sorted(set(string.ascii_letters) - set(equation)))
    target = ""
    for label, n in zip(labels[index], operands_shape[index], strict=True):
        if label in target:  # "ii": the gradient stands on a diagonal, and is 0 beside it
            label, first = next(fresh), label
            factors.append(np.eye(n, dtype=g.dtype) if n == lengths[first] else np.ones((lengths[first], n), g.dtype))
            inputs.append(first + label)
        elif not any(label in term for term in inputs):  # summed in this operand alone: the same everywhere
            factors.append(np.ones(lengths[label], g.dtype))
            inputs.append(label)
        target += label
    full = einsum_op(*factors, equation=f"{','.join(inputs)}->{target}")
    # Where only one of the operands has a dimension's full length, the others broadcast along it.
    shape = tuple(max(n, m) for n, m in zip(full.shape, operands_shape[index], strict=True))
    return sum_to(broadcast_to(full, shape=shape), shape=operands_shape[index])


def _lengths(labels: list[str], shapes: Sequence[Shape]) -> dict[str, int]:
    """The length of each label's dimension; one of length 1 broadcasts."""
    lengths: dict[str, int] = {}
    for term, shape in zip(labels, shapes, strict=True):
        for label, n in zip(term, shape, strict=True):
            known = lengths.setdefault(label, n)
            if 1 not in (n, known) and n != known:
                raise ValueError(f"einsum: label {label!r} has length {known} and {n}, the operands are {list(shapes)}")
            lengths[label] = n if known == 1 else known
    return lengths


def einsum(equation: str, *operands: Any) -> Tensor:
    """Sums of products in Einstein's notation: the letters name dimensions, those not behind "->" are summed.

    Without "->" the result has the letters that occur once, in order. "..." stands for dimensions that broadcast.

    >>> import tinygrad_cnn as tg
    >>> tg.einsum("bij,bjk->bik", tg.ones(5, 2, 3), tg.ones(5, 3, 4)).shape
    (5, 2, 4)
    >>> tg.einsum("ii", tg.ones(3, 3))
    tensor(3.)
    """
    arrays = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    explicit = _explicit(equation, [x.shape for x in arrays])
    _lengths(explicit.split("->")[0].split(","), [x.shape for x in arrays])
    return einsum_op(*arrays, equation=explicit)


def _explicit(equation: str, shapes: list[Shape]) -> str:
    """The equation with an output, and with letters in the place of "..."."""
    left, arrow, out = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ValueError(f"einsum: {equation!r} has {len(terms)} terms, there are {len(shapes)} operands")
    extra = [len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes, strict=True)]
    for i, (term, n) in enumerate(zip(terms, extra, strict=True)):
        letters = term.replace("...", "", 1)
        if not ((letters.isalpha() and letters.isascii()) or not letters):
            raise ValueError(f"einsum: term {i} of {equation!r} is {term!r}, expected letters and '...'")
        if n < 0 or (n > 0 and "..." not in term):
            raise ValueError(f"einsum: term {i} of {equation!r} is {term!r}, operand {i} is {shapes[i]}")
    free = sorted(set(string.ascii_letters) - set(equation))
    dots = "".join(free[: max((n for n, term in zip(extra, terms, strict=True) if "..." in term), default=0)])
    if not arrow:
        letters = left.replace("...", "").replace(",", "")
        out = "..." + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    terms = [term.replace("...", dots[len(dots) - n :]) for term, n in zip(terms, extra, strict=True)]
    out = out.replace("...", dots)
    if len(set(out)) < len(out) or not set(out) <= set("".join(terms)):
        raise ValueError(f"einsum: the output of {equation!r} is {out!r}, expected letters of the terms, each once")
    return ",".join(terms) + "->" + out


# ---- layers ------------------------------------------------------------------------------------------------


@op
def linear(input: Array, weight: Array, bias: Array | None = None) -> Any:
    """input @ weight.T + bias, for (*, in), (out, in), (out,) -> (*, out); a weight (in,) gives (*).

    >>> import tinygrad_cnn as tg
    >>> tg.linear(tg.ones(5, 3), tg.ones(2, 3), tg.ones(2)).shape
    (5, 2)
    """
    features = weight.shape[-1] if weight.ndim else 0
    if not input.ndim or weight.ndim not in (1, 2) or input.shape[-1] != features:
        has = f"has {input.shape[-1]} features " if input.ndim else "is "
        raise ValueError(f"input {has}{input.shape}, weight expects {features} {weight.shape}")
    if input.dtype != weight.dtype:
        _check_dtypes(input=input, weight=weight)
    if bias is not None:
        if bias.shape not in (weight.shape[:-1], ()):
            raise ValueError(f"bias is {bias.shape}, weight expects {weight.shape[:-1]} {weight.shape}")
        if bias.dtype != weight.dtype:
            _check_dtypes(weight=weight, bias=bias)
    if input.ndim == weight.ndim == 2:
        return kernels.linear(input, weight, bias)
    out = kernels.linear(_rows(input), weight if weight.ndim == 2 else weight[None], bias)
    return out.reshape(input.shape[:-1] + weight.shape[:-1])


@linear.vjp("input")
def linear_grad_input(g: Array, weight: Array, input_shape: Shape) -> Array:
    if weight.ndim == 1:
        g, weight = g.reshape((*g.shape, 1)), weight.reshape((1, *weight.shape))
    return matmul(_rows(g), weight).reshape(input_shape)


@linear.vjp("weight")
def linear_grad_weight(g: Array, input: Array, weight_shape: Shape) -> Array:
    if len(weight_shape) == 1:
        g = g.reshape((*g.shape, 1))
    return matmul(transpose(_rows(g), 0, 1), _rows(input)).reshape(weight_shape)


@linear.vjp("bias")
def linear_grad_bias(g: Array, bias_shape: Shape) -> Array:
    return sum_to(g, shape=bias_shape)


@linear.shortcut
def linear_grads(g: Any, input: Any, weight: Any, bias_shape: Shape, needs: tuple[bool, bool, bool]) -> tuple[Any, ...]:
    """The three gradients at once, without an op call for each turn and reshape."""
    rows = g.reshape(-1, 1) if weight.ndim == 1 else _rows(g)
    dx = dw = db = None
    if needs[0]:
        dx = kernels.matmul(rows, weight if weight.ndim == 2 else weight[None])
        dx = dx if dx.shape == input.shape else dx.reshape(input.shape)
    if needs[1]:
        dw = kernels.matmul(rows.T, _rows(input))
        dw = dw if dw.shape == weight.shape else dw.reshape(weight.shape)
    if needs[2]:
        db = rows.sum(axis=0) if len(bias_shape) else rows.sum()
    return dx, dw, db


@composite
def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(query @ keyᵀ · scale) @ value, for (*, L, E), (*, S, E), (*, S, V) -> (*, L, V).

    attn_mask: (*, L, S), True where a query sees a key, or floats that are added. is_causal: query i sees keys 0..i.
    scale: 1/√E by default. enable_gqa: query has a multiple of the heads (dimension -3) of key and value.
    A query that sees no key gets zeros. Vaswani et al., "Attention is all you need" (2017).

    >>> import tinygrad_cnn as tg
    >>> q = tg.ones(2, 4, 3, 8)
    >>> tg.scaled_dot_product_attention(q, q, q, is_causal=True).shape
    (2, 4, 3, 8)
    """
    if is_causal and attn_mask is not None:
        raise ValueError("scaled_dot_product_attention: attn_mask is given and is_causal is True, expected one of them")
    if enable_gqa:
        key, value = (_share_heads(x, query.shape[-3]) for x in (key, value))
    scores = matmul(query, transpose(key, -2, -1)) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = np.tri(*scores.shape[-2:], dtype=bool)
    blind = None
    if attn_mask is not None:
        scores = where(attn_mask, scores, -math.inf) if attn_mask.dtype == bool else scores + attn_mask
        blind = (array_of(scores) == -math.inf).all(axis=-1, keepdims=True)
        scores = masked_fill(scores, blind, 0.0) if blind.any() else scores
    weights = softmax(scores, dim=-1)
    if blind is not None and blind.any():
        weights = masked_fill(weights, blind, 0.0)
    return matmul(dropout(weights, dropout_p) if dropout_p else weights, value)


def _share_heads(x: Any, heads: int) -> Any:
    """Each head of (*, H, S, E) repeated until there are `heads`."""
    *batch, h, s, e = x.shape
    if heads % h:
        raise ValueError(
            f"scaled_dot_product_attention: query has {heads} heads, key or value {h}: expected a multiple"
        )
    grouped = broadcast_to(x.reshape((*batch, h, 1, s, e)), shape=(*batch, h, heads // h, s, e))
    return grouped.reshape((*batch, heads, s, e))

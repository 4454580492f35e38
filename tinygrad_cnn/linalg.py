"""Linear algebra, as PyTorch's `torch.linalg` has it: norms of vectors and matrices, singular values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_cnn.autograd import Array, op
from tinygrad_cnn.ops.elementwise import abs
from tinygrad_cnn.ops.index import axis_of
from tinygrad_cnn.ops.linear import matmul
from tinygrad_cnn.ops.reduce import Dim, amax, amin, sum, vector_norm
from tinygrad_cnn.ops.shape import movedim, transpose, unsqueeze

if TYPE_CHECKING:
    from tinygrad_cnn.tensor import Tensor

__all__ = ["matrix_norm", "norm", "svdvals", "vector_norm"]


def norm(A: Array, ord: Any = None, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The norm of a vector or a matrix.

    Without `ord` the square root of the sum of squares, over `dim` or all dimensions. With it, `vector_norm` along
    one dimension, or for a vector; `matrix_norm` over two dimensions, or for a matrix.

    >>> import tinygrad_cnn as tg
    >>> tg.linalg.norm(tg.tensor([[1.0, -2.0], [3.0, 4.0]]), 1)
    tensor(6.)
    """
    dims = A.ndim if dim is None else 1 if isinstance(dim, int) else len(dim)
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dims not in (1, 2):
        raise ValueError(f"linalg.norm: A is {A.shape}, dim {dim}, ord {ord!r}: expected 1 or 2 dimensions")
    if dims == 1 and not isinstance(ord, str):
        return vector_norm(A, ord, dim, keepdim, dtype=dtype)
    return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)


def matrix_norm(A: Array, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The norm of the matrices that the two dimensions `dim` span.

    ord: "fro", the square root of the sum of squares; "nuc", the sum of the singular values; 2 and -2, the largest
    and the smallest of them; 1 and -1, of the columns' sums of |x|; inf and -inf, of the rows'.

    >>> import tinygrad_cnn as tg
    >>> tg.linalg.matrix_norm(tg.tensor([[3.0, 0.0], [0.0, 4.0]]), "nuc")
    tensor(7.)
    """
    known = ("fro", "nuc", math.inf, -math.inf, 1, -1, 2, -2)
    if ord not in known:
        raise ValueError(f"linalg.matrix_norm: ord is {ord!r}, expected one of {known}")
    if isinstance(dim, int) or len(dim) != 2 or A.ndim < 2:
        raise ValueError(f"linalg.matrix_norm: A is {A.shape}, dim {dim}, expected two dimensions")
    if dtype is not None:
        A = A.to(dtype)
    if ord == "fro":
        return vector_norm(A, 2, dim, keepdim)
    rows, columns = axis_of(dim[0], A.ndim), axis_of(dim[1], A.ndim)
    if ord in ("nuc", 2, -2):
        values = svdvals(movedim(A, (rows, columns), (-2, -1)))
        result = sum(values, -1) if ord == "nuc" else (amax if ord > 0 else amin)(values, -1)
    else:
        summed, left = (rows, columns) if ord in (1, -1) else (columns, rows)
        lengths = sum(abs(A), summed, keepdim=True)
        result = (amax if ord > 0 else amin)(lengths, (summed, left))
    return result.reshape(tuple(1 if d in (rows, columns) else n for d, n in enumerate(A.shape))) if keepdim else result


@op
def svdvals(A: Array) -> Any:
    """The singular values of matrices (*, M, N), the largest first: (*, min(M, N)).

    >>> import tinygrad_cnn as tg
    >>> tg.linalg.svdvals(tg.tensor([[3.0, 0.0], [0.0, -4.0]]))
    tensor([4., 3.])
    """
    _check_matrices(A)
    return np.linalg.svd(A, compute_uv=False)


@svdvals.vjp("A")
def svdvals_grad(g: Array, A: Array) -> Array:
    return matmul(left_vectors(A) * unsqueeze(g, -2), right_vectors(A))


@op
def left_vectors(A: Array) -> Any:
    """U (*, M, K) of the singular value decomposition A = U diag(S) Vᵀ, with K = min(M, N)."""
    _check_matrices(A)
    return np.linalg.svd(A, full_matrices=False)[0]


@op
def right_vectors(A: Array) -> Any:
    """Vᵀ (*, K, N) of the singular value decomposition A = U diag(S) Vᵀ, with K = min(M, N)."""
    _check_matrices(A)
    return np.linalg.svd(A, full_matrices=False)[2]


# The gradients of U and V: Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
# differentiation" (2008); they have no limit where two singular values are equal.


@left_vectors.vjp("A")
def left_vectors_grad(g: Array, A: Array) -> Array:
    u, s, vt = left_vectors(A), svdvals(A), right_vectors(A)
    ug = matmul(transpose(u, -2, -1), g)
    core = matmul(u, (ug - transpose(ug, -2, -1)) * _inverse_gaps(s) * unsqueeze(s, -2))
    beyond = (g - matmul(u, ug)) / unsqueeze(s, -2) if A.shape[-2] > A.shape[-1] else 0.0
    return matmul(core + beyond, vt)


@right_vectors.vjp("A")
def right_vectors_grad(g: Array, A: Array) -> Array:
    u, s, vt = left_vectors(A), svdvals(A), right_vectors(A)
    gv = matmul(g, transpose(vt, -2, -1))
    core = matmul((transpose(gv, -2, -1) - gv) * _inverse_gaps(s) * unsqueeze(s, -1), vt)
    beyond = (g - matmul(gv, vt)) / unsqueeze(s, -1) if A.shape[-1] > A.shape[-2] else 0.0
    return matmul(u, core + beyond)


def _inverse_gaps(s: Array) -> Array:
    """1 / (s_j² - s_i²) beside the diagonal; on it, where what it is multiplied with is 0, 1."""
    squares = s * s
    return 1.0 / (unsqueeze(squares, -2) - unsqueeze(squares, -1) + np.eye(s.shape[-1], dtype=s.dtype))


def _check_matrices(A: np.ndarray[Any, Any]) -> None:
    if A.ndim < 2 or A.dtype.kind != "f":
        raise ValueError(f"A is {A.dtype} {A.shape}, expected floats (*, M, N)")

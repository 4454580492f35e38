"""Rows of the singular value decomposition.

Singular values that are equal or zero have no gradient, and neither have their vectors, so the matrices are made of
random vectors and of values with gaps between them. U and V are unique up to a sign for each pair of columns, which
LAPACK chooses: alike for nearby matrices, until one of its pivots changes sign. Matrices where that is near are left
out, and so the vectors can be tested as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tinygrad_cnn import linalg, ops
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.sample import Array, Sample
from tinygrad_cnn.testing.spec import ErrorCase, OpSpec, register_op

NEAR = 4e-3  # of the largest entry: several steps of a gradcheck


@st.composite
def _matrices(draw: DrawFn) -> Sample:
    """Matrices (*, M, N) whose singular values are at least 0.6, and 0.6 apart."""
    batch, rows, columns = draw(ts.shapes(0, 1, max_side=2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rank = min(rows, columns)
    u, v = (np.linalg.qr(draw(ts.arrays((*batch, side, rank))))[0] for side in (rows, columns))
    values = np.cumsum(draw(ts.arrays((*batch, 1, rank), low=0.6, high=1.2)), axis=-1)
    return Sample(((u * values) @ np.swapaxes(v, -2, -1),))


def _signs_stay(sample: Sample) -> bool:
    """Whether the singular vectors of all matrices nearby have the same signs."""
    (A,) = sample.args
    corners = np.random.default_rng(0).choice([-1.0, 1.0], (64, *A.shape))
    u = np.linalg.svd(A, full_matrices=False)[0]
    near = np.linalg.svd(A + NEAR * np.abs(A).max() * corners, full_matrices=False)[0]
    return bool(np.abs(near - u).max() < 0.1)


def _left(A: Array) -> Array:
    """U by the eigenvectors of A Aᵀ, with LAPACK's signs."""
    return _vectors(A @ np.swapaxes(A, -2, -1), np.linalg.svd(A, full_matrices=False)[0])


def _right(A: Array) -> Array:
    """Vᵀ by the eigenvectors of Aᵀ A, with LAPACK's signs."""
    vt = np.linalg.svd(A, full_matrices=False)[2]
    return np.swapaxes(_vectors(np.swapaxes(A, -2, -1) @ A, np.swapaxes(vt, -2, -1)), -2, -1)


def _vectors(square: Array, like: Array) -> Array:
    found = np.linalg.eigh(square)[1][..., ::-1][..., : like.shape[-1]]
    return np.asarray(found * np.sign((found * like).sum(axis=-2, keepdims=True)))


def _roots(A: Array) -> Array:
    """The singular values by the eigenvalues of A Aᵀ."""
    squares = np.linalg.eigvalsh(A @ np.swapaxes(A, -2, -1))[..., ::-1]
    return np.sqrt(squares[..., : min(A.shape[-2:])])


def _turned(x: Any) -> Any:
    return ops.transpose(x, -2, -1)


def values_of_all(A: Array) -> Any:
    """The diagonal of Uᵀ A V."""
    return ops.diagonal(_turned(linalg.left_vectors(A)) @ A @ _turned(linalg.right_vectors(A)), 0, -2, -1)


def left_of_right(A: Array) -> Any:
    """A V / s."""
    return A @ _turned(linalg.right_vectors(A)) / ops.unsqueeze(linalg.svdvals(A), -2)


def right_of_left(A: Array) -> Any:
    """Uᵀ A / s."""
    return _turned(linalg.left_vectors(A)) @ A / ops.unsqueeze(linalg.svdvals(A), -1)


_inputs = _matrices().filter(_signs_stay)
_edges = [Sample((np.full(shape, 2.0),)) for shape in ((0, 2, 2), (1, 1), (1, 2), (2, 1))]
for _op, _reference, _identity in (
    (linalg.svdvals, _roots, values_of_all),
    (linalg.left_vectors, _left, left_of_right),
    (linalg.right_vectors, _right, right_of_left),
):
    register_op(
        OpSpec(
            _op,
            inputs=_inputs,
            reference=_reference,
            identities=[_identity],
            batched=lambda sample: ("A",) if sample.args[0].ndim > 2 else (),
            edges=_edges,
            errors=[ErrorCase(Sample((np.ones(3),)), ValueError, r"A is float64 \(3,\), expected floats \(\*, M, N\)")],
        )
    )

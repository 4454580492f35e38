"""Matrix products: BLAS at one thread on each of our threads, so that BLAS's own threads do not fight with ours.

OpenBLAS's threads go on spinning for a while after each product, and would take the cores from the next kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cnn.kernels import threads

Array = np.ndarray[Any, np.dtype[Any]]

# Multiply-adds up to which OpenBLAS takes one thread anyhow (it wants 2**18 for each), and from which two of ours are
# quicker than one.
SMALL = 500_000
WORTH_SHARING = 3_000_000


def matmul(a: Array, b: Array) -> Array:
    """`a` (M, K) times `b` (K, N): (M, N). Arrays of other dimensions are left to NumPy's matmul.

    >>> matmul(np.ones((2, 3)), np.ones((3, 1)))
    array([[3.],
           [3.]])
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        return np.matmul(a, b)  # type: ignore[no-any-return]
    m, n = a.shape[0], b.shape[1]
    work = m * a.shape[1] * n
    if work <= SMALL:
        return np.matmul(a, b)  # type: ignore[no-any-return]
    with threads.one_blas_thread():
        if work < WORTH_SHARING or threads.get_num_threads() == 1:
            return np.matmul(a, b)  # type: ignore[no-any-return]
        out = np.empty((m, n), np.result_type(a, b))
        if m >= n:
            jobs = [(a[i:j], b, out[i:j]) for i, j in threads.parts(m, work)]
        else:
            jobs = [(a, b[:, i:j], out[:, i:j]) for i, j in threads.parts(n, work)]
        threads.run(_multiply, jobs)
    return out


def _multiply(a: Array, b: Array, out: Array) -> None:
    np.matmul(a, b, out=out)

"""How many outputs a convolution or a pool has along one dimension."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["conv_output_size", "pool_output_size"]

Ints = tuple[int, ...]


@lru_cache(maxsize=1024)
def conv_output_size(size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Ints:
    """Spatial shape of a convolution's output, one number per spatial dimension.

    A number below 1 means that the kernel does not fit; the caller decides what to say about it.

    >>> conv_output_size((28, 28), (3, 3), (1, 1), (1, 1), (1, 1))
    (28, 28)
    """
    return tuple(
        (s + 2 * p - d * (k - 1) - 1) // st + 1
        for s, k, st, p, d in zip(size, kernel_size, stride, padding, dilation, strict=True)
    )


@lru_cache(maxsize=1024)
def pool_output_size(
    size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool = False
) -> Ints:
    """Spatial shape of a pool's output; with `ceil_mode` a last, partial window counts too.

    PyTorch's rule: a window that starts beyond the input and its left padding is dropped.

    >>> pool_output_size((5,), (2,), (2,), (0,), (1,))
    (2,)
    >>> pool_output_size((5,), (2,), (2,), (0,), (1,), ceil_mode=True)
    (3,)
    """
    if not ceil_mode:
        return conv_output_size(size, kernel_size, stride, padding, dilation)
    return tuple(
        _ceil_size(s, k, st, p, d) for s, k, st, p, d in zip(size, kernel_size, stride, padding, dilation, strict=True)
    )


def _ceil_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    out = -(-(size + 2 * padding - dilation * (kernel - 1) - 1) // stride) + 1
    return out - 1 if (out - 1) * stride >= size + padding else out

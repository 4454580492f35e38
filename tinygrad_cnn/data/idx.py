"""The IDX format, in which MNIST and its kin are published: a header with type and shape, then the numbers.

Source: the description on MNIST's page, http://yann.lecun.com/exdb/mnist/. All numbers are big-endian.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_idx"]

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | PathLike[str]) -> NDArray[Any]:
    """The array in an IDX file, plain or gzipped (told by its content, not its name).

    Errors: ValueError for a file that is no IDX file, is cut short, or does not hold what its header says.
    """
    name = f"read_idx: {path}"
    content = _unzipped(Path(path).read_bytes(), name)
    if len(content) < 4:
        raise ValueError(f"{name}: {len(content)} bytes, expected an IDX header of at least 4")
    zeros, code, ndim = struct.unpack_from(">HBB", content)
    if zeros != 0 or code not in DTYPES:
        raise ValueError(
            f"{name}: starts with the bytes {content[:4].hex(' ')}, expected those of an IDX file: "
            f"00 00, a type ({', '.join(f'{c:02x}' for c in DTYPES)}), the number of axes (gzipped: 1f 8b)"
        )
    start = 4 + 4 * ndim
    if ndim == 0 or len(content) < start:
        raise ValueError(f"{name}: header of {len(content)} bytes and {ndim} axes, expected 4 + 4 bytes for each axis")
    shape = struct.unpack_from(f">{ndim}I", content, 4)
    dtype = np.dtype(DTYPES[code])
    size = start + math.prod(shape) * dtype.itemsize
    if len(content) != size:
        fault = "is cut short" if len(content) < size else "has too much"
        raise ValueError(f"{name}: {fault}: {len(content)} bytes, expected {size} for {dtype.name} of shape {shape}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _unzipped(content: bytes, name: str) -> bytes:
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{name}: broken gzip file ({error}), expected a whole one") from error

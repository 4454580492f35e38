"""Waiting for another thread without giving up the processor: a number in memory is read until it changes.

To sleep on a lock and be woken can take longer than a whole small kernel. The GIL is free while a thread waits here.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import boolean, int64
from numba.core import cgutils, types
from numba.extending import intrinsic

from tinygrad_cnn.kernels.fast.simd import filled, kernel, pointer

# Cells of a worker's memory, each on a cache line of its own: the number of the last job that was given out, and of the
# last that is done.
GIVEN, DONE, CELLS = 0, 16, 32

_ON_X86 = platform.machine().lower() in ("x86_64", "amd64")


@intrinsic
def _read(context: Any, p: Any, i: Any) -> Any:
    """A cell as it is now, with everything that was written before it."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(builder.gep(args[0], [args[1]]), "acquire", 8)

    return types.int64(p, types.intp), emit


@intrinsic
def _write(context: Any, p: Any, i: Any, value: Any) -> Any:
    """Change a cell; who reads it then sees everything that was written before."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[2], builder.gep(args[0], [args[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(p, types.intp, types.int64), emit


@intrinsic
def pause(context: Any) -> Any:
    """Tell the processor that this is a loop that waits."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _ON_X86:
            function = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), emit


@kernel(boolean(filled(int64, 1), int64, int64))
def wait_for_done(cells, job, rounds):  # type: ignore[no-untyped-def]
    """Whether job number `job` is done, read at most `rounds` times."""
    p = pointer(cells)
    for _ in range(rounds):
        if _read(p, DONE) == job:
            return True
        pause()
    return False


@kernel(boolean(filled(int64, 1), int64, int64, int64))
def tell_and_wait(cells, job, rounds, grace):  # type: ignore[no-untyped-def]
    """Say that job `job` is done, then wait for the next; whether there is one.

    Who gives it out still holds the GIL for a moment: `grace` rounds later it is free, and taking it does not block.
    """
    p = pointer(cells)
    _write(p, DONE, job)
    for _ in range(rounds):
        if _read(p, GIVEN) != job:
            for _ in range(grace):
                pause()
            return True
        pause()
    return False

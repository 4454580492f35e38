"""Eight float32 at a time inside Numba: a vector type, its operations, and the two register tiles.

Numba's loops are vectorised when LLVM manages to prove that it may; here nothing is left to luck. `f32x8` is a
Numba type whose machine form is LLVM's `<8 x float>` (one register with AVX, two with NEON or SSE), and each
small function below is one instruction on it. Kernels stay Python functions and can be cached.

Memory is reached by pointers: `pointer(array)` once, then `load(p, i)`, eight floats from element `i` on.
There are NO bounds checks. A kernel says why it stays inside its arrays, and the tests run every kernel
with its arrays against protected memory pages.

Comparisons follow IEEE 754 (no fastmath): a NaN is never lost unless a kernel drops it on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

LANES = 8

_FLOAT, _INT, _BYTE, _BIT = ir.FloatType(), ir.IntType(32), ir.IntType(8), ir.IntType(1)
_FLOATS, _INTS, _BYTES, _BITS = (ir.VectorType(kind, LANES) for kind in (_FLOAT, _INT, _BYTE, _BIT))


class Vector(types.Type):
    """Eight numbers in a register: float32, int32, or the truth values that a comparison gives."""


class FloatVector(Vector):
    def __init__(self) -> None:
        super().__init__("f32x8")


class IntVector(Vector):
    def __init__(self) -> None:
        super().__init__("i32x8")


class BoolVector(Vector):
    def __init__(self) -> None:
        super().__init__("bool8")


def _keep_as(machine: ir.Type) -> Callable[..., None]:
    """A Numba data model: the type is the LLVM type `machine`, in registers and in memory."""
    return lambda model, manager, kind: models.PrimitiveModel.__init__(model, manager, kind, machine)


for _kind, _machine in ((FloatVector, _FLOATS), (IntVector, _INTS), (BoolVector, _BITS)):
    register_model(_kind)(type(_kind.__name__ + "Model", (models.PrimitiveModel,), {"__init__": _keep_as(_machine)}))

f32x8, i32x8, bool8 = FloatVector(), IntVector(), BoolVector()


# How kernels are compiled ---------------------------------------------------------------------------------------

_OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def kernel(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function that Python calls, for this one signature, when its module is first imported.

    The result is cached on disk. The GIL is released while it runs.
    """
    return njit([signature], cache=True, **_OPTIONS)  # type: ignore[no-any-return]


def helper(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that only kernels call; it needs no wrapper for Python.

    It becomes a part of the kernels that call it. Numba's cache looks at the kernel's own file alone: who edits a
    helper in another file must touch the kernels' files too, or clear the cache.
    """
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)  # type: ignore[no-any-return]


def given(kind: Any, ndim: int) -> types.Array:
    """The type of a C-contiguous argument that is only read; writable arrays are taken too."""
    return types.Array(kind, ndim, "C", readonly=True)


def filled(kind: Any, ndim: int) -> types.Array:
    """The type of a C-contiguous argument that the kernel writes."""
    return types.Array(kind, ndim, "C")


# Memory ---------------------------------------------------------------------------------------------------------


@intrinsic
def pointer(context: Any, array: Any) -> Any:
    """The address of an array's first element."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), emit  # type: ignore[attr-defined]


@intrinsic
def shifted(context: Any, p: Any, i: Any) -> Any:
    """The address of element `i`, to carve one piece of scratch memory into several."""
    return p(p, types.intp), lambda context, builder, signature, args: builder.gep(args[0], [args[1]])


@intrinsic
def get(context: Any, p: Any, i: Any) -> Any:
    """Element `i`; no negative index, so nothing keeps the loop around it from being fast."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.gep(args[0], [args[1]]))

    return p.dtype(p, types.intp), emit


@intrinsic
def put(context: Any, p: Any, i: Any, value: Any) -> Any:
    """Write element `i`."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(p, types.intp, p.dtype), emit


@intrinsic
def load(context: Any, p: Any, i: Any) -> Any:
    """Eight elements from `i` on; no alignment is asked of them."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(builder, args[0], args[1])

    return f32x8(p, types.intp), emit


@intrinsic
def store(context: Any, p: Any, i: Any, v: Any) -> Any:
    """Write eight elements from `i` on."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _store(builder, args[0], args[1], args[2])
        return context.get_dummy_value()

    return types.void(p, types.intp, f32x8), emit


@intrinsic
def load_bytes(context: Any, p: Any, i: Any) -> Any:
    """Eight uint8, widened to int32."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = builder.bitcast(builder.gep(args[0], [args[1]]), _BYTES.as_pointer())
        return builder.zext(builder.load(address, align=1), _INTS)

    return i32x8(p, types.intp), emit


@intrinsic
def store_bytes(context: Any, p: Any, i: Any, v: Any) -> Any:
    """Write eight int32 as uint8."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = builder.bitcast(builder.gep(args[0], [args[1]]), _BYTES.as_pointer())
        builder.store(builder.trunc(args[2], _BYTES), address, align=1)
        return context.get_dummy_value()

    return types.void(p, types.intp, i32x8), emit


@intrinsic
def copy_four(context: Any, source: Any, i: Any, target: Any, j: Any) -> Any:
    """Copy four elements: rows of four to seven are two such copies that overlap."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, i, target, j = args
        four = ir.VectorType(_FLOAT, 4).as_pointer()
        value = builder.load(builder.bitcast(builder.gep(source, [i]), four), align=4)
        builder.store(value, builder.bitcast(builder.gep(target, [j]), four), align=4)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), emit


def _load(builder: Any, p: Any, i: Any) -> Any:
    return builder.load(builder.bitcast(builder.gep(p, [i]), _FLOATS.as_pointer()), align=4)


def _store(builder: Any, p: Any, i: Any, v: Any) -> None:
    builder.store(v, builder.bitcast(builder.gep(p, [i]), _FLOATS.as_pointer()), align=4)


# Arithmetic -----------------------------------------------------------------------------------------------------


@intrinsic
def splat(context: Any, value: Any) -> Any:
    """One float32 in all eight lanes."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, args[0])

    return f32x8(types.float32), emit


@intrinsic
def splat_int(context: Any, value: Any) -> Any:
    """One integer in all eight lanes."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, builder.trunc(args[0], _INT))

    return i32x8(types.int64), emit


@intrinsic
def fma(context: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    return f32x8(f32x8, f32x8, f32x8), lambda context, builder, signature, args: _fma(builder, *args)


@intrinsic
def sqrt(context: Any, x: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.call(_external(builder, "llvm.sqrt.v8f32", 1), args)

    return f32x8(f32x8), emit


def _binary(method: str, result: Any, kind: Any, *first: str) -> Any:
    """An intrinsic (x, y) that is one instruction of LLVM's."""

    @intrinsic
    def operation(context: Any, x: Any, y: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, method)(*first, *args)

        return result(kind, kind), emit

    return operation


add = _binary("fadd", f32x8, f32x8)
sub = _binary("fsub", f32x8, f32x8)
mul = _binary("fmul", f32x8, f32x8)
div = _binary("fdiv", f32x8, f32x8)
greater = _binary("fcmp_ordered", bool8, f32x8, ">")
at_most = _binary("fcmp_ordered", bool8, f32x8, "<=")
either_nan = _binary("fcmp_unordered", bool8, f32x8, "uno")
equal = _binary("icmp_signed", bool8, i32x8, "==")
either = _binary("or_", bool8, bool8)


@intrinsic
def select(context: Any, condition: Any, x: Any, y: Any) -> Any:
    """`x` in the lanes where the condition holds, `y` in the others."""
    return x(bool8, x, x), lambda context, builder, signature, args: builder.select(*args)


def shuffle(*lanes: int) -> Any:
    """An intrinsic (x, y) that picks eight of their sixteen lanes: 0-7 are those of x, 8-15 those of y."""

    @intrinsic
    def pick(context: Any, x: Any, y: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _shuffle(builder, args[0], args[1], lanes)

        return f32x8(f32x8, f32x8), emit

    return pick


@intrinsic
def total(context: Any, x: Any) -> Any:
    """The sum of the eight lanes, halves first."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _total(builder, args[0])

    return types.float32(f32x8), emit


def _total(builder: Any, v: Any) -> Any:
    for width in (4, 2, 1):
        low, high = range(width), range(width, 2 * width)
        v = builder.fadd(_shuffle(builder, v, v, low), _shuffle(builder, v, v, high))
    return builder.extract_element(v, ir.Constant(_INT, 0))


def _splat(builder: Any, value: Any) -> Any:
    vector = ir.VectorType(value.type, LANES)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_INT, 0))
    return _shuffle(builder, one, one, [0] * LANES)


def _shuffle(builder: Any, x: Any, y: Any, lanes: Any) -> Any:
    lanes = list(lanes)
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_INT, len(lanes)), lanes))


def _external(builder: Any, name: str, arguments: int) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(_FLOATS, [_FLOATS] * arguments), name)


def _fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
    return builder.call(_external(builder, "llvm.fma.v8f32", 3), (x, y, z))


# The register tiles ---------------------------------------------------------------------------------------------


def multiply_tile(rows: int, vectors: int, scattered: bool = False) -> Any:
    """The inner loop of every convolution here: `rows` output channels times 8 * `vectors` neighbouring pixels.

    An intrinsic (x, base, offsets, oi, depth, w, wi, start, si, y, yi, pitch) that computes

        y[yi + r*pitch + j] = start[si + r] + sum over k of w[wi + k*rows + r] * x[base + offsets[oi + k] + j]

    for r < rows, j < 8*vectors, k < depth. The rows * vectors sums stay in registers for the whole loop; a step
    loads `vectors` vectors and `rows` single weights, for rows * vectors multiply-adds. 4 x 3 sums, 3 vectors
    and 1 weight fill the 16 registers of AVX2, and 12 sums in flight hide the latency of the multiply-add.
    Reads 8*vectors floats from each base + offsets[oi + k]; writes 8*vectors floats in each row.

    If `scattered`, the vectors are no neighbours: `base` points to `vectors` numbers, where each begins.
    """

    @intrinsic
    def tile(
        context: Any, x: Any, base: Any, offsets: Any, oi: Any, depth: Any, w: Any, wi: Any,
        start: Any, si: Any, y: Any, yi: Any, pitch: Any,
    ) -> Any:  # fmt: skip
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            x, base, offsets, oi, depth, w, wi, start, si, y, yi, pitch = args
            columns = [_index(LANES * v) for v in range(vectors)]
            bases = [builder.load(builder.gep(base, [_index(v)])) for v in range(vectors)] if scattered else [base]
            numbers = [_index(r) for r in range(rows)]
            sums = [[cgutils.alloca_once(builder, _FLOATS) for _ in columns] for _ in numbers]
            for r, line in zip(numbers, sums, strict=True):
                first = _splat(builder, builder.load(builder.gep(start, [builder.add(si, r)])))
                for place in line:
                    builder.store(first, place)
            with cgutils.for_range(builder, depth) as loop:
                offset = builder.load(builder.gep(offsets, [builder.add(oi, loop.index)]))
                at = [builder.add(first, offset) for first in bases]
                pixels = [_load(builder, x, place) for place in (at if scattered else _from(builder, at[0], columns))]
                weights = builder.add(wi, builder.mul(loop.index, _index(rows)))
                for r, line in zip(numbers, sums, strict=True):
                    weight = _splat(builder, builder.load(builder.gep(w, [builder.add(weights, r)])))
                    for pixel, place in zip(pixels, line, strict=True):
                        builder.store(_fma(builder, weight, pixel, builder.load(place)), place)
            for r, line in zip(numbers, sums, strict=True):
                row = builder.add(yi, builder.mul(r, pitch))
                for column, place in zip(columns, line, strict=True):
                    _store(builder, y, builder.add(row, column), builder.load(place))
            return context.get_dummy_value()

        i = types.intp
        return types.void(x, base if scattered else i, offsets, i, i, w, i, start, i, y, i, i), emit

    return tile


def dot_tile(rows: int, columns: int, scattered: bool = False) -> Any:
    """The inner loop of every weight gradient: some rows of `g` times `columns` of `x`, along their pixels.

    An intrinsic (g, gi, pitch, x, base, offsets, oi, length, sums, si) that computes

        sums[si + rows*c + r] += sum over j < length of g[gi + r*pitch + j] * x[base + offsets[oi + c] + j]

    for r < rows, c < columns, eight products at a time: `length` must be a multiple of 8. Only at the end are
    the lanes of each sum added up, those of four rows at once, of fewer one by one. If `scattered`, `base` points to
    numbers: where in x each eight begin.
    """

    @intrinsic
    def tile(
        context: Any, g: Any, gi: Any, pitch: Any, x: Any, base: Any, offsets: Any, oi: Any,
        length: Any, sums: Any, si: Any,
    ) -> Any:  # fmt: skip
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            g, gi, pitch, x, base, offsets, oi, length, sums, si = args
            starts = [builder.load(builder.gep(offsets, [builder.add(oi, _index(c))])) for c in range(columns)]
            if not scattered:
                starts = [builder.add(base, start) for start in starts]
            lines = [builder.add(gi, builder.mul(_index(r), pitch)) for r in range(rows)]
            places = [[cgutils.alloca_once(builder, _FLOATS) for _ in lines] for _ in starts]
            for place in (place for line in places for place in line):
                builder.store(ir.Constant(_FLOATS, [0.0] * LANES), place)
            with cgutils.for_range_slice(builder, _index(0), length, _index(LANES), gi.type) as (j, _):
                at = builder.load(builder.gep(base, [builder.udiv(j, _index(LANES))])) if scattered else j
                pixels = [_load(builder, x, builder.add(start, at)) for start in starts]
                for r, row in enumerate(lines):
                    v = _load(builder, g, builder.add(row, j))
                    for line, pixel in zip(places, pixels, strict=True):
                        builder.store(_fma(builder, v, pixel, builder.load(line[r])), line[r])
            for c, line in enumerate(places):
                vectors = [builder.load(place) for place in line]
                found = [_four_totals(builder, vectors)] if rows == 4 else [_total(builder, v) for v in vectors]
                for r, whole in enumerate(found):
                    address = builder.gep(sums, [builder.add(si, _index(rows * c + r))])
                    address = builder.bitcast(address, whole.type.as_pointer())
                    builder.store(builder.fadd(builder.load(address, align=4), whole), address, align=4)
            return context.get_dummy_value()

        i = types.intp
        return types.void(g, i, i, x, base if scattered else i, offsets, i, i, sums, i), emit

    return tile


def _from(builder: Any, base: Any, columns: list[Any]) -> list[Any]:
    return [builder.add(base, column) for column in columns]


def _index(value: int) -> Any:
    return ir.Constant(cgutils.intp_t, value)


def _four_totals(builder: Any, vectors: list[Any]) -> Any:
    """The totals of four vectors as a vector of four: three rounds of adding neighbours instead of twelve."""
    a, b, c, d = vectors
    even, odd = (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15)
    ab = builder.fadd(_shuffle(builder, a, b, even), _shuffle(builder, a, b, odd))
    cd = builder.fadd(_shuffle(builder, c, d, even), _shuffle(builder, c, d, odd))
    low, high = (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)
    abcd = builder.fadd(_shuffle(builder, ab, cd, low), _shuffle(builder, ab, cd, high))
    return builder.fadd(_shuffle(builder, abcd, abcd, range(4)), _shuffle(builder, abcd, abcd, range(4, 8)))

"""Max and average pools in two dimensions, and their adjoints, one window's tap after the other on whole planes.

Each plane (one image, one channel) is copied into the cache, dealt out by stride as for a convolution (planes.py),
and then eight neighbouring outputs are reduced at a time. Forward and backward read and write main memory once.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import float32, int64, uint8, void

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.fast.planes import SLACK, block_limit, fill_planes, frame_of, read_planes
from tinygrad_cnn.kernels.fast.rows import copy_bytes, copy_row, even_lanes, merged_high, merged_low, odd_lanes
from tinygrad_cnn.kernels.fast.simd import (
    LANES,
    add,
    either,
    either_nan,
    equal,
    filled,
    get,
    given,
    greater,
    helper,
    kernel,
    load,
    load_bytes,
    mul,
    pointer,
    put,
    select,
    splat,
    splat_int,
    store,
    store_bytes,
)
from tinygrad_cnn.kernels.sizes import Ints, pool_output_size

Array = np.ndarray[Any, np.dtype[Any]]

_f1, _f2, _f3, _i1 = given(float32, 1), given(float32, 2), given(float32, 3), given(int64, 1)
_out1, _out3 = filled(float32, 1), filled(float32, 3)
_bytes1, _bytes3, _chosen3 = filled(uint8, 1), filled(uint8, 3), given(uint8, 3)


class Plan(NamedTuple):
    """What depends on shapes alone."""

    frame: Array
    offsets: Array  # for each tap of the window
    out: Ints
    planes: int  # floats of scratch per thread, for the planes and for a block of outputs
    results: int


@lru_cache(maxsize=256)
def _plan(size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints, limit: int) -> Plan:
    """The planes hold the padded image, and where ceil_mode asks for it what the last window reaches beyond."""
    height_width = tuple(
        -(-max(p + s, (o - 1) * st + (k - 1) * d + 1) // st)
        for s, k, st, p, d, o in zip(size, kernel_size, stride, padding, dilation, out, strict=True)
    )
    frame = frame_of(padding, stride, height_width, limit)
    offsets = [
        (a % stride[0] * stride[1] + b % stride[1]) * frame.block * frame.plane
        + a // stride[0] * frame.pitch
        + b // stride[1]
        for a in range(0, kernel_size[0] * dilation[0], dilation[0])
        for b in range(0, kernel_size[1] * dilation[1], dilation[1])
    ]
    run = frame.block * frame.plane
    return Plan(np.array(frame), np.array(offsets), out, stride[0] * stride[1] * run + SLACK, run)


def _scratch(plan: Plan, border: float) -> tuple[Array, Array, Array]:
    """One thread's planes, outputs and taps."""
    planes = np.full(plan.planes, border, np.float32)
    return planes, np.zeros(plan.results, np.float32), np.zeros(plan.results, np.uint8)


@helper
def _better(v, k, best, tap):  # type: ignore[no-untyped-def]
    """Let tap k win where its value is greater, or NaN: the first maximum is taken, and NaN stays."""
    wins = either(greater(v, best), either_nan(v, v))
    return select(wins, v, best), select(wins, splat_int(k), tap)


# The kernels: images n0 <= n < n1, an image being one plane -----------------------------------------------------


@kernel(void(_f3, _i1, _i1, _out3, _bytes3, _out1, _out1, _bytes1, int64, int64))
def _max(x, frame, offsets, out, chosen, planes, values, taps, n0, n1):  # type: ignore[no-untyped-def]
    """The largest element of each window and its tap; the planes' border is -inf and so never wins."""
    xp, fp, op, out_p, chosen_p = pointer(x), pointer(frame), pointer(offsets), pointer(out), pointer(chosen)
    planes_p, values_p, taps_p = pointer(planes), pointer(values), pointer(taps)
    _, height, width = x.shape
    _, rows, columns = out.shape
    pitch, plane, block = frame[4], frame[5], frame[6]
    for n in range(n0, n1, block):
        images = min(block, n1 - n)
        fill_planes(xp, n, images, 1, height, width, fp, planes_p)
        for t in range(0, (images - 1) * plane + (rows - 1) * pitch + columns, LANES):
            best, tap = splat(float32(-math.inf)), splat_int(0)
            for k in range(offsets.shape[0]):
                best, tap = _better(load(planes_p, get(op, k) + t), k, best, tap)
            store(values_p, t, best)
            store_bytes(taps_p, t, tap)
        for b in range(images):
            for i in range(rows):
                source, target = b * plane + i * pitch, ((n + b) * rows + i) * columns
                copy_row(values_p, source, out_p, target, columns)
                copy_bytes(taps_p, source, chosen_p, target, columns)


@kernel(void(_f3, _chosen3, _i1, _i1, _out3, _out1, _out1, _bytes1, int64, int64))
def _max_scatter(g, chosen, frame, offsets, dx, planes, values, taps, n0, n1):  # type: ignore[no-untyped-def]
    """Add each g to the pixel at its window's chosen tap. Between its rows `values` is zero, so it adds nothing."""
    gp, chosen_p, fp, op, dx_p = pointer(g), pointer(chosen), pointer(frame), pointer(offsets), pointer(dx)
    planes_p, values_p, taps_p = pointer(planes), pointer(values), pointer(taps)
    _, height, width = dx.shape
    _, rows, columns = g.shape
    pitch, plane, block = frame[4], frame[5], frame[6]
    zero = splat(float32(0))
    for n in range(n0, n1, block):
        images = min(block, n1 - n)
        for b in range(images):
            for i in range(rows):
                source, target = ((n + b) * rows + i) * columns, b * plane + i * pitch
                copy_row(gp, source, values_p, target, columns)
                copy_bytes(chosen_p, source, taps_p, target, columns)
        for q in range(0, planes.shape[0], LANES):
            store(planes_p, q, zero)
        for t in range(0, (images - 1) * plane + (rows - 1) * pitch + columns, LANES):
            v, tap = load(values_p, t), load_bytes(taps_p, t)
            for k in range(offsets.shape[0]):
                place = get(op, k) + t
                mine = select(equal(tap, splat_int(k)), v, zero)
                store(planes_p, place, add(load(planes_p, place), mine))
        read_planes(planes_p, fp, n, images, height, width, dx_p)


@kernel(void(_f3, _out3, _bytes3, int64, int64))
def _max_2x2(x, out, chosen, n0, n1):  # type: ignore[no-untyped-def]
    """The commonest pool, straight from x: eight windows are 16 pixels of two rows, parted by shuffles.

    The last vector of a row overlaps the one before it. A row of fewer than eight windows takes one vector too, whose
    spare results are overwritten by the rows after it; only near the end of x or of our part it goes one by one.
    """
    xp, out_p, chosen_p = pointer(x), pointer(out), pointer(chosen)
    _, height, width = x.shape
    _, rows, columns = out.shape
    last, end = max(0, columns - LANES), n1 * rows * columns
    for n in range(n0, n1):
        for i in range(rows):
            source, target = (n * height + 2 * i) * width, (n * rows + i) * columns
            narrow = columns < LANES and (target + LANES > end or source + width + 2 * LANES > x.size)
            j = 0
            while j < columns and not narrow:
                j = min(j, last)
                place = source + 2 * j
                a, b = load(xp, place), load(xp, place + LANES)
                c, d = load(xp, place + width), load(xp, place + width + LANES)
                best, tap = even_lanes(a, b), splat_int(0)
                best, tap = _better(odd_lanes(a, b), 1, best, tap)
                best, tap = _better(even_lanes(c, d), 2, best, tap)
                best, tap = _better(odd_lanes(c, d), 3, best, tap)
                store(out_p, target + j, best)
                store_bytes(chosen_p, target + j, tap)
                j += LANES
            for j in range(columns if narrow else 0):
                place = source + 2 * j
                most, which = get(xp, place), 0
                for k in range(1, 4):
                    value = get(xp, place + k // 2 * width + k % 2)
                    if value > most or value != value:
                        most, which = value, k
                put(out_p, target + j, most)
                put(chosen_p, target + j, uint8(which))


@kernel(void(_f3, _chosen3, _out3, int64, int64))
def _max_2x2_scatter(g, chosen, dx, n0, n1):  # type: ignore[no-untyped-def]
    """Write all four pixels of every window, three of them zero; then what no window covers. Rows as in `_max_2x2`."""
    gp, chosen_p, dx_p = pointer(g), pointer(chosen), pointer(dx)
    _, height, width = dx.shape
    _, rows, columns = g.shape
    last, end = max(0, columns - LANES), n1 * height * width
    zero = splat(float32(0))
    for n in range(n0, n1):
        for i in range(rows):
            source, target = (n * rows + i) * columns, (n * height + 2 * i) * width
            narrow = columns < LANES and (target + width + 2 * LANES > end or source + LANES > g.size)
            j = 0
            while j < columns and not narrow:
                j = min(j, last)
                v, tap = load(gp, source + j), load_bytes(chosen_p, source + j)
                for k in range(2):
                    a = select(equal(tap, splat_int(2 * k)), v, zero)
                    b = select(equal(tap, splat_int(2 * k + 1)), v, zero)
                    place = target + k * width + 2 * j
                    store(dx_p, place, merged_low(a, b))
                    store(dx_p, place + LANES, merged_high(a, b))
                j += LANES
            for j in range(columns if narrow else 0):
                value, which = get(gp, source + j), get(chosen_p, source + j)
                for k in range(4):
                    put(dx_p, target + k // 2 * width + k % 2 + 2 * j, value if which == k else float32(0))
            if width % 2:
                put(dx_p, target + width - 1, float32(0))
                put(dx_p, target + 2 * width - 1, float32(0))
        for q in range(2 * rows * width, height * width):
            put(dx_p, n * height * width + q, float32(0))


@helper
def _scale_row(source, i, scale, j, target, q, count):  # type: ignore[no-untyped-def]
    """Copy `count` floats, each times its scale; as in copy_row the last vector overlaps."""
    if count < LANES:
        for t in range(count):
            put(target, q + t, get(source, i + t) * get(scale, j + t))
        return
    for t in range(0, count - LANES, LANES):
        store(target, q + t, mul(load(source, i + t), load(scale, j + t)))
    t = count - LANES
    store(target, q + t, mul(load(source, i + t), load(scale, j + t)))


@kernel(void(_f3, _i1, _i1, _f2, _out3, _out1, _out1, int64, int64))
def _average(x, frame, offsets, scale, out, planes, values, n0, n1):  # type: ignore[no-untyped-def]
    """The sum of each window times `scale`, one over the number of its elements that count."""
    xp, fp, op, scale_p, out_p = pointer(x), pointer(frame), pointer(offsets), pointer(scale), pointer(out)
    planes_p, values_p = pointer(planes), pointer(values)
    _, height, width = x.shape
    _, rows, columns = out.shape
    pitch, plane, block = frame[4], frame[5], frame[6]
    for n in range(n0, n1, block):
        images = min(block, n1 - n)
        fill_planes(xp, n, images, 1, height, width, fp, planes_p)
        for t in range(0, (images - 1) * plane + (rows - 1) * pitch + columns, LANES):
            total = splat(float32(0))
            for k in range(offsets.shape[0]):
                total = add(total, load(planes_p, get(op, k) + t))
            store(values_p, t, total)
        for b in range(images):
            for i in range(rows):
                target = ((n + b) * rows + i) * columns
                _scale_row(values_p, b * plane + i * pitch, scale_p, i * columns, out_p, target, columns)


@kernel(void(_f3, _i1, _i1, _f2, _out3, _out1, _out1, int64, int64))
def _average_input(g, frame, offsets, scale, dx, planes, values, n0, n1):  # type: ignore[no-untyped-def]
    """Add each g times `scale` to every pixel of its window."""
    gp, fp, op, scale_p, dx_p = pointer(g), pointer(frame), pointer(offsets), pointer(scale), pointer(dx)
    planes_p, values_p = pointer(planes), pointer(values)
    _, height, width = dx.shape
    _, rows, columns = g.shape
    pitch, plane, block = frame[4], frame[5], frame[6]
    for n in range(n0, n1, block):
        images = min(block, n1 - n)
        for b in range(images):
            for i in range(rows):
                source = ((n + b) * rows + i) * columns
                _scale_row(gp, source, scale_p, i * columns, values_p, b * plane + i * pitch, columns)
        for q in range(0, planes.shape[0], LANES):
            store(planes_p, q, splat(float32(0)))
        for t in range(0, (images - 1) * plane + (rows - 1) * pitch + columns, LANES):
            v = load(values_p, t)
            for k in range(offsets.shape[0]):
                place = get(op, k) + t
                store(planes_p, place, add(load(planes_p, place), v))
        read_planes(planes_p, fp, n, images, height, width, dx_p)


# What the dispatcher calls --------------------------------------------------------------------------------------


def max_pool(
    x: Array, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
) -> tuple[Array, Array]:
    """`reference.max_pool` for float32, two dimensions, at most 255 taps. -inf under padding is not its affair."""
    images = math.prod(x.shape[:2])
    cuts = threads.parts(images, x.size * 4)
    size = pool_output_size(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    out = np.empty((images, *size), np.float32)
    chosen = np.empty(out.shape, np.uint8)
    x3 = x.reshape(images, *x.shape[2:])
    if _is_2x2(kernel_size, stride, padding, dilation, x.shape[2:], size):
        threads.run(_max_2x2, [(x3, out, chosen, *cut) for cut in cuts])
    else:
        plan = _plan(x.shape[2:], kernel_size, stride, padding, dilation, size, block_limit(images, cuts))
        jobs = [(x3, plan.frame, plan.offsets, out, chosen, *_scratch(plan, -math.inf), *cut) for cut in cuts]
        threads.run(_max, jobs)
    shape = x.shape[:2] + size
    return out.reshape(shape), chosen.reshape(shape)


def max_pool_scatter(
    g: Array, offsets: Array, shape: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints
) -> Array:
    """`reference.max_pool_scatter` for the offsets that `max_pool` gives."""
    images, size = math.prod(shape[:2]), g.shape[2:]
    cuts = threads.parts(images, math.prod(shape) * 4)
    dx = np.empty((images, *shape[2:]), np.float32)
    g3, chosen = g.reshape(images, *size), offsets.reshape(images, *size)
    if _is_2x2(kernel_size, stride, padding, dilation, shape[2:], size):
        threads.run(_max_2x2_scatter, [(g3, chosen, dx, *cut) for cut in cuts])
    else:
        plan = _plan(shape[2:], kernel_size, stride, padding, dilation, size, block_limit(images, cuts))
        jobs = [(g3, chosen, plan.frame, plan.offsets, dx, *_scratch(plan, 0.0), *cut) for cut in cuts]
        threads.run(_max_scatter, jobs)
    return dx.reshape(shape)


def _is_2x2(kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, size: Ints, out: Ints) -> bool:
    """Windows of 2 x 2, side by side, all inside the input."""
    plain = kernel_size == stride == (2, 2) and padding == (0, 0) and dilation == (1, 1)
    return plain and 2 * out[0] <= size[0] and 2 * out[1] <= size[1]


def avg_pool(x: Array, scale: Array, kernel_size: Ints, stride: Ints, padding: Ints) -> Array:
    """`reference.avg_pool` for float32 and two dimensions; `scale` (OH, OW) is one over each window's divisor."""
    images = math.prod(x.shape[:2])
    cuts = threads.parts(images, x.size * 4)
    plan = _plan(x.shape[2:], kernel_size, stride, padding, (1, 1), scale.shape, block_limit(images, cuts))
    out = np.empty((images, *plan.out), np.float32)
    flat = x.reshape(images, *x.shape[2:])
    jobs = [(flat, plan.frame, plan.offsets, scale, out, *_scratch(plan, 0.0)[:2], *cut) for cut in cuts]
    threads.run(_average, jobs)
    return out.reshape(x.shape[:2] + plan.out)


def avg_pool_input(g: Array, scale: Array, shape: Ints, kernel_size: Ints, stride: Ints, padding: Ints) -> Array:
    """`reference.avg_pool_input` for float32 and two dimensions."""
    images = math.prod(shape[:2])
    cuts = threads.parts(images, math.prod(shape) * 4)
    plan = _plan(shape[2:], kernel_size, stride, padding, (1, 1), scale.shape, block_limit(images, cuts))
    dx = np.empty((images, *shape[2:]), np.float32)
    g = g.reshape(images, *plan.out)
    jobs = [(g, plan.frame, plan.offsets, scale, dx, *_scratch(plan, 0.0)[:2], *cut) for cut in cuts]
    threads.run(_average_input, jobs)
    return dx.reshape(shape)

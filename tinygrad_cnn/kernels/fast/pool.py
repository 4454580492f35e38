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
from tinygrad_cnn.kernels.fast.rows import better, copy_bytes, copy_row, zeros
from tinygrad_cnn.kernels.fast.simd import (
    LANES,
    add,
    equal,
    filled,
    get,
    given,
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
        fill_planes(xp, n, images, 1, 0, 1, height, width, fp, planes_p)
        for t in range(0, (images - 1) * plane + (rows - 1) * pitch + columns, LANES):
            best, tap = splat(float32(-math.inf)), splat_int(0)
            for k in range(offsets.shape[0]):
                best, tap = better(load(planes_p, get(op, k) + t), k, best, tap)
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
        fill_planes(xp, n, images, 1, 0, 1, height, width, fp, planes_p)
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


@kernel(void(_f3, int64, int64, float32, _out3, _out1, int64, int64))
def _average_apart(x, high, wide, scale, out, line, n0, n1):  # type: ignore[no-untyped-def]
    """Windows of `high` x `wide` side by side: first the sum of their rows, in `line`, then that of its parts."""
    xp, out_p, line_p = pointer(x), pointer(out), pointer(line)
    _, height, width = x.shape
    _, rows, columns = out.shape
    count = columns * wide
    for n in range(n0, n1):
        for i in range(rows):
            source = (n * height + i * high) * width
            j = 0
            while j + LANES <= count:
                v = load(xp, source + j)
                for a in range(1, high):
                    v = add(v, load(xp, source + a * width + j))
                store(line_p, j, v)
                j += LANES
            while j < count:
                total = get(xp, source + j)
                for a in range(1, high):
                    total += get(xp, source + a * width + j)
                put(line_p, j, total)
                j += 1
            for j in range(columns):
                total = get(line_p, j * wide)
                for b in range(1, wide):
                    total += get(line_p, j * wide + b)
                put(out_p, (n * rows + i) * columns + j, total * scale)


@kernel(void(_f3, int64, int64, float32, _out3, _out1, int64, int64))
def _average_apart_input(g, high, wide, scale, dx, line, n0, n1):  # type: ignore[no-untyped-def]
    """Each g times `scale` to its window, by way of `line`, which is zero beside the windows; then zero below them."""
    gp, dxp, line_p = pointer(g), pointer(dx), pointer(line)
    _, height, width = dx.shape
    _, rows, columns = g.shape
    for n in range(n0, n1):
        for i in range(rows):
            for j in range(columns):
                value = get(gp, (n * rows + i) * columns + j) * scale
                for b in range(wide):
                    put(line_p, j * wide + b, value)
            for a in range(high):
                copy_row(line_p, 0, dxp, (n * height + i * high + a) * width, width)
        for q in range(rows * high * width, height * width):
            put(dxp, n * height * width + q, float32(0))


# What the dispatcher calls --------------------------------------------------------------------------------------


def max_pool(
    x: Array, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
) -> tuple[Array, Array]:
    """`reference.max_pool` for float32, two dimensions, at most 255 taps. -inf under padding is not its affair."""
    images = math.prod(x.shape[:2])
    cuts = threads.parts(images, x.size * 4)
    size = pool_output_size(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    plan = _plan(x.shape[2:], kernel_size, stride, padding, dilation, size, block_limit(images, cuts))
    out = np.empty((images, *size), np.float32)
    chosen = np.empty(out.shape, np.uint8)
    x3 = x.reshape(images, *x.shape[2:])
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
    plan = _plan(shape[2:], kernel_size, stride, padding, dilation, size, block_limit(images, cuts))
    dx = np.empty((images, *shape[2:]), np.float32)
    g3, chosen = g.reshape(images, *size), offsets.reshape(images, *size)
    jobs = [(g3, chosen, plan.frame, plan.offsets, dx, *_scratch(plan, 0.0), *cut) for cut in cuts]
    threads.run(_max_scatter, jobs)
    return dx.reshape(shape)


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


def avg_pool_apart(x: Array, kernel_size: Ints, scale: float, out: Ints) -> Array:
    """`reference.avg_pool` for windows side by side, all inside the input; `scale` is one over their divisor."""
    images = math.prod(x.shape[:2])
    y = np.empty((images, *out), np.float32)
    cuts = threads.parts(images, x.size)
    flat, (lines,) = x.reshape(images, *x.shape[2:]), zeros(len(cuts), x.shape[3])
    threads.run(_average_apart, [(flat, *kernel_size, scale, y, lines[i], *cut) for i, cut in enumerate(cuts)])
    return y.reshape(x.shape[:2] + out)


def avg_pool_apart_input(g: Array, kernel_size: Ints, scale: float, shape: Ints) -> Array:
    """`reference.avg_pool_input` for such windows."""
    images = math.prod(shape[:2])
    dx = np.empty((images, *shape[2:]), np.float32)
    cuts = threads.parts(images, dx.size)
    flat, (lines,) = g.reshape(images, *g.shape[2:]), zeros(len(cuts), shape[3])
    threads.run(_average_apart_input, [(flat, *kernel_size, scale, dx, lines[i], *cut) for i, cut in enumerate(cuts)])
    return dx.reshape(shape)

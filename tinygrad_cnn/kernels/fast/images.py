"""Direct convolution with eight images in the lanes: for small images and strides, with a batch of eight or more.

The planes of direct.py hold runs of pixels; here every pixel is a vector, lane b that of image b. So no sum is
computed over a border (no junk columns), no stride parts neighbours, each load is one aligned vector, and a plane of
4 x 4 is as good as one of 400. The tables of offsets are those of direct.py times eight; only the way of
images into the lanes and back is new: squares of 8 x 8 that are turned, `gather` and `scatter`.

The register tile takes any three output pixels (their places come from a table), so even strided ones.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import float32, int64, void

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.fast.direct import Plan, forward_plan, input_plan, pack, pack_mirrored, starts, weight_of
from tinygrad_cnn.kernels.fast.planes import SLACK, block_limit
from tinygrad_cnn.kernels.fast.rows import added, aligned, sum_run, turned, zeros
from tinygrad_cnn.kernels.fast.simd import (
    LANES,
    dot_tile,
    filled,
    get,
    given,
    greater,
    helper,
    kernel,
    load,
    multiply_tile,
    pointer,
    put,
    select,
    shifted,
    splat,
    store,
)
from tinygrad_cnn.kernels.sizes import Ints, conv_output_size

Array = np.ndarray[Any, np.dtype[Any]]

# Aim for this many pixels in a plane: take several eights of images at once.
RUN = 160

_tile_4x3, _tile_6x2 = multiply_tile(4, 3, scattered=True), multiply_tile(6, 2, scattered=True)
_tile_1x6 = multiply_tile(1, 6, scattered=True)
_dots_4x3, _dots_3x3 = dot_tile(4, 3, scattered=True), dot_tile(3, 3, scattered=True)
_dots_1x9 = dot_tile(1, 9, scattered=True)

# A vector from LANES - n on has its first n lanes above zero.
LANE_MASKS = np.repeat(np.array([1, 0], np.float32), LANES)


# Into the lanes and back ----------------------------------------------------------------------------------------


@helper
def gather(x, first, stride, images, count, places, pixels):  # type: ignore[no-untyped-def]
    """Pixel q < count of up to eight images, `stride` floats apart, to the vector at places[q].

    If there are fewer than eight, the last one fills the spare lanes, so they hold numbers that are good to compute
    with. The last square overlaps the one before it.
    """
    if count < LANES:
        for q in range(count):
            for b in range(LANES):
                put(pixels, get(places, q) + b, get(x, first + min(b, images - 1) * stride + q))
        return
    last = images - 1
    i1, i2, i3 = first + min(1, last) * stride, first + min(2, last) * stride, first + min(3, last) * stride
    i4, i5, i6 = first + min(4, last) * stride, first + min(5, last) * stride, first + min(6, last) * stride
    i7 = first + min(7, last) * stride
    q = 0
    while q < count:
        q = min(q, count - LANES)
        p0, p1, p2, p3, p4, p5, p6, p7 = turned(
            load(x, first + q), load(x, i1 + q), load(x, i2 + q), load(x, i3 + q),
            load(x, i4 + q), load(x, i5 + q), load(x, i6 + q), load(x, i7 + q),
        )  # fmt: skip
        store(pixels, get(places, q), p0)
        store(pixels, get(places, q + 1), p1)
        store(pixels, get(places, q + 2), p2)
        store(pixels, get(places, q + 3), p3)
        store(pixels, get(places, q + 4), p4)
        store(pixels, get(places, q + 5), p5)
        store(pixels, get(places, q + 6), p6)
        store(pixels, get(places, q + 7), p7)
        q += LANES


@helper
def scatter(pixels, places, count, x, first, stride, images):  # type: ignore[no-untyped-def]
    """The way back of `gather`: what the lanes hold of each image, spare lanes left out."""
    if count < LANES:
        for q in range(count):
            for b in range(images):
                put(x, first + b * stride + q, get(pixels, get(places, q) + b))
        return
    q = 0
    while q < count:
        q = min(q, count - LANES)
        rows = turned(
            load(pixels, get(places, q)), load(pixels, get(places, q + 1)),
            load(pixels, get(places, q + 2)), load(pixels, get(places, q + 3)),
            load(pixels, get(places, q + 4)), load(pixels, get(places, q + 5)),
            load(pixels, get(places, q + 6)), load(pixels, get(places, q + 7)),
        )  # fmt: skip
        at = first + q
        store(x, at, rows[0])
        if images > 1:
            store(x, at + stride, rows[1])
        if images > 2:
            store(x, at + 2 * stride, rows[2])
        if images > 3:
            store(x, at + 3 * stride, rows[3])
        if images > 4:
            store(x, at + 4 * stride, rows[4])
        if images > 5:
            store(x, at + 5 * stride, rows[5])
        if images > 6:
            store(x, at + 6 * stride, rows[6])
        if images > 7:
            store(x, at + 7 * stride, rows[7])
        q += LANES


@helper
def silence(pixels, count, images, masks):  # type: ignore[no-untyped-def]
    """Zero the lanes of `count` vectors that belong to no image."""
    mask, zero = greater(load(masks, LANES - images), splat(float32(0))), splat(float32(0))
    for t in range(0, count * LANES, LANES):
        store(pixels, t, select(mask, load(pixels, t), zero))


# The kernels: images n0 <= n < n1, `eights` times eight of them at once -----------------------------------------

_f1, _f4, _i1, _i2 = given(float32, 1), given(float32, 4), given(int64, 1), given(int64, 2)
_out1, _out4 = filled(float32, 1), filled(float32, 4)


@helper
def _gather_group(x, n, n1, eights, size, channels, first, count, phases, plane, places, planes):  # type: ignore[no-untyped-def]
    """`count` channels of images n .. n + 8*eights (those before n1) to the lanes: [channel][phase][eight][pixel]."""
    for e in range(min(eights, (n1 - n + 7) // 8)):
        images = min(LANES, n1 - n - 8 * e)
        for c in range(count):
            source = ((n + 8 * e) * channels + first + c) * size
            target = shifted(planes, (c * phases * eights + e) * plane * LANES)
            gather(x, source, channels * size, images, size, places, target)


@kernel(void(_f4, _i1, _i1, _i2, _i1, _i1, _f1, _f1, int64, int64, _i1, int64, _out4, _out1, _out1, int64, int64))
def _correlate(  # type: ignore[no-untyped-def]
    x, frame, places, sweeps, positions, offsets, weights, start, groups, tile_rows, out_places, line, out, planes,
    results, n0, n1,
):  # fmt: skip
    """direct.py's `_correlate`. `positions` says for each sweep where its outputs' first taps are, eight by eight."""
    xp, ip, pp, op, wp, sp = (
        pointer(x), pointer(places), pointer(positions), pointer(offsets), pointer(weights), pointer(start),
    )  # fmt: skip
    planes_p, results_p, places_p, out_p = pointer(planes), pointer(results), pointer(out_places), pointer(out)
    channels, size = x.shape[1], x.shape[2] * x.shape[3]
    out_channels, out_size = out.shape[1], out.shape[2] * out.shape[3]
    phases, plane, eights = frame[2] * frame[3], frame[5], frame[6]
    group_in, group_out = channels // groups, out_channels // groups
    padded_out = (group_out + tile_rows - 1) // tile_rows * tile_rows
    tile_pixels = 3 if tile_rows == 4 else 2 if tile_rows == 6 else 6
    for n in range(n0, n1, LANES * eights):
        blocks = min(eights, (n1 - n + 7) // 8)
        for group in range(groups):
            _gather_group(xp, n, n1, eights, size, channels, group * group_in, group_in, phases, plane, ip, planes_p)
            for s in range(sweeps.shape[0]):
                first, depth, weight, whole = sweeps[s, 0], sweeps[s, 1], sweeps[s, 2], sweeps[s, 3]
                at, count = sweeps[s, 4], sweeps[s, 5] * blocks
                for t in range(0, count, tile_pixels):
                    here = shifted(pp, at + t)
                    for o in range(0, padded_out, tile_rows):
                        si, yi = group * padded_out + o, o * line + (at + t) * LANES
                        wi = weight + si * whole
                        if tile_rows == 4:
                            _tile_4x3(planes_p, here, op, first, depth, wp, wi, sp, si, results_p, yi, line)
                        elif tile_rows == 6:
                            _tile_6x2(planes_p, here, op, first, depth, wp, wi, sp, si, results_p, yi, line)
                        else:
                            _tile_1x6(planes_p, here, op, first, depth, wp, wi, sp, si, results_p, yi, line)
            for e in range(blocks):
                images = min(LANES, n1 - n - 8 * e)
                for o in range(group_out):
                    target = ((n + 8 * e) * out_channels + group * group_out + o) * out_size
                    found, there = shifted(results_p, o * line), shifted(places_p, e * out_size)
                    scatter(found, there, out_size, out_p, target, out_channels * out_size, images)


@kernel(void(_f4, _f4, _i1, _i1, _i1, _i1, int64, int64, _i1, _f1, _out1, _out1, _out1, _out1, int64, int64))
def _correlate_gradient(  # type: ignore[no-untyped-def]
    x, g, frame, places, positions, offsets, groups, tile_rows, g_places, masks, sums, bias, planes, g_planes, n0, n1
):
    """direct.py's `_correlate_gradient`; the lanes of g that belong to no image are zero."""
    xp, gp, ip, pp, op = pointer(x), pointer(g), pointer(places), pointer(positions), pointer(offsets)
    g_places_p, masks_p, sums_p = pointer(g_places), pointer(masks), pointer(sums)
    planes_p, g_planes_p = pointer(planes), pointer(g_planes)
    channels, size = x.shape[1], x.shape[2] * x.shape[3]
    out_channels, out_size = g.shape[1], g.shape[2] * g.shape[3]
    phases, plane, eights = frame[2] * frame[3], frame[5], frame[6]
    group_in, group_out = channels // groups, out_channels // groups
    taps, line = offsets.shape[0], eights * out_size * LANES
    for n in range(n0, n1, LANES * eights):
        blocks = min(eights, (n1 - n + 7) // 8)
        for group in range(groups):
            _gather_group(xp, n, n1, eights, size, channels, group * group_in, group_in, phases, plane, ip, planes_p)
            for o in range(0, group_out, tile_rows):
                for r in range(min(tile_rows, group_out - o)):
                    channel = group * group_out + o + r
                    for e in range(blocks):
                        images = min(LANES, n1 - n - 8 * e)
                        source = ((n + 8 * e) * out_channels + channel) * out_size
                        for b in range(images):
                            if bias.shape[0]:
                                bias[channel] += sum_run(gp, source + b * out_channels * out_size, out_size)
                        target = shifted(g_planes_p, r * line + e * out_size * LANES)
                        gather(gp, source, out_channels * out_size, images, out_size, g_places_p, target)
                        if images < LANES:
                            silence(target, out_size, images, masks_p)
                length = blocks * out_size * LANES
                first = (group * ((group_out + tile_rows - 1) // tile_rows) + o // tile_rows) * taps * tile_rows
                if tile_rows == 4:
                    for k in range(0, taps, 3):
                        _dots_4x3(g_planes_p, 0, line, planes_p, pp, op, k, length, sums_p, first + 4 * k)
                elif tile_rows == 3:
                    for k in range(0, taps, 3):
                        _dots_3x3(g_planes_p, 0, line, planes_p, pp, op, k, length, sums_p, first + 3 * k)
                else:
                    for k in range(0, taps, 9):
                        _dots_1x9(g_planes_p, 0, line, planes_p, pp, op, k, length, sums_p, first + k)


# From shapes to tables ------------------------------------------------------------------------------------------


class Tables(NamedTuple):
    """A plan of direct.py for vectors in place of floats. The taps of a row of the kernel are neighbours."""

    plan: Plan
    # Of each sweep: its first tap and how many, its weights and how many per row of the tile, its first position and
    # how many outputs of an image.
    sweeps: Array
    results: int  # floats per channel
    places: Array  # of the input's pixels in a plane
    positions: Array
    offsets: Array
    out_places: Array  # of the output's pixels in the results


@lru_cache(maxsize=256)
def _tables(make: Any, trimmed: bool, size: Ints, out: Ints, *arguments: Any) -> Tables:
    """Tables for the plan that `make(*arguments)` gives; `size` and `out` are the pixels of input and output.

    If `trimmed`, outputs near the border leave out the rows of the kernel that see padding alone: their products are
    zero if the weights are finite. So there is a sweep for all rows of outputs that see the same rows of the kernel.
    """
    plan = make(*arguments, RUN)
    top, left, down, right, pitch, plane, block = (int(f) for f in plan.frame)
    h, w = np.arange(size[0])[:, None] + top, np.arange(size[1]) + left
    places = (h % down * right + w % right) * block * plane + h // down * pitch + w // right
    is_pixel = np.zeros(down * right * block * plane + SLACK, bool)
    is_pixel[places] = True
    eights = np.arange(block)[:, None, None]
    positions, offsets, sweeps, first = [], [], [], 0
    out_places = np.zeros((block, *out), np.int64)
    for (tap, depth, weights, rows, columns, row, row_step, column, column_step, _), (a, b) in zip(
        plan.sweeps.tolist(), plan.taps, strict=True
    ):
        taps = plan.offsets[tap : tap + depth].reshape(-1, len(a), len(b)).swapaxes(0, 1) if depth else plan.offsets[:0]
        offsets.append(taps.ravel())
        per_row = depth // max(1, len(a))
        for start, stop, low, high in _bands(taps, is_pixel, rows, columns, pitch, trimmed):
            here = eights * plane + np.arange(start, stop)[:, None] * pitch + np.arange(columns)
            count = aligned(here.size, 6)
            positions += [*here.ravel(), *[here.flat[0]] * (count - here.size)]
            target = slice(row + start * row_step, row + (stop - 1) * row_step + 1, row_step)
            out_places[:, target, column::column_step] = first + np.arange(here.size).reshape(here.shape)
            skipped = weights + low * per_row * plan.tile[0]
            sweeps.append((tap + low * per_row, (high - low) * per_row, skipped, depth, first, here[0].size))
            first += count
    vectors = (np.asarray(a, np.int64).ravel() * LANES for a in (places, positions, np.hstack(offsets), out_places))
    return Tables(plan, np.array(sweeps), first * LANES, *vectors)


def _bands(
    taps: Array, is_pixel: Array, rows: int, columns: int, pitch: int, trimmed: bool
) -> list[tuple[int, int, int, int]]:
    """Rows of outputs that see the same rows of the kernel: (first output row, end, first kernel row, end)."""
    if not trimmed or not taps.size:
        return [(0, rows, 0, len(taps))]
    seen = np.arange(rows)[:, None, None, None] * pitch + np.arange(columns)[:, None] + taps[:, 0][:, None]
    matters = is_pixel[seen].any(axis=(2, 3))  # (rows, rows of the kernel)
    low = np.where(matters.any(axis=1), matters.argmax(axis=1), 0)
    high = np.where(matters.any(axis=1), len(taps) - matters[:, ::-1].argmax(axis=1), 0)
    cuts = [0, *(np.flatnonzero(np.diff(low) | np.diff(high)) + 1).tolist(), rows]
    return [(i, j, int(low[i]), int(high[i])) for i, j in pairwise(cuts)]


def _limit(n: int, cuts: Any) -> int:
    return block_limit(max(1, n // LANES), cuts)


# What the dispatcher calls --------------------------------------------------------------------------------------


def conv(x: Array, w: Array, b: Array | None, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """`reference.conv` for float32 and two spatial dimensions."""
    n, o = len(x), len(w)
    out = conv_output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    cuts = threads.parts(-(-n // LANES), n * w.size * out[0] * out[1])
    finite = math.isfinite(np.vdot(w, w))
    tables = _tables(
        forward_plan, finite, x.shape[2:], out, x.shape[1:], w.shape, stride, padding, dilation, groups, _limit(n, cuts)
    )
    rows = tables.plan.tile[0]
    start, packed = starts(b, o, groups, rows), pack(w.swapaxes(1, 2), groups, rows)
    return _run(x, tables, packed, start, groups, (n, o, *out), cuts)


def conv_input(g: Array, w: Array, shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """`reference.conv_input` for float32 and two spatial dimensions, for weights that are finite."""
    n = len(g)
    cuts = threads.parts(-(-n // LANES), n * w.size * g.shape[2] * g.shape[3])
    tables = _tables(
        input_plan, True, g.shape[2:], shape[2:], g.shape[1:], w.shape, shape[2:], stride, padding, dilation, groups,
        _limit(n, cuts),
    )  # fmt: skip
    start = starts(None, shape[1], groups, tables.plan.tile[0])
    return _run(g, tables, pack_mirrored(w, tables.plan, groups, by_row=True), start, groups, shape, cuts)


def conv_weight(
    x: Array, g: Array, shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int, need_b: bool
) -> tuple[Array, Array]:
    """`reference.conv_weight` for float32 and two spatial dimensions; with it comes the bias's gradient, or nothing.

    g has all the pixels of the convolution's output.
    """
    n, o, out = len(x), shape[0], g.shape[2:]
    cuts = threads.parts(-(-n // LANES), n * math.prod(shape) * out[0] * out[1])
    arguments = x.shape[1:], shape, stride, padding, dilation, groups, _limit(n, cuts)
    tables = _tables(forward_plan, False, x.shape[2:], out, *arguments)
    plan = tables.plan
    rows, eights, offsets = plan.dots[0], int(plan.frame[6]), plan.dot_offsets * LANES
    tiles = aligned(o // groups, rows) // rows
    in_lanes = plan.planes * LANES, rows * eights * math.prod(out) * LANES
    found = groups * tiles * len(offsets) * rows, o if need_b else 0
    sums, bias, planes, g_planes = zeros(len(cuts), *found, *in_lanes)
    g_places = np.arange(out[0] * out[1]) * LANES
    inputs = (x, g, plan.frame, tables.places, tables.positions, offsets, groups, rows, g_places, LANE_MASKS)
    jobs = [(*inputs, sums[i], bias[i], planes[i], g_planes[i], *images_of(cut, n)) for i, cut in enumerate(cuts)]
    threads.run(_correlate_gradient, jobs)
    return weight_of(added(sums), plan, shape, groups), added(bias)


def _run(x: Array, tables: Tables, weights: Array, start: Array, groups: int, shape: Ints, cuts: Any) -> Array:
    plan, out = tables.plan, np.empty(shape, np.float32)
    sizes = plan.planes * LANES, aligned(shape[1] // groups, plan.tile[0]) * tables.results
    planes, results = zeros(len(cuts), *sizes)
    inputs = (
        x, plan.frame, tables.places, tables.sweeps, tables.positions, tables.offsets, weights, start, groups,
        plan.tile[0], tables.out_places, tables.results, out,
    )  # fmt: skip
    threads.run(_correlate, [(*inputs, planes[i], results[i], *images_of(cut, len(x))) for i, cut in enumerate(cuts)])
    return out


def images_of(cut: tuple[int, int], n: int) -> tuple[int, int]:
    """A thread's part in images, given in eights."""
    return cut[0] * LANES, min(cut[1] * LANES, n)

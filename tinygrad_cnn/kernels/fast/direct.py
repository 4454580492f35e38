"""Direct convolution and its gradients: any kernel, stride, padding, dilation and groups, 1 or 2 dimensions.

The idea is that everything is a table of offsets. Each image is copied into zero-bordered planes, one flat run
of floats per channel. Then output pixel (i, j) lies `i * pitch + j` from the first one, and what it sees of tap
(c, a, b) lies just as far from a place that depends on the tap alone: its offset. So the convolution of a whole
plane is one loop over taps whose body multiplies a vector of neighbouring pixels, `multiply_tile`. Where a row
ends, a few sums are computed over the border that belong to no output (junk columns); they are not copied out. Where
rows fill tiles, they are taken one by one instead, and the tiles write straight to the output.

- **Stride** s: pixels s apart must become neighbours. The copy deals the rows and columns out to s * s phase
  planes; tap (a, b) reads the plane of phase (a mod s, b mod s).
- **Dilation** only changes the offsets. **Groups** are a loop.
- **The input's gradient** correlates g with the weights of mirrored offsets. With stride s the pixels of each
  phase of dx see other taps, so there is one sweep over the planes of g for each of the s * s phases.
- **The weight's gradient** is for each tap the dot product of a plane of g with a plane of x, `dot_tile`.

Small images are taken several at once (a block), so that the runs are long.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import float32, int64, void

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.fast.planes import LONG_RUN, SLACK, Frame, block_limit, fill_planes, frame_of
from tinygrad_cnn.kernels.fast.rows import added, aligned, copy_row, sum_run, zeros
from tinygrad_cnn.kernels.fast.simd import (
    dot_tile,
    filled,
    get,
    given,
    kernel,
    multiply_tile,
    pointer,
    put,
)
from tinygrad_cnn.kernels.sizes import Ints, conv_output_size

Array = np.ndarray[Any, np.dtype[Any]]

_tile_4x24, _tile_6x16, _tile_1x48 = multiply_tile(4, 3), multiply_tile(6, 2), multiply_tile(1, 6)
_dot_4x3, _dot_3x3, _dot_1x9 = dot_tile(4, 3), dot_tile(3, 3), dot_tile(1, 9)


COPY = 6  # multiply-adds that take as long as to copy a result


class Sweep(NamedTuple):
    """One pass over the planes: which taps, and where its results go in the output."""

    first: int  # of its taps in the table of offsets
    depth: int  # how many taps
    weights: int  # where its packed weights begin
    rows: int  # results per image
    columns: int
    row: int  # output row of the first result, and the distance to the next
    row_step: int
    column: int
    column_step: int
    straight: int = 0  # whether results go row by row straight to the output; else in one run, from which rows are cut


class Plan(NamedTuple):
    """All that depends on shapes alone, for one convolution."""

    frame: Array
    sweeps: Array
    offsets: Array
    dots: tuple[int, int]  # rows and columns of the tile of dot products
    dot_offsets: Array  # the offsets, filled up to a multiple of its columns
    taps: tuple[tuple[list[int], list[int]], ...]  # for each sweep its rows and columns of the kernel
    tile: tuple[int, int]  # channels and pixels of the register tile
    planes: int  # floats of scratch per thread
    run: int  # those of a channel's run, of all images that are taken at once
    results: int  # likewise; none where all sweeps write straight to the output
    out: Ints  # rows and columns of the first sweep


# The kernels ----------------------------------------------------------------------------------------------------

_f1, _f3, _f4, _i1, _i2 = (*(given(float32, n) for n in (1, 3, 4)), given(int64, 1), given(int64, 2))
_out1, _out3, _out4 = (filled(float32, n) for n in (1, 3, 4))


@kernel(void(_f4, _i1, _i2, _i1, _f1, _f1, int64, int64, _out4, _out1, _out1, int64, int64))
def _correlate(  # type: ignore[no-untyped-def]
    x, frame, sweeps, offsets, weights, start, groups, tile_rows, out, planes, results, n0, n1
):
    """Correlate the images n0 <= n < n1 of `x` with every sweep's weights, into `out`.

    One group's channels at a time are in the planes, so a depthwise convolution stays in the core's own cache.
    `planes` has SLACK floats behind the last plane, for the last tile; `results` has whole tiles.
    """
    xp, fp, op, wp, sp = pointer(x), pointer(frame), pointer(offsets), pointer(weights), pointer(start)
    planes_p, results_p, out_p = pointer(planes), pointer(results), pointer(out)
    _, channels, height, width = x.shape
    _, out_channels, out_height, out_width = out.shape
    pitch, plane, block = frame[4], frame[5], frame[6]
    group_in, group_out = channels // groups, out_channels // groups
    padded_out = (group_out + tile_rows - 1) // tile_rows * tile_rows
    tile_columns = 24 if tile_rows == 4 else 16 if tile_rows == 6 else 48
    for n in range(n0, n1, block):
        images = min(block, n1 - n)
        for group in range(groups):
            fill_planes(xp, n, images, channels, group * group_in, group_in, height, width, fp, planes_p)
            for s in range(sweeps.shape[0]):
                first, depth, weight = sweeps[s, 0], sweeps[s, 1], sweeps[s, 2]
                rows, columns = sweeps[s, 3], sweeps[s, 4]
                row, row_step, column, column_step = sweeps[s, 5], sweeps[s, 6], sweeps[s, 7], sweeps[s, 8]
                straight = sweeps[s, 9] == 1
                length = (images - 1) * plane + (rows - 1) * pitch + columns
                line = (length + tile_columns - 1) // tile_columns * tile_columns
                source, target, y_p, last = 0, 0, results_p, line - tile_columns
                if straight:  # the last tile of a row overlaps the one before it
                    line, y_p, last = out_height * out_width, out_p, columns - tile_columns
                for q in range(images * rows if straight else 1):
                    if straight:
                        b, i = q // rows, q % rows
                        source = b * plane + i * pitch
                        target = ((n + b) * out_channels + group * group_out) * line
                        target += (row + i * row_step) * out_width + column
                    for start_t in range(0, last + tile_columns, tile_columns):
                        t = min(start_t, last)
                        for o in range(0, padded_out, tile_rows):
                            wi = weight + (group * padded_out + o) * depth
                            si, xi, yi = group * padded_out + o, source + t, target + o * line + t
                            if tile_rows == 4:
                                _tile_4x24(planes_p, xi, op, first, depth, wp, wi, sp, si, y_p, yi, line)
                            elif tile_rows == 6:
                                _tile_6x16(planes_p, xi, op, first, depth, wp, wi, sp, si, y_p, yi, line)
                            else:
                                _tile_1x48(planes_p, xi, op, first, depth, wp, wi, sp, si, y_p, yi, line)
                if straight:
                    continue
                for b in range(images):
                    for o in range(group_out):
                        target = ((n + b) * out_channels + group * group_out + o) * out_height + row
                        target = target * out_width + column
                        source = o * line + b * plane
                        for _ in range(rows):
                            if column_step == 1:
                                copy_row(results_p, source, out_p, target, columns)
                            else:
                                for j in range(columns):
                                    put(out_p, target + j * column_step, get(results_p, source + j))
                            source += pitch
                            target += row_step * out_width


@kernel(void(_f4, _f4, _i1, _i1, int64, int64, _out1, _out1, _out1, _out1, int64, int64))
def _correlate_gradient(  # type: ignore[no-untyped-def]
    x, g, frame, offsets, groups, tile_rows, sums, bias, planes, g_planes, n0, n1
):
    """Dot products of the planes of g with those of x at every tap, summed over the images n0 <= n < n1.

    `sums` is [group][`tile_rows` channels of g][tap][channel]: three or four of them, and a number of taps that is a
    multiple of 3; or one, and a multiple of 9. `bias` gets the sum of each channel of g, unless it has no room. Of g,
    that many channels at a time are copied to runs with the pitch of x's planes; between their rows is zero, and stays
    so.
    """
    xp, gp, fp, op, sums_p = pointer(x), pointer(g), pointer(frame), pointer(offsets), pointer(sums)
    planes_p, g_planes_p = pointer(planes), pointer(g_planes)
    _, channels, height, width = x.shape
    _, out_channels, rows, columns = g.shape
    pitch, plane, block = frame[4], frame[5], frame[6]
    group_in, group_out = channels // groups, out_channels // groups
    taps = offsets.shape[0]
    line = block * plane
    for n in range(n0, n1, block):
        images = min(block, n1 - n)
        length = ((images - 1) * plane + (rows - 1) * pitch + columns + 7) // 8 * 8
        for group in range(groups):
            fill_planes(xp, n, images, channels, group * group_in, group_in, height, width, fp, planes_p)
            for o in range(0, group_out, tile_rows):
                for r in range(min(tile_rows, group_out - o)):
                    channel = group * group_out + o + r
                    for b in range(images):
                        source = ((n + b) * out_channels + channel) * rows * columns
                        if bias.shape[0]:
                            bias[channel] += sum_run(gp, source, rows * columns)
                        target = r * line + b * plane
                        for _ in range(rows):
                            copy_row(gp, source, g_planes_p, target, columns)
                            source += columns
                            target += pitch
                first = (group * ((group_out + tile_rows - 1) // tile_rows) + o // tile_rows) * taps * tile_rows
                if tile_rows == 4:
                    for k in range(0, taps, 3):
                        _dot_4x3(g_planes_p, 0, line, planes_p, 0, op, k, length, sums_p, first + 4 * k)
                elif tile_rows == 3:
                    for k in range(0, taps, 3):
                        _dot_3x3(g_planes_p, 0, line, planes_p, 0, op, k, length, sums_p, first + 3 * k)
                else:
                    for k in range(0, taps, 9):
                        _dot_1x9(g_planes_p, 0, line, planes_p, 0, op, k, length, sums_p, first + k)


@kernel(void(_f3, int64, _out1))
def _pack(w, rows, packed):  # type: ignore[no-untyped-def]
    """Put w (group, channel, tap) into [group][tile][tap][row of the tile]."""
    groups, channels, depth = w.shape
    tiles = (channels + rows - 1) // rows
    for group in range(groups):
        for o in range(channels):
            first = (group * tiles + o // rows) * depth * rows + o % rows
            for k in range(depth):
                packed[first + k * rows] = w[group, o, k]


@kernel(void(_f1, int64, int64, _out3))
def _unpack(packed, rows, depth, w):  # type: ignore[no-untyped-def]
    """The way back, from tiles of `depth` taps, of which w may have fewer."""
    groups, channels, taps = w.shape
    tiles = (channels + rows - 1) // rows
    for group in range(groups):
        for o in range(channels):
            first = (group * tiles + o // rows) * depth * rows + o % rows
            for k in range(taps):
                w[group, o, k] = packed[first + k * rows]


# From shapes to plans -------------------------------------------------------------------------------------------


def _tile_for(channels: int) -> tuple[int, int]:
    """Channels and pixels of the register tile: what wastes the fewest of its rows."""
    if channels == 1:
        return 1, 48
    return (6, 16) if channels % 6 == 0 and channels % 4 else (4, 24)


def _dots_for(channels: int) -> tuple[int, int]:
    """Channels and taps of the tile of dot products, likewise: of three or four rows, four if both waste as many."""
    if channels == 1:
        return 1, 9
    return (3, 3) if aligned(channels, 3) < aligned(channels, 4) else (4, 3)


def _is_straight(sweep: Sweep, pitch: int, tile: tuple[int, int], channels: int) -> bool:
    """Whether to write a sweep's rows straight to the output: what tiles then compute twice costs less than to copy."""
    twice = aligned(sweep.columns, tile[1]) - pitch
    fits = sweep.column_step == 1 and sweep.columns >= tile[1] and channels % tile[0] == 0
    return fits and twice * sweep.depth <= COPY * sweep.columns


def _plan(frame: Frame, sweeps: list[Sweep], offsets: list[int], taps: Any, channels: int, group_out: int) -> Plan:
    tile, dots = _tile_for(group_out), _dots_for(group_out)
    sweeps = [sweep._replace(straight=int(_is_straight(sweep, frame.pitch, tile, group_out))) for sweep in sweeps]
    longest = max((frame.block - 1) * frame.plane + (sweep.rows - 1) * frame.pitch + sweep.columns for sweep in sweeps)
    return Plan(
        np.array(frame),
        np.array(sweeps),
        np.array(offsets, np.int64),
        dots,
        np.array(offsets + offsets[-1:] * (-len(offsets) % dots[1]), np.int64),
        taps,
        tile,
        channels * frame.down * frame.right * frame.block * frame.plane + SLACK,
        frame.block * frame.plane,
        0 if all(sweep.straight for sweep in sweeps) else aligned(group_out, tile[0]) * aligned(longest, tile[1]),
        (sweeps[0].rows, sweeps[0].columns),
    )


@lru_cache(maxsize=256)
def forward_plan(
    x: Ints, w: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int, limit: int, run: int = LONG_RUN
) -> Plan:
    """One sweep over the planes of x. Tap (c, a, b) reads the phase and the place that a * dilation leads to."""
    channels, size = x[0], x[1:]
    planes = tuple(-(-(s + 2 * p) // st) for s, p, st in zip(size, padding, stride, strict=True))
    frame = frame_of(padding, stride, planes, limit, run)
    rows, columns = conv_output_size(size, w[2:], stride, padding, dilation)
    taps = (list(range(w[2])), list(range(w[3])))
    offsets = []
    for c in range(w[1]):
        for a in range(w[2]):
            for b in range(w[3]):
                phase_row, phase_column = a * dilation[0] % stride[0], b * dilation[1] % stride[1]
                phase = (c * stride[0] + phase_row) * stride[1] + phase_column
                place = a * dilation[0] // stride[0] * frame.pitch + b * dilation[1] // stride[1]
                offsets.append(phase * frame.block * frame.plane + place)
    sweep = Sweep(0, len(offsets), 0, rows, columns, 0, 1, 0, 1)
    return _plan(frame, [sweep], offsets, (taps,), channels // groups, w[0] // groups)


@lru_cache(maxsize=256)
def input_plan(
    g: Ints, w: Ints, size: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int, limit: int,
    run: int = LONG_RUN,
) -> Plan:  # fmt: skip
    """One sweep over the planes of g for each phase of dx's pixels.

    Pixel h of dx with h + padding = stride * q + phase gets g[q - e] through each tap a with
    a * dilation = stride * e + phase. The planes have room for q - e < 0 above and for large q below.
    """
    first = [[-(-max(0, p - r) // s) for r in range(s)] for p, s in zip(padding, stride, strict=True)]
    counts = [
        [len(range(f * s + r - p, n, s)) for r, f in enumerate(line)]
        for line, p, s, n in zip(first, padding, stride, size, strict=True)
    ]
    margin = tuple((k - 1) * d // s for k, d, s in zip(w[2:], dilation, stride, strict=True))
    last = [max(f + n for f, n in zip(*line, strict=True)) for line in zip(first, counts, strict=True)]
    planes = tuple(m + max(n, q) for m, n, q in zip(margin, g[1:], last, strict=True))
    frame = frame_of(margin, (1, 1), planes, limit, run)
    group_in, group_out = w[1], w[0] // groups
    sweeps: list[Sweep] = []
    offsets: list[int] = []
    taps: list[tuple[list[int], list[int]]] = []
    weights = 0
    for row in range(stride[0]):
        for column in range(stride[1]):
            rows, columns = counts[0][row], counts[1][column]
            if not rows or not columns:
                continue
            a_taps = [a for a in range(w[2]) if a * dilation[0] % stride[0] == row]
            b_taps = [b for b in range(w[3]) if b * dilation[1] % stride[1] == column]
            depth = group_out * len(a_taps) * len(b_taps)
            top, left = first[0][row] * stride[0] + row - padding[0], first[1][column] * stride[1] + column - padding[1]
            sweeps.append(Sweep(len(offsets), depth, weights, rows, columns, top, stride[0], left, stride[1]))
            for o in range(group_out):
                for a in a_taps:
                    for b in b_taps:
                        i = first[0][row] + margin[0] - (a * dilation[0] - row) // stride[0]
                        j = first[1][column] + margin[1] - (b * dilation[1] - column) // stride[1]
                        offsets.append(o * frame.block * frame.plane + i * frame.pitch + j)
            taps.append((a_taps, b_taps))
            weights += groups * aligned(group_in, _tile_for(group_in)[0]) * depth
    return _plan(frame, sweeps, offsets, tuple(taps), group_out, group_in)


def starts(b: Array | None, channels: int, groups: int, rows: int) -> Array:
    """What the channels' sums begin with: the bias or zero; zero in rows that fill the last tile of a group."""
    if b is None:
        return _zeros(groups * aligned(channels // groups, rows))
    start = np.zeros((groups, aligned(channels // groups, rows)), np.float32)
    start[:, : channels // groups] = b.reshape(groups, -1)
    return start.reshape(-1)


@lru_cache(maxsize=64)
def _zeros(count: int) -> Array:
    zero = np.zeros(count, np.float32)
    zero.setflags(write=False)
    return zero


def pack(w: Array, groups: int, rows: int) -> Array:
    """(groups * O, K, ...) -> [group][tile][tap][row of the tile], with zero rows to fill the last tile."""
    group_out, depth = len(w) // groups, math.prod(w.shape[1:])
    packed = np.zeros(groups * aligned(group_out, rows) * depth, np.float32)
    _pack(np.ascontiguousarray(w).reshape(groups, group_out, depth), rows, packed)
    return packed


def pack_mirrored(w: Array, plan: Plan, groups: int, by_row: bool = False) -> Array:
    """The weights of an `input_plan`'s sweeps, packed one after the other: the channels of dx are the rows.

    The taps of a channel of g are neighbours; if `by_row`, those of a row of the kernel.
    """
    # (G * O, C, KH, KW) -> (G * C, O, KH, KW)
    mirrored = w.reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2).reshape(groups * w.shape[1], -1, *w.shape[2:])
    parts = [mirrored[:, :, a][..., b] for a, b in plan.taps]
    return np.concatenate([pack(part.swapaxes(1, 2) if by_row else part, groups, plan.tile[0]) for part in parts])


# What the dispatcher calls --------------------------------------------------------------------------------------


def conv(x: Array, w: Array, b: Array | None, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """`reference.conv` for float32 and two spatial dimensions."""
    n, o = len(x), len(w)
    cuts = threads.parts(n, _work(n, w, stride, x.shape[2:]))
    plan = forward_plan(x.shape[1:], w.shape, stride, padding, dilation, groups, block_limit(n, cuts))
    start = starts(b, o, groups, plan.tile[0])
    out = np.empty((n, o, *plan.out), np.float32)
    _run(x, plan, pack(w, groups, plan.tile[0]), start, groups, out, cuts)
    return out


def conv_input(g: Array, w: Array, shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """`reference.conv_input` for float32 and two spatial dimensions."""
    n = len(g)
    cuts = threads.parts(n, _work(n, w, (1, 1), g.shape[2:]))
    plan = input_plan(g.shape[1:], w.shape, shape[2:], stride, padding, dilation, groups, block_limit(n, cuts))
    packed = pack_mirrored(w, plan, groups)
    start = starts(None, shape[1], groups, plan.tile[0])
    out = np.empty(shape, np.float32)
    _run(g, plan, packed, start, groups, out, cuts)
    return out


def conv_weight(
    x: Array, g: Array, shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int, need_b: bool
) -> tuple[Array, Array]:
    """`reference.conv_weight` for float32 and two spatial dimensions; with it comes the bias's gradient, or nothing."""
    n, o = len(x), shape[0]
    cuts = threads.parts(n, n * o * g.shape[2] * g.shape[3] * shape[1] * shape[2] * shape[3])
    plan = forward_plan(x.shape[1:], shape, stride, padding, dilation, groups, block_limit(n, cuts))
    (rows, _), offsets = plan.dots, plan.dot_offsets
    tiles = aligned(o // groups, rows) // rows
    counts = (groups * tiles * len(offsets) * rows, o if need_b else 0, plan.planes, rows * plan.run)
    sums, bias, planes, g_planes = zeros(len(cuts), *counts)
    jobs = [
        (x, g, plan.frame, offsets, groups, rows, sums[i], bias[i], planes[i], g_planes[i], *cut)
        for i, cut in enumerate(cuts)
    ]
    threads.run(_correlate_gradient, jobs)
    return weight_of(added(sums), plan, shape, groups), added(bias)


def weight_of(sums: Array, plan: Plan, shape: Ints, groups: int) -> Array:
    """The weight's gradient from the sums of the dot products."""
    dw = np.empty(shape, np.float32)
    _unpack(sums, plan.dots[0], len(plan.dot_offsets), dw.reshape(groups, -1, len(plan.offsets)))
    return dw


def _run(x: Array, plan: Plan, weights: Array, start: Array, groups: int, out: Array, cuts: Any) -> None:
    planes, results = zeros(len(cuts), plan.planes, plan.results)
    jobs = [
        (x, *plan[:3], weights, start, groups, plan.tile[0], out, planes[i], results[i], *cut)
        for i, cut in enumerate(cuts)
    ]
    threads.run(_correlate, jobs)


def _work(n: int, w: Array, stride: Ints, size: Ints) -> int:
    """Multiply-adds, about."""
    return n * w.size * size[0] * size[1] // (stride[0] * stride[1])

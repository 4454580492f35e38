"""Moving and summing rows of floats: what the convolutions share besides the register tiles."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np
from numba import float32

from tinygrad_cnn.kernels.fast.simd import (
    LANES,
    add,
    copy_four,
    either,
    either_nan,
    get,
    greater,
    helper,
    load,
    load_bytes,
    put,
    select,
    shuffle,
    splat,
    splat_int,
    store,
    store_bytes,
    total,
)

LINE = 16  # floats of a cache line

even_lanes = shuffle(0, 2, 4, 6, 8, 10, 12, 14)
odd_lanes = shuffle(1, 3, 5, 7, 9, 11, 13, 15)
merged_low = shuffle(0, 8, 1, 9, 2, 10, 3, 11)
merged_high = shuffle(4, 12, 5, 13, 6, 14, 7, 15)
low_halves = shuffle(0, 1, 2, 3, 8, 9, 10, 11)
high_halves = shuffle(4, 5, 6, 7, 12, 13, 14, 15)
low_pairs = shuffle(0, 8, 1, 9, 4, 12, 5, 13)
high_pairs = shuffle(2, 10, 3, 11, 6, 14, 7, 15)
low_quads = shuffle(0, 1, 8, 9, 4, 5, 12, 13)
high_quads = shuffle(2, 3, 10, 11, 6, 7, 14, 15)


@helper
def turned(a, b, c, d, e, f, g, h):  # type: ignore[no-untyped-def]
    """Eight vectors as the columns of a square: the vectors that are its rows (its transpose)."""
    ab, cd, ef, gh = low_pairs(a, b), low_pairs(c, d), low_pairs(e, f), low_pairs(g, h)
    left0, left1, right0, right1 = low_quads(ab, cd), high_quads(ab, cd), low_quads(ef, gh), high_quads(ef, gh)
    ab, cd, ef, gh = high_pairs(a, b), high_pairs(c, d), high_pairs(e, f), high_pairs(g, h)
    left2, left3, right2, right3 = low_quads(ab, cd), high_quads(ab, cd), low_quads(ef, gh), high_quads(ef, gh)
    return (
        low_halves(left0, right0),
        low_halves(left1, right1),
        low_halves(left2, right2),
        low_halves(left3, right3),
        high_halves(left0, right0),
        high_halves(left1, right1),
        high_halves(left2, right2),
        high_halves(left3, right3),
    )


@helper
def copy_row(source, i, target, j, count):  # type: ignore[no-untyped-def]
    """Copy `count` floats. The last vector overlaps the one before it, so nothing beyond the row is touched."""
    if count < LANES:
        if count >= 4:
            copy_four(source, i, target, j)
            copy_four(source, i + count - 4, target, j + count - 4)
            return
        for q in range(count):
            put(target, j + q, get(source, i + q))
        return
    for q in range(0, count - LANES, LANES):
        store(target, j + q, load(source, i + q))
    store(target, j + count - LANES, load(source, i + count - LANES))


@helper
def split_row(source, i, target, j, phase, ways, distance, count):  # type: ignore[no-untyped-def]
    """Deal `count` floats out in turn to `ways` rows, `distance` floats apart, the first to row `phase`.

    A row's first float is written at j (the row that starts late: at j + 1). This is how a convolution with stride
    finds neighbouring outputs' inputs next to each other.
    """
    q = 0
    if ways == 2:
        # Two ways by shuffles: the even elements go to row `phase`, the odd ones to the other.
        other = j + 1 if phase == 1 else j + distance
        while q + 2 * LANES <= count:
            a, b = load(source, i + q), load(source, i + q + LANES)
            store(target, j + phase * distance + q // 2, even_lanes(a, b))
            store(target, other + q // 2, odd_lanes(a, b))
            q += 2 * LANES
    way, place = (q + phase) % ways, (q + phase) // ways
    while q < count:
        put(target, j + way * distance + place, get(source, i + q))
        q, way = q + 1, way + 1
        if way == ways:
            way, place = 0, place + 1


@helper
def merge_row(source, j, phase, ways, distance, target, i, count):  # type: ignore[no-untyped-def]
    """The way back of `split_row`: `count` floats, taken in turn from the rows at j."""
    q = 0
    if ways == 2:
        other = j + 1 if phase == 1 else j + distance
        while q + 2 * LANES <= count:
            a, b = load(source, j + phase * distance + q // 2), load(source, other + q // 2)
            store(target, i + q, merged_low(a, b))
            store(target, i + q + LANES, merged_high(a, b))
            q += 2 * LANES
    way, place = (q + phase) % ways, (q + phase) // ways
    while q < count:
        put(target, i + q, get(source, j + way * distance + place))
        q, way = q + 1, way + 1
        if way == ways:
            way, place = 0, place + 1


@helper
def copy_bytes(source, i, target, j, count):  # type: ignore[no-untyped-def]
    """`copy_row` for uint8."""
    if count < LANES:
        for q in range(count):
            put(target, j + q, get(source, i + q))
        return
    for q in range(0, count - LANES, LANES):
        store_bytes(target, j + q, load_bytes(source, i + q))
    store_bytes(target, j + count - LANES, load_bytes(source, i + count - LANES))


@helper
def better(v, k, best, tap):  # type: ignore[no-untyped-def]
    """Let tap k win where its value is greater, or NaN: the first maximum is taken, and NaN stays."""
    wins = either(greater(v, best), either_nan(v, v))
    return select(wins, v, best), select(wins, splat_int(k), tap)


@helper
def sum_run(source, i, count):  # type: ignore[no-untyped-def]
    """The sum of `count` neighbouring floats, in 32 partial sums: so no addition waits for the one before it, and in
    float32 the error stays small."""
    a = splat(float32(0))
    b, c, d = a, a, a
    q = 0
    while q + 4 * LANES <= count:
        a = add(a, load(source, i + q))
        b = add(b, load(source, i + q + LANES))
        c = add(c, load(source, i + q + 2 * LANES))
        d = add(d, load(source, i + q + 3 * LANES))
        q += 4 * LANES
    while q + LANES <= count:
        a = add(a, load(source, i + q))
        q += LANES
    rest = float32(0)
    while q < count:
        rest += get(source, i + q)
        q += 1
    return total(add(add(a, b), add(c, d))) + rest


def aligned(count: int, multiple: int) -> int:
    """`count` rounded up to a multiple.

    >>> aligned(25, 8)
    32
    """
    return -(-count // multiple) * multiple


def empty(rows: int, *counts: int) -> list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """Scratch memory for kernels: for each count an array with a row of so many floats for each thread.

    All are cut from one. They are whole cache lines, and the pool begins an array on one: so no vector is on two, and
    no two threads write to one.
    """
    pieces, total = _pieces(counts)
    room = np.empty((rows, total), np.float32)
    return [room[piece] for piece in pieces]


def zeros(rows: int, *counts: int) -> list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """`empty`, with zeros in it."""
    pieces, total = _pieces(counts)
    room = np.zeros((rows, total), np.float32)
    return [room[piece] for piece in pieces]


@lru_cache(maxsize=1024)
def _pieces(counts: tuple[int, ...]) -> tuple[list[Any], int]:
    """Where in a row of floats so many lie, each from the beginning of a cache line on; and how long the row is."""
    ends = list(itertools.accumulate(aligned(count, LINE) for count in counts))
    starts = [0, *ends[:-1]]
    return [np.s_[:, start : start + count] for start, count in zip(starts, counts, strict=True)], ends[-1]


def added(parts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The sum of what the threads found, one row each."""
    whole: np.ndarray[Any, Any] = parts[0] if len(parts) == 1 else parts.sum(axis=0)
    return whole

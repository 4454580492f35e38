"""How the fast kernels lay images out: planes, one flat run of floats per channel with a border around the image.

Output pixel (i, j) of a window sweep lies `i * pitch + j` from the first, and what it sees of one tap lies just as
far from a place that depends on the tap alone. With stride s, pixels s apart must become neighbours: the copy
deals rows and columns out to s * s phase planes.
"""

from __future__ import annotations

from typing import NamedTuple

from tinygrad_cnn.kernels.fast.rows import aligned, copy_row, merge_row, split_row
from tinygrad_cnn.kernels.fast.simd import get, helper
from tinygrad_cnn.kernels.sizes import Ints

# A tile reads past the end of its run by less than its width, a dot product by less than a vector.
SLACK = 48
# Aim for runs of at least this many pixels: take as many small images at once as that needs.
LONG_RUN = 256


class Frame(NamedTuple):
    """How images lie in the planes: see `fill_planes`."""

    top: int
    left: int
    down: int  # phases by row: the vertical stride
    right: int  # phases by column
    pitch: int  # floats from a row to the next
    plane: int  # floats from an image to the next, of the same channel and phase
    block: int  # images at once


@helper
def fill_planes(x, n, images, all_channels, first, channels, height, width, frame, planes):  # type: ignore[no-untyped-def]
    """Copy a block of images: pixel (h, w) to row h + top, column w + left, each dealt out to its phase.

    Of an image's `all_channels` only `channels`, from `first` on. The order is
    [channel][row phase][column phase][image][row][column]. Borders are left as they are.
    """
    top, left, down, right = get(frame, 0), get(frame, 1), get(frame, 2), get(frame, 3)
    pitch, plane, block = get(frame, 4), get(frame, 5), get(frame, 6)
    first_column, phase = left // right, left % right
    for c in range(channels):
        for b in range(images):
            # `row` and `row_phase` count up in step with h: a division for each row would cost as much as its copy.
            row, row_phase = top // down, top % down
            source = ((n + b) * all_channels + first + c) * height * width
            for _ in range(height):
                target = ((c * down + row_phase) * right * block + b) * plane + row * pitch + first_column
                if right == 1:
                    copy_row(x, source, planes, target, width)
                else:
                    split_row(x, source, planes, target, phase, right, block * plane, width)
                source += width
                row_phase += 1
                if row_phase == down:
                    row, row_phase = row + 1, 0


@helper
def read_planes(planes, frame, n, images, height, width, x):  # type: ignore[no-untyped-def]
    """The way back, for images of one channel: the planes' pixels to images n.. of x, without the border."""
    top, left, down, right = get(frame, 0), get(frame, 1), get(frame, 2), get(frame, 3)
    pitch, plane, block = get(frame, 4), get(frame, 5), get(frame, 6)
    first_column, phase = left // right, left % right
    for b in range(images):
        row, row_phase = top // down, top % down
        target = (n + b) * height * width
        for _ in range(height):
            source = (row_phase * right * block + b) * plane + row * pitch + first_column
            if right == 1:
                copy_row(planes, source, x, target, width)
            else:
                merge_row(planes, source, phase, right, block * plane, x, target, width)
            target += width
            row_phase += 1
            if row_phase == down:
                row, row_phase = row + 1, 0


def frame_of(margin: Ints, stride: Ints, size: Ints, images: int, run: int = LONG_RUN) -> Frame:
    """Planes of `size` pixels per phase, images `margin` from the corner, at most `images` of them for a `run`.

    Eight floats more than the pixels keep the last vector of an image out of the next.
    """
    plane = aligned(size[0] * size[1], 8) + 8
    return Frame(margin[0], margin[1], stride[0], stride[1], size[1], plane, max(1, min(images, run // plane)))


def block_limit(images: int, cuts: list[tuple[int, int]]) -> int:
    """No more images at once than a thread has; a power of two, so that few plans are made."""
    return 1 << max(0, (images // len(cuts)).bit_length() - 1)

"""Transforms: what they do to an image, and that they are pure functions of (array, generator)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from tinygrad_cnn.data.transforms import (
    Compose,
    add_noise,
    normalize,
    random_affine,
    random_erasing,
    random_horizontal_flip,
    random_rotation,
    random_shift,
)
from tinygrad_cnn.random import Generator, manual_seed

DRAWING = [
    random_horizontal_flip,
    random_shift,
    partial(random_shift, fill=0.5),
    random_rotation,
    partial(random_affine, degrees=20, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=10, fill=0.0),
    add_noise,
    random_erasing,
]
ALL = [*DRAWING, partial(normalize, mean=(0.1, 0.2), std=(0.5, 0.6)), Compose(DRAWING)]


def seeded(seed=0):
    return Generator().manual_seed(seed)


def batch(N=16, C=2, H=9, W=12, dtype=np.float64):
    return np.random.default_rng(0).random((N, C, H, W)).astype(dtype)


# ---- what all of them hold to ------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", ALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_and_dtype_stay_and_the_input_is_left_alone(transform, dtype):
    x = batch(dtype=dtype)
    x.setflags(write=False)
    before = x.copy()
    y = transform(x, seeded())
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert not np.shares_memory(x, y)
    np.testing.assert_array_equal(x, before)
    assert not np.array_equal(x, y)


@pytest.mark.parametrize("transform", ALL)
def test_one_image_is_a_batch_of_one(transform):
    image = batch()[0]
    np.testing.assert_array_equal(transform(image, seeded(3)), transform(image[None], seeded(3))[0])


@pytest.mark.parametrize("transform", ALL)
def test_a_strided_array_gives_the_same(transform):
    x = batch()
    strided = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    assert not strided.flags.c_contiguous
    np.testing.assert_array_equal(transform(strided, seeded()), transform(x, seeded()))


@pytest.mark.parametrize("transform", DRAWING)
def test_the_generator_decides_and_each_image_gets_its_own_numbers(transform):
    x = np.repeat(batch(N=1), 16, axis=0)
    first = transform(x, seeded(1))
    np.testing.assert_array_equal(first, transform(x, seeded(1)))
    assert not np.array_equal(first, transform(x, seeded(2)))
    assert len({image.tobytes() for image in first}) > 1
    manual_seed(1)
    np.testing.assert_array_equal(first, transform(x))


@pytest.mark.parametrize("transform", [f for f in ALL if not isinstance(f, Compose)])
def test_an_array_of_another_shape_is_refused(transform):
    with pytest.raises(ValueError, match=r"^(random_|add_|norm)\w+: x has shape \(4, 4\), expected \(N, C, H, W\) or"):
        transform(np.ones((4, 4)), seeded())


# ---- one by one --------------------------------------------------------------------------------------------


def test_normalize_takes_one_number_for_each_channel():
    x = batch()
    y = normalize(x, mean=[0.1, 0.2], std=[0.5, 2.0])
    np.testing.assert_allclose(y[:, 0], (x[:, 0] - 0.1) / 0.5)
    np.testing.assert_allclose(y[:, 1], (x[:, 1] - 0.2) / 2.0)


def test_flips_about_half_of_the_images():
    x = batch(N=400)
    y = random_horizontal_flip(x, seeded())
    flipped = np.array([np.array_equal(b, a[..., ::-1]) for a, b in zip(x, y, strict=True)])
    kept = np.array([np.array_equal(b, a) for a, b in zip(x, y, strict=True)])
    assert np.all(flipped ^ kept)
    assert 150 < flipped.sum() < 250
    np.testing.assert_array_equal(random_horizontal_flip(x, p=0.0), x)
    np.testing.assert_array_equal(random_horizontal_flip(x.astype(np.uint8), p=1.0), x.astype(np.uint8)[..., ::-1])


@pytest.mark.parametrize("fill", [None, -7.0])
def test_shifts_by_whole_pixels_in_every_direction(fill):
    x = batch(N=300)
    H, W = x.shape[-2:]
    mode = {"mode": "edge"} if fill is None else {"mode": "constant", "constant_values": fill}
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), **mode)
    seen = set()
    for image, shifted in zip(padded, random_shift(x, seeded(), fill=fill), strict=True):
        found = [
            (2 - top, 2 - left)
            for top in range(5)
            for left in range(5)
            if np.array_equal(image[:, top : top + H, left : left + W], shifted)
        ]
        assert len(found) == 1
        seen.update(found)
    assert len(seen) == 25


def test_a_shift_beyond_the_image_leaves_the_fill():
    x = np.ones((200, 1, 2, 2))
    shifted = random_shift(x, seeded(), pixels=5, fill=0.0)
    assert set(np.unique(shifted.sum(axis=(1, 2, 3)))) == {0.0, 1.0, 2.0, 4.0}
    np.testing.assert_array_equal(random_shift(x, pixels=0), x)


@pytest.mark.parametrize("fill", [None, 0.3])
def test_rotation_is_scipys(fill):
    x = batch(N=8, H=9, W=9)
    turned = random_rotation(x, seeded(5), degrees=40, fill=fill)
    angles = seeded(5).numpy.uniform(-1, 1, (2, 8))[0] * 40
    assert angles.min() < 0 < angles.max()
    mode = {"mode": "nearest"} if fill is None else {"mode": "grid-constant", "cval": fill}
    for image, result, angle in zip(x, turned, angles, strict=True):
        expected = [ndimage.rotate(channel, angle, reshape=False, order=1, **mode) for channel in image]
        np.testing.assert_allclose(result, expected, atol=1e-12)


def test_positive_angles_turn_counter_clockwise():
    from tinygrad_cnn.data.transforms import _matrices, _warp

    x = batch(N=1, C=1, H=5, W=5)
    quarter = _matrices(np.array([np.pi / 2]), np.zeros(1), np.ones(1))
    np.testing.assert_allclose(_warp(x, quarter, np.zeros((1, 2)), None)[0, 0], np.rot90(x[0, 0]), atol=1e-12)


def test_scale_about_the_centre():
    x = np.zeros((1, 1, 9, 9))
    x[..., 3:6, 3:6] = 1.0
    larger = random_affine(x, scale=(2.0, 2.0))
    assert larger[0, 0, 4].tolist() == [0, 0.5, 1, 1, 1, 1, 1, 0.5, 0]


def test_translate_moves_within_its_parts_of_the_size():
    x = np.zeros((200, 1, 20, 10))
    x[..., 10, 5] = 1.0
    moved = random_affine(x, seeded(), translate=(0.2, 0.4), fill=0.0)
    np.testing.assert_allclose(moved.sum(axis=(1, 2, 3)), 1.0)
    rows = (moved.sum(axis=(1, 3)) * np.arange(20)).sum(-1) - 10
    columns = (moved.sum(axis=(1, 2)) * np.arange(10)).sum(-1) - 5
    assert -8 <= rows.min() < -7 < 7 < rows.max() <= 8
    assert -2 <= columns.min() < -1.7 < 1.7 < columns.max() <= 2


def test_shear_moves_rows_sideways():
    x = np.zeros((50, 1, 9, 9))
    x[..., 4] = 1.0  # a vertical line through the centre
    sheared = random_affine(x, seeded(), shear=30, fill=0.0)
    columns = (sheared[:, 0] * np.arange(9)).sum(-1) / sheared[:, 0].sum(-1) - 4  # (N, H)
    slopes = columns[:, 6] / 2
    np.testing.assert_allclose(columns[:, 2:7], slopes[:, None] * np.arange(-2, 3), atol=1e-9)
    limit = np.tan(np.deg2rad(30))
    assert -limit <= slopes.min() < -0.4 < 0.4 < slopes.max() <= limit


def test_no_movement_changes_nothing():
    x = batch()
    np.testing.assert_allclose(random_affine(x, seeded()), x, atol=1e-12)


def test_noise_has_its_standard_deviation():
    x = np.full((100, 1, 10, 10), 3.0)
    noise = add_noise(x, seeded(), std=0.5) - x
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 0.5) < 0.02
    np.testing.assert_array_equal(add_noise(x, std=0.0), x)


def test_erases_one_rectangle_of_about_half_of_the_images():
    x = np.ones((400, 3, 20, 16), np.float32)
    y = random_erasing(x, seeded(), value=-1.0)
    parts = []
    for image in y:
        assert (image == image[0]).all()  # every channel alike
        rows, columns = np.nonzero(image[0] == -1)
        if rows.size:
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert rows.size == height * width
            parts.append(rows.size / (20 * 16))
    assert 150 < len(parts) < 250
    assert 0.01 < min(parts) < 0.05
    assert 0.28 < max(parts) < 0.36
    np.testing.assert_array_equal(random_erasing(x, p=0.0), x)
    assert not random_erasing(x, p=1.0, scale=(1, 1), ratio=(1.25, 1.25)).any()


def test_compose_hands_the_array_on():
    generator = seeded()
    steps = Compose([lambda x, g: x + 1, lambda x, g: (x * 2, g)[0]])
    np.testing.assert_array_equal(steps(np.ones((1, 2, 2)), generator), np.full((1, 2, 2), 4.0))
    x = batch()
    np.testing.assert_array_equal(Compose([])(x), x)


@pytest.mark.parametrize(
    ("transform", "error", "message"),
    [
        (
            partial(random_horizontal_flip, p=1.5),
            ValueError,
            "random_horizontal_flip: p is 1.5, expected a probability",
        ),
        (partial(random_erasing, p=-0.1), ValueError, "random_erasing: p is -0.1, expected a probability from 0 to 1"),
        (partial(random_erasing, scale=(0.5, 0.2)), ValueError, r"scale is \(0.5, 0.2\) and ratio .*, expected ranges"),
        (partial(random_erasing, ratio=(0, 1)), ValueError, r"random_erasing: .* ratio \(0, 1\), expected ranges"),
        (partial(random_shift, pixels=-1), ValueError, "random_shift: pixels is -1, expected 0 or more"),
        (partial(add_noise, std=-1), ValueError, "add_noise: std is -1, expected 0 or more"),
        (partial(random_affine, scale=(0, 1)), ValueError, r"scale is \(0, 1\), expected two positive numbers"),
        (partial(normalize, mean=0, std=(1, 0)), ValueError, r"normalize: std is \(1, 0\), expected no 0"),
    ],
)
def test_says_which_argument_does_not_fit(transform, error, message):
    with pytest.raises(error, match=message):
        transform(batch())


@pytest.mark.parametrize("transform", [random_rotation, random_affine, add_noise, partial(normalize, mean=0, std=1)])
def test_integers_are_refused_where_results_are_fractions(transform):
    with pytest.raises(TypeError, match=r": x is uint8, expected floating point numbers"):
        transform(batch().astype(np.uint8))

"""The ops that move elements, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from peers.compare import compare, raises_alike
from tinygrad_cnn.ops import shape

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")
F = torch.nn.functional

rng = np.random.default_rng(11)
X = rng.normal(size=(2, 3, 4))
Y = rng.normal(size=(2, 5, 4))
MATRIX = rng.normal(size=(3, 4))
VECTOR = rng.normal(size=5)
NUMBER = np.array(2.5)
INTS = np.arange(24).reshape(2, 3, 4)
IMAGE = rng.normal(size=(2, 4, 5, 6))
EMPTY = np.zeros((2, 0, 3))

CASES: list[tuple[Any, ...]] = [
    ("reshape", X, (6, 4)),
    ("reshape", X, (2, -1, 2)),
    ("reshape", NUMBER, (1, 1)),
    ("reshape", EMPTY, (0, 7)),
    ("flatten", X),
    ("flatten", X, 1),
    ("flatten", X, 0, 1),
    ("flatten", X, -2, -1),
    ("flatten", NUMBER),
    ("flatten", EMPTY, 1),
    ("unflatten", X, 2, (2, 2)),
    ("unflatten", X, -1, (-1, 4, 1)),
    ("squeeze", X[:1, :, :1]),
    ("squeeze", X[:1, :, :1], 0),
    ("squeeze", X[:1, :, :1], 1),
    ("squeeze", X[:1, :, :1], (0, -1)),
    ("squeeze", NUMBER),
    ("squeeze", NUMBER, 0),
    ("unsqueeze", X, 0),
    ("unsqueeze", X, -1),
    ("unsqueeze", X, 3),
    ("unsqueeze", NUMBER, 0),
    ("permute", X, (2, 0, 1)),
    ("permute", X, (-1, 0, -2)),
    ("permute", NUMBER, ()),
    ("transpose", X, 0, 2),
    ("transpose", X, -1, 1),
    ("transpose", NUMBER, 0, -1),
    ("t", MATRIX),
    ("t", VECTOR),
    ("t", NUMBER),
    ("swapaxes", X, 0, 2),
    ("swapaxes", X, -1, 1),
    ("ravel", X),
    ("ravel", NUMBER),
    ("ravel", EMPTY),
    ("repeat_interleave", X, 2),
    ("repeat_interleave", X, 3, -1),
    ("repeat_interleave", X, 0, 1),
    ("repeat_interleave", NUMBER, 2),
    ("repeat_interleave", VECTOR, np.array([0, 2, 1, 0, 3])),
    ("repeat_interleave", X, np.array([1, 0, 2]), 1),
    ("repeat_interleave", X, np.array([2]), 1),
    ("diag", VECTOR),
    ("diag", VECTOR, 2),
    ("diag", VECTOR, -1),
    ("diag", MATRIX),
    ("diag", MATRIX, 1),
    ("diag", MATRIX, -2),
    ("movedim", X, 0, 2),
    ("movedim", X, (0, 1), (-1, 0)),
    ("movedim", X, (0, 1, 2), (2, 0, 1)),
    ("tile", X, (2,)),
    ("tile", X, (2, 1, 3)),
    ("tile", X, (2, 1, 1, 3)),
    ("tile", VECTOR, (0,)),
    ("cat", [X, Y, X], 1),
    ("cat", [X, X], -1),
    ("cat", [VECTOR, VECTOR]),
    ("cat", [np.zeros(0), X, X]),
    ("stack", [X, X], 0),
    ("stack", [X, X, X], -1),
    ("stack", [NUMBER, NUMBER]),
    ("hstack", [VECTOR, NUMBER]),
    ("hstack", [MATRIX, MATRIX]),
    ("hstack", [X, Y]),
    ("vstack", [VECTOR, VECTOR]),
    ("vstack", [MATRIX, MATRIX[:1]]),
    ("vstack", [NUMBER, NUMBER]),
    ("split", X, 2, 1),
    ("split", X, [1, 2], 1),
    ("split", X, 3, -1),
    ("split", VECTOR, 5),
    ("split", VECTOR, [0, 5]),
    ("split", EMPTY, 2, 1),
    ("chunk", X, 2, 1),
    ("chunk", X, 5, 2),
    ("chunk", VECTOR, 3),
    ("unbind", X),
    ("unbind", X, -1),
    ("narrow", X, 1, 1, 2),
    ("narrow", X, -1, -3, 2),
    ("narrow", X, 0, 2, 0),
    ("select", X, 1, 2),
    ("select", X, -1, -1),
    ("flip", X, (0,)),
    ("flip", X, (0, -1)),
    ("flip", X, ()),
    ("roll", X, 1),
    ("roll", X, -2, 1),
    ("roll", X, (1, -3), (0, 2)),
    ("roll", X, (1, 2), (1, 1)),
    ("roll", VECTOR, 7, 0),
    ("diagonal", X),
    ("diagonal", X, 1),
    ("diagonal", X, -1, 0, 2),
    ("diagonal", X, 1, -1, -2),
    ("diagonal", X, 9),
    ("tril", X),
    ("tril", X, 1),
    ("triu", X, -1),
    ("triu", MATRIX, 2),
]


@pytest.mark.parametrize("size", [2, [1, 2]], ids=str)
def test_split_by_either_name_of_its_lengths(size: Any) -> None:
    compare(tg.split, torch.split, X, split_size_or_sections=size, dim=1)
    compare(tg.Tensor.split, torch.Tensor.split, X, split_size=size, dim=1)
    compare(tg.split, torch.Tensor.split, X, split_size=size, dim=1)


@pytest.mark.parametrize("others", [["float32"], ["float64", "int32"], ["int8"], ["bool"]])
def test_an_empty_vector_counts_for_the_dtype_alone(others: list[str]) -> None:
    empty = [np.zeros(0, dtype) for dtype in others]
    whole = np.arange(4, dtype=np.int16).reshape(2, 2)
    joined = torch.cat([*map(torch.from_numpy, empty), torch.from_numpy(whole)], dim=1)
    assert tg.cat([*map(tg.from_numpy, empty), tg.from_numpy(whole)], dim=1).dtype == joined.numpy().dtype
    for x in (np.ones((2, 2), np.float32), np.ones((2, 2))):
        compare(tg.cat, torch.cat, [*empty, x, empty[0], x], dim=1, float32=False)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[2:]}")
def test_as_pytorch(case: tuple[Any, ...]) -> None:
    name, *arguments = case
    compare(getattr(tg, name), getattr(torch, name), *arguments)


@pytest.mark.parametrize("case", [case for case in CASES if isinstance(case[1], np.ndarray)], ids=lambda case: case[0])
def test_dtypes_are_kept(case: tuple[Any, ...]) -> None:
    name, x, *rest = case
    compare(getattr(tg, name), getattr(torch, name), np.asarray(x * 10, np.int32), *rest)
    compare(getattr(tg, name), getattr(torch, name), np.asarray(x > 0), *rest)


def test_joins_of_several_dtypes() -> None:
    compare(tg.cat, torch.cat, [INTS, X])
    compare(tg.cat, torch.cat, [X.astype(np.float32), X])
    compare(tg.cat, torch.cat, [X.astype(np.float32), INTS], 2)
    compare(tg.stack, torch.stack, [INTS, X > 0])


def test_broadcasting() -> None:
    column = X[:, :, :1]
    for sizes in ((2, 3, 4), (-1, -1, 4), (5, 2, 3, 4)):
        compare(shape.expand, lambda x, s: x.expand(s), column, sizes)
    compare(lambda x: shape.expand(x, 7, 5), lambda x: x.expand(7, 5), VECTOR)
    compare(lambda x: shape.expand(x, 3), lambda x: x.expand(3), NUMBER)
    compare(tg.broadcast_tensors, torch.broadcast_tensors, column, MATRIX, NUMBER)


def test_meshgrid() -> None:
    for indexing in ("ij", "xy"):
        compare(tg.meshgrid, torch.meshgrid, VECTOR, MATRIX[0], indexing=indexing)
        compare(tg.meshgrid, torch.meshgrid, [VECTOR, MATRIX[0], X[0, 0]], indexing=indexing)
        compare(tg.meshgrid, torch.meshgrid, VECTOR, indexing=indexing)


@pytest.mark.parametrize("repeats", [(2, 1, 3), (1, 1, 1), (2, 3, 1, 2), (0, 1, 1)])
def test_repeat(repeats: tuple[int, ...]) -> None:
    compare(lambda x: shape.repeat(x, *repeats), lambda x: x.repeat(*repeats), X)
    compare(lambda x: shape.repeat(x, repeats), lambda x: x.repeat(repeats), X)


PADS: list[tuple[tuple[int, ...], str]] = [
    ((1, 2), "constant"),
    ((1, 0, 0, 2), "constant"),
    ((1, 2, 3, 0, 1, 1, 2, 2), "constant"),
    ((-1, -2), "constant"),
    ((2, -1, -1, 3), "constant"),
    ((-3, -3, 2, 2), "constant"),
    ((0, 0), "constant"),
    ((), "constant"),
    ((1, 2, 3, 0), "reflect"),
    ((0, 5, 4, 4), "reflect"),
    ((-1, 2, 0, -2), "reflect"),
    ((0, 0, 0, 0), "reflect"),
    ((1, 2, 7, 9), "replicate"),
    ((-2, 3, 0, 0), "replicate"),
    ((1, 6, 5, 0), "circular"),
    ((-1, 3, 2, -2), "circular"),
]


@pytest.mark.parametrize(("amounts", "mode"), PADS)
def test_pad(amounts: tuple[int, ...], mode: str) -> None:
    compare(tg.nn.functional.pad, F.pad, IMAGE, amounts, mode=mode)
    if mode == "constant":
        compare(tg.nn.functional.pad, F.pad, IMAGE, amounts, value=-1.5)
        compare(tg.nn.functional.pad, F.pad, (IMAGE * 10).astype(np.int64), amounts, value=3)
    else:
        compare(tg.nn.functional.pad, F.pad, IMAGE[0], amounts, mode=mode)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_padded_by_nothing_it_is_still_a_tensor_of_its_own(mode: str) -> None:
    x = tg.tensor(IMAGE)
    y = tg.nn.functional.pad(x, (0, 0, 0, 0), mode=mode)
    y.add_(1)
    np.testing.assert_array_equal(x.numpy(), IMAGE)


@pytest.mark.parametrize("name", ["pixel_shuffle", "pixel_unshuffle"])
def test_shuffled_by_one_it_is_still_a_tensor_of_its_own(name: str) -> None:
    for kit, functional in ((tg, tg.nn.functional), (torch, F)):
        x = kit.tensor(IMAGE)
        getattr(functional, name)(x, 1).add_(1)
        np.testing.assert_array_equal(x.numpy(), IMAGE)
    compare(getattr(tg.nn.functional, name), getattr(F, name), IMAGE, 1)


def test_pad_of_one_and_three_dimensions() -> None:
    for mode in ("reflect", "replicate", "circular"):
        compare(tg.nn.functional.pad, F.pad, X, (2, 1), mode=mode)
        compare(tg.nn.functional.pad, F.pad, IMAGE[None], (2, 1, 0, 3, 1, 1), mode=mode)


@pytest.mark.parametrize("r", [1, 2])
def test_pixel_shuffle(r: int) -> None:
    functional = tg.nn.functional
    compare(functional.pixel_shuffle, F.pixel_shuffle, IMAGE, r)
    compare(functional.pixel_shuffle, F.pixel_shuffle, IMAGE[0], r)
    compare(functional.pixel_unshuffle, F.pixel_unshuffle, IMAGE[..., :4, :], r)
    compare(functional.pixel_unshuffle, F.pixel_unshuffle, IMAGE[0, :, :4], r)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"kernel_size": 2},
        {"kernel_size": (3, 2), "stride": 2},
        {"kernel_size": (2, 3), "padding": (1, 2), "dilation": (2, 1), "stride": (1, 3)},
        {"kernel_size": 1, "stride": 3},
    ],
    ids=str,
)
def test_unfold_and_fold(kwargs: dict[str, Any]) -> None:
    for x in (IMAGE, IMAGE[0]):
        compare(tg.nn.functional.unfold, F.unfold, x, **kwargs)
        columns = F.unfold(torch.from_numpy(x), **kwargs).numpy()
        compare(tg.nn.functional.fold, F.fold, columns, (5, 6), **kwargs)


SIZES: list[dict[str, Any]] = [
    {"size": 7},
    {"size": 3},
    {"size": 1},
    {"scale_factor": 2},
    {"scale_factor": 0.6},
    {"scale_factor": 1.7},
    {"scale_factor": 1.7, "recompute_scale_factor": True},
]
INPUTS = {1: IMAGE[0], 2: IMAGE, 3: IMAGE[None]}


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "area"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_interpolate_by_choosing(dims: int, mode: str, sizes: dict[str, Any]) -> None:
    compare(tg.nn.functional.interpolate, F.interpolate, INPUTS[dims], mode=mode, **sizes)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("align_corners", [None, False, True])
@pytest.mark.parametrize(("dims", "mode"), [(1, "linear"), (2, "bilinear"), (3, "trilinear"), (2, "bicubic")])
def test_interpolate_by_weighing(dims: int, mode: str, align_corners: bool | None, sizes: dict[str, Any]) -> None:
    compare(tg.nn.functional.interpolate, F.interpolate, INPUTS[dims], mode=mode, align_corners=align_corners, **sizes)


@pytest.mark.parametrize("sizes", [*SIZES, {"size": (2, 9)}, {"size": (1, 4)}, {"scale_factor": (0.4, 1.7)}], ids=str)
@pytest.mark.parametrize("align_corners", [None, False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
def test_interpolate_without_aliases(mode: str, align_corners: bool | None, sizes: dict[str, Any]) -> None:
    how = {"mode": mode, "antialias": True, "align_corners": align_corners, **sizes}
    if mode == "lanczos" and align_corners:
        message = "interpolate: align_corners is True, mode 'lanczos' has none"
        raises_alike(tg.nn.functional.interpolate, F.interpolate, IMAGE, match=message, **how)
    else:
        compare(tg.nn.functional.interpolate, F.interpolate, IMAGE, **how)


def test_interpolate_without_aliases_leaves_a_length_that_stays() -> None:
    """So does PyTorch; only its gradient is then one of another resizing."""
    how: dict[str, Any] = {"scale_factor": (0.4, 1.1), "mode": "bilinear", "antialias": True}
    compare(tg.nn.functional.interpolate, F.interpolate, IMAGE, orders=0, **how)


def test_interpolate_to_one_column_keeps_the_rows_apart() -> None:
    """PyTorch 2.13 gives the first row twice, and the gradient of what it should give."""
    x = np.arange(24.0).reshape(1, 1, 6, 4)
    how: dict[str, Any] = {"size": (2, 1), "mode": "bilinear", "antialias": True}
    theirs = torch.from_numpy(x).requires_grad_()
    (g,) = torch.autograd.grad(F.interpolate(theirs, **how)[0, 0, 1, 0], theirs)
    ours = tg.tensor(x, requires_grad=True)
    out = tg.nn.functional.interpolate(ours, **how)
    out[0, 0, 1, 0].backward()
    np.testing.assert_allclose(ours.grad.array, g.numpy(), rtol=1e-12, atol=1e-15)
    assert float(out[0, 0, 1, 0]) == pytest.approx(float((g.numpy() * x).sum()), rel=1e-12)


def test_interpolate_with_one_number_a_dimension() -> None:
    compare(tg.nn.functional.interpolate, F.interpolate, IMAGE, size=(3, 9), mode="bilinear")
    compare(tg.nn.functional.interpolate, F.interpolate, IMAGE, scale_factor=(0.5, 2.0), mode="nearest")


def test_nearest_keeps_infinities_to_themselves() -> None:
    x = np.array([[[1.0, np.inf, np.nan, -np.inf]]])
    compare(tg.nn.functional.interpolate, F.interpolate, x, scale_factor=2)


def test_views_share_memory() -> None:
    x = tg.tensor(X)
    for y in (
        tg.reshape(x, (6, 4)),
        tg.flatten(x),
        tg.transpose(x, 0, 1),
        tg.permute(x, (2, 1, 0)),
        tg.unsqueeze(x, 0),
        tg.narrow(x, 1, 0, 2),
        tg.select(x, 0, 1),
        tg.diagonal(x),
    ):
        assert np.shares_memory(x.array, y.array)


def test_what_was_expanded_cannot_be_written_to() -> None:
    wide, theirs = tg.ones(3).expand(2, 3), torch.ones(3).expand(2, 3)
    message = r"an array of shape \(2, 3\) is read-only, expected one that can be written to, as clone\(\) makes it"
    with pytest.raises(RuntimeError, match="clone"):
        theirs.add_(1)
    with pytest.raises(ValueError, match=message):
        wide.add_(1)
    with pytest.raises(ValueError, match=message):
        wide[0, 1] = 2
    assert wide.clone().add_(1).sum() == 12


def test_a_diagonal_is_written_through_and_diag_is_a_copy() -> None:
    found = []
    for m in (tg, torch):
        x = m.zeros(2, 3)
        x.diagonal().add_(1)
        x.diagonal(1)[0] = 5
        x.diag().add_(7)
        found.append(x.tolist())
    assert found[0] == found[1] == [[1, 5, 0], [0, 1, 0]]
    array = np.zeros((2, 3))
    view = array[:, 1:]
    array.flags.writeable = False
    assert tg.Tensor(view).diagonal().tolist() == [0.0, 0.0]  # a view that can be written to, of what cannot
    x = tg.ones(2, 2, requires_grad=True)
    y = x * x
    with tg.no_grad(), pytest.raises(RuntimeError, match="a live graph still needs this tensor's values"):
        x.diagonal().add_(1)
    y.sum().backward()


def test_errors() -> None:
    functional = tg.nn.functional
    raises_alike(
        tg.reshape, torch.reshape, X, (5, 5), match=r"reshape: input is \(2, 3, 4\), 24 elements; shape is \(5, 5\)"
    )
    raises_alike(tg.flatten, torch.flatten, X, 2, 1, match=r"flatten: start_dim is 2, end_dim 1")
    raises_alike(tg.unflatten, torch.unflatten, X, 2, (3, -1), match=r"unflatten: dimension 2 has 4 elements, sizes")
    raises_alike(tg.squeeze, torch.squeeze, X, 3, match=r"squeeze: dim is 3, expected -3 to 2")
    raises_alike(tg.unsqueeze, torch.unsqueeze, X, 4, match=r"unsqueeze: dim is 4, expected -4 to 3")
    raises_alike(tg.permute, torch.permute, X, (0, 1), match=r"permute: dims is \(0, 1\), the input \(2, 3, 4\) has 3")
    raises_alike(tg.permute, torch.permute, X, (0, 1, 1), match=r"permute: dims is \(0, 1, 1\)")
    raises_alike(tg.t, torch.t, X, match=r"t: input is \(2, 3, 4\), expected at most 2 dimensions")
    raises_alike(tg.movedim, torch.movedim, X, (0, 0), (1, 2), match=r"movedim: source is \(0, 0\)")
    raises_alike(
        shape.expand, lambda x, s: x.expand(s), X, (2, 4), match=r"expand: input is \(2, 3, 4\), sizes are \(2, 4\)"
    )
    raises_alike(shape.repeat, lambda x, s: x.repeat(s), X, (2,), match=r"repeat: repeats are \(2,\), the input")
    raises_alike(tg.cat, torch.cat, [X, MATRIX], match=r"cat: tensor 1 is \(3, 4\), tensor 0 \(2, 3, 4\)")
    raises_alike(tg.cat, torch.cat, [], match=r"cat: there are no tensors, expected at least one")
    raises_alike(tg.cat, torch.cat, [NUMBER, NUMBER], match=r"cat: tensor 0 has no dimensions")
    raises_alike(tg.stack, torch.stack, [X, Y], match=r"stack: tensor 1 is \(2, 5, 4\), tensor 0 \(2, 3, 4\)")
    raises_alike(tg.stack, torch.stack, [], match=r"stack: there are no tensors")
    raises_alike(
        tg.split, torch.split, X, [1, 1], 1, match=r"split: sections are \[1, 1\], in sum 2; dimension 1 has 3"
    )
    raises_alike(tg.split, torch.split, X, -1, match=r"split: split_size is -1, dimension 0 has 2 elements")
    for words in ({}, {"split_size": 1, "split_size_or_sections": [1, 2]}):
        raises_alike(tg.split, torch.split, X, dim=1, match="split: the lengths are .*, expected one", **words)
    raises_alike(tg.chunk, torch.chunk, X, 0, match=r"chunk: chunks is 0, expected at least 1")
    raises_alike(tg.narrow, torch.narrow, X, 1, 2, 2, match=r"narrow: start is 2, length 2, dimension 1 has 3 elements")
    raises_alike(tg.select, torch.select, X, 1, 3, match=r"select: index is 3, dimension 1 has 3 elements")
    raises_alike(tg.select, torch.select, NUMBER, 0, 0, match=r"select: the input has no dimensions")
    raises_alike(tg.flip, torch.flip, X, (0, -3), match=r"flip: dims is \(0, -3\), expected no dimension twice")
    raises_alike(tg.roll, torch.roll, X, (1, 2), (0,), match=r"roll: shifts are \(1, 2\), dims \(0,\)")
    raises_alike(tg.roll, torch.roll, X, (1, 2), match=r"roll: shifts are \(1, 2\), expected one where dims is None")
    raises_alike(tg.diagonal, torch.diagonal, X, 0, 1, 1, match=r"diagonal: dim1 and dim2 are 1 and 1")
    raises_alike(tg.tril, torch.tril, VECTOR, match=r"tril: input is \(5,\), expected at least 2 dimensions")
    raises_alike(functional.pad, F.pad, X, (1,), match=r"pad: pad is \(1,\), expected pairs for at most 3 dimensions")
    raises_alike(
        functional.pad, F.pad, X, (-3, -2), match=r"pad: input is \(2, 3, 4\), dimension 2 becomes 4 \+ -3 \+ -2"
    )
    raises_alike(
        functional.pad, F.pad, X, (4, 0), "reflect", match=r"pad: mode 'reflect' pads dimension 2 .* at most 3"
    )
    raises_alike(
        functional.pad, F.pad, X, (5, 0), "circular", match=r"pad: mode 'circular' pads dimension 2 .* at most 4"
    )
    raises_alike(functional.pad, F.pad, X, (1, 0), "mirror", match=r"pad: mode is 'mirror', expected 'constant'")
    raises_alike(functional.pad, F.pad, X, (1, 0), "reflect", 1.0, match=r"pad: value is 1.0, mode 'reflect' has none")
    raises_alike(
        functional.pixel_shuffle, F.pixel_shuffle, IMAGE, 3, match=r"pixel_shuffle: input is .* \(\*, C\*9, H, W\)"
    )
    raises_alike(
        functional.pixel_unshuffle, F.pixel_unshuffle, IMAGE, 4, match=r"pixel_unshuffle: input is .* H\*4, W\*4"
    )
    raises_alike(functional.unfold, F.unfold, VECTOR, 2, match=r"unfold: input is \(5,\), expected \(N, C, H, W\)")
    raises_alike(
        functional.unfold, F.unfold, IMAGE, 6, match=r"unfold: .*H: \(5 \+ 2\*0 - 1\*\(6 - 1\) - 1\)//1 \+ 1 = 0"
    )
    raises_alike(functional.fold, F.fold, X, (5, 6), 2, match=r"fold: input is \(2, 3, 4\), expected \(N, C\*4, 20\)")
    resize, theirs = functional.interpolate, F.interpolate
    raises_alike(resize, theirs, IMAGE, match=r"interpolate: size is None, scale_factor None, expected one of them")
    raises_alike(resize, theirs, IMAGE, 3, mode="cubic", match=r"interpolate: mode is 'cubic', expected one of")
    raises_alike(
        resize, theirs, IMAGE, 3, mode="linear", match=r"interpolate: input is .* mode 'linear' expects \(3,\)"
    )
    for mode in ("nearest", "area", "linear"):
        match = f"interpolate: mode is '{mode}', expected one of 'bilinear', 'bicubic', 'lanczos' where antialias=True"
        raises_alike(
            resize, theirs, INPUTS[1] if mode == "linear" else IMAGE, 3, mode=mode, antialias=True, match=match
        )
    match = "interpolate: mode is 'lanczos', expected one of .* where antialias=False"
    raises_alike(resize, theirs, IMAGE, 3, mode="lanczos", match=match)
    raises_alike(
        resize, theirs, IMAGE, 3, align_corners=True, match=r"interpolate: align_corners is True, mode 'nearest'"
    )
    raises_alike(resize, theirs, IMAGE, (3, 3, 3), match=r"interpolate: \(3, 3, 3\) for 2 dimensions \(5, 6\)")
    raises_alike(resize, theirs, IMAGE, 0, match=r"interpolate: input is .*, the new size \(0, 0\)")


@pytest.mark.parametrize("size", [(3, 3), (2, 4), (7, 3), (2, 2, 2)])
@pytest.mark.parametrize("wrap", [False, True])
def test_fill_diagonal(size: tuple[int, ...], wrap: bool) -> None:
    x = rng.normal(size=size)
    compare(lambda x: (x * 1).fill_diagonal_(2.5, wrap), lambda x: (x * 1).fill_diagonal_(2.5, wrap), x)


def test_repeats_alone_are_the_numbers_of_the_slices() -> None:
    compare(tg.repeat_interleave, torch.repeat_interleave, np.array([2, 0, 1]), orders=0)


def test_what_repeats_and_diagonals_refuse() -> None:
    ours, theirs = tg.repeat_interleave, torch.repeat_interleave
    raises_alike(ours, theirs, VECTOR, -1, match=r"repeat_interleave: repeats are -1, expected integers of 0 or more")
    raises_alike(ours, theirs, VECTOR, np.array([1, 2]), match=r"there are 2 repeats, dimension 0 has 5 elements")
    raises_alike(ours, theirs, VECTOR, 2, 0, output_size=9, match=r"output_size is 9, the repeats make 10")
    raises_alike(tg.diag, torch.diag, X, match=r"diag: input is \(2, 3, 4\), expected a vector or a matrix")


@pytest.mark.parametrize("mode", ["nearest", "linear", "bilinear", "trilinear", "nearest-exact", "bicubic"])
@pytest.mark.parametrize("more", [1.0, 2.0])
def test_interpolate_by_a_factor_that_adds_no_pixel(mode: str, more: float) -> None:
    for dims in {"linear": [1], "bilinear": [2], "bicubic": [2], "trilinear": [3]}.get(mode, [1, 2, 3]):
        x = np.random.default_rng(dims).normal(size=(2, 3, *(4, 5, 6)[:dims]))
        factors = (1.15, *[1.1 * more] * (dims - 1))
        # PyTorch's backward leaves pixels where they are whatever its forward did.
        compare(tg.nn.functional.interpolate, F.interpolate, x, mode=mode, scale_factor=factors, orders=0)

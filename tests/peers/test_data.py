"""Datasets, loaders, collation and warps against PyTorch's."""

from __future__ import annotations

import re
from collections import namedtuple

import numpy as np
import pytest

from tinygrad_cnn import data
from tinygrad_cnn.data.transforms import _matrices, _warp
from tinygrad_cnn.tensor import Tensor

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")
peer = pytest.importorskip("torch.utils.data")

Pair = namedtuple("Pair", "left right")


def plain(value):
    """Tensors of either kind as (dtype, nested lists), inside the same lists, dicts and tuples."""
    if isinstance(value, Tensor):
        return str(value.array.dtype), value.array.tolist()
    if isinstance(value, torch.Tensor):
        return str(value.numpy().dtype), value.tolist()
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(entry) for entry in value]
    return value


@pytest.mark.parametrize(
    "samples",
    [
        [1, 2, 3],
        [1.5, 2.5],
        [True, False],
        [np.float32(1), np.float32(2)],
        [np.int32(1), np.int32(2)],
        [np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)],
        [np.array(1, np.int16), np.array(2, np.int16)],
        ["a", "bc"],
        [b"a", b"bc"],
        [(1, 2.0), (3, 4.0)],
        [[1, "x"], [2, "y"]],
        [Pair(1, 2.0), Pair(3, 4.0)],
        [{"x": np.ones(2), "y": (1, {"z": 2.0})}, {"x": np.zeros(2), "y": (3, {"z": 4.0})}],
    ],
)
def test_collation(samples):
    assert plain(data.default_collate(samples)) == plain(peer.default_collate(samples))


def test_collation_of_tensors():
    rows = [np.full((2, 2), i, np.float32) for i in range(3)]
    ours = data.default_collate([(Tensor(row), i) for i, row in enumerate(rows)])
    theirs = peer.default_collate([(torch.tensor(row), i) for i, row in enumerate(rows)])
    assert plain(ours) == plain(theirs)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 12, 20])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("kind", ["tensors", "subset", "concatenated"])
def test_loaders(batch_size, drop_last, kind):
    x, y = np.arange(24.0, dtype=np.float32).reshape(12, 2), np.arange(12)

    def batches(library, tensor):
        dataset = library.TensorDataset(tensor(x), tensor(y))
        if kind == "subset":
            dataset = library.Subset(dataset, [5, 3, 3, 11, 0])
        if kind == "concatenated":
            dataset = library.ConcatDataset([dataset, library.Subset(dataset, [1])])
        loader = library.DataLoader(dataset, batch_size, drop_last=drop_last)
        return len(loader), [plain(batch) for batch in loader]

    assert batches(data, Tensor) == batches(peer, torch.tensor)


@pytest.mark.parametrize("total", [1, 7, 10, 100])
@pytest.mark.parametrize("lengths", [[1.0], [0.5, 0.5], [0.7, 0.2, 0.1], [1 / 3] * 3, [0.15, 0.85]])
@pytest.mark.filterwarnings("ignore:Length of split")
def test_fractions_of_a_split(total, lengths):
    ours = data.random_split(range(total), lengths)
    theirs = peer.random_split(range(total), lengths)
    assert [len(part) for part in ours] == [len(part) for part in theirs]


@pytest.mark.parametrize("number", [0, 5, 9, 12])
def test_samplers(number):
    ours = data.RandomSampler(range(5), num_samples=number or None)
    theirs = peer.RandomSampler(range(5), num_samples=number or None)
    assert len(ours) == len(theirs)
    counts = [sorted(np.bincount(list(sampler), minlength=5).tolist()) for sampler in (ours, theirs)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("fill", [None, 0.0])
def test_warps(fill):
    """Against affine_grid and grid_sample, whose grids ask where each new pixel comes from, in (x, y) from -1 to 1."""
    rng = np.random.default_rng(0)
    N, H, W = 6, 11, 8
    x = rng.random((N, 2, H, W))
    matrices = _matrices(rng.uniform(-0.6, 0.6, N), rng.uniform(-0.3, 0.3, N), rng.uniform(0.7, 1.3, N))
    move = rng.uniform(-2, 2, (N, 2))

    back = np.linalg.inv(matrices)
    shift = -np.einsum("nij,nj->ni", back, move)
    half = np.array([W, H]) / 2
    theta = np.empty((N, 2, 3))
    theta[:, :, :2] = back[:, ::-1, ::-1] * half / half[:, None]  # (y, x) -> (x, y), pixels -> halves of the image
    theta[:, :, 2] = shift[:, ::-1] / half
    grid = torch.nn.functional.affine_grid(torch.tensor(theta), list(x.shape), align_corners=False)
    padding = "border" if fill is None else "zeros"
    expected = torch.nn.functional.grid_sample(torch.tensor(x), grid, padding_mode=padding, align_corners=False)
    np.testing.assert_allclose(_warp(x, matrices, move, fill), expected.numpy(), atol=1e-12)


def test_what_speaks_of_workers_is_kept():
    for library in (data, peer):
        how = {"num_workers": 2, "timeout": 5.0, "worker_init_fn": print, "prefetch_factor": 3, "in_order": False}
        how |= {"multiprocessing_context": None, "persistent_workers": True, "pin_memory_device": ""}
        loader = library.DataLoader(range(5), 2, **how)
        assert all(getattr(loader, name) == value for name, value in how.items())
    assert [batch.tolist() for batch in data.DataLoader(range(5), 2, num_workers=2)] == [[0, 1], [2, 3], [4]]
    assert [kit.DataLoader([0], num_workers=n).prefetch_factor for kit in (data, peer) for n in (0, 1)] == [None, 2] * 2


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"num_workers": -1}, "num_workers is -1, expected at least 0"),
        ({"timeout": -0.5}, "timeout is -0.5, expected at least 0"),
        ({"num_workers": 1, "prefetch_factor": -1}, "prefetch_factor is -1, expected at least 0"),
        ({"prefetch_factor": 0}, "got prefetch_factor=0 and num_workers=0, expected some workers with it"),
        ({"persistent_workers": True}, "got persistent_workers=True and num_workers=0, expected some workers with it"),
        ({"multiprocessing_context": "spawn"}, "got multiprocessing_context='spawn' and num_workers=0, expected some"),
        ({"batch_size": 0}, "batch_size is 0, expected at least 1"),
        ({"batch_size": None, "drop_last": True}, "got batch_size=None and drop_last=True"),
        ({"sampler": [0], "shuffle": True}, "got a sampler and shuffle=True, expected one of the two"),
        *(
            (
                {"batch_sampler": [[0]], **other},
                "got a batch_sampler, expected no batch_size, shuffle, sampler, drop_last",
            )
            for other in ({"batch_size": 2}, {"shuffle": True}, {"sampler": [0]}, {"drop_last": True})
        ),
    ],
    ids=str,
)
def test_the_loader_refuses_what_theirs_refuses(how, message):
    with pytest.raises(ValueError):  # noqa: PT011 - their words are not ours to test
        peer.DataLoader(range(3), **how)
    with pytest.raises(ValueError, match=rf"^DataLoader: {re.escape(message)}"):
        data.DataLoader(range(3), **how)

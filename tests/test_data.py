"""Datasets, collation, samplers and the DataLoader."""

from __future__ import annotations

import json
from collections import namedtuple
from itertools import chain, islice

import numpy as np
import pytest

from tinygrad_cnn.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    Images,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
    transforms,
)
from tinygrad_cnn.random import Generator, default_generator, manual_seed
from tinygrad_cnn.tensor import Tensor


def seeded(seed=0):
    return Generator().manual_seed(seed)


def values(batches):
    """The batches as nested lists of numbers."""
    return [
        batch.array.tolist() if isinstance(batch, Tensor) else [t.array.tolist() for t in batch] for batch in batches
    ]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(7))


class Counted(TensorDataset):
    """Tells how it was asked."""

    def __init__(self, *tensors):
        super().__init__(*tensors)
        self.calls = []

    def get_batch(self, indices):
        self.calls.append(list(indices))
        return super().get_batch(indices)

    def __getitem__(self, index):
        self.calls.append(index)
        return super().__getitem__(index)


# ---- datasets ----------------------------------------------------------------------------------------------


def test_tensor_dataset_gives_rows_of_every_tensor():
    x, y = np.arange(12.0).reshape(4, 3), np.arange(4)
    dataset = TensorDataset(Tensor(x), y)
    assert len(dataset) == 4
    row, label = dataset[-1]
    np.testing.assert_array_equal(row.array, x[3])
    assert label.array == 3
    assert label.array.dtype == np.int64
    assert [int(label.array) for _, label in dataset] == [0, 1, 2, 3]
    batch = dataset.get_batch([2, 0, 2])
    np.testing.assert_array_equal(batch[0].array, x[[2, 0, 2]])
    np.testing.assert_array_equal(batch[1].array, y[[2, 0, 2]])


def test_tensor_dataset_keeps_gradients():
    x = Tensor(np.ones((3, 2)))
    x.requires_grad = True
    (batch,) = TensorDataset(x).get_batch([0, 0, 1])
    batch.sum().backward()
    np.testing.assert_array_equal(x.grad.array, [[2, 2], [1, 1], [0, 0]])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((), r"TensorDataset: shapes are \[\], expected tensors with at least one axis"),
        ((np.array(1.0),), r"TensorDataset: shapes are \[\(\)\], expected"),
        ((np.ones(3), np.ones((2, 3))), r"first sizes differ in the shapes \[\(3,\), \(2, 3\)\], expected one size"),
    ],
)
def test_tensor_dataset_says_what_does_not_fit(arrays, message):
    with pytest.raises(ValueError, match=message):
        TensorDataset(*arrays)


def test_subset_and_concat_find_their_samples():
    joined = ConcatDataset(["abc", "", "de"])
    assert [joined[i] for i in range(len(joined))] == list("abcde")
    assert [joined[i] for i in range(-5, 0)] == list("abcde")
    assert joined.cumulative_sizes == [3, 3, 5]
    part = Subset(joined, [4, 0])
    assert (len(part), part[0], part[1]) == (2, "e", "a")
    for index in (5, -6):
        with pytest.raises(IndexError, match=rf"ConcatDataset: index is {index}, expected one within 5 samples"):
            joined[index]


def test_datasets_add_up():
    one, two = TensorDataset(np.arange(2)), TensorDataset(np.arange(2, 5))
    assert values(DataLoader(one + two, 3)) == [[[0, 1, 2]], [[3, 4]]]


def test_concat_says_what_it_cannot_join():
    with pytest.raises(ValueError, match="ConcatDataset: got 0 datasets, expected at least one"):
        ConcatDataset([])
    with pytest.raises(TypeError, match="ConcatDataset: got an IterableDataset, expected datasets with numbered"):
        ConcatDataset([Stream()])
    with pytest.raises(TypeError, match="generator: has no __len__, expected a dataset with a known length"):
        ConcatDataset([(i for i in range(3))])


def test_a_dataset_without_its_methods_says_which_is_missing():
    with pytest.raises(NotImplementedError, match="Dataset: has no __getitem__, expected one that takes an index"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="IterableDataset: has no __iter__"):
        iter(IterableDataset())
    with pytest.raises(NotImplementedError, match="Sampler: has no __iter__"):
        iter(Sampler())


@pytest.mark.parametrize(
    ("lengths", "counts"),
    [
        ([3, 7], [3, 7]),
        ([0, 10], [0, 10]),
        ([0.5, 0.5], [5, 5]),
        ([0.75, 0.25], [8, 2]),
        ([1 / 3, 1 / 3, 1 / 3], [4, 3, 3]),
        ([0.2, 0.4, 0.3, 0.1], [2, 4, 3, 1]),  # which sum to 1.0000000000000002
        ([1.0], [10]),
    ],
)
def test_random_split_cuts_into_parts_that_make_the_whole(lengths, counts):
    parts = random_split(range(10), lengths, seeded())
    assert [len(part) for part in parts] == counts
    assert sorted(part[i] for part in parts for i in range(len(part))) == list(range(10))


def test_random_split_repeats_with_its_seed_and_draws_from_the_default_stream():
    def draw(generator=None):
        return [list(part.indices) for part in random_split(range(100), [60, 40], generator)]

    assert draw(seeded(1)) == draw(seeded(1)) != draw(seeded(2))
    manual_seed(5)
    first = draw()
    assert draw() != first
    manual_seed(5)
    assert draw() == first


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 3], r"random_split: lengths \[3, 3\] sum to 6, expected counts that sum to 10 or fractions"),
        ([11, -1], r"random_split: lengths are \[11, -1\], expected none below 0"),
        ([0.5, 0.4], r"random_split: lengths \[0.5, 0.4\] sum to 0.9, expected"),
        ([2.5, 7.5], r"random_split: lengths \[2.5, 7.5\] sum to 10.0, expected counts"),
        ([float("nan"), 1], r"random_split: lengths are \[nan, 1\], expected none below 0"),
        ([], r"random_split: lengths \[\] sum to 0, expected"),
    ],
)
def test_random_split_says_what_does_not_add_up(lengths, message):
    with pytest.raises(ValueError, match=message):
        random_split(range(10), lengths)


# ---- collation ---------------------------------------------------------------------------------------------

Pair = namedtuple("Pair", "left right")


def test_collate_joins_entry_by_entry():
    samples = [{"x": np.full(2, i, np.float32), "y": (i, [i / 2, f"n{i}"]), "z": Pair(i > 0, b"b")} for i in range(3)]
    batch = default_collate(samples)
    assert batch["x"].array.dtype == np.float32
    np.testing.assert_array_equal(batch["x"].array, [[0, 0], [1, 1], [2, 2]])
    whole, (half, names) = batch["y"]
    assert isinstance(batch["y"], list)
    assert (whole.array.dtype, whole.array.tolist()) == (np.int64, [0, 1, 2])
    assert (half.array.dtype, half.array.tolist()) == (np.float64, [0.0, 0.5, 1.0])
    assert names == ("n0", "n1", "n2")
    assert isinstance(batch["z"], Pair)
    assert (batch["z"].left.array.dtype, batch["z"].right) == (np.bool_, (b"b",) * 3)


def test_collate_keeps_the_gradients_of_tensors():
    rows = [Tensor(np.full(2, float(i))) for i in range(3)]
    rows[1].requires_grad = True
    batch = default_collate(rows)
    np.testing.assert_array_equal(batch.array, [[0, 0], [1, 1], [2, 2]])
    (batch * batch).sum().backward()
    np.testing.assert_array_equal(rows[1].grad.array, [2, 2])


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([], ValueError, "default_collate: got 0 samples, expected at least one"),
        ([np.ones(2), np.ones(3)], ValueError, r"samples have shapes \[\(2,\), \(3,\)\], expected one shape for all"),
        ([Tensor(np.ones(2)), Tensor(np.ones(3))], ValueError, r"samples have shapes \[\(2,\), \(3,\)\]"),
        ([(1, 2), (3,)], ValueError, r"samples have sizes \[1, 2\], expected one size for all"),
        ([object(), object()], TypeError, "a sample holds object, expected tensors, arrays, numbers, strings"),
        ([None, None], TypeError, "a sample holds NoneType"),
        ([np.array("a"), np.array("b")], TypeError, "a sample has dtype <U1, expected numbers"),
    ],
)
def test_collate_says_what_it_cannot_join(samples, error, message):
    with pytest.raises(error, match=message):
        default_collate(samples)


# ---- the loader --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "batch_size"), [(10, 3), (9, 3), (2, 3), (3, 1)])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_hold_every_sample_once(size, batch_size, drop_last):
    loader = DataLoader(range(size), batch_size, drop_last=drop_last)
    batches = values(loader)
    kept = size - size % batch_size if drop_last else size
    assert list(chain(*batches)) == list(range(kept))
    assert len(batches) == len(loader)
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_an_empty_dataset_gives_no_batches():
    assert list(DataLoader([], 4)) == []
    with pytest.raises(ValueError, match="RandomSampler: num_samples is 0, expected a positive number"):
        DataLoader([], 4, shuffle=True)


def test_a_tensor_dataset_is_asked_for_whole_batches():
    dataset = Counted(np.arange(5))
    assert values(DataLoader(dataset, 2)) == [[[0, 1]], [[2, 3]], [[4]]]
    assert dataset.calls == [[0, 1], [2, 3], [4]]


def test_a_subset_passes_whole_batches_on():
    dataset = Counted(np.arange(5))
    assert values(DataLoader(Subset(dataset, [4, 2, 0]), 2)) == [[[4, 2]], [[0]]]
    assert dataset.calls == [[4, 2], [0]]


def test_a_subclass_that_changes_the_samples_is_asked_for_samples():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return (super().__getitem__(index)[0] * 2,)

    dataset = Doubled(np.arange(4.0))
    assert values(DataLoader(dataset, 2)) == values(DataLoader(Subset(dataset, range(4)), 2)) == [[[0, 2]], [[4, 6]]]


def test_collate_fn_gets_the_list_of_samples():
    dataset = Counted(np.arange(3))
    batches = list(DataLoader(dataset, 2, collate_fn=lambda samples: [int(s[0].array) for s in samples]))
    assert batches == [[0, 1], [2]]
    assert dataset.calls == [0, 1, 2]


def test_shuffling_changes_with_the_epoch_and_repeats_with_the_seed():
    def epochs(seed):
        loader = DataLoader(range(50), 8, shuffle=True, generator=seeded(seed))
        return [list(chain(*values(loader))) for _ in range(3)]

    first = epochs(3)
    assert all(sorted(epoch) == list(range(50)) for epoch in first)
    assert first[0] != first[1] != first[2] != first[0]
    assert epochs(3) == first != epochs(4)


def test_shuffling_leaves_the_default_stream_alone_when_it_has_its_own():
    manual_seed(1)
    before = default_generator.get_state()
    list(DataLoader(range(9), shuffle=True, generator=seeded()))
    list(DataLoader(range(9)))
    assert default_generator.get_state() == before


def test_shuffling_without_a_generator_follows_manual_seed():
    loader = DataLoader(range(50), 50, shuffle=True)
    manual_seed(1)
    first = values(loader)
    assert values(loader) != first
    manual_seed(1)
    assert values(loader) == first


def test_random_sampler_draws_as_many_as_asked():
    twice = list(RandomSampler(range(5), num_samples=10, generator=seeded()))
    assert sorted(twice[:5]) == sorted(twice[5:]) == list(range(5))
    some = RandomSampler(range(5), num_samples=3, generator=seeded())
    assert len(some) == len(set(some)) == 3
    free = list(RandomSampler(range(3), replacement=True, num_samples=300, generator=seeded()))
    assert set(free) == {0, 1, 2}
    assert min(free.count(i) for i in range(3)) > 60
    assert sorted(free[:3]) != sorted(free[3:6]) or sorted(free[:3]) != [0, 1, 2]


def test_subset_sampler_shuffles_what_it_is_given():
    sampler = SubsetRandomSampler(Tensor(np.arange(40, 60)), generator=seeded())
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(40, 60))
    assert first != second
    assert list(sampler.again()) == second
    assert len(sampler) == 20


def test_weighted_sampler_draws_by_weight():
    drawn = list(WeightedRandomSampler([1.0, 0.0, 3.0], 4000, generator=seeded()))
    assert len(drawn) == 4000
    assert drawn.count(1) == 0
    assert 0.7 < drawn.count(2) / 4000 < 0.8
    once = WeightedRandomSampler(Tensor(np.array([0.1, 0.9, 0.4])), 3, replacement=False, generator=seeded())
    assert sorted(once) == [0, 1, 2]
    with pytest.raises(ValueError, match="num_samples is 3, a row has 2 weights above 0"):
        WeightedRandomSampler([1, 1, 0], 3, replacement=False)
    with pytest.raises(ValueError, match="num_samples is 0, expected at least 1"):
        WeightedRandomSampler([1, 1, 0], 0)


def test_batch_sampler_decides_on_the_batches():
    batches = BatchSampler(SequentialSampler("abcdefg"), 3, drop_last=True)
    assert (list(batches), len(batches)) == ([[0, 1, 2], [3, 4, 5]], 2)
    loader = DataLoader("abcdefg", batch_sampler=batches)
    assert (list(loader), len(loader)) == ([["a", "b", "c"], ["d", "e", "f"]], 2)
    assert list(DataLoader("abc", batch_sampler=[[2, 0], [], [1]], collate_fn="".join)) == ["ca", "", "b"]
    assert len(BatchSampler([4, 4, 4], 2, drop_last=False)) == 2
    for size in (0, 2.0, True):
        with pytest.raises(ValueError, match=f"BatchSampler: batch_size is {size}, expected an integer of at least 1"):
            BatchSampler([0], size, drop_last=False)


def test_without_a_batch_size_samples_come_one_by_one():
    dataset = [(np.full(2, i, np.float32), {"n": i}) for i in range(3)]
    loader = DataLoader(dataset, batch_size=None, sampler=[2, 0])
    assert len(loader) == 2
    assert [(x.array.tolist(), y) for x, y in loader] == [([2, 2], {"n": 2}), ([0, 0], {"n": 0})]
    assert list(DataLoader(Stream(), batch_size=None)) == list(range(7))
    assert list(DataLoader([1, 2], batch_size=None, collate_fn=str)) == ["1", "2"]
    assert default_convert(Pair(np.float64(1), "b")).left.array.dtype == np.float64


def test_any_iterable_of_numbers_is_a_sampler():
    loader = DataLoader("abcd", 2, sampler=[3, 1, 0])
    assert list(loader) == [["d", "b"], ["a"]]
    assert len(loader) == 2
    assert list(SequentialSampler("abc")) == [0, 1, 2]


def test_a_stream_comes_in_batches():
    loader = DataLoader(Stream(), 3)
    assert values(loader) == [[0, 1, 2], [3, 4, 5], [6]]
    assert values(DataLoader(Stream(), 3, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(TypeError, match="DataLoader: has no length, because its dataset or sampler has none"):
        len(loader)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "DataLoader: batch_size is 0, expected at least 1"),
        ({"batch_size": None, "drop_last": True}, ValueError, "batch_size=None and drop_last=True, but samples come"),
        ({"batch_sampler": [[0]], "batch_size": 2}, ValueError, "got a batch_sampler, expected no batch_size"),
        ({"batch_sampler": [[0]], "shuffle": True}, ValueError, "got a batch_sampler, expected no batch_size"),
        ({"batch_size": 2.0}, TypeError, "DataLoader: batch_size is 2.0, expected an integer"),
        ({"sampler": [0], "shuffle": True}, ValueError, "got a sampler and shuffle=True, expected one of the two"),
    ],
)
def test_loader_says_which_argument_does_not_fit(arguments, error, message):
    with pytest.raises(error, match=message):
        DataLoader(range(3), **arguments)


@pytest.mark.parametrize("arguments", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_a_stream_cannot_be_reordered(arguments):
    with pytest.raises(ValueError, match="got an IterableDataset, expected no sampler and no shuffle with it"):
        DataLoader(Stream(), **arguments)


def test_two_iterations_at_once_do_not_disturb_each_other():
    loader = DataLoader(range(4), 1)
    assert [(int(a.array[0]), int(b.array[0])) for a, b in zip(loader, loader, strict=True)] == [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 3),
    ]


# ---- transforms in the loader ------------------------------------------------------------------------------


def test_transform_changes_the_images_alone():
    images = np.zeros((4, 1, 2, 2), np.uint8)
    dataset = Images(images, np.arange(4))
    loader = DataLoader(dataset, 4, transform=transforms.add_noise, generator=seeded())
    (x, y), (again, _) = next(iter(loader)), next(iter(loader))
    assert x.array.std() > 0
    assert not np.array_equal(x.array, again.array)
    np.testing.assert_array_equal(y.array, np.arange(4))
    assert not dataset.images.any()


def test_transform_takes_a_batch_that_is_one_tensor():
    loader = DataLoader([np.ones((1, 2, 3))] * 2, 2, transform=lambda x, generator: -x)
    assert values(loader) == [(-np.ones((2, 1, 2, 3))).tolist()]


def test_transform_says_what_it_cannot_find():
    with pytest.raises(TypeError, match="transform meets a batch of type dict, expected a Tensor, or a list or tuple"):
        next(iter(DataLoader([{"x": 1}], transform=lambda x, generator: x)))


# ---- the position ------------------------------------------------------------------------------------------


def make(kind, generator):
    """Loaders of every kind over 23 samples, in batches of 4."""
    x = np.arange(23 * 4, dtype=np.float64).reshape(23, 1, 2, 2)
    arguments = {
        "in order": {},
        "shuffled": {"shuffle": True},
        "short batch dropped": {"shuffle": True, "drop_last": True},
        "augmented": {"shuffle": True, "transform": transforms.add_noise},
        "sampler": {"sampler": RandomSampler(range(23), replacement=True, generator=seeded(9))},
        "weighted": {"sampler": WeightedRandomSampler(np.arange(23.0), 22, generator=generator)},
        "subset": {"sampler": SubsetRandomSampler(range(1, 22), generator=generator)},
        "batches": {"batch_sampler": BatchSampler(RandomSampler(x, generator=generator), 4, drop_last=False)},
        "one by one": {"batch_size": None, "shuffle": True},
    }[kind]
    if "batch_size" not in arguments and "batch_sampler" not in arguments:
        arguments["batch_size"] = 4
    return DataLoader(TensorDataset(x), generator=generator, **arguments)


KINDS = ["in order", "shuffled", "short batch dropped", "augmented", "sampler"]
KINDS += ["weighted", "subset", "batches", "one by one"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [0, 1, 4, 5, 6])
def test_a_saved_position_goes_on_with_the_batches_that_remained(kind, stop):
    loader = make(kind, seeded(1))
    whole = [values(loader), values(loader), values(loader)]
    stop = min(stop, len(whole[1]))

    stopped = make(kind, seeded(1))
    assert values(stopped) == whole[0]
    assert values(islice(stopped, stop)) == whole[1][:stop]
    state = json.loads(json.dumps(stopped.state_dict()))

    resumed = make(kind, seeded(77))
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert values(resumed) == whole[1][stop:]
    assert values(resumed) == whole[2]


def test_a_position_inside_a_loop_counts_the_batch_in_hand():
    loader = make("shuffled", seeded(1))
    states = []
    batches = []
    for batch in loader:
        batches.append(batch)
        states.append(loader.state_dict())
    for i, state in enumerate(states):
        resumed = make("shuffled", seeded(2))
        resumed.load_state_dict(state)
        assert values(resumed) == values(batches[i + 1 :])


def test_a_position_between_epochs_starts_the_next_one():
    loader = make("augmented", seeded(1))
    list(loader)
    state = loader.state_dict()
    assert state["position"] == 0
    resumed = make("augmented", seeded(2))
    resumed.load_state_dict(state)
    assert values(resumed) == values(loader)


def test_a_position_survives_without_a_generator():
    manual_seed(3)
    loader = DataLoader(range(20), 4, shuffle=True)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    assert state["generator"] is None
    remaining = values(batches)
    manual_seed(4)
    resumed = DataLoader(range(20), 4, shuffle=True)
    resumed.load_state_dict(state)
    assert values(resumed) == remaining


def test_a_stream_goes_on_where_it_stopped():
    loader = DataLoader(Stream(), 2)
    next(iter(loader))
    state = loader.state_dict()
    resumed = DataLoader(Stream(), 2)
    resumed.load_state_dict(state)
    assert values(resumed) == [[2, 3], [4, 5], [6]]
    assert values(resumed) == [[0, 1], [2, 3], [4, 5], [6]]


def test_breaking_off_and_starting_again_begins_a_new_epoch():
    loader = make("in order", None)
    next(iter(loader))
    assert len(values(loader)) == 6


def test_a_position_of_another_dataset_is_refused():
    state = DataLoader(range(20)).state_dict()
    message = "load_state_dict: position was saved over 20 samples, expected 21 as in this loader"
    with pytest.raises(ValueError, match=message):
        DataLoader(range(21)).load_state_dict(state)

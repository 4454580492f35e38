"""Tensor: what it tells of itself, conversions, in-place methods, copies; and the functions that create it."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest

import tinygrad_cnn as tg

# ---- creation ------------------------------------------------------------------------------------------------


def test_default_dtypes() -> None:
    assert tg.tensor(1.5).dtype == tg.float32
    assert tg.tensor([1, 2]).dtype == tg.int64
    assert tg.tensor([True]).dtype == tg.bool
    assert tg.tensor([]).dtype == tg.float32
    assert tg.tensor(np.array([1.5])).dtype == tg.float64
    assert tg.tensor([1.5], dtype=tg.float64).dtype == tg.float64
    assert tg.arange(3).dtype == tg.int64
    assert tg.arange(0, 1, 0.25).tolist() == [0.0, 0.25, 0.5, 0.75]
    assert tg.full((2,), 3).dtype == tg.int64
    assert tg.full((2,), 3.0).dtype == tg.float32
    assert tg.zeros(2, 3).shape == tg.zeros((2, 3)).shape == (2, 3)
    assert tg.ones_like(tg.arange(3)).dtype == tg.int64
    assert tg.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0]
    assert tg.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_tensor_copies_and_as_tensor_shares() -> None:
    data = np.zeros(2)
    shared, copied = tg.as_tensor(data), tg.tensor(data)
    data[0] = 1
    assert shared.tolist() == [1, 0]
    assert copied.tolist() == [0, 0]
    assert tg.as_tensor(shared) is shared
    assert tg.from_numpy(data).numpy() is data


def test_tensors_inside_lists() -> None:
    assert tg.tensor([[tg.tensor(1.0), 2.0], [3.0, 4.0]]).tolist() == [[1, 2], [3, 4]]


def test_random_functions_follow_the_seed_and_the_generator() -> None:
    tg.manual_seed(5)
    first = tg.randn(3), tg.rand(3), tg.randint(0, 10, (3,)), tg.randperm(5)
    tg.manual_seed(5)
    again = tg.randn(3), tg.rand(3), tg.randint(0, 10, (3,)), tg.randperm(5)
    assert [t.tolist() for t in first] == [t.tolist() for t in again]
    g, h = tg.Generator().manual_seed(1), tg.Generator().manual_seed(1)
    assert tg.rand(3, generator=g).tolist() == tg.rand(3, generator=h).tolist()
    x = tg.zeros(2, 3, dtype=tg.float64)
    assert tg.rand_like(x, generator=g).tolist() == tg.rand(2, 3, dtype=tg.float64, generator=h).tolist()
    assert tg.randn_like(x, generator=g).tolist() == tg.randn(2, 3, dtype=tg.float64, generator=h).tolist()
    assert x.copy_(tg.ones(3), non_blocking=True).sum() == 6
    assert sorted(tg.randperm(6).tolist()) == list(range(6))
    assert set(tg.randint(3, (200,)).tolist()) == {0, 1, 2}


def test_multinomial_draws_with_the_weights() -> None:
    weights, n = tg.tensor([[1.0, 0.0, 3.0, 4.0], [5.0, 5.0, 0.0, 0.0]]), 20_000
    drawn = tg.multinomial(weights, n, replacement=True, generator=tg.Generator().manual_seed(2)).numpy()
    assert drawn.shape == (2, n)
    assert drawn.dtype == np.int64
    shares = np.stack([np.bincount(row, minlength=4) for row in drawn]) / n
    assert shares == pytest.approx(np.array([[0.125, 0.0, 0.375, 0.5], [0.5, 0.5, 0.0, 0.0]]), abs=0.015)


def test_multinomial_without_replacement_draws_one_after_the_other() -> None:
    n, weights = 20_000, np.array([1.0, 0.0, 3.0, 4.0])
    rows = tg.tensor(np.tile(weights, (n, 1)))
    drawn = rows.multinomial(2, generator=tg.Generator().manual_seed(3)).numpy()
    p = weights / weights.sum()
    for a, b in ((0, 2), (2, 0), (2, 3), (3, 2), (3, 0), (0, 3)):
        share = (drawn == (a, b)).all(1).mean()
        assert share == pytest.approx(p[a] * p[b] / (1 - p[a]), abs=0.015)
    assert (drawn != 1).all()
    assert sorted(tg.multinomial(tg.tensor(weights), 3).tolist()) == [0, 2, 3]


def test_multinomial_follows_the_seed() -> None:
    tg.manual_seed(5)
    first = tg.multinomial(tg.ones(9), 9).tolist(), tg.multinomial(tg.ones(9), 9, True).tolist()
    tg.manual_seed(5)
    assert (tg.multinomial(tg.ones(9), 9).tolist(), tg.multinomial(tg.ones(9), 9, True).tolist()) == first


@pytest.mark.parametrize(
    ("weights", "count", "replacement", "message"),
    [
        ([1.0, 2.0], 3, False, "num_samples is 3, a row has 2 weights above 0"),
        ([1.0, 0.0], 2, False, "num_samples is 2, a row has 1 weights above 0"),
        ([0.0, 0.0], 1, True, "num_samples is 1, a row has 0 weights above 0"),
        ([1.0, -1.0], 1, True, "a weight is negative, inf or nan"),
        ([1.0, np.nan], 1, True, "a weight is negative, inf or nan"),
        ([1.0, 2.0], 0, True, "num_samples is 0, expected at least 1"),
        ([1, 2], 1, True, r"input is int64 \(2,\), expected floats"),
        ([[[1.0]]], 1, True, r"input is float32 \(1, 1, 1\), expected floats"),
    ],
)
def test_multinomial_refuses(weights: list[float], count: int, replacement: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tg.multinomial(tg.tensor(weights), count, replacement)


def test_others_of_the_same_dtype() -> None:
    x = tg.tensor([1.5], dtype=tg.float64)
    assert x.new_tensor([1, 2]).dtype == x.new_full((2,), 7).dtype == x.new_empty(3).dtype == tg.float64
    assert x.new_zeros(2, 3).tolist() == [[0.0] * 3] * 2
    assert x.new_ones((2,), dtype=tg.int64, requires_grad=False).tolist() == [1, 1]
    assert x.new_ones(1, requires_grad=True).requires_grad
    assert tg.arange(2).new_tensor([1.7]).tolist() == [1]
    data = tg.ones(2)
    assert data.new_tensor(data).array is not data.array


def test_counts_and_kinds_as_functions() -> None:
    assert tg.numel(tg.zeros(2, 3)) == 6
    assert tg.is_floating_point(tg.zeros(1))
    assert not tg.is_floating_point(tg.arange(1))


def test_generator_state_goes_on() -> None:
    g = tg.Generator().manual_seed(-3)
    state = g.get_state()
    first = tg.rand(4, generator=g).tolist()
    g.set_state(state)
    assert tg.rand(4, generator=g).tolist() == first
    assert g.initial_seed() == -3


def test_bad_input_to_creation() -> None:
    with pytest.raises(ValueError, match="unequal lengths"):
        tg.tensor([[1.0, 2.0], [3.0]])
    with pytest.raises(TypeError, match="expected real numbers or booleans"):
        tg.tensor(["a"])
    with pytest.raises(TypeError, match="complex128"):
        tg.tensor(1j)
    with pytest.raises(ValueError, match="only 'cpu' exists"):
        tg.zeros(2, device="cuda")
    with pytest.raises(ValueError, match="lengths of 0 or more"):
        tg.zeros(-1)
    with pytest.raises(TypeError, match="expected integers"):
        tg.zeros(1.5)
    with pytest.raises(TypeError, match="expected an ndarray, this is list"):
        tg.from_numpy([1.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected low < high"):
        tg.randint(3, 3, (1,))
    with pytest.raises(ValueError, match="randperm: n is -1, expected 0 or more"):
        tg.randperm(-1)
    with pytest.raises(ValueError, match="linspace: steps is -1, expected 0 or more"):
        tg.linspace(0, 1, -1)
    with pytest.raises(TypeError, match="dtype is 'nope', which names none"):
        tg.zeros(2, dtype="nope")
    with pytest.raises(TypeError, match=r"seed is 1\.5"):
        tg.manual_seed(1.5)  # type: ignore[arg-type]


def test_numbers_of_nested_lists_keep_their_precision() -> None:
    assert tg.tensor(0.1, dtype=tg.float64).item() == 0.1
    assert tg.full((1,), 0.1, dtype=tg.float64).item() == 0.1
    assert tg.tensor([np.float64(0.1)]).dtype == tg.float64
    assert tg.tensor([np.float32(1), 2.0]).dtype == tg.float32
    assert tg.tensor([tg.ones(1), 2 * tg.ones(1)]).dtype == tg.float32


# ---- what it tells --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.dtype(np.float32).newbyteorder(), np.longdouble])
def test_foreign_number_formats(dtype: object) -> None:
    with pytest.raises(TypeError, match="of at most 8 bytes and in this machine's byte order"):
        tg.from_numpy(np.zeros(2, dtype))  # type: ignore[call-overload]


def test_questions() -> None:
    x = tg.zeros(2, 3)
    assert (x.size(), x.size(1), x.dim(), x.ndim, x.numel(), len(x), x.nbytes) == ((2, 3), 3, 2, 2, 6, 2, 24)
    assert x.is_contiguous()
    assert not x.T.is_contiguous()
    assert x.is_floating_point()
    assert str(x.device) == "cpu"
    assert tg.tensor(3).item() == 3
    assert int(tg.tensor(3.7)) == 3
    assert float(tg.tensor(3)) == 3.0
    assert [10, 20, 30][tg.tensor(1)] == 20
    assert f"{tg.tensor(0.123456):.3f}" == "0.123"
    assert 3 in tg.arange(5)
    assert [t.item() for t in tg.arange(3)] == [0, 1, 2]
    assert bool(tg.tensor(1.0))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: tg.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
        (lambda: tg.tensor([1.0, 2.0]), "tensor([1., 2.])"),
        (lambda: tg.tensor([1, 2]), "tensor([1, 2])"),
        (lambda: tg.tensor([1.0], dtype=tg.float64), "tensor([1.], dtype=float64)"),
        (lambda: tg.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
        (lambda: tg.tensor([1.0], requires_grad=True) * 2, "tensor([2.], grad_fn=<mul>)"),
        (lambda: tg.tensor(3.0), "tensor(3.)"),
    ],
)
def test_repr(make: object, text: str) -> None:
    assert repr(make()) == text  # type: ignore[operator]


def test_misuse() -> None:
    with pytest.raises(ValueError, match=r"item: the tensor has shape \(2,\)"):
        tg.zeros(2).item()
    with pytest.raises(ValueError, match=r"use all\(\) or any\(\)"):
        bool(tg.zeros(2))
    with pytest.raises(TypeError, match="has no length"):
        len(tg.tensor(1.0))
    with pytest.raises(TypeError, match="expected integers"):
        [1, 2][tg.tensor(1.0)]
    with pytest.raises(RuntimeError, match="there is no CUDA"):
        tg.zeros(2).cuda()
    with pytest.raises(RuntimeError, match=r"use t\.detach"):
        tg.ones(2, requires_grad=True).numpy()
    with pytest.raises(ValueError, match="only leaves can be copied deeply"):
        copy.deepcopy(tg.ones(2, requires_grad=True) * 2)


def test_conversions() -> None:
    x = tg.tensor([1.5, -2.5])
    assert x.double().dtype == tg.float64
    assert x.long().tolist() == [1, -2]
    assert x.int().dtype == tg.int32
    assert x.bool().tolist() == [True, True]
    assert x.half().dtype == tg.float16
    assert x.float() is x
    assert x.to("cpu") is x
    assert x.to(tg.device("cpu")) is x
    assert x.cpu() is x
    assert x.contiguous() is x
    assert x.T.contiguous().is_contiguous()
    assert x.to(tg.arange(2)).dtype == tg.int64
    assert x.to("cpu", tg.float64).dtype == tg.float64
    assert x.type_as(tg.zeros(1, dtype=tg.float64)).dtype == tg.float64


def test_numpy_makes_copies_of_the_same_dtype() -> None:
    t = tg.tensor([1, 2])
    array = np.array(t)
    array[0] = 5
    assert (array.dtype, t.tolist()) == (np.int64, [1, 2])
    assert np.asarray(t) is t.numpy()
    with pytest.raises(ValueError, match="copy"):
        np.array(t, np.float32, copy=False)


def test_to_copies_and_knows_its_arguments() -> None:
    t = tg.ones(2)
    assert t.to(tg.float32) is t
    assert not np.shares_memory(t.to(tg.float32, copy=True), t)
    with pytest.raises(TypeError, match="dtpye"):
        t.to(dtpye=tg.float64)  # type: ignore[call-arg]


def test_setting_data() -> None:
    x = tg.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="data: the new data are a ndarray, expected a Tensor"):
        x.data = np.zeros(2)  # type: ignore[assignment]
    with pytest.raises(TypeError, match="expects floats, the new data are int64"):
        x.data = tg.tensor([1, 2])


def test_setting_grad() -> None:
    x = tg.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="grad: the new gradient is a float, expected a Tensor or None"):
        x.grad = 3.0  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"grad: the new gradient is float32 \(3,\), this tensor float32 \(2,\)"):
        x.grad = tg.ones(3)
    with pytest.raises(ValueError, match="grad: the new gradient is float64"):
        x.grad = tg.ones(2, dtype=tg.float64)
    assert x.grad is None


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.flip(0),
        lambda x: tg.nn.functional.pad(x, (-1, 0)),
        lambda x: tg.nn.functional.interpolate(x[None], scale_factor=1.0),
    ],
)
def test_these_copy_as_in_pytorch(change) -> None:  # type: ignore[no-untyped-def]
    x = tg.ones(2, 3)
    assert not np.shares_memory(change(x), x)


def test_comparison_with_none() -> None:
    x = tg.ones(2)
    assert (x == None) is False  # noqa: E711
    assert (x != None) is True  # noqa: E711
    assert x not in [None]


def test_lists_matrices_and_complex_numbers_as_operands() -> None:
    assert (tg.ones(2) * [2.0, 3.0]).dtype == tg.float32
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    assert (tg.from_numpy(matrix) * matrix).tolist() == [[1.0, 4.0], [9.0, 16.0]]
    with pytest.raises(TypeError, match="mul: an argument holds complex numbers"):
        tg.ones(2) * (1 + 2j)


def test_conversion_records() -> None:
    x = tg.tensor([1.5], requires_grad=True)
    (x.double() * 2).sum().backward()
    assert x.grad is not None
    assert (x.grad.tolist(), x.grad.dtype) == ([2.0], tg.float32)


def test_copies_and_pickles_of_leaves() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y.tolist() == [1.0, 2.0]
        assert y.requires_grad
        assert not np.shares_memory(y.detach().numpy(), x.detach().numpy())


def test_detach_and_data_share_memory() -> None:
    x = tg.ones(2, requires_grad=True)
    x.detach()[0] = 5
    x.data[1] = 6
    assert x.tolist() == [5, 6]
    assert not x.detach().requires_grad


# ---- in place --------------------------------------------------------------------------------------------------


def test_in_place_methods() -> None:
    x = tg.tensor([1.0, 2.0, 3.0])
    memory = x.numpy()
    assert x.add_(1).mul_(2).sub_(tg.ones(3)).div_(2.0).tolist() == [1.5, 2.5, 3.5]
    assert x.clamp_(2, 3).tolist() == [2.0, 2.5, 3.0]
    assert x.add_(x, alpha=2).tolist() == [6.0, 7.5, 9.0]
    x += 1
    x *= 2
    x -= 2
    x /= 2
    assert x.tolist() == [6.0, 7.5, 9.0]
    x[1] = -1
    x[[0, 2]] = tg.tensor([0.0, 4.0])
    assert x.tolist() == [0.0, -1.0, 4.0]
    assert x.copy_(tg.tensor([5])).tolist() == [5.0, 5.0, 5.0]
    assert x.fill_(7).zero_().tolist() == [0.0, 0.0, 0.0]
    x.normal_(100.0, 0.1)
    assert all(99 < value < 101 for value in x.tolist())
    x.uniform_(2.0, 3.0)
    assert all(2 <= value <= 3 for value in x.tolist())
    assert x.numpy() is memory


def test_sgd_by_hand() -> None:
    p = tg.tensor([1.0, 2.0], requires_grad=True)
    (p * p).sum().backward()
    with tg.no_grad():
        p -= 0.25 * p.grad
        p.grad.zero_()  # type: ignore[union-attr]
    assert p.tolist() == [0.5, 1.0]
    assert p.is_leaf
    assert p.requires_grad


def test_in_place_on_a_result_records() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    y += 1
    y *= 2
    y[0] = 10.0
    y.sum().backward()
    assert y.tolist() == [10.0, 14.0]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 6.0]


@pytest.mark.parametrize("name", ["mul_", "div_", "pow_"])
def test_in_place_with_a_rule_that_needs_the_old_values(name: str) -> None:
    grads = []
    for change in (name, name.rstrip("_")):
        x = tg.tensor(np.array([1.5, 2.0]), requires_grad=True)
        y = x * 2
        z = getattr(y, change)(x)
        z.sum().backward()
        assert x.grad is not None
        grads.append(x.grad.tolist())
    assert grads[0] == grads[1]


def test_in_place_clamp_and_overwriting() -> None:
    x = tg.tensor([-1.0, 2.0], requires_grad=True)
    y = (x * 2).clamp_(min=0)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 2.0]
    (x * 2).zero_().sum().backward()
    assert x.grad.tolist() == [0.0, 2.0]


def test_results_written_into_a_buffer_record() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    buffer = tg.zeros(4)
    buffer[1:3] = x * 2
    (buffer * buffer).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [8.0, 16.0]


def test_in_place_that_would_break_a_gradient_raises() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"^zero_: this leaf requires grad; .*, or use zeros_like\(x\)$"):
        tg.ones(2, requires_grad=True).zero_()
    with pytest.raises(RuntimeError, match="this leaf requires grad; change it under no_grad"):
        x += 1
    y = x * 3
    alias = y.view(2, 1)
    with pytest.raises(RuntimeError, match=r"mul_: this tensor shares its memory.*use x\.mul"):
        y *= 2
    with pytest.raises(RuntimeError, match="shares its memory"):
        alias += 1
    z = (x * 3).exp()
    with pytest.raises(RuntimeError, match=r"add_: a live graph still needs this tensor's values \(exp at"):
        z += 1


def test_in_place_on_a_view_that_nobody_else_sees() -> None:
    x = tg.ones(2, 3, requires_grad=True)
    y = (x * 2).flatten()
    y += 1  # the product itself is gone, only this view of it is left
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[2.0] * 3] * 2
    product = x * 2
    with pytest.raises(RuntimeError, match="add_: this tensor shares its memory"):
        product.flatten().add_(1)
    row = product[0]
    with pytest.raises(RuntimeError, match="add_: this tensor shares its memory"):
        row += 1


def test_devices_that_there_are_not() -> None:
    assert not tg.cuda.is_available()
    assert tg.cuda.device_count() == 0
    assert not tg.backends.mps.is_available()
    tg.backends.cudnn.benchmark = True
    tg.cuda.manual_seed_all(0)


def test_pytorchs_places() -> None:
    assert tg.utils.data.DataLoader is tg.data.DataLoader
    x = tg.ones(2, requires_grad=True)
    tg.utils.checkpoint.checkpoint(lambda t: (t * t).sum(), x, use_reentrant=False).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0]


def test_in_place_keeps_shape_and_dtype() -> None:
    with pytest.raises(ValueError, match=r"add_: the result has shape \(2, 2\), the tensor \(2,\)"):
        tg.zeros(2).add_(tg.zeros(2, 2))
    with pytest.raises(TypeError, match="the result is float32, which does not go into a tensor of int64"):
        tg.arange(2).add_(1.5)


def test_save_and_load(tmp_path: object) -> None:
    path = tmp_path / "weights.safetensors"  # type: ignore[operator]
    state = {"w": tg.randn(2, 3), "n": tg.arange(3), "t": tg.randn(3, 2).T, "s": tg.tensor(2.0)}
    tg.save(state, path)
    back = tg.load(path)
    assert {k: v.tolist() for k, v in back.items()} == {k: v.tolist() for k, v in state.items()}
    assert list(back) == list(state)  # which safetensors itself does not promise
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="is no whole safetensors file"):
        tg.load(path)
    with pytest.raises(TypeError, match=r"save: there is a Linear at 'x', expected Tensors.*save its state_dict\(\)"):
        tg.save({"x": tg.nn.Linear(1, 1)}, path)
    assert [p.name for p in path.parent.iterdir()] == ["weights.safetensors"]


def test_save_and_load_nested_state() -> None:
    array = np.arange(3)
    state = {
        "epoch": 3, "losses": [1.5, float("inf")], "best": None, "name": "a", "done": True, "shape": (2, 3),
        "state": {0: {"step": tg.tensor(2.0)}, 1: {}}, "a.b": array, "a": {"b": tg.ones(2)}, "count": np.int64(4),
    }  # fmt: skip
    file = io.BytesIO()
    tg.save(state, file)
    file.seek(0)
    back = tg.load(file, map_location="cpu", weights_only=True)
    assert list(back) == list(state)
    assert back["state"][0]["step"].item() == 2.0
    assert back["a.b"].tolist() == [0, 1, 2]
    assert back["a"]["b"].tolist() == [1.0, 1.0]
    for name in ("epoch", "losses", "best", "name", "done", "shape", "count"):
        assert back[name] == state[name]
    for one in (tg.ones(2), [tg.ones(2)]):
        file = io.BytesIO()
        tg.save(one, file)
        file.seek(0)
        assert type(tg.load(file)) is type(one)
    with pytest.raises(TypeError, match="save: there is a set, expected"):
        tg.save({1, 2}, file)


@pytest.mark.parametrize("threads", [1, 2])
def test_ops_warn_of_nothing_on_any_thread(threads: int) -> None:
    """Reference kernels of a large batch run on the workers too, which have NumPy settings of their own."""
    before = tg.kernels.get_num_threads()
    tg.kernels.set_num_threads(threads)
    try:
        x, w = tg.full((8, 4, 16, 16), np.inf, dtype=tg.float64), tg.zeros(4, 4, 3, 3, dtype=tg.float64)
        assert np.isnan(tg.nn.functional.conv2d(x, w).numpy()).all()
        y = x.reshape(8, -1) @ tg.zeros(1024, 1024, dtype=tg.float64)
        assert np.isnan(y.numpy()).all()
    finally:
        tg.kernels.set_num_threads(before)


def test_pytorchs_old_constructors() -> None:
    assert (tg.Tensor(2, 3).shape, tg.Tensor(4).shape, tg.Tensor().shape) == ((2, 3), (4,), (0,))
    assert tg.Tensor([1, 2]).dtype == tg.float32
    assert (tg.LongTensor([1, 2]).tolist(), tg.FloatTensor(2, 1).shape, tg.FloatTensor().shape) == (
        [1, 2],
        (2, 1),
        (0,),
    )
    assert (tg.IntTensor([1.9]).dtype, tg.BoolTensor([0, 2]).tolist()) == (tg.int32, [False, True])
    assert (tg.ones(2).type(tg.LongTensor).dtype, tg.ones(2).to(tg.DoubleTensor).dtype) == (tg.int64, tg.float64)
    assert tg.ByteTensor(np.array([255])).dtype == tg.uint8
    with pytest.raises(TypeError, match=r"^Variable: a tensor is one itself; use x, or x.requires_grad_\(\)"):
        tg.autograd.Variable(tg.ones(2), requires_grad=True)


def test_numbers_that_do_not_go_into_integers_are_told() -> None:
    x = tg.tensor(np.array([1, 2], np.uint8))
    with pytest.raises(ValueError, match=r"^mul: Python integer -1 out of bounds for uint8 — at .*test_tensor.py:\d+$"):
        x * -1
    with pytest.raises(ValueError, match=r"^masked_fill: value is -inf, the input holds uint8, expected a number that"):
        x.masked_fill(x > 1, float("-inf"))


def test_where_with_a_condition_alone_tells_where_it_is_true() -> None:
    x = tg.tensor([[0.0, 2.0], [3.0, 0.0]])
    assert [i.tolist() for i in tg.where(x > 0)] == [i.tolist() for i in np.where(x > 0)] == [[0, 1], [1, 0]]
    assert x[tg.where(x > 0)].tolist() == [2.0, 3.0]
    for chosen in ({"input": x}, {"other": 2.0}):
        with pytest.raises(TypeError, match="where: got one of input and other, expected both or none"):
            tg.where(x > 0, **chosen)


def test_a_result_is_written_into_out() -> None:
    x, out = tg.tensor([[1.0, 2.0]]), tg.zeros(1, 2)
    assert tg.mul(x, 3, out=out) is out
    assert out.tolist() == [[3.0, 6.0]]
    assert tg.matmul(x, tg.eye(2), out=out) is out
    assert out.tolist() == x.tolist()
    with pytest.raises(ValueError, match=r"sum: out has shape \(1, 2\), the result \(\)"):
        tg.sum(x, out=out)
    for operand, target in ((x.clone().requires_grad_(), out), (x, out.clone().requires_grad_())):
        with pytest.raises(RuntimeError, match="exp: out= takes no gradient; use the tensor that exp returns"):
            tg.exp(operand, out=target)
    with tg.no_grad():
        assert tg.exp(x.clone().requires_grad_(), out=out) is out


def test_settings_that_speak_of_memory_change_nothing() -> None:
    x = tg.ones(1, 2, 3, 3)
    assert x.to(memory_format=tg.channels_last) is x
    assert x.contiguous(memory_format=tg.contiguous_format) is x
    tg.use_deterministic_algorithms(True, warn_only=True)
    tg.set_float32_matmul_precision("high")
    assert (tg.accelerator.is_available(), tg.accelerator.current_accelerator()) == (False, None)


def test_the_default_stream_goes_on_from_a_state() -> None:
    state = tg.get_rng_state()
    first = tg.rand(3)
    tg.set_rng_state(state)
    assert tg.equal(tg.rand(3), first)

"""Losses and distances against PyTorch: values, gradients of both orders, reductions, warnings and error messages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.autograd import grad
from tinygrad_cnn.ops import loss

from .compare import compare, raises_alike

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)
REDUCTIONS = ["none", "mean", "sum"]
SHAPES = [(5, 4), (4,), (2, 3, 6), (2, 3, 2, 4), (1, 1)]  # (N, C, *) or (C,)


def ours(name: str) -> Any:
    return getattr(loss, name)


def theirs(name: str) -> Any:
    return getattr(torch.nn.functional, name)


def labels_for(shape: tuple[int, ...]) -> tuple[Any, int]:
    """Class numbers for an input of this shape, and how many classes there are."""
    axis = 0 if len(shape) == 1 else 1
    classes = shape[axis]
    return np.asarray(rng.integers(0, classes, shape[:axis] + shape[axis + 1 :])), classes


def compare_with_constants(name: str, *inputs: Any, orders: int = 2, bound: float = 1e-12, **options: Any) -> None:
    """As `compare`; arrays among the options are tensors that need no gradient."""
    our = {k: tg.Tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    their = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    compare(
        lambda *xs: ours(name)(*xs, **our),
        lambda *xs: theirs(name)(*xs, **their),
        *inputs,
        orders=orders,
        bound=bound,
        float32=not any(isinstance(x, np.ndarray) for x in options.values()),
    )


# ---- classes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_class_numbers(name: str, shape: tuple[int, ...], reduction: str, weighted: bool) -> None:
    labels, classes = labels_for(shape)
    options: dict[str, Any] = {"reduction": reduction}
    if weighted:
        options["weight"] = rng.uniform(0.5, 2, classes)
    x = rng.uniform(-4, 4, shape)
    compare_with_constants(name, x, labels, **options)
    if labels.ndim:
        labels[..., 0] = 7 if name == "nll_loss" else -100
        ignored = {"ignore_index": 7} if name == "nll_loss" else {}
        compare_with_constants(name, x, labels, **ignored, **options)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_label_smoothing(shape: tuple[int, ...], reduction: str, weighted: bool) -> None:
    labels, classes = labels_for(shape)
    options: dict[str, Any] = {"reduction": reduction, "label_smoothing": 0.2}
    if weighted:
        options["weight"] = rng.uniform(0.5, 2, classes)
    x = rng.uniform(-4, 4, shape)
    compare_with_constants("cross_entropy", x, labels, **options)
    if labels.ndim:
        labels[..., 0] = -1
        compare_with_constants("cross_entropy", x, labels, ignore_index=-1, **options)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_class_probabilities(shape: tuple[int, ...], reduction: str, weighted: bool, label_smoothing: float) -> None:
    options: dict[str, Any] = {"reduction": reduction, "label_smoothing": label_smoothing}
    if weighted:
        options["weight"] = rng.uniform(0.5, 2, shape[0 if len(shape) == 1 else 1])
    compare_with_constants("cross_entropy", rng.uniform(-4, 4, shape), rng.uniform(0, 1, shape), **options)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_no_sample_counts(name: str) -> None:
    for reduction in REDUCTIONS:
        compare_with_constants(name, rng.uniform(-4, 4, (3, 4)), np.full(3, -100), reduction=reduction, orders=1)
        compare_with_constants(name, np.zeros((0, 4)), np.zeros(0, np.int64), reduction=reduction, orders=1)
        for shape in ((0, 0), (0, 0, 2), (2, 0, 0)):
            labels = np.zeros(shape[:1] + shape[2:], np.int64)
            compare_with_constants(name, np.zeros(shape), labels, reduction=reduction, orders=1)
            compare_with_constants(name, np.zeros(shape), labels, weight=np.ones(0), reduction=reduction, orders=1)
            if name == "cross_entropy" and reduction != "sum":  # the sum of no losses is NaN there, with smoothing
                options = {"reduction": reduction, "label_smoothing": 0.1, "orders": 1}
                compare_with_constants(name, np.zeros(shape), labels, **options)
                compare_with_constants(name, np.zeros(shape), np.zeros(shape), **options)


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_dtype_of_the_class_numbers(dtype: str) -> None:
    compare(
        loss.cross_entropy, torch.nn.functional.cross_entropy, rng.uniform(-4, 4, (3, 4)), np.array([0, 3, 1], dtype)
    )


def test_cross_entropy_of_extremes() -> None:
    inf, nan = np.inf, np.nan
    x = np.array([[1e4, 0, -1e4], [-inf, 0, 1], [0, -inf, 1], [inf, 0, 1], [nan, 0, 1], [-1e30, 1e30, 1e30]])
    compare(
        loss.cross_entropy,
        torch.nn.functional.cross_entropy,
        x,
        np.array([1, 0, 2, 0, 1, 0]),
        reduction="none",
        orders=1,
    )


def test_the_fused_op_is_softmax_minus_onehot() -> None:
    x = tg.tensor(rng.uniform(-4, 4, (5, 3))).requires_grad_()
    labels = np.array([0, 2, 1, 1, 0])
    (g,) = grad(tg.sum(loss.softmax_cross_entropy(x, labels)), x)
    expected = tg.softmax(x, 1).array - np.eye(3)[labels]
    np.testing.assert_allclose(g.array, expected, rtol=1e-12, atol=1e-15)


# ---- differences -------------------------------------------------------------------------------------------

DIFFERENCES: list[tuple[str, dict[str, Any]]] = [
    ("mse_loss", {}), ("l1_loss", {}),
    ("smooth_l1_loss", {}), ("smooth_l1_loss", {"beta": 0.5}), ("smooth_l1_loss", {"beta": 0.0}),
    ("huber_loss", {}), ("huber_loss", {"delta": 0.5}),
]  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(3, 4), (), (2, 3, 4)])
@pytest.mark.parametrize(("name", "options"), DIFFERENCES)
def test_difference(name: str, options: Any, shape: tuple[int, ...], reduction: str) -> None:
    x, y = (np.asarray(rng.uniform(-2, 2, shape)) for _ in range(2))
    orders = 1 if name == "l1_loss" or options.get("beta") == 0 else 2  # |x| has no second derivative
    compare(ours(name), theirs(name), x, y, reduction=reduction, orders=orders, **options)


@pytest.mark.parametrize(("name", "options"), DIFFERENCES)
def test_difference_at_kinks(name: str, options: Any) -> None:
    x = np.array([-1.0, -0.5, 0.0, 0.5, 1.0, 1e100, -1e100])
    compare(ours(name), theirs(name), x, np.zeros(7), reduction="none", orders=1, float32=False, **options)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_other_shapes_broadcast_and_warn(name: str) -> None:
    with pytest.warns(
        UserWarning, match=r"target is \(3,\), input \(3, 1\): they broadcast|Using a target size"
    ) as seen:
        compare(ours(name), theirs(name), rng.uniform(-2, 2, (3, 1)), rng.uniform(-2, 2, 3), orders=1)
    assert any(w.filename.endswith("compare.py") for w in seen if "they broadcast" in str(w.message))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(3, 4), (), (2, 3, 4)])
@pytest.mark.parametrize(("name", "options"), [d for d in DIFFERENCES if d[0] != "smooth_l1_loss"])
def test_weights_of_elements(name: str, options: Any, shape: tuple[int, ...], reduction: str) -> None:
    x, y, w = (np.asarray(rng.uniform(low, 2, shape)) for low in (-2, -2, 0.5))
    orders = 1 if name == "l1_loss" else 2  # |x| has no second derivative
    compare_with_constants(name, x, y, weight=w, reduction=reduction, orders=orders, **options)
    learning = ({"weight": w}, {"weight": np.array(w > 1)}, {"weight": np.asarray(w * 3, np.int64)})
    for weight in learning if shape else learning[:1]:
        compare(ours(name), theirs(name), x, y, reduction=reduction, orders=orders, **weight, **options)


@pytest.mark.filterwarnings("ignore:.*they broadcast|Using a target size")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_weights_where_the_target_broadcasts(name: str, reduction: str) -> None:
    x, w = rng.uniform(-2, 2, (3, 1)), rng.uniform(0.5, 2, (3, 1))
    for target in ((3, 4), (1,), (2, 3, 4)):
        compare(ours(name), theirs(name), x, rng.uniform(-2, 2, target), weight=w, reduction=reduction, orders=1)


# ---- probabilities -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*reduction.*'mean' divides")
@pytest.mark.parametrize("log_target", [False, True])
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
def test_kl_div(reduction: str, log_target: bool) -> None:
    x, y = rng.uniform(-4, 0, (3, 4)), rng.uniform(0.1, 1, (3, 4))
    compare(loss.kl_div, torch.nn.functional.kl_div, x, y, reduction=reduction, log_target=log_target)
    compare(loss.kl_div, torch.nn.functional.kl_div, x, y[0], reduction=reduction, log_target=log_target)
    y[:, ::2] = 0
    target = np.log(y + 1e-300) if log_target else y
    their, their_x = torch.from_numpy(target), torch.from_numpy(x).requires_grad_()
    expected = torch.nn.functional.kl_div(their_x, their, reduction=reduction, log_target=log_target)
    (expected_g,) = torch.autograd.grad(expected.sum(), their_x)
    our_x, our = tg.tensor(x).requires_grad_(), tg.tensor(target).requires_grad_()
    found = loss.kl_div(our_x, our, reduction=reduction, log_target=log_target)
    g, g_target = grad(tg.sum(found), [our_x, our])
    np.testing.assert_allclose(found.array, expected.detach().numpy(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(g.array, expected_g.numpy(), rtol=1e-12, atol=1e-15)
    assert np.isfinite(g_target.array).all()  # PyTorch has NaN here


def test_the_mean_of_kl_div_warns() -> None:
    x, y = tg.tensor([[-1.0, -1.0]]), tg.tensor([[0.5, 0.5]])
    for call in (loss.kl_div, tg.nn.KLDivLoss()):
        with pytest.warns(UserWarning, match="reduction='mean' divides .* 'batchmean' divides") as seen:
            call(x, y)
        assert seen[0].filename.endswith("test_loss.py" if call is loss.kl_div else "nn/loss.py")


@pytest.mark.parametrize("weight", [None, (3, 4), (4,), (3, 1)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy(reduction: str, weight: Any) -> None:
    options: dict[str, Any] = {"reduction": reduction}
    if weight:
        options["weight"] = rng.uniform(0.5, 2, weight)
    x, y = rng.uniform(0.05, 0.95, (3, 4)), rng.uniform(0, 1, (3, 4))
    compare_with_constants("binary_cross_entropy", x, y, bound=1e-8, **options)  # PyTorch divides by p(1-p) + 1e-12
    x = np.array([0.0, 1.0, 0.0, 1.0, 1e-50])
    y = np.array([0.0, 0.0, 1.0, 1.0, 1.0])
    compare_with_constants("binary_cross_entropy", x, target=y, orders=1, bound=1e-8, reduction=reduction)


def test_binary_cross_entropy_is_clamped_in_the_target_too() -> None:
    """PyTorch's gradient of the target is inf here, though its loss is linear in it, with slope ±100."""
    x, y = tg.tensor([0.0, 1.0]), tg.tensor([0.5, 0.5]).requires_grad_()
    (g,) = grad(loss.binary_cross_entropy(x, y, reduction="sum"), y)
    np.testing.assert_allclose(g.array, [100, -100])


@pytest.mark.parametrize("weight", [None, (3, 4), (4,)])
@pytest.mark.parametrize("pos_weight", [None, (4,), (1,)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy_with_logits(reduction: str, pos_weight: Any, weight: Any) -> None:
    options: dict[str, Any] = {"reduction": reduction}
    if weight:
        options["weight"] = rng.uniform(0.5, 2, weight)
    if pos_weight:
        options["pos_weight"] = rng.uniform(0.5, 2, pos_weight)
    compare_with_constants(
        "binary_cross_entropy_with_logits", rng.uniform(-4, 4, (3, 4)), rng.uniform(0, 1, (3, 4)), **options
    )
    x = np.tile([800.0, -800.0, 0.0, -40.0], (3, 1))
    compare_with_constants("binary_cross_entropy_with_logits", x, np.tile([0.0, 1.0, 1.0, 0.0], (3, 1)), **options)


# ---- distances ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 0.5, math.inf])
@pytest.mark.parametrize("keepdim", [False, True])
def test_pairwise_distance(p: float, keepdim: bool) -> None:
    x, y = rng.uniform(-2, 2, (3, 4)), rng.uniform(-2, 2, (3, 4))
    orders = 2 if p in (2.0, 3.0) else 1
    compare(tg.pairwise_distance, torch.nn.functional.pairwise_distance, x, y, p, 1e-3, keepdim, orders=orders)
    compare(tg.pairwise_distance, torch.nn.functional.pairwise_distance, x, y[0], p, orders=1)
    compare(tg.pairwise_distance, torch.nn.functional.pairwise_distance, x[0], y[0], orders=1)


@pytest.mark.parametrize(
    ("shapes", "dim"), [(((3, 4), (3, 4)), 1), (((3, 4), (4,)), -1), (((2, 3, 4), (2, 1, 4)), 0), (((4,), (4,)), 0)]
)
def test_cosine_similarity(shapes: Any, dim: int) -> None:
    x, y = (rng.uniform(-2, 2, shape) for shape in shapes)
    compare(tg.cosine_similarity, torch.nn.functional.cosine_similarity, x, y, dim, bound=1e-11)
    compare(tg.cosine_similarity, torch.nn.functional.cosine_similarity, x * 0, y, dim, orders=1, bound=1e-7)
    compare(tg.cosine_similarity, torch.nn.functional.cosine_similarity, x, y, dim, 10.0, orders=0)


@pytest.mark.parametrize("options", [{}, {"margin": 0.3}, {"p": 1.0}, {"swap": True}, {"eps": 0.1, "margin": 3.0}])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_triplet_margin_loss(options: Any, reduction: str) -> None:
    x, y, z = (rng.uniform(-1, 1, (6, 4)) for _ in range(3))
    orders = 1 if options.get("p") == 1.0 else 2
    compare(
        ours("triplet_margin_loss"),
        theirs("triplet_margin_loss"),
        x,
        y,
        z,
        reduction=reduction,
        orders=orders,
        **options,
    )


# ---- errors ------------------------------------------------------------------------------------------------

X, T = np.zeros((2, 3)), np.array([0, 1])
ERRORS: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("cross_entropy", (X, np.array([0, 3])), {}, "^cross_entropy: target holds 3, 3 classes expect 0 to 2"),
    ("cross_entropy", (X, np.array([-1, 0])), {}, "^cross_entropy: target holds -1, 3 classes expect 0 to 2"),
    ("cross_entropy", (X[:, :0], T), {}, r"^cross_entropy: target holds 0, input \(2, 0\) has no classes"),
    ("nll_loss", (X[:, :0], T), {}, r"^nll_loss: target holds 0, input \(2, 0\) has no classes"),
    ("nll_loss", (X, np.array([0, 3])), {}, "^nll_loss: target holds 3, 3 classes expect 0 to 2"),
    ("cross_entropy", (X, np.array([0, 1, 2])), {}, r"^cross_entropy: target is \(3,\), input \(2, 3\) expects \(2,\)"),
    ("nll_loss", (X, T[:, None]), {}, r"^nll_loss: target is \(2, 1\), input \(2, 3\) expects \(2,\)"),
    (
        "cross_entropy", (X, np.zeros(2)), {},
        r"^cross_entropy: target holds float64 \(2,\), expected class numbers \(2,\) or probabilities \(2, 3\)",
    ),
    ("nll_loss", (X, np.zeros(2)), {}, "^nll_loss: target holds float64, expected integers"),
    ("cross_entropy", (X, T, np.ones(2)), {}, r"^cross_entropy: weight is \(2,\), input \(2, 3\) expects \(3,\)"),
    ("cross_entropy", (X, T), {"label_smoothing": 1.5}, "^cross_entropy: label_smoothing is 1.5, expected a number"),
    ("cross_entropy", (X, T), {"reduction": "avg"}, "^cross_entropy: reduction is 'avg', expected 'mean', 'sum' or"),
    ("mse_loss", (X, X), {"reduction": "avg"}, "^mse_loss: reduction is 'avg', expected 'mean', 'sum' or 'none'"),
    ("mse_loss", (X, X), {"weight": X[0]}, r"^mse_loss: weight is \(3,\), input \(2, 3\), expected the same shape"),
    ("l1_loss", (X, X), {"weight": X[:, :1]}, r"^l1_loss: weight is \(2, 1\), input \(2, 3\), expected the same"),
    ("huber_loss", (X, X), {"weight": X[:1]}, r"^huber_loss: weight is \(1, 3\), input \(2, 3\), expected the same"),
    ("l1_loss", (X, X), {"weight": X, "reduction": "avg"}, "^l1_loss: reduction is 'avg', expected 'mean', 'sum' or"),
    ("smooth_l1_loss", (X, X), {"beta": -1.0}, "^smooth_l1_loss: beta is -1.0, expected a number >= 0"),
    ("huber_loss", (X, X), {"delta": 0.0}, "^huber_loss: delta is 0.0, expected a number > 0"),
    ("binary_cross_entropy", (X + 1.5, X), {}, "^binary_cross_entropy_terms: input holds 1.5, expected prob"),
    ("binary_cross_entropy", (X, X[0]), {}, r"^binary_cross_entropy: target is \(3,\), input \(2, 3\), expected"),
    ("binary_cross_entropy_with_logits", (X, X[0]), {}, r"^binary_cross_entropy_with_logits: target is \(3,\), input"),
    ("triplet_margin_loss", (X, X, X, -1.0), {}, "^triplet_margin_loss: margin is -1.0, expected a number > 0"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "inputs", "options", "message"), ERRORS)
def test_errors(name: str, inputs: Any, options: Any, message: str) -> None:
    raises_alike(ours(name), theirs(name), *inputs, match=message, **options)


def test_a_class_number_out_of_range_is_an_index_error() -> None:
    with pytest.raises(IndexError, match="target holds 3"):
        loss.cross_entropy(tg.zeros(2, 3), tg.tensor([0, 3]))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_of_classes_learn(reduction: str, label_smoothing: float) -> None:
    rng = np.random.default_rng(0)
    x, p, w = rng.normal(size=(3, 4)), rng.random((3, 4)), rng.random(4)
    options = {"reduction": reduction, "label_smoothing": label_smoothing}
    compare(ours("cross_entropy"), theirs("cross_entropy"), x, p, w, **options)
    labels = np.array([2, 0, 2])  # with class numbers PyTorch refuses; probabilities of 0 and 1 say the same

    def of_numbers(x: Any, w: Any) -> Any:
        return ours("cross_entropy")(x, tg.tensor(labels), w, **options)

    def of_probabilities(x: Any, w: Any) -> Any:
        losses = theirs("cross_entropy")(x, torch.eye(4, dtype=x.dtype)[labels], w, **options)
        return losses * 3 / w[labels].sum() if reduction == "mean" else losses

    compare(of_numbers, of_probabilities, x, w)


@pytest.mark.parametrize("margin", [0.0, 0.4])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses_of_pairs(reduction: str, margin: float) -> None:
    rng = np.random.default_rng(0)
    x, y, target = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), np.array([1, -1, 1, -1, -1])
    options = {"margin": margin, "reduction": reduction}
    compare(ours("cosine_embedding_loss"), theirs("cosine_embedding_loss"), x, y, target, **options)
    compare(ours("cosine_embedding_loss"), theirs("cosine_embedding_loss"), x[0], y[0], np.array(-1), **options)
    compare(ours("margin_ranking_loss"), theirs("margin_ranking_loss"), x[:, 0], y[:, 0], target, **options)
    x[4] = 0.0  # where PyTorch adds a 1e-12 that is rounded to float32
    compare(
        ours("cosine_embedding_loss"), theirs("cosine_embedding_loss"), x, y, target, bound=1e-9, orders=1, **options
    )
    a, b, t = tg.tensor(x), tg.tensor(y), tg.tensor(target)
    assert tg.equal(
        tg.nn.CosineEmbeddingLoss(**options)(a, b, t),
        ours("cosine_embedding_loss")(a, b, t, margin, reduction=reduction),
    )
    assert tg.equal(
        tg.nn.MarginRankingLoss(**options)(a[:, 0], b[:, 0], t),
        ours("margin_ranking_loss")(a[:, 0], b[:, 0], t, margin, reduction=reduction),
    )


def test_pairs_that_do_not_fit_are_told() -> None:
    with pytest.raises(
        ValueError, match=r"cosine_embedding_loss: the inputs are \(2, 3\) and \(2, 3\), the target \(3,\)"
    ):
        ours("cosine_embedding_loss")(tg.ones(2, 3), tg.ones(2, 3), tg.ones(3))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize(("one", "two"), [((4, 3), (5, 3)), ((2, 4, 3), (2, 5, 3)), ((4, 3), (2, 1, 3))])
def test_distances_of_all_pairs(one: tuple[int, ...], two: tuple[int, ...], p: float) -> None:
    rng = np.random.default_rng(0)
    compare(tg.cdist, torch.cdist, rng.normal(size=one), rng.normal(size=two), p=p, bound=1e-11, orders=1)
    with pytest.raises(ValueError, match=r"cdist: x1 is \(3,\), x2 \(2, 3\), expected"):
        tg.cdist(tg.ones(3), tg.ones(2, 3))


@pytest.mark.parametrize("n", [30_000, 70_000])
def test_the_mean_of_more_float16_losses_than_their_sum_has_room_for(n: int) -> None:
    generator = np.random.default_rng(n)
    x, labels = generator.normal(0, 3, (n, 5)).astype(np.float16), generator.integers(0, 5, n)
    single = torch.tensor(x.astype(np.float32), requires_grad=True)
    expected = torch.nn.functional.cross_entropy(single, torch.tensor(labels))
    (slopes,) = torch.autograd.grad(expected, single)
    for create_graph in (False, True):
        logits = tg.tensor(x, requires_grad=True)
        y = loss.cross_entropy(logits, tg.tensor(labels))
        assert y.dtype == np.float16
        assert abs(y.item() - expected.item()) < 0.01
        (g,) = grad(y, [logits], create_graph=create_graph)
        np.testing.assert_allclose(g.detach().numpy(), slopes, atol=2e-7)

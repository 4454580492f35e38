"""Losses and distances.

`reduction` is "mean", "sum" or "none" everywhere. PyTorch's deprecated `size_average` and `reduce` do not exist; the
arguments that follow them in PyTorch are given by keyword here, so that no position can be mistaken.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tinygrad_cnn import kernels
from tinygrad_cnn.autograd import Array, array_of, broadcast_to, composite, op
from tinygrad_cnn.ops.activation import log_softmax, logsigmoid, softmax
from tinygrad_cnn.ops.comparison import eq
from tinygrad_cnn.ops.elementwise import (
    abs,
    add,
    clamp,
    clamp_min,
    div,
    exp,
    floating,
    log,
    log1p,
    minimum,
    mul,
    neg,
    rsub,
    sqrt,
    square,
    sub,
    where,
)
from tinygrad_cnn.ops.index import gather
from tinygrad_cnn.ops.reduce import divided, mean, sum, vector_norm
from tinygrad_cnn.ops.shape import reshape, unsqueeze

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cdist", "cosine_embedding_loss", "cosine_similarity",
    "cross_entropy", "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss", "nll_loss",
    "pairwise_distance", "smooth_l1_loss", "triplet_margin_loss",
]  # fmt: skip


def reduced(name: str, losses: Any, reduction: str) -> Any:
    """The mean or the sum of the losses, or all of them."""
    if reduction == "mean":
        return mean(losses)
    if reduction == "sum":
        return sum(losses)
    if reduction != "none":
        raise ValueError(f"{name}: reduction is {reduction!r}, expected 'mean', 'sum' or 'none'")
    return losses


# ---- classes -----------------------------------------------------------------------------------------------


@op
def softmax_cross_entropy(input: Array, target: Array, reduction: str = "none") -> Any:
    """-log(softmax(input)) at each row's class: `input` (N, C), integers `target` (N,); (N,), or their mean or sum.

    >>> float(softmax_cross_entropy(np.zeros((2, 4)), np.array([2, 0]), "sum").round(4))
    2.7726
    """
    losses = kernels.softmax_cross_entropy(floating(input), target)
    if reduction == "none":
        return losses
    return mean.kernel(losses) if reduction == "mean" else losses.sum()


@softmax_cross_entropy.vjp("input")
def softmax_cross_entropy_grad(g: Array, input: Array, target: Array, reduction: str) -> Array:
    n, classes = input.shape
    p = softmax(input, dim=1)
    chosen = eq(target.reshape((n, 1)), np.arange(classes))  # (N, C)
    g = g.reshape((n, 1)) if reduction == "none" else divided(g, max(n, 1)) if reduction == "mean" else g
    return g * where(chosen, p - 1.0, p)


@softmax_cross_entropy.shortcut
def softmax_cross_entropy_fused_grad(g: Any, input: Any, target: Any, reduction: str) -> tuple[Any, ...]:
    if reduction != "none":
        g = np.full(len(input), divided(g, max(len(input), 1)) if reduction == "mean" else g, g.dtype)
    return kernels.softmax_cross_entropy_grad(input, target, g), None


@composite
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """-log(softmax(input)) at the target class: `input` (C,), (N, C) or (N, C, *), the classes along dim 1.

    target: class numbers (), (N,) or (N, *), or probabilities in the shape of the input. weight: (C,), how much each
    class counts; the mean is the weighted one. ignore_index: a class number that does not count. label_smoothing: the
    part of each target that is spread evenly over all classes (Szegedy et al., 2015).
    IndexError for a class number that is none.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.cross_entropy(tg.zeros(2, 4), tg.tensor([0, 3]))
    tensor(1.3863)
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}, expected a number from 0 to 1")
    axis, weight = _class_axis("cross_entropy", input, weight), _weights(weight)
    classes = input.shape[axis]
    spread = label_smoothing / max(classes, 1)
    if target.dtype.kind == "f":
        if target.shape != input.shape:
            raise ValueError(
                f"cross_entropy: target holds {target.dtype} {target.shape}, "
                f"expected class numbers {_without(input.shape, axis)} or probabilities {input.shape}"
            )
        if label_smoothing:
            target = add(mul(target, 1 - label_smoothing), spread)
        return reduced("cross_entropy", _minus_weighted_sum(mul(log_softmax(input, axis), target), weight), reduction)
    labels, counts = _labels("cross_entropy", input, target, axis, ignore_index)
    if label_smoothing:
        logs = log_softmax(input, axis)
        losses = mul(_weighted(_pick(logs, labels, axis), labels, weight), 1 - label_smoothing)
        losses = add(losses, mul(_minus_weighted_sum(logs, weight), spread))
    else:
        if len(input.shape) == 2 and classes:
            if counts is None and weight is None and reduction in ("mean", "sum"):
                return softmax_cross_entropy(input, target, reduction)
            losses = softmax_cross_entropy(input, target if counts is None else labels)
        else:
            losses = _pick(log_softmax(input, axis), labels, axis)
        losses = _weighted(losses, labels, weight)
    return _reduced_over_classes("cross_entropy", losses, labels, counts, weight, reduction)


@composite
def nll_loss(input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """-input at the target class: `input` holds logarithms of probabilities; shapes and options as `cross_entropy`.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.nll_loss(tg.tensor([[-1.0, -2.0]]), tg.tensor([1]))
    tensor(2.)
    """
    axis, weight = _class_axis("nll_loss", input, weight), _weights(weight)
    labels, counts = _labels("nll_loss", input, target, axis, ignore_index)
    losses = _weighted(_pick(input, labels, axis), labels, weight)
    return _reduced_over_classes("nll_loss", losses, labels, counts, weight, reduction)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def _class_axis(name: str, input: Any, weight: Any) -> int:
    """The dimension of the classes; and a check of the input's and the weights' shapes."""
    if not input.shape:
        raise ValueError(f"{name}: input is one number, expected (C,), (N, C) or (N, C, *)")
    axis = 0 if len(input.shape) == 1 else 1
    if weight is not None and weight.shape != (input.shape[axis],):
        raise ValueError(f"{name}: weight is {weight.shape}, input {input.shape} expects ({input.shape[axis]},)")
    return axis


def _labels(name: str, input: Any, target: Any, axis: int, ignore_index: int) -> tuple[Any, Any]:
    """The class numbers, 0 where they do not count; and where they count, None for everywhere."""
    labels = array_of(target)
    expected, classes = _without(input.shape, axis), input.shape[axis]
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name}: target holds {labels.dtype}, expected integers")
    if labels.shape != expected:
        raise ValueError(f"{name}: target is {labels.shape}, input {input.shape} expects {expected}")
    if not 0 <= ignore_index < classes and kernels.are_columns(labels, classes):
        return labels, None  # the common case
    counts: Any = labels != ignore_index
    if counts.all():
        counts = None
    else:
        labels = np.where(counts, labels, 0)
    if not kernels.are_columns(labels, classes):
        wrong = labels[(labels < 0) | (labels >= classes)][0]
        expects = f"{classes} classes expect 0 to {classes - 1}" if classes else f"input {input.shape} has no classes"
        raise IndexError(f"{name}: target holds {wrong}, {expects}")
    return labels, counts


def _pick(input: Any, labels: Any, axis: int) -> Any:
    """-input at the class numbers, in their shape."""
    return neg(reshape(gather(input, axis, np.expand_dims(labels, axis)), labels.shape))


def _weights(weight: Any) -> Any:
    """The classes' weights: an array, unless they are to learn."""
    return weight if weight is None or getattr(weight, "requires_grad", False) else array_of(weight)


def _weighted(losses: Any, labels: Any, weight: Any) -> Any:
    return losses if weight is None else mul(losses, weight[labels])


def _minus_weighted_sum(terms: Any, weight: Any) -> Any:
    """-(the terms, times the classes' weights, summed over the classes)."""
    axis = 0 if len(terms.shape) == 1 else 1
    if weight is not None:
        terms = mul(terms, weight.reshape((-1,) + (1,) * (len(terms.shape) - axis - 1)))
    return neg(sum(terms, dim=axis))


def _reduced_over_classes(name: str, losses: Any, labels: Any, counts: Any, weight: Any, reduction: str) -> Any:
    """As `reduced`, without the samples that do not count; the mean is weighted by the classes' weights."""
    if counts is not None:
        losses = where(counts, losses, 0.0)
    if reduction != "mean" or (counts is None and weight is None):
        return reduced(name, losses, reduction)
    shares = np.ones(labels.shape, losses.dtype) if weight is None else weight[labels]
    return div(sum(losses), sum(shares if counts is None else where(counts, shares, 0.0)))


# ---- differences -------------------------------------------------------------------------------------------


def _difference(name: str, input: Any, target: Any) -> Any:
    """input - target; other shapes broadcast, with a warning, for that is seldom meant."""
    if input.shape != target.shape:
        warnings.warn(
            f"{name}: target is {target.shape}, input {input.shape}: they broadcast, which is likely not meant; "
            "give them the same shape",
            stacklevel=4,
        )
    return sub(input, target)


def _weighed(name: str, losses: Any, input: Any, weight: Any) -> Any:
    """The losses, each times its weight."""
    if weight is None:
        return losses
    if weight.shape != input.shape:
        raise ValueError(f"{name}: weight is {weight.shape}, input {input.shape}, expected the same shape")
    return mul(losses, weight)


def _reduced_by_weight(name: str, losses: Any, input: Any, weight: Any, reduction: str) -> Any:
    """As `reduced`, each loss times its weight; the mean is divided by the sum of the weights."""
    losses = _weighed(name, losses, input, weight)
    if weight is None or reduction != "mean":
        return reduced(name, losses, reduction)
    return div(sum(losses), sum(weight))


@composite
def mse_loss(input: Any, target: Any, *, reduction: str = "mean", weight: Any = None) -> Any:
    """(input - target)², the squared error.

    weight: how much each element counts, in the input's shape; the mean is the weighted one.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.mse_loss(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 4.0]))
    tensor(2.)
    """
    losses = square(_difference("mse_loss", input, target))
    return _reduced_by_weight("mse_loss", losses, input, weight, reduction)


@composite
def l1_loss(input: Any, target: Any, *, reduction: str = "mean", weight: Any = None) -> Any:
    """|input - target|, the absolute error.

    weight: how much each element counts, in the input's shape; the mean is the weighted one.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.l1_loss(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 4.0]))
    tensor(1.)
    """
    losses = abs(_difference("l1_loss", input, target))
    return _reduced_by_weight("l1_loss", losses, input, weight, reduction)


@composite
def smooth_l1_loss(input: Any, target: Any, *, reduction: str = "mean", beta: float = 1.0) -> Any:
    """d² / (2 · beta) where d = |input - target| < beta, else d - beta / 2 (Girshick, "Fast R-CNN", 2015).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.smooth_l1_loss(tg.tensor([1.0, 2.0]), tg.tensor([2.0, 4.0]), reduction="none")
    tensor([0.5000, 1.5000])
    """
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta is {beta}, expected a number >= 0")
    d = _difference("smooth_l1_loss", input, target)
    return reduced("smooth_l1_loss", abs(d) if beta == 0 else div(_huber(d, beta), beta), reduction)


@composite
def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """d² / 2 where d = |input - target| ≤ delta, else delta · (d - delta / 2) (Huber, 1964).

    weight: a factor for each element, in the input's shape; the mean is over the elements, not over the weights.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.huber_loss(tg.tensor([1.0, 2.0]), tg.tensor([2.0, 6.0]), "none", 2.0)
    tensor([0.5000, 6.0000])
    """
    if delta <= 0:
        raise ValueError(f"huber_loss: delta is {delta}, expected a number > 0")
    losses = _huber(_difference("huber_loss", input, target), delta)
    return reduced("huber_loss", _weighed("huber_loss", losses, input, weight), reduction)


def _huber(d: Any, delta: float) -> Any:
    """c · (d - c/2) with d clamped to ±delta as c: both branches of Huber's function in one."""
    c = clamp(d, -delta, delta)
    return mul(c, sub(d, mul(c, 0.5)))


# ---- probabilities -----------------------------------------------------------------------------------------


@composite
def kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Any:
    """target · (log(target) - input), the Kullback-Leibler divergence: `input` holds logarithms of probabilities.

    log_target: `target` holds logarithms too. reduction "batchmean": the sum divided by the first length, which is
    what the divergence means; "mean" divides by the number of elements, and warns of that.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.kl_div(tg.tensor([[-1.0, -1.0]]), tg.tensor([[0.5, 0.5]]), reduction="batchmean")
    tensor(0.3069)
    """
    if reduction == "mean":
        warnings.warn(
            "kl_div: reduction='mean' divides by the number of elements, which is not the divergence; "
            "'batchmean' divides by the size of the batch",
            stacklevel=3,
        )
    if log_target:
        losses = mul(exp(target), sub(target, input))
    else:
        logarithm = log(where(eq(target, 0), 1.0, target))  # 0 · log 0 is 0
        losses = mul(target, sub(logarithm, input))
    if reduction == "batchmean":
        return div(sum(losses), input.shape[0] if input.shape else 1)
    return reduced("kl_div", losses, reduction)


@op(broadcasts=True)
def binary_cross_entropy_terms(input: Array, target: Array) -> Any:
    """-(target · log(input) + (1 - target) · log(1 - input)), with no logarithm below -100.

    >>> binary_cross_entropy_terms(np.array([0.5, 0.0]), np.array([1.0, 1.0])).round(4)
    array([  0.6931, 100.    ])
    """
    inside = (input >= 0) & (input <= 1)
    if not inside.all():
        raise ValueError(f"input holds {input[~inside].flat[0]}, expected probabilities, 0 to 1")
    return (target - 1) * np.maximum(np.log1p(-input), -100) - target * np.maximum(np.log(input), -100)


@binary_cross_entropy_terms.vjp("input")
def binary_cross_entropy_grad_input(g: Array, input: Array, target: Array) -> Array:
    return g * ((input - target) / clamp_min((1 - input) * input, 1e-12))


@binary_cross_entropy_terms.vjp("target")
def binary_cross_entropy_grad_target(g: Array, input: Array) -> Array:
    return g * (clamp_min(log1p(-input), -100.0) - clamp_min(log(input), -100.0))


@composite
def binary_cross_entropy(input: Any, target: Any, weight: Any = None, *, reduction: str = "mean") -> Any:
    """-(target · log(input) + (1 - target) · log(1 - input)), with no logarithm below -100; all in one shape.

    input: probabilities, else ValueError. weight: factors that broadcast to the shape.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.binary_cross_entropy(tg.tensor([0.5, 0.5]), tg.tensor([0.0, 1.0]))
    tensor(0.6931)
    """
    _check_same_shape("binary_cross_entropy", input, target)
    losses = binary_cross_entropy_terms(input, target)
    return reduced("binary_cross_entropy", losses if weight is None else mul(losses, weight), reduction)


@composite
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """`binary_cross_entropy` of sigmoid(input), exact also where the sigmoid is close to 0 or 1.

    weight: factors that broadcast to the input's shape. pos_weight: how much a target of 1 counts against one of 0.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.binary_cross_entropy_with_logits(tg.tensor([0.0, 100.0]), tg.tensor([0.0, 1.0]))
    tensor(0.3466)
    """
    _check_same_shape("binary_cross_entropy_with_logits", input, target)
    logs = logsigmoid(input)
    if pos_weight is not None:
        logs = mul(logs, add(mul(sub(pos_weight, 1), target), 1))
    losses = sub(mul(rsub(target, 1), input), logs)
    losses = losses if weight is None else mul(losses, weight)
    return reduced("binary_cross_entropy_with_logits", losses, reduction)


def _check_same_shape(name: str, input: Any, target: Any) -> None:
    if input.shape != target.shape:
        raise ValueError(f"{name}: target is {target.shape}, input {input.shape}, expected the same shape")


# ---- distances ---------------------------------------------------------------------------------------------


@composite
def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """The p-norm of x1 - x2 + eps along the last dimension: (N, D) and (N, D) give (N,).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.pairwise_distance(tg.tensor([[3.0, 4.0]]), tg.zeros(1, 2))
    tensor([5.0000])
    """
    return vector_norm(add(sub(x1, x2), eps), p, dim=-1, keepdim=keepdim)


@composite
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Any:
    """The p-norm of the difference of each row of x1 (*, N, D) and each of x2 (*, M, D): (*, N, M).

    compute_mode: accepted; the differences are always taken themselves, never |a|² + |b|² - 2ab, which loses digits.

    >>> import tinygrad_cnn as tg
    >>> tg.cdist(tg.tensor([[0.0, 0.0], [3.0, 0.0]]), tg.tensor([[3.0, 4.0]]))
    tensor([[5.],
            [4.]])
    """
    if len(x1.shape) < 2 or len(x2.shape) < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ValueError(f"cdist: x1 is {x1.shape}, x2 {x2.shape}, expected (*, N, D) and (*, M, D)")
    return vector_norm(sub(unsqueeze(x1, -2), unsqueeze(x2, -3)), p, dim=-1)


@composite
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between x1 and x2 along `dim`; the two broadcast; lengths below `eps` count as `eps`.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.cosine_similarity(tg.tensor([[1.0, 0.0]]), tg.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    x1, x2 = [x if x.shape == shape else broadcast_to(x, shape) for x in (x1, x2)]
    units = [div(x, clamp_min(vector_norm(x, 2, dim, keepdim=True), eps)) for x in (x1, x2)]
    return sum(mul(*units), dim=dim)


@composite
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Any:
    """max(|anchor - positive| - |anchor - negative| + margin, 0), with p-norms along the last dimension.

    swap: the distance from `positive` to `negative` takes the second one's place where it is smaller
    (Balntas et al., "Learning shallow convolutional feature descriptors with triplet losses", 2016).

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.triplet_margin_loss(tg.zeros(1, 2), tg.ones(1, 2), tg.tensor([[3.0, 4.0]]), margin=5.0)
    tensor(1.4142)
    """
    if margin <= 0:
        raise ValueError(f"triplet_margin_loss: margin is {margin}, expected a number > 0")
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced("triplet_margin_loss", clamp_min(add(sub(near, far), margin), 0), reduction)


@composite
def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, *, reduction: str = "mean"
) -> Any:
    """1 - cos of the angle between two vectors where `target` is 1, max(cos - margin, 0) where it is -1.

    input1 and input2: (N, D) with a target (N,), or (D,) with a target (). Any other target gives 0.

    >>> import tinygrad_cnn as tg
    >>> x, y = tg.tensor([[1.0, 0.0], [3.0, 4.0]]), tg.tensor([[0.0, 2.0], [3.0, 4.0]])
    >>> tg.nn.functional.cosine_embedding_loss(x, y, tg.tensor([1, -1]), margin=0.5, reduction="none")
    tensor([1.0000, 0.5000])
    """
    if input1.shape != input2.shape or target.shape != input1.shape[:-1] or len(target.shape) > 1:
        raise ValueError(
            f"cosine_embedding_loss: the inputs are {input1.shape} and {input2.shape}, the target {target.shape}, "
            "expected (N, D) twice and (N,), or (D,) twice and ()"
        )
    lengths = mul(add(sum(square(input1), -1), 1e-12), add(sum(square(input2), -1), 1e-12))
    cos = div(sum(mul(input1, input2), -1), sqrt(lengths))
    apart = where(eq(target, -1), clamp_min(sub(cos, margin), 0), 0.0)
    return reduced("cosine_embedding_loss", where(eq(target, 1), rsub(cos, 1), apart), reduction)


@composite
def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, *, reduction: str = "mean") -> Any:
    """max(-target · (input1 - input2) + margin, 0): the first should be larger where `target` is 1, smaller where -1.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.functional.margin_ranking_loss(tg.tensor([1.0, 1.0]), tg.tensor([3.0, 3.0]), tg.tensor([1, -1]))
    tensor(1.)
    """
    losses = clamp_min(add(mul(neg(target), sub(input1, input2)), margin), 0)
    return reduced("margin_ranking_loss", losses, reduction)

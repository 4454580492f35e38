"""Gradients of each sample's loss apart, from one pass over the batch and without a loop over the samples.

Backward sums a parameter's gradient over the batch at the very nodes that use the parameter. Here these nodes keep the
batch dimension instead: an op that broadcasts stops summing at it, and the linear ops have the products below. A node
that depends on parameters alone (a transposed weight) carries a stack of gradients, one a sample.

Whether the samples are independent is not assumed but measured: a second pass weights the losses, and the gradients
must follow the weights. Source: Goodfellow, Efficient Per-Example Gradient Computations, 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_cnn import autograd
from tinygrad_cnn.autograd import Edge, Node, Pending, no_grad, state, wrap
from tinygrad_cnn.ops.conv import conv_geometry
from tinygrad_cnn.ops.linear import einsum_grad
from tinygrad_cnn.tensor import Tensor

__all__ = ["per_sample_grad"]


def per_sample_grad(losses: Tensor, inputs: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """For each of `inputs`, the gradient of each of the N `losses`: shape (N, *input shape).

    losses: (N,), each of which depends on one sample of the batch, as from `cross_entropy(..., reduction="none")`.
    ValueError if the samples are mixed on the way, as batch norm does when it trains. The graph is kept.

    >>> import tinygrad_cnn as tg
    >>> w = tg.tensor([2.0, 3.0], requires_grad=True)
    >>> x = tg.tensor([[1.0, 0.0], [4.0, 5.0]])
    >>> tg.func.per_sample_grad((x * w).sum(1), w)
    (tensor([[1., 0.],
            [4., 5.]]),)
    """
    targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if losses.ndim != 1:
        raise ValueError(f"per_sample_grad: the losses have shape {losses.shape}, expected (N,): one a sample")
    for x in targets:
        if x.node is not None or not x.tracked:
            raise ValueError(f"per_sample_grad: an input of shape {x.shape} is no leaf that requires grad")
    n = len(losses)
    weights = 1 + np.arange(n) * 0.6180339887498949 % 1  # no two alike: equal ones would hide that samples are mixed
    plain = _pass(losses, targets, np.ones(n))
    weighted = _pass(losses, targets, weights)
    for x, g, h in zip(targets, plain, weighted, strict=True):
        expected = g * weights.reshape(-1, *[1] * x.ndim)
        bound = 1e3 * np.finfo(losses.dtype).eps * max(np.abs(expected).max(initial=0), np.finfo(losses.dtype).tiny)
        if np.abs(h - expected).max(initial=0) > bound:
            raise ValueError("per_sample_grad: the loss of one sample depends on another sample (batch norm, perhaps)")
    return tuple(wrap(g) for g in plain)


def _pass(losses: Tensor, targets: list[Tensor], weights: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """One backward pass from Σ weights · losses; it leaves the graph as it is."""
    n = len(losses)
    order, _ = autograd.reachable([losses.edge])
    of_parameters = _parameter_side(order, targets, n)
    if losses.edge in of_parameters:
        raise ValueError(f"per_sample_grad: no op has the {n} samples in the first dimension of its result")
    needed = autograd.leading_to(order, set(targets))
    pending, now = Pending(), state.now
    pending.add(losses.edge, weights.astype(losses.dtype))
    with no_grad():
        while pending.nodes:
            node, g = pending.take()
            assert node.edges is not None  # `reachable` looked
            wants = [edge is not None and edge in needed for edge in node.edges]
            if node in of_parameters:
                _push_stacked(node, g, wants, pending)
                continue
            onward = tuple(w and e not in of_parameters for w, e in zip(wants, node.edges, strict=True))
            autograd.step(node, g, onward, pending, False, now)
            for i, edge in enumerate(node.edges):
                if edge is not None and wants[i] and not onward[i]:
                    pending.add(edge, _sample_gradient(node, i, g, edge.shape, n))
    zeros = [np.zeros((n, *x.shape), x.dtype) for x in targets]
    return [pending.get(x, zero) for x, zero in zip(targets, zeros, strict=True)]


def _parameter_side(order: list[Node], targets: list[Tensor], n: int) -> set[Edge]:
    """The targets, and the nodes that depend on nothing else."""
    found: set[Edge] = set(targets)
    for node in reversed(order):
        edges = node.edges or ()
        known = [edge is not None and edge in found for edge in edges]
        constants = all(ok or edge is None for ok, edge in zip(known, edges, strict=True))
        # A constant argument may be the batch itself; then the result has its length.
        if any(known) and constants and (all(known) or not node.shape or node.shape[0] != n):
            found.add(node)
    return found


def _push_stacked(node: Node, g: Any, wants: list[bool], pending: Pending) -> None:
    """Through a node that depends on parameters alone, with one gradient a sample stacked in `g`."""
    assert node.edges is not None
    for i, edge in enumerate(node.edges):
        if edge is not None and wants[i]:
            one = tuple(k == i for k in range(len(wants)))
            rows = []
            for row in g:
                alone = Pending()
                autograd.step(node, row, one, alone, False, state.now)
                rows.append(alone[edge])
            pending.add(edge, np.stack(rows))


def _sample_gradient(node: Node, i: int, g: Any, shape: tuple[int, ...], n: int) -> Any:
    """The gradient of argument `i` of `node`, a parameter of `shape`, for each sample: (N, *shape)."""
    op, argument = node.op, node.op.arguments[min(i, len(node.op.arguments) - 1)]
    if op.broadcasts:
        return _keep_batch(np.asarray(op.pull(node, i, g)), shape, n)
    rule = RULES.get((op.name, argument))
    if rule is None:
        raise NotImplementedError(f"per_sample_grad: no rule for argument {argument!r} of {op.name}, at {node.where}")
    return rule(g, shape, node.saved | node.params | {"index": i})


def _keep_batch(g: Any, shape: tuple[int, ...], n: int) -> Any:
    """Sum what was broadcast, as the drive does, except along the batch: (N, *S) -> (N, *shape)."""
    rest = shape[1:] if g.ndim == len(shape) else shape
    rest = (1,) * (g.ndim - 1 - len(rest)) + tuple(rest)
    axes = tuple(k + 1 for k, length in enumerate(rest) if length == 1 and g.shape[k + 1] != 1)
    g = g.sum(axis=axes, keepdims=True)
    if g.ndim > len(shape) or shape[0] == 1:
        return g.reshape(n, *shape)
    out = np.zeros((n, *shape), g.dtype)  # it has a row for each sample, as a parameter that was expanded has
    out[np.arange(n), np.arange(n)] = g.reshape(n, *shape[1:])
    return out


# ---- the linear ops ----------------------------------------------------------------------------------------


def _linear_weight(g: Any, shape: tuple[int, ...], values: dict[str, Any]) -> Any:
    x = values["input"]
    rows = x.reshape(len(x), -1, x.shape[-1])  # (N, *, in) -> (N, L, in)
    columns = g.reshape(len(x), rows.shape[1], -1)  # (N, *, out) -> (N, L, out)
    return (columns.transpose(0, 2, 1) @ rows).reshape(len(x), *shape)


def _linear_bias(g: Any, shape: tuple[int, ...], values: dict[str, Any]) -> Any:
    return g.reshape(len(g), -1, *shape).sum(axis=1)


def _matmul_input(g: Any, shape: tuple[int, ...], values: dict[str, Any]) -> Any:
    x = _batch_of_matrices(values["other"], shape)
    g = g[..., None, :] if len(shape) == 1 else g
    return _keep_batch(g @ x.swapaxes(-1, -2), shape if len(shape) > 1 else (1, *shape), len(x)).reshape(-1, *shape)


def _matmul_other(g: Any, shape: tuple[int, ...], values: dict[str, Any]) -> Any:
    x = values["input"]
    if len(shape) > 2:
        return _keep_batch(_batch_of_matrices(x, shape).swapaxes(-1, -2) @ g, shape, len(x))
    rows = x.reshape(len(x), -1, x.shape[-1])  # (N, *, K) -> (N, L, K)
    return (rows.transpose(0, 2, 1) @ g.reshape(len(x), rows.shape[1], -1)).reshape(len(x), *shape)


def _batch_of_matrices(x: Any, shape: tuple[int, ...]) -> Any:
    """The other argument of a product with a parameter of `shape`, if its first dimension is that of the result."""
    if x.ndim < max(3, len(shape)):
        raise NotImplementedError(
            f"per_sample_grad: matmul of {x.shape} and a parameter of shape {shape}, expected (N, ..., rows, columns)"
        )
    return x


def _einsum_operand(g: Any, shape: tuple[int, ...], values: dict[str, Any]) -> Any:
    """The gradient of an operand that had the batch's label in front, which the parameter is repeated along."""
    terms, out = values["equation"].split("->")
    labels, shapes, i = terms.split(","), list(values["operands_shape"]), values["index"]
    batch = out[:1]
    if batch in labels[i]:
        raise ValueError(f"per_sample_grad: a parameter of shape {shape} is not shared by the {len(g)} samples")
    labels[i], shapes[i] = batch + labels[i], (len(g), *shape)
    return einsum_grad(g, values["operands"], tuple(shapes), i, f"{','.join(labels)}->{out}")


def _conv_transpose_weight(g: Any, shape: tuple[int, ...], values: dict[str, Any]) -> Any:
    """That of the convolution from the result back to the input, of which this op is the adjoint."""
    return _conv_weight(values["input"], shape, values | {"input": g})


def _conv_weight(g: Any, shape: tuple[int, ...], values: dict[str, Any]) -> Any:
    kernel, groups, n = shape[2:], values["groups"], len(g)
    x, stride, padding, dilation = conv_geometry(
        values["input"], kernel, *(values[k] for k in ("stride", "padding", "dilation"))
    )
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(range(2, x.ndim)))
    places = tuple(slice(None, (o - 1) * s + 1, s) for o, s in zip(g.shape[2:], stride, strict=True))
    windows = windows[(slice(None), slice(None), *places, *(slice(None, None, d) for d in dilation))]
    d = len(kernel)
    order = (0, 1, *range(2 + d, 2 + 2 * d), *range(2, 2 + d))  # (N, C, *O, *K) -> (N, C, *K, *O)
    columns = windows.transpose(order).reshape(n, groups, shape[1] * int(np.prod(kernel)), -1)
    out = g.reshape(n, groups, shape[0] // groups, -1)
    return (out @ columns.swapaxes(-1, -2)).reshape(n, *shape)


def _conv_bias(g: Any, shape: tuple[int, ...], values: dict[str, Any]) -> Any:
    return g.sum(axis=tuple(range(2, g.ndim)))


def _embedding_weight(g: Any, shape: tuple[int, ...], values: dict[str, Any]) -> Any:
    index = values["input"]
    if values["scale_grad_by_freq"]:
        g = g / np.bincount(index.ravel())[index][..., None].astype(g.dtype)
    out = np.zeros((len(g), *shape), g.dtype)
    samples = np.arange(len(g)).reshape(-1, *[1] * (index.ndim - 1))
    np.add.at(out, (samples, index), g)
    if values["padding_idx"] is not None:
        out[:, values["padding_idx"]] = 0
    return out


RULES: dict[tuple[str, str], Callable[[Any, tuple[int, ...], dict[str, Any]], Any]] = {
    ("linear", "weight"): _linear_weight,
    ("linear", "bias"): _linear_bias,
    ("matmul", "input"): _matmul_input,
    ("matmul", "other"): _matmul_other,
    ("embedding", "weight"): _embedding_weight,
    **{(f"conv{d}d", "weight"): _conv_weight for d in (1, 2, 3)},
    **{(f"conv_transpose{d}d", "weight"): _conv_transpose_weight for d in (1, 2, 3)},
    **{(f"conv{kind}{d}d", "bias"): _conv_bias for kind in ("", "_transpose") for d in (1, 2, 3)},
    ("einsum", "operands"): _einsum_operand,
}

"""Gradients clipped, parameters as one long vector, and a model in eval mode for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_cnn import locks
from tinygrad_cnn.autograd import Variable
from tinygrad_cnn.nn.module import Module
from tinygrad_cnn.nn.utils import rnn
from tinygrad_cnn.tensor import Tensor

__all__ = [
    "clip_grad_norm_", "clip_grad_value_", "in_eval_mode", "parameters_to_vector", "rnn", "vector_to_parameters",
]  # fmt: skip


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients so that their norm, all taken together, is at most `max_norm`; returns the norm before.

    norm_type: 2, 1, any p, or inf for the greatest magnitude. error_if_nonfinite: raise where the norm is infinite or
    NaN (otherwise the gradients become NaN or zero). foreach chooses an implementation in PyTorch, and nothing here.

    >>> import tinygrad_cnn as tg
    >>> w = tg.nn.Parameter([3.0, 4.0])
    >>> (w * w / 2).sum().backward()
    >>> tg.nn.utils.clip_grad_norm_(w, 1.0), w.grad.array.round(3)
    (tensor(5.), array([0.6, 0.8], dtype=float32))
    """
    tensors = _with_gradients(parameters)
    if not tensors:
        return Tensor(np.array(0.0, np.float32))
    norms = [np.linalg.norm(_grad(p).ravel(), norm_type) for p in tensors]
    total = np.linalg.norm(np.array(norms), norm_type)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(f"clip_grad_norm_: the norm of the gradients is {total}, expected a finite number")
    factor = min(max_norm / (float(total) + 1e-6), 1.0) if total == total else float("nan")
    with np.errstate(invalid="ignore"):  # infinity times 0
        for p in tensors:
            _replace_grad(p, _grad(p) * _grad(p).dtype.type(factor))
    return Tensor(np.asarray(total))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Bring each element of the gradients into [-clip_value, clip_value]; foreach changes nothing."""
    for p in _with_gradients(parameters):
        _replace_grad(p, _grad(p).clip(-clip_value, clip_value))


@contextmanager
def in_eval_mode(model: Module) -> Iterator[None]:
    """Inside, the model and all its modules are in eval mode; then each is as it was before.

    >>> import tinygrad_cnn as tg
    >>> model = tg.nn.Dropout()
    >>> with in_eval_mode(model):
    ...     print(model.training)
    False
    >>> model.training
    True
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of the parameters in one row; gradients flow through it.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.utils.parameters_to_vector([tg.ones(1, 2), tg.zeros(1)])
    tensor([1., 1., 0.])
    """
    from tinygrad_cnn import ops

    vector: Tensor = ops.cat([p.reshape(-1) for p in parameters])
    return vector


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the elements of a vector into the parameters, in the order of `parameters_to_vector`."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: vec is a {type(vec).__name__}, expected a Tensor")
    targets = list(parameters)
    total = sum(p._array.size for p in targets)
    if vec.shape != (total,):
        raise ValueError(f"vector_to_parameters: vec has shape {vec.shape}, the parameters have {total} elements")
    start = 0
    for p in targets:
        locks.writeable(p)[...] = vec._array[start : start + p._array.size].reshape(p.shape)
        start += p._array.size


def _with_gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    tensors = [parameters] if isinstance(parameters, Variable) else list(parameters)
    return [p for p in tensors if p.grad is not None and p.grad._array.size]


def _grad(p: Tensor) -> np.ndarray[Any, Any]:
    assert p.grad is not None
    return p.grad._array


def _replace_grad(p: Tensor, values: np.ndarray[Any, Any]) -> None:
    """Write into the gradient; one that itself takes part in a graph is left to it, and a new one takes its place."""
    assert p.grad is not None
    if p.grad.tracked:
        p.grad = Tensor(values)
    else:
        locks.writeable(p.grad)[...] = values

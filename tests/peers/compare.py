"""Holds one of our functions against PyTorch's: values, dtypes, and gradients of the first and second order.

    from peers.compare import compare

    compare(tg.sum, torch.sum, x, dim=1)        # x an ndarray; other arguments are passed on as they are
    compare(tg.cat, torch.cat, [x, y], dim=0)   # ndarrays may stand in lists, tuples, keyword arguments

Float arrays become tensors that require grad, other arrays tensors that do not. The incoming gradients
require grad too, so the second order also goes through the rules of the gradients themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_cnn import autograd
from tinygrad_cnn.tensor import Tensor

SINGLE_BOUND = 1e-4  # what float32 results are held to; they only show that the dtype is kept


def compare(
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    *inputs: Any,
    bound: float = 1e-12,
    orders: int = 2,
    float32: bool = True,
    **kwargs: Any,
) -> None:
    """Call both functions with the same arguments and assert that everything agrees to `bound`.

    bound: relative and absolute. orders: how many derivatives are compared (0: values only). float32: run it
    in float32 too, with a wide bound. A result can be a tensor or a (named) tuple of tensors. Ours is also run
    on arrays whose elements do not lie side by side.
    """
    _compare(ours, theirs, inputs, kwargs, bound, orders)
    _compare(ours, theirs, inputs, kwargs, bound, min(orders, 1), leaf=_scattered_leaf)
    if float32 and any(x.dtype == np.float64 for x in _arrays((inputs, kwargs))):
        single_inputs, single_kwargs = _convert((inputs, kwargs), _to_single)
        _compare(ours, theirs, single_inputs, single_kwargs, bound, min(orders, 1))


def raises_alike(ours: Callable[..., Any], theirs: Callable[..., Any], *inputs: Any, match: str, **kwargs: Any) -> None:
    """Assert that both functions refuse these arguments, ours with a message that matches `match`."""
    import pytest

    their_inputs, their_kwargs = _convert((inputs, kwargs), _torch_leaf)
    with pytest.raises((RuntimeError, ValueError, TypeError, IndexError, AssertionError)):
        theirs(*their_inputs, **their_kwargs)
    our_inputs, our_kwargs = _convert((inputs, kwargs), _our_leaf)
    with pytest.raises((ValueError, TypeError, IndexError), match=match):
        ours(*our_inputs, **our_kwargs)


def _compare(ours: Any, theirs: Any, inputs: Any, kwargs: Any, bound: float, orders: int, leaf: Any = None) -> None:
    import torch

    our_inputs, our_kwargs = _convert((inputs, kwargs), leaf or _our_leaf)
    their_inputs, their_kwargs = _convert((inputs, kwargs), _torch_leaf)
    our_result = ours(*our_inputs, **our_kwargs)
    their_result = theirs(*their_inputs, **their_kwargs)
    our_out, their_out = _flat(our_result), _flat(their_result)
    assert_alike(our_result, their_result, bound)
    for our, their in zip(our_out, their_out, strict=True):
        assert our.requires_grad == their.requires_grad, f"requires_grad is {our.requires_grad}, not as PyTorch"
    our_xs = [x for x in _flat((our_inputs, our_kwargs)) if x.requires_grad]
    their_xs = [x for x in _flat((their_inputs, their_kwargs)) if x.requires_grad]
    our_out = [x for x in our_out if x.requires_grad]
    their_out = [x for x in their_out if x.requires_grad]
    rng = np.random.default_rng(0)
    for order in range(1, orders + 1):
        if not their_out or not their_xs:
            return
        seeds = [np.asarray(rng.uniform(0.5, 1.5, x.shape), x.dtype) for x in our_out]
        our_seeds, their_seeds = [_our_leaf(x) for x in seeds], [_torch_leaf(x) for x in seeds]
        plain = autograd.grad(our_out, our_xs, our_seeds, retain_graph=True, materialize_grads=True)
        live = autograd.grad(our_out, our_xs, our_seeds, create_graph=True, materialize_grads=True)
        found = torch.autograd.grad(their_out, their_xs, their_seeds, create_graph=True, allow_unused=True)
        expected = [torch.zeros_like(x) if g is None else g for x, g in zip(their_xs, found, strict=True)]
        for i, (a, b, c) in enumerate(zip(plain, live, expected, strict=True)):
            what = f"gradient of order {order}, input {i}"
            _assert_close(a.array, c, bound * 10**order, f"{what}, arrays")
            _assert_close(b.array, c, bound * 10**order, f"{what}, create_graph")
            # What PyTorch can differentiate again, ours must as well: a cut graph would be a silent zero.
            assert b.requires_grad or not c.requires_grad, f"{what}: the graph ends"
        our_xs, their_xs = our_xs + our_seeds, their_xs + their_seeds
        kept = [(a, b) for a, b in zip(live, expected, strict=True) if a.requires_grad and b.requires_grad]
        our_out, their_out = [a for a, _ in kept], [b for _, b in kept]


def assert_alike(ours: Any, theirs: Any, bound: float = 1e-12) -> None:
    """Assert that our result equals PyTorch's: structure, names, shapes, dtypes, values."""
    if isinstance(theirs, tuple | list):
        assert len(ours) == len(theirs), f"{len(ours)} results, PyTorch has {len(theirs)}"
        if hasattr(theirs, "values"):  # a named tuple, as max, sort and topk return
            assert ours._fields == ("values", "indices")
        for a, b in zip(ours, theirs, strict=True):
            assert_alike(a, b, bound)
        return
    if isinstance(theirs, bool | int | float):
        assert type(ours) is type(theirs)
        assert ours == theirs
        return
    assert isinstance(ours, Tensor), f"the result is a {type(ours).__name__}, expected a Tensor"
    _assert_close(ours.array, theirs, bound, "value")


def _assert_close(ours: np.ndarray[Any, Any], theirs: Any, bound: float, what: str) -> None:
    expected = theirs.numpy(force=True)  # a lazy zero too
    assert ours.shape == expected.shape, f"{what}: shape {ours.shape}, PyTorch {expected.shape}"
    assert ours.dtype == expected.dtype, f"{what}: dtype {ours.dtype}, PyTorch {expected.dtype}"
    bound = max(bound, SINGLE_BOUND) if expected.dtype == np.float32 else bound
    np.testing.assert_allclose(ours, expected, rtol=bound, atol=bound, err_msg=what)


def _our_leaf(array: np.ndarray[Any, Any]) -> Tensor:
    return Tensor(array.copy()).requires_grad_(array.dtype.kind == "f")


def _scattered_leaf(array: np.ndarray[Any, Any]) -> Tensor:
    """The same values in every second place of a larger array, read-only: kernels must take any layout."""
    if array.ndim:
        larger = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        larger[..., ::2] = array
        array = larger[..., ::2]
        array.flags.writeable = False
    return Tensor(array).requires_grad_(array.dtype.kind == "f")


def _torch_leaf(array: np.ndarray[Any, Any]) -> Any:
    import torch

    return torch.from_numpy(array.copy()).requires_grad_(array.dtype.kind == "f")


def _to_single(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _convert(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same nest of tuples, lists and dicts, with `leaf` applied to its arrays."""
    if isinstance(value, np.ndarray):
        return leaf(value)
    if isinstance(value, dict):
        return {key: _convert(x, leaf) for key, x in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_convert(x, leaf) for x in value)
    return value


def _arrays(value: Any) -> list[np.ndarray[Any, Any]]:
    found: list[np.ndarray[Any, Any]] = []
    _convert(value, lambda x: found.append(x) or x)
    return found


def _flat(value: Any) -> list[Any]:
    """The tensors in a nest of tuples, lists and dicts, in order."""
    if isinstance(value, dict):
        return _flat(list(value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [x for item in value for x in _flat(item)]
    return [value] if hasattr(value, "requires_grad") else []

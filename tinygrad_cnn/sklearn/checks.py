"""What is looked at before an estimator learns: its parameters, the shape of an input, the weights of the samples."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from tinygrad_cnn import nn
from tinygrad_cnn.train.models import MODELS

__all__ = ["check_parameters", "input_shape", "sample_weights", "with_channels"]


def check_parameters(estimator: Any) -> None:
    """Raise ValueError, with its name, for a parameter of an estimator that cannot be."""
    rules = {
        "model": (_is_model, "a name, or a function or class that makes a Module"),
        "image_shape": (_is_shape, "None, (H, W) or (C, H, W), integers >= 1"),
        "batch_size": (lambda value: str(value) == "auto" or _is_count(value), "'auto' or an integer >= 1"),
        "max_iter": (_is_count, "an integer >= 1"),
        "tol": (lambda value: value is None or _is_number(value, 0), "None or a number >= 0"),
        "n_iter_no_change": (lambda value: _is_number(value, 1), "a number >= 1"),
        "validation_fraction": (lambda value: _is_number(value, 0) and 0 < value < 1, "a number between 0 and 1"),
        "dtype": (lambda value: value in ("auto", "float32", "float64"), "'auto', 'float32' or 'float64'"),
    }
    for name, (good, expected) in rules.items():
        value = getattr(estimator, name)
        if not good(value):
            raise ValueError(f"{type(estimator).__name__}: {name} is {value!r}, expected {expected}")


def input_shape(name: str, model: Any, image_shape: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one input of the module, (C, H, W) or (features,), given that of one entry of X.

    Rows become images by `image_shape`, or for a model that needs images and a square number of features.
    Errors: ValueError, which starts with `name`, when the numbers do not fit.
    """
    if image_shape is not None:
        wanted = with_channels(tuple(image_shape))
        if math.prod(wanted) != math.prod(shape):
            raise ValueError(
                f"{name}: image_shape is {image_shape}, {math.prod(wanted)} numbers, but X has inputs of shape {shape}"
            )
        return wanted
    if len(shape) > 1 or not isinstance(model, str) or model == "mlp" or model not in MODELS:
        return with_channels(shape)
    side = math.isqrt(shape[0])
    if side * side != shape[0]:
        raise ValueError(
            f"{name}: model {model} needs images, X has rows of {shape[0]} features, which are no square image; "
            "say which image they are with image_shape=(C, H, W)"
        )
    return (1, side, side)


def with_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(H, W) -> (1, H, W); other shapes stay."""
    return (1, *shape) if len(shape) == 2 else shape


def sample_weights(sample_weight: Any, n: int) -> NDArray[Any]:
    """The weights as floats (N,), checked; ones where there are none."""
    if sample_weight is None:
        return np.ones(n)
    weight: NDArray[Any] = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weight.shape != (n,):
        raise ValueError(f"sample_weight has the shape {weight.shape}, expected {(n,)}, one number a sample")
    if (weight < 0).any():
        raise ValueError(f"sample_weight holds {weight.min():g}, expected no negative weights")
    return weight


def _is_number(value: Any, least: float) -> bool:
    return type(value) is not bool and isinstance(value, Real) and float(value) >= least


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and _is_number(value, 1)


def _is_shape(value: Any) -> bool:
    return value is None or (isinstance(value, (tuple, list)) and len(value) > 1 and all(map(_is_count, value)))


def _is_model(value: Any) -> bool:
    return isinstance(value, str) or (callable(value) and not isinstance(value, nn.Module))

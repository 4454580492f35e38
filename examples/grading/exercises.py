"""Five exercises: write each function and its gradient, with NumPy alone.

Every `..._grad` gets the gradient `g` of the function's result, in that result's shape, and then what the function
itself got. It returns the gradient of each array argument, in that argument's shape: the sum over the result of
g times how the result changes with the argument. Mark the file with

    python -P -m tinygrad_cnn.testing.grade examples/grading/exercises.py

Most properties need no finite differences: gradients are linear in g, a batch gives what its samples give one by one,
<A v, w> = <v, A' w> where a function is linear, and the memory order of g does not matter.
"""

from __future__ import annotations

from typing import Any

Array = Any


def relu(x: Array) -> Array:
    """The elements of x, and 0 in the place of negative ones. x has any shape."""
    raise NotImplementedError


def relu_grad(g: Array, x: Array) -> Array:
    """The gradient of x. At 0 any number between 0 and g will do."""
    raise NotImplementedError


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """x weight' + bias: x is (N, inputs), weight (outputs, inputs), bias (outputs,), the result (N, outputs)."""
    raise NotImplementedError


def linear_grad(g: Array, x: Array, weight: Array, bias: Array) -> tuple[Array, Array, Array]:
    """The gradients of x, weight and bias."""
    raise NotImplementedError


def conv2d(x: Array, weight: Array, stride: int, padding: int) -> Array:
    """Slide the filters (O, C, K, K) over the images x (N, C, H, W), with `padding` zeros on each side.

    The result is (N, O, OH, OW), OH = (H + 2 padding - K)//stride + 1, OW likewise; filters are not turned round.
    """
    raise NotImplementedError


def conv2d_grad(g: Array, x: Array, weight: Array, stride: int, padding: int) -> tuple[Array, Array]:
    """The gradients of x and weight. Where the stride does not divide, the last rows of x may get nothing."""
    raise NotImplementedError


def max_pool2d(x: Array, size: int) -> Array:
    """The largest element of each size x size tile of the images x (N, C, H, W); size divides H and W."""
    raise NotImplementedError


def max_pool2d_grad(g: Array, x: Array, size: int) -> Array:
    """The gradient of x. Of equal elements one may get all of it, or they may share it; together they get g."""
    raise NotImplementedError


def softmax_cross_entropy(logits: Array, target: Array) -> Array:
    """-log softmax(logits)[target] of each sample: logits (N, C), target (N,) integers, the result (N,).

    Logits can be as large as 1000, and the result must still be a number.
    """
    raise NotImplementedError


def softmax_cross_entropy_grad(g: Array, logits: Array, target: Array) -> Array:
    """The gradient of the logits."""
    raise NotImplementedError

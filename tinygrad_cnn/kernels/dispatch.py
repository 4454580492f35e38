"""Which kernel runs: the fast one where it exists for these shapes and types, else the reference.

Three settings, by `set_kernels` or the environment variable TINYGRAD_CNN_KERNELS:

- `auto` (the default): the fast kernel where it does the job sooner. Small arrays, float64, three spatial dimensions
  and unusual windows take the reference. Where Numba is missing or does not compile, everything does,
  after one warning.
- `fast`: the fast kernel wherever it can do the job, however small; an error if Numba is missing.
- `reference`: plain NumPy.
"""

from __future__ import annotations

import importlib
import math
import os
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np

from tinygrad_cnn.kernels import choice, memory, pointwise, reference, threads
from tinygrad_cnn.kernels.linear import matmul
from tinygrad_cnn.kernels.reference.pool import window_divisor
from tinygrad_cnn.kernels.sizes import Ints, pool_output_size

__all__ = ["get_kernels", "set_kernels"]

Array = np.ndarray[Any, np.dtype[Any]]
FLOAT32 = np.dtype(np.float32)
Kernels = Literal["auto", "fast", "reference"]

# Below these sizes there are only some tens of microseconds to gain, and a first call that compiles for seconds would
# surprise. NumPy's maximum is as quick as ReLU's kernel up to MEDIUM_ARRAY.
SMALL_ARRAY = 512
SMALL_LOSS = 32
MEDIUM_ARRAY = 8192
WIDE_STEP = 2  # for means over wider steps of windows that overlap, NumPy's strided sums are as quick
MANY_CLASSES = 256
# Where dot products along the rows of both factors beat BLAS: few columns (or few products), of so many terms.
FEW_COLUMNS, FEW_PRODUCTS, LONG_ROW = 16, 2048, 512
SMALL_PRODUCT = 20_000

_choice: Kernels = "auto"
_modules: dict[str, Any] = {}
_broken: Exception | None = None


def set_kernels(kernels: Kernels) -> None:
    """Choose the kernels for the whole process: "auto", "fast" or "reference".

    >>> set_kernels("reference")
    >>> get_kernels()
    'reference'
    >>> set_kernels("auto")
    """
    global _choice
    if kernels not in get_args(Kernels):
        raise ValueError(f"set_kernels: {kernels!r} is not known, one of {', '.join(get_args(Kernels))} was expected")
    _choice = kernels


def get_kernels() -> Kernels:
    """The present choice."""
    return _choice


set_kernels(os.environ.get("TINYGRAD_CNN_KERNELS", "auto"))  # type: ignore[arg-type]


def _fast(name: str, size: int, threshold: int, *arrays: Array | None) -> Any:
    """The fast module `name` if it is to run: float32, large enough or asked for, and it compiles. Else None."""
    if size == 0 or _choice == "reference" or (_choice == "auto" and size < threshold):
        return None
    return _usable(name, *arrays)


def _usable(name: str | None, *arrays: Array | None) -> Any:
    """The fast module `name`, if there is one, it compiles, and the arrays are float32. Else None."""
    if name is None or (_broken and _choice == "auto"):
        return None
    for a in arrays:
        if a is not None and (a.dtype != FLOAT32 or not a.flags.aligned):
            return None
    return _modules.get(name) or _load(name)


def _load(name: str) -> Any:
    global _broken
    try:
        fast = importlib.import_module("tinygrad_cnn.kernels.fast")
        _modules[name] = fast.load(name)
        memory.use_pool(lambda: fast.load("allocator"))
    except Exception as error:
        if _choice == "fast":
            raise
        _broken = error
        warnings.warn(
            f"the fast kernels are not available ({type(error).__name__}: {error}); plain NumPy is used, and slower",
            RuntimeWarning,
            stacklevel=5,
        )
    return _modules.get(name)


# Convolution ----------------------------------------------------------------------------------------------------
# One spatial dimension is a row of two; three take the reference.


def conv(x: Array, w: Array, b: Array | None, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """`reference.conv`, by the fastest kernel for these shapes."""
    geometry = (stride, padding, dilation, groups)
    chosen = choice.for_conv(x.shape, w.shape, *geometry, _choice, threads.get_num_threads())
    if chosen.name == "pointwise":
        return pointwise.conv(x, w, b, stride, groups)
    fast = _usable(chosen.name, x, w, b)
    if fast is not None and chosen.is_winograd:
        y = fast.conv(_packed(x), _packed(w), b, padding)
        if y is not None:
            return y  # type: ignore[no-any-return]
        fast = _usable(chosen.spare)
    if fast is None:
        work = w.size * math.prod(chosen.shape[2:])
        return _joined(x, work, lambda s: reference.conv(x[s], w, b, *geometry))
    if x.ndim == 3:
        return fast.conv(_row(x), _row(w), b, *_of_row(*geometry))[:, :, 0]  # type: ignore[no-any-return]
    return fast.conv(_packed(x), _packed(w), b, *geometry)  # type: ignore[no-any-return]


def conv_input(g: Array, w: Array, shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """`reference.conv_input`, by the fastest kernel for these shapes."""
    geometry = (stride, padding, dilation, groups)
    name = choice.for_input(g.shape, w.shape, shape, *geometry[1:], _choice, threads.get_num_threads())
    if name == "pointwise":
        return pointwise.conv_input(g, w, shape, stride, groups)
    fast = _usable(name, g, w)
    # Where a window reaches beyond the input, the fast kernel multiplies a weight by zero: not good for NaN and inf.
    if fast is None or not _finite(w):
        work = w.size * math.prod(g.shape[2:])
        return _joined(g, work, lambda s: reference.conv_input(g[s], w, (len(g[s]), *shape[1:]), *geometry))
    if g.ndim == 3:
        in_row = (*shape[:2], 1, shape[2])
        return fast.conv_input(_row(g), _row(w), in_row, *_of_row(*geometry))[:, :, 0]  # type: ignore[no-any-return]
    return fast.conv_input(_packed(g), _packed(w), shape, *geometry)  # type: ignore[no-any-return]


def conv_weight(x: Array, g: Array, shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """`reference.conv_weight`, by the fastest kernel for these shapes."""
    return _conv_weight(x, g, shape, stride, padding, dilation, groups, need_b=False)[0]


def conv_backward(
    g: Array,
    x: Array,
    w: Array,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
    needs: tuple[bool, bool, bool],
) -> tuple[Array | None, Array | None, Array | None]:
    """`reference.conv_backward`, by the fastest kernels for these shapes."""
    geometry = (stride, padding, dilation, groups)
    chosen = choice.for_conv(x.shape, w.shape, *geometry, _choice, threads.get_num_threads())
    if chosen.is_winograd and (needs[0] or needs[1]) and g.shape == chosen.shape:
        winograd = _usable(chosen.name, x, w, g)
        found = winograd and winograd.conv_backward(_packed(g), _packed(x), _packed(w), padding, needs[0], needs[1])
        if found:
            return found[0], found[1], found[2] if needs[2] else None
    dx = conv_input(g, w, x.shape, *geometry) if needs[0] else None
    dw, db = _conv_weight(x, g, w.shape, *geometry, needs[2]) if needs[1] else (None, None)
    if needs[2] and db is None:
        db = g.sum(axis=(0, *range(2, g.ndim)))
    return dx, dw, db if needs[2] else None


def _conv_weight(
    x: Array, g: Array, shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int, need_b: bool
) -> tuple[Array, Array | None]:
    """The weight's gradient, and the bias's, if it is needed, where the kernel gives it too."""
    geometry = (stride, padding, dilation, groups)
    name = choice.for_weight(x.shape, g.shape, shape, *geometry, _choice, threads.get_num_threads())
    if name == "pointwise":
        return pointwise.conv_weight(x, g, shape, stride, groups)
    fast, dw = _usable(name, x, g), None
    if fast is not None and x.ndim == 3:
        dw, db = fast.conv_weight(_row(x), _row(g), (*shape[:2], 1, shape[2]), *_of_row(*geometry), need_b)
        dw = dw.reshape(shape)
    elif fast is not None:
        dw, db = fast.conv_weight(_packed(x), _packed(g), shape, *geometry, need_b)
    # The fast kernel multiplies what lies between two rows by zero: where there is NaN or inf, look again.
    if dw is None or not _finite(dw):
        work = math.prod(shape) * math.prod(g.shape[2:])
        parts = _in_parts(x, work, lambda s: reference.conv_weight(x[s], g[s], shape, *geometry))
        return sum(parts[1:], parts[0]), None
    return dw, db


def _joined(x: Array, work: int, convolve: Callable[[slice], Array]) -> Array:
    parts = _in_parts(x, work, convolve)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _in_parts(x: Array, work: int, convolve: Callable[[slice], Array]) -> list[Array]:
    """What the reference gives for each thread's part of the batch; `work` is multiply-adds per image.

    For what the fast kernels do not do, such as float64. BLAS has one thread in each, where there are several.
    """
    if _choice == "reference" or len(x) * work < threads.WORTH_SHARING:
        return [convolve(slice(0, len(x)))]
    cuts = threads.parts(len(x), len(x) * work)
    found = [x] * len(cuts)

    def job(i: int, start: int, stop: int) -> None:
        found[i] = convolve(slice(start, stop))

    with threads.one_blas_thread():
        threads.run(job, [(i, *cut) for i, cut in enumerate(cuts)])
    return found


def _finite(a: Array) -> bool:
    """Whether no element is NaN or inf. Sums of squares do not cancel; if they overflow, that is no harm either."""
    return math.isfinite(np.vdot(a, a))


def _row(x: Array) -> Array:
    """(N, C, L) -> (N, C, 1, L)."""
    return np.ascontiguousarray(x).reshape(*x.shape[:2], 1, x.shape[2])


def _of_row(stride: Ints, padding: Ints, dilation: Ints, groups: int) -> tuple[Ints, Ints, Ints, int]:
    return (1, *stride), (0, *padding), (1, *dilation), groups


def _packed(x: Array, dtype: type | None = None) -> Array:
    """C-contiguous, an ndarray and of no subclass; not copied where it is so."""
    return np.asarray(x, dtype, order="C")


# Pooling --------------------------------------------------------------------------------------------------------


def max_pool(
    x: Array, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool = False
) -> tuple[Array, Array]:
    """`reference.max_pool`, by the fastest kernel for these shapes."""
    windows = (kernel_size, stride, padding, dilation)
    out = pool_output_size(x.shape[2:], *windows, ceil_mode)
    if _is_2x2(x.shape, out, windows):
        fast = _fast("pool2x2", x.size, SMALL_ARRAY, x)
        if fast is not None:
            return fast.max_pool(_packed(x), out)  # type: ignore[no-any-return]
    fast = _fast_pool(x, kernel_size)
    if fast is not None:
        y, offsets = fast.max_pool(_packed(x), *windows, ceil_mode)
        # Beside padding the fast kernel does not know -inf from the border, so not which tap to choose either.
        if not any(padding) or not np.isneginf(y).any():
            return y, offsets
    return reference.max_pool(x, *windows, ceil_mode)


def max_pool_scatter(
    g: Array, offsets: Array, shape: Ints, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints
) -> Array:
    """`reference.max_pool_scatter`, by the fastest kernel for these shapes."""
    windows = (kernel_size, stride, padding, dilation)
    if offsets.dtype == np.uint8 and offsets.shape == g.shape and g.shape[:2] == shape[:2]:
        if _is_2x2(shape, g.shape[2:], windows):
            fast = _fast("pool2x2", g.size, SMALL_ARRAY, g)
            if fast is not None:
                return fast.max_pool_scatter(_packed(g), _packed(offsets), shape)  # type: ignore[no-any-return]
        fast = _fast_pool(g, kernel_size)
        if fast is not None:
            return fast.max_pool_scatter(_packed(g), _packed(offsets), shape, *windows)  # type: ignore[no-any-return]
    return reference.max_pool_scatter(g, offsets, shape, *windows)


def _is_2x2(x: Ints, out: Ints, windows: tuple[Ints, ...]) -> bool:
    """Windows of 2 x 2, side by side, all inside the input."""
    return windows == ((2, 2), (2, 2), (0, 0), (1, 1)) and 2 * out[0] <= x[2] and 2 * out[1] <= x[3]


def avg_pool(
    x: Array,
    kernel_size: Ints,
    stride: Ints,
    padding: Ints,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """`reference.avg_pool`, by the fastest kernel for these shapes."""
    counting = (ceil_mode, count_include_pad, divisor_override)
    fast = _fast_pool(x, kernel_size)
    if fast is None:
        return reference.avg_pool(x, kernel_size, stride, padding, *counting)
    out = pool_output_size(x.shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)
    if _are_apart(x.shape, out, kernel_size, stride, padding):
        part = 1 / (divisor_override or math.prod(kernel_size))
        return fast.avg_pool_apart(_packed(x), kernel_size, part, out)  # type: ignore[no-any-return]
    if max(stride) > WIDE_STEP:
        return reference.avg_pool(x, kernel_size, stride, padding, *counting)
    scale = _scale(x.shape[2:], out, kernel_size, stride, padding, *counting[1:])
    return fast.avg_pool(_packed(x), scale, kernel_size, stride, padding)  # type: ignore[no-any-return]


def avg_pool_input(
    g: Array,
    shape: Ints,
    kernel_size: Ints,
    stride: Ints,
    padding: Ints,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """`reference.avg_pool_input`, by the fastest kernel for these shapes."""
    counting = (ceil_mode, count_include_pad, divisor_override)
    fast = _fast_pool(g, kernel_size)
    apart = _are_apart(shape, g.shape[2:], kernel_size, stride, padding)
    if fast is None or g.shape[:2] != shape[:2] or (max(stride) > WIDE_STEP and not apart):
        return reference.avg_pool_input(g, shape, kernel_size, stride, padding, *counting)
    if apart:
        part = 1 / (divisor_override or math.prod(kernel_size))
        return fast.avg_pool_apart_input(_packed(g), kernel_size, part, shape)  # type: ignore[no-any-return]
    scale = _scale(shape[2:], g.shape[2:], kernel_size, stride, padding, *counting[1:])
    return fast.avg_pool_input(_packed(g), scale, shape, kernel_size, stride, padding)  # type: ignore[no-any-return]


def _are_apart(x: Ints, out: Ints, kernel_size: Ints, stride: Ints, padding: Ints) -> bool:
    """Windows side by side, all inside the input."""
    inside = all(o * k <= s for o, k, s in zip(out, kernel_size, x[2:], strict=True))
    return kernel_size == stride and not any(padding) and inside


def _fast_pool(x: Array, kernel_size: Ints) -> Any:
    """The module for a pool, or None."""
    if x.ndim != 4 or math.prod(kernel_size) > 255:
        return None
    return _fast("pool", x.size, SMALL_ARRAY, x)


@lru_cache(maxsize=64)
def _scale(
    size: Ints, out: Ints, kernel_size: Ints, stride: Ints, padding: Ints, include: bool, override: int | None
) -> Array:
    """One over what each window's sum is divided by, (OH, OW)."""
    divisor = window_divisor(np.dtype(np.float32), size, out, kernel_size, stride, padding, include, override)
    return np.ascontiguousarray(np.broadcast_to(1 / divisor, out), np.float32)


# Element by element ---------------------------------------------------------------------------------------------


def relu(x: Array) -> Array:
    """`reference.relu`, by the fastest kernel for this size."""
    fast = _fast("elementwise", x.size, MEDIUM_ARRAY, x) if x.flags.c_contiguous else None
    return reference.relu(x) if fast is None else fast.relu(_packed(x))


def relu_grad(g: Array, out: Array) -> Array:
    """`reference.relu_grad`, by the fastest kernel for this size."""
    fast = None
    if g.shape == out.shape and g.flags.c_contiguous and out.flags.c_contiguous:
        fast = _fast("elementwise", g.size, SMALL_ARRAY, g, out)
    return reference.relu_grad(g, out) if fast is None else fast.relu_grad(_packed(g), _packed(out))


# Linear layers ---------------------------------------------------------------------------------------------------


def linear(x: Array, w: Array, b: Array | None) -> Array:
    """`x` (N, I) times `w` (O, I) transposed, plus `b` (O,): by BLAS, or where O is small by a kernel for that.

    >>> linear(np.ones((1, 3)), np.ones((2, 3)), np.array([0.0, 1.0]))
    array([[3., 4.]])
    """
    n, columns, depth = len(x), len(w), w.shape[1]
    narrow = columns >= 2 and (columns <= FEW_COLUMNS or n * columns <= FEW_PRODUCTS)
    if narrow and n >= 4 and x.shape[1] == depth and (depth >= LONG_ROW or _choice == "fast"):
        fast = _fast("narrow", n * w.size, SMALL_PRODUCT, x, w, b)
        if fast is not None and (b is None or b.shape == (columns,)):
            return fast.linear(_packed(x), _packed(w), b if b is None else _packed(b))  # type: ignore[no-any-return]
    y = matmul(x, w.T)
    if b is not None:
        y += b
    return y


# Losses ---------------------------------------------------------------------------------------------------------


def softmax_cross_entropy(z: Array, target: Array) -> Array:
    """`reference.softmax_cross_entropy`, by the fastest kernel for this size."""
    fast, labels = _fast_loss(z, target)
    if fast is None:
        return reference.softmax_cross_entropy(z, target)
    return fast.softmax_cross_entropy(_packed(z), labels)  # type: ignore[no-any-return]


def softmax_cross_entropy_grad(z: Array, target: Array, g: Array) -> Array:
    """`reference.softmax_cross_entropy_grad`, by the fastest kernel for this size."""
    fast, labels = _fast_loss(z, target, g)
    if fast is None:
        return reference.softmax_cross_entropy_grad(z, target, g)
    return fast.softmax_cross_entropy_grad(_packed(z), labels, _packed(g))  # type: ignore[no-any-return]


def _fast_loss(z: Array, target: Array, g: Array | None = None) -> tuple[Any, Array]:
    """The module for a cross-entropy, or None; and the targets as it takes them, all of which are columns then.

    NumPy's vectorised exponential wins where classes are many.
    """
    shapes = z.ndim == 2 and target.shape == (len(z),) and (g is None or g.shape == target.shape)
    fast = _fast("loss", z.size, SMALL_LOSS, z, g) if shapes and z.shape[1] <= MANY_CLASSES else None
    if fast is None:
        return None, target
    target = _packed(target, np.int64)
    return (fast if fast.are_columns(target, z.shape[1]) else None), target  # the reference says what is wrong


def are_columns(target: Array, columns: int) -> bool:
    """Whether every integer is in range(columns)."""
    fast = None if _choice == "reference" else _modules.get("loss")  # to look is not worth compiling for
    if fast is None:
        return bool(not target.size or (target.min() >= 0 and target.max() < columns))
    return fast.are_columns(_packed(target, np.int64).reshape(-1), columns)  # type: ignore[no-any-return]


# Batch norm -----------------------------------------------------------------------------------------------------


def batch_norm(x: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """`reference.batch_norm`, by the fastest kernel for this shape."""
    fast = _fast_norm(x, weight, bias)
    if fast is None:
        return reference.batch_norm(x, weight, bias, eps)
    return fast.batch_norm(_packed(x), *_affine(x, weight, bias), eps)  # type: ignore[no-any-return]


def batch_norm_backward(
    g: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """`reference.batch_norm_backward`, by the fastest kernel for this shape."""
    fast = _fast_norm(x, weight, g, mean, var) if g.shape == x.shape else None
    if fast is None:
        return reference.batch_norm_backward(g, x, weight, mean, var, eps)
    weight, _ = _affine(x, weight, None)
    return fast.batch_norm_backward(  # type: ignore[no-any-return]
        _packed(g), _packed(x), weight, _packed(mean), _packed(var), eps
    )


def _fast_norm(x: Array, *others: Array | None) -> Any:
    """The module for batch norm, or None: a line of pixels must be worth a few vectors."""
    if x.ndim < 3 or math.prod(x.shape[2:]) < 16:
        return None
    return _fast("norm", x.size, SMALL_ARRAY, x, *others)


def _affine(x: Array, weight: Array | None, bias: Array | None) -> tuple[Array, Array]:
    channels = x.shape[1]
    return (
        np.ones(channels, np.float32) if weight is None else _packed(weight),
        np.zeros(channels, np.float32) if bias is None else _packed(bias),
    )


# Optimizers -----------------------------------------------------------------------------------------------------


def sgd_step(
    p: Array,
    g: Array,
    buf: Array | None,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> Array | None:
    """`reference.sgd_step`, by the fastest kernel for this size."""
    settings = (lr, momentum, dampening, weight_decay, nesterov, maximize)
    fast = _fast_update(p, g, buf)
    step = reference.sgd_step if fast is None else fast.sgd_step
    return step(p, g, buf, *settings)


def adam_step(
    p: Array,
    g: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    max_exp_avg_sq: Array | None,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    """`reference.adam_step`, by the fastest kernel for this size."""
    arrays = (p, g, exp_avg, exp_avg_sq, max_exp_avg_sq)
    fast = _fast_update(*arrays)
    update = reference.adam_step if fast is None else fast.adam_step
    update(*arrays, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize)


def _fast_update(p: Array, g: Array, *state: Array | None) -> Any:
    """The module for optimizers, or None. It writes to `p` and `state`, so they cannot be copied into shape."""
    if p.size < SMALL_ARRAY and _choice == "auto":  # as `_fast` says, but first: most parameters are small
        return None
    for a in (p, g, *state):
        if a is not None:
            flags = a.flags
            if a.shape != p.shape or not flags.c_contiguous or not (flags.writeable or a is g):
                return None
    return _fast("optim", p.size, SMALL_ARRAY, p, g, *state)

"""Every op on PyTorch's own sample inputs: the `OpInfo` entries with which PyTorch tests itself.

For each sample the function, the method, the in-place method and the operator are called in both frameworks, in
float64, float32, integers and booleans, and value, shape, dtype, changed arguments and gradients are compared: those
of the first order with and without `create_graph`, in float64 also those of the second.

`OPINFO_SAMPLES` says how many samples an entry, a form and a dtype get, spread over PyTorch's list (24; 0 for all), and
`OPINFO_REFERENCE=1` takes PyTorch's longer lists, with extreme numbers and odd memory layouts.
"""

from __future__ import annotations

import functools
import os
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.tensor import Tensor

# PyTorch warns of some samples, and ours of the same (losses that broadcast, variances of one element).
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::UserWarning")]
torch = pytest.importorskip("torch")

SAMPLES = int(os.environ.get("OPINFO_SAMPLES", "24"))
REFERENCE = os.environ.get("OPINFO_REFERENCE", "0") == "1"
if REFERENCE:  # sums and products leave NumPy's warning of inf - inf on: switching it off costs more than a small sum
    pytestmark.append(pytest.mark.filterwarnings("ignore:.*encountered in (add|subtract|multiply):RuntimeWarning"))

words = str.split

OPS = words(
    """
    abs acos add addcdiv addcmul addmm all allclose amax amin any arange argmax argmin argsort asin atan atan2 baddbmm
    bernoulli bincount bitwise_and bitwise_not bitwise_or bitwise_xor bmm bool broadcast_tensors broadcast_to byte cat
    cdist ceil chunk clamp clamp_max clamp_min clone contiguous cos cosh count_nonzero cumprod cumsum diag diagonal div
    dot double einsum empty empty_like eq equal erf exp exp2 expand expand_as expm1 eye flatten flip float floor
    floor_divide full full_like gather ge gt half hstack index_add index_put index_select int isclose isfinite isinf
    isnan item le lerp linalg.matrix_norm linalg.norm linalg.svdvals linalg.vector_norm linspace log log10 log1p log2
    log_softmax logaddexp logical_and logical_not logical_or logical_xor logspace logsumexp long lt masked_fill
    masked_select matmul max maximum mean meshgrid min minimum mm movedim mul multinomial mv nan_to_num narrow ne neg
    new_empty new_full new_ones new_zeros nonzero norm normal ones ones_like outer permute pow prod rand_like randint
    randn randn_like ravel reciprocal remainder repeat repeat_interleave reshape reshape_as roll round rsqrt rsub
    scatter scatter_add scatter_reduce select short sigmoid sign sin sinc sinh softmax sort split sqrt square squeeze
    stack std std_mean sub sum t take_along_dim tan tanh tensordot tile to topk trace transpose tril triu true_divide
    trunc unbind unflatten unfold unique unsqueeze var var_mean view view_as vstack where zero_ zeros zeros_like T mT
    __getitem__ __radd__ __rand__ __rdiv__ __rmatmul__ __rmod__ __rmul__ __ror__ __rpow__ __rsub__ __rxor__
    """
)

FUNCTIONAL = words(
    """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d batch_norm binary_cross_entropy
    binary_cross_entropy_with_logits celu conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    cosine_embedding_loss cosine_similarity cross_entropy dropout dropout2d elu embedding gelu glu group_norm
    hardshrink hardsigmoid hardswish hardtanh huber_loss instance_norm interpolate kl_div l1_loss layer_norm
    leaky_relu linear local_response_norm logsigmoid margin_ranking_loss max_pool1d max_pool2d max_pool3d mish
    mse_loss nll_loss normalize one_hot pad pairwise_distance pixel_shuffle pixel_unshuffle prelu relu relu6
    rms_norm scaled_dot_product_attention selu silu smooth_l1_loss softmin softplus softshrink softsign tanhshrink
    threshold triplet_margin_loss unfold
    """
)

NAMES = OPS + [f"nn.functional.{name}" for name in FUNCTIONAL]

# ---- what is not compared, and why -------------------------------------------------------------------------

INTEGERS = ("int8", "int16", "int32", "int64", "uint8")


class Difference(NamedTuple):
    """Samples of some ops that are left out: those for which `applies(sample, dtype)` is true."""

    names: str
    applies: Callable[[Any, str], bool]
    reason: str


DIFFERENCES = [
    Difference(
        "add sub mul div true_divide floor_divide __rmod__ __rpow__ __rsub__",
        lambda sample, dtype: not isinstance(sample.input, torch.Tensor),
        "where PyTorch makes a tensor of two numbers, ours makes an ndarray: without a Tensor nothing is recorded",
    ),
    Difference(
        "avg_pool1d avg_pool2d avg_pool3d local_response_norm",
        lambda sample, dtype: dtype in INTEGERS,
        "means of integers are refused, as PyTorch's own mean does; its pools cut the fractions off",
    ),
    Difference(
        "einsum",
        lambda sample, dtype: dtype in INTEGERS and dtype != "int64",
        "PyTorch widens narrow integers where it sums an operand alone, and only there",
    ),
    Difference(
        "interpolate",
        lambda sample, dtype: dtype == "uint8" and sample.kwargs.get("mode") in ("bicubic", "lanczos"),
        "PyTorch cuts pixels to 0 ... 255 also between the two directions; ours once",
    ),
]  # fmt: skip

# Numbers drawn by chance, or whatever is in memory: shape and dtype are compared.
RANDOM = words(
    "bernoulli dropout dropout2d empty empty_like multinomial new_empty normal rand_like randint randn randn_like"
)
# The gradient of what is drawn by chance is zero in PyTorch; here it carries none.
WITHOUT_GRADIENT = words("bernoulli normal")
# Where elements are equal, which of their positions comes first is nobody's promise.
POSITIONS = words("argsort sort topk")
# At 0 the second derivative of a norm is NaN in PyTorch; ours is 0, as the first.
FIRST_ORDER = ["norm"]
# Where the input is NaN, PyTorch's gradients depend on the length of the array: each of its two loops has its own.
NO_GRADIENT_AT_NAN = words("celu elu hardshrink hardswish hardtanh relu6 selu softshrink")


def complaint(value: Any) -> str:
    """Why a sample's argument cannot be asked of ours, or an empty text."""
    if isinstance(value, complex) or (isinstance(value, torch.Tensor) and value.dtype not in dtypes()):
        return "complex numbers and PyTorch's other dtypes"
    if isinstance(value, torch.dtype) and value not in dtypes():
        return "complex numbers and PyTorch's other dtypes"
    return next((text for x in parts(value) if (text := complaint(x))), "")


# ---- from one framework to the other -----------------------------------------------------------------------


@functools.cache
def dtypes() -> dict[Any, Any]:
    names = ("float64", "float32", "float16", *INTEGERS, "bool")
    return {getattr(torch, name): getattr(tg, name) for name in names}


def parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, slice):
        return [value.start, value.stop, value.step]
    return list(value) if type(value) in (list, tuple, torch.Size) else []


def convert(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same nest of arguments, with `leaf` applied to what is in it."""
    if isinstance(value, dict):
        return {key: convert(x, leaf) for key, x in value.items()}
    if isinstance(value, slice):
        return slice(*(convert(x, leaf) for x in parts(value)))
    if type(value) in (list, tuple, torch.Size):
        return [convert(x, leaf) for x in value] if type(value) is list else tuple(convert(x, leaf) for x in value)
    return leaf(value)


def ours_of(value: Any) -> Any:
    """Our counterpart of a PyTorch value: a tensor on the same memory, with the same strides."""
    if isinstance(value, torch.Tensor):
        return Tensor(value.detach().numpy()).requires_grad_(value.requires_grad)
    if isinstance(value, torch.dtype):
        return dtypes()[value]
    return "cpu" if isinstance(value, torch.device) else value


def copy_of(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    return value


def tensors(value: Any) -> list[Any]:
    if isinstance(value, torch.Tensor | Tensor):
        return [value]
    inside = list(value) if hasattr(value, "_fields") else parts(value)
    return [x for part in inside for x in tensors(part)]


# ---- the forms of an op ------------------------------------------------------------------------------------

# PyTorch's entries call some ops with their arguments in an order of their own, or by another name.
CALLS: dict[str, Callable[..., Any]] = {
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "einsum": lambda operands, equation: tg.einsum(equation, *operands),
    "nn.functional.embedding": lambda weight, index, **kwargs: F.embedding(index, weight, **kwargs),
    "normal.in_place": Tensor.normal_,
    "randn": lambda size, **kwargs: tg.randn(*size, **kwargs),
    "where": lambda x, condition, other: tg.where(condition, x, other),
    "zero_": lambda x: x.clone().zero_(),
    "zeros": lambda size, *_, **kwargs: tg.zeros(size, **kwargs),
    "__rdiv__": lambda x, other: x.__rtruediv__(other),
}
# These are methods only; the names of dtypes mean the dtype outside of the class.
METHODS = words(
    "bool byte contiguous double expand_as float half int item long new_empty new_full new_ones new_zeros reshape_as"
    " short to unfold view view_as"
)
CALLS |= {name: getattr(Tensor, name) for name in METHODS}


def function_of(name: str) -> Any:
    """Our function of PyTorch's name, or None."""
    if name in CALLS:
        return CALLS[name]
    place: Any = Tensor if name.startswith("__") else tg
    for part in name.split("."):
        place = getattr(place, part, None)
    return place


def full_name(entry: Any) -> str:
    return f"{entry.name}.{entry.variant_test_name}" if entry.variant_test_name else entry.name


def forms_of(entry: Any) -> Iterator[tuple[str, Any, Any]]:
    """(form, ours, PyTorch's): the function, and the method, operators and in-place method that both have."""
    yield "function", CALLS.get(full_name(entry)) or function_of(entry.name), entry.op
    if entry.method_variant and callable(method := getattr(Tensor, entry.name, None)):
        yield "method", method, entry.method_variant
    if entry.operator_variant:
        yield "operator", entry.operator_variant, entry.operator_variant
    if entry.inplace_variant and (method := getattr(Tensor, f"{entry.name}_", None)):
        yield "in place", method, entry.inplace_variant
    if entry.inplace_operator_variant:
        yield "in place", entry.inplace_operator_variant, entry.inplace_operator_variant


@functools.cache
def entries() -> dict[str, list[Any]]:
    """PyTorch's entries by the name of the op; one with overloads has several."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    found: dict[str, list[Any]] = {}
    for entry in op_db:
        found.setdefault(entry.name, []).append(entry)
    return found


# ---- comparing ---------------------------------------------------------------------------------------------


def samples_of(entry: Any, name: str, dtype: str, requires_grad: bool) -> Iterator[Any]:
    """PyTorch's samples, as many as are wanted, without those that are left out."""
    draw = entry.reference_inputs if REFERENCE and name != "where" else entry.sample_inputs  # that list is broken
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(draw("cpu", getattr(torch, dtype), requires_grad=requires_grad))
    for sample in found[:: -(-len(found) // SAMPLES) if SAMPLES and found else 1]:
        different = any(name in d.names.split() and d.applies(sample, dtype) for d in DIFFERENCES)
        if not different and not complaint((sample.input, sample.args, sample.kwargs)):
            yield sample


def check(entry: Any, form: str, ours: Any, theirs: Any, sample: Any, order: int) -> None:
    """Hold one call against PyTorch's, and its gradients up to an order."""
    name = entry.name.split(".")[-1]
    arguments = (sample.input, tuple(sample.args), sample.kwargs)
    theirs_in = convert(arguments, copy_of)
    ours_in = convert(convert(arguments, copy_of) if form == "in place" else arguments, ours_of)
    for layout in ("memory_format", "layout"):  # there is one
        ours_in[2].pop(layout, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = theirs(theirs_in[0], *theirs_in[1], **theirs_in[2])
        except (RuntimeError, TypeError):
            assert form != "function"
            return  # a result that does not fit in place, an operator without the sample's keywords
    if any(x.dtype not in dtypes() for x in tensors(expected)):
        return
    result = ours(ours_in[0], *ours_in[1], **ours_in[2])
    if form == "in place":
        assert result is ours_in[0]
    chance = (name in RANDOM and sample.kwargs.get("training", True)) or sample.kwargs.get("dropout_p", 0) > 0
    ties = name in POSITIONS and has_ties(sample.input)
    compare(result, expected, "value", name, "shapes" if chance else "positions" if ties else "all")
    if chance or name in WITHOUT_GRADIENT:
        return
    for i, (a, b) in enumerate(zip(tensors(ours_in), tensors(theirs_in), strict=True)):
        close(a.array, b, f"argument {i} after the call")
    if name not in NO_GRADIENT_AT_NAN or not any(np.isnan(x.array).any() for x in tensors(ours_in)):
        compare_gradients(ours_in, theirs_in, result, expected, order)


def has_ties(x: Any) -> bool:
    return x.numel() > len(set(x.detach().flatten().tolist()))


def compare(ours: Any, theirs: Any, what: str, name: str, depth: str) -> None:
    """Structure, shapes and dtypes; with depth "positions" all floats, with "all" every number."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, Tensor), f"{what} is a {type(ours).__name__}"
        if name not in WITHOUT_GRADIENT:
            assert ours.requires_grad == theirs.requires_grad, f"{what}: requires_grad is {ours.requires_grad}"
        skipped = depth == "shapes" or (depth == "positions" and theirs.dtype == torch.int64 and what != "value[0]")
        uint8_pixels = name == "interpolate" and theirs.dtype == torch.uint8
        close(ours.array, theirs, what, skipped, slack=1 if uint8_pixels else 0)
    elif isinstance(theirs, tuple | list):
        assert isinstance(ours, tuple | list), f"{what} is a {type(ours).__name__}"
        assert len(ours) == len(theirs), f"{what}: {len(ours)} results, PyTorch has {len(theirs)}"
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            compare(a, b, f"{what}[{i}]", name, depth)
    else:
        assert type(ours) is type(theirs), f"{what} is {ours!r}, PyTorch {theirs!r}"
        assert ours == theirs or ours != ours, f"{what} is {ours!r}, PyTorch {theirs!r}"


def close(ours: Any, theirs: Any, what: str, only_shape: bool = False, bound: float = 1e-9, slack: int = 0) -> None:
    expected = theirs.numpy(force=True)
    assert ours.shape == expected.shape, f"{what}: shape {ours.shape}, PyTorch {expected.shape}"
    assert ours.dtype == expected.dtype, f"{what}: dtype {ours.dtype}, PyTorch {expected.dtype}"
    if only_shape:
        return
    if ours.dtype.kind == "f":
        bound = bound if ours.dtype == np.float64 else 1e-4
        np.testing.assert_allclose(ours, expected, rtol=bound, atol=bound, err_msg=what)
    elif slack:  # PyTorch computes pixels between pixels with numbers of few bits
        assert np.abs(ours.astype(int) - expected.astype(int)).max() <= slack, what
    else:
        np.testing.assert_array_equal(ours, expected, err_msg=what)


def compare_gradients(ours_in: Any, theirs_in: Any, result: Any, expected: Any, order: int) -> None:
    """The gradients of all arguments that require one, for cotangents that require grad too from the second order."""
    xs = [x for x in tensors(ours_in) if x.requires_grad]
    their_xs = [x for x in tensors(theirs_in) if x.requires_grad]
    outs = [x for x in tensors(result) if x.requires_grad]
    their_outs = [x for x in tensors(expected) if x.requires_grad]
    rng = np.random.default_rng(0)
    for n in range(1, order + 1):
        if not their_outs or not their_xs:
            return
        seeds = [np.asarray(rng.uniform(-1, 1, x.shape), x.dtype) for x in outs]
        our_seeds = [Tensor(seed).requires_grad_() for seed in seeds]
        their_seeds = [torch.tensor(seed, requires_grad=True) for seed in seeds]
        more = n < order
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = torch.autograd.grad(their_outs, their_xs, their_seeds, create_graph=more, allow_unused=True)
        except RuntimeError:  # PyTorch has no such derivative
            return
        wanted = [torch.zeros_like(x) if g is None else g for x, g in zip(their_xs, found, strict=True)]
        plain = tg.autograd.grad(outs, xs, our_seeds, retain_graph=True, materialize_grads=True)
        for i, (a, g) in enumerate(zip(plain, wanted, strict=True)):
            close(a.array, g, f"gradient {i} of order {n}", bound=10.0**n * 1e-9)
        if not more:
            return
        live = tg.autograd.grad(outs, xs, our_seeds, create_graph=True, materialize_grads=True)
        for i, (a, g) in enumerate(zip(live, wanted, strict=True)):
            close(a.array, g, f"gradient {i} of order {n}, create_graph", bound=10.0**n * 1e-9)
            assert a.requires_grad or not g.requires_grad, f"gradient {i} of order {n}: the graph ends"
        xs, their_xs = xs + our_seeds, their_xs + their_seeds
        pairs = [(a, b) for a, b in zip(live, wanted, strict=True) if b.requires_grad]
        outs, their_outs = [a for a, _ in pairs], [b for _, b in pairs]


def described(sample: Any) -> str:
    """A sample in one line: float64(2, 3) for a tensor, all else as it is."""

    def leaf(x: Any) -> Any:
        return f"{str(x.dtype)[6:]}{tuple(x.shape)}" if isinstance(x, torch.Tensor) else x

    return f"{convert((sample.input, *sample.args), leaf)} {convert(sample.kwargs, leaf)}"[:300]


# ---- the tests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_samples(name: str) -> None:
    short = name.split(".")[-1]
    failures, count = [], 0
    for entry in entries()[name]:
        for dtype in ("float64", "float32", "int64", "bool", "uint8"):
            if getattr(torch, dtype) not in entry.dtypes:
                continue
            samples: list[Any] = []
            for form, ours, theirs in forms_of(entry):
                grad = entry.supports_autograd and dtype.startswith("float") and form != "in place"
                second = dtype == "float64" and entry.supports_gradgrad and short not in FIRST_ORDER and not REFERENCE
                order = (2 if second else 1) if grad else 0
                if not samples or form == "in place":
                    samples = list(samples_of(entry, short, dtype, grad))
                for sample in samples:
                    if form != "function" and not isinstance(sample.input, torch.Tensor):
                        continue
                    count += 1
                    try:
                        check(entry, form, ours, theirs, sample, order)
                    except Exception as error:
                        place = traceback.extract_tb(error.__traceback__)[-1]
                        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                        failures.append(f"{form}, {described(sample)}\n    {text} ({place.name}:{place.lineno})")
    assert count, "PyTorch has no samples"
    assert not failures, f"{len(failures)} of {count} samples of {name} differ:\n" + "\n".join(failures[:20])


def askable(sample: Any) -> bool:
    """Whether an error of PyTorch's is to be one of ours: a number may stand for a tensor, and there is no `out`."""
    arguments = (sample.input, sample.args, sample.kwargs)
    plain = not tensors(sample.input) or any(type(x) is int and x == 2 for x in sample.args[:1])
    vast = any(x.ndim > 64 for x in tensors(arguments))  # more dimensions than NumPy has
    truth = any(x.dtype == torch.bool and not x.ndim for x in tensors(sample.args))  # True may stand for 1
    return not (plain or vast or truth or "out" in sample.kwargs or complaint(arguments))


@pytest.mark.parametrize("name", NAMES)
def test_what_pytorch_refuses_is_refused(name: str) -> None:
    accepted = []
    for entry in entries()[name]:
        for error in entry.error_inputs("cpu") if entry.error_inputs_func else ():
            sample = error.sample_input
            if not askable(sample):
                continue
            arguments = (sample.input, tuple(sample.args), sample.kwargs)
            theirs_in, ours_in = convert(arguments, copy_of), convert(arguments, ours_of)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with pytest.raises((RuntimeError, ValueError, TypeError, IndexError, NotImplementedError)):
                    entry.op(theirs_in[0], *theirs_in[1], **theirs_in[2])
            try:
                function_of(name)(ours_in[0], *ours_in[1], **ours_in[2])
            except (ValueError, TypeError, IndexError, RuntimeError, AttributeError):
                continue
            accepted.append(f"{described(sample)}: {error.error_regex}")
    assert not accepted, "\n".join(accepted)


def test_memory_of_pytorch_is_given_back_as_it_was() -> None:
    """NumPy cannot lock and unlock foreign memory; a graph over it works, and in-place methods still refuse."""
    theirs = torch.ones(3)
    x = Tensor(theirs.numpy()).requires_grad_()
    loss = (x * x).sum()
    with tg.no_grad(), pytest.raises(RuntimeError, match="a live graph still needs this tensor's values"):
        x.add_(1)
    loss.backward()
    with tg.no_grad():
        x.add_(1)
    assert theirs.tolist() == [2.0, 2.0, 2.0]


def test_no_op_is_left_out() -> None:
    """What both frameworks have under one name is in the lists above."""
    there = {name for name in entries() if function_of(name) is not None and not name.startswith("_")}
    assert there - set(NAMES) == set()
    for difference in DIFFERENCES:
        assert set(difference.names.split()) <= {name.split(".")[-1] for name in NAMES}

"""The formulas that the documentation shows are what the code computes: values and gradients, on random numbers.

An op whose formula says a part of it in words, or in signs that tests/tex.py does not read, stands in READ with the
reason: that part was compared with the code by reading.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_cnn as tg

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs"), str(Path(__file__).parent)]
from builder import formulas, ops  # noqa: E402  (the documentation's own tools, which its build uses too)
from tex import Numbers, statements  # noqa: E402  (a tool of these tests, below the path too)

ENTRIES = {(family, e.name): e for family, entries in ops.families().items() for e in entries}
ALTERNATIVE = re.compile(r"^\\text\{(with|rounded|or|other modes|not in training|nearest)|\\text\{(elsewhere|nuc)")
RNG = np.random.default_rng(0)


class Call(NamedTuple):
    """A call of an op, what the letters in its formula are (values, or names of arguments), and how far some count."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    letters: dict[str, Any]
    ranges: dict[str, Any]
    channel: bool  # whether the formula is that of the only channel


def call(*args: Any, letters: Any = (), ranges: Any = (), channel: bool = False, **kwargs: Any) -> Call:
    return Call(args, kwargs, dict(letters), dict(ranges), channel)


def real(*shape: int) -> Any:
    return RNG.normal(size=shape) * 2


def positive(*shape: int) -> Any:
    return RNG.uniform(0.1, 2, size=shape)


def unit(*shape: int) -> Any:
    return RNG.uniform(0.05, 0.95, size=shape)


def whole(top: int, *shape: int) -> Any:
    return RNG.integers(0, top, size=shape)


def grid(*shape: int) -> Any:
    """Numbers in disorder, no two of them equal."""
    return RNG.permutation(np.prod(shape)).reshape(shape) / 3.0 - 2


def one(*args: Any, **kwargs: Any) -> Call:
    return call(real(3, 4), *args, **kwargs)


SLIDE = {"s": "stride", "d": "dilation", "p": "padding", "k": "kernel_size"}


def argmax(x: Any) -> dict[str, Any]:
    """The letters of a max-pool over one channel x, in which no two numbers are equal."""
    return SLIDE | {
        r"\text{argmax}": lambda y: np.array([np.argwhere(x[0] == v)[0] for v in y.ravel()]).reshape(*y.shape, -1)
    }


CONV: dict[str, Any] = {"stride": 3, "padding": 1, "dilation": 2}
CONV["letters"] = {"s": "stride", "d": "dilation", "p": "padding"}
PAIR = {"x_1": "x1", "x_2": "x2"}
NORM = {"m": 5}
# What the formula of an op is tried on; an op that is not here gets one array, and another as `other` if it has one.
CALLS: dict[tuple[str, str], Call] = {}
for family, calls in {
    "activation": {
        "celu": one(0.7),
        "dropout": one(0.4, letters={"m": lambda y: (y != 0) * 1.0}),
        "dropout2d": call(real(3, 4, 2, 2), 0.4, letters={"m": lambda y: (y != 0).any((2, 3)) * 1.0}),
        "elu": one(0.7),
        "glu": call(x := real(6), letters={"a": x[:3], "c": x[3:]}),
        "hardtanh": one(-0.7, 0.9),
        "leaky_relu": one(0.2),
        "log_softmax": call(real(5), 0),
        "prelu": call(real(3, 4), positive(1)),
        "softmax": call(real(5), 0),
        "softmin": call(real(5), 0),
        "softplus": one(2.0, 1.5),
        "threshold": one(0.3, -5.0),
        "scaled_elu": one(0.7, 1.3, 1.7),
    },
    "comparison": {
        **{name: call(whole(9, 5), whole(9, 5)) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")},
        "allclose": call(whole(2, 2), whole(2, 2) + 1e-9),
        "equal": call(np.ones(2), np.ones(2)),
        **{name: call(whole(3, 3, 4), whole(3, 3, 4)) for name in ("eq", "ge", "gt", "le", "lt", "ne")},
        **{name: call(whole(2, 3, 4), whole(2, 3, 4)) for name in ("logical_and", "logical_or", "logical_xor")},
        "isclose": call(x := real(20), x + RNG.choice([0.0, 0.01, 0.1], 20), 0.01, 0.02),
        "bitwise_not": call(whole(9, 5)),
        "logical_not": call(whole(2, 5)),
        **{name: call(np.array([1.0, np.inf, -np.inf, np.nan])) for name in ("isfinite", "isinf", "isnan")},
    },
    "conv": {
        "conv1d": call(real(2, 3, 8), real(4, 3, 2), real(4), **CONV),
        "conv2d": call(real(2, 2, 4, 5), real(2, 2, 2, 2), real(2), **CONV),
        "conv3d": call(real(1, 2, 4, 4, 5), real(2, 2, 2, 1, 2), real(2), **CONV),
        "conv_transpose1d": call(real(2, 3, 4), real(3, 2, 2), real(2), **CONV),
        "conv_transpose2d": call(real(2, 3, 2, 3), real(3, 2, 2, 2), real(2), **CONV),
        "conv_transpose3d": call(real(1, 2, 2, 2, 1), real(2, 2, 2, 2, 3), real(2), **CONV),
        "conv_input": call(real(2, 3, 2, 3), real(3, 2, 2, 2), (2, 2, 4, 7), **CONV),
        "conv_weight": call(real(1, 2, 5, 6), real(1, 2, 2, 2), (2, 2, 2, 2), **CONV),
    },
    "elementwise": {
        **{name: call(real(4), positive(4)) for name in ("div", "true_divide")},
        "erf": call(real(4)),
        **{name: call(positive(3, 4)) for name in ("log", "log10", "log1p", "log2", "rsqrt", "sqrt")},
        "add": call(real(3, 4), real(3, 4), alpha=0.7),
        "addcdiv": call(real(5), real(5), positive(5), value=0.7, letters={"t_1": "tensor1", "t_2": "tensor2"}),
        "addcmul": call(real(5), real(5), real(5), value=0.7, letters={"t_1": "tensor1", "t_2": "tensor2"}),
        "clamp": call(real(30), real(30) - 1, real(30) + 1),
        "clamp_max": call(real(30), real(30)),
        "clamp_min": call(real(30), real(30)),
        "clip": call(real(30), real(30) - 1, real(30) + 1),
        "lerp": call(real(5), real(5), real(5)),
        "masked_fill": call(real(6), whole(2, 6) > 0, np.array(0.7)),
        "maximum": call(whole(3, 20) * 1.0, whole(3, 20) * 1.0),
        "minimum": call(whole(3, 20) * 1.0, whole(3, 20) * 1.0),
        "nan_to_num": call(np.array([1.5, np.nan, np.inf, -np.inf]), 1.0, 2.0, 3.0),
        "pow": call(positive(3, 4), real(3, 4), letters={"p": "exponent"}),
        "round": one(decimals=1),
        "rsub": call(real(5), real(5), alpha=0.7),
        "sub": call(real(5), real(5), alpha=0.7),
        "where": call(whole(2, 6) > 0, real(6), real(6)),
    },
    "index": {
        "scatter": call(real(5), 0, np.array([3, 1]), real(2)),
        "bincount": call(whole(4, 9), positive(9)),
        "embedding": call(whole(4, 6), real(4, 3)),
        "gather": call(real(4, 3), 0, whole(4, 5, 3)),
        "index_add": call(real(4), 0, whole(4, 6), real(6), alpha=0.7),
        "index_select": call(real(4), 0, whole(4, 6)),
        "one_hot": call(whole(4, 6), 4),
        "scatter_add": call(real(4, 3), 0, whole(4, 5, 3), real(5, 3)),
        "take_along_dim": call(real(4, 3), whole(4, 5, 3), 0),
        "sort": call(x := real(6), letters={"I": np.argsort(x)}),
        "topk": call(x := real(6), 3, letters={"I": np.argsort(-x)[:3]}),
    },
    "linear": {
        "addmm": call(real(2, 4), real(2, 3), real(3, 4), beta=0.7, alpha=1.3, letters={"A": "mat1", "B": "mat2"}),
        "baddbmm": call(
            real(2, 2, 4), real(2, 2, 3), real(2, 3, 4), beta=0.7, alpha=1.3, letters={"A": "batch1", "B": "batch2"}
        ),
        "bmm": call(real(2, 2, 3), real(2, 3, 4)),
        "dot": call(real(4), real(4)),
        "linear": call(real(3, 4), real(2, 4), real(2)),
        "matmul": call(real(2, 3), real(3, 4)),
        "mm": call(real(2, 3), real(3, 4)),
        "mv": call(real(2, 3), real(3)),
        "outer": call(real(2), real(3), letters={"z": "vec2"}),
        "scaled_dot_product_attention": call(
            real(4, 3), real(5, 3), real(5, 2), real(4, 5), scale=0.7, letters={"Q": "query", "K": "key", "V": "value"}
        ),
        "tensordot": call(real(2, 3), real(3, 4), 1, letters={"a": "a", "b": "b"}),
    },
    "loss": {
        "binary_cross_entropy": call(unit(5), unit(5), positive(5), letters={"N": 5}),
        "binary_cross_entropy_with_logits": call(
            real(5), unit(5), positive(5), pos_weight=np.array(1.7), letters={"N": 5}
        ),
        "cdist": call(real(3, 4), real(2, 4), 3.0, letters=PAIR),
        "cosine_embedding_loss": call(
            real(3), real(3), np.array(-1), -0.9, letters={"a": "input1", "c": "input2", "N": 1}, ranges={"n": 1}
        ),
        "cosine_similarity": call(real(3), real(3), 0, letters=PAIR),
        "cross_entropy": call(real(4, 3), whole(3, 4), positive(3)),
        "huber_loss": call(real(9), real(9), delta=0.7, weight=positive(9), letters={"N": 9}),
        "kl_div": call(real(5), positive(5), letters={"N": 5}),
        "l1_loss": call(real(5), real(5), weight=positive(5)),
        "margin_ranking_loss": call(
            real(9), real(9), RNG.choice([-1, 1], 9), 0.7, letters={"a": "input1", "c": "input2", "N": 9}
        ),
        "mse_loss": call(real(5), real(5), weight=positive(5)),
        "nll_loss": call(real(4, 3), whole(3, 4), positive(3)),
        "pairwise_distance": call(real(3, 4), real(3, 4), 3.0, 0.1, letters=PAIR),
        "smooth_l1_loss": call(real(9), real(9), beta=0.7, letters={"N": 9}),
        "triplet_margin_loss": call(
            real(1, 3),
            real(1, 3),
            real(1, 3),
            9.0,
            eps=0.1,
            letters={"a": "anchor", "q": "positive", "z": "negative", "N": 1, r"\text{where the maximum is not 0}": 1},
        ),
        "binary_cross_entropy_terms": call(unit(5), unit(5)),
        "softmax_cross_entropy": call(real(4, 3), whole(3, 4)),
    },
    "norm": {
        "batch_norm": call(real(5, 1), None, None, real(1), real(1), True, eps=0.1, letters=NORM),
        "group_norm": call(real(1, 1, 5), 1, real(1), real(1), 0.1, letters=NORM),
        "instance_norm": call(real(1, 1, 5), None, None, real(1), real(1), eps=0.1, letters=NORM),
        "layer_norm": call(real(1, 5), 5, real(5), real(5), 0.1, letters=NORM),
        "rms_norm": call(real(1, 5), 5, real(5), 0.1, letters=NORM),
        "standardize": call(real(5), (0,), 0.1, letters=NORM),
    },
    "pool": {
        "avg_pool1d": call(real(1, 7), 3, 2, 1, letters=SLIDE, ranges={"l": 3}, channel=True),
        "avg_pool2d": call(real(1, 5, 6), 3, 2, 1, letters=SLIDE, ranges={"l": 3, "m": 3}, channel=True),
        "avg_pool3d": call(real(1, 4, 5, 4), 2, 1, 1, letters=SLIDE, ranges={r"\mathbf{l}": (2, 2, 2)}, channel=True),
        "max_pool1d": call(x := grid(1, 9), 3, 3, 0, 2, letters=argmax(x), ranges={"l": 3}, channel=True),
        "max_pool2d": call(x := grid(1, 6, 8), 3, 3, 0, 2, letters=argmax(x), ranges={"l": 3, "m": 3}, channel=True),
        "max_pool3d": call(
            x := grid(1, 4, 6, 4), 2, 3, 0, 2, letters=argmax(x), ranges={r"\mathbf{l}": (2, 2, 2)}, channel=True
        ),
    },
    "reduce": {
        **{name: call(whole(2, 4)) for name in ("all", "any", "count_nonzero")},
        **{name: call(whole(3, 9) * 1.0) for name in ("amax", "amin", "max", "min")},
        **{name: call(real(5), 0) for name in ("cumprod", "cumsum", "logsumexp", "prod")},
        "mean": call(real(5), letters=NORM),
        "norm": call(real(5), 3),
        "normalize": call(real(5), 3.0, 0),
        "std": call(real(5), correction=2, letters=NORM),
        "sum": call(real(5)),
        "trace": call(real(3, 3)),
        "var": call(real(5), correction=2, letters=NORM),
        "vector_norm": call(real(5), 3),
        "recurrence": call(real(5), real(5), 0, letters={"f": "factor"}),
    },
    "shape": {
        "cat": call([real(3), real(3)], letters={"x": "tensors", "n": np.array([3, 3])}),
        "chunk": call(real(6), 2, letters={"L": 6}),
        "diagonal": call(real(3, 4), -1),
        "diag": call(real(3, 4), -1),
        "flatten": call(real(2, 3), letters={"N": 3}),
        "flip": call(real(5), 0, letters={"L": 5}),
        "hstack": call([real(2, 3), real(2, 3)], letters={"x": "tensors", "n": np.array([3, 3])}),
        "meshgrid": call(real(3), real(3), letters={"x": "tensors"}),
        "narrow": call(real(7), 0, 2, 3),
        "pad": call(real(4), (2, 3), value=0.5, letters={"p": 2, "L": 4}),
        "pixel_shuffle": call(real(8, 2, 3), 2, ranges={"a": 2, "b": 2, "c": 2, "i": 2, "j": 3}),
        "pixel_unshuffle": call(real(2, 4, 6), 2, ranges={"a": 2, "b": 2, "c": 2, "i": 2, "j": 3}),
        "ravel": call(real(2, 3), letters={"N": 3}),
        "repeat": call(real(3), 2, letters={"L": 3}),
        "repeat_interleave": call(real(3), 2),
        "roll": call(real(5), 2, 0, letters={"L": 5}),
        "select": call(real(5), 0, 2),
        "squeeze": call(real(2, 1, 3), 1),
        "stack": call([real(3), real(3)], letters={"x": "tensors"}),
        "swapaxes": call(real(2, 3), 0, 1),
        "tile": call(real(3), (2,), letters={"L": 3}),
        "transpose": call(real(2, 3), 0, 1),
        "tril": call(real(4, 4), 1),
        "triu": call(real(4, 4), 1),
        "unbind": call(real(2, 3)),
        "unflatten": call(real(6), 0, (2, 3), letters={"N": 3}),
        "unsqueeze": call(real(2, 3), 1),
        "vstack": call([real(3, 2), real(3, 2)], letters={"x": "tensors", "n": np.array([3, 3])}),
        "diagonal_into": call(real(2), (3, 4), -1, 0, 1),
    },
    "trigonometry": {"acos": call(unit(5)), "asin": call(unit(5))},
    "linalg": {
        "norm": call(real(5), 3),
        "svdvals": call(
            a := real(3, 3), letters=dict(zip("USV", np.linalg.svd(a), strict=True)) | {"V": np.linalg.svd(a)[2].T}
        ),
    },
    "recording": {"cast": call(real(3), np.float64)},
}.items():
    CALLS |= {(family, name): row for name, row in calls.items()}

WORDS = "says in words which elements are meant"
SET = "the elements of a window, as a set"
LISTED = "one formula for each element of a list of unlike arrays"
PLACES = "positions that are flat, or made of several letters"
CASES = "one call shows one of its cases"
READ: dict[tuple[str, str], str] = {}
for family, reasons in {
    "comparison": dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor"), "bits"),
    "elementwise": {"div": CASES, "true_divide": CASES, "erf": "an integral"},
    "index": {
        **dict.fromkeys(("argsort", "getitem", "scatter_into", "unique", "index_put", "scatter"), WORDS),
        "scatter_reduce": CASES,
        **dict.fromkeys(("masked_select", "nonzero"), "a sequence of the elements for which something holds"),
    },
    "linear": {"einsum": "which letters there are depends on the equation"},
    "norm": {"batch_norm": CASES, "local_response_norm": SET},
    "pool": {
        **{f"adaptive_{kind}_pool{d}d": SET for kind in ("avg", "max") for d in (1, 2, 3)},
        **dict.fromkeys(("adaptive_max_pool_indices", "avg_pool_input", "max_pool_indices"), SET),
        **dict.fromkeys(("max_pool_gather", "max_pool_scatter"), "the tap of an offset"),
    },
    "reduce": {
        **dict.fromkeys(("argmax", "argmin"), "the first place of a set"),
        **dict.fromkeys(("max", "min"), CASES),
        **dict.fromkeys(("std_mean", "var_mean"), "two results: what std, var and mean say"),
    },
    "shape": {
        **dict.fromkeys(("broadcast_tensors", "meshgrid", "split"), LISTED),
        **dict.fromkeys(("expand", "fold", "movedim", "permute", "reshape", "unfold"), PLACES),
        **dict.fromkeys(("diag", "pad", "interpolate"), CASES),
    },
    "trigonometry": {"sinc_family": "spherical Bessel functions"},
    "linalg": {
        "matrix_norm": CASES,
        **dict.fromkeys(("left_vectors", "right_vectors"), "says of y what A is made of; 0/0 stands for 0"),
    },
    "recording": dict.fromkeys(("broadcast_to", "sum_to"), PLACES),
}.items():
    READ |= {(family, name): reason for name, reason in reasons.items()}


def numbers(key: tuple[str, str], call: Call) -> Numbers:
    """The numbers behind the letters of an op's formulas: what the call was given, what came out, and the gradients."""
    entry = ENTRIES[key]
    bound = inspect.signature(entry.call).bind(*call.args, **call.kwargs)
    bound.apply_defaults()
    leaves: dict[int, tg.Tensor] = {}

    def tensor(value: Any) -> Any:
        if isinstance(value, list):
            return [tensor(v) for v in value]
        if not isinstance(value, np.ndarray):
            return value
        return leaves.setdefault(id(value), tg.Tensor(value.copy()).requires_grad_(value.dtype.kind == "f"))

    def shown(value: Any) -> Any:
        """A value as the formula has it: the arrays of a list as one, and of one channel without the channel."""
        whole = np.stack(value) if isinstance(value, list) else value
        return whole[0] if call.channel and isinstance(whole, np.ndarray) else 1.0 if whole is None else whole

    def gradient(value: Any) -> Any:
        return [gradient(v) for v in value] if isinstance(value, list) else leaves[id(value)].grad.array

    tg.manual_seed(0)
    out = entry.function(*map(tensor, call.args), **{name: tensor(value) for name, value in call.kwargs.items()})
    if key[1] in ("sort", "topk"):
        out = out.values
    outs = [tg.as_tensor(o) for o in (out if isinstance(out, tuple | list) else [out])]
    grads = [np.asarray(real(*o.shape)) for o in outs]
    if outs[0].requires_grad:
        tg.autograd.backward(outs, [tg.Tensor(g) for g in grads])
    ys = [o.array for o in outs]
    y, g = (shown(ys), shown(grads)) if isinstance(out, tuple | list) else (shown(ys[0]), shown(grads[0]))

    values = {"y": y, "g": g}
    letters = {letter: text for letter, text in formulas.LETTERS.items() if isinstance(text, str)}
    letters |= formulas.LETTERS.get(key[0], {})
    letters = {letter: text.strip("`") for letter, text in letters.items()} | call.letters
    for letter, argument in ({n: n for n in bound.arguments if len(n) == 1} | letters).items():
        if not isinstance(argument, str):
            values[letter] = argument(y) if callable(argument) else argument
        elif argument in bound.arguments:
            values[letter] = shown(bound.arguments[argument])
    for name, value in bound.arguments.items():
        values[f"@{name}"] = shown(value)
        first = tensor(value[0] if isinstance(value, list) else value)
        if isinstance(first, tg.Tensor) and first.grad is not None:
            for letter in [
                f"@{name}",
                *(letter for letter, text in letters.items() if isinstance(text, str) and text == name),
                name,
            ]:
                values[f"bar {letter}"] = shown(gradient(value))
    return Numbers(values, call.ranges, matrices=key[0] in ("linear", "linalg"))


def call_of(key: tuple[str, str]) -> Call:
    two = "other" in inspect.signature(ENTRIES[key].call).parameters
    return CALLS.get(key) or call(real(3, 4), *([real(3, 4)] if two else []))


@pytest.mark.filterwarnings("ignore:kl_div")  # its mean is not the divergence
@pytest.mark.parametrize("key", ENTRIES, ids=".".join)
def test_a_formula_is_what_the_op_computes(key: tuple[str, str]) -> None:
    """Each line says y or a gradient, as the code has it; for ops in READ, each line that says it in signs."""
    if key in READ and key not in CALLS:
        return
    known = numbers(key, call_of(key))
    unread: dict[str, str] = {}
    lines: dict[str, Any] = {}
    for tex in formulas.TABLE[key[0]][key[1]]:
        try:
            lines[tex], remarks = statements(tex)
        except SyntaxError as error:
            unread[tex] = str(error)
            continue
        if other := [remark for remark in remarks if ALTERNATIVE.search(remark)]:
            unread[tex] = f"also says {other}"
    for left, right in [equation for equations in lines.values() for equation in equations]:
        if left[0] == "apply" or known.subject(left) not in known.values:
            known.define(left, right)
    for tex, equations in lines.items():
        said = [equation for equation in equations if known.subject(equation[0]) in known.values]
        try:
            assert all(known.holds(*equation) for equation in said), f"the code computes something else than {tex}"
        except LookupError as error:
            unread[tex] = repr(error)
        if not said:
            unread[tex] = "says nothing of y or a gradient"
    assert bool(unread) == (key in READ), unread or f"{key} need not be read"


def test_every_call_and_every_reason_belongs_to_an_op() -> None:
    assert not {*CALLS, *READ} - set(ENTRIES)


@pytest.mark.parametrize(
    ("key", "right", "wrong"),
    [
        (("elementwise", "mul"), r"g\,o", r"g\,x"),
        (("activation", "silu"), r"(1 - \sigma(x))", r"(1 + \sigma(x))"),
        (("reduce", "cumprod"), r"j \le i, \, j", r"j < i, \, j"),
        (("conv", "conv3d"), r"[\mathbf{u} = s", r"[\mathbf{u} = d"),
        (("loss", "cross_entropy"), "[c = t_n]", "[c \\ne t_n]"),
        (("shape", "pixel_shuffle"), "r a + b", "r b + a"),
        (("pool", "max_pool2d"), "(u, v)", "(v, u)"),
        (("elementwise", "erf"), "g\\,", "2 g\\,"),
    ],
    ids=str,
)
def test_a_wrong_formula_is_found(
    key: tuple[str, str], right: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = formulas.TABLE[key[0]][key[1]]
    assert right in "".join(lines)
    monkeypatch.setitem(formulas.TABLE[key[0]], key[1], [line.replace(right, wrong) for line in lines])
    with pytest.raises(AssertionError, match="the code computes something else"):
        test_a_formula_is_what_the_op_computes(key)

"""The arithmetic of one call of an op, forward and backward, from its shapes and parameters alone.

The rules of counting:

- MACs are multiply-accumulates: of convolutions, linear layers, matmul and einsum. Padding counts, as is usual.
- FLOPs: two for a MAC, one for the addition of a bias, one per result element of an element-wise function (exp and
  comparisons too), n - 1 for a sum or a maximum of n, none for copies, views and picks.
- Backward FLOPs are those of the ops that the gradient rules call, for the arguments that get a gradient. Where a
  rule looks at the values (`prod`, `cumprod`), they are those of values without zeros.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from itertools import zip_longest

from tinygrad_cnn.graph.graph import GraphNode

__all__ = ["backward_flops", "flops", "macs"]

Shape = tuple[int, ...]
_PRODUCTS = ("conv", "linear", "matmul", "addmm", "baddbmm", "einsum")


class Call:
    """A call as the formulas see it: how many elements there are, `out` in the result and `n` in the first array.

    k: the elements that go into one result, of a window or of a reduction. groups: n / k.
    """

    def __init__(self, node: GraphNode) -> None:
        self.node = node
        self.shapes = {name: shape for name, shape, _ in node.operands}
        self.out = node.size
        self.n = math.prod(node.operands[0][1]) if node.operands else 0
        self.k = _window(node, self.n, self.out)
        self.groups = self.n // max(self.k, 1)

    def has(self, name: str) -> bool:
        """Whether an argument is an array or a number, and not None."""
        return name in self.shapes

    def size(self, *names: str) -> int:
        """The elements of an argument, or of several that broadcast."""
        return math.prod(_broadcast(*(self.shapes.get(name, ()) for name in names)))

    def is_number(self, name: str) -> bool:
        """Whether an argument is a plain number that gets no gradient."""
        return (name, (), False) in self.node.operands


def _broadcast(*shapes: Shape) -> Shape:
    columns = zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1)
    return tuple(0 if 0 in lengths else max(lengths) for lengths in columns)[::-1]


def _window(node: GraphNode, size: int, out: int) -> int:
    """The elements in a pool's window, or those that go into one result of a reduction."""
    kernel = node.params.get("kernel_size")
    shape = node.operands[0][1] if node.operands else ()
    if kernel is not None:
        return math.prod(kernel) if isinstance(kernel, tuple) else int(kernel) ** max(len(node.shape) - 2, 1)
    if node.name in ("softmax", "log_softmax", "softmax_cross_entropy", "standardize") and shape:
        dim = node.params.get("dim")
        dims = dim if isinstance(dim, tuple) else (1 if dim is None else dim,)
        return math.prod(shape[d] for d in dims if -len(shape) <= d < len(shape))
    if node.name == "batch_norm" and len(shape) > 1:
        return size // max(shape[1], 1)
    return size // max(out, 1)


def _is_product(node: GraphNode) -> bool:
    return node.name.startswith(_PRODUCTS) and node.family == "convolution, linear"


# ---- MACs --------------------------------------------------------------------------------------------------


def macs(node: GraphNode) -> int:
    """The multiply-accumulates of one call, 0 for an op that is made of none."""
    shapes = {name: shape for name, shape, _ in node.operands}
    name = node.name
    if name in ("conv_input", "conv_weight"):
        windows = shapes["grad"]  # the result of the convolution whose adjoint this is
        kernel = shapes["weight"] if name == "conv_input" else node.shape
        return math.prod(windows) * math.prod(kernel[1:])
    if name.startswith("conv_transpose"):
        return math.prod(shapes["input"]) * math.prod(shapes["weight"][1:])
    if name.startswith("conv"):
        return node.size * math.prod(shapes["weight"][1:])
    if name == "linear":
        return node.size * shapes["weight"][-1]
    if name in ("matmul", "addmm", "baddbmm"):
        first = {"matmul": "input", "addmm": "mat1", "baddbmm": "batch1"}[name]
        return node.size * shapes[first][-1]
    if name == "einsum":
        equation = str(node.params["equation"])
        return _einsum_macs(equation, [shape for _, shape, _ in node.operands])
    return 0


def _einsum_macs(equation: str, shapes: Sequence[Shape]) -> int:
    """The product of the lengths of all letters, for each multiplication that the operands make."""
    return math.prod(_lengths(equation, shapes).values()) * (len(shapes) - 1)


def _lengths(equation: str, shapes: Sequence[Shape]) -> dict[str, int]:
    """The length of each letter's dimension."""
    lengths: dict[str, int] = {}
    for term, shape in zip(equation.partition("->")[0].split(","), shapes, strict=True):
        for letter, n in zip(term.strip(), shape, strict=True):
            lengths[letter] = max(n, lengths.get(letter, 1))
    return lengths


# ---- forward -----------------------------------------------------------------------------------------------

# FLOPs per element of element-wise ops that are not 1.
_PER_ELEMENT = {"clone": 0, "cast": 0, "lerp": 3, "isclose": 4, "broadcast_to": 0, "dropout": 1}


def flops(node: GraphNode) -> int | None:
    """The FLOPs of one call in the forward pass; None for an op that is not the package's."""
    call = Call(node)
    if _is_product(node):
        if node.name == "einsum" and len(node.operands) == 1:
            letters = _lengths(str(node.params["equation"]), [node.operands[0][1]])
            return math.prod(letters.values()) - node.size  # a sum
        adds = call.has("bias") or node.name in ("addmm", "baddbmm")
        return 2 * macs(node) + (node.size if adds else 0)
    if node.name in _FORWARD:
        return _FORWARD[node.name](call)
    if node.family in ("element-wise", "activation"):
        return node.size * _PER_ELEMENT.get(node.name, 1)
    return None if node.family == "other op" else 0


def _vector_norm(c: Call) -> int:
    order = c.node.params.get("ord", 2)
    if order == 2:
        return 2 * c.n  # squares, sums, roots
    # sizes (or comparisons with 0), and sums or extremes; other orders take powers before and roots after
    return 2 * c.n - c.out if order in (0, 1, math.inf, -math.inf) else 3 * c.n


def _reduction(c: Call) -> str:
    return str(c.node.params.get("reduction", "none"))


def _has_arrays(c: Call) -> bool:
    """Whether an index has arrays in it: then positions may occur twice, and what comes to them is added."""
    index = c.node.params.get("index")
    return any(isinstance(item, str) and "(" in item for item in (index if isinstance(index, tuple) else (index,)))


_FORWARD: dict[str, Callable[[Call], int]] = {
    "sum": lambda c: c.n - c.out,
    "sum_to": lambda c: c.n - c.out,
    "mean": lambda c: c.n,
    "prod": lambda c: c.n - c.out,
    "cumsum": lambda c: c.n,
    "cumprod": lambda c: c.n,
    "recurrence": lambda c: 2 * c.n,
    "amax": lambda c: c.n - c.out,
    "amin": lambda c: c.n - c.out,
    "argmax": lambda c: c.n - c.out,
    "argmin": lambda c: c.n - c.out,
    "var": lambda c: 4 * c.n,  # mean, differences, squares, mean
    "std": lambda c: 4 * c.n + c.out,
    "logsumexp": lambda c: 4 * c.n,  # maximum, differences, exp, sum, log, and the maximum again
    "vector_norm": _vector_norm,
    "softmax": lambda c: 5 * c.n - 2 * c.groups,
    "log_softmax": lambda c: 5 * c.n - c.groups,
    "softmax_cross_entropy": lambda c: 4 * c.n + {"mean": c.groups, "sum": c.groups - 1}.get(_reduction(c), 0),
    "binary_cross_entropy_terms": lambda c: 9 * c.out,
    "standardize": lambda c: 5 * c.n + 2 * c.groups,  # mean, differences, squares, mean, + eps, root, quotients
    "batch_norm": lambda c: (5 + c.has("weight") + c.has("bias")) * c.n + 2 * c.groups,
    "max_pool1d": lambda c: c.out * (c.k - 1),
    "max_pool2d": lambda c: c.out * (c.k - 1),
    "max_pool3d": lambda c: c.out * (c.k - 1),
    "max_pool_indices": lambda c: c.out * (c.k - 1),
    "avg_pool1d": lambda c: c.out * c.k,
    "avg_pool2d": lambda c: c.out * c.k,
    "avg_pool3d": lambda c: c.out * c.k,
    "avg_pool_input": lambda c: c.n * c.k,
    "max_pool_scatter": lambda c: c.n,
    "scatter_into": lambda c: c.n if _has_arrays(c) else 0,
    "scatter_add": lambda c: c.size("index"),
    "scatter_reduce": lambda c: c.size("index"),
    "index_add": lambda c: c.size("source") * (1 if c.node.params.get("alpha", 1) == 1 else 2),
}


# ---- backward ----------------------------------------------------------------------------------------------


def backward_flops(node: GraphNode) -> int:
    """The FLOPs of the gradient rules of one call, for those arguments that get a gradient."""
    call = Call(node)
    return sum(_of_argument(call, i, name) for i, (name, _, wanted) in enumerate(node.operands) if wanted)


def _of_argument(c: Call, i: int, name: str) -> int:
    node = c.node
    if _is_product(node):
        return _of_product(c, i, name)
    rule = _BACKWARD.get(f"{node.name}.{name}", _BACKWARD.get(node.name))
    if rule is not None:
        found = rule(c)
    elif node.family in ("element-wise", "activation"):
        found = c.out
    else:
        return 0
    is_summed = node.family in ("element-wise", "activation") or node.name == "binary_cross_entropy_terms"
    return found + (max(c.out - c.size(name), 0) if is_summed else 0)  # summed to the argument's shape


def _of_product(c: Call, i: int, name: str) -> int:
    node = c.node
    if name == "bias":
        return c.out - c.size("bias")
    if node.name == "einsum":
        return _of_einsum(c, i)
    if node.name == "matmul":
        return 2 * macs(node) + _summed_batches(c, name)
    if name in ("input", "grad") and (node.name.startswith("conv_transpose") or node.name == "conv_input"):
        return 2 * _convolution_back(c, name)
    if node.name in ("addmm", "baddbmm") and name == "input":
        return c.out - c.size("input")
    return 2 * macs(node)


def _summed_batches(c: Call, name: str) -> int:
    """What it takes to sum a matrix product's gradient over the batches along which the argument was broadcast."""
    own, others = c.shapes[name], c.shapes["other" if name == "input" else "input"]
    if name == "other" and len(own) <= 2:
        return 0  # the sum is part of one large product
    batches = _broadcast(own[:-2], others[:-2])
    return max(math.prod(batches) * math.prod(own[-2:]) - math.prod(own), 0)


def _convolution_back(c: Call, name: str) -> int:
    """The MACs of the convolution whose adjoint the op is: with an output_padding it gives more than was put in."""
    params, kernel = c.node.params, c.shapes["weight"][2:]
    spatial = len(kernel)
    if isinstance(params.get("padding"), str):
        return macs(c.node)
    stride, padding, dilation = (_each(params.get(key, rest), spatial)
                                 for key, rest in (("stride", 1), ("padding", 0), ("dilation", 1)))  # fmt: skip
    lengths = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(c.node.shape[-spatial:], kernel, stride, padding, dilation, strict=True)
    ]
    leading = c.shapes[name][:-spatial]
    return math.prod(leading) * math.prod(lengths) * math.prod(c.shapes["weight"][1:])


def _each(value: int | tuple[int, ...], n: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (int(value),) * n


def _of_einsum(c: Call, index: int) -> int:
    """The einsum of the gradient with the other operands, to the letters of this one, and the sum over broadcasts."""
    equation = str(c.node.params["equation"])
    shapes = [shape for _, shape, _ in c.node.operands]
    terms, out = equation.split("->")
    letters = terms.split(",")
    lengths = _lengths(equation, shapes)
    rest = [i for i in range(len(shapes)) if i != index]
    inputs, sizes = [out, *(letters[i] for i in rest)], [c.node.shape, *(shapes[i] for i in rest)]
    fresh = iter(sorted(set(string.ascii_letters) - set(equation)))
    target = ""
    for letter, n in zip(letters[index], shapes[index], strict=True):
        if letter in target:
            letter, first = next(fresh), letter
            inputs.append(first + letter)
            sizes.append((lengths[first], n))
        elif not any(letter in term for term in inputs):
            inputs.append(letter)
            sizes.append((lengths[letter],))
        target += letter
    full = _lengths(",".join(inputs), sizes)
    made = math.prod(max(full[letter], n) for letter, n in zip(target, shapes[index], strict=True))
    if len(inputs) == 1:
        work = math.prod(full.values()) - math.prod(full[letter] for letter in target)
    else:
        work = 2 * _einsum_macs(",".join(inputs), sizes)
    return work + made - math.prod(shapes[index])


def _pow_input(c: Call) -> int:
    if c.is_number("exponent"):
        return 3 * c.out
    return c.size("input") + 2 * c.size("exponent") + 5 * c.out


def _pow_exponent(c: Call) -> int:
    return (0 if c.is_number("input") else c.size("input")) + c.size("exponent") + 5 * c.out


def _clamp(bound: str, other: str) -> Callable[[Call], int]:
    def rule(c: Call) -> int:
        both = c.size("min", "max") + c.out if c.has(other) else 0
        return c.size("input", bound) + both + c.out

    return rule


def _clamp_input(c: Call) -> int:
    bounds = [name for name in ("min", "max") if c.has(name)]
    return sum(c.size("input", name) for name in bounds) + c.out * len(bounds)


def _vector_norm_back(c: Call) -> int:
    order = c.node.params.get("ord", 2)
    if order == 2:
        return c.n + 3 * c.out  # input · g / norm, where that is not 0
    return c.n if order in (0, 1, math.inf, -math.inf) else 6 * c.n + 3 * c.out


def _batch_norm_input(c: Call) -> int:
    return (16 + c.has("weight")) * c.n + 4 * c.groups


def _singular_values(c: Call) -> int:
    *batches, m, n = c.shapes["A"]
    return math.prod(batches) * min(m, n) * (m + 2 * m * n)  # U · g, and its product with Vᵀ


def _singular_vectors(side: int) -> Callable[[Call], int]:
    """For U (-2) or V (-1): products of size K x K, the gaps, and what lies beyond the vectors of a long matrix."""

    def rule(c: Call) -> int:
        *batches, m, n = shape = c.shapes["A"]
        k, long = min(m, n), shape[side]
        beyond = 2 * k * k * long + 2 * k * long if long > k else 0
        return math.prod(batches) * (k * (6 * k + 1) + long * k * (4 * k + 1) + beyond + 2 * m * n * k)

    return rule


def _per_element(count: int) -> Callable[[Call], int]:
    return lambda c: count * c.out


# Of each op, or of each of its arguments, what the gradient rule takes; where an element-wise op is not here, one FLOP
# for each element of the result.
_BACKWARD: dict[str, Callable[[Call], int]] = {
    "svdvals": _singular_values, "left_vectors": _singular_vectors(-2), "right_vectors": _singular_vectors(-1),
    **{name: _per_element(count) for name, count in {
        "abs": 2, "acos": 5, "add": 0, "asin": 4, "atan": 3, "cast": 0, "clone": 0, "cos": 3, "cosh": 2, "div.input": 1,
        "div.other": 4, "erf": 5, "exp2": 2, "expm1": 2, "gelu": 11, "hardshrink": 3, "hardsigmoid": 5, "hardswish": 7,
        "hardtanh": 4, "leaky_relu": 3, "log10": 2, "log1p": 2, "log2": 2, "logaddexp": 3, "logsigmoid": 3,
        "maximum": 5, "minimum": 5, "mish": 9, "nan_to_num": 2, "reciprocal": 3, "relu": 2, "remainder.input": 0,
        "remainder.other": 3, "rsqrt": 4, "scaled_elu": 9, "sigmoid": 3, "silu": 6, "sin": 2, "sinc": 5,
        "sinc_family": 4, "sinh": 2, "softplus": 5, "softshrink": 3, "sqrt": 2, "square": 2, "sub.input": 0,
        "sub.other": 1, "tan": 3, "tanh": 3, "tanhshrink": 3, "threshold": 2,
    }.items()},
    "pow.input": _pow_input,
    "pow.exponent": _pow_exponent,
    "atan2.input": lambda c: c.size("input") + c.size("other") + 7 * c.out,
    "atan2.other": lambda c: 2 * c.size("input") + c.size("other") + 7 * c.out,
    "lerp.input": lambda c: c.size("weight") + c.out,
    "lerp.end": lambda c: c.out,
    "lerp.weight": lambda c: c.size("input", "end") + c.out,
    "clamp.input": _clamp_input,
    "clamp.min": _clamp("min", "max"),
    "clamp.max": _clamp("max", "min"),
    "binary_cross_entropy_terms.input": lambda c: 3 * c.out + 3 * c.size("input"),
    "binary_cross_entropy_terms.target": lambda c: c.out + 6 * c.size("input"),
    "mean": lambda c: c.out,
    "prod": lambda c: c.n + c.out,
    "cumsum": lambda c: c.n,
    "cumprod": lambda c: 3 * c.n,
    "recurrence.input": lambda c: 2 * c.out,
    "recurrence.factor": lambda c: 3 * c.out,
    "amax": lambda c: c.n,
    "amin": lambda c: c.n,
    "var": lambda c: 3 * c.n + c.out,
    "std": lambda c: 3 * c.n + 5 * c.out,
    "logsumexp": lambda c: 3 * c.n,
    "vector_norm": _vector_norm_back,
    "softmax": lambda c: 4 * c.n - c.groups,
    "log_softmax": lambda c: 4 * c.n - c.groups,
    "softmax_cross_entropy": lambda c: 9 * c.n - 2 * c.groups + (_reduction(c) == "mean"),
    "standardize": lambda c: 11 * c.n + 2 * c.groups,
    "batch_norm.input": _batch_norm_input,
    "batch_norm.weight": lambda c: 7 * c.n + c.groups,
    "batch_norm.bias": lambda c: c.n - c.groups,
    "avg_pool1d": lambda c: c.out * c.k,
    "avg_pool2d": lambda c: c.out * c.k,
    "avg_pool3d": lambda c: c.out * c.k,
    "avg_pool_input": lambda c: c.n * c.k,
    "max_pool1d": lambda c: c.out,
    "max_pool2d": lambda c: c.out,
    "max_pool3d": lambda c: c.out,
    "max_pool_gather": lambda c: c.out,
    "repeat": lambda c: c.out - c.n,
    "broadcast_to": lambda c: c.out - c.n,
    "getitem": lambda c: c.out if _has_arrays(c) else 0,
    "gather": lambda c: c.out,
    "scatter_reduce.input": lambda c: c.out,
    "scatter_reduce.src": lambda c: c.size("index"),
    "index_select": lambda c: c.out,
    "index_add.source": lambda c: 0 if c.node.params.get("alpha", 1) == 1 else c.size("source"),
    "embedding": lambda c: c.out * sum(  # one for each step of the rule
        [1, c.node.params["padding_idx"] is not None, c.node.params["scale_grad_by_freq"]]
    ),
}  # fmt: skip

"""What each node of a graph costs: arithmetic, bytes, and what it sees of the input. All from shapes, without running.

The rules of counting:

- MACs are multiply-accumulates: of convolutions, linear layers, matmul and einsum. Padding counts, as is usual.
- FLOPs: two for a MAC, one for the addition of a bias, one per result element of an element-wise function (exp and
  comparisons too), n - 1 for a sum or a maximum of n, none for copies, views and picks.
- Backward FLOPs are those of the ops that the gradient rules call, for the arguments that get a gradient.
- A block of memory is counted once, at the node that makes it, or that saves it first; views cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tinygrad_cnn.graph.graph import Graph, GraphNode

__all__ = ["Cost", "Totals", "costs_of", "receptive_fields", "totals_of"]

Shape = tuple[int, ...]
MAC_OPS = ("conv", "linear", "matmul", "addmm", "baddbmm", "einsum")

# FLOPs per element of element-wise ops that are not 1.
_FORWARD = {"clone": 0, "cast": 0, "lerp": 3, "isclose": 4, "broadcast_to": 0, "dropout": 1}
# FLOPs per element of what the gradient rules of element-wise ops call, an argument each; others take 1.
_BACKWARD: dict[str, tuple[int, ...]] = {
    "abs": (2,), "acos": (5,), "add": (0, 0), "asin": (4,), "atan": (3,), "atan2": (9, 10), "cast": (0,),
    "clamp": (4, 4, 4), "clone": (0,), "cos": (3,), "cosh": (2,), "div": (1, 4), "erf": (5,), "exp2": (2,),
    "expm1": (2,), "gelu": (11,), "hardshrink": (3,), "hardsigmoid": (5,), "hardswish": (7,), "hardtanh": (4,),
    "leaky_relu": (3,), "lerp": (2, 1, 2), "log10": (2,), "log1p": (2,), "log2": (2,), "logaddexp": (3, 3),
    "logsigmoid": (3,), "maximum": (5, 5), "minimum": (5, 5), "mish": (9,), "nan_to_num": (2,), "pow": (8, 7),
    "reciprocal": (3,), "relu": (2,), "remainder": (0, 3), "rsqrt": (4,), "sigmoid": (3,), "silu": (6,), "sin": (2,),
    "sinc": (5,), "sinh": (2,), "softplus": (5,), "softshrink": (3,), "sqrt": (2,), "square": (2,), "sub": (0, 1),
    "tan": (3,), "tanh": (3,),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """The costs of one op. parameters: elements of those that go straight into it, and that no earlier op used.

    macs, flops: of the forward pass; backward_flops: of its gradient rules. activation_bytes: of the memory that its
    result takes; saved_bytes: of the memory that backward needs, and that no earlier op saved. counted: whether the
    op is one whose arithmetic is known.
    """

    parameters: int = 0
    macs: int = 0
    flops: int = 0
    backward_flops: int = 0
    activation_bytes: int = 0
    saved_bytes: int = 0
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Totals:
    """The costs of a whole graph. peak_bytes: the most memory that one training step holds at a time, estimated.

    It counts inputs, parameters and their gradients, results that are still needed, what backward saved, and the
    gradients under way; not what kernels need for themselves, nor an optimizer's state.
    """

    parameters: int
    trainable: int
    macs: int
    flops: int
    backward_flops: int
    activation_bytes: int
    saved_bytes: int
    parameter_bytes: int
    input_bytes: int
    peak_bytes: int


def costs_of(graph: Graph) -> dict[int, Cost]:
    """The costs of each op, by the number of its node."""
    seen: set[int] = set()
    made: set[int] = {0}
    saved: set[int] = {0}
    result = {}
    for node in graph.ops:
        parameters = [p for p in graph.parameters_of([node]) if p.id not in seen]
        seen |= {p.id for p in parameters}
        new = {block: size for _, block, size in node.saved if block not in saved}
        saved |= set(new)
        fresh = node.block not in made
        if node.block > 0:
            made.add(node.block)
        forward = flops(node)
        result[node.id] = Cost(
            parameters=sum(p.size for p in parameters),
            macs=macs(node),
            flops=forward or 0,
            backward_flops=backward_flops(node),
            activation_bytes=node.nbytes if fresh else 0,
            saved_bytes=sum(new.values()),
            counted=forward is not None,
        )
    return result


def totals_of(graph: Graph) -> Totals:
    """The sums of the costs, and the peak of memory."""
    costs = graph.costs().values()
    parameters = graph.of_kind("parameter")
    sums = {f.name: sum(getattr(c, f.name) for c in costs) for f in fields(Cost) if f.name not in ("counted",)}
    sums["parameters"] = graph.parameter_count
    return Totals(
        trainable=sum(p.size for p in parameters if p.trainable),
        parameter_bytes=sum(p.nbytes for p in parameters),
        input_bytes=sum(x.nbytes for x in graph.of_kind("input")),
        peak_bytes=_peak(graph),
        **sums,
    )


# ---- arithmetic --------------------------------------------------------------------------------------------


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
        inner = next(
            s for key, s in shapes.items() if key in ("mat1", "batch1") or (name == "matmul" and key == "input")
        )
        return node.size * inner[-1]
    if name == "einsum":
        return _einsum_macs(node)
    return 0


def _einsum_macs(node: GraphNode) -> int:
    """The product of the lengths of all indices, for each multiplication that the operands make."""
    lengths: dict[str, int] = {}
    terms = str(node.params.get("equation", "")).partition("->")[0].replace(" ", "").split(",")
    for term, (_, shape, _) in zip(terms, node.operands, strict=False):
        letters = term.replace("...", "")
        lengths |= dict(zip(letters, shape[len(shape) - len(letters) :], strict=False))
    rest = max(
        (
            math.prod(s[: len(s) - len(t.replace("...", ""))])
            for t, (_, s, _) in zip(terms, node.operands, strict=False)
        ),
        default=1,
    )
    return math.prod(lengths.values()) * rest * max(len(node.operands) - 1, 1)


def flops(node: GraphNode) -> int | None:
    """The FLOPs of one call in the forward pass; None for an op that is not the package's."""
    out = node.size
    if node.name.startswith(MAC_OPS) and node.family == "convolution, linear":
        added = any(name in ("bias", "input") and node.name != "matmul" for name, _, _ in node.operands)
        plain = node.name in ("addmm", "baddbmm")
        with_bias = plain or (added and any(name == "bias" for name, _, _ in node.operands))
        return 2 * macs(node) + (out if with_bias else 0)
    size = math.prod(node.operands[0][1]) if node.operands else 0
    if node.name in _WHOLE:
        return _WHOLE[node.name](size, out, _window(node, size, out))
    if node.family in ("element-wise", "activation"):
        return out * _FORWARD.get(node.name, 1)
    if node.family == "other op":
        return None
    return 0


def _window(node: GraphNode, size: int, out: int) -> int:
    """The elements in a pool's window, or those that go into one result of a reduction."""
    kernel = node.params.get("kernel_size")
    if kernel is None:
        dim = node.params.get("dim")
        shape = node.operands[0][1] if node.operands else ()
        if node.name in ("softmax", "log_softmax", "softmax_cross_entropy", "standardize") and shape:
            dims = dim if isinstance(dim, tuple) else (1 if dim is None else dim,)
            return math.prod(shape[d] for d in dims if -len(shape) <= d < len(shape))
        if node.name == "batch_norm" and len(shape) > 1:
            return size // max(shape[1], 1)
        return size // max(out, 1)
    spatial = len(node.shape) - 2
    return math.prod(kernel) if isinstance(kernel, tuple) else int(kernel) ** max(spatial, 1)


# From the sizes of the input and the result, and the elements in a window: FLOPs. Reductions over n take n - 1.
_WHOLE: dict[str, Callable[[int, int, int], int]] = {
    "sum": lambda n, out, k: n - out,
    "sum_to": lambda n, out, k: n - out,
    "mean": lambda n, out, k: n,
    "prod": lambda n, out, k: n - out,
    "cumsum": lambda n, out, k: n,
    "cumprod": lambda n, out, k: n,
    "recurrence": lambda n, out, k: 2 * n,
    "amax": lambda n, out, k: n - out,
    "amin": lambda n, out, k: n - out,
    "argmax": lambda n, out, k: n - out,
    "argmin": lambda n, out, k: n - out,
    "var": lambda n, out, k: 4 * n,
    "std": lambda n, out, k: 4 * n + out,
    "logsumexp": lambda n, out, k: 4 * n,
    "vector_norm": lambda n, out, k: 2 * n,
    "softmax": lambda n, out, k: 5 * n - 2 * (n // max(k, 1)),
    "log_softmax": lambda n, out, k: 5 * n - n // max(k, 1),
    "softmax_cross_entropy": lambda n, out, k: 4 * n,
    "binary_cross_entropy_terms": lambda n, out, k: 6 * n,
    "standardize": lambda n, out, k: 5 * n + 2 * (n // max(k, 1)),
    "batch_norm": lambda n, out, k: 7 * n + 2 * (n // max(k, 1)),
    "max_pool1d": lambda n, out, k: out * (k - 1),
    "max_pool2d": lambda n, out, k: out * (k - 1),
    "max_pool3d": lambda n, out, k: out * (k - 1),
    "max_pool_indices": lambda n, out, k: out * (k - 1),
    "avg_pool1d": lambda n, out, k: out * k,
    "avg_pool2d": lambda n, out, k: out * k,
    "avg_pool3d": lambda n, out, k: out * k,
    "avg_pool_input": lambda n, out, k: n * k,
    "max_pool_scatter": lambda n, out, k: n,
    "scatter_add": lambda n, out, k: n,
    "scatter_into": lambda n, out, k: n,
    "index_add": lambda n, out, k: n,
}


def backward_flops(node: GraphNode) -> int:
    """The FLOPs of the gradient rules of one call, for those arguments that get a gradient."""
    total = 0
    for i, (name, shape, wanted) in enumerate(node.operands):
        if wanted:
            total += _argument_flops(node, i, name, math.prod(shape))
    return total


def _argument_flops(node: GraphNode, i: int, name: str, size: int) -> int:
    out = node.size
    if node.name.startswith(MAC_OPS) and node.family == "convolution, linear":
        return out - size if name == "bias" else 2 * macs(node)
    if node.name in _WHOLE:
        whole = math.prod(node.operands[0][1])
        if i > 0:
            return 2 * out
        rule = _WHOLE_BACKWARD.get(node.name)
        return whole if rule is None else rule(whole, out, _window(node, size, out))
    if node.family in ("element-wise", "activation"):
        per = _BACKWARD.get(node.name, (1,) * (i + 1))
        return out * (per[i] if i < len(per) else 1) + max(out - size, 0)  # summed to the argument's shape
    return 0


_WHOLE_BACKWARD: dict[str, Callable[[int, int, int], int]] = {
    "sum": lambda n, out, k: 0,
    "sum_to": lambda n, out, k: 0,
    "mean": lambda n, out, k: out,
    "var": lambda n, out, k: 3 * n + out,
    "std": lambda n, out, k: 3 * n + 5 * out,
    "logsumexp": lambda n, out, k: 3 * n,
    "vector_norm": lambda n, out, k: n + out,
    "softmax": lambda n, out, k: 4 * n - n // max(k, 1),
    "log_softmax": lambda n, out, k: 4 * n - n // max(k, 1),
    "softmax_cross_entropy": lambda n, out, k: 9 * n - 2 * (n // max(k, 1)),
    "standardize": lambda n, out, k: 9 * n + 2 * (n // max(k, 1)),
    "batch_norm": lambda n, out, k: 15 * n + 2 * (n // max(k, 1)),
    "avg_pool1d": lambda n, out, k: out * k,
    "avg_pool2d": lambda n, out, k: out * k,
    "avg_pool3d": lambda n, out, k: out * k,
    "max_pool1d": lambda n, out, k: out,
    "max_pool2d": lambda n, out, k: out,
    "max_pool3d": lambda n, out, k: out,
}


# ---- memory ------------------------------------------------------------------------------------------------


def _peak(graph: Graph) -> int:
    """The most bytes that one training step holds at a time: forward in order, then backward in the other order."""
    ops = graph.ops
    last_use = {node.id: max((e.target for e in graph.out_of(node)), default=node.id) for node in ops}
    sizes: dict[int, int] = {}
    until: dict[int, int] = {}  # the node after whose forward a block is free
    for node in ops:
        sizes[_block(node)] = max(sizes.get(_block(node), 0), node.nbytes)
        until[_block(node)] = max(until.get(_block(node), 0), last_use[node.id])
    savers: dict[int, int] = {}  # the first node that saves a block: the last one to need it in backward
    for node in ops:
        for _, block, size in node.saved:
            if block:
                savers.setdefault(block, node.id)
                sizes.setdefault(block, size)
    fixed = sum(n.nbytes for n in graph.nodes if n.kind in ("input", "parameter", "buffer"))
    held = fixed
    peak = held
    alive: set[int] = set()
    ending: dict[int, list[int]] = {}
    for block, node_id in until.items():
        if block not in savers:
            ending.setdefault(node_id, []).append(block)
    for node in ops:
        new = {_block(node), *(block for _, block, _ in node.saved if block)} - alive - {0}
        alive |= new
        held += sum(sizes[block] for block in new)
        peak = max(peak, held)
        for block in ending.get(node.id, ()):
            if block in alive:
                alive.discard(block)
                held -= sizes[block]
    return max(peak, _backward_peak(graph, ops, held, savers, sizes, alive))


def _backward_peak(
    graph: Graph, ops: Sequence[GraphNode], held: int, savers: dict[int, int], sizes: dict[int, int], alive: set[int]
) -> int:
    peak = held
    gradients: set[int] = set()
    for node in reversed(ops):
        if not node.tracked:
            continue
        wanted = {e.source for e in graph.into(node) if graph[e.source].tracked} - gradients
        if node.id not in gradients:  # where backward starts
            gradients.add(node.id)
            held += node.nbytes
        gradients |= wanted
        held += sum(graph[i].nbytes for i in wanted)
        peak = max(peak, held)
        held -= node.nbytes
        for block in {block for _, block, _ in node.saved if savers.get(block) == node.id} & alive:
            alive.discard(block)
            held -= sizes[block]
    return peak


def _block(node: GraphNode) -> int:
    return node.block if node.block > 0 else -node.id - 1


# ---- what a node sees --------------------------------------------------------------------------------------


def receptive_fields(graph: Graph) -> dict[int, tuple[int, ...] | None]:
    """For each op how many elements of the input one of its results depends on, along each spatial dimension.

    None: on the whole input, or on something that is no image. Not cut at the input's border. (Batch norm's
    statistics do not count, as is usual.)
    """
    found: dict[int, tuple[list[int], list[float]] | None] = {}
    for node in graph.nodes:
        if node.kind == "input":
            spatial = len(node.shape) - 2
            found[node.id] = ([1] * spatial, [1.0] * spatial) if spatial > 0 and "int" not in node.dtype else None
        elif node.kind == "op":
            sources = [e.source for e in graph.into(node) if graph[e.source].kind in ("input", "op")]
            found[node.id] = _seen(node, [found.get(i) for i in sources])
    return {node.id: None if (field := found[node.id]) is None else tuple(field[0]) for node in graph.ops}


def _seen(node: GraphNode, sources: list[Any]) -> tuple[list[int], list[float]] | None:
    known = [s for s in sources if s is not None]
    if not known or len(known) < len([s for s in sources if s is not None or len(node.shape) > 2]):
        return None
    n = len(known[0][0])
    if len(node.shape) != n + 2 or any(len(s[0]) != n for s in known):
        return None
    sizes = [max(s[0][i] for s in known) for i in range(n)]
    jumps = [max(s[1][i] for s in known) for i in range(n)]
    if node.name.startswith("conv") or "pool" in node.name:
        kernel = _kernel(node, n)
        stride = _tuple(node.params.get("stride"), n) or kernel
        dilation = _tuple(node.params.get("dilation", 1), n) or (1,) * n
        reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        if "transpose" in node.name:
            touched = [-(-(r + 1) // s) - 1 for r, s in zip(reach, stride, strict=True)]
            sizes = [size + int(t * jump) for size, t, jump in zip(sizes, touched, jumps, strict=True)]
            return sizes, [jump / s for jump, s in zip(jumps, stride, strict=True)]
        sizes = [size + int(r * jump) for size, r, jump in zip(sizes, reach, jumps, strict=True)]
        return sizes, [jump * s for jump, s in zip(jumps, stride, strict=True)]
    same = all(node.shape[2:] == shape[2:] for _, shape, _ in node.operands if len(shape) == n + 2)
    return (sizes, jumps) if same else None


def _kernel(node: GraphNode, n: int) -> tuple[int, ...]:
    weights = [shape for name, shape, _ in node.operands if name == "weight"]
    return weights[0][2:] if weights else _tuple(node.params.get("kernel_size", 1), n) or (1,) * n


def _tuple(value: Any, n: int) -> tuple[int, ...] | None:
    if value is None or value == ():
        return None
    return tuple(value) if isinstance(value, tuple) else (int(value),) * n

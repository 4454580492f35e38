"""PyTorch's names that are deliberately not here, or not under that name: what the AttributeError says of them."""

from __future__ import annotations

__all__ = ["ABSENT", "absent"]

_ATTENTION = "nn.functional.scaled_dot_product_attention is what there is of attention"
_RECURRENT = "there are no recurrent layers"
_SINGLE = "there is func.per_sample_grad for the gradients of single samples"
_OPTIMIZERS = "there are optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad and optim.Adadelta"
_ONE_NAME = "each op has one name: "

# PyTorch's name, below `torch`: a sentence. The names in it are below `tinygrad_cnn`.
ABSENT = {
    "Size": "a shape is a plain tuple",
    "absolute": f"{_ONE_NAME}abs",
    "asarray": "use as_tensor",
    "autograd.Function": "write the kernel as a function under @autograd.op, with one gradient rule per argument",
    "autograd.detect_anomaly": "use trap, which stops at the first NaN or infinity, in forward and in backward",
    "autograd.forward_ad": "use func.jvp",
    "autograd.functional": "use func.vjp, func.jvp, func.jacrev, func.hessian or func.hvp",
    "autograd.gradcheck": "use testing.gradcheck",
    "autograd.gradgradcheck": "use testing.gradcheck with order=2",
    "autograd.set_detect_anomaly": "use trap, which stops at the first NaN or infinity, in forward and in backward",
    "compile": "nothing is to be compiled: the kernels are",
    "concat": f"{_ONE_NAME}cat",
    "concatenate": f"{_ONE_NAME}cat",
    "divide": f"{_ONE_NAME}div",
    "func.functional_call": "a module is called with its own parameters; load_state_dict gives it others",
    "func.jacfwd": "use func.jacrev",
    "func.vmap": _SINGLE,
    "get_default_dtype": "it is float32, always; creation functions take a dtype",
    "greater": f"{_ONE_NAME}gt",
    "greater_equal": f"{_ONE_NAME}ge",
    "jit": "nothing is to be compiled: the kernels are",
    "less": f"{_ONE_NAME}lt",
    "less_equal": f"{_ONE_NAME}le",
    "moveaxis": f"{_ONE_NAME}movedim",
    "multiply": f"{_ONE_NAME}mul",
    "negative": f"{_ONE_NAME}neg",
    "nn.GRU": _RECURRENT,
    "nn.LSTM": _RECURRENT,
    "nn.MultiheadAttention": _ATTENTION,
    "nn.RNN": _RECURRENT,
    "nn.Transformer": _ATTENTION,
    "nn.TransformerEncoder": _ATTENTION,
    "nn.TransformerEncoderLayer": _ATTENTION,
    "not_equal": f"{_ONE_NAME}ne",
    "optim.Adamax": _OPTIMIZERS,
    "optim.LBFGS": _OPTIMIZERS,
    "optim.NAdam": _OPTIMIZERS,
    "optim.RAdam": _OPTIMIZERS,
    "set_default_dtype": "it is float32, always; creation functions take a dtype",
    "subtract": f"{_ONE_NAME}sub",
    "vmap": _SINGLE,
}


def absent(module: str, name: str) -> AttributeError:
    """The error for a name that a module of this package does not have; a module's `__getattr__` raises it."""
    place = f"{module}.{name}".partition(".")[2]
    hint = f"; {ABSENT[place]}" if place in ABSENT else ""
    return AttributeError(f"module {module!r} has no attribute {name!r}{hint}")

"""PyTorch's names that are deliberately not here, or not under that name: what the AttributeError says of them."""

from __future__ import annotations

import opcode
import sys

__all__ = ["ABSENT", "absent"]

_ATTENTION = "nn.functional.scaled_dot_product_attention is what there is of attention"
_RECURRENT = "there are no recurrent layers"
_SINGLE = "there is func.per_sample_grad for the gradients of single samples"
_OPTIMIZERS = "there are optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad and optim.Adadelta"
_CALLED = "it is called "

# PyTorch's name, below `torch`: a sentence. The names in it are below `tinygrad_cnn`.
ABSENT = {
    "Size": "a shape is a plain tuple",
    "absolute": f"{_CALLED}abs",
    "amp": "everything is computed in the tensors' own dtype; leave autocast and GradScaler out",
    "asarray": "use as_tensor",
    "autocast": "everything is computed in the tensors' own dtype; leave it out",
    "autograd.detect_anomaly": "use trap, which stops at the first NaN or infinity, in forward and in backward",
    "autograd.forward_ad": "use func.jvp",
    "autograd.functional": "use func.vjp, func.jvp, func.jacrev, func.hessian or func.hvp",
    "autograd.gradcheck": "use testing.gradcheck",
    "autograd.gradgradcheck": "use testing.gradcheck with order=2",
    "autograd.set_detect_anomaly": "use trap, which stops at the first NaN or infinity, in forward and in backward",
    "compile": "nothing is to be compiled: the kernels are",
    "concat": f"{_CALLED}cat",
    "concatenate": f"{_CALLED}cat",
    "distributions": "use multinomial, normal or bernoulli to draw, and log_softmax with gather for log_prob",
    "divide": f"{_CALLED}div",
    "func.jacfwd": "use func.jacrev",
    "func.vmap": _SINGLE,
    "greater": f"{_CALLED}gt",
    "greater_equal": f"{_CALLED}ge",
    "jit": "nothing is to be compiled: the kernels are",
    "less": f"{_CALLED}lt",
    "less_equal": f"{_CALLED}le",
    "moveaxis": f"{_CALLED}movedim",
    "multiply": f"{_CALLED}mul",
    "negative": f"{_CALLED}neg",
    "nn.GRU": _RECURRENT,
    "nn.LSTM": _RECURRENT,
    "nn.MultiheadAttention": _ATTENTION,
    "nn.RNN": _RECURRENT,
    "nn.Transformer": _ATTENTION,
    "nn.TransformerEncoder": _ATTENTION,
    "nn.TransformerEncoderLayer": _ATTENTION,
    "not_equal": f"{_CALLED}ne",
    "optim.Adamax": _OPTIMIZERS,
    "optim.LBFGS": _OPTIMIZERS,
    "optim.NAdam": _OPTIMIZERS,
    "optim.RAdam": _OPTIMIZERS,
    "set_default_device": "there is the CPU alone",
    "set_printoptions": "numbers are printed with four digits; x.numpy() prints as numpy.set_printoptions says",
    "subtract": f"{_CALLED}sub",
    "vmap": _SINGLE,
}


def absent(module: str, name: str) -> Exception:
    """The error for a name that a module of this package does not have; a module's `__getattr__` raises it.

    To `from module import name` Python would say no more than that it cannot, so there it is an ImportError.
    """
    place = f"{module}.{name}".partition(".")[2]
    hint = f"; {ABSENT[place]}" if place in ABSENT else ""
    caller = sys._getframe(2)
    if hint and caller.f_lasti >= 0 and caller.f_code.co_code[caller.f_lasti] == opcode.opmap["IMPORT_FROM"]:
        return ImportError(f"cannot import name {name!r} from {module!r}{hint}")
    return AttributeError(f"module {module!r} has no attribute {name!r}{hint}")

"""PyTorch's names that are deliberately not here, or not under that name: what the AttributeError says of them."""

from __future__ import annotations

import opcode
import sys

__all__ = ["ABSENT", "absent"]

_ATTENTION = "nn.functional.scaled_dot_product_attention is what there is of attention"
_RECURRENT = "there are no recurrent layers"
_SINGLE = "there is func.per_sample_grad for the gradients of single samples"
_OPTIMIZERS = "there are optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad and optim.Adadelta"
_LAZY = "there are nn.LazyLinear and nn.LazyConv2d; give the number of channels"
_LOSSES = "write it as an expression of ops; the losses that there are stand in nn.functional"
_LINALG = "use numpy.linalg on x.numpy(); it has no gradient"
_CALLED = "it is called "

# PyTorch's name, below `torch`: a sentence. The names in it are below `tinygrad_cnn`.
ABSENT = {
    "Size": "a shape is a plain tuple",
    "absolute": f"{_CALLED}abs",
    "amp": "everything is computed in the tensors' own dtype; leave autocast and GradScaler out",
    "arccos": f"{_CALLED}acos",
    "arcsin": f"{_CALLED}asin",
    "arctan": f"{_CALLED}atan",
    "arctan2": f"{_CALLED}atan2",
    "asarray": "use as_tensor",
    "autocast": "everything is computed in the tensors' own dtype; leave it out",
    "autograd.detect_anomaly": "use trap, which stops at the first NaN or infinity, in forward and in backward",
    "autograd.forward_ad": "use func.jvp",
    "autograd.functional": "use func.vjp, func.jvp, func.jacrev, func.hessian or func.hvp",
    "autograd.gradcheck": "use testing.gradcheck",
    "autograd.gradgradcheck": "use testing.gradcheck with order=2",
    "autograd.set_detect_anomaly": "use trap, which stops at the first NaN or infinity, in forward and in backward",
    "bfloat16": "NumPy has no such dtype; use float16 or float32",
    "bucketize": "use numpy.searchsorted on x.numpy()",
    "compile": "nothing is to be compiled: the kernels are",
    "concat": f"{_CALLED}cat",
    "concatenate": f"{_CALLED}cat",
    "det": _LINALG,
    "diff": "x[1:] - x[:-1] does it",
    "distributed": "there is one process",
    "distributions": "use multinomial, normal or bernoulli to draw, and log_softmax with gather for log_prob",
    "divide": f"{_CALLED}div",
    "fft": "use numpy.fft on x.numpy(); it has no gradient",
    "fix": f"{_CALLED}trunc",
    "fliplr": "x.flip(1) does it",
    "flipud": "x.flip(0) does it",
    "fmod": "remainder has the divisor's sign; x - y * (x / y).trunc() is fmod",
    "func.jacfwd": "use func.jacrev",
    "func.vmap": _SINGLE,
    "greater": f"{_CALLED}gt",
    "greater_equal": f"{_CALLED}ge",
    "hann_window": "use scipy.signal.windows.hann",
    "histc": "use numpy.histogram on x.numpy()",
    "hub": "load weights as safetensors, with load",
    "inner": "x @ y.mT does it",
    "inverse": _LINALG,
    "jit": "nothing is to be compiled: the kernels are",
    "less": f"{_CALLED}lt",
    "less_equal": f"{_CALLED}le",
    "median": "x.sort(dim)[0] has it in the middle",
    "moveaxis": f"{_CALLED}movedim",
    "multiply": f"{_CALLED}mul",
    "nansum": "use sum of nan_to_num",
    "negative": f"{_CALLED}neg",
    "nn.AlphaDropout": "use nn.Dropout",
    "nn.Bilinear": "use einsum",
    "nn.CTCLoss": _RECURRENT,
    "nn.DataParallel": "there is one device: use the module itself",
    "nn.Dropout1d": "use nn.Dropout2d on x.unsqueeze(-1)",
    "nn.Dropout3d": "use nn.Dropout2d on x.flatten(3)",
    "nn.EmbeddingBag": "use nn.Embedding and mean or sum",
    "nn.GRU": _RECURRENT,
    "nn.GRUCell": _RECURRENT,
    "nn.GaussianNLLLoss": _LOSSES,
    "nn.HingeEmbeddingLoss": _LOSSES,
    "nn.LSTM": _RECURRENT,
    "nn.LSTMCell": _RECURRENT,
    "nn.LazyBatchNorm1d": _LAZY,
    "nn.LazyBatchNorm2d": _LAZY,
    "nn.LazyConvTranspose2d": _LAZY,
    "nn.MaxUnpool2d": "use nn.Upsample, or scatter with the indices of nn.functional.max_pool2d",
    "nn.MultiLabelSoftMarginLoss": "use nn.BCEWithLogitsLoss",
    "nn.MultiMarginLoss": _LOSSES,
    "nn.MultiheadAttention": _ATTENTION,
    "nn.PoissonNLLLoss": _LOSSES,
    "nn.RNN": _RECURRENT,
    "nn.RNNCell": _RECURRENT,
    "nn.SoftMarginLoss": "use nn.functional.softplus of -target * input",
    "nn.SyncBatchNorm": "there is one process; use nn.BatchNorm2d",
    "nn.Transformer": _ATTENTION,
    "nn.TransformerDecoder": _ATTENTION,
    "nn.TransformerDecoderLayer": _ATTENTION,
    "nn.TransformerEncoder": _ATTENTION,
    "nn.TransformerEncoderLayer": _ATTENTION,
    "not_equal": f"{_CALLED}ne",
    "optim.ASGD": _OPTIMIZERS,
    "optim.Adafactor": _OPTIMIZERS,
    "optim.Adamax": _OPTIMIZERS,
    "optim.LBFGS": _OPTIMIZERS,
    "optim.NAdam": _OPTIMIZERS,
    "optim.RAdam": _OPTIMIZERS,
    "optim.Rprop": _OPTIMIZERS,
    "optim.SparseAdam": _OPTIMIZERS,
    "quantile": "use numpy.quantile on x.numpy(); it has no gradient",
    "row_stack": f"{_CALLED}vstack",
    "searchsorted": "use numpy.searchsorted on x.numpy()",
    "set_default_device": "there is the CPU alone",
    "set_printoptions": "numbers are printed with four digits; x.numpy() prints as numpy.set_printoptions says",
    "subtract": f"{_CALLED}sub",
    "svd": _LINALG,
    "swapdims": f"{_CALLED}transpose",
    "take": "x.flatten()[index] does it",
    "tril_indices": "use numpy.tril_indices",
    "triu_indices": "use numpy.triu_indices",
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

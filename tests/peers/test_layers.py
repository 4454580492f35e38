"""Every layer against PyTorch's: its repr, its state_dict's names, and with equal weights its outputs and gradients."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

import tinygrad_cnn as tg
from peers.compare import raises_alike
from tinygrad_cnn import nn

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

IMAGE = (2, 4, 6, 8)


def case(name, *args, x=IMAGE, **kwargs):
    shown = [*map(str, args), *(f"{key}={value}" for key, value in kwargs.items())]
    return pytest.param(name, args, kwargs, x, id=f"{name}({', '.join(shown)})")


LAYERS = [
    case("Identity", 7, any=3),
    case("Linear", 8, 3),
    case("Linear", 5, 3, bias=False, x=(5,)),
    case("Linear", 5, 3, x=(0, 5)),
    case("LazyLinear", 3),
    case("LazyLinear", 3, bias=False, x=(2, 5)),
    case("Flatten"),
    case("Flatten", 0, 2),
    case("Unflatten", 1, (2, 2)),
    case("Unflatten", -1, (2, -1)),
    # convolutions
    case("Conv1d", 4, 6, 3, x=(2, 4, 9)),
    case("Conv1d", 4, 6, 3, stride=2, padding=1, padding_mode="replicate", x=(4, 9)),
    case("Conv1d", 4, 6, 2, padding="same", dilation=2, x=(2, 4, 9)),
    case("Conv2d", 4, 6, 3),
    case("Conv2d", 4, 6, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(1, 2)),
    case("Conv2d", 4, 6, 3, 2, 1, 1, 2, False),
    case("Conv2d", 4, 4, 3, groups=4, padding="same"),
    case("Conv2d", 4, 6, 3, padding="valid"),
    case("Conv2d", 4, 6, 3, padding=2, padding_mode="circular"),
    case("Conv2d", 4, 6, 3, padding=(1, 2), padding_mode="reflect"),
    case("Conv2d", 4, 6, (2, 4), padding="same", padding_mode="replicate"),
    case("Conv2d", 4, 6, 3, padding="valid", padding_mode="reflect", bias=False),
    case("Conv2d", 4, 6, 3, x=IMAGE[1:]),
    case("Conv3d", 2, 3, (1, 2, 3), padding=1, x=(2, 2, 4, 4, 4)),
    case("Conv3d", 2, 3, 3, padding=1, padding_mode="circular", x=(2, 2, 4, 4, 4)),
    case("ConvTranspose1d", 4, 6, 3, stride=2, output_padding=1, x=(2, 4, 9)),
    case("ConvTranspose2d", 4, 6, 3),
    case("ConvTranspose2d", 4, 6, 3, 2, 1, 1, 2, False, 2),
    case("ConvTranspose2d", 4, 2, (2, 3), stride=(2, 3), groups=2, x=IMAGE[1:]),
    case("ConvTranspose3d", 2, 3, 2, stride=2, x=(2, 2, 2, 3, 2)),
    case("LazyConv1d", 6, 3, x=(2, 4, 9)),
    case("LazyConv2d", 6, 3),
    case("LazyConv2d", 6, (3, 2), groups=2, bias=False, padding=1, padding_mode="reflect", x=IMAGE[1:]),
    case("LazyConv3d", 3, 2, x=(2, 2, 4, 4, 4)),
    # pools
    case("MaxPool1d", 2, x=(2, 4, 9)),
    case("MaxPool2d", 2),
    case("MaxPool2d", (3, 2), stride=(2, 1), padding=1, ceil_mode=True),
    case("MaxPool2d", 3, 1, dilation=2),
    case("MaxPool2d", 2, return_indices=True),
    case("MaxPool3d", 2, padding=1, x=(2, 2, 4, 4, 4)),
    case("AvgPool1d", 2, x=(2, 4, 9)),
    case("AvgPool1d", (3,), stride=2, padding=1, count_include_pad=False, x=(2, 4, 9)),
    case("AvgPool2d", 2),
    case("AvgPool2d", (3, 2), stride=2, padding=1, ceil_mode=True, count_include_pad=False),
    case("AvgPool2d", 2, divisor_override=3),
    case("AvgPool3d", 2, x=(2, 2, 4, 4, 4)),
    case("AdaptiveAvgPool1d", 3, x=(2, 4, 9)),
    case("AdaptiveAvgPool2d", (None, 5)),
    case("AdaptiveAvgPool2d", 1),
    case("AdaptiveAvgPool3d", 2, x=(2, 2, 4, 3, 4)),
    case("AdaptiveMaxPool1d", 3, x=(2, 4, 9)),
    case("AdaptiveMaxPool2d", (4, 5)),
    case("AdaptiveMaxPool2d", 4, return_indices=True),
    case("AdaptiveMaxPool3d", 2, x=(2, 2, 4, 3, 4)),
    # norms
    case("BatchNorm1d", 4, x=(3, 4)),
    case("BatchNorm1d", 4, momentum=None, x=(3, 4, 5)),
    case("BatchNorm2d", 4),
    case("BatchNorm2d", 4, eps=0.1, momentum=0.3, affine=False),
    case("BatchNorm2d", 4, track_running_stats=False),
    case("BatchNorm2d", 4, bias=False),
    case("BatchNorm3d", 2, x=(2, 2, 4, 4, 4)),
    case("InstanceNorm1d", 4, x=(3, 4, 5)),
    case("InstanceNorm2d", 4, affine=True),
    case("InstanceNorm2d", 4, track_running_stats=True, momentum=0.4),
    case("InstanceNorm2d", 4, affine=True, bias=False, x=IMAGE[1:]),
    case("InstanceNorm3d", 2, x=(2, 2, 4, 4, 4)),
    case("LayerNorm", 8),
    case("LayerNorm", [6, 8], eps=0.1),
    case("LayerNorm", (8,), elementwise_affine=False),
    case("LayerNorm", 8, bias=False),
    case("GroupNorm", 2, 4),
    case("GroupNorm", 4, 4, eps=0.1, affine=False),
    case("GroupNorm", 1, 4, bias=False),
    case("RMSNorm", 8),
    case("RMSNorm", (6, 8), eps=0.1, elementwise_affine=False),
    case("LocalResponseNorm", 3),
    case("LocalResponseNorm", 2, alpha=0.5, beta=0.6, k=2.0),
    # activations
    case("CELU"), case("CELU", 2.0, True), case("ELU"), case("ELU", alpha=0.5, inplace=True), case("GELU"),
    case("GELU", "tanh"), case("GLU"), case("GLU", 1), case("Hardshrink"), case("Hardshrink", 0.2),
    case("Hardsigmoid"), case("Hardsigmoid", True), case("Hardswish"), case("Hardtanh"),
    case("Hardtanh", -2.0, 0.5, True), case("LeakyReLU"), case("LeakyReLU", 0.2, inplace=True), case("LogSigmoid"),
    case("LogSoftmax", 1), case("Mish"), case("PReLU"), case("PReLU", 4, init=0.1), case("ReLU"), case("ReLU", True),
    case("ReLU6"), case("ReLU6", inplace=True), case("SELU"), case("SELU", True), case("Sigmoid"), case("SiLU"),
    case("SiLU", True), case("Softmax", -1), case("Softmax2d"), case("Softmin", 0), case("Softplus"),
    case("Softplus", 2.0, 1.0), case("Softshrink"), case("Softshrink", 0.1), case("Softsign"), case("Tanh"),
    case("Tanhshrink"), case("Threshold", 0.1, 20.0), case("Threshold", 0.1, 20.0, True),
    # resizing, padding, rearranging
    case("Upsample", 5, x=(2, 4, 9)), case("Upsample", scale_factor=2), case("Upsample", (4, 9), mode="bilinear"),
    case("Upsample", scale_factor=(1.5, 2), mode="bilinear", align_corners=True),
    case("UpsamplingNearest2d", 4), case("UpsamplingBilinear2d", scale_factor=2), case("PixelShuffle", 2),
    case("PixelUnshuffle", 2), case("ZeroPad1d", 2, x=(2, 4, 9)), case("ZeroPad2d", (1, 0, 2, 3)),
    case("ZeroPad2d", 1), case("ConstantPad1d", (1, 2), 0.5, x=(2, 4, 9)), case("ConstantPad2d", 1, 3.5),
    case("ReflectionPad1d", 2, x=(4, 9)), case("ReflectionPad2d", (1, 2, 0, 3)),
    case("ReplicationPad1d", 3, x=(2, 4, 9)), case("ReplicationPad2d", 2), case("CircularPad1d", (1, 2), x=(2, 4, 9)),
    case("CircularPad2d", 2), case("Unfold", 2), case("Unfold", (2, 3), 1, 1, 2),
    case("Fold", (6, 8), (2, 2), stride=2, x=(2, 8, 12)),
    case("Dropout", 0.0), case("Dropout2d", 0.0),
]  # fmt: skip


def double(array):
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def pair(name, args, kwargs, shape):
    """Our layer and PyTorch's, in float64, with equal and not too regular weights."""
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    if name.startswith("Lazy"):
        ours(tg.zeros(*shape)), theirs(torch.zeros(shape))
    ours.double(), theirs.double()
    generator = torch.Generator().manual_seed(1)
    for value in theirs.state_dict().values():
        if value.dtype == torch.float64:
            value.uniform_(0.5, 1.5, generator=generator)
    state = {key: tg.from_numpy(value.numpy().copy()) for key, value in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in state.items()}
    ours.load_state_dict(state)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    return ours, theirs


def same(ours, theirs, bound=1e-11):
    if isinstance(theirs, tuple):
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
        return
    expected = theirs.detach().numpy()
    assert ours.shape == expected.shape
    assert ours.dtype == expected.dtype
    np.testing.assert_allclose(ours.array, expected, rtol=bound, atol=bound)


def first(out):
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning")
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_layer(name, args, kwargs, shape):
    ours, theirs = pair(name, args, kwargs, shape)
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(0).standard_normal(shape)
    for train in (True, True, False):
        ours.train(train), theirs.train(train)
        a = tg.from_numpy(x.copy()).requires_grad_()
        b = torch.from_numpy(x.copy()).requires_grad_()
        out, expected = ours(a), theirs(b * 1)  # the layer must not write to a leaf, if it is an in-place one
        same(out, expected)
        ours.zero_grad(), theirs.zero_grad()
        weights = np.random.default_rng(1).standard_normal(first(expected).shape)
        first(out).backward(tg.from_numpy(weights))
        first(expected).backward(torch.from_numpy(weights))
        # PyTorch multiplies by 1/6 in float32 there.
        same(a.grad, b.grad, bound=1e-7 if name == "Hardsigmoid" else 1e-11)
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            same(p.grad, q.grad)
    for key, value in theirs.state_dict().items():
        same(ours.state_dict()[key], value)


LOSSES = [
    ("CrossEntropyLoss", "classes", {}),
    ("CrossEntropyLoss", "classes", {"ignore_index": 1, "reduction": "sum", "label_smoothing": 0.1}),
    ("CrossEntropyLoss", "classes", {"weight": (4,)}),
    ("NLLLoss", "classes", {"reduction": "none", "weight": (4,)}),
    ("BCELoss", "probabilities", {}),
    ("BCELoss", "probabilities", {"weight": (3, 4), "reduction": "sum"}),
    ("BCEWithLogitsLoss", "numbers", {"pos_weight": (4,)}),
    ("BCEWithLogitsLoss", "numbers", {"weight": (4,), "reduction": "none"}),
    ("KLDivLoss", "probabilities", {"reduction": "batchmean"}),
    ("KLDivLoss", "numbers", {"reduction": "sum", "log_target": True}),
    ("MSELoss", "numbers", {}),
    ("L1Loss", "numbers", {"reduction": "sum"}),
    ("SmoothL1Loss", "numbers", {"beta": 0.5}),
    ("HuberLoss", "numbers", {"delta": 0.5, "reduction": "none"}),
    ("CosineSimilarity", "numbers", {"dim": 0, "eps": 0.1}),
    ("PairwiseDistance", "numbers", {"p": 3.0, "keepdim": True}),
    ("TripletMarginLoss", "triplets", {"margin": 0.5, "swap": True}),
    ("CosineEmbeddingLoss", "pairs", {"margin": 0.2}),
    ("MarginRankingLoss", "signs", {"margin": 0.3, "reduction": "sum"}),
]


@pytest.mark.parametrize(("name", "kind", "kwargs"), LOSSES)
def test_loss(name, kind, kwargs):
    random = np.random.default_rng(0)
    numbers = [random.uniform(0.1, 0.9, (3, 4)) for _ in range(3)]
    arrays = {
        "classes": [numbers[0], np.array([2, 1, 3])],
        "probabilities": numbers[:2],
        "numbers": numbers[:2],
        "triplets": numbers,
        "pairs": [*numbers[:2], np.array([1, -1, 1])],
        "signs": [*numbers[:2], np.where(numbers[2] > 0.5, 1.0, -1.0)],
    }[kind]
    kwargs = {k: random.uniform(0.5, 1.5, v) if isinstance(v, tuple) else v for k, v in kwargs.items()}

    def build(module, leaf):
        return getattr(module, name)(**{k: leaf(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()})

    ours, theirs = build(nn, tg.from_numpy), build(torch.nn, torch.from_numpy)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    a, b = [tg.from_numpy(x) for x in arrays], [torch.from_numpy(x) for x in arrays]
    a[0].requires_grad_(), b[0].requires_grad_()
    out, expected = ours(*a), theirs(*b)
    same(out, expected)
    out.sum().backward(), expected.sum().backward()
    same(a[0].grad, b[0].grad)


def test_the_old_names_of_hardtanh():
    for old in ({"min_value": -2.0}, {"max_value": 0.5}, {"min_value": -0.5, "max_value": 0.25}):
        with pytest.warns(FutureWarning, match="is deprecated") as seen:
            ours, theirs = (m.nn.Hardtanh(**old) for m in (tg, torch))
        assert repr(ours) == repr(theirs)
        assert [w.filename for w in seen] == [__file__] * 2 * len(old)


def test_embedding():
    shorter = {"max_norm": 1.0, "norm_type": 1.0, "scale_grad_by_freq": True}
    for kwargs in ({}, {"padding_idx": 2}, {"padding_idx": -1}, shorter):
        ours, theirs = pair("Embedding", (5, 3), kwargs, None)
        assert repr(ours) == repr(theirs)
        assert ours.padding_idx == theirs.padding_idx
        index = np.array([[0, 2, 2], [4, 1, 0]])
        out, expected = ours(tg.from_numpy(index)), theirs(torch.from_numpy(index.copy()))
        same(out, expected)
        (out**2).sum().backward(), (expected**2).sum().backward()
        same(ours.weight.grad, theirs.weight.grad)
        same(ours.weight, theirs.weight)
    assert repr(nn.Embedding(5, 3, sparse=True)) == repr(torch.nn.Embedding(5, 3, sparse=True))
    rows = np.random.default_rng(0).standard_normal((5, 3))
    loaded = [m.nn.Embedding.from_pretrained(m.ones(2, 3), False, 1, 2.0, 1.0, True) for m in (tg, torch)]
    assert repr(loaded[0]) == repr(loaded[1])
    frozen = nn.Embedding.from_pretrained(tg.from_numpy(rows))
    assert not frozen.weight.requires_grad
    assert nn.Embedding.from_pretrained(tg.from_numpy(rows), freeze=False).weight.requires_grad
    same(frozen(tg.tensor([3])), torch.from_numpy(rows[[3]]))
    assert (nn.Embedding(5, 3, padding_idx=1).weight.array[1] == 0).all()


@pytest.mark.parametrize("size", [(12, 16), (13, 17), (2, 6, 13, 16)])
def test_conv_transpose_to_an_output_size(size):
    ours, theirs = pair("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}, None)
    x = np.random.default_rng(0).standard_normal((2, 4, 7, 9))
    ours_in, theirs_in = tg.from_numpy(x), torch.from_numpy(x)
    smallest, largest = (13, 17), (14, 18)
    if all(a <= s <= b for s, a, b in zip(size[-2:], smallest, largest, strict=True)):
        same(ours(ours_in, output_size=size), theirs(theirs_in, output_size=size))
    else:
        with pytest.raises(ValueError, match="requested an output size"):
            theirs(theirs_in, output_size=size)
        with pytest.raises(ValueError, match=r"output_size is .* expects \(13, 17\) to \(14, 18\)"):
            ours(ours_in, output_size=size)


# ---- where parameters start --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda m: m.Linear(50, 400), 50),
        (lambda m: m.Conv2d(8, 64, 3), 72),
        (lambda m: m.Conv2d(8, 64, 3, groups=4), 18),
        (lambda m: m.ConvTranspose2d(8, 64, 3), 576),
        (lambda m: m.Conv1d(64, 64, 5), 320),
    ],
)
def test_weights_start_evenly_within_the_same_bounds(layer, fan_in):
    tg.manual_seed(0), torch.manual_seed(0)
    ours, theirs = layer(nn), layer(torch.nn)
    bound = 1 / math.sqrt(fan_in)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (p.shape, str(p.dtype)) == (tuple(q.shape), "float32")
        assert abs(p.array).max() <= bound
        assert float(q.detach().abs().max()) <= bound
    assert ours.weight.array.std() == pytest.approx(float(theirs.weight.detach().std()), rel=0.1)
    assert ours.weight.array.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    before = ours.weight.array.copy()
    ours.reset_parameters()
    assert (ours.weight.array != before).any()


def test_dtype_and_device():
    for layer in (
        nn.Linear(2, 3, dtype=tg.float64, device="cpu"),
        nn.Conv2d(2, 3, 3, dtype=tg.float64, device="cpu"),
        nn.BatchNorm2d(2, dtype=tg.float64, device="cpu"),
        nn.LayerNorm(2, dtype=tg.float64, device="cpu"),
        nn.Embedding(2, 3, dtype=tg.float64, device="cpu"),
        nn.PReLU(dtype=tg.float64, device="cpu"),
    ):
        assert {p.dtype for p in layer.parameters()} == {np.dtype(np.float64)}


def test_norms_can_be_reset():
    layer = nn.BatchNorm2d(3)
    fresh = {k: v.array.copy() for k, v in layer.state_dict().items()}
    for value in layer.state_dict().values():
        value.array[...] = 7
    layer.reset_parameters()
    for key, value in layer.state_dict().items():
        assert (value.array == fresh[key]).all()


# ---- lazy layers -------------------------------------------------------------------------------------------


def test_lazy_layers_become_plain_ones():
    model = nn.Sequential(nn.LazyConv2d(6, 3), nn.Flatten(), nn.LazyLinear(10))
    with pytest.raises(ValueError, match="no shape yet"):
        _ = [p.shape for p in model.parameters()]
    assert model(tg.ones(2, 1, 8, 8)).shape == (2, 10)
    assert [type(m) for m in model] == [nn.Conv2d, nn.Flatten, nn.Linear]
    assert [p.shape for p in model.parameters()] == [(6, 1, 3, 3), (6,), (10, 216), (10,)]
    assert (model[0].weight.array != 0).any()


@pytest.mark.parametrize("missing", [None, "weight", "bias"])
def test_lazy_layers_keep_what_was_loaded(missing):
    x = tg.ones(2, 1, 8, 8)
    for plain, lazy in ((nn.Conv2d(1, 6, 3), nn.LazyConv2d(6, 3)), (nn.Linear(8, 6), nn.LazyLinear(6))):
        state = {key: value for key, value in plain.state_dict().items() if key != missing}
        lazy.load_state_dict(state, strict=False)
        assert lazy(x).shape == plain(x).shape
        for key, value in plain.state_dict().items():
            found = lazy.state_dict()[key]
            assert found.shape == value.shape
            assert (found.array == value.array).all() == (key != missing)


def test_lazy_layers_keep_their_dtype():
    layer = nn.LazyConv2d(6, 3, dtype=tg.float64)
    layer(tg.ones(1, 2, 4, 4, dtype=tg.float64))
    assert {p.dtype for p in layer.parameters()} == {np.dtype(np.float64)}


def test_a_lazy_layer_draws_what_the_plain_one_would():
    tg.manual_seed(3)
    plain = nn.Conv2d(2, 6, 3)
    tg.manual_seed(3)
    lazy = nn.LazyConv2d(6, 3)
    lazy(tg.ones(1, 2, 4, 4))
    assert (plain.weight.array == lazy.weight.array).all()
    assert (plain.bias.array == lazy.bias.array).all()


# ---- dropout -----------------------------------------------------------------------------------------------


def test_dropout_layers():
    tg.manual_seed(0)
    x = tg.ones(50, 40, 3, 3)
    out = nn.Dropout(0.25)(x).array
    assert set(np.unique(out)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (out == 0).mean() == pytest.approx(0.25, abs=0.02)
    channels = nn.Dropout2d(0.25)(x).array.reshape(2000, 9)
    assert (channels == channels[:, :1]).all()
    assert (channels == 0).mean() == pytest.approx(0.25, abs=0.05)
    assert nn.Dropout(0.25).eval()(x).array.min() == 1
    assert repr(nn.Dropout(0.25)) == repr(torch.nn.Dropout(0.25)) == "Dropout(p=0.25, inplace=False)"


# ---- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "message"),
    [
        ("Conv2d", (3, 4, 3), {"groups": 2}, "Conv2d: in_channels is 3, expected a multiple of groups=2"),
        ("Conv2d", (4, 3, 3), {"groups": 2}, "Conv2d: out_channels is 3, expected a multiple of groups=2"),
        ("Conv2d", (4, 4, 3), {"groups": 0}, "Conv2d: groups is 0, expected at least 1"),
        ("Conv2d", (4, 4, 3), {"padding": "full"}, "Conv2d: padding is 'full', expected numbers, 'same' or 'valid'"),
        ("Conv2d", (4, 4, 3), {"padding": "same", "stride": 2}, "Conv2d: padding is 'same' and stride is"),
        ("Conv2d", (4, 4, 3), {"padding_mode": "mirror"}, "Conv2d: padding_mode is 'mirror', expected one of"),
        ("ConvTranspose2d", (4, 4, 3), {"padding_mode": "reflect"}, "ConvTranspose2d: .* padding_mode is 'reflect'"),
        ("GroupNorm", (2, 3), {}, "GroupNorm: num_groups is 2, expected a divisor of num_channels=3"),
        ("Dropout", (1.5,), {}, "Dropout: p is 1.5, expected a probability, 0 to 1"),
        ("Embedding", (5, 3, 5), {}, "Embedding: padding_idx is 5, expected -5 to 4"),
        ("Hardtanh", (1.0, -1.0), {}, r"Hardtanh: min_val is 1.0, max_val is -1.0, expected min_val < max_val"),
    ],
)
def test_errors_of_constructors(name, args, kwargs, message):
    with pytest.raises((ValueError, AssertionError)):
        getattr(torch.nn, name)(*args, **kwargs)
    with pytest.raises(ValueError, match=message):
        getattr(nn, name)(*args, **kwargs)


def test_errors_of_constructors_that_pytorch_does_not_catch():
    with pytest.raises(ValueError, match=r"Conv2d: kernel_size is \(3, 3, 3\), expected an int or 2 ints"):
        nn.Conv2d(1, 2, (3, 3, 3))
    with pytest.raises(ValueError, match=r"ZeroPad2d: padding is .*, expected an int or 4 ints"):
        nn.ZeroPad2d((1, 2))
    with pytest.raises(ValueError, match="MSELoss: reduction is 'avg', expected 'mean', 'sum' or 'none'"):
        nn.MSELoss(reduction="avg")


@pytest.mark.parametrize(
    ("name", "args", "shape", "message"),
    [
        ("BatchNorm2d", (3,), (2, 3, 4), r"BatchNorm2d: x has 3 dimensions \(2, 3, 4\), expected 4"),
        ("BatchNorm1d", (3,), (2, 3, 4, 5), "BatchNorm1d: x has 4 dimensions .*, expected 2 or 3"),
        ("BatchNorm2d", (3,), (1, 3, 1, 1), "batch_norm: x is .*, expected more than 1 value per channel"),
        ("InstanceNorm2d", (3,), (2, 3), "InstanceNorm2d: x has 2 dimensions .*, expected 3 or 4"),
        ("Softmax2d", (), (2, 3), "Softmax2d: x has 2 dimensions"),
        ("LazyConv2d", (3, 3), (4, 4), r"LazyConv2d: x has 2 dimensions \(4, 4\), expected \(N, C, H, W\) or"),
        ("Conv2d", (3, 4, 3), (2, 1, 5, 5), "conv2d: x has 1 channels .*, weight expects 3"),
        ("Linear", (3, 4), (2, 5), r"linear: "),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning")
def test_errors_of_calls(name, args, shape, message):
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    raises_alike(ours, theirs, np.zeros(shape, np.float32), match=message)


# ---- completeness ------------------------------------------------------------------------------------------


def test_every_layer_has_a_case():
    tested = {row.values[0] for row in LAYERS} | {name for name, *_ in LOSSES} | {"Embedding"}
    containers = {"Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"}
    layers = {
        name for name in nn.__all__ if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), nn.Module)
    }
    assert layers - containers == tested


@pytest.mark.parametrize("name", sorted(nn.functional.__all__))
def test_functional_has_pytorchs_names_and_a_docstring(name):
    assert hasattr(torch.nn.functional, name)
    assert getattr(nn.functional, name).__doc__


FUNCTIONAL = """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d avg_pool1d avg_pool2d avg_pool3d batch_norm
binary_cross_entropy binary_cross_entropy_with_logits celu conv1d conv2d conv3d conv_transpose1d conv_transpose2d
conv_transpose3d cosine_similarity cross_entropy dropout elu embedding gelu glu group_norm hardsigmoid hardswish
hardtanh huber_loss instance_norm interpolate kl_div l1_loss layer_norm leaky_relu linear local_response_norm
logsigmoid max_pool1d max_pool2d max_pool3d mish mse_loss nll_loss normalize one_hot pad pairwise_distance
pixel_shuffle pixel_unshuffle prelu relu relu6 rms_norm scaled_dot_product_attention selu silu smooth_l1_loss softmin
softplus softshrink softsign tanhshrink threshold triplet_margin_loss unfold
"""


def test_functional_is_complete():
    assert set(FUNCTIONAL.split()) <= set(nn.functional.__all__)
    assert nn.functional.__all__ == sorted(nn.functional.__all__)


LARGE: list[tuple[str, tuple[int, ...]]] = [
    ("BatchNorm2d", (2,)),
    ("GroupNorm", (1, 2)),
    ("InstanceNorm2d", (2,)),
    ("AdaptiveAvgPool2d", (1,)),
    ("AvgPool2d", (290,)),
]


@pytest.mark.parametrize(("name", "args"), LARGE)
def test_more_float16_pixels_than_the_largest_float16(name: str, args: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(2, 1, (2, 2, 300, 300)).astype(np.float16)
    single = torch.tensor(x.astype(np.float32), requires_grad=True)
    theirs = getattr(torch.nn, name)(*args)
    z = theirs(single)
    g = np.random.default_rng(1).normal(0, 1, z.shape).astype(np.float16)
    expected = [z, *torch.autograd.grad(z, [single, *theirs.parameters()], torch.tensor(g.astype(np.float32)))]
    for create_graph in (False, True):
        ours, half = getattr(tg.nn, name)(*args).to(tg.float16), tg.tensor(x, requires_grad=True)
        y = ours(half)
        found = [y, *tg.autograd.grad(y, [half, *ours.parameters()], tg.tensor(g), create_graph=create_graph)]
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == np.float16
            np.testing.assert_allclose(a.detach().numpy(), b.detach(), atol=4e-3 * float(abs(b.detach()).max()))

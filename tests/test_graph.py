"""Graphs: what is captured, what is drawn, and that neither order, process nor names change a byte of it."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictured import second_derivative

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import graph, nn
from tinygrad_cnn.autograd import Array, op
from tinygrad_cnn.graph import render
from tinygrad_cnn.graph.dot import OPTIONS
from tinygrad_cnn.graph.fold import fold, fold_layers
from tinygrad_cnn.graph.graph import Graph, GraphNode
from tinygrad_cnn.graph.style import THEMES
from tinygrad_cnn.train import build


class Block(nn.Module):
    """A residual block with one ReLU module that is called twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.relu(self.conv2(self.relu(self.norm(self.conv1(x)))) + x)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.blocks = nn.Sequential(Block(4), Block(4))
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 10)

    def forward(self, image: tg.Tensor) -> tg.Tensor:
        return self.fc(self.drop(self.blocks(self.stem(image)).mean((2, 3))))


@pytest.fixture
def net() -> Net:
    return Net()


def named(g: Graph, name: str) -> GraphNode:
    (node,) = [node for node in g.nodes if node.name == name]
    return node


# ---- capture and of ----


def test_a_graph_holds_what_the_code_did(net: Net) -> None:
    g = graph.capture(net, tg.zeros(2, 1, 8, 8))
    assert [node.id for node in g.nodes] == list(range(len(g)))
    assert all(edge.source < edge.target for edge in g.edges)
    first = g.ops[0]
    assert (first.name, first.path, first.shape, first.dtype) == ("conv2d", "stem", (2, 4, 6, 6), "float32")
    assert first.params["stride"] in (1, (1, 1))
    assert first.where == f"{Path(__file__).name}:{Net.forward.__code__.co_firstlineno + 1}"
    assert first.nbytes == 2 * 4 * 6 * 6 * 4
    assert [(g[edge.source].name, edge.argument) for edge in g.into(first)] == [
        ("image", "input"), ("stem.weight", "weight"), ("stem.bias", "bias"),
    ]  # fmt: skip
    assert {node.name for node in g.of_kind("parameter")} == {name for name, _ in net.named_parameters()}
    assert g.parameter_count == sum(p.array.size for p in net.parameters())
    assert [node.name for node in g.of_kind("output")] == ["output"]
    assert g.modules["blocks.1.relu"].is_layer
    assert not g.modules["blocks.1"].is_layer


def test_calls_of_one_module_are_told_apart(net: Net) -> None:
    g = graph.capture(net, tg.zeros(2, 1, 8, 8))
    assert [node.call for node in g.ops if node.path == "blocks.0.relu"] == [0, 1]
    assert {node.call for node in g.ops if node.path == "blocks.0.norm"} == {0}


def test_a_layer_of_several_like_ops_is_one_call() -> None:
    g = graph.capture(nn.Sequential(nn.Upsample(scale_factor=2)), tg.zeros(1, 2, 4, 4))
    assert len(g.ops) == 2
    assert {node.call for node in g.ops} == {0}
    assert len(fold_layers(g).ops) == 1


def test_indices_are_shown_as_they_are_written() -> None:
    embedding = nn.Embedding(20, 8)
    g = graph.capture(lambda words: embedding(words)[:, 1:3, None], tg.tensor([[1, 2, 3]]))
    assert "20->8, 160 params" in str(g)
    assert "[:, 1:3, None]" in str(g)


def test_shared_weights_are_one_parameter() -> None:
    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(4, 2)

        def forward(self, a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
            return (self.encoder(a) * self.encoder(b)).sum()

    g = graph.capture(Siamese(), tg.zeros(3, 4), tg.zeros(3, 4))
    assert g.parameter_count == 10
    assert [node.call for node in g.ops if node.path == "encoder"] == [0, 1]
    assert len(g.out_of(named(g, "encoder.weight"))) == 2
    assert "encoder (call 2 of 2)" in g.to_dot()


def test_capturing_leaves_no_trace(net: Net) -> None:
    tg.manual_seed(3)
    before = {name: tensor.array.copy() for name, tensor in net.state_dict().items()}
    x = tg.randn(2, 1, 8, 8)
    stream = tg.random.default_generator.get_state()
    with tg.no_grad():
        g = graph.capture(net, x)
    assert len(g.ops) > 10
    assert tg.random.default_generator.get_state() == stream
    assert all((before[name] == tensor.array).all() for name, tensor in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not x.requires_grad
    assert x.array.flags.writeable


def test_inputs_that_need_no_gradient_stand_in_the_picture_too() -> None:
    model = nn.Linear(3, 4)
    model.weight.requires_grad_(False)
    g = graph.capture(
        lambda x, target: F.cross_entropy(model(x), target), tg.zeros(2, 3), tg.tensor([0, 1]), model=model
    )
    assert [node.name for node in g.of_kind("input")] == ["x", "target"]
    assert named(g, "target").dtype == "int64"
    assert not named(g, "weight").trainable
    assert named(g, "bias").trainable
    assert [node.name for node in g.of_kind("output")] == ["loss"]
    assert "frozen" in g.to_dot(parameters="nodes")


def test_of_tells_what_a_tensor_remembers() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = tg.tensor([3.0, 4.0], requires_grad=True)
    g = graph.of((x * y + 2.0 * x).sum(), names={"y": y})
    assert [node.name for node in g.nodes] == ["leaf 1", "y", "mul", "mul", "add", "sum", "loss"]
    assert [node.kind for node in g.nodes] == ["input"] * 2 + ["op"] * 4 + ["output"]
    assert "2" in str(g).splitlines()[4]


def test_the_graph_of_a_gradient() -> None:
    x = tg.tensor(2.0, requires_grad=True)
    (slope,) = tg.autograd.grad(x**3, x, create_graph=True)
    names = [node.name for node in graph.of(slope, names={"x": x}).nodes]
    assert names[0] == "x"
    assert names[-1] == "output"
    assert "pow" in names


def test_ops_of_gradients_say_whose_they_are() -> None:
    g = second_derivative()
    orders = {node.composite: node.order for node in g.ops}
    assert {0, 1, 2} == set(orders.values())
    assert orders["gradient of sin"] == 1
    assert orders["gradient of gradient of mul"] == 2
    dot = g.to_dot()
    for words in ("gradient of sin", "2nd gradient of mul", f'color="{THEMES["light"].gradient}"', ">gradient<"):
        assert words in dot
    assert len(fold_layers(g).ops) == len(g.ops)  # a rule's ops stay apart
    x = tg.tensor(2.0, requires_grad=True)
    (slope,) = tg.autograd.grad(x.exp(), x, create_graph=True)
    assert {node.order for node in graph.of(slope * 2).ops if node.name == "mul"} == {0, 1}  # after it all is as before


def test_several_outputs_have_names() -> None:
    g = graph.capture(lambda x: {"twice": x * 2, "pair": (x + 1, [x.exp()])}, tg.zeros(3))
    assert [node.name for node in g.of_kind("output")] == ["twice", "pair.0", "pair.1.0"]
    g = graph.capture(lambda x: (x * 2, x * 3), tg.zeros(3))
    assert [node.name for node in g.of_kind("output")] == ["output 0", "output 1"]


def test_a_users_own_op_has_a_place() -> None:
    @op
    def twice(x: Array) -> Any:
        return x * 2

    @twice.vjp("x")
    def twice_grad(g: Array) -> Any:
        return g * 2

    g = graph.capture(lambda x: twice(x), tg.zeros(3))
    assert named(g, "twice").family == "other op"
    assert THEMES["light"].tints["other op"] in g.to_dot()


def test_graphs_that_cannot_be_are_told() -> None:
    with pytest.raises(ValueError, match=r"graph\.of: 1 tensors, and none of them requires grad"):
        graph.of(tg.zeros(3))
    x = tg.tensor(2.0, requires_grad=True)
    y = x.exp()
    y.backward()
    with pytest.raises(
        RuntimeError, match=r"the graph of exp at .*test_graph.py:\d+ is gone, a backward has used it up"
    ):
        graph.of(y)
    with pytest.raises(ValueError, match="conv2d: x has 3 channels"):
        graph.capture(nn.Conv2d(1, 2, 3), tg.zeros(1, 3, 8, 8))


def test_a_long_chain_is_no_trouble(tmp_path: Path) -> None:
    x = tg.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(10_000):
        y = y + x
    started = time.perf_counter()
    g = graph.of(y)
    dot = g.to_dot()
    assert time.perf_counter() - started < 10
    assert "folded: 10,000 ops in 1 box " in dot  # a loop
    assert g.to_dot(fold="none").count("->") == 20_001
    assert len(g.ops) == 10_000
    y = x
    for bit in np.random.default_rng(0).integers(0, 2, 10_000):
        y = y + x if bit else y * x
    started = time.perf_counter()
    dot = graph.of(y).to_dot()
    assert time.perf_counter() - started < 10
    assert re.search(r"folded: 10,000 ops in 1[45]\d boxes", dot)  # hardly a loop in it: stretches of ops


# ---- text, JSON, DOT ----


def test_the_text_form() -> None:
    text = str(graph.capture(build("seed"), tg.zeros(1, 1, 28, 28)))
    lines = [re.sub(r" +", " ", re.sub(r"\S+\.py:\d+", "LINE", line)) for line in text.splitlines()]
    assert lines == [
        "SeedNet: 4 ops, 10,194 parameters",
        "0 input x (1, 1, 28, 28) float32",
        "1 parameter conv.weight (6, 1, 3, 3) float32",
        "2 conv2d <- 0, 1 (1, 6, 26, 26) float32 conv 1->6 k3 s1 p0, 54 params LINE",
        "3 max_pool2d <- 2 (1, 6, 13, 13) float32 k2 LINE",
        "4 flatten <- 3 (1, 1014) float32 LINE",
        "5 parameter fc.weight (10, 1014) float32",
        "6 linear <- 4, 5 (1, 10) float32 fc 1014->10, 10,140 params LINE",
        "7 output output <- 6 (1, 10) float32",
    ]


def test_json_holds_everything(net: Net) -> None:
    g = graph.capture(net, tg.zeros(2, 1, 8, 8))
    values = json.loads(g.to_json())
    assert len(values["nodes"]) == len(g)
    assert len(values["edges"]) == len(g.edges)
    assert values["nodes"][g.ops[0].id]["name"] == "conv2d"
    assert values["modules"]["stem"]["kind"] == "Conv2d"


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (nn.Conv2d(4, 6, (3, 5), stride=2, dilation=(1, 2), groups=2), (1, 4, 20, 20), "4->6 k3x5 s2 p0 d1x2 groups 2"),
        (nn.ConvTranspose2d(4, 6, 3, padding=1), (1, 4, 8, 8), "4->6 k3 s1 p1"),
        (nn.MaxPool2d(3, 2, 1), (1, 4, 8, 8), "k3 s2 p1"),
        (nn.AvgPool2d(2), (1, 4, 8, 8), "k2 s2"),
        (nn.BatchNorm2d(4), (2, 4, 8, 8), "BatchNorm2d 4"),
        (nn.LeakyReLU(0.2), (3,), "negative_slope=0.2"),
        (nn.Dropout(0.25), (3,), "Dropout p=0.25"),
        (nn.Linear(5, 7), (2, 5), "5->7"),
        (nn.LayerNorm((4, 8)), (2, 4, 8), "LayerNorm (4, 8)<"),
        (nn.Upsample(scale_factor=2), (1, 2, 4, 4), "Upsample scale_factor=2"),
    ],
)
def test_layers_are_described_in_few_words(layer: nn.Module, shape: tuple[int, ...], words: str) -> None:
    dot = graph.capture(nn.Sequential(layer), tg.zeros(*shape)).to_dot()
    assert words.replace("->", "→") in dot


def test_folding_layers_and_composites(net: Net) -> None:
    net.eval()
    loss = F.cross_entropy(net(tg.zeros(2, 1, 8, 8)), tg.tensor([1, 2]), label_smoothing=0.1)
    whole = graph.of(loss, model=net)
    folded = fold_layers(whole)
    assert len(folded.ops) < len(whole.ops)
    paths = [(node.path, node.call) for node in folded.ops if node.path in folded.modules and node.path]
    assert len(paths) - len(set(paths)) == 0 or all(not folded.modules[path].is_layer for path, _ in paths)
    assert named(folded, "cross_entropy").count == len([n for n in whole.ops if n.composite == "cross_entropy"])
    assert named(folded, "cross_entropy").family == "reduction, loss"
    assert [node.id for node in folded.nodes] == list(range(len(folded)))
    assert folded.parameter_count == whole.parameter_count
    assert f"{len(whole.ops)} ops" in whole.to_dot()


def test_folding_by_any_key() -> None:
    x = tg.tensor(1.0, requires_grad=True)
    g = graph.of(x.exp().sin().cos().exp())
    one = fold(g, lambda node: "all")
    assert [node.kind for node in one.nodes] == ["input", "op", "output"]
    assert one.ops[0].count == 4
    assert fold(g, lambda node: None).to_dict() == g.to_dict()


# ---- files ----


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize("parameters", ["fold", "nodes"])
@pytest.mark.parametrize("fold_option", ["layers", "none"])
def test_svg_is_well_formed_and_says_what_matters(
    net: Net, theme: str, direction: str, parameters: str, fold_option: str
) -> None:
    g = graph.capture(net, tg.zeros(2, 1, 8, 8))
    svg = g.to_svg(theme=theme, direction=direction, parameters=parameters, fold=fold_option)
    words = [text.text for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    for word in ("Net", "blocks.0", "blocks.1.conv1", "stem", "image", "output", "convolution, linear"):
        assert word in [(w or "").strip() for w in words], word
    assert "(2, 4, 6, 6)" in " ".join(w or "" for w in words)  # to the right, in two lines
    assert ("stem.weight" in words) == (parameters == "nodes")
    assert ("40 params" in words) == (parameters == "fold")
    assert THEMES[theme].page in svg or theme == "light"


EVIL = [
    'a"quote',
    "<b>bold</b>",
    "<b>bold</b> & <i>",
    "&amp;",
    "new\nline",
    "back\\N\\G\\l",
    "名前",
    "Ünïcode",
    "]]>",
    "{|}",
    "<",
    "--",
    "\x1b[31m",
]


@pytest.mark.parametrize("name", EVIL)
def test_names_neither_break_nor_inject(name: str, tmp_path: Path) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module(name, nn.Sequential(nn.Linear(2, 2)))

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            (child,) = self.children()
            return child(x)

    g = graph.capture(Model(), tg.zeros(1, 2))
    shown = "".join(" " if ord(c) < 32 else c for c in name)
    for parameters in ("fold", "nodes"):
        svg = g.to_svg(parameters=parameters)
        words = [text.text or "" for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
        assert any(shown in word for word in words)
    assert len(str(g).splitlines()) == 1 + len(g)
    g.save(tmp_path / "net.png", dpi=50)
    assert json.loads(g.to_json())["nodes"][-2]["path"] == f"{name}.0"


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    script = tmp_path / "draw.py"
    script.write_text(
        "import sys\nimport tinygrad_cnn as tg\nfrom tinygrad_cnn.train import build\n"
        "junk = [object() for _ in range(int(sys.argv[1]))]\n"
        "g = tg.graph.capture(build('lenet'), tg.zeros(1, 1, 28, 28))\n"
        "for name in ('net.svg', 'net.png', 'net.dot', 'net.json'): g.save(name)\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    found = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        subprocess.run([sys.executable, script, seed], cwd=folder, env=env, check=True)
        found.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert len(found[0]) == 4
    assert found[0] == found[1]


def test_a_second_capture_gives_the_same_bytes(net: Net) -> None:
    x, target = tg.zeros(2, 1, 8, 8), tg.tensor([1, 2])

    def step(x: tg.Tensor, target: tg.Tensor) -> tg.Tensor:
        return F.cross_entropy(F.gelu(net(x)), target) + F.cross_entropy(net(x), target)

    first = graph.capture(step, x, target, model=net)
    F.cross_entropy(net(x), target).backward()  # the process goes on in between
    second = graph.capture(step, x, target, model=net)
    assert first.to_json() == second.to_json()
    assert first.to_svg() == second.to_svg()


def test_bad_options_and_files_are_told(tmp_path: Path) -> None:
    g = graph.capture(nn.Linear(2, 2), tg.zeros(1, 2))
    for style, message in {
        ("theme", "pink"): "theme is 'pink', expected one of light, dark",
        ("direction", "UP"): "direction is 'UP', expected one of TB, LR",
        ("parameters", "all"): "parameters is 'all', expected one of fold, nodes",
        ("overlay", "pink"): "overlay is 'pink', expected one of flops, backward, memory",
        ("fold", "all"): "fold is 'all', expected one of auto, layers, repeat, none, a depth from 1",
    }.items():
        with pytest.raises(ValueError, match=message):
            g.save(tmp_path / "net.svg", **dict([style]))
    with pytest.raises(ValueError, match=r"net.bmp ends in '.bmp', expected one of .svg, .png"):
        g.save(tmp_path / "net.bmp")
    with pytest.raises(ValueError, match="engine is 'neato', expected one of graphviz-pure, dot"):
        g.save(tmp_path / "net.svg", engine="neato")
    with pytest.raises(ValueError, match="at is 99, expected the number of a node, 0 to 4"):
        g.save(tmp_path / "net.svg", at=99)
    with pytest.raises(TypeError, match="there is no option thme, expected one of theme, direction"):
        g.save(tmp_path / "net.svg", thme="dark")
    with pytest.raises(ValueError, match="dpi is 0, expected dots in an inch"):
        g.save(tmp_path / "net.png", dpi=0)
    with pytest.raises(ValueError, match="graphviz-pure writes no PDF"):
        g.save(tmp_path / "net.pdf", engine="graphviz-pure")
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*nowhere/net\.svg'"):
        g.save(tmp_path / "nowhere" / "net.svg")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(IsADirectoryError, match=r"Is a directory: '.*folder\.svg'$"):
        g.save(tmp_path / "folder.svg")
    assert os.listdir(tmp_path) == ["folder.svg"]


@pytest.mark.parametrize("ending", ["json", "html"])
def test_no_option_is_left_out_in_silence(tmp_path: Path, ending: str) -> None:
    g = graph.capture(nn.Linear(2, 2), tg.zeros(1, 2))
    options: dict[str, Any] = {
        "theme": "dark", "direction": "LR", "parameters": "nodes", "fold": "none", "legend": False,
        "overlay": "flops", "backward": True, "at": 1, "ready": (1,), "engine": "dot", "dpi": 300,
    }  # fmt: skip
    assert set(options) == {*OPTIONS, "engine", "dpi"}
    for name, value in options.items():
        with pytest.raises(ValueError, match=rf"graph\.save: a \.{ending} .*, so it takes no {name}; a \.svg"):
            g.save(tmp_path / f"net.{ending}", **{name: value})
    with pytest.raises(TypeError, match="there is no option thme"):
        g.save(tmp_path / f"net.{ending}", thme="dark")
    assert os.listdir(tmp_path) == []
    with pytest.raises(ValueError, match=r"a \.dot is not laid out, so it takes no engine, dpi$"):
        g.save(tmp_path / "net.dot", engine="dot", dpi=300)
    g.save(tmp_path / "net.dot", theme="dark")


def test_a_capture_that_cannot_be_called_is_told() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"capture: Linear takes \(input.*\).*, 0 inputs given: missing .* 'input'"):
        graph.capture(layer)
    with pytest.raises(TypeError, match=r"capture: Linear takes \(input.*\).*, 2 inputs given: too many"):
        graph.capture(layer, tg.zeros(1, 2), tg.zeros(1, 2))
    for odd in ((1, 2), "image", None):
        with pytest.raises(TypeError, match=f"the input input is {type(odd).__name__}, expected a Tensor or an array"):
            graph.capture(layer, odd)
    assert graph.capture(lambda: tg.ones(2) * 2).ops[0].name == "mul"
    with pytest.raises(TypeError, match=r"graph\.diff: b is int, expected a Graph"):
        graph.diff(graph.capture(layer, tg.zeros(1, 2)), 3)  # type: ignore[arg-type]


def test_programs_that_are_missing_or_fail_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    g = graph.capture(nn.Linear(2, 2), tg.zeros(1, 2))
    monkeypatch.setattr(render, "_search_path", lambda: str(tmp_path))
    with pytest.raises(RuntimeError, match="the program graphviz-pure was not found"):
        g.save(tmp_path / "net.svg")
    with pytest.raises(RuntimeError, match=r"no program dot was found \(PDF needs it\)"):
        g.save(tmp_path / "net.pdf")
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho 'out of paper' >&2\nexit 3\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    with pytest.raises(RuntimeError, match="graph: dot could not draw the pdf: out of paper"):
        g.save(tmp_path / "net.pdf")
    program.write_text("#!/bin/sh\ncat > /dev/null\nprintf '%s' \"drawn $*\"\n")
    g.save(tmp_path / "net.pdf")
    assert (tmp_path / "net.pdf").read_text() == "drawn -Kdot -Tpdf"


def test_a_notebook_shows_the_picture() -> None:
    g = graph.capture(nn.Linear(2, 2), tg.zeros(1, 2))
    assert g._repr_svg_().startswith("<?xml")
    assert repr(g) == "<Graph Linear: 1 op, 6 parameters>"


def test_every_op_has_a_family_with_a_tint_or_is_shape_only() -> None:
    from tinygrad_cnn import autograd, ops

    found = [x for x in map(vars(ops).get, dir(ops)) if isinstance(x, autograd.Op)]
    families = {graph.style.family_of(x) for x in found}
    assert families <= {*THEMES["light"].tints, "shape only"}
    assert "other op" not in families


def test_tints_leave_the_ink_readable() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    for theme in THEMES.values():
        for tint in theme.tints.values():
            bright, dim = sorted((luminance(theme.ink), luminance(tint)), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5

"""The explorer's page without a browser: what is in its data. tests/browser looks at it as people do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import graph, nn
from tinygrad_cnn.graph.explore.summaries import filters, maps, statistics
from tinygrad_cnn.graph.explore.tree import Group, groups_of
from tinygrad_cnn.graph.graph import Graph


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Sequential(nn.Linear(400, 120), nn.GELU(), nn.Linear(120, 10))

    def forward(self, image: tg.Tensor) -> tg.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(image)), 2)
        x = F.max_pool2d(F.relu(self.norm(self.conv2(x))), 2)
        return self.head(x.flatten(1))


@pytest.fixture
def images() -> tg.Tensor:
    return tg.randn(4, 1, 28, 28)


@pytest.fixture
def labels() -> tg.Tensor:
    return tg.tensor([3, 1, 4, 1])


def data_of(path: Path) -> dict[str, Any]:
    """What the page's script reads."""
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"), re.S)
    found: dict[str, Any] = json.loads(block)
    return found


def explored(tmp_path: Path, g: Graph, **options: Any) -> dict[str, Any]:
    g.explore(tmp_path / "page.html", **options)
    return data_of(tmp_path / "page.html")


def titled(data: dict[str, Any], title: str) -> dict[str, Any]:
    (found,) = [node for node in data["nodes"] if node["title"] == title]
    return dict(found)


def test_a_lenet_is_one_small_file_that_names_no_other(tmp_path: Path, images: tg.Tensor, labels: tg.Tensor) -> None:
    path = tmp_path / "lenet.html"
    graph.capture(LeNet(), images).explore(path, target=labels)
    text = path.read_text("utf-8")
    assert len(text.encode()) < 3_000_000
    assert not re.findall(r'(?:src|href)="(?!data:)', text.partition("<script")[0])
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}  # a name, nobody fetches it
    assert "default-src 'none'" in text


def test_the_values_are_those_of_the_step(tmp_path: Path, images: tg.Tensor, labels: tg.Tensor) -> None:
    model = LeNet()
    data = explored(tmp_path, graph.capture(model, images), target=labels)
    out = model.conv1(images)
    conv1 = titled(data, "conv1")
    assert conv1["out"]["mean"] == pytest.approx(out.array.mean(), rel=1e-3)
    assert conv1["out"]["std"] == pytest.approx(out.array.std(), rel=1e-3)
    assert sum(conv1["out"]["histogram"]) == out.array.size
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    assert float(data["loss"]) == pytest.approx(loss.item(), rel=1e-3)
    weight = next(w for w in conv1["weights"] if w["name"] == "conv1.weight")
    assert model.conv1.weight.grad is not None
    assert weight["grad"]["norm"] == pytest.approx(np.linalg.norm(model.conv1.weight.grad.array), rel=1e-3)
    sent = {s["argument"]: s["norm"] for s in conv1["sent"]}
    assert sent["weight"] == weight["grad"]["norm"]
    assert "image" not in sent
    assert conv1["line"] == "x = F.max_pool2d(F.relu(self.conv1(image)), 2)"
    assert conv1["where"].startswith("test_explore.py:")


def test_exploring_leaves_no_trace_in_the_model(tmp_path: Path, images: tg.Tensor, labels: tg.Tensor) -> None:
    model = LeNet()
    before = {name: value.array.copy() for name, value in model.state_dict().items()}
    state = tg.random.default_generator.get_state()
    explored(tmp_path, graph.capture(model, images), target=labels)
    assert all(p.grad is None for p in model.parameters())
    assert all(np.array_equal(before[name], value.array) for name, value in model.state_dict().items())
    assert str(tg.random.default_generator.get_state()) == str(state)


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    program = (
        "import sys, tinygrad_cnn as tg; from tinygrad_cnn import graph, nn; tg.manual_seed(1);"
        "model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3));"
        "x = tg.randn(2, 1, 8, 8); graph.capture(model, x).explore(sys.argv[1], target=tg.tensor([0, 2]))"
    )
    paths = [tmp_path / "a.html", tmp_path / "b.html"]
    for path, seed in zip(paths, "12", strict=True):
        subprocess.run([sys.executable, "-c", program, path], check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_targets_choose_their_loss_and_a_loss_needs_no_target(tmp_path: Path) -> None:
    x = tg.randn(3, 4)
    g = graph.capture(nn.Linear(4, 2), x)
    names = [
        [node["name"] for node in explored(tmp_path, g, **options)["nodes"] if node["kind"] == "op"]
        for options in (
            {"target": np.array([0, 1, 1])}, {"target": tg.zeros(3, 2)}, {"loss": lambda y: y.exp().sum()},
            {"target": tg.zeros(3, 2), "loss": F.l1_loss},
        )
    ]  # fmt: skip
    direct = [
        [node.name for node in graph.capture(function, tg.zeros(3, 2, requires_grad=True)).ops]
        for function in (
            lambda y: F.cross_entropy(y, tg.tensor([0, 1, 1])), lambda y: F.mse_loss(y, tg.zeros(3, 2)),
            lambda y: y.exp().sum(), lambda y: F.l1_loss(y, tg.zeros(3, 2)),
        )
    ]  # fmt: skip
    assert [found[1:] for found in names] == direct


def test_other_inputs_than_those_of_the_capture(tmp_path: Path) -> None:
    g = graph.capture(nn.Linear(4, 2), tg.randn(3, 4))
    data = explored(tmp_path, g, inputs=tg.ones(7, 4))
    assert [node["shape_text"] for node in data["nodes"]] == ["(7, 4)", "(7, 2)", "(7, 2)"]
    assert "shape (7, 2) and is no loss" in data["why"]
    assert all(node["out"] is not None and node["grad"] is None for node in data["nodes"])


def test_what_cannot_run_is_drawn_without_values(tmp_path: Path) -> None:
    t = tg.tensor(1.5, requires_grad=True)
    (slope,) = tg.autograd.grad((t.sin() * t).exp(), t, create_graph=True)
    data = explored(tmp_path, graph.of(slope))
    assert data["why"].startswith("No values: this graph was taken from tensors")
    assert not data["has_values"]
    assert len(data["nodes"]) > 5

    failed = graph.capture(nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3)), tg.ones(2, 4), on_error="draw")
    data = explored(tmp_path, failed)
    assert "the run failed" in data["why"]
    assert [bool(node["error"]) for node in data["nodes"]][-1]


def test_bad_input_is_refused(tmp_path: Path) -> None:
    g = graph.capture(nn.Linear(4, 2), tg.randn(3, 4))
    with pytest.raises(ValueError, match=r"graph\.explore: .*page\.svg ends in '\.svg', expected \.html"):
        g.explore(tmp_path / "page.svg")
    with pytest.raises(OSError, match="nowhere"):
        g.explore(tmp_path / "nowhere" / "page.html")
    x = tg.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match=r"graph\.explore: this graph was taken from tensors .* expected one of"):
        graph.of(x.sum()).explore(tmp_path / "page.html", target=x)
    with pytest.raises(ValueError, match="cross_entropy"):
        g.explore(tmp_path / "page.html", target=np.array([0, 1]))
    assert list(tmp_path.iterdir()) == []


def test_words_of_the_user_end_no_block_and_fill_no_place(tmp_path: Path) -> None:
    model = nn.Sequential()
    model.add_module("</script><b>{{css}}\n\x07", nn.Linear(2, 2))
    path = tmp_path / "page.html"
    graph.capture(model, tg.ones(1, 2), title="<i>{{data}}</i>").explore(path)
    text = path.read_text("utf-8")
    assert "<i>" not in text
    assert "<b>" not in text
    assert "<title>&lt;i&gt;{{data}}&lt;/i&gt;: graph explorer</title>" in text
    assert data_of(path)["nodes"][1]["title"] == "</script><b>{{css}}  "


def test_measured_times_become_an_overlay(tmp_path: Path) -> None:
    g = graph.capture(nn.Sequential(nn.Linear(4, 2), nn.Tanh()), tg.randn(3, 4)).profile(repeats=1)
    data = explored(tmp_path, g, target=tg.zeros(3, 2))
    (time,) = [overlay for overlay in data["overlays"] if overlay["id"] == "time"]
    ops = [node["id"] for node in data["nodes"] if node["kind"] == "op"]
    assert [id for id in ops if str(id) in time["values"]] == ops[:2]
    assert time["values"][str(ops[0])] == pytest.approx(g.measures["time"][ops[0]])


def test_overlays_hold_costs_and_dead_units(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    with tg.no_grad():
        model[0].bias.copy_(tg.tensor([-100.0, 100.0, 100.0, -100.0]))
    data = explored(tmp_path, graph.capture(model, tg.rand(5, 3)), loss=lambda y: y.sum())
    values = {overlay["id"]: list(overlay["values"].values()) for overlay in data["overlays"]}
    assert values["dead"] == [0.5]
    assert values["flops"][0] == 2 * 5 * 3 * 4 + 5 * 4
    assert values["saved"][1] > 0
    assert set(values) == {"flops", "backward", "memory", "saved", "std", "gradient", "nan", "dead", "ties"}


# -- groups --


def deep(depth: int) -> nn.Sequential:
    return nn.Sequential(*[nn.Sequential(nn.Linear(2, 2), nn.Tanh()) for _ in range(depth)])


def test_groups_hold_every_op_once_and_without_gaps() -> None:
    for g in (graph.capture(LeNet(), tg.zeros(1, 1, 28, 28)), graph.capture(deep(200), tg.zeros(1, 2))):
        root, _ = groups_of(g)
        assert [node.id for node in root.ops] == [node.id for node in g.ops]


def test_layers_and_composites_are_folded_and_single_ops_stand_for_their_layer() -> None:
    root, titles = groups_of(graph.capture(LeNet(), tg.zeros(2, 1, 28, 28)))
    assert "conv1" in titles.values()
    (head,) = [child for child in root.children if isinstance(child, Group) and child.title == "head"]
    assert (head.kind, head.cls, head.folded) == ("module", "Sequential", False)


def test_a_shared_module_says_which_call_it_is() -> None:
    encoder = nn.Sequential(nn.Linear(2, 2))

    def twice(a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
        return encoder(a) * encoder(b)

    root, titles = groups_of(graph.capture(twice, tg.ones(1, 2), tg.ones(1, 2), model=encoder))
    assert sorted(titles.values()) == ["0 (call 1 of 2)", "0 (call 2 of 2)"]
    assert len(list(root.ops)) == 3


def test_a_large_graph_starts_folded() -> None:
    root, _ = groups_of(graph.capture(deep(400), tg.zeros(1, 2)))
    assert len(root.children) == 10
    assert all(isinstance(child, Group) and child.folded for child in root.children)

    def longest(group: Group) -> int:
        return max(len(group.children), *(longest(c) for c in group.children if isinstance(c, Group)), 0)

    def chain(x: tg.Tensor) -> tg.Tensor:
        for _ in range(7000):
            x = x + 1.0
        return x

    root, _ = groups_of(graph.capture(chain, tg.zeros(1)))
    assert longest(root) <= 80


# -- summaries --


def test_statistics_leave_out_what_is_not_finite_and_count_it() -> None:
    s = statistics(np.array([1.0, 3.0, np.nan, np.inf, -np.inf, 0.0]))
    assert (s["nan"], s["inf"], s["min"], s["max"], s["mean"]) == (1, 2, 0.0, 3.0, 1.333)
    assert s["values"] == [1.0, 3.0, None, None, None, 0.0]
    nothing = statistics(np.full(3, np.nan))
    assert (nothing["mean"], nothing["nan"]) == (None, 3)
    assert statistics(np.zeros((0, 3)))["size"] == 0
    json.dumps([s, nothing], allow_nan=False)


def test_statistics_of_huge_and_of_whole_numbers() -> None:
    assert statistics(np.array([1e300, -1e300]))["norm"] == pytest.approx(np.sqrt(2) * 1e300, rel=1e-3)
    assert statistics(np.arange(5))["mean"] == 2.0
    assert statistics(np.array(7.0))["std"] == 0.0
    assert sum(statistics(np.linspace(-1, 1, 1000))["histogram"]) == 1000


def pixels(image: dict[str, Any]) -> np.ndarray[Any, Any]:
    import base64
    import io

    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))) as opened:
        return np.asarray(opened.convert("RGB"))


def test_maps_show_the_sign_in_colour_on_one_scale() -> None:
    x = np.zeros((2, 2, 3, 3))
    x[0, 0, 0, 0], x[0, 1, 2, 2] = -4.0, 2.0
    image = maps(x)
    assert image is not None
    shown = pixels(image)
    assert shown.shape == (3, 7, 3)
    assert tuple(shown[0, 0]) == (0xD5, 0x5E, 0x00)  # the strongest, below zero
    assert tuple(shown[1, 1]) == (255, 255, 255)
    assert shown[2, 6][2] > shown[2, 6][0]  # bluish, half strength
    assert "2 of 2 channels, 3 by 3; blue up to 4, white 0, orange down to -4" in image["alt"]


def test_maps_are_made_smaller_and_fewer() -> None:
    image = maps(np.random.default_rng(0).random((1, 40, 200, 120)))
    assert image is not None
    assert image["alt"].startswith("16 of 40 channels")
    assert (image["w"], image["h"]) == (8 * 25 - 1, 2 * 41 - 1)
    assert maps(np.zeros((1, 3, 1, 1))) is None
    assert maps(np.zeros((4, 10))) is None
    weight = filters(np.ones((6, 3, 5, 5)))
    assert weight is not None
    assert "first input channel" in weight["alt"]

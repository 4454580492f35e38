"""The commands `draw` and `diff`: what they print and write, their exit codes, one line for each mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tinygrad_cnn import cli

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main(list(arguments))
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return run


def test_draw_with_an_overlay_and_with_gradients(command: Command, tmp_path: Path) -> None:
    assert command("draw", "lenet", "-o", "a.svg", "--overlay", "flops")[0] == 0
    assert "FLOPs, forward:" in (tmp_path / "a.svg").read_text()
    assert command("draw", "lenet", "-o", "b.dot", "--backward", "--parameters", "nodes", "--fold", "none")[0] == 0
    assert (tmp_path / "b.dot").read_text().count("dir=back") > 15
    assert command("draw", "vgg", "-o", "c.dot", "--fold", "1")[0] == 0
    assert "Sequential, 5 ops" in (tmp_path / "c.dot").read_text()
    assert command("draw", "seed", "--input-shape", "1,28,28", "-o", "d.svg", "--overlay", "dead")[0] == 0
    assert "no op here has a value" in (tmp_path / "d.svg").read_text()


def test_the_summary(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("draw", "lenet", "--summary", "--input-shape", "2,1,28,28")
    assert code == 0
    assert "Total mult-adds: 846,076" in out
    assert list(tmp_path.iterdir()) == []


def test_diff_prints_draws_and_exits(command: Command, tmp_path: Path) -> None:
    assert command("draw", "lenet", "-o", "lenet.json")[0] == 0
    assert command("diff", "lenet", "lenet.json") == (0, "LeNet and LeNet are alike: 12 ops\n", "")
    code, out, _ = command("diff", "lenet.json", "mnist", "-o", "d.svg")
    assert code == 1
    assert "~ conv2d in conv1: shape (1, 6, 28, 28) -> (1, 32, 26, 26)" in out
    assert "  parameters: 61,706 -> 1,199,882" in out
    assert "d.svg: <Graph LeNet -> MnistNet" in out
    assert "changed" in (tmp_path / "d.svg").read_text()
    assert command("draw", "lenet.json", "-o", "again.svg")[0] == 0


def test_models_of_ones_own_take_any_shape(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_models.py").write_text(
        "from tinygrad_cnn import nn\nlayers = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))\n"
        "def convolution(in_shape):\n    return nn.Conv2d(in_shape[0], 4, 3)\n"
    )
    assert command("draw", "own_models:layers", "--input-shape", "5,6", "-o", "a.svg")[0] == 0
    assert "(5, 6)" in (tmp_path / "a.svg").read_text()
    code, _, err = command("draw", "own_models:layers")
    assert code == 2
    assert "linear: input has 28 features" in err
    assert "the input was of shape 1,28,28, --input-shape takes another" in err
    assert command("draw", "own_models:convolution", "--input-shape", "3,8,8", "-o", "b.svg")[0] == 0
    assert "3→4 k3 s1 p0" in (tmp_path / "b.svg").read_text()
    assert command("diff", "own_models:layers", "own_models:layers", "--input-shape", "1,6")[0] == 0


def test_diff_as_json(command: Command) -> None:
    code, out, _ = command("diff", "lenet", "mnist", "--json", "-o", "d.svg")
    found = json.loads(out)
    assert (code, found["a"], found["b"], found["alike"]) == (1, "LeNet", "MnistNet", False)
    assert {"node", "facts"} == set(found["changed"][0])
    facts = [fact for change in found["changed"] for fact in change["facts"]]
    assert "shape (1, 6, 28, 28) -> (1, 32, 26, 26)" in facts
    assert len(found["added"]) + len(found["removed"]) > 0
    code, out, _ = command("diff", "lenet", "lenet", "--json")
    assert (code, json.loads(out)) == (
        0, {"a": "LeNet", "b": "LeNet", "alike": True, "removed": [], "added": [], "changed": []},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("draw", "lenet", "--overlay", "pink"), "overlay is 'pink', expected one of flops"),
        (("draw", "lenet", "--fold", "some"), "fold is 'some', expected one of auto"),
        (("diff", "lenet", "nothing.json"), "nothing.json: No such file or directory"),
        (("diff", "lenet", "lenot"), "did you mean lenet?"),
        (("diff", "lenet", "mnist", "-o", "x.bmp"), "ends in '.bmp'"),
        (("diff", "lenet"), "Missing argument"),
        (("draw", "lenet", "-o", "x.json", "--theme", "dark", "--backward"), "so it takes no theme, backward; a .svg"),
        (("draw", "lenet", "-o", "x.html", "--fold", "2"), "the explorer, whose reader chooses the look, so it takes"),
        (("draw", "lenet", "--input-shape", "28"), "--input-shape 28 has 1 number, expected C,H,W or N,C,H,W"),
        (("draw", "lenet", "-o", "nowhere/x.svg"), "nowhere/x.svg: No such file or directory"),
    ],
)
def test_mistakes_are_told_in_one_line(command: Command, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = command(*arguments)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_an_overlay_of_a_file_that_cannot_run(command: Command) -> None:
    command("draw", "lenet", "-o", "lenet.json")
    code, _, err = command("draw", "lenet.json", "--overlay", "std", "-o", "x.svg")
    assert code == 2
    assert "the overlay 'std' needs a run" in err

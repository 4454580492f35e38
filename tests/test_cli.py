"""The command line: what it prints, what it writes, and one clear line for each mistake."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tinygrad_cnn as tg
from tinygrad_cnn import cli, serialization
from tinygrad_cnn.data import mnist
from tinygrad_cnn.errors import UserError
from tinygrad_cnn.json_text import json_text
from tinygrad_cnn.train import Checkpoint, History, Run, build, predict
from tinygrad_cnn.train.images import ink_share, prepare, read_image
from tinygrad_cnn.train.pictures import draw_pictures

PICTURES = {
    "confusion.png", "curves.png", "feature_maps.png", "filters.png", "graph.svg", "refresher.png", "saliency.png",
    "mistakes.png", "samples.png",
}  # fmt: skip
FILES = {
    "best.safetensors", "checkpoint.safetensors", "config.json", "metrics.csv", "metrics.json", "model.safetensors",
    "report.html",
}  # fmt: skip


def zipped(data: bytes) -> bytes:
    """Gzipped, without the time of day: parallel test runs must give a case the same name."""
    return gzip.compress(data, mtime=0)


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    path.write_bytes(zipped(header + array.astype(np.uint8).tobytes()))


def write_folder(folder: Path, train: int = 200, test: int = 50) -> Path:
    """A folder of IDX files with the first images of the bundled digits."""
    folder.mkdir(parents=True, exist_ok=True)
    for images, part, count in zip(mnist(), ("train", "t10k"), (train, test), strict=True):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images.images[:count, 0])
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", images.labels[:count])
    return folder


def process_of(*arguments: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Python in a process of its own, which finds the package as this one does."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Shell:
    """Runs the command in this process, in a folder of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main([str(a) for a in arguments])
        out, err = self.capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    def good(self, *arguments: object) -> str:
        code, out, err = self(*arguments)
        assert code == 0, err
        return out

    def bad(self, *arguments: object) -> str:
        """The one line on stderr."""
        code, out, err = self(*arguments)
        assert code == 2
        assert out == ""
        assert re.fullmatch(r"error: [^\n]+\n", err)
        return err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(capsys)


@pytest.fixture(scope="session")
def idx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "idx")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the seed's model that knows its digits well enough to be asked; nobody changes it."""
    out = tmp_path_factory.mktemp("runs") / "seed"
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train", "--model", "seed", "--epochs", "1", "--batch-size", "50", "--out", str(out)])
    assert not stopped.value.code
    return out


# ---- train ----


def test_training_leaves_a_whole_run_folder(shell: Shell, idx: Path, tmp_path: Path) -> None:
    out = shell.good("train", "--data", idx, "--epochs", "2", "--lr", "0.003", "--seed", "4")
    assert set(os.listdir(tmp_path / "runs" / "lenet-1")) == FILES | PICTURES
    lines = out.splitlines()
    assert lines[0] == f"lenet on {idx} -> runs/lenet-1"
    assert [line[:8] for line in lines[1:3]] == ["epoch  1", "epoch  2"]
    config = json.loads((tmp_path / "runs/lenet-1/config.json").read_text())
    given = {"model": "lenet", "optimizer": "adam", "lr": 0.003, "epochs": 2, "seed": 4, "data": str(idx)}
    assert given.items() <= config.items()
    metrics = json.loads((tmp_path / "runs/lenet-1/metrics.json").read_text())
    assert lines[-1] == f"test accuracy: {metrics['epochs'][-1]['test_accuracy']:.4f}"
    assert len(metrics["steps"]["loss"]) == 8


def test_the_report_shows_everything_and_loads_nothing(trained: Path) -> None:
    page = (trained / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(PICTURES) - 1
    assert page.count("data:image/svg+xml;base64,") == 2  # light and dark
    assert not re.search(r"""(src|href|srcset)=["'](?!data:)""", page)
    assert "<script" not in page
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    assert "test accuracy: 0." in page
    widths = re.findall(r'<img class="plot"[^>]* style="--width: (\d+)px"', page)  # on a phone, 0.7 of it is kept
    assert len(widths) == len(PICTURES) - 1
    assert '"--width: 720px"' in page  # 7.5 inches


def test_pictures_are_pictures(trained: Path) -> None:
    for name in PICTURES - {"graph.svg"}:
        with Image.open(trained / name) as image:
            image.load()
            assert min(image.size) > 100
            assert len(set(image.convert("L").get_flattened_data())) > 10
    svg = (trained / "graph.svg").read_text()
    for word in ("conv", "max_pool2d", "flatten", "fc", "(1, 6, 26, 26)", "10,194 parameters"):
        assert word in svg


def test_a_run_without_mistakes_shows_none(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "r")
    run = Run.open(tmp_path / "r")
    model = run.load_model()
    _, test_set = run.data()
    guessed = predict(model, test_set.tensors()[0]).argmax(axis=1)
    history = History.from_dict(json.loads((trained / "metrics.json").read_text()))
    shown = draw_pictures(run, model, history, dataclasses.replace(test_set, labels=guessed))
    assert "Surest mistakes" not in [picture.title for picture in shown]
    assert not (tmp_path / "r/mistakes.png").exists()


def test_the_seed_has_its_own_recipe(shell: Shell, tmp_path: Path) -> None:
    shell.good("train", "--model", "seed", "--out", "seed")
    metrics = json.loads((tmp_path / "seed/metrics.json").read_text())
    assert len(metrics["steps"]["accuracy"]) == 25
    config = json.loads((tmp_path / "seed/config.json").read_text())
    assert {"optimizer": "sgd", "lr": 0.1, "batch_size": 10, "iterations": 25}.items() <= config.items()


def test_models_without_a_convolution_have_fewer_pictures(shell: Shell, idx: Path, tmp_path: Path) -> None:
    shell.good("train", "--model", "mlp", "--data", idx, "--epochs", "1", "--out", "m")
    assert set(os.listdir(tmp_path / "m")) == FILES | PICTURES - {"filters.png", "feature_maps.png"}


def test_images_too_small_for_a_filter_have_no_refresher(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    for part, n in (("train", 20), ("t10k", 10)):
        pixels, labels = np.arange(n, dtype=np.uint8), np.arange(n, dtype=np.uint8) % 10
        for kind, array in (("images-idx3", pixels.reshape(n, 1, 1)), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())
    shell.good("train", "--model", "mlp", "--data", folder, "--epochs", "1", "--out", "m")
    assert set(os.listdir(tmp_path / "m")) == FILES | PICTURES - {"filters.png", "feature_maps.png", "refresher.png"}


def test_small_digits_train_too(shell: Shell) -> None:
    out = shell.good("train", "--data", "digits", "--epochs", "2")
    assert float(out.splitlines()[-1].removeprefix("test accuracy: ")) > 0.5


def test_a_run_is_resumed_with_the_same_result(shell: Shell, idx: Path, tmp_path: Path) -> None:
    common = ["train", "--model", "mlp", "--data", idx, "--batch-size", "25"]
    shell.good(*common, "--epochs", "3", "--out", "whole")
    stop_after(5)
    code, out, _ = shell(*common, "--epochs", "3", "--out", "part")
    assert code == 130
    assert out.splitlines()[-1] == "stopped after batch 5; go on with: tinygrad-cnn train --resume part"
    assert "report.html" not in os.listdir(tmp_path / "part")
    out = shell.good("train", "--resume", "part")
    assert set(os.listdir(tmp_path / "part")) == set(os.listdir(tmp_path / "whole"))
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert "is complete after 3 epochs" in shell.bad("train", "--resume", "part")
    (tmp_path / "part" / "report.html").unlink()  # as if Ctrl-C had come while the pictures were drawn
    assert shell.good("train", "--resume", "part").splitlines()[-1] == out.splitlines()[-1]
    assert (tmp_path / "part" / "report.html").exists()
    out = shell.good("train", "--resume", "part", "--epochs", "4")
    assert "epoch  4" in out
    assert json.loads((tmp_path / "part/config.json").read_text())["epochs"] == 4


def stop_after(batches: int, error: BaseException | None = None) -> None:
    """Press Ctrl-C once, at the end of a batch of the next training, or raise an error there."""
    from tinygrad_cnn.train import ProgressBar

    original = ProgressBar.on_batch_end

    def on_batch_end(self: Any, trainer: Any) -> None:
        original(self, trainer)
        if trainer.step == batches:
            ProgressBar.on_batch_end = original  # type: ignore[method-assign]
            if error is not None:
                raise error
            os.kill(os.getpid(), signal.SIGINT)

    ProgressBar.on_batch_end = on_batch_end  # type: ignore[method-assign]


def test_ctrl_c_in_a_real_process(idx: Path, tmp_path: Path) -> None:
    process = process_of(
        "-m", "tinygrad_cnn", "train", "--data", str(idx), "--epochs", "5000", "--out", "r", cwd=tmp_path
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "r/checkpoint.safetensors").exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with: tinygrad-cnn train --resume r" in out
    assert err == ""
    assert (tmp_path / "r/model.safetensors").exists()


@pytest.mark.parametrize("start", ["-m tinygrad_cnn", "tinygrad-cnn", "import"])
def test_ctrl_c_while_python_still_imports(tmp_path: Path, start: str) -> None:
    """One line and 130 in the command; in a program that imports the package, what Python does."""
    (tmp_path / "numpy.py").write_text("print('importing', flush=True)\nimport time\ntime.sleep(60)\n")
    (tmp_path / "tinygrad-cnn").write_text("from tinygrad_cnn.cli import main\nmain()\n")
    arguments = {"import": ["-c", "import tinygrad_cnn"]}.get(start, [*start.split(), "train"])
    path = os.pathsep.join(entry for entry in (str(tmp_path), *sys.path) if entry)
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    if start == "import":
        assert err.splitlines()[-1] == "KeyboardInterrupt"
    else:
        assert (process.returncode, err) == (130, "stopped\n")


def test_training_stops_early_and_says_so(shell: Shell, idx: Path, tmp_path: Path) -> None:
    common = ["train", "--model", "mlp", "--data", idx, "--optimizer", "sgd", "--lr", "1e-9", "--epochs", "9"]
    out = shell.good(*common, "--patience", "2", "--out", "r").splitlines()
    rows = json.loads((tmp_path / "r/metrics.json").read_text())["epochs"]
    losses = [row["test_loss"] for row in rows]
    assert len(losses) < 9
    assert losses.index(min(losses)) == len(losses) - 3
    assert "stopped early: the test loss has not fallen for 2 epochs" in out
    assert (tmp_path / "r/report.html").exists()


def keys_in_the_docs() -> dict[str, set[str]]:
    page = (Path(__file__).parent.parent / "docs/command-line.md").read_text()
    rows = [line.split("|")[1:4] for line in page.splitlines() if line.startswith("| `")]
    return {name.strip(" `"): set(re.findall(r"`(\w+)`", keys)) for name, _, keys in rows}


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--model", "mlp", "--data", "IDX", "--epochs", "1", "--out", "r"],
        ["evaluate", "RUN", "--data", "IDX"],
        ["predict", "RUN", "digit.png"],
        ["draw", "mlp"],
        ["diff", "mlp", "mlp"],
        ["check", "mlp"],
        ["bench", "--quick", "--workload", "mlp_b128", "--threads", "1"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_json_is_one_document_with_the_keys_that_the_docs_name(
    shell: Shell, request: pytest.FixtureRequest, tmp_path: Path, arguments: list[str]
) -> None:
    Image.fromarray(mnist()[1].images[0, 0]).save(tmp_path / "digit.png")
    fixtures = {"IDX": "idx", "RUN": "trained"}
    given = [request.getfixturevalue(fixtures[a]) if a in fixtures else a for a in arguments]
    out = shell.good(*given, "--json", *["-"] * (arguments[0] == "bench"))
    found = json.loads(out, parse_constant=pytest.fail)  # NaN and Infinity are Python's words, not JSON's
    first = found[0] if isinstance(found, list) else found
    assert set(first) == keys_in_the_docs()[arguments[0]]


def test_json_has_null_where_there_is_no_number() -> None:
    assert json_text([float("nan"), {"a": (float("-inf"), 1.5)}, "NaN"]) == '[null, {"a": [null, 1.5]}, "NaN"]'


def test_the_result_as_json(shell: Shell, idx: Path, tmp_path: Path) -> None:
    code, out, err = shell("train", "--model", "mlp", "--data", idx, "--epochs", "1", "--out", "r", "--json")
    assert code == 0
    found = json.loads(out)
    assert found.pop("run") == "r"
    assert found == json.loads((tmp_path / "r/metrics.json").read_text())["epochs"][-1]
    assert "epoch  1" in err


def test_training_writes_for_tensorboard(
    shell: Shell, idx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["train", "--model", "mlp", "--data", idx, "--epochs", "1", "--out", "r", "--tensorboard"]
    shell.good(*arguments)
    assert [name[:19] for name in os.listdir(tmp_path / "r/tensorboard")] == ["events.out.tfevents"]
    monkeypatch.setattr("tinygrad_cnn.train.callbacks.tensorboard.find_spec", lambda name: None)
    assert "pip install 'tinygrad-cnn[tensorboard]'" in shell.bad(*arguments[:-2], "s", "--tensorboard")
    assert os.listdir(tmp_path) == ["r"]


# ---- evaluate, predict, draw, info ----


def test_the_best_weights_can_be_asked(shell: Shell, trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_bytes((trained / "config.json").read_bytes())
    (run / "model.safetensors").write_bytes((trained / "model.safetensors").read_bytes())
    Image.fromarray(mnist()[1].images[0, 0]).save("x.png")
    assert "no checkpoint there (best.safetensors is missing)" in shell.bad("evaluate", run, "--best")
    fresh = build("seed")
    tg.save(fresh.state_dict(), run / "best.safetensors")
    scores = [json.loads(shell.good("evaluate", run, "--json", *more))["test_loss"] for more in ([], ["--best"])]
    assert scores[0] < scores[1]
    rows = [json.loads(shell.good("predict", run, "x.png", "--json", *more)) for more in ([], ["--best"])]
    assert rows[0] != rows[1]


def test_evaluate_repeats_the_accuracy_of_the_training(shell: Shell, trained: Path, idx: Path) -> None:
    row = json.loads((trained / "metrics.json").read_text())["epochs"][-1]
    assert shell.good("evaluate", trained).splitlines()[-1] == f"test accuracy: {row['test_accuracy']:.4f}"
    found = json.loads(shell.good("evaluate", trained, "--data", idx, "--json"))
    assert found["samples"] == 50
    assert 0.7 < found["test_accuracy"] <= 1


def test_predict_reads_pictures_of_any_size(shell: Shell, trained: Path, tmp_path: Path) -> None:
    row = np.flatnonzero(mnist()[1].labels == 1)[0]
    digit = Image.fromarray(mnist()[1].images[row, 0])
    digit.save("small.png")
    paper = Image.new("RGB", (500, 300), "white")
    paper.paste(Image.fromarray(255 - np.asarray(digit.resize((200, 200), Image.Resampling.BICUBIC))), (250, 60))
    paper.save("large.jpg")
    lines = shell.good("predict", trained, "small.png", "large.jpg").splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["small.png:", "large.jpg:"]
    for line in lines:
        assert re.fullmatch(r"\S+: 1 \(\d+\.\d %\), \d \(\d+\.\d %\), \d \(\d+\.\d %\)", line)
    found = json.loads(shell.good("predict", trained, "large.jpg", "--json"))
    shares = [guess["probability"] for guess in found[0]["top"]]
    assert found[0]["top"][0]["class"] == "1"
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1.0001


@pytest.mark.parametrize("name", ["net.svg", "net.png", "net.dot", "net.json"])
def test_draw_writes_the_form_that_the_ending_says(shell: Shell, tmp_path: Path, name: str) -> None:
    out = shell.good("draw", "lenet", "-o", name)
    assert out == f"{name}: <Graph LeNet: 12 ops, 61,706 parameters>\n"
    start = {"svg": b"<?xml", "png": b"\x89PNG", "dot": b"digraph", "json": b"{"}[name.partition(".")[2]]
    assert (tmp_path / name).read_bytes().startswith(start)


def test_draw_takes_runs_and_shapes(shell: Shell, trained: Path, tmp_path: Path) -> None:
    assert shell.good("draw", trained) == "seed.svg: <Graph SeedNet: 4 ops, 10,194 parameters>\n"
    shell.good("draw", "vgg", "--input-shape", "8,1,16,16", "-o", "v.svg", "--theme", "dark", "--direction", "LR")
    assert "(8, 32, 16, 16)" in (tmp_path / "v.svg").read_text()
    text = shell.good("draw", "mlp", "--text", "--input-shape", "1,8,8")
    assert text.startswith("MlpNet: 4 ops, 19,210 parameters\n")
    assert "64->256" in text


def test_info_names_versions(shell: Shell) -> None:
    found = json.loads(shell.good("info", "--json"))
    assert found["tinygrad-cnn"] == tg.__version__
    assert found["bundled data"] == "5,000 training and 1,000 test images of MNIST"
    assert f"numpy          {np.__version__}" in shell.good("info")


def test_help_and_version(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert shell.good("--version") == f"tinygrad-cnn {tg.__version__}\n"
    assert shell.good() == shell.good("--help")
    listed = shell.good("--help")
    assert "Example: tinygrad-cnn train" in listed
    commands = re.findall(r"^  (\w+) +[A-Z]", listed.partition("Commands:")[2], re.MULTILINE)
    assert {"train", "evaluate", "predict", "draw", "diff", "info", "bench"} <= set(commands)
    assert "..." not in listed.partition("Commands:")[2]  # what does not fit into 80 columns is cut there
    assert max(map(len, listed.splitlines())) <= 80
    for command in commands:
        assert f"Example: tinygrad-cnn {command}" in shell.good(command, "--help")


@pytest.mark.parametrize("start", [["-m", "tinygrad_cnn"], ["-c", "from tinygrad_cnn.cli import main; main()"]])
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("train --mod", ["--model"]),
        ("train --model m", ["mlp", "mnist"]),
        ("train --data d", ["data[1]/", "digits"]),
        ("draw lenet --overlay g", ["gradcheck", "gradient"]),
        ("evaluate data[", ["data[1]/"]),
        ("inf", ["info"]),
    ],
)
def test_the_shell_completes(start: list[str], words: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "data[1]").mkdir()
    (tmp_path / "data.csv").touch()
    line = {
        "_TINYGRAD_CNN_COMPLETE": "complete_bash",
        "COMP_WORDS": f"tinygrad-cnn {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    out, err = process_of(*start, cwd=tmp_path, **line).communicate(timeout=60)
    assert (sorted(out.split()), err) == (offered, "")


def test_the_shells_get_a_script(tmp_path: Path) -> None:
    for shell_name in ("bash", "zsh", "fish"):
        out, err = process_of("-m", "tinygrad_cnn", "--show-completion", shell_name, cwd=tmp_path).communicate()
        assert "_TINYGRAD_CNN_COMPLETE=complete_" in out, err


def test_help_is_quick_and_imports_little(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom tinygrad_cnn.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numba', 'matplotlib', 'sklearn', 'scipy', 'graphviz', 'PIL'} & set(sys.modules)))"
    )
    out, err = process_of("-c", code, cwd=tmp_path).communicate(timeout=60)
    assert out.splitlines()[-1] == "[]", err


def test_the_module_is_the_command(tmp_path: Path) -> None:
    process = process_of("-m", "tinygrad_cnn", "--nonsense", cwd=tmp_path)
    assert process.communicate(timeout=60) == ("", "error: No such option: --nonsense\n")
    assert process.returncode == 2


# ---- mistakes ----


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--model", "lenett"], "unknown model 'lenett'; did you mean lenet?"),
        (["train", "--model", "nowhere:f"], "model nowhere:f: cannot import nowhere"),
        (["train", "--model", "../own:f"], "model '../own:f' is neither a name nor package.module:callable"),
        (["train", "--model", ""], "unknown model ''"),
        (["train", "--data", ""], "data '' is neither bundled, digits, openml nor a folder"),
        (["train", "--data", "nowhere"], "data 'nowhere' is neither bundled, digits, openml nor a folder"),
        (["train", "--data", "empty"], "empty: has no file train-images-idx3-ubyte"),
        (["train", "--epochs", "0"], "--epochs"),
        (["train", "--epochs", "many"], "--epochs"),
        (["train", "--batch-size", "-1"], "--batch-size"),
        (["train", "--lr", "nan"], "--lr is nan, expected a number above 0"),
        (["train", "--lr", "-1"], "--lr is -1, expected a number above 0"),
        (["train", "--optimizer", "magic"], "unknown optimizer 'magic'; there are sgd,"),
        (["train", "--optimizer", "Adm"], "unknown optimizer 'Adm'; did you mean adam? there are sgd,"),
        (["train", "--nonsense"], "No such option: --nonsense"),
        (["train", "surplus"], "surplus"),
        (["train", "--out", "full"], "full exists already"),
        (["train", "--resume", "nowhere"], "nowhere: no such folder, expected a run"),
        (["train", "--resume", "empty"], "no config.json there, so it is no run folder"),
        (["train", "--resume", "full", "--lr", "1", "--seed", "2"], "--lr, --seed cannot be changed with --resume"),
        (["evaluate"], "Missing argument"),
        (["evaluate", "empty"], "no config.json there, so it is no run folder"),
        (["predict", "empty", "x.png"], "no config.json there"),
        (["draw", "lenet", "-o", "x.bmp"], "ends in '.bmp', expected one of .svg"),
        (["draw", "lenet", "-o", "no/where/x.svg"], "No such file or directory"),
        (["draw", "lenet", "--theme", "pink"], "theme is 'pink', expected one of light, dark"),
        (["draw", "lenet", "--input-shape", "one"], "--input-shape is 'one', expected numbers like 1,28,28"),
        (["draw", "lenet", "--input-shape", "28,28"], "--input-shape 28,28 has 2 numbers"),
        (["draw", "lenet", "--input-shape", "1,3,3"], "model lenet needs images of at least 4x4"),
        (["draw", "lenet", "--json", "-o", "x.json"], "--json draws nothing, and goes without --output"),
        (
            ["draw", "lenet", "--text", "--json", "--overlay", "time"],
            "--text draws nothing, and goes without --json, --ov",
        ),
        (["bench", "--quick", "--json", "no/where/x.json"], "no/where/x.json: there is no folder no/where"),
        (["bench", "--quick", "--markdown", "empty"], "empty: is a folder"),
        (["bench", "--quick", "--picture", "x.png"], "--picture draws the suite growth, not steps"),
        (["nonsense"], "nonsense"),
    ],
)
def test_mistakes_are_told_in_one_line(shell: Shell, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    assert words in shell.bad(*arguments)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (
            "train-images-idx3-ubyte.gz",
            zipped(struct.pack(">HBB3I", 0, 8, 3, 200, 28, 28) + b"\0" * 99),
            "is cut short",
        ),
        ("train-images-idx3-ubyte.gz", b"\x1f\x8b\x08broken", "broken gzip file"),
        ("train-images-idx3-ubyte.gz", b"hello, I am a text", "expected those of an IDX file"),
        ("train-images-idx3-ubyte.gz", zipped(struct.pack(">HBBI", 0, 8, 1, 4) + b"abcd"), "expected images"),
        (
            "t10k-labels-idx1-ubyte.gz",
            zipped(struct.pack(">HBBI", 0, 8, 1, 3) + b"\0\1\2"),
            "expected labels of 50 images",
        ),
        (
            "t10k-labels-idx1-ubyte.gz",
            zipped(struct.pack(">HBBI", 0, 8, 1, 50) + b"\x0b" * 50),
            "holds the label 11",
        ),
    ],
)
def test_bad_idx_files_are_told(shell: Shell, tmp_path: Path, file: str, content: bytes, words: str) -> None:
    folder = write_folder(tmp_path / "idx")
    (folder / file).write_bytes(content)
    line = shell.bad("train", "--data", "idx")
    assert words in line
    assert file in line
    assert os.listdir(tmp_path) == ["idx"]


def test_files_that_are_no_pictures_are_told(shell: Shell, trained: Path, tmp_path: Path) -> None:
    Image.fromarray(mnist()[1].images[0, 0]).save("good.png")
    whole = Path("good.png").read_bytes()
    Path("cut.png").write_bytes(whole[: len(whole) // 2])
    Path("text.png").write_text("no picture")
    Path("empty.jpg").touch()
    for name in ("cut.png", "text.png", "empty.jpg", "."):
        assert f"{name}: not a picture that can be read" in shell.bad("predict", trained, "good.png", name)
    assert "missing.png: no such file" in shell.bad("predict", trained, "missing.png")


def test_damaged_runs_are_told(shell: Shell, trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_bytes((trained / "config.json").read_bytes())
    Image.fromarray(mnist()[1].images[0, 0]).save("x.png")
    commands = [("evaluate", run), ("predict", run, "x.png"), ("draw", run)]
    weights = run / "model.safetensors"
    for command in commands:
        assert "no checkpoint there" in shell.bad(*command)
    assert "no checkpoint there" in shell.bad("train", "--resume", run)
    weights.write_bytes((trained / "model.safetensors").read_bytes()[:-1])
    for command in commands:
        assert "damaged or cut short" in shell.bad(*command)
    tg.save(build("mlp").state_dict(), weights)
    for command in commands:
        assert "not the weights of model seed" in shell.bad(*command)
    broken = build("seed").state_dict()
    broken["conv.weight"].array[0, 0, 1, 1] = np.nan
    tg.save(broken, weights)
    for command in commands:
        assert "conv.weight holds NaN or infinity" in shell.bad(*command)
    (run / "config.json").write_text("{}")
    for command in commands:
        assert "'model' is missing" in shell.bad(*command)
    assert sorted(os.listdir(tmp_path)) == ["run", "x.png"]


def test_a_users_file_that_fails_is_told(shell: Shell, tmp_path: Path) -> None:
    for name, text, words in [
        ("syntax_error", "def f(: pass", "importing syntax_error failed with SyntaxError: invalid syntax"),
        ("raises", "raise RuntimeError('boom')", "importing raises failed with RuntimeError: boom"),
        ("leaves", "import sys; sys.exit(3)", "importing leaves failed with SystemExit: 3"),
        (
            "learns_nothing",
            "from tinygrad_cnn import nn\nclass f(nn.Module):\n    def forward(self, x): return x.flatten(1)[:, :10]",
            "model learns_nothing:f has no parameters to learn",
        ),
    ]:  # fmt: skip
        (tmp_path / f"{name}.py").write_text(text)
        assert words in shell.bad("train", "--model", f"{name}:f", "--out", "r")
        assert not (tmp_path / "r").exists()


def test_test_images_of_another_size_are_told(shell: Shell, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "idx")
    write_idx(folder / "t10k-images-idx3-ubyte.gz", mnist()[1].images[:50, 0, :20, :20])
    words = "idx: the test images are 20x20, the training images 28x28; expected one size"
    assert words in shell.bad("train", "--data", "idx", "--out", "r")
    assert os.listdir(tmp_path) == ["idx"]


def test_a_full_disk_is_named(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        """A file on a disk without room: the error of a write names no file."""

        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(serialization.os, "fdopen", Full)
    assert shell.bad("draw", "lenet", "-o", "x.svg") == "error: x.svg: No space left on device\n"
    line = shell.bad("train", "--model", "seed", "--out", "r")
    assert line == "error: r/config.json: No space left on device\n"
    assert os.listdir(tmp_path) == []


def test_data_of_another_shape_is_told(shell: Shell, trained: Path) -> None:
    assert "the data has images (1, 8, 8) of 10 classes" in shell.bad("evaluate", trained, "--data", "digits")


def test_a_full_disk_is_told(shell: Shell, idx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace
    room = [0]

    def replace(source: Any, target: Any) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        real(source, target)

    monkeypatch.setattr(serialization.os, "replace", replace)
    assert "r/config.json: No space left on device" in shell.bad("train", "--data", idx, "--out", "r")
    assert os.listdir(tmp_path) == []
    room[0] = 2
    code, _, err = shell("train", "--data", idx, "--epochs", "1", "--out", "r")
    assert code == 2
    assert err.splitlines()[-1] == "error: r/checkpoint.safetensors: No space left on device"
    assert os.listdir(tmp_path) == []  # weights without a checkpoint could be neither told from a whole run nor resumed
    room[0] = 3
    code, _, err = shell("train", "--data", idx, "--epochs", "1", "--out", "r")
    assert (code, err.splitlines()[-1]) == (2, "error: r/best.safetensors: No space left on device")
    assert sorted(os.listdir("r")) == ["checkpoint.safetensors", "config.json", "model.safetensors"]


def test_a_diverging_training_is_told(shell: Shell, idx: Path, tmp_path: Path) -> None:
    code, _, err = shell("train", "--model", "mlp", "--data", idx, "--optimizer", "sgd", "--lr", "1e30", "--out", "r")
    assert code == 2
    assert re.fullmatch(
        r"error: training stopped: the loss became (nan|inf) in batch \d+; a smaller learning rate may help",
        err.splitlines()[-1],
    )
    assert os.listdir(tmp_path) == []


def test_a_failure_before_the_first_checkpoint_leaves_what_was_there(
    shell: Shell, idx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverging = ["train", "--model", "mlp", "--data", idx, "--optimizer", "sgd", "--lr", "1e30", "--tensorboard"]
    (tmp_path / "there").mkdir()
    assert shell(*diverging, "--out", "there")[0] == 2
    assert shell(*diverging, "--out", "there/a/b")[0] == 2
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "there"]

    def put_a_file(*_: object) -> None:
        (tmp_path / "there/a/notes.txt").write_text("mine")
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "on_epoch_end", put_a_file)
    assert shell("train", "--model", "mlp", "--data", idx, "--out", "there/a/b")[0] == 130
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "there/a/notes.txt"]


def test_a_failure_after_the_first_checkpoint_keeps_the_run(shell: Shell, idx: Path, tmp_path: Path) -> None:
    common = ["train", "--model", "mlp", "--data", idx]
    shell.good(*common, "--epochs", "1", "--out", "r")
    before = {path: path.read_bytes() for path in (tmp_path / "r").iterdir()}
    stop_after(5, KeyboardInterrupt())
    assert shell("train", "--resume", "r", "--epochs", "3")[0] == 130
    assert {path: path.read_bytes() for path in (tmp_path / "r").iterdir()} == {
        **before, tmp_path / "r/config.json": (tmp_path / "r/config.json").read_bytes()
    }  # fmt: skip
    assert "epoch  3" in shell.good("train", "--resume", "r", "--epochs", "3")


# ---- pictures as inputs ----


def test_an_image_of_the_right_size_is_left_alone(tmp_path: Path) -> None:
    digit = mnist()[1].images[3, 0]
    Image.fromarray(digit).save(tmp_path / "dark.png")
    Image.fromarray(255 - digit).convert("RGBA").save(tmp_path / "light.png")
    for name in ("dark.png", "light.png"):
        np.testing.assert_allclose(read_image(tmp_path / name, (1, 28, 28), 20 / 28)[0], digit / 255, atol=1e-6)


@pytest.mark.parametrize(("dtype", "end"), [(np.uint16, "png"), (np.int32, "tif")])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, dtype: Any, end: str) -> None:
    digit = mnist()[1].images[3, 0]
    path = tmp_path / f"deep.{end}"
    Image.fromarray((digit.astype(np.int64) * 257).astype(dtype)).save(path)
    np.testing.assert_allclose(read_image(path, (1, 28, 28), 20 / 28)[0], digit / 255, atol=1e-6)


def test_more_than_sixteen_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((28, 28), 70_000, np.int32)).save(tmp_path / "deep.tif")
    with pytest.raises(UserError, match=r"grey values are 70000 to 70000, expected 16 bits at most"):
        read_image(tmp_path / "deep.tif", (1, 28, 28))


def test_a_transparent_ground_is_paper(tmp_path: Path) -> None:
    image = Image.new("RGBA", (60, 60), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (25, 10, 35, 50))
    image.save(tmp_path / "bar.png")
    pixels = read_image(tmp_path / "bar.png", (1, 28, 28), 20 / 28)
    rows, columns = np.nonzero(pixels[0] > 0.5)
    assert rows.max() - rows.min() + 1 == 20
    assert columns.max() - columns.min() + 1 == 5
    assert abs(rows.mean() - 13.5) <= 0.5
    assert abs(columns.mean() - 13.5) <= 0.5


def test_digits_on_paper_are_read_as_if_mnist_had_made_them(trained: Path) -> None:
    _, test_set = mnist()
    pixels = []
    for digit in test_set.images[:100, 0]:
        large = Image.fromarray(255 - digit).resize((280, 280), Image.Resampling.BICUBIC)
        paper = Image.new("L", (700, 400), 230)
        paper.paste(large.point(lambda p: int(p * 0.9)), (300, 50))
        pixels.append(prepare(paper, (1, 28, 28), 20 / 28))
    run = Run.open(trained)
    inputs = ((np.stack(pixels) - run.config.mean) / run.config.std).astype(np.float32)
    model = run.load_model()
    on_paper = predict(model, tg.from_numpy(inputs)).argmax(axis=1)
    as_they_are = predict(model, test_set.take(slice(100)).tensors()[0]).argmax(axis=1)
    assert (on_paper == as_they_are).mean() >= 0.9


def test_coloured_pictures_keep_their_aspect() -> None:
    image = Image.new("RGB", (40, 20), "red")
    pixels = prepare(image, (3, 32, 32))
    assert pixels.shape == (3, 32, 32)
    np.testing.assert_allclose(pixels[0], 1)
    np.testing.assert_allclose(pixels[1:], 0)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (28, 27)])
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_even_pictures_and_odd_sizes_are_no_trouble(size: tuple[int, int], shade: int) -> None:
    for in_shape in ((1, 28, 28), (3, 28, 28), (1, 8, 8)):
        pixels = prepare(
            Image.new("L" if in_shape[0] == 1 else "RGB", size, shade if in_shape[0] == 1 else (shade,) * 3), in_shape
        )
        assert pixels.shape == in_shape
        assert np.isfinite(pixels).all()
        assert 0 <= pixels.min() <= pixels.max() <= 1


def test_the_ink_of_mnist_fills_its_box() -> None:
    assert ink_share(mnist()[0].images) == pytest.approx(20 / 28)

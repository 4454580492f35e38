"""The benchmark runs and reports; nothing here looks at how long anything took."""

from __future__ import annotations

import importlib.util
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from tinygrad_cnn import bench
from tinygrad_cnn.bench import compare
from tinygrad_cnn.bench.command import bench as command
from tinygrad_cnn.bench.convolutions import CONVOLUTIONS
from tinygrad_cnn.bench.suites import ALL, SUITES
from tinygrad_cnn.bench.worker import peak_memory, time_steps
from tinygrad_cnn.bench.workloads import CHAIN, WORKLOADS, Framework
from tinygrad_cnn.errors import UserError

app = typer.Typer()
app.command()(command)


def side(*times: float, step_mb: float | None = 2.0) -> compare.Side:
    return compare.Side(list(times), [2 * t for t in times], step_mb, 50.0, 0.5)


def shown(report: bench.Report) -> str:
    console = Console(width=120, file=io.StringIO())
    console.print(report.table())
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_step_of_every_workload_trains(name: str) -> None:
    step = WORKLOADS[name].build(Framework.load("tinygrad_cnn"), 2 if name != "chain" else 3)
    losses = [step().item() for _ in range(4)]
    assert all(map(math.isfinite, losses))
    if name == "chain":
        assert len(set(losses)) == 1
    else:
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_layer_of_every_kind_runs(name: str) -> None:
    step = CONVOLUTIONS[name].build(Framework.load("tinygrad_cnn"), 2)
    assert math.isfinite(step().item())
    assert step().item() == step().item()


def test_the_suites_share_no_name() -> None:
    assert len(ALL) == sum(map(len, SUITES.values()))


def test_growth_is_drawn_and_a_table_is_markdown(tmp_path: Path) -> None:
    png, table = tmp_path / "growth.png", tmp_path / "table.md"
    arguments = ["--suite", "growth", "--quick", "--threads", "1", "--picture", str(png), "--markdown", str(table)]
    for name in ("batch_1", "batch_4", "depth_1", "depth_2"):
        arguments += ["--workload", name]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert png.read_bytes().startswith(b"\x89PNG")
    head, line, *rows = table.read_text().splitlines()
    assert (head, line) == ("| workload | time | MB |", "| --- | ---: | ---: |")
    assert [row.split()[1] for row in rows[:4]] == ["batch_1", "batch_4", "depth_1", "depth_2"]
    assert "1 thread, 1 round of" in rows[-1]


def test_an_unknown_suite_is_told_of() -> None:
    result = CliRunner().invoke(app, ["--suite", "walks"])
    assert isinstance(result.exception, UserError)
    assert "unknown suite 'walks', there are steps, convolutions, growth" in str(result.exception)


def test_the_chain_is_as_long_as_it_says() -> None:
    from tinygrad_cnn import autograd

    run = WORKLOADS["chain"].build(Framework.load("tinygrad_cnn"), 3)
    ran: list[str] = []
    real = autograd.step

    def counted(node: autograd.Node, *rest: Any) -> None:
        ran.append(node.op.name)
        real(node, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autograd, "step", counted)
        run()
    assert len(ran) == CHAIN + 1  # and the sum at its end


def test_a_round_takes_at_least_three_steps() -> None:
    calls: list[int] = []
    found = time_steps(lambda: calls.append(1), 0.0)
    assert len(calls) == found["steps"] == 3
    assert found["median"] >= 0
    assert found["cpu"] >= 0


def test_peak_memory_sees_an_array() -> None:
    before = peak_memory()
    assert before is not None
    ones = np.ones(60_000_000)
    after = peak_memory()
    assert after is not None
    assert after >= ones.nbytes / 2**20


def test_run_alone() -> None:
    said: list[str] = []
    report = bench.run(["seed_b10", "chain"], against=None, threads=1, rounds=2, seconds=0.0, say=said.append)
    assert said == ["seed_b10", "chain"]
    for row, unit in zip(report.rows, ("ms", "µs/op"), strict=True):
        assert row.unit == unit
        assert len(row.ours.times) == len(row.ours.cpu) == 2
        assert row.ours.time > 0
        assert row.ours.process_mb is None or row.ours.process_mb > 0
        assert row.ratio is row.memory_ratio is row.cpu_ratio is None
    assert report.machine["processor"]
    text = shown(report)
    assert "seed_b10" in text
    assert "µs/op" in text


def test_ratios_are_of_pairs_of_rounds() -> None:
    row = compare.Row("seed_b10", "ms", side(1.0, 2.0, 4.0), side(3.0, 4.0, 4.0, step_mb=5.0))
    assert row.ratios == [3.0, 2.0, 1.0]
    assert row.ratio == 2.0
    assert row.cpu_ratio == 2.0
    assert row.memory_ratio == 2.5
    assert row.ours.time == 2.0


@pytest.mark.parametrize("mine", [None, 0.0])
def test_no_memory_ratio_without_memory(mine: float | None) -> None:
    row = compare.Row("seed_b10", "ms", side(1.0, step_mb=mine), side(2.0))
    assert row.memory_ratio is None
    assert shown(bench.Report("torch", 2, 1, 1.0, {}, [row])).split()[-1] == "-"


def test_the_table_says_the_range() -> None:
    row = compare.Row("vgg_b32", "ms", side(1.0, 2.0, 4.0), side(3.0, 4.0, 4.0))
    assert "2.00 (1.00-3.00)" in shown(bench.Report("torch", 2, 3, 1.0, {}, [row]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workloads": ["mnist"]}, r"unknown workload 'mnist', there are seed_b10, "),
        ({"against": "jax"}, r"unknown peer 'jax', there are torch, torch-reuse"),
    ],
)
def test_unknown_names(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bench.run(**arguments)


def test_missing_torch_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^PyTorch is not installed.*pip install torch$"):
        bench.run(["chain"], against="torch")


def test_a_worker_that_dies_is_told_of() -> None:
    with compare._Process(compare.OURS, None, {}) as process:
        process.process.kill()
        process.process.wait()
        with pytest.raises(RuntimeError, match="the process of tinygrad_cnn ended"):
            process.ask("build", "chain")


def test_the_command_prints_json() -> None:
    result = CliRunner().invoke(app, ["--quick", "--workload", "mlp_b128", "--threads", "1", "--json", "-"])
    assert result.exit_code == 0
    assert [row["workload"] for row in json.loads(result.stdout)["rows"]] == ["mlp_b128"]


def test_the_command_writes_json(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    result = CliRunner().invoke(app, ["--quick", "--workload", "mlp_b128", "--threads", "1", "--json", str(path)])
    assert result.exit_code == 0, result.output
    assert "mlp_b128" in result.output
    found = json.loads(path.read_text())
    assert (found["against"], found["threads"], found["rounds"]) == (None, 1, 1)
    assert [row["workload"] for row in found["rows"]] == ["mlp_b128"]
    assert len(found["rows"][0]["ours"]["times"]) == 1


@pytest.mark.peers
def test_both_sides_start_from_a_like_loss() -> None:
    pytest.importorskip("torch")
    report = bench.run(["mlp_b128", "chain"], against="torch-reuse", threads=1, rounds=1, seconds=0.0)
    for row in report.rows:
        assert row.peer is not None
        assert row.ratio is not None
        assert row.ratio > 0
    mlp, chain = report.rows
    assert mlp.peer is not None
    assert abs(mlp.ours.loss - mlp.peer.loss) < 0.5  # other random weights, the same net
    assert chain.peer is not None
    assert chain.ours.loss == pytest.approx(chain.peer.loss, rel=1e-4)
    assert "torch-reuse" in shown(report)


def test_time_to_accuracy_tells_of_each_epoch() -> None:
    from tinygrad_cnn import data
    from tinygrad_cnn.bench.accuracy import epochs_of

    train, test = data.mnist()
    arrays = [x.array for images in (train.take(slice(640)), test.take(slice(100))) for x in images.tensors()]
    rows = list(epochs_of(Framework.load("tinygrad_cnn"), arrays, epochs=2))
    assert [row["epoch"] for row in rows] == [1, 2]
    assert 0 < rows[0]["seconds"] <= rows[1]["seconds"]
    assert rows[1]["test_accuracy"] >= 0.7

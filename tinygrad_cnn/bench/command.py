"""The command `tinygrad-cnn bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["bench"]


def bench(
    against: Annotated[
        str | None, typer.Option(help="torch, or torch-reuse (PyTorch with malloc told to keep its memory).")
    ] = None,
    suite: Annotated[str, typer.Option(help="steps, convolutions or growth (over batch and depth).")] = "steps",
    workload: Annotated[list[str] | None, typer.Option(help="A workload; repeatable. [default: the suite's]")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads, on both sides.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, in which the sides take turns.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.0, help="How long a round lasts, on each side.")] = 1.0,
    quick: Annotated[bool, typer.Option("--quick", help="One round of a few steps: does it run at all?")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything measured to this file; - prints it.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table to this file, as Markdown.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the suite growth to this file (PNG, SVG, PDF).")] = None,
) -> None:
    """Time whole training steps, alone or in turn with PyTorch. Ratios above 1 say that we are ahead.

    Example: tinygrad-cnn bench --against torch --threads 2 --workload lenet_b64
    """
    from rich.console import Console

    from tinygrad_cnn.bench import run
    from tinygrad_cnn.bench.growth import plot
    from tinygrad_cnn.bench.suites import SUITES
    from tinygrad_cnn.errors import UserError
    from tinygrad_cnn.json_text import json_text

    if suite not in SUITES:
        raise UserError(f"unknown suite {suite!r}, there are {', '.join(SUITES)}")
    if picture is not None and suite != "growth":
        raise UserError(f"--picture draws the suite growth, not {suite}: --suite growth")
    files = [path for path in (json_file, markdown, picture) if path is not None and path != Path("-")]
    for path in files:  # before anything is measured
        if path.is_dir() or not path.parent.is_dir():
            raise UserError(f"{path}: {'is a folder' if path.is_dir() else f'there is no folder {path.parent}'}")
    console = Console(stderr=json_file == Path("-"))
    with console.status("starting") as status:
        length = (1, 0.0) if quick else (rounds, seconds)
        report = run(workload or SUITES[suite], against, threads, *length, status.update)
    if json_file == Path("-"):
        typer.echo(json_text(report.to_dict()))
    else:
        console.print(report.table())
        if json_file is not None:
            report.save(json_file)
    if markdown is not None:
        markdown.write_text(report.markdown())
    if picture is not None:
        plot(report, picture)
    for path in files:
        console.print(f"written: {path}", highlight=False)

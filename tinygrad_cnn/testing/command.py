"""The command `tinygrad-cnn check`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["check"]


def check(
    target: Annotated[str, typer.Argument(help="A run folder, a model's name, or package.module:callable.")],
    input_shape: Annotated[
        str | None,
        typer.Option(help="The shape of one image, or of a batch. [default: two of the run's, else 1,28,28]"),
    ] = None,
    order: Annotated[int, typer.Option(min=1, max=2, help="2 checks the second derivatives too.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the weights and of the random batch.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the gradients of every op of a model. Each sees the inputs that it gets there; exit with 1 if one is wrong.

    Example: tinygrad-cnn check lenet, or tinygrad-cnn check my_models:net --input-shape 8,3,32,32
    """
    from rich.console import Console

    from tinygrad_cnn import manual_seed, randn
    from tinygrad_cnn.errors import UserError
    from tinygrad_cnn.json_text import json_text
    from tinygrad_cnn.testing.model_check import check_model
    from tinygrad_cnn.train.target import load_target, shape_hint

    manual_seed(seed)
    model, shape, _ = load_target(target, input_shape, batch=2)  # batch norm needs two
    try:
        found = check_model(model.train(), randn(*shape), order=order)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{error}{shape_hint(input_shape, shape)}") from error
    if as_json:
        typer.echo(json_text(found.to_dict()))
        raise typer.Exit(found.exit_code)
    console = Console()
    console.print(found.table())
    for line in found.remarks:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(found.exit_code)

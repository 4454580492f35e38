"""The command `tinygrad-cnn check`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["check"]


def check(
    target: Annotated[str, typer.Argument(help="package.module:model (a Module, or what makes one), or lenet, vgg, …")],
    input_shape: Annotated[str, typer.Option(help="The shape of the batch, as 8,1,28,28.")],
    order: Annotated[int, typer.Option(min=1, max=2, help="2 checks the second derivatives too.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the weights and of the random batch.")] = 0,
) -> None:
    """Check the gradients of every op of a model, each on the inputs that it gets there. Exit with 1 if one is wrong.

    Example: tinygrad-cnn check my_models:net --input-shape 8,1,28,28
    """
    from rich.console import Console

    from tinygrad_cnn import manual_seed, randn
    from tinygrad_cnn.errors import UserError
    from tinygrad_cnn.testing.model_check import check_model
    from tinygrad_cnn.train import build

    try:
        shape = tuple(int(part) for part in input_shape.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise UserError(f"--input-shape is {input_shape!r}, expected numbers above 0, as 8,1,28,28")
    if ":" not in target and len(shape) != 4:
        raise UserError(f"--input-shape {input_shape} has {len(shape)} numbers, {target} expects N,C,H,W")
    manual_seed(seed)
    try:
        model = build(target, shape[1:])  # type: ignore[arg-type]  # a model of one's own may take other shapes
        found = check_model(model, randn(*shape), order=order)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(" ".join(str(error).split())) from error
    console = Console()
    console.print(found.table())
    for line in found.remarks:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(found.exit_code)

"""The command `tinygrad-cnn`. Heavy imports stand inside the commands, so that `--help` is quick."""

from __future__ import annotations

import glob
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from tinygrad_cnn.bench.command import bench
from tinygrad_cnn.errors import UserError
from tinygrad_cnn.interrupt import STOPPED, started
from tinygrad_cnn.json_text import json_text
from tinygrad_cnn.testing.command import check

__all__ = ["app", "main"]

app = typer.Typer(
    name="tinygrad-cnn",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from tinygrad_cnn import __version__

        typer.echo(f"tinygrad-cnn {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train, use and draw convolutional networks made of ops.

    Example: tinygrad-cnn train, and then tinygrad-cnn predict runs/lenet-1 digit.png
    """


def _one_of(*words: str, folders: bool = False) -> Callable[[str], list[str]]:
    """What the shell offers for a value that has begun with some letters."""

    def complete(incomplete: str) -> list[str]:
        found = [word for word in words if word.startswith(incomplete)]
        if folders:
            found += [f"{path}/" for path in sorted(glob.glob(f"{glob.escape(incomplete)}*")) if Path(path).is_dir()]
        return found

    return complete


_MODELS = ("lenet", "mlp", "mnist", "seed", "vgg")
_OVERLAYS = (
    "flops", "backward", "memory", "saved", "time", "mean", "std", "gradient", "nan", "dead", "ties", "gradcheck",
)  # fmt: skip
_DATA = _one_of("bundled", "digits", "openml", folders=True)
_RUN = _one_of(folders=True)
_BEST = "Take the weights after the epoch with the highest test accuracy, not the last ones."
_TARGET = _one_of(*_MODELS, folders=True)


@app.command()
def train(
    model: Annotated[
        str | None,
        typer.Option(
            help="lenet, seed, mnist, vgg, mlp, or package.module:callable. [default: lenet]",
            autocompletion=_one_of(*_MODELS),
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="bundled, digits, openml, or a folder of IDX files. [default: bundled]", autocompletion=_DATA
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training set.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images in a batch.")] = None,
    lr: Annotated[float | None, typer.Option(help="The learning rate.")] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="sgd, momentum, adam, adamw, rmsprop, adagrad or adadelta.",
            autocompletion=_one_of("sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad", "adadelta"),
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the weights and the shuffling. [default: 0]")] = None,
    out: Annotated[Path | None, typer.Option(help="The new run folder. [default: runs/MODEL-NUMBER]")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue the run in this folder, exactly.", autocompletion=_RUN)
    ] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many epochs without a lower test loss.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write for TensorBoard too, into RUN/tensorboard.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, and all else on stderr.")] = False,
) -> None:
    """Train a model; with no options, LeNet on the bundled digits. What is not given comes from the model's recipe.

    Example: tinygrad-cnn train --model mnist --epochs 2 --out runs/first
    """
    from tinygrad_cnn.train import TensorBoard, job

    if tensorboard:
        try:
            TensorBoard.check()  # before anything is written
        except ImportError as error:
            raise UserError(str(error)) from error
    if lr is not None and not 0 < lr < float("inf"):
        raise UserError(f"--lr is {lr:g}, expected a number above 0")
    if resume is not None:
        fixed = {
            "model": model,
            "data": data,
            "batch-size": batch_size,
            "lr": lr,
            "optimizer": optimizer,
            "seed": seed,
            "out": out,
        }
        if given := [f"--{name}" for name, value in fixed.items() if value is not None]:
            raise UserError(f"{', '.join(given)} cannot be changed with --resume, only --epochs can")
        run, trainer, test_set = job.resume(resume, epochs)
    else:
        run, trainer, test_set = job.start(
            model="lenet" if model is None else model, data="bundled" if data is None else data,
            epochs=epochs, batch_size=batch_size,
            lr=lr, optimizer=optimizer, seed=seed or 0, out=out,
        )  # fmt: skip
    say = partial(typer.echo, err=as_json)
    if not job.finish(run, trainer, test_set, say, patience=patience, tensorboard=tensorboard):
        folder = shlex.quote(str(run.folder))
        say(f"stopped after batch {trainer.step}; go on with: tinygrad-cnn train --resume {folder}")
        raise typer.Exit(STOPPED)
    say(f"report: {run.folder / 'report.html'}")
    say(f"test accuracy: {trainer.history.last['test_accuracy']:.4f}")
    if as_json:
        typer.echo(json_text({"run": str(run.folder), **trainer.history.last}))


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.", autocompletion=_RUN)],
    data: Annotated[
        str | None,
        typer.Option(
            help="bundled, digits, openml, or a folder of IDX files. [default: the run's]", autocompletion=_DATA
        ),
    ] = None,
    best: Annotated[bool, typer.Option("--best", help=_BEST)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the loss and accuracy of a run's model on the test set.

    Example: tinygrad-cnn evaluate runs/lenet-1
    """
    from tinygrad_cnn.train import Run
    from tinygrad_cnn.train import evaluate as score_of
    from tinygrad_cnn.train.config import load_data

    opened = Run.open(run)
    model = opened.load_model(best)
    _, test_set = load_data(opened.config.data if data is None else data)
    opened.check(test_set)
    test_set = test_set.normalize(opened.config.mean, opened.config.std)
    score = score_of(model, test_set)
    if as_json:
        typer.echo(json_text({"test_loss": score.loss, "test_accuracy": score.accuracy, "samples": len(test_set)}))
        return
    typer.echo(f"test loss: {score.loss:.4f}")
    typer.echo(f"test accuracy: {score.accuracy:.4f}")


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="A run folder.", autocompletion=_RUN)],
    images: Annotated[list[Path], typer.Argument(help="PNG or JPEG files of any size.")],
    best: Annotated[bool, typer.Option("--best", help=_BEST)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the three likeliest classes of each image. Each stands with its probability.

    Example: tinygrad-cnn predict runs/lenet-1 digit.png
    """
    import numpy as np

    from tinygrad_cnn.tensor import Tensor
    from tinygrad_cnn.train import Run
    from tinygrad_cnn.train import predict as probabilities_of
    from tinygrad_cnn.train.images import read_image

    opened = Run.open(run)
    config = opened.config
    model = opened.load_model(best)
    pixels = np.stack([read_image(path, config.in_shape, config.ink) for path in images])
    rows = probabilities_of(model, Tensor(((pixels - config.mean) / config.std).astype(np.float32)))
    top = np.argsort(-rows, axis=1, kind="stable")[:, :3]
    found = [
        {"image": str(path), "top": [{"class": config.classes[i], "probability": float(row[i])} for i in first]}
        for path, row, first in zip(images, rows, top, strict=True)
    ]
    if as_json:
        typer.echo(json_text(found))
        return
    for path, row, first in zip(images, rows, top, strict=True):
        words = ", ".join(f"{config.classes[i]} ({100 * row[i]:.1f} %)" for i in first)
        typer.echo(f"{path}: {words}")


@app.command()
def draw(
    target: Annotated[
        str,
        typer.Argument(
            help="A run folder, a model's name, package.module:callable, or a graph's .json file.",
            autocompletion=_TARGET,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .svg, .png, .pdf, .dot or .json file. [default: NAME.svg]")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option(help="The shape of one image, or of a batch. [default: the run's, else 1,28,28]")
    ] = None,
    theme: Annotated[str, typer.Option(help="light or dark.", autocompletion=_one_of("light", "dark"))] = "light",
    direction: Annotated[
        str, typer.Option(help="TB (downwards) or LR (to the right).", autocompletion=_one_of("TB", "LR"))
    ] = "TB",
    parameters: Annotated[
        str,
        typer.Option(
            help="fold (count them in their op) or nodes (draw each).", autocompletion=_one_of("fold", "nodes")
        ),
    ] = "fold",
    fold: Annotated[
        str,
        typer.Option(
            help="auto, layers, repeat, none, or a depth of modules.",
            autocompletion=_one_of("auto", "layers", "repeat", "none"),
        ),
    ] = "auto",
    overlay: Annotated[
        str | None,
        typer.Option(help=", ".join(_OVERLAYS[:-1]) + f" or {_OVERLAYS[-1]}.", autocompletion=_one_of(*_OVERLAYS)),
    ] = None,
    backward: Annotated[bool, typer.Option("--backward", help="Run backward, and draw the gradients too.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Print the graph as text, and draw nothing.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="Print the table of layers, and draw nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the graph as JSON, and draw nothing.")] = False,
) -> None:
    """Draw the graph of a model: every op, with shapes. What is measured is so on random numbers.

    Example: tinygrad-cnn draw lenet -o lenet.svg --overlay flops
    """
    options = {
        "theme": (theme, "light"), "direction": (direction, "TB"), "parameters": (parameters, "fold"),
        "overlay": (overlay, None), "backward": (backward, False),
        "fold": (int(fold) if fold.isdecimal() else fold, "auto"),
    }  # fmt: skip
    said: dict[str, Any] = {option: value for option, (value, default) in options.items() if value != default}
    printed = [f"--{form}" for form, wanted in (("text", text), ("summary", summary), ("json", as_json)) if wanted]
    others = [*printed[1:], *["--output"] * (output is not None), *(f"--{option}" for option in said)]
    if printed and others:
        raise UserError(f"{printed[0]} draws nothing, and goes without {', '.join(others)}")
    try:
        captured, name = _graph(target, input_shape)
        if as_json:
            typer.echo(json_text(captured.to_dict()))
            return
        if text or summary:
            typer.echo(captured.summary() if summary else str(captured))
            return
        if backward:
            run = captured.run()
            captured = run.backward(run.seed()).graph
        path = output or Path("".join(c if c.isalnum() else "-" for c in name) + ".svg")
        captured.save(path, **said)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(" ".join(str(error).split())) from error
    typer.echo(f"{path}: {captured!r}")


@app.command()
def diff(
    a: Annotated[
        str,
        typer.Argument(
            help="As for draw: a run folder, a model's name, or a graph's .json file.", autocompletion=_TARGET
        ),
    ],
    b: Annotated[str, typer.Argument(help="What to compare it with.", autocompletion=_TARGET)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Draw both as one picture: a .svg, .png, .pdf or .dot file.")
    ] = None,
    input_shape: Annotated[str | None, typer.Option(help="The shape of one image, or of a batch.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what differs between the graphs of two models. Exit with 0 if they are alike, with 1 if not.

    Example: tinygrad-cnn diff lenet runs/lenet-1
    """
    from tinygrad_cnn import graph

    try:
        found = graph.diff(_graph(a, input_shape)[0], _graph(b, input_shape)[0])
        if output is not None:
            found.save(output)
        typer.echo(json_text(found.to_dict()) if as_json else str(found))
        if output is not None and not as_json:
            typer.echo(f"{output}: {found.union()!r}")
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(" ".join(str(error).split())) from error
    raise typer.Exit(found.exit_code)


def _graph(target: str, input_shape: str | None) -> tuple[Any, str]:
    """The graph that a target on the command line stands for, and a name for files."""
    import numpy as np

    from tinygrad_cnn import graph
    from tinygrad_cnn.train.target import load_target, shape_hint

    if target.endswith(".json"):
        return graph.Graph.load(target), Path(target).stem
    model, shape, name = load_target(target, input_shape, batch=1)
    noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    try:
        return graph.capture(model.eval(), noise), name
    except (ValueError, TypeError) as error:
        raise UserError(f"{error}{shape_hint(input_shape, shape)}") from error


@app.command()
def info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print versions, threads, kernels and bundled data.

    Example: tinygrad-cnn info
    """
    from tinygrad_cnn.train.info import facts

    found = facts()
    if as_json:
        typer.echo(json_text(found))
        return
    width = max(map(len, found))
    for name, value in found.items():
        typer.echo(f"{name:{width}}  {value}")


app.command()(bench)
app.command()(check)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 if all went well, 2 with one line on stderr if the user can put it right."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        started()
        code = app(given or ["--help"], prog_name="tinygrad-cnn", standalone_mode=False)
    except UserError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        sys.exit(STOPPED)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()  # whoever read our output has gone; Python would complain about that at exit
            sys.exit(1)
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer raises for a wrong option has it
            raise
        _fail(error.format_message())
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: Any) -> NoReturn:
    typer.echo(f"error: {' '.join(str(message).split())}", err=True)
    sys.exit(2)

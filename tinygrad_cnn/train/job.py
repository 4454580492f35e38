"""The main job from its options to a full run folder: what `tinygrad-cnn train` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tinygrad_cnn.data import Images
from tinygrad_cnn.errors import UserError
from tinygrad_cnn.train.callbacks import EarlyStopping, ProgressBar, TensorBoard
from tinygrad_cnn.train.config import RunConfig, load_data
from tinygrad_cnn.train.images import ink_share
from tinygrad_cnn.train.loop import Trainer
from tinygrad_cnn.train.pictures import draw_pictures
from tinygrad_cnn.train.recipes import recipe_for, usual_lr
from tinygrad_cnn.train.report import report
from tinygrad_cnn.train.run import Run, build_checked

__all__ = ["finish", "resume", "start"]


def start(
    *,
    model: str,
    data: str,
    epochs: int | None,
    batch_size: int | None,
    lr: float | None,
    optimizer: str | None,
    seed: int,
    out: Path | None,
) -> tuple[Run, Trainer, Images]:
    """A new run and its trainer; what is None comes from the model's recipe. Nothing is written before all is well."""
    from tinygrad_cnn import __version__

    recipe = recipe_for(model)
    name = recipe.optimizer if optimizer is None else optimizer
    usual = recipe.lr if name == recipe.optimizer else usual_lr(name)
    train_set, test_set = load_data(data)
    channels, height, width = train_set.images.shape[1:]
    config = RunConfig(
        model=model,
        data=data if data in ("bundled", "digits", "openml") else str(Path(data).resolve()),
        optimizer=name,
        lr=usual if lr is None else lr,
        batch_size=batch_size or recipe.batch_size,
        epochs=epochs or recipe.epochs,
        iterations=None if epochs else recipe.iterations,
        one_cycle=recipe.one_cycle,
        seed=seed,
        in_shape=(channels, height, width),
        classes=train_set.classes,
        mean=_one(train_set.mean),
        std=_one(train_set.std),
        ink=round(ink_share(train_set.images), 4),
        version=__version__,
    )
    folder = out or Run.next_free(model)
    trainer = Run(folder, config).trainer(build_checked(config), train_set, test_set)
    return Run.create(folder, config), trainer, test_set


def _one(value: object) -> float:
    if not isinstance(value, (int, float)):
        raise UserError(f"the data is normalised with {value!r} for each channel, a run keeps one number")
    return float(value)


def resume(folder: Path, epochs: int | None) -> tuple[Run, Trainer, Images]:
    """The run in a folder, and a trainer that stands where it stopped; `epochs` gives it another end."""
    run = Run.open(folder)
    if epochs is not None:
        run.config = replace(run.config, epochs=epochs, iterations=None)
    train_set, test_set = run.data()
    trainer = run.trainer(run.build_model(), train_set, test_set)
    run.resume(trainer)
    if trainer.done and (run.folder / "report.html").exists():  # without it, the pictures are still to be drawn
        raise UserError(f"{folder} is complete after {trainer.epoch} epochs; --epochs with a larger number trains on")
    if epochs is not None:
        run.write("config.json", run.config.to_json())
    return run, trainer, test_set


def finish(
    run: Run,
    trainer: Trainer,
    test_set: Images,
    say: Callable[[str], None],
    *,
    patience: int | None = None,
    tensorboard: bool = False,
) -> bool:
    """Train to the end, and fill the run's folder; False if Ctrl-C came first (the run can then be resumed).

    patience: stop after so many epochs without a lower test loss. tensorboard: write for TensorBoard, too.
    """
    trainer.callbacks += [*run.callbacks(), ProgressBar(say)]  # saved before it is said: whoever listens may be gone
    if tensorboard:
        trainer.callbacks.append(TensorBoard(run.tensorboard))
    if patience is not None:
        trainer.callbacks.append(EarlyStopping(patience))
    try:
        with run.saved_or_gone():
            say(f"{run.config.model} on {run.config.data} -> {run.folder}")
            trainer.run()
    except FloatingPointError as error:
        raise UserError(f"training stopped: {error}") from error
    if trainer.interrupted:
        return False
    if trainer.stop:
        say(f"stopped early: the test loss has not fallen for {patience} epochs")
    say("drawing the pictures")
    trainer.model.eval()
    pictures = draw_pictures(run, trainer.model, trainer.history, test_set)
    parameters = sum(parameter._array.size for parameter in trainer.model.parameters())
    run.write("report.html", report(run.config, trainer.history, pictures, parameters))
    return True

"""Progress for people who watch: a bar, and a line for each epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinygrad_cnn.train.callbacks.callback import Callback

if TYPE_CHECKING:
    from tinygrad_cnn.train.loop import Trainer

__all__ = ["ProgressBar"]


class ProgressBar(Callback):
    """A line for each epoch, on stdout or given to `say`, and a bar over all batches where stderr is a terminal."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self.say = say
        self.bar: Any = None

    def on_train_begin(self, trainer: Trainer) -> None:
        from tqdm import tqdm

        self.bar = tqdm(
            total=trainer.total_steps,
            initial=trainer.step,
            unit="batch",
            dynamic_ncols=True,
            disable=None,  # outside of a terminal: a log would fill with what was to be overwritten
        )

    def on_batch_end(self, trainer: Trainer) -> None:
        self.bar.update()
        if trainer.step % 10 == 0:
            self.bar.set_postfix(loss=f"{trainer.history.steps['loss'][-1]:.3f}", refresh=False)

    def on_epoch_end(self, trainer: Trainer) -> None:
        row = trainer.history.last
        line = f"epoch {row['epoch']:2d}  loss {row['train_loss']:.4f}  accuracy {row['train_accuracy']:.4f}"
        if row["test_accuracy"] is not None:
            line += f"  test loss {row['test_loss']:.4f}  test accuracy {row['test_accuracy']:.4f}"
        if self.say is None:
            self.bar.write(line)
        else:
            with self.bar.external_write_mode():
                self.say(line)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()  # ends its line, so that what is printed next stands on its own
            self.bar = None

"""What a training writes down: one row an epoch, and the loss and accuracy of every batch."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

__all__ = ["History"]


@dataclass(repr=False)
class History:
    """The metrics of a training; its repr tells the last epoch only.

    epochs: rows with epoch, step (batches so far), train_loss, train_accuracy, test_loss, test_accuracy, lr, seconds.
    steps: the lists "loss" and "accuracy", with one number a batch (accuracy: nan where there is none to speak of).
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    steps: dict[str, list[float]] = field(default_factory=lambda: {"loss": [], "accuracy": []})

    def __repr__(self) -> str:
        words = "".join(f", {name} {value:.4g}" for name, value in self.last.items() if isinstance(value, float))
        return f"<History: {len(self.epochs)} epoch{'' if len(self.epochs) == 1 else 's'}{words}>"

    @property
    def last(self) -> dict[str, Any]:
        """The row of the last epoch, empty before the first one ends."""
        return self.epochs[-1] if self.epochs else {}

    def to_dict(self) -> dict[str, Any]:
        """All numbers as plain values, fit for JSON."""
        return {"epochs": self.epochs, "steps": self.steps}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> History:
        """The history that `to_dict` wrote."""
        return cls(list(values["epochs"]), {name: list(numbers) for name, numbers in values["steps"].items()})

    def to_csv(self) -> str:
        """The rows of the epochs as CSV text with a header.

        >>> print(History([{"epoch": 1, "test_accuracy": 0.5}]).to_csv(), end="")
        epoch,test_accuracy
        1,0.5
        """
        text = io.StringIO()
        columns = list(dict.fromkeys(name for row in self.epochs for name in row))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.epochs)
        return text.getvalue()

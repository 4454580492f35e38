"""The devices that there are not, so that a program which asks for them learns so: `cuda.is_available()` is False."""

from __future__ import annotations

from typing import Any

__all__ = ["cuda", "cudnn", "mps"]


class Absent:
    """A kind of device that this framework never has. Its settings can be set, and change nothing."""

    def is_available(self) -> bool:
        """False."""
        return False

    def device_count(self) -> int:
        """0."""
        return 0

    def manual_seed(self, seed: int) -> None:
        """Nothing: there is no stream of random numbers here."""

    manual_seed_all = manual_seed

    def empty_cache(self) -> None:
        """Nothing: there is no memory here."""

    def synchronize(self, device: Any = None) -> None:
        """Nothing: there is nobody to wait for."""


cuda: Any = Absent()
cudnn: Any = Absent()
mps: Any = Absent()

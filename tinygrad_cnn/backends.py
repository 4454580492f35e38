"""The devices that there are not, so that a program which asks for them learns so: `cuda.is_available()` is False.

And the settings of PyTorch's that speak of its kernels and of memory: they are accepted, and change nothing.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "accelerator", "channels_last", "contiguous_format", "cuda", "cudnn", "mps", "preserve_format",
    "set_float32_matmul_precision", "use_deterministic_algorithms",
]  # fmt: skip


class Absent:
    """A kind of device that this framework never has. Its settings can be set, and change nothing."""

    def is_available(self) -> bool:
        """False."""
        return False

    def current_accelerator(self) -> None:
        """None."""

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


accelerator: Any = Absent()
cuda: Any = Absent()
cudnn: Any = Absent()
mps: Any = Absent()

# Values of `memory_format=`.
channels_last = "channels_last"
contiguous_format = "contiguous_format"
preserve_format = "preserve_format"


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted, and changes nothing."""


def set_float32_matmul_precision(precision: str) -> None:
    """Accepted, and changes nothing."""

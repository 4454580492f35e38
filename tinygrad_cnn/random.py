"""Random numbers: one Generator object owns a stream, and everything random in the package draws from one."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "Generator", "default_generator", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state",
]  # fmt: skip


class Generator:
    """A stream of random numbers with a state that can be saved and restored, like `torch.Generator`.

    The stream is NumPy's PCG64; `numpy` is the `numpy.random.Generator` that draws from it.

    >>> g = Generator().manual_seed(7)
    >>> first = g.numpy.random()
    >>> g.manual_seed(7).numpy.random() == first
    True
    """

    def __init__(self, device: str = "cpu") -> None:
        if device != "cpu":
            raise ValueError(f"Generator: device is {device!r}, but only 'cpu' exists")
        self.device = device
        self.seed()

    def manual_seed(self, seed: int) -> Generator:
        """Restart the stream from `seed` (any integer) and return the generator."""
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise TypeError(f"manual_seed: seed is {seed!r}, expected an integer")
        self._seed = int(seed)
        self.numpy = np.random.Generator(np.random.PCG64(abs(self._seed) * 2 + (self._seed < 0)))
        return self

    def seed(self) -> int:
        """Restart the stream from a seed drawn from the operating system, and return that seed."""
        self.manual_seed(int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1)))
        return self._seed

    def initial_seed(self) -> int:
        """The seed that the stream was last started from."""
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """The whole state, as plain numbers and strings (fit for JSON)."""
        return {"seed": self._seed, "stream": self.numpy.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state that `get_state` returned."""
        self._seed = state["seed"]
        self.numpy.bit_generator.state = state["stream"]

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed})"


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Restart the default stream from `seed`, so that what follows can be repeated exactly."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Restart the default stream from a seed of the operating system's, and return that seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default stream was last started from."""
    return default_generator.initial_seed()


def get_rng_state() -> dict[str, Any]:
    """The state of the default stream, for `set_rng_state`: plain numbers and strings, where PyTorch has bytes."""
    return default_generator.get_state()


def set_rng_state(new_state: dict[str, Any]) -> None:
    """Let the default stream go on from a state that `get_rng_state` returned."""
    default_generator.set_state(new_state)

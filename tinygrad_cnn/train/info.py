"""What this installation is made of, for bug reports."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version

from tinygrad_cnn import __version__, kernels
from tinygrad_cnn.data import mnist

__all__ = ["facts"]

_PACKAGES = ("numpy", "numba", "scipy", "scikit-learn", "matplotlib", "graphviz-pure", "safetensors")


def facts() -> dict[str, str]:
    """Names and values: versions, threads, kernels, bundled data; nothing heavy is imported."""
    train_set, test_set = mnist()
    return {
        "tinygrad-cnn": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: _version(name) for name in _PACKAGES},
        "dot, for PDF": shutil.which("dot") or "not found",
        "threads": str(kernels.get_num_threads()),
        "kernels": str(kernels.get_kernels()),
        "bundled data": f"{len(train_set):,} training and {len(test_set):,} test images of MNIST",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

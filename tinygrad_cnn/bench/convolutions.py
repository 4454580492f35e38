"""Single convolution layers, forward and backward, of every kind that networks use: is there a cliff among them?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cnn.bench.workloads import Framework, Workload

__all__ = ["CONVOLUTIONS"]


def _layer(channels: int, filters: int, size: int, kernel: int, **options: Any) -> Callable[..., Callable[[], Any]]:
    """Forward and backward of one layer on random images of `size` x `size` pixels; the loss is the mean output."""
    transposed = options.pop("transposed", False)

    def build(fw: Framework, batch: int) -> Callable[[], Any]:
        rng = np.random.default_rng(0)
        x = fw.tg.tensor(rng.standard_normal((batch, channels, size, size), np.float32)).requires_grad_()
        fw.tg.manual_seed(0)
        layer = (fw.nn.ConvTranspose2d if transposed else fw.nn.Conv2d)(channels, filters, kernel, **options)
        g = fw.tg.tensor(rng.standard_normal(tuple(layer(x).shape), np.float32))

        def step() -> Any:
            x.grad = None
            layer.zero_grad()
            y = layer(x)
            y.backward(g)
            return y[0].sum().detach()

        return step

    return build


def _row(about: str, batch: int, *shape: int, **options: Any) -> Workload:
    return Workload(_layer(*shape, **options), batch, about)


# (channels, filters, pixels, kernel)
CONVOLUTIONS: dict[str, Workload] = {
    "plain": _row("64→64, 28x28, 3x3", 16, 64, 64, 28, 3, padding=1),
    "kernel_5": _row("16→32, 28x28, 5x5", 16, 16, 32, 28, 5, padding=2),
    "kernel_7": _row("3→64, 112x112, 7x7, stride 2", 4, 3, 64, 112, 7, padding=3, stride=2),
    "one_channel": _row("1→32, 28x28, 3x3", 64, 1, 32, 28, 3),
    "pointwise": _row("64→64, 28x28, 1x1", 16, 64, 64, 28, 1),
    "stride_2": _row("64→64, 28x28, 3x3, stride 2", 16, 64, 64, 28, 3, padding=1, stride=2),
    "dilation_2": _row("64→64, 28x28, 3x3, dilation 2", 16, 64, 64, 28, 3, padding=2, dilation=2),
    "groups_4": _row("64→64, 28x28, 3x3, 4 groups", 16, 64, 64, 28, 3, padding=1, groups=4),
    "depthwise": _row("64→64, 28x28, 3x3, 64 groups", 16, 64, 64, 28, 3, padding=1, groups=64),
    "depthwise_7": _row("256→256, 7x7, 3x3, 256 groups", 16, 256, 256, 7, 3, padding=1, groups=256),
    "transposed": _row("64→32, 14x14, 4x4, stride 2, transposed", 16, 64, 32, 14, 4, padding=1, stride=2,
                       transposed=True),
    "small_8": _row("128→128, 8x8, 3x3", 32, 128, 128, 8, 3, padding=1),
    "small_7": _row("128→128, 7x7, 3x3", 32, 128, 128, 7, 3, padding=1),
    "small_4": _row("128→128, 4x4, 3x3", 64, 128, 128, 4, 3, padding=1),
    "one_image": _row("64→64, 28x28, 3x3, a single image", 1, 64, 64, 28, 3, padding=1),
}  # fmt: skip

"""Pooling layers: the functions of the same names, with their parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.nn.module import Module
from tinygrad_cnn.ops.conv import IntOrInts, ints
from tinygrad_cnn.tensor import Tensor

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d",
    "AvgPool1d", "AvgPool2d", "AvgPool3d", "MaxPool1d", "MaxPool2d", "MaxPool3d",
]  # fmt: skip


class _MaxPool(Module):
    function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        padding: IntOrInts = 0,
        dilation: IntOrInts = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return type(self).function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window: `F.max_pool1d` with these parameters."""

    function = F.max_pool1d


class MaxPool2d(_MaxPool):
    """The largest element of each window: `F.max_pool2d` with these parameters. stride: by default the kernel size.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.MaxPool2d(2)(tg.ones(1, 6, 26, 26)).shape
    (1, 6, 13, 13)
    """

    function = F.max_pool2d


class MaxPool3d(_MaxPool):
    """The largest element of each window: `F.max_pool3d` with these parameters."""

    function = F.max_pool3d


class AvgPool1d(Module):
    """The mean of each window: `F.avg_pool1d` with these parameters."""

    def __init__(
        self,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        padding: IntOrInts = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = ints("AvgPool1d: kernel_size", kernel_size, 1, 1)
        self.stride = self.kernel_size if stride is None else ints("AvgPool1d: stride", stride, 1, 1)
        self.padding = ints("AvgPool1d: padding", padding, 1, 0)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        padding: IntOrInts = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The mean of each window: `F.avg_pool2d` with these parameters. stride: by default the kernel size."""

    function = F.avg_pool2d


class AvgPool3d(_AvgPool):
    """The mean of each window: `F.avg_pool3d` with these parameters."""

    function = F.avg_pool3d


class _AdaptiveAvgPool(Module):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of `output_size` windows, whatever the length of the input: `F.adaptive_avg_pool1d`."""

    function = F.adaptive_avg_pool1d


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of `output_size` windows, whatever the size of the input: `F.adaptive_avg_pool2d`.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.AdaptiveAvgPool2d(1)(tg.ones(2, 64, 7, 9)).shape
    (2, 64, 1, 1)
    """

    function = F.adaptive_avg_pool2d


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The means of `output_size` windows, whatever the size of the input: `F.adaptive_avg_pool3d`."""

    function = F.adaptive_avg_pool3d


class _AdaptiveMaxPool(_AdaptiveAvgPool):
    def __init__(self, output_size: int | Sequence[int | None] | None, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return type(self).function(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest elements of `output_size` windows, whatever the length of the input: `F.adaptive_max_pool1d`."""

    function = F.adaptive_max_pool1d


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest elements of `output_size` windows, whatever the size of the input: `F.adaptive_max_pool2d`."""

    function = F.adaptive_max_pool2d


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest elements of `output_size` windows, whatever the size of the input: `F.adaptive_max_pool3d`."""

    function = F.adaptive_max_pool3d

"""Layers that resize, pad and rearrange images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.nn.module import Module
from tinygrad_cnn.ops.conv import IntOrInts
from tinygrad_cnn.tensor import Tensor

__all__ = [
    "CircularPad1d", "CircularPad2d", "ConstantPad1d", "ConstantPad2d", "Fold", "PixelShuffle", "PixelUnshuffle",
    "ReflectionPad1d", "ReflectionPad2d", "ReplicationPad1d", "ReplicationPad2d", "Unfold", "Upsample",
    "UpsamplingBilinear2d", "UpsamplingNearest2d", "ZeroPad1d", "ZeroPad2d",
]  # fmt: skip

Factor = float | Sequence[float]


# ---- resizing ----------------------------------------------------------------------------------------------


class Upsample(Module):
    """`F.interpolate` with these parameters: to `size`, or by `scale_factor`.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.Upsample(scale_factor=2)(tg.ones(1, 3, 4, 5)).shape
    (1, 3, 8, 10)
    """

    def __init__(
        self,
        size: IntOrInts | None = None,
        scale_factor: Factor | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        several = isinstance(scale_factor, (tuple, list))
        self.scale_factor = tuple(map(float, scale_factor)) if several else scale_factor and float(scale_factor)  # type: ignore[arg-type]
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        how = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{how}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Upsample with mode="nearest"."""

    def __init__(self, size: IntOrInts | None = None, scale_factor: Factor | None = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Upsample with mode="bilinear" and align_corners=True."""

    def __init__(self, size: IntOrInts | None = None, scale_factor: Factor | None = None) -> None:
        super().__init__(size, scale_factor, "bilinear", align_corners=True)


# ---- padding -----------------------------------------------------------------------------------------------


class _Pad(Module):
    """`F.pad` in one mode; `padding` is one number for all sides, or before and after, the last dimension first."""

    ndim: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: IntOrInts) -> None:
        super().__init__()
        given = (padding,) * 2 * self.ndim if isinstance(padding, int) else tuple(padding)
        if len(given) != 2 * self.ndim:
            raise ValueError(f"{self._get_name()}: padding is {padding}, expected an int or {2 * self.ndim} ints")
        self.padding = given

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return str(self.padding)


class ZeroPad1d(_Pad):
    """Adds zeros before and after (N, C, L) or (C, L)."""

    ndim, mode = 1, "constant"


class ZeroPad2d(_Pad):
    """Adds zeros around (N, C, H, W) or (C, H, W); padding: one number, or (left, right, top, bottom)."""

    ndim, mode = 2, "constant"


class ReflectionPad1d(_Pad):
    """Adds the mirrored input before and after (N, C, L) or (C, L); the border itself is not repeated."""

    ndim, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Adds the mirrored input around (N, C, H, W) or (C, H, W); the border itself is not repeated."""

    ndim, mode = 2, "reflect"


class ReplicationPad1d(_Pad):
    """Repeats the border before and after (N, C, L) or (C, L)."""

    ndim, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Repeats the border around (N, C, H, W) or (C, H, W)."""

    ndim, mode = 2, "replicate"


class CircularPad1d(_Pad):
    """Adds what stands at the far end before and after (N, C, L) or (C, L)."""

    ndim, mode = 1, "circular"


class CircularPad2d(_Pad):
    """Adds what stands at the far end around (N, C, H, W) or (C, H, W)."""

    ndim, mode = 2, "circular"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: IntOrInts, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Adds `value` before and after (N, C, L) or (C, L)."""

    ndim = 1


class ConstantPad2d(_ConstantPad):
    """Adds `value` around (N, C, H, W) or (C, H, W)."""

    ndim = 2


# ---- rearranging -------------------------------------------------------------------------------------------


class PixelShuffle(Module):
    """(*, C·r², H, W) -> (*, C, H·r, W·r), r = upscale_factor: channels become pixels (Shi et al., 2016)."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(*, C, H·r, W·r) -> (*, C·r², H, W), r = downscale_factor: undoes PixelShuffle."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class Unfold(Module):
    """`F.unfold` with these parameters: the windows of an image as columns."""

    def __init__(
        self, kernel_size: IntOrInts, dilation: IntOrInts = 1, padding: IntOrInts = 0, stride: IntOrInts = 1
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """`F.fold` with these parameters: columns added up to an image of `output_size`, the adjoint of Unfold."""

    def __init__(
        self,
        output_size: IntOrInts,
        kernel_size: IntOrInts,
        dilation: IntOrInts = 1,
        padding: IntOrInts = 0,
        stride: IntOrInts = 1,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )

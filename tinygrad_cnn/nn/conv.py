"""Convolution layers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tinygrad_cnn.creation import empty
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.nn.linear import draw_weight_and_bias, materialize
from tinygrad_cnn.nn.module import Module
from tinygrad_cnn.nn.parameter import Parameter, UninitializedParameter
from tinygrad_cnn.ops.conv import AXES, IntOrInts, Ints, ints
from tinygrad_cnn.tensor import Tensor

__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
    "LazyConv1d", "LazyConv2d", "LazyConv3d",
]  # fmt: skip

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """What all convolution layers share; a subclass says how many dimensions it slides over, and with what op."""

    ndim: ClassVar[int]
    function: ClassVar[Callable[..., Tensor]]
    transposed: ClassVar[bool] = False
    padding: str | Ints
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts,
        padding: str | IntOrInts,
        dilation: IntOrInts,
        output_padding: IntOrInts,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = self._ints("kernel_size", kernel_size, 1)
        self.stride = self._ints("stride", stride, 1)
        self.padding = padding if isinstance(padding, str) else self._ints("padding", padding, 0)
        self.dilation = self._ints("dilation", dilation, 1)
        self.output_padding = self._ints("output_padding", output_padding, 0)
        self.groups = groups
        self.padding_mode = padding_mode
        self._check()
        self.weight = Parameter(empty(*self._weight_shape(), device=device, dtype=dtype))
        self.bias = Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def _ints(self, what: str, value: Any, least: int) -> Ints:
        return ints(f"{self._get_name()}: {what}", value, self.ndim, least)

    def _check(self) -> None:
        name = self._get_name()
        if operator.index(self.groups) < 1:
            raise ValueError(f"{name}: groups is {self.groups}, expected at least 1")
        for what in ("in_channels", "out_channels"):
            if getattr(self, what) % self.groups:
                raise ValueError(
                    f"{name}: {what} is {getattr(self, what)}, expected a multiple of groups={self.groups}"
                )
        if self.padding_mode not in _PADDING_MODES:
            raise ValueError(f"{name}: padding_mode is {self.padding_mode!r}, expected one of {_PADDING_MODES}")
        if self.transposed and (isinstance(self.padding, str) or self.padding_mode != "zeros"):
            raise ValueError(
                f"{name}: padding is {self.padding!r}, padding_mode is {self.padding_mode!r}, "
                "expected numbers and 'zeros'"
            )
        if isinstance(self.padding, str) and self.padding not in ("same", "valid"):
            raise ValueError(f"{name}: padding is {self.padding!r}, expected numbers, 'same' or 'valid'")
        if self.padding == "same" and max(self.stride) > 1:
            raise ValueError(f"{name}: padding is 'same' and stride is {self.stride}, 'same' expects stride 1")

    def _weight_shape(self) -> Ints:
        """(out, in/groups, *kernel); transposed layers map the other way, (in, out/groups, *kernel)."""
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return first, second // self.groups, *self.kernel_size

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, evenly within ± 1/sqrt(fan_in)."""
        draw_weight_and_bias(self.weight, self.bias)

    def _sides(self) -> list[int]:
        """The padding as `F.pad` wants it: before and after, the last dimension first."""
        if self.padding == "valid":
            return [0, 0] * self.ndim
        if isinstance(self.padding, str):  # "same"
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            pairs = [(t // 2, t - t // 2) for t in total]
        else:
            pairs = [(p, p) for p in self.padding]
        return [side for pair in reversed(pairs) for side in pair]

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._sides(), mode=self.padding_mode), (0,) * self.ndim
        return type(self).function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        none = (0,) * self.ndim
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        parts += [f"padding={self.padding}"] * (self.padding != none)
        parts += [f"dilation={self.dilation}"] * (self.dilation != (1,) * self.ndim)
        parts += [f"output_padding={self.output_padding}"] * (self.output_padding != none)
        parts += [f"groups={self.groups}"] * (self.groups != 1)
        parts += ["bias=False"] * (self.bias is None)
        parts += [f"padding_mode={self.padding_mode}"] * (self.padding_mode != "zeros")
        return ", ".join(parts)


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: str | IntOrInts = 0,
        dilation: IntOrInts = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )


class Conv1d(_Conv):
    """`F.conv1d` with a learnt weight (out_channels, in_channels/groups, K) and bias: (N, C, L) -> (N, O, OL)."""

    ndim = 1
    function = F.conv1d


class Conv2d(_Conv):
    """`F.conv2d` with a learnt weight (out_channels, in_channels/groups, KH, KW) and bias.

    (N, C, H, W) -> (N, O, OH, OW), or the same without N. padding_mode: what stands beyond the edges, "zeros",
    "reflect", "replicate" or "circular". ValueError if channels and groups do not fit.

    >>> import tinygrad_cnn as tg
    >>> layer = tg.nn.Conv2d(1, 6, 3, padding="same")
    >>> layer(tg.ones(2, 1, 28, 28)).shape, layer.weight.shape
    ((2, 6, 28, 28), (6, 1, 3, 3))
    """

    ndim = 2
    function = F.conv2d


class Conv3d(_Conv):
    """`F.conv3d` with a learnt weight (out_channels, in_channels/groups, KD, KH, KW) and bias."""

    ndim = 3
    function = F.conv3d


class _ConvTranspose(_Convolution):
    transposed = True
    padding: Ints

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: IntOrInts = 0,
        output_padding: IntOrInts = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrInts = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """output_size: the spatial shape to come out, instead of the one that `output_padding` leads to."""
        padding = self.output_padding if output_size is None else self._output_padding(input, output_size)
        return type(self).function(
            input, self.weight, self.bias, self.stride, self.padding, padding, self.groups, self.dilation
        )

    def _output_padding(self, input: Tensor, output_size: Sequence[int]) -> Ints:
        """What must be added at the end of each dimension to come to `output_size`: 0 to stride - 1."""
        wanted = tuple(output_size)[-self.ndim :]
        size = input.shape[-self.ndim :]
        smallest = tuple(
            (s - 1) * st - 2 * p + d * (k - 1) + 1
            for s, st, p, d, k in zip(size, self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        )
        if len(wanted) != self.ndim or any(
            not 0 <= w - s < st for w, s, st in zip(wanted, smallest, self.stride, strict=True)
        ):
            largest = tuple(s + st - 1 for s, st in zip(smallest, self.stride, strict=True))
            raise ValueError(
                f"{self._get_name()}: output_size is {wanted}, x {input.shape} expects {smallest} to {largest}"
            )
        return tuple(w - s for w, s in zip(wanted, smallest, strict=True))


class ConvTranspose1d(_ConvTranspose):
    """`F.conv_transpose1d` with a learnt weight (in_channels, out_channels/groups, K) and bias."""

    ndim = 1
    function = F.conv_transpose1d


class ConvTranspose2d(_ConvTranspose):
    """`F.conv_transpose2d` with a learnt weight (in_channels, out_channels/groups, KH, KW) and bias.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.ConvTranspose2d(8, 3, 2, stride=2)(tg.ones(1, 8, 7, 7)).shape
    (1, 3, 14, 14)
    """

    ndim = 2
    function = F.conv_transpose2d


class ConvTranspose3d(_ConvTranspose):
    """`F.conv_transpose3d` with a learnt weight (in_channels, out_channels/groups, KD, KH, KW) and bias."""

    ndim = 3
    function = F.conv_transpose3d


class _LazyConv(_Conv):
    """A convolution layer whose `in_channels` is found at the first call; from then on it is a plain one."""

    becomes: ClassVar[type[_Conv]]

    def __init__(
        self,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: str | IntOrInts = 0,
        dilation: IntOrInts = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        # The layer starts without channels, so that no random number is drawn before the size is known.
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype)
        self.out_channels = out_channels
        self._check()
        self.weight = UninitializedParameter(empty(0, device=device, dtype=dtype))
        self.bias = UninitializedParameter(empty(0, device=device, dtype=dtype)) if bias else None

    def forward(self, input: Tensor) -> Tensor:
        if len(input.shape) not in (self.ndim + 1, self.ndim + 2):
            axes = ", ".join(AXES[self.ndim])
            raise ValueError(
                f"{self._get_name()}: x has {len(input.shape)} dimensions {input.shape}, "
                f"expected (N, C, {axes}) or (C, {axes})"
            )
        self.in_channels = input.shape[-self.ndim - 1]
        self._check()
        materialize(self, self._weight_shape(), (self.out_channels,))
        self.__class__ = self.becomes  # type: ignore[assignment]
        return self.forward(input)


class LazyConv1d(_LazyConv):
    """A Conv1d whose `in_channels` is found at the first call; from then on it is a Conv1d."""

    ndim = 1
    becomes = Conv1d


class LazyConv2d(_LazyConv):
    """A Conv2d whose `in_channels` is found at the first call; from then on it is a Conv2d.

    >>> import tinygrad_cnn as tg
    >>> layer = tg.nn.LazyConv2d(6, 3)
    >>> layer(tg.ones(2, 1, 28, 28)).shape, layer
    ((2, 6, 26, 26), Conv2d(1, 6, kernel_size=(3, 3), stride=(1, 1)))
    """

    ndim = 2
    becomes = Conv2d


class LazyConv3d(_LazyConv):
    """A Conv3d whose `in_channels` is found at the first call; from then on it is a Conv3d."""

    ndim = 3
    becomes = Conv3d

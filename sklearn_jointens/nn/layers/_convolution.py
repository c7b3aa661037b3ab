"""Convolutions of M members, as one convolution of M times as many channels."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_jointens.nn.layers._basic import SharedInputLayer
from sklearn_jointens.nn.layers._layout import (
    check_spatial,
    from_images,
    lift,
    to_images,
)


class _Convolution(SharedInputLayer):
    """Base: members are groups of channels, and so are a member's own groups."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    _n_spatial: ClassVar[int]
    _function: ClassVar[Callable]

    def __init__(self, layers: Sequence[nn.modules.conv._ConvNd]):
        super().__init__(layers)
        first = layers[0]
        self.in_channels = first.in_channels
        self.stride, self.padding = first.stride, first.padding
        self.dilation, self.groups = first.dilation, first.groups
        self._description = first.extra_repr()

    def forward(self, hidden: Tensor) -> Tensor:
        """Each member convolves its own images."""
        check_spatial(hidden, self._n_spatial)
        if hidden.size(1) != self.in_channels:
            raise ValueError(
                f"{type(self).__name__} expects {self.in_channels} channels. "
                f"Got {hidden.size(1)} instead."
            )
        n_members = hidden.size(0)
        weight = self.weight.flatten(0, 1)
        images = self._convolve(to_images(hidden), weight, n_members * self.groups)
        return from_images(images, n_members)

    def forward_shared(self, x: Tensor) -> Tensor:
        """All members convolve one input: a single convolution without groups."""
        n_members = self.weight.size(0)
        if self.groups > 1 or x.dim() != self._n_spatial + 2:
            return self(lift(x, n_members))
        return from_images(self._convolve(x, self._shared_weight(), 1), n_members)

    def extra_repr(self) -> str:
        return f"{self.weight.size(0)} x ({self._description})"

    def _bias(self) -> Tensor | None:
        return None if self.bias is None else self.bias.flatten()

    def _shared_weight(self) -> Tensor:
        raise NotImplementedError

    def _convolve(self, images: Tensor, weight: Tensor, groups: int) -> Tensor:
        raise NotImplementedError


class _Conv(_Convolution):
    def __init__(self, layers: Sequence[nn.modules.conv._ConvNd]):
        super().__init__(layers)
        self.padding_mode = layers[0].padding_mode
        self._both_sides = list(layers[0]._reversed_padding_repeated_twice)

    def _shared_weight(self) -> Tensor:
        return self.weight.flatten(0, 1)

    def _convolve(self, images: Tensor, weight: Tensor, groups: int) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            images, padding = F.pad(images, self._both_sides, self.padding_mode), 0
        options = (self.stride, padding, self.dilation, groups)
        return type(self)._function(images, weight, self._bias(), *options)


class _ConvTranspose(_Convolution):
    def __init__(self, layers: Sequence[nn.modules.conv._ConvNd]):
        super().__init__(layers)
        self.output_padding = layers[0].output_padding

    def _shared_weight(self) -> Tensor:
        # Here the channels of the output come second.
        return self.weight.transpose(0, 1).flatten(1, 2)

    def _convolve(self, images: Tensor, weight: Tensor, groups: int) -> Tensor:
        places = (self.stride, self.padding, self.output_padding)
        return type(self)._function(
            images, weight, self._bias(), *places, groups, self.dilation
        )


class VectorizedConv1d(_Conv):
    """M convolutions of series.

    Parameters
    ----------
    layers : sequence of torch.nn.Conv1d
        M layers, copied.

    Attributes
    ----------
    weight : Parameter of shape (M, C_out, C_in / groups, k)
    bias : Parameter of shape (M, C_out) or None
    stride, padding, dilation, groups, padding_mode
        As in the layers.

    Shape
    -----
    forward : (M, C_in, L, B) to (M, C_out, L', B)
    forward_shared : (B, C_in, L) to (M, C_out, L', B)
    forward_each : (n_blocks, B, C_in, L) to (M, C_out, L', B)

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import VectorizedConv1d
    >>> layers = [torch.nn.Conv1d(3, 5, kernel_size=3) for _ in range(4)]
    >>> VectorizedConv1d(layers).forward_shared(torch.zeros(7, 3, 8)).shape
    torch.Size([4, 5, 6, 7])
    """

    _n_spatial = 1
    _function = staticmethod(F.conv1d)


class VectorizedConv2d(_Conv):
    """M convolutions of images.

    Parameters
    ----------
    layers : sequence of torch.nn.Conv2d
        M layers, copied.

    Attributes
    ----------
    weight : Parameter of shape (M, C_out, C_in / groups, k1, k2)
    bias : Parameter of shape (M, C_out) or None
    stride, padding, dilation, groups, padding_mode
        As in the layers.

    Shape
    -----
    forward : (M, C_in, H, W, B) to (M, C_out, H', W', B)
    forward_shared : (B, C_in, H, W) to (M, C_out, H', W', B)
    forward_each : (n_blocks, B, C_in, H, W) to (M, C_out, H', W', B)

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import VectorizedConv2d
    >>> layers = [torch.nn.Conv2d(3, 5, kernel_size=3) for _ in range(4)]
    >>> VectorizedConv2d(layers).forward_shared(torch.zeros(7, 3, 8, 8)).shape
    torch.Size([4, 5, 6, 6, 7])
    """

    _n_spatial = 2
    _function = staticmethod(F.conv2d)


class VectorizedConv3d(_Conv):
    """M convolutions of volumes.

    Parameters
    ----------
    layers : sequence of torch.nn.Conv3d
        M layers, copied.

    Attributes
    ----------
    weight : Parameter of shape (M, C_out, C_in / groups, k1, k2, k3)
    bias : Parameter of shape (M, C_out) or None
    stride, padding, dilation, groups, padding_mode
        As in the layers.

    Shape
    -----
    forward : (M, C_in, D, H, W, B) to (M, C_out, D', H', W', B)
    forward_shared : (B, C_in, D, H, W) to (M, C_out, D', H', W', B)
    forward_each : (n_blocks, B, C_in, D, H, W) to (M, C_out, D', H', W', B)

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import VectorizedConv3d
    >>> layers = [torch.nn.Conv3d(3, 5, kernel_size=3) for _ in range(4)]
    >>> VectorizedConv3d(layers).forward_shared(torch.zeros(7, 3, 4, 4, 4)).shape
    torch.Size([4, 5, 2, 2, 2, 7])
    """

    _n_spatial = 3
    _function = staticmethod(F.conv3d)


class VectorizedConvTranspose1d(_ConvTranspose):
    """M transposed convolutions of series.

    Parameters
    ----------
    layers : sequence of torch.nn.ConvTranspose1d
        M layers, copied.

    Attributes
    ----------
    weight : Parameter of shape (M, C_in, C_out / groups, k)
    bias : Parameter of shape (M, C_out) or None
    stride, padding, dilation, groups, output_padding
        As in the layers.

    Shape
    -----
    forward : (M, C_in, L, B) to (M, C_out, L', B)
    forward_shared : (B, C_in, L) to (M, C_out, L', B)
    forward_each : (n_blocks, B, C_in, L) to (M, C_out, L', B)

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import VectorizedConvTranspose1d
    >>> layers = [torch.nn.ConvTranspose1d(3, 5, kernel_size=3) for _ in range(4)]
    >>> VectorizedConvTranspose1d(layers).forward_shared(torch.zeros(7, 3, 8)).shape
    torch.Size([4, 5, 10, 7])
    """

    _n_spatial = 1
    _function = staticmethod(F.conv_transpose1d)


class VectorizedConvTranspose2d(_ConvTranspose):
    """M transposed convolutions of images.

    Parameters
    ----------
    layers : sequence of torch.nn.ConvTranspose2d
        M layers, copied.

    Attributes
    ----------
    weight : Parameter of shape (M, C_in, C_out / groups, k1, k2)
    bias : Parameter of shape (M, C_out) or None
    stride, padding, dilation, groups, output_padding
        As in the layers.

    Shape
    -----
    forward : (M, C_in, H, W, B) to (M, C_out, H', W', B)
    forward_shared : (B, C_in, H, W) to (M, C_out, H', W', B)
    forward_each : (n_blocks, B, C_in, H, W) to (M, C_out, H', W', B)

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import VectorizedConvTranspose2d
    >>> layers = [torch.nn.ConvTranspose2d(3, 5, kernel_size=3) for _ in range(4)]
    >>> VectorizedConvTranspose2d(layers).forward_shared(torch.zeros(7, 3, 8, 8)).shape
    torch.Size([4, 5, 10, 10, 7])
    """

    _n_spatial = 2
    _function = staticmethod(F.conv_transpose2d)


class VectorizedConvTranspose3d(_ConvTranspose):
    """M transposed convolutions of volumes.

    Parameters
    ----------
    layers : sequence of torch.nn.ConvTranspose3d
        M layers, copied.

    Attributes
    ----------
    weight : Parameter of shape (M, C_in, C_out / groups, k1, k2, k3)
    bias : Parameter of shape (M, C_out) or None
    stride, padding, dilation, groups, output_padding
        As in the layers.

    Shape
    -----
    forward : (M, C_in, D, H, W, B) to (M, C_out, D', H', W', B)
    forward_shared : (B, C_in, D, H, W) to (M, C_out, D', H', W', B)
    forward_each : (n_blocks, B, C_in, D, H, W) to (M, C_out, D', H', W', B)

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import VectorizedConvTranspose3d
    >>> layers = [torch.nn.ConvTranspose3d(3, 5, kernel_size=3) for _ in range(4)]
    >>> VectorizedConvTranspose3d(layers).forward_shared(
    ...     torch.zeros(7, 3, 4, 4, 4)
    ... ).shape
    torch.Size([4, 5, 6, 6, 6, 7])
    """

    _n_spatial = 3
    _function = staticmethod(F.conv_transpose3d)

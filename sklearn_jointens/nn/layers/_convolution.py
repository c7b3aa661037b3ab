"""Convolutions of M members, as one convolution of M times as many channels."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_jointens.nn.layers._basic import SharedInputLayer
from sklearn_jointens.nn.layers._layout import (
    check_spatial,
    from_images,
    lift,
    to_images,
)

# By the number of axes after the channels.
_PLAIN: Mapping[int, Callable] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: Mapping[int, Callable] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


class VectorizedConv(SharedInputLayer):
    """M convolutions of series, images or volumes, plain or transposed.

    Members are groups of channels, and so are a member's own groups.

    Parameters
    ----------
    layers : sequence of torch.nn.Conv1d, Conv2d, Conv3d or ConvTranspose1d, 2d, 3d
        M layers, copied.

    Attributes
    ----------
    weight : Parameter of shape (M, C_out, C_in / groups, k1, ..., kn)
        Of transposed convolutions (M, C_in, C_out / groups, k1, ..., kn).
    bias : Parameter of shape (M, C_out) or None
    stride, padding, output_padding, dilation, groups, padding_mode, transposed
        As in the layers.

    Notes
    -----
    Shapes:

    - forward: (M, C_in, L1, ..., Ln, B) to (M, C_out, L1', ..., Ln', B)
    - forward_shared: (B, C_in, L1, ..., Ln) to (M, C_out, L1', ..., Ln', B)
    - forward_each: (n_blocks, B, C_in, L1, ..., Ln) to (M, C_out, L1', ..., Ln', B)

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import VectorizedConv
    >>> layers = [torch.nn.Conv2d(3, 5, kernel_size=3) for _ in range(4)]
    >>> VectorizedConv(layers).forward_shared(torch.zeros(7, 3, 8, 8)).shape
    torch.Size([4, 5, 6, 6, 7])
    >>> layers = [torch.nn.ConvTranspose1d(3, 5, kernel_size=3) for _ in range(4)]
    >>> VectorizedConv(layers).forward_shared(torch.zeros(7, 3, 8)).shape
    torch.Size([4, 5, 10, 7])
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, layers: Sequence[nn.modules.conv._ConvNd]):
        super().__init__(layers)
        first = layers[0]
        self.in_channels = first.in_channels
        self.stride, self.padding = first.stride, first.padding
        self.output_padding = first.output_padding
        self.dilation, self.groups = first.dilation, first.groups
        self.padding_mode, self.transposed = first.padding_mode, first.transposed
        self._both_sides = list(first._reversed_padding_repeated_twice)
        self._n_spatial = len(first.kernel_size)
        self._description = first.extra_repr()

    def forward(self, stacked: Tensor) -> Tensor:
        """Each member convolves its own images."""
        check_spatial(stacked, self._n_spatial)
        if stacked.size(1) != self.in_channels:
            raise ValueError(
                f"VectorizedConv expects {self.in_channels} channels. "
                f"Got {stacked.size(1)} instead."
            )
        n_members = stacked.size(0)
        weight = self.weight.flatten(0, 1)
        images = self._convolve(to_images(stacked), weight, n_members * self.groups)
        return from_images(images, n_members)

    def forward_shared(self, x: Tensor) -> Tensor:
        """All members convolve one input: a single convolution without groups."""
        n_members = self.weight.size(0)
        if self.groups > 1 or x.dim() != self._n_spatial + 2:
            return self(lift(x, n_members))
        if self.transposed:
            # Here the channels of the output come second.
            weight = self.weight.transpose(0, 1).flatten(1, 2)
        else:
            weight = self.weight.flatten(0, 1)
        return from_images(self._convolve(x, weight, 1), n_members)

    def extra_repr(self) -> str:
        return f"{self.weight.size(0)} x ({self._description})"

    def _convolve(self, images: Tensor, weight: Tensor, groups: int) -> Tensor:
        bias = None if self.bias is None else self.bias.flatten()
        padding: Any = self.padding
        if self.transposed:
            function = _TRANSPOSED[self._n_spatial]
            places = (self.stride, padding, self.output_padding)
            return function(images, weight, bias, *places, groups, self.dilation)
        if self.padding_mode != "zeros":
            images, padding = F.pad(images, self._both_sides, self.padding_mode), 0
        places = (self.stride, padding, self.dilation)
        return _PLAIN[self._n_spatial](images, weight, bias, *places, groups)

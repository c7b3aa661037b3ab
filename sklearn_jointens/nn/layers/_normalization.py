"""Normalization layers of M members."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_jointens.nn._way import CannotVectorize
from sklearn_jointens.nn.layers._basic import VectorizedLayer
from sklearn_jointens.nn.layers._layout import (
    from_images,
    is_batch_innermost,
    to_images,
)

# How many axes a layer takes after the channels.
_N_SPATIAL: Mapping[type[nn.Module], tuple[int, ...]] = {
    nn.BatchNorm1d: (0, 1),
    nn.BatchNorm2d: (2,),
    nn.BatchNorm3d: (3,),
    nn.InstanceNorm1d: (1,),
    nn.InstanceNorm2d: (2,),
}


class VectorizedLayerNorm(VectorizedLayer):
    """M layer normalizations over the last feature axes.

    Parameters
    ----------
    layers : sequence of torch.nn.LayerNorm
        M layers, copied.

    Attributes
    ----------
    weight, bias : Parameter of shape ``(M, *normalized_shape)`` or None
    normalized_shape : tuple of int
    eps : float

    Notes
    -----
    Shapes:

    - forward: ``(M, ..., *normalized_shape, B)`` to the same
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, layers: Sequence[nn.LayerNorm]):
        super().__init__(layers)
        self.normalized_shape = tuple(layers[0].normalized_shape)
        self.eps = layers[0].eps

    def forward(self, stacked: Tensor) -> Tensor:
        """Normalize each row of each member over its last feature axes."""
        n_axes = len(self.normalized_shape)
        shape = tuple(stacked.shape[-1 - n_axes : -1])
        if stacked.dim() < n_axes + 2 or shape != self.normalized_shape:
            raise ValueError(
                f"VectorizedLayerNorm expects {self.normalized_shape} before the "
                f"innermost batch axis. Got {tuple(stacked.shape)} instead."
            )
        if torch.is_autocast_enabled(stacked.device.type):
            stacked = stacked.float()  # as autocast runs torch's own layer_norm
        axes = tuple(range(-1 - n_axes, -1))
        variance, mean = torch.var_mean(stacked, axes, correction=0, keepdim=True)
        normalized = (stacked - mean) * torch.rsqrt(variance + self.eps)
        if self.weight is None:
            return normalized
        weight = self._along_features(self.weight, stacked.dim())
        if self.bias is None:
            return normalized * weight
        return torch.addcmul(
            self._along_features(self.bias, stacked.dim()), normalized, weight
        )

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"

    def _along_features(self, tensor: Tensor, n_dims: int) -> Tensor:
        missing = n_dims - tensor.dim() - 1
        middle = (1,) * missing
        return tensor.reshape(tensor.size(0), *middle, *tensor.shape[1:], 1)


class _RunningNorm(VectorizedLayer):
    """Base of the layers that may keep running statistics, one for each channel."""

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__(layers)
        first = layers[0]
        self.num_features = int(first.num_features)  # type: ignore[arg-type]
        self.eps = float(first.eps)  # type: ignore[arg-type]
        # Instance normalization takes None for 0.
        self.momentum = float(first.momentum or 0.0)  # type: ignore[arg-type]
        self._n_spatial = _N_SPATIAL[type(first)]

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"

    def _normalize(self, function: Callable, images: Tensor) -> Tensor:
        return function(
            images,
            _view_flat(self.running_mean),
            _view_flat(self.running_var),
            _view_flat(self.weight),
            _view_flat(self.bias),
            self.training or self.running_mean is None,
            self.momentum,
            self.eps,
        )

    def _check(self, stacked: Tensor) -> None:
        right = stacked.dim() - 3 in self._n_spatial
        if not right or stacked.size(1) != self.num_features:
            shapes = [
                f"(M, {self.num_features}, {'*, ' * n}B)" for n in self._n_spatial
            ]
            raise ValueError(
                f"{type(self).__name__} expects {' or '.join(shapes)}. "
                f"Got {tuple(stacked.shape)} instead."
            )


class VectorizedBatchNorm(_RunningNorm):
    """M batch normalizations, as one over M times as many channels.

    Parameters
    ----------
    layers : sequence of torch.nn.BatchNorm1d, BatchNorm2d or BatchNorm3d
        M layers, copied. ``momentum=None`` is refused: its factor is read back from
        the device at every step.

    Attributes
    ----------
    weight, bias : Parameter of shape (M, C) or None
    running_mean, running_var : Tensor of shape (M, C) or None
    num_batches_tracked : Tensor of shape (M,) or None
    eps, momentum : float

    Notes
    -----
    Shapes:

    - forward: (M, C, B) or (M, C, L1, ..., Ln, B) to the same

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import VectorizedBatchNorm
    >>> layer = VectorizedBatchNorm([torch.nn.BatchNorm2d(5) for _ in range(4)])
    >>> layer(torch.zeros(4, 5, 8, 8, 7)).shape
    torch.Size([4, 5, 8, 8, 7])
    """

    def __init__(self, layers: Sequence[nn.Module]):
        if layers[0].momentum is None:
            raise CannotVectorize(f"{type(layers[0]).__name__} with momentum=None")
        super().__init__(layers)

    def mixes_rows(self, training: bool) -> bool:
        """Where no running statistics are used, a row is normalized with the others."""
        return training or self.running_mean is None

    def forward(self, stacked: Tensor) -> Tensor:
        """Normalize each channel of each member over the batch."""
        self._check(stacked)
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        if stacked.dim() == 3 or is_batch_innermost(stacked):
            # As (1, M * C, L * B): of one image with four axes, torch's gradient on a
            # CPU is wrong where that of the result lies in another memory format.
            flat = stacked.flatten(2).flatten(0, 1).unsqueeze(0)
            return self._normalize(F.batch_norm, flat).reshape(stacked.shape)
        images = self._normalize(F.batch_norm, to_images(stacked))
        return from_images(images, stacked.size(0))


class VectorizedInstanceNorm(_RunningNorm):
    """M instance normalizations of series or images.

    Parameters
    ----------
    layers : sequence of torch.nn.InstanceNorm1d or InstanceNorm2d
        M layers, copied.

    Attributes
    ----------
    weight, bias : Parameter of shape (M, C) or None
    running_mean, running_var : Tensor of shape (M, C) or None
    num_batches_tracked : Tensor of shape (M,) or None
    eps, momentum : float

    Notes
    -----
    Shapes:

    - forward: (M, C, L1, ..., Ln, B) to the same

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import VectorizedInstanceNorm
    >>> layer = VectorizedInstanceNorm([torch.nn.InstanceNorm1d(5)] * 4)
    >>> layer(torch.zeros(4, 5, 8, 7)).shape
    torch.Size([4, 5, 8, 7])
    """

    def mixes_rows(self, training: bool) -> bool:
        """Where running statistics are kept, the rows meet in them."""
        return training and self.running_mean is not None

    def forward(self, stacked: Tensor) -> Tensor:
        """Normalize each channel of each row over the axes after the channels."""
        self._check(stacked)
        images = self._normalize(F.instance_norm, to_images(stacked))
        return from_images(images, stacked.size(0))


class VectorizedGroupNorm(VectorizedLayer):
    """M group normalizations, as one of M times as many groups.

    Parameters
    ----------
    layers : sequence of torch.nn.GroupNorm
        M layers, copied.

    Attributes
    ----------
    weight, bias : Parameter of shape (M, C) or None
    num_groups : int
    eps : float

    Notes
    -----
    Shapes:

    - forward: (M, C, ..., B) to the same

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import VectorizedGroupNorm
    >>> layer = VectorizedGroupNorm([torch.nn.GroupNorm(2, 6) for _ in range(4)])
    >>> layer(torch.zeros(4, 6, 8, 8, 7)).shape
    torch.Size([4, 6, 8, 8, 7])
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, layers: Sequence[nn.GroupNorm]):
        super().__init__(layers)
        self.num_groups = layers[0].num_groups
        self.num_channels = layers[0].num_channels
        self.eps = layers[0].eps

    def forward(self, stacked: Tensor) -> Tensor:
        """Normalize each group of channels of each row."""
        if stacked.dim() < 3 or stacked.size(1) != self.num_channels:
            raise ValueError(
                f"VectorizedGroupNorm expects (M, {self.num_channels}, ..., B). "
                f"Got {tuple(stacked.shape)} instead."
            )
        n_members = stacked.size(0)
        images = F.group_norm(
            to_images(stacked),
            n_members * self.num_groups,
            _view_flat(self.weight),
            _view_flat(self.bias),
            self.eps,
        )
        return from_images(images, n_members)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"


def _view_flat(tensor: Tensor | None) -> Tensor | None:
    # A view, never a copy: the kernel writes the running statistics through it.
    return None if tensor is None else tensor.view(-1)

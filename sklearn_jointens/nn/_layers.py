"""Layers that hold the weights of M members and run them in one kernel.

They are named after torch's layers and made from M of them. A hidden tensor that a
member sees as (B, f1, ..., fk) is held as (M, f1, ..., fk, B): with the batch
innermost a feature axis keeps its index, no matrix product needs a transpose, and the
weights of all members that share one input form a single wide matrix.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_jointens.nn._base import CannotVectorize, stack


class VectorizedLayer(nn.Module):
    """Base of the layers: stacks the tensors of M torch layers under their names.

    Parameters
    ----------
    layers : sequence of Module
        M layers of one type and shape; copied, never changed.
    """

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        first = layers[0]
        for name in first._parameters:
            self.register_parameter(name, _stack_named(layers, name))
        for name in first._buffers:
            persistent = name not in first._non_persistent_buffers_set
            self.register_buffer(name, _stack_named(layers, name), persistent)
        self.training = first.training


def _stack_named(layers: Sequence[nn.Module], name: str) -> Any:
    tensors = [getattr(layer, name) for layer in layers]
    return None if tensors[0] is None else stack(tensors)


class VectorizedLinear(VectorizedLayer):
    """M linear maps ``weight[m] @ hidden[m] + bias[m]``.

    Parameters
    ----------
    layers : sequence of torch.nn.Linear
        M layers, copied.

    Attributes
    ----------
    weight : Parameter of shape (M, out_features, in_features)
    bias : Parameter of shape (M, out_features) or None

    Shape
    -----
    forward : (M, ..., in_features, B) to (M, ..., out_features, B)
    forward_shared : (B, ..., in_features) to (M, ..., out_features, B)

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import VectorizedLinear
    >>> layer = VectorizedLinear([torch.nn.Linear(5, 3) for _ in range(4)])
    >>> layer.forward_shared(torch.zeros(7, 5)).shape
    torch.Size([4, 3, 7])
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def forward(self, hidden: Tensor) -> Tensor:
        """Each member maps its own hidden tensor."""
        if hidden.dim() == 3:
            return self._multiply(hidden)
        # Axes between member and feature join the batch; the results come back as a
        # view, from which the next linear layer gets its columns without a copy.
        columns = hidden.movedim(-2, 1)
        result = self._multiply(columns.flatten(2))
        return result.unflatten(2, columns.shape[2:]).movedim(1, -2)

    def forward_shared(self, x: Tensor) -> Tensor:
        """All members map one input: a single product with the tall matrix."""
        columns = x.t() if x.dim() == 2 else x.movedim(-1, 0).movedim(1, -1)
        flat = columns.flatten(1)
        weight = self.weight.flatten(0, 1)
        if self.bias is None:
            result = weight @ flat
        else:
            result = torch.addmm(self.bias.flatten().unsqueeze(1), weight, flat)
        result = result.unflatten(0, self.weight.shape[:2])
        if x.dim() == 2:
            return result
        return result.unflatten(2, columns.shape[1:]).movedim(1, -2)

    def extra_repr(self) -> str:
        n_members, out_features, in_features = self.weight.shape
        bias = self.bias is not None
        return f"{n_members} x ({in_features}, {out_features}), bias={bias}"

    def _multiply(self, columns: Tensor) -> Tensor:
        if self.bias is None:
            return torch.bmm(self.weight, columns)
        return torch.baddbmm(self.bias.unsqueeze(-1), self.weight, columns)


class VectorizedLayerNorm(VectorizedLayer):
    """M layer normalizations over the last feature axes.

    Parameters
    ----------
    layers : sequence of torch.nn.LayerNorm
        M layers, copied.

    Attributes
    ----------
    weight, bias : Parameter of shape (M, *normalized_shape) or None
    normalized_shape : tuple of int
    eps : float

    Shape
    -----
    forward : (M, ..., *normalized_shape, B) to the same
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, layers: Sequence[nn.LayerNorm]):
        super().__init__(layers)
        self.normalized_shape = tuple(layers[0].normalized_shape)
        self.eps = layers[0].eps

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalize each row of each member over its last feature axes."""
        n_axes = len(self.normalized_shape)
        shape = tuple(hidden.shape[-1 - n_axes : -1])
        if hidden.dim() < n_axes + 2 or shape != self.normalized_shape:
            raise ValueError(
                f"VectorizedLayerNorm expects {self.normalized_shape} before the "
                f"innermost batch axis. Got {tuple(hidden.shape)} instead."
            )
        axes = tuple(range(-1 - n_axes, -1))
        variance, mean = torch.var_mean(hidden, axes, correction=0, keepdim=True)
        normalized = (hidden - mean) * torch.rsqrt(variance + self.eps)
        if self.weight is None:
            return normalized
        weight = self._along_features(self.weight, hidden.dim())
        if self.bias is None:
            return normalized * weight
        return torch.addcmul(
            self._along_features(self.bias, hidden.dim()), normalized, weight
        )

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"

    def _along_features(self, tensor: Tensor, n_dims: int) -> Tensor:
        missing = n_dims - tensor.dim() - 1
        middle = (1,) * missing
        return tensor.reshape(tensor.size(0), *middle, *tensor.shape[1:], 1)


class VectorizedBatchNorm1d(VectorizedLayer):
    """M batch normalizations, as one over M times as many channels.

    Parameters
    ----------
    layers : sequence of torch.nn.BatchNorm1d
        M layers, copied. ``momentum=None`` is refused: its factor is read back from
        the device at every step.

    Attributes
    ----------
    weight, bias : Parameter of shape (M, C) or None
    running_mean, running_var : Tensor of shape (M, C) or None
    num_batches_tracked : Tensor of shape (M,) or None
    eps, momentum : float

    Shape
    -----
    forward : (M, C, B) or (M, C, L, B) to the same
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, layers: Sequence[nn.BatchNorm1d]):
        if layers[0].momentum is None:
            raise CannotVectorize("BatchNorm1d with momentum=None")
        super().__init__(layers)
        self.num_features = layers[0].num_features
        self.eps = layers[0].eps
        self.momentum: float = layers[0].momentum

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalize each channel of each member over the batch."""
        if hidden.dim() not in (3, 4) or hidden.size(1) != self.num_features:
            raise ValueError(
                f"VectorizedBatchNorm1d expects (M, {self.num_features}, B) or "
                f"(M, {self.num_features}, L, B). Got {tuple(hidden.shape)} instead."
            )
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        result = F.batch_norm(
            hidden.flatten(0, 1).unsqueeze(0),
            _view_flat(self.running_mean),
            _view_flat(self.running_var),
            _view_flat(self.weight),
            _view_flat(self.bias),
            self.training or self.running_mean is None,
            self.momentum,
            self.eps,
        )
        return result.view(hidden.shape)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


def _view_flat(tensor: Tensor | None) -> Tensor | None:
    # A view, never a copy: the kernel writes the running statistics through it.
    return None if tensor is None else tensor.view(-1)


class VectorizedEmbedding(VectorizedLayer):
    """M embedding tables, looked up with the same indices.

    Parameters
    ----------
    layers : sequence of torch.nn.Embedding
        M layers, copied. ``max_norm``, ``scale_grad_by_freq`` and ``sparse`` are
        refused; ``padding_idx`` gets no gradient, as in torch.

    Attributes
    ----------
    weight : Parameter of shape (M, num_embeddings, embedding_dim)
    padding_idx : int or None

    Shape
    -----
    forward_shared : (B, ...) of integers to (M, ..., embedding_dim, B)
    """

    weight: nn.Parameter

    def __init__(self, layers: Sequence[nn.Embedding]):
        first = layers[0]
        for option in ("max_norm", "scale_grad_by_freq", "sparse"):
            if getattr(first, option):
                raise CannotVectorize(f"Embedding with {option}")
        super().__init__(layers)
        self.padding_idx = first.padding_idx

    def forward_shared(self, indices: Tensor) -> Tensor:
        """Look the same indices up in each member's table."""
        flat = indices.flatten()
        rows = self.weight.index_select(1, flat)
        if self.padding_idx is not None:
            padding = (flat == self.padding_idx).unsqueeze(-1)
            rows = torch.where(padding, rows.detach(), rows)
        return rows.unflatten(1, indices.shape).movedim(1, -1)

    def extra_repr(self) -> str:
        return "{} x ({}, {})".format(*self.weight.shape)

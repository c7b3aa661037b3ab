"""Layers that hold the weights of M members and run them in one kernel.

They are named after torch's layers and made from M of them. A stacked tensor that a
member sees as (B, f1, ..., fk) is held as (M, f1, ..., fk, B) (see ``_layout.py``): a
feature axis keeps its index, no matrix product needs a transpose, and the weights of
all members that share one input form a single wide matrix.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_jointens.nn._copying import stack
from sklearn_jointens.nn._way import CannotVectorize
from sklearn_jointens.nn.layers._layout import (
    from_images,
    join_members,
    to_images,
)


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

    def mixes_rows(self, training: bool) -> bool:
        """Whether one row of the batch has a part in what becomes of another.

        Parameters
        ----------
        training : bool
            In training mode, or in evaluation mode.

        Returns
        -------
        bool
        """
        return False


class SharedInputLayer(VectorizedLayer):
    """Base of the layers that take what all members share, without copies of it."""

    def forward_shared(self, x: Tensor) -> Tensor:
        """All members take one input, (B, ...) to (M, ..., B)."""
        raise NotImplementedError

    def forward_each(self, xs: Tensor) -> Tensor:
        """Equally large blocks of members take an input each.

        Parameters
        ----------
        xs : Tensor of shape (n_blocks, B, ...)
            The i-th is that of the members from ``i * M / n_blocks`` on.

        Returns
        -------
        Tensor of shape (M, ..., B)
        """
        if len(xs) == 1:
            return self.forward_shared(xs[0])
        blocks = [self._with_parameters({}) for _ in xs]
        for name, stacked in self._parameters.items():
            parts: Any = [None] * len(xs)
            if stacked is not None:
                # One node in the backward pass, where a slice for each would be many.
                parts = stacked.unflatten(0, (len(xs), -1)).unbind()
            for block, part in zip(blocks, parts, strict=True):
                block._parameters[name] = part
        results = [block.forward_shared(x) for block, x in zip(blocks, xs, strict=True)]
        return join_members(results)

    def _with_parameters(self, parameters: dict[str, Any]) -> "SharedInputLayer":
        """The same layer around other tensors, which need not be parameters."""
        layer = object.__new__(type(self))
        layer.__dict__ = {**self.__dict__, "_parameters": parameters}
        return layer


def _stack_named(layers: Sequence[nn.Module], name: str) -> Any:
    tensors = [getattr(layer, name) for layer in layers]
    return None if tensors[0] is None else stack(tensors)


class VectorizedLinear(SharedInputLayer):
    """M linear maps ``weight[m] @ x[m] + bias[m]``.

    Parameters
    ----------
    layers : sequence of torch.nn.Linear
        M layers, copied.

    Attributes
    ----------
    weight : Parameter of shape (M, out_features, in_features)
    bias : Parameter of shape (M, out_features) or None

    Notes
    -----
    Shapes:

    - forward: (M, ..., in_features, B) to (M, ..., out_features, B)
    - forward_shared: (B, ..., in_features) to (M, ..., out_features, B)
    - forward_each: (n_blocks, B, ..., in_features) to (M, ..., out_features, B)

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

    def forward(self, stacked: Tensor) -> Tensor:
        """Each member maps what is its own."""
        if stacked.dim() == 3:
            return self._multiply(stacked)
        # Axes between member and feature join the batch; the results come back as a
        # view, from which the next linear layer gets its columns without a copy.
        columns = stacked.movedim(-2, 1)
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

    def forward_each(self, xs: Tensor) -> Tensor:
        """Blocks of members take an input each: one product with a matrix a block."""
        n_blocks = len(xs)
        if n_blocks == 1:
            return self.forward_shared(xs[0])
        columns = xs.movedim(-1, 1).movedim(2, -1)
        flat = columns.flatten(2)
        weight = self.weight.unflatten(0, (n_blocks, -1)).flatten(1, 2)
        if self.bias is None:
            result = torch.bmm(weight, flat)
        else:
            bias = self.bias.view(n_blocks, -1, 1)
            result = torch.baddbmm(bias, weight, flat)
        result = result.view(*self.weight.shape[:2], -1)
        if xs.dim() == 3:
            return result
        return result.unflatten(2, columns.shape[2:]).movedim(1, -2)

    def extra_repr(self) -> str:
        n_members, out_features, in_features = self.weight.shape
        bias = self.bias is not None
        return f"{n_members} x ({in_features}, {out_features}), bias={bias}"

    def _multiply(self, columns: Tensor) -> Tensor:
        if self.bias is None:
            return torch.bmm(self.weight, columns)
        return torch.baddbmm(self.bias.unsqueeze(-1), self.weight, columns)


class VectorizedEmbedding(SharedInputLayer):
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

    Notes
    -----
    Shapes:

    - forward_shared: (B, ...) of integers to (M, ..., embedding_dim, B)
    - forward_each: (n_blocks, B, ...) of integers to (M, ..., embedding_dim, B)
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


class VectorizedPReLU(VectorizedLayer):
    """M rectifiers with slopes that are learned.

    Parameters
    ----------
    layers : sequence of torch.nn.PReLU
        M layers, copied.

    Attributes
    ----------
    weight : Parameter of shape (M, num_parameters)

    Notes
    -----
    Shapes:

    - forward: (M, C, ..., B) to the same; ``num_parameters`` is 1 or C

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import VectorizedPReLU
    >>> layer = VectorizedPReLU([torch.nn.PReLU() for _ in range(4)])
    >>> layer(torch.zeros(4, 3, 7)).shape
    torch.Size([4, 3, 7])
    """

    weight: nn.Parameter

    def forward(self, stacked: Tensor) -> Tensor:
        """Scale what is negative by the slope of its channel."""
        n_channels = stacked.size(1)
        if stacked.dim() < 3 or self.weight.size(1) not in (1, n_channels):
            raise ValueError(
                f"VectorizedPReLU with {self.weight.size(1)} slopes expects as many "
                f"channels. Got {tuple(stacked.shape)} instead."
            )
        slopes = self.weight.expand(-1, n_channels).flatten()
        return from_images(F.prelu(to_images(stacked), slopes), stacked.size(0))

    def extra_repr(self) -> str:
        return "{} x {}".format(*self.weight.shape)

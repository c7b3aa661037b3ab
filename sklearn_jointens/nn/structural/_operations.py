"""Functions on stacked tensors of all members.

Each function takes what the torch function of the same name takes in a member, with
the axes as the member numbers them, and stacked tensors of shape (M, f1, ..., fk, B)
where the member has (B, f1, ..., fk).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sklearn_jointens.nn.layers._layout import channelwise, is_batch_innermost


def call_method(name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a method by its name."""
    return getattr(value, name)(*args, **kwargs)


def call_functional(name: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function of ``torch.nn.functional`` by its name."""
    return getattr(F, name)(*args, **kwargs)


def feature_axis(dim: int, rank: int) -> int:
    """Index of a member's axis, counted from the left; it must not be the batch."""
    axis = dim + rank if dim < 0 else dim
    if not 1 <= axis < rank:
        raise ValueError(f"axis {dim} of {rank} axes is not one of the features")
    return axis


def broadcast(
    function: Callable, members: Sequence[bool], *operands: Any, **kwargs: Any
) -> Any:
    """Elementwise function of several operands, broadcast as in a member.

    Parameters
    ----------
    function : callable
        Takes the operands.
    members : sequence of bool
        Which operands are stacked tensors (M, ..., B); the others are shared tensors
        or numbers.
    *operands : Tensor or number
    **kwargs : object
        Handed on to `function`.
    """
    ranks = {
        operand.dim() - is_member
        for operand, is_member in zip(operands, members, strict=True)
        if isinstance(operand, Tensor) and operand.dim() > 0
    }
    member_ranks = {
        operand.dim() - 1
        for operand, is_member in zip(operands, members, strict=True)
        if is_member
    }
    rank = max(ranks)
    # Aligned from the right, a tensor of lower rank would meet the batch of another
    # with its features; only a shared one can be padded, as its layout is known.
    if member_ranks != {rank}:
        raise ValueError(f"broadcasts over tensors of {sorted(ranks)} axes")
    layouts = [
        is_batch_innermost(operand)
        for operand, is_member in zip(operands, members, strict=True)
        if is_member
    ]
    return function(
        *(
            operand if is_member else _align(operand, rank, all(layouts))
            for operand, is_member in zip(operands, members, strict=True)
        ),
        **kwargs,
    )


def _align(operand: Any, rank: int, batch_innermost: bool) -> Any:
    if not isinstance(operand, Tensor) or operand.dim() == 0:
        return operand
    aligned = operand[(None,) * (rank - operand.dim())].movedim(0, -1).unsqueeze(0)
    # The result takes the memory of its operands, which should be alike.
    return aligned.contiguous() if batch_innermost else aligned


def softmax(
    stacked: Tensor, dim: int, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> Tensor:
    """Softmax over a feature axis."""
    return torch.softmax(stacked, feature_axis(dim, stacked.dim() - 1), dtype)


def log_softmax(
    stacked: Tensor, dim: int, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> Tensor:
    """Logarithm of the softmax over a feature axis."""
    return torch.log_softmax(stacked, feature_axis(dim, stacked.dim() - 1), dtype)


def glu(stacked: Tensor, dim: int = -1) -> Tensor:
    """Gated linear unit: half of a feature axis gates the other half."""
    return F.glu(stacked, feature_axis(dim, stacked.dim() - 1))


def cat(tensors: Sequence[Tensor], dim: int) -> Tensor:
    """Join along a feature axis."""
    return _join(torch.cat, tensors, feature_axis(dim, tensors[0].dim() - 1))


def stack(tensors: Sequence[Tensor], dim: int) -> Tensor:
    """Join along a new feature axis."""
    return _join(torch.stack, tensors, feature_axis(dim, tensors[0].dim()))


def _join(function: Callable, tensors: Sequence[Tensor], axis: int) -> Tensor:
    # Torch joins into new memory in the order of the axes that it is shown.
    if any(is_batch_innermost(tensor) for tensor in tensors):
        return function(list(tensors), axis)
    rows = [tensor.movedim(-1, 0) for tensor in tensors]
    return function(rows, axis + 1).movedim(0, -1)


def pad(
    stacked: Tensor,
    pad: Sequence[int],
    mode: str = "constant",
    value: float | None = None,
) -> Tensor:
    """Pad the last feature axes."""
    n_axes = len(pad) // 2
    if mode != "constant":
        return channelwise(F.pad, n_axes, stacked, pad, mode)
    if n_axes > stacked.dim() - 2:
        raise ValueError(f"pads {n_axes} axes of {stacked.dim() - 2} features")
    return F.pad(stacked.movedim(-1, 0), pad, mode, value).movedim(0, -1)


def chunk(stacked: Tensor, chunks: int, dim: int) -> tuple[Tensor, ...]:
    """Cut a feature axis into parts."""
    return stacked.chunk(chunks, feature_axis(dim, stacked.dim() - 1))


def flatten(stacked: Tensor, start_dim: int, end_dim: int = -1) -> Tensor:
    """Join feature axes into one."""
    rank = stacked.dim() - 1
    start, end = feature_axis(start_dim, rank), feature_axis(end_dim, rank)
    return stacked.flatten(start, end)


def unflatten(stacked: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split a feature axis into several."""
    return stacked.unflatten(feature_axis(dim, stacked.dim() - 1), tuple(sizes))


def reshape(stacked: Tensor, *shape: Any) -> Tensor:
    """Give the features of each row another shape; rows must stay rows."""
    sizes = list(shape[0]) if isinstance(shape[0], Sequence) else list(shape)
    n_rows, features = stacked.size(-1), stacked.shape[1:-1]
    keeps_rows = sizes[0] == n_rows or (
        sizes[0] == -1 and math.prod(sizes[1:]) == math.prod(features)
    )
    if not keeps_rows:
        raise ValueError(f"reshapes {(n_rows, *features)} to {tuple(sizes)}")
    return stacked.reshape(stacked.size(0), *sizes[1:], n_rows)


def squeeze(stacked: Tensor, dim: int) -> Tensor:
    """Drop a feature axis of length 1."""
    return stacked.squeeze(feature_axis(dim, stacked.dim() - 1))


def unsqueeze(stacked: Tensor, dim: int) -> Tensor:
    """Insert a feature axis of length 1."""
    return stacked.unsqueeze(feature_axis(dim, stacked.dim()))


def transpose(stacked: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange two feature axes."""
    rank = stacked.dim() - 1
    return stacked.transpose(feature_axis(dim0, rank), feature_axis(dim1, rank))


def permute(stacked: Tensor, *dims: Any) -> Tensor:
    """Reorder feature axes; rows must stay rows."""
    order = list(dims[0]) if isinstance(dims[0], Sequence) else list(dims)
    rank = stacked.dim() - 1
    if order[0] % rank:
        raise ValueError("moves the batch")
    axes = [feature_axis(dim, rank) for dim in order[1:]]
    return stacked.permute(0, *axes, -1)


def expand_as(stacked: Tensor, other: Tensor) -> Tensor:
    """Repeat axes of length 1 as in another stacked tensor."""
    if stacked.dim() != other.dim():
        raise ValueError(f"expands {stacked.dim() - 1} axes to {other.dim() - 1}")
    return stacked.expand_as(other)


def getitem(stacked: Any, index: Any) -> Any:
    """Pick features; or one of several tensors."""
    if isinstance(stacked, (tuple, list)):
        return stacked[index]
    rows, *features = index if isinstance(index, tuple) else (index,)
    if any(not isinstance(i, (int, slice, type(None))) for i in features):
        raise ValueError(f"picks elements with {index}")
    if rows is Ellipsis:
        if sum(i is not None for i in features) >= stacked.dim() - 1:
            raise ValueError("picks rows of the batch")
        return stacked[(..., *features, slice(None))]
    if rows != slice(None):
        raise ValueError("picks rows of the batch")
    return stacked[(rows, *features)]


def size(stacked: Tensor, dim: int | None = None) -> Any:
    """Size of a stacked tensor as its member sees it, (B, f1, ..., fk)."""
    shape = torch.Size((stacked.size(-1), *stacked.shape[1:-1]))
    return shape if dim is None else shape[dim]


def n_axes(stacked: Tensor) -> int:
    """Number of axes of a stacked tensor as its member sees it."""
    return stacked.dim() - 1


def attribute(stacked: Tensor, name: str) -> Any:
    """Attribute of a stacked tensor as its member sees it."""
    if name == "shape":
        return size(stacked)
    return n_axes(stacked) if name == "ndim" else getattr(stacked, name)


def mean(stacked: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Mean over feature axes."""
    return torch.mean(stacked, _feature_axes(dim, stacked), keepdim)


def sum_features(stacked: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Sum over feature axes."""
    return torch.sum(stacked, _feature_axes(dim, stacked), keepdim)


def amax(stacked: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Maximum over feature axes."""
    return torch.amax(stacked, _feature_axes(dim, stacked), keepdim)


def _feature_axes(dim: Any, stacked: Tensor) -> tuple[int, ...]:
    dims = dim if isinstance(dim, (tuple, list)) else (dim,)
    return tuple(feature_axis(d, stacked.dim() - 1) for d in dims)

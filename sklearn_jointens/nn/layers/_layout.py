"""Stacked tensors of all members: their shape, and two ways to lie in memory.

What a member sees as (B, f1, ..., fk) is held as (M, f1, ..., fk, B). In memory it is
one of two:

- batch innermost, as the shape says. Matrix products make it and want it: none needs
  a transpose.
- batch outermost: a view of (B, M, f1, ..., fk). Convolutions make it and want it: the
  channels of all members are the channels of one image, (B, M * C, H, W), without a
  copy.

Functions of single numbers keep the memory they are given, so that layers of one kind
that follow each other copy nothing.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def lift(x: Any, n_members: int) -> Any:
    """Give each member the shared (B, f1, ..., fk), as a view (M, f1, ..., fk, B)."""
    if not isinstance(x, Tensor) or x.dim() == 0:
        return x
    return x.movedim(0, -1).expand(n_members, *x.shape[1:], x.size(0))


def deliver(stacked: Tensor) -> Tensor:
    """View (M, f1, ..., fk, B) as what users see, (M, B, f1, ..., fk)."""
    return stacked.movedim(-1, 1)


def deliver_shared(x: Tensor, n_members: int) -> Tensor:
    """View one shared (B, ...) as the equal outputs of all members, (M, B, ...)."""
    return x.expand(n_members, *x.shape)


def is_batch_innermost(stacked: Tensor) -> bool:
    """Whether neighbours in memory are rows of the batch."""
    return stacked.stride(-1) == 1


def to_images(stacked: Tensor) -> Tensor:
    """Show (M, C, ..., B) as one batch (B, M * C, ...) of all members' channels."""
    return stacked.movedim(-1, 0).flatten(1, 2)


def from_images(images: Tensor, n_members: int) -> Tensor:
    """View (B, M * C, ...) as (M, C, ..., B), with the batch outermost in memory."""
    return images.unflatten(1, (n_members, -1)).movedim(0, -1)


def pad_rows(x: Tensor, n_rows: int, axis: int) -> Tensor:
    """Repeat the last row until there are `n_rows`.

    Not zeros: what can be computed of a real row can be computed of its copy.
    """
    missing = n_rows - x.size(axis)
    if missing == 0:
        return x
    sizes = [-1] * x.dim()
    sizes[axis] = missing
    return torch.cat([x, x.narrow(axis, -1, 1).expand(sizes)], axis)


def join_members(parts: Sequence[Any]) -> Any:
    """Join stacked tensors of some members each, in the memory order of the first.

    Parameters
    ----------
    parts : sequence of Tensor of shape (M_i, f1, ..., fk, B_i)
        Or tuples of as many such tensors, to be joined one by one.

    Returns
    -------
    Tensor of shape (sum M_i, f1, ..., fk, max B_i)
        Rows that a part has not are copies of its last.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, (tuple, list)):
        return tuple(join_members(same) for same in zip(*parts, strict=True))
    # Torch joins into new memory in the order of the axes that it is shown. What was
    # expanded goes to the outside, as in torch's own functions of single numbers.
    order = sorted(range(first.dim()), key=lambda i: -first.stride(i) or -math.inf)
    rows, members = order.index(first.dim() - 1), order.index(0)
    n_rows = max(part.size(-1) for part in parts)
    shown = [pad_rows(part.permute(order), n_rows, rows) for part in parts]
    joined = torch.cat(shown, members)
    return joined.permute([order.index(axis) for axis in range(first.dim())])


def channelwise(
    function: Callable,
    n_spatial: int | None,
    stacked: Tensor,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """Apply a function that treats channels apart, to those of all members at once.

    Parameters
    ----------
    function : callable
        Takes (B, C, ...) of any number of channels, in which a member's channels
        stay next to each other.
    n_spatial : int or None
        How many axes after the channels it takes; None for any number, but one.
    stacked : Tensor of shape (M, C, ..., B)
    *args, **kwargs : object
        Handed on to `function`.

    Returns
    -------
    Tensor of shape (M, C', ..., B)

    Raises
    ------
    ValueError
        If `stacked` has other axes: torch takes a batch without channels for one image.
    """
    check_spatial(stacked, n_spatial)
    return from_images(function(to_images(stacked), *args, **kwargs), stacked.size(0))


def check_spatial(stacked: Tensor, n_spatial: int | None) -> None:
    """Raise ValueError unless (M, C, ..., B) has `n_spatial` axes after the channels.

    With None it must have at least one.
    """
    found = stacked.dim() - 3
    if found < 1 if n_spatial is None else found != n_spatial:
        expected = "some" if n_spatial is None else n_spatial
        raise ValueError(
            f"expects channels and {expected} axes between the members and the "
            f"innermost batch axis. Got {tuple(stacked.shape)} instead."
        )

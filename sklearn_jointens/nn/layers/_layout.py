"""Hidden tensors of all members: their shape, and two ways to lie in memory.

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

from collections.abc import Callable
from typing import Any

from torch import Tensor


def lift(x: Any, n_members: int) -> Any:
    """Give each member the shared (B, f1, ..., fk), as a view (M, f1, ..., fk, B)."""
    if not isinstance(x, Tensor) or x.dim() == 0:
        return x
    return x.movedim(0, -1).expand(n_members, *x.shape[1:], x.size(0))


def deliver(hidden: Tensor) -> Tensor:
    """View (M, f1, ..., fk, B) as what users see, (M, B, f1, ..., fk)."""
    return hidden.movedim(-1, 1)


def deliver_shared(x: Tensor, n_members: int) -> Tensor:
    """View one shared (B, ...) as the equal outputs of all members, (M, B, ...)."""
    return x.expand(n_members, *x.shape)


def is_batch_innermost(hidden: Tensor) -> bool:
    """Whether neighbours in memory are rows of the batch."""
    return hidden.stride(-1) == 1


def to_images(hidden: Tensor) -> Tensor:
    """Show (M, C, ..., B) as one batch (B, M * C, ...) of all members' channels."""
    return hidden.movedim(-1, 0).flatten(1, 2)


def from_images(images: Tensor, n_members: int) -> Tensor:
    """View (B, M * C, ...) as (M, C, ..., B), with the batch outermost in memory."""
    return images.unflatten(1, (n_members, -1)).movedim(0, -1)


def channelwise(
    function: Callable, n_spatial: int | None, hidden: Tensor, *args: Any, **kwargs: Any
) -> Tensor:
    """Apply a function that treats channels apart, to those of all members at once.

    Parameters
    ----------
    function : callable
        Takes (B, C, ...) of any number of channels, in which a member's channels
        stay next to each other.
    n_spatial : int or None
        How many axes after the channels it takes; None for any number, but one.
    hidden : Tensor of shape (M, C, ..., B)
    *args, **kwargs : object
        Handed on to `function`.

    Returns
    -------
    Tensor of shape (M, C', ..., B)

    Raises
    ------
    ValueError
        If `hidden` has other axes: torch takes a batch without channels for one image.
    """
    check_spatial(hidden, n_spatial)
    return from_images(function(to_images(hidden), *args, **kwargs), hidden.size(0))


def check_spatial(hidden: Tensor, n_spatial: int | None) -> None:
    """Raise ValueError unless (M, C, ..., B) has `n_spatial` axes after the channels.

    With None it must have at least one.
    """
    found = hidden.dim() - 3
    if found < 1 if n_spatial is None else found != n_spatial:
        expected = "some" if n_spatial is None else n_spatial
        raise ValueError(
            f"expects channels and {expected} axes between the members and the "
            f"innermost batch axis. Got {tuple(hidden.shape)} instead."
        )

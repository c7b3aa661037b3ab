"""What the loss needs to know of a target."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Target:
    """The target's part of the negative log-likelihood, shared by all members.

    Attributes
    ----------
    index : Tensor of shape (n_samples,), dtype int64, or None
        Where the observed class's parameter of each row stands among the flattened
        (n_outputs, n_samples), if the statistic is the indicator of one class;
        ``None`` where `statistic` is given.
    statistic : Tensor of shape (n_outputs, n_samples) or None
        The sufficient statistic of each row.
    scale : Tensor of shape (n_samples,) or None
        The factor of the log-partition; ``None`` is 1.
    weight : Tensor of shape (n_samples,) or None
        What the criterion multiplies each row with; ``None`` is 1.
    normalizer : Tensor of shape (n_samples,) or None
        What the criterion divides by, summed over rows; ``None`` is 1.
    """

    index: Tensor | None = None
    statistic: Tensor | None = None
    scale: Tensor | None = None
    weight: Tensor | None = None
    normalizer: Tensor | None = None

    def inner(self, natural: Tensor) -> Tensor:
        """``<statistic, natural>`` for every member and row, (n_members, n_samples)."""
        if self.index is not None:
            # Several times faster than to gather with an index for each member.
            return natural.flatten(1).index_select(1, self.index)
        assert self.statistic is not None
        return (natural * self.statistic).sum(1)

    def subtract_from(self, mean: Tensor, factor: float) -> Tensor:
        """``mean - factor * statistic``, in place on `mean` (n_outputs, n_samples)."""
        if self.index is not None:
            ones = mean.new_ones(len(self.index))
            mean.view(-1).index_add_(0, self.index, ones, alpha=-factor)
            return mean
        assert self.statistic is not None
        return mean.sub_(self.statistic, alpha=factor)


def flat_index(y: Tensor) -> Tensor:
    """Where classes stand among flattened (n_outputs, n_samples)."""
    return torch.arange(len(y), device=y.device).add_(y, alpha=len(y))

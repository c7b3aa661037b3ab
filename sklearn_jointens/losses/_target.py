"""What the loss needs to know of a target."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Target:
    """The targets of G ensembles, shared by the members of each.

    Tensors broadcast against (n_groups, n_members, n_outputs, n_samples), or the same
    without the outputs.

    Attributes
    ----------
    index : Tensor of shape (n_samples,) or (n_groups, n_samples), dtype int64, or None
        Where the observed class's parameter of each row stands among the flattened
        (n_outputs, n_samples) of a group, if the statistic is the indicator of one
        class.
    statistic : Tensor of shape (n_groups, 1, n_outputs, n_samples) or None
        The sufficient statistic of each row. It is 0 where there is no `index` either.
    scale : Tensor or None
        The factor of the log-partition; ``None`` is 1.
    base : Tensor of shape (n_groups, 1, n_samples) or None
        What a row's loss has whatever its natural parameters; ``None`` is 0.
    weight : Tensor of shape (n_groups, 1, n_samples) or None
        What the criterion multiplies each row with; ``None`` is 1.
    normalizer : Tensor of shape (n_groups, 1, n_samples) or None
        What the criterion divides by, summed over rows; ``None`` is 1.
    origin : Tensor of shape (n_groups, 1, n_outputs, n_samples) or None
        Where outputs are measured from, so that nothing cancels: the target itself.
    """

    index: Tensor | None = None
    statistic: Tensor | None = None
    scale: Tensor | None = None
    base: Tensor | None = None
    weight: Tensor | None = None
    normalizer: Tensor | None = None
    origin: Tensor | None = None

    def observed(self, natural: Tensor) -> Tensor:
        """The parameter of the observed class, (n_groups, n_members, n_samples)."""
        assert self.index is not None
        if self.index.ndim == 1:
            # Several times faster than to gather with an index for each member.
            flat = natural.reshape(natural.shape[1], -1)
            return flat.index_select(1, self.index).unsqueeze(0)
        index = self.index.unsqueeze(1).expand(-1, natural.shape[1], -1)
        return natural.flatten(2).gather(2, index)

    def subtract_from(self, mean: Tensor, factor: float) -> None:
        """``mean - factor * statistic``, in place on (n_groups, 1, n_outputs, n)."""
        if self.statistic is not None:
            mean.sub_(self.statistic, alpha=factor)
        elif self.index is not None:
            flat = mean.view(-1) if self.index.ndim == 1 else mean.flatten(1)
            ones = mean.new_full(self.index.shape, -factor)
            flat.scatter_add_(-1, self.index, ones)


def flat_index(y: Tensor) -> Tensor:
    """`Target.index` of classes (n_samples,) or (n_groups, n_samples)."""
    n_samples = y.shape[-1]
    index = torch.arange(n_samples, device=y.device)
    return index.add(y.squeeze(0) if y.ndim > 1 else y, alpha=n_samples)

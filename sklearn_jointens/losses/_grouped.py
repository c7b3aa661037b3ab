"""The joint loss of several ensembles at once, each with rows and a lam of its own.

The equation and its gradient are those of ``_joint.py``, and the axes are its axes
with the groups before them: (n_groups, n_members, n_outputs, n_samples).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sklearn_jointens.losses._families import Categorical, Family, Target
from sklearn_jointens.losses._joint import (
    mean_natural,
    nll_and_mean,
    row_weights,
    saved_gradient,
)


class GroupedTerms(NamedTuple):
    """The joint losses of several ensembles and the parts they are made of.

    Attributes
    ----------
    total : Tensor of shape ()
        The sum of `losses`; the only part that carries a gradient.
    losses : Tensor of shape (n_groups,)
        Each ensemble's eq. 4.
    ensemble_losses : Tensor of shape (n_groups,)
        Each ensemble's mean negative log-likelihood.
    member_losses : Tensor of shape (n_groups, n_members)
        Each member's mean negative log-likelihood.
    natural : Tensor of shape (n_groups, n_outputs, n_samples)
        The ensembles' natural parameters.
    """

    total: Tensor
    losses: Tensor
    ensemble_losses: Tensor
    member_losses: Tensor
    natural: Tensor


@dataclass(frozen=True)
class _GroupedTarget(Target):
    """The targets of all groups; tensors broadcast against (n_groups, n_members, ...).

    Attributes
    ----------
    index : Tensor of shape (n_groups, 1, n_samples) or None
        Among the flattened (n_outputs, n_samples) of one group.
    statistic : Tensor of shape (n_groups, 1, n_outputs, n_samples) or None
    scale, weight, normalizer : Tensor of shape (n_groups, 1, n_samples) or None
    """

    def inner(self, natural: Tensor) -> Tensor:
        if self.index is None:
            assert self.statistic is not None
            return (natural * self.statistic).sum(2)
        index = self.index.expand(-1, natural.shape[1], -1)
        return natural.flatten(2).gather(2, index)

    def subtract_from(self, mean: Tensor, factor: float) -> Tensor:
        """``mean - factor * statistic``, in place on (n_groups, 1, n_outputs, n)."""
        if self.index is None:
            assert self.statistic is not None
            return mean.sub_(self.statistic, alpha=factor)
        ones = mean.new_full(self.index.shape, -factor)
        mean.view(len(mean), 1, -1).scatter_add_(2, self.index, ones)
        return mean


def _grouped_target(
    family: Family, y: Tensor, n_outputs: int, dtype: torch.dtype
) -> _GroupedTarget:
    n_groups, n_samples = y.shape
    flat = family.target(y.flatten(), n_outputs, dtype)
    index = statistic = None
    if flat.index is not None:
        places = torch.arange(n_samples, device=y.device)
        index = (places + y.long() * n_samples).unsqueeze(1)
    else:
        assert flat.statistic is not None
        statistic = flat.statistic.unflatten(1, (n_groups, 1, -1)).movedim(0, 2)
    rest = (flat.scale, flat.weight, flat.normalizer)
    by_group = (None if t is None else t.view(n_groups, 1, -1) for t in rest)
    return _GroupedTarget(index, statistic, *by_group)


class _GroupedLoss(torch.autograd.Function):
    """Eq. 4 of every group with the closed-form gradient, computed once."""

    @staticmethod
    def forward(
        ctx: Any,
        flat: Tensor,
        family: Family,
        target: _GroupedTarget,
        lam: Tensor,
        weight: Tensor | None,
        gradient_scale: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        natural = flat.unflatten(0, (len(lam), -1))
        n_members, n_samples = natural.shape[1], natural.shape[3]
        rows = row_weights(target, weight, natural)
        own_rows = rows if rows is not None and rows.shape[1] > 1 else None
        member_nll, mean = nll_and_mean(natural, family, target)
        ensemble = mean_natural(natural, own_rows)
        ensemble_nll, ensemble_mean = nll_and_mean(
            ensemble.unsqueeze(1), family, target
        )
        if rows is None:
            member_losses = member_nll.mean(2)
            ensemble_losses = ensemble_nll.mean((1, 2))
        else:
            member_losses = (member_nll * rows).sum(2)
            ensemble_losses = (ensemble_nll * rows.mean(1, keepdim=True)).sum((1, 2))
        losses = torch.lerp(member_losses.mean(1), ensemble_losses, lam)

        if ctx.needs_input_grad[0]:
            # As for one ensemble: the part that members share first, so that each
            # member costs one pass or two in place.
            factor = gradient_scale / n_members
            if rows is None:
                factor /= n_samples
            lam = lam.view(-1, 1, 1, 1)
            shared = ensemble_mean.mul_(factor * lam)
            shared = target.subtract_from(shared, factor)
            own = factor * (1 - lam)
            if rows is None or own_rows is not None:
                gradient = torch.addcmul(shared, mean, own, out=mean)
                if own_rows is not None:
                    gradient.mul_(own_rows.unsqueeze(2))
            else:
                by_row = rows.unsqueeze(2)
                gradient = torch.addcmul(shared * by_row, mean, own * by_row, out=mean)
            ctx.save_for_backward(gradient.view(flat.shape))
        ctx.mark_non_differentiable(losses, ensemble_losses, member_losses, ensemble)
        return losses.sum(), losses, ensemble_losses, member_losses, ensemble

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, *_: Tensor) -> tuple[Any, ...]:
        return saved_gradient(ctx, grad_total), None, None, None, None, None


def grouped_terms(
    natural: Tensor,
    y: Tensor,
    lam: Tensor,
    weight: Tensor | None = None,
    family: Family | None = None,
    gradient_scale: float = 1.0,
) -> GroupedTerms:
    """Joint losses of several ensembles: for each group what `joint_terms` gives.

    A group of fewer rows is padded with rows of weight 0, whose targets are any valid
    ones and whose natural parameters are any finite numbers.

    Parameters
    ----------
    natural : Tensor of shape (n_groups * n_members, n_outputs, n_samples)
        ``family.natural(outputs)``, the members of a group next to each other.
    y : Tensor of shape (n_groups, n_samples)
        Encoded targets of each group.
    lam : Tensor of shape (n_groups,)
        Each group's, in [0, 1], of the dtype of `natural`.
    weight : Tensor of shape (n_groups, n_samples), (n_groups, n_members, n_samples) \
or None
        Row weights, the same for all members of a group or each member's own.
    family : Family or None, default=None
        ``None`` is `Categorical()`.
    gradient_scale : float, default=1.0
        Factor of the gradient, and of nothing else. The number of members of a group
        gives each member the gradient it would have alone.

    Returns
    -------
    GroupedTerms

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.losses import grouped_terms
    >>> logits = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]])  # 2 members, 1 sample
    >>> twice = torch.cat([logits, logits]).transpose(1, 2)  # 2 groups of them
    >>> y = torch.tensor([[0], [0]])
    >>> grouped_terms(twice, y, lam=torch.tensor([0.0, 1.0])).losses
    tensor([0.7201, 0.4741])
    """
    family = Categorical() if family is None else family
    target = _grouped_target(family, y, natural.shape[1], natural.dtype)
    if weight is not None and weight.ndim == 2:
        weight = weight.unsqueeze(1)
    terms = _GroupedLoss.apply(natural, family, target, lam, weight, gradient_scale)
    return GroupedTerms(*terms)

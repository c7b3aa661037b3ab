"""What each row loses, of members and of ensembles, and what it gains by diversity."""

from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_jointens.losses._families import Family
from sklearn_jointens.losses._target import Target


class RowLosses(NamedTuple):
    """Losses whose sum over rows, divided by that of the divisors, is the criterion's.

    Attributes
    ----------
    losses : Tensor of shape (n_members, n_samples), dtype float64
        With the criterion's own weights of classes.
    divisors : Tensor of shape (n_samples,), dtype float64
        1, unless the criterion divides by weights.
    """

    losses: Tensor
    divisors: Tensor


def row_losses(natural: Tensor, y: Tensor, family: Family) -> RowLosses:
    """Negative log-likelihood of each row.

    Parameters
    ----------
    natural : Tensor of shape (n_members, n_outputs, n_samples)
        As ``family.natural`` gives it without an origin. An ensemble is one member with
        the mean of its members' parameters.
    y : Tensor of shape (n_samples,) or (n_samples, n_targets)
        Encoded targets.
    family : Family

    Returns
    -------
    RowLosses

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.losses import Categorical
    >>> from sklearn_jointens.losses._by_row import row_losses
    >>> natural = torch.tensor([[[0.9, 0.5], [0.1, 0.5]]]).log()
    >>> row_losses(natural, torch.tensor([0, 1]), Categorical()).losses
    tensor([[0.1054, 0.6931]], dtype=torch.float64)
    """
    natural, target = measured(natural, y, family)
    losses = family.nll_and_mean(natural.unsqueeze(0), target)[0].squeeze(0)
    if target.weight is not None:
        losses = losses * target.weight[0]
    divisors = torch.ones_like(losses[0])
    if target.normalizer is not None:
        divisors = divisors * target.normalizer[0, 0]
    return RowLosses(losses, divisors)


def row_diversity(natural: Tensor, y: Tensor, family: Family) -> Tensor:
    """How much less the ensemble loses of each row than its mean member, at least 0.

    The family's own `diversity`, with the criterion's factors: of classes, labels and
    smoothing. No difference of losses is taken (but for the convex losses, which have
    no other way), so that ``ensemble loss = mean member loss - diversity`` is something
    to check.

    Parameters
    ----------
    natural : Tensor of shape (n_members, n_outputs, n_samples)
        As `row_losses` takes it.
    y : Tensor of shape (n_samples,) or (n_samples, n_targets)
        Encoded targets.
    family : Family

    Returns
    -------
    Tensor of shape (n_samples,), dtype float64

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.losses import Categorical
    >>> from sklearn_jointens.losses._by_row import row_diversity
    >>> natural = torch.tensor([[[0.9], [0.1]], [[0.1], [0.9]]]).log()
    >>> row_diversity(natural, torch.tensor([0]), Categorical())  # -log(2 * .3)
    tensor([0.5108], dtype=torch.float64)
    """
    natural = natural.double()
    target = _target(natural, y, family)
    if target.scale is None:
        diversity = family.diversity(natural, y)
    elif target.scale.ndim == 3:
        diversity = family.diversity(natural, y) * target.scale[0, 0]
    else:
        # Labels may differ in their factors.
        of_labels = [family.diversity(one, y) for one in natural.split(1, dim=1)]
        diversity = (torch.stack(of_labels) * target.scale[0, 0]).sum(0)
    return diversity if target.weight is None else diversity * target.weight[0, 0]


def measured(
    natural: Tensor, y: Tensor, family: Family, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Target]:
    """Natural parameters as the loss takes them, and the targets beside them.

    Those of an ensemble are still the mean of its members'.

    Parameters
    ----------
    natural : Tensor of shape (n_members, n_outputs, n_samples)
        Without an origin.
    y : Tensor of shape (n_samples,) or (n_samples, n_targets)
        Encoded targets.
    family : Family
    dtype : torch.dtype, default=torch.float64
        Of what is returned.

    Returns
    -------
    natural : Tensor of shape (n_members, n_outputs, n_samples)
        Measured from the target's origin, of which no digit is lost on the way.
    target : Target
        Of one group.
    """
    natural = natural.double()
    target = _target(natural, y, family, dtype)
    origin = _target(natural, y, family).origin
    if origin is not None:
        natural = family.natural(family.output(natural), origin)
    return natural.to(dtype), target


def _target(
    natural: Tensor, y: Tensor, family: Family, dtype: torch.dtype = torch.float64
) -> Target:
    n_raw = family.output(natural[:1]).shape[2:].numel()
    return family.target(y.unsqueeze(0), n_raw, dtype)

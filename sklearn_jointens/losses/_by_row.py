"""What each row loses, of members and of ensembles whose parameters are known."""

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
    outputs, y = family.output(natural), y.unsqueeze(0)
    n_outputs = outputs.shape[2:].numel()
    origin = family.target(y, n_outputs, torch.float64).origin
    if origin is not None:
        natural = family.natural(outputs, origin)
    return natural.to(dtype), family.target(y, n_outputs, dtype)

"""Losses of numbers that are convex in the output, and no likelihood of a family.

The mean of the members' outputs loses no more than the mean member (Jensen), so that
the identities of the joint loss hold; only diversity depends on the target.
"""

import torch
from torch import Tensor, nn

from sklearn_jointens.losses._families._numbers import Numbers, outputs_first
from sklearn_jointens.losses._target import Target

# Quartiles of a normal distribution lie so many standard deviations apart.
_OF_MIDDLE_HALF = 1.3489795


class Huber(Numbers):
    """Members under ``L1Loss``, ``SmoothL1Loss`` or ``HuberLoss``.

    The loss of an error ``d`` is quadratic up to ``width`` and linear beyond it, where
    it has the slope ``slope``.

    Parameters
    ----------
    width : float, default=0.0
    slope : float, default=1.0
    """

    def __init__(self, width: float = 0.0, slope: float = 1.0) -> None:
        self.width = width
        self.slope = slope

    @classmethod
    def of(cls, criterion: nn.L1Loss | nn.SmoothL1Loss | nn.HuberLoss) -> "Huber":
        """The family of a criterion."""
        if not isinstance(criterion, nn.HuberLoss):
            return cls(getattr(criterion, "beta", 0.0))
        if criterion.delta <= 0:
            raise ValueError(
                "The 'criterion__delta' parameter of the member must be a float above "
                f"0. Got {criterion.delta!r} instead."
            )
        return cls(criterion.delta, criterion.delta)

    def nll_and_mean(self, natural: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        if self.width == 0:
            slope = natural.sign()
        else:
            slope = (natural / self.width).clamp_(-1, 1)
        # |d| - width / 2 where the slope is 1 or -1, d ** 2 / (2 * width) elsewhere.
        nll = slope * (natural - 0.5 * self.width * slope)
        factor = self.slope / natural.shape[-2]
        return nll.sum(-2) * factor, slope * factor

    def scaling(self, y: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The median, and the spread of the middle half in standard deviations.

        Extreme values, which count little in the loss, count nothing in its units.
        Where half of y is one value, mean and standard deviation.
        """
        mean, deviation = super().scaling(y, weight)
        low, middle, high = (_quantile(y, weight, q) for q in (0.25, 0.5, 0.75))
        spread = (high - low) / _OF_MIDDLE_HALF
        is_one_value = spread <= 1e-12 * middle.abs()
        return (
            torch.where(is_one_value, mean, middle),
            torch.where(is_one_value, deviation, spread),
        )

    def diversity(self, natural: Tensor, y: Tensor) -> Tensor:
        target = Target()
        error = natural - outputs_first(y.unsqueeze(0), natural.dtype)[0]
        members, _ = self.nll_and_mean(error, target)
        ensemble, _ = self.nll_and_mean(error.mean(0), target)
        return (members.mean(0) - ensemble).clamp_min(0)


def _quantile(y: Tensor, weight: Tensor | None, q: float) -> Tensor:
    """The smallest value of each output that rows of a share `q` do not exceed."""
    y = y.double().reshape(len(y), -1)
    share = torch.ones_like(y[:, 0]) if weight is None else weight.to(y)
    values, order = y.sort(0)
    below = share[order].cumsum(0)
    # Of weights that do not add up exactly, the last is there all the same.
    place = (below < q * below[-1] * (1 - 1e-12)).sum(0, keepdim=True)
    return values.gather(0, place).squeeze(0)

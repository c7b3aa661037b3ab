"""Losses of numbers that are convex in the output, and no likelihood of a family.

The mean of the members' outputs loses no more than the mean member (Jensen), so that
the identities of the joint loss hold; only diversity depends on the target.
"""

from torch import Tensor, nn

from sklearn_jointens.losses._families._numbers import Numbers, outputs_first
from sklearn_jointens.losses._target import Target


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
        if isinstance(criterion, nn.HuberLoss):
            return cls(criterion.delta, criterion.delta)
        return cls(getattr(criterion, "beta", 0.0))

    def nll_and_mean(self, natural: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        if self.width == 0:
            slope = natural.sign()
        else:
            slope = (natural / self.width).clamp_(-1, 1)
        # |d| - width / 2 where the slope is 1 or -1, d ** 2 / (2 * width) elsewhere.
        nll = slope * (natural - 0.5 * self.width * slope)
        factor = self.slope / natural.shape[-2]
        return nll.sum(-2) * factor, slope * factor

    def diversity(self, natural: Tensor, y: Tensor) -> Tensor:
        target = Target()
        error = natural - outputs_first(y.unsqueeze(0), natural.dtype)[0]
        members, _ = self.nll_and_mean(error, target)
        ensemble, _ = self.nll_and_mean(error.mean(0), target)
        return (members.mean(0) - ensemble).clamp_min(0)

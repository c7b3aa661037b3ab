"""Numbers with a normal distribution, of a known variance or of the members' own."""

import math

import torch
from torch import Tensor, nn

from sklearn_jointens.losses._families._numbers import Numbers
from sklearn_jointens.losses._heteroscedastic import HeteroscedasticGaussianLoss
from sklearn_jointens.losses._target import Target


class Gaussian(Numbers):
    """Members under ``MSELoss``; the ensemble is the mean of their outputs.

    The joint loss is Negative Correlation Learning with penalty lam (Liu & Yao 1999;
    Brown et al. 2005).
    """

    @classmethod
    def of(cls, criterion: nn.MSELoss) -> "Gaussian":
        """The family of a criterion."""
        return cls()

    def nll_and_mean(self, natural: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        return natural.square().mean(-2), natural * (2 / natural.shape[-2])

    def diversity(self, natural: Tensor, y: Tensor | None = None) -> Tensor:
        return natural.var(0, correction=0).mean(0)


class HeteroscedasticGaussian(Numbers):
    """Members that put out means and log-variances.

    The ensemble is the normalised product of the members' densities, each to the power
    1/M: precisions are averaged, and means weighted by them. Natural parameters are
    means times precisions, then precisions.

    Parameters
    ----------
    full : bool, default=False
        The criterion's ``full``.
    """

    what_is_put_out = "means and then log-variances"

    def __init__(self, full: bool = False) -> None:
        self.full = full

    @classmethod
    def of(cls, criterion: HeteroscedasticGaussianLoss) -> "HeteroscedasticGaussian":
        """The family of a criterion."""
        return cls(criterion.full)

    def natural(self, output: Tensor, origin: Tensor | None = None) -> Tensor:
        mean, log_variance = super().natural(output).chunk(2, dim=1)
        if origin is not None:
            mean = super().natural(mean.transpose(1, 2), origin)
        precision = log_variance.neg().exp()
        return torch.cat([mean * precision, precision], dim=1)

    def output(self, natural: Tensor, origin: Tensor | None = None) -> Tensor:
        mean, log_variance = self.means(natural), -natural.chunk(2, dim=-2)[1].log()
        mean = mean if origin is None else mean + origin
        return torch.cat([mean, log_variance], dim=-2).transpose(-1, -2)

    def nll_and_mean(self, natural: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        product, precision = natural.chunk(2, dim=-2)
        mean = product / precision
        nll = 0.5 * (product * mean - precision.log()).mean(-2)
        if self.full:
            nll += 0.5 * math.log(2 * math.pi)
        of_precision = -0.5 * (mean.square() + 1 / precision)
        return nll, torch.cat([mean, of_precision], dim=-2) / mean.shape[-2]

    def means(self, natural: Tensor) -> Tensor:
        product, precision = natural.chunk(2, dim=-2)
        return product / precision

    def std(self, natural: Tensor) -> Tensor:
        """Standard deviations (..., n_samples, n_outputs)."""
        return natural.chunk(2, dim=-2)[1].rsqrt().transpose(-1, -2)

    def diversity(self, natural: Tensor, y: Tensor | None = None) -> Tensor:
        # The same for every target: at the ensemble's mean nothing cancels.
        precision = natural.chunk(2, dim=1)[1]
        deviation = self.means(natural) - self.means(natural.mean(0))
        members = precision * deviation.square() - precision.log()
        value = members.mean(0) + precision.mean(0).log()
        return 0.5 * value.mean(0).clamp_min(0)

    def n_raw(self, n_outputs: int) -> int:
        return 2 * n_outputs

"""Counts."""

import math

import torch
from torch import Tensor, nn

from sklearn_jointens.losses._families._numbers import (
    Numbers,
    mean_and_deviation,
    outputs_first,
)
from sklearn_jointens.losses._target import Target


class Poisson(Numbers):
    """Members that put out logarithms of rates, under ``PoissonNLLLoss``.

    The ensemble's rate is the geometric mean of the members'.

    Parameters
    ----------
    full : bool, default=False
        The criterion's ``full``: whether the loss has the Stirling approximation of
        log(y!), which no member can change.
    """

    def __init__(self, full: bool = False) -> None:
        self.full = full

    @classmethod
    def of(cls, criterion: nn.PoissonNLLLoss) -> "Poisson":
        """The family of a criterion."""
        if not criterion.log_input:
            raise ValueError(
                "The 'criterion__log_input' parameter of the member must be True: its "
                "module puts out logarithms of rates, whose mean is the ensemble's. "
                "Got False instead."
            )
        return cls(criterion.full)

    def target(self, y: Tensor, n_outputs: int, dtype: torch.dtype) -> Target:
        y, base = outputs_first(y, dtype), None
        if self.full:
            known = y.clamp_min(1)
            stirling = known * known.log() - known + 0.5 * (2 * math.pi * known).log()
            base = stirling.masked_fill(y <= 1, 0).mean(-2)
        return Target(statistic=y / y.shape[-2], base=base)

    def nll_and_mean(self, natural: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        mean = natural.exp() / natural.shape[-2]
        assert target.statistic is not None
        nll = (mean - target.statistic * natural).sum(-2)
        return nll if target.base is None else nll + target.base, mean

    def means(self, natural: Tensor) -> Tensor:
        return natural.exp()

    def diversity(self, natural: Tensor, y: Tensor | None = None) -> Tensor:
        # Bregman divergences from the ensemble, which no target changes.
        ensemble = natural.mean(0)
        deviation = natural - ensemble
        value = ensemble.exp() * (deviation.expm1() - deviation).mean(0)
        return value.mean(0).clamp_min(0)

    def check_target(self, y: Tensor) -> str | None:
        return "counts >= 0 with criterion=PoissonNLLLoss" if (y < 0).any() else None

    def scaling(self, y: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean, _ = mean_and_deviation(y, weight)
        return torch.zeros_like(mean), mean.masked_fill(mean == 0, 1)

"""One of two classes, or several labels each of which a row has or has not."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_jointens.losses._families._base import (
    Family,
    at_least_float32,
    batch_innermost,
)
from sklearn_jointens.losses._families._categorical import TransformedProbabilities
from sklearn_jointens.losses._target import Target


class Bernoulli(Family):
    """Members that put out one logit, of two classes, under ``BCEWithLogitsLoss``.

    Parameters
    ----------
    pos_weight : Tensor with one value or None, default=None
        The criterion's ``pos_weight``: the factor of the positive class.
    weight : Tensor with one value or None, default=None
        The criterion's ``weight``: the factor of every row.
    threshold : float in [0, 1], default=0.5
        A row is of the second class where that is more probable than this.
    """

    def __init__(
        self,
        pos_weight: Tensor | None = None,
        weight: Tensor | None = None,
        threshold: float = 0.5,
    ) -> None:
        self.pos_weight = pos_weight
        self.weight = weight
        self.threshold = threshold

    @classmethod
    def of(cls, criterion: nn.BCEWithLogitsLoss) -> "Bernoulli":
        """The family of a criterion."""
        return cls(criterion.pos_weight, criterion.weight)

    def natural(self, output: Tensor, origin: Tensor | None = None) -> Tensor:
        return at_least_float32(output).flatten(1).unsqueeze(1)

    def output(self, natural: Tensor, origin: Tensor | None = None) -> Tensor:
        return natural.squeeze(-2)

    def _labels_first(self, y: Tensor) -> Tensor:
        """(..., n_members=1, n_labels, n_samples)."""
        return y[..., None, None, :]

    def target(self, y: Tensor, n_outputs: int, dtype: torch.dtype) -> Target:
        y = self._labels_first(y.to(dtype))
        if self.pos_weight is self.weight is None and n_outputs == 1:
            return Target(statistic=y)
        # A row's loss is the mean over its labels, each with its own weights.
        statistic, negative = y / n_outputs, (1 - y) / n_outputs
        if self.pos_weight is not None:
            statistic = statistic * self.pos_weight.to(y).view(-1, 1)
        if self.weight is not None:
            weight = self.weight.to(y).view(-1, 1)
            statistic, negative = statistic * weight, negative * weight
        return Target(statistic=statistic, scale=statistic + negative)

    def nll_and_mean(self, natural: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        assert target.statistic is not None
        bulk, rest = natural.clamp_min(0), natural.abs().neg_().exp_().log1p_()
        mean = torch.sigmoid(natural)
        if target.scale is not None:
            bulk, rest = bulk * target.scale, rest * target.scale
            mean *= target.scale
        # Of large logits the first difference is exact, and the rest is small.
        return (bulk - target.statistic * natural + rest).sum(-2), mean

    def predicted(self, natural: Tensor) -> Tensor:
        positive = torch.sigmoid(natural)
        return torch.cat([1 - positive, positive], dim=-2).transpose(-1, -2)

    def log_proba(self, natural: Tensor) -> Tensor:
        both = torch.cat([-natural, natural], dim=-2)
        return F.logsigmoid(both).transpose(-1, -2)

    def decide(self, proba: Any) -> Any:
        return (proba[..., 1] > self.threshold) * 1

    def correct(self, natural: Tensor, y: Tensor) -> Tensor | None:
        # Not of the logit: what `decide` is given is rounded.
        positive = torch.sigmoid(natural) > self.threshold
        return (positive == (self._labels_first(y) > 0.5)).all(-2)

    def diversity(self, natural: Tensor, y: Tensor | None = None) -> Tensor:
        mean_log = (F.logsigmoid(z).mean(0) for z in (-natural, natural))
        return torch.logaddexp(*mean_log).neg().clamp_min(0).mean(0)

    def with_nonlinearity(
        self,
        nonlinearity: Callable[[Tensor], Tensor] | None,
        threshold: float | None = None,
    ) -> Family:
        if nonlinearity is not None:
            return TransformedProbabilities(nonlinearity, threshold)
        if threshold is None:
            return self
        return type(self)(self.pos_weight, self.weight, threshold)

    def n_raw(self, n_outputs: int) -> int:
        return 1

    def check_output(
        self, output: Tensor, n_samples: int, n_outputs: int
    ) -> str | None:
        if n_outputs != 2:
            return (
                f"outputs for {n_outputs} classes; criterion=BCEWithLogitsLoss is for "
                "two"
            )
        if output.shape not in {(n_samples,), (n_samples, 1)}:
            return (
                "one logit a row, shape (n_samples,) or (n_samples, 1) with n_samples="
                f"{n_samples}, with criterion=BCEWithLogitsLoss"
            )
        return None


class BernoulliLabels(Bernoulli):
    """Members with a logit for each label, under ``BCEWithLogitsLoss``.

    Targets are of shape (..., n_samples, n_labels), 0 or 1; a row's loss is the mean
    over its labels. What is predicted are the probabilities of 1, (..., n_samples,
    n_labels).

    Parameters
    ----------
    pos_weight : Tensor with one value or one a label, or None, default=None
        The criterion's ``pos_weight``: the factor of a label where it is 1.
    weight : Tensor with one value or one a label, or None, default=None
        The criterion's ``weight``: the factor of a label in every row.
    threshold : float in [0, 1], default=0.5
        A row has the labels that are more probable than this.
    """

    def natural(self, output: Tensor, origin: Tensor | None = None) -> Tensor:
        return batch_innermost(output)

    def output(self, natural: Tensor, origin: Tensor | None = None) -> Tensor:
        return natural.transpose(-1, -2)

    def _labels_first(self, y: Tensor) -> Tensor:
        return y.transpose(-1, -2).unsqueeze(-3)

    def predicted(self, natural: Tensor) -> Tensor:
        return torch.sigmoid(natural).transpose(-1, -2)

    def log_proba(self, natural: Tensor) -> Tensor:
        return F.logsigmoid(natural).transpose(-1, -2)

    def decide(self, proba: Any) -> Any:
        return (proba > self.threshold) * 1

    def of_label(self, label: int) -> "BernoulliLabels":
        """The family of one label by itself, whose loss is its own."""
        family = copy.copy(self)
        for name in ("pos_weight", "weight"):
            values = getattr(self, name)
            if values is not None and values.numel() > 1:
                setattr(family, name, values.flatten()[label])
        return family

    def with_nonlinearity(
        self,
        nonlinearity: Callable[[Tensor], Tensor] | None,
        threshold: float | None = None,
    ) -> Family:
        if nonlinearity is None:
            return super().with_nonlinearity(None, threshold)
        return TransformedLabels(nonlinearity)

    def n_raw(self, n_outputs: int) -> int:
        return n_outputs

    def target_shapes(self, n_samples: int, n_raw: int) -> set[tuple[int, ...]]:
        return {(n_samples, n_raw)}

    def check_output(
        self, output: Tensor, n_samples: int, n_outputs: int
    ) -> str | None:
        if output.shape != (n_samples, n_outputs):
            return (
                f"outputs of shape (n_samples, n_labels) = ({n_samples}, {n_outputs}), "
                "a logit for each label, with criterion=BCEWithLogitsLoss"
            )
        return None


class TransformedLabels(BernoulliLabels):
    """Members whose outputs become labels' probabilities by a function of the user's.

    Parameters
    ----------
    nonlinearity : callable
        Makes probabilities (n_samples, n_labels) of one member's output.
    """

    transforms_members = True

    def __init__(self, nonlinearity: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.nonlinearity = nonlinearity

    def natural(self, output: Tensor, origin: Tensor | None = None) -> Tensor:
        proba = at_least_float32(torch.stack(list(map(self.nonlinearity, output))))
        return batch_innermost(torch.logit(proba, torch.finfo(proba.dtype).eps))

    def output(self, natural: Tensor, origin: Tensor | None = None) -> Tensor:
        return self.predicted(natural)

    def check_output(
        self, output: Tensor, n_samples: int, n_outputs: int
    ) -> str | None:
        proba = self.nonlinearity(output.detach())
        if (
            not isinstance(proba, Tensor)
            or super().check_output(proba, n_samples, n_outputs)
            or not ((proba >= 0) & (proba <= 1)).all()
        ):
            return (
                "probabilities (from 0 to 1) of shape (n_samples, n_labels) = "
                f"({n_samples}, {n_outputs})"
            )
        return None

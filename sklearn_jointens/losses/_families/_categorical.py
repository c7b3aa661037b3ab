"""Classes of which each row has one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sklearn_jointens.losses._families._base import (
    Family,
    at_least_float32,
    batch_innermost,
)
from sklearn_jointens.losses._target import Target, flat_index


class Categorical(Family):
    """Members that put out logits of classes, under ``CrossEntropyLoss``.

    Parameters
    ----------
    class_weight : Tensor of shape (n_classes,) or None, default=None
        The criterion's ``weight``.
    label_smoothing : float in [0, 1], default=0.0
        The criterion's ``label_smoothing``.
    ignore_index : int, default=-100
        Rows with this class have no part in the loss.
    """

    def __init__(
        self,
        class_weight: Tensor | None = None,
        label_smoothing: float = 0.0,
        ignore_index: int = -100,
    ) -> None:
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.ignore_index = ignore_index

    @classmethod
    def of(cls, criterion: Any) -> "Categorical":
        """The family of a criterion."""
        return cls(criterion.weight, criterion.label_smoothing, criterion.ignore_index)

    def natural(self, output: Tensor, origin: Tensor | None = None) -> Tensor:
        return batch_innermost(output)

    def output(self, natural: Tensor, origin: Tensor | None = None) -> Tensor:
        return natural.transpose(-1, -2)

    def target(self, y: Tensor, n_outputs: int, dtype: torch.dtype) -> Target:
        y = y.long()
        weight = row_weight = None
        if self.class_weight is not None:
            weight = self.class_weight.to(device=y.device, dtype=dtype)
            row_weight = weight[y].unsqueeze(1)
        if 0 <= self.ignore_index < n_outputs:
            kept = (y != self.ignore_index).to(dtype).unsqueeze(1)
            row_weight = kept if row_weight is None else row_weight * kept
        if self.label_smoothing == 0:
            return Target(index=flat_index(y), weight=row_weight, normalizer=row_weight)
        return self._smoothed(y, n_outputs, dtype, weight, row_weight)

    def _smoothed(
        self,
        y: Tensor,
        n_outputs: int,
        dtype: torch.dtype,
        weight: Tensor | None,
        row_weight: Tensor | None,
    ) -> Target:
        """torch smooths after weighting: every class keeps its own weight."""
        share = self.label_smoothing / n_outputs
        if weight is None:
            weight = torch.ones(n_outputs, dtype=dtype, device=y.device)
        observed = F.one_hot(y, n_outputs).to(dtype) * weight
        statistic = observed * (1 - self.label_smoothing) + share * weight
        statistic = statistic.transpose(1, 2).unsqueeze(1)
        if 0 <= self.ignore_index < n_outputs:
            statistic = statistic * (y != self.ignore_index)[:, None, None]
        return Target(
            statistic=statistic, scale=statistic.sum(2), normalizer=row_weight
        )

    def nll_and_mean(self, natural: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        inner = _inner(natural, target)
        return _nll_and_mean(natural, target, natural.amax(-2), inner)

    def nll_mean_and_correct(
        self, natural: Tensor, target: Target, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        if target.index is None:
            return super().nll_mean_and_correct(natural, target, y)
        largest, observed = natural.amax(-2), target.observed(natural)
        correct = _is_first(natural, y, largest, observed)
        return *_nll_and_mean(natural, target, largest, observed), correct

    def predicted(self, natural: Tensor) -> Tensor:
        return torch.softmax(natural, dim=-2).transpose(-1, -2)

    def log_proba(self, natural: Tensor) -> Tensor:
        return torch.log_softmax(natural, dim=-2).transpose(-1, -2)

    def decide(self, proba: Any) -> Any:
        """The first of several equally probable classes wins."""
        return proba.argmax(-1)

    def correct(self, natural: Tensor, y: Tensor) -> Tensor | None:
        y, largest = y.long(), natural.amax(-2)
        grouped = natural if natural.ndim == 4 else natural.unsqueeze(0)
        observed = Target(flat_index(y)).observed(grouped).view(largest.shape)
        return _is_first(natural, y, largest, observed)

    def diversity(self, natural: Tensor, y: Tensor | None = None) -> Tensor:
        # From log-probabilities, not logits: the difference of two large logsumexp
        # would leave nothing but rounding.
        mean_log_probability = torch.log_softmax(natural, dim=1).mean(0)
        return torch.logsumexp(mean_log_probability, dim=0).neg().clamp_min(0)

    def with_nonlinearity(
        self,
        nonlinearity: Callable[[Tensor], Tensor] | None,
        threshold: float | None = None,
    ) -> Family:
        if nonlinearity is None:
            return self
        return TransformedProbabilities(nonlinearity, threshold)

    def check_output(
        self, output: Tensor, n_samples: int, n_outputs: int
    ) -> str | None:
        if output.shape != (n_samples, n_outputs):
            return (
                f"outputs of shape (n_samples, n_classes) = ({n_samples}, {n_outputs})"
            )
        return None

    def suspect(self, output: Tensor) -> str | None:
        if _are_probabilities(output):
            return (
                "puts out probabilities, which criterion=CrossEntropyLoss takes for "
                "logits: drop its softmax, or use criterion=NLLLoss."
            )
        return None


class CategoricalProbabilities(Categorical):
    """Members that put out probabilities, under ``NLLLoss`` as skorch means it.

    skorch takes ``log(output + eps)`` before ``NLLLoss``. The mean of log-probabilities
    is not a log-probability: it has to be renormalised before the ensemble's term, or
    every lam trains as lam = 0. Treating ``log(output + eps)`` as logits does so.

    Parameters
    ----------
    class_weight : Tensor of shape (n_classes,) or None, default=None
        The criterion's ``weight``.
    label_smoothing : float in [0, 1], default=0.0
        As ``CrossEntropyLoss`` has it; ``NLLLoss`` has none.
    ignore_index : int, default=-100
        Rows with this class have no part in the loss.
    """

    @classmethod
    def of(cls, criterion: Any) -> "CategoricalProbabilities":
        return cls(criterion.weight, ignore_index=criterion.ignore_index)

    def natural(self, output: Tensor, origin: Tensor | None = None) -> Tensor:
        output = at_least_float32(output)
        return batch_innermost((output + torch.finfo(output.dtype).eps).log())

    def output(self, natural: Tensor, origin: Tensor | None = None) -> Tensor:
        return torch.softmax(natural, dim=-2).transpose(-1, -2)

    def check_output(
        self, output: Tensor, n_samples: int, n_outputs: int
    ) -> str | None:
        wrong = super().check_output(output, n_samples, n_outputs)
        if wrong is None and not _are_probabilities(output):
            wrong = (
                "outputs that are probabilities (rows >= 0 that sum to 1) with "
                "criterion=NLLLoss, as skorch means it; for logits use "
                "criterion=CrossEntropyLoss"
            )
        return wrong

    def suspect(self, output: Tensor) -> str | None:
        return None


class TransformedProbabilities(CategoricalProbabilities):
    """Members whose outputs become probabilities by a function of the user's own.

    Parameters
    ----------
    nonlinearity : callable
        Makes probabilities (n_samples, n_classes) of one member's output
        (n_samples, ...).
    threshold : float or None, default=None
        As of `Bernoulli`; ``None`` is the most probable class.
    """

    transforms_members = True

    def __init__(
        self, nonlinearity: Callable[[Tensor], Tensor], threshold: float | None = None
    ) -> None:
        super().__init__()
        self.nonlinearity = nonlinearity
        self.threshold = threshold

    def _transformed(self, output: Tensor) -> Tensor:
        # A binary net has one value a row, in whatever shape its module puts it out.
        return self.nonlinearity(
            output if self.threshold is None else output.reshape(-1)
        )

    def natural(self, output: Tensor, origin: Tensor | None = None) -> Tensor:
        return super().natural(torch.stack(list(map(self._transformed, output))))

    def decide(self, proba: Any) -> Any:
        if self.threshold is None:
            return super().decide(proba)
        return (proba[..., 1] > self.threshold) * 1

    def correct(self, natural: Tensor, y: Tensor) -> Tensor | None:
        return self.decide(self.predicted(natural)) == y.unsqueeze(-2)

    def check_output(
        self, output: Tensor, n_samples: int, n_outputs: int
    ) -> str | None:
        proba = self._transformed(output.detach())
        if not isinstance(proba, Tensor) or super().check_output(
            proba, n_samples, n_outputs
        ):
            return (
                "probabilities (rows >= 0 that sum to 1) of shape (n_samples, "
                f"n_classes) = ({n_samples}, {n_outputs})"
            )
        return None


def _are_probabilities(output: Tensor) -> bool:
    sums = output.detach().float().sum(1)
    tolerance = 1e-3 if output.dtype.itemsize >= 4 else 1e-1
    is_one = torch.allclose(sums, torch.ones_like(sums), atol=tolerance)
    return is_one and not (output < 0).any()


def _inner(natural: Tensor, target: Target) -> Tensor:
    if target.statistic is None:
        return target.observed(natural)
    return (natural * target.statistic).sum(-2)


def _nll_and_mean(
    natural: Tensor, target: Target, largest: Tensor, inner: Tensor
) -> tuple[Tensor, Tensor]:
    mean = torch.softmax(natural, dim=-2)
    # logsumexp from the largest class, whose probability never underflows: two
    # reductions instead of a second pass of exponentials. Its part that grows with the
    # logits goes first against theirs, where the sum would leave only rounding.
    rest = mean.amax(-2).log()
    if target.scale is not None:
        largest, rest = largest * target.scale, rest * target.scale
        mean *= target.scale.unsqueeze(-2)
    return largest - inner - rest, mean


def _is_first(natural: Tensor, y: Tensor, largest: Tensor, observed: Tensor) -> Tensor:
    """Whether argmax, which lets the first of several equal classes win, says `y`.

    Several times faster than argmax: a vectorized maximum of the classes before `y`.
    """
    classes = torch.arange(natural.shape[-2], device=y.device)[:, None]
    later = classes >= y.unsqueeze(-2)
    earlier = natural.new_zeros(later.shape).masked_fill_(later, -torch.inf)
    best_before = (natural + earlier.unsqueeze(-3)).amax(-2)
    return (observed >= largest) & (best_before < observed)

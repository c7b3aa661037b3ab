"""Exponential families: what the joint loss needs to know about a member's output.

For an exponential family with its canonical link, the negative log-likelihood of a
row is linear in a statistic of the target and convex in the natural parameters ``z``,

    nll(z, y) = scale * A(z) - <statistic, z>,

with the log-partition ``A``, whose gradient is the family's mean. The ensemble averages
natural parameters. A family is therefore four small functions, and a new one (Gaussian,
Poisson) is a new class here and nothing elsewhere.

Natural parameters are held batch innermost, ``(n_members, n_outputs, n_samples)``:
reductions over outputs then run over contiguous samples.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sklearn_jointens.losses._target import Target, flat_index


def _at_least_float32(output: Tensor) -> Tensor:
    half = output.dtype in (torch.float16, torch.bfloat16)
    return output.float() if half else output


def _batch_innermost(output: Tensor) -> Tensor:
    """(n_members, n_samples, n_outputs) -> contiguous (n_members, n_outputs, n)."""
    return _at_least_float32(output).transpose(1, 2).contiguous()


class Family:
    """Base of the families; `criterion` names the torch criterion a family stands for.

    The methods work on natural parameters of shape (n_members, n_outputs, n_samples).
    """

    def natural(self, output: Tensor) -> Tensor:
        """Natural parameters, from members' outputs (n_members, n_samples, ...)."""
        raise NotImplementedError

    def output(self, natural: Tensor) -> Tensor:
        """What one member with these natural parameters would have put out.

        Parameters
        ----------
        natural : Tensor of shape (n_outputs, n_samples)

        Returns
        -------
        Tensor of shape (n_samples, ...)
        """
        raise NotImplementedError

    def target(self, y: Tensor, n_outputs: int, dtype: torch.dtype) -> Target:
        """The target's statistic, scale and weights as the criterion defines them."""
        raise NotImplementedError

    def moments(self, natural: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-partition, in two parts, and mean, as new tensors.

        Parameters
        ----------
        natural : Tensor of shape (..., n_outputs, n_samples)

        Returns
        -------
        bulk, rest : Tensor of shape (..., n_samples)
            The log-partition is their sum. `bulk` is what grows with the natural
            parameters, so that ``bulk - <statistic, natural>`` is exact where the sum
            would leave nothing but rounding.
        mean : Tensor of shape (..., n_outputs, n_samples)
            The caller may overwrite it.
        """
        raise NotImplementedError

    def proba(self, natural: Tensor) -> Tensor:
        """Class probabilities (..., n_samples, n_classes) of (..., n_outputs, n)."""
        raise NotImplementedError

    def log_proba(self, natural: Tensor) -> Tensor:
        """Logarithms of `proba`, finite where that would be 0."""
        raise NotImplementedError

    def decide(self, proba: Any) -> Any:
        """Class numbers (..., n_samples) of probabilities (..., n_samples, n_classes).

        Of tensors and of arrays; the first of several equally probable classes wins.
        """
        return proba.argmax(-1)

    def is_correct(self, natural: Tensor, y: Tensor) -> Tensor:
        """Whether `decide` says `y`, bool (n_members, n_samples).

        Parameters
        ----------
        natural : Tensor of shape (n_members, n_outputs, n_samples)
        y : Tensor of shape (n_samples,) or (n_members, n_samples)
        """
        raise NotImplementedError

    def check_output(
        self, output: Tensor, n_samples: int, n_classes: int
    ) -> str | None:
        """What is wrong with one member's `output` for this family, or None."""
        raise NotImplementedError


class Categorical(Family):
    """Logits members under ``CrossEntropyLoss``.

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

    def natural(self, output: Tensor) -> Tensor:
        return _batch_innermost(output)

    def output(self, natural: Tensor) -> Tensor:
        return natural.t()

    def target(self, y: Tensor, n_outputs: int, dtype: torch.dtype) -> Target:
        y = y.long()
        weight = None
        if self.class_weight is not None:
            weight = self.class_weight.to(device=y.device, dtype=dtype)
        row_weight = None if weight is None else weight[y]
        if 0 <= self.ignore_index < n_outputs:
            kept = (y != self.ignore_index).to(dtype)
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
        observed = F.one_hot(y, n_outputs).to(dtype).t() * weight[:, None]
        statistic = observed * (1 - self.label_smoothing) + share * weight[:, None]
        if 0 <= self.ignore_index < n_outputs:
            statistic = statistic * (y != self.ignore_index)
        return Target(
            statistic=statistic, scale=statistic.sum(0), normalizer=row_weight
        )

    def moments(self, natural: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = torch.softmax(natural, dim=-2)
        # logsumexp from the largest class, whose probability never underflows: two
        # reductions instead of a second pass of exponentials.
        return natural.amax(-2), -mean.amax(-2).log(), mean

    def proba(self, natural: Tensor) -> Tensor:
        return torch.softmax(natural, dim=-2).transpose(-1, -2)

    def log_proba(self, natural: Tensor) -> Tensor:
        return torch.log_softmax(natural, dim=-2).transpose(-1, -2)

    def is_correct(self, natural: Tensor, y: Tensor) -> Tensor:
        y = y.long()
        if y.ndim > 1:
            return natural.max(1).indices == y
        observed = Target(index=flat_index(y)).inner(natural)
        # Equal to argmax, which lets the first of several equal classes win, and
        # several times faster: two vectorized maxima.
        classes = torch.arange(natural.shape[1], device=y.device)[:, None]
        earlier = natural.new_zeros(natural.shape[1], len(y))
        earlier.masked_fill_(classes >= y, -torch.inf)
        return (observed >= natural.amax(1)) & ((natural + earlier).amax(1) < observed)

    def check_output(
        self, output: Tensor, n_samples: int, n_classes: int
    ) -> str | None:
        if output.ndim != 2 or output.shape != (n_samples, n_classes):
            return (
                f"outputs of shape (n_samples, n_classes) = ({n_samples}, {n_classes})"
            )
        return None


class CategoricalProbabilities(Categorical):
    """Probability members under ``NLLLoss``, as skorch means it.

    skorch takes ``log(output + eps)`` before ``NLLLoss``. The mean of log-probabilities
    is not a log-probability: it has to be renormalised before the ensemble's term, or
    every lam trains as lam = 0. Treating ``log(output + eps)`` as logits does so.
    """

    def natural(self, output: Tensor) -> Tensor:
        output = _at_least_float32(output)
        return (
            (output + torch.finfo(output.dtype).eps).log().transpose(1, 2).contiguous()
        )

    def output(self, natural: Tensor) -> Tensor:
        return torch.softmax(natural, dim=0).t()

    def check_output(
        self, output: Tensor, n_samples: int, n_classes: int
    ) -> str | None:
        wrong = super().check_output(output, n_samples, n_classes)
        if wrong is None:
            sums = output.detach().float().sum(1)
            tolerance = 1e-3 if output.dtype.itemsize >= 4 else 1e-1
            if (output < 0).any() or not torch.allclose(
                sums, torch.ones_like(sums), atol=tolerance
            ):
                wrong = (
                    "outputs that are probabilities (rows >= 0 that sum to 1) with "
                    "criterion=NLLLoss, as skorch means it; for logits use "
                    "criterion=CrossEntropyLoss"
                )
        return wrong


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

    def __init__(
        self, nonlinearity: Callable[[Tensor], Tensor], threshold: float | None = None
    ) -> None:
        super().__init__()
        self.nonlinearity = nonlinearity
        self.threshold = threshold

    def transformed(self, output: Tensor) -> Tensor:
        """Probabilities of one member's output."""
        # A binary net has one value a row, in whatever shape its module puts it out.
        return self.nonlinearity(
            output if self.threshold is None else output.reshape(-1)
        )

    def natural(self, output: Tensor) -> Tensor:
        return super().natural(torch.stack(list(map(self.transformed, output))))

    def decide(self, proba: Any) -> Any:
        if self.threshold is None:
            return super().decide(proba)
        return (proba[..., 1] > self.threshold) * 1

    def is_correct(self, natural: Tensor, y: Tensor) -> Tensor:
        return self.decide(self.proba(natural)) == y


class Bernoulli(Family):
    """One-logit members under ``BCEWithLogitsLoss``: binary classification.

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

    def natural(self, output: Tensor) -> Tensor:
        return _at_least_float32(output).reshape(len(output), 1, -1)

    def output(self, natural: Tensor) -> Tensor:
        return natural[0]

    def target(self, y: Tensor, n_outputs: int, dtype: torch.dtype) -> Target:
        statistic = y.to(dtype)
        scale = weight = None
        if self.pos_weight is not None:
            statistic = statistic * self.pos_weight.to(statistic)
            scale = statistic + (1 - y.to(dtype))
        if self.weight is not None:
            weight = self.weight.to(statistic).expand(len(y))
        return Target(statistic=statistic[None], scale=scale, weight=weight)

    def moments(self, natural: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logit = natural.squeeze(-2)
        rest = logit.abs().neg().exp().log1p()
        return logit.clamp_min(0), rest, torch.sigmoid(natural)

    def proba(self, natural: Tensor) -> Tensor:
        positive = torch.sigmoid(natural)
        return torch.cat([1 - positive, positive], dim=-2).transpose(-1, -2)

    def log_proba(self, natural: Tensor) -> Tensor:
        both = torch.cat([-natural, natural], dim=-2)
        return F.logsigmoid(both).transpose(-1, -2)

    def decide(self, proba: Any) -> Any:
        return (proba[..., 1] > self.threshold) * 1

    def is_correct(self, natural: Tensor, y: Tensor) -> Tensor:
        # Not of the logit: what `decide` is given is rounded.
        return (torch.sigmoid(natural.squeeze(1)) > self.threshold) == (y > 0.5)

    def check_output(
        self, output: Tensor, n_samples: int, n_classes: int
    ) -> str | None:
        if n_classes != 2:
            return (
                f"outputs for {n_classes} classes; criterion=BCEWithLogitsLoss is for "
                "two"
            )
        if output.shape not in {(n_samples,), (n_samples, 1)}:
            return (
                "one logit a row, shape (n_samples,) or (n_samples, 1) with n_samples="
                f"{n_samples}, with criterion=BCEWithLogitsLoss"
            )
        return None

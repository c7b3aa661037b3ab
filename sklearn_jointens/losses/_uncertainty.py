"""How unsure an ensemble and its members are of a class, and how far they differ.

All in nats. Two ensembles must not be mixed up: the arithmetic mean of the members'
probabilities, whose entropy splits into that of the members and their mutual
information with the class; and the normalised geometric mean, which Joint Training
learns and predicts, whose divergences from the members average to the diversity.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sklearn_jointens.losses._families import BernoulliLabels, Family


class ClassUncertainty(NamedTuple):
    """What members' probabilities say of each row.

    Attributes
    ----------
    total_entropy : Tensor of shape (n_samples, ...)
        Of the arithmetic mean of the members' probabilities.
    expected_entropy : Tensor of shape (n_samples, ...)
        Mean of the members' own entropies.
    mutual_information : Tensor of shape (n_samples, ...)
        The difference of the two.
    ensemble_entropy : Tensor of shape (n_samples, ...)
        Of the normalised geometric mean.
    member_divergence : Tensor of shape (n_members, n_samples, ...)
        Of the normalised geometric mean from each member: ``KL(ensemble || member)``.
    diversity : Tensor of shape (n_samples, ...)
        Its mean over members (Webb et al. 2020, eq. 3 and 5).
    """

    total_entropy: Tensor
    expected_entropy: Tensor
    mutual_information: Tensor
    ensemble_entropy: Tensor
    member_divergence: Tensor
    diversity: Tensor


def class_uncertainty(log_proba: Tensor) -> ClassUncertainty:
    """Entropies and divergences of distributions over classes.

    Parameters
    ----------
    log_proba : Tensor of shape (n_members, n_samples, ..., n_classes)
        Normalised; ``-inf`` is a probability of 0.

    Returns
    -------
    ClassUncertainty
        In the dtype of `log_proba`, of which float64 keeps what is very sure.

    Examples
    --------
    Two members, each sure of another class:

    >>> import torch
    >>> from sklearn_jointens.losses._uncertainty import class_uncertainty
    >>> proba = torch.tensor([[[0.99, 0.01]], [[0.01, 0.99]]])
    >>> parts = class_uncertainty(proba.log())
    >>> parts.total_entropy, parts.expected_entropy, parts.mutual_information
    (tensor([0.6931]), tensor([0.0560]), tensor([0.6371]))
    """
    arithmetic = torch.logsumexp(log_proba, 0) - math.log(len(log_proba))
    geometric = torch.log_softmax(log_proba.mean(0), -1)
    total, expected = _entropy(arithmetic), _entropy(log_proba).mean(0)
    divergence = _expected(geometric, geometric - log_proba).clamp_min(0)
    return ClassUncertainty(
        total_entropy=total,
        expected_entropy=expected,
        mutual_information=(total - expected).clamp_min(0),
        ensemble_entropy=_entropy(geometric),
        member_divergence=divergence,
        diversity=divergence.mean(0),
    )


def log_distributions(natural: Tensor, family: Family) -> Tensor:
    """Log-probabilities of all that a row may be; a label may be 0 or 1.

    Parameters
    ----------
    natural : Tensor of shape (n_members, n_outputs, n_samples)
    family : Categorical or Bernoulli

    Returns
    -------
    Tensor of shape (n_members, n_samples, n_classes) or (n_members, n_samples, \
n_labels, 2), dtype float64
    """
    natural = natural.double()
    if isinstance(family, BernoulliLabels):
        positive = natural.transpose(-1, -2)
        return F.logsigmoid(torch.stack([-positive, positive], dim=-1))
    return family.log_proba(natural)


def vote_counts(votes: Tensor, n_classes: int) -> Tensor:
    """How many members say each class.

    Parameters
    ----------
    votes : Tensor of shape (n_members, n_samples, ...), dtype int64
    n_classes : int

    Returns
    -------
    Tensor of shape (n_samples, ..., n_classes), dtype float64
    """
    votes = votes.movedim(0, -1)
    counts = torch.zeros(*votes.shape[:-1], n_classes, dtype=torch.float64)
    return counts.scatter_add_(-1, votes, torch.ones(votes.shape, dtype=torch.float64))


def disagreement(counts: Tensor) -> Tensor:
    """Share of pairs of members that say different classes; 0 of one member.

    Parameters
    ----------
    counts : Tensor of shape (..., n_classes)
        Of votes.

    Returns
    -------
    Tensor of shape (...)
    """
    n_members = counts.sum(-1)
    agreeing = (counts * (counts - 1)).sum(-1)
    pairs = n_members * (n_members - 1)
    return (pairs - agreeing) / pairs.clamp_min(1)


def variation_ratio(counts: Tensor) -> Tensor:
    """Share of members that do not say what most of them do, of votes' `counts`."""
    return 1 - counts.amax(-1) / counts.sum(-1)


def _entropy(log_proba: Tensor) -> Tensor:
    return _expected(log_proba, -log_proba)


def _expected(log_proba: Tensor, values: Tensor) -> Tensor:
    """Mean under a distribution, to which what never happens adds nothing."""
    proba = log_proba.exp()
    return torch.where(proba > 0, proba * values, 0).sum(-1)

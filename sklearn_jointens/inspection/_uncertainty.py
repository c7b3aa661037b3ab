"""`uncertainty`: how unsure an ensemble is, and how far its members differ."""

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.utils import Bunch
from torch import Tensor

from sklearn_jointens.inspection._reading import Reading
from sklearn_jointens.losses import Huber, Poisson
from sklearn_jointens.losses._uncertainty import (
    class_uncertainty,
    disagreement,
    log_distributions,
    variation_ratio,
    vote_counts,
)


class RewardedDiversityWarning(UserWarning):
    """Members' spread is also what training has rewarded, not only their doubt."""


def uncertainty(estimator: Any, X: Any) -> Bunch:
    """How unsure an ensemble is of each row, by measures that have names of their own.

    Of classes, all entropies and divergences are in nats. Two ensembles must not be
    mixed up: `total_entropy` is that of the arithmetic mean of the members'
    probabilities, which splits into `expected_entropy` and `mutual_information` [1]_;
    `ensemble_entropy` is that of what `predict_proba` says, their normalised geometric
    mean, whose divergence from the members is the `diversity` [2]_.

    Of numbers, the spread of an equally weighted mixture of the members, in y's own
    units, squared: ``total_variance = variance_between + variance_within``.

    Parameters
    ----------
    estimator : object
        A fitted ensemble; a search that has refitted one; or a pipeline that ends in
        one of them.
    X : array-like or sparse matrix of shape (n_samples, ...)
        Predicted in chunks of rows.

    Returns
    -------
    measures : Bunch
        Of a classifier, arrays of shape (n_samples,); or of several labels, each of
        which is 0 or 1, (n_samples, n_labels), whose mean over labels is what the loss
        has:

        total_entropy : ndarray
            Entropy of the mean probability.
        expected_entropy : ndarray
            Mean of the members' entropies: of noise that they see ("aleatoric").
        mutual_information : ndarray
            Total less expected entropy: of members that differ ("epistemic").
        ensemble_entropy : ndarray
            Entropy of `predict_proba`.
        disagreement : ndarray
            Share of pairs of members that say different classes.
        variation_ratio : ndarray
            Share of members that do not say what most of them do.
        member_divergence : ndarray of shape (n_members, n_samples) or (n_members, \
n_samples, n_labels)
            ``KL(ensemble || member)``.
        diversity : ndarray
            Its mean over members: what the ensemble loses less than its mean member,
            whatever the class.

        Of a regressor, arrays of the shape of y:

        variance_between : ndarray
            Of the members' predictions.
        variance_within : ndarray or None
            Mean of the members' own variances, with `HeteroscedasticGaussianLoss`; with
            ``PoissonNLLLoss`` of their rates, which are variances too. Else not known.
        total_variance : ndarray or None
            Their sum, where both are known.
        diversity : ndarray or None
            As of a classifier, in the units of the loss. None with ``L1Loss``,
            ``SmoothL1Loss`` and ``HuberLoss``, where it depends on y.

    Raises
    ------
    TypeError
        There is no ensemble in `estimator`.

    Warns
    -----
    RewardedDiversityWarning
        With ``lam > 0``, which rewards members for being different.

    See Also
    --------
    RiskCoverageDisplay : How far a measure can be trusted.
    diversity_decomposition : Diversity where y is known.

    References
    ----------
    .. [1] S. Depeweg, J. M. Hernandez-Lobato, F. Doshi-Velez, S. Udluft.
       "Decomposition of Uncertainty in Bayesian Deep Learning for Efficient and
       Risk-sensitive Learning", ICML 2018.
    .. [2] A. Webb, C. Reynolds, W. Chen, H. Reeve, D. Iliescu, M. Lujan, G. Brown. "To
       Ensemble or Not Ensemble: When does End-To-End Training Fail?", ECML PKDD 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
    >>> from sklearn_jointens.inspection import uncertainty
    >>> X, y = load_iris(return_X_y=True)
    >>> member = mlp_classifier((5,), max_epochs=40)
    >>> clf = JointEnsembleClassifier(member, random_state=0).fit(X, y)
    >>> measures = uncertainty(clf, X)
    >>> most_unsure = measures.total_entropy.argmax()
    >>> print(f"{measures.total_entropy[most_unsure]:.2f} in all")
    0.92 in all
    >>> print(f"{measures.expected_entropy[most_unsure]:.2f} that members see")
    0.86 that members see
    >>> print(f"{measures.mutual_information[most_unsure]:.2f} in which they differ")
    0.06 in which they differ
    """
    reading = Reading("uncertainty", estimator, X)
    lam = reading.ensemble.lam
    if lam > 0 and reading.n_members > 1:
        warnings.warn(
            f"Training with lam={lam} has rewarded the members for being different, so "
            "that their spread (disagreement, mutual information, diversity, variance "
            "between them) is not their doubt alone. Judge a measure on rows whose "
            "targets are known, for example with RiskCoverageDisplay, and beside that "
            "of an ensemble with lam=0.",
            RewardedDiversityWarning,
            stacklevel=2,
        )
    return measures_of(reading)


def measures_of(reading: Reading) -> Bunch:
    """What `uncertainty` returns, of a reading."""
    of_chunk = _of_classes if is_classifier(reading.ensemble) else _of_numbers
    whole: dict[str, Any] = {}
    for rows, natural in reading.chunks():
        for name, values in of_chunk(reading, natural).items():
            if values is None:
                whole[name] = None
                continue
            axis = 1 if name == "member_divergence" else 0
            if name not in whole:
                shape = list(values.shape)
                shape[axis] = reading.n_rows
                whole[name] = np.empty(shape)
            whole[name][(slice(None),) * axis + (rows,)] = values
    return Bunch(**whole)


def _of_classes(reading: Reading, natural: Tensor) -> dict[str, Any]:
    family = reading.family
    log_proba = log_distributions(natural, family)
    # Of the same numbers as the members' own predictions, for rounding may decide.
    votes = family.decide(family.predicted(natural))
    counts = vote_counts(votes, log_proba.shape[-1])
    return {
        **class_uncertainty(log_proba)._asdict(),
        "disagreement": disagreement(counts),
        "variation_ratio": variation_ratio(counts),
    }


def _of_numbers(reading: Reading, natural: Tensor) -> dict[str, Any]:
    family, targets = reading.family, reading.targets
    # A nonlinearity of the user's takes outputs in the dtype that they have.
    as_they_are, natural = natural, natural.double()
    predicted = family.predicted(
        natural if family.nonlinearity is None else as_they_are
    )
    predicted = predicted.double()
    between = targets.decode_std(predicted.std(0, correction=0).numpy()) ** 2
    within = _variance_within(reading, natural, predicted)
    return {
        "variance_between": between,
        "variance_within": within,
        "total_variance": None if within is None else between + within,
        "diversity": _diversity(reading, natural),
    }


def _variance_within(
    reading: Reading, natural: Tensor, predicted: Tensor
) -> np.ndarray | None:
    family, targets = reading.family, reading.targets
    if family.nonlinearity is not None:
        return None  # what is predicted is something else
    if isinstance(family, Poisson):
        return targets.decode(predicted.mean(0).numpy())
    if hasattr(family, "std"):
        quadratic_mean = family.std(natural).square().mean(0).sqrt()
        return targets.decode_std(quadratic_mean.numpy()) ** 2
    return None


def _diversity(reading: Reading, natural: Tensor) -> np.ndarray | None:
    family, targets = reading.family, reading.targets
    if isinstance(family, Huber):
        return None
    # A target's parameters, of which there may be two kinds, stand n_predicted apart.
    by_target = natural.unflatten(1, (-1, targets.n_predicted)).unbind(2)
    diversity = torch.stack([family.diversity(one) for one in by_target], -1)
    return (diversity[:, 0] if targets.is_flat else diversity).numpy()

"""`collusion_report`: whether members are diverse, or only look so together."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import Bunch, check_random_state
from torch import Tensor

from sklearn_jointens._compat import Interval, validate_params
from sklearn_jointens.inspection._judging import Judge
from sklearn_jointens.inspection._offsets import cancelling_offsets
from sklearn_jointens.inspection._reading import Reading, unwrapped
from sklearn_jointens.inspection._subsets import dropped_means

_READER = "collusion_report"
_DROPPED_SHARES = (0.2, 0.4, 0.6)


@validate_params(
    {
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=False,
)
def collusion_report(
    estimator: Any,
    X_train: Any,
    y_train: Any,
    X_test: Any,
    y_test: Any,
    *,
    independent: Any = None,
    n_repeats: int = 20,
    random_state: Any = None,
) -> Bunch:
    """Three signs of members that collude, beside those of independent members.

    Members that are trained for the loss of the ensemble can shift their outputs in
    ways that cancel among them. Such members are diverse by the numbers, but it is of
    no use on new rows, and each depends on all others. Three signs, after [1]_:

    - the diversity gap: diversity on the training rows less that on test rows;
    - the debiased diversity: what is left of the diversity without offsets of the
      members, one number for each natural parameter, that cancel in the ensemble. They
      are those that leave least on the training rows: under the squared loss each
      member's mean distance from the ensemble, and in general those without which all
      members have the same mean prediction. Independent members have hardly any;
    - the codependence: by how much the ensemble's loss rises when members are dropped
      at random, others for each test row.

    Parameters
    ----------
    estimator : JointEnsembleClassifier, JointEnsembleRegressor, search or Pipeline
        A fitted ensemble of at least two members, a search that has refitted one, or a
        pipeline that ends in one of them.
    X_train : array-like or sparse matrix of shape (n_train, ...)
        The rows that `estimator` was fitted on.
    y_train : array-like of shape (n_train,) or (n_train, n_targets)
    X_test : array-like or sparse matrix of shape (n_test, ...)
        Rows that it was not fitted on.
    y_test : array-like of shape (n_test,) or (n_test, n_targets)
    independent : object, default=None
        What to compare with, of the kinds that `estimator` may be: an ensemble that was
        fitted on the same rows with lam = 0. ``None`` fits one, with the parameters of
        the ensemble but lam, on the training rows, as they come to the last step of a
        pipeline. An ensemble with lam = 0 is compared with itself.
    n_repeats : int, default=20
        How often to draw the members that are dropped.
    random_state : int, RandomState instance or None, default=None
        Draws them.

    Returns
    -------
    report : Bunch
        train_diversity, test_diversity : float
            Mean member loss less ensemble loss, in the units of the loss (of classes,
            in nats). Numbers are in the units that members learn y in.
        diversity_gap : float
            Their difference.
        debiased_train_diversity, debiased_test_diversity : float
            Without the members' offsets.
        train_loss, test_loss : float
            Of the ensemble.
        test_score : float
            Accuracy of a classifier, R2 of a regressor.
        n_dropped : ndarray of shape (3,), dtype int
            20, 40 and 60 % of the members, at least one of them and not all.
        codependence : ndarray of shape (3,)
            By how much the loss on test rows is higher with so many dropped, mean over
            repeats.
        score_falls : ndarray of shape (3,)
            By how much the score on test rows is lower.
        lam : float
            Of the ensemble.
        independent : Bunch
            All of this but `independent` for the ensemble of independent members.

    Raises
    ------
    TypeError
        `estimator` or `independent` is no ensemble.
    ValueError
        A parameter is not valid, there is only one member, or `independent` was not
        fitted with lam = 0.
    NotFittedError
        `estimator` or `independent` is not fitted.

    See Also
    --------
    robustness_curve : The score with any number of members dropped.
    diversity_decomposition : Diversity by row and by class.

    References
    ----------
    .. [1] Jeffares, Liu, Crabbe, van der Schaar, "Joint Training of Deep Ensembles
       Fails Due to Learner Collusion", NeurIPS 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
    >>> from sklearn_jointens.inspection import collusion_report
    >>> X, y = load_iris(return_X_y=True)
    >>> member = mlp_classifier((2,), max_epochs=10)
    >>> clf = JointEnsembleClassifier(member, n_estimators=8, lam=1.0, random_state=0)
    >>> clf = clf.fit(X[::2], y[::2])
    >>> report = collusion_report(clf, X[::2], y[::2], X[1::2], y[1::2], random_state=0)
    >>> report.n_dropped
    array([2, 3, 5])
    >>> report.codependence.round(2)  # what their absence adds to the loss
    array([0.03, 0.06, 0.18])
    >>> report.independent.codependence.round(2)  # with lam=0
    array([0.01, 0.01, 0.04])
    """
    ensemble, *inner = unwrapped(_READER, estimator, X_train, X_test)
    sides = _readings(ensemble, inner, (y_train, y_test))
    sides[0].check_several()
    other = sides if ensemble.lam == 0 else None
    if independent is not None:
        given = unwrapped(
            _READER, independent, X_train, X_test, parameter="independent"
        )
        _check_independent(given[0], ensemble)
        other = _readings(given[0], given[1:], (y_train, y_test))
    if other is None:
        fitted = clone(ensemble).set_params(lam=0.0).fit(inner[0], y_train)
        other = _readings(fitted, inner, (y_train, y_test))

    # Both lose the same members where they have as many.
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    return Bunch(
        **_signs(*sides, n_repeats, seed),
        independent=Bunch(**_signs(*other, n_repeats, seed)),
    )


def _readings(ensemble: Any, Xs: Any, ys: Any) -> list[Reading]:
    return [Reading(_READER, ensemble, X, y) for X, y in zip(Xs, ys, strict=True)]


def _check_independent(ensemble: Any, other: Any) -> None:
    """Raise unless an ensemble can stand beside the other."""
    n_members, n_others = len(ensemble.estimators_), len(other.estimators_)
    is_alike = n_members == n_others and isinstance(ensemble, type(other))
    if ensemble.lam != 0 or not is_alike:
        raise ValueError(
            f"The 'independent' parameter of {_READER} must be a "
            f"{type(other).__name__} of {n_others} members with lam=0, as there are in "
            f"'estimator'. Got a {type(ensemble).__name__} of {n_members} members with "
            f"lam={ensemble.lam!r} instead."
        )


def _signs(train: Reading, test: Reading, n_repeats: int, seed: int) -> dict[str, Any]:
    """What is reported of one ensemble."""
    offsets = cancelling_offsets(train)
    train_loss, train_diversity, train_debiased = _losses(train, offsets)
    test_loss, test_diversity, test_debiased = _losses(test, offsets)
    return {
        "lam": float(train.ensemble.lam),
        "train_diversity": train_diversity,
        "test_diversity": test_diversity,
        "diversity_gap": train_diversity - test_diversity,
        "debiased_train_diversity": train_debiased,
        "debiased_test_diversity": test_debiased,
        "train_loss": train_loss,
        "test_loss": test_loss,
        **_codependence(test, n_repeats, seed),
    }


def _losses(reading: Reading, offsets: Tensor) -> tuple[float, float, float]:
    """Loss of the ensemble, diversity, and diversity without the offsets."""
    sums, divisor = np.zeros(3), 0.0
    for rows, natural in reading.chunks():
        natural = natural.double()
        ensemble = reading.losses(natural.mean(0, keepdim=True), rows)
        members = reading.losses(natural, rows).losses.mean(0)
        debiased = reading.losses(natural - offsets, rows).losses.mean(0)
        each = (ensemble.losses[0], members, debiased)
        sums += [float(losses.sum()) for losses in each]
        divisor += float(ensemble.divisors.sum())
    ensemble_loss, member_loss, debiased_loss = sums / divisor
    return (
        float(ensemble_loss),
        float(member_loss - ensemble_loss),
        float(debiased_loss - ensemble_loss),
    )


def _codependence(reading: Reading, n_repeats: int, seed: int) -> dict[str, Any]:
    n_members = reading.n_members
    shares = np.array(_DROPPED_SHARES) * n_members
    n_dropped = shares.round().astype(int).clip(1, n_members - 1)
    random = np.random.RandomState(seed)
    judge = Judge(reading, None)
    natural = reading.natural()
    whole = natural.mean(0, keepdim=True)
    by_row = natural.permute(2, 0, 1).contiguous()
    del natural  # half of the memory
    losses, scores = np.zeros(len(n_dropped)), np.zeros(len(n_dropped))
    for _ in range(n_repeats):
        means = dropped_means(by_row, n_dropped, random, is_for_each_row=True)
        losses += _mean_losses(reading, means) / n_repeats
        scores += judge.scores(means) / n_repeats
    (score,) = judge.scores(whole)
    return {
        "test_score": float(score),
        "n_dropped": n_dropped,
        "codependence": losses - _mean_losses(reading, whole),
        "score_falls": score - scores,
    }


def _mean_losses(reading: Reading, natural: Tensor) -> np.ndarray:
    """The criterion's losses of ensembles, (n_ensembles,)."""
    losses, divisors = reading.losses(natural)
    return (losses.sum(1) / divisors.sum()).numpy()

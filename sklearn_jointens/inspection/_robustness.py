"""`robustness_curve`: the score of what is left when members are dropped."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import Bunch, check_random_state

from sklearn_jointens._compat import Interval, StrOptions, validate_params
from sklearn_jointens.inspection._judging import SCORING, Judge
from sklearn_jointens.inspection._reading import Reading
from sklearn_jointens.inspection._subsets import dropped_means

_N_POINTS = 20


@validate_params(
    {
        "n_dropped": ["array-like", Interval(Integral, 0, None, closed="left"), None],
        "drop_probability": [
            "array-like",
            Interval(Real, 0, 1, closed="left"),
            None,
        ],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "subset": [StrOptions({"batch", "row"})],
        "scoring": SCORING,
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def robustness_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    n_dropped: Any = None,
    drop_probability: Any = None,
    n_repeats: int = 20,
    subset: str = "row",
    scoring: Any = None,
    sample_weight: Any = None,
    random_state: Any = None,
) -> Bunch:
    """Score an ensemble with ever more of its members dropped at random.

    Members that lean on each other fail when some are gone: the curve of an ensemble
    trained end to end (lam = 1) falls at once. That of independent members (lam = 0)
    is flat until few are left.

    Every member runs once on every row. Within a repeat, the members that are left at
    one point of the curve are some of those that are left at the points before it. They
    are a uniformly random subset all the same, but the points of one repeat are not
    independent of one another.

    Parameters
    ----------
    estimator : JointEnsembleClassifier, JointEnsembleRegressor, search or Pipeline
        A fitted ensemble, a search that has refitted one, or a pipeline that ends in
        one of them.
    X : array-like or sparse matrix of shape (n_samples, ...)
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
    n_dropped : int or array-like of int, default=None
        How many members to drop. ``None``, where there is no `drop_probability` either,
        is 20 numbers evenly spaced from 0 to one less than all members; of fewer
        members, every number.
    drop_probability : float or array-like of float in [0, 1), default=None
        Instead of `n_dropped`: drop each member independently with this probability.
        Where none would be left, one stays.
    n_repeats : int, default=20
        How often to draw the members that are dropped.
    subset : {"row", "batch"}, default="row"
        Whether members are drawn anew for each row, as in the paper, or once for all
        rows of a repeat. The mean over repeats is then that of the same thing (of
        scores that are means over rows), but the spread is that of ensembles.
    scoring : str, callable or None, default=None
        A scorer as scikit-learn knows them; ``None`` is what `score` returns of the
        ensemble: accuracy of a classifier, R2 of a regressor.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, for scorers that take them.
    random_state : int, RandomState instance or None, default=None
        Draws the members.

    Returns
    -------
    curve : Bunch
        n_dropped : ndarray of shape (n_points,), dtype int
            Only where `drop_probability` is None.
        drop_probability : ndarray of shape (n_points,), dtype float
            Only where it was given.
        scores : ndarray of shape (n_points, n_repeats)
            Of what is left.
        score : float
            Of the whole ensemble.
        score_name : str
            As scikit-learn calls it.
        n_members : int
            Of the whole ensemble.

    Raises
    ------
    TypeError
        `estimator` is no ensemble.
    ValueError
        A parameter is not valid, or both `n_dropped` and `drop_probability` are given.
    NotFittedError
        `estimator` is not fitted.

    See Also
    --------
    RobustnessCurveDisplay : Draws the curve.
    member_contributions : What each member gives to the score.

    References
    ----------
    .. [1] Webb et al., "To Ensemble or Not Ensemble: When does End-To-End Training
       Fail?", ECML-PKDD 2020, Fig. 7 and 8.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_jointens import JointEnsembleClassifier
    >>> from sklearn_jointens.inspection import robustness_curve
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = JointEnsembleClassifier(n_estimators=8, random_state=0).fit(X, y)
    >>> curve = robustness_curve(clf, X, y, n_dropped=[0, 4, 7], random_state=0)
    >>> curve.scores.shape  # numbers of dropped members, repeats
    (3, 20)
    >>> curve.scores.mean(axis=1).round(2)
    array([0.99, 0.98, 0.98])
    """
    if n_dropped is not None and drop_probability is not None:
        raise ValueError(
            "Only one of the 'n_dropped' and 'drop_probability' parameters of "
            f"robustness_curve may be given. Got n_dropped={n_dropped!r} and "
            f"drop_probability={drop_probability!r} instead."
        )
    reading = Reading("robustness_curve", estimator, X, y, sample_weight)
    judge = Judge(reading, scoring)
    if drop_probability is None:
        points = {"n_dropped": _counts(n_dropped, reading.n_members)}
    else:
        points = {"drop_probability": _probabilities(drop_probability)}
    (drop,) = points.values()

    random = check_random_state(random_state)
    natural = reading.natural()
    score = judge.score(natural)
    by_row = natural.permute(2, 0, 1).contiguous()
    del natural  # half of the memory
    repeats = (
        dropped_means(by_row, drop, random, subset == "row") for _ in range(n_repeats)
    )
    scores = np.stack([judge.scores(means) for means in repeats], axis=1)
    return Bunch(
        **points,
        scores=scores,
        score=score,
        score_name=judge.name,
        n_members=reading.n_members,
    )


def _counts(n_dropped: Any, n_members: int) -> np.ndarray:
    """How many members to drop at each point."""
    most = n_members - 1
    if n_dropped is None:
        return np.unique(np.linspace(0, most, _N_POINTS).round().astype(int))
    counts = np.atleast_1d(n_dropped)
    if (
        counts.ndim != 1
        or counts.dtype.kind not in "iu"
        or not ((counts >= 0) & (counts <= most)).all()
    ):
        raise ValueError(
            "The 'n_dropped' parameter of robustness_curve must be an int, or a 1-D "
            f"sequence of them, in the range [0, {most}]: of {n_members} members one "
            f"has to stay. Got {n_dropped!r} instead."
        )
    return counts.astype(int)


def _probabilities(drop_probability: Any) -> np.ndarray:
    """The probability to drop a member, at each point."""
    shares = np.atleast_1d(drop_probability)
    if (
        shares.ndim != 1
        or shares.dtype.kind not in "iuf"
        or not ((shares >= 0) & (shares < 1)).all()
    ):
        raise ValueError(
            "The 'drop_probability' parameter of robustness_curve must be a float, or "
            "a 1-D sequence of them, in the range [0.0, 1.0). "
            f"Got {drop_probability!r} instead."
        )
    return shares.astype(float)

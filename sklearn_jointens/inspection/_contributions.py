"""`member_contributions`: what an ensemble would score without each member."""

from typing import Any

import torch
from sklearn.utils import Bunch

from sklearn_jointens._compat import validate_params
from sklearn_jointens.inspection._judging import SCORING, Judge
from sklearn_jointens.inspection._reading import Reading
from sklearn_jointens.inspection._subsets import blocks, score_blocks


@validate_params({"scoring": SCORING}, prefer_skip_nested_validation=True)
def member_contributions(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    scoring: Any = None,
    sample_weight: Any = None,
) -> Bunch:
    """What each member gives to the score of its ensemble, left out one at a time.

    A member that is weak by itself may give much, and a strong one nothing that others
    do not give too. Contributions do not add up to the score.

    Parameters
    ----------
    estimator : JointEnsembleClassifier, JointEnsembleRegressor, search or Pipeline
        A fitted ensemble of at least two members, a search that has refitted one, or a
        pipeline that ends in one of them.
    X : array-like or sparse matrix of shape (n_samples, ...)
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
    scoring : str, callable or None, default=None
        A scorer as scikit-learn knows them; ``None`` is what `score` returns of the
        ensemble: accuracy of a classifier, R2 of a regressor.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, for scorers that take them.

    Returns
    -------
    contributions : Bunch
        contributions : ndarray of shape (n_members,)
            By how much the score is higher with the member than without it.
        scores_without : ndarray of shape (n_members,)
            Of the ensemble of all other members.
        member_scores : ndarray of shape (n_members,)
            Of each member by itself.
        score : float
            Of the whole ensemble.
        score_name : str
            As scikit-learn calls it.

    Raises
    ------
    TypeError
        `estimator` is no ensemble.
    ValueError
        A parameter is not valid, or there is only one member.
    NotFittedError
        `estimator` is not fitted.

    See Also
    --------
    prune_members : Drops the members that give least.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
    >>> from sklearn_jointens.inspection import member_contributions
    >>> X, y = load_iris(return_X_y=True)
    >>> member = mlp_classifier((2,), max_epochs=40)
    >>> clf = JointEnsembleClassifier(member, n_estimators=4, lam=0.9, random_state=0)
    >>> found = member_contributions(clf.fit(X, y), X, y, scoring="neg_log_loss")
    >>> found.contributions.round(2)  # what the score loses without each
    array([-0.03, -0.03,  0.21,  0.02])
    """
    reading = Reading("member_contributions", estimator, X, y, sample_weight)
    judge = Judge(reading, scoring)
    reading.check_several()
    natural, n_members = reading.natural(), reading.n_members
    total = natural.sum(0, dtype=torch.float64)
    members = list(blocks(n_members, total.numel()))

    score = judge.score(natural)
    others = (
        ((total - natural[block]) / (n_members - 1)).to(natural) for block in members
    )
    scores_without = score_blocks(judge, others)
    return Bunch(
        contributions=score - scores_without,
        scores_without=scores_without,
        member_scores=score_blocks(judge, (natural[block] for block in members)),
        score=float(score),
        score_name=judge.name,
    )

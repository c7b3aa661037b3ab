"""`prune_members`: the smallest ensemble that is about as good."""

import timeit
from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.utils import Bunch, gen_batches
from torch import Tensor

from sklearn_jointens._compat import Interval, StrOptions, validate_params
from sklearn_jointens._members import plain_modules
from sklearn_jointens.inspection._judging import SCORING, Judge
from sklearn_jointens.inspection._reading import Reading, unwrapped
from sklearn_jointens.inspection._subsets import blocks, score_blocks
from sklearn_jointens.losses import Family
from sklearn_jointens.losses._by_row import measured

# All members on so many rows stay in the cache while they are tried.
_PIECE_ROWS = 64

# What scores differ by where they are the same.
_ROUNDING = 1e-12


@validate_params(
    {
        "max_loss": [Interval(Real, 0, None, closed="left")],
        "method": [StrOptions({"greedy", "ranked"})],
        "scoring": SCORING,
    },
    prefer_skip_nested_validation=True,
)
def prune_members(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    max_loss: float = 0.005,
    method: str = "greedy",
    scoring: Any = None,
    sample_weight: Any = None,
) -> Bunch:
    """Drop the members that an ensemble can do without.

    Members are dropped one at a time, down to the last. Of the ensembles on this path
    the smallest is kept whose score is not more than `max_loss` below that of all
    members. Which member goes is decided by the ensemble's loss, which tells members
    apart where few rows change sides.

    X and y should be rows that no member was trained on. They choose the members, so
    that the score after pruning is optimistic on them: judge the pruned ensemble on
    other rows.

    Parameters
    ----------
    estimator : JointEnsembleClassifier, JointEnsembleRegressor, search or Pipeline
        A fitted ensemble, a search that has refitted one, or a pipeline that ends in
        one of them.
    X : array-like or sparse matrix of shape (n_samples, ...)
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
    max_loss : float, default=0.005
        How much of the score may be lost, in the units of the score.
    method : {"greedy", "ranked"}, default="greedy"
        "greedy" drops the member without which the others lose least, and asks anew
        after each. "ranked" asks once, of the whole ensemble: that is many times
        faster, but of members that stand in for each other it drops both.
    scoring : str, callable or None, default=None
        A scorer as scikit-learn knows them; ``None`` is what `score` returns of the
        ensemble: accuracy of a classifier, R2 of a regressor. It says where to stop.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, for scorers that take them.

    Returns
    -------
    pruned : Bunch
        estimator : JointEnsembleClassifier or JointEnsembleRegressor
            The pruned ensemble, fitted. It is the ensemble itself where a search or a
            pipeline was given: it takes rows as the pipeline's last step does.
        members : ndarray of shape (n_left,), dtype int
            Indices of the members that are left, ascending.
        score, pruned_score : float
            Before and after, on X and y.
        score_name : str
            As scikit-learn calls it.
        path_members : ndarray of shape (n_members,), dtype int
            In the order in which they are dropped; the last one stays.
        path_scores : ndarray of shape (n_members,)
            With none dropped, with the first of `path_members` dropped, and so on.
        n_parameters, pruned_n_parameters : int
            Numbers that the members' modules hold and learn, before and after.
        seconds, pruned_seconds : float
            Shortest of three times that it took to predict X, before and after.

    Raises
    ------
    TypeError
        `estimator` is no ensemble.
    ValueError
        A parameter is not valid.
    NotFittedError
        `estimator` is not fitted.

    See Also
    --------
    sklearn_jointens.JointEnsembleClassifier.drop_members : Drops given members.
    member_contributions : What each member gives to the score.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_jointens import JointEnsembleClassifier
    >>> from sklearn_jointens.inspection import prune_members
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = JointEnsembleClassifier(n_estimators=8, random_state=0).fit(X, y)
    >>> pruned = prune_members(clf, X, y, max_loss=0.02)
    >>> len(pruned.members)
    1
    >>> print(f"{pruned.score:.2f}, then {pruned.estimator.score(X, y):.2f}")
    0.99, then 0.98
    """
    ensemble, X = unwrapped("prune_members", estimator, X)
    reading = Reading("prune_members", ensemble, X, y, sample_weight)
    judge = Judge(reading, scoring)
    natural = reading.natural()
    score = judge.score(natural)
    order = _dropping_order(reading, natural, method)
    scores = _path_scores(judge, natural, order)

    is_good = scores >= score - max_loss - _ROUNDING
    n_dropped = np.flatnonzero(is_good).max(initial=0)
    pruned = ensemble.drop_members(order[:n_dropped])
    return Bunch(
        estimator=pruned,
        members=np.sort(order[n_dropped:]),
        score=score,
        pruned_score=float(scores[n_dropped]),
        score_name=judge.name,
        path_members=order,
        path_scores=scores,
        n_parameters=_n_parameters(ensemble),
        pruned_n_parameters=_n_parameters(pruned),
        seconds=_seconds_to_predict(ensemble, X),
        pruned_seconds=_seconds_to_predict(pruned, X),
    )


class _Piece:
    """Some rows of an ensemble that loses one member after another.

    Parameters
    ----------
    natural : Tensor of shape (n_members, n_outputs, n_rows)
    y : Tensor of shape (n_rows, ...)
        Encoded targets.
    weight : Tensor of shape (n_rows,), dtype float64
    family : Family
    """

    def __init__(
        self, natural: Tensor, y: Tensor, weight: Tensor, family: Family
    ) -> None:
        # In float32: there are as many ensembles to try as pairs of members.
        self.natural, self.target = measured(natural, y, family, torch.float32)
        if self.target.weight is not None:
            weight = weight * self.target.weight[0, 0]
        self.weight, self.family = weight, family
        self.total = self.natural.sum(0, dtype=torch.float64)

    def losses_without(self, n_left: int) -> Tensor:
        """Losses without each of those left, (n_left,), summed over rows."""
        total = self.total.to(self.natural)
        means = (total - self.natural[:n_left]).div_(n_left - 1)
        losses, _ = self.family.nll_and_mean(means.unsqueeze(0), self.target)
        return losses[0].double() @ self.weight

    def drop(self, place: int, last: int) -> None:
        """Drop the member at a place, which the last one takes."""
        self.total -= self.natural[place]
        self.natural[place] = self.natural[last]


def _dropping_order(reading: Reading, natural: Tensor, method: str) -> np.ndarray:
    """Members in the order in which they are dropped, and the one that stays."""
    members = np.arange(reading.n_members)
    if len(members) == 1:
        return members
    weights, y = torch.as_tensor(reading.weights()), reading.encoded
    pieces = [
        _Piece(natural[..., rows], y[rows], weights[rows], reading.family)
        for rows in gen_batches(reading.n_rows, _PIECE_ROWS)
    ]

    def losses(n_left: int) -> Tensor:
        return torch.stack([piece.losses_without(n_left) for piece in pieces]).sum(0)

    if method == "ranked":
        return losses(len(members)).argsort(stable=True).numpy()
    # Those that are dropped gather at the end.
    for last in range(len(members) - 1, 0, -1):
        best = int(losses(last + 1).argmin())
        for piece in pieces:
            piece.drop(best, last)
        members[[best, last]] = members[[last, best]]
    return members[::-1]


def _path_scores(judge: Judge, natural: Tensor, order: np.ndarray) -> np.ndarray:
    """Scores with none dropped, with the first dropped, and so on."""

    def means() -> Iterator[Tensor]:
        joining = order[::-1].copy()
        total = torch.zeros(natural.shape[1:], dtype=torch.float64)
        for some in blocks(len(joining), total.numel()):
            sums = natural[joining[some]].cumsum(0, dtype=torch.float64) + total
            total = sums[-1]
            n_in = torch.arange(some.start + 1, some.stop + 1)
            yield (sums / n_in[:, None, None]).to(natural)

    return score_blocks(judge, means())[::-1]


def _n_parameters(ensemble: Any) -> int:
    modules = plain_modules(ensemble.estimators_)
    return sum(p.numel() for module in modules for p in module.parameters())


def _seconds_to_predict(ensemble: Any, X: Any) -> float:
    return min(timeit.repeat(lambda: ensemble.predict(X), number=1, repeat=3))

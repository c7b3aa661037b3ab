"""Scores of the members, and of the ensemble on out-of-bag rows."""

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.metrics import accuracy_score
from sklearn.utils.metadata_routing import UNUSED

from sklearn_jointens._checks import as_numpy


class OutOfBagWarning(UserWarning):
    """Some rows have no out-of-bag prediction."""


class ScoredEnsembleMixin:
    """How good a classifier is, and each of its members.

    It stands before scikit-learn's ``ClassifierMixin``.
    """

    # Which members to use is no metadata of the rows.
    __metadata_request__score = {"members": UNUSED}

    def score(
        self, X: Any, y: Any, sample_weight: Any = None, members: Any = None
    ) -> float:
        """Accuracy of the ensemble.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        members : array-like of int or bool, default=None
            As in `predict_proba`.

        Returns
        -------
        float
        """
        predicted = self.predict(X, members=members)  # type: ignore[attr-defined]
        y, sample_weight = as_numpy(y), as_numpy(sample_weight)
        return accuracy_score(y, predicted, sample_weight=sample_weight)

    def _score_members_after_training(
        self, net: Any, X: Any, y: np.ndarray, bags: np.ndarray | None
    ) -> None:
        """Set `member_scores_` and, if asked for, the out-of-bag score."""
        if bags is None:
            data = getattr(net, "scored_", None)
            data = net.get_dataset(X, y) if data is None else data
            self.member_scores_ = member_accuracies(net, data)
            return
        encoded = np.searchsorted(net.labels_, y)
        self.member_scores_, proba = out_of_bag(net, X, encoded, bags)
        metric = self.oob_score  # type: ignore[attr-defined]
        if metric:
            self.oob_decision_function_ = proba
            self.oob_score_ = out_of_bag_score(net, metric, y, proba)


def member_accuracies(
    net: Any, data: Any, weight: np.ndarray | None = None
) -> np.ndarray:
    """Accuracy of each member on a data set.

    Parameters
    ----------
    net : JointNet
    data : Dataset
    weight : ndarray of shape (n_samples,) or None, default=None
        Of the rows; ``None`` is 1.

    Returns
    -------
    ndarray of shape (n_members,)
    """
    hits, n_rows = torch.tensor(0), 0
    for natural, y in net.natural_iter(data):
        correct = net.prediction_family_.correct(natural, y)
        start, n_rows = n_rows, n_rows + natural.shape[2]
        if weight is not None:
            of_rows = torch.tensor(weight[start:n_rows], device=correct.device)
            correct = correct * of_rows
        hits = hits.to(natural.device) + correct.sum(1)
    return hits.cpu().numpy() / (n_rows if weight is None else weight.sum())


def out_of_bag(
    net: Any, X: Any, encoded: np.ndarray, bags: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What members make of the rows that they have not seen.

    Parameters
    ----------
    net : JointNet
    X : ndarray or CSR array of shape (n_samples, ...)
    encoded : ndarray of shape (n_samples,)
        Class numbers.
    bags : ndarray of shape (n_members, n_samples)
        How often each member has drawn each row.

    Returns
    -------
    accuracies : ndarray of shape (n_members,)
        Each member's own, NaN where it has seen every row.
    proba : ndarray of shape (n_samples, n_classes)
        Geometric mean of the members that have not seen the row, NaN if there is none.
    """
    hits = np.zeros(len(bags))
    proba = np.full((X.shape[0], len(net.labels_)), np.nan)
    stop = 0
    for natural, _ in net.natural_iter(X):
        start, stop = stop, stop + natural.shape[2]
        out = torch.as_tensor(bags[:, start:stop] == 0, device=natural.device)
        target = torch.as_tensor(encoded[start:stop], device=natural.device)
        correct = net.prediction_family_.correct(natural, target) & out
        hits += correct.sum(1).cpu().numpy()
        mean = (natural * out[:, None, :]).sum(0) / out.sum(0)
        proba[start:stop] = net.prediction_family_.predicted(mean).cpu().numpy()
    n_out = (bags == 0).sum(1)
    accuracies = np.full(len(bags), np.nan)
    np.divide(hits, n_out, out=accuracies, where=n_out > 0)
    return accuracies, proba


def out_of_bag_score(net: Any, metric: Any, y: np.ndarray, proba: np.ndarray) -> float:
    """Score of out-of-bag probabilities; `metric` is True (accuracy) or a callable."""
    known = ~np.isnan(proba).any(axis=1)
    if not known.all():
        warnings.warn(
            f"{(~known).sum()} of {len(known)} rows are in the bag of every member and "
            "have no out-of-bag prediction. Raise 'n_estimators'.",
            OutOfBagWarning,
            stacklevel=6,
        )
    if not known.any():
        return float("nan")
    metric = metric if callable(metric) else accuracy_score
    predicted = net.labels_[net.prediction_family_.decide(proba[known])]
    return float(metric(y[known], predicted))

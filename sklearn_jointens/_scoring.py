"""Scores of the members, and of the ensemble on out-of-bag rows."""

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.metrics import accuracy_score


class OutOfBagWarning(UserWarning):
    """Some rows have no out-of-bag prediction."""


def member_accuracies(net: Any, data: Any) -> np.ndarray:
    """Accuracy of each member on a data set, ndarray of shape (n_members,)."""
    hits, n_rows = torch.tensor(0), 0
    for natural, y in net.natural_iter(data):
        correct = net.prediction_family_.is_correct(natural, y)
        hits = hits.to(natural.device) + correct.sum(1)
        n_rows += natural.shape[2]
    return hits.cpu().numpy() / n_rows


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
        correct = net.prediction_family_.is_correct(natural, target) & out
        hits += correct.sum(1).cpu().numpy()
        mean = (natural * out[:, None, :]).sum(0) / out.sum(0)
        proba[start:stop] = net.prediction_family_.proba(mean).cpu().numpy()
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

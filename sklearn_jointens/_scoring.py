"""Scores of the members, and of the ensemble on out-of-bag rows."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


class OutOfBagWarning(UserWarning):
    """Some rows have no out-of-bag prediction."""


def member_scores(net: Any, data: Any, weight: np.ndarray | None = None) -> np.ndarray:
    """Score of each member on a data set: accuracy of classes, R2 of numbers.

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

    def chunks() -> Iterator[tuple]:
        stop = 0
        for natural, y in net.natural_iter(data):
            start, stop = stop, stop + natural.shape[-1]
            of_rows = None if weight is None else torch.tensor(weight[start:stop])
            yield natural, y, of_rows

    return net.targets_.member_scores(net.prediction_family_, chunks())


def out_of_bag(
    net: Any, X: Any, y: np.ndarray, bags: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What members make of the rows that they have not seen.

    Parameters
    ----------
    net : JointNet
    X : ndarray or CSR array of shape (n_samples, ...)
    y : ndarray of shape (n_samples, ...)
    bags : ndarray of shape (n_members, n_samples)
        How often each member has drawn each row.

    Returns
    -------
    scores : ndarray of shape (n_members,)
        Each member's own, NaN where it has seen every row.
    predicted : ndarray of shape (n_samples, n_predicted)
        By the members that have not seen the row, NaN if there is none.
    """
    family, targets = net.prediction_family_, net.targets_
    encoded = torch.as_tensor(targets.encode(y))
    predicted = np.full((X.shape[0], targets.n_predicted), np.nan)

    def chunks() -> Iterator[tuple]:
        stop = 0
        for natural, _ in net.natural_iter(X):
            start, stop = stop, stop + natural.shape[-1]
            out = torch.as_tensor(bags[:, start:stop] == 0, device=natural.device)
            mean = (natural * out[:, None, :]).sum(0) / out.sum(0)
            predicted[start:stop] = family.predicted(mean).cpu().numpy()
            yield natural, encoded[start:stop].to(natural.device), out

    return targets.member_scores(family, chunks()), predicted


def out_of_bag_score(
    net: Any, metric: Any, y: np.ndarray, predicted: np.ndarray
) -> float:
    """Score of out-of-bag predictions; `metric` is True (the default) or a callable."""
    known = ~np.isnan(predicted).any(axis=1)
    if not known.all():
        warnings.warn(
            f"{(~known).sum()} of {len(known)} rows are in the bag of every member and "
            "have no out-of-bag prediction. Raise 'n_estimators'.",
            OutOfBagWarning,
            stacklevel=6,
        )
    if not known.any():
        return float("nan")
    targets = net.targets_
    metric = metric if callable(metric) else targets.score
    decided = targets.decide(net.prediction_family_, predicted[known])
    return float(metric(y[known], targets.decode(decided)))

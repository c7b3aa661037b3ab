"""Whether one member does the work of all, as joint training may have it."""

import math
import sys
import warnings
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_jointens.losses import Family

# Enough for shares of the members to be steady, and no more than a batch or a few.
_N_ROWS = 256

# What the ensemble gains where it knows something of the targets; and for how many
# epochs and steps one member has to do the work, as one may only be the first to learn.
# Chosen on other data than those that `examples/dominance_rates.py` judges them by.
LEARNED = 0.1
_N_EPOCHS, _N_STEPS = 2, 50

# The code between a fit and whoever calls it.
_BETWEEN = {"joblib", "sklearn", "sklearn_jointens", "skorch", "torch"}


class MemberDominanceWarning(UserWarning):
    """One member does the work of all, and the others hardly learn.

    A fit warns once, at the end of an epoch: when for two epochs and 50 steps the mean
    of the members' gains was at least 0.1, and the effective members at most the root
    of their number; both are in ``history_``. A member's gain is the covariance of its
    natural parameters z_j with the targets' statistic T(y), in units of the variance of
    the latter, ``g_j = Cov(z_j, T(y)) / Var(T(y))``, over the last rows of the epoch.
    Effective members are the participation ratio ``sum(g)**2 / sum(g**2)`` of gains
    above 0: all when they are equal, 1 when one member has them all. A fit with
    ``lam=0`` never warns.

    References
    ----------
    A. Webb, C. Reynolds, W. Chen, H. Reeve, D. Iliescu, M. Lujan, G. Brown. "To
    Ensemble or Not Ensemble: When does End-To-End Training Fail?", ECML PKDD 2020,
    Fig. 6.
    """


def member_gains(natural: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What each member knows of the targets: ``Cov(z_j, T(y)) / Var(T(y))``.

    T is the statistic of the targets that the natural parameters z go with: the
    targets themselves, or the indicators of classes; covariances of several outputs
    are added up. Whatever is constant gains nothing, however large it is. The mean
    over members is the gain of the ensemble, whose natural parameters are the mean.

    Parameters
    ----------
    natural : ndarray of shape (n_members, n_outputs, n_samples)
        Only the first outputs are looked at where there are more than targets.
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Encoded targets; classes are integers.

    Returns
    -------
    ndarray of shape (n_members,)
        0 where all targets are alike.
    """
    if y.dtype.kind == "f":
        statistic = y.reshape(len(y), -1).T
    else:
        statistic = np.equal.outer(np.arange(natural.shape[1]), y)
    statistic = statistic.astype(natural.dtype)
    # From the first row, so that nothing is lost to what all rows have in common; which
    # origin it is makes no difference to a covariance.
    statistic = statistic - statistic[:, :1]
    statistic -= np.add.reduce(statistic, 1, keepdims=True) / len(y)
    natural = (natural - natural[..., :1]).reshape(len(natural), -1)
    statistic = statistic.ravel()
    variance = statistic @ statistic
    if variance == 0:
        return np.zeros_like(natural[:, 0])
    return natural[:, : len(statistic)] @ statistic / variance


def effective_members(gains: Any) -> float:
    """How many members do the work: ``sum(g)**2 / sum(g**2)`` of gains above 0.

    Parameters
    ----------
    gains : array-like of shape (n_members,)

    Returns
    -------
    float
        As many as there are when all gain alike, 1 when one gains everything, and 0
        when nobody gains.
    """
    shares = np.maximum(np.asarray(gains, dtype=np.float64), 0)
    largest = shares.max()
    if not largest > 0:
        return 0.0
    shares /= largest
    return float(shares.sum() ** 2 / (shares @ shares))


def dominant_member(history: Sequence[dict[str, Any]]) -> int | None:
    """The member that does the work of all, if one does.

    For the last epochs the ensemble knew something of the targets, and its effective
    members were nearer to one than to all: at most the root of their number.

    Parameters
    ----------
    history : sequence of dict
        A row an epoch, with `train_member_gains` and skorch's `train_batch_count`.

    Returns
    -------
    int or None
    """
    last: Sequence[float] = []
    n_epochs = n_steps = 0
    for row in reversed(history):
        gains = row.get("train_member_gains", [])
        last = last or gains
        # Members that have just come have had no time to learn.
        if not _is_one(gains) or len(gains) != len(last):
            return None
        n_epochs, n_steps = n_epochs + 1, n_steps + row.get("train_batch_count", 0)
        if n_epochs >= _N_EPOCHS and n_steps >= _N_STEPS:
            return int(np.argmax(last))
    return None


def _is_one(gains: Sequence[float]) -> bool:
    """Whether one of several members knows what the ensemble does."""
    return (
        len(gains) > 1
        and effective_members(gains) <= math.sqrt(len(gains))
        and bool(np.mean(gains) >= LEARNED)
    )


class LastRows:
    """What members have put out for the last rows of an epoch.

    Enough to measure their gains once an epoch, at no cost in its steps.
    """

    def __init__(self) -> None:
        self._batches: deque[tuple[Tensor, Tensor]] = deque()
        self._n_rows = 0

    def add(self, outputs: Tensor, y: Any) -> None:
        """Take in a batch, and let go of what is not among the last rows.

        Parameters
        ----------
        outputs : Tensor of shape (n_members, n_samples, ...)
        y : Tensor of shape (n_samples,) or (n_samples, n_targets)
        """
        self._batches.append((outputs, y))
        self._n_rows += outputs.shape[1]
        while self._n_rows - self._batches[0][0].shape[1] >= _N_ROWS:
            self._n_rows -= self._batches.popleft()[0].shape[1]

    def gains(self, family: Family) -> np.ndarray:
        """`member_gains` of these rows."""
        outputs, targets = zip(*self._batches, strict=True)
        natural = family.natural(torch.cat(outputs, 1))
        y = torch.cat([torch.as_tensor(y) for y in targets])
        # Of few rows: there is less to do in NumPy than to start in torch.
        return member_gains(natural.cpu().numpy(), y.cpu().numpy())


def n_batches_of_last_rows(batch_size: int) -> int:
    """How many batches there may be in `LastRows`."""
    return 1 + math.ceil(_N_ROWS / batch_size)


def warn_of_dominance(net: Any) -> None:
    """Warn when one member does the work of all: once, at the end of an epoch.

    Not in a search, which compares values of lam and trains without `fit_loop`.

    Parameters
    ----------
    net : JointNet
    """
    is_in_fit_loop = net.has_ended_ is False
    if net.has_warned_ or net.lam_ == 0 or not is_in_fit_loop:
        return
    member = dominant_member(net.history)
    if member is None:
        return
    vars(net)["has_warned_"] = True
    row = net.history[-1]
    gains = np.clip(row["train_member_gains"], 0, None)
    warnings.warn(
        f"Member {member} does most of the work of all {len(gains)}: in epoch "
        f"{row['epoch']}, {gains[member] / gains.sum():.0%} of what the ensemble knows "
        f"of the targets is its own{_accuracies(row, member)}, which makes "
        f"{row['train_effective_members']:.1f} effective members. With lam="
        f"{net.lam_:g}, members with capacity to spare leave it at that. Lower 'lam', "
        "make members smaller, or train them independently with lam=0.",
        MemberDominanceWarning,
        stacklevel=_level_of_caller(),
    )


def _accuracies(row: dict[str, Any], member: int) -> str:
    """How often the member is right, and the others; of classes and labels alone."""
    if "train_member_accuracies" not in row:
        return ""
    accuracies = np.array(row["train_member_accuracies"])
    others = np.median(np.delete(accuracies, member))
    return f" (accuracy {accuracies[member]:.2f}, the others' median {others:.2f})"


def _level_of_caller() -> int:
    """`stacklevel`, for whoever calls this, of the code that has called the fit."""
    level, frame = 0, sys._getframe(1)
    while frame.f_back is not None and _package(frame) in _BETWEEN:
        level, frame = level + 1, frame.f_back
    return level + 1


def _package(frame: Any) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]

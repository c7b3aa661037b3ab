"""Ensembles of some of the members, all of whose natural parameters are known."""

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import Tensor

from sklearn_jointens.inspection._judging import Judge

# Numbers that are worked on at once: few enough for the cache, enough for one call.
_BLOCK = 2**20


def blocks(n: int, size: int) -> Iterator[slice]:
    """Successive slices of `n` things, each of `size` numbers, that bound memory."""
    return gen_batches(n, max(1, _BLOCK // size))


def score_blocks(judge: Judge, natural: Iterator[Tensor]) -> np.ndarray:
    """Scores of many ensembles, of which only some are held at a time.

    Parameters
    ----------
    judge : Judge
    natural : iterator of Tensor of shape (n_ensembles, n_outputs, n_samples)

    Returns
    -------
    ndarray of shape (n_ensembles,)
        Of all of them.
    """
    return np.concatenate([judge.scores(block) for block in natural])


def dropped_means(
    by_row: Tensor,
    drop: np.ndarray,
    random: np.random.RandomState,
    is_for_each_row: bool,
) -> Tensor:
    """Means over the members that are left when some are dropped at random.

    A random number is drawn for each member. The members with the smallest numbers are
    dropped: so many of them, or those below a probability. What is left at one point is
    then part of what is left where less is dropped.

    Parameters
    ----------
    by_row : Tensor of shape (n_samples, n_members, n_outputs)
        Natural parameters.
    drop : ndarray of shape (n_points,), of int or float
        How many members to drop, or the probability to drop each. One member stays.
    random : RandomState
    is_for_each_row : bool
        Whether each row's members are drawn anew.

    Returns
    -------
    Tensor of shape (n_points, n_outputs, n_samples)
        In the dtype of `by_row`.
    """
    n_rows, n_members, n_outputs = by_row.shape
    means = by_row.new_empty(len(drop), n_outputs, n_rows)
    draws = random.random_sample((n_rows if is_for_each_row else 1, n_members))
    for rows in blocks(n_rows, n_members * n_outputs):
        part, places = by_row[rows], torch.arange(rows.stop - rows.start)
        drawn = draws[rows] if is_for_each_row else draws
        order = torch.as_tensor(drawn.argsort(axis=1)[:, ::-1].copy())
        sums = part[places[:, None], order].cumsum(1, dtype=torch.float64)
        n_left = torch.as_tensor(_n_left(drawn, drop))
        left = sums[places, n_left - 1] / n_left.unsqueeze(-1)
        means[..., rows] = left.transpose(1, 2).to(means)
    return means


def _n_left(draws: np.ndarray, drop: np.ndarray) -> np.ndarray:
    """How many members are left, (n_points, n_rows) or (n_points, 1)."""
    if drop.dtype.kind != "f":
        return draws.shape[1] - drop[:, None]
    n_left = [(draws >= probability).sum(axis=1) for probability in drop]
    return np.maximum(n_left, 1)

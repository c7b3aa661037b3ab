"""Validation without a held-out set: each member is validated on a fold of its own."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor
from torch.utils.data import Subset

from sklearn_jointens.nn import VectorizedModule
from sklearn_jointens.training._batches import (
    Batch,
    BatchSlicer,
    to_device,
    unwrap_subset,
)


class MemberFolds:
    """A `train_split` that holds another fold out for each member of an ensemble.

    Member j learns from all folds but fold ``j % n_splits``, and is validated on that
    one; a row's ensemble in validation is of the members that have not seen it. So no
    row is lost to the ensemble, and its validation loss, by which a callback stops or
    restores the best epoch, is of all rows. The members are a cross-validated committee
    [1]_.

    A net that is trained alone is validated on one of the folds.

    Parameters
    ----------
    n_splits : int, default=8
        Number of folds, at least 2.
    stratified : bool, default=True
        Whether each class is spread evenly over the folds. A class may have fewer rows
        than there are folds.

    Raises
    ------
    ValueError
        When it is called, and `n_splits` is not an int of at least 2.

    References
    ----------
    .. [1] B. Parmanto, P. Munro, H. Doyle. "Improving Committee Diagnosis with
       Resampling Techniques", NeurIPS 1995.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_jointens.training import MemberFolds
    >>> split = MemberFolds(n_splits=2)
    >>> folds = split.folds(np.array([0, 0, 0, 0, 1, 1]), random_state=0)
    >>> split.counts(folds, n_members=3)
    array([[1, 0, 0, 1, 1, 0],
           [0, 1, 1, 0, 0, 1],
           [1, 0, 0, 1, 1, 0]], dtype=uint8)
    """

    def __init__(self, n_splits: int = 8, stratified: bool = True) -> None:
        self.n_splits = n_splits
        self.stratified = stratified

    def __call__(self, dataset: Any, y: Any = None, groups: Any = None) -> Any:
        """Rows to train on and rows to validate on, for a net that is alone."""
        labels = np.zeros(len(dataset)) if y is None else np.asarray(y)
        is_held_out = self.folds(labels, None) == 0
        rows = np.arange(len(dataset))
        return (
            Subset(dataset, rows[~is_held_out].tolist()),
            Subset(dataset, rows[is_held_out].tolist()),
        )

    def folds(self, y: np.ndarray, random_state: Any) -> np.ndarray:
        """Divide rows.

        Parameters
        ----------
        y : ndarray of shape (n_samples,)
            Targets.
        random_state : int, RandomState instance or None

        Returns
        -------
        ndarray of shape (n_samples,), int64
            The fold of each row.
        """
        whole = isinstance(self.n_splits, Integral)
        if not whole or isinstance(self.n_splits, bool) or self.n_splits < 2:
            raise ValueError(
                "The 'n_splits' parameter of MemberFolds must be an int of at least 2. "
                f"Got {self.n_splits!r} instead."
            )
        order = check_random_state(random_state).permutation(len(y))
        if self.stratified:
            order = order[np.argsort(y[order], kind="stable")]
        folds = np.empty(len(y), dtype=np.int64)
        folds[order] = np.arange(len(y)) % self.n_splits
        return folds

    def counts(self, folds: np.ndarray, n_members: int) -> np.ndarray:
        """Which members learn from which rows.

        Parameters
        ----------
        folds : ndarray of shape (n_samples,)
            Of the rows.
        n_members : int

        Returns
        -------
        ndarray of shape (n_members, n_samples), uint8
            0 where a member is validated on the row, else 1.
        """
        held_out = np.arange(n_members)[:, None] % self.n_splits
        return (folds != held_out).astype(np.uint8)

    def __repr__(self) -> str:
        return f"MemberFolds(n_splits={self.n_splits}, stratified={self.stratified})"


class FoldSlicer:
    """Batches of rows of one fold, each with the members that are validated on it.

    Parameters
    ----------
    dataset : ArrayDataset or Subset of one
    weight : Tensor of shape (n_samples,) or None
        Of all rows of the data set.
    folds : Tensor of shape (n_samples,)
        Of all rows of the data set.
    n_splits : int
        Number of folds.
    n_members : int
    batch_size : int
        Rows of a batch, at most.

    Attributes
    ----------
    parts : list of (Tensor of shape (n_rows,), Tensor of shape (n_running,))
        Rows of each batch, and the members that run on them. Equally many for all
        parts of one data set.
    """

    def __init__(
        self,
        dataset: Any,
        weight: Tensor | None,
        folds: Tensor,
        n_splits: int,
        n_members: int,
        batch_size: int,
    ) -> None:
        self.dataset, index = unwrap_subset(dataset)
        self.weight, self.batch_size = weight, batch_size
        rows = torch.arange(len(self.dataset)) if index is None else index
        n_parts = -(-len(self.dataset) // (n_splits * batch_size))
        members = torch.arange(n_members)
        self.parts: list[tuple[Tensor, Tensor | None]] = [
            (part, members[fold::n_splits])
            for fold in range(min(n_splits, n_members))
            for part in rows[folds[rows] == fold].tensor_split(n_parts)
            if len(part)
        ]
        self.n_samples = sum(len(part) for part, _ in self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Batch]:
        for rows, members in self.parts:
            there = to_device(rows, self.dataset.device)
            X = self.dataset.rows(rows.to(self.dataset.index_device))
            weight = None if self.weight is None else self.weight[there]
            yield Batch(X, self.dataset.y[there], weight, members)


def folds_of(iterator: Any, net: Any) -> FoldSlicer:
    """A net's validation batches, fold by fold.

    Parameters
    ----------
    iterator : BatchSlicer
        Over all rows.
    net : JointNet
        With the rows' folds and weights.

    Raises
    ------
    ValueError
        The prototype makes its batches in a way of its own.
    """
    if type(iterator) is not BatchSlicer:
        raise ValueError(
            "The 'train_split' parameter of the member must not be MemberFolds with a "
            "'dataset' or 'iterator_valid' of its own, whose rows cannot be told "
            f"apart. Got {type(iterator).__name__} for its batches instead."
        )
    return FoldSlicer(
        iterator.subset,
        iterator.weight,
        net.folds_,
        net.train_split.n_splits,
        net.plain_module.n_members,
        iterator.batch_size,
    )


class SomeMembers:
    """Modules of some of the members, which follow the weights of all.

    A module is made once, and given the members' present weights when it is asked for.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[int, ...], VectorizedModule] = {}

    def of(self, whole: VectorizedModule, members: Tensor) -> VectorizedModule:
        """The module of these members, with the weights that they have in `whole`.

        Parameters
        ----------
        whole : VectorizedModule
            Always of the same members.
        members : Tensor of shape (n_running,), on the CPU
        """
        key = tuple(members.tolist())
        if key not in self._made:
            self._made[key] = whole.select(key)
        else:
            self._made[key].take_over(whole, members)
        return self._made[key]

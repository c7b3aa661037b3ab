"""Validation without a held-out set: each member is validated on a fold of its own."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor
from torch.utils.data import Subset

from sklearn_jointens.nn import VectorizedModule
from sklearn_jointens.nn.networks._arguments import is_number
from sklearn_jointens.training._batches import Batch, BatchSlicer, to_device


class Folds(NamedTuple):
    """Rows in folds, and the fold that each member is validated on.

    Attributes
    ----------
    of_rows : ndarray of shape (n_samples,), int64
    of_members : ndarray of shape (n_members,), int64
    """

    of_rows: np.ndarray
    of_members: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Uint8 of shape (n_members, n_samples); 0 where a row is held out, else 1."""
        return (self.of_rows != self.of_members[:, None]).astype(np.uint8)


class MemberFolds:
    """A `train_split` that holds another fold out for each member of an ensemble.

    Member j learns from all folds but fold ``j % n_splits``, and is validated on that
    one; a row's ensemble in validation is of the members that have not seen it. So no
    row is lost to the ensemble, and its validation loss, by which a callback stops or
    restores the best epoch, is of all rows, if there are as many members as folds. The
    members are a cross-validated committee [1]_.

    A net that is trained alone is validated on one of the folds.

    Parameters
    ----------
    n_splits : int, default=8
        Number of folds, at least 2.
    stratified : bool, default=True
        Whether y is spread evenly over the folds: each class, each combination of
        labels, small numbers and large ones (of several, those of the first). A class
        may have fewer rows than there are folds.
    min_samples : int, default=0
        With fewer rows, none is held out.

    Raises
    ------
    ValueError
        When it is used, and a parameter is not an int, or too small.

    Notes
    -----
    A callback that predicts the validation data anew, such as skorch's
    ``EpochScoring(..., use_caching=False)``, asks all members for all rows, and gets
    scores on rows that they have learned from.

    References
    ----------
    .. [1] B. Parmanto, P. Munro, H. Doyle. "Improving Committee Diagnosis with
       Resampling Techniques", NeurIPS 1995.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_jointens.training import MemberFolds
    >>> split = MemberFolds(n_splits=2)
    >>> y = np.array([0, 0, 0, 0, 1, 1])
    >>> split.folds(y, np.arange(3), random_state=0).counts
    array([[1, 1, 0, 0, 1, 0],
           [0, 0, 1, 1, 0, 1],
           [1, 1, 0, 0, 1, 0]], dtype=uint8)
    """

    def __init__(
        self, n_splits: int = 8, stratified: bool = True, min_samples: int = 0
    ) -> None:
        self.n_splits = n_splits
        self.stratified = stratified
        self.min_samples = min_samples

    def __call__(self, dataset: Any, y: Any = None, groups: Any = None) -> Any:
        """Rows to train on and rows to validate on, for a net that is alone."""
        labels = np.zeros(len(dataset)) if y is None else np.asarray(y)
        folds = self.folds(labels, np.zeros(1, dtype=int), None)
        if folds is None:
            return dataset, None
        trained = folds.counts[0].astype(bool)
        rows = np.arange(len(dataset))
        return (
            Subset(dataset, rows[trained].tolist()),
            Subset(dataset, rows[~trained].tolist()),
        )

    def folds(self, y: np.ndarray, places: np.ndarray, random_state: Any) -> Any:
        """Divide the rows, and give each member a fold.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
        places : ndarray of shape (n_members,)
            The members' places in the ensemble, from 0.
        random_state : int, RandomState instance or None

        Returns
        -------
        Folds or None
            None where there are too few rows.
        """
        for name, least in (("n_splits", 2), ("min_samples", 0)):
            value = getattr(self, name)
            if not is_number(value, Integral) or value < least:
                raise ValueError(
                    f"The {name!r} parameter of MemberFolds must be an int of at least "
                    f"{least}. Got {value!r} instead."
                )
        if len(y) < self.min_samples:
            return None
        order = check_random_state(random_state).permutation(len(y))
        if self.stratified:
            if y.ndim > 1:
                _, y = np.unique(y, axis=0, return_inverse=True)
            order = order[np.argsort(y.ravel()[order], kind="stable")]
        of_rows = np.empty(len(y), dtype=np.int64)
        of_rows[order] = np.arange(len(y)) % self.n_splits
        return Folds(of_rows, places % self.n_splits)

    def __repr__(self) -> str:
        params = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"MemberFolds({params})"


class FoldSlicer:
    """Batches of rows of one fold, each with the members that are validated on it.

    Parameters
    ----------
    batches : BatchSlicer
        Of the same rows, one fold with another.
    folds : Folds
        Of all rows of the data set.

    Raises
    ------
    ValueError
        The prototype makes its batches in a way of its own.

    Attributes
    ----------
    parts : dict of (int, int) to Tensor of shape (n_rows,)
        Rows of each batch, by fold and number within it.
    members : dict of int to Tensor of shape (n_running,)
        Those that are validated on each fold.
    """

    def __init__(self, batches: Any, folds: Folds) -> None:
        if type(batches) is not BatchSlicer:
            raise ValueError(
                "The 'train_split' parameter of the member must not be MemberFolds "
                "with a 'dataset' or 'iterator_valid' of its own, whose rows cannot be "
                f"told apart. Got {type(batches).__name__} for its batches instead."
            )
        self.dataset, self.weight = batches.dataset, batches.weight
        self.batch_size, index = batches.batch_size, batches.index
        rows = torch.arange(len(self.dataset)) if index is None else index
        of_rows = torch.as_tensor(folds.of_rows)[rows]
        self.members = {
            int(fold): torch.as_tensor(np.flatnonzero(folds.of_members == fold))
            for fold in np.unique(folds.of_members)
        }
        self.parts = {
            (fold, number): part
            for fold in self.members
            for number, part in enumerate(rows[of_rows == fold].split(self.batch_size))
            if len(part)
        }
        self.n_samples = sum(map(len, self.parts.values()))

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Batch]:
        for (fold, _), rows in self.parts.items():
            there = to_device(rows, self.dataset.device)
            X = self.dataset.rows(rows.to(self.dataset.index_device))
            weight = None if self.weight is None else self.weight[there]
            yield Batch(X, self.dataset.y[there], weight, self.members[fold])


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

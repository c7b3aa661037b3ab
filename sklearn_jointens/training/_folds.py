"""Validation without a held-out set: each member is validated on a fold of its own."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from torch.utils.data import Subset


class MemberFolds:
    """A `train_split` that holds another fold out for each member of an ensemble.

    Member j learns from all folds but fold ``j % n_splits``, and is validated on that
    one; a row's ensemble in validation is of the members that have not seen it. So no
    row is lost to the ensemble, and its validation loss, by which a callback stops or
    restores the best epoch, is of all rows. The members are a cross-validated committee
    [1]_.

    A net that is trained alone is validated on one of the folds. Members with a
    bootstrap sample of their own are validated on the rows out of their bags.

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
    >>> y = np.array([0, 0, 0, 0, 1, 1])
    >>> MemberFolds(n_splits=2).counts(y, n_members=3, random_state=0)
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
        trained = self.counts(labels, 1, None)[0] > 0
        return (
            Subset(dataset, np.flatnonzero(trained)),
            Subset(dataset, np.flatnonzero(~trained)),
        )

    def counts(self, y: np.ndarray, n_members: int, random_state: Any) -> np.ndarray:
        """Which members learn from which rows.

        Parameters
        ----------
        y : ndarray of shape (n_samples,)
            Targets.
        n_members : int
        random_state : int, RandomState instance or None

        Returns
        -------
        ndarray of shape (n_members, n_samples), uint8
            0 where a member is validated on the row, else 1.
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
        fold = np.empty(len(y), dtype=np.int64)
        fold[order] = np.arange(len(y)) % self.n_splits
        held_out = np.arange(n_members)[:, None] % self.n_splits
        return (fold != held_out).astype(np.uint8)

    def __repr__(self) -> str:
        return f"MemberFolds(n_splits={self.n_splits}, stratified={self.stratified})"

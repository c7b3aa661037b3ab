"""A fitted ensemble and some rows, as every inspection reads them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_jointens._checks import check_known, check_sample_weight, check_X, check_y
from sklearn_jointens._fitted import FittedEnsemble
from sklearn_jointens.losses._by_row import RowLosses, row_losses

_NOT_NEEDED = object()


class Reading:
    """What the members of an ensemble make of some rows.

    Parameters
    ----------
    reader : str
        Name of the function that reads, for messages.
    estimator : object
        As `unwrapped` takes it.
    X : array-like or sparse matrix of shape (n_samples, ...)
    y : array-like of shape (n_samples,) or (n_samples, n_targets), optional
        Targets, as the ensemble has learned them; not None where they are needed.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Attributes
    ----------
    reader : str
    ensemble : JointEnsembleClassifier or JointEnsembleRegressor
    X : ndarray or CSR array of shape (n_samples, ...)
        As the ensemble's members take it.
    y : ndarray of shape (n_samples,) or (n_samples, n_targets), or None
    encoded : Tensor or None
        y as the members' criterion takes it.
    sample_weight : ndarray of shape (n_samples,) or None
    family : Family
        Of what is predicted.
    targets : Targets
    """

    def __init__(
        self,
        reader: str,
        estimator: Any,
        X: Any,
        y: Any = _NOT_NEEDED,
        sample_weight: Any = None,
    ) -> None:
        if y is None:
            raise ValueError(
                f"The 'y' parameter of {reader} must hold targets. Got None instead."
            )
        self.reader = reader
        self.ensemble, X = unwrapped(reader, estimator, X)
        self.X = check_X(self.ensemble, X)
        self.family = self.ensemble.net_.prediction_family_
        self.targets = self.ensemble.net_.targets_
        self.y = self.encoded = None
        if y is not _NOT_NEEDED:
            self._take(y)
        self.sample_weight = check_sample_weight(sample_weight, self.X)

    def _take(self, y: Any) -> None:
        self.y = check_y(self.ensemble, y)
        check_consistent_length(self.X, self.y)
        owner = type(self.ensemble).__name__
        check_known(owner, self.y, self.targets)
        self.encoded = torch.as_tensor(self.targets.encode(self.y))
        wrong = self.family.check_target(self.encoded)
        if wrong is not None:
            raise ValueError(
                f"The 'y' parameter of {owner} must be {wrong}. Got numbers from "
                f"{self.y.min():g} to {self.y.max():g} instead."
            )

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.ensemble.estimators_)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.X.shape[0]

    def check_several(self) -> None:
        """Raise unless there are members to compare."""
        if self.n_members < 2:
            raise ValueError(
                f"The 'estimator' parameter of {self.reader} must be an ensemble of at "
                "least 2 members. Got 1 member instead."
            )

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Successive rows, and all members' natural parameters of them.

        Yields
        ------
        rows : slice
        natural : Tensor of shape (n_members, n_outputs, n_rows)
            On the CPU.
        """
        stop = 0
        for natural, _ in self.ensemble.net_.natural_iter(self.X):
            start, stop = stop, stop + natural.shape[-1]
            yield slice(start, stop), natural.cpu()

    def natural(self) -> Tensor:
        """Natural parameters of all rows, (n_members, n_outputs, n_samples)."""
        whole = None
        for rows, natural in self.chunks():
            if whole is None:
                whole = natural.new_empty(*natural.shape[:2], self.n_rows)
            whole[..., rows] = natural
        assert whole is not None
        return whole

    def losses(self, natural: Tensor, rows: slice = slice(None)) -> RowLosses:
        """What each of some rows loses, in the units that y is learned in.

        Parameters
        ----------
        natural : Tensor of shape (n_members, n_outputs, n_rows)
            Of members; or of ensembles, each as one member.
        rows : slice, default=all
            Which rows they are of.
        """
        assert self.encoded is not None
        return row_losses(natural, self.encoded[rows], self.family)

    def weights(self) -> np.ndarray:
        """Weights of the rows, 1 where none were given."""
        ones = np.ones(self.n_rows)
        return ones if self.sample_weight is None else self.sample_weight


def unwrapped(
    reader: str, estimator: Any, *arrays: Any, parameter: str = "estimator"
) -> tuple[Any, ...]:
    """The fitted ensemble in an estimator, and rows as they come to it.

    Parameters
    ----------
    reader : str
        Name of the function that asks, for messages.
    estimator : object
        A fitted ensemble; a search that has refitted one; or a pipeline that ends in
        one of them.
    *arrays : array-like
        Rows as the estimator takes them.
    parameter : str, default="estimator"
        Of the function, by which it was given the estimator.

    Returns
    -------
    ensemble : JointEnsembleClassifier or JointEnsembleRegressor
    *arrays
        Transformed by the steps before it.

    Raises
    ------
    TypeError
        There is no such ensemble.
    NotFittedError
        It is not fitted.
    """
    if isinstance(estimator, Pipeline):
        check_is_fitted(estimator)
        if len(estimator) > 1:
            arrays = tuple(estimator[:-1].transform(X) for X in arrays)
        return unwrapped(reader, estimator[-1], *arrays, parameter=parameter)
    if hasattr(estimator, "best_estimator_"):
        best = estimator.best_estimator_
        return unwrapped(reader, best, *arrays, parameter=parameter)
    if isinstance(estimator, FittedEnsemble) or hasattr(estimator, "refit"):
        check_is_fitted(estimator, "estimators_")
        return estimator, *arrays
    raise TypeError(
        f"The '{parameter}' parameter of {reader} must be a JointEnsembleClassifier or "
        "JointEnsembleRegressor, a search that has refitted one, or a Pipeline that "
        f"ends in one. Got {estimator!r} instead."
    )

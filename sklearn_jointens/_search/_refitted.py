"""An estimator that stands for the ensemble that it has chosen."""

from typing import Any

import numpy as np
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_jointens._compat import _routing_enabled
from sklearn_jointens._shipped import ShippedMixin


def refits(search: Any) -> bool:
    """Whether a search has an ensemble of its own; raise AttributeError if not."""
    if not search.refit:
        raise AttributeError(
            f"{type(search).__name__} has an ensemble of its own with 'refit' only. "
            f"Got refit={search.refit!r} instead."
        )
    return True


def _of_best(name: str) -> property:
    def get(search: Any) -> Any:
        if "best_estimator_" not in vars(search):
            raise AttributeError(
                f"{type(search).__name__} has '{name}' once it is fitted, with 'refit'."
            )
        return getattr(search.best_estimator_, name)

    return property(get, doc=f"`{name}` of `best_estimator_`.")


class RefittedEnsemble(ShippedMixin):
    """What is asked of a search, and answered by its `best_estimator_`.

    It stands before scikit-learn's mixins, which have a `score` too.
    """

    best_epoch_ = _of_best("best_epoch_")
    estimators_ = _of_best("estimators_")
    history_ = _of_best("history_")
    member_scores_ = _of_best("member_scores_")
    n_iter_ = _of_best("n_iter_")
    net_ = _of_best("net_")
    vectorization_ = _of_best("vectorization_")

    @available_if(refits)
    def predict(self, X: Any, members: Any = None) -> np.ndarray:
        """What `best_estimator_` predicts for each row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        members : array-like of int or bool, default=None
            The members to use; ``None`` is all.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
        """
        return self._best().predict(X, members=members)

    @available_if(refits)
    def score_members(
        self, X: Any, y: Any, scoring: Any = None, sample_weight: Any = None
    ) -> np.ndarray:
        """Each member's own score.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        scoring : str, callable or None, default=None
            ``None`` is accuracy of a classifier, R2 of a regressor.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, for scorers that take them.

        Returns
        -------
        ndarray of shape (n_estimators,)
        """
        return self._best().score_members(X, y, scoring, sample_weight)

    @available_if(refits)
    def drop_members(self, members: Any = None, **params: Any) -> Any:
        """A fitted ensemble without some of the members.

        Parameters
        ----------
        members : array-like of int or bool, default=None
            Indices or mask of the members to drop.
        **params : dict
            Of the same method of `best_estimator_`.

        Returns
        -------
        object
            An ensemble of the kind of `best_estimator_`.
        """
        return self._best().drop_members(members, **params)

    @available_if(refits)
    def report(self, X: Any, y: Any, **params: Any) -> Any:
        """All that is seen of `best_estimator_`, on one HTML page.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
            Rows that no member has learned from.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their targets.
        **params : dict
            Of :func:`sklearn_jointens.inspection.report`.

        Returns
        -------
        Report
        """
        return self._best().report(X, y, **params)

    @available_if(refits)
    def save(self, path: Any) -> None:
        """Write `best_estimator_` to a file that holds no code.

        Parameters
        ----------
        path : str or path-like
            The method `load` of its class reads it.
        """
        self._best().save(path)

    @available_if(refits)
    def to_onnx(self, path: Any, example: Any = None) -> None:
        """Write `best_estimator_` as one ONNX graph whose members can be switched.

        Parameters
        ----------
        path : str or path-like
        example : array-like of shape (n_samples, ...), default=None
            As of the same method of `best_estimator_`.
        """
        self._best().to_onnx(path, example)

    @available_if(refits)
    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        members: Any = None,
        **params: Any,
    ) -> Any:
        """Score of `best_estimator_`, by the metric that lam was chosen with.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, for metrics that take them.
        members : array-like of int or bool, default=None
            The members to use; ``None`` is all.
        **params : dict
            What the scorers ask for, with metadata routing.

        Returns
        -------
        float
            Of several metrics, the one that `refit` names; a dict of all where it names
            none.
        """
        best = self._best()
        if members is not None:
            everybody = np.arange(len(best.estimators_))
            others = np.setdiff1d(everybody, best._some_members_at(members))
            best = best.drop_members(others)
        if sample_weight is not None:
            params["sample_weight"] = sample_weight
        if _routing_enabled():
            params = process_routing(self, "score", **params).scorer["score"]
        scores = self.scorer_(best, X, y, **params)
        is_named = isinstance(scores, dict) and self.refit in scores
        return scores[self.refit] if is_named else scores

    def _shipped(self) -> Any:
        refits(self)
        return self._best()

    def _best(self) -> Any:
        check_is_fitted(self)
        return self.best_estimator_

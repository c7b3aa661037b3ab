"""An estimator that stands for the ensemble that it has chosen."""

from typing import Any

import numpy as np
from sklearn.utils.metadata_routing import UNUSED, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_jointens._compat import _routing_enabled


def _refits(search: Any) -> bool:
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


class RefittedEnsembleMixin:
    """What is asked of a search, and answered by its `best_estimator_`."""

    # Which members to use is no metadata of the rows.
    __metadata_request__predict = {"members": UNUSED}
    __metadata_request__predict_proba = {"members": UNUSED}
    __metadata_request__predict_log_proba = {"members": UNUSED}
    __metadata_request__score = {"members": UNUSED}

    best_epoch_ = _of_best("best_epoch_")
    estimators_ = _of_best("estimators_")
    history_ = _of_best("history_")
    member_scores_ = _of_best("member_scores_")
    n_iter_ = _of_best("n_iter_")
    net_ = _of_best("net_")
    vectorization_ = _of_best("vectorization_")

    @available_if(_refits)
    def predict(self, X: Any, members: Any = None) -> np.ndarray:
        """The most probable label of each row, by `best_estimator_`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        members : array-like of int or bool, default=None
            The members to use; ``None`` is all.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self._best().predict(X, members=members)

    @available_if(_refits)
    def predict_proba(self, X: Any, members: Any = None) -> np.ndarray:
        """Class probabilities, by `best_estimator_`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        members : array-like of int or bool, default=None
            The members to use; ``None`` is all.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._best().predict_proba(X, members=members)

    @available_if(_refits)
    def predict_log_proba(self, X: Any, members: Any = None) -> np.ndarray:
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        members : array-like of int or bool, default=None
            The members to use; ``None`` is all.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._best().predict_log_proba(X, members=members)

    @available_if(_refits)
    def member_proba(self, X: Any) -> np.ndarray:
        """Class probabilities of each member of `best_estimator_`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)

        Returns
        -------
        ndarray of shape (n_estimators, n_samples, n_classes)
        """
        return self._best().member_proba(X)

    @available_if(_refits)
    def score_members(
        self, X: Any, y: Any, scoring: Any = None, sample_weight: Any = None
    ) -> np.ndarray:
        """Each member's own score.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        y : array-like of shape (n_samples,)
            Labels.
        scoring : str, callable or None, default=None
            ``None`` is accuracy.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, for scorers that take them.

        Returns
        -------
        ndarray of shape (n_estimators,)
        """
        return self._best().score_members(X, y, scoring, sample_weight)

    @available_if(_refits)
    def drop_members(self, members: Any = None, **params: Any) -> Any:
        """A fitted :class:`JointEnsembleClassifier` without some of the members.

        Parameters
        ----------
        members : array-like of int or bool, default=None
            Indices or mask of the members to drop.
        **params : dict
            Of :meth:`JointEnsembleClassifier.drop_members`.

        Returns
        -------
        JointEnsembleClassifier
        """
        return self._best().drop_members(members, **params)

    @available_if(_refits)
    def save(self, path: Any) -> None:
        """Write `best_estimator_` to a file that holds no code.

        Parameters
        ----------
        path : str or path-like
            :meth:`JointEnsembleClassifier.load` reads it.
        """
        self._best().save(path)

    @available_if(_refits)
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
        y : array-like of shape (n_samples,)
            Labels.
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

    def _best(self) -> Any:
        check_is_fitted(self)
        return self.best_estimator_

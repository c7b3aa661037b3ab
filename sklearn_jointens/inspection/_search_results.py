"""What a search over lam has found, read from its fitted attributes."""

from itertools import count, takewhile
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.utils.validation import check_is_fitted

from sklearn_jointens._search._search import BaseJointEnsembleCV

_READER = "LamCurveDisplay.from_estimator"


class LamResults(NamedTuple):
    """Scores of every lam and split; arrays are of shape (n_lams, n_splits)."""

    lams: np.ndarray
    lam: float | None
    scores: np.ndarray
    member_scores: np.ndarray | None
    diversities: np.ndarray | None
    score_name: str


def read_search(search: Any, metric: str | None) -> LamResults:
    """Results of a fitted search, by the metric of that name or its only one.

    Parameters
    ----------
    search : JointEnsembleClassifierCV, GridSearchCV or RandomizedSearchCV
        Those of scikit-learn must have searched lam and nothing else.
    metric : str or None
        ``None`` is the metric of `refit` when the search has several.

    Returns
    -------
    LamResults
    """
    lams, lam = _lams_of(search)
    key = _key_of(search, metric)
    scores = _by_split(search.cv_results_, key)
    assert scores is not None
    return LamResults(
        lams=lams,
        lam=lam,
        scores=scores,
        member_scores=_by_split(search.cv_results_, f"member_{key}"),
        diversities=_by_split(search.cv_results_, "diversity"),
        score_name=key if search.multimetric_ else _name_of_scoring(search),
    )


def _lams_of(search: Any) -> tuple[np.ndarray, float | None]:
    """The lams of the search, and the chosen one, None where it has chosen none."""
    if isinstance(search, (GridSearchCV, RandomizedSearchCV)):
        check_is_fitted(search, "cv_results_")
        name = _searched_parameter(search)
        lams = np.array([params[name] for params in search.cv_results_["params"]])
        # Without `refit`, a search with several metrics has no best.
        return lams, getattr(search, "best_params_", {}).get(name)
    if isinstance(search, BaseJointEnsembleCV):
        check_is_fitted(search, "cv_results_")
        return search.lams_, getattr(search, "lam_", None)
    raise TypeError(
        f"The 'search' parameter of {_READER} must be a JointEnsembleClassifierCV or "
        "JointEnsembleRegressorCV, or a GridSearchCV or RandomizedSearchCV over lam. "
        f"Got {search!r} instead."
    )


def _searched_parameter(search: Any) -> str:
    names = sorted({name for params in search.cv_results_["params"] for name in params})
    if len(names) != 1 or names[0].split("__")[-1] != "lam":
        raise ValueError(
            f"The 'search' parameter of {_READER} must have searched lam and nothing "
            f"else. Got a search over {names} instead."
        )
    return names[0]


def _key_of(search: Any, metric: str | None) -> str:
    """What `cv_results_` calls the metric."""
    prefix = "mean_test_"
    found = [key for key in search.cv_results_ if key.startswith(prefix)]
    names = [key.removeprefix(prefix) for key in found]
    further = {"diversity", *(f"member_{name}" for name in names)}
    metrics = [name for name in names if name not in further]
    if metric is None and not search.multimetric_:
        metric = "score"
    elif metric is None and isinstance(search.refit, str):
        metric = search.refit
    if metric not in metrics:
        raise ValueError(
            f"The 'metric' parameter of {_READER} must be a metric of the search, one "
            f"of {metrics}; None takes the one of 'refit'. Got {metric!r} instead."
        )
    return metric


def _by_split(results: dict[str, Any], key: str) -> np.ndarray | None:
    """Array of shape (n_lams, n_splits); None if the search has not recorded it."""
    keys = (f"split{split}_test_{key}" for split in count())
    columns = [results[name] for name in takewhile(results.__contains__, keys)]
    return np.column_stack(columns) if columns else None


def _name_of_scoring(search: Any) -> str:
    if search.scoring is None:
        return "accuracy" if is_classifier(search) else "score"
    if isinstance(search.scoring, str):
        return search.scoring
    return getattr(search.scoring, "__name__", "score")

"""What a search over lam keeps of each ensemble: its scores, and its members'."""

import inspect
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
    is_classifier,
)

from sklearn_jointens._checks import check_X, check_y
from sklearn_jointens._compat import _check_method_params, _safe_indexing, _score

# What is kept besides the scores that were asked for.
DIVERSITY = "diversity"


def member_metric(metric: str) -> str:
    """The name of the mean member score by a metric."""
    return f"member_{metric}"


class LamEvaluation:
    """Scores of an ensemble on the rows of a split.

    Parameters
    ----------
    scorer : callable
        ``scorer(estimator, X, y, **params)`` gives a number or a dict of numbers.
    data : tuple
        X and y of all rows, as they were given.
    params : dict
        Further arguments of the scorer; those with a value a row are split.
    error_score : "raise" or float
    train_scores : bool
        Whether the training rows are scored too.
    is_default : bool
        Whether the scorer measures what `score` returns, which is quick to do for all
        members.
    """

    def __init__(
        self,
        scorer: Callable,
        data: tuple,
        params: dict[str, Any],
        error_score: Any,
        train_scores: bool,
        is_default: bool,
    ) -> None:
        self.scorer, self.data, self.params = scorer, data, params
        self.error_score, self.train_scores = error_score, train_scores
        self.is_default = is_default

    def __call__(self, split: Any, fitted: Any) -> dict[str, Any]:
        """Scores, times and errors, as scikit-learn's searches note them."""
        if fitted.error is not None and self.error_score == "raise":
            raise fitted.error
        noted: dict[str, Any] = {
            "fit_error": None,
            "fit_time": fitted.seconds,
            "score_time": 0.0,
            "n_test_samples": len(split.test),
        }
        if fitted.error is not None:
            noted["fit_error"] = "".join(traceback.format_exception(fitted.error))
            return noted
        started = time.perf_counter()
        noted["test_scores"] = self._scores(fitted.ensemble, split.test)
        noted["score_time"] = time.perf_counter() - started
        if self.train_scores:
            noted["train_scores"] = self._scores(fitted.ensemble, split.train)
        return noted

    def _scores(self, ensemble: Any, rows: np.ndarray) -> dict[str, float]:
        X, y = (_safe_indexing(part, rows) for part in self.data)
        params = _check_method_params(self.data[0], self.params, indices=rows)
        scores = _as_dict(_score(ensemble, X, y, self.scorer, params, self.error_score))
        of_members: dict[str, float] = {}
        diversity = np.nan
        if len(rows):
            predicted, diversity = _predicted_and_diversity(ensemble, X, y)
            of_members = self._member_scores(ensemble, predicted, X, y, params)
        further = {
            member_metric(metric): of_members.get(metric, np.nan) for metric in scores
        }
        further[DIVERSITY] = diversity
        # Once more, for a metric of the user's own that has such a name.
        return {**scores, **further, **scores}

    def _member_scores(
        self,
        ensemble: Any,
        predicted: np.ndarray,
        X: Any,
        y: Any,
        params: dict[str, Any],
    ) -> dict[str, float]:
        """Means over members, by metric; those that can be told."""
        if self.is_default:
            weight = params.get("sample_weight")
            if weight is not None and not np.sum(weight):
                return {}
            score = ensemble.net_.targets_.score
            of_members = [score(y, ensemble._said(each), weight) for each in predicted]
            return {"score": float(np.mean(of_members))}
        # A function of the user's own may look at anything in an estimator.
        members = (
            [_predicted(ensemble, each) for each in predicted]
            if _is_of_predictions(self.scorer)
            else ensemble.estimators_
        )
        with warnings.catch_warnings():
            # What there is to say of the data has been said of the ensemble.
            warnings.simplefilter("ignore")
            try:
                scores = [
                    _as_dict(_score(member, X, y, self.scorer, params, np.nan))
                    for member in members
                ]
            except Exception:  # of a scorer that takes nothing but an ensemble
                return {}
        return {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}


def metrics_in(noted: list[dict[str, Any]]) -> list[str]:
    """The metrics that were asked for, among what was kept."""
    names = noted[0]["test_scores"]
    return [name for name in names if member_metric(name) in names]


def only(metrics: list[str], noted: dict[str, Any]) -> dict[str, Any]:
    """What was kept, without the scores by other metrics."""
    kinds = [kind for kind in ("test_scores", "train_scores") if kind in noted]
    return noted | {kind: {m: noted[kind][m] for m in metrics} for kind in kinds}


def takes_weight(scorer: Callable) -> bool:
    """Whether a scorer can be given weights of the rows."""
    accepts = getattr(scorer, "_accept_sample_weight", None)
    if accepts is not None:
        return bool(accepts())
    return "sample_weight" in inspect.signature(scorer).parameters


def _is_of_predictions(scorer: Callable) -> bool:
    """Whether scikit-learn's own scorers are at work, which look at nothing else."""
    scorers = getattr(scorer, "_scorers", {"score": scorer}).values()
    return all(type(each).__module__.startswith("sklearn.") for each in scorers)


def fill_in_failures(noted: list[dict[str, Any]], error_score: Any) -> None:
    """Give ensembles that could not be fitted the scores of an error.

    Parameters
    ----------
    noted : list of dict
        Of all ensembles, at least one of which could be fitted.
    error_score : float
        Of the metrics that were asked for; what is known of members is NaN.
    """
    for kind in ("test_scores", "train_scores"):
        names = next((list(one[kind]) for one in noted if kind in one), [])
        asked = [name for name in names if member_metric(name) in names]
        scores = {name: error_score if name in asked else np.nan for name in names}
        for one in noted:
            if names and kind not in one:
                one[kind] = dict(scores)


def _as_dict(scores: Any) -> dict[str, float]:
    return dict(scores) if isinstance(scores, dict) else {"score": scores}


def _predicted_and_diversity(ensemble: Any, X: Any, y: Any) -> tuple[np.ndarray, float]:
    """What members predict, (n_members, n_samples, ...), and their mean diversity."""
    net = ensemble.net_
    predicted, diversities = [], []
    y, stop = check_y(ensemble, y), 0
    for natural, _ in net.natural_iter(check_X(ensemble, X)):
        start, stop = stop, stop + natural.shape[-1]
        rows = torch.as_tensor(net.targets_.encode(y[start:stop]))
        predicted.append(net.prediction_family_.predicted(natural).cpu().numpy())
        diversities.append(net.prediction_family_.diversity(natural, rows))
    return np.concatenate(predicted, axis=1), float(
        torch.cat(diversities).double().mean()
    )


def _predicted(ensemble: Any, predicted: np.ndarray) -> Any:
    """A member as scorers see it, whose predictions for the rows are known."""
    kind = _PredictedClasses if is_classifier(ensemble) else _PredictedNumbers
    return kind(ensemble, predicted)


class _Predicted(BaseEstimator):
    """A net that has made its predictions.

    Parameters
    ----------
    ensemble : joint ensemble
    predicted : ndarray of shape (n_samples, ...)
    """

    def __init__(self, ensemble: Any, predicted: np.ndarray) -> None:
        self.ensemble, self.predicted = ensemble, predicted

    def fit(self, X: Any, y: Any) -> "_Predicted":
        """Scorers take it for an estimator, which has this."""
        return self

    def predict(self, X: Any) -> np.ndarray:
        """What the ensemble would say; X is not looked at."""
        return self.ensemble._said(self.predicted)


class _PredictedNumbers(RegressorMixin, _Predicted):
    """Of a regressor."""


class _PredictedClasses(ClassifierMixin, _Predicted):
    """Of a classifier."""

    @property
    def classes_(self) -> np.ndarray:
        return self.ensemble.classes_

    def predict_proba(self, X: Any) -> np.ndarray:
        """The known probabilities; X is not looked at."""
        return self.predicted

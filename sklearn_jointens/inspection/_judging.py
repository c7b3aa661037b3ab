"""Scores of ensembles that were never made: only their natural parameters are known."""

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.metrics import check_scoring, get_scorer_names
from torch import Tensor

from sklearn_jointens._compat import StrOptions
from sklearn_jointens.inspection._reading import Reading

# What the parameter of this name may be.
SCORING = [StrOptions(set(get_scorer_names())), callable, None]


class Judge:
    """Scores ensembles by what they make of the rows of a reading.

    Parameters
    ----------
    reading : Reading
        With targets.
    scoring : str, callable or None
        A scorer as scikit-learn knows them; ``None`` is what `score` returns of the
        ensemble: accuracy of a classifier, R2 of a regressor.

    Attributes
    ----------
    name : str
        Of the score.
    """

    def __init__(self, reading: Reading, scoring: Any) -> None:
        self.reading = reading
        self._stand_in: Any = (
            _Classifier if is_classifier(reading.ensemble) else _Regressor
        )(reading)
        self.name = _name_of(scoring, self._stand_in.default_scoring)
        own = scoring is None or scoring == self._stand_in.default_scoring
        # Asked for the ensemble itself, so that a wrong name is told of that.
        self._scorer = None if own else check_scoring(reading.ensemble, scoring=scoring)

    def score(self, natural: Tensor) -> float:
        """The score of the ensemble of all members, which has to be defined.

        Parameters
        ----------
        natural : Tensor of shape (n_members, n_outputs, n_samples)
        """
        (score,) = self.scores(natural.mean(0, keepdim=True))
        if np.isnan(score):
            raise ValueError(
                f"The 'scoring' parameter of {self.reading.reader} must be a score "
                f"that is defined on X and y. Got {self.name!r} instead, which is no "
                "number there."
            )
        return float(score)

    def scores(self, natural: Tensor) -> np.ndarray:
        """Scores of several ensembles on all rows.

        Parameters
        ----------
        natural : Tensor of shape (n_ensembles, n_outputs, n_samples)
            The mean of each ensemble's members; or members by themselves.

        Returns
        -------
        ndarray of shape (n_ensembles,)
        """
        reading = self.reading
        weight = reading.sample_weight
        if self._scorer is None:
            of_rows = None if weight is None else torch.as_tensor(weight)
            chunks = [(natural, reading.encoded, of_rows)]
            return reading.targets.member_scores(reading.family, chunks)
        params = {} if weight is None else {"sample_weight": weight}
        return np.array(
            [
                self._scorer(self._stand_in.told(each), reading.X, reading.y, **params)
                for each in natural
            ]
        )


class _StandIn(BaseEstimator):
    """A fitted estimator that predicts what it was told."""

    default_scoring: str

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def told(self, natural: Tensor) -> Any:
        self.natural_ = natural
        return self

    def _predicted(self) -> np.ndarray:
        return self.reading.family.predicted(self.natural_).numpy()

    def predict(self, X: Any) -> np.ndarray:
        return self.reading.ensemble._said(self._predicted())


class _Classifier(ClassifierMixin, _StandIn):
    default_scoring = "accuracy"

    @property
    def classes_(self) -> np.ndarray:
        return self.reading.ensemble.classes_

    def predict_proba(self, X: Any) -> np.ndarray:
        return self._predicted()

    def predict_log_proba(self, X: Any) -> np.ndarray:
        return self.reading.family.log_proba(self.natural_).numpy()


class _Regressor(RegressorMixin, _StandIn):
    default_scoring = "r2"


def _name_of(scoring: Any, default: str) -> str:
    if scoring is None:
        return default
    if isinstance(scoring, str):
        return scoring
    return getattr(scoring, "__name__", "score")

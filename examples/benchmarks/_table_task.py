"""What `tables.py` asks in classification and in regression."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from examples.benchmarks._table_metrics import errors, scores
from examples.benchmarks._table_models import (
    BAGGING,
    BOOSTING,
    FOREST,
    LINEAR,
    OURS,
    PYTABKIT,
    REALMLP,
    REALMLPS,
    SKLEARN,
    TABM,
    UNSMOOTHED,
    Model,
)


class Metric(NamedTuple):
    """How a metric is written.

    Attributes
    ----------
    name : str
    form : callable
        Writes one value.
    lower_is_better : bool
    place : int or None
        The worst place by mean rank, among scikit-learn's models, that our ensemble is
        to have. ``None`` is that models are not ranked by this metric.
    note : str
        On how it is computed.
    """

    name: str
    form: Callable[[float], str] = "{:.3f}".format
    lower_is_better: bool = False
    place: int | None = None
    note: str = ""

    def text(self, value: float) -> str:
        """A value in words, nothing for NaN."""
        return "" if np.isnan(value) else self.form(value)


@dataclass(frozen=True)
class Task:
    """One of the two tasks.

    Parameters
    ----------
    name : {"classification", "regression"}
    suffix : str
        What names of its files have at their end.
    title : str
        Of the picture of ranks.
    metrics : dict of str to Metric
        By their column in the file.
    main : str
        The metric that models are compared by.
    wins : dict of str to int
        At least on so many percent of the tables is our ensemble to be better, by
        rival.
    ratios : dict of str to (float, float)
        At most so much of the main metric (median of ratios) and so much time, by
        rival.
    """

    name: str
    suffix: str
    title: str
    metrics: dict[str, Metric]
    main: str
    wins: dict[str, int]
    ratios: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def linear(self) -> str:
        """Name of the model that everything has to be better than."""
        return LINEAR[self.name]

    @property
    def sklearn(self) -> list[str]:
        """Names of scikit-learn's models."""
        return list(SKLEARN[self.name])

    @property
    def pytabkit(self) -> list[str]:
        """Names of pytabkit's models."""
        return list(PYTABKIT[self.name])

    @property
    def models(self) -> dict[str, Model]:
        """All models, made of a seed and a number of jobs."""
        every = OURS | SKLEARN[self.name] | PYTABKIT[self.name]
        return {name: partial(make, self.name) for name, make in every.items()}

    def predict(self, model: Any, X: Any) -> np.ndarray:
        """What the metrics are of: probabilities, or numbers."""
        is_of_classes = self.name == "classification"
        return (model.predict_proba if is_of_classes else model.predict)(X)

    def scores(
        self, model: Any, y: np.ndarray, predicted: np.ndarray, every_y: np.ndarray
    ) -> dict[str, float]:
        """All metrics of one prediction; `every_y` is the target of the whole table."""
        if self.name == "classification":
            return scores(y, predicted, model.classes_, np.unique(every_y))
        return errors(y, predicted)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _of_any_scale(value: float) -> str:
    text = np.format_float_positional(value, 4, unique=False, fractional=False)
    return text.removesuffix(".")


_LOG_LOSS = Metric("log-loss", "{:.4f}".format, lower_is_better=True, place=1)
_REALMLPS, _ALONE = (1.02, 1 / 5), (1.0, 1 / 4)

TASKS = {
    "classification": Task(
        name="classification",
        suffix="",
        title="Who predicts the best probabilities?",
        metrics={
            "accuracy": Metric("accuracy", _percent, place=2),
            "log_loss": _LOG_LOSS,
            "roc_auc": Metric("AUC", note="one against the rest"),
            "ece": Metric("ECE", lower_is_better=True, note="15 bins"),
        },
        main="log_loss",
        wins={BAGGING: 90, FOREST: 85, BOOSTING: 65},
        ratios={
            REALMLPS: _REALMLPS,
            f"{REALMLPS}{UNSMOOTHED}": _REALMLPS,
            f"{REALMLPS} folds{UNSMOOTHED}": _REALMLPS,
            REALMLP: _ALONE,
            f"{REALMLP}{UNSMOOTHED}": _ALONE,
            TABM: _ALONE,
        },
    ),
    "regression": Task(
        name="regression",
        suffix="_regression",
        title="Who predicts numbers best?",
        metrics={
            "rmse": Metric("RMSE", _of_any_scale, lower_is_better=True, place=1),
            "r2": Metric("R2"),
        },
        main="rmse",
        wins={BAGGING: 90, FOREST: 75, BOOSTING: 60},
    ),
}

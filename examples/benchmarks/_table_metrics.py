"""How good predictions are: metrics that leave nothing to the model."""

from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

# No probability counts as less: one sure mistake must not decide a mean.
SMALLEST = 1e-7
_N_BINS = 15


def scores(
    y: np.ndarray, predicted: Any, fitted_classes: Any, classes: np.ndarray
) -> dict[str, float]:
    """All metrics of one prediction.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Labels.
    predicted : array-like of shape (n_samples, n_fitted_classes)
        Probabilities.
    fitted_classes : array-like of shape (n_fitted_classes,)
        Labels of the columns of `predicted`.
    classes : ndarray of shape (n_classes,)
        All labels of the table, sorted. The model may not have seen each of them.

    Returns
    -------
    dict of str to float
        `accuracy`; `log_loss` of probabilities that are at least 1e-7; `roc_auc`, one
        class against the rest, mean over classes, NaN where no row has a class; `ece`,
        the expected calibration error.

    Raises
    ------
    ValueError
        A probability is not finite.
    """
    probabilities = _over_all_classes(predicted, fitted_classes, classes)
    top = probabilities.argmax(axis=1)
    clipped = _normalised(probabilities.clip(SMALLEST))
    return {
        "accuracy": accuracy_score(y, classes[top]),
        "log_loss": log_loss(y, clipped, labels=classes),
        "roc_auc": _roc_auc(y, probabilities, classes),
        "ece": calibration_error(probabilities.max(axis=1), classes[top] == y),
    }


def errors(y: np.ndarray, predicted: Any) -> dict[str, float]:
    """All metrics of a prediction of numbers.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
    predicted : array-like of shape (n_samples,)

    Returns
    -------
    dict of str to float
        `rmse`, in units of `y`, and `r2`.

    Raises
    ------
    ValueError
        A prediction is not finite.
    """
    return {
        "rmse": float(root_mean_squared_error(y, predicted)),
        "r2": float(r2_score(y, predicted)),
    }


def calibration_error(confidence: np.ndarray, is_right: np.ndarray) -> float:
    """Expected calibration error of the most probable label, of 15 bins of one width.

    Parameters
    ----------
    confidence : ndarray of shape (n_samples,)
        Probability of the label that is predicted.
    is_right : ndarray of shape (n_samples,)
        Whether the label is the true one.

    Returns
    -------
    float
        Mean over the rows of how far, in a row's bin, accuracy is from confidence.
    """
    bins = np.minimum((_N_BINS * confidence).astype(int), _N_BINS - 1)
    gaps = np.bincount(bins, is_right - confidence)
    return float(np.abs(gaps).sum() / len(confidence))


def _over_all_classes(predicted: Any, fitted_classes: Any, classes: Any) -> np.ndarray:
    """Probabilities with a column for every class, 0 for those not seen."""
    predicted = np.asarray(predicted, dtype=np.float64)
    if not np.isfinite(predicted).all():
        raise ValueError("Probabilities must be finite. Got NaN or infinity instead.")
    probabilities = np.zeros((len(predicted), len(classes)))
    probabilities[:, np.searchsorted(classes, fitted_classes)] = predicted
    return _normalised(probabilities)


def _normalised(probabilities: np.ndarray) -> np.ndarray:
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _roc_auc(y: np.ndarray, probabilities: np.ndarray, classes: np.ndarray) -> float:
    if len(np.unique(y)) < len(classes):
        return np.nan
    if len(classes) == 2:
        return roc_auc_score(y == classes[1], probabilities[:, 1])
    return roc_auc_score(y, probabilities, multi_class="ovr", labels=classes)

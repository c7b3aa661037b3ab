"""`calibration`: how often a classifier is right where it says so."""

from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils import Bunch, check_consistent_length, column_or_1d

from sklearn_jointens._checks import as_numpy, check_sample_weight
from sklearn_jointens._compat import Interval, validate_params


@validate_params(
    {"n_bins": [Interval(Integral, 1, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def calibration(
    estimator: Any, X: Any, y: Any, *, n_bins: int = 15, sample_weight: Any = None
) -> Bunch:
    """Whether the probabilities of a classifier are shares of rows.

    The probability of the class that is predicted (the confidence) is compared with the
    share of rows where it is right (the accuracy), in bins of equal width [1]_. Of
    several labels, all their probabilities are pooled: confidence is then the
    probability of a label, and accuracy the share of rows that have it.

    One temperature for the whole ensemble, fitted on rows that no member has learned
    from, is what scikit-learn (1.8 or later) makes of it::

        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.frozen import FrozenEstimator

        CalibratedClassifierCV(FrozenEstimator(clf), method="temperature").fit(X, y)

    Its ``softmax(log(p) / T)`` is the softmax of the members' mean logits divided by T,
    for p is their softmax; T has the least loss on these rows, and no prediction
    changes. (Probabilities below 1e-12, as of members that know their rows by heart,
    are 1e-12 to scikit-learn. With `sample_weight` it warns that they weigh the
    calibration alone, which is what they are for here.)

    Parameters
    ----------
    estimator : classifier
        Fitted: an ensemble, one of its members, a pipeline or search; or any other with
        `predict_proba`, such as one that is calibrated, to compare with.
    X : array-like or sparse matrix of shape (n_samples, ...)
        Rows that no member has learned from.
    y : array-like of shape (n_samples,) or (n_samples, n_labels)
        Their classes or labels.
    n_bins : int, default=15
        Number of bins between 0 and 1, each with its upper end.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    calibration : Bunch
        expected_calibration_error : float
            Mean distance of confidence and accuracy over bins, weighted by their rows.
        confidence : ndarray of shape (n_bins,)
            Mean of each bin; NaN where it is empty.
        accuracy : ndarray of shape (n_bins,)
            The same.
        n_rows : ndarray of shape (n_bins,), dtype int64
            Of each bin; of several labels, each row counts once for each.

    Raises
    ------
    ValueError
        A parameter is not valid.
    TypeError
        `estimator` is no classifier.

    See Also
    --------
    sklearn.calibration.CalibratedClassifierCV : Makes probabilities of them.
    sklearn.calibration.CalibrationDisplay : Draws the curve of two classes.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger. "On Calibration of Modern Neural
       Networks", ICML 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
    >>> from sklearn_jointens.inspection import calibration
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = train_test_split(X / 16, y, random_state=0)
    >>> clf = JointEnsembleClassifier(mlp_classifier((8,)), lam=0.9, random_state=0)
    >>> result = calibration(clf.fit(X, y), X_test, y_test)
    >>> print(f"{result.expected_calibration_error:.2f}")
    0.04
    >>> int(result.n_rows.sum())
    450
    """
    if not is_classifier(estimator):
        raise TypeError(
            "The 'estimator' parameter of calibration must be a classifier. "
            f"Got {estimator!r} instead."
        )
    proba = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    confidence, is_hit = _confidence(estimator, X, as_numpy(y), proba)
    weight = check_sample_weight(sample_weight, proba)
    weight = np.ones(len(proba)) if weight is None else weight
    weight = np.repeat(weight, confidence.size // len(confidence))
    confidence, is_hit = confidence.ravel(), is_hit.ravel()

    bins = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], confidence)
    terms = (np.ones_like(weight), weight, weight * confidence, weight * is_hit)
    n_rows, weight, confidence, hits = (
        np.bincount(bins, values, n_bins) for values in terms
    )
    with np.errstate(invalid="ignore"):  # of empty bins
        means = {"confidence": confidence / weight, "accuracy": hits / weight}
    return Bunch(
        expected_calibration_error=float(abs(confidence - hits).sum() / weight.sum()),
        **means,
        n_rows=n_rows.astype(np.int64),
    )


def _confidence(
    estimator: Any, X: Any, y: Any, proba: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n_rows,) or (n_rows, n_labels), and whether it is so."""
    y = y.toarray() if sparse.issparse(y) else np.asarray(y)
    check_consistent_length(proba, y)
    said = np.asarray(estimator.predict(X))
    if said.ndim == 2:
        _check_values(y, np.arange(2), proba.shape)
        return proba, y == 1
    y = column_or_1d(y, warn=True)
    _check_values(y, estimator.classes_, said.shape)
    # Not the most probable class: a classifier may have a threshold of its own.
    places = np.searchsorted(estimator.classes_, said)
    chosen = np.take_along_axis(proba, places[:, None], axis=1)[:, 0]
    return chosen, said == y


def _check_values(y: np.ndarray, known: np.ndarray, shape: tuple[int, ...]) -> None:
    unknown = sorted(set(y.ravel().tolist()) - set(known.tolist()), key=str)
    if y.shape != shape or unknown:
        raise ValueError(
            f"The 'y' parameter of calibration must have the shape {shape} and hold "
            f"{known.tolist()}. Got the shape {y.shape} and {unknown} besides."
        )

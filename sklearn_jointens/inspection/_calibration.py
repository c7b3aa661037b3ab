"""`calibration`: how often an ensemble is right where it says so."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import Bunch

from sklearn_jointens._compat import Interval, validate_params
from sklearn_jointens.inspection._reading import Reading, unwrapped


@validate_params(
    {"n_bins": [Interval(Integral, 1, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def calibration(
    estimator: Any, X: Any, y: Any, *, n_bins: int = 15, sample_weight: Any = None
) -> Bunch:
    """Whether the probabilities of the ensemble are shares of rows.

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
    estimator : object
        A fitted ensemble of classes or labels; a search that has refitted one; or a
        pipeline that ends in one of them.
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
        There is no classifier of this package in `estimator`.

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
    >>> bool(0 <= result.expected_calibration_error < 0.2)
    True
    >>> int(result.n_rows.sum())
    450
    """
    (ensemble,) = unwrapped("calibration", estimator)
    if not is_classifier(ensemble):
        raise TypeError(
            "The 'estimator' parameter of calibration must be a classifier. "
            f"Got {estimator!r} instead."
        )
    reading = Reading("calibration", estimator, X, y, sample_weight)
    of_rows = reading.weights()
    # Rows, their weight, and the weighted sums of confidence and hits, by bin.
    sums = np.zeros((4, n_bins))
    for rows, natural in reading.chunks():
        confidence, is_hit = _confidence(reading, rows, natural)
        weight = np.repeat(of_rows[rows], confidence.size // len(confidence))
        confidence, is_hit = confidence.ravel(), is_hit.ravel()
        bins = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], confidence)
        terms = (np.ones_like(weight), weight, weight * confidence, weight * is_hit)
        sums += [np.bincount(bins, values, n_bins) for values in terms]
    n_rows, weight, confidence, hits = sums
    with np.errstate(invalid="ignore"):  # of empty bins
        means = {"confidence": confidence / weight, "accuracy": hits / weight}
    return Bunch(
        expected_calibration_error=float(abs(confidence - hits).sum() / weight.sum()),
        **means,
        n_rows=n_rows.astype(np.int64),
    )


def _confidence(reading: Reading, rows: slice, natural: Any) -> tuple[Any, Any]:
    """Probabilities (n_rows,) or (n_rows, n_labels), and whether it is so."""
    assert reading.encoded is not None
    proba = reading.family.predicted(natural.mean(0)).numpy()
    y = reading.encoded[rows].numpy()
    if y.ndim == 2:
        return proba.astype(np.float64), y == 1
    decided = reading.family.decide(proba)
    chosen = np.take_along_axis(proba, decided[:, None], axis=1)[:, 0]
    return chosen.astype(np.float64), decided == y

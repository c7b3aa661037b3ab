"""`risk_coverage_curve`: what the most certain rows lose."""

from typing import Any

import numpy as np
from sklearn.utils import Bunch, check_array, check_consistent_length


def risk_coverage_curve(losses: Any, uncertainty: Any) -> Bunch:
    """Mean loss of the most certain rows, against their share of all rows.

    A measure of uncertainty is good where few of the rows that it is sure of are lost
    [1]_. Of rows that are equally uncertain, any may come first: the risk is the
    expected one under a random order.

    Parameters
    ----------
    losses : array-like of shape (n_samples,)
        Whether each row is wrong, or what it loses.
    uncertainty : array-like of shape (n_samples,)
        Higher is less certain.

    Returns
    -------
    curve : Bunch
        coverage : ndarray of shape (n_samples,)
            Shares of rows, from 1 / n_samples to 1.
        risk : ndarray of shape (n_samples,)
            Mean loss of so many of the most certain rows.
        area : float
            Mean of `risk`: the area under the curve (AURC), of which less is better.

    Raises
    ------
    ValueError
        The arrays hold other than finite numbers, or are not of one length.

    See Also
    --------
    RiskCoverageDisplay : Draws it.

    References
    ----------
    .. [1] Y. Geifman, R. El-Yaniv. "Selective Classification for Deep Neural Networks",
       NeurIPS 2017.

    Examples
    --------
    >>> from sklearn_jointens.inspection import risk_coverage_curve
    >>> curve = risk_coverage_curve([0, 1, 0, 1], uncertainty=[0.1, 0.2, 0.2, 0.9])
    >>> curve.risk.round(2)
    array([0.  , 0.25, 0.33, 0.5 ])
    """
    losses, uncertainty = (
        _numbers(name, values)
        for name, values in (("losses", losses), ("uncertainty", uncertainty))
    )
    check_consistent_length(losses, uncertainty)
    _, ranks, sizes = np.unique(uncertainty, return_inverse=True, return_counts=True)
    expected = (np.bincount(ranks, losses) / sizes)[np.sort(ranks)]
    n_covered = np.arange(1, len(losses) + 1)
    risk = expected.cumsum() / n_covered
    return Bunch(coverage=n_covered / len(losses), risk=risk, area=float(risk.mean()))


def _numbers(name: str, values: Any) -> np.ndarray:
    values = check_array(
        values, ensure_2d=False, allow_nd=True, dtype=np.float64, input_name=name
    )
    if values.ndim != 1:
        raise ValueError(
            f"The '{name}' parameter of risk_coverage_curve must have the shape "
            f"(n_samples,). Got {values.shape} instead."
        )
    return values

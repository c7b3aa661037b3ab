"""Learning from a table how its rows are encoded."""

from numbers import Integral
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sklearn_jointens.nn.layers._encoding import TabularEncoding
from sklearn_jointens.nn.networks._arguments import is_number

# Numbers whose quartiles lie closer together are constant to the encoding: one over
# their distance would not be finite.
_CLOSE = 1e-300


def tabular_encoding(
    X: Any,
    categorical: Any = None,
    sample_weight: Any = None,
    *,
    n_bins: int = 16,
    dtype: torch.dtype | None = None,
) -> TabularEncoding:
    """Learn the encoding of a table's rows.

    Numbers are centred by their median and divided by the distance of their quartiles
    (where that is 0, by half of their range), so that outliers and units do not matter.
    Their bins reach from quantile to quantile; a value that is more frequent than a bin
    counts as one bin, which leaves the other bins to the other values. Columns of one
    value are left out.

    A sparse matrix is not made dense: its columns are divided by their largest absolute
    values, and have no bins.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_samples, n_columns)
        Numbers, codes of categories, and NaN where a value is missing.
    categorical : array-like of shape (n_columns,), dtype bool, default=None
        Which columns hold codes of categories; ``None`` is none of them.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in the quantiles; rows of weight 0 are not looked at.
    n_bins : int, default=16
        Bins of a column of numbers, at most; 0 is none.
    dtype : torch.dtype, optional
        Of the features. By default torch's default.

    Returns
    -------
    TabularEncoding

    Raises
    ------
    ValueError
        When `n_bins` is no int of at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_jointens.nn import tabular_encoding
    >>> X = np.array([[0.5, 0.0], [1e9, 2.0], [0.7, 0.0], [np.nan, 1.0]])
    >>> tabular_encoding(X, categorical=[False, True], n_bins=2)
    TabularEncoding(numbers=1, bins=2, categories=3, missing=1)
    """
    if not is_number(n_bins, Integral) or n_bins < 0:
        raise ValueError(
            "The 'n_bins' parameter of tabular_encoding must be an int of at least 0. "
            f"Got {n_bins!r} instead."
        )
    dtype = torch.get_default_dtype() if dtype is None else dtype
    weight = None
    if sample_weight is not None:
        weight = np.asarray(sample_weight, dtype=np.float64)
        X, weight = X[weight > 0], weight[weight > 0]
    if sparse.issparse(X):
        return _of_sparse(X, dtype)
    X = np.asarray(X)
    is_category = np.zeros(X.shape[1], dtype=bool)
    if categorical is not None:
        is_category[:] = categorical
    numbers, categories, missing = [], [], []
    for column in range(X.shape[1]):
        values = X[:, column]
        known = ~np.isnan(values)
        if 0 < known.sum() < len(known):
            missing.append(column)
        of_known = None if weight is None else weight[known]
        if is_category[column]:
            codes = np.unique(values[known])
            if len(codes) > 1 or (len(codes) and not known.all()):
                categories.append((column, codes))
        elif (number := _Number.of(values[known], of_known, n_bins)) is not None:
            numbers.append((column, number))
    if not (numbers or categories):
        numbers.append((0, _Number(0.0, 0.0, np.zeros(0))))
    return _assemble(numbers, categories, missing, X.dtype, dtype)


class _Number:
    """What is learned of a column of numbers.

    Parameters
    ----------
    center, scale : float
    edges : ndarray of shape (n_bins + 1,) or (0,)
        Of the bins, in scaled numbers.
    """

    def __init__(self, center: float, scale: float, edges: np.ndarray) -> None:
        self.center, self.scale, self.edges = center, scale, edges

    @classmethod
    def of(
        cls, values: np.ndarray, weight: np.ndarray | None, n_bins: int
    ) -> "_Number | None":
        """Learn from known values; None where they are all alike."""
        if not len(values):
            return None
        distinct, counts = _distinct(values.astype(np.float64), weight)
        low, center, high = _quantiles(distinct, counts, np.array([0.25, 0.5, 0.75]))
        # By halves: the largest numbers are further apart than numbers reach.
        half = high / 2 - low / 2
        if half < _CLOSE:
            half = distinct[-1] / 4 - distinct[0] / 4
        if half < _CLOSE:
            return None
        edges = np.zeros(0)
        if n_bins:
            at = np.linspace(0, 1, n_bins + 1)
            edges = np.unique(_quantiles(distinct, _capped(counts, n_bins), at))
            edges = (edges / 2 - center / 2) / half
        # A single bin says what the number itself says.
        return cls(center, 0.5 / half, edges if len(edges) > 2 else np.zeros(0))


def _distinct(
    values: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Values in order, each once, and how often each counts."""
    if weight is None:
        return np.unique(values, return_counts=True)
    distinct, inverse = np.unique(values, return_inverse=True)
    return distinct, np.bincount(inverse, weights=weight)


def _capped(counts: np.ndarray, n_bins: int) -> np.ndarray:
    """Counts of which none is more than a bin's share of their sum."""
    falling = np.sort(counts)[::-1]
    for n_frequent in range(min(n_bins, len(counts))):
        cap = falling[n_frequent:].sum() / (n_bins - n_frequent)
        if falling[n_frequent] <= cap:
            return np.minimum(counts, cap)
    return np.ones(len(counts))  # a bin for each


def _quantiles(values: np.ndarray, counts: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Quantiles of sorted values that count so often: values themselves."""
    reached = np.cumsum(counts, dtype=np.float64)
    # Weights that are whole numbers give what repeated rows give, in spite of rounding.
    wanted = at * reached[-1] * (1 - 1e-12)
    return values[np.searchsorted(reached, wanted)]


def _of_sparse(X: Any, dtype: torch.dtype) -> TabularEncoding:
    largest = np.asarray(abs(X).max(axis=0).todense(), dtype=np.float64).ravel()
    is_missing = np.isnan(largest)
    if is_missing.any():
        largest = np.asarray(abs(X).nanmax(axis=0).todense(), np.float64).ravel()
    columns = np.flatnonzero(largest > _CLOSE).tolist()
    none = np.zeros(0)
    numbers = [(column, _Number(0.0, 1 / largest[column], none)) for column in columns]
    if not numbers:
        numbers = [(0, _Number(0.0, 0.0, none))]
    missing = np.flatnonzero(is_missing).tolist()
    return _assemble(numbers, [], missing, X.dtype, dtype)


def _assemble(
    numbers: list[tuple[int, _Number]],
    categories: list[tuple[int, np.ndarray]],
    missing: list[int],
    dtype_of_X: np.dtype,
    dtype: torch.dtype,
) -> TabularEncoding:
    exact = torch.float32 if np.can_cast(dtype_of_X, np.float32) else torch.float64
    edges = [torch.as_tensor(number.edges).to(dtype) for _, number in numbers]
    edges = [each.unique() for each in edges]
    widths = [each.diff() for each in edges]
    return TabularEncoding(
        number_columns=_whole([column for column, _ in numbers]),
        center=torch.tensor([number.center for _, number in numbers], dtype=exact),
        scale=torch.tensor([number.scale for _, number in numbers], dtype=exact),
        bin_numbers=_whole([i for i, w in enumerate(widths) for _ in w]),
        bin_starts=torch.cat(
            [each[: len(w)] for each, w in zip(edges, widths, strict=True)]
            or [torch.zeros(0)]
        ).to(dtype),
        bin_slopes=torch.cat([1 / w for w in widths] or [torch.zeros(0)]).to(dtype),
        category_columns=_whole([c for c, codes in categories for _ in codes]),
        category_codes=torch.as_tensor(
            np.concatenate([codes for _, codes in categories] or [np.zeros(0)])
        ).to(exact),
        missing_columns=_whole(missing),
    )


def _whole(numbers: list[int]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64)

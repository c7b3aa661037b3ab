"""Frames with categories as matrices of numbers."""

from typing import Any

import numpy as np
from sklearn.preprocessing import OrdinalEncoder
from sklearn.utils import check_array

from sklearn_jointens._compat import _safe_indexing

# Beginnings of what the dtypes of categories and text are called, in pandas and polars.
_CATEGORIES = ("cat", "dict", "enum", "str", "utf8", "large_string")
_TIMES = ("date", "time", "duration", "period")


class ColumnCodes:
    """Which columns of a frame are categories, and the code of each category.

    Categories are what has a dtype of categories or text, and objects that are not all
    numbers. Their codes are their places in alphabetical order; a category that was not
    there is -1, and a missing one NaN.

    Parameters
    ----------
    X : frame of shape (n_samples, n_columns)
        To learn the categories from.

    Attributes
    ----------
    is_category : ndarray of shape (n_columns,), dtype bool
    encoder : OrdinalEncoder
        Of the columns that are categories.
    """

    def __init__(self, X: Any) -> None:
        self.names = [str(name) for name in X.columns]
        dtypes = [str(dtype).lower() for dtype in X.dtypes]
        for name, dtype in zip(self.names, dtypes, strict=True):
            if dtype.startswith(_TIMES):
                raise ValueError(
                    "The columns of 'X' must be numbers, booleans, categories or text; "
                    f"make numbers of times. Got {dtype} in the column {name!r} "
                    "instead."
                )
        self.is_category = np.array(
            [_is_category(X, i, dtype) for i, dtype in enumerate(dtypes)], dtype=bool
        )
        self.encoder = _encoder()
        if self.is_category.any():
            self.encoder.fit(self.categories(X))

    def state(self) -> dict[str, Any]:
        """All that is known, as lists of plain values; None is a missing one."""
        known = getattr(self.encoder, "categories_", [])
        return {
            "names": self.names,
            "is_category": self.is_category.tolist(),
            "categories": [[None if v != v else v for v in one] for one in known],
        }

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "ColumnCodes":
        """What `state` was taken of."""
        codes = cls.__new__(cls)
        codes.names = list(state["names"])
        codes.is_category = np.array(state["is_category"], dtype=bool)
        codes.encoder = _encoder()
        if codes.is_category.any():
            known = [
                np.array([np.nan if v is None else v for v in one], dtype=object)
                for one in state["categories"]
            ]
            codes.encoder.set_params(categories=known)
            codes.encoder.fit(np.array([[one[0] for one in known]], dtype=object))
        return codes

    def transform(self, X: Any) -> np.ndarray:
        """Numbers and codes of rows.

        Parameters
        ----------
        X : frame or array of shape (n_samples, n_columns)
            Columns in the order of those that were learned from.

        Returns
        -------
        ndarray of shape (n_samples, n_columns), floating dtype
        """
        if is_frame(X) and [str(name) for name in X.columns] != self.names:
            raise ValueError(
                f"The columns of 'X' must be those seen in fit, {self.names}. Got "
                f"{[str(name) for name in X.columns]} instead."
            )
        numbers = None
        if not self.is_category.all():
            numbers = check_array(
                _plain_numbers(_columns(X, np.flatnonzero(~self.is_category))),
                dtype="numeric",
                ensure_all_finite="allow-nan",
            )
        is_single = numbers is not None and numbers.dtype == np.float32
        out = np.empty(X.shape, dtype=np.float32 if is_single else np.float64)
        if numbers is not None:
            out[:, ~self.is_category] = numbers
        if self.is_category.any():
            out[:, self.is_category] = self.encoder.transform(self.categories(X))
        return out

    def categories(self, X: Any) -> np.ndarray:
        """The columns that are categories, as objects; what is missing is NaN."""
        columns = []
        for i in np.flatnonzero(self.is_category):
            columns.append(_objects(_columns(X, i)))
        return np.stack(columns, axis=1)


def _encoder() -> OrdinalEncoder:
    return OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        encoded_missing_value=np.nan,
    )


def is_frame(X: Any) -> bool:
    """Whether X has columns, each of a dtype of its own.

    Parameters
    ----------
    X : object

    Returns
    -------
    bool
    """
    return hasattr(X, "columns") and hasattr(X, "dtypes") and len(X.shape) == 2


def _columns(X: Any, which: Any) -> Any:
    """Columns by their places."""
    return X.iloc[:, which] if hasattr(X, "iloc") else _safe_indexing(X, which, axis=1)


def _plain_numbers(X: Any) -> Any:
    """Columns of numbers, the gaps in objects as NaN."""
    if not any(str(dtype) == "object" for dtype in getattr(X, "dtypes", ())):
        return X
    return np.stack([_objects(_columns(X, i)) for i in range(X.shape[1])], axis=1)


def _objects(column: Any) -> np.ndarray:
    """Values of a column as objects; what is missing is NaN."""
    values = np.array(column, dtype=object)
    if hasattr(column, "isna"):
        is_missing = np.asarray(column.isna(), dtype=bool)
    else:
        is_missing = np.array([v is None or v != v for v in values], dtype=bool)
    values[is_missing] = np.nan
    return values


def _is_category(X: Any, column: int, dtype: str) -> bool:
    if dtype != "object":
        return dtype.startswith(_CATEGORIES)
    values = _objects(_columns(X, column))
    kinds = {type(value).__name__ for value in values if value == value}
    if "str" in kinds:
        if len(kinds) > 1:
            raise ValueError(
                "A column of objects of 'X' must hold text alone, or numbers alone. "
                f"Got {sorted(kinds)} in the column "
                f"{str(X.columns[column])!r} instead."
            )
        return True
    try:
        values.astype(np.float64)
    except (TypeError, ValueError):
        return True
    return False

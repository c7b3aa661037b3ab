"""What an ensemble checks of its data, before any work."""

from typing import Any

import numpy as np
import torch
from sklearn.utils import (
    check_array,
    column_or_1d,
    compute_sample_weight,
    get_tags,
)
from sklearn.utils import check_X_y as sklearn_check_X_y
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_jointens._compat import _check_sample_weight
from sklearn_jointens.training import ColumnCodes, is_frame


def _input_checks(ensemble: Any) -> dict[str, Any]:
    return {
        "accept_sparse": "csr",
        "dtype": "numeric",
        "allow_nd": True,
        "ensure_all_finite": "allow-nan" if ensemble._allows_nan else True,
    }


def as_numpy(data: Any) -> Any:
    """A torch tensor as an array; anything else as it is."""
    if not isinstance(data, torch.Tensor):
        return data
    data = data.detach().cpu()
    return (data.float() if data.dtype == torch.bfloat16 else data).numpy()


def check_X_y(ensemble: Any, X: Any, y: Any, reset: bool) -> tuple[Any, np.ndarray]:
    """X as an array or CSR matrix of finite numbers, y as an array of class labels."""
    if y is None:
        raise ValueError(
            f"{type(ensemble).__name__} requires y to be passed, but the target y is "
            "None."
        )
    X, y = as_numpy(X), as_numpy(y)
    if reset:
        tags = get_tags(ensemble).input_tags
        ensemble._allows_nan = tags.allow_nan
        ensemble._columns = ColumnCodes(X) if tags.categorical and is_frame(X) else None
    checks = _input_checks(ensemble)
    if ensemble._columns is None:
        X, y = validate_data(ensemble, X, y, reset=reset, **checks)
    else:
        validate_data(ensemble, X, skip_check_array=True, reset=reset)
        X, y = sklearn_check_X_y(ensemble._columns.transform(X), y, **checks)
    _check_row_shape(ensemble, X, reset)
    check_classification_targets(y)
    return X, column_or_1d(y)


def check_X(ensemble: Any, X: Any) -> Any:
    """X for a fitted ensemble, as `check_X_y` gives it."""
    check_is_fitted(ensemble)
    X, checks = as_numpy(X), _input_checks(ensemble)
    if ensemble._columns is None:
        X = validate_data(ensemble, X, reset=False, **checks)
    else:
        validate_data(ensemble, X, skip_check_array=True, reset=False)
        X = check_array(ensemble._columns.transform(X), **checks)
    _check_row_shape(ensemble, X, reset=False)
    return X


def _check_row_shape(ensemble: Any, X: Any, reset: bool) -> None:
    if reset:
        ensemble._row_shape = X.shape[1:]
    elif X.shape[1:] != ensemble._row_shape:
        raise ValueError(
            f"X has rows of shape {X.shape[1:]}, but {type(ensemble).__name__} is "
            f"expecting rows of shape {ensemble._row_shape}."
        )


def check_labels(ensemble: Any, y: np.ndarray, labels: np.ndarray) -> None:
    """Raise unless there are two classes and y holds no other."""
    owner = type(ensemble).__name__
    if len(labels) < 2:
        raise ValueError(
            f"The 'y' parameter of {owner} must hold at least 2 classes. Got "
            f"{len(labels)} class instead: {labels.tolist()}."
        )
    unknown = np.setdiff1d(y, labels)
    if len(unknown):
        raise ValueError(
            f"The 'y' parameter of {owner} must hold the classes {labels.tolist()}. "
            f"Got {unknown.tolist()} besides."
        )


def check_partial_fit_classes(ensemble: Any, classes: Any) -> np.ndarray:
    """All labels there will be: those of the first call, or of an earlier one."""
    owner = f"{type(ensemble).__name__}.partial_fit"
    known = getattr(ensemble, "classes_", None)
    if classes is None:
        if known is None:
            raise ValueError(
                f"The 'classes' parameter of {owner} must hold all labels in the first "
                "call. Got None instead."
            )
        return known
    classes = np.unique(as_numpy(classes))
    if known is not None and not np.array_equal(classes, known):
        raise ValueError(
            f"The 'classes' parameter of {owner} must be as in the first call, "
            f"{known.tolist()}. Got {classes.tolist()} instead."
        )
    return classes


def check_weight(
    ensemble: Any, sample_weight: Any, X: Any, y: np.ndarray
) -> np.ndarray | None:
    """Row weights of `sample_weight` and `class_weight`; None where all are 1."""
    weight = None
    if sample_weight is not None:
        weight = _check_sample_weight(
            as_numpy(sample_weight),
            X,
            dtype=np.float64,
            ensure_non_negative=True,
        )
    if ensemble.class_weight is not None:
        by_class = compute_sample_weight(ensemble.class_weight, y)
        weight = by_class if weight is None else weight * by_class
    return weight


def check_weighted_classes(
    ensemble: Any, y: np.ndarray, weight: np.ndarray | None
) -> None:
    """Raise unless the weights leave two classes to tell apart."""
    if weight is None:
        return
    seen = np.unique(y[weight > 0])
    if len(seen) < 2:
        raise ValueError(
            "The 'sample_weight' and 'class_weight' parameters of "
            f"{type(ensemble).__name__} must leave rows of at least 2 classes with a "
            f"weight above zero. Got {len(seen)} class instead: {seen.tolist()}."
        )

"""What an ensemble checks of its data, before any work."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import (
    check_array,
    column_or_1d,
    compute_sample_weight,
    get_tags,
)
from sklearn.utils import check_X_y as sklearn_check_X_y
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_jointens._compat import _check_sample_weight
from sklearn_jointens.training import (
    ColumnCodes,
    Targets,
    class_targets,
    is_frame,
    number_family,
    targets_of,
)
from sklearn_jointens.training._batches import as_tensor
from sklearn_jointens.training._module_arguments import InputDtypes


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


def as_one_array(owner: str, X: Any) -> Any:
    """X as `as_numpy` gives it; raise when it is several inputs, or a data set."""
    parts = X if isinstance(X, list | tuple) else []
    shapes = {tuple(part.shape) for part in parts if hasattr(part, "shape")}
    if isinstance(X, Mapping):
        got = f"a {type(X).__name__} with the keys {list(X)}"
    elif isinstance(X, torch.utils.data.Dataset):
        got = f"the data set {type(X).__name__}"
    elif len(shapes) > 1:
        got = f"a {type(X).__name__} of arrays of the shapes {sorted(shapes)}"
    else:
        return as_numpy(X)
    raise TypeError(
        f"The 'X' parameter of {owner} must be one array, frame or matrix with a row a "
        "sample: put several inputs beside each other in one array, and part them in "
        f"the module's forward. Got {got} instead."
    )


def check_X_y(ensemble: Any, X: Any, y: Any, reset: bool) -> tuple[Any, np.ndarray]:
    """X as an array or CSR matrix of finite numbers, and y as an array of targets."""
    owner = type(ensemble).__name__
    X, y = as_one_array(owner, X), as_numpy(y)
    if y is None:
        raise ValueError(f"{owner} requires y to be passed, but the target y is None.")
    if reset:
        tags = get_tags(ensemble).input_tags
        ensemble._allows_nan = tags.allow_nan
        ensemble._columns = ColumnCodes(X) if tags.categorical and is_frame(X) else None
    checks = {**_input_checks(ensemble), "multi_output": _has_columns(owner, y)}
    if ensemble._columns is None:
        X, y = validate_data(ensemble, X, y, reset=reset, **checks)
    else:
        validate_data(ensemble, X, skip_check_array=True, reset=reset)
        X, y = sklearn_check_X_y(ensemble._columns.transform(X), y, **checks)
    y = ensemble._check_y(y)
    _check_row_shape(ensemble, X, reset)
    if not reset and not ensemble.net_.has_own_batches_:
        check_range(owner, X, ensemble.net_.input_dtypes_)
    return X, y


def check_X(ensemble: Any, X: Any) -> Any:
    """X for a fitted ensemble, as `check_X_y` gives it."""
    check_is_fitted(ensemble)
    X, checks = as_one_array(type(ensemble).__name__, X), _input_checks(ensemble)
    if ensemble._columns is None:
        X = validate_data(ensemble, X, reset=False, **checks)
    else:
        validate_data(ensemble, X, skip_check_array=True, reset=False)
        X = check_array(ensemble._columns.transform(X), **checks)
    _check_row_shape(ensemble, X, reset=False)
    if not ensemble.net_.has_own_batches_:
        check_range(type(ensemble).__name__, X, ensemble.net_.input_dtypes_)
    return X


def check_range(owner: str, X: Any, dtypes: InputDtypes) -> None:
    """Raise unless finite numbers are finite in the dtype that members take them in.

    Parameters
    ----------
    owner : str
        The estimator's name, for the message.
    X : ndarray or CSR array of shape (n_samples, ...)
    dtypes : InputDtypes
        Of the members.
    """
    numbers = X.data if sparse.issparse(X) else X
    dtype = dtypes.of(X)
    if numbers.dtype.kind not in "fiu" or not dtype.is_floating_point:
        return
    most = torch.finfo(dtype).max
    if numbers.dtype.kind == "f" and float(np.finfo(numbers.dtype).max) <= most:
        return
    # Not abs(X): that would be a copy.
    ends = [end.reduce(numbers, axis=None, initial=0) for end in (np.fmin, np.fmax)]
    largest = max(ends, key=abs)
    if torch.tensor(float(largest), dtype=torch.float64).to(dtype).isinf():
        raise ValueError(
            f"The 'X' parameter of {owner} must hold numbers that are finite in "
            f"{dtype}, which its members compute in: of at most "
            f"{most:.2g}. Got {largest!s} instead."
        )


def _check_row_shape(ensemble: Any, X: Any, reset: bool) -> None:
    if reset:
        ensemble._row_shape = X.shape[1:]
    elif X.shape[1:] != ensemble._row_shape:
        raise ValueError(
            f"X has rows of shape {X.shape[1:]}, but {type(ensemble).__name__} is "
            f"expecting rows of shape {ensemble._row_shape}."
        )


# -- y -------------------------------------------------------------------------------


def _has_columns(owner: str, y: Any) -> bool:
    """Whether there is more than one target a row; raise where they have an axis."""
    shape = tuple(y.shape if hasattr(y, "shape") else np.asarray(y).shape)
    if len(shape) > 2:
        raise ValueError(
            f"The 'y' parameter of {owner} must have the shape (n_samples,) or "
            f"(n_samples, n_targets). Got {shape} instead."
        )
    return len(shape) > 1 and shape[1:] != (1,)


def check_y(ensemble: Any, y: Any) -> np.ndarray:
    """y for a fitted ensemble, as `check_X_y` gives it."""
    y = as_numpy(y)
    if _has_columns(type(ensemble).__name__, y):
        y = check_array(y, accept_sparse="csr", dtype=None, input_name="y")
    else:
        y = column_or_1d(y, warn=True)
    return ensemble._check_y(y)


def check_classes(ensemble: Any, y: Any) -> np.ndarray:
    """Classes, or several labels as 0 and 1; raise where y is neither."""
    y = y.toarray() if sparse.issparse(y) else y
    kind = type_of_target(y, input_name="y")
    are_labels = kind == "multilabel-indicator" and np.isin(y, (0, 1)).all()
    if y.ndim > 1 and not are_labels:
        raise ValueError(
            f"The 'y' parameter of {type(ensemble).__name__} must be classes of shape "
            "(n_samples,), or labels of shape (n_samples, n_labels) that are 0 or 1: "
            "fit an ensemble for each of several outputs with classes of its own. "
            f"Got {kind} targets of shape {y.shape} instead, "
            f"{np.unique(y)[:3].tolist()} among them."
        )
    check_classification_targets(y)
    return y


def check_numbers(ensemble: Any, y: Any) -> np.ndarray:
    """Numbers of shape (n_samples,) or (n_samples, n_targets), as floats."""
    name = f"The 'y' parameter of {type(ensemble).__name__}"
    y = y.toarray() if sparse.issparse(y) else y
    if y.dtype.kind not in "biufO":
        raise ValueError(f"{name} must hold numbers. Got {y.dtype} instead.")
    if y.dtype not in (np.float32, np.float64):
        try:
            with np.errstate(over="ignore"):
                y = y.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{name} must hold numbers: {error}.") from error
    is_finite = np.isfinite(y)
    if not is_finite.all():  # of objects, say: of numbers it is known by now
        got = y[~is_finite][0]
        raise ValueError(f"{name} must hold finite numbers. Got {got} instead.")
    return y


def check_known(owner: str, y: np.ndarray, targets: Targets) -> None:
    """Raise unless y holds what the targets say."""
    wrong = targets.wrong(y)
    if wrong is not None:
        raise ValueError(f"The 'y' parameter of {owner} must {wrong}")


def check_member_of_labels(owner: str, estimator: Any, y: np.ndarray) -> None:
    """Raise when several labels are to be learned by the default member."""
    if y.ndim > 1 and estimator is None:
        raise ValueError(
            f"The 'estimator' parameter of {owner} must be a member for several "
            "labels, such as tabular_classifier(criterion=nn.BCEWithLogitsLoss). "
            "Got None instead."
        )


def check_family_takes(owner: str, prototype: Any, y: np.ndarray) -> None:
    """Raise unless the family of the members' criterion is one of such numbers."""
    wrong = number_family(prototype).check_target(as_tensor(y))
    if wrong is not None:
        raise ValueError(
            f"The 'y' parameter of {owner} must be {wrong}. "
            f"Got numbers from {y.min():g} to {y.max():g} instead."
        )


def targets_told(owner: str, prototype: Any, y: np.ndarray, classes: Any) -> Any:
    """What y will hold in all calls of `partial_fit`, of the first of them."""
    if y.ndim > 1:
        targets = targets_of(prototype, y)
        if classes is not None and not np.array_equal(classes, targets.classes):
            raise ValueError(
                f"The 'classes' parameter of {owner}.partial_fit must be None or "
                f"{targets.classes.tolist()}, the numbers of the labels, for several "
                f"labels. Got {classes!r} instead."
            )
        return targets
    check_told_classes(owner, classes)
    return class_targets(prototype, np.unique(as_numpy(classes)))


def check_told_classes(
    owner: str, classes: Any, known: np.ndarray | None = None
) -> None:
    """Raise unless `classes` are told, and are as in an earlier call."""
    name = f"The 'classes' parameter of {owner}.partial_fit"
    if classes is None:
        if known is None:
            raise ValueError(
                f"{name} must hold all labels in the first call. Got None instead."
            )
        return
    classes = np.unique(as_numpy(classes))
    if known is not None and not np.array_equal(classes, known):
        raise ValueError(
            f"{name} must be as in the first call, {known.tolist()}. "
            f"Got {classes.tolist()} instead."
        )


def check_sample_weight(sample_weight: Any, X: Any) -> np.ndarray | None:
    """Weights of the rows of X as float64, None where there are none."""
    if sample_weight is None:
        return None
    return _check_sample_weight(
        as_numpy(sample_weight), X, dtype=np.float64, ensure_non_negative=True
    )


def check_weight(sample_weight: Any, y: np.ndarray) -> np.ndarray | None:
    """Weights of rows, the largest of which is 1; None where all are 1.

    They count relative to one another, and float32 is too small for what they may be
    before.
    """
    weight = check_sample_weight(sample_weight, y)
    return None if weight is None else _relative(weight)


def check_class_weight(
    owner: str, class_weight: Any, weight: np.ndarray | None, y: np.ndarray
) -> np.ndarray | None:
    """Weights of rows with those of their classes, the largest of which is 1."""
    if class_weight is not None:
        if y.ndim > 1:
            raise ValueError(
                f"The 'class_weight' parameter of {owner} must be "
                "None for several labels; use the member's criterion__pos_weight. "
                f"Got {class_weight!r} instead."
            )
        by_class = compute_sample_weight(class_weight, y)
        if not (np.isfinite(by_class) & (by_class >= 0)).all():
            raise ValueError(
                f"The 'class_weight' parameter of {owner} must hold "
                f"finite numbers of at least 0. Got {class_weight!r} instead."
            )
        by_class = _relative(by_class)
        weight = by_class if weight is None else _relative(weight * by_class)
    return weight


def _relative(weight: np.ndarray) -> np.ndarray:
    largest = weight.max(initial=0)
    return weight / largest if largest > 0 else weight


def check_weighted_classes(
    owner: str, y: np.ndarray, weight: np.ndarray | None
) -> None:
    """Raise unless the weights leave two classes to tell apart."""
    if weight is None or y.ndim > 1:
        return
    seen = np.unique(y[weight > 0])
    if len(seen) < 2:
        raise ValueError(
            "The 'sample_weight' and 'class_weight' parameters of "
            f"{owner} must leave rows of at least 2 classes with a "
            f"weight above zero. Got {len(seen)} class instead: {seen.tolist()}."
        )

"""What a members' prototype has to be."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier

from sklearn_jointens.training import TabularNet, resolve_device
from sklearn_jointens.training._seams import REFUSED_METHODS, overrides


class Prototypes(NamedTuple):
    """Which nets may be prototypes.

    Attributes
    ----------
    kinds, but : tuple of type
        Instances of any of these, and of none of those.
    said : str
        The same in words.
    """

    kinds: tuple[type, ...]
    but: tuple[type, ...]
    said: str


CLASSIFIERS = Prototypes(
    (NeuralNetClassifier, NeuralNetBinaryClassifier),
    (),
    "skorch's NeuralNetClassifier or NeuralNetBinaryClassifier",
)
REGRESSORS = Prototypes(
    (NeuralNet,),
    CLASSIFIERS.kinds,
    "skorch's NeuralNetRegressor or NeuralNet",
)


def check_prototype(
    prototype: Any, owner: str, kind: Prototypes, n_estimators: int = 1
) -> None:
    """Raise unless `prototype` is a skorch net that members can be made of.

    Parameters
    ----------
    prototype : object
    owner : str
        The estimator's name, for the message.
    kind : Prototypes
        What it may be.
    n_estimators : int, default=1
        How many members there are to be.

    Raises
    ------
    TypeError
        Not of this kind.
    ValueError
        Its class has a method of its own that an ensemble does without, or predicts
        rows in another order, or its optimizer would make one of all members.
    """
    if not isinstance(prototype, kind.kinds) or isinstance(prototype, kind.but):
        got = (
            f"the class {prototype.__name__}"
            if isinstance(prototype, type)
            else (f"an instance of {type(prototype).__name__}")
        )
        raise TypeError(
            f"The 'estimator' parameter of {owner} must be None or an instance of "
            f"{kind.said}. Got {got} instead."
        )
    for name, reason in REFUSED_METHODS.items():
        if overrides(prototype, name):
            raise ValueError(
                f"The 'estimator' parameter of {owner} must not override {name!r}, "
                f"{reason}. Got an instance of {type(prototype).__name__} instead."
            )
    shuffle = prototype.get_params_for("iterator_valid").get("shuffle", False)
    if shuffle:
        raise ValueError(
            "The 'iterator_valid__shuffle' parameter of the member must be False: "
            "predictions come in the order of the rows. "
            f"Got {shuffle!r} instead."
        )
    optimizer = prototype.optimizer
    if not callable(optimizer):
        raise ValueError(
            f"The 'estimator__optimizer' parameter of {owner} must be a class, such as "
            f"torch.optim.AdamW. Got {optimizer!r} instead."
        )
    is_lbfgs = isinstance(optimizer, type) and issubclass(optimizer, torch.optim.LBFGS)
    if is_lbfgs and n_estimators > 1:
        raise ValueError(
            f"The 'estimator__optimizer' parameter of {owner} must not be LBFGS, which "
            "takes the weights of all members as one vector and would couple them at "
            f"any lam, unless n_estimators=1. Got {optimizer.__name__} with "
            f"n_estimators={n_estimators} instead."
        )


def check_device(device: Any, owner: str) -> Any:
    """The device to use for a prototype's `device`; raise when it is not there."""
    device = resolve_device(device)
    try:
        torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"The 'device' parameter of {owner} must be None, 'auto' or a torch "
            f"device. Got {device!r} instead."
        ) from error
    try:
        torch.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise ValueError(
            f"The 'device' parameter of {owner} must be a device that is available to "
            f"torch. Got {device!r} instead."
        ) from error
    return device


def settled(
    prototype: Any,
    X: Any,
    weight: Any,
    columns: Any,
    *,
    rows: Any = slice(None),
    members: Sequence[Any] = (),
) -> Any:
    """The prototype, with what it leaves to the data settled by them.

    Parameters
    ----------
    prototype : skorch net
    X : ndarray or CSR array of shape (n_samples, ...)
    weight : ndarray of shape (n_rows,) or None
        Of the rows that are trained on.
    columns : ColumnCodes or None
        What made X of a frame.
    rows : slice or ndarray of int, default=slice(None)
        Of X, to train on.
    members : sequence of MemberNet
        Those that go on; new ones are to be like them.
    """
    if not isinstance(prototype, TabularNet):
        return prototype
    like = members[0] if members else None
    return prototype.settled(X[rows], weight, columns, like)

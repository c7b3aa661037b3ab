"""What of the members may not change while their training goes on."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sklearn_jointens._checks import as_numpy
from sklearn_jointens.training import TabularNet
from sklearn_jointens.training._callbacks import is_stock

# What members are, and what their weights have been trained for.
_OF_MEMBERS = ("module", "criterion", "n_bins")

# An epoch more needs no number of epochs, and the ensemble has a `verbose` of its own.
_OF_NO_EPOCH = ("max_epochs", "verbose", "device")

_MISSING = object()


def check_same_members(ensemble: Any, prototype: Any) -> None:
    """Raise unless the fitted members are what the prototype makes.

    Parameters
    ----------
    ensemble : JointEnsembleClassifier
        Fitted.
    prototype : skorch classifier
        Of the fit that is to go on.

    Raises
    ------
    ValueError
        Names the parameter that was changed.
    """

    def is_of_members(name: str) -> bool:
        return name.partition("__")[0] in _OF_MEMBERS

    _check_same(ensemble, prototype, is_of_members, "when warm_start=True")


def check_same_net(ensemble: Any, prototype: Any) -> None:
    """Raise unless a further epoch of the fitted net is one of the prototype's.

    Parameters
    ----------
    ensemble : JointEnsembleClassifier
        Fitted.
    prototype : skorch classifier

    Raises
    ------
    ValueError
        Names the parameter that was changed.
    """

    def is_of_net(name: str) -> bool:
        return name not in _OF_NO_EPOCH

    _check_same(ensemble, prototype, is_of_net, "in partial_fit")
    kinds = [torch.device(net.device).type for net in (ensemble.net_, prototype)]
    if kinds[0] != kinds[1]:
        _refuse(ensemble, "device", *kinds, "in partial_fit")


def _check_same(
    ensemble: Any, prototype: Any, concerns: Callable[[str], bool], when: str
) -> None:
    known_class = getattr(type(ensemble.net_), "prototype_class", type(ensemble.net_))
    if not alike(known_class, type(prototype)):
        kinds = known_class, type(prototype)
        said = [f"an instance of {kind.__name__}" for kind in kinds]
        _refuse(ensemble, "estimator", *said, when)
    known, asked = (_settings(net) for net in (ensemble.net_, prototype))
    for name in sorted({*known, *asked}):
        before, now = known.get(name, _MISSING), asked.get(name, _MISSING)
        if (
            concerns(name)
            and not _is_left_to_the_data(prototype, name, now)
            and not alike(before, now)
        ):
            said = ["its default" if v is _MISSING else _said(v) for v in (before, now)]
            _refuse(ensemble, f"estimator__{name}", *said, when)


def _settings(net: Any) -> dict[str, Any]:
    params = net.get_params(deep=False)
    return {name: value for name, value in params.items() if name[0] != "_"}


def _is_left_to_the_data(prototype: Any, name: str, value: Any) -> bool:
    """Whether the data of the first fit have said what this is."""
    is_settled = isinstance(prototype, TabularNet) and (
        name in (*prototype.settled_names, "module__encoding")
    )
    return is_settled and (value is _MISSING or value is None or alike(value, "auto"))


def _said(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)


def _refuse(ensemble: Any, name: str, before: str, now: str, when: str) -> None:
    raise ValueError(
        f"The {name!r} parameter of {type(ensemble).__name__} must be {before}, as the "
        f"fitted members have it, {when}. Got {now} instead."
    )


def alike(one: Any, other: Any) -> bool:
    """Whether two settings say the same; where nothing can tell, they do.

    Settings are copied by scikit-learn's ``clone``, by pickle and by files, so that
    what compares by identity is compared by what it is made of.
    """
    if one is other:
        return True
    if isinstance(one, nn.Module) and isinstance(other, nn.Module):
        return _have_the_same_parts(one, other)
    if isinstance(one, torch.Tensor | np.ndarray):
        return _hold_the_same(as_numpy(one), as_numpy(other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(one[k], other[k]) for k in one)
    if _is_sequence(one) and _is_sequence(other):
        return len(one) == len(other) and all(map(alike, one, other))
    if hasattr(one, "__qualname__") and hasattr(other, "__qualname__"):
        return _identity(one) == _identity(other)
    if type(one).__eq__ is not object.__eq__ or isinstance(one, torch.dtype):
        return _are_equal(one, other)
    told, also_told = _told(one), _told(other)
    return type(one) is type(other) and all(
        alike(told[name], also_told[name]) for name in told.keys() & also_told.keys()
    )


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _hold_the_same(one: Any, other: Any) -> bool:
    if np.shape(one) != np.shape(other):
        return False
    return bool(np.all((one == other) | ((one != one) & (other != other))))


def _are_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or (one != one and other != other)
    except (TypeError, ValueError):  # of frames, say
        return True


def _have_the_same_parts(one: nn.Module, other: nn.Module) -> bool:
    """Whether modules are of the same layers; their weights may be trained."""
    modules = (one, other)
    if any(is_lazy(p) for module in modules for p in module.parameters()):
        return True
    kinds = [
        [(name, type(part).__qualname__) for name, part in module.named_modules()]
        for module in modules
    ]
    shapes = [
        [(name, weight.shape) for name, weight in module.named_parameters()]
        for module in modules
    ]
    return kinds[0] == kinds[1] and shapes[0] == shapes[1]


def _identity(value: Any) -> Any:
    """What a class or function is by: it may have come by value from elsewhere."""
    code = getattr(value, "__code__", None)
    body = code and (code.co_code, code.co_names, code.co_consts)
    return value.__module__, value.__qualname__, body


def _told(value: Any) -> dict[str, Any]:
    """Plain values that an object was made with.

    One of the user's own may use its attributes as it likes, to count epochs, say; and
    skorch's callbacks make functions of what they were told.
    """
    if isinstance(value, functools.partial):
        return {"func": value.func, "args": value.args, "keywords": value.keywords}
    if not is_stock(type(value)):
        return {}
    names = inspect.signature(type(value)).parameters
    told = {name: getattr(value, name, None) for name in names}
    return {n: v for n, v in told.items() if isinstance(v, str | Real)}

"""Nets made of other nets: of a further class, unfitted, with weights of their own."""

import copy
import functools
from typing import Any

import torch
from sklearn.base import clone

from sklearn_jointens.nn._copying import copy_of


def resolve_device(device: Any) -> Any:
    """``"auto"`` is CUDA when there is one, else the CPU.

    Parameters
    ----------
    device : str or torch.device

    Returns
    -------
    str or torch.device
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def new_plain(cls: Any) -> Any:
    return cls.__new__(cls)


def net_with(net: Any, **attributes: Any) -> Any:
    """A copy of a net with other attributes, which shares the rest."""
    other = new_plain(type(net))
    vars(other).update(vars(net), **attributes)
    return other


@functools.cache
def derive_class(mixin: Any, prototype_class: Any) -> Any:
    """The prototype's class with a mixin in front; the same class for the same pair."""
    if issubclass(prototype_class, mixin):
        return prototype_class
    body = {
        "mixin": mixin,
        "prototype_class": prototype_class,
        # Libraries that keep objects by the names of their classes find the mixin
        # there, which becomes this class in `__setstate__`.
        "__module__": mixin.__module__,
        "__qualname__": f"{mixin.__name__}Of{prototype_class.__name__}",
        "__doc__": prototype_class.__doc__,
    }
    return type(mixin.__name__, (mixin, prototype_class), body)


def cloned(value: Any) -> Any:
    """scikit-learn's ``clone`` of a parameter, quick where there is nothing to copy."""
    if value is None or isinstance(value, type | str | bool | int | float):
        return value
    return clone(value, safe=False)


def unfitted_net(prototype: Any, cls: type | None = None, **told: Any) -> Any:
    """scikit-learn's ``clone``, which shares what cannot be copied.

    Parameters
    ----------
    prototype : skorch net
        Some callbacks, such as ``TensorBoard`` with its open file, cannot be copied.
    cls : type, default=None
        Of the new net; ``None`` is the prototype's own class.
    **told : dict
        Parameters that replace the prototype's.

    Returns
    -------
    skorch net
    """
    params = {}
    for name, value in prototype.get_params(deep=False).items():
        try:
            params[name] = cloned(value)
        except TypeError:
            params[name] = value
    return (type(prototype) if cls is None else cls)(**{**params, **told})


def derived_net(prototype: Any, mixin: type) -> Any:
    """An unfitted copy of a skorch prototype, of its own class and a mixin.

    Parameters
    ----------
    prototype : skorch net
    mixin : type
        `MemberNet`, or a subclass.

    Returns
    -------
    skorch net
    """
    prototype_class: Any = type(prototype)
    net = unfitted_net(prototype, derive_class(mixin, prototype_class))
    net.set_params(device=resolve_device(net.device))
    net.columns_ = getattr(prototype, "columns_", None)
    return net


def copied_net(net: Any) -> Any:
    """A copy of a fitted member, with weights of its own on the same device.

    The rest is shared, as among the members of an ensemble.

    Parameters
    ----------
    net : MemberNet

    Returns
    -------
    MemberNet
    """
    own = {"module_": copy_of(net.module_), "history_": copy.copy(net.history_)}
    copied = net_with(net, **own)
    for name in net.transient_names:
        vars(copied).pop(name, None)
    return copied

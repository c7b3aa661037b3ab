"""Checks of what the member networks are built with."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any


def check_size(network: str, name: str, value: int) -> None:
    """Raise ValueError unless a parameter is an int of at least 1.

    Parameters
    ----------
    network, name : str
        Class and parameter, as the error calls them.
    value : int
    """
    if not is_number(value, Integral) or value < 1:
        raise ValueError(
            f"The {name!r} parameter of {network} must be an int of at least 1. "
            f"Got {value!r} instead."
        )


def as_sizes(network: str, name: str, value: int | Sequence[int]) -> list[int]:
    """List of sizes from one or several; ValueError unless all are at least 1.

    Parameters
    ----------
    network, name : str
        Class and parameter, as the error calls them.
    value : int or sequence of int

    Returns
    -------
    sizes : list of int
    """
    if isinstance(value, Integral):
        sizes: list[Any] = [value]
    elif isinstance(value, str) or not hasattr(value, "__iter__"):
        sizes = [None]
    else:
        sizes = list(value)
    if not all(is_number(size, Integral) and size >= 1 for size in sizes):
        raise ValueError(
            f"The {name!r} parameter of {network} must be an int of at least 1 or "
            f"a sequence of such. Got {value!r} instead."
        )
    return [int(size) for size in sizes]


def is_number(value: object, kind: type) -> bool:
    """Whether a value is a number of this kind, and no bool.

    A bool is an int to Python, never to a user who mistook one parameter for another.
    """
    return isinstance(value, kind) and not isinstance(value, bool)

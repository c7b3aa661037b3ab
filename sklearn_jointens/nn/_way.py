"""The ways of running members as one: how one is named, and how it is refused."""

from typing import NamedTuple


class CannotVectorize(ValueError):
    """One way of vectorizing is refused; the message says why in a few words."""


class Vectorization(NamedTuple):
    """Which way the members were vectorized, and why.

    Attributes
    ----------
    method : {"structural", "vmap", "loop"}
    reason : str
    max_error : float or None
        The largest deviation from a plain loop over members that was found.
    options : dict of str to bool
        How a loop runs: with images' channels last in memory ("channels_last").
    """

    method: str
    reason: str
    max_error: float | None
    options: dict[str, bool] = {}

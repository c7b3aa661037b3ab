"""Members, and their scores, that are made when somebody asks for them."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from sklearn_jointens.training import as_if_ended, copied_net


class MembersWhenAsked:
    """Has members and their scores, or knows how to make them.

    Most who look at an ensemble that is soon forgotten ask it for predictions, which
    its net makes.
    """

    # Sets both attributes of the ensemble that it is given.
    _make_members: Callable[[Any], None]

    @cached_property
    def estimators_(self) -> list[Any]:
        """The members."""
        return self._made("estimators_")

    @cached_property
    def member_scores_(self) -> np.ndarray:
        """Each member's own score."""
        return self._made("member_scores_")

    def _made(self, name: str) -> Any:
        self._make_what_is_missing()
        try:
            return vars(self)[name]
        except KeyError:
            kind = type(self).__name__
            raise AttributeError(f"{kind!r} object has no attribute {name!r}") from None

    def _make_what_is_missing(self) -> None:
        if "_make_members" in vars(self):
            self._make_members(self)
            del self._make_members

    def __getstate__(self) -> dict[str, Any]:
        """Copies hold the members; how to make them stays here."""
        self._make_what_is_missing()
        return super().__getstate__()  # type: ignore[misc]


def found_by(net: Any) -> dict[str, Any]:
    """Fitted attributes that a net stands for; all but the members and scores."""
    return {
        "net_": net,
        "history_": net.history_,
        "vectorization_": net.vectorized_[0].vectorization,
    }


def found_now(
    members: Sequence[Any], X: Any, y: np.ndarray, bags: np.ndarray | None, net: Any
) -> dict[str, Any]:
    """What a fit would have found if it ended now.

    Parameters
    ----------
    members : sequence of MemberNet
        Whose copies are given the weights.
    X : ndarray or CSR array of shape (n_samples, ...)
    y : ndarray of shape (n_samples, ...)
    bags : ndarray of shape (n_members, n_samples) or None
        How often each member has drawn each row.
    net : JointNet
        In training.
    """

    def make_members(ensemble: Any) -> None:
        own = [copied_net(member) for member in members]
        ensemble._keep(ensemble.net_, own, X, y, bags)

    return {**found_by(as_if_ended(net)), "_make_members": make_members}

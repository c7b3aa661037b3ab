"""A fitted ensemble: its members, some of them, and how it is kept."""

import os
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_jointens import _persistence
from sklearn_jointens._checks import (
    as_numpy,
    check_known,
    check_sample_weight,
    check_X,
    check_y,
)
from sklearn_jointens._members import plain_modules
from sklearn_jointens._packing import PackedMembers, pack, unpack
from sklearn_jointens._reported import ReportedMixin
from sklearn_jointens._scoring import member_scores
from sklearn_jointens._shipped import ShippedMixin
from sklearn_jointens._shown import ShownEnsemble
from sklearn_jointens._when_asked import MembersWhenAsked
from sklearn_jointens.losses import Family
from sklearn_jointens.nn import VectorizedModule
from sklearn_jointens.nn._vectorize import revectorize
from sklearn_jointens.training import (
    copied_net,
    joint_net,
    unfitted_net,
)


class FittedEnsemble(
    MembersWhenAsked, ReportedMixin, ShippedMixin, ShownEnsemble, BaseEstimator
):
    """What can be done with an ensemble once it is fitted.

    `estimators_` holds the weights; `net_`, which predicts with all members at once,
    can be made of them at any time.
    """

    # Parameters that a subclass has.
    estimator: Any
    lam: float
    device: Any
    precision: str | None
    verbose: int

    # What `fit` sets, besides the members and the scores.
    history_: Any
    net_: Any
    vectorization_: Any
    _draws: Any

    @property
    def n_iter_(self) -> int:
        """Number of epochs."""
        return len(self.history_)

    @property
    def best_epoch_(self) -> int:
        """The epoch, counted from 1, whose weights the members have."""
        restored = [row["epoch"] for row in self.history_ if row.get("restored")]
        return restored[0] if restored else self.n_iter_

    def score_members(
        self, X: Any, y: Any, scoring: Any = None, sample_weight: Any = None
    ) -> np.ndarray:
        """Each member's own score.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        scoring : str, callable or None, default=None
            A scorer as scikit-learn knows them; ``None`` is what `score` returns of the
            ensemble: accuracy of a classifier, R2 of a regressor.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, for scorers that take them.

        Returns
        -------
        ndarray of shape (n_estimators,)
        """
        X = check_X(self, X)
        y = check_y(self, y)
        check_consistent_length(X, y)
        sample_weight = check_sample_weight(sample_weight, X)
        if scoring is None:
            check_known(type(self).__name__, y, self.net_.targets_)
            data = self.net_.get_dataset(X, y)
            return member_scores(self.net_, data, sample_weight)
        scorer = check_scoring(self.estimators_[0], scoring=scoring)
        params = {} if sample_weight is None else {"sample_weight": sample_weight}
        return np.array([scorer(member, X, y, **params) for member in self.estimators_])

    def drop_members(
        self,
        members: Any = None,
        *,
        n_weakest: int | None = None,
        X: Any = None,
        y: Any = None,
        scoring: Any = None,
        sample_weight: Any = None,
    ) -> Any:
        """A fitted ensemble without some of the members.

        Parameters
        ----------
        members : array-like of int or bool, default=None
            Indices or mask of the members to drop.
        n_weakest : int, default=None
            Instead of `members`: drop this many, those that score lowest on X and y.
        X : array-like or sparse matrix of shape (n_samples, ...), default=None
            Validation data for `n_weakest`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Its targets.
        scoring : str, callable or None, default=None
            As in `score_members`.
        sample_weight : array-like of shape (n_samples,), default=None
            As in `score_members`.

        Returns
        -------
        object
            A new ensemble; this one is as it was.

        Raises
        ------
        ValueError
            When a member is unknown, or none would be left.
        """
        check_is_fitted(self)
        if (members is None) == (n_weakest is None):
            raise ValueError(
                "Exactly one of the 'members' and 'n_weakest' parameters of "
                "drop_members must be given. Got "
                f"members={members!r} and n_weakest={n_weakest!r} instead."
            )
        if n_weakest is not None:
            n_members = len(self.estimators_)
            if not isinstance(n_weakest, Integral) or not 0 <= n_weakest < n_members:
                raise ValueError(
                    "The 'n_weakest' parameter of drop_members must be an int in the "
                    f"range [0, {n_members - 1}]. Got {n_weakest!r} instead."
                )
            if X is None or y is None:
                raise ValueError(
                    "The 'X' and 'y' parameters of drop_members must be given with "
                    "'n_weakest'. Got None instead."
                )
            scores = self.score_members(X, y, scoring, sample_weight)
            members = np.argsort(scores, kind="stable")[:n_weakest]
        return self._without(self._members_at(members))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted ensemble to a file that holds no code.

        Weights are kept as safetensors, everything else as JSON in the same file.

        Parameters
        ----------
        path : str or path-like
            An existing file is replaced.

        Raises
        ------
        TypeError
            When a label or parameter has no plain JSON form.
        """
        check_is_fitted(self)
        _persistence.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], estimator: Any = None) -> Any:
        """Read an ensemble that `save` has written.

        Parameters
        ----------
        path : str or path-like
        estimator : skorch net, default=None
            The prototype that was fitted; needed unless it was the default member or
            made by a function of this package, because a file without code cannot hold
            it.

        Returns
        -------
        object
            The fitted ensemble.

        Raises
        ------
        ValueError
            When the file is truncated, of another kind, or does not fit `estimator`.
        """
        return _persistence.load(cls, path, estimator)

    def _assemble(self, like: VectorizedModule | None = None) -> None:
        """Make `net_` of `estimators_`, as after unpickling or leaving some out.

        Parameters
        ----------
        like : VectorizedModule or None, default=None
            How members are run; None where that has to be found from them.
        """
        members = self.estimators_
        net, modules = members[0], plain_modules(members)
        if like is None:
            vectorized = revectorize(modules, self.vectorization_)
        else:
            vectorized = like.of_members(modules)
        # As it was settled, and without what a member leaves to the ensemble.
        prototype = unfitted_net(net, getattr(net, "prototype_class", type(net)))
        prototype.columns_ = net.columns_
        if self.estimator is not None:
            prototype.set_params(compile=self.estimator.compile)
        self.net_ = joint_net(
            prototype,
            vectorized,
            net.targets_.family(net.criterion_),
            float(self.lam),
            net.targets_,
            self.precision,
            verbose=int(self.verbose),
        )
        self.net_.history_ = self.history_

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__().copy()
        if "net_" in state:
            # The members hold the weights; batches of the history are debris.
            vectorized = state.pop("net_").plain_module
            state["estimators_"] = pack(self.estimators_, vectorized)
            state["history_"] = _without_batches(state["history_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "estimators_" not in state:
            return
        like = None
        if isinstance(self.estimators_, PackedMembers):
            self.estimators_, like = unpack(self.estimators_)
        device = self.device
        if device is None and self.estimator is not None:
            device = self.estimator.device
        device = "auto" if device is None else device
        if str(device).startswith(("auto", "cuda")):
            has_cuda = torch.cuda.is_available()
            device = ("cuda" if device == "auto" else device) if has_cuda else "cpu"
        for member in self.estimators_:
            if member.device != device:
                member.move_to(device)
        self._assemble(like)

    def _of_ensemble(
        self, of_natural: Callable[[Tensor], Tensor], X: Any, members: Any = None
    ) -> np.ndarray:
        """What a family makes of the ensemble's natural parameters, row by row."""
        X = check_X(self, X)
        if members is not None:
            members = self._some_members_at(members)
        chunks = self.net_.natural_iter(X, members)
        return gather((of_natural(z.mean(0)) for z, _ in chunks), X.shape[0], axis=0)

    def _of_members(self, of_natural: Callable[[Tensor], Tensor], X: Any) -> np.ndarray:
        """The same of each member by itself."""
        X = check_X(self, X)
        chunks = self.net_.natural_iter(X)
        return gather((of_natural(z) for z, _ in chunks), X.shape[0], axis=1)

    def _score(self, X: Any, y: Any, sample_weight: Any, members: Any) -> float:
        predicted = self.predict(X, members=members)  # type: ignore[attr-defined]
        y, sample_weight = as_numpy(y), as_numpy(sample_weight)
        return self.net_.targets_.score(y, predicted, sample_weight)

    @property
    def _family(self) -> Family:
        """Of what is predicted."""
        check_is_fitted(self)
        return self.net_.prediction_family_

    def _said(self, predicted: np.ndarray) -> np.ndarray:
        """What `predict` returns, of what the family has `predicted`."""
        targets = self.net_.targets_
        return targets.decode(targets.decide(self.net_.prediction_family_, predicted))

    def _members_at(self, members: Any) -> np.ndarray:
        """Indices of `members`, given as indices or as a mask."""
        n_members = len(self.estimators_)
        owner = type(self).__name__
        asked = np.asarray(members)
        if asked.ndim != 1 or (asked.size and asked.dtype.kind not in "iub"):
            raise ValueError(
                f"The 'members' parameter of {owner} must be a 1-D sequence of member "
                f"indices or a boolean mask. Got {members!r} instead."
            )
        if asked.dtype == bool:
            if len(asked) != n_members:
                raise ValueError(
                    f"The 'members' parameter of {owner} must have one entry for each "
                    f"of the {n_members} members when it is a mask. Got {len(asked)} "
                    "instead."
                )
            return np.flatnonzero(asked)
        unknown = [int(j) for j in asked if not -n_members <= j < n_members]
        if unknown:
            raise ValueError(
                f"The 'members' parameter of {owner} must hold indices of the "
                f"{n_members} members, 0 to {n_members - 1}. Got {unknown} instead."
            )
        return np.unique(asked.astype(int) % n_members)

    def _some_members_at(self, members: Any) -> np.ndarray:
        """Indices of at least one member, given as indices or as a mask."""
        chosen = self._members_at(members)
        if len(chosen) == 0:
            raise ValueError(
                f"The 'members' parameter of {type(self).__name__} must hold at least "
                "one member. Got none instead."
            )
        return chosen

    def _without(self, dropped: np.ndarray) -> Any:
        """A fitted copy without the members at `dropped`."""
        check_is_fitted(self)
        kept = np.setdiff1d(np.arange(len(self.estimators_)), dropped)
        if len(kept) == 0:
            raise ValueError(
                f"The 'members' parameter of {type(self).__name__} must leave at least "
                f"one of the {len(self.estimators_)} members. Got all of them instead."
            )
        smaller = type(self)(**self.get_params(deep=False))
        state = vars(self).copy()
        state["n_estimators"] = len(kept)
        state["history_"] = _history_of(self.history_, kept)
        state["estimators_"] = [copied_net(self.estimators_[j]) for j in kept]
        for name in ("oob_score_", "oob_decision_function_", "oob_prediction_"):
            state.pop(name, None)  # of the whole ensemble
        state["_draws"] = self._draws.only(kept)
        vars(smaller).update(state)
        smaller._assemble(like=self.net_.plain_module)
        smaller.member_scores_ = self.member_scores_[kept]
        return smaller


def gather(chunks: Iterator[Tensor], n_rows: int, axis: int) -> np.ndarray:
    """Chunks of rows as one array, which is all that is held of them."""
    out: np.ndarray | None = None
    start = 0
    for chunk in chunks:
        rows = chunk.cpu().numpy()
        if out is None:
            shape = (*rows.shape[:axis], n_rows, *rows.shape[axis + 1 :])
            out = np.empty(shape, dtype=rows.dtype)
        stop = start + rows.shape[axis]
        out[(slice(None),) * axis + (slice(start, stop),)] = rows
        start = stop
    assert out is not None
    return out


def _history_of(history: Any, kept: np.ndarray) -> Any:
    """The history of some of the members; what is said of the ensemble stays."""
    restricted = type(history)()
    for row in history:
        lists = {
            # Members that were added later have no part in early epochs.
            name: [row[name][j] for j in kept if j < len(row[name])]
            for name in row
            if name.endswith(("_member_losses", "_member_accuracies", "_member_gains"))
        }
        restricted.append({**row, **lists})
    return restricted


def _without_batches(history: Any) -> Any:
    light = type(history)()
    for row in history:
        light.append({**row, "batches": []})
    return light

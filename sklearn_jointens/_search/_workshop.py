"""Ensembles that are trained at once, from their initial weights to the fitted end."""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from sklearn.base import clone

from sklearn_jointens._draws import MemberDraws, rows_of_members
from sklearn_jointens._members import build_members, warn_if_identical
from sklearn_jointens._prototype import settled
from sklearn_jointens._watching import Given
from sklearn_jointens._when_asked import found_by
from sklearn_jointens.training import as_if_ended, copied_net, joint_net
from sklearn_jointens.training._batches import ArrayPart
from sklearn_jointens.training.groups import Stream, groups_within


def copy_noted(source: Any, target: Any) -> None:
    """Copy what an estimator notes of X in `fit`."""
    for name in (
        *("n_features_in_", "feature_names_in_"),
        *("_row_shape", "_columns", "_allows_nan"),
    ):
        if name in vars(source):
            setattr(target, name, getattr(source, name))


class Trial:
    """A training set, and what ensembles that are fitted to it have in common.

    Parameters
    ----------
    ensemble : joint ensemble
        With all settings but `lam` and `random_state`.
    prototype : skorch classifier
        Of the members; what it leaves to the data, these rows settle.
    rows : ndarray of int
        Of the training set.
    seed : int
        The ensembles' `random_state`.
    X : ndarray or CSR array of shape (n_samples, ...)
        All rows.
    y : ndarray of shape (n_samples, ...)
        Targets of all rows.
    sample_weight : ndarray of shape (n_samples,) or None

    Raises
    ------
    ValueError
        When a fit would refuse these targets or weights.
    """

    def __init__(
        self,
        ensemble: Any,
        prototype: Any,
        rows: np.ndarray,
        seed: int,
        X: Any,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
    ) -> None:
        self.rows, self.seed = rows, seed
        self.y = y[rows]
        weight = None if sample_weight is None else sample_weight[rows]
        self.targets, self.weight = ensemble._targets_and_weight(
            prototype, self.y, weight
        )
        seeded = clone(ensemble).set_params(random_state=seed)
        self.training_seed, self.member_seeds = seeded._seeds()
        self.draws = MemberDraws.of(self.member_seeds)
        self.prototype = settled(
            prototype, X, self.weight, ensemble._columns, rows=rows
        )
        self.member_rows = rows_of_members(
            ensemble, self.prototype, self.y, self.weight, self.draws
        )
        self.stream: Any = None

    def open_stream(self, net: Any, dataset: Any, reseed: Callable) -> None:
        """Make the stream of batches, with rows of `dataset`."""
        targets = net.as_targets(self.targets.encode(self.y))
        own = self.member_rows.given_to(ArrayPart(dataset, self.rows, targets))
        self.stream = Stream(net, own, self.y, self.training_seed, reseed)

    @property
    def start(self) -> Any:
        """What ensembles must have in common to start alike."""
        return self.seed, id(self.prototype)

    @property
    def kind(self) -> tuple:
        """What ensembles must have in common to be made in one workshop."""
        of_net = getattr(self.prototype, "kind", lambda: None)()
        return self.targets.kind, of_net


class Workshop:
    """Makes ensembles of one kind; those of one seed and prototype start alike.

    Parameters
    ----------
    ensemble : joint ensemble
        With all settings but `lam` and `random_state`, and what `fit` notes of X.
    X : ndarray or CSR array of shape (n_samples, ...)
    """

    def __init__(self, ensemble: Any, X: Any) -> None:
        self.ensemble, self.X = ensemble, X
        self._first: dict[Any, tuple[list[Any], Any]] = {}
        self._dataset: Any = None

    def first_net(self, trial: Trial, reseed: Callable[[int], None]) -> Any:
        """The net that others of this seed are copies of."""
        if trial.start not in self._first:
            reseed(trial.training_seed)
            members = build_members(
                trial.prototype, self.X, trial.targets, trial.member_seeds, reseed
            )
            if not self.ensemble.bootstrap:
                warn_if_identical(members)
            net = self.ensemble._joint_net(
                trial.prototype, members, trial.targets, example=self.X
            )
            self._first[trial.start] = members, net
        return self._first[trial.start][1]

    def dataset(self, net: Any) -> Any:
        """All rows; targets and weights are of each trial's own."""
        if self._dataset is None:
            self._dataset = net.get_dataset(self.X)
        return self._dataset

    def net(self, trial: Trial, lam: float, reseed: Callable[[int], None]) -> Any:
        """A net for a trial, of the same initial weights for every lam."""
        first = self.first_net(trial, reseed)
        module = first.plain_module
        return joint_net(
            trial.prototype,
            module.select(range(module.n_members)),
            first.family_,
            lam,
            trial.targets,
            self.ensemble.precision,
            verbose=0,
        )

    def unfitted(self, trial: Trial, lam: float) -> Any:
        """The ensemble that a net of a trial is trained for."""
        ensemble = type(self.ensemble)(**self.ensemble.get_params(deep=False))
        ensemble.set_params(lam=lam, random_state=trial.seed)
        copy_noted(self.ensemble, ensemble)
        ensemble._draws = trial.draws
        return ensemble

    def watched(
        self, ensemble: Any, trial: Trial, net: Any, given: Given
    ) -> AbstractContextManager[None]:
        """A block that trains the net of an ensemble."""

        def found(net: Any) -> dict[str, Any]:
            return self._found(trial, as_if_ended(net))

        return ensemble._watched(net, given, found)

    def fitted(self, ensemble: Any, trial: Trial, net: Any) -> Any:
        """The ensemble of a net that is trained; members are made when asked for."""
        vars(ensemble).update(self._found(trial, net))
        return ensemble

    def _found(self, trial: Trial, net: Any) -> dict[str, Any]:
        first, _ = self._first[trial.start]
        make_members = functools.partial(_make_members, trial, first, self.X)
        return {**found_by(net), "_make_members": make_members}

    def n_together(self, trials: Sequence[Trial], budget: float) -> int:
        """How many ensembles can be trained together within a budget of bytes."""
        _, net = self._first[trials[0].start]
        largest = max(trial.stream.largest_batch for trial in trials)
        return groups_within(budget, net, self.dataset(net), largest)

    def forget(self, but: set[Any]) -> None:
        """Forget all other starts than these."""
        self._first = {s: first for s, first in self._first.items() if s in but}


def _make_members(trial: Trial, like: Sequence[Any], X: Any, ensemble: Any) -> None:
    """Give an ensemble its members and their scores."""
    members = [copied_net(member) for member in like]
    net = ensemble.net_
    # Members are scored on what the net has seen, if it is not out of their bags.
    is_seen = trial.member_rows.bags is None and hasattr(net, "scored_")
    rows = None if is_seen else X[trial.rows]
    ensemble._keep(net, members, rows, trial.y, trial.member_rows.bags)

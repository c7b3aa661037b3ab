"""What every joint ensemble shares: training members, and going on with them."""

import copy
import functools
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from sklearn_jointens._checks import check_X_y
from sklearn_jointens._compat import Interval, StrOptions
from sklearn_jointens._draws import MemberDraws, rows_of_members
from sklearn_jointens._fitted import FittedEnsemble
from sklearn_jointens._going_on import check_same_members, check_same_net
from sklearn_jointens._guards import (
    all_or_nothing,
    out_of_memory_explained,
    unless_cut_short,
)
from sklearn_jointens._members import (
    build_members,
    going_on,
    plain_modules,
    vectorize,
    warn_if_identical,
)
from sklearn_jointens._probe import check_infer, probe
from sklearn_jointens._prototype import check_device, check_prototype, settled
from sklearn_jointens._scoring import member_scores, out_of_bag, out_of_bag_score
from sklearn_jointens._tabular import DefaultMemberMixin
from sklearn_jointens._watching import Given, WatchedMixin
from sklearn_jointens._when_asked import found_by, found_now
from sklearn_jointens.nn import VectorizedModule
from sklearn_jointens.training import (
    Targets,
    isolated_random_state,
    joint_net,
    unfitted_net,
)

_MAX_SEED = np.iinfo(np.int32).max


class BaseJointEnsemble(DefaultMemberMixin, WatchedMixin, FittedEnsemble):
    """Members trained as one program, and the fitted state that comes of it.

    A subclass says what y may hold.
    """

    _parameter_constraints: dict = {
        "estimator": "no_validation",  # by `check_prototype`
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "lam": [Interval(Real, 0, 1, closed="both")],
        "bootstrap": ["boolean"],
        "oob_score": ["boolean", callable],
        "warm_start": ["boolean"],
        "device": [None, str, torch.device],
        "precision": [StrOptions({"tf32", "bf16"}), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # What makes numbers of a frame with categories; set with `n_features_in_`.
    _columns: Any = None

    # -- what is checked before any work ---------------------------------------------

    def _resolve_prototype(self, owner: str | None = None) -> Any:
        prototype = self.make_member() if self.estimator is None else self.estimator
        owner = type(self).__name__ if owner is None else owner
        check_prototype(prototype, owner, self.prototypes, self.n_estimators)
        device = prototype.device if self.device is None else self.device
        prototype = unfitted_net(prototype)
        prototype.set_params(device=check_device(device, owner))
        if self.oob_score and (self.warm_start or not self.bootstrap):
            raise ValueError(
                f"The 'oob_score' parameter of {owner} must be False unless "
                "bootstrap=True and warm_start=False: members that go on may have seen "
                f"any row. Got {self.oob_score!r} instead."
            )
        return prototype

    def _is_going_on(self) -> bool:
        """Whether `fit` starts from the members of an earlier one."""
        return self.warm_start and hasattr(self, "estimators_")

    def _check_going_on(self, prototype: Any) -> None:
        """Raise when `fit` cannot go on with the members there are."""
        if self.n_estimators < len(self.estimators_):
            raise ValueError(
                f"The 'n_estimators' parameter of {type(self).__name__} must be at "
                f"least {len(self.estimators_)}, the number of fitted members, when "
                f"warm_start=True. Got {self.n_estimators} instead."
            )
        check_same_members(self, prototype)

    def _check_y(self, y: Any) -> Any:
        """y in a form that scikit-learn's checks of X and y take, if it is valid."""
        raise NotImplementedError

    def _targets_and_weight(
        self,
        prototype: Any,
        y: np.ndarray,
        sample_weight: Any,
        known: Targets | None = None,
        owner: str | None = None,
    ) -> tuple[Targets, np.ndarray | None]:
        """What y holds, and the weights of its rows; raise when they are not valid.

        Parameters
        ----------
        prototype : skorch net
        y : ndarray of shape (n_samples, ...)
        sample_weight : array-like of shape (n_samples,) or None
        known : Targets or None, default=None
            What y has to hold, where that is settled.
        owner : str or None, default=None
            The estimator's name, for messages; ``None`` is this one's.
        """
        raise NotImplementedError

    # -- training --------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> Any:
        """Train all members; what `fit` of an ensemble does."""
        going_on = self._is_going_on()
        given = Given(X, y, sample_weight)
        prototype = self._resolve_prototype()
        if going_on:
            self._check_going_on(prototype)
        with all_or_nothing(self):
            X, y = check_X_y(self, X, y, reset=not going_on)
            targets, weight = self._targets_and_weight(
                prototype, y, sample_weight, self.net_.targets_ if going_on else None
            )
            self._train(
                prototype,
                X,
                y,
                targets,
                weight,
                given,
                members=self.estimators_ if going_on else [],
                history=self.history_ if going_on else None,
            )
        return self

    def _partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        known: Callable[[Any, np.ndarray], Targets | None] = lambda *_: None,
    ) -> Any:
        """One more epoch; `known` makes the targets that a first call is told of."""
        # scikit-learn's decorator leaves parameters unchecked after the first call.
        self._validate_params()
        first = not hasattr(self, "estimators_")
        given = Given(X, y, sample_weight)
        prototype = self._resolve_prototype()
        if not first:
            self._check_further(prototype)
        with all_or_nothing(self):
            X, y = check_X_y(self, X, y, reset=first)
            targets, weight = self._targets_and_weight(
                prototype,
                y,
                sample_weight,
                known(prototype, y) if first else self.net_.targets_,
            )
            if self.oob_score:
                raise ValueError(
                    f"The 'oob_score' parameter of {type(self).__name__} must be "
                    "False in partial_fit, whose rows may have been seen before. "
                    f"Got {self.oob_score!r} instead."
                )
            if first:
                self._train(
                    prototype, X, y, targets, weight, given, members=[], epochs=1
                )
        if not first:
            self._train_further(X, y, weight, given)
        return self

    def _seeds(self, earlier: MemberDraws | None = None) -> tuple[int, np.ndarray]:
        """A seed for the training, and one for each member there ever was.

        More members leave the seeds of the first ones as they are. No seed is drawn
        from NumPy's global generator, which fitting must not disturb.
        """
        random_state = self.random_state
        if random_state is None:
            random_state = int(np.random.SeedSequence().generate_state(1)[0])
        generator = check_random_state(random_state)
        training_seed = int(generator.randint(_MAX_SEED))
        n_seeds = int(self.n_estimators)
        if earlier is not None:
            n_seeds += earlier.n_drawn - len(earlier.seeds)
        return training_seed, generator.randint(_MAX_SEED, size=n_seeds)

    def _train(
        self,
        prototype: Any,
        X: Any,
        y: np.ndarray,
        targets: Targets,
        weight: np.ndarray | None,
        given: Given,
        *,
        members: list[Any],
        history: Any = None,
        epochs: int | None = None,
    ) -> None:
        """Build what is missing of the members, train all, and keep the result.

        Parameters
        ----------
        prototype : skorch net
            As `_resolve_prototype` gives it.
        X : ndarray or CSR array of shape (n_samples, ...)
        y : ndarray of shape (n_samples, ...)
        targets : Targets
            What y holds.
        weight : ndarray of shape (n_samples,) or None
        given : Given
            What the same is made of.
        members : list of member nets
            To start from; new ones are added up to `n_estimators`.
        history : skorch History or None
            To add to.
        epochs : int or None
            ``None`` is the prototype's `max_epochs`, as in `fit`.
        """
        earlier = self._draws if members else None
        training_seed, seeds = self._seeds(earlier)
        draws = MemberDraws.of(seeds, earlier)
        with (
            out_of_memory_explained(self.n_estimators),
            isolated_random_state(training_seed, prototype.device) as reseed,
        ):
            prototype = settled(prototype, X, weight, self._columns, members=members)
            if members:
                # Copies: a fit that fails leaves an earlier one as it was.
                members = going_on(members, prototype)
            new_seeds = draws.seeds[len(members) :]
            members += build_members(prototype, X, targets, new_seeds, reseed)
            for member in members:
                member.module_.train()
            earlier = None if history is None else self.net_.plain_module
            net = self._joint_net(prototype, members, targets, X, earlier)
            if not self.bootstrap and history is None:
                warn_if_identical(members)
            if history is not None:
                net.history_ = copy.copy(history)
            self._draws = draws
            rows = rows_of_members(self, net, y, weight, draws)
            reseed(_later(training_seed, net))
            found = functools.partial(found_now, members, X, y, rows.bags)
            with self._watched(net, given, found, epochs), unless_cut_short(net):
                net.partial_fit(X, y, epochs=epochs, rows=rows)
                self._keep(net, members, X, y, rows.bags)

    def _check_further(self, prototype: Any) -> None:
        """Raise when the net as it stands is not what a further epoch is asked of."""
        n_members = len(self.estimators_)
        if self.n_estimators != n_members:
            raise ValueError(
                f"The 'n_estimators' parameter of {type(self).__name__} must be "
                f"{n_members}, the number of fitted members, in partial_fit. "
                f"Got {self.n_estimators} instead."
            )
        check_same_net(self, prototype)

    def _train_further(
        self, X: Any, y: np.ndarray, weight: np.ndarray | None, given: Given
    ) -> None:
        """One more epoch of the net as it stands, its optimizer's state included."""
        net = self.net_
        net.lam_ = float(self.lam)  # which may change from epoch to epoch
        net.precision_ = self.precision
        training_seed, _ = self._seeds(self._draws)
        n_epochs = len(self.history_)
        with (
            out_of_memory_explained(self.n_estimators),
            isolated_random_state(_later(training_seed, net), net.device),
        ):
            rows = rows_of_members(self, net, y, weight, self._draws)
            found = functools.partial(found_now, self.estimators_, X, y, rows.bags)
            try:
                with self._watched(net, given, found, epochs=1), unless_cut_short(net):
                    net.partial_fit(X, y, epochs=1, rows=rows)
            except BaseException:
                del self.history_[n_epochs:]
                self._assemble(like=net.plain_module)
                raise
            self._keep(net, self.estimators_, X, y, rows.bags)

    def _joint_net(
        self,
        prototype: Any,
        members: list[Any],
        targets: Targets,
        example: Any,
        like: VectorizedModule | None = None,
    ) -> Any:
        family = targets.family(members[0].criterion_)
        owner = type(self).__name__
        rows, module_rows = probe(members, example, family, owner)
        net = joint_net(
            prototype,
            vectorize(members, module_rows, like),
            family,
            float(self.lam),
            targets,
            precision=self.precision,
            verbose=int(self.verbose),
        )
        check_infer(net, members, rows, owner)
        return net

    def _keep(
        self,
        net: Any,
        members: list[Any],
        X: Any,
        y: np.ndarray,
        bags: np.ndarray | None,
    ) -> None:
        """Hand the weights back to the members, and set the fitted attributes."""
        self._keep_net(net)
        for j, member in enumerate(members):
            module = net.vectorized_[0].hand_back(j, plain_modules([member])[0])
            # skorch wants modules to be set by `initialize_module` alone.
            vars(member)["module_"] = module.eval()
        self.estimators_ = members
        self._score_members_after_training(net, X, y, bags)
        net.forget_fit()

    def _keep_net(self, net: Any) -> None:
        """Set what is fitted but the members."""
        vars(self).update(found_by(net))

    def _score_members_after_training(
        self, net: Any, X: Any, y: np.ndarray, bags: np.ndarray | None
    ) -> None:
        """Set `member_scores_` and, if asked for, the out-of-bag score."""
        if bags is None:
            data = getattr(net, "scored_", None)
            data = net.get_dataset(X, y) if data is None else data
            self.member_scores_ = member_scores(net, data)
            return
        self.member_scores_, predicted = out_of_bag(net, X, y, bags)
        if self.oob_score:
            self._keep_out_of_bag(net.targets_, predicted)
            self.oob_score_ = out_of_bag_score(net, self.oob_score, y, predicted)

    def _keep_out_of_bag(self, targets: Targets, predicted: np.ndarray) -> None:
        """Set what is predicted for the training rows."""
        raise NotImplementedError


def _later(seed: int, net: Any) -> int:
    """The seed of an epoch that comes after those in the net's history."""
    return (seed + len(net.history_)) % _MAX_SEED

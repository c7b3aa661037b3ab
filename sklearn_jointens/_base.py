"""What every joint ensemble shares: training members, and going on with them."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from sklearn_jointens._compat import Interval, StrOptions
from sklearn_jointens._draws import MemberDraws, rows_of_members
from sklearn_jointens._fitted import FittedEnsembleMixin
from sklearn_jointens._going_on import check_same_members, check_same_net
from sklearn_jointens._members import (
    build_members,
    check_device,
    check_prototype,
    going_on,
    plain_modules,
    vectorize,
    warn_if_identical,
)
from sklearn_jointens._probe import check_infer, probe
from sklearn_jointens._tabular import DefaultMemberMixin, tabular_classifier
from sklearn_jointens.losses import family_of
from sklearn_jointens.nn import VectorizedModule
from sklearn_jointens.training import (
    TabularNetClassifier,
    interrupt,
    isolated_random_state,
    joint_net,
    unfitted_net,
)

_MAX_SEED = np.iinfo(np.int32).max


class BaseJointEnsemble(DefaultMemberMixin, FittedEnsembleMixin, BaseEstimator):
    """Members trained as one program, and the fitted state that comes of it.

    A subclass validates its data, encodes its targets and calls `_train`.
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
        prototype = tabular_classifier() if self.estimator is None else self.estimator
        owner = type(self).__name__ if owner is None else owner
        check_prototype(prototype, owner, self.n_estimators)
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

    # -- training --------------------------------------------------------------------

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
        labels: np.ndarray,
        weight: np.ndarray | None,
        *,
        members: list[Any],
        history: Any = None,
        epochs: int | None = None,
    ) -> None:
        """Build what is missing of the members, train all, and keep the result.

        Parameters
        ----------
        prototype : skorch classifier
            As `_resolve_prototype` gives it.
        X : ndarray or CSR array of shape (n_samples, ...)
        y : ndarray of shape (n_samples,)
        labels : ndarray of shape (n_classes,)
        weight : ndarray of shape (n_samples,) or None
        members : list of member nets
            To start from; new ones are added up to `n_estimators`.
        history : skorch History or None
            To add to.
        epochs : int or None
            ``None`` is the prototype's `max_epochs`.
        """
        earlier = self._draws if members else None
        training_seed, seeds = self._seeds(earlier)
        draws = MemberDraws.of(seeds, earlier)
        with (
            self._explain_out_of_memory(),
            isolated_random_state(training_seed, prototype.device) as reseed,
        ):
            prototype = settled(prototype, X, weight, self._columns, members=members)
            if members:
                # Copies: a fit that fails leaves an earlier one as it was.
                members = going_on(members, prototype)
            new_seeds = draws.seeds[len(members) :]
            members += build_members(prototype, X, labels, new_seeds, reseed)
            for member in members:
                member.module_.train()
            earlier = None if history is None else self.net_.plain_module
            net = self._joint_net(prototype, members, labels, X, earlier)
            if not self.bootstrap and history is None:
                warn_if_identical(members)
            if history is not None:
                net.history_ = copy.copy(history)
            bags = self._set_weights(net, y, weight, draws)
            reseed(_later(training_seed, net))
            with _unless_cut_short(net):
                net.partial_fit(X, y, epochs=epochs)
                self._keep(net, members, X, y, bags)

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

    def _train_further(self, X: Any, y: np.ndarray, weight: np.ndarray | None) -> None:
        """One more epoch of the net as it stands, its optimizer's state included."""
        net = self.net_
        net.lam_ = float(self.lam)  # which may change from epoch to epoch
        net.precision_ = self.precision
        training_seed, _ = self._seeds(self._draws)
        n_epochs = len(self.history_)
        with (
            self._explain_out_of_memory(),
            isolated_random_state(_later(training_seed, net), net.device),
        ):
            bags = self._set_weights(net, y, weight, self._draws)
            try:
                with _unless_cut_short(net):
                    net.partial_fit(X, y, epochs=1)
            except BaseException:
                del self.history_[n_epochs:]
                self._assemble(like=net.plain_module)
                raise
            self._keep(net, self.estimators_, X, y, bags)

    def _joint_net(
        self,
        prototype: Any,
        members: list[Any],
        labels: np.ndarray,
        example: Any,
        like: VectorizedModule | None = None,
    ) -> Any:
        family = family_of(members[0].criterion_)
        owner = type(self).__name__
        rows, module_rows = probe(members, example, family, owner)
        net = joint_net(
            prototype,
            vectorize(members, module_rows, like),
            family,
            float(self.lam),
            labels,
            precision=self.precision,
            verbose=int(self.verbose),
        )
        check_infer(net, members, rows, owner)
        return net

    def _set_weights(
        self,
        net: Any,
        y: np.ndarray,
        weight: np.ndarray | None,
        draws: MemberDraws,
    ) -> np.ndarray | None:
        """Give the net its rows' weights; returns the members' bags, if any."""
        self._draws = draws
        rows = rows_of_members(self, net, y, weight, draws)
        rows.give(net)
        return rows.bags

    @contextmanager
    def _explain_out_of_memory(self) -> Iterator[None]:
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            raise RuntimeError(
                f"CUDA ran out of memory with n_estimators={self.n_estimators}. Lower "
                "it or the member's batch_size, or use device='cpu'."
            ) from error

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
        of_the_fit = ("weight_", "valid_weight_", "weighted_", "folds_", "scored_")
        # The last would keep the weights of all members twice.
        for name in (*of_the_fit, "step_", "records_", "some_members_"):
            net.__dict__.pop(name, None)

    def _keep_net(self, net: Any) -> None:
        """Set what is fitted but the members."""
        self.net_ = net
        self.history_ = net.history_
        self.vectorization_ = net.vectorized_[0].vectorization

    def _score_members_after_training(
        self, net: Any, X: Any, y: np.ndarray, bags: np.ndarray | None
    ) -> None:
        """Set `member_scores_` and, if asked for, the out-of-bag score."""
        raise NotImplementedError


@contextmanager
def all_or_nothing(estimator: Any) -> Iterator[None]:
    """Put all attributes back when a fit fails: bad input loses nothing."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        # In one step, which Ctrl-C cannot cut in two.
        estimator.__dict__ = before
        raise


@contextmanager
def _unless_cut_short(net: Any) -> Iterator[None]:
    """Raise Ctrl-C instead of what fails because it has cut the training short."""
    try:
        yield
    except Exception:
        if net.has_ended_ is False:
            interrupt()
        raise


def _later(seed: int, net: Any) -> int:
    """The seed of an epoch that comes after those in the net's history."""
    return (seed + len(net.history_)) % _MAX_SEED


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
    prototype : skorch classifier
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
    if not isinstance(prototype, TabularNetClassifier):
        return prototype
    like = members[0] if members else None
    return prototype.settled(X[rows], weight, columns, like)

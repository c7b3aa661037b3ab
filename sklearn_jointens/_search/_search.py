"""The search for lam: what classifiers' and regressors' have in common."""

import time
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import check_scoring, get_scorer, get_scorer_names
from sklearn.utils import indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from sklearn_jointens._checks import (
    as_numpy,
    as_one_array,
    check_sample_weight,
    check_X_y,
)
from sklearn_jointens._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _fit_context,
    _routing_enabled,
    with_callbacks,
)
from sklearn_jointens._ensemble import BaseJointEnsemble
from sklearn_jointens._search._choice import (
    best_index,
    check_lams,
    check_refit,
    cv_results,
    routed,
    splits_of,
)
from sklearn_jointens._search._evaluation import LamEvaluation
from sklearn_jointens._search._grid import LamGrid, fit_to_the_end
from sklearn_jointens._search._tasks import SearchTasks
from sklearn_jointens._search._workshop import copy_noted
from sklearn_jointens._shown import ShownEnsemble
from sklearn_jointens._tabular import DefaultMemberMixin
from sklearn_jointens._watching import Given
from sklearn_jointens.training import no_interrupt_lost


class BaseJointEnsembleCV(
    DefaultMemberMixin, CallbackSupportMixin, ShownEnsemble, BaseEstimator
):
    """A search for `lam`; a subclass says what ensembles are searched over."""

    # Of the ensembles, their parameters that the search has, and how they are scored.
    kind: type[BaseJointEnsemble]
    of_ensemble: tuple[str, ...] = (
        *("estimator", "n_estimators", "bootstrap"),
        *("device", "precision"),
    )
    default_scoring: str

    _parameter_constraints: dict = {
        **{
            name: BaseJointEnsemble._parameter_constraints[name]
            for name in (
                *("estimator", "n_estimators", "bootstrap", "device"),
                *("precision", "random_state", "verbose"),
            )
        },
        "lams": "no_validation",  # by `check_lams`
        "cv": ["cv_object"],
        "scoring": [
            *(StrOptions(set(get_scorer_names())), callable),
            *(list, tuple, set, dict, None),
        ],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "refit": ["boolean", str, callable],
        "selection": [StrOptions({"best", "one_standard_error"})],
        "max_memory": [Interval(Real, 0, None, closed="neither"), None],
        "n_jobs": [Integral, None],
        "error_score": [StrOptions({"raise"}), Real],
        "return_train_score": ["boolean"],
    }

    def _search(self, X: Any, y: Any, sample_weight: Any, params: Any) -> Any:
        """What `fit` does; nothing of it is left behind where it fails."""
        before = vars(self).copy()
        try:
            with no_interrupt_lost():
                self._fit(X, y, sample_weight, params)
        except BaseException:
            # In one step, and after all others: Ctrl-C finds nothing half done.
            self.__dict__ = before
            raise
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    @with_callbacks
    def _fit(self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]) -> None:
        lams = check_lams(self)
        ensemble = self._ensemble()
        prototype = ensemble._resolve_prototype(owner=type(self).__name__)
        scorer = self._scorer()
        check_refit(self)
        # What this fit does not find is not what an earlier one has found.
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        X, y = indexable(as_one_array(type(self).__name__, X), as_numpy(y))
        checked = check_X_y(self, X, y, reset=True)
        sample_weight = check_sample_weight(sample_weight, checked[0])
        targets, _ = ensemble._targets_and_weight(
            prototype, checked[1], sample_weight, owner=type(self).__name__
        )
        self._note(targets)
        of_split, of_score = routed(self, scorer, sample_weight, params)
        splits = splits_of(self, X, y, of_split)
        copy_noted(self, ensemble)
        tasks = SearchTasks(self, Given(X, y, sample_weight), len(lams), splits)
        grid = LamGrid(
            ensemble,
            lams.tolist(),
            splits,
            (X, y, sample_weight),
            (*checked, sample_weight),
            LamEvaluation(
                scorer,
                (X, y),
                of_score,
                self.error_score,
                self.return_train_score,
                is_default=self.scoring in (None, self.default_scoring),
            ),
            tasks.fits,
            max_memory=self.max_memory,
            n_jobs=self.n_jobs,
            verbose=int(self.verbose),
        )
        noted = [one for of_lam in grid.run() for one in of_lam]
        self.batching_, self.scorer_ = grid.batching, scorer
        self.lams_, self.n_splits_ = lams, len(splits)
        self.cv_results_, metrics = cv_results(self, ensemble, noted)
        tasks.search.end()
        self.multimetric_ = metrics != ["score"]
        check_refit(self, metrics if self.multimetric_ else None)
        self._choose()
        if self.refit:
            self._refit(ensemble, splits[0].seed, X, y, sample_weight, tasks.refit())
        tasks.whole.end(dict if self.refit else None)

    def _note(self, targets: Any) -> None:
        """Set what is known of y before anything is trained."""

    def _check_y(self, y: Any) -> np.ndarray:
        return self.kind._check_y(self, y)

    def _ensemble(self) -> Any:
        """The ensemble that is searched over, without a lam."""
        return self.kind(**{name: getattr(self, name) for name in self.of_ensemble})

    def make_member(self) -> Any:
        """The default member.

        Returns
        -------
        skorch net
        """
        return self.kind.make_member()

    def _scorer(self) -> Callable:
        if self.scoring is None:
            scorer = get_scorer(self.default_scoring)
            if _routing_enabled():
                scorer.set_score_request(sample_weight=True)
            return scorer
        return check_scoring(
            self._ensemble(),
            scoring=self.scoring,
            raise_exc=self.error_score == "raise",
        )

    def _choose(self) -> None:
        """Set what is known of the chosen lam."""
        if self.multimetric_ and not self.refit:
            return
        metric = self.refit if self.multimetric_ else "score"
        self.best_index_ = best_index(self, metric)
        self.lam_ = float(self.lams_[self.best_index_])
        self.best_params_ = {"lam": self.lam_}
        if isinstance(metric, str):
            means = self.cv_results_[f"mean_test_{metric}"]
            self.best_score_ = float(means[self.best_index_])
        if self.verbose:
            print(f"Chose lam={self.lam_:g}.")

    def _refit(
        self, ensemble: Any, seed: int, X: Any, y: Any, weight: Any, task: Any
    ) -> None:
        started = time.perf_counter()
        best = clone(ensemble).set_params(
            lam=self.lam_, random_state=seed, verbose=max(0, int(self.verbose) - 1)
        )
        with task.passed_to(best):
            self.best_estimator_ = fit_to_the_end(best, X, y, weight)
        self.refit_time_ = time.perf_counter() - started
        task.end()

    def get_metadata_routing(self) -> MetadataRouter:
        """What is passed on to the splitter and to the scorers.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                splitter=self.cv,
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
            .add(
                scorer=self._scorer(),
                method_mapping=MethodMapping()
                .add(caller="fit", callee="score")
                .add(caller="score", callee="score"),
            )
        )

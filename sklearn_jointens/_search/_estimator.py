"""`JointEnsembleClassifierCV`: lam chosen by cross-validation, in one program."""

import time
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import check_scoring, get_scorer, get_scorer_names
from sklearn.model_selection import GridSearchCV, check_cv
from sklearn.utils import check_random_state, indexable
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)

from sklearn_jointens._base import all_or_nothing
from sklearn_jointens._checks import as_numpy, check_labels, check_X_y
from sklearn_jointens._classifier import JointEnsembleClassifier
from sklearn_jointens._compat import (
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
    _routing_enabled,
    _warn_or_raise_about_fit_failures,
)
from sklearn_jointens._mlp import DefaultMemberMixin
from sklearn_jointens._search._evaluation import (
    LamEvaluation,
    fill_in_failures,
    metrics_in,
    takes_weight,
)
from sklearn_jointens._search._grid import LamGrid, Split
from sklearn_jointens._search._refitted import RefittedEnsembleMixin

_OF_THE_ENSEMBLE = (
    "estimator",
    "n_estimators",
    "bootstrap",
    "class_weight",
    "device",
    "precision",
)
_OF_X = ("n_features_in_", "feature_names_in_", "_row_shape")


class JointEnsembleClassifierCV(
    RefittedEnsembleMixin, ClassifierMixin, DefaultMemberMixin, BaseEstimator
):
    """Doc."""

    _parameter_constraints: dict = {
        **{
            name: JointEnsembleClassifier._parameter_constraints[name]
            for name in (*_OF_THE_ENSEMBLE, "random_state", "verbose")
        },
        "lams": "no_validation",  # by `_check_lams`
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

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 10,
        lams: Any = (0, 0.5, 0.9, 0.99, 1),
        cv: Any = 5,
        scoring: Any = None,
        n_repeats: int = 1,
        refit: Any = True,
        *,
        selection: str = "best",
        bootstrap: bool = False,
        class_weight: Any = None,
        device: Any = None,
        precision: str | None = None,
        max_memory: float | None = None,
        n_jobs: int | None = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.lams = lams
        self.cv = cv
        self.scoring = scoring
        self.n_repeats = n_repeats
        self.refit = refit
        self.selection = selection
        self.bootstrap = bootstrap
        self.class_weight = class_weight
        self.device = device
        self.precision = precision
        self.max_memory = max_memory
        self.n_jobs = n_jobs
        self.error_score = error_score
        self.return_train_score = return_train_score
        self.random_state = random_state
        self.verbose = verbose

    # -- fitting ---------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, **params: Any
    ) -> "JointEnsembleClassifierCV":
        """Train ensembles of all lams on all splits, and the chosen one on all data.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), or array of \
shape (n_samples, ...)
            As in :class:`JointEnsembleClassifier`.
        y : array-like of shape (n_samples,)
            Labels of any type, at least two.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows: in the loss, and in scores that take weights.
        **params : dict
            ``groups``, for the splitter. With metadata routing enabled, whatever the
            splitter and the scorers ask for.

        Returns
        -------
        self : JointEnsembleClassifierCV

        Raises
        ------
        ValueError, TypeError
            A parameter, X or y is not valid, or the member cannot take them; nothing
            has been trained then. Or no ensemble could be trained at all.
        """
        lams = self._check_lams()
        self._check_refit()
        ensemble = self._ensemble()
        ensemble._resolve_prototype()
        scorer = self._scorer()
        with all_or_nothing(self):
            X, y = indexable(as_numpy(X), as_numpy(y))
            checked = check_X_y(self, X, y, reset=True)
            self.classes_ = np.unique(checked[1])
            check_labels(self, checked[1], self.classes_)
            if sample_weight is not None:
                sample_weight = _check_sample_weight(
                    as_numpy(sample_weight),
                    checked[0],
                    dtype=np.float64,
                    ensure_non_negative=True,
                )
            of_split, of_score = self._route(scorer, sample_weight, params)
            splits = self._splits(X, y, of_split)
            of_X = {name: vars(self).get(name) for name in _OF_X}
            vars(ensemble).update({k: v for k, v in of_X.items() if v is not None})
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
                    is_accuracy=self.scoring in (None, "accuracy"),
                ),
                max_memory=self.max_memory,
                n_jobs=self.n_jobs,
                verbose=int(self.verbose),
            )
            noted = [one for of_lam in grid.run() for one in of_lam]
            self.batching_ = grid.batching
            self.lams_, self.n_splits_ = lams, len(splits)
            self._set_results(ensemble, noted)
            self.scorer_ = scorer
            if self.refit:
                self._refit(ensemble, splits[0].seed, X, y, sample_weight)
        return self

    def _check_lams(self) -> np.ndarray:
        name = f"The 'lams' parameter of {type(self).__name__}"
        try:
            lams = np.asarray(self.lams, dtype=float)
        except (TypeError, ValueError):
            lams = np.empty((0, 0))
        if lams.ndim != 1 or not len(lams) or not ((lams >= 0) & (lams <= 1)).all():
            raise ValueError(
                f"{name} must be a sequence of at least one float in the range "
                f"[0.0, 1.0]. Got {self.lams!r} instead."
            )
        if len(np.unique(lams)) < len(lams):
            raise ValueError(
                f"{name} must hold no value twice. Got {self.lams!r} instead."
            )
        return lams

    def _check_refit(self, metrics: Any = None) -> None:
        """Raise unless it is clear by which of several metrics to choose."""
        if metrics is None:
            if not isinstance(self.scoring, list | tuple | set | dict):
                return
            metrics = list(self.scoring)
        named = isinstance(self.refit, str) and self.refit in metrics
        if self.refit is not False and not named and not callable(self.refit):
            raise ValueError(
                f"The 'refit' parameter of {type(self).__name__} must be one of the "
                f"metrics {sorted(metrics)}, a callable or False when 'scoring' holds "
                f"several. Got {self.refit!r} instead."
            )

    def _ensemble(self) -> JointEnsembleClassifier:
        """The ensemble that is searched over, without a lam."""
        settings = {name: getattr(self, name) for name in _OF_THE_ENSEMBLE}
        return JointEnsembleClassifier(**settings)

    def _scorer(self) -> Callable:
        if self.scoring is None:
            scorer = get_scorer("accuracy")
            if _routing_enabled():
                scorer.set_score_request(sample_weight=True)
            return scorer
        return check_scoring(
            self._ensemble(),
            scoring=self.scoring,
            raise_exc=self.error_score == "raise",
        )

    def _route(
        self, scorer: Callable, sample_weight: Any, params: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the splitter and the scorer are given."""
        if _routing_enabled():
            routed = process_routing(self, "fit", sample_weight=sample_weight, **params)
            return routed.splitter.split, routed.scorer.score
        unknown = sorted(set(params) - {"groups"})
        if unknown:
            raise TypeError(
                f"{type(self).__name__}.fit takes further parameters than 'groups' "
                f"with metadata routing only. Got {unknown} instead."
            )
        weighted = sample_weight is not None and takes_weight(scorer)
        return params, {"sample_weight": sample_weight} if weighted else {}

    def _splits(self, X: Any, y: Any, params: dict[str, Any]) -> list[Split]:
        cv = check_cv(self.cv, y, classifier=True)
        folds = list(cv.split(X, y, **params))
        if not folds:
            raise ValueError(
                f"The 'cv' parameter of {type(self).__name__} must give at least one "
                "split. Got none instead."
            )
        random_state = self.random_state
        if random_state is None:
            random_state = np.random.SeedSequence().generate_state(1)[0] >> 1
        if isinstance(random_state, np.random.RandomState):
            random_state = random_state.randint(np.iinfo(np.int32).max)
        more = check_random_state(int(random_state)).randint(
            np.iinfo(np.int32).max, size=self.n_repeats - 1
        )
        return [
            Split(np.asarray(train), np.asarray(test), int(seed))
            for seed in (random_state, *more)
            for train, test in folds
        ]

    def _set_results(self, ensemble: Any, noted: list[dict[str, Any]]) -> None:
        _warn_or_raise_about_fit_failures(noted, self.error_score)
        fill_in_failures(noted, self.error_score)
        metrics = metrics_in(noted)
        self.multimetric_ = metrics != ["score"]
        if self.multimetric_:
            self._check_refit(metrics)
        # What scikit-learn's search makes of such notes, so that every key is there.
        search = GridSearchCV(
            ensemble,
            {"lam": self.lams_.tolist()},
            scoring=self.scoring,
            return_train_score=self.return_train_score,
        )
        candidates = [{"lam": lam} for lam in self.lams_.tolist()]
        self.cv_results_ = search._format_results(candidates, self.n_splits_, noted)
        if self.multimetric_ and not self.refit:
            return
        metric = self.refit if self.multimetric_ else "score"
        self.best_index_ = self._best_index(metric)
        self.lam_ = float(self.lams_[self.best_index_])
        self.best_params_ = {"lam": self.lam_}
        if isinstance(metric, str):
            means = self.cv_results_[f"mean_test_{metric}"]
            self.best_score_ = float(means[self.best_index_])

    def _best_index(self, metric: Any) -> int:
        results = self.cv_results_
        if callable(self.refit):
            index = self.refit(results)
            if not isinstance(index, Integral) or not 0 <= index < len(self.lams_):
                raise ValueError(
                    f"The 'refit' parameter of {type(self).__name__} must return an "
                    f"index of 'lams', 0 to {len(self.lams_) - 1}, when it is a "
                    f"callable. Got {index!r} instead."
                )
            return int(index)
        best = int(results[f"rank_test_{metric}"].argmin())
        if self.selection == "best" or self.n_splits_ < 2:
            return best
        means = results[f"mean_test_{metric}"]
        scores = [
            results[f"split{i}_test_{metric}"][best] for i in range(self.n_splits_)
        ]
        near = np.flatnonzero(means >= means[best] - stats.sem(scores))
        return int(near[self.lams_[near].argmin()]) if len(near) else best

    def _refit(self, ensemble: Any, seed: int, X: Any, y: Any, weight: Any) -> None:
        started = time.perf_counter()
        best = clone(ensemble).set_params(
            lam=self.lam_, random_state=seed, verbose=max(0, int(self.verbose) - 1)
        )
        self.best_estimator_ = best.fit(X, y, sample_weight=weight)
        self.refit_time_ = time.perf_counter() - started

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        return tags

"""`JointEnsembleClassifierCV`: lam chosen by cross-validation, in one program."""

import time
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import check_scoring, get_scorer, get_scorer_names
from sklearn.utils import indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from sklearn_jointens._checks import (
    as_numpy,
    as_one_array,
    check_labels,
    check_sample_weight,
    check_weight,
    check_weighted_classes,
    check_X_y,
)
from sklearn_jointens._classifier import JointEnsembleClassifier
from sklearn_jointens._compat import (
    Interval,
    StrOptions,
    _fit_context,
    _routing_enabled,
)
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
from sklearn_jointens._search._refitted import RefittedEnsembleMixin
from sklearn_jointens._search._workshop import copy_noted
from sklearn_jointens._tabular import DefaultMemberMixin, with_input_tags
from sklearn_jointens.training import no_interrupt_lost

_OF_THE_ENSEMBLE = (
    *("estimator", "n_estimators", "bootstrap"),
    *("class_weight", "device", "precision"),
)


class JointEnsembleClassifierCV(
    RefittedEnsembleMixin, ClassifierMixin, DefaultMemberMixin, BaseEstimator
):
    """A joint ensemble whose `lam` is chosen by cross-validation, in one program.

    The ensembles of every lam on every fold are trained together: members of all of
    them take their steps at once, those of one fold on the same batches, and those of
    one fold start from the same weights for every lam. The results are those of
    ``GridSearchCV(JointEnsembleClassifier(random_state=s), {"lam": lams})`` over the
    same folds, up to rounding, and come the sooner the smaller the members are, and in
    float32 (see ``examples/benchmarks``). Early stopping, with the best epoch restored,
    is each ensemble's own; one that has stopped costs nothing more.

    What cannot be trained together with the same results is trained one by one: members
    that are not run structurally (see `vectorization_`), or are compiled; optimizers
    that mix the entries of a tensor; data sets, iterators and nets of your own; and all
    callbacks but ``EarlyStopping``, ``EpochScoring``, ``GradientNormClipping`` and
    schedules that count epochs. `batching_` says how it was done, and why.

    Parameters
    ----------
    estimator : skorch NeuralNetClassifier or NeuralNetBinaryClassifier, default=None
        The members' prototype, as in :class:`JointEnsembleClassifier`.
    n_estimators : int, default=8
        Number of members of each ensemble.
    lams : sequence of float in [0, 1], default=(0, 0.5, 0.9, 0.99, 1)
        The candidates, each once.
    cv : int, splitter or iterable of (train, test), default=5
        The folds: a number of stratified ones, a splitter of scikit-learn, or rows.
    scoring : str, callable, list, tuple, set, dict or None, default=None
        As in :class:`~sklearn.model_selection.GridSearchCV`; ``None`` is accuracy.
    n_repeats : int, default=1
        How often each lam is trained on each fold, from other initial weights and in
        another order of batches. All repeats count as splits. More of them tell the
        effect of lam from that of the seed.
    refit : bool, str or callable, default=True
        Whether to train an ensemble of the chosen lam on all data. Of several metrics,
        the name of the one to choose by. A callable is given `cv_results_` and returns
        the index of the chosen lam.
    selection : {"best", "one_standard_error"}, default="best"
        ``"best"`` chooses the lam of the highest mean score, the first of several;
        ``"one_standard_error"`` the smallest lam whose mean score is within one
        standard error (of the highest, over its splits) of the highest: smaller is more
        robust, its members are of more use alone. A callable `refit` goes before it.
    bootstrap, class_weight, device, precision
        As in :class:`JointEnsembleClassifier`.
    max_memory : float or None, default=None
        Bytes that ensembles may take while they are trained together, beside the data.
        As many as fit are one program, and the programs follow each other. ``None`` is
        a quarter of the memory that is free, on the device that trains. A single
        ensemble is trained in any case.
    n_jobs : int or None, default=None
        Processes that the folds are divided among, each of which trains programs of its
        own within its share of `max_memory`; or that train ensembles one by one.
        ``None`` is one, unless in a ``joblib.parallel_config`` context.
    error_score : "raise" or float, default=nan
        Score of an ensemble that could not be trained, as in ``GridSearchCV``.
    return_train_score : bool, default=False
        Whether `cv_results_` holds scores on the training rows too.
    random_state : int, RandomState instance or None, default=None
        Of the ensembles; the first repeat and the final ensemble use an int as it is.
        The same for every lam. Shuffling of folds is the splitter's own.
    verbose : int, default=0
        1 says how the ensembles are trained and what is chosen, and shows a progress
        bar on long searches; 2 also a line an epoch of the final fit.

    Attributes
    ----------
    lam_ : float
        The chosen one. Like the other ``best_...``, it is not there where several
        metrics are scored and ``refit=False``.
    lams_ : ndarray of shape (n_lams,)
        The candidates.
    best_score_ : float
        Mean score of the chosen lam. Not there when `refit` is a callable and chooses
        by several metrics.
    best_index_ : int
        Where the chosen lam stands in `lams_`.
    best_params_ : dict
        ``{"lam": lam_}``.
    cv_results_ : dict of ndarrays
        The keys of ``GridSearchCV.cv_results_``, a row a lam. There are two further
        metrics: ``member_score`` (``member_<name>`` of several metrics) is the mean of
        the members' own scores, and ``diversity`` is what the ensemble gains over its
        mean member in log-likelihood, in nats (eq. 5 of [1]_; rows are not weighted). A
        fit's time is an equal share of its program's.
    best_estimator_ : JointEnsembleClassifier
        Of the chosen lam, trained on all data; only with `refit`, like what follows.
    refit_time_ : float
        Seconds that it took.
    estimators_, member_scores_, history_, n_iter_, best_epoch_, net_, vectorization_
        Of `best_estimator_`.
    classes_ : ndarray of shape (n_classes,)
        The labels.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when X has names that are all strings.
    n_splits_ : int
        Folds times repeats; those of a repeat follow each other.
    scorer_ : callable
        What `score` uses.
    multimetric_ : bool
        Whether there are several metrics.
    batching_ : Batching
        How the ensembles were trained (``method`` is "program" or "one by one"), why,
        and as how many programs.

    See Also
    --------
    JointEnsembleClassifier : An ensemble of a given lam.
    sklearn_jointens.inspection.LamCurveDisplay : A picture of the search.
    sklearn.model_selection.GridSearchCV : A search over other parameters too.

    References
    ----------
    .. [1] A. Webb, C. Reynolds, W. Chen, H. Reeve, D. Iliescu, M. Lujan, G. Brown. "To
       Ensemble or Not Ensemble: When does End-To-End Training Fail?", ECML PKDD 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_jointens import JointEnsembleClassifierCV, mlp_classifier
    >>> X, y = load_iris(return_X_y=True)
    >>> member = mlp_classifier(hidden_layer_sizes=(4,), max_epochs=10)
    >>> search = JointEnsembleClassifierCV(
    ...     member, lams=[0, 0.5, 0.99], cv=3, random_state=0
    ... ).fit(X, y)
    >>> search.lam_ in (0, 0.5, 0.99), search.predict(X[:2]).shape
    (True, (2,))
    >>> search.batching_.method, search.cv_results_["mean_test_score"].shape
    ('program', (3,))
    """

    _parameter_constraints: dict = {
        **{
            name: JointEnsembleClassifier._parameter_constraints[name]
            for name in (*_OF_THE_ENSEMBLE, "random_state", "verbose")
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

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 8,
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
    def _fit(self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]) -> None:
        lams = check_lams(self)
        ensemble = self._ensemble()
        ensemble._resolve_prototype(owner=type(self).__name__)
        scorer = self._scorer()
        check_refit(self)
        # What this fit does not find is not what an earlier one has found.
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        X, y = indexable(as_one_array(type(self).__name__, X), as_numpy(y))
        checked = check_X_y(self, X, y, reset=True)
        self.classes_ = np.unique(checked[1])
        check_labels(self, checked[1], self.classes_)
        sample_weight = check_sample_weight(sample_weight, checked[0])
        weight = check_weight(self, sample_weight, *checked)
        check_weighted_classes(self, checked[1], weight)
        of_split, of_score = routed(self, scorer, sample_weight, params)
        splits = splits_of(self, X, y, of_split)
        copy_noted(self, ensemble)
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
        self.batching_, self.scorer_ = grid.batching, scorer
        self.lams_, self.n_splits_ = lams, len(splits)
        self.cv_results_, metrics = cv_results(self, ensemble, noted)
        self.multimetric_ = metrics != ["score"]
        check_refit(self, metrics if self.multimetric_ else None)
        self._choose()
        if self.refit:
            self._refit(ensemble, splits[0].seed, X, y, sample_weight)

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

    def _refit(self, ensemble: Any, seed: int, X: Any, y: Any, weight: Any) -> None:
        started = time.perf_counter()
        best = clone(ensemble).set_params(
            lam=self.lam_, random_state=seed, verbose=max(0, int(self.verbose) - 1)
        )
        self.best_estimator_ = fit_to_the_end(best, X, y, weight)
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
        return with_input_tags(tags, self.estimator)

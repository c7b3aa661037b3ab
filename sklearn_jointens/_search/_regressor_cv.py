"""`JointEnsembleRegressorCV`: lam chosen by cross-validation, in one program."""

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.metaestimators import available_if

from sklearn_jointens._regressor import JointEnsembleRegressor
from sklearn_jointens._search._refitted import RefittedEnsemble, refits
from sklearn_jointens._search._search import BaseJointEnsembleCV
from sklearn_jointens._tabular import with_tags_of_member


class JointEnsembleRegressorCV(RefittedEnsemble, RegressorMixin, BaseJointEnsembleCV):
    """A joint ensemble whose `lam` is chosen by cross-validation, in one program.

    The ensembles of every lam on every fold are trained together: members of all of
    them take their steps at once, those of one fold on the same batches, and those of
    one fold start from the same weights for every lam. The results are those of
    ``GridSearchCV(JointEnsembleRegressor(random_state=s), {"lam": lams})`` over the
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
    estimator : skorch NeuralNetRegressor or NeuralNet, default=None
        The members' prototype, as in :class:`JointEnsembleRegressor`.
    n_estimators : int, default=8
        Number of members of each ensemble.
    lams : sequence of float in [0, 1], default=(0, 0.5, 0.9, 0.99, 1)
        The candidates, each once.
    cv : int, splitter or iterable of (train, test), default=5
        The folds: a number, a splitter of scikit-learn, or rows.
    scoring : str, callable, list, tuple, set, dict or None, default=None
        As in :class:`~sklearn.model_selection.GridSearchCV`; ``None`` is R2.
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
    bootstrap, device, precision
        As in :class:`JointEnsembleRegressor`.
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
        mean member in the criterion's loss (eq. 5 of [1]_; rows are not weighted), for
        the default member of y in the units that it is learned in. A fit's time is an
        equal share of its program's.
    best_estimator_ : JointEnsembleRegressor
        Of the chosen lam, trained on all data; only with `refit`, like what follows.
    refit_time_ : float
        Seconds that it took.
    estimators_, member_scores_, history_, n_iter_, best_epoch_, net_, vectorization_
        Of `best_estimator_`.
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
    JointEnsembleRegressor : An ensemble of a given lam.
    sklearn_jointens.inspection.LamCurveDisplay : A picture of the search.
    sklearn.model_selection.GridSearchCV : A search over other parameters too.

    References
    ----------
    .. [1] A. Webb, C. Reynolds, W. Chen, H. Reeve, D. Iliescu, M. Lujan, G. Brown. "To
       Ensemble or Not Ensemble: When does End-To-End Training Fail?", ECML PKDD 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_jointens import JointEnsembleRegressorCV, mlp_regressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> member = mlp_regressor(hidden_layer_sizes=(4,), max_epochs=10)
    >>> search = JointEnsembleRegressorCV(
    ...     member, lams=[0, 0.5, 0.99], cv=3, random_state=0
    ... ).fit(scale(X), scale(y))
    >>> search.lam_ in (0, 0.5, 0.99), search.predict(X[:2]).shape
    (True, (2,))
    >>> search.batching_.method, search.cv_results_["mean_test_score"].shape
    ('program', (3,))
    """

    kind = JointEnsembleRegressor
    default_scoring = "r2"

    # Neither members nor a further result are metadata of the rows.
    __metadata_request__predict = {"members": UNUSED, "return_std": UNUSED}
    __metadata_request__score = {"members": UNUSED}

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
        self.device = device
        self.precision = precision
        self.max_memory = max_memory
        self.n_jobs = n_jobs
        self.error_score = error_score
        self.return_train_score = return_train_score
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, **params: Any
    ) -> "JointEnsembleRegressorCV":
        """Train ensembles of all lams on all splits, and the chosen one on all data.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), or array of \
shape (n_samples, ...)
            As in :class:`JointEnsembleRegressor`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Numbers, as in :class:`JointEnsembleRegressor`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows: in the loss, and in scores that take weights.
        **params : dict
            ``groups``, for the splitter. With metadata routing enabled, whatever the
            splitter and the scorers ask for.

        Returns
        -------
        self : JointEnsembleRegressorCV

        Raises
        ------
        ValueError, TypeError
            A parameter, X or y is not valid, or the member cannot take them; nothing
            has been trained then. Or no ensemble could be trained at all.
        """
        return self._search(X, y, sample_weight, params)

    @available_if(refits)
    def predict(self, X: Any, members: Any = None, return_std: bool = False) -> Any:
        """What `best_estimator_` predicts for each row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        members : array-like of int or bool, default=None
            The members to use; ``None`` is all.
        return_std : bool, default=False
            As in :meth:`JointEnsembleRegressor.predict`.

        Returns
        -------
        predictions : ndarray of shape (n_samples,) or (n_samples, n_targets)
        std : ndarray of the same shape
            Only with ``return_std=True``.
        """
        return self._best().predict(X, members=members, return_std=return_std)

    @available_if(refits)
    def member_predict(self, X: Any) -> np.ndarray:
        """Predictions of each member of `best_estimator_`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)

        Returns
        -------
        ndarray of shape (n_estimators, n_samples) or (n_estimators, n_samples, \
n_targets)
        """
        return self._best().member_predict(X)

    def __sklearn_tags__(self) -> Any:
        return with_tags_of_member(super().__sklearn_tags__(), self.estimator)

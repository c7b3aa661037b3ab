"""`JointEnsembleRegressor`: numbers and counts."""

from typing import Any

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils.metadata_routing import UNUSED

from sklearn_jointens._checks import (
    check_family_takes,
    check_known,
    check_numbers,
    check_weight,
)
from sklearn_jointens._compat import _fit_context
from sklearn_jointens._ensemble import BaseJointEnsemble
from sklearn_jointens._prototype import REGRESSORS
from sklearn_jointens._tabular import tabular_regressor, with_tags_of_member
from sklearn_jointens.training import Targets, targets_of


class JointEnsembleRegressor(RegressorMixin, BaseJointEnsemble):
    """An ensemble of neural networks for numbers, trained jointly as far as you choose.

    `n_estimators` copies of one skorch regressor are trained as one program with the
    Joint Training loss [1]_ (eq. 4)

    ``lam * loss(ensemble) + (1 - lam) * mean loss(members)``

    The members' criterion says what the loss is, and what the ensemble:

    ===============================  ===============================================
    ``MSELoss``                      Mean of the members. The joint loss is Negative
                                     Correlation Learning [2]_ with the penalty `lam`.
    ``PoissonNLLLoss``               Counts; the module puts out the logarithm of a
                                     rate. Geometric mean of the members' rates.
    `HeteroscedasticGaussianLoss`    The module puts out a mean and the logarithm of a
                                     variance for each target. Normalised product of
                                     the members' Gaussians: geometric mean again.
    ``L1Loss``, ``SmoothL1Loss``,    Mean of the members.
    ``HuberLoss``
    ===============================  ===============================================

    ``lam=0`` trains the members independently, as bagging does (with
    ``bootstrap=True``, also on bootstrap samples); ``lam=1`` trains one end-to-end
    network. The smaller the members, the more joint training helps.

    Parameters
    ----------
    estimator : skorch NeuralNetRegressor or NeuralNet, default=None
        The members' prototype, unfitted; see :class:`JointEnsembleClassifier` for what
        its settings mean, and which arguments of its module are taken from the data
        (`n_outputs` is the number of targets, or twice that with variances).
        It learns y as it is: scale y, for instance with scikit-learn's
        ``TransformedTargetRegressor``. ``None`` is :func:`tabular_regressor`, a member
        for tables as they come and y of any scale.
    n_estimators : int, default=8
        Number of members.
    lam : float in [0, 1], default=0.0
        0 trains independent members, 1 one end-to-end network. For members that are
        small for their task the best is higher: search it.
    bootstrap : bool, default=False
        Whether each member learns from a bootstrap sample of the rows, by weights of
        its own. No member learns from a row that is out of its bag, at any `lam`.
    oob_score : bool or callable, default=False
        Whether to score the ensemble on out-of-bag rows, each predicted by the members
        that have not seen it. By R2, or a callable ``metric(y_true, y_pred)``. Only
        with ``bootstrap=True``, and without `warm_start` and `partial_fit`.
    warm_start : bool, default=False
        Whether `fit` goes on from the members of an earlier `fit`. A larger
        `n_estimators` adds new members to them. The members' module, criterion and
        class have to be as they were, and y is measured in the units of the earlier
        fit; all other settings may change.
    device : str or torch.device, default=None
        Where to train and predict. ``"auto"`` is CUDA when there is one, else the CPU;
        ``None`` is the prototype's own (that of the default member is ``"auto"``).
    precision : {"tf32", "bf16"} or None, default=None
        Of training, as in :class:`JointEnsembleClassifier`.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, order of batches, dropout and bootstrap. The global
        states of torch, NumPy and Python are as before after every method.
    verbose : int, default=0
        1 prints a line an epoch, and shows a progress bar on long fits. The
        prototype's own `verbose` is not used.

    Attributes
    ----------
    estimators_ : list of skorch regressors
        The members, each a fitted regressor of the prototype's own class that predicts
        in y's own units. They are copies: what one of them learns by itself afterwards
        (``estimators_[0].partial_fit``) is not in the ensemble.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when X has names that are all strings.
    member_scores_ : ndarray of shape (n_estimators,)
        Each member's own R2 on rows of the last call: on its out-of-bag rows with
        ``bootstrap=True``, on those of its fold with :class:`MemberFolds` (as the
        default member has them), else on the validation data when the prototype has a
        `train_split`, else on the training data. `score_members` takes other rows.
    history_ : skorch History
        A row an epoch: `train_loss` (the joint loss), `valid_loss` (the ensemble's own
        loss) and, for train and valid, `..._ensemble_loss`, `..._member_loss`,
        `..._diversity`, and lists `..._member_losses`; also `train_member_gains`, and
        `train_effective_members`, how many do the work (see
        :class:`MemberDominanceWarning`). Losses of the default member are of y in units
        of its standard deviation (of counts, of their mean): with the squared error, 1
        less `valid_loss` is an R2. Where a callback has restored an epoch, `restored`
        says in each row whether this one.
    n_iter_ : int
        Number of epochs.
    best_epoch_ : int
        The epoch, counted from 1, whose weights the members have: the one that a
        callback has restored (as the default member does), else the last.
    net_ : skorch net
        The net that trained all members; its `stepping_` says how it took its steps.
    vectorization_ : Vectorization
        Which way the members were vectorized, and why.
    oob_score_ : float
        Score on out-of-bag rows, with ``oob_score``.
    oob_prediction_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Out-of-bag predictions, NaN where every member has seen the row; with
        ``oob_score``.

    See Also
    --------
    tabular_regressor : The default member.
    JointEnsembleRegressorCV : Chooses `lam` by cross-validation.
    JointEnsembleClassifier : The same for classes and labels.
    sklearn.ensemble.BaggingRegressor : Independent estimators of any kind.

    References
    ----------
    .. [1] A. Webb, C. Reynolds, W. Chen, H. Reeve, D. Iliescu, M. Lujan, G. Brown. "To
       Ensemble or Not Ensemble: When does End-To-End Training Fail?", ECML PKDD 2020.
    .. [2] Y. Liu, X. Yao. "Ensemble learning via negative correlation", Neural Networks
       12 (10), 1999. G. Brown, J. Wyatt, P. Tino. "Managing Diversity in Regression
       Ensembles", JMLR 6, 2005.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn_jointens import JointEnsembleRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> reg = JointEnsembleRegressor(random_state=0).fit(X_train, y_train)
    >>> reg.score(X_test, y_test)
    0.3
    >>> reg.predict(X_test).shape, reg.member_predict(X_test).shape
    ((111,), (8, 111))
    >>> len(reg.drop_members([0, 3]).estimators_)
    6
    """

    make_member = staticmethod(tabular_regressor)
    prototypes = REGRESSORS

    # Neither members nor a further result are metadata of the rows.
    __metadata_request__score = {"members": UNUSED}
    __metadata_request__predict = {"members": UNUSED, "return_std": UNUSED}

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 8,
        lam: float = 0.0,
        *,
        bootstrap: bool = False,
        oob_score: Any = False,
        warm_start: bool = False,
        device: Any = None,
        precision: str | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.lam = lam
        self.bootstrap = bootstrap
        self.oob_score = oob_score
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    # -- fitting ---------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None
    ) -> "JointEnsembleRegressor":
        """Train all members.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), or array of \
shape (n_samples, ...)
            As in :class:`JointEnsembleClassifier`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Finite numbers; of at least 0 with ``PoissonNLLLoss``.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, in both terms of the loss.

        Returns
        -------
        self : JointEnsembleRegressor

        Raises
        ------
        ValueError, TypeError
            A parameter, X or y is not valid, or the member cannot take them. Nothing
            has been trained then.
        DivergenceError
            The loss became NaN or infinite.
        """
        return self._fit(X, y, sample_weight)

    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None
    ) -> "JointEnsembleRegressor":
        """Train for one epoch on these rows, from where training stands.

        Members, optimizer and batches stay as they are in the first call, and so do the
        units that y is learned in: of the settings of members and training only `lam`
        and `precision` may change.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
            As in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            As in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : JointEnsembleRegressor
        """
        return self._partial_fit(X, y, sample_weight)

    _check_y = check_numbers

    def _targets_and_weight(
        self,
        prototype: Any,
        y: np.ndarray,
        sample_weight: Any,
        known: Targets | None = None,
        owner: str | None = None,
    ) -> tuple[Targets, np.ndarray | None]:
        weight = check_weight(sample_weight, y)
        owner = type(self).__name__ if owner is None else owner
        check_family_takes(owner, prototype, y)
        targets = targets_of(prototype, y, weight) if known is None else known
        check_known(owner, y, targets)
        return targets, weight

    # -- predicting ------------------------------------------------------------------

    def predict(self, X: Any, members: Any = None, return_std: bool = False) -> Any:
        """The ensemble's prediction for each row, in y's own units.

        The mean of the members' outputs; with ``PoissonNLLLoss`` the geometric mean of
        their rates, with `HeteroscedasticGaussianLoss` the mean of their means,
        weighted by precision.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
            Predicted in chunks of rows.
        members : array-like of int or bool, default=None
            Indices or mask of the members to use; only these run. ``None`` is all.
        return_std : bool, default=False
            Whether to return the standard deviations of the ensemble's Gaussians too;
            with `HeteroscedasticGaussianLoss` only. Their precision is the mean of the
            members' precisions: they are the noise that the members see in y, and do
            not grow where members disagree.

        Returns
        -------
        predictions : ndarray of shape (n_samples,) or (n_samples, n_targets)
        std : ndarray of the same shape
            Only with ``return_std=True``.

        Raises
        ------
        ValueError
            With `return_std`, when the members' criterion knows no variance.
        """
        family = self._family
        if not return_std:
            return self._said(self._of_ensemble(family.predicted, X, members))
        if not hasattr(family, "std"):
            raise ValueError(
                f"The 'return_std' parameter of {type(self).__name__}.predict must be "
                "False unless the members' criterion is HeteroscedasticGaussianLoss, "
                f"which learns variances. Got {return_std!r} instead."
            )
        both = self._of_ensemble(
            lambda z: torch.stack([family.predicted(z), family.std(z)], 1), X, members
        )
        targets = self.net_.targets_
        return targets.decode(both[:, 0]), targets.decode_std(both[:, 1])

    def member_predict(self, X: Any) -> np.ndarray:
        """Each member's own predictions, in y's own units.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)

        Returns
        -------
        ndarray of shape (n_estimators, n_samples) or (n_estimators, n_samples, \
n_targets)
        """
        return self._said(self._of_members(self._family.predicted, X))

    def score(
        self, X: Any, y: Any, sample_weight: Any = None, members: Any = None
    ) -> float:
        """R2 of the ensemble.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        members : array-like of int or bool, default=None
            As in `predict`.

        Returns
        -------
        float
            Of several targets, the mean of their R2.
        """
        return self._score(X, y, sample_weight, members)

    def _keep_out_of_bag(self, targets: Targets, predicted: np.ndarray) -> None:
        self.oob_prediction_ = targets.decode(predicted)

    def __sklearn_tags__(self) -> Any:
        return with_tags_of_member(super().__sklearn_tags__(), self.estimator)

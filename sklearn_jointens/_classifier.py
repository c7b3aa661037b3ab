"""`JointEnsembleClassifier`: bagging for neural networks with a dial."""

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metadata_routing import UNUSED

from sklearn_jointens._checks import (
    check_class_weight,
    check_classes,
    check_known,
    check_member_of_labels,
    check_told_classes,
    check_weight,
    check_weighted_classes,
    targets_told,
)
from sklearn_jointens._compat import StrOptions, _fit_context
from sklearn_jointens._ensemble import BaseJointEnsemble
from sklearn_jointens._prototype import CLASSIFIERS
from sklearn_jointens._tabular import tabular_classifier, with_tags_of_member
from sklearn_jointens.training import Targets, targets_of


class JointEnsembleClassifier(ClassifierMixin, BaseJointEnsemble):
    """An ensemble of neural networks, trained jointly to a degree of your choice.

    `n_estimators` copies of one skorch classifier are trained as one program with the
    Joint Training loss [1]_ (eq. 4)

    ``lam * CE(ensemble) + (1 - lam) * mean CE(members)``

    whose ensemble is the normalised geometric mean of the members' probabilities.
    ``lam=0`` trains the members independently, as bagging does (with
    ``bootstrap=True``, also on bootstrap samples); ``lam=1`` trains one end-to-end
    network; the best is often between. The smaller the members, the more joint training
    helps.

    y holds classes, or several labels, each of which a row has or has not; each label
    is then combined by itself, and its loss is a binary one.
    :class:`JointEnsembleRegressor` is for numbers.

    Parameters
    ----------
    estimator : skorch NeuralNetClassifier or NeuralNetBinaryClassifier, default=None
        The members' prototype, unfitted. Its module, criterion, optimizer, lr,
        max_epochs, batch_size, callbacks, train_split, iterators, dataset and compile
        settings mean what they mean in skorch, for each member: `lr` is a member's
        learning rate, whatever `n_estimators` and `lam` are. The criterion is
        ``CrossEntropyLoss``, ``NLLLoss`` (on probabilities) or ``BCEWithLogitsLoss``
        (one logit for two classes, or one for each of several labels).
        Arguments of the module named `n_features_in`, `in_features`, `n_features`,
        `n_inputs`, `num_features`, `input_dim`, `input_size`; `n_outputs`,
        `out_features`, `n_classes`, `num_classes`, `output_dim`, `output_size`;
        `in_channels`, `n_channels` and `dtype` are taken from the data unless the
        prototype sets them. ``None`` is :func:`tabular_classifier`, a member for tables
        as they come, and for classes.
    n_estimators : int, default=8
        Number of members.
    lam : float in [0, 1], default=0.0
        0 trains independent members, 1 one end-to-end network. The default is best for
        the default member, whose size leaves joint training little to gain
        (``examples/benchmarks/choose_tabular.py``). For smaller members the best is
        higher, and the gain large: search it.
    bootstrap : bool, default=False
        Whether each member learns from a bootstrap sample of the rows, by weights of
        its own. No member learns from a row that is out of its bag, at any `lam`.
    oob_score : bool or callable, default=False
        Whether to score the ensemble on out-of-bag rows, each predicted by the members
        that have not seen it. By accuracy, or a callable ``metric(y_true, y_pred)``.
        Only with ``bootstrap=True``, and without `warm_start` and `partial_fit`.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied into the rows' weights. "balanced" is
        ``n_samples / (n_classes * bincount(y))``. ``None`` for several labels, which
        the criterion's ``pos_weight`` can weigh.
    warm_start : bool, default=False
        Whether `fit` goes on from the members of an earlier `fit`. A larger
        `n_estimators` adds new members to them. The members' module, criterion and
        class have to be as they were; all other settings may change.
    device : str or torch.device, default=None
        Where to train and predict. ``"auto"`` is CUDA when there is one, else the CPU;
        ``None`` is the prototype's own (that of the default member is ``"auto"``).
    precision : {"tf32", "bf16"} or None, default=None
        Of training, for members in float32 (see `fit`). ``"tf32"`` allows
        TensorFloat-32 in matrix products and convolutions on CUDA; ``"bf16"`` runs the
        forward pass under ``torch.autocast`` with bfloat16, on CUDA or the CPU, and
        leaves weights and loss in float32; ``None`` is torch's own settings. Validation
        and prediction stay in float32, so that the ensemble is what its members are.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, order of batches, dropout and bootstrap. The global
        states of torch, NumPy and Python are as before after every method.
    verbose : int, default=0
        1 prints a line an epoch, and shows a progress bar on long fits. The
        prototype's own `verbose` is not used.

    Attributes
    ----------
    estimators_ : list of skorch classifiers
        The members, each a fitted classifier of the prototype's own class that
        predicts the original classes or labels. They are copies: what one of them
        learns by itself afterwards (``estimators_[0].partial_fit``) is not in the
        ensemble.
    classes_ : ndarray of shape (n_classes,) or (n_labels,)
        The classes, sorted; of several labels their numbers, from 0.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when X has names that are all strings.
    member_scores_ : ndarray of shape (n_estimators,)
        Each member's own accuracy (of several labels, all have to be right) on rows of
        the last call: on its out-of-bag rows
        with ``bootstrap=True``, on those of its fold with :class:`MemberFolds` (as the
        default member has them), else on the validation data when the prototype has a
        `train_split`, else on the training data. `score_members` takes other rows.
    history_ : skorch History
        A row an epoch: `train_loss` (the joint loss), `valid_loss` (the ensemble's own
        loss) and, for train and valid, `..._ensemble_loss`, `..._member_loss`,
        `..._diversity`, and lists `..._member_losses`, `..._member_accuracies`; also
        `train_member_gains`, and `train_effective_members`, how many do the work (see
        :class:`MemberDominanceWarning`). Where a callback has restored an epoch,
        `restored` says in each row whether this one.
    n_iter_ : int
        Number of epochs.
    best_epoch_ : int
        The epoch, counted from 1, whose weights the members have: the one that a
        callback has restored (``EarlyStopping`` or ``Checkpoint`` with `load_best`, as
        the default member does), else the last.
    net_ : skorch classifier
        The net that trained all members; its `stepping_` says how it took its steps.
    vectorization_ : Vectorization
        Which way the members were vectorized, and why.
    oob_score_ : float
        Score on out-of-bag rows, with ``oob_score``.
    oob_decision_function_ : ndarray of shape (n_samples, n_classes) or (n_samples, \
n_labels)
        Out-of-bag probabilities, NaN where every member has seen the row; with
        ``oob_score``.

    See Also
    --------
    tabular_classifier : The default member.
    JointEnsembleRegressor : The same for numbers and counts.
    JointEnsembleClassifierCV : Chooses `lam` by cross-validation.
    sklearn.ensemble.BaggingClassifier : Independent estimators of any kind.
    sklearn.ensemble.StackingClassifier : Estimators combined by a further one.

    References
    ----------
    .. [1] A. Webb, C. Reynolds, W. Chen, H. Reeve, D. Iliescu, M. Lujan, G. Brown. "To
       Ensemble or Not Ensemble: When does End-To-End Training Fail?", ECML PKDD 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn_jointens import JointEnsembleClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> clf = JointEnsembleClassifier(lam=0.5, random_state=0).fit(X_train, y_train)
    >>> clf.score(X_test, y_test)
    0.98
    >>> clf.predict_proba(X_test).shape, clf.member_proba(X_test).shape
    ((450, 10), (8, 450, 10))
    >>> len(clf.drop_members([0, 3]).estimators_)
    6
    """

    _parameter_constraints: dict = {
        **BaseJointEnsemble._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    make_member = staticmethod(tabular_classifier)
    prototypes = CLASSIFIERS

    # Which members to use is no metadata of the rows.
    __metadata_request__score = {"members": UNUSED}
    __metadata_request__predict = {"members": UNUSED}
    __metadata_request__predict_proba = {"members": UNUSED}
    __metadata_request__predict_log_proba = {"members": UNUSED}

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 8,
        lam: float = 0.0,
        *,
        bootstrap: bool = False,
        oob_score: Any = False,
        class_weight: Any = None,
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
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    # -- fitting ---------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None
    ) -> "JointEnsembleClassifier":
        """Train all members.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), or array of \
shape (n_samples, ...)
            Arrays, frames of pandas and polars, torch tensors, CSR and CSC matrices
            (made dense a batch at a time), images. The default member takes missing
            values, and columns that are categories or text. Members compute in the
            dtype of their weights: for a module that takes a `dtype`, float64 when X
            is, else float32.
        y : array-like of shape (n_samples,), or array-like or sparse matrix of shape \
(n_samples, n_labels)
            Classes of any type, at least two; or labels, 1 where a row has one and
            else 0.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, in both terms of the loss.

        Returns
        -------
        self : JointEnsembleClassifier

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
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> "JointEnsembleClassifier":
        """Train for one epoch on these rows, from where training stands.

        Members, optimizer and batches stay as they are in the first call: of the
        settings of members and training only `lam` and `precision` may change.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
            As in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            As in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All classes there will be; needed in the first call, unless y holds several
            labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : JointEnsembleClassifier
        """
        if hasattr(self, "estimators_"):
            check_told_classes(type(self).__name__, classes, self.classes_)
        return self._partial_fit(
            X,
            y,
            sample_weight,
            lambda prototype, y: targets_told(
                type(self).__name__, prototype, y, classes
            ),
        )

    _check_y = check_classes

    def _targets_and_weight(
        self,
        prototype: Any,
        y: np.ndarray,
        sample_weight: Any,
        known: Targets | None = None,
        owner: str | None = None,
    ) -> tuple[Targets, np.ndarray | None]:
        targets = targets_of(prototype, y) if known is None else known
        owner = type(self).__name__ if owner is None else owner
        check_member_of_labels(owner, self.estimator, y)
        check_known(owner, y, targets)
        weight = check_weight(sample_weight, y)
        weight = check_class_weight(owner, self.class_weight, weight, y)
        check_weighted_classes(owner, y, weight)
        return targets, weight

    # -- predicting ------------------------------------------------------------------

    def predict_proba(self, X: Any, members: Any = None) -> np.ndarray:
        """Normalised geometric mean of the members' probabilities.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
            Predicted in chunks of rows.
        members : array-like of int or bool, default=None
            Indices or mask of the members to use; only these run. ``None`` is all.

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            Probabilities, in the order of `classes_`. Those of labels do not sum to 1.
        """
        return self._of_ensemble(self._family.predicted, X, members)

    def predict_log_proba(self, X: Any, members: Any = None) -> np.ndarray:
        """Logarithm of `predict_proba`, exact where that would be 0 or 1.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        members : array-like of int or bool, default=None
            As in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        return self._of_ensemble(self._family.log_proba, X, members)

    def predict(self, X: Any, members: Any = None) -> np.ndarray:
        """The most probable class of each row, or the labels that it has.

        A row has the labels that are more probable than one half. A
        `NeuralNetBinaryClassifier`'s `threshold` is respected.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        members : array-like of int or bool, default=None
            As in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        return self._said(self.predict_proba(X, members=members))

    def member_proba(self, X: Any) -> np.ndarray:
        """Each member's own probabilities.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)

        Returns
        -------
        ndarray of shape (n_estimators, n_samples, n_classes) or (n_estimators, \
n_samples, n_labels)
        """
        return self._of_members(self._family.predicted, X)

    def score(
        self, X: Any, y: Any, sample_weight: Any = None, members: Any = None
    ) -> float:
        """Accuracy of the ensemble.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Classes; or labels, all of which have to be right.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        members : array-like of int or bool, default=None
            As in `predict_proba`.

        Returns
        -------
        float
        """
        return self._score(X, y, sample_weight, members)

    @property
    def classes_(self) -> np.ndarray:
        """The classes, in the order of probabilities; of several labels, numbers."""
        return self.net_.targets_.classes

    def _keep_out_of_bag(self, targets: Targets, predicted: np.ndarray) -> None:
        self.oob_decision_function_ = predicted

    def __sklearn_tags__(self) -> Any:
        return with_tags_of_member(super().__sklearn_tags__(), self.estimator)

"""`JointEnsembleClassifier`: bagging for neural networks with a dial."""

import os
import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score, check_scoring
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_jointens import _persistence
from sklearn_jointens._base import BaseJointEnsemble
from sklearn_jointens._compat import StrOptions, _check_sample_weight, _fit_context


class JointEnsembleClassifier(ClassifierMixin, BaseJointEnsemble):
    """An ensemble of neural networks, trained jointly to a degree of your choice.

    `n_estimators` copies of one skorch classifier are trained as one program with the
    Joint Training loss [1]_ (eq. 4)

    ``lam * CE(ensemble) + (1 - lam) * mean CE(members)``

    whose ensemble is the normalised geometric mean of the members' probabilities.
    ``lam=0`` trains the members independently, as bagging does (with
    ``bootstrap=True``, exactly so); ``lam=1`` trains one end-to-end network; the best
    is often between. The smaller the members, the more joint training helps.

    Parameters
    ----------
    estimator : skorch NeuralNetClassifier or NeuralNetBinaryClassifier, default=None
        The members' prototype, unfitted. Its module, criterion, optimizer, lr,
        max_epochs, batch_size, callbacks, train_split, iterators, dataset and compile
        settings mean what they mean in skorch, for each member: `lr` is a member's
        learning rate, whatever `n_estimators` and `lam` are. The criterion is
        ``CrossEntropyLoss``, ``NLLLoss`` (on probabilities) or ``BCEWithLogitsLoss``.
        Arguments of the module named `n_features_in`, `in_features`, `n_features`,
        `n_inputs`, `num_features`, `input_dim`, `input_size`; `n_classes`,
        `out_features`, `n_outputs`, `num_classes`, `output_dim`, `output_size`;
        `in_channels`, `n_channels` and `dtype` are taken from the data unless the
        prototype sets them. ``None`` is :func:`mlp_classifier`.
    n_estimators : int, default=10
        Number of members.
    lam : float in [0, 1], default=0.9
        0 trains independent members, 1 one end-to-end network.
    bootstrap : bool, default=False
        Whether each member learns from a bootstrap sample of the rows, by weights of
        its own. No member learns from a row that is out of its bag, at any `lam`.
    oob_score : bool or callable, default=False
        Whether to score the ensemble on out-of-bag rows, each predicted by the members
        that have not seen it. By accuracy, or a callable ``metric(y_true, y_pred)``.
        Only with ``bootstrap=True``.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied into the rows' weights. "balanced" is
        ``n_samples / (n_classes * bincount(y))``.
    warm_start : bool, default=False
        Whether `fit` goes on from the members of an earlier `fit`. A larger
        `n_estimators` adds new members to them.
    device : str or torch.device, default=None
        Where to train and predict. ``"auto"`` is CUDA when there is one, else the CPU;
        ``None`` is the prototype's own (that of the default member is ``"auto"``).
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
        predicts the original labels.
    classes_ : ndarray of shape (n_classes,)
        The labels.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has names that are all strings.
    member_scores_ : ndarray of shape (n_estimators,)
        Each member's own accuracy: on its out-of-bag rows with ``bootstrap=True``, else
        on the validation data when the prototype has a `train_split`, else on the
        training data.
    history_ : skorch History
        A row an epoch: `train_loss` (the joint loss), `valid_loss` (the ensemble's own
        loss) and, for train and valid, `..._ensemble_loss`, `..._member_loss`,
        `..._diversity`, and lists `..._member_losses`, `..._member_accuracies`.
    net_ : skorch classifier
        The net that trained all members.
    vectorization_ : Vectorization
        Which way the members were vectorized, and why.
    oob_score_ : float
        Score on out-of-bag rows, with ``oob_score``.
    oob_decision_function_ : ndarray of shape (n_samples, n_classes)
        Out-of-bag probabilities, NaN where every member has seen the row; with
        ``oob_score``.

    See Also
    --------
    mlp_classifier : The default member.
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
    >>> X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    >>> clf = JointEnsembleClassifier(lam=0.5, random_state=0).fit(X_train, y_train)
    >>> bool(clf.score(X_test, y_test) > 0.95)
    True
    >>> clf.predict_proba(X_test).shape, clf.member_proba(X_test).shape
    ((450, 10), (10, 450, 10))
    >>> len(clf.drop_members([0, 3]).estimators_)
    8
    """

    _parameter_constraints: dict = {
        **BaseJointEnsemble._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 10,
        lam: float = 0.9,
        *,
        bootstrap: bool = False,
        oob_score: Any = False,
        class_weight: Any = None,
        warm_start: bool = False,
        device: Any = None,
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
        self.random_state = random_state
        self.verbose = verbose

    # -- fitting ---------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "JointEnsembleClassifier":
        """Train all members.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), or array of \
shape (n_samples, ...)
            Arrays, frames of pandas and polars, torch tensors, CSR and CSC matrices
            (made dense a batch at a time), images. Members compute in the dtype of
            their weights: for a module that takes a `dtype` (the default one does),
            float64 when X is, else float32.
        y : array-like of shape (n_samples,)
            Labels of any type, at least two.
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
        going_on = self._is_going_on()
        if going_on:
            self._check_n_estimators_when_going_on()
        prototype = self._resolve_prototype()
        with self._all_or_nothing():
            X, y = self._check_X_y(X, y, reset=not going_on)
            labels = self.classes_ if going_on else np.unique(y)
            self._check_labels(y, labels)
            weight = self._check_weight(sample_weight, X, y)
            self._check_seen_classes(y, weight)
            self._train(
                prototype,
                X,
                y,
                labels,
                weight,
                members=self.estimators_ if going_on else [],
                history=self.history_ if going_on else None,
            )
            self.classes_ = labels
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> "JointEnsembleClassifier":
        """Train for one epoch on these rows, from where training stands.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
            As in `fit`.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All labels there will be; needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : JointEnsembleClassifier
        """
        first = not hasattr(self, "estimators_")
        prototype = self._resolve_prototype()
        classes = self._check_classes(classes, first)
        with self._all_or_nothing():
            X, y = self._check_X_y(X, y, reset=first)
            self._check_labels(y, classes)
            weight = self._check_weight(sample_weight, X, y)
            if first:
                self._train(prototype, X, y, classes, weight, members=[], epochs=1)
            else:
                self._train_further(X, y, weight)
            self.classes_ = classes
        return self

    def _check_classes(self, classes: Any, first: bool) -> np.ndarray:
        """All labels there will be, of the first call of `partial_fit` or this one."""
        if classes is None and first:
            raise ValueError(
                "The 'classes' parameter of JointEnsembleClassifier.partial_fit must "
                "hold all labels in the first call. Got None instead."
            )
        if classes is None:
            return self.classes_
        classes = np.unique(_as_numpy(classes))
        if not first and not np.array_equal(classes, self.classes_):
            raise ValueError(
                "The 'classes' parameter of JointEnsembleClassifier.partial_fit must "
                f"be as in the first call, {self.classes_.tolist()}. "
                f"Got {classes.tolist()} instead."
            )
        return classes

    def _check_X_y(self, X: Any, y: Any, reset: bool) -> tuple[Any, np.ndarray]:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        X, y = validate_data(
            self,
            _as_numpy(X),
            _as_numpy(y),
            reset=reset,
            **_INPUT_CHECKS,
        )
        self._check_row_shape(X, reset)
        check_classification_targets(y)
        return X, column_or_1d(y, warn=False)

    def _check_X(self, X: Any) -> Any:
        check_is_fitted(self)
        X = validate_data(self, _as_numpy(X), reset=False, **_INPUT_CHECKS)
        self._check_row_shape(X, reset=False)
        return X

    def _check_row_shape(self, X: Any, reset: bool) -> None:
        if reset:
            self._row_shape = X.shape[1:]
        elif X.shape[1:] != self._row_shape:
            raise ValueError(
                f"X has rows of shape {X.shape[1:]}, but {type(self).__name__} is "
                f"expecting rows of shape {self._row_shape}."
            )

    def _check_labels(self, y: np.ndarray, labels: np.ndarray) -> None:
        if len(labels) < 2:
            raise ValueError(
                "The 'y' parameter of JointEnsembleClassifier must hold at least 2 "
                f"classes. Got {len(labels)} class instead: {labels.tolist()}."
            )
        unknown = np.setdiff1d(y, labels)
        if len(unknown):
            raise ValueError(
                "The 'y' parameter of JointEnsembleClassifier must hold the classes "
                f"{labels.tolist()}. Got {unknown.tolist()} besides."
            )

    def _check_seen_classes(self, y: np.ndarray, weight: np.ndarray | None) -> None:
        if weight is not None:
            seen = np.unique(y[weight > 0])
            if len(seen) < 2:
                raise ValueError(
                    "The 'sample_weight' and 'class_weight' parameters of "
                    "JointEnsembleClassifier must leave rows of at least 2 classes "
                    f"with a weight above 0. Got {len(seen)} class instead: "
                    f"{seen.tolist()}."
                )

    def _check_weight(
        self, sample_weight: Any, X: Any, y: np.ndarray
    ) -> np.ndarray | None:
        """Row weights of `sample_weight` and `class_weight`; None where all are 1."""
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(
                _as_numpy(sample_weight),
                X,
                dtype=np.float64,
                ensure_non_negative=True,
                allow_all_zero_weights=False,
            )
        if self.class_weight is not None:
            by_class = compute_sample_weight(self.class_weight, y)
            weight = by_class if weight is None else weight * by_class
        return weight

    def _score_after_training(self, net: Any, X: Any, y: np.ndarray) -> None:
        """Members' own scores, and the out-of-bag score of the ensemble."""
        if self._bags is None:
            data = getattr(net, "scored_", None)
            data = net.get_dataset(X, y) if data is None else data
            self.member_scores_ = self._member_accuracies(data)
            return
        encoded = np.searchsorted(net.labels_, y)
        hits = np.zeros(len(self._bags))
        proba = np.full((X.shape[0], len(net.labels_)), np.nan)
        start = 0
        for natural, _ in net.natural_iter(X):
            rows = slice(start, start + natural.shape[2])
            start = rows.stop
            out = torch.as_tensor(self._bags[:, rows] == 0, device=natural.device)
            target = torch.as_tensor(encoded[rows], device=natural.device)
            correct = net.family_.is_correct(natural, target) & out
            hits += correct.sum(1).cpu().numpy()
            voters = out.sum(0)
            mean = (natural * out[:, None, :]).sum(0) / voters
            proba[rows] = net.family_.proba(mean).cpu().numpy()
        n_out = (self._bags == 0).sum(1)
        self.member_scores_ = np.divide(
            hits, n_out, out=np.full(len(hits), np.nan), where=n_out > 0
        )
        if self.oob_score:
            self._keep_oob(proba, y, net.labels_)

    def _keep_oob(self, proba: np.ndarray, y: np.ndarray, labels: np.ndarray) -> None:
        known = ~np.isnan(proba).any(axis=1)
        if not known.all():
            warnings.warn(
                f"{(~known).sum()} rows are in the bag of every member and have no "
                "out-of-bag prediction. Raise 'n_estimators'.",
                OutOfBagWarning,
                stacklevel=6,
            )
        metric = self.oob_score if callable(self.oob_score) else accuracy_score
        predicted = labels[proba[known].argmax(axis=1)]
        self.oob_decision_function_ = proba
        self.oob_score_ = float(metric(y[known], predicted)) if known.any() else np.nan

    def _member_accuracies(self, data: Any) -> np.ndarray:
        """Accuracy of each member on a data set of the net's."""
        hits, n_rows = 0, 0
        for natural, y in self.net_.natural_iter(data):
            hits = hits + self.net_.family_.is_correct(natural, y).sum(1)
            n_rows += natural.shape[2]
        return torch.as_tensor(hits).cpu().numpy() / n_rows

    # -- predicting ------------------------------------------------------------------

    def predict_proba(self, X: Any, members: Any = None) -> np.ndarray:
        """Normalised geometric mean of the members' class probabilities.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
            Predicted in chunks of rows.
        members : array-like of int or bool, default=None
            Indices or mask of the members to use; only these run. ``None`` is all.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`.
        """
        X = self._check_X(X)
        if members is not None:
            members = self._members_at(members)
            if len(members) == 0:
                raise ValueError(
                    f"The 'members' parameter of {type(self).__name__} must hold at "
                    "least one member. Got none instead."
                )
        proba = self.net_.family_.proba
        chunks = (
            proba(natural.mean(0)) for natural, _ in self.net_.natural_iter(X, members)
        )
        return _gather(chunks, (X.shape[0], len(self.classes_)), axis=0)

    def predict_log_proba(self, X: Any, members: Any = None) -> np.ndarray:
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        members : array-like of int or bool, default=None
            As in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X, members=members))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row.

        A `NeuralNetBinaryClassifier`'s `threshold` is respected.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        proba = self.predict_proba(X)
        threshold = getattr(self.net_, "threshold", 0.5)
        if threshold != 0.5:
            return self.classes_[(proba[:, 1] > threshold).astype(int)]
        return self.classes_[proba.argmax(axis=1)]

    def member_proba(self, X: Any) -> np.ndarray:
        """Each member's own class probabilities.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)

        Returns
        -------
        ndarray of shape (n_estimators, n_samples, n_classes)
        """
        X = self._check_X(X)
        proba = self.net_.family_.proba
        chunks = (proba(natural) for natural, _ in self.net_.natural_iter(X))
        shape = (len(self.estimators_), X.shape[0], len(self.classes_))
        return _gather(chunks, shape, axis=1)

    def score_members(self, X: Any, y: Any, scoring: Any = None) -> np.ndarray:
        """Each member's own score.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        y : array-like of shape (n_samples,)
            Labels.
        scoring : str, callable or None, default=None
            A scorer as scikit-learn knows them; ``None`` is accuracy.

        Returns
        -------
        ndarray of shape (n_estimators,)
        """
        X = self._check_X(X)
        y = column_or_1d(_as_numpy(y))
        if scoring is None:
            self._check_labels(y, self.classes_)
            return self._member_accuracies(self.net_.get_dataset(X, y))
        scorer = check_scoring(self.estimators_[0], scoring=scoring)
        return np.array([scorer(member, X, y) for member in self.estimators_])

    def drop_members(
        self,
        members: Any = None,
        *,
        n_weakest: int | None = None,
        X: Any = None,
        y: Any = None,
        scoring: Any = None,
    ) -> "JointEnsembleClassifier":
        """A fitted ensemble without some of the members.

        Parameters
        ----------
        members : array-like of int or bool, default=None
            Indices or mask of the members to drop.
        n_weakest : int, default=None
            Instead of `members`: drop this many, those that score lowest on X and y.
        X : array-like or sparse matrix of shape (n_samples, ...), default=None
            Validation data for `n_weakest`.
        y : array-like of shape (n_samples,), default=None
            Its labels.
        scoring : str, callable or None, default=None
            As in `score_members`.

        Returns
        -------
        JointEnsembleClassifier
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
            scores = self.score_members(X, y, scoring)
            members = np.argsort(scores, kind="stable")[:n_weakest]
        return self._without(self._members_at(members))

    def _restrict_to(self, kept: np.ndarray) -> "JointEnsembleClassifier":
        self.member_scores_ = self.member_scores_[kept]
        for name in ("oob_score_", "oob_decision_function_"):
            vars(self).pop(name, None)  # of the whole ensemble
        return self

    # -- keeping ---------------------------------------------------------------------

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
    def load(
        cls, path: str | os.PathLike[str], estimator: Any = None
    ) -> "JointEnsembleClassifier":
        """Read an ensemble that `save` has written.

        Parameters
        ----------
        path : str or path-like
        estimator : skorch classifier, default=None
            The prototype that was fitted; needed unless it was the default member or
            made by :func:`mlp_classifier`, because a file without code cannot hold it.

        Returns
        -------
        JointEnsembleClassifier

        Raises
        ------
        ValueError
            When the file is truncated, of another kind, or does not fit `estimator`.
        """
        return _persistence.load(cls, path, estimator)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        return tags


class OutOfBagWarning(UserWarning):
    """Some rows have no out-of-bag prediction."""


_INPUT_CHECKS: dict[str, Any] = {
    "accept_sparse": "csr",
    "dtype": "numeric",
    "allow_nd": True,
}


def _as_numpy(data: Any) -> Any:
    """A torch tensor as an array; anything else as it is."""
    if not isinstance(data, torch.Tensor):
        return data
    data = data.detach().cpu()
    return (data.float() if data.dtype == torch.bfloat16 else data).numpy()


def _gather(chunks: Iterator[torch.Tensor], shape: tuple, axis: int) -> np.ndarray:
    """Chunks of rows as one array, which is all that is held of them."""
    out: np.ndarray | None = None
    start = 0
    for chunk in chunks:
        rows = chunk.cpu().numpy()
        if out is None:
            out = np.empty(shape, dtype=rows.dtype)
        stop = start + rows.shape[axis]
        out[(slice(None),) * axis + (slice(start, stop),)] = rows
        start = stop
    assert out is not None
    return out

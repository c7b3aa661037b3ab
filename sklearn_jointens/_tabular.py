"""The member for tables, which is used when none is given."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from sklearn.utils import get_tags
from skorch import NeuralNet, NeuralNetBinaryClassifier
from torch import nn

from sklearn_jointens.nn import TabularMLP
from sklearn_jointens.training import (
    BestEpoch,
    MemberFolds,
    TabularNetClassifier,
    TabularNetRegressor,
)
from sklearn_jointens.training._callbacks import besides
from sklearn_jointens.training._shown import show_changes_from
from sklearn_jointens.training._targets import criterion_class


def tabular_classifier(
    hidden_layer_sizes: int | tuple[int, ...] = (256, 256),
    activation: str = "relu",
    dropout: float = 0.0,
    *,
    n_bins: int | str = "auto",
    lr: float | str = "auto",
    weight_decay: float | str = "auto",
    batch_size: int | str = "auto",
    max_epochs: int = 100,
    patience: int = 8,
    n_drops: int = 0,
    n_splits: int = 8,
    **net_params: Any,
) -> TabularNetClassifier:
    """A multilayer perceptron for tables as they come, ready to be a member.

    The member of an ensemble that is given none. It takes numbers of any scale, missing
    values, and frames whose columns are categories, text or booleans, and needs no
    pipeline before it: what its :class:`~sklearn_jointens.nn.TabularEncoding` has to
    know of the data (medians, quartiles, quantiles, categories) is learned from the
    training rows of each fit. Unknown categories count as none, sparse matrices are
    made dense a batch at a time.

    It is trained with AdamW until the validation loss has not fallen for `patience`
    epochs, and goes back to the best epoch. In an ensemble that is the loss of the
    ensemble: each member leaves one of `n_splits` folds out, and each row is predicted
    by the members that have not seen it; these are all rows where there are at least as
    many members as folds.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(256, 256)
        Units of each hidden layer.
    activation : {"relu", "tanh", "gelu", "silu", "logistic", "identity"}, \
default="relu"
        Of the hidden layers.
    dropout : float in [0, 1), default=0.0
        Share of hidden units that is dropped in training.
    n_bins : int or "auto", default="auto"
        Bins of a column of numbers, at most; 0 is none. ``"auto"`` is 8, or fewer where
        1,024 bins are not enough for all columns.
    lr : float or "auto", default="auto"
        AdamW's learning rate. ``"auto"`` is 0.004, and below 2,500 rows 0.004 times the
        root of their share of 2,500, as of 50 rows at least.
    weight_decay : float or "auto", default="auto"
        AdamW's. ``"auto"`` is ``(600 / n_rows)**1.5``, and at most 5.
    batch_size : int or "auto", default="auto"
        Rows of a batch. ``"auto"`` is 32 below 1,000 rows, else 128.
    max_epochs : int, default=100
        Passes over the training data, at most.
    patience : int, default=8
        Epochs without an improvement after which training stops. In a search,
        ``estimator__callbacks__best_epoch__patience``.
    n_drops : int, default=0
        How often training, instead of stopping, goes on from the best epoch with a
        fifth of the learning rate.
    n_splits : int, default=8
        Number of folds; in a search, ``estimator__train_split=MemberFolds(4)``, say.
        Below 50 rows none is left out, and training takes all of `max_epochs`.
    **net_params : dict
        Any other parameter of skorch's ``NeuralNetClassifier``, such as
        ``criterion=nn.BCEWithLogitsLoss`` for several labels. ``callbacks`` come
        besides early stopping, which ``callbacks=None`` turns off;
        ``train_split`` takes the place of the folds. Weights are float64 for float64 X
        of fewer than 1,000 rows, else float32, unless ``module__dtype`` is given.

    Returns
    -------
    TabularNetClassifier
        An unfitted skorch ``NeuralNetClassifier``.

    See Also
    --------
    mlp_classifier : A plain perceptron, for X that is numbers and scaled.
    sklearn_jointens.nn.TabularMLP : Its module.

    Notes
    -----
    The defaults are chosen on half of 23 tables by
    ``examples/benchmarks/choose_tabular.py``; ``examples/benchmarks/tables.py``
    compares them with others on the other half.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn_jointens import JointEnsembleClassifier, tabular_classifier
    >>> X = pd.DataFrame({"age": [31, np.nan, 54, 22] * 25, "job": list("abca") * 25})
    >>> y = np.array(["no", "yes", "yes", "no"] * 25)
    >>> member = tabular_classifier(hidden_layer_sizes=(16,), max_epochs=20)
    >>> clf = JointEnsembleClassifier(member, n_estimators=8, random_state=0).fit(X, y)
    >>> clf.predict(pd.DataFrame({"age": [np.nan, 30], "job": ["b", "new"]}))
    array(['yes', 'no'], dtype='<U3')
    """
    return _tabular(
        TabularNetClassifier,
        hidden_layer_sizes=hidden_layer_sizes,
        activation=activation,
        dropout=dropout,
        n_bins=n_bins,
        lr=lr,
        weight_decay=weight_decay,
        batch_size=batch_size,
        max_epochs=max_epochs,
        patience=patience,
        n_drops=n_drops,
        n_splits=n_splits,
        net_params={"criterion": nn.CrossEntropyLoss, **net_params},
    )


def tabular_regressor(
    hidden_layer_sizes: int | tuple[int, ...] = (128, 128),
    activation: str = "relu",
    dropout: float = 0.0,
    *,
    n_bins: int | str = 0,
    lr: float | str = "auto",
    weight_decay: float | str = "auto",
    batch_size: int | str = "auto",
    max_epochs: int = 100,
    patience: int = 8,
    n_drops: int = 2,
    n_splits: int = 8,
    **net_params: Any,
) -> TabularNetRegressor:
    """A perceptron for tables as they come and y of any scale, ready to be a member.

    The member of an ensemble that is given none. It takes numbers of any scale, missing
    values, and frames whose columns are categories, text or booleans, and needs no
    pipeline before it: what its :class:`~sklearn_jointens.nn.TabularEncoding` has to
    know of the data (medians, quartiles, quantiles, categories) is learned from the
    training rows of each fit. Unknown categories count as none, sparse matrices are
    made dense a batch at a time.

    It learns y in units of its standard deviation, from its mean, with the squared
    error, and predicts in y's own units; each of several targets has a unit of its own.
    ``criterion=nn.PoissonNLLLoss`` learns counts in units of their mean,
    `HeteroscedasticGaussianLoss` variances too; ``L1Loss``, ``SmoothL1Loss`` and
    ``HuberLoss`` learn from the median, in units of the spread of y's middle half,
    which extreme values leave alone. Settings of a criterion, such as the ``delta`` of
    ``HuberLoss``, are in the units that y is learned in.

    It is trained with AdamW until the validation loss has not fallen for `patience`
    epochs; then, `n_drops` times, on from the best epoch with a fifth of the learning
    rate; and goes back to the best epoch. In an ensemble that is the loss of the
    ensemble: each member leaves one of `n_splits` folds out, and each row is predicted
    by the members that have not seen it; these are all rows where there are at least as
    many members as folds.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(128, 128)
        Units of each hidden layer.
    activation : {"relu", "tanh", "gelu", "silu", "logistic", "identity"}, \
default="relu"
        Of the hidden layers.
    dropout : float in [0, 1), default=0.0
        Share of hidden units that is dropped in training.
    n_bins : int or "auto", default=0
        Bins of a column of numbers, at most; 0 is none. ``"auto"`` is 8, or fewer where
        1,024 bins are not enough for all columns.
    lr : float or "auto", default="auto"
        AdamW's learning rate. ``"auto"`` is 0.004, and below 2,500 rows 0.004 times the
        root of their share of 2,500, as of 50 rows at least.
    weight_decay : float or "auto", default="auto"
        AdamW's. ``"auto"`` is ``(600 / n_rows)**1.5``, and at most 5.
    batch_size : int or "auto", default="auto"
        Rows of a batch. ``"auto"`` is 32 below 1,000 rows, else 128.
    max_epochs : int, default=100
        Passes over the training data, at most.
    patience : int, default=8
        Epochs without an improvement after which training stops. In a search,
        ``estimator__callbacks__best_epoch__patience``.
    n_drops : int, default=2
        How often training, instead of stopping, goes on from the best epoch with a
        fifth of the learning rate.
    n_splits : int, default=8
        Number of folds; in a search, ``estimator__train_split=MemberFolds(4)``, say.
        Below 50 rows none is left out, and training takes all of `max_epochs`.
    **net_params : dict
        Any other parameter of skorch's ``NeuralNetRegressor``, such as
        ``criterion=nn.HuberLoss``. ``callbacks`` come
        besides early stopping, which ``callbacks=None`` turns off;
        ``train_split`` takes the place of the folds. Weights are float64 for float64 X
        of fewer than 1,000 rows, else float32, unless ``module__dtype`` is given.

    Returns
    -------
    TabularNetRegressor
        An unfitted skorch ``NeuralNetRegressor``.

    See Also
    --------
    mlp_regressor : A plain perceptron, for X and y that are numbers and scaled.
    sklearn_jointens.nn.TabularMLP : Its module.

    Notes
    -----
    The defaults are chosen on half of 13 tables by
    ``examples/benchmarks/choose_tabular.py``; ``examples/benchmarks/tables.py``
    compares them with others on the other half.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn_jointens import JointEnsembleRegressor, tabular_regressor
    >>> X = pd.DataFrame({"rooms": [3, np.nan, 5, 2] * 25, "kind": list("abca") * 25})
    >>> y = np.array([200_000, 310_000, 390_000, 150_000] * 25)
    >>> member = tabular_regressor(hidden_layer_sizes=(16,), max_epochs=60)
    >>> reg = JointEnsembleRegressor(member, n_estimators=8, random_state=0).fit(X, y)
    >>> reg.predict(X[:2]).round(-5)
    array([200000., 300000.])
    """
    return _tabular(
        TabularNetRegressor,
        hidden_layer_sizes=hidden_layer_sizes,
        activation=activation,
        dropout=dropout,
        n_bins=n_bins,
        lr=lr,
        weight_decay=weight_decay,
        batch_size=batch_size,
        max_epochs=max_epochs,
        patience=patience,
        n_drops=n_drops,
        n_splits=n_splits,
        net_params={"criterion": nn.MSELoss, **net_params},
    )


def _tabular(
    kind: Any,
    *,
    hidden_layer_sizes: Any,
    activation: str,
    dropout: float,
    weight_decay: Any,
    patience: int,
    n_drops: int,
    n_splits: int,
    net_params: dict[str, Any],
    **settings: Any,
) -> Any:
    """A net of a kind, with what the makers have in common."""
    defaults: dict[str, Any] = {
        "optimizer": torch.optim.AdamW,
        "optimizer__betas": (0.9, 0.95),
        "optimizer__weight_decay": weight_decay,
        "iterator_train__shuffle": True,
        "iterator_valid__batch_size": 1024,
        "train_split": MemberFolds(n_splits, min_samples=50),
        "device": "auto",
        "verbose": 0,
    }
    defaults["callbacks"] = besides(
        ("best_epoch", BestEpoch(patience=patience, load_best=True, n_drops=n_drops)),
        net_params.pop("callbacks", ()),
    )
    return kind(
        TabularMLP,
        module__hidden_layer_sizes=hidden_layer_sizes,
        module__activation=activation,
        module__dropout=dropout,
        **settings,
        **{**defaults, **net_params},
    )


show_changes_from(tabular_classifier())
show_changes_from(tabular_regressor())


@functools.cache
def _default_member() -> TabularNetClassifier:
    """One to look at: scikit-learn asks for tags at every prediction."""
    return tabular_classifier()


def with_tags_of_member(tags: Any, estimator: Any) -> Any:
    """Tags of an ensemble that takes what its members take."""
    tags.input_tags.sparse = True
    tags.input_tags.three_d_array = True
    tags.target_tags.multi_output = tags.regressor_tags is not None
    member = _default_member() if estimator is None else estimator
    if not isinstance(member, NeuralNet):
        return tags  # `fit` says what is wrong with it
    of_member = get_tags(member)
    for name in ("allow_nan", "categorical", "string"):
        setattr(tags.input_tags, name, getattr(of_member.input_tags, name))
    criterion = criterion_class(member)
    tags.target_tags.positive_only = issubclass(criterion, nn.PoissonNLLLoss)
    if tags.classifier_tags and issubclass(criterion, nn.BCEWithLogitsLoss):
        is_binary = isinstance(member, NeuralNetBinaryClassifier)
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = not is_binary
    return tags


class DefaultMemberMixin:
    """Parameters of the member in an estimator whose ``estimator=None`` is the default.

    It stands before scikit-learn's ``BaseEstimator``.
    """

    estimator: Any

    # Makes the default.
    make_member: Callable[[], Any]

    def set_params(self, **params: Any) -> Any:
        """Set parameters of the ensemble, and of its members as ``estimator__...``.

        Parameters
        ----------
        **params : dict
            ``estimator__lr=0.1``, say, changes the default member when there is no
            other.

        Returns
        -------
        self : object
        """
        of_member = any(name.startswith("estimator__") for name in params)
        if of_member and params.get("estimator", self.estimator) is None:
            params["estimator"] = self.make_member()
        return super().set_params(**params)  # type: ignore[misc]

"""A plain multilayer perceptron as a member."""

from typing import Any

import torch
from sklearn.base import ClassifierMixin
from skorch.dataset import ValidSplit
from torch import nn

from sklearn_jointens.nn import MLP
from sklearn_jointens.training import BestEpoch, MemberNetClassifier, MemberNetRegressor
from sklearn_jointens.training._callbacks import besides
from sklearn_jointens.training._shown import show_changes_from


def mlp_classifier(
    hidden_layer_sizes: tuple[int, ...] = (64,),
    activation: str = "relu",
    dropout: float = 0.0,
    *,
    lr: float = 0.01,
    max_epochs: int = 20,
    batch_size: int = 64,
    early_stopping: bool = False,
    validation_fraction: float = 0.1,
    n_iter_no_change: int = 10,
    tol: float = 1e-4,
    **net_params: Any,
) -> MemberNetClassifier:
    """A small multilayer perceptron as a skorch classifier, ready to be a member.

    Trained with Adam on shuffled batches. Its sizes and its dtype are taken from the
    data, which are to be numbers, scaled and without missing values;
    :func:`tabular_classifier` takes tables as they come. The defaults are among the
    best of 20 candidates by cross-validated log-loss on iris, wine, breast cancer and
    digits, and the fastest to train of those
    (``examples/benchmarks/choose_defaults.py``).

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(64,)
        Units of each hidden layer.
    activation : {"relu", "tanh", "gelu", "silu", "logistic", "identity"}, \
default="relu"
        Of the hidden layers.
    dropout : float in [0, 1), default=0.0
        Share of hidden units that is dropped in training.
    lr : float, default=0.01
        Adam's learning rate.
    max_epochs : int, default=20
        Passes over the training data.
    batch_size : int, default=64
        Rows of a batch.
    early_stopping : bool, default=False
        Whether to hold rows out, stop when the loss on them no longer falls, and
        restore the best epoch. In an ensemble it is the ensemble's loss.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows of each class that is held out.
    n_iter_no_change : int, default=10
        How many epochs may pass without an improvement.
    tol : float, default=1e-4
        What counts as one.
    **net_params : dict
        Any other parameter of skorch's ``NeuralNetClassifier``, such as
        ``criterion=nn.BCEWithLogitsLoss`` for several labels,
        ``optimizer__weight_decay=1e-4``, ``train_split=ValidSplit(5)``, ``callbacks``
        (besides that of early stopping) or ``device``. ``device`` is ``"auto"`` unless
        given: CUDA when there is one, else the CPU.

    Returns
    -------
    MemberNetClassifier
        An unfitted skorch ``NeuralNetClassifier``.

    See Also
    --------
    sklearn_jointens.nn.MLP : Its module.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
    >>> X, y = load_iris(return_X_y=True)
    >>> member = mlp_classifier(hidden_layer_sizes=(16,), lr=0.01)
    >>> clf = JointEnsembleClassifier(member, n_estimators=5, random_state=0).fit(X, y)
    >>> clf.predict(X[:3])
    array([0, 0, 0])
    """
    return _mlp(
        MemberNetClassifier,
        hidden_layer_sizes=hidden_layer_sizes,
        activation=activation,
        dropout=dropout,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        early_stopping=early_stopping,
        validation_fraction=validation_fraction,
        n_iter_no_change=n_iter_no_change,
        tol=tol,
        net_params={"criterion": nn.CrossEntropyLoss, **net_params},
    )


def mlp_regressor(
    hidden_layer_sizes: tuple[int, ...] = (64,),
    activation: str = "relu",
    dropout: float = 0.0,
    *,
    lr: float = 0.01,
    max_epochs: int = 20,
    batch_size: int = 64,
    early_stopping: bool = False,
    validation_fraction: float = 0.1,
    n_iter_no_change: int = 10,
    tol: float = 1e-4,
    **net_params: Any,
) -> MemberNetRegressor:
    """A small multilayer perceptron as a skorch regressor, ready to be a member.

    Trained with Adam on shuffled batches, with the mean squared error unless another
    ``criterion`` is given. Its sizes and its dtype are taken from the data, which are
    to be numbers, scaled and without missing values. It learns y as it is: scale y too,
    for instance with scikit-learn's ``TransformedTargetRegressor``.
    :func:`tabular_regressor` takes tables as they come, and y of any scale. The
    defaults are those of :func:`mlp_classifier`.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(64,)
        Units of each hidden layer.
    activation : {"relu", "tanh", "gelu", "silu", "logistic", "identity"}, \
default="relu"
        Of the hidden layers.
    dropout : float in [0, 1), default=0.0
        Share of hidden units that is dropped in training.
    lr : float, default=0.01
        Adam's learning rate.
    max_epochs : int, default=20
        Passes over the training data.
    batch_size : int, default=64
        Rows of a batch.
    early_stopping : bool, default=False
        Whether to hold rows out, stop when the loss on them no longer falls, and
        restore the best epoch. In an ensemble it is the ensemble's loss.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows that is held out.
    n_iter_no_change : int, default=10
        How many epochs may pass without an improvement.
    tol : float, default=1e-4
        What counts as one.
    **net_params : dict
        Any other parameter of skorch's ``NeuralNetRegressor``, such as
        ``criterion=nn.PoissonNLLLoss`` for counts, ``optimizer__weight_decay=1e-4``,
        ``train_split=ValidSplit(5)``, ``callbacks`` (besides that of early stopping) or
        ``device``. ``device`` is ``"auto"`` unless given: CUDA when there is one, else
        the CPU.

    Returns
    -------
    MemberNetRegressor
        An unfitted skorch ``NeuralNetRegressor``.

    See Also
    --------
    tabular_regressor : For tables as they come, and y of any scale.
    sklearn_jointens.nn.MLP : Its module.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn_jointens import JointEnsembleRegressor, mlp_regressor
    >>> X, y = make_friedman1(400, random_state=0)
    >>> y = (y - y.mean()) / y.std()
    >>> member = mlp_regressor(hidden_layer_sizes=(4,), max_epochs=60)
    >>> reg = JointEnsembleRegressor(member, n_estimators=8, lam=0.9, random_state=0)
    >>> reg.fit(X, y).score(X, y)
    0.8
    """
    return _mlp(
        MemberNetRegressor,
        hidden_layer_sizes=hidden_layer_sizes,
        activation=activation,
        dropout=dropout,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        early_stopping=early_stopping,
        validation_fraction=validation_fraction,
        n_iter_no_change=n_iter_no_change,
        tol=tol,
        net_params={"criterion": nn.MSELoss, **net_params},
    )


def _mlp(
    kind: Any,
    *,
    hidden_layer_sizes: Any,
    activation: str,
    dropout: float,
    early_stopping: bool,
    validation_fraction: float,
    n_iter_no_change: int,
    tol: float,
    net_params: dict[str, Any],
    **settings: Any,
) -> Any:
    """A net of a kind, with what the makers have in common."""
    defaults: dict[str, Any] = {
        "optimizer": torch.optim.Adam,
        "iterator_train__shuffle": True,
        "train_split": None,
        "device": "auto",
        "verbose": 0,
    }
    if early_stopping:
        stopping = BestEpoch(
            patience=n_iter_no_change,
            threshold=tol,
            threshold_mode="abs",
            load_best=True,
        )
        own = net_params.pop("callbacks", ())
        defaults["callbacks"] = besides(("best_epoch", stopping), own)
        is_of_classes = issubclass(kind, ClassifierMixin)
        defaults["train_split"] = ValidSplit(
            validation_fraction, stratified=is_of_classes
        )
    return kind(
        MLP,
        module__hidden_layer_sizes=hidden_layer_sizes,
        module__activation=activation,
        module__dropout=dropout,
        **settings,
        **{**defaults, **net_params},
    )


show_changes_from(mlp_classifier())
show_changes_from(mlp_regressor())

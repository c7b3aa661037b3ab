"""The member for tables, which is used when none is given."""

from typing import Any

import torch
from sklearn.utils import get_tags
from skorch.callbacks import EarlyStopping
from torch import nn

from sklearn_jointens.nn import TabularMLP
from sklearn_jointens.training import MemberFolds, TabularNetClassifier


def tabular_classifier(
    hidden_layer_sizes: Any = "auto",
    activation: str = "relu",
    dropout: float = 0.0,
    *,
    n_bins: Any = "auto",
    lr: float = 0.004,
    max_epochs: Any = "auto",
    batch_size: Any = "auto",
    weight_decay: float = 0.03,
    n_splits: int = 8,
    patience: int = 16,
    **net_params: Any,
) -> TabularNetClassifier:
    defaults: dict[str, Any] = {
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.AdamW,
        "optimizer__betas": (0.9, 0.95),
        "optimizer__weight_decay": weight_decay,
        "iterator_train__shuffle": True,
        "iterator_valid__batch_size": 4096,
        "train_split": MemberFolds(n_splits),
        "callbacks": [("best_epoch", EarlyStopping(patience=patience, load_best=True))],
        "callbacks__schedule__lr_lambda": "auto",
        "device": "auto",
        "verbose": 0,
    }
    return TabularNetClassifier(
        TabularMLP,
        module__hidden_layer_sizes=hidden_layer_sizes,
        module__activation=activation,
        module__dropout=dropout,
        n_bins=n_bins,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        **{**defaults, **net_params},
    )


def with_input_tags(tags: Any, estimator: Any) -> Any:
    """Tags of an ensemble that takes what its members take."""
    of_member = get_tags(tabular_classifier() if estimator is None else estimator)
    tags.input_tags.sparse = True
    tags.input_tags.three_d_array = True
    for name in ("allow_nan", "categorical", "string"):
        setattr(tags.input_tags, name, getattr(of_member.input_tags, name))
    return tags


class DefaultMemberMixin:
    """Parameters of the member in an estimator whose ``estimator=None`` is the default.

    It stands before scikit-learn's ``BaseEstimator``.
    """

    estimator: Any

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
            params["estimator"] = tabular_classifier()
        return super().set_params(**params)  # type: ignore[misc]

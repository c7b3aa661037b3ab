"""The member net of `compare_ensembles.py`, and what its rivals need to be fair."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from _data import Data
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from skorch import NeuralNet, NeuralNetClassifier

from sklearn_jointens.nn import MLP
from sklearn_jointens.training import MemberNetRegressor

_Net: Any = NeuralNet if TYPE_CHECKING else object


class _Seeded(_Net):
    """The `random_state` that scikit-learn hands to members.

    Without one, members that are built in several worker processes would start from
    equal weights, because torch has the same seed in each.
    """

    def __init__(self, *args: Any, random_state: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.random_state = random_state

    def initialize(self) -> Any:
        if self.random_state is not None:
            torch.manual_seed(self.random_state)
        return super().initialize()


class SeededNet(_Seeded, NeuralNetClassifier):
    """skorch's classifier, seeded."""


class SeededRegressor(_Seeded, MemberNetRegressor):
    """skorch's regressor that takes y of one axis, as scikit-learn has it, seeded."""


class StackingOnHeldOutRows(BaseEstimator):
    """Stacking for members too many or too slow to be trained once for every fold.

    The members are trained independently on one part of the rows, and a stack with
    ``cv="prefit"`` on the other.
    """

    def __init__(
        self,
        ensemble: Any,
        stacking: Any,
        final: Any,
        test_size: int,
        random_state: int,
    ) -> None:
        self.ensemble = ensemble
        self.stacking = stacking
        self.final = final
        self.test_size = test_size
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "StackingOnHeldOutRows":
        X_fit, X_held_out, y_fit, y_held_out = train_test_split(
            *(X, y),
            test_size=self.test_size,
            stratify=None if y.dtype.kind == "f" else y,
            random_state=self.random_state,
        )
        self.estimators_ = self.ensemble.fit(X_fit, y_fit).estimators_
        named = [(f"member {j}", net) for j, net in enumerate(self.estimators_)]
        self.stack_ = self.stacking(named, self.final, cv="prefit")
        self.stack_.fit(X_held_out, y_held_out)
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.stack_.predict(X)

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.stack_.predict_proba(X)


def n_parameters(data: Data, hidden: int) -> int:
    """Of a net with one hidden layer."""
    return (data.n_features + 1) * hidden + (hidden + 1) * data.n_outputs


ALONE = {"classification": SeededNet, "regression": SeededRegressor}


def make_member(data: Data, hidden: int, options: Any, net: type | None = None) -> Any:
    """The net that every ensemble is made of; of class `net`, or one that is seeded."""
    is_of_classes = data.task == "classification"
    return (net or ALONE[data.task])(
        MLP,
        module__n_features_in=data.n_features,
        module__n_outputs=data.n_outputs,
        module__hidden_layer_sizes=(hidden,),
        criterion=torch.nn.CrossEntropyLoss if is_of_classes else torch.nn.MSELoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=options.lr,
        max_epochs=options.epochs,
        batch_size=options.batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        device=options.device,
        verbose=0,
    )

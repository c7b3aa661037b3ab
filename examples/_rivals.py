"""The member net of `compare_ensembles.py`, and what its rivals need to be fair."""

from typing import Any

import numpy as np
import torch
from _data import Data
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import StackingClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier

from sklearn_jointens.nn import MLP


class SeededNet(NeuralNetClassifier):
    """skorch's classifier with the `random_state` that scikit-learn hands to members.

    Without one, members that are built in several worker processes would start from
    equal weights, because torch has the same seed in each.
    """

    def __init__(self, *args: Any, random_state: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.random_state = random_state

    def initialize(self) -> "SeededNet":
        if self.random_state is not None:
            torch.manual_seed(self.random_state)
        return super().initialize()


class MLPOnDrawnRows(MLPClassifier):
    """scikit-learn's MLPClassifier, but `fit` takes no weights.

    BaggingClassifier then hands it the drawn rows. As weights, a short last batch may
    happen to weigh nothing, on which MLPClassifier of scikit-learn 1.9 fails.
    """

    def fit(self, X: Any, y: Any) -> "MLPOnDrawnRows":
        return super().fit(X, y)


class StackingOnHeldOutRows(ClassifierMixin, BaseEstimator):
    """Stacking for members too many or too slow to be trained once for every fold.

    The members are trained independently on one part of the rows, and
    ``StackingClassifier(cv="prefit")`` on the other.
    """

    def __init__(
        self, ensemble: Any, final: Any, test_size: int, random_state: int
    ) -> None:
        self.ensemble = ensemble
        self.final = final
        self.test_size = test_size
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "StackingOnHeldOutRows":
        X_fit, X_held_out, y_fit, y_held_out = train_test_split(
            X, y, test_size=self.test_size, stratify=y, random_state=self.random_state
        )
        self.estimators_ = self.ensemble.fit(X_fit, y_fit).estimators_
        named = [(f"member {j}", net) for j, net in enumerate(self.estimators_)]
        self.stack_ = StackingClassifier(named, self.final, cv="prefit")
        self.stack_.fit(X_held_out, y_held_out)
        self.classes_ = self.stack_.classes_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.stack_.predict_proba(X)


def n_parameters(data: Data, hidden: int) -> int:
    """Of a net with one hidden layer."""
    return (data.n_features + 1) * hidden + (hidden + 1) * data.n_classes


def make_member(data: Data, hidden: int, options: Any) -> SeededNet:
    """The net that every ensemble is made of."""
    return SeededNet(
        MLP,
        module__n_features_in=data.n_features,
        module__n_outputs=data.n_classes,
        module__hidden_layer_sizes=(hidden,),
        criterion=torch.nn.CrossEntropyLoss,
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

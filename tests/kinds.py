"""Kinds of targets that ensembles learn, each with small data and a small member."""

from typing import Any, NamedTuple

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from tools import cases_of
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    JointEnsembleRegressor,
    JointEnsembleRegressorCV,
)
from sklearn_jointens.losses import HeteroscedasticGaussianLoss

N_ROWS, N_FEATURES = 60, 4


class Net(nn.Sequential):
    """Outputs from a hidden layer, in the dtype of the data."""

    def __init__(self, n_features_in, n_outputs, dtype=None, last=None):
        super().__init__(
            nn.Linear(n_features_in, 5, dtype=dtype),
            nn.Tanh(),
            nn.Linear(5, n_outputs, dtype=dtype),
            *([] if last is None else [last]),
        )


class Kind(NamedTuple):
    """A kind of targets.

    Attributes
    ----------
    name : str
    criterion : type
        Of the members.
    y : ndarray
        Targets of `X()`.
    n_raw : int
        Outputs of a member for a row.
    options : dict
        Further parameters of the skorch net.
    """

    name: str
    criterion: Any
    y: np.ndarray
    n_raw: int
    options: dict = {}

    @property
    def is_of_classes(self):
        return self.name in ("classes", "probabilities", "one logit", "labels")

    @property
    def skorch_class(self):
        return NeuralNetClassifier if self.is_of_classes else NeuralNetRegressor

    @property
    def plain_class(self):
        """What skorch users train such targets with."""
        return NeuralNet if self.name in ("labels", "one logit") else self.skorch_class

    @property
    def plain_y(self):
        """Targets as skorch users give them."""
        if self.name in ("classes", "probabilities"):
            return np.searchsorted(np.unique(self.y), self.y)
        if self.name == "one logit":
            return np.searchsorted(np.unique(self.y), self.y).astype(np.float64)
        return self.y.reshape(N_ROWS, -1).astype(np.float64)

    def settings(self, **params):
        """Those of a net, which sees the rows in their order."""
        return {
            "criterion": self.criterion,
            "optimizer": torch.optim.SGD,
            "lr": 0.1,
            "max_epochs": 3,
            "batch_size": 16,
            "train_split": None,
            "verbose": 0,
            **self.options,
            **params,
        }

    def member(self, **params):
        return self.skorch_class(Net, **self.settings(**params))

    def ensemble(self, member=None, **params):
        kind = JointEnsembleClassifier if self.is_of_classes else JointEnsembleRegressor
        member = self.member() if member is None else member
        return kind(
            member, **{"n_estimators": 3, "lam": 0.5, "random_state": 0, **params}
        )

    def search(self, member=None, **params):
        kind = (
            JointEnsembleClassifierCV
            if self.is_of_classes
            else JointEnsembleRegressorCV
        )
        member = self.member() if member is None else member
        settings = {"n_estimators": 2, "lams": (0, 0.7), "cv": 2, "random_state": 0}
        return kind(member, **{**settings, **params})

    def predicted(self, fitted, X, **params):
        """What an ensemble predicts in full: probabilities or numbers."""
        predict = fitted.predict_proba if self.is_of_classes else fitted.predict
        return predict(X, **params)

    def of_members(self, fitted, X):
        if self.is_of_classes:
            return fitted.member_proba(X)
        return fitted.member_predict(X)


def rows():
    return np.random.RandomState(0).normal(size=(N_ROWS, N_FEATURES))


def _kinds():
    X, random = rows(), np.random.RandomState(1)
    signal = X @ random.normal(size=(N_FEATURES, 2)) + np.sin(3 * X[:, :2])
    number = signal[:, 0] + 0.1 * random.normal(size=N_ROWS)
    names = np.array(["ant", "bee", "cat"])
    classes = names[np.digitize(signal[:, 0], [-1, 1])]
    counts = random.poisson(np.exp(0.5 * signal[:, 0]))
    softmax = {"module__last": nn.Softmax(-1)}
    return [
        Kind("classes", nn.CrossEntropyLoss, classes, 3),
        Kind("probabilities", nn.NLLLoss, classes, 3, softmax),
        Kind("one logit", nn.BCEWithLogitsLoss, names[(number > 0) * 1], 1),
        Kind("labels", nn.BCEWithLogitsLoss, (signal > 0) * 1, 2),
        Kind("numbers", nn.MSELoss, number, 1),
        Kind("several numbers", nn.MSELoss, signal, 2),
        Kind("counts", nn.PoissonNLLLoss, counts, 1),
        Kind("variances", HeteroscedasticGaussianLoss, number, 2),
        Kind("several variances", HeteroscedasticGaussianLoss, signal, 4),
        Kind("absolute", nn.L1Loss, number, 1),
        Kind("smooth", nn.SmoothL1Loss, signal, 2, {"criterion__beta": 0.3}),
        Kind("huber", nn.HuberLoss, number, 1, {"criterion__delta": 0.5}),
    ]


KINDS = _kinds()

# One of every family, and of one and of several outputs.
QUICK = ("classes", "labels", "several numbers", "counts", "variances")

each_kind = cases_of("kind", {kind.name: kind for kind in KINDS}, QUICK)

"""What many tests begin with: small data, nets as users write them, their weights."""

import re

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import Dataset
from torch import nn
from torch.utils.data import DataLoader

from sklearn_jointens import JointEnsembleClassifier

# -- parameters of tests ---------------------------------------------------------------


def cases_of(name, cases, quick):
    """Parametrizes by a dict of cases, of which all but the `quick` ones are slow."""
    assert set(quick) <= set(cases)
    marks = {case: () if case in quick else pytest.mark.slow for case in cases}
    params = [pytest.param(cases[case], id=case, marks=marks[case]) for case in cases]
    return pytest.mark.parametrize(name, params)


# -- data ------------------------------------------------------------------------------


def two_classes(n_rows, n_features=6):
    return make_classification(n_rows, n_features, random_state=0)


def three_classes(n_rows, names=(0, 1, 2)):
    """Rows of six float32 numbers, and the names of their classes."""
    X, y = make_classification(
        n_rows, n_features=6, n_informative=4, n_classes=3, random_state=0
    )
    return X.astype(np.float32), np.asarray(names)[y]


# -- modules ---------------------------------------------------------------------------


class Net(nn.Sequential):
    def __init__(self, n_features_in, n_classes):
        super().__init__(
            nn.Linear(n_features_in, 4), nn.Tanh(), nn.Linear(4, n_classes)
        )


class LogitColumn(nn.Linear):
    def __init__(self, n_features_in):
        super().__init__(n_features_in, 1)


class OneLogit(nn.Module):
    def __init__(self, n_features_in):
        super().__init__()
        self.out = nn.Linear(n_features_in, 1)

    def forward(self, x):
        return self.out(x)[:, 0]


# -- what users write around them ------------------------------------------------------


class OwnDataset(Dataset):
    """Changes nothing, which nobody can know."""


class OwnLoader(DataLoader):
    """Changes nothing, which nobody can know."""


class OwnCallback(Callback):
    """Does nothing, which nobody can know."""


# -- members and ensembles -------------------------------------------------------------


def skorch_net(module=Net, kind=NeuralNetClassifier, **params):
    """A user's own, quiet, which learns from all rows."""
    settings = {"train_split": None, "verbose": 0}
    if not issubclass(kind, NeuralNetBinaryClassifier):
        settings["criterion"] = nn.CrossEntropyLoss
    return kind(module, **{**settings, **params})


def ensemble(member, **params):
    settings = {"n_estimators": 3, "lam": 0.5, "random_state": 0}
    return JointEnsembleClassifier(member, **{**settings, **params})


def weights(nets):
    """All weights of each net, or of each member, (n_nets, n_weights)."""
    nets = getattr(nets, "estimators_", nets)
    parts = [
        [p.detach().cpu().ravel() for p in net.module_.parameters()] for net in nets
    ]
    return torch.stack([torch.cat(of_net) for of_net in parts]).numpy()


def stacked_weights(clf):
    """Those of the one module that all members are, tensor by tensor."""
    return [p.detach().cpu() for p in clf.net_.module_.parameters()]


# -- what is compared ------------------------------------------------------------------


def value_and_gradient(loss, outputs):
    outputs = outputs.detach().clone().requires_grad_()
    value = loss(outputs)
    (gradient,) = torch.autograd.grad(value, outputs)
    return value.detach(), gradient


def exactly(message):
    """A pattern for the whole message."""
    return f"^{re.escape(message)}$"


def raises_whole(error, message):
    return pytest.raises(error, match=exactly(message))


def legend_texts(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]

"""A fitted ensemble is kept by skops, as skorch's own nets are."""

import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    mlp_classifier,
    tabular_classifier,
)

SETTINGS = {"n_estimators": 2, "random_state": 0}


class OwnNet(NeuralNetClassifier):
    """A user's own skorch class, with a parameter more."""

    def __init__(self, *args, extra=3, **kwargs):
        super().__init__(*args, **kwargs)
        self.extra = extra


class Module(nn.Module):
    def __init__(self, n_features_in, n_classes, dtype=None):
        super().__init__()
        self.out = nn.Linear(n_features_in, n_classes, dtype=dtype)

    def forward(self, x):
        return self.out(x)


class OneLogit(Module):
    def __init__(self, n_features_in, dtype=None):
        super().__init__(n_features_in, 1, dtype)

    def forward(self, x):
        return self.out(x)[:, 0]


def own(kind=OwnNet, module=Module, **params):
    if kind is not NeuralNetBinaryClassifier:
        params["criterion"] = nn.CrossEntropyLoss
    return kind(module, train_split=None, max_epochs=1, verbose=0, **params)


def ensemble(member):
    return JointEnsembleClassifier(member, **SETTINGS)


MEMBERS = {
    "default": tabular_classifier((4,), max_epochs=2),
    "mlp": mlp_classifier((4,), max_epochs=2),
    "dtype": mlp_classifier((4,), max_epochs=2, module__dtype=torch.float64),
    "stopping": mlp_classifier((4,), max_epochs=2, early_stopping=True),
    "own": own(extra=5),
    "stock": own(NeuralNetClassifier),
    "binary": own(NeuralNetBinaryClassifier, OneLogit, threshold=0.3),
}


def by_skops(estimator):
    data = skops.io.dumps(estimator)
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


def assert_same(found, expected, X):
    for method in ("predict", "predict_proba"):
        np.testing.assert_array_equal(
            getattr(found, method)(X), getattr(expected, method)(X)
        )


@pytest.fixture
def binary(cancer):
    X, y = cancer
    return X, np.array(["no", "yes"])[y]


@pytest.mark.quick(2)
@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)
def test_a_fitted_ensemble_comes_back(member, binary):
    """It could not be loaded: skops makes no torch dtype, and imports all classes."""
    X, y = binary
    clf = ensemble(member).fit(X, y)

    again = by_skops(clf)

    assert_same(again, clf, X)
    np.testing.assert_array_equal(again.member_proba(X), clf.member_proba(X))
    for one, other in zip(again.estimators_, clf.estimators_, strict=True):
        assert type(one) is type(other)
        assert_same(one, other, X)
    pickled = pickle.loads(pickle.dumps(clf))
    assert_same(again.partial_fit(X, y), pickled.partial_fit(X, y), X)


def test_a_file_names_the_classes_of_the_user(binary, tmp_path):
    path = tmp_path / "ensemble.skops"
    clf = ensemble(own(extra=5)).fit(*binary)

    skops.io.dump(clf, path)
    types = skops.io.get_untrusted_types(file=path)
    again = skops.io.load(path, trusted=types)

    here = __name__.rpartition(".")[2]
    assert {f"{here}.OwnNet", f"{here}.Module"} <= set(types)
    assert again.estimators_[0].extra == 5


def test_a_member_comes_back_alone(binary):
    clf = ensemble(own()).fit(*binary)

    again = by_skops(clf.estimators_[1])

    assert isinstance(again, OwnNet)
    assert_same(again, clf.estimators_[1], binary[0])


def test_frames_with_categories_come_back(binary):
    X, y = binary
    frame = pd.DataFrame(X[:, :2], columns=["a", "b"])
    frame["c"] = np.where(X[:, 2] > 0, "x", None)
    frame.loc[::5, "a"] = np.nan
    clf = ensemble(MEMBERS["default"]).fit(frame, y)

    assert_same(by_skops(clf), clf, frame)


@pytest.mark.quick(1)
@pytest.mark.parametrize("member", ["mlp", "own"])
def test_a_search_and_a_pipeline_come_back(member, binary):
    X, y = binary
    search = JointEnsembleClassifierCV(MEMBERS[member], lams=[0, 1], cv=2, **SETTINGS)
    pipe = make_pipeline(StandardScaler(), search).fit(X, y)

    again = by_skops(pipe)

    assert_same(again, pipe, X)
    assert again[-1].lam_ == pipe[-1].lam_


def test_an_unfitted_ensemble_comes_back(binary):
    X, y = binary
    clf = ensemble(own())

    again = by_skops(clf)

    assert_same(again.fit(X, y), clf.fit(X, y), X)

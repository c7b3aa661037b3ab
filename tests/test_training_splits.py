"""Data sets that a `train_split` makes, and the labels and weights of their rows."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from tools import LogitColumn, Net, ensemble, three_classes
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

from sklearn_jointens import mlp_classifier, tabular_classifier


@pytest.fixture
def data():
    return three_classes(90)


def member(kind=NeuralNetClassifier, module=Net, **params):
    defaults = {"lr": 0.2, "max_epochs": 2, "batch_size": 16, "verbose": 0}
    if kind is NeuralNetClassifier:
        defaults["criterion"] = nn.CrossEntropyLoss
    return kind(module, **{**defaults, **params})


class Pairs(torch.utils.data.Dataset):
    """Rows as lists of numbers, and labels as they are."""

    def __init__(self, X, y):
        self.rows, self.labels = X.tolist(), list(y)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i], self.labels[i]


def as_arrays(X, y):
    return Dataset(X, y)


def as_doubles(X, y):
    return Dataset(X.astype(np.float64), y)


def as_subset(X, y):
    return Subset(
        Dataset(np.concatenate([X, X]), np.concatenate([y, y])), range(len(X))
    )


def as_tensors(X, y):
    return TensorDataset(torch.as_tensor(X).double(), torch.as_tensor(y))


KINDS = [as_arrays, as_doubles, as_subset, Pairs]
LABELS = {
    "from zero": np.array([0, 1, 2]),
    "from one": np.array([1, 2, 3]),
    "words": np.array(["a", "b", "c"]),
}


def assert_validated_on(clf, X, y):
    loss = log_loss(y, clf.predict_proba(X), labels=clf.classes_)
    assert clf.history_[-1, "valid_loss"] == pytest.approx(loss, rel=1e-4)
    assert clf.history_[-1, "valid_acc"] == pytest.approx(clf.score(X, y))
    own = [accuracy_score(y, net.predict(X)) for net in clf.estimators_]
    np.testing.assert_allclose(clf.member_scores_, own)
    np.testing.assert_allclose(clf.history_[-1, "valid_member_accuracies"], own)


@pytest.mark.quick(4)
@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        *((kind, name) for kind in KINDS for name in LABELS),
        *((as_tensors, name) for name in LABELS if name != "words"),
    ],
)
def test_labels_of_a_predefined_split_are_those_of_y(data, kind, labels, bootstrap):
    """They were taken for class numbers: a loss of 10 where it is 0.3."""
    X, y = data
    y = LABELS[labels][y]
    split = predefined_split(kind(X[60:], y[60:]))
    clf = ensemble(member(train_split=split), lam=0.5, bootstrap=bootstrap)
    clf.fit(X[:60], y[:60])
    if bootstrap:  # members are scored on rows that are out of their bags
        loss = log_loss(y[60:], clf.predict_proba(X[60:]))
        assert clf.history_[-1, "valid_loss"] == pytest.approx(loss, rel=1e-4)
    else:
        assert_validated_on(clf, X[60:], y[60:])


def test_labels_of_a_predefined_split_for_one_logit(data):
    X, y = data
    y = np.array(["no", "yes"])[y // 2]
    for kind in (Dataset, Pairs):
        split = predefined_split(kind(X[60:], y[60:]))
        net = member(NeuralNetBinaryClassifier, LogitColumn, train_split=split)
        assert_validated_on(ensemble(net).fit(X[:60], y[:60]), X[60:], y[60:])


def test_labels_of_a_predefined_split_of_a_member_alone(data):
    X, y = data
    y = y + 1
    net = mlp_classifier(max_epochs=2, train_split=predefined_split(Dataset(X, y)))
    net.fit(X, y)
    assert net.history_[-1, "valid_acc"] == pytest.approx(net.score(X, y))
    loss = log_loss(y, net.predict_proba(X))
    assert net.history_[-1, "valid_loss"] == pytest.approx(loss, rel=1e-4)


def test_a_predefined_split_of_a_frame(data):
    X, y = data
    frame = pd.DataFrame(X[:, :3], columns=[*"abc"])
    frame["kind"] = np.array(["x", "y", "z"])[y]
    split = predefined_split(Dataset(frame[60:], y[60:]))
    net = tabular_classifier(max_epochs=2, train_split=split, callbacks=None)
    clf = ensemble(net).fit(frame[:60], y[:60])
    assert_validated_on(clf, frame[60:], y[60:])


def test_a_split_with_iterators_of_the_users_own(data):
    class Loader(DataLoader):
        pass

    X, y = data
    for kind in (as_doubles, Pairs):
        split = predefined_split(kind(X[60:], y[60:] + 1))
        net = member(train_split=split, iterator_train=Loader, iterator_valid=Loader)
        assert_validated_on(ensemble(net).fit(X[:60], y[:60] + 1), X[60:], y[60:] + 1)


@pytest.mark.parametrize("kind", [Dataset, Pairs])
@pytest.mark.parametrize(
    ("own", "unknown"), [([0, 1], [0]), (["a", "b"], ["a", "b"]), ([None, 2], [None])]
)
def test_labels_that_y_does_not_have_are_refused(data, kind, own, unknown):
    X, y = data
    net = member(train_split=predefined_split(kind(X[:2], np.array(own, dtype=object))))
    message = (
        "The 'train_split' parameter of the member must give data sets whose labels "
        f"are among those of y, [1, 2, 3]. Got {unknown} besides."
    )
    clf = ensemble(net)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        clf.fit(X, y + 1)
    assert not hasattr(clf, "estimators_")


class Noisy(torch.utils.data.Dataset):
    """Rows of another data set, changed."""

    def __init__(self, dataset, shift=0.1):
        self.dataset, self.shift = dataset, shift

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, i):
        X, y = self.dataset[i]
        return X + self.shift, y


def around(dataset, y):
    half = len(y) // 2
    return (
        Noisy(Subset(dataset, range(half))),
        Noisy(Subset(dataset, range(half, len(y)))),
    )


def among(dataset, y):
    return ConcatDataset([dataset, Noisy(dataset)]), None


def anew(dataset, y):
    return Dataset(ROWS.X + 1, ROWS.y), None


ROWS = Dataset(
    np.random.RandomState(0).rand(30, 6).astype(np.float32), np.arange(30) % 3
)


@pytest.mark.parametrize("sort", [False, True])
def test_targets_of_what_is_made_of_the_given_data_set_are_encoded_already(data, sort):
    X, y = data
    y = np.sort(y) + 1 if sort else y + 1
    clf = ensemble(member(train_split=around)).fit(X, y)
    half = len(y) // 2
    shifted = (X + np.float32(0.1))[half:]
    loss = log_loss(y[half:], clf.predict_proba(shifted), labels=clf.classes_)
    assert clf.history_[-1, "valid_loss"] == pytest.approx(loss, rel=1e-4)


def test_rows_of_a_splits_own_are_trained_on(data):
    X, y = data
    split = ensemble(member(train_split=anew)).fit(X, y)
    plain = ensemble(member(train_split=None)).fit(ROWS.X + 1, ROWS.y)
    np.testing.assert_allclose(
        split.predict_proba(X), plain.predict_proba(X), atol=1e-5
    )
    both = ensemble(member(train_split=among)).fit(X, y)
    plain = ensemble(member(train_split=None))
    plain.fit(np.concatenate([X, X + np.float32(0.1)]), np.concatenate([y, y]))
    np.testing.assert_allclose(both.predict_proba(X), plain.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    ("split", "name"),
    [(around, "Noisy"), (among, "ConcatDataset"), (anew, "Dataset")],
)
@pytest.mark.parametrize(
    ("params", "sample_weight"),
    [
        ({}, np.linspace(0.1, 1, 90)),
        ({"class_weight": "balanced"}, None),
        ({"bootstrap": True}, None),
    ],
)
def test_weights_of_other_rows_are_refused(data, split, name, params, sample_weight):
    """Rows of the split's own had the weights of y's rows, or none at all."""
    message = (
        "The 'train_split' parameter of the member must return the data set that it is "
        "given, or a Subset of it, to train on, when rows have weights (sample_weight, "
        f"class_weight, bootstrap). Got an instance of {name} instead."
    )
    clf = ensemble(member(train_split=split), **params)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        clf.fit(*data, sample_weight=sample_weight)
    assert not hasattr(clf, "estimators_")


def test_weights_of_a_split_of_a_split_are_found(data):
    X, y = data
    weight = np.linspace(0.1, 1, len(y))

    def nested(dataset, y):
        train, valid = ValidSplit(3)(dataset, y)
        return Subset(train, range(len(train))), valid

    one, other = (
        ensemble(member(train_split=split)).fit(X, y, sample_weight=weight)
        for split in (nested, ValidSplit(3))
    )
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))

"""Labels of any type, two classes or many."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.datasets import make_blobs

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier

KINDS = {
    "str": np.array(["b", "ccc", "dd"]),
    "object": np.array(["b", "ccc", "dd"], dtype=object),
    "bool": np.array([False, True]),
    "float": np.array([-1.0, 0.0, 7.0]),
    "negative int": np.array([-5, -1, 3]),
    "int8": np.array([-5, -1, 3], dtype=np.int8),
    "uint64": np.array([0, 5, 2**40], dtype=np.uint64),
    "two ints": np.array([-1, 1]),
}


@pytest.fixture
def clf():
    member = mlp_classifier((8,), lr=0.02, max_epochs=10)
    return JointEnsembleClassifier(member, n_estimators=3, random_state=0)


@pytest.fixture
def blobs():
    X, y = make_blobs(90, centers=3, n_features=4, cluster_std=2, random_state=0)
    return X, y


@pytest.mark.quick(1)
@pytest.mark.parametrize("labels", KINDS.values(), ids=KINDS)
def test_labels_of_any_type_are_learned_as_their_numbers_are(labels, clf, blobs):
    X, y = blobs
    y = np.minimum(y, len(labels) - 1)
    proba = clf.fit(X, y).predict_proba(X)

    clf.fit(X, labels[y])

    np.testing.assert_array_equal(clf.classes_, labels)
    assert clf.classes_.dtype == labels.dtype
    np.testing.assert_array_equal(clf.predict_proba(X), proba)
    predicted = clf.predict(X)
    assert predicted.dtype == labels.dtype
    np.testing.assert_array_equal(predicted, labels[proba.argmax(1)])
    assert clf.score(X, labels[y]) > 0.8
    for member in clf.estimators_:
        np.testing.assert_array_equal(member.classes_, labels)
        assert set(member.predict(X).tolist()) <= set(labels.tolist())


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "as_labels",
    [
        list,
        torch.tensor,
        pd.Series,
        lambda y: pd.Series(y).astype(str).astype("category"),
        lambda y: pd.Series(y, dtype="string"),
        pl.Series,
        lambda y: pl.Series(y.astype(str)),
    ],
    ids="list tensor series category string polars polars-str".split(),
)
def test_labels_in_any_container(as_labels, clf, blobs):
    X, y = blobs
    expected = clf.fit(X, y).predict(X)
    labels = as_labels(y)

    predicted = clf.fit(X, labels).predict(X)

    np.testing.assert_array_equal(predicted.astype(int), expected)
    assert clf.score(X, labels) == np.mean(expected == y)


def test_labels_that_are_negated_give_mirrored_classes(clf, blobs):
    X, y = blobs

    clf.fit(X, -y)

    assert clf.classes_.tolist() == [-2, -1, 0]
    assert clf.score(X, -y) > 0.8


def test_two_classes_have_two_columns(clf, blobs):
    X, y = blobs

    clf.fit(X, y > 0)

    assert clf.predict_proba(X).shape == (90, 2)
    assert clf.member_proba(X).shape == (3, 90, 2)


@pytest.mark.slow
def test_a_hundred_classes(clf):
    X, y = make_blobs(
        400, centers=100, n_features=8, center_box=(-1, 1), cluster_std=0.02,
        random_state=0,
    )  # fmt: skip
    names = np.array([f"class {k:03}" for k in range(100)])

    clf.set_params(estimator__max_epochs=60).fit(X, names[y])

    assert clf.predict_proba(X).shape == (400, 100)
    assert clf.classes_.tolist() == names.tolist()
    assert clf.score(X, names[y]) > 0.9


def test_a_class_with_one_row_is_kept(clf, blobs):
    X, y = blobs
    y = y.copy()
    y[0] = 9

    clf.fit(X, y)

    assert clf.classes_.tolist() == [0, 1, 2, 9]
    assert clf.predict_proba(X).shape == (90, 4)

"""Images and sparse matrices as tables, and the plain member beside that for tables."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from test_tabular_settings import assert_same, ensemble, labels, numbers

from sklearn_jointens import (
    JointEnsembleClassifier,
    mlp_classifier,
    tabular_classifier,
)


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    "kind", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array]
)
def test_sparse_matrices_are_as_their_dense_rows(kind, tmp_path):
    X = sparse.random_array((60, 5), density=0.4, random_state=np.random.default_rng(0))
    dense, y = X.toarray(), labels()

    clf = ensemble().fit(kind(X), y)

    assert_allclose(clf.predict_proba(kind(X)), clf.predict_proba(dense))
    assert clf.estimators_[0].module_.encoding.out_features == 5
    for one in clf.estimators_:
        assert_allclose(one.predict_proba(kind(X)), one.predict_proba(dense))
    clf.save(tmp_path / "clf")
    assert_same(JointEnsembleClassifier.load(tmp_path / "clf"), clf, kind(X))


def test_images_are_as_their_flat_rows(tmp_path):
    X, y = numbers(60, 12), labels()

    flat, clf = ensemble().fit(X, y), ensemble().fit(X.reshape(60, 3, 2, 2), y)

    assert_array_equal(clf.member_proba(X.reshape(60, 3, 2, 2)), flat.member_proba(X))
    clf.save(tmp_path / "clf")
    found = JointEnsembleClassifier.load(tmp_path / "clf")
    assert_same(found, clf, X.reshape(60, 3, 2, 2))
    with pytest.raises(ValueError, match="rows of shape"):
        clf.predict(X.reshape(60, 3, 4))


def test_the_plain_member_stops_early_and_goes_back(tmp_path):
    X, y = numbers(120), labels(120)
    settings = {"lr": 0.05, "early_stopping": True, "validation_fraction": 0.25}
    net = mlp_classifier((16,), max_epochs=40, n_iter_no_change=3, tol=0.01, **settings)
    clf = ensemble(net).fit(X, y)
    losses = np.array(clf.history_[:, "valid_loss"])

    assert len(losses) < 40
    callback = dict(net.callbacks)["best_epoch"]
    assert (callback.threshold, callback.threshold_mode) == (0.01, "abs")
    improvements = [0]
    for epoch in range(1, len(losses)):
        if losses[epoch] < losses[improvements[-1]] - 0.01:
            improvements.append(epoch)
    best = improvements[-1]
    assert len(losses) == best + 1 + 3
    shorter = ensemble(clone(net).set_params(max_epochs=best + 1)).fit(X, y)
    assert_same(clf, shorter, X)
    clf.save(tmp_path / "clf")
    found = JointEnsembleClassifier.load(tmp_path / "clf")
    assert_same(found, clf, X)
    assert_same(clone(found).fit(X, y), clf, X)


# -- columns that are neither numbers nor categories, or only nearly -------------------


def small_fit(X):
    y = np.arange(len(X)) % 2
    return JointEnsembleClassifier(
        tabular_classifier((4,), max_epochs=1), n_estimators=2, random_state=0
    ).fit(X, y)


@pytest.mark.parametrize(
    "times",
    [
        pd.date_range("2020-01-01", periods=60),
        pd.date_range("2020-01-01", periods=60, tz="UTC"),
        pd.to_timedelta(np.arange(60), unit="D"),
        pd.period_range("2020-01", periods=60, freq="M"),
    ],
    ids=["date", "zone", "timedelta", "period"],
)
def test_times_are_refused_by_name(times):
    """Dates were taken for numbers, a missing one for the smallest of all."""
    X = pd.DataFrame({"when": times, "a": np.arange(60.0)})
    with pytest.raises(ValueError, match="make numbers of times"):
        small_fit(X)


def test_objects_that_are_truths_with_gaps_are_numbers():
    values = np.resize(np.array([True, False, pd.NA], dtype=object), 60)
    clf = small_fit(pd.DataFrame({"a": values, "b": np.arange(60.0)}))
    assert "categories=0, missing=1" in repr(clf.estimators_[0].module_.encoding)


def test_dictionaries_of_arrow_are_categories():
    kind = pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))
    X = pd.DataFrame({"a": pd.Series(["x", "y", "z"] * 20, dtype=kind)})
    clf = small_fit(X)
    assert "categories=3" in repr(clf.estimators_[0].module_.encoding)


def test_members_alone_check_the_columns_of_a_frame():
    X = pd.DataFrame({"a": np.arange(60.0), "b": np.ones(60), "c": list("xyz") * 20})
    member = small_fit(X).estimators_[0]
    with pytest.raises(ValueError, match="must be those seen in fit"):
        member.predict(X[["b", "a", "c"]])


@pytest.mark.gpu
def test_the_default_member_on_cuda_is_that_of_the_cpu():
    X = pd.DataFrame({"a": np.r_[np.arange(99.0), np.nan], "c": list("xyzy") * 25})
    y = np.where(X["a"] > 50, "yes", "no")
    proba = {}
    for device in ("cpu", "cuda"):
        member = tabular_classifier((8,), max_epochs=3, callbacks=[])
        clf = JointEnsembleClassifier(member, device=device, random_state=0)
        proba[device] = clf.fit(X, y).predict_proba(X)
        assert clf.history_[-1]["valid_loss"] > 0
    assert_allclose(proba["cuda"], proba["cpu"], atol=1e-4)


def test_objects_of_text_and_numbers_are_refused_by_name():
    X = pd.DataFrame({"a": np.resize(np.array([1, "x", None], dtype=object), 60)})
    with pytest.raises(ValueError, match="in the column 'a'"):
        small_fit(X)


def test_weights_of_a_series_are_taken_without_a_word():
    """pandas hands out memory that must not be written to."""
    X = pd.DataFrame({"a": np.arange(60.0)})
    weight = pd.Series(np.ones(60))
    clf = JointEnsembleClassifier(tabular_classifier((4,), max_epochs=1))
    assert clf.fit(X, np.arange(60) % 2, sample_weight=weight).n_features_in_ == 1

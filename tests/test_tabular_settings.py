"""What the data settle of a member for tables, and how it goes on and is kept."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit

from sklearn_jointens import (
    JointEnsembleClassifier,
    MemberFolds,
    tabular_classifier,
)
from sklearn_jointens.nn import tabular_encoding

AUTO = ("n_bins", "lr", "optimizer__weight_decay", "batch_size")


def member(hidden=(6,), **params):
    """A small member, quick to train."""
    return tabular_classifier(hidden, **{"max_epochs": 2, "n_splits": 3, **params})


def ensemble(estimator=None, **params):
    estimator = member() if estimator is None else estimator
    settings = {"n_estimators": 3, "random_state": 0}
    return JointEnsembleClassifier(estimator, **{**settings, **params})


def numbers(n=60, n_columns=3):
    return np.random.RandomState(0).randn(n, n_columns)


def frame(n=60, seed=0):
    random = np.random.RandomState(seed)
    X = pd.DataFrame(
        {
            "x": random.randn(n),
            "text": random.choice(["a", "b", None, "d"], size=n),
            "rank": pd.Categorical(random.choice([10, 7, 300], size=n)),
            "flag": random.rand(n) > 0.5,
        }
    )
    X.loc[X.index % 6 == 1, "x"] = np.nan
    return X


def labels(n=60):
    return np.array(["no", "yes"])[np.random.RandomState(1).randint(2, size=n)]


def assert_same(found, expected, X):
    """Both ensembles, and all members of both, say the same to the last bit."""
    for method in ("predict", "predict_proba", "member_proba"):
        assert_array_equal(getattr(found, method)(X), getattr(expected, method)(X))
    for one, other in zip(found.estimators_, expected.estimators_, strict=True):
        assert_array_equal(one.predict_proba(X), other.predict_proba(X))
        assert_array_equal(one.predict(X), other.predict(X))
    assert_array_equal(found.member_scores_, expected.member_scores_)


# -- what is "auto" --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "dtype", "expected"),
    [
        (60, np.float64, (32, torch.float64)),
        (999, np.float64, (32, torch.float64)),
        (999, np.float32, (32, torch.float32)),
        (999, np.int64, (32, torch.float32)),
        (1000, np.float64, (128, torch.float32)),
        (2499, np.float64, (128, torch.float32)),
        (2500, np.float64, (128, torch.float32)),
    ],
)
def test_auto_follows_the_number_of_rows(n, dtype, expected):
    net = tabular_classifier().settled(np.arange(n, dtype=dtype)[:, None])

    assert (net.batch_size, net.module__dtype) == expected
    assert net.optimizer__weight_decay == pytest.approx(min(5, (600 / n) ** 1.5))
    assert net.lr == pytest.approx(0.004 * min(1, (n / 2500) ** 0.5))
    assert isinstance(net.train_split, MemberFolds)


@pytest.mark.parametrize(
    ("n_columns", "n_bins"), [(1, 8), (128, 8), (129, 7), (512, 2), (513, 0)]
)
def test_bins_are_fewer_for_many_columns(n_columns, n_bins):
    net = tabular_classifier().settled(numbers(40, n_columns))

    encoding = net.module__encoding
    assert len(encoding.bin_numbers) == n_columns * n_bins
    assert len(encoding.bin_numbers) <= 1024


def test_members_of_a_fit_have_what_was_settled():
    X = numbers(60)
    clf = ensemble().fit(X, labels())
    net = member().settled(X)

    for one in (*clf.estimators_, clf.net_):
        assert one.batch_size == net.batch_size == 32
        (group,) = clf.net_.optimizer_.param_groups
        assert group["weight_decay"] == net.optimizer__weight_decay
        assert group["lr"] == net.lr
        assert {p.dtype for p in one.module_.parameters()} == {torch.float64}


def test_explicit_settings_are_honoured():
    settings = {
        "batch_size": 13,
        "lr": 0.5e-3,
        "weight_decay": 0.125,
        "n_bins": 3,
        "module__dtype": torch.float32,
    }
    clf = ensemble(member(**settings)).fit(numbers(), labels())

    (group,) = clf.net_.optimizer_.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.5e-3, 0.125)
    assert clf.history_[-1]["train_batch_count"] == 5
    module = clf.estimators_[0].module_
    assert len(module.encoding.bin_numbers) == 9
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert clf.predict_proba(numbers()).dtype == np.float32


def test_parameters_stay_auto_in_fitting():
    net, clf = member(), ensemble()
    before = [one.get_params(deep=False) for one in (net, clf, clf.estimator)]

    with torch.random.fork_rng():
        net.fit(frame(), labels())
    clf.fit(frame(), labels())

    for one in (net, clf.estimator, clone(net), clone(clf).estimator):
        assert [one.get_params()[name] for name in AUTO] == ["auto"] * 4
        assert "module__encoding" not in one.get_params()
    for one, settings in zip((net, clf, clf.estimator), before, strict=True):
        assert {**one.get_params(deep=False), "device": None} == {
            **settings,
            "device": None,
        }


def test_a_member_alone_learns_anew_of_other_data():
    net = member()
    with torch.random.fork_rng():
        for n in (60, 30, 60):
            net.fit(frame(n), labels(n))
            assert ("valid_loss" in net.history[-1]) == (n == 60)
            assert len(net.predict(frame(n, 1))) == n
        net.fit(numbers(60, 2), labels())
    assert net.predict(numbers(5, 2)).shape == (5,)


# -- few rows --------------------------------------------------------------------------


def test_few_rows_are_all_trained_on():
    X, y = numbers(49), labels(49)
    clf = ensemble(member(max_epochs=12, patience=1, lr=0.1)).fit(X, y)

    assert len(clf.history_) == 12
    assert not [name for name in clf.history_[-1] if name.startswith("valid")]
    scores = [one.score(X, y) for one in clf.estimators_]
    assert_allclose(clf.member_scores_, scores)
    assert_same(pickle.loads(pickle.dumps(clf)), clf, X)


def test_fifty_rows_are_validated():
    clf = ensemble(member(max_epochs=12, patience=1, lr=0.1)).fit(
        numbers(50), labels(50)
    )

    assert len(clf.history_) < 12
    assert "valid_loss" in clf.history_[-1]


@pytest.mark.parametrize(
    ("n", "bootstrap"), [(2, False), (30, False), (60, True), (60, False)]
)
def test_classes_as_rare_as_one_row(n, bootstrap):
    y = np.array(["usual"] * (n - 1) + ["rare"])
    clf = ensemble(bootstrap=bootstrap).fit(numbers(n), y)

    assert clf.classes_.tolist() == ["rare", "usual"]
    proba = clf.predict_proba(numbers(n))
    assert_allclose(proba.sum(axis=1), 1)


def test_rows_of_weight_zero_do_not_matter():
    X, y = frame(), labels()
    others = pd.concat([X, X.assign(x=1e9, text="z")], ignore_index=True)
    weight = np.repeat([1.0, 0.0], 60)
    net = member(
        train_split=None, callbacks=None, batch_size=-1, weight_decay=0.1, lr=0.01
    )

    clf = ensemble(net).fit(others, np.append(y, y), sample_weight=weight)

    expected = ensemble(net).fit(X, y).member_proba(X)
    assert_allclose(clf.member_proba(X), expected, rtol=1e-9)


# -- going on --------------------------------------------------------------------------


def test_partial_fit_is_fit_epoch_by_epoch():
    X, y = frame(), labels()
    clf = ensemble(member(callbacks=None))
    for _ in range(3):
        clf.partial_fit(X, y, classes=["no", "yes"])

    assert len(clf.history_) == 3
    first = ensemble(member(callbacks=None, max_epochs=1)).fit(X, y)
    assert clf.history_[0]["train_loss"] == first.history_[0]["train_loss"]
    assert clf.history_[2]["train_loss"] < clf.history_[0]["train_loss"]


def test_partial_fit_on_other_rows_keeps_the_encoding():
    clf = ensemble().partial_fit(frame(), labels(), classes=["no", "yes"])
    before = clf.estimators_[0].module_.encoding.state_dict()

    other = frame(70, 1).assign(text="unknown", x=1e6)
    clf.partial_fit(other, labels(70)).predict(frame())

    after = clf.estimators_[0].module_.encoding.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_warm_start_adds_members_of_the_same_encoding():
    X, y = frame(), labels()
    clf = ensemble(warm_start=True).fit(X, y)
    other = frame(80, 1).assign(text="unknown")

    clf.set_params(n_estimators=5).fit(other, labels(80))

    assert len(clf.history_) == 4
    assert clf.vectorization_.method == "structural"
    first, *others = (one.module_.encoding.state_dict() for one in clf.estimators_)
    for encoding in others:
        assert all(torch.equal(encoding[name], first[name]) for name in first)
    mean = np.log(clf.member_proba(X)).mean(axis=0)
    expected = np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
    assert_allclose(clf.predict_proba(X), expected)


def test_dropping_members_keeps_the_others():
    X, clf = frame(), ensemble().fit(frame(), labels())

    for smaller in (
        clf.drop_members([0]),
        clf.drop_members(n_weakest=1, X=X, y=labels()).drop_members([0]),
    ):
        kept = len(smaller.estimators_)
        assert_same(pickle.loads(pickle.dumps(smaller)), smaller, X)
        assert smaller.member_proba(X).shape == (kept, 60, 2)
    smaller = clf.drop_members([0])
    assert_allclose(smaller.member_proba(X), clf.member_proba(X)[1:])


def test_scores_of_members_on_frames():
    clf = ensemble().fit(frame(), labels())
    X, y = frame(40, 1), labels(40)

    expected = [one.score(X, y) for one in clf.estimators_]
    assert_allclose(clf.score_members(X, y), expected)
    assert_allclose(clf.score_members(X, y, scoring="accuracy"), expected)


# -- kept ------------------------------------------------------------------------------


def change_of_settings():
    return member(
        callbacks__best_epoch__patience=3,
        train_split=MemberFolds(4, stratified=False),
        lr=0.02,
        n_bins=3,
        batch_size=16,
    )


PROTOTYPES = {
    "tabular": member,
    "changed": change_of_settings,
    "own callbacks": lambda: member(
        callbacks=[("stop", EarlyStopping(patience=2))], train_split=ValidSplit(3)
    ),
    "none": lambda: member(callbacks=None, train_split=None),
}


def kept(clf, way, path):
    if way == "pickle":
        return pickle.loads(pickle.dumps(clf))
    if way == "joblib":
        joblib.dump(clf, path)
        return joblib.load(path)
    clf.save(path)
    return JointEnsembleClassifier.load(path)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("way", "name", "n"),
    [
        ("pickle", "changed", 60),
        ("joblib", "changed", 60),
        ("file", "changed", 60),
        ("file", "changed", 45),
        ("file", "tabular", 60),
        ("file", "tabular", 45),
        ("file", "own callbacks", 60),
        ("file", "own callbacks", 45),
        ("file", "none", 60),
    ],
)
def test_kept_ensembles_are_the_same(way, name, n, tmp_path):
    X, y = frame(n), labels(n)
    clf = ensemble(PROTOTYPES[name](), n_estimators=2).fit(X, y)

    found = kept(clf, way, tmp_path / "clf")

    assert_same(found, clf, frame(40, 1).assign(text="unknown"))
    assert_same(found, clf, X)
    assert_array_equal(found.feature_names_in_, X.columns)
    settings, expected = found.estimator.get_params(), clf.estimator.get_params()
    for key in (*AUTO, "max_epochs", "module__hidden_layer_sizes"):
        assert settings[key] == expected[key], key
    # Fitted anew it is the ensemble that it was, and it goes on as that one does.
    assert_same(clone(found).fit(X, y), clf, X)
    for one in (found, clf):
        one.set_params(warm_start=True).fit(X, y)
    assert_same(found, clf, X)


def test_a_file_of_the_default_member(tmp_path):
    clf = JointEnsembleClassifier(n_estimators=2, random_state=0)
    clf.fit(frame(40), labels(40)).save(tmp_path / "clf")

    found = JointEnsembleClassifier.load(tmp_path / "clf")

    assert found.estimator is None
    assert_same(found, clf, frame(40, 1))


# -- what cannot be trained with -------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("lr", "fast", "a float of at least 0"),
        ("lr", None, "a float of at least 0"),
        ("lr", -1, "a float of at least 0"),
        ("weight_decay", "none", "a float of at least 0"),
        ("weight_decay", -1, "a float of at least 0"),
        ("batch_size", 0, "an int of at least 1, or -1 for all rows"),
        ("batch_size", 2.5, "an int of at least 1, or -1 for all rows"),
        ("max_epochs", 0, "an int of at least 1"),
        ("max_epochs", "a", "an int of at least 1"),
        ("patience", 0, "an int of at least 1"),
        ("patience", 2.5, "an int of at least 1"),
        ("n_bins", -1, "an int of at least 0"),
        ("n_bins", "many", "an int of at least 0"),
    ],
)
def test_settings_are_checked_before_training(name, value, rule):
    """They failed late and without a name, or were taken for no early stopping."""
    member = tabular_classifier((4,), **{name: value})
    clf = JointEnsembleClassifier(member, n_estimators=2)
    with pytest.raises(ValueError, match="parameter of tabular_classifier") as caught:
        clf.fit(numbers(), labels())
    assert str(caught.value) == (
        f"The {name!r} parameter of tabular_classifier must be {rule}. "
        f"Got {value!r} instead."
    )
    assert not hasattr(clf, "estimators_")


def test_an_encoding_of_the_users_own_is_used():
    X = numbers()
    own = tabular_encoding(X[:20], n_bins=3)
    member = tabular_classifier((4,), max_epochs=1, module__encoding=own)
    for net in (
        JointEnsembleClassifier(member, n_estimators=2).fit(X, labels()).estimators_[1],
        member.fit(X, labels()),
    ):
        assert_array_equal(net.module_.encoding.center, own.center)
        assert repr(net.module_.encoding) == repr(own)

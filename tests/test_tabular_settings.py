"""What the data settle of a member for tables, and how it goes on and is kept."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit

from sklearn_jointens import (
    JointEnsembleClassifier,
    MemberFolds,
    mlp_classifier,
    tabular_classifier,
)

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
        (1000, np.float64, (32, torch.float32)),
        (2499, np.float64, (32, torch.float32)),
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
    before = {name: repr(value) for name, value in clf.get_params().items()}

    with torch.random.fork_rng():
        net.fit(frame(), labels())
    clf.fit(frame(), labels())

    for one in (net, clf.estimator, clone(net), clone(clf).estimator):
        assert [one.get_params()[name] for name in AUTO] == ["auto"] * 4
        assert "module__encoding" not in one.get_params()
    assert {name: repr(value) for name, value in clf.get_params().items()} == before


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


@pytest.mark.parametrize("n", [2, 3, 30, 50, 60])
@pytest.mark.parametrize("bootstrap", [False, True])
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
    assert_array_equal(smaller.member_proba(X), clf.member_proba(X)[1:])


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
    "default": lambda: None,
    "tabular": member,
    "changed": change_of_settings,
    "own callbacks": lambda: member(
        callbacks=[("stop", EarlyStopping(patience=2))], train_split=ValidSplit(3)
    ),
    "none": lambda: member(callbacks=None, train_split=None),
}


@pytest.mark.parametrize("way", ["pickle", "joblib", "file"])
@pytest.mark.parametrize("name", PROTOTYPES)
@pytest.mark.parametrize("n", [45, 60])
def test_kept_ensembles_are_the_same(way, name, n, tmp_path):
    clf = JointEnsembleClassifier(PROTOTYPES[name](), n_estimators=3, random_state=0)
    if name == "default":
        clf.set_params(estimator__max_epochs=2)
    if name == "own callbacks" and n < 50:
        clf.set_params(estimator__train_split=ValidSplit(3))
    clf.fit(frame(n), labels(n))
    path = tmp_path / "clf"
    if way == "pickle":
        found = pickle.loads(pickle.dumps(clf))
    elif way == "joblib":
        joblib.dump(clf, path)
        found = joblib.load(path)
    else:
        clf.save(path)
        found = JointEnsembleClassifier.load(path)

    assert_same(found, clf, frame(40, 1).assign(text="unknown"))
    assert_same(found, clf, frame(n))
    assert_array_equal(found.feature_names_in_, list("xtrf") and frame().columns)
    kept, settings = found.estimator.get_params(), clf.estimator.get_params()
    for key in (*AUTO, "max_epochs", "module__hidden_layer_sizes"):
        assert kept[key] == settings[key], key
    assert repr(kept["train_split"]) == repr(settings["train_split"]) or way == "file"
    # Fitted anew, it is the ensemble that it was.
    assert_same(clone(found).fit(frame(n), labels(n)), clf, frame(40, 1))
    found.set_params(warm_start=True).fit(frame(n), labels(n))
    clf.set_params(warm_start=True).fit(frame(n), labels(n))
    assert_same(found, clf, frame(n))


def test_a_file_of_the_default_member(tmp_path):
    clf = JointEnsembleClassifier(n_estimators=2, random_state=0)
    clf.fit(frame(40), labels(40)).save(tmp_path / "clf")

    found = JointEnsembleClassifier.load(tmp_path / "clf")

    assert found.estimator is None
    assert_same(found, clf, frame(40, 1))


# -- images, sparse matrices, and the plain member -------------------------------------


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
        clf.predict(X.reshape(60, 2, 6))


def test_the_plain_member_stops_early_and_goes_back(tmp_path):
    X, y = numbers(120), labels(120)
    settings = {"lr": 0.05, "early_stopping": True, "validation_fraction": 0.25}
    net = mlp_classifier((16,), max_epochs=40, n_iter_no_change=3, tol=0.01, **settings)
    clf = ensemble(net).fit(X, y)
    losses = np.array(clf.history_[:, "valid_loss"])
    best = max(row["epoch"] for row in clf.history_ if row["valid_loss_best"])

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

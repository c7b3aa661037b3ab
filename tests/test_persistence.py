"""A fitted ensemble is kept and comes back as it was, by pickle or without."""

import copy
import os
import pickle
import subprocess
import sys

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.callbacks import EarlyStopping, EpochScoring
from skorch.dataset import ValidSplit
from tools import OneLogit, skorch_net
from torch import nn

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
from sklearn_jointens._persistence._container import read


class OwnModule(nn.Module):
    """Has weights, buffers, a part that is used twice, and any number of outputs."""

    def __init__(self, n_features_in, n_classes, probabilities=False):
        super().__init__()
        self.twice = nn.Linear(n_features_in, n_features_in)
        self.norm = nn.BatchNorm1d(n_features_in)
        self.out = nn.Linear(n_features_in, n_classes)
        self.probabilities = probabilities

    def forward(self, x):
        x = self.norm(torch.relu(self.twice(torch.relu(self.twice(x)))))
        x = self.out(x)
        return x.softmax(1) if self.probabilities else x


class Tied(nn.Module):
    """Two names for one weight."""

    def __init__(self, n_features_in, n_classes):
        super().__init__()
        self.encode = nn.Linear(n_features_in, 8, bias=False)
        self.decode = nn.Linear(8, n_features_in)
        self.decode.weight = nn.Parameter(self.encode.weight.detach().t().clone())
        self.same = self.decode
        self.out = nn.Linear(n_features_in, n_classes)

    def forward(self, x):
        return self.out(self.same(self.encode(x)))


def own_member(module=OwnModule, kind=NeuralNetClassifier, **params):
    settings = {"criterion": nn.CrossEntropyLoss, "max_epochs": 2, "lr": 0.05}
    return skorch_net(module, kind, **{**settings, **params})


def ensemble(estimator=None, **params):
    if estimator is None:
        estimator = mlp_classifier((8,), max_epochs=3)
    settings = {"n_estimators": 3, "random_state": 0}
    return JointEnsembleClassifier(estimator, **{**settings, **params})


@pytest.fixture(scope="module")
def _fitted(_digits):
    X, _, y, _ = _digits
    return ensemble().fit(X, y)


@pytest.fixture
def clf(_fitted):
    """Fitted; not to be changed."""
    return _fitted


def history_of(clf):
    not_learned = {"batches", "dur"}
    return [
        {key: value for key, value in row.items() if key not in not_learned}
        for row in clf.history_
    ]


def assert_same(found, expected, X):
    """All that a fitted ensemble says is the same, to the last bit."""
    for method in ("predict", "predict_proba", "predict_log_proba", "member_proba"):
        np.testing.assert_array_equal(
            getattr(found, method)(X), getattr(expected, method)(X)
        )
    np.testing.assert_array_equal(
        found.predict_proba(X, members=[1]), expected.predict_proba(X, members=[1])
    )
    for one, other in zip(found.estimators_, expected.estimators_, strict=True):
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
        np.testing.assert_array_equal(one.predict(X), other.predict(X))
    np.testing.assert_array_equal(found.classes_, expected.classes_)
    assert found.classes_.dtype == expected.classes_.dtype
    np.testing.assert_array_equal(found.member_scores_, expected.member_scores_)
    assert history_of(found) == history_of(expected)
    assert found.vectorization_ == expected.vectorization_
    assert found.n_features_in_ == expected.n_features_in_
    assert getattr(found, "oob_score_", None) == getattr(expected, "oob_score_", None)


def by_joblib(clf, tmp_path):
    joblib.dump(clf, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib")


def by_file(clf, tmp_path):
    clf.save(tmp_path / "model.safetensors")
    return JointEnsembleClassifier.load(tmp_path / "model.safetensors")


PICKLES = {
    "pickle": lambda clf, tmp_path: pickle.loads(pickle.dumps(clf)),
    "oldest pickle": lambda clf, tmp_path: pickle.loads(pickle.dumps(clf, 2)),
    "cloudpickle": lambda clf, tmp_path: pickle.loads(cloudpickle.dumps(clf)),
    "joblib": by_joblib,
    "deepcopy": lambda clf, tmp_path: copy.deepcopy(clf),
}
ALL_WAYS = {**PICKLES, "file": by_file}

pickled = pytest.mark.parametrize("way", PICKLES.values(), ids=PICKLES)
every_way = pytest.mark.parametrize("way", ALL_WAYS.values(), ids=ALL_WAYS)


# -- all ways --------------------------------------------------------------------------


@every_way
def test_comes_back_as_it_was(way, clf, digits_test, tmp_path):
    assert_same(way(clf, tmp_path), clf, digits_test[0])


@every_way
def test_comes_back_twice(way, clf, digits_test, tmp_path):
    assert_same(way(way(clf, tmp_path), tmp_path), clf, digits_test[0])


@pytest.mark.quick(2)
@every_way
def test_keeping_leaves_the_original_alone(way, digits, digits_test, tmp_path):
    clf = ensemble().fit(*digits)
    before = dict(vars(clf))
    expected = clf.predict_proba(digits_test[0])

    kept = way(clf, tmp_path)
    kept.partial_fit(*digits)

    assert {name: id(value) for name, value in vars(clf).items()} == {
        name: id(value) for name, value in before.items()
    }
    assert "batches" in clf.history_[0]
    assert clf.history_[0]["batches"]
    np.testing.assert_array_equal(clf.predict_proba(digits_test[0]), expected)


@pytest.mark.quick(4)
@every_way
def test_some_members_can_be_dropped_afterwards(way, clf, digits_test, tmp_path):
    again = way(clf, tmp_path)

    assert_same(again.drop_members([0]), clf.drop_members([0]), digits_test[0])
    assert_same(
        way(clf.drop_members([0]), tmp_path), clf.drop_members([0]), digits_test[0]
    )


@pytest.mark.quick(1)
@every_way
def test_training_goes_on_afterwards(way, digits, digits_test, tmp_path):
    net = mlp_classifier((8,), max_epochs=3, lr=0.1, optimizer=torch.optim.SGD)
    clf = ensemble(net, warm_start=True).fit(*digits)
    again = way(clf, tmp_path)

    np.testing.assert_array_equal(
        again.partial_fit(*digits).predict_proba(digits_test[0]),
        clf.partial_fit(*digits).predict_proba(digits_test[0]),
    )
    assert len(again.history_) == 4
    np.testing.assert_array_equal(
        again.fit(*digits).predict_proba(digits_test[0]),
        clf.fit(*digits).predict_proba(digits_test[0]),
    )
    assert len(again.history_) == 7


@pytest.mark.quick(2)
@every_way
def test_it_can_be_cloned_and_fitted_again(way, clf, digits, digits_test, tmp_path):
    again = clone(way(clf, tmp_path)).fit(*digits)

    assert_same(again, clf, digits_test[0])


# -- pickles ---------------------------------------------------------------------------


@pytest.mark.quick(1)
@pickled
def test_unfitted_stays_unfitted(way, digits, digits_test, tmp_path):
    again = way(ensemble(lam=0.25), tmp_path)

    assert not hasattr(again, "estimators_")
    assert again.lam == 0.25
    assert_same(again.fit(*digits), ensemble(lam=0.25).fit(*digits), digits_test[0])


@pytest.mark.quick(2)
@pickled
def test_own_module_comes_back(way, digits, digits_test, tmp_path):
    clf = ensemble(own_member(train_split=ValidSplit(3), callbacks=[EarlyStopping()]))
    clf.fit(*digits)

    assert_same(way(clf, tmp_path), clf, digits_test[0])


@pickled
def test_members_come_back_alone(way, clf, digits_test, tmp_path):
    X, _ = digits_test
    again = [way(member, tmp_path) for member in clf.estimators_]

    for one, other in zip(again, clf.estimators_, strict=True):
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
        np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_a_pickle_is_small():
    X, y = load_digits(return_X_y=True)
    clf = JointEnsembleClassifier(n_estimators=10, random_state=0)
    clf.set_params(estimator=mlp_classifier((64,), max_epochs=10)).fit(X / 16, y)

    size = len(pickle.dumps(clf))

    n_weights = 10 * (64 * 64 + 64 + 64 * 10 + 10)
    assert size < 1_000_000
    assert size < 1.5 * n_weights * 8


def test_a_pickle_does_not_grow_with_the_data(digits):
    X, y = digits
    clf = ensemble()

    few = len(pickle.dumps(clf.fit(X[:100], y[:100])))
    many = len(pickle.dumps(clf.fit(np.tile(X, (5, 1)), np.tile(y, 5))))

    assert abs(many - few) < 1000


def test_members_have_their_own_weights(clf, digits):
    clf = copy.deepcopy(clf)
    others = [copy.deepcopy(member) for member in clf.estimators_[1:]]

    storages = [
        parameter.untyped_storage().data_ptr()
        for member in clf.estimators_
        for parameter in member.module_.parameters()
    ]
    with torch.no_grad():
        for parameter in clf.estimators_[0].module_.parameters():
            parameter.zero_()

    assert len(set(storages)) == len(storages)
    for member, other in zip(clf.estimators_[1:], others, strict=True):
        np.testing.assert_array_equal(
            member.predict_proba(digits[0]), other.predict_proba(digits[0])
        )


@pytest.mark.slow
def test_a_pickle_opens_in_another_process(clf, digits_test, tmp_path):
    X, _ = digits_test
    joblib.dump((clf, X), tmp_path / "model")
    code = (
        "import sys, joblib, numpy as np\n"
        "clf, X = joblib.load(sys.argv[1])\n"
        "np.save(sys.argv[2], clf.predict_proba(X))"
    )
    target = tmp_path / "proba.npy"

    subprocess.run([sys.executable, "-c", code, tmp_path / "model", target], check=True)

    np.testing.assert_array_equal(np.load(target), clf.predict_proba(X))


# -- save and load ---------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ensemble.safetensors"


@pytest.fixture
def _no_code(monkeypatch):
    """Whoever unpickles fails."""

    def refuse(*args, **kwargs):
        raise AssertionError("a file was unpickled")

    for module in (pickle, joblib, torch, cloudpickle):
        monkeypatch.setattr(module, "load", refuse)
    for module in (pickle, cloudpickle):
        monkeypatch.setattr(module, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)


def round_trip(clf, path, **kwargs):
    clf.save(path)
    return JointEnsembleClassifier.load(path, **kwargs)


@pytest.mark.quick(2)
@pytest.mark.usefixtures("_no_code")
@pytest.mark.parametrize(
    "labels",
    [
        np.array(list("abcdefghij")),
        np.array(list("abcdefghij"), dtype=object),
        np.arange(10) - 5,
        np.arange(10, dtype=np.int8),
        np.arange(10) * 1.0,
    ],
    ids="str object int int8 float".split(),
)
def test_labels_come_back(labels, digits, digits_test, path):
    X, y = digits
    clf = ensemble().fit(X, labels[y])

    assert_same(round_trip(clf, path), clf, digits_test[0])


@pytest.mark.quick(3)
@pytest.mark.usefixtures("_no_code")
@pytest.mark.parametrize(
    "params",
    [
        {"class_weight": {label: 1.0 + label for label in range(10)}},
        {"class_weight": {np.int64(label): 2 for label in range(10)}},
        {"class_weight": "balanced"},
        {"bootstrap": True, "oob_score": True, "n_estimators": 20},
        {"warm_start": True, "lam": np.float32(0.5), "n_estimators": np.int64(2)},
        {"random_state": None, "device": "cpu", "verbose": 0},
        {"lam": 0},
    ],
    ids="dict numpy-dict balanced bootstrap numpy none independent".split(),
)
def test_parameters_come_back(params, digits, digits_test, path):
    X, y = digits
    clf = ensemble(**params).fit(X, y)

    again = round_trip(clf, path)

    assert_same(again, clf, digits_test[0])
    mine = {name: value for name, value in vars(clf).items() if name in params}
    assert {name: vars(again)[name] for name in params} == mine


@pytest.mark.usefixtures("_no_code")
def test_a_refit_after_loading_is_the_same_fit(digits, digits_test, path):
    net = mlp_classifier(
        (8, 4),
        "tanh",
        0.1,
        lr=0.02,
        max_epochs=2,
        batch_size=32,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=0.1,
        optimizer__betas=(0.8, 0.99),
    )
    clf = ensemble(net, class_weight="balanced").fit(*digits)

    again = round_trip(clf, path)

    assert_same(again.fit(*digits), clf, digits_test[0])


@pytest.mark.usefixtures("_no_code")
def test_the_default_member_comes_back(digits, digits_test, path):
    clf = JointEnsembleClassifier(n_estimators=2, random_state=0).fit(*digits)

    again = round_trip(clf, path)

    assert again.estimator is None
    assert_same(again, clf, digits_test[0])


@pytest.mark.usefixtures("_no_code")
def test_names_of_features_come_back(digits, path):
    X, y = digits
    X = pd.DataFrame(X, columns=[f"pixel {j}" for j in range(64)])
    clf = ensemble().fit(X, y)

    again = round_trip(clf, path)

    assert again.feature_names_in_.tolist() == list(X)
    assert again.feature_names_in_.dtype == object
    assert_same(again, clf, X)
    with pytest.raises(ValueError, match="feature names should match"):
        again.predict(X.rename(columns=str.upper))


@pytest.mark.quick(1)
@pytest.mark.usefixtures("_no_code")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_the_dtype_of_weights_comes_back(dtype, digits, digits_test, path):
    X, y = digits
    clf = ensemble().fit(X.astype(dtype), y)

    again = round_trip(clf, path)

    assert_same(again, clf, digits_test[0].astype(dtype))
    assert again.predict_proba(X[:1]).dtype == clf.predict_proba(X[:1]).dtype


@pytest.mark.usefixtures("_no_code")
def test_images_come_back(digits, digits_test, path):
    X, y = digits
    clf = ensemble().fit(X.reshape(-1, 1, 8, 8), y)

    assert_same(round_trip(clf, path), clf, digits_test[0].reshape(-1, 1, 8, 8))


@pytest.mark.quick(3)
@pytest.mark.usefixtures("_no_code")
@pytest.mark.parametrize(
    ("prototype", "n_classes"),
    [
        (own_member(), 10),
        (own_member(module__probabilities=True, criterion=nn.NLLLoss), 10),
        (own_member(Tied), 10),
        (
            own_member(
                OneLogit, NeuralNetBinaryClassifier, criterion=nn.BCEWithLogitsLoss
            ),
            2,
        ),
        (
            mlp_classifier((8,), max_epochs=2, criterion__weight=torch.arange(10.0)),
            10,
        ),
        (
            mlp_classifier((8,), max_epochs=2, train_split=ValidSplit(3)),
            10,
        ),
    ],
    ids="logits NLLLoss tied binary tensor split".split(),
)
def test_own_prototypes_come_back_with_their_prototype(
    prototype, n_classes, digits, digits_test, path
):
    X, y = digits
    clf = ensemble(prototype).fit(X, y % n_classes)

    again = round_trip(clf, path, estimator=prototype)

    assert_same(again, clf, digits_test[0])


@pytest.mark.usefixtures("_no_code")
def test_what_callbacks_have_recorded_comes_back(digits, path):
    def score(net, X, y):
        return np.float32(0.25)

    net = mlp_classifier((8,), max_epochs=2)
    net.set_params(callbacks=[EpochScoring(score, name="own", on_train=True)])
    clf = ensemble(net).fit(*digits)

    again = round_trip(clf, path, estimator=net)

    assert again.history_[:, "own"] == [0.25, 0.25]
    assert again.history_[:, "own_best"] == clf.history_[:, "own_best"]


@pytest.mark.usefixtures("_no_code")
def test_parameters_that_were_changed_since_the_fit_come_back(digits, path):
    X, y = digits
    clf = ensemble().fit(X, y).set_params(n_estimators=7)

    again = round_trip(clf, path)

    assert again.n_estimators == 7
    assert len(again.estimators_) == 3
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"random_state": np.random.RandomState(0)},
            "save() keeps 'random_state' when it is an int or None. Got RandomState "
            "instead.",
        ),
        (
            {"bootstrap": True, "oob_score": np.mean},
            "save() keeps None, bool, int, float, str, tuples, lists and dicts of "
            "them. Got _ArrayFunctionDispatcher in 'oob_score' instead; use pickle or "
            "joblib.",
        ),
        (
            {"device": torch.device("cpu")},
            "save() keeps None, bool, int, float, str, tuples, lists and dicts of "
            "them. Got device in 'device' instead; use pickle or joblib.",
        ),
    ],
    ids="random_state oob_score device".split(),
)
def test_what_a_file_cannot_hold_is_refused(params, message, clf, path):
    clf = copy.deepcopy(clf).set_params(**params)

    with pytest.raises(TypeError) as caught:
        clf.save(path)

    assert str(caught.value) == message
    assert list(path.parent.iterdir()) == []


def test_a_save_that_fails_leaves_the_earlier_file(clf, path, monkeypatch):
    clf.save(path)
    before = path.read_bytes()

    def no_space(*args):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", no_space)
        with pytest.raises(OSError, match="No space left"):
            clf.drop_members([0]).save(path)
    with pytest.raises(TypeError):
        copy.deepcopy(clf).set_params(random_state=np.random.RandomState()).save(path)

    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_saved_file_replaces_an_earlier_one(clf, path, digits_test):
    clf.save(path)
    clf.drop_members([0]).save(str(path))

    again = JointEnsembleClassifier.load(str(path))

    assert_same(again, clf.drop_members([0]), digits_test[0])
    assert list(path.parent.iterdir()) == [path]


def test_a_saved_file_has_the_permissions_of_any_file(clf, path):
    clf.save(path)
    other = path.with_name("other")
    other.touch()

    assert path.stat().st_mode == other.stat().st_mode


def test_a_loaded_ensemble_is_saved_as_it_was(clf, path):
    clf.save(path)
    state, tensors, _ = read(str(path))

    JointEnsembleClassifier.load(path).save(path)

    same_state, same_tensors, _ = read(str(path))
    assert same_state == state
    assert list(same_tensors) == list(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(same_tensors[name], tensor)


def test_an_error_of_saving_names_the_path_of_the_user(clf, tmp_path):
    """It named a temporary file."""
    path = tmp_path / "no folder" / "ensemble"

    with pytest.raises(FileNotFoundError) as caught:
        clf.save(path)

    assert caught.value.filename == str(path)
    assert str(caught.value) == f"[Errno 2] No such file or directory: {str(path)!r}"


def test_loading_leaves_the_random_states_alone(clf, path):
    clf.save(path)
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)

    JointEnsembleClassifier.load(path)

    assert (torch.rand(1), np.random.rand()) == expected

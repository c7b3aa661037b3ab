"""scikit-learn's callbacks see the fit of an ensemble epoch by epoch."""

import builtins
import copy
import pickle
import runpy
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from kinds import KINDS, rows
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.metrics import check_scoring
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, Checkpoint, EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn
from watchers import (
    Does,
    Hears,
    Keeps,
    Stops,
    assert_same_ensemble,
    ctrl_c,
    fail,
    predictions,
)

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    _compat,
    mlp_classifier,
    tabular_classifier,
)
from sklearn_jointens.training import JointNet

callback = pytest.importorskip("sklearn.callback", reason="is scikit-learn's from 1.9")

N_EPOCHS = 4


class OwnLoader(torch.utils.data.DataLoader):
    """Draws a seed from torch's generator wherever it begins."""


class Looks(nn.Module):
    """Its way depends on its weights, so that members run one after the other."""

    def __init__(self, n_features_in, n_classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features_in, 4), nn.BatchNorm1d(4), nn.Linear(4, n_classes)
        )

    def forward(self, x):
        return self.layers(x if self.layers[0].bias.sum() < 99 else -x)


@pytest.fixture
def data():
    return make_classification(n_samples=80, n_features=5, random_state=0)


def ensemble(member=None, **params):
    if member is None:
        member = mlp_classifier((4,), max_epochs=N_EPOCHS, batch_size=16, lr=0.02)
    settings = {"n_estimators": 2, "lam": 0.5, "random_state": 0}
    return JointEnsembleClassifier(member, **{**settings, **params})


def looping(**params):
    settings = {"criterion": nn.CrossEntropyLoss, "verbose": 0, "batch_size": 16}
    return NeuralNetClassifier(Looks, **{**settings, **params})


def fits_of_n_epochs(clf, n_epochs, *data, **params):
    """An ensemble that is trained for so many epochs."""
    shorter = clone(clf).set_callbacks()
    return shorter.set_params(estimator__max_epochs=n_epochs).fit(*data, **params)


# -- which tasks there are -------------------------------------------------------------


def test_epochs_are_the_parts_of_a_fit(data):
    hears = Hears()
    ensemble().set_callbacks(hears).fit(*data)

    whole = (("fit", 0),)
    epochs = [(*whole, ("epoch", i)) for i in range(N_EPOCHS)]
    parts = [("begin", e) for e in epochs] + [("end", e) for e in epochs]
    assert [(what, tuple(s[1:] for s in path)) for what, path in hears.heard] == [
        ("setup", whole),
        ("begin", whole),
        *sorted(parts, key=lambda part: (part[1], part[0])),
        ("end", whole),
        ("teardown", whole),
    ]
    assert {step[0] for _, path in hears.heard for step in path} == {
        "JointEnsembleClassifier"
    }


@pytest.mark.parametrize("of", ["fit", "partial_fit"])
def test_a_task_says_how_many_parts_it_may_have(of, data):
    n_parts = []

    class Asks(Hears):
        def setup(self, estimator, context):
            n_parts.append(context.max_subtasks)

        def on_fit_task_begin(self, estimator, context):
            n_parts.append(context.max_subtasks)

    clf = ensemble().set_callbacks(Asks())
    if of == "fit":
        clf.fit(*data)
    else:
        clf.partial_fit(*data, classes=[0, 1])

    n_epochs = N_EPOCHS if of == "fit" else 1
    assert n_parts == [n_epochs, n_epochs, *[0] * n_epochs]


def test_each_partial_fit_is_one_epoch_and_a_warm_start_as_many_as_a_fit(data):
    clf, hears = ensemble(warm_start=True).set_callbacks(Hears()), Hears()
    clf.partial_fit(*data, classes=[0, 1])
    for _ in range(2):
        clf.set_callbacks(hears).partial_fit(*data)
    clf.fit(*data)

    partly, whole = ("partial_fit", 0), ("fit", 0)
    assert hears.steps("end") == [
        *[(partly, ("epoch", 0)), (partly,)] * 2,
        *((whole, ("epoch", i)) for i in range(N_EPOCHS)),
        (whole,),
    ]
    assert clf.n_iter_ == 3 + N_EPOCHS


def test_nothing_is_called_of_a_fit_that_is_refused(data):
    X, y = data
    hears = Hears()
    for clf, given in (
        (ensemble(lam=2.0), (X, y)),
        (ensemble(), (X, y[:-1])),
        (ensemble(looping(max_epochs=1, module__n_features_in=3)), (X, y)),
    ):
        with pytest.raises((ValueError, RuntimeError)):
            clf.set_callbacks(hears).fit(*given)
    assert not hears.heard


def test_nothing_is_done_for_callbacks_that_are_not_there(data, monkeypatch):
    def fails(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(callback.CallbackContext, "_from_estimator", fails)
    clf = ensemble().set_callbacks(Hears())
    with pytest.raises(AssertionError):
        clf.fit(*data)

    one_step, watched = JointNet.train_step, []

    def step(net, batch, **params):
        watched.append(net.watch_)
        return one_step(net, batch, **params)

    monkeypatch.setattr(JointNet, "train_step", step)
    clf.set_callbacks().fit(*data).partial_fit(*data)
    assert set(watched) == {None}


# -- the ensemble of an epoch ----------------------------------------------------------


def members(folder):
    stopping = {"patience": 9, "load_best": True}
    checkpoint = {"dirname": str(folder), "load_best": True, "f_history": None}
    small = {"max_epochs": N_EPOCHS, "batch_size": 16}
    return {
        "dropout": mlp_classifier((4, 4), dropout=0.3, **small),
        "loop": looping(max_epochs=N_EPOCHS, train_split=None),
        "validated": looping(max_epochs=N_EPOCHS),
        "default": tabular_classifier((4,), max_epochs=N_EPOCHS),
        "stopping": mlp_classifier(
            (4,),
            lr=0.5,
            train_split=ValidSplit(4),
            callbacks=[("stop", EarlyStopping(**stopping))],
            **small,
        ),
        "checkpoint": mlp_classifier(
            (4,),
            lr=0.5,
            train_split=ValidSplit(4),
            callbacks=[("save", Checkpoint(**checkpoint))],
            **small,
        ),
        "loader": mlp_classifier(
            (4,), iterator_train=OwnLoader, iterator_valid=OwnLoader, **small
        ),
    }


@pytest.mark.quick(2)
@pytest.mark.parametrize("name", members(""))
def test_an_epoch_shows_the_ensemble_that_was_trained_for_so_many(name, data, tmp_path):
    keeps = Keeps()
    clf = ensemble(members(tmp_path)[name]).set_callbacks(keeps).fit(*data)

    epochs = keeps.epochs()
    assert len(epochs) == N_EPOCHS
    for i, epoch in enumerate(epochs):
        expected = fits_of_n_epochs(clf, i + 1, *data)
        assert_same_ensemble(epoch, expected, data[0])
    assert_same_ensemble(keeps.kept[(("fit", 0),)][0], clf, data[0])


def test_epochs_are_shown_where_they_are_trained(device, data):
    keeps = Keeps()
    clf = ensemble(device=device).set_callbacks(keeps).fit(*data)

    for i, epoch in enumerate(keeps.epochs()):
        expected = predictions(fits_of_n_epochs(clf, i + 1, *data), data[0])
        for found, of_fit in zip(predictions(epoch, data[0]), expected, strict=True):
            np.testing.assert_allclose(found, of_fit, atol=1e-4)


@pytest.mark.quick(3)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_of_targets_can_be_watched(kind):
    X, keeps = rows(), Keeps()
    clf = kind.ensemble(bootstrap=True).set_callbacks(keeps).fit(X, kind.y)

    for i, epoch in enumerate(keeps.epochs()):
        assert_same_ensemble(epoch, fits_of_n_epochs(clf, i + 1, X, kind.y), X)


def test_out_of_bag_scores_come_with_the_members(data):
    keeps = Keeps()
    member = mlp_classifier((4,), max_epochs=2)
    clf = ensemble(member, n_estimators=30, bootstrap=True, oob_score=True)
    clf.set_callbacks(keeps).fit(*data)

    first = keeps.epochs()[0]
    assert len(first.member_scores_) == 30
    assert first.oob_score_ == fits_of_n_epochs(clf, 1, *data).oob_score_


@pytest.mark.quick(2)
@pytest.mark.parametrize("scoring", ["neg_log_loss", ["accuracy", "roc_auc"]])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_monitor_scores_as_ensembles_of_so_many_epochs_do(scoring, weighted, data):
    monitor = callback.ScoringMonitor(scoring=scoring)
    weight = np.random.RandomState(0).uniform(size=80)
    params = {"sample_weight": weight} if weighted else {}
    clf = ensemble().set_callbacks(monitor).fit(*data, **params)

    logged = {row["task_id_path"]: row for row in monitor.get_logs().data}
    assert logged.keys() == {(0,), *((0, i) for i in range(N_EPOCHS))}
    scorer = check_scoring(clf, [scoring] if isinstance(scoring, str) else scoring)
    for path, row in logged.items():
        n_epochs = N_EPOCHS if path == (0,) else path[-1] + 1
        fitted = fits_of_n_epochs(clf, n_epochs, *data, **params)
        expected = scorer(fitted, *data, **params)
        assert {name: row[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("name", ["dropout", "default", "loader"])
def test_who_watches_changes_nothing(name, data, tmp_path):
    made = [members(tmp_path / str(i))[name] for i in range(2)]
    plain, watched = (ensemble(member) for member in made)
    watched.set_callbacks(callback.ScoringMonitor(scoring="accuracy"), Keeps())

    assert_same_ensemble(watched.fit(*data), plain.fit(*data), data[0])
    assert vars(watched).keys() - vars(plain).keys() == {"_skl_callbacks"}
    assert "watch_" not in vars(watched.net_)


def test_what_an_epoch_shows_is_not_what_an_earlier_fit_has_found(data):
    """Of another number of members, and with scores that are not asked for now."""
    keeps = Keeps()
    clf = ensemble(n_estimators=30, bootstrap=True, oob_score=True).fit(*data)
    clf.set_params(n_estimators=3, oob_score=False, bootstrap=False)
    clf.set_callbacks(keeps).fit(*data)

    for i, epoch in enumerate(keeps.epochs()):
        assert_same_ensemble(epoch, fits_of_n_epochs(clf, i + 1, *data), data[0])
        assert not hasattr(epoch, "oob_score_")


def test_what_an_epoch_shows_stays_as_it_is_and_changes_nothing(data):
    X, y = data
    keeps = Keeps()
    clf = ensemble().set_callbacks(keeps).fit(X, y)
    first, second = keeps.epochs()[:2]
    before = [predictions(each, X)[0] for each in (first, second, clf)]
    of_member = clf.estimators_[0].predict_proba(X)

    assert not np.allclose(first.estimators_[0].predict_proba(X), of_member)
    np.testing.assert_array_equal(clf.estimators_[0].predict_proba(X), of_member)
    first.set_callbacks().partial_fit(X, y)
    assert first.n_iter_ == 2
    assert not np.allclose(first.predict_proba(X), before[0])
    np.testing.assert_array_equal(second.predict_proba(X), before[1])
    np.testing.assert_array_equal(clf.predict_proba(X), before[2])


def test_a_copy_that_is_made_between_fits_learns_by_itself(data):
    clf = ensemble().set_callbacks(Hears()).fit(*data)
    before = clf.predict_proba(data[0])
    copied = copy.copy(clf)

    assert copied.partial_fit(*data).n_iter_ == N_EPOCHS + 1
    np.testing.assert_array_equal(clf.predict_proba(data[0]), before)
    assert clf.n_iter_ == N_EPOCHS


@pytest.mark.parametrize("asked_before", [False, True])
def test_what_an_epoch_shows_can_be_kept(asked_before, data, tmp_path):
    X, y = data
    keeps = Keeps()
    clf = ensemble().set_callbacks(keeps).fit(X, y)
    first = keeps.epochs()[0]
    expected = fits_of_n_epochs(clf, 1, X, y)
    if asked_before:
        assert len(first.estimators_) == 2
    first.save(tmp_path / "first")
    for kept in (
        type(clf).load(tmp_path / "first", estimator=clf.estimator),
        pickle.loads(pickle.dumps(first)),
        copy.copy(first),
        copy.deepcopy(first),
        first.drop_members([]),
    ):
        assert_same_ensemble(kept, expected, X)


def test_members_are_made_once_and_can_be_set_and_deleted(data):
    keeps = Keeps()
    assert not hasattr(ensemble(), "estimators_")
    ensemble().set_callbacks(keeps).fit(*data)
    first = keeps.epochs()[0]
    check_is_fitted(first)
    assert "estimators_" not in vars(first)

    made, scores = first.estimators_, first.member_scores_
    assert first.estimators_ is made
    assert first.member_scores_ is scores
    first.estimators_ = made[:1]
    assert first.estimators_ == made[:1]
    del first.estimators_
    assert not hasattr(first, "estimators_")
    with pytest.raises(AttributeError, match="'JointEnsembleClassifier' object has no"):
        first.estimators_  # noqa: B018


# -- what callbacks are told -----------------------------------------------------------


def test_callbacks_are_told_what_the_fit_was_given(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame["f"] = pd.Categorical(np.where(X[:, 0] > 0, "low", "high"))
    names, weight = np.array(["no", "yes"])[y].tolist(), np.ones(80)
    keeps = Keeps()
    member = tabular_classifier((4,), max_epochs=2)
    clf = ensemble(member).set_callbacks(keeps)
    clf.fit(frame, names, sample_weight=weight)

    for fitted, of_X, of_y, metadata in keeps.kept.values():
        assert of_X is frame
        assert of_y is names
        assert metadata["sample_weight"] is weight
        assert fitted.score(of_X, of_y, **metadata) > 0
    clf.set_callbacks(keeps).fit(frame, names)
    assert {kept[3] for kept in keeps.kept.values()} == {None}


def test_the_estimator_is_itself(data):
    seen = []

    class Sees(Hears):
        def on_fit_task_end(self, estimator, context):
            seen.append(estimator)

    clf = ensemble().set_callbacks(Sees()).fit(*data)
    assert len(seen) == N_EPOCHS + 1
    assert all(each is clf for each in seen)


# -- who stops a training --------------------------------------------------------------


@pytest.mark.parametrize("name", ["loop", "default", "stopping", "checkpoint"])
def test_a_callback_can_stop_the_training(name, data, tmp_path):
    stops = Stops(epoch=1)
    clf = ensemble(members(tmp_path)[name]).set_callbacks(stops).fit(*data)

    assert clf.net_.has_ended_
    assert_same_ensemble(clf, fits_of_n_epochs(clf, 2, *data), data[0])
    assert stops.steps("begin") == [(("fit", 0),), *stops.steps("end")[:-1]]
    assert len(stops.steps("end")) == 2 + 1


def test_after_a_stop_a_warm_start_goes_on(data):
    clf = ensemble(warm_start=True).set_callbacks(Stops(epoch=0)).fit(*data)
    clf.set_callbacks().fit(*data)
    assert clf.n_iter_ == 1 + N_EPOCHS


def test_the_epoch_that_a_callback_of_skorch_stops_in_comes_to_its_end(data):
    hears, monitor = Hears(), callback.ScoringMonitor(scoring="accuracy")
    stop = EarlyStopping("train_loss", patience=1, threshold=10, threshold_mode="abs")
    member = mlp_classifier((4,), max_epochs=9, callbacks=[("stop", stop)])
    clf = ensemble(member).set_callbacks(hears, monitor).fit(*data)

    assert clf.n_iter_ == 2
    ends = hears.steps("end")
    assert [step[-1] for step in ends] == [("epoch", 0), ("epoch", 1), ("fit", 0)]
    assert len(monitor.get_logs().data) == 3


class Fails(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise ZeroDivisionError


def test_an_error_of_skorchs_callback_is_not_taken_for_a_stop(data):
    member = mlp_classifier((4,), max_epochs=3, callbacks=[("fails", Fails())])
    stops = Stops(epoch=0)
    with pytest.raises(ZeroDivisionError):
        ensemble(member).set_callbacks(stops).fit(*data)
    assert [what for what, _ in stops.heard] == ["setup", "begin", "begin", "teardown"]


# -- errors and Ctrl-C -----------------------------------------------------------------


@pytest.fixture
def _handler():
    """Python's own: a shell that runs tests in the background ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("what", ["setup", "begin", "end", "teardown"])
def test_an_error_of_a_callback_leaves_an_earlier_fit_as_it_was(what, data):
    X, y = data
    hears, other = Does(fail, what), Hears()
    clf = ensemble().fit(X, y)
    n_times = 2 if what in ("setup", "teardown") else 1
    for _ in range(n_times - 1):
        clf.set_callbacks(other, hears).fit(X, y)
    before = vars(clf.set_callbacks(other, hears)).copy()

    with pytest.raises(ZeroDivisionError):
        clf.fit(X, y)

    assert vars(clf) == before
    for each in (other, hears):
        heard = [said for said, _ in each.heard]
        assert heard.count("setup") == heard.count("teardown") == n_times
    assert clf.set_callbacks().fit(X, y).n_iter_ == N_EPOCHS


def test_an_error_in_another_epoch_leaves_the_ensemble_usable(data):
    X, y = data
    clf = ensemble().fit(X, y)
    proba = clf.predict_proba(X)
    clf.set_callbacks(Does(fail, "end"))

    with pytest.raises(ZeroDivisionError):
        clf.partial_fit(X, y)

    np.testing.assert_array_equal(clf.predict_proba(X), proba)
    assert clf.n_iter_ == N_EPOCHS
    assert clf.set_callbacks().partial_fit(X, y).n_iter_ == N_EPOCHS + 1


@pytest.mark.usefixtures("_handler")
@pytest.mark.parametrize(("what", "at", "n_epochs"), [("begin", 3, 1), ("end", 2, 2)])
def test_ctrl_c_in_a_callback_keeps_what_was_learned(what, at, n_epochs, data):
    does = Does(ctrl_c, what, at)
    clf = ensemble().set_callbacks(does).fit(*data)

    assert clf.net_.has_ended_ is False
    assert_same_ensemble(clf, fits_of_n_epochs(clf, n_epochs, *data), data[0])
    assert does.heard[-1][0] == "teardown"


@pytest.mark.usefixtures("_handler")
def test_ctrl_c_before_the_training_leaves_the_ensemble_as_it_was(data):
    clf = ensemble().set_callbacks(does := Does(ctrl_c, "setup")).fit(*data)
    before = vars(clf).copy()
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*data)
    assert vars(clf) == before
    assert does.heard[-1][0] == "teardown"


# -- at home in scikit-learn -----------------------------------------------------------


def test_copies_have_the_same_callbacks_and_a_file_has_none(data, tmp_path):
    X, y = data
    monitor = callback.ScoringMonitor(scoring="accuracy")
    clf = ensemble().set_callbacks(monitor).fit(X, y)
    for copied in (clone(clf), clf.drop_members([0])):
        assert copied._skl_callbacks == [monitor]
    pickled = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(pickled.predict_proba(X), clf.predict_proba(X))
    assert len(pickled.fit(X, y)._skl_callbacks[0].get_logs("all")) == 2

    clf.save(tmp_path / "clf")
    loaded = type(clf).load(tmp_path / "clf", estimator=clf.estimator)
    assert not hasattr(loaded, "_skl_callbacks")


def test_what_is_no_callback_is_refused():
    with pytest.raises(TypeError, match="FitCallback"):
        ensemble().set_callbacks(EarlyStopping())


def test_without_scikit_learns_callbacks_all_is_as_before(data, monkeypatch):
    find = builtins.__import__

    def find_but(name, *args):
        if name == "sklearn.callback":
            raise ImportError
        return find(name, *args)

    monkeypatch.setattr(builtins, "__import__", find_but)
    compat = runpy.run_path(_compat.__file__)
    monkeypatch.undo()
    fallback = compat["CallbackSupportMixin"]
    for name in vars(callback.CallbackSupportMixin).keys() - vars(fallback).keys():
        monkeypatch.delattr(callback.CallbackSupportMixin, name)
    assert compat["with_callbacks"](fail) is fail

    clf = ensemble().fit(*data).partial_fit(*data)
    search = JointEnsembleClassifierCV(clf.estimator, 2, lams=(0, 1), cv=2).fit(*data)

    assert len(clf.estimators_) == 2
    assert search.lam_ in (0, 1)
    assert not any(hasattr(each, "set_callbacks") for each in (clf, search))

"""Which epoch the members are of, and who says so."""

import functools
import pickle

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedKFold
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochTimer
from skorch.dataset import ValidSplit

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    mlp_classifier,
    tabular_classifier,
)
from sklearn_jointens.training import BestEpoch


class Worse(Callback):
    """Makes every epoch after the second look worse."""

    def __init__(self, best=2):
        self.best = best

    def on_epoch_end(self, net, **kwargs):
        epoch = net.history[-1, "epoch"]
        net.history.record("looks", abs(epoch - self.best))
        net.history.record("is_best", epoch <= self.best)


def member(*callbacks, **params):
    named = [("worse", Worse()), *((f"c{i}", c) for i, c in enumerate(callbacks))]
    return mlp_classifier((3,), max_epochs=4, callbacks=named, **params)


def restored(clf):
    return [row["epoch"] for row in clf.history_ if row.get("restored")]


def stopping(**params):
    return EarlyStopping("looks", patience=9, **params)


def ways(folder):
    # With a file for the history, that would go back with the weights.
    checkpoint = {"monitor": "is_best", "dirname": str(folder), "f_history": None}
    return {
        "none": ([], 4),
        "stopping": ([stopping(load_best=True)], 2),
        "stopping that restores nothing": ([stopping()], 4),
        "checkpoint": ([Checkpoint(**checkpoint, load_best=True)], 2),
        "checkpoint that restores nothing": ([Checkpoint(**checkpoint)], 4),
    }


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", ways(""))
def test_the_best_epoch_is_the_one_that_the_members_are_of(iris, way, tmp_path):
    X, y = iris
    callbacks, epoch = ways(tmp_path)[way]
    clf = JointEnsembleClassifier(
        member(*callbacks), 2, warm_start=True, random_state=0
    ).fit(X, y)
    until_then = JointEnsembleClassifier(
        member().set_params(max_epochs=epoch), 2, random_state=0
    ).fit(X, y)

    np.testing.assert_allclose(
        clf.predict_proba(X), until_then.predict_proba(X), atol=1e-6
    )
    assert (clf.n_iter_, clf.best_epoch_) == (4, epoch)
    assert restored(clf) == ([epoch] if epoch < 4 else [])

    for same in (pickle.loads(pickle.dumps(clf)), clf.drop_members([0])):
        assert (same.n_iter_, same.best_epoch_) == (4, epoch)
    first = clf.history_
    clf.set_params(estimator__callbacks=None).fit(X, y)
    assert (clf.n_iter_, clf.best_epoch_, restored(clf)) == (8, 8, [])
    assert [bool(row.get("restored")) for row in first][epoch - 1] == (epoch < 4)
    clf.partial_fit(X, y)
    assert (clf.n_iter_, clf.best_epoch_) == (9, 9)


@pytest.mark.core
def test_the_best_epoch_is_kept_in_a_file(iris, tmp_path):
    net = tabular_classifier((3,), max_epochs=30, patience=3, lr=0.3)
    clf = JointEnsembleClassifier(net, 2, random_state=0).fit(*iris)
    assert clf.best_epoch_ < clf.n_iter_
    clf.save(tmp_path / "clf")
    loaded = JointEnsembleClassifier.load(tmp_path / "clf")
    assert (loaded.n_iter_, loaded.best_epoch_) == (clf.n_iter_, clf.best_epoch_)


# Steps so large are the end of one of the two members at lam=1.
@pytest.mark.filterwarnings("ignore::sklearn_jointens.MemberDominanceWarning")
def test_a_search_knows_the_best_epoch_of_each_ensemble(iris):
    """In a program, where each ensemble stops by itself, as alone."""
    X, y = iris
    found = []

    def epochs(clf, X, y):
        if isinstance(clf, JointEnsembleClassifier):
            found.append((clf.lam, clf.n_iter_, clf.best_epoch_))
        return 0.0

    net = mlp_classifier(
        (3,),
        lr=1.0,
        max_epochs=20,
        callbacks=[("stop", EarlyStopping(patience=2, load_best=True))],
        train_split=ValidSplit(4, stratified=True),
    )
    search = JointEnsembleClassifierCV(
        net, 2, lams=[0, 1], cv=2, scoring=epochs, random_state=0
    ).fit(X, y)
    assert search.batching_.method == "program"
    together, found[:] = list(found), []
    for lam, train in [(lam, part) for lam in (0, 1) for part in halves(X, y)]:
        clf = JointEnsembleClassifier(net, 2, lam, random_state=0)
        epochs(clf.fit(X[train], y[train]), X, y)
    assert sorted(together) == sorted(found)
    assert any(best < n_iter for _, n_iter, best in found)
    best = search.best_estimator_
    assert (search.n_iter_, search.best_epoch_) == (best.n_iter_, best.best_epoch_)


def halves(X, y):
    return [train for train, _ in StratifiedKFold(2).split(X, y)]


def test_what_is_not_fitted_has_no_epochs():
    for clf in (JointEnsembleClassifier(), JointEnsembleClassifierCV()):
        assert not hasattr(clf, "n_iter_")
        assert not hasattr(clf, "best_epoch_")
        with pytest.raises(NotFittedError):
            clf.predict([[0]])


@pytest.mark.parametrize(
    "make",
    [tabular_classifier, functools.partial(mlp_classifier, early_stopping=True)],
    ids=["tabular", "mlp"],
)
def test_callbacks_of_the_users_come_besides_early_stopping(make):
    """One callback more, and training stopped no longer in time."""
    timer = ("timer", EpochTimer())
    names = [name for name, _ in make(callbacks=[timer]).callbacks]
    assert names == ["best_epoch", "timer"]
    for none in (None, "disable"):
        assert make(callbacks=none).callbacks == none
    without = make(callbacks=[timer], callbacks__best_epoch=None)
    clf = JointEnsembleClassifier(without.set_params(max_epochs=3), n_estimators=2)
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
    assert dict(clf.fit(X, y).net_.callbacks_).get("best_epoch") is None


# -- smaller steps ---------------------------------------------------------------------


class Weights(Callback):
    """Keeps the first member's weights of every epoch."""

    def on_train_begin(self, net, **kwargs):
        self.seen_ = []

    def on_epoch_end(self, net, **kwargs):
        parameters = net.module_.parameters()
        self.seen_.append([p.detach()[0].clone() for p in parameters])


def test_smaller_steps_go_on_from_the_best_epoch(iris):
    X, y = iris
    steps = {"optimizer": torch.optim.SGD, "iterator_train__shuffle": False}
    kept = Weights()
    drops = BestEpoch("looks", patience=2, load_best=True, n_drops=1, factor=0.5)

    clf = JointEnsembleClassifier(
        member(kept, drops, **steps, lr=0.2).set_params(max_epochs=9),
        2,
        random_state=0,
    ).fit(X, y)

    # Epochs 3 and 4 look worse than 2, and so do 5 and 6, which come after it again.
    assert (clf.n_iter_, clf.best_epoch_) == (6, 2)
    seen = dict(clf.net_.callbacks_)["c0"].seen_
    other = JointEnsembleClassifier(
        member(Weights(), **steps, lr=0.2).set_params(max_epochs=2),
        2,
        warm_start=True,
        random_state=0,
    ).fit(X, y)
    then = other.set_params(estimator__lr=0.1).fit(X, y)
    for epoch, expected in zip(
        (4, 5), dict(then.net_.callbacks_)["c0"].seen_, strict=True
    ):
        torch.testing.assert_close(seen[epoch], expected)


def test_without_drops_it_is_early_stopping(iris):
    X, y = iris

    def fitted(stopping):
        net = member(stopping).set_params(max_epochs=9)
        return JointEnsembleClassifier(net, 2, random_state=0).fit(X, y)

    plain = fitted(EarlyStopping("looks", patience=2, load_best=True))
    ours = fitted(BestEpoch("looks", patience=2, load_best=True))

    assert (ours.n_iter_, ours.best_epoch_) == (plain.n_iter_, plain.best_epoch_)
    np.testing.assert_array_equal(ours.predict_proba(X), plain.predict_proba(X))

"""Members that are trained further, and what may change about them meanwhile."""

import copy
import functools
import pickle
import re

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping, ParamMapper
from skorch.dataset import ValidSplit
from tools import skorch_net, weights
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    mlp_classifier,
    tabular_classifier,
)
from sklearn_jointens._going_on import alike
from sklearn_jointens.training import BestEpoch, MemberFolds

Ensemble = JointEnsembleClassifier


class Net(nn.Module):
    def __init__(self, n_features_in, n_classes, hidden=4, act=nn.ReLU, table=None):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features_in, hidden), act(), nn.Linear(hidden, n_classes)
        )

    def forward(self, X):
        return self.layers(X)


class Other(Net):
    pass


class Counting(Callback):
    """One of a user's own, which counts epochs in a public attribute."""

    n_seen = 0

    def on_epoch_end(self, net, **kwargs):
        self.n_seen += 1


def member(module=Net, kind=NeuralNetClassifier, **params):
    settings = {"criterion": nn.CrossEntropyLoss, "max_epochs": 1}
    return skorch_net(module, kind, **{**settings, **params})


def small_table(**params):
    return tabular_classifier((4,), max_epochs=1, **params)


def refused(name, before, now, when):
    return re.escape(
        f"The '{name}' parameter of JointEnsembleClassifier must be {before}, as the "
        f"fitted members have it, {when}. Got {now} instead."
    )


# -- new members beside old ones -----------------------------------------------------


@pytest.mark.quick(5)
@pytest.mark.parametrize("dropped", [[0], [1], [2], [0, 2]], ids=str)
@pytest.mark.parametrize("kept_as", ["copy", "pickle", "file"])
def test_new_members_are_none_that_were_dropped_or_stayed(
    iris, dropped, kept_as, tmp_path
):
    """A new member had the seed, so the weights and the bag, of one that had stayed."""
    X, y = iris
    net = mlp_classifier((4,), max_epochs=0)
    clf = Ensemble(net, 3, bootstrap=True, warm_start=True, random_state=0).fit(X, y)
    before = weights(clf)
    clf = clf.drop_members(dropped)
    if kept_as == "pickle":
        clf = pickle.loads(pickle.dumps(clf))
    elif kept_as == "file":
        clf.save(tmp_path / "clf")
        clf = Ensemble.load(tmp_path / "clf")

    clf.set_params(n_estimators=3).fit(X, y)
    clf = clf.drop_members([0]).set_params(n_estimators=4).fit(X, y)

    ever = [*before, *weights(clf)]
    assert len(np.unique(ever, axis=0)) == 3 + len(dropped) + 2
    assert len(set(clf._draws.seeds)) == len(set(clf._draws.places)) == 4


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(3)], ids=str)
def test_new_members_are_drawn_from_any_random_state(iris, random_state):
    X, y = iris
    net = mlp_classifier((4,), max_epochs=0)
    clf = Ensemble(net, 3, warm_start=True, random_state=random_state).fit(X, y)
    before = weights(clf)
    clf = clf.drop_members([1]).set_params(n_estimators=4).fit(X, y)

    assert len(np.unique([*before, *weights(clf)], axis=0)) == 5


def test_an_ensemble_that_lost_nobody_grows_as_it_always_did(iris):
    X, y = iris
    net = mlp_classifier((4,), max_epochs=0)
    grown = Ensemble(net, 2, warm_start=True, random_state=0).fit(X, y)
    grown.set_params(n_estimators=5).fit(X, y)
    whole = Ensemble(net, 5, random_state=0).fit(X, y)

    np.testing.assert_array_equal(weights(grown), weights(whole))


# -- what may not change -------------------------------------------------------------

CHANGED_MEMBERS = [
    ("module__hidden", 8, "4", "8"),
    ("module__act", nn.Tanh, "its default", "Tanh"),
    ("module__table", np.ones(2), "its default", "array([1., 1.])"),
    ("module", Other, "Net", "Other"),
    ("criterion", nn.NLLLoss, "CrossEntropyLoss", "NLLLoss"),
    ("criterion__label_smoothing", 0.1, "its default", "0.1"),
]
CHANGED_NET = [
    ("lr", 0.5, "0.01", "0.5"),
    ("optimizer", torch.optim.Adam, "SGD", "Adam"),
    ("optimizer__momentum", 0.9, "its default", "0.9"),
    ("batch_size", 7, "128", "7"),
    ("iterator_train__shuffle", True, "its default", "True"),
]


@pytest.mark.parametrize(("name", "value", "before", "now"), CHANGED_MEMBERS)
def test_a_warm_start_refuses_other_members(iris, name, value, before, now):
    """The members went on with what they had, and a file of them could not be read."""
    X, y = iris
    clf = Ensemble(member(module__hidden=4), 2, warm_start=True).fit(X, y)
    started, proba = weights(clf), clf.predict_proba(X)
    clf.set_params(**{f"estimator__{name}": value}, n_estimators=3)

    with pytest.raises(
        ValueError,
        match=refused(f"estimator__{name}", before, now, "when warm_start=True"),
    ):
        clf.fit(X, y)

    np.testing.assert_array_equal(weights(clf), started)
    np.testing.assert_array_equal(clf.predict_proba(X), proba)


@pytest.mark.quick(7)
@pytest.mark.parametrize(
    ("name", "value", "before", "now"), [*CHANGED_MEMBERS, *CHANGED_NET]
)
def test_a_further_epoch_refuses_another_net(iris, name, value, before, now):
    """The net went on as it was made in the first call, without a word."""
    X, y = iris
    clf = Ensemble(member(module__hidden=4), 2)
    clf.partial_fit(X, y, classes=np.unique(y))
    started = weights(clf)
    clf.set_params(**{f"estimator__{name}": value})

    with pytest.raises(
        ValueError, match=refused(f"estimator__{name}", before, now, "in partial_fit")
    ):
        clf.partial_fit(X, y)

    np.testing.assert_array_equal(weights(clf), started)
    assert len(clf.history_) == 1


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_members_of_another_class_are_refused(iris, method):
    X, y = iris
    clf = Ensemble(small_table(), 2, warm_start=True).fit(X, y)
    clf.set_params(estimator=mlp_classifier((4,)))
    when = "when warm_start=True" if method == "fit" else "in partial_fit"

    with pytest.raises(
        ValueError,
        match=refused(
            "estimator",
            "an instance of TabularNetClassifier",
            "an instance of MemberNetClassifier",
            when,
        ),
    ):
        getattr(clf, method)(X, y)


def test_a_further_epoch_stays_on_its_device(iris):
    X, y = iris
    clf = Ensemble(member(), 2, device="cpu").fit(X, y).set_params(device="meta")

    with pytest.raises(
        ValueError, match=refused("device", "cpu", "meta", "in partial_fit")
    ):
        clf.partial_fit(X, y)


# -- what may ------------------------------------------------------------------------


def passed_on(clf, how, tmp_path):
    if how == "copy":
        return copy.deepcopy(clf)
    if how == "pickle":
        return pickle.loads(pickle.dumps(clf))
    if how == "file":
        clf.save(tmp_path / "clf")
        return Ensemble.load(tmp_path / "clf", estimator=clf.estimator)
    return clf.drop_members([0]) if how == "drop" else clf


def instance():
    return nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 3))


def lazy():
    return nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyLinear(3))


PROTOTYPES = {
    "none": lambda: None,
    "table": lambda: small_table(lr=0.01, optimizer__weight_decay="auto"),
    "table of one precision": lambda: small_table(module__dtype=torch.float64),
    "mlp": lambda: mlp_classifier([4], early_stopping=True, max_epochs=1),
    "own": lambda: member(module__act=nn.Tanh, module__table=np.array([1, np.nan])),
    "array": lambda: member(module__table=torch.arange(3.0)),
    "criterion": lambda: member(criterion__weight=torch.tensor([1.0, 2.0, 3.0])),
    "partial": lambda: member(functools.partial(Net, hidden=3)),
    "instance": lambda: member(instance()),
    "lazy": lambda: member(lazy()),
    "callback": lambda: member(callbacks=[("own", Counting())]),
    "callback that is told a function": lambda: member(
        callbacks=[("map", ParamMapper("*", fn=torch.nn.init.zeros_, at=4))]
    ),
    "split": lambda: member(train_split=ValidSplit(3, stratified=True)),
    "folds": lambda: member(train_split=MemberFolds(2)),
}


@pytest.mark.quick(1)
@pytest.mark.filterwarnings("ignore::sklearn_jointens._members.IdenticalMembersWarning")
@pytest.mark.parametrize(
    ("prototype", "how"),
    [
        *((name, how) for name in PROTOTYPES for how in ("as it is", "pickle")),
        *((name, how) for name in ("none", "own") for how in ("copy", "file", "drop")),
    ],
)
def test_what_is_not_changed_is_not_refused(iris, prototype, how, tmp_path):
    """Nor where the data would settle other settings, or a copy is of another class."""
    X, y = iris
    clf = Ensemble(PROTOTYPES[prototype](), 3, warm_start=True, random_state=0)
    if prototype == "none":
        # As small as a member can be that is nobody's but the ensemble's.
        clf.set_params(estimator__max_epochs=1, estimator__n_bins=0)
    clf.fit(X, y)

    clf = passed_on(clf, how, tmp_path)
    clf.fit(X[:60], y[:60])
    clf.partial_fit(X[10:], y[10:])
    clf = passed_on(clf, how, tmp_path)
    clf.partial_fit(X, y)
    clf.fit(X, y)

    assert len(clf.history_) == 5


def test_members_take_over_what_a_warm_start_may_change(iris):
    """They kept the threshold and the optimizer of their first fit."""
    X, y = iris
    X, y = X[y > 0], y[y > 0]
    net = member(
        functools.partial(Net, n_classes=1),
        NeuralNetBinaryClassifier,
        criterion=nn.BCEWithLogitsLoss,
    )
    clf = Ensemble(net, 2, warm_start=True, random_state=0).fit(X, y)
    earlier = clf.estimators_[0]
    clf.set_params(
        n_estimators=3,
        estimator__threshold=0.999,
        estimator__optimizer=torch.optim.Adam,
        estimator__optimizer__eps=1e-3,
    ).fit(X, y)

    again = pickle.loads(pickle.dumps(clf))
    for fitted in (clf, again):
        np.testing.assert_array_equal(fitted.predict(X), clf.predict(X))
        for one in (fitted.net_, *fitted.estimators_):
            assert one.threshold == 0.999
            assert one.optimizer__eps == 1e-3
    clf.estimators_[0].partial_fit(X, y)
    assert isinstance(clf.estimators_[0].optimizer_, torch.optim.Adam)
    assert earlier.threshold == 0.5
    again.partial_fit(X, y)


def test_settings_are_alike_by_what_they_say():
    same = [
        (nn.ReLU, nn.ReLU),
        (nn.ReLU(), nn.ReLU()),
        (float("nan"), float("nan")),
        ([1, (2, 3)], (1, [2, 3])),
        ({"a": np.ones(2)}, {"a": torch.ones(2)}),
        (EarlyStopping(patience=3), copy.deepcopy(EarlyStopping(patience=3))),
        (np.random.RandomState(0), np.random.RandomState(1)),  # nothing can tell
    ]
    different = [
        (nn.ReLU, nn.Tanh),
        (nn.ReLU(), nn.Tanh()),
        (nn.Linear(2, 3), nn.Linear(2, 4)),
        (lambda X: X + 1, lambda X: X + 2),
        (functools.partial(Net, hidden=2), functools.partial(Net, hidden=3)),
        (torch.float32, torch.float64),
        (None, 0.5),
        ("auto", 1),
        ([1, 2], [1, 2, 3]),
        ("ab", ["a", "b"]),
        ({"a": 1}, {"b": 1}),
        (np.ones(2), np.zeros(2)),
        (BestEpoch(patience=3), BestEpoch(patience=4)),
        (BestEpoch(patience=3), EarlyStopping(patience=3)),
        (MemberFolds(2), MemberFolds(3)),
    ]

    assert [pair for pair in same if not alike(*pair)] == []
    assert [pair for pair in different if alike(*pair)] == []


# -- optimizers of all weights -------------------------------------------------------


class Own(torch.optim.LBFGS):
    pass


@pytest.mark.parametrize("optimizer", [torch.optim.LBFGS, Own])
@pytest.mark.parametrize("kind", [Ensemble, JointEnsembleClassifierCV])
def test_an_optimizer_of_all_weights_together_is_refused(iris, kind, optimizer):
    """It coupled the members at lam=0: one step was taken for all of them."""
    clf = kind(member(optimizer=optimizer), 2)

    with pytest.raises(
        ValueError,
        match=re.escape(
            f"The 'estimator__optimizer' parameter of {kind.__name__} must not be "
            "LBFGS, which takes the weights of all members as one vector and would "
            "couple them at any lam, unless n_estimators=1. Got "
            f"{optimizer.__name__} with n_estimators=2 instead."
        ),
    ):
        clf.fit(*iris)


def test_one_member_may_have_it_as_in_skorch(iris):
    X, y = iris
    net = member(optimizer=torch.optim.LBFGS, lr=0.1, batch_size=-1, max_epochs=2)
    net.set_params(optimizer__max_iter=4)
    clf = Ensemble(net, 1, lam=0.7, random_state=0)
    start = clone(clf).set_params(estimator__max_epochs=0).fit(X, y)
    clf.fit(X, y)
    alone = net.set_params(
        module__n_features_in=4, module__n_classes=3, classes=[0, 1, 2]
    ).initialize()
    alone.module_.load_state_dict(start.estimators_[0].module_.state_dict())
    alone.partial_fit(X.astype(np.float32), y)

    np.testing.assert_allclose(
        clf.predict_proba(X), alone.predict_proba(X.astype(np.float32)), atol=1e-5
    )
    np.testing.assert_allclose(
        clf.history_[:, "train_loss"], alone.history[:, "train_loss"], rtol=1e-4
    )

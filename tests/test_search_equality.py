"""One program gives what GridSearchCV gives, ensemble by ensemble.

In each of these the ensembles are trained as one program: a search that had fallen back
to training one by one would be no test of it, and fails.
"""

import numpy as np
import pytest
from search_tools import (
    UNEQUAL_FOLDS,
    assert_equals_grid_search,
    member,
    rows_of,
    stopping,
)
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.model_selection import KFold, ShuffleSplit, TimeSeriesSplit
from skorch.callbacks import LRScheduler
from skorch.dataset import ValidSplit
from torch.optim import ASGD, SGD, Adam, AdamW, RMSprop

from sklearn_jointens.training import BestEpoch, MemberFolds

REPEATING_FOLDS = [
    (np.random.RandomState(k).randint(100, size=80), np.arange(k, 100, 3))
    for k in range(2)
]


# -- data sets and optimizers ----------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
@pytest.mark.parametrize(
    "settings",
    [{"optimizer": Adam}, {"optimizer": SGD, "optimizer__momentum": 0.9, "lr": 0.05}],
    ids=lambda settings: settings["optimizer"].__name__,
)
def test_data_sets(load, settings):
    assert_equals_grid_search(member(**settings), *rows_of(load))


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": AdamW, "optimizer__weight_decay": 0.1},
        {"optimizer": Adam, "optimizer__amsgrad": True},
        {"optimizer": RMSprop, "optimizer__momentum": 0.5},
    ],
    ids=lambda settings: settings["optimizer"].__name__,
)
def test_other_optimizers(settings, iris):
    assert_equals_grid_search(member(**settings), *iris)


@pytest.mark.slow
def test_different_learning_rates_for_different_weights(iris):
    groups = [("*.bias", {"lr": 0.1}), ("*weight", {"weight_decay": 0.01})]

    assert_equals_grid_search(member(optimizer__param_groups=groups), *iris)


@pytest.mark.slow
def test_deep_member_and_many_members(wine):
    assert_equals_grid_search(
        member((5, 4), activation="tanh"), *wine, lams=(0.3, 0.99), n_estimators=5
    )


# -- validation and early stopping -----------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("monitor", "lower_is_better"),
    [
        ("valid_loss", True),
        ("valid_acc", False),
        ("valid_member_loss", True),
        ("valid_diversity", False),
        ("train_loss", True),
    ],
)
def test_early_stopping(monitor, lower_is_better, cancer):
    callbacks = stopping(monitor, lower_is_better=lower_is_better, patience=1)
    net = member(
        lr=0.1,
        max_epochs=12,
        train_split=ValidSplit(4, stratified=True),
        callbacks=callbacks,
    )

    assert_equals_grid_search(net, *cancer)


@pytest.mark.slow
def test_early_stopping_without_going_back_to_the_best_epoch(wine):
    net = member(
        lr=0.1,
        max_epochs=12,
        train_split=ValidSplit(3),
        callbacks=stopping(load_best=False),
    )

    assert_equals_grid_search(net, *wine)


@pytest.mark.slow
def test_early_stopping_on_folds_of_different_sizes(cancer):
    net = member(
        lr=0.1, max_epochs=10, train_split=ValidSplit(0.3), callbacks=stopping()
    )

    assert_equals_grid_search(net, *cancer, cv=UNEQUAL_FOLDS)


@pytest.mark.slow
def test_validation_in_several_batches(cancer):
    net = member(
        train_split=ValidSplit(3), iterator_valid__batch_size=7, callbacks=stopping()
    )

    assert_equals_grid_search(net, *cancer, cv=UNEQUAL_FOLDS)


@pytest.mark.slow
def test_split_with_a_random_state_of_its_own(iris):
    split = ValidSplit(0.25, random_state=np.random.RandomState(0))
    net = member(train_split=split, callbacks=stopping())

    assert_equals_grid_search(net, *iris)


# -- weights ---------------------------------------------------------------------------


@pytest.fixture
def weight():
    return np.random.RandomState(0).uniform(0, 3, size=100)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("bootstrap", "class_weight", "weighted"),
    [
        (False, None, True),
        (False, "balanced", False),
        (False, {0: 2.0, 1: 0.5}, True),
        (True, None, False),
        (True, {0: 2.0, 1: 0.5}, False),
        (True, "balanced", True),
    ],
)
def test_weights(bootstrap, class_weight, weighted, cancer, weight):
    net = member(train_split=ValidSplit(4), callbacks=stopping())

    assert_equals_grid_search(
        net,
        *cancer,
        bootstrap=bootstrap,
        class_weight=class_weight,
        fit_params={"sample_weight": weight} if weighted else {},
    )


@pytest.mark.slow
def test_weights_on_folds_of_different_sizes(cancer, weight):
    assert_equals_grid_search(
        member(),
        *cancer,
        cv=UNEQUAL_FOLDS,
        bootstrap=True,
        fit_params={"sample_weight": weight},
    )


# -- folds -----------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "cv",
    [
        TimeSeriesSplit(4),
        KFold(6),
        ShuffleSplit(3, train_size=41, random_state=0),
        UNEQUAL_FOLDS,
        [(list(range(30, 90)), list(range(30)))],
    ],
    ids=["time", "six", "shuffled", "unequal", "one"],
)
def test_folds(cv, wine):
    assert_equals_grid_search(member(), *wine, cv=cv)


@pytest.mark.slow
def test_folds_as_masks(iris):
    """True and False once were the rows 1 and 0 to a program."""
    X, y = iris
    trains = [np.arange(100) % 3 != k for k in range(3)]

    fitted = assert_equals_grid_search(
        member(), X, y, cv=[(train, ~train) for train in trains]
    )

    assert fitted.n_splits_ == 3


def test_folds_that_count_from_the_end(iris):
    cv = [(np.arange(-60, 0), np.arange(40)), (np.arange(80), np.arange(-40, 0))]

    assert_equals_grid_search(member(), *iris, cv=cv)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "settings", [{}, {"class_weight": "balanced"}, {"bootstrap": True}], ids=str
)
@pytest.mark.parametrize("split", [None, MemberFolds(2)], ids=str)
def test_folds_that_repeat_rows(split, settings, iris):
    """Copies of a row may be drawn apart, into bootstrap samples and folds."""
    net = member(train_split=split)
    assert_equals_grid_search(net, *iris, cv=REPEATING_FOLDS, **settings)


def test_fold_that_lacks_a_class(iris):
    X, y = iris
    order = np.argsort(y, kind="stable")
    names = np.array(["ant", "bee", "cat"])[y[order]]

    fitted = assert_equals_grid_search(member(), X[order], names, cv=KFold(3))

    seen = {tuple(np.unique(names[train])) for train, _ in KFold(3).split(X)}
    assert fitted.batching_.n_programs == len(seen) > 1


@pytest.mark.gpu
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": SGD, "lr": 0.05},
        {"max_epochs": 8, "train_split": ValidSplit(4), "callbacks": stopping()},
    ],
    ids=["adam", "sgd", "stopping"],
)
def test_on_cuda(settings, cancer):
    assert_equals_grid_search(member(**settings), *cancer, device="cuda")


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": AdamW, "optimizer__weight_decay": 0.1, "lr": 0.05},
        {"optimizer": SGD, "optimizer__momentum": 0.9, "lr": 0.2},
        {"optimizer": RMSprop, "lr": 0.05},
    ],
    ids=lambda settings: settings["optimizer"].__name__,
)
# RMSprop is so fast that at lam=1 one of two members is enough.
@pytest.mark.filterwarnings("ignore::sklearn_jointens.MemberDominanceWarning")
def test_smaller_steps_of_each_ensemble_at_its_own_time(settings, cancer):
    drops = BestEpoch(patience=1, load_best=True, n_drops=2)
    net = member(
        callbacks=[("drops", drops)],
        train_split=ValidSplit(4),
        max_epochs=14,
        **settings,
    )

    fitted = assert_equals_grid_search(net, *cancer, lams=(0.0, 0.7, 1.0))

    assert fitted.batching_.n_programs == 1


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"callbacks": [("lr", LRScheduler("ExponentialLR", gamma=0.9))]}, "schedule"),
        ({"optimizer": ASGD}, "not proportional"),
    ],
)
def test_smaller_steps_that_are_no_share_of_others_are_taken_alone(
    settings, reason, iris
):
    drops = ("drops", BestEpoch(patience=1, load_best=True, n_drops=1))
    callbacks = [drops, *settings.pop("callbacks", [])]
    net = member(callbacks=callbacks, train_split=ValidSplit(4), **settings)

    fitted = assert_equals_grid_search(net, *iris, method="one by one")

    assert reason in fitted.batching_.reason

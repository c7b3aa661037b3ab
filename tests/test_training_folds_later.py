"""Folds of members that go on, of a net that is trained alone, and in searches."""

import pickle

import numpy as np
import pytest
from search_tools import (
    UNEQUAL_FOLDS,
    assert_equals_grid_search,
    ensemble_of_folds,
    folded,
    stopping,
)
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV

from sklearn_jointens import JointEnsembleClassifier, MemberFolds, tabular_classifier


def figures(clf):
    """What validation says of the members, at the end."""
    last = clf.history_[-1]
    return {
        "scores": clf.member_scores_,
        "losses": last["valid_member_losses"],
        "accuracies": last["valid_member_accuracies"],
    }


def assert_same_figures(found, expected, members=slice(None)):
    for name, values in expected.items():
        values = np.array(values)[members]
        np.testing.assert_allclose(found[name][: len(values)], values, rtol=1e-6)


def going_on_without_learning(clf, **params):
    """The members as they are, validated once more."""
    clf.set_params(warm_start=True, estimator__lr=0.0, estimator__max_epochs=1)
    return clf.set_params(**params)


# -- going on --------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("random_state", [0, None, "generator"])
def test_warm_start_keeps_folds(random_state, cancer):
    """Else a member would be validated on rows that it has learned from."""
    if random_state == "generator":
        random_state = np.random.RandomState(0)
    clf = ensemble_of_folds(random_state=random_state).fit(*cancer)
    before = figures(clf)

    going_on_without_learning(clf).fit(*cancer)

    assert_same_figures(figures(clf), before)


@pytest.mark.parametrize("random_state", [0, None])
def test_more_members_leave_the_folds_of_the_first_ones(random_state, cancer):
    clf = ensemble_of_folds(random_state=random_state).fit(*cancer)
    before = figures(clf)

    going_on_without_learning(clf, n_estimators=7).fit(*cancer)

    assert len(clf.member_scores_) == 7
    assert_same_figures(figures(clf), before)


@pytest.mark.parametrize("random_state", [0, None])
def test_partial_fit_keeps_folds(random_state, cancer):
    X, y = cancer
    clf = ensemble_of_folds(folded(lr=0.0), random_state=random_state)
    clf.partial_fit(X, y, classes=[0, 1])
    before = figures(clf)

    assert_same_figures(figures(clf.partial_fit(X, y)), before)


@pytest.mark.quick(1)
@pytest.mark.parametrize("dropped", [[3], [0], [0, 2]])
def test_members_that_are_left_keep_their_folds(dropped, cancer):
    clf = ensemble_of_folds().fit(*cancer)
    kept = [j for j in range(4) if j not in dropped]
    smaller = clf.drop_members(dropped)
    before = figures(clf)

    assert_same_figures(figures(smaller), before, kept)
    going_on_without_learning(smaller).fit(*cancer)
    assert_same_figures(figures(smaller), before, kept)


@pytest.mark.quick(1)
@pytest.mark.parametrize("random_state", [0, None])
@pytest.mark.parametrize("way", ["pickle", "file"])
def test_kept_ensembles_keep_their_folds(way, random_state, cancer, tmp_path):
    clf = ensemble_of_folds(random_state=random_state).fit(*cancer)
    before = figures(clf)
    if way == "pickle":
        found = pickle.loads(pickle.dumps(clf))
    else:
        clf.save(tmp_path / "clf")
        found = JointEnsembleClassifier.load(tmp_path / "clf")

    going_on_without_learning(found).fit(*cancer)

    assert_same_figures(figures(found), before)


# -- alone -----------------------------------------------------------------------------


@pytest.mark.usefixtures("_seeded")
@pytest.mark.parametrize("make", [folded, tabular_classifier])
def test_a_net_alone_is_validated_on_one_fold(make, cancer):
    net = make(max_epochs=2, train_split=MemberFolds(4)).fit(*cancer)

    for kind, n_rows in (("train", 75), ("valid", 25)):
        batches = net.history[-1]["batches"]
        sizes = [batch.get(f"{kind}_batch_size", 0) for batch in batches]
        assert sum(sizes) == n_rows
    assert {"valid_loss", "valid_acc"} <= set(net.history[-1])


@pytest.mark.usefixtures("_seeded")
def test_a_net_alone_goes_back_to_its_best_epoch(cancer):
    X, y = cancer
    net = folded(lr=0.1, max_epochs=30, callbacks=stopping()).fit(X, y)
    losses = net.history[:, "valid_loss"]

    assert len(losses) == int(np.argmin(losses)) + 3 < 30


@pytest.mark.usefixtures("_seeded")
def test_nets_for_tables_in_bagging(cancer):
    X, y = cancer
    X = X.copy()
    X[::9, 0] = np.nan
    net = tabular_classifier((8,), max_epochs=10)
    bag = BaggingClassifier(net, n_estimators=3, random_state=0).fit(X, y)

    mean = np.mean([one.predict_proba(X) for one in bag.estimators_], axis=0)
    np.testing.assert_allclose(bag.predict_proba(X), mean, rtol=1e-6)
    assert bag.score(X, y) > 0.85
    assert all("valid_loss" in one.history[-1] for one in bag.estimators_)


# -- searches --------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_estimators": 5, "lams": [0.7]},
        {"bootstrap": True, "n_estimators": 5, "lams": [0.7]},
        {"class_weight": "balanced", "lams": [0.7]},
    ],
    ids=str,
)
def test_folds_of_a_search_are_those_of_each_fit(settings, iris):
    net = folded(lr=0.1, max_epochs=6, callbacks=stopping())

    assert_equals_grid_search(net, *iris, cv=UNEQUAL_FOLDS, **settings)


@pytest.mark.quick(1)
@pytest.mark.parametrize("batch_size", [2, 16])
def test_validation_in_small_batches_in_a_search(batch_size, iris):
    """Folds of unequal training sets may come in more or fewer batches."""
    net = folded(iterator_valid__batch_size=batch_size)

    assert_equals_grid_search(net, *iris, cv=UNEQUAL_FOLDS, lams=[0.7], n_estimators=4)


def test_validation_in_small_batches_of_weighted_rows_in_a_search(iris):
    """A batch's weights are divided by their sum: batches must be the same ones."""
    weight = np.random.RandomState(0).uniform(0.1, 3, 100)
    net = folded(iterator_valid__batch_size=4)

    assert_equals_grid_search(
        net, *iris, cv=UNEQUAL_FOLDS, lams=[0.7], fit_params={"sample_weight": weight}
    )


# Equally many batches of training rows, but not of validation rows.
NEARLY_EQUAL_FOLDS = [
    (np.arange(60), np.arange(60, 90)),
    (np.arange(48, 98), np.arange(10)),
]


@pytest.mark.quick(1)
@pytest.mark.parametrize("batch_size", [1, 1000])
def test_members_are_validated_on_their_own_folds_in_a_search(batch_size, iris):
    """Folds of two training sets, in unequal numbers of batches, were mixed up."""
    net = folded(iterator_valid__batch_size=batch_size)

    assert_equals_grid_search(
        net, *iris, cv=NEARLY_EQUAL_FOLDS, lams=[0.7], n_estimators=4
    )


def test_more_folds_than_rows_in_a_search(iris):
    cv = [(np.arange(18), np.arange(20, 30)), (np.arange(3, 26), np.arange(30, 40))]
    net = folded(21, max_epochs=2, lr=0.1)

    assert_equals_grid_search(net, *iris, cv=cv, lams=[0.7], n_estimators=20)


def test_number_of_folds_is_searched(iris):
    grid = {"estimator__train_split": [MemberFolds(2), MemberFolds(5), None]}

    found = GridSearchCV(ensemble_of_folds(), grid, cv=2, error_score="raise").fit(
        *iris
    )

    assert len(found.cv_results_["mean_test_score"]) == 3

"""A search over tables gives what GridSearchCV gives: nothing is known of test rows."""

import numpy as np
import pandas as pd
import pytest
from search_tools import assert_equals_grid_search
from sklearn.model_selection import GridSearchCV

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    tabular_classifier,
)

# Of 120 rows, in order.
FOLDS = [
    (np.arange(70), np.arange(70, 120)),
    (np.arange(40, 120), np.arange(40)),
    (np.arange(20, 90), np.r_[:20, 90:120]),
]


def member(hidden=(5,), **params):
    settings = {"max_epochs": 4, "patience": 2, "n_splits": 3, "lr": 0.02}
    return tabular_classifier(hidden, **{**settings, **params})


def numbers(n=120):
    """Columns whose medians, quantiles and missing values differ among folds."""
    random = np.random.RandomState(0)
    X = random.standard_cauchy(size=(n, 3))
    X[:, 0] += np.arange(n)
    X[:35, 1] = np.nan
    X[50:, 2] = 7.0
    return X


def frame(n=120):
    """Some folds only have some of the categories, or all of a missing value."""
    random = np.random.RandomState(1)
    text = random.choice(["b", "c", "d"], size=n).astype(object)
    text[:30:7], text[100::5], text[75] = "a", "e", None
    return pd.DataFrame(
        {
            "number": numbers(n)[:, 0],
            "missing": numbers(n)[:, 1],
            "text": text,
            "category": pd.Categorical(np.where(np.arange(n) < 70, "one", "other")),
            "flag": random.rand(n) > 0.5,
        }
    )


def labels(n=120, rare=True):
    random = np.random.RandomState(2)
    y = np.array(["no", "yes"])[random.randint(2, size=n)]
    if rare:
        y[[3, 45, 60, 80, 95, 110]] = "rare"
    return y


@pytest.mark.quick(1)
@pytest.mark.parametrize("make", [numbers, frame])
def test_tables_with_what_only_some_folds_have(make):
    assert_equals_grid_search(member(), make(), labels(), lams=(0.0, 0.9), cv=FOLDS)


def test_classes_that_only_some_folds_have():
    y = labels()
    y[100:102] = "rarest"

    assert_equals_grid_search(member(), frame(), y, cv=FOLDS[:2], lams=[0.7])


@pytest.mark.slow
def test_weights_of_rows_are_those_of_the_encoding():
    weight = np.random.RandomState(3).uniform(0, 2, size=120)
    weight[::9] = 0

    assert_equals_grid_search(
        member(),
        frame(),
        labels(),
        cv=FOLDS,
        lams=[0.7],
        fit_params={"sample_weight": weight},
    )


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "settings",
    [{"bootstrap": True}, {"class_weight": "balanced"}, {"n_estimators": 4}],
    ids=str,
)
def test_settings_of_the_ensemble(settings):
    assert_equals_grid_search(
        member(), frame(), labels(), cv=FOLDS[:2], lams=[0.7], **settings
    )


@pytest.mark.slow
def test_members_with_dropout():
    net = member(dropout=0.3, callbacks=None)

    assert_equals_grid_search(net, frame(), labels(), cv=FOLDS[:2], lams=[0.7])


def test_folds_too_small_to_be_validated():
    cv = [(np.arange(45), np.arange(50, 80)), (np.arange(60, 105), np.arange(20))]

    assert_equals_grid_search(member(), frame(), labels(rare=False), cv=cv, lams=[0.7])


def test_folds_on_both_sides_of_what_is_validated():
    cv = [(np.arange(49), np.arange(50, 80)), (np.arange(60, 112), np.arange(20))]

    assert_equals_grid_search(member(), frame(), labels(rare=False), cv=cv, lams=[0.7])


def test_folds_that_settle_different_dtypes():
    random = np.random.RandomState(0)
    X, y = random.randn(1300, 2), random.randint(2, size=1300)
    cv = [
        (np.arange(999), np.arange(1000, 1100)),
        (np.arange(250, 1300), np.arange(200)),
    ]
    net = member(max_epochs=1, batch_size=256, callbacks=None)

    # One in float32, whose sums are rounded in another order.
    assert_equals_grid_search(net, X, y, cv=cv, atol=1e-5, lams=[0.5])


@pytest.mark.slow
def test_copies_of_rows():
    cv = [(np.r_[:60, 20:50], np.arange(60, 90)), (np.r_[40:100, 40:50], np.arange(30))]

    # Copies may be in different folds of the members.
    assert_equals_grid_search(member(), frame(), labels(rare=False), cv=cv, lams=[0.7])


@pytest.mark.slow
def test_settings_of_the_member_by_folds_of_grid_search():
    """The search of lam within a search of the member's own settings."""
    search = JointEnsembleClassifierCV(
        member(), n_estimators=2, lams=[0.2, 0.8], cv=2, random_state=0
    )
    grid = GridSearchCV(
        search, {"estimator__n_bins": [0, 4]}, cv=2, error_score="raise"
    )
    grid.fit(frame(), labels())

    assert grid.predict(frame()).shape == (120,)
    assert grid.best_estimator_.feature_names_in_.tolist() == list(frame().columns)


def test_the_default_member_is_searched_on_frames():
    clf = JointEnsembleClassifierCV(
        n_estimators=2, lams=[0.2, 0.8], cv=2, random_state=0
    )
    clf.set_params(estimator__module__hidden_layer_sizes=(4,), estimator__max_epochs=2)

    clf.fit(frame(), labels(rare=False))

    assert clf.batching_.method == "program"
    direct = JointEnsembleClassifier(
        clf.estimator, n_estimators=2, lam=clf.lam_, random_state=0
    ).fit(frame(), labels(rare=False))
    np.testing.assert_allclose(
        clf.predict_proba(frame()), direct.predict_proba(frame()), rtol=1e-6
    )
    assert clf.predict(frame().assign(text="unknown")).shape == (120,)


def test_test_rows_do_not_matter_to_an_ensemble():
    """Other values in the test rows leave the ensembles of a split as they are."""
    X, y, cv = frame(), labels(), FOLDS[:1]
    train, test = cv[0]
    other = X.copy()
    other.loc[test, ["number", "missing"]] = [[1e12, np.nan]] * len(test)
    other.loc[test, "text"] = "0 comes before all"
    members = []

    def score(clf, X_test, y_test):
        members.append(clf.member_proba(X.loc[train]))
        return 0.0

    for table in (X, other):
        JointEnsembleClassifierCV(
            member(),
            n_estimators=2,
            lams=[0.5],
            cv=cv,
            scoring=score,
            refit=False,
            random_state=0,
        ).fit(table, y)
    np.testing.assert_allclose(members[1], members[0], rtol=1e-9)

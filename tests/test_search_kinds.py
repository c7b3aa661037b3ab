"""The search over ensembles for numbers, counts and labels is GridSearchCV's."""

import functools

import numpy as np
import pytest
from kinds import KINDS, each_kind, rows
from regression_tools import data, plain, table
from scipy import sparse
from search_tools import UNEQUAL_FOLDS, assert_equals_grid_search, stopping
from sklearn.metrics import hamming_loss, make_scorer, mean_squared_error
from sklearn.model_selection import GridSearchCV, KFold
from skorch.callbacks import EpochScoring
from skorch.dataset import ValidSplit
from tools import OwnCallback, OwnDataset
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifierCV,
    JointEnsembleRegressor,
    JointEnsembleRegressorCV,
    mlp_classifier,
)
from sklearn_jointens.losses import HeteroscedasticGaussianLoss
from sklearn_jointens.training import MemberFolds

equals_grid_search = functools.partial(assert_equals_grid_search, classifies=False)


def unequal():
    """Rows in an order that gives every fold units of its own."""
    X, y = data(100)
    order = np.argsort(y)
    return X[order], 1e4 * y[order]


# -- one program -----------------------------------------------------------------------


@pytest.mark.quick(1)
@each_kind
def test_every_kind_on_unequal_folds(kind):
    X, y = np.tile(rows(), (2, 1))[:100], np.concatenate([kind.y, kind.y])[:100]

    assert_equals_grid_search(
        kind.member(), X, y, cv=UNEQUAL_FOLDS, classifies=kind.is_of_classes
    )


UNITS = {
    "folds": {},
    "one validation set": {"train_split": ValidSplit(3)},
    "no validation": {"train_split": None, "callbacks": None},
    "counts": {"criterion": nn.PoissonNLLLoss},
    "variances": {"criterion": HeteroscedasticGaussianLoss},
    "absolute": {"criterion": nn.L1Loss},
}


@pytest.mark.quick(1)
@pytest.mark.parametrize("settings", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("several", [False, True])
def test_units_of_each_fold(settings, several):
    X, y = unequal()
    y = np.c_[y, 1e-3 * X[:, 0]] if several else y
    member = table(max_epochs=6, **settings)

    equals_grid_search(member, X, y, cv=KFold(2), atol=1e-5)


@pytest.mark.slow
def test_units_of_weighted_rows():
    X, y = unequal()
    weight = np.random.RandomState(0).uniform(size=100)

    equals_grid_search(
        table(max_epochs=4),
        X,
        y,
        cv=UNEQUAL_FOLDS,
        atol=1e-5,
        fit_params={"sample_weight": weight},
    )


@pytest.mark.slow
def test_bags():
    X, y = unequal()

    equals_grid_search(plain(), X, y / 1e4, bootstrap=True, n_estimators=3)
    equals_grid_search(table(max_epochs=4), X, y, bootstrap=True, atol=1e-5)


@pytest.mark.slow
def test_sparse_rows():
    X, y = unequal()

    equals_grid_search(table(max_epochs=4), sparse.csr_matrix(X), y, atol=1e-5)


@pytest.mark.slow
def test_early_stopping_of_each():
    X, y = unequal()
    member = plain(
        lr=0.1, max_epochs=12, train_split=ValidSplit(3), callbacks=stopping(patience=1)
    )

    equals_grid_search(member, X, y / 1e4, cv=UNEQUAL_FOLDS)


@pytest.mark.slow
def test_scores_of_epochs():
    X, y = unequal()
    callbacks = [
        (name, EpochScoring(name, lower_is_better=False))
        for name in ("r2", "neg_mean_absolute_error")
    ]
    member = table(max_epochs=3, train_split=ValidSplit(3), callbacks=callbacks)

    equals_grid_search(member, X, y, atol=1e-5)


@pytest.mark.quick(1)
@pytest.mark.parametrize("split", [MemberFolds(2), ValidSplit(3)])
def test_labels_that_are_validated(split):
    kind = next(kind for kind in KINDS if kind.name == "labels")
    member = mlp_classifier(
        (5,), criterion=nn.BCEWithLogitsLoss, train_split=split, max_epochs=3
    )

    assert_equals_grid_search(member, rows(), kind.y)


# -- one by one ------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("member", [table, plain], ids=["table", "plain"])
def test_data_sets_of_the_users_own(member):
    X, y = unequal()
    member = member(max_epochs=2, dataset=OwnDataset, train_split=ValidSplit(3))

    equals_grid_search(member, X, y / 1e4, method="one by one")


@pytest.mark.slow
def test_callbacks_of_the_users_own():
    X, y = unequal()
    member = plain(train_split=ValidSplit(3), callbacks=[OwnCallback()])

    equals_grid_search(member, X, y / 1e4, method="one by one")


# -- scores and results ----------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "scoring",
    [
        None,
        "neg_mean_squared_error",
        ["r2", "neg_mean_absolute_error"],
        {"worst": "neg_max_error", "r2": "r2"},
    ],
)
def test_scores_are_those_of_grid_search(scoring):
    X, y = unequal()
    refit = "r2" if isinstance(scoring, list | dict) else True
    settings = {"scoring": scoring, "refit": refit, "cv": 2}
    params = {"n_estimators": 2, "random_state": 0}
    member = table(max_epochs=4)

    search = JointEnsembleRegressorCV(member, lams=(0, 0.7), **settings, **params)
    search.fit(X, y)

    ensemble = JointEnsembleRegressor(member, **params)
    grid = GridSearchCV(ensemble, {"lam": [0, 0.7]}, **settings).fit(X, y)
    assert search.batching_.method == "program"
    for name, values in grid.cv_results_.items():
        if "_test_" in name:
            np.testing.assert_allclose(search.cv_results_[name], values, rtol=1e-6)
    assert search.best_params_ == grid.best_params_
    assert search.best_score_ == pytest.approx(grid.best_score_)
    np.testing.assert_allclose(search.predict(X), grid.predict(X), rtol=1e-6)
    assert search.score(X, y) == pytest.approx(grid.score(X, y))
    assert search.net_.targets_.unit == pytest.approx(y.std())


@pytest.mark.slow
def test_scores_of_members_are_means_of_their_own():
    X, y = unequal()
    folds = [(np.arange(70), np.arange(70, 100))]
    settings = {"lams": (0, 0.7), "cv": folds, "random_state": 0}
    for scoring in (None, "neg_mean_absolute_error", "r2"):
        search = JointEnsembleRegressorCV(
            table(max_epochs=4), 2, scoring=scoring, **settings
        ).fit(X, y)

        name = "mean_test_member_score"
        for lam, got in zip(search.lams_, search.cv_results_[name], strict=True):
            alone = JointEnsembleRegressor(table(max_epochs=4), 2, lam, random_state=0)
            alone.fit(X[:70], y[:70])
            scores = alone.score_members(X[70:], y[70:], scoring=scoring)
            assert got == pytest.approx(scores.mean(), rel=1e-6)


def test_scorers_of_labels():
    kind = next(kind for kind in KINDS if kind.name == "labels")
    X = rows()
    y = np.c_[kind.y, X[:, 0] > 0]
    scoring = {
        "subset": "accuracy",
        "hamming": make_scorer(hamming_loss, greater_is_better=False),
        "f1": "f1_macro",
        # Not of two labels, which scikit-learn takes for two classes.
        "auc": "roc_auc",
        "proba": make_scorer(mean_squared_error, response_method="predict_proba"),
    }
    settings = {"scoring": scoring, "refit": "auc", "cv": 2}
    search = kind.search(**settings).fit(X, y)

    ensemble = kind.ensemble(n_estimators=2)
    grid = GridSearchCV(ensemble, {"lam": [0, 0.7]}, **settings).fit(X, y)
    assert isinstance(search, JointEnsembleClassifierCV)
    for name, values in grid.cv_results_.items():
        if "_test_" in name:
            np.testing.assert_allclose(search.cv_results_[name], values, rtol=1e-9)
    for metric in scoring:
        assert np.isfinite(search.cv_results_[f"mean_test_member_{metric}"]).all()
    np.testing.assert_array_equal(search.predict(X), grid.predict(X))
    np.testing.assert_allclose(search.predict_proba(X), grid.predict_proba(X))


def test_members_of_the_refitted_ensemble():
    X, y = unequal()
    search = JointEnsembleRegressorCV(plain(), 3, lams=(0, 1), cv=2, random_state=0)
    search.fit(X, y / 1e4)

    best = search.best_estimator_

    expected = best.predict(X, members=[0, 2])
    np.testing.assert_array_equal(search.predict(X, members=[0, 2]), expected)
    assert search.score(X, y / 1e4, members=[1]) == pytest.approx(
        best.score(X, y / 1e4, members=[1])
    )
    np.testing.assert_array_equal(search.member_predict(X), best.member_predict(X))
    assert len(search.drop_members([1]).estimators_) == 2


def test_standard_deviations_of_the_refitted_ensemble():
    X, y = unequal()
    member = table(criterion=HeteroscedasticGaussianLoss, max_epochs=2)
    search = JointEnsembleRegressorCV(member, 2, lams=(0, 1), cv=2, random_state=0)
    search.fit(X, y)

    both = search.predict(X, return_std=True)

    expected = search.best_estimator_.predict(X, return_std=True)
    np.testing.assert_array_equal(both, expected)

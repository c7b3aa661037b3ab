"""A regressor is at home in scikit-learn: pipelines, searches, meta-estimators."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from regression_tools import data, ensemble, plain, table, units
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_jointens import JointEnsembleRegressor, JointEnsembleRegressorCV


def test_pipelines_and_transformed_targets():
    X, y = data()
    scaled = (X - X.mean(0)) / X.std(0)
    logs = np.log(y)
    direct = ensemble(plain(max_epochs=20))
    direct.fit(scaled, (logs - logs.mean()) / logs.std())

    pipe = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), ensemble(plain(max_epochs=20))),
        transformer=make_pipeline(
            sklearn.preprocessing.FunctionTransformer(np.log, np.exp), StandardScaler()
        ),
    ).fit(X, y)

    expected = np.exp(direct.predict(scaled) * logs.std() + logs.mean())
    np.testing.assert_allclose(pipe.predict(X), expected, rtol=1e-6)
    assert pipe.score(X, y) > 0.3


@pytest.mark.slow
def test_cross_validation_is_fitting_by_hand():
    X, y = data()
    folds = [(np.arange(80), np.arange(80, 120)), (np.arange(40, 120), np.arange(40))]
    by_hand = []
    for train, test in folds:
        fitted = ensemble().fit(X[train], 1e5 * y[train])
        by_hand.append(fitted.predict(X[test]))

    predicted = cross_val_predict(ensemble(), X[:80], 1e5 * y[:80], cv=2)
    scores = cross_val_score(ensemble(), X, 1e5 * y, cv=folds)
    errors = cross_val_score(
        ensemble(), X, 1e5 * y, cv=folds, scoring="neg_mean_absolute_error"
    )

    assert predicted.shape == (80,)
    ys = [1e5 * y[test] for _, test in folds]
    pairs = list(zip(ys, by_hand, strict=True))
    np.testing.assert_allclose(scores, [r2_score(*pair) for pair in pairs])
    np.testing.assert_allclose(errors, [-mean_absolute_error(*pair) for pair in pairs])


@pytest.mark.slow
def test_settings_of_members_are_searched():
    X, y = data()
    grid = GridSearchCV(
        ensemble(), {"lam": [0, 0.9], "estimator__lr": [1e-6, 0.05]}, cv=2
    ).fit(X, 1e5 * y)

    assert grid.best_params_["estimator__lr"] == 0.05
    assert grid.best_score_ > 0
    default = JointEnsembleRegressor(n_estimators=2).set_params(estimator__max_epochs=2)
    assert default.estimator.max_epochs == 2
    assert default.fit(X, y).n_iter_ == 2


@pytest.mark.slow
def test_several_outputs_at_once_and_one_by_one():
    X, y = data()
    Y = np.c_[1e5 * y, X[:, 0]]

    together = ensemble(table(max_epochs=20)).fit(X, Y)
    alone = MultiOutputRegressor(ensemble(table(max_epochs=20))).fit(X, Y)

    for fitted in (together, alone):
        scores = r2_score(Y, fitted.predict(X), multioutput="raw_values")
        assert (scores > 0.1).all()
    assert [units(each)[1] for each in alone.estimators_] == pytest.approx(Y.std(0))


@pytest.mark.slow
def test_ensembles_of_ensembles():
    X, y = data()
    stack = StackingRegressor(
        [("nets", ensemble()), ("ridge", Ridge())], Ridge(), cv=2
    ).fit(X, 1e5 * y)
    bags = BaggingRegressor(ensemble(), 2, random_state=0).fit(X, 1e5 * y)

    assert stack.score(X, 1e5 * y) > 0.5
    assert bags.score(X, 1e5 * y) > 0
    importance = permutation_importance(
        ensemble(table(max_epochs=30)).fit(X, y), X, y, n_repeats=2, random_state=0
    ).importances_mean
    assert importance[:5].max() > importance[5]  # y does not depend on the last column


def test_a_clone_is_unfitted_and_learns_the_same():
    X, y = data()
    fitted = ensemble(lam=0.3).fit(X, y)

    again = clone(fitted)

    assert not hasattr(again, "estimators_")
    np.testing.assert_array_equal(again.fit(X, y).predict(X), fitted.predict(X))


def test_frames_give_names():
    X, y = data()
    names = [f"x{i}" for i in range(6)]
    fitted = ensemble().fit(pd.DataFrame(X, columns=names), pd.Series(y))

    assert fitted.feature_names_in_.tolist() == names
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(pd.DataFrame(X, columns=names[::-1]))
    np.testing.assert_array_equal(
        fitted.predict(pd.DataFrame(X, columns=names)), ensemble().fit(X, y).predict(X)
    )


@pytest.mark.usefixtures("_routing")
def test_weights_are_routed():
    X, y = data()
    weight = np.random.RandomState(0).uniform(0.1, 3, len(y))
    asking = ensemble().set_fit_request(sample_weight=True)
    asking.set_score_request(sample_weight=True)

    pipe = make_pipeline(asking).fit(X, y, sample_weight=weight)
    grid = GridSearchCV(asking, {"lam": [0.5]}, cv=2).fit(X, y, sample_weight=weight)
    search = JointEnsembleRegressorCV(table(), 2, lams=(0.5,), cv=2, random_state=0)
    search.set_fit_request(sample_weight=True).fit(X, y, sample_weight=weight)

    direct = ensemble().fit(X, y, sample_weight=weight)
    for fitted in (pipe, grid, search):
        np.testing.assert_allclose(fitted.predict(X), direct.predict(X), rtol=1e-9)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], grid.cv_results_["mean_test_score"]
    )
    assert not np.allclose(ensemble().fit(X, y).predict(X), direct.predict(X))
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        cross_val_score(ensemble(), X, y, params={"sample_weight": weight})


def test_weights_count_in_scores():
    X, y = data()
    weight = np.arange(120.0)
    fitted = ensemble().fit(X, y)

    expected = r2_score(y, fitted.predict(X), sample_weight=weight)
    assert fitted.score(X, y, weight) == pytest.approx(expected)
    of_members = [
        -mean_absolute_error(y, p, sample_weight=weight)
        for p in fitted.member_predict(X)
    ]
    np.testing.assert_allclose(
        fitted.score_members(X, y, "neg_mean_absolute_error", sample_weight=weight),
        of_members,
    )


@pytest.mark.quick(1)
@pytest.mark.parametrize("scoring", [None, "neg_max_error"])
def test_the_weakest_members_are_dropped(scoring):
    X, y = data()
    fitted = ensemble(n_estimators=4, lam=0).fit(X, 1e5 * y)
    scores = fitted.score_members(X, 1e5 * y, scoring=scoring)

    rest = fitted.drop_members(n_weakest=2, X=X, y=1e5 * y, scoring=scoring)

    strongest = np.sort(np.argsort(scores)[2:])
    np.testing.assert_allclose(
        rest.member_predict(X), fitted.member_predict(X)[strongest], rtol=1e-9
    )
    np.testing.assert_allclose(
        rest.predict(X), fitted.predict(X, members=strongest), rtol=1e-9
    )
    assert units(rest) == units(fitted)

"""JointEnsembleClassifier works untouched where scikit-learn takes a classifier."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import uniform
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from torch.optim import SGD

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier

LAMS = [0, 0.5, 0.99, 1]
FOLDS = StratifiedKFold(2)


@pytest.fixture
def clf():
    """Small and quick, and good on digits."""
    member = mlp_classifier((16,), lr=0.02, max_epochs=8)
    return JointEnsembleClassifier(member, n_estimators=3, random_state=0)


@pytest.fixture
def binary(digits):
    """Is it a digit above 4? 200 rows."""
    X, y = digits
    return X[:200], (y[:200] > 4).astype(int)


def by_hand(clf, X, y, method="predict_proba"):
    """Out-of-fold predictions of plain fits, and those fits."""
    fits, out = [], None
    for train, test in FOLDS.split(X, y):
        fits.append(clone(clf).fit(X[train], y[train]))
        rows = getattr(fits[-1], method)(X[test])
        out = np.empty((len(X), *rows.shape[1:]), rows.dtype) if out is None else out
        out[test] = rows
    return out, fits


# -- the mission's line ----------------------------------------------------------------


@pytest.mark.core
@pytest.mark.usefixtures("_small_default_members")
def test_lam_of_small_ensembles_is_searched(iris):
    X, y = iris
    ensemble = JointEnsembleClassifier(n_estimators=2, random_state=0)

    search = GridSearchCV(ensemble, {"lam": [0, 1]}, cv=2).fit(X, y)

    assert len(search.cv_results_["mean_test_score"]) == 2
    assert search.best_score_ > 0.8
    direct = clone(ensemble).set_params(lam=search.best_params_["lam"])
    np.testing.assert_array_equal(
        search.predict_proba(X), direct.fit(X, y).predict_proba(X)
    )


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_lam_is_searched(n_jobs, digits, digits_test):
    X, y = digits
    X, y = X[:200], y[:200]

    search = GridSearchCV(
        JointEnsembleClassifier(random_state=0), {"lam": LAMS}, cv=2, n_jobs=n_jobs
    ).fit(X, y)

    assert len(search.cv_results_["mean_test_score"]) == 4
    assert search.best_score_ > 0.8
    assert search.score(*digits_test) > 0.8
    direct = JointEnsembleClassifier(random_state=0, lam=search.best_params_["lam"])
    np.testing.assert_array_equal(
        search.predict_proba(X), direct.fit(X, y).predict_proba(X)
    )


@pytest.mark.slow
def test_lam_is_searched_at_the_end_of_a_pipeline(digits, digits_test):
    X, y = digits
    pipe = make_pipeline(StandardScaler(), JointEnsembleClassifier())

    search = GridSearchCV(
        pipe, {"jointensembleclassifier__lam": LAMS}, cv=2, n_jobs=2
    ).fit(X[:200], y[:200])

    assert search.best_params_["jointensembleclassifier__lam"] in LAMS
    assert search.best_score_ > 0.8
    assert search.score(*digits_test) > 0.8


# -- pipelines -------------------------------------------------------------------------


def test_pipeline(clf, digits, digits_test):
    X, y = digits
    pipe = make_pipeline(StandardScaler(), clone(clf)).fit(X, y)

    scaler = StandardScaler().fit(X)
    clf.fit(scaler.transform(X), y)
    np.testing.assert_array_equal(
        pipe.predict_proba(digits_test[0]),
        clf.predict_proba(scaler.transform(digits_test[0])),
    )
    assert pipe.score(*digits_test) > 0.85


def test_column_transformer_with_sparse_one_hot_columns(clf):
    generator = np.random.RandomState(0)
    X = pd.DataFrame(
        {
            "colour": generator.choice(["red", "green", "blue"], 200),
            "size": generator.choice(list("abcdefgh"), 200),
            "weight": generator.normal(size=200),
        }
    )
    y = np.where((X["colour"] == "red") ^ (X["weight"] > 0), "yes", "no")
    columns = make_column_transformer(
        (OneHotEncoder(), ["colour", "size"]),
        (StandardScaler(), ["weight"]),
        sparse_threshold=1.0,
    )

    pipe = make_pipeline(columns, clone(clf).set_params(estimator__max_epochs=30))
    pipe.fit(X, y)

    encoded = columns.fit_transform(X)
    assert sparse.issparse(encoded)
    dense = clone(pipe[-1]).fit(encoded.toarray(), y)
    np.testing.assert_array_equal(
        pipe.predict_proba(X), dense.predict_proba(encoded.toarray())
    )
    assert pipe.score(X, y) > 0.9


# -- searches --------------------------------------------------------------------------


@pytest.mark.slow
def test_grid_search_gives_the_same_in_parallel(clf, digits):
    X, y = digits
    grid = {"lam": [0, 1], "estimator__lr": [0.01, 0.02]}

    one = GridSearchCV(clf, grid, cv=FOLDS, n_jobs=1).fit(X, y)
    two = GridSearchCV(clf, grid, cv=FOLDS, n_jobs=2).fit(X, y)

    for key in ("mean_test_score", "split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(one.cv_results_[key], two.cv_results_[key])
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    best = clone(clf).set_params(**one.best_params_).fit(X, y)
    np.testing.assert_array_equal(one.predict_proba(X), best.predict_proba(X))


def test_grid_search_over_the_member_itself(clf, digits):
    X, y = digits
    members = [clf.estimator, mlp_classifier((8,), lr=0.0, max_epochs=1)]

    search = GridSearchCV(clf, {"estimator": members}, cv=2).fit(X, y)

    assert search.best_params_["estimator"].lr == 0.02


@pytest.mark.slow
def test_halving_grid_search(clf, digits):
    X, y = digits
    search = HalvingGridSearchCV(
        clf,
        {"lam": [0, 0.5, 1], "estimator__lr": [0.0, 0.02]},
        resource="estimator__max_epochs",
        min_resources=2,
        max_resources=6,
        cv=2,
        random_state=0,
    ).fit(X, y)

    assert search.n_resources_ == [2, 6]
    assert search.best_params_["estimator__lr"] == 0.02
    assert search.best_params_["estimator__max_epochs"] == 6
    assert len(search.best_estimator_.history_) == 6


@pytest.mark.slow
def test_randomized_search(clf, digits):
    X, y = digits
    search = RandomizedSearchCV(
        clf, {"lam": uniform(0, 1)}, n_iter=2, cv=FOLDS, random_state=0
    ).fit(X, y)

    lam = search.best_params_["lam"]
    assert 0 <= lam <= 1
    scores = cross_val_score(clone(clf).set_params(lam=lam), X, y, cv=FOLDS)
    assert search.best_score_ == scores.mean()


# -- cross-validation ------------------------------------------------------------------


@pytest.mark.slow
def test_cross_validate(clf, digits):
    X, y = digits
    scoring = ["accuracy", "neg_log_loss", "roc_auc_ovr"]

    result = cross_validate(clf, X, y, cv=FOLDS, scoring=scoring, return_estimator=True)

    _, fits = by_hand(clf, X, y)
    for fit, same in zip(fits, result["estimator"], strict=True):
        np.testing.assert_array_equal(fit.predict_proba(X), same.predict_proba(X))
    assert result["test_accuracy"].min() > 0.8
    assert result["test_roc_auc_ovr"].min() > 0.95


@pytest.mark.quick(1)
@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_cross_val_predict(clf, digits, method):
    X, y = digits

    predicted = cross_val_predict(clf, X, y, cv=FOLDS, method=method)

    np.testing.assert_array_equal(predicted, by_hand(clf, X, y, method)[0])


def test_learning_curve(clf, digits):
    X, y = digits

    sizes, _, scores = learning_curve(clf, X, y, train_sizes=[40, 200], cv=FOLDS)

    assert sizes.tolist() == [40, 200]
    np.testing.assert_array_equal(scores[1], cross_val_score(clf, X, y, cv=FOLDS))
    assert scores[1].mean() > scores[0].mean()


@pytest.mark.slow
def test_learning_curve_by_partial_fit(clf, digits):
    X, y = digits

    _, _, scores = learning_curve(
        clf, X, y, train_sizes=[40, 200], cv=FOLDS, exploit_incremental_learning=True
    )

    train, test = next(FOLDS.split(X, y))
    classes = np.unique(y)
    clf.partial_fit(X[train][:40], y[train][:40], classes=classes)
    assert scores[0, 0] == clf.score(X[test], y[test])
    clf.partial_fit(X[train][40:200], y[train][40:200])
    assert scores[1, 0] == clf.score(X[test], y[test])


# -- meta-estimators -------------------------------------------------------------------


def test_calibrated_classifier(clf, digits, digits_test):
    X, y = digits
    calibrated = CalibratedClassifierCV(clf, cv=FOLDS).fit(X, y)

    _, fits = by_hand(clf, X, y)
    for fit, one in zip(fits, calibrated.calibrated_classifiers_, strict=True):
        np.testing.assert_array_equal(
            fit.predict_proba(X), one.estimator.predict_proba(X)
        )
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(1), 1)
    assert calibrated.score(*digits_test) > 0.8


@pytest.mark.slow
def test_stacking_over_ensembles(clf, digits, digits_test):
    X, y = digits
    ensembles = [("independent", clone(clf).set_params(lam=0)), ("joint", clf)]

    stack = StackingClassifier(
        ensembles, LogisticRegression(max_iter=300), cv=FOLDS
    ).fit(X, y)

    direct = [clone(one).fit(X, y).predict_proba(X) for _, one in ensembles]
    np.testing.assert_array_equal(stack.transform(X), np.hstack(direct))
    assert stack.score(*digits_test) > 0.85


def test_stacking_over_fitted_members(clf, digits, digits_test):
    X, y = digits
    clf.fit(X, y.astype(str))
    members = [(str(j), member) for j, member in enumerate(clf.estimators_)]

    stack = StackingClassifier(
        members, LogisticRegression(max_iter=300), cv="prefit"
    ).fit(X, y.astype(str))

    np.testing.assert_allclose(
        stack.transform(X), np.hstack(clf.member_proba(X)), rtol=1e-5, atol=1e-6
    )
    assert stack.score(digits_test[0], digits_test[1].astype(str)) > 0.85


def test_bagging_of_ensembles(clf, digits, digits_test):
    X, y = digits
    bag = BaggingClassifier(clf, n_estimators=2, random_state=0).fit(X, y)

    mean = np.mean([one.predict_proba(X) for one in bag.estimators_], axis=0)
    np.testing.assert_allclose(bag.predict_proba(X), mean)
    assert bag.score(*digits_test) > 0.8


def test_voting_with_ensembles(clf, digits, digits_test):
    X, y = digits
    other = LogisticRegression(max_iter=300)
    vote = VotingClassifier([("nets", clf), ("linear", other)], voting="soft")

    vote.fit(X, y)

    mean = (clf.fit(X, y).predict_proba(X) + other.fit(X, y).predict_proba(X)) / 2
    np.testing.assert_allclose(vote.predict_proba(X), mean)
    assert vote.score(*digits_test) > 0.85


def test_permutation_importance(clf):
    X, y = make_classification(
        200, 4, n_informative=1, n_redundant=0, n_clusters_per_class=1,
        class_sep=2, shuffle=False, random_state=0,
    )  # fmt: skip
    X[:, 3] = 1.0
    clf.set_params(estimator__max_epochs=20).fit(X, y)

    importance = permutation_importance(clf, X, y, n_repeats=3, random_state=0)

    assert importance.importances_mean.argmax() == 0
    assert importance.importances_mean[0] > 0.2
    assert importance.importances_mean[3] == 0


def test_one_vs_rest(clf, digits, digits_test):
    X, y = digits
    X, y = X[y < 3], y[y < 3]

    each = OneVsRestClassifier(clf).fit(X, y)

    direct = [
        clone(clf).fit(X, y == label).predict_proba(X)[:, 1] for label in range(3)
    ]
    direct = np.stack(direct, axis=1)
    np.testing.assert_allclose(
        each.predict_proba(X), direct / direct.sum(1, keepdims=True), rtol=1e-6
    )
    assert each.score(X, y) > 0.95


def test_self_training(clf, digits, digits_test):
    X, y = digits
    known = np.arange(len(y)) < 200
    partly = np.where(known, y, -1)

    taught = SelfTrainingClassifier(clf, threshold=0.9, max_iter=2).fit(X, partly)

    np.testing.assert_array_equal(taught.transduction_[known], y[known])
    guessed = (taught.transduction_ != -1) & ~known
    assert guessed.sum() > 50
    assert np.mean(taught.transduction_[guessed] == y[guessed]) > 0.9
    assert taught.score(*digits_test) > 0.8


def test_tuned_threshold(clf, binary):
    X, y = binary

    tuned = TunedThresholdClassifierCV(clf, scoring="recall", cv=2, thresholds=20)
    tuned.fit(X, y)

    positive = clone(clf).fit(X, y).predict_proba(X)[:, 1]
    np.testing.assert_array_equal(
        tuned.predict(X), (positive >= tuned.best_threshold_).astype(int)
    )


@pytest.mark.filterwarnings("ignore:One or more of the test scores")
def test_search_goes_on_when_a_candidate_diverges(clf, digits):
    clf.set_params(
        estimator__module__activation="identity",
        estimator__optimizer=SGD,
        estimator__lr=1e6,
    )
    search = GridSearchCV(clf, {"estimator__lr": [1e6, 0.1]}, cv=2)

    with pytest.warns(FitFailedWarning, match="DivergenceError: The training loss"):
        search.fit(*digits)

    assert np.isnan(search.cv_results_["mean_test_score"][0])
    assert search.best_params_["estimator__lr"] == 0.1

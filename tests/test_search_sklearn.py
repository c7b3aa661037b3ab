"""A search among scikit-learn's own parts."""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from search_tools import LAMS, search
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    make_scorer,
)
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from sklearn_jointens import JointEnsembleClassifier, JointEnsembleClassifierCV


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True, as_frame=True)
    return X.iloc[::2], y.iloc[::2]


@pytest.fixture
def arrays(iris):
    return tuple(part.to_numpy(copy=True) for part in iris)


@pytest.fixture
def weight(iris):
    return np.random.RandomState(0).uniform(0.1, 3, len(iris[1]))


def test_tags_are_those_of_its_ensembles():
    assert is_classifier(JointEnsembleClassifierCV())
    assert get_tags(JointEnsembleClassifierCV()) == get_tags(JointEnsembleClassifier())


def test_parameters_of_the_member_are_reached_by_name(arrays):
    clf = JointEnsembleClassifierCV(n_estimators=2, lams=[0, 1], cv=2, random_state=0)

    clf.set_params(estimator__max_epochs=2, estimator__lr=0.5)

    assert clf.get_params()["estimator__lr"] == 0.5
    assert len(clf.fit(*arrays).history_) == 2


def test_clone_is_unfitted_and_finds_the_same(arrays):
    clf = search().fit(*arrays)

    copy = clone(clf)

    assert [name for name in vars(copy) if name.endswith("_")] == []
    np.testing.assert_array_equal(
        copy.fit(*arrays).predict_proba(arrays[0]), clf.predict_proba(arrays[0])
    )


@pytest.mark.quick(1)
@pytest.mark.parametrize("refit", [True, False])
def test_pickle_keeps_everything(refit, arrays, tmp_path):
    clf = search(refit=refit).fit(*arrays)
    joblib.dump(clf, tmp_path / "search")

    for copy in (pickle.loads(pickle.dumps(clf)), joblib.load(tmp_path / "search")):
        assert copy.lam_ == clf.lam_
        assert copy.batching_ == clf.batching_
        frame = pd.DataFrame(copy.cv_results_)
        pd.testing.assert_frame_equal(frame, pd.DataFrame(clf.cv_results_))
        if refit:
            np.testing.assert_allclose(
                copy.predict_proba(arrays[0]), clf.predict_proba(arrays[0])
            )


# -- what it hands on to the chosen ensemble -------------------------------------------


def test_methods_are_those_of_the_chosen_ensemble(arrays, tmp_path):
    X, y = arrays
    clf = search().fit(X, y)
    best = clf.best_estimator_

    for name in ("predict", "predict_proba", "predict_log_proba", "member_proba"):
        np.testing.assert_array_equal(getattr(clf, name)(X), getattr(best, name)(X))
    for name in ("predict", "predict_proba", "predict_log_proba"):
        np.testing.assert_array_equal(
            getattr(clf, name)(X, members=[1]), getattr(best, name)(X, members=[1])
        )
    for scoring in (None, "neg_log_loss"):
        np.testing.assert_array_equal(
            clf.score_members(X, y, scoring), best.score_members(X, y, scoring)
        )
    for smaller in (clf.drop_members([0]), clf.drop_members(n_weakest=1, X=X, y=y)):
        assert type(smaller) is JointEnsembleClassifier
        assert len(smaller.estimators_) == 1
    clf.save(tmp_path / "ensemble")
    loaded = JointEnsembleClassifier.load(tmp_path / "ensemble")
    np.testing.assert_allclose(loaded.predict_proba(X), clf.predict_proba(X))
    for name in (
        "estimators_",
        "history_",
        "member_scores_",
        "net_",
        "vectorization_",
        "classes_",
        "n_features_in_",
    ):
        assert np.all(getattr(clf, name) == getattr(best, name))


CALLS = {
    "predict": lambda clf, X, y: clf.predict(X),
    "predict_proba": lambda clf, X, y: clf.predict_proba(X),
    "predict_log_proba": lambda clf, X, y: clf.predict_log_proba(X),
    "member_proba": lambda clf, X, y: clf.member_proba(X),
    "score": lambda clf, X, y: clf.score(X, y),
    "score_members": lambda clf, X, y: clf.score_members(X, y),
    "drop_members": lambda clf, X, y: clf.drop_members([0]),
    "save": lambda clf, X, y: clf.save("never"),
}


@pytest.mark.quick(2)
@pytest.mark.parametrize("name", CALLS)
def test_methods_before_fit_and_without_refit(name, arrays):
    call = CALLS[name]

    assert hasattr(search(), name)
    with pytest.raises(NotFittedError):
        call(search(), *arrays)
    for clf in (search(refit=False), search(refit=False).fit(*arrays)):
        assert not hasattr(clf, name)
        with pytest.raises(AttributeError) as caught:
            call(clf, *arrays)
        cause = caught.value.__cause__ or caught.value
        assert "refit" in str(cause)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "name",
    ["estimators_", "history_", "member_scores_", "net_", "vectorization_"],
)
def test_attributes_before_fit_and_without_refit(name, arrays):
    for clf in (search(), search(refit=False).fit(*arrays)):
        assert not hasattr(clf, name)
        with pytest.raises(AttributeError, match=f"has '{name}' once it is fitted"):
            getattr(clf, name)
    for later in ("lam_", "classes_", "cv_results_", "n_features_in_"):
        assert not hasattr(search(), later)


def test_a_fit_without_refit_forgets_the_ensemble_of_an_earlier_one(arrays):
    clf = search().fit(*arrays)

    clf.set_params(refit=False).fit(*arrays)

    assert not hasattr(clf, "best_estimator_")
    assert not hasattr(clf, "refit_time_")
    assert not hasattr(clf, "estimators_")


def test_a_fit_of_several_metrics_forgets_the_choice_of_an_earlier_one(arrays):
    clf = search().fit(*arrays)

    clf.set_params(refit=False, scoring=["accuracy"]).fit(*arrays)

    for name in ("lam_", "best_index_", "best_score_", "best_params_"):
        assert not hasattr(clf, name)


def test_score_is_by_scoring(arrays, weight):
    X, y = arrays
    loss = search(scoring="neg_log_loss").fit(X, y)
    accuracy = search().fit(X, y)

    assert loss.score(X, y) == pytest.approx(-log_loss(y, loss.predict_proba(X)))
    predicted = accuracy.predict(X)
    assert accuracy.score(X, y) == accuracy_score(y, predicted)
    assert accuracy.score(X, y, sample_weight=weight) == pytest.approx(
        accuracy_score(y, predicted, sample_weight=weight)
    )
    assert loss.score(X, y, weight) == pytest.approx(
        -log_loss(y, loss.predict_proba(X), sample_weight=weight)
    )


def test_score_with_weights_that_the_metric_does_not_take(arrays, weight):
    """They once were left out without a word."""
    scoring = make_scorer(lambda y, predicted: np.mean(y == predicted))
    clf = search(scoring=scoring).fit(*arrays)

    with pytest.raises(TypeError, match="sample_weight"):
        clf.score(*arrays, sample_weight=weight)


# -- tables ----------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"]
)
def test_frames_give_names_and_the_same_search_as_arrays(frame, iris, arrays):
    X, y = iris
    table = frame({name: X[name].to_numpy() for name in X})
    kinds = []

    def scoring(clf, rows, labels):
        kinds.append(type(rows))
        return clf.score(rows, labels)

    clf = search(scoring=scoring).fit(table, y)

    assert clf.feature_names_in_.tolist() == list(X)
    assert set(kinds) == {frame}
    plain = search(scoring="accuracy").fit(*arrays)
    assert not hasattr(plain, "feature_names_in_")
    for name in ("mean_test_score", "mean_test_member_score", "mean_test_diversity"):
        np.testing.assert_allclose(clf.cv_results_[name], plain.cv_results_[name])
    np.testing.assert_allclose(clf.predict_proba(table), plain.predict_proba(arrays[0]))


def test_frame_with_other_names_is_refused(iris):
    X, y = iris
    clf = search().fit(X, y)

    with pytest.raises(ValueError, match="feature names should match"):
        clf.predict(X.rename(columns=str.upper))


@pytest.mark.slow
def test_lists_and_categories(arrays):
    X, y = arrays
    names = np.array(["ant", "bee", "cat"])[y]
    plain = search().fit(X, names)

    for rows, labels in (
        (X.tolist(), names.tolist()),
        (X, pd.Series(names, dtype="category")),
        (X, names.astype(object)),
    ):
        clf = search().fit(rows, labels)
        np.testing.assert_array_equal(clf.predict(X), plain.predict(X))
        np.testing.assert_array_equal(
            clf.cv_results_["mean_test_member_score"],
            plain.cv_results_["mean_test_member_score"],
        )


# -- meta-estimators -------------------------------------------------------------------


def test_pipeline(arrays):
    X, y = arrays
    pipe = make_pipeline(StandardScaler(), search()).fit(X, y)

    scaled = StandardScaler().fit_transform(X)
    direct = search().fit(scaled, y)
    np.testing.assert_array_equal(pipe.predict_proba(X), direct.predict_proba(scaled))
    assert pipe[-1].lam_ == direct.lam_
    assert pipe.score(X, y) == direct.score(scaled, y)


@pytest.mark.slow
def test_search_over_other_parameters_around_it(arrays):
    grid = GridSearchCV(
        search(), {"estimator__lr": [1e-9, 0.05], "n_estimators": [2]}, cv=2
    ).fit(*arrays)

    assert grid.best_params_["estimator__lr"] == 0.05
    assert grid.best_estimator_.lam_ in LAMS
    assert grid.best_estimator_.estimator.lr == 0.05


@pytest.mark.slow
def test_nested_cross_validation(arrays):
    X, y = arrays

    scores = cross_val_score(search(), X, y, cv=2)
    result = cross_validate(
        search(),
        X,
        y,
        cv=2,
        scoring=["accuracy", "neg_log_loss"],
        return_estimator=True,
    )

    np.testing.assert_array_equal(scores, result["test_accuracy"])
    assert all(clf.lam_ in LAMS for clf in result["estimator"])

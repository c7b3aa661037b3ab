"""Weights and groups find their way to fits, splitters and scorers."""

import numpy as np
import pytest
from search_tools import LAMS, member, search
from sklearn.datasets import load_iris
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import accuracy_score, balanced_accuracy_score, make_scorer
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_jointens import JointEnsembleClassifier


@pytest.fixture
def arrays():
    X, y = load_iris(return_X_y=True)
    return X[::2], y[::2]


@pytest.fixture
def weight():
    return np.random.RandomState(0).uniform(0.1, 3, size=75)


@pytest.fixture
def groups():
    return np.arange(75) % 4


def test_groups_go_to_the_splitter(arrays, groups):
    clf = search(cv=LeaveOneGroupOut()).fit(*arrays, groups=groups)

    assert clf.n_splits_ == 4


@pytest.mark.usefixtures("_routing")
def test_groups_are_routed_to_the_splitter(arrays, groups):
    """Group splitters ask for them by themselves."""
    clf = search(cv=GroupKFold(4)).fit(*arrays, groups=groups)

    assert clf.n_splits_ == 4
    plain = search(cv=[*GroupKFold(4).split(*arrays, groups)]).fit(*arrays)
    np.testing.assert_array_equal(
        clf.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"]
    )


@pytest.mark.usefixtures("_routing")
def test_groups_and_weights_are_routed_through_a_pipeline(arrays, groups, weight):
    clf = search(cv=GroupKFold(4)).set_fit_request(sample_weight=True)
    scaler = StandardScaler().set_fit_request(sample_weight=False)

    pipe = make_pipeline(scaler, clf).fit(*arrays, groups=groups, sample_weight=weight)

    X, y = arrays
    scaled = StandardScaler().fit_transform(X)
    direct = search(cv=GroupKFold(4)).fit(
        scaled, y, sample_weight=weight, groups=groups
    )
    np.testing.assert_array_equal(pipe.predict_proba(X), direct.predict_proba(scaled))


def weighted_scores(clf):
    return clf.cv_results_["mean_test_score"]


@pytest.mark.slow
def test_weights_go_to_fits_and_scores(arrays, weight):
    X, y = arrays
    weighted = search().fit(X, y, sample_weight=weight)

    for j, lam in enumerate(LAMS):
        scores = []
        for train, test in GroupKFold(3).split(X, y, np.arange(len(y)) % 3):
            direct = JointEnsembleClassifier(
                member(), n_estimators=2, lam=lam, random_state=0
            ).fit(X[train], y[train], sample_weight=weight[train])
            scores.append(direct.score(X[test], y[test], sample_weight=weight[test]))
        grouped = search(cv=GroupKFold(3)).fit(
            X, y, sample_weight=weight, groups=np.arange(len(y)) % 3
        )
        assert weighted_scores(grouped)[j] == pytest.approx(np.mean(scores))
    refitted = JointEnsembleClassifier(
        member(), n_estimators=2, lam=weighted.lam_, random_state=0
    ).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(weighted.predict_proba(X), refitted.predict_proba(X))


def test_weights_go_to_those_of_several_metrics_that_take_them(arrays, weight):
    def plain(y, predicted):
        return np.mean(y == predicted)

    scoring = {
        "plain": make_scorer(plain),
        "accuracy": "accuracy",
        "balanced": make_scorer(balanced_accuracy_score),
    }
    clf = search(scoring=scoring, refit="accuracy").fit(*arrays, sample_weight=weight)
    alone = search(scoring="accuracy").fit(*arrays, sample_weight=weight)

    np.testing.assert_allclose(
        clf.cv_results_["mean_test_accuracy"], weighted_scores(alone)
    )
    assert not np.allclose(
        clf.cv_results_["mean_test_accuracy"], clf.cv_results_["mean_test_plain"]
    )


@pytest.mark.usefixtures("_routing")
def test_weights_are_routed_to_scorers_that_ask_for_them(arrays, weight):
    asking = make_scorer(accuracy_score).set_score_request(sample_weight=True)
    declining = make_scorer(accuracy_score).set_score_request(sample_weight=False)
    default, asked, declined = (
        search(scoring=scoring).fit(*arrays, sample_weight=weight)
        for scoring in (None, asking, declining)
    )

    np.testing.assert_allclose(weighted_scores(default), weighted_scores(asked))
    assert not np.allclose(weighted_scores(declined), weighted_scores(asked))
    X, y = arrays
    assert asked.score(X, y, sample_weight=weight) == pytest.approx(
        accuracy_score(y, asked.predict(X), sample_weight=weight)
    )


@pytest.mark.usefixtures("_routing")
def test_weights_that_a_scorer_says_nothing_of_are_refused(arrays, weight):
    clf = search(scoring="accuracy")

    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        clf.fit(*arrays, sample_weight=weight)
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        cross_validate(search(), *arrays, params={"sample_weight": weight}, cv=2)


@pytest.mark.usefixtures("_routing")
def test_a_search_within_cross_validation_is_given_weights_that_it_asks_for(
    arrays, weight
):
    clf = search().set_fit_request(sample_weight=True)
    clf.set_score_request(sample_weight=True)

    weighted = cross_validate(
        clf, *arrays, params={"sample_weight": weight}, cv=2, return_estimator=True
    )

    X, y = arrays
    for fitted in weighted["estimator"]:
        assert fitted.score(X, y, sample_weight=weight) == pytest.approx(
            accuracy_score(y, fitted.predict(X), sample_weight=weight)
        )

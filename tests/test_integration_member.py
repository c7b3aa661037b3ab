"""The default member is a scikit-learn classifier of its own."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier

FOLDS = StratifiedKFold(2)

# A net of skorch's draws from the global generators.
pytestmark = pytest.mark.usefixtures("_seeded")


@pytest.fixture
def member():
    return mlp_classifier((16,), lr=0.02, max_epochs=25)


def test_alone_in_cross_validation(member, digits):
    assert cross_val_score(member, *digits, cv=FOLDS).min() > 0.8


def test_alone_with_string_labels(member, digits, digits_test):
    X, y = digits
    names = np.array("zero one two three four five six seven eight nine".split())

    member.fit(X, names[y])

    assert member.classes_.tolist() == sorted(names)
    assert set(member.predict(X)) <= set(names)
    assert member.score(digits_test[0], names[digits_test[1]]) > 0.8
    proba = member.predict_proba(X)
    np.testing.assert_array_equal(member.classes_[proba.argmax(1)], member.predict(X))
    assert cross_val_score(member, X, names[y], cv=FOLDS).min() > 0.8


@pytest.mark.slow
def test_alone_in_a_search(member, digits):
    grid = {"lr": [0.0, 0.02], "module__hidden_layer_sizes": [(8,), (16,)]}

    search = GridSearchCV(member, grid, cv=2).fit(*digits)

    assert search.best_params_["lr"] == 0.02
    assert search.best_score_ > 0.8


@pytest.mark.slow
def test_in_bagging(member, digits, digits_test):
    X, y = digits
    bag = BaggingClassifier(member, n_estimators=3, random_state=0).fit(X, y)

    mean = np.mean([one.predict_proba(X) for one in bag.estimators_], axis=0)
    np.testing.assert_allclose(bag.predict_proba(X), mean, rtol=1e-6)
    assert bag.score(*digits_test) > 0.8


@pytest.mark.slow
def test_in_bagging_in_parallel(member, digits, digits_test):
    bag = BaggingClassifier(member, n_estimators=3, random_state=0, n_jobs=2)

    assert bag.fit(*digits).score(*digits_test) > 0.8


@pytest.mark.slow
def test_in_stacking(member, digits, digits_test):
    X, y = digits
    members = [("narrow", member), ("wide", mlp_classifier(max_epochs=5, lr=0.02))]

    stack = StackingClassifier(members, LogisticRegression(max_iter=300), cv=FOLDS)

    assert stack.fit(X, y).score(*digits_test) > 0.85


@pytest.mark.slow
def test_any_member_of_an_ensemble_can_be_trained_again(member, digits, digits_test):
    clf = JointEnsembleClassifier(member, n_estimators=2, random_state=0).fit(*digits)
    before = clf.predict_proba(digits_test[0])

    again = clone(clf.estimators_[0]).fit(*digits)

    assert again.score(*digits_test) > 0.8
    np.testing.assert_array_equal(clf.predict_proba(digits_test[0]), before)

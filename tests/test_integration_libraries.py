"""JointEnsembleClassifier works untouched in joblib, imbalanced-learn and DESlib."""

import joblib
import numpy as np
import pytest
from deslib.base import BaseDS
from deslib.dcs import OLA
from deslib.des import KNORAU
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import make_pipeline
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import validate_data

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier


@pytest.fixture
def clf():
    member = mlp_classifier((16,), lr=0.02, max_epochs=8, dropout=0.1)
    return JointEnsembleClassifier(member, n_estimators=3, random_state=0)


# -- joblib ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "backend", [pytest.param("loky", marks=pytest.mark.slow), "threading"]
)
def test_fits_are_the_same_in_any_backend(backend, clf, digits):
    X, y = digits
    clfs = [clone(clf).set_params(lam=lam) for lam in (0, 0.5, 1)]

    with joblib.parallel_config(backend, n_jobs=2):
        fitted = joblib.Parallel()(joblib.delayed(one.fit)(X, y) for one in clfs)

    for one, lam in zip(fitted, (0, 0.5, 1), strict=True):
        direct = clone(clf).set_params(lam=lam).fit(X, y)
        np.testing.assert_array_equal(one.predict_proba(X), direct.predict_proba(X))
        np.testing.assert_array_equal(one.member_proba(X), direct.member_proba(X))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_fitted_ensemble_predicts_the_same_in_any_backend(backend, clf, digits):
    X, y = digits
    clf.fit(X, y)

    with joblib.parallel_config(backend, n_jobs=2):
        found = joblib.Parallel()(
            joblib.delayed(clf.predict_proba)(rows) for rows in (X, X, X, X)
        )

    np.testing.assert_array_equal(found, [clf.predict_proba(X)] * 4)


def test_memory_mapped_data_gives_the_same(clf, digits, tmp_path):
    X, y = digits
    joblib.dump((X, y), tmp_path / "data")
    mapped_X, mapped_y = joblib.load(tmp_path / "data", mmap_mode="r")

    mapped = clone(clf).fit(mapped_X, mapped_y)

    np.testing.assert_array_equal(
        mapped.predict_proba(mapped_X), clf.fit(X, y).predict_proba(X)
    )


# -- imbalanced-learn ------------------------------------------------------------------


def test_pipeline_with_smote(clf, digits, digits_test):
    X, y = digits
    kept = (y != 8) | (np.arange(len(y)) % 4 == 0)
    X, y = X[kept], y[kept]

    pipe = make_pipeline(StandardScaler(), SMOTE(random_state=0), clone(clf)).fit(X, y)

    scaler = StandardScaler().fit(X)
    X_test, y_test = digits_test
    clf.fit(*SMOTE(random_state=0).fit_resample(scaler.transform(X), y))
    np.testing.assert_array_equal(
        pipe.predict_proba(X_test), clf.predict_proba(scaler.transform(X_test))
    )
    assert balanced_accuracy_score(y_test, pipe.predict(X_test)) > 0.8


# -- DESlib ----------------------------------------------------------------------------


@pytest.fixture
def _deslib(monkeypatch):
    """DESlib 0.3.7 calls a method that scikit-learn has since made a function."""
    if not hasattr(BaseDS, "_validate_data"):
        monkeypatch.setattr(BaseDS, "_validate_data", validate_data, raising=False)


@pytest.mark.quick(1)
@pytest.mark.usefixtures("_deslib")
@pytest.mark.parametrize("selection", [KNORAU, OLA])
@pytest.mark.parametrize("as_label", [int, str])
def test_members_are_selected_dynamically(
    selection, as_label, clf, digits, digits_test
):
    X, y = digits
    X_test, y_test = digits_test
    y, y_test = y.astype(as_label), y_test.astype(as_label)
    clf.fit(X, y)

    chosen = selection(pool_classifiers=clf.estimators_, random_state=0).fit(X, y)

    members = np.array([member.predict(X_test) for member in clf.estimators_])
    predicted = chosen.predict(X_test)
    assert (predicted == members).any(axis=0).all()
    assert chosen.score(X_test, y_test) > 0.8

"""`calibration`: confidence and accuracy by bins; one temperature of the ensemble."""

import pickle
from functools import cache

import numpy as np
import pytest
from kinds import KINDS, rows
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn import __version__ as sklearn_version
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
from sklearn_jointens.inspection import calibration

X = rows()
OF = {kind.name: kind for kind in KINDS}
WEIGHT = np.random.RandomState(3).randint(4, size=len(X))

needs_temperature = pytest.mark.skipif(
    parse_version(sklearn_version) < parse_version("1.8"),
    reason="method='temperature' is of scikit-learn 1.8",
)


@cache
def fitted(name):
    kind = OF[name]
    return kind.ensemble().fit(X, kind.y)


def guessed_bins(confidence, is_hit, weight, n_bins):
    """Mean confidence, accuracy and distance, row by row."""
    confidences, accuracies, error = [], [], 0.0
    for b in range(n_bins):
        # Not above the lower end, but for the lowest.
        low, high = b / n_bins, (b + 1) / n_bins
        inside = (confidence > low) & (confidence <= high)
        share = weight[inside].sum()
        if share == 0:
            confidences.append(np.nan)
            accuracies.append(np.nan)
            continue
        confidences.append(np.average(confidence[inside], weights=weight[inside]))
        accuracies.append(np.average(is_hit[inside], weights=weight[inside]))
        error += share / weight.sum() * abs(confidences[-1] - accuracies[-1])
    return confidences, accuracies, error


def said(name, y):
    """How probable what is said is, and whether it is so."""
    clf = fitted(name)
    proba = clf.predict_proba(X).astype(np.float64)
    if name == "labels":
        return proba.ravel(), y.ravel() == 1
    return proba.max(axis=1), clf.predict(X) == y


@pytest.mark.parametrize("name", ["classes", "probabilities", "one logit", "labels"])
@pytest.mark.parametrize("n_bins", [1, 4, 15])
@pytest.mark.parametrize("sample_weight", [None, WEIGHT])
def test_bins_are_those_of_a_plain_loop(name, n_bins, sample_weight):
    y = OF[name].y
    confidence, is_hit = said(name, y)
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    weight = np.repeat(weight, len(confidence) // len(X))

    result = calibration(fitted(name), X, y, n_bins=n_bins, sample_weight=sample_weight)

    confidences, accuracies, error = guessed_bins(confidence, is_hit, weight, n_bins)
    np.testing.assert_allclose(result.confidence, confidences)
    np.testing.assert_allclose(result.accuracy, accuracies)
    np.testing.assert_allclose(result.expected_calibration_error, error)
    assert result.n_rows.sum() == len(confidence)


def test_bins_are_scikit_learns():
    name = "classes"
    confidence, is_hit = said(name, OF[name].y)

    result = calibration(fitted(name), X, OF[name].y, n_bins=8)

    accuracy, mean = calibration_curve(is_hit, confidence, n_bins=8)
    known = result.n_rows > 0
    np.testing.assert_allclose(result.accuracy[known], accuracy)
    np.testing.assert_allclose(result.confidence[known], mean)


def test_weights_repeat_rows():
    y, repeated = OF["classes"].y, np.repeat(np.arange(len(X)), WEIGHT)
    clf = fitted("classes")

    actual = calibration(clf, X, y, sample_weight=WEIGHT)
    expected = calibration(clf, X[repeated], y[repeated])

    for name in ("expected_calibration_error", "confidence", "accuracy"):
        np.testing.assert_allclose(actual[name], expected[name])


def test_any_classifier_is_taken():
    """Of a member, a pipeline and scikit-learn's own, what a plain loop says."""
    y = OF["classes"].y
    pipeline = make_pipeline(StandardScaler(), OF["classes"].ensemble()).fit(X, y)
    forest = RandomForestClassifier(5, max_depth=2, random_state=0).fit(X, y)
    for clf in (fitted("classes").estimators_[1], pipeline, forest):
        confidence = clf.predict_proba(X).max(axis=1).astype(np.float64)
        expected = guessed_bins(confidence, clf.predict(X) == y, np.ones(len(X)), 15)

        result = calibration(clf, X, y)

        np.testing.assert_allclose(result.expected_calibration_error, expected[2])


def test_wrong_input_is_told():
    y = OF["classes"].y
    regressor = OF["numbers"].ensemble().fit(X, OF["numbers"].y)

    with pytest.raises(TypeError, match="parameter of calibration must be a classif"):
        calibration(regressor, X, y)
    with pytest.raises(ValueError, match="The 'n_bins' parameter of calibration must"):
        calibration(fitted("classes"), X, y, n_bins=0)
    of_labels = OF["labels"].y
    for name, wrong in (
        ("labels", np.ones((len(X), 3))),
        ("labels", of_labels[:, 0]),
        ("labels", 2 * of_labels),
        ("classes", np.arange(len(X)) % 3),  # classes have names
        ("classes", np.where(y == "ant", "dog", y)),
        ("one logit", OF["one logit"].y == "ant"),
    ):
        with pytest.raises(ValueError, match="'y' parameter of calibration must have"):
            calibration(fitted(name), X, wrong)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        calibration(fitted("classes"), X, y[1:])


# -- one temperature for the ensemble ------------------------------------------------


def too_sure(name):
    """An ensemble that has learned half of the rows by heart, and the other half."""
    kind = OF[name]
    half = slice(len(X) // 2)
    net = (
        mlp_classifier((16,), max_epochs=10, batch_size=16, lr=0.05)
        if name == "classes"
        else kind.member(max_epochs=100, lr=1.0)
    )
    clf = JointEnsembleClassifier(net, n_estimators=3, lam=0.9, random_state=0)
    return clf.fit(X[half], kind.y[half]), X[len(X) // 2 :], kind.y[len(X) // 2 :]


@pytest.mark.quick(1)
@needs_temperature
@pytest.mark.parametrize("name", ["classes", "one logit"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore:Since FrozenEstimator")  # weights T, as it should
def test_one_temperature_of_the_mean_logits_has_the_least_loss(name, weighted):
    clf, X_held, y_held = too_sure(name)
    weight = 1.0 + np.arange(len(X_held)) % 3 if weighted else np.ones(len(X_held))
    members = np.log(clf.member_proba(X_held).astype(np.float64))
    mean_logits = members.mean(axis=0)
    observed = np.searchsorted(clf.classes_, y_held)

    def loss(log_temperature):
        scaled = log_softmax(mean_logits / np.exp(log_temperature), axis=1)
        own = scaled[np.arange(len(observed)), observed]
        return -np.average(own, weights=weight)

    best = minimize_scalar(loss, bracket=(-1, 1))
    temperature = np.exp(best.x)

    calibrated = CalibratedClassifierCV(FrozenEstimator(clf), method="temperature")
    calibrated.fit(X_held, y_held, sample_weight=weight if weighted else None)

    proba = calibrated.predict_proba(X_held)
    np.testing.assert_allclose(
        proba, softmax(mean_logits / temperature, axis=1), rtol=1e-4, atol=1e-6
    )
    assert temperature > 1.2
    fitted_loss = log_loss(y_held, proba, sample_weight=weight)
    np.testing.assert_allclose(fitted_loss, best.fun, rtol=1e-5)
    assert fitted_loss < log_loss(
        y_held, clf.predict_proba(X_held), sample_weight=weight
    )


@pytest.mark.quick(1)
@needs_temperature
@pytest.mark.parametrize("name", ["classes", "one logit"])
def test_a_temperature_changes_no_prediction_and_is_kept(name):
    clf, X_held, y_held = too_sure(name)

    calibrated = CalibratedClassifierCV(FrozenEstimator(clf), method="temperature")
    calibrated.fit(X_held, y_held)

    assert calibrated.classes_.tolist() == clf.classes_.tolist()
    np.testing.assert_array_equal(calibrated.predict(X), clf.predict(X))
    kept = pickle.loads(pickle.dumps(calibrated))
    np.testing.assert_array_equal(kept.predict_proba(X), calibrated.predict_proba(X))

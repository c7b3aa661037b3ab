"""`collusion_report`: signs of collusion, beside those of independent members."""

import numpy as np
import pytest
import torch
from inspected import BY_NAME, fitted
from kinds import each_kind, rows
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_jointens.inspection import _offsets, collusion_report
from sklearn_jointens.inspection._reading import Reading

X = rows()
TRAIN, TEST = slice(40), slice(40, 60)
Y_CLASSES = BY_NAME["classes"].y


def halves(name):
    y = BY_NAME[name].y
    return X[TRAIN], y[TRAIN], X[TEST], y[TEST]


def report_of(name, estimator=None, independent="itself", **params):
    """Without a further fit, unless one is asked for."""
    estimator = fitted(name) if estimator is None else estimator
    if isinstance(independent, str):
        independent = fitted(name, lam=0.0)
    return collusion_report(
        estimator, *halves(name), independent=independent, random_state=0, **params
    )


def squared_errors(z, y):
    """Ensemble's, and the members' mean, of predictions (n_members, n_samples)."""
    return ((z.mean(0) - y) ** 2).mean(), ((z - y) ** 2).mean()


def log_losses(z, y):
    """The same of log-probabilities (n_members, n_samples, n_classes)."""
    ensemble = log_loss(y, np.exp(log_softmax(z.mean(0), axis=1)))
    members = [log_loss(y, np.exp(log_softmax(each, axis=1))) for each in z]
    return ensemble, np.mean(members)


def offsets_of(name):
    reading = Reading("test", fitted(name), X[TRAIN], BY_NAME[name].y[TRAIN])
    return _offsets.cancelling_offsets(reading).numpy()


def members_of(name, ensemble, X):
    if name == "numbers":
        return ensemble.member_predict(X)
    return np.log(ensemble.member_proba(X))


LOSSES = {"numbers": squared_errors, "classes": log_losses}


# -- diversity -------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_diversity_is_what_members_lose_more_than_the_ensemble(name):
    report = report_of(name)

    X_train, y_train, X_test, y_test = halves(name)
    z = members_of(name, fitted(name), X_train)
    ensemble, members = LOSSES[name](z, y_train)
    assert report.train_loss == pytest.approx(ensemble, abs=1e-6)
    assert report.train_diversity == pytest.approx(members - ensemble, abs=1e-6)
    z = members_of(name, fitted(name), X_test)
    ensemble, members = LOSSES[name](z, y_test)
    assert report.test_loss == pytest.approx(ensemble, abs=1e-6)
    assert report.test_diversity == pytest.approx(members - ensemble, abs=1e-6)
    assert report.diversity_gap == report.train_diversity - report.test_diversity


@pytest.mark.parametrize("name", LOSSES)
def test_debiased_diversity_is_that_without_the_offsets(name):
    report = report_of(name)

    X_train, y_train, X_test, y_test = halves(name)
    z = members_of(name, fitted(name), X_train)
    offsets = offsets_of(name)[..., 0][:, None]
    offsets = offsets[..., 0] if name == "numbers" else offsets
    ensemble, members = LOSSES[name](z - offsets, y_train)
    assert report.debiased_train_diversity == pytest.approx(
        members - ensemble, abs=1e-6
    )
    z = members_of(name, fitted(name), X_test)
    ensemble, members = LOSSES[name](z - offsets, y_test)
    assert report.debiased_test_diversity == pytest.approx(members - ensemble, abs=1e-6)


def test_offset_of_a_number_is_the_mean_distance_from_the_ensemble():
    z = fitted("numbers").member_predict(X[TRAIN])

    expected = (z - z.mean(0)).mean(axis=1)
    np.testing.assert_allclose(offsets_of("numbers")[:, 0, 0], expected, atol=1e-5)


def mean_predictions(name, ensemble, offsets):
    """Of each member without its offset, on the training rows."""
    natural = Reading("test", ensemble, X[TRAIN]).natural() - torch.as_tensor(offsets)
    family = ensemble.net_.prediction_family_
    return torch.stack([family.predicted(each).mean(0) for each in natural])


@pytest.mark.parametrize(
    "name", ["classes", "probabilities", "one logit", "labels", "counts", "variances"]
)
def test_members_without_their_offsets_have_the_same_mean_prediction(name):
    """The condition of the least mean loss, of a convex problem."""
    offsets = offsets_of(name)

    np.testing.assert_allclose(offsets.sum(axis=0), 0, atol=1e-9)
    before = mean_predictions(name, fitted(name), 0 * offsets)
    after = mean_predictions(name, fitted(name), offsets)
    assert (before.std(0) > 1e-3).all()
    np.testing.assert_allclose(after.std(0), 0, atol=1e-5)


@pytest.mark.quick(2)
@each_kind
def test_offsets_add_to_the_diversity_of_the_training_rows(kind):
    report = report_of(kind.name)

    assert report.debiased_train_diversity < report.train_diversity - 1e-4


def test_offsets_are_found_on_some_of_many_rows(monkeypatch):
    monkeypatch.setattr(_offsets, "_MOST", 5 * 3 * 20)
    some = offsets_of("classes")
    reading = Reading("test", fitted("classes"), X[TRAIN][::2], Y_CLASSES[TRAIN][::2])

    np.testing.assert_allclose(some, _offsets.cancelling_offsets(reading), atol=1e-6)


@pytest.mark.quick(1)
@pytest.mark.parametrize("name", ["classes", "numbers", "labels", "counts"])
def test_offsets_that_cancel_are_seen_through(name):
    kind = BY_NAME[name]
    shifted = kind.ensemble(n_estimators=5).fit(X, kind.y)
    shifts = np.random.RandomState(0).normal(size=(5, kind.n_raw))
    shifts -= shifts.mean(axis=0)
    for member, shift in zip(shifted.estimators_, shifts, strict=True):
        with torch.no_grad():
            member.module_[-1].bias += torch.as_tensor(shift)
    shifted = shifted.drop_members([])  # which makes the members one program anew

    before, after = report_of(name), report_of(name, shifted)
    assert after.test_loss == pytest.approx(before.test_loss, abs=1e-5)
    assert after.train_diversity > before.train_diversity + 0.01
    assert after.debiased_train_diversity == pytest.approx(
        before.debiased_train_diversity, abs=1e-5
    )
    assert after.debiased_test_diversity == pytest.approx(
        before.debiased_test_diversity, abs=1e-5
    )
    assert (after.codependence > before.codependence).all()


@pytest.mark.quick(2)
@each_kind
def test_every_kind_has_a_finite_report(kind):
    report = report_of(kind.name)

    for found in (report, report.independent):
        numbers = [value for key, value in found.items() if key != "independent"]
        assert all(np.isfinite(value).all() for value in numbers)
        assert found.train_diversity >= -1e-9
        assert found.debiased_test_diversity >= -1e-9
        assert found.test_score == pytest.approx(
            fitted(kind.name, lam=found.lam).score(X[TEST], kind.y[TEST]), abs=1e-6
        )
    # The identity of the joint loss, of the rows that a reading judges itself.
    reading = Reading("test", fitted(kind.name), X[TRAIN], kind.y[TRAIN])
    losses, divisors = reading.losses(reading.natural())
    mean = float(losses.mean(0).sum() / divisors.sum())
    assert report.train_loss + report.train_diversity == pytest.approx(mean)


# -- codependence ----------------------------------------------------------------------


def test_loss_rises_by_what_the_score_falls():
    report = report_of("numbers", n_repeats=3)

    # R2 is 1 less the squared error in units of the variance.
    variance = halves("numbers")[3].var()
    np.testing.assert_allclose(
        report.codependence, report.score_falls * variance, atol=1e-6
    )
    assert (report.codependence != 0).all()


def test_codependence_is_measured_on_members_of_each_row():
    report = report_of("classes", n_repeats=1)

    _, _, X_test, y_test = halves("classes")
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    draws = np.random.RandomState(seed).random_sample((len(X_test), 5))
    ensemble = fitted("classes")
    for point, dropped in enumerate(report.n_dropped):
        proba = np.concatenate(
            [
                ensemble.predict_proba(
                    X_test[i : i + 1], members=np.argsort(draws[i])[dropped:]
                )
                for i in range(len(X_test))
            ]
        )
        rise = log_loss(y_test, proba) - report.test_loss
        assert report.codependence[point] == pytest.approx(rise, abs=1e-6)
        score = (ensemble.classes_[proba.argmax(axis=1)] == y_test).mean()
        fall = report.test_score - score
        assert report.score_falls[point] == pytest.approx(fall, abs=1e-9)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("n_members", "n_dropped"), [(2, [1, 1, 1]), (3, [1, 1, 2]), (10, [2, 4, 6])]
)
def test_someone_is_dropped_and_someone_left(n_members, n_dropped):
    few = fitted("numbers", n_estimators=n_members, lam=0.0)
    report = report_of("numbers", few, independent=None)
    np.testing.assert_array_equal(report.n_dropped, n_dropped)


# -- independent members ---------------------------------------------------------------


def assert_equal_reports(first, second):
    assert first.keys() == second.keys()
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])


def test_independent_members_are_fitted_on_the_training_rows():
    kind = BY_NAME["classes"]
    ensemble = kind.ensemble(lam=0.9).fit(X[TRAIN], kind.y[TRAIN])
    alone = clone(ensemble).set_params(lam=0.0).fit(X[TRAIN], kind.y[TRAIN])

    told = report_of("classes", ensemble, independent=alone)
    asked = report_of("classes", ensemble, independent=None)
    assert_equal_reports(asked.independent, told.independent)
    assert (asked.lam, asked.independent.lam) == (0.9, 0.0)
    of_alone = report_of("classes", alone, independent=None)
    assert_equal_reports(asked.independent, of_alone.independent)


def test_independent_members_are_compared_with_themselves(monkeypatch):
    alone = fitted("classes", lam=0.0)
    monkeypatch.setattr(type(alone), "fit", None)
    report = report_of("classes", alone, independent=None)

    of_others = report.independent
    assert_equal_reports({key: report[key] for key in of_others}, of_others)


def test_pipeline_transforms_rows_for_both():
    kind = BY_NAME["classes"]
    X_train, y_train, X_test, y_test = halves("classes")
    pipeline = make_pipeline(StandardScaler(), kind.ensemble()).fit(X_train, y_train)

    piped = collusion_report(pipeline, X_train, y_train, X_test, y_test, random_state=0)
    scaled = pipeline[:-1].transform
    inner = collusion_report(
        pipeline[-1], scaled(X_train), y_train, scaled(X_test), y_test, random_state=0
    )
    assert_equal_reports(piped.pop("independent"), inner.pop("independent"))
    assert_equal_reports(piped, inner)


# -- wrong input -----------------------------------------------------------------------


def test_one_member_has_nobody_to_collude_with():
    one = fitted("classes", n_estimators=1)
    with pytest.raises(ValueError, match=r"collusion_report .* at least 2 members"):
        report_of("classes", one)


def test_comparison_must_be_with_independent_members():
    message = r"'independent' parameter of collusion_report .* 5 members with lam=0.5"
    with pytest.raises(ValueError, match=message):
        report_of("classes", independent=fitted("classes"))
    fewer = fitted("classes", n_estimators=3, lam=0.0)
    with pytest.raises(ValueError, match=r"Got a .*Classifier of 3 members with lam=0"):
        report_of("classes", independent=fewer)
    with pytest.raises(TypeError, match="'independent' parameter of collusion_report"):
        report_of("classes", independent=StandardScaler())


def test_repeats_are_at_least_one():
    with pytest.raises(ValueError, match=r"'n_repeats' .* Got 0 instead"):
        report_of("classes", n_repeats=0)

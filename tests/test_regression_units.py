"""The default regressor learns y of any scale, and speaks in y's own units."""

import numpy as np
import pytest
import torch
from regression_tools import data, ensemble, in_units, plain, table, units
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn

from sklearn_jointens import JointEnsembleRegressor, tabular_regressor
from sklearn_jointens.losses import HeteroscedasticGaussianLoss


@pytest.mark.quick(1)
@pytest.mark.parametrize("scale", [2e5, 1e-4, 1e30, 1e-30, 1e200, 1e-200])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_y_of_any_scale_is_learned_as_well_as_scaled_y(scale, dtype):
    X, y = data()
    X, standard = X.astype(dtype), (y - y.mean()) / y.std()
    scaled = ensemble().fit(X, standard)

    fitted = ensemble().fit(X, y * scale)

    expected = scaled.predict(X) * y.std() + y.mean()
    tolerance = 1e-9 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(fitted.predict(X) / scale, expected, rtol=tolerance)
    np.testing.assert_allclose(fitted.member_scores_, scaled.member_scores_, tolerance)
    if 1e-100 < scale < 1e100:  # scikit-learn squares y
        of_standard = scaled.score(X, standard)
        assert fitted.score(X, y * scale) == pytest.approx(of_standard, rel=tolerance)


def test_y_far_from_0_keeps_its_differences_in_float32_members():
    X, y = data()
    X = X.astype(np.float32)

    far = ensemble().fit(X, y * 1e-3 + 1e6)

    near = ensemble().fit(X, y * 1e-3)
    np.testing.assert_allclose(far.predict(X) - 1e6, near.predict(X), atol=1e-6)


def test_a_net_of_the_users_own_learns_y_as_it_is():
    X, y = data()

    fitted = ensemble(plain()).fit(X, 100 * y)

    assert units(fitted) == (0, 1)
    predicted = fitted.member_predict(X)
    for losses, one in zip(
        np.transpose(fitted.history_[:, "train_member_losses"]), predicted, strict=True
    ):
        assert losses[-1] == pytest.approx(mean_squared_error(100 * y, one), rel=0.2)


def test_several_targets_have_units_of_their_own():
    X, y = data()
    small, large = 1e-4 * y, 2e5 * X[:, 0]

    fitted = ensemble(lam=0).fit(X, np.c_[small, large])

    targets = fitted.net_.targets_
    np.testing.assert_allclose(targets.origin, [small.mean(), large.mean()])
    np.testing.assert_allclose(targets.unit, [small.std(), large.std()])
    assert fitted.predict(X).shape == (120, 2)
    assert fitted.member_predict(X).shape == (2, 120, 2)
    scores = r2_score(np.c_[small, large], fitted.predict(X), multioutput="raw_values")
    assert (scores > 0).all()
    assert fitted.score(X, np.c_[small, large]) == pytest.approx(scores.mean())


def test_units_are_of_the_weighted_rows():
    X, y = data()
    weight = np.r_[np.zeros(60), np.arange(60.0)]

    fitted = ensemble().fit(X, y, sample_weight=weight)

    mean = np.average(y, weights=weight)
    deviation = np.sqrt(np.average((y - mean) ** 2, weights=weight))
    np.testing.assert_allclose(units(fitted), (mean, deviation))
    # Of rows without weight nothing is learned, how large they may be.
    other = np.r_[np.full(60, 1e100), y[60:]]
    again = ensemble().fit(X, other, sample_weight=weight)
    np.testing.assert_allclose(units(again), units(fitted))


@pytest.mark.quick(2)
@pytest.mark.parametrize("constant", [0, 1e-9, 3e5])
@pytest.mark.parametrize("member", [table(), plain()], ids=["table", "plain"])
def test_constant_y(constant, member):
    X, _ = data()
    fitted = ensemble(member).fit(X, np.full(120, constant))

    assert fitted.net_.targets_.unit == 1
    if hasattr(member, "n_bins"):
        np.testing.assert_allclose(fitted.predict(X), constant, atol=1, rtol=1e-4)
    assert np.isfinite(fitted.member_scores_).all()


@pytest.mark.slow
def test_going_on_keeps_the_units_of_the_first_fit():
    X, y = data()
    first = units(ensemble().fit(X, y))

    warm = ensemble(warm_start=True).fit(X, y)
    warm.set_params(n_estimators=3).fit(X, 10 * y)
    further = ensemble().partial_fit(X, y).partial_fit(X, 10 * y)

    for fitted in (warm, further):
        assert units(fitted) == first
        for member in fitted.estimators_:
            assert (member.targets_.origin[0], member.targets_.unit[0]) == first
        # The new rows' y is as far from the first units as it is large.
        assert fitted.history_[-1, "train_loss"] > 10
    longer = ensemble(warm_start=True).fit(X, y).fit(X, y)
    assert longer.score(X, y) > ensemble().fit(X, y).score(X, y)


@pytest.mark.parametrize("member", [table, plain])
def test_validation_data_that_are_given_are_in_ys_units(member):
    X, y = data()
    held_out = Dataset(X[:30], y[:30])
    member = member(train_split=predefined_split(held_out), callbacks=None)

    fitted = ensemble(member).fit(X[30:], y[30:])

    _, unit = units(fitted)
    error = mean_squared_error(y[:30], fitted.predict(X[:30])) / unit**2
    assert fitted.history_[-1, "valid_loss"] == pytest.approx(error, rel=1e-6)
    expected = [r2_score(y[:30], one) for one in fitted.member_predict(X[:30])]
    np.testing.assert_allclose(fitted.member_scores_, expected)


@pytest.mark.parametrize("metric", [True, mean_absolute_error])
def test_out_of_bag_scores_are_in_ys_units(metric):
    X, y = data()
    fitted = ensemble(
        table(train_split=None, callbacks=None),
        bootstrap=True,
        oob_score=metric,
        n_estimators=12,
    ).fit(X, 1e5 * y)

    known = ~np.isnan(fitted.oob_prediction_)
    metric = r2_score if metric is True else metric
    expected = metric(1e5 * y[known], fitted.oob_prediction_[known])
    assert fitted.oob_score_ == pytest.approx(expected)
    assert fitted.oob_prediction_.shape == (120,)


@pytest.mark.quick(1)
@pytest.mark.parametrize("log_rate", [7, -3])
def test_counts_of_any_rate(log_rate):
    random = np.random.RandomState(0)
    X = random.normal(size=(2000, 3))
    rate = np.exp(log_rate + 0.5 * X[:, 0])
    y = random.poisson(rate)

    member = table(criterion=nn.PoissonNLLLoss, max_epochs=20)
    fitted = ensemble(member, lam=0).fit(X, y)

    np.testing.assert_allclose(units(fitted), (0, y.mean()), rtol=1e-12)
    predicted = fitted.predict(X)
    assert predicted.mean() == pytest.approx(y.mean(), rel=0.1)
    assert np.corrcoef(np.log(predicted), np.log(rate))[0, 1] > 0.9
    # Geometric mean of the members' rates.
    of_members = fitted.member_predict(X)
    np.testing.assert_allclose(predicted, np.exp(np.log(of_members).mean(0)), rtol=1e-5)


def test_counts_that_are_all_0():
    X, _ = data()

    fitted = ensemble(table(criterion=nn.PoissonNLLLoss)).fit(X, np.zeros(120))

    predicted = fitted.predict(X)
    assert ((predicted > 0) & (predicted < 1)).all()


@pytest.fixture(scope="module")
def noisy():
    """Rows, y in thousands, and the standard deviation of its noise."""
    random = np.random.RandomState(0)
    X = random.uniform(-1, 1, size=(2000, 2))
    std = 1e4 * 0.3 * np.exp(1.5 * X[:, 0])
    return X, 1e4 * np.sin(3 * X[:, 1]) + std * random.normal(size=2000), std


@pytest.mark.slow
@pytest.mark.parametrize("lam", [0, 0.5])
def test_standard_deviations_are_those_of_the_data(lam, noisy):
    X, y, std = noisy
    member = tabular_regressor(
        (64, 64), criterion=HeteroscedasticGaussianLoss, max_epochs=40, n_splits=2
    )
    fitted = JointEnsembleRegressor(member, 2, lam, random_state=0).fit(X, y)

    mean, learned = fitted.predict(X, return_std=True)

    np.testing.assert_array_equal(mean, fitted.predict(X))
    assert learned.shape == mean.shape == y.shape
    assert np.corrcoef(np.log(learned), np.log(std))[0, 1] > 0.97
    assert np.exp(np.log(learned / std).mean()) == pytest.approx(1, abs=0.1)
    assert np.std((y - mean) / learned) == pytest.approx(1, abs=0.1)
    of_targets = ensemble(member).fit(X, np.c_[y, X[:, 0]])
    means, learned = of_targets.predict(X, return_std=True)
    assert means.shape == learned.shape == (2000, 2)
    assert (learned[:, 0] > 100 * learned[:, 1]).all()


@pytest.mark.slow
def test_standard_deviations_are_of_the_members_that_are_asked(noisy):
    X, y, _ = noisy
    fitted = ensemble(plain(criterion=HeteroscedasticGaussianLoss)).fit(X, y / 1e4)

    mean, std = fitted.predict(X, members=[1], return_std=True)

    alone = fitted.drop_members([0])
    expected = alone.predict(X, return_std=True)
    np.testing.assert_allclose((mean, std), expected)
    output = torch.as_tensor(fitted.estimators_[1].forward(X))
    np.testing.assert_allclose(std, output[:, 1].exp().sqrt())


def test_losses_are_told_in_the_units_that_are_learned():
    X, y = data()
    fitted = ensemble(table(train_split=None, callbacks=None, lr=1e-12)).fit(X, 100 * y)

    learned = in_units(fitted, 100 * y), in_units(fitted, fitted.predict(X))
    last = fitted.history_[-1]
    assert last["train_ensemble_loss"] == pytest.approx(mean_squared_error(*learned))

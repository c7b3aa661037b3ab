"""The families of numbers: what their ensembles are, and that no digits are lost."""

import re

import numpy as np
import pytest
import torch
from family_cases import cases
from tools import value_and_gradient
from torch import nn
from torch.distributions import Normal, kl_divergence

from sklearn_jointens.losses import (
    Gaussian,
    HeteroscedasticGaussian,
    HeteroscedasticGaussianLoss,
    Huber,
    Poisson,
    family_of,
    joint_loss,
    joint_terms,
)

LAMS = [0, 0.3, 1]
NUMBERS = [Gaussian(), HeteroscedasticGaussian(), Huber(), Poisson()]

every_number_family = pytest.mark.parametrize(
    "family", NUMBERS, ids=[type(family).__name__ for family in NUMBERS]
)


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


# Squares: Negative Correlation Learning


@pytest.mark.parametrize("lam", [0, 0.3, 0.9, 1])
def test_joint_squares_are_negative_correlation_learning(lam):
    """Liu & Yao (1999), Brown et al. (2005): the penalty pushes members apart."""
    outputs, y = random(4, 6), random(6, seed=1)

    def ncl(f):
        return ((f - y) ** 2 - lam * (f - f.mean(0)) ** 2).mean()

    actual = value_and_gradient(
        lambda f: joint_loss(f, y, lam, None, Gaussian()), outputs
    )
    for found, expected in zip(actual, value_and_gradient(ncl, outputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_gradient_of_a_member_is_that_of_negative_correlation_learning():
    """Brown et al. (2005), eq. 21: ``(f_j - y) - lam * (f_j - fbar)``, times 2."""
    outputs, y, lam = random(4, 6), random(6, seed=1), 0.7
    _, gradient = value_and_gradient(
        lambda f: joint_loss(f, y, lam, None, Gaussian()), outputs
    )
    expected = (outputs - y) - lam * (outputs - outputs.mean(0))
    torch.testing.assert_close(gradient * outputs.numel(), 2 * expected)


# Counts


def test_rate_of_an_ensemble_is_the_geometric_mean_of_its_members_rates():
    rates, family = random(3, 5, 2).exp(), Poisson()
    natural = family.natural(rates.log())
    torch.testing.assert_close(family.predicted(natural), rates)
    found = family.predicted(natural.mean(0))
    torch.testing.assert_close(found, rates.prod(0) ** (1 / 3))


def test_diversity_of_counts_is_the_mean_divergence_from_the_ensemble():
    family, natural = Poisson(), random(3, 1, 5)
    ensemble = torch.distributions.Poisson(natural.mean(0).exp())
    divergence = [
        kl_divergence(ensemble, torch.distributions.Poisson(z.exp())) for z in natural
    ]
    expected = torch.stack(divergence).mean(0)[0]
    torch.testing.assert_close(family.diversity(natural, None), expected)


def test_diversity_of_counts_that_almost_agree_is_not_rounding():
    natural = 3 + 1e-3 * random(3, 1, 5)
    exact = Poisson().diversity(natural, None)
    found = Poisson().diversity(natural.float(), None)
    torch.testing.assert_close(found.double(), exact, rtol=0.05, atol=0)


# Means and variances


def test_ensemble_of_gaussians_is_their_normalised_product():
    outputs = random(3, 4, 2)
    grid = torch.linspace(-40, 40, 200_001, dtype=torch.float64)
    log_densities = [
        Normal(mean, (s / 2).exp()).log_prob(grid[:, None])
        for mean, s in zip(*outputs.unbind(-1), strict=True)
        or zip(*outputs.unbind(-1), strict=True)
    ]
    density = torch.stack(log_densities).mean(0).exp()
    density /= density.sum(0)
    mean = grid @ density
    deviation = ((grid[:, None] - mean) ** 2 * density).sum(0).sqrt()
    family = HeteroscedasticGaussian()
    combined = family.natural(outputs).mean(0)
    torch.testing.assert_close(family.predicted(combined)[:, 0], mean)
    torch.testing.assert_close(family.std(combined)[:, 0], deviation)


def test_diversity_of_gaussians_is_the_mean_divergence_from_the_ensemble():
    family, outputs = HeteroscedasticGaussian(), random(3, 4, 2)
    natural = family.natural(outputs)

    def normal(natural):
        return Normal(family.predicted(natural), family.std(natural))

    divergence = [kl_divergence(normal(natural.mean(0)), normal(z)) for z in natural]
    expected = torch.stack(divergence).mean(0)[:, 0]
    torch.testing.assert_close(family.diversity(natural, None), expected)


def test_std_has_the_shape_of_predictions():
    family, natural = HeteroscedasticGaussian(), random(3, 4, 5).exp()
    assert family.std(natural).shape == family.predicted(natural).shape == (3, 5, 2)


# Digits

AT = [0, 1e6, -3e6]


@pytest.mark.parametrize("level", AT)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lam", LAMS)
@cases("numbers", "distributions")
def test_no_digits_are_lost_far_from_zero(case, lam, weighted, level):
    """Of the float32 numbers that are given; squares of 1e6 have none left."""
    outputs, y = case.free(3, 6), (case.targets(6) + level).float()
    means = outputs.chunk(2, -1)[0] if case.kind == "distributions" else outputs
    means += level
    outputs = outputs.float()
    weight = random(3, 6, seed=2).exp() if weighted else None
    actual = value_and_gradient(
        lambda f: joint_loss(f, y, lam, weight, case.family), outputs
    )
    expected = value_and_gradient(
        lambda f: case.joint_loss(f, y.double(), lam, weight), outputs.double()
    )
    for found, exact in zip(actual, expected, strict=True):
        torch.testing.assert_close(found.double(), exact, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("level", AT)
@cases("numbers")
def test_diversity_has_its_digits_far_from_zero(case, level):
    outputs, y = (case.free(3, 6) + level).float(), (case.targets(6) + level).float()
    family = case.family
    found = family.diversity(family.natural(outputs), y)
    exact = family.diversity(family.natural(outputs.double()), y.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("level", AT)
@cases("numbers")
def test_the_ensembles_output_is_where_its_members_are(case, level):
    outputs = case.free(3, 6)
    outputs, y = (outputs + level).float(), (case.targets(1, 6) + level).float()
    terms = joint_terms(outputs, y, 0.3, None, case.family)
    share = torch.full((3, 6), 1 / 3, dtype=torch.float64)
    expected = case.combined(outputs.double(), share)
    found = terms.ensemble_output[0].reshape(expected.shape).double()
    torch.testing.assert_close(found, expected, rtol=2e-6, atol=2e-7 * (1 + abs(level)))


# What is predicted, and by whom


@every_number_family
def test_a_nonlinearity_is_applied_to_the_combined_output(family):
    n_raw = family.n_raw(1)
    own = family.with_nonlinearity(lambda output: output[:, 0] * 2 + 1)
    natural = family.natural(random(3, 5, n_raw))
    combined = natural.mean(0)
    expected = family.output(combined)[:, :1] * 2 + 1
    torch.testing.assert_close(own.predicted(combined), expected)
    members = torch.stack([own.predicted(z) for z in natural])
    assert torch.equal(own.predicted(natural), members)
    assert not own.transforms_members
    assert family.nonlinearity is None
    assert family.with_nonlinearity(None) is family


def test_exponentials_of_a_nets_own_are_the_rates_of_counts():
    natural = random(3, 1, 5)
    own = Poisson().with_nonlinearity(torch.exp)
    torch.testing.assert_close(own.predicted(natural), Poisson().predicted(natural))


@every_number_family
def test_nothing_is_correct_among_numbers(family):
    outputs, y = random(3, 5, family.n_raw(1)), torch.ones(1, 5)
    terms = joint_terms(outputs, y, 0.3, None, family, predicting=family)
    assert terms.member_correct is None
    assert terms.of_group(0, 4).member_correct is None


# What is checked


@pytest.mark.parametrize(
    ("family", "shape", "n_outputs", "wrong"),
    [
        (Gaussian(), (5,), 1, None),
        (Gaussian(), (5, 1), 1, None),
        (Gaussian(), (5, 3), 3, None),
        (Poisson(), (5, 1), 1, None),
        (HeteroscedasticGaussian(), (5, 2), 1, None),
        (HeteroscedasticGaussian(), (5, 6), 3, None),
        (
            Gaussian(),
            (5, 2),
            1,
            "one number a row, shape (n_samples,) or (n_samples, 1) with n_samples=5",
        ),
        (
            Huber(),
            (5,),
            3,
            "outputs of shape (n_samples, 3) = (5, 3), a number for each target",
        ),
        (
            HeteroscedasticGaussian(),
            (5, 3),
            3,
            "outputs of shape (n_samples, 6) = (5, 6), means and then log-variances",
        ),
        (
            HeteroscedasticGaussian(),
            (5,),
            1,
            "outputs of shape (n_samples, 2) = (5, 2), means and then log-variances",
        ),
    ],
)
def test_check_output_of_numbers(family, shape, n_outputs, wrong):
    assert family.check_output(torch.zeros(shape), 5, n_outputs) == wrong


@pytest.mark.parametrize(
    ("nonlinearity", "is_wrong"),
    [
        (torch.exp, False),
        (lambda output: output[:, 0], False),
        (lambda output: output[0], True),
        (lambda output: torch.cat([output, output], 1), True),
        (lambda output: output.tolist(), True),
    ],
)
def test_check_output_looks_at_what_a_nonlinearity_makes(nonlinearity, is_wrong):
    wrong = Gaussian().with_nonlinearity(nonlinearity)
    found = wrong.check_output(torch.zeros(5, 1), 5, 1)
    rule = "one number a row, shape (n_samples,) or (n_samples, 1) with n_samples=5"
    assert found == (rule if is_wrong else None)


def test_negative_counts_are_refused():
    rule = "counts >= 0 with criterion=PoissonNLLLoss"
    assert Poisson().check_target(torch.tensor([1.0, -1.0])) == rule
    assert Poisson().check_target(torch.tensor([[0.0, 2.5]])) is None
    assert Gaussian().check_target(torch.tensor([-1.0])) is None


@pytest.mark.parametrize(
    ("criterion", "shape", "rule"),
    [
        (nn.MSELoss(), (6,), "(n_samples, n_targets) = (6, 2)"),
        (nn.MSELoss(), (6, 1), "(n_samples, n_targets) = (6, 2)"),
        (
            HeteroscedasticGaussianLoss(),
            (6, 2),
            "(n_samples,) = (6,) or (n_samples, n_targets) = (6, 1)",
        ),
    ],
)
def test_targets_of_another_shape_raise(criterion, shape, rule):
    """They would broadcast."""
    message = (
        f"The 'target' parameter of joint_loss must have the shape {rule}. Got "
        f"{shape} instead."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        joint_loss(
            torch.zeros(3, 6, 2), torch.zeros(shape), 0.3, None, family_of(criterion)
        )


# Scaling


@pytest.mark.parametrize("family", [Gaussian(), HeteroscedasticGaussian()])
@pytest.mark.parametrize("level", [0, 2e5])
def test_numbers_are_scaled_by_their_weighted_mean_and_deviation(family, level):
    y, weight = random(50, 2) * torch.tensor([1e-4, 7.0]) + level, random(50).exp()
    origin, unit = family.scaling(y, weight)
    mean = np.average(y.numpy(), axis=0, weights=weight)
    variance = np.average((y.numpy() - mean) ** 2, axis=0, weights=weight)
    np.testing.assert_allclose(origin, mean, rtol=1e-12)
    np.testing.assert_allclose(unit, np.sqrt(variance), rtol=1e-6)
    counts = torch.randint(3, (50,), generator=torch.Generator().manual_seed(0))
    for found, expected in zip(
        family.scaling(y, counts),
        family.scaling(y.repeat_interleave(counts, 0)),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("value", [0, 0.1, -1e9, 1e-9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_has_a_unit_of_one(value, dtype):
    y = torch.full((1001,), value, dtype=dtype)
    origin, unit = Gaussian().scaling(y)
    assert origin == pytest.approx(y[0].item(), rel=1e-12)
    assert unit == 1


def test_counts_are_scaled_by_their_mean():
    y = torch.tensor([[0, 0.0], [4, 0.0], [2, 0.0]])
    origin, unit = Poisson().scaling(y)
    assert origin.tolist() == [0, 0]
    assert unit.tolist() == [2, 1]


@pytest.mark.parametrize("outliers", [0, 9])
def test_robust_losses_have_units_that_extreme_values_leave_alone(outliers):
    y = random(101, 2) * torch.tensor([3.0, 1e-3])
    origin, unit = Huber().scaling(y)
    np.testing.assert_allclose(origin, y.median(0).values)
    quartiles = np.quantile(y.numpy(), [0.25, 0.75], axis=0)
    np.testing.assert_allclose(unit, np.diff(quartiles, axis=0)[0] / 1.349, rtol=1e-3)

    # As many on both sides: the order of the others is as it was.
    extremes = torch.full((outliers, 2), 1e9)
    weight = torch.cat([torch.ones(101), torch.full((2 * outliers,), 1e-9)])
    found = Huber().scaling(torch.cat([y, extremes, -extremes]), weight)

    for one, expected in zip(found, (origin, unit), strict=True):
        torch.testing.assert_close(one, expected)


def test_units_of_robust_losses_count_rows_by_their_weights():
    y, counts = random(50, 2), torch.arange(50) % 4
    for found, expected in zip(
        Huber().scaling(y, counts),
        Huber().scaling(y.repeat_interleave(counts, 0)),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


def test_units_of_robust_losses_where_half_of_y_is_one_value():
    y = torch.tensor([2.0] * 6 + [5.0, 9.0])
    for found, expected in zip(Huber().scaling(y), Gaussian().scaling(y), strict=True):
        torch.testing.assert_close(found, expected)

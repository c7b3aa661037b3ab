"""Which criteria have a family, and what is said of the others."""

import math

import pytest
import torch
from family_cases import CASES
from tools import raises_whole
from torch import nn
from torch.nn import functional as F

from sklearn_jointens.losses import (
    CLASS_CRITERIA,
    NUMBER_CRITERIA,
    Bernoulli,
    BernoulliLabels,
    Categorical,
    CategoricalProbabilities,
    Gaussian,
    HeteroscedasticGaussian,
    HeteroscedasticGaussianLoss,
    Huber,
    Poisson,
    family_of,
)

CLASSES = (
    "CrossEntropyLoss, NLLLoss (with a module that puts out probabilities) or "
    "BCEWithLogitsLoss"
)
NUMBERS = (
    "MSELoss, PoissonNLLLoss, HeteroscedasticGaussianLoss, L1Loss, SmoothL1Loss or "
    "HuberLoss"
)


class _Scaled(nn.CrossEntropyLoss):
    def forward(self, input, target):
        return 2 * super().forward(input, target)


class _Renamed(nn.CrossEntropyLoss):
    pass


class _Compiled(nn.Module):
    """What torch.compile puts around a module."""

    def __init__(self, module):
        super().__init__()
        self._orig_mod = module


@pytest.mark.parametrize(
    ("criterion", "family"),
    [
        (nn.CrossEntropyLoss(), Categorical),
        (nn.NLLLoss(), CategoricalProbabilities),
        (nn.BCEWithLogitsLoss(), Bernoulli),
        (_Renamed(), Categorical),
        (nn.MSELoss(), Gaussian),
        (nn.PoissonNLLLoss(), Poisson),
        (HeteroscedasticGaussianLoss(), HeteroscedasticGaussian),
        (nn.L1Loss(), Huber),
        (nn.SmoothL1Loss(), Huber),
        (nn.HuberLoss(), Huber),
    ],
)
@pytest.mark.parametrize("wrap", [lambda module: module, _Compiled])
def test_family_of_a_known_criterion(wrap, criterion, family):
    assert type(family_of(wrap(criterion))) is family


def test_binary_cross_entropy_of_several_labels_is_another_family():
    assert type(family_of(nn.BCEWithLogitsLoss(), n_labels=3)) is BernoulliLabels


def test_contracts_are_tested_for_every_criterion():
    tested = {type(case.criterion) for case in CASES.values()}
    assert tested == {*CLASS_CRITERIA, *NUMBER_CRITERIA}


@pytest.mark.parametrize(
    ("criteria", "names"), [(CLASS_CRITERIA, CLASSES), (NUMBER_CRITERIA, NUMBERS)]
)
@pytest.mark.parametrize(
    ("criterion", "got"),
    [
        (nn.MultiMarginLoss(), "MultiMarginLoss"),
        (
            nn.GaussianNLLLoss(),
            "GaussianNLLLoss (whose variances are an argument that a net has no place "
            "for)",
        ),
    ],
)
def test_criterion_without_a_known_family_raises(criterion, got, criteria, names):
    message = (
        f"The 'criterion' parameter of the member must be {names}, whose losses can be "
        f"joined. Got {got} instead."
    )
    with raises_whole(ValueError, message):
        family_of(criterion, criteria=criteria)


@pytest.mark.parametrize(
    ("criterion", "criteria", "names", "got"),
    [
        (nn.MSELoss(), CLASS_CRITERIA, CLASSES, "MSELoss"),
        (nn.CrossEntropyLoss(), NUMBER_CRITERIA, NUMBERS, "CrossEntropyLoss"),
        (_Scaled(), CLASS_CRITERIA, CLASSES, "_Scaled with a 'forward' of its own"),
        (
            _Compiled(_Scaled()),
            (*CLASS_CRITERIA, *NUMBER_CRITERIA),
            f"{CLASSES.replace(' or', ',')}, {NUMBERS}",
            "_Scaled with a 'forward' of its own",
        ),
    ],
)
def test_criterion_of_another_kind_or_with_its_own_forward_raises(
    criterion, criteria, names, got
):
    message = (
        f"The 'criterion' parameter of the member must be {names}, whose losses can be "
        f"joined. Got {got} instead."
    )
    with raises_whole(ValueError, message):
        family_of(criterion, criteria=criteria)


def test_criterion_of_one_class_with_several_labels_raises():
    message = (
        "The 'criterion' parameter of the member must be BCEWithLogitsLoss for several "
        "labels, whose losses can be joined. Got CrossEntropyLoss instead."
    )
    with raises_whole(ValueError, message):
        family_of(nn.CrossEntropyLoss(), n_labels=3)


@pytest.mark.parametrize(
    "criterion",
    [
        c
        for c in (*CLASS_CRITERIA, *NUMBER_CRITERIA)
        if c.__module__.startswith("torch")
    ],
)
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_criterion_with_another_reduction_raises(criterion, reduction):
    message = (
        "The 'criterion__reduction' parameter of the member must be 'mean'. "
        f"Got '{reduction}' instead."
    )
    with raises_whole(ValueError, message):
        family_of(criterion(reduction=reduction))


def test_rates_that_are_no_logarithms_raise():
    message = (
        "The 'criterion__log_input' parameter of the member must be True: its module "
        "puts out logarithms of rates, whose mean is the ensemble's. Got False instead."
    )
    with raises_whole(ValueError, message):
        family_of(nn.PoissonNLLLoss(log_input=False))


@pytest.mark.parametrize("name", ["weight", "pos_weight"])
@pytest.mark.parametrize(
    ("n_labels", "rule"),
    [(None, "one value"), (3, "one value or one for each of 3 labels")],
)
def test_weights_of_another_number_of_labels_raise(n_labels, rule, name):
    message = (
        f"The 'criterion__{name}' parameter of the member must have {rule}. "
        "Got 2 values instead."
    )
    with raises_whole(ValueError, message):
        family_of(nn.BCEWithLogitsLoss(**{name: torch.ones(2)}), n_labels)


# HeteroscedasticGaussianLoss


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_heteroscedastic_loss_is_torchs_with_both_outputs_in_one(full, n_outputs):
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(7, 2 * n_outputs, generator=generator, requires_grad=True)
    y = torch.randn(7, n_outputs, generator=generator)
    loss = HeteroscedasticGaussianLoss(full)(output, y)
    mean, log_variance = output.chunk(2, 1)
    expected = F.gaussian_nll_loss(mean, y, log_variance.exp(), full=full)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        *(torch.autograd.grad(value, output)[0] for value in (loss, expected))
    )


def test_heteroscedastic_loss_takes_one_target_in_a_row_of_numbers():
    """Not (n, 1) less (n,), which would be every pair of rows."""
    output, y = torch.zeros(5, 2), torch.arange(5.0)
    expected = (y**2 / 2).mean() + math.log(2 * math.pi) / 2
    assert HeteroscedasticGaussianLoss(full=True)(output, y) == pytest.approx(expected)

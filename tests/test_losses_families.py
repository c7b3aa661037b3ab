"""The families against torch's own criteria."""

import numpy as np
import pytest
import torch
from tools import value_and_gradient
from torch import nn
from torch.nn import functional as F

from sklearn_jointens.losses import (
    Bernoulli,
    BernoulliLabels,
    Categorical,
    CategoricalProbabilities,
    family_of,
    geometric_mean,
    joint_loss,
    joint_terms,
)

LAMS = [0, 0.3, 0.99, 1]
N_CLASSES = 4
Y = torch.tensor([0, 1, 2, 3, 3, 1, 0])
CLASS_WEIGHT = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)


def stack(n_members=3, n_outputs=N_CLASSES, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(
        n_members, len(Y), n_outputs, generator=generator, dtype=torch.float64
    )
    return (3 * logits).to(dtype)


def assert_same(actual, expected):
    for got, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def mean_over_members(criterion, logits, y):
    return torch.stack([criterion(z, y) for z in logits]).mean()


# CrossEntropyLoss


@pytest.fixture(params=[None, CLASS_WEIGHT], ids=["", "weight"])
def class_weight(request):
    return request.param


@pytest.fixture(params=[0.0, 0.1, 1.0])
def label_smoothing(request):
    return request.param


@pytest.fixture(params=[-100, 1], ids=["", "ignore_index"])
def ignore_index(request):
    return request.param


@pytest.mark.parametrize("lam", LAMS)
def test_ignored_rows_equal_removed_rows(class_weight, label_smoothing, lam):
    criterion = nn.CrossEntropyLoss(
        class_weight, ignore_index=1, label_smoothing=label_smoothing
    )
    everything = nn.CrossEntropyLoss(class_weight, label_smoothing=label_smoothing)
    kept = Y != 1
    assert_same(
        value_and_gradient(
            lambda z: joint_loss(z, Y, lam, None, family_of(criterion)), stack()
        ),
        value_and_gradient(
            lambda z: joint_loss(z[:, kept], Y[kept], lam, None, family_of(everything)),
            stack(),
        ),
    )


# NLLLoss, as skorch means it: log(output + eps) before the criterion


@pytest.mark.parametrize("lam", LAMS)
def test_probability_members_train_as_logits_members(class_weight, ignore_index, lam):
    nll = family_of(nn.NLLLoss(class_weight, ignore_index=ignore_index))
    ce = family_of(nn.CrossEntropyLoss(class_weight, ignore_index=ignore_index))
    assert_same(
        value_and_gradient(
            lambda z: joint_loss(z.softmax(2), Y, lam, None, nll), stack()
        ),
        value_and_gradient(lambda z: joint_loss(z, Y, lam, None, ce), stack()),
    )


@pytest.mark.parametrize("lam", LAMS[1:])
def test_mean_of_log_probabilities_is_renormalised(lam):
    """Without it every lam would train as lam = 0."""
    family = CategoricalProbabilities()

    def trap(logits):
        log_proba = logits.log_softmax(2)
        members = mean_over_members(F.nll_loss, log_proba, Y)
        return lam * F.nll_loss(log_proba.mean(0), Y) + (1 - lam) * members

    wrong = value_and_gradient(trap, stack())
    assert_same(
        wrong,
        value_and_gradient(
            lambda z: joint_loss(z.softmax(2), Y, 0, None, family), stack()
        ),
    )
    value, gradient = value_and_gradient(
        lambda z: joint_loss(z.softmax(2), Y, lam, None, family), stack()
    )
    assert value < wrong[0] - 0.1
    assert not torch.allclose(gradient, wrong[1], atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("lam", LAMS)
def test_probabilities_of_zero_and_one_have_a_finite_loss(lam, dtype):
    proba = F.one_hot(torch.stack([Y, Y.flip(0), (Y + 1) % 4]), N_CLASSES).to(dtype)
    value, gradient = value_and_gradient(
        lambda q: joint_loss(q, Y, lam, None, CategoricalProbabilities()), proba
    )
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert gradient.dtype == dtype
    if dtype != torch.float16:  # 1 / eps is beyond float16
        assert gradient.isfinite().all()


# BCEWithLogitsLoss


@pytest.fixture(params=[None, torch.tensor([2.5])], ids=["", "pos_weight"])
def pos_weight(request):
    return request.param


@pytest.fixture(params=[None, torch.tensor([0.4])], ids=["", "weight"])
def bce(request, pos_weight):
    return nn.BCEWithLogitsLoss(request.param, pos_weight=pos_weight)


@pytest.mark.parametrize("lam", LAMS)
def test_one_logit_trains_as_the_difference_of_two(lam):
    y, logits = Y % 2, stack(3, 1)
    assert_same(
        value_and_gradient(lambda z: joint_loss(z, y, lam, None, Bernoulli()), logits),
        value_and_gradient(
            lambda z: joint_loss(torch.cat([torch.zeros_like(z), z], 2), y, lam), logits
        ),
    )


@pytest.mark.parametrize("scale", [0, 1e4, -1e4, 1e30])
@pytest.mark.parametrize("lam", LAMS)
def test_extreme_binary_logits_have_a_finite_loss_and_gradient(bce, lam, scale):
    logits = scale * torch.tensor([1.0, 1, -1, -1, 1, -1, 1]).expand(3, len(Y))
    actual = value_and_gradient(
        lambda z: joint_loss(z, Y % 2, lam, None, family_of(bce)), logits
    )
    assert all(part.isfinite().all() for part in actual)
    expected = mean_over_members(bce, logits, (Y % 2).float())
    torch.testing.assert_close(actual[0], expected)


# Classes


@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("kind", ["ties", "constant", "ordinary", "extreme"])
def test_is_correct_where_argmax_is_the_class(kind, n_classes):
    rng = np.random.default_rng(0)
    logits = {
        "ties": rng.integers(0, 3, (5, 200, n_classes)),
        "constant": np.full((5, 200, n_classes), -7),
        "ordinary": rng.normal(size=(5, 200, n_classes)),
        "extreme": 1e30 * rng.integers(-1, 2, (5, 200, n_classes)),
    }[kind].astype(np.float32)
    y = rng.integers(0, n_classes, 200)
    family = Categorical()
    natural = family.natural(torch.from_numpy(logits))
    correct = family.correct(natural, torch.from_numpy(y))
    assert correct.dtype == torch.bool
    np.testing.assert_array_equal(correct, logits.argmax(2) == y)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_is_correct_where_the_binary_argmax_is_the_class(dtype):
    family = Bernoulli()
    logits = torch.randint(-1, 2, (5, 200), generator=torch.Generator().manual_seed(0))
    natural = family.natural(logits.float())
    y = torch.arange(200) % 2
    proba = family.predicted(natural)
    assert proba.shape == (5, 200, 2)
    correct = family.correct(natural, y.to(dtype))
    np.testing.assert_array_equal(correct, proba.numpy().argmax(2) == y.numpy())


@pytest.mark.parametrize("family", [Categorical(), CategoricalProbabilities()])
def test_proba_is_softmax_for_members_and_ensemble(family):
    proba = stack().softmax(2)
    output = proba if isinstance(family, CategoricalProbabilities) else stack()
    natural = family.natural(output)
    torch.testing.assert_close(family.predicted(natural), proba)
    ensemble = family.predicted(natural.mean(0))
    torch.testing.assert_close(ensemble, geometric_mean(stack()))


def test_binary_proba_is_sigmoid_for_members_and_ensemble():
    logits, family = stack(3, 1), Bernoulli()
    natural = family.natural(logits)
    positive = logits.sigmoid()
    torch.testing.assert_close(
        family.predicted(natural), torch.cat([1 - positive, positive], 2)
    )
    two = torch.cat([torch.zeros_like(logits), logits], 2)
    torch.testing.assert_close(family.predicted(natural.mean(0)), geometric_mean(two))


# check_output

PROBABILITIES = (
    "outputs that are probabilities (rows >= 0 that sum to 1) with criterion=NLLLoss, "
    "as skorch means it; for logits use criterion=CrossEntropyLoss"
)
CLASSES = "outputs of shape (n_samples, n_classes) = (5, 3)"
ONE_LOGIT = (
    "one logit a row, shape (n_samples,) or (n_samples, 1) with n_samples=5, with "
    "criterion=BCEWithLogitsLoss"
)


@pytest.mark.parametrize(
    ("family", "output", "wrong"),
    [
        (Categorical(), torch.zeros(5, 3), None),
        (Categorical(), torch.zeros(5, 2), CLASSES),
        (Categorical(), torch.zeros(4, 3), CLASSES),
        (Categorical(), torch.zeros(5), CLASSES),
        (Categorical(), torch.zeros(5, 3, 1), CLASSES),
        (CategoricalProbabilities(), torch.full((5, 3), 1 / 3), None),
        (CategoricalProbabilities(), torch.full((5, 3), 1 / 3).half(), None),
        (CategoricalProbabilities(), torch.full((5, 3), 1 / 3).bfloat16(), None),
        (CategoricalProbabilities(), torch.full((5, 2), 1 / 2), CLASSES),
        (CategoricalProbabilities(), torch.zeros(5, 3), PROBABILITIES),
        (
            CategoricalProbabilities(),
            torch.tensor([-1.0, 1, 1]).repeat(5, 1),
            PROBABILITIES,
        ),
        (
            CategoricalProbabilities(),
            torch.full((5, 3), 1 / 3).log(),
            PROBABILITIES,
        ),
    ],
)
def test_check_output_of_three_classes(family, output, wrong):
    assert family.check_output(output, 5, 3) == wrong


@pytest.mark.parametrize(
    ("output", "n_classes", "wrong"),
    [
        (torch.zeros(5), 2, None),
        (torch.zeros(5, 1), 2, None),
        (torch.zeros(5, 2), 2, ONE_LOGIT),
        (torch.zeros(4), 2, ONE_LOGIT),
        (
            torch.zeros(5),
            3,
            "outputs for 3 classes; criterion=BCEWithLogitsLoss is for two",
        ),
    ],
)
def test_check_output_of_one_logit(output, n_classes, wrong):
    assert Bernoulli().check_output(output, 5, n_classes) == wrong


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 17, 100, 1000])
def test_log_probabilities_are_finite_where_probabilities_are_not(size, dtype):
    """They were the logarithm of a probability that had become 0: -inf."""
    logits = torch.linspace(-size, size, 7, dtype=dtype)
    exact = logits.double()
    binary = torch.stack([F.logsigmoid(-exact), F.logsigmoid(exact)], 1)
    natural = Bernoulli().natural(logits[None, :, None])
    found = Bernoulli().log_proba(natural)[0]
    tiny = torch.finfo(dtype).tiny
    torch.testing.assert_close(found, binary.to(dtype), rtol=1e-6, atol=tiny)

    of_classes = torch.stack([logits, -logits, logits / 2], 1)
    for family in (Categorical(), CategoricalProbabilities()):
        natural = Categorical().natural(of_classes[None])
        found = family.log_proba(natural)[0]
        wanted = of_classes.double().log_softmax(1).to(dtype)
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=eps)
        assert found.isfinite().all()


# What a net predicts in a way of its own


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("transforms", [False, True])
def test_a_threshold_decides_between_two_classes(threshold, transforms):
    nonlinearity = two_columns if transforms else None
    family = Bernoulli(weight=torch.tensor([0.4])).with_nonlinearity(
        nonlinearity, threshold
    )
    assert family.transforms_members == transforms
    logits, y = stack(3, 1), Y % 2
    natural = family.natural(logits)
    positive = logits[..., 0].sigmoid()
    torch.testing.assert_close(family.predicted(natural)[..., 1], positive)
    decided = positive > threshold
    assert torch.equal(family.decide(family.predicted(natural)) > 0, decided)
    assert torch.equal(family.correct(natural, y), decided == (y > 0))


def two_columns(logits):
    positive = logits.sigmoid()
    return torch.stack([1 - positive, positive], 1)


def test_a_threshold_leaves_the_loss_as_it_is(bce):
    family, logits = family_of(bce), stack(3, 1)
    other = family.with_nonlinearity(None, 0.9)
    expected = joint_loss(logits, Y % 2, 0.3, None, family)
    assert joint_loss(logits, Y % 2, 0.3, None, other) == expected
    assert family.with_nonlinearity(None) is family


@pytest.mark.parametrize("own_weights", [False, True])
@pytest.mark.parametrize(
    ("family", "nonlinearity", "plain"),
    [
        (Categorical(), lambda z: (z * 2).softmax(-1), CategoricalProbabilities()),
        (BernoulliLabels(), lambda z: (z * 2).sigmoid(), None),
    ],
    ids=["classes", "labels"],
)
def test_what_is_predicted_is_of_transformed_members(
    family, nonlinearity, plain, own_weights
):
    """The loss is of the outputs as they are."""
    predicting, outputs = family.with_nonlinearity(nonlinearity), stack()
    y = Y[None] if plain else F.one_hot(Y, N_CLASSES)[None]
    weight = torch.ones(1, 3, len(Y), dtype=torch.float64) if own_weights else None
    terms = joint_terms(outputs, y, 0.3, weight, family, predicting=predicting)
    plainly = joint_terms(outputs, y, 0.3, weight, family, predicting=family)
    for found, expected in zip(terms[:4], plainly[:4], strict=True):
        assert torch.equal(found, expected)
    # Twice the logits, whose mean is the logarithm of the geometric mean.
    expected = nonlinearity(outputs.mean(0))
    torch.testing.assert_close(terms.ensemble_output[0], expected)
    natural = predicting.natural(outputs)
    torch.testing.assert_close(predicting.predicted(natural), nonlinearity(outputs))
    torch.testing.assert_close(predicting.predicted(natural.mean(0)), expected)
    assert torch.equal(terms.member_correct[0], predicting.correct(natural, y[0]))
    assert torch.equal(terms.member_correct, plainly.member_correct)


@pytest.mark.parametrize(
    ("family", "nonlinearity", "rule"),
    [
        (Categorical(), lambda z: z.softmax(-1), None),
        (BernoulliLabels(), torch.sigmoid, None),
        (
            Categorical(),
            torch.sigmoid,
            "probabilities (rows >= 0 that sum to 1) of shape (n_samples, n_classes) = "
            "(5, 3)",
        ),
        (
            Categorical(),
            torch.Tensor.tolist,
            "probabilities (rows >= 0 that sum to 1) of shape (n_samples, n_classes) = "
            "(5, 3)",
        ),
        (
            BernoulliLabels(),
            lambda z: z + 2,
            "probabilities (from 0 to 1) of shape (n_samples, n_labels) = (5, 3)",
        ),
        (
            BernoulliLabels(),
            lambda z: z.sigmoid()[:, :2],
            "probabilities (from 0 to 1) of shape (n_samples, n_labels) = (5, 3)",
        ),
    ],
)
def test_check_output_looks_at_the_probabilities_that_are_made(
    family, nonlinearity, rule
):
    predicting = family.with_nonlinearity(nonlinearity)
    output = torch.linspace(-1, 1, 15).reshape(5, 3)
    assert predicting.check_output(output, 5, 3) == rule


def test_probabilities_are_suspicious_where_logits_are_due():
    proba = stack()[0].softmax(1)
    assert "puts out probabilities" in Categorical().suspect(proba)
    assert Categorical().suspect(stack()[0]) is None
    assert CategoricalProbabilities().suspect(proba) is None


def test_labels_of_extreme_probabilities_have_a_finite_geometric_mean():
    family = BernoulliLabels().with_nonlinearity(lambda output: output)
    proba = torch.tensor([[[0.0, 1.0]], [[0.0, 1.0]]])
    found = family.predicted(family.natural(proba).mean(0))
    torch.testing.assert_close(found, proba[0], rtol=0, atol=1e-6)

"""The families against torch's own criteria."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sklearn_jointens.losses import (
    Bernoulli,
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


def value_and_gradient(loss, logits):
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


def assert_same(actual, expected):
    for got, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def raises_whole(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


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


@pytest.fixture
def cross_entropy(class_weight, label_smoothing, ignore_index):
    return nn.CrossEntropyLoss(
        class_weight, ignore_index=ignore_index, label_smoothing=label_smoothing
    )


@pytest.mark.parametrize("lam", LAMS)
def test_one_member_has_its_own_cross_entropy(cross_entropy, lam):
    family, (logits,) = family_of(cross_entropy), stack(1)
    assert_same(
        value_and_gradient(lambda z: joint_loss(z[None], Y, lam, None, family), logits),
        value_and_gradient(lambda z: cross_entropy(z, Y), logits),
    )


@pytest.mark.parametrize("lam", LAMS)
def test_joint_loss_mixes_the_cross_entropies_of_ensemble_and_members(
    cross_entropy, lam
):
    family = family_of(cross_entropy)

    def plain(logits):
        members = mean_over_members(cross_entropy, logits, Y)
        return lam * cross_entropy(logits.mean(0), Y) + (1 - lam) * members

    assert_same(
        value_and_gradient(lambda z: joint_loss(z, Y, lam, None, family), stack()),
        value_and_gradient(plain, stack()),
    )


@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("by_member", [False, True])
def test_integer_weights_equal_repeated_rows_under_any_cross_entropy(
    cross_entropy, by_member, lam
):
    counts = torch.tensor([2, 1, 0, 1, 3, 1, 1])
    rows = torch.arange(len(Y)).repeat_interleave(counts)
    weight = counts.expand(3, -1) if by_member else counts
    family = family_of(cross_entropy)
    assert_same(
        value_and_gradient(lambda z: joint_loss(z, Y, lam, weight, family), stack()),
        value_and_gradient(
            lambda z: joint_loss(z[:, rows], Y[rows], lam, None, family), stack()
        ),
    )


def test_diversity_is_never_negative_under_any_cross_entropy(cross_entropy):
    natural = stack().transpose(1, 2)
    generator = torch.Generator().manual_seed(1)
    for weight in (None, *torch.rand(20, 3, len(Y), generator=generator)):
        terms = joint_terms(natural, Y, 0.3, weight, family_of(cross_entropy))
        assert terms.diversity > 0
        eq_5 = terms.member_losses.mean() - 0.3 * terms.diversity
        torch.testing.assert_close(terms.loss, eq_5)


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


def test_gradient_equals_finite_differences_under_any_cross_entropy(cross_entropy):
    family = family_of(cross_entropy)
    weight = torch.arange(3 * len(Y)).reshape(3, -1)
    logits = stack().requires_grad_()
    for w in (None, weight[0] + 1, weight):
        assert torch.autograd.gradcheck(
            lambda z, w=w: joint_loss(z, Y, 0.3, w, family), logits
        )


# NLLLoss, as skorch means it: log(output + eps) before the criterion


def skorch_nll(proba, y, criterion):
    return criterion((proba + torch.finfo(proba.dtype).eps).log(), y)


@pytest.mark.parametrize("lam", LAMS)
def test_one_probability_member_has_skorchs_nll(class_weight, ignore_index, lam):
    criterion = nn.NLLLoss(class_weight, ignore_index=ignore_index)
    family, (logits,) = family_of(criterion), stack(1)
    assert_same(
        value_and_gradient(
            lambda z: joint_loss(z.softmax(1)[None], Y, lam, None, family), logits
        ),
        value_and_gradient(lambda z: skorch_nll(z.softmax(1), Y, criterion), logits),
    )


def test_lam_0_gives_probability_members_skorchs_nll(class_weight, ignore_index):
    criterion = nn.NLLLoss(class_weight, ignore_index=ignore_index)

    def plain(logits):
        return torch.stack(
            [skorch_nll(z.softmax(1), Y, criterion) for z in logits]
        ).mean()

    family = family_of(criterion)
    assert_same(
        value_and_gradient(
            lambda z: joint_loss(z.softmax(2), Y, 0, None, family), stack()
        ),
        value_and_gradient(plain, stack()),
    )


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


@pytest.mark.parametrize("shape", [(), (1,)], ids=["(M, B)", "(M, B, 1)"])
@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("lam", LAMS)
def test_joint_loss_mixes_the_binary_cross_entropies(bce, lam, n_members, shape):
    logits = stack(n_members, 1).reshape(n_members, len(Y), *shape)
    y = Y % 2
    observed = y.double().reshape(len(y), *shape)

    def plain(logits):
        members = mean_over_members(bce, logits, observed)
        return lam * bce(logits.mean(0), observed) + (1 - lam) * members

    actual = value_and_gradient(
        lambda z: joint_loss(z, y, lam, None, family_of(bce)), logits
    )
    assert actual[1].shape == logits.shape
    assert_same(actual, value_and_gradient(plain, logits))


@pytest.mark.parametrize("by_member", [False, True])
@pytest.mark.parametrize("lam", LAMS)
def test_integer_weights_equal_repeated_rows_under_binary_cross_entropy(
    bce, lam, by_member
):
    counts = torch.tensor([2, 1, 0, 1, 3, 1, 1])
    rows = torch.arange(len(Y)).repeat_interleave(counts)
    weight = counts.expand(3, -1) if by_member else counts
    family, y = family_of(bce), Y % 2
    assert_same(
        value_and_gradient(
            lambda z: joint_loss(z, y, lam, weight, family), stack(3, 1)
        ),
        value_and_gradient(
            lambda z: joint_loss(z[:, rows], y[rows], lam, None, family), stack(3, 1)
        ),
    )


def test_gradient_equals_finite_differences_under_binary_cross_entropy(bce):
    family, logits = family_of(bce), stack(3, 1).requires_grad_()
    weight = torch.arange(3 * len(Y)).reshape(3, -1)
    for w in (None, weight[0] + 1, weight):
        assert torch.autograd.gradcheck(
            lambda z, w=w: joint_loss(z, Y % 2, 0.3, w, family), logits
        )


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
    correct = family.is_correct(natural, torch.from_numpy(y))
    assert correct.dtype == torch.bool
    np.testing.assert_array_equal(correct, logits.argmax(2) == y)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_is_correct_where_the_binary_argmax_is_the_class(dtype):
    family = Bernoulli()
    logits = torch.randint(-1, 2, (5, 200), generator=torch.Generator().manual_seed(0))
    natural = family.natural(logits.float())
    y = torch.arange(200) % 2
    proba = family.proba(natural)
    assert proba.shape == (5, 200, 2)
    correct = family.is_correct(natural, y.to(dtype))
    np.testing.assert_array_equal(correct, proba.numpy().argmax(2) == y.numpy())


@pytest.mark.parametrize("family", [Categorical(), CategoricalProbabilities()])
def test_proba_is_softmax_for_members_and_ensemble(family):
    proba = stack().softmax(2)
    output = proba if isinstance(family, CategoricalProbabilities) else stack()
    natural = family.natural(output)
    torch.testing.assert_close(family.proba(natural), proba)
    ensemble = family.proba(natural.mean(0))
    torch.testing.assert_close(ensemble, geometric_mean(stack()))


def test_binary_proba_is_sigmoid_for_members_and_ensemble():
    logits, family = stack(3, 1), Bernoulli()
    natural = family.natural(logits)
    positive = logits.sigmoid()
    torch.testing.assert_close(
        family.proba(natural), torch.cat([1 - positive, positive], 2)
    )
    two = torch.cat([torch.zeros_like(logits), logits], 2)
    torch.testing.assert_close(family.proba(natural.mean(0)), geometric_mean(two))


@pytest.mark.parametrize(
    ("family", "output"),
    [
        (Categorical(), stack()),
        (CategoricalProbabilities(), stack().softmax(2)),
        (Bernoulli(), stack(3, 1)[..., 0]),
    ],
    ids=["logits", "probabilities", "one logit"],
)
def test_output_is_what_a_member_with_these_natural_parameters_puts_out(family, output):
    natural = family.natural(output)
    for member, put_out in zip(natural, output, strict=True):
        torch.testing.assert_close(family.output(member), put_out)


# family_of


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
    ],
)
@pytest.mark.parametrize("wrap", [lambda module: module, _Compiled])
def test_family_of_a_known_criterion(wrap, criterion, family):
    assert type(family_of(wrap(criterion))) is family


@pytest.mark.parametrize("criterion", [nn.MSELoss(), _Scaled(), _Compiled(_Scaled())])
def test_criterion_without_a_known_family_raises(criterion):
    is_mse = isinstance(criterion, nn.MSELoss)
    got = "MSELoss" if is_mse else "_Scaled with a 'forward' of its own"
    message = (
        "The 'criterion' parameter of the member must be CrossEntropyLoss, NLLLoss "
        "(with a module that puts out probabilities) or BCEWithLogitsLoss, whose "
        f"losses can be joined. Got {got} instead."
    )
    with raises_whole(ValueError, message):
        family_of(criterion)


@pytest.mark.parametrize(
    "criterion", [nn.CrossEntropyLoss, nn.NLLLoss, nn.BCEWithLogitsLoss]
)
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_criterion_with_another_reduction_raises(criterion, reduction):
    message = (
        "The 'criterion__reduction' parameter of the member must be 'mean'. "
        f"Got '{reduction}' instead."
    )
    with raises_whole(ValueError, message):
        family_of(criterion(reduction=reduction))


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

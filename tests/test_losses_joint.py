"""The joint loss against plain autograd, and the identities of its mathematics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tools import raises_whole, value_and_gradient
from torch.distributions import Categorical as CategoricalDistribution
from torch.distributions import kl_divergence
from torch.nn import functional as F

from sklearn_jointens.losses import (
    diversity,
    geometric_mean,
    joint_loss,
    joint_terms,
)

LAMS = [0, 0.3, 0.5, 0.99, 1]
HALVES = [torch.float16, torch.bfloat16]


def problem(n_members=3, n_classes=4, n_samples=6, dtype=torch.float64, seed=0):
    """Random logits (n_members, n_samples, n_classes) and classes."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(
        n_members, n_samples, n_classes, generator=generator, dtype=torch.float64
    )
    y = torch.randint(n_classes, (n_samples,), generator=generator)
    return (3 * logits).to(dtype), y


def weights(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64) + 0.1


def bootstrap(n_members=3, n_samples=6):
    """Counts (n_members, n_samples): rows 0 seen by one member, 1 by none."""
    counts = torch.tensor([[2, 0, 1, 0, 3, 1], [0, 0, 2, 2, 0, 1], [0, 0, 0, 1, 4, 1]])
    return counts[:n_members, :n_samples].double()


def batch_innermost(logits):
    """The same values, the samples contiguous in memory."""
    return logits.transpose(1, 2).contiguous().transpose(1, 2)


def nll(logits, y):
    return F.cross_entropy(logits, y, reduction="none")


def reference(logits, y, lam, weight=None):
    """Eq. 4 word for word, for autograd to differentiate."""
    if weight is None:
        weight = logits.new_ones(logits.shape[1])
    share = weight.to(logits).expand(logits.shape[:2])
    share = share / share.sum(1, keepdim=True)
    seen = share.sum(0)
    mean = torch.stack(
        [
            sum(s * z for s, z in zip(share[:, i], logits[:, i], strict=True)) / seen[i]
            if seen[i] > 0
            else logits[:, i].mean(0)
            for i in range(len(y))
        ]
    )
    ensemble = (share.mean(0) * nll(mean, y)).sum()
    members = [(s * nll(z, y)).sum() for s, z in zip(share, logits, strict=True)]
    return lam * ensemble + (1 - lam) * torch.stack(members).mean()


def terms_of(logits, y, lam, weight=None):
    """The terms of one ensemble."""
    return joint_terms(logits, y[None], lam, None if weight is None else weight[None])


def assert_same(actual, expected):
    """Values and gradients equal to rounding."""
    exact = actual[0].dtype == torch.float64
    rtol, atol = (1e-10, 1e-12) if exact else (2e-5, 2e-7)
    for got, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=rtol, atol=atol)


# Eq. 4 and its gradient


@pytest.mark.quick(48)
@pytest.mark.parametrize("layout", [torch.Tensor.contiguous, batch_innermost])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_members", [1, 2, 7])
@pytest.mark.parametrize("n_classes", [2, 3, 10, 1000])
@pytest.mark.parametrize("lam", LAMS)
def test_joint_loss_equals_autograd(lam, n_classes, n_members, dtype, layout, device):
    logits, y = problem(n_members, n_classes, dtype=dtype)
    logits, y = layout(logits.to(device)), y.to(device)

    def plain(logits):
        ensemble = F.cross_entropy(logits.mean(0), y)
        members = torch.stack([F.cross_entropy(z, y) for z in logits]).mean()
        return lam * ensemble + (1 - lam) * members

    actual = value_and_gradient(lambda z: joint_loss(z, y, lam), logits)
    assert actual[1].shape == logits.shape
    assert_same(actual, value_and_gradient(plain, logits))


@pytest.mark.parametrize("weight", [weights(6), weights(3, 6), bootstrap()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lam", LAMS)
def test_weighted_joint_loss_equals_autograd(lam, dtype, weight, device):
    logits, y = problem(dtype=dtype)
    logits, y, weight = logits.to(device), y.to(device), weight.to(device)
    assert_same(
        value_and_gradient(lambda z: joint_loss(z, y, lam, weight), logits),
        value_and_gradient(lambda z: reference(z, y, lam, weight), logits),
    )


@pytest.mark.quick(8)
@pytest.mark.core
@pytest.mark.parametrize("layout", [torch.Tensor.contiguous, batch_innermost])
@pytest.mark.parametrize("weight", [None, weights(6), weights(3, 6), bootstrap()])
@pytest.mark.parametrize("lam", [0, 0.3, 1])
def test_gradient_equals_finite_differences(lam, weight, layout):
    logits, y = problem()
    logits = layout(logits).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: joint_loss(z, y, lam, weight), logits)


@pytest.mark.parametrize("lam", LAMS)
def test_gradient_is_the_closed_form(lam):
    logits, y = problem()
    n_members, n_samples, n_classes = logits.shape
    _, gradient = value_and_gradient(lambda z: joint_loss(z, y, lam), logits)
    observed = F.one_hot(y, n_classes)
    ensemble, members = geometric_mean(logits), logits.softmax(2)
    closed = lam * (ensemble - observed) + (1 - lam) * (members - observed)
    torch.testing.assert_close(gradient, closed / (n_members * n_samples))


def test_lam_0_gives_each_member_its_own_gradient_over_n_members():
    logits, y = problem()
    _, gradient = value_and_gradient(lambda z: joint_loss(z, y, 0), logits)
    for z, got in zip(logits, gradient, strict=True):
        _, alone = value_and_gradient(lambda z: F.cross_entropy(z, y), z)
        torch.testing.assert_close(got, alone / len(logits))


def test_lam_1_gives_every_member_the_same_gradient():
    logits, y = problem()
    _, gradient = value_and_gradient(lambda z: joint_loss(z, y, 1), logits)
    assert (gradient == gradient[0]).all()
    assert gradient[0].any()


@pytest.mark.parametrize("weight", [None, weights(6), weights(1, 6)])
def test_one_member_ignores_lam(weight):
    logits, y = problem(n_members=1)
    first = value_and_gradient(lambda z: joint_loss(z, y, 0, weight), logits)
    for lam in LAMS[1:]:
        assert_same(
            value_and_gradient(
                lambda z, lam=lam: joint_loss(z, y, lam, weight), logits
            ),
            first,
        )


# Eq. 5 and diversity

stacks = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-50, 50))
)


@settings(deadline=None, max_examples=60)
@given(array=stacks, lam=st.floats(0, 1), data=st.data())
def test_eq_4_equals_eq_5_and_diversity_is_never_negative(array, lam, data):
    logits = torch.from_numpy(array)
    n_members, n_samples, n_classes = logits.shape
    y = data.draw(arrays(np.int64, n_samples, elements=st.integers(0, n_classes - 1)))
    counts = arrays(np.float64, (n_members, n_samples), elements=st.integers(0, 3))
    weight = torch.from_numpy(data.draw(counts)) if data.draw(st.booleans()) else None
    terms = terms_of(logits, torch.from_numpy(y), lam, weight)
    mean_member = terms.member_losses.mean()
    (ensemble,), (spread,) = terms.ensemble_losses, terms.diversity
    eq_4 = lam * ensemble + (1 - lam) * mean_member
    for value in (eq_4, mean_member - lam * spread, ensemble + (1 - lam) * spread):
        torch.testing.assert_close(terms.loss, value, rtol=1e-9, atol=1e-9)
    assert spread >= -1e-12
    assert (diversity(logits, reduction="none") >= 0).all()
    if weight is None:
        torch.testing.assert_close(spread, diversity(logits), rtol=1e-9, atol=1e-9)


def test_diversity_is_the_mean_divergence_from_the_ensemble():
    logits, y = problem()
    ensemble = CategoricalDistribution(logits=logits.mean(0))
    divergence = [
        kl_divergence(ensemble, CategoricalDistribution(logits=z)) for z in logits
    ]
    rowwise = torch.stack(divergence).mean(0)
    torch.testing.assert_close(diversity(logits, reduction="none"), rowwise)
    torch.testing.assert_close(diversity(logits), rowwise.mean())
    terms = terms_of(logits, y, 0.3)
    torch.testing.assert_close(terms.diversity[0], rowwise.mean())


def test_diversity_is_what_the_mean_member_loses_whatever_the_labels():
    logits, _ = problem()
    for label in range(logits.shape[2]):
        y = torch.full((logits.shape[1],), label)
        members = torch.stack([nll(z, y) for z in logits]).mean(0)
        difference = members - nll(logits.mean(0), y)
        torch.testing.assert_close(diversity(logits, reduction="none"), difference)


def test_identical_members_have_no_diversity():
    logits, y = problem(n_members=1)
    logits = logits.repeat(5, 1, 1)
    assert diversity(logits) == pytest.approx(0, abs=1e-15)
    spread = terms_of(logits, y, 0.5).diversity
    assert spread == pytest.approx(0, abs=1e-14)


def test_terms_are_the_criterion_of_the_ensemble_and_of_each_member():
    logits, y = problem()
    terms = terms_of(logits, y, 0.3)
    torch.testing.assert_close(terms.ensemble_output[0], logits.mean(0))
    torch.testing.assert_close(
        terms.ensemble_losses[0], F.cross_entropy(logits.mean(0), y)
    )
    alone = torch.stack([F.cross_entropy(z, y) for z in logits])
    torch.testing.assert_close(terms.member_losses[0], alone)


def test_only_the_loss_carries_a_gradient():
    logits, y = problem()
    terms = terms_of(logits.requires_grad_(), y, 0.3)
    parts = [part for part in terms if part is not None]
    assert [part.requires_grad for part in parts] == [True, *[False] * 5]


# Row weights


@pytest.mark.parametrize("lam", LAMS)
def test_integer_weights_equal_repeated_rows(lam):
    logits, y = problem()
    counts = torch.tensor([1, 3, 0, 2, 1, 4])
    rows = torch.arange(6).repeat_interleave(counts)
    assert_same(
        value_and_gradient(lambda z: joint_loss(z, y, lam, counts.double()), logits),
        value_and_gradient(lambda z: joint_loss(z[:, rows], y[rows], lam), logits),
    )


@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("shape", [(6,), (3, 6)])
def test_zero_weight_equals_removal(shape, lam):
    logits, y = problem()
    weight, kept = weights(*shape), torch.tensor([0, 2, 3, 5])
    weight[..., [1, 4]] = 0
    assert_same(
        value_and_gradient(lambda z: joint_loss(z, y, lam, weight), logits),
        value_and_gradient(
            lambda z: joint_loss(z[:, kept], y[kept], lam, weight[..., kept]), logits
        ),
    )


@pytest.mark.parametrize("scale", [1e-6, 7, 1e6])
@pytest.mark.parametrize("weight", [weights(6), weights(3, 6), bootstrap()])
def test_scale_of_weights_does_not_matter(weight, scale):
    logits, y = problem()
    assert_same(
        value_and_gradient(lambda z: joint_loss(z, y, 0.3, scale * weight), logits),
        value_and_gradient(lambda z: joint_loss(z, y, 0.3, weight), logits),
    )


@pytest.mark.parametrize("weight", [weights(6), weights(3, 6)])
@pytest.mark.parametrize("scale", [0.01, 30])
def test_scale_of_one_members_weights_does_not_matter(weight, scale):
    """A member trains as it would alone with its weights."""
    logits, y = problem()
    factor = torch.tensor([[1.0], [scale], [1.0]])
    assert_same(
        value_and_gradient(lambda z: joint_loss(z, y, 0.3, factor * weight), logits),
        value_and_gradient(
            lambda z: joint_loss(z, y, 0.3, weight.expand(3, 6)), logits
        ),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(6,), (3, 6)])
@pytest.mark.parametrize("lam", LAMS)
def test_all_zero_weights_give_loss_zero_and_gradient_zero(lam, shape, dtype):
    logits, y = problem(dtype=dtype)
    weight = torch.zeros(shape, dtype=dtype)
    value, gradient = value_and_gradient(
        lambda z: joint_loss(z, y, lam, weight), logits
    )
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("lam", LAMS)
def test_the_same_weights_for_every_member_equal_one_row_of_weights(lam):
    logits, y = problem()
    weight = weights(6)
    assert_same(
        value_and_gradient(
            lambda z: joint_loss(z, y, lam, weight.expand(3, 6)), logits
        ),
        value_and_gradient(lambda z: joint_loss(z, y, lam, weight), logits),
    )


@pytest.mark.parametrize("lam", LAMS)
def test_no_member_learns_from_its_rows_of_weight_zero(lam):
    logits, y = problem()
    weight = bootstrap()
    _, gradient = value_and_gradient(lambda z: joint_loss(z, y, lam, weight), logits)
    learns = gradient.abs().sum(2) > 0
    assert (learns == (weight > 0)).all()


def test_lam_0_with_weights_by_member_equals_separately_weighted_members():
    logits, y = problem()
    weight = bootstrap()
    _, gradient = value_and_gradient(lambda z: joint_loss(z, y, 0, weight), logits)
    losses = terms_of(logits, y, 0, weight).member_losses[0]
    for z, w, loss, got in zip(logits, weight, losses, gradient, strict=True):
        rows = torch.arange(6).repeat_interleave(w.long())
        value, alone = value_and_gradient(
            lambda z, rows=rows: F.cross_entropy(z[rows], y[rows]), z
        )
        torch.testing.assert_close(loss, value)
        torch.testing.assert_close(got, alone / len(logits))


def test_ensemble_of_a_row_is_of_the_members_that_see_it_or_of_all_if_none_does():
    logits, y = problem()
    output = terms_of(logits, y, 0.3, bootstrap()).ensemble_output[0]
    torch.testing.assert_close(output[0], logits[0, 0])
    torch.testing.assert_close(output[1], logits[:, 1].mean(0))


@pytest.mark.parametrize("lam", LAMS)
def test_a_member_without_any_weight_leaves_the_ensemble_to_the_others(lam):
    logits, y = problem()
    weight = torch.ones(3, 6, dtype=torch.float64)
    weight[1] = 0
    terms = terms_of(logits, y, lam, weight)
    torch.testing.assert_close(terms.ensemble_output[0], logits[[0, 2]].mean(0))
    assert terms.member_losses[0, 1] == 0
    value, gradient = value_and_gradient(
        lambda z: joint_loss(z, y, lam, weight), logits
    )
    others = joint_loss(logits[[0, 2]], y, lam)
    torch.testing.assert_close(value, others * 2 / 3)
    assert (gradient[1] == 0).all()


# Precision

EXTREME = {
    "1e4": torch.full((3, 4, 5), 1e4),
    "-1e4": torch.full((3, 4, 5), -1e4),
    "1e30": torch.full((3, 4, 5), 1e30),
    "zeros": torch.zeros(3, 4, 5),
    "one-hot": F.one_hot(torch.arange(12).reshape(3, 4) % 5, 5).float(),
    "1e4 one-hot": 1e4 * F.one_hot(torch.arange(12).reshape(3, 4) % 5, 5).float(),
    "1e30 one-hot": 1e30 * F.one_hot(torch.arange(12).reshape(3, 4) % 5, 5).float(),
    "1e30 apart": 1e30 * torch.tensor([-1.0, 1, 0, 1, -1]).expand(3, 4, 5),
}


@pytest.mark.parametrize("logits", EXTREME.values(), ids=EXTREME)
@pytest.mark.parametrize("weight", [None, weights(4), weights(3, 4)])
@pytest.mark.parametrize("lam", LAMS)
def test_extreme_logits_have_a_finite_loss_and_gradient(lam, weight, logits):
    y = torch.tensor([0, 1, 2, 4])
    actual = value_and_gradient(lambda z: joint_loss(z, y, lam, weight), logits)
    expected = value_and_gradient(
        lambda z: reference(z, y, lam, weight), logits.double()
    )
    assert all(part.isfinite().all() for part in actual)
    # Rounding the logits alone changes the loss by as much as this.
    ulp = torch.finfo(logits.dtype).eps * logits.abs().max().item()
    for got, wanted, atol in zip(actual, expected, (1e-6 + ulp, 2e-5), strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=atol)
    assert diversity(logits).isfinite()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("weight", [None, weights(6), weights(3, 6)])
def test_half_precision_is_computed_in_float32(weight, dtype):
    logits, y = problem(dtype=dtype)
    value, gradient = value_and_gradient(
        lambda z: joint_loss(z, y, 0.3, weight), logits
    )
    exact, exact_gradient = value_and_gradient(
        lambda z: joint_loss(z, y, 0.3, weight), logits.float()
    )
    assert value.dtype == torch.float32
    assert value == exact
    assert gradient.dtype == dtype
    assert (gradient == exact_gradient.to(dtype)).all()


@pytest.mark.parametrize("weight", [None, weights(6), weights(3, 6), bootstrap()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(dtype, weight):
    """The mean over the members that see a row ran in bfloat16 under autocast."""
    logits, y = problem(dtype=dtype)

    def loss(z):
        return joint_loss(z, y, 0.7, weight)

    value, gradient = value_and_gradient(loss, logits)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under, under_gradient = value_and_gradient(loss, logits)
        spread = diversity(logits)
        proba = geometric_mean(logits)
    assert under.dtype == spread.dtype == proba.dtype == torch.float32
    assert under == value
    assert under_gradient.dtype == dtype
    assert (under_gradient == gradient).all()
    assert spread == diversity(logits)
    assert (proba == geometric_mean(logits)).all()


def test_members_under_autocast_get_gradients_in_their_own_dtype():
    _, y = problem()
    member = torch.nn.Linear(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = member(torch.ones(6, 5)).expand(3, 6, 4)
        loss = joint_loss(logits, y, 0.7)
    assert logits.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    loss.backward()
    assert member.weight.grad.dtype == torch.float32
    assert member.weight.grad.isfinite().all()


# The graph


@pytest.mark.parametrize("scale", [-2.0, 0.0, 1024.0])
def test_backward_is_linear_in_the_gradient_of_the_loss(scale):
    logits, y = problem()
    _, gradient = value_and_gradient(lambda z: joint_loss(z, y, 0.3), logits)
    _, scaled = value_and_gradient(lambda z: scale * joint_loss(z, y, 0.3), logits)
    torch.testing.assert_close(scaled, scale * gradient)


def test_backward_through_a_kept_graph_adds_the_same_gradient():
    logits, y = problem()
    logits.requires_grad_()
    loss = joint_loss(logits, y, 0.3)
    loss.backward(retain_graph=True)
    once = logits.grad.clone()
    loss.backward()
    torch.testing.assert_close(logits.grad, 2 * once)


def test_second_derivatives_raise():
    """Only those through the loss's own gradient did; the others passed as zero."""
    logits, y = problem()
    loss = joint_loss(logits.requires_grad_(), y, 0.3)
    message = (
        "The joint loss has no second derivative. Call backward or "
        "torch.autograd.grad without create_graph=True."
    )
    with raises_whole(RuntimeError, message):
        torch.autograd.grad(loss, logits, create_graph=True)


@pytest.mark.parametrize("layout", [torch.Tensor.contiguous, batch_innermost])
@pytest.mark.parametrize("n_members", [1, 3])
def test_logits_and_weights_are_left_as_they_are(n_members, layout):
    logits, y = problem(n_members)
    logits, weight = layout(logits), bootstrap(n_members)
    before = [part.clone() for part in (logits, y, weight)]
    versions = [part._version for part in (logits, y, weight)]
    joint_loss(logits.requires_grad_(), y, 0.3, weight).backward()
    with torch.no_grad():
        for part, was in zip((logits, y, weight), before, strict=True):
            assert (part == was).all()
    assert [part._version for part in (logits, y, weight)] == versions


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("weight", [None, weights(6), weights(3, 6)])
def test_value_without_gradients_is_the_same(weight, mode):
    logits, y = problem()
    loss = joint_loss(logits.clone().requires_grad_(), y, 0.3, weight)
    with mode():
        value = joint_loss(logits, y, 0.3, weight)
    assert not value.requires_grad
    assert value == loss


# Parameters


@pytest.mark.parametrize("lam", [-0.1, 1.5, float("nan"), float("inf")])
def test_lam_out_of_range_raises(lam):
    logits, y = problem()
    message = (
        "The 'lam' parameter of joint_loss must be a float in the range [0.0, 1.0]. "
        f"Got {lam} instead."
    )
    with raises_whole(ValueError, message):
        joint_loss(logits, y, lam)


@pytest.mark.parametrize("shape", [(6,), (6, 4), (3, 6, 4, 1)])
def test_logits_of_another_number_of_dimensions_raise(shape):
    message = (
        "The 'logits' parameter of joint_loss must have the shape (n_members, "
        f"n_samples, n_classes). Got {shape} instead."
    )
    with raises_whole(ValueError, message):
        joint_loss(torch.zeros(shape), torch.zeros(6).long(), 0.5)


@pytest.mark.parametrize("shape", [(1,), (5,), (6, 1)])
def test_targets_of_another_shape_raise(shape):
    """One target used to stand for all rows."""
    logits, _ = problem()
    message = (
        "The 'target' parameter of joint_loss must have the shape (n_samples,) = "
        f"(6,). Got {shape} instead."
    )
    with raises_whole(ValueError, message):
        joint_loss(logits, torch.zeros(shape).long(), 0.5)


@pytest.mark.parametrize("shape", [(1,), (3,), (3, 1), (1, 6), (6, 3)])
def test_weights_of_another_shape_raise(shape):
    """Weights (n_members, 1) used to turn the mean over rows into a sum."""
    logits, y = problem()
    message = (
        "The 'weight' parameter of joint_loss must have the shape (n_samples,) = "
        f"(6,) or (n_members, n_samples) = (3, 6). Got {shape} instead."
    )
    with raises_whole(ValueError, message):
        joint_loss(logits, y, 0.5, torch.ones(shape))

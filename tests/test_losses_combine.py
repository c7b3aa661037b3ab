"""The combiner and diversity: what they are, and what does not change them."""

import re

import pytest
import torch
from torch.nn import functional as F

from sklearn_jointens.losses import diversity, geometric_mean

N_CLASSES = [2, 3, 10, 1000]


def stack(n_classes=4, n_members=5, n_samples=6, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shape = (n_members, n_samples, n_classes)
    return (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


@pytest.mark.parametrize("n_classes", N_CLASSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_geometric_mean_is_the_normalised_root_of_the_product(dtype, n_classes, device):
    logits = stack(n_classes, dtype=dtype).to(device)
    root = logits.double().softmax(2).prod(0) ** (1 / len(logits))
    proba = geometric_mean(logits)
    assert proba.dtype == dtype
    torch.testing.assert_close(proba, (root / root.sum(1, keepdim=True)).to(dtype))
    torch.testing.assert_close(proba.sum(1), torch.ones_like(proba[:, 0]))


def test_geometric_mean_minimises_the_mean_divergence_from_the_members():
    """Webb et al. (2020), eq. 3: no other distribution is closer on average."""
    logits = stack()

    def divergence(proba):
        return sum(
            F.kl_div(z.log_softmax(1), proba, reduction="batchmean") for z in logits
        )

    best = geometric_mean(logits)
    for other in (*logits.softmax(2), logits.softmax(2).mean(0)):
        assert divergence(best) < divergence(0.99 * best + 0.01 * other)


@pytest.mark.parametrize("combiner", [geometric_mean, diversity])
def test_order_of_members_does_not_matter(combiner):
    logits = stack()
    torch.testing.assert_close(combiner(logits.flip(0)), combiner(logits))


@pytest.mark.parametrize("combiner", [geometric_mean, diversity])
def test_members_given_twice_change_nothing(combiner):
    logits = stack()
    torch.testing.assert_close(combiner(logits.repeat(2, 1, 1)), combiner(logits))


@pytest.mark.parametrize("combiner", [geometric_mean, diversity])
def test_logits_and_log_probabilities_are_the_same(combiner):
    logits = stack()
    torch.testing.assert_close(combiner(logits.log_softmax(2)), combiner(logits))


@pytest.mark.parametrize("combiner", [geometric_mean, diversity])
def test_a_constant_added_to_a_row_of_one_member_changes_nothing(combiner):
    logits = stack()
    offset = torch.arange(30.0).reshape(5, 6, 1)
    torch.testing.assert_close(combiner(logits + offset), combiner(logits))


@pytest.mark.parametrize("combiner", [geometric_mean, diversity])
def test_memory_layout_does_not_matter(combiner):
    logits = stack()
    innermost = logits.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(combiner(innermost), combiner(logits))


def test_one_member_is_its_own_ensemble_without_diversity():
    logits = stack(n_members=1)
    torch.testing.assert_close(geometric_mean(logits), logits[0].softmax(1))
    assert diversity(logits) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("combiner", [geometric_mean, diversity])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype, combiner):
    logits = stack(dtype=dtype)
    value = combiner(logits)
    assert value.dtype == torch.float32
    assert (value == combiner(logits.float())).all()


@pytest.mark.parametrize("scale", [1e4, -1e4, 1e30])
@pytest.mark.parametrize("offset", [0, 1])
def test_extreme_logits_stay_finite(offset, scale):
    logits = scale * (F.one_hot(torch.arange(12).reshape(3, 4) % 5, 5) + offset).float()
    proba = geometric_mean(logits)
    torch.testing.assert_close(proba.sum(1), torch.ones(4))
    value = diversity(logits, reduction="none")
    assert value.isfinite().all()
    assert (value >= 0).all()


def test_diversity_of_members_far_from_zero_but_alike_is_zero():
    logits = 1e6 + torch.tensor([[[0.0, 1, 2]]]).repeat(4, 3, 1)
    assert diversity(logits) < 1e-6


def test_diversity_can_be_trained_on():
    """It is label-free, so that it can also be a term of a user's own loss."""
    assert torch.autograd.gradcheck(diversity, stack().requires_grad_())


def test_diversity_with_an_unknown_reduction_raises():
    message = (
        "The 'reduction' parameter of diversity must be a str among {'mean', 'none'}. "
        "Got 'sum' instead."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        diversity(stack(), reduction="sum")

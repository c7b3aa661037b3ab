"""What is recorded of an epoch, where predictions are right or wrong and where not."""

import pytest
import torch

from sklearn_jointens.losses import Bernoulli, Gaussian, joint_terms
from sklearn_jointens.training._record import EpochRecord
from sklearn_jointens.training.groups._training import _figures_of


def terms(family, n_groups=1):
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(3 * n_groups, 5, 1, generator=generator)
    y = torch.arange(5.0).repeat(n_groups, 1) % 2
    return joint_terms(outputs, y, 0.3, family=family, predicting=family)


@pytest.mark.parametrize("members", [None, torch.arange(3)])
def test_accuracies_are_recorded_of_classes_alone(members):
    names = {
        Bernoulli(): ["train_member_losses", "train_member_accuracies"],
        Gaussian(): ["train_member_losses"],
    }
    for family, expected in names.items():
        record, of_batch = EpochRecord("train"), terms(family)
        record.add(of_batch, members)
        record.add(of_batch, members)
        found = record.by_member()
        assert list(found) == expected
        losses = of_batch.member_losses[0].tolist()
        assert found["train_member_losses"] == pytest.approx(losses)
        diversity = of_batch.diversity.item()
        assert record.scalars()["train_diversity"] == pytest.approx(diversity)


@pytest.mark.parametrize("sizes", [[5, 5], [5, 3]])
def test_figures_of_a_step_are_those_of_each_group(sizes):
    of_numbers = _figures_of(terms(Gaussian(), 2), sizes)
    assert of_numbers.shape == (2, 2 + 3)
    of_classes = terms(Bernoulli(), 2)
    figures = _figures_of(of_classes, sizes)
    torch.testing.assert_close(figures[:, 0], of_classes.losses.detach())
    torch.testing.assert_close(figures[:, 1], of_classes.ensemble_losses)
    torch.testing.assert_close(figures[:, 2:5], of_classes.member_losses)
    for g, size in enumerate(sizes):
        correct = of_classes.member_correct[g, :, :size].float()
        torch.testing.assert_close(figures[g, 5:], correct.mean(1))

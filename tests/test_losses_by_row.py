"""Losses and diversity of rows, against torch's criteria and their differences."""

import numpy as np
import pytest
import torch
from family_cases import cases, every_family

from sklearn_jointens.losses._by_row import row_diversity, row_losses

N_MEMBERS, N_ROWS = 3, 7


def drawn(case):
    """Outputs of members, their natural parameters, and targets."""
    outputs = case.outputs(case.free(N_MEMBERS, N_ROWS))
    return outputs, case.family.natural(outputs), case.targets(N_ROWS)


@every_family
def test_losses_of_rows_are_the_criterions(case):
    outputs, natural, y = drawn(case)

    losses, divisors = row_losses(natural, y, case.family)

    assert losses.dtype == divisors.dtype == torch.float64
    for output, of_member in zip(outputs, losses, strict=True):
        expected, expected_divisors = case.rowwise(output, y)
        torch.testing.assert_close(of_member, expected)
        torch.testing.assert_close(divisors, expected_divisors.double())
        torch.testing.assert_close(
            of_member.sum() / divisors.sum(), case.loss(output, y)
        )


@every_family
def test_losses_of_an_ensemble_are_the_criterions(case):
    outputs, natural, y = drawn(case)
    share = torch.full((N_MEMBERS, N_ROWS), 1 / N_MEMBERS, dtype=torch.float64)

    losses, _ = row_losses(natural.mean(0, keepdim=True), y, case.family)

    expected, _ = case.rowwise(case.combined(outputs, share), y)
    torch.testing.assert_close(losses[0], expected, rtol=1e-6, atol=1e-9)


@every_family
def test_diversity_is_what_the_ensemble_loses_less_than_its_mean_member(case):
    _, natural, y = drawn(case)
    ensemble, _ = row_losses(natural.mean(0, keepdim=True), y, case.family)
    members, _ = row_losses(natural, y, case.family)

    diversity = row_diversity(natural, y, case.family)

    torch.testing.assert_close(
        diversity, members.mean(0) - ensemble[0], rtol=1e-9, atol=1e-12
    )
    assert (diversity >= 0).all()


@every_family
def test_one_member_has_no_diversity(case):
    _, natural, y = drawn(case)

    diversity = row_diversity(natural[:1], y, case.family)

    np.testing.assert_allclose(diversity, 0, atol=1e-12)


@cases("labels")
def test_loss_of_labels_is_the_mean_of_their_own(case):
    _, natural, y = drawn(case)
    family = case.family

    of_labels = [
        row_losses(natural[:, [j]], y[:, [j]], family.of_label(j)).losses
        for j in range(case.n_targets)
    ]

    expected = row_losses(natural, y, family).losses
    torch.testing.assert_close(torch.stack(of_labels).mean(0), expected)


@pytest.mark.parametrize("scale", [1e-4, 1e2])
@cases("classes", "two classes", "labels")
def test_diversity_holds_of_near_and_of_far_members(case, scale):
    outputs = case.outputs(scale * case.free(N_MEMBERS, N_ROWS))
    natural, y = case.family.natural(outputs), case.targets(N_ROWS)
    ensemble, _ = row_losses(natural.mean(0, keepdim=True), y, case.family)
    members, _ = row_losses(natural, y, case.family)

    diversity = row_diversity(natural, y, case.family)

    torch.testing.assert_close(
        diversity, members.mean(0) - ensemble[0], rtol=1e-9, atol=1e-12
    )

"""Each row's loss is the criterion's own, of members and of their ensemble."""

import torch
from family_cases import every_family

from sklearn_jointens.losses._by_row import row_losses

M, N = 3, 7


def read(case):
    """Outputs of members, and natural parameters as they are predicted from."""
    outputs = case.outputs(case.free(M, N))
    return outputs, case.family.natural(outputs), case.targets(N)


@every_family
def test_losses_of_rows_are_those_of_the_criterion(case):
    outputs, natural, y = read(case)

    found = row_losses(natural, y, case.family)

    for own, output in zip(found.losses, outputs, strict=True):
        losses, divisors = case.rowwise(output, y)
        torch.testing.assert_close(own, losses.double())
        torch.testing.assert_close(found.divisors, divisors.double())


@every_family
def test_an_ensemble_is_a_member_with_the_mean_parameters(case):
    outputs, natural, y = read(case)
    share = torch.full((M, N), 1 / M, dtype=torch.float64)
    losses, _ = case.rowwise(case.combined(outputs, share), y)

    found = row_losses(natural.mean(0, keepdim=True), y, case.family)

    torch.testing.assert_close(found.losses[0], losses.double(), rtol=1e-6, atol=1e-8)


@every_family
def test_losses_of_float32_outputs_are_computed_in_float64(case):
    _, natural, y = read(case)

    assert row_losses(natural.float(), y, case.family).losses.dtype == torch.float64

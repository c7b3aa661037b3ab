"""What holds for every family: its criterion, eq. 4, eq. 5, weights, groups."""

import pytest
import torch
from family_cases import CASES, every_family
from tools import value_and_gradient

from sklearn_jointens.losses import joint_loss, joint_terms

LAMS = [0, 0.3, 1]
N_GROUPS, N_MEMBERS, N_SAMPLES = 5, 3, 6
GROUP_LAMS = (0.0, 0.5, 1.0, 0.99, 0.0)
COUNTS = torch.tensor([2, 1, 0, 1, 3, 1])

every_weight = pytest.mark.parametrize("kind", ["none", "by row", "bootstrap"])


def weights(kind, *lead, n_members=N_MEMBERS, n_samples=N_SAMPLES):
    generator = torch.Generator().manual_seed(2)
    if kind == "none":
        return None
    if kind == "by row":
        shape = (*lead, n_samples)
        return torch.rand(shape, generator=generator, dtype=torch.float64)
    shape = (*lead, n_members, n_samples)
    counts = torch.randint(3, shape, generator=generator).double()
    counts[..., 0] = 0  # a row that no member sees
    counts[..., 1] = 1
    return counts


def assert_close(actual, expected):
    exact = expected.dtype == torch.float64
    rtol, atol = (1e-10, 1e-12) if exact else (2e-5, 2e-6)
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


def assert_same(actual, expected):
    for got, wanted in zip(actual, expected, strict=True):
        assert_close(got, wanted)


# One ensemble


@pytest.mark.parametrize("lam", LAMS)
@every_family
def test_one_member_has_its_own_criterion_for_every_lam(case, lam):
    free, y = case.free(N_SAMPLES), case.targets(N_SAMPLES)
    assert_same(
        value_and_gradient(
            lambda z: joint_loss(case.outputs(z)[None], y, lam, None, case.family), free
        ),
        value_and_gradient(lambda z: case.loss(case.outputs(z), y), free),
    )


@every_family
def test_rows_lose_what_the_criterion_averages(case):
    outputs, y = case.outputs(case.free(N_MEMBERS, N_SAMPLES)), case.targets(N_SAMPLES)
    family = case.family
    target = family.target(y[None], outputs.shape[2:].numel(), outputs.dtype)
    natural = family.natural(outputs, target.origin)[None]
    nll, _ = family.nll_and_mean(natural, target)
    for found, output in zip(nll[0], outputs, strict=True):
        rows, _ = case.rowwise(output, y)
        of_row = 1 if target.weight is None else target.weight[0, 0]
        assert_close(found * of_row, rows)


@pytest.mark.core
@pytest.mark.parametrize("lam", LAMS)
@every_weight
@every_family
def test_joint_loss_is_eq_4_with_the_gradient_that_autograd_finds(case, kind, lam):
    free, y = case.free(N_MEMBERS, N_SAMPLES), case.targets(N_SAMPLES)
    weight = weights(kind)
    actual = value_and_gradient(
        lambda z: joint_loss(case.outputs(z), y, lam, weight, case.family), free
    )
    assert_same(
        actual,
        value_and_gradient(
            lambda z: case.joint_loss(case.outputs(z), y, lam, weight), free
        ),
    )


@pytest.mark.core
@pytest.mark.parametrize("by_member", [False, True])
@pytest.mark.parametrize("lam", LAMS)
@every_family
def test_integer_weights_equal_repeated_rows(case, lam, by_member):
    free, y = case.free(N_MEMBERS, N_SAMPLES), case.targets(N_SAMPLES)
    rows = torch.arange(N_SAMPLES).repeat_interleave(COUNTS)
    weight = COUNTS.expand(N_MEMBERS, -1) if by_member else COUNTS
    family = case.family
    assert_same(
        value_and_gradient(
            lambda z: joint_loss(case.outputs(z), y, lam, weight, family), free
        ),
        value_and_gradient(
            lambda z: joint_loss(case.outputs(z)[:, rows], y[rows], lam, None, family),
            free,
        ),
    )


@pytest.mark.core
@every_weight
@every_family
def test_eq_4_equals_eq_5_and_diversity_is_never_negative(case, kind):
    weight = weights(kind, 1)
    for seed in range(10):
        outputs = case.outputs(case.free(N_MEMBERS, N_SAMPLES, seed=seed))
        y = case.targets(1, N_SAMPLES, seed=seed)
        terms = joint_terms(outputs, y, 0.3, weight, case.family)
        eq_5 = terms.member_losses.mean(1) - 0.3 * terms.diversity
        assert_close(terms.losses, eq_5)
        assert terms.diversity >= -1e-15
        assert_close(terms.loss, terms.losses.sum())


@every_family
def test_diversity_of_a_row_is_what_the_ensemble_gains_over_its_members(case):
    case = case.plain
    outputs, y = case.outputs(case.free(N_MEMBERS, N_SAMPLES)), case.targets(N_SAMPLES)
    found = case.family.diversity(case.family.natural(outputs), y)
    share = outputs.new_full(outputs.shape[:2], 1 / N_MEMBERS)
    ensemble, _ = case.rowwise(case.combined(outputs, share), y)
    members = torch.stack([case.rowwise(output, y)[0] for output in outputs])
    assert_close(found, members.mean(0) - ensemble)
    assert (found >= 0).all()


@every_family
def test_members_that_agree_have_no_diversity(case):
    outputs = case.outputs(case.free(1, N_SAMPLES)).expand(N_MEMBERS, -1, *case.shape)
    y = case.targets(N_SAMPLES)
    found = case.family.diversity(case.family.natural(outputs), y)
    assert_close(found, torch.zeros_like(found))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@every_family
def test_half_precision_is_computed_in_float32(case, dtype):
    outputs = case.outputs(case.free(N_MEMBERS, N_SAMPLES)).to(dtype)
    y, family = case.targets(N_SAMPLES), case.family

    def loss(z):
        return joint_loss(z, y, 0.3, None, family)

    value, gradient = value_and_gradient(loss, outputs)
    exact, exact_gradient = value_and_gradient(loss, outputs.float())
    assert value.dtype == torch.float32
    assert value == exact
    assert gradient.dtype == dtype
    assert (gradient == exact_gradient.to(dtype)).all()


@every_family
def test_the_order_of_members_does_not_matter(case):
    outputs, y = case.outputs(case.free(N_MEMBERS, N_SAMPLES)), case.targets(N_SAMPLES)
    value, gradient = value_and_gradient(
        lambda z: joint_loss(z, y, 0.7, None, case.family), outputs
    )
    flipped, gradient_of_flipped = value_and_gradient(
        lambda z: joint_loss(z, y, 0.7, None, case.family), outputs.flip(0)
    )
    assert_same((flipped, gradient_of_flipped.flip(0)), (value, gradient))


# What the ensemble puts out and predicts


@every_weight
@every_family
def test_ensemble_output_is_that_of_the_combined_members(case, kind):
    outputs, y = case.outputs(case.free(N_MEMBERS, N_SAMPLES)), case.targets(N_SAMPLES)
    weight = weights(kind, 1)
    terms = joint_terms(outputs, y[None], 0.3, weight, case.family)
    share = torch.ones(N_MEMBERS, N_SAMPLES, dtype=torch.float64)
    _, divisor = case.rowwise(outputs[0], y)
    if weight is not None and weight.ndim == 3:
        rows = weight[0] / (weight[0] * divisor).sum(1, keepdim=True)
        share = torch.where(rows.sum(0) > 0, rows, 1.0)
    expected = case.combined(outputs, share / share.sum(0))
    found, counts = terms.ensemble_output[0].reshape(expected.shape), divisor > 0
    assert_close(found[counts], expected[counts])


@every_family
def test_output_is_what_a_member_with_these_natural_parameters_puts_out(case):
    outputs, y = case.outputs(case.free(N_MEMBERS, N_SAMPLES)), case.targets(N_SAMPLES)
    family = case.family
    origin = family.target(y[None], outputs.shape[2:].numel(), outputs.dtype).origin
    for given in {None, origin}:
        natural = family.natural(outputs, given).unflatten(0, (1, -1))
        found = family.output(natural, given)
        assert_close(found.reshape(outputs.shape), outputs)


@every_weight
@every_family
def test_a_member_is_correct_where_it_decides_for_the_target(case, kind):
    """In the loss, where that shares the loss's work, and by itself."""
    family, weight = case.family, weights(kind, N_GROUPS)
    outputs = case.outputs(case.free(N_GROUPS * N_MEMBERS, N_SAMPLES).round())
    y = case.targets(N_GROUPS, N_SAMPLES)
    lam = torch.tensor(GROUP_LAMS)
    terms = joint_terms(outputs, y, lam, weight, family, predicting=family)
    natural = family.natural(outputs).unflatten(0, (N_GROUPS, -1))
    if not case.counts_hits:
        assert terms.member_correct is None
        assert family.correct(natural, y) is None
        return
    right = family.decide(family.predicted(natural)) == y.unsqueeze(1)
    right = right.all(-1) if case.n_targets else right
    assert terms.member_correct.dtype == torch.bool
    assert torch.equal(terms.member_correct, right)
    assert torch.equal(family.correct(natural[2], y[2]), right[2])
    assert right.any()
    assert not right.all()
    assert joint_terms(outputs, y, lam, weight, family).member_correct is None


@pytest.mark.parametrize("n_members", [1, N_MEMBERS])
@every_family
def test_predictions_of_members_and_ensemble_have_a_column_for_each_output(
    case, n_members
):
    family = case.family
    natural = family.natural(case.outputs(case.free(n_members, N_SAMPLES)))
    shape = (N_SAMPLES, case.n_outputs)
    assert family.predicted(natural).shape == (n_members, *shape)
    ensemble = family.predicted(natural.mean(0))
    assert ensemble.shape == shape
    if n_members == 1:
        assert_close(ensemble, family.predicted(natural)[0])
    if case.counts_hits:
        assert_close(family.log_proba(natural.mean(0)).exp(), ensemble)


@every_family
def test_an_output_of_the_family_passes_the_check_of_outputs(case):
    output = case.outputs(case.free(N_SAMPLES))
    n_outputs = case.n_outputs
    assert case.family.check_output(output, N_SAMPLES, n_outputs) is None
    assert case.family.n_raw(n_outputs) == output[0].numel()
    for wrong in (output[1:], torch.cat([output, output], -1), output[None]):
        assert case.family.check_output(wrong, N_SAMPLES, n_outputs) is not None


# Groups


def all_at_once(case, outputs, y, weight, scale=1.0):
    """Terms, and the gradient with respect to the outputs, by group."""
    outputs = outputs.clone().requires_grad_()
    lam = torch.tensor(GROUP_LAMS, dtype=torch.float64)
    family = case.family
    terms = joint_terms(outputs, y, lam, weight, family, scale, predicting=family)
    (gradient,) = torch.autograd.grad(terms.loss, outputs)
    return terms, gradient.unflatten(0, (len(y), -1))


def alone(g, case, outputs, y, weight, scale=1.0, n_rows=N_SAMPLES):
    """Terms and gradient of one group by itself, on its first rows."""
    outputs = outputs.unflatten(0, (len(y), -1))[g, :, :n_rows]
    outputs = outputs.contiguous().requires_grad_()
    weight = None if weight is None else weight[g : g + 1, ..., :n_rows]
    y, lam, family = y[g : g + 1, :n_rows], GROUP_LAMS[g], case.family
    terms = joint_terms(outputs, y, lam, weight, family, scale, predicting=family)
    (gradient,) = torch.autograd.grad(terms.loss, outputs)
    return terms, gradient


def assert_same_terms(found, expected):
    for got, wanted in zip(found, expected, strict=True):
        if wanted is None or wanted.dtype == torch.bool:
            assert got is wanted or torch.equal(got, wanted)
        else:
            assert_close(got, wanted)


@pytest.mark.quick(52)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_members", [1, N_MEMBERS])
@every_weight
@every_family
def test_each_group_has_the_loss_and_gradient_it_has_alone(
    case, kind, n_members, dtype
):
    outputs = case.outputs(case.free(N_GROUPS * n_members, N_SAMPLES)).to(dtype)
    y = case.targets(N_GROUPS, N_SAMPLES)
    given = (case, outputs, y, weights(kind, N_GROUPS, n_members=n_members))
    terms, gradient = all_at_once(*given, scale=n_members)
    assert_close(terms.loss, terms.losses.sum())
    for g in range(N_GROUPS):
        expected, expected_gradient = alone(g, *given, scale=n_members)
        assert_same_terms(terms.of_group(g, N_SAMPLES), expected)
        assert_close(gradient[g], expected_gradient)


@pytest.mark.parametrize("kind", ["by row", "bootstrap"])
@every_family
def test_rows_of_weight_zero_pad_a_shorter_group(case, kind):
    """Whatever stands there, its terms are those of its own rows."""
    outputs = case.outputs(case.free(N_GROUPS * N_MEMBERS, N_SAMPLES))
    y, weight = case.targets(N_GROUPS, N_SAMPLES), weights(kind, N_GROUPS)
    n_rows = [6, 4, 5, 2, 6]
    grouped = outputs.unflatten(0, (N_GROUPS, -1))
    for g, n in enumerate(n_rows):
        padding = torch.tensor([1e30, -1e30] if case.counts_hits else [30.0, -30.0])
        padding = padding.double().repeat(3)[: N_SAMPLES - n]
        padding = padding.reshape(-1, *(1 for _ in case.shape))
        grouped[g, :, n:] = case.outputs(padding.expand(-1, *case.shape))
        weight[g, ..., n:] = 0
        y[g, n:] = 0
    given = (case, outputs, y, weight)
    terms, gradient = all_at_once(*given)
    for g, n in enumerate(n_rows):
        expected, expected_gradient = alone(g, *given, n_rows=n)
        assert_same_terms(terms.of_group(g, n), expected)
        assert_close(gradient[g, :, :n], expected_gradient)
        assert (gradient[g, :, n:] == 0).all()


@every_family
def test_one_lam_for_all_groups_may_be_a_number(case):
    outputs = case.outputs(case.free(N_GROUPS * N_MEMBERS, N_SAMPLES))
    y = case.targets(N_GROUPS, N_SAMPLES)
    for lam in (0.0, 0.3):
        assert_same(
            value_and_gradient(
                lambda z, lam=lam: joint_terms(z, y, lam, None, case.family).loss,
                outputs,
            ),
            value_and_gradient(
                lambda z, lam=lam: (
                    joint_terms(
                        z,
                        y,
                        torch.full((N_GROUPS,), lam, dtype=torch.float64),
                        None,
                        case.family,
                    ).loss
                ),
                outputs,
            ),
        )


@every_family
def test_gradient_scale_scales_the_gradient_and_nothing_else(case):
    outputs = case.outputs(case.free(N_GROUPS * N_MEMBERS, N_SAMPLES))
    y, weight = case.targets(N_GROUPS, N_SAMPLES), weights("bootstrap", N_GROUPS)
    given = (case, outputs, y, weight)
    terms, gradient = all_at_once(*given)
    scaled, scaled_gradient = all_at_once(*given, scale=10.0)
    for one, other in zip(terms, scaled, strict=True):
        assert one is other is None or torch.equal(one, other)
    assert_close(scaled_gradient, 10 * gradient)


def test_a_group_does_not_depend_on_the_others():
    case = CASES["cross entropy"]
    outputs = case.outputs(case.free(N_GROUPS * N_MEMBERS, N_SAMPLES))
    y, weight = case.targets(N_GROUPS, N_SAMPLES), weights("by row", N_GROUPS)
    lam, order = torch.tensor(GROUP_LAMS), torch.tensor([3, 1])
    terms = joint_terms(outputs, y, lam, weight, case.family)
    some = outputs.unflatten(0, (N_GROUPS, -1))[order].flatten(0, 1)
    of_some = joint_terms(some, y[order], lam[order], weight[order], case.family)
    assert torch.equal(of_some.losses, terms.losses[order])


@every_weight
@every_family
def test_only_the_loss_carries_a_gradient_and_outputs_are_left_as_they_are(case, kind):
    outputs = case.outputs(case.free(N_GROUPS * N_MEMBERS, N_SAMPLES)).requires_grad_()
    before, family = outputs.detach().clone(), case.family
    y, lam = case.targets(N_GROUPS, N_SAMPLES), torch.tensor(GROUP_LAMS)
    terms = joint_terms(
        outputs, y, lam, weights(kind, N_GROUPS), family, predicting=family
    )
    terms.loss.backward()
    assert not any(part is not None and part.requires_grad for part in terms[1:])
    assert torch.equal(outputs, before)

"""The loss of several ensembles at once against that of each ensemble alone."""

import pytest
import torch

from sklearn_jointens.losses import (
    Bernoulli,
    Categorical,
    CategoricalProbabilities,
    grouped_terms,
    joint_terms,
)

N_GROUPS, N_MEMBERS, N_CLASSES, N_SAMPLES = 5, 3, 4, 6
LAMS = (0.0, 0.5, 1.0, 0.99, 0.0)
CLASS_WEIGHT = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
FAMILIES = {
    "categorical": Categorical(),
    "class weights": Categorical(CLASS_WEIGHT),
    "label smoothing": Categorical(label_smoothing=0.2),
    "class weights, label smoothing": Categorical(CLASS_WEIGHT, 0.2),
    "ignored class": Categorical(ignore_index=1),
    "ignored class, label smoothing": Categorical(label_smoothing=0.2, ignore_index=1),
    "all of them": Categorical(CLASS_WEIGHT, 0.2, ignore_index=1),
    "probabilities": CategoricalProbabilities(CLASS_WEIGHT),
    "bernoulli": Bernoulli(),
    "bernoulli, weights": Bernoulli(torch.tensor([3.0]), torch.tensor([0.5])),
}
WEIGHTS = ("none", "by row", "by member", "bootstrap")

every_family = pytest.mark.parametrize("name", FAMILIES)
every_weight = pytest.mark.parametrize("kind", WEIGHTS)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def problem(name="categorical", dtype=torch.float64, n_members=N_MEMBERS, seed=0):
    """A family, natural parameters of all members, targets and lam of each group."""
    family = FAMILIES[name]
    n_outputs = 1 if isinstance(family, Bernoulli) else N_CLASSES
    shape = (N_GROUPS * n_members, N_SAMPLES, n_outputs)
    output = 3 * torch.randn(shape, generator=generator(seed), dtype=torch.float64)
    if isinstance(family, CategoricalProbabilities):
        output = output.softmax(-1)
    n_classes = max(n_outputs, 2)
    y = torch.randint(n_classes, (N_GROUPS, N_SAMPLES), generator=generator(seed + 1))
    return family, family.natural(output.to(dtype)), y, torch.tensor(LAMS, dtype=dtype)


def weights(kind, n_members=N_MEMBERS):
    rows = (N_GROUPS, N_SAMPLES)
    if kind == "by row":
        return torch.rand(rows, generator=generator(2), dtype=torch.float64)
    rows = (N_GROUPS, n_members, N_SAMPLES)
    if kind == "by member":
        return torch.rand(rows, generator=generator(2), dtype=torch.float64)
    if kind == "bootstrap":
        counts = torch.randint(3, rows, generator=generator(2)).double()
        counts[..., 0] = 0  # a row that no member sees
        counts[..., 1] = 1
        return counts
    return None


def all_at_once(family, natural, y, lam, weight, scale=1.0):
    """Terms, and the gradient with respect to the natural parameters."""
    natural = natural.clone().requires_grad_()
    terms = grouped_terms(natural, y, lam, weight, family, scale)
    (gradient,) = torch.autograd.grad(terms.total, natural)
    return terms, gradient.unflatten(0, (len(y), -1))


def alone(g, family, natural, y, lam, weight, scale=1.0, n_rows=N_SAMPLES):
    """Terms and gradient of one group by itself, on its first rows."""
    natural = natural.unflatten(0, (len(y), -1))[g, ..., :n_rows]
    natural = natural.contiguous().requires_grad_()
    weight = None if weight is None else weight[g, ..., :n_rows]
    lam = lam[g].item()
    terms = joint_terms(natural, y[g, :n_rows], lam, weight, family, scale)
    (gradient,) = torch.autograd.grad(terms.loss, natural)
    return terms, gradient


def assert_close(actual, expected):
    exact = expected.dtype == torch.float64
    rtol, atol = (1e-12, 1e-14) if exact else (1e-5, 1e-6)
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


def assert_same_terms(terms, g, expected, n_rows=N_SAMPLES):
    """Group `g` of the terms equals the terms of this group alone."""
    assert_close(terms.losses[g], expected.loss)
    assert_close(terms.ensemble_losses[g], expected.ensemble_loss)
    assert_close(terms.member_losses[g], expected.member_losses)
    assert_close(terms.natural[g, :, :n_rows], expected.natural)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_members", [1, N_MEMBERS])
@every_weight
@every_family
def test_each_group_has_the_loss_and_gradient_it_has_alone(
    name, kind, n_members, dtype
):
    given = (*problem(name, dtype, n_members), weights(kind, n_members))
    terms, gradient = all_at_once(*given, scale=n_members)
    assert_close(terms.total, terms.losses.sum())
    for g in range(N_GROUPS):
        expected, expected_gradient = alone(g, *given, scale=n_members)
        assert_same_terms(terms, g, expected)
        assert_close(gradient[g], expected_gradient)


@every_weight
@every_family
def test_gradient_equals_finite_differences(name, kind):
    family, natural, y, lam = problem(name)
    weight = weights(kind)
    assert torch.autograd.gradcheck(
        lambda z: grouped_terms(z, y, lam, weight, family).total,
        natural.requires_grad_(),
    )


@pytest.mark.parametrize("kind", ["by row", "by member", "bootstrap"])
@every_family
def test_rows_of_weight_zero_pad_a_shorter_group(name, kind):
    """Whatever finite numbers stand there, its terms are those of its own rows."""
    family, natural, y, lam = problem(name)
    n_rows = [6, 4, 5, 2, 6]
    weight = weights(kind)
    for g, n in enumerate(n_rows):
        members = natural[g * N_MEMBERS : (g + 1) * N_MEMBERS]
        members[..., n:] = torch.tensor([1e30, -1e30]).repeat(3)[: N_SAMPLES - n]
        weight[g, ..., n:] = 0
        y[g, n:] = 0
    given = (family, natural, y, lam, weight)
    terms, gradient = all_at_once(*given)
    for g, n in enumerate(n_rows):
        expected, expected_gradient = alone(g, *given, n_rows=n)
        assert_same_terms(terms, g, expected, n)
        assert_close(gradient[g, ..., :n], expected_gradient)
        assert (gradient[g, ..., n:] == 0).all()


def test_a_group_does_not_depend_on_the_others():
    given = (*problem(), weights("by row"))
    terms, gradient = all_at_once(*given)
    family, natural, y, lam, weight = given
    members = natural.unflatten(0, (N_GROUPS, -1))[[3, 1]].flatten(0, 1)
    order = torch.tensor([3, 1])
    some, some_gradient = all_at_once(
        family, members, y[order], lam[order], weight[order]
    )
    assert torch.equal(some.losses, terms.losses[order])
    assert torch.equal(some_gradient, gradient[order])


def test_gradient_scale_scales_the_gradient_and_nothing_else():
    given = (*problem(), weights("by member"))
    terms, gradient = all_at_once(*given)
    scaled, scaled_gradient = all_at_once(*given, scale=10.0)
    for one, other in zip(terms, scaled, strict=True):
        assert torch.equal(one, other)
    assert_close(scaled_gradient, 10 * gradient)


def test_a_factor_of_the_total_reaches_the_gradient():
    _, natural, y, lam = problem()
    natural.requires_grad_()
    plain, scaled = (
        torch.autograd.grad(factor * grouped_terms(natural, y, lam).total, natural)[0]
        for factor in (1, 7)
    )
    assert_close(scaled, 7 * plain)


def test_only_the_total_carries_a_gradient():
    _, natural, y, lam = problem()
    terms = grouped_terms(natural.requires_grad_(), y, lam)
    assert terms.total.requires_grad
    assert not any(part.requires_grad for part in terms[1:])


def test_there_is_no_second_derivative():
    _, natural, y, lam = problem()
    total = grouped_terms(natural.requires_grad_(), y, lam).total
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(total, natural, create_graph=True)


def test_natural_parameters_are_left_as_they_are():
    family, natural, y, lam = problem()
    before = natural.clone()
    all_at_once(family, natural, y, lam, weights("by row"))
    with torch.no_grad():
        grouped_terms(natural, y, lam)
    assert torch.equal(natural, before)

"""Entropies, divergences and votes, against scipy and plain loops."""

from itertools import combinations

import numpy as np
import pytest
import torch
from family_cases import cases
from scipy.special import softmax
from scipy.stats import entropy

from sklearn_jointens.losses._uncertainty import (
    class_uncertainty,
    disagreement,
    log_distributions,
    variation_ratio,
    vote_counts,
)

N_MEMBERS, N_ROWS, N_CLASSES = 4, 6, 3


def logits(scale=3.0):
    draw = np.random.RandomState(0).normal
    return scale * draw(size=(N_MEMBERS, N_ROWS, N_CLASSES))


def measured(logits):
    return class_uncertainty(torch.as_tensor(logits).log_softmax(-1))


def votes(n_members=5, n_classes=3):
    return np.random.RandomState(0).randint(n_classes, size=(n_members, 8))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_entropies_and_divergences_are_scipys(scale):
    z = logits(scale)
    proba, ensemble = softmax(z, axis=-1), softmax(z.mean(axis=0), axis=-1)

    measures = measured(z)

    expected = {
        "total_entropy": entropy(proba.mean(axis=0), axis=-1),
        "expected_entropy": entropy(proba, axis=-1).mean(axis=0),
        "mutual_information": np.mean(
            [entropy(each, proba.mean(axis=0), axis=-1) for each in proba], axis=0
        ),
        "ensemble_entropy": entropy(ensemble, axis=-1),
        "member_divergence": [entropy(ensemble, each, axis=-1) for each in proba],
        "diversity": np.mean(
            [entropy(ensemble, each, axis=-1) for each in proba], axis=0
        ),
    }
    assert list(expected) == list(measures._fields)
    for name, values in expected.items():
        np.testing.assert_allclose(
            getattr(measures, name), values, rtol=1e-8, atol=1e-14, err_msg=name
        )


@cases("classes", "two classes", "labels")
def test_mean_divergence_is_the_diversity_of_the_family(case):
    natural = case.family.natural(case.outputs(case.free(N_MEMBERS, N_ROWS)))

    measures = class_uncertainty(log_distributions(natural, case.family))

    of_rows = measures.diversity.reshape(N_ROWS, -1).mean(1)
    torch.testing.assert_close(of_rows, case.family.diversity(natural, None))


@pytest.mark.parametrize("scale", [1e5, 1e30])
def test_nothing_is_lost_of_extreme_logits(scale):
    z = logits(scale)

    measures = measured(z)

    votes = z.argmax(axis=-1)
    shares = [np.bincount(row, minlength=N_CLASSES) / N_MEMBERS for row in votes.T]
    np.testing.assert_allclose(measures.expected_entropy, 0, atol=1e-12)
    np.testing.assert_allclose(measures.total_entropy, entropy(shares, axis=1))
    np.testing.assert_allclose(measures.ensemble_entropy, 0, atol=1e-12)
    chosen = z.mean(axis=0).argmax(axis=-1)
    gaps = z.max(axis=-1) - np.take_along_axis(z, chosen[None, :, None], 2)[..., 0]
    np.testing.assert_allclose(measures.member_divergence, gaps)


def test_entropy_of_the_very_sure_is_not_rounded_away():
    # p = exp(-40) of another class: of p log p alone is left.
    measures = measured(np.array([[[40.0, 0.0]], [[40.0, 0.0]]]))

    expected = 41 * np.exp(-40)
    for name in ("total_entropy", "expected_entropy", "ensemble_entropy"):
        np.testing.assert_allclose(getattr(measures, name), expected, rtol=0.03)
    assert measures.mutual_information == 0


def test_classes_that_are_impossible_add_nothing():
    z = logits()
    impossible = np.full((N_MEMBERS, N_ROWS, 1), -np.inf)

    measures = measured(np.concatenate([z, impossible], axis=-1))

    for name, values in measured(z)._asdict().items():
        np.testing.assert_allclose(getattr(measures, name), values, err_msg=name)


def test_one_member_is_its_ensemble():
    measures = measured(logits()[:1])

    assert (measures.mutual_information == 0).all()
    np.testing.assert_allclose(measures.diversity, 0, atol=1e-15)
    torch.testing.assert_close(measures.total_entropy, measures.ensemble_entropy)


@pytest.mark.parametrize("n_members", [1, 2, 5])
def test_disagreement_is_the_share_of_pairs_that_differ(n_members):
    said = votes(n_members)

    actual = disagreement(vote_counts(torch.as_tensor(said), 3))

    pairs = list(combinations(said, 2))
    expected = np.mean([a != b for a, b in pairs], axis=0) if pairs else np.zeros(8)
    np.testing.assert_allclose(actual, expected)


def test_variation_ratio_is_the_share_outside_the_largest_party():
    said = votes()

    actual = variation_ratio(vote_counts(torch.as_tensor(said), 3))

    expected = [1 - max(np.bincount(row)) / 5 for row in said.T]
    np.testing.assert_allclose(actual, expected)

"""`uncertainty`: measures of rows, against scipy and plain loops over members."""

import warnings
from functools import cache
from itertools import combinations

import numpy as np
import pytest
import torch
from kinds import KINDS, rows
from regression_tools import data, ensemble, table, units
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.inspection import (
    RewardedDiversityWarning,
    diversity_decomposition,
    uncertainty,
)
from sklearn_jointens.losses import HeteroscedasticGaussianLoss

X = rows()
OF = {kind.name: kind for kind in KINDS}
CLASSES = [kind.name for kind in KINDS if kind.is_of_classes]
NUMBERS = [kind.name for kind in KINDS if not kind.is_of_classes]
VARIANCES = ["variances", "several variances"]
CONVEX = ["absolute", "smooth", "huber"]


@cache
def fitted(name, n_estimators=3):
    kind = OF[name]
    return kind.ensemble(n_estimators=n_estimators, lam=0).fit(X, kind.y)


def distributions(name, proba):
    """Of labels, which are 0 or 1, each by itself."""
    proba = proba.astype(np.float64)
    proba = np.stack([1 - proba, proba], axis=-1) if name == "labels" else proba
    return proba / proba.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("name", CLASSES)
def test_entropies_are_scipys_of_what_members_and_ensemble_predict(name):
    clf = fitted(name)

    measures = uncertainty(clf, X)

    members = distributions(name, clf.member_proba(X))
    whole = distributions(name, clf.predict_proba(X))
    expected = {
        "total_entropy": entropy(members.mean(axis=0), axis=-1),
        "expected_entropy": entropy(members, axis=-1).mean(axis=0),
        "ensemble_entropy": entropy(whole, axis=-1),
        "member_divergence": [entropy(whole, each, axis=-1) for each in members],
    }
    for measure, values in expected.items():
        np.testing.assert_allclose(
            measures[measure], values, rtol=1e-5, atol=1e-7, err_msg=measure
        )
    split = measures.expected_entropy + measures.mutual_information
    np.testing.assert_allclose(measures.total_entropy, split, rtol=1e-12)


@pytest.mark.parametrize("name", CLASSES)
def test_votes_are_those_that_members_predict(name):
    clf = fitted(name)
    said = np.stack([net.predict(X) for net in clf.estimators_])

    measures = uncertainty(clf, X)

    pairs = [a != b for a, b in combinations(said, 2)]
    np.testing.assert_allclose(measures.disagreement, np.mean(pairs, axis=0))
    counts = [np.sum(said == value, axis=0) for value in np.unique(said)]
    outside = 1 - np.max(counts, axis=0) / len(said)
    np.testing.assert_allclose(measures.variation_ratio, outside, atol=1e-15)
    assert 0 < measures.disagreement.mean() < 1


@pytest.mark.parametrize("name", [name for name in OF if name not in CONVEX])
def test_diversity_is_that_of_the_loss(name):
    model, y = fitted(name), OF[name].y

    measures = uncertainty(model, X)

    of_rows = measures.diversity.reshape(len(X), -1).mean(axis=1)
    expected = diversity_decomposition(model, X, y, by="row").diversity
    np.testing.assert_allclose(of_rows, expected, rtol=1e-9, atol=1e-12)
    if name in CLASSES:
        mean = measures.member_divergence.mean(axis=0)
        np.testing.assert_allclose(measures.diversity, mean)


@pytest.mark.quick(1)
@pytest.mark.parametrize("name", CONVEX)
def test_diversity_that_depends_on_the_target_is_not_known(name):
    assert uncertainty(fitted(name), X).diversity is None


@pytest.mark.parametrize("name", OF)
def test_arrays_have_the_shape_of_predictions(name):
    model = fitted(name)

    measures = uncertainty(model, X)

    for measure, values in measures.items():
        if values is not None:
            lead = (3,) * (measure == "member_divergence")
            assert values.shape == (*lead, *model.predict(X).shape), measure
            assert values.dtype == np.float64
            assert np.isfinite(values).all()
            assert (values >= 0).all()


@pytest.mark.parametrize("name", NUMBERS)
def test_variance_between_members_is_that_of_their_predictions(name):
    model = fitted(name)

    measures = uncertainty(model, X)

    expected = model.member_predict(X).astype(np.float64).var(axis=0)
    np.testing.assert_allclose(measures.variance_between, expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["numbers", "several numbers"])
def test_diversity_of_squares_is_the_variance_between_members(name):
    measures = uncertainty(fitted(name), X)

    np.testing.assert_allclose(measures.diversity, measures.variance_between)


@pytest.mark.parametrize("name", VARIANCES)
def test_variance_within_is_the_mean_of_what_members_learn(name):
    model = fitted(name)

    measures = uncertainty(model, X)

    log_variances = [
        np.split(net.forward(X).double().numpy(), 2, axis=1)[1]
        for net in model.estimators_
    ]
    expected = np.exp(log_variances).mean(axis=0).reshape(OF[name].y.shape)
    np.testing.assert_allclose(measures.variance_within, expected, rtol=1e-5)


@pytest.mark.parametrize("criterion", [nn.PoissonNLLLoss, HeteroscedasticGaussianLoss])
def test_total_variance_is_that_of_the_mixture_of_members(criterion):
    """By the members' first two moments, in y's own units."""
    X, y = data()
    model = ensemble(table(criterion=criterion), lam=0, n_estimators=3).fit(X, y)
    means = model.member_predict(X).astype(np.float64)
    if criterion is nn.PoissonNLLLoss:
        variances = means
    else:
        _, unit = units(model)
        outputs = [
            net.forward(model.net_.get_dataset(X).X) for net in model.estimators_
        ]
        variances = np.exp([z[:, 1].double().numpy() for z in outputs]) * unit**2

    measures = uncertainty(model, X)

    second = (variances + means**2).mean(axis=0)
    np.testing.assert_allclose(
        measures.total_variance, second - means.mean(axis=0) ** 2, rtol=1e-4
    )
    total = measures.variance_between + measures.variance_within
    np.testing.assert_allclose(measures.total_variance, total)


def test_variances_that_no_member_learns_are_not_known():
    measures = uncertainty(fitted("numbers"), X)

    assert measures.variance_within is measures.total_variance is None


def twice(output):
    """Of float32 only."""
    return output @ torch.full((1, 1), 2.0)


@pytest.mark.parametrize("name", ["numbers", "counts"])
def test_variances_are_those_of_a_nonlinearity_of_the_users(name):
    kind, rows = OF[name], X.astype(np.float32)
    member = kind.member(predict_nonlinearity=twice)
    model = kind.ensemble(member, lam=0).fit(rows, kind.y)

    measures = uncertainty(model, rows)

    expected = 4 * np.var(
        [net.forward(rows)[:, 0] for net in model.estimators_], axis=0
    )
    np.testing.assert_allclose(measures.variance_between, expected, rtol=1e-4)
    assert measures.variance_within is None


def test_variances_have_the_unit_of_y():
    X, y = data()
    settings = {"lam": 0, "n_estimators": 3}

    metres = uncertainty(ensemble(**settings).fit(X, y), X)
    millimetres = uncertainty(ensemble(**settings).fit(X, 1000 * y), X)

    np.testing.assert_allclose(
        millimetres.variance_between, 1e6 * metres.variance_between, rtol=1e-3
    )


@pytest.mark.quick(6)
@pytest.mark.parametrize("name", OF)
def test_one_member_differs_from_none(name):
    measures = uncertainty(fitted(name, n_estimators=1), X)

    if name in CLASSES:
        assert not measures.mutual_information.any()
        assert not measures.disagreement.any()
        assert not measures.variation_ratio.any()
        np.testing.assert_allclose(measures.member_divergence, 0, atol=1e-12)
        np.testing.assert_allclose(measures.total_entropy, measures.ensemble_entropy)
    else:
        assert not measures.variance_between.any()


class Sure(nn.Module):
    """Logits far from 0, which differ from member to member in their signs."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_features_in, n_outputs).sign())

    def forward(self, X):
        return 1e4 * (X.float() @ self.weight)


def test_members_that_are_too_sure_are_measured_all_the_same():
    member = NeuralNetClassifier(
        Sure, criterion=nn.CrossEntropyLoss, max_epochs=1, lr=0.0, train_split=None
    )
    clf = JointEnsembleClassifier(member, n_estimators=3, random_state=0)
    y = OF["classes"].y

    measures = uncertainty(clf.fit(X, y), X)

    assert all(np.isfinite(values).all() for values in measures.values())
    assert measures.member_divergence.max() > 1000
    np.testing.assert_allclose(measures.ensemble_entropy, 0, atol=0.1)
    assert measures.total_entropy.max() > 0.6


def test_a_rewarded_spread_is_warned_of():
    kind = OF["classes"]
    with pytest.warns(RewardedDiversityWarning, match=r"lam=0\.7 .* RiskCoverageDis"):
        uncertainty(kind.ensemble(lam=0.7).fit(X, kind.y), X)


@pytest.mark.parametrize(("lam", "n_estimators"), [(0, 3), (0.7, 1)])
def test_a_spread_that_nobody_rewarded_is_not_warned_of(lam, n_estimators):
    kind = OF["classes"]
    model = kind.ensemble(lam=lam, n_estimators=n_estimators).fit(X, kind.y)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        uncertainty(model, X)


def test_wrong_input_is_told():
    y = OF["classes"].y
    with pytest.raises(TypeError, match="'estimator' parameter of uncertainty must"):
        uncertainty(LogisticRegression().fit(X, y), X)
    with pytest.raises(ValueError, match="features"):
        uncertainty(fitted("classes"), X[:, :2])

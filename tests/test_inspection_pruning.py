"""`prune_members`: which members go, in which order, and how many."""

import numpy as np
import pytest
import torch
from inspected import BY_NAME, fitted, integer_weights
from kinds import each_kind, rows
from scipy.stats import norm
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_jointens.inspection import _pruning, prune_members

X = rows()
N_MEMBERS = 8
CLASS_WEIGHT = torch.tensor([1.0, 0.2, 5.0])


def ensemble_of(name, **params):
    return fitted(name, n_estimators=N_MEMBERS, **params)


def weighted_ensemble():
    """Of classes that count unequally in the loss."""
    kind = BY_NAME["classes"]
    member = kind.member(criterion__weight=CLASS_WEIGHT.double())
    return kind.ensemble(member, n_estimators=N_MEMBERS).fit(X, kind.y)


# The loss of some of the members, by other libraries and public predictions.


def loss_of_classes(ensemble, members, weight=None):
    proba = ensemble.predict_proba(X, members=members)
    return log_loss(BY_NAME["classes"].y, proba, sample_weight=weight)


def loss_of_labels(ensemble, members, weight=None):
    proba = ensemble.predict_proba(X, members=members)
    pairs = zip(BY_NAME["labels"].y.T, proba.T, strict=True)
    return np.mean([log_loss(y, p, sample_weight=weight) for y, p in pairs])


def loss_of_numbers(ensemble, members, weight=None):
    predicted = ensemble.predict(X, members=members)
    return mean_squared_error(BY_NAME["numbers"].y, predicted, sample_weight=weight)


def loss_of_variances(ensemble, members, weight=None):
    mean, std = ensemble.predict(X, members=members, return_std=True)
    densities = norm.logpdf(BY_NAME["variances"].y, mean, std)
    return -np.average(densities, weights=weight)


LOSSES = {
    "classes": loss_of_classes,
    "labels": loss_of_labels,
    "numbers": loss_of_numbers,
    "variances": loss_of_variances,
}
each_loss = pytest.mark.parametrize("name", LOSSES)


def dropped_greedily(ensemble, loss, weight=None):
    left, dropped = list(range(N_MEMBERS)), []
    while len(left) > 1:
        rests = [[k for k in left if k != j] for j in left]
        best = np.argmin([loss(ensemble, rest, weight) for rest in rests])
        dropped.append(left.pop(best))
    return dropped + left


# -- the path --------------------------------------------------------------------------


@pytest.mark.quick(1)
@each_loss
@pytest.mark.parametrize("rows_at_once", [7, 64])
def test_greedy_drops_whom_the_loss_misses_least(monkeypatch, name, rows_at_once):
    monkeypatch.setattr(_pruning, "_PIECE_ROWS", rows_at_once)
    ensemble = ensemble_of(name)
    pruned = prune_members(ensemble, X, BY_NAME[name].y)

    expected = dropped_greedily(ensemble, LOSSES[name])
    np.testing.assert_array_equal(pruned.path_members, expected)


@each_loss
def test_ranked_asks_once_whom_the_loss_misses_least(name):
    ensemble = ensemble_of(name)
    pruned = prune_members(ensemble, X, BY_NAME[name].y, method="ranked")

    everyone = set(range(N_MEMBERS))
    losses = [LOSSES[name](ensemble, sorted(everyone - {j})) for j in everyone]
    np.testing.assert_array_equal(pruned.path_members, np.argsort(losses))


@pytest.mark.quick(1)
@each_loss
def test_rows_count_by_their_weights(name):
    ensemble, weight = ensemble_of(name), integer_weights()
    pruned = prune_members(ensemble, X, BY_NAME[name].y, sample_weight=weight)

    expected = dropped_greedily(ensemble, LOSSES[name], weight)
    np.testing.assert_array_equal(pruned.path_members, expected)
    rest = expected[3:]
    score = ensemble.score(X, BY_NAME[name].y, sample_weight=weight, members=rest)
    assert pruned.path_scores[3] == pytest.approx(score, abs=1e-5)


def test_classes_count_by_the_weights_of_the_criterion():
    ensemble, y = weighted_ensemble(), BY_NAME["classes"].y
    pruned = prune_members(ensemble, X, y)

    of_rows = CLASS_WEIGHT.numpy()[np.searchsorted(ensemble.classes_, y)]
    expected = dropped_greedily(ensemble, loss_of_classes, of_rows)
    np.testing.assert_array_equal(pruned.path_members, expected)


@pytest.mark.quick(6)
@each_kind
@pytest.mark.parametrize("method", ["greedy", "ranked"])
def test_scores_of_the_path_are_those_of_its_ensembles(kind, method):
    ensemble = ensemble_of(kind.name)
    pruned = prune_members(ensemble, X, kind.y, method=method)

    assert sorted(pruned.path_members) == list(range(N_MEMBERS))
    scores = [
        ensemble.score(X, kind.y, members=pruned.path_members[k:])
        for k in range(N_MEMBERS)
    ]
    np.testing.assert_allclose(pruned.path_scores, scores, atol=1e-5)


def test_numbers_far_from_zero_are_told_apart():
    """In float32 errors of 1e-3 would be lost beside targets of 1e6."""
    kind = BY_NAME["numbers"]
    ensemble = kind.ensemble(n_estimators=N_MEMBERS).fit(X, kind.y)
    far = kind.ensemble(n_estimators=N_MEMBERS).fit(X, kind.y)
    for member in far.estimators_:
        with torch.no_grad():
            member.module_[-1].bias += 1e6
    far = far.drop_members([])  # which makes the members one program anew

    near = prune_members(ensemble, X, kind.y)
    np.testing.assert_array_equal(
        prune_members(far, X, kind.y + 1e6).path_members, near.path_members
    )


# -- what is kept ----------------------------------------------------------------------


@pytest.mark.parametrize("max_loss", [0, 0.01, 0.05, 0.3])
def test_smallest_ensemble_within_the_tolerance_is_kept(max_loss):
    ensemble, y = ensemble_of("classes"), BY_NAME["classes"].y
    pruned = prune_members(ensemble, X, y, max_loss=max_loss)

    n_left = len(pruned.members)
    score = ensemble.score(X, y)
    assert pruned.score == pytest.approx(score)
    assert pruned.pruned_score >= score - max_loss - 1e-9
    smaller = pruned.path_scores[N_MEMBERS - n_left + 1 :]
    assert (smaller < score - max_loss - 1e-9).all()
    np.testing.assert_array_equal(
        pruned.members, np.sort(pruned.path_members[-n_left:])
    )


def test_loss_that_is_just_tolerated_is_tolerated():
    ensemble, y = ensemble_of("classes"), BY_NAME["classes"].y
    scores = prune_members(ensemble, X, y).path_scores
    pruned = prune_members(ensemble, X, y, max_loss=scores[0] - scores.min())

    assert len(pruned.members) == 1


def test_pruned_ensemble_is_the_members_that_are_left():
    ensemble, y = ensemble_of("classes"), BY_NAME["classes"].y
    before = ensemble.predict_proba(X)
    pruned = prune_members(ensemble, X, y, max_loss=0.05)

    assert 0 < len(pruned.members) < N_MEMBERS
    assert pruned.estimator.n_estimators == len(pruned.members)
    np.testing.assert_allclose(
        pruned.estimator.predict_proba(X),
        ensemble.predict_proba(X, members=pruned.members),
        atol=1e-6,
    )
    assert pruned.estimator.score(X, y) == pytest.approx(pruned.pruned_score)
    np.testing.assert_array_equal(ensemble.predict_proba(X), before)


def test_size_is_that_of_the_modules():
    pruned = prune_members(
        ensemble_of("classes"), X, BY_NAME["classes"].y, max_loss=0.05
    )

    of_member = (4 + 1) * 5 + (5 + 1) * 3
    assert pruned.n_parameters == N_MEMBERS * of_member
    assert pruned.pruned_n_parameters == len(pruned.members) * of_member
    assert pruned.seconds > 0
    assert pruned.pruned_seconds > 0


def test_score_decides_where_to_stop():
    ensemble, y = ensemble_of("classes"), BY_NAME["classes"].y
    pruned = prune_members(ensemble, X, y, scoring="neg_log_loss", max_loss=0.01)

    for dropped in range(N_MEMBERS):
        loss = loss_of_classes(ensemble, pruned.path_members[dropped:])
        assert pruned.path_scores[dropped] == pytest.approx(-loss, abs=1e-6)
    assert pruned.score_name == "neg_log_loss"


def test_one_member_stays():
    one, y = fitted("numbers", n_estimators=1), BY_NAME["numbers"].y
    for method in ("greedy", "ranked"):
        pruned = prune_members(one, X, y, method=method)

        np.testing.assert_array_equal(pruned.members, [0])
        assert pruned.pruned_score == pruned.score == pytest.approx(one.score(X, y))


def test_of_a_pipeline_or_search_the_ensemble_is_returned():
    kind = BY_NAME["classes"]
    pipeline = make_pipeline(StandardScaler(), kind.ensemble()).fit(X, kind.y)
    search = GridSearchCV(kind.ensemble(), {"lam": [0.3]}, cv=2).fit(X, kind.y)

    piped = prune_members(pipeline, X, kind.y)
    scaled = pipeline[:-1].transform(X)
    assert piped.score == pytest.approx(pipeline.score(X, kind.y))
    assert piped.estimator.score(scaled, kind.y) == pytest.approx(piped.pruned_score)
    found = prune_members(search, X, kind.y)
    assert type(found.estimator) is type(search.best_estimator_)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_loss": -0.1}, "'max_loss' .* Got -0.1 instead"),
        ({"max_loss": None}, "'max_loss' .* Got None instead"),
        ({"method": "exact"}, "'method' .* Got 'exact' instead"),
        ({"scoring": "accurate"}, "'scoring' .* Got 'accurate' instead"),
    ],
)
def test_wrong_parameters_are_told_before_any_work(monkeypatch, params, message):
    ensemble = ensemble_of("classes")
    monkeypatch.setattr(ensemble.net_, "natural_iter", None)
    with pytest.raises(ValueError, match=message):
        prune_members(ensemble, X, BY_NAME["classes"].y, **params)

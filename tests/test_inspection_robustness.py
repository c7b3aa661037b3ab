"""`robustness_curve`: the score of ensembles some of whose members are dropped."""

import numpy as np
import pytest
import torch
from inspected import BY_NAME, fitted, integer_weights
from kinds import each_kind, rows
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_jointens.inspection import _subsets, robustness_curve

X = rows()
N_MEMBERS = 5


def left_of(draws, dropped):
    """The members with the largest draws."""
    return np.argsort(draws)[dropped:]


def curve_of(name, estimator=None, **params):
    estimator = fitted(name) if estimator is None else estimator
    return robustness_curve(estimator, X, BY_NAME[name].y, random_state=0, **params)


# -- what the scores are ---------------------------------------------------------------


@each_kind
def test_nothing_dropped_is_the_score_of_the_ensemble(kind):
    curve = curve_of(kind.name, n_dropped=0, n_repeats=3)

    score = fitted(kind.name).score(X, kind.y)
    assert curve.score == pytest.approx(score, abs=1e-12)
    np.testing.assert_allclose(curve.scores, np.full((1, 3), score), atol=1e-6)


@pytest.mark.quick(3)
@each_kind
def test_rows_are_predicted_by_members_of_their_own(kind):
    few, y = X[:15], kind.y[:15]
    ensemble = fitted(kind.name)
    curve = robustness_curve(
        ensemble, few, y, n_dropped=[1, 3], n_repeats=2, random_state=7
    )

    score = accuracy_score if kind.is_of_classes else r2_score
    random = np.random.RandomState(7)
    for repeat in range(2):
        draws = random.random_sample((15, N_MEMBERS))
        for point, dropped in enumerate([1, 3]):
            predicted = [
                ensemble.predict(few[i : i + 1], members=left_of(draws[i], dropped))[0]
                for i in range(15)
            ]
            expected = score(y, np.array(predicted))
            assert curve.scores[point, repeat] == pytest.approx(expected, abs=1e-5)


@pytest.mark.core
@each_kind
def test_subset_of_a_batch_is_an_ensemble(kind):
    curve = curve_of(kind.name, subset="batch", n_repeats=3)

    random = np.random.RandomState(0)
    for repeat in range(3):
        (draws,) = random.random_sample((1, N_MEMBERS))
        expected = [
            fitted(kind.name).score(X, kind.y, members=left_of(draws, dropped))
            for dropped in range(N_MEMBERS)
        ]
        np.testing.assert_allclose(curve.scores[:, repeat], expected, atol=1e-5)


@pytest.mark.quick(1)
@pytest.mark.parametrize("subset", ["row", "batch"])
def test_members_are_dropped_with_a_probability_but_one_stays(subset):
    ensemble, y = fitted("classes"), BY_NAME["classes"].y
    shares = [0, 0.5, 0.99]
    curve = curve_of("classes", drop_probability=shares, n_repeats=2, subset=subset)

    random = np.random.RandomState(0)
    for repeat in range(2):
        draws = random.random_sample((60 if subset == "row" else 1, N_MEMBERS))
        draws = np.broadcast_to(draws, (60, N_MEMBERS))
        for point, share in enumerate(shares):
            masks = draws >= share
            masks[np.arange(60), draws.argmax(axis=1)] = True
            predicted = [
                ensemble.predict(X[i : i + 1], members=masks[i])[0] for i in range(60)
            ]
            assert curve.scores[point, repeat] == np.mean(predicted == y)
    np.testing.assert_array_equal(curve.drop_probability, shares)
    assert "n_dropped" not in curve


def test_one_left_scores_as_the_mean_member():
    n_repeats = 200
    curve = curve_of("classes", n_dropped=N_MEMBERS - 1, n_repeats=n_repeats)

    scores = fitted("classes").score_members(X, BY_NAME["classes"].y)
    error = curve.scores.std() / np.sqrt(n_repeats)
    assert curve.scores.mean() == pytest.approx(scores.mean(), abs=5 * error)


@pytest.mark.quick(1)
@pytest.mark.parametrize("subset", ["row", "batch"])
def test_expected_squared_error_is_that_of_samples_from_a_finite_population(subset):
    ensemble, y, n_repeats = fitted("numbers"), BY_NAME["numbers"].y, 150
    n_dropped = np.arange(N_MEMBERS)
    curve = curve_of(
        "numbers",
        n_dropped=n_dropped,
        n_repeats=n_repeats,
        subset=subset,
        scoring="neg_mean_squared_error",
    )

    members = ensemble.member_predict(X)
    error = ((members.mean(0) - y) ** 2).mean()
    variance = members.var(axis=0, ddof=1).mean()
    expected = error + (1 / (N_MEMBERS - n_dropped) - 1 / N_MEMBERS) * variance
    deviation = curve.scores.std(axis=1) / np.sqrt(n_repeats)
    assert (abs(-curve.scores.mean(axis=1) - expected) <= 5 * deviation + 1e-6).all()


@pytest.mark.parametrize("name", ["classes", "numbers"])
def test_weights_are_repetitions(name):
    weight, y = integer_weights(), BY_NAME[name].y
    weighted = curve_of(name, subset="batch", sample_weight=weight)
    repeated = robustness_curve(
        fitted(name),
        np.repeat(X, weight, axis=0),
        np.repeat(y, weight, axis=0),
        subset="batch",
        random_state=0,
    )

    np.testing.assert_allclose(weighted.scores, repeated.scores, atol=1e-6)
    assert weighted.score == pytest.approx(repeated.score)


def test_scorer_sees_probabilities_of_what_is_left():
    curve = curve_of("classes", subset="batch", scoring="neg_log_loss", n_repeats=1)

    draws = np.random.RandomState(0).random_sample(N_MEMBERS)
    for dropped, score in zip(curve.n_dropped, curve.scores[:, 0], strict=True):
        members = left_of(draws, dropped)
        proba = fitted("classes").predict_proba(X, members=members)
        assert score == pytest.approx(-log_loss(BY_NAME["classes"].y, proba), abs=1e-6)
    assert curve.score_name == "neg_log_loss"


# -- which members are dropped ---------------------------------------------------------


def subsets(drop, n_rows=2000):
    """Which members are left, (n_points, n_rows, n_members)."""
    who = torch.eye(4).expand(n_rows, 4, 4).contiguous()
    random = np.random.RandomState(0)
    means = _subsets.dropped_means(who, np.array(drop), random, True)
    return means.transpose(1, 2).numpy() > 0


def test_every_member_is_dropped_equally_often():
    left = subsets([1, 2, 3])

    assert (left.sum(axis=2) == np.array([3, 2, 1])[:, None]).all()
    shares = left.mean(axis=1)
    np.testing.assert_allclose(shares, np.tile([[0.75], [0.5], [0.25]], 4), atol=0.05)


@pytest.mark.parametrize("drop", [[0, 1, 2, 3], [0.0, 0.3, 0.6, 0.9]])
def test_what_is_left_is_part_of_what_was_left_before(drop):
    left = subsets(drop)

    assert (left[1:] <= left[:-1]).all()


def test_probability_is_that_of_each_member():
    left = subsets([0.3])[0]

    np.testing.assert_allclose(left.mean(axis=0), 0.7, atol=0.05)
    both = (left[:, 0] & left[:, 1]).mean()
    assert both == pytest.approx(0.49, abs=0.05)


@pytest.mark.parametrize("subset", ["row", "batch"])
@pytest.mark.parametrize("drop", [{}, {"drop_probability": [0.2, 0.7]}])
def test_scores_are_the_same_in_blocks_of_any_size(monkeypatch, subset, drop):
    whole = curve_of("several numbers", subset=subset, n_repeats=2, **drop)
    monkeypatch.setattr(_subsets, "_BLOCK", 70)
    in_blocks = curve_of("several numbers", subset=subset, n_repeats=2, **drop)

    np.testing.assert_array_equal(whole.scores, in_blocks.scores)


def test_random_state_decides_and_no_global_generator_is_touched():
    numpy_state, torch_state = np.random.get_state()[1], torch.get_rng_state()
    first, again = (curve_of("classes", n_repeats=3) for _ in range(2))
    other = robustness_curve(
        fitted("classes"), X, BY_NAME["classes"].y, n_repeats=3, random_state=1
    )

    np.testing.assert_array_equal(first.scores, again.scores)
    assert (first.scores != other.scores).any()
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)


# -- points ----------------------------------------------------------------------------


def test_every_number_of_few_members_is_a_point():
    np.testing.assert_array_equal(curve_of("classes").n_dropped, range(N_MEMBERS))


def test_twenty_numbers_of_many_members_are_points():
    many = fitted("numbers", n_estimators=50)
    n_dropped = curve_of("numbers", many, n_repeats=1).n_dropped

    assert (len(n_dropped), n_dropped[0], n_dropped[-1]) == (20, 0, 49)
    assert set(np.diff(n_dropped)) <= {2, 3}


def test_one_member_has_one_point():
    one = fitted("classes", n_estimators=1)
    curve = curve_of("classes", one, n_repeats=2)

    np.testing.assert_array_equal(curve.n_dropped, [0])
    np.testing.assert_array_equal(curve.scores, [[curve.score] * 2])
    assert curve.n_members == 1


# -- who is looked into ----------------------------------------------------------------


def test_last_step_of_a_pipeline_is_looked_into():
    kind = BY_NAME["classes"]
    pipeline = make_pipeline(StandardScaler(), kind.ensemble()).fit(X, kind.y)

    inner = robustness_curve(
        pipeline[-1], pipeline[:-1].transform(X), kind.y, random_state=0
    )
    piped = curve_of("classes", pipeline)
    np.testing.assert_array_equal(piped.scores, inner.scores)


def grid_search(kind):
    return GridSearchCV(kind.ensemble(), {"lam": [0.3]}, cv=2)


@pytest.mark.quick(1)
@pytest.mark.parametrize("search", [grid_search, lambda kind: kind.search()])
def test_best_ensemble_of_a_search_is_looked_into(search):
    kind = BY_NAME["classes"]
    search = search(kind).fit(X, kind.y)

    found, best = (
        curve_of("classes", search),
        curve_of("classes", search.best_estimator_),
    )
    np.testing.assert_array_equal(found.scores, best.scores)
    assert found.score == pytest.approx(search.score(X, kind.y))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_dropped": 5}, r"'n_dropped' .* in the range \[0, 4\].* Got 5 instead"),
        ({"n_dropped": [0, -1]}, r"'n_dropped' .* Got \[0, -1\] instead"),
        ({"n_dropped": [0.5]}, r"'n_dropped' .* Got \[0.5\] instead"),
        ({"n_dropped": [[1]]}, r"'n_dropped' .* 1-D .* Got \[\[1\]\] instead"),
        ({"n_dropped": "all"}, "'n_dropped' parameter of robustness_curve"),
        ({"drop_probability": 1.0}, "'drop_probability' .* Got 1.0 instead"),
        ({"drop_probability": [0, 1]}, r"'drop_probability' .* \[0.0, 1.0\)"),
        ({"drop_probability": [np.nan]}, "'drop_probability'"),
        ({"n_dropped": 1, "drop_probability": 0.5}, "Only one of the 'n_dropped'"),
        ({"n_repeats": 0}, "'n_repeats' .* Got 0 instead"),
        ({"subset": "rows"}, "'subset' .* Got 'rows' instead"),
        ({"scoring": "accurate"}, "'scoring' .* Got 'accurate' instead"),
        ({"random_state": "x"}, "'random_state' .* Got 'x' instead"),
        ({"sample_weight": [1.0]}, "sample_weight.shape"),
    ],
)
def test_wrong_parameters_are_told_before_any_work(monkeypatch, params, message):
    ensemble = fitted("classes")
    monkeypatch.setattr(ensemble.net_, "natural_iter", None)
    with pytest.raises(ValueError, match=message):
        robustness_curve(ensemble, X, BY_NAME["classes"].y, **params)


def test_targets_are_needed():
    with pytest.raises(ValueError, match=r"'y' parameter of robustness_curve .* None"):
        robustness_curve(fitted("classes"), X, None)


def test_a_score_that_is_not_defined_is_told_of():
    """Pictures of it failed, and everything was as good as all of it."""
    one = BY_NAME["numbers"].y[:1]
    message = "'scoring' parameter of robustness_curve .* 'r2' instead"
    with pytest.raises(ValueError, match=message):
        robustness_curve(fitted("numbers"), X[:1], one)


def test_counts_are_never_negative():
    message = "'y' parameter of JointEnsembleRegressor must be counts >= 0"
    with pytest.raises(ValueError, match=message):
        robustness_curve(fitted("counts"), X, -1.0 - BY_NAME["counts"].y)


def test_other_estimators_are_refused():
    y = BY_NAME["classes"].y
    with pytest.raises(TypeError, match="'estimator' parameter of robustness_curve"):
        robustness_curve(LogisticRegression().fit(X, y), X, y)
    with pytest.raises(ValueError, match="not fitted yet"):
        robustness_curve(clone(fitted("classes")), X, y)

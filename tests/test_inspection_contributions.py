"""`member_contributions`: every member left out once."""

import numpy as np
import pytest
from inspected import BY_NAME, fitted, integer_weights
from kinds import each_kind, rows
from sklearn.metrics import log_loss

from sklearn_jointens.inspection import _subsets, member_contributions

X = rows()


@each_kind
def test_contribution_is_what_is_lost_without_the_member(kind):
    ensemble = fitted(kind.name)
    found = member_contributions(ensemble, X, kind.y)

    smaller = [ensemble.drop_members([j]) for j in range(5)]
    without = np.array([rest.score(X, kind.y) for rest in smaller])
    score = ensemble.score(X, kind.y)
    assert found.score == pytest.approx(score, abs=1e-12)
    np.testing.assert_allclose(found.scores_without, without, atol=1e-5)
    np.testing.assert_allclose(found.contributions, score - without, atol=1e-5)
    np.testing.assert_allclose(
        found.member_scores, ensemble.score_members(X, kind.y), atol=1e-6
    )


def test_contributions_to_any_score():
    ensemble, y = fitted("classes"), BY_NAME["classes"].y
    found = member_contributions(ensemble, X, y, scoring="neg_log_loss")

    for j in range(5):
        others = ensemble.predict_proba(X, members=np.arange(5) != j)
        assert found.scores_without[j] == pytest.approx(-log_loss(y, others), abs=1e-6)
    assert found.score_name == "neg_log_loss"


@pytest.mark.parametrize("name", ["labels", "several numbers"])
def test_weights_are_repetitions(name):
    weight, y = integer_weights(), BY_NAME[name].y
    weighted = member_contributions(fitted(name), X, y, sample_weight=weight)
    repeated = member_contributions(
        fitted(name), np.repeat(X, weight, axis=0), np.repeat(y, weight, axis=0)
    )

    np.testing.assert_allclose(
        weighted.contributions, repeated.contributions, atol=1e-6
    )


def test_scores_are_the_same_in_blocks_of_any_size(monkeypatch):
    ensemble, y = fitted("several variances"), BY_NAME["several variances"].y
    whole = member_contributions(ensemble, X, y)
    monkeypatch.setattr(_subsets, "_BLOCK", 500)
    in_blocks = member_contributions(ensemble, X, y)

    np.testing.assert_array_equal(whole.contributions, in_blocks.contributions)
    np.testing.assert_array_equal(whole.member_scores, in_blocks.member_scores)


def test_one_member_has_nothing_to_be_compared_with():
    one = fitted("classes", n_estimators=1)
    with pytest.raises(ValueError, match=r"member_contributions .* at least 2 members"):
        member_contributions(one, X, BY_NAME["classes"].y)


def test_unknown_scoring_is_told():
    with pytest.raises(ValueError, match="'scoring' parameter of member_contributions"):
        member_contributions(
            fitted("classes"), X, BY_NAME["classes"].y, scoring="accurate"
        )

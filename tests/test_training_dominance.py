"""Who does the work of an ensemble, and when a user is told that it is one member."""

import warnings

import numpy as np
import pytest
import torch
from kinds import KINDS, rows
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifierCV,
    MemberDominanceWarning,
    mlp_classifier,
)
from sklearn_jointens.losses import Categorical
from sklearn_jointens.training._dominance import (
    LastRows,
    dominant_member,
    effective_members,
    member_gains,
    n_batches_of_last_rows,
)

BY_NAME = {kind.name: kind for kind in KINDS}


class Paced(nn.Sequential):
    """A linear map as two, which learns the faster the larger its weights are."""

    def __init__(self, n_features_in, n_classes):
        super().__init__(
            nn.Linear(n_features_in, 5, bias=False), nn.Linear(5, n_classes, bias=False)
        )
        pace = 10 ** (-1.5 * torch.rand(()))
        with torch.no_grad():
            for weight in self.parameters():
                weight *= pace


def dominated(lam=1.0, **params):
    """An ensemble of which the member with the largest weights learns first."""
    member = BY_NAME["classes"].member(lr=0.03, batch_size=2, max_epochs=4)
    member.set_params(module=Paced, **params)
    return BY_NAME["classes"].ensemble(member, n_estimators=5, lam=lam, random_state=2)


def told_in(history):
    """The first epoch in which one member dominates, None if there is none."""
    told = (
        e
        for e in range(1, 1 + len(history))
        if dominant_member(history[:e]) is not None
    )
    return next(told, None)


def epoch(gains, n_steps):
    """A row of a history."""
    return {"train_member_gains": gains, "train_batch_count": n_steps}


def warned_of(fit):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    return [w for w in caught if w.category is MemberDominanceWarning]


# -- the measure -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([2.0, 2.0, 2.0], 3),
        ([1e-3, 1e-3], 2),
        ([0.0, 7.0, 0.0, 0.0], 1),
        ([3.0, 1.0], 1.6),
        ([3.0, 1.0, -5.0], 1.6),  # who gains less than nothing does nothing
        ([-1.0, 0.0], 0),
        ([1e300, 1e300], 2),
    ],
)
def test_effective_members_are_all_when_equal_and_one_when_one_dominates(
    gains, expected
):
    assert effective_members(gains) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["classes", "labels", "several numbers"])
def test_a_gain_is_the_covariance_with_the_targets_in_units_of_their_variance(kind):
    random = np.random.RandomState(0)
    natural = random.normal(size=(4, 3, 50))
    if kind == "classes":
        y = random.randint(3, size=50)
        statistic = np.eye(3)[y].T
    else:
        y = (random.rand(50, 3) < 0.4) * 1.0 if kind == "labels" else natural[0].T
        statistic = y.T
    variance = sum(np.var(t) for t in statistic)
    expected = [
        sum(np.cov(z, t, bias=True)[0, 1] for z, t in zip(own, statistic, strict=True))
        for own in natural
    ]

    gains = member_gains(natural, y)

    np.testing.assert_allclose(gains, np.array(expected) / variance, rtol=1e-9)


def test_offsets_gain_nothing_and_the_mean_member_gains_what_the_ensemble_does():
    random = np.random.RandomState(0)
    natural, y = random.normal(size=(4, 3, 50)), random.randint(3, size=50)
    gains = member_gains(natural, y)

    moved = member_gains(natural + 1e4 * random.normal(size=(4, 3, 1)), y)
    ensemble = member_gains(natural.mean(0, keepdims=True), y)

    np.testing.assert_allclose(moved, gains, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose([gains.mean()], ensemble)


def test_nobody_gains_where_all_targets_are_alike():
    natural = np.random.RandomState(0).normal(size=(4, 3, 50)).astype(np.float32)

    assert not member_gains(natural, np.ones(50, dtype=np.int64)).any()
    # Its mean is another number, by rounding.
    assert not member_gains(natural, np.full(50, 0.1, dtype=np.float32)).any()


# -- the rule ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([[0, 9, 0, 0]] * 2, 1),
        ([[0, 9, 0, 0]], None),  # an epoch may be chance
        ([[0, 9, 0, 0], [9, 9, 9, 9]], None),  # others have followed
        ([[9, 9, 9, 9], [0, 9, 0, 0]], None),
        ([[1, 1, 1, 1], [0, 9, 0, 0], [0, 0, 9, 0]], 2),  # who does so now
        ([[0, 0.01, 0, 0]] * 2, None),  # nobody knows anything yet
        ([[0, -1, 0, 0]] * 2, None),
        ([[1, 1, 0, 0]] * 2, 0),  # the root of 4
        ([[2, 2, 1, 0]] * 2, None),
        ([[9]] * 2, None),  # one of one
        ([[9, 0]] * 2, 0),
        ([[9, 3]] * 2, None),
        ([[9], [9, 0, 0]], None),  # members that have just come
        ([], None),
    ],
)
def test_a_member_dominates_where_the_effective_ones_are_nearer_to_one(gains, expected):
    assert dominant_member([epoch(own, 50) for own in gains]) == expected


@pytest.mark.parametrize(
    ("n_epochs", "n_steps", "expected"),
    [(2, 25, 1), (2, 24, None), (24, 2, None), (25, 2, 1), (1, 1000, None)],
)
def test_a_member_that_is_only_the_first_to_learn_is_given_steps(
    n_epochs, n_steps, expected
):
    assert dominant_member([epoch([0, 9, 0, 0], n_steps)] * n_epochs) == expected


# -- what is recorded --------------------------------------------------------------


def test_the_last_rows_are_whole_batches_and_no_more_than_needed():
    last, generator = LastRows(), torch.Generator().manual_seed(0)
    outputs = torch.randn(2, 700, 3, generator=generator)
    y = torch.randint(3, (700,), generator=generator)
    for start in range(0, 700, 100):
        last.add(outputs[:, start : start + 100], y[start : start + 100])

    expected = member_gains(outputs[:, 400:].transpose(1, 2).numpy(), y[400:].numpy())

    torch.testing.assert_close(last.gains(Categorical()), expected)
    assert len(last._batches) == 3 <= n_batches_of_last_rows(100)


@pytest.mark.parametrize(
    "name", ["classes", "probabilities", "one logit", "labels", "numbers", "counts"]
)
def test_history_has_the_gains_of_members_that_stand_still(name):
    """All rows are among the last rows, and a member that does not move is as ever."""
    kind, X = BY_NAME[name], rows()
    fitted = kind.ensemble(kind.member(lr=0.0, max_epochs=2)).fit(X, kind.y)
    statistic = kind.plain_y.reshape(len(X), -1)
    if name in ("classes", "probabilities"):
        statistic = np.eye(3)[kind.plain_y]
    variance = statistic.var(0).sum()

    for row in fitted.history_:
        for member, gain in zip(
            fitted.estimators_, row["train_member_gains"], strict=True
        ):
            dtype = next(member.module_.parameters()).dtype
            with torch.no_grad():
                z = member.module_(torch.tensor(X, dtype=dtype)).numpy()
            z = np.log(z) if name == "probabilities" else z
            covariances = ((z - z.mean(0)) * (statistic - statistic.mean(0))).mean(0)
            assert gain == pytest.approx(covariances.sum() / variance, abs=1e-5)
        expected = effective_members(row["train_member_gains"])
        assert row["train_effective_members"] == expected
    assert not any("valid_member_gains" in row for row in fitted.history_)


def test_dropped_members_leave_the_history_of_the_others(tmp_path):
    kind = BY_NAME["numbers"]
    fitted = kind.ensemble().fit(rows(), kind.y)
    gains = fitted.history_[-1, "train_member_gains"]

    fitted.save(tmp_path / "ensemble")
    again = type(fitted).load(tmp_path / "ensemble", estimator=kind.member())

    assert again.history_[-1, "train_member_gains"] == gains
    smaller = fitted.drop_members([1]).history_
    assert smaller[-1, "train_member_gains"] == [gains[0], gains[2]]


# -- the warning -------------------------------------------------------------------


def test_a_fit_that_one_member_dominates_warns_once_and_where_it_was_called():
    clf = dominated()

    (warning,) = warned_of(lambda: clf.fit(rows(), BY_NAME["classes"].y))

    epoch = told_in(clf.history_)
    best = np.argmax(clf.history_[epoch - 1, "train_member_gains"])
    message = str(warning.message)
    assert message.startswith(f"Member {best} does most of the work of all 5: in epoch")
    assert f"in epoch {epoch}, " in message
    accuracies = clf.history_[epoch - 1, "train_member_accuracies"]
    others = np.median(np.delete(accuracies, best))
    assert f"(accuracy {accuracies[best]:.2f}, the others' median {others:.2f})" in (
        message
    )
    assert "Lower 'lam'" in message
    assert warning.filename == __file__


def test_independent_members_are_never_warned_of():
    clf = dominated(lam=0.0)

    assert not warned_of(lambda: clf.fit(rows(), BY_NAME["classes"].y))

    # Not that there was nothing to see.
    assert told_in(clf.history_)


def test_members_that_learn_alike_are_not_warned_of(digits):
    member = mlp_classifier((4,), max_epochs=3)
    clf = BY_NAME["classes"].ensemble(member, n_estimators=16, lam=1.0)

    assert not warned_of(lambda: clf.fit(*digits))
    assert min(clf.history_[1:, "train_effective_members"]) > 8


def test_further_epochs_do_not_warn_again():
    clf, y = dominated(), BY_NAME["classes"].y

    def epochs():
        for _ in range(4):
            clf.partial_fit(rows(), y, classes=np.unique(y))

    assert len(warned_of(epochs)) == 1


def test_a_warning_that_is_an_error_ends_the_fit_and_leaves_no_half_of_it():
    clf, y = dominated(max_epochs=1), BY_NAME["classes"].y
    before = clf.fit(rows(), y).predict_proba(rows())
    clf.set_params(estimator__max_epochs=4)

    with warnings.catch_warnings():
        warnings.simplefilter("error", MemberDominanceWarning)
        with pytest.raises(MemberDominanceWarning):
            clf.fit(rows(), y)

    assert len(clf.history_) == 1
    np.testing.assert_array_equal(clf.predict_proba(rows()), before)


def test_a_search_warns_of_the_ensemble_that_it_has_chosen_alone():
    one = dominated()
    search = JointEnsembleClassifierCV(
        one.estimator, 5, lams=[1.0], cv=2, random_state=2
    )

    (warning,) = warned_of(lambda: search.fit(rows(), BY_NAME["classes"].y))

    assert search.batching_.n_programs == 1
    assert warning.filename == __file__

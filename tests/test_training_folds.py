"""Each member leaves a fold out, and the ensemble is validated on all of them."""

import numpy as np
import pytest
import torch
from search_tools import ensemble_of_folds, folded, member, member_of, stopping
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss
from skorch import NeuralNetBinaryClassifier
from tools import OneLogit
from torch import nn

from sklearn_jointens import MemberFolds, tabular_classifier
from sklearn_jointens._draws import rows_of_members


def unseen_by(clf, y):
    """Which rows each member has not learned from, (n_members, n_samples)."""
    return rows_of_members(clf, clf.net_, y, None, clf._draws).bags == 0


def geometric_mean(proba):
    """Normalized, over members (n_members, n_samples, n_classes)."""
    mean = np.exp(np.log(proba).mean(axis=0))
    return mean / mean.sum(axis=1, keepdims=True)


def out_of_fold(clf, X, unseen):
    """Probabilities of rows, each by the members that have not seen it."""
    proba = clf.member_proba(X).astype(np.float64)
    rows = np.flatnonzero(unseen.any(axis=0))
    out = [geometric_mean(proba[unseen[:, i], i : i + 1])[0] for i in rows]
    return rows, np.array(out)


def assert_validated_out_of_fold(clf, X, y, rtol=1e-6):
    """The last epoch's figures are those of the fitted members on unseen rows."""
    unseen, last = unseen_by(clf, y), clf.history_[-1]
    rows, proba = out_of_fold(clf, X, unseen)
    labels = clf.classes_

    expected = {
        "valid_loss": log_loss(y[rows], proba, labels=labels),
        "valid_acc": accuracy_score(y[rows], labels[proba.argmax(axis=1)]),
    }
    for name, value in expected.items():
        assert last[name] == pytest.approx(value, rel=rtol), name
    assert last["valid_ensemble_loss"] == pytest.approx(last["valid_loss"], rel=rtol)

    losses, accuracies = [], []
    for own, proba in zip(unseen, clf.member_proba(X), strict=True):
        losses.append(log_loss(y[own], proba[own], labels=labels))
        accuracies.append(accuracy_score(y[own], labels[proba[own].argmax(axis=1)]))
    np.testing.assert_allclose(last["valid_member_losses"], losses, rtol=rtol)
    np.testing.assert_allclose(last["valid_member_accuracies"], accuracies, rtol=rtol)
    np.testing.assert_allclose(clf.member_scores_, accuracies)
    assert last["valid_member_loss"] == pytest.approx(np.mean(losses), rel=rtol)


def assert_same_weights(first, second):
    for one, other in zip(first.estimators_, second.estimators_, strict=True):
        assert_same_member(one, other)


def assert_same_member(one, other):
    pairs = zip(one.module_.parameters(), other.module_.parameters(), strict=True)
    for a, b in pairs:
        assert torch.equal(a, b)


def rows_in_folds(split, y, random_state):
    return split.folds(y, np.arange(1), random_state).of_rows


# -- dividing rows ---------------------------------------------------------------------


@pytest.mark.parametrize("n_splits", [2, 3, 8])
@pytest.mark.parametrize("n_members", [1, 2, 3, 8, 11])
def test_every_row_is_held_out_where_there_are_members_for_all_folds(
    n_splits, n_members
):
    split = MemberFolds(n_splits)
    folds = split.folds(np.arange(50) % 4, np.arange(n_members), random_state=0)
    counts = folds.counts

    assert counts.dtype == np.uint8
    assert counts.shape == (n_members, 50)
    np.testing.assert_array_equal(np.unique(counts), [0, 1])
    assert (counts == 0).any(axis=0).all() == (n_members >= n_splits)
    for j in range(n_members):
        np.testing.assert_array_equal(counts[j] == 0, folds.of_rows == j % n_splits)


@pytest.mark.parametrize("labels", [np.arange(4), np.array(list("abcd"))])
@pytest.mark.parametrize("sizes", [(60, 1, 7, 20), (8, 8, 8, 8), (1, 1, 1, 1)])
def test_classes_are_spread_evenly(labels, sizes):
    y = np.random.RandomState(0).permutation(np.repeat(labels, sizes))
    folds = rows_in_folds(MemberFolds(8), y, 1)

    for rows in (folds, *(folds[y == label] for label in labels)):
        counts = np.bincount(rows, minlength=8)
        assert counts.max() - counts.min() <= 1


def test_folds_that_are_not_stratified_do_not_depend_on_y():
    split = MemberFolds(3, stratified=False)
    folds = [rows_in_folds(split, y, 0) for y in (np.zeros(20), np.arange(20) % 2)]

    np.testing.assert_array_equal(*folds)
    assert sorted(np.bincount(folds[0])) == [6, 7, 7]


def test_folds_are_drawn_by_random_state():
    y, split = np.arange(60) % 3, MemberFolds(4)

    first = rows_in_folds(split, y, 0)
    again = rows_in_folds(split, y, np.random.RandomState(0))
    np.testing.assert_array_equal(first, again)
    assert (first != rows_in_folds(split, y, 1)).any()


@pytest.mark.parametrize("n_splits", [1, 0, 2.0, True, "2", None])
def test_n_splits_is_at_least_two(n_splits, iris):
    message = (
        "The 'n_splits' parameter of MemberFolds must be an int of at least 2. "
        f"Got {n_splits!r} instead."
    )
    for call in (
        lambda: rows_in_folds(MemberFolds(n_splits), np.zeros(9), 0),
        lambda: ensemble_of_folds(folded(n_splits)).fit(*iris),
        lambda: folded(n_splits).fit(*iris),
    ):
        with pytest.raises(ValueError, match="n_splits") as caught:
            call()
        assert str(caught.value) == message


def test_a_clone_says_the_same():
    split = MemberFolds(5, stratified=False)

    copied = clone(member(train_split=split)).train_split

    assert copied is not split
    assert (
        repr(copied)
        == repr(split)
        == ("MemberFolds(n_splits=5, stratified=False, min_samples=0)")
    )


# -- validation ------------------------------------------------------------------------


@pytest.mark.quick(2)
@pytest.mark.parametrize("n_estimators", [3, 4, 7])
@pytest.mark.parametrize("lam", [0.0, 0.95])
def test_history_is_of_the_members_that_have_not_seen_a_row(n_estimators, lam, iris):
    clf = ensemble_of_folds(n_estimators=n_estimators, lam=lam).fit(*iris)

    assert_validated_out_of_fold(clf, *iris)
    assert unseen_by(clf, iris[1]).any(axis=0).all()


def test_history_of_labels_that_are_words(cancer):
    X, y = cancer
    words = np.array(["yes", "no"])[y]

    assert_validated_out_of_fold(ensemble_of_folds().fit(X, words), X, words)


@pytest.mark.quick(1)
@pytest.mark.parametrize("batch_size", [1, 7, 33, 1000])
def test_validation_in_any_batches(batch_size, iris):
    net = folded(iterator_valid__batch_size=batch_size)

    assert_validated_out_of_fold(ensemble_of_folds(net).fit(*iris), *iris)


def test_fewer_members_than_folds_are_validated_on_their_folds(iris):
    X, y = iris
    clf = ensemble_of_folds(folded(8), n_estimators=3).fit(X, y)

    assert_validated_out_of_fold(clf, X, y)
    is_validated = unseen_by(clf, y).any(axis=0)
    batches = clf.history_[-1]["batches"]
    n_rows = sum(batch.get("valid_batch_size", 0) for batch in batches)
    assert n_rows == is_validated.sum() < 3 * 14


def test_one_member(iris):
    assert_validated_out_of_fold(ensemble_of_folds(n_estimators=1).fit(*iris), *iris)


class Recurrent(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.cells = nn.GRU(1, 4, batch_first=True)
        self.out = nn.Linear(4, n_classes)

    def forward(self, x):
        return self.out(self.cells(x[:, :, None])[0][:, -1])


class Branching(nn.Module):
    def __init__(self, n_features_in, n_classes):
        super().__init__()
        self.out = nn.Linear(n_features_in, n_classes)

    def forward(self, x):
        out = self.out(x)
        return out if self.out.weight.sum() > 0 else 2 * out


class Scaled(nn.Module):
    """No vectorized form by structure; torch.func can."""

    def __init__(self, n_features_in, n_classes):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_features_in))
        self.out = nn.Linear(n_features_in, n_classes)

    def forward(self, x):
        return self.out(torch.cumprod(1 + 0.1 * torch.tanh(x * self.scale), 1))


@pytest.mark.quick(1)
@pytest.mark.parametrize("module", [Recurrent, Branching, Scaled])
def test_members_that_are_not_vectorized_by_structure(module, iris):
    X, y = iris[0].astype(np.float32), iris[1]
    X = np.abs(X) + 0.1
    net = member_of(module, train_split=MemberFolds(3))
    clf = ensemble_of_folds(net).fit(X, y)

    assert clf.vectorization_.method == ("vmap" if module is Scaled else "loop")
    assert_validated_out_of_fold(clf, X, y, rtol=1e-4)


def test_members_with_one_logit(cancer):
    X, y = cancer[0].astype(np.float32), cancer[1]
    net = NeuralNetBinaryClassifier(
        OneLogit, max_epochs=2, verbose=0, train_split=MemberFolds(3)
    )

    assert_validated_out_of_fold(ensemble_of_folds(net).fit(X, y), X, y, rtol=1e-4)


def test_validation_heeds_weights(iris):
    """Each fold is one batch here, whose weights are divided by their sum."""
    X, y = iris
    weight = np.random.RandomState(0).uniform(0, 3, len(y))
    net = folded(iterator_valid__batch_size=1000)
    clf = ensemble_of_folds(net, class_weight={0: 1, 1: 2, 2: 3}).fit(
        X, y, sample_weight=weight
    )
    weight = weight * (1 + y)

    unseen, last = unseen_by(clf, y), clf.history_[-1]
    rows, proba = out_of_fold(clf, X, unseen)
    np.testing.assert_array_equal(rows, np.arange(len(y)))
    sizes = unseen[:3].sum(axis=1)
    losses = [log_loss(y[f], proba[f], sample_weight=weight[f]) for f in unseen[:3]]
    assert last["valid_loss"] == pytest.approx(np.average(losses, weights=sizes))
    pairs = zip(unseen, clf.member_proba(X), strict=True)
    of_members = [log_loss(y[f], p[f], sample_weight=weight[f]) for f, p in pairs]
    np.testing.assert_allclose(last["valid_member_losses"], of_members)


# -- what members learn from -----------------------------------------------------------


def with_other_labels(y, rows):
    y = y.copy()
    y[rows] = (y[rows] + 1) % 3
    return y


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("lam", "settings"),
    [
        (0.0, {"max_epochs": 3}),
        # More steps would tell members of it by way of other members.
        (0.5, {"max_epochs": 1, "batch_size": -1}),
        (1.0, {"max_epochs": 1, "batch_size": -1}),
    ],
)
def test_no_member_learns_from_its_fold(lam, settings, iris):
    X, y = iris
    net = member(train_split=MemberFolds(3, stratified=False), **settings)
    clf = ensemble_of_folds(net, n_estimators=6, lam=lam).fit(X, y)
    held_out = unseen_by(clf, y)[1]

    other = ensemble_of_folds(net, n_estimators=6, lam=lam).fit(
        X, with_other_labels(y, held_out)
    )

    np.testing.assert_array_equal(unseen_by(other, y), unseen_by(clf, y))
    for j, (one, same) in enumerate(
        zip(clf.estimators_, other.estimators_, strict=True)
    ):
        if j % 3 == 1:
            assert_same_member(one, same)
        else:
            assert (one.predict_proba(X) != same.predict_proba(X)).any()


def test_folds_are_weights_of_zero(iris):
    """With lam=0 a member is the one that is fitted alone with these weights."""
    X, y = iris
    clf = ensemble_of_folds(lam=0.0, n_estimators=3).fit(X, y)
    seen = ~unseen_by(clf, y)

    for j in range(3):
        alone = ensemble_of_folds(member(), lam=0.0, n_estimators=3)
        alone.fit(X, y, sample_weight=seen[j].astype(float))
        np.testing.assert_allclose(
            alone.estimators_[j].predict_proba(X),
            clf.estimators_[j].predict_proba(X),
            rtol=1e-9,
        )


def test_bootstrap_leaves_folds_out_too(iris):
    X, y = iris
    clf = ensemble_of_folds(bootstrap=True, oob_score=True, n_estimators=7).fit(X, y)
    plain = ensemble_of_folds(member(), bootstrap=True, n_estimators=7).fit(X, y)
    of_folds = ensemble_of_folds(n_estimators=7).fit(X, y)

    unseen = unseen_by(clf, y)

    bags = rows_of_members(plain, plain.net_, y, None, plain._draws).bags
    np.testing.assert_array_equal(unseen, (bags == 0) | unseen_by(of_folds, y))
    _, proba = out_of_fold(clf, X, unseen)
    np.testing.assert_allclose(clf.oob_decision_function_, proba, rtol=1e-6)
    for own, one, score in zip(
        unseen, clf.estimators_, clf.member_scores_, strict=True
    ):
        assert score == pytest.approx(one.score(X[own], y[own]))


# -- stopping --------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("lam", [0.0, 0.8])
def test_the_best_epoch_is_restored(lam, cancer):
    X, y = cancer
    net = folded(lr=0.1, max_epochs=15, callbacks=stopping())
    clf = ensemble_of_folds(net, lam=lam).fit(X, y)
    losses = clf.history_[:, "valid_loss"]
    best = int(np.argmin(losses))
    shorter = ensemble_of_folds(folded(lr=0.1, max_epochs=best + 1), lam=lam).fit(X, y)

    assert best + 1 < len(losses) < 15
    np.testing.assert_array_equal(shorter.history_[:, "valid_loss"], losses[: best + 1])
    assert_same_weights(clf, shorter)
    np.testing.assert_array_equal(clf.predict_proba(X), shorter.predict_proba(X))
    np.testing.assert_array_equal(clf.member_scores_, shorter.member_scores_)


def test_an_ensemble_for_tables_goes_back_to_its_best_epoch(cancer):
    X, y = cancer
    settings = {"n_splits": 3, "lr": 0.1, "batch_size": 16}
    net = tabular_classifier((6,), patience=2, max_epochs=20, **settings)
    clf = ensemble_of_folds(net).fit(X, y)
    losses = clf.history_[:, "valid_loss"]
    best = int(np.argmin(losses))
    net = tabular_classifier((6,), callbacks=None, max_epochs=best + 1, **settings)

    assert len(losses) == best + 3
    assert_same_weights(clf, ensemble_of_folds(net).fit(X, y))

"""What `JointEnsembleClassifier` promises, as identities."""

import copy
import math
import os
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score, log_loss
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from tools import three_classes, weights
from torch import nn
from torch.nn.functional import cross_entropy

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
from sklearn_jointens._draws import bootstrap_counts
from sklearn_jointens._scoring import OutOfBagWarning
from sklearn_jointens.nn import VectorizedModule
from sklearn_jointens.training import DivergenceError

LAMS = (0.0, 0.5, 1.0)
N_MEMBERS = 4


@pytest.fixture
def data():
    return three_classes(70, ["ant", "bee", "cat"])


def member(**params):
    defaults = {"hidden_layer_sizes": (8,), "max_epochs": 4, "batch_size": 16}
    return mlp_classifier(**{**defaults, **params})


def full_batch(**params):
    """Every epoch is one step, in which the order of rows does not matter."""
    return member(
        **{"batch_size": -1, "optimizer": torch.optim.SGD, "lr": 0.5, **params}
    )


def ensemble(net=None, **params):
    net = member() if net is None else net
    defaults = {
        "n_estimators": N_MEMBERS,
        "lam": 0.5,
        "random_state": 0,
        "device": "cpu",
    }
    return JointEnsembleClassifier(net, **{**defaults, **params})


def initial_weights(clf, X, y):
    return weights(clone(clf).set_params(estimator__max_epochs=0).fit(X, y))


def geometric_mean(member_proba):
    product = np.exp(np.log(np.maximum(member_proba, 1e-38)).mean(axis=0))
    return product / product.sum(axis=1, keepdims=True)


def state_of_the_world():
    numpy_state = np.random.get_state()
    return (
        torch.get_rng_state().tolist(),
        *(state.tolist() for state in torch.cuda.get_rng_state_all()),
        (numpy_state[1].tolist(), numpy_state[2:]),
        random.getstate(),
    )


@pytest.fixture
def fitted(data, device):
    return ensemble(device=device).fit(*data)


# -- predicting ----------------------------------------------------------------------


@pytest.mark.core
def test_probabilities_are_the_geometric_mean_of_the_members(fitted, data):
    X, _ = data
    proba = fitted.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    by_member = fitted.member_proba(X)
    assert by_member.shape == (N_MEMBERS, 70, 3)
    np.testing.assert_allclose(by_member.sum(axis=2), 1, rtol=1e-6)
    np.testing.assert_allclose(proba, geometric_mean(by_member), atol=1e-6)
    np.testing.assert_allclose(
        by_member, [m.predict_proba(X) for m in fitted.estimators_], atol=1e-6
    )
    np.testing.assert_allclose(fitted.predict_log_proba(X), np.log(proba), rtol=1e-5)
    np.testing.assert_array_equal(
        fitted.predict(X), fitted.classes_[proba.argmax(axis=1)]
    )
    for j, estimator in enumerate(fitted.estimators_):
        np.testing.assert_array_equal(
            estimator.predict(X), fitted.classes_[by_member[j].argmax(axis=1)]
        )


@pytest.mark.parametrize("lam", LAMS)
def test_one_member_is_the_ensemble(data, lam):
    X, y = data
    clf = ensemble(n_estimators=1, lam=lam).fit(X, y)
    np.testing.assert_allclose(
        clf.predict_proba(X), clf.estimators_[0].predict_proba(X), atol=1e-6
    )
    assert clf.history_[-1]["train_diversity"] == pytest.approx(0, abs=1e-6)


def test_many_rows_are_predicted_as_few(fitted, data):
    X = np.tile(data[0], (40, 1))
    expected = fitted.predict_proba(data[0])
    np.testing.assert_allclose(
        fitted.predict_proba(X), np.tile(expected, (40, 1)), atol=1e-6
    )
    assert fitted.member_proba(X).shape == (N_MEMBERS, 2800, 3)


def test_predicting_again_gives_the_same_and_leaves_the_members_as_they_are(data):
    """Dropout is off in prediction, and after `fit` in the members."""
    X, y = data
    clf = ensemble(member(dropout=0.5)).fit(X, y)
    before = weights(clf)
    np.testing.assert_array_equal(clf.predict_proba(X), clf.predict_proba(X))
    assert not any(m.module_.training for m in clf.estimators_)
    np.testing.assert_array_equal(weights(clf), before)


# -- some of the members -------------------------------------------------------------


@pytest.mark.quick(7)
@pytest.mark.parametrize(
    ("members", "rest"),
    [
        ([1], [0, 2, 3]),
        ([-1], [0, 1, 2]),
        ([2, 0], [1, 3]),
        ([0, 0, 1], [2, 3]),
        (np.array([3, 1]), [0, 2]),
        ([True, False, False, True], [1, 2]),
        (np.array([False, True, False, False]), [0, 2, 3]),
        ([], [0, 1, 2, 3]),
    ],
    ids=str,
)
def test_dropping_members_equals_predicting_with_the_rest(fitted, data, members, rest):
    X, _ = data
    smaller = fitted.drop_members(members)
    assert len(smaller.estimators_) == smaller.n_estimators == len(rest)
    expected = geometric_mean(fitted.member_proba(X)[rest])
    np.testing.assert_allclose(smaller.predict_proba(X), expected, atol=1e-6)
    np.testing.assert_allclose(
        fitted.predict_proba(X, members=rest), expected, atol=1e-6
    )
    np.testing.assert_array_equal(weights(smaller), weights(fitted)[rest])
    np.testing.assert_array_equal(smaller.member_scores_, fitted.member_scores_[rest])
    assert smaller.net_.device == fitted.net_.device


@pytest.mark.parametrize("members", [[0, 2], [-4, 2], [True, False, True, False]])
def test_members_may_be_asked_for_by_index_or_mask(fitted, data, members):
    X, _ = data
    expected = geometric_mean(fitted.member_proba(X)[[0, 2]])
    for method, of_proba in (
        (fitted.predict_proba, lambda p: p),
        (fitted.predict_log_proba, np.log),
    ):
        np.testing.assert_allclose(
            method(X, members=members), of_proba(expected), rtol=1e-4
        )


def test_the_order_of_members_does_not_matter(fitted, data):
    X, _ = data
    np.testing.assert_array_equal(
        fitted.predict_proba(X, members=[3, 0, 1]),
        fitted.predict_proba(X, members=[0, 1, 3]),
    )
    shuffled = copy.copy(fitted)
    shuffled.estimators_ = fitted.estimators_[::-1]
    shuffled._assemble()
    np.testing.assert_allclose(
        shuffled.predict_proba(X), fitted.predict_proba(X), atol=1e-6
    )


def test_only_the_members_asked_for_run(fitted, data):
    ran = []

    def record(module, args, output):
        if isinstance(module, VectorizedModule):
            ran.append(module.n_members)

    hook = nn.modules.module.register_module_forward_hook(record)
    try:
        fitted.predict_proba(data[0], members=[2])
        fitted.predict_proba(data[0])
    finally:
        hook.remove()
    assert ran == [1, N_MEMBERS]


def test_dropping_leaves_the_original_bit_for_bit(fitted, data):
    X, y = data
    before = weights(fitted), fitted.predict_proba(X), pickle.dumps(fitted.history_)
    smaller = fitted.drop_members([0, 1])
    smaller.partial_fit(X, y)
    with torch.no_grad():
        for parameter in smaller.net_.module_.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(weights(fitted), before[0])
    np.testing.assert_array_equal(fitted.predict_proba(X), before[1])
    assert pickle.dumps(fitted.history_) == before[2]
    assert fitted.n_estimators == N_MEMBERS
    assert weights(smaller).shape[0] == 2


@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
def test_the_weakest_members_are_those_that_score_lowest(fitted, data, scoring):
    X, y = data
    scores = fitted.score_members(X, y, scoring)
    smaller = fitted.drop_members(n_weakest=2, X=X, y=y, scoring=scoring)
    strongest = np.sort(np.argsort(scores, kind="stable")[2:])
    np.testing.assert_array_equal(weights(smaller), weights(fitted)[strongest])
    assert fitted.drop_members(n_weakest=0, X=X, y=y).n_estimators == N_MEMBERS


def test_members_can_be_dropped_from_what_was_dropped_loaded_or_copied(fitted, data):
    X, _ = data
    expected = fitted.predict_proba(X, members=[3])
    for again in (fitted, pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_allclose(
            again.drop_members([0, 2]).drop_members([0]).predict_proba(X),
            expected,
            atol=1e-6,
        )


# -- weights of rows -----------------------------------------------------------------


@pytest.mark.quick(2)
@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("as_sparse", [False, True])
def test_weights_equal_repeated_rows(data, lam, as_sparse):
    X, y = data
    repeats = np.random.RandomState(0).randint(1, 4, size=len(y))
    many = np.repeat(X, repeats, axis=0)
    if as_sparse:
        X, many = sparse.csr_array(X), sparse.csr_array(many)
    clf = ensemble(full_batch(max_epochs=8), lam=lam)
    weighted = clone(clf).fit(X, y, sample_weight=repeats)
    repeated = clone(clf).fit(many, np.repeat(y, repeats))
    np.testing.assert_allclose(weights(weighted), weights(repeated), atol=1e-5)
    np.testing.assert_allclose(
        weighted.history_[:, "train_loss"],
        repeated.history_[:, "train_loss"],
        rtol=1e-5,
    )


@pytest.mark.parametrize("lam", LAMS)
def test_a_weight_of_zero_removes_a_row(data, lam):
    X, y = data
    weight = np.random.RandomState(0).rand(len(y))
    weight[::3] = 0
    X[::3] = 1e3
    clf = ensemble(full_batch(max_epochs=8), lam=lam)
    weighted = clone(clf).fit(X, y, sample_weight=weight)
    keep = weight > 0
    removed = clone(clf).fit(X[keep], y[keep], sample_weight=weight[keep])
    np.testing.assert_allclose(weights(weighted), weights(removed), atol=1e-5)


@pytest.mark.quick(1)
@pytest.mark.parametrize("scale", [1e-6, 3.0, 1e6])
def test_weights_matter_relative_to_each_other(data, scale):
    X, y = data
    weight = np.random.RandomState(0).rand(len(y))
    a, b = (ensemble().fit(X, y, sample_weight=w) for w in (weight, scale * weight))
    np.testing.assert_allclose(weights(a), weights(b), atol=1e-5)


def test_equal_weights_are_no_weights(data):
    X, y = data
    a = ensemble().fit(X, y)
    b = ensemble().fit(X, y, sample_weight=np.full(len(y), 2.0))
    np.testing.assert_allclose(weights(a), weights(b), atol=1e-5)


@pytest.mark.quick(1)
@pytest.mark.parametrize("lam", LAMS)
def test_class_weights_are_sample_weights(data, lam):
    X, y = data
    keep = np.r_[0:20, np.flatnonzero(y != "bee")]  # an unbalanced task
    X, y = X[keep], y[keep]
    own = np.random.RandomState(0).rand(len(y))
    by_class = {"ant": 0.5, "bee": 3.0, "cat": 1.0}
    names, counts = np.unique(y, return_counts=True)
    balanced = dict(zip(names, len(y) / (3 * counts), strict=True))
    for class_weight, values in ((by_class, by_class), ("balanced", balanced)):
        expected = np.array([values[label] for label in y])
        clf = ensemble(lam=lam)
        for sample_weight, product in ((None, expected), (own, own * expected)):
            a = clone(clf).set_params(class_weight=class_weight)
            a.fit(X, y, sample_weight=sample_weight)
            b = clone(clf).fit(X, y, sample_weight=product)
            np.testing.assert_array_equal(weights(a), weights(b))


def test_weights_also_weigh_the_validation_loss(data):
    """Rows of weight zero are as good as absent from it."""
    X, y = data
    split = ValidSplit(2)
    net = full_batch(train_split=split)
    _, valid = split(range(len(y)), y)
    weight = np.ones(len(y))
    weight[valid.indices[::2]] = 0
    seen = valid.indices[1::2]
    clf = ensemble(net.set_params(lr=0.0)).fit(X, y, sample_weight=weight)
    loss = log_loss(y[seen], clf.predict_proba(X[seen]), labels=clf.classes_)
    assert clf.history_[-1]["valid_loss"] == pytest.approx(loss, rel=1e-4)


# -- determinism ---------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize("lam", LAMS)
def test_the_same_random_state_gives_the_same_model_bit_for_bit(data, lam, bootstrap):
    X, y = data
    net = member(dropout=0.3, train_split=ValidSplit(4))
    clf = ensemble(net, lam=lam, bootstrap=bootstrap)
    a = clone(clf).fit(X, y)
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    np.random.rand(7), torch.rand(7)
    b = clone(clf).fit(X, y)
    np.testing.assert_array_equal(weights(a), weights(b))
    assert a.history_[:, "valid_loss"] == b.history_[:, "valid_loss"]
    b.fit(X, y)  # a second time
    np.testing.assert_array_equal(weights(a), weights(b))
    other = clone(clf).set_params(random_state=1).fit(X, y)
    assert abs(weights(a) - weights(other)).max() > 0.01
    assert abs(initial_weights(a, X, y) - initial_weights(other, X, y)).min() > 0


def test_without_a_random_state_every_fit_is_another(data):
    a, b = (ensemble(random_state=None).fit(*data) for _ in range(2))
    assert abs(weights(a) - weights(b)).max() > 0.01


def test_a_generator_as_random_state_is_drawn_from(data):
    a = ensemble(random_state=np.random.RandomState(3)).fit(*data)
    b = ensemble(random_state=np.random.RandomState(3)).fit(*data)
    np.testing.assert_array_equal(weights(a), weights(b))
    b.fit(*data)
    assert abs(weights(a) - weights(b)).max() > 0.01


def test_members_differ_from_each_other(data):
    start = initial_weights(ensemble(), *data)
    assert len(np.unique(start, axis=0)) == N_MEMBERS


@pytest.mark.core
@pytest.mark.quick(1)
@pytest.mark.parametrize("random_state", [0, None])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_global_random_states_are_left_alone(
    data, device, bootstrap, random_state, tmp_path
):
    X, y = data
    net = member(dropout=0.3, train_split=ValidSplit(4))
    clf = ensemble(net, bootstrap=bootstrap, random_state=random_state, device=device)
    before = state_of_the_world()

    def untouched(result):
        assert state_of_the_world() == before
        return result

    untouched(clf.fit(X, y))
    untouched(clf.partial_fit(X, y))
    untouched(clf.predict(X))
    untouched(clf.predict_proba(X, members=[0]))
    untouched(clf.member_proba(X))
    untouched(clf.score_members(X, y))
    untouched(clf.score_members(X, y, "neg_log_loss"))
    untouched(clf.drop_members([0]))
    untouched(clf.drop_members(n_weakest=1, X=X, y=y))
    untouched(clf.estimators_[0].predict_proba(X))
    untouched(copy.deepcopy(clf))
    untouched(pickle.loads(pickle.dumps(clf)).partial_fit(X, y))
    untouched(clf.save(tmp_path / "model"))
    untouched(JointEnsembleClassifier.load(tmp_path / "model", net))
    untouched(clf.set_params(warm_start=True, n_estimators=5).fit(X, y))
    with pytest.raises(ValueError, match="besides"):
        clf.fit(X, ["dog"] * len(y))
    untouched(None)


# -- bootstrap -----------------------------------------------------------------------


def bags_of(clf, n_samples):
    _, seeds = clf._seeds()
    return bootstrap_counts(seeds, n_samples)


def test_bags_are_bootstrap_samples():
    bags = bootstrap_counts(np.arange(50), 400)
    assert (bags.sum(axis=1) == 400).all()
    assert len(np.unique(bags, axis=0)) == 50
    assert (bags == 0).mean() == pytest.approx(math.exp(-1), abs=0.01)


@pytest.mark.parametrize("weighted", [False, True])
def test_bootstrap_at_lam_0_is_training_each_member_on_its_own_sample(data, weighted):
    X, y = data
    own = np.random.RandomState(0).rand(len(y)) if weighted else np.ones(len(y))
    lr, n_epochs, batch_size = 0.3, 3, 16
    net = full_batch(
        batch_size=batch_size,
        lr=lr,
        max_epochs=n_epochs,
        iterator_train__shuffle=False,
    )
    clf = ensemble(net, lam=0.0, bootstrap=True)
    start = clone(clf).set_params(estimator__max_epochs=0).fit(X, y)
    clf.fit(X, y, sample_weight=own if weighted else None)
    target = torch.from_numpy(np.searchsorted(clf.classes_, y))
    rows = torch.from_numpy(X)
    for j, bag in enumerate(bags_of(clf, len(y))):
        module = start.estimators_[j].module_
        weight = torch.from_numpy(bag * own).float()
        for _ in range(n_epochs):
            for batch in torch.arange(len(y)).split(batch_size):
                nll = cross_entropy(
                    module(rows[batch]), target[batch], reduction="none"
                )
                module.zero_grad()
                (nll * weight[batch]).sum().div(weight[batch].sum()).backward()
                with torch.no_grad():
                    for parameter in module.parameters():
                        parameter -= lr * parameter.grad
    np.testing.assert_allclose(weights(clf), weights(start), atol=1e-5)


@pytest.mark.quick(1)
@pytest.mark.parametrize("lam", LAMS)
def test_no_member_learns_from_a_row_out_of_its_bag(data, lam):
    """In one step; later, others whom it is mixed with have learned from the row."""
    X, y = data
    clf = ensemble(full_batch(max_epochs=1), lam=lam, bootstrap=True)
    first = clone(clf).fit(X, y)
    for j, bag in enumerate(bags_of(clf, len(y))):
        changed = X.copy()
        changed[bag == 0] += 5
        second = weights(clone(clf).fit(changed, y))
        np.testing.assert_allclose(second[j], weights(first)[j], atol=1e-6)
        assert abs(np.delete(second - weights(first), j, axis=0)).max() > 1e-3


def test_at_lam_0_no_epoch_of_a_member_sees_a_row_out_of_its_bag(data):
    X, y = data
    clf = ensemble(full_batch(max_epochs=6), lam=0.0, bootstrap=True)
    first = weights(clone(clf).fit(X, y))
    for j, bag in enumerate(bags_of(clf, len(y))):
        changed = X.copy()
        changed[bag == 0] += 5
        second = weights(clone(clf).fit(changed, y))
        np.testing.assert_allclose(second[j], first[j], atol=1e-5)


@pytest.mark.parametrize("metric", [True, balanced_accuracy_score])
def test_out_of_bag_rows_are_predicted_by_those_that_have_not_seen_them(
    data, metric, device
):
    X, y = data
    clf = ensemble(n_estimators=16, bootstrap=True, oob_score=metric, device=device)
    clf.fit(X, y)
    out = bags_of(clf, len(y)) == 0
    by_member = clf.member_proba(X)
    expected = np.vstack(
        [geometric_mean(by_member[out[:, i], i : i + 1]) for i in range(len(y))]
    )
    np.testing.assert_allclose(clf.oob_decision_function_, expected, atol=1e-6)
    predicted = clf.classes_[expected.argmax(axis=1)]
    score = np.mean(predicted == y) if metric is True else metric(y, predicted)
    assert clf.oob_score_ == pytest.approx(score)
    hits = clf.classes_[by_member.argmax(axis=2)] == y
    np.testing.assert_allclose(
        clf.member_scores_, [h[o].mean() for h, o in zip(hits, out, strict=True)]
    )


def test_rows_that_every_member_has_seen_have_no_out_of_bag_prediction(data):
    X, y = data
    clf = ensemble(n_estimators=2, bootstrap=True, oob_score=True)
    seen = (bags_of(clf, len(y)) > 0).all(axis=0)
    with pytest.warns(OutOfBagWarning, match=f"^{seen.sum()} of 70 rows are in the"):
        clf.fit(X, y)
    np.testing.assert_array_equal(
        np.isnan(clf.oob_decision_function_), np.repeat(seen[:, None], 3, axis=1)
    )
    predicted = clf.classes_[clf.oob_decision_function_[~seen].argmax(axis=1)]
    assert clf.oob_score_ == pytest.approx(np.mean(predicted == y[~seen]))


def test_a_part_of_the_ensemble_has_no_out_of_bag_score(data):
    clf = ensemble(n_estimators=16, bootstrap=True, oob_score=True).fit(*data)
    smaller = clf.drop_members([0])
    assert not hasattr(smaller, "oob_score_")
    assert not hasattr(smaller, "oob_decision_function_")
    assert not hasattr(ensemble(bootstrap=True).fit(*data), "oob_score_")


# -- members' scores -----------------------------------------------------------------


def test_members_are_scored_on_what_they_are_scored_on(data, device):
    X, y = data
    split = ValidSplit(4)
    _, valid = split(range(len(y)), y)
    for net, rows in (
        (member(), np.arange(len(y))),
        (member(train_split=split), valid.indices),
    ):
        clf = ensemble(net, device=device).fit(X, y)
        expected = [m.score(X[rows], y[rows]) for m in clf.estimators_]
        np.testing.assert_allclose(clf.member_scores_, expected)
        assert clf.member_scores_.shape == (N_MEMBERS,)
        assert clf.member_scores_.dtype == np.float64


def test_score_members_is_each_members_own_score(fitted, data):
    X, y = data
    expected = [m.score(X, y) for m in fitted.estimators_]
    np.testing.assert_allclose(fitted.score_members(X, y), expected)
    losses = [log_loss(y, m.predict_proba(X)) for m in fitted.estimators_]
    np.testing.assert_allclose(
        fitted.score_members(X, y, "neg_log_loss"), np.negative(losses), rtol=1e-5
    )

    def share_of_ants(estimator, X, y):
        return np.mean(estimator.predict(X) == "ant")

    np.testing.assert_allclose(
        fitted.score_members(X, y, share_of_ants),
        [np.mean(m.predict(X) == "ant") for m in fitted.estimators_],
    )


# -- going on ------------------------------------------------------------------------


@pytest.mark.parametrize("lam", LAMS)
def test_a_warm_start_goes_on_from_the_weights(data, lam):
    X, y = data
    whole = ensemble(full_batch(max_epochs=6), lam=lam).fit(X, y)
    parts = ensemble(full_batch(max_epochs=3), lam=lam, warm_start=True).fit(X, y)
    first = parts.estimators_[0]
    parts.fit(X, y)
    np.testing.assert_allclose(weights(parts), weights(whole), atol=1e-6)
    np.testing.assert_allclose(
        parts.history_[:, "train_loss"], whole.history_[:, "train_loss"], rtol=1e-5
    )
    assert parts.history_[:, "epoch"] == [1, 2, 3, 4, 5, 6]
    assert parts.estimators_[0] is not first


def test_without_a_warm_start_a_second_fit_is_the_first(data):
    clf = ensemble().fit(*data)
    before = weights(clf)
    np.testing.assert_array_equal(weights(clf.fit(*data)), before)
    assert len(clf.history_) == 4


def test_a_warm_start_adds_the_members_that_a_larger_ensemble_has(data, device):
    X, y = data
    clf = ensemble(full_batch(), lam=0.0, warm_start=True, device=device)
    alone = clone(clf).fit(X, y).fit(X, y)
    grown = clone(clf).fit(X, y).set_params(n_estimators=6).fit(X, y)
    fresh = clone(clf).set_params(n_estimators=6).fit(X, y)
    assert len(grown.estimators_) == 6
    atol = 1e-6 if device == "cpu" else 1e-4
    np.testing.assert_allclose(weights(grown)[:N_MEMBERS], weights(alone), atol=atol)
    np.testing.assert_allclose(
        weights(grown)[N_MEMBERS:], weights(fresh)[N_MEMBERS:], atol=atol
    )


def test_a_warm_start_takes_changed_settings(data):
    X, y = data
    clf = ensemble(full_batch(), warm_start=True).fit(X, y)
    before = weights(clf)
    clf.set_params(estimator__lr=0.0, estimator__max_epochs=1).fit(X, y)
    np.testing.assert_array_equal(weights(clf), before)
    assert len(clf.history_) == 5


def test_a_warm_start_refuses_fewer_members_and_other_classes(data):
    X, y = data
    clf = ensemble(warm_start=True).fit(X, y)
    before = weights(clf)
    with pytest.raises(
        ValueError,
        match=r"The 'n_estimators' parameter of JointEnsembleClassifier must be at "
        r"least 4, the number of fitted members, when warm_start=True\. Got 2",
    ):
        clf.set_params(n_estimators=2).fit(X, y)
    clf.set_params(n_estimators=N_MEMBERS)
    with pytest.raises(ValueError, match="Got \\['dog'\\] besides"):
        clf.fit(X, np.where(y == "ant", "dog", y))
    clf.fit(X[y != "ant"], y[y != "ant"])  # some of the classes will do
    assert clf.classes_.tolist() == ["ant", "bee", "cat"]
    assert abs(weights(clf) - before).max() > 0


@pytest.mark.quick(6)
@pytest.mark.parametrize(
    "settings",
    [{"optimizer__momentum": 0.9}, {"optimizer": torch.optim.Adam, "lr": 0.05}],
    ids=str,
)
@pytest.mark.parametrize("lam", LAMS)
def test_partial_fits_are_the_epochs_of_a_fit(data, lam, settings, device):
    """The optimizer's state goes on with them."""
    X, y = data
    whole = ensemble(full_batch(max_epochs=3, **settings), lam=lam, device=device)
    parts = clone(whole)
    whole.fit(X, y)
    for _ in range(3):
        parts.partial_fit(X, y, classes=["cat", "ant", "bee"])
    atol = 1e-6 if device == "cpu" else 1e-4
    np.testing.assert_allclose(weights(parts), weights(whole), atol=atol)
    np.testing.assert_allclose(
        parts.history_[:, "train_loss"], whole.history_[:, "train_loss"], rtol=1e-4
    )
    np.testing.assert_allclose(
        parts.predict_proba(X), whole.predict_proba(X), atol=atol
    )
    np.testing.assert_allclose(parts.member_scores_, whole.member_scores_)


def test_partial_fit_goes_on_from_a_fit_or_a_pickle(data):
    X, y = data
    clf = ensemble(full_batch(max_epochs=2)).fit(X, y)
    expected = weights(ensemble(full_batch(max_epochs=3)).fit(X, y))
    again = pickle.loads(pickle.dumps(clf))
    for model in (clf, again):
        model.partial_fit(X, y)
        np.testing.assert_allclose(weights(model), expected, atol=1e-6)
        assert len(model.history_) == 3


def test_partial_fit_is_told_the_classes_once(data):
    X, y = data
    clf = ensemble()
    with pytest.raises(ValueError, match="must hold all labels in the first call"):
        clf.partial_fit(X, y)
    some = y != "cat"
    clf.partial_fit(X[some], y[some], classes=["ant", "bee", "cat"])
    assert clf.predict_proba(X).shape == (70, 3)
    clf.partial_fit(X[~some], y[~some])  # one class only
    clf.partial_fit(X, y, classes=["cat", "bee", "ant"])
    with pytest.raises(ValueError, match="must be as in the first call"):
        clf.partial_fit(X, y, classes=["ant", "bee"])
    with pytest.raises(ValueError, match="Got \\['dog'\\] besides"):
        clf.partial_fit(X, np.where(y == "ant", "dog", y))
    assert len(clf.history_) == 3


def test_partial_fit_takes_lam_as_it_is_now(data):
    """lam can be changed from epoch to epoch."""
    X, y = data
    clf = ensemble(full_batch(max_epochs=1), lam=0.0).fit(X, y)
    expected = clone(clf).set_params(warm_start=True).fit(X, y)
    expected.set_params(lam=1.0).fit(X, y)
    clf.set_params(lam=1.0).partial_fit(X, y)
    np.testing.assert_allclose(weights(clf), weights(expected), atol=1e-6)


@pytest.mark.parametrize("bootstrap", [False, True])
def test_partial_fit_adds_no_members(data, bootstrap):
    clf = ensemble(bootstrap=bootstrap).fit(*data).set_params(n_estimators=5)
    with pytest.raises(
        ValueError,
        match=r"^The 'n_estimators' parameter of JointEnsembleClassifier must be 4, "
        r"the number of fitted members, in partial_fit\. Got 5 instead\.$",
    ):
        clf.partial_fit(*data)
    clf.set_params(n_estimators=N_MEMBERS).partial_fit(*data)
    clf.drop_members([0]).partial_fit(*data)


# -- fits that fail ------------------------------------------------------------------


class Failing(Callback):
    """Fails in the epoch it is told to."""

    epoch = 2

    def on_batch_end(self, net, training=False, **kwargs):
        if len(net.history) == Failing.epoch:
            raise OSError("the disk is full")


def test_a_first_fit_that_fails_leaves_nothing(data):
    clf = ensemble(member(callbacks=[Failing()]))
    before = set(vars(clf))
    with pytest.raises(OSError, match="the disk is full"):
        clf.fit(*data)
    assert set(vars(clf)) == before
    clf.set_params(estimator__callbacks=None).fit(*data)


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_later_fit_that_fails_leaves_the_model_as_it_was(
    data, warm_start, monkeypatch
):
    X, y = data
    clf = ensemble(warm_start=warm_start).fit(X, y)
    before, proba, names = weights(clf), clf.predict_proba(X), set(vars(clf))
    monkeypatch.setattr(Failing, "epoch", 6 if warm_start else 2)
    clf.set_params(estimator__callbacks=[Failing()], n_estimators=6)
    for rows in [X] if warm_start else [X, np.hstack([X, X])]:
        with pytest.raises(OSError, match="the disk is full"):
            clf.fit(rows, y)
        assert set(vars(clf)) == names
        assert clf.n_features_in_ == 6
        assert len(clf.history_) == 4
        np.testing.assert_array_equal(clf.predict_proba(X), proba)
        np.testing.assert_array_equal(weights(clf), before)


def test_a_partial_fit_that_fails_leaves_the_model_as_it_was(data, monkeypatch):
    """The net had been trained on, while the members had not."""
    X, y = data
    clf = ensemble(member(callbacks=[Failing()]))
    clf.partial_fit(X, y, classes=np.unique(y))
    before, proba = weights(clf), clf.predict_proba(X)
    with pytest.raises(OSError, match="the disk is full"):
        clf.partial_fit(X, y)
    np.testing.assert_array_equal(weights(clf), before)
    np.testing.assert_allclose(clf.predict_proba(X), proba, atol=1e-6)
    assert len(clf.history_) == 1
    monkeypatch.setattr(Failing, "epoch", None)
    clf.partial_fit(X, y)
    assert abs(weights(clf) - before).max() > 0
    assert len(clf.history_) == 2


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_a_loss_that_becomes_nan_stops_the_fit(data, optimizer, device):
    X, y = data
    net = member(optimizer=optimizer, lr=1e30)
    clf = ensemble(net, device=device)
    message = (
        "^The training loss became (nan|inf) in epoch [1-9] \\(lr=1e\\+30, "
        "lam=0\\.5\\)\\. Lower the member's 'lr', or scale X \\(StandardScaler\\), and "
        "numbers in y, or clip gradients\\.$"
    )
    with pytest.raises(DivergenceError, match=message):
        clf.fit(X, y)
    assert not hasattr(clf, "estimators_")
    clf.set_params(estimator__lr=0.01).fit(X, y)
    proba = clf.predict_proba(X)
    with pytest.raises(DivergenceError, match=message):
        clf.set_params(estimator__lr=1e30, warm_start=True).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), proba)


class Interrupt(Callback):
    """Ctrl-C in epoch 3."""

    def on_batch_end(self, net, training=False, **kwargs):
        if len(net.history) == 3:
            raise KeyboardInterrupt


def test_an_interrupted_fit_keeps_what_was_learned(data, device):
    X, y = data
    net = full_batch(max_epochs=9, callbacks=[Interrupt()])
    clf = ensemble(net, device=device).fit(X, y)
    # The third step was taken before its batch ended.
    three = ensemble(full_batch(max_epochs=3), device=device).fit(X, y)
    atol = 1e-6 if device == "cpu" else 1e-4
    np.testing.assert_allclose(weights(clf), weights(three), atol=atol)
    np.testing.assert_allclose(
        clf.predict_proba(X), geometric_mean(clf.member_proba(X)), atol=1e-6
    )
    assert clf.score(X, y) == three.score(X, y)
    np.testing.assert_allclose(clf.member_scores_, three.member_scores_)
    assert len(clf.drop_members([0]).estimators_) == 3
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_allclose(again.predict_proba(X), clf.predict_proba(X), atol=1e-6)


# -- CUDA ----------------------------------------------------------------------------


@pytest.mark.gpu
def test_a_pickle_made_on_cuda_loads_where_there_is_none(data, tmp_path):
    X, y = data
    clf = ensemble(device="auto").fit(X, y)
    assert clf.net_.device == "cuda"
    with (tmp_path / "model.pkl").open("wb") as file:
        pickle.dump((clf, clf.estimators_[1], X), file)
    program = (
        "import pickle, sys, numpy as np, torch\n"
        "assert not torch.cuda.is_available()\n"
        "clf, member, X = pickle.load(open(sys.argv[1], 'rb'))\n"
        "np.save(sys.argv[2], [clf.predict_proba(X), member.predict_proba(X)])\n"
        "clf.partial_fit(X, clf.predict(X))\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, tmp_path / "model.pkl", tmp_path / "out.npy"],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        check=True,
    )
    proba, of_member = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(proba, clf.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(of_member, clf.member_proba(X)[1], atol=1e-5)
    again = pickle.loads((tmp_path / "model.pkl").read_bytes())[0]
    assert again.net_.device == "cuda"


@pytest.mark.gpu
def test_cuda_trains_the_model_of_the_cpu(data):
    """The same random_state gives the same initial weights and batches there."""
    X, y = data
    on_cpu = ensemble(full_batch()).fit(X, y)
    on_cuda = ensemble(full_batch(), device="cuda").fit(X, y)
    np.testing.assert_allclose(weights(on_cuda), weights(on_cpu), atol=1e-4)

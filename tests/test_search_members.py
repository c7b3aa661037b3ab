"""What a search says of the members, and what its scorers are given."""

import copy
import functools
import pickle
import warnings

import numpy as np
import pytest
import torch
from search_tools import LAMS, grid_search, member, of_splits, search
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score, log_loss, make_scorer, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from skorch.dataset import ValidSplit

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.losses import diversity


def loss_of(clf, X, y):
    return -log_loss(y, clf.predict_proba(X), labels=clf.classes_)


def plain_accuracy(y, predicted):
    return accuracy_score(y, predicted)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "scoring",
    [None, "accuracy", "neg_log_loss", "roc_auc", make_scorer(plain_accuracy), loss_of],
    ids=["default", "accuracy", "loss", "auc", "scorer", "function"],
)
def test_member_score_is_the_mean_of_the_members_own(scoring, cancer):
    X, y = cancer
    net, lams = member(train_split=ValidSplit(4)), (0.0, 0.9)
    fitted = search(net, lams=lams, cv=2, scoring=scoring, return_train_score=True).fit(
        X, y
    )

    for i, rows in enumerate(StratifiedKFold(2).split(X, y)):
        for j, lam in enumerate(lams):
            direct = JointEnsembleClassifier(
                net, n_estimators=2, lam=lam, random_state=0
            ).fit(X[rows[0]], y[rows[0]])
            for kind, part in zip(("train", "test"), rows, strict=True):
                expected = direct.score_members(X[part], y[part], scoring).mean()
                found = of_splits(fitted, "member_score", kind)[i, j]
                assert found == pytest.approx(expected, abs=1e-6)


def test_member_score_heeds_weights(cancer):
    X, y = cancer
    weight = np.random.RandomState(0).uniform(0, 3, len(y))
    fitted = search(lams=[0.5]).fit(X, y, sample_weight=weight)

    for i, (train, test) in enumerate(StratifiedKFold(3).split(X, y)):
        direct = JointEnsembleClassifier(
            member(), n_estimators=2, lam=0.5, random_state=0
        ).fit(X[train], y[train], sample_weight=weight[train])
        scores = [
            accuracy_score(y[test], each.predict(X[test]), sample_weight=weight[test])
            for each in direct.estimators_
        ]
        found = of_splits(fitted, "member_score")[i, 0]
        assert found == pytest.approx(np.mean(scores), abs=1e-6)


@pytest.mark.slow
def test_diversity_is_that_of_the_losses(iris):
    X, y = iris
    fitted = search(cv=2).fit(X, y)

    for i, (train, test) in enumerate(StratifiedKFold(2).split(X, y)):
        for j, lam in enumerate(LAMS):
            direct = JointEnsembleClassifier(
                member(), n_estimators=2, lam=lam, random_state=0
            ).fit(X[train], y[train])
            logits = torch.as_tensor(direct.member_proba(X[test])).log()
            found = of_splits(fitted, "diversity")[i, j]
            assert found == pytest.approx(diversity(logits).item(), rel=1e-6)


def test_diversity_is_the_gain_in_log_likelihood(cancer):
    """Eq. 5: the mean member's loss less the ensemble's."""
    fitted = search(scoring="neg_log_loss").fit(*cancer)

    gain = of_splits(fitted, "score") - of_splits(fitted, "member_score")
    np.testing.assert_allclose(of_splits(fitted, "diversity"), gain, atol=1e-9)


def test_scorer_of_the_users_own_may_know_ensembles_only(cancer):
    """What it makes of a member is not known then, and is no reason to warn."""

    def weakest(clf, X, y):
        return clf.score_members(X, y).min()

    fitted = search(scoring=weakest, error_score="raise").fit(*cancer)

    assert np.isfinite(fitted.cv_results_["mean_test_score"]).all()
    assert np.isnan(fitted.cv_results_["mean_test_member_score"]).all()
    assert np.isfinite(fitted.cv_results_["mean_test_diversity"]).all()


def parameters_of(clf, X, y, factor):
    """Something that predictions do not tell."""
    return factor * len(clf.get_params())


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("scoring", "refit", "name"),
    [
        (functools.partial(parameters_of, factor=1), True, "member_score"),
        ({"size": functools.partial(parameters_of, factor=1)}, "size", "member_size"),
    ],
    ids=["callable", "dict"],
)
def test_scorer_of_the_users_own_is_given_real_members(scoring, refit, name, cancer):
    fitted = search(scoring=scoring, refit=refit).fit(*cancer)

    expected = len(fitted.estimators_[0].get_params())
    assert (of_splits(fitted, name) == expected).all()


@pytest.mark.slow
def test_metrics_of_the_users_own_keep_their_names(cancer):
    scoring = {"diversity": "accuracy", "a": "accuracy", "member_a": "neg_log_loss"}
    plain = search(scoring=["accuracy", "neg_log_loss"], refit=False).fit(*cancer)

    fitted = search(scoring=scoring, refit="diversity").fit(*cancer)

    for ours, theirs in (("diversity", "accuracy"), ("member_a", "neg_log_loss")):
        np.testing.assert_array_equal(of_splits(fitted, ours), of_splits(plain, theirs))


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "scoring", ["roc_auc", ["accuracy", "roc_auc"]], ids=["one", "several"]
)
def test_a_score_that_fails_warns_as_grid_search_does(scoring, cancer):
    X, y = cancer
    order = np.argsort(y, kind="stable")
    cv = [(np.arange(100), np.arange(10)), (np.arange(100), np.arange(30, 80))]
    X, y = X[order], y[order]
    found = []
    for make in (search, grid_search):
        refit = "accuracy" if isinstance(scoring, list) else True
        made = make(scoring=scoring, cv=cv, refit=refit)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made.fit(X, y)
        found.append((made, [str(w.message) for w in caught]))
    (ours, our_warnings), (theirs, their_warnings) = found

    name = "roc_auc" if isinstance(scoring, list) else "score"
    for i in range(2):
        np.testing.assert_allclose(
            ours.cv_results_[f"split{i}_test_{name}"],
            theirs.cv_results_[f"split{i}_test_{name}"],
            atol=1e-6,
        )
    assert any("Only one class is present" in message for message in our_warnings)
    assert sorted(our_warnings) == sorted(their_warnings)


def test_scorers_may_keep_pickle_save_and_thin_out_ensembles(cancer, tmp_path):
    X, y = cancer
    seen = []

    def scoring(clf, rows, labels):
        if not isinstance(clf, JointEnsembleClassifier):
            return clf.score(rows, labels)
        proba = clf.predict_proba(rows)
        for other in (copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))):
            np.testing.assert_allclose(other.predict_proba(rows), proba)
            np.testing.assert_array_equal(other.member_scores_, clf.member_scores_)
        clf.save(tmp_path / "ensemble")
        loaded = JointEnsembleClassifier.load(tmp_path / "ensemble")
        np.testing.assert_allclose(loaded.predict_proba(rows), proba)
        one = clf.drop_members([0])
        np.testing.assert_allclose(one.predict_proba(rows), clf.member_proba(rows)[1])
        seen.append(clf)
        return clf.score(rows, labels)

    search(scoring=scoring, error_score="raise", refit=False).fit(X, y)

    assert len(seen) == 9
    assert all(len(clf.estimators_) == 2 for clf in seen)
    assert roc_auc_score(y, seen[0].predict_proba(X)[:, 1]) > 0.5


def test_labels_in_a_column(iris):
    """They were compared with the predictions of every row."""
    X, y = iris
    flat = search(refit=False).fit(X, y)

    with pytest.warns(DataConversionWarning):
        column = search(refit=False).fit(X, y[:, None])

    for name in ("mean_test_score", "mean_test_member_score"):
        np.testing.assert_array_equal(column.cv_results_[name], flat.cv_results_[name])


def test_rows_without_weight_say_nothing_of_the_members(iris):
    X, y = iris
    weight = np.ones(len(y))
    train, test = np.arange(60), np.arange(60, len(y))
    weight[test] = 0

    fitted = search(cv=[(train, test)], refit=False)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted.fit(X, y, sample_weight=weight)

    assert np.isnan(fitted.cv_results_["mean_test_member_score"]).all()

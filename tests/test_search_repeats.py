"""Seeds of a search: what differs between repeats, and what never between lams."""

import numpy as np
import pytest
from search_tools import LAMS, Keeper, assert_same_seen, member, search
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from tools import two_classes

from sklearn_jointens import JointEnsembleClassifier


@pytest.fixture
def data():
    return two_classes(80)


def by_split(fitted, name="score"):
    """Scores of shape (n_splits, n_lams)."""
    results = fitted.cv_results_
    return np.array([results[f"split{i}_test_{name}"] for i in range(fitted.n_splits_)])


@pytest.mark.slow
def test_the_first_repeat_is_the_search_without_repeats(data):
    once, thrice = (
        search(scoring="neg_log_loss", n_repeats=n, refit=False).fit(*data)
        for n in (1, 3)
    )

    assert thrice.n_splits_ == 3 * once.n_splits_ == 9
    first, second, third = by_split(thrice).reshape(3, 3, -1)
    np.testing.assert_allclose(first, by_split(once), rtol=1e-9)
    assert not np.isclose(first, second).any()
    assert not np.isclose(second, third).any()
    np.testing.assert_allclose(
        thrice.cv_results_["mean_test_score"], by_split(thrice).mean(axis=0)
    )


@pytest.mark.slow
def test_each_repeat_is_a_grid_search_of_its_own_seed(data):
    ours, theirs = Keeper(), Keeper()
    search(n_repeats=2, scoring=ours.scorer(), refit=False).fit(*data)
    seeds = {seed for seed, _, _ in ours.seen}

    for seed in seeds:
        GridSearchCV(
            JointEnsembleClassifier(member(), n_estimators=2, random_state=seed),
            {"lam": LAMS},
            cv=3,
            scoring=theirs.scorer(),
            refit=False,
        ).fit(*data)

    assert len(seeds) == 2
    assert_same_seen(ours, theirs, atol=1e-6)


def test_repeats_follow_each_other_over_the_same_folds(data):
    """Folds of a splitter that shuffles anew at every call, too."""
    cv = StratifiedKFold(3, shuffle=True, random_state=np.random.RandomState(0))

    def what(clf, X, y):
        seed = getattr(clf, "random_state", -1)
        return {"seed": seed, "fold": float(X.sum())}

    fitted = search(cv=cv, n_repeats=3, scoring=what, refit="fold").fit(*data)

    seeds = by_split(fitted, "seed").reshape(3, 3, -1)
    assert (seeds == seeds[:, :1, :1]).all()
    assert len(np.unique(seeds)) == 3
    assert (seeds[0] == 0).all()
    folds = by_split(fitted, "fold").reshape(3, 3, -1)
    assert (folds == folds[:1, :, :1]).all()
    assert len(np.unique(folds)) == 3
    assert fitted.best_estimator_.random_state == 0


def test_members_of_a_fold_start_from_the_same_weights_for_every_lam(data):
    keeper = Keeper()
    search(member(max_epochs=0), n_repeats=2, scoring=keeper.scorer(), refit=False).fit(
        *data
    )

    starts = {}
    for (seed, _, rows), seen in keeper.seen.items():
        starts.setdefault((seed, rows), []).append(seen["member"])
    assert len(starts) == 6
    for first, *others in starts.values():
        assert len(others) == len(LAMS) - 1
        for other in others:
            np.testing.assert_array_equal(first, other)
    distinct = {first.tobytes() for first, *_ in starts.values()}
    assert len(distinct) == len(starts)


@pytest.mark.slow
def test_no_random_state_gives_other_weights_at_every_fit(data):
    clf = search(
        member(max_epochs=0), random_state=None, scoring="neg_log_loss", n_repeats=2
    )
    first, second = (by_split(clf.fit(*data)) for _ in range(2))

    for scores in (first, second):  # the same for every lam
        np.testing.assert_array_equal(scores, scores[:, :1].repeat(len(LAMS), axis=1))
    assert not np.isclose(first, second).any()
    assert isinstance(clf.best_estimator_.random_state, int)


@pytest.mark.slow
def test_a_generator_is_advanced_and_repeats_what_it_gave(data):
    settings = {"scoring": "neg_log_loss", "n_repeats": 2, "refit": False}
    generator = np.random.RandomState(7)
    clf = search(random_state=generator, **settings)

    first, second = (by_split(clf.fit(*data)) for _ in range(2))
    again = by_split(
        search(random_state=np.random.RandomState(7), **settings).fit(*data)
    )

    assert not np.isclose(first, second).any()
    np.testing.assert_array_equal(first, again)
    assert clf.random_state is generator


def test_same_seed_same_search(data):
    first, second = (search(bootstrap=True).fit(*data) for _ in range(2))

    np.testing.assert_array_equal(by_split(first), by_split(second))
    X, _ = data
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))


def test_the_final_ensemble_is_the_one_of_the_first_seed(data):
    X, y = data
    fitted = search(n_repeats=2, bootstrap=True, random_state=5).fit(X, y)

    direct = JointEnsembleClassifier(
        member(), n_estimators=2, lam=fitted.lam_, bootstrap=True, random_state=5
    ).fit(X, y)

    np.testing.assert_array_equal(fitted.predict_proba(X), direct.predict_proba(X))

"""Fits that fail: which, what is noted of them, and what is raised."""

import warnings

import numpy as np
import pytest
import torch
from search_tools import LAMS, Keeper, assert_same_seen, member, search
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from tools import two_classes

from sklearn_jointens import DivergenceError, JointEnsembleClassifier
from sklearn_jointens.training._joint_net import JointNet


@pytest.fixture
def data():
    """Rows 60 to 89 are so large that a step on them is too long."""
    X, y = two_classes(90)
    X[60:] *= 1e150
    return X, y


# Of these, the third has none of the large rows.
FOLDS = [
    (np.arange(30, 90), np.arange(30)),
    (np.r_[0:30, 60:90], np.arange(30, 60)),
    (np.arange(60), np.arange(20)),
]


def diverging(**params):
    return member(optimizer=torch.optim.SGD, lr=0.1, **params)


def both(net, data, cv=FOLDS, **params):
    """Both searches, with their warnings."""
    of_ensemble = {"n_estimators": 2, "random_state": 0}
    params = {"cv": cv, "refit": False, **params}
    for made in (
        search(net, **params),
        GridSearchCV(
            JointEnsembleClassifier(net, **of_ensemble), {"lam": list(LAMS)}, **params
        ),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made.fit(*data)
        yield made, [w for w in caught if w.category is not RuntimeWarning]


def splits_of(made, name="score"):
    results = made.cv_results_
    return np.array([results[f"split{i}_test_{name}"] for i in range(made.n_splits_)])


@pytest.mark.quick(1)
@pytest.mark.parametrize("error_score", [np.nan, 0.25, -3])
@pytest.mark.parametrize("scoring", [None, ["accuracy", "neg_log_loss"]])
def test_ensembles_that_diverge_are_noted_as_grid_search_does(
    scoring, error_score, data
):
    name = "score" if scoring is None else "neg_log_loss"
    (ours, our_warnings), (theirs, their_warnings) = both(
        diverging(), data, scoring=scoring, error_score=error_score
    )

    assert ours.batching_.method == "program"
    np.testing.assert_allclose(
        splits_of(ours, name), splits_of(theirs, name), atol=1e-6
    )
    expected = np.full(3, error_score)
    np.testing.assert_array_equal(splits_of(ours, name)[:2], [expected] * 2)
    assert np.isfinite(splits_of(ours, name)[2]).all()
    for of_members in (f"member_{name}", "diversity"):
        assert np.isnan(splits_of(ours, of_members)[:2]).all()
        assert np.isfinite(splits_of(ours, of_members)[2]).all()
    assert [w.category for w in our_warnings] == [w.category for w in their_warnings]
    message = str(our_warnings[0].message)
    assert our_warnings[0].category is FitFailedWarning
    assert "6 fits failed out of a total of 9" in message
    assert "DivergenceError: The training loss became" in message
    assert "in epoch 1 (lr=0.1, lam=0.5)" in message


@pytest.mark.quick(1)
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_one_lam_may_diverge_and_the_others_go_on(epoch, monkeypatch):
    X, y = two_classes(90)
    check_finite = JointNet._check_finite

    def at_one_half(net):
        check_finite(net)
        if net.lam_ == 0.5 and len(net.history) == epoch:
            raise DivergenceError("not at one half")

    monkeypatch.setattr(JointNet, "_check_finite", at_one_half)
    keepers = Keeper(), Keeper()
    settings = {"cv": 3, "refit": False}
    fitted = search(scoring=keepers[0].scorer(), **settings)
    grid = GridSearchCV(
        JointEnsembleClassifier(member(), n_estimators=2, random_state=0),
        {"lam": list(LAMS)},
        scoring=keepers[1].scorer(),
        **settings,
    )
    for made in (fitted, grid):
        with (
            pytest.warns(FitFailedWarning, match="3 fits failed"),
            pytest.warns(UserWarning, match="non-finite"),
        ):
            made.fit(X, y)

    assert fitted.batching_.method == "program"
    np.testing.assert_array_equal(
        np.isnan(splits_of(fitted)), [[False, True, False]] * 3
    )
    assert len(keepers[0].seen) == 6
    assert_same_seen(*keepers, atol=1e-6)


def test_an_error_is_raised_where_that_is_asked_for(data):
    clf = search(diverging(), cv=FOLDS, error_score="raise")

    with pytest.raises(DivergenceError, match=r"Lower the member's 'lr'"):
        clf.fit(*data)

    assert [name for name in vars(clf) if name.endswith("_")] == []


def test_all_fits_fail(data):
    X, y = data

    with pytest.raises(ValueError, match="All the 6 fits failed") as caught:
        search(diverging(), cv=FOLDS[:2]).fit(X, y)

    assert "DivergenceError" in str(caught.value)


@pytest.mark.quick(1)
@pytest.mark.parametrize("error_score", [np.nan, 0.5])
def test_training_set_of_one_class_is_noted(error_score, data):
    X, y = data
    X = X[:60]
    y = np.sort(y[:60])
    cv = [
        (np.flatnonzero(y == 0), np.flatnonzero(y == 1)),
        (np.arange(0, 60, 2), np.arange(1, 60, 2)),
    ]
    (ours, our_warnings), (theirs, _) = both(
        member(), (X, y), cv=cv, error_score=error_score
    )

    np.testing.assert_allclose(splits_of(ours), splits_of(theirs), atol=1e-6)
    np.testing.assert_array_equal(splits_of(ours)[0], np.full(3, error_score))
    assert "must hold at least 2 classes" in str(our_warnings[0].message)
    assert ours.batching_.method == "program"


def test_training_set_whose_weights_leave_one_class(data):
    X, y = data
    X = X[:60]
    y = np.arange(60) % 2
    weight = np.ones(60)
    weight[:30] = y[:30]
    cv = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]

    with (
        pytest.warns(FitFailedWarning, match="above zero"),
        pytest.warns(UserWarning, match="non-finite"),
    ):
        fitted = search(cv=cv).fit(X, y, sample_weight=weight)

    assert np.isnan(splits_of(fitted)[0]).all()
    assert np.isfinite(splits_of(fitted)[1]).all()


def test_lam_that_failed_is_not_chosen(data):
    X, y = data
    scores = {0.0: 1.0, 0.5: 3.0, 1.0: np.nan}

    with pytest.warns(UserWarning, match="non-finite"):
        fitted = search(scoring=lambda clf, X, y: scores[getattr(clf, "lam", 0.0)]).fit(
            X[:60], y[:60]
        )

    assert fitted.lam_ == 0.5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:overflow")
def test_divergence_after_the_best_epoch_is_still_an_error():
    X, y = two_classes(90)
    net = diverging(
        max_epochs=30,
        train_split=ValidSplit(3),
        callbacks=[("stop", EarlyStopping(patience=1000, load_best=True))],
    ).set_params(lr=8.0, optimizer__weight_decay=12.5)

    with pytest.raises(ValueError, match="All the 9 fits failed"):
        search(net, refit=False).fit(X, y)
    stopped = search(net.set_params(max_epochs=3), refit=False).fit(X, y)

    assert np.isfinite(splits_of(stopped)).all()

"""What several tests of searches share: small ones, and the comparison of two."""

import joblib
import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale
from sklearn.utils import shuffle
from skorch.callbacks import EarlyStopping
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    JointEnsembleRegressor,
    JointEnsembleRegressorCV,
    MemberFolds,
    mlp_classifier,
)
from sklearn_jointens._ensemble import BaseJointEnsemble
from sklearn_jointens.training import MemberNetClassifier

LAMS = (0.0, 0.5, 1.0)

# Of 100 rows.
UNEQUAL_FOLDS = [
    (np.arange(60), np.arange(60, 90)),
    (np.arange(8, 85), np.arange(85, 100)),
    (np.arange(50, 83), np.arange(10)),
]


def rows_of(load, n=100):
    """Scaled rows of one of scikit-learn's data sets."""
    X, y = load(return_X_y=True)
    return shuffle(scale(X), y, n_samples=n, random_state=0)


class Normalized(nn.Module):
    """A member whose rows are not independent of one another in training."""

    def __init__(self, n_features_in, n_classes, dtype=None):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features_in, 6, dtype=dtype),
            nn.BatchNorm1d(6, dtype=dtype),
            nn.ReLU(),
            nn.Linear(6, n_classes, dtype=dtype),
        )

    def forward(self, x):
        return self.layers(x)


def member(hidden=(6,), **params):
    """A small member, quick to train."""
    return mlp_classifier(hidden, **{"max_epochs": 3, "batch_size": 16, **params})


def member_of(module, **params):
    """A member with a module of its own."""
    settings = {
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.Adam,
        "lr": 0.01,
        "max_epochs": 3,
        "batch_size": 16,
        "iterator_train__shuffle": True,
        "train_split": None,
        "verbose": 0,
    }
    return MemberNetClassifier(module, **{**settings, **params})


def stopping(monitor="valid_loss", **params):
    """Callbacks that stop early."""
    settings = {"monitor": monitor, "patience": 2, "load_best": True}
    return [("stop", EarlyStopping(**{**settings, **params}))]


def search(estimator=None, **params):
    """A small search, quick to fit."""
    settings = {"n_estimators": 2, "lams": LAMS, "cv": 3, "random_state": 0}
    estimator = member() if estimator is None else estimator
    return JointEnsembleClassifierCV(estimator, **{**settings, **params})


def folded(n_splits=3, **params):
    """A small member that leaves folds out."""
    return member(**{"train_split": MemberFolds(n_splits), **params})


def ensemble_of_folds(estimator=None, **params):
    estimator = folded() if estimator is None else estimator
    settings = {"n_estimators": 4, "random_state": 0}
    return JointEnsembleClassifier(estimator, **{**settings, **params})


def grid_search(**params):
    settings = {"cv": 2, **params}
    clf = JointEnsembleClassifier(member(), n_estimators=2, random_state=0)
    return GridSearchCV(clf, {"lam": list(LAMS)}, **settings)


def of_splits(fitted, name, kind="test"):
    """Scores of shape (n_splits, n_lams)."""
    results = fitted.cv_results_
    return np.array(
        [results[f"split{i}_{kind}_{name}"] for i in range(fitted.n_splits_)]
    )


class Keeper:
    """Keeps what there is to see of each ensemble that it is asked to score."""

    def __init__(self):
        self.seen = {}

    def scorer(self):
        def score(fitted, X, y, sample_weight=None):
            if isinstance(fitted, BaseJointEnsemble):
                key = fitted.random_state, fitted.lam, joblib.hash(X)
                assert key not in self.seen
                self.seen[key] = {
                    **_predictions(fitted, X),
                    "member_scores": fitted.member_scores_,
                    **_figures(fitted.history_),
                }
            return fitted.score(X, y, sample_weight)

        return score


def _predictions(fitted, X):
    """Of the ensemble and of its members, by name."""
    if not is_classifier(fitted):
        return {"member": fitted.member_predict(X), "ensemble": fitted.predict(X)}
    return {"member": fitted.member_proba(X), "ensemble": fitted.predict_proba(X)}


def _figures(history):
    """All that a history holds but times and single batches, by name."""
    names = sorted({name for row in history for name in row} - {"batches", "dur"})
    return {f"history {name}": [row[name] for row in history] for name in names}


def assert_same_seen(first, second, atol):
    """Both keepers have seen the same ensembles."""
    assert first.seen.keys() == second.seen.keys()
    for key, figures in first.seen.items():
        assert figures.keys() == second.seen[key].keys()
        for name, values in figures.items():
            expected = second.seen[key][name]
            np.testing.assert_allclose(
                np.array(values, dtype=float),
                np.array(expected, dtype=float),
                rtol=atol,
                atol=atol,
                err_msg=f"{name} of {key}",
            )


def assert_equals_grid_search(
    estimator,
    X,
    y,
    *,
    lams=(0.0, 0.7),
    cv=2,
    atol=1e-6,
    method="program",
    fit_params=None,
    of_search=None,
    classifies=True,
    **settings,
):
    """Every ensemble is the one that GridSearchCV fits; returns the fitted search.

    Predictions of ensembles and members, the members' scores and all that the histories
    hold are compared.
    """
    kind, kind_cv = (
        (JointEnsembleClassifier, JointEnsembleClassifierCV)
        if classifies
        else (JointEnsembleRegressor, JointEnsembleRegressorCV)
    )
    settings = {"n_estimators": 2, "random_state": 3, **settings}
    fit_params = {} if fit_params is None else fit_params
    ours, theirs = Keeper(), Keeper()
    fitted = kind_cv(
        estimator,
        lams=lams,
        cv=cv,
        scoring=ours.scorer(),
        refit=False,
        **settings,
        **({} if of_search is None else of_search),
    ).fit(X, y, **fit_params)
    grid = GridSearchCV(
        kind(estimator, **settings),
        {"lam": list(lams)},
        cv=cv,
        scoring=theirs.scorer(),
        refit=False,
    ).fit(X, y, **fit_params)

    assert fitted.batching_.method == method, fitted.batching_
    assert_same_seen(ours, theirs, atol)
    assert len(ours.seen) == len(lams) * fitted.n_splits_
    np.testing.assert_allclose(
        fitted.cv_results_["mean_test_score"],
        grid.cv_results_["mean_test_score"],
        atol=atol,
    )
    return fitted

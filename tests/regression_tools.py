"""What several tests of regressors share: data, and small members that are quick."""

import numpy as np
from sklearn.datasets import make_friedman1

from sklearn_jointens import (
    JointEnsembleRegressor,
    mlp_regressor,
    tabular_regressor,
)


def data(n=120):
    """Rows, and numbers with a mean of 14 and a standard deviation of 5."""
    return make_friedman1(n, n_features=6, random_state=0)


def plain(**params):
    """A member that learns y as it is."""
    settings = {"max_epochs": 3, "batch_size": 16, "lr": 0.02}
    return mlp_regressor((6,), **{**settings, **params})


def table(**params):
    """A member for tables, which learns y in units of its own."""
    settings = {"max_epochs": 8, "n_splits": 2, "lr": 0.02}
    return tabular_regressor((6,), **{**settings, **params})


def ensemble(member=None, **params):
    settings = {"n_estimators": 2, "lam": 0.5, "random_state": 0}
    member = table() if member is None else member
    return JointEnsembleRegressor(member, **{**settings, **params})


def units(fitted):
    """Origin and unit of the first target."""
    targets = fitted.net_.targets_
    return targets.origin[0], targets.unit[0]


def in_units(fitted, y):
    """y as the members learn it."""
    origin, unit = units(fitted)
    return (np.asarray(y) - origin) / unit

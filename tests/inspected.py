"""Fitted ensembles that tests of the inspections look into."""

import functools

import numpy as np
from kinds import KINDS, rows

BY_NAME = {kind.name: kind for kind in KINDS}


@functools.cache
def fitted(name, n_estimators=5, **params):
    """An ensemble for a kind of targets, fitted once; not to be changed."""
    kind = BY_NAME[name]
    return kind.ensemble(n_estimators=n_estimators, **params).fit(rows(), kind.y)


def integer_weights(n_rows=60):
    return np.random.RandomState(5).randint(0, 4, size=n_rows)

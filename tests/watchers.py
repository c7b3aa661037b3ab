"""scikit-learn's callbacks that keep what they hear, and what is compared of it."""

import signal

import numpy as np
from sklearn.base import is_classifier


def path_of(context):
    """Who does which task, the whole first."""
    own = context.estimator_name, context.task_name, context.task_id
    return (*(() if context.parent is None else path_of(context.parent)), own)


def steps_of(path):
    """The same without who does it: (task, number) from the whole to the part."""
    return tuple(step[1:] for step in path)


class Hears:
    """Keeps what it hears; set on an ensemble, it hears of that alone."""

    def __init__(self):
        self.heard = []

    def setup(self, estimator, context):
        self._hear("setup", context)

    def on_fit_task_begin(self, estimator, context):
        self._hear("begin", context)

    def on_fit_task_end(self, estimator, context):
        self._hear("end", context)

    def teardown(self, estimator, context):
        self._hear("teardown", context)

    def _hear(self, what, context):
        self.heard.append((what, path_of(context)))

    def steps(self, what):
        return [steps_of(path) for said, path in self.heard if said == what]


class HearsAll(Hears):
    """Set on a search or a pipeline, it hears of the fits within that too."""

    max_propagation_depth = None


class Writes(HearsAll):
    """Writes to a file what it hears, which all processes can."""

    def __init__(self, path):
        self.path = path

    def _hear(self, what, context):
        with self.path.open("a") as file:
            file.write(repr((what, path_of(context))) + "\n")


class Keeps(HearsAll):
    """Keeps the ensemble of every epoch, and what it was shown with it."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    def on_fit_task_end(
        self,
        estimator,
        context,
        *,
        X=None,
        y=None,
        metadata=None,
        fitted_estimator=None,
    ):
        super().on_fit_task_end(estimator, context)
        self.kept[steps_of(path_of(context))] = fitted_estimator, X, y, metadata

    def epochs(self):
        """The ensembles of the epochs of the last fit."""
        steps = sorted(s for s in self.kept if s[-1][0] == "epoch")
        return [self.kept[s][0] for s in steps]


class Stops(HearsAll):
    """Asks to stop at the end of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_fit_task_end(self, estimator, context):
        super().on_fit_task_end(estimator, context)
        return (context.task_name, context.task_id) == ("epoch", self.epoch)


class Does(Hears):
    """Calls a function when it hears of something for the `at`-th time."""

    def __init__(self, function, what, at=2):
        super().__init__()
        self.function, self.what, self.at = function, what, at

    def _hear(self, what, context):
        super()._hear(what, context)
        times = [said for said, _ in self.heard].count(what)
        if what == self.what and times == self.at:
            self.function()


def fail():
    raise ZeroDivisionError


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def predictions(ensemble, X):
    if is_classifier(ensemble):
        return ensemble.predict_proba(X), ensemble.member_proba(X)
    return ensemble.predict(X), ensemble.member_predict(X)


def assert_same_ensemble(one, other, X, exactly=True):
    """All that is found is the same: weights by what they predict."""
    atol = 0 if exactly else 1e-6
    for found, expected in zip(predictions(one, X), predictions(other, X), strict=True):
        np.testing.assert_allclose(found, expected, rtol=atol, atol=atol)
    for member, expected in zip(one.estimators_, other.estimators_, strict=True):
        np.testing.assert_allclose(
            member.predict_proba(X) if is_classifier(one) else member.predict(X),
            expected.predict_proba(X) if is_classifier(one) else expected.predict(X),
            rtol=atol,
            atol=atol,
        )
    np.testing.assert_allclose(one.member_scores_, other.member_scores_, atol=1e-6)
    assert (one.n_iter_, one.best_epoch_) == (other.n_iter_, other.best_epoch_)
    names = [name for name in other.history_[-1] if name not in ("dur", "batches")]
    for row, expected in zip(one.history_, other.history_, strict=True):
        assert row.keys() == expected.keys()
        for name in names:
            np.testing.assert_allclose(row[name], expected[name], atol=atol, rtol=1e-6)

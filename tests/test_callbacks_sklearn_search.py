"""scikit-learn's callbacks on searches and pipelines: each fit, and its epochs."""

import ast
import signal
import threading
from collections import Counter

import cloudpickle
import numpy as np
import pytest
import torch
from kinds import KINDS, rows
from search_tools import UNEQUAL_FOLDS, member, stopping
from sklearn.datasets import make_classification
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.parallel import Parallel
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from watchers import (
    Does,
    Hears,
    HearsAll,
    Keeps,
    Stops,
    Writes,
    assert_same_ensemble,
    ctrl_c,
    fail,
)

from sklearn_jointens import JointEnsembleClassifier, JointEnsembleClassifierCV
from sklearn_jointens._search import _grid

callback = pytest.importorskip("sklearn.callback", reason="is scikit-learn's from 1.9")

LAMS = (0.0, 1.0)
N_EPOCHS = 3
EVALUATION = "candidate-split-evaluation"


class Own(Callback):
    """A user's own, so that ensembles are trained one by one."""


MEMBERS = {
    "program": {},
    "one by one": {"callbacks": [("own", Own())]},
    "stopping": {"train_split": ValidSplit(3), "callbacks": stopping(patience=1)},
}


@pytest.fixture
def data():
    return make_classification(n_samples=100, n_features=5, random_state=0)


@pytest.fixture
def _handler():
    """Python's own: a shell that runs tests in the background ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ensemble(**params):
    return JointEnsembleClassifier(member(**params), 2, random_state=0)


def search(cv=2, of_member=None, **params):
    net = member(**({} if of_member is None else of_member))
    return JointEnsembleClassifierCV(net, 2, LAMS, cv, random_state=0, **params)


def grid_search(cv=2, of_member=None, **params):
    clf = ensemble(**({} if of_member is None else of_member))
    return GridSearchCV(clf, {"lam": LAMS}, cv=cv, **params)


def tree(heard):
    """What was heard, and how often; searches of all kinds have one name."""

    def renamed(path):
        top = path[0][0]
        return tuple(("search" if who == top else who, *step) for who, *step in path)

    return Counter((what, *renamed(path)) for what, path in heard)


def tree_of(kind, make, data, **params):
    hears = kind()
    make(**params).set_callbacks(hears).fit(*data)
    return tree(hears.heard)


# -- which tasks there are -------------------------------------------------------------


@pytest.mark.quick(3)
@pytest.mark.parametrize("kind", [Hears, HearsAll])
@pytest.mark.parametrize(
    ("way", "refit"), [*((way, True) for way in MEMBERS), ("program", False)]
)
def test_tasks_are_those_of_grid_search(kind, way, refit, data):
    params = {"of_member": MEMBERS[way], "refit": refit, "cv": UNEQUAL_FOLDS}
    ours, theirs = (tree_of(kind, of, data, **params) for of in (search, grid_search))

    assert ours == theirs
    n_fits = 3 * len(LAMS)
    evaluations = [path for path in ours if path[-1][1] == EVALUATION]
    assert len(evaluations) == (2 * n_fits if kind is Hears else 0)


class InPickles(Parallel):
    """Stands in for processes, which are given copies."""

    def __init__(self, n_jobs, **settings):
        super().__init__(1, **settings)

    def __call__(self, calls):
        return super().__call__(cloudpickle.loads(cloudpickle.dumps(c)) for c in calls)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["program", "one by one"])
def test_tasks_in_processes_are_those_of_grid_search(way, data, tmp_path, monkeypatch):
    monkeypatch.setattr(_grid, "Parallel", InPickles)
    path = tmp_path / "heard"
    fitted = search(of_member=MEMBERS[way], n_jobs=2).set_callbacks(Writes(path))
    fitted.fit(*data)

    heard = map(ast.literal_eval, path.read_text().splitlines())
    assert tree(heard) == tree_of(HearsAll, grid_search, data)
    assert fitted.batching_.n_programs == (2 if way == "program" else 0)


def test_fits_of_a_program_go_on_side_by_side(data):
    hears = HearsAll()
    fitted = search(refit=False).set_callbacks(hears).fit(*data)

    assert fitted.batching_.method == "program"
    depths = [(what, len(path)) for what, path in hears.heard]
    n_fits = 2 * len(LAMS)
    assert depths[:3] == [("setup", 1), ("begin", 1), ("begin", 2)]
    # Each fit, its first epoch, and so on.
    assert depths[3 : 3 + n_fits] == [("begin", 3)] * n_fits
    assert hears.steps("begin")[2 + n_fits :][:n_fits] == [
        (("fit", 0), ("search", 0), ("fit", i), ("epoch", 0)) for i in (0, 2, 1, 3)
    ]


def test_fits_that_fail_are_tasks_too(data):
    """As that to a training set of one class does."""
    X, y = data
    one_class = np.flatnonzero(y == 0)[:20], np.arange(20)
    cv = [*UNEQUAL_FOLDS[:2], one_class]
    trees = []
    for make in (search, grid_search):
        with pytest.warns(FitFailedWarning):
            trees.append(tree_of(Hears, make, (X, y), cv=cv, error_score=0.5))
    assert trees[0] == trees[1]


def test_an_epoch_in_which_an_ensemble_diverges_does_not_end(data):
    trees, diverging = [], {"lr": 1e38, "optimizer": torch.optim.SGD}
    for make in (search, grid_search):
        hears = HearsAll()
        clf = make(of_member=diverging, error_score=0.5).set_callbacks(hears)
        with pytest.raises(ValueError, match="All the 4 fits failed"):
            clf.fit(*data)
        trees.append(tree(hears.heard))

    assert trees[0] == trees[1]
    n_epochs = Counter(path[0] for path in trees[0] if path[-1][1] == "epoch")
    assert n_epochs["begin"] - n_epochs["end"] == 2 * len(LAMS)


def test_after_a_program_that_failed_each_fit_comes_to_its_end_once(data, monkeypatch):
    expected = tree_of(HearsAll, grid_search, data)
    monkeypatch.setattr(_grid, "train_groups", lambda *_: fail())
    hears = HearsAll()
    fitted = search().set_callbacks(hears).fit(*data)

    assert fitted.batching_.method == "one by one"
    ends = tree((what, path) for what, path in hears.heard if what == "end")
    assert ends == Counter({key: n for key, n in expected.items() if key[0] == "end"})


@pytest.mark.quick(3)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_searches_over_every_kind_of_targets_can_be_watched(kind):
    keeps = Keeps()
    fitted = kind.search(lams=(0, 0.7), cv=2).set_callbacks(keeps)
    fitted.fit(rows(), kind.y)

    epochs = keeps.epochs()
    assert len(epochs) == 3 * (2 * 2 + 1)
    assert {type(each) for each in epochs} == {type(fitted.best_estimator_)}
    last = keeps.kept[("fit", 0), ("fit", 1), ("epoch", 2)][0]
    assert_same_ensemble(last, fitted.best_estimator_, rows())


# -- the ensembles ---------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", MEMBERS)
def test_an_epoch_of_a_search_shows_the_ensemble_alone(way, data):
    X, y = data
    keeps, weight = Keeps(), np.random.RandomState(0).uniform(size=100)
    clf = search(cv=UNEQUAL_FOLDS, of_member=MEMBERS[way]).set_callbacks(keeps)
    clf.fit(X, y, sample_weight=weight)

    shown = {
        steps[2][1]: keeps.kept[steps]
        for steps in keeps.kept
        if len(steps) == 4 and steps[-1] == ("epoch", 1)
    }
    assert len(shown) == 3 * len(LAMS)
    for number, (fitted, of_X, of_y, metadata) in shown.items():
        train = UNEQUAL_FOLDS[number % 3][0]
        np.testing.assert_array_equal(of_X, X[train])
        np.testing.assert_array_equal(of_y, y[train])
        np.testing.assert_array_equal(metadata["sample_weight"], weight[train])
        alone = ensemble(**MEMBERS[way]).set_params(
            lam=LAMS[number // 3], estimator__max_epochs=2
        )
        alone.fit(of_X, of_y, **metadata)
        assert_same_ensemble(fitted, alone, X, exactly=False)


def test_who_watches_a_search_changes_nothing(data):
    plain = search(of_member={"dropout": 0.2}).fit(*data)
    keeps = Keeps()
    watched = search(of_member={"dropout": 0.2}).set_callbacks(keeps).fit(*data)

    assert watched.batching_ == plain.batching_
    np.testing.assert_array_equal(
        watched.predict_proba(data[0]), plain.predict_proba(data[0])
    )
    for name in ("test_score", "test_diversity", "test_member_score"):
        of_both = (each.cv_results_[f"mean_{name}"] for each in (watched, plain))
        np.testing.assert_array_equal(*of_both)
    assert vars(watched).keys() - vars(plain).keys() == {"_skl_callbacks"}
    assert vars(watched.best_estimator_).keys() == vars(plain.best_estimator_).keys()


def test_a_monitor_scores_the_search_when_it_can_predict(data):
    monitor = callback.ScoringMonitor(scoring="accuracy")
    fitted = search().set_callbacks(monitor).fit(*data)

    (row,) = monitor.get_logs().data
    assert row["task_id_path"] == (0,)
    assert row["accuracy"] == fitted.score(*data)

    monitor = callback.ScoringMonitor(scoring="accuracy")
    search(refit=False).set_callbacks(monitor).fit(*data)
    with pytest.raises(ValueError, match="No logs"):
        monitor.get_logs()


# -- who stops, and errors -------------------------------------------------------------


class StopsOne(Stops):
    """Asks to stop where lam is 1."""

    def on_fit_task_end(self, estimator, context):
        asked = super().on_fit_task_end(estimator, context)
        return asked and getattr(estimator, "lam", None) == 1


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", MEMBERS)
def test_a_callback_stops_one_ensemble_of_a_search(way, data):
    fitted = [
        make(of_member=MEMBERS[way], cv=UNEQUAL_FOLDS).set_callbacks(StopsOne(0))
        for make in (search, grid_search)
    ]
    ours, theirs = (each.fit(*data) for each in fitted)

    assert tree(fitted[0]._skl_callbacks[0].heard) == tree(
        fitted[1]._skl_callbacks[0].heard
    )
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"]
    )


@pytest.mark.quick(2)
@pytest.mark.parametrize("what", ["begin", "end", "teardown"])
@pytest.mark.parametrize("way", ["program", "one by one"])
def test_an_error_of_a_callback_leaves_the_search_as_it_was(what, way, data):
    does, hears = Does(fail, what, at=1), Hears()
    clf = search(of_member=MEMBERS[way]).fit(*data).set_callbacks(does, hears)
    before = vars(clf).copy()
    with pytest.raises(ZeroDivisionError):
        clf.fit(*data)

    assert vars(clf) == before
    for each in (does, hears):
        assert each.steps("teardown") == [(("fit", 0),)]


class FailsInEpochs(HearsAll):
    def on_fit_task_end(self, estimator, context):
        super().on_fit_task_end(estimator, context)
        if context.task_name == "epoch":
            fail()


@pytest.mark.parametrize("way", ["program", "one by one"])
def test_an_error_in_an_epoch_is_one_of_the_fit(way, data):
    clf = search(of_member=MEMBERS[way]).set_callbacks(FailsInEpochs())
    with pytest.raises(ValueError, match="All the 4 fits failed") as caught:
        clf.fit(*data)
    assert "ZeroDivisionError" in str(caught.value)
    clf.set_params(error_score="raise")
    with pytest.raises(ZeroDivisionError):
        clf.fit(*data)


@pytest.mark.quick(2)
@pytest.mark.usefixtures("_handler")
@pytest.mark.parametrize("way", ["program", "one by one"])
@pytest.mark.parametrize("what", ["begin", "end"])
def test_ctrl_c_in_a_callback_ends_the_search(way, what, data):
    clf = search(of_member=MEMBERS[way]).fit(*data)
    does = type("DoesAll", (Does, HearsAll), {})(ctrl_c, what, at=5)
    before = vars(clf.set_callbacks(does)).copy()
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*data)
    assert vars(clf) == before
    assert does.heard[-1][0] == "teardown"


# -- within scikit-learn's own ---------------------------------------------------------


def test_a_pipeline_passes_its_callbacks_on(data):
    hears, monitor = HearsAll(), callback.ScoringMonitor(scoring="accuracy")
    clf = ensemble().set_callbacks(monitor)
    pipeline = make_pipeline(StandardScaler(), clf).set_callbacks(hears).fit(*data)

    names = [
        "StandardScaler",
        *["JointEnsembleClassifier"] * (N_EPOCHS + 1),
        "Pipeline",
    ]
    assert [path[-1][0] for what, path in hears.heard if what == "end"] == names
    assert monitor.get_logs().data[0]["accuracy"] == pipeline.score(*data)
    assert clf._skl_callbacks == [monitor]


def test_a_monitor_in_a_search_scores_every_fit(data):
    X, y = data
    monitor = callback.ScoringMonitor(scoring="accuracy")
    clf = ensemble().set_callbacks(monitor)
    GridSearchCV(clf, {"lam": [0, 1]}, cv=[(np.arange(40), np.arange(40, 80))]).fit(
        X, y
    )

    (log,) = monitor.get_logs("all")
    scores = {row["task_id_path"]: row["accuracy"] for row in log.data}
    assert len(scores) == 3 * (N_EPOCHS + 1)
    for i, lam in enumerate([0, 1]):
        for epoch in range(N_EPOCHS):
            alone = ensemble(max_epochs=epoch + 1).set_params(lam=lam)
            expected = alone.fit(X[:40], y[:40]).score(X[:40], y[:40])
            assert scores[0, 0, i, epoch] == expected


@pytest.mark.parametrize("of", ["ensemble", "pipeline", "search", "grid search"])
def test_a_progress_bar_shows_what_is_fitted(of, data, capsys):
    pytest.importorskip("rich")
    clf = ensemble()
    fitted = {
        "ensemble": clf,
        "pipeline": make_pipeline(StandardScaler(), clf),
        "search": JointEnsembleClassifierCV(
            clf.estimator, 2, lams=(0, 1), cv=2, random_state=0
        ),
        "grid search": GridSearchCV(clf, {"lam": [0, 1]}, cv=2),
    }[of]
    fitted.set_callbacks(callback.ProgressBar()).fit(*data)

    shown = capsys.readouterr().out.splitlines()
    n_bars = {"ensemble": 1, "pipeline": 3}.get(of, 3 + 4)
    assert len(shown) == n_bars
    assert shown[0].startswith(f"{type(fitted).__name__} - fit")
    assert not any("Progress" in repr(thread) for thread in threading.enumerate())

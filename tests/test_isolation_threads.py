"""Other threads, and other modules, are as they would be without an ensemble."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from torch import nn

from examples.stress import threads
from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
from sklearn_jointens.nn import MLP, vectorize_members
from sklearn_jointens.nn.structural import _trace


def in_another_thread(function):
    """The result of a function, or what it raised."""
    results = []

    def call():
        try:
            results.append(function())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return results[0]


UNRELATED = nn.Linear(3, 2)


class LooksAround(nn.Module):
    """While it is traced, runs a module that is not its own in another thread."""

    seen = []  # shared by copies

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x):
        if not isinstance(x, torch.Tensor):
            rows = torch.zeros(1, 3)
            self.seen.append(in_another_thread(lambda: UNRELATED(rows)))
            self.seen.append(UNRELATED(rows))
        return self.linear(x)


def test_other_modules_run_while_one_is_traced():
    """They raised NameError: torch's tracer had changed the class of all modules."""
    LooksAround.seen.clear()
    vectorized = vectorize_members([LooksAround() for _ in range(2)])
    assert vectorized.method == "structural"
    assert LooksAround.seen
    assert all(isinstance(output, torch.Tensor) for output in LooksAround.seen)


class Interrupts(nn.Module):
    """Is interrupted while it is traced."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x):
        if not isinstance(x, torch.Tensor):
            assert nn.Module.__call__ is CALL
            raise KeyboardInterrupt
        return self.linear(x)


CALL = nn.Module.__call__


def test_an_interrupted_trace_leaves_nothing_behind():
    with pytest.raises(KeyboardInterrupt):
        vectorize_members([Interrupts() for _ in range(2)])
    assert nn.Module.__call__ is CALL
    assert nn.Linear(3, 2)(torch.zeros(1, 3)).shape == (1, 2)


def test_a_trace_is_not_disturbed_by_draws_of_another_thread(monkeypatch):
    """What another thread drew meanwhile was taken for a draw of the module's own."""
    trace, drawn = _trace._Tracer.trace, []

    def trace_and_draw(tracer, root):
        if not drawn:
            drawn.append(in_another_thread(np.random.random))
        return trace(tracer, root)

    monkeypatch.setattr(_trace._Tracer, "trace", trace_and_draw)
    vectorized = vectorize_members([MLP(3, 2) for _ in range(2)])
    assert drawn
    assert vectorized.method == "structural"


@pytest.fixture
def fitted(iris):
    X, y = iris
    member = mlp_classifier(hidden_layer_sizes=(4,), max_epochs=2)
    clf = JointEnsembleClassifier(member, n_estimators=3, random_state=0)
    return clf.fit(X, y), X, y


def test_a_fitted_ensemble_is_not_traced_again(fitted, monkeypatch):
    """Unpickling, dropping members and warm starts traced the members once more."""
    clf, X, y = fitted
    assert clf.vectorization_.method == "structural"

    def refuse(*_):
        raise AssertionError("traced again")

    monkeypatch.setattr(_trace._Tracer, "trace", refuse)
    proba = clf.predict_proba(X)
    for again in (pickle.loads(pickle.dumps(clf)), copy.deepcopy(clf)):
        np.testing.assert_array_equal(again.predict_proba(X), proba)
        assert again.vectorization_ == clf.vectorization_
    smaller = clf.drop_members([1])
    np.testing.assert_array_equal(smaller.member_proba(X), clf.member_proba(X)[[0, 2]])
    clf.set_params(warm_start=True, n_estimators=5).fit(X, y)
    clf.partial_fit(X, y)
    assert clf.member_proba(X).shape[0] == 5
    for j, member in enumerate(clf.estimators_):
        np.testing.assert_allclose(
            member.predict_proba(X), clf.member_proba(X)[j], rtol=1e-5
        )


def test_unpickling_does_not_wait_for_a_fit(fitted):
    """It waited for the generators, which it has no need of."""
    clf, X, y = fitted
    pickled = pickle.dumps(clf)
    done = []

    class Unpickles(NeuralNetClassifier):
        def on_epoch_end(self, net, **kwargs):
            super().on_epoch_end(net, **kwargs)
            thread = threading.Thread(
                target=lambda: done.append(pickle.loads(pickled)), daemon=True
            )
            thread.start()
            thread.join(timeout=60)
            assert done, "it waits for the fit"

    net = Unpickles(
        MLP,
        criterion=nn.CrossEntropyLoss,
        module__hidden_layer_sizes=(4,),
        max_epochs=1,
        verbose=0,
    )
    JointEnsembleClassifier(net, n_estimators=2, random_state=0).fit(X, y)
    np.testing.assert_array_equal(done[0].predict_proba(X), clf.predict_proba(X))


@pytest.mark.core
def test_a_grid_search_in_threads_is_a_grid_search(iris):
    """Fits failed now and then, or came out otherwise, beside one another."""
    X, y = iris
    member = mlp_classifier(hidden_layer_sizes=(4,), max_epochs=2)
    clf = JointEnsembleClassifier(member, n_estimators=2, random_state=0)
    search = GridSearchCV(clf, {"lam": [0, 0.5, 1]}, cv=3, error_score="raise")
    alone = search.fit(X, y).cv_results_
    with parallel_config("threading", n_jobs=4):
        beside = search.fit(X, y).cv_results_
    for name in ("split0_test_score", "split1_test_score", "split2_test_score"):
        np.testing.assert_array_equal(beside[name], alone[name])


@pytest.mark.slow
def test_threads_do_not_disturb_one_another(tmp_path):
    report = threads.run(1.0, tmp_path)
    assert len(report) == 4
    for name, (n_calls, failures) in report.items():
        assert n_calls, name
        assert not failures, (name, failures[:3])

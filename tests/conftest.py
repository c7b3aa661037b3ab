"""Fixtures that several test files share."""

import os
import sys
from collections import defaultdict
from functools import partial

# Small tensors: more threads would only wait for one another. The same in processes
# that tests start, because another number of threads rounds differently. NumPy and
# torch look when they are imported.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import sklearn
import torch
from search_tools import rows_of
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import minmax_scale

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleRegressor,
    tabular_classifier,
    tabular_regressor,
)

torch.set_num_threads(1)


def pytest_configure(config):
    """What is asked for by its name is run, slow or not."""
    if all("::" in arg for arg in config.args) and config.option.markexpr == "not slow":
        config.option.markexpr = ""


def pytest_xdist_auto_num_workers(config):
    """One file is through before other processes would have begun."""
    if len(config.args) == 1 and config.args[0].partition("::")[0].endswith(".py"):
        return 0
    return None  # as many as there are cores


@pytest.hookimpl(tryfirst=True)  # before those marked slow are left out
def pytest_collection_modifyitems(items):
    _mark_slow(items)
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs CUDA")
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(skip)


def _mark_slow(items):
    """Pages of the docs, and parameter sets that a test marked ``quick`` has too many.

    No slow one is of the core.
    """
    tests = defaultdict(list)
    for item in items:
        if item.path.suffix == ".rst":
            item.add_marker("slow")
        marks = {mark.name for mark in item.iter_markers()}
        if "quick" in marks and not marks & {"slow", "gpu"}:
            tests[item.nodeid.partition("[")[0]].append(item)
    for of_test in tests.values():
        (n_quick,) = of_test[0].get_closest_marker("quick").args
        # By the golden ratio: evenly, and in step with no parameter.
        order = sorted(range(len(of_test)), key=lambda i: i * 0.618034 % 1)
        for i in order[n_quick:]:
            of_test[i].add_marker("slow")
    for item in items:
        if item.get_closest_marker("slow"):
            marks = [mark for mark in item.own_markers if mark.name != "core"]
            item.own_markers[:] = marks


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """Every device that a test should hold on."""
    return request.param


@pytest.fixture(scope="session")
def _digits():
    X, y = load_digits(return_X_y=True)
    X = minmax_scale(X).astype(np.float32)
    return train_test_split(
        X, y, train_size=400, test_size=200, stratify=y, random_state=0
    )


@pytest.fixture
def digits(_digits):
    """Scaled float32 digits: 400 rows to fit on, 10 classes. Safe to write to."""
    X_train, _, y_train, _ = _digits
    return X_train.copy(), y_train.copy()


@pytest.fixture
def digits_test(_digits):
    """200 rows of scaled float32 digits that ``digits`` does not contain."""
    _, X_test, _, y_test = _digits
    return X_test.copy(), y_test.copy()


@pytest.fixture(scope="module")
def iris():
    """100 scaled rows, 3 classes."""
    return rows_of(load_iris)


@pytest.fixture(scope="module")
def wine():
    """100 scaled rows, 3 classes."""
    return rows_of(load_wine)


@pytest.fixture(scope="module")
def cancer():
    """100 scaled rows, 2 classes."""
    return rows_of(load_breast_cancer)


@pytest.fixture(autouse=True)
def _no_figure_stays():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def _no_pictures(monkeypatch):
    """Pages of reports whose pictures are not looked at have empty ones."""
    panels = "sklearn_jointens.inspection._panels"
    monkeypatch.setattr(f"{panels}.svg_of", lambda draw: b"<svg/>")


@pytest.fixture
def _small_default_members(monkeypatch):
    """What is tested is all there; the default's sizes would take minutes."""
    for kind, make in (
        (JointEnsembleClassifier, tabular_classifier),
        (JointEnsembleRegressor, tabular_regressor),
    ):
        small = partial(make, (16,), max_epochs=20, lr=0.03)
        monkeypatch.setattr(kind, "make_member", staticmethod(small))


@pytest.fixture
def _routing():
    """Metadata are routed, as scikit-learn does when asked to."""
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def _seeded():
    """A net of skorch's draws from the global generators."""
    state = np.random.get_state()
    np.random.seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    np.random.set_state(state)

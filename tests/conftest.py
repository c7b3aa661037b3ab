"""Fixtures that several test files share."""

import os

import numpy as np
import pytest
import torch
from search_tools import rows_of
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import minmax_scale

# Small tensors: more threads would only wait for one another. The same in processes
# that tests start, because another number of threads rounds differently.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_modifyitems(items):
    """Skip what is marked ``gpu`` on a machine without CUDA."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs CUDA")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)


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


@pytest.fixture
def _seeded():
    """A net of skorch's draws from the global generators."""
    state = np.random.get_state()
    np.random.seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    np.random.set_state(state)

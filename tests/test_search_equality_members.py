"""One program gives what GridSearchCV gives, whatever the members and batches are."""

import numpy as np
import pytest
import torch
from scipy import sparse
from search_tools import (
    UNEQUAL_FOLDS,
    Normalized,
    assert_equals_grid_search,
    member,
    member_of,
    stopping,
)
from sklearn.datasets import load_digits
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.callbacks import (
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from skorch.dataset import ValidSplit
from torch import nn
from torch.optim import Adam, lr_scheduler

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.nn import ConvNet


@pytest.fixture
def weight():
    return np.random.RandomState(0).uniform(0, 3, size=100)


# -- members ---------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("cv", [2, UNEQUAL_FOLDS], ids=["even", "unequal"])
def test_dropout(cv, iris):
    assert_equals_grid_search(member((6, 5), dropout=0.3), *iris, cv=cv)


@pytest.mark.quick(1)
@pytest.mark.parametrize("cv", [2, UNEQUAL_FOLDS], ids=["even", "unequal"])
def test_batch_normalization(cv, iris):
    net = member_of(
        Normalized, batch_size=10, train_split=ValidSplit(4), callbacks=stopping()
    )

    assert_equals_grid_search(net, *iris, cv=cv)


@pytest.mark.quick(1)
@pytest.mark.parametrize("cv", [2, UNEQUAL_FOLDS], ids=["even", "unequal"])
@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        (lr_scheduler.ExponentialLR, {"gamma": 0.5}),
        (lr_scheduler.LinearLR, {"start_factor": 0.1, "total_iters": 2}),
        ("WarmRestartLR", {"max_lr": 0.1, "base_period": 2}),
    ],
    ids=["ExponentialLR", "LinearLR", "WarmRestartLR"],
)
def test_learning_rate_schedules(cv, policy, settings, iris):
    """The first epoch once had the rate of the optimizer, not the schedule's."""
    net = member(callbacks=[("schedule", LRScheduler(policy, **settings))])

    assert_equals_grid_search(net, *iris, cv=cv)


@pytest.mark.slow
def test_schedule_of_ensembles_that_stop_at_different_epochs(cancer):
    schedule = LRScheduler(lr_scheduler.ExponentialLR, gamma=0.7)
    callbacks = [("schedule", schedule), *stopping(patience=1)]
    net = member(lr=0.1, max_epochs=12, train_split=ValidSplit(4), callbacks=callbacks)

    assert_equals_grid_search(net, *cancer)


def test_gradient_clipping(iris):
    net = member(callbacks=[("clip", GradientNormClipping(0.1))])

    assert_equals_grid_search(net, *iris)


class OneLogit(nn.Module):
    def __init__(self, n_features_in, dtype=None):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features_in, 6, dtype=dtype),
            nn.Tanh(),
            nn.Linear(6, 1, dtype=dtype),
        )

    def forward(self, x):
        return self.layers(x).squeeze(-1)


def test_members_with_one_logit(cancer, weight):
    net = NeuralNetBinaryClassifier(
        OneLogit,
        optimizer=Adam,
        lr=0.02,
        max_epochs=6,
        batch_size=32,
        verbose=0,
        threshold=0.3,
        criterion__pos_weight=torch.tensor([2.0], dtype=torch.float64),
        callbacks=stopping(patience=1),
    )

    assert_equals_grid_search(net, *cancer, fit_params={"sample_weight": weight})


class Probabilities(nn.Module):
    def __init__(self, n_features_in, n_classes, dtype=None):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features_in, n_classes, dtype=dtype), nn.Softmax(-1)
        )

    def forward(self, x):
        return self.layers(x)


@pytest.mark.slow
def test_members_that_put_out_probabilities(wine):
    net = NeuralNetClassifier(
        Probabilities,
        lr=0.1,
        max_epochs=6,
        batch_size=32,
        verbose=0,
        callbacks=stopping("valid_acc", lower_is_better=False),
    )

    assert_equals_grid_search(net, *wine, cv=UNEQUAL_FOLDS)


def test_label_smoothing_and_class_weights_of_the_criterion(wine):
    net = member(
        criterion__label_smoothing=0.1,
        criterion__weight=torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64),
    )

    assert_equals_grid_search(net, *wine)


# -- batches ---------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": -1},
        {"batch_size": 7},
        {"batch_size": 500},
        {"iterator_train__drop_last": True},
        {"iterator_train__shuffle": False},
        {"max_epochs": 0},
        {"max_epochs": 1},
    ],
    ids=lambda settings: "-".join(f"{k}={v}" for k, v in settings.items()),
)
@pytest.mark.parametrize("cv", [2, UNEQUAL_FOLDS], ids=["even", "unequal"])
def test_batches(settings, cv, iris):
    assert_equals_grid_search(member(**settings), *iris, cv=cv)


# -- kinds of X ------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_rows(kind):
    X, y = load_digits(return_X_y=True)

    assert_equals_grid_search(member(), kind(X[:100] / 16), y[:100])


# Twice this has been seen; another order of additions may add up to more.
FLOAT32 = 100 * np.finfo(np.float32).eps


def test_float32_rows_agree_to_its_rounding(wine):
    X, y = wine

    assert_equals_grid_search(member(), X.astype(np.float32), y, atol=FLOAT32)


@pytest.mark.slow
def test_images():
    X, y = load_digits(return_X_y=True)
    images = (X[:90] / 16).reshape(-1, 1, 8, 8).astype(np.float32)
    net = member_of(ConvNet, module__widths=(3, 4), module__strides=(2, 1))

    assert_equals_grid_search(net, images, y[:90] % 3, atol=FLOAT32)


@pytest.mark.slow
def test_half_precision_agrees_better_than_it_approximates(iris):
    X, y = iris[0].astype(np.float32), iris[1]
    net = member(lr=0.05, max_epochs=6)
    exact, half = (
        JointEnsembleClassifier(
            net, n_estimators=2, random_state=3, precision=precision
        )
        .fit(X, y)
        .predict_proba(X)
        for precision in (None, "bf16")
    )
    atol = abs(half - exact).max() / 10

    assert 0 < atol < 0.01
    assert_equals_grid_search(net, X, y, precision="bf16", atol=atol)


def test_scoring_that_draws_from_numpys_generator(iris):
    """Each ensemble draws what it would draw by itself."""

    def noisy(net, dataset, y):
        return float(np.random.rand())

    net = member(
        max_epochs=4,
        train_split=ValidSplit(3),
        callbacks=[
            ("noise", EpochScoring(noisy, name="noise")),
            ("stop", EarlyStopping("noise", patience=1)),
        ],
    )

    assert_equals_grid_search(net, *iris)

"""What tripped up a first user, and does no longer."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from skorch.callbacks import EarlyStopping
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifier,
    ProbabilitiesAsLogitsWarning,
    mlp_classifier,
)


def noise(n_samples=200):
    """Features that say nothing of the labels: an honest accuracy is a half."""
    generator = np.random.RandomState(0)
    X = generator.randn(n_samples, 40).astype(np.float32)
    return X, generator.randint(2, size=n_samples)


@pytest.mark.quick(1)
@pytest.mark.parametrize("random_state", [0, None])
def test_out_of_bag_scores_stay_honest_when_training_goes_on(random_state):
    """Bags were drawn anew, and members were scored on rows they had learned."""
    X, y = noise()
    clf = JointEnsembleClassifier(
        mlp_classifier(max_epochs=30),
        n_estimators=15,
        bootstrap=True,
        warm_start=True,
        random_state=random_state,
    )
    scores = [clf.fit(X, y).member_scores_.mean() for _ in range(2)]
    scores += [clf.partial_fit(X, y).member_scores_.mean() for _ in range(2)]
    assert max(scores) < 0.6
    assert clf.score(X, y) > 0.9


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_out_of_bag_score_is_refused_where_it_would_not_be_honest(method, digits):
    X, y = digits
    clf = JointEnsembleClassifier(bootstrap=True, oob_score=True, random_state=0)
    arguments = {"classes": np.unique(y)} if method == "partial_fit" else {}
    clf.set_params(warm_start=method == "fit")
    with pytest.raises(ValueError, match="The 'oob_score' parameter"):
        getattr(clf, method)(X, y, **arguments)


def test_a_short_fit_prints_a_line_an_epoch_and_no_bar(digits, capfd):
    X, y = digits
    net = mlp_classifier((4,), max_epochs=3)
    JointEnsembleClassifier(net, n_estimators=2, random_state=0, verbose=1).fit(X, y)
    out, err = capfd.readouterr()
    assert err == ""
    assert len(out.strip().splitlines()) == 2 + 3


def test_a_long_fit_shows_its_progress(digits, capfd, monkeypatch):
    monkeypatch.setattr("sklearn_jointens.training._callbacks.DELAY_SECONDS", 0.0)
    X, y = digits
    net = mlp_classifier((4,), max_epochs=3)
    JointEnsembleClassifier(net, n_estimators=2, random_state=0, verbose=1).fit(X, y)
    assert "batch" in capfd.readouterr().err


@pytest.mark.slow
def test_parameters_of_the_default_member_can_be_set_and_searched(digits):
    X, y = digits
    clf = JointEnsembleClassifier(n_estimators=2, random_state=0)
    grid = {"estimator__lr": [0.0, 0.01], "estimator__max_epochs": [2]}
    search = GridSearchCV(clf, grid, cv=2).fit(X, y)
    assert search.best_params_["estimator__lr"] == 0.01
    assert clf.estimator is None


class Lazy(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(n_classes)
        )

    def forward(self, X):
        return self.layers(X)


class Softmax(Lazy):
    def forward(self, X):
        return super().forward(X).softmax(1)


class Sized(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.layer = nn.Linear(n_in, n_out)


def net(module, **params):
    settings = {"criterion": nn.CrossEntropyLoss, "train_split": None, "verbose": 0}
    return NeuralNetClassifier(module, **{**settings, **params})


def test_modules_with_lazy_layers_are_given_their_sizes(digits):
    X, y = digits
    clf = JointEnsembleClassifier(net(Lazy), n_estimators=3, random_state=0).fit(X, y)
    first, second = (member.module_.layers[0].weight for member in clf.estimators_[:2])
    assert clf.vectorization_.method == "structural"
    assert not torch.equal(first, second)


def test_a_softmax_under_cross_entropy_is_warned_of(digits):
    clf = JointEnsembleClassifier(net(Softmax), n_estimators=2, random_state=0)
    with pytest.warns(ProbabilitiesAsLogitsWarning, match="Softmax puts out probabil"):
        clf.fit(*digits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.set_params(estimator__criterion=nn.NLLLoss).fit(*digits)


def test_a_module_without_its_sizes_says_how_to_give_them(digits):
    with pytest.raises(TypeError, match=r"Give it to the member as module__\.\.\., or"):
        JointEnsembleClassifier(net(Sized)).fit(*digits)


def test_a_callback_that_waits_for_validation_is_told_of_train_split(digits):
    member = mlp_classifier(callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match="The 'train_split' parameter of the member"):
        JointEnsembleClassifier(member).fit(*digits)


@pytest.mark.slow
def test_predict_takes_some_of_the_members(digits):
    X, y = digits
    clf = JointEnsembleClassifier(n_estimators=4, random_state=0).fit(X, y)
    alone = clf.estimators_[2].predict(X)
    np.testing.assert_array_equal(clf.predict(X, members=[2]), alone)

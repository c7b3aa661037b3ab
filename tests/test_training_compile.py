"""``compile=True`` of the prototype: the members are compiled as one module."""

import pickle
import shutil

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import GradientNormClipping
from skorch.dataset import ValidSplit
from torch import nn

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier


@pytest.fixture(autouse=True)
def _forget_compiled():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def fit(net, X, y, **params):
    clf = JointEnsembleClassifier(net, n_estimators=3, random_state=0, **params)
    return clf.fit(X, y)


def member(backend=None, hidden=(8,), **params):
    if backend is not None:
        params |= {"compile": True, "compile__backend": backend}
    return mlp_classifier(hidden, max_epochs=2, device="cpu", **params)


def assert_same_members(a, b, tolerance=0.0):
    assert a.vectorization_ == b.vectorization_
    for p, q in zip(
        a.net_.plain_module.parameters(), b.net_.plain_module.parameters(), strict=True
    ):
        torch.testing.assert_close(p, q, rtol=0, atol=tolerance)


def n_graphs():
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.quick(1)
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_members_learn_the_same(digits, backend):
    clipping = [("clip", GradientNormClipping(0.1))]
    split = ValidSplit(5, stratified=True)
    plain, compiled = (
        fit(member(backend, callbacks=clipping, train_split=split), *digits)
        for backend in (None, backend)
    )
    assert isinstance(compiled.net_.module_, torch._dynamo.OptimizedModule)
    assert n_graphs() > 0
    assert not torch._dynamo.utils.counters["graph_break"]
    assert_same_members(plain, compiled, 0.0 if backend == "eager" else 1e-6)
    assert compiled.vectorization_.method == "structural"


def test_members_and_predictions_are_plain(digits, tmp_path):
    X, y = digits
    clf = fit(member("eager"), X, y)
    trained = n_graphs()
    proba = clf.predict_proba(X)
    for one in clf.estimators_:
        assert not isinstance(one.module_, torch._dynamo.OptimizedModule)
        one.predict(X)
    clf.predict_proba(X, members=[1])
    assert clf.drop_members([0]).predict(X).shape == y.shape
    clf.save(tmp_path / "model")
    loaded = JointEnsembleClassifier.load(tmp_path / "model", clf.estimator)
    copied = pickle.loads(pickle.dumps(clf))
    for other in (loaded, copied):
        np.testing.assert_array_equal(other.predict_proba(X), proba)
    assert n_graphs() == trained


def test_a_pickle_of_the_compiled_net_predicts_the_same(digits):
    X, y = digits
    clf = fit(member("eager"), X, y)
    net = pickle.loads(pickle.dumps(clf.net_))
    np.testing.assert_allclose(net.predict_proba(X), clf.predict_proba(X), atol=1e-6)
    assert net.vectorized_[0] is net.plain_module


def test_a_pickled_ensemble_trains_on_as_a_compiled_one(digits):
    X, y = digits
    clf = fit(member("eager"), X, y)
    copied = pickle.loads(pickle.dumps(clf))
    assert isinstance(copied.net_.module_, torch._dynamo.OptimizedModule)
    copied.partial_fit(X, y)
    plain = pickle.loads(pickle.dumps(fit(member(), X, y))).partial_fit(X, y)
    assert_same_members(plain, copied)


class LoopsAndConvolves(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.output = nn.Linear(4, n_classes)

    def forward(self, x):
        hidden = torch.relu(self.norm(self.convolution(x)))
        return self.output(hidden.mean((2, 3)))


@pytest.mark.slow
def test_every_way_of_vectorizing(digits):
    X, y = digits
    X = X.reshape(-1, 1, 8, 8)
    options = {
        "criterion": nn.CrossEntropyLoss,
        "max_epochs": 2,
        "batch_size": 50,
        "train_split": None,
    }
    plain = NeuralNetClassifier(LoopsAndConvolves, **options)
    compiled = NeuralNetClassifier(
        LoopsAndConvolves, **options, compile=True, compile__backend="eager"
    )
    assert_same_members(fit(plain, X, y), fit(compiled, X, y), 1e-6)


# The compiler's own warnings of what is deprecated in torch.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_with_the_default_compiler(digits):
    plain, compiled = (
        fit(member(backend, (), batch_size=50), *digits)
        for backend in (None, "inductor")
    )
    assert_same_members(plain, compiled, 1e-4)

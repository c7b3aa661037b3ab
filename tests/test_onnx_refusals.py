"""What no graph can hold is refused by name, and nothing is written."""

import re
import sys

import numpy as np
import pytest
import torch
from onnx_tools import answers_of, session_of
from scipy import sparse
from sklearn.exceptions import NotFittedError
from skorch import NeuralNetClassifier
from skorch.dataset import Dataset
from torch import nn
from torch.nn import functional as F

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    mlp_classifier,
)
from sklearn_jointens._onnx import _refusals

X = np.random.RandomState(0).normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40) % 2


class Own(nn.Module):
    """Linear, but for what it does with its outputs."""

    def __init__(self, act=torch.relu, dtype=None):
        super().__init__()
        self.out, self.act = nn.Linear(3, 2, dtype=dtype), act

    def forward(self, x):
        return self.act(self.out(x))


def decides_by_numbers(z):
    return z if z.sum() > 0 else -z


def decides_by_rows(z):
    return z if z.shape[0] < 30 else 2 * z


def asks_len(z):
    return z.view(len(z), -1)


def is_random(z):
    return F.dropout(z, 0.5, training=True)


class OwnInfer(NeuralNetClassifier):
    def infer(self, x, **fit_params):
        return super().infer(x - 1, **fit_params)


class OwnDataset(Dataset):
    pass


def fitted(kind=NeuralNetClassifier, y=Y, **params):
    settings = {"max_epochs": 1, "train_split": None, "verbose": 0, **params}
    member = kind(Own, criterion=nn.CrossEntropyLoss, **settings)
    return JointEnsembleClassifier(member, n_estimators=2, random_state=0).fit(X, y)


def refused(ensemble, path, error=ValueError, **params):
    """What is said; an earlier file stays as it is, and the only one."""
    path.write_bytes(b"earlier")
    with pytest.raises(error) as caught:
        ensemble.to_onnx(path, **params)
    assert path.read_bytes() == b"earlier"
    assert list(path.parent.iterdir()) == [path]
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ensemble.onnx"


def test_an_unfitted_ensemble_is_refused(path):
    refused(JointEnsembleClassifier(), path, NotFittedError)


@pytest.mark.parametrize(
    ("name", "params"),
    [("infer", {"kind": OwnInfer}), ("dataset", {"dataset": OwnDataset})],
)
def test_a_net_that_predicts_in_a_way_of_its_own_is_refused(name, params, path):
    said = refused(fitted(**params), path)

    assert said.startswith(f"The {name!r} of the member must be skorch's own in an ")


def test_weights_of_half_precision_are_refused(path):
    said = refused(fitted(module__dtype=torch.bfloat16), path)

    assert said.endswith("Got ['torch.bfloat16'] instead.")


def test_classes_that_onnx_does_not_have_are_refused(path):
    said = refused(fitted(y=Y.astype(np.float16)), path)

    assert said.startswith("The 'y' that was fitted must hold classes that are text, ")
    assert said.endswith("Got float16 instead, [0.0, 1.0] among them.")


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("act", "what"),
    [
        (decides_by_numbers, "data-dependent expression .* return z if z.sum"),
        (decides_by_rows, "depends on the number of rows"),
        (asks_len, "inferred a static shape"),
    ],
)
def test_a_module_that_decides_what_to_compute_is_refused(act, what, path):
    said = refused(fitted(module__act=act), path)

    assert said.startswith("The 'module' of the member (and its 'predict_nonlinearity'")
    assert "(take that number from x.shape[0], not from len(x)). Got Own" in said
    assert re.search(f"Got Own, of which torch says: .*{what}", said, re.DOTALL)


@pytest.mark.slow
def test_a_module_that_is_random_is_refused(path):
    said = refused(fitted(module__act=is_random), path)

    assert said.startswith("The 'module' of the member must compute the same of the ")


def test_a_wrong_example_is_refused(path):
    said = refused(fitted(), path, example=X[:, :2])

    assert "X has 2 features, but JointEnsembleClassifier is expecting 3" in said


@pytest.mark.slow
def test_a_sparse_example_is_refused_and_a_dense_one_of_the_same_is_taken(path):
    """Of an ensemble that was fitted on sparse rows."""
    rows = sparse.csr_array(X)
    member = mlp_classifier((3,), max_epochs=1)
    clf = JointEnsembleClassifier(member, n_estimators=2, random_state=0).fit(rows, Y)

    said = refused(clf, path, example=rows)
    clf.to_onnx(path, example=X)

    assert said == (
        "The 'example' parameter of to_onnx must be dense, as the rows are that a "
        "graph takes: give some as X[:10].toarray(). Got csr_array instead."
    )
    fed = {"X": X, "members": np.array([True, False])}
    proba = answers_of(session_of(str(path)), fed)["probabilities"]
    expected = clf.predict_proba(rows, members=[0])
    np.testing.assert_allclose(proba, expected, rtol=0, atol=1e-5)


def test_more_weights_than_a_file_can_hold_are_refused(path, monkeypatch):
    # Each of two members has 3 x 2 weights and 2 biases, of 4 bytes.
    monkeypatch.setattr(_refusals, "_MOST_BYTES", 2 * 8 * 4 - 1)
    said = refused(fitted(), path)

    assert said.startswith("The weights of the members must take less than 2 GiB, ")


def test_a_path_that_is_none_is_refused_before_any_work(monkeypatch):
    def fails(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(TypeError, match="PathLike"):
        fitted().to_onnx(7)


def test_missing_packages_are_named(path, monkeypatch):
    for name in list(sys.modules):
        if name.startswith("sklearn_jointens._onnx"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    said = refused(fitted(), path, ImportError)

    assert said == (
        "to_onnx requires onnxscript and onnxruntime. You can install them with "
        "`pip install sklearn-jointens[onnx]`."
    )


def test_a_search_without_an_ensemble_has_no_graph():
    search = JointEnsembleClassifierCV(refit=False)

    assert not hasattr(search, "to_onnx")
    with pytest.raises(AttributeError, match="with 'refit' only"):
        search.onnx_converter()

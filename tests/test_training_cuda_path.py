"""The path of data and losses on CUDA: nothing in an epoch waits for the device.

What can be is run where there is no device to wait for.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import sparse
from skorch.callbacks import Callback, GradientNormClipping
from skorch.dataset import ValidSplit
from torch.utils.data import Subset

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
from sklearn_jointens.training import JointNet, _batches
from sklearn_jointens.training._batches import ArrayDataset, BatchSlicer
from sklearn_jointens.training._epoch import run_without_waiting


def fit(net, X, y, **params):
    params = {"n_estimators": 3, "random_state": 0, "device": "cuda", **params}
    return JointEnsembleClassifier(net, **params).fit(X, y)


def test_an_epoch_that_reads_losses_at_its_end_records_what_skorchs_does(
    digits, monkeypatch
):
    X, y = digits
    net = mlp_classifier((8,), max_epochs=2)
    stock = fit(net, X, y, device="cpu").history_

    def run(self, iterator, training, prefix, step_fn, **params):
        if iterator is not None:
            run_without_waiting(self, iterator, training, prefix, step_fn, **params)

    monkeypatch.setattr(JointNet, "run_single_epoch", run)
    deferred = fit(net, X, y, device="cpu").history_
    for column in ("train_loss", "train_diversity", "train_batch_count"):
        assert deferred[:, column] == stock[:, column]
    assert deferred[-1]["batches"] == stock[-1]["batches"]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("subset", [False, True])
@pytest.mark.parametrize("kind", ["dense", "mapped", "sparse"])
def test_rows_gathered_on_the_host_are_those_of_the_device(
    digits, monkeypatch, tmp_path, kind, subset, shuffle
):
    X, y = digits
    expected = torch.as_tensor(X)
    if kind == "sparse":
        X = sparse.csr_array(X)
    elif kind == "mapped":
        np.save(tmp_path / "X.npy", X.astype(float))
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    dataset = ArrayDataset(X, torch.as_tensor(y), torch.float32, "cpu")
    # Another name of the same device: as if targets were elsewhere than the rows.
    dataset.index_device = torch.device("cpu", 0)
    real = torch.empty
    monkeypatch.setattr(
        torch, "empty", lambda *shape, pin_memory=False, **kw: real(*shape, **kw)
    )
    rows = np.arange(len(y) - 1, 99, -3)
    weight = torch.arange(len(y))
    batches = BatchSlicer(
        Subset(dataset, rows) if subset else dataset,
        weight,
        batch_size=32,
        shuffle=shuffle,
        generator=torch.Generator().manual_seed(0),
    )
    seen = []
    for batch in batches:
        (X_batch, y_batch), index = batch, batch.weight
        assert torch.equal(X_batch, expected[index])
        assert torch.equal(y_batch, torch.as_tensor(y)[index])
        assert X_batch.dtype == torch.float32
        seen.append(index)
    order = rows if subset else np.arange(len(y))
    assert sorted(torch.cat(seen).tolist()) == sorted(order)
    assert (torch.cat(seen).tolist() == list(order)) is not shuffle


@pytest.mark.gpu
def test_a_fit_on_cuda_gives_the_ensemble_of_the_cpu(digits):
    X, y = digits
    net = mlp_classifier((8,), max_epochs=2, iterator_train__shuffle=False)
    on_cpu, on_cuda = (
        fit(net, X, y, device=device).predict_proba(X) for device in ("cpu", "cuda")
    )
    assert abs(on_cpu - on_cuda).max() < 1e-4


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["dense", "sparse", "mapped"])
def test_data_that_does_not_fit_is_streamed(digits, monkeypatch, tmp_path, kind):
    X, y = digits
    if kind == "sparse":
        X = sparse.csr_array(X)
    elif kind == "mapped":
        np.save(tmp_path / "X.npy", X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    split = ValidSplit(5, stratified=True)
    net = mlp_classifier((8,), max_epochs=3, train_split=split)
    resident = fit(net, X, y, bootstrap=True)
    monkeypatch.setattr(_batches, "_fits", lambda n_bytes, device: False)
    streamed = fit(net, X, y, bootstrap=True)
    assert streamed.net_.stepping_.startswith("captured")
    np.testing.assert_allclose(
        streamed.predict_proba(X), resident.predict_proba(X), atol=1e-6
    )


@pytest.mark.gpu
@pytest.mark.parametrize("clips", [False, True])
@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("captured", [False, True])
def test_no_batch_waits_for_the_device(digits, monkeypatch, captured, resident, clips):
    """Of all epochs but the first, whose last warm-up and capture may."""

    armed, n_batches = False, 0

    class Forbids(Callback):
        def on_epoch_begin(self, net, **kwargs):
            nonlocal armed
            armed = len(net.history) > 1

        def on_train_end(self, net, **kwargs):
            nonlocal armed
            armed = False

        if not captured:

            def on_grad_computed(self, net, named_parameters, **kwargs):
                """Takes part in every step, which keeps it from being captured."""

    batches_of = BatchSlicer.__iter__

    def batches(self):
        nonlocal n_batches
        torch.cuda.set_sync_debug_mode("error" if armed else "default")
        try:
            for batch in batches_of(self):
                n_batches += armed
                yield batch
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(BatchSlicer, "__iter__", batches)
    if not resident:
        monkeypatch.setattr(_batches, "_fits", lambda n_bytes, device: False)
    callbacks = [("forbids", Forbids())]
    if clips:
        callbacks.append(("clips", GradientNormClipping(0.1)))
    optimizer = torch.optim.Adam if captured else torch.optim.SGD
    net = mlp_classifier(
        (8,),
        max_epochs=3,
        optimizer=optimizer,
        callbacks=callbacks,
        train_split=ValidSplit(5, stratified=True),
    )
    clf = fit(net, *digits, bootstrap=True)
    assert clf.net_.stepping_.startswith("captured") is captured
    assert n_batches == 2 * (5 + 2)


_TWO_FITS = """
import torch
from sklearn.datasets import load_digits
from torch import nn
from skorch import NeuralNetClassifier
from sklearn_jointens import JointEnsembleClassifier

class Words(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.table = nn.Embedding(17, 4)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.LayerNorm(256), nn.Dropout(0.2), nn.Linear(256, n_classes)
        )

    def forward(self, x):
        return self.layers(self.table(x))

torch.use_deterministic_algorithms(True)
X, y = load_digits(return_X_y=True)
net = NeuralNetClassifier(
    Words, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.Adam, max_epochs=2
)
fits = [
    JointEnsembleClassifier(net, 3, device="cuda", bootstrap=True, random_state=0)
    .fit(X.astype(int), y)
    for _ in range(2)
]
parameters = [list(clf.net_.module_.parameters()) for clf in fits]
assert all(map(torch.equal, *parameters))
"""


@pytest.mark.gpu
def test_deterministic_algorithms_give_the_same_weights_twice():
    # cuBLAS reads this once, when it is first used.
    environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    subprocess.run([sys.executable, "-c", _TWO_FITS], env=environment, check=True)

"""What prediction, scoring and training take of memory beside what they are given.

Each in a process of its own, on random data of 784 features unless said otherwise.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import sparse

from examples.benchmarks._measure import Figure, figure
from examples.benchmarks._peak import (
    AVAILABLE,
    MEGABYTE,
    in_own_process,
    peak_megabytes,
)
from examples.benchmarks._setting import Setting, synthetic
from sklearn_jointens import JointEnsembleClassifier

PREDICTED, SCORED, FITTED, MAPPED = 1_000_000, 200_000, 100_000, 400_000

# Weights, their gradients, and the momentum of the optimizer.
_COPIES_OF_WEIGHTS = 3
# Members and their hidden units where it is the data that matters.
_SIZE = (16, 4)


def memory(setting: Setting) -> Iterator[Figure]:
    """Peak memory of predict_proba, score_members and fit."""
    if not _is_available():
        return
    small = setting.with_random_data(1000)
    questions = {
        f"predict_proba of {PREDICTED:,} rows beside input and output": _predicting,
        f"score_members of {SCORED:,} rows beside the input": _scoring,
        f"fit on {FITTED:,} rows beside data, weights, gradients and momentum": (
            _fitting
        ),
    }
    for what, function in questions.items():
        extra = in_own_process(function, small)
        what = f"peak memory of {what}"
        yield figure("memory", setting.subject, what, extra, "MB", "<= 200")


def kept_as_they_are(device: str) -> Iterator[Figure]:
    """Peak memory of fit and predict_proba on sparse and memory-mapped rows."""
    if not _is_available():
        return
    for function in (_on_sparse, _on_memory_map):
        what, dense, extra = in_own_process(function, device)
        what = f"peak memory of fit and predict_proba on {what}, as a share of it dense"
        share = 100 * extra / dense
        subject = "x".join(map(str, _SIZE))
        yield figure("memory", subject, what, share, "%", "<= 10")


def _is_available() -> bool:
    if not AVAILABLE:
        print("memory: is measured on Linux only")
    return AVAILABLE


def _predicting(setting: Setting) -> float:
    ensemble = _warm(setting)
    X = np.ones((PREDICTED, setting.data.n_features), dtype=np.float32)
    output = PREDICTED * setting.data.n_classes * X.itemsize / MEGABYTE
    return peak_megabytes(lambda: ensemble.predict_proba(X)) - output


def _scoring(setting: Setting) -> float:
    ensemble = _warm(setting)
    X, y = synthetic(SCORED)[1:3]
    return peak_megabytes(lambda: ensemble.score_members(X, y))


def _fitting(setting: Setting) -> float:
    ensemble = _warm(setting)
    weights = ensemble.net_.module_.parameters()
    n_bytes = sum(weight.numel() * weight.itemsize for weight in weights)
    X, y = synthetic(FITTED)[1:3]
    extra = peak_megabytes(lambda: ensemble.fit(X, y))
    return extra - _COPIES_OF_WEIGHTS * n_bytes / MEGABYTE


def _on_sparse(device: str) -> tuple[str, float, float]:
    n_rows, n_features = 50_000, 10_000
    setting = Setting(synthetic(1000, n_features), *_SIZE, device)
    ensemble = _warm(setting)
    X = sparse.random(n_rows, n_features, 0.001, "csr", np.float32, random_state=0)
    y = np.arange(n_rows) % setting.data.n_classes
    extra = peak_megabytes(lambda: ensemble.fit(X, y).predict_proba(X))
    dense = n_rows * n_features * X.dtype.itemsize / MEGABYTE
    return f"a sparse matrix of {n_rows:,} x {n_features:,}", dense, extra


def _on_memory_map(device: str) -> tuple[str, float, float]:
    setting = Setting(synthetic(1000), *_SIZE, device)
    ensemble = _warm(setting)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        np.save(path, synthetic(MAPPED).X_train)
        X = np.load(path, mmap_mode="r")
        y = np.arange(len(X)) % setting.data.n_classes
        extra = peak_megabytes(lambda: ensemble.fit(X, y).predict_proba(X))
    shape = " x ".join(f"{size:,}" for size in X.shape)
    return f"a memory map of {shape}", X.nbytes / MEGABYTE, extra


def _warm(setting: Setting) -> JointEnsembleClassifier:
    """A fitted ensemble: what libraries load late is there, and nobody's cost."""
    return setting.ensemble(epochs=1).fit(*setting.rows(1000))

"""Searches in processes, of what is defined in a script."""

import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np
import cloudpickle
from sklearn.metrics import log_loss
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_jointens import JointEnsembleClassifierCV


class Own(nn.Module):
    def __init__(self, n_features_in, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features_in, n_classes)

    def forward(self, X):
        return self.layer(X)


class Loss(nn.CrossEntropyLoss):
    pass


def negative_loss(clf, X, y):
    return -log_loss(y, clf.predict_proba(X))


if __name__ == "__main__":
    X = np.random.RandomState(0).randn(40, 3).astype("f4")
    y = np.arange(40) % 3
    net = NeuralNetClassifier(
        Own, criterion=Loss, max_epochs=1, train_split=None, verbose=0
    )
    alone, search = (
        JointEnsembleClassifierCV(
            net, 2, [0, 1], cv=2, scoring=negative_loss, n_jobs=n_jobs, random_state=0
        ).fit(X, y)
        for n_jobs in (1, 2)
    )
    for name in ("mean_test_score", "mean_test_member_score"):
        np.testing.assert_allclose(
            search.cv_results_[name], alone.cv_results_[name], rtol=1e-5
        )
    assert search.batching_.n_programs == 2
    with open("clf", "wb") as file:
        cloudpickle.dump(search.best_estimator_, file)
    np.savez("expected", X=X, proba=search.predict_proba(X))
"""

ELSEWHERE = """
import pickle
import numpy as np

with open("clf", "rb") as file:
    clf = pickle.load(file)
expected = np.load("expected.npz")
np.testing.assert_array_equal(clf.predict_proba(expected["X"]), expected["proba"])
again = pickle.loads(pickle.dumps(clf.estimators_[0].module_.state_dict()))
assert again.keys() == {"layer.weight", "layer.bias"}
"""


def run(folder, *args):
    return subprocess.run(
        [sys.executable, "-W", "error", *args],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_search_in_processes_takes_what_a_script_defines(tmp_path):
    """It raised a PicklingError, and ``GridSearchCV`` did not.

    Nor could an ensemble be loaded elsewhere that cloudpickle had written.
    """
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    for args in (("script.py",), ("-c", ELSEWHERE)):
        done = run(tmp_path, *args)
        assert done.returncode == 0, done.stderr

"""Fit, predict, load and run unrelated modules in four threads at once.

Everything that comes out is compared, bit for bit, with what the same code gives when
it runs alone. Run from the project's root:

    python -m examples.stress.threads --seconds 20
"""

import argparse
import pickle
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import make_classification
from torch import nn

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        report = run(seconds, Path(folder))
    for name, (n_calls, failures) in report.items():
        print(f"{name}: {n_calls:,} calls, {len(failures)} failures")
        for failure in failures[:3]:
            print(f"  {failure}")
    sys.exit(any(failures for _, failures in report.values()))


def run(seconds: float, folder: Path) -> dict[str, tuple[int, list[str]]]:
    """Run all tasks at once.

    Parameters
    ----------
    seconds : float
    folder : Path
        To write a file to.

    Returns
    -------
    dict of str to (int, list of str)
        How often each task was done, and what went wrong.
    """
    tasks = _tasks(folder)
    expected = {name: task() for name, task in tasks.items()}
    report: dict[str, tuple[int, list[str]]] = {}
    stop = time.monotonic() + seconds

    def repeat(name: str) -> None:
        n_calls, failures = 0, []
        while time.monotonic() < stop or not n_calls:
            n_calls += 1
            try:
                if not np.array_equal(tasks[name](), expected[name]):
                    failures.append("other numbers than alone")
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")
        report[name] = n_calls, failures

    threads = [threading.Thread(target=repeat, args=(name,)) for name in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {name: report[name] for name in tasks}


def _tasks(folder: Path) -> dict[str, Callable[[], np.ndarray]]:
    X, y = make_classification(300, 10, n_informative=5, n_classes=3, random_state=0)
    X = X.astype(np.float32)
    member = mlp_classifier(hidden_layer_sizes=(16,), max_epochs=3)
    clf = JointEnsembleClassifier(member, n_estimators=8, lam=0.5, random_state=0)
    served = JointEnsembleClassifier(n_estimators=4, random_state=1).fit(X, y)
    path, pickled = folder / "served.safetensors", pickle.dumps(served)
    served.save(path)
    unrelated = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))
    rows = torch.from_numpy(X)

    def load() -> np.ndarray:
        loaded = [pickle.loads(pickled), JointEnsembleClassifier.load(path)]
        smaller = loaded[0].drop_members([0])
        return np.stack([one.predict_proba(X) for one in (*loaded, smaller)])

    def predict() -> np.ndarray:
        scores = served.score_members(X, y)
        return np.append(served.predict_proba(X).ravel(), scores)

    def call() -> np.ndarray:
        with torch.no_grad():
            return unrelated(rows).numpy()

    return {
        "fit": lambda: clf.fit(X, y).predict_proba(X),
        "predict and score members": predict,
        "unpickle, load, drop members": load,
        "an unrelated module": call,
    }


if __name__ == "__main__":
    main()

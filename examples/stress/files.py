"""Damaged and hostile files are refused in a sentence, or loaded as they were.

::

    python -m examples.stress.files --n 2000 --seed 0

Four small ensembles are saved; each file is changed in one place after the other, and
loaded in a process of its own, which also says how much memory that took. Prints a line
for each kind of change, and exits with 1 if anything but a clear ValueError or the very
same predictions came of one.
"""

import argparse
import gc
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_iris
from torch import nn
from tqdm.auto import tqdm

from examples.benchmarks._peak import AVAILABLE, peak_megabytes
from examples.stress._mutations import KINDS, mutate
from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleRegressor,
    mlp_classifier,
    tabular_classifier,
    tabular_regressor,
)

MOST_MEGABYTES = 100
LONGEST_MESSAGE = 1000

# What Python reports of code that a file has brought, and of what such code does.
CODE = ("pickle.find_class", "os.system", "os.exec", "subprocess.Popen")


@dataclass(frozen=True)
class Subject:
    """A file, and what the ensemble in it predicts."""

    kind: type
    data: bytes
    X: Any
    predicted: np.ndarray


@dataclass
class Tally:
    """What became of the files of one kind."""

    outcomes: Counter = field(default_factory=Counter)
    megabytes: float = 0.0

    def add(self, outcome: str, megabytes: float) -> None:
        self.outcomes[outcome] += 1
        self.megabytes = max(self.megabytes, megabytes)

    @property
    def n_failures(self) -> int:
        return self.outcomes["failed"]

    def line(self, kind: str) -> str:
        return (
            f"{kind}: {self.outcomes.total()} files, {self.outcomes['refused']} "
            f"refused clearly, {self.outcomes['alike']} loaded alike, "
            f"{self.n_failures} other errors; at most {self.megabytes:.0f} MB"
        )


def subjects() -> list[Subject]:
    """Members for tables and perceptrons; of classes, of labels and of numbers."""
    X, y = load_iris(return_X_y=True)
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": np.resize(list("xyz"), 150)})
    frame.loc[::7, "b"] = np.nan
    labels = mlp_classifier((5,), criterion=nn.BCEWithLogitsLoss, max_epochs=2)
    of_classes, of_numbers = JointEnsembleClassifier, JointEnsembleRegressor
    table = tabular_classifier((4,), max_epochs=2)
    return [
        _subject(of_classes, table, frame, np.array(["setosa", "v", "x"])[y]),
        _subject(of_classes, mlp_classifier((5, 4), max_epochs=2), X, y),
        _subject(of_classes, labels, X, np.eye(3, dtype=int)[y]),
        _subject(
            of_numbers, tabular_regressor((4,), max_epochs=2), frame, 1e5 * X[:, 3]
        ),
    ]


def _subject(kind: Any, member: Any, X: Any, y: np.ndarray) -> Subject:
    fitted = kind(member, n_estimators=2, random_state=0).fit(X, y)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ensemble"
        fitted.save(path)
        return Subject(kind, path.read_bytes(), X, _predicted(fitted, X))


def _predicted(fitted: Any, X: Any) -> np.ndarray:
    predict = getattr(fitted, "predict_proba", fitted.predict)
    return predict(X)


# -- in the process that loads ---------------------------------------------------------

_subjects: list[Subject] = []
_seen: list[str] = []


def prepare(subjects: list[Subject]) -> None:
    """Once in the process that loads: what is made late is made, and code is seen."""
    torch.set_num_threads(1)
    _subjects[:] = subjects
    for subject in subjects:
        outcome = examine(subjects.index(subject), subject.data)
        assert outcome[0] == "alike", outcome
    gc.freeze()  # before each measurement, only what has come since is collected
    sys.addaudithook(lambda event, _: _seen.append(event) if event in CODE else None)


def examine(number: int, data: bytes) -> tuple[str, str, float]:
    """What comes of loading a changed file.

    Returns
    -------
    outcome : {"refused", "alike", "failed"}
    message : str
    megabytes : float
        The peak of memory above that before.
    """
    _seen.clear()
    outcomes: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "changed"
        path.write_bytes(data)
        if AVAILABLE:
            peak = peak_megabytes(lambda: outcomes.append(_load(path, number)))
        else:
            peak = 0.0
            outcomes.append(_load(path, number))
    ((outcome, message),) = outcomes
    if _seen:
        return "failed", f"code was run: {_seen}", peak
    if peak > MOST_MEGABYTES:
        return "failed", f"took {peak:.0f} MB: {message}", peak
    return outcome, message, peak


def _load(path: Path, number: int) -> tuple[str, str]:
    subject = _subjects[number]
    try:
        loaded = subject.kind.load(path)
    except ValueError as error:
        message = str(error)
        is_clear = (
            repr(str(path)) in message
            and message.endswith(".")
            and "\n" not in message
            and "MemoryError" not in message
            and len(message) <= LONGEST_MESSAGE
        )
        return ("refused" if is_clear else "failed"), message.replace(str(path), "")
    except BaseException as error:
        return "failed", repr(error)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predicted = _predicted(loaded, subject.X)
    except Exception as error:
        return "failed", f"loaded, and predicts no more: {error!r}"
    is_same = np.array_equal(predicted, subject.predicted)
    return ("alike", "") if is_same else ("failed", "loaded with other numbers")


# -- in the process that changes -------------------------------------------------------


def run(n: int, seed: int) -> Iterator[tuple[str, str, str, float]]:
    """Kind, outcome, message and megabytes of n changed files."""
    random = np.random.default_rng(seed)
    all_subjects = subjects()
    start = (1, get_context("spawn"), prepare, (all_subjects,))
    process = ProcessPoolExecutor(*start)
    for i in tqdm(range(n), desc="files", unit="file", leave=False):
        kind = list(KINDS)[i % len(KINDS)]
        number = int(random.integers(len(all_subjects)))
        data = mutate(kind, all_subjects[number].data, random)
        try:
            yield kind, *process.submit(examine, number, data).result()
        except BrokenProcessPool:
            process = ProcessPoolExecutor(*start)
            yield kind, "failed", "the process that loads has died", 0.0
    process.shutdown()


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each kind; the number of failures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000, help="number of files")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    tallies = {kind: Tally() for kind in KINDS}
    failures = set()
    for kind, outcome, message, megabytes in run(options.n, options.seed):
        tallies[kind].add(outcome, megabytes)
        if outcome == "failed":
            failures.add(f"{kind}: {message}")
    for kind, tally in tallies.items():
        print(tally.line(kind))
    for failure in sorted(failures):
        print(failure)
    return sum(tally.n_failures for tally in tallies.values())


if __name__ == "__main__":
    sys.exit(main() > 0)

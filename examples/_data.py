"""Data that the examples and benchmarks share: digits, OpenML, or a file of arrays."""

import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import fetch_openml, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler

# Sets whose first rows are, by their authors' word, the ones to train on.
OFFICIAL_TRAIN_ROWS = {"Fashion-MNIST": 60_000, "mnist_784": 60_000, "CIFAR_10": 50_000}


class Data(NamedTuple):
    """Rows to train on and rows to test on.

    Attributes
    ----------
    name : str
    X_train, X_test : ndarray of shape (n_samples, n_features), float32
        Standardised by what the training rows say.
    y_train, y_test : ndarray of shape (n_samples,), int64
        Class numbers, 0 to ``n_classes - 1``.
    """

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray

    @property
    def n_features(self) -> int:
        return self.X_train.shape[1]

    @property
    def n_classes(self) -> int:
        return int(self.y_train.max()) + 1


def load_data(
    name: str = "digits",
    path: Path | None = None,
    *,
    train_size: int | None = None,
    test_size: float = 1 / 3,
    per_column: bool = False,
    seed: int = 0,
) -> Data:
    """Load, split, flatten and standardise.

    Parameters
    ----------
    name : str, default="digits"
        ``"digits"`` comes with scikit-learn; any other name is fetched from OpenML.
    path : Path, default=None
        An ``.npz`` file to read instead, with the arrays X_train, y_train, X_test and
        y_test, or X and y.
    train_size : int, default=None
        Rows to keep for training, drawn by class. ``None`` is all.
    test_size : float, default=1/3
        Share of the rows to test on, where no split is given with the data.
    per_column : bool, default=False
        Standardise each column by its own mean and deviation, as tables need it, and
        not all by one, as pixels need it.
    seed : int, default=0
        Of the draws.

    Returns
    -------
    Data
    """
    if path is not None:
        name, (X, y, n_train) = Path(path).stem, _read_file(path)
    elif name == "digits":
        X, y = load_digits(return_X_y=True)
        n_train = None
    else:
        X, y = _fetch(name)
        n_train = OFFICIAL_TRAIN_ROWS.get(name)
    y = LabelEncoder().fit_transform(np.ravel(y)).astype(np.int64)
    X = np.asarray(X).reshape(len(X), -1)
    rows = np.arange(len(X))
    if n_train is None:
        train, test = train_test_split(
            rows, test_size=test_size, stratify=y, random_state=seed
        )
    else:
        train, test = rows[:n_train], rows[n_train:]
    if train_size is not None and train_size < len(train):
        train, _ = train_test_split(
            train, train_size=train_size, stratify=y[train], random_state=seed
        )
    X_train, X_test = _standardise(X[train], X[test], per_column)
    return Data(name, X_train, y[train], X_test, y[test])


def _read_file(path: Path) -> tuple[np.ndarray, np.ndarray, int | None]:
    """X, y and the number of leading rows that are for training (None: not said)."""
    with np.load(path, allow_pickle=False) as arrays:
        if {"X", "y"} <= set(arrays):
            return arrays["X"], arrays["y"], None
        expected = ("X_train", "X_test", "y_train", "y_test")
        if not set(expected) <= set(arrays):
            raise ValueError(
                f"The 'path' parameter of load_data must be a file of the arrays "
                f"{', '.join(expected)}, or X and y. Got {sorted(arrays)} instead."
            )
        X_train, X_test, y_train, y_test = (arrays[key] for key in expected)
    X, y = np.concatenate([X_train, X_test]), np.concatenate([y_train, y_test])
    return X, y, len(X_train)


def _fetch(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A set of OpenML as numbers: categories one-hot, missing values the median."""
    import pandas as pd

    X, y = fetch_openml(name, return_X_y=True, as_frame=True, parser="auto")
    X = pd.get_dummies(X, dtype=np.float32)
    X = X.fillna(X.median())
    return X.to_numpy(np.float32), np.asarray(y)


def _standardise(
    X_train: np.ndarray, X_test: np.ndarray, per_column: bool
) -> tuple[np.ndarray, np.ndarray]:
    X_train, X_test = X_train.astype(np.float32), X_test.astype(np.float32)
    if per_column:
        scaler = StandardScaler().fit(X_train)
        return scaler.transform(X_train), scaler.transform(X_test)
    mean, std = X_train.mean(dtype=np.float64), X_train.std(dtype=np.float64)
    for X in (X_train, X_test):
        X -= np.float32(mean)
        X /= np.float32(std)
    return X_train, X_test


def find_commit() -> str:
    """Of the code beside this file, where it is a clone."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        told = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True
        )
    except FileNotFoundError:
        return "unknown"
    return told.stdout.strip() or "unknown"

"""Data that the examples and benchmarks share: scikit-learn's, OpenML, or a file."""

import subprocess
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import fetch_openml, load_diabetes, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler

COMES_WITH_SKLEARN = {"digits": load_digits, "diabetes": load_diabetes}
# Sets whose first rows are, by their authors' word, the ones to train on.
OFFICIAL_TRAIN_ROWS = {
    "Fashion-MNIST": 60_000,
    "mnist_784": 60_000,
    "CIFAR_10": 50_000,
    "CIFAR-100": 50_000,
}
# What OpenML calls sets of photographs.
PHOTOGRAPHS = {"CIFAR-10": "CIFAR_10", "CIFAR-100": "CIFAR-100"}


class Data(NamedTuple):
    """Rows to train on and rows to test on.

    Attributes
    ----------
    name : str
    X_train, X_test : ndarray of shape (n_samples, n_features), float32
        Standardised by what the training rows say.
    y_train, y_test : ndarray of shape (n_samples,)
        Class numbers, 0 to ``n_classes - 1``, int64; or numbers, float32, standardised
        by what the training rows say.
    unit : float
        What numbers were divided by.
    """

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    unit: float = 1.0

    @property
    def task(self) -> str:
        """What there is to learn."""
        return "regression" if self.y_train.dtype.kind == "f" else "classification"

    @property
    def n_outputs(self) -> int:
        """Of a network: one for each class, or the number."""
        return 1 if self.task == "regression" else self.n_classes

    @property
    def n_features(self) -> int:
        return self.X_train.shape[1]

    @property
    def n_classes(self) -> int:
        return int(self.y_train.max()) + 1


def load_data(name: str = "digits", path: Path | None = None, **settings: Any) -> Data:
    """Load, split, flatten and standardise.

    Parameters
    ----------
    name : str, default="digits"
        ``"digits"`` and ``"diabetes"`` come with scikit-learn; any other name is
        fetched from OpenML.
    path : Path, default=None
        An ``.npz`` file to read instead, with the arrays X_train, y_train, X_test and
        y_test, or X and y.
    **settings : dict
        What else `make_data` is to be told.

    Returns
    -------
    Data
    """
    n_train = None
    if path is not None:
        name, (X, y, n_train) = Path(path).stem, _read_file(path)
    elif name in COMES_WITH_SKLEARN:
        X, y = COMES_WITH_SKLEARN[name](return_X_y=True)
    else:
        X, y = fetch_openml(name, return_X_y=True, as_frame=True, parser="auto")
        X, y = as_numbers(X), np.asarray(y)
        n_train = OFFICIAL_TRAIN_ROWS.get(name)
    return make_data(name, X, y, n_train, **settings)


def load_photographs(
    path: Path | None = None, split: str = "train", name: str = "CIFAR-10"
) -> tuple[np.ndarray, np.ndarray]:
    """Photographs as they are.

    Parameters
    ----------
    path : Path, default=None
        An ``.npz`` file of JPEG images one after the other, with the arrays ``jpeg_``,
        ``offsets_`` and ``y_`` of each split. ``None`` is OpenML.
    split : {"train", "test"}, default="train"
    name : {"CIFAR-10", "CIFAR-100"}, default="CIFAR-10"
        Of what is fetched from OpenML.

    Returns
    -------
    X : ndarray of shape (n_samples, 32, 32, 3), dtype uint8
    y : ndarray of shape (n_samples,), dtype int64
    """
    if path is None:
        X, y = fetch_openml(PHOTOGRAPHS[name], return_X_y=True, as_frame=False)
        n_train = OFFICIAL_TRAIN_ROWS[PHOTOGRAPHS[name]]
        y = LabelEncoder().fit_transform(y)
        if len(set(np.bincount(y[:n_train]))) > 1:
            raise ValueError(
                f"The first {n_train} rows of {name} must be its training images, as "
                "many of each class. Got rows in another order instead."
            )
        rows = slice(n_train) if split == "train" else slice(n_train, None)
        X = X[rows].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).astype(np.uint8)
        return X, y[rows].astype(np.int64)
    with np.load(path, allow_pickle=False) as arrays:
        whole = arrays[f"jpeg_{split}"].tobytes()
        ends, y = arrays[f"offsets_{split}"], arrays[f"y_{split}"].astype(np.int64)
    images = (Image.open(BytesIO(whole[i:j])) for i, j in pairwise(ends))
    return np.stack([np.asarray(image.convert("RGB")) for image in images]), y


def make_data(
    name: str,
    X: np.ndarray,
    y: np.ndarray,
    n_train: int | None = None,
    *,
    task: str = "classification",
    train_size: int | None = None,
    test_size: float = 1 / 3,
    per_column: bool = False,
    seed: int = 0,
) -> Data:
    """Split, flatten and standardise.

    Parameters
    ----------
    name : str
    X : array-like of shape (n_samples, ...)
        Numbers.
    y : array-like of shape (n_samples,)
        Labels, or numbers.
    n_train : int, default=None
        How many of the first rows are to train on. ``None`` draws them.
    task : {"classification", "regression"}, default="classification"
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
    is_of_classes = task == "classification"
    y = np.ravel(y)
    if is_of_classes:
        y = LabelEncoder().fit_transform(y).astype(np.int64)
    X = np.asarray(X).reshape(len(X), -1)
    rows = np.arange(len(X))

    def drawn(rows: np.ndarray, **sizes: float) -> list[np.ndarray]:
        strata = y[rows] if is_of_classes else None
        return train_test_split(rows, stratify=strata, random_state=seed, **sizes)

    if n_train is None:
        train, test = drawn(rows, test_size=test_size)
    else:
        train, test = rows[:n_train], rows[n_train:]
    if train_size is not None and train_size < len(train):
        train, _ = drawn(train, train_size=train_size)
    X_train, X_test = _standardise(X[train], X[test], per_column)
    unit = 1.0
    if not is_of_classes:
        scaler = StandardScaler().fit(y[train, None])
        y, unit = scaler.transform(y[:, None])[:, 0], float(scaler.scale_[0])
        y = y.astype(np.float32)
    return Data(name, X_train, y[train], X_test, y[test], unit)


def as_numbers(X: pd.DataFrame) -> np.ndarray:
    """Categories one-hot, missing values the median."""
    X = pd.get_dummies(X, dtype=np.float32)
    return X.fillna(X.median()).to_numpy(np.float32)


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

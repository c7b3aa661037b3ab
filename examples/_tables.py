"""Real tables for the benchmarks: from a folder of CSV files, or from OpenML."""

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.datasets import fetch_openml
from sklearn.model_selection import train_test_split

# Our names, and OpenML's where it spells them otherwise.
OPENML = {
    "classification": {
        "anneal": "anneal",
        "arrhythmia": "arrhythmia",
        "balance_scale": "balance-scale",
        "car": "car",
        "cmc": "cmc",
        "credit_a": "credit-approval",
        "dermatology": "dermatology",
        "heart_c": "heart-c",
        "hypothyroid": "hypothyroid",
        "kr_vs_kp": "kr-vs-kp",
        "letter": "letter",
        "nursery": "nursery",
        "page_blocks": "page-blocks",
        "pendigits": "pendigits",
        "segment": "segment",
        "sick": "sick",
        "soybean": "soybean",
        "spambase": "spambase",
        "splice": "splice",
        "tic_tac_toe": "tic-tac-toe",
        "vehicle": "vehicle",
        "vowel": "vowel",
        "waveform5000": "waveform-5000",
    },
    "regression": {
        "2dplanes": "2dplanes",
        "abalone": "abalone",
        "autompg": "autoMpg",
        "cal_housing": "houses",
        "cpu_act": "cpu_act",
        "elevators": "elevators",
        "fried": "fried",
        "house8l": "house_8L",
        "housing": "boston",
        "kin8nm": "kin8nm",
        "mv": "mv",
        "puma32h": "puma32H",
        "stock": "stock",
    },
}
# Where the first version at OpenML is not in use.
_VERSIONS = {"vowel": 2}


class Table(NamedTuple):
    """A table as its owner has it: nothing scaled, encoded or filled in.

    Attributes
    ----------
    name : str
    task : {"classification", "regression"}
    X : DataFrame of shape (n_samples, n_features)
        Columns are floats, or categories; either may have missing values.
    y : ndarray of shape (n_samples,)
        Labels as strings, or numbers as floats.
    categorical : list of str
        Names of the columns that are categories.
    """

    name: str
    task: str
    X: pd.DataFrame
    y: np.ndarray
    categorical: list[str]


def table_names(
    path: Path | str | None = None, task: str = "classification"
) -> list[str]:
    """Names of all tables of a task, in a folder or at OpenML.

    Parameters
    ----------
    path : Path or str, default=None
        Folder with ``tables.json``. ``None`` is OpenML.
    task : {"classification", "regression"}, default="classification"

    Returns
    -------
    list of str
        Sorted.
    """
    if path is None:
        return sorted(OPENML[task])
    return sorted(about["name"] for about in _index(path) if about["task"] == task)


def load_tables(
    path: Path | str | None = None,
    names: Iterable[str] | None = None,
    task: str = "classification",
) -> Iterator[Table]:
    """Yield tables, each loaded when its turn comes.

    Parameters
    ----------
    path : Path or str, default=None
        Folder with ``tables.json`` and a ``<name>.csv.gz`` for each table, whose last
        column is the target. ``tables.json`` is a list of objects with the keys `name`,
        `task` and `categorical` (names of columns). ``None`` fetches from OpenML.
    names : iterable of str, default=None
        Which tables, in this order. ``None`` is all of the task.
    task : {"classification", "regression"}, default="classification"

    Yields
    ------
    Table

    Raises
    ------
    ValueError
        There is no table of such a name.
    """
    known = table_names(path, task)
    for name in known if names is None else names:
        if name not in known:
            raise ValueError(
                f"The 'names' parameter of load_tables must be among {known}. "
                f"Got {name!r} instead."
            )
        yield _fetch(name, task) if path is None else _read(Path(path), name, task)


def halves(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The tables that defaults are chosen on, and the tables that are reported.

    Drawn once and for all, by a fixed seed.

    Parameters
    ----------
    names : iterable of str
        All tables.

    Returns
    -------
    design, report : list of str
        Both sorted. `report` has one more when the number of tables is odd.
    """
    names = sorted(names)
    random.Random(0).shuffle(names)
    middle = len(names) // 2
    return sorted(names[:middle]), sorted(names[middle:])


def split(table: Table, seed: int) -> list[Any]:
    """70 % of the rows to train on and 30 % to test on.

    Stratified, where every class has at least two rows.

    Parameters
    ----------
    table : Table
    seed : int
        Number of the split.

    Returns
    -------
    list
        X_train, X_test, y_train and y_test.
    """
    return train_test_split(
        *(table.X, table.y),
        test_size=0.3,
        stratify=strata(table.y, table.task),
        random_state=seed,
    )


def strata(y: np.ndarray, task: str) -> np.ndarray | None:
    """What to stratify by: labels, where every class has at least two rows."""
    if task == "regression" or np.unique(y, return_counts=True)[1].min() < 2:
        return None
    return y


def _index(path: Path | str) -> list[dict[str, Any]]:
    return json.loads((Path(path) / "tables.json").read_text())


def _read(folder: Path, name: str, task: str) -> Table:
    about = next(about for about in _index(folder) if about["name"] == name)
    path = folder / f"{name}.csv.gz"
    *_, target = pd.read_csv(path, nrows=0).columns
    texts = list(about["categorical"])
    # Only an empty cell is missing: "NA" or "none" may well be a category.
    frame = pd.read_csv(
        path,
        dtype=dict.fromkeys([*texts, target], str),
        keep_default_na=False,
        na_values=[""],
    )
    return _table(name, task, frame.drop(columns=target), frame[target], texts)


def _fetch(name: str, task: str) -> Table:
    fetched = fetch_openml(
        OPENML[task][name],
        version=_VERSIONS.get(name, 1),
        as_frame=True,
        parser="auto",
    )
    X = fetched.data
    texts = list(X.columns[[not pd.api.types.is_numeric_dtype(d) for d in X.dtypes]])
    return _table(name, task, X, fetched.target, texts)


def _table(
    name: str, task: str, X: pd.DataFrame, y: pd.Series, texts: list[str]
) -> Table:
    """Each column as what it is, without the rows that have no target."""
    kinds = {column: "category" if column in texts else float for column in X.columns}
    known = y.notna()
    labels = y[known].astype(str if task == "classification" else float)
    X = X[known].astype(kinds).reset_index(drop=True)
    kind = str if task == "classification" else np.float64
    return Table(name, task, X, labels.to_numpy().astype(kind), texts)

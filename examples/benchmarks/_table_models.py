"""The models of `tables.py`: ours, scikit-learn's and pytabkit's, with their defaults.

Each is made by a function of a seed and a number of jobs. All take a table as it is:
those that need numbers without gaps are in a pipeline with what a careful user would
put before them.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_jointens import JointEnsembleClassifier, tabular_classifier

Model = Callable[[int, int], Any]

JOINT, FAST = "joint ensemble", "joint, fast"
LOGISTIC, BAGGING = "logistic regression", "Bagging(MLP)"
FOREST, BOOSTING = "random forest", "gradient boosting"
REALMLP, TABM = "RealMLP_TD", "TabM_D"
REALMLPS = f"{REALMLP} x M"
UNSMOOTHED = ", no label smoothing"

# What pytabkit's manual advises for log-loss and AUC, instead of the defaults, which
# are meant for accuracy.
_FOR_LOG_LOSS = {"use_ls": False, "val_metric_name": "cross_entropy"}


def joint(seed: int, n_jobs: int) -> Any:
    """Ours, with all defaults."""
    return JointEnsembleClassifier(random_state=seed)


def joint_fast(seed: int, n_jobs: int) -> Any:
    """Ours, as its documentation says for those in a hurry."""
    # As the guide on tables gives it.
    return JointEnsembleClassifier(
        tabular_classifier((128, 128), batch_size=256, patience=2),
        n_estimators=6,
        random_state=seed,
    )


def n_members() -> int:
    """Of our ensemble, by default; as many get the rivals that are named "x M"."""
    return JointEnsembleClassifier().n_estimators


# -- scikit-learn ------------------------------------------------------------------


def on_numbers(model: Any) -> Pipeline:
    """Median and scale for numbers, a column for each category, then `model`."""
    numbers = make_pipeline(_median(), StandardScaler())
    categories = make_pipeline(
        SimpleImputer(missing_values=np.nan, strategy="constant", fill_value="missing"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    prepare = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_include="category")),
    )
    return make_pipeline(prepare, model)


def _median() -> SimpleImputer:
    # A column that is missing everywhere stays, as zeros.
    return SimpleImputer(strategy="median", keep_empty_features=True)


def logistic_regression(seed: int, n_jobs: int) -> Any:
    """The line that everything has to be above."""
    return on_numbers(LogisticRegression(max_iter=1000, random_state=seed))


def mlp(seed: int, n_jobs: int) -> Any:
    """One network."""
    return on_numbers(MLPClassifier(random_state=seed))


def bagging(seed: int, n_jobs: int) -> Any:
    """What joint training replaces."""
    member = MLPClassifier(early_stopping=True)
    ensemble = BaggingClassifier(member, 10, n_jobs=n_jobs, random_state=seed)
    return on_numbers(ensemble)


def random_forest(seed: int, n_jobs: int) -> Any:
    """Of 300 trees."""
    forest = RandomForestClassifier(300, n_jobs=n_jobs, random_state=seed)
    return on_numbers(forest)


def gradient_boosting(seed: int, n_jobs: int, **settings: Any) -> Any:
    """Takes categories and missing values by itself, but no column without a value."""
    prepare = make_column_transformer(
        ("passthrough", _observed), verbose_feature_names_out=False
    )
    model = HistGradientBoostingClassifier(
        categorical_features="from_dtype", random_state=seed, **settings
    )
    return make_pipeline(prepare.set_output(transform="pandas"), model)


def _observed(X: pd.DataFrame) -> pd.Index:
    return X.columns[X.notna().any()]


# -- pytabkit ----------------------------------------------------------------------


def of_pytabkit(kind: str, seed: int, n_jobs: int, **settings: Any) -> Any:
    """Ready for tables, but for missing numbers.

    Parameters
    ----------
    kind : str
        Name of a classifier, without ``_Classifier``.
    seed : int
    n_jobs : int
        Threads.
    **settings : dict
        What is not as by default.
    """
    import pytabkit

    # Says a few lines at every fit.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    model = getattr(pytabkit, f"{kind}_Classifier")(
        device=device(), n_threads=n_jobs, random_state=seed, **settings
    )
    fill = make_column_transformer(
        (_median(), make_column_selector(dtype_include="number")),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    return make_pipeline(fill.set_output(transform="pandas"), model)


def of_members(argument: str, seed: int, n_jobs: int, **settings: Any) -> Any:
    """RealMLPs as many as our ensemble has members; `argument` says of what kind.

    ``n_ens`` are trained on the same rows and stopped by the same others, ``n_cv`` on
    the rows of one fold each.
    """
    settings[argument] = n_members()
    return of_pytabkit(REALMLP, seed, n_jobs, **settings)


def device() -> str:
    """Where networks are trained, ours by their defaults and others to be equal."""
    return "cuda" if torch.cuda.is_available() else "cpu"


OURS: dict[str, Model] = {JOINT: joint, FAST: joint_fast}
SKLEARN: dict[str, Model] = {
    LOGISTIC: logistic_regression,
    "MLPClassifier": mlp,
    BAGGING: bagging,
    FOREST: random_forest,
    BOOSTING: gradient_boosting,
    f"{BOOSTING}, stopped": partial(gradient_boosting, early_stopping=True),
}
PYTABKIT: dict[str, Model] = {
    "RealMLP_TD_S": partial(of_pytabkit, "RealMLP_TD_S"),
    REALMLP: partial(of_pytabkit, REALMLP),
    f"{REALMLP}{UNSMOOTHED}": partial(of_pytabkit, REALMLP, **_FOR_LOG_LOSS),
    REALMLPS: partial(of_members, "n_ens"),
    f"{REALMLPS}{UNSMOOTHED}": partial(of_members, "n_ens", **_FOR_LOG_LOSS),
    f"{REALMLPS} folds{UNSMOOTHED}": partial(of_members, "n_cv", **_FOR_LOG_LOSS),
    TABM: partial(of_pytabkit, "TabM_D"),
}
MODELS = OURS | SKLEARN | PYTABKIT

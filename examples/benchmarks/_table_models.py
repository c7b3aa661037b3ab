"""The models of `tables.py`: ours, scikit-learn's and pytabkit's, with their defaults.

Each is made by a function of a task, a seed and a number of jobs: of a classifier and a
regressor of the same kind. All take a table as it is: those that need numbers without
gaps are in a pipeline with what a careful user would put before them, and networks that
predict numbers get them scaled.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn import ensemble
from sklearn.compose import (
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import sklearn_jointens
from examples._drawn_rows import MLPRegressorOnDrawnRows
from examples._kinds import ENDINGS, of_task

Model = Callable[[int, int], Any]

JOINT, FAST = "joint ensemble", "joint, fast"
LINEAR = {"classification": "logistic regression", "regression": "ridge regression"}
BAGGING, FOREST, BOOSTING = "Bagging(MLP)", "random forest", "gradient boosting"
REALMLP, TABM = "RealMLP_TD", "TabM_D"
REALMLPS = f"{REALMLP} x M"
UNSMOOTHED = ", no label smoothing"

# What pytabkit's manual advises for log-loss and AUC, instead of the defaults, which
# are meant for accuracy.
_FOR_LOG_LOSS = {"use_ls": False, "val_metric_name": "cross_entropy"}


# -- ours --------------------------------------------------------------------------


def joint(
    task: str, seed: int, n_jobs: int, estimator: Any = None, **settings: Any
) -> Any:
    """Ours, with all defaults unless told."""
    make = of_task(task, sklearn_jointens, "JointEnsemble")
    return make(estimator, random_state=seed, **settings)


def joint_fast(task: str, seed: int, n_jobs: int) -> Any:
    """Ours, as its documentation says for those in a hurry."""
    # As the guide on tables gives it.
    small = member(task, hidden_layer_sizes=(128, 128), batch_size=256, patience=2)
    return joint(task, seed, n_jobs, small, n_estimators=6)


def member(task: str, **settings: Any) -> Any:
    """Ours for tables."""
    return getattr(sklearn_jointens, f"tabular_{ENDINGS[task].lower()}")(**settings)


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


def _on_scaled(task: str, network: Any) -> Any:
    """In front of the network numbers, and behind it a scaled target of numbers."""
    model = on_numbers(network)
    if task == "classification":
        return model
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def linear(task: str, seed: int, n_jobs: int) -> Any:
    """The line that everything has to be above."""
    if task == "regression":
        return on_numbers(Ridge(random_state=seed))
    return on_numbers(LogisticRegression(max_iter=1000, random_state=seed))


def mlp(task: str, seed: int, n_jobs: int) -> Any:
    """One network."""
    make = MLPClassifier if task == "classification" else MLPRegressor
    return _on_scaled(task, make(random_state=seed))


def bagging(task: str, seed: int, n_jobs: int) -> Any:
    """What joint training replaces."""
    is_of_classes = task == "classification"
    # Drawn rows as weights fail on some tables of numbers, and on none of classes.
    make_member = MLPClassifier if is_of_classes else MLPRegressorOnDrawnRows
    make = of_task(task, ensemble, "Bagging")
    model = make(make_member(early_stopping=True), 10, n_jobs=n_jobs, random_state=seed)
    return _on_scaled(task, model)


def forest(task: str, seed: int, n_jobs: int, trees: str = "RandomForest") -> Any:
    """Of 300 trees."""
    make = of_task(task, ensemble, trees)
    return on_numbers(make(300, n_jobs=n_jobs, random_state=seed))


def gradient_boosting(task: str, seed: int, n_jobs: int, **settings: Any) -> Any:
    """Takes categories and missing values by itself, but no column without a value."""
    prepare = make_column_transformer(
        ("passthrough", _observed), verbose_feature_names_out=False
    )
    model = of_task(task, ensemble, "HistGradientBoosting")(
        categorical_features="from_dtype", random_state=seed, **settings
    )
    return make_pipeline(prepare.set_output(transform="pandas"), model)


def _observed(X: pd.DataFrame) -> pd.Index:
    return X.columns[X.notna().any()]


# -- pytabkit ----------------------------------------------------------------------


def of_pytabkit(task: str, seed: int, n_jobs: int, kind: str, **settings: Any) -> Any:
    """Ready for tables, but for missing numbers.

    Parameters
    ----------
    task : {"classification", "regression"}
    seed : int
    n_jobs : int
        Threads.
    kind : str
        Name of an estimator, without ``_Classifier`` or ``_Regressor``.
    **settings : dict
        What is not as by default.
    """
    import pytabkit

    # Says a few lines at every fit.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    model = of_task(task, pytabkit, f"{kind}_")(
        device=device(), n_threads=n_jobs, random_state=seed, **settings
    )
    fill = make_column_transformer(
        (_median(), make_column_selector(dtype_include="number")),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    return make_pipeline(fill.set_output(transform="pandas"), model)


def of_members(
    task: str, seed: int, n_jobs: int, argument: str, **settings: Any
) -> Any:
    """RealMLPs as many as our ensemble has members; `argument` says of what kind.

    ``n_ens`` are trained on the same rows and stopped by the same others, ``n_cv`` on
    the rows of one fold each.
    """
    settings[argument] = joint(task, seed, n_jobs).n_estimators
    return of_pytabkit(task, seed, n_jobs, REALMLP, **settings)


def device() -> str:
    """Where networks are trained, ours by their defaults and others to be equal."""
    return "cuda" if torch.cuda.is_available() else "cpu"


OURS = {JOINT: joint, FAST: joint_fast}
_OF_BOTH_TASKS = {
    BAGGING: bagging,
    FOREST: forest,
    BOOSTING: gradient_boosting,
    f"{BOOSTING}, stopped": partial(gradient_boosting, early_stopping=True),
}
SKLEARN = {
    "classification": {
        LINEAR["classification"]: linear,
        "MLPClassifier": mlp,
        **_OF_BOTH_TASKS,
    },
    "regression": {
        LINEAR["regression"]: linear,
        "MLPRegressor": mlp,
        **_OF_BOTH_TASKS,
        "extra trees": partial(forest, trees="ExtraTrees"),
    },
}
_REALMLP = partial(of_pytabkit, kind=REALMLP)
_SMALL, _TABM = (partial(of_pytabkit, kind=kind) for kind in ("RealMLP_TD_S", TABM))
_N_ENS, _N_CV = (partial(of_members, argument=name) for name in ("n_ens", "n_cv"))
PYTABKIT = {
    "classification": {
        "RealMLP_TD_S": _SMALL,
        REALMLP: _REALMLP,
        f"{REALMLP}{UNSMOOTHED}": partial(_REALMLP, **_FOR_LOG_LOSS),
        REALMLPS: _N_ENS,
        f"{REALMLPS}{UNSMOOTHED}": partial(_N_ENS, **_FOR_LOG_LOSS),
        f"{REALMLPS} folds{UNSMOOTHED}": partial(_N_CV, **_FOR_LOG_LOSS),
        TABM: _TABM,
    },
    "regression": {
        "RealMLP_TD_S": _SMALL,
        REALMLP: _REALMLP,
        REALMLPS: _N_ENS,
        f"{REALMLPS} folds": _N_CV,
        TABM: _TABM,
    },
}

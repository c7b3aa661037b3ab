"""Joint training against Bagging, Stacking and one large net, on data of your choice.

::

    python examples/compare_ensembles.py
    python examples/compare_ensembles.py --dataset Fashion-MNIST --config 256x4 64x16
    python examples/compare_ensembles.py --data my_arrays.npz --epochs 50
    python examples/compare_ensembles.py --task regression
    python examples/compare_ensembles.py --task regression --data folder --dataset mv

Every row of the table is one scikit-learn estimator that is fitted on the training rows
and measured on the test rows. All ensembles are made of the same member net: one hidden
layer, SGD with momentum, the same learning rate, batches and epochs. A row is written
to the CSV file as soon as it is there, and found there when the same command is given
again, so that a long comparison can be interrupted. Numbers to predict are standardised
for all, and RMSE is in their own units.
"""

import argparse
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import skorch
import torch
from _data import Data, as_numbers, load_data, make_data
from _drawn_rows import MLPOnDrawnRows, MLPRegressorOnDrawnRows
from _kinds import of_task
from _report import draw, markdown
from _rivals import (
    StackingOnHeldOutRows,
    make_member,
    n_parameters,
)
from _tables import load_tables
from sklearn import ensemble, model_selection
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    r2_score,
    root_mean_squared_error,
)
from sklearn.model_selection import GridSearchCV
from tqdm.auto import tqdm

import sklearn_jointens

METHODS = {
    "search": "JointEnsembleClassifier, lam by GridSearchCV",
    "curve": "JointEnsembleClassifier, this lam",
    "bagging": "BaggingClassifier of the member net",
    "bootstrap": "JointEnsembleClassifier, lam=0, bootstrap=True",
    "stacking": "StackingClassifier of the member net",
    "large": "one large net of as many parameters",
    "mlp": "BaggingClassifier(MLPClassifier)",
}
METHODS_OF_NUMBERS = {
    **{key: said.replace("Classifier", "Regressor") for key, said in METHODS.items()},
    "search": "JointEnsembleRegressorCV",
    "forest": "RandomForestRegressor",
    "boosting": "HistGradientBoostingRegressor",
}
METHODS_OF = {"classification": METHODS, "regression": METHODS_OF_NUMBERS}

# What a row of the file is known by.
KEYS = (
    "dataset n_train members hidden method asked seed epochs batch_size lr validation "
    "n_jobs device"
).split()

# At most so many --validation are folds, more are rows.
MOST_FOLDS = 20


class Run(NamedTuple):
    """One row to come: an unfitted estimator, and what has to be said of it."""

    method: str
    estimator: Any
    note: str = ""
    lam: float = np.nan


def make_runs(
    data: Data, n_members: int, hidden: int, options: Any, seed: int
) -> Iterator[Run]:
    """Yield the rows of one configuration."""
    task, lams = data.task, options.lams
    member = make_member(data, hidden, options)
    make_joint = of_task(task, sklearn_jointens, "JointEnsemble")
    # Of skorch's own class, which the search trains all at once.
    joined = make_member(data, hidden, options, of_task(task, skorch, "NeuralNet"))
    joint = make_joint(joined, n_members, random_state=seed)
    independent = clone(joint).set_params(lam=0.0)
    common = {"n_jobs": options.n_jobs, "random_state": seed}
    cv, stacking, validation, how = _validated(
        member, independent, n_members, task, options, seed
    )
    if task == "classification":
        search = GridSearchCV(joint, {"lam": lams}, cv=cv, n_jobs=options.n_jobs)
    else:
        make_search = sklearn_jointens.JointEnsembleRegressorCV
        search = make_search(joined, n_members, lams, cv=cv, **common)
    yield Run("search", search, f"{len(lams)} lams on {validation}; refit")
    for lam in lams:
        yield Run("curve", clone(joint).set_params(lam=lam), lam=lam)
    make_bagging = of_task(task, ensemble, "Bagging")
    yield Run("bagging", make_bagging(member, n_members, **common))
    bootstrap = clone(independent).set_params(bootstrap=True)
    yield Run("bootstrap", bootstrap, "Bagging in one program")
    yield Run("stacking", stacking, how)
    width = round(
        (n_members * n_parameters(data, hidden) - data.n_outputs)
        / (data.n_features + 1 + data.n_outputs)
    )
    large = make_member(data, width, options).set_params(random_state=seed)
    yield Run("large", large, f"{width:,} hidden units")
    is_of_classes = task == "classification"
    mlp = (MLPOnDrawnRows if is_of_classes else MLPRegressorOnDrawnRows)(
        hidden_layer_sizes=(hidden,),
        solver="sgd",
        nesterovs_momentum=False,
        alpha=0.0,
        learning_rate_init=options.lr,
        batch_size=options.batch_size,
        max_iter=options.epochs,
        n_iter_no_change=options.epochs,
    )
    yield Run("mlp", make_bagging(mlp, n_members, **common))
    if task == "regression":
        yield Run("forest", ensemble.RandomForestRegressor(**common))
        boosting = ensemble.HistGradientBoostingRegressor(random_state=seed)
        yield Run("boosting", boosting)


def _validated(
    member: Any, independent: Any, n_members: int, task: str, options: Any, seed: int
) -> tuple[Any, Any, str, str]:
    """What --validation asks for: a splitter, the stack, and both in words."""
    rows, strata = options.validation, "Stratified" * (task == "classification")
    final = RidgeCV() if task == "regression" else LogisticRegression(max_iter=1000)
    make_stacking = of_task(task, ensemble, "Stacking")
    if rows > MOST_FOLDS:
        splitter = getattr(model_selection, f"{strata}ShuffleSplit")
        cv = splitter(1, test_size=rows, random_state=seed)
        stacking = StackingOnHeldOutRows(independent, make_stacking, final, rows, seed)
        validation = f"{rows:,} held-out rows"
        how = f"independent members; cv='prefit' on {validation}"
        return cv, stacking, validation, how
    splitter = getattr(model_selection, f"{strata}KFold")
    members = [
        (f"member {j}", clone(member).set_params(random_state=seed + j))
        for j in range(n_members)
    ]
    stacking = make_stacking(members, final, cv=rows, n_jobs=options.n_jobs)
    cv = splitter(rows, shuffle=True, random_state=seed)
    return cv, stacking, f"{rows} folds", f"each member trained {rows + 1} times"


def measure(run: Run, data: Data) -> dict[str, Any]:
    """Fit on the training rows, and say how it does on the test rows."""
    start = time.perf_counter()
    model = run.estimator.fit(data.X_train, data.y_train)
    seconds = time.perf_counter() - start
    lam, note = run.lam, run.note
    if run.method == "search":
        lam = model.best_params_["lam"]
        note += f" {model.refit_time_:.3g} s"
        model = model.best_estimator_
    score = _of_classes if data.task == "classification" else _of_numbers
    return {"lam": lam, **score(model, data), "fit_seconds": seconds, "note": note}


def _of_classes(model: Any, data: Data) -> dict[str, float]:
    probabilities = model.predict_proba(data.X_test).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return {
        "accuracy": accuracy_score(data.y_test, probabilities.argmax(axis=1)),
        "log_loss": log_loss(data.y_test, probabilities),
        "member_accuracy": _of_members(model, data, accuracy_score),
    }


def _of_numbers(model: Any, data: Data) -> dict[str, float]:
    predicted = model.predict(data.X_test)
    return {
        "r2": r2_score(data.y_test, predicted),
        "rmse": data.unit * root_mean_squared_error(data.y_test, predicted),
        "member_r2": _of_members(model, data, r2_score),
    }


def _of_members(model: Any, data: Data, score: Any) -> float:
    """Mean score of single members, where there are any."""
    if hasattr(model, "score_members"):
        return model.score_members(data.X_test, data.y_test).mean()
    if not hasattr(model, "estimators_"):
        return np.nan
    predicted = [member.predict(data.X_test) for member in model.estimators_]
    return np.mean([score(data.y_test, y) for y in predicted])


def warm_up(data: Data, options: Any) -> None:
    """Start worker processes and load libraries, for which no row should pay."""
    brief = make_member(data, 2, options).set_params(max_epochs=1)
    joint = of_task(data.task, sklearn_jointens, "JointEnsemble")(brief, 2)
    search = GridSearchCV(joint, {"lam": [0.0, 1.0]}, cv=3, n_jobs=options.n_jobs)
    search.fit(data.X_train[:500], data.y_train[:500])


def compare(data: Data, options: Any, path: Path) -> pd.DataFrame:
    """Fit and measure every row that the file at `path` does not hold yet."""
    found = pd.DataFrame(columns=KEYS)
    if path.exists():
        found = pd.read_csv(path, dtype=dict.fromkeys(KEYS, str))
    done = {tuple(key): i for i, key in enumerate(found[KEYS].to_numpy())}
    wanted = []
    for n_members, hidden in options.config:
        for seed in range(options.seed, options.seed + options.repeats):
            for run in make_runs(data, n_members, hidden, options, seed):
                if run.method in options.only:
                    key = _key(data, n_members, hidden, options, seed, run)
                    wanted.append((key, run))
    if any(tuple(key.values()) not in done for key, _ in wanted):
        warm_up(data, options)
    results = []
    with tqdm(wanted, unit="row", smoothing=0) as bar:
        for key, run in bar:
            size = f"{key['members']} x {key['hidden']}"
            bar.set_description(f"{size}: {METHODS_OF[data.task][run.method]}")
            at = done.get(tuple(key.values()))
            if at is None:
                results.append({**key, **measure(run, data)})
                pd.DataFrame(results[-1:]).to_csv(
                    path, mode="a", index=False, header=not path.exists()
                )
            else:
                results.append(found.iloc[at].to_dict())
    return pd.DataFrame(results).astype({"members": int, "hidden": int, "seed": int})


def _key(
    data: Data, n_members: int, hidden: int, options: Any, seed: int, run: Run
) -> dict[str, str]:
    """What a row depends on, as it is written to the file."""
    asked = {"search": " ".join(map(str, options.lams)), "curve": run.lam}
    values = (
        data.name,
        len(data.X_train),
        n_members,
        hidden,
        run.method,
        asked.get(run.method, "-"),
        seed,
        options.epochs,
        options.batch_size,
        options.lr,
        options.validation,
        options.n_jobs,
        options.device,
    )
    return dict(zip(KEYS, map(str, values), strict=True))


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--task", choices=[*METHODS_OF], default="classification")
    add(
        "--dataset",
        help="digits, diabetes, or a name at OpenML or in the folder of --data "
        "(default: digits, or diabetes for regression)",
    )
    add(
        "--data",
        type=Path,
        help="npz file: X_train, y_train, X_test, y_test or X, y; or folder of tables",
    )
    add("--name", help="what to call the data of --data")
    add(
        "--per-column",
        action="store_true",
        help="standardise each column by itself (always in regression)",
    )
    add("--train-size", type=int, help="rows to train on (default: all)")
    add("--test-size", type=float, default=1 / 3, help="share, where no split is given")
    add(
        "--config",
        type=_members_and_hidden,
        nargs="+",
        action="extend",
        metavar="MxH",
        help="M members of H hidden units (default: 16x4)",
    )
    lams = [0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0]
    add("--lams", type=float, nargs="+", default=lams)
    add("--epochs", type=int, default=20)
    add("--batch-size", type=int, default=100)
    add("--lr", type=float, help="of each net (default: 0.1 on digits, else 0.02)")
    add(
        "--validation",
        type=int,
        default=5,
        help=f"folds, up to {MOST_FOLDS}, or rows to hold out (default: 5)",
    )
    add("--only", nargs="+", choices=METHODS_OF_NUMBERS, help="rows to run")
    add("--repeats", type=int, default=1, help="runs with different seeds")
    add("--seed", type=int, default=0)
    add("--n-jobs", type=int, default=2)
    add("--device", default="cpu")
    add("--out", type=Path, default=Path("output"), help="folder for the results")
    options = parser.parse_args(arguments)
    options.config = options.config or [(16, 4)]
    options.only = options.only or list(METHODS_OF[options.task])
    is_of_numbers = options.task == "regression"
    options.per_column |= is_of_numbers
    options.dataset = options.dataset or ("diabetes" if is_of_numbers else "digits")
    if options.lr is None:
        is_digits = options.dataset == "digits" and options.data is None
        options.lr = 0.1 if is_digits else 0.02
    return options


def load(options: argparse.Namespace) -> Data:
    """The data that the command line names."""
    settings = {
        "task": options.task,
        "train_size": options.train_size,
        "test_size": options.test_size,
        "per_column": options.per_column,
        "seed": options.seed,
    }
    if options.data is not None and options.data.is_dir():
        (table,) = load_tables(options.data, [options.dataset], options.task)
        data = make_data(table.name, as_numbers(table.X), table.y, **settings)
    else:
        data = load_data(options.dataset, options.data, **settings)
    return data._replace(name=options.name or data.name)


def _members_and_hidden(text: str) -> tuple[int, int]:
    n_members, hidden = map(int, text.split("x"))
    return n_members, hidden


def main() -> None:
    """Compare, and write a CSV file, a table and a picture."""
    options = parse_options()
    # MLPClassifier warns when it stops after max_iter, which is what it is asked to do.
    # Worker processes take their filters from the environment.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:Stochastic Optimizer")
    warnings.filterwarnings("ignore", "Stochastic Optimizer")
    data = load(options)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"compare_{data.name}.csv"
    results = compare(data, options, path)
    caption = (
        f"{data.name}: {len(data.X_train):,} rows to train on, {len(data.X_test):,} to "
        f"test on. One hidden layer, {options.epochs} epochs of SGD with momentum 0.9, "
        f"learning rate {options.lr:g}, batches of {options.batch_size}"
        + (f"; mean of {options.repeats} runs." if options.repeats > 1 else ".")
    )
    table = markdown(results, data.task, METHODS_OF[data.task])
    machine = (
        f"Fit seconds on {os.cpu_count()} CPU cores, n_jobs={options.n_jobs} where "
        f"there are several fits, torch threads: {torch.get_num_threads()}."
    )
    text = f"{caption} {machine}\n\n{table}\n"
    path.with_suffix(".md").write_text(text)
    print(f"\n{text}")
    draw(results, data.task, data.name, caption, path.with_suffix(".png"))
    print(f"Written: {path}, .md and .png")


if __name__ == "__main__":
    main()

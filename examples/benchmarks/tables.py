"""Our ensemble against scikit-learn's classifiers, and pytabkit's, on real tables.

::

    python -m examples.benchmarks.tables --csv output/tables.csv --out docs/images
    python -m examples.benchmarks.tables --data folder --half design --splits 1
    python -m examples.benchmarks.tables --models "joint ensemble" "RealMLP_TD x M"
    python -m examples.benchmarks.tables --report-only --out docs/images

All models have their own defaults and get the same rows, as they are. Tables come from
a folder (`examples._tables.load_tables` says of what) or from OpenML. Defaults of the
package were chosen on the design half of the tables; the report half is what counts.

Every fit is a row of the CSV file as soon as it is done, and is not done again when the
command is given again; delete rows to repeat them. A model that fails leaves a row with
a note. pytabkit's models, which only run when they are named, need
``pip install pytabkit``.
"""

import argparse
import csv
import os
import warnings
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from examples._data import find_commit
from examples._tables import Table, halves, load_tables, split, table_names
from examples.benchmarks._measure import seconds
from examples.benchmarks._report import machine, one_line
from examples.benchmarks._table_metrics import METRICS, scores
from examples.benchmarks._table_models import (
    MODELS,
    OURS,
    PYTABKIT,
    SKLEARN,
    Model,
    device,
)
from examples.benchmarks._table_pictures import draw_ranks, draw_times
from examples.benchmarks._table_report import Results, markdown, mean_ranks
from sklearn_jointens import __version__

# What a row of the file is known by.
KEYS = ("table", "split", "model")
TIMES = ("fit_seconds", "predict_seconds")
COLUMNS = (
    *("half", "table", "n_rows", "n_columns", "n_classes", "split", "model"),
    *(*METRICS, *TIMES, "note", "version", "commit", "machine"),
)

_LONGEST_NOTE = 300


def measure(
    make: Model, table: Table, number: int, n_jobs: int
) -> dict[str, float | str]:
    """Fit on the training rows of a split, and say how it does on the test rows.

    Parameters
    ----------
    make : callable
        Makes the model.
    table : Table
    number : int
        Of the split, and seed of the model.
    n_jobs : int

    Returns
    -------
    dict
        Metrics and times, and a note. Where the model fails, all are NaN and the note
        says why.
    """
    X_train, X_test, y_train, y_test = split(table, number)
    predicted: list[np.ndarray] = []
    found: dict[str, float | str] = dict.fromkeys((*METRICS, *TIMES), np.nan)
    try:
        model = make(number, n_jobs)
        with warnings.catch_warnings():
            # That a fit has not converged is no news about defaults.
            warnings.simplefilter("ignore")
            fit = seconds(lambda: model.fit(X_train, y_train), device())
            predict = seconds(
                lambda: predicted.append(model.predict_proba(X_test)), device()
            )
        of_all = scores(y_test, predicted[0], model.classes_, np.unique(table.y))
        found |= {**of_all, "fit_seconds": fit, "predict_seconds": predict}
        note = ""
    except Exception as error:
        text = " ".join(str(error).split())
        note = f"{type(error).__name__}: {text}"[:_LONGEST_NOTE]
    return {**found, "note": note}


def run(options: argparse.Namespace) -> None:
    """Fit and measure all that the file does not hold yet."""
    design, report = halves(table_names(options.data))
    half_of = dict.fromkeys(design, "design") | dict.fromkeys(report, "report")
    common = {
        "version": __version__,
        "commit": find_commit(),
        "machine": one_line(machine(device())),
    }
    took = _read(options.csv)
    tasks = [
        (name, number, model)
        for name in options.tables
        for number in range(options.splits)
        for model in options.models
        if (name, number, model) not in took
    ]
    warm_up({model for *_, model in tasks}, options.n_jobs)
    names = list(dict.fromkeys(name for name, *_ in tasks))
    with tqdm(total=len(tasks), unit="fit", smoothing=0) as bar:
        for table in load_tables(options.data, names):
            about = {
                "half": half_of[table.name],
                "n_rows": len(table.X),
                "n_columns": table.X.shape[1],
                "n_classes": len(np.unique(table.y)),
            }
            for key in (task for task in tasks if task[0] == table.name):
                _, number, model = key
                bar.set_description(f"{table.name}: {model}")
                if took.get((table.name, 0, model), 0) <= options.time_limit:
                    found = measure(MODELS[model], table, number, options.n_jobs)
                    row = dict(zip(KEYS, key, strict=True)) | about | found | common
                    append(row, options.csv)
                    took[key] = _time_of(row)
                bar.update()


def warm_up(names: set[str], n_jobs: int) -> None:
    """Load libraries and start worker processes, for which no row should pay."""
    random = np.random.default_rng(0)
    X = pd.DataFrame(random.normal(size=(60, 2)), columns=["a", "b"])
    table = Table("warm-up", "classification", X, np.repeat(["0", "1"], 30), [])
    for name in tqdm(sorted(names), desc="warm-up", unit="model", leave=False):
        measure(MODELS[name], table, 0, n_jobs)


def _read(path: Path) -> dict[tuple[str, int, str], float]:
    """Seconds of the rows that are there, by their keys; 0 where a model failed."""
    if not path.exists():
        return {}
    rows = pd.read_csv(path).to_dict("records")
    return {tuple(row[key] for key in KEYS): _time_of(row) for row in rows}


def _time_of(row: dict[str, Any]) -> float:
    return float(np.nansum([row[name] for name in TIMES]))


def append(row: dict[str, Any], path: Path) -> None:
    """Write a row to the end of the file, and let go of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        shorter = {k: f"{v:.7g}" for k, v in row.items() if isinstance(v, float)}
        writer.writerow(row | shorter)


def report(options: argparse.Namespace) -> Iterator[Path]:
    """Write text and pictures of what the file holds, and yield where."""
    # A commit may look like a number.
    rows = pd.read_csv(options.csv, dtype={"commit": str, "version": str})
    if options.half != "all":
        rows = rows[rows["half"] == options.half]
    if rows["log_loss"].isna().all():
        print(f"{options.csv} has no figures of half: {options.half}")
        return
    results = Results(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    text = markdown(results)
    print(f"\n{text}")
    write = {"tables.md": lambda path: path.write_text(text)}
    if not mean_ranks(results).empty:
        write["tables_ranks.png"] = partial(draw_ranks, results)
        write["tables_time.png"] = partial(draw_times, results)
    for name, to in write.items():
        to(options.out / name)
        yield options.out / name


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="folder of tables (default: from OpenML)")
    add("--half", choices=["report", "design", "all"], default="report")
    add("--splits", type=int, default=3, help="of each table")
    add("--csv", type=Path, default=Path("output/tables.csv"), help="file of rows")
    add("--out", type=Path, default=Path("output"), help="folder for the report")
    models = [*OURS, *SKLEARN]
    add(
        "--models",
        nargs="+",
        choices=[*MODELS],
        default=models,
        metavar="MODEL",
        help=f"of: {'; '.join(MODELS)} (default: all but pytabkit's)",
    )
    add("--tables", nargs="+", metavar="TABLE", help="only these, of any half")
    add("--n-jobs", type=int, default=2, help="of forests and Bagging; threads")
    add("--report-only", action="store_true", help="of the rows that are there")
    add(
        "--time-limit",
        type=float,
        default=np.inf,
        metavar="SECONDS",
        help="a model that takes longer on a table's split 0 gets no other split of it",
    )
    options = parser.parse_args(arguments)
    if options.report_only:
        if not options.csv.exists():
            parser.error(f"--csv must be a file that exists. Got {options.csv} instead")
        return options
    if options.splits < 1:
        parser.error(f"--splits must be at least 1. Got {options.splits} instead")
    if options.data and not (options.data / "tables.json").exists():
        parser.error(f"--data must hold a tables.json. Got {options.data} instead")
    if find_spec("pytabkit") is None and not PYTABKIT.keys().isdisjoint(options.models):
        parser.error("--models of pytabkit need it: pip install pytabkit")
    known = table_names(options.data)
    if options.tables is None:
        design, report = halves(known)
        of_half = {"design": design, "report": report, "all": known}
        options.tables = of_half[options.half]
    unknown = sorted(set(options.tables) - set(known))
    if unknown:
        parser.error(f"--tables must be among {known}. Got {unknown} instead")
    return options


def main() -> None:
    """Measure, and write text and pictures."""
    options = parse_options()
    # Worker processes take their filters from the environment.
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    if not options.report_only:
        run(options)
    for path in report(options):
        print(f"Written: {path}")


if __name__ == "__main__":
    main()

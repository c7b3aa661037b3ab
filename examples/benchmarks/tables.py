"""Our ensemble against scikit-learn's models, and pytabkit's, on real tables.

::

    python -m examples.benchmarks.tables --csv output/tables.csv --out docs/images
    python -m examples.benchmarks.tables --task regression --data folder
    python -m examples.benchmarks.tables --data folder --half design --splits 1
    python -m examples.benchmarks.tables --models "joint ensemble" "RealMLP_TD x M"
    python -m examples.benchmarks.tables --report-only --out docs/images

All models have their own defaults, but that Bagging stops early, and get the same rows,
as they are. Tables come from a folder (`examples._tables.load_tables` says of what) or
from OpenML. Defaults of the package were chosen on the design half of the tables; the
report half is what counts.

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
from examples.benchmarks._table_models import OURS, Model, device
from examples.benchmarks._table_pictures import draw_ranks, draw_times
from examples.benchmarks._table_report import Results, markdown, mean_ranks
from examples.benchmarks._table_task import TASKS, Task
from sklearn_jointens import __version__

# What a row of the file is known by.
KEYS = ("table", "split", "model")
TIMES = ("fit_seconds", "predict_seconds")
_LONGEST_NOTE = 300


def columns(task: Task) -> list[str]:
    """Of the file."""
    classes = ["n_classes"] if task.name == "classification" else []
    about = ["half", "table", "n_rows", "n_columns", *classes, "split", "model"]
    return [*about, *task.metrics, *TIMES, "note", "version", "commit", "machine"]


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
    task = TASKS[table.task]
    X_train, X_test, y_train, y_test = split(table, number)
    predicted: list[np.ndarray] = []
    found: dict[str, float | str] = dict.fromkeys((*task.metrics, *TIMES), np.nan)
    try:
        model = make(number, n_jobs)
        with warnings.catch_warnings():
            # That a fit has not converged is no news about defaults.
            warnings.simplefilter("ignore")
            fit = seconds(lambda: model.fit(X_train, y_train), device())
            predict = seconds(
                lambda: predicted.append(task.predict(model, X_test)), device()
            )
        of_all = task.scores(model, y_test, predicted[0], table.y)
        found |= {**of_all, "fit_seconds": fit, "predict_seconds": predict}
        note = ""
    except Exception as error:
        text = " ".join(str(error).split())
        note = f"{type(error).__name__}: {text}"[:_LONGEST_NOTE]
    return {**found, "note": note}


def run(options: argparse.Namespace) -> None:
    """Fit and measure all that the file does not hold yet."""
    task = TASKS[options.task]
    design, report = halves(table_names(options.data, task.name))
    half_of = dict.fromkeys(design, "design") | dict.fromkeys(report, "report")
    common = {
        "version": __version__,
        "commit": find_commit(),
        "machine": one_line(machine(device())),
    }
    took = _read(options.csv)
    keys = [
        (name, number, model)
        for name in options.tables
        for number in range(options.splits)
        for model in options.models
        if (name, number, model) not in took
    ]
    warm_up(task, {model for *_, model in keys}, options.n_jobs)
    names = list(dict.fromkeys(name for name, *_ in keys))
    with tqdm(total=len(keys), unit="fit", smoothing=0) as bar:
        for table in load_tables(options.data, names, task.name):
            about = {
                "half": half_of[table.name],
                "n_rows": len(table.X),
                "n_columns": table.X.shape[1],
                "n_classes": len(np.unique(table.y)),
            }
            for key in (key for key in keys if key[0] == table.name):
                _, number, model = key
                bar.set_description(f"{table.name}: {model}")
                if took.get((table.name, 0, model), 0) <= options.time_limit:
                    found = measure(task.models[model], table, number, options.n_jobs)
                    row = dict(zip(KEYS, key, strict=True)) | about | found | common
                    append(row, options.csv, columns(task))
                    took[key] = _time_of(row)
                bar.update()


def warm_up(task: Task, names: set[str], n_jobs: int) -> None:
    """Load libraries and start worker processes, for which no row should pay."""
    random = np.random.default_rng(0)
    X = pd.DataFrame(random.normal(size=(60, 2)), columns=["a", "b"])
    y = np.arange(60.0) if task.name == "regression" else np.repeat(["0", "1"], 30)
    table = Table("warm-up", task.name, X, y, [])
    for name in tqdm(sorted(names), desc="warm-up", unit="model", leave=False):
        measure(task.models[name], table, 0, n_jobs)


def _read(path: Path) -> dict[tuple[str, int, str], float]:
    """Seconds of the rows that are there, by their keys; 0 where a model failed."""
    if not path.exists():
        return {}
    rows = pd.read_csv(path).to_dict("records")
    return {tuple(row[key] for key in KEYS): _time_of(row) for row in rows}


def _time_of(row: dict[str, Any]) -> float:
    return float(np.nansum([row[name] for name in TIMES]))


def append(row: dict[str, Any], path: Path, columns: list[str]) -> None:
    """Write these columns to the end of the file, and let go of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, "", "ignore", lineterminator="\n")
        if is_new:
            writer.writeheader()
        shorter = {k: f"{v:.7g}" for k, v in row.items() if isinstance(v, float)}
        writer.writerow(row | shorter)


def report(options: argparse.Namespace) -> Iterator[Path]:
    """Write text and pictures of what the file holds, and yield where."""
    # A commit may look like a number.
    task = TASKS[options.task]
    rows = pd.read_csv(options.csv, dtype={"commit": str, "version": str})
    if options.half != "all":
        rows = rows[rows["half"] == options.half]
    if rows[task.main].isna().all():
        print(f"{options.csv} has no figures of half: {options.half}")
        return
    results = Results(rows, task)
    options.out.mkdir(parents=True, exist_ok=True)
    text, name = markdown(results), f"tables{task.suffix}"
    print(f"\n{text}")
    write = {f"{name}.md": lambda path: path.write_text(text)}
    if not mean_ranks(results, task.main).empty:
        write[f"{name}_ranks.png"] = partial(draw_ranks, results)
        write[f"{name}_time.png"] = partial(draw_times, results)
    for file, to in write.items():
        to(options.out / file)
        yield options.out / file


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--task", choices=[*TASKS], default="classification")
    add("--data", type=Path, help="folder of tables (default: from OpenML)")
    add("--half", choices=["report", "design", "all"], default="report")
    add("--splits", type=int, default=3, help="of each table")
    add("--csv", type=Path, help="file of rows (default: by task, in output/)")
    add("--out", type=Path, default=Path("output"), help="folder for the report")
    names = "; ".join(dict.fromkeys(name for t in TASKS.values() for name in t.models))
    add(
        "--models",
        nargs="+",
        metavar="MODEL",
        help=f"of: {names} (default: all but pytabkit's)",
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
    task = TASKS[options.task]
    options.csv = options.csv or Path("output") / f"tables{task.suffix}.csv"
    if options.report_only:
        if not options.csv.exists():
            parser.error(f"--csv must be a file that exists. Got {options.csv} instead")
        return options
    if options.splits < 1:
        parser.error(f"--splits must be at least 1. Got {options.splits} instead")
    if options.data and not (options.data / "tables.json").exists():
        parser.error(f"--data must hold a tables.json. Got {options.data} instead")
    options.models = options.models or [*OURS, *task.sklearn]
    unknown = [name for name in options.models if name not in task.models]
    if unknown:
        parser.error(f"--models must be among {[*task.models]}. Got {unknown} instead")
    if find_spec("pytabkit") is None and set(task.pytabkit) & set(options.models):
        parser.error("--models of pytabkit need it: pip install pytabkit")
    known = table_names(options.data, task.name)
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

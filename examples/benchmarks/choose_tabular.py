"""The evidence for the defaults of our members for tables and of ensembles of them.

::

    python -m examples.benchmarks.choose_tabular --data folder --csv output/choose.csv
    python -m examples.benchmarks.choose_tabular --candidates default lam=0.9
    python -m examples.benchmarks.choose_tabular --task regression --report-only

Each candidate differs from the defaults in one setting. It is fitted to the tables of
the design half alone (`examples._tables.halves`): on 5,000 of their training rows, or
all where there are fewer, and on 200, which is where most members fail. What counts is
the log-loss, or the RMSE, on the rest of the rows, compared with that of the defaults
table by table: a ratio's median over the tables, so that no table decides alone, and
how often it is below 1. A linear model is there to say when a candidate does harm.

Every fit is a row of the CSV file as soon as it is done, and is not done again.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from sklearn.model_selection import train_test_split
from skorch.callbacks import LRScheduler
from skorch.dataset import ValidSplit
from tqdm.auto import tqdm

from examples._report import markdown_table
from examples._tables import Table, halves, load_tables, split, strata, table_names
from examples.benchmarks._table_models import joint, member
from examples.benchmarks._table_task import TASKS, Task

LARGEST, SMALLEST = 5000, 200
DEFAULT = "default"
KEYS = ("table", "rows", "seed", "candidate")
METRICS = {"classification": ("log_loss", "accuracy"), "regression": ("rmse", "r2")}

# Settings of the ensemble, and of its members, by the name of the candidate.
CANDIDATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    DEFAULT: ({}, {}),
    **{f"lam={lam}": ({"lam": lam}, {}) for lam in (0.3, 0.6, 0.9, 0.99, 1)},
    **{f"n_estimators={m}": ({"n_estimators": m}, {}) for m in (4, 16, 32)},
    **{
        f"hidden={sizes}": ({}, {"hidden_layer_sizes": sizes})
        for sizes in ((64, 64), (128, 128), (256, 256), (256,), (512, 512))
    },
    **{f"n_bins={n}": ({}, {"n_bins": n}) for n in (0, 8, 16)},
    **{f"lr={lr}": ({}, {"lr": lr}) for lr in (0.001, 0.004, 0.008)},
    **{f"weight_decay={wd}": ({}, {"weight_decay": wd}) for wd in (0.03, 0.3)},
    "dropout=0.1": ({}, {"dropout": 0.1}),
    **{f"n_splits={n}": ({}, {"n_splits": n}) for n in (4, 16)},
    "15 % held out": ({}, {"train_split": ValidSplit(0.15)}),
    **{f"patience={n}": ({}, {"patience": n}) for n in (4, 16)},
    **{f"n_drops={n}": ({}, {"n_drops": n}) for n in (0, 1, 2)},
    **{f"batch_size={n}": ({}, {"batch_size": n}) for n in (32, 64, 256)},
    "activation=silu": ({}, {"activation": "silu"}),
    **{
        f"lr decays by {gamma} an epoch": (
            {},
            {"callbacks": [("decay", LRScheduler("ExponentialLR", gamma=gamma))]},
        )
        for gamma in (0.9, 0.95)
    },
    "lr as a cosine of 30 epochs": (
        {},
        {
            "max_epochs": 30,
            "callbacks": [("decay", LRScheduler("CosineAnnealingLR", T_max=30))],
        },
    ),
    "lam=0.3 n_splits=16": ({"lam": 0.3}, {"n_splits": 16}),
    "fast": (
        {"n_estimators": 6},
        {"hidden_layer_sizes": (128, 128), "batch_size": 256, "patience": 2},
    ),
}


def model(task: Task, candidate: str, seed: int) -> Any:
    """A candidate, or the linear model."""
    if candidate == task.linear:
        return task.models[candidate](seed, 1)
    of_ensemble, of_member = CANDIDATES[candidate]
    return joint(task.name, seed, 1, member(task.name, **of_member), **of_ensemble)


def measure(table: Table, n_rows: int, seed: int, candidate: str) -> dict[str, Any]:
    """Fit a candidate to so many rows of a table, and score it on the test rows."""
    torch.set_num_threads(1)
    task = TASKS[table.task]
    X, X_test, y, y_test = split(table, seed)
    if n_rows < len(y):
        X, _, y, _ = train_test_split(
            *(X, y),
            train_size=n_rows,
            stratify=strata(y, task.name),
            random_state=seed,
        )
    found: dict[str, Any] = dict.fromkeys(METRICS[task.name], np.nan) | {"note": ""}
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = model(task, candidate, seed).fit(X, y)
        seconds = time.perf_counter() - started
        of_all = task.scores(fitted, y_test, task.predict(fitted, X_test), table.y)
        found |= {name: of_all[name] for name in METRICS[task.name]}
        found["seconds"] = seconds
    except Exception as error:
        found["note"] = f"{type(error).__name__}: {error}"[:300]
    key = (table.name, n_rows, seed, candidate)
    return dict(zip(KEYS, key, strict=True)) | found


def run(options: argparse.Namespace) -> None:
    """Fit what the file does not hold yet, candidate by candidate."""
    task = TASKS[options.task]
    design, _ = halves(table_names(options.data, task.name))
    tables = list(load_tables(options.data, design, task.name))
    done: set[tuple] = set()
    if options.csv.exists():
        known = pd.read_csv(options.csv, dtype={"table": str})
        done = set(known[[*KEYS]].itertuples(index=False, name=None))
    jobs = [
        (table, n_rows, seed, candidate)
        for candidate in (task.linear, *options.candidates)
        for seed in range(options.seeds)
        for table in tables
        for n_rows in (LARGEST, SMALLEST)
        if (table.name, n_rows, seed, candidate) not in done
    ]
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    fits = Parallel(n_jobs=options.n_jobs, return_as="generator_unordered")(
        delayed(measure)(*job) for job in jobs
    )
    for row in tqdm(fits, total=len(jobs), unit="fit", smoothing=0):
        is_new = not options.csv.exists()
        pd.DataFrame([row]).to_csv(options.csv, mode="a", header=is_new, index=False)


def report(rows: pd.DataFrame, task: Task) -> str:
    """Markdown: a table for all rows and for few, a line for each candidate."""
    parts = []
    name = task.metrics[task.main].name
    header = (
        *("candidate", f"{name} / default: median", "geometric mean", "better in"),
        *(f"worst / {task.linear}", "seconds / default", "fits"),
    )
    for n_rows, title in ((LARGEST, "All rows, at most 5,000"), (SMALLEST, "200 rows")):
        own = rows[rows["rows"] == n_rows]
        keys = ["table", "seed"]
        losses = own.pivot_table(task.main, keys, "candidate")
        seconds = own.pivot_table("seconds", keys, "candidate")
        lines = []
        for candidate in losses.columns:
            ratio = (losses[candidate] / losses[DEFAULT]).dropna()
            to_line = (losses[candidate] / losses[task.linear]).dropna()
            time_ratio = seconds[candidate].sum() / seconds[DEFAULT].sum()
            lines.append(
                (
                    candidate,
                    f"{ratio.median():.3f}",
                    f"{np.exp(np.log(ratio).mean()):.3f}",
                    f"{(ratio < 1).mean():.0%}",
                    f"{to_line.max():.3f}",
                    f"{time_ratio:.2f}",
                    str(len(ratio)),
                )
            )
        lines.sort(key=lambda line: float(line[1]))
        parts.append(f"**{title}**\n\n{markdown_table([header, *lines])}")
    return "\n\n".join(parts)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=[*TASKS], default="classification")
    parser.add_argument("--data", type=Path, help="folder of tables; else OpenML")
    parser.add_argument("--csv", type=Path, help="default: by task, in output/")
    parser.add_argument("--out", type=Path, help="folder for the report")
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--report-only", action="store_true")
    options = parser.parse_args()
    task = TASKS[options.task]
    name = f"choose_tabular{task.suffix}"
    options.csv = options.csv or Path("output") / f"{name}.csv"
    if not options.report_only:
        run(options)
    text = report(pd.read_csv(options.csv), task)
    print(text)
    if options.out is not None:
        (options.out / f"{name}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

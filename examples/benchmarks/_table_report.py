"""The text of `tables.py`: who is how good where, and whether targets are met."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from examples._report import markdown_table
from examples.benchmarks._measure import Figure
from examples.benchmarks._table_models import JOINT
from examples.benchmarks._table_task import Metric, Task

_N_BOOTSTRAPS = 10_000


class Results:
    """Rows of the CSV file, and what is compared of them.

    Models are only ever compared on the tables and splits that all of them have.

    Parameters
    ----------
    rows : DataFrame
        A row for each table, split and model.
    task : Task

    Attributes
    ----------
    main : Metric
        What models are compared by.
    models : list of str
        In the order of the task.
    tables : list of str
        Sorted.
    ranked : list of str
        The models that have figures of every table.
    """

    def __init__(self, rows: pd.DataFrame, task: Task) -> None:
        self.rows, self.task = rows, task
        self.main = task.metrics[task.main]
        order = [*task.models, *sorted(set(rows["model"]) - task.models.keys())]
        self._fine = rows[rows[task.main].notna()]
        self.models = [name for name in order if name in set(rows["model"])]
        self.tables = sorted(rows["table"].unique())
        n_tables = self._fine.groupby("model")["table"].nunique()
        self.ranked = [
            name for name in self.models if n_tables.get(name, 0) == len(self.tables)
        ]

    def values(self, metric: str, models: list[str]) -> pd.DataFrame:
        """Means over the splits that all of `models` have: a row for each table."""
        pivot = self._fine.pivot(
            index=["table", "split"], columns="model", values=metric
        )
        known = self._measured.reindex(columns=models).dropna().index
        return pivot.reindex(columns=models).loc[known].groupby("table").mean()

    @cached_property
    def _measured(self) -> pd.DataFrame:
        return self._fine.pivot(
            index=["table", "split"], columns="model", values=self.task.main
        )

    def own(self, metric: str) -> pd.DataFrame:
        """Means over the splits that each model has: tables by models."""
        means = self._fine.groupby(["table", "model"])[metric].mean().unstack()
        return means.reindex(index=self.tables, columns=self.models)

    def ratios(self, model: str) -> pd.Series:
        """The joint ensemble's / the model's, of each table that both have."""
        both = self.values(self.task.main, [JOINT, model])
        return both[JOINT] / both[model]

    def time_ratio(self, model: str) -> float:
        """Fit seconds of the joint ensemble on all tables / those of the model."""
        both = self.values("fit_seconds", [JOINT, model]).sum()
        return both[JOINT] / both[model]

    def ranks(self, metric: str, models: list[str]) -> pd.DataFrame:
        """Ranks within each table, 1 is best."""
        values = self.values(metric, models).round(9)
        ascending = self.task.metrics[metric].lower_is_better
        return values.rank(axis=1, ascending=ascending)


def mean_ranks(results: Results, metric: str) -> pd.DataFrame:
    """Mean ranks, with what chance in the choice of tables makes of them.

    Parameters
    ----------
    results : Results
    metric : str

    Returns
    -------
    DataFrame
        A row for each ranked model, best first: `mean`, and `low` and `high`, the ends
        of the 95 % bootstrap interval over tables. Empty, where no model has all
        tables.
    """
    ranks = results.ranks(metric, results.ranked)
    n_tables = len(ranks)
    if not ranks.size:
        return pd.DataFrame(columns=["mean", "low", "high"])
    drawn = np.random.default_rng(0).integers(n_tables, size=(_N_BOOTSTRAPS, n_tables))
    low, high = np.quantile(ranks.to_numpy()[drawn].mean(axis=1), [0.025, 0.975], 0)
    found = pd.DataFrame({"mean": ranks.mean(), "low": low, "high": high})
    return found.sort_values("mean", kind="stable")


def targets(results: Results) -> Iterator[Figure]:
    """Yield what was promised of the joint ensemble, as it is measured.

    A target stands in `question` and `target`, the measured value in `median`, and in
    words in `what`. Rivals that were not run are left out.
    """
    if JOINT not in results.models:
        return
    task, name = results.task, results.main.name
    for rival, percent in task.wins.items():
        if rival in results.models:
            ratios = results.ratios(rival)
            wins = (ratios < 1).sum()
            share = 100 * wins / max(1, len(ratios))
            yield _figure(
                f"lower {name} than {rival}, of the tables",
                share,
                f"{share:.0f} % ({wins} of {len(ratios)})",
                f">= {percent}",
                "%",
            )
    yield from _places(results)
    if task.linear in results.models:
        ratios = results.ratios(task.linear)
        worst = ratios.max()
        said = f"{worst:.3f} ({ratios.idxmax()})" if len(ratios) else ""
        question = f"worst ratio of {name} to {task.linear}"
        yield _figure(question, worst, said, "<= 1.02")
    for rival, (ratio, time) in task.ratios.items():
        if rival in results.models:
            ratios, seconds = results.ratios(rival), results.time_ratio(rival)
            median = ratios.median()
            said = f"{median:.3f} ({len(ratios)} tables)"
            question = f"median ratio of {name} to {rival}"
            yield _figure(question, median, said, f"<= {ratio:g}")
            question = f"fit seconds / those of {rival}"
            yield _figure(question, seconds, f"{seconds:.3g}", f"<= {time:g}")


def _places(results: Results) -> Iterator[Figure]:
    """The joint ensemble's, by mean ranks among scikit-learn's models."""
    among = (JOINT, *results.task.sklearn)
    everyone = [name for name in results.ranked if name in among]
    if len(everyone) < 2:
        return
    for metric in ranked_metrics(results):
        means = results.ranks(metric, everyone).mean()
        place, others = np.inf, means.drop(JOINT, errors="ignore")
        said = "not on all tables"
        if JOINT in means:
            place = 1 + (others < means[JOINT]).sum()
            said = (
                f"{place} (mean rank {means[JOINT]:.2f}; best other: "
                f"{others.idxmin()}, {others.min():.2f})"
            )
        about = results.task.metrics[metric]
        question = f"place by mean rank in {about.name}, of {len(everyone)} with "
        yield _figure(f"{question}scikit-learn's", place, said, f"<= {about.place}")


def ranked_metrics(results: Results) -> list[str]:
    """Metrics that models are ranked by, the main one first."""
    task = results.task
    ranked = [name for name, metric in task.metrics.items() if metric.place]
    return sorted(ranked, key=lambda name: name != task.main)


def _figure(
    question: str, value: float, said: str, target: str, unit: str = ""
) -> Figure:
    return Figure(question, JOINT, said, value, value, value, unit, target)


def markdown(results: Results) -> str:
    """Everything as text: targets, summary, every table, what failed, and how."""
    wanted = [["target", "", "measured", ""]]
    for f in targets(results):
        wanted.append([f.question, f"{f.target} {f.unit}".strip(), f.what, f.verdict])
    parts = [caption(results), "**Summary**", markdown_table(_summary(results))]
    parts.append(_reading(results))
    if len(wanted) > 1:
        parts += [f"**Targets of the {JOINT}**", markdown_table(wanted)]
    name = results.main.name
    parts += [f"**{name[0].upper()}{name[1:]}**", markdown_table(_by_table(results))]
    gaps = _gaps(results)
    if gaps:
        parts += ["**Not measured**", "\n".join(gaps)]
    return "\n\n".join(parts) + "\n"


def caption(results: Results) -> str:
    """What was run, where."""
    rows = results.rows
    halves = " and ".join(sorted(rows["half"].unique()))
    n_rows = rows["n_rows"]
    text = (
        f"{len(results.tables)} tables ({halves} half), {n_rows.min():,} to "
        f"{n_rows.max():,} rows; {n_splits(results)} of 70 % to train on and 30 % to "
        "test on; models with their defaults, but that Bagging(MLP) stops early."
    )
    code = rows[["version", "commit"]].astype(str).drop_duplicates().agg(" ".join, 1)
    return f"{text} Version {', '.join(code)}; {'; '.join(rows['machine'].unique())}."


def n_splits(results: Results) -> str:
    """How many splits of a table there are, in words."""
    number = results.rows["split"].nunique()
    return f"{number} split" + "s" * (number > 1)


def _reading(results: Results) -> str:
    left_out = [name for name in results.models if name not in results.ranked]
    text = (
        "Ranks: mean over the tables, 1 is best, behind it the 95 % bootstrap interval "
        f"over tables, among the {len(results.ranked)} models that have figures of all "
        "tables"
    )
    text += f" (not: {', '.join(left_out)})" if left_out else ""
    about = [
        f"{metric.name} ({metric.note})" if metric.note else metric.name
        for metric in _other_metrics(results).values()
    ]
    others = ", ".join(about)
    return text + (
        f". Ratios: {results.main.name} of the {JOINT} / that of the model, of each "
        'table that both have; below 1 is better for the former, and "better on" '
        f"counts these tables. {others[0].upper()}{others[1:]} and seconds are of the "
        "tables that a model has; seconds are of one split of each, summed."
    )


def _other_metrics(results: Results) -> dict[str, Metric]:
    task = results.task
    return {name: task.metrics[name] for name in task.metrics if name != task.main}


def _summary(results: Results) -> list[list[str]]:
    metrics, by = results.task.metrics, ranked_metrics(results)
    others = _other_metrics(results)
    heading = [
        *("model", "tables", *(f"rank, {metrics[name].name}" for name in by)),
        *("ratio, median", "ratio, worst", f"{JOINT} better on"),
        *(*(metric.name for metric in others.values()), "fit seconds"),
    ]
    ranks = [mean_ranks(results, metric) for metric in by]
    means = {metric: results.own(metric) for metric in others}
    times = results.own("fit_seconds")
    first = list(ranks[0].index)
    rows = []
    for name in first + [name for name in results.models if name not in first]:
        n_tables = int(times[name].notna().sum())
        ratios = results.ratios(name) if name != JOINT else pd.Series(dtype=float)
        found = len(ratios) > 0
        rows.append(
            [
                name,
                f"{n_tables}",
                *(_rank(of_metric, name) for of_metric in ranks),
                f"{ratios.median():.3f}" if found else "",
                f"{ratios.max():.3f}" if found else "",
                f"{(ratios < 1).sum()} of {len(ratios)}" if found else "",
                *(others[key].text(means[key][name].mean()) for key in others),
                f"{times[name].sum():,.1f}" if n_tables else "",
            ]
        )
    return [heading, *rows]


def _rank(ranks: pd.DataFrame, name: str) -> str:
    if name not in ranks.index:
        return ""
    return "{:.2f} ({:.1f} to {:.1f})".format(*ranks.loc[name])


def _by_table(results: Results) -> list[list[str]]:
    """Means over splits, the lowest of each table in bold."""
    counts = {"n_rows": "rows", "n_classes": "classes"}
    counts = {key: counts[key] for key in counts if key in results.rows}
    rows = [["table", *counts.values(), *results.models]]
    about = results.rows.groupby("table")[[*counts]].first()
    for table, losses in results.own(results.task.main).iterrows():
        best = results.main.text(losses.min())
        texts = [results.main.text(loss) for loss in losses]
        texts = [f"**{text}**" if text == best and text else text for text in texts]
        rows.append([str(table), *(f"{n:,}" for n in about.loc[table]), *texts])
    return rows


def _gaps(results: Results) -> list[str]:
    """A line for each model and table with fewer splits than there are."""
    lines = []
    numbers = set(results.rows["split"])
    groups: dict[Any, pd.DataFrame] = dict(
        iter(results.rows.groupby(["model", "table"], sort=False))
    )
    for model in results.models:
        for table in results.tables:
            of_both = groups.get((model, table), results.rows.iloc[:0])
            failed = of_both[of_both[results.task.main].isna()]
            for note, splits in failed.groupby("note")["split"]:
                lines.append(f"- {model}, {table}, {_splits(splits)}: {note}")
            missing = numbers - set(of_both["split"])
            if missing:
                lines.append(f"- {model}, {table}, {_splits(missing)}: not run")
    return lines


def _splits(numbers: Any) -> str:
    return "split " + ", ".join(map(str, sorted(numbers)))

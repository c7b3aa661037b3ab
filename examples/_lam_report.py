"""The tables and the pictures of `choose_lam.py`."""

import csv
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from _report import GRID, INK, JOINT, QUIET, STYLE
from scipy.stats import sem

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter

from sklearn_jointens.inspection import LamCurveDisplay

HALF = "#d2691e"


def name_of(one: Any) -> str:
    """The members of a search, in words."""
    layers = "" if len(one.hidden) == 1 else f"{len(one.hidden)} x "
    return f"{one.n_members} members of {layers}{one.hidden[0]} units"


def scores(one: Any, metric: str) -> np.ndarray:
    """Scores of a search by lam and split, of shape (n_lams, n_splits)."""
    results, n_splits = one.search.cv_results_, one.search.n_splits_
    keys = [f"split{split}_test_{metric}" for split in range(n_splits)]
    return np.column_stack([results[key] for key in keys])


def losses(one: Any) -> np.ndarray:
    """Log-losses by lam and split."""
    return -scores(one, "neg_log_loss")


# -- tables ------------------------------------------------------------------------


def write_tables(searched: Sequence[Any], provenance: str, folder: Path) -> str:
    """Every score as CSV; what comes of them as CSV and Markdown.

    Parameters
    ----------
    searched : sequence of Searched
    provenance : str
    folder : Path

    Returns
    -------
    str
        The Markdown.
    """
    _all_scores(searched).to_csv(folder / "choose_lam_scores.csv", index=False)
    rows = _cells(searched)
    with (folder / "choose_lam.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    text = "\n\n".join([provenance, caption(searched), "\n".join(lines)]) + "\n"
    (folder / "choose_lam.md").write_text(text)
    return text


def caption(searched: Sequence[Any]) -> str:
    """What was run, and how to read the numbers."""
    first = searched[0].search.estimator
    sets = dict.fromkeys((s.data, s.n_rows, s.search.n_splits_) for s in searched)
    of_sets = "; ".join(f"{d}: {n:,} rows, {k} splits" for d, n, k in sets)
    return (
        f"{of_sets}. Adam, learning rate {first.lr:g}, at most {first.max_epochs} "
        "epochs, best epoch of each ensemble restored. Behind ±: one standard error "
        "over the splits, of differences within a split where a + or - stands before."
    )


def _all_scores(searched: Sequence[Any]) -> pd.DataFrame:
    frames = []
    for one in searched:
        metrics = ["neg_log_loss", "accuracy", "accuracy_of_half"]
        kept = [*metrics, *(f"member_{m}" for m in metrics[:2]), "diversity"]
        by_metric = {metric: scores(one, metric) for metric in kept}
        for i, lam in enumerate(one.search.lams_):
            frame = pd.DataFrame({m: s[i].round(6) for m, s in by_metric.items()})
            hidden = "-".join(map(str, one.hidden))
            keys = [one.data, one.n_members, hidden, lam]
            for at, (name, key) in enumerate(
                zip(["data", "members", "hidden", "lam"], keys, strict=True)
            ):
                frame.insert(at, name, key)
            frame.insert(4, "split", range(len(frame)))
            frames.append(frame)
    return pd.concat(frames)


def _cells(searched: Sequence[Any]) -> list[list[str]]:
    """Rows of text below a row of headings."""
    heading = [
        *("data", "members", "parameters", "best lam", "one standard error"),
        *("log-loss at best", "lam=0", "lam=1"),
        *("best lam by accuracy", "accuracy at best", "lam=0", "lam=1"),
        *("half of members: lam=0", "one standard error", "lam=1", "seconds"),
    ]
    return [heading, *map(_row, searched)]


def _row(one: Any) -> list[str]:
    lams = one.search.lams_
    loss, accuracy = losses(one), 100 * scores(one, "accuracy")
    half = 100 * scores(one, "accuracy_of_half")
    low, high, chosen = lams.argmin(), lams.argmax(), one.search.best_index_
    best, most = loss.mean(axis=1).argmin(), accuracy.mean(axis=1).argmax()
    return [
        *(one.data, name_of(one), f"{one.n_parameters:,}"),
        *(f"{lams[best]:g}", f"{lams[chosen]:g}"),
        _with_error(loss[best], "{:.3f}"),
        *(_with_error(loss[i] - loss[best], "{:+.3f}") for i in (low, high)),
        f"{lams[most]:g}",
        _with_error(accuracy[most], "{:.1f}") + " %",
        *(_with_error(accuracy[i] - accuracy[most], "{:+.1f}") for i in (low, high)),
        *(_with_error(half[i], "{:.1f}") + " %" for i in (low, chosen, high)),
        f"{one.seconds:.0f}",
    ]


def _with_error(values: np.ndarray, form: str) -> str:
    if not values.any():
        return "-"
    return f"{form.format(values.mean())} ± {form.format(sem(values)).lstrip('+')}"


# -- pictures ----------------------------------------------------------------------


def draw_display(one: Any, path: Path) -> None:
    """What a single call draws of a search."""
    with plt.rc_context({"figure.figsize": (6.4, 5.6)}):
        display = LamCurveDisplay.from_estimator(one.search, negate_score=True)
        display.ax_.set_title(f"{one.data}, {name_of(one)}")
        display.figure_.savefig(path, dpi=110)
        plt.close(display.figure_)


def draw_curves(searched: Sequence[Any], path: Path) -> None:
    """Ensemble, half of it and mean member against lam: a column for each size.

    Parameters
    ----------
    searched : sequence of Searched
        On one data set.
    path : Path
        Of the PNG file.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2,
            len(searched),
            figsize=(3.3 * len(searched), 6.4),
            sharex="col",
            sharey="row",
            squeeze=False,
            layout="constrained",
        )
        for one, (top, bottom) in zip(searched, axes.T, strict=True):
            _draw_loss(top, one)
            _draw_accuracy(bottom, one)
            top.set_title(name_of(one), loc="left")
            for panel in (top, bottom):
                panel.grid(axis="y", color=GRID, lw=0.8)
                panel.set(xlabel="", ylabel="")
                # One legend below serves all, so that they need no room for their own.
                panel.get_legend().remove()
                panel.autoscale(axis="y")
            bottom.set_xlabel("lam")
            names = [f"{lam:g}" for lam in sorted(one.search.lams_)]
            bottom.set_xticks(range(len(names)), names, size=9)
        axes[0, 0].set_ylabel("log-loss of the ensemble")
        axes[1, 0].set_ylabel("accuracy")
        axes[1, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        handles, labels = axes[1, 0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=len(labels),
            frameon=False,
        )
        title = "as many parameters, in many small members or in few large ones"
        figure.suptitle(
            f"{searched[0].data}: {title}", x=0.01, ha="left", weight="bold"
        )
        figure.savefig(path, dpi=110)
        plt.close(figure)


def _draw_loss(axes: Any, one: Any) -> None:
    """The ensemble's loss, and its spread over the splits."""
    LamCurveDisplay.from_estimator(
        one.search,
        metric="neg_log_loss",
        ax={"ensemble": axes},
        negate_score=True,
        line_kw={"color": JOINT},
    )


def _draw_accuracy(axes: Any, one: Any) -> None:
    """Accuracy of the ensemble, of half of it and of the mean member."""
    LamCurveDisplay.from_estimator(
        one.search,
        metric="accuracy_of_half",
        ax={"ensemble": axes},
        std_display_style=None,
        line_kw={"color": HALF, "marker": "D", "label": "Half of the members"},
        lam_line_kw={"visible": False, "label": None},
    )
    LamCurveDisplay.from_estimator(
        one.search,
        metric="accuracy",
        ax={"ensemble": axes, "members": axes},
        std_display_style=None,
        line_kw={"color": JOINT},
        lam_line_kw={"label": "Chosen by one standard error"},
    )


def draw_map(searched: Sequence[Any], path: Path) -> None:
    """What every lam costs, for every size: a panel for each data set.

    Parameters
    ----------
    searched : sequence of Searched
    path : Path
        Of the PNG file.
    """
    names = list(dict.fromkeys(one.data for one in searched))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1,
            len(names),
            figsize=(7.0 * len(names), 3.9),
            squeeze=False,
            layout="constrained",
        )
        for name, panel in zip(names, axes[0], strict=True):
            of_data = [one for one in searched if one.data == name]
            image = _draw_costs(panel, of_data)
            panel.set_title(name, loc="left", weight="bold")
        bar = figure.colorbar(image, ax=axes, extend="max", pad=0.01, aspect=30)
        bar.outline.set_visible(False)
        bar.set_label("log-loss above the best lam's")
        text = (
            "Ring: best lam. Square: what 'one_standard_error' chooses, the smallest "
            "lam that is as good within the noise."
        )
        text = textwrap.fill(text, 75 * len(names))
        figure.supxlabel(text, size=10, color=QUIET)
        figure.savefig(path, dpi=110)
        plt.close(figure)


def _draw_costs(axes: Any, searched: Sequence[Any]) -> Any:
    """A row for each size, a column for each lam."""
    lams = searched[0].search.lams_
    costs = []
    for row, one in enumerate(searched):
        means = losses(one).mean(axis=1)
        costs.append(means - means.min())
        axes.plot(means.argmin(), row, "o", ms=34, mfc="none", mec=INK, mew=1.4)
        chosen = one.search.best_index_
        axes.plot(chosen, row, "s", ms=38, mfc="none", mec=JOINT, mew=1.6)
        for column, cost in enumerate(costs[-1]):
            axes.text(
                column,
                row,
                f"{cost:.3f}" if cost else "best",
                ha="center",
                va="center",
                color="white" if cost > 0.03 else INK,
                size=9.5,
            )
    image = axes.imshow(costs, cmap="YlOrBr", vmin=0, vmax=0.05, aspect="auto")
    axes.set_xticks(range(len(lams)), [f"{lam:g}" for lam in lams])
    axes.set_yticks(
        range(len(searched)),
        [name_of(one).replace(" of ", "\nof ") for one in searched],
    )
    axes.set_xlabel("lam (0: independent, 1: end-to-end)")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image

"""The tables and the pictures of `choose_lam.py`."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from _report import GRID, INK, JOINT, QUIET, STYLE, markdown_table
from scipy.stats import sem

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter

from sklearn_jointens.inspection import LamCurveDisplay

HALF = "#d2691e"
CHOSEN = "chosen lam"

# What is kept of every split.
METRICS = (
    *("neg_log_loss", "accuracy", "accuracy_of_half"),
    *("member_neg_log_loss", "member_accuracy", "diversity"),
)


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
    parts = [provenance, caption(searched)]
    for metric, row in (("log_loss", _loss_row), ("accuracy", _accuracy_row)):
        table = pd.DataFrame([row(one) for one in searched])
        table.to_csv(folder / f"choose_lam_{metric}.csv", index=False)
        parts.append(markdown_table([table.columns, *table.to_numpy()]))
    text = "\n\n".join(parts) + "\n"
    (folder / "choose_lam.md").write_text(text)
    return text


def caption(searched: Sequence[Any]) -> str:
    """What was run, and how to read the numbers."""
    first = searched[0].search.estimator
    sets = dict.fromkeys((s.data, s.n_rows, s.search.n_splits_) for s in searched)
    of_sets = "; ".join(f"{d}: {n:,} rows, {k} splits" for d, n, k in sets)
    return (
        f"{of_sets}. Adam, learning rate {first.lr:g}, at most {first.max_epochs} "
        "epochs, the best epoch of each ensemble restored. First table: log-loss, and "
        "how much more it is at lam=0 and lam=1; the chosen lam is that of one "
        "standard error. Second table: accuracy in %, of all members and of half of "
        "them. Behind ±: one standard error over the splits; of a difference, that of "
        "the differences within splits."
    )


def _all_scores(searched: Sequence[Any]) -> pd.DataFrame:
    """A row for each lam and split of each search."""
    frames = []
    for one in searched:
        lams, n_splits = one.search.lams_, one.search.n_splits_
        columns = {
            "data": one.data,
            "members": one.n_members,
            "hidden": "-".join(map(str, one.hidden)),
            "lam": np.repeat(lams, n_splits),
            "split": np.tile(np.arange(n_splits), len(lams)),
        }
        for metric in METRICS:
            columns[metric] = scores(one, metric).ravel().round(6)
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames)


def _loss_row(one: Any) -> dict[str, str]:
    lams, loss = one.search.lams_, losses(one)
    best = loss.mean(axis=1).argmin()
    return {
        "data": one.data,
        "members": name_of(one),
        "parameters": f"{one.n_parameters:,}",
        "log-loss at best lam": _with_error(loss[best], "{:.3f}"),
        "best lam": f"{lams[best]:g}",
        CHOSEN: f"{one.search.lam_:g}",
        "lam=0": _behind(loss[lams.argmin()] - loss[best]),
        "lam=1": _behind(loss[lams.argmax()] - loss[best]),
    }


def _accuracy_row(one: Any) -> dict[str, str]:
    lams, chosen = one.search.lams_, one.search.best_index_
    low, high = lams.argmin(), lams.argmax()
    accuracy = 100 * scores(one, "accuracy")
    half = 100 * scores(one, "accuracy_of_half")
    return {
        "data": one.data,
        "members": name_of(one),
        "lam=0": _with_error(accuracy[low], "{:.1f}"),
        CHOSEN: _with_error(accuracy[chosen], "{:.1f}"),
        "lam=1": _with_error(accuracy[high], "{:.1f}"),
        "half, lam=0": _with_error(half[low], "{:.1f}"),
        f"half, {CHOSEN}": _with_error(half[chosen], "{:.1f}"),
        "half, lam=1": _with_error(half[high], "{:.1f}"),
    }


def _behind(differences: np.ndarray) -> str:
    return _with_error(differences, "{:+.3f}") if differences.any() else "best"


def _with_error(values: np.ndarray, form: str) -> str:
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
            "Ring: the best lam. Square: what 'one_standard_error' chooses, the "
            "smallest lam within one standard error of the best."
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

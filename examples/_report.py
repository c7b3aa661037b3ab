"""The table and the picture of `compare_ensembles.py`."""

import textwrap
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

# Hues that remain apart for colour-blind readers.
JOINT, INK, QUIET, GRID = "#0b5fa5", "#1b1b1b", "#6b6b6b", "#e6e6e6"
RIVALS = {
    "large": ("one large net", "#7a4fa3"),
    "stacking": ("Stacking", "#1b8a5a"),
    "bagging": ("Bagging", "#d2691e"),
}


class Shown(NamedTuple):
    """What is shown of a task.

    Attributes
    ----------
    score, loss, member_score : str
        Columns.
    names : tuple of str
        What they are called, in this order.
    form : callable
        Writes a score, in so many decimals (of a percentage, or more by two).
    """

    score: str
    loss: str
    member_score: str
    names: tuple[str, str, str]
    form: Callable[[float, int], str]


SHOWN = {
    "classification": Shown(
        *("accuracy", "log_loss", "member_accuracy"),
        ("accuracy", "log-loss", "mean member accuracy"),
        lambda score, decimals: f"{100 * score:.{decimals}f} %",
    ),
    "regression": Shown(
        *("r2", "rmse", "member_r2"),
        ("R2", "RMSE", "mean member R2"),
        lambda score, decimals: f"{score:.{decimals + 2}f}",
    ),
}


def markdown(results: pd.DataFrame, task: str, methods: dict[str, str]) -> str:
    """A Markdown table for each configuration, aligned for reading as it is.

    Parameters
    ----------
    results : DataFrame
        A row for each run, as `compare_ensembles.compare` returns them.
    task : {"classification", "regression"}
    methods : dict of str to str
        What to call the methods.

    Returns
    -------
    str
    """
    shown = SHOWN[task]
    score, loss, of_members = shown.names
    columns = ["model", "lam", f"test {score}", f"test {loss}", of_members]
    columns += ["fit seconds", "note"]
    parts = []
    sizes = results.groupby(["members", "hidden"], sort=False)
    for (n_members, hidden), config in sizes:
        rows = []
        for (method, _), runs in config.groupby(["method", "asked"], sort=False):
            lams = runs["lam"].dropna().astype(float).unique()
            rows.append(
                [
                    methods[method],
                    ", ".join(f"{lam:g}" for lam in lams),
                    _mean(runs[shown.score], lambda score: shown.form(score, 1)),
                    _mean(runs[shown.loss], _loss),
                    _mean(runs[shown.member_score], lambda score: shown.form(score, 1)),
                    _mean(runs["fit_seconds"], "{:.3g}".format),
                    runs["note"].fillna("").iloc[0],
                ]
            )
        heading = f"**{n_members} members of {hidden} hidden units**"
        parts += [heading, markdown_table([columns, *rows])]
    return "\n\n".join(parts)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned for reading as it is; the first row is its heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _mean(values: pd.Series, form: Callable[[float], str]) -> str:
    return "" if values.isna().all() else form(values.mean())


def _loss(value: float) -> str:
    """Three decimals, or four digits where that is more."""
    return f"{value:.3f}" if value < 10 else f"{value:,.1f}"


def draw(results: pd.DataFrame, task: str, name: str, caption: str, path: Path) -> None:
    """Score of the ensemble, and of its mean member, against lam.

    Parameters
    ----------
    results : DataFrame
        A row for each run.
    task : {"classification", "regression"}
    name : str
        Of the data.
    caption : str
        What was run.
    path : Path
        Of the PNG file.
    """
    shown = SHOWN[task]
    sizes = results.groupby(["members", "hidden"], sort=False)
    width = 2.6 + 5.2 * sizes.ngroups
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2,
            sizes.ngroups,
            figsize=(width, 7.0),
            sharex="col",
            sharey="row",
            squeeze=False,
            height_ratios=(2, 1),
            layout="constrained",
        )
        figure.get_layout_engine().set(rect=(0, 0.07, 1, 0.86), hspace=0.05)
        drawn = results[results["method"].isin(["curve", "search", *RIVALS])]
        curves = results[results["method"] == "curve"]
        ticks = (
            _scale(axes[0, 0], drawn[shown.score], shown),
            _scale(axes[1, 0], curves[shown.member_score], shown),
        )
        for (shape, config), (top, bottom) in zip(sizes, axes.T, strict=True):
            lams = sorted(config.loc[config["method"] == "curve", "lam"].unique())
            _draw_ensemble(top, config, lams, shown)
            curve = config[config["method"] == "curve"]
            _draw_curve(bottom, curve, lams, shown.member_score, linestyle="--")
            for axis, heights in zip((top, bottom), ticks, strict=True):
                _finish(axis, lams, heights)
            bottom.set_xlabel("lam", x=0.42)
            top.set_title("{} members of {} hidden units".format(*shape), loc="left")
        axes[0, 0].set_ylabel(f"test {shown.names[0]} of the ensemble")
        axes[1, 0].set_ylabel("of its mean member")
        title = f"{name}: from independent members (lam = 0) to one end-to-end net (1)"
        figure.text(
            0.012, 0.975, title, size=min(14, 1.55 * width), weight="bold", va="top"
        )
        caption = textwrap.fill(caption, int(width * 15))
        figure.text(0.012, 0.018, caption, size=9, color=QUIET, va="bottom")
        figure.savefig(path, dpi=150)
        plt.close(figure)


def _scale(axis: Any, values: pd.Series, shown: Shown) -> list[float]:
    """Set the limits of a shared axis; where its ticks are."""
    low, high = values.min(), values.max()
    room = max(high - low, 0.01)
    axis.set_ylim(low - 0.08 * room, high + 0.2 * room)
    low, high = axis.get_ylim()
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
    ticks = [tick for tick in ticks if low <= tick <= high]
    decimals = 0 if np.allclose(100 * np.array(ticks) % 1, 0) else 1
    axis.set_yticks(ticks, [shown.form(tick, decimals) for tick in ticks])
    return ticks


def _draw_ensemble(
    axis: Any, config: pd.DataFrame, lams: list[float], shown: Shown
) -> None:
    """The curve, what was chosen of it, and the rivals' lines, with their names."""
    labels = []
    for method, (name, colour) in RIVALS.items():
        score = config.loc[config["method"] == method, shown.score].mean()
        if not np.isnan(score):
            axis.plot([-0.3, len(lams) - 0.7], [score] * 2, color=colour)
            labels.append((score, f"{name}  {shown.form(score, 1)}", colour))
    curve = config[config["method"] == "curve"]
    means = _draw_curve(axis, curve, lams, shown.score)
    if lams:
        labels.append((means[-1], "joint training", JOINT))
    search = config[config["method"] == "search"]
    chosen = search.loc[search["lam"].isin(lams), "lam"].mode()
    if len(chosen):
        x = lams.index(chosen[0])
        axis.plot(x, means[x], "o", ms=15, mfc="none", mec=JOINT, mew=1.4)
        bottom, top = axis.get_ylim()
        height = top - 0.07 * (top - bottom)
        ring = 0.04 * (top - bottom)
        axis.plot([x, x], [means[x] + ring, height], color=JOINT, lw=0.8)
        axis.text(
            x,
            height,
            f"lam by CV  {shown.form(search[shown.score].mean(), 1)}",
            ha="left" if x == 0 else "right" if x == len(lams) - 1 else "center",
            va="bottom",
            color=JOINT,
        )
    low, high = axis.get_ylim()
    heights = apart([y for y, _, _ in labels], gap=0.06 * (high - low))
    for height, (_, text, colour) in zip(heights, labels, strict=True):
        axis.text(len(lams) - 0.6, height, text, color=colour, va="center")


def _draw_curve(
    axis: Any, curve: pd.DataFrame, lams: list[float], column: str, linestyle: str = "-"
) -> np.ndarray:
    """A line through the means over runs, with a dot for each run; the means."""
    positions = curve["lam"].map(lams.index)
    means = curve.groupby("lam")[column].mean().loc[lams].to_numpy()
    axis.plot(range(len(lams)), means, linestyle, color=JOINT, lw=2.4, zorder=3)
    axis.plot(positions, curve[column], "o", color=JOINT, ms=4.5, alpha=0.8, zorder=4)
    return means


def _finish(axis: Any, lams: list[float], heights: list[float]) -> None:
    """Grid and names; lams crowd near 1, so that each gets the same room."""
    ends = {0.0: "\nindependent", 1.0: "\nend-to-end"}
    axis.set_xticks(range(len(lams)), [f"{lam:g}{ends.get(lam, '')}" for lam in lams])
    axis.set_xlim(-0.5, len(lams) + 1.5)
    span = (-0.3, max(0, len(lams) - 0.7))
    axis.hlines(heights, *span, color=GRID, lw=0.8, zorder=0)
    axis.spines["bottom"].set_bounds(*span)


def apart(values: list[float], gap: float) -> list[float]:
    """Heights as near to `values` as can be, at least `gap` apart."""
    order = np.argsort(values)
    heights = np.array(values, dtype=float)
    for _ in range(100):
        for low, high in pairwise(order):
            overlap = gap - (heights[high] - heights[low])
            if overlap > 0:
                heights[low] -= overlap / 2
                heights[high] += overlap / 2
    return heights.tolist()


STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 12,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "ytick.left": False,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
}

"""The pictures of `tables.py`."""

import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from examples._report import GRID, INK, JOINT, QUIET, STYLE
from examples.benchmarks._table_models import OURS
from examples.benchmarks._table_report import Results, mean_ranks, n_splits
from examples.benchmarks._table_task import Task

_WIDTH = 8.8
_THEIRS, _NETS = "#8a8a8a", "#d2691e"

# Where a name may stand: points to the right and up, and which of its ends is there.
_PLACES = (
    *((9, 0, "left", "center"), (-9, 0, "right", "center")),
    *((0, 9, "center", "bottom"), (0, -9, "center", "top")),
    *((6, 6, "left", "bottom"), (6, -6, "left", "top")),
    *((-6, 6, "right", "bottom"), (-6, -6, "right", "top")),
    *((0, 22, "center", "bottom"), (0, -22, "center", "top")),
    *((12, 18, "left", "bottom"), (12, -18, "left", "top")),
    *((-12, 18, "right", "bottom"), (-12, -18, "right", "top")),
)
# Names further from their points get a line to them; longer ones, two lines of text.
_NEAR, _LONGEST = 12, 22
_HALO = [withStroke(linewidth=3, foreground="white")]
_LEADER = {"arrowstyle": "-", "color": QUIET, "lw": 0.6, "shrinkA": 0, "shrinkB": 5}


def colour_of(model: str, task: Task) -> str:
    """Ours, other networks for tables, all others."""
    if model in OURS:
        return JOINT
    return _NETS if model in task.pytabkit else _THEIRS


def draw_ranks(results: Results, path: Path) -> None:
    """Mean ranks in the main metric with their intervals, best first.

    Parameters
    ----------
    results : Results
    path : Path
        Of the PNG file.
    """
    task = results.task
    ranks = mean_ranks(results, task.main)
    height = 1.75 + 0.36 * len(ranks)
    with plt.rc_context(STYLE):
        figure, axes = _figure(height)
        for row, (model, rank) in enumerate(ranks.iterrows()):
            colour = colour_of(model, task)
            axes.plot(
                [rank["low"], rank["high"]],
                [row, row],
                color=colour,
                lw=5,
                alpha=0.3,
                zorder=2,
            )
            axes.plot(rank["mean"], row, "o", color=colour, ms=8, zorder=3)
            text = f"{rank['mean']:.1f}"
            axes.annotate(
                text,
                (rank["high"], row),
                (9, 0),
                va="center",
                textcoords="offset points",
                path_effects=_HALO,
                **_ink(model, task),
            )
        axes.set_yticks(range(len(ranks)), ranks.index)
        for label, model in zip(axes.get_yticklabels(), ranks.index, strict=True):
            label.set(**_ink(model, task))
        axes.set_ylim(len(ranks) - 0.4, -0.6)
        axes.set_xlim(0.7, len(ranks) + 0.4)
        axes.set_xticks(range(1, len(ranks) + 1, 1 if len(ranks) < 12 else 2))
        axes.grid(axis="x", color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        name = results.main.name
        axes.set_xlabel(f"mean rank in {name}; 1 would be best on every table")
        n_tables = len(results.tables)
        caption = (
            f"{n_tables} real tables, on none of which our defaults were chosen. "
            if set(results.rows["half"]) == {"report"}
            else f"{n_tables} real tables. "
        )
        caption += (
            f"{n_splits(results)} of each. Models have their defaults, Bagging stops "
            "early. Bars: 95 % bootstrap interval over the tables."
        )
        caption += _key(ranks.index, task)
        _finish(figure, task.title, caption, path)


def draw_times(results: Results, path: Path) -> None:
    """The main metric against seconds to fit: a point for each model.

    Parameters
    ----------
    results : Results
    path : Path
        Of the PNG file.
    """
    task, models = results.task, results.ranked
    losses = _geometric_mean(results.values(task.main, models))
    base = task.linear if task.linear in models else models[0]
    losses /= losses[base]
    times = _geometric_mean(results.values("fit_seconds", models))
    with plt.rc_context(STYLE | {"axes.spines.left": True, "ytick.left": True}):
        figure, axes = _figure(5.4)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for model in models:
            size = 10 if model in OURS else 8
            colour = colour_of(model, task)
            axes.plot(times[model], losses[model], "o", color=colour, ms=size)
        _round_ticks(axes, losses)
        axes.grid(color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        axes.set_xlabel("seconds to fit (geometric mean over the tables)")
        axes.set_ylabel(f"{results.main.name} / that of {base}")
        figure.canvas.draw()
        _label(axes, times, losses, task)
        caption = (
            f"Geometric means over {len(results.tables)} real tables; below and to "
            "the left is better. Models have their defaults, Bagging stops early. "
        )
        caption += results.rows["machine"].iloc[0].split(", python")[0] + "."
        caption += _key(models, task)
        _finish(figure, "How good, for how long a wait?", caption, path)


def _geometric_mean(values: pd.DataFrame) -> pd.Series:
    return np.exp(np.log(values).mean())


def _round_ticks(axes: Any, losses: pd.Series) -> None:
    """Room for the names, and ticks that can be read."""
    axes.margins(x=0.16, y=0.14)
    low, high = axes.get_ylim()
    ticks = MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    ticks = [tick for tick in ticks if low <= tick <= high]
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")


def _label(axes: Any, x: pd.Series, y: pd.Series, task: Task) -> None:
    """Name every point, where neither a point nor another name stands."""
    room = axes.get_window_extent()
    points = axes.transData.transform(np.column_stack([x, y]))
    radius = 6 * axes.figure.dpi / 72
    taken = [Bbox([point - radius, point + radius]) for point in points]
    # Ours first: their names are to stand beside their points.
    for model in sorted(x.index, key=lambda model: model not in OURS):
        at, name = (x[model], y[model]), model
        if len(name) > _LONGEST:
            name = name.replace(", ", ",\n")
        best, fewest = None, np.inf
        for right, up, ha, va in _PLACES:
            is_far = np.hypot(right, up) > _NEAR
            text = axes.annotate(
                name,
                at,
                (right, up),
                ha=ha,
                va=va,
                textcoords="offset points",
                arrowprops=_LEADER if is_far else None,
                path_effects=_HALO,
                **_ink(model, task),
            )
            # Nothing makes room for a name, else points would move.
            text.set_in_layout(False)
            box = _box(text)
            hits = sum(box.overlaps(other) for other in taken)
            outside = not (room.x0 <= box.x0 and box.x1 <= room.x1)
            outside |= not (room.y0 <= box.y0 and box.y1 <= room.y1)
            if hits + outside < fewest:
                if best is not None:
                    best.remove()
                best, fewest = text, hits + outside
            else:
                text.remove()
            if fewest == 0:
                break
        taken.append(_box(best))


def _box(name: Annotation) -> Bbox:
    """Of the text alone, without the line to its point."""
    name.update_positions(name.figure.canvas.get_renderer())
    return Text.get_window_extent(name)


def _ink(model: str, task: Task) -> dict[str, Any]:
    if model in OURS:
        return {"color": JOINT, "weight": "bold"}
    return {"color": _NETS if model in task.pytabkit else INK}


def _key(models: Any, task: Task) -> str:
    """What the colours say, where it is not plain."""
    if set(task.pytabkit).isdisjoint(models):
        return ""
    return " Blue: this package; orange: networks of pytabkit; grey: scikit-learn."


def _figure(height: float) -> tuple[Any, Any]:
    figure, axes = plt.subplots(figsize=(_WIDTH, height), layout="constrained")
    below, above = 0.62 / height, 0.55 / height
    figure.get_layout_engine().set(rect=(0.01, below, 0.98, 1 - below - above))
    return figure, axes


def _finish(figure: Any, title: str, caption: str, path: Path) -> None:
    height = figure.get_figheight()
    figure.text(0.02, 1 - 0.16 / height, title, size=14, weight="bold", va="top")
    caption = textwrap.fill(caption, 128, break_on_hyphens=False)
    figure.text(0.02, 0.12 / height, caption, size=9, color=QUIET, va="bottom")
    figure.savefig(path, dpi=150)
    plt.close(figure)

"""The picture of `scaling.py`, from its CSV file.

::

    python -m examples.benchmarks.plot_scaling docs/images/scaling.csv
"""

import argparse
import textwrap
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import LogLocator

from examples._report import GRID, JOINT, QUIET, STYLE
from examples.benchmarks._setting import BATCH_SIZE, ONE_CONFIG, WIDE

WIDE_COLOUR = "#7a4fa3"

# Title, name of the x axis, name of the y axis.
PANELS = {
    "members": (
        "More members, smaller ones",
        f"members, of {WIDE:,} hidden units together",
        "step / step of one wide net",
    ),
    "rows": ("More rows", "training rows", "fit of one epoch, µs a row"),
    "classes": ("More classes", "classes", "training step, ms"),
    "features": ("More features", "features", "training step, ms"),
}
# Where the whole cost is drawn, and not its ratio to what it should be.
LOGARITHMIC = ("classes", "features")


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw one panel for each curve.

    Parameters
    ----------
    table : DataFrame
        A row for each `scaling.Point`, with the machine.
    path : Path
        Of the PNG file.
    """
    with plt.rc_context(STYLE | {"axes.spines.left": True, "ytick.left": True}):
        picture, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
        picture.get_layout_engine().set(
            rect=(0.01, 0.09, 0.98, 0.83), hspace=0.08, wspace=0.06
        )
        for axis, curve in zip(axes.flat, PANELS, strict=True):
            points = table[table["curve"] == curve]
            axis.set_visible(not points.empty)
            if not points.empty:
                _draw_panel(axis, curve, points)
        title = "What joint training costs as the task grows"
        picture.text(0.02, 0.975, title, size=14, weight="bold", va="top")
        caption = (
            "{} members of {} hidden units, 784 features and 10 classes, unless said "
            "otherwise; one hidden layer, batches of {}, float32, random data. Lines "
            "are medians, bands quartiles over the rounds. "
        ).format(*ONE_CONFIG, BATCH_SIZE)
        caption += table["machine"].iloc[0]
        caption = textwrap.fill(caption, 150, break_on_hyphens=False)
        picture.text(0.02, 0.018, caption, size=9, color=QUIET, va="bottom")
        picture.savefig(path, dpi=150)
        plt.close(picture)


def _draw_panel(axis: Any, curve: str, points: pd.DataFrame) -> None:
    title, x_label, y_label = PANELS[curve]
    for series, colour, name in (
        ("joint", JOINT, "joint training"),
        ("wide", WIDE_COLOUR, "one wide net"),
    ):
        line = points[points["series"] == series]
        if line.empty:
            continue
        axis.fill_between(
            line["size"], line["low"], line["high"], color=colour, alpha=0.2, lw=0
        )
        axis.plot(line["size"], line["median"], "o-", color=colour, ms=4.5, label=name)
    joint = points[points["series"] == "joint"]
    axis.set_xscale("log", base=2 if curve == "members" else 10)
    sizes = joint["size"].tolist()
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    if curve in LOGARITHMIC:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.set_ylim(0.5 * points["low"].min(), 2 * points["high"].max())
        _draw_linear_growth(axis, joint)
    else:
        axis.set_ylim(0, 1.25 * points["high"].max())
    if curve == "members":
        axis.axhline(1, color=WIDE_COLOUR, label="one wide net")
    axis.minorticks_off()
    axis.grid(axis="y", color=GRID, lw=0.8)
    axis.set_axisbelow(True)
    if curve != "rows":
        axis.legend(frameon=False, loc="upper left")
    axis.set_title(title, loc="left")
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)


def _draw_linear_growth(axis: Any, joint: pd.DataFrame) -> None:
    """Where cost would be, were it all in proportion, up to the largest size."""
    last, limits = joint.iloc[-1], axis.get_ylim()
    heights = last["median"] * joint["size"] / last["size"]
    label = "in proportion to the size"
    axis.plot(joint["size"], heights, ":", color=QUIET, label=label, zorder=1)
    axis.set_ylim(limits)


def main() -> None:
    """Draw the picture beside the CSV file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("csv", type=Path, help="file that scaling.py has written")
    options = parser.parse_args()
    draw(pd.read_csv(options.csv), options.csv.with_suffix(".png"))


if __name__ == "__main__":
    main()

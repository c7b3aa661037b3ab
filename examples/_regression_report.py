"""The table and the picture of `regression_cases.py`."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")

import matplotlib.pyplot as plt
from _report import GRID, JOINT, QUIET, STYLE, markdown_table


def markdown(rows: pd.DataFrame, cases: dict[str, str]) -> str:
    """A line for each case and lam: the error, and how it differs from that of lam=0.

    Parameters
    ----------
    rows : DataFrame
        A row for each case, lam and seed, with the column `rmse`.
    cases : dict of str to str
        What each case is: data, members and their hidden units.

    Returns
    -------
    str
    """
    heading = ["case", "lam", "test RMSE", "minus that of lam=0"]
    lines = [heading]
    for case, own in rows.groupby("case", sort=False):
        errors = own.pivot(index="seed", columns="lam", values="rmse")
        for lam in errors:
            is_compared = lam > 0 and 0.0 in errors
            paired = _with_error(errors[lam] - errors[0.0]) if is_compared else ""
            what = f"{case} ({cases[str(case)]})"
            lines.append([what, f"{lam:g}", _with_error(errors[lam]), paired])
    n_seeds = rows["seed"].nunique()
    caption = f"Means over {n_seeds} seeds, with the standard errors of the means."
    return f"{caption}\n\n{markdown_table(lines)}"


def _with_error(values: pd.Series) -> str:
    return f"{values.mean():.3f} ± {values.sem():.3f}"


def draw(rows: pd.DataFrame, cases: dict[str, str], path: Path) -> None:
    """A panel for each case: mean error by lam, with standard errors.

    Parameters
    ----------
    rows : DataFrame
        As for `markdown`.
    cases : dict of str to str
        As for `markdown`.
    path : Path
        Of the PNG file.
    """
    groups = rows.groupby("case", sort=False)
    with plt.rc_context(STYLE | {"axes.spines.left": True, "ytick.left": True}):
        figure, panels = plt.subplots(
            1,
            groups.ngroups,
            figsize=(4.1 * groups.ngroups, 3.9),
            squeeze=False,
            layout="constrained",
        )
        for (case, own), axes in zip(groups, panels[0], strict=True):
            errors = own.groupby("lam")["rmse"].agg(["mean", "sem"])
            # Lams crowd near 1: each gets the same room.
            positions = range(len(errors))
            axes.errorbar(
                *(positions, errors["mean"], errors["sem"]),
                marker="o",
                color=JOINT,
                capsize=3,
                lw=2,
            )
            axes.set_xticks(positions, [f"{lam:g}" for lam in errors.index])
            axes.grid(axis="y", color=GRID, lw=0.8)
            axes.set_title(str(case), loc="left", weight="bold")
            axes.set_xlabel(f"lam\n{cases[str(case)]} hidden units", color=QUIET)
        panels[0, 0].set_ylabel("test RMSE")
        figure.savefig(path, dpi=150)
        plt.close(figure)

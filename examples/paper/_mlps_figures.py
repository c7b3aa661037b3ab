"""What the runs of perceptrons show: a table and the pictures of Fig. 2, 3, 7, 8, 9."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")

import matplotlib.pyplot as plt

from examples._report import STYLE, markdown_table

# Test errors in % that the paper's text and figures say.
OF_THE_PAPER = {
    ("1x1024", "joint", 0.0): 10.2,
    ("256x4", "joint", 0.0): 16.3,
    ("256x4", "joint", 0.95): 10.3,
}


def table(runs: pd.DataFrame) -> str:
    """A line for each size, method and lam: test errors beside the paper's."""
    tested = runs[runs["split"] == "test"]
    lines = [
        ["size", "method", "lam", "seeds", "test error, %", "paper", "members' mean"]
    ]
    for key, own in tested.groupby(["size", "method", "lam"], sort=False):
        size, method, lam = key
        lines.append(
            [
                *(size, method, "" if size == "1x1024" else f"{lam:g}"),
                str(len(own)),
                _mean(100 * own["error"]),
                str(OF_THE_PAPER.get(key, "")),
                _mean(100 * own["member_error"]),
            ]
        )
    return markdown_table(lines)


def _mean(values: pd.Series) -> str:
    error = f" ± {values.sem():.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{error}"


def _curves(axis: Any, runs: pd.DataFrame, column: str, **style: Any) -> None:
    by_lam = runs.groupby("lam")[column].agg(["mean", "sem"])
    places = np.arange(len(by_lam))
    axis.errorbar(places, by_lam["mean"], by_lam["sem"].fillna(0), capsize=3, **style)
    axis.set_xticks(places, [f"{lam:g}" for lam in by_lam.index])
    axis.set_xlabel("lam")


def _panels(n: int) -> tuple[Any, Any]:
    """A figure with so many axes beside one another, whose heights compare."""
    figure, axes = plt.subplots(
        1,
        n,
        figsize=(5.5 * n, 4.6),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    return figure, axes[0]


def draw_errors(runs: pd.DataFrame, path: Path) -> None:
    """Fig. 2 and 3: test error against lam, a line for each size."""
    tested = runs[(runs["split"] == "test")]
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7, 4.8), layout="constrained")
        for size, own in tested[tested["method"] == "joint"].groupby(
            "size", sort=False
        ):
            if size == "1x1024":
                level = 100 * own["error"].mean()
                axis.axhline(level, color="black", label="one net of 1024")
                continue
            _curves(axis, own.assign(error=100 * own["error"]), "error", label=size)
        axis.set_ylabel("test error, %")
        axis.legend()
        figure.savefig(path, dpi=150)
        plt.close(figure)


def draw_dropped(dropped: pd.DataFrame, path: Path) -> None:
    """Fig. 7 and 8: test error against the share of members dropped."""
    sizes = list(dropped["size"].unique())
    with plt.rc_context(STYLE):
        figure, axes = _panels(len(sizes))
        for axis, size in zip(axes, sizes, strict=True):
            own = dropped[(dropped["size"] == size) & (dropped["method"] == "joint")]
            for lam, of_lam in own.groupby("lam"):
                means = 100 * of_lam.groupby("share")["error"].mean()
                axis.plot(means.index, means, label=f"lam = {lam:g}")
            axis.set(xlabel="share of members dropped", title=size)
            axis.legend()
        axes[0].set_ylabel("test error, %")
        figure.savefig(path, dpi=150)
        plt.close(figure)


def draw_losses(runs: pd.DataFrame, path: Path) -> None:
    """Fig. 9: loss of the ensemble and of its mean member against lam."""
    tested = runs[(runs["split"] == "test") & (runs["method"] == "joint")]
    sizes = [size for size in tested["size"].unique() if size != "1x1024"]
    with plt.rc_context(STYLE):
        figure, axes = _panels(len(sizes))
        for axis, size in zip(axes, sizes, strict=True):
            own = tested[tested["size"] == size]
            _curves(axis, own, "loss", label="ensemble")
            _curves(axis, own, "member_loss", label="mean member", linestyle="--")
            axis.set(title=size, yscale="log")
            axis.legend()
        axes[0].set_ylabel("test loss")
        figure.savefig(path, dpi=150)
        plt.close(figure)

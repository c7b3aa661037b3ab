"""What the pictures have in common."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")

import matplotlib.pyplot as plt

__all__ = ["errorbars", "finish", "panels", "plt", "ring_least"]


def panels(n: int, width: float = 5.5, *, shared: bool = True) -> tuple[Any, Any]:
    """A figure with so many axes beside one another, whose heights compare."""
    figure, axes = plt.subplots(
        1,
        n,
        figsize=(width * n, 4.6),
        sharey=shared,
        squeeze=False,
        layout="constrained",
    )
    return figure, axes[0]


def errorbars(
    axis: Any, runs: pd.DataFrame, column: str, lams: Sequence[float], **style: Any
) -> tuple[Any, float]:
    """Mean over seeds and its standard error, against lam at even distances.

    Returns
    -------
    drawn : matplotlib ErrorbarContainer
    last : float
        The mean at the highest lam.
    """
    by_lam = runs.groupby("lam")[column].agg(["mean", "sem"])
    places = [list(lams).index(lam) for lam in by_lam.index]
    drawn = axis.errorbar(places, by_lam["mean"], by_lam["sem"], capsize=3, **style)
    axis.set_xticks(np.arange(len(lams)), [f"{lam:g}" for lam in lams])
    axis.set_xlabel("lam")
    return drawn, by_lam["mean"].iloc[-1]


def ring_least(axis: Any, runs: pd.DataFrame, lams: Sequence[float]) -> None:
    """A ring about the least mean error."""
    means = runs.groupby("lam")["error"].mean()
    place = list(lams).index(means.idxmin()), means.min()
    axis.plot(*place, "o", ms=14, mfc="none", mec="0.3")


def finish(axis: Any, height: str) -> None:
    """What the heights are, and which line is which."""
    axis.set_ylabel(height)
    axis.legend(frameon=False)

"""Beyond the paper: lam close to 1, labels that are wrong, few images."""

from pathlib import Path

import pandas as pd

from examples._report import STYLE
from examples.paper._drawing import errorbars, finish, panels, plt, ring_least
from examples.paper._mlps_figures import SHARES, lost, of, setting, tested, usual
from examples.paper._protocols import LAMS
from examples.paper._store import Store


def draw(store: Store, folder: Path) -> None:
    """All pictures that there are runs for."""
    runs = of(tested(store), method="joint")
    if not len(runs):
        return
    ordinary = usual(runs)
    close = ordinary[(ordinary["lam"] > 0.99) & (ordinary["lam"] < 1)]
    for name in close["configuration"].unique():
        own = of(usual(lost(store)), configuration=name)
        draw_close_to_1(own, folder / f"mlps_{name}_close_to_1.png")
    of_paper = runs[runs["lam"].isin(LAMS)]
    if not len(of_paper):
        return
    ordinary = usual(of_paper)
    of_paper = of(of_paper, data=ordinary["data"].iloc[0])
    is_noisy = of_paper["flipped"] > 0
    is_small = of_paper["n_images"] < ordinary["n_images"].iloc[0]
    for name, others in (("flipped", is_noisy), ("few", is_small)):
        rows = of_paper[others]
        if len(rows):
            draw_beside(ordinary, rows, folder / f"mlps_{name}.png")


def draw_close_to_1(rows: pd.DataFrame, path: Path) -> None:
    """Test error, and points lost with members dropped, against lam."""
    rows = rows[rows["lam"] >= LAMS[-4]]
    lams = sorted(rows["lam"].unique())
    n_lams = rows.groupby("seed")["lam"].transform("nunique")
    rows = rows[n_lams == len(lams)]  # other seeds may be luckier ones
    with plt.rc_context(STYLE):
        figure, (left, right) = panels(2, shared=False)
        errorbars(left, of(rows, dropped=0), "error", lams, label="all members")
        for share in SHARES:
            own, label = of(rows, share=share), f"{share:.0%} dropped"
            if share <= 0.5:
                errorbars(left, own, "error", lams, label=label)
            errorbars(right, own, "lost", lams, label=label)
        right.set_yscale("symlog", linthresh=1)
        left.set_title(f"{rows['configuration'].iloc[0]}: what is best")
        right.set_title("what dropping members costs")
        finish(left, "test error, %")
        finish(right, "points lost")
        figure.savefig(path, dpi=150)
        plt.close(figure)


def draw_beside(ordinary: pd.DataFrame, others: pd.DataFrame, path: Path) -> None:
    """Test error against lam as usual, and in another setting; the least is ringed."""
    sizes = [
        size
        for size in others["configuration"].unique()
        if len(of(others, configuration=size)["lam"].unique()) > 1
    ]
    with plt.rc_context(STYLE):
        figure, axes = panels(2, shared=False)
        for axis, rows in zip(axes, (ordinary, others), strict=True):
            lams = sorted(rows["lam"].unique())
            for size in sizes:
                own = of(rows, configuration=size)
                errorbars(axis, own, "error", lams, label=size)
                ring_least(axis, own, lams)
            axis.set_title(setting(rows).replace(", ", "\n", 1))
            finish(axis, "test error, %")
        figure.savefig(path, dpi=150)
        plt.close(figure)

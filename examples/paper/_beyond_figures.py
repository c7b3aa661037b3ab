"""Beyond the paper: lam close to 1, labels that are wrong, few images."""

from pathlib import Path

import pandas as pd

from examples._report import STYLE
from examples.paper._drawing import errorbars, finish, panels, plt
from examples.paper._mlps_figures import (
    SETTING,
    SHARES,
    even,
    lost,
    of,
    seeds,
    setting,
    tested,
    usual,
)
from examples.paper._protocols import LAMS
from examples.paper._store import Store


def draw(store: Store, folder: Path) -> None:
    """All pictures that there are runs for."""
    runs = of(tested(store), method="joint")
    if not len(runs):
        return
    ordinary = usual(runs)
    close = ordinary[(ordinary["lam"] > LAMS[-2]) & (ordinary["lam"] < 1)]
    if len(close):
        dropped = usual(lost(store))
    for size in close["configuration"].unique():
        own = of(dropped, configuration=size)
        draw_close_to_1(own, folder / f"mlps_{size}_close_to_1.png")
    kept = ordinary.iloc[0]
    is_noisy = runs["flipped"] > 0
    is_small = runs["n_images"] < kept["n_images"]
    for name, is_other in (("flipped", is_noisy), ("few", is_small)):
        others = of(runs[is_other], data=kept["data"])
        if (others["configuration"] != "1x1024").any():
            draw_beside(ordinary, others, folder / f"mlps_{name}.png")


def draw_close_to_1(rows: pd.DataFrame, path: Path) -> None:
    """Test error, and points lost with members dropped, against lam."""
    rows = even(rows[rows["lam"] >= LAMS[-4]])
    lams = sorted(rows["lam"].unique())
    with plt.rc_context(STYLE):
        figure, (left, right) = panels(2, shared=False)
        errorbars(left, of(rows, dropped=0), "error", lams, label="all members")
        for share in SHARES:
            own, label = of(rows, share=share), f"{share:.0%} dropped"
            if share <= 0.5:
                errorbars(left, own, "error", lams, label=label)
            errorbars(right, own, "lost", lams, label=label)
        right.set_yscale("symlog", linthresh=1)
        right.set_yticks([0, 0.5, 1, 2, 5, 10], ["0", "0.5", "1", "2", "5", "10"])
        left.set_title(f"{rows['configuration'].iloc[0]}, {seeds(rows)}: test error")
        right.set_title("what dropping members costs")
        finish(left, "test error, %")
        finish(right, "points lost")
        figure.savefig(path, dpi=150)
        plt.close(figure)


def draw_beside(ordinary: pd.DataFrame, others: pd.DataFrame, path: Path) -> None:
    """Test error against lam as usual and in other settings, of the same seeds."""
    sizes = [size for size in others["configuration"].unique() if size != "1x1024"]
    with plt.rc_context(STYLE):
        figure, axes = panels(len(sizes), width=8)
        for axis, size in zip(axes, sizes, strict=True):
            of_others = of(others, configuration=size)
            shown = of_others["seed"].unique(), of_others["lam"].unique()
            own = of(ordinary, configuration=size)
            own = own[own["seed"].isin(shown[0]) & own["lam"].isin(shown[1])]
            lams = sorted(shown[1])
            for rows in [own, *(rows for _, rows in of_others.groupby(SETTING))]:
                label = f"{setting(rows)}, {seeds(rows)}"
                line, _ = errorbars(axis, rows, "error", lams, label=label)
                nets = pd.concat([ordinary, others]).merge(rows[SETTING].head(1))
                nets = of(nets[nets["seed"].isin(shown[0])], configuration="1x1024")
                if len(nets):
                    style = {"color": line[0].get_color(), "linestyle": "--", "lw": 1}
                    axis.axhline(nets["error"].mean(), **style)
            axis.set_title(f"{size}; dashed: one net of 1024 units")
            finish(axis, "test error, %")
        figure.savefig(path, dpi=150)
        plt.close(figure)

"""What the runs of perceptrons show: tables, and the pictures of Fig. 2, 3, 7, 8, 9."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullLocator

from examples._report import STYLE, apart, markdown_table
from examples.paper._drawing import errorbars, finish, panels, plt
from examples.paper._protocols import LAMS
from examples.paper._store import KEYS, Store

# Test errors in % that the paper's text says.
OF_THE_PAPER = {
    ("1x1024", "joint", 0.0): 10.2,
    ("256x4", "joint", 0.0): 16.3,
    ("256x4", "joint", 0.95): 10.3,
}
PAPER_DATA = ["Fashion-MNIST", 60_000, 0.0]
LAMS_DROPPED = (0.0, 0.99, 1.0)
SHARES = (0.25, 0.5, 0.75)
NAMES = {
    "bagging": "Bagging",
    "BaggingClassifier": "BaggingClassifier",
    "stacking": "Stacking",
}
SETTING = ["data", "n_epochs", "n_images", "flipped"]


def usual(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with right labels and all images, of as many epochs as most of them."""
    whole = rows[(rows["flipped"] == 0) & (rows["n_images"] == rows["n_images"].max())]
    whole = whole if len(whole) else rows
    settings = whole[SETTING].value_counts().index[0]
    return rows[(rows[SETTING] == list(settings)).all(axis=1)]


def even(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the seeds that every lam was trained with: others may be luckier."""
    n_lams = rows.groupby("seed")["lam"].transform("nunique")
    return rows[n_lams == rows["lam"].nunique()]


def seeds(rows: pd.DataFrame) -> str:
    """How many, in words."""
    n = rows["seed"].nunique()
    return f"{n} seeds" if n > 1 else "one seed"


def of(rows: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """Rows with these values."""
    return rows[np.logical_and.reduce([rows[key] == values[key] for key in values])]


def tested(store: Store) -> pd.DataFrame:
    """Test errors in %, of the ensemble and of its mean member."""
    rows = of(store.rows(), split="test")
    errors = rows[["error", "member_error", "best_member_error"]]
    return rows.assign(**100 * errors)


def lost(store: Store) -> pd.DataFrame:
    """Test errors in % with members dropped, and the points that this costs."""
    if not store.path("dropped").exists():
        return pd.DataFrame()
    rows = store.rows("dropped")
    rows = rows[rows["configuration"].str.partition("x")[0] != "1"]
    whole = of(rows, dropped=0).set_index(KEYS)["error"]
    before = rows.set_index(KEYS).index.map(whole)
    errors = 100 * rows["error"]
    return rows.assign(error=errors, lost=errors - 100 * before)


def tables(store: Store) -> dict[str, str]:
    """Test errors beside the paper's, and points lost with members dropped.

    Returns
    -------
    dict of str to str
        Of the setting that most runs are of, and of the others.
    """
    found, parts = {}, []
    for name, table, rows in (
        ("errors", _errors, tested(store)),
        ("dropped", _lost, lost(store)),
    ):
        if not len(rows):
            continue
        ordinary = usual(rows)
        is_of_paper = ordinary["lam"].isin(LAMS)
        shown = ordinary[is_of_paper] if is_of_paper.any() else ordinary
        found[name] = table(shown)
        for size, close in ordinary[~is_of_paper].groupby("configuration"):
            joint = of(ordinary, configuration=size, method="joint")
            near = joint[joint["lam"] >= min(LAMS[-2], close["lam"].min())]
            parts.append(table(even(near)))
        parts += [table(own) for own in _others(rows, ordinary)]
    return {**found, "others": "\n\n".join(parts)}


def _others(rows: pd.DataFrame, ordinary: pd.DataFrame) -> list[pd.DataFrame]:
    rest = rows.drop(index=ordinary.index)
    return [own for _, own in rest.groupby(SETTING, sort=False)]


def setting(rows: pd.DataFrame) -> str:
    """What the rows have in common."""
    data, n_epochs, n_images, flipped = rows[SETTING].iloc[0]
    wrong = f", {flipped:.0%} with a wrong label" if flipped else ""
    return f"{data}, {n_images:,} images{wrong}, {n_epochs} epochs"


def _errors(runs: pd.DataFrame) -> str:
    """A line for each configuration, method and lam."""
    lines = [
        ["ensemble", "method", "lam", "seeds", "test error, %", "paper", "mean member"]
    ]
    is_of_paper = runs[["data", "n_images", "flipped"]].iloc[0].tolist() == PAPER_DATA
    runs = runs.sort_values(["configuration", "method", "lam"], key=_order)
    for key, own in runs.groupby(["configuration", "method", "lam"], sort=False):
        configuration, method, lam = key
        is_of_lam = method == "joint" and configuration != "1x1024"
        lines.append(
            [
                *(configuration, NAMES.get(method, method)),
                *(f"{lam:g}" if is_of_lam else "", str(len(own))),
                mean_of(own["error"]),
                str(OF_THE_PAPER.get(key, "") if is_of_paper else ""),
                mean_of(own["member_error"]),
            ]
        )
    return f"{setting(runs)}\n\n{markdown_table(lines)}"


def _lost(rows: pd.DataFrame) -> str:
    """Points lost with a share of the members dropped."""
    shares = [f"{share:.0%} dropped" for share in SHARES]
    lines = [["ensemble", "lam", "seeds", "error with all, %", *shares]]
    rows = rows.sort_values(["configuration", "lam"], key=_order)
    for (name, lam), own in rows.groupby(["configuration", "lam"], sort=False):
        whole = mean_of(of(own, dropped=0)["error"])
        shown = [mean_of(of(own, share=share)["lost"]) for share in SHARES]
        n_seeds = str(own["seed"].nunique())
        lines.append([name, f"{lam:g}", n_seeds, whole, *shown])
    return f"{setting(rows)}, points lost\n\n{markdown_table(lines)}"


def _order(values: pd.Series) -> pd.Series:
    """Few large members first; joint training before other methods."""
    if values.name == "configuration":
        return values.str.partition("x")[0].astype(int)
    return values != "joint" if values.name == "method" else values


def mean_of(values: pd.Series) -> str:
    """With its standard error, where there are several."""
    error = f" ± {values.sem():.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{error}" if len(values) else ""


def draw(store: Store, folder: Path) -> None:
    """All pictures that there are runs for."""
    runs = usual(tested(store))
    runs = runs[runs["lam"].isin(LAMS)]
    if not len(of(runs, method="joint")):
        return
    draw_errors(runs, folder / "mlps_errors.png")
    draw_losses(runs, folder / "mlps_losses.png")
    dropped = lost(store)
    if len(dropped):
        draw_dropped(usual(dropped), folder / "mlps_dropped.png")


def _sizes(rows: pd.DataFrame) -> list[str]:
    """Of ensembles, from few large members to many small ones."""
    sizes = pd.Series(rows["configuration"].unique(), name="configuration")
    return [size for size in sizes.sort_values(key=_order) if size != "1x1024"]


def draw_errors(runs: pd.DataFrame, path: Path) -> None:
    """Fig. 2 and 3: test error against lam, a line for each size."""
    joint = of(runs, method="joint")
    lams = sorted(joint["lam"].unique())
    end = len(lams) - 1
    labels = []
    with plt.rc_context(STYLE):
        figure, (axis,) = panels(1, width=9)
        for size in _sizes(joint):
            own = of(joint, configuration=size)
            (line, *_), mean = errorbars(axis, own, "error", lams)
            name = "{} members of {} units".format(*size.split("x"))
            if own["seed"].nunique() == 1 < joint["seed"].nunique():
                name += " (one seed)"
            labels.append((mean, name, line.get_color()))
        for (size, method), own in runs.groupby(["configuration", "method"]):
            if method == "joint" and size != "1x1024":
                continue
            is_net = size == "1x1024"
            name = "one net of 1024 units" if is_net else f"{NAMES[method]} of {size}"
            dashes = "-" if is_net else "--" if method == "stacking" else ":"
            style = {"color": "0.3", "linestyle": dashes}
            mean = own["error"].mean()
            axis.plot([0, end], [mean, mean], **style)
            labels.append((mean, name, "0.3"))
        low, high = axis.get_ylim()
        heights = apart([mean for mean, *_ in labels], gap=0.05 * (high - low))
        for height, (_, name, colour) in zip(heights, labels, strict=True):
            axis.text(end + 0.15, height, name, color=colour, va="center")
        axis.set_xlim(-0.3, end + 2.4)
        axis.spines["bottom"].set_bounds(-0.3, end + 0.3)
        axis.set_ylabel("test error, %")
        n_images, n_epochs = runs[["n_images", "n_epochs"]].iloc[0]
        axis.set_title(
            f"{runs['data'].iloc[0]}, {n_images:,} images, {n_epochs} epochs, "
            f"{seeds(runs)}: as many parameters, in one net or in many",
            loc="left",
        )
        figure.savefig(path, dpi=150)
        plt.close(figure)


def draw_dropped(dropped: pd.DataFrame, path: Path) -> None:
    """Fig. 7 and 8: test error against the share of members dropped."""
    sizes = _sizes(dropped)
    with plt.rc_context(STYLE):
        figure, axes = panels(len(sizes))
        for axis, size in zip(axes, sizes, strict=True):
            own = of(dropped, configuration=size)
            lams = set(own["lam"])
            for lam in sorted(lams.intersection(LAMS_DROPPED) or lams):
                means = of(own, lam=lam).groupby("share")["error"].mean()
                axis.plot(means.index, means, label=f"lam = {lam:g}")
            axis.set(xlabel="share of members dropped", title=f"{size}, {seeds(own)}")
            axis.set_ylim(0, 60)  # as in the paper
        finish(axes[0], "test error, %")
        figure.savefig(path, dpi=150)
        plt.close(figure)


def draw_losses(runs: pd.DataFrame, path: Path) -> None:
    """Fig. 9: loss of the ensemble and of its mean member against lam."""
    joint = of(runs, method="joint")
    sizes = _sizes(joint)
    if not sizes:
        return
    lams = sorted(joint["lam"].unique())
    with plt.rc_context(STYLE):
        figure, axes = panels(len(sizes))
        for axis, size in zip(axes, sizes, strict=True):
            own = of(joint, configuration=size)
            errorbars(axis, own, "loss", lams, label="ensemble")
            dashed = {"label": "mean member", "linestyle": "--"}
            errorbars(axis, own, "member_loss", lams, **dashed)
            axis.set(title=f"{size}, {seeds(own)}", yscale="log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_locator(NullLocator())
        finish(axes[0], "test loss")
        figure.savefig(path, dpi=150)
        plt.close(figure)

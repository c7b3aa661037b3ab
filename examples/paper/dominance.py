"""Fig. 5 and 6 of Webb et al. (2020): whether one member learns for all.

::

    python -m examples.paper dominance --images 5000 --seeds 10
    python -m examples.paper dominance --dataset CIFAR-10 --ensembles 10xConvNet-1 \
--lams 0 0.5 1 --epochs 400

Members with capacity to spare, and some that have none: each member's training error by
epoch, the filters of the first layers, and whether the member with the least error
after three epochs is the one with the least at the end. The default is ensembles of
small networks on some images of Fashion-MNIST; the second command is the paper's
protocol, for which a GPU is needed.
"""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from examples._data import Data
from examples._report import STYLE, markdown_table
from examples.paper._drawing import panels, plt
from examples.paper._mlps_figures import of, tested
from examples.paper._protocols import PROTOCOLS, Case
from examples.paper._run import Outcome, count_images, load, members
from examples.paper._store import KEYS, Store, run_missing
from sklearn_jointens.inspection import MemberFiltersDisplay

# Epochs whose leader may lead at the end.
EARLY = (1, 2, 3, 5, 10)


def add_options(add: Callable[..., Any]) -> None:
    """To the command line."""
    small = ["10xSmallConvNet-1", "256x4"]
    add("--dataset", default="Fashion-MNIST", help="or CIFAR-10, CIFAR-100")
    add("--ensembles", nargs="+", choices=PROTOCOLS, default=small)
    add("--lams", type=float, nargs="+", default=[0.0, 1.0])
    add("--epochs", type=int, default=20)


def main(options: argparse.Namespace) -> None:
    """Run what is missing, and show all that is there."""
    store = Store(options.out, "dominance", ["members"])
    for name in options.ensembles:
        data = load(name, options.dataset, options.data)
        n_images = count_images(options.images, data)
        cases = [
            Case(*(options.dataset, name, "joint", lam, seed, options.epochs), n_images)
            for seed in range(options.seeds)
            for lam in options.lams
        ]

        def parts(case: Case, outcome: Outcome, data: Data) -> dict[str, Iterable[Any]]:
            if case.seed == 0 and data.X_train.ndim > 2:
                display = MemberFiltersDisplay.from_estimator(outcome.ensemble)
                path = f"dominance_{case.configuration}_lam_{case.lam:g}_filters.png"
                display.figure_.suptitle(f"lam = {case.lam:g}")
                display.figure_.savefig(options.out / path, dpi=150)
                plt.close(display.figure_)
            return {"members": members(outcome.ensemble, data)}

        run_missing(cases, data, store, options, parts)
    text = table(store)
    (options.out / "dominance.md").write_text(text + "\n")
    for name, own in store.rows("members").groupby("configuration"):
        first = of(own, seed=own["seed"].min())
        draw(first, options.out / f"dominance_{name}.png")
    print(text)


def leaders(of_members: pd.DataFrame) -> pd.DataFrame:
    """A row for each run: who leads when, and how far.

    Parameters
    ----------
    of_members : DataFrame
        A row for each run, epoch and member.

    Returns
    -------
    DataFrame
    """
    return pd.DataFrame(
        {**dict(zip(KEYS, key, strict=True)), **_of_run(run)}
        for key, run in of_members.groupby(KEYS, sort=False)
    )


def _of_run(run: pd.DataFrame) -> dict[str, Any]:
    errors = run.pivot(index="epoch", columns="member", values="error")
    last = errors.iloc[-1]
    leader = last.idxmin()
    others = last.drop(leader)
    early = {
        f"leads from {epoch}": errors.loc[epoch].idxmin() == leader
        for epoch in EARLY
        if epoch < len(errors)
    }
    return {
        "members": len(last),
        "effective": run["effective_members"].iloc[-1],
        "leader": 100 * last[leader],
        "second": 100 * others.min(),
        "others": 100 * others.median(),
        **early,
    }


def table(store: Store) -> str:
    """How many members are at work at the end, and from when on the leader leads."""
    runs = leaders(store.rows("members")).merge(tested(store), on=KEYS)
    kinds = ["data", "n_images", "n_epochs", "configuration", "lam"]
    early = [f"leads from {epoch}" for epoch in EARLY]
    lines = [
        [
            *("images", "ensemble", "lam", "runs", "effective members"),
            *("leader's training error, %", "second's", "others' median"),
            "test error, %",
            *(f"leads at the end, of epoch {e}'s leaders" for e in EARLY),
        ]
    ]
    for (data, n_images, n_epochs, name, lam), own in runs.groupby(kinds):
        low, middle, high = np.quantile(own["effective"], [0, 0.5, 1])
        counts = [own.get(column, pd.Series(dtype=float)).dropna() for column in early]
        lines.append(
            [
                *(f"{n_images:,} of {data}, {n_epochs} epochs", name, f"{lam:g}"),
                str(len(own)),
                f"{middle:.1f} ({low:.1f} to {high:.1f}) of {own['members'].iloc[0]}",
                f"{own['leader'].mean():.1f}",
                f"{own['second'].min():.1f} to {own['second'].max():.1f}",
                *(f"{own[key].mean():.1f}" for key in ("others", "error")),
                *(
                    f"{int(told.sum())} of {len(told)}" if len(told) else ""
                    for told in counts
                ),
            ]
        )
    return markdown_table(lines)


def draw(of_members: pd.DataFrame, path: Any) -> None:
    """Fig. 6: training error of each member by epoch, a panel for each lam."""
    lams = sorted(of_members["lam"].unique())
    with plt.rc_context(STYLE):
        figure, axes = panels(len(lams))
        for axis, lam in zip(axes, lams, strict=True):
            own = of(of_members, lam=lam)
            errors = 100 * own.pivot(index="epoch", columns="member", values="error")
            leader = errors.iloc[-1].idxmin()
            axis.plot(errors.index, errors.drop(columns=leader), color="0.7", lw=0.8)
            label = "the one that leads at the end"
            axis.plot(errors.index, errors[leader], lw=2.4, label=label)
            data, n_images = of_members[["data", "n_images"]].iloc[0]
            axis.set(xlabel="epoch", title=f"lam = {lam:g}; {n_images:,} of {data}")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].set_ylabel("a member's training error, %")
        axes[0].legend(frameon=False)
        figure.savefig(path, dpi=150)
        plt.close(figure)

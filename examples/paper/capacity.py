"""Fig. 4 of Webb et al. (2020): where the best lam lies against the members' size.

::

    python -m examples.paper capacity --images 5000 --seeds 2
    python -m examples.paper capacity --members SmallConvNet --images 3000 --epochs 20
    python -m examples.paper capacity --members ConvNet --dataset CIFAR-100 --epochs 400

The first two are forms of it that a CPU can train: perceptrons, and small convolutional
networks, on some images of Fashion-MNIST. The third trains the paper's ensembles, 16
convolutional networks of 70,000 to 1.1 million parameters each, for which a GPU is
needed. Their learning rate is that of the paper's ten members on CIFAR-10.
"""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from examples._data import Data
from examples._report import STYLE, markdown_table
from examples.paper._drawing import errorbars, panels, plt, ring_least
from examples.paper._mlps_figures import setting, tested
from examples.paper._protocols import (
    CONVNETS,
    GROWING_PERCEPTRONS,
    SMALL_CONVNETS,
    Case,
)
from examples.paper._run import count_images, load
from examples.paper._store import Store, run_missing

LAMS = (0.0, 0.5, 0.9, 0.95, 0.99, 1.0)  # the paper's also 0.8 and 0.97
MEMBERS = {
    "perceptron": GROWING_PERCEPTRONS,
    "SmallConvNet": SMALL_CONVNETS,
    "ConvNet": CONVNETS,
}
SETTINGS = ["members", "data", "n_images", "n_epochs"]


def add_options(add: Callable[..., Any]) -> None:
    """To the command line."""
    add("--dataset", default="Fashion-MNIST", help="or CIFAR-10, CIFAR-100")
    add("--members", choices=MEMBERS, default="perceptron")
    add("--lams", type=float, nargs="+", default=list(LAMS))
    add("--epochs", type=int, default=60)


def main(options: argparse.Namespace) -> None:
    """Run what is missing, and show all that is there."""
    names = [name for name in MEMBERS[options.members] if name.startswith("16x")]
    data = load(names[0], options.dataset, options.data)
    store = Store(options.out, "capacity", ["epochs"])
    run_missing(_cases(options, names, data), data, store, options)
    runs = tested(store)
    kind = runs["configuration"].str.extract(r"x(\D*)-", expand=False)
    runs = runs.assign(members=kind.fillna("perceptron"))
    tables = []
    for keys, own in runs.groupby(SETTINGS, sort=False):
        tables.append(_table(own))
        _draw(own, options.out / f"capacity_{'_'.join(map(str, keys))}.png")
    text = "\n\n".join(tables)
    (options.out / "capacity.md").write_text(text + "\n")
    print(text)


def _cases(
    options: argparse.Namespace, names: Iterable[str], data: Data
) -> Iterable[Case]:
    """One seed after the other, so that what is there is even."""
    for seed in range(options.seeds):
        for name in names:
            for lam in options.lams:
                n_images = count_images(options.images, data)
                yield Case(
                    *(options.dataset, name, "joint", lam, seed, options.epochs),
                    n_images,
                )


def _table(runs: pd.DataFrame) -> str:
    """A line for each size: the errors, the least of which is the best lam's."""
    lams = sorted(runs["lam"].unique())
    head = [f"lam = {lam:g}" for lam in lams]
    lines = [["parameters of a member", "seeds", *head, "best lam"]]
    for size, own in runs.groupby("n_parameters"):
        means = own.groupby("lam")["error"].mean()
        lines.append(
            [
                *(f"{size:,.0f}", str(own["seed"].nunique())),
                *(f"{means[lam]:.2f}" if lam in means else "" for lam in lams),
                f"{means.idxmin():g}",
            ]
        )
    heading = f"{runs['members'].iloc[0]}, {setting(runs)}: test error in %"
    return f"{heading}\n\n{markdown_table(lines)}"


def _draw(runs: pd.DataFrame, path: Any) -> None:
    """Test error against lam, a panel for each size."""
    lams = sorted(runs["lam"].unique())
    sizes = list(runs.groupby("n_parameters"))
    with plt.rc_context(STYLE):
        figure, axes = panels(len(sizes), 4)
        for axis, (size, own) in zip(axes, sizes, strict=True):
            errorbars(axis, own, "error", lams)
            ring_least(axis, own, lams)
            axis.set_title(f"16 members of {size:,.0f} parameters")
        axes[0].set_ylabel("test error, %")
        figure.savefig(path, dpi=150)
        plt.close(figure)

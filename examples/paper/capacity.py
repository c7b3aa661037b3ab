"""Fig. 4 of Webb et al. (2020): where the best lam lies against the members' size.

::

    python -m examples.paper capacity --dataset CIFAR-100 --epochs 400

trains the paper's ensembles, 16 convolutional networks of 70,000 to 1.2 million
parameters each, for which a GPU is needed. The default is a form of it that a CPU can
train: smaller networks, on some images of Fashion-MNIST.
"""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from examples._data import Data
from examples._report import STYLE, markdown_table
from examples.paper._drawing import errorbars, panels, plt, ring_least
from examples.paper._images import SCALES, load_images
from examples.paper._mlps_figures import setting, tested
from examples.paper._protocols import CONVNETS, SMALL_CONVNETS, Case
from examples.paper._store import Store, run_missing

LAMS = (0.0, 0.5, 0.9, 0.95, 0.99, 1.0)
SETTINGS = ["data", "n_images", "n_epochs"]


def add_options(add: Callable[..., Any]) -> None:
    """To the command line."""
    add("--dataset", default="Fashion-MNIST", help="or CIFAR-10, CIFAR-100")
    add("--scales", type=float, nargs="+", help="of widths (default: all)")
    add("--lams", type=float, nargs="+", default=list(LAMS))
    add("--epochs", type=int, default=20)


def main(options: argparse.Namespace) -> None:
    """Run what is missing, and show all that is there."""
    data = load_images(options.dataset, options.data)
    store = Store(options.out, "capacity", ["epochs"])
    run_missing(
        _cases(options, data),
        data,
        store,
        options.device,
        lambda case, outcome, data: {"epochs": outcome.epochs},
    )
    runs = tested(store)
    text = "\n\n".join(_table(own) for _, own in runs.groupby(SETTINGS, sort=False))
    (options.out / "capacity.md").write_text(text + "\n")
    for keys, own in runs.groupby(SETTINGS):
        _draw(own, options.out / f"capacity_{keys[0]}.png")
    print(text)


def _cases(options: argparse.Namespace, data: Data) -> Iterable[Case]:
    """One seed after the other, so that what is there is even."""
    kinds = CONVNETS if options.dataset in SCALES else SMALL_CONVNETS
    names = [name for name in kinds if name.startswith("16x")]
    if options.scales:
        names = [n for n in names if float(n.partition("-")[2]) in options.scales]
    for seed in range(options.seeds):
        for name in names:
            for lam in options.lams:
                n_images = options.images or len(data.y_train)
                yield Case(
                    *(options.dataset, name, "joint", lam, seed, options.epochs),
                    n_images,
                )


def _by_size(runs: pd.DataFrame) -> Iterable[tuple[int, pd.DataFrame]]:
    return runs.groupby("n_parameters")


def _table(runs: pd.DataFrame) -> str:
    """A line for each size: the errors, the least of which is the best lam's."""
    lams = sorted(runs["lam"].unique())
    head = [f"lam = {lam:g}" for lam in lams]
    lines = [["parameters of a member", "seeds", *head, "best lam"]]
    for size, own in _by_size(runs):
        means = own.groupby("lam")["error"].mean()
        lines.append(
            [
                *(f"{size:,.0f}", str(own["seed"].nunique())),
                *(f"{means[lam]:.2f}" if lam in means else "" for lam in lams),
                f"{means.idxmin():g}",
            ]
        )
    return f"{setting(runs)}: test error in %\n\n{markdown_table(lines)}"


def _draw(runs: pd.DataFrame, path: Any) -> None:
    """Test error against lam, a panel for each size."""
    lams = sorted(runs["lam"].unique())
    sizes = list(_by_size(runs))
    with plt.rc_context(STYLE):
        figure, axes = panels(len(sizes), 4, shared=False)
        for axis, (size, own) in zip(axes, sizes, strict=True):
            errorbars(axis, own, "error", lams)
            ring_least(axis, own, lams)
            axis.set_title(f"16 members of {size:,.0f} parameters")
        axes[0].set_ylabel("test error, %")
        figure.savefig(path, dpi=150)
        plt.close(figure)

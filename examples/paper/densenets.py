"""Table 2 of Webb et al. (2020): ensembles of DenseNets, which have capacity to spare.

::

    python -m examples.paper densenets --dataset CIFAR-100 --names DN-High --seeds 3 \
--epochs 300
    python -m examples.paper densenets --dataset digits --images 300 --names DN-Small \
--epochs 100 --seeds 5
    python -m examples.paper densenets --images 2000

The first trains the paper's ensemble, for which a GPU is needed. The others are forms
that a CPU can train, four DenseNets of depth 16: on digits, which such members learn by
heart, and for 20 epochs on 2,000 photographs of CIFAR-10, which is far from enough.
"""

import argparse
from collections.abc import Callable
from typing import Any

import pandas as pd

from examples._report import markdown_table
from examples.paper._mlps_figures import NAMES, mean_of, of, setting, tested
from examples.paper._protocols import DENSENETS, Case
from examples.paper._run import count_images, load
from examples.paper._store import Store, run_missing

LAMS = (0.0, 0.5, 0.9, 1.0)
# Test errors in %: lam = 0, 0.5, 0.9, 1, Bagging, Stacking.
OF_THE_PAPER = {
    "DN-Low": (25.0, 23.5, 25.9, 29.6, 32.5, 28.3),
    "DN-Mid": (19.9, 20.0, 22.4, 25.7, 29.5, 23.4),
    "DN-High": (17.8, 18.8, 20.3, 22.1, 28.4, 21.4),
}


def add_options(add: Callable[..., Any]) -> None:
    """To the command line."""
    add("--dataset", default="CIFAR-10", help="or CIFAR-100, the paper's")
    add("--names", nargs="+", choices=DENSENETS, default=["DN-Tiny"])
    add("--lams", type=float, nargs="+", default=list(LAMS))
    methods = ["joint", "bagging", "stacking"]
    add("--methods", nargs="+", choices=methods, default=methods)
    add("--epochs", type=int, default=20)


def main(options: argparse.Namespace) -> None:
    """Run what is missing, and show all that is there."""
    data = load(options.names[0], options.dataset, options.data)
    n_images = count_images(options.images, data)
    cases = [
        Case(*(options.dataset, name, method, lam, seed, options.epochs), n_images)
        for seed in range(options.seeds)
        for name in options.names
        for method in options.methods
        for lam in (options.lams if method == "joint" else [0.0])
    ]
    store = Store(options.out, "densenets", ["epochs"])
    run_missing(cases, data, store, options)
    text = table(store)
    (options.out / "densenets.md").write_text(text + "\n")
    print(text)


def table(store: Store) -> str:
    """Test errors as in the paper's table, and the paper's."""
    runs = tested(store)
    lams = sorted({*LAMS, *runs["lam"]})
    columns = [("joint", lam) for lam in lams] + [("bagging", 0.0), ("stacking", 0.0)]
    methods = [NAMES["bagging"], NAMES["stacking"]]
    heads = ["test error, %", "seeds", *(f"lam = {lam:g}" for lam in lams), *methods]
    parts = []
    for _, own in runs.groupby(["data", "n_images", "n_epochs"], sort=False):
        lines = [heads]
        for name, of_name in own.groupby("configuration", sort=False):
            errors = [
                of(of_name, method=method, lam=lam)["error"] for method, lam in columns
            ]
            n_seeds = of_name["seed"].nunique()
            lines.append([name, str(n_seeds), *(_cell(e, n_seeds) for e in errors)])
        parts.append(f"{setting(own)}\n\n{markdown_table(lines)}")
    paper = [[name, "3", *map(str, row)] for name, row in OF_THE_PAPER.items()]
    of_paper = [*heads[:2], *(f"lam = {lam:g}" for lam in LAMS), *methods]
    heading = "The paper: CIFAR-100, 50,000 images, 300 epochs"
    parts.append(f"{heading}\n\n{markdown_table([of_paper, *paper])}")
    return "\n\n".join(parts)


def _cell(errors: pd.Series, n_seeds: int) -> str:
    """A mean, which says so if it has fewer seeds than its row."""
    few = f" ({len(errors)} seed)" if 0 < len(errors) < n_seeds else ""
    return f"{mean_of(errors)}{few}"

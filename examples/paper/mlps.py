"""Fig. 2, 3, 7, 8 and 9 of Webb et al. (2020): perceptrons on Fashion-MNIST.

::

    python -m examples.paper mlps --sizes 256x4 64x16 1x1024 --seeds 3
    python -m examples.paper mlps --sizes 256x4 --methods bagging stacking --seeds 3

Ensembles of as many parameters, of one large net to 256 nets of 4 hidden units. Beyond
the paper: lam close to 1, labels that are wrong, few images; and Bagging by weights of
rows beside scikit-learn's, which trains member after member.

::

    python -m examples.paper mlps --sizes 256x4 --lams 0.992 0.995 0.998 0.999
    python -m examples.paper mlps --sizes 256x4 --flipped 0.2
    python -m examples.paper mlps --sizes 256x4 --images 1000 --epochs 400
    python -m examples.paper mlps --dataset digits --sizes 64x16-last --seeds 10 \
--methods bagging BaggingClassifier
"""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from examples._data import Data
from examples.paper import _beyond_figures, _mlps_figures
from examples.paper._protocols import LAMS, LAST_EPOCH, PERCEPTRONS, Case
from examples.paper._run import Outcome, count_images, dropped, load
from examples.paper._store import Store, of_epochs, run_missing

METHODS = ("joint", "bagging", "BaggingClassifier", "stacking")


def add_options(add: Callable[..., Any]) -> None:
    """To the command line."""
    add("--dataset", default="Fashion-MNIST", help="name in OpenML, or 'digits'")
    sizes = [*PERCEPTRONS, *LAST_EPOCH]
    add("--sizes", nargs="+", choices=sizes, default=list(PERCEPTRONS))
    add("--lams", type=float, nargs="+", default=list(LAMS))
    add("--methods", nargs="+", choices=METHODS, default=["joint"])
    add("--epochs", type=int, default=40, help="the paper's are 200")
    add("--flipped", type=float, default=0.0, help="share of wrong labels")


def main(options: argparse.Namespace) -> None:
    """Run what is missing, and show all that is there."""
    data = load(options.sizes[0], options.dataset, options.data)
    store = Store(options.out, "mlps", ["epochs", "dropped"])
    run_missing(_cases(options, data), data, store, options, _parts)
    tables = _mlps_figures.tables(store)
    for name, text in tables.items():
        (options.out / f"mlps_{name}.md").write_text(text + "\n")
    for figures in (_mlps_figures, _beyond_figures):
        figures.draw(store, options.out)
    print("\n\n".join(tables.values()))


def _cases(options: argparse.Namespace, data: Data) -> Iterable[Case]:
    """One seed after the other, so that what is there is even."""
    for seed in range(options.seeds):
        for size in options.sizes:
            for method in options.methods:
                # One net has no use for lam, and others train members on their own.
                has_lam = method == "joint" and size != "1x1024"
                for lam in options.lams if has_lam else [0.0]:
                    yield Case(
                        *(options.dataset, size, method, lam, seed, options.epochs),
                        count_images(options.images, data),
                        options.flipped,
                    )


def _parts(
    case: Case, outcome: Outcome, data: Data
) -> dict[str, Iterable[dict[str, Any]]]:
    found = of_epochs(case, outcome, data)
    if case.method == "joint":
        found["dropped"] = dropped(outcome.ensemble, data, case.seed)
    return found

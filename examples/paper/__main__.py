"""The figures of Webb et al. (2020), each by one command.

::

    python -m examples.paper mlps --data fashion_mnist.npz --sizes 256x4 --seeds 3
    python -m examples.paper dominance --data cifar10.npz --images 5000 --epochs 10

========= ==========================================================================
mlps      Fig. 2, 3, 7, 8, 9: perceptrons on Fashion-MNIST against lam, Bagging,
          members dropped at random, and the losses of ensemble and mean member
dominance Fig. 5, 6: convolutional networks on CIFAR-10, each member's error by epoch
          and its first layer, at lam = 1 and 0
========= ==========================================================================

Every run is a row of a CSV file named as the command, with what it was by epoch, by
member or with members dropped in others beside it. A run that is in the files is not
run again, so that a command may be interrupted and given again.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from examples._data import load_data, load_photographs
from examples.paper._convnets import Photographs, draw_members, standardised
from examples.paper._convnets import run as run_convnets
from examples.paper._mlps import LAMS, SIZES, dropped, run
from examples.paper._mlps_figures import (
    draw_dropped,
    draw_errors,
    draw_losses,
    table,
)
from examples.paper._store import Store, provenance

KEYS = ("size", "method", "lam", "seed", "n_epochs")


def mlps(options: argparse.Namespace) -> None:
    """Runs of Fig. 2, 3, 7, 8 and 9, and what they show."""
    data = load_data("Fashion-MNIST", options.data)
    # A run is known once its last rows are.
    store = Store(options.out, ("mlps_epochs", "mlps_dropped", "mlps"), KEYS)
    origin = provenance(_command())
    for asked in tqdm(_asked(options), unit="run"):
        if asked in store:
            continue
        size, method, lam, seed, n_epochs = (asked[key] for key in KEYS)
        is_bagging = method == "bagging"
        outcome = run(data, size, lam, seed, n_epochs, options.device, is_bagging)
        parts = {
            "mlps_epochs": outcome.epochs,
            "mlps_dropped": list(dropped(outcome.ensemble, data, seed)),
            "mlps": [{**row, **origin} for row in outcome.final],
        }
        store.add(asked, parts)
    runs = store.rows("mlps")
    text = table(runs)
    (options.out / "mlps.md").write_text(text + "\n")
    draw_errors(runs, options.out / "mlps_errors.png")
    draw_losses(runs, options.out / "mlps_losses.png")
    draw_dropped(store.rows("mlps_dropped"), options.out / "mlps_dropped.png")
    print(text)


def dominance(options: argparse.Namespace) -> None:
    """Runs of Fig. 5 and 6, and their pictures."""
    X, y = load_photographs(options.data)
    drawn = np.random.RandomState(0).permutation(len(y))[: options.images]
    X_test, y_test = load_photographs(options.data, "test")
    data = Photographs(
        *(standardised(X[drawn]), y[drawn], standardised(X_test), y_test)
    )
    keys = ("widths", "lam", "seed", "n_epochs", "n_images")
    store = Store(options.out, ("dominance_members", "dominance"), keys)
    origin = provenance(_command())
    widths = "-".join(map(str, options.widths))
    lams = [lam for lam in options.lams if lam in (0.0, 1.0)]
    for seed, lam in tqdm(list(product(range(options.seeds), lams)), unit="run"):
        n_epochs = options.epochs
        values = (widths, lam, seed, n_epochs, len(drawn))
        asked = dict(zip(keys, values, strict=True))
        if asked in store:
            continue
        ensemble, of_members = run_convnets(
            data, tuple(options.widths), lam, seed, n_epochs, options.device
        )
        figures = {
            "error": 1 - ensemble.score(data.X_test, data.y_test),
            "best_member_error": 1
            - ensemble.score_members(X=data.X_test, y=y_test).max(),
            "effective_members": of_members[-1]["effective_members"],
        }
        store.add(
            asked,
            {"dominance_members": of_members, "dominance": [{**figures, **origin}]},
        )
        if seed == 0:
            name = f"dominance_lam_{lam:g}"
            draw_members(ensemble, options.out / name)


def _asked(options: argparse.Namespace) -> list[dict]:
    """Runs, one seed after the other, so that what is there is even."""
    return [
        dict(zip(KEYS, (size, method, lam, seed, options.epochs), strict=True))
        for seed in range(options.seeds)
        for size in options.sizes
        for method in options.methods
        # One network has no use for lam, and Bagging trains members by themselves.
        for lam in (options.lams if method == "joint" and size != "1x1024" else [0.0])
        if not (method == "bagging" and size == "1x1024")
    ]


def _command() -> str:
    """As it was given, without where files lie on this machine."""
    arguments = [Path(a).name if Path(a).is_absolute() else a for a in sys.argv[1:]]
    return " ".join(["python -m examples.paper", *arguments])


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("what", choices=["mlps", "dominance"])
    add("--data", type=Path, help="npz file of the images (default: from OpenML)")
    add("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    add("--lams", type=float, nargs="+", default=list(LAMS))
    add("--methods", nargs="+", choices=["joint", "bagging"], default=["joint"])
    add("--seeds", type=int, default=3)
    add("--epochs", type=int, default=40)
    add("--images", type=int, default=50_000, help="of CIFAR-10, to train on")
    widths = [32, 64, 64, 128, 128]
    add("--widths", type=int, nargs=5, default=widths, help="filters of a ConvNet")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--out", type=Path, default=Path("output/paper"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = parse_options()
    {"mlps": mlps, "dominance": dominance}[given.what](given)

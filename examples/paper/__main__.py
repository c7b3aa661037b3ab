"""The figures of Webb et al. (2020), each by one command.

::

    python -m examples.paper mlps --data fashion_mnist.npz --sizes 256x4 --seeds 3

===== ==============================================================================
mlps  Fig. 2, 3, 7, 8, 9: perceptrons on Fashion-MNIST against lam, Bagging, members
      dropped at random, and the losses of ensemble and mean member
===== ==============================================================================

Every run is a row of ``mlps.csv`` for each split, with what each epoch was in
``mlps_epochs.csv`` and what is left with members dropped in ``mlps_dropped.csv``. A run
that is in the files is not run again, so that a command may be interrupted and given
again.
"""

import argparse
import sys
from pathlib import Path

import torch
from tqdm.auto import tqdm

from examples._data import load_data
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
    add("what", choices=["mlps"])
    add("--data", type=Path, help="npz file of Fashion-MNIST (default: from OpenML)")
    add("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    add("--lams", type=float, nargs="+", default=list(LAMS))
    add("--methods", nargs="+", choices=["joint", "bagging"], default=["joint"])
    add("--seeds", type=int, default=3)
    add("--epochs", type=int, default=40)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--out", type=Path, default=Path("output/paper"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    {"mlps": mlps}[(given := parse_options()).what](given)

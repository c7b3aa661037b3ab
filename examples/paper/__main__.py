"""The figures of Webb et al. (2020), each by one command.

::

    python -m examples.paper mlps --sizes 256x4 64x16 1x1024 --seeds 3
    python -m examples.paper mlps --sizes 256x4 --methods bagging stacking
    python -m examples.paper capacity
    python -m examples.paper dominance
    python -m examples.paper densenets --names DN-High

========= ==========================================================================
mlps      Fig. 2, 3, 7, 8, 9: perceptrons on Fashion-MNIST against lam, Bagging and
          Stacking; members dropped at random; losses of ensemble and mean member.
          Beyond the paper: lam close to 1, wrong labels, few images
capacity  Fig. 4: the best lam of 16 members, from small to large
dominance Fig. 5, 6: each member's error by epoch and its first layer, and whether the
          member that leads after three epochs leads at the end
densenets Table 2: ensembles of DenseNets, Bagging and Stacking
========= ==========================================================================

``--help`` after a name says what may be chosen. Defaults are the paper's, where they
are not too much for a CPU. Every run is some rows of a CSV file named as the command,
with what it was by epoch, by member or with members dropped in others beside it. A run
that is in the files is not run again, so that a command may be interrupted and given
again; a table and pictures are made of all that is there.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from examples.paper import capacity, densenets, dominance, mlps

COMMANDS = {
    "mlps": mlps,
    "capacity": capacity,
    "dominance": dominance,
    "densenets": densenets,
}


DATA = "npz file with X_train, y_train, X_test and y_test"
RULES = [
    ("seeds", "at least 1", lambda value: value >= 1),
    ("images", "at least 1", lambda value: value >= 1),
    ("epochs", "at least 1", lambda value: value >= 1),
    ("lams", "in the range [0, 1]", lambda value: 0 <= value <= 1),
    ("flipped", "in the range [0, 1)", lambda value: 0 <= value < 1),
]


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        own = commands.add_parser(
            name, description=module.__doc__, formatter_class=raw, allow_abbrev=False
        )
        add = own.add_argument
        add("--data", type=Path, help=f"{DATA} (default: from OpenML)")
        add("--seeds", type=int, default=1)
        add("--images", type=int, help="to learn from, drawn by class (default: all)")
        add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        add("--out", type=Path, default=Path("output/paper"))
        module.add_options(add)
    options = parser.parse_args(arguments)
    for name, rule, keeps in RULES:
        for value in np.ravel(getattr(options, name, None)):
            if value is not None and not keeps(value):
                parser.error(f"--{name} must be {rule}. Got {value} instead.")
    given = sys.argv[1:] if arguments is None else arguments
    return argparse.Namespace(**vars(options), given=given)


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and show all that is there."""
    options = parse_options(arguments)
    COMMANDS[options.command].main(options)


if __name__ == "__main__":
    main()

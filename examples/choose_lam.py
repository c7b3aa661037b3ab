"""Which lam, and when? One search for each size of member, on two data sets.

::

    python examples/choose_lam.py
    python examples/choose_lam.py --data fashion_mnist.npz --out docs/images
    python examples/choose_lam.py --quick

Ensembles of about as many parameters are made of many small members or of few large
ones, and `JointEnsembleClassifierCV` looks for the best lam of each. All of them are
trained alike: Adam at one learning rate, until the ensemble's loss on a fifth of its
training rows has not improved for a number of epochs, and the best epoch is restored.
So none is at a loss because it learns more slowly than another. The whole takes some
ten minutes on one core.
"""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _data import Data, find_commit, load_data
from _lam_report import draw_curves, draw_display, draw_map, write_tables
from sklearn.metrics import accuracy_score
from sklearn.model_selection import StratifiedKFold
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from tqdm.auto import tqdm

from sklearn_jointens import JointEnsembleClassifierCV, mlp_classifier
from sklearn_jointens.nn import MLP

FASHION_MNIST = "Fashion-MNIST"


class Searched(NamedTuple):
    """A fitted search for the lam of members of one size.

    Attributes
    ----------
    data : str
    n_rows : int
        That the folds are made of.
    n_members : int
    hidden : tuple of int
        Units of a member's hidden layers.
    n_parameters : int
        Of all members.
    search : JointEnsembleClassifierCV
    seconds : float
        That the search took, with the final fit.
    """

    data: str
    n_rows: int
    n_members: int
    hidden: tuple[int, ...]
    n_parameters: int
    search: Any
    seconds: float


def accuracy_of_half(ensemble: Any, X: Any, y: Any) -> float:
    """Accuracy when the second half of the members is dropped.

    A single member, which the search scores too, has no half.
    """
    n_members = getattr(ensemble, "n_estimators", None)
    half = {} if n_members is None else {"members": range((n_members + 1) // 2)}
    return accuracy_score(y, ensemble.predict(X, **half))


SCORING = {
    "neg_log_loss": "neg_log_loss",
    "accuracy": "accuracy",
    "accuracy_of_half": accuracy_of_half,
}


def n_parameters(data: Data, hidden: tuple[int, ...]) -> int:
    """Of one member."""
    member = MLP(data.n_features, data.n_classes, hidden)
    return sum(weight.numel() for weight in member.parameters())


def sizes(data: Data, n_units: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Numbers of members and their hidden layers, from many small to few large ones.

    One hidden layer each, of `n_units` in all members together; and last, four members
    of three hidden layers that are as wide as the same number of parameters allows.
    """
    for n_members in (n_units // 4, n_units // 16, 4):
        yield n_members, (n_units // n_members,)
    most = n_parameters(data, (n_units // 4,))
    width = 1
    while n_parameters(data, (width + 1,) * 3) <= most:
        width += 1
    yield 4, (width,) * 3


def search_lam(
    data: Data, n_members: int, hidden: tuple[int, ...], options: Any
) -> Searched:
    """Look for the lam of members of this size."""
    member = mlp_classifier(
        hidden,
        lr=options.lr,
        max_epochs=options.epochs,
        train_split=ValidSplit(5, stratified=True),
        callbacks=[("stop", EarlyStopping(patience=options.patience, load_best=True))],
        device=options.device,
    )
    search = JointEnsembleClassifierCV(
        member,
        n_members,
        lams=options.lams,
        cv=StratifiedKFold(3, shuffle=True, random_state=options.seed),
        scoring=SCORING,
        n_repeats=options.repeats,
        refit="neg_log_loss",
        selection="one_standard_error",
        random_state=options.seed,
    )
    start = time.perf_counter()
    search.fit(data.X_train, data.y_train)
    seconds = time.perf_counter() - start
    return Searched(
        data.name,
        len(data.X_train),
        n_members,
        hidden,
        n_members * n_parameters(data, hidden),
        search,
        seconds,
    )


def provenance(options: argparse.Namespace, commit: str, seconds: float) -> str:
    """The command, the state of the code and the machine."""
    # Where files lie on this machine is nobody's business.
    arguments = [a if not Path(a).is_absolute() else Path(a).name for a in sys.argv[1:]]
    return (
        f"`{shlex.join(['python', 'examples/choose_lam.py', *arguments])}`, "
        f"{seconds:.0f} s on {os.cpu_count()} CPU cores, torch threads: "
        f"{torch.get_num_threads()}, torch: {torch.__version__}, device: "
        f"{options.device}, commit: {commit}"
    )


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="npz file of Fashion-MNIST (default: from OpenML)")
    add(
        "--only",
        nargs="+",
        choices=["digits", FASHION_MNIST],
        default=["digits", FASHION_MNIST],
    )
    add("--rows", type=int, default=4500, help=f"of {FASHION_MNIST}")
    add("--units", type=int, default=256, help="hidden units of all members")
    lams = [0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0]
    add("--lams", type=float, nargs="+", default=lams)
    add("--lr", type=float, default=0.002, help="of each member, for Adam")
    add("--epochs", type=int, default=400, help="at most")
    add("--patience", type=int, default=10, help="epochs without improvement")
    add("--repeats", type=int, default=3, help="of the folds")
    add("--seed", type=int, default=0)
    add("--device", default="cpu")
    add("--out", type=Path, default=Path("output"), help="folder for the results")
    add("--quick", action="store_true", help="digits alone, tiny: does it run?")
    options = parser.parse_args(arguments)
    if options.quick:
        options.only, options.units, options.lams = ["digits"], 32, [0.0, 0.9, 1.0]
        options.epochs, options.repeats = 4, 1
    return options


def main() -> None:
    """Search, and write pictures and tables."""
    options, commit = parse_options(), find_commit()
    tasks = []
    for name in options.only:
        is_digits = name == "digits"
        data = load_data(
            name,
            None if is_digits else options.data,
            train_size=None if is_digits else options.rows,
            seed=options.seed,
        )._replace(name=name)
        tasks += [(data, *size) for size in sizes(data, options.units)]
    searched = [search_lam(*task, options) for task in tqdm(tasks, unit="search")]
    options.out.mkdir(parents=True, exist_ok=True)
    line = provenance(options, commit, sum(one.seconds for one in searched))
    print(write_tables(searched, line, options.out))
    for name in options.only:
        of_data = [one for one in searched if one.data == name]
        path = options.out / f"choose_lam_{name.lower().replace('-', '_')}.png"
        draw_curves(of_data, path)
    draw_display(searched[0], options.out / "choose_lam_display.png")
    draw_map(searched, options.out / "choose_lam.png")
    print(f"Written to {options.out}: choose_lam*.png, .csv and .md")


if __name__ == "__main__":
    main()

"""What is inside ensembles of small networks, from independent to end to end.

::

    python -m examples.see_inside --dataset fashion_mnist
    python -m examples.see_inside --dataset digits --seeds 5

One ensemble for each lam, with the same initial weights and batches, by the protocol of
Webb et al. (2020): one hidden layer, SGD with momentum 0.9 and a member's learning rate
of 0.02 (0.006 from lam = 0.99 on), batches of 100, the epoch with the highest accuracy
of the ensemble on a sixth of the training rows. What is shown is measured on test rows
that nothing was chosen by.

Rows that are of no class, to see which measure of uncertainty tells them: CIFAR-10 in
grey, scaled down, for Fashion-MNIST; test rows with their pixels permuted, a new order
for each row, for digits.

Each fitted ensemble is kept in a file of the output folder, and not fitted again.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from examples._data import Data, load_data, load_photographs
from examples._inside import INSPECTIONS, Run, Subject
from examples.paper._protocols import Case, perceptrons
from examples.paper._run import divided
from sklearn_jointens import JointEnsembleClassifier

SIDE = 28


class Task(NamedTuple):
    """Images, and the ensembles that learn them.

    Attributes
    ----------
    source : str
        Name of the data set in scikit-learn or OpenML.
    n_members, hidden, epochs : int
    odd_rows : callable
        Rows that are of no class, of the data and the file of other images.
    odd : str
        What they are.
    """

    source: str
    n_members: int
    hidden: int
    epochs: int
    odd_rows: Callable[[Data, Path | None], np.ndarray]
    odd: str


def permuted(data: Data, path: Path | None) -> np.ndarray:
    """Test rows, the pixels of each in an order of their own."""
    return np.random.default_rng(0).permuted(data.X_test, axis=1)


def grey_photographs(data: Data, path: Path | None) -> np.ndarray:
    """CIFAR-10's test images as Fashion-MNIST has its own: grey, and of its size."""
    photographs, _ = load_photographs(path, "test")
    images = map(Image.fromarray, photographs)
    grey = [np.asarray(each.convert("L").resize((SIDE, SIDE))) for each in images]
    rows = np.stack(grey).reshape(len(grey), -1).astype(np.float32)
    # The mean and deviation of Fashion-MNIST's own training pixels (Webb et al. 2020).
    return (rows / 255 - np.float32(0.2860)) / np.float32(0.3530)


TASKS = {
    "fashion_mnist": Task(
        "Fashion-MNIST", 256, 4, 40, grey_photographs, "CIFAR-10 in grey"
    ),
    "digits": Task("digits", 32, 4, 100, permuted, "digits with permuted pixels"),
}


def fitted(data: Data, lam: float, seed: int, options: argparse.Namespace) -> Run:
    """The ensemble of a lam, from its file where it has been fitted before."""
    protocol = perceptrons(options.members, options.hidden)
    n_images = len(data.y_train)
    case = Case(data.name, "", "joint", lam, seed, options.epochs, n_images)
    learnt, valid = divided(data, protocol, case)
    name = f"{data.name}_{options.members}x{options.hidden}_{options.epochs}_{lam:g}"
    path = options.out / "ensembles" / f"{name}_{seed}.jointens"
    if path.exists():
        member = protocol.member(case, valid, options.device)
        loaded = JointEnsembleClassifier.load(path, estimator=member)
        return Run(lam, seed, loaded, valid.X, valid.y)
    ensemble = protocol.ensemble(case, valid, options.device)
    ensemble.fit(learnt.X_train, learnt.y_train)
    path.parent.mkdir(parents=True, exist_ok=True)
    ensemble.save(path)
    return Run(lam, seed, ensemble, valid.X, valid.y)


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--dataset", choices=TASKS, default="digits")
    add("--data", type=Path, help="an .npz file in place of what is fetched")
    add("--odd-data", type=Path, help="the same, for rows that are of no class")
    add("--lams", type=float, nargs="+", default=[0.0, 0.5, 0.95, 0.99, 1.0])
    add("--members", type=int, help="number of members")
    add("--hidden", type=int, help="hidden units of a member")
    add("--epochs", type=int)
    add("--seeds", type=int, default=1)
    add("--only", nargs="+", choices=INSPECTIONS, default=list(INSPECTIONS))
    add("--device", default="cpu")
    add("--out", type=Path, default=Path("output"), help="folder for the results")
    options = parser.parse_args(arguments)
    task = TASKS[options.dataset]
    options.members = options.members or task.n_members
    options.hidden = options.hidden or task.hidden
    options.epochs = options.epochs or task.epochs
    return options


def main() -> None:
    """Fit, inspect, and write tables and pictures."""
    options = parse_options()
    task = TASKS[options.dataset]
    data = load_data(task.source, options.data)
    keys = [(lam, seed) for seed in range(options.seeds) for lam in options.lams]
    runs = [fitted(data, *key, options) for key in tqdm(keys, unit="ensemble")]
    subject = Subject(runs, data, task.odd_rows(data, options.odd_data), task.odd)
    for name in options.only:
        path = options.out / f"inside_{options.dataset}_{name}"
        text = INSPECTIONS[name](subject, path)
        path.with_suffix(".md").write_text(text + "\n")
        print(f"\n{text}")
        print(f"Written: {path}.md")


if __name__ == "__main__":
    main()

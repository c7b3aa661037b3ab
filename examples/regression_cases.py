"""Cases in which joint training helps a regression, and in which it does not.

::

    python examples/regression_cases.py
    python examples/regression_cases.py --only "many small members" --seeds 3

The error on test rows by lam, of three ensembles that are trained alike: Adam, 100
epochs, inputs and targets standardised. Friedman's first function is smooth, has
interactions, and noise of standard deviation 1, below which no error can fall; diabetes
is small and mostly noise.

Each seed draws rows, initial weights and batches anew, the same for every lam. Every
fit is a row of the CSV file as soon as it is done, and is not done again.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from _regression_report import draw, markdown
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from sklearn_jointens import JointEnsembleRegressor, mlp_regressor

KEYS = ["case", "lam", "seed", "epochs"]


def friedman(seed: int) -> list[np.ndarray]:
    """1,000 rows to train on and 2,000 to test on."""
    X, y = make_friedman1(3000, noise=1.0, random_state=seed)
    return train_test_split(X, y, train_size=1000, random_state=seed)


def diabetes(seed: int) -> list[np.ndarray]:
    """294 rows to train on and 148 to test on."""
    X, y = load_diabetes(return_X_y=True)
    return train_test_split(X, y, test_size=1 / 3, random_state=seed)


class Case(NamedTuple):
    """An ensemble on data.

    Attributes
    ----------
    split : callable
        Gives X_train, X_test, y_train and y_test of a seed.
    n_members, hidden : int
        Of networks with one hidden layer.
    """

    split: Callable[[int], list[np.ndarray]]
    n_members: int
    hidden: int


CASES = {
    "many small members": Case(friedman, 32, 2),
    "few large members": Case(friedman, 8, 64),
    "small members, little data": Case(diabetes, 32, 4),
}


def measure(case: Case, lam: float, seed: int, epochs: int) -> float:
    """RMSE on the test rows."""
    X, X_test, y, y_test = case.split(seed)
    member = mlp_regressor((case.hidden,), max_epochs=epochs, device="cpu")
    ensemble = JointEnsembleRegressor(member, case.n_members, lam, random_state=seed)
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), ensemble), transformer=StandardScaler()
    )
    return root_mean_squared_error(y_test, model.fit(X, y).predict(X_test))


def run(options: argparse.Namespace, path: Path) -> pd.DataFrame:
    """Fit what the file does not hold yet; the rows that are asked for."""
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=[*KEYS, "rmse"])
    known = set(rows[KEYS].itertuples(index=False, name=None))
    asked = [
        (name, lam, seed, options.epochs)
        for name in options.only
        for seed in range(options.seeds)
        for lam in options.lams
    ]
    for key in tqdm([key for key in asked if key not in known], unit="fit"):
        name, *settings = key
        row = dict(zip(KEYS, key, strict=True))
        row["rmse"] = measure(CASES[name], *settings)
        is_new = not path.exists()
        pd.DataFrame([row]).to_csv(path, mode="a", header=is_new, index=False)
    return pd.read_csv(path).set_index(KEYS).loc[asked].reset_index()


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    lams = [0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0]
    add("--lams", type=float, nargs="+", default=lams)
    add("--seeds", type=int, default=10)
    add("--epochs", type=int, default=100)
    add("--out", type=Path, default=Path("output"), help="folder for the results")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, and write a CSV file, a table and a picture."""
    options = parse_options()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "regression_cases.csv"
    rows = run(options, path)
    said = {
        name: f"{case.split.__name__}: {case.n_members} x {case.hidden}"
        for name, case in CASES.items()
    }
    text = markdown(rows, said)
    path.with_suffix(".md").write_text(text + "\n")
    print(f"\n{text}")
    draw(rows, said, path.with_suffix(".png"))
    print(f"Written: {path}, .md and .png")


if __name__ == "__main__":
    main()

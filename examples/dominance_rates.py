"""How often a warning of a dominant member comes, and how often it should not have.

::

    python examples/dominance_rates.py
    python examples/dominance_rates.py --tables TABLES --data fashion_mnist.npz \
--out docs/images
    python examples/dominance_rates.py --half design
    python examples/dominance_rates.py --quick

Fits of several groups, each with data, seed and settings drawn by its number. Whether
one member dominates is judged at the END of a fit: its effective members (mean gains
of the last three epochs) are at most the root of their number. A warning counts as
detection when it comes before those epochs; some come within three epochs of the first
in which the ensemble knows something of the targets. It counts as a false alarm
whenever it comes. The warning's constants were chosen on the data of ``--half design``;
those of ``--half report`` are others. Finished fits are kept in the CSV file, so that a
second call goes on where the first has ended.
"""

import argparse
import math
import os
import shlex
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from _data import as_numbers, find_commit
from _report import markdown_table
from _tables import Table, halves, load_tables, table_names
from scipy.stats import binomtest
from sklearn import datasets
from sklearn.preprocessing import scale
from torch import nn
from tqdm.auto import tqdm

from sklearn_jointens import (
    DivergenceError,
    JointEnsembleClassifier,
    JointEnsembleRegressor,
    MemberDominanceWarning,
    mlp_classifier,
    mlp_regressor,
)
from sklearn_jointens.nn import ConvNet
from sklearn_jointens.training import MemberNetClassifier
from sklearn_jointens.training._dominance import (
    LEARNED,
    dominant_member,
    effective_members,
)

IMAGES = "images"  # Fashion-MNIST
# Sets that come with scikit-learn, of each half; besides them, half of the tables.
SMALL_SETS = {
    "design": ["load_digits", "load_breast_cancer", "make_friedman1"],
    "report": ["load_wine", "load_diabetes", "make_friedman2", "images"],
}
LAMS = (0.5, 0.9, 0.95, 0.99)
# Epochs from the first in which the ensemble knows something of the targets, and epochs
# at the end, which say whether one member dominates and must be others.
N_FIRST = N_LAST = 3


class Group(NamedTuple):
    """Fits of one kind.

    Attributes
    ----------
    n_fits : int
    lams : tuple of float
        One of which is drawn.
    members : {"deep", "convolutional", "small", "default"}
    """

    n_fits: int
    lams: tuple[float, ...]
    members: str


GROUPS = {
    "deep MLPs, lam = 1": Group(80, (1.0,), "deep"),
    "ConvNets, lam = 1": Group(16, (1.0,), "convolutional"),
    "small MLPs, lam = 1": Group(150, (1.0,), "small"),
    "small MLPs, 0 < lam < 1": Group(150, LAMS, "small"),
    "few steps, lam > 0": Group(150, (0.5, 0.95, 1.0), "few"),
    "default member, lam = 1": Group(24, (1.0,), "default"),
    "default member, 0 < lam < 1": Group(24, LAMS, "default"),
    "deep MLPs, 0 < lam < 1": Group(24, LAMS, "deep"),
    "deep MLPs, lam = 0": Group(20, (0.0,), "deep"),
}


class Sources(NamedTuple):
    """Where data come from.

    Attributes
    ----------
    tables, images : Path or None
        ``None`` is OpenML.
    half : {"design", "report"}
    """

    tables: Path | None
    images: Path | None
    half: str

    def names(self) -> list[str]:
        """Of the half's tables."""
        which = list(SMALL_SETS).index(self.half)
        tasks = ("classification", "regression")
        return [n for t in tasks for n in halves(table_names(self.tables, t))[which]]

    def table(self, name: str) -> Table:
        """A table as it is."""
        is_of_classes = name in table_names(self.tables, "classification")
        task = "classification" if is_of_classes else "regression"
        return next(load_tables(self.tables, [name], task))

    def numbers(self, name: str, rows: np.random.RandomState, n: int) -> Any:
        """Some rows, scaled; targets are class numbers, or scaled numbers."""
        if name == IMAGES:
            X, y = load_images(self.images)
        elif name in SMALL_SETS[self.half]:
            given = {"n_samples": n} if name.startswith("make") else {}
            options = {"random_state": rows} if given else {"return_X_y": True}
            X, y = getattr(datasets, name)(**given, **options)
        else:
            table = self.table(name)
            X, y = as_numbers(table.X), table.y
        drawn = rows.permutation(len(y))[:n]
        X, y = np.nan_to_num(X[drawn]), y[drawn]
        X = scale(X.reshape(len(X), -1).astype(np.float64)).astype(np.float32)
        if y.dtype.kind == "f":
            return X, scale(y).astype(np.float32)
        return X, np.unique(y, return_inverse=True)[1]


def load_images(path: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Fashion-MNIST's training images, 28 x 28, flat."""
    if path is None:
        fetched = datasets.fetch_openml("Fashion-MNIST", as_frame=False)
        return fetched.data[:60_000], fetched.target[:60_000].astype(int)
    with np.load(path) as arrays:
        return arrays["X_train"].reshape(60_000, -1), arrays["y_train"].astype(int)


class Images(ConvNet):
    """Convolutions of rows that are 28 x 28 pixels."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(1, n_classes, widths=(8, 16, 32, 32), strides=(2, 2, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of flat images."""
        return super().forward(x.unflatten(1, (1, 28, 28)))


def cases(group: str, half: str, n_fits: int) -> Iterator[dict[str, Any]]:
    """Settings of a group's fits."""
    seeds = np.random.SeedSequence([list(SMALL_SETS).index(half), *group.encode()])
    for number, seed in enumerate(seeds.generate_state(n_fits)):
        yield {"group": group, "number": number, "seed": int(seed)}


def fit(case: dict[str, Any], sources: Sources) -> dict[str, Any]:
    """Fit an ensemble, and tell what was warned of and how it has ended."""
    random = np.random.RandomState(case["seed"])
    lams, members = GROUPS[case["group"]][1:]
    lam = float(random.choice(lams))
    make = {
        "default": default_member,
        "convolutional": images_members,
        "few": perceptrons_of_few_steps,
    }
    build = make.get(members, perceptrons)
    name, X, y, member, n_members, said = build(random, sources, members)
    kind = JointEnsembleRegressor if y.dtype.kind == "f" else JointEnsembleClassifier
    ensemble = kind(member, n_members, lam=lam, random_state=case["seed"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            ensemble.fit(X, y)
        except DivergenceError:
            return {**case, "data": name, "member": said, "diverged": True}
    history = ensemble.history_
    gains = history[:, "train_member_gains"]
    epochs = range(1, len(gains) + 1)
    warned = any(w.category is MemberDominanceWarning for w in caught)
    # Where the rule has told first: the epoch of the warning.
    told = [e for e in epochs if dominant_member(history[:e]) is not None]
    last = np.mean(np.clip(gains[-N_LAST:], 0, None), axis=0)
    effective = effective_members(last)
    began = [e for e in epochs if np.mean(gains[e - 1]) >= LEARNED]
    result = {
        **case,
        "data": name,
        "diverged": False,
        "rows": len(y),
        "members": n_members,
        "member": said,
        "lam": lam,
        "epochs": len(gains),
        "warned": warned,
        "began": began[0] if began else None,
        "epoch": told[0] if warned else None,
        "loss_at_warning": history[told[0] - 1, "train_loss"] if warned else None,
        "first_loss": history[0, "train_loss"],
        "last_loss": history[-1, "train_loss"],
        "effective": round(effective, 3),
        "share": round(last.max() / max(last.sum(), 1e-12), 3),
        "dominated": bool(began) and effective <= np.sqrt(n_members),
    }
    if "train_member_accuracies" in history[-1]:
        accuracies = np.array(history[-1, "train_member_accuracies"])
        best = int(np.argmax(last))
        result["accuracy"] = round(accuracies[best], 3)
        result["others"] = round(np.median(np.delete(accuracies, best)), 3)
    return result


def perceptrons(random: Any, sources: Sources, members: str) -> tuple[Any, ...]:
    """Data and perceptrons: many of one small layer, or few of many layers."""
    is_deep = members == "deep"
    small_sets = SMALL_SETS[sources.half]
    names = small_sets if random.rand() < 0.5 else sources.names()
    name = random.choice(names)
    X, y = sources.numbers(name, random, 1500)
    if is_deep:
        hidden = (int(random.choice([32, 64])),) * random.randint(4, 8)
        n_members, steps = int(random.choice([4, 8, 10])), 1200
        batch_size = int(random.choice([16, 32]))
        rates = [*2 * [("SGD", 0.005), ("SGD", 0.01), ("SGD", 0.02)], ("Adam", 0.001)]
    else:
        hidden = (int(random.choice([2, 4, 8])),)
        n_members, steps = int(random.choice([8, 16, 32, 64, 128])), 400
        batch_size = int(random.choice([20, 50, 100]))
        rates = [("SGD", 0.006), ("SGD", 0.02), ("Adam", 0.003), ("Adam", 0.01)]
    optimizer, lr = rates[random.randint(len(rates))]
    epochs = int(np.clip(steps * batch_size / len(y), 8, 80))
    make = mlp_regressor if y.dtype.kind == "f" else mlp_classifier
    settings = optimizer_settings(optimizer)
    member = make(
        hidden,
        lr=lr,
        max_epochs=epochs,
        batch_size=batch_size,
        device="cpu",
        **settings,
    )
    said = f"{len(hidden)}x{hidden[0]} {optimizer} {lr:g}"
    return name, X, y, member, n_members, said


def perceptrons_of_few_steps(
    random: Any, sources: Sources, members: str
) -> tuple[Any, ...]:
    """A few rows and a few members, which an epoch brings on by a few steps only."""
    name = random.choice(SMALL_SETS[sources.half])
    X, y = sources.numbers(name, random, int(random.choice([75, 150, 300])))
    n_members, hidden = int(random.choice([2, 3, 4])), int(random.choice([2, 4, 8]))
    make = mlp_regressor if y.dtype.kind == "f" else mlp_classifier
    epochs = int(random.choice([20, 60]))
    member = make((hidden,), max_epochs=epochs, device="cpu")
    return name, X, y, member, n_members, f"1x{hidden} Adam 0.01"


def optimizer_settings(name: str) -> dict[str, Any]:
    """Of a skorch net."""
    options = {"optimizer__momentum": 0.9} if name == "SGD" else {}
    return {"optimizer": getattr(torch.optim, name), **options}


def images_members(random: Any, sources: Sources, members: str) -> tuple[Any, ...]:
    """Fashion-MNIST and convolutional networks; digits in the design half."""
    lr, n_members = float(random.choice([0.002, 0.005])), int(random.choice([4, 8]))
    X, y = sources.numbers(IMAGES, random, 1500)
    member = MemberNetClassifier(
        Images,
        criterion=nn.CrossEntropyLoss,
        lr=lr,
        max_epochs=16,
        batch_size=20,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **optimizer_settings("SGD"),
    )
    return IMAGES, X, y, member, n_members, f"conv SGD {lr:g}"


def default_member(random: Any, sources: Sources, members: str) -> tuple[Any, ...]:
    """A table as it is, and no member given."""
    table = sources.table(random.choice(sources.names()))
    rows = random.permutation(len(table.y))[:400]
    n_members = int(random.choice([8, 16]))
    return table.name, table.X.iloc[rows], table.y[rows], None, n_members, "default"


def summary(results: pd.DataFrame) -> str:
    """A Markdown table, a row a group."""
    heading = ("members", "fits", "diverged", "too short", "dominated at the end")
    heading += ("warned of in time", "and within 3 epochs", "not dominated")
    rows = [(*heading, "warned of", "effective members at the end")]
    for name, fits in results.groupby("group", sort=False):
        group = fits[~fits["diverged"]].astype({"warned": bool, "dominated": bool})
        n_left = group["epochs"] - group["epoch"]
        is_in_time = group["warned"] & (n_left >= N_LAST)
        is_early = is_in_time & (group["epoch"] - group["began"] < N_FIRST)
        # Learning has begun so late that first and last epochs are the same.
        n_epochs = group["epochs"] - group["began"] + 1
        is_short = group["dominated"] & (n_epochs < N_FIRST + N_LAST)
        is_dominated = group["dominated"] & ~is_short
        is_fine = ~group["dominated"]
        shares = (group["effective"] / group["members"]).quantile([0.1, 0.5, 0.9])
        rows.append(
            (
                *(str(name), str(len(fits)), str(len(fits) - len(group))),
                *(str(is_short.sum()), str(is_dominated.sum())),
                *(rate(is_in_time[is_dominated]), rate(is_early[is_dominated])),
                *(str(is_fine.sum()), rate(group.loc[is_fine, "warned"])),
                "{:.0%} ({:.0%} to {:.0%})".format(*shares[[0.5, 0.1, 0.9]]),
            )
        )
    return markdown_table(rows)


def rate(warned: pd.Series) -> str:
    """A share, with its exact 95 % interval."""
    if not len(warned):
        return ""
    found = binomtest(int(warned.sum()), len(warned))
    low, high = found.proportion_ci()
    share = f"{found.k} ({found.statistic:.1%}"
    return f"{share}; {low:.1%} to {high:.1%})"


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--tables", type=Path, help="folder of tables (default: from OpenML)")
    add("--data", type=Path, help="npz file of Fashion-MNIST (default: from OpenML)")
    add("--half", choices=list(SMALL_SETS), default="report")
    add("--scale", type=float, default=1.0, help="share of the fits of each group")
    add("--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    add("--out", type=Path, default=Path("output"), help="folder for the results")
    add("--quick", action="store_true", help="a fit of small MLPs: does it run?")
    options = parser.parse_args(arguments)
    if options.quick:
        options.groups, options.scale = ["small MLPs, lam = 1"], 0.01
    return options


def main() -> None:
    """Fit what is missing, and write the table."""
    options = parse_options()
    torch.set_num_threads(1)
    sources = Sources(options.tables, options.data, options.half)
    options.out.mkdir(parents=True, exist_ok=True)
    suffix = "" if options.half == "report" else f"_{options.half}"
    path = options.out / f"dominance_rates{suffix}.csv"
    done = pd.read_csv(path).to_dict("records") if path.exists() else []
    known = {(row["group"], row["number"]) for row in done}
    todo = [
        case
        for group in options.groups
        for case in cases(
            group, options.half, math.ceil(GROUPS[group][0] * options.scale)
        )
        if (case["group"], case["number"]) not in known
    ]
    for case in tqdm(todo, unit="fit"):
        start = time.process_time()
        done.append({**fit(case, sources), "seconds": 0.0})
        done[-1]["seconds"] = round(time.process_time() - start, 2)
        pd.DataFrame(done).to_csv(path, index=False)
    results = pd.DataFrame(done)
    results["place"] = results["group"].map(list(GROUPS).index)
    results = results.sort_values(["place", "number"]).drop(columns="place")
    results.to_csv(path, index=False)
    text = f"{provenance(results['seconds'].sum())}\n\n{summary(results)}\n"
    path.with_suffix(".md").write_text(text)
    print(text)


def provenance(seconds: float) -> str:
    """The command, the state of the code and the machine."""
    # Where files lie on this machine is nobody's business.
    arguments = [a if not Path(a).is_absolute() else Path(a).name for a in sys.argv[1:]]
    command = shlex.join(["python", "examples/dominance_rates.py", *arguments])
    return (
        f"`{command}`, {seconds:.0f} s of one core of {os.cpu_count()}-core x86-64 "
        f"CPU, torch: {torch.__version__}, commit: {find_commit()}"
    )


if __name__ == "__main__":
    main()

"""What choosing lam costs: all ensembles as one program, and each by itself."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from torch import Tensor

from examples.benchmarks._measure import Figure, figure, interleave
from examples.benchmarks._peak import (
    AVAILABLE,
    MEGABYTE,
    in_own_process,
    peak_megabytes,
)
from examples.benchmarks.mission import LAMS
from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    mlp_classifier,
)
from sklearn_jointens.training.groups import free_memory

TABLE_ROWS = 50_000
# In bytes; None is the default.
BUDGETS = (50e6, 200e6, None)

# Least time of GridSearchCV over that of the search with programs, by its processes.
SEVERAL_TIMES = {1: ">= 5", 2: ">= 3"}
AS_LONG = {1: ">= 1", 2: ">= 1"}

# Rows that start worker processes and load libraries, for which no search should pay.
_WARM_UP_ROWS = 500


@dataclass(frozen=True)
class Grid:
    """What is searched: ensembles of every lam on every fold.

    Parameters
    ----------
    subject : str
        Name of the ensembles.
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    member : skorch classifier
        With one hidden layer.
    lams : sequence of float
    n_folds, n_members : int
    """

    subject: str
    X: np.ndarray
    y: np.ndarray
    member: Any
    lams: tuple[float, ...] = tuple(LAMS)
    n_folds: int = 5
    n_members: int = 10

    def __str__(self) -> str:
        return f"{len(self.lams)} lams x {self.n_folds} folds of {len(self.X):,} rows"

    def together(
        self, n_jobs: int = 1, max_memory: float | None = None
    ) -> JointEnsembleClassifierCV:
        """The search that trains all ensembles of a process at once."""
        return JointEnsembleClassifierCV(
            self.member,
            self.n_members,
            self.lams,
            cv=self.n_folds,
            refit=False,
            n_jobs=n_jobs,
            max_memory=max_memory,
            random_state=0,
        )

    def one_by_one(self, n_jobs: int) -> GridSearchCV:
        """The search that trains the same ensembles each by itself."""
        ensemble = JointEnsembleClassifier(self.member, self.n_members, random_state=0)
        lams = {"lam": list(self.lams)}
        return GridSearchCV(ensemble, lams, cv=self.n_folds, refit=False, n_jobs=n_jobs)


def search(n_jobs: int, rounds: int, device: str) -> Iterator[Figure]:
    """`mlp_classifier` on digits."""
    grid = _on_digits(mlp_classifier(device=device))
    yield from compared("search", grid, n_jobs, rounds, SEVERAL_TIMES)


def search_stopping(n_jobs: int, rounds: int, device: str) -> Iterator[Figure]:
    """The same, where each ensemble stops when it gets no better."""
    member = mlp_classifier(
        max_epochs=40,
        train_split=ValidSplit(5, stratified=True),
        callbacks=[("stopping", EarlyStopping(patience=3, load_best=True))],
        device=device,
    )
    grid = _on_digits(member)
    yield from compared("search_stopping", grid, n_jobs, rounds, SEVERAL_TIMES)


def search_table(n_jobs: int, rounds: int, device: str) -> Iterator[Figure]:
    """Rows enough to keep the machine busy with one ensemble."""
    X, y = make_classification(
        TABLE_ROWS, 50, n_informative=30, n_classes=10, random_state=0
    )
    member = mlp_classifier(max_epochs=3, batch_size=256, device=device)
    grid = Grid("10x64", X.astype(np.float32), y, member, n_folds=3)
    yield from compared("search_table", grid, n_jobs, rounds, AS_LONG)


def search_memory(rounds: int) -> Iterator[Figure]:
    """Peak memory of a search on the CPU over what it may take."""
    if not AVAILABLE:
        print("search_memory: is measured on Linux only")
        return
    # What is held does not grow with the epochs.
    member = mlp_classifier((256,), max_epochs=1, device="cpu")
    grid = _on_digits(member, "16x256", lams=(0.0, 0.5, 0.9, 0.99, 1.0), n_members=16)
    for max_memory in BUDGETS:
        # Allocators do not do the same every time.
        found = [in_own_process(searching, grid, max_memory) for _ in range(rounds)]
        shares, n_programs = zip(*found, strict=True)
        bound = "" if max_memory is None else f"={max_memory / MEGABYTE:g} MB"
        what = f"peak memory of JointEnsembleClassifierCV / max_memory{bound}"
        what += f", {grid}, programs: {max(n_programs)}"
        yield figure("search_memory", grid.subject, what, shares, target="<= 1")


def compared(
    question: str, grid: Grid, n_jobs: int, rounds: int, targets: Mapping[int, str]
) -> Iterator[Figure]:
    """Time of searches one by one over that of programs, and their scores.

    All of them train and score the same ensembles, and do not refit. Worker processes
    are started before.

    Parameters
    ----------
    question : str
    grid : Grid
    n_jobs : int
        Processes of a search, beside one within this process.
    rounds : int
    targets : mapping of int to str
        By the processes.
    """
    processes = sorted({1, n_jobs})
    ours, theirs = (
        {n: f"{name}(n_jobs={n})" for n in processes}
        for name in ("JointEnsembleClassifierCV", "GridSearchCV")
    )
    searches: dict[str, Any] = {name: grid.together(n) for n, name in ours.items()}
    searches |= {name: grid.one_by_one(n) for n, name in theirs.items()}

    def tasks(n_rows: int) -> dict[str, Callable[[], Any]]:
        X, y = grid.X[:n_rows], grid.y[:n_rows]
        return {name: lambda one=one: one.fit(X, y) for name, one in searches.items()}

    whole, small = tasks(len(grid.X)), tasks(_WARM_UP_ROWS)
    # Nobody knows beforehand how many steps there are where ensembles stop early.
    if grid.member.train_split is None:
        whole["products"] = small["products"] = products(grid)
    times = interleave(whole, rounds, grid.member.device, small)
    for (n, rival), name in product(theirs.items(), ours.values()):
        ratio, what = times[rival] / times[name], f"{rival} / {name}, {grid}"
        yield figure(question, grid.subject, what, ratio, target=targets.get(n, ""))
    apart = 100 * np.ptp([_scores(one) for one in searches.values()], axis=0).max()
    what = "largest difference of a fold's accuracy between these searches"
    yield figure(question, grid.subject, what, apart, "points")
    if "products" in times:
        what = f"{ours[1]} / the matrix products of its steps alone"
        yield figure(question, grid.subject, what, times[ours[1]] / times["products"])


def products(grid: Grid) -> Callable[[], None]:
    """The matrix products of all steps of all ensembles, and nothing else.

    Those of both layers' outputs and of their gradients. Members on the same fold share
    their input.
    """
    member = grid.member
    (units,), batch = member.module__hidden_layer_sizes, member.batch_size
    n_rows = len(grid.X) * (grid.n_folds - 1) // grid.n_folds
    n_steps = member.max_epochs * n_rows // batch
    of_fold = len(grid.lams) * grid.n_members
    members, classes = grid.n_folds * of_fold, len(np.unique(grid.y))

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, device=member.device)

    X = zeros(grid.n_folds, grid.X.shape[1], batch)
    first = zeros(grid.n_folds, of_fold * units, grid.X.shape[1])
    second = zeros(members, classes, units)
    hidden, logits = first @ X, zeros(members, classes, batch)
    of_first, of_second = torch.empty_like(first), torch.empty_like(second)
    of_member = hidden.view(members, units, batch)

    def run() -> None:
        for _ in range(n_steps):
            torch.bmm(first, X, out=hidden)
            torch.bmm(second, of_member, out=logits)
            torch.bmm(logits, of_member.mT, out=of_second)
            torch.bmm(second.mT, logits, out=of_member)
            torch.bmm(hidden, X.mT, out=of_first)

    return run


def searching(grid: Grid, max_memory: float | None) -> tuple[float, int]:
    """Peak memory of a search as a share of what it may take, and its programs."""
    few = grid.X[:_WARM_UP_ROWS], grid.y[:_WARM_UP_ROWS]
    # Loads what libraries load late, and leaves little behind that could be used again.
    small = replace(grid, lams=grid.lams[:1], n_folds=2, n_members=1)
    small.together().fit(*few)
    budget = free_memory(grid.member.device) if max_memory is None else max_memory
    one = grid.together(max_memory=max_memory)
    peak = peak_megabytes(lambda: one.fit(grid.X, grid.y))
    return peak * MEGABYTE / budget, one.batching_.n_programs


def _on_digits(member: Any, subject: str = "10 mlp", **sizes: Any) -> Grid:
    X, y = load_digits(return_X_y=True)
    return Grid(subject, (X / 16).astype(np.float32), y, member, **sizes)


def _scores(search: Any) -> np.ndarray:
    """Of every ensemble, by fold and lam."""
    results = search.cv_results_
    folds = range(search.n_splits_)
    return np.array([results[f"split{k}_test_score"] for k in folds])

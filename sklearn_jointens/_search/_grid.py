"""Fitting one ensemble for every lam and every training set of a grid.

They are fitted as one program where that gives what fitting each by itself would give,
and otherwise each by itself.
"""

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from sklearn_jointens._compat import _safe_indexing
from sklearn_jointens._search._workshop import Trial, Workshop
from sklearn_jointens._watching import Given
from sklearn_jointens.training import (
    MemberDominanceWarning,
    interrupt,
    isolated_random_state,
)
from sklearn_jointens.training.groups import (
    batches_alike,
    free_memory,
    search_bar,
    train_groups,
    why_one_by_one,
)


class Split(NamedTuple):
    """Rows to train on, rows to score on, and the seed of what is trained there."""

    train: np.ndarray
    test: np.ndarray
    seed: int


class Fitted(NamedTuple):
    """One ensemble of a grid, or why there is none.

    Attributes
    ----------
    ensemble : joint ensemble or None
    error : Exception or None
    seconds : float
        That its fit took; in a program, the ensemble's share.
    """

    ensemble: Any
    error: Exception | None
    seconds: float


class Batching(NamedTuple):
    """How the ensembles of a search were trained, and why.

    Attributes
    ----------
    method : {"program", "one by one", "both"}
    reason : str
    n_programs : int
        How many programs there were.
    """

    method: str
    reason: str
    n_programs: int


class LamGrid:
    """Ensembles of every lam on every split.

    Parameters
    ----------
    ensemble : joint ensemble
        With all settings but `lam` and `random_state`, and what `fit` notes of X.
    lams : sequence of float
    splits : sequence of Split
    data : tuple
        X, y and sample_weight (or None) as they were given.
    checked : tuple
        The same as arrays.
    evaluate : callable
        ``evaluate(split, fitted)`` says what is kept of an ensemble.
    tasks : sequence of sequence of (Task or Unheard)
        The fits as callbacks hear of them, by lam and split.
    max_memory : float or None
        Bytes that programs may take beside the data; None is a share of what is free.
    n_jobs : int or None
        Processes that splits are divided among, or fits one by one.
    verbose : int
    """

    def __init__(
        self,
        ensemble: Any,
        lams: Sequence[float],
        splits: Sequence[Split],
        data: tuple,
        checked: tuple,
        evaluate: Callable[[Split, Fitted], Any],
        tasks: Sequence[Sequence[Any]],
        *,
        max_memory: float | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.ensemble, self.lams, self.splits = ensemble, lams, splits
        self.data, self.checked, self.evaluate = data, checked, evaluate
        self.tasks = tasks
        self.max_memory, self.n_jobs, self.verbose = max_memory, n_jobs, verbose
        self.prototype = ensemble._resolve_prototype()
        self.kept: dict[tuple[int, int], Any] = {}
        self.n_programs = 0
        self.refusals: list[str] = []

    def run(self) -> list[list[Any]]:
        """What is kept of each ensemble, by lam and split."""
        X, y, weight = self.checked
        trials: dict[int, Trial] = {}
        for s, split in enumerate(self.splits):
            try:
                trials[s] = Trial(
                    self.ensemble,
                    self.prototype,
                    split.train,
                    split.seed,
                    X,
                    y,
                    weight,
                )
            except ValueError as error:
                for i in range(len(self.lams)):
                    self.tasks[i][s].begin()
                    self._keep(i, s, Fitted(None, error, 0.0))
        for alike in _groupby(trials, lambda s: trials[s].kind):
            self._fit({s: trials[s] for s in alike})
        n_lams, n_splits = len(self.lams), len(self.splits)
        return [[self.kept[i, s] for s in range(n_splits)] for i in range(n_lams)]

    def _budget(self) -> float:
        if self.max_memory is None:
            return free_memory(self.prototype.device)
        return self.max_memory

    def _fit_in_processes(self, splits: Sequence[int], n_processes: int) -> None:
        """Fit these splits' ensembles as programs of several processes."""
        parts = _parts(range(len(self.lams)), splits, n_processes)
        n_processes = len(parts)
        grids = [
            LamGrid(
                self.ensemble,
                [self.lams[i] for i in lams],
                [self.splits[s] for s in of_part],
                self.data,
                self.checked,
                self.evaluate,
                [[self.tasks[i][s] for s in of_part] for i in lams],
                max_memory=self._budget() / n_processes,
                verbose=self.verbose,
            )
            for lams, of_part in parts
        ]
        done = Parallel(n_jobs=n_processes)(delayed(_run)(grid) for grid in grids)
        for (lams, of_part), (kept, n_programs, refusals) in zip(
            parts, done, strict=True
        ):
            self.n_programs += n_programs
            self.refusals += refusals
            for i, of_lam in zip(lams, kept, strict=True):
                for s, one in zip(of_part, of_lam, strict=True):
                    self.kept[i, s] = one

    @property
    def batching(self) -> Batching:
        """How the ensembles were trained."""
        if self.refusals:
            reason = "; ".join(dict.fromkeys(self.refusals))
            method = "both" if self.n_programs else "one by one"
            return Batching(method, reason, self.n_programs)
        reason = "the ensembles do not affect one another"
        return Batching("program", reason, self.n_programs)

    def _keep(self, lam_index: int, split_index: int, fitted: Fitted) -> None:
        kept = self.evaluate(self.splits[split_index], fitted)
        self.kept[lam_index, split_index] = kept
        self.tasks[lam_index][split_index].end()

    def _fit(self, trials: dict[int, Trial]) -> None:
        """Fit ensembles whose nets are alike."""
        X, y, _ = self.checked
        one = next(iter(trials.values()))
        workshop = Workshop(self.ensemble, X)
        with isolated_random_state(one.training_seed, self.prototype.device) as reseed:
            net = workshop.first_net(one, reseed)
            refused = why_one_by_one(net, net.get_dataset(X[:1], y[:1]))
        if refused is not None:
            places = [(i, s) for i in range(len(self.lams)) for s in trials]
            self._fit_one_by_one(places, refused)
            return
        n_ensembles = len(self.lams) * len(trials)
        n_processes = min(effective_n_jobs(self.n_jobs), n_ensembles)
        if n_processes > 1:
            self._fit_in_processes(list(trials), n_processes)
            return
        with isolated_random_state(one.training_seed, self.prototype.device) as reseed:
            for trial in trials.values():
                trial.open_stream(net, workshop.dataset(net), reseed)
            n_together = workshop.n_together([*trials.values()], self._budget())
        for alike in _groupby(trials, lambda s: batches_alike(net, trials[s].stream)):
            for chunk in _chunks(alike, len(self.lams), n_together):
                self._fit_program(workshop, trials, chunk)

    def _fit_program(
        self,
        workshop: Workshop,
        trials: dict[int, Trial],
        chunk: list[tuple[int, range]],
    ) -> None:
        """Fit the ensembles at these splits and lams as one program."""
        started = time.perf_counter()
        places = [(i, s) for s, lams in chunk for i in lams]
        one = trials[chunk[0][0]].prototype
        self._say(f"Training {_ensembles(len(places))} as one program.")
        groups = None
        workshop.forget(but={trials[s].start for s, _ in chunk})
        ensembles = {
            (i, s): workshop.unfitted(trials[s], self.lams[i]) for i, s in places
        }
        with isolated_random_state(0, self.prototype.device) as reseed:
            nets = {
                (i, s): workshop.net(trials[s], self.lams[i], reseed) for i, s in places
            }
            streams = [
                (trials[s].stream, [nets[i, s] for i in lams]) for s, lams in chunk
            ]
            try:
                with self._watched(workshop, trials, ensembles, nets):
                    groups = train_groups(one, streams, self.verbose > 0)
            except Exception as error:
                failure = f"a program failed ({type(error).__name__}: {error})"
        del nets, streams
        if groups is None:
            self._fit_one_by_one(places, failure)
            return
        self.n_programs += 1
        seconds = (time.perf_counter() - started) / len(places)
        for (i, s), group in zip(places, groups, strict=True):
            fitted, unfitted = None, ensembles.pop((i, s))
            if group.error is None:
                fitted = workshop.fitted(unfitted, trials[s], group.net)
            self._keep(i, s, Fitted(fitted, group.error, seconds))

    @contextmanager
    def _watched(
        self,
        workshop: Workshop,
        trials: dict[int, Trial],
        ensembles: dict[tuple[int, int], Any],
        nets: dict[tuple[int, int], Any],
    ) -> Iterator[None]:
        """A block that trains the nets of these ensembles side by side."""
        with ExitStack() as stack:
            for (i, s), ensemble in ensembles.items():
                given = Given(*self.data).at(self.splits[s].train)
                stack.enter_context(self.tasks[i][s].passed_to(ensemble))
                stack.enter_context(
                    workshop.watched(ensemble, trials[s], nets[i, s], given)
                )
            yield

    def _fit_one_by_one(self, places: Sequence[tuple[int, int]], reason: str) -> None:
        """Fit the ensembles at these lams and splits each by itself."""
        self.refusals.append(reason)
        self._say(f"Training {_ensembles(len(places))} one by one: {reason}.")
        fits = (
            delayed(_fit_alone)(
                clone(self.ensemble).set_params(
                    lam=self.lams[i], random_state=self.splits[s].seed
                ),
                self.data,
                self.splits[s],
                self.evaluate,
                self.tasks[i][s],
            )
            for i, s in places
        )
        done = Parallel(n_jobs=self.n_jobs, return_as="generator")(fits)
        with search_bar(len(places), "ensemble", self.verbose > 0) as bar:
            for place, kept in zip(places, done, strict=True):
                self.kept[place] = kept
                bar.update()

    def _say(self, message: str) -> None:
        if self.verbose:
            print(message)


def _ensembles(n: int) -> str:
    return f"{n} ensemble" if n == 1 else f"{n} ensembles"


def _run(grid: LamGrid) -> tuple[list[list[Any]], int, list[str]]:
    return grid.run(), grid.n_programs, grid.refusals


def fit_to_the_end(ensemble: Any, X: Any, y: Any, weight: Any) -> Any:
    """Fit an ensemble; Ctrl-C, which leaves a usable one, is raised all the same."""
    ensemble.fit(X, y, sample_weight=weight)
    if not ensemble.net_.has_ended_:
        interrupt()
    return ensemble


def _fit_alone(
    ensemble: Any,
    data: tuple,
    split: Split,
    evaluate: Callable[[Split, Fitted], Any],
    task: Any,
) -> Any:
    started = time.perf_counter()
    X, y, weight = (
        None if part is None else _safe_indexing(part, split.train) for part in data
    )
    error = None
    try:
        with task.passed_to(ensemble), warnings.catch_warnings():
            # As in a program: values of lam are there to be compared.
            warnings.simplefilter("ignore", MemberDominanceWarning)
            fit_to_the_end(ensemble, X, y, weight)
    except Exception as caught:
        ensemble, error = None, caught
    kept = evaluate(split, Fitted(ensemble, error, time.perf_counter() - started))
    task.end()
    return kept


def _groupby(
    items: Iterable[int], key: Callable[[int], Hashable]
) -> Iterator[list[int]]:
    """Items with the same key, in the order in which the keys come up."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    yield from groups.values()


def _parts(
    lams: Sequence[int], splits: Sequence[int], n_parts: int
) -> list[tuple[list[int], list[int]]]:
    """Lams or splits divided among processes, whichever leaves the largest smaller."""
    sizes = len(lams), len(splits)
    n_lams, n_splits = (-(-size // n_parts) for size in sizes)
    if n_lams * sizes[1] < n_splits * sizes[0]:
        parts = np.array_split(lams, min(n_parts, sizes[0]))
        return [(part.tolist(), list(splits)) for part in parts]
    parts = np.array_split(splits, min(n_parts, sizes[1]))
    return [(list(lams), part.tolist()) for part in parts]


def _chunks(
    splits: Sequence[int], n_lams: int, n_ensembles: int
) -> Iterator[list[tuple[int, range]]]:
    """Splits with their lams, so that no more ensembles than these come together.

    Whole splits where possible: their ensembles share their batches.
    """
    n_splits = n_ensembles // n_lams
    if n_splits:
        for first in range(0, len(splits), n_splits):
            chunk = splits[first : first + n_splits]
            yield [(s, range(n_lams)) for s in chunk]
        return
    for s in splits:
        for first in range(0, n_lams, n_ensembles):
            yield [(s, range(first, min(first + n_ensembles, n_lams)))]

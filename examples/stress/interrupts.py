"""Whether Ctrl-C ends a search wherever it comes, and leaves the search as it was.

::

    python -m examples.stress.interrupts                 # 300 interrupts, some minutes
    python -m examples.stress.interrupts --n 40 --seed 1

Small searches are interrupted at random moments, by a signal that another thread sends:
trained as one program, one by one, in two processes, and with most of the time spent on
the final fit. The exit status is 1 if an interrupt was lost, or left a search changed.
"""

import argparse
import re
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_iris
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit

from sklearn_jointens import JointEnsembleClassifierCV, mlp_classifier


class Own(Callback):
    """A callback of one's own, because of which ensembles are trained one by one."""


@dataclass
class Tally:
    """What became of the interrupts of one way.

    Attributes
    ----------
    way : str
    raised, lost : int
        Interrupts that `fit` raised, and that it returned in spite of.
    changed : int
        Those of `raised` after which the search was not what it had been.
    late : int
        Those that came after the end, and do not count.
    """

    way: str
    raised: int = 0
    lost: int = 0
    changed: int = 0
    late: int = 0

    @property
    def passed(self) -> bool:
        return not self.lost and not self.changed

    def __str__(self) -> str:
        line = (
            f"{self.way}: {self.raised} of {self.raised + self.lost} raised, "
            f"{self.changed} left the search changed"
        )
        return f"{line} ({self.late} came after the end)" if self.late else line


def searches() -> dict[str, JointEnsembleClassifierCV]:
    """Small searches, by the way that they are trained."""
    few_rows = [(np.arange(0, 150, 5), np.arange(1, 150, 5))]
    return {
        "one program": _search(),
        "one by one": _search(callbacks=[Own()]),
        "two processes": _search(n_jobs=2),
        "final fit": _search(max_epochs=40, lams=(0.5,), cv=few_rows),
    }


def _search(
    max_epochs: int = 8, callbacks: Any = (), **params: Any
) -> JointEnsembleClassifierCV:
    member = mlp_classifier(
        (8,),
        max_epochs=max_epochs,
        batch_size=32,
        train_split=ValidSplit(5, stratified=True),
        callbacks=[EarlyStopping(patience=max_epochs - 1, load_best=True), *callbacks],
        device="cpu",
    )
    settings = {"lams": (0.0, 0.5), "cv": 2, "random_state": 0, **params}
    return JointEnsembleClassifierCV(member, n_estimators=2, **settings)


def interrupt_often(
    way: str, search: Any, X: Any, y: Any, n: int, random: np.random.Generator
) -> Tally:
    """Interrupt fits of a search at n random moments."""
    tally = Tally(way)
    search.fit(X, y)
    seconds = _seconds_of_fit(search, X, y)
    while tally.raised + tally.lost < n:
        if search.n_jobs and tally.raised % 2:
            # Its processes ended with an interrupt: now they are there.
            search.fit(X, y)
        before = vars(search).copy()
        outcome = _interrupt(search, X, y, random.uniform(0, seconds))
        setattr(tally, outcome, getattr(tally, outcome) + 1)
        if outcome == "late":
            seconds = _seconds_of_fit(search, X, y)
        after = vars(search)
        if outcome == "raised" and not (
            after.keys() == before.keys()
            and all(after[name] is value for name, value in before.items())
        ):
            tally.changed += 1
    return tally


def _seconds_of_fit(search: Any, X: Any, y: Any) -> float:
    started = time.perf_counter()
    search.fit(X, y)
    return time.perf_counter() - started


def _interrupt(search: Any, X: Any, y: Any, seconds: float) -> str:
    """Interrupt a fit after some time, and say whether that was raised."""
    sent = threading.Event()
    main = threading.main_thread().ident

    def send() -> None:
        sent.set()
        signal.pthread_kill(main, signal.SIGINT)

    timer = threading.Timer(seconds, send)
    try:
        timer.start()
        search.fit(X, y)
        timer.cancel()
        timer.join()
    except KeyboardInterrupt as error:
        # One that does not come in the fit is raised here, or in the timer's methods.
        inner = error.__traceback__.tb_next
        is_of_fit = inner is not None and inner.tb_frame.f_code.co_name == "fit"
        return "raised" if is_of_fit else "late"
    return "lost" if sent.is_set() else "late"


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=_count, default=300, help="interrupts in all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"must be at least 1. Got {text!r} instead.")
    return int(text)


def main() -> None:
    """Interrupt searches, and print a line a way."""
    options = parse_options()
    torch.set_num_threads(1)
    X, y = load_iris(return_X_y=True)
    random = np.random.default_rng(options.seed)
    ways = searches()
    tallies = []
    # A shell that runs this in the background has it ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for i, (way, search) in enumerate(ways.items()):
            n = len(range(i, options.n, len(ways)))
            tallies.append(interrupt_often(way, search, X, y, n, random))
            print(tallies[-1], flush=True)
    finally:
        signal.signal(signal.SIGINT, before)
    if not all(tally.passed for tally in tallies):
        sys.exit(1)


if __name__ == "__main__":
    main()

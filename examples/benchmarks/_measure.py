"""Fair timing: everything in one process, in turns, and only ratios are kept.

Machines drift by tens of percent within minutes. Things that are compared are therefore
run in rounds, each thing once a round; a ratio is taken within a round, and its median
and quartiles over the rounds are what is reported.
"""

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch


class Figure(NamedTuple):
    """One measured figure.

    Attributes
    ----------
    question : str
        Which benchmark.
    subject : str
        Which configuration.
    what : str
        What was measured, against what.
    median, low, high : float
        Over the rounds; `low` and `high` are the quartiles.
    unit : str
        ``"x"`` for ratios.
    target : str
        A bound such as ``"<= 1.1"``, or ``""``.
    """

    question: str
    subject: str
    what: str
    median: float
    low: float
    high: float
    unit: str = "x"
    target: str = ""

    @property
    def verdict(self) -> str:
        """``"met"`` or ``"missed"``, or nothing where there is no target."""
        if not self.target:
            return ""
        relation, bound = self.target.split()
        if relation == "<=":
            met = self.median <= float(bound)
        else:
            met = self.median >= float(bound)
        return "met" if met else "missed"


def figure(
    question: str,
    subject: str,
    what: str,
    values: Any,
    unit: str = "x",
    target: str = "",
) -> Figure:
    """Median and quartiles of `values` as a Figure."""
    low, median, high = np.quantile(np.atleast_1d(values), [0.25, 0.5, 0.75])
    return Figure(
        question, subject, what, float(median), float(low), float(high), unit, target
    )


def seconds(task: Callable[[], Any], device: str = "cpu") -> float:
    """Wall-clock seconds of one call, what it left running on the device included."""
    on_cuda = torch.device(device).type == "cuda"
    if on_cuda:
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    task()
    if on_cuda:
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def interleave(
    tasks: Mapping[str, Callable[[], Any]],
    rounds: int,
    device: str = "cpu",
    warm_ups: Mapping[str, Callable[[], Any]] | None = None,
) -> dict[str, np.ndarray]:
    """Time the tasks in turns.

    Parameters
    ----------
    tasks : mapping of str to callable
        Each is called once a round.
    rounds : int
    device : str, default="cpu"
        Waited for before and after each call.
    warm_ups : mapping of str to callable, default=None
        Called once before, unmeasured. ``None`` is the tasks themselves.

    Returns
    -------
    dict of str to ndarray of shape (rounds,)
        Seconds.
    """
    names = list(tasks)
    times: dict[str, list[float]] = {name: [] for name in names}
    for warm_up in (tasks if warm_ups is None else warm_ups).values():
        warm_up()
    gc.collect()
    gc.disable()
    try:
        for turn in range(rounds):
            # Every other round goes backwards, so that none always follows the same.
            for name in names if turn % 2 == 0 else reversed(names):
                times[name].append(seconds(tasks[name], device))
    finally:
        gc.enable()
    return {name: np.array(values) for name, values in times.items()}

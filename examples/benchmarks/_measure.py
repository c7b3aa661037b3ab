"""Fair timing: everything in one process, in turns, and only ratios are kept.

Machines drift by tens of percent within minutes. Things that are compared are therefore
run in rounds, each thing once a round; a ratio is taken within a round, and its median
and quartiles over the rounds are what is reported.
"""

import gc
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sklearn
import skorch
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
        below = self.median <= float(bound)
        return "met" if below == (relation == "<=") else "missed"


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        named = [line for line in lines if line.startswith("model name")]
        cpu = named[0].partition(":")[2].strip() if named else cpu
    described = {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "skorch": skorch.__version__,
        "scikit-learn": sklearn.__version__,
        "device": device,
    }
    if torch.device(device).type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    return described


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
    tasks: Mapping[str, Callable[[], Any]], rounds: int, device: str = "cpu"
) -> dict[str, np.ndarray]:
    """Time the tasks in turns.

    Parameters
    ----------
    tasks : mapping of str to callable
        Each is called once unmeasured, and then once a round.
    rounds : int
    device : str, default="cpu"
        Waited for before and after each call.

    Returns
    -------
    dict of str to ndarray of shape (rounds,)
        Seconds.
    """
    names = list(tasks)
    times: dict[str, list[float]] = {name: [] for name in names}
    for task in tasks.values():
        task()
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


def table(figures: list[Figure]) -> str:
    """Figures as a Markdown table."""
    rows = [["question", "members", "figure", "median", "quartiles", "target", ""]]
    rows += [
        [
            f.question,
            f.subject,
            f.what,
            f"{f.median:.3g} {f.unit}",
            f"{f.low:.3g} to {f.high:.3g}",
            f.target,
            f.verdict,
        ]
        for f in figures
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
